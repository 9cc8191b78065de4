-- Circuits: one for each outside host and namespace. While a host is down, attempts that would call it are deferred and burn
-- nothing; one probe at a time finds out whether it is back.
--
--            calls fail in a row                       retry_at, and somebody asks
--   (no row) ───────────────────▶ open ───────────────────────────────────────────▶ half-open
--      ▲                           ▲  it stays open longer    ◀──── the probe fails ────┤
--      │                           └──── the prober is gone, or was stopped ◀───────────┤
--      └── nothing is deferred by it any more ── closed ◀──── the probe is answered ────┘
--
-- A deferred step waits for a time (`due_at`) like one that is retried, far ahead, and names its circuit (`deferred_by`). Two
-- things move that time: of an open circuit whose `retry_at` has come, one step is *pulled*, so that there is somebody to probe;
-- and when the circuit has closed, all of them are *released* in pieces. Should neither happen, the time comes by itself.
--
-- Its row stays while something may be deferred by it: a batch on its way may have read that it was open.

set local statement_timeout = 0;
set local lock_timeout = 0;

create table circuit (
    id           bigint generated always as identity primary key,
    namespace    text not null,
    -- scheme://host:port
    origin       text not null,
    -- What the last call has come to, and how many have failed since one was answered.
    reason       text not null,
    failures     int not null,
    opened_at    timestamptz not null default clock_timestamp(),
    opened_by    uuid,
    -- How long it stays open, and until when.
    open_ms      bigint not null,
    retry_at     timestamptz not null,
    -- The number of its last probe, who has it, and until when: as long as that worker's lease stands.
    probe        int not null default 0,
    probed_by    uuid,
    probe_until  timestamptz,
    -- When a step was last pulled, for somebody to probe.
    pulled_at    timestamptz,
    -- What is deferred by it is being released.
    closed_at    timestamptz
);
create unique index circuit_open on circuit (namespace, origin) where closed_at is null;

alter table step add column deferred_by bigint;
create index step_deferred on step (deferred_by, due_at) where deferred_by is not null;

-- Whether somebody who lives has the probe.
create function pawl_is_probed_v1(p_probed_by uuid, p_probe_until timestamptz, p_now timestamptz) returns boolean
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return coalesce(p_probe_until > p_now, false)
       and exists (select from worker w where w.id = p_probed_by and w.expires_at > p_now);
end
$$;

-- The circuit of a host, that a run's steps are deferred by; null: it has none that is open.
create function pawl_circuit_of_v1(p_run uuid, p_origin text) returns bigint
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return (select c.id from circuit c
            where c.namespace = (select r.namespace from run r where r.id = p_run) and c.origin = p_origin
              and c.closed_at is null);
end
$$;

-- Opens the circuit of a host, unless it is open; returns it. Nothing: there are so many already.
create function pawl_open_circuit_v1(
    p_namespace text, p_origin text, p_reason text, p_failures int, p_worker uuid, p_open_ms bigint, p_most int
) returns setof circuit
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    if (select count(*) from circuit c where c.closed_at is null) < p_most then
        insert into circuit (namespace, origin, reason, failures, opened_by, open_ms, retry_at)
        values (p_namespace, p_origin, p_reason, p_failures, p_worker, p_open_ms,
                clock_timestamp() + p_open_ms * interval '1 millisecond')
        on conflict (namespace, origin) where closed_at is null do nothing;
    end if;
    return query select * from circuit c
    where c.namespace = p_namespace and c.origin = p_origin and c.closed_at is null;
end
$$;

