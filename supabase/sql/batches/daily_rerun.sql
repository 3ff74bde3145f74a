-- A date once more for one organization, on purpose.

create function public.rerun_daily_batch(
  p_organization_id uuid, p_date date, p_who text, p_reason text, p_now timestamptz default now()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_organization public.organizations;
  v_platform record;
  v_time_zone text;
  v_open uuid;
  v_rerun integer;
  v_made record;
  v_job uuid;
begin
  if coalesce(btrim(p_who), '') = '' or coalesce(btrim(p_reason), '') = '' then
    raise exception using errcode = '22023', message = 'cannot run a batch again: who and reason must be given',
      hint = 'select rerun_daily_batch(''<organization''''s id>'', ''2026-03-02'', ''who'', ''why'')';
  end if;
  -- Two people at once take turns.
  select * into v_organization from public.organizations where id = p_organization_id for no key update;
  if not found then
    raise exception using errcode = 'SD008',
      message = format('cannot run a batch again: there is no organization %s', coalesce(p_organization_id::text, 'null'));
  end if;
  select * into v_platform from batches.daily_settings();
  v_time_zone := coalesce(v_organization.time_zone, v_platform.time_zone);
  if p_date is null or p_date > (p_now at time zone v_time_zone)::date then
    raise exception using errcode = '22023',
      message = format('cannot run a batch of %s again: date must be today there (%s) or earlier, got %s', v_organization.name,
        to_char(p_now at time zone v_time_zone, 'YYYY-MM-DD'), coalesce(to_char(p_date, 'YYYY-MM-DD'), 'null'));
  end if;
  select id into v_open from public.batch_jobs
    where organization_id = p_organization_id and batch_date = p_date and completed_at is null limit 1;
  if v_open is not null then
    raise exception using errcode = 'SD102',
      message = format('cannot run the batch of %s for %s again: batch job %s is still at work', v_organization.name, to_char(p_date, 'YYYY-MM-DD'), v_open),
      hint = 'wait for its end, or cancel it first';
  end if;
  if not exists (select from public.prompts where organization_id = p_organization_id and status = 'active') then
    raise exception using errcode = 'SD301', message = format('cannot run a batch of %s again: it has no active prompt', v_organization.name);
  end if;
  if not exists (select from public.batch_providers where enabled) then
    raise exception using errcode = 'SD302', message = format('cannot run a batch of %s again: no provider is enabled', v_organization.name);
  end if;

  select coalesce(max(rerun), 0) + 1 into v_rerun from public.batch_jobs
    where organization_id = p_organization_id and batch_date = p_date;
  select * into v_made from batches.make_jobs(array[p_organization_id], array[p_date], array[v_time_zone], v_rerun, null, p_now);
  v_job := v_made.batch_job_ids[1];
  perform scheduler.enqueue_runs('robust-batch-processor', v_made.runs, null, p_now);
  perform scheduler.log_activity('daily-batch',
    format('%s runs the batch of %s for %s again: %s', btrim(p_who), v_organization.name, to_char(p_date, 'YYYY-MM-DD'), btrim(p_reason)),
    'info', jsonb_build_object('batch_job_id', v_job, 'organization_id', p_organization_id, 'rerun', v_rerun), p_now);
  return v_job;
end;
$$;
comment on function public.rerun_daily_batch(uuid, date, text, text, timestamptz) is
  'Runs a local date once more for one organization, with the prompts and providers of now, as a batch job of its own (rerun 1, 2, …); the once-a-day mark stays as it is. Leaves a line in scheduler_activity. Returns the batch job. Raises SD008 for an unknown organization; SD102 while a batch job of that date is at work; SD301 without an active prompt; SD302 when no provider is enabled; 22023 for a date to come, or who or reason missing.';

revoke all on function
  public.rerun_daily_batch(uuid, date, text, text, timestamptz)
from public, anon, authenticated, service_role;
