-- The steps of the job execute-scheduled-actions: execute the actions that the database can by itself, claim the
-- others, take their results. Each end of an occurrence goes through actions.end_occurrences. The functions in public
-- are security definer, because service_role may change actions only through them, and because the time engine is
-- private.

create function actions.following(p_schedule text, p_time_zone text, p_after timestamptz)
returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return scheduler.next_occurrence(p_schedule, p_time_zone, p_after);
exception when invalid_parameter_value then
  -- A zone that this server no longer knows must not hold up the other actions.
  return null;
end;
$$;
comment on function actions.following(text, text, timestamptz) is
  'The occurrence after p_after; null when there is none, or when the schedule or the zone can no longer be read.';

create function actions.catch_up(p_ids uuid[], p_now timestamptz) returns void
language sql set search_path = '' as $$
  with late as (
    select id, due_at, idempotency_key, scheduler.previous_occurrence(schedule, time_zone, p_now) as latest
    from public.scheduled_actions
    -- An action whose claim has run out may have been executed: its occurrence is tried again, under the same key.
    where id = any (p_ids) and schedule is not null and attempts = 0 and claim_token is null
      -- Occurrences are at least a minute apart.
      and due_at <= p_now - interval '1 minute'
      and actions.following(schedule, time_zone, due_at) <= p_now
  ), missed as (
    insert into public.scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts,
      error_message, finished_at)
    select idempotency_key, id, due_at, 'missed', 0, format('the occurrence of %s stands for it', latest), p_now
    from late where latest > due_at
    on conflict (idempotency_key) do nothing
  )
  update public.scheduled_actions as a set due_at = late.latest, next_attempt_at = late.latest
    from late where a.id = late.id and late.latest > late.due_at;
$$;
comment on function actions.catch_up(uuid[], timestamptz) is
  'Moves recurring actions that were not claimed or tried, and whose later occurrences are due as well, to the '
    'latest one; the first is recorded as missed.';

create function actions.end_occurrences(
  p_ids uuid[], p_errors text[], p_http_statuses integer[], p_wait_seconds integer[], p_final boolean[],
    p_now timestamptz
) returns jsonb
language sql set search_path = '' as $$
  with results as (
    select * from unnest(p_ids, p_errors, p_http_statuses, p_wait_seconds, p_final) as r (id, error, http_status,
      wait_seconds, final)
  ), judged as (
    select a.id, a.name, a.kind, a.due_at, a.idempotency_key, a.schedule, a.attempts + 1 as tries, left(r.error,
      500) as error,
      r.http_status, o.outcome,
      case when a.schedule is not null and o.outcome <> 'retried'
        then actions.following(a.schedule, a.time_zone, a.due_at) end as following,
      -- Exponential backoff with full jitter, as for runs; never before the receiver said it may be asked again.
      case when o.outcome = 'retried' then p_now + make_interval(secs => greatest(1, coalesce(r.wait_seconds, 0),
        random() * least(a.backoff_cap_seconds, a.backoff_base_seconds * 2::numeric ^ least(a.attempts,
          60)))) end as retry_at
    from results as r
    join public.scheduled_actions as a on a.id = r.id
    cross join lateral (select case
      when r.error is null then 'completed'
      when r.final or a.attempts + 1 >= a.max_attempts then 'dead'
      else 'retried' end as outcome) as o
  ), ended as (
    insert into public.scheduled_action_occurrences (
      idempotency_key, action_id, scheduled_for, status, attempts, http_status, error_message, finished_at)
    select idempotency_key, id, due_at, outcome, tries, http_status, error, p_now from judged where outcome <> 'retried'
    -- A dead action that was retried has a row already.
    on conflict (idempotency_key) do update set
      status = excluded.status, attempts = excluded.attempts, http_status = excluded.http_status,
        error_message = excluded.error_message,
      finished_at = excluded.finished_at
  ), updated as (
    update public.scheduled_actions as a set
      status = case
        when j.outcome = 'retried' or j.following is not null then 'scheduled'
        when j.schedule is not null then 'dead'
        else j.outcome end,
      finished_at = case when j.outcome <> 'retried' and j.following is null then p_now end,
      due_at = coalesce(j.following, a.due_at),
      next_attempt_at = coalesce(j.retry_at, j.following, a.next_attempt_at),
      attempts = case when j.following is not null then 0 when j.outcome = 'completed' then a.attempts else j.tries end,
      last_error = case when j.outcome <> 'retried' and j.schedule is not null and j.following is null
        then concat_ws('; ', j.error, 'the schedule has no further occurrence, or can no longer be read')
          else j.error end,
      last_http_status = j.http_status,
      claim_token = null,
      locked_until = null
    from judged as j where a.id = j.id
  )
  select jsonb_build_object(
    'counts', coalesce((
      select jsonb_object_agg(kind, outcomes) from (
        select kind, jsonb_object_agg(outcome, number) as outcomes
        from (select kind, outcome, count(*) as number from judged group by kind, outcome) as counted group by kind
      ) as kinds), '{}'),
    'dead', coalesce((
      select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'kind', kind, 'error', error))
      from (select * from judged where outcome = 'dead' order by due_at limit 20) as named), '[]'));
