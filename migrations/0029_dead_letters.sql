-- Dead letters: steps that have failed for good or are parked, until a person has looked after them.
--
--   step ──failed, parked──▶ dead_letter ──step moves on, goes, or a person forgets it──▶ gone
--
-- A row for each, which a trigger on `step` keeps, whoever changes the step: worker, sweep, person, older builds. A change
-- that neither comes from these states nor goes there pays for the question alone, and no index of `step` knows any of it,
-- so that its rows stay on their pages.
--
--   lists    (namespace, at): newest first, or oldest first for whoever goes through all of them
--   groups   (namespace, pipeline, version, step, cause): from one to the next, however many are of each
--   parked   runs with a parked step, newest first as lists of runs are
--   told     what has not been told to other systems yet
set local statement_timeout = 0;
set local lock_timeout = 0;
set local enable_seqscan = on;
set local enable_hashjoin = on;

create table dead_letter (
    run_id           uuid not null,
    step_no          int not null,
    namespace        text not null,
    pipeline         text not null,
    pipeline_digest  bytea not null,
    state            text not null check (state in ('failed', 'parked')),
    at               timestamptz not null,
    -- What its group has in common: see pawl_cause_v1.
    cause            text not null,
    -- Of the run, so that lists of runs are read in their order.
    run_created_at   timestamptz not null,
    told             boolean not null default false,
    primary key (run_id, step_no)
) with (autovacuum_vacuum_scale_factor = 0.05);

-- What a step was left by: the first line of its error's message, without what differs from one run to the next.
-- host/domain/src/cause.rs says the same, and a test holds one against the other.
create function pawl_cause_v1(p_error bytea) returns text
language plpgsql immutable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
    v_error  jsonb;
    v_line   text;
begin
    v_error := convert_from(p_error, 'UTF8')::jsonb;
    if jsonb_typeof(v_error -> 'message') = 'string' then
        v_line := substring(v_error ->> 'message' from '[^\n\r]+');
    end if;
    v_line := regexp_replace(v_line, '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}', '#', 'g');
    v_line := regexp_replace(v_line, '[A-Za-z]*[0-9][A-Za-z0-9]*', '#', 'g');
    v_line := btrim(left(regexp_replace(v_line, '[ \t]+', ' ', 'g'), 200), ' ');
    return coalesce(nullif(v_line, ''), 'no reason is recorded');
exception when others then
    -- No JSON, or text that a database does not hold. A step must be able to fail all the same.
    return 'no reason is recorded';
end
$$;

create function pawl_dead_letter_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    if tg_op = 'UPDATE' and new.status in ('failed', 'parked') then
        insert into dead_letter as d (run_id, step_no, namespace, pipeline, pipeline_digest, state, at, cause, run_created_at)
        select r.id, new.step_no, r.namespace, r.pipeline, r.pipeline_digest, new.status, now(), pawl_cause_v1(new.error),
               r.created_at
        from run r where r.id = new.run_id
        on conflict (run_id, step_no) do update
            set state = excluded.state, at = excluded.at, cause = excluded.cause, told = false;
    else
        delete from dead_letter d where d.run_id = old.run_id and d.step_no = old.step_no;
    end if;
    return null;
end
$$;
create trigger step_dies after update of status on step for each row
    when (old.status <> new.status and (new.status in ('failed', 'parked') or old.status in ('failed', 'parked')))
    execute function pawl_dead_letter_v1();
create trigger step_goes after delete on step for each row when (old.status in ('failed', 'parked'))
    execute function pawl_dead_letter_v1();

-- What is there already; when that was is known of a failed step, and of parked ones since 0020_hot_path.sql. It is told to
-- nobody: whoever listens has just begun.
insert into dead_letter
select s.run_id, s.step_no, r.namespace, r.pipeline, r.pipeline_digest, s.status,
       coalesce(s.ended_at, s.parked_at, now()), pawl_cause_v1(s.error), r.created_at, true
from step s join run r on r.id = s.run_id
where s.status in ('failed', 'parked');

create index dead_letter_at on dead_letter (namespace, at, run_id, step_no);
create index dead_letter_group on dead_letter (namespace, pipeline, pipeline_digest, step_no, cause, at) include (state);
create index dead_letter_parked on dead_letter (namespace, run_created_at, run_id) where state = 'parked';
create index dead_letter_parked_of on dead_letter (namespace, pipeline, run_created_at, run_id) where state = 'parked';
create index dead_letter_untold on dead_letter (at, run_id, step_no) where not told;

-- pawl_apply_v2 (0013_signals.sql), for verbs that give a step an output, or have steps done again from their start.
--   p_skipped, p_output, p_output_digest   the step, and the output that a person gives; null: none
--   p_again, p_first_digests, p_firsts     steps that begin anew, and the row that their journal begins with, of one entry
create function pawl_apply_v3(
    p_skipped        int,
    p_output         bytea,
    p_output_digest  bytea,
    p_again          int[],
    p_first_digests  bytea[],
    p_firsts         bytea[],
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
    perform 1 from run r
    where r.id = p_run and r.event_count = p_events and r.signal_count = p_signals for no key update;
    if not found then
        return query select false, null::uuid, null::int, null::text, null::text, null::bigint;
        return;
    end if;
    perform 1 from step s where s.run_id = p_run and s.step_no = any (array(select step_no from unnest(p_steps)))
    order by s.step_no for no key update;
    if p_skipped is not null then
        update step s set output = p_output, output_digest = p_output_digest
        where s.run_id = p_run and s.step_no = p_skipped;
    end if;
    if p_again <> '{}' then
        delete from journal j where j.run_id = p_run and j.step_no = any (p_again);
        insert into journal (run_id, step_no, first, length, digest, bytes)
        select p_run, a.step_no, 0, 1, a.digest, a.bytes from unnest(p_again, p_firsts, p_first_digests) as a (step_no, bytes, digest);
        delete from checkpoint k where k.run_id = p_run and k.step_no = any (p_again);
        -- Those that a step has failed by stay set aside.
        update signal g set step_no = null, position = null
        where g.run_id = p_run and g.step_no = any (p_again) and g.position >= 0;
        update recovery v set outcome = 'stopped'
        where v.run_id = p_run and v.step_no = any (p_again) and v.outcome is null;
        update step s set
            checkpoint_position = null, checkpoint_ordinal = 0, alone = false, progress = null, progress_message = null
        where s.run_id = p_run and s.step_no = any (p_again);
    end if;
    return query select * from pawl_apply_v2(
        p_run, p_events, p_signals, p_status, p_live, p_running, p_failing, p_steps, p_cut, p_sent, p_given, p_told);
    if p_again <> '{}' then
        -- Their states allow it by now.
        update step s set output = null, output_digest = null, error = null
        where s.run_id = p_run and s.step_no = any (p_again);
    end if;
end
$$;
