-- What every change of a state ends with: events, counters and the run's own state, in one place.

-- Takes what has happened to steps of runs that the caller has locked, as parallel arrays of events
-- (rank orders the events of one commit), and
--   - counts the steps that ended or were reopened, and marks runs with a failed step as failing;
--   - moves the run: pending → running with the first claim, → succeeded | failed when nothing is live;
--   - numbers the events, without gaps, the run's own first and last, and stores one row per run.
-- Returns the runs as they are now.
create function pawl_settle_v1(
    e_run uuid[], e_rank int[], e_kind text[], e_step int[], e_fence bigint[], e_worker uuid[], e_note text[]
) returns table (run_id uuid, status text, event_count int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off
set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query
    with e as (
        select * from unnest(e_run, e_rank, e_kind, e_step, e_fence, e_worker, e_note) with ordinality
            as e (run_id, rank, kind, step_no, fence, worker_id, note, place)
    ), delta as (
        select e.run_id, count(*)::int as events,
               count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.cancelled'))::int
               - count(*) filter (where kind = 'step.reopened')::int as ended,
               bool_or(kind = 'step.failed') as failed,
               bool_or(kind in ('step.started', 'step.resumed')) as started
        from e group by e.run_id
    ), old as (
        select r.id, r.event_count, d.started and r.status = 'pending' as begins,
               r.live - d.ended as live, r.live - d.ended = 0 as ends,
               r.failing or d.failed as failing, d.events
        from delta d join run r on r.id = d.run_id
    ), moved as (
        update run r set
            live = old.live,
            failing = old.failing,
            status = case when old.ends then case when old.failing then 'failed' else 'succeeded' end
                          when old.begins then 'running'
                          else r.status end,
            started_at = case when old.begins then now() else r.started_at end,
            ended_at = case when old.ends then now() end,
            event_count = r.event_count + old.events + old.begins::int + old.ends::int
        from old where r.id = old.id
        returning r.id, r.status, r.event_count, old.event_count + 1 as first, old.begins, old.ends
    ), history as (
        select e.run_id, e.rank, e.place, e.kind, e.step_no, e.fence, e.worker_id, e.note from e
        union all
        select id, -1, 0, 'run.started', null, null, null, null from moved where begins
        union all
        select id, 100, 0, 'run.' || moved.status, null, null, null, null from moved where ends
    ), stored as (
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select h.run_id, m.first,
               array_agg(h.kind order by h.rank, h.place), array_agg(h.step_no order by h.rank, h.place),
               array_agg(h.fence order by h.rank, h.place), array_agg(h.worker_id order by h.rank, h.place),
               array_agg(h.note order by h.rank, h.place)
        from history h join moved m on m.id = h.run_id
        group by h.run_id, m.first
    )
    select moved.id, moved.status, moved.event_count from moved;
end
$$;
