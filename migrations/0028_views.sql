-- Views for people with psql, and for what draws tables of Postgres: names in the place of numbers, text in the place of
-- bytes, times as times. Their names and columns are stable: a column is never renamed or taken away, new ones come last.
-- docs/views.md is made of the comments here.
--
-- What they cost is theirs to decide who asks, within these rules:
--   by run    `where run_id = …` reads that run and nothing else, however many there are
--   by index  whole views read what they show, and are made of what an index knows: ready, due, parked, recovered
--   names     stand in a pipeline version's canonical form, which is parsed once for a run, or once for a row that is shown
--
-- Nothing of Pawl reads them. A migration that takes away a column that one names replaces the view first.

-- A column with JSON of ours. What guests have put into it may be more than JSON is for the database: the character of number
-- 0 becomes U+FFFD, and where a number is none of its own, there is nothing but a word of that. One such step must not take
-- the others' view. These two say what they cost, so that of a sorted list with a limit they are asked for what is shown alone.
create function pawl_view_json_v1(p_bytes bytea) returns jsonb
language plpgsql immutable strict cost 1000
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    return replace(convert_from(p_bytes, 'UTF8'), '\u0000', '\ufffd')::jsonb;
exception
    when data_exception or program_limit_exceeded then
        return '{"message": "(the database can''t read it: `pawl run get` can)"}';
end
$$;

-- The name of one step of a pipeline version.
create function pawl_view_step_v1(p_spec bytea, p_step int) returns text
language sql immutable cost 10000
return coalesce(pawl_view_json_v1(p_spec) -> 'steps' -> p_step ->> 'name', p_step::text);

create view pawl_view_runs as
select r.id as run_id, r.namespace, r.pipeline, encode(r.pipeline_digest, 'hex') as pipeline_version, r.status,
       r.steps, r.live as steps_left, r.running as steps_running, r.failing,
       r.idempotency_key, octet_length(r.input) as input_bytes, r.event_count as events,
       r.created_at, r.started_at, r.ended_at, t.took
from run r
-- A view of one table and nothing else could be written to.
cross join lateral (select coalesce(r.ended_at, clock_timestamp()) - r.created_at as took) as t;
comment on view pawl_view_runs is 'Runs, without payloads. The newest of a kind are found by an index: name `namespace` and `status`, with `pipeline` if you like, and order by `created_at desc`.';
comment on column pawl_view_runs.run_id is 'its id';
comment on column pawl_view_runs.namespace is 'whose it is; `default` so far';
comment on column pawl_view_runs.pipeline is 'the name of its pipeline';
comment on column pawl_view_runs.pipeline_version is 'the digest of the version that it began with, in hexadecimal digits';
comment on column pawl_view_runs.status is '`pending`, `running`, `succeeded`, `failed` or `cancelled`';
comment on column pawl_view_runs.steps is 'steps of its pipeline';
comment on column pawl_view_runs.steps_left is 'steps that have not ended';
comment on column pawl_view_runs.steps_running is 'steps that a worker has';
comment on column pawl_view_runs.failing is 'whether a step has failed: nothing new starts';
comment on column pawl_view_runs.idempotency_key is 'the key that it was submitted under, if there was one';
comment on column pawl_view_runs.input_bytes is 'the size of its input';
comment on column pawl_view_runs.events is 'how many events its history has';
comment on column pawl_view_runs.created_at is 'when it was submitted';
comment on column pawl_view_runs.started_at is 'when its first step was claimed';
comment on column pawl_view_runs.ended_at is 'when it ended';
comment on column pawl_view_runs.took is 'from the submission to its end, or to now';

-- The version is parsed before the steps are read, once for a run: the steps refer to what came of it.
create view pawl_view_steps as
select r.id as run_id, s.step_no, s.step, r.namespace, r.pipeline, s.status, s.queue, s.priority, s.plugin, s.component,
       s.attempts, s.failures, s.crashes, s.fence, s.worker_id, s.needs_unmet, s.journal_entries, s.checkpoint_position,
       s.progress, s.progress_message, s.reason, s.output_bytes, s.ready_at, s.due_at, s.claimed_at, s.started_at, s.ended_at
