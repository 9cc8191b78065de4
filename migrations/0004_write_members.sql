-- The group writer's parts, first half: the members, and what they write of their own steps. Under the locks of
-- pawl_write_v1.

-- Places of members that were written, and what has happened to their steps.
create type pawl_done_v1 as (
    places  int[],
    events  pawl_event_v1[]
);

-- What the members write, and what follows from it.
create function pawl_write_v1_members(
    p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[], p_with text[], p_runs uuid[], p_failing uuid[]
) returns pawl_consequences_v1
language plpgsql
as $$
declare
    v_done     pawl_done_v1 := row('{}', null);
    -- Signals have come to the inbox, or steps that wait for some.
    v_give     boolean := 'awaits' = any (p_with);
    v_next     pawl_consequences_v1;
    v_follows  pawl_consequences_v1;
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
        v_follows.claimed := pawl_write_v1_claimed_before(p_worker, p_members, v_follows.refused);
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
        v_next := pawl_write_v1_advance(p_worker, p_members, p_failing);
        v_follows.events := v_follows.events || v_next.events;
        v_follows.claimed := v_follows.claimed || v_next.claimed;
        v_follows.has_ready := v_follows.has_ready or v_next.has_ready;
    end if;
    return v_follows;
end
$$;

-- Steps that were claimed before, under their guard: run, step, worker, fence, and where the journal ends.
create function pawl_write_v1_steps(p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[])
returns pawl_done_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_done  pawl_done_v1;
begin
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
            status = case when m.outcome in ('retry', 'suspended') then 'waiting' when m.outcome = 'released' then 'ready'
                          else coalesce(m.outcome, s.status) end,
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
           array_agg(row(
               run_id, case outcome when 'retry' then 'step.retrying' when 'suspended' then 'step.waiting'
                                    when 'released' then 'step.handed_back' else 'step.' || outcome end,
               step_no, fence, p_worker,
               case when outcome = 'retry' then 'in ' || delay_ms || ' ms'
                    when awaits is not null then 'signal ' || awaits || coalesce(', at most ' || delay_ms || ' ms', '')
                    when outcome = 'suspended' then 'sleep ' || delay_ms || ' ms' end
           )::pawl_event_v1) filter (where outcome is not null)
    into v_done
    from written;
    return v_done;
end
$$;

-- Steps that were run ahead: claimed and ended at once, if what was guessed for them is true. Each stands if all before
-- it in its chain do, and the chain if its first member does. Adds to what was done before.
create function pawl_write_v1_ahead(
    p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[], p_failing uuid[], p_done pawl_done_v1
) returns pawl_done_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_done  pawl_done_v1;
begin
    with chain as (
        select m.place, m.fence, m.component, m.length, m.fraction, m.message, m.payload, m.payload_digest, s.row,
               bool_and(s.fence = m.fence - 1
                        and coalesce(s.component, pawl_write_v1_active_component(s.run_id, s.step_no)) = m.component
                        and case when m.leader = m.place then s.status = 'ready' and exists (
                                     select from run r where r.id = m.run_id
                                     and r.pipeline_digest = m.pipeline and r.request_digest = m.request)
                                 else s.status = 'blocked' and s.unmet = 1 end) over before
               and (m.leader = any (p_done.places) or bool_or(m.leader = m.place) over before) as stands
        from unnest(p_members) as m
        cross join lateral (select y.ctid as row, y.run_id, y.step_no, y.status, y.unmet, y.fence, y.component
                            from step y where y.run_id = m.run_id and y.step_no = m.step_no offset 0) as s
        where m.leader is not null and not m.run_id = any (p_failing)
        window before as (partition by m.leader order by m.place)
    ), written as (
        update step s set
            status = 'succeeded', unmet = 0, fence = m.fence, worker_id = p_worker, component = m.component,
            attempts = s.attempts + 1, ready_at = null,
            journal_length = coalesce(m.length, 0), progress = m.fraction, progress_message = m.message,
            output = p_payloads[m.payload], output_digest = m.payload_digest, error = null,
            claimed_at = now(), started_at = now(), ended_at = now()
        -- By its place in the table, which stays under the run's lock.
        from chain m
        where m.stands and s.ctid = m.row
        returning m.place, s.run_id, s.step_no, s.fence
    )
    select p_done.places || array_agg(place) filter (where turn = 1),
           p_done.events || array_agg(row(run_id, kind, step_no, fence, p_worker, null)::pawl_event_v1
                                      order by place, turn)
    into v_done
    from written cross join (values (1, 'step.started'), (2, 'step.succeeded')) as told (turn, kind);
    return v_done;