-- Asks for the probe of a circuit. `won` is its number; null: it is not time yet, or somebody else has it. Nothing: the circuit
-- is not open any more.
create function pawl_probe_circuit_v1(p_circuit bigint, p_worker uuid, p_lease_ms bigint)
returns table (won int, retry_at_ms bigint, probe_until_ms bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    v_now  timestamptz := clock_timestamp();
    v_won  int;
begin
    update circuit c set probe = c.probe + 1, probed_by = p_worker,
                         probe_until = v_now + p_lease_ms * interval '1 millisecond'
    where c.id = p_circuit and c.closed_at is null and c.retry_at <= v_now
      and not pawl_is_probed_v1(c.probed_by, c.probe_until, v_now)
    returning c.probe into v_won;
    return query
    select v_won, (extract(epoch from c.retry_at) * 1000)::bigint,
           case when pawl_is_probed_v1(c.probed_by, c.probe_until, v_now)
                then (extract(epoch from c.probe_until) * 1000)::bigint end
    from circuit c where c.id = p_circuit and c.closed_at is null;
end
$$;

-- What a probe has come to: 'up' closes the circuit, 'down' opens it for an eighth longer, 'nothing' gives the probe to another.
-- Only the newest probe counts. Returns when the circuit may be probed again; nothing: it is not open any more.
create function pawl_probed_v1(p_circuit bigint, p_probe int, p_told text, p_reason text, p_longest_ms bigint)
returns setof bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    v_now  timestamptz := clock_timestamp();
begin
    if p_told = 'up' then
        update circuit c set closed_at = v_now where c.id = p_circuit and c.probe = p_probe and c.closed_at is null;
    elsif p_told = 'down' then
        update circuit c set
            failures = c.failures + 1, reason = p_reason,
            open_ms = greatest(c.open_ms, least(c.open_ms + greatest(c.open_ms / 8, 1), p_longest_ms)),
            retry_at = v_now + greatest(c.open_ms, least(c.open_ms + greatest(c.open_ms / 8, 1), p_longest_ms)) * interval '1 millisecond',
            probed_by = null, probe_until = null, pulled_at = null
        where c.id = p_circuit and c.probe = p_probe and c.closed_at is null and c.probe_until is not null;
    else
        update circuit c set probed_by = null, probe_until = null, pulled_at = null
        where c.id = p_circuit and c.probe = p_probe and c.closed_at is null;
    end if;
    return query select (extract(epoch from c.retry_at) * 1000)::bigint from circuit c
    where c.id = p_circuit and c.closed_at is null;
end
$$;

-- Looks after circuits: one that could be probed for `p_lapse_ms` and was not is closed, since nobody calls its host any more;
-- of others whose time has come, a step is pulled every `p_pull_ms`; and up to `p_limit` steps are released whose circuit has
-- closed. Returns the circuits that are there, and, with each, whether steps are due by this.
create function pawl_tend_circuits_v1(p_limit int, p_lapse_ms bigint, p_pull_ms bigint)
returns table (id bigint, namespace text, origin text, retry_at_ms bigint, probe_until_ms bigint, is_closed boolean,
               is_due boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_now      timestamptz := clock_timestamp();
    v_circuit  bigint;
    v_due      boolean := false;
    v_runs     uuid[];
    v_steps    int[];
begin
    -- Found first and locked if nobody else is at it: as a rule there is nothing to change, and many ask.
    update circuit c set closed_at = v_now
    where c.id = any (array(
        select o.id from circuit o
        where o.closed_at is null and o.retry_at < v_now - p_lapse_ms * interval '1 millisecond'
          and not pawl_is_probed_v1(o.probed_by, o.probe_until, v_now)
        for no key update skip locked));
    for v_circuit in
        update circuit c set pulled_at = v_now
        where c.id = any (array(
            select o.id from circuit o
            where o.closed_at is null and o.retry_at <= v_now
              and coalesce(o.pulled_at, '-infinity') < v_now - p_pull_ms * interval '1 millisecond'
              and not pawl_is_probed_v1(o.probed_by, o.probe_until, v_now)
            for no key update skip locked))
        returning c.id
    loop
        -- The one that would be due first.
        select array[s.run_id], array[s.step_no] into v_runs, v_steps from step s
        where s.deferred_by = v_circuit and s.due_at is not null order by s.due_at limit 1;
        v_due := pawl_tend_circuits_v1_due(v_circuit, v_runs, v_steps, false) or v_due;
    end loop;
    for v_circuit in select c.id from circuit c where c.closed_at is not null order by c.id loop
        select array_agg(f.run_id), array_agg(f.step_no) into v_runs, v_steps from (
            select s.run_id, s.step_no from step s where s.deferred_by = v_circuit limit p_limit) as f;
        v_due := pawl_tend_circuits_v1_due(v_circuit, v_runs, v_steps, true) or v_due;
        p_limit := p_limit - coalesce(cardinality(v_runs), 0);
        -- A batch that has seen it open has been committed by then.
        delete from circuit c
        where c.id = v_circuit and c.closed_at < v_now - interval '10 seconds'
          and (select s.step_no from step s where s.deferred_by = v_circuit limit 1) is null;
        exit when p_limit <= 0;
    end loop;
    return query
    select c.id, c.namespace, c.origin, (extract(epoch from c.retry_at) * 1000)::bigint,
           case when pawl_is_probed_v1(c.probed_by, c.probe_until, v_now)
                then (extract(epoch from c.probe_until) * 1000)::bigint end,
           c.closed_at is not null, v_due
    from circuit c;
end
$$;

-- Makes these steps due that are deferred by the circuit, as far as nobody holds their runs; whether there are any. Released,
-- they are its no more, whatever has become of them.
create function pawl_tend_circuits_v1_due(p_circuit bigint, p_runs uuid[], p_steps int[], p_released boolean)
returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_free  uuid[];
begin
    if p_runs is null then
        return false;
    end if;
    v_free := array(select r.id from run r where r.id = any (p_runs) order by r.id for no key update skip locked);
    with found as (
        -- By their keys, whatever the planner thinks of the table.
        select s.row from unnest(p_runs, p_steps) as f (run_id, step_no)
        cross join lateral (select y.ctid as row from step y where y.run_id = f.run_id and y.step_no = f.step_no
                                                               and y.deferred_by = p_circuit offset 0) as s
        where f.run_id = any (v_free)
    )
    update step s set
        deferred_by = case when not p_released then s.deferred_by end,
        due_at = case when s.status = 'waiting' then least(s.due_at, now()) else s.due_at end
    -- By its place in the table, which stays under the run's lock.
    from found f where s.ctid = f.row;
    return found;
end
$$;

-- Closes a circuit by a person's word; false: it is not open.
create function pawl_close_circuit_v1(p_namespace text, p_origin text) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update circuit c set closed_at = clock_timestamp()
    where c.namespace = p_namespace and c.origin = p_origin and c.closed_at is null;
    return found;
end
$$;

-- 0035_pause.sql, and whether there is a circuit.
create function pawl_look_v3(
    p_worker uuid, p_due_from_ms bigint, p_horizon_ms int, p_queues text[], p_priorities text[], p_ready_from_ms bigint[],
    p_margin_ms int
) returns table (now_ms bigint, next_lease_end_ms bigint, next_due_ms bigint, oldest_ready_ms bigint[],
                 newest_wanted_us bigint, releases boolean, circuits boolean)
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
        exists (select from pause p where p.ended_at is not null),
        exists (select from circuit c where c.retry_at is not null);
end
$$;

-- 0002_record.sql, planned as 0010_plans.sql says; a step that is deferred runs no more.
create or replace function pawl_record_v1(p_events pawl_event_v1[]) returns uuid[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_ended  uuid[];
begin
    with delta as (
        select run_id, count(*)::int as events,
               count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.cancelled'))::int
               - count(*) filter (where kind = 'step.reopened')::int as ended,
               -- A step is parked by its worker, or by a takeover, which has counted its lease's end.
               count(*) filter (where kind in ('step.started', 'step.resumed'))::int
               - count(*) filter (where kind in ('step.succeeded', 'step.failed', 'step.retrying', 'step.waiting',
                                                 'step.handed_back', 'step.lease_expired', 'step.deferred')
                                  or kind = 'step.parked' and worker_id is not null)::int as running,
               bool_or(kind = 'step.failed') as failed,
               bool_or(kind in ('step.started', 'step.resumed')) as started,
               array_agg(kind) as kinds, array_agg(step_no) as steps, array_agg(fence) as fences,
               array_agg(worker_id) as workers, array_agg(note) as notes
        -- Sorted once for all five lists: an aggregate takes its rows in the order in which they come.
        from (select * from unnest(p_events) with ordinality order by run_id, ordinality) as event
        group by run_id
    ), moved as (
        update run r set
            live = old.live - d.ended,
            running = old.running + d.running,
            failing = old.failing or d.failed,
            status = case when old.live = d.ended then case when old.failing or d.failed then 'failed' else 'succeeded' end
                          when d.started and old.status = 'pending' then 'running'
                          else old.status end,
            started_at = case when d.started and old.status = 'pending' then now() else old.started_at end,
            ended_at = case when old.live = d.ended then now() end,
            event_count = old.event_count + d.events + (d.started and old.status = 'pending')::int
                          + (old.live = d.ended)::int
        from delta d join run old on old.id = d.run_id
        where r.id = d.run_id
        returning r.id, r.status, d.started and old.status = 'pending' as begins, r.live = 0 as ends, old.event_count, d.*,
                  case when r.live = 0 then array[case r.status when 'failed' then 'run.failed' else 'run.succeeded' end] end as ending
    ), told as (
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select id, event_count + 1,
               case when begins then '{run.started}'::text[] end || kinds || ending,
               case when begins then '{null}'::int[] end || steps || case when ends then '{null}'::int[] end,
               case when begins then '{null}'::bigint[] end || fences || case when ends then '{null}'::bigint[] end,
               case when begins then '{null}'::uuid[] end || workers || case when ends then '{null}'::uuid[] end,
               case when begins then '{null}'::text[] end || notes || case when ends then '{null}'::text[] end
        from moved
    )
    select array_agg(id) into v_ended from moved where ends;
    return v_ended;
end
$$;

-- 0022_reasons.sql; of a deferral, `awaits` is the host's origin. If its circuit has closed meanwhile, the step is not deferred by
-- any, and goes on at once.
create or replace function pawl_write_v1_steps(p_worker uuid, p_members pawl_member_v1[], p_payloads bytea[])
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
            status = case when m.outcome in ('retry', 'suspended', 'deferred') then 'waiting' when m.outcome = 'released' then 'ready'
                          else coalesce(m.outcome, s.status) end,
            alone = m.outcome is null and (m.alone or s.alone),
            failures = s.failures + (m.outcome is not null and m.outcome in ('failed', 'retry'))::int,
            output = case when m.outcome = 'succeeded' then p_payloads[m.payload] end,
            output_digest = case when m.outcome = 'succeeded' then m.payload_digest end,
            error = case when m.outcome in ('failed', 'retry', 'parked') then p_payloads[m.payload]
                         when m.outcome in ('succeeded', 'suspended') then null else s.error end,
            due_at = case when m.outcome = 'deferred' and pawl_circuit_of_v1(s.run_id, m.awaits) is null then now()
                          else now() + m.delay_ms * interval '1 millisecond' end,
            deferred_by = case when m.outcome is null then s.deferred_by
                               when m.outcome = 'deferred' then pawl_circuit_of_v1(s.run_id, m.awaits) end,
            awaits_position = m.awaits_position,
            awaits_until = case when m.outcome = 'suspended' then now() + m.delay_ms * interval '1 millisecond' end,
            awaits = case when m.outcome = 'suspended' then m.awaits end,
            ready_at = case when m.outcome = 'released' then now() end,
            parked_at = case when m.outcome = 'parked' then now() else s.parked_at end,
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
               case when outcome = 'retry' then 'in ' || delay_ms || ' ms' || coalesce(': ' || awaits, '')
                    when outcome in ('failed', 'parked', 'deferred') then awaits
                    when awaits is not null then 'signal ' || awaits || coalesce(', at most ' || delay_ms || ' ms', '')
                    when outcome = 'suspended' then 'sleep ' || delay_ms || ' ms' end
           )::pawl_event_v1) filter (where outcome is not null)
    into v_done
    from written;
    return v_done;
end
$$;

create view pawl_view_circuits as
select c.namespace, c.origin, case when t.is_probed then 'half-open' else 'open' end as state, c.reason, c.failures, c.opened_at,
       c.opened_by, c.retry_at, case when t.is_probed then c.probed_by end as probed_by, d.deferred
from circuit c
-- Not by pawl_is_probed_v1, which reads as whoever looks.
cross join lateral (select c.probe_until > clock_timestamp() and exists (
                        select from worker w where w.id = c.probed_by and w.expires_at > clock_timestamp()) as is_probed) as t
cross join lateral (select count(*)::int as deferred from (
                        select from step s where s.deferred_by = c.id and s.due_at is not null limit 10000) as counted) as d
where c.closed_at is null;
comment on view pawl_view_circuits is 'Outside hosts that are down: attempts that would call them are deferred. It reads 10,000 steps of each at most.';
comment on column pawl_view_circuits.namespace is 'whose steps call it';
comment on column pawl_view_circuits.origin is 'scheme, host and port';
comment on column pawl_view_circuits.state is '`open`, or `half-open`: a probe is under way';
comment on column pawl_view_circuits.reason is 'what the last call has come to';
comment on column pawl_view_circuits.failures is 'calls that have failed since one was answered: those that opened it, and probes';
comment on column pawl_view_circuits.opened_at is 'since when';
comment on column pawl_view_circuits.opened_by is 'the worker whose calls failed';
comment on column pawl_view_circuits.retry_at is 'when it may be probed';
comment on column pawl_view_circuits.probed_by is 'the worker that probes it';
comment on column pawl_view_circuits.deferred is 'steps that wait for it; 10000 stands for more, too';

-- 0028_views.sql; also what waits for an outside host.
create or replace view pawl_view_waits as
select s.run_id, s.step_no, pawl_view_step_v1(r.spec, s.step_no) as step, r.namespace, r.pipeline,
       case when s.deferred_by is not null then 'circuit' when s.awaits is not null then 'signal'
            when s.awaits_position is not null then 'sleep' else 'retry' end as kind,
       s.awaits as signal, s.due_at, s.due_at - clock_timestamp() as due_in, s.failures,
       pawl_view_json_v1(s.error) ->> 'message' as reason
from step s
cross join lateral (select o.namespace, o.pipeline, v.spec from run o join pipeline_version v on v.digest = o.pipeline_digest
                    where o.id = s.run_id offset 0) as r
where s.due_at is not null
union all
select s.run_id, s.step_no, pawl_view_step_v1(r.spec, s.step_no), r.namespace, r.pipeline, 'signal', s.awaits, null, null,
       s.failures, pawl_view_json_v1(s.error) ->> 'message'
from step s
cross join lateral (select o.namespace, o.pipeline, v.spec from run o join pipeline_version v on v.digest = o.pipeline_digest
                    where o.id = s.run_id offset 0) as r
where s.awaits is not null and s.due_at is null and s.status = 'waiting';
comment on column pawl_view_waits.kind is '`retry`: an attempt has failed and another one follows; `sleep`; `signal`; `circuit`: an outside host is down';
