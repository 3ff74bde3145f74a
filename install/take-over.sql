-- Takes over which day ran last, so that no day runs twice.
do $over$
declare
  v_from constant regclass := to_regclass('public.scheduler_state_before_daybook');
  v_scope constant text := case when exists (
    select from pg_catalog.pg_attribute where attrelid = v_from and attname = 'scope' and not attisdropped)
    then 'scope::text' else '''global''' end;
begin
  if exists (
    select from pg_catalog.pg_attribute where attrelid = v_from and attname = 'last_daily_run_key' and not attisdropped)
  then
    execute format($insert$
      insert into public.scheduler_state (scope, last_daily_run_key)
      select %s, max(left(last_daily_run_key::text, 10)) from %s
      where last_daily_run_key::text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
        -- A day that has not begun anywhere cannot have run.
        and left(last_daily_run_key::text, 10) <= to_char(now() at time zone 'UTC' + interval '14 hours', 'YYYY-MM-DD')
      group by 1
      on conflict (scope) do nothing
    $insert$, v_scope, v_from);
  end if;
end;
$over$;
