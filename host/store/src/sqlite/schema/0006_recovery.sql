-- A record of each takeover, as migrations/0023_recovery.sql has it for Postgres. Times are ms since 1970.
create table recovery (
    run_id               blob not null,
    step_no              integer not null,
    fence                integer not null,
    worker_id            blob not null,
    lease_ended_at       integer,
    taken_over_at        integer not null,
    checkpoint_position  integer,
    to_replay            integer not null,
    replacement_id       blob,
    claimed_at           integer,
    reloaded_at          integer,
    replayed_at          integer,
    ready_at             integer,
    replayed             integer,
    outcome              text,
    primary key (run_id, step_no, fence),
    check ((replacement_id is null) = (claimed_at is null)),
    check (outcome in ('recovered', 'failed', 'stopped', 'lost') and (outcome <> 'recovered' or ready_at is not null))
) strict, without rowid;
create index recovery_newest on recovery (taken_over_at desc, run_id desc, step_no desc, fence desc);
