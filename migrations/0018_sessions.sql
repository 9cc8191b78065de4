-- A worker that was killed is noticed by the end of its sessions: the kernel closes a dead process's sockets, and Postgres
-- ends what came through them. Leases (0012_sweeps.sql) stay the backstop for whatever ends without a word.
--
--   worker     each of its connections holds a lock of its own kind for as long as the session lasts (pawl_session_v1);
--              before an effect leaves, one of them has answered within less than the grace
--   watcher    one worker at a time looks ten times a second for those whose lock nobody holds; after the grace it ends
--              their lease, so that they are taken over as if it had run out (pawl_watch_v1)
--
-- It ends a lease under the lock, exclusively. So whoever comes back before that is seen, and whoever comes back after it
-- waits for the commit, and then finds its lease ended.

-- Workers that have had a session. Unlogged on purpose: after a crash of the server it is empty. With the server all
-- sessions end, and that says nothing about workers; nor does what an earlier start of the server has known.
create unlogged table session (
    worker_id       uuid primary key,
    server_started  timestamptz not null default pg_postmaster_start_time()
);

-- The lock of a worker's sessions.
create function pawl_session_key_v1(p_worker uuid) returns bigint
language sql immutable
return hashtextextended(p_worker::text, 4711);

-- Makes this session one of the worker's: the first thing that is said on each of its connections.
create function pawl_session_v1(p_worker uuid) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    perform pg_advisory_lock_shared(pawl_session_key_v1(p_worker));
    insert into session as s (worker_id) values (p_worker)
    on conflict (worker_id) do update set server_started = excluded.server_started
    where s.server_started <> excluded.server_started;
end
$$;

-- Renews a worker's lease, or begins it, and tells the time. `alive` false: the lease has ended and can't be renewed; the
-- process must take a new id.
create function pawl_heartbeat_v3(
    p_worker uuid, p_lease_ms int, p_begin boolean, p_host text, p_pid int, p_slots int, p_queues text[],
    p_running int, p_draining boolean
) returns table (alive boolean, now_us bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return query select
        pawl_heartbeat_v2(p_worker, p_lease_ms, p_begin, p_host, p_pid, p_slots, p_queues, p_running, p_draining),
        (extract(epoch from clock_timestamp()) * 1000000)::bigint;
end
$$;

-- Watches for so long, unless another session does, and then waits for its place. Returns early when it has ended leases,
-- and says whose. `p_watching` is what the last call on this session has answered, at first false.
--
-- No snapshot and no lock outlasts a look. (A procedure that commits may have no settings of its own.)
create procedure pawl_watch_v1(
    p_worker uuid, p_for_ms int, p_pause_ms int, p_grace_ms int, inout p_watching boolean, inout p_ended uuid[]
)
language plpgsql
as $$
declare
    v_until    timestamptz := clock_timestamp() + p_for_ms * interval '1 millisecond';
    v_grace    interval := p_grace_ms * interval '1 millisecond';
    -- Those without a session, and since when.
    v_absent   jsonb := '{}';
    v_seen     jsonb;
    v_id       uuid;
begin
    p_ended := '{}';
    loop
        p_watching := p_watching or pg_try_advisory_lock(pawl_session_key_v1('00000000-0000-0000-0000-000000000000'));
        if p_watching then
            v_seen := '{}';
            for v_id in
                select s.worker_id from session s join worker w on w.id = s.worker_id
                where w.expires_at > clock_timestamp() and s.server_started = pg_postmaster_start_time()
                order by s.worker_id
            loop
                continue when v_id = p_worker or not pg_try_advisory_xact_lock(pawl_session_key_v1(v_id));
                v_seen := v_seen || jsonb_build_object(v_id, coalesce(v_absent -> v_id::text, to_jsonb(clock_timestamp())));
                if clock_timestamp() - (v_seen ->> v_id::text)::timestamptz >= v_grace then
                    update worker set expires_at = clock_timestamp() where id = v_id;
                    p_ended := p_ended || v_id;
                end if;
            end loop;
            v_absent := v_seen;
        end if;
        commit;
        exit when p_ended <> '{}' or clock_timestamp() >= v_until;
        perform pg_sleep(p_pause_ms / 1000.0);
        commit;
    end loop;
    delete from session s where not exists (select from worker w where w.id = s.worker_id);
end
$$;
