-- What the API does: the verbs of an operator, each with a reason and an author.

create function scheduler.release_locks(p_jobs text[], p_reason text, p_author text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_released jsonb := jsonb_build_array();
begin
  -- In the order in which all take the rows of several jobs.
  for v_name in
    select name from (
      select (scheduler.job_named(asked)).name from unnest(p_jobs) as asked
      union
      select name from public.scheduler_locks where p_jobs is null) as chosen
    order by name
  loop
    v_released := v_released || jsonb_build_object('job', v_name,
      'message', scheduler.release_lock(v_name, p_reason, p_author, p_now));
  end loop;
  return v_released;
end;
$$;
comment on function scheduler.release_locks(text[], text, text, timestamptz) is
  'Releases the locks of these jobs (names or aliases; null: all that are held) as scheduler.release_lock does: '
    '[{"job", "message"}]. Raises SD001 for an unknown job.';

create function scheduler.act_on_job(
  p_verb text, p_job_name text, p_reason text, p_author text, p_input jsonb, p_now timestamptz
) returns jsonb
language plpgsql set search_path = '' as $$
begin
  return case p_verb
    when 'run' then jsonb_build_object('run_id',
      scheduler.run_now(p_job_name, p_author, p_input -> 'payload', p_now))
    when 'pause' then jsonb_build_object('message',
      scheduler.pause(p_job_name, p_reason, p_author, (p_input ->> 'until')::timestamptz, p_now))
    when 'resume' then jsonb_build_object('message', scheduler.resume(p_job_name, p_author, p_now))
    when 'close-breaker' then jsonb_build_object('message',
      scheduler.close_breaker(p_job_name, p_reason, p_author, p_now))
    when 'backfill' then jsonb_build_object('preview', coalesce((p_input ->> 'preview')::boolean, true),
      'occurrences', (
        select coalesce(jsonb_agg(jsonb_build_object('scheduled_for', scheduled_for, 'state', state,
          'becomes', becomes)), '[]')
        from scheduler.backfill(p_job_name, (p_input ->> 'from')::timestamptz, (p_input ->> 'to')::timestamptz,
          p_reason, p_author, coalesce(p_input ->> 'reprocess', 'missed'),
          coalesce((p_input ->> 'newest_first')::boolean, false), coalesce((p_input ->> 'at_most')::integer, 100),
          coalesce((p_input ->> 'preview')::boolean, true), p_now))) end;
end;
$$;
comment on function scheduler.act_on_job(text, text, text, text, jsonb, timestamptz) is
  'run, pause, resume, close-breaker or backfill of a job, with what further arguments the verb takes in p_input. '
    'Raises what the verb raises.';

create function scheduler.api_act(
  p_verb text, p_subject text, p_reason text, p_author text, p_input jsonb default '{}',
  p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_answer jsonb;
begin
  perform scheduler.assert_given(p_verb, 'reason and author', '{"reason": "why", "author": "who"}', p_reason,
    p_author);
  -- Some verbs take no reason: the audit log has that of the call.
  perform set_config('daybook.reason', p_reason, true);
  v_answer := case
    when p_verb in ('run', 'pause', 'resume', 'close-breaker', 'backfill')
      then scheduler.act_on_job(p_verb, (scheduler.job_named(p_subject)).name, p_reason, p_author, p_input, p_now)
    when p_verb = 'cancel' then jsonb_build_object('message',
      scheduler.cancel_run(p_subject::uuid, p_reason, p_author, p_now))
    when p_verb = 'retry' then jsonb_build_object('run_id', scheduler.retry_run(p_subject::uuid, p_author, p_now))
    when p_verb = 'pause-group' then jsonb_build_object('message',
      scheduler.pause_group(p_subject, p_reason, p_author, (p_input ->> 'until')::timestamptz, p_now))
    when p_verb = 'resume-group' then jsonb_build_object('message',
      scheduler.resume_group(p_subject, p_author, p_now))
    when p_verb = 'test-channel' then jsonb_build_object('message',
      scheduler.test_alert_channel(p_subject, p_reason, p_author, p_now))
    when p_verb = 'force-release-locks' then jsonb_build_object('released', scheduler.release_locks(
      case when p_input ? 'jobs' then array(select jsonb_array_elements_text(p_input -> 'jobs')) end, p_reason,
      p_author, p_now))
    when p_verb = 'stop' then jsonb_build_object('message',
      scheduler.start_incident(p_reason, p_author, coalesce((p_input ->> 'end_runs')::boolean, false), p_now))
    when p_verb = 'restart' then jsonb_build_object('message',
      scheduler.end_incident(p_author, coalesce((p_input ->> 'ramp_seconds')::integer, 60), p_now)) end;
  perform set_config('daybook.reason', '', true);
  if v_answer is null then
    raise exception using errcode = '22023', message = format('there is no verb %s', coalesce(quote_literal(p_verb),
      'null'));
  end if;
  return v_answer;
end;
$$;
comment on function scheduler.api_act(text, text, text, text, jsonb, timestamptz) is
  'A verb of an operator over the API: on a job (run, pause, resume, close-breaker, backfill), a run (cancel, '
    'retry), a group (pause-group, resume-group), an alert channel (test-channel) or all (force-release-locks, stop, '
    'restart). What the verb says comes back as {"message"}, {"run_id"}, {"released"} or {"preview", "occurrences"}. '
    'Raises 22023 without reason or author, and what the verb raises.';

create function scheduler.api_tick(p_now timestamptz default clock_timestamp()) returns jsonb
language sql set search_path = '' as $$
  select jsonb_build_object('timestamp', p_now, 'beat', report -> 'beat', 'more', coalesce(report -> 'more', 'false'),
    'errors', coalesce(report -> 'errors', '{}'))
  from scheduler.pulse(p_now, 2000) as report;
$$;
comment on function scheduler.api_tick(timestamptz) is
  'A pulse, which sends all that is due, for at most about two seconds: for a clock that is not pg_cron. {"beat": '
    'false where another pulse is at work, "more": whether there is more to do at once, "errors": by job or step}.';

create function public.scheduler_api_act(
  p_verb text, p_subject text, p_reason text, p_author text, p_input jsonb default '{}'
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '7s' set lock_timeout = '5s' as $$
  select scheduler.api_act(p_verb, p_subject, p_reason, p_author, p_input);
$$;
comment on function public.scheduler_api_act(text, text, text, text, jsonb) is
  'scheduler.api_act by the clock of the database.';

create function public.scheduler_api_tick() returns jsonb
language sql security definer set search_path = '' set statement_timeout = '7s' set lock_timeout = '5s' as $$
  select scheduler.api_tick();
$$;
comment on function public.scheduler_api_tick() is 'scheduler.api_tick by the clock of the database.';

revoke all on function public.scheduler_api_act(text, text, text, text, jsonb), public.scheduler_api_tick()
  from public, anon, authenticated;
grant execute on function public.scheduler_api_act(text, text, text, text, jsonb), public.scheduler_api_tick()
  to service_role;
