-- What must hold in the ledger of simulated jobs, read from the ledger, the registry and the audit log alone. Nothing
-- of the scheduler decides here but the moments of a schedule, which have tests of their own.

-- The time that is looked at, and the stretches in which the machine was down.
create table simulation.span (starts_at timestamptz, ends_at timestamptz, outages tstzmultirange);

-- Every occurrence of each job.
create table simulation.occurrences (job_name text, occurrence timestamptz, primary key (job_name, occurrence));

create function simulation.prepare_judgement(p_from timestamptz, p_to timestamptz, p_outages tstzmultirange)
returns void
language sql set search_path = '' as $$
  insert into simulation.span values (p_from, p_to, p_outages);
  insert into simulation.occurrences
    select name, at from public.scheduler_jobs, scheduler.occurrences(schedule, time_zone, p_from, p_to) as at
    where schedule is not null;
  analyze simulation.occurrences;
$$;
comment on function simulation.prepare_judgement(timestamptz, timestamptz, tstzmultirange) is
  'Notes what the invariants are asked about: [p_from, p_to), and when the machine was down.';

-- By the audit log: each pause of a job, of its group, and each incident, from its verb to its end.
create view simulation.stops as
  select jobs.name as job_name, began.verb,
    tstzrange(began.occurred_at, least((began.after ->> 'until')::timestamptz, (
      select min(ended.occurred_at) from public.scheduler_audit as ended
      where ended.occurred_at >= began.occurred_at and ended.subject = began.subject
        and ended.verb = case began.verb when 'pause' then 'resume' when 'pause_group' then 'resume_group'
          else 'end_incident' end))) as stretch
  from public.scheduler_audit as began join public.scheduler_jobs as jobs on case began.verb
    when 'pause' then jobs.name = began.subject when 'pause_group' then jobs.group_name = began.subject
    when 'start_incident' then true end;

-- How far a job is from the roots.
create view simulation.depths as
  with recursive depths as (
    select name, 0 as depth from public.scheduler_jobs
    union
    select jobs.name, depth + 1 from depths join public.scheduler_jobs as jobs on depths.name = any (jobs.depends_on)
  )
  select name as job_name, max(depth) as depth from depths group by name;

create view simulation.sent as
  select runs.*, jobs.depends_on, jobs.continuous, jobs.group_name, jobs.overlap_policy, jobs.on_dependency_failure,
    jobs.on_dependency_timeout, jobs.dependency_timeout_seconds
  from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = job_name
  where dispatched_at is not null;

-- The newest occurrence of each dependency at or before each run's own; one skipped for overlap stands for another.
create view simulation.needed as
  select sent.*, needed.name as needed_name, coalesce(stand.scheduled_for, newest.occurrence) as needed_at
  from simulation.sent as sent cross join unnest(sent.depends_on) as needed (name)
    cross join lateral (select max(occurrence) as occurrence from simulation.occurrences
      where occurrences.job_name = needed.name and occurrence <= sent.scheduled_for) as newest
    left join public.scheduler_runs as overlapped on overlapped.job_name = needed.name
      and overlapped.scheduled_for = newest.occurrence and overlapped.skip_kind in ('overlap', 'queue_full')
    left join public.scheduler_runs as stand on stand.id = overlapped.stands_for
  where sent.attempt = 1 and sent.trigger in ('cron', 'catch_up') and not sent.continuous
    and newest.occurrence is not null;

create function simulation.broken_dependencies() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select 'a dependent began before its dependency had completed', format('%s of %s at %s, %s of %s', needed.job_name,
    needed.scheduled_for, needed.dispatched_at, needed_name, needed_at)
  from simulation.needed as needed
  where not exists (
      select from public.scheduler_runs as before
      where before.job_name = needed_name and before.scheduled_for = needed_at and before.status = 'completed'
        and before.completed_at <= needed.dispatched_at)
    -- It was to run although its dependency failed, and that one was over.
    and not (on_dependency_failure = 'run' and exists (
        select from public.scheduler_runs as before
        where before.job_name = needed_name and before.completed_at <= needed.dispatched_at
          and needed_at between before.scheduled_for and coalesce(before.scheduled_until, before.scheduled_for))
      and not exists (
        select from public.scheduler_runs as before
        where before.job_name = needed_name and before.scheduled_for = needed_at
          and coalesce(before.completed_at, 'infinity') > needed.dispatched_at))
    and not (on_dependency_timeout = 'run'
      and needed.dispatched_at >= needed.scheduled_for + make_interval(secs => dependency_timeout_seconds));
