create function scheduler.version() returns text
language sql immutable set search_path = '' as $$ select '0.11.0' $$;
comment on function scheduler.version() is 'The version of Daybook that this database has.';
