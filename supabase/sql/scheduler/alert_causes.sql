-- From what the rules see of all jobs to causes. One cause is one alert, however many jobs it stops.

create table public.scheduler_alerts (
  id uuid primary key default gen_random_uuid(),
  cause text not null,
  rule text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  jobs text[] not null default '{}',
  jobs_now integer not null default 0,
  seen_at timestamptz not null check (isfinite(seen_at)),
  opens_at timestamptz not null check (isfinite(opens_at)),
  opened_at timestamptz check (isfinite(opened_at)),
  ended_at timestamptz check (isfinite(ended_at)),
  end_kind text check (end_kind in ('over', 'unwatched')),
  settled boolean not null default false,
  check ((ended_at is null) = (end_kind is null) and ended_at >= opened_at)
);
create unique index scheduler_alerts_open_key on public.scheduler_alerts (cause) where ended_at is null;
create index scheduler_alerts_unsettled_idx on public.scheduler_alerts (cause) where not settled;
create index scheduler_alerts_ended_at_idx on public.scheduler_alerts (ended_at);
alter table public.scheduler_alerts enable row level security;
revoke all on public.scheduler_alerts from public, anon, authenticated, service_role;
grant select on public.scheduler_alerts to service_role;

comment on table public.scheduler_alerts is
  'One row a cause, from when it was first seen to its end. Written by the pulse while a channel is enabled.';
comment on column public.scheduler_alerts.cause is
  'What is wrong: "job <name>", "host <host>", "secret <name>", "setup <what>", "budget <name>", clock, pulse, queue.';
comment on column public.scheduler_alerts.rule is 'Of the rules that see it, the one of the highest severity.';
comment on column public.scheduler_alerts.jobs is 'All jobs that it stopped so far; empty: it is not of a job.';
comment on column public.scheduler_alerts.jobs_now is 'How many jobs it stops now.';
comment on column public.scheduler_alerts.opens_at is 'When it is an alert, if it lasts until then.';
comment on column public.scheduler_alerts.opened_at is 'Null: it has not lasted for for_seconds of its rule yet.';
comment on column public.scheduler_alerts.end_kind is
  'over, or unwatched: all its jobs are paused, disabled or gone.';
comment on column public.scheduler_alerts.settled is 'Nothing is left to be said of it.';

-- What happened at a moment and is no state of a job. It is over with the next completed run.
create table scheduler.alert_events (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  happened_at timestamptz not null check (isfinite(happened_at))
);
alter table scheduler.alert_events enable row level security;
revoke all on scheduler.alert_events from public, anon, authenticated, service_role;
comment on table scheduler.alert_events is
  'Jobs of which an occurrence was skipped, as its dependency was not there in time, and that have not completed '
    'since.';

create function scheduler.note_alert_events(p_since timestamptz, p_now timestamptz) returns void
language sql set search_path = '' as $$
  -- A transaction can commit a little later than others that began after it.
  insert into scheduler.alert_events as events (job_name, happened_at)
    select job_name, max(completed_at) from public.scheduler_runs as runs
    where status = 'skipped' and completed_at > coalesce(p_since, p_now - interval '1 hour') - interval '1 minute'
      and scheduler.is_dependency_timeout(skip_kind, skip_reason)
      and exists (select from public.scheduler_jobs where name = runs.job_name)
    group by job_name
    on conflict (job_name) do update set happened_at = excluded.happened_at
      where events.happened_at < excluded.happened_at;
  delete from scheduler.alert_events as events using scheduler.run_counters as counters
    where counters.job_name = events.job_name and counters.last_success_at >= events.happened_at;
$$;
comment on function scheduler.note_alert_events(timestamptz, timestamptz) is
  'Keeps alert_events, by what happened since the rules were last looked at (null: in the last hour).';

create function scheduler.usual_seconds(p_job_name text) returns numeric
language sql stable set search_path = '' as $$
  select case when runs >= 20 then p95_ms / 1000 end
  from scheduler.sample_durations(p_job_name, 200, array['completed']);
$$;
comment on function scheduler.usual_seconds(text) is
  'The p95 of the durations of the job''s last 200 completed runs; null when there are fewer than 20.';