$$;
comment on function simulation.broken_dependencies() is 'Dependents that began too early.';

create function simulation.endless_waits(p_longest interval) returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select 'a run waits longer than it said', format('%s at %s: %s', job_name, seen_at, waiting)
  from simulation.overdue
  union all
  select 'a run waits at the end', format('%s of %s: %s', job_name, scheduled_for, waiting)
  from public.scheduler_runs, simulation.span
  where status = 'queued' and (waiting ->> 'until')::timestamptz > ends_at is not true
    and coalesce((waiting ->> 'since')::timestamptz, scheduled_for) < ends_at - p_longest
  union all
  select 'a run waited for too long', format('%s of %s, attempt %s: %s', job_name, scheduled_for, attempt, waited)
  from (
    select runs.job_name, runs.scheduled_for, runs.attempt, jobs.depends_on, jobs.dependency_timeout_seconds, (
      select coalesce(sum(upper(part) - lower(part)), interval '0') from unnest(
        tstzmultirange(tstzrange(
          greatest(runs.scheduled_for, (select max(completed_at) from public.scheduler_runs as before
            where before.job_name = runs.job_name and before.scheduled_for = runs.scheduled_for
              and before.attempt < runs.attempt)),
          greatest(runs.scheduled_for, coalesce(runs.dispatched_at, runs.completed_at))))
        - span.outages - coalesce((
          select range_agg(stretch) from simulation.stops where stops.job_name = runs.job_name),
            '{}')) as part) as waited
    from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = runs.job_name,
      simulation.span
    where runs.completed_at is not null and runs.trigger <> 'catch_up' and runs.status <> 'missed') as waits
  where waited > p_longest + case when depends_on <> '{}' and attempt = 1
    then make_interval(secs => dependency_timeout_seconds) else interval '0' end;
$$;
comment on function simulation.endless_waits(interval) is
  'Runs that waited for longer than they said, or longer than p_longest and, for dependencies, their timeout.';

create view simulation.healthy as
  select jobs.name as job_name, tstzmultirange(tstzrange(starts_at, ends_at))
    -- The functions died in it; a pulse finds that out after their heartbeat's timeout.
    - coalesce((
      select range_agg(tstzrange(lower(down), upper(down) + interval '2 minutes')) from unnest(outages) as down),
      '{}')
    - coalesce((
      -- A ramp is part of the incident.
      select range_agg(case when verb = 'start_incident' then tstzrange(lower(stretch), upper(stretch) + (
          select make_interval(secs => ramp_seconds) from public.scheduler_incidents where started_at = lower(stretch)))
        else tstzrange(lower(stretch), upper(stretch) + interval '20 seconds') end)
      from simulation.stops where stops.job_name = jobs.name), '{}') as spans
  from public.scheduler_jobs as jobs, simulation.span;

create function simulation.alive_shares() returns table (job_name text, share numeric, told numeric)
language sql stable set search_path = '' as $$
  with lives as (
    select runs.job_name, range_agg(tstzrange(started_at, greatest(started_at, case
        when verdict = 'stalled' then heartbeat_at
        when completed_at is null then ends_at
        -- The pulse that ends an idle time comes within ten seconds.
        else completed_at + make_interval(secs => 3 + case when result -> 'idle' = 'true' then idle_seconds + 10
          else 0 end) end))) as spans
    from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = runs.job_name, simulation.span
    where continuous and started_at is not null
    group by 1
  )
  select healthy.job_name, (
      select sum(extract(epoch from upper(part) - lower(part))) from unnest(healthy.spans * lives.spans) as part)
      / (select sum(extract(epoch from upper(part) - lower(part))) from unnest(healthy.spans) as part),
    (select sum(scheduler.alive_share(healthy.job_name, lower(part), upper(part))
        * extract(epoch from upper(part) - lower(part)))
      / sum(extract(epoch from upper(part) - lower(part))) from unnest(healthy.spans) as part)
  from simulation.healthy join lives using (job_name);
