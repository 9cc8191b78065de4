-- A worker's running steps are found by what it has claimed, and no index knows who runs a step: one that is handed on
-- within a worker stays on its page (heap-only), and so does a run whose page of a list is that of its state.
--
-- Each commit that leaves claimed steps running writes one row, whatever their number. Who asks for a worker's steps
-- reads its rows and looks the steps up, so what is over needs no write of its own; the worker folds its rows into one
-- whenever it asks (pawl_running_v1). The steps decide: a row may name what has ended, and never lacks what runs.
set local statement_timeout = 0;
set local lock_timeout = 0;
set local enable_seqscan = on;
set local enable_hashjoin = on;

create table claim (
    worker_id   uuid not null,
    -- The transaction that wrote it.
    txn         xid8 not null default pg_current_xact_id(),
    -- Successors of steps that ended in that commit; else ready steps that were asked for.
    successors  boolean not null default false,
    runs        uuid[] not null,
    steps       int[] not null,
    -- It was folded: what older transactions than this one claimed, and still runs, stands in it and in newer rows.
    folded      xid8,
    primary key (worker_id, txn, successors)
) with (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
-- Ids can't be compressed; those of a few hundred steps stay in the row.
alter table claim alter column runs set storage main, alter column steps set storage main;

drop index step_held;
insert into claim (worker_id, runs, steps)
select worker_id, array_agg(run_id), array_agg(step_no) from step where status = 'running' group by worker_id;
alter table step drop column held_by;
drop index run_created;

-- Where claims are made: 0005_write_others.sql and 0015_write_v2.sql, with one line more.

create or replace function pawl_write_v1_claim(p_worker uuid, p_free uuid[], p_runs uuid[], p_steps int[])
returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with found as (
        -- By their keys, whatever the planner thinks of the table.
        select s.row from unnest(p_runs, p_steps) as q (run_id, step_no)
        cross join lateral (select y.ctid as row from step y where y.run_id = q.run_id and y.step_no = q.step_no
                                                               and y.status = 'ready' offset 0) as s
        where q.run_id = any (p_free)
    ), claimed as (
        update step s set
            status = 'running', fence = s.fence + 1, worker_id = p_worker, attempts = s.attempts + 1,
            component = coalesce(s.component, pawl_write_v1_active_component(s.run_id, s.step_no)),
            ready_at = null, claimed_at = now(), started_at = coalesce(s.started_at, now())
        -- By its place in the table, which stays under the run's lock.
        from found q
        where s.ctid = q.row
        returning s.run_id, s.step_no, s.fence, s.attempts, s.journal_length, s.checkpoint_position
    ), noted as (
        insert into claim (worker_id, runs, steps)
        select p_worker, array_agg(run_id), array_agg(step_no) from claimed having count(*) > 0
    )
    select array_agg(row(
               run_id, case when attempts > 1 then 'step.resumed' else 'step.started' end, step_no, fence, p_worker,
               case when attempts > 1
                    then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
               end)::pawl_event_v1)
    into v_events from claimed;
    return v_events;
end
$$;

create or replace function pawl_write_v1_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[])
returns pawl_consequences_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_follows  pawl_consequences_v1;
begin
    with met as (
        select m.run_id, next.step_no, count(*)::int as needs,
               coalesce(bool_or(next.step_no = m.next_step), false) as wanted, bool_or(m.next_joins) as joins
        from unnest(p_members) as m
        cross join lateral unnest(m.successors) as next (step_no)
        where not m.followed and not m.run_id = any (p_failing)
        group by m.run_id, next.step_no
    ), found as (
        -- By their keys, whatever the planner thinks of the table.
        select m.needs, m.joins, s.row, s.unmet = m.needs as opens, s.unmet = m.needs and m.wanted as goes_on
        from met m
        cross join lateral (select y.ctid as row, y.unmet from step y
                            where y.run_id = m.run_id and y.step_no = m.step_no and y.status = 'blocked' offset 0) as s
    ), advanced as (
        update step s set
            unmet = s.unmet - n.needs,
            status = case when n.goes_on then 'running' when n.opens then 'ready' else 'blocked' end,
            ready_at = case when n.opens and not n.goes_on then now() end,
            fence = s.fence + n.goes_on::int,
            worker_id = case when n.goes_on then p_worker else s.worker_id end,
            component = case when n.goes_on and s.component is null
                             then pawl_write_v1_active_component(s.run_id, s.step_no) else s.component end,
            attempts = s.attempts + n.goes_on::int,
            claimed_at = case when n.goes_on then now() else s.claimed_at end,
            started_at = case when n.goes_on then coalesce(s.started_at, now()) else s.started_at end
        -- By its place in the table, which stays under the run's lock.
        from found n
        where s.ctid = n.row
        returning s.run_id, s.step_no, s.fence, s.component, s.failures, s.crashes, s.journal_length,
                  s.checkpoint_position, n.opens, n.goes_on, n.joins
    ), noted as (
        insert into claim (worker_id, successors, runs, steps)
        select p_worker, true, array_agg(run_id), array_agg(step_no) from advanced where goes_on having count(*) > 0
    )
    select array_agg(row(run_id, case when goes_on then 'step.started' else 'step.ready' end, step_no, fence,
                         case when goes_on then p_worker end, null)::pawl_event_v1),
           array_agg(row(run_id, step_no, fence, null, component, failures, crashes, journal_length,
                         checkpoint_position, null, case when joins then pawl_write_v1_needed_outputs(run_id, step_no) end
                     )::pawl_claimed_v1) filter (where goes_on),
           coalesce(bool_or(not goes_on), false)
    into v_follows.events, v_follows.claimed, v_follows.has_ready
    from advanced where opens;
    return v_follows;
