-- The daily batch begins: marks, batch jobs, tasks and the processor's runs, all in one transaction; an organization's
-- are all there or none.

create function batches.run_request(p_job_id uuid) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('payload', jsonb_build_object('batchJobId', p_job_id), 'key', p_job_id);
$$;
comment on function batches.run_request(uuid) is
  'What scheduler.enqueue_runs takes to call the processor for a batch job; the job''s id is the key of its runs.';

-- One plan for ten organizations and for ten thousand, all by keys: by the statistics of a table that was empty a
-- moment ago whole tables would be read for each row.
create function batches.make_jobs(
  p_organization_ids uuid[], p_dates date[], p_time_zones text[], p_rerun integer, p_run_id uuid, p_now timestamptz,
  out batch_job_ids uuid[], out tasks bigint, out runs jsonb
)
language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan set jit = off
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_providers constant text[] := array(select name from public.batch_providers where enabled order by name);
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
    -- One that has its batch of that date has had it, whatever became of its mark.
    on conflict (organization_id, batch_date, rerun) do nothing
    returning id, organization_id, tasks_total
  ), made_tasks as (
    insert into public.batch_tasks (job_id, prompt_id, provider)
    select made.id, prompts.id, provider
    from made join public.prompts on prompts.organization_id = made.organization_id and prompts.status = 'active'
      cross join unnest(v_providers) as provider
    order by made.id, prompts.id, provider
  )
  select coalesce(array_agg(id), array[]::uuid[]), coalesce(sum(tasks_total), 0),
    coalesce(jsonb_agg(batches.run_request(id)) filter (where tasks_total > 0), jsonb_build_array())
    into batch_job_ids, tasks, runs from made;
end;
$$;
comment on function batches.make_jobs(uuid[], date[], text[], integer, uuid, timestamptz) is
  'Makes a batch job for each organization and date, with a task for each active prompt and enabled provider. Returns the jobs, how many tasks they have, and the runs of the processor to enqueue: one for each job that has tasks.';

-- All at once; when that fails in sixteen parts, and so on, until the organizations stand alone that cannot be begun. By
-- halves a few among ten thousand would take three times as long.
create function batches.begin_batches(
  p_platform_date date, p_force boolean, p_run_id uuid, p_now timestamptz, p_after uuid, p_until uuid,
  out batches integer, out tasks bigint, out runs jsonb, out problems jsonb, out passed boolean
)
language plpgsql set search_path = '' as $$
declare
  v_due record;
  v_part record;
  v_ids uuid[];
  v_message text;
