-- Leases and sweeps, second edition of 0009_leases.sql: what they cost follows what has happened since they last looked.
--
-- An index of what is due, or ready, is a queue: entries come at one end and go at the other, and those that went stay
-- until the oldest snapshot of the server has ended (a dump, a replica's feedback). Whoever takes the first entry walks
-- all of them, each time. So
--   - the heartbeat renews, and asks nothing: no lease hangs on what else is in the database;
--   - the look, which tells sweeps when there is something to do, begins where it last found nothing older, and ends at
--     a horizon. Its caller keeps where that is, and looks at everything now and then: a transaction that takes longer
--     than a lease may leave something behind it.

-- Renews a worker's lease, or begins it. `alive` false: the lease ran out and can't be renewed; the process must take a
-- new id.
create function pawl_heartbeat_v2(
    p_worker uuid, p_lease_ms int, p_begin boolean, p_host text, p_pid int, p_slots int, p_queues text[],
    p_running int, p_draining boolean
) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    if p_begin then
        insert into worker (id, host, pid, slots, queues, expires_at)
        values (p_worker, p_host, p_pid, p_slots, p_queues, clock_timestamp() + p_lease_ms * interval '1 millisecond')
        on conflict (id) do nothing;
        return true;
    end if;
    update worker w set
        renewed_at = clock_timestamp(), expires_at = clock_timestamp() + p_lease_ms * interval '1 millisecond',
        running = p_running, draining = p_draining
    where w.id = p_worker and w.expires_at > clock_timestamp();
    return found;
end
$$;

-- A bound, ms since 1970, as a time; null is before all times.
create function pawl_bound_v1(p_ms bigint) returns timestamptz
language sql stable
return coalesce(timestamptz 'epoch' + p_ms * interval '1 millisecond', '-infinity');

-- When a sweep has something to do; null: nothing in sight. Times are cut to ms, so that what is told as a bound is none
-- that anything lies before.
--   next_lease_end_ms  of another worker
--   next_due_ms        of waiting steps that are due from `p_due_from_ms` on, within the horizon
--   oldest_ready_ms    of each of these streams, among steps that are ready from its bound on, for longer than the margin
--   newest_wanted_us   when a version of a plugin was last wanted
create function pawl_look_v1(
    p_worker uuid, p_due_from_ms bigint, p_horizon_ms int, p_queues text[], p_priorities text[], p_ready_from_ms bigint[],
    p_margin_ms int
) returns table (now_ms bigint, next_lease_end_ms bigint, next_due_ms bigint, oldest_ready_ms bigint[],
                 newest_wanted_us bigint)
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
        (select (extract(epoch from max(v.wanted_at)) * 1000000)::bigint from plugin_version v);
end
$$;

-- Steps whose worker's lease has ended: their fence is raised, and they are ready again. With strays, also those whose
-- worker is gone: a delayed claim may commit after the sweep that removed its worker. Returns them, to be delivered;
-- workers without steps whose lease ended are forgotten.
create function pawl_takeover_v2(p_limit int, p_strays boolean, p_suspect_from int, p_crash_limit int)
returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_dead    uuid[];
    v_runs    uuid[];
    v_steps   int[];
    v_free    uuid[];
    v_events  pawl_event_v1[];
begin
    -- Candidates, without locks: workers, then their steps.
    v_dead := array(select w.id from worker w where w.expires_at <= clock_timestamp());
    if p_strays then
        v_dead := v_dead || array(
            -- From one worker that has steps to the next, whatever their number.
            with recursive holder as (
                select (select s.held_by from step s where s.held_by is not null order by s.held_by limit 1) as id
                union all
                select (select s.held_by from step s where s.held_by > h.id order by s.held_by limit 1)
                from holder h where h.id is not null
            )
            select h.id from holder h where h.id is not null and not exists (select from worker w where w.id = h.id));
    end if;
    select array_agg(c.run_id), array_agg(c.step_no) into v_runs, v_steps from (
        select s.run_id, s.step_no from unnest(v_dead) as d (id)
        cross join lateral (select y.run_id, y.step_no from step y where y.held_by = d.id limit p_limit) as s
        limit p_limit) as c;
    if v_runs is not null then
        select array_agg(id) into v_free
        from (select id from run where id = any (v_runs) order by id for no key update skip locked) as locked;
    end if;
    if v_free is not null then
        perform 1 from unnest(v_runs, v_steps) as c (run_id, step_no)
        join step s on s.run_id = c.run_id and s.step_no = c.step_no
        where c.run_id = any (v_free)
        order by s.run_id, s.step_no for no key update of s;
        v_events := pawl_takeover_v2_raise(v_runs, v_steps, v_free, p_suspect_from, p_crash_limit);
    end if;
    if v_events is not null then
        perform pawl_record_v1(v_events);
    end if;
    -- Looked up for each, and not joined.
    delete from worker w
    where w.expires_at <= clock_timestamp() and (select s.step_no from step s where s.held_by = w.id limit 1) is null;
    return query select * from unnest(pawl_ready_of_v1(v_events));
end
$$;

-- Decides again, under the locks of these steps and of the runs that are free, and raises the fences. A step whose worker
-- died `p_suspect_from` times without durable progress is a suspect, and runs alone from then on; from then on only deaths
-- in that time count, and after `p_crash_limit` of all it is parked. Of a run that fails, nothing starts again.
create function pawl_takeover_v2_raise(
    p_runs uuid[], p_steps int[], p_free uuid[], p_suspect_from int, p_crash_limit int
) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with candidate as (
        select s.row, s.worker_id, r.failing,
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
            ended_at = case when c.failing then now() end,
            error = case when c.crashes >= p_crash_limit and not c.failing then convert_to(
                '{"cause":"poison","message":"its worker process died ' || c.crashes
                || ' times in a row while executing this step, without progress in between"}', 'UTF8')
                else s.error end
        -- By its place in the table, which stays under the run's lock.
        from candidate c
        where s.ctid = c.row
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

-- Steps that wait and are due from the bound on become ready: a retry, a sleep, or a signal that did not come in time.
-- Returns them, to be delivered.
create function pawl_wake_v2(p_limit int, p_from_ms bigint) returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_runs    uuid[];
    v_steps   int[];
    v_free    uuid[];
    v_events  pawl_event_v1[];
begin
    select array_agg(c.run_id), array_agg(c.step_no) into v_runs, v_steps from (
        select s.run_id, s.step_no from step s where s.due_at >= pawl_bound_v1(p_from_ms) and s.due_at <= now()
        order by s.due_at limit p_limit) as c;
    if v_runs is null then
        return;
    end if;
    select array_agg(id) into v_free
    from (select id from run where id = any (v_runs) order by id for no key update skip locked) as locked;
    with due as (
        select s.row, s.note from unnest(v_runs, v_steps) as c (run_id, step_no)
        cross join lateral (select y.ctid as row, coalesce('no signal ' || y.awaits || ' in time', 'due') as note
                            from step y where y.run_id = c.run_id and y.step_no = c.step_no and y.status = 'waiting'
                                          and y.due_at <= now() offset 0) as s
        where c.run_id = any (v_free)
    ), woken as (
        update step s set status = 'ready', ready_at = now(), due_at = null,
                          awaits_position = null, awaits_until = null, awaits = null
        -- By its place in the table, which stays under the run's lock.
        from due d where s.ctid = d.row
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

-- Ready steps of one stream that are ready since before `p_before_ms`, and from the bound on: their message is gone or
-- was delivered and never claimed. They get a new `ready_at`, so that they are not found again at once.
create function pawl_lost_v2(p_queue text, p_priority text, p_from_ms bigint, p_before_ms bigint, p_limit int)
returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    return query
    with found as (
        select s.run_id, s.step_no from step s
        where s.queue = p_queue and s.priority = p_priority
          and s.ready_at >= pawl_bound_v1(p_from_ms) and s.ready_at < pawl_bound_v1(p_before_ms)
        order by s.ready_at limit p_limit
        for no key update of s skip locked
    )
    update step s set ready_at = now() from found
    where s.run_id = found.run_id and s.step_no = found.step_no and s.status = 'ready'
    returning s.run_id, s.step_no, p_queue, p_priority, (extract(epoch from s.ready_at) * 1000)::bigint;
end
$$;