end
$$;

-- Those that were refused: a first sending has written them (seen, done), or they may not write (gap, lost).
create function pawl_write_v1_judge(p_worker uuid, p_members pawl_member_v1[], p_written int[])
returns pawl_refused_v1[]
language plpgsql
as $$
begin
    return array(
        select row(m.place, case
            when s.status = 'running' and s.worker_id = p_worker and s.fence = m.fence and m.leader is null then
                case when m.first + m.length = s.journal_length and exists (
                         select from journal j where j.run_id = m.run_id and j.step_no = m.step_no
                         and j.first = m.first and j.digest = m.digest) then 'seen'
                     else 'gap' end
            when m.outcome is not null and s.worker_id = p_worker and s.fence = m.fence
                 and (s.status = 'succeeded'
                      or m.leader is null and s.status in ('failed', 'waiting', 'parked', 'ready')) then 'done'
            else 'lost' end)::pawl_refused_v1
        from unnest(p_members) as m
        left join step s on s.run_id = m.run_id and s.step_no = m.step_no
        where not m.place = any (p_written));
end
$$;

-- The members at these places. Who was followed is looked up among the steps from then on: a follower may be missing.
create function pawl_write_v1_kept(p_members pawl_member_v1[], p_places int[]) returns pawl_member_v1[]
language plpgsql
as $$
declare
    v_member  pawl_member_v1;
    v_kept    pawl_member_v1[] := '{}';
begin
    foreach v_member in array p_members loop
        if v_member.place = any (p_places) then
            v_member.followed := false;
            v_kept := v_kept || v_member;
        end if;
    end loop;
    return v_kept;
end
$$;

-- Drops the rows of journals from the members' cuts on. Signals that the dropped entries had taken return to the inbox,
-- for whoever waits for them now: whether there were any. Such an entry is the last of its row, since a suspension
-- ends the batch: what is appended again is before it.
create function pawl_write_v1_cut(p_members pawl_member_v1[]) returns boolean
language plpgsql
as $$
begin
    delete from journal j
    using unnest(p_members) as m
    where j.run_id = m.run_id and j.step_no = m.step_no and j.first >= m.cut;
    update signal g set step_no = null, position = null
    from unnest(p_members) as m
    where g.run_id = m.run_id and g.step_no = m.step_no and g.position >= m.cut;
    return found;
end
$$;

-- Appends the members' segments to their journals.
create function pawl_write_v1_append(p_members pawl_member_v1[], p_payloads bytea[]) returns void
language plpgsql
as $$
begin
    insert into journal (run_id, step_no, first, length, digest, bytes)
    select m.run_id, m.step_no, m.first, m.length, m.digest, p_payloads[m.entries]
    from unnest(p_members) as m
    where m.first is not null;
end
$$;

-- Saves the members' checkpoints, each over an older one.
create function pawl_write_v1_save(p_members pawl_member_v1[], p_payloads bytea[]) returns void
language plpgsql
as $$
#variable_conflict use_column
begin
    insert into checkpoint as k
        (run_id, step_no, ordinal, position, random_position, effect_ordinal, prelude, digest, state)
    select m.run_id, m.step_no, m.ordinal, m.position, m.random_position, m.effect_ordinal, m.prelude, m.state_digest,
           p_payloads[m.state]
    from unnest(p_members) as m
    where m.ordinal is not null
    on conflict (run_id, step_no) do update set
        ordinal = excluded.ordinal, position = excluded.position, random_position = excluded.random_position,
        effect_ordinal = excluded.effect_ordinal, prelude = excluded.prelude, digest = excluded.digest,
        state = excluded.state, created_at = now()
    where k.ordinal < excluded.ordinal;
end
$$;
