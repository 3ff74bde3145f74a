-- Daybook 0.11.0, pack batches. Made of supabase/sql/batches: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'batches';
  v_schemas constant text[] := array[]::text[];
  v_relations constant text[] := array[]::text[];
  v_functions constant text[] := array['set_organization_schedule'];
  v_jobs constant text[] := array[]::text[];
  v_there text[] := array(
    select format('schema %I', nspname) from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union
    select format('%s public.%I',
      case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
        when 'c' then 'type' else 'table' end, relname)
    from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union
    select format('type public.%I', typname) from pg_catalog.pg_type
    where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r') and typname = any (v_relations)
    union
    select format('function public.%I', proname) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions));
begin
  if to_regclass('cron.job') is not null then
    v_there := v_there || array(select format('pg_cron entry %s', jobname) from cron.job where jobname = any (v_jobs));
  end if;
  if v_pack <> 'scheduler' then
    v_there := v_there || array(select format('job %s', name) from public.scheduler_jobs where name = any (v_jobs));
  end if;
  if v_there <> '{}' then
    -- The CLI shows no hints.
    raise exception using errcode = '42710',
      message = format(
        'cannot install the pack %1$s: the database has these already, and they are not Daybook''s: %2$s; '
        'rename or drop them, or run: deno task install <project> --pack %1$s --move-aside',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing));
  end if;
end;
$guard$;

-- The trigger needs its function, whose body follows with the others.
create function batches.audit_schedule() returns trigger language plpgsql set search_path = '' as
  $$ begin return null; end; $$;
create trigger audit_schedule after update of time_zone, daily_run_at on public.organizations for each row
  when ((old.time_zone, old.daily_run_at) is distinct from (new.time_zone, new.daily_run_at))
  execute function batches.audit_schedule();

-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.
select scheduler.note_entry('batches',
  '{"name": "daily-batch-trigger-zones", "schedule": "*/15 * * * *", "target": "daily-batch-trigger",
    "payload": {"zones": true}, "run_if": "batches.zoned_is_due",
    "description": "Begins the daily batch of the organizations with their own zone or hour, once each local day"}');
select scheduler.note_entry('batches',
  '{"name": "robust-batch-processor", "schedule": null, "overlap_policy": "allow", "parallel_limit": 20,
    "timeout_seconds": 390,
    "description": "Sends the prompts of one batch to the model providers and keeps the answers"}');
select scheduler.note_entry('batches',
  '{"name": "weekly-suggestions", "schedule": "40 * * * *", "run_if": "batches.suggestions_are_due",
    "description": "Suggests new prompts to each organization, once a week of its own"}');
select scheduler.note_source('batches', job_name, null)
  from unnest(array['daily-batch-trigger', 'batch-reconciler', 'batch-reconciler-after-window']) as job_name;

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION batches.audit_schedule()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  -- What set_organization_schedule was told; null for a plain update.
  v_given constant jsonb := nullif(current_setting('daybook.given', true), '')::jsonb;
  v_user constant text := batches.signed_in_user();
  v_author constant text := coalesce(v_user, v_given ->> 'author', case when v_given is null then session_user end);
begin
  if coalesce(v_author, '') !~ '\S' then
    raise exception using errcode = '22023',
      message = 'cannot change the schedule of an organization: an author must be given';
  elsif btrim(v_given ->> 'author') <> v_author then
    raise exception using errcode = '22023',
      message = format('cannot change the schedule of an organization: author must be who is signed in, %s, or null, '
        'got %s', v_author, left(v_given ->> 'author', 200));
  end if;
  perform scheduler.audit('set_organization_schedule', 'organization', new.id::text, v_given ->> 'reason', v_author,
    jsonb_build_object('time_zone', old.time_zone, 'daily_run_at', old.daily_run_at),
    jsonb_build_object('time_zone', new.time_zone, 'daily_run_at', new.daily_run_at), new.updated_at);
  return null;
