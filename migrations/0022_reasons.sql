-- The history tells why an attempt has failed, or a step is parked: the events `step.retrying`, `step.failed` and
-- `step.parked` carry the reason as their note.
--
-- A member (0003_write.sql) has no place of its own for it: of an outcome that is no suspension, `awaits` is the reason. A
-- worker of the last build leaves it out there, and its events stay as they were. (`parked_at`: 0020_hot_path.sql.)

-- Steps that were claimed before, under their guard: run, step, worker, fence, and where the journal ends.
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
            status = case when m.outcome in ('retry', 'suspended') then 'waiting' when m.outcome = 'released' then 'ready'
                          else coalesce(m.outcome, s.status) end,
            alone = m.outcome is null and (m.alone or s.alone),
            failures = s.failures + (m.outcome is not null and m.outcome in ('failed', 'retry'))::int,
            output = case when m.outcome = 'succeeded' then p_payloads[m.payload] end,
            output_digest = case when m.outcome = 'succeeded' then m.payload_digest end,
            error = case when m.outcome in ('failed', 'retry', 'parked') then p_payloads[m.payload]
                         when m.outcome in ('succeeded', 'suspended') then null else s.error end,
            due_at = now() + m.delay_ms * interval '1 millisecond',
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
                    when outcome in ('failed', 'parked') then awaits
                    when awaits is not null then 'signal ' || awaits || coalesce(', at most ' || delay_ms || ' ms', '')
                    when outcome = 'suspended' then 'sleep ' || delay_ms || ' ms' end
           )::pawl_event_v1) filter (where outcome is not null)
    into v_done
    from written;
    return v_done;
end
$$;
