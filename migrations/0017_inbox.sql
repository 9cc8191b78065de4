-- Signals that a step can't read, and what a person does about them.
--
--                    taken            failed by it, for good
--      in the inbox ───▶ taken by a step ───▶ rejected
--        │  ▲ returned, replaced │                │ │ removed
--        │  └────────────────────┼────────────────┘ ▼
--        └─ removed ─────────────┴───────────────▶ gone
--
-- A signal that is neither in the inbox nor in a journal is *set aside*: it has a position below 0, its own number's
-- negative, and the step that has failed by it, or -1 if a person removed it. So nothing that gives signals, or reads
-- those of a journal, knows it, functions and workers of older builds included. Its row stays: its key is known, and
-- the numbers of a run's signals have no gap.

alter table signal
    -- JSON: the failure of the step that rejected it.
    add column rejection    bytea,
    -- What was sent, if it carries something else by now: its key stands for that.
    add column sent_digest  bytea,
    -- Each change by a person counts as a signal of the run, so that what was decided by the inbox as it was is decided
    -- again.
    add column changes      int not null default 0;
alter table signal add constraint signal_rejection check (rejection is null or position < 0) not valid;
create index signal_rejected on signal (run_id, id) where rejection is not null;

-- As in 0004_write_members.sql, and workers of older builds go on asking for it under this name: drops the rows of journals from
-- the members' cuts on; signals that the dropped entries had taken return to the inbox, for whoever waits for them now:
-- whether there were any. Such an entry is the last of its row, since a suspension ends the batch: what is appended
-- again is before it.
--
-- New: a step that fails for good by the last signal that it took rejects it. The worker says so in `next_joins` of the
-- outcome, which means nothing there otherwise. The step's error is written by then.
create or replace function pawl_write_v1_cut(p_members pawl_member_v1[]) returns boolean
language plpgsql
as $$
begin
    delete from journal j
    using unnest(p_members) as m
    where j.run_id = m.run_id and j.step_no = m.step_no and j.first >= m.cut;
    if exists (select from unnest(p_members) as m where m.outcome = 'failed' and m.next_joins) then
        update signal g set position = -g.id, rejection = f.error
        from (
            select o.run_id, o.id, s.error
            from unnest(p_members) as m
            cross join lateral (select y.error from step y where y.run_id = m.run_id and y.step_no = m.step_no offset 0) as s
            cross join lateral (select y.run_id, y.id from signal y
                                where y.run_id = m.run_id and y.step_no = m.step_no and y.position >= m.cut
                                order by y.position desc limit 1) as o
            where m.outcome = 'failed' and m.next_joins
        ) as f
        where g.run_id = f.run_id and g.id = f.id;
    end if;
    update signal g set step_no = null, position = null
    from unnest(p_members) as m
    where g.run_id = m.run_id and g.step_no = m.step_no and g.position >= m.cut;
    return found;
end
$$;

-- What a person does to a signal, with all that follows from it: parameters from p_run on are those of pawl_apply_v2
-- (0013_signals.sql), which does the rest.
create function pawl_change_signal_v1(
    p_signal   int,
    p_removed  boolean,
    -- What it carries from now on; null: what it does.
    p_payload  bytea,
    p_digest   bytea,
    p_run      uuid,
    p_events   int,
    p_signals  int,
    p_status   text,
    p_live     int,
    p_running  int,
    p_failing  boolean,
    p_steps    pawl_step_change_v1[],
    p_cut      pawl_cut_v1,
    p_sent     pawl_sent_v1,
    p_given    pawl_given_v1[],
    p_told     pawl_event_v1[]
) returns table (applied boolean, run_id uuid, step_no int, queue text, priority text, ready_at_ms bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    update run r set signal_count = p_signals + 1
    where r.id = p_run and r.event_count = p_events and r.signal_count = p_signals;
    if not found then
        return query select false, null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    update signal g set
        step_no = case when p_removed then -1 end,
        position = case when p_removed then -g.id end,
        rejection = null,
        changes = g.changes + 1,
        sent_digest = case when p_payload is null then g.sent_digest else coalesce(g.sent_digest, g.digest) end,
        payload = coalesce(p_payload, g.payload),
        digest = coalesce(p_digest, g.digest)
    where g.run_id = p_run and g.id = p_signal;
    return query select * from pawl_apply_v2(
        p_run, p_events, p_signals + 1, p_status, p_live, p_running, p_failing, p_steps, p_cut, p_sent, p_given, p_told);
end
$$;