from run r
join pipeline_version v on v.digest = r.pipeline_digest
cross join lateral (select pawl_view_json_v1(v.spec) -> 'steps' as steps offset 0) as n
cross join lateral (
    select o.step_no, coalesce(n.steps -> o.step_no ->> 'name', o.step_no::text) as step, o.status, o.queue, o.priority,
           n.steps -> o.step_no ->> 'plugin' as plugin, encode(o.component, 'hex') as component,
           o.attempts, o.failures, o.crashes, o.fence, o.worker_id, o.unmet as needs_unmet,
           o.journal_length as journal_entries, o.checkpoint_position, o.progress, o.progress_message,
           pawl_view_json_v1(o.error) ->> 'message' as reason, octet_length(o.output) as output_bytes,
           o.ready_at, o.due_at, o.claimed_at, o.started_at, o.ended_at
    from step o where o.run_id = r.id offset 0) as s;
comment on view pawl_view_steps is 'Steps of runs, without payloads. Ask by `run_id`.';
comment on column pawl_view_steps.run_id is 'the run';
comment on column pawl_view_steps.step_no is 'its number in the pipeline, from 0';
comment on column pawl_view_steps.step is 'its name';
comment on column pawl_view_steps.namespace is 'whose the run is';
comment on column pawl_view_steps.pipeline is 'the name of the run''s pipeline';
comment on column pawl_view_steps.status is '`blocked`, `ready`, `running`, `waiting`, `parked`, `succeeded`, `failed`, `cancelled` or `skipped`';
comment on column pawl_view_steps.queue is 'the queue whose workers execute it';
comment on column pawl_view_steps.priority is '`high`, `normal` or `low`';
comment on column pawl_view_steps.plugin is 'the plugin that executes it';
comment on column pawl_view_steps.component is 'the digest of the component that it stays on, in hexadecimal digits, once that is decided';
comment on column pawl_view_steps.attempts is 'attempts that were begun';
comment on column pawl_view_steps.failures is 'attempts that failed';
comment on column pawl_view_steps.crashes is 'deaths of its workers in a row, without progress';
comment on column pawl_view_steps.fence is 'grows with every claim and takeover';
comment on column pawl_view_steps.worker_id is 'who has it, or had it last';
comment on column pawl_view_steps.needs_unmet is 'needs that have not succeeded';
comment on column pawl_view_steps.journal_entries is 'entries of its journal';
comment on column pawl_view_steps.checkpoint_position is 'where its last checkpoint stands in the journal';
comment on column pawl_view_steps.progress is 'what it says of its progress, from 0 to 1';
comment on column pawl_view_steps.progress_message is 'the same in words';
comment on column pawl_view_steps.reason is 'the failure of its last attempt, or why it is parked';
comment on column pawl_view_steps.output_bytes is 'the size of its output';
comment on column pawl_view_steps.ready_at is 'since when it is ready';
comment on column pawl_view_steps.due_at is 'when its wait ends';
comment on column pawl_view_steps.claimed_at is 'its last claim';
comment on column pawl_view_steps.started_at is 'its first claim';
comment on column pawl_view_steps.ended_at is 'when it ended';

-- From one stream to the next in the index, and of each no more than is told.
create view pawl_view_queues as
with recursive stream as (
    (select s.queue, s.priority from step s where s.ready_at is not null order by s.queue, s.priority limit 1)
    union all
    select n.queue, n.priority from stream t
    cross join lateral (select s.queue, s.priority from step s
                        where s.ready_at is not null and (s.queue, s.priority) > (t.queue, t.priority)
                        order by s.queue, s.priority limit 1) as n
)
select t.queue, t.priority, c.ready, o.oldest_ready_at, clock_timestamp() - o.oldest_ready_at as oldest_waits,
       (select count(*)::int from worker w
        where w.expires_at > clock_timestamp() and not w.draining and t.queue = any (w.queues)) as workers
from stream t
cross join lateral (select s.ready_at as oldest_ready_at from step s
                    where s.queue = t.queue and s.priority = t.priority and s.ready_at is not null
                    order by s.ready_at limit 1) as o
cross join lateral (select count(*)::int as ready from (
                        select from step s where s.queue = t.queue and s.priority = t.priority and s.ready_at is not null
                        limit 10000) as counted) as c;
