-- Signals and what a person does, where it cost more than it changed.

-- Gives what lies in the inboxes of runs that the caller has locked to the steps that wait for it: the oldest of
-- a name to the first step. Returns what has happened to the steps, for pawl_record_v1; null if nothing.
--
-- The answer is that of 0007_signals.sql, which older workers go on asking for under this name, too; but it goes by the
-- names that steps wait for, each once, and reads of the inbox only what is given. There, each call numbered all that
-- lay in the inbox, and a name that nobody waits for made every wait of its run dearer.
create or replace function pawl_give_signals_v1(p_runs uuid[]) returns pawl_event_v1[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with recursive awaited as (
        -- From one name to the next in the index, however many steps wait for each.
        select r.run_id, (select s.awaits from step s where s.run_id = r.run_id and s.awaits is not null
                          order by s.awaits limit 1) as name
        from (select distinct run_id from unnest(p_runs) as r (run_id)) as r
        union all
        select a.run_id, (select s.awaits from step s where s.run_id = a.run_id and s.awaits > a.name
                          order by s.awaits limit 1)
        from awaited a where a.name is not null
    ), waiting as (
        select a.run_id, a.name, s.step_no, s.awaits_position,
               row_number() over (partition by a.run_id, a.name order by s.step_no) as turn
        from awaited a
        -- One of the name is enough. With a limit, so that it is looked up: as a join, all inboxes are read.
        cross join lateral (select from signal g
                            where g.run_id = a.run_id and g.name = a.name and g.step_no is null limit 1) as g
        cross join lateral (select y.step_no, y.awaits_position from step y
                            where y.run_id = a.run_id and y.awaits = a.name and y.status = 'waiting' offset 0) as s
    ), inbox as (
        select n.run_id, n.name, g.id, row_number() over (partition by n.run_id, n.name order by g.id) as turn
        from (select run_id, name, count(*) as steps from waiting group by run_id, name) as n
        cross join lateral (select o.id from signal o
                            where o.run_id = n.run_id and o.name = n.name and o.step_no is null
                            order by o.id limit n.steps) as g
    ), taken as (
        update signal g set step_no = w.step_no, position = w.awaits_position
        from waiting w join inbox i on i.run_id = w.run_id and i.name = w.name and i.turn = w.turn
        where g.run_id = i.run_id and g.id = i.id
        returning g.run_id, g.step_no, g.name
    ), woken as (
        update step s set status = 'ready', ready_at = now(), due_at = null,
                          awaits_position = null, awaits_until = null, awaits = null
        from taken t where s.run_id = t.run_id and s.step_no = t.step_no
        returning s.run_id, s.step_no, s.fence, t.name
    )
    select array_agg(row(run_id, 'step.ready', step_no, fence, null, 'signal ' || name)::pawl_event_v1
                     order by run_id, step_no)
    into v_events from woken;
    return v_events;
end
$$;

-- As pawl_apply_v1 (0006_control.sql), but nothing becomes due in the past: a wait that is reopened after its time is due
-- now. The look for what is due (0012_sweeps.sql) begins where it last was.
create function pawl_apply_v2(
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
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
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
        due_at = case when c.status = 'waiting' and s.awaits_until is not null then greatest(s.awaits_until, now()) end,
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