$$;
comment on function simulation.alive_shares() is
  'Of each continuous job: how much of its healthy time it was alive, by the ledger and as alive_share() tells it.';

create function simulation.dead_services(p_least numeric) returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select 'a continuous job was not alive', format('%s: %s', jobs.name, round(share, 5))
  from public.scheduler_jobs as jobs left join simulation.alive_shares() on job_name = jobs.name
  where continuous and coalesce(share, 0) < p_least
  union all
  select 'alive_share() tells something else than the ledger', format('%s: %s, not %s', job_name, round(told, 5),
    round(share, 5))
  -- Here each hand-over counts in full, there as far as it lasts; and hearts beat here when a pulse looks, no oftener.
  from simulation.alive_shares() where abs(share - told) > 0.005 is not false;
$$;
comment on function simulation.dead_services(numeric) is 'Continuous jobs that were alive for less than p_least.';

create function simulation.broken_limits() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  with at_once as (
    select sent.job_name, sent.group_name, sent.dispatched_at, sent.overlap_policy,
      count(*) filter (where other.job_name = sent.job_name) as of_job, count(*) as of_group
    from simulation.sent as sent join simulation.sent as other on other.group_name = sent.group_name
      and other.dispatched_at <= sent.dispatched_at and coalesce(other.completed_at, 'infinity') > sent.dispatched_at
    group by sent.id, 1, 2, 3, 4
  )
  select 'two runs of a job at once', format('%s at %s: %s', job_name, dispatched_at, of_job)
  from at_once join public.scheduler_jobs as jobs on name = job_name
  where of_job > case when at_once.overlap_policy = 'allow' then coalesce(parallel_limit, 1000) else 1 end
  union all
  select 'the limit of a group was passed', format('%s at %s: %s', group_name, dispatched_at, of_group)
  from at_once join public.scheduler_groups as groups on name = group_name where of_group > groups.parallel_limit;
$$;
comment on function simulation.broken_limits() is 'Moments at which more runs were under way than may be.';

create function simulation.broken_stops() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select 'a run was sent while its job was stopped', format('%s at %s: %s %s', sent.job_name, dispatched_at, verb,
    stretch)
  from simulation.sent as sent join simulation.stops on stops.job_name = sent.job_name
    and stretch @> dispatched_at and lower(stretch) < dispatched_at
  union all
  select 'a run was sent that was to be put off', format('%s of %s at %s', sent.job_name, sent.scheduled_for,
    sent.dispatched_at)
  from simulation.sent as sent join public.scheduler_jobs as jobs on jobs.name = sent.job_name
  where defer_if is not null and sent.dispatched_at < sent.scheduled_for + make_interval(secs => defer_at_most_seconds)
    and scheduler.ask_function('whether it is to wait', 'defer_if', defer_if, sent.dispatched_at)
    -- The oldest that waits decides: its time was over.
    and not exists (select from public.scheduler_runs as older
      where older.job_name = sent.job_name and older.scheduled_for < sent.scheduled_for
        and older.scheduled_for + make_interval(secs => defer_at_most_seconds) <= sent.dispatched_at
        and coalesce(older.dispatched_at, older.completed_at, 'infinity') >= sent.dispatched_at)
  union all
  select 'a breaker that had to be open let a run go', format('%s at %s', sent.job_name, dispatched_at)
  from simulation.sent as sent join public.scheduler_jobs as jobs on jobs.name = sent.job_name,
    lateral (
      select count(*) filter (where status = 'failed') as failures, max(completed_at) as last_at
      from (select status, completed_at from public.scheduler_runs as before
        where before.job_name = sent.job_name and before.completed_at <= sent.dispatched_at
          and before.status in ('failed', 'completed')
        order by completed_at desc limit breaker_failures) as newest) as ended
  where ended.failures = breaker_failures and last_at > dispatched_at - make_interval(secs => breaker_cooldown_seconds);
$$;
comment on function simulation.broken_stops() is
  'Runs that were sent in a pause, an incident or an open breaker, or that were to be put off.';

