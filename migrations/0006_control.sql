-- What a person may do to a run: cancel it, retry what failed, resume what is parked.

-- Ends a run now. Running steps lose their fence at once; their workers stop them.
-- Verdict: cancelled, ended (it had ended before), unknown.
create function pawl_cancel_v1(p_run uuid) returns table (verdict text)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_status  text;
    v_step    int[];
    v_fence   bigint[];
    v_count   int;
begin
    select r.status into v_status from run r where r.id = p_run for no key update;
    if v_status is null or v_status in ('succeeded', 'failed', 'cancelled') then
        return query select case when v_status is null then 'unknown' else 'ended' end;
        return;
    end if;
    perform 1 from step s where s.run_id = p_run order by s.step_no for no key update;
    with stopped as (
        update step s set status = 'cancelled', fence = s.fence + 1, ended_at = now(), due_at = null,
                          ready_at = null
        where s.run_id = p_run and s.status not in ('succeeded', 'failed', 'cancelled', 'skipped')
        returning s.step_no, s.fence
    )
    select array_agg(step_no order by step_no), array_agg(fence order by step_no) into v_step, v_fence from stopped;
    v_count := cardinality(v_step);
    update run r set status = 'cancelled', live = 0, running = 0, ended_at = now(), event_count = r.event_count + v_count + 1
    where r.id = p_run;
    insert into event (run_id, first, kinds, steps, fences, workers, notes)
    select p_run, r.event_count - v_count, array_fill('step.cancelled'::text, array[v_count]) || 'run.cancelled'::text,
           v_step || null::int, v_fence || null::bigint, array_fill(null::uuid, array[v_count + 1]),
           array_fill(null::text, array[v_count + 1])
    from run r where r.id = p_run;
    return query select 'cancelled';
end
$$;