end
$$;

create or replace function pawl_write_v2_advance(p_worker uuid, p_members pawl_member_v1[], p_failing uuid[])
returns pawl_consequences_v2
language plpgsql
as $$
#variable_conflict use_column
declare
    v_follows  pawl_consequences_v2;
begin
    with met as (
        select m.run_id, next.step_no, count(*)::int as needs,
               coalesce(bool_or(next.step_no = m.next_step), false) as wanted, bool_or(m.next_joins) as joins
        from unnest(p_members) as m
        cross join lateral unnest(m.successors) as next (step_no)
        where not m.followed and not m.run_id = any (p_failing)
        group by m.run_id, next.step_no
    ), found as (
        -- By their keys, whatever the planner thinks of the table.
        select m.needs, m.joins, s.row, s.unmet = m.needs as opens, s.unmet = m.needs and m.wanted as goes_on
        from met m
        cross join lateral (select y.ctid as row, y.unmet from step y
                            where y.run_id = m.run_id and y.step_no = m.step_no and y.status = 'blocked' offset 0) as s
    ), advanced as (
        update step s set
            unmet = s.unmet - n.needs,
            status = case when n.goes_on then 'running' when n.opens then 'ready' else 'blocked' end,
            ready_at = case when n.opens and not n.goes_on then now() end,
            fence = s.fence + n.goes_on::int,
            worker_id = case when n.goes_on then p_worker else s.worker_id end,
            component = case when n.goes_on and s.component is null
                             then pawl_write_v1_active_component(s.run_id, s.step_no) else s.component end,
            attempts = s.attempts + n.goes_on::int,
            claimed_at = case when n.goes_on then now() else s.claimed_at end,
            started_at = case when n.goes_on then coalesce(s.started_at, now()) else s.started_at end
        -- By its place in the table, which stays under the run's lock.
        from found n
        where s.ctid = n.row
        returning s.run_id, s.step_no, s.fence, s.component, s.failures, s.crashes, s.journal_length,
                  s.checkpoint_position, n.opens, n.goes_on, n.joins
    ), noted as (
        insert into claim (worker_id, successors, runs, steps)
        select p_worker, true, array_agg(run_id), array_agg(step_no) from advanced where goes_on having count(*) > 0
    ), told as (
        select a.*, case when a.goes_on and a.joins then pawl_write_v2_needed(a.run_id, a.step_no) end as needed
        from advanced a
        where a.opens
        offset 0
    )
    select array_agg(row(run_id, case when goes_on then 'step.started' else 'step.ready' end, step_no, fence,
                         case when goes_on then p_worker end, null)::pawl_event_v1),
           array_agg(row(run_id, step_no, fence, null, component, failures, crashes, journal_length,
                         checkpoint_position, null, (needed).outputs, (needed).apart
                     )::pawl_claimed_v2) filter (where goes_on),
           coalesce(bool_or(not goes_on), false)
    into v_follows.events, v_follows.claimed, v_follows.has_ready
    from told;
    return v_follows;
end
$$;

-- A worker's rows that count. They begin at what the newest folded one says, so that what is over, and kept for
-- somebody's old snapshot, is not walked over again.
create function pawl_claims_v1(p_worker uuid) returns setof claim
language sql stable
as $$
    select c.* from claim c
    where c.worker_id = p_worker and c.txn >= coalesce(
        (select f.folded from claim f where f.worker_id = p_worker and f.folded is not null order by f.txn desc limit 1), '0')
$$;

