-- Pawl's tables. Postgres is the truth: what is not here has not happened. A migration that has landed is frozen
-- (.ci/frozen): a change comes as a new file.
--
-- Writers and locks
--   A run is the unit of consistency. A transaction that changes a state locks its runs first, sorted by
--   id, then their steps, sorted; journal and checkpoint writes lock their steps alone. All locks are
--   FOR NO KEY UPDATE and are taken in a statement of their own: what is decided under them is read by a
--   later statement, because one statement sees one snapshot.
--   Whoever writes for a running step carries run, step, worker and fence, and the statement that writes
--   checks all four. A stale one changes nothing.
--   Every key of a run's tables begins with the run and no rule spans two runs.
-- Names
--   Plugins, pipelines and idempotency keys belong to a namespace; a run is of one, and so knows what a name means to
--   its steps. What is found by its digest is the same for all: components, and pipeline versions with their steps.
--
--   plugin ─ plugin_version ─▶ component          pipeline ─▶ pipeline_version ─ pipeline_step
--                                                                  ▲
--   run ──────────────────────────────────────────────────────────┘
--    ├─ step ─▶ worker          one row per step; its state machine
--    │   ├─ journal             segments: all entries of a step in one batch
--    │   └─ checkpoint          the last one
--    ├─ signal                  its inbox, and the signals that steps have taken from it
--    └─ event                   the run's history, one row per commit

-- Components, by digest. Wasm doesn't compress well enough to pay for it on every load.
create table component (
    digest      bytea primary key check (octet_length(digest) = 32),
    bytes       bytea not null,
    created_at  timestamptz not null default now()
);
alter table component alter column bytes set storage external;

create table plugin (
    namespace         text not null,
    name              text not null,
    active_version    text,
    -- What a rollback goes back to.
    previous_version  text,
    primary key (namespace, name)
);

create table plugin_version (
    namespace   text not null,
    name        text not null,
    version     text not null,
    digest      bytea not null references component,
    manifest    bytea not null,
    created_at  timestamptz not null default now(),
    -- Somebody wants to activate it: workers compile it ahead.
    wanted_at   timestamptz not null default clock_timestamp(),
    primary key (namespace, name, version),
    foreign key (namespace, name) references plugin
);
alter table plugin add foreign key (namespace, name, active_version) references plugin_version;
alter table plugin add foreign key (namespace, name, previous_version) references plugin_version;

-- Pipeline versions never change. `spec` is the canonical form (JSON); pipeline_step repeats what the server-side
-- functions decide with. The plugins that it names are those of the namespace that it is applied in, or run in: they
-- are looked up when a pipeline is applied, and no foreign key can say so.
create table pipeline_version (
    digest      bytea primary key check (octet_length(digest) = 32),
    name        text not null,
    spec        bytea not null,
    steps       int not null,
    -- When a step that names no version of its plugin gets one: at the run's submission or at its own start.
    versions    text not null check (versions in ('submission', 'start')),
    created_at  timestamptz not null default now()
);

create table pipeline (
    namespace   text not null,
    name        text not null,
    digest      bytea not null references pipeline_version,
    updated_at  timestamptz not null default now(),
    primary key (namespace, name)
);

create table pipeline_step (
    digest      bytea not null references pipeline_version,
    step_no     int not null,
    plugin      text not null,
    version     text,
    needs       int[] not null,
    successors  int[] not null,
    queue       text not null,
    priority    text not null check (priority in ('high', 'normal', 'low')),
    primary key (digest, step_no)
);

-- One row per worker process: its lease. The database's clock decides. Rows of workers that ended are
-- deleted when no step points to them.
create table worker (
    id          uuid primary key,
    host        text not null,
    pid         int not null,
    slots       int not null,
    queues      text[] not null,
    started_at  timestamptz not null default now(),
    renewed_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    draining    boolean not null default false,
    running     int not null default 0
) with (fillfactor = 50);

-- What workers have compiled ahead, or why they can't: a version becomes active when all that live can load it.
create table worker_component (
    worker_id  uuid not null references worker on delete cascade,
    digest     bytea not null,
    refusal    text,
    primary key (worker_id, digest)
);

-- What belongs to each state. Functions, because Postgres reads the whole expression of a check anew for every
-- statement that writes: measured, the words in it cost more than the update of a row.
create function pawl_is_run_state(
    status text, failing boolean, live int, running int, is_started boolean, is_ended boolean
) returns boolean language plpgsql immutable as $$
begin
    return running between 0 and live and (live = 0) = is_ended and case status
        when 'pending' then not is_ended and not is_started
        when 'running' then not is_ended and is_started
        when 'succeeded' then is_ended and not failing
        when 'failed' then is_ended and failing
        when 'cancelled' then is_ended
        else false end;
end
$$;

create function pawl_is_step_state(
    status text, unmet int, is_ready boolean, is_due boolean, is_suspended boolean, awaits_signal boolean,
    is_ended boolean, has_worker boolean, has_component boolean, has_output boolean, has_error boolean
) returns boolean language plpgsql immutable as $$
begin
    return is_ready = (status = 'ready') and (not is_due or status = 'waiting')
       -- A step that is stopped while it is suspended stays so, for a reopening.
       and (not is_suspended or status in ('waiting', 'cancelled')) and (not awaits_signal or is_suspended)
       and (has_component or not has_worker)
       and case status
        when 'blocked' then not is_ended and unmet > 0
        when 'ready' then not is_ended and unmet = 0
        when 'running' then not is_ended and unmet = 0 and has_worker
        when 'waiting' then not is_ended and (is_due or awaits_signal)
        when 'parked' then not is_ended and has_error
        when 'succeeded' then is_ended and has_output
        when 'failed' then is_ended and has_error
        when 'cancelled' then is_ended
        when 'skipped' then is_ended
        else false end;
