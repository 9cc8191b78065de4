-- Journals, whose entries before a checkpoint no replay touches any more.

-- Drops rows between the guest's first `restore()` and the checkpoint, before position p_until: at most p_rows. What
-- stands before the prelude is replayed on every resume, and what a row holds beside such entries stays with it.
--
-- Only for the worker that has the step, under its fence: the step's row is locked, so that no takeover, cut or newer
-- checkpoint comes in between. Whoever sends a segment again, because its answer was lost, finds it: p_until is where a
-- checkpoint stands whose answer the worker has, and what it sent later stands behind that.
create function pawl_trim_v1(p_worker uuid, p_run uuid, p_step int, p_fence bigint, p_until int, p_rows int) returns int
language plpgsql
-- See 0010_plans.sql.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_prelude   int;
    v_position  int;
    v_dropped   int;
begin
    perform 1 from step s
    where s.run_id = p_run and s.step_no = p_step and s.status = 'running' and s.worker_id = p_worker and s.fence = p_fence
    for no key update;
    if not found then
        return 0;
    end if;
    select k.prelude, least(k.position, p_until) into v_prelude, v_position
    from checkpoint k where k.run_id = p_run and k.step_no = p_step;
    -- Without a prelude the guest never asks for its state, and replays everything.
    if v_prelude is null then
        return 0;
    end if;
    delete from journal j
    where j.run_id = p_run and j.step_no = p_step and j.first = any (array(
        select i.first from journal i
        where i.run_id = p_run and i.step_no = p_step and i.first >= v_prelude and i.first < v_position
          and i.first + i.length <= v_position
        order by i.first limit p_rows));
    get diagnostics v_dropped = row_count;
    return v_dropped;
end
$$;
