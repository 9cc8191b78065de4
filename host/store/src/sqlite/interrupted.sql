-- Steps of runs that have begun, which nobody moves: their worker is gone (and the lease has ended for so long), they are
-- ready (whoever asks knows which queues are served), or past their time; where nothing has happened in their run for so
-- long. ?1: the namespace, ?2: since when, ?3: now, ?4: at most so many.
with standing as (
    select s.run_id, s.step_no, s.status, s.queue, w.expires_at as lease_end
    from step s left join worker w on w.id = s.worker_id
    where s.status = 'running' and (w.expires_at is null or w.expires_at <= ?2)
    union all
    select * from (select s.run_id, s.step_no, s.status, s.queue, null from step s
                   where s.ready_at <= ?2
                     and not exists (select 1 from pause u where u.ended_at is null and u.kind = 'queue' and u.name = s.queue)
                   order by s.ready_at limit ?4)
    union all
    select * from (select s.run_id, s.step_no, s.status, s.queue, null from step s
                   where s.due_at <= ?2 order by s.due_at limit ?4)
), known as (
    select t.*, r.pipeline_digest, r.started_at, r.steps, r.live, r.failing,
           max((select e.at from event e where e.run_id = t.run_id order by e.number desc limit 1),
               coalesce(t.lease_end, 0),
               coalesce((select k.created_at from checkpoint k where k.run_id = t.run_id and k.step_no = t.step_no), 0)
           ) as last_activity
    from standing t join run r on r.id = t.run_id
    where r.namespace = ?1 and r.status = 'running'
      -- What a person has paused is not interrupted.
      and r.paused_at is null
      and not exists (select 1 from pause u where u.ended_at is null and u.kind = 'pipeline' and u.namespace = r.namespace
                                              and u.name = r.pipeline)
      -- Somebody is at work on another step of it.
      and not exists (select 1 from step o join worker w on w.id = o.worker_id
                      where o.run_id = t.run_id and o.status = 'running' and w.expires_at > ?3)
)
select n.*, p.name as pipeline,
       case when n.failing then (select count(*) from step s where s.run_id = n.run_id and s.status = 'succeeded')
            else n.steps - n.live end as completed,
       case when n.failing then (select count(*) from step s where s.run_id = n.run_id and s.status = 'failed')
            else 0 end as failed
from known n join pipeline_version p on p.digest = n.pipeline_digest
where n.last_activity <= ?2
