-- Daybook 0.10.0, pack agents. Made of supabase/sql/agents: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'agents';
  v_schemas constant text[] := array['agents'];
  v_relations constant text[] := array['agents', 'conversations', 'eliza_python_executions', 'tasks'];
  v_functions constant text[] := array[]::text[];
  v_jobs constant text[] := array[]::text[];
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

create schema agents;
revoke all on schema agents from public, anon, authenticated, service_role;
comment on schema agents is 'Private functions and types of the pack agents. Not exposed through REST.';

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

-- The figures of the agents and their work in the health check. Only open rows are counted (partial indexes) and those
-- of the last 24 hours (an index on the end).

create function agents.agents_health() returns jsonb
language sql stable set search_path = '' as $$
  with agents as (
    select count(*) as watched,
      count(*) filter (where status = 'error') as in_error,
      count(*) filter (where status = 'busy') as busy,
      -- A new agent has a quarter of an hour for its first heartbeat.
      count(*) filter (where status in ('idle', 'busy')
        and coalesce(last_heartbeat_at, created_at) < now() - interval '15 minutes') as silent,
      (array_agg(name order by status_changed_at) filter (where status = 'error'))[1] as first_in_error
    from public.agents
    where status in ('idle', 'busy', 'error')
  )
  select jsonb_build_object(
    'watched', watched,
    'figures', jsonb_build_object(
      'error_percent', scheduler.percent(in_error, watched),
      'silent_percent', scheduler.percent(silent, watched)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'agents', watched, 'busy', busy, 'in_error', in_error, 'silent', silent, 'first_in_error', first_in_error)),
    'notes', '[]'::jsonb
  )
  from agents;
$$;
comment on function agents.agents_health() is
  'Figures of the agents that are meant to be at work: those in error, and those not heard of for 15 minutes.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('agents', 'agents', 'Agents', 6, 'agents.agents_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('agents', 'error_percent', 'agents in error', 'percent', 'higher', 10, 50, 'first_in_error'),
  ('agents', 'silent_percent', 'agents without heartbeat', 'percent', 'higher', 10, 50, null);

create function agents.tasks_health() returns jsonb
language sql stable set search_path = '' as $$
  with open_tasks as (
    select count(*) as open,
      count(*) filter (where isfinite(due_at)) as with_due_date,
      count(*) filter (where due_at < now()) as overdue,
      count(*) filter (where status = 'in_progress' and updated_at < now() - interval '6 hours') as stuck,
      -- A task that is due later may wait until then.
      min(created_at) filter (where status = 'pending' and (due_at is null or due_at < now())) as oldest_pending
    from public.tasks
    where status in ('pending', 'in_progress', 'blocked')
  ), ended as (
    select count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status in ('completed', 'failed')) as ended
    from public.tasks
    where completed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', open_tasks.open + ended.ended,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'overdue_percent', scheduler.percent(open_tasks.overdue, open_tasks.with_due_date, 5),
      'stuck_tasks', open_tasks.stuck,
      'oldest_pending_seconds', scheduler.seconds_since(open_tasks.oldest_pending)
    ),
    'details', jsonb_build_object(
      'open', open_tasks.open, 'overdue', open_tasks.overdue, 'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_tasks, ended;
$$;
comment on function agents.tasks_health() is
  'Figures of the tasks: open ones that are overdue, stuck (6 hours untouched) or waiting, and failures in 24 hours.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('tasks', 'agents', 'Tasks', 6, 'agents.tasks_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('tasks', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 10, 30, null),
  ('tasks', 'overdue_percent', 'overdue', 'percent', 'higher', 10, 50, null),
  ('tasks', 'stuck_tasks', 'stuck tasks', 'count', 'higher', 1, 10, null),
  ('tasks', 'oldest_pending_seconds', 'oldest pending task', 'seconds', 'higher', 86400, 604800, null);

create function agents.conversations_health() returns jsonb
language sql stable set search_path = '' as $$
  with open_conversations as (
    -- A person whose last message is older than a day has left: an answer does not reach them any more.
    select count(*) as active,
      count(*) filter (where waiting and last_user_message_at < now() - interval '15 minutes') as unanswered,
      min(last_user_message_at) filter (where waiting) as waiting_since
    from (
      select last_user_message_at,
        last_agent_message_at is null or last_agent_message_at < last_user_message_at as waiting
      from public.conversations
      where status = 'open' and last_user_message_at > now() - interval '24 hours'
    ) as recent
  ), ended as (
    select count(*) as ended, count(*) filter (where status = 'failed') as failed
    from public.conversations
    where closed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', open_conversations.active + ended.ended,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'unanswered_percent', scheduler.percent(open_conversations.unanswered, open_conversations.active, 5),
      'longest_wait_seconds', scheduler.seconds_since(open_conversations.waiting_since)
    ),
    'details', jsonb_build_object(
      'active', open_conversations.active, 'unanswered', open_conversations.unanswered,
      'ended', ended.ended, 'failed', ended.failed),
    'notes', '[]'::jsonb
  )
  from open_conversations, ended;
$$;
comment on function agents.conversations_health() is
  'Figures of the conversations of the last 24 hours: those that wait for an answer (longer than 15 minutes), and '
    'those that failed.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('conversations', 'agents', 'Conversations', 4, 'agents.conversations_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('conversations', 'unanswered_percent', 'unanswered', 'percent', 'higher', 10, 40, null),
  ('conversations', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 5, 25, null),
  ('conversations', 'longest_wait_seconds', 'longest wait', 'seconds', 'higher', 3600, 43200, null);

create function agents.python_health() returns jsonb
language sql stable set search_path = '' as $$
  with ended as (
    select count(*) as ended,
      count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status = 'timed_out') as timed_out,
      round(avg(duration_ms)) as average_duration_ms
    from public.eliza_python_executions
    where finished_at > now() - interval '24 hours' and status <> 'cancelled'
  ), open_executions as (
    select count(*) as open,
      count(*) filter (where status = 'running'
        and started_at + make_interval(secs => timeout_seconds) < now() - interval '5 minutes') as stuck,
      min(created_at) filter (where status = 'queued') as oldest_queued
    from public.eliza_python_executions
    where status in ('queued', 'running')
  )
  select jsonb_build_object(
    'watched', ended.ended + open_executions.open,
    'figures', jsonb_build_object(
      'failed_percent', scheduler.percent(ended.failed, ended.ended, 5),
      'timed_out_percent', scheduler.percent(ended.timed_out, ended.ended, 5),
      'stuck_executions', open_executions.stuck,
      'oldest_queued_seconds', scheduler.seconds_since(open_executions.oldest_queued)
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'ended', ended.ended, 'failed', ended.failed, 'timed_out', ended.timed_out,
      'average_duration_ms', ended.average_duration_ms)),
    'notes', '[]'::jsonb
  )
  from ended, open_executions;
$$;
comment on function agents.python_health() is
  'Figures of the Python executions: failures and time-outs in 24 hours, and those that run or wait too long.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('python', 'agents', 'Python executions', 4, 'agents.python_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('python', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 20, 50, null),
  ('python', 'timed_out_percent', 'timed out in 24 h', 'percent', 'higher', 10, 30, null),
  ('python', 'stuck_executions', 'stuck executions', 'count', 'higher', 1, 5, null),
  ('python', 'oldest_queued_seconds', 'oldest queued', 'seconds', 'higher', 600, 3600, null);

-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema agents from public, anon, authenticated, service_role;
revoke all on all tables in schema agents from public, anon, authenticated, service_role;
revoke all on all sequences in schema agents from public, anon, authenticated, service_role;
