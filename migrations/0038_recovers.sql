-- What is a recovery: a claim after a takeover that is on record and has not been come through. A step whose fence a person has
-- raised, by a retry or a resume, or a restore, has none: it goes on from its checkpoint all the same, and is not counted.
--
-- Both functions answered with a guess: somebody but claims has raised the fence. Only where that is so is the record looked at.

-- 0035_pause.sql.
create or replace function pawl_write_v3_grant(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[])
returns pawl_grants_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_grants  pawl_grants_v1;
    v_raised  pawl_granted_v1[];
    v_told    pawl_granted_v1[];
begin
    with found as (
        -- By their keys, whatever the planner thinks of the table.
        select s.row from unnest(p_runs, p_steps) as q (run_id, step_no)
        cross join lateral (select y.ctid as row from step y where y.run_id = q.run_id and y.step_no = q.step_no
                                                               and y.status = 'ready' offset 0) as s
        where q.run_id = any (p_free)
    ), claimed as (
        update step s set
            status = 'running', fence = s.fence + 1, worker_id = p_worker, attempts = s.attempts + 1,
            component = coalesce(s.component, pawl_write_v1_active_component(s.run_id, s.step_no)),
            ready_at = null, shelved_by = null, claimed_at = now(), started_at = coalesce(s.started_at, now())
        -- By its place in the table, which stays under the run's lock.
        from found q
        where s.ctid = q.row
        returning s.run_id, s.step_no, s.fence, s.component, s.failures, s.crashes, s.journal_length,
                  s.checkpoint_position, s.attempts
    ), noted as (
        insert into claim (worker_id, runs, steps)
        select p_worker, array_agg(run_id), array_agg(step_no) from claimed having count(*) > 0
    )
    select array_agg(row(run_id, step_no, fence, component, failures, crashes, journal_length, checkpoint_position,
                         attempts > 1 and attempts < fence)::pawl_granted_v1),
           array_agg(row(run_id, case when attempts > 1 then 'step.resumed' else 'step.started' end, step_no, fence, p_worker,
                         case when attempts > 1
                              then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
                         end)::pawl_event_v1)
    into v_grants from claimed;
    select array_agg(g) into v_raised from unnest(v_grants.granted) as g where g.recovers;
    if v_raised is not null then
        with taken_over as (
            -- Also one that an earlier replacement has handed back.
            update recovery v set replacement_id = p_worker, claimed_at = greatest(now(), v.taken_over_at)
            from unnest(v_raised) as e
            where v.run_id = e.run_id and v.step_no = e.step_no and v.outcome is null
            returning v.run_id, v.step_no
        )
        select array_agg(row(g.run_id, g.step_no, g.fence, g.component, g.failures, g.crashes, g.journal_length,
                             g.checkpoint_position,
                             exists (select from taken_over t where t.run_id = g.run_id and t.step_no = g.step_no)
                            )::pawl_granted_v1)
        into v_told from unnest(v_grants.granted) as g;
        v_grants.granted := v_told;
    end if;
    return v_grants;
end
$$;

-- 0023_recovery.sql; for what a first sending has claimed.
create or replace function pawl_write_v3_claims(p_worker uuid, p_runs uuid[], p_steps int[]) returns setof pawl_written_v3
language plpgsql
as $$
#variable_conflict use_column
declare
    v_most  bigint := pawl_claim_bytes_v2();
begin
    return query
    select row(s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures, s.crashes, s.journal_length,
               s.checkpoint_position, case when n.bytes <= v_most then n.run_input end,
               case cardinality(p.needs) when 0 then null
                                         when 1 then case when n.bytes <= v_most then array[n.output] end
                                         else (n.needed).outputs end,
               coalesce((n.needed).apart, case when n.bytes > v_most then n.bytes end))::pawl_claimed_v2,
           null::pawl_told_v1,
           -- What nobody but claims has raised pays nothing.
           case when s.attempts > 1 and s.attempts < s.fence
                then exists (select from recovery v where v.run_id = s.run_id and v.step_no = s.step_no
                                                      and v.outcome is null and v.replacement_id = p_worker)
                else false end
    from (select a.run_id, array_agg(a.step_no) as steps from unnest(p_runs, p_steps) as a (run_id, step_no)
          group by a.run_id) as asked
    join run r on r.id = asked.run_id
    cross join lateral unnest(asked.steps) as q (step_no)
    -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
    cross join lateral (select * from step s where s.run_id = asked.run_id and s.step_no = q.step_no offset 0) as s
    cross join lateral (select p.needs from pipeline_step p
                        where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
    -- Of a run's input or a single output the size is known before the bytes are fetched.
    cross join lateral (
        select octet_length(r.input)::bigint as bytes, r.input as run_input, null::bytea as output,
               null::pawl_needed_v2 as needed
        where p.needs = '{}'
        union all
        select octet_length(y.output), null, y.output, null from step y
        where cardinality(p.needs) = 1 and y.run_id = s.run_id and y.step_no = p.needs[1]
        union all
        select null, null, null, pawl_write_v2_needed(s.run_id, s.step_no) where cardinality(p.needs) > 1
        offset 0) as n
    where s.status = 'running' and s.worker_id = p_worker;
end
$$;
