-- Incidents: what happened to the whole installation. A run's history tells what happened to the run; a metric and an alert tell
-- that something is wrong now; this tells afterwards what was, from when to when, once for each, however many processes saw it.
--
--   a process sees that the store or the queue is away,  ──▶ keeps it in memory ──▶ pawl_note_incident_v1 ──┐
--   was emptied, that nobody serves a queue                  while the store is away                        ├─▶ incident
--   pawl_takeover_v2: a worker died with steps in hand ─────────────────────────────────────────────────────┤
--   a circuit opens, or closes (a trigger) ─────────────────────────────────────────────────────────────────┘
--
-- Nothing on a step's way writes here. Locks: whoever has locked a run, a step or a circuit may take this table; who has taken it
-- takes nothing else.

set local statement_timeout = 0;
set local lock_timeout = 0;

create table incident (
    id         bigint generated always as identity primary key,
    kind       text not null check (kind in ('store.away', 'queue.away', 'queue.lost', 'workers.none', 'worker.died', 'circuit.opened')),
    -- Whose it is; empty: the whole installation's.
    namespace  text not null default '',
    -- Of what: a server, a queue, a worker, an outside host.
    subject    text not null,
    -- For people: who has seen it first, why.
    detail     text not null default '',
    -- Of a worker that died: steps that it had in hand.
    steps      int,
    began_at   timestamptz not null,
    -- When somebody last saw it.
    seen_at    timestamptz not null,
    -- Null as long as it lasts.
    ended_at   timestamptz
);
create index incident_newest on incident (began_at, id);
create unique index incident_lasts on incident (kind, namespace, subject) where ended_at is null;
create unique index incident_worker on incident (subject) where kind = 'worker.died';

-- The newest thousand are kept.
create function pawl_bound_incidents_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    delete from incident i where i.id <= (select l.id from incident l order by l.id desc offset 1000 limit 1);
    return null;
end
$$;
create trigger incidents_are_bounded after insert on incident for each row execute function pawl_bound_incidents_v1();

-- Records what a process has seen, by how long ago that was, ms; `p_ended_ms` is null as long as it lasts. What others have seen of
-- the same, by `p_within_ms` at most apart, is the same incident: pawl_domain::incident::noted says how they become one.
create function pawl_note_incident_v1(
    p_kind text, p_subject text, p_detail text, p_began_ms bigint, p_seen_ms bigint, p_ended_ms bigint, p_within_ms bigint
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    v_within  interval := p_within_ms * interval '1 millisecond';
    v_now     timestamptz;
    v_began   timestamptz;
    v_seen    timestamptz;
    v_ended   timestamptz;
    v_known   record;
begin
    -- All who saw a store come back tell it at the same moment: one after the other.
    lock table incident in share row exclusive mode;
    v_now := clock_timestamp();
    v_began := v_now - p_began_ms * interval '1 millisecond';
    v_seen := v_now - p_seen_ms * interval '1 millisecond';
    v_ended := v_now - p_ended_ms * interval '1 millisecond';
    select array_agg(i.id order by i.began_at, i.id) as ids, min(i.began_at) as began_at, max(i.seen_at) as seen_at,
           max(i.ended_at) as ended_at, bool_and(i.ended_at is not null) as is_over
    into v_known
    from incident i
    where i.kind = p_kind and i.namespace = '' and i.subject = p_subject
      and i.began_at <= coalesce(v_ended, 'infinity') + v_within
      and v_began <= coalesce(i.ended_at, 'infinity') + v_within;
    if v_known.ids is null then
        insert into incident (kind, subject, detail, began_at, seen_at, ended_at)
        values (p_kind, p_subject, p_detail, v_began, v_seen, v_ended);
        return;
    end if;
    delete from incident i where i.id = any (v_known.ids[2:]);
    update incident i set
        began_at = least(v_began, v_known.began_at),
        seen_at = greatest(v_seen, v_known.seen_at),
        ended_at = case when v_ended is not null then greatest(v_ended, v_known.ended_at, v_known.seen_at)
                        when v_known.is_over and v_known.ended_at > v_seen then v_known.ended_at end
    where i.id = v_known.ids[1];
end
$$;

-- Ends incidents that nobody sees any more, and tells the queues, of the first `p_most`, in which steps wait, or were in the hands
-- of the dead, and that no live worker serves.
create function pawl_unattended_v1(p_lapse_ms bigint, p_most int) returns setof text
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_now     timestamptz := clock_timestamp();
    v_served  text[];
begin
    update incident i set ended_at = i.seen_at
    where i.ended_at is null and i.kind in ('queue.away', 'workers.none')
      and i.seen_at < v_now - p_lapse_ms * interval '1 millisecond';
    v_served := array(select distinct q.queue from worker w cross join lateral unnest(w.queues) as q (queue)
                      where w.expires_at > v_now and not w.draining order by q.queue);
    return query
    -- From one queue to the next in the index, however many steps are in each; and only between those that are served: what has
    -- passed through these is not walked over.
    with recursive filled as (
        select case when v_served[g + 1] is null
                    then (select s.queue from step s where s.ready_at is not null and s.queue > coalesce(v_served[g], '')
                          order by s.queue limit 1)
                    else (select s.queue from step s where s.ready_at is not null and s.queue > coalesce(v_served[g], '')
                                                       and s.queue < v_served[g + 1]
                          order by s.queue limit 1) end as queue,
               v_served[g + 1] as high, 1 as place
        from generate_series(0, cardinality(v_served)) as g
        union all
        select case when f.high is null
                    then (select s.queue from step s where s.ready_at is not null and s.queue > f.queue
                          order by s.queue limit 1)
                    else (select s.queue from step s where s.ready_at is not null and s.queue > f.queue and s.queue < f.high
                          order by s.queue limit 1) end,
               f.high, f.place + 1
        from filled f where f.queue is not null and f.place < p_most
    )
    select f.queue from filled f
    where f.queue is not null
      -- What is paused is nobody's to serve.
      and not exists (select from pause p where p.kind = 'queue' and p.name = f.queue and p.ended_at is null)
      and exists (select from unnest('{high,normal,low}'::text[]) as p (priority)
                  cross join lateral (select from step s where s.queue = f.queue and s.priority = p.priority
                                                           and s.ready_at < pawl_shelved_v1() limit 1) as r)
    union
    -- With nobody to take them over, they stay where they are. Found by their keys, whatever the planner thinks of the table.
    select h.queue from (select w.id from worker w where w.expires_at <= v_now limit p_most) as d
    cross join lateral pawl_running_v1(d.id) as n
    cross join lateral (select y.queue from step y where y.run_id = n.run_id and y.step_no = n.step_no offset 0) as h
    where h.queue <> all (v_served);
end
$$;

-- 0023_recovery.sql; a worker whose lease ended with steps in hand is an incident, one for each worker, however many sweeps its
-- steps take. Of those that it has forgiven (a mark of -1) it says that it did not die.
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
        select s.row, s.worker_id, s.crashes as crashes_before, s.crash_mark < 0 as forgiven, r.failing,
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
                  c.forgiven,
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
    ), died as (
        insert into incident (kind, subject, detail, steps, began_at, seen_at, ended_at)
        select 'worker.died', w.id::text, format('pid %s on %s', w.pid, w.host), count(*), w.expires_at, now(), now()
        from taken t join worker w on w.id = t.worker_id
        where not t.forgiven group by w.id
        on conflict (subject) where kind = 'worker.died' do update
        set steps = incident.steps + excluded.steps, seen_at = excluded.seen_at, ended_at = excluded.ended_at
    )
    select array_agg(row(run_id, 'step.lease_expired', step_no, fence, worker_id, note)::pawl_event_v1)
           || array_agg(row(run_id, 'step.' || status, step_no, fence, null, null)::pawl_event_v1)
    into v_events from taken;
    return v_events;
