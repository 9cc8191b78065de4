-- Signals: sent to a run, taken by its steps.
--
--      sender ──▶ inbox of the run ──▶ the first step that waits for the name
--                   ▲                         │ retried, its journal cut
--                   └─────────────────────────┘
--
-- Whoever changes the inbox, or suspends a step, holds the run's lock and ends with pawl_give_signals_v1: so
-- that no signal lies in the inbox while a step waits for it. A signal and a timeout meet under the same lock:
-- the first one has the step.

-- Gives what lies in the inboxes of runs that the caller has locked to the steps that wait for it: the oldest of
-- a name to the first step. Returns what has happened to the steps, for pawl_record_v1; null if nothing.
create function pawl_give_signals_v1(p_runs uuid[]) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with waiting as (
        select s.run_id, s.step_no, s.awaits as name, s.awaits_position,
               row_number() over (partition by s.run_id, s.awaits order by s.step_no) as turn
        from step s where s.run_id = any (p_runs) and s.status = 'waiting' and s.awaits is not null
    ), inbox as (
        select g.run_id, g.id, g.name, row_number() over (partition by g.run_id, g.name order by g.id) as turn
        from signal g where g.run_id = any (p_runs) and g.step_no is null
    ), taken as (
        update signal g set step_no = w.step_no, position = w.awaits_position
        from waiting w join inbox i on i.run_id = w.run_id and i.name = w.name and i.turn = w.turn
        where g.run_id = i.run_id and g.id = i.id
        returning g.run_id, g.step_no, g.name
    ), woken as (
        update step s set status = 'ready', ready_at = now(), due_at = null,
                          awaits_position = null, awaits_until = null, awaits = null
        from taken t where s.run_id = t.run_id and s.step_no = t.step_no
        returning s.run_id, s.step_no, s.fence, t.name
    )
    select array_agg(row(run_id, 'step.ready', step_no, fence, null, 'signal ' || name)::pawl_event_v1
                     order by run_id, step_no)
    into v_events from woken;
    return v_events;
end
$$;

-- Sends a signal to a run. Verdict: sent, same (the key was used before, for the same), conflict (for another one),
-- ended (nobody would ever take it), unknown. With the step to be delivered, if one has waited for it.
create function pawl_signal_v1(p_run uuid, p_key text, p_name text, p_payload bytea, p_digest bytea)
returns table (verdict text, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    v_run      run;
    v_verdict  text;
    v_events   pawl_event_v1[];
begin
    select * into v_run from run r where r.id = p_run for no key update;
    if v_run.id is null then
        v_verdict := 'unknown';
    else
        -- Before the run's end is looked at: what was sent before it is answered as then.
        select case when g.name = p_name and g.digest = p_digest then 'same' else 'conflict' end into v_verdict
        from signal g where g.run_id = p_run and g.key = p_key;
        v_verdict := coalesce(v_verdict, case when v_run.ended_at is null then 'sent' else 'ended' end);
    end if;
    if v_verdict = 'sent' then
        update run r set signal_count = r.signal_count + 1 where r.id = p_run;
        insert into signal (run_id, id, name, key, payload, digest)
        values (p_run, v_run.signal_count + 1, p_name, p_key, p_payload, p_digest);
        v_events := pawl_give_signals_v1(array[p_run]);
    end if;
    if v_events is null then
        return query select v_verdict, null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    perform pawl_record_v1(v_events);
    return query
    select v_verdict, s.run_id, s.step_no, p.queue, p.priority, (extract(epoch from s.ready_at) * 1000)::bigint
    from unnest(v_events) as e
    cross join lateral (select * from step s where s.run_id = e.run_id and s.step_no = e.step_no offset 0) as s
    cross join lateral (select * from pipeline_step p
                        where p.digest = v_run.pipeline_digest and p.step_no = e.step_no offset 0) as p;
end
$$;
