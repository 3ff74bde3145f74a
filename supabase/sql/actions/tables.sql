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
