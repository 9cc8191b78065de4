-- Secrets, sealed, as migrations/0042_secrets.sql has them for Postgres.
create table secret (
    namespace  text not null,
    name       text not null,
    revision   integer not null check (revision > 0),
    version    integer not null check (version > 0),
    key_id     text,
    wrapped    blob,
    sealed     blob,
    grants     text not null,
    set_at     integer not null,
    set_by     text,
    primary key (namespace, name),
    check ((key_id is null) = (sealed is null) and (wrapped is null) = (sealed is null))
) strict;
