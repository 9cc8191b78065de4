-- A pipeline remembers which versions it had: what was current before, in its namespace, the latest last, each as `MS DIGEST`: since
-- when it was current, ms since 1970, and which it is. A version can't tell it: it is what it says, whoever names it.
--
-- What a build of before this applies has no place here until the next one replaces it.
set local lock_timeout = '10s';

alter table pipeline add column earlier_versions text[] not null default '{}';
