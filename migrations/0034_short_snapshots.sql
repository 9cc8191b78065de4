-- Old versions of a row are cleaned away by whoever meets them next, once no snapshot is older. While one is, a row that
-- every commit changes (a run of many branches, a join) fills its page and moves on to another, and each index gets an
-- entry for each move. So nothing that Pawl does over and over may keep a snapshot for long.

-- 0018_sessions.sql, with its sleep in slices while others commit: a sleep has a snapshot, too. To wake up costs a tenth of
-- a millisecond, so that an idle installation is looked at as before.
create or replace procedure pawl_watch_v1(
    p_worker uuid, p_for_ms int, p_pause_ms int, p_grace_ms int, inout p_watching boolean, inout p_ended uuid[]
)
language plpgsql
as $$
declare
    v_until     timestamptz := clock_timestamp() + p_for_ms * interval '1 millisecond';
    v_grace     interval := p_grace_ms * interval '1 millisecond';
    -- Those without a session, and since when.
    v_absent    jsonb := '{}';
    v_seen      jsonb;
    v_id        uuid;
    -- The next transaction that writes, at this look and at the last.
    v_next      bigint;
    v_last      bigint;
    v_slice_ms  int;
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
        v_next := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
        v_slice_ms := case when v_next - v_last >= 3 then least(10, p_pause_ms) else p_pause_ms end;
        v_last := v_next;
        for v_slice in 1 .. p_pause_ms / v_slice_ms loop
            perform pg_sleep(v_slice_ms / 1000.0);
            commit;
        end loop;
    end loop;
    delete from session s where not exists (select from worker w where w.id = s.worker_id);
end
$$;

-- Nobody calls it since 0033_claims.sql.
drop function pawl_write_v3_claim(uuid, uuid[], uuid[], int[]);
