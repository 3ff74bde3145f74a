-- Daybook 0.10.0, pack actions. Made of supabase/sql/actions: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'actions';
  v_schemas constant text[] := array['actions'];
  v_relations constant text[] := array['scheduled_action_occurrences', 'scheduled_actions'];
  v_functions constant text[] := array[
    'cancel_scheduled_action', 'execute_scheduled_actions_claim',
    'execute_scheduled_actions_due', 'execute_scheduled_actions_in_database',
    'execute_scheduled_actions_report', 'retry_scheduled_action',
    'schedule_action'];
  v_jobs constant text[] := array['execute-scheduled-actions'];
  v_there text[] := array(
    select format('schema %I', nspname) from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union
    select format('%s public.%I',
      case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
        when 'c' then 'type' else 'table' end, relname)
    from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union
    select format('type public.%I', typname) from pg_catalog.pg_type
    where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r') and typname = any (v_relations)
    union
    select format('function public.%I', proname) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions));
begin
  if to_regclass('cron.job') is not null then
    v_there := v_there || array(select format('pg_cron entry %s', jobname) from cron.job where jobname = any (v_jobs));
  end if;
  if v_pack <> 'scheduler' then
    v_there := v_there || array(select format('job %s', name) from public.scheduler_jobs where name = any (v_jobs));
  end if;
  if v_there <> '{}' then
    -- The CLI shows no hints.
    raise exception using errcode = '42710',
      message = format(
        'cannot install the pack %1$s: the database has these already, and they are not Daybook''s: %2$s; '
        'rename or drop them, or run: deno task install <project> --pack %1$s --move-aside',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing));
  end if;
end;
$guard$;

create schema actions;
revoke all on schema actions from public, anon, authenticated, service_role;
comment on schema actions is 'Private functions and types of the pack actions. Not exposed through REST.';

-- Reminders, callbacks, edge functions and commands for devices that are executed at a time, once or on a schedule. A
-- row of scheduled_actions is an action and its present occurrence; a row of scheduled_action_occurrences is an
-- occurrence that is over.

