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

-- pawl_submit_traced_v1, with the keys of runs whose payloads are sealed. Submissions without any never come here, and pay nothing.
create function pawl_submit_sealed_v1(
    p_submissions pawl_submission_v1[], p_traced pawl_traced_v1[], p_sealed pawl_sealed_v1[]
) returns pawl_submitted_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_submitted  pawl_submitted_v1 := pawl_submit_traced_v1(p_submissions, p_traced);
begin
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
