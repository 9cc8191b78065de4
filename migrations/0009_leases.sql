-- Leases and sweeps: what moves a step when its worker can't.
--
--      heartbeat ── renewed every second ──▶ worker.expires_at
--                                               │ passes
--      takeover  ── fence + 1, ready again ◀────┘        (parked after too many crashes without progress)
--      wake      ── waiting, and due ──▶ ready       (a signal does the same: 0007_signals.sql)
--      lost      ── ready, but its message is gone ──▶ delivered again
--
-- Any worker runs the sweeps; locked rows are skipped, so that they do each thing once.

-- Renews a worker's lease, or begins it. `alive` false: the lease ran out and can't be renewed; the process
-- must take a new id. The rest tells when a sweep has something to do (null: nothing in sight).
create function pawl_heartbeat_v1(
    p_worker uuid, p_lease_ms int, p_begin boolean, p_host text, p_pid int, p_slots int, p_queues text[],
    p_running int, p_draining boolean
) returns table (alive boolean, now_ms bigint, next_lease_end_ms bigint, next_due_ms bigint,
                 oldest_ready_ms bigint, newest_wanted_us bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_alive boolean;
begin
    if p_begin then
        insert into worker (id, host, pid, slots, queues, expires_at)
        values (p_worker, p_host, p_pid, p_slots, p_queues, clock_timestamp() + p_lease_ms * interval '1 millisecond')
        on conflict (id) do nothing;
        v_alive := true;
    else
        update worker w set
            renewed_at = clock_timestamp(), expires_at = clock_timestamp() + p_lease_ms * interval '1 millisecond',
            running = p_running, draining = p_draining
        where w.id = p_worker and w.expires_at > clock_timestamp();
        v_alive := found;
    end if;
    return query select
        v_alive,
        (extract(epoch from clock_timestamp()) * 1000)::bigint,
        (select (extract(epoch from min(w.expires_at)) * 1000)::bigint from worker w where w.id <> p_worker),
        (select (extract(epoch from min(s.due_at)) * 1000)::bigint from step s where s.due_at is not null),
        (select (extract(epoch from min(s.ready_at)) * 1000)::bigint from step s where s.ready_at is not null),
        (select (extract(epoch from max(v.wanted_at)) * 1000000)::bigint from plugin_version v);
end
$$;

-- Steps whose worker's lease has ended, or whose worker is gone: their fence is raised, and they are ready again.
-- Returns them, to be delivered; workers without steps whose lease ended are forgotten.
create function pawl_takeover_v1(p_limit int, p_suspect_from int, p_crash_limit int) returns setof pawl_ready_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_runs    uuid[];
    v_events  pawl_event_v1[];
begin
    -- Candidates, without locks.
    select array_agg(distinct c.run_id) into v_runs from (
        select s.run_id from run r
        join step s on s.run_id = r.id and s.status = 'running'
        where r.running > 0
          and not exists (select from worker w where w.id = s.worker_id and w.expires_at > clock_timestamp())
        limit p_limit) as c;
    if v_runs is not null then
        select array_agg(id) into v_runs
        from (select id from run where id = any (v_runs) order by id for no key update skip locked) as locked;
    end if;
    if v_runs is not null then
        perform 1 from step s where s.run_id = any (v_runs) and s.status = 'running'
        order by s.run_id, s.step_no for no key update;
        v_events := pawl_takeover_v1_raise(v_runs, p_suspect_from, p_crash_limit);
    end if;
    if v_events is not null then
        perform pawl_record_v1(v_events);
    end if;
    delete from worker w
    where w.expires_at < clock_timestamp()
      and not exists (select from run r join step s on s.run_id = r.id and s.status = 'running'
                      where r.running > 0 and s.worker_id = w.id);
    return query select * from unnest(pawl_ready_of_v1(v_events));
end
$$;

-- Decides again, under the locks of these runs and steps, and raises the fences. A step whose worker died
-- `p_suspect_from` times without durable progress is a suspect, and runs alone from then on; from then on only deaths
-- in that time count, and after `p_crash_limit` of all it is parked. Of a run that fails, nothing starts again.
create function pawl_takeover_v1_raise(p_runs uuid[], p_suspect_from int, p_crash_limit int) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with candidate as (
        select s.run_id, s.step_no, s.worker_id, r.failing,
               case when s.journal_length + s.checkpoint_ordinal > s.crash_mark then 0
                    when s.crashes >= p_suspect_from and not s.alone then s.crashes
                    else s.crashes + 1 end as crashes
        from step s join run r on r.id = s.run_id
        where s.run_id = any (p_runs) and s.status = 'running'
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
            ended_at = case when c.failing then now() end,
            error = case when c.crashes >= p_crash_limit and not c.failing then convert_to(
                '{"cause":"poison","message":"its worker process died ' || c.crashes
                || ' times in a row while executing this step, without progress in between"}', 'UTF8')
                else s.error end
        from candidate c
        where s.run_id = c.run_id and s.step_no = c.step_no
        returning s.run_id, s.step_no, s.status, s.fence, c.worker_id,
                  format('checkpoint=%s journal=%s', coalesce(s.checkpoint_position::text, 'none'),
                         s.journal_length) as note
    )
    select array_agg(row(run_id, 'step.lease_expired', step_no, fence, worker_id, note)::pawl_event_v1)
           || array_agg(row(run_id, 'step.' || status, step_no, fence, null, null)::pawl_event_v1)
    into v_events from taken;
    return v_events;
end
$$;

-- Steps that wait and are due become ready: a retry, a sleep, or a signal that did not come in time. Returns
-- them, to be delivered.
create function pawl_wake_v1(p_limit int)
returns setof pawl_ready_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_runs    uuid[];
    v_events  pawl_event_v1[];
begin
    select array_agg(distinct c.run_id) into v_runs from (
        select s.run_id from step s where s.due_at <= now()
        order by s.due_at limit p_limit) as c;
    if v_runs is null then
        return;
    end if;
    select array_agg(id) into v_runs
    from (select id from run where id = any (v_runs) order by id for no key update skip locked) as locked;
    with due as (
        select s.run_id, s.step_no, coalesce('no signal ' || s.awaits || ' in time', 'due') as note
        from step s where s.run_id = any (v_runs) and s.status = 'waiting' and s.due_at <= now()
    ), woken as (
        update step s set status = 'ready', ready_at = now(), due_at = null,
                          awaits_position = null, awaits_until = null, awaits = null
        from due d where s.run_id = d.run_id and s.step_no = d.step_no
        returning s.run_id, s.step_no, s.fence, d.note
    )
    select array_agg(row(run_id, 'step.ready', step_no, fence, null, note)::pawl_event_v1) into v_events from woken;
    if v_events is null then
        return;
    end if;
    perform pawl_record_v1(v_events);
    return query select * from unnest(pawl_ready_of_v1(v_events));
end
$$;

-- Ready steps of one stream that are older than `p_before_ms`: their message is gone or was delivered and
-- never claimed. They get a new `ready_at`, so that they are not found again at once.
create function pawl_lost_v1(p_queue text, p_priority text, p_before_ms bigint, p_limit int)
returns setof pawl_ready_v1
language sql
as $$
    with found as (
        select s.run_id, s.step_no
        from step s
        join run r on r.id = s.run_id
        join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = s.step_no
        where s.ready_at < to_timestamp(p_before_ms / 1000.0)
          and p.queue = p_queue and p.priority = p_priority
        order by s.ready_at
        limit p_limit
        for no key update of s skip locked
    )
    update step s set ready_at = now() from found
    where s.run_id = found.run_id and s.step_no = found.step_no and s.status = 'ready'
    returning s.run_id, s.step_no, p_queue, p_priority, (extract(epoch from s.ready_at) * 1000)::bigint
$$;
