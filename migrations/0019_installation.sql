-- Which installation this is. What a database shares with others, a server of Redis for instance, is marked with it: keys
-- and channels bear it in their names, so that two installations never read each other's messages.
--
-- A copy of a database bears the same id. If it is to run beside its original, give it one of its own before it does:
--   update installation set id = gen_random_uuid();
create table installation (
    -- There is one row.
    is_this  boolean primary key default true check (is_this),
    id       uuid not null default gen_random_uuid()
);
insert into installation default values;
