-- The daily batch begins: marks, batch jobs, tasks and the processor's runs, all in one transaction.

-- One plan for ten organizations and for ten thousand, all by keys: by the statistics of a table that was empty a
-- moment ago whole tables would be read for each row.
create or replace function scheduler.make_batch_jobs(
  p_organization_ids uuid[], p_dates date[], p_time_zones text[], p_rerun integer, p_run_id uuid, p_now timestamptz,
  out batch_job_ids uuid[], out tasks bigint
)
language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan set jit = off
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_providers constant text[] := array(select name from public.batch_providers where enabled order by name);
  v_payloads jsonb;
begin
  with due as materialized (
    select due.*, cardinality(v_providers) * (
      select count(*) from public.prompts where prompts.organization_id = due.organization_id and prompts.status = 'active') as tasks
    from unnest(p_organization_ids, p_dates, p_time_zones) as due (organization_id, batch_date, time_zone)
  ), made as (
    -- Without a task there is nothing that could end the job; so it is when the last prompt was switched off a moment ago.
    insert into public.batch_jobs (organization_id, batch_date, rerun, time_zone, tasks_total, run_id, status, completed_at, created_at)
    select organization_id, batch_date, p_rerun, time_zone, due.tasks, p_run_id,
      case when due.tasks > 0 then 'pending' else 'completed' end, case when due.tasks = 0 then p_now end, p_now
    from due
    returning id, organization_id, tasks_total
  ), made_tasks as (
    insert into public.batch_tasks (job_id, prompt_id, provider)
    select made.id, prompts.id, provider
    from made join public.prompts on prompts.organization_id = made.organization_id and prompts.status = 'active'
      cross join unnest(v_providers) as provider
    order by made.id, prompts.id, provider
  )
  select coalesce(array_agg(id), array[]::uuid[]), coalesce(sum(tasks_total), 0),
    jsonb_agg(jsonb_build_object('batchJobId', id)) filter (where tasks_total > 0)
    into batch_job_ids, tasks, v_payloads from made;
  perform scheduler.enqueue_runs('robust-batch-processor', coalesce(v_payloads, '[]'), null, p_now);
end;
$$;
comment on function scheduler.make_batch_jobs(uuid[], date[], text[], integer, uuid, timestamptz) is
  'Makes a batch job for each organization and date, with a task for each active prompt and enabled provider, and enqueues a run of the processor for each. Returns the jobs, and how many tasks they have.';

-- Without jit, because where a server has it, compiling took 0.4 s of a call that takes 20 ms.
create or replace function scheduler.trigger_daily_batch(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' set jit = off as $$
declare
  v_platform record;
  v_date date;
  v_marked boolean;
  v_due record;
  v_made record;
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
    v_marked := (public.try_mark_daily_run(to_char(v_date, 'YYYY-MM-DD')) ->> 'updated')::boolean;
    if not v_marked and not p_force then
      return v_told || jsonb_build_object('outcome', 'already_run');
    end if;
  end if;

  select array_agg(organization_id) as organizations, array_agg(batch_date) as dates, array_agg(time_zone) as zones into v_due
    from scheduler.take_due_organizations(v_date, p_zones, p_force, p_now);
  select * into v_made from scheduler.make_batch_jobs(v_due.organizations, v_due.dates, v_due.zones, 0, p_run_id, p_now);
  return v_told || jsonb_build_object(
    'outcome', case when v_marked is false and v_made.batch_job_ids = '{}' then 'already_run' else 'started' end,
    'batches', cardinality(v_made.batch_job_ids), 'tasks', v_made.tasks);
end;
$$;
comment on function scheduler.trigger_daily_batch(boolean, boolean, boolean, uuid, timestamptz) is
  'Begins the daily batch: of the organizations that follow the platform, within its window and once a local day; with p_zones of those with their own zone or hour that are due. p_force passes the window and looks at organizations that have not had their date for another reason, never at one that has. All or nothing. {"outcome": started | already_run | outside_window | no_provider, "date", "batches", "tasks", "zones", "forced", "manual_test"}.';

-- Security definer because service_role, which calls it through REST, may only read the state and the batches.
create or replace function public.trigger_daily_batch(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '60s' as $$
  select scheduler.trigger_daily_batch(p_zones, p_force, p_manual_test, p_run_id);
$$;
comment on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) is
  'scheduler.trigger_daily_batch by the clock of the database.';

revoke all on function scheduler.make_batch_jobs(uuid[], date[], text[], integer, uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.trigger_daily_batch(boolean, boolean, boolean, uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) from public, anon, authenticated, service_role;
grant execute on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) to service_role;
