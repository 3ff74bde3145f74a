-- Agents that work on tasks and talk with people, and the Python they run. Names, prompts and code are free text;
-- columns by which programs decide have checks.

create table public.agents (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (length(name) <= 200 and name ~ '\S'),
  role text not null default 'general' check (length(role) between 1 and 100),
  description text not null default '',
  model text,
  skills text[] not null default '{}',
  status text not null default 'idle' check (status in ('idle', 'busy', 'error', 'offline', 'archived')),
  status_changed_at timestamptz not null default now() check (isfinite(status_changed_at)),
  last_heartbeat_at timestamptz check (isfinite(last_heartbeat_at)),
  last_error text,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);

create index agents_status_idx on public.agents (status);

create function agents.set_status_changed_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.status_changed_at is not distinct from old.status_changed_at then
    new.status_changed_at := now();
  end if;
  return new;
end;
$$;
comment on function agents.set_status_changed_at() is
  'For a trigger before an update that changes the status: sets status_changed_at to now() unless the update sets it '
    'itself.';
create trigger set_status_changed_at before update on public.agents
  for each row when (new.status <> old.status) execute function agents.set_status_changed_at();
create trigger set_updated_at before update on public.agents
  for each row execute function scheduler.set_updated_at();

comment on table public.agents is 'One row an AI agent.';
comment on column public.agents.status is
  'idle and busy: at work, with heartbeats; error: the agent says that it cannot work; offline, archived: on purpose.';
comment on column public.agents.last_heartbeat_at is 'When the agent last said that it is alive; null before the '
  'first time.';

create table public.tasks (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid references public.agents (id) on delete set null,
  title text not null check (length(title) between 1 and 500),
  description text not null default '',
  category text not null default 'general',
  priority smallint not null default 5 check (priority between 1 and 10),
  status text not null default 'pending'
    check (status in ('pending', 'in_progress', 'blocked', 'completed', 'failed', 'cancelled')),
  attempts integer not null default 0 check (attempts >= 0),
  due_at timestamptz check (due_at > '-infinity'),
  started_at timestamptz check (isfinite(started_at)),
  completed_at timestamptz check (isfinite(completed_at)),
  error_message text,
  result jsonb,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  constraint tasks_completed_when_over check (
    (status in ('completed', 'failed', 'cancelled')) = (completed_at is not null)),
  constraint tasks_started_when_in_progress check (status <> 'in_progress' or started_at is not null)
);

create trigger set_updated_at before update on public.tasks
  for each row execute function scheduler.set_updated_at();
create index tasks_agent_id_idx on public.tasks (agent_id);
-- Open tasks are few, also when the table is long.
create index tasks_open_idx on public.tasks (status, created_at)
  where status in ('pending', 'in_progress', 'blocked');
create index tasks_completed_at_idx on public.tasks (completed_at) where completed_at is not null;

comment on table public.tasks is 'One row a task: to do, under way or over.';
comment on column public.tasks.priority is '1 is the most urgent, 10 the least.';
comment on column public.tasks.due_at is 'Infinity, as null: it is never overdue.';
comment on column public.tasks.completed_at is 'When it was over: completed, failed or cancelled.';
comment on column public.tasks.updated_at is 'When the row was last changed; a task in progress that is not updated '
  'is stuck.';

create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid references public.agents (id) on delete set null,
  channel text not null default 'web' check (channel in ('web', 'mobile', 'telegram', 'discord', 'email', 'api')),
  external_id text,
  title text not null default '',
  status text not null default 'open' check (status in ('open', 'closed', 'failed')),
  message_count integer not null default 0 check (message_count >= 0),
  last_user_message_at timestamptz check (isfinite(last_user_message_at)),
  last_agent_message_at timestamptz check (isfinite(last_agent_message_at)),
  closed_at timestamptz check (isfinite(closed_at)),
  error_message text,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  constraint conversations_closed_when_over check ((status = 'open') = (closed_at is null))
);

create trigger set_updated_at before update on public.conversations
  for each row execute function scheduler.set_updated_at();
