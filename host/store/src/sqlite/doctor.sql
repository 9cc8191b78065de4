-- The invariants that tables alone can show, as postgres/doctor.sql has them for Postgres; each must return
-- nothing. ?1: how long a lease may have ended before somebody must have noticed, in ms; ?2: the time; ?3: whether
-- things are quiet.
with
-- 1 A running step has a worker whose lease has not ended for long.
unowned as (
    select 1 as invariant, s.run_id, format('step %d runs, but its worker is %s', s.step_no,
                                            iif(w.id is null, 'gone', 'long expired')) as what
    from step s left join worker w on w.id = s.worker_id
    where s.status = 'running' and (w.id is null or w.expires_at < ?2 - ?1)
),
-- 2 A run that has not ended can move, or waits for something with a name.
immobile as (
    select 2, r.id, format('is %s, but no step is ready, running, parked or waits for a time or a signal', r.status)
    from run r
    where r.ended_at is null
      and not exists (select 1 from step s where s.run_id = r.id and (s.status in ('ready', 'running', 'parked')
                             or s.status = 'waiting' and (s.due_at is not null or s.awaits is not null)))
),
-- 4 Counters of steps that have not ended. (Unmet needs are counted by doctor.rs.)
miscounted as (
    select 4, r.id, format('counts %d live and %d running steps of %d, there are %d and %d of %d',
                           r.live, r.running, r.steps, n.live, n.running, n.steps)
    from run r
    join (select run_id, count(*) filter (where ended_at is null) as live,
                 count(*) filter (where status = 'running') as running, count(*) as steps
          from step group by run_id) as n on n.run_id = r.id
    where r.live <> n.live or r.running <> n.running or r.steps <> n.steps
),
-- 5 Events are numbered without gap or repeat; one success per step; fences never fall.
misnumbered as (
    select 5, r.id, format('has %d events up to number %d, and counts %d', h.events, h.last, r.event_count)
    from run r
    join (select run_id, count(*) as events, max(number) as last from event group by run_id) as h on h.run_id = r.id
    where h.events <> r.event_count or h.last <> r.event_count
    union all
    -- Once, and once more each time that a person has it done again.
    select 5, run_id, format('step %d succeeded %d times', step_no, count(*) filter (where kind = 'step.succeeded'))
    from event where kind in ('step.succeeded', 'step.reopened') group by run_id, step_no
    having count(*) filter (where kind = 'step.succeeded') > 1 + count(*) filter (where kind = 'step.reopened')
    union all
    select 5, run_id, format('the fence of step %d falls at event %d', step_no, number)
    from (select *, lag(fence) over (partition by run_id, step_no order by number) as before
          from event where step_no is not null)
    where fence < before
    union all
    select 5, r.id, format('ends with the event %s', e.kind)
    from run r join event e on e.run_id = r.id and e.number = r.event_count
    where r.ended_at is not null and e.kind <> 'run.' || r.status
),
-- 6 Journals have no overlap, and no hole but where no replay goes: between a step's first `restore()` and its
-- checkpoint. A checkpoint stands within its journal.
torn as (
    select 6, s.run_id, format('the journal of step %d has %d entries in rows up to %d, the step counts %d',
                               s.step_no, j.entries, j.stop, s.journal_length)
    from step s
    left join (select run_id, step_no, sum(length) as entries, max(first + length) as stop
               from journal group by run_id, step_no) as j on j.run_id = s.run_id and j.step_no = s.step_no
    left join checkpoint k on k.run_id = s.run_id and k.step_no = s.step_no
    where coalesce(j.stop, 0) <> s.journal_length
      and (k.position = s.journal_length and k.prelude <= coalesce(j.stop, 0) and coalesce(j.stop, 0) < k.position)
          is not true
    union all
    select 6, j.run_id, format('the journal of step %d overlaps, or has a hole, at %d', j.step_no, j.first)
    from (select run_id, step_no, first,
                 lag(first + length, 1, 0) over (partition by run_id, step_no order by first) as expected
          from journal) as j
    left join checkpoint k on k.run_id = j.run_id and k.step_no = j.step_no
    where j.first <> j.expected
      and (j.first > j.expected and k.prelude <= j.expected and j.first <= k.position) is not true
    union all
    select 6, s.run_id, format('the checkpoint of step %d stands at %d (ordinal %d), the step says %d (%d), its journal ends at %d',
                               s.step_no, k.position, k.ordinal, s.checkpoint_position, s.checkpoint_ordinal, s.journal_length)
    from step s left join checkpoint k on k.run_id = s.run_id and k.step_no = s.step_no
    where k.position is not s.checkpoint_position or coalesce(k.ordinal, 0) <> s.checkpoint_ordinal
       or k.position > s.journal_length
),
-- 7 Nothing is open in a run that has ended.
open as (
    select 7, r.id, format('is %s, its step %d is %s', r.status, s.step_no, s.status)
    from run r join step s on s.run_id = r.id
    where r.ended_at is not null and s.ended_at is null
),
-- 9 No signal lies where a step waits for it; each was taken once, by an entry that is there; none is missing.
missed as (
    select 9, g.run_id, format('signal %d (%s) is in the inbox, and step %d waits for it', g.id, g.name, s.step_no)
    from signal g join step s on s.run_id = g.run_id and s.status = 'waiting' and s.awaits = g.name
    where g.step_no is null
    union all
    select 9, g.run_id, format('signal %d was taken at position %d of step %d, which has %d entries',
                               g.id, g.position, g.step_no, s.journal_length)
    from signal g left join step s on s.run_id = g.run_id and s.step_no = g.step_no
    where g.position >= 0 and (s.journal_length is null or g.position >= s.journal_length)
    union all
    select 9, run_id, format('step %d waits at position %d, its journal has %d entries', step_no, awaits_position, journal_length)
    from step where awaits_position is not null and awaits_position <> journal_length - 1
    union all
    select 9, r.id, format('has %d signals up to number %d, and counts %d', n.signals, n.last, r.signal_count)
    from run r
    join (select run_id, count(*) + sum(changes) as signals, max(id) as last from signal group by run_id) as n on n.run_id = r.id
    -- A person's change counts as one, too.
    where n.signals <> r.signal_count or n.last > r.signal_count
),
-- 12 Nothing is left of a run that is gone, but for what `remains` names; and that is none that is there.
orphaned as (
    select 12, o.run_id, 'something of it is left, and it is gone'
    from (select run_id from step union select run_id from event union select run_id from journal
          union select run_id from checkpoint union select run_id from signal union select run_id from recovery
          union select run_id from step_log) as o
    where not exists (select 1 from run r where r.id = o.run_id) and not exists (select 1 from remains m where m.run_id = o.run_id)
    union all
    select 12, m.run_id, 'it is there, and is said to be gone' from remains m join run r on r.id = m.run_id
    union all
    select 12, m.run_id, 'it is gone, and no step is left to keep its id' from remains m
    where not exists (select 1 from step s where s.run_id = m.run_id and s.step_no = 0)
),
-- 11 A dead letter is of a step that has failed, or is parked.
undead as (
    select 11, d.run_id, format('there is a dead letter of step %d, which has neither failed nor is parked', d.step_no)
    from dead_letter d left join step s on s.run_id = d.run_id and s.step_no = d.step_no
    where s.status is not d.state
),
-- 13 Lines of a log are numbered without overlap, each was said under a claim of its step, and none is kept twice.
misfiled as (
    select 13, run_id, format('the log overlaps at line %d', first)
    from (select run_id, first, lag(first + length, 1, 1) over (partition by run_id order by first) as expected from step_log)
    where first < expected
    union all
    select 13, run_id, format('lines from place %d on of step %d, fence %d, are in its log twice', place, step_no, fence)
    from (select run_id, step_no, fence, place,
                 lag(place + length) over (partition by run_id, step_no, fence order by place, first) as expected
          from step_log)
    where place < expected
    union all
    select 13, l.run_id, format('line %d is one of step %d under fence %d, which it has not had', l.first, l.step_no, l.fence)
    from step_log l left join step s on s.run_id = l.run_id and s.step_no = l.step_no
    where s.fence is null or l.fence > s.fence
    union all
    select 13, run_id, format('line %d of step %d counts %d lines up to it, after %d', first, step_no, lines_until, before)
    from (select run_id, step_no, first, length, lines_until,
                 lag(lines_until) over (partition by run_id, step_no order by first) as before
          from step_log)
    where lines_until <> before + length
),
-- 14 What is on the shelf is there by a pause, which will take it off.
forgotten as (
    select 14, s.run_id, format('step %d is on the shelf, and nothing is paused that put it there', s.step_no)
    from step s join run r on r.id = s.run_id
    where s.status = 'ready' and s.ready_at >= 253370764800000
      and case when s.shelved_by is null then r.paused_at is null
               else not exists (select 1 from pause p where p.id = s.shelved_by) end
),
-- 3 What workers say they run is what the tables say; only when things are quiet.
astray as (
    select 3, null, format('a worker says that it runs %d steps, the tables say %d', w.running, n.running)
    from worker w
    join (select w.id, count(s.run_id) as running from worker w
          left join step s on s.worker_id = w.id and s.status = 'running' group by w.id) as n on n.id = w.id
    where ?3 and w.running <> n.running and w.expires_at > ?2
)
select * from unowned union all select * from immobile union all select * from miscounted
union all select * from misnumbered union all select * from torn union all select * from open
union all select * from missed union all select * from orphaned union all select * from undead union all select * from misfiled union all select * from forgotten union all select * from astray
