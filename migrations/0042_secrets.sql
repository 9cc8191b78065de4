-- Secrets: sealed, so that who has the database, or a backup of it, has none of them.
--
--   value ──AES-256-GCM──▶ sealed      under a data key of its own
--   data key ──AES-256-GCM──▶ wrapped  under the master key `key_id`, which processes have from their settings
--
-- Bound into both is which secret it is, and which version of it, so that bytes which are put into another row do not open there.
-- A new master key wraps the data keys anew; `sealed` stays.
--
--   set ──▶ version 1 ──set──▶ version 2 ──remove──▶ nothing sealed ──set──▶ version 3
--
-- A removed one leaves its row, so that a version means one value for ever.

set local statement_timeout = 0;
set local lock_timeout = '10s';

create table secret (
    namespace   text not null,
    name        text not null,
    -- Raised by each change, of value, grants or wrapping: who writes says which one he has read.
    revision    bigint not null check (revision > 0),
    version     bigint not null check (version > 0),
    -- Null: it is removed.
    key_id      text,
    wrapped     bytea,
    sealed      bytea,
    -- To whom it is granted: a JSON list, which nothing here reads. Empty: to nobody.
    grants      text not null,
    set_at      timestamptz not null default clock_timestamp(),
    -- The name of the token by which; null: whoever could connect, where none was wanted.
    set_by      text,
    primary key (namespace, name),
    check ((key_id is null) = (sealed is null) and (wrapped is null) = (sealed is null))
);