end
$$;

-- A circuit that opens within seconds of its last end goes on with the same incident: a host that comes and goes is one.
create function pawl_circuit_incident_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    if new.closed_at is null then
        if exists (select from incident i where i.kind = 'circuit.opened' and i.namespace = new.namespace
                                            and i.subject = new.origin and i.ended_at is null) then
            return null;
        end if;
        update incident i set ended_at = null, seen_at = new.opened_at
        where i.id = (select l.id from incident l
                      where l.kind = 'circuit.opened' and l.namespace = new.namespace and l.subject = new.origin
                        and l.ended_at >= new.opened_at - interval '10 seconds'
                      order by l.ended_at desc limit 1);
        insert into incident (kind, namespace, subject, detail, began_at, seen_at)
        values ('circuit.opened', new.namespace, new.origin, new.reason, new.opened_at, new.opened_at)
        on conflict (kind, namespace, subject) where ended_at is null do nothing;
    else
        update incident i set seen_at = greatest(i.seen_at, new.closed_at), ended_at = greatest(i.seen_at, new.closed_at)
        where i.kind = 'circuit.opened' and i.namespace = new.namespace and i.subject = new.origin and i.ended_at is null;
    end if;
    return null;
end
$$;
create trigger circuit_has_opened after insert on circuit for each row
    when (new.closed_at is null) execute function pawl_circuit_incident_v1();
create trigger circuit_has_closed after update of closed_at on circuit for each row
    when (old.closed_at is null and new.closed_at is not null) execute function pawl_circuit_incident_v1();

insert into incident (kind, namespace, subject, detail, began_at, seen_at)
select 'circuit.opened', c.namespace, c.origin, c.reason, c.opened_at, c.opened_at from circuit c where c.closed_at is null;

create view pawl_view_incidents as
select i.id, i.kind, i.namespace, i.subject, i.detail, i.steps, i.began_at, i.ended_at, t.lasted
from incident i
-- A view of one table and nothing else could be written to.
cross join lateral (select coalesce(i.ended_at, clock_timestamp()) - i.began_at as lasted) as t;
comment on view pawl_view_incidents is 'What happened to the whole installation, the newest thousand.';
comment on column pawl_view_incidents.id is 'its number';
comment on column pawl_view_incidents.kind is '`store.away`, `queue.away`, `queue.lost`, `workers.none`, `worker.died` or `circuit.opened`';
comment on column pawl_view_incidents.namespace is 'whose steps call an outside host; empty otherwise';
comment on column pawl_view_incidents.subject is 'of what: a server, a queue, a worker, an outside host';
comment on column pawl_view_incidents.detail is 'who has seen it first; of a worker, where it was; of an outside host, what the last call came to';
comment on column pawl_view_incidents.steps is 'of a worker: steps that it had in hand';
comment on column pawl_view_incidents.began_at is 'when it was first seen; of a worker, the end of its lease';
comment on column pawl_view_incidents.ended_at is 'when it was over; of a worker, when its steps were taken over; null as long as it lasts';
comment on column pawl_view_incidents.lasted is 'for how long, so far';