-- The steps that a worker runs, with their fences.
create function pawl_running_v1(p_worker uuid) returns table (run_id uuid, step_no int, fence bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    return query
    select n.run_id, n.step_no, s.fence
    from (select distinct u.run_id, u.step_no
          from pawl_claims_v1(p_worker) as c cross join lateral unnest(c.runs, c.steps) as u (run_id, step_no)) as n
    -- By their keys, whatever the planner thinks of the table.
    cross join lateral (select y.fence from step y where y.run_id = n.run_id and y.step_no = n.step_no
                            and y.status = 'running' and y.worker_id = p_worker offset 0) as s;
end
$$;

-- Folds a worker's rows into one, which names what runs. Only the worker itself does it, one at a time.
create function pawl_fold_v1(p_worker uuid) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Taken before the rows are read: what is older has ended, and they show it.
    v_folded  xid8 := pg_snapshot_xmin(pg_current_snapshot());
begin
    -- One snapshot: a row that comes meanwhile stays, as does a step that it names.
    with gone as (
        delete from claim c using pawl_claims_v1(p_worker) as k
        where c.worker_id = p_worker and c.txn = k.txn and c.successors = k.successors
        returning c.runs, c.steps
    ), named as (
        select distinct n.run_id, n.step_no from gone g cross join lateral unnest(g.runs, g.steps) as n (run_id, step_no)
    )
    insert into claim (worker_id, runs, steps, folded)
    select p_worker, coalesce(array_agg(n.run_id), '{}'), coalesce(array_agg(n.step_no), '{}'), v_folded
    from named n
    where exists (select from step y where y.run_id = n.run_id and y.step_no = n.step_no
                      and y.status = 'running' and y.worker_id = p_worker);
end
$$;

-- What a worker asks about itself once per lease: the steps that it runs. Its rows are folded, unless nothing was claimed
-- or has ended since.
create function pawl_reconcile_v1(p_worker uuid) returns table (run_id uuid, step_no int, fence bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_running  bigint;
    v_rows     bigint;
    v_named    bigint;
begin
    return query select * from pawl_running_v1(p_worker);
    get diagnostics v_running = row_count;
    select count(*), coalesce(sum(cardinality(c.runs)), 0) into v_rows, v_named from pawl_claims_v1(p_worker) as c;
    if v_rows > 1 or v_named > v_running then
        perform pawl_fold_v1(p_worker);
    end if;
end
$$;

-- Steps whose worker's lease has ended: their fence is raised, and they are ready again. With strays, also those whose
-- worker is gone: a delayed claim may commit after the sweep that removed its worker. Returns them, to be delivered;
-- workers without steps whose lease ended are forgotten.
create or replace function pawl_takeover_v2(p_limit int, p_strays boolean, p_suspect_from int, p_crash_limit int)
returns setof pawl_ready_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_dead    uuid[];
    v_runs    uuid[];
    v_steps   int[];
    v_free    uuid[];
    v_events  pawl_event_v1[];
begin
    -- Candidates, without locks: workers, then their steps.
    v_dead := array(select w.id from worker w where w.expires_at <= clock_timestamp());
    if p_strays then
        v_dead := v_dead || array(
            -- From one worker that has claims to the next, whatever their number: by its newest, which is there.
            with recursive holder as (
                select (select c.worker_id from claim c order by c.worker_id desc, c.txn desc limit 1) as id
                union all
                select (select c.worker_id from claim c where c.worker_id < h.id
                        order by c.worker_id desc, c.txn desc limit 1)
                from holder h where h.id is not null
            )
            select h.id from holder h where h.id is not null and not exists (select from worker w where w.id = h.id));
    end if;
    select array_agg(c.run_id), array_agg(c.step_no) into v_runs, v_steps from (
        select s.run_id, s.step_no from unnest(v_dead) as d (id)
        cross join lateral pawl_running_v1(d.id) as s
        limit p_limit) as c;
    if v_runs is not null then
        select array_agg(id) into v_free
        from (select id from run where id = any (v_runs) order by id for no key update skip locked) as locked;
    end if;
    if v_free is not null then
        perform 1 from unnest(v_runs, v_steps) as c (run_id, step_no)
        join step s on s.run_id = c.run_id and s.step_no = c.step_no
        where c.run_id = any (v_free)
        order by s.run_id, s.step_no for no key update of s;
        v_events := pawl_takeover_v2_raise(v_runs, v_steps, v_free, p_suspect_from, p_crash_limit);
    end if;
    if v_events is not null then
        perform pawl_record_v1(v_events);
    end if;
    -- By what each row names, in one snapshot: one that comes meanwhile keeps its worker.
    delete from claim c
    where c.worker_id = any (v_dead) and not exists (
        select from unnest(c.runs, c.steps) as n (run_id, step_no)
        cross join lateral (select from step y where y.run_id = n.run_id and y.step_no = n.step_no
                                and y.status = 'running' and y.worker_id = c.worker_id offset 0) as s);
    -- Looked up for each, and not joined.
    delete from worker w
    where w.expires_at <= clock_timestamp()
      and (select c.txn from claim c where c.worker_id = w.id order by c.txn desc limit 1) is null;
    return query select * from unnest(pawl_ready_of_v1(v_events));
end
$$;
