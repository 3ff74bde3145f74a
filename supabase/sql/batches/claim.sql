-- Claiming tasks: whose they are, who answers them, and how many at once.
--
-- Whatever works on batches takes locks in this order: the batch job, its leases and tasks, the providers by name.
-- Whatever claims, finishes or gives back tasks of a batch job takes turns by its row's lock. So a lease of many tasks
-- is one row.

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
      select coalesce(jsonb_object_agg(key, least(first_id, coalesce((claim_from ->> key)::bigint, 0))), '{}')
      from (
        select batches.claim_key(provider, asks_fallback) as key, min(id) as first_id
        from public.batch_tasks where id = any (p_task_ids) and completed_at is null
        group by 1
      ) as open)
    where id = p_job_id and cardinality(p_task_ids) > 0;
end;
$$;
comment on function batches.look_again_for_tasks(uuid, bigint[]) is
  'Tasks were given back: the next claim begins to look with the first of them. The caller holds the batch job''s '
    'lock.';

create function batches.free_expired_leases(p_job_id uuid, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_task_ids bigint[];
begin
  with expired as (
    select token from batches.leases where job_id = p_job_id and leased_until <= p_now for update skip locked
  ), freed as (
    delete from batches.leases as leases using expired
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
  'Ends the leases of processors that are not heard of any more; each of their tasks has used an attempt. The caller '
    'holds the batch job''s lock. Returns how many tasks are free again.';

create type batches.claim_part as (
  provider text, asks_fallback boolean, answerer text, is_half_open boolean, callable_at timestamptz, problem text,
  concurrency integer, held integer, slots integer, room integer, taken integer, bytes bigint, rest_at timestamptz
);
comment on type batches.claim_part is
  'A route (see batches.route) in a claim. concurrency: of the answerer; held: its calls that the processor has '
    'already; slots: how many more it may begin. These are null where slots do not count. room: how many tasks may be '
    'taken, taken: how many were, with so many bytes of prompts; rest_at: from when the next of the rest may be, '
    'null: no rest.';

create function batches.max_claim_bytes() returns bigint
language sql immutable set search_path = '' as $$
  select 4000000::bigint;
$$;
comment on function batches.max_claim_bytes() is 'After so many bytes of prompts a claim takes no further task.';

create function batches.claim_parts(
  p_job public.batch_jobs, p_token uuid, p_busy jsonb, p_settings jsonb, p_now timestamptz
) returns setof batches.claim_part
language plpgsql stable set search_path = '' as $$
declare
  v_wait_hours integer := p_settings ->> 'wait_hours';
  v_waits boolean := p_job.created_at + make_interval(hours => v_wait_hours) > p_now;
begin
  return query
  with routes as (
    select * from batches.routes(
      array(select providers from public.batch_providers as providers), batches.tried_providers(p_now),
      (p_settings ->> 'failures_to_open')::integer, p_now)
    -- No task asks a fall-back before one was given back.
    where not asks_fallback or p_job.given_back
  ), answerers as materialized (
    select name, concurrency, held,
      least(concurrency - held, batches.free_slots(name, concurrency, p_job.id, p_now)) as slots
    from public.batch_providers, lateral (
      -- A processor may hold more than it knows of: results that it has not brought, tasks of a claim whose answer was
      -- lost.
      select greatest((p_busy ->> name)::integer, count(*)::integer) as held from batches.calls
      where job_id = p_job.id and token = p_token and provider = name) as calls
    where p_busy is not null and name in (select answerer from routes)
  )
  select provider, asks_fallback, answerer, is_half_open, callable_at,
    coalesce(problem, case when answerer is null and not v_waits then format('down for %s hours', v_wait_hours) end),
    concurrency, held, slots, 0, 0, 0::bigint, null::timestamptz
  from routes left join answerers on name = answerer
  order by provider, asks_fallback, place;
end;
$$;
comment on function batches.claim_parts(public.batch_jobs, uuid, jsonb, jsonb, timestamptz) is
  'The parts of a claim, in order, before a task is taken.';

create function batches.claim_room(p_part batches.claim_part, p_before batches.claim_part[], p_limit integer)
returns integer
language sql immutable set search_path = '' as $$
  select case
    when p_part.answerer is null and p_part.problem is null then 0
    when sum(bytes) >= batches.max_claim_bytes() then 0
    else greatest(0, least(
      p_limit - coalesce(sum(taken), 0),
      p_part.slots - coalesce(sum(taken) filter (where answerer = p_part.answerer), 0),
      case when p_part.is_half_open then 1 - coalesce(sum(taken) filter (where answerer = p_part.answerer), 0) end)) end
  from unnest(p_before);
$$;
comment on function batches.claim_room(batches.claim_part, batches.claim_part[], integer) is
  'How many tasks a part of a claim may take after the parts before it: what is left of the limit and of the '
    'answerer''s slots, one where its breaker is half-open, none while no provider answers. Tasks with a problem '
    'need no slot. Writes nothing.';

create type batches.task_chunk as (ids bigint[], tasks json[], bytes bigint);
comment on type batches.task_chunk is 'Tasks as a processor is given them, in order, and the bytes of their prompts.';

create function batches.read_tasks(
  p_job_id uuid, p_part batches.claim_part, p_from bigint, p_leased bigint[], p_max_bytes bigint,
  p_max_attempts integer, p_now timestamptz
) returns batches.task_chunk
language plpgsql stable set search_path = '' as $$
declare
  v_max_characters integer := (select max_prompt_characters from public.batch_providers where name = p_part.answerer);
  v_chunk batches.task_chunk;
begin
  with free as materialized (
    select id, prompt_id, attempts, error_message
    from public.batch_tasks
    where job_id = p_job_id and provider = p_part.provider
      -- As a row comparison: for "=" and "id >=" the planner may read the primary key, through all other batch jobs.
      and (asks_fallback, id) >= (p_part.asks_fallback, p_from) and asks_fallback <= p_part.asks_fallback
      and completed_at is null and (run_after is null or run_after <= p_now or p_part.problem is not null)
      and id not in (select unnest(p_leased))
    order by asks_fallback, id
    limit p_part.room
  ), sized as (
    select free.*, text, octet_length(text) as bytes,
      sum(octet_length(text)) over (order by free.id rows unbounded preceding) - octet_length(text) as before
    from free join public.prompts on prompts.id = prompt_id
  ), checked as (
    select id, text, case
        when p_part.answerer is null and p_part.asks_fallback then coalesce(error_message, p_part.problem)
        when p_part.answerer is null then format('%s: %s', p_part.provider, p_part.problem)
        when attempts >= p_max_attempts then format('given up after %s attempts', p_max_attempts)
        when bytes > v_max_characters and length(text) > v_max_characters
          then format('%s: prompt longer than %s characters', p_part.answerer, v_max_characters)
      end as problem
    from sized where before < p_max_bytes
  ), described as (
    select id, p_part.answerer as answerer, case when problem is null then text end as prompt, problem from checked
  )
  select coalesce(array_agg(id order by id), array[]::bigint[]),
      coalesce(array_agg(row_to_json(described) order by id), array[]::json[]), coalesce(sum(octet_length(prompt)), 0)
    into v_chunk from described;
  return v_chunk;
end;
$$;
comment on function batches.read_tasks(
  uuid, batches.claim_part, bigint, bigint[], bigint, integer, timestamptz) is
  'The open tasks of a part of a claim that nobody leases, from p_from on: as many as it has room for, and as '
    'p_max_bytes of prompts. A task with a problem is not to be called but reported with it.';

create function batches.first_free_task(p_job_id uuid, p_part batches.claim_part, p_from bigint, p_leased bigint[])
returns bigint
language sql stable set search_path = '' as $$
  select id from public.batch_tasks
  where job_id = p_job_id and provider = p_part.provider
    and (asks_fallback, id) >= (p_part.asks_fallback, p_from) and asks_fallback <= p_part.asks_fallback
    and completed_at is null and id not in (select unnest(p_leased))
  order by asks_fallback, id limit 1;
$$;
comment on function batches.first_free_task(uuid, batches.claim_part, bigint, bigint[]) is
  'The first open task of a part of a claim that nobody leases, from p_from on, also one that rests; null: there is '
    'none.';

create function batches.rest_at(
  p_job_id uuid, p_part batches.claim_part, p_from bigint, p_leased bigint[], p_now timestamptz
) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  -- Mostly the first task that is left may be taken. All are read only where all of them rest.
  if exists (
    select from public.batch_tasks
    where job_id = p_job_id and provider = p_part.provider
      and (asks_fallback, id) >= (p_part.asks_fallback, p_from) and asks_fallback <= p_part.asks_fallback
      and completed_at is null and (run_after is null or run_after <= p_now or p_part.problem is not null)
      and id not in (select unnest(p_leased))
  ) then
    return p_now;
  end if;
  return (
    select min(run_after) from public.batch_tasks
    where job_id = p_job_id and provider = p_part.provider
      and (asks_fallback, id) >= (p_part.asks_fallback, p_from) and asks_fallback <= p_part.asks_fallback
      and completed_at is null and id not in (select unnest(p_leased)));
end;
$$;
comment on function batches.rest_at(uuid, batches.claim_part, bigint, bigint[], timestamptz) is
  'From when the next of the tasks that a part of a claim has left, and that nobody leases, may be taken; null: none '
    'is left.';

create function batches.gather_tasks(
  p_job public.batch_jobs, p_token uuid, p_limit integer, p_busy jsonb, p_settings jsonb, p_now timestamptz,
  out parts batches.claim_part[], out ids bigint[], out tasks json[], out claim_from jsonb
)
-- A claim costs what it takes, not what is open or over. With a sequential scan the look for one more open task begins
-- with those that are over (60 tasks read instead of 14 at the beginning of a batch job of 20,000). A plan with one
-- that is disabled counts as so expensive that JIT compiles it (250 ms instead of 3, where a server has it). Planned
-- anew, a claim of 10 takes 4 ms instead of 2.5.
language plpgsql set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_leased bigint[] := array(select unnest(task_ids) from batches.leases where job_id = p_job.id);
  v_bytes_left bigint := batches.max_claim_bytes();
  v_part batches.claim_part;
  v_chunk batches.task_chunk;
  v_key text;
  v_from bigint;
begin
  ids := array[]::bigint[];
  tasks := array[]::json[];
  claim_from := p_job.claim_from;
  for v_part in select * from batches.claim_parts(p_job, p_token, p_busy, p_settings, p_now) loop
    v_key := batches.claim_key(v_part.provider, v_part.asks_fallback);
    v_from := coalesce((claim_from ->> v_key)::bigint, 0);
    v_part.room := batches.claim_room(v_part, parts, p_limit);
    if v_part.is_half_open and v_part.room > 0 and not batches.lock_half_open(v_part.answerer, p_now) then
      v_part.room := 0;
    end if;
    v_chunk := batches.read_tasks(
      p_job.id, v_part, v_from, v_leased, v_bytes_left, (p_settings ->> 'max_attempts')::integer, p_now);
    if p_job.given_back then
      v_leased := v_leased || v_chunk.ids;
      v_from := coalesce(batches.first_free_task(p_job.id, v_part, v_from, v_leased),
        v_chunk.ids[cardinality(v_chunk.ids)] + 1, v_from);
    else
      -- All up to the last one taken are over or leased.
      v_from := coalesce(v_chunk.ids[cardinality(v_chunk.ids)] + 1, v_from);
    end if;
    v_part.taken := cardinality(v_chunk.ids);
    v_part.bytes := v_chunk.bytes;
    v_part.rest_at := batches.rest_at(p_job.id, v_part, v_from, v_leased, p_now);
    v_bytes_left := v_bytes_left - v_chunk.bytes;
    parts := parts || v_part;
    ids := ids || v_chunk.ids;
    tasks := tasks || v_chunk.tasks;
    claim_from := claim_from || case when v_from > 0 then jsonb_build_object(v_key, v_from) else '{}' end;
  end loop;
end;
$$;
comment on function batches.gather_tasks(public.batch_jobs, uuid, integer, jsonb, jsonb, timestamptz) is
  'What a claim takes, part by part, each in view of those before it: the parts, the tasks'' ids, the tasks as the '
    'processor is given them, and where the next claim begins to look. Writes nothing. The caller holds the batch '
    'job''s lock.';

create function batches.claim_outcome(
  p_parts batches.claim_part[], p_limit integer, p_others_until timestamptz, p_fails_at timestamptz, p_now timestamptz,
  out more text[], out waits text[], out next_at timestamptz
)
language plpgsql immutable set search_path = '' as $$
begin
  with filled as (
    select parts.*, held + sum(taken) over (partition by answerer order by place) as holds,
      sum(taken) over (order by place) >= p_limit or sum(bytes) over (order by place) >= batches.max_claim_bytes()
        as is_full
    from unnest(p_parts) with ordinality as parts (
      provider, asks_fallback, answerer, is_half_open, callable_at, problem,
      concurrency, held, slots, room, taken, bytes, rest_at, place)
  ), judged as (
    select filled.*, answerer is not null and not is_half_open and taken >= room and rest_at <= p_now as has_more
    from filled
  )
  select array_remove(array_agg(case when has_more and coalesce(holds, 1) > 0 then answerer end order by place), null),
      array_remove(array_agg(case when has_more and holds < concurrency then answerer end order by place), null),
      min(case
        when rest_at is null then null
        -- Other batch jobs have the answerer's slots, or this claim is long enough.
        when has_more and holds < concurrency then case when is_full then p_now else p_now + interval '1 second' end
        when has_more then null
        -- Tasks that are to fail need not wait.
        when problem is not null then greatest(rest_at, p_now)
        when answerer is null or is_half_open then greatest(rest_at, callable_at)
        else greatest(rest_at, p_now + interval '1 second') end)
    into more, waits, next_at from judged;
  more := coalesce(more, array[]::text[]);
  waits := coalesce(waits, array[]::text[]);
  if p_others_until is not null then
    next_at := least(next_at, greatest(p_others_until, p_now + interval '1 second'));
  end if;
  if p_fails_at > p_now and next_at > p_fails_at then
    next_at := p_fails_at;
  end if;
end;
$$;
comment on function batches.claim_outcome(
  batches.claim_part[], integer, timestamptz, timestamptz, timestamptz) is
  'What a processor is told of a claim''s rest. more: the answerers with further tasks, to be claimed when one of its '
    'calls has ended; waits: those of which it waits for slots that other batch jobs have; next_at: when to look '
    'again in any case, null: never. p_others_until: when the first lease of another processor ends; p_fails_at: when '
    'what waits for a provider fails. Writes nothing.';

create function batches.begin_claim(
  p_job_id uuid, p_token uuid, p_leased_until timestamptz, p_counts_slots boolean, p_now timestamptz
) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.completed_at is null then
    update batches.leases set leased_until = greatest(leased_until, p_leased_until)
      where job_id = p_job_id and token = p_token;
    if batches.free_expired_leases(p_job_id, p_now) > 0 then
      select * into v_job from public.batch_jobs where id = p_job_id;
    end if;
    if p_counts_slots then
      -- Claims that count a provider's slots take turns.
      perform from public.batch_providers where enabled order by name for no key update;
    end if;
  end if;
  return v_job;
end;
$$;
comment on function batches.begin_claim(uuid, uuid, timestamptz, boolean, timestamptz) is
  'Locks the batch job for a claim, and the providers whose slots it counts; extends the token''s lease and ends '
    'expired ones. Returns the job, nulls when there is none.';

create function batches.record_claim(
  p_job_id uuid, p_token uuid, p_task_ids bigint[], p_tasks json[], p_tried text[], p_counts_slots boolean,
  p_claim_from jsonb, p_leased_until timestamptz, p_now timestamptz
) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  update public.batch_jobs
    set status = 'running', started_at = coalesce(started_at, p_now), last_heartbeat = greatest(last_heartbeat, p_now),
      claim_from = p_claim_from
    where id = p_job_id
    returning * into v_job;
  insert into batches.leases as leases (job_id, token, task_ids, leased_until)
    select p_job_id, p_token, p_task_ids, p_leased_until where cardinality(p_task_ids) > 0
    on conflict (job_id, token) do update set task_ids = leases.task_ids || excluded.task_ids;
  if p_counts_slots or p_tried <> '{}' then
    insert into batches.calls (task_id, provider, job_id, token, tries_provider)
      select (task ->> 'id')::bigint, task ->> 'answerer', p_job_id, p_token, task ->> 'answerer' = any (p_tried)
      from unnest(p_tasks) as task
      where task ->> 'problem' is null and (p_counts_slots or task ->> 'answerer' = any (p_tried));
  end if;
  return v_job;
end;
$$;
comment on function batches.record_claim(
  uuid, uuid, bigint[], json[], text[], boolean, jsonb, timestamptz, timestamptz) is
  'Writes what a claim takes: the lease, the calls that take slots or try the providers p_tried, and where the next '
    'claim begins to look. Returns the batch job.';

create function batches.called_providers(p_parts batches.claim_part[]) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(name, jsonb_build_object(
      'model', model, 'api_url_variable', api_url_variable, 'api_key_variable', api_key_variable,
      'concurrency', concurrency,
      'max_completion_tokens', max_completion_tokens, 'half_open', is_half_open)), '{}')
  from public.batch_providers join (
    select answerer, bool_or(is_half_open) as is_half_open from unnest(p_parts) where taken > 0 group by answerer
  ) as called on answerer = name;
$$;
comment on function batches.called_providers(batches.claim_part[]) is
  'How each answerer that was given tasks is to be called, by name.';

create function batches.assert_busy(p_busy jsonb) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if (case when jsonb_typeof(p_busy) <> 'object' then true
    else exists (select from jsonb_each(p_busy) where value::text !~ '^[0-9]{1,9}$') end) then
    raise exception using errcode = '22023',
      message = format('cannot claim tasks: busy must be {provider: number of tasks}, got %s', left(p_busy::text, 100));
  end if;
end;
$$;
comment on function batches.assert_busy(jsonb) is
  'Raises 22023 unless it is null or an object of whole numbers from 0 to 999999999.';

create function batches.claim_tasks(
  p_job_id uuid,
  p_token uuid,
  p_limit integer default 100,
  p_lease_seconds integer default null,
  p_busy jsonb default null,
  p_now timestamptz default now()
) returns json
language plpgsql set search_path = '' as $$
declare
  v_settings jsonb := batches.settings();
  v_leased_until timestamptz := p_now + make_interval(
    secs => coalesce(p_lease_seconds, (v_settings ->> 'lease_seconds')::integer));
  v_job public.batch_jobs;
  v_gathered record;
  v_outcome record;
begin
  if p_token is null or p_limit is null or p_limit not between 1 and 2000 then
    raise exception using errcode = '22023',
      message = format('cannot claim tasks: a token and a limit from 1 to 2000 must be given, got %s',
        coalesce(p_limit::text, 'null'));
  end if;
  perform batches.assert_busy(p_busy);
  v_job := batches.begin_claim(p_job_id, p_token, v_leased_until, p_busy is not null, p_now);
  if v_job.id is null or v_job.completed_at is not null then
    return json_build_object('status', coalesce(v_job.status, 'unknown'), 'ended', false, 'tasks', array[]::json[],
      'providers', '{}'::json, 'more', array[]::text[], 'next_in_ms', null, 'open', 0, 'settings', v_settings);
  end if;
  v_gathered := batches.gather_tasks(v_job, p_token, p_limit, p_busy, v_settings, p_now);
  v_outcome := batches.claim_outcome(v_gathered.parts, p_limit,
    (select min(leased_until) from batches.leases where job_id = p_job_id and token <> p_token),
    v_job.created_at + make_interval(hours => (v_settings ->> 'wait_hours')::integer), p_now);
  v_job := batches.record_claim(p_job_id, p_token, v_gathered.ids, v_gathered.tasks,
    array(select answerer from unnest(v_gathered.parts) as parts where is_half_open and taken > 0),
    p_busy is not null, v_gathered.claim_from, v_leased_until, p_now);
  if p_busy is not null then
    perform batches.keep_waits(p_job_id, v_outcome.waits, p_now);
  end if;
  if v_gathered.ids = '{}' then
    v_job.status := batches.end_job_when_done(p_job_id, p_now);
    if v_job.status = 'running' and v_outcome.next_at is null and v_outcome.more = '{}' and v_job.claim_from <> '{}'
    then
      -- Somebody changed leases by hand: the next claim looks from the beginning.
      update public.batch_jobs set claim_from = '{}', given_back = true where id = p_job_id;
      v_outcome.next_at := p_now;
    end if;
  end if;
  return json_build_object('status', v_job.status, 'ended', v_job.status <> 'running', 'tasks', v_gathered.tasks,
    'providers', batches.called_providers(v_gathered.parts), 'more', v_outcome.more,
    'next_in_ms', case when v_outcome.next_at is not null
      then greatest(0, ceil(extract(epoch from v_outcome.next_at - p_now) * 1000)) end,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 'settings', v_settings);
end;
$$;
comment on function batches.claim_tasks(uuid, uuid, integer, integer, jsonb, timestamptz) is
  'Leases tasks of the batch job to the holder of the token, and all it holds for p_lease_seconds from now (the '
    'setting when null); also tasks whose lease has expired. p_busy {provider: tasks it holds already}: each task is '
    'to be called at once and takes one of the provider''s slots, of which there are as many as its concurrency, for '
    'all batch jobs together; null: only p_limit counts. Returns {"status" of the job, unknown when there is none, '
    '"ended": by this call, "tasks": [{"id", "answerer", "prompt", "problem"}], "providers": {answerer: how to call '
    'it}, "more": answerers with further tasks, to be claimed when one of its calls has ended, "next_in_ms": when to '
    'look again in any case, null: never, "open": tasks, "settings"}. A task with a problem is not to be called but '
    'reported with it. Raises 22023 without a token or a limit.';

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
