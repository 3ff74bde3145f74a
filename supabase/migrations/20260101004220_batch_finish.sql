-- What came of tasks: answers once, results from the holder of the lease alone, and the end of the batch job with its
-- last task, whoever brings it.

create or replace function scheduler.settle_batch_job(p_job_id uuid, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_gone integer;
begin
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  -- From the end of the index, where tasks are claimed last.
  if v_job.completed_at is not null or (
    select id from public.batch_tasks where job_id = p_job_id and completed_at is null
    order by provider desc, asks_fallback desc, id desc limit 1) is not null then
    return v_job.status;
  end if;
  v_gone := v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed;
  update public.batch_jobs set
    status = case
      when tasks_completed = tasks_total then 'completed'
      when tasks_completed > 0 then 'partial'
      else 'failed' end,
    reasons = case when v_gone > 0 then reasons || jsonb_build_object('prompt was deleted', v_gone) else reasons end,
    started_at = coalesce(started_at, p_now), completed_at = greatest(p_now, started_at)
    where id = p_job_id
    returning * into v_job;
  return v_job.status;
end;
$$;
comment on function scheduler.settle_batch_job(uuid, timestamptz) is
  'Ends the batch job if none of its tasks is open any more: completed, failed when nothing was answered, else partial. Returns its status, null for an unknown job.';

-- The breaker. A late result of a lost lease says as much of its provider as any other.
create or replace function scheduler.record_batch_calls(p_results jsonb, p_settings jsonb, p_now timestamptz) returns void
language sql set search_path = '' as $$
  with results as (
    select result ->> 'answerer' as answerer, result ->> 'outcome' as outcome, result ->> 'reason' as reason,
      (result ->> 'wait_seconds')::integer as wait_seconds, place
    from jsonb_array_elements(p_results) with ordinality as list (result, place)
    where result ->> 'outcome' in ('answered', 'refused', 'failed', 'waiting') and result ->> 'answerer' is not null
  ),
  heard as (
    select answerer, max(place) as last_place from results where outcome in ('answered', 'refused') group by answerer
  ),
  news as (
    select results.answerer, bool_or(heard.answerer is not null) as heard,
      count(*) filter (where outcome = 'failed' and place > coalesce(last_place, 0)) as failures,
      max(coalesce(wait_seconds, (p_settings ->> 'open_seconds')::integer)) filter (where outcome = 'waiting') as wait_seconds,
      (array_agg(reason order by place desc) filter (where outcome in ('failed', 'waiting')))[1] as reason
    from results left join heard on heard.answerer = results.answerer
    group by results.answerer
  ),
  counted as (
    select news.*, providers.open_until as was_open_until,
      case when news.heard then 0 else providers.failures_in_row end + news.failures
        -- Many that are told to wait at once are told one thing.
        + case when news.wait_seconds is not null and coalesce(providers.open_until, p_now) <= p_now then 1 else 0 end as in_row
    from news join public.batch_providers as providers on providers.name = news.answerer
    where news.failures > 0 or news.wait_seconds is not null or providers.failures_in_row > 0 or providers.open_until is not null
    order by providers.name
    for no key update of providers
  )
  update public.batch_providers as providers set
    failures_in_row = counted.in_row,
    open_until = case
      when counted.wait_seconds is not null then greatest(counted.was_open_until, p_now + make_interval(secs => counted.wait_seconds))
      when counted.failures = 0 and counted.heard then null
      when counted.failures > 0 and (counted.in_row >= (p_settings ->> 'failures_to_open')::integer
          or counted.was_open_until is not null and not counted.heard)
        then greatest(counted.was_open_until, p_now + make_interval(secs => (p_settings ->> 'open_seconds')::integer))
      else counted.was_open_until end,
    probe_until = null,
    last_error = coalesce(left(counted.reason, 200), providers.last_error),
    updated_at = p_now
  from counted where providers.name = counted.answerer;
$$;
comment on function scheduler.record_batch_calls(jsonb, jsonb, timestamptz) is
  'Keeps the breakers by what calls came to: opens after failures in a row, waits as long as a provider says, closes when one answers.';

create or replace function public.finish_batch_tasks(p_job_id uuid, p_token uuid, p_results jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  v_settings jsonb := scheduler.batch_settings();
  v_job public.batch_jobs;
  v_waited_enough boolean;
  v_told record;
begin
  if jsonb_typeof(p_results) is distinct from 'array' or exists (
    select from jsonb_array_elements(p_results) as result
    where jsonb_typeof(result) <> 'object' or jsonb_typeof(result -> 'id') is distinct from 'number'
      or coalesce(result ->> 'outcome', '') not in ('answered', 'refused', 'unusable', 'failed', 'waiting', 'cut')
      or result ->> 'outcome' = 'answered' and (result ->> 'answer' is null or result ->> 'model' is null or result ->> 'answerer' is null)
  ) then
    raise exception using errcode = '22023',
      message = 'cannot finish tasks: results must be a JSON array of {"id", "outcome": answered, refused, unusable, failed, waiting or cut, …}, answered ones with answer, model and answerer';
  end if;
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  if not found then
    raise exception using errcode = '22023', message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;
  v_waited_enough := v_job.created_at + make_interval(hours => (v_settings ->> 'wait_hours')::integer) <= p_now;

  with results as materialized (
    select distinct on (id) *, coalesce(answerer || ': ', '') || coalesce(left(reason, 200), outcome) as why
    from jsonb_to_recordset(p_results) as list (
      id bigint, outcome text, answerer text, reason text, answer text, model text, latency_ms integer,
      prompt_tokens integer, completion_tokens integer, wait_seconds integer)
    order by id
  ),
  decided as (
    -- What becomes of each: completed, failed, given back, or given to the fall-back.
    select results.*, case
        when outcome = 'answered' then 'completed'
        when outcome = 'refused' then 'failed'
        when outcome = 'cut' then 'pending'
        when outcome = 'waiting' then case when v_waited_enough then 'failed' else 'pending' end
        when tasks.failures + 1 < (v_settings ->> 'max_failures')::integer and (outcome = 'failed'
          -- The fall-back, which stood in while the provider is down, cannot do it: the provider may be back by then.
          or outcome = 'unusable' and not tasks.asks_fallback and results.answerer <> tasks.provider) then 'pending'
        when not tasks.asks_fallback and others.enabled then 'fallback'
        else 'failed' end as becomes
    from results
    join public.batch_tasks as tasks on tasks.id = results.id and tasks.job_id = p_job_id and tasks.lease_token = p_token
    join public.batch_providers as providers on providers.name = tasks.provider
    left join public.batch_providers as others on others.name = providers.fallback_provider
  ),
  ended as (
    update public.batch_tasks as tasks set
      status = case decided.becomes when 'fallback' then 'pending' else decided.becomes end,
      lease_token = null,
      leased_until = null,
      asks_fallback = tasks.asks_fallback or decided.becomes = 'fallback',
      -- Who was told to wait was not served: that is no attempt.
      attempts = tasks.attempts - case when decided.becomes = 'pending' and decided.outcome = 'waiting' then 1 else 0 end,
      failures = case when decided.becomes = 'fallback' then 0
        when decided.outcome in ('failed', 'unusable') then tasks.failures + 1 else tasks.failures end,
      run_after = case when decided.becomes <> 'pending' or decided.outcome = 'cut' then null
        when decided.outcome = 'waiting'
          then p_now + make_interval(secs => coalesce(decided.wait_seconds, (v_settings ->> 'open_seconds')::integer))
        else p_now + make_interval(secs => (v_settings ->> 'retry_seconds')::integer * 2 ^ least(tasks.failures, 10)) end,
      error_message = case when decided.outcome in ('answered', 'cut') then tasks.error_message else decided.why end,
      completed_at = case when decided.becomes in ('completed', 'failed') then p_now end
    from decided where tasks.id = decided.id
    returning tasks.id, tasks.prompt_id, tasks.status
  ),
  answers as (
    insert into public.prompt_answers (
      task_id, organization_id, prompt_id, provider, model, answer, latency_ms, prompt_tokens, completion_tokens, cost_usd, created_at)
    select ended.id, v_job.organization_id, ended.prompt_id, results.answerer, results.model, results.answer,
      greatest(coalesce(results.latency_ms, 0), 0), results.prompt_tokens, results.completion_tokens,
      (results.prompt_tokens * providers.prompt_usd_per_million + results.completion_tokens * providers.completion_usd_per_million) / 1000000,
      p_now
    from ended
    join results on results.id = ended.id
    left join public.batch_providers as providers on providers.name = results.answerer
    where ended.status = 'completed'
  )
  select count(*)::integer as accepted,
    count(*) filter (where ended.status = 'completed')::integer as completed,
    count(*) filter (where ended.status = 'failed')::integer as failed,
    (select coalesce(jsonb_object_agg(why, count), '{}') from (
      select why, count(*) from ended join results on results.id = ended.id where ended.status = 'failed' group by why) as reasons) as reasons
  into v_told from ended;

  perform scheduler.record_batch_calls(p_results, v_settings, p_now);

  if v_job.completed_at is null then
    update public.batch_jobs set
      tasks_completed = tasks_completed + v_told.completed,
      tasks_failed = tasks_failed + v_told.failed,
      last_heartbeat = greatest(last_heartbeat, p_now),
      last_progress_at = case when v_told.completed + v_told.failed > 0 then p_now else last_progress_at end,
      reasons = case when v_told.failed = 0 then reasons else reasons || (
        select jsonb_object_agg(key, value::integer + coalesce((reasons ->> key)::integer, 0)) from jsonb_each_text(v_told.reasons)) end
      where id = p_job_id
      returning * into v_job;
    v_job.status := scheduler.settle_batch_job(p_job_id, p_now);
  end if;
  return jsonb_build_object('accepted', v_told.accepted, 'refused', jsonb_array_length(p_results) - v_told.accepted,
    'completed', v_told.completed, 'failed', v_told.failed, 'status', v_job.status,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed,
    'shut', (select coalesce(jsonb_agg(name), '[]') from public.batch_providers where open_until > p_now));
end;
$$;
comment on function public.finish_batch_tasks(uuid, uuid, jsonb, timestamptz) is
  'Takes results of tasks that the token''s holder leases; others are refused, so each task ends and is answered once. A result: {"id", "outcome", "answerer", "reason"}, an answered one also {"answer", "model", "latency_ms", "prompt_tokens", "completion_tokens"}. Outcomes: answered; refused: the task''s own fault, it fails; failed: the provider''s fault, tried again later, then by the fall-back; unusable: the same without trying again; waiting: too many requests, again after "wait_seconds"; cut: given back. Ends the batch job with its last task. Returns {"accepted", "refused", "completed", "failed", "status" of the job, "open", "shut": providers not to be called now}. Raises 22023 for an unknown job and results it cannot read.';

revoke all on function scheduler.settle_batch_job(uuid, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.record_batch_calls(jsonb, jsonb, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.finish_batch_tasks(uuid, uuid, jsonb, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.finish_batch_tasks(uuid, uuid, jsonb, timestamptz) to service_role;