$$;
comment on function actions.end_occurrences(uuid[], text[], integer[], integer[], boolean[], timestamptz) is
  'Takes the outcome of one try each: without an error it is completed; with one it is retried after a backoff of at '
    'least p_wait_seconds, or dead after the last try or when p_final. Writes the history, moves recurring actions '
    'on. {"counts": {kind: {outcome: number}}, "dead": [{"id", "name", "kind", "error"}] (20 at most)}.';

create function actions.execute_in_database(p_limit integer default 1000, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_ids uuid[];
  v_errors text[];
  v_result jsonb;
begin
  v_ids := array(
    select id from public.scheduled_actions
    where status = 'scheduled' and kind in ('reminder', 'engagement_command') and next_attempt_at <= p_now
    order by next_attempt_at limit p_limit
    for update skip locked);
  perform actions.catch_up(v_ids, p_now);
  -- A device that exists now cannot be deleted until its command is written.
  perform from public.devices
    where id in (select device_id from public.scheduled_actions where id = any (v_ids)) order by id for key share;

  insert into public.scheduler_activity (occurred_at, source, severity, message, details)
    -- In one line. A call of scheduler.one_line for each row would take as long as all else here.
    select p_now, 'reminder', 'info', btrim(regexp_replace(message, '\s+', ' ', 'g')),
      payload || jsonb_build_object('action_id', id, 'idempotency_key', idempotency_key, 'due_at', due_at)
    from public.scheduled_actions
    where id = any (v_ids) and kind = 'reminder'
    order by due_at;
  insert into public.engagement_commands (id, device_id, command_type, payload, issued_at, issued_by, expires_at)
    select a.idempotency_key, a.device_id, a.command_type, a.payload, p_now, 'scheduled action ' || a.id,
      p_now + make_interval(secs => a.command_expires_seconds)
    from public.scheduled_actions as a join public.devices as d on d.id = a.device_id
    where a.id = any (v_ids) and a.kind = 'engagement_command'
    on conflict (id) do nothing;

  v_errors := array(
    select case when a.kind = 'engagement_command' and d.id is null
      then format('there is no device %s any more', a.device_id) end
    from unnest(v_ids) with ordinality as taken (id, place)
    join public.scheduled_actions as a on a.id = taken.id
    left join public.devices as d on d.id = a.device_id
    order by taken.place);
  v_result := actions.end_occurrences(v_ids, v_errors, null, null, array_fill(true, array[cardinality(v_ids)]), p_now);
  return v_result || jsonb_build_object('executed', cardinality(v_ids));
end;
$$;
comment on function actions.execute_in_database(integer, timestamptz) is
  'Executes up to p_limit due reminders and engagement commands, each exactly once: what it writes and its end are '
    'one transaction. A command whose device is gone is dead. {"executed", "counts", "dead"}.';

create function public.execute_scheduled_actions_in_database(p_limit integer default 1000) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.execute_in_database(p_limit);
$$;
comment on function public.execute_scheduled_actions_in_database(integer) is
  'actions.execute_in_database by the clock of the database.';

create function actions.claim(
  p_kinds text[], p_limit integer, p_per_receiver integer, p_lease_seconds integer,
  p_except_receivers text[] default array[]::text[], p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_token constant uuid := gen_random_uuid();
  v_ids uuid[];
  v_waiting integer;
  v_result jsonb;
begin
  with due as (
    select id, receiver, next_attempt_at from public.scheduled_actions
    where status = 'scheduled' and kind = any (p_kinds) and next_attempt_at <= p_now
      and (locked_until is null or locked_until <= p_now) and receiver <> all (p_except_receivers)
    order by next_attempt_at limit 5000
  ), waiting as (
    select id, next_attempt_at, row_number() over (partition by receiver collate "C" order by next_attempt_at,
      id) as place from due
  ), claimed as (
    select a.id
    from public.scheduled_actions as a join waiting on waiting.id = a.id
    where waiting.place <= p_per_receiver
      -- Checked again: another claim may have taken the row meanwhile, or moved it to its next time.
      and a.status = 'scheduled' and a.next_attempt_at <= p_now and (a.locked_until is null or a.locked_until <= p_now)
    order by waiting.place, waiting.next_attempt_at limit p_limit
    for update of a skip locked
  )
  select array(select id from claimed), (select count(*) from waiting) into v_ids, v_waiting;

  perform actions.catch_up(v_ids, p_now);
  with claimed as (
    update public.scheduled_actions
      set claim_token = v_token, locked_until = p_now + make_interval(secs => p_lease_seconds)
      where id = any (v_ids)
      returning *
  )
  select jsonb_build_object('token', v_token, 'more', v_waiting > count(*), 'actions', coalesce(
    jsonb_agg(jsonb_build_object('id', id, 'kind', kind, 'receiver', receiver, 'url', url, 'function_name',
      function_name,
      -- As text: a reader that parses it loses digits of long numbers, and may fail at deep nesting.
      'payload', payload::text, 'idempotency_key', idempotency_key, 'due_at', due_at, 'attempts', attempts)
      order by next_attempt_at), '[]'))
  into v_result from claimed;
  return v_result;
end;
$$;
comment on function actions.claim(text[], integer, integer, integer, text[], timestamptz) is
  'Claims up to p_limit due actions of p_kinds for p_lease_seconds, at most p_per_receiver each, taking turns between '
    'receivers; none of p_except_receivers. An action whose claim has expired is due again. {"token", "more", '
    '"actions": [...]}: more says whether others are due.';

create function public.execute_scheduled_actions_claim(
  p_kinds text[], p_limit integer, p_per_receiver integer, p_lease_seconds integer,
  p_except_receivers text[] default array[]::text[]
) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.claim(p_kinds, p_limit, p_per_receiver, p_lease_seconds, p_except_receivers);
$$;
comment on function public.execute_scheduled_actions_claim(text[], integer, integer, integer, text[]) is
  'actions.claim by the clock of the database.';

create function actions.report(p_results jsonb, p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_ids constant uuid[] := array(select (result ->> 'id')::uuid from jsonb_array_elements(p_results) as result);
  v_result jsonb;
  v_taken integer;
begin
  with reported as (
    select * from jsonb_to_recordset(p_results) as r (
      id uuid, token uuid, outcome text, http_status integer, error text, retry_after_seconds integer, final boolean)
  ), taken as (
    select a.id, r.outcome, r.http_status, r.error, r.retry_after_seconds, r.final
    from public.scheduled_actions as a join reported as r on r.id = a.id and r.token = a.claim_token
    where a.id = any (v_ids) and a.status = 'scheduled'
    order by a.id for update of a
  ), released as (
    update public.scheduled_actions as a set claim_token = null, locked_until = null
    from taken where a.id = taken.id and taken.outcome = 'released'
  )
  select count(*), actions.end_occurrences(
    coalesce(array_agg(id) filter (where ended), array[]::uuid[]),
    array_agg(case when outcome <> 'completed' then coalesce(error, 'failed') end) filter (where ended),
    array_agg(http_status) filter (where ended),
    array_agg(least(greatest(retry_after_seconds, 0), 86400)) filter (where ended),
    array_agg(coalesce(final, false)) filter (where ended), p_now)
  into v_taken, v_result
  from (select *, outcome <> 'released' as ended from taken) as t;
  return v_result || jsonb_build_object('refused', jsonb_array_length(p_results) - v_taken);
end;
$$;
comment on function actions.report(jsonb, timestamptz) is
  'Takes the results of claimed actions: [{"id", "token", "outcome": completed | failed | released, "http_status", '
    '"error", "retry_after_seconds", "final"}]. One whose token is not that of the claim is refused, so that a result '
    'counts once. A released action is due again as if it had not been claimed. {"counts", "dead", "refused"}.';

create function public.execute_scheduled_actions_report(p_results jsonb) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.report(p_results);
$$;
comment on function public.execute_scheduled_actions_report(jsonb) is
  'actions.report by the clock of the database.';

create function actions.due(p_now timestamptz default now()) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(kind, number), '{}') from (
    select kind, count(*) as number from public.scheduled_actions
    where status = 'scheduled' and next_attempt_at <= p_now group by kind) as due;
$$;
comment on function actions.due(timestamptz) is 'How many actions are due, by kind: {kind: number}.';

create function public.execute_scheduled_actions_due() returns jsonb
language sql stable security definer set search_path = '' as $$
  select actions.due();
$$;
comment on function public.execute_scheduled_actions_due() is
  'actions.due by the clock of the database.';

revoke all on function
  public.execute_scheduled_actions_in_database(integer),
  public.execute_scheduled_actions_claim(text[], integer, integer, integer, text[]),
  public.execute_scheduled_actions_report(jsonb),
  public.execute_scheduled_actions_due()
from public, anon, authenticated, service_role;
grant execute on function
  public.execute_scheduled_actions_in_database(integer),
  public.execute_scheduled_actions_claim(text[], integer, integer, integer, text[]),
  public.execute_scheduled_actions_report(jsonb),
  public.execute_scheduled_actions_due()
to service_role;
