-- Retention: runs that have ended go after a time, and versions that nothing names any more after a grace.
--
--   run ──▶ gone, with all that is its, in one commit, if that is little
--    └────▶ remains ──▶ gone, a piece at a time
--
-- A run's own row goes first: from then on there is no such run, for whoever reads, writes or acts. What is left of a large one
-- stands in `remains`, and its steps go last, the first one of all: a submission under the same id, which its key may make, is
-- refused until nothing of the old run is left that could become part of the new one.
--
-- Which runs are due is read from the index of lists by pipeline and state (0011_listed.sql), oldest submission first: nobody
-- ends before they are submitted. So no run pays for an index of ends. What has been submitted long ago and ended lately is
-- passed over, and looked at again. Whoever deletes remembers where a look ended: what an old snapshot keeps in that index is
-- walked over once.

alter table run add column kept boolean not null default false;

-- Runs whose row is gone, and of which something is left.
create table remains (
    run_id  uuid primary key,
    at      timestamptz not null default now()
);

-- Who deletes, until when, and by which settings; ms, null: for ever. There is one row, or none yet.
create table retention (
    is_this       boolean primary key default true check (is_this),
    holder_id     uuid not null,
    until         timestamptz not null,
    succeeded_ms  bigint,
    failed_ms     bigint,
    cancelled_ms  bigint,
    grace_ms      bigint not null
);

-- What a pipeline says of the retention of its runs: JSON, null: nothing. When something was last seen to name a version.
alter table pipeline_version
    add column retention text,
    add column last_named_at timestamptz not null default now();
alter table plugin_version add column last_named_at timestamptz not null default now();

create index pipeline_version_last_named on pipeline_version (last_named_at, digest);
create index plugin_version_last_named on plugin_version (last_named_at, namespace, name, version);
create index plugin_version_digest on plugin_version (digest);
create index pipeline_digest on pipeline (digest);
create index pipeline_name on pipeline (name);
create index pipeline_step_pinned on pipeline_step (plugin, version) where version is not null;

-- Whatever stops naming a version has named it until now, older builds included.
create function pawl_pipeline_leaves_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update pipeline_version v set last_named_at = clock_timestamp() where v.digest = old.digest;
    return null;
end
$$;
create trigger pipeline_leaves after update or delete on pipeline
    for each row execute function pawl_pipeline_leaves_v1();

create function pawl_plugin_leaves_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update plugin_version v set last_named_at = clock_timestamp()
    where v.namespace = old.namespace and v.name = old.name
      and v.version = any (old.earlier_versions || old.previous_version || old.active_version);
    return null;
end
$$;
create trigger plugin_leaves after update on plugin for each row execute function pawl_plugin_leaves_v1();

-- Takes the turn to delete, or keeps it, for so long. Others are told no, and write nothing.
create function pawl_retention_turn_v1(
    p_holder uuid, p_for_ms bigint, p_succeeded_ms bigint, p_failed_ms bigint, p_cancelled_ms bigint, p_grace_ms bigint
) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update retention t set
        holder_id = p_holder, until = clock_timestamp() + p_for_ms * interval '1 millisecond', succeeded_ms = p_succeeded_ms,
        failed_ms = p_failed_ms, cancelled_ms = p_cancelled_ms, grace_ms = p_grace_ms
    where t.is_this and (t.holder_id = p_holder or t.until < clock_timestamp());
    if not found then
        insert into retention values (
            true, p_holder, clock_timestamp() + p_for_ms * interval '1 millisecond', p_succeeded_ms, p_failed_ms,
            p_cancelled_ms, p_grace_ms)
        on conflict (is_this) do nothing;
    end if;
    return found;
end
$$;

-- Deletes of what is left of runs up to so many rows and, about, bytes; one row goes, however large it is. Steps go last, and of
-- each run the first one last. `done`: nothing is left.
create function pawl_delete_contents_v1(p_runs uuid[], p_rows int, p_bytes bigint, out done boolean, out deleted int)
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

