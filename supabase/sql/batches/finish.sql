-- What came of tasks: answers once, results from the holder of the lease alone, and the end of the batch job with its
-- last task, whoever brings it.

create function batches.end_job_when_done(p_job_id uuid, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_gone integer;
begin
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  if v_job.completed_at is not null or v_job.tasks_completed + v_job.tasks_failed < v_job.tasks_total and exists (
    -- From the end, where tasks are claimed last.
    select from (select name from public.batch_providers order by name desc) as providers, lateral (
      select from public.batch_tasks
      where provider = providers.name and job_id = p_job_id and completed_at is null
      order by asks_fallback desc, id desc limit 1) as open_task
  ) then
    return v_job.status;
  end if;
  -- Of tasks that are no more: their prompts were deleted.
  delete from public.batch_leases where job_id = p_job_id;
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
  'Ends the batch job if none of its tasks is open any more: completed, failed when nothing was answered, else partial. Returns its status, null for an unknown job.';

create function batches.shorten_lease(p_job_id uuid, p_token uuid, p_leased bigint[], p_task_ids bigint[]) returns void
language plpgsql set search_path = '' as $$
begin
  if cardinality(p_task_ids) = cardinality(p_leased) then
    delete from public.batch_leases where job_id = p_job_id and token = p_token;
  elsif cardinality(p_task_ids) > 0 then
    update public.batch_leases
      set task_ids = array(select task_id from unnest(p_leased) as task_id where task_id not in (select unnest(p_task_ids)))
      where job_id = p_job_id and token = p_token;
    delete from batches.calls where job_id = p_job_id and token = p_token and task_id = any (p_task_ids);
  end if;
end;
$$;
comment on function batches.shorten_lease(uuid, uuid, bigint[], bigint[]) is
  'Takes tasks out of a lease of the tasks p_leased, and their calls'' slots with them; one without tasks is over. The caller holds the batch job''s lock.';

-- The breaker.
create function batches.record_calls(p_heard jsonb, p_troubles jsonb, p_settings jsonb, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  with counted as (
    select providers.name, providers.open_until as was_open_until, p_heard ? providers.name as heard,
      coalesce(troubles.failures, 0) as failures, coalesce(troubles.waits, false) as waits, troubles.wait_seconds, troubles.reason,
      greatest(
        case when p_heard ? providers.name then 0 else providers.failures_in_row end + coalesce(troubles.failures, 0)
          -- Many that are told to wait at once are told one thing.
          + case when troubles.waits and coalesce(providers.open_until, p_now) <= p_now then 1 else 0 end,
        -- Who says that it is down need not say so five times.
        case when troubles.down then (p_settings ->> 'failures_to_open')::integer end) as in_row
    from public.batch_providers as providers
    left join jsonb_to_recordset(p_troubles) as troubles (
      answerer text, failures integer, waits boolean, wait_seconds integer, down boolean, reason text)
      on troubles.answerer = providers.name
    where troubles.answerer is not null or p_heard ? providers.name and (providers.failures_in_row > 0 or providers.open_until is not null)
    order by providers.name
    for no key update of providers
  )
  update public.batch_providers as providers set
    failures_in_row = counted.in_row,
    open_until = case
      when counted.waits
        then greatest(counted.was_open_until, p_now + make_interval(secs => coalesce(counted.wait_seconds, (p_settings ->> 'open_seconds')::integer)))
      when counted.failures = 0 and counted.heard then null
      when counted.failures > 0 and (counted.in_row >= (p_settings ->> 'failures_to_open')::integer
          or counted.was_open_until is not null and not counted.heard)
        then greatest(counted.was_open_until, p_now + make_interval(secs => (p_settings ->> 'open_seconds')::integer))
      else counted.was_open_until end,
    probe_until = null,
    last_error = coalesce(left(counted.reason, 200), providers.last_error),
    updated_at = p_now
  from counted where providers.name = counted.name;
end;
$$;
comment on function batches.record_calls(jsonb, jsonb, jsonb, timestamptz) is
  'Keeps the breakers by what calls came to: opens after failures in a row, waits as long as a provider says, closes when one answers. p_heard {answerer: anything}: who answered; p_troubles [{"answerer", "failures" since it last answered, "waits": it says too many requests, "wait_seconds", "down": it says so itself, "reason"}].';

-- Nearly all results are answers, and an answer needs no decision.
create function batches.keep_answers(
  p_leased bigint[], p_results jsonb, p_now timestamptz, out task_ids bigint[], out heard jsonb
)
-- Each task by its key, however many there are, and nothing is planned again.
language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  with answered as (
    update public.batch_tasks as tasks set
      status = 'completed', attempts = tasks.attempts + 1, run_after = null, completed_at = p_now,
      answered_by = results.answerer, model = results.model, answer = results.answer,
      latency_ms = greatest(coalesce(results.latency_ms, 0), 0),
      prompt_tokens = results.prompt_tokens, completion_tokens = results.completion_tokens,
      cost_usd = case when results.prompt_tokens is not null and results.completion_tokens is not null then (
        select (results.prompt_tokens * prompt_usd_per_million + results.completion_tokens * completion_usd_per_million) / 1000000
        from public.batch_providers where name = results.answerer) end
    from rows from (jsonb_to_recordset(p_results) as (
      id bigint, outcome text, answerer text, answer text, model text, latency_ms integer, prompt_tokens integer, completion_tokens integer)
    ) with ordinality as results (id, outcome, answerer, answer, model, latency_ms, prompt_tokens, completion_tokens, place)
    where tasks.id = results.id and tasks.completed_at is null
      -- Written so that the ids are hashed, not gone through for each result.
      and (results.id in (select unnest(p_leased))) is true
      and results.outcome = 'answered' and results.answer is not null and results.model is not null and results.answerer is not null
    returning tasks.id, results.answerer, results.place
  )
  select coalesce(array_agg(id), array[]::bigint[]),
      (select coalesce(jsonb_object_agg(answerer, place), jsonb_build_object()) from (
        select answerer, max(place) as place from answered group by answerer) as each)
    into task_ids, heard from answered;
end;
$$;
comment on function batches.keep_answers(bigint[], jsonb, timestamptz) is
  'Ends the leased tasks that p_results answers, with their answers. Returns them, and {who answered: place of its last answer in p_results}.';

create function batches.settle_results(
  p_job public.batch_jobs, p_leased bigint[], p_results jsonb, p_heard jsonb, p_settings jsonb, p_now timestamptz,
  out task_ids bigint[], out failed integer, out reasons jsonb, out heard jsonb, out troubles jsonb
)
language plpgsql set search_path = '' as $$
declare
  v_waits_until timestamptz := p_job.created_at + make_interval(hours => (p_settings ->> 'wait_hours')::integer);
begin
  if exists (
    select from jsonb_to_recordset(p_results) as results (id bigint, outcome text, answerer text, answer text, model text)
    where id is null or coalesce(outcome, '') not in ('answered', 'refused', 'unusable', 'failed', 'waiting', 'cut')
      or outcome = 'answered' and (answer is null or model is null or answerer is null)
  ) then
    raise data_exception;
  end if;

  with results as (
    select list.*, coalesce(answerer || ': ', '') || coalesce(left(reason, 200), outcome) as why
    from rows from (jsonb_to_recordset(p_results) as (
      id bigint, outcome text, answerer text, reason text, wait_seconds integer, down boolean, heard boolean)
    ) with ordinality as list (id, outcome, answerer, reason, wait_seconds, down, heard, place)
  ),
  decided as (
    -- What becomes of each: failed, given back, or given to the fall-back.
    select results.*, case
        when outcome = 'refused' then 'failed'
        when outcome = 'cut' then 'pending'
        when outcome = 'waiting' then case when v_waits_until <= p_now then 'failed' else 'pending' end
        when tasks.failures + 1 < (p_settings ->> 'max_failures')::integer and (outcome = 'failed'
          -- The fall-back, which stood in while the provider is down, cannot do it: the provider may be back by then.
          or outcome = 'unusable' and not tasks.asks_fallback and results.answerer <> tasks.provider) then 'pending'
        when not tasks.asks_fallback and others.enabled then 'fallback'
        else 'failed' end as becomes
    from results
    join public.batch_tasks as tasks on tasks.id = results.id
    join public.batch_providers as providers on providers.name = tasks.provider
    left join public.batch_providers as others on others.name = providers.fallback_provider
    where results.id = any (p_leased) and outcome <> 'answered' and tasks.completed_at is null
  ),
  settled as (
    update public.batch_tasks as tasks set
      status = case when decided.becomes = 'failed' then 'failed' else 'pending' end,
      asks_fallback = tasks.asks_fallback or decided.becomes = 'fallback',
      -- Who was told to wait was not served: that is no attempt.
      attempts = tasks.attempts + case when decided.becomes = 'pending' and decided.outcome = 'waiting' then 0 else 1 end,
      failures = case when decided.becomes = 'fallback' then 0
        when decided.outcome in ('failed', 'unusable') then tasks.failures + 1 else tasks.failures end,
      -- Who was told to wait longer waits by the breaker, which others may find closed; whose provider is down waits by it
      -- alone, or not at all, where there is a fall-back.
      run_after = case when decided.becomes <> 'pending' or decided.outcome = 'cut' or decided.down then null
        when decided.outcome = 'waiting'
          then least(p_now + make_interval(secs => least(decided.wait_seconds, (p_settings ->> 'open_seconds')::integer)), v_waits_until)
        else p_now + make_interval(secs => (p_settings ->> 'retry_seconds')::integer * 2 ^ least(tasks.failures, 10)) end,
      error_message = case when decided.outcome = 'cut' then tasks.error_message else decided.why end,
      completed_at = case when decided.becomes = 'failed' then p_now end
    from decided where tasks.id = decided.id
    returning tasks.status, decided.*
  ),
  last_heard as (
    select answerer, max(place) as place from (
      select key as answerer, value::bigint as place from jsonb_each_text(p_heard)
      union all
      select answerer, place from settled where (outcome = 'refused' or settled.heard) and answerer is not null
    ) as each
    group by answerer
  ),
  trouble as (
    select settled.answerer, count(*) filter (where outcome = 'failed' and settled.place > coalesce(last_heard.place, 0)) as failures,
      bool_or(outcome = 'waiting') as waits, max(wait_seconds) filter (where outcome = 'waiting') as wait_seconds,
      coalesce(bool_or(down) filter (where outcome = 'waiting'), false) as down,
      (array_agg(reason order by settled.place desc) filter (where outcome <> 'cut'))[1] as reason
    from settled left join last_heard on last_heard.answerer = settled.answerer
    -- Whoever was to try whether the provider is back, and learned nothing of it, does so no longer.
    where settled.answerer is not null and outcome <> 'refused' and settled.heard is not true
    group by settled.answerer
  )
  select coalesce(array_agg(id), array[]::bigint[]), count(*) filter (where status = 'failed'),
      (select coalesce(jsonb_object_agg(why, count), jsonb_build_object()) from (
        select why, count(*) from settled where status = 'failed' group by why) as each),
      (select coalesce(jsonb_object_agg(answerer, place), jsonb_build_object()) from last_heard),
      (select coalesce(jsonb_agg(trouble), jsonb_build_array()) from trouble)
    into task_ids, failed, reasons, heard, troubles from settled;
end;
$$;
comment on function batches.settle_results(public.batch_jobs, bigint[], jsonb, jsonb, jsonb, timestamptz) is
  'What becomes of the leased tasks whose results are no answers. Returns them, how many failed and why, and what record_batch_calls is to know. Raises data_exception for results it cannot read.';

-- Asked only when results could not be taken: a look at each of thousands would cost more than they do.
create function batches.wrong_result(p_results jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('results[%s].%s must be %s, got %s', place - 1, field, wanted, left(coalesce((result -> field)::text, 'nothing'), 50))
  from jsonb_array_elements(case jsonb_typeof(p_results) when 'array' then p_results else '[]' end) with ordinality as results (result, place),
    lateral (values
      (1, 'id', 'a whole number', '^[0-9]{1,18}$', true),
      (2, 'outcome', 'answered, refused, unusable, failed, waiting or cut', '^(answered|refused|unusable|failed|waiting|cut)$', true),
      (3, 'answer', 'the answer', '', result ->> 'outcome' = 'answered'),
      (4, 'model', 'the model that answered', '', result ->> 'outcome' = 'answered'),
      (5, 'answerer', 'the provider that answered', '', result ->> 'outcome' = 'answered'),
      (6, 'latency_ms', 'a whole number from 0 on', '^-?[0-9]{1,9}$', false),
      (7, 'prompt_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (8, 'completion_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (9, 'wait_seconds', 'a whole number', '^-?[0-9]{1,9}$', false),
      (10, 'down', 'true or false', '^(true|false)$', false)) as fields (field_place, field, wanted, pattern, needed)
  where case when result ->> field is null then needed else result ->> field !~ pattern end
  order by place, field_place
  limit 1;
$$;
comment on function batches.wrong_result(jsonb) is
  'What is wrong with results that finish_batch_tasks could not take, by the field''s name; null: they are no array, or it is something else.';

create function batches.finish_tasks(p_job_id uuid, p_token uuid, p_results jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' set jit = off as $$
declare
  v_settings jsonb := batches.settings();
  v_job public.batch_jobs;
  v_leased bigint[];
  v_answered record;
  v_other record;
  v_accepted bigint[];
  v_was_open boolean;
begin
  -- Of one that was deleted nobody leases a task, so all results are refused.
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  v_was_open := v_job.completed_at is null;
  select task_ids into v_leased from public.batch_leases where job_id = p_job_id and token = p_token;
  begin
    select * into v_answered from batches.keep_answers(v_leased, p_results, p_now);
    select * into v_other
      from batches.settle_results(v_job, v_leased, p_results, v_answered.heard, v_settings, p_now)
      where cardinality(v_answered.task_ids) < jsonb_array_length(p_results);
  exception when data_exception or check_violation then
    raise exception using errcode = '22023',
      message = 'cannot finish tasks: ' || coalesce(batches.wrong_result(p_results),
        'results must be a JSON array of {"id", "outcome": answered, refused, unusable, failed, waiting or cut, …}, answered ones with answer, model and answerer');
  end;
  v_accepted := v_answered.task_ids || coalesce(v_other.task_ids, array[]::bigint[]);

  perform batches.record_calls(coalesce(v_other.heard, v_answered.heard), coalesce(v_other.troubles, jsonb_build_array()), v_settings, p_now);
  perform batches.shorten_lease(p_job_id, p_token, v_leased, v_accepted);
  if v_job.completed_at is null then
    update public.batch_jobs set
      tasks_completed = tasks_completed + cardinality(v_answered.task_ids),
      tasks_failed = tasks_failed + coalesce(v_other.failed, 0),
      last_heartbeat = greatest(last_heartbeat, p_now),
      last_progress_at = case when cardinality(v_answered.task_ids) > 0 or v_other.failed > 0 then p_now else last_progress_at end,
      reasons = case when v_other.failed > 0 then reasons || (
        select jsonb_object_agg(key, value::integer + coalesce((reasons ->> key)::integer, 0)) from jsonb_each_text(v_other.reasons))
        else reasons end
      where id = p_job_id
      returning * into v_job;
    if cardinality(v_accepted) > cardinality(v_answered.task_ids) + coalesce(v_other.failed, 0) then
      perform batches.look_again_for_tasks(p_job_id, v_other.task_ids);
    end if;
    -- Tasks of deleted prompts are not counted: whether others are open is looked up when nobody is left who would end them.
    if v_job.tasks_completed + v_job.tasks_failed = v_job.tasks_total
      or not exists (select from public.batch_leases where job_id = p_job_id) then
      v_job.status := batches.end_job_when_done(p_job_id, p_now);
    end if;
  end if;
  return jsonb_build_object('accepted', cardinality(v_accepted), 'refused', jsonb_array_length(p_results) - cardinality(v_accepted),
    'completed', cardinality(v_answered.task_ids), 'failed', coalesce(v_other.failed, 0), 'status', coalesce(v_job.status, 'unknown'),
    'ended', coalesce(v_was_open and v_job.status not in ('pending', 'running'), false),
    'open', coalesce(v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 0),
    'shut', (select coalesce(jsonb_agg(name), '[]') from public.batch_providers where open_until > p_now));
end;
$$;
comment on function batches.finish_tasks(uuid, uuid, jsonb, timestamptz) is
  'Takes results of tasks that the token''s holder leases; others are refused, so each task ends and is answered once. A result: {"id", "outcome", "answerer", "reason"}, an answered one also {"answer", "model", "latency_ms", "prompt_tokens", "completion_tokens"}. Outcomes: answered; refused: the task''s own fault, it fails; failed: the provider''s fault, tried again later, then by the fall-back; unusable: the same without trying again; waiting: too many requests, again after "wait_seconds", of its own at most the setting open_seconds, and when its provider may be called, with "down" true a reason for the fall-back too; cut: given back. "heard" true: the provider answered all the same, and is not down. Ends the batch job with its last task. Returns {"accepted", "refused", "completed", "failed", "status" of the job, unknown when it was deleted, "ended": by this call, "open", "shut": providers not to be called now}. Raises 22023 for results it cannot read, and names the field.';

create function public.finish_batch_tasks(p_job_id uuid, p_token uuid, p_results jsonb) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.finish_tasks(p_job_id, p_token, p_results);
$$;
comment on function public.finish_batch_tasks(uuid, uuid, jsonb) is
  'batches.finish_tasks by the clock of the database.';

revoke all on function public.finish_batch_tasks(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_batch_tasks(uuid, uuid, jsonb) to service_role;