create function scheduler.suspects(p_errors jsonb, p_now timestamptz) returns setof text
language sql stable set search_path = '' rows 20 as $$
  select job_name from scheduler.run_counters where failed_in_row > 0 or missed_in_row > 0
  union
  select name from public.scheduler_jobs where enabled and next_run_at < p_now - interval '1 minute'
  union
  select job_name from public.scheduler_runs
    where status in ('queued', 'dispatched', 'running') and scheduled_for < p_now - interval '1 minute'
      and (status = 'running' or trigger in ('cron', 'catch_up', 'dependency'))
  union
  select name from public.scheduler_jobs where continuous and enabled
  union
  select job_name from public.scheduler_breakers where opened_at is not null
  union
  select job_name from scheduler.alert_events
  union
  select jsonb_object_keys(p_errors);
$$;
comment on function scheduler.suspects(jsonb, timestamptz) is
  'The jobs that a rule can see. All others are well; most of the time there are none.';

create function scheduler.facts_of(p_job public.scheduler_jobs, p_errors jsonb, p_now timestamptz)
returns scheduler.alert_facts
language plpgsql stable set search_path = '' as $$
declare
  v_facts scheduler.alert_facts;
  v_unsuccessful_for timestamptz;
begin
  select failed_in_row, missed_in_row, unsuccessful_for
    into v_facts.failed_in_row, v_facts.missed_in_row, v_unsuccessful_for
    from scheduler.run_counters where job_name = p_job.name;
  v_facts.job_name := p_job.name;
  v_facts.continuous := p_job.continuous;
  v_facts.is_retrying := exists (
    select from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = v_unsuccessful_for and status in ('queued', 'dispatched',
      'running'));
  select extract(epoch from p_now - min(scheduled_for) filter (where status = 'queued' and attempt = 1
      and trigger in ('cron', 'catch_up', 'dependency') and not scheduler.is_put_off(waiting, p_now))),
      extract(epoch from p_now - min(started_at) filter (where status = 'running'))
    into v_facts.waiting_seconds, v_facts.running_seconds
    from public.scheduler_runs
    where job_name = p_job.name and status in ('queued', 'dispatched', 'running');
  v_facts.overdue_seconds := extract(epoch from p_now - p_job.next_run_at);
  v_facts.is_down := p_job.continuous and not scheduler.is_alive(p_job, p_now);
  v_facts.breaker_state := (
    select scheduler.breaker_state(opened_at, p_job.breaker_cooldown_seconds, p_now) from public.scheduler_breakers
    where job_name = p_job.name and p_job.breaker_failures is not null);
  v_facts.dependency_timed_out := exists (select from scheduler.alert_events where job_name = p_job.name);
  if v_facts.running_seconds > 60 and not p_job.continuous then
    v_facts.usual_seconds := scheduler.usual_seconds(p_job.name);
  end if;
  v_facts.pulse_error := p_errors ->> p_job.name;
  return v_facts;
end;
$$;
comment on function scheduler.facts_of(public.scheduler_jobs, jsonb, timestamptz) is
  'What the rules see of a job, given what failed in the last pulse.';

create type scheduler.sighting as (
  rule text, severity text, for_seconds integer, job_name text, verdict text, fault text, host text, secret_name text,
  depends_on text[]
);
comment on type scheduler.sighting is
  'A rule that holds of a job, and what is known of why: its last failure''s verdict, the message, where it was sent '
    'and with which secret.';

create function scheduler.job_sightings(p_errors jsonb, p_now timestamptz) returns setof scheduler.sighting
language sql stable set search_path = '' rows 20 as $$
  select rules.rule, rules.severity, rules.for_seconds, jobs.name, failure.verdict,
    case rules.rule when 'pulse_errors' then (facts).pulse_error else failure.error_message end,
    case when jobs.function_name is not null then 'functions'
      else substring(jobs.target from '^https://([^/?#]+)') end,
    jobs.secret_name, jobs.depends_on
  from scheduler.suspects(p_errors, p_now) as suspect
    join public.scheduler_jobs as jobs on jobs.name = suspect
      and jobs.enabled and scheduler.stop_now(jobs, p_now) is null
    -- Offset 0: without it the facts are gathered again for each rule.
    cross join lateral (select scheduler.facts_of(jobs, p_errors, p_now) as facts offset 0) as gathered
    join public.scheduler_alert_rules as rules
      on rules.enabled and scheduler.job_rule_holds(rules.rule, rules.threshold, facts)
    left join lateral (
      select verdict, error_message from public.scheduler_runs
      where rules.rule in ('failed', 'failing', 'breaker_open', 'continuous_down') and job_name = jobs.name
        and scheduled_for = (select unsuccessful_for from scheduler.run_counters as counters
          where counters.job_name = jobs.name)
        and status = 'failed'
      order by attempt desc limit 1) as failure on true;