end
$$;

create table run (
    id               uuid primary key,
    namespace        text not null,
    pipeline_digest  bytea not null,
    status           text not null,
    input            bytea not null,
    idempotency_key  text,
    request_digest   bytea not null,
    steps            int not null,
    -- Steps that have not ended, and steps that run.
    live             int not null,
    running          int not null default 0,
    -- A step has failed: nothing new starts, the run fails when its running steps have ended.
    failing          boolean not null default false,
    -- The number of the last event.
    event_count      int not null,
    -- The number of the last signal.
    signal_count     int not null default 0,
    created_at       timestamptz not null default now(),
    started_at       timestamptz,
    ended_at         timestamptz,
    constraint run_state check (
        pawl_is_run_state(status, failing, live, running, started_at is not null, ended_at is not null))
) with (fillfactor = 70);
create index run_created on run (namespace, created_at desc, id desc);
create index run_running on run (id) where running > 0;

create table step (
    run_id               uuid not null,
    step_no              int not null,
    status               text not null,
    -- Needs that have not succeeded yet.
    unmet                int not null,
    -- Grows with every claim and takeover. Kept, with the worker, after the end: a resent outcome is
    -- recognised by them.
    fence                bigint not null default 0,
    worker_id            uuid,
    -- Fixed for all attempts, by the submission or by the first claim.
    component            bytea,
    -- The component that made the journal, if a person has put the step on another one since.
    recorded_by          bytea,
    -- Attempts that were begun, that failed, and that ended with their worker's process.
    attempts             int not null default 0,
    failures             int not null default 0,
    crashes              int not null default 0,
    -- It runs alone on its worker, which said so before it began.
    alone                boolean not null default false,
    -- journal_length + checkpoint_ordinal at the last takeover: more since then is durable progress.
    crash_mark           bigint not null default 0,
    journal_length       int not null default 0,
    checkpoint_position  int,
    checkpoint_ordinal   int not null default 0,
    -- Set while it is ready, or waits.
    ready_at             timestamptz,
    due_at               timestamptz,
    -- The wait that has not ended: where the journal holds it, until when, and for which signal (null: it
    -- sleeps). Kept when the step is stopped with its run: reopened, it goes on waiting.
    awaits_position      int,
    awaits_until         timestamptz,
    awaits               text,
    claimed_at           timestamptz,
    started_at           timestamptz,
    ended_at             timestamptz,
    -- JSON as the guest wrote it, and its digest, checked on every read.
    output               bytea,
    output_digest        bytea,
    -- JSON: the failure of the last attempt, or why the step is parked.
    error                bytea,
    progress             real,
    progress_message     text,
    primary key (run_id, step_no),
    constraint step_state check (
        pawl_is_step_state(status, unmet, ready_at is not null, due_at is not null, awaits_position is not null,
                           awaits is not null, ended_at is not null, worker_id is not null, component is not null,
                           output is not null, error is not null) and
        (output is null) = (output_digest is null) and
        coalesce(checkpoint_position, 0) <= journal_length)
-- Room on the page for what a step gains on its way.
) with (fillfactor = 30);
-- No index knows the status: a step that is handed on within a worker changes no indexed column, so that
-- its updates stay on their page (heap-only tuples). Running steps are found through their runs.
create index step_ready on step (ready_at) where ready_at is not null;
create index step_due on step (due_at) where due_at is not null;
create index step_awaits on step (run_id, awaits, step_no) where awaits is not null;

-- A segment: entries `first` to `first + length - 1`, packed. Never parsed here.
create table journal (
    run_id   uuid not null,
    step_no  int not null,
    first    int not null,
    length   int not null check (first >= 0 and length > 0),
    digest   bytea not null,
    bytes    bytea not null,
    primary key (run_id, step_no, first)
);

create table checkpoint (
    run_id           uuid not null,
    step_no          int not null,
    ordinal          int not null,
    position         int not null,
    random_position  bigint not null,
    effect_ordinal   int not null,
    prelude          int,
    digest           bytea not null,
    state            bytea not null,
    created_at       timestamptz not null default now(),
    primary key (run_id, step_no)
) with (fillfactor = 50);
alter table checkpoint alter column state set storage external;

-- Signals to a run, numbered as they came. One is in the inbox until a step takes it: the oldest of a name goes
-- to the first of the steps that wait for it.
create table signal (
    run_id      uuid not null,
    id          int not null,
    name        text not null,
    -- The sender's, so that it may send again.
    key         text,
    -- JSON as the sender wrote it, and its digest, checked on every read.
    payload     bytea not null,
    digest      bytea not null,
    created_at  timestamptz not null default now(),
    -- Who took it, and the position of the entry that it answers.
    step_no     int,
    position    int,
    primary key (run_id, id),
    check ((step_no is null) = (position is null))
);
create index signal_inbox on signal (run_id, name, id) where step_no is null;
create unique index signal_taken on signal (run_id, step_no, position) where step_no is not null;
create unique index signal_key on signal (run_id, key) where key is not null;

-- Events `first` to `first + cardinality(kinds) - 1` of a run: one commit, packed. Element i of each
-- array belongs to event i; step is null for events of the run.
create table event (
    run_id     uuid not null,
    first      int not null check (first > 0),
    at         timestamptz not null default clock_timestamp(),
    kinds      text[] not null,
    steps      int[] not null,
    fences     bigint[] not null,
    workers    uuid[] not null,
    notes      text[] not null,
    primary key (run_id, first)
);

-- Rows that change often are cleaned often: their tables stay small and their indexes short.
alter table worker set (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);
alter table step set (autovacuum_vacuum_scale_factor = 0.05);
alter table run set (autovacuum_vacuum_scale_factor = 0.05);
