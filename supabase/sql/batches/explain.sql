-- Why does an organization have its answers of a day, or why not? A few sentences for a tired person.

create function batches.waiting_text(p_run public.scheduler_runs, p_time_zone text, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_processor public.scheduler_jobs;
begin
  select * into v_processor from public.scheduler_jobs where name = 'robust-batch-processor';
  return case
    when scheduler.is_paused(v_processor, p_now)
      then format('because robust-batch-processor is paused by %s: %s', v_processor.paused_by, v_processor.pause_reason)
    when p_run.run_after > p_now then format('until %s', scheduler.local_text(p_run.run_after, p_time_zone))
    else format('for one of the %s runs under way to end, or the next pulse', v_processor.parallel_limit) end;
end;
$$;
comment on function batches.waiting_text(public.scheduler_runs, text, timestamptz) is
  'What a run of the processor waits for.';

create function batches.last_run_text(p_job public.batch_jobs) returns text
language sql stable set search_path = '' as $$
  select 'Its last run ' || case when status = 'failed' then 'failed: ' || left(error_message, 300)
    else 'was ' || status end || '.'
  from (
    (select key, status, error_message, created_at from public.scheduler_runs
      where job_name = 'robust-batch-processor' order by created_at desc limit 2000)
    union all
    -- A run that failed among the first of the day may lie behind thousands that did not.
    (select key, status, error_message, created_at from public.scheduler_runs
      where status = 'failed' and completed_at >= p_job.created_at and job_name = 'robust-batch-processor'
      order by completed_at desc limit 2000)) as newest
  where key = p_job.id::text
  order by created_at desc limit 1;
$$;
comment on function batches.last_run_text(public.batch_jobs) is
  'What the newest run of the processor for a batch job came to; null when none of the last thousands was for it.';

create function batches.work_text(p_job public.batch_jobs, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_silent_seconds bigint := extract(epoch from p_now - p_job.last_heartbeat);
begin
  -- A run under way says more than one that waits.
  select * into v_run from scheduler.runs_with_key('robust-batch-processor', p_job.id::text)
    order by array_position(array['running', 'dispatched', 'queued'], status), run_after nulls first
    limit 1;
  return case
    when v_silent_seconds <= 60
      then format('A processor works on it, last heard of %s s ago.', greatest(v_silent_seconds, 0))
    when v_run.status in ('running', 'dispatched') then 'A processor has been called for it.'
    when v_run.status = 'queued'
      then format('Its processor waits %s.', batches.waiting_text(v_run, p_job.time_zone, p_now))
    else concat_ws(' ', format('No processor works on it; resume_stuck_batch_job(%L) says what can be done.', p_job.id),
      batches.last_run_text(p_job)) end;
end;
$$;
comment on function batches.work_text(public.batch_jobs, timestamptz) is
  'Which processor works on an open batch job, or what it waits for.';

create function batches.breakers_text(p_time_zone text, p_now timestamptz) returns text
language sql stable set search_path = '' as $$
  select 'Providers that are not called, because they are down or ask to wait: ' || string_agg(
    format('%s until %s (%s)', name, to_char(open_until at time zone p_time_zone, 'HH24:MI:SS'), last_error), ', '
    order by name) || '.'
  from public.batch_providers as providers where enabled and batches.breaker_state(providers, p_now) = 'open';
$$;
comment on function batches.breakers_text(text, timestamptz) is
  'Whose breakers are open, until when and why; null when none is.';

create function batches.explain_job(p_job public.batch_jobs, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_name text := concat('Batch job ', p_job.id,
    case when p_job.rerun > 0 then format(' (run again, %s)', p_job.rerun) end);
  v_ended text := scheduler.local_text(p_job.completed_at, p_job.time_zone);
  v_reasons text := (
    select string_agg(format('%s (%s)', key, value), ', ' order by length(value) desc, value desc, key)
    from (select * from jsonb_each_text(p_job.reasons) limit 20) as reasons);
begin
  return case
    when p_job.status = 'cancelled' then format('%s was cancelled at %s with %s of %s tasks answered: %s.', v_name,
      v_ended, p_job.tasks_completed, p_job.tasks_total, v_reasons)
    when p_job.tasks_total = 0
      then format('%s had nothing to ask: no prompt was active any more when it was made.', v_name)
    when p_job.completed_at is not null and p_job.tasks_completed = p_job.tasks_total
      then format('%s ended at %s: %s of %s tasks answered.', v_name, v_ended, p_job.tasks_completed,
        p_job.tasks_total)
    when p_job.completed_at is not null
      then format('%s ended at %s: %s of %s tasks answered; the others failed: %s. When that is mended: '
        'batches.rerun_daily.', v_name, v_ended, p_job.tasks_completed, p_job.tasks_total, v_reasons)
    else concat_ws(' ',
      concat(format('%s is open: %s of %s tasks answered, %s failed', v_name, p_job.tasks_completed,
        p_job.tasks_total, p_job.tasks_failed), ' (' || v_reasons || ')', '.'),
      batches.work_text(p_job, p_now), batches.breakers_text(p_job.time_zone, p_now)) end;
end;
$$;
comment on function batches.explain_job(public.batch_jobs, timestamptz) is
  'What became of a batch job: what failed and why, or which processor works on it and what it waits for.';

-- Case and blanks around a name do not count, in every alphabet and whatever the locale of the database.
create function batches.organizations_named(p_name text) returns uuid[]
language sql stable set search_path = '' as $$
  select array_agg(id order by id) from public.organizations
  where id::text = lower(btrim(p_name))
    or lower(btrim(name) collate "und-x-icu") = lower(btrim(p_name) collate "und-x-icu")
$$;
comment on function batches.organizations_named(text) is
  'The ids of the organizations with this name or id, whatever the case; null when there is none.';

create function batches.no_such_organization(p_name text) returns text
language sql stable set search_path = '' as $$
  -- The most similar names come first.
  with listed as (
    select left(name, 60) as name, row_number() over (
      order by extensions.similarity(name, coalesce(p_name, '')) desc, name, id) as place, count(*) over () as total
    from public.organizations
  )
  select format('There is no organization %s, neither by name nor by id. ', coalesce(left(p_name, 100), 'null'))
    || coalesce(
      format('There are %s: ', max(total)) || string_agg(name, ', ' order by place)
        || case when max(total) > 20 then format(', and %s more', max(total) - 20) else '' end || '.',
      'There are none at all.')
  from listed where place <= 20
$$;
comment on function batches.no_such_organization(text) is
  'What explain answers to a name that no organization has: the organizations there are, 20 at most.';

create function batches.latest_job(p_organization_id uuid, p_date date) returns public.batch_jobs
language sql stable set search_path = '' as $$
  select * from public.batch_jobs
  where organization_id = p_organization_id and batch_date <= p_date order by batch_date desc, rerun desc limit 1;
$$;
comment on function batches.latest_job(uuid, date) is
  'The organization''s batch job of that date, or of the latest one before it; of several of a date the last.';

create function batches.active_prompts_fault(p_organization_id uuid) returns text
language sql stable set search_path = '' as $$
  select case when count(*) filter (where status = 'active') = 0
    then format('it has no active prompt (%s).', coalesce(string_agg(count || ' ' || status, ', ' order by status),
      'none at all')) end
  from (
    select status, count(*) from public.prompts where organization_id = p_organization_id group by status) as prompts;
$$;
comment on function batches.active_prompts_fault(uuid) is
  'Which prompts an organization without an active one has; null when it has an active one.';

create function batches.due_text(
  p_organization public.organizations, p_trigger text, p_since timestamptz, p_time_zone text, p_now timestamptz
) returns text
language sql stable set search_path = '' as $$
  select concat_ws(' ',
    format('it is due since %s, and %s has not made it.', scheduler.local_text(p_since, p_time_zone), p_trigger),
    case when p_trigger = 'daily-batch-trigger' and not batches.in_daily_window(p_now)
      then format('The window is over: scheduler.run_now(%L, ''who'', ''{"force": true}'').', p_trigger) end,
    scheduler.explain(p_trigger, (
      select scheduler.previous_occurrence(schedule, time_zone, p_now) from public.scheduler_jobs
      where name = p_trigger and schedule is not null), p_now));
$$;
comment on function batches.due_text(public.organizations, text, timestamptz, text, timestamptz) is
  'That a date is due and not begun, and what became of the trigger that should have done it.';

create function batches.why_none(p_organization public.organizations, p_date date, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_clock batches.clock := batches.clock_of(p_organization, batches.platform_clock());
  v_comes_at timestamptz := batches.comes_at(v_clock, p_date);
  v_today date := batches.date_at(v_clock, p_now);
  v_had date := batches.last_date(p_organization.id);
  v_owed batches.owed_dates;
  v_trigger text;
  v_prompts_fault text := batches.active_prompts_fault(p_organization.id);
begin
  select * into v_owed from batches.owed_dates where organization_id = p_organization.id and batch_date = p_date;
  -- An organization that follows the platform has a cursor after it was switched on today, or an owed date.
  v_trigger := case when batches.follows_platform(p_organization) and p_organization.next_batch_at is null
    and v_owed.state is distinct from 'owed' then 'daily-batch-trigger' else 'daily-batch-trigger-zones' end;
  return case
    when not p_organization.enabled then format('it is disabled, since %s or earlier.',
      scheduler.local_text(p_organization.updated_at, v_clock.time_zone))
    when v_had = p_date then 'it is marked as had, so its batch job was deleted. batches.rerun_daily makes another.'
    when v_owed.state = 'owed' then batches.due_text(p_organization, v_trigger, v_owed.due_at, v_clock.time_zone, p_now)
    when v_owed.state = 'dropped' then 'it was owed the date after a move, and had no active prompt at the tick that '
      'followed, or was switched off. batches.rerun_daily makes it.'
    when v_had > p_date and p_date >= v_today
      then format('it had %s already, before it was moved, and no date comes twice.', v_had)
    when v_comes_at > p_now then format('its time comes at %s.', scheduler.local_text(v_comes_at, v_clock.time_zone))
    when p_date < v_today then 'at its time no prompt was active or no provider enabled, the organization did not '
      'exist yet or was switched off, or no tick came for more than a day; or its batch job was deleted. '
      'batches.rerun_daily makes it.'
    when v_prompts_fault is not null then v_prompts_fault
    when not exists (select from public.batch_providers where enabled) then 'no provider is enabled.'
    when p_organization.next_batch_at <= p_now or v_trigger = 'daily-batch-trigger'
      and p_organization.created_at < v_comes_at and not batches.platform_has_had(p_date)
      then batches.due_text(p_organization, v_trigger, v_comes_at, v_clock.time_zone, p_now)
    else format('at its time, %s, it had no active prompt, or it was created, switched on or moved after that. At '
      'once: scheduler.run_now(%L, ''who'', %L).', scheduler.local_text(v_comes_at, v_clock.time_zone), v_trigger,
      case v_trigger when 'daily-batch-trigger' then '{"force": true}' else '{"zones": true, "force": true}' end) end;
end;
$$;
comment on function batches.why_none(public.organizations, date, timestamptz) is
  'Why an organization has no batch job of that local date.';

create function batches.explain(p_organization text, p_date date default null, p_now timestamptz default now())
returns text
language plpgsql stable set search_path = '' as $$
declare
  v_ids uuid[] := batches.organizations_named(p_organization);
  v_organization public.organizations;
  v_zone text;
  v_date date;
  v_job public.batch_jobs;
begin
  if cardinality(v_ids) > 1 then
    return format('%s organizations are named %s; ask by one''s id: %s.', cardinality(v_ids), p_organization,
      array_to_string(v_ids[:5], ', '));
  end if;
  select * into v_organization from public.organizations where id = v_ids[1];
  if not found then
    return batches.no_such_organization(p_organization);
  end if;
  v_zone := (batches.clock_of(v_organization, batches.platform_clock())).time_zone;
  if not scheduler.knows_time_zone(v_zone) then
    return format('%s has no batch: this server does not know its time zone %s. Give it another: update organizations '
      'set time_zone = …, and its next date is the first that comes after that.', v_organization.name, v_zone);
  end if;
  v_date := coalesce(p_date, (p_now at time zone v_zone)::date);
  v_job := batches.latest_job(v_organization.id, v_date);
  if v_job.batch_date = v_date then
    return format('%s, %s: %s', v_organization.name, v_date, batches.explain_job(v_job, p_now));
  end if;
  return concat_ws(' ',
    format('%s has no batch for %s: %s', v_organization.name, v_date, batches.why_none(v_organization, v_date, p_now)),
    case when v_job.id is null then 'It has had none before.'
      else format('The one before, %s: %s', v_job.batch_date, batches.explain_job(v_job, p_now)) end);
end;
$$;
comment on function batches.explain(text, date, timestamptz) is
  'Why the organization (its name or id) has, or has not, its answers of that local date (today there when none is '
    'given): what became of its batch job, or why there is none, and the batch job before.';