create table public.scheduled_actions (
  id uuid primary key default gen_random_uuid(),
  name text not null default '' check (length(name) <= 200),
  kind text not null check (kind in ('reminder', 'callback', 'edge_function', 'engagement_command')),
  message text check (length(message) <= 1000 and message ~ '\S'),
  url text check (length(url) <= 2000 and url ~ '^https://[^\s/?#@]+([/?#]\S*)?$'),
  function_name text check (function_name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
  -- No foreign key: when the device is gone the action fails, and its history says so.
  device_id uuid,
  command_type text check (length(command_type) between 1 and 100),
  command_expires_seconds integer check (command_expires_seconds between 1 and 31536000),
  payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
  schedule text,
  time_zone text not null default 'UTC',
  due_at timestamptz not null check (isfinite(due_at)),
  status text not null default 'scheduled' check (status in ('scheduled', 'completed', 'dead', 'cancelled')),
  attempts integer not null default 0 check (attempts >= 0),
  max_attempts integer not null default 8 check (max_attempts between 1 and 100),
  backoff_base_seconds integer not null default 60 check (backoff_base_seconds between 1 and 86400),
  backoff_cap_seconds integer not null default 3600 check (backoff_cap_seconds between 1 and 86400),
  next_attempt_at timestamptz not null check (isfinite(next_attempt_at)),
  claim_token uuid,
  locked_until timestamptz check (isfinite(locked_until)),
  last_error text,
  last_http_status smallint,
  created_by text not null default '' check (length(created_by) <= 200),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  finished_at timestamptz check (isfinite(finished_at)),
  receiver text not null generated always as (case kind
    when 'callback' then lower(substring(url from '^https://([^/?#]+)'))
    when 'edge_function' then 'function ' || function_name
    else kind end) stored,
  -- A UUID of version 8 (RFC 9562), so that strict receivers take it. It is made of the action and the time alone, so
  -- that each try of an occurrence has the same.
  idempotency_key uuid not null generated always as (
    overlay(overlay(md5(id::text || ' ' || extract(epoch from due_at at time zone 'UTC')::text)
      placing '8' from 13) placing 'a' from 17)::uuid) stored,
  constraint scheduled_actions_reminder_has_message check ((kind = 'reminder') = (message is not null)),
  constraint scheduled_actions_callback_has_url check ((kind = 'callback') = (url is not null)),
  constraint scheduled_actions_edge_function_has_name check ((kind = 'edge_function') = (function_name is not null)),
  constraint scheduled_actions_command_has_device check ((kind = 'engagement_command') = (device_id is not null)),
  constraint scheduled_actions_command_has_type check ((kind = 'engagement_command') = (command_type is not null)),
  constraint scheduled_actions_only_commands_expire check (kind = 'engagement_command' or command_expires_seconds
    is null),
  constraint scheduled_actions_payload_is_small check (octet_length(payload::text) <= 16384),
  constraint scheduled_actions_finished_when_over check ((status = 'scheduled') = (finished_at is null)),
  constraint scheduled_actions_claim_is_whole check ((claim_token is null) = (locked_until is null)),
  constraint scheduled_actions_only_scheduled_are_claimed check (claim_token is null or status = 'scheduled')
) with (fillfactor = 80);

-- Waiting actions are few, also when the table is long. No index holds the lease, so a claim is a HOT update.
create index scheduled_actions_waiting_idx on public.scheduled_actions (next_attempt_at) where status = 'scheduled';
create index scheduled_actions_finished_idx on public.scheduled_actions (finished_at) where finished_at is not null;

comment on table public.scheduled_actions is
  'One row an action to execute at a time, with its present occurrence. Written by schedule_action, '
    'cancel_scheduled_action, retry_scheduled_action and the job execute-scheduled-actions alone.';
comment on column public.scheduled_actions.message is 'The text of a reminder in scheduler_activity.';
comment on column public.scheduled_actions.payload is
  'The body for an edge function, "data" in the body of a callback, the payload of a command, details of a reminder; '
    'at most 16 KiB.';
comment on column public.scheduled_actions.schedule is 'Five cron fields, read in time_zone; null for an action that '
  'is executed once.';
comment on column public.scheduled_actions.due_at is 'The present occurrence; a retry does not change it.';
comment on column public.scheduled_actions.status is
  'scheduled: waiting or being executed; completed, dead (the last try failed) and cancelled are over. A recurring '
    'action stays scheduled, also when an occurrence is dead.';
comment on column public.scheduled_actions.attempts is 'Tries of the present occurrence that have failed.';
comment on column public.scheduled_actions.next_attempt_at is 'When the present occurrence may be tried: due_at, '
  'later after a failed try.';
comment on column public.scheduled_actions.claim_token is 'The token of its claim: a result is taken only with it.';
comment on column public.scheduled_actions.locked_until is 'Until when the claim holds; then it may be claimed '
  'again.';
comment on column public.scheduled_actions.last_error is 'Why the last try failed; null after one that succeeded.';
comment on column public.scheduled_actions.receiver is 'The receiver of calls: a callback''s host, the edge '
  'function, or the kind.';
comment on column public.scheduled_actions.idempotency_key is 'Sent to the receiver with each try of the present '
  'occurrence.';

create table public.scheduled_action_occurrences (
  idempotency_key uuid primary key,
  action_id uuid not null references public.scheduled_actions (id) on delete cascade,
  scheduled_for timestamptz not null check (isfinite(scheduled_for)),
  status text not null check (status in ('completed', 'dead', 'cancelled', 'missed')),
  attempts integer not null check (attempts >= 0),
  http_status smallint,
  error_message text,
  finished_at timestamptz not null check (isfinite(finished_at))
);

create index scheduled_action_occurrences_action_idx
  on public.scheduled_action_occurrences (action_id, scheduled_for);
create index scheduled_action_occurrences_finished_idx on public.scheduled_action_occurrences (finished_at);

comment on table public.scheduled_action_occurrences is 'The occurrences of scheduled actions that are over, one row '
  'each.';
comment on column public.scheduled_action_occurrences.status is
  'completed; dead: the last try failed; cancelled: by a person; missed: not executed in time, a later occurrence '
    'stands for it and all between.';
comment on column public.scheduled_action_occurrences.attempts is 'How often it was tried.';
comment on column public.scheduled_action_occurrences.http_status is 'The receiver''s last answer; null without one.';

alter table public.scheduled_actions enable row level security;
alter table public.scheduled_action_occurrences enable row level security;
revoke all on public.scheduled_actions, public.scheduled_action_occurrences from public, anon, authenticated,
  service_role;
grant select on public.scheduled_actions, public.scheduled_action_occurrences to service_role;

select scheduler.add_retention_rule('actions', 'scheduled_action_occurrences', 180, 'finished_at < $1');
-- An action is deleted after its occurrences: a recurring one may have many, and the cascade would delete all of them
-- in one step. Offset 0 makes it one look for each old action; without it Postgres joined, and read all actions by the
-- index of their ids.
select scheduler.add_retention_rule('actions', 'scheduled_actions', 180,
  'finished_at < $1 and not exists (select from public.scheduled_action_occurrences where action_id = '
    'scheduled_actions.id offset 0)');

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
  if v_first is null then
    raise exception using errcode = '22023',
      message = format('cannot schedule the action: p_schedule %L never occurs', p_schedule);
  end if;
  return v_first;
end;
$$;
comment on function actions.first_occurrence(text, text, timestamptz) is
  'The first occurrence of a schedule after p_now. Raises 22023 for a schedule or a zone that cannot be read, and for '
    'a schedule without an occurrence.';

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

-- The figures of the scheduled actions in the health check: only those that wait and those of the last 24 hours are
-- counted.

create function actions.actions_health() returns jsonb
language sql stable set search_path = '' as $$
  with waiting as (
    select count(*) as waiting, min(next_attempt_at) as oldest_due,
      (array_agg(receiver order by next_attempt_at))[1] as first_receiver
    from public.scheduled_actions
    where status = 'scheduled'
  ), over as (
    select count(*) as ended,
      count(*) filter (where status = 'dead') as dead,
      count(*) filter (where status = 'missed') as missed
    from public.scheduled_action_occurrences
    where finished_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', waiting.waiting + over.ended,
    'figures', jsonb_build_object(
      'dead_actions', over.dead,
      'missed_actions', over.missed,
      'overdue_seconds', case when waiting.waiting > 0
        then greatest(0, scheduler.seconds_since(waiting.oldest_due)) end
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'waiting', waiting.waiting, 'ended', over.ended, 'most_overdue', left(waiting.first_receiver, 200))),
    'notes', '[]'::jsonb
  )
  from waiting, over;
