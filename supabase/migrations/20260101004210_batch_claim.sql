-- Claiming tasks: who is asked, and how many at once.
--
-- Lock order of all that works on batches: the batch job, the providers, the tasks. A claim waits for none of them:
-- what is locked is left to whoever has it.

create or replace function scheduler.batch_routes(p_failures_to_open integer, p_now timestamptz)
returns table (provider text, asks_fallback boolean, place integer, answerer text, probes boolean, opens_at timestamptz, problem text)
language sql stable set search_path = '' as $$
  with gates as (
    select name, fallback_provider, last_error,
      failures_in_row >= p_failures_to_open as down,
      case when not enabled then 'off'
        when open_until is null then 'ready'
        when open_until > p_now or probe_until > p_now then 'shut'
        else 'probe' end as gate,
      -- Who tries whether the provider is back may know any moment.
      case when open_until > p_now then open_until else p_now + interval '5 seconds' end as opens_at
    from public.batch_providers
  ),
  choices as (
    select own.name as provider, asking.asks_fallback, own.gate as own_gate, other.name as other_name, other.gate as other_gate,
      -- Too many requests alone is no reason to ask somebody else: that passes.
      asking.asks_fallback or own.gate = 'off' or (own.gate <> 'ready' and own.down) as other_may,
      asking.asks_fallback or own.gate = 'off' as other_must,
      case when asking.asks_fallback or own.gate = 'off' then other.opens_at else own.opens_at end as opens_at,
      case when asking.asks_fallback or own.gate = 'off' then other.last_error else own.last_error end as last_error
    from gates as own
    left join gates as other on other.name = own.fallback_provider
    cross join (values (false), (true)) as asking (asks_fallback)
  )
  select provider, asks_fallback, 1, provider, own_gate = 'probe', opens_at, null
    from choices where not asks_fallback and own_gate in ('ready', 'probe')
  union all
  select provider, asks_fallback, 2, other_name, other_gate = 'probe', opens_at, null
    from choices where other_may and other_gate in ('ready', 'probe')
  union all
  select provider, asks_fallback, 3, null, false, opens_at, case when other_must and coalesce(other_gate, 'off') = 'off'
      then case when asks_fallback then 'no fall-back any more' else 'disabled' end end
    from choices
    where case when other_must then coalesce(other_gate, 'off') in ('off', 'shut')
      else own_gate in ('shut', 'probe') and not (other_may and coalesce(other_gate, 'off') in ('ready', 'probe')) end;
$$;
comment on function scheduler.batch_routes(integer, timestamptz) is
  'Who answers a provider''s tasks now, in order: itself, its fall-back when the breaker is open because it is down; probes: one call alone, to try whether it is back; no answerer: nobody until opens_at, or never, for the reason problem.';

-- Security definer, like the other functions of a processor: service_role may only read tasks and batch jobs.
create or replace function public.claim_batch_tasks(
  p_job_id uuid,
  p_token uuid,
  p_limit integer default 100,
  p_lease_seconds integer default null,
  p_busy jsonb default null,
  p_now timestamptz default now()
) returns jsonb
language plpgsql security definer set search_path = ''
  -- A claim costs what it takes, not what is open: tasks are read in the order of their index, and nothing is planned again.
  set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off as $$
declare
  v_job public.batch_jobs;
  v_settings jsonb := scheduler.batch_settings();
  v_leased_until timestamptz := p_now + make_interval(secs => coalesce(p_lease_seconds, (v_settings ->> 'lease_seconds')::integer));
  v_waits_until timestamptz;
  v_route record;
  v_answerer public.batch_providers;
  v_room integer;
  v_problem text;
  v_chunk record;
  v_claimed integer := 0;
  v_bytes bigint := 0;
  v_taken jsonb := jsonb_build_object();
  v_tasks jsonb := jsonb_build_array();
  v_providers jsonb := jsonb_build_object();
  v_more jsonb := jsonb_build_array();
  v_rest timestamptz;
  v_next timestamptz;
