-- What came of each job on each day, for two years: what forecasts are made from. The trigger that counts a run adds it
-- to its day in the same transaction, so each counts once, whether the pulse beats or not, and pruning the ledger takes
-- nothing away.

create table scheduler.job_days (
  job_name text not null,
  day date not null check (isfinite(day)),
  completed integer not null default 0,
  failed integer not null default 0,
  deferred integer not null default 0,
  cancelled integer not null default 0,
  skipped bigint not null default 0,
  missed bigint not null default 0,
  verdicts jsonb not null default '{}',
  sent integer not null default 0,
  wall_ms bigint not null default 0,
  success_rows integer not null default 0,
  failure_rows integer not null default 0,
  durations integer[] not null default '{}',
  shortest_ms integer,
  longest_ms integer,
  hour_runs integer[] not null default '{}',
  hour_ms bigint[] not null default '{}',
  figures jsonb not null default '{}',
  primary key (job_name, day)
  -- Room for the next versions of the rows of today: their updates touch no index.
) with (fillfactor = 80);
create index job_days_day_idx on scheduler.job_days (day);
alter table scheduler.job_days enable row level security;
revoke all on scheduler.job_days from public, anon, authenticated, service_role;

comment on table scheduler.job_days is
  'What came of each job on each UTC day, one row a job and day. A run counts on the day on which it ended. The rows '
    'of a job that was taken out stay; registered again under its name, it goes on with them.';
comment on column scheduler.job_days.verdicts is
  'Runs, and occurrences that were skipped or missed, by the verdict with which they ended: {"ok": 1438, "lost": 2}.';
comment on column scheduler.job_days.sent is 'Requests to the edge function: attempts that were dispatched.';
comment on column scheduler.job_days.wall_ms is 'How long all runs that began took, together.';
comment on column scheduler.job_days.success_rows is
  'Rows of the ledger that go after keep_successes_days; failure_rows: those that go after keep_failures_days.';
comment on column scheduler.job_days.durations is
  'How long runs took that completed, or that time stopped (timed_out, interrupted): a count at each place of '
    'duration_place, null for none. Two days together are the sums of their places.';
comment on column scheduler.job_days.hour_runs is
  'How many of these runs began in each UTC hour, counted from the beginning of the day: -1 is the last hour of the '
    'day before. hour_ms: how long they took together. Kept for 50 days.';
comment on column scheduler.job_days.figures is
  'Of each figure that the job names: {"rows": {"sum", "least", "most", "runs"}}.';

create table scheduler.ledger_days (
  day date primary key check (isfinite(day)),
  rows bigint not null,
  bytes bigint not null
);
alter table scheduler.ledger_days enable row level security;
revoke all on scheduler.ledger_days from public, anon, authenticated, service_role;

comment on table scheduler.ledger_days is
  'How large the ledger was at the beginning of each UTC day, as the first pulse of the day found it.';
comment on column scheduler.ledger_days.rows is 'Counted while the ledger is small, else reckoned from its pages.';
comment on column scheduler.ledger_days.bytes is 'Of scheduler_runs with its indexes.';

-- The counters' buckets are 26 % wide: a duration that grows steadily would look like a staircase.
create function scheduler.duration_place(p_ms bigint) returns integer
language sql immutable set search_path = '' as $$
  select ceil(ln(greatest(p_ms, 1)::float8) / ln(1.05::float8))::integer;
$$;
comment on function scheduler.duration_place(bigint) is
  'The place of a duration in job_days.durations. Place n has those above 1.05^(n - 1) ms, up to 1.05^n ms: each bound '
    'is 5 % above the one before.';

create function scheduler.place_ms(p_place integer) returns float8
language sql immutable set search_path = '' as $$
  select power(1.05::float8, p_place - 0.5::float8);
$$;
comment on function scheduler.place_ms(integer) is
  'The middle of a place of job_days.durations, in milliseconds: at most 2.5 % off.';

-- Postgres extends an array to either side when a place outside is set, and fills what lies between with null.
create function scheduler.counted(p_counts integer[], p_place integer) returns integer[]
language plpgsql immutable set search_path = '' as $$
begin
  p_counts[p_place] := coalesce(p_counts[p_place], 0) + 1;
  return p_counts;
end;
$$;
comment on function scheduler.counted(integer[], integer) is 'The counts with one more at that place.';

create function scheduler.added(p_sums bigint[], p_place integer, p_amount bigint) returns bigint[]
language plpgsql immutable set search_path = '' as $$
begin
  p_sums[p_place] := coalesce(p_sums[p_place], 0) + p_amount;
  return p_sums;
end;
$$;
comment on function scheduler.added(bigint[], integer, bigint) is 'The sums with so much more at that place.';

create function scheduler.counted(p_counts jsonb, p_key text, p_amount bigint) returns jsonb
language sql immutable set search_path = '' as $$
  select p_counts || jsonb_build_object(p_key, coalesce((p_counts ->> p_key)::bigint, 0) + p_amount);
$$;
comment on function scheduler.counted(jsonb, text, bigint) is 'The counts with so many more under that key.';

