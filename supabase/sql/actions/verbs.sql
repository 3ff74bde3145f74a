-- The calls of people and agents: schedule, cancel and retry an action. The functions in public are security definer:
-- service_role may change actions only through them, and the time engine is private.

create function actions.kind_fault(p_action public.scheduled_actions) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_needs constant jsonb := jsonb_build_object(
    'reminder', array['message'], 'callback', array['url'], 'edge_function', array['function_name'],
    'engagement_command', array['device_id', 'command_type']);
  v_needed constant text[] := array(select jsonb_array_elements_text(v_needs -> p_action.kind));
  v_given constant text[] := array(
    select field from unnest(array['message', 'url', 'function_name', 'device_id', 'command_type']) as field
    where to_jsonb(p_action) ->> field is not null);
begin
  return case
    when p_action.kind is null or not v_needs ? p_action.kind then
      format('p_kind must be reminder, callback, edge_function or engagement_command, got %s',
        coalesce(quote_literal(p_action.kind), 'null'))
    when not v_given @> v_needed then format('p_%s must be given, a %s needs it',
      (select field from unnest(v_needed) as field where field <> all (v_given) limit 1), p_action.kind)
    when not v_needed @> v_given then format('p_%s does not belong to a %s, which needs p_%s',
      (select field from unnest(v_given) as field where field <> all (v_needed) limit 1), p_action.kind,
      array_to_string(v_needed, ' and p_'))
    when p_action.command_expires_seconds is not null and p_action.kind <> 'engagement_command' then
      format('p_command_expires_seconds does not belong to a %s', p_action.kind)
  end;
end;
$$;
comment on function actions.kind_fault(public.scheduled_actions) is
  'The first thing that is wrong with the action''s kind or with the fields that were given for it; null when nothing '
    'is.';

create function actions.value_fault(p_action public.scheduled_actions) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_action.message !~ '\S' or length(p_action.message) > 1000 then
      format('p_message must have 1 to 1000 characters and not be blank, got %s', length(p_action.message))
    when p_action.url !~ '^https://[^\s/?#@]+([/?#]\S*)?$' or length(p_action.url) > 2000 then
      format('p_url must be an https URL without user and password, of at most 2000 characters, got %L',
        left(p_action.url, 200))
    when p_action.function_name !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' then
      format('p_function_name must be the slug of an edge function, got %L', left(p_action.function_name, 200))
    when length(p_action.command_type) not between 1 and 100 then
      format('p_command_type must have 1 to 100 characters, got %s', length(p_action.command_type))
    when p_action.command_expires_seconds not between 1 and 31536000 then
      format('p_command_expires_seconds must be 1 to 31536000, got %s', p_action.command_expires_seconds)
    when coalesce(jsonb_typeof(p_action.payload) <> 'object', true) then
      format('p_payload must be a JSON object, got %s', coalesce(jsonb_typeof(p_action.payload), 'null'))
    when octet_length(p_action.payload::text) > 16384 then
      format('p_payload must have at most 16384 bytes, got %s', octet_length(p_action.payload::text))
    when length(p_action.name) > 200 then
      format('p_name must have at most 200 characters, got %s', length(p_action.name))
    when length(p_action.created_by) > 200 then
      format('p_created_by must have at most 200 characters, got %s', length(p_action.created_by))
    when coalesce(p_action.max_attempts not between 1 and 100, true) then
      format('p_max_attempts must be 1 to 100, got %s', coalesce(p_action.max_attempts::text, 'null'))
    when coalesce(p_action.backoff_base_seconds not between 1 and 86400, true) then
      format('p_backoff_base_seconds must be 1 to 86400, got %s',
        coalesce(p_action.backoff_base_seconds::text, 'null'))
    when coalesce(p_action.backoff_cap_seconds not between 1 and 86400, true) then
      format('p_backoff_cap_seconds must be 1 to 86400, got %s', coalesce(p_action.backoff_cap_seconds::text, 'null'))
    when (p_action.due_at is null) = (p_action.schedule is null) then
      format('give p_due_at for an action that is executed once, or p_schedule for one that recurs; %s given',
        case when p_action.due_at is null then 'neither was' else 'both were' end)
    when not isfinite(p_action.due_at) then format('p_due_at must be a moment, got %s', p_action.due_at)
  end;
end;
$$;
comment on function actions.value_fault(public.scheduled_actions) is
  'The first value of the action that cannot be taken, and what would be right; null when all can. Not looked at: '
    'whether the device exists, and what the schedule says.';

