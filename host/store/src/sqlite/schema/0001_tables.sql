-- The tables of the embedded store. What each column means stands in migrations/0001_tables.sql, whose rules
-- hold here too; times are ms since 1970, ids and digests are bytes, and a step repeats its queue, so that
-- pipelines are kept in their canonical form only.
-- A change comes as a new file beside this one, listed in sqlite/mod.rs: what has landed is frozen.

create table component (
    digest      blob primary key,
    bytes       blob not null,
    created_at  integer not null
) strict;

create table plugin (
    namespace         text not null,
    name              text not null,
    active_version    text,
    previous_version  text,
    primary key (namespace, name)
) strict, without rowid;

create table plugin_version (
    namespace   text not null,
    name        text not null,
    version     text not null,
    digest      blob not null references component,
    manifest    blob not null,
    created_at  integer not null,
    -- µs, and never the same twice.
    wanted_at   integer not null,
    primary key (namespace, name, version),
    foreign key (namespace, name) references plugin
) strict, without rowid;

create table pipeline_version (
    digest      blob primary key,
    name        text not null,
    spec        blob not null,
    steps       integer not null,
    created_at  integer not null
) strict;

create table pipeline (
    namespace   text not null,
    name        text not null,
    digest      blob not null references pipeline_version,
    updated_at  integer not null,
    primary key (namespace, name)
) strict, without rowid;

create table worker (
    id          blob primary key,
    host        text not null,
    pid         integer not null,
    slots       integer not null,
    queues      text not null,
    started_at  integer not null,
    renewed_at  integer not null,
    expires_at  integer not null,
    draining    integer not null default 0,
    running     integer not null default 0
) strict, without rowid;

create table worker_component (
    worker_id  blob not null references worker on delete cascade,
    digest     blob not null,
    refusal    text,
    primary key (worker_id, digest)
) strict, without rowid;

create table run (
    id               blob primary key,
    namespace        text not null,
    pipeline_digest  blob not null,
    status           text not null,
    input            blob not null,
    idempotency_key  text,
    request_digest   blob not null,
    steps            integer not null,
    live             integer not null,
    running          integer not null default 0,
    failing          integer not null default 0,
    event_count      integer not null,
    signal_count     integer not null default 0,
    created_at       integer not null,
    started_at       integer,
    ended_at         integer,
    constraint run_state check (running between 0 and live and (live = 0) = (ended_at is not null) and case status
        when 'pending' then ended_at is null and started_at is null
        when 'running' then ended_at is null and started_at is not null
        when 'succeeded' then ended_at is not null and not failing
        when 'failed' then ended_at is not null and failing
        when 'cancelled' then ended_at is not null
        else false end)
) strict;
create index run_created on run (namespace, created_at desc, id desc);
create index run_running on run (id) where running > 0;

create table step (
    run_id               blob not null,
    step_no              integer not null,
    queue                text not null,
    priority             text not null,
    status               text not null,
    unmet                integer not null,
    fence                integer not null default 0,
    worker_id            blob,
    component            blob,
    recorded_by          blob,
    attempts             integer not null default 0,
    failures             integer not null default 0,
    crashes              integer not null default 0,
    alone                integer not null default 0,
    crash_mark           integer not null default 0,
    journal_length       integer not null default 0,
    checkpoint_position  integer,
    checkpoint_ordinal   integer not null default 0,
    ready_at             integer,
    due_at               integer,
    awaits_position      integer,
    awaits_until         integer,
    awaits               text,
    claimed_at           integer,
    started_at           integer,
    ended_at             integer,
    output               blob,
    output_digest        blob,
    error                blob,
    progress             real,
    progress_message     text,
    primary key (run_id, step_no),
    constraint step_state check (
        (ready_at is not null) = (status = 'ready') and (due_at is null or status = 'waiting')
        and (awaits_position is null or status in ('waiting', 'cancelled')) and (awaits is null or awaits_position is not null)
        and (component is not null or worker_id is null)
        and case status
            when 'blocked' then ended_at is null and unmet > 0
            when 'ready' then ended_at is null and unmet = 0
            when 'running' then ended_at is null and unmet = 0 and worker_id is not null
            when 'waiting' then ended_at is null and (due_at is not null or awaits is not null)
            when 'parked' then ended_at is null and error is not null
            when 'succeeded' then ended_at is not null and output is not null
            when 'failed' then ended_at is not null and error is not null
            when 'cancelled' then ended_at is not null
            when 'skipped' then ended_at is not null
            else false end
        and (output is null) = (output_digest is null) and coalesce(checkpoint_position, 0) <= journal_length)
) strict, without rowid;
create index step_ready on step (ready_at) where ready_at is not null;
create index step_due on step (due_at) where due_at is not null;
create index step_awaits on step (run_id, awaits, step_no) where awaits is not null;

create table journal (
    run_id   blob not null,
    step_no  integer not null,
    first    integer not null,
    length   integer not null check (first >= 0 and length > 0),
    digest   blob not null,
    bytes    blob not null,
    primary key (run_id, step_no, first)
) strict;

create table checkpoint (
    run_id           blob not null,
    step_no          integer not null,
    ordinal          integer not null,
    position         integer not null,
    random_position  integer not null,
    effect_ordinal   integer not null,
    prelude          integer,
    digest           blob not null,
    state            blob not null,
    created_at       integer not null,
    primary key (run_id, step_no)
) strict;

create table signal (
    run_id      blob not null,
    id          integer not null,
    name        text not null,
    key         text,
    payload     blob not null,
    digest      blob not null,
    created_at  integer not null,
    step_no     integer,
    position    integer,
    primary key (run_id, id),
    check ((step_no is null) = (position is null))
) strict, without rowid;
create index signal_inbox on signal (run_id, name, id) where step_no is null;
create unique index signal_taken on signal (run_id, step_no, position) where step_no is not null;
create unique index signal_key on signal (run_id, key) where key is not null;

create table event (
    run_id     blob not null,
    number     integer not null check (number > 0),
    at         integer not null,
    kind       text not null,
    step_no    integer,
    fence      integer,
    worker_id  blob,
    note       text,
    primary key (run_id, number)
) strict, without rowid;
