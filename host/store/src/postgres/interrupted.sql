-- Runs that have begun and that nobody moves: a step of theirs runs and its worker is gone, is ready in a queue that no live
-- worker serves, or is past its time; and nothing has happened in the run for so long. $1: the namespace, $2: for how long,
-- ms, $3: steps of a kind that are looked at, $4: runs at most, $5: of which pipeline, if of one, $6 and $7: after which time
-- and run, if after one.
--
-- Steps lead to runs: what runs at rest, or queues that are worked on, hold is not read, however much it is.
with since as materialized (
    select case when $2::bigint >= 3155760000000 then '-infinity'::timestamptz
                else clock_timestamp() - $2::bigint * interval '1 millisecond' end as at
), dead as (
    select w.id, w.expires_at as lease_end from worker w where w.expires_at <= (select at from since)
    union all
    -- Whose worker is forgotten: from one worker that has claims to the next, whatever their number.
    select s.id, null from (
        with recursive holder as (
            select (select c.worker_id from claim c order by c.worker_id desc, c.txn desc limit 1) as id
            union all
            select (select c.worker_id from claim c where c.worker_id < h.id order by c.worker_id desc, c.txn desc limit 1)
            from holder h where h.id is not null
        )
        select h.id from holder h
        where h.id is not null and not exists (select from worker w where w.id = h.id)) as s
), unserved as (
    select f.queue, p.priority from (
        with recursive filled as (
            (select s.queue from step s where s.ready_at is not null order by s.queue limit 1)
            union all
            select (select s.queue from step s where s.ready_at is not null and s.queue > f.queue order by s.queue limit 1)
            from filled f where f.queue is not null
        )
        select queue from filled where queue is not null) as f
    cross join (values ('high'), ('normal'), ('low')) as p (priority)
    where not exists (
        select from worker w where w.expires_at > clock_timestamp() and not w.draining and f.queue = any (w.queues))
      and not exists (select from pause u where u.ended_at is null and u.kind = 'queue' and u.name = f.queue)
), standing as (
    (select r.run_id, r.step_no, 'running' as status, d.lease_end from dead d
     cross join lateral pawl_running_v1(d.id) as r limit $3)
    union all
    (select o.run_id, o.step_no, 'ready', null from unserved u
     cross join lateral (select s.run_id, s.step_no, s.ready_at from step s
                         where s.queue = u.queue and s.priority = u.priority and s.ready_at <= (select at from since)
                         order by s.ready_at limit $3) as o
     order by o.ready_at limit $3)
    union all
    (select s.run_id, s.step_no, 'waiting', null from step s where s.due_at <= (select at from since)
     order by s.due_at limit $3)
), first as (
    -- Of each run the first step that stands, and the last lease that has ended.
    select distinct on (t.run_id) t.run_id, t.step_no, t.status,
           max(t.lease_end) over (partition by t.run_id) as lease_end,
           bool_or(t.status = 'running') over (partition by t.run_id) as is_left
    from standing t order by t.run_id, t.step_no
-- Once: what it was last active by is looked up for those alone that have begun.
), known as materialized (
    select f.run_id, f.step_no, f.status, r.pipeline, r.pipeline_digest, r.steps, r.live, r.failing, r.started_at,
           greatest(f.lease_end,
                    (select e.at from event e where e.run_id = f.run_id order by e.first desc limit 1),
                    (select k.created_at from checkpoint k where k.run_id = f.run_id and k.step_no = f.step_no)
           ) as last_activity
    from first f
    cross join lateral (select * from run o where o.id = f.run_id offset 0) as r
    -- Where a step runs and none was left by its worker, somebody is at work.
    where r.namespace = $1 and r.status = 'running' and (f.is_left or r.running = 0)
      and ($5::text is null or r.pipeline = $5)
      -- What a person has paused is not interrupted.
      and r.paused_at is null
      and not exists (select from pause u where u.ended_at is null and u.kind = 'pipeline' and u.namespace = r.namespace
                                            and u.name = r.pipeline)
), page as (
    select k.*, m.last_activity_ms
    from known k
    cross join lateral (select (extract(epoch from k.last_activity) * 1000)::bigint as last_activity_ms) as m
    where k.last_activity <= (select at from since)
      and ($6::bigint is null or (m.last_activity_ms, k.run_id) > ($6, $7::uuid))
    order by m.last_activity_ms, k.run_id limit $4
)
select p.run_id, p.step_no, p.status, p.pipeline, p.pipeline_digest, p.steps, n.completed, n.failed,
       (extract(epoch from p.started_at) * 1000)::bigint as started_ms,
       p.last_activity_ms
from page p
-- Steps are counted one by one only where some have ended that have not succeeded.
cross join lateral (
    select p.steps - p.live as completed, 0 as failed where not p.failing
    union all
    select c.completed, c.failed
    from (select count(*) filter (where s.status = 'succeeded')::int as completed,
                 count(*) filter (where s.status = 'failed')::int as failed
          from step s where s.run_id = p.run_id) as c
    where p.failing) as n
order by p.last_activity_ms, p.run_id
