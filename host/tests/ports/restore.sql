-- Rows of a store that has been through everything: between them, each column that is carried holds something. No invariant
-- holds for them; they are there to be compared.
insert into component (digest, bytes, created_at) values (randomblob(32), x'00ff', 1700000000001);
insert into plugin (namespace, name, active_version, previous_version, earlier_versions)
values ('other', 'odd', '3', '2', '["1","2","a \"quoted\" one"]');
insert into plugin_version (namespace, name, version, digest, manifest, created_at, wanted_at, last_named_at)
select 'other', 'odd', value, (select min(digest) from component), x'7b7d', 1700000000002, 1700000000003004, 1700000000005
from json_each('["1","2","3"]');
update pipeline_version set retention = '{"succeeded":"keep"}' where digest = (select min(digest) from pipeline_version);

insert into run (id, namespace, pipeline_digest, status, input, idempotency_key, request_digest, steps, live, running, failing,
                 event_count, signal_count, created_at, started_at, ended_at, pipeline, kept, paused_at, pause_reason, trace)
select x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 'other', min(digest), 'failed', x'00', 'order-17', randomblob(32), 4, 0, 0, 1,
       600, 3, 1700000000010, 1700000000011, 1700000000012, 'odd', 1, 1700000000013, 'the bank is down', '00-a-b-01 c=d'
from pipeline_version;

insert into step (run_id, step_no, queue, priority, status, unmet, fence, worker_id, component, recorded_by, attempts, failures,
                  crashes, alone, crash_mark, journal_length, checkpoint_position, checkpoint_ordinal, ready_at, shelved_by,
                  due_at, deferred_by, awaits_position, awaits_until, awaits, claimed_at, started_at, ended_at, output, output_digest, error,
                  progress, progress_message)
select x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', value ->> 0, 'gpu', 'high', value ->> 1, 0, 4294967297, randomblob(16),
       randomblob(32), randomblob(32), 7, 2, 3, 1, -1, 9, 5, 4, value ->> 2, 12, value ->> 3, 13, value ->> 4, value ->> 5,
       value ->> 6, 1700000000020, 1700000000021, value ->> 7, iif(value ->> 1 = 'succeeded', x'22c3a922', null),
       iif(value ->> 1 = 'succeeded', randomblob(32), null), iif(value ->> 1 = 'parked', x'7b7d', null), 0.375, 'half – well'
from json_each('[[0, "ready", 253370764800000, null, null, null, null, null],
                 [1, "waiting", null, 1700000000030, 8, 1700000000031, "go", null],
                 [2, "parked", null, null, null, null, null, null],
                 [3, "succeeded", null, null, null, null, null, 1700000000032]]');

insert into journal (run_id, step_no, first, length, digest, bytes)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 1, 0, 9, randomblob(32), randomblob(700000));
insert into checkpoint (run_id, step_no, ordinal, position, random_position, effect_ordinal, prelude, digest, state, created_at)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 1, 4, 5, -9223372036854775808, 6, 2, randomblob(32), x'', 1700000000040);
insert into signal (run_id, id, name, key, payload, digest, created_at, step_no, position, rejection, sent_digest, changes)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 1, 'go', 'k', x'31', randomblob(32), 1700000000050, 1, 3, null, null, 0),
       (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 2, 'go', null, x'32', randomblob(32), 1700000000051, 1, -2, x'7b7d', randomblob(32), 1),
       (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 3, 'go', null, x'33', randomblob(32), 1700000000052, null, null, null, null, 0);
-- More of one time than a row of Postgres takes.
insert into event (run_id, number, at, kind, step_no, fence, worker_id, note)
with recursive n (i) as (select 1 union all select i + 1 from n where i < 1200)
select x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', i, 1700000000060 + i / 601, iif(i % 2, 'run.started', 'step.retrying'),
       iif(i % 2, null, 1), iif(i % 2, null, i), iif(i % 2, null, randomblob(16)), iif(i % 3, null, 'because, {of} "it"')
from n;
insert into recovery (run_id, step_no, fence, worker_id, lease_ended_at, taken_over_at, checkpoint_position, to_replay,
                      replacement_id, claimed_at, reloaded_at, replayed_at, ready_at, replayed, outcome)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 1, 5, randomblob(16), 1700000000070, 1700000000071, 5, 4, randomblob(16),
        1700000000072, 1700000000073, 1700000000074, 1700000000075, 3, 'recovered');
insert into step_log (run_id, first, step_no, fence, worker_id, attempt, place, length, level, last_ms, lines_until, bytes_until, bytes)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 4294967297, 1, 5, randomblob(16), 2, 8, 3, 4, 1700000000080, 11, 500, x'00ff');
insert into dead_letter (run_id, step_no, namespace, pipeline, pipeline_digest, state, at, cause, run_created_at)
select x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 2, 'other', 'odd', min(digest), 'parked', 1700000000090, 'no # came', 1700000000010
from pipeline_version;
insert into remains (run_id, at) values (randomblob(16), 1700000000100);
insert or replace into retention (is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms)
values (1, randomblob(16), 0, 1, 2, 3, 4, 5);
insert into circuit (id, namespace, origin, reason, failures, opened_at, opened_by, open_ms, retry_at, probe, probed_by,
                     probe_until, pulled_at, closed_at)
values (13, 'other', 'https://down.example:443', 'refused', 3, 1700000000120, randomblob(16), 5000, 1700000000121, 2,
        randomblob(16), 1700000000122, 1700000000123, 1700000000124);
insert into pause (id, kind, namespace, name, reason, paused_at, ended_at)
values (11, 'queue', '', 'gpu', 'new drivers', 1700000000110, 1700000000111);
insert into incident (id, kind, namespace, subject, detail, steps, began_at, seen_at, ended_at)
values (1000000, 'worker.died', 'other', '0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e', 'pid 7 on node-1', 3, 1790000000130, 1790000000131,
        1790000000132);
insert into namespace (name, created_at, created_by) values ('other', 1700000000140, 'ada');
insert into quota (namespace, runs, submissions, components, stored_bytes) values ('other', 1000, 50, 20, 10000000000);
insert into namespace_key (namespace, version, key_id, wrapped, sealed, created_at, created_by, retired_at, erased_at)
values ('other', 1, null, null, null, 1700000000150, 'ada', null, 1700000000151),
       ('other', 2, '0f3c2a9d51b7e864', x'00ff', x'ff00', 1700000000152, 'ada', 1700000000153, null);
insert into run_key (run_id, version, wrapped, erased_at)
values (x'0199b2c46e1f7c3a9d527f0a1b2c3d4e', 1, null, 1700000000154), (randomblob(16), 2, x'00ff', null);
