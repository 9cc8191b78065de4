-- A rollback goes back in a plugin's history: before `previous_version`, these were active, the latest last. What a rollback
-- goes back from is not kept, so that a second one never activates it again.
--
-- A build of before this knows `previous_version` alone: what it activates has no place here, and its rollback goes back
-- and forth as it always did.
alter table plugin add column earlier_versions text[] not null default '{}';
