-- How busy the database is, for schedules that give way: defer_if => 'scheduler.is_busy'.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, optional, description) values
  ('scheduler', 'scheduler.busy_connections_percent', '70', 'percent', 1, 100, true, 'from so many active of all '
    'connections on the database is busy; ''null'': they are not looked at'),
  ('scheduler', 'scheduler.busy_requests', '200', null, 1, 999999, true, 'from so many requests in pg_net''s queue on '
    'the database is busy; ''null'': they are not looked at'),
  ('scheduler', 'scheduler.busy_late_runs', '20', null, 1, 999999, true, 'from so many runs that are late on the '
    'database is busy; ''null'': they are not looked at');

create type scheduler.load as (active integer, connections integer, requests integer, late_runs integer);
comment on type scheduler.load is
  'How much there is to do: connections that execute a statement, of how many there can be; requests in pg_net''s '
    'queue; runs that are late.';

-- A role that may not see what other sessions do counts its own alone: see database_health.
create function scheduler.load_now(p_now timestamptz) returns scheduler.load
language sql stable set search_path = '' as $$
  select (
      select count(*)::integer from pg_stat_activity
      where state = 'active' and backend_type = 'client backend' and pid <> pg_backend_pid()),
    current_setting('max_connections')::integer,
    -- Of a queue that has grown without bound only so much is counted as settings can ask for.
    (select count(*)::integer from (select from net.http_request_queue limit 999999) as queued),
    (select count(*)::integer from public.scheduler_runs
      where status = 'dispatched' and receipt = 'function' and dispatched_at < p_now - interval '30 seconds')
    + (select count(*)::integer from public.scheduler_jobs
      where enabled and next_run_at < p_now - interval '1 minute');
$$;
comment on function scheduler.load_now(timestamptz) is
  'The load of the database. A run is late that was sent 30 seconds ago and has not begun, and an occurrence that was '
    'due a minute ago and has no row. Runs that wait are not late.';

-- It has no side effect, so a table of cases tests it.
create function scheduler.load_reason(
  p_load scheduler.load, p_connections_percent integer, p_requests integer, p_late_runs integer
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_load.active * 100 >= p_connections_percent * p_load.connections
      then format('%s of %s connections are active', p_load.active, p_load.connections)
    when p_load.requests >= p_requests then format('%s in pg_net''s queue', case p_load.requests
      when 1 then '1 request waits' else format('%s requests wait', p_load.requests) end)
    when p_load.late_runs >= p_late_runs then case p_load.late_runs when 1 then '1 run is late'
      else format('%s runs are late', p_load.late_runs) end end;
$$;
comment on function scheduler.load_reason(scheduler.load, integer, integer, integer) is
  'The first of connections, requests and late runs of which there are as many as that, as a sentence; null when none '
    'is. Null as a bound: it is not looked at.';

create function scheduler.busy_because(p_now timestamptz default now()) returns text
language plpgsql stable set search_path = '' as $$
begin
  return scheduler.load_reason(scheduler.load_now(p_now), scheduler.setting('scheduler.busy_connections_percent'),
    scheduler.setting('scheduler.busy_requests'), scheduler.setting('scheduler.busy_late_runs'));
end;
$$;
comment on function scheduler.busy_because(timestamptz) is
  'Why the database is busy, by the settings scheduler.busy_…; null when it is not.';

-- A pulse may come to hundreds of jobs that ask: the answer is kept in a setting of the transaction.
create function scheduler.is_busy(p_now timestamptz default now()) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_kept constant text := current_setting('daybook.is_busy', true);
  v_moment constant text := extract(epoch from p_now)::text;
  v_is_busy boolean;
begin
  if v_kept like v_moment || ' %' then
    return split_part(v_kept, ' ', 2)::boolean;
  end if;
  v_is_busy := scheduler.busy_because(p_now) is not null;
  perform set_config('daybook.is_busy', v_moment || ' ' || v_is_busy, true);
  return v_is_busy;
end;
$$;
comment on function scheduler.is_busy(timestamptz) is
  'Whether the database is busy: see busy_because. It looks once a transaction, for defer_if => ''scheduler.is_busy''.';