comment on view pawl_view_queues is 'Queues with steps that are ready, by priority. It reads 10,000 steps of each at most.';
comment on column pawl_view_queues.queue is 'its name';
comment on column pawl_view_queues.priority is '`high`, `normal` or `low`';
comment on column pawl_view_queues.ready is 'steps that are ready; 10000 stands for more, too';
comment on column pawl_view_queues.oldest_ready_at is 'since when the oldest of them is';
comment on column pawl_view_queues.oldest_waits is 'for how long';
comment on column pawl_view_queues.workers is 'live workers that serve the queue: with none, its steps wait for one';

create view pawl_view_workers as
select w.id as worker_id, w.host, w.pid,
       case when w.expires_at <= clock_timestamp() then 'expired' when w.draining then 'draining' else 'alive' end as state,
       w.queues, w.slots, w.running, w.started_at, w.renewed_at, w.expires_at as lease_ends_at,
       null::timestamptz as gone_at, null::boolean as said_goodbye
from worker w
union all
select g.id, g.host, g.pid, 'gone', g.queues, g.slots, null, g.started_at, null, null, g.gone_at, g.said_goodbye
from gone_worker g;
comment on view pawl_view_workers is 'Lives of worker processes: those that are there, and those that went within a day.';
comment on column pawl_view_workers.worker_id is 'new with every life';
comment on column pawl_view_workers.host is 'the name of its machine';
comment on column pawl_view_workers.pid is 'its process id there';
comment on column pawl_view_workers.state is '`alive`, `draining`, `expired` (its lease has ended, its steps are not taken over yet) or `gone`';
comment on column pawl_view_workers.queues is 'the queues that it serves';
comment on column pawl_view_workers.slots is 'steps that it executes at once';
comment on column pawl_view_workers.running is 'steps that it says it executes';
comment on column pawl_view_workers.started_at is 'when it first took its lease';
comment on column pawl_view_workers.renewed_at is 'when it last renewed it';
comment on column pawl_view_workers.lease_ends_at is 'when it ends, or ended';
comment on column pawl_view_workers.gone_at is 'when it was seen to be gone';
comment on column pawl_view_workers.said_goodbye is 'whether it went in peace; otherwise its lease ended';

-- Runs are looked up for each step that is shown, whatever the planner thinks of the tables.
create view pawl_view_parked as
select s.run_id, s.step_no, pawl_view_step_v1(r.spec, s.step_no) as step, r.namespace, r.pipeline,
       pawl_view_json_v1(s.error) ->> 'cause' as cause, pawl_view_json_v1(s.error) ->> 'message' as reason,
       s.crashes, encode(s.component, 'hex') as component, s.parked_at
from step s
cross join lateral (select o.namespace, o.pipeline, v.spec from run o join pipeline_version v on v.digest = o.pipeline_digest
                    where o.id = s.run_id offset 0) as r
where s.parked_at is not null and s.status = 'parked';
comment on view pawl_view_parked is 'Steps that wait for a person: `pawl run explain` tells the ways out. It reads the steps that ever were parked.';
comment on column pawl_view_parked.run_id is 'the run';
comment on column pawl_view_parked.step_no is 'its number in the pipeline, from 0';
comment on column pawl_view_parked.step is 'its name';
comment on column pawl_view_parked.namespace is 'whose the run is';
comment on column pawl_view_parked.pipeline is 'the name of the run''s pipeline';
comment on column pawl_view_parked.cause is 'what kind of reason it is: `poison` for one that kept killing its workers';
comment on column pawl_view_parked.reason is 'why, in words';
comment on column pawl_view_parked.crashes is 'deaths of its workers in a row, without progress';
comment on column pawl_view_parked.component is 'the digest of the component that it stays on, in hexadecimal digits';
comment on column pawl_view_parked.parked_at is 'since when';

create view pawl_view_failures as
select r.id as run_id, s.step_no, pawl_view_step_v1(v.spec, s.step_no) as step, r.namespace, r.pipeline,
       s.attempts, s.cause, s.reason, s.worker_id, s.ended_at as failed_at, r.created_at as run_created_at
from run r
join pipeline_version v on v.digest = r.pipeline_digest
cross join lateral (
    select o.step_no, o.attempts, o.worker_id, o.ended_at,
           pawl_view_json_v1(o.error) ->> 'cause' as cause, pawl_view_json_v1(o.error) ->> 'message' as reason
    from step o where o.run_id = r.id and o.status = 'failed' offset 0) as s
