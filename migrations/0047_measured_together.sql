-- What a namespace's runs hold is measured for all runs of a piece together: `pawl_run_bytes_v1` prepared and ended a plan for each,
-- which took half of the time. It stays for builds before this one. And a short run is measured once: by the first look, five seconds
-- after it was submitted, it has ended long enough ago.
set local lock_timeout = '10s';

-- Measures a piece: up to so many new runs, and as many that had not ended, with about so many steps together; one is, however
-- large. `bytes` is what the namespace holds as far as is known, null if somebody else is at it; `more`: there are more new ones.
create function pawl_measure_v2(p_namespace text, p_runs int, p_steps int, out bytes bigint, out more boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_stored   stored;
    v_found    int;
    v_taken    int;
    v_new      uuid[];
    v_last     timestamptz;
    v_last_id  uuid;
    v_looked   uuid[];
    v_changed  uuid[];
    v_grown    bigint;
begin
    more := false;
    select * into v_stored from stored s where s.namespace = p_namespace for update skip locked;
    if not found then
        insert into stored (namespace) values (p_namespace) on conflict do nothing returning * into v_stored;
        if not found then
            return;
        end if;
    end if;

    -- New ones, oldest first. A submission is dated by its transaction's begin: those of the last seconds may not all be seen yet.
    select count(*), count(*) filter (where n.is_taken), array_agg(n.id order by n.turn) filter (where n.is_taken),
           (array_agg(n.created_at order by n.turn desc) filter (where n.is_taken))[1]
    into v_found, v_taken, v_new, v_last
    from (
        select w.id, w.created_at, w.turn, w.turn = 1 or w.steps_so_far <= p_steps as is_taken
        from (
            select f.id, f.created_at, row_number() over (order by f.created_at, f.id) as turn,
                   sum(f.steps) over (order by f.created_at, f.id) as steps_so_far
            from unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as s (status)
            cross join lateral (
                select r.id, r.created_at, r.steps from run r
                where r.namespace = p_namespace and r.status = s.status
                  and (r.created_at, r.id) > (v_stored.after_at, v_stored.after_id)
                  and r.created_at < now() - interval '5 seconds'
                order by r.created_at, r.id limit p_runs) as f
        ) as w
        where w.turn <= p_runs
    ) as n;
    v_last_id := v_new[v_taken];
    more := v_taken < v_found or v_taken = p_runs;

    -- In turn, those that had not ended: what has moved since, or runs, is measured again. Logs come in after an end.
    select count(*), array_agg(k.id order by k.turn) filter (where k.is_taken),
           array_agg(k.id order by k.turn) filter (where k.is_taken and k.has_changed)
    into v_found, v_looked, v_changed
    from (
        select w.id, w.turn, w.has_changed, w.turn = 1 or w.steps_so_far <= p_steps as is_taken
        from (
            select o.run_id as id, r.has_changed, row_number() over (order by o.run_id) as turn,
                   sum(case when r.has_changed then r.steps else 0 end) over (order by o.run_id) as steps_so_far
            from (select s.run_id, s.seen from stored_run s
                  where s.namespace = p_namespace and not s.ended and s.run_id > v_stored.looked_id
                  order by s.run_id limit p_runs) as o
            cross join lateral (
                select r.steps, r.ended_at is not null or r.running > 0 or r.event_count + r.signal_count <> o.seen as has_changed
                from run r where r.id = o.run_id offset 0) as r
        ) as w
    ) as k;

    with measured as materialized (
        select r.id, r.bytes + coalesce(y.bytes, 0) + coalesce(j.bytes, 0) + coalesce(c.bytes, 0) + coalesce(g.bytes, 0)
                   + coalesce(l.bytes, 0) as bytes,
               r.event_count + r.signal_count as seen, coalesce(r.ended_at < now() - interval '3 seconds', false) as ended
        from (select distinct u.id from unnest(v_new || v_changed) as u (id)) as n
        cross join lateral (
            select r.id, octet_length(r.input) as bytes, r.event_count, r.signal_count, r.ended_at
            from run r where r.id = n.id offset 0) as r
        cross join lateral (
            select sum(coalesce(octet_length(y.output), 0) + coalesce(octet_length(y.error), 0)) as bytes
            from step y where y.run_id = n.id offset 0) as y
        cross join lateral (select sum(octet_length(y.bytes)) as bytes from journal y where y.run_id = n.id offset 0) as j
        cross join lateral (select sum(octet_length(y.state)) as bytes from checkpoint y where y.run_id = n.id offset 0) as c
        cross join lateral (select sum(octet_length(y.payload)) as bytes from signal y where y.run_id = n.id offset 0) as g
        cross join lateral (select sum(octet_length(y.bytes)) as bytes from step_log y where y.run_id = n.id offset 0) as l
    ), noted as (
        insert into stored_run (run_id, namespace, bytes, seen, ended)
        select m.id, p_namespace, m.bytes, m.seen, m.ended from measured m
        on conflict (run_id) do update set bytes = excluded.bytes, seen = excluded.seen, ended = excluded.ended
    )
    select coalesce(sum(m.bytes - coalesce(k.bytes, 0)), 0) into v_grown
    from measured m left join stored_run k on k.run_id = m.id;

    update stored s set
        run_bytes = s.run_bytes + v_grown,
        component_bytes = (
            select coalesce(sum(c.bytes), 0)
            from (select distinct v.digest from plugin_version v where v.namespace = p_namespace) as v
            cross join lateral (select octet_length(c.bytes) as bytes from component c where c.digest = v.digest offset 0) as c),
        after_at = coalesce(v_last, s.after_at),
        after_id = coalesce(v_last_id, s.after_id),
        -- After the last one, the first one's turn comes again.
        looked_id = case when cardinality(v_looked) < v_found or v_found = p_runs then v_looked[cardinality(v_looked)]
                         else '00000000-0000-0000-0000-000000000000' end,
        measured_at = case when more then s.measured_at else now() end
    where s.namespace = p_namespace
    returning s.run_bytes + s.component_bytes into bytes;
end
$$;
