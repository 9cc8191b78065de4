-- What is known is not looked up again: a claim's columns are those that the claim itself has written, what steps of one
-- run need together is read once for all of them, and steps that an outcome has made ready are told from their change.

-- What was claimed by this very batch: the columns of its steps, and what that adds to histories.
create type pawl_granted_v1 as (
    run_id               uuid,
    step_no              int,
    fence                bigint,
    component            bytea,
    failures             int,
    crashes              int,
    journal_length       int,
    checkpoint_position  int,
    recovers             boolean
);
create type pawl_grants_v1 as (
    granted  pawl_granted_v1[],
    events   pawl_event_v1[]
);

-- pawl_write_v3_claim of 0023_recovery.sql, with the columns of what it claims.
create function pawl_write_v3_grant(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[]) returns pawl_grants_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_grants  pawl_grants_v1;
    v_raised  pawl_granted_v1[];
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
        -- Also one that an earlier replacement has handed back.
        update recovery v set replacement_id = p_worker, claimed_at = greatest(now(), v.taken_over_at)
        from unnest(v_raised) as e
        where v.run_id = e.run_id and v.step_no = e.step_no and v.outcome is null;
    end if;
    return v_grants;
end
$$;

-- pawl_write_v3_claims of 0023_recovery.sql for what was claimed by now: steps of a run that need the same are answered
-- with one look at it.
create function pawl_write_v3_granted(p_granted pawl_granted_v1[]) returns setof pawl_written_v3
language plpgsql stable
as $$
#variable_conflict use_column
declare
    v_most  bigint := pawl_claim_bytes_v2();
begin
    return query
    select row(s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures, s.crashes, s.journal_length,
               s.checkpoint_position, case when n.bytes <= v_most then n.run_input end,
               case cardinality(alike.needs) when 0 then null
                                             when 1 then case when n.bytes <= v_most then array[n.output] end
                                             else (n.needed).outputs end,
               coalesce((n.needed).apart, case when n.bytes > v_most then n.bytes end))::pawl_claimed_v2,
           null::pawl_told_v1, s.recovers
    from (select g.run_id, array_agg(g) as steps from unnest(p_granted) as g group by g.run_id) as claimed
    join run r on r.id = claimed.run_id
    cross join lateral (
        select p.needs, array_agg(g) as steps, min(g.step_no) as any_step
        from unnest(claimed.steps) as g
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select p.needs from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = g.step_no offset 0) as p
        group by p.needs) as alike
    -- Of a run's input or a single output the size is known before the bytes are fetched.
    cross join lateral (
        select octet_length(r.input)::bigint as bytes, r.input as run_input, null::bytea as output,
               null::pawl_needed_v2 as needed
        where alike.needs = '{}'
        union all
        select octet_length(y.output), null, y.output, null from step y
        where cardinality(alike.needs) = 1 and y.run_id = claimed.run_id and y.step_no = alike.needs[1]
        union all
        select null, null, null, pawl_write_v2_needed(claimed.run_id, alike.any_step) where cardinality(alike.needs) > 1
        offset 0) as n
    cross join lateral unnest(alike.steps) as s;
end
$$;

-- What the members of a batch have come to, or some of them.
create type pawl_consequences_v3 as (
    refused    pawl_refused_v1[],
    events     pawl_event_v1[],
    claimed    pawl_claimed_v2[],
    -- Steps that an outcome has made ready.
    ready      pawl_ready_v1[],
    -- Others have become ready, too.
    has_ready  boolean
);

-- 0015_write_v2.sql, with what advances told by itself.
create function pawl_write_v3_members(
    p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[], p_with text[], p_runs uuid[], p_failing uuid[]
) returns pawl_consequences_v3
language plpgsql
as $$
declare
    v_done     pawl_done_v1 := row('{}', null);
    -- Signals have come to the inbox, or steps that wait for some.
    v_give     boolean := 'awaits' = any (p_with);
    v_next     pawl_consequences_v3;
    v_follows  pawl_consequences_v3;
