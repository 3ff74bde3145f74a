-- Dependencies: a run waits for the newest occurrences of the jobs that its own depends on.

-- How the newest pruned occurrence of each job ended: a daily job can depend on a monthly one.
create table scheduler.kept_occurrences (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  scheduled_for timestamptz not null check (isfinite(scheduled_for)),
  state text not null check (state in ('completed', 'failed', 'skipped', 'missed', 'cancelled'))
);
alter table scheduler.kept_occurrences enable row level security;
revoke all on scheduler.kept_occurrences from public, anon, authenticated, service_role;
comment on table scheduler.kept_occurrences is
  'The newest occurrence of each job that was pruned from the ledger, and how it ended.';

-- The state of an occurrence is that of all its attempts together.
create function scheduler.occurrence_state(p_job_name text, p_scheduled_for timestamptz) returns text
language sql stable set search_path = '' as $$
  select case
    when bool_or(status = 'completed') then 'completed'
    when bool_or(completed_at is null) then 'open'
    -- Its job was disabled when it was deferred: nothing goes on.
    else replace((array_agg(status order by attempt desc))[1], 'deferred', 'cancelled') end
  from public.scheduler_runs
  where job_name = p_job_name and scheduled_for = p_scheduled_for and trigger <> 'manual';
$$;
comment on function scheduler.occurrence_state(text, timestamptz) is
  'What has become of an occurrence, by all its attempts: completed, open (one waits or is under way), failed, '
    'skipped, missed, cancelled; null when it has no row.';

