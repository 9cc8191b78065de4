-- What each change paid for, and need not.
--
-- What belongs to each state is an assertion about Pawl's own functions, and is made like one: in tests with each change
-- (pawl_assert_states_v1), elsewhere by `pawl doctor`, over what is there. As two checks it was made with each change
-- everywhere: measured, a third of what it costs to change a step, and a twentieth of a run's time from end to end.
alter table run drop constraint run_state;
alter table step drop constraint step_state;

-- Has the database refuse, from now on, what does not belong together; what is there is not looked at. (0001_tables.sql says
-- why these are functions.)
create function pawl_assert_states_v1() returns void
language sql
as $$
    alter table run add constraint run_state check (
        pawl_is_run_state(status, failing, live, running, started_at is not null, ended_at is not null)) not valid;
    alter table step add constraint step_state check (
        pawl_is_step_state(status, unmet, ready_at is not null, due_at is not null, awaits_position is not null,
                           awaits is not null, ended_at is not null, worker_id is not null, component is not null,
                           output is not null, error is not null)
        and (output is null) = (output_digest is null) and coalesce(checkpoint_position, 0) <= journal_length) not valid
$$;

-- Queue and pipeline are named by whoever submits since 0011_listed.sql. That they were looked up for processes of before
-- it cost each submission the question.
drop trigger run_is_listed on run;
drop function pawl_run_is_listed();
drop trigger step_is_listed on step;
drop function pawl_step_is_listed();

-- 0020_hot_path.sql; what a step is delivered by is its own since 0011_listed.sql.
create or replace function pawl_ready_of_v1(p_events pawl_event_v1[]) returns pawl_ready_v1[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    return (
        select array_agg(row(s.run_id, s.step_no, s.queue, s.priority,
                             (extract(epoch from s.ready_at) * 1000)::bigint)::pawl_ready_v1)
        from unnest(p_events) as e
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select y.run_id, y.step_no, y.queue, y.priority, y.ready_at from step y
                            where y.run_id = e.run_id and y.step_no = e.step_no and y.status = 'ready' offset 0) as s
        where e.kind in ('step.ready', 'step.handed_back'));
end
$$;

-- The oldest schema whose builds still work with this one: they start on it, and go on while it comes. A later migration that
-- takes something from them says so here.
create table works_with (
    is_this  boolean primary key default true check (is_this),
    oldest   int not null
);
insert into works_with (oldest) values (25);
