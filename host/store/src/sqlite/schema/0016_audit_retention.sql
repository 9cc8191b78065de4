-- The record of changes goes after a term, as migrations/0041_audit_retention.sql has it for Postgres.
alter table retention add column audit_ms integer;