create function scheduler.merged_counts(p_one jsonb, p_other jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select coalesce(jsonb_object_agg(key, amount), '{}') from (
    select key, sum(value::bigint) as amount
    from (select * from jsonb_each_text(p_one) union all select * from jsonb_each_text(p_other)) as counts
    group by key) as sums;
$$;
comment on function scheduler.merged_counts(jsonb, jsonb) is 'The counts of both, by key.';

-- A figure is kept as a number of a size that sums and slopes can be reckoned with.
create function scheduler.figure_value(p_value jsonb) returns numeric
language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(p_value) = 'number' then case
    when abs((p_value #>> '{}')::numeric) <= 1000000000000000 then round((p_value #>> '{}')::numeric, 6) end end;
$$;
comment on function scheduler.figure_value(jsonb) is
  'A figure of a result as a number with six decimals; null for what is no number, or beyond 10^15.';

-- In plpgsql: as one statement over the figures it takes a run twice as long.
create function scheduler.add_figures(p_sums jsonb, p_figures text[], p_result jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  v_figure text;
  v_value numeric;
  v_before jsonb;
begin
  foreach v_figure in array p_figures loop
    v_value := scheduler.figure_value(p_result -> v_figure);
    if v_value is not null then
      v_before := p_sums -> v_figure;
      p_sums := p_sums || jsonb_build_object(v_figure, jsonb_build_object(
        'sum', v_value + coalesce((v_before ->> 'sum')::numeric, 0),
        'least', least(v_value, (v_before ->> 'least')::numeric),
        'most', greatest(v_value, (v_before ->> 'most')::numeric),
        'runs', 1 + coalesce((v_before ->> 'runs')::integer, 0)));
    end if;
  end loop;
  return p_sums;
end;
$$;
comment on function scheduler.add_figures(jsonb, text[], jsonb) is
  'The sums of a day''s figures with those of one more result. A figure that the result does not have counts nothing.';

create function scheduler.utc_day(p_at timestamptz) returns date
language sql immutable set search_path = '' as $$
  select (p_at at time zone 'UTC')::date;
$$;
comment on function scheduler.utc_day(timestamptz) is 'The UTC day of a moment.';

create function scheduler.hour_of_day(p_at timestamptz, p_day date) returns integer
language sql immutable set search_path = '' as $$
  select hour from floor(extract(epoch from (p_at at time zone 'UTC') - p_day) / 3600) as hour
  where hour between -24 and 23;
$$;
comment on function scheduler.hour_of_day(timestamptz, date) is
  'In which hour of a UTC day a moment lies, -1 being the last of the day before; null on no other day.';

create function scheduler.is_timed(p_run public.scheduler_runs) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_run.duration_ms is not null
    and (p_run.status = 'completed' or p_run.verdict in ('timed_out', 'interrupted'));
end;
$$;
comment on function scheduler.is_timed(public.scheduler_runs) is
  'Whether the run''s duration says how long the job takes: it completed, or its time was over. A run that failed '
    'early says nothing of that.';

create function scheduler.count_in_day(p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
declare
  v_day constant date := scheduler.utc_day(p_run.completed_at);
  -- Null is 0; negative it can be where somebody wrote so.
  v_ms constant integer := greatest(p_run.duration_ms, 0);
  v_is_timed constant boolean := scheduler.is_timed(p_run);
  v_hour constant integer := case when v_is_timed then scheduler.hour_of_day(p_run.started_at, v_day) end;
  v_goes_early constant integer := (p_run.status in ('completed', 'skipped', 'deferred'))::integer;
begin
  for try in 1 .. 2 loop
    update scheduler.job_days as days set
      completed = days.completed + (p_run.status = 'completed')::integer,
      failed = days.failed + (p_run.status = 'failed')::integer,
      deferred = days.deferred + (p_run.status = 'deferred')::integer,
      cancelled = days.cancelled + (p_run.status = 'cancelled')::integer,
      skipped = days.skipped + (p_run.status = 'skipped')::integer,
      verdicts = scheduler.counted(days.verdicts, p_run.verdict, 1),
      sent = days.sent + (p_run.dispatched_at is not null and p_run.function_name is not null)::integer,
      wall_ms = days.wall_ms + v_ms,
      success_rows = days.success_rows + v_goes_early,
      failure_rows = days.failure_rows + 1 - v_goes_early,
      durations = case when v_is_timed then scheduler.counted(days.durations, scheduler.duration_place(v_ms))
        else days.durations end,
      shortest_ms = case when v_is_timed then least(days.shortest_ms, v_ms) else days.shortest_ms end,
      longest_ms = case when v_is_timed then greatest(days.longest_ms, v_ms) else days.longest_ms end,
      hour_runs = case when v_hour is not null then scheduler.counted(days.hour_runs, v_hour)
        else days.hour_runs end,
      hour_ms = case when v_hour is not null then scheduler.added(days.hour_ms, v_hour, v_ms) else days.hour_ms end,
      figures = case when p_run.status = 'completed' and jobs.figures <> '{}'
        then scheduler.add_figures(days.figures, jobs.figures, p_run.result) else days.figures end
    from public.scheduler_jobs as jobs
    where jobs.name = p_run.job_name and days.job_name = p_run.job_name and days.day = v_day;
    exit when found;
    insert into scheduler.job_days (job_name, day) values (p_run.job_name, v_day) on conflict do nothing;
  end loop;
end;
$$;
comment on function scheduler.count_in_day(public.scheduler_runs) is
  'Adds a run that ended to its job''s day. The caller holds the row of the job''s counters.';

create function scheduler.prune_job_days(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$
  with pruned as (
    delete from scheduler.job_days where ctid = any (array(
      select ctid from scheduler.job_days where day < scheduler.utc_day(p_before) limit p_limit))
    returning 1
  ), pruned_sizes as (
    delete from scheduler.ledger_days where day < scheduler.utc_day(p_before)
  )
  select count(*)::integer from pruned;
$$;
comment on function scheduler.prune_job_days(timestamptz, integer) is
  'Deletes the days of jobs from before p_before, at most p_limit, and the sizes of the ledger on those days. Returns '
    'how many days of jobs.';

select scheduler.add_retention_rule('scheduler', 'job_days', 730, what => 'how long it is known what came of each job '
  'on each day', prune_function => 'scheduler.prune_job_days');
