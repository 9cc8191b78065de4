-- What namespaces hold, where a quota of it is set, and whose namespace a line of the record is about, as
-- migrations/0045_stored_bytes.sql has them for Postgres. What one file holds is counted as a whole.
alter table quota add column stored_bytes integer check (stored_bytes >= 0);

create table stored (
    namespace  text primary key,
    bytes      integer not null
) strict;

alter table audit add column namespace text;
create index audit_namespace on audit (namespace, id) where namespace is not null;
