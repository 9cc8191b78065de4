-- What each commit pays for and few need.
--
--   charge     the steps that a worker's end has been counted against stand in a row for each takeover. They were a computed
--              column of `step` (0011_listed.sql), which each change of a step computed anew, copying all of its others.
--   parked_at  which steps are parked is known to an index, so that a page of runs asks it, and not all of their steps. Set
--              when a step is parked, and left as it is: whoever reads it looks at the status, too. An index that knew a
--              status would move a step's row with each change.
--   lookups    where several steps are of one run, the run is looked up once; needed outputs are looked up once, not for
--              their size and again for themselves (0015_write_v2.sql); a worker's claims are folded in one pass, not in two
--              (0016_claims.sql).
set local statement_timeout = 0;
set local lock_timeout = 0;
set local enable_seqscan = on;
set local enable_hashjoin = on;

-- Steps whose worker's end was counted as a crash of theirs, with the fences that this has left them with. It is forgiven,
-- should the worker be back and say that it had not died, where nobody has claimed the step since.
create table charge (
    worker_id  uuid not null,
    at         timestamptz not null default now(),
    runs       uuid[] not null,
    steps      int[] not null,
    fences     bigint[] not null
);
create index charge_worker on charge (worker_id);
create index charge_at on charge (at);

insert into charge (worker_id, runs, steps, fences)
select charged_to, array_agg(run_id), array_agg(step_no), array_agg(fence) from step
where charged_to is not null group by charged_to;
drop index step_charged;
alter table step drop column charged_to;

alter table step add column parked_at timestamptz;
update step set parked_at = now() where status = 'parked';
create index step_parked on step (run_id) where parked_at is not null;

-- 0012_sweeps.sql, with what is counted noted.
create or replace function pawl_takeover_v2_raise(
    p_runs uuid[], p_steps int[], p_free uuid[], p_suspect_from int, p_crash_limit int
) returns pawl_event_v1[]
language plpgsql
as $$
#variable_conflict use_column
declare
    v_events  pawl_event_v1[];
begin
    with candidate as (
        select s.row, s.worker_id, s.crashes as crashes_before, r.failing,
               case when s.journal_length + s.checkpoint_ordinal > s.crash_mark then 0
                    when s.crashes >= p_suspect_from and not s.alone then s.crashes
                    else s.crashes + 1 end as crashes
        from unnest(p_runs, p_steps) as c (run_id, step_no)
        join run r on r.id = c.run_id
        -- By their keys, whatever the planner thinks of the table.
        cross join lateral (select y.ctid as row, y.worker_id, y.journal_length, y.checkpoint_ordinal, y.crash_mark,
                                   y.crashes, y.alone
                            from step y where y.run_id = c.run_id and y.step_no = c.step_no and y.status = 'running'
                            offset 0) as s
        where c.run_id = any (p_free)
          and not exists (select from worker w where w.id = s.worker_id and w.expires_at > clock_timestamp())
    ), taken as (
        update step s set
            status = case when c.failing then 'cancelled' when c.crashes >= p_crash_limit then 'parked'
                          else 'ready' end,
            fence = s.fence + 1,
            crashes = c.crashes,
            alone = false,
            crash_mark = s.journal_length + s.checkpoint_ordinal,
            ready_at = case when not c.failing and c.crashes < p_crash_limit then now() end,
            parked_at = case when not c.failing and c.crashes >= p_crash_limit then now() else s.parked_at end,
            ended_at = case when c.failing then now() end,
            error = case when c.crashes >= p_crash_limit and not c.failing then convert_to(
                '{"cause":"poison","message":"its worker process died ' || c.crashes
                || ' times in a row while executing this step, without progress in between"}', 'UTF8')
                else s.error end
        -- By its place in the table, which stays under the run's lock.
        from candidate c
        where s.ctid = c.row
        returning s.run_id, s.step_no, s.status, s.fence, c.worker_id,
                  s.status = 'ready' and c.crashes > c.crashes_before as counted,
                  format('checkpoint=%s journal=%s', coalesce(s.checkpoint_position::text, 'none'),
                         s.journal_length) as note
    ), noted as (
        insert into charge (worker_id, runs, steps, fences)
        select t.worker_id, array_agg(t.run_id), array_agg(t.step_no), array_agg(t.fence)
        from taken t where t.counted group by t.worker_id
    ), past as (
        -- Who has been away for so long is forgiven nothing.
        delete from charge where at < now() - interval '1 day'
    )
    select array_agg(row(run_id, 'step.lease_expired', step_no, fence, worker_id, note)::pawl_event_v1)
           || array_agg(row(run_id, 'step.' || status, step_no, fence, null, null)::pawl_event_v1)
    into v_events from taken;
    return v_events;
end
$$;

-- What the steps that a step needs have put out, in the order of its needs, or how much it is. Nothing large is fetched:
-- a size is known without the bytes, and only what a claim may carry is put together.
create or replace function pawl_write_v2_needed(p_run uuid, p_step int) returns pawl_needed_v2
language plpgsql stable
as $$
declare
    v_most    bigint := pawl_claim_bytes_v2();
    v_needs   int[];
    v_needed  pawl_needed_v2;
