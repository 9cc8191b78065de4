-- Signals: sent to a run, taken by its steps.
--
--      sender ──▶ inbox of the run ──▶ the first step that waits for the name
--                   ▲                         │ retried, its journal cut
--                   └─────────────────────────┘
--
-- Whoever changes the inbox, or suspends a step, holds the run's lock and looks whether a step and a signal have met: so
-- that no signal lies in the inbox while a step waits for it. A signal and a timeout meet under the same lock: the first
-- one has the step. What somebody sends is given by pawl_apply_v1; what workers do ends with the function below.

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
