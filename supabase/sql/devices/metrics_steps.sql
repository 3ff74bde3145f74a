-- The steps that the job calls, each a transaction with a bound. A run calls begin, then hours until none is left, then
-- days. A run that stops half way loses nothing: the next one goes on where it stopped. All steps take one lock, so the
-- hourly job, the daily job and an operator may run at the same time. They are security definer: service_role may write
-- figures and their bookkeeping only through them.

create function public.aggregate_device_metrics_begin() returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '60s' as $$
declare
  -- This transaction gets its id after now(): a transaction that wrote into an hour before now() has an older id.
  v_open_hour constant timestamptz := date_bin('1 hour', now(), '2000-01-01 00:00+00');
  v_frozen_before timestamptz;
  v_result jsonb;
begin
  perform pg_advisory_xact_lock(-7031000001);
  select s.frozen_before into strict v_frozen_before from devices.metrics_state s;

  -- A note is visible together with its transaction's rows, so the hours that are computed next include them.
  with taken as (
    delete from devices.metrics_changes c
    where c.id in (select n.id from devices.metrics_changes n order by n.id limit 200000)
    returning c.from_hour, c.to_hour
  )
  insert into devices.metrics_periods (granularity, period_start)
  select distinct 'hour', h.hour
  from (select distinct t.from_hour, t.to_hour from taken t) t
  cross join lateral generate_series(
    greatest(t.from_hour, v_frozen_before), least(t.to_hour, v_open_hour - interval '1 hour'), interval '1 '
      'hour') h (hour)
  on conflict (granularity, period_start) do update set pending = true where not devices.metrics_periods.pending;

  -- The hours that ended since the last run; after a long outage these are thousands.
  insert into devices.metrics_periods (granularity, period_start)
  select 'hour', h.hour
  from devices.metrics_state s
  cross join lateral generate_series(
    greatest(s.next_hour, s.frozen_before), v_open_hour - interval '1 hour', interval '1 hour') h (hour)
  on conflict (granularity, period_start) do update set pending = true where not devices.metrics_periods.pending;
  update devices.metrics_state s set next_hour = v_open_hour where s.next_hour < v_open_hour;

  update devices.metrics_periods p set pending = true where p.unsettled and not p.pending;

  select jsonb_build_object(
    'pending_hours', count(*) filter (where p.granularity = 'hour'),
    'pending_days', count(*) filter (where p.granularity = 'day' and p.period_start <= v_open_hour - interval '24 '
      'hours'),
    'notes_left', (select count(*) from (select from devices.metrics_changes limit 1000000) n),
    'odd_times', scheduler.take_odd_times())
  into v_result
  from devices.metrics_periods p
  where p.pending;
  return v_result;
end
$$;
comment on function public.aggregate_device_metrics_begin() is
  'First step of a run: lists the hours to compute (ended, changed, unsettled). Call again while notes_left is not 0';

-- The newest hours first: after a bulk load of old rows the current figures do not wait for the old ones.
create function devices.pending_hours(p_max_hours integer, p_from timestamptz, p_to timestamptz)
returns timestamptz[]
language sql stable set search_path = '' as $$
  select array_agg(run.period_start order by run.period_start)
  from (
    select p.period_start, max(p.period_start) over () as newest,
      row_number() over (order by p.period_start desc) as place
    from devices.metrics_periods p
    where p.granularity = 'hour' and p.pending and p.period_start >= p_from and p.period_start < p_to
    order by p.period_start desc
    limit p_max_hours
  ) run
  -- Contiguous hours only: they are read as one range.
  where run.period_start = run.newest - (run.place - 1) * interval '1 hour';
$$;
comment on function devices.pending_hours(integer, timestamptz, timestamptz) is
  'The newest stretch of pending hours that start in [p_from, p_to), p_max_hours at most; null when there is none.';

create function devices.compute_hours(
  p_hours timestamptz[], p_open_hour timestamptz, out device_rows bigint, out rows_written bigint
)
language plpgsql volatile set search_path = '' as $$
declare
  -- A transaction that wrote into an hour before it ended has an older id than this one. If no older transaction is
  -- open, the hour is settled.
  v_own_id constant xid8 := pg_current_xact_id();
  v_settled constant boolean := pg_snapshot_xmin(pg_current_snapshot()) >= v_own_id;
