-- What came of tasks. Each is answered once, results are taken from the holder of the lease alone, and the batch job
-- ends with its last task.

create function batches.end_job_when_done(p_job_id uuid, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_gone integer;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.completed_at is not null or v_job.tasks_completed + v_job.tasks_failed < v_job.tasks_total and exists (
    -- From the end, because tasks are claimed from the beginning.
    select from (select name from public.batch_providers order by name desc) as providers, lateral (
      select from public.batch_tasks
      where provider = providers.name and job_id = p_job_id and completed_at is null
      order by asks_fallback desc, id desc limit 1) as open_task
  ) then
    return v_job.status;
  end if;
  -- Tasks whose prompts were deleted are gone.
  delete from batches.leases where job_id = p_job_id;
  delete from batches.waits where job_id = p_job_id;
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
comment on function batches.end_job_when_done(uuid, timestamptz) is
  'Ends the batch job if none of its tasks is open any more: completed, failed when nothing was answered, else '
    'partial. Returns its status, null for an unknown job.';

create function batches.shorten_lease(p_job_id uuid, p_token uuid, p_leased bigint[], p_task_ids bigint[]) returns void
language plpgsql set search_path = '' as $$
begin
  if cardinality(p_task_ids) = cardinality(p_leased) then
    delete from batches.leases where job_id = p_job_id and token = p_token;
  elsif cardinality(p_task_ids) > 0 then
    update batches.leases
      set task_ids = array(
        select task_id from unnest(p_leased) as task_id where task_id not in (select unnest(p_task_ids)))
      where job_id = p_job_id and token = p_token;
    delete from batches.calls where job_id = p_job_id and token = p_token and task_id = any (p_task_ids);
  end if;
end;
$$;
comment on function batches.shorten_lease(uuid, uuid, bigint[], bigint[]) is
  'Takes tasks out of a lease of the tasks p_leased, and frees the slots of their calls. A lease without tasks is '
    'over. The caller holds the batch job''s lock.';

-- Nearly all results are answers, and an answer needs no decision.
create function batches.keep_answers(
  p_leased bigint[], p_results jsonb, p_now timestamptz, out task_ids bigint[], out last_places jsonb
)
language plpgsql set search_path = '' as $$
begin
  with answered as (
    update public.batch_tasks as tasks set
      status = 'completed', attempts = tasks.attempts + 1, run_after = null, completed_at = p_now,
      answered_by = results.answerer, model = results.model, answer = results.answer,
      latency_ms = greatest(coalesce(results.latency_ms, 0), 0),
      prompt_tokens = results.prompt_tokens, completion_tokens = results.completion_tokens,
      cost_usd = case when results.prompt_tokens is not null and results.completion_tokens is not null then (
        select (results.prompt_tokens * prompt_usd_per_million
          + results.completion_tokens * completion_usd_per_million) / 1000000
        from public.batch_providers where name = results.answerer) end
    from rows from (jsonb_to_recordset(p_results) as (
      id bigint, outcome text, answerer text, answer text, model text, latency_ms integer, prompt_tokens integer,
      completion_tokens integer)
    ) with ordinality as results (
      id, outcome, answerer, answer, model, latency_ms, prompt_tokens, completion_tokens, place)
    where tasks.id = results.id and tasks.completed_at is null
      -- In this form the ids are hashed; "= any" would go through them for each result.
      and (results.id in (select unnest(p_leased))) is true
      and results.outcome = 'answered'
      and num_nulls(results.answer, results.model, results.answerer) = 0
    returning tasks.id, results.answerer, results.place
  )
  select coalesce(array_agg(id), array[]::bigint[]),
      (select coalesce(jsonb_object_agg(answerer, place), jsonb_build_object()) from (
        select answerer, max(place) as place from answered group by answerer) as each)
    into task_ids, last_places from answered;
end;
$$;
comment on function batches.keep_answers(bigint[], jsonb, timestamptz) is
  'Ends the leased tasks that p_results answers, with their answers. Returns them, and {who answered: place of its '
    'last answer in p_results}.';

create function batches.task_after(
  p_task public.batch_tasks, p_result batches.result, p_has_fallback boolean, p_fails_at timestamptz, p_settings jsonb,
  p_now timestamptz
) returns public.batch_tasks
language plpgsql stable set search_path = '' as $$
declare
  v_task public.batch_tasks := p_task;
  -- The fall-back, which stood in while the provider is down, cannot do it: the provider may be back by the next try.
  v_by_stand_in boolean := not p_task.asks_fallback and p_result.answerer <> p_task.provider;
  v_becomes text := case
    when p_result.outcome = 'refused' then 'failed'
    when p_result.outcome = 'cut' then 'free'
    when p_result.outcome = 'waiting' then case when p_fails_at <= p_now then 'failed' else 'rate_limited' end
    when (p_result.outcome = 'failed' or v_by_stand_in)
      and p_task.failures + 1 < (p_settings ->> 'max_failures')::integer then 'retried'
    when p_has_fallback and not p_task.asks_fallback then 'handed_on'
    else 'failed' end;
begin
  v_task.attempts := p_task.attempts + 1;
  v_task.run_after := null;
  if p_result.outcome <> 'cut' then
    v_task.error_message := concat_ws(': ', p_result.answerer, coalesce(left(p_result.reason, 200), p_result.outcome));
  end if;
  if p_result.outcome in ('failed', 'unusable') then
    v_task.failures := p_task.failures + 1;
  end if;
  case v_becomes
    when 'free' then
      null;
    when 'failed' then
      v_task.status := 'failed';
      v_task.completed_at := p_now;
    when 'retried' then
      v_task.run_after := p_now
        + make_interval(secs => (p_settings ->> 'retry_seconds')::integer * 2 ^ least(p_task.failures, 10));
    when 'rate_limited' then
      -- A rate-limited call uses no attempt. What it waits for beyond open_seconds is the breaker's matter, which other
      -- calls may close. While the provider is down the breaker alone decides, and a fall-back may be asked at once.
      v_task.attempts := p_task.attempts;
      v_task.run_after := case when p_result.provider_is_down is not true then least(p_fails_at,
        p_now + make_interval(secs => least(p_result.wait_seconds, (p_settings ->> 'open_seconds')::integer))) end;
    when 'handed_on' then
      v_task.asks_fallback := true;
      v_task.failures := 0;
  end case;
  return v_task;
end;
$$;
comment on function batches.task_after(
  public.batch_tasks, batches.result, boolean, timestamptz, jsonb, timestamptz) is
  'The task as it is after a result that is no answer: it fails, is free again, is retried later, waits without an '
    'attempt used, or is handed on to the fall-back. p_has_fallback: whether its provider has one that is enabled; '
    'p_fails_at: when what waits for a provider fails. Writes nothing.';

create function batches.record_results(
  p_job public.batch_jobs, p_leased bigint[], p_results jsonb, p_settings jsonb, p_now timestamptz,
  out results batches.result[], out failed integer, out reasons jsonb
)
language plpgsql set search_path = '' as $$
declare
  v_fails_at timestamptz := p_job.created_at + make_interval(hours => (p_settings ->> 'wait_hours')::integer);
begin
  with decided as materialized (
    select result, batches.task_after(tasks, result, others.enabled is true, v_fails_at, p_settings, p_now) as after
    from batches.read_results(p_results) as result
    join public.batch_tasks as tasks on tasks.id = result.id
    join public.batch_providers as providers on providers.name = tasks.provider
    left join public.batch_providers as others on others.name = providers.fallback_provider
    where result.id = any (p_leased) and result.outcome <> 'answered' and tasks.completed_at is null
  ), recorded as (
    update public.batch_tasks as tasks set
      status = (after).status, attempts = (after).attempts, failures = (after).failures,
      asks_fallback = (after).asks_fallback, run_after = (after).run_after, error_message = (after).error_message,
      completed_at = (after).completed_at
    from decided where tasks.id = (after).id
    returning result, tasks.status, tasks.error_message
  )
  select coalesce(array_agg(result), array[]::batches.result[]), count(*) filter (where status = 'failed'), (
      select coalesce(jsonb_object_agg(error_message, count), '{}')
      from (select error_message, count(*) from recorded where status = 'failed' group by error_message) as each)
    into results, failed, reasons from recorded;
end;
$$;
comment on function batches.record_results(public.batch_jobs, bigint[], jsonb, jsonb, timestamptz) is
  'Writes what becomes of the leased tasks whose results are no answers. Returns these results, how many tasks '
    'failed, and why: {reason: count}. Raises data_exception for results it cannot read.';

create function batches.add_to_job(
  p_job_id uuid, p_completed integer, p_failed integer, p_reasons jsonb, p_now timestamptz
) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  update public.batch_jobs set
    tasks_completed = tasks_completed + p_completed,
    tasks_failed = tasks_failed + p_failed,
    last_heartbeat = greatest(last_heartbeat, p_now),
    last_progress_at = case when p_completed + p_failed > 0 then p_now else last_progress_at end,
    reasons = reasons || (
      select coalesce(jsonb_object_agg(key, value::integer + coalesce((reasons ->> key)::integer, 0)), '{}')
      from jsonb_each_text(p_reasons))
    where id = p_job_id
    returning * into v_job;
  return v_job;
end;
$$;
comment on function batches.add_to_job(uuid, integer, integer, jsonb, timestamptz) is
  'Counts tasks that ended, in the batch job''s row, and why they failed: {reason: count}.';

create function batches.take_results(
  p_job public.batch_jobs, p_leased bigint[], p_results jsonb, p_settings jsonb, p_now timestamptz,
  out answered_ids bigint[], out last_places jsonb, out others batches.result[], out failed integer, out reasons jsonb
)
language plpgsql set search_path = '' as $$
begin
  if p_results is null then
    raise data_exception;
  end if;
  select kept.task_ids, kept.last_places into answered_ids, last_places
    from batches.keep_answers(p_leased, p_results, p_now) as kept;
  if cardinality(answered_ids) < jsonb_array_length(p_results) then
    select recorded.results, recorded.failed, recorded.reasons into others, failed, reasons
      from batches.record_results(p_job, p_leased, p_results, p_settings, p_now) as recorded;
  else
    select array[]::batches.result[], 0, '{}' into others, failed, reasons;
  end if;
exception when data_exception or check_violation then
  raise exception using errcode = '22023',
    message = 'cannot finish tasks: ' || coalesce(batches.wrong_result(p_results),
      'results must be a JSON array of {"id", "outcome": answered, refused, unusable, failed, waiting or cut, …}, '
      'answered ones with answer, model and answerer');
end;
$$;
comment on function batches.take_results(public.batch_jobs, bigint[], jsonb, jsonb, timestamptz) is
  'Takes results of leased tasks. Returns the tasks that were answered, the place of each provider''s last answer in '
    'the list, the other results that were taken, how many tasks failed, and why. Raises 22023 for results it cannot '
    'read.';

create function batches.finish_tasks(p_job_id uuid, p_token uuid, p_results jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_settings jsonb := batches.settings();
  v_job public.batch_jobs;
  v_leased bigint[];
  v_taken record;
  v_accepted bigint[];
  v_was_open boolean;
begin
  -- A batch job that was deleted has no leases, so all results are refused.
  v_job := batches.lock_job(p_job_id);
  v_was_open := v_job.completed_at is null;
  select task_ids into v_leased from batches.leases where job_id = p_job_id and token = p_token;
  v_taken := batches.take_results(v_job, v_leased, p_results, v_settings, p_now);
  v_accepted := v_taken.answered_ids || array(select id from unnest(v_taken.others));

  perform batches.record_news(array(
    select news from batches.provider_news(v_taken.others, v_taken.last_places) as news), v_settings, p_now);
  perform batches.shorten_lease(p_job_id, p_token, v_leased, v_accepted);
  if v_was_open then
    v_job := batches.add_to_job(p_job_id, cardinality(v_taken.answered_ids), v_taken.failed, v_taken.reasons, p_now);
    if cardinality(v_taken.others) > v_taken.failed then
      perform batches.look_again_for_tasks(p_job_id, v_accepted);
    end if;
    -- Tasks of deleted prompts are not counted. Whether others are open is looked up when no lease is left.
    if v_job.tasks_completed + v_job.tasks_failed = v_job.tasks_total
      or not exists (select from batches.leases where job_id = p_job_id) then
      v_job.status := batches.end_job_when_done(p_job_id, p_now);
    end if;
  end if;
  return jsonb_build_object(
    'accepted', cardinality(v_accepted), 'refused', jsonb_array_length(p_results) - cardinality(v_accepted),
    'completed', cardinality(v_taken.answered_ids), 'failed', v_taken.failed,
    'status', coalesce(v_job.status, 'unknown'),
    'ended', coalesce(v_was_open and v_job.status not in ('pending', 'running'), false),
    'open', coalesce(v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 0),
    'open_breakers', (select coalesce(jsonb_agg(name), '[]') from public.batch_providers where open_until > p_now));
end;
$$;
comment on function batches.finish_tasks(uuid, uuid, jsonb, timestamptz) is
  'Takes results of tasks that the token''s holder leases. Others are refused, so each task ends once and is answered '
    'once. A result: {"id", "outcome", "answerer", "reason"}; an answered one also has {"answer", "model", '
    '"latency_ms", "prompt_tokens", "completion_tokens"}. Outcomes: answered; refused: it is the task''s own fault, '
    'and it fails; failed: it is the provider''s fault, and the task is tried again later, then by the fall-back; '
    'unusable: it goes to the fall-back at once; waiting: there were too many requests, so it is tried again after '
    '"wait_seconds" (at most the setting open_seconds) when its provider may be called, or, with "provider_is_down" '
    'true, by the fall-back; cut: the run''s time was over. "provider_answered" true: the provider answered all the '
    'same, so it is not down. Ends the batch job with its last task. Returns {"accepted", "refused", "completed", '
    '"failed", "status" of the job, unknown when it was deleted, "ended": by this call, "open": tasks, '
    '"open_breakers": providers not to be called now}. Raises 22023 for results it cannot read, and names the field.';

create function public.finish_batch_tasks(p_job_id uuid, p_token uuid, p_results jsonb) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.finish_tasks(p_job_id, p_token, p_results);
$$;
comment on function public.finish_batch_tasks(uuid, uuid, jsonb) is
  'batches.finish_tasks by the clock of the database.';

revoke all on function public.finish_batch_tasks(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_batch_tasks(uuid, uuid, jsonb) to service_role;
