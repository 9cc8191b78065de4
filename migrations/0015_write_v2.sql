-- The group writer's round trip, second version. What is new:
--
-- *It waits for nobody.* Locks that somebody else holds are skipped: members that need them are answered as `busy`, with
-- nothing written, and all others go on. The worker sends them again by themselves. (Until a lock is there, a statement
-- would hold up every other run of the batch, and after its timeout the batch would be sent again, and again.)
--
-- *It reads nothing large.* Inputs of claimed steps come with the claim while they are small; of larger ones the answer
-- tells how many bytes there are, and the worker reads them after the commit, in pieces.
--
-- Other parts are those of the first version (0003 to 0005), which stays for workers of the last build.

-- A claimed step. Of a successor, the worker knows the pipeline, and the input unless it has several needs: null.
create type pawl_claimed_v2 as (
    run_id               uuid,
    step_no              int,
    fence                bigint,
    pipeline             bytea,
    component            bytea,
    failures             int,
    crashes              int,
    journal_length       int,
    checkpoint_position  int,
    run_input            bytea,
    needed_outputs       bytea[],
    -- What the input is made of is larger than a claim may be: so many bytes, to be read apart.
    apart                bigint
);

-- What a step needs: the outputs, or only their size.
create type pawl_needed_v2 as (
    outputs  bytea[],
    apart    bigint
);

create type pawl_written_v2 as (
    claimed  pawl_claimed_v2,
    told     pawl_told_v1
);

create type pawl_consequences_v2 as (
    refused    pawl_refused_v1[],
    events     pawl_event_v1[],
    claimed    pawl_claimed_v2[],
    has_ready  boolean
);

-- Bytes that a claim carries at most, of a run's input or of needed outputs.
create function pawl_claim_bytes_v2() returns bigint language sql immutable as 'select 65536::bigint';

-- Parameters as in the first version.
create function pawl_write_v2(
    p_worker       uuid,
    p_members      pawl_member_v1[],
    p_payloads     bytea[],
    p_with         text[],
    p_runs         uuid[],
    p_claim_runs   uuid[],
    p_claim_steps  int[]
) returns setof pawl_written_v2
language plpgsql
-- See 0010_plans.sql; its parts run under these.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Of the runs of outcomes: those whose lock is ours now, and those of them that are failing.
    v_held      uuid[] := '{}';
    v_failing   uuid[] := '{}';
    -- Steps without an outcome whose lock is ours now: places of their members.
    v_reached   int[];
    v_busy      int[];
    -- Runs of claims that nobody else holds.
    v_free      uuid[] := '{}';
    v_follows   pawl_consequences_v2;
    v_answered  bigint;
    v_told      pawl_told_v1;