begin
  begin
    select array_agg(organization_id) as organizations, array_agg(batch_date) as dates, array_agg(time_zone) as zones into v_due
      from batches.take_due_organizations(p_platform_date, p_force, p_now, p_after, p_until);
    select cardinality(made.batch_job_ids), made.tasks, made.runs, jsonb_build_array(), true into batches, tasks, runs, problems, passed
      from batches.make_jobs(v_due.organizations, v_due.dates, v_due.zones, 0, p_run_id, p_now) as made;
    return;
  exception when others then
    -- A deadlock, a full disk, a lock that did not come: no row's fault.
    if sqlstate ~ '^(40|53|55|57|58)' then
      raise;
    end if;
    v_message := sqlerrm;
  end;

  v_ids := array(select id from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until) order by id);
  select 0, 0, jsonb_build_array(), jsonb_build_array(), false into batches, tasks, runs, problems, passed;
  if cardinality(v_ids) = 1 then
    problems := (select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'error', left(v_message, 300)))
      from public.organizations where id = v_ids[1]);
  elsif cardinality(v_ids) > 1 then
    for v_part in
      select begun.*
      from generate_series(1, least(16, cardinality(v_ids))) as part, lateral (
        select least(16, cardinality(v_ids)) as parts, cardinality(v_ids) as number) as all_parts,
        lateral batches.begin_batches(p_platform_date, p_force, p_run_id, p_now,
          coalesce(v_ids[number * (part - 1) / parts], p_after), v_ids[number * part / parts]) as begun
    loop
      select batches + v_part.batches, tasks + v_part.tasks, runs || v_part.runs, problems || v_part.problems, passed or v_part.passed
        into batches, tasks, runs, problems, passed;
    end loop;
  end if;
  -- Where none can be begun, or a hundred cannot, it is no row's fault, and the next run tries again.
  if jsonb_array_length(problems) > 100 or not passed and (p_after is null and p_until is null or cardinality(v_ids) = 0) then
    raise exception using message = concat_ws(': ', 'cannot begin the daily batch', problems #>> '{0,name}', v_message),
      detail = left(problems::text, 1000);
  end if;
end;
$$;
comment on function batches.begin_batches(date, boolean, uuid, timestamptz, uuid, uuid) is
  'Takes the organizations that are due (see take_due_organizations) and makes their batches; one that cannot be begun costs no other its batch. runs: see make_jobs; problems [{"id", "name", "error"}]. passed: whether there was one that could. Raises when there was none.';

-- Without jit, because where a server has it, compiling took 0.4 s of a call that takes 20 ms.
create function batches.trigger_daily(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' set jit = off as $$
declare
  v_date date;
  v_marked boolean;
  v_begun record;
  v_told jsonb;
begin
  -- All triggers take turns: each sees what the one before it did.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  v_told := jsonb_build_object('zones', p_zones, 'forced', p_force, 'manual_test', p_manual_test, 'batches', 0, 'tasks', 0);
  if not p_zones then
    v_date := batches.date_at(batches.platform_clock(), p_now);
    v_told := v_told || jsonb_build_object('date', to_char(v_date, 'YYYY-MM-DD'));
    if not p_force and not batches.in_daily_window(p_now) then
      return v_told || jsonb_build_object('outcome', 'outside_window');
    end if;
  end if;
  if not exists (select from public.batch_providers where enabled) then
    return v_told || jsonb_build_object('outcome', 'no_provider');
  end if;
  if not p_zones then
    v_marked := (scheduler.try_mark_daily_run(to_char(v_date, 'YYYY-MM-DD'), p_now => p_now) ->> 'updated')::boolean;
    if not v_marked and not p_force then
      return v_told || jsonb_build_object('outcome', 'already_run');
    end if;
  end if;

  select * into v_begun from batches.begin_batches(v_date, p_force, p_run_id, p_now, null, null);
  perform scheduler.enqueue_runs('robust-batch-processor', v_begun.runs, null, p_now);
  return v_told || jsonb_build_object(
    'outcome', case when v_marked is false and v_begun.batches = 0 then 'already_run' else 'started' end,
    'batches', v_begun.batches, 'tasks', v_begun.tasks)
    || case when v_begun.problems = '[]' then '{}' else jsonb_build_object('problems', v_begun.problems) end;
end;
$$;
comment on function batches.trigger_daily(boolean, boolean, boolean, uuid, timestamptz) is
  'Begins the daily batch: of the organizations that follow the platform, within its window and once a local day; with p_zones of those with their own zone or hour that are due. p_force passes the window and looks at organizations that have not had their date for another reason, never at one that has. Whoever cannot be begun is named in "problems" and costs no other its batch; when nobody can, it raises. {"outcome": started | already_run | outside_window | no_provider, "date", "batches", "tasks", "zones", "forced", "manual_test", and "problems" where there are some: [{"id", "name", "error"}]}.';

-- Security definer because service_role, which calls it through REST, may only read the state and the batches.
create function public.trigger_daily_batch(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '60s' as $$
  select batches.trigger_daily(p_zones, p_force, p_manual_test, p_run_id);
$$;
comment on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) is
  'batches.trigger_daily by the clock of the database.';

revoke all on function
  public.trigger_daily_batch(boolean, boolean, boolean, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) to service_role;
