-- Namespaces that somebody has made, as migrations/0043_namespaces.sql has them for Postgres.
create table namespace (
    name        text primary key check (name <> 'default'),
    created_at  integer not null,
    created_by  text
) strict;

create table quota (
    namespace    text primary key,
    runs         integer check (runs >= 0),
    submissions  integer check (submissions >= 0),
    components   integer check (components >= 0)
) strict;

-- Names of tokens are each namespace's own.
drop index token_name;
create unique index token_name on token (name, coalesce(namespace, '')) where revoked_at is null;