where r.status = 'failed';
comment on view pawl_view_failures is 'Failed steps of failed runs. The last ones are found by an index: name `namespace`, with `pipeline` if you like, and order by `run_created_at desc`.';
comment on column pawl_view_failures.run_id is 'the run';
comment on column pawl_view_failures.step_no is 'its number in the pipeline, from 0';
comment on column pawl_view_failures.step is 'its name';
comment on column pawl_view_failures.namespace is 'whose the run is';
comment on column pawl_view_failures.pipeline is 'the name of the run''s pipeline';
comment on column pawl_view_failures.attempts is 'attempts that were begun';
comment on column pawl_view_failures.cause is 'what kind of failure it was';
comment on column pawl_view_failures.reason is 'the failure of the last attempt, in words';
comment on column pawl_view_failures.worker_id is 'who had it';
comment on column pawl_view_failures.failed_at is 'when it failed for good';
comment on column pawl_view_failures.run_created_at is 'when the run was submitted';

create view pawl_view_waits as
select s.run_id, s.step_no, pawl_view_step_v1(r.spec, s.step_no) as step, r.namespace, r.pipeline,
       case when s.awaits is not null then 'signal' when s.awaits_position is not null then 'sleep' else 'retry' end as kind,
       s.awaits as signal, s.due_at, s.due_at - clock_timestamp() as due_in, s.failures,
       pawl_view_json_v1(s.error) ->> 'message' as reason
from step s
cross join lateral (select o.namespace, o.pipeline, v.spec from run o join pipeline_version v on v.digest = o.pipeline_digest
                    where o.id = s.run_id offset 0) as r
where s.due_at is not null
union all
select s.run_id, s.step_no, pawl_view_step_v1(r.spec, s.step_no), r.namespace, r.pipeline, 'signal', s.awaits, null, null,
       s.failures, pawl_view_json_v1(s.error) ->> 'message'
from step s
cross join lateral (select o.namespace, o.pipeline, v.spec from run o join pipeline_version v on v.digest = o.pipeline_digest
                    where o.id = s.run_id offset 0) as r
where s.awaits is not null and s.due_at is null and s.status = 'waiting';
comment on view pawl_view_waits is 'Steps that wait for a time or a signal, by run or all of them.';
comment on column pawl_view_waits.run_id is 'the run';
comment on column pawl_view_waits.step_no is 'its number in the pipeline, from 0';
comment on column pawl_view_waits.step is 'its name';
comment on column pawl_view_waits.namespace is 'whose the run is';
comment on column pawl_view_waits.pipeline is 'the name of the run''s pipeline';
comment on column pawl_view_waits.kind is '`retry`: an attempt has failed and another one follows; `sleep`; `signal`';
comment on column pawl_view_waits.signal is 'the signal that ends it';
comment on column pawl_view_waits.due_at is 'when it ends by itself; null: never';
comment on column pawl_view_waits.due_in is 'how long that is; below 0 it is late';
comment on column pawl_view_waits.failures is 'attempts that failed';
comment on column pawl_view_waits.reason is 'the failure of the last attempt';

create view pawl_view_recoveries as
select v.run_id, v.step_no, pawl_view_step_v1(p.spec, v.step_no) as step, r.namespace, r.pipeline, v.fence, v.worker_id,
       v.replacement_id, v.outcome, v.lease_ended_at, v.taken_over_at, v.claimed_at, v.reloaded_at, v.replayed_at, v.ready_at,
       v.ready_at - coalesce(v.lease_ended_at, v.taken_over_at) as took, v.checkpoint_position,
       v.to_replay as entries_to_replay, v.replayed as entries_replayed
