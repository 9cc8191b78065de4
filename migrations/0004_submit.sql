-- Submissions, gathered: one call for all that wait at an API process.

-- Verdicts, by place from 1: created; same (the key was used before, with the same request; a resend after
-- a lost answer looks like this too); conflict (the key was used with another request); unknown_pipeline.
-- For runs that have not started, also the ready steps, to be delivered.
create function pawl_submit_v1(
    p_run uuid[], p_pipeline text[], p_input bytea[], p_key text[], p_request_digest bytea[]
) returns table (place int, verdict text, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_created uuid[];
begin
    -- Sorted, so that two API nodes with the same keys wait for each other in one direction only.
    with created as (
        insert into run (id, pipeline_digest, status, input, idempotency_key, request_digest, steps, live, event_count)
        select distinct on (s.run_id) s.run_id, p.digest, 'pending', s.input, s.key, s.request_digest, n.steps, n.steps, 1
        from unnest(p_run, p_pipeline, p_input, p_key, p_request_digest) with ordinality
            as s (run_id, pipeline, input, key, request_digest, place)
        join pipeline p on p.name = s.pipeline
        cross join lateral (select count(*)::int as steps from pipeline_step t where t.digest = p.digest) as n
        order by s.run_id, s.place
        on conflict (id) do nothing
        returning id, pipeline_digest
    ), stepped as (
        insert into step (run_id, step_no, status, unmet, ready_at)
        select c.id, t.step_no, case when t.needs = '{}' then 'ready' else 'blocked' end, cardinality(t.needs),
               case when t.needs = '{}' then now() end
        from created c join pipeline_step t on t.digest = c.pipeline_digest
    ), told as (
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select id, 1, '{run.submitted}', '{null}', '{null}', '{null}', '{null}' from created
    )
    select coalesce(array_agg(id), '{}') into v_created from created;

    return query
    select s.place::int,
           case when r.id is null then 'unknown_pipeline'
                when r.request_digest <> s.request_digest then 'conflict'
                when r.id = any (v_created) and s.turn = 1 then 'created'
                else 'same' end,
           t.step_no, t.queue, t.priority, (extract(epoch from y.ready_at) * 1000)::bigint
    from (select *, row_number() over (partition by run_id order by place) as turn
          from unnest(p_run, p_request_digest) with ordinality as s (run_id, request_digest, place)) as s
    left join run r on r.id = s.run_id
    left join step y on y.run_id = r.id and y.status = 'ready' and r.status = 'pending'
                     and r.request_digest = s.request_digest
    left join pipeline_step t on t.digest = r.pipeline_digest and t.step_no = y.step_no;
end
$$;
