-- Logs of steps, as migrations/0027_logs.sql has them for Postgres.
create table step_log (
    run_id       blob not null,
    first        integer not null check (first > 0),
    step_no      integer not null,
    fence        integer not null,
    worker_id    blob not null,
    attempt      integer not null,
    place        integer not null,
    length       integer not null check (length > 0),
    level        integer not null check (level between 0 and 4),
    last_ms      integer not null,
    lines_until  integer not null,
    bytes_until  integer not null,
    bytes        blob not null,
    primary key (run_id, first)
) strict;
create index step_log_step on step_log (run_id, step_no, first);
