-- What lists and sweeps look for stands in indexes of its own, as migrations/0011_listed.sql has it for Postgres.
drop index run_running;
drop index step_ready;

alter table run add column pipeline text not null default '';
update run set pipeline = (select v.name from pipeline_version v where v.digest = run.pipeline_digest);
create index run_by_status on run (namespace, status, created_at desc, id desc);
create index run_by_pipeline on run (namespace, pipeline, status, created_at desc, id desc);

create index step_ready on step (queue, priority, ready_at) where ready_at is not null;
create index step_held on step (worker_id) where status = 'running';
create index step_charged on step (worker_id) where ready_at is not null and crashes > 0;

create index plugin_version_wanted on plugin_version (wanted_at);
