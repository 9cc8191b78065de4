-- Payloads at rest: of a namespace that seals, inputs, outputs, journals, checkpoints and signals are kept sealed.
--
--   master key ──wraps──▶ namespace_key ──wraps──▶ run_key ──seals──▶ the run's payloads
--   (of processes)        few, by version          one for each run
--
-- What is sealed is bytes like any others: no function reads a payload, and digests are those of what is kept. A key that is
-- erased leaves its row, which says so; what was sealed under it is unreadable for good, wherever copies of the key are gone as well.

set local statement_timeout = 0;
set local lock_timeout = '10s';

create table namespace_key (
    namespace   text not null,
    version     int not null check (version > 0),
    -- Null: it is erased.
    key_id      text,
    wrapped     bytea,
    sealed      bytea,
    created_at  timestamptz not null default clock_timestamp(),
    -- The name of the token by which; null: whoever could connect, where none was wanted.
    created_by  text,
    -- Since when new runs are in the clear.
    retired_at  timestamptz,
    erased_at   timestamptz,
    primary key (namespace, version),
    check ((key_id is null) = (erased_at is not null) and (wrapped is null) = (key_id is null)
           and (sealed is null) = (key_id is null))
);

create table run_key (
    run_id     uuid primary key,
    -- That of the namespace's key.
    version    int not null,
    -- Null: it is erased.
    wrapped    bytea,
    erased_at  timestamptz,
    check ((wrapped is null) = (erased_at is not null))
);

-- A run, and its key.
create type pawl_sealed_v1 as (
    -- That of its submission.
    place    int,
    run_id   uuid,
    version  int,
    wrapped  bytea
);

-- As it was (0011_listed.sql), and a namespace that seals takes nothing in the clear, whichever process it comes from: an older one
-- knows of no keys, and another one may know of yesterday's. What is sealed begins with a byte that no text has.
create or replace function pawl_submit_v2(p_submissions pawl_submission_v1[]) returns pawl_submitted_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_made       uuid[];
    v_submitted  pawl_submitted_v1;
begin
    if exists (
        select from (select distinct s.namespace from unnest(p_submissions) as s
                     where substring(s.input from 1 for 1) is distinct from '\xf5') as n
        cross join lateral (select k.retired_at from namespace_key k where k.namespace = n.namespace
                            order by k.version desc limit 1) as k
        where k.retired_at is null
    ) then
        raise exception 'the keys of a namespace have changed: it takes nothing in the clear' using errcode = 'check_violation';
    end if;

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

-- pawl_submit_traced_v1, with the keys of runs whose payloads are sealed. Submissions without any never come here, and pay nothing.
create function pawl_submit_sealed_v1(
    p_submissions pawl_submission_v1[], p_traced pawl_traced_v1[], p_sealed pawl_sealed_v1[]
) returns pawl_submitted_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_submitted  pawl_submitted_v1;
    v_keys       int;
    v_there      int;
begin
    -- Held to the end: whoever erases waits for these runs and finds them, or was quicker, and they are refused.
    with wanted as materialized (
        select distinct s.namespace, e.version from unnest(p_sealed) as e join unnest(p_submissions) as s on s.place = e.place
    ), there as materialized (
        select k.version from wanted w join namespace_key k on k.namespace = w.namespace and k.version = w.version
        where k.erased_at is null for key share of k
    )
    select (select count(*) from wanted), (select count(*) from there) into v_keys, v_there;
    if v_there < v_keys then
        raise exception 'the keys of a namespace have changed: one was erased' using errcode = 'check_violation';
    end if;
    v_submitted := pawl_submit_traced_v1(p_submissions, p_traced);
    -- Of runs that this call has made. What is left of an earlier run of the same id, whose rows are being deleted, is in the way of
    -- the run itself already.
    insert into run_key (run_id, version, wrapped)
    select s.run_id, s.version, s.wrapped from unnest(p_sealed) as s
    where not exists (select from unnest(v_submitted.unmade) as u where u.place = s.place);
    return v_submitted;
end
$$;

-- As it was, and the keys of runs. Replaced, since an older process deletes by it, too.
create or replace function pawl_delete_contents_v1(p_runs uuid[], p_rows int, p_bytes bigint, out done boolean, out deleted int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_of     text[];
    v_found  int;
    v_gone   int;
    v_bytes  bigint;
begin
    deleted := 0;
    -- A table, what is large in its rows, whose size is known without the bytes, and their order within a run.
    foreach v_of slice 1 in array array[
        ['journal', 'octet_length(y.bytes)', 'y.step_no, y.first'],
        ['checkpoint', 'octet_length(y.state)', 'y.step_no'],
        ['signal', 'octet_length(y.payload)', 'y.id'],
        ['event', 'pg_column_size(y.kinds) + pg_column_size(y.notes)', 'y.first'],
        ['recovery', '0', 'y.step_no, y.fence'],
        ['step_log', 'octet_length(y.bytes)', 'y.first'],
        ['run_key', '0', 'y.run_id'],
        ['step', 'coalesce(octet_length(y.output), 0) + coalesce(octet_length(y.error), 0)', 'y.step_no desc']]
    loop
        -- One more than may go: so it is known, and not guessed, whether something is left.
        execute format(
            $sql$
            with found as materialized (
                select l.row, l.bytes, row_number() over () as place
                from (select f.row, f.bytes
                      from unnest($1) as r (id)
                      cross join lateral (select y.ctid as row, (%2$s)::bigint as bytes from %1$I y where y.run_id = r.id
                                          order by %3$s limit $2 + 1) as f
                      limit $2 + 1) as l
            ), bounded as (
                select b.row, b.bytes
                from (select f.*, sum(f.bytes) over (order by f.place) - f.bytes as before from found f) as b
                where b.place <= $2 and b.before < $3
            ), gone as (
                delete from %1$I d using bounded b where d.ctid = b.row returning b.bytes
            )
            select (select count(*) from found), count(*), coalesce(sum(g.bytes), 0) from gone g
            $sql$, v_of[1], v_of[2], v_of[3])
        into v_found, v_gone, v_bytes using p_runs, p_rows - deleted, p_bytes;
        deleted := deleted + v_gone;
        p_bytes := p_bytes - v_bytes;
        done := v_gone = v_found;
        exit when not done;
    end loop;
end
$$;
