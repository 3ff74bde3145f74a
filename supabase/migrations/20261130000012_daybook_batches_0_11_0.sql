-- Daybook 0.11.0, pack batches. Made of supabase/sql/batches: change it there.

set local check_function_bodies = off;

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
