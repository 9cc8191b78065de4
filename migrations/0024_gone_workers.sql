-- Workers that are gone: people who look for one that died find when and how, for a day. The row of its lease goes, as
-- ever, as soon as no step is its.
create table gone_worker (
    id           uuid primary key,
    host         text not null,
    pid          int not null,
    slots        int not null,
    queues       text[] not null,
    started_at   timestamptz not null,
    gone_at      timestamptz not null,
    -- Otherwise its lease ended: it was killed, cut off, or stopped for too long.
    said_goodbye boolean not null
);

create index gone_worker_gone_at on gone_worker (gone_at);

create function pawl_keep_gone_worker_v1() returns trigger
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    insert into gone_worker
    values (old.id, old.host, old.pid, old.slots, old.queues, old.started_at, clock_timestamp(),
            old.expires_at > clock_timestamp())
    on conflict (id) do nothing;
    delete from gone_worker g where g.gone_at < clock_timestamp() - interval '1 day';
    return null;
end
$$;

create trigger worker_is_gone after delete on worker for each row execute function pawl_keep_gone_worker_v1();
