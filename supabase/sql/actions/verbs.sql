-- What people and agents say of actions: schedule, cancel, try again.
-- The doors are security definer: service_role may change actions only in these ways, and the time engine is private.

create function actions.schedule_action(
  p_kind text,
  p_due_at timestamptz default null,
  p_schedule text default null,
  p_time_zone text default 'UTC',
  p_message text default null,
  p_url text default null,
  p_function_name text default null,
  p_device_id uuid default null,
  p_command_type text default null,
  p_command_expires_seconds integer default null,
  p_payload jsonb default '{}',
  p_name text default '',
  p_max_attempts integer default 8,
  p_backoff_base_seconds integer default 60,
  p_backoff_cap_seconds integer default 3600,
  p_created_by text default '',
  p_id uuid default null,
  p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_id uuid := coalesce(p_id, gen_random_uuid());
  v_needs constant jsonb := jsonb_build_object(
    'reminder', array['message'], 'callback', array['url'], 'edge_function', array['function_name'],
    'engagement_command', array['device_id', 'command_type']);
  v_given text[] := array_remove(array[
    case when p_message is not null then 'message' end, case when p_url is not null then 'url' end,
    case when p_function_name is not null then 'function_name' end, case when p_device_id is not null
      then 'device_id' end,
    case when p_command_type is not null then 'command_type' end], null);
  v_needed text[];
  v_due_at timestamptz;
  v_created boolean;
  v_wrong text;
begin
  if p_kind is null or not v_needs ? p_kind then
    raise exception using errcode = '22023', message = format(
      'cannot schedule the action: p_kind must be reminder, callback, edge_function or engagement_command, got %s',
        coalesce(quote_literal(p_kind), 'null'));
  end if;
  v_needed := array(select jsonb_array_elements_text(v_needs -> p_kind));
  v_wrong := case
    when not v_given @> v_needed then format('p_%s must be given, a %s needs it',
      (select field from unnest(v_needed) as field where field <> all (v_given) limit 1), p_kind)
    when not v_needed @> v_given then format('p_%s does not belong to a %s, which needs p_%s',
      (select field from unnest(v_given) as field where field <> all (v_needed) limit 1), p_kind,
        array_to_string(v_needed, ' and p_'))
    when p_message !~ '\S' or length(p_message) > 1000 then
      format('p_message must have 1 to 1000 characters and not be blank, got %s', length(p_message))
    when p_url !~ '^https://[^\s/?#@]+([/?#]\S*)?$' or length(p_url) > 2000 then
      format('p_url must be an https URL without user and password, of at most 2000 characters, got %L', left(p_url,
        200))
    when p_function_name !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' then
      format('p_function_name must be the slug of an edge function, got %L', left(p_function_name, 200))
    when p_device_id is not null and not exists (select from public.devices where id = p_device_id) then
      format('p_device_id must be a registered device, there is no %s', p_device_id)
    when length(p_command_type) not between 1 and 100 then
      format('p_command_type must have 1 to 100 characters, got %s', length(p_command_type))
    when p_command_expires_seconds is not null and p_kind <> 'engagement_command' then
      format('p_command_expires_seconds does not belong to a %s', p_kind)
    when p_command_expires_seconds not between 1 and 31536000 then
      format('p_command_expires_seconds must be 1 to 31536000, got %s', p_command_expires_seconds)
    when p_payload is null or jsonb_typeof(p_payload) <> 'object' then
      format('p_payload must be a JSON object, got %s', coalesce(jsonb_typeof(p_payload), 'null'))
    when octet_length(p_payload::text) > 16384 then
      format('p_payload must have at most 16384 bytes, got %s', octet_length(p_payload::text))
    when length(coalesce(p_name, '')) > 200 then format('p_name must have at most 200 characters, got %s',
      length(p_name))
    when length(coalesce(p_created_by, '')) > 200 then format('p_created_by must have at most 200 characters, got %s',
      length(p_created_by))
    when p_max_attempts is null or p_max_attempts not between 1 and 100 then
      format('p_max_attempts must be 1 to 100, got %s', coalesce(p_max_attempts::text, 'null'))
    when p_backoff_base_seconds is null or p_backoff_base_seconds not between 1 and 86400 then
      format('p_backoff_base_seconds must be 1 to 86400, got %s', coalesce(p_backoff_base_seconds::text, 'null'))
    when p_backoff_cap_seconds is null or p_backoff_cap_seconds not between 1 and 86400 then
      format('p_backoff_cap_seconds must be 1 to 86400, got %s', coalesce(p_backoff_cap_seconds::text, 'null'))
    when (p_due_at is null) = (p_schedule is null) then
      format('give p_due_at for an action that is executed once, or p_schedule for one that recurs; %s given',
        case when p_due_at is null then 'neither was' else 'both were' end)
    when not isfinite(p_due_at) then format('p_due_at must be a moment, got %s', p_due_at)
  end;
  if v_wrong is not null then
    raise exception using errcode = '22023', message = 'cannot schedule the action: ' || v_wrong;
  end if;
  if p_schedule is not null then
    -- Both raise 22023 with what is wrong and what would be right.
    perform scheduler.assert_time_zone(p_time_zone);
    v_due_at := scheduler.next_occurrence(p_schedule, p_time_zone, p_now);
    if v_due_at is null then
      raise exception using errcode = '22023', message = format('cannot schedule the action: p_schedule %L never '
        'occurs', p_schedule);
    end if;
  end if;
  v_due_at := coalesce(v_due_at, p_due_at);

  insert into public.scheduled_actions (
    id, name, kind, message, url, function_name, device_id, command_type, command_expires_seconds, payload, schedule,
      time_zone,
    due_at, next_attempt_at, max_attempts, backoff_base_seconds, backoff_cap_seconds, created_by, created_at
  ) values (
    v_id, coalesce(p_name, ''), p_kind, p_message, p_url, p_function_name, p_device_id, p_command_type,
      p_command_expires_seconds,
    p_payload, p_schedule, coalesce(p_time_zone, 'UTC'), v_due_at, v_due_at, p_max_attempts, p_backoff_base_seconds,
    p_backoff_cap_seconds, coalesce(p_created_by, ''), p_now
  ) on conflict (id) do nothing;
  v_created := found;
  return (
    select jsonb_build_object('id', a.id, 'created', v_created, 'kind', a.kind, 'due_at', a.due_at,
      'idempotency_key', a.idempotency_key, 'status', a.status)
    from public.scheduled_actions as a where a.id = v_id);
end;
$$;
comment on function actions.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb,
  text, integer, integer, integer, text, uuid, timestamptz) is
  'Schedules an action for p_due_at, or again and again for p_schedule in p_time_zone. {"id", "created", "kind", '
    '"due_at", "idempotency_key", "status"}; with the p_id of an action that exists nothing changes, and created is '
    'false. Raises 22023 that says what was wrong and what would be right.';

