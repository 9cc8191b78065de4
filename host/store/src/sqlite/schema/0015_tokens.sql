-- Tokens and the record of changes, as migrations/0040_tokens.sql has them for Postgres.
create table token (
    digest      blob primary key check (length(digest) = 32),
    name        text not null,
    role        text not null check (role in ('read', 'submit', 'operate', 'deploy', 'admin')),
    namespace   text,
    created_at  integer not null,
    created_by  text,
    expires_at  integer,
    revoked_at  integer
) strict;
create unique index token_name on token (name) where revoked_at is null;

create table audit (
    id       integer primary key autoincrement,
    at       integer not null,
    who      text,
    source   text not null,
    what     text not null,
    target   text not null,
    subject  text,
    run_id   blob,
    status   integer
) strict;
create index audit_run on audit (run_id, id) where run_id is not null;
