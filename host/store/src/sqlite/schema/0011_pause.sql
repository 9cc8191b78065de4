-- Pauses, as migrations/0035_pause.sql has them for Postgres. A step on the shelf is ready at a time that never comes
-- (SHELVED_MS of host/domain/src/ready.rs).
alter table run add column paused_at integer;
alter table run add column pause_reason text;
create index run_paused on run (namespace, created_at desc, id desc) where paused_at is not null and ended_at is null;

alter table step add column shelved_by integer;
create index step_shelved on step (shelved_by) where shelved_by is not null;

create table pause (
    id         integer primary key autoincrement,
    kind       text not null check (kind in ('pipeline', 'queue')),
    namespace  text not null,
    name       text not null,
    reason     text,
    paused_at  integer not null,
    -- What is shelved by it is being released.
    ended_at   integer
) strict;