begin
    -- Steps, each under its guard; then journals and checkpoints of those that passed.
    if 'claimed' = any (p_with) then
        v_done := pawl_write_v1_steps(p_worker, p_members, p_payloads);
    end if;
    if 'ahead' = any (p_with) then
        v_done := pawl_write_v1_ahead(p_worker, p_members, p_payloads, p_failing, v_done);
    end if;
    if cardinality(v_done.places) < cardinality(p_members) then
        v_follows.refused := pawl_write_v1_judge(p_worker, p_members, v_done.places);
        v_follows.claimed := pawl_write_v2_claimed_before(p_worker, p_members, v_follows.refused);
        p_members := pawl_write_v1_kept(p_members, v_done.places);
    end if;
    if 'cuts' = any (p_with) then
        v_give := pawl_write_v1_cut(p_members) or v_give;
    end if;
    if 'segments' = any (p_with) then
        perform pawl_write_v1_append(p_members, p_payloads);
    end if;
    if 'checkpoints' = any (p_with) then
        perform pawl_write_v1_save(p_members, p_payloads);
    end if;
    if v_done.events is null then
        return v_follows;
    end if;

    -- What follows from outcomes.
    v_follows.events := v_done.events;
    v_follows.has_ready := v_give or 'released' = any (p_with);
    if 'failed' = any (p_with) then
        p_failing := p_failing || array(select e.run_id from unnest(v_done.events) as e where e.kind = 'step.failed');
    end if;
    if p_failing <> '{}' then
        v_follows.events := v_follows.events || pawl_write_v1_stop(p_failing);
    end if;
    -- The look that a suspension owes: a signal that came before it would wake nobody.
    if v_give then
        v_follows.events := v_follows.events || pawl_give_signals_v1(p_runs);
    end if;
    if 'successors' = any (p_with) then
        v_next := pawl_write_v3_advance(p_worker, p_members, p_failing);
        v_follows.events := v_follows.events || v_next.events;
        v_follows.claimed := v_follows.claimed || v_next.claimed;
        v_follows.ready := v_next.ready;
    end if;
    return v_follows;
end
$$;

-- 0016_claims.sql, with what is ready told as it is delivered.
create function pawl_write_v3_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[])
returns pawl_consequences_v3
language plpgsql
as $$
#variable_conflict use_column
declare
    v_follows  pawl_consequences_v3;
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
                  s.checkpoint_position, s.queue, s.priority, s.ready_at, n.opens, n.goes_on, n.joins
    ), noted as (
        insert into claim (worker_id, successors, runs, steps)
        select p_worker, true, array_agg(run_id), array_agg(step_no) from advanced where goes_on having count(*) > 0
    ), told as (
        select a.*, case when a.goes_on and a.joins then pawl_write_v2_needed(a.run_id, a.step_no) end as needed
        from advanced a
        where a.opens
        offset 0
    )
    select array_agg(row(run_id, case when goes_on then 'step.started' else 'step.ready' end, step_no, fence,
                         case when goes_on then p_worker end, null)::pawl_event_v1),
           array_agg(row(run_id, step_no, fence, null, component, failures, crashes, journal_length,
                         checkpoint_position, null, (needed).outputs, (needed).apart
                     )::pawl_claimed_v2) filter (where goes_on),
           array_agg(row(run_id, step_no, queue, priority, (extract(epoch from ready_at) * 1000)::bigint)::pawl_ready_v1)
               filter (where not goes_on)
    into v_follows.events, v_follows.claimed, v_follows.ready
    from told;
    return v_follows;
end
$$;

-- 0023_recovery.sql, with these parts.
create or replace function pawl_write_v3(
    p_worker       uuid,
    p_members      pawl_member_v1[],
    p_payloads     bytea[],
    p_with         text[],
    p_runs         uuid[],
    p_claim_runs   uuid[],
    p_claim_steps  int[],
    p_recovered    pawl_recovered_v1[]
) returns setof pawl_written_v3
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Of the runs of `p_runs`: those whose lock is ours now, and those of them that are failing.
    v_held       uuid[] := '{}';
    v_failing    uuid[] := '{}';
    -- Places of members that tell of a recovery, and what that adds to histories.
    v_telling    int[] := '{}';
    v_recovered  pawl_event_v1[];
    -- Steps without an outcome whose lock is ours now: places of their members.
    v_reached    int[];
    v_busy       int[];
    -- Runs of claims that nobody else holds.
    v_free       uuid[] := '{}';
    v_follows    pawl_consequences_v3;
    v_grants     pawl_grants_v1;
    -- What was asked for and is not claimed by now.
    v_left_runs  uuid[];
    v_left_steps int[];
    v_answered   bigint;
    v_told       pawl_told_v1;
