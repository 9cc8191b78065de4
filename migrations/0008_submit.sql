-- Submissions, gathered: one call for all that wait at an API process.

create type pawl_submission_v1 as (
    -- From 1.
    place           int,
    run_id          uuid,
    namespace       text,
    pipeline        text,
    input           bytea,
    key             text,
    request_digest  bytea
);

-- What became of a submission that has made no run.
create type pawl_unmade_v1 as (
    place    int,
    -- same: the key was used before, with the same request; a resend after a lost answer looks like this too.
    -- conflict: the key was used with another request. unknown_pipeline.
    verdict  text
);

-- A step to be delivered, with what it starts on: its pipeline version and, if the submission fixes it, its component.
create type pawl_startable_v1 as (
    run_id       uuid,
    step_no      int,
    queue        text,
    priority     text,
    ready_at_ms  bigint,
    pipeline     bytea,
    component    bytea
);

-- Null means "none".
create type pawl_submitted_v1 as (
    unmade  pawl_unmade_v1[],
    -- The ready steps of all these runs that have not started, also of those that were there.
    ready   pawl_startable_v1[]
);

-- Makes the runs that are not there.
create function pawl_submit_v1(p_submissions pawl_submission_v1[]) returns pawl_submitted_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_made       uuid[];
    v_submitted  pawl_submitted_v1;
begin
    -- Sorted, so that two API nodes with the same keys wait for each other in one direction only.
    with made as (
        insert into run (id, namespace, pipeline_digest, status, input, idempotency_key, request_digest, steps, live,
                         event_count)
        select distinct on (s.run_id) s.run_id, s.namespace, p.digest, 'pending', s.input, s.key, s.request_digest,
               v.steps, v.steps, 1
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
        insert into step (run_id, step_no, status, unmet, ready_at, component)
        select c.id, t.step_no, case t.unmet when 0 then 'ready' else 'blocked' end, t.unmet,
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
        v_submitted.unmade := pawl_submit_v1_unmade(p_submissions, v_made);
        v_submitted.ready := v_submitted.ready || pawl_submit_v1_startable(p_submissions, v_made);
    end if;
    return v_submitted;
end
$$;

-- Why the others have made none.
create function pawl_submit_v1_unmade(p_submissions pawl_submission_v1[], p_made uuid[]) returns pawl_unmade_v1[]
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
create function pawl_submit_v1_startable(p_submissions pawl_submission_v1[], p_made uuid[]) returns pawl_startable_v1[]
language plpgsql
as $$
begin
    return array(
        select row(r.id, y.step_no, t.queue, t.priority, (extract(epoch from y.ready_at) * 1000)::bigint,
                   r.pipeline_digest, y.component)::pawl_startable_v1
        from unnest(p_submissions) as s
        join run r on r.id = s.run_id and r.status = 'pending' and r.request_digest = s.request_digest
        join step y on y.run_id = r.id and y.status = 'ready'
        cross join lateral (select p.queue, p.priority from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = y.step_no offset 0) as t
        where not r.id = any (p_made));
end
$$;