begin
  if p_token is null or p_limit is null or p_limit not between 1 and 1000 then
    raise exception using errcode = '22023',
      message = format('cannot claim tasks: a token and a limit from 1 to 1000 must be given, got %s', coalesce(p_limit::text, 'null'));
  end if;
  select * into v_job from public.batch_jobs where id = p_job_id;
  if not found then
    raise exception using errcode = '22023', message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;
  v_waits_until := v_job.created_at + make_interval(hours => (v_settings ->> 'wait_hours')::integer);
  if v_job.completed_at is null and (v_job.status = 'pending' or coalesce(v_job.last_heartbeat, '-infinity') < p_now - interval '5 seconds') then
    -- Whoever has it locked is heard of himself.
    perform from public.batch_jobs where id = p_job_id for no key update skip locked;
    if found then
      update public.batch_jobs
        set status = 'running', started_at = coalesce(started_at, p_now), last_heartbeat = greatest(last_heartbeat, p_now)
        where id = p_job_id and completed_at is null;
      select * into v_job from public.batch_jobs where id = p_job_id;
    end if;
  end if;
  if v_job.completed_at is not null or v_job.id is null then
    return jsonb_build_object('status', coalesce(v_job.status, 'over'), 'tasks', v_tasks, 'providers', v_providers, 'more', v_more,
      'next_in_ms', null, 'open', 0, 'settings', v_settings);
  end if;

  for v_route in
    select * from scheduler.batch_routes((v_settings ->> 'failures_to_open')::integer, p_now) order by provider, asks_fallback, place
  loop
    v_room := p_limit - v_claimed;
    v_problem := v_route.problem;
    if v_route.answerer is not null then
      select * into v_answerer from public.batch_providers where name = v_route.answerer;
      if p_busy is not null then
        -- As many as it works on at once, and as many again, so that no slot waits for the next claim.
        v_room := least(v_room, 2 * v_answerer.concurrency - coalesce((p_busy ->> v_answerer.name)::integer, 0)
          - coalesce((v_taken ->> v_answerer.name)::integer, 0));
      end if;
      if v_route.probes then
        perform from public.batch_providers
          where name = v_answerer.name and open_until <= p_now and coalesce(probe_until, '-infinity') <= p_now
          for no key update skip locked;
        v_room := case when found then least(v_room, 1) else 0 end;
      end if;
    elsif v_problem is null then
      v_problem := case when v_waits_until <= p_now then format('down for %s hours', v_settings ->> 'wait_hours') end;
      v_room := case when v_problem is null then 0 else v_room end;
    end if;
    v_room := case when v_bytes >= 4000000 then 0 else greatest(v_room, 0) end;

    with locked as materialized (
      select tasks.id, tasks.prompt_id
      from public.batch_tasks as tasks
      where tasks.job_id = p_job_id and tasks.provider = v_route.provider
        -- Not "=", with which the planner may read in the order of the primary key, through all other batch jobs.
        and tasks.asks_fallback between v_route.asks_fallback and v_route.asks_fallback
        and tasks.completed_at is null
        and (tasks.status = 'pending' and (tasks.run_after is null or tasks.run_after <= p_now or v_problem is not null)
          or tasks.leased_until <= p_now and tasks.lease_token <> p_token)
      order by tasks.asks_fallback, tasks.id
      limit v_room
      for update skip locked
    ),
    sized as (
      select locked.id, prompts.text, octet_length(prompts.text) as bytes,
        sum(octet_length(prompts.text)) over (order by locked.id) - octet_length(prompts.text) as before
      from locked join public.prompts on prompts.id = locked.prompt_id
    ),
    claimed as (
      update public.batch_tasks as tasks
      set status = 'leased', lease_token = p_token, leased_until = v_leased_until, attempts = attempts + 1
      from sized where tasks.id = sized.id and sized.before < 4000000 - v_bytes
      returning tasks.id, tasks.attempts, tasks.error_message, sized.text, sized.bytes
    ),
    described as (
      select id, text, bytes, case
          when v_route.answerer is null and v_route.asks_fallback then coalesce(error_message, v_problem)
          when v_route.answerer is null then format('%s: %s', v_route.provider, v_problem)
          when attempts > (v_settings ->> 'max_attempts')::integer
            then format('given up after %s attempts', v_settings ->> 'max_attempts')
          when bytes > v_answerer.max_prompt_characters and length(text) > v_answerer.max_prompt_characters
            then format('%s: prompt longer than %s characters', v_answerer.name, v_answerer.max_prompt_characters)
        end as problem
      from claimed
    )
    select count(*)::integer as count, coalesce(sum(bytes) filter (where problem is null), 0) as bytes,
      coalesce(jsonb_agg(jsonb_build_object('id', id, 'answerer', v_route.answerer, 'problem', problem,
        'prompt', case when problem is null then text end) order by id), '[]') as tasks
    into v_chunk from described;

    v_claimed := v_claimed + v_chunk.count;
    v_bytes := v_bytes + v_chunk.bytes;
    v_tasks := v_tasks || v_chunk.tasks;
    if v_chunk.count > 0 and v_route.answerer is not null then
      v_taken := v_taken || jsonb_build_object(v_answerer.name, coalesce((v_taken ->> v_answerer.name)::integer, 0) + v_chunk.count);
      v_providers := v_providers || jsonb_build_object(v_answerer.name, jsonb_build_object(
        'model', v_answerer.model, 'api_url_variable', v_answerer.api_url_variable, 'api_key_variable', v_answerer.api_key_variable,
        'concurrency', case when v_route.probes then 1 else v_answerer.concurrency end,
        'max_completion_tokens', v_answerer.max_completion_tokens, 'probes', v_route.probes));
      if v_route.probes then
        update public.batch_providers
          set probe_until = p_now + make_interval(secs => (v_settings ->> 'call_timeout_seconds')::integer + 30)
          where name = v_answerer.name;
      end if;
    end if;

    if v_route.answerer is not null and not v_route.probes and v_chunk.count >= v_room then
      v_more := v_more || to_jsonb(v_route.answerer);
    else
      select min(case when status = 'leased' then leased_until else greatest(run_after, p_now) end) into v_rest
        from public.batch_tasks
        where job_id = p_job_id and provider = v_route.provider and asks_fallback = v_route.asks_fallback
          and completed_at is null and lease_token is distinct from p_token;
      -- What nobody takes now is looked at again when its provider may be called.
      v_next := least(v_next, case when v_rest is null then null
        when v_route.answerer is null or v_route.probes then greatest(v_rest, v_route.opens_at)
        else greatest(v_rest, p_now + interval '1 second') end);
    end if;
  end loop;

  if v_claimed = 0 then
    -- Whoever has it locked ends it himself, and may be waiting for the provider that is to be tried here.
    perform from public.batch_jobs where id = p_job_id for no key update skip locked;
    if found then
      v_job.status := scheduler.settle_batch_job(p_job_id, p_now);
    end if;
  end if;
  if v_next > v_waits_until and v_waits_until > p_now then
    v_next := v_waits_until;
  end if;
  return jsonb_build_object('status', v_job.status, 'tasks', v_tasks, 'providers', v_providers, 'more', v_more,
    'next_in_ms', greatest(0, ceil(extract(epoch from v_next - p_now) * 1000)),
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 'settings', v_settings);
end;
$$;
comment on function public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb, timestamptz) is
  'Leases tasks of the batch job to the holder of the token, for p_lease_seconds (the setting when null), also those whose lease has expired. p_busy {provider: tasks it holds already}: no more than twice each provider''s concurrency; null: only p_limit. Returns {"status" of the job, "tasks": [{"id", "answerer", "prompt", "problem"}], "providers": {answerer: how to call it}, "more": answerers with further tasks, "next_in_ms": when to look again, null: never, "open", "settings"}. A task with a problem is not to be called but reported with it. Raises 22023 for an unknown job.';

revoke all on function scheduler.batch_routes(integer, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb, timestamptz) from public, anon, authenticated, service_role;
grant execute on function public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb, timestamptz) to service_role;
