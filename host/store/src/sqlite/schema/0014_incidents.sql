-- Incidents, as migrations/0039_incidents.sql has them for Postgres.
create table incident (
    id         integer primary key autoincrement,
    kind       text not null,
    namespace  text not null default '',
    subject    text not null,
    detail     text not null default '',
    steps      integer,
    began_at   integer not null,
    seen_at    integer not null,
    ended_at   integer
) strict;
create index incident_newest on incident (began_at, id);
create unique index incident_lasts on incident (kind, namespace, subject) where ended_at is null;
create unique index incident_worker on incident (subject) where kind = 'worker.died';

create trigger incidents_are_bounded after insert on incident begin
    delete from incident where id <= (select id from incident order by id desc limit 1 offset 1000);
end;

create trigger circuit_has_opened after insert on circuit when new.closed_at is null begin
    update incident set ended_at = null, seen_at = new.opened_at
    where id = (select id from incident
                where kind = 'circuit.opened' and namespace = new.namespace and subject = new.origin
                  and ended_at >= new.opened_at - 10000
                order by ended_at desc limit 1)
      and not exists (select 1 from incident where kind = 'circuit.opened' and namespace = new.namespace
                                               and subject = new.origin and ended_at is null);
    insert into incident (kind, namespace, subject, detail, began_at, seen_at)
    select 'circuit.opened', new.namespace, new.origin, new.reason, new.opened_at, new.opened_at
    where not exists (select 1 from incident where kind = 'circuit.opened' and namespace = new.namespace
                                               and subject = new.origin and ended_at is null);
end;

create trigger circuit_has_closed after update of closed_at on circuit
when old.closed_at is null and new.closed_at is not null begin
    update incident set seen_at = max(seen_at, new.closed_at), ended_at = max(seen_at, new.closed_at)
    where kind = 'circuit.opened' and namespace = new.namespace and subject = new.origin and ended_at is null;
end;

insert into incident (kind, namespace, subject, detail, began_at, seen_at)
select 'circuit.opened', namespace, origin, reason, opened_at, opened_at from circuit where closed_at is null;