begin
  select r.* into strict device_rows, rows_written from devices.store_metrics('hour', p_hours) r;

  -- Hours that ended two days ago are taken as settled: catching up must not compute all of them twice.
  update devices.metrics_periods p
  set pending = false, computed_at = now(),
    unsettled = not v_settled and p.period_start < p_open_hour and p.period_start >= p_open_hour - interval '48 hours'
  where p.granularity = 'hour' and p.period_start = any (p_hours);

  if rows_written > 0 then
    insert into devices.metrics_periods (granularity, period_start)
    select distinct 'day', date_bin('24 hours', h.hour, '2000-01-01 00:00+00') from unnest(p_hours) h (hour)
    on conflict (granularity, period_start) do update set pending = true where not devices.metrics_periods.pending;
  end if;
end
$$;
comment on function devices.compute_hours(timestamptz[], timestamptz) is
  'Computes contiguous hours, takes them off the list, and lists their days when a row was written. An hour is '
    'unsettled when a transaction that may have written into it before its end is still open. Returns how many rows '
    'devices have in them, and how many were written.';

create function public.aggregate_device_metrics_hours(
  p_max_hours integer default 24, p_from timestamptz default '-infinity', p_to timestamptz default 'infinity'
) returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '60s' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', now(), '2000-01-01 00:00+00');
  v_hours timestamptz[];
  v_device_rows bigint := 0;
  v_written bigint := 0;
