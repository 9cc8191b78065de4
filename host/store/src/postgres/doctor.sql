-- The invariants that the database alone can show; each must return nothing. Numbers are those of
-- docs/protocol.md. Of some runs, $2, as no rule spans two: the whole database is checked in pieces, none of which takes
-- long. $1: how long a lease may have ended before somebody must have noticed, in ms.
with
-- 1 A running step has a worker whose lease has not ended for long.
unowned as (
    select 1 as invariant, format('step %s/%s runs, but its worker %s is %s', s.run_id, s.step_no, s.worker_id,
                                  case when w.id is null then 'gone' else 'long expired' end) as what
    from step s left join worker w on w.id = s.worker_id
    where s.run_id = any ($2) and s.status = 'running' and (w.id is null or w.expires_at < clock_timestamp() - $1 * interval '1 millisecond')
),
-- 2 A run that has not ended can move, or waits for something with a name.
immobile as (
    select 2, format('run %s is %s, but no step is ready, running, parked or waits for a time or a signal', r.id, r.status)
    from run r
    where r.id = any ($2) and r.ended_at is null
      and not exists (select from step s where s.run_id = r.id and (s.status in ('ready', 'running', 'parked')
                             or s.status = 'waiting' and (s.due_at is not null or s.awaits is not null)))
),
-- 4 Counters of unmet needs, and of steps that have not ended.
miscounted as (
    select 4, format('step %s/%s counts %s unmet needs, there are %s', s.run_id, s.step_no, s.unmet, n.unmet)
    from step s
    join run r on r.id = s.run_id
    join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = s.step_no
    cross join lateral (
        select count(*)::int as unmet from step need
        where need.run_id = s.run_id and need.step_no = any (p.needs) and need.status not in ('succeeded', 'skipped')) as n
    where r.id = any ($2) and s.status <> 'cancelled' and s.unmet <> n.unmet
    union all
    select 4, format('run %s counts %s live and %s running steps, there are %s and %s',
                     r.id, r.live, r.running, n.live, n.running)
    from run r
    cross join lateral (
        select count(*)::int as live, count(*) filter (where s.status = 'running')::int as running
        from step s where s.run_id = r.id and s.ended_at is null) as n
    where r.id = any ($2) and (r.live <> n.live or r.running <> n.running)
    union all
    select 4, format('run %s has %s steps, its pipeline has %s', r.id, n.steps, r.steps)
    from run r
    cross join lateral (select count(*)::int as steps from step s where s.run_id = r.id) as n
    where r.id = any ($2) and n.steps <> r.steps
),
-- 5 Events are numbered without gap or repeat; one success per step; fences never fall.
history as (
    select e.run_id, e.first + x.place - 1 as number, x.kind, x.step_no, x.fence
    from event e
    cross join lateral unnest(e.kinds, e.steps, e.fences) with ordinality as x (kind, step_no, fence, place)
    where e.run_id = any ($2)
),
misnumbered as (
    select 5, format('run %s has %s events up to number %s, and counts %s', r.id, h.events, h.last, r.event_count)
    from run r
    left join (select run_id, count(*) as events, max(number) as last, count(distinct number) as numbers
               from history group by run_id) as h on h.run_id = r.id
    where r.id = any ($2) and (h.events is distinct from r.event_count or h.last is distinct from r.event_count
                               or h.numbers is distinct from r.event_count)
    union all
    -- Once, and once more each time that a person has it done again.
    select 5, format('step %s/%s succeeded %s times', run_id, step_no, count(*) filter (where kind = 'step.succeeded'))
    from history where kind in ('step.succeeded', 'step.reopened') group by run_id, step_no
    having count(*) filter (where kind = 'step.succeeded') > 1 + count(*) filter (where kind = 'step.reopened')
    union all
    select 5, format('the fence of step %s/%s falls at event %s', run_id, step_no, number)
    from (select *, lag(fence) over (partition by run_id, step_no order by number) as before
          from history where step_no is not null) as h
    where fence < before
    union all
    select 5, format('run %s ends with the event %s', r.id, h.kind)
    from run r join history h on h.run_id = r.id and h.number = r.event_count
    where r.id = any ($2) and r.ended_at is not null and h.kind <> 'run.' || r.status
),
-- 6 Journals have no overlap, and no hole but where no replay goes: between a step's first `restore()` and its
-- checkpoint. A checkpoint stands within its journal.
torn as (
    select 6, format('the journal of step %s/%s has %s entries in rows up to %s, the step counts %s',
                     s.run_id, s.step_no, j.entries, j.stop, s.journal_length)
    from step s
    left join (select run_id, step_no, sum(length) as entries, max(first + length) as stop
               from journal where run_id = any ($2) group by run_id, step_no) as j
           on j.run_id = s.run_id and j.step_no = s.step_no
     left join checkpoint k on k.run_id = s.run_id and k.step_no = s.step_no
     where s.run_id = any ($2) and coalesce(j.stop, 0) <> s.journal_length
       and (k.position = s.journal_length and k.prelude <= coalesce(j.stop, 0) and coalesce(j.stop, 0) < k.position) is not true
    union all
    select 6, format('the journal of step %s/%s overlaps, or has a hole, at %s', j.run_id, j.step_no, j.first)
    from (select run_id, step_no, first,
                 lag(first + length, 1, 0) over (partition by run_id, step_no order by first) as expected
          from journal where run_id = any ($2)) as j
     left join checkpoint k on k.run_id = j.run_id and k.step_no = j.step_no
     where j.first <> j.expected
       and (j.first > j.expected and k.prelude <= j.expected and j.first <= k.position) is not true
    union all
    select 6, format('the checkpoint of step %s/%s stands at %s (ordinal %s), the step says %s (%s), its journal ends at %s',
                     s.run_id, s.step_no, k.position, k.ordinal, s.checkpoint_position, s.checkpoint_ordinal, s.journal_length)
    from step s left join checkpoint k on k.run_id = s.run_id and k.step_no = s.step_no
    where s.run_id = any ($2)
      and (k.position is distinct from s.checkpoint_position or coalesce(k.ordinal, 0) <> s.checkpoint_ordinal
           or k.position > s.journal_length)
),
-- 7 Nothing is open in a run that has ended.
open as (
    select 7, format('run %s is %s, its step %s is %s', r.id, r.status, s.step_no, s.status)
    from run r join step s on s.run_id = r.id
    where r.id = any ($2) and r.ended_at is not null and s.ended_at is null
),
-- 9 No signal lies where a step waits for it; each was taken once, by an entry that is there; none is missing.
missed as (
    select 9, format('signal %s of run %s (%s) is in the inbox, and step %s waits for it', g.id, g.run_id, g.name, s.step_no)
    from signal g join step s on s.run_id = g.run_id and s.status = 'waiting' and s.awaits = g.name
    where g.run_id = any ($2) and g.step_no is null
    union all
    select 9, format('signal %s of run %s was taken at position %s of step %s, which has %s entries',
                     g.id, g.run_id, g.position, g.step_no, coalesce(s.journal_length, 0))
    from signal g left join step s on s.run_id = g.run_id and s.step_no = g.step_no
    where g.run_id = any ($2) and g.position >= 0 and g.position < coalesce(s.journal_length, 0) is not true
    union all
    select 9, format('step %s/%s waits at position %s, its journal has %s entries', run_id, step_no, awaits_position, journal_length)
    from step where run_id = any ($2) and awaits_position is not null and awaits_position <> journal_length - 1
    union all
    select 9, format('run %s has %s signals up to number %s, and counts %s', r.id, n.signals, n.last, r.signal_count)
    from run r
    cross join lateral (select count(*) + coalesce(sum(g.changes), 0) as signals, coalesce(max(g.id), 0) as last
                        from signal g where g.run_id = r.id) as n
    -- A person's change counts as one, too.
    where r.id = any ($2) and (n.signals <> r.signal_count or n.last > r.signal_count)
),
-- 11 What a run or a step has belongs to its state.
odd as (
    select 11, format('run %s is %s, with %s live and %s running steps, failing: %s, started: %s, ended: %s',
                      id, status, live, running, failing, started_at, ended_at)
    from run
    where id = any ($2)
      and not pawl_is_run_state(status, failing, live, running, started_at is not null, ended_at is not null)
    union all
    select 11, format('step %s/%s is %s, and has what does not belong to that', run_id, step_no, status)
    from step
    where run_id = any ($2)
      and not (pawl_is_step_state(status, unmet, ready_at is not null, due_at is not null, awaits_position is not null,
                                  awaits is not null, ended_at is not null, worker_id is not null,
                                  component is not null, output is not null, error is not null)
               and (output is null) = (output_digest is null) and coalesce(checkpoint_position, 0) <= journal_length)
    union all
    select 11, format('there is a dead letter of step %s/%s, which has neither failed nor is parked', d.run_id, d.step_no)
    from dead_letter d left join step s on s.run_id = d.run_id and s.step_no = d.step_no
    where d.run_id = any ($2) and s.status is distinct from d.state
),
-- 13 Lines of a log are numbered without overlap, each was said under a claim of its step, and none is kept twice.
misfiled as (
    select 13, format('the log of run %s overlaps at line %s', l.run_id, l.first)
    from (select run_id, first, lag(first + length, 1, 1::bigint) over (partition by run_id order by first) as expected
          from step_log where run_id = any ($2)) as l
    where l.first < l.expected
    union all
    select 13, format('lines from place %s on of step %s/%s, fence %s, are in its log twice', l.place, l.run_id, l.step_no, l.fence)
    from (select run_id, step_no, fence, place,
                 lag(place + length) over (partition by run_id, step_no, fence order by place, first) as expected
          from step_log where run_id = any ($2)) as l
    where l.place < l.expected
    union all
    select 13, format('line %s of run %s is one of step %s under fence %s, which it has not had', l.first, l.run_id, l.step_no, l.fence)
    from step_log l left join step s on s.run_id = l.run_id and s.step_no = l.step_no
    where l.run_id = any ($2) and (l.fence <= s.fence) is not true
    union all
    select 13, format('line %s of step %s/%s counts %s lines up to it, after %s', l.first, l.run_id, l.step_no, l.lines_until, l.before)
    from (select run_id, step_no, first, length, lines_until,
                 lag(lines_until) over (partition by run_id, step_no order by first) as before
          from step_log where run_id = any ($2)) as l
    where l.lines_until <> l.before + l.length
),
-- 14 What is on the shelf is there by a pause, which will take it off.
forgotten as (
    select 14, format('step %s/%s is on the shelf, and nothing is paused that put it there', s.run_id, s.step_no)
    from step s join run r on r.id = s.run_id
    where s.run_id = any ($2) and s.status = 'ready' and s.ready_at >= pawl_shelved_v1()
      and case when s.shelved_by is null then r.paused_at is null
               else not exists (select from pause p where p.id = s.shelved_by) end
)
select * from unowned union all select * from immobile union all select * from miscounted
union all select * from misnumbered union all select * from torn union all select * from open
union all select * from missed union all select * from odd union all select * from misfiled union all select * from forgotten
