-- The trace context that a run was submitted in; see migrations/0036_traces.sql.
alter table run add column trace text;
