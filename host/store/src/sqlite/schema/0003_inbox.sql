-- Signals that are set aside, as migrations/0017_inbox.sql has it for Postgres.
alter table signal add column rejection blob;
alter table signal add column sent_digest blob;
alter table signal add column changes integer not null default 0;
create index signal_rejected on signal (run_id, id) where rejection is not null;
