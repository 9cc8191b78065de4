-- The group writer's one round trip: everything that the concurrent steps of a worker want to write.
--
-- A *member* is one step's share of a batch: a journal segment, a checkpoint, an outcome, or several of
-- them. A *claim* is a request for a ready step. Each is one element of parallel arrays; null means "not
-- this". The number of statements does not depend on the number of members.
--
--   1 lock runs of outcomes (wait), runs of claims (skip the locked: `busy`)       runs before steps
--   2 lock the steps of members without an outcome
--   3 steps, each under its guard: run, step, worker, fence; those that were refused are judged
--   4 journal, checkpoints
--   5 successors of what succeeded: ready, or claimed for the same worker at once
--   6 claims
--   7 settle runs and events; answer
--
-- Sent again after a lost answer, it returns what the first call would have returned: the step row keeps
-- the worker and the fence of its last write, and a segment that is there with the same digest is seen.

create type pawl_written_v1 as (
    -- 'member': member `number` (from 1) was refused: lost (no longer this worker's) or gap (a segment that
    --           does not start where the journal ends: a fault of the worker). All others are written.
    -- 'claim':  verdict claimed (all columns), not_ready, busy (try again)
    -- 'ready':  a step to be delivered
    kind                 text,
    verdict              text,
    number               int,
    run_id               uuid,
    step_no              int,
    fence                bigint,
    pipeline             bytea,
    component            bytea,
    failures             int,
    crashes              int,
    journal_length       int,
    checkpoint_position  int,
    run_input            bytea,
    needed_outputs       bytea[],
    queue                text,
    priority             text,
    ready_at_ms          bigint
);

create function pawl_write_v1(
    p_worker    uuid,
    -- members
    m_run       uuid[],
    m_step      int[],
    m_fence     bigint[],
    -- drop the journal's rows from this position on, before anything is appended
    j_cut       int[],
    -- segment
    j_first     int[],
    j_length    int[],
    j_digest    bytea[],
    j_bytes     bytea[],
    -- checkpoint
    k_ordinal   int[],
    k_position  int[],
    k_random    bigint[],
    k_effects   int[],
    k_prelude   int[],
    k_digest    bytea[],
    k_state     bytea[],
    -- progress
    g_fraction  real[],
    g_message   text[],
    -- outcome: succeeded, failed, retry, parked, released; payload is the output or the error
    o_kind      text[],
    o_payload   bytea[],
    o_digest    bytea[],
    o_delay_ms  bigint[],
    o_continue  boolean[],
    -- claims
    q_run       uuid[],
    q_step      int[],
    -- the queues that the worker serves: it goes on with steps of these only
    p_queues    text[]
) returns setof pawl_written_v1
language plpgsql
as $$
#variable_conflict use_column
declare
    v_runs       uuid[];
    v_failing    uuid[];
    v_claimable  uuid[];
    -- places of members, from 1: written; the others, and what was found of them
    v_written    int[];
    v_refused    int[];
    v_verdict    text[];
    -- claimed now
    c_run        uuid[];
    c_step       int[];
    -- to be delivered
    y_run        uuid[];
    y_step       int[];
    -- events
    e_run        uuid[] := '{}';
    e_rank       int[] := '{}';
    e_kind       text[] := '{}';
    e_step       int[] := '{}';
    e_fence      bigint[] := '{}';
    e_worker     uuid[] := '{}';
    e_note       text[] := '{}';
    -- one statement's share of the above
    n_run        uuid[];
    n_step       int[];
    n_fence      bigint[];
    n_kind       text[];
    n_worker     uuid[];
    n_note       text[];
