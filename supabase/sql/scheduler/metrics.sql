-- The metrics that Prometheus scrapes: each pack has its families and a function that reads them. A function reads
-- counters and sums that triggers keep. It never counts a growing table, and reads no setting that can be wrong.

create table scheduler.metric_families (
  family text primary key check (family ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  type text not null check (type in ('counter', 'gauge', 'histogram')),
  help text not null,
  place integer generated always as identity
);
alter table scheduler.metric_families enable row level security;
comment on table scheduler.metric_families is 'The metrics that a scrape shows, one row a name, in the order of place.';

create table scheduler.metric_sources (
  function_name text primary key check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$'),
  pack text not null,
  place integer generated always as identity
);
alter table scheduler.metric_sources enable row level security;
comment on table scheduler.metric_sources is
  'Who is asked in a scrape: functions (now timestamptz) returns json, each an array of groups, see '
    'scheduler.metric_group.';

-- json, not jsonb: it is only ever sent, and text is put together in a third of the time.
create function scheduler.metric(p_family text, p_values json, p_labels json default '{}') returns json
language sql immutable set search_path = '' as $$
  select json_build_object('family', p_family, 'labels', p_labels, 'values', p_values);
$$;
comment on function scheduler.metric(text, json, json) is
  'A series of a group: a value for each of the group''s label sets, in their order, null where there is none; '
    'p_labels are added to each set.';

create function scheduler.metric(p_family text, p_value numeric) returns json
language sql immutable set search_path = '' as $$
  select scheduler.metric(p_family, json_build_array(p_value));
$$;
comment on function scheduler.metric(text, numeric) is 'A series of a group without labels: one value.';

create function scheduler.histogram(p_family text, p_bounds_ms bigint[], p_counts json, p_sums json) returns json
language sql immutable set search_path = '' as $$
  select json_build_object('family', p_family, 'bounds', array(select ms / 1000.0 from unnest(p_bounds_ms) as ms),
    'counts', p_counts, 'sums', p_sums);
$$;
comment on function scheduler.histogram(text, bigint[], json, json) is
  'A histogram of a group, in seconds: for each label set its counts (by bucket, not cumulative, one more than there '
    'are bounds) and its sum.';

create function scheduler.metric_group(p_labels json, variadic p_series json[]) returns json
language sql immutable set search_path = '' as $$
  select json_build_object('labels', p_labels, 'series', array_to_json(p_series));
$$;
comment on function scheduler.metric_group(json, json[]) is
  'Series that have their label sets in common: {"labels": {"<label>": [value of each set]}, "series": [see '
    'scheduler.metric and scheduler.histogram]}; without labels there is one set.';

create function scheduler.prometheus_metrics(p_now timestamptz default now()) returns json
language plpgsql stable set search_path = '' as $$
declare
  v_function text;
  v_read json;
  v_groups json[] := array[]::json[];
  v_errors jsonb := jsonb_build_object();
begin
  for v_function in select function_name from scheduler.metric_sources order by place loop
    begin
      execute format('select %s($1)', v_function) into v_read using p_now;
      if json_typeof(v_read) is distinct from 'array' then
        raise exception 'gave no array of groups but %', coalesce(json_typeof(v_read), 'null');
      end if;
      v_groups := v_groups || v_read;
    exception when others then
      -- A source that fails must not hide the others.
      v_errors := v_errors || jsonb_build_object(v_function, sqlerrm);
    end;
  end loop;
  return json_build_object(
    'families', (
      select json_agg(json_build_object('name', family, 'type', type, 'help', help) order by place)
        from scheduler.metric_families),
    'sources', array_to_json(v_groups || json_build_array(
      scheduler.metric_group('{}', scheduler.metric('scheduler_metric_sources_failed', (select count(*)
        from jsonb_object_keys(v_errors)))))),
    'errors', v_errors);
end;
$$;
comment on function scheduler.prometheus_metrics(timestamptz) is
  'Everything that a scrape shows: {"families": [{"name", "type", "help"}], "sources": [what each source gives, an '
    'array of groups], "errors": {"<function>": why it failed}}.';

-- Security definer: the counters and the pulse's mark are in the private schema, closed to service_role.
create function public.prometheus_metrics() returns json
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.prometheus_metrics();
$$;
comment on function public.prometheus_metrics() is 'scheduler.prometheus_metrics by the clock of the database.';

revoke all on function public.prometheus_metrics() from public, anon, authenticated;
grant execute on function public.prometheus_metrics() to service_role;

create function scheduler.scheduler_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group('{}',
    scheduler.metric('scheduler_locks_open', (select count(*) from public.scheduler_locks)),
    -- A scheduler that was installed a moment ago has not beaten yet.
    scheduler.metric('scheduler_pulse_age_seconds', round(extract(epoch from greatest(p_now - coalesce(greatest(
      (select last_pulse_at from scheduler.pulse_state), (select min(created_at) from public.scheduler_jobs)), p_now),
        interval '0')), 3)),
    scheduler.metric('scheduler_pulse_errors', coalesce((
      select count(*) from scheduler.pulse_state, lateral jsonb_object_keys(errors)), 0)));
$$;
comment on function scheduler.scheduler_metrics(timestamptz) is 'The group of metrics without labels: locks and pulse.';

-- The label is job_name, as the ledger's column: Prometheus puts the name of the scrape job into the label job and
-- would rename ours.
create function scheduler.job_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with jobs as (
    select counters.*,
      case when not jobs.enabled then 'disabled' when pause.paused then 'paused' else 'active' end as state,
      case when jobs.enabled and not pause.paused and jobs.next_run_at < p_now
        then round(extract(epoch from p_now - jobs.next_run_at), 3) else 0 end as overdue
    from public.scheduler_jobs as jobs
    join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (select jobs.enabled and scheduler.stop_now(jobs, p_now) is not null as paused) as pause
    order by job_name
  ), reasons as (
    -- Reasons that a dashboard can count on; the others are there once they have occurred.
    select reason, true as is_usual from unnest(array['paused', 'overlap', 'queue_full']) as reason
    union all
    select distinct reason, false from jobs, jsonb_object_keys(left_out) as reason
    where reason not in ('paused', 'overlap', 'queue_full')
  ), skipped as (
    select coalesce(json_agg(scheduler.metric('scheduler_skipped_total', counts, json_build_object('reason',
      reason))), '[]') as series
    from (
      select reason, json_agg(coalesce((left_out ->> reason)::bigint, case when is_usual then 0 end)) as counts
      from reasons, jobs group by reason, is_usual
    ) as by_reason
  )
  select json_build_array(
    scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(job_name), '[]')),
      scheduler.metric('scheduler_runs_total', json_agg(completed), '{"status": "completed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(failed), '{"status": "failed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(skipped), '{"status": "skipped"}'),
      scheduler.metric('scheduler_runs_total', json_agg(missed), '{"status": "missed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(cancelled), '{"status": "cancelled"}'),
      scheduler.metric('scheduler_runs_total', json_agg(deferred), '{"status": "deferred"}'),
      scheduler.histogram('scheduler_run_duration_seconds', scheduler.duration_bounds_ms(),
        json_agg(duration_counts), json_agg(duration_sum_ms / 1000.0)),
      scheduler.histogram('scheduler_fire_lag_seconds', scheduler.fire_lag_bounds_ms(),
        json_agg(fire_lag_counts), json_agg(fire_lag_sum_ms / 1000.0)),
      scheduler.metric('scheduler_last_success_age_seconds',
        -- greatest alone would make 0 of null: "this moment" of "never".
        json_agg(case when last_success_at is not null
          then round(extract(epoch from greatest(p_now - last_success_at, interval '0')), 3) end)),
      scheduler.metric('scheduler_occurrences_since_success', json_agg(failed_in_row), '{"status": "failed"}'),
      scheduler.metric('scheduler_occurrences_since_success', json_agg(missed_in_row), '{"status": "missed"}'),
      scheduler.metric('scheduler_missed_total', json_agg(missed)),
      scheduler.metric('scheduler_lost_total', json_agg(lost)),
      scheduler.metric('scheduler_retries_total', json_agg(retries)),
      scheduler.metric('scheduler_overdue_seconds', json_agg(overdue)),
      scheduler.metric('scheduler_job_active', json_agg((state = 'active')::integer))),
    json_build_object('labels', json_build_object('job_name', coalesce(json_agg(job_name), '[]')), 'series',
      (select series from skipped)),
    scheduler.metric_group('{"state": ["active", "paused", "disabled"]}',
      scheduler.metric('scheduler_jobs', json_build_array(count(*) filter (where state = 'active'),
        count(*) filter (where state = 'paused'), count(*) filter (where state = 'disabled')))),
    scheduler.scheduler_metrics(p_now))
  from jobs;
$$;
comment on function scheduler.job_metrics(timestamptz) is
  'What a scrape shows of the scheduler: a value a job, by job_name, and its own.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.job_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_runs_total', 'scheduler', 'counter', 'Runs that ended, by status; every attempt is a run, and a skipped '
    'or missed occurrence has one too.'),
  ('scheduler_run_duration_seconds', 'scheduler', 'histogram', 'How long runs took from their beginning to their end, '
    'however they ended.'),
  ('scheduler_fire_lag_seconds', 'scheduler', 'histogram', 'From an occurrence to the dispatch of its first attempt, '
    'counted when that ends.'),
  ('scheduler_last_success_age_seconds', 'scheduler', 'gauge', 'Since the job''s last completed run ended; absent '
    'before the first.'),
  ('scheduler_occurrences_since_success', 'scheduler', 'gauge', 'Occurrences since the last completed run that failed '
    '(with all attempts so far) or were missed, by status.'),
  ('scheduler_skipped_total', 'scheduler', 'counter', 'Occurrences skipped on purpose, by reason; misfire reasons '
    'are missed ones that the misfire policy did not run.'),
  ('scheduler_missed_total', 'scheduler', 'counter', 'Occurrences that were not dispatched in time.'),
  ('scheduler_lost_total', 'scheduler', 'counter', 'Runs that were dispatched and of which nothing was heard; they '
    'are among the failed.'),
  ('scheduler_retries_total', 'scheduler', 'counter', 'Retries that were dispatched, counted when they end.'),
  ('scheduler_overdue_seconds', 'scheduler', 'gauge', 'Since the job''s oldest occurrence that has no run yet; 0 when '
    'none is due, and while the job is paused or disabled.'),
  ('scheduler_job_active', 'scheduler', 'gauge', '1 when the job is enabled and not paused, else 0.'),
  ('scheduler_jobs', 'scheduler', 'gauge', 'Registered jobs by state.'),
  ('scheduler_locks_open', 'scheduler', 'gauge', 'Locks that are held: jobs with a run from dispatch to end.'),
  ('scheduler_pulse_age_seconds', 'scheduler', 'gauge', 'Since the last pulse; before the first one since the first '
    'job was registered.'),
  ('scheduler_pulse_errors', 'scheduler', 'gauge', 'Jobs and steps that failed in the last pulse.'),
  ('scheduler_metric_sources_failed', 'scheduler', 'gauge', 'Functions that could not give their metrics in this '
    'scrape; the function''s log says why.');
