-- The record of changes goes after a term of its own, which stands beside those of runs.

set local statement_timeout = 0;
set local lock_timeout = '10s';

-- Null: it is kept for ever; so it is while a build has the turn that does not know of it.
alter table retention add column audit_ms bigint;

create function pawl_retention_turn_v2(
    p_holder uuid, p_for_ms bigint, p_succeeded_ms bigint, p_failed_ms bigint, p_cancelled_ms bigint, p_grace_ms bigint,
    p_audit_ms bigint
) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
    update retention t set
        holder_id = p_holder, until = clock_timestamp() + p_for_ms * interval '1 millisecond', succeeded_ms = p_succeeded_ms,
        failed_ms = p_failed_ms, cancelled_ms = p_cancelled_ms, grace_ms = p_grace_ms, audit_ms = p_audit_ms
    where t.is_this and (t.holder_id = p_holder or t.until < clock_timestamp());
    if not found then
        insert into retention (is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms) values (
            true, p_holder, clock_timestamp() + p_for_ms * interval '1 millisecond', p_succeeded_ms, p_failed_ms,
            p_cancelled_ms, p_grace_ms, p_audit_ms)
        on conflict (is_this) do nothing;
    end if;
    return found;
end
$$;

create or replace function pawl_retention_turn_v1(
    p_holder uuid, p_for_ms bigint, p_succeeded_ms bigint, p_failed_ms bigint, p_cancelled_ms bigint, p_grace_ms bigint
) returns boolean
language sql
as $$
    select pawl_retention_turn_v2(p_holder, p_for_ms, p_succeeded_ms, p_failed_ms, p_cancelled_ms, p_grace_ms, null)
$$;

-- Deletes lines that are older than that, of the first so many; returns how many went. Lines are written in the order of their
-- numbers, but for those that were written at the same time: whoever deletes meets these the next time.
create function pawl_delete_audit_v1(p_term_ms bigint, p_lines int) returns int
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_gone int;
begin
    delete from audit a
    where a.id in (select o.id from audit o order by o.id limit p_lines)
      and a.at < clock_timestamp() - p_term_ms * interval '1 millisecond';
    get diagnostics v_gone = row_count;
    return v_gone;
end
$$;
