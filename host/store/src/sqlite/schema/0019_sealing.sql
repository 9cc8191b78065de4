-- Keys of payloads, as migrations/0044_sealing.sql has them for Postgres.
create table namespace_key (
    namespace   text not null,
    version     integer not null check (version > 0),
    key_id      text,
    wrapped     blob,
    sealed      blob,
    created_at  integer not null,
    created_by  text,
    retired_at  integer,
    erased_at   integer,
    primary key (namespace, version),
    check ((key_id is null) = (erased_at is not null) and (wrapped is null) = (key_id is null)
           and (sealed is null) = (key_id is null))
) strict;

create table run_key (
    run_id     blob primary key,
    version    integer not null,
    wrapped    blob,
    erased_at  integer,
    check ((wrapped is null) = (erased_at is not null))
) strict;