from recovery v
join run r on r.id = v.run_id
join pipeline_version p on p.digest = r.pipeline_digest;
comment on view pawl_view_recoveries is 'Takeovers of steps, with the time of each stage. The last ones are found by an index: order by `taken_over_at desc`.';
comment on column pawl_view_recoveries.run_id is 'the run';
comment on column pawl_view_recoveries.step_no is 'its number in the pipeline, from 0';
comment on column pawl_view_recoveries.step is 'its name';
comment on column pawl_view_recoveries.namespace is 'whose the run is';
comment on column pawl_view_recoveries.pipeline is 'the name of the run''s pipeline';
comment on column pawl_view_recoveries.fence is 'the fence that the takeover has left the step with';
comment on column pawl_view_recoveries.worker_id is 'whose lease ended';
comment on column pawl_view_recoveries.replacement_id is 'who has claimed the step since';
comment on column pawl_view_recoveries.outcome is '`recovered`, `failed`, `stopped` or `lost`; null: not known yet';
comment on column pawl_view_recoveries.lease_ended_at is 'when the lease ended; null: the worker was forgotten by then';
comment on column pawl_view_recoveries.taken_over_at is 'when the step was taken over';
comment on column pawl_view_recoveries.claimed_at is 'when it was claimed';
comment on column pawl_view_recoveries.reloaded_at is 'when the replacement had its last checkpoint';
comment on column pawl_view_recoveries.replayed_at is 'when everything that the journal holds was answered from there';
comment on column pawl_view_recoveries.ready_at is 'when it made its first new call, or had ended';
comment on column pawl_view_recoveries.took is 'from the end of the lease to then';
comment on column pawl_view_recoveries.checkpoint_position is 'where its checkpoint stood; null: there was none';
comment on column pawl_view_recoveries.entries_to_replay is 'entries of the journal after it';
comment on column pawl_view_recoveries.entries_replayed is 'entries that were executed again';

-- Of each namespace and state, the last hour's runs as they stand in an index; no row of a run is read.
create view pawl_view_throughput as
select date_trunc('minute', o.created_at) as minute, count(*)::int as submitted,
       count(*) filter (where o.status = 'pending')::int as pending,
       count(*) filter (where o.status = 'running')::int as running,
       count(*) filter (where o.status = 'succeeded')::int as succeeded,
       count(*) filter (where o.status = 'failed')::int as failed,
       count(*) filter (where o.status = 'cancelled')::int as cancelled
from (select distinct p.namespace from pipeline p) as n
cross join unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as w (status)
cross join lateral (
    select r.status, r.created_at from run r
    where r.namespace = n.namespace and r.status = w.status
      and r.created_at >= date_trunc('minute', now()) - interval '59 minutes'
    order by r.created_at desc, r.id desc offset 0) as o
group by 1;
comment on view pawl_view_throughput is 'Runs by the minute of their submission, of the last hour, and where they stand now. It reads the index entries of these runs.';
comment on column pawl_view_throughput.minute is 'its beginning; a minute without submissions has no row';
comment on column pawl_view_throughput.submitted is 'runs that were submitted in it';
comment on column pawl_view_throughput.pending is 'of these: no step was claimed yet';
comment on column pawl_view_throughput.running is 'of these: begun and not ended';
comment on column pawl_view_throughput.succeeded is 'of these: succeeded';
comment on column pawl_view_throughput.failed is 'of these: failed';
comment on column pawl_view_throughput.cancelled is 'of these: cancelled';

create view pawl_view_events as
select r.id as run_id, e.number, e.at, e.kind, e.step_no, e.step, e.fence, e.worker_id, e.note, r.namespace, r.pipeline
from run r
join pipeline_version v on v.digest = r.pipeline_digest
cross join lateral (select pawl_view_json_v1(v.spec) -> 'steps' as steps offset 0) as n
cross join lateral (
    select o.first + x.place::int - 1 as number, o.at, x.kind, x.step_no,
           coalesce(n.steps -> x.step_no ->> 'name', x.step_no::text) as step, x.fence, x.worker_id, x.note
    from event o
    cross join lateral unnest(o.kinds, o.steps, o.fences, o.workers, o.notes)
                       with ordinality as x (kind, step_no, fence, worker_id, note, place)
    where o.run_id = r.id offset 0) as e;
comment on view pawl_view_events is 'Histories of runs, an event a row. Ask by `run_id`, and order by `number`.';
comment on column pawl_view_events.run_id is 'the run';
comment on column pawl_view_events.number is 'its number in the run, from 1, without a gap';
comment on column pawl_view_events.at is 'when it was committed';
comment on column pawl_view_events.kind is 'what has happened: docs/http.md lists the kinds';
comment on column pawl_view_events.step_no is 'the number of the step that it is about, if it is about one';
comment on column pawl_view_events.step is 'the name of that step';
comment on column pawl_view_events.fence is 'the fence of that step then';
comment on column pawl_view_events.worker_id is 'the worker, if one did it';
comment on column pawl_view_events.note is 'what else there is to say';
comment on column pawl_view_events.namespace is 'whose the run is';
comment on column pawl_view_events.pipeline is 'the name of the run''s pipeline';