create function public.schedule_action(
  p_kind text, p_due_at timestamptz default null, p_schedule text default null, p_time_zone text default 'UTC',
  p_message text default null, p_url text default null, p_function_name text default null,
  p_device_id uuid default null, p_command_type text default null, p_command_expires_seconds integer default null,
  p_payload jsonb default '{}', p_name text default '', p_max_attempts integer default 8,
  p_backoff_base_seconds integer default 60, p_backoff_cap_seconds integer default 3600, p_created_by text default '',
  p_id uuid default null
) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.schedule_action(
    p_kind, p_due_at, p_schedule, p_time_zone, p_message, p_url, p_function_name, p_device_id, p_command_type,
    p_command_expires_seconds, p_payload, p_name, p_max_attempts, p_backoff_base_seconds, p_backoff_cap_seconds,
    p_created_by, p_id);
$$;
comment on function public.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb,
  text, integer, integer, integer, text, uuid) is
  'actions.schedule_action by the clock of the database.';

create function actions.cancel_action(p_id uuid, p_reason text default '', p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_action public.scheduled_actions;
begin
  select * into v_action from public.scheduled_actions where id = p_id for update;
  if v_action.id is null then
    raise exception using errcode = 'SD006', message = format('cannot cancel the action: there is none with the id %s',
      coalesce(p_id::text, 'null'));
  end if;
  if v_action.status <> 'scheduled' then
    return jsonb_build_object('cancelled', false, 'reason', format('it is over: %s', v_action.status), 'status',
      v_action.status);
  end if;
  insert into public.scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts,
    http_status, error, finished_at)
    values (v_action.idempotency_key, v_action.id, v_action.due_at, 'cancelled', v_action.attempts,
      v_action.last_http_status,
      nullif(p_reason, ''), p_now)
    on conflict (idempotency_key) do update set
      status = excluded.status, attempts = excluded.attempts, error = excluded.error,
        finished_at = excluded.finished_at;
  update public.scheduled_actions
    set status = 'cancelled', finished_at = p_now, claim_token = null, locked_until = null
    where id = p_id;
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'was_being_executed',
    coalesce(v_action.locked_until > p_now, false));