create function scheduler.newest_state(p_job_name text, p_at timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_gap public.scheduler_runs;
  v_kept scheduler.kept_occurrences;
  v_stands_for public.scheduler_runs;
begin
  -- What a calendar turned away does not count.
  select * into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for <= p_at and trigger <> 'manual'
      and skip_kind is distinct from 'calendar' and scheduler.is_of_occurrence(runs)
    order by scheduled_for desc, attempt desc limit 1;
  -- A gap row may have begun before it and have newer occurrences.
  select * into v_gap from public.scheduler_runs
    where job_name = p_job_name and occurrences > 1 and scheduled_until > v_run.scheduled_for
      and scheduled_for < v_run.scheduled_for and p_at > v_run.scheduled_for
    limit 1;
  if found then
    v_run := v_gap;
  end if;
  select * into v_kept from scheduler.kept_occurrences where job_name = p_job_name and scheduled_for <= p_at;
  -- Failures are kept longer than successes: what is left of an occurrence may be its first attempt alone.
  if v_kept.scheduled_for > v_run.scheduled_for or v_run.id is null
    or v_kept.scheduled_for = v_run.scheduled_for and v_kept.state = 'completed' then
    return v_kept.state;
  elsif v_run.occurrences > 1 then
    return v_run.status;
  elsif v_run.skip_kind not in ('overlap', 'queue_full') or v_run.skip_kind is null then
    return scheduler.occurrence_state(p_job_name, v_run.scheduled_for);
  end if;
  select * into v_stands_for from public.scheduler_runs where id = v_run.stands_for;
  return case
    when v_stands_for.id is null then 'skipped'
    when v_stands_for.trigger <> 'manual' then scheduler.occurrence_state(p_job_name, v_stands_for.scheduled_for)
    when v_stands_for.completed_at is null then 'open'
    else v_stands_for.status end;
end;
$$;
comment on function scheduler.newest_state(text, timestamptz) is
  'The state of the job''s newest recorded occurrence at or before p_at, as occurrence_state has it; one skipped for '
    'overlap has that of the run it overlapped. Null when none was ever recorded.';

create function scheduler.is_to_come(p_job_name text, p_at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (
    with recursive upstream as (
      select name, schedule, next_run_at, depends_on from public.scheduler_jobs where name = p_job_name
      union
      -- A job without a schedule has the occurrences of its dependencies.
      select jobs.name, jobs.schedule, jobs.next_run_at, jobs.depends_on
      from upstream join public.scheduler_jobs as jobs on jobs.name = any (upstream.depends_on)
      where upstream.schedule is null
    )
    select exists (select from upstream where next_run_at <= p_at)
      or exists (select from scheduler.wakes join upstream on name = job_name where scheduled_for <= p_at));
end;
$$;
comment on function scheduler.is_to_come(text, timestamptz) is
  'Whether an occurrence of the job at or before p_at is not recorded yet.';

create type scheduler.hold as (kind text, name text, until timestamptz, skip_reason text);
comment on type scheduler.hold is
  'What holds a run back: its kind (see scheduler_runs.waiting), the name of what it waits for, until when at the '
    'latest (null: until it happens); with a skip_reason the run is skipped instead.';

create function scheduler.dependency_answer(p_state text, p_to_come boolean, p_is_stopped boolean, p_policy text)
returns text
language sql immutable set search_path = '' as $$
  select case
    when p_to_come or p_state in ('open', 'deferred') then 'wait'
    when p_state is null or p_state = 'completed' then 'go'
    when p_is_stopped then 'wait'
    when p_policy = 'run' then 'go'
    else 'skip' end;
$$;
comment on function scheduler.dependency_answer(text, boolean, boolean, text) is
  'What a dependency says to a run: go, wait or skip; by the state of its newest occurrence (null: it was never due), '
    'whether one is to come, whether it is paused, stopped or disabled, and the policy for failures.';

create function scheduler.dependency_hold(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns scheduler.hold
language plpgsql stable set search_path = '' as $$
declare
  v_until constant timestamptz := scheduler.waiting_since(p_run, 'dependency', p_now)
    + make_interval(secs => p_job.dependency_timeout_seconds);
  v_needed record;
  v_hold scheduler.hold;
begin
  for v_needed in
    select name, state, scheduler.dependency_answer(state, scheduler.is_to_come(name, p_run.scheduled_for),
      not enabled or scheduler.stop_now(jobs, p_now) is not null, p_job.on_dependency_failure) as answer
    from unnest(p_job.depends_on) with ordinality as needed (needed_name, place)
      join public.scheduler_jobs as jobs on name = needed_name,
      lateral scheduler.newest_state(name, p_run.scheduled_for) as state
    order by place
  loop
    if v_needed.answer = 'skip' then
      return ('dependency', v_needed.name, null, format('dependency: %s %s', v_needed.name,
        case v_needed.state when 'failed' then 'failed' else 'was ' || v_needed.state end))::scheduler.hold;
    elsif v_needed.answer = 'wait' and v_hold.kind is null then
      v_hold := ('dependency', v_needed.name, v_until, null)::scheduler.hold;
    end if;
  end loop;
  if v_hold.kind is not null and v_until <= p_now then
    if p_job.on_dependency_timeout = 'run' then
      return null;
    end if;
    v_hold.skip_reason := format('dependency: %s had not completed after %s s', v_hold.name,
      p_job.dependency_timeout_seconds);
  end if;
  return v_hold;
end;
$$;
comment on function scheduler.dependency_hold(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'What the dependencies of a run say together: a hold to skip where one failed for good and the policy is skip, or '
    'where the time to wait is over; a hold to wait where one has not completed; else null.';

create function scheduler.record_dependent(
  p_job public.scheduler_jobs, p_occurrences timestamptz[], p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_recorded timestamptz[];
begin
  if p_job.schedule is not null or p_job.continuous or not p_job.enabled
    or coalesce(p_occurrences, '{}') = '{}' then
    return;
  end if;
  v_recorded := array(
    select added.scheduled_for from scheduler.add_runs(array(
      select scheduler.dependent_run(p_job, at, p_now) from unnest(p_occurrences) as at order by at)) as added);
  if v_recorded <> '{}' and p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, v_recorded, p_now);
  end if;
end;
$$;
comment on function scheduler.record_dependent(public.scheduler_jobs, timestamptz[], timestamptz) is
  'Gives a job without a schedule the occurrences of one of its dependencies: each its row, which waits or is skipped '
    'as the job is stopped. The caller holds the job''s row lock.';

-- A dependent whose calendars cannot be asked, for its time zone, must not fail the job that it depends on.
create function scheduler.try_record_dependent(
  p_job public.scheduler_jobs, p_occurrences timestamptz[], p_now timestamptz
) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform scheduler.record_dependent(p_job, p_occurrences, p_now);
  return true;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    raise warning 'the job % cannot be given the occurrences of what it depends on: %', p_job.name, sqlerrm;
    insert into scheduler.wakes (job_name, wake_at, scheduled_for) select p_job.name, 'epoch', unnest(p_occurrences);
    return false;
end;
$$;
comment on function scheduler.try_record_dependent(public.scheduler_jobs, timestamptz[], timestamptz) is
  'record_dependent, which undoes itself alone when it fails: false then, with a warning, and the pulse tries again '
    'and reports the failure. The caller holds the job''s row lock.';

create function scheduler.dependent_run(p_job public.scheduler_jobs, p_occurrence timestamptz, p_now timestamptz)
returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'dependency', p_occurrence);
  v_label constant text := scheduler.calendar_label(p_job, p_occurrence);
begin
  v_run.interval_from := (
    select max(scheduled_for) from public.scheduler_runs
    where job_name = p_job.name and scheduled_for < p_occurrence and trigger = 'dependency');
  v_run.skip_kind := coalesce(scheduler.stop_now(p_job, p_now), case when v_label is not null then 'calendar' end);
  if v_run.skip_kind is not null then
    return scheduler.skipped_run(p_job, v_run, v_run.skip_kind, v_label, p_now);
  end if;
  -- What holds back those that wait already holds back this one.
  v_run.waiting := scheduler.own_wait(p_job, scheduler.line_waits_for(p_job, p_now), p_occurrence);
  return v_run;
end;
$$;
comment on function scheduler.dependent_run(public.scheduler_jobs, timestamptz, timestamptz) is
  'The run of a job without a schedule for an occurrence of one of its dependencies: queued, or skipped as the job is '
    'stopped or by its calendars. Writes nothing: see add_runs.';

create function scheduler.follow(p_job_name text, p_occurrences timestamptz[], p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  if not scheduler.try_lock_job(p_job_name) then
    insert into scheduler.wakes (job_name, wake_at, scheduled_for)
      select p_job_name, 'epoch', at from unnest(p_occurrences || null::timestamptz) as at;
    return;
  end if;
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if v_job.name is null or v_job.continuous then
    return;
  end if;
  if not scheduler.try_record_dependent(v_job, p_occurrences, p_now) then
    return;
  end if;
  perform scheduler.look_again(p_job_name, 'dependency');
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
end;
$$;
comment on function scheduler.follow(text, timestamptz[], timestamptz) is
  'Has a dependent look at what it waits for: without a schedule it is given these occurrences first. One that '
    'somebody else holds is woken at the next pulse.';

-- A list, and not recursion: a failure that goes down a chain of 100 jobs would reach the limit of the stack.
create function scheduler.follow_all(p_job_names text[], p_occurrences timestamptz[], p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_list jsonb := nullif(current_setting('daybook.to_follow', true), '')::jsonb;
  v_is_nested constant boolean := v_list is not null;
  v_opens boolean;
begin
  select coalesce(v_list, '[]') || coalesce(jsonb_agg(item), '[]') into v_list
    from unnest(p_job_names) as name,
      lateral jsonb_build_object('job', name, 'occurrences', to_jsonb(p_occurrences)) as item
    where not v_is_nested or not v_list @> jsonb_build_array(item);
  perform set_config('daybook.to_follow', v_list::text, true);
  if v_is_nested then
    return;
  end if;
  v_opens := scheduler.opens_line();
  while v_list <> '[]' loop
    perform set_config('daybook.to_follow', (v_list - 0)::text, true);
    perform scheduler.follow(v_list -> 0 ->> 'job', array(
      select at::timestamptz from jsonb_array_elements_text(v_list -> 0 -> 'occurrences') as at), p_now);
    v_list := current_setting('daybook.to_follow')::jsonb;
  end loop;
  perform set_config('daybook.to_follow', '', true);
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
end;
$$;
comment on function scheduler.follow_all(text[], timestamptz[], timestamptz) is
  'scheduler.follow for each of the jobs, and for all that come to follow them. Called while it is at work it adds to '
    'the list, no more.';

create function scheduler.follow_up(p_job public.scheduler_jobs, p_occurrences timestamptz[], p_now timestamptz)
returns void
language sql set search_path = '' as $$
  select scheduler.follow_all(p_job.dependents, p_occurrences, p_now);
$$;
comment on function scheduler.follow_up(public.scheduler_jobs, timestamptz[], timestamptz) is
  'After these occurrences of a job were recorded, or (none) one has ended: gives dependents without a schedule their '
    'occurrences, and sends what waited for the job. The caller holds the job''s row lock.';

-- Dependents of a job without a schedule wait while any job above it has an occurrence to come.
create function scheduler.follow_beyond(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  perform scheduler.follow_all(array(
    with recursive beyond as (
      select name from unnest(p_job.dependents) as name
      union
      select next_name from beyond join public.scheduler_jobs as jobs using (name),
        lateral unnest(jobs.dependents) as next_name
      where jobs.schedule is null and not jobs.continuous
    )
    select name from beyond where name <> all (p_job.dependents) and exists (
      select from public.scheduler_runs
      where job_name = name and status = 'queued' and waiting ->> 'for' = 'dependency')), '{}', p_now);
end;
$$;
comment on function scheduler.follow_beyond(public.scheduler_jobs, timestamptz) is
  'After occurrences of a job came or were turned away: has those look again that wait for a job without a schedule '
    'which has its occurrences from this one. The caller holds the job''s row lock.';

-- Each job is looked at once: the ways through jobs that depend on several grow without bound.
create function scheduler.dependency_circle(p_job_name text, p_depends_on text[]) returns text
language plpgsql stable set search_path = '' as $$
declare
  -- For each job that was reached, the one that depends on it and was reached first.
  v_needed_by jsonb := (
    select coalesce(jsonb_object_agg(needed, p_job_name), '{}') from unnest(p_depends_on) as needed
    where needed is not null);
  v_further jsonb := v_needed_by;
  v_at text := p_job_name;
  v_circle text := p_job_name;
begin
  while v_further <> '{}' and not v_needed_by ? p_job_name loop
    select coalesce(jsonb_object_agg(needed, name order by name desc), '{}') into v_further
      from public.scheduler_jobs, lateral unnest(depends_on) as needed
      where v_further ? name and not v_needed_by ? needed;
    v_needed_by := v_needed_by || v_further;
  end loop;
  if (v_needed_by ? p_job_name) is not true then
    return null;
  end if;
  loop
    v_at := v_needed_by ->> v_at;
    v_circle := v_at || ' -> ' || v_circle;
    exit when v_at = p_job_name;
  end loop;
  return v_circle;
end;
$$;
comment on function scheduler.dependency_circle(text, text[]) is
  'The shortest circle that these dependencies of the job would close, as a -> b -> a; null when they close none.';

create function scheduler.dependency_fault(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_unknown constant text := (
    select string_agg(quote_literal(needed), ', ') from unnest(p_job.depends_on) as needed
    where needed is distinct from p_job.name and not exists (select from public.scheduler_jobs where name = needed));
  v_continuous constant text := (
    select name from public.scheduler_jobs where name = any (p_job.depends_on) and continuous order by name limit 1);
  v_without constant text := (
    select name from public.scheduler_jobs
    where name = any (p_job.depends_on) and schedule is null and not continuous and depends_on = '{}'
    order by name limit 1);
  v_circle constant text := scheduler.dependency_circle(p_job.name, p_job.depends_on);
begin
  return case
    when array_position(p_job.depends_on, null) is not null then 'depends_on must hold names of jobs, got null'
    when v_unknown is not null then format('depends_on must name registered jobs, got %s; the jobs are: %s', v_unknown,
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs))
    when cardinality(p_job.depends_on) > (select count(distinct needed) from unnest(p_job.depends_on) as needed)
      then format('depends_on names a job twice: %s', array_to_string(p_job.depends_on, ', '))
    when v_circle is not null then format('depends_on closes a circle: %s', v_circle)
    when v_continuous is not null then format('nobody can depend on a continuous job, and %s is one', v_continuous)
    when v_without is not null then format('nobody can depend on %s: it has neither a schedule nor dependencies, so '
      'nothing of it ever comes due', v_without)
    when p_job.schedule is null and not p_job.continuous and p_job.depends_on = '{}' and p_job.dependents <> '{}'
      then format('nothing of it would ever come due, and %s depends on it', array_to_string(p_job.dependents, ', '))
    when p_job.continuous and p_job.dependents <> '{}'
      then format('nobody can depend on a continuous job, and %s does', array_to_string(p_job.dependents, ', '))
  end;
end;
$$;
comment on function scheduler.dependency_fault(public.scheduler_jobs) is
  'The first thing that is wrong with a job''s dependencies; null when nothing is.';

create function scheduler.link_dependents(p_job_name text, p_depends_on text[]) returns void
language sql set search_path = '' as $$
  update public.scheduler_jobs as jobs set dependents = array(
    select name from public.scheduler_jobs where jobs.name = any (depends_on) order by name)
  where name = any (p_depends_on) or p_job_name = any (dependents);
$$;
comment on function scheduler.link_dependents(text, text[]) is
  'Writes down the dependents of each job that the job names now, or named before. The caller holds the lock of the '
    'registry.';