begin
    select p.needs into v_needs
    from run r
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = p_step
    where r.id = p_run;
    select sum(n.bytes), array_agg(case when n.so_far <= v_most then n.output end order by n.place)
    into v_needed.apart, v_needed.outputs
    from (select l.place, s.output, octet_length(s.output) as bytes,
                 sum(octet_length(s.output)) over (order by l.place) as so_far
          from unnest(v_needs) with ordinality as l (step_no, place)
          cross join lateral (select y.output from step y where y.run_id = p_run and y.step_no = l.step_no offset 0) as s
         ) as n;
    if v_needed.apart <= v_most then
        v_needed.apart := null;
    else
        v_needed.outputs := null;
    end if;
    return v_needed;
end
$$;

-- What was asked for and is this worker's now. Also what a first sending claimed: the worker knows its own and drops
-- doubles.
create or replace function pawl_write_v2_claims(p_worker uuid, p_runs uuid[], p_steps int[]) returns setof pawl_claimed_v2
language plpgsql
as $$
#variable_conflict use_column
declare
    v_most  bigint := pawl_claim_bytes_v2();
begin
    return query
    select s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures, s.crashes, s.journal_length,
           s.checkpoint_position, case when n.bytes <= v_most then n.run_input end,
           case cardinality(p.needs) when 0 then null
                                     when 1 then case when n.bytes <= v_most then array[n.output] end
                                     else (n.needed).outputs end,
           coalesce((n.needed).apart, case when n.bytes > v_most then n.bytes end)
    from (select a.run_id, array_agg(a.step_no) as steps from unnest(p_runs, p_steps) as a (run_id, step_no)
          group by a.run_id) as asked
    join run r on r.id = asked.run_id
    cross join lateral unnest(asked.steps) as q (step_no)
    -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
    cross join lateral (select * from step s where s.run_id = asked.run_id and s.step_no = q.step_no offset 0) as s
    cross join lateral (select p.needs from pipeline_step p
                        where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
    -- Of a run's input or a single output the size is known before the bytes are fetched.
    cross join lateral (
        select octet_length(r.input)::bigint as bytes, r.input as run_input, null::bytea as output,
               null::pawl_needed_v2 as needed
        where p.needs = '{}'
        union all
        select octet_length(y.output), null, y.output, null from step y
        where cardinality(p.needs) = 1 and y.run_id = s.run_id and y.step_no = p.needs[1]
        union all
        select null, null, null, pawl_write_v2_needed(s.run_id, s.step_no) where cardinality(p.needs) > 1
        offset 0) as n
    where s.status = 'running' and s.worker_id = p_worker;
end
$$;

-- The steps that have become ready by these events and still are: not those that were claimed, or cancelled with their
-- run, later in the same commit.
create or replace function pawl_ready_of_v1(p_events pawl_event_v1[]) returns pawl_ready_v1[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    return (
        select array_agg(row(s.run_id, s.step_no, p.queue, p.priority,
                             (extract(epoch from s.ready_at) * 1000)::bigint)::pawl_ready_v1)
        from (select a.run_id, array_agg(a.step_no) as steps from unnest(p_events) as a
              where a.kind in ('step.ready', 'step.handed_back') group by a.run_id) as e
        join run r on r.id = e.run_id
        cross join lateral unnest(e.steps) as q (step_no)
        -- By their whole keys, however few rows the planner thinks there are: some pipelines have 10,000 steps.
        cross join lateral (select * from step s where s.run_id = e.run_id and s.step_no = q.step_no
                                                       and s.status = 'ready' offset 0) as s
        cross join lateral (select p.queue, p.priority from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p);
end
$$;

-- Folds a worker's rows of `claim` into one, which names what runs, and tells it: each step that was claimed is looked up
-- once. Only the worker itself does it, one at a time. (0016_claims.sql had two passes.)
create function pawl_fold_v2(p_worker uuid) returns table (run_id uuid, step_no int, fence bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Taken before the rows are read: what is older has ended, and they show it.
    v_folded  xid8 := pg_snapshot_xmin(pg_current_snapshot());
begin
    -- One snapshot: a row that comes meanwhile stays, as does a step that it names.
    return query
    with gone as (
        delete from claim c using pawl_claims_v1(p_worker) as k
        where c.worker_id = p_worker and c.txn = k.txn and c.successors = k.successors
        returning c.runs, c.steps
    ), running as (
        select n.run_id, n.step_no, s.fence
        from (select distinct u.run_id, u.step_no
              from gone g cross join lateral unnest(g.runs, g.steps) as u (run_id, step_no)) as n
        -- By their keys, whatever the planner thinks of the table.
        cross join lateral (select y.fence from step y where y.run_id = n.run_id and y.step_no = n.step_no
                                and y.status = 'running' and y.worker_id = p_worker offset 0) as s
    ), kept as (
        insert into claim (worker_id, runs, steps, folded)
        select p_worker, coalesce(array_agg(r.run_id), '{}'), coalesce(array_agg(r.step_no), '{}'), v_folded from running r
    )
    select * from running;
end
$$;

-- What a worker asks about itself once per lease: the steps that it runs. Its rows are folded, unless nothing was claimed
-- or has ended since.
create or replace function pawl_reconcile_v1(p_worker uuid) returns table (run_id uuid, step_no int, fence bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    v_running  bigint;
    v_rows     bigint;
    v_named    bigint;
begin
    select count(*), coalesce(sum(cardinality(c.runs)), 0) into v_rows, v_named from pawl_claims_v1(p_worker) as c;
    if v_rows > 1 then
        return query select * from pawl_fold_v2(p_worker);
        return;
    end if;
    return query select * from pawl_running_v1(p_worker);
    get diagnostics v_running = row_count;
    if v_named > v_running then
        perform pawl_fold_v2(p_worker);
    end if;
end
$$;
