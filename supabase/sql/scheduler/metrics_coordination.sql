-- The metrics of what jobs share and what holds them back.

create function scheduler.breaker_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_breaker_state', json_agg(case scheduler.breaker_state(opened_at,
      breaker_cooldown_seconds, p_now) when 'closed' then 0 when 'half-open' then 1 else 2 end order by name)))
  from public.scheduler_jobs left join public.scheduler_breakers on job_name = name
  where breaker_failures is not null;
$$;
comment on function scheduler.breaker_metrics(timestamptz) is 'A value a job that has a breaker, by job_name.';

create function scheduler.continuous_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_continuous_alive', json_agg(scheduler.is_alive(jobs, p_now)::integer order by name)))
  from public.scheduler_jobs as jobs
  where continuous and enabled;
$$;
comment on function scheduler.continuous_metrics(timestamptz) is 'A value a continuous job, by job_name.';

create function scheduler.waiting_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_waiting_seconds', json_agg(
      coalesce(round(extract(epoch from greatest(interval '0', p_now - since)), 3), 0) order by name)))
  from public.scheduler_jobs, lateral (
    select min(scheduled_for) as since from public.scheduler_runs as runs
    where job_name = name and status = 'queued' and not scheduler.is_backfill(runs)
      and not scheduler.is_put_off(waiting, p_now)) as oldest;
$$;
comment on function scheduler.waiting_metrics(timestamptz) is 'A value a job, by job_name.';

create function scheduler.group_metrics() returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('group_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_group_limit', json_agg(parallel_limit order by name)),
    scheduler.metric('scheduler_group_under_way', json_agg(held order by name)))
  from public.scheduler_groups, lateral (
    select count(*) as held from scheduler.group_slots where group_name = name and run_id is not null) as slots
  where parallel_limit is not null;
$$;
comment on function scheduler.group_metrics() is 'A value a group that has a limit, by group_name.';

create function scheduler.parallel_metrics() returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_parallel_limit', json_agg(scheduler.limit_in_force(jobs) order by name)))
  from public.scheduler_jobs as jobs where parallel_limit is not null;
$$;
comment on function scheduler.parallel_metrics() is 'A value a job that has a parallel limit, by job_name.';

create function scheduler.stretch_metrics() returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_idle_in_row', json_agg(coalesce(idle_in_row, 0) order by name)))
  from public.scheduler_jobs left join scheduler.stretches on job_name = name
  where stretch_after is not null;
$$;
comment on function scheduler.stretch_metrics() is 'A value a job that is stretched, by job_name.';

create function scheduler.coordination_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(
    scheduler.metric_group('{}', scheduler.metric('scheduler_incident_seconds', coalesce((
      select round(extract(epoch from greatest(interval '0', p_now - started_at)), 3) from public.scheduler_incidents
      where ended_at is null), 0))),
    scheduler.breaker_metrics(p_now), scheduler.continuous_metrics(p_now), scheduler.waiting_metrics(p_now),
    scheduler.group_metrics(), scheduler.parallel_metrics(), scheduler.stretch_metrics());
$$;
comment on function scheduler.coordination_metrics(timestamptz) is
  'What a scrape shows of breakers, continuous jobs, waiting runs, groups, limits, stretched jobs and incidents.';

-- By itself: pg_net, in whose queue it looks, may be gone, and the other metrics stay.
create function scheduler.load_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(scheduler.metric_group('{}',
    scheduler.metric('scheduler_busy', (scheduler.busy_because(p_now) is not null)::integer)));
$$;
comment on function scheduler.load_metrics(timestamptz) is 'Whether the database is busy, as defer_if may ask.';

insert into scheduler.metric_sources (function_name, pack) values
  ('scheduler.coordination_metrics', 'scheduler'), ('scheduler.load_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_breaker_state', 'scheduler', 'gauge', 'The breaker of the job: 0 closed, 1 half-open, 2 open.'),
  ('scheduler_continuous_alive', 'scheduler', 'gauge', '1 while a continuous job has a living heartbeat, is idle as '
    'planned, or hands over; else 0.'),
  ('scheduler_waiting_seconds', 'scheduler', 'gauge', 'Since the occurrence of the job''s oldest run that waits '
    'and is neither back-filled nor put off; 0 when none does.'),
  ('scheduler_group_limit', 'scheduler', 'gauge', 'How many runs of the group may be under way at once.'),
  ('scheduler_group_under_way', 'scheduler', 'gauge', 'How many runs of the group are under way.'),
  ('scheduler_incident_seconds', 'scheduler', 'gauge', 'Since an incident stops all jobs; 0 when none does.'),
  ('scheduler_parallel_limit', 'scheduler', 'gauge', 'How many runs of the job may be under way at once now.'),
  ('scheduler_idle_in_row', 'scheduler', 'gauge', 'How many runs in a row of a job with stretch_after found nothing.'),
  ('scheduler_busy', 'scheduler', 'gauge', '1 while scheduler.is_busy() puts runs off, else 0.');
