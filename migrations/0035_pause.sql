-- Pauses: of a run, of a pipeline, of a queue. What is paused starts no new step; what runs goes on to its end.
--
--     ready ── published ── claimed ──▶ running
--                              │ paused
--                              ▼
--                           shelved: ready, but on no stream, and found by no sweep
--                              │ the pause ends: released
--                              ▼
--                        ready ── published ── claimed …
--
-- A run's pause stands in its row, which whoever claims or ends a step locks and reads anyway; those of pipelines and queues
-- in a table of their own, which is empty as a rule: a batch reads no page for them. A step of something paused is ready like
-- any other, until somebody claims it. Then, under its run's lock, it is *shelved*: `ready_at` becomes a time that never
-- comes. So it lies behind everything that the look, the search for lost messages and the backlog read in the index of ready
-- steps, its message is acknowledged, and nothing asks for it again, however many there are.
--
-- Nothing is shelved for good:
--   - of a run: pause, claims and unpause all hold the run's lock.
--   - of a pipeline or queue: whoever shelves by a pause holds its row FOR SHARE, and finds it not ended. Whoever ends it waits
--     for them, and from then on nobody shelves by it. Its row stays until nothing is shelved by it: the look tells of it, and
--     every worker releases in pieces what is left, if the one who ended it is gone.
-- What became ready and was not claimed since needs no pause to end: it is found like any other whose message is lost.

set local statement_timeout = 0;
set local lock_timeout = 0;

-- When the steps on the shelf are ready: never. Finite, so that it can be reckoned with like any other.
create function pawl_shelved_v1() returns timestamptz language sql immutable return timestamptz '9999-01-01 00:00:00+00';

alter table run add column paused_at timestamptz, add column pause_reason text;
create index run_paused on run (namespace, created_at desc, id desc) where paused_at is not null and ended_at is null;

-- By which pause of a pipeline or a queue it is shelved, or was; null: by none, or by its run's.
alter table step add column shelved_by bigint;
create index step_shelved on step (shelved_by) where shelved_by is not null;

create table pause (
    id         bigint generated always as identity primary key,
    kind       text not null check (kind in ('pipeline', 'queue')),
    -- Queues are of all namespaces: ''.
    namespace  text not null,
    name       text not null,
    reason     text,
    paused_at  timestamptz not null default clock_timestamp(),
    -- What is shelved by it is being released.
    ended_at   timestamptz
);

-- Pauses a pipeline or a queue: 'new', or 'same' if it is paused, or 'full' if there are so many pauses already. Each batch
-- of a worker reads them all.
create function pawl_pause_v1(p_kind text, p_namespace text, p_name text, p_reason text, p_most int) returns text
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    -- One at a time; whoever claims is not in the way.
    lock table pause in share row exclusive mode;
    if exists (select from pause p
               where p.kind = p_kind and p.namespace = p_namespace and p.name = p_name and p.ended_at is null) then
        return 'same';
    end if;
    if (select count(*) from pause p where p.ended_at is null) >= p_most then
        return 'full';
    end if;
    insert into pause (kind, namespace, name, reason) values (p_kind, p_namespace, p_name, p_reason);
    return 'new';
end
$$;

-- Ends the pause of a pipeline or a queue; false: there is none. What is shelved by it is released after this.
create function pawl_unpause_v1(p_kind text, p_namespace text, p_name text) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update pause p set ended_at = clock_timestamp()
    where p.kind = p_kind and p.namespace = p_namespace and p.name = p_name and p.ended_at is null;
    return found;
end
$$;

-- Takes up to so many steps from the shelf whose pause has ended, and returns those that are ready, to be delivered. A pause
-- that nothing is shelved by any more goes. Whoever releases at the same time takes others.
create function pawl_release_v1(p_limit int) returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_pause  bigint;
    v_runs   uuid[];
    v_steps  int[];
begin
    foreach v_pause in array array(select p.id from pause p where p.ended_at is not null order by p.id) loop
        -- Steps alone are locked, as when lost ones are found: what is claimed meanwhile is not ready here.
        select array_agg(f.run_id), array_agg(f.step_no) into v_runs, v_steps from (
            select s.run_id, s.step_no from step s where s.shelved_by = v_pause
            limit p_limit for no key update of s skip locked) as f;
        if v_runs is not null then
            return query
            update step s set
                shelved_by = null,
                ready_at = case when s.status = 'ready' then now() else s.ready_at end
            from unnest(v_runs, v_steps) as f (run_id, step_no)
            where s.run_id = f.run_id and s.step_no = f.step_no and s.shelved_by = v_pause
            returning s.run_id, s.step_no, s.queue, s.priority,
                      case when s.status = 'ready' then (extract(epoch from s.ready_at) * 1000)::bigint end;
            p_limit := p_limit - cardinality(v_runs);
        end if;
        delete from pause p
        where p.id = v_pause and (select s.step_no from step s where s.shelved_by = v_pause limit 1) is null;
        exit when p_limit <= 0;
    end loop;
