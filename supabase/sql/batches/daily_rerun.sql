-- A date once more for one organization, on purpose.

create function batches.assert_can_rerun(p_organization public.organizations, p_date date, p_now timestamptz)
returns void
language plpgsql stable set search_path = '' as $$
declare
  v_zone text := (batches.clock_of(p_organization, batches.platform_clock())).time_zone;
  v_today date := (p_now at time zone v_zone)::date;
  v_open uuid := (
    select id from public.batch_jobs
    where organization_id = p_organization.id and batch_date = p_date and completed_at is null limit 1);
begin
  if p_date is null or p_date > v_today then
    raise exception using errcode = '22023',
      message = format('cannot run a batch of %s again: date must be today there (%s) or earlier, got %s',
        p_organization.name, v_today, coalesce(to_char(p_date, 'YYYY-MM-DD'), 'null'));
  elsif v_open is not null then
    raise exception using errcode = 'SD102',
      message = format('cannot run the batch of %s for %s again: batch job %s is still at work', p_organization.name,
        p_date, v_open),
      hint = 'wait for its end, or cancel it first';
  elsif batches.active_prompts_fault(p_organization.id) is not null then
    raise exception using errcode = 'SD301',
      message = format('cannot run a batch of %s again: it has no active prompt', p_organization.name);
  elsif not exists (select from public.batch_providers where enabled) then
    raise exception using errcode = 'SD302',
      message = format('cannot run a batch of %s again: no provider is enabled', p_organization.name);
  end if;
end;
$$;
comment on function batches.assert_can_rerun(public.organizations, date, timestamptz) is
  'Raises unless the organization''s batch of that date can be run once more now: SD102 while a batch job of it is at '
    'work; SD301 without an active prompt; SD302 when no provider is enabled; 22023 for a date to come.';

create function batches.rerun_daily(
  p_organization_id uuid, p_date date, p_reason text, p_author text, p_now timestamptz default now()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_organization public.organizations;
  v_rerun integer;
  v_made record;
begin
  perform scheduler.assert_given('run a batch again', 'reason and author',
    'select batches.rerun_daily(''<organization''''s id>'', ''2026-03-02'', ''why'', ''who'')', p_reason, p_author);
  -- Two people at once take turns.
  select * into v_organization from public.organizations where id = p_organization_id for no key update;
  if not found then
    raise exception using errcode = 'SD008',
      message = format('cannot run a batch again: there is no organization %s',
        coalesce(p_organization_id::text, 'null'));
  end if;
  perform batches.assert_can_rerun(v_organization, p_date, p_now);
  select coalesce(max(rerun), 0) + 1 into v_rerun from public.batch_jobs
    where organization_id = p_organization_id and batch_date = p_date;
  select * into v_made from batches.make_jobs(
    array[(p_organization_id, p_date, (batches.clock_of(v_organization, batches.platform_clock())).time_zone)
      ::batches.due_date], v_rerun, null, p_now);
  perform scheduler.enqueue_runs('robust-batch-processor', v_made.runs, null, p_now);
  perform scheduler.audit('rerun_daily', 'organization', p_organization_id::text, p_reason, p_author, null,
    jsonb_build_object('date', p_date, 'rerun', v_rerun, 'batch_job_id', v_made.batch_job_ids[1]), p_now);
  perform scheduler.log_activity('daily-batch', format('%s runs the batch of %s for %s again: %s', btrim(p_author),
      v_organization.name, p_date, btrim(p_reason)), 'info',
    jsonb_build_object('batch_job_id', v_made.batch_job_ids[1], 'organization_id', p_organization_id, 'rerun', v_rerun),
    p_now);
  return v_made.batch_job_ids[1];
end;
$$;
comment on function batches.rerun_daily(uuid, date, text, text, timestamptz) is
  'Runs a local date once more for one organization, with the prompts and providers of now, as a batch job of its own '
    '(rerun 1, 2, …); the once-a-day mark stays as it is. Leaves a line in scheduler_activity. Returns the batch job. '
    'Raises SD008 for an unknown organization; SD102 while a batch job of that date is at work; SD301 without an '
    'active prompt; SD302 when no provider is enabled; 22023 for a date to come, or a reason or author missing.';
