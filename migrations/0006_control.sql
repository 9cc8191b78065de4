-- What somebody outside does to a run: cancel it, retry what failed, resume what is parked, send it a signal. All of it
-- is decided in Rust (host/domain/src/decision), from what was read without a lock, and comes here as a list of changes.
-- So there is one function for all verbs, those to come included.

-- A step from now on. What depends on its state goes along with it: see pawl_apply_v1.
create type pawl_step_change_v1 as (
    step_no            int,
    status             text,
    unmet              int,
    fence              bigint,
    failures_forgiven  boolean,
    crashes_forgiven   boolean,
    -- It goes on with this component, on a journal that this other one has made; and of this length, if it is cut.
    goes_on            boolean,
    component          bytea,
    recorded_by        bytea,
    journal_length     int
);

-- The rows of a step's journal from `first` on are dropped for this one, which may be empty.
create type pawl_cut_v1 as (
    step_no  int,
    first    int,
    length   int,
    digest   bytea,
    bytes    bytea
);

-- A signal that comes into the inbox.
create type pawl_sent_v1 as (
    name     text,
    key      text,
    payload  bytea,
    digest   bytea
);

-- A signal that a step takes, at this position of its journal.
create type pawl_given_v1 as (
    signal    int,
    step_no   int,
    position  int
);

-- Applies changes that were decided when the run had so many events and signals; if it has more by now, nothing is done.
-- These numbers cover all that decisions know of: states, fences, needs, components, waits, the inbox. What a running
-- step adds to its journal meanwhile they do not cover, and it is not touched: only a step that doesn't run is cut, and
-- a claim would have raised them.
-- On the first row: whether it was applied. Then the steps to be delivered.
create function pawl_apply_v1(
    p_run      uuid,
    p_events   int,
    p_signals  int,
    -- The run from now on. Without live steps, it has ended.
    p_status   text,
    p_live     int,
    p_running  int,
    p_failing  boolean,
    p_steps    pawl_step_change_v1[],
    p_cut      pawl_cut_v1,
    p_sent     pawl_sent_v1,
    p_given    pawl_given_v1[],
    p_told     pawl_event_v1[]
) returns table (applied boolean, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_run  run;
begin
    select * into v_run from run r
    where r.id = p_run and r.event_count = p_events and r.signal_count = p_signals for no key update;
    if not found then
        return query select false, null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    perform 1 from step s where s.run_id = p_run and s.step_no = any (array(select step_no from unnest(p_steps)))
    order by s.step_no for no key update;

    with changed as (
        -- By their keys, whatever the planner thinks of the table.
        select c.*, s.row from unnest(p_steps) as c
        cross join lateral (select y.ctid as row from step y
                            where y.run_id = p_run and y.step_no = c.step_no offset 0) as s
    )
    update step s set
        status = c.status, unmet = c.unmet, fence = c.fence,
        ready_at = case when c.status = 'ready' then now() end,
        ended_at = case when c.status in ('succeeded', 'failed', 'cancelled', 'skipped') then now() end,
        -- A wait that is reopened goes on until when it would have. Stopped, a step keeps its wait for that.
        due_at = case when c.status = 'waiting' then s.awaits_until end,
        awaits_position = case when c.status in ('waiting', 'cancelled') then s.awaits_position end,
        awaits_until = case when c.status in ('waiting', 'cancelled') then s.awaits_until end,
        awaits = case when c.status in ('waiting', 'cancelled') then s.awaits end,
        failures = case when c.failures_forgiven then 0 else s.failures end,
        crashes = case when c.crashes_forgiven then 0 else s.crashes end,
        crash_mark = case when c.crashes_forgiven then 0 else s.crash_mark end,
        component = case when c.goes_on then c.component else s.component end,
        recorded_by = case when c.goes_on then c.recorded_by else s.recorded_by end,
        journal_length = coalesce(c.journal_length, s.journal_length)
    from changed c where s.ctid = c.row;

    if (p_cut).first is not null then
        delete from journal j where j.run_id = p_run and j.step_no = (p_cut).step_no and j.first >= (p_cut).first;
        insert into journal (run_id, step_no, first, length, digest, bytes)
        select p_run, (p_cut).* where (p_cut).length > 0;
        update signal g set step_no = null, position = null
        where g.run_id = p_run and g.step_no = (p_cut).step_no and g.position >= (p_cut).first;
    end if;
    if (p_sent).name is not null then
        insert into signal (run_id, id, name, key, payload, digest) select p_run, p_signals + 1, (p_sent).*;
    end if;
    if p_given <> '{}' then
        update signal g set step_no = t.step_no, position = t.position
        from unnest(p_given) as t where g.run_id = p_run and g.id = t.signal;
    end if;

    update run r set
        status = p_status, live = p_live, running = p_running, failing = p_failing,
        event_count = p_events + cardinality(p_told), signal_count = p_signals + ((p_sent).name is not null)::int,
        ended_at = case when p_live = 0 then coalesce(r.ended_at, now()) end
    where r.id = p_run;
    if p_told <> '{}' then
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select p_run, p_events + 1, array_agg(kind), array_agg(step_no), array_agg(fence), array_agg(worker_id), array_agg(note)
        from (select * from unnest(p_told) with ordinality order by ordinality) as told;
    end if;

    return query select true, null::uuid, null::int, null::text, null::text, null::bigint;
    return query
    select true, p_run, c.step_no, p.queue, p.priority, (extract(epoch from now()) * 1000)::bigint
    from unnest(p_steps) as c
    cross join lateral (select * from pipeline_step p
                        where p.digest = v_run.pipeline_digest and p.step_no = c.step_no offset 0) as p
    where c.status = 'ready';
end
$$;
