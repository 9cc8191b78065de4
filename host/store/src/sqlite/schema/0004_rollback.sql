-- A rollback goes back in a plugin's history, as migrations/0021_rollback.sql has it for Postgres: a JSON array.
alter table plugin add column earlier_versions text not null default '[]';
