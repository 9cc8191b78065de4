-- A record of each takeover: a *recovery*, from the end of a worker's lease to the first new call of its replacement.
--
--   pawl_takeover_v2 ── inserts ──▶ recovery ◀── claimed_at ── pawl_write_v3_claim
--   (all it takes over, in one statement)  ▲
--                                          └── reloaded_at, replayed_at, ready_at ── pawl_write_v3_recovered
--                                              with whatever the replacement writes next, in the same commit
--
-- What no takeover has touched pays nothing: a claim knows from two numbers that it has read anyway whether somebody but
-- claims has raised the step's fence, and only then looks for a record.
set local statement_timeout = 0;
set local lock_timeout = 0;

create table recovery (
    run_id               uuid not null,
    step_no              int not null,
    -- The fence that the takeover has left the step with.
    fence                bigint not null,
    -- Whose lease ended, and when; null: the worker was forgotten by then.
    worker_id            uuid not null,
    lease_ended_at       timestamptz,
    taken_over_at        timestamptz not null default now(),
    -- Where the checkpoint stands, if there is one, and the entries after it.
    checkpoint_position  int,
    to_replay            int not null,
    -- Who has claimed it last, and how far that one has come. Times are in their order.
    replacement_id       uuid,
    claimed_at           timestamptz,
    reloaded_at          timestamptz,
    replayed_at          timestamptz,
    ready_at             timestamptz,
    -- Entries that were executed again.
    replayed             int,
    -- recovered: it goes on. failed: it was parked, or has failed before it did. stopped: its run had failed. lost: its
    -- replacement is gone, too, and there is a newer record. Null: nobody knows yet.
    outcome              text,
    primary key (run_id, step_no, fence),
    check ((replacement_id is null) = (claimed_at is null)),
    check (outcome in ('recovered', 'failed', 'stopped', 'lost') and (outcome <> 'recovered' or ready_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index recovery_newest on recovery (taken_over_at desc, run_id desc, step_no desc, fence desc);

-- 0020_hot_path.sql, with the record.
create or replace function pawl_takeover_v2_raise(
    p_runs uuid[], p_steps int[], p_free uuid[], p_suspect_from int, p_crash_limit int
) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with candidate as (
        select s.row, s.worker_id, s.crashes as crashes_before, r.failing,
               (select w.expires_at from worker w where w.id = s.worker_id) as lease_ended_at,
               case when s.journal_length + s.checkpoint_ordinal > s.crash_mark then 0
                    when s.crashes >= p_suspect_from and not s.alone then s.crashes
                    else s.crashes + 1 end as crashes
        from unnest(p_runs, p_steps) as c (run_id, step_no)
        join run r on r.id = c.run_id
        -- By their keys, whatever the planner thinks of the table.
        cross join lateral (select y.ctid as row, y.worker_id, y.journal_length, y.checkpoint_ordinal, y.crash_mark,
                                   y.crashes, y.alone
                            from step y where y.run_id = c.run_id and y.step_no = c.step_no and y.status = 'running'
                            offset 0) as s
        where c.run_id = any (p_free)
          and not exists (select from worker w where w.id = s.worker_id and w.expires_at > clock_timestamp())
    ), taken as (
        update step s set
            status = case when c.failing then 'cancelled' when c.crashes >= p_crash_limit then 'parked'
                          else 'ready' end,
            fence = s.fence + 1,
            crashes = c.crashes,
            alone = false,
            crash_mark = s.journal_length + s.checkpoint_ordinal,
            ready_at = case when not c.failing and c.crashes < p_crash_limit then now() end,
            parked_at = case when not c.failing and c.crashes >= p_crash_limit then now() else s.parked_at end,
            ended_at = case when c.failing then now() end,
            error = case when c.crashes >= p_crash_limit and not c.failing then convert_to(
                '{"cause":"poison","message":"its worker process died ' || c.crashes
                || ' times in a row while executing this step, without progress in between"}', 'UTF8')
                else s.error end
        -- By its place in the table, which stays under the run's lock.
        from candidate c
        where s.ctid = c.row
        returning s.run_id, s.step_no, s.status, s.fence, c.worker_id, c.lease_ended_at, s.checkpoint_position,
                  s.journal_length, s.status = 'ready' and c.crashes > c.crashes_before as counted,
                  format('checkpoint=%s journal=%s', coalesce(s.checkpoint_position::text, 'none'),
                         s.journal_length) as note
    ), noted as (
        insert into charge (worker_id, runs, steps, fences)
        select t.worker_id, array_agg(t.run_id), array_agg(t.step_no), array_agg(t.fence)
        from taken t where t.counted group by t.worker_id
    ), past as (
        -- Who has been away for so long is forgiven nothing.
        delete from charge where at < now() - interval '1 day'
    ), lost as (
        -- What was being recovered is not any more. (Records that are made here are not seen here.)
        update recovery v set outcome = 'lost' from taken t
        where v.run_id = t.run_id and v.step_no = t.step_no and v.outcome is null
    ), recorded as (
        insert into recovery (run_id, step_no, fence, worker_id, lease_ended_at, checkpoint_position, to_replay, outcome)
        select t.run_id, t.step_no, t.fence, t.worker_id, t.lease_ended_at, t.checkpoint_position,
               t.journal_length - coalesce(t.checkpoint_position, 0),
               case t.status when 'parked' then 'failed' when 'cancelled' then 'stopped' end
        from taken t
    )
    select array_agg(row(run_id, 'step.lease_expired', step_no, fence, worker_id, note)::pawl_event_v1)
           || array_agg(row(run_id, 'step.' || status, step_no, fence, null, null)::pawl_event_v1)
    into v_events from taken;
    return v_events;
end
$$;

-- What a replacement tells of its recovery, once, with a member of its batch: when it had passed each stage, ms since 1970
-- by the clock of the database as it reads that (null: not at all), the entries that were executed again, and how the
-- recovery has ended.
create type pawl_recovered_v1 as (
    place        int,
    run_id       uuid,
    step_no      int,
    fence        bigint,
    reloaded_ms  bigint,
    replayed_ms  bigint,
    ready_ms     bigint,
    replayed     int,
    outcome      text
);

-- A line of the answer, as in the second version; of a claim, whether a record may wait for what its worker tells.
create type pawl_written_v3 as (
    claimed   pawl_claimed_v2,
    told      pawl_told_v1,
    recovers  boolean
);

-- The group writer's round trip, third version: recoveries go along. All else, and all other parts, are the second
-- version's (0015_write_v2.sql). A member that tells of a recovery adds to its run's history, so that its run is locked as
-- that of an outcome is, and is among `p_runs`.
create function pawl_write_v3(
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
    v_follows    pawl_consequences_v2;
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
        v_follows := pawl_write_v2_members(p_worker, p_members, p_payloads, p_with, v_held, v_failing);
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
        v_follows.events := v_follows.events || pawl_write_v3_claim(p_worker, v_free, p_claim_runs, p_claim_steps);
    end if;
    if v_follows.events is not null then
        v_told.ended := pawl_record_v1(v_follows.events);
    end if;

    if v_follows.has_ready then
        v_told.ready := pawl_ready_of_v1(v_follows.events);
    end if;
    if p_claim_runs <> '{}' then
        return query select * from pawl_write_v3_claims(p_worker, p_claim_runs, p_claim_steps);
        get diagnostics v_answered = row_count;
        if v_answered < cardinality(p_claim_runs) then
            v_told.unclaimed := pawl_write_v1_unclaimed(p_worker, v_free, p_claim_runs, p_claim_steps);
        end if;
    end if;
    if v_follows.claimed is not null then
        -- Successors: nobody has claimed them before.
        return query select c, null::pawl_told_v1, false from unnest(v_follows.claimed) as c;
    end if;
    return query select null::pawl_claimed_v2, v_told, false;
end
$$;

-- A time that a worker has read, with an error of some ms: what it did after its claim was not before it.
create function pawl_passed_v1(p_claimed_at timestamptz, p_ms bigint) returns timestamptz
language sql stable
return case when p_ms is not null
            then greatest(p_claimed_at, timestamptz 'epoch' + p_ms * interval '1 millisecond') end;

-- Notes what replacements tell, each once, while the step is still theirs; the stages that they have passed, for the
-- history. A batch that is sent again finds it noted.
create function pawl_write_v3_recovered(p_worker uuid, p_recovered pawl_recovered_v1[], p_held uuid[], p_busy int[])
returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with told as (
        select t.*, v.row
        from unnest(p_recovered) with ordinality as t
            (place, run_id, step_no, fence, reloaded_ms, replayed_ms, ready_ms, replayed, outcome, turn)
        cross join lateral (select y.ctid as row from recovery y
                            where y.run_id = t.run_id and y.step_no = t.step_no and y.outcome is null
                              and y.replacement_id = p_worker offset 0) as v
        where t.run_id = any (p_held) and not t.place = any (coalesce(p_busy, '{}'))
          and exists (select from step s where s.run_id = t.run_id and s.step_no = t.step_no
                                           and s.status = 'running' and s.worker_id = p_worker and s.fence = t.fence)
    ), noted as (
        update recovery v set
            reloaded_at = pawl_passed_v1(v.claimed_at, t.reloaded_ms),
            replayed_at = pawl_passed_v1(v.claimed_at, t.replayed_ms),
            ready_at = pawl_passed_v1(v.claimed_at, t.ready_ms),
            replayed = t.replayed,
            outcome = t.outcome
        -- By its place in the table, which stays: nobody else writes it while the run is locked.
        from told t
        where v.ctid = t.row
        returning v.*, t.turn, t.fence as claim_fence
    )
    select array_agg(row(n.run_id, s.kind, n.step_no, n.claim_fence, p_worker, s.note)::pawl_event_v1
                     order by n.turn, s.place)
    into v_events
    from noted n
    cross join lateral (values
        (1, 'step.checkpoint_reloaded', n.reloaded_at, 'checkpoint=' || coalesce(n.checkpoint_position::text, 'none')),
        (2, 'step.replayed', n.replayed_at, 'entries=' || n.replayed),
        (3, 'step.ready_for_dispatch', n.ready_at,
         (extract(epoch from n.ready_at) * 1000)::bigint
         - (extract(epoch from coalesce(n.lease_ended_at, n.taken_over_at)) * 1000)::bigint
         || ' ms after the end of the lease')) as s (place, kind, at, note)
    where s.at is not null;
    return v_events;
end
$$;

-- 0016_claims.sql, with the records of what was taken over. Whatever raises a fence but a claim is a takeover, or a
-- person: where none did, as many claims as the fence says were made. What nobody has claimed before was taken over by
-- nobody.
create function pawl_write_v3_claim(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[])
returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
    v_raised  pawl_event_v1[];
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
    ), noted as (
        insert into claim (worker_id, runs, steps)
        select p_worker, array_agg(run_id), array_agg(step_no) from claimed having count(*) > 0
    ), told as (
        select attempts > 1 and attempts < fence as is_raised,
               row(run_id, case when attempts > 1 then 'step.resumed' else 'step.started' end, step_no, fence, p_worker,
                   case when attempts > 1
                        then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
                   end)::pawl_event_v1 as event
        from claimed
    )
    select array_agg(event), array_agg(event) filter (where is_raised) into v_events, v_raised from told;
    if v_raised is not null then
        -- Also one that an earlier replacement has handed back.
        update recovery v set replacement_id = p_worker, claimed_at = greatest(now(), v.taken_over_at)
        from unnest(v_raised) as e
        where v.run_id = e.run_id and v.step_no = e.step_no and v.outcome is null;
    end if;
    return v_events;
end
$$;

-- 0020_hot_path.sql, with a word on recoveries.
create function pawl_write_v3_claims(p_worker uuid, p_runs uuid[], p_steps int[]) returns setof pawl_written_v3
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
           null::pawl_told_v1, s.attempts > 1 and s.attempts < s.fence
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

-- The same for runs that a person names, which go on by it: steps whose worker's lease has ended are taken over, as
-- pawl_takeover_v2 does it; what is due is woken, as pawl_wake_v2 does it; what is ready gets a new `ready_at`. Runs that
-- somebody else holds are left alone. Returns what is to be delivered.
create function pawl_takeover_v3(p_runs uuid[], p_suspect_from int, p_crash_limit int) returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_free    uuid[];
    v_runs    uuid[];
    v_steps   int[];
    v_events  pawl_event_v1[];
begin
    select array_agg(id) into v_free
    from (select id from run where id = any (p_runs) order by id for no key update skip locked) as locked;
    if v_free is null then
        return;
    end if;
    select array_agg(l.run_id), array_agg(l.step_no) into v_runs, v_steps from (
        select s.run_id, s.step_no from unnest(v_free) as f (id)
        join step s on s.run_id = f.id
        where s.status = 'running' or s.status = 'waiting' and s.due_at <= now()
        order by s.run_id, s.step_no for no key update of s) as l;
    if v_runs is not null then
        v_events := pawl_takeover_v2_raise(v_runs, v_steps, v_free, p_suspect_from, p_crash_limit);
        with due as (
            select s.row, s.note from unnest(v_runs, v_steps) as c (run_id, step_no)
            cross join lateral (select y.ctid as row, coalesce('no signal ' || y.awaits || ' in time', 'due') as note
                                from step y where y.run_id = c.run_id and y.step_no = c.step_no and y.status = 'waiting'
                                              and y.due_at <= now() offset 0) as s
        ), woken as (
            update step s set status = 'ready', ready_at = now(), due_at = null,
                              awaits_position = null, awaits_until = null, awaits = null
            -- By its place in the table, which stays under the run's lock.
            from due d where s.ctid = d.row
            returning s.run_id, s.step_no, s.fence, d.note
        )
        select v_events || array_agg(row(run_id, 'step.ready', step_no, fence, null, note)::pawl_event_v1) into v_events
        from woken;
    end if;
    if v_events is not null then
        perform pawl_record_v1(v_events);
    end if;
    return query
    update step s set ready_at = now()
    from unnest(v_free) as f (id)
    where s.run_id = f.id and s.status = 'ready'
    returning s.run_id, s.step_no, s.queue, s.priority, (extract(epoch from s.ready_at) * 1000)::bigint;
end
$$;
