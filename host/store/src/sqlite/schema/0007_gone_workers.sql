-- Workers that are gone: people who look for one that died find when and how, for a day.
create table gone_worker (
    id           blob primary key,
    host         text not null,
    pid          integer not null,
    slots        integer not null,
    queues       text not null,
    started_at   integer not null,
    gone_at      integer not null,
    said_goodbye integer not null
);

create index gone_worker_gone_at on gone_worker (gone_at);

create trigger worker_is_gone after delete on worker begin
    insert or ignore into gone_worker
    values (old.id, old.host, old.pid, old.slots, old.queues, old.started_at, cast(unixepoch('subsec') * 1000 as integer),
            old.expires_at > cast(unixepoch('subsec') * 1000 as integer));
    delete from gone_worker where gone_at < cast(unixepoch('subsec') * 1000 as integer) - 86400000;
end;
