-- Claiming tasks: who is asked, and how many at once.
--
-- Lock order of all that works on batches: the batch job, its leases and tasks, the providers by name. Whoever claims,
-- finishes or gives back tasks of a batch job takes turns by its row's lock; that makes a lease of many tasks one row.

create function batches.routes(p_failures_to_open integer, p_now timestamptz)
returns table (provider text, asks_fallback boolean, place integer, answerer text, probes boolean, opens_at timestamptz, problem text)
-- In plpgsql its plan is kept.
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with gates as (
    select name, fallback_provider,
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
      case when asking.asks_fallback or own.gate = 'off' then other.opens_at else own.opens_at end as opens_at
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
end;
$$;
comment on function batches.routes(integer, timestamptz) is
  'Who answers a provider''s tasks now, in order: itself, its fall-back when the breaker is open because it is down; probes: one call alone, to try whether it is back; no answerer: nobody until opens_at, or never, for the reason problem.';

create function batches.claim_key(p_provider text, p_asks_fallback boolean) returns text
language sql immutable set search_path = '' as $$
  select p_provider || case when p_asks_fallback then ' fall-back' else '' end;
$$;
comment on function batches.claim_key(text, boolean) is 'The key in batch_jobs.claim_from.';

create function batches.look_again_for_tasks(p_job_id uuid, p_task_ids bigint[]) returns void
language plpgsql set search_path = '' as $$
begin
  update public.batch_jobs set
    given_back = true,
    claim_from = claim_from || (
      select coalesce(jsonb_object_agg(key, least(first_id, coalesce((claim_from ->> key)::bigint, 0))), jsonb_build_object())
      from (
        select batches.claim_key(provider, asks_fallback) as key, min(id) as first_id
        from public.batch_tasks where id = any (p_task_ids) and completed_at is null
        group by 1
      ) as open)
    where id = p_job_id and cardinality(p_task_ids) > 0;
end;
$$;
comment on function batches.look_again_for_tasks(uuid, bigint[]) is
  'Tasks were given back: the next claim begins to look with the first of them. The caller holds the batch job''s lock.';

create function batches.free_expired_leases(p_job_id uuid, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_task_ids bigint[];
begin
  with expired as (
    select token from public.batch_leases where job_id = p_job_id and leased_until <= p_now for update skip locked
  ), freed as (
    delete from public.batch_leases as leases using expired
    where leases.job_id = p_job_id and leases.token = expired.token
    returning leases.task_ids
  )
  select array_agg(task_id) into v_task_ids from freed, unnest(task_ids) as task_id;
  update public.batch_tasks set attempts = attempts + 1 where id = any (v_task_ids) and completed_at is null;
  perform batches.look_again_for_tasks(p_job_id, v_task_ids);
  return coalesce(cardinality(v_task_ids), 0);
end;
$$;
comment on function batches.free_expired_leases(uuid, timestamptz) is
  'Ends leases of processors that are not heard of any more; each of their tasks has lost an attempt. The caller holds the batch job''s lock. Returns how many tasks are free again.';

create function batches.claim_tasks(
  p_job_id uuid,
  p_token uuid,
  p_limit integer default 100,
  p_lease_seconds integer default null,
  p_busy jsonb default null,
  p_now timestamptz default now()
) returns json
language plpgsql set search_path = ''
  -- A claim costs what it takes, not what is open: tasks are read in the order of their index, and nothing is planned again.
  set plan_cache_mode = force_generic_plan set enable_bitmapscan = off set enable_seqscan = off set jit = off as $$
declare
  v_job public.batch_jobs;
  v_settings jsonb := batches.settings();
  v_max_attempts integer := (v_settings ->> 'max_attempts')::integer;
  v_leased_until timestamptz := p_now + make_interval(secs => coalesce(p_lease_seconds, (v_settings ->> 'lease_seconds')::integer));
  v_waits_until timestamptz;
  v_route record;
  v_answerer public.batch_providers;
  v_room integer;
  v_problem text;
  v_chunk record;
  v_own bigint[];
  v_others bigint[];
  v_others_until timestamptz;
  v_claimed bigint[] := array[]::bigint[];
  v_bytes bigint := 0;
  v_key text;
  v_from bigint;
  v_taken jsonb := jsonb_build_object();
  v_tasks json[] := array[]::json[];
  v_providers jsonb := jsonb_build_object();
  v_more jsonb := jsonb_build_array();
  v_held integer;
  v_waits text[] := array[]::text[];
  v_rest timestamptz;
  v_next timestamptz;
begin
  if p_token is null or p_limit is null or p_limit not between 1 and 2000 then
    raise exception using errcode = '22023',
      message = format('cannot claim tasks: a token and a limit from 1 to 2000 must be given, got %s', coalesce(p_limit::text, 'null'));
  end if;
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  if not found or v_job.completed_at is not null then
    return json_build_object('status', coalesce(v_job.status, 'unknown'), 'ended', false, 'tasks', v_tasks, 'providers', v_providers,
      'more', v_more, 'next_in_ms', null, 'open', 0, 'settings', v_settings);
  end if;
  v_waits_until := v_job.created_at + make_interval(hours => (v_settings ->> 'wait_hours')::integer);
  update public.batch_leases set leased_until = greatest(leased_until, v_leased_until) where job_id = p_job_id and token = p_token;
  if batches.free_expired_leases(p_job_id, p_now) > 0 then
    select * into v_job from public.batch_jobs where id = p_job_id;
  end if;
  select coalesce(array_agg(task_id) filter (where token = p_token), array[]::bigint[]),
      coalesce(array_agg(task_id) filter (where token <> p_token), array[]::bigint[]), min(leased_until) filter (where token <> p_token)
    into v_own, v_others, v_others_until
    from public.batch_leases, unnest(task_ids) as task_id where job_id = p_job_id;

  if p_busy is not null then
    -- Who counts a provider's slots and takes some does so alone.
    perform from public.batch_providers where enabled order by name for no key update;
  end if;
  for v_route in
    select * from batches.routes((v_settings ->> 'failures_to_open')::integer, p_now) order by provider, asks_fallback, place
  loop
    -- Nobody's task asks the fall-back before one was given back.
    continue when v_route.asks_fallback and not v_job.given_back;
    v_key := batches.claim_key(v_route.provider, v_route.asks_fallback);
    v_from := coalesce((v_job.claim_from ->> v_key)::bigint, 0);
    v_room := p_limit - cardinality(v_claimed);
    v_problem := v_route.problem;
    if v_route.answerer is not null then
      select * into v_answerer from public.batch_providers where name = v_route.answerer;
      if p_busy is not null then
        -- It may hold more than it knows of: results that it has not brought, and tasks of a claim whose answer was lost.
        v_held := coalesce((v_taken ->> v_answerer.name)::integer, 0) + greatest((p_busy ->> v_answerer.name)::integer, (
          select count(*) from batches.calls where job_id = p_job_id and token = p_token and provider = v_answerer.name));
        v_room := least(v_room, v_answerer.concurrency - v_held,
          batches.free_slots(v_answerer.name, v_answerer.concurrency, p_job_id, p_now) - coalesce((v_taken ->> v_answerer.name)::integer, 0));
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

    with free as materialized (
      select tasks.id, tasks.prompt_id, tasks.attempts, tasks.error_message
      from public.batch_tasks as tasks
      where tasks.job_id = p_job_id and tasks.provider = v_route.provider
        -- So and not with "=" and "id >=", for which the planner may read the primary key, through all other batch jobs.
        and (tasks.asks_fallback, tasks.id) >= (v_route.asks_fallback, v_from) and tasks.asks_fallback <= v_route.asks_fallback
        and tasks.completed_at is null
        and (tasks.run_after is null or tasks.run_after <= p_now or v_problem is not null)
        and tasks.id not in (select unnest(v_own)) and tasks.id not in (select unnest(v_others))
      order by tasks.asks_fallback, tasks.id
      limit v_room
    ),
    sized as (
      select free.*, prompts.text, octet_length(prompts.text) as bytes,
        sum(octet_length(prompts.text)) over (order by free.id rows unbounded preceding) - octet_length(prompts.text) as before
      from free join public.prompts on prompts.id = free.prompt_id
    ),
    checked as (
      select id, text, case
          when v_route.answerer is null and v_route.asks_fallback then coalesce(error_message, v_problem)
          when v_route.answerer is null then format('%s: %s', v_route.provider, v_problem)
          when attempts >= v_max_attempts then format('given up after %s attempts', v_max_attempts)
          when bytes > v_answerer.max_prompt_characters and length(text) > v_answerer.max_prompt_characters
            then format('%s: prompt longer than %s characters', v_answerer.name, v_answerer.max_prompt_characters)
        end as problem
      from sized where before < 4000000 - v_bytes
    ),
    described as (
      select id, v_route.answerer as answerer, case when problem is null then text end as prompt, problem from checked
    )
    select coalesce(array_agg(id order by id), array[]::bigint[]) as ids, coalesce(sum(octet_length(prompt)), 0) as bytes,
      coalesce(array_agg(row_to_json(described) order by id), array[]::json[]) as tasks
    into v_chunk from described;

    v_claimed := v_claimed || v_chunk.ids;
    v_own := v_own || v_chunk.ids;
    if not v_job.given_back then
      v_from := coalesce(v_chunk.ids[cardinality(v_chunk.ids)] + 1, v_from);
    else
      -- Up to the first that waits here.
      v_from := coalesce((
        select id from public.batch_tasks
        where job_id = p_job_id and provider = v_route.provider
          and (asks_fallback, id) >= (v_route.asks_fallback, v_from) and asks_fallback <= v_route.asks_fallback
          and completed_at is null and id not in (select unnest(v_own)) and id not in (select unnest(v_others))
        order by asks_fallback, id limit 1), v_chunk.ids[cardinality(v_chunk.ids)] + 1, v_from);
    end if;
    if v_from > 0 then
      v_job.claim_from := v_job.claim_from || jsonb_build_object(v_key, v_from);
    end if;
    v_bytes := v_bytes + v_chunk.bytes;
    v_tasks := v_tasks || v_chunk.tasks;
    if cardinality(v_chunk.ids) > 0 and v_route.answerer is not null then
      v_taken := v_taken || jsonb_build_object(v_answerer.name,
        coalesce((v_taken ->> v_answerer.name)::integer, 0) + cardinality(v_chunk.ids));
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

    if v_route.answerer is not null and not v_route.probes and cardinality(v_chunk.ids) >= v_room and (p_busy is null or exists (
      select from public.batch_tasks
      where job_id = p_job_id and provider = v_route.provider
        and (asks_fallback, id) >= (v_route.asks_fallback, v_from) and asks_fallback <= v_route.asks_fallback
        and completed_at is null and (run_after is null or run_after <= p_now)
        and id not in (select unnest(v_own)) and id not in (select unnest(v_others)))) then
      v_held := v_held + cardinality(v_chunk.ids);
      if p_busy is null or v_held > 0 then
        v_more := v_more || to_jsonb(v_route.answerer);
      end if;
      if p_busy is not null and v_held < v_answerer.concurrency then
        -- Others have its slots, or this claim is long enough.
        v_waits := v_waits || v_answerer.name;
        v_next := least(v_next, case when cardinality(v_claimed) >= p_limit or v_bytes >= 4000000 then p_now else p_now + interval '1 second' end);
      end if;
    else
      select min(case when id in (select unnest(v_others)) then v_others_until
          when v_problem is null then greatest(run_after, p_now) else p_now end) into v_rest
        from public.batch_tasks
        where job_id = p_job_id and provider = v_route.provider
          and (asks_fallback, id) >= (v_route.asks_fallback, v_from) and asks_fallback <= v_route.asks_fallback
          and completed_at is null and id not in (select unnest(v_own));
      -- What nobody takes now is looked at again when its provider may be called; what is to fail waits for nobody.
      v_next := least(v_next, case when v_rest is null then null
        when v_problem is not null then greatest(v_rest, p_now)
        when v_route.answerer is null or v_route.probes then greatest(v_rest, v_route.opens_at)
        else greatest(v_rest, p_now + interval '1 second') end);
    end if;
  end loop;

  update public.batch_jobs
    set status = 'running', started_at = coalesce(started_at, p_now), last_heartbeat = greatest(last_heartbeat, p_now),
      claim_from = v_job.claim_from
    where id = p_job_id
    returning * into v_job;
  if v_others_until is not null then
    -- Their tasks lie before where the loop looked.
    v_next := least(v_next, greatest(v_others_until, p_now + interval '1 second'));
  end if;
  if cardinality(v_claimed) = 0 then
    v_job.status := batches.settle_job(p_job_id, p_now);
    if v_job.status = 'running' and v_next is null and v_more = '[]' and v_job.claim_from <> '{}' then
      -- Somebody changed leases by hand.
      update public.batch_jobs set claim_from = '{}', given_back = true where id = p_job_id;
      v_next := p_now;
    end if;
  else
    insert into public.batch_leases as leases (job_id, token, task_ids, leased_until)
    values (p_job_id, p_token, v_claimed, v_leased_until)
    on conflict (job_id, token) do update set task_ids = leases.task_ids || excluded.task_ids;
  end if;
  if p_busy is not null then
    insert into batches.calls (task_id, provider, job_id, token)
      select (task ->> 'id')::bigint, task ->> 'answerer', p_job_id, p_token from unnest(v_tasks) as task where task ->> 'problem' is null;
    perform batches.keep_waits(p_job_id, v_waits, p_now);
  end if;
  if v_next > v_waits_until and v_waits_until > p_now then
    v_next := v_waits_until;
  end if;
  return json_build_object('status', v_job.status, 'ended', v_job.status <> 'running', 'tasks', v_tasks, 'providers', v_providers,
    'more', v_more, 'next_in_ms', case when v_next is not null then greatest(0, ceil(extract(epoch from v_next - p_now) * 1000)) end,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 'settings', v_settings);
end;
$$;
comment on function batches.claim_tasks(uuid, uuid, integer, integer, jsonb, timestamptz) is
  'Leases tasks of the batch job to the holder of the token, all it holds for p_lease_seconds from now (the setting when null), also tasks whose lease has expired. p_busy {provider: tasks it holds already}: each task is to be called at once and takes one of the provider''s slots, of which there are as many as its concurrency, for all batch jobs together; null: only p_limit. Returns {"status" of the job, unknown when there is none, "ended": by this call, "tasks": [{"id", "answerer", "prompt", "problem"}], "providers": {answerer: how to call it}, "more": answerers with further tasks, to be claimed when one of its calls has ended, "next_in_ms": when to look again in any case, null: never, "open", "settings"}. A task with a problem is not to be called but reported with it.';

-- Security definer, like the other doors of a processor: service_role may only read tasks and batch jobs.
create function public.claim_batch_tasks(
  p_job_id uuid, p_token uuid, p_limit integer default 100, p_lease_seconds integer default null,
  p_busy jsonb default null
) returns json
language sql security definer set search_path = '' as $$
  select batches.claim_tasks(p_job_id, p_token, p_limit, p_lease_seconds, p_busy);
$$;
comment on function public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb) is
  'batches.claim_tasks by the clock of the database.';

revoke all on function
  public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.claim_batch_tasks(uuid, uuid, integer, integer, jsonb) to service_role;