$$;
comment on function scheduler.job_sightings(jsonb, timestamptz) is
  'The rules that hold of jobs now. Jobs that are paused, stopped or disabled are not looked at.';

-- Verdicts that say something of the way to the target, not of the job.
create function scheduler.shared_cause(p_sighting scheduler.sighting, p_alike bigint) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_sighting.rule = 'missed' then 'clock'
    when p_sighting.rule = 'pulse_errors' then case when p_alike >= 3 then 'pulse' end
    when p_sighting.verdict = 'not_sent' then 'queue'
    when p_sighting.verdict in ('unreachable', 'lost') then 'host ' || p_sighting.host
    when p_sighting.verdict = 'unauthorized' then 'secret ' || p_sighting.secret_name
    when p_sighting.verdict = 'misconfigured' then 'setup ' || left(p_sighting.fault, 100)
    -- One job alone may be the fault of that job.
    when p_sighting.verdict in ('boot_error', 'gateway_timeout', 'rate_limited', 'stalled', 'interrupted')
      and p_alike >= 3 then 'host ' || p_sighting.host
  end;
$$;
comment on function scheduler.shared_cause(scheduler.sighting, bigint) is
  'The cause that a sighting shares with others; null: it is the job''s own. p_alike: how many jobs are seen with the '
    'same verdict at the same host, or with the same message of the pulse.';

create type scheduler.seen_cause as (cause text, rule text, severity text, for_seconds integer, jobs text[]);
comment on type scheduler.seen_cause is 'A cause as the rules see it now, with the jobs that it stops.';

create function scheduler.causes_of(p_sightings scheduler.sighting[]) returns setof scheduler.seen_cause
language sql immutable set search_path = '' rows 5 as $$
  with likened as (
    select sightings, case (sightings).rule when 'pulse_errors' then (sightings).fault
      else (sightings).verdict || ' ' || (sightings).host end as likeness
    from unnest(p_sightings) as sightings
  ), counted as (
    select likeness, count(distinct (sightings).job_name) as jobs from likened group by likeness
  ), caused as (
    select sightings, scheduler.shared_cause(sightings, coalesce(jobs, 0)) as shared
    from likened left join counted using (likeness)
  ), first_of_job as (
    select distinct on ((sightings).job_name) (sightings).job_name as job_name, shared,
      (sightings).rule in ('late', 'dependency_timeout') as waits
    from caused where (sightings).job_name is not null
    order by (sightings).job_name, (sightings).rule in ('late', 'dependency_timeout'), shared nulls last
  ), named as (
    -- A job that waits for one that has a cause itself waits for that cause.
    select sightings, coalesce(shared, (
      select coalesce(first_of_job.shared, 'job ' || first_of_job.job_name) from first_of_job
      where (sightings).rule in ('late', 'dependency_timeout') and not first_of_job.waits
        and first_of_job.job_name = any ((sightings).depends_on)
      order by first_of_job.job_name limit 1), 'job ' || (sightings).job_name) as cause
    from caused
  )
  select cause, (array_agg((sightings).rule order by scheduler.severity_rank((sightings).severity) desc,
      (sightings).rule))[1],
    (array_agg((sightings).severity order by scheduler.severity_rank((sightings).severity) desc))[1],
    min((sightings).for_seconds),
    coalesce(array_agg(distinct (sightings).job_name order by (sightings).job_name)
      filter (where (sightings).job_name is not null), '{}')
  from named group by cause;
$$;
comment on function scheduler.causes_of(scheduler.sighting[]) is
  'The causes behind what the rules see: one row a cause, with its worst rule and its jobs.';