begin
  if p_max_hours is null or p_max_hours not between 1 and 1000 then
    raise exception using errcode = '22023', message = format('Cannot aggregate hours: p_max_hours must be 1 to 1000, '
      'got %s', coalesce(p_max_hours::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(-7031000001);

  v_hours := devices.pending_hours(p_max_hours, p_from, p_to);
  if v_hours is not null then
    select r.* into strict v_device_rows, v_written from devices.compute_hours(v_hours, v_open_hour) r;
  end if;

  return jsonb_build_object(
    'hours', coalesce(cardinality(v_hours), 0),
    'from', v_hours[1], 'to', v_hours[cardinality(v_hours)] + interval '1 hour',
    'device_rows', v_device_rows,
    'rows_written', v_written,
    'hours_left', (
      select count(*) from devices.metrics_periods p
      where p.granularity = 'hour' and p.pending and p.period_start >= p_from and p.period_start < p_to),
    'caught_up_to', coalesce(
      (select min(p.period_start) from devices.metrics_periods p
       where p.granularity = 'hour' and p.pending and p.period_start < v_open_hour),
      v_open_hour));
end
$$;
comment on function public.aggregate_device_metrics_hours(integer, timestamptz, timestamptz) is
  'Computes the newest stretch of pending hours that start in [p_from, p_to), p_max_hours at most, and says '
    'how many are left';

create function public.aggregate_device_metrics_days(
  p_max_days integer default 7, p_from timestamptz default '-infinity', p_to timestamptz default 'infinity'
) returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '60s' as $$
declare
  v_now constant timestamptz := now();
  v_days timestamptz[];
  v_left bigint;
  v_device_rows bigint := 0;
  v_written bigint := 0;
begin
  if p_max_days is null or p_max_days not between 1 and 366 then
    raise exception using errcode = '22023', message = format('Cannot aggregate days: p_max_days must be 1 to 366, '
      'got %s', coalesce(p_max_days::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(-7031000001);

  -- A day waits until it is over and none of its hours is pending.
  select array_agg(d.period_start) filter (where d.place <= p_max_days), count(*) filter (where d.place > p_max_days)
  into v_days, v_left
  from (
    select p.period_start, row_number() over (order by p.period_start desc) as place
    from devices.metrics_periods p
    where p.granularity = 'day' and p.pending
      and p.period_start > p_from - interval '24 hours' and p.period_start < p_to
      and p.period_start <= v_now - interval '24 hours'
      and not exists (
        select from devices.metrics_periods h
        where h.granularity = 'hour' and h.pending
          and h.period_start >= p.period_start and h.period_start < p.period_start + interval '24 hours')
  ) d;

  if v_days is not null then
    select r.device_rows, r.rows_written into strict v_device_rows, v_written
    from devices.store_metrics('day', v_days) r;
    update devices.metrics_periods p
    set pending = false, computed_at = v_now
    where p.granularity = 'day' and p.period_start = any (v_days);
  end if;

  return jsonb_build_object(
    'days', coalesce(cardinality(v_days), 0),
    'device_rows', v_device_rows,
    'rows_written', v_written,
    'days_left', coalesce(v_left, 0));
end
$$;
comment on function public.aggregate_device_metrics_days(integer, timestamptz, timestamptz) is
  'Computes pending days that are over, have no pending hour and touch [p_from, p_to), p_max_days at most, newest '
    'first';

create function public.aggregate_device_metrics_recompute(p_from timestamptz, p_to timestamptz) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', now(), '2000-01-01 00:00+00');
  v_from timestamptz;
  v_to timestamptz;
  v_frozen_before timestamptz;
begin
  if p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to) or p_from >= p_to then
    raise exception using errcode = '22023', message = format(
      'Cannot recompute device metrics: from must be before to, got %s and %s', coalesce(p_from::text, 'null'),
        coalesce(p_to::text, 'null'));
  end if;
  if p_to > v_open_hour + interval '1 hour' then
    raise exception using errcode = '22023', message = format(
      'Cannot recompute device metrics: to must not be after the end of the current hour, got %s', p_to);
  end if;
  v_from := date_bin('1 hour', p_from, '2000-01-01 00:00+00');
  v_to := date_bin('1 hour', p_to + interval '1 hour' - interval '1 microsecond', '2000-01-01 00:00+00');

  perform pg_advisory_xact_lock(-7031000001);
  select s.frozen_before into strict v_frozen_before from devices.metrics_state s;
  if v_from < v_frozen_before then
    raise exception using errcode = '22023', message = format(
      'Cannot recompute device metrics: from must not be before %s, got %s', v_frozen_before, p_from),
      hint = 'Figures before this time are final, their raw rows may be gone';
  end if;

  insert into devices.metrics_periods (granularity, period_start)
  select 'hour', h.hour from generate_series(v_from, v_to - interval '1 hour', interval '1 hour') h (hour)
  union all
  select 'day', d.day
  from generate_series(date_bin('24 hours', v_from, '2000-01-01 00:00+00'), v_to - interval '1 hour', interval '24 '
    'hours') d (day)
  on conflict (granularity, period_start) do update set pending = true where not devices.metrics_periods.pending;

  return jsonb_build_object('from', v_from, 'to', v_to, 'hours', extract(epoch from v_to - v_from)::bigint / 3600);
end
$$;
comment on function public.aggregate_device_metrics_recompute(timestamptz, timestamptz) is
  'Puts the hours that [p_from, p_to) touches, and their days, on the list of periods to compute';

create function devices.freeze_metrics(p_before timestamptz) returns timestamptz
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_before constant timestamptz := date_bin('24 hours', p_before, '2000-01-01 00:00+00');
  v_frozen_before timestamptz;
begin
  if p_before is null or not isfinite(p_before) or p_before > now() - interval '48 hours' then
    raise exception using errcode = '22023', message = format(
      'Cannot freeze device metrics: p_before must be at least 48 hours ago, got %s', coalesce(p_before::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(-7031000001);
  if exists (select from devices.metrics_periods p where p.pending and p.period_start < v_before)
    or exists (select from devices.metrics_changes c where c.from_hour < v_before)
    or exists (select from devices.metrics_state s where s.next_hour < v_before) then
    raise exception using errcode = 'SD103', message = format(
      'Cannot freeze device metrics: every period before %s must be computed, got pending ones', v_before),
      hint = 'Run aggregate-device-metrics and aggregate-device-metrics-daily first';
  end if;
  update devices.metrics_state s set frozen_before = greatest(s.frozen_before, v_before)
  returning s.frozen_before into v_frozen_before;
  return v_frozen_before;
end
$$;
comment on function devices.freeze_metrics(timestamptz) is
  'Makes the figures before the UTC day of p_before final, so that raw rows older than the returned time may be '
    'deleted. Raises SD103 while periods before that day have yet to be computed; 22023 for a p_before less than 48 '
    'hours ago.';

revoke all on function
  public.aggregate_device_metrics_begin(),
  public.aggregate_device_metrics_hours(integer, timestamptz, timestamptz),
  public.aggregate_device_metrics_days(integer, timestamptz, timestamptz),
  public.aggregate_device_metrics_recompute(timestamptz, timestamptz)
from public, anon, authenticated;
grant execute on function
  public.aggregate_device_metrics_begin(),
  public.aggregate_device_metrics_hours(integer, timestamptz, timestamptz),
  public.aggregate_device_metrics_days(integer, timestamptz, timestamptz),
  public.aggregate_device_metrics_recompute(timestamptz, timestamptz)
to service_role;
