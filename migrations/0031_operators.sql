-- Workers as operators see them: which build each is of, how far its clock is from this one, and whether somebody has asked
-- it to drain. Told and heard with the heartbeat, which stays one statement: nobody asks for it besides.
alter table worker
    add column version text,
    -- How far the machine's own clock was ahead of the database's at the last heartbeat, less the way of the heartbeat.
    add column clock_ahead_ms bigint,
    add column drain_asked_at timestamptz;

-- Renews a worker's lease, or begins it, and tells the time. `alive` false: the lease has ended and can't be renewed; the
-- process must take a new id. `drain`: somebody has asked that the worker takes nothing new, and ends.
create function pawl_heartbeat_v4(
    p_worker uuid, p_lease_ms int, p_begin boolean, p_host text, p_pid int, p_slots int, p_queues text[],
    p_running int, p_draining boolean, p_version text, p_clock_ms bigint
) returns table (alive boolean, now_us bigint, drain boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    v_now      timestamptz := clock_timestamp();
    v_expires  timestamptz := v_now + p_lease_ms * interval '1 millisecond';
    v_ahead_ms bigint := p_clock_ms - (extract(epoch from v_now) * 1000)::bigint;
begin
    now_us := (extract(epoch from v_now) * 1000000)::bigint;
    if p_begin then
        insert into worker (id, host, pid, slots, queues, version, clock_ahead_ms, expires_at)
        values (p_worker, p_host, p_pid, p_slots, p_queues, p_version, v_ahead_ms, v_expires)
        on conflict (id) do nothing;
        alive := true;
        drain := false;
    else
        update worker w set
            renewed_at = v_now, expires_at = v_expires, running = p_running, draining = p_draining,
            clock_ahead_ms = v_ahead_ms
        where w.id = p_worker and w.expires_at > v_now
        returning w.drain_asked_at is not null into drain;
        alive := found;
        drain := coalesce(drain, false);
    end if;
    return next;
end
$$;