end;
$function$
;
comment on function batches.audit_schedule() is 'Trigger: a change of an organization''s zone or hour leaves a row in scheduler_audit, also one by a plain update: then without a reason, and by the role where nobody is signed in. Security definer: who may write an organization has no right in the private schemas.';
revoke all on function batches.audit_schedule() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.cancel_job(p_job_id uuid, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.batch_jobs;
  v_cancelled integer;
begin
  perform scheduler.assert_given('cancel a batch job', 'reason and author',
    format('select batches.cancel_job(%L, ''why'', ''who'')', p_job_id), p_reason, p_author);
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null then
    raise exception using errcode = 'SD007',
      message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;
  if v_job.completed_at is not null then
    return jsonb_build_object('cancelled', false, 'status', v_job.status);
  end if;
  update public.batch_tasks set status = 'cancelled', completed_at = p_now where job_id = p_job_id and completed_at
    is null;
  get diagnostics v_cancelled = row_count;
  delete from batches.leases where job_id = p_job_id;
  delete from batches.waits where job_id = p_job_id;
  update public.batch_jobs
    set status = 'cancelled', completed_at = greatest(p_now, started_at),
      reasons = reasons || jsonb_build_object(
        scheduler.one_line(format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)), 200), v_cancelled)
    where id = p_job_id;
  perform scheduler.audit('cancel_batch_job', 'batch job', p_job_id::text, p_reason, p_author,
    jsonb_build_object('status', v_job.status), jsonb_build_object('tasks_cancelled', v_cancelled), p_now);
  perform scheduler.log_activity('robust-batch-processor',
    format('batch job %s of %s was cancelled by %s: %s', p_job_id, v_job.batch_date, btrim(p_author), btrim(p_reason)),
    'warning',
    jsonb_build_object('batch_job_id', p_job_id, 'tasks_cancelled', v_cancelled), p_now);
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'tasks_cancelled', v_cancelled,
    'tasks_completed', v_job.tasks_completed, 'tasks_failed', v_job.tasks_failed);