begin
    -- Locks: runs before steps, each sorted. Whoever raises a fence holds the run's lock, so that a step with an
    -- outcome needs none of its own.
    if p_runs <> '{}' then
        select coalesce(array_agg(id), '{}'), coalesce(array_agg(id) filter (where failing), '{}')
        into v_held, v_failing
        from (select id, failing from run where id = any (p_runs) order by id for no key update skip locked) as locked;
        if cardinality(v_held) < cardinality(p_runs) then
            v_busy := array(
                select m.place from unnest(p_members) as m
                where m.outcome is not null and not m.run_id = any (v_held)
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

    if p_members <> '{}' then
        v_follows := pawl_write_v2_members(p_worker, p_members, p_payloads, p_with, v_held, v_failing);
        v_told.refused := v_follows.refused;
    end if;
    if v_busy <> '{}' then
        v_told.refused := v_told.refused
            || array(select row(place, 'busy')::pawl_refused_v1 from unnest(v_busy) as b (place));
    end if;
    if v_free <> '{}' then
        v_follows.events := v_follows.events || pawl_write_v1_claim(p_worker, v_free, p_claim_runs, p_claim_steps);
    end if;
    if v_follows.events is not null then
        v_told.ended := pawl_record_v1(v_follows.events);
    end if;

    if v_follows.has_ready then
        v_told.ready := pawl_ready_of_v1(v_follows.events);
    end if;
    if p_claim_runs <> '{}' then
        return query select c, null::pawl_told_v1 from pawl_write_v2_claims(p_worker, p_claim_runs, p_claim_steps) as c;
        get diagnostics v_answered = row_count;
        if v_answered < cardinality(p_claim_runs) then
            v_told.unclaimed := pawl_write_v1_unclaimed(p_worker, v_free, p_claim_runs, p_claim_steps);
        end if;
    end if;
    if v_follows.claimed is not null then
        return query select c, null::pawl_told_v1 from unnest(v_follows.claimed) as c;
    end if;
    return query select null::pawl_claimed_v2, v_told;
end
$$;

-- What the members write, and what follows from it.
create function pawl_write_v2_members(
    p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[], p_with text[], p_runs uuid[], p_failing uuid[]
) returns pawl_consequences_v2
language plpgsql
as $$
declare
    v_done     pawl_done_v1 := row('{}', null);
    -- Signals have come to the inbox, or steps that wait for some.
    v_give     boolean := 'awaits' = any (p_with);
    v_next     pawl_consequences_v2;
    v_follows  pawl_consequences_v2;
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
        v_next := pawl_write_v2_advance(p_worker, p_members, p_failing);
        v_follows.events := v_follows.events || v_next.events;
        v_follows.claimed := v_follows.claimed || v_next.claimed;
        v_follows.has_ready := v_follows.has_ready or v_next.has_ready;
    end if;
    return v_follows;
end
$$;

-- What the steps that a step needs have put out, in the order of its needs, or how much it is.
create function pawl_write_v2_needed(p_run uuid, p_step int) returns pawl_needed_v2
language plpgsql stable
as $$
declare
    v_needs   int[];
    v_needed  pawl_needed_v2;
begin
    select p.needs into v_needs
    from run r
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
    where r.id = p_run;
    select sum((select octet_length(s.output) from step s where s.run_id = p_run and s.step_no = n.step_no))
    into v_needed.apart
    from unnest(v_needs) as n (step_no);
    if v_needed.apart <= pawl_claim_bytes_v2() then
        v_needed.apart := null;
        v_needed.outputs := array(
            select (select s.output from step s where s.run_id = p_run and s.step_no = n.step_no)
            from unnest(v_needs) with ordinality as n (step_no, place) order by n.place);
    end if;
    return v_needed;
end
$$;

-- Successors of the members that succeeded. A step that ends hands its slot to the one that the worker wants, if
-- nothing else is needed for it: claimed at once. Others are ready.
create function pawl_write_v2_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[])
returns pawl_consequences_v2
language plpgsql
as $$
#variable_conflict use_column
declare
    v_follows  pawl_consequences_v2;
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
           coalesce(bool_or(not goes_on), false)
    into v_follows.events, v_follows.claimed, v_follows.has_ready
    from told;
    return v_follows;
end
$$;

-- Successors that a first sending of these members has claimed.
create function pawl_write_v2_claimed_before(p_worker uuid, p_members pawl_member_v1[], p_refused pawl_refused_v1[])
returns pawl_claimed_v2[]
language plpgsql
as $$
begin
    return (
        with again as (
            select s.*, case when m.next_joins then pawl_write_v2_needed(s.run_id, s.step_no) end as needed
            from unnest(p_refused) as v
            join unnest(p_members) as m on m.place = v.place
            join step s on s.run_id = m.run_id and s.step_no = m.next_step
            where v.verdict = 'done' and s.status = 'running' and s.worker_id = p_worker
            offset 0
        )
        select array_agg(row(a.run_id, a.step_no, a.fence, null, a.component, a.failures, a.crashes, a.journal_length,
                             a.checkpoint_position, null, (a.needed).outputs, (a.needed).apart)::pawl_claimed_v2)
        from again a);
end
$$;

-- What was asked for and is this worker's now. Also what a first sending claimed: the worker knows its own and drops
-- doubles.
create function pawl_write_v2_claims(p_worker uuid, p_runs uuid[], p_steps int[]) returns setof pawl_claimed_v2
language plpgsql
as $$
#variable_conflict use_column
declare
    v_most  bigint := pawl_claim_bytes_v2();
begin
    return query
    select s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures, s.crashes, s.journal_length,
           s.checkpoint_position,
           case when p.needs = '{}' and n.bytes <= v_most then r.input end,
           case when p.needs <> '{}' and n.bytes <= v_most then array(
               select (select y.output from step y where y.run_id = s.run_id and y.step_no = need.step_no)
               from unnest(p.needs) with ordinality as need (step_no, place) order by need.place) end,
           case when n.bytes > v_most then n.bytes end
    from unnest(p_runs, p_steps) as q (run_id, step_no)
    join run r on r.id = q.run_id
    -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
    cross join lateral (select * from step s where s.run_id = q.run_id and s.step_no = q.step_no offset 0) as s
    cross join lateral (select p.needs from pipeline_step p
                        where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
    -- Sizes only: nothing large is fetched for them.
    cross join lateral (select case when p.needs = '{}' then octet_length(r.input)::bigint else (
                            select sum((select octet_length(y.output) from step y
                                        where y.run_id = s.run_id and y.step_no = need))
                            from unnest(p.needs) as need) end as bytes offset 0) as n
    where s.status = 'running' and s.worker_id = p_worker;
end
$$;