end;
$$;
comment on function actions.cancel_action(uuid, text, timestamptz) is
  'Ends an action; a recurring one does not come again. {"cancelled", "status", "was_being_executed"}: with the last '
    'true a call was under way, and its result is no longer taken. {"cancelled": false, "reason", "status"} for one '
    'that is over. Raises SD006 for an unknown id.';

create function public.cancel_scheduled_action(p_id uuid, p_reason text default '') returns jsonb
language sql security definer set search_path = '' as $$
  select actions.cancel_action(p_id, p_reason);
$$;
comment on function public.cancel_scheduled_action(uuid, text) is
  'actions.cancel_action by the clock of the database.';

create function actions.retry_action(p_id uuid, p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_action public.scheduled_actions;
begin
  select * into v_action from public.scheduled_actions where id = p_id for update;
  if v_action.id is null then
    raise exception using errcode = 'SD006', message = format('cannot retry the action: there is none with the id %s',
      coalesce(p_id::text, 'null'));
  end if;
  if v_action.status <> 'dead' then
    raise exception using errcode = 'SD203',
      message = format('cannot retry the action %s: it must be dead, it is %s', p_id, v_action.status),
      hint = case v_action.status
        when 'scheduled' then format('it is tried next at %s', v_action.next_attempt_at)
        else 'schedule a new one with schedule_action' end;
  end if;
  update public.scheduled_actions
    set status = 'scheduled', finished_at = null, attempts = 0, next_attempt_at = p_now
    where id = p_id;
  return jsonb_build_object('id', p_id, 'idempotency_key', v_action.idempotency_key, 'due_at',
    v_action.due_at, 'next_attempt_at', p_now);
end;
$$;
comment on function actions.retry_action(uuid, timestamptz) is
  'Gives a dead action all its tries again, from now on and under the same idempotency key. {"id", "idempotency_key", '
    '"due_at", "next_attempt_at"}. Raises SD006 for an unknown id; SD203 for an action that is not dead.';

create function public.retry_scheduled_action(p_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.retry_action(p_id);
$$;
comment on function public.retry_scheduled_action(uuid) is
  'actions.retry_action by the clock of the database.';

revoke all on function
  public.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb, text, integer,
    integer, integer, text, uuid),
  public.cancel_scheduled_action(uuid, text),
  public.retry_scheduled_action(uuid)
from public, anon, authenticated, service_role;
grant execute on function
  public.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb, text, integer,
    integer, integer, text, uuid),
  public.cancel_scheduled_action(uuid, text),
  public.retry_scheduled_action(uuid)
to service_role;
