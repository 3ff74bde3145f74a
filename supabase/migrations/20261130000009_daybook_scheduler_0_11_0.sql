-- Daybook 0.11.0, pack scheduler. Made of supabase/sql/scheduler: change it there.

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION scheduler.version()
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select '0.11.0' $function$
;
comment on function scheduler.version() is 'The version of Daybook that this database has.';
revoke all on function scheduler.version() from public, anon, authenticated, service_role;