create index conversations_agent_id_idx on public.conversations (agent_id);
create unique index conversations_external_id_key
  on public.conversations (channel, external_id) where external_id is not null;
create index conversations_open_idx on public.conversations (last_user_message_at) where status = 'open';
create index conversations_closed_at_idx on public.conversations (closed_at) where closed_at is not null;

comment on table public.conversations is 'One row a conversation between a person and an agent.';
comment on column public.conversations.last_user_message_at is
  'Later than last_agent_message_at in an open conversation: the person is waiting for an answer.';
comment on column public.conversations.status is 'failed: the agent could not go on; error_message says why.';

create table public.eliza_python_executions (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid references public.agents (id) on delete set null,
  task_id uuid references public.tasks (id) on delete set null,
  purpose text not null default '',
  code text not null,
  status text not null default 'queued'
    check (status in ('queued', 'running', 'completed', 'failed', 'timed_out', 'cancelled')),
  exit_code integer,
  stdout text,
  stderr text,
  traceback text,
  error_type text,
  timeout_seconds integer not null default 60 check (timeout_seconds between 1 and 86400),
  started_at timestamptz check (isfinite(started_at)),
  finished_at timestamptz check (isfinite(finished_at)),
  duration_ms integer check (duration_ms >= 0),
  cause_id bigint,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  constraint eliza_python_executions_finished_when_over check (
    (status in ('completed', 'failed', 'timed_out', 'cancelled')) = (finished_at is not null)),
  constraint eliza_python_executions_started_when_running check (status <> 'running' or started_at is not null),
  constraint eliza_python_executions_exit_code_zero check (status <> 'completed' or exit_code = 0)
);

create index eliza_python_executions_agent_id_idx on public.eliza_python_executions (agent_id);
create index eliza_python_executions_task_id_idx on public.eliza_python_executions (task_id);
-- Counts the executions of a window of time from the index alone.
create index eliza_python_executions_finished_at_idx
  on public.eliza_python_executions (finished_at, status, duration_ms) where finished_at is not null;
create index eliza_python_executions_open_idx
  on public.eliza_python_executions (status, created_at) where status in ('queued', 'running');
-- Failures without a cause yet, and the latest failure of a cause.
create index eliza_python_executions_uncollected_idx
  on public.eliza_python_executions (finished_at) where status = 'failed' and cause_id is null;
create index eliza_python_executions_cause_id_idx
  on public.eliza_python_executions (cause_id, finished_at) where cause_id is not null;

comment on table public.eliza_python_executions is 'One row an execution of Python code by an agent, with its '
  'result.';
comment on column public.eliza_python_executions.traceback is 'The Python traceback of a failed execution, as it was '
  'printed.';
comment on column public.eliza_python_executions.error_type is 'The exception''s class, such as ModuleNotFoundError.';
comment on column public.eliza_python_executions.duration_ms is 'From start to finish, in milliseconds.';
comment on column public.eliza_python_executions.cause_id is
  'The cause of a failure (code_failure_causes); null until code-monitor-daemon has looked at the row.';

select
  scheduler.bound_times('public.agents', array['status_changed_at', 'last_heartbeat_at']),
  scheduler.bound_times('public.tasks', array['created_at', 'started_at', 'completed_at', 'updated_at']),
  scheduler.bound_times('public.conversations', array['created_at', 'last_user_message_at', 'last_agent_message_at',
    'closed_at', 'updated_at']),
  scheduler.bound_times('public.eliza_python_executions', array['created_at', 'started_at', 'finished_at']);

alter table public.agents enable row level security;
alter table public.tasks enable row level security;
alter table public.conversations enable row level security;
alter table public.eliza_python_executions enable row level security;

revoke all on public.agents, public.tasks, public.conversations, public.eliza_python_executions
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.agents, public.tasks, public.conversations,
  public.eliza_python_executions
  to service_role;

select scheduler.add_retention_rule('agents', 'tasks', 365, 'completed_at < $1');
select scheduler.add_retention_rule('agents', 'conversations', 365, 'closed_at < $1');
select scheduler.add_retention_rule('agents', 'eliza_python_executions', 90, 'finished_at < $1');
