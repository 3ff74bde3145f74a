-- The daily batch begins: marks, batch jobs, tasks and the processor's runs, all in one transaction.

create or replace function scheduler.make_batch_jobs(
  p_organization_ids uuid[], p_dates date[], p_time_zones text[], p_rerun integer, p_run_id uuid, p_now timestamptz
) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  v_jobs uuid[];
  v_with_tasks jsonb;
begin
  with due as (
    select * from unnest(p_organization_ids, p_dates, p_time_zones) as due (organization_id, batch_date, time_zone)
  ), providers as materialized (
    select name from public.batch_providers where enabled
  ), asked as materialized (
    select prompts.organization_id, count(*) * (select count(*) from providers) as tasks
    from public.prompts
    where prompts.status = 'active' and prompts.organization_id = any (p_organization_ids)
    group by prompts.organization_id
  ), made as (
    -- Without a task there is nothing that could end the job; so it is when the last prompt was switched off a moment ago.
    insert into public.batch_jobs (organization_id, batch_date, rerun, time_zone, tasks_total, run_id, status, completed_at, created_at)
    select organization_id, batch_date, p_rerun, time_zone, coalesce(tasks, 0), p_run_id,
      case when tasks > 0 then 'pending' else 'completed' end, case when coalesce(tasks, 0) = 0 then p_now end, p_now
    from due left join asked using (organization_id)
    returning id, organization_id, tasks_total
  ), tasks as (
    insert into public.batch_tasks (job_id, prompt_id, provider)
    select made.id, prompts.id, providers.name
    from made join public.prompts on prompts.organization_id = made.organization_id and prompts.status = 'active'
      cross join providers
    order by made.id, prompts.id, providers.name
  )
  select array_agg(id), jsonb_agg(jsonb_build_object('batchJobId', id)) filter (where tasks_total > 0)
    into v_jobs, v_with_tasks from made;
  perform scheduler.enqueue_runs('robust-batch-processor', coalesce(v_with_tasks, '[]'), null, p_now);
  return coalesce(v_jobs, array[]::uuid[]);
end;
$$;
comment on function scheduler.make_batch_jobs(uuid[], date[], text[], integer, uuid, timestamptz) is
  'Makes a batch job for each organization and date, with a task for each active prompt and enabled provider, and enqueues a run of the processor for each. Returns the jobs.';

-- Security definer because service_role, which calls it through REST, may only read the state and the batches. Without
-- jit, because where a server has it, compiling took 0.4 s of a call that takes 20 ms.
create or replace function public.trigger_daily_batch(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql security definer set search_path = '' set statement_timeout = '60s' set jit = off as $$
declare
  v_platform record;
  v_date date;
  v_marked boolean;
  v_due record;
  v_jobs uuid[];
  v_told jsonb;
begin
  -- All triggers take turns: each sees what the one before it did.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  select * into v_platform from scheduler.daily_batch_settings();
  v_told := jsonb_build_object('zones', p_zones, 'forced', p_force, 'manual_test', p_manual_test, 'batches', 0, 'tasks', 0);
  if not p_zones then
    v_date := scheduler.batch_date_at(v_platform.time_zone, v_platform.run_at, p_now);
    v_told := v_told || jsonb_build_object('date', to_char(v_date, 'YYYY-MM-DD'));
    if not p_force and not scheduler.in_daily_batch_window(p_now) then
      return v_told || jsonb_build_object('outcome', 'outside_window');
    end if;
  end if;
  if not exists (select from public.batch_providers where enabled) then
    return v_told || jsonb_build_object('outcome', 'no_provider');
  end if;
  if not p_zones then
    v_marked := (public.try_mark_daily_run(to_char(v_date, 'YYYY-MM-DD'), 'daily-batch') ->> 'updated')::boolean;
    if not v_marked and not p_force then
      return v_told || jsonb_build_object('outcome', 'already_run');
    end if;
  end if;

  select array_agg(organization_id) as organizations, array_agg(batch_date) as dates, array_agg(time_zone) as zones into v_due
    from scheduler.take_due_organizations(v_date, p_zones, p_force, p_now);
  v_jobs := scheduler.make_batch_jobs(v_due.organizations, v_due.dates, v_due.zones, 0, p_run_id, p_now);
  return v_told || jsonb_build_object(
    'outcome', case when v_marked is false and v_jobs = '{}' then 'already_run' else 'started' end,
    'batches', cardinality(v_jobs),
    'tasks', (select coalesce(sum(tasks_total), 0) from public.batch_jobs where id = any (v_jobs)));
end;
$$;
comment on function public.trigger_daily_batch(boolean, boolean, boolean, uuid, timestamptz) is
  'Begins the daily batch: of the organizations that follow the platform, within its window and once a local day; with p_zones of those with their own zone or hour that are due. p_force passes the window and looks at organizations that have not had their date for another reason, never at one that has. All or nothing. {"outcome": started | already_run | outside_window | no_provider, "date", "batches", "tasks", "zones", "forced", "manual_test"}.';

revoke all on function scheduler.make_batch_jobs(uuid[], date[], text[], integer, uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.trigger_daily_batch(boolean, boolean, boolean, uuid, timestamptz) from public, anon, authenticated;
grant execute on function public.trigger_daily_batch(boolean, boolean, boolean, uuid, timestamptz) to service_role;