begin
    -- 1 Locks: runs first, sorted.
    select array_agg(distinct m.run_id) into v_runs
    from unnest(m_run, o_kind) as m (run_id, kind) where m.kind is not null;
    if v_runs is not null then
        select coalesce(array_agg(id) filter (where failing), '{}') into v_failing
        from (select id, failing from run where id = any (v_runs) order by id for no key update) as locked;
    end if;
    if cardinality(q_run) > 0 then
        select coalesce(array_agg(id), '{}') into v_claimable
        from (select id from run where id = any (q_run) order by id for no key update skip locked) as locked;
    end if;

    if cardinality(m_run) > 0 then
        -- 2 Steps, sorted. Those with an outcome stand under their run's lock already: whoever raises a fence
        -- holds it.
        if array_position(o_kind, null) is not null then
            perform 1 from unnest(m_run, m_step, o_kind) as m (run_id, step_no, kind)
            join step s on s.run_id = m.run_id and s.step_no = m.step_no
            where m.kind is null
            order by s.run_id, s.step_no for no key update of s;
        end if;

        -- 3 Steps, under their guard.
        with written as (
            update step s set
                journal_length = coalesce(m.first + m.length, m.cut, s.journal_length),
                checkpoint_position = case when m.ordinal > s.checkpoint_ordinal then m.position
                                           else s.checkpoint_position end,
                checkpoint_ordinal = greatest(s.checkpoint_ordinal, m.ordinal),
                progress = coalesce(m.fraction, s.progress),
                progress_message = case when m.fraction is null then s.progress_message else m.message end,
                status = case m.kind when 'succeeded' then 'succeeded' when 'failed' then 'failed'
                                     when 'retry' then 'waiting' when 'parked' then 'parked'
                                     when 'released' then 'ready' else s.status end,
                failures = s.failures + (m.kind is not null and m.kind in ('failed', 'retry'))::int,
                output = case when m.kind = 'succeeded' then m.payload end,
                output_digest = case when m.kind = 'succeeded' then m.output_digest end,
                error = case when m.kind in ('failed', 'retry', 'parked') then m.payload
                             when m.kind = 'succeeded' then null else s.error end,
                due_at = case when m.kind = 'retry' then now() + m.delay_ms * interval '1 millisecond' end,
                ready_at = case when m.kind = 'released' then now() end,
                ended_at = case when m.kind in ('succeeded', 'failed') then now() end
            from unnest(m_run, m_step, m_fence, j_cut, j_first, j_length, k_ordinal, k_position, g_fraction,
                        g_message, o_kind, o_payload, o_digest, o_delay_ms) with ordinality
                as m (run_id, step_no, fence, cut, first, length, ordinal, position, fraction, message, kind,
                      payload, output_digest, delay_ms, place)
            where s.run_id = m.run_id and s.step_no = m.step_no
              and s.status = 'running' and s.worker_id = p_worker and s.fence = m.fence
              and (m.first is null or m.cut is not null or m.first = s.journal_length)
            returning s.run_id, s.step_no, s.fence, m.kind, m.delay_ms, m.place
        )
        select array_agg(place::int),
               array_agg(run_id) filter (where kind is not null), array_agg(step_no) filter (where kind is not null),
               array_agg(fence) filter (where kind is not null),
               array_agg(case kind when 'retry' then 'step.retrying' when 'released' then 'step.handed_back'
                                   else 'step.' || kind end) filter (where kind is not null),
               array_agg(case when kind = 'retry' then 'in ' || delay_ms || ' ms' end) filter (where kind is not null)
        into v_written, n_run, n_step, n_fence, n_kind, n_note
        from written;

        -- Those that were refused: a first sending has written them (seen, done), or they may not write.
        if cardinality(v_written) is distinct from cardinality(m_run) then
            select array_agg(m.place::int), array_agg(
                case
                    when s.status = 'running' and s.worker_id = p_worker and s.fence = m.fence then
                        case when m.first + m.length = s.journal_length and exists (
                                select from journal j where j.run_id = m.run_id and j.step_no = m.step_no
                                and j.first = m.first and j.digest = m.digest) then 'seen'
                             else 'gap' end
                    when m.kind is not null and s.worker_id = p_worker and s.fence = m.fence
                         and s.status in ('succeeded', 'failed', 'waiting', 'parked', 'ready') then 'done'
                    else 'lost'
                end)
            into v_refused, v_verdict
            from unnest(m_run, m_step, m_fence, j_first, j_length, j_digest, o_kind) with ordinality
                as m (run_id, step_no, fence, first, length, digest, kind, place)
            left join step s on s.run_id = m.run_id and s.step_no = m.step_no
            where not m.place = any (coalesce(v_written, '{}'));
            return query
            select 'member', v.verdict, v.place, null::uuid, null::int, null::bigint, null::bytea, null::bytea, null::int,
                   null::int, null::int, null::int, null::bytea, null::bytea[], null::text, null::text, null::bigint
            from unnest(v_refused, v_verdict) as v (place, verdict) where v.verdict in ('lost', 'gap');
        end if;

        -- 4 Journal, checkpoints.
        if array_remove(j_cut, null) <> '{}' then
            delete from journal j
            using unnest(m_run, m_step, j_cut) with ordinality as m (run_id, step_no, cut, place)
            where m.place = any (v_written) and j.run_id = m.run_id and j.step_no = m.step_no and j.first >= m.cut;
        end if;
        if array_remove(j_first, null) <> '{}' then
            insert into journal (run_id, step_no, first, length, digest, bytes)
            select m.run_id, m.step_no, m.first, m.length, m.digest, m.bytes
            from unnest(m_run, m_step, j_first, j_length, j_digest, j_bytes) with ordinality
                as m (run_id, step_no, first, length, digest, bytes, place)
            where m.first is not null and (v_refused is null or m.place = any (v_written));
        end if;
        if array_remove(k_ordinal, null) <> '{}' then
            insert into checkpoint as k
                (run_id, step_no, ordinal, position, random_position, effect_ordinal, prelude, digest, state)
            select m.run_id, m.step_no, m.ordinal, m.position, m.random, m.effects, m.prelude, m.digest, m.state
            from unnest(m_run, m_step, k_ordinal, k_position, k_random, k_effects, k_prelude, k_digest, k_state)
                with ordinality
                as m (run_id, step_no, ordinal, position, random, effects, prelude, digest, state, place)
            where m.ordinal is not null and (v_refused is null or m.place = any (v_written))
            on conflict (run_id, step_no) do update set
                ordinal = excluded.ordinal, position = excluded.position,
                random_position = excluded.random_position, effect_ordinal = excluded.effect_ordinal,
                prelude = excluded.prelude, digest = excluded.digest, state = excluded.state, created_at = now()
            where k.ordinal < excluded.ordinal;
        end if;

        if n_run is not null then
            e_run := n_run; e_step := n_step; e_fence := n_fence; e_kind := n_kind; e_note := n_note;
            e_rank := array_fill(1, array[cardinality(n_run)]);
            e_worker := array_fill(p_worker, array[cardinality(n_run)]);
            if 'released' = any (o_kind) then
                select array_agg(n.run_id), array_agg(n.step_no) into y_run, y_step
                from unnest(n_run, n_step, n_kind) as n (run_id, step_no, kind) where n.kind = 'step.handed_back';
            end if;

            -- A failed step starts nothing new: what is not running ends here.
            if 'failed' = any (o_kind) then
                v_failing := v_failing || array(select n.run_id from unnest(n_run, n_kind) as n (run_id, kind)
                                                where n.kind = 'step.failed');
            end if;
            if v_failing <> '{}' then
                with stopped as (
                    update step s set status = 'cancelled', ended_at = now(), fence = s.fence + 1, due_at = null,
                                      ready_at = null
                    where s.run_id = any (v_failing) and s.status in ('blocked', 'ready', 'waiting', 'parked')
                    returning s.run_id, s.step_no, s.fence
                )
                select array_agg(run_id order by run_id, step_no), array_agg(step_no order by run_id, step_no),
                       array_agg(fence order by run_id, step_no)
                into n_run, n_step, n_fence from stopped;
                if n_run is not null then
                    e_run := e_run || n_run; e_step := e_step || n_step; e_fence := e_fence || n_fence;
                    e_kind := e_kind || array_fill('step.cancelled'::text, array[cardinality(n_run)]);
                    e_rank := e_rank || array_fill(2, array[cardinality(n_run)]);
                    e_worker := e_worker || array_fill(null::uuid, array[cardinality(n_run)]);
                    e_note := e_note || array_fill('another step failed'::text, array[cardinality(n_run)]);
                end if;
            end if;

            -- 5 Successors. A step that ends hands its slot to one of them; the others are delivered.
            if 'step.succeeded' = any (e_kind) then
                with met as (
                    select m.run_id, next.step_no, count(*)::int as needs,
                           min(m.place) filter (where m.continues) as giver
                    from unnest(m_run, m_step, o_kind, o_continue) with ordinality
                        as m (run_id, step_no, kind, continues, place)
                    join run r on r.id = m.run_id
                    -- By its whole key, however few rows the planner thinks there are: some pipelines have 10,000.
                    cross join lateral unnest((select p.successors from pipeline_step p
                                               where p.digest = r.pipeline_digest and p.step_no = m.step_no))
                        as next (step_no)
                    where m.kind = 'succeeded' and (v_refused is null or m.place = any (v_written))
                      and not m.run_id = any (v_failing)
                    group by m.run_id, next.step_no
                ), candidate as (
                    select met.*, s.unmet = met.needs as is_ready, coalesce(s.component, pv.digest) as component,
                           s.unmet = met.needs and met.giver is not null and p.queue = any (p_queues)
                           and coalesce(s.component, pv.digest) is not null as takeable
                    from met
                    join step s on s.run_id = met.run_id and s.step_no = met.step_no and s.status = 'blocked'
                    join run r on r.id = met.run_id
                    cross join lateral (select * from pipeline_step p
                                        where p.digest = r.pipeline_digest and p.step_no = met.step_no offset 0) as p
                    join plugin on plugin.name = p.plugin
                    left join plugin_version pv
                        on pv.name = p.plugin and pv.version = coalesce(p.version, plugin.active_version)
                ), chosen as (
                    select *, takeable
                              and row_number() over (partition by giver, takeable order by step_no) = 1 as taken
                    from candidate
                ), advanced as (
                    update step s set
                        unmet = s.unmet - c.needs,
                        status = case when c.taken then 'running' when c.is_ready then 'ready' else 'blocked' end,
                        ready_at = case when c.is_ready and not c.taken then now() end,
                        fence = s.fence + c.taken::int,
                        worker_id = case when c.taken then p_worker else s.worker_id end,
                        component = case when c.taken then c.component else s.component end,
                        attempts = s.attempts + c.taken::int,
                        claimed_at = case when c.taken then now() else s.claimed_at end,
                        started_at = case when c.taken then coalesce(s.started_at, now()) else s.started_at end
                    from chosen c
                    where s.run_id = c.run_id and s.step_no = c.step_no
                    returning s.run_id, s.step_no, s.fence, s.status
                )
                select array_agg(run_id), array_agg(step_no), array_agg(fence),
                       array_agg(case status when 'running' then 'step.started' else 'step.ready' end),
                       array_agg(case status when 'running' then p_worker end),
                       array_agg(run_id) filter (where status = 'running'),
                       array_agg(step_no) filter (where status = 'running'),
                       y_run || array_agg(run_id) filter (where status = 'ready'),
                       y_step || array_agg(step_no) filter (where status = 'ready')
                into n_run, n_step, n_fence, n_kind, n_worker, c_run, c_step, y_run, y_step
                from advanced where status <> 'blocked';
                if n_run is not null then
                    e_run := e_run || n_run; e_step := e_step || n_step; e_fence := e_fence || n_fence;
                    e_kind := e_kind || n_kind; e_worker := e_worker || n_worker;
                    e_rank := e_rank || array_fill(3, array[cardinality(n_run)]);
                    e_note := e_note || array_fill(null::text, array[cardinality(n_run)]);
                end if;
            end if;
        end if;

        -- Successors that a first sending has claimed.
        if 'done' = any (v_verdict) then
            select c_run || array_agg(s.run_id), c_step || array_agg(s.step_no) into c_run, c_step
            from unnest(v_refused, v_verdict) as v (place, verdict)
            join run r on r.id = m_run[v.place]
            join pipeline_step p on p.digest = r.pipeline_digest and p.step_no = m_step[v.place]
            cross join lateral unnest(p.successors) as next (step_no)
            join step s on s.run_id = r.id and s.step_no = next.step_no
            where v.verdict = 'done' and s.status = 'running' and s.worker_id = p_worker
              and not s.step_no = any (coalesce(c_step, '{}'));
        end if;
    end if;

    -- 6 Claims.
    if cardinality(q_run) > 0 then
        with claimed as (
            update step s set
                status = 'running', fence = s.fence + 1, worker_id = p_worker, attempts = s.attempts + 1,
                component = coalesce(s.component, pv.digest), ready_at = null,
                claimed_at = now(), started_at = coalesce(s.started_at, now())
            from unnest(q_run, q_step) as q (run_id, step_no)
            join run r on r.id = q.run_id
            cross join lateral (select * from pipeline_step p
                                where p.digest = r.pipeline_digest and p.step_no = q.step_no offset 0) as p
            join plugin on plugin.name = p.plugin
            left join plugin_version pv on pv.name = p.plugin and pv.version = coalesce(p.version, plugin.active_version)
            where s.run_id = q.run_id and s.step_no = q.step_no and s.status = 'ready'
              and q.run_id = any (v_claimable) and r.status in ('pending', 'running')
              and coalesce(s.component, pv.digest) is not null
            returning s.run_id, s.step_no, s.fence, s.attempts, s.journal_length, s.checkpoint_position
        )
        select array_agg(run_id), array_agg(step_no), array_agg(fence),
               array_agg(case when attempts > 1 then 'step.resumed' else 'step.started' end),
               array_agg(case when attempts > 1
                         then format('checkpoint=%s journal=%s', coalesce(checkpoint_position::text, 'none'), journal_length)
                         end)
        into n_run, n_step, n_fence, n_kind, n_note
        from claimed;
        if n_run is not null then
            c_run := c_run || n_run; c_step := c_step || n_step;
            e_run := e_run || n_run; e_step := e_step || n_step; e_fence := e_fence || n_fence;
            e_kind := e_kind || n_kind; e_note := e_note || n_note;
            e_rank := e_rank || array_fill(4, array[cardinality(n_run)]);
            e_worker := e_worker || array_fill(p_worker, array[cardinality(n_run)]);
        end if;
    end if;

    -- 7 Settle and answer.
    if e_run <> '{}' then
        perform pawl_settle_v1(e_run, e_rank, e_kind, e_step, e_fence, e_worker, e_note);
    end if;
    if cardinality(q_run) > 0 then
        -- Also what a first sending claimed; the worker knows its own and drops doubles.
        select c_run || array_agg(s.run_id), c_step || array_agg(s.step_no) into c_run, c_step
        from unnest(q_run, q_step) as q (run_id, step_no)
        join step s on s.run_id = q.run_id and s.step_no = q.step_no
        where s.status = 'running' and s.worker_id = p_worker
          and not exists (select from unnest(c_run, c_step) as c (run_id, step_no)
                          where c.run_id = q.run_id and c.step_no = q.step_no);
        return query
        select 'claim', case when r.id is not null and r.ended_at is null and not r.id = any (v_claimable) then 'busy'
                    else 'not_ready' end,
               null::int, q.run_id, q.step_no, null::bigint, null::bytea, null::bytea, null::int, null::int, null::int,
               null::int, null::bytea, null::bytea[], null::text, null::text, null::bigint
        from unnest(q_run, q_step) as q (run_id, step_no)
        left join run r on r.id = q.run_id
        where not exists (select from unnest(c_run, c_step) as c (run_id, step_no)
                          where c.run_id = q.run_id and c.step_no = q.step_no);
    end if;
    if cardinality(c_run) > 0 then
        return query
        select 'claim', 'claimed', null::int, s.run_id, s.step_no, s.fence, r.pipeline_digest, s.component, s.failures,
               s.crashes, s.journal_length, s.checkpoint_position,
               case when p.needs = '{}' then r.input end,
               case when p.needs <> '{}' then array(
                   select (select n.output from step n where n.run_id = s.run_id and n.step_no = need.step_no)
                   from unnest(p.needs) with ordinality as need (step_no, place)
                   order by need.place) end,
               null::text, null::text, null::bigint
        from unnest(c_run, c_step) as c (run_id, step_no)
        join step s on s.run_id = c.run_id and s.step_no = c.step_no
        join run r on r.id = c.run_id
        cross join lateral (select p.needs from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = c.step_no offset 0) as p;
    end if;
    if cardinality(y_run) > 0 then
        return query
        select 'ready', null::text, null::int, s.run_id, s.step_no, null::bigint, null::bytea, null::bytea, null::int,
               null::int, null::int, null::int, null::bytea, null::bytea[], p.queue, p.priority,
               (extract(epoch from s.ready_at) * 1000)::bigint
        from unnest(y_run, y_step) as y (run_id, step_no)
        -- Not those that were claimed, or cancelled with their run, later in this batch.
        join step s on s.run_id = y.run_id and s.step_no = y.step_no and s.status = 'ready'
        join run r on r.id = y.run_id
        cross join lateral (select p.queue, p.priority from pipeline_step p
                            where p.digest = r.pipeline_digest and p.step_no = y.step_no offset 0) as p;
    end if;
end
$$;
