-- The group writer's one round trip: everything that the concurrent steps of a worker want to write.
--
-- A *member* is one step's share of a batch: a journal segment, a checkpoint, an outcome, or several of
-- them. Some members' steps were run ahead of their claims, and both the claim and the success are written at
-- once: a *head start* is ready here, and nobody has claimed it before; a *follower* is still blocked, and its
-- only need is the member before it. A *claim* is a request for a ready step. The number of statements does not
-- depend on the number of members.
--
--   1 lock runs of outcomes (wait), runs of claims (skip the locked: `busy`)       runs before steps
--   2 lock the steps of members without an outcome
--   3 steps, each under its guard: run, step, worker, fence; those that were run ahead, if what was guessed for
--     them is true; those that were refused are judged
--   4 journal, checkpoints
--   5 what is left of runs that fail ends; signals for those that wait
--   6 successors of what succeeded: ready, or claimed for the same worker at once
--   7 claims
--   8 record what has happened: events, counters, runs; answer
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

create type pawl_written_v1 as (
    -- 'member': the member at that place was refused: lost (no longer this worker's) or gap (a segment that
    --           does not start where the journal ends: a fault of the worker). All others are written.
    -- 'claim':  verdict claimed, not_ready, busy (try again). Of a claimed successor, the worker knows the
    --           pipeline, and the input unless it has several needs.
    -- 'ready':  a step to be delivered
    -- 'ended':  a run that has ended
    kind                 text,
    verdict              text,
    place                int,
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
    queue                text,
    priority             text,
    ready_at_ms          bigint
);

-- What the steps that a step needs have put out, in the order of its needs; null if it needs nothing.
create function pawl_needed_outputs_v1(p_run uuid, p_step int) returns bytea[]
language sql stable
as $$
    select array_agg((select s.output from step s where s.run_id = p_run and s.step_no = n.step_no) order by n.place)
    from run r
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
    cross join lateral unnest(p.needs) with ordinality as n (step_no, place)
    where r.id = p_run
$$;

-- The active component of a step's plugin, in its run's namespace: what it starts on if the submission has fixed none.
create function pawl_active_component_v1(p_run uuid, p_step int) returns bytea
language sql stable
as $$
    select v.digest
    from run r
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
    join plugin u on u.namespace = r.namespace and u.name = p.plugin
    join plugin_version v on v.namespace = u.namespace and v.name = u.name and v.version = u.active_version
    where r.id = p_run
$$;

create function pawl_write_v1(
    p_worker    uuid,
    p_members   pawl_member_v1[],
    p_payloads  bytea[],
    -- What there is among the members, so that statements without work are left out: claimed, unsettled, ahead,
    -- cuts, segments, checkpoints, failed, awaits (a signal), successors, released.
    p_with      text[],
    -- Runs of members with an outcome.
    p_runs      uuid[],
    -- Claims.
    q_run       uuid[],
    q_step      int[]
) returns setof pawl_written_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_failing    uuid[];
    v_claimable  uuid[];
    -- Places of members: written; the others, and what was found of them.
    v_written    int[] := '{}';
    v_refused    int[];
    v_verdict    text[];
    v_events     pawl_event_v1[];
    v_more       pawl_event_v1[];
    v_claimed    pawl_written_v1[];
    v_deliver    boolean := 'released' = any (p_with);
    v_give       boolean := 'awaits' = any (p_with);
    v_ended      uuid[];
    v_answered   bigint;
