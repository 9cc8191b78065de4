-- What lists and sweeps look for stands in indexes of its own, so that they read what they find and nothing else.
--
--   lists      run (namespace, status, created_at, id), and the same by pipeline: a page is read from its first row on,
--              however many runs there are, in whatever state. Without a status, a page by pipeline is five pages, one of
--              each state, put together.
--   lost       step (queue, priority, ready_at): a stream's ready steps, by age. What waits in other queues isn't seen.
--   takeover   step (held_by): the running steps of a worker.
--   forgiving  step (charged_to): the steps that a worker's end has been counted against, until somebody claims them.
--
-- No index knows a run's counters any more, so that a commit that only counts leaves a run's row on its page (heap-only).
-- Nor does one know a step's status. `held_by` is computed, and compared by its value: a step that is claimed and ended
-- in one commit never has one, and stays on its page, too.
--
-- A large database takes its time here: all rows are written anew.
set local statement_timeout = 0;
set local lock_timeout = 0;
set local enable_seqscan = on;
set local enable_hashjoin = on;

drop index run_running;
drop index step_ready;

alter table run add column pipeline text;
update run r set pipeline = v.name from pipeline_version v where v.digest = r.pipeline_digest;
alter table run alter column pipeline set not null;
create index run_by_status on run (namespace, status, created_at desc, id desc);
create index run_by_pipeline on run (namespace, pipeline, status, created_at desc, id desc);

alter table step add column queue text, add column priority text;
update step s set queue = p.queue, priority = p.priority
from run r join pipeline_step p on p.digest = r.pipeline_digest
where r.id = s.run_id and p.step_no = s.step_no;
alter table step
    alter column queue set not null,
    alter column priority set not null,
    add column held_by uuid generated always as (case when status = 'running' then worker_id end) stored,
    add column charged_to uuid generated always as (case when status = 'ready' and crashes > 0 then worker_id end) stored;
create index step_ready on step (queue, priority, ready_at) where ready_at is not null;
create index step_held on step (held_by) where held_by is not null;
create index step_charged on step (charged_to) where charged_to is not null;

create index plugin_version_wanted on plugin_version (wanted_at);

-- Whoever submits by an older function names neither: a process that was started before this migration. The others
-- pay for the question alone.
create function pawl_run_is_listed() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    select v.name into new.pipeline from pipeline_version v where v.digest = new.pipeline_digest;
    return new;
end
$$;
create trigger run_is_listed before insert on run
    for each row when (new.pipeline is null) execute function pawl_run_is_listed();

create function pawl_step_is_listed() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    -- The run comes with the same statement, before its steps: a trigger's own statement sees it.
    select p.queue, p.priority into new.queue, new.priority
    from run r join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = new.step_no
    where r.id = new.run_id;
    return new;
end
$$;
create trigger step_is_listed before insert on step
    for each row when (new.queue is null) execute function pawl_step_is_listed();

-- Makes the runs that are not there; see pawl_submit_v1 (0008_submit.sql), which does the same without the names.
create function pawl_submit_v2(p_submissions pawl_submission_v1[]) returns pawl_submitted_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_made       uuid[];
    v_submitted  pawl_submitted_v1;
begin
    -- Sorted, so that two API nodes with the same keys wait for each other in one direction only.
    with made as (
        insert into run (id, namespace, pipeline, pipeline_digest, status, input, idempotency_key, request_digest, steps,
                         live, event_count)
        select distinct on (s.run_id) s.run_id, s.namespace, v.name, p.digest, 'pending', s.input, s.key,
               s.request_digest, v.steps, v.steps, 1
        from unnest(p_submissions) as s
        join pipeline p on p.namespace = s.namespace and p.name = s.pipeline
        join pipeline_version v on v.digest = p.digest
        order by s.run_id, s.place
        on conflict (id) do nothing
        returning id, namespace, pipeline_digest
    ), spec as materialized (
        -- Each step stays on the component that its plugin's version points to now, unless its start decides.
        select c.namespace, t.digest, t.step_no, t.queue, t.priority, cardinality(t.needs) as unmet,
               case when t.version is not null or l.versions = 'submission' then v.digest end as component
        from (select distinct namespace, pipeline_digest from made) as c
        join pipeline_version l on l.digest = c.pipeline_digest
        join pipeline_step t on t.digest = c.pipeline_digest
        join plugin u on u.namespace = c.namespace and u.name = t.plugin
        join plugin_version v on v.namespace = u.namespace and v.name = u.name
                             and v.version = coalesce(t.version, u.active_version)
    ), stepped as (
        insert into step (run_id, step_no, queue, priority, status, unmet, ready_at, component)
        select c.id, t.step_no, t.queue, t.priority, case t.unmet when 0 then 'ready' else 'blocked' end, t.unmet,
               case t.unmet when 0 then now() end, t.component
        from made c join spec t on t.digest = c.pipeline_digest and t.namespace = c.namespace
    ), told as (
        insert into event (run_id, first, kinds, steps, fences, workers, notes)
        select id, 1, '{run.submitted}', '{null}', '{null}', '{null}', '{null}' from made
    )
    select (select array_agg(id) from made),
           array_agg(row(c.id, t.step_no, t.queue, t.priority, (extract(epoch from now()) * 1000)::bigint, t.digest,
                         t.component)::pawl_startable_v1)
    into v_made, v_submitted.ready
    from made c join spec t on t.digest = c.pipeline_digest and t.namespace = c.namespace and t.unmet = 0;

    if v_made is null or cardinality(v_made) < cardinality(p_submissions) then
        v_made := coalesce(v_made, '{}');
        v_submitted.unmade := pawl_submit_v2_unmade(p_submissions, v_made);
        v_submitted.ready := v_submitted.ready || pawl_submit_v2_startable(p_submissions, v_made);
    end if;
    return v_submitted;
end
$$;

-- Why the others have made none.
create function pawl_submit_v2_unmade(p_submissions pawl_submission_v1[], p_made uuid[]) returns pawl_unmade_v1[]
language plpgsql
as $$
begin
    return array(
        select row(s.place, case when r.id is null then 'unknown_pipeline'
                                 when r.request_digest <> s.request_digest then 'conflict'
                                 else 'same' end)::pawl_unmade_v1
        from (select *, row_number() over (partition by run_id order by place) as turn from unnest(p_submissions)) as s
        left join run r on r.id = s.run_id
        -- The first of a key in this call has made the run.
        where not (s.run_id = any (p_made) and s.turn = 1));
end
$$;

-- The ready steps of runs that were there before: the first answer, which told of them, may be lost.
create function pawl_submit_v2_startable(p_submissions pawl_submission_v1[], p_made uuid[]) returns pawl_startable_v1[]
language plpgsql
as $$
begin
    return array(
        select row(r.id, y.step_no, y.queue, y.priority, (extract(epoch from y.ready_at) * 1000)::bigint,
                   r.pipeline_digest, y.component)::pawl_startable_v1
        from unnest(p_submissions) as s
        join run r on r.id = s.run_id and r.status = 'pending' and r.request_digest = s.request_digest
        join step y on y.run_id = r.id and y.status = 'ready'
        where not r.id = any (p_made));
end
$$;