end
$$;

-- Pauses a run, or ends its pause, with the changes that go along (0013_signals.sql), under the same condition.
create function pawl_pause_run_v1(
    p_paused   boolean,
    p_reason   text,
    p_run      uuid,
    p_events   int,
    p_signals  int,
    p_status   text,
    p_live     int,
    p_running  int,
    p_failing  boolean,
    p_steps    pawl_step_change_v1[],
    p_cut      pawl_cut_v1,
    p_sent     pawl_sent_v1,
    p_given    pawl_given_v1[],
    p_told     pawl_event_v1[]
) returns table (applied boolean, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    update run r set paused_at = case when p_paused then now() end, pause_reason = p_reason
    where r.id = p_run and r.event_count = p_events and r.signal_count = p_signals;
    if not found then
        return query select false, null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    return query select * from pawl_apply_v2(
        p_run, p_events, p_signals, p_status, p_live, p_running, p_failing, p_steps, p_cut, p_sent, p_given, p_told);
end
$$;

-- 0012_sweeps.sql, and whether a pause has ended by which something may be shelved.
create function pawl_look_v2(
    p_worker uuid, p_due_from_ms bigint, p_horizon_ms int, p_queues text[], p_priorities text[], p_ready_from_ms bigint[],
    p_margin_ms int
) returns table (now_ms bigint, next_lease_end_ms bigint, next_due_ms bigint, oldest_ready_ms bigint[],
                 newest_wanted_us bigint, releases boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_now  timestamptz := clock_timestamp();
begin
    return query select
        floor(extract(epoch from v_now) * 1000)::bigint,
        (select floor(extract(epoch from min(w.expires_at)) * 1000)::bigint from worker w where w.id <> p_worker),
        (select floor(extract(epoch from min(s.due_at)) * 1000)::bigint from step s
         where s.due_at >= pawl_bound_v1(p_due_from_ms) and s.due_at < v_now + p_horizon_ms * interval '1 millisecond'),
        array(
            select (select floor(extract(epoch from min(s.ready_at)) * 1000)::bigint from step s
                    where s.queue = q.queue and s.priority = q.priority and s.ready_at >= pawl_bound_v1(q.from_ms)
                      and s.ready_at < v_now - p_margin_ms * interval '1 millisecond')
            from unnest(p_queues, p_priorities, p_ready_from_ms) with ordinality as q (queue, priority, from_ms, place)
            order by q.place),
        (select (extract(epoch from max(v.wanted_at)) * 1000000)::bigint from plugin_version v),
        exists (select from pause p where p.ended_at is not null);
end
$$;

-- 0025_leaner.sql; what is on the shelf is not delivered.
create or replace function pawl_ready_of_v1(p_events pawl_event_v1[]) returns pawl_ready_v1[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    return (
        select array_agg(row(s.run_id, s.step_no, s.queue, s.priority,
                             (extract(epoch from s.ready_at) * 1000)::bigint)::pawl_ready_v1)
        from unnest(p_events) as e
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select y.run_id, y.step_no, y.queue, y.priority, y.ready_at from step y
                            where y.run_id = e.run_id and y.step_no = e.step_no and y.status = 'ready' offset 0) as s
        -- Not in there: the index of ready steps would do for it, and is walked through where the planner thinks that it is empty.
        where e.kind in ('step.ready', 'step.handed_back') and s.ready_at < pawl_shelved_v1());
end
$$;

-- What of a batch is paused. Null means "nothing".
create type pawl_paused_v1 as (
    -- Runs that are paused themselves, and of the others that the batch has locked those whose pipeline is.
    runs    uuid[],
    others  uuid[],
    -- Queues, and the pauses of pipelines and queues.
    queues  text[],
    pauses  pause[]
);

-- Fills in what follows from the rest.
create function pawl_write_v3_paused(p_paused pawl_paused_v1, p_locked uuid[]) returns pawl_paused_v1
language plpgsql stable
as $$
begin
    p_paused.runs := coalesce(p_paused.runs, '{}');
    p_paused.queues := array(select p.name from unnest(p_paused.pauses) as p where p.kind = 'queue');
    p_paused.others := array(
        select q.id from unnest(p_locked) as q (id)
        cross join lateral (select o.namespace, o.pipeline from run o where o.id = q.id offset 0) as r
        where exists (select from unnest(p_paused.pauses) as p
                      where p.kind = 'pipeline' and p.namespace = r.namespace and p.name = r.pipeline));
    return p_paused;
end
$$;

-- A claim, and the pause that it meets; null: the run's own.
create type pawl_shelving_v1 as (
    run_id   uuid,
    step_no  int,
    pause    bigint
);

-- Puts on the shelf what was asked for and is paused, in the runs that are free. Returns what is left to be claimed.
create function pawl_write_v3_shelve(
    p_free uuid[], p_paused pawl_paused_v1, p_runs uuid[], p_steps int[], out runs uuid[], out steps int[]
)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_meets  pawl_shelving_v1[];
    v_stand  bigint[] := '{}';
begin
    v_meets := array(
        select row(q.run_id, q.step_no, p.id)::pawl_shelving_v1
        from unnest(p_runs, p_steps) as q (run_id, step_no)
        cross join lateral (select y.queue from step y where y.run_id = q.run_id and y.step_no = q.step_no
                                                         and y.status = 'ready' offset 0) as s
        cross join lateral (select o.namespace, o.pipeline from run o where o.id = q.run_id offset 0) as r
        left join lateral (
            select u.id from unnest(p_paused.pauses) as u
            where not q.run_id = any (p_paused.runs)
              and (u.kind = 'queue' and u.name = s.queue
                   or u.kind = 'pipeline' and u.namespace = r.namespace and u.name = r.pipeline)
            order by u.id limit 1) as p on true
        where q.run_id = any (p_free) and (p.id is not null or q.run_id = any (p_paused.runs)));
    if exists (select from unnest(v_meets) as m where m.pause is not null) then
        -- Whoever ends it waits for this commit, and releases what is shelved here, too. One that has ended is no more in
        -- the way.
        v_stand := array(select p.id from pause p
                         where p.id = any (array(select m.pause from unnest(v_meets) as m)) and p.ended_at is null
                         order by p.id for share);
    end if;
    v_meets := array(select m from unnest(v_meets) as m where m.pause is null or m.pause = any (v_stand));
    with found as (
        -- By their keys, whatever the planner thinks of the table.
        select m.pause, s.row from unnest(v_meets) as m
        cross join lateral (select y.ctid as row from step y where y.run_id = m.run_id and y.step_no = m.step_no
                                                               and y.status = 'ready' offset 0) as s
    )
    update step s set ready_at = pawl_shelved_v1(), shelved_by = f.pause
    -- By its place in the table, which stays under the run's lock.
    from found f where s.ctid = f.row;
    select coalesce(array_agg(q.run_id), '{}'), coalesce(array_agg(q.step_no), '{}') into runs, steps
    from unnest(p_runs, p_steps) as q (run_id, step_no)
    where not exists (select from unnest(v_meets) as m where m.run_id = q.run_id and m.step_no = q.step_no);
end
$$;

-- 0033_claims.sql; who has claimed a step has taken it from the shelf.
create or replace function pawl_write_v3_grant(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[])
returns pawl_grants_v1
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
        -- Also one that an earlier replacement has handed back.
        update recovery v set replacement_id = p_worker, claimed_at = greatest(now(), v.taken_over_at)
        from unnest(v_raised) as e
        where v.run_id = e.run_id and v.step_no = e.step_no and v.outcome is null;
    end if;
    return v_grants;
end
$$;

-- Runs of which nothing is taken that was run ahead of its claim.
create function pawl_write_v3_not_ahead(p_members pawl_member_v1[], p_paused pawl_paused_v1) returns uuid[]
language plpgsql stable
as $$
begin
    return p_paused.runs || p_paused.others || array(
        select m.run_id from unnest(p_members) as m
        cross join lateral (select y.queue from step y where y.run_id = m.run_id and y.step_no = m.step_no offset 0) as s
        where m.leader is not null and s.queue = any (p_paused.queues));
end
$$;

-- 0033_claims.sql, with what is paused; the other edition stays for a batch that is being written while this comes.
create function pawl_write_v3_members(
    p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[], p_with text[], p_runs uuid[], p_failing uuid[],
    p_paused pawl_paused_v1
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
        -- What begins nothing new takes nothing that was run ahead: it is asked for as ever, or becomes ready.
        v_done := pawl_write_v1_ahead(
            p_worker, p_members, p_payloads,
            case when p_paused is null then p_failing else p_failing || pawl_write_v3_not_ahead(p_members, p_paused) end,
            v_done);
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
        v_next := pawl_write_v3_advance(p_worker, p_members, p_failing, p_paused);
        v_follows.events := v_follows.events || v_next.events;
        v_follows.claimed := v_follows.claimed || v_next.claimed;
        v_follows.ready := v_next.ready;
    end if;
    return v_follows;
end
$$;

-- The same.
create function pawl_write_v3_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[],
                                      p_paused pawl_paused_v1)
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
        select m.needs, m.joins, s.row, s.unmet = m.needs as opens,
               s.unmet = m.needs and m.wanted
               and (p_paused is null or not (m.run_id = any (p_paused.runs) or m.run_id = any (p_paused.others)
                                             or s.queue = any (p_paused.queues))) as goes_on,
               coalesce(m.run_id = any (p_paused.runs), false) as is_shelved
        from met m
        cross join lateral (select y.ctid as row, y.unmet, y.queue from step y
                            where y.run_id = m.run_id and y.step_no = m.step_no and y.status = 'blocked' offset 0) as s
    ), advanced as (
        update step s set
            unmet = s.unmet - n.needs,
            status = case when n.goes_on then 'running' when n.opens then 'ready' else 'blocked' end,
            -- Its run's lock says that the pause stands; of other pauses the claim finds out.
            ready_at = case when n.opens and not n.goes_on then case when n.is_shelved then pawl_shelved_v1() else now() end end,
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
                  s.checkpoint_position, s.queue, s.priority, s.ready_at, n.opens, n.goes_on, n.joins, n.is_shelved
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
               filter (where not goes_on and not is_shelved)
    into v_follows.events, v_follows.claimed, v_follows.ready
    from told;
    return v_follows;
end
$$;

-- 0033_claims.sql, with what is paused.
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
    -- It is null unless a part of it is not: see `is null` of rows.
    v_paused     pawl_paused_v1;
    -- Claims that meet no pause.
    v_may_runs   uuid[] := p_claim_runs;
    v_may_steps  int[] := p_claim_steps;
    v_told       pawl_told_v1;
begin
    -- Locks: runs before steps, each sorted. Whoever raises a fence holds the run's lock, so that a step with an
    -- outcome needs none of its own.
    if p_recovered <> '{}' then
        v_telling := array(select v.place from unnest(p_recovered) as v);
    end if;
    if p_runs <> '{}' then
        select coalesce(array_agg(id), '{}'), coalesce(array_agg(id) filter (where failing), '{}'),
               array_agg(id) filter (where paused_at is not null),
               (select array_agg(p) from pause p where p.ended_at is null)
        into v_held, v_failing, v_paused.runs, v_paused.pauses
        from (select id, failing, paused_at from run where id = any (p_runs) order by id for no key update skip locked) as locked;
        if cardinality(v_held) < cardinality(p_runs) then
            v_busy := array(
                select m.place from unnest(p_members) as m
                where (m.outcome is not null or m.place = any (v_telling)) and not m.run_id = any (v_held)
                  and exists (select from run r where r.id = m.run_id));
        end if;
    end if;
    if p_claim_runs <> '{}' then
        select coalesce(array_agg(id), '{}'), v_paused.runs || array_agg(id) filter (where paused_at is not null),
               (select array_agg(p) from pause p where p.ended_at is null)
        into v_free, v_paused.runs, v_paused.pauses
        from (select id, paused_at from run where id = any (p_claim_runs) order by id for no key update skip locked) as locked;
    end if;
    if not v_paused is null then
        v_paused := pawl_write_v3_paused(v_paused, v_held || v_free);
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
        v_follows := pawl_write_v3_members(p_worker, p_members, p_payloads, p_with, v_held, v_failing, v_paused);
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
        if not v_paused is null then
            select s.runs, s.steps into v_may_runs, v_may_steps
            from pawl_write_v3_shelve(v_free, v_paused, p_claim_runs, p_claim_steps) as s;
        end if;
        v_grants := pawl_write_v3_grant(p_worker, v_free, v_may_runs, v_may_steps);
        v_follows.events := v_follows.events || v_grants.events;
    end if;
    if v_follows.events is not null then
        v_told.ended := pawl_record_v1(v_follows.events);
    end if;

    if v_follows.has_ready
       or v_follows.ready is not null and (v_grants.granted is not null or not v_paused is null) then
        -- Some may have been claimed, put on the shelf, or cancelled with their run, since they became ready.
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

create or replace view pawl_view_runs as
select r.id as run_id, r.namespace, r.pipeline, encode(r.pipeline_digest, 'hex') as pipeline_version, r.status,
       r.steps, r.live as steps_left, r.running as steps_running, r.failing,
       r.idempotency_key, octet_length(r.input) as input_bytes, r.event_count as events,
       r.created_at, r.started_at, r.ended_at, t.took, r.paused_at, r.pause_reason
from run r
-- A view of one table and nothing else could be written to.
cross join lateral (select coalesce(r.ended_at, clock_timestamp()) - r.created_at as took) as t;
comment on column pawl_view_runs.paused_at is 'since when it is paused';
comment on column pawl_view_runs.pause_reason is 'why, in the words of whoever paused it';

-- 0028_views.sql; what is on the shelf is ready since no time.
create or replace view pawl_view_steps as
select r.id as run_id, s.step_no, s.step, r.namespace, r.pipeline, s.status, s.queue, s.priority, s.plugin, s.component,
       s.attempts, s.failures, s.crashes, s.fence, s.worker_id, s.needs_unmet, s.journal_entries, s.checkpoint_position,
       s.progress, s.progress_message, s.reason, s.output_bytes, s.ready_at, s.due_at, s.claimed_at, s.started_at, s.ended_at
from run r
join pipeline_version v on v.digest = r.pipeline_digest
cross join lateral (select pawl_view_json_v1(v.spec) -> 'steps' as steps offset 0) as n
cross join lateral (
    select o.step_no, coalesce(n.steps -> o.step_no ->> 'name', o.step_no::text) as step, o.status, o.queue, o.priority,
           n.steps -> o.step_no ->> 'plugin' as plugin, encode(o.component, 'hex') as component,
           o.attempts, o.failures, o.crashes, o.fence, o.worker_id, o.unmet as needs_unmet,
           o.journal_length as journal_entries, o.checkpoint_position, o.progress, o.progress_message,
           pawl_view_json_v1(o.error) ->> 'message' as reason, octet_length(o.output) as output_bytes,
           case when o.ready_at < pawl_shelved_v1() then o.ready_at end as ready_at,
           o.due_at, o.claimed_at, o.started_at, o.ended_at
    from step o where o.run_id = r.id offset 0) as s;
comment on column pawl_view_steps.ready_at is 'since when it is ready; null of one that is ready and paused';

create or replace view pawl_view_queues as
with recursive stream as (
    (select s.queue, s.priority from step s where s.ready_at is not null order by s.queue, s.priority limit 1)
    union all
    select n.queue, n.priority from stream t
    cross join lateral (select s.queue, s.priority from step s
                        where s.ready_at is not null and (s.queue, s.priority) > (t.queue, t.priority)
                        order by s.queue, s.priority limit 1) as n
)
select t.queue, t.priority, c.ready, o.oldest_ready_at, clock_timestamp() - o.oldest_ready_at as oldest_waits,
       (select count(*)::int from worker w
        where w.expires_at > clock_timestamp() and not w.draining and t.queue = any (w.queues)) as workers,
       h.paused
from stream t
left join lateral (select s.ready_at as oldest_ready_at from step s
                   where s.queue = t.queue and s.priority = t.priority and s.ready_at < pawl_shelved_v1()
                   order by s.ready_at limit 1) as o on true
cross join lateral (select count(*)::int as ready from (
                        select from step s where s.queue = t.queue and s.priority = t.priority
                                             and s.ready_at < pawl_shelved_v1()
                        limit 10000) as counted) as c
cross join lateral (select count(*)::int as paused from (
                        select from step s where s.queue = t.queue and s.priority = t.priority
                                             and s.ready_at >= pawl_shelved_v1()
                        limit 10000) as counted) as h;
comment on view pawl_view_queues is 'Queues with steps that are ready, by priority. It reads 20,000 steps of each at most.';
comment on column pawl_view_queues.ready is 'steps that are ready, and not paused; 10000 stands for more, too';
comment on column pawl_view_queues.paused is 'steps that are ready and wait for the end of a pause; 10000 stands for more, too';

create view pawl_view_pauses as
select p.kind, p.namespace, p.name, p.reason, p.paused_at, t.lasts
from pause p
-- A view of one table and nothing else could be written to.
cross join lateral (select clock_timestamp() - p.paused_at as lasts) as t
where p.ended_at is null;
comment on view pawl_view_pauses is 'Pipelines and queues that are paused.';
comment on column pawl_view_pauses.kind is '`pipeline` or `queue`';
comment on column pawl_view_pauses.namespace is 'whose the pipeline is; nothing for a queue';
comment on column pawl_view_pauses.name is 'its name';
comment on column pawl_view_pauses.reason is 'why, in the words of whoever paused it';
comment on column pawl_view_pauses.paused_at is 'since when';
comment on column pawl_view_pauses.lasts is 'for how long';