begin
    -- 1 Locks: runs first, sorted.
    if p_runs <> '{}' then
        select coalesce(array_agg(id) filter (where failing), '{}') into v_failing
        from (select id, failing from run where id = any (p_runs) order by id for no key update) as locked;
    end if;
    if q_run <> '{}' then
        select coalesce(array_agg(id), '{}') into v_claimable
        from (select id from run where id = any (q_run) order by id for no key update skip locked) as locked;
    end if;

    if p_members <> '{}' then
        -- 2 Steps, sorted. Those with an outcome stand under their run's lock already: whoever raises a fence
        -- holds it.
        if 'unsettled' = any (p_with) then
            perform 1 from unnest(p_members) as m
            join step s on s.run_id = m.run_id and s.step_no = m.step_no
            where m.outcome is null
            order by s.run_id, s.step_no for no key update of s;
        end if;

        -- 3 Steps, under their guard.
        if 'claimed' = any (p_with) then
            with written as (
                update step s set
                    journal_length = coalesce(m.first + m.length, m.cut, s.journal_length),
                    -- Whoever adds to a journal has gone through all of it.
                    recorded_by = case when m.first is null then s.recorded_by end,
                    checkpoint_position = case when m.ordinal > s.checkpoint_ordinal then m.position
                                               else s.checkpoint_position end,
                    checkpoint_ordinal = greatest(s.checkpoint_ordinal, m.ordinal),
                    progress = coalesce(m.fraction, s.progress),
                    progress_message = case when m.fraction is null then s.progress_message else m.message end,
                    status = case m.outcome when 'succeeded' then 'succeeded' when 'failed' then 'failed'
                                            when 'retry' then 'waiting' when 'suspended' then 'waiting'
                                            when 'parked' then 'parked' when 'released' then 'ready' else s.status end,
                    alone = m.outcome is null and (m.alone or s.alone),
                    failures = s.failures + (m.outcome is not null and m.outcome in ('failed', 'retry'))::int,
                    output = case when m.outcome = 'succeeded' then p_payloads[m.payload] end,
                    output_digest = case when m.outcome = 'succeeded' then m.payload_digest end,
                    error = case when m.outcome in ('failed', 'retry', 'parked') then p_payloads[m.payload]
                                 when m.outcome in ('succeeded', 'suspended') then null else s.error end,
                    due_at = now() + m.delay_ms * interval '1 millisecond',
                    awaits_position = m.awaits_position,
                    awaits_until = case when m.outcome = 'suspended' then now() + m.delay_ms * interval '1 millisecond' end,
                    awaits = m.awaits,
                    ready_at = case when m.outcome = 'released' then now() end,
                    ended_at = case when m.outcome in ('succeeded', 'failed') then now() end
                from unnest(p_members) as m
                where m.leader is null and s.run_id = m.run_id and s.step_no = m.step_no
                  and s.status = 'running' and s.worker_id = p_worker and s.fence = m.fence
                  and (m.first is null or m.cut is not null or m.first = s.journal_length)
                returning m.place, s.run_id, s.step_no, s.fence, m.outcome, m.delay_ms, m.awaits
            )
            select coalesce(array_agg(place), '{}'),
                   array_agg(row(run_id, case outcome when 'retry' then 'step.retrying' when 'suspended' then 'step.waiting'
                                                      when 'released' then 'step.handed_back' else 'step.' || outcome end,
                                 step_no, fence, p_worker,
                                 case when outcome = 'retry' then 'in ' || delay_ms || ' ms'
                                      when awaits is not null then 'signal ' || awaits || coalesce(', at most ' || delay_ms || ' ms', '')
                                      when outcome = 'suspended' then 'sleep ' || delay_ms || ' ms' end
                             )::pawl_event_v1) filter (where outcome is not null)
            into v_written, v_events
            from written;
        end if;

        -- Those that were run ahead: each stands if all before it in its chain do.
        if 'ahead' = any (p_with) then
            with chain as (
                select m.place, m.fence, m.component, m.length, m.fraction, m.message, m.payload, m.payload_digest, s.row,
                       bool_and(s.fence = m.fence - 1
                                and coalesce(s.component, pawl_active_component_v1(s.run_id, s.step_no)) = m.component
                                and case when m.leader = m.place then s.status = 'ready' and exists (
                                             select from run r where r.id = m.run_id
                                             and r.pipeline_digest = m.pipeline and r.request_digest = m.request)
                                         else s.status = 'blocked' and s.unmet = 1 end) over before
                       and (m.leader = any (v_written) or bool_or(m.leader = m.place) over before) as stands
                from unnest(p_members) as m
                cross join lateral (select y.ctid as row, y.run_id, y.step_no, y.status, y.unmet, y.fence, y.component
                                    from step y where y.run_id = m.run_id and y.step_no = m.step_no offset 0) as s
                where m.leader is not null and not m.run_id = any (v_failing)
                window before as (partition by m.leader order by m.place)
            ), written as (
                -- By its place in the table, which stays under the run's lock.
                update step s set
                    status = 'succeeded', unmet = 0, fence = m.fence, worker_id = p_worker, component = m.component,
                    attempts = s.attempts + 1, ready_at = null,
                    journal_length = coalesce(m.length, 0), progress = m.fraction, progress_message = m.message,
                    output = p_payloads[m.payload], output_digest = m.payload_digest, error = null,
                    claimed_at = now(), started_at = now(), ended_at = now()
                from chain m
                where m.stands and s.ctid = m.row
                returning m.place, s.run_id, s.step_no, s.fence
            )
            select v_written || array_agg(place) filter (where turn = 1),
                   v_events || array_agg(row(run_id, kind, step_no, fence, p_worker, null)::pawl_event_v1 order by place, turn)
            into v_written, v_events
            from written cross join (values (1, 'step.started'), (2, 'step.succeeded')) as told (turn, kind);
        end if;

        -- Those that were refused: a first sending has written them (seen, done), or they may not write.
        if cardinality(v_written) < cardinality(p_members) then
            select array_agg(m.place), array_agg(
                case
                    when s.status = 'running' and s.worker_id = p_worker and s.fence = m.fence and m.leader is null then
                        case when m.first + m.length = s.journal_length and exists (
                                select from journal j where j.run_id = m.run_id and j.step_no = m.step_no
                                and j.first = m.first and j.digest = m.digest) then 'seen'
                             else 'gap' end
                    when m.outcome is not null and s.worker_id = p_worker and s.fence = m.fence
                         and (s.status = 'succeeded'
                              or m.leader is null and s.status in ('failed', 'waiting', 'parked', 'ready')) then 'done'
                    else 'lost'
                end)
            into v_refused, v_verdict
            from unnest(p_members) as m
            left join step s on s.run_id = m.run_id and s.step_no = m.step_no
            where not m.place = any (v_written);
            return query
            select 'member', v.verdict, v.place, null::uuid, null::int, null::bigint, null::bytea, null::bytea, null::int,
                   null::int, null::int, null::int, null::bytea, null::bytea[], null::text, null::text, null::bigint
            from unnest(v_refused, v_verdict) as v (place, verdict) where v.verdict in ('lost', 'gap');
        end if;

        -- 4 Journal, checkpoints.
        if 'cuts' = any (p_with) then
            delete from journal j
            using unnest(p_members) as m
            where m.place = any (v_written) and j.run_id = m.run_id and j.step_no = m.step_no and j.first >= m.cut;
            -- Signals that the dropped entries had taken return to the inbox, for whoever waits for them now. Such an
            -- entry is the last of its row, since a suspension ends the batch: what is appended again is before it.
            update signal g set step_no = null, position = null
            from unnest(p_members) as m
            where m.place = any (v_written) and g.run_id = m.run_id and g.step_no = m.step_no and g.position >= m.cut;
            v_give := v_give or found;
        end if;
        if 'segments' = any (p_with) then
            insert into journal (run_id, step_no, first, length, digest, bytes)
            select m.run_id, m.step_no, m.first, m.length, m.digest, p_payloads[m.entries]
            from unnest(p_members) as m
            where m.first is not null and (v_refused is null or m.place = any (v_written));
        end if;
        if 'checkpoints' = any (p_with) then
            insert into checkpoint as k
                (run_id, step_no, ordinal, position, random_position, effect_ordinal, prelude, digest, state)
            select m.run_id, m.step_no, m.ordinal, m.position, m.random_position, m.effect_ordinal, m.prelude,
                   m.state_digest, p_payloads[m.state]
            from unnest(p_members) as m
            where m.ordinal is not null and (v_refused is null or m.place = any (v_written))
            on conflict (run_id, step_no) do update set
                ordinal = excluded.ordinal, position = excluded.position,
                random_position = excluded.random_position, effect_ordinal = excluded.effect_ordinal,
                prelude = excluded.prelude, digest = excluded.digest, state = excluded.state, created_at = now()
            where k.ordinal < excluded.ordinal;
        end if;

        -- 5 A failed step starts nothing new: what is not running ends here.
        if 'failed' = any (p_with) then
            v_failing := v_failing || array(select e.run_id from unnest(v_events) as e where e.kind = 'step.failed');
        end if;
        if v_failing <> '{}' and v_events is not null then
            with stopped as (
                update step s set status = 'cancelled', ended_at = now(), fence = s.fence + 1, due_at = null, ready_at = null
                where s.run_id = any (v_failing) and s.status in ('blocked', 'ready', 'waiting', 'parked')
                returning s.run_id, s.step_no, s.fence
            )
            select v_events || array_agg(row(run_id, 'step.cancelled', step_no, fence, null, 'another step failed')::pawl_event_v1
                                         order by run_id, step_no)
            into v_events from stopped;
        end if;
        -- The look at the inbox that a suspension owes: a signal that came before it would wake nobody.
        if v_give and v_events is not null then
            v_more := pawl_give_signals_v1(p_runs);
            v_events := v_events || v_more;
            v_deliver := v_deliver or v_more is not null;
        end if;

        -- 6 Successors. A step that ends hands its slot to the one that the worker wants; others are delivered.
        if 'successors' = any (p_with) and v_events is not null then
            with met as (
                select m.run_id, next.step_no, count(*)::int as needs, coalesce(bool_or(next.step_no = m.next_step), false) as wanted,
                       bool_or(m.next_joins) as joins
                from unnest(p_members) as m
                cross join lateral unnest(m.successors) as next (step_no)
                where case when v_refused is null then not m.followed else m.place = any (v_written) end
                  and not m.run_id = any (v_failing)
                group by m.run_id, next.step_no
            ), found as (
                -- By their keys, whatever the planner thinks of the table.
                select m.*, s.row from met m
                cross join lateral (select y.ctid as row from step y where y.run_id = m.run_id and y.step_no = m.step_no
                                                                       and y.status = 'blocked' offset 0) as s
            ), advanced as (
                update step s set
                    unmet = s.unmet - m.needs,
                    status = case when s.unmet > m.needs then 'blocked' when m.wanted then 'running' else 'ready' end,
                    ready_at = case when s.unmet = m.needs and not m.wanted then now() end,
                    fence = s.fence + (s.unmet = m.needs and m.wanted)::int,
                    worker_id = case when s.unmet = m.needs and m.wanted then p_worker else s.worker_id end,
                    component = case when s.component is null and s.unmet = m.needs and m.wanted
                                     then pawl_active_component_v1(s.run_id, s.step_no) else s.component end,
                    attempts = s.attempts + (s.unmet = m.needs and m.wanted)::int,
                    claimed_at = case when s.unmet = m.needs and m.wanted then now() else s.claimed_at end,
                    started_at = case when s.unmet = m.needs and m.wanted then coalesce(s.started_at, now())
                                      else s.started_at end
                -- By its place in the table, which stays under the run's lock.
                from found m
                where s.ctid = m.row
                returning s.run_id, s.step_no, s.fence, s.status, s.component, s.failures, s.crashes, s.journal_length,
                          s.checkpoint_position, m.joins
            )
            select v_events || array_agg(row(run_id, case status when 'running' then 'step.started' else 'step.ready' end, step_no,
                                             fence, case status when 'running' then p_worker end, null)::pawl_event_v1),
                   array_agg(row('claim', 'claimed', null, run_id, step_no, fence, null, component, failures, crashes,
                                 journal_length, checkpoint_position, null,
                                 case when joins then pawl_needed_outputs_v1(run_id, step_no) end, null, null, null)::pawl_written_v1) filter (where status = 'running'),
                   v_deliver or coalesce(bool_or(status = 'ready'), false)
            into v_events, v_claimed, v_deliver
            from advanced where status <> 'blocked';
        end if;

        -- Successors that a first sending has claimed.
        if 'done' = any (v_verdict) then
            select v_claimed || array_agg(row('claim', 'claimed', null, s.run_id, s.step_no, s.fence, null, s.component, s.failures,
                                              s.crashes, s.journal_length, s.checkpoint_position, null,
                                              case when m.next_joins then pawl_needed_outputs_v1(s.run_id, s.step_no) end,
                                              null, null, null)::pawl_written_v1)
            into v_claimed
            from unnest(v_refused, v_verdict) as v (place, verdict)
            join unnest(p_members) as m on m.place = v.place
            join step s on s.run_id = m.run_id and s.step_no = m.next_step
            where v.verdict = 'done' and s.status = 'running' and s.worker_id = p_worker;
        end if;
    end if;

    -- 7 Claims.
    if v_claimable <> '{}' then
        with found as (
            -- By their keys, whatever the planner thinks of the table.
            select s.row from unnest(q_run, q_step) as q (run_id, step_no)
            cross join lateral (select y.ctid as row from step y where y.run_id = q.run_id and y.step_no = q.step_no
                                                                   and y.status = 'ready' offset 0) as s
            where q.run_id = any (v_claimable)
        ), claimed as (
            update step s set
                status = 'running', fence = s.fence + 1, worker_id = p_worker, attempts = s.attempts + 1,
                component = coalesce(s.component, pawl_active_component_v1(s.run_id, s.step_no)),
                ready_at = null, claimed_at = now(), started_at = coalesce(s.started_at, now())
            -- By its place in the table, which stays under the run's lock.
            from found q
            where s.ctid = q.row
            returning s.run_id, s.step_no, s.fence, s.attempts, s.journal_length, s.checkpoint_position
        )
        select v_events || array_agg(row(
                   run_id, case when attempts > 1 then 'step.resumed' else 'step.started' end, step_no, fence, p_worker,
                   case when attempts > 1
                        then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
                   end)::pawl_event_v1)
        into v_events
        from claimed;
    end if;

    -- 8 Record and answer.
    if v_events is not null then
        v_ended := pawl_record_v1(v_events);
    end if;
    if q_run <> '{}' then
        -- Also what a first sending claimed; the worker knows its own and drops doubles.
        return query
        select 'claim', 'claimed', null::int, s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures,
               s.crashes, s.journal_length, s.checkpoint_position,
               case when p.needs = '{}' then r.input end,
               case when p.needs <> '{}' then array(
                   select (select n.output from step n where n.run_id = s.run_id and n.step_no = need.step_no)
                   from unnest(p.needs) with ordinality as need (step_no, place) order by need.place) end,
               null::text, null::text, null::bigint
        from unnest(q_run, q_step) as q (run_id, step_no)
        join run r on r.id = q.run_id
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select * from step s where s.run_id = q.run_id and s.step_no = q.step_no offset 0) as s
        cross join lateral (select p.needs from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
        where s.status = 'running' and s.worker_id = p_worker;
        get diagnostics v_answered = row_count;
        if v_answered < cardinality(q_run) then
            return query
            select 'claim', case when r.id is not null and r.ended_at is null and not r.id = any (v_claimable) then 'busy'
                         else 'not_ready' end,
                   null::int, q.run_id, q.step_no, null::bigint, null::bytea, null::bytea, null::int, null::int, null::int,
                   null::int, null::bytea, null::bytea[], null::text, null::text, null::bigint
            from unnest(q_run, q_step) as q (run_id, step_no)
            left join run r on r.id = q.run_id
            left join step s on s.run_id = q.run_id and s.step_no = q.step_no
            where (s.status = 'running' and s.worker_id = p_worker) is not true;
        end if;
    end if;
    if v_claimed is not null then
        return query select * from unnest(v_claimed);
    end if;
    if v_deliver then
        return query
        select 'ready', null::text, null::int, s.run_id, s.step_no, null::bigint, null::bytea, null::bytea, null::int,
               null::int, null::int, null::int, null::bytea, null::bytea[], p.queue, p.priority,
               (extract(epoch from s.ready_at) * 1000)::bigint
        from unnest(v_events) as e
        join run r on r.id = e.run_id
        -- Not those that were claimed, or cancelled with their run, later in this batch.
        cross join lateral (select * from step s where s.run_id = e.run_id and s.step_no = e.step_no
                                                       and s.status = 'ready' offset 0) as s
        cross join lateral (select p.queue, p.priority from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = e.step_no offset 0) as p
        where e.kind in ('step.ready', 'step.handed_back');
    end if;
    if v_ended is not null then
        return query
        select 'ended', null::text, null::int, ended.id, null::int, null::bigint, null::bytea, null::bytea, null::int,
               null::int, null::int, null::int, null::bytea, null::bytea[], null::text, null::text, null::bigint
        from unnest(v_ended) as ended (id);
    end if;
end
$$;