create function actions.first_occurrence(p_schedule text, p_time_zone text, p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_first timestamptz;
begin
  -- Both raise 22023 with the fault and its remedy.
  perform scheduler.assert_time_zone(p_time_zone);
  v_first := scheduler.next_occurrence(p_schedule, p_time_zone, p_now);
  if scheduler.entry_needs_seconds(scheduler.compile_schedule(p_schedule, p_time_zone)) then
    raise exception using errcode = '22023',
      message = format('cannot schedule the action: p_schedule must be whole minutes, got %L', p_schedule),
      hint = 'actions are looked at every few minutes: 60 or 300 seconds can be used, or five fields';
  end if;
  if v_first is null then
    raise exception using errcode = '22023',
      message = format('cannot schedule the action: p_schedule %L never occurs', p_schedule);
  end if;
  return v_first;
end;
$$;
comment on function actions.first_occurrence(text, text, timestamptz) is
  'The first occurrence of a schedule after p_now. Raises 22023 for a schedule or a zone that cannot be read, and for '
    'a schedule without an occurrence or not of whole minutes.';

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
  v_action public.scheduled_actions := jsonb_populate_record(null::public.scheduled_actions, jsonb_build_object(
    'id', coalesce(p_id, gen_random_uuid()), 'kind', p_kind, 'due_at', p_due_at, 'schedule', p_schedule,
    'time_zone', coalesce(p_time_zone, 'UTC'), 'message', p_message, 'url', p_url, 'function_name', p_function_name,
    'device_id', p_device_id, 'command_type', p_command_type, 'command_expires_seconds', p_command_expires_seconds,
    'payload', p_payload, 'name', coalesce(p_name, ''), 'max_attempts', p_max_attempts,
    'backoff_base_seconds', p_backoff_base_seconds, 'backoff_cap_seconds', p_backoff_cap_seconds,
    'created_by', coalesce(p_created_by, ''), 'created_at', p_now));
  v_fault constant text := coalesce(actions.kind_fault(v_action), actions.value_fault(v_action),
    case when p_device_id is not null and not exists (select from public.devices where id = p_device_id)
      then format('p_device_id must be a registered device, there is no %s', p_device_id) end);
  v_created boolean;
begin
  if v_fault is not null then
    raise exception using errcode = '22023', message = 'cannot schedule the action: ' || v_fault;
  end if;
  v_action.due_at := coalesce(p_due_at, actions.first_occurrence(p_schedule, p_time_zone, p_now));

  insert into public.scheduled_actions (
    id, name, kind, message, url, function_name, device_id, command_type, command_expires_seconds, payload, schedule,
    time_zone, due_at, next_attempt_at, max_attempts, backoff_base_seconds, backoff_cap_seconds, created_by, created_at)
  select id, name, kind, message, url, function_name, device_id, command_type, command_expires_seconds, payload,
    schedule, time_zone, due_at, due_at, max_attempts, backoff_base_seconds, backoff_cap_seconds, created_by, created_at
  from (select v_action.*) as action
  on conflict (id) do nothing;
  v_created := found;
  return (
    select jsonb_build_object('id', a.id, 'created', v_created, 'kind', a.kind, 'due_at', a.due_at,
      'idempotency_key', a.idempotency_key, 'status', a.status)
    from public.scheduled_actions as a where a.id = v_action.id);
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

create function actions.cancel_action(p_id uuid, p_reason text, p_author text, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_action public.scheduled_actions;
begin
  perform scheduler.assert_given('cancel the action', 'reason and author',
    format('select cancel_scheduled_action(%L, ''why'', ''who'')', p_id), p_reason, p_author);
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
    http_status, error_message, finished_at)
    values (v_action.idempotency_key, v_action.id, v_action.due_at, 'cancelled', v_action.attempts,
      v_action.last_http_status,
      scheduler.one_line(format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)), 200), p_now)
    on conflict (idempotency_key) do update set
      status = excluded.status, attempts = excluded.attempts, error_message = excluded.error_message,
        finished_at = excluded.finished_at;
  update public.scheduled_actions
    set status = 'cancelled', finished_at = p_now, claim_token = null, locked_until = null
    where id = p_id;
  perform scheduler.audit('cancel_scheduled_action', 'action', p_id::text, p_reason, p_author,
    jsonb_build_object('status', v_action.status, 'due_at', v_action.due_at), null, p_now);
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'was_being_executed',
    coalesce(v_action.locked_until > p_now, false));
end;
$$;
comment on function actions.cancel_action(uuid, text, text, timestamptz) is
  'Ends an action; a recurring one does not come again. {"cancelled", "status", "was_being_executed"}: with the last '
    'true a call was under way, and its result is no longer taken. {"cancelled": false, "reason", "status"} for one '
    'that is over. Raises SD006 for an unknown id; 22023 for a missing reason or author.';

create function public.cancel_scheduled_action(p_id uuid, p_reason text, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.cancel_action(p_id, p_reason, p_author);
$$;
comment on function public.cancel_scheduled_action(uuid, text, text) is
  'actions.cancel_action by the clock of the database.';

create function actions.retry_action(p_id uuid, p_author text, p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_action public.scheduled_actions;
begin
  perform scheduler.assert_given('retry the action', 'author',
    format('select retry_scheduled_action(%L, ''who'')', p_id), p_author);
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
  perform scheduler.audit('retry_scheduled_action', 'action', p_id::text, null, p_author,
    jsonb_build_object('status', v_action.status, 'attempts', v_action.attempts), null, p_now);
  perform scheduler.log_activity('execute-scheduled-actions',
    format('more tries of action %s were asked for by %s', p_id, btrim(p_author)),
    p_details => jsonb_build_object('action_id', p_id), p_now => p_now);
  return jsonb_build_object('id', p_id, 'idempotency_key', v_action.idempotency_key, 'due_at',
    v_action.due_at, 'next_attempt_at', p_now);
end;
$$;
comment on function actions.retry_action(uuid, text, timestamptz) is
  'Gives a dead action all its tries again, from now on and under the same idempotency key. {"id", "idempotency_key", '
    '"due_at", "next_attempt_at"}. Raises SD006 for an unknown id; SD203 for an action that is not dead; 22023 for a '
    'missing author.';

create function public.retry_scheduled_action(p_id uuid, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select actions.retry_action(p_id, p_author);
$$;
comment on function public.retry_scheduled_action(uuid, text) is
  'actions.retry_action by the clock of the database.';

revoke all on function
  public.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb, text, integer,
    integer, integer, text, uuid),
  public.cancel_scheduled_action(uuid, text, text),
  public.retry_scheduled_action(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function
  public.schedule_action(text, timestamptz, text, text, text, text, text, uuid, text, integer, jsonb, text, integer,
    integer, integer, text, uuid),
  public.cancel_scheduled_action(uuid, text, text),
  public.retry_scheduled_action(uuid, text)
to service_role;