-- Deletes runs of a pipeline that have ended in this state so long ago: of the first p_runs that were submitted after a place
-- (us since 1970, and a run), those that are due. Whatever somebody holds, or a person keeps, is passed over.
--   looked, last_us, last_id   how many were looked at, and the last of them
--   deleted, gone_rows         runs that are gone, and rows that went
--   waits                      something of them is left
--   late_ms                    for how long the one that ended first has been due
create function pawl_delete_ended_v1(
    p_namespace text, p_pipeline text, p_status text, p_term_ms bigint, p_after_us bigint, p_after_id uuid,
    p_runs int, p_rows int, p_bytes bigint,
    out looked int, out deleted int, out gone_rows int, out waits boolean, out last_us bigint, out last_id uuid, out late_ms bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_before  timestamptz := now() - p_term_ms * interval '1 millisecond';
    v_after   timestamptz := coalesce(timestamptz 'epoch' + p_after_us * interval '1 microsecond', '-infinity');
    v_after_id  uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
    v_runs    uuid[];
    v_done    boolean;
begin
    deleted := 0;
    gone_rows := 0;
    waits := false;
    -- Candidates, without locks. As many as have, about, so many rows and bytes together: the first one anyway. A step comes with
    -- some commits' events, a segment of its journal, a checkpoint, or none of these.
    select count(*), max(c.us), (array_agg(c.id order by c.turn desc))[1], array_agg(c.id) filter (where c.is_due)
    into looked, last_us, last_id, v_runs
    from (
        select r.id, (extract(epoch from r.created_at) * 1000000)::bigint as us, r.ended_at < v_before and not r.kept as is_due,
               row_number() over (order by r.created_at, r.id) as turn,
               sum(4 * r.steps + 2) over (order by r.created_at, r.id) as rows_so_far,
               sum(octet_length(r.input)) over (order by r.created_at, r.id) as bytes_so_far
        from (select s.id, s.created_at, s.ended_at, s.kept, s.steps, s.input from run s
              where s.namespace = p_namespace and s.pipeline = p_pipeline and s.status = p_status
                and s.created_at < v_before and (s.created_at, s.id) > (v_after, v_after_id)
              order by s.created_at, s.id limit p_runs) as r
    ) as c
    where c.turn = 1 or c.rows_so_far <= p_rows and c.bytes_so_far <= p_bytes;
    if v_runs is null then
        return;
    end if;
    select array_agg(l.id) into v_runs
    from (select r.id from run r where r.id = any (v_runs) order by r.id for update skip locked) as l;
    -- Decided again, under the locks.
    select array_agg(r.id), (extract(epoch from v_before - min(r.ended_at)) * 1000)::bigint into v_runs, late_ms
    from run r where r.id = any (v_runs) and r.status = p_status and r.ended_at < v_before and not r.kept;
    if v_runs is null then
        return;
    end if;
    delete from run r where r.id = any (v_runs);
    get diagnostics deleted = row_count;
    select c.done, c.deleted + pawl_delete_ended_v1.deleted into v_done, gone_rows
    from pawl_delete_contents_v1(v_runs, p_rows, p_bytes) as c;
    if not v_done then
        waits := true;
        insert into remains (run_id)
        select r.id from unnest(v_runs) as r (id) where exists (select from step y where y.run_id = r.id);
    end if;
end
$$;

-- Goes on with what is left of runs that are gone. `done`: nothing is, but for what somebody else is at.
create function pawl_delete_remains_v1(p_runs int, p_rows int, p_bytes bigint, out done boolean, out deleted int)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_runs  uuid[];
begin
    select array_agg(l.run_id) into v_runs
    from (select m.run_id from remains m order by m.run_id limit p_runs for update skip locked) as l;
    if v_runs is null then
        done := true;
        deleted := 0;
        return;
    end if;
    select c.done, c.deleted into done, deleted from pawl_delete_contents_v1(v_runs, p_rows, p_bytes) as c;
    -- Each that is through, and none else: under its id there may soon be another run.
    delete from remains m
    where m.run_id = any (v_runs) and not exists (select from step y where y.run_id = m.run_id);
    done := done and cardinality(v_runs) < p_runs;
end
$$;

-- How long after something stopped naming a version a run may say that it was submitted, that began on it: a submission is dated by
-- its transaction's begin, and reads by a snapshot of about then.
create function pawl_named_margin_v1() returns interval language sql immutable return interval '1 hour';

-- Deletes a version of a pipeline that no pipeline has named for the grace and that no run is on. Runs that may be on it are
-- those of the name that were submitted while it was named, or before: so many are looked at, oldest first; if there are
-- more, it stays until these are gone.
create function pawl_delete_pipeline_version_v1(p_digest bytea, p_grace_ms bigint, p_looked int) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_name   text;
    v_until  timestamptz;
    v_seen   bigint;
    v_used   boolean;
begin
    -- Whoever applies it again locks it, too.
    select v.name, v.last_named_at + pawl_named_margin_v1() into v_name, v_until
    from pipeline_version v
    where v.digest = p_digest and v.last_named_at < clock_timestamp() - p_grace_ms * interval '1 millisecond'
    for update;
    if not found or exists (select from pipeline p where p.digest = p_digest)
       -- Its name leads to its runs.
       or not exists (select from pipeline p where p.name = v_name) then
        return false;
    end if;
    select count(*), coalesce(bool_or(c.pipeline_digest = p_digest), false) into v_seen, v_used
    from pipeline p
    cross join unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as s (status)
    cross join lateral (
        select r.pipeline_digest from run r
        where r.namespace = p.namespace and r.pipeline = v_name and r.status = s.status and r.created_at <= v_until
        order by r.created_at, r.id limit p_looked) as c
    where p.name = v_name;
    if v_used or v_seen >= p_looked then
        return false;
    end if;
    -- It has named these until now.
    update plugin_version v set last_named_at = clock_timestamp()
    from (select distinct s.plugin, s.version from pipeline_step s where s.digest = p_digest and s.version is not null) as s
    where v.name = s.plugin and v.version = s.version;
    delete from pipeline_step s where s.digest = p_digest;
    delete from pipeline_version v where v.digest = p_digest;
    return true;
end
$$;

-- Deletes a version of a plugin, and its component if that was the last one on it. It stays while its plugin's history names it, a
-- version of a pipeline, or a step of a run that may have got it: as above, runs that were submitted while it was named.
-- 0: it stays; 1: it is gone; 2: its component is, too.
create function pawl_delete_plugin_version_v1(
    p_namespace text, p_name text, p_version text, p_grace_ms bigint, p_looked int
) returns int
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_plugin  plugin;
    v_digest  bytea;
    v_until   timestamptz;
    v_others  boolean;
    v_seen    bigint;
    v_steps   bigint;
    v_runs    uuid[];
begin
    -- Held: nobody activates it, goes back to it, or pushes it again meanwhile.
    select * into v_plugin from plugin p where p.namespace = p_namespace and p.name = p_name for update;
    select v.digest, v.last_named_at + pawl_named_margin_v1() into v_digest, v_until
    from plugin_version v
    where v.namespace = p_namespace and v.name = p_name and v.version = p_version
      and v.last_named_at < clock_timestamp() - p_grace_ms * interval '1 millisecond'
    for update;
    if not found
       or p_version = any (v_plugin.earlier_versions || v_plugin.previous_version || v_plugin.active_version)
       or exists (select from pipeline_step s where s.plugin = p_name and s.version = p_version) then
        return 0;
    end if;
    v_others := exists (select from plugin_version v where v.digest = v_digest
                                                       and (v.namespace, v.name, v.version) <> (p_namespace, p_name, p_version));
    if v_others then
        -- What has got it by this name is known to those that stay.
        update plugin_version v set last_named_at = clock_timestamp() where v.digest = v_digest;
        delete from plugin_version v where v.namespace = p_namespace and v.name = p_name and v.version = p_version;
        return 1;
    end if;
    select count(*), coalesce(sum(c.steps), 0), array_agg(c.id) into v_seen, v_steps, v_runs
    from (select distinct p.namespace from pipeline p) as p
    cross join unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as s (status)
    cross join lateral (
        select r.id, r.steps from run r
        where r.namespace = p.namespace and r.status = s.status and r.created_at <= v_until
        order by r.created_at, r.id limit p_looked) as c;
    if v_seen >= p_looked or v_steps >= 100 * p_looked
       or exists (select from unnest(v_runs) as r (id)
                  cross join lateral (select from step y where y.run_id = r.id
                                      and (y.component = v_digest or y.recorded_by = v_digest) limit 1) as y) then
        return 0;
    end if;
    delete from plugin_version v where v.namespace = p_namespace and v.name = p_name and v.version = p_version;
    delete from component c where c.digest = v_digest;
    return 2;
end
$$;
