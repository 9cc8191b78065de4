-- Logs of steps: what guests say while they run, for people. Not the truth: a worker writes lines by themselves, beside its
-- batches, and a commit of a step never waits for them. What a killed worker had not written yet is lost.
--
--   A run has one log. Its lines are numbered in the order of commits: whoever adds to it holds a lock of the run's log, so
--   that no smaller number comes to be seen after a larger one, and a reader goes on after the last number that it has. No
--   row of a run or a step is locked.
--   A row is what one attempt said between two commits, packed; never parsed here. Fence and worker are those of the claim
--   that it was said under: lines of a claim that is over by now are kept, and can't be taken for those of its replacement.
--   Of a step, the newest lines are kept. How many there have been stands in its newest row.
--   All rows of a run are found by its id, and go with it.
set local statement_timeout = 0;
set local lock_timeout = 0;

create table step_log (
    run_id       uuid not null,
    -- The number of its first line, from 1.
    first        bigint not null check (first > 0),
    step_no      int not null,
    fence        bigint not null,
    worker_id    uuid not null,
    attempt      int not null,
    -- Lines that the attempt had said before these.
    place        int not null,
    length       int not null check (length > 0),
    -- That of the line that matters most: 0 trace, 1 debug, 2 info, 3 warn, 4 error.
    level        smallint not null check (level between 0 and 4),
    -- When the last of them was said, ms since 1970 by the clock of this database as the worker reads it.
    last_ms      bigint not null,
    -- All lines of the step up to these and with them, those that are gone, too; and their bytes.
    lines_until  bigint not null,
    bytes_until  bigint not null,
    bytes        bytea not null,
    primary key (run_id, first)
);
create index step_log_step on step_log (run_id, step_no, first);

-- The lock of a run's log.
create function pawl_log_key_v1(p_run uuid) returns bigint
language sql immutable
return hashtextextended(p_run::text, 4712);

-- Adds segments, in their order; at most one of an attempt. One that was added before (its answer was lost) is found among the
-- step's newest rows, `p_late`. Then the oldest rows of these steps go that more than enough lines follow, some at a time.
create function pawl_log_v1(
    p_runs uuid[], p_steps int[], p_fences bigint[], p_workers uuid[], p_attempts int[], p_places int[], p_lengths int[],
    p_levels smallint[], p_last_ms bigint[], p_bytes bytea[], p_most_lines bigint, p_most_bytes bigint, p_late bigint,
    p_old bigint
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock(k.key)
    from (select distinct pawl_log_key_v1(r.run_id) as key from unnest(p_runs) as r (run_id) order by key) as k;

    insert into step_log (run_id, first, step_no, fence, worker_id, attempt, place, length, level, last_ms, lines_until,
                          bytes_until, bytes)
    select n.run_id, h.last + 1 + sum(n.length) over of_run - n.length, n.step_no, n.fence, n.worker_id, n.attempt, n.place,
           n.length, n.level, n.last_ms, coalesce(t.lines_until, 0) + sum(n.length) over of_step,
           coalesce(t.bytes_until, 0) + sum(octet_length(n.bytes)) over of_step, n.bytes
    from unnest(p_runs, p_steps, p_fences, p_workers, p_attempts, p_places, p_lengths, p_levels, p_last_ms, p_bytes)
         with ordinality as n (run_id, step_no, fence, worker_id, attempt, place, length, level, last_ms, bytes, ordinal)
    cross join lateral (select s.fence as newest from step s where s.run_id = n.run_id and s.step_no = n.step_no offset 0) as s
    cross join lateral (
        select coalesce((select l.first + l.length - 1 from step_log l where l.run_id = n.run_id
                         order by l.first desc limit 1), 0) as last offset 0) as h
    left join lateral (
        select l.lines_until, l.bytes_until from step_log l where l.run_id = n.run_id and l.step_no = n.step_no
        order by l.first desc limit 1) as t on true
    where n.fence <= s.newest
      and not exists (
          select from (select l.fence, l.place from step_log l where l.run_id = n.run_id and l.step_no = n.step_no
                       order by l.first desc limit p_late) as late
          where late.fence = n.fence and late.place >= n.place)
    window of_run as (partition by n.run_id order by n.ordinal),
           of_step as (partition by n.run_id, n.step_no order by n.ordinal);

    with over_full as (
        select d.run_id, d.step_no, t.lines_until - p_most_lines as lines_over, t.bytes_until - p_most_bytes as bytes_over
        from (select distinct u.run_id, u.step_no from unnest(p_runs, p_steps) as u (run_id, step_no)) as d
        cross join lateral (
            select l.lines_until, l.bytes_until from step_log l where l.run_id = d.run_id and l.step_no = d.step_no
            order by l.first desc limit 1) as t
        where t.lines_until > p_most_lines or t.bytes_until > p_most_bytes
    ), gone as (
        select f.run_id, o.first
        from over_full f
        cross join lateral (
            select l.first, l.lines_until, l.bytes_until from step_log l where l.run_id = f.run_id and l.step_no = f.step_no
            order by l.first limit p_old) as o
        where o.lines_until <= f.lines_over or o.bytes_until <= f.bytes_over
    )
    delete from step_log l using gone g where l.run_id = g.run_id and l.first = g.first;
end
$$;
