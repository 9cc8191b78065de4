-- Tokens: who may ask the API for what; and the record of who asked for which change.
--
-- Of a token's text nothing is kept but its digest (blake3), by which a request's token is found: one row of one index. Its text
-- has 160 bits of chance, so that a digest gives nothing away and needs no salt.
--
--   made ──▶ good ──▶ expired (expires_at has come)
--              └────▶ revoked (revoked_at), for good
--
-- A row stays after its end, so that whoever still sends the token is told what became of it. Its name is free again when it
-- is revoked.

set local statement_timeout = 0;
set local lock_timeout = 0;

create table token (
    digest      bytea primary key check (octet_length(digest) = 32),
    name        text not null,
    role        text not null check (role in ('read', 'submit', 'operate', 'deploy', 'admin')),
    -- Null: all namespaces.
    namespace   text,
    created_at  timestamptz not null default clock_timestamp(),
    -- The name of the token that made it; null: who has the database.
    created_by  text,
    -- Null: never.
    expires_at  timestamptz,
    revoked_at  timestamptz
);
create unique index token_name on token (name) where revoked_at is null;

-- Written before the change is made, and completed when it is answered: one without a status was begun, and its end is not known.
create table audit (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default clock_timestamp(),
    -- The name of the token; null: whoever could connect, where none was wanted.
    who      text,
    -- From which address.
    source   text not null,
    -- The route, by its name in the API's document.
    what     text not null,
    -- Its path and query; and what the body named, if that says more.
    target   text not null,
    subject  text,
    -- The run that it was about, if it was about one.
    run_id   uuid,
    -- Of the answer.
    status   int
);
create index audit_run on audit (run_id, id) where run_id is not null;