create function simulation.broken_resumes() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  with firsts as (
    select incidents.id, incidents.ended_at, incidents.ramp_seconds, jobs.name as job_name, jobs.continuous,
      jobs.depends_on, first.dispatched_at as first_at, first.scheduled_for
    from public.scheduler_incidents as incidents, public.scheduler_jobs as jobs left join lateral (
      select dispatched_at, scheduled_for from simulation.sent as sent
      where sent.job_name = jobs.name and sent.dispatched_at > incidents.started_at
        -- A retry waits for no dependency.
        and sent.attempt = 1
      order by dispatched_at limit 1) as first on true
  )
  select 'a job was not resumed within the ramp', format('%s: %s, %s s from %s', job_name, first_at, ramp_seconds,
    ended_at)
  from firsts
  where first_at < ended_at
    -- What had a run when the incident began, and was not told to end, went on.
    or continuous and first_at > ended_at + make_interval(secs => ramp_seconds + 10) and not exists (
      select from public.scheduler_runs as runs
      where runs.job_name = firsts.job_name and runs.dispatched_at < ended_at
        and coalesce(runs.completed_at, 'infinity') > ended_at)
      and not exists (select from simulation.stops
        where stops.job_name = firsts.job_name and verb <> 'start_incident' and stretch @> ended_at)
  union all
  select 'jobs were resumed in another order than that of their dependencies', format('%s at %s, %s at %s',
    firsts.job_name,
    firsts.first_at, needed.job_name, needed.first_at)
  from firsts join (
      select id, job_name, first_at from firsts) as needed using (id)
  where needed.job_name = any (depends_on) and not continuous and firsts.first_at < needed.first_at
    and firsts.first_at <= ended_at + make_interval(secs => ramp_seconds)
    -- What it ran for was due in the ramp, and so was what that waits for.
    and exists (select from public.scheduler_runs as due where due.job_name = needed.job_name
      and due.scheduled_for between ended_at and firsts.scheduled_for and due.skip_kind is distinct from 'incident');
$$;
comment on function simulation.broken_resumes() is
  'Jobs that were resumed too early or too late after an incident, or before those that they depend on.';

create function simulation.broken_occurrences() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select 'an occurrence has no row', format('%s of %s', job_name, occurrence)
  from simulation.occurrences as due, simulation.span
  where occurrence < ends_at - interval '1 minute' and not exists (
    select from public.scheduler_runs as runs where runs.job_name = due.job_name and trigger <> 'manual'
      and due.occurrence between scheduled_for and coalesce(scheduled_until, scheduled_for))
  union all
  select 'a row is of no occurrence', format('%s of %s', job_name, scheduled_for)
  from public.scheduler_runs as runs where trigger in ('cron', 'catch_up', 'retry') and not exists (
    select from simulation.occurrences as due
    where due.job_name = runs.job_name and occurrence = runs.scheduled_for)
  union all
  select 'an occurrence completed twice', format('%s of %s', job_name, scheduled_for)
  from public.scheduler_runs where status = 'completed'
  group by job_name, scheduled_for having count(*) > 1;
$$;
comment on function simulation.broken_occurrences() is
  'Occurrences that have no row, and rows that have no occurrence.';

create function simulation.broken_budgets() returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  with takes as (
    select result ->> 'budget' as budget, (result ->> 'taken_at')::timestamptz as taken_at
    from public.scheduler_runs where result ? 'budget'
  )
  select 'a budget was passed', format('%s: %s in the %s s until %s', budget, count(*), per_seconds, last.taken_at)
  from (select distinct budget, taken_at from takes) as last join public.scheduler_budgets on name = budget
    join takes as earlier using (budget)
  where earlier.taken_at > last.taken_at - make_interval(secs => per_seconds) and earlier.taken_at <= last.taken_at
  group by budget, per_seconds, last.taken_at, tokens having count(*) > tokens;
$$;
comment on function simulation.broken_budgets() is 'Spans in which more tokens were taken than a budget has.';

create function simulation.faults(p_least_alive numeric, p_longest_wait interval)
returns table (fault text, detail text)
language sql stable set search_path = '' as $$
  select * from simulation.broken_dependencies()
  union all select * from simulation.endless_waits(p_longest_wait)
  union all select * from simulation.dead_services(p_least_alive)
  union all select * from simulation.broken_limits()
  union all select * from simulation.broken_stops()
  union all select * from simulation.broken_resumes()
  union all select * from simulation.broken_occurrences()
  union all select * from simulation.broken_budgets();
$$;
comment on function simulation.faults(numeric, interval) is 'All that is wrong with the ledger.';