create function scheduler.seen_causes(p_state scheduler.pulse_state, p_now timestamptz)
returns setof scheduler.seen_cause
language sql stable set search_path = '' rows 5 as $$
  with rules as (select * from public.scheduler_alert_rules where enabled),
  seen as (
    select * from scheduler.causes_of(array(select sightings from scheduler.job_sightings(p_state.errors, p_now)
      as sightings))
    union all
    select 'budget ' || budget, rule, severity, for_seconds, '{}'
      from rules, scheduler.budget_states(p_now)
      where rule = 'budget_exhausted' and scheduler.budget_rule_holds(threshold, tokens, tokens_left)
    union all
    select 'queue', rule, severity, for_seconds, '{}' from rules
      where rule = 'queue_still' and scheduler.queue_rule_holds(threshold, p_state.queue_still_since, p_now)
    union all
    select 'pulse', rule, severity, for_seconds, '{}' from rules
      where rule = 'pulse_errors' and exists (select from jsonb_object_keys(p_state.errors) as key
        where key like 'step %')
  )
  select cause, (array_agg(rule order by scheduler.severity_rank(severity) desc, rule))[1],
    (array_agg(severity order by scheduler.severity_rank(severity) desc))[1], min(for_seconds),
    coalesce((select array_agg(distinct job order by job) from seen as same, unnest(same.jobs) as job
      where same.cause = seen.cause), '{}')
  from seen group by cause;
$$;
comment on function scheduler.seen_causes(scheduler.pulse_state, timestamptz) is
  'All causes that the rules see now, of jobs and of what they share.';

create function scheduler.is_watched(p_jobs text[], p_now timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select p_jobs = '{}' or exists (
    select from public.scheduler_jobs as jobs
    where name = any (p_jobs) and enabled and scheduler.stop_now(jobs, p_now) is null);
$$;
comment on function scheduler.is_watched(text[], timestamptz) is
  'Whether any of these jobs is enabled and neither paused nor stopped; true without any job.';

create function scheduler.write_causes(p_causes scheduler.seen_cause[], p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_seen constant text[] := array(select cause from unnest(p_causes));
begin
  delete from public.scheduler_alerts where opened_at is null and not cause = any (v_seen);
  update public.scheduler_alerts
    set ended_at = greatest(p_now, opened_at), jobs_now = 0,
      end_kind = case when scheduler.is_watched(jobs, p_now) then 'over' else 'unwatched' end
    where ended_at is null and not cause = any (v_seen);
  insert into public.scheduler_alerts as alerts (cause, rule, severity, jobs, jobs_now, seen_at, opens_at)
    select cause, rule, severity, jobs, cardinality(jobs), p_now, p_now + make_interval(secs => for_seconds)
    from unnest(p_causes)
    on conflict (cause) where ended_at is null do update set rule = excluded.rule, severity = excluded.severity,
      jobs = array(select distinct job from unnest(alerts.jobs || excluded.jobs) as job order by job),
      jobs_now = excluded.jobs_now, opens_at = least(alerts.opens_at, excluded.opens_at)
    where alerts.rule <> excluded.rule or alerts.severity <> excluded.severity or alerts.jobs_now <> excluded.jobs_now
      or not alerts.jobs @> excluded.jobs or excluded.opens_at < alerts.opens_at;
  update public.scheduler_alerts set opened_at = p_now
    where ended_at is null and opened_at is null and opens_at <= p_now;
end;
$$;
comment on function scheduler.write_causes(scheduler.seen_cause[], timestamptz) is
  'Opens, keeps and ends alerts by what is seen now. A cause that was over before its time is forgotten.';

create function scheduler.look_for_causes(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_state scheduler.pulse_state;
begin
  select * into v_state from scheduler.pulse_state;
  v_state.queue_still_since := scheduler.still_since(v_state.queue_still_since,
    exists (select from net.http_request_queue), (select max(created) from net._http_response), p_now);
  perform scheduler.note_alert_events(v_state.last_looked_at, p_now);
  -- Most of the time all is well: then what costs the most, the planning of the other statements, is left out.
  if v_state.queue_still_since is not null or exists (select from scheduler.suspects(v_state.errors, p_now))
    or exists (select from public.scheduler_budgets) or exists (select from public.scheduler_alerts where not settled)
  then
    perform scheduler.write_causes(array(select causes from scheduler.seen_causes(v_state, p_now) as causes), p_now);
  end if;
  update scheduler.pulse_state set queue_still_since = v_state.queue_still_since, last_looked_at = p_now;
end;
$$;
comment on function scheduler.look_for_causes(timestamptz) is
  'Looks at all rules, and keeps scheduler_alerts. The caller holds the row of pulse_state.';

select scheduler.add_retention_rule('scheduler', 'scheduler_alerts', 180, 'ended_at < $1 and settled');
