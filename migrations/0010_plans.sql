-- How statements of these functions are planned: once for a connection, and from row to row by indexes. In which order
-- two tables are joined is left to the planner: where that matters, the statement finds its rows by their keys itself.
-- The parts of a function (`pawl_x_v1_…`, which pawl_x_v1 alone calls) run under its settings: set for each of them,
-- these would cost more than the call.
--
-- Each touches a few rows, by their keys, in tables that grow to any size. Left alone, Postgres plans a statement anew
-- for every batch of another length, which takes as long as executing it; or keeps a plan from when a table was small
-- or nobody had counted it, and reads the whole table ever after. Seen on a new database under load: the successors
-- of one step took 55 ms by such a plan, and 0.04 ms by the index.

do $$
declare
    f  regprocedure;
begin
    for f in
        select p.oid from pg_proc p
        join pg_language l on l.oid = p.prolang
        where p.pronamespace = current_schema()::regnamespace and p.proname like 'pawl\_%\_v1'
          and l.lanname = 'plpgsql'
    loop
        execute format('alter function %s set plan_cache_mode = force_generic_plan set enable_seqscan = off
                        set enable_hashjoin = off set enable_mergejoin = off', f);
    end loop;
end
$$;
