-- The daily batch begins: marks, batch jobs, tasks and the processor's runs, all in one transaction. An organization
-- gets all of its own or nothing.

create function batches.run_request(p_job_id uuid) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('payload', jsonb_build_object('batchJobId', p_job_id), 'key', p_job_id);
$$;
comment on function batches.run_request(uuid) is
  'What scheduler.enqueue_runs takes to call the processor for a batch job; the job''s id is the key of its runs.';

create function batches.make_jobs(
  p_dates batches.due_date[], p_rerun integer, p_run_id uuid, p_now timestamptz,
  out batch_job_ids uuid[], out tasks bigint, out runs jsonb
)
language plpgsql set search_path = '' as $$
declare
  v_providers constant text[] := array(select name from public.batch_providers where enabled order by name);
begin
  with due as materialized (
    select due.*, cardinality(v_providers) * (
      select count(*) from public.prompts
      where prompts.organization_id = due.organization_id and prompts.status = 'active') as tasks
    from unnest(p_dates) as due
  ), made as (
    insert into public.batch_jobs (
      organization_id, batch_date, rerun, time_zone, tasks_total, run_id, status, completed_at, created_at)
    -- A batch job without a task has ended: its last prompt was switched off a moment ago.
    select organization_id, batch_date, p_rerun, time_zone, due.tasks, p_run_id,
      case when due.tasks > 0 then 'pending' else 'completed' end, case when due.tasks = 0 then p_now end, p_now
    from due
    -- An organization that has its batch of that date has had it, also when its mark was lost.
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
    coalesce(jsonb_agg(batches.run_request(id)) filter (where tasks_total > 0), '[]')
    into batch_job_ids, tasks, runs from made;
end;
$$;
comment on function batches.make_jobs(batches.due_date[], integer, uuid, timestamptz) is
  'Makes a batch job for each organization and date, with a task for each active prompt and enabled provider. Returns '
    'the jobs, how many tasks they have, and the runs of the processor to enqueue: one for each job that has tasks.';

create type batches.begun as (batches integer, tasks bigint, runs jsonb, problems jsonb, passed boolean);
comment on type batches.begun is
  'What was begun: how many batch jobs and tasks, the runs to enqueue, the organizations that could not be begun '
    '[{"id", "name", "error"}], and whether one could.';

-- All organizations at once. When that fails, in sixteen parts, and so on, until those that cannot be begun are alone.
-- In halves a few odd ones among ten thousand would take three times as long.
create function batches.begin_batches(
  p_platform_date date, p_force boolean, p_run_id uuid, p_now timestamptz, p_after uuid default null,
  p_until uuid default null
) returns batches.begun
language plpgsql set search_path = '' as $$
declare
  v_begun batches.begun;
  v_message text;
begin
  select cardinality(made.batch_job_ids), made.tasks, made.runs, '[]', true into v_begun
    from batches.make_jobs(array(
      select due from batches.take_due_organizations(p_platform_date, p_force, p_now, p_after, p_until) as due
    ), 0, p_run_id, p_now) as made;
  return v_begun;
exception when others then
  -- A deadlock, a full disk or a lock that did not come is no row's fault.
  if sqlstate ~ '^(40|53|55|57|58)' then
    raise;
  end if;
  get stacked diagnostics v_message = message_text;
  return batches.begin_in_parts(p_platform_date, p_force, p_run_id, p_now, p_after, p_until, v_message);
end;
$$;
comment on function batches.begin_batches(date, boolean, uuid, timestamptz, uuid, uuid) is
  'Takes the organizations that are due (see take_due_organizations) and makes their batches. One that cannot be '
    'begun costs no other its batch. Raises when none could be begun.';

create function batches.begin_in_parts(
  p_platform_date date, p_force boolean, p_run_id uuid, p_now timestamptz, p_after uuid, p_until uuid, p_message text
) returns batches.begun
language plpgsql set search_path = '' as $$
declare
  v_ids uuid[] := array(
    select id from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until) order by id);
  v_parts constant integer := least(16, cardinality(v_ids));
  v_begun batches.begun := (0, 0, '[]', '[]', false);
  v_part batches.begun;
begin
  if v_parts = 1 then
    v_begun.problems := (
      select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'error', left(p_message, 300)))
      from public.organizations where id = v_ids[1]);
  else
    for i in 1 .. v_parts loop
      v_part := batches.begin_batches(p_platform_date, p_force, p_run_id, p_now,
        coalesce(v_ids[cardinality(v_ids) * (i - 1) / v_parts], p_after), v_ids[cardinality(v_ids) * i / v_parts]);
      v_begun := (v_begun.batches + v_part.batches, v_begun.tasks + v_part.tasks, v_begun.runs || v_part.runs,
        v_begun.problems || v_part.problems, v_begun.passed or v_part.passed);
    end loop;
  end if;
  -- Where none can be begun, or more than a hundred cannot, it is no row's fault, and the next run tries again.
  if jsonb_array_length(v_begun.problems) > 100
    or not v_begun.passed and (p_after is null and p_until is null or v_parts = 0) then
    raise exception using
      message = concat_ws(': ', 'cannot begin the daily batch', v_begun.problems #>> '{0,name}', p_message),
      detail = left(v_begun.problems::text, 1000);
  end if;
  return v_begun;
end;
$$;
comment on function batches.begin_in_parts(date, boolean, uuid, timestamptz, uuid, uuid, text) is
  'Begins organizations in sixteen parts, after all at once failed with that message.';

create function batches.trigger_daily(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_date date;
  v_marked boolean;
  v_begun batches.begun;
  v_told jsonb;
begin
  -- All triggers take turns: each sees what the one before it did.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  v_told := jsonb_build_object(
    'zones', p_zones, 'forced', p_force, 'manual_test', p_manual_test, 'batches', 0, 'tasks', 0);
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

  v_begun := batches.begin_batches(v_date, p_force, p_run_id, p_now);
  perform scheduler.enqueue_runs('robust-batch-processor', v_begun.runs, null, p_now);
  return v_told || jsonb_build_object(
    'outcome', case when v_marked is false and v_begun.batches = 0 then 'already_run' else 'started' end,
    'batches', v_begun.batches, 'tasks', v_begun.tasks)
    || case when v_begun.problems = '[]' then '{}' else jsonb_build_object('problems', v_begun.problems) end;
end;
$$;
comment on function batches.trigger_daily(boolean, boolean, boolean, uuid, timestamptz) is
  'Begins the daily batch: of the organizations that follow the platform, within its window and once a local day; '
    'with p_zones of those with their own zone or hour that are due, or that are owed a date. p_force passes the '
    'window and looks at organizations that have not had their date for another reason, never at one that has. An '
    'organization that cannot be begun is named in "problems" and costs no other its batch; when none can, it raises. '
    '{"outcome": started | already_run | outside_window | no_provider, "date", "batches", "tasks", "zones", "forced", '
    '"manual_test", and "problems" where there are some: [{"id", "name", "error"}]}.';

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
