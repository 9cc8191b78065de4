-- The group writer's one round trip: everything that the concurrent steps of a worker want to write.
--
-- A *member* is one step's share of a batch: a journal segment, a checkpoint, an outcome, or several of
-- them. Some members' steps were run ahead of their claims, and both the claim and the success are written at
-- once: a *head start* is ready here, and nobody has claimed it before; a *follower* is still blocked, and its
-- only need is the member before it. A *claim* is a request for a ready step.
--
-- Here stand what goes in, what comes out and the flow. Its parts, which nobody else calls, are named after it: 0004
-- is about the members and their own steps, 0005 about other steps, and claims. Each is a statement or two over
-- the whole batch, so that their number does not depend on the number of members; what a batch has none of, by
-- `p_with`, costs none.
--
-- Sent again after a lost answer, it returns what the first call would have returned: the step row keeps
-- the worker and the fence of its last write, and a segment that is there with the same digest is seen.

-- Large bytes stand apart, in `p_payloads`, and are named here by their place there (from 1), so that what
-- several statements scan stays small. Null means "not this".
create type pawl_member_v1 as (
    -- From 1.
    place            int,
    run_id           uuid,
    step_no          int,
    fence            bigint,
    -- It was run ahead: the place of the member that its chain begins with (a head start's own), and the component
    -- that it ran on. A head start: its pipeline version, and the run's request, which says that the input was true.
    leader           int,
    component        bytea,
    pipeline         bytea,
    request          bytea,
    -- The next member is a follower of this one: nothing else needs this step.
    followed         boolean,
    -- It runs alone on its worker from now on.
    alone            boolean,
    -- Journal: drop the rows from this position on; then append.
    cut              int,
    first            int,
    length           int,
    digest           bytea,
    entries          int,
    -- Checkpoint.
    ordinal          int,
    position         int,
    random_position  bigint,
    effect_ordinal   int,
    prelude          int,
    state_digest     bytea,
    state            int,
    -- Progress.
    fraction         real,
    message          text,
    -- Outcome: succeeded, failed, retry, suspended, parked, released; the payload is the output or the error. Until
    -- when it waits; suspended: for which signal (null: it sleeps), and where the journal says so.
    outcome          text,
    payload          int,
    payload_digest   bytea,
    delay_ms         bigint,
    awaits           text,
    awaits_position  int,
    -- Steps that need this one; the one that the worker goes on with if it becomes ready, and whether that one
    -- needs others, too.
    successors       int[],
    next_step        int,
    next_joins       boolean
);

-- A member that was refused. All others are written.
create type pawl_refused_v1 as (
    place    int,
    -- lost: its step is no longer this worker's. gap: its segment does not start where the journal ends, a fault of
    -- the worker. seen, done: a first sending has written it, as a segment or as an outcome.
    verdict  text
);

-- A claimed step. Of a successor, the worker knows the pipeline, and the input unless it has several needs: null.
create type pawl_claimed_v1 as (
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
    needed_outputs       bytea[]
);

-- A claim that was not granted: the step is not ready, or its run is locked by somebody (busy: ask again).
create type pawl_unclaimed_v1 as (
    run_id   uuid,
    step_no  int,
    busy     boolean
);

-- What became of the batch, but for the claims. Null means "none".
create type pawl_told_v1 as (
    refused    pawl_refused_v1[],
    unclaimed  pawl_unclaimed_v1[],
    ready      pawl_ready_v1[],
    -- Runs that have ended.
    ended      uuid[]
);

-- A line of the answer: a claim, whose input may be large, or the last line, which tells the rest.
create type pawl_written_v1 as (
    claimed  pawl_claimed_v1,
    told     pawl_told_v1
);

-- What the members of a batch have come to, or some of them.
create type pawl_consequences_v1 as (
    refused    pawl_refused_v1[],
    -- What has happened to steps, for pawl_record_v1.
    events     pawl_event_v1[],
    -- Successors that the worker goes on with.
    claimed    pawl_claimed_v1[],
    -- Steps are ready, for whoever comes first.
    has_ready  boolean
);

create function pawl_write_v1(
    p_worker       uuid,
    p_members      pawl_member_v1[],
    p_payloads     bytea[],
    -- What there is among the members: claimed, unsettled, ahead, cuts, segments, checkpoints, failed, awaits (a
    -- signal), successors, released.
    p_with         text[],
    -- Runs of members with an outcome.
    p_runs         uuid[],
    -- Claims.
    p_claim_runs   uuid[],
    p_claim_steps  int[]
) returns setof pawl_written_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_failing   uuid[] := '{}';
    -- Runs of claims that nobody else holds.
    v_free      uuid[] := '{}';
    v_follows   pawl_consequences_v1;
    v_answered  bigint;
    v_told      pawl_told_v1;
begin
    -- Locks: runs before steps, each sorted. Whoever raises a fence holds the run's lock, so that a step with an
    -- outcome needs none of its own.
    if p_runs <> '{}' then
        select coalesce(array_agg(id) filter (where failing), '{}') into v_failing
        from (select id, failing from run where id = any (p_runs) order by id for no key update) as locked;
    end if;
    if p_claim_runs <> '{}' then
        select coalesce(array_agg(id), '{}') into v_free
        from (select id from run where id = any (p_claim_runs) order by id for no key update skip locked) as locked;
    end if;
    if 'unsettled' = any (p_with) then
        perform 1 from unnest(p_members) as m
        join step s on s.run_id = m.run_id and s.step_no = m.step_no
        where m.outcome is null
        order by s.run_id, s.step_no for no key update of s;
    end if;

    if p_members <> '{}' then
        v_follows := pawl_write_v1_members(p_worker, p_members, p_payloads, p_with, p_runs, v_failing);
        v_told.refused := v_follows.refused;
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
        return query select c, null::pawl_told_v1 from pawl_write_v1_claims(p_worker, p_claim_runs, p_claim_steps) as c;
        get diagnostics v_answered = row_count;
        if v_answered < cardinality(p_claim_runs) then
            v_told.unclaimed := pawl_write_v1_unclaimed(p_worker, v_free, p_claim_runs, p_claim_steps);
        end if;
    end if;
    if v_follows.claimed is not null then
        return query select c, null::pawl_told_v1 from unnest(v_follows.claimed) as c;
    end if;
    return query select null::pawl_claimed_v1, v_told;
end
$$;