begin
    -- Locks: runs before steps, each sorted. Whoever raises a fence holds the run's lock, so that a step with an
    -- outcome needs none of its own.
    if p_recovered <> '{}' then
        v_telling := array(select v.place from unnest(p_recovered) as v);
    end if;
    if p_runs <> '{}' then
        select coalesce(array_agg(id), '{}'), coalesce(array_agg(id) filter (where failing), '{}')
        into v_held, v_failing
        from (select id, failing from run where id = any (p_runs) order by id for no key update skip locked) as locked;
        if cardinality(v_held) < cardinality(p_runs) then
            v_busy := array(
                select m.place from unnest(p_members) as m
                where (m.outcome is not null or m.place = any (v_telling)) and not m.run_id = any (v_held)
                  and exists (select from run r where r.id = m.run_id));
        end if;
    end if;
    if p_claim_runs <> '{}' then
        select coalesce(array_agg(id), '{}') into v_free
        from (select id from run where id = any (p_claim_runs) order by id for no key update skip locked) as locked;
    end if;
    if 'unsettled' = any (p_with) then
        v_reached := array(
            select m.place from unnest(p_members) as m
            join step s on s.run_id = m.run_id and s.step_no = m.step_no
            where m.outcome is null
            order by s.run_id, s.step_no for no key update of s skip locked);
        if cardinality(v_reached) < (select count(*) from unnest(p_members) as m where m.outcome is null) then
            v_busy := v_busy || array(
                select m.place from unnest(p_members) as m
                where m.outcome is null and not m.place = any (v_reached)
                  and exists (select from step s where s.run_id = m.run_id and s.step_no = m.step_no));
        end if;
    end if;
    if v_busy <> '{}' then
        p_members := pawl_write_v1_kept(
            p_members, array(select m.place from unnest(p_members) as m where not m.place = any (v_busy)));
    end if;

    -- Under the members' own guard, and so before they write: a failure among them may stop such a step at once.
    if p_recovered <> '{}' then
        v_recovered := pawl_write_v3_recovered(p_worker, p_recovered, v_held, v_busy);
    end if;
    if p_members <> '{}' then
        v_follows := pawl_write_v3_members(p_worker, p_members, p_payloads, p_with, v_held, v_failing);
        v_told.refused := v_follows.refused;
    end if;
    if v_recovered is not null then
        v_follows.events := v_recovered || v_follows.events;
    end if;
    if v_busy <> '{}' then
        v_told.refused := v_told.refused
            || array(select row(place, 'busy')::pawl_refused_v1 from unnest(v_busy) as b (place));
    end if;
    if v_free <> '{}' then
        v_grants := pawl_write_v3_grant(p_worker, v_free, p_claim_runs, p_claim_steps);
        v_follows.events := v_follows.events || v_grants.events;
    end if;
    if v_follows.events is not null then
        v_told.ended := pawl_record_v1(v_follows.events);
    end if;

    if v_follows.has_ready or v_follows.ready is not null and v_grants.granted is not null then
        -- Some may have been claimed, or cancelled with their run, since they became ready.
        v_told.ready := pawl_ready_of_v1(v_follows.events);
    else
        v_told.ready := v_follows.ready;
    end if;
    if p_claim_runs <> '{}' then
        return query select * from pawl_write_v3_granted(v_grants.granted);
        if coalesce(cardinality(v_grants.granted), 0) < cardinality(p_claim_runs) then
            -- A first sending may have claimed them.
            select array_agg(a.run_id), array_agg(a.step_no) into v_left_runs, v_left_steps
            from unnest(p_claim_runs, p_claim_steps) as a (run_id, step_no)
            where not exists (select from unnest(v_grants.granted) as g
                              where g.run_id = a.run_id and g.step_no = a.step_no);
            return query select * from pawl_write_v3_claims(p_worker, v_left_runs, v_left_steps);
            get diagnostics v_answered = row_count;
            if v_answered < cardinality(v_left_runs) then
                v_told.unclaimed := pawl_write_v1_unclaimed(p_worker, v_free, v_left_runs, v_left_steps);
            end if;
        end if;
    end if;
    if v_follows.claimed is not null then
        -- Successors: nobody has claimed them before.
        return query select c, null::pawl_told_v1, false from unnest(v_follows.claimed) as c;
    end if;
    return query select null::pawl_claimed_v2, v_told, false;
end
$$;
