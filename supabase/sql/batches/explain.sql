-- Why has this organization its answers, or none? A few sentences for a tired person.

create function batches.explain_job(p_job public.batch_jobs, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_processor public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_name text := format('Batch job %s', p_job.id) || case when p_job.rerun > 0 then format(' (run again, %s)', p_job.rerun) else '' end;
  v_ended text := scheduler.local_text(p_job.completed_at, p_job.time_zone);
  v_reasons text := (
    select string_agg(format('%s (%s)', key, value), ', ' order by length(value) desc, value desc, key)
    from (select * from jsonb_each_text(p_job.reasons) limit 20) as reasons);
  v_beaten bigint := extract(epoch from p_now - p_job.last_heartbeat);
begin
  if p_job.status = 'cancelled' then
    return format('%s was cancelled at %s with %s of %s tasks answered: %s.', v_name, v_ended, p_job.tasks_completed, p_job.tasks_total, v_reasons);
  elsif p_job.tasks_total = 0 then
    return format('%s had nothing to ask: no prompt was active any more when it was made.', v_name);
  elsif p_job.completed_at is not null then
    return format('%s ended at %s: %s of %s tasks answered', v_name, v_ended, p_job.tasks_completed, p_job.tasks_total)
      || case when p_job.tasks_completed < p_job.tasks_total
        then format('; the others failed: %s. When that is mended: rerun_daily_batch.', v_reasons) else '.' end;
  end if;

  v_name := format('%s is open: %s of %s tasks answered, %s failed', v_name, p_job.tasks_completed, p_job.tasks_total, p_job.tasks_failed)
    || coalesce(' (' || v_reasons || ')', '');
  select * into v_processor from public.scheduler_jobs where name = 'robust-batch-processor';
  -- Who is at work says more than who waits.
  select * into v_run from scheduler.open_runs('robust-batch-processor', p_job.id::text)
    order by array_position(array['running', 'dispatched', 'queued'], status), run_after nulls first
    limit 1;
  return v_name || case
    when v_beaten <= 60 then format('. A processor works on it, last heard of %s s ago.', greatest(v_beaten, 0))
    when v_run.status in ('running', 'dispatched') then '. A processor has been called for it.'
    when v_run.status = 'queued' then format('. Its processor waits %s.', case
      when scheduler.is_paused(v_processor, p_now)
        then format('because robust-batch-processor is paused by %s: %s', v_processor.paused_by, v_processor.pause_reason)
      when v_run.run_after > p_now then format('until %s', scheduler.local_text(v_run.run_after, p_job.time_zone))
      else format('for one of the %s runs under way to end, or the next pulse', v_processor.parallel_limit) end)
    else format('. Nobody works on it; resume_stuck_batch_job(%L) says what can be done.', p_job.id) || coalesce((
      select ' Its last run ' || case when status = 'failed' then 'failed: ' || left(error_message, 300) else 'was ' || status end || '.'
      from (
        (select key, status, error_message, created_at from public.scheduler_runs
          where job_name = 'robust-batch-processor' order by created_at desc limit 2000)
        union all
        -- One that failed among the first of the day may lie behind thousands that did not.
        (select key, status, error_message, created_at from public.scheduler_runs
          where status = 'failed' and completed_at >= p_job.created_at and job_name = 'robust-batch-processor'
          order by completed_at desc limit 2000)) as newest
      where key = p_job.id::text
      order by created_at desc limit 1), '')
  end || coalesce((
    select ' Left alone because they are down or ask to wait: ' || string_agg(
      format('%s until %s (%s)', name, to_char(open_until at time zone p_job.time_zone, 'HH24:MI:SS'), last_error), ', ' order by name) || '.'
    from public.batch_providers where open_until > p_now and enabled), '');
end;
$$;
comment on function batches.explain_job(public.batch_jobs, timestamptz) is
  'What became of a batch job: what failed and why, or who works on it and what it waits for.';

-- Small and capital letters of every alphabet, whatever the locale of the database, and blanks around do not count.
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
  -- Those whose names are most like it come first.
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
  'What explain_batch answers to a name that no organization has: the organizations there are, 20 at most.';

create function batches.explain(p_organization text, p_date date default null, p_now timestamptz default now())
returns text
language plpgsql stable set search_path = '' as $$
declare
  v_ids uuid[] := batches.organizations_named(p_organization);
  v_organization public.organizations;
  v_job public.batch_jobs;
  v_platform record;
  v_zone text;
  v_run_at time;
  v_date date;
  v_comes_at timestamptz;
  v_follows boolean;
  v_trigger text;
  v_last text;
  v_had date;
  v_today date;
begin
  if cardinality(v_ids) > 1 then
    return format('%s organizations are named %s; ask by one''s id: %s.', cardinality(v_ids), p_organization, array_to_string(v_ids[:5], ', '));
  end if;
  select * into v_organization from public.organizations where id = v_ids[1];
  if not found then
    return batches.no_such_organization(p_organization);
  end if;
  select * into v_platform from batches.daily_settings();
  v_zone := coalesce(v_organization.time_zone, v_platform.time_zone);
  if not scheduler.knows_time_zone(v_zone) then
    return format('%s has no batch: this server does not know its time zone %s. Give it another: update organizations set time_zone = …, and '
      || 'its next date is the first that comes after that.', v_organization.name, v_zone);
  end if;
  v_run_at := coalesce(v_organization.daily_run_at, v_platform.run_at);
  -- One that is owed a date, or was switched on today, has a cursor for a while.
  v_follows := v_organization.time_zone is null and v_organization.daily_run_at is null and v_organization.next_batch_at is null
    and not exists (select from batches.owed_dates where organization_id = v_organization.id and state = 'owed');
  v_date := coalesce(p_date, (p_now at time zone v_zone)::date);

  select * into v_job from public.batch_jobs
    where organization_id = v_organization.id and batch_date = v_date order by rerun desc limit 1;
  if found then
    return format('%s, %s: ', v_organization.name, v_date) || batches.explain_job(v_job, p_now);
  end if;

  v_comes_at := scheduler.first_showing(v_date + v_run_at, v_zone);
  v_had := batches.last_date(v_organization.id);
  v_today := batches.date_at((v_zone, v_run_at)::batches.clock, p_now);
  select * into v_job from public.batch_jobs
    where organization_id = v_organization.id and batch_date < v_date order by batch_date desc, rerun desc limit 1;
  v_last := coalesce(' The one before, ' || v_job.batch_date || ': ' || batches.explain_job(v_job, p_now), ' It has had none before.');
  v_trigger := case when v_follows then 'daily-batch-trigger' else 'daily-batch-trigger-zones' end;
  return format('%s has no batch for %s: ', v_organization.name, v_date) || case
    when not v_organization.enabled then format('it is disabled, since %s or earlier.', scheduler.local_text(v_organization.updated_at, v_zone))
    when v_had = v_date then 'it is marked as had, so its batch job was deleted. rerun_daily_batch makes another.'
    when v_had > v_date and v_date >= v_today then format('it had %s already, before it was moved, and no date comes twice.', v_had)
    when v_comes_at > p_now then format('its time comes at %s.', scheduler.local_text(v_comes_at, v_zone)) || v_last
    when v_date < v_today then 'no prompt was active or no provider enabled at its time, or it was not there or switched off, or there was an '
      || 'outage of more than a day, or its batch job was deleted. rerun_daily_batch makes it.' || v_last
    when not exists (select from public.prompts where organization_id = v_organization.id and status = 'active')
      then format('it has no active prompt (%s).', coalesce((
        select string_agg(count || ' ' || status, ', ' order by status)
        from (select status, count(*) as count from public.prompts where organization_id = v_organization.id group by status) as prompts), 'none at all'))
    when not exists (select from public.batch_providers where enabled) then 'no provider is enabled.'
    when v_organization.next_batch_at <= p_now
      or exists (select from batches.owed_dates where organization_id = v_organization.id and batch_date = v_date and state = 'owed')
      or v_follows and v_organization.created_at < v_comes_at and not batches.platform_has_had(v_date)
      then format('it is due since %s, and %s has not made it. %s', scheduler.local_text(v_comes_at, v_zone), v_trigger,
          case when v_follows and not batches.in_daily_window(p_now)
            then format('The window is over: scheduler.run_now(%L, ''{"force": true}''). ', v_trigger) else '' end)
        || scheduler.explain(v_trigger, (
          select scheduler.previous_occurrence(schedule, time_zone, p_now) from public.scheduler_jobs
          where name = v_trigger and schedule is not null), p_now)
    else format('at its time, %s, it had no active prompt, or it was created, switched on or moved after that. At once: scheduler.run_now(%L, %L).',
        scheduler.local_text(v_comes_at, v_zone), v_trigger,
        case when v_follows then '{"force": true}' else '{"zones": true, "force": true}' end) || v_last
  end;
end;
$$;
comment on function batches.explain(text, date, timestamptz) is
  'Why the organization (its name or id) has, or has not, its answers of that local date (today there when none is given): what became of its batch job, or why there is none.';
