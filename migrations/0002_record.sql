-- What every change of a state by workers and sweeps ends with: events, counters and the run's own state, in one place.
-- The kinds of events, and what each does to the counters, are those of EventKind (host/domain/src/event.rs), which a
-- test holds against this file.

-- Something that has happened to a step. The events of a commit are numbered in the order of their array.
create type pawl_event_v1 as (
    run_id     uuid,
    kind       text,
    step_no    int,
    fence      bigint,
    worker_id  uuid,
    note       text
);

-- Takes what has happened to steps of runs that the caller has locked, and
--   - counts the steps that run and that have not ended, and marks runs with a failed step as failing;
--   - moves the run: pending → running with the first claim, → succeeded | failed when nothing is live;
--   - numbers the events, without gaps, the run's own first and last, and stores one row per run.
-- Returns the runs that have ended by it.
create function pawl_record_v1(p_events pawl_event_v1[]) returns uuid[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_ended  uuid[];
begin
    with delta as (
        select run_id, count(*)::int as events,
               count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.cancelled'))::int
               - count(*) filter (where kind = 'step.reopened')::int as ended,
               -- A step is parked by its worker, or by a takeover, which has counted its lease's end.
               count(*) filter (where kind in ('step.started', 'step.resumed'))::int
               - count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.retrying', 'step.waiting',
                                                 'step.handed_back', 'step.lease_expired')
                                  or kind = 'step.parked' and worker_id is not null)::int as running,
               bool_or(kind = 'step.failed') as failed,
               bool_or(kind in ('step.started', 'step.resumed')) as started,
               array_agg(kind) as kinds, array_agg(step_no) as steps, array_agg(fence) as fences,
               array_agg(worker_id) as workers, array_agg(note) as notes
        -- Sorted once for all five lists: an aggregate takes its rows in the order in which they come.
        from (select * from unnest(p_events) with ordinality order by run_id, ordinality) as event
        group by run_id
    ), moved as (
        update run r set
            live = old.live - d.ended,
            running = old.running + d.running,
            failing = old.failing or d.failed,
            status = case when old.live = d.ended then case when old.failing or d.failed then 'failed' else 'succeeded' end
                          when d.started and old.status = 'pending' then 'running'
                          else old.status end,
            started_at = case when d.started and old.status = 'pending' then now() else old.started_at end,
            ended_at = case when old.live = d.ended then now() end,
            event_count = old.event_count + d.events + (d.started and old.status = 'pending')::int
                          + (old.live = d.ended)::int
        from delta d join run old on old.id = d.run_id
        where r.id = d.run_id
        returning r.id, r.status, d.started and old.status = 'pending' as begins, r.live = 0 as ends, old.event_count, d.*,
                  case when r.live = 0 then array[case r.status when 'failed' then 'run.failed' else 'run.succeeded' end] end as ending
    ), told as (
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select id, event_count + 1,
               case when begins then '{run.started}'::text[] end || kinds || ending,
               case when begins then '{null}'::int[] end || steps || case when ends then '{null}'::int[] end,
               case when begins then '{null}'::bigint[] end || fences || case when ends then '{null}'::bigint[] end,
               case when begins then '{null}'::uuid[] end || workers || case when ends then '{null}'::uuid[] end,
               case when begins then '{null}'::text[] end || notes || case when ends then '{null}'::text[] end
        from moved
    )
    select array_agg(id) into v_ended from moved where ends;
    return v_ended;
end
$$;

-- A step to be delivered.
create type pawl_ready_v1 as (
    run_id       uuid,
    step_no      int,
    queue        text,
    priority     text,
    ready_at_ms  bigint
);

-- The steps that have become ready by these events and still are: not those that were claimed, or cancelled with their
-- run, later in the same commit.
create function pawl_ready_of_v1(p_events pawl_event_v1[]) returns pawl_ready_v1[]
language plpgsql
as $$
begin
    return (
        select array_agg(row(s.run_id, s.step_no, p.queue, p.priority,
                             (extract(epoch from s.ready_at) * 1000)::bigint)::pawl_ready_v1)
        from unnest(p_events) as e
        join run r on r.id = e.run_id
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select * from step s where s.run_id = e.run_id and s.step_no = e.step_no
                                                       and s.status = 'ready' offset 0) as s
        cross join lateral (select p.queue, p.priority from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = e.step_no offset 0) as p
        where e.kind in ('step.ready', 'step.handed_back'));
end
$$;
