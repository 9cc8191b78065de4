-- Circuits, as migrations/0037_circuits.sql has them for Postgres.
create table circuit (
    id           integer primary key autoincrement,
    namespace    text not null,
    origin       text not null,
    reason       text not null,
    failures     integer not null,
    opened_at    integer not null,
    opened_by    blob,
    open_ms      integer not null,
    retry_at     integer not null,
    probe        integer not null default 0,
    probed_by    blob,
    probe_until  integer,
    pulled_at    integer,
    -- What is deferred by it is being released.
    closed_at    integer
) strict;
create unique index circuit_open on circuit (namespace, origin) where closed_at is null;

alter table step add column deferred_by integer;
create index step_deferred on step (deferred_by, due_at) where deferred_by is not null;
