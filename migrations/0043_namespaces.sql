-- Namespaces that somebody has made. `default` is there without a row.
--
-- What has a name has its namespace beside it, and none of those columns refers to this table: a name is asked for by whoever may
-- ask in its namespace, and that is settled before.

set local statement_timeout = 0;
set local lock_timeout = '10s';

create table namespace (
    name        text primary key check (name <> 'default'),
    created_at  timestamptz not null default clock_timestamp(),
    -- The name of the token by which; null: whoever could connect, where none was wanted.
    created_by  text
);

-- What a namespace may take of what all share; null: as much as there is. Also `default`.
create table quota (
    namespace    text primary key,
    -- Runs that have not ended.
    runs         int check (runs >= 0),
    -- Submissions in a second, to each process that takes some.
    submissions  int check (submissions >= 0),
    -- Components of its plugins' versions.
    components   int check (components >= 0)
);

-- Names of tokens are each namespace's own.
drop index token_name;
create unique index token_name on token (name, coalesce(namespace, '')) where revoked_at is null;

comment on column pawl_view_runs.namespace is 'whose it is';
