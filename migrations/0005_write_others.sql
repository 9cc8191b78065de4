-- The group writer's parts, second half: what follows for other steps, and claims. Under the locks of pawl_write_v1.

-- What the steps that a step needs have put out, in the order of its needs; null if it needs nothing.
create function pawl_write_v1_needed_outputs(p_run uuid, p_step int) returns bytea[]
language plpgsql stable
as $$
begin
    return (
        select array_agg((select s.output from step s where s.run_id = p_run and s.step_no = n.step_no)
                         order by n.place)
        from run r
        join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
        cross join lateral unnest(p.needs) with ordinality as n (step_no, place)
        where r.id = p_run);
end
$$;

-- The active component of a step's plugin, in its run's namespace: what it starts on if the submission has fixed none.
create function pawl_write_v1_active_component(p_run uuid, p_step int) returns bytea
language plpgsql stable
as $$
begin
    return (
        select v.digest
        from run r
        join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
        join plugin u on u.namespace = r.namespace and u.name = p.plugin
        join plugin_version v on v.namespace = u.namespace and v.name = u.name and v.version = u.active_version
        where r.id = p_run);
end
$$;

-- A failed step starts nothing new: ends what does not run of these runs.
create function pawl_write_v1_stop(p_failing uuid[]) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with stopped as (
        update step s set status = 'cancelled', ended_at = now(), fence = s.fence + 1, due_at = null, ready_at = null
        where s.run_id = any (p_failing) and s.status in ('blocked', 'ready', 'waiting', 'parked')
        returning s.run_id, s.step_no, s.fence
    )
    select array_agg(row(run_id, 'step.cancelled', step_no, fence, null, 'another step failed')::pawl_event_v1
                     order by run_id, step_no)
    into v_events from stopped;
    return v_events;
end
$$;

-- Successors of the members that succeeded. A step that ends hands its slot to the one that the worker wants, if
-- nothing else is needed for it: claimed at once. Others are ready.
create function pawl_write_v1_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[])
returns pawl_consequences_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_follows  pawl_consequences_v1;
begin
    with met as (
        select m.run_id, next.step_no, count(*)::int as needs,
               coalesce(bool_or(next.step_no = m.next_step), false) as wanted, bool_or(m.next_joins) as joins
        from unnest(p_members) as m
        cross join lateral unnest(m.successors) as next (step_no)
        where not m.followed and not m.run_id = any (p_failing)
        group by m.run_id, next.step_no
    ), found as (
        -- By their keys, whatever the planner thinks of the table.
        select m.needs, m.joins, s.row, s.unmet = m.needs as opens, s.unmet = m.needs and m.wanted as goes_on
        from met m
        cross join lateral (select y.ctid as row, y.unmet from step y
                            where y.run_id = m.run_id and y.step_no = m.step_no and y.status = 'blocked' offset 0) as s
    ), advanced as (
        update step s set
            unmet = s.unmet - n.needs,
            status = case when n.goes_on then 'running' when n.opens then 'ready' else 'blocked' end,
            ready_at = case when n.opens and not n.goes_on then now() end,
            fence = s.fence + n.goes_on::int,
            worker_id = case when n.goes_on then p_worker else s.worker_id end,
            component = case when n.goes_on and s.component is null
                             then pawl_write_v1_active_component(s.run_id, s.step_no) else s.component end,
            attempts = s.attempts + n.goes_on::int,
            claimed_at = case when n.goes_on then now() else s.claimed_at end,
            started_at = case when n.goes_on then coalesce(s.started_at, now()) else s.started_at end
        -- By its place in the table, which stays under the run's lock.
        from found n
        where s.ctid = n.row
        returning s.run_id, s.step_no, s.fence, s.component, s.failures, s.crashes, s.journal_length,
                  s.checkpoint_position, n.opens, n.goes_on, n.joins
    )
    select array_agg(row(run_id, case when goes_on then 'step.started' else 'step.ready' end, step_no, fence,
                         case when goes_on then p_worker end, null)::pawl_event_v1),
           array_agg(row(run_id, step_no, fence, null, component, failures, crashes, journal_length,
                         checkpoint_position, null, case when joins then pawl_write_v1_needed_outputs(run_id, step_no) end
                     )::pawl_claimed_v1) filter (where goes_on),
           coalesce(bool_or(not goes_on), false)
    into v_follows.events, v_follows.claimed, v_follows.has_ready
    from advanced where opens;
    return v_follows;
end
$$;

-- Successors that a first sending of these members has claimed.
create function pawl_write_v1_claimed_before(p_worker uuid, p_members pawl_member_v1[], p_refused pawl_refused_v1[])
returns pawl_claimed_v1[]
language plpgsql
as $$
begin
    return (
        select array_agg(row(s.run_id, s.step_no, s.fence, null, s.component, s.failures, s.crashes, s.journal_length,
                             s.checkpoint_position, null,
                             case when m.next_joins then pawl_write_v1_needed_outputs(s.run_id, s.step_no) end
                         )::pawl_claimed_v1)
        from unnest(p_refused) as v
        join unnest(p_members) as m on m.place = v.place
        join step s on s.run_id = m.run_id and s.step_no = m.next_step
        where v.verdict = 'done' and s.status = 'running' and s.worker_id = p_worker);
end
$$;

-- Claims what is ready of the steps that were asked for, in the runs that are free.
create function pawl_write_v1_claim(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[]) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
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
            ready_at = null, claimed_at = now(), started_at = coalesce(s.started_at, now())
        -- By its place in the table, which stays under the run's lock.
        from found q
        where s.ctid = q.row
        returning s.run_id, s.step_no, s.fence, s.attempts, s.journal_length, s.checkpoint_position
    )
    select array_agg(row(
               run_id, case when attempts > 1 then 'step.resumed' else 'step.started' end, step_no, fence, p_worker,
               case when attempts > 1
                    then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
               end)::pawl_event_v1)
    into v_events from claimed;
    return v_events;
end
$$;

-- What was asked for and is this worker's now. Also what a first sending claimed: the worker knows its own and drops
-- doubles.
create function pawl_write_v1_claims(p_worker uuid, p_runs uuid[], p_steps int[]) returns setof pawl_claimed_v1
language plpgsql
as $$
#variable_conflict use_column
begin
    return query
    select s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures, s.crashes, s.journal_length,
           s.checkpoint_position,
           case when p.needs = '{}' then r.input end,
           case when p.needs <> '{}' then array(
               select (select n.output from step n where n.run_id = s.run_id and n.step_no = need.step_no)
               from unnest(p.needs) with ordinality as need (step_no, place) order by need.place) end
    from unnest(p_runs, p_steps) as q (run_id, step_no)
    join run r on r.id = q.run_id
    -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
    cross join lateral (select * from step s where s.run_id = q.run_id and s.step_no = q.step_no offset 0) as s
    cross join lateral (select p.needs from pipeline_step p
                        where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
    where s.status = 'running' and s.worker_id = p_worker;
end
$$;

-- What was asked for and is not this worker's.
create function pawl_write_v1_unclaimed(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[])
returns pawl_unclaimed_v1[]
language plpgsql
as $$
begin
    return array(
        select row(q.run_id, q.step_no,
                   r.id is not null and r.ended_at is null and not r.id = any (p_free))::pawl_unclaimed_v1
        from unnest(p_runs, p_steps) as q (run_id, step_no)
        left join run r on r.id = q.run_id
        left join step s on s.run_id = q.run_id and s.step_no = q.step_no
        where (s.status = 'running' and s.worker_id = p_worker) is not true);
end
$$;
