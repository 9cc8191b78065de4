-- The trace context that a run was submitted in, if its client sent one: `traceparent`, and after a blank `tracestate`. Whoever
-- sends the spans of its attempts asks for it then, so that no claim carries it.

-- Null for all runs that are there: no row is written.
alter table run add column trace text;

-- A run and its context.
create type pawl_traced_v1 as (
    -- That of its submission.
    place   int,
    run_id  uuid,
    trace   text
);

-- pawl_submit_v2, with the contexts that came with some of them. Submissions without any are sent to that function as ever,
-- and pay nothing.
create function pawl_submit_traced_v1(p_submissions pawl_submission_v1[], p_traced pawl_traced_v1[]) returns pawl_submitted_v1
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_submitted  pawl_submitted_v1 := pawl_submit_v2(p_submissions);
begin
    -- Of runs that this call has made: they are nobody else's yet. One that was there keeps what its first submission brought.
    update run r set trace = t.trace
    from unnest(p_traced) as t
    where r.id = t.run_id and not exists (select from unnest(v_submitted.unmade) as u where u.place = t.place);
    return v_submitted;
end
$$;
