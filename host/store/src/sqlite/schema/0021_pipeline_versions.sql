-- A pipeline remembers which versions it had, as migrations/0046_pipeline_versions.sql has it for Postgres: a JSON array.
alter table pipeline add column earlier_versions text not null default '[]';
