-- Dead letters, as migrations/0029_dead_letters.sql has them for Postgres. Rows come with the writer's rows of steps
-- (rows.rs), which knows the cause, and go by these triggers.
create table dead_letter (
    run_id           blob not null,
    step_no          integer not null,
    namespace        text not null,
    pipeline         text not null,
    pipeline_digest  blob not null,
    state            text not null check (state in ('failed', 'parked')),
    at               integer not null,
    cause            text not null,
    run_created_at   integer not null,
    primary key (run_id, step_no)
) strict, without rowid;
create trigger step_lives after update of status on step
when old.status in ('failed', 'parked') and new.status not in ('failed', 'parked') begin
    delete from dead_letter where run_id = old.run_id and step_no = old.step_no;
end;
create trigger step_goes after delete on step when old.status in ('failed', 'parked') begin
    delete from dead_letter where run_id = old.run_id and step_no = old.step_no;
end;

-- What is there already is grouped by the whole first line.
insert into dead_letter
select s.run_id, s.step_no, r.namespace, r.pipeline, r.pipeline_digest, s.status, coalesce(s.ended_at, r.created_at),
       coalesce(nullif(trim(substr(iif(json_valid(cast(s.error as text)), json_extract(cast(s.error as text), '$.message'), ''),
                                   1, 200)), ''), 'no reason is recorded'),
       r.created_at
from step s join run r on r.id = s.run_id
where s.status in ('failed', 'parked');

create index dead_letter_at on dead_letter (namespace, at, run_id, step_no);
create index dead_letter_group on dead_letter (namespace, pipeline, pipeline_digest, step_no, cause, at);
create index dead_letter_parked on dead_letter (namespace, run_created_at, run_id) where state = 'parked';
create index dead_letter_parked_of on dead_letter (namespace, pipeline, run_created_at, run_id) where state = 'parked';
