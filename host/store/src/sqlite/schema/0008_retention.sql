-- Retention, as migrations/0026_retention.sql has it for Postgres. Times are ms since 1970.
alter table run add column kept integer not null default 0;

-- Runs whose row is gone, and of which something is left.
create table remains (
    run_id  blob primary key,
    at      integer not null
) strict, without rowid;

-- Who deletes, until when, and by which settings; ms, null: for ever.
create table retention (
    is_this       integer primary key check (is_this = 1),
    holder_id     blob not null,
    until         integer not null,
    succeeded_ms  integer,
    failed_ms     integer,
    cancelled_ms  integer,
    grace_ms      integer not null
) strict;

alter table pipeline_version add column retention text;
alter table pipeline_version add column last_named_at integer not null default 0;
update pipeline_version set last_named_at = cast(unixepoch('subsec') * 1000 as integer);
alter table plugin_version add column last_named_at integer not null default 0;
update plugin_version set last_named_at = cast(unixepoch('subsec') * 1000 as integer);

create index pipeline_version_last_named on pipeline_version (last_named_at, digest);
create index plugin_version_last_named on plugin_version (last_named_at, namespace, name, version);
create index plugin_version_digest on plugin_version (digest);
create index pipeline_digest on pipeline (digest);

-- Whatever stops naming a version has named it until now.
create trigger pipeline_leaves after update on pipeline begin
    update pipeline_version set last_named_at = cast(unixepoch('subsec') * 1000 as integer) where digest = old.digest;
end;
create trigger plugin_leaves after update on plugin begin
    update plugin_version set last_named_at = cast(unixepoch('subsec') * 1000 as integer)
    where namespace = old.namespace and name = old.name
      and (version in (old.active_version, old.previous_version)
           or version in (select value from json_each(old.earlier_versions)));
end;
