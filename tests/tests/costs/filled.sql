-- A database that has been in use: $N$ runs of one step that have succeeded, a tenth of it that waits in a queue which
-- nobody serves, a tenth that sleeps, and, oldest of all, a few of what lists look for: 30 cancelled runs and 30 of a rare
-- pipeline. Set-based, so that millions take seconds.
create temp table made as
select gen_random_uuid() as id, n,
       case when n <= 30 then 'cancelled' when n <= 60 then 'succeeded' when n % 10 = 1 then 'queued'
            when n % 10 = 2 then 'sleeping' else 'succeeded' end as kind,
       case when n > 30 and n <= 60 then 'rare' else 'many' end as pipeline,
       timestamptz '2026-01-01' + n * interval '1 second' as at
from generate_series(1, $N$) as n;

insert into pipeline_version (digest, name, spec, steps, versions)
select sha256(name::bytea), name, '{}', 1, 'submission' from (values ('many'), ('rare')) as v (name)
on conflict do nothing;
insert into pipeline_step (digest, step_no, plugin, needs, successors, queue, priority)
select sha256(name::bytea), 0, 'p', '{}', '{}', 'elsewhere', 'normal' from (values ('many'), ('rare')) as v (name)
on conflict do nothing;

insert into run (id, namespace, pipeline, pipeline_digest, status, input, request_digest, steps, live, event_count,
                 created_at, started_at, ended_at)
select id, 'default', pipeline, sha256(pipeline::bytea),
       case kind when 'queued' then 'pending' when 'sleeping' then 'running' else kind end, '{}', '\x00', 1,
       case when kind in ('queued', 'sleeping') then 1 else 0 end, case kind when 'queued' then 1 else 5 end,
       at, case when kind in ('sleeping', 'succeeded') then at end, case when kind in ('cancelled', 'succeeded') then at end
from made order by n;

insert into step (run_id, step_no, queue, priority, status, unmet, fence, worker_id, component, attempts, journal_length,
                  ready_at, due_at, awaits_position, awaits_until, ended_at, output, output_digest)
select id, 0, 'elsewhere', 'normal',
       case kind when 'queued' then 'ready' when 'sleeping' then 'waiting' else kind end, 0,
       case when kind in ('queued', 'cancelled') then 0 else 1 end,
       case when kind in ('sleeping', 'succeeded') then '00000000-0000-0000-0000-000000000001'::uuid end,
       sha256('c'), 1, case kind when 'sleeping' then 1 else 0 end, case kind when 'queued' then at end,
       case kind when 'sleeping' then timestamptz '2100-01-01' + n * interval '1 second' end,
       case kind when 'sleeping' then 0 end,
       case kind when 'sleeping' then timestamptz '2100-01-01' + n * interval '1 second' end,
       case when kind in ('cancelled', 'succeeded') then at end,
       case kind when 'succeeded' then '1'::bytea end, case kind when 'succeeded' then '\x00'::bytea end
from made order by n;

insert into journal (run_id, step_no, first, length, digest, bytes)
select id, 0, 0, 1, '\x00', '\x00' from made where kind = 'sleeping' order by n;

insert into event (run_id, first, kinds, steps, fences, workers, notes)
select id, 1, '{run.submitted}', '{null}', '{null}', '{null}', '{null}' from made order by n;
insert into event (run_id, first, kinds, steps, fences, workers, notes)
select id, 2, '{run.started,step.started,step.succeeded,run.succeeded}', '{null,0,0,null}', '{null,1,1,null}',
       '{null,null,null,null}', '{null,null,null,null}'
from made where kind = 'succeeded' order by n;
insert into event (run_id, first, kinds, steps, fences, workers, notes)
select id, 2, '{run.started,step.started,step.waiting,step.retrying}', '{null,0,0,0}', '{null,1,1,1}',
       '{null,null,null,null}', '{null,null,null,null}'
from made where kind = 'sleeping' order by n;
insert into event (run_id, first, kinds, steps, fences, workers, notes)
select id, 2, '{run.started,step.started,step.cancelled,run.cancelled}', '{null,0,0,null}', '{null,1,1,null}',
       '{null,null,null,null}', '{null,null,null,null}'
from made where kind = 'cancelled' order by n;
drop table made;
