-- What the health check sees of Postgres itself. service_role sees only its own sessions in pg_stat_activity; this runs
-- as postgres, a member of pg_monitor on Supabase. Without that role the age of the oldest transaction is null and a
-- note says why; 0 would be a lie.

create function scheduler.reads_since_check(out hit bigint, out read bigint, out counters jsonb)
language sql stable set search_path = '' as $$
  with reads as (
    select blks_hit, blks_read, stats_reset from pg_stat_database where datname = current_database()
  ), before as (
    -- The counters grow from the last reset of the statistics on, perhaps for months. The newest check that is 30
    -- minutes old is what they are compared with: a check by hand may have run a minute ago.
    select components #> '{database,details,counters}' as counters
    from public.scheduler_health_history
    where checked_at < now() - interval '30 minutes'
    order by checked_at desc
    limit 1
  ), usable as (
    select (before.counters ->> 'blks_hit')::bigint as hit, (before.counters ->> 'blks_read')::bigint as read
    from before, reads
    where before.counters ->> 'stats_reset' is not distinct from to_jsonb(reads.stats_reset) #>> '{}'
      and jsonb_typeof(before.counters -> 'blks_hit') = 'number'
      and jsonb_typeof(before.counters -> 'blks_read') = 'number'
  )
  select blks_hit - coalesce(usable.hit, 0), blks_read - coalesce(usable.read, 0), to_jsonb(reads)
  from reads left join usable on usable.hit <= blks_hit and usable.read <= blks_read;
$$;
comment on function scheduler.reads_since_check() is
  'Blocks of this database that were found in the cache, and that were not, since the newest check that is 30 minutes '
    'old (without one since the statistics were reset); and the counters for the next check.';

create function scheduler.database_health() returns jsonb
language sql stable set search_path = '' as $$
  with limits as (
    select current_setting('max_connections')::bigint
      - current_setting('superuser_reserved_connections')::bigint
      -- From Postgres 16 on.
      - coalesce(current_setting('reserved_connections', true)::bigint, 0) as connections,
      pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all_sessions
  ), sessions as (
    select sum(numbackends)::bigint as open from pg_stat_database
  ), transactions as (
    select min(began) as oldest
    from (
      select xact_start as began from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
      union all
      select prepared from pg_prepared_xacts where database = current_database()
    ) as open_transactions
  ), dead_rows as (
    -- Autovacuum may let a fifth of a table die before it comes; small tables do no harm.
    select format('%I.%I', schemaname, relname) as table_name,
      scheduler.percent(n_dead_tup, n_live_tup + n_dead_tup) as percent
    from pg_stat_user_tables
    where n_dead_tup >= 10000
    order by percent desc, table_name
    limit 1
  ), transaction_ids as (
    select greatest(max(age(datfrozenxid)), max(mxid_age(datminmxid)))::bigint as oldest
    from pg_database where datallowconn
  )
  select jsonb_build_object(
    'watched', 1,
    'figures', jsonb_build_object(
      'connections_percent', scheduler.percent(sessions.open, limits.connections),
      'oldest_transaction_seconds', case when limits.sees_all_sessions
        then coalesce(scheduler.seconds_since(transactions.oldest), 0) end,
      'cache_hit_percent', scheduler.percent(reads.hit, reads.hit + reads.read, 10000),
      'dead_rows_percent', coalesce((select percent from dead_rows), 0),
      'transaction_id_age', transaction_ids.oldest,
      'size_bytes', pg_database_size(current_database())
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'connections', sessions.open,
      'connections_possible', limits.connections,
      'most_dead_rows_in', (select table_name from dead_rows),
      'counters', reads.counters
    )),
    'notes', case when limits.sees_all_sessions then '[]'::jsonb else jsonb_build_array(
      format('sessions of others are hidden from %s; as a superuser: grant pg_monitor to %s', current_user,
        current_user)) end
  )
  from limits, sessions, scheduler.reads_since_check() as reads, transactions, transaction_ids;
$$;
comment on function scheduler.database_health() is
  'Figures of the database itself, from Postgres''s own statistics: reads no table of the application but the history.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('database', 'scheduler', 'Database', 18, 'scheduler.database_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('database', 'connections_percent', 'connections in use', 'percent', 'higher', 70, 90, null),
  ('database', 'cache_hit_percent', 'cache hit', 'percent', 'lower', 95, 80, null),
  ('database', 'oldest_transaction_seconds', 'oldest transaction', 'seconds', 'higher', 300, 3600, null),
  ('database', 'dead_rows_percent', 'dead rows in a table', 'percent', 'higher', 40, 75, 'most_dead_rows_in'),
  -- Postgres stops writing at about 2.1 billion; autovacuum acts at 0.2 billion.
  ('database', 'transaction_id_age', 'transaction id age', 'count', 'higher', 500000000, 1200000000, null),
  -- The threshold depends on the size of the disk: set one in health_figures.
  ('database', 'size_bytes', 'size', 'bytes', 'higher', null, null, null);
