-- A page of runs asks which of them have a parked step.
create index step_parked on step (run_id) where status = 'parked';