-- Reopens failed steps (all, or one) and the run with them, in one commit, under the same ids and keys;
-- what was cancelled because of them is blocked or ready again, or goes on waiting. Parked steps are taken too: they are ready
-- again on their component. Verdict on the first row: reopened, nothing (no such step failed or is parked),
-- cancelled (a cancelled run stays so), unknown. Then the steps to be delivered.
create function pawl_retry_v1(p_run uuid, p_step int)
returns table (verdict text, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_run      run;
    v_failed   int[];
    v_parked   int[];
    v_blocked  int[];
    v_all      int[];
    v_ready    int[];
    v_ended    boolean;
    v_first    int;
    v_given    pawl_event_v1[];
begin
    select * into v_run from run r where r.id = p_run for no key update;
    if not found or v_run.status = 'cancelled' then
        return query select case when v_run.id is null then 'unknown' else 'cancelled' end, null::uuid, null::int,
                            null::text, null::text, null::bigint;
        return;
    end if;
    perform 1 from step s where s.run_id = p_run order by s.step_no for no key update;
    v_ended := v_run.ended_at is not null;
    select array_agg(s.step_no order by s.step_no) filter (where s.status = 'failed'),
           array_agg(s.step_no order by s.step_no) filter (where s.status = 'parked')
    into v_failed, v_parked
    from step s where s.run_id = p_run and s.status in ('failed', 'parked') and (p_step is null or s.step_no = p_step);
    v_failed := coalesce(v_failed, '{}');
    v_parked := coalesce(v_parked, '{}');
    if v_failed || v_parked = '{}' then
        return query select 'nothing', null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;

    update step s set status = 'ready', ready_at = now(), ended_at = null, due_at = null, failures = 0, crashes = 0,
                      crash_mark = 0, fence = s.fence + 1
    where s.run_id = p_run and s.step_no = any (v_failed || v_parked);
    -- If another step stays failed, the run stays failing and nothing else starts.
    if exists (select from step s where s.run_id = p_run and s.status = 'failed') then
        v_blocked := '{}';
    else
        with reopened as (
            update step s set
                unmet = n.unmet, ended_at = null, fence = s.fence + 1,
                -- Its journal ends with the wait: ready, it would see the wait as over.
                status = case when s.awaits_position is not null then 'waiting' when n.unmet = 0 then 'ready'
                              else 'blocked' end,
                ready_at = case when s.awaits_position is null and n.unmet = 0 then now() end,
                due_at = s.awaits_until
            from pipeline_step p
            cross join lateral (
                select count(*)::int as unmet from step need
                where need.run_id = p_run and need.step_no = any (p.needs) and need.status <> 'succeeded') as n
            where s.run_id = p_run and s.status = 'cancelled'
              and p.digest = v_run.pipeline_digest and p.step_no = s.step_no
            returning s.step_no
        )
        select coalesce(array_agg(step_no order by step_no), '{}') into v_blocked from reopened;
    end if;

    v_all := v_failed || v_parked || v_blocked;
    v_first := v_run.event_count + 1;
    insert into event (run_id, first, kinds, steps, fences, workers, notes)
    select p_run, v_first,
           case when v_ended then '{run.reopened}'::text[] else '{}' end
               || array_agg(case when s.status = 'blocked' or t.step_no = any (v_failed || v_blocked) then 'step.reopened'
                                 else 'step.ready' end order by t.place),
           case when v_ended then array[null]::int[] else '{}' end || array_agg(t.step_no order by t.place),
           case when v_ended then array[null]::bigint[] else '{}' end || array_agg(s.fence order by t.place),
           array_fill(null::uuid, array[cardinality(v_all) + v_ended::int]),
           array_fill('a person asked for it'::text, array[cardinality(v_all) + v_ended::int])
    from unnest(v_all) with ordinality as t (step_no, place)
    join step s on s.run_id = p_run and s.step_no = t.step_no;
    update run r set
        status = 'running', started_at = coalesce(r.started_at, now()), ended_at = null,
        live = r.live + cardinality(v_failed) + cardinality(v_blocked),
        failing = exists (select from step s where s.run_id = p_run and s.status = 'failed'),
        event_count = r.event_count + cardinality(v_all) + v_ended::int
    where r.id = p_run;
    v_given := pawl_give_signals_v1(array[p_run]);
    if v_given is not null then
        perform pawl_record_v1(v_given);
    end if;

    return query
    select 'reopened', s.run_id, s.step_no, p.queue, p.priority, (extract(epoch from s.ready_at) * 1000)::bigint
    from step s join pipeline_step p on p.digest = v_run.pipeline_digest and p.step_no = s.step_no
    where s.run_id = p_run and s.step_no = any (v_all) and s.status = 'ready';
end
$$;

-- Puts a step that is parked, waiting or ready on a component and makes it ready: its pinned one (null), or
-- the given one. A sleep ends by it; a wait for a signal does not, since the step would see that as a timeout.
-- With a fence, its journal is cut to the checkpoint first, as a retry would: rows from p_cut on are dropped for
-- the given one, if the fence is still the one under which they were read.
-- Verdict on the first row: resumed, awaits, running, ended, blocked, moved (another fence), unknown. Then the steps
-- to be delivered: signals that were taken after the checkpoint may have gone to others.
create function pawl_resume_v1(
    p_run        uuid,
    p_step       int,
    p_component  bytea,
    p_note       text,
    p_fence      bigint,
    -- The checkpoint's position; 0 if there is none.
    p_kept       int,
    p_cut        int,
    p_length     int,
    p_digest     bytea,
    p_entries    bytea
) returns table (verdict text, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_status  text;
    v_fence   bigint;
    v_given   pawl_event_v1[] := '{}';
begin
    perform 1 from run r where r.id = p_run for no key update;
    -- A cut may wake others, too.
    perform 1 from step s where s.run_id = p_run and (p_fence is not null or s.step_no = p_step)
    order by s.step_no for no key update;
    select case when s.status = 'waiting' and s.awaits is not null then 'awaits' else s.status end, s.fence
    into v_status, v_fence
    from step s where s.run_id = p_run and s.step_no = p_step;
    if v_status is null or v_status not in ('parked', 'waiting', 'ready') then
        return query select case when v_status is null then 'unknown'
                                 when v_status in ('running', 'blocked', 'awaits') then v_status else 'ended' end,
                            null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    if p_fence <> v_fence then
        return query select 'moved', null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    update step s set status = 'ready', ready_at = now(), due_at = null, awaits_position = null, awaits_until = null,
                      crashes = 0, crash_mark = 0, fence = s.fence + 1, component = coalesce(p_component, s.component),
                      journal_length = coalesce(p_cut + p_length, s.journal_length),
                      -- Notes are of all components.
                      recorded_by = case when p_kept is null or p_kept > 0 then
                          nullif(coalesce(s.recorded_by, s.component), coalesce(p_component, s.component)) end
    where s.run_id = p_run and s.step_no = p_step
    returning s.fence into v_fence;
    if p_fence is not null then
        delete from journal j where j.run_id = p_run and j.step_no = p_step and j.first >= p_cut;
        insert into journal (run_id, step_no, first, length, digest, bytes)
        select p_run, p_step, p_cut, p_length, p_digest, p_entries where p_length > 0;
        update signal g set step_no = null, position = null
        where g.run_id = p_run and g.step_no = p_step and g.position >= p_cut;
        v_given := coalesce(pawl_give_signals_v1(array[p_run]), '{}');
    end if;
    perform pawl_record_v1(row(p_run, 'step.ready', p_step, v_fence, null, p_note)::pawl_event_v1 || v_given);
    return query
    select 'resumed', s.run_id, s.step_no, p.queue, p.priority, (extract(epoch from s.ready_at) * 1000)::bigint
    from step s
    join run r on r.id = s.run_id
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = s.step_no
    where s.run_id = p_run and s.status = 'ready'
      and (s.step_no = p_step or exists (select from unnest(v_given) as g where g.step_no = s.step_no));
end
$$;
