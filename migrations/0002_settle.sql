-- What every change of a state ends with: events, counters and the run's own state, in one place.

-- Takes what has happened to steps of runs that the caller has locked, as parallel arrays of events
-- (rank orders the events of one commit), and
--   - counts the steps that run and that have not ended, and marks runs with a failed step as failing;
--   - moves the run: pending → running with the first claim, → succeeded | failed when nothing is live;
--   - numbers the events, without gaps, the run's own first and last, and stores one row per run.
create function pawl_settle_v1(
    e_run uuid[], e_rank int[], e_kind text[], e_step int[], e_fence bigint[], e_worker uuid[], e_note text[]
) returns void
language plpgsql
as $$
#variable_conflict use_column
begin
    with delta as (
        select e.run_id, count(*)::int as events,
               count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.cancelled'))::int
               - count(*) filter (where kind = 'step.reopened')::int as ended,
               -- A step is parked by its worker, or by a takeover, which has counted its lease's end.
               count(*) filter (where kind in ('step.started', 'step.resumed'))::int
               - count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.retrying', 'step.handed_back',
                                                 'step.lease_expired')
                                  or kind = 'step.parked' and e.worker_id is not null)::int as running,
               bool_or(kind = 'step.failed') as failed,
               bool_or(kind in ('step.started', 'step.resumed')) as started,
               array_agg(e.kind) as kinds,
               array_agg(e.step_no) as steps,
               array_agg(e.fence) as fences,
               array_agg(e.worker_id) as workers,
               array_agg(e.note) as notes
        -- Sorted once for all five lists: an aggregate takes its rows in the order in which they come.
        from (select * from unnest(e_run, e_rank, e_kind, e_step, e_fence, e_worker, e_note) with ordinality
                  as e (run_id, rank, kind, step_no, fence, worker_id, note, place)
              order by e.run_id, e.rank, e.place) as e
        group by e.run_id
    ), old as (
        select d.*, r.event_count as told, d.started and r.status = 'pending' as begins,
               r.live - d.ended as now_live, r.live - d.ended = 0 as ends,
               case when r.failing or d.failed then 'failed' else 'succeeded' end as end_status
        from delta d join run r on r.id = d.run_id
    ), moved as (
        update run r set
            live = old.now_live,
            running = r.running + old.running,
            failing = r.failing or old.failed,
            status = case when old.ends then old.end_status when old.begins then 'running' else r.status end,
            started_at = case when old.begins then now() else r.started_at end,
            ended_at = case when old.ends then now() end,
            event_count = r.event_count + old.events + old.begins::int + old.ends::int
        from old where r.id = old.run_id
        returning r.id, old.*
    )
    insert into event (run_id, first, kinds, steps, fences, workers, notes)
    select m.id, m.told + 1,
           case when m.begins then '{run.started}'::text[] end || m.kinds
               || case when m.ends then array['run.' || m.end_status] end,
           case when m.begins then '{null}'::int[] end || m.steps || case when m.ends then '{null}'::int[] end,
           case when m.begins then '{null}'::bigint[] end || m.fences || case when m.ends then '{null}'::bigint[] end,
           case when m.begins then '{null}'::uuid[] end || m.workers || case when m.ends then '{null}'::uuid[] end,
           case when m.begins then '{null}'::text[] end || m.notes || case when m.ends then '{null}'::text[] end
    from moved m;
end
$$;