end;
$function$
;
comment on function batches.cancel_job(uuid,text,text,timestamp with time zone) is 'Ends a batch job for a person, with reason and author: its open tasks are cancelled, answers stay, processors stop at their next heartbeat. {"cancelled": true, "tasks_cancelled", …}, or {"cancelled": false, "status"} when it was over. Raises SD007 for an unknown batch job; 22023 for a missing reason or author.';
revoke all on function batches.cancel_job(uuid,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.decide_suggestion(p_id uuid, p_status text, p_author text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_prompt public.prompts;
  v_decided boolean;
begin
  perform scheduler.assert_given('decide on a suggested prompt', 'author',
    format('select accept_prompt_suggestion(%L, ''who'')', p_id), p_author);
  select * into v_prompt from public.prompts where id = p_id for no key update;
  if not found then
    raise exception using errcode = 'SD009', message = format('there is no prompt %s', coalesce(p_id::text, 'null'));
  end if;
  v_decided := v_prompt.status = 'suggested';
  if v_decided then
    update public.prompts
      set status = p_status, decided_by = btrim(p_author), decided_at = p_now, updated_at = p_now
      where id = p_id
      returning * into v_prompt;
    perform scheduler.audit(case p_status when 'active' then 'accept_prompt_suggestion'
      else 'reject_prompt_suggestion' end, 'prompt', p_id::text, null, p_author, jsonb_build_object('status',
      'suggested'), jsonb_build_object('status', p_status), p_now);
  end if;
  return jsonb_build_object('id', p_id, 'decided', v_decided, 'status', v_prompt.status,
    'decided_by', v_prompt.decided_by, 'decided_at', v_prompt.decided_at);
end;
$function$
;
comment on function batches.decide_suggestion(uuid,text,text,timestamp with time zone) is 'Gives a suggested prompt its status active or rejected, with author and time; the first decision stays. Raises SD009 for an unknown prompt; 22023 without an author.';
revoke all on function batches.decide_suggestion(uuid,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.register_daily()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_platform record;
  v_first integer;
  v_last integer;
begin
  select * into v_platform from batches.daily_settings();
  v_first := extract(hour from v_platform.run_at)::integer;
  v_last := ((extract(epoch from v_platform.run_at) / 60)::integer + v_platform.window_hours * 60 - 1) / 60;
  perform scheduler.register_job(
    name => 'daily-batch-trigger',
    schedule => format('*/15 %s * * *',
      case when v_last < 24 then format('%s-%s', v_first, v_last)
        else concat_ws(',', format(case when v_first < 23 then '%s-23' else '%s' end, v_first), format(case
          when v_last > 24 then '0-%s' else '%s' end, v_last - 24)) end),
    time_zone => v_platform.time_zone,
    run_if => 'batches.daily_is_due',
    description => 'Begins the daily batch of the organizations that follow the platform, once a local day'
  );
  perform scheduler.note_source('batches', 'daily-batch-trigger', null);
end;
$function$
;
comment on function batches.register_daily() is 'Registers daily-batch-trigger: every 15 minutes of the hours that the settings daily_batch.… name, in their zone.';
revoke all on function batches.register_daily() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.register_reconciler()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_platform record;
  v_at time;
begin
  select * into v_platform from batches.daily_settings();
  v_at := v_platform.run_at + make_interval(hours => v_platform.window_hours, mins => 5);
  perform scheduler.register_job(
    name => 'batch-reconciler',
    schedule => '*/30 * * * *',
    run_if => 'batches.job_is_stuck',
    description => 'Resumes batch jobs that no processor works on, or gives them up'
  );
  perform scheduler.register_job(
    name => 'batch-reconciler-after-window',
    schedule => format('%s %s * * *', extract(minute from v_at), extract(hour from v_at)),
    time_zone => v_platform.time_zone,
    target => 'batch-reconciler',
    run_if => 'batches.job_is_stuck',
    description => 'The same, soon after the daily batch''s window'
  );
  perform scheduler.note_source('batches', job_name, null)
    from unnest(array['batch-reconciler', 'batch-reconciler-after-window']) as job_name;
end;
$function$
;
comment on function batches.register_reconciler() is 'Registers batch-reconciler, and batch-reconciler-after-window five minutes after the window that the settings daily_batch.… name.';
revoke all on function batches.register_reconciler() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.rerun_daily(p_organization_id uuid, p_date date, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function batches.rerun_daily(uuid,date,text,text,timestamp with time zone) is 'Runs a local date once more for one organization, with the prompts and providers of now, as a batch job of its own (rerun 1, 2, …); the once-a-day mark stays as it is. Leaves a line in scheduler_activity. Returns the batch job. Raises SD008 for an unknown organization; SD102 while a batch job of that date is at work; SD301 without an active prompt; SD302 when no provider is enabled; 22023 for a date to come, or a reason or author missing.';
revoke all on function batches.rerun_daily(uuid,date,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION batches.signed_in_user()
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  return case when v_claims ? 'sub' then coalesce(v_claims ->> 'email', v_claims ->> 'sub') end;
end;
$function$
;
comment on function batches.signed_in_user() is 'The user of Supabase Auth who calls through REST: the e-mail address, else the id; null for everybody else.';
revoke all on function batches.signed_in_user() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION public.set_organization_schedule(p_organization_id uuid, p_time_zone text, p_run_at time without time zone, p_reason text, p_author text DEFAULT NULL::text)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_name text;
begin
  if coalesce(p_reason, '') !~ '\S' then
    raise exception using errcode = '22023',
      message = 'cannot change the schedule of an organization: a reason must be given',
      hint = 'select set_organization_schedule(''<id>'', ''Asia/Tokyo'', ''04:30'', ''why'', ''who'')';
  end if;
  perform set_config('daybook.given', jsonb_build_object('reason', p_reason, 'author', p_author)::text, true);
  update public.organizations set time_zone = p_time_zone, daily_run_at = p_run_at where id = p_organization_id
    returning name into v_name;
  perform set_config('daybook.given', '', true);
  if v_name is null then
    raise exception using errcode = 'SD008',
      message = format('cannot change the schedule of an organization: there is none with the id %s that the caller '
        'may change', coalesce(p_organization_id::text, 'null'));
  end if;
  return format('%s: the daily batch runs at %s, %s', v_name,
    coalesce(to_char(p_run_at, 'HH24:MI'), 'the platform''s hour'), coalesce(p_time_zone, 'in the platform''s zone'));
end;
$function$
;
comment on function set_organization_schedule(uuid,text,time without time zone,text,text) is 'Changes an organization''s zone and hour (null: the platform''s), with a row in scheduler_audit, and says what they are. A signed-in user is the author. Has the rights of the caller. Raises SD008 for an organization that is unknown or not the caller''s to change; 22023 for a zone, hour, reason or author that cannot be.';
revoke all on function set_organization_schedule(uuid,text,time without time zone,text,text) from public, anon, authenticated, service_role;
grant execute on function set_organization_schedule(uuid,text,time without time zone,text,text) to service_role;