$$;
comment on function actions.actions_health() is
  'Figures of the scheduled actions: occurrences that died or were missed in 24 hours, and how long the one waits '
    'that is most overdue.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('actions', 'actions', 'Scheduled actions', 4, 'actions.actions_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('actions', 'overdue_seconds', 'most overdue', 'seconds', 'higher', 900, 7200, 'most_overdue'),
  ('actions', 'dead_actions', 'dead in 24 h', 'count', 'higher', 1, 25, null),
  ('actions', 'missed_actions', 'missed in 24 h', 'count', 'higher', 1, 100, null);

-- The metrics of the scheduled actions, by indexes that hold only the rows to count, or over an hour.

create function actions.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with waiting as (
    select count(*) as actions, min(next_attempt_at) as oldest
    from public.scheduled_actions where status = 'scheduled'
  ), finished as (
    select status, count(*) as occurrences from public.scheduled_action_occurrences
    where finished_at > p_now - interval '1 hour'
    group by status
  )
  select json_build_array(
    scheduler.metric_group('{}',
      scheduler.metric('scheduled_actions_waiting', waiting.actions),
      scheduler.metric('scheduled_actions_overdue_seconds',
        round(extract(epoch from greatest(p_now - coalesce(waiting.oldest, p_now), interval '0')), 3))),
    (select scheduler.metric_group(json_build_object('status', json_agg(status)),
        scheduler.metric('scheduled_action_occurrences_by_status', json_agg(coalesce(occurrences, 0))))
      from unnest(array['completed', 'dead', 'cancelled', 'missed']) as status left join finished using (status)))
  from waiting;
$$;
comment on function actions.metrics(timestamptz) is 'The metrics of the scheduled actions: those that wait, '
  'and the occurrences that ended in the last hour.';

insert into scheduler.metric_sources (function_name, pack) values ('actions.metrics', 'actions');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduled_actions_waiting', 'actions', 'gauge', 'Scheduled actions that are still to be executed, later or again.'),
  ('scheduled_actions_overdue_seconds', 'actions', 'gauge', 'Since the oldest of the waiting actions was to be tried; '
    '0 when none is due.'),
  ('scheduled_action_occurrences_by_status', 'actions', 'gauge', 'Occurrences of scheduled actions that ended in the '
    'last hour, by how.');

-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema actions from public, anon, authenticated, service_role;
revoke all on all tables in schema actions from public, anon, authenticated, service_role;
revoke all on all sequences in schema actions from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'execute-scheduled-actions',
  schedule => '*/5 * * * *',
  description => 'Reminders, callbacks, edge functions and commands that are due',
  timeout_seconds => 140
);
