-- Daybook 0.10.0, pack batches. Made of supabase/sql/batches: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'batches';
  v_schemas constant text[] := array['batches'];
  v_relations constant text[] := array['batch_jobs', 'batch_providers', 'batch_tasks', 'organizations', 'prompts'];
  v_functions constant text[] := array[
    'accept_prompt_suggestion', 'begin_suggestion_try', 'claim_batch_tasks',
    'continue_batch_job', 'continue_weekly_suggestions',
    'find_stuck_batch_jobs', 'finish_batch_tasks', 'heartbeat_batch_job',
    'next_suggestion_requests', 'record_suggestion_failure',
    'reject_prompt_suggestion', 'release_batch_tasks', 'release_suggestion_try',
    'resume_stuck_batch_job', 'store_prompt_suggestions', 'trigger_daily_batch'];
  v_jobs constant text[] := array[
    'batch-reconciler', 'batch-reconciler-after-window', 'daily-batch-trigger',
    'daily-batch-trigger-zones', 'robust-batch-processor', 'weekly-suggestions'];
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

create schema batches;
revoke all on schema batches from public, anon, authenticated, service_role;
comment on schema batches is 'The private part of the pack batches. Not exposed through REST.';

-- The daily batch: each organization's active prompts go to several model providers once a local day.
-- Words: a batch job is an organization's batch of one local date; a batch task is one prompt for one provider.

create table public.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) <= 200 and name ~ '\S'),
  -- Null: the platform's own, by the settings daily_batch.time_zone and daily_batch.run_at.
  time_zone text,
  daily_run_at time,
  enabled boolean not null default true,
  next_batch_at timestamptz check (isfinite(next_batch_at)),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);
-- Organizations with their own zone or hour are found by their own clock, the others by the platform's.
create index organizations_next_batch_at_idx
  on public.organizations (next_batch_at) where enabled and next_batch_at is not null;

comment on table public.organizations is
  'The customers: one row an organization, with its own zone and hour if it wants them.';
comment on column public.organizations.time_zone is 'IANA name; null: the platform''s own.';
comment on column public.organizations.daily_run_at is
  'Local time from which the daily batch runs; null: the platform''s own.';
comment on column public.organizations.next_batch_at is
  'The cursor of an organization with its own zone or hour: when its next local date is due; null for those that '
    'follow the platform.';
comment on column public.organizations.updated_at is
  'When it was changed; a change of zone or hour counts from this moment.';

create table public.batch_providers (
  name text primary key
    constraint batch_providers_name_is_in_lower_case check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  model text not null check (length(model) between 1 and 200),
  -- Names of environment variables of the functions: neither a URL's credentials nor a key is ever in a table.
  api_url_variable text not null
    constraint batch_providers_api_url_variable_is_in_capitals check (api_url_variable ~ '^[A-Z][A-Z0-9_]{0,99}$'),
  api_key_variable text not null
    constraint batch_providers_api_key_variable_ends_in_key check (api_key_variable ~ '^[A-Z][A-Z0-9_]{0,95}_KEY$'),
  enabled boolean not null default true,
  fallback_provider text references public.batch_providers (name)
    on update cascade on delete set null check (fallback_provider <> name),
  concurrency integer not null default 4 check (concurrency between 1 and 100),
  max_prompt_characters integer not null default 200000 check (max_prompt_characters between 1 and 10000000),
  max_completion_tokens integer not null default 2000 check (max_completion_tokens between 1 and 100000),
  prompt_usd_per_million numeric(12, 6) not null default 0
    check (prompt_usd_per_million >= 0 and prompt_usd_per_million < 'Infinity'),
  completion_usd_per_million numeric(12, 6) not null default 0
    check (completion_usd_per_million >= 0 and completion_usd_per_million < 'Infinity'),
  -- The breaker: shared by all processors.
  failures_in_row integer not null default 0 check (failures_in_row >= 0),
  open_until timestamptz check (isfinite(open_until)),
  last_error text,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);
create index batch_providers_fallback_provider_idx on public.batch_providers (fallback_provider);
create trigger set_updated_at before update on public.batch_providers
  for each row execute function scheduler.set_updated_at();

comment on table public.batch_providers is
  'The model providers that prompts are sent to: one row each, with its limits, prices and breaker.';
comment on column public.batch_providers.api_url_variable is
  'The functions'' environment variable with the base URL of an OpenAI-compatible API, such as OPENAI_API_URL '
    '(https://api.openai.com/v1).';
comment on column public.batch_providers.api_key_variable is
  'The functions'' environment variable with its key. It ends in _KEY: values of such variables are taken out of '
    'logs, results and errors.';
comment on column public.batch_providers.concurrency is
  'Calls under way at once, in all processors of all batch jobs together.';
comment on column public.batch_providers.failures_in_row is
  'Calls that failed, or were told that there are too many, since a call was last answered. A provider that says it '
    'is down has as many as the setting failures_to_open.';
comment on column public.batch_providers.open_until is
  'Null: the breaker is closed, calls go. Until then it is open, no call goes; after that it is half-open, one call '
    'tries whether the provider is back.';

create table public.prompts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id) on delete cascade,
  text text not null check (length(text) <= 2000000 and text ~ '\S'),
  status text not null default 'active' check (status in ('active', 'paused', 'suggested', 'rejected')),
  suggested_by text,
  decided_by text,
  decided_at timestamptz check (isfinite(decided_at)),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check (status not in ('suggested', 'rejected') or suggested_by is not null)
);
create index prompts_organization_id_idx on public.prompts (organization_id, status);
create trigger set_updated_at before update on public.prompts
  for each row execute function scheduler.set_updated_at();

comment on table public.prompts is 'What an organization asks every day; suggested ones wait for a person''s yes.';
comment on column public.prompts.status is
  'active: asked every day; paused: not now; suggested: by the model suggested_by, waits for a person; rejected: the '
    'person said no.';

create table public.batch_jobs (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id) on delete cascade,
  batch_date date not null check (isfinite(batch_date)),
  -- 0 is the daily one; a person who runs a date again makes 1, 2, ….
  rerun integer not null default 0 check (rerun >= 0),
  status text not null default 'pending'
    check (status in ('pending', 'running', 'completed', 'partial', 'failed', 'cancelled')),
  time_zone text not null,
  tasks_total integer not null default 0 check (tasks_total >= 0),
  tasks_completed integer not null default 0,
  tasks_failed integer not null default 0,
  last_heartbeat timestamptz check (isfinite(last_heartbeat)),
  last_progress_at timestamptz check (isfinite(last_progress_at)),
  resumes integer not null default 0 check (resumes >= 0),
  resumed_at timestamptz check (isfinite(resumed_at)),
  reasons jsonb not null default '{}' check (jsonb_typeof(reasons) = 'object'),
  claim_from jsonb not null default '{}' check (jsonb_typeof(claim_from) = 'object'),
  given_back boolean not null default false,
  run_id uuid,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  started_at timestamptz check (isfinite(started_at)),
  completed_at timestamptz check (isfinite(completed_at)),
  unique (organization_id, batch_date, rerun),
  check (tasks_completed >= 0 and tasks_failed >= 0 and tasks_completed + tasks_failed <= tasks_total),
  check ((status in ('pending', 'running')) = (completed_at is null))
) with (fillfactor = 70);
create index batch_jobs_open_idx on public.batch_jobs (created_at) where completed_at is null;
create index batch_jobs_completed_at_idx on public.batch_jobs (completed_at) where completed_at is not null;

comment on table public.batch_jobs is 'One row for each organization and local date: its batch, and what came of it.';
comment on column public.batch_jobs.batch_date is
  'The local date it is for, in time_zone, which the organization had then.';
comment on column public.batch_jobs.last_heartbeat is 'When a processor last said that it works on the job.';
comment on column public.batch_jobs.last_progress_at is 'When a task last ended.';
comment on column public.batch_jobs.resumes is
  'How often it was found stuck and resumed without a task having ended in between.';
comment on column public.batch_jobs.resumed_at is
  'When it was last found stuck and resumed. Its timeouts count from then.';
comment on column public.batch_jobs.reasons is 'Why tasks failed: {reason: count}.';
comment on column public.batch_jobs.claim_from is
  'Where a claim begins to look, so that it does not read tasks that have ended: {provider, or "<provider> fall-back" '
    'for tasks that ask it: id}. All tasks before that id are over or leased.';
comment on column public.batch_jobs.given_back is
  'Whether a task was ever given back. From then on tasks may wait between others that are over or leased, and some '
    'may ask the fall-back.';
comment on column public.batch_jobs.run_id is 'The run that made it.';

create table public.batch_tasks (
  id bigint generated always as identity primary key,
  job_id uuid not null references public.batch_jobs (id) on delete cascade,
  prompt_id uuid not null references public.prompts (id) on delete cascade,
  provider text not null references public.batch_providers (name) on update cascade,
  status text not null default 'pending' check (status in ('pending', 'completed', 'failed', 'cancelled')),
  attempts integer not null default 0,
  failures integer not null default 0,
  asks_fallback boolean not null default false,
  run_after timestamptz check (isfinite(run_after)),
  error_message text,
  completed_at timestamptz check (isfinite(completed_at)),
  -- The answer is in the row that ends, so a task is answered when it ends, and once.
  answered_by text,
  model text,
  answer text,
  latency_ms integer,
  prompt_tokens integer,
  completion_tokens integer,
  cost_usd numeric(20, 8) check (cost_usd >= 0 and cost_usd < 'Infinity'),
  unique (job_id, prompt_id, provider),
  check (least(attempts, failures, latency_ms, prompt_tokens, completion_tokens) >= 0),
  check ((status = 'pending') = (completed_at is null)),
  check ((status = 'completed') = (answer is not null and answered_by is not null and model is not null and latency_ms
    is not null))
) with (fillfactor = 40);
-- Its columns do not change when a task ends: with room on its page an answer writes no index (HOT).
create index batch_tasks_claim_idx on public.batch_tasks (provider, job_id, asks_fallback, id);
create index batch_tasks_prompt_id_idx on public.batch_tasks (prompt_id);

comment on table public.batch_tasks is
  'One row for each prompt and provider of a batch job, with its answer. batches.leases says which processor works on '
    'it.';
comment on column public.batch_tasks.attempts is
  'How often it was called, or lost with the lease of a processor that died. A task that is given back uncalled uses '
    'no attempt, nor does a rate-limited call.';
comment on column public.batch_tasks.failures is
  'How many of its calls failed, each with its retries, at the provider that is asked now.';
comment on column public.batch_tasks.asks_fallback is
  'Its provider did not answer it: from now on the provider''s fall-back is asked.';
comment on column public.batch_tasks.answered_by is 'The provider that answered: the task''s own, or its fall-back.';

create table batches.leases (
  job_id uuid not null references public.batch_jobs (id) on delete cascade,
  token uuid not null,
  task_ids bigint[] not null check (cardinality(task_ids) > 0),
  leased_until timestamptz not null check (isfinite(leased_until)),
  primary key (job_id, token)
);
-- To compress many ids costs more than to write them.
alter table batches.leases alter column task_ids set storage external;

comment on table batches.leases is
  'Which tasks a processor holds: one row for each processor that works on a batch job, so that a claim writes one '
    'row and not each task. It is changed only under the lock of the batch job''s row.';
comment on column batches.leases.token is
  'Names the processor. Results are taken from the holder of the lease alone.';
comment on column batches.leases.leased_until is
  'After this the next claim may take the tasks. Each heartbeat extends it.';

alter table public.organizations enable row level security;
alter table public.batch_providers enable row level security;
alter table public.prompts enable row level security;
alter table public.batch_jobs enable row level security;
alter table public.batch_tasks enable row level security;
alter table batches.leases enable row level security;
revoke all on public.organizations, public.batch_providers, public.prompts, public.batch_jobs, public.batch_tasks
  from public, anon, authenticated, service_role;
revoke all on sequence public.batch_tasks_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.organizations, public.batch_providers, public.prompts to service_role;
-- Batches change only through their functions.
grant select on public.batch_jobs, public.batch_tasks to service_role;

-- All lock in one order: organization, batch job, leases, tasks, providers. Otherwise processors and the deletion of an
-- organization would deadlock.

create function batches.lock_job(p_job_id uuid) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  -- Postgres checks the foreign key of a row that is updated twice in a transaction, which locks the organization.
  perform from public.organizations
    where id = (select organization_id from public.batch_jobs where id = p_job_id) for key share;
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  return v_job;
end;
$$;
comment on function batches.lock_job(uuid) is
  'Locks the batch job, and its organization against deletion. All null when there is no such batch job.';

-- The cascade of the delete alone would lock tasks before their batch job.
create function batches.lock_jobs_of_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.batch_jobs where organization_id = old.id and completed_at is null order by id for no key update;
  return old;
end;
$$;
comment on function batches.lock_jobs_of_organization() is
  'Locks the open batch jobs of an organization before it is deleted with its tasks. Security definer: who may delete '
    'an organization may only read its batch jobs.';

create trigger lock_jobs_of_organization before delete on public.organizations
  for each row execute function batches.lock_jobs_of_organization();

-- When the platform's daily batch runs: that of the organizations with neither a zone nor an hour of their own.

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, on_change, description) values
  ('batches', 'daily_batch.time_zone', '"America/New_York"', 'time_zone', null, 1, 1, 'batches.follow_daily_settings',
    'the zone of organizations that have none of their own; an IANA name'),
  ('batches', 'daily_batch.run_at', '"03:00"', 'time', null, 1, 1, 'batches.follow_daily_settings', 'the local time, '
    'HH:MM, from which the daily batch of organizations without an hour of their own runs'),
  ('batches', 'daily_batch.window_hours', '3', 'integer', 'hours', 1, 12, 'batches.follow_daily_settings', 'for how '
    'many hours from then on the platform''s batch may begin, by the local clock');

-- In plpgsql, which keeps its plans: this is asked at every tick.
create function batches.daily_settings(out time_zone text, out run_at time, out window_hours integer)
language plpgsql stable set search_path = '' as $$
begin
  time_zone := scheduler.setting_value('daily_batch.time_zone') #>> '{}';
  run_at := scheduler.setting_value('daily_batch.run_at') #>> '{}';
  window_hours := scheduler.setting('daily_batch.window_hours');
end;
$$;
comment on function batches.daily_settings() is 'The platform''s zone, hour and window of the daily batch.';

create function batches.in_daily_window(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select mod(extract(epoch from (p_at at time zone time_zone)::time - run_at)::numeric + 86400,
    86400) < window_hours * 3600
  from batches.daily_settings();
$$;
comment on function batches.in_daily_window(timestamptz) is
  'Whether the platform''s batch may begin at that moment, by the local time in its zone.';

-- The schedule follows the settings, so that there is one place to change it.
create function batches.register_daily() returns void
language plpgsql set search_path = '' as $$
declare
  v_platform record;
  v_first integer;
  v_last integer;
begin
  select * into v_platform from batches.daily_settings();
  v_first := extract(hour from v_platform.run_at)::integer;
  v_last := ((extract(epoch from v_platform.run_at) / 60)::integer + v_platform.window_hours * 60 - 1) / 60;
  perform scheduler.register_job(
    name => 'daily-batch-trigger',
    schedule => format('*/15 %s * * *',
      case when v_last < 24 then format('%s-%s', v_first, v_last)
        else concat_ws(',', format(case when v_first < 23 then '%s-23' else '%s' end, v_first), format(case
          when v_last > 24 then '0-%s' else '%s' end, v_last - 24)) end),
    time_zone => v_platform.time_zone,
    run_if => 'batches.daily_is_due',
    description => 'Begins the daily batch of the organizations that follow the platform, once a local day'
  );
end;
$$;
comment on function batches.register_daily() is
  'Registers daily-batch-trigger: every 15 minutes of the hours that the settings daily_batch.… name, in their zone.';

-- Which local date an organization's batch is for. Its calendar: at any moment the latest local date whose time (the
-- hour of its daily batch) has come, in the zone it has then. A date that is later than all before it gets a batch. So
-- a date that comes again after a move to the west gets none, and one that a move to the east leaps over never came.

create type batches.clock as (time_zone text, run_at time);
comment on type batches.clock is 'A zone, and the local time from which a date''s batch runs there.';

create function batches.platform_clock() returns batches.clock
language sql stable set search_path = '' as $$
  select (time_zone, run_at)::batches.clock from batches.daily_settings();
$$;
comment on function batches.platform_clock() is 'The zone and the hour of the settings daily_batch.….';

create function batches.clock_of(p_organization public.organizations, p_platform batches.clock) returns batches.clock
language sql immutable parallel safe set search_path = '' as $$
  select (coalesce(p_organization.time_zone, p_platform.time_zone),
    coalesce(p_organization.daily_run_at, p_platform.run_at))::batches.clock;
$$;
comment on function batches.clock_of(public.organizations, batches.clock) is
  'The clock of an organization, which takes from the platform what it has not of its own.';

create function batches.follows_platform(p_organization public.organizations) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select p_organization.time_zone is null and p_organization.daily_run_at is null;
$$;
comment on function batches.follows_platform(public.organizations) is
  'Whether an organization has neither a zone nor an hour of its own.';

create function batches.comes_at(p_clock batches.clock, p_date date) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
begin
  return scheduler.first_showing(p_date + p_clock.run_at, p_clock.time_zone);
end;
$$;
comment on function batches.comes_at(batches.clock, date) is
  'When the time of a date comes: the end of the gap for a time that spring skips, the first showing of one that '
    'autumn repeats.';

create function batches.date_at(p_clock batches.clock, p_at timestamptz) returns date
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_local timestamp := p_at at time zone p_clock.time_zone;
  v_date date;
begin
  -- Where the clock has not changed of late, the date follows from what it shows.
  if (p_at - interval '26 hours') at time zone p_clock.time_zone = v_local - interval '26 hours' then
    return (v_local - p_clock.run_at)::date;
  end if;
  for i in reverse 1 .. -1 loop
    v_date := v_local::date + i;
    exit when batches.comes_at(p_clock, v_date) <= p_at;
  end loop;
  return v_date;
end;
$$;
comment on function batches.date_at(batches.clock, timestamptz) is
  'The latest local date whose time had come at that moment.';

create function batches.last_date(p_organization_id uuid) returns date
language sql stable set search_path = '' as $$
  select nullif(last_daily_run_key, '')::date from public.scheduler_state
  where scope = 'organization:' || p_organization_id;
$$;
comment on function batches.last_date(uuid) is
  'The latest local date for which the organization has had its daily batch; null: none yet.';

create function batches.platform_has_had(p_date date) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from public.scheduler_state
    where scope = 'global' and last_daily_run_key >= to_char(p_date, 'YYYY-MM-DD'));
$$;
comment on function batches.platform_has_had(date) is
  'Whether the platform''s own daily batch has begun for that local date, or for a later one. Its mark is that of '
    'try_mark_daily_run without a scope.';

-- An organization moves when its zone or hour changes, or that of the platform which it takes it from. A date that had
-- come due and was not begun is then owed to it: a row, which the next tick begins wherever the organization is by
-- then.

create table batches.owed_dates (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  batch_date date not null check (batch_date between '2000-01-01' and '9999-12-31'),
  due_at timestamptz not null check (isfinite(due_at)),
  state text not null default 'owed' check (state in ('owed', 'begun', 'dropped')),
  primary key (organization_id, batch_date)
);
create index owed_dates_due_at_idx on batches.owed_dates (due_at) where state = 'owed';
alter table batches.owed_dates enable row level security;
revoke all on batches.owed_dates from public, anon, authenticated, service_role;
comment on table batches.owed_dates is
  'The local dates that an organization''s last moves left to be begun, and what became of them.';
comment on column batches.owed_dates.due_at is 'The move. The first tick after it begins the date.';
comment on column batches.owed_dates.state is
  'owed: to be begun; begun: the organization has had it; dropped: it had no active prompt then, or was switched off.';

create function batches.decide_move(
  p_from batches.clock, p_to batches.clock, p_follows boolean,
  p_last date, p_next_batch_at timestamptz, p_is_due boolean, p_now timestamptz,
  out owed_dates date[], out next_batch_at timestamptz
)
language plpgsql stable set search_path = '' as $$
declare
  v_left date := batches.date_at(p_from, p_now);
  v_here date := batches.date_at(p_to, p_now);
  v_over date;
begin
  owed_dates := case when p_is_due and (p_last is null or v_left > p_last) then array[v_left] else array[]::date[] end;
  -- The cursor too says what is over: a new organization, or one that had no prompts, has no mark for it.
  v_over := greatest(p_last, v_left, batches.date_at(p_from, p_next_batch_at) - 1);
  if v_here > v_over then
    owed_dates := owed_dates || v_here;
    v_over := v_here;
  end if;
  -- The platform's next dates may be over for an organization that has no mark for them: it needs a cursor past them.
  if not p_follows or v_over > greatest(v_here, p_last, owed_dates[cardinality(owed_dates)]) then
    next_batch_at := batches.comes_at(p_to, v_over + 1);
  end if;
end;
$$;
comment on function batches.decide_move(
  batches.clock, batches.clock, boolean, date, timestamptz, boolean, timestamptz) is
  'What a move from one clock to another means. p_follows: whether the organization follows the platform afterwards; '
    'p_last: the latest date it had or is owed; p_next_batch_at: its cursor before; p_is_due: whether the latest date '
    'of the old clock is due and not begun. Returns the dates it is owed, in order (the old clock''s if due, and the '
    'new one''s if that is later than all before), and its cursor afterwards, null where the platform''s tick serves '
    'it. Writes nothing.';

create function batches.move_of(
  p_organization public.organizations, p_from batches.clock, p_to batches.clock, p_follows boolean, p_now timestamptz,
  out owed_dates date[], out next_batch_at timestamptz
)
language plpgsql stable set search_path = '' as $$
declare
  v_date date := batches.date_at(p_from, p_now);
  v_last date;
  v_is_due boolean;
begin
  select greatest(batches.last_date(p_organization.id), max(batch_date)) into v_last
    from batches.owed_dates where organization_id = p_organization.id and state = 'owed';
  v_is_due := case when p_organization.next_batch_at is not null then p_organization.next_batch_at <= p_now
    else not batches.platform_has_had(v_date) and batches.comes_at(p_from, v_date) > p_organization.created_at end;
  select * into owed_dates, next_batch_at from batches.decide_move(
    p_from, p_to, p_follows, v_last, p_organization.next_batch_at, v_is_due, p_now);
end;
$$;
comment on function batches.move_of(public.organizations, batches.clock, batches.clock, boolean, timestamptz) is
  'batches.decide_move for an organization as it is before the move.';

create function batches.check_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.time_zone is not null and (tg_op = 'INSERT' or new.time_zone is distinct from old.time_zone) then
    begin
      -- The full check reads the file of every zone. Names of this form do not need it.
      if new.time_zone ~ '^[A-Z][A-Za-z_-]+(/[A-Z][A-Za-z_-]+)+$' then
        perform scheduler.require_time_zone(new.time_zone);
      elsif new.time_zone <> 'UTC' then
        perform scheduler.assert_time_zone(new.time_zone);
      end if;
    exception when invalid_parameter_value then
      raise exception using errcode = '22023',
        message = format('cannot write the organization %s: %s', new.name, sqlerrm),
        hint = 'select name from pg_timezone_names lists the zones';
    end;
  end if;
  if new.daily_run_at = time '24:00' or extract(second from new.daily_run_at) <> 0 then
    raise exception using errcode = '22023',
      message = format('cannot write the organization %s: daily_run_at must be a whole minute from 00:00 to 23:59, '
        'got %s', new.name, new.daily_run_at);
  end if;
  return new;
end;
$$;
comment on function batches.check_organization() is
  'Refuses a zone that is not known and an hour that is none. Security definer: who may write an organization has no '
    'right in the private schemas.';

create trigger check_organization before insert or update of time_zone, daily_run_at on public.organizations
  for each row execute function batches.check_organization();

create function batches.first_cursor(p_organization public.organizations, p_is_new boolean, p_now timestamptz)
returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_clock batches.clock := batches.clock_of(p_organization, batches.platform_clock());
begin
  -- One that follows the platform needs no cursor, unless it was switched on between the platform's time and its tick.
  if not p_organization.enabled
    or batches.follows_platform(p_organization) and (p_is_new or not batches.daily_is_due(p_now)) then
    return null;
  end if;
  return batches.comes_at(v_clock,
    1 + greatest(batches.date_at(v_clock, p_now), batches.last_date(p_organization.id)));
end;
$$;
comment on function batches.first_cursor(public.organizations, boolean, timestamptz) is
  'The cursor of an organization that begins, begins again or is switched off at that moment: the dates whose time '
    'has come by then are over.';

create function batches.keep_cursor() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_now timestamptz := new.created_at;
  v_move record;
begin
  if tg_op = 'UPDATE' then
    if new.updated_at is not distinct from old.updated_at then
      new.updated_at := now();
    end if;
    v_now := new.updated_at;
    if (new.time_zone, new.daily_run_at, new.enabled)
      is not distinct from (old.time_zone, old.daily_run_at, old.enabled) then
      return new;
    end if;
  end if;
  -- What was due in a zone that this server does not know cannot be told: a move away from it is a new beginning.
  if tg_op = 'UPDATE' and old.enabled and new.enabled and scheduler.knows_time_zone(old.time_zone) then
    v_move := batches.move_of(old, batches.clock_of(old, v_platform), batches.clock_of(new, v_platform),
      batches.follows_platform(new), v_now);
    insert into batches.owed_dates (organization_id, batch_date, due_at)
      select new.id, batch_date, v_now from unnest(v_move.owed_dates) as batch_date
      on conflict (organization_id, batch_date) do update set due_at = excluded.due_at, state = excluded.state;
    new.next_batch_at := v_move.next_batch_at;
  else
    update batches.owed_dates set state = 'dropped' where organization_id = new.id and state = 'owed';
    new.next_batch_at := batches.first_cursor(new, tg_op = 'INSERT', v_now);
  end if;
  return new;
end;
$$;
comment on function batches.keep_cursor() is
  'Keeps an organization''s next_batch_at, and the dates it is owed. A new one begins with the first date whose time '
    'comes after it was created. Security definer: who may write an organization has no right in the private schemas.';

create trigger keep_batch_cursor
  before insert or update of name, time_zone, daily_run_at, enabled on public.organizations
  for each row execute function batches.keep_cursor();

create function batches.forget_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform scheduler.forget_scope('organization:' || old.id);
  perform scheduler.forget_scope('weekly-suggestions:' || old.id);
  return null;
end;
$$;
comment on function batches.forget_organization() is
  'Deletes the marks of a deleted organization: its daily batch''s and its weekly suggestions''. Security definer: '
    'who may delete an organization may not write the marks.';

create trigger forget_organization after delete on public.organizations
  for each row execute function batches.forget_organization();

create function batches.move_followers(p_from batches.clock, p_to batches.clock, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  with moved as materialized (
    select organizations.id, organizations.next_batch_at as was_next, move.*
    from public.organizations, lateral batches.move_of(organizations, batches.clock_of(organizations, p_from),
      batches.clock_of(organizations, p_to), batches.follows_platform(organizations), p_now) as move
    where enabled and (time_zone is null or daily_run_at is null) and scheduler.knows_time_zone(time_zone)
  ), owed as (
    insert into batches.owed_dates (organization_id, batch_date, due_at)
    select id, unnest(owed_dates), p_now from moved
    on conflict (organization_id, batch_date) do update set due_at = excluded.due_at, state = excluded.state
  )
  update public.organizations set next_batch_at = moved.next_batch_at
  from moved where moved.id = organizations.id and moved.next_batch_at is distinct from moved.was_next;
end;
$$;
comment on function batches.move_followers(batches.clock, batches.clock, timestamptz) is
  'Moves each organization that takes its zone, its hour or both from the platform. What is due, or comes due, is '
    'owed to each of them: the platform''s new window may be over, or far.';

create function batches.follow_daily_settings(p_before jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  v_to batches.clock := batches.platform_clock();
  v_from batches.clock := (coalesce(p_before ->> 'daily_batch.time_zone', v_to.time_zone),
    coalesce((p_before ->> 'daily_batch.run_at')::time, v_to.run_at));
begin
  -- A trigger that is at work has begun the platform's day, or will see what is done here.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  perform batches.register_daily();
  perform batches.register_reconciler();
  if v_from = v_to then
    return;
  end if;
  perform batches.move_followers(v_from, v_to, now());
  -- So the platform itself has had these dates.
  perform scheduler.try_mark_daily_run(
    to_char(greatest(batches.date_at(v_from, now()), batches.date_at(v_to, now())), 'YYYY-MM-DD'));
end;
$$;
comment on function batches.follow_daily_settings(jsonb) is
  'When the platform''s zone, hour or window is changed, its jobs follow, and so do the organizations that take their '
    'zone or hour from it.';

-- Which organizations are due for which local dates, and taking them: each date at most once.

create function batches.daily_is_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select batches.in_daily_window(p_at)
    and not batches.platform_has_had(batches.date_at(batches.platform_clock(), p_at));
$$;
comment on function batches.daily_is_due(timestamptz) is
  'Whether the platform''s window is open at that moment and its local day has not been run yet.';

create function batches.zoned_is_due(p_at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  -- The first of an index. "exists" read all organizations, by the statistics of a table that was empty a moment ago.
  return coalesce(p_at >= least(
    (select min(next_batch_at) from public.organizations where enabled),
    (select min(due_at) from batches.owed_dates where state = 'owed')), false);
end;
$$;
comment on function batches.zoned_is_due(timestamptz) is
  'Whether an organization''s own cursor has come at that moment, or one is owed a date: two looks into indexes.';

create function batches.candidates(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid, p_until uuid
) returns setof public.organizations
language plpgsql stable set search_path = '' as $$
begin
  return query
  select * from public.organizations
    where p_platform_date is null and enabled and next_batch_at <= case when p_force then 'infinity' else p_now end
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
  union all
  select organizations.*
    from public.organizations
    where p_platform_date is null and enabled
      and id in (select organization_id from batches.owed_dates where state = 'owed' and due_at <= p_now)
      and (next_batch_at <= case when p_force then 'infinity' else p_now end) is not true
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
  union all
  select * from public.organizations
    where p_platform_date is not null and enabled and next_batch_at is null
      and time_zone is null and daily_run_at is null
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until);
end;
$$;
comment on function batches.candidates(date, boolean, timestamptz, uuid, uuid) is
  'The organizations that a tick looks at: with p_platform_date those that follow the platform, else those whose own '
    'cursor has come (with p_force all that have one) or that are owed a date. Only ids after p_after, up to p_until.';

create function batches.dates_to_begin(p_today date, p_owed date[], p_had date) returns date[]
language sql immutable set search_path = '' as $$
  select array(
    select distinct batch_date from unnest(p_owed || p_today) as batch_date
    where batch_date is not null and (p_had is null or batch_date > p_had)
      and (batch_date = any (p_owed) or batch_date > all (p_owed))
    order by batch_date);
$$;
comment on function batches.dates_to_begin(date, date[], date) is
  'The dates to begin now, in order: those that are owed, and today''s date if that is later (null: today''s is not '
    'asked about); none up to the date that the organization had last.';

create type batches.due_organization as (
  id uuid, clock batches.clock, next_batch_at timestamptz, next_after timestamptz, owed date[], dates date[]
);
comment on type batches.due_organization is
  'An organization at a tick: its cursor now and afterwards, the dates it is owed, and those that are begun.';

create function batches.due_organizations(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid, p_until uuid
) returns setof batches.due_organization
language plpgsql stable set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_came_at timestamptz := batches.comes_at(v_platform, p_platform_date);
begin
  return query
  with looked_at as (
    select organizations, batches.clock_of(organizations, v_platform) as clock,
      next_batch_at <= p_now as cursor_has_come, batches.last_date(id) as had,
      array(
        select batch_date from batches.owed_dates
        where organization_id = organizations.id and state = 'owed' and due_at <= p_now order by batch_date) as owed,
      -- Not "exists", for which all active prompts are read and hashed, also when one organization is due.
      (select true from public.prompts where organization_id = organizations.id and status = 'active' limit 1) as asks
    from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until) as organizations
  ), dated as materialized (
    select looked_at.*, case
        -- The platform's date was over for organizations that were created after its time.
        when p_platform_date is not null then
          case when (organizations).created_at < v_came_at or p_force then p_platform_date end
        when cursor_has_come or p_force and (organizations).next_batch_at is not null then batches.date_at(clock, p_now)
      end as today
    from looked_at
  )
  select (organizations).id, clock, (organizations).next_batch_at, case
      when cursor_has_come and not batches.follows_platform(organizations)
        then batches.comes_at(clock, greatest(today, owed[cardinality(owed)], had) + 1)
      when not cursor_has_come then (organizations).next_batch_at end,
    owed, case when asks then batches.dates_to_begin(today, owed, had) else array[]::date[] end
  from dated;
end;
$$;
comment on function batches.due_organizations(date, boolean, timestamptz, uuid, uuid) is
  'What the tick finds, for batches.candidates: which dates of each organization are begun. None where it has no '
    'active prompt.';

create type batches.due_date as (organization_id uuid, batch_date date, time_zone text);
comment on type batches.due_date is 'A local date for which an organization gets a batch, and the zone it has then.';

create function batches.take_due_organizations(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid default null, p_until uuid default null
) returns setof batches.due_date
language plpgsql set search_path = '' as $$
declare
  v_due batches.due_organization[];
begin
  -- From here on none of them can be deleted: its batch job could not be made, and the whole statement would fail.
  perform from public.organizations
    where id = any (array(select id from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until)))
    order by id for key share;
  v_due := array(
    select due from batches.due_organizations(p_platform_date, p_force, p_now, p_after, p_until) as due);
  -- An organization that moved meanwhile has set its own cursor.
  update public.organizations set next_batch_at = due.next_after
    from unnest(v_due) as due
    where organizations.id = due.id and organizations.next_batch_at = due.next_batch_at
      and due.next_after is distinct from due.next_batch_at;
  perform scheduler.mark_daily_runs((
    select jsonb_object_agg('organization:' || id, dates[cardinality(dates)])
    from unnest(v_due) where dates <> '{}'), p_now);
  -- What became of the dates that an earlier tick took is forgotten.
  delete from batches.owed_dates as taken using unnest(v_due) as due
    where taken.organization_id = due.id and due.owed <> '{}' and taken.state <> 'owed';
  update batches.owed_dates as taken
    set state = case when taken.batch_date <= batches.last_date(due.id) then 'begun' else 'dropped' end
    from unnest(v_due) as due where taken.organization_id = due.id and taken.batch_date = any (due.owed);
  return query
    select due.id, batch_date, (due.clock).time_zone from unnest(v_due) as due, unnest(due.dates) as batch_date;
end;
$$;
comment on function batches.take_due_organizations(date, boolean, timestamptz, uuid, uuid) is
  'Takes the organizations that are due: those that follow the platform for its date p_platform_date, or, when that '
    'is null, those whose own cursor has come or that are owed a date. Marks the dates, moves the cursors on, and '
    'returns what is to be made. With p_force also organizations that have not had their latest date for another '
    'reason: they had no prompts at its time, or were not there yet. Only ids after p_after, up to p_until. The '
    'caller holds the lock of the daily batch.';

-- The daily batch begins: marks, batch jobs, tasks and the processor's runs, all in one transaction. An organization
-- gets all of its own or nothing.

create function batches.run_request(p_job_id uuid) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('payload', jsonb_build_object('batchJobId', p_job_id), 'key', p_job_id);
$$;
comment on function batches.run_request(uuid) is
  'What scheduler.enqueue_runs takes to call the processor for a batch job; the job''s id is the key of its runs.';

create function batches.make_jobs(
  p_dates batches.due_date[], p_rerun integer, p_run_id uuid, p_now timestamptz,
  out batch_job_ids uuid[], out tasks bigint, out runs jsonb
)
language plpgsql set search_path = '' as $$
declare
  v_providers constant text[] := array(select name from public.batch_providers where enabled order by name);
begin
  with due as materialized (
    select due.*, cardinality(v_providers) * (
      select count(*) from public.prompts
      where prompts.organization_id = due.organization_id and prompts.status = 'active') as tasks
    from unnest(p_dates) as due
  ), made as (
    insert into public.batch_jobs (
      organization_id, batch_date, rerun, time_zone, tasks_total, run_id, status, completed_at, created_at)
    -- A batch job without a task has ended: its last prompt was switched off a moment ago.
    select organization_id, batch_date, p_rerun, time_zone, due.tasks, p_run_id,
      case when due.tasks > 0 then 'pending' else 'completed' end, case when due.tasks = 0 then p_now end, p_now
    from due
    -- An organization that has its batch of that date has had it, also when its mark was lost.
    on conflict (organization_id, batch_date, rerun) do nothing
    returning id, organization_id, tasks_total
  ), made_tasks as (
    insert into public.batch_tasks (job_id, prompt_id, provider)
    select made.id, prompts.id, provider
    from made join public.prompts on prompts.organization_id = made.organization_id and prompts.status = 'active'
      cross join unnest(v_providers) as provider
    order by made.id, prompts.id, provider
  )
  select coalesce(array_agg(id), array[]::uuid[]), coalesce(sum(tasks_total), 0),
    coalesce(jsonb_agg(batches.run_request(id)) filter (where tasks_total > 0), '[]')
    into batch_job_ids, tasks, runs from made;
end;
$$;
comment on function batches.make_jobs(batches.due_date[], integer, uuid, timestamptz) is
  'Makes a batch job for each organization and date, with a task for each active prompt and enabled provider. Returns '
    'the jobs, how many tasks they have, and the runs of the processor to enqueue: one for each job that has tasks.';

create type batches.begun as (batches integer, tasks bigint, runs jsonb, problems jsonb, passed boolean);
comment on type batches.begun is
  'What was begun: how many batch jobs and tasks, the runs to enqueue, the organizations that could not be begun '
    '[{"id", "name", "error"}], and whether one could.';

-- All organizations at once. When that fails, in sixteen parts, and so on, until those that cannot be begun are alone.
-- In halves a few odd ones among ten thousand would take three times as long.
create function batches.begin_batches(
  p_platform_date date, p_force boolean, p_run_id uuid, p_now timestamptz, p_after uuid default null,
  p_until uuid default null
) returns batches.begun
language plpgsql set search_path = '' as $$
declare
  v_begun batches.begun;
  v_message text;
begin
  select cardinality(made.batch_job_ids), made.tasks, made.runs, '[]', true into v_begun
    from batches.make_jobs(array(
      select due from batches.take_due_organizations(p_platform_date, p_force, p_now, p_after, p_until) as due
    ), 0, p_run_id, p_now) as made;
  return v_begun;
exception when others then
  -- A deadlock, a full disk or a lock that did not come is no row's fault.
  if sqlstate ~ '^(40|53|55|57|58)' then
    raise;
  end if;
  get stacked diagnostics v_message = message_text;
  return batches.begin_in_parts(p_platform_date, p_force, p_run_id, p_now, p_after, p_until, v_message);
end;
$$;
comment on function batches.begin_batches(date, boolean, uuid, timestamptz, uuid, uuid) is
  'Takes the organizations that are due (see take_due_organizations) and makes their batches. One that cannot be '
    'begun costs no other its batch. Raises when none could be begun.';

create function batches.begin_in_parts(
  p_platform_date date, p_force boolean, p_run_id uuid, p_now timestamptz, p_after uuid, p_until uuid, p_message text
) returns batches.begun
language plpgsql set search_path = '' as $$
declare
  v_ids uuid[] := array(
    select id from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until) order by id);
  v_parts constant integer := least(16, cardinality(v_ids));
  v_begun batches.begun := (0, 0, '[]', '[]', false);
  v_part batches.begun;
begin
  if v_parts = 1 then
    v_begun.problems := (
      select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'error', left(p_message, 300)))
      from public.organizations where id = v_ids[1]);
  else
    for i in 1 .. v_parts loop
      v_part := batches.begin_batches(p_platform_date, p_force, p_run_id, p_now,
        coalesce(v_ids[cardinality(v_ids) * (i - 1) / v_parts], p_after), v_ids[cardinality(v_ids) * i / v_parts]);
      v_begun := (v_begun.batches + v_part.batches, v_begun.tasks + v_part.tasks, v_begun.runs || v_part.runs,
        v_begun.problems || v_part.problems, v_begun.passed or v_part.passed);
    end loop;
  end if;
  -- Where none can be begun, or more than a hundred cannot, it is no row's fault, and the next run tries again.
  if jsonb_array_length(v_begun.problems) > 100
    or not v_begun.passed and (p_after is null and p_until is null or v_parts = 0) then
    raise exception using
      message = concat_ws(': ', 'cannot begin the daily batch', v_begun.problems #>> '{0,name}', p_message),
      detail = left(v_begun.problems::text, 1000);
  end if;
  return v_begun;
end;
$$;
comment on function batches.begin_in_parts(date, boolean, uuid, timestamptz, uuid, uuid, text) is
  'Begins organizations in sixteen parts, after all at once failed with that message.';

create function batches.trigger_daily(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_date date;
  v_marked boolean;
  v_begun batches.begun;
  v_told jsonb;
begin
  -- All triggers take turns: each sees what the one before it did.
  perform pg_advisory_xact_lock(hashtextextended('daybook: daily batch', 0));
  v_told := jsonb_build_object(
    'zones', p_zones, 'forced', p_force, 'manual_test', p_manual_test, 'batches', 0, 'tasks', 0);
  if not p_zones then
    v_date := batches.date_at(batches.platform_clock(), p_now);
    v_told := v_told || jsonb_build_object('date', to_char(v_date, 'YYYY-MM-DD'));
    if not p_force and not batches.in_daily_window(p_now) then
      return v_told || jsonb_build_object('outcome', 'outside_window');
    end if;
  end if;
  if not exists (select from public.batch_providers where enabled) then
    return v_told || jsonb_build_object('outcome', 'no_provider');
  end if;
  if not p_zones then
    v_marked := (scheduler.try_mark_daily_run(to_char(v_date, 'YYYY-MM-DD'), p_now => p_now) ->> 'updated')::boolean;
    if not v_marked and not p_force then
      return v_told || jsonb_build_object('outcome', 'already_run');
    end if;
  end if;

  v_begun := batches.begin_batches(v_date, p_force, p_run_id, p_now);
  perform scheduler.enqueue_runs('robust-batch-processor', v_begun.runs, null, p_now);
  return v_told || jsonb_build_object(
    'outcome', case when v_marked is false and v_begun.batches = 0 then 'already_run' else 'started' end,
    'batches', v_begun.batches, 'tasks', v_begun.tasks)
    || case when v_begun.problems = '[]' then '{}' else jsonb_build_object('problems', v_begun.problems) end;
end;
$$;
comment on function batches.trigger_daily(boolean, boolean, boolean, uuid, timestamptz) is
  'Begins the daily batch: of the organizations that follow the platform, within its window and once a local day; '
    'with p_zones of those with their own zone or hour that are due, or that are owed a date. p_force passes the '
    'window and looks at organizations that have not had their date for another reason, never at one that has. An '
    'organization that cannot be begun is named in "problems" and costs no other its batch; when none can, it raises. '
    '{"outcome": started | already_run | outside_window | no_provider, "date", "batches", "tasks", "zones", "forced", '
    '"manual_test", and "problems" where there are some: [{"id", "name", "error"}]}.';

-- Security definer because service_role, which calls it through REST, may only read the state and the batches.
create function public.trigger_daily_batch(
  p_zones boolean default false, p_force boolean default false, p_manual_test boolean default false,
  p_run_id uuid default null
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '60s' as $$
  select batches.trigger_daily(p_zones, p_force, p_manual_test, p_run_id);
$$;
comment on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) is
  'batches.trigger_daily by the clock of the database.';

revoke all on function
  public.trigger_daily_batch(boolean, boolean, boolean, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.trigger_daily_batch(boolean, boolean, boolean, uuid) to service_role;

-- A date once more for one organization, on purpose.

create function batches.assert_can_rerun(p_organization public.organizations, p_date date, p_now timestamptz)
returns void
language plpgsql stable set search_path = '' as $$
declare
  v_zone text := (batches.clock_of(p_organization, batches.platform_clock())).time_zone;
  v_today date := (p_now at time zone v_zone)::date;
  v_open uuid := (
    select id from public.batch_jobs
    where organization_id = p_organization.id and batch_date = p_date and completed_at is null limit 1);
begin
  if p_date is null or p_date > v_today then
    raise exception using errcode = '22023',
      message = format('cannot run a batch of %s again: date must be today there (%s) or earlier, got %s',
        p_organization.name, v_today, coalesce(to_char(p_date, 'YYYY-MM-DD'), 'null'));
  elsif v_open is not null then
    raise exception using errcode = 'SD102',
      message = format('cannot run the batch of %s for %s again: batch job %s is still at work', p_organization.name,
        p_date, v_open),
      hint = 'wait for its end, or cancel it first';
  elsif batches.active_prompts_fault(p_organization.id) is not null then
    raise exception using errcode = 'SD301',
      message = format('cannot run a batch of %s again: it has no active prompt', p_organization.name);
  elsif not exists (select from public.batch_providers where enabled) then
    raise exception using errcode = 'SD302',
      message = format('cannot run a batch of %s again: no provider is enabled', p_organization.name);
  end if;
end;
$$;
comment on function batches.assert_can_rerun(public.organizations, date, timestamptz) is
  'Raises unless the organization''s batch of that date can be run once more now: SD102 while a batch job of it is at '
    'work; SD301 without an active prompt; SD302 when no provider is enabled; 22023 for a date to come.';

create function batches.rerun_daily(
  p_organization_id uuid, p_date date, p_reason text, p_author text, p_now timestamptz default now()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_organization public.organizations;
  v_rerun integer;
  v_made record;
begin
  perform scheduler.assert_given('run a batch again', 'reason and author',
    'select batches.rerun_daily(''<organization''''s id>'', ''2026-03-02'', ''why'', ''who'')', p_reason, p_author);
  -- Two people at once take turns.
  select * into v_organization from public.organizations where id = p_organization_id for no key update;
  if not found then
    raise exception using errcode = 'SD008',
      message = format('cannot run a batch again: there is no organization %s',
        coalesce(p_organization_id::text, 'null'));
  end if;
  perform batches.assert_can_rerun(v_organization, p_date, p_now);
  select coalesce(max(rerun), 0) + 1 into v_rerun from public.batch_jobs
    where organization_id = p_organization_id and batch_date = p_date;
  select * into v_made from batches.make_jobs(
    array[(p_organization_id, p_date, (batches.clock_of(v_organization, batches.platform_clock())).time_zone)
      ::batches.due_date], v_rerun, null, p_now);
  perform scheduler.enqueue_runs('robust-batch-processor', v_made.runs, null, p_now);
  perform scheduler.log_activity('daily-batch', format('%s runs the batch of %s for %s again: %s', btrim(p_author),
      v_organization.name, p_date, btrim(p_reason)), 'info',
    jsonb_build_object('batch_job_id', v_made.batch_job_ids[1], 'organization_id', p_organization_id, 'rerun', v_rerun),
    p_now);
  return v_made.batch_job_ids[1];
end;
$$;
comment on function batches.rerun_daily(uuid, date, text, text, timestamptz) is
  'Runs a local date once more for one organization, with the prompts and providers of now, as a batch job of its own '
    '(rerun 1, 2, …); the once-a-day mark stays as it is. Leaves a line in scheduler_activity. Returns the batch job. '
    'Raises SD008 for an unknown organization; SD102 while a batch job of that date is at work; SD301 without an '
    'active prompt; SD302 when no provider is enabled; 22023 for a date to come, or a reason or author missing.';

-- Settings of the processing of batches, which a person changes without a deployment.

insert into public.scheduler_settings (pack, key, default_value, unit, most, description) values
  ('batches', 'batch_processor.call_timeout_seconds', '120', 's', 99999, 'how long a call of a provider may take'),
  ('batches', 'batch_processor.lease_seconds', '60', 's', 99999,
    'how long a processor keeps its tasks after it was last heard of'),
  ('batches', 'batch_processor.heartbeat_seconds', '10', 's', 99999,
    'how often a processor says that it works on a batch job, which extends its lease; at least three times in '
    'lease_seconds'),
  ('batches', 'batch_processor.max_attempts', '10', null, 99999,
    'how many attempts a task has at most, should processors die over it or runs end during its calls'),
  ('batches', 'batch_processor.max_failures', '3', null, 99999,
    'how many calls of a task may fail, each with its retries, before the fall-back is asked or the task fails'),
  ('batches', 'batch_processor.retry_seconds', '30', 's', 99999,
    'how long a task waits after a failed call; doubled each time'),
  ('batches', 'batch_processor.failures_to_open', '5', null, 99999,
    'how many calls in a row fail before a provider''s breaker opens'),
  ('batches', 'batch_processor.open_seconds', '60', 's', 99999,
    'how long a breaker stays open, unless the provider says how long; then it is half-open, and one call tries'),
  ('batches', 'batch_processor.wait_hours', '6', 'hours', 99999,
    'how old a batch job may become while its tasks wait for a provider; then they fail');

create function batches.settings() returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_settings constant jsonb := (
    select jsonb_object_agg(split_part(key, '.', 2), value) from public.scheduler_settings
      where key like 'batch\_processor.%');
begin
  -- A lease must last longer than a heartbeat or two that are late.
  return v_settings || jsonb_build_object('heartbeat_seconds',
    least((v_settings ->> 'heartbeat_seconds')::integer, greatest(1, (v_settings ->> 'lease_seconds')::integer / 3)));
end;
$$;
comment on function batches.settings() is
  'The settings batch_processor.<key> as {key: whole number}; heartbeat_seconds is at most a third of lease_seconds.';

-- The list of results that a processor sends.

create type batches.result as (
  place bigint, id bigint, outcome text, answerer text, reason text, wait_seconds integer, provider_is_down boolean,
  provider_answered boolean
);
comment on type batches.result is
  'What came of a task, by its place in the list that a processor sends; see finish_tasks.';

create function batches.read_results(p_results jsonb) returns setof batches.result
language plpgsql immutable set search_path = '' as $$
begin
  if exists (
    select from jsonb_to_recordset(p_results) as results (
      id bigint, outcome text, answerer text, answer text, model text)
    where id is null or coalesce(outcome, '') not in ('answered', 'refused', 'unusable', 'failed', 'waiting', 'cut')
      or outcome = 'answered' and (answer is null or model is null or answerer is null)
  ) then
    raise data_exception;
  end if;
  return query
  select place, id, outcome, answerer, reason, wait_seconds, provider_is_down, provider_answered
  from rows from (jsonb_to_recordset(p_results) as (
    id bigint, outcome text, answerer text, reason text, wait_seconds integer, provider_is_down boolean,
    provider_answered boolean)
  ) with ordinality as results (
    id, outcome, answerer, reason, wait_seconds, provider_is_down, provider_answered, place);
end;
$$;
comment on function batches.read_results(jsonb) is
  'The results in a processor''s list. Raises data_exception for one that cannot be read.';

-- Asked only when results could not be taken: to look at each of thousands would cost more than to take them.
create function batches.wrong_result(p_results jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('results[%s].%s must be %s, got %s', place - 1, field, wanted,
    left(coalesce((result -> field)::text, 'nothing'), 50))
  from jsonb_array_elements(case jsonb_typeof(p_results) when 'array' then p_results else '[]' end)
      with ordinality as results (result, place),
    lateral (values
      (1, 'id', 'a whole number', '^[0-9]{1,18}$', true),
      (2, 'outcome', 'answered, refused, unusable, failed, waiting or cut',
        '^(answered|refused|unusable|failed|waiting|cut)$', true),
      (3, 'answer', 'the answer', '', result ->> 'outcome' = 'answered'),
      (4, 'model', 'the model that answered', '', result ->> 'outcome' = 'answered'),
      (5, 'answerer', 'the provider that answered', '', result ->> 'outcome' = 'answered'),
      (6, 'latency_ms', 'a whole number from 0 on', '^-?[0-9]{1,9}$', false),
      (7, 'prompt_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (8, 'completion_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (9, 'wait_seconds', 'a whole number', '^-?[0-9]{1,9}$', false),
      (10, 'provider_is_down', 'true or false', '^(true|false)$', false),
      (11, 'provider_answered', 'true or false', '^(true|false)$', false)
    ) as fields (field_place, field, wanted, pattern, needed)
  where case when result ->> field is null then needed else result ->> field !~ pattern end
  order by place, field_place
  limit 1;
$$;
comment on function batches.wrong_result(jsonb) is
  'What is wrong with results that could not be taken, by the field''s name. Null: they are no array, or it is '
    'something else.';

-- Calls under way at once. A provider's concurrency holds for all runs of all batch jobs together: a task that a run
-- claims in order to call it takes one of the provider's slots until its result is written.

create table batches.calls (
  task_id bigint primary key,
  provider text not null references public.batch_providers (name) on update cascade on delete cascade,
  job_id uuid not null,
  token uuid not null,
  tries_provider boolean not null,
  foreign key (job_id, token) references batches.leases (job_id, token) on delete cascade
);
create index batch_calls_provider_idx on batches.calls (provider);
create index batch_calls_lease_idx on batches.calls (job_id, token);
alter table batches.calls enable row level security;
revoke all on batches.calls from public, anon, authenticated, service_role;
comment on table batches.calls is
  'Which task''s call takes a slot of which provider. A row goes with the lease it came with. A task that is claimed '
    'without regard to concurrency has a row only if it tries a provider.';
comment on column batches.calls.tries_provider is 'It tries whether the provider, whose breaker is half-open, is back.';

create table batches.waits (
  provider text references public.batch_providers (name) on update cascade on delete cascade,
  job_id uuid references public.batch_jobs (id) on delete cascade,
  waits_until timestamptz not null check (isfinite(waits_until)),
  primary key (provider, job_id)
);
create index batch_waits_job_id_idx on batches.waits (job_id);
alter table batches.waits enable row level security;
revoke all on batches.waits from public, anon, authenticated, service_role;
comment on table batches.waits is
  'Which batch job has tasks that wait for a slot of which provider. Its processor asks each second; one that has not '
    'asked until waits_until waits no more.';

create function batches.free_slots(p_provider text, p_concurrency integer, p_job_id uuid,
  p_now timestamptz) returns integer
language plpgsql stable set search_path = '' as $$
declare
  v_own integer;
  v_others integer;
  v_share integer;
  v_short integer;
begin
  with calls as (
    select calls.job_id, count(*)::integer as calls
    from batches.calls as calls join batches.leases as leases using (job_id, token)
    where calls.provider = p_provider and leases.leased_until > p_now
    group by 1
  ),
  jobs as (
    select job_id, coalesce(calls.calls, 0) as calls, waits.job_id is not null as waits
    from calls full join (
      select job_id from batches.waits where provider = p_provider and waits_until > p_now) as waits using (job_id)
  ),
  shares as (
    select greatest(1, p_concurrency / (1 + count(*) filter (where job_id <> p_job_id)::integer)) as share from jobs
  )
  select share, coalesce(sum(calls) filter (where job_id = p_job_id), 0),
    coalesce(sum(calls) filter (where job_id <> p_job_id), 0),
      coalesce(sum(greatest(0, share - calls)) filter (where job_id <> p_job_id and waits), 0)
    into v_share, v_own, v_others, v_short
    from shares left join jobs on true
    group by share;
  -- Its own share first. Beyond it only slots that no batch job needs which waits and has less than its share.
  return greatest(0, least(p_concurrency - v_own - v_others, v_share - v_own),
    p_concurrency - v_own - v_others - v_short);
end;
$$;
comment on function batches.free_slots(text, integer, uuid, timestamptz) is
  'How many more calls of the provider the batch job may begin now. Batch jobs that wait for one provider get equal '
    'shares of it, as calls end. The caller holds the lock of the provider''s row.';

create function batches.keep_waits(p_job_id uuid, p_providers text[], p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  delete from batches.waits where job_id = p_job_id and provider <> all (p_providers);
  insert into batches.waits (provider, job_id, waits_until)
    select each.provider, p_job_id, p_now + interval '3 seconds'
      from (select distinct unnest(p_providers) as provider) as each
    on conflict (provider, job_id) do update set waits_until = excluded.waits_until;
end;
$$;
comment on function batches.keep_waits(uuid, text[], timestamptz) is
  'Records that the batch job waits for slots of these providers and of no other. The caller holds its lock.';

-- A provider's breaker, one for all processors. Closed: calls go. Open: none goes, until open_until. Half-open: one
-- call tries whether the provider is back, as long as its task is leased.

create function batches.breaker_state(p_provider public.batch_providers, p_now timestamptz) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_provider.open_until is null then 'closed'
    when p_provider.open_until > p_now then 'open'
    else 'half-open' end;
$$;
comment on function batches.breaker_state(public.batch_providers, timestamptz) is
  'closed, open or half-open: the state of a provider''s breaker at that moment.';

create function batches.tried_providers(p_now timestamptz) returns text[]
language sql stable set search_path = '' as $$
  select coalesce(array_agg(calls.provider), '{}')
  from batches.calls as calls join batches.leases as leases using (job_id, token)
  where calls.tries_provider and leases.leased_until > p_now;
$$;
comment on function batches.tried_providers(timestamptz) is 'The providers that a call tries at that moment.';

create function batches.lock_half_open(p_provider text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' as $$
begin
  -- Without waiting: the locks of providers are waited for in the order of their names alone.
  perform from public.batch_providers as providers
    where name = p_provider and enabled and batches.breaker_state(providers, p_now) = 'half-open'
    for no key update skip locked;
  -- A statement of its own, because the one above may not see the call of who had the lock until now.
  return found and p_provider <> all (batches.tried_providers(p_now));
end;
$$;
comment on function batches.lock_half_open(text, timestamptz) is
  'Locks a provider in order to try whether it is back. False when another claim does so, or its breaker is not '
    'half-open any more.';

create type batches.route as (
  place integer, provider text, asks_fallback boolean, answerer text, is_half_open boolean, callable_at timestamptz,
  problem text
);
comment on type batches.route is
  'Who answers tasks of a provider, or those of them that ask its fall-back: the answerer, one call alone if its '
    'breaker is half-open. Without an answerer nobody does, until callable_at, or never, for the reason problem.';

create function batches.routes(
  p_providers public.batch_providers[], p_tried text[], p_failures_to_open integer, p_now timestamptz
) returns setof batches.route
-- In plpgsql its plan is kept.
language plpgsql stable set search_path = '' as $$
begin
  return query
  with breakers as materialized (
    select providers.*, batches.breaker_state(providers, p_now) as state from unnest(p_providers) as providers
  ), providers as (
    select breakers.*,
      enabled and (state = 'closed' or state = 'half-open' and name <> all (p_tried)) as takes_calls,
      -- A call that tries a provider may bring its result any moment.
      case state when 'open' then open_until else p_now + interval '5 seconds' end as callable_at
    from breakers
  ), choices as (
    select own.name as provider, asks_fallback, own.state, not asks_fallback and own.takes_calls as own_answers,
      other.name as fallback, other.state as fallback_state,
      -- A provider that only asks to wait keeps its tasks: that passes.
      other.takes_calls and (own_cannot or own.state <> 'closed' and own.failures_in_row >= p_failures_to_open)
        as fallback_answers,
      own_cannot and other.enabled is not true as nobody_ever,
      own_cannot or own.state <> 'closed' as some_wait,
      case
        when own_cannot then other.callable_at
        -- Tasks of a provider that is down go to whichever of the two may be called first.
        when other.enabled and own.failures_in_row >= p_failures_to_open
          then least(own.callable_at, other.callable_at)
        else own.callable_at end as callable_at
    from providers as own
    left join providers as other on other.name = own.fallback_provider
    cross join (values (false), (true)) as tasks (asks_fallback)
    cross join lateral (select asks_fallback or not own.enabled) as hindered (own_cannot)
  )
  select 1, provider, asks_fallback, provider, state = 'half-open', callable_at, null from choices where own_answers
  union all
  select 2, provider, asks_fallback, fallback, fallback_state = 'half-open', callable_at, null
    from choices where fallback_answers
  union all
  select 3, provider, asks_fallback, null, false, callable_at,
      case when nobody_ever then case when asks_fallback then 'no fall-back any more' else 'disabled' end end
    from choices where some_wait and fallback_answers is not true;
end;
$$;
comment on function batches.routes(public.batch_providers[], text[], integer, timestamptz) is
  'Who answers each provider''s tasks now, by place: itself, then its fall-back when the breaker is open because the '
    'provider is down, then nobody. p_tried: those that a call tries already. Writes nothing.';

create type batches.provider_news as (
  provider text, has_answered boolean, failures integer, asks_to_wait boolean, wait_seconds integer, is_down boolean,
  reason text
);
comment on type batches.provider_news is
  'What calls of a provider came to. failures: those since it last answered; is_down: it says so itself, and until '
    'when.';

create function batches.provider_news(p_results batches.result[], p_last_places jsonb)
returns setof batches.provider_news
language sql immutable set search_path = '' as $$
  with results as (
    select * from unnest(p_results) where answerer is not null
  ), answers as (
    select provider, max(place) as last_place
    from (
      select key as provider, value::bigint as place from jsonb_each_text(p_last_places)
      union all
      select answerer, place from results where outcome = 'refused' or provider_answered
    ) as each
    group by provider
  ), troubles as (
    select answerer as provider,
      count(*) filter (where outcome = 'failed' and place > coalesce(last_place, 0))::integer as failures,
      bool_or(outcome = 'waiting') as asks_to_wait,
      max(wait_seconds) filter (where outcome = 'waiting') as wait_seconds,
      bool_or(provider_is_down) filter (where outcome = 'waiting') as is_down,
      (array_agg(reason order by place desc) filter (where outcome <> 'cut'))[1] as reason
    from results left join answers on answers.provider = answerer
    where outcome <> 'refused' and provider_answered is not true
    group by answerer
  )
  select provider, last_place is not null, coalesce(failures, 0), coalesce(asks_to_wait, false), wait_seconds,
    coalesce(is_down, false), reason
  from troubles full join answers using (provider);
$$;
comment on function batches.provider_news(batches.result[], jsonb) is
  'What results say of the providers. p_last_places {provider: place of its last answer}. Writes nothing.';

create function batches.breaker_after(
  p_provider public.batch_providers, p_news batches.provider_news, p_settings jsonb, p_now timestamptz
) returns public.batch_providers
language plpgsql stable set search_path = '' as $$
declare
  v_provider public.batch_providers := p_provider;
  v_failures_to_open integer := p_settings ->> 'failures_to_open';
  v_open_seconds integer := p_settings ->> 'open_seconds';
begin
  v_provider.failures_in_row := p_news.failures
    + case when p_news.has_answered then 0 else p_provider.failures_in_row end;
  -- Several calls at once that are told to wait are told one thing.
  if p_news.asks_to_wait and batches.breaker_state(p_provider, p_now) <> 'open' then
    v_provider.failures_in_row := v_provider.failures_in_row + 1;
  end if;
  -- A 503 with Retry-After opens the breaker at once.
  if p_news.is_down then
    v_provider.failures_in_row := greatest(v_provider.failures_in_row, v_failures_to_open);
  end if;
  if p_news.asks_to_wait then
    v_provider.open_until := greatest(p_provider.open_until,
      p_now + make_interval(secs => coalesce(p_news.wait_seconds, v_open_seconds)));
  elsif p_news.failures > 0 and (v_provider.failures_in_row >= v_failures_to_open
    or p_provider.open_until is not null and not p_news.has_answered) then
    v_provider.open_until := greatest(p_provider.open_until, p_now + make_interval(secs => v_open_seconds));
  elsif p_news.failures = 0 and p_news.has_answered then
    v_provider.open_until := null;
  end if;
  v_provider.last_error := coalesce(left(p_news.reason, 200), p_provider.last_error);
  return v_provider;
end;
$$;
comment on function batches.breaker_after(
  public.batch_providers, batches.provider_news, jsonb, timestamptz) is
  'The provider with its breaker as it is after that news: it opens after failures in a row or when one that tried '
    'the provider fails, stays open as long as the provider says, and closes when the provider answers. Writes '
    'nothing.';

create function batches.record_news(p_news batches.provider_news[], p_settings jsonb, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  with changed as materialized (
    select providers.name, batches.breaker_after(providers, news, p_settings, p_now) as after
    from public.batch_providers as providers join unnest(p_news) as news on news.provider = providers.name
    -- An answer changes nothing where the breaker is closed and no call failed.
    where news.failures > 0 or news.asks_to_wait or news.reason is not null
      or providers.failures_in_row > 0 or providers.open_until is not null
    order by providers.name
    for no key update of providers
  )
  update public.batch_providers as providers set
    failures_in_row = (after).failures_in_row, open_until = (after).open_until, last_error = (after).last_error,
    updated_at = p_now
  from changed where providers.name = changed.name;
end;
$$;
comment on function batches.record_news(batches.provider_news[], jsonb, timestamptz) is
  'Writes the breakers that news of providers changes, locked in the order of their names.';

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

-- What came of tasks. Each is answered once, results are taken from the holder of the lease alone, and the batch job
-- ends with its last task.

create function batches.end_job_when_done(p_job_id uuid, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_gone integer;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.completed_at is not null or v_job.tasks_completed + v_job.tasks_failed < v_job.tasks_total and exists (
    -- From the end, because tasks are claimed from the beginning.
    select from (select name from public.batch_providers order by name desc) as providers, lateral (
      select from public.batch_tasks
      where provider = providers.name and job_id = p_job_id and completed_at is null
      order by asks_fallback desc, id desc limit 1) as open_task
  ) then
    return v_job.status;
  end if;
  -- Tasks whose prompts were deleted are gone.
  delete from batches.leases where job_id = p_job_id;
  delete from batches.waits where job_id = p_job_id;
  v_gone := v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed;
  update public.batch_jobs set
    status = case
      when tasks_completed = tasks_total then 'completed'
      when tasks_completed > 0 then 'partial'
      else 'failed' end,
    reasons = case when v_gone > 0 then reasons || jsonb_build_object('prompt was deleted', v_gone) else reasons end,
    started_at = coalesce(started_at, p_now), completed_at = greatest(p_now, started_at)
    where id = p_job_id
    returning * into v_job;
  return v_job.status;
end;
$$;
comment on function batches.end_job_when_done(uuid, timestamptz) is
  'Ends the batch job if none of its tasks is open any more: completed, failed when nothing was answered, else '
    'partial. Returns its status, null for an unknown job.';

create function batches.shorten_lease(p_job_id uuid, p_token uuid, p_leased bigint[], p_task_ids bigint[]) returns void
language plpgsql set search_path = '' as $$
begin
  if cardinality(p_task_ids) = cardinality(p_leased) then
    delete from batches.leases where job_id = p_job_id and token = p_token;
  elsif cardinality(p_task_ids) > 0 then
    update batches.leases
      set task_ids = array(
        select task_id from unnest(p_leased) as task_id where task_id not in (select unnest(p_task_ids)))
      where job_id = p_job_id and token = p_token;
    delete from batches.calls where job_id = p_job_id and token = p_token and task_id = any (p_task_ids);
  end if;
end;
$$;
comment on function batches.shorten_lease(uuid, uuid, bigint[], bigint[]) is
  'Takes tasks out of a lease of the tasks p_leased, and frees the slots of their calls. A lease without tasks is '
    'over. The caller holds the batch job''s lock.';

-- Nearly all results are answers, and an answer needs no decision.
create function batches.keep_answers(
  p_leased bigint[], p_results jsonb, p_now timestamptz, out task_ids bigint[], out last_places jsonb
)
language plpgsql set search_path = '' as $$
begin
  with answered as (
    update public.batch_tasks as tasks set
      status = 'completed', attempts = tasks.attempts + 1, run_after = null, completed_at = p_now,
      answered_by = results.answerer, model = results.model, answer = results.answer,
      latency_ms = greatest(coalesce(results.latency_ms, 0), 0),
      prompt_tokens = results.prompt_tokens, completion_tokens = results.completion_tokens,
      cost_usd = case when results.prompt_tokens is not null and results.completion_tokens is not null then (
        select (results.prompt_tokens * prompt_usd_per_million
          + results.completion_tokens * completion_usd_per_million) / 1000000
        from public.batch_providers where name = results.answerer) end
    from rows from (jsonb_to_recordset(p_results) as (
      id bigint, outcome text, answerer text, answer text, model text, latency_ms integer, prompt_tokens integer,
      completion_tokens integer)
    ) with ordinality as results (
      id, outcome, answerer, answer, model, latency_ms, prompt_tokens, completion_tokens, place)
    where tasks.id = results.id and tasks.completed_at is null
      -- In this form the ids are hashed; "= any" would go through them for each result.
      and (results.id in (select unnest(p_leased))) is true
      and results.outcome = 'answered'
      and num_nulls(results.answer, results.model, results.answerer) = 0
    returning tasks.id, results.answerer, results.place
  )
  select coalesce(array_agg(id), array[]::bigint[]),
      (select coalesce(jsonb_object_agg(answerer, place), jsonb_build_object()) from (
        select answerer, max(place) as place from answered group by answerer) as each)
    into task_ids, last_places from answered;
end;
$$;
comment on function batches.keep_answers(bigint[], jsonb, timestamptz) is
  'Ends the leased tasks that p_results answers, with their answers. Returns them, and {who answered: place of its '
    'last answer in p_results}.';

create function batches.task_after(
  p_task public.batch_tasks, p_result batches.result, p_has_fallback boolean, p_fails_at timestamptz, p_settings jsonb,
  p_now timestamptz
) returns public.batch_tasks
language plpgsql stable set search_path = '' as $$
declare
  v_task public.batch_tasks := p_task;
  -- The fall-back, which stood in while the provider is down, cannot do it: the provider may be back by the next try.
  v_by_stand_in boolean := not p_task.asks_fallback and p_result.answerer <> p_task.provider;
  v_becomes text := case
    when p_result.outcome = 'refused' then 'failed'
    when p_result.outcome = 'cut' then 'free'
    when p_result.outcome = 'waiting' then case when p_fails_at <= p_now then 'failed' else 'rate_limited' end
    when (p_result.outcome = 'failed' or v_by_stand_in)
      and p_task.failures + 1 < (p_settings ->> 'max_failures')::integer then 'retried'
    when p_has_fallback and not p_task.asks_fallback then 'handed_on'
    else 'failed' end;
begin
  v_task.attempts := p_task.attempts + 1;
  v_task.run_after := null;
  if p_result.outcome <> 'cut' then
    v_task.error_message := concat_ws(': ', p_result.answerer, coalesce(left(p_result.reason, 200), p_result.outcome));
  end if;
  if p_result.outcome in ('failed', 'unusable') then
    v_task.failures := p_task.failures + 1;
  end if;
  case v_becomes
    when 'free' then
      null;
    when 'failed' then
      v_task.status := 'failed';
      v_task.completed_at := p_now;
    when 'retried' then
      v_task.run_after := p_now
        + make_interval(secs => (p_settings ->> 'retry_seconds')::integer * 2 ^ least(p_task.failures, 10));
    when 'rate_limited' then
      -- A rate-limited call uses no attempt. What it waits for beyond open_seconds is the breaker's matter, which other
      -- calls may close. While the provider is down the breaker alone decides, and a fall-back may be asked at once.
      v_task.attempts := p_task.attempts;
      v_task.run_after := case when p_result.provider_is_down is not true then least(p_fails_at,
        p_now + make_interval(secs => least(p_result.wait_seconds, (p_settings ->> 'open_seconds')::integer))) end;
    when 'handed_on' then
      v_task.asks_fallback := true;
      v_task.failures := 0;
  end case;
  return v_task;
end;
$$;
comment on function batches.task_after(
  public.batch_tasks, batches.result, boolean, timestamptz, jsonb, timestamptz) is
  'The task as it is after a result that is no answer: it fails, is free again, is retried later, waits without an '
    'attempt used, or is handed on to the fall-back. p_has_fallback: whether its provider has one that is enabled; '
    'p_fails_at: when what waits for a provider fails. Writes nothing.';

create function batches.record_results(
  p_job public.batch_jobs, p_leased bigint[], p_results jsonb, p_settings jsonb, p_now timestamptz,
  out results batches.result[], out failed integer, out reasons jsonb
)
language plpgsql set search_path = '' as $$
declare
  v_fails_at timestamptz := p_job.created_at + make_interval(hours => (p_settings ->> 'wait_hours')::integer);
begin
  with decided as materialized (
    select result, batches.task_after(tasks, result, others.enabled is true, v_fails_at, p_settings, p_now) as after
    from batches.read_results(p_results) as result
    join public.batch_tasks as tasks on tasks.id = result.id
    join public.batch_providers as providers on providers.name = tasks.provider
    left join public.batch_providers as others on others.name = providers.fallback_provider
    where result.id = any (p_leased) and result.outcome <> 'answered' and tasks.completed_at is null
  ), recorded as (
    update public.batch_tasks as tasks set
      status = (after).status, attempts = (after).attempts, failures = (after).failures,
      asks_fallback = (after).asks_fallback, run_after = (after).run_after, error_message = (after).error_message,
      completed_at = (after).completed_at
    from decided where tasks.id = (after).id
    returning result, tasks.status, tasks.error_message
  )
  select coalesce(array_agg(result), array[]::batches.result[]), count(*) filter (where status = 'failed'), (
      select coalesce(jsonb_object_agg(error_message, count), '{}')
      from (select error_message, count(*) from recorded where status = 'failed' group by error_message) as each)
    into results, failed, reasons from recorded;
end;
$$;
comment on function batches.record_results(public.batch_jobs, bigint[], jsonb, jsonb, timestamptz) is
  'Writes what becomes of the leased tasks whose results are no answers. Returns these results, how many tasks '
    'failed, and why: {reason: count}. Raises data_exception for results it cannot read.';

create function batches.add_to_job(
  p_job_id uuid, p_completed integer, p_failed integer, p_reasons jsonb, p_now timestamptz
) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  update public.batch_jobs set
    tasks_completed = tasks_completed + p_completed,
    tasks_failed = tasks_failed + p_failed,
    last_heartbeat = greatest(last_heartbeat, p_now),
    last_progress_at = case when p_completed + p_failed > 0 then p_now else last_progress_at end,
    reasons = reasons || (
      select coalesce(jsonb_object_agg(key, value::integer + coalesce((reasons ->> key)::integer, 0)), '{}')
      from jsonb_each_text(p_reasons))
    where id = p_job_id
    returning * into v_job;
  return v_job;
end;
$$;
comment on function batches.add_to_job(uuid, integer, integer, jsonb, timestamptz) is
  'Counts tasks that ended, in the batch job''s row, and why they failed: {reason: count}.';

create function batches.take_results(
  p_job public.batch_jobs, p_leased bigint[], p_results jsonb, p_settings jsonb, p_now timestamptz,
  out answered_ids bigint[], out last_places jsonb, out others batches.result[], out failed integer, out reasons jsonb
)
language plpgsql set search_path = '' as $$
begin
  if p_results is null then
    raise data_exception;
  end if;
  select kept.task_ids, kept.last_places into answered_ids, last_places
    from batches.keep_answers(p_leased, p_results, p_now) as kept;
  if cardinality(answered_ids) < jsonb_array_length(p_results) then
    select recorded.results, recorded.failed, recorded.reasons into others, failed, reasons
      from batches.record_results(p_job, p_leased, p_results, p_settings, p_now) as recorded;
  else
    select array[]::batches.result[], 0, '{}' into others, failed, reasons;
  end if;
exception when data_exception or check_violation then
  raise exception using errcode = '22023',
    message = 'cannot finish tasks: ' || coalesce(batches.wrong_result(p_results),
      'results must be a JSON array of {"id", "outcome": answered, refused, unusable, failed, waiting or cut, …}, '
      'answered ones with answer, model and answerer');
end;
$$;
comment on function batches.take_results(public.batch_jobs, bigint[], jsonb, jsonb, timestamptz) is
  'Takes results of leased tasks. Returns the tasks that were answered, the place of each provider''s last answer in '
    'the list, the other results that were taken, how many tasks failed, and why. Raises 22023 for results it cannot '
    'read.';

create function batches.finish_tasks(p_job_id uuid, p_token uuid, p_results jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_settings jsonb := batches.settings();
  v_job public.batch_jobs;
  v_leased bigint[];
  v_taken record;
  v_accepted bigint[];
  v_was_open boolean;
begin
  -- A batch job that was deleted has no leases, so all results are refused.
  v_job := batches.lock_job(p_job_id);
  v_was_open := v_job.completed_at is null;
  select task_ids into v_leased from batches.leases where job_id = p_job_id and token = p_token;
  v_taken := batches.take_results(v_job, v_leased, p_results, v_settings, p_now);
  v_accepted := v_taken.answered_ids || array(select id from unnest(v_taken.others));

  perform batches.record_news(array(
    select news from batches.provider_news(v_taken.others, v_taken.last_places) as news), v_settings, p_now);
  perform batches.shorten_lease(p_job_id, p_token, v_leased, v_accepted);
  if v_was_open then
    v_job := batches.add_to_job(p_job_id, cardinality(v_taken.answered_ids), v_taken.failed, v_taken.reasons, p_now);
    if cardinality(v_taken.others) > v_taken.failed then
      perform batches.look_again_for_tasks(p_job_id, v_accepted);
    end if;
    -- Tasks of deleted prompts are not counted. Whether others are open is looked up when no lease is left.
    if v_job.tasks_completed + v_job.tasks_failed = v_job.tasks_total
      or not exists (select from batches.leases where job_id = p_job_id) then
      v_job.status := batches.end_job_when_done(p_job_id, p_now);
    end if;
  end if;
  return jsonb_build_object(
    'accepted', cardinality(v_accepted), 'refused', jsonb_array_length(p_results) - cardinality(v_accepted),
    'completed', cardinality(v_taken.answered_ids), 'failed', v_taken.failed,
    'status', coalesce(v_job.status, 'unknown'),
    'ended', coalesce(v_was_open and v_job.status not in ('pending', 'running'), false),
    'open', coalesce(v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed, 0),
    'open_breakers', (select coalesce(jsonb_agg(name), '[]') from public.batch_providers where open_until > p_now));
end;
$$;
comment on function batches.finish_tasks(uuid, uuid, jsonb, timestamptz) is
  'Takes results of tasks that the token''s holder leases. Others are refused, so each task ends once and is answered '
    'once. A result: {"id", "outcome", "answerer", "reason"}; an answered one also has {"answer", "model", '
    '"latency_ms", "prompt_tokens", "completion_tokens"}. Outcomes: answered; refused: it is the task''s own fault, '
    'and it fails; failed: it is the provider''s fault, and the task is tried again later, then by the fall-back; '
    'unusable: it goes to the fall-back at once; waiting: there were too many requests, so it is tried again after '
    '"wait_seconds" (at most the setting open_seconds) when its provider may be called, or, with "provider_is_down" '
    'true, by the fall-back; cut: the run''s time was over. "provider_answered" true: the provider answered all the '
    'same, so it is not down. Ends the batch job with its last task. Returns {"accepted", "refused", "completed", '
    '"failed", "status" of the job, unknown when it was deleted, "ended": by this call, "open": tasks, '
    '"open_breakers": providers not to be called now}. Raises 22023 for results it cannot read, and names the field.';

create function public.finish_batch_tasks(p_job_id uuid, p_token uuid, p_results jsonb) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.finish_tasks(p_job_id, p_token, p_results);
$$;
comment on function public.finish_batch_tasks(uuid, uuid, jsonb) is
  'batches.finish_tasks by the clock of the database.';

revoke all on function public.finish_batch_tasks(uuid, uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_batch_tasks(uuid, uuid, jsonb) to service_role;

-- A processor at work: it reports that it is alive, gives tasks back, has the next run called. And how a person
-- cancels.
--
-- A batch job is read by its id alone, and its end is looked at afterwards: for "completed_at is null" the planner may
-- read the index of open batch jobs, which are thousands each morning.

create function batches.heartbeat_job(
  p_job_id uuid, p_token uuid, p_lease_seconds integer default null, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_held integer;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return jsonb_build_object('status', coalesce(v_job.status, 'unknown'), 'held', 0);
  end if;
  update public.batch_jobs set last_heartbeat = greatest(last_heartbeat, p_now) where id = p_job_id;
  update batches.leases
    set leased_until = greatest(leased_until,
      p_now + make_interval(secs => coalesce(p_lease_seconds, (batches.settings() ->> 'lease_seconds')::integer)))
    where job_id = p_job_id and token = p_token
    returning cardinality(task_ids) into v_held;
  return jsonb_build_object('status', v_job.status, 'held', coalesce(v_held, 0));
end;
$$;
comment on function batches.heartbeat_job(uuid, uuid, integer, timestamptz) is
  'A processor works on the batch job: its lease lasts p_lease_seconds from now (the setting when null). {"status" of '
    'the job, unknown when there is none, "held": tasks it still leases}; a job that is over is not to be worked on.';

create function public.heartbeat_batch_job(
  p_job_id uuid, p_token uuid, p_lease_seconds integer default null
) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.heartbeat_job(p_job_id, p_token, p_lease_seconds);
$$;
comment on function public.heartbeat_batch_job(uuid, uuid, integer) is
  'batches.heartbeat_job by the clock of the database.';

create function batches.release_tasks(
  p_job_id uuid, p_token uuid, p_ids bigint[] default null, p_now timestamptz default now()
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_leased bigint[];
  v_released bigint[];
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return 0;
  end if;
  -- A processor that gives tasks back is alive.
  update public.batch_jobs set last_heartbeat = greatest(last_heartbeat, p_now) where id = p_job_id;
  select task_ids into v_leased from batches.leases where job_id = p_job_id and token = p_token;
  v_released := case when p_ids is null then v_leased
    else array(select task_id from unnest(v_leased) as task_id where task_id = any (p_ids)) end;
  perform batches.shorten_lease(p_job_id, p_token, v_leased, v_released);
  perform batches.look_again_for_tasks(p_job_id, v_released);
  return coalesce(cardinality(v_released), 0);
end;
$$;
comment on function batches.release_tasks(uuid, uuid, bigint[], timestamptz) is
  'Gives back tasks that were claimed and not called, all of the token''s or these. They have used no attempt. '
    'Returns how many.';

create function public.release_batch_tasks(p_job_id uuid, p_token uuid, p_ids bigint[] default null) returns integer
language sql security definer set search_path = '' as $$
  select batches.release_tasks(p_job_id, p_token, p_ids);
$$;
comment on function public.release_batch_tasks(uuid, uuid, bigint[]) is
  'batches.release_tasks by the clock of the database.';

create function batches.continue_job(
  p_job_id uuid, p_wait_ms bigint default 0, p_now timestamptz default clock_timestamp()
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  -- A day at most: a run that comes too early finds nothing to do and has the next one called.
  v_run_after timestamptz := case when p_wait_ms > 0 then p_now + least(p_wait_ms, 86400000) * interval '1 ms' end;
begin
  -- Callers take turns, so that one run waits and not two.
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null or v_job.completed_at is not null then
    return false;
  end if;
  perform from public.scheduler_jobs where name = 'robust-batch-processor' for no key update;
  update public.scheduler_runs
    set run_after = case when v_run_after is not null and run_after is not null then least(run_after, v_run_after) end
    where id = (
      select id from scheduler.runs_with_key('robust-batch-processor', p_job_id::text)
      where status = 'queued' order by scheduled_for limit 1);
  perform scheduler.enqueue_runs('robust-batch-processor',
    case when found then '[]' else jsonb_build_array(batches.run_request(p_job_id)) end, v_run_after, p_now);
  return true;
end;
$$;
comment on function batches.continue_job(uuid, bigint, timestamptz) is
  'Has a processor called for the batch job, at once or in p_wait_ms milliseconds (a day at most). A run that waits '
    'already is called earlier if need be. False when the job is over or unknown.';

-- Security definer: service_role may only read batches, and enqueuing a run may send it, which reads Vault.
create function public.continue_batch_job(p_job_id uuid, p_wait_ms bigint default 0) returns boolean
language sql security definer set search_path = '' as $$
  select batches.continue_job(p_job_id, p_wait_ms);
$$;
comment on function public.continue_batch_job(uuid, bigint) is 'batches.continue_job by the clock of the database.';

create function batches.cancel_job(p_job_id uuid, p_reason text, p_author text, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
  v_cancelled integer;
begin
  perform scheduler.assert_given('cancel a batch job', 'reason and author',
    format('select batches.cancel_job(%L, ''why'', ''who'')', p_job_id), p_reason, p_author);
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null then
    raise exception using errcode = 'SD007',
      message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;
  if v_job.completed_at is not null then
    return jsonb_build_object('cancelled', false, 'status', v_job.status);
  end if;
  update public.batch_tasks set status = 'cancelled', completed_at = p_now where job_id = p_job_id and completed_at
    is null;
  get diagnostics v_cancelled = row_count;
  delete from batches.leases where job_id = p_job_id;
  delete from batches.waits where job_id = p_job_id;
  update public.batch_jobs
    set status = 'cancelled', completed_at = greatest(p_now, started_at),
      reasons = reasons || jsonb_build_object(
        scheduler.one_line(format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)), 200), v_cancelled)
    where id = p_job_id;
  perform scheduler.log_activity('robust-batch-processor',
    format('batch job %s of %s was cancelled by %s: %s', p_job_id, v_job.batch_date, btrim(p_author), btrim(p_reason)),
    'warning',
    jsonb_build_object('batch_job_id', p_job_id, 'tasks_cancelled', v_cancelled), p_now);
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'tasks_cancelled', v_cancelled,
    'tasks_completed', v_job.tasks_completed, 'tasks_failed', v_job.tasks_failed);
end;
$$;
comment on function batches.cancel_job(uuid, text, text, timestamptz) is
  'Ends a batch job for a person, with reason and author: its open tasks are cancelled, answers stay, processors stop '
    'at their next heartbeat. {"cancelled": true, "tasks_cancelled", …}, or {"cancelled": false, "status"} when it '
    'was over. Raises SD007 for an unknown batch job; 22023 for a missing reason or author.';

revoke all on function public.heartbeat_batch_job(uuid, uuid, integer) from public, anon, authenticated, service_role;
revoke all on function public.release_batch_tasks(uuid, uuid, bigint[]) from public, anon, authenticated, service_role;
revoke all on function public.continue_batch_job(uuid, bigint) from public, anon, authenticated, service_role;
grant execute on function public.heartbeat_batch_job(uuid, uuid, integer) to service_role;
grant execute on function public.release_batch_tasks(uuid, uuid, bigint[]) to service_role;
grant execute on function public.continue_batch_job(uuid, bigint) to service_role;

-- Which batch jobs are stuck: no processor works on them, and none has been called.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('batches', 'daily_batch.heartbeat_timeout_seconds', '120', 's', 1, 99999,
    'how long a batch job may be without a processor''s heartbeat before it counts as stuck'),
  ('batches', 'daily_batch.progress_timeout_seconds', '180', 's', 1, 99999,
    'how long a batch job may be without a task that ends, and without a processor, before it counts as stuck'),
  ('batches', 'daily_batch.max_resumes', '5', null, 0, 99999,
    'how often a stuck batch job is resumed without a task ending in between; then its open tasks fail');

create type batches.stuck_limits as (heartbeat_timeout interval, progress_timeout interval, max_resumes integer);
comment on type batches.stuck_limits is 'The settings of the reconciler.';

create function batches.stuck_limits() returns batches.stuck_limits
language sql stable set search_path = '' as $$
  select (make_interval(secs => scheduler.setting('daily_batch.heartbeat_timeout_seconds')),
    make_interval(secs => scheduler.setting('daily_batch.progress_timeout_seconds')),
    scheduler.setting('daily_batch.max_resumes'))::batches.stuck_limits;
$$;
comment on function batches.stuck_limits() is 'The settings of the reconciler.';

create function batches.is_silent(p_job public.batch_jobs, p_limits batches.stuck_limits, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  -- The timeouts of a batch job that was resumed count from then.
  select greatest(coalesce(p_job.last_heartbeat, p_job.created_at), p_job.resumed_at)
      < p_now - p_limits.heartbeat_timeout
    or greatest(coalesce(p_job.last_progress_at, p_job.started_at, p_job.created_at), p_job.resumed_at)
      < p_now - p_limits.progress_timeout;
$$;
comment on function batches.is_silent(public.batch_jobs, batches.stuck_limits, timestamptz) is
  'Whether an open batch job has been without a heartbeat, or without a task that ended, for too long.';

create function batches.run_is_alive(p_run public.scheduler_runs, p_limits batches.stuck_limits, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  select p_run.status <> 'queued'
    and greatest(p_run.dispatched_at, p_run.started_at, p_run.heartbeat_at) >= p_now - p_limits.heartbeat_timeout;
$$;
comment on function batches.run_is_alive(public.scheduler_runs, batches.stuck_limits, timestamptz) is
  'Whether a run that is not over is under way and was heard of lately.';

-- The open batch jobs are read first, and the ledger, where thousands of runs may wait, only for those that are silent.
create function batches.stuck_jobs(p_limit integer, p_after uuid, p_now timestamptz) returns setof uuid
-- With a nested loop 10,000 open batch jobs whose runs wait took 5 s instead of 0.05 s, where the tables were empty
-- when they were last analyzed.
language plpgsql stable set search_path = '' set enable_nestloop = off as $$
declare
  v_limits batches.stuck_limits := batches.stuck_limits();
begin
  return query
  with silent as (
    select jobs.id
    from public.batch_jobs as jobs
    where completed_at is null and (p_after is null or id > p_after)
      and created_at < p_now - least(v_limits.heartbeat_timeout, v_limits.progress_timeout)
      and batches.is_silent(jobs, v_limits, p_now)
  ), alone as materialized (
    select silent.id from silent
    where not exists (
      -- A run of the processor by hand has no key. Its leases show that it works.
      select from public.scheduler_runs as runs
      where job_name = 'robust-batch-processor' and key = silent.id::text and completed_at is null
        and (status = 'queued' or batches.run_is_alive(runs, v_limits, p_now)))
    order by silent.id
  )
  select alone.id from alone
  where not exists (select from batches.leases where job_id = alone.id and leased_until > p_now)
  order by alone.id
  limit p_limit;
end;
$$;
comment on function batches.stuck_jobs(integer, uuid, timestamptz) is
  'Open batch jobs without heartbeat or without progress for too long, of which no run waits or is alive and no lease '
    'lasts: by id, those after p_after.';

create function batches.find_stuck_jobs(
  p_limit integer default 100, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception using errcode = '22023',
      message = format('cannot look for stuck batch jobs: limit must be from 1 to 1000, got %s',
        coalesce(p_limit::text, 'null'));
  end if;
  return (select coalesce(jsonb_agg(id order by id), '[]') from batches.stuck_jobs(p_limit, p_after, p_now) as id);
end;
$$;
comment on function batches.find_stuck_jobs(integer, uuid, timestamptz) is
  'The ids of at most p_limit stuck batch jobs, in order, as a JSON array; the next page begins after the last of '
    'them.';

create function public.find_stuck_batch_jobs(p_limit integer default 100, p_after uuid default null) returns jsonb
language sql stable security definer set search_path = '' as $$
  select batches.find_stuck_jobs(p_limit, p_after);
$$;
comment on function public.find_stuck_batch_jobs(integer, uuid) is
  'batches.find_stuck_jobs by the clock of the database.';

create function batches.job_is_stuck(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from batches.stuck_jobs(1, null, p_at));
$$;
comment on function batches.job_is_stuck(timestamptz) is
  'Whether the reconciler would find a stuck batch job at that moment.';

-- Two jobs: one for each half hour, and one for soon after the platform's window, which a person may move.
create function batches.register_reconciler() returns void
language plpgsql set search_path = '' as $$
declare
  v_platform record;
  v_at time;
begin
  select * into v_platform from batches.daily_settings();
  v_at := v_platform.run_at + make_interval(hours => v_platform.window_hours, mins => 5);
  perform scheduler.register_job(
    name => 'batch-reconciler',
    schedule => '*/30 * * * *',
    run_if => 'batches.job_is_stuck',
    description => 'Resumes batch jobs that no processor works on, or gives them up'
  );
  perform scheduler.register_job(
    name => 'batch-reconciler-after-window',
    schedule => format('%s %s * * *', extract(minute from v_at), extract(hour from v_at)),
    time_zone => v_platform.time_zone,
    target => 'batch-reconciler',
    run_if => 'batches.job_is_stuck',
    description => 'The same, soon after the daily batch''s window'
  );
end;
$$;
comment on function batches.register_reconciler() is
  'Registers batch-reconciler, and batch-reconciler-after-window five minutes after the window that the settings '
    'daily_batch.… name.';

revoke all on function public.find_stuck_batch_jobs(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.find_stuck_batch_jobs(integer, uuid) to service_role;

-- What is done about a stuck batch job. Whatever resumes, finishes or cancels it takes turns by its row's lock.

create function batches.resumes_in_vain(p_job public.batch_jobs) returns integer
language sql immutable set search_path = '' as $$
  select case when p_job.last_progress_at > p_job.resumed_at then 0 else p_job.resumes end;
$$;
comment on function batches.resumes_in_vain(public.batch_jobs) is
  'How often the batch job was resumed since a task last ended.';

create function batches.decide_resume(
  p_job public.batch_jobs, p_is_alive boolean, p_run_waits boolean, p_limits batches.stuck_limits, p_now timestamptz
) returns text
language sql immutable set search_path = '' as $$
  select case
    when not batches.is_silent(p_job, p_limits, p_now) then 'none'
    when p_is_alive then 'alive'
    when p_run_waits then 'waits'
    when batches.resumes_in_vain(p_job) < p_limits.max_resumes then 'resumed'
    else 'gave_up' end;
$$;
comment on function batches.decide_resume(
  public.batch_jobs, boolean, boolean, batches.stuck_limits, timestamptz) is
  'What an open batch job needs (see resume_stuck_job). p_is_alive: a lease lasts or a run of the processor is alive; '
    'p_run_waits: a run of the processor waits. Writes nothing.';

create function batches.give_up_job(p_job public.batch_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_reason text := format('given up: stuck again after being resumed %s times', batches.resumes_in_vain(p_job));
  v_failed integer;
begin
  update public.batch_tasks
    set status = 'failed', error_message = coalesce(error_message, v_reason), completed_at = p_now
    where job_id = p_job.id and completed_at is null;
  get diagnostics v_failed = row_count;
  update public.batch_jobs
    set tasks_failed = tasks_failed + v_failed,
      reasons = reasons || jsonb_build_object(v_reason, v_failed + coalesce((reasons ->> v_reason)::integer, 0))
    where id = p_job.id and v_failed > 0;
  perform batches.end_job_when_done(p_job.id, p_now);
  return v_failed;
end;
$$;
comment on function batches.give_up_job(public.batch_jobs, timestamptz) is
  'Lets the open tasks of a batch job fail, with which it ends. Returns how many. The caller holds its lock.';

create function batches.resume_stuck_job(p_job_id uuid, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_limits batches.stuck_limits := batches.stuck_limits();
  v_job public.batch_jobs;
  v_action text;
  v_freed integer := 0;
  v_failed integer := 0;
begin
  v_job := batches.lock_job(p_job_id);
  if v_job.id is null then
    raise exception using errcode = 'SD007',
      message = format('there is no batch job %s', coalesce(p_job_id::text, 'null'));
  end if;

  if v_job.completed_at is not null then
    v_action := 'over';
  elsif batches.end_job_when_done(p_job_id, p_now) not in ('pending', 'running') then
    v_action := 'ended';
  else
    if batches.is_silent(v_job, v_limits, p_now) then
      v_freed := batches.free_expired_leases(p_job_id, p_now);
    end if;
    select batches.decide_resume(v_job,
        coalesce(bool_or(batches.run_is_alive(runs, v_limits, p_now)), false)
          or exists (select from batches.leases where job_id = p_job_id),
        coalesce(bool_or(runs.status = 'queued'), false), v_limits, p_now) into v_action
      from scheduler.runs_with_key('robust-batch-processor', p_job_id::text) as runs;
    if v_action = 'resumed' then
      update public.batch_jobs set resumes = batches.resumes_in_vain(v_job) + 1, resumed_at = p_now where id = p_job_id;
      perform batches.continue_job(p_job_id, 0, p_now);
    elsif v_action = 'gave_up' then
      v_failed := batches.give_up_job(v_job, p_now);
    end if;
  end if;

  select * into v_job from public.batch_jobs where id = p_job_id;
  return jsonb_build_object(
    'job_id', p_job_id, 'stuck', v_action in ('ended', 'resumed', 'gave_up'), 'action', v_action,
    'status', v_job.status, 'freed', v_freed, 'failed', v_failed, 'resumes', v_job.resumes,
    'open', v_job.tasks_total - v_job.tasks_completed - v_job.tasks_failed);
end;
$$;
comment on function batches.resume_stuck_job(uuid, timestamptz) is
  'Does what a batch job needs that no processor works on: {"job_id", "stuck", "action", "status" now, "freed": tasks '
    'of expired leases, "failed": tasks given up, "resumes", "open": tasks}. Actions: over: it had ended; ended: all '
    'its tasks had, so it ends; none: heard of lately; alive: a processor works on it, however slowly; waits: a run '
    'of the processor waits in the ledger; resumed: a run was enqueued; gave_up: resumed too often '
    '(daily_batch.max_resumes), its open tasks fail. Raises SD007 for an unknown batch job.';

-- Security definer: service_role may only read batches, and enqueuing a run may send it.
create function public.resume_stuck_batch_job(p_job_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.resume_stuck_job(p_job_id);
$$;
comment on function public.resume_stuck_batch_job(uuid) is 'batches.resume_stuck_job by the clock of the database.';

revoke all on function public.resume_stuck_batch_job(uuid) from public, anon, authenticated, service_role;
grant execute on function public.resume_stuck_batch_job(uuid) to service_role;

-- The weekly suggestions: which model is asked, when, and which prompts count as similar.

create extension if not exists pg_trgm with schema extensions;
do $$
begin
  if to_regprocedure('extensions.similarity(text, text)') is null then
    raise exception using message = 'the extension pg_trgm is in another schema than extensions',
      hint = 'alter extension pg_trgm set schema extensions';
  end if;
end;
$$;

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, optional, on_change,
  description) values
  ('batches', 'weekly_suggestions.provider', 'null', 'text', null, 1, 1, true, 'batches.check_suggestion_provider',
    'the name of the batch provider whose model suggests prompts; ''null'': no suggestions'),
  ('batches', 'weekly_suggestions.run_at', '"07:00"', 'time', null, 1, 1, false, null, 'the local time, HH:MM, on '
    'Mondays from which an organization gets suggestions'),
  ('batches', 'weekly_suggestions.max_suggestions', '5', 'integer', null, 1, 20, false, null, 'how many prompts are '
    'suggested to an organization in a week'),
  ('batches', 'weekly_suggestions.similarity_percent', '60', 'integer', 'percent', 1, 100, false, null, 'how alike '
    '(pg_trgm, 1 to 100) two prompts are from which the later one is left out');

create function batches.suggestion_settings(
  out provider text, out run_at time, out max_suggestions integer, out similarity_percent integer
)
language plpgsql stable set search_path = '' as $$
begin
  provider := scheduler.setting_value('weekly_suggestions.provider') #>> '{}';
  run_at := scheduler.setting_value('weekly_suggestions.run_at') #>> '{}';
  max_suggestions := scheduler.setting('weekly_suggestions.max_suggestions');
  similarity_percent := scheduler.setting('weekly_suggestions.similarity_percent');
  if provider is not null and not exists (select from public.batch_providers where name = provider and enabled) then
    raise exception using errcode = '22023',
      message = format('cannot suggest prompts: weekly_suggestions.provider must be null or the name of an enabled '
        'provider, got %s', provider),
      hint = 'update scheduler_settings set value = … where key = ''weekly_suggestions.provider''';
  end if;
end;
$$;
comment on function batches.suggestion_settings() is
  'The settings weekly_suggestions.<key>. Raises 22023 when the provider is none that is enabled.';

create function batches.check_suggestion_provider(p_before jsonb) returns void
language plpgsql stable set search_path = '' as $$
begin
  perform batches.suggestion_settings();
end;
$$;
comment on function batches.check_suggestion_provider(jsonb) is 'Refuses a provider that is not there or not enabled.';

-- What the weekly suggestions may cost. A try is recorded before the model is asked, so that neither a missing answer
-- nor a run that dies is paid for again and again.

create table batches.suggestion_tries (
  organization_id uuid primary key references public.organizations (id) on delete cascade,
  week date not null check (isfinite(week)),
  tries integer not null check (tries between 1 and 3),
  tried_at timestamptz not null check (isfinite(tried_at))
);
alter table batches.suggestion_tries enable row level security;
revoke all on batches.suggestion_tries from public, anon, authenticated, service_role;
comment on table batches.suggestion_tries is
  'How often the model was asked for an organization''s suggestions in the week that was tried last: at most three '
    'times, six hours apart.';

-- A mark only goes forward: with one of a far week an organization would get no more suggestions.
create function batches.assert_suggestion_week(p_week date, p_now timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
begin
  -- No zone is ahead of UTC by more than 14 hours.
  if extract(isodow from p_week) is distinct from 1 or p_week > ((p_now + interval '14 hours') at time zone 'UTC')::date
    then
    raise exception using errcode = '22023',
      message = format('the week of suggestions must be a Monday that has begun, got %s', coalesce(p_week::text,
        'null'));
  end if;
end;
$$;
comment on function batches.assert_suggestion_week(date, timestamptz) is
  'Raises 22023 unless the week is named by a Monday that has begun somewhere.';

create function batches.begin_suggestion_try(p_organization_id uuid, p_week date, p_now timestamptz default now())
returns text
language plpgsql set search_path = '' as $$
declare
  v_last batches.suggestion_tries;
begin
  perform batches.assert_suggestion_week(p_week, p_now);
  perform from public.organizations where id = p_organization_id for no key update;
  if not found or exists (
    select from public.scheduler_state
    where scope = 'weekly-suggestions:' || p_organization_id and last_daily_run_key >= to_char(p_week, 'YYYY-MM-DD'))
      then
    return 'not_now';
  end if;
  select * into v_last from batches.suggestion_tries where organization_id = p_organization_id and week = p_week;
  if v_last.tried_at > p_now - interval '6 hours' then
    return 'not_now';
  elsif v_last.tries = 3 then
    perform batches.record_suggestion_failure(p_organization_id, p_week, 'asked three times, and no answer came',
      p_now);
    return 'given_up';
  end if;
  insert into batches.suggestion_tries (organization_id, week, tries, tried_at)
    values (p_organization_id, p_week, 1 + coalesce(v_last.tries, 0), p_now)
    on conflict (organization_id) do update set week = excluded.week, tries = excluded.tries,
      tried_at = excluded.tried_at;
  return 'go';
end;
$$;
comment on function batches.begin_suggestion_try(uuid, date, timestamptz) is
  'To be called before the model is asked for an organization. go: ask; not_now: it was asked less than six hours '
    'ago, the week is marked, or the organization is gone; given_up: three tries came to nothing, the week is marked '
    'and a line in scheduler_activity says so.';

create function public.begin_suggestion_try(p_organization_id uuid, p_week date) returns text
language sql security definer set search_path = '' as $$
  select batches.begin_suggestion_try(p_organization_id, p_week);
$$;
comment on function public.begin_suggestion_try(uuid, date) is
  'batches.begin_suggestion_try by the clock of the database.';

create function batches.release_suggestion_try(p_organization_id uuid, p_week date, p_now timestamptz default now())
returns void
language plpgsql set search_path = '' as $$
begin
  delete from batches.suggestion_tries where organization_id = p_organization_id and week = p_week and tries = 1;
  update batches.suggestion_tries set tries = tries - 1, tried_at = p_now - interval '6 hours'
    where organization_id = p_organization_id and week = p_week;
end;
$$;
comment on function batches.release_suggestion_try(uuid, date, timestamptz) is
  'The model was not asked after all, or refused the question, which costs nothing: the try does not count.';

create function public.release_suggestion_try(p_organization_id uuid, p_week date) returns void
language sql security definer set search_path = '' as $$
  select batches.release_suggestion_try(p_organization_id, p_week);
$$;
comment on function public.release_suggestion_try(uuid, date) is
  'batches.release_suggestion_try by the clock of the database.';

revoke all on function public.begin_suggestion_try(uuid, date) from public, anon, authenticated, service_role;
revoke all on function public.release_suggestion_try(uuid, date) from public, anon, authenticated, service_role;
grant execute on function public.begin_suggestion_try(uuid, date) to service_role;
grant execute on function public.release_suggestion_try(uuid, date) to service_role;

-- Which organizations are due for suggestions, and what the model is told. A week is named by its Monday's date in the
-- organization's zone. It begins when that date's time comes there, by the rules of the daily batch.

-- Every hour, for all organizations; prompts are read only for those that have not had their week.
create function batches.due_for_suggestions(p_limit integer, p_after uuid, p_now timestamptz)
returns table (organization_id uuid, week date)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  v_time_zone text := (batches.platform_clock()).time_zone;
  v_run_at time := (select run_at from batches.suggestion_settings());
begin
  return query
  with named as materialized (
    select distinct coalesce(organizations.time_zone, v_time_zone) as time_zone from public.organizations
      where organizations.enabled
  ),
  zones as materialized (
    select named.time_zone from named where scheduler.knows_time_zone(named.time_zone)
  ),
  weeks as materialized (
    select zones.time_zone, monday.week, to_char(monday.week, 'YYYY-MM-DD') as key,
      batches.comes_at((zones.time_zone, v_run_at)::batches.clock, monday.week) as begins_at
    from zones, lateral (
      select date_trunc('week', batches.date_at((zones.time_zone, v_run_at)::batches.clock, p_now)::timestamp)::date
        as week
    ) as monday
  ),
  without as materialized (
    select organizations.id, weeks.week
    from public.organizations
    join weeks on weeks.time_zone = coalesce(organizations.time_zone, v_time_zone)
    left join public.scheduler_state as state on state.scope = 'weekly-suggestions:' || organizations.id
    left join batches.suggestion_tries as last on last.organization_id = organizations.id
    where organizations.enabled and (p_after is null or organizations.id > p_after)
      and organizations.created_at < weeks.begins_at
      and (state.scope is null or state.last_daily_run_key < weeks.key)
      and (last.week is null or last.week <> weeks.week or last.tried_at <= p_now - interval '6 hours')
    order by organizations.id
  )
  select without.id, without.week from without
  where (select true from public.prompts where prompts.organization_id = without.id
    and prompts.status = 'active' limit 1)
  limit p_limit;
end;
$$;
comment on function batches.due_for_suggestions(integer, uuid, timestamptz) is
  'Organizations with active prompts that have not had their current week, and for which the model was not asked in '
    'the last six hours: by id, those after p_after. A new one begins with the first Monday after it was created. Not '
    'those whose time zone this server does not know.';

create function batches.suggestions_are_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.setting_value('weekly_suggestions.provider') <> 'null'
    and exists (select from batches.due_for_suggestions(1, null, p_at));
$$;
comment on function batches.suggestions_are_due(timestamptz) is
  'Whether a provider is set and an organization is due for its weekly suggestions.';

create function batches.newest_prompts(p_organization_id uuid, p_statuses text[], p_characters integer) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(left(text, p_characters)), '[]')
  from (
    select text from public.prompts
    where organization_id = p_organization_id and status = any (p_statuses)
    order by created_at desc, id limit 40) as newest;
$$;
comment on function batches.newest_prompts(uuid, text[], integer) is
  'The beginnings of an organization''s 40 newest prompts of these statuses.';

create function batches.newest_answers(p_organization_id uuid, p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  with newest as (
    select tasks.prompt_id, tasks.answer, tasks.completed_at
    from public.batch_jobs as jobs join public.batch_tasks as tasks on tasks.job_id = jobs.id
    where jobs.organization_id = p_organization_id and jobs.batch_date > (p_now - interval '10 days')::date
      and tasks.status = 'completed'
      and tasks.completed_at > p_now - interval '7 days' and tasks.completed_at <= p_now
    order by tasks.completed_at desc limit 100
  ), sample as (
    -- One answer for each prompt.
    select distinct on (prompt_id) text as prompt, answer
    from newest join public.prompts on prompts.id = prompt_id
    order by prompt_id, completed_at desc
    limit 20
  )
  select coalesce(jsonb_agg(jsonb_build_object('prompt', left(prompt, 200), 'answer', left(answer, 800))), '[]')
  from sample;
$$;
comment on function batches.newest_answers(uuid, timestamptz) is
  'The beginnings of the newest answer of the last 7 days to each of an organization''s prompts, 20 at most.';

create function batches.unknown_zones() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'time_zone', time_zone) order by id)
  from (
    select organizations.id, name, time_zone
    from (
      select distinct time_zone from public.organizations where enabled and time_zone is not null offset 0
    ) as zones join public.organizations using (time_zone)
    where enabled and not scheduler.knows_time_zone(zones.time_zone)
    limit 100) as unknown;
$$;
comment on function batches.unknown_zones() is
  'Enabled organizations whose time zone this server does not know, 100 at most; null when there is none.';

create function batches.next_suggestion_requests(
  p_limit integer default 20, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_settings record;
  v_provider jsonb;
  v_requests jsonb;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception using errcode = '22023',
      message = format('cannot prepare suggestions: limit must be from 1 to 100, got %s',
        coalesce(p_limit::text, 'null'));
  end if;
  select * into v_settings from batches.suggestion_settings();
  select jsonb_build_object('name', name, 'model', model, 'api_url_variable', api_url_variable,
      'api_key_variable', api_key_variable, 'concurrency', concurrency, 'max_completion_tokens', max_completion_tokens)
    into v_provider from public.batch_providers where name = v_settings.provider;
  select jsonb_agg(jsonb_build_object(
        'id', organization_id,
        'week', week,
        'prompts', batches.newest_prompts(organization_id, array['active'], 500),
        'not_again', batches.newest_prompts(organization_id, array['suggested', 'rejected'], 200),
        'answers', batches.newest_answers(organization_id, p_now)
      ) order by organization_id) into v_requests
    from batches.due_for_suggestions(case when v_provider is null then 0 else p_limit end, p_after, p_now);
  return jsonb_build_object('provider', v_provider, 'max_suggestions', v_settings.max_suggestions,
      'organizations', coalesce(v_requests, '[]'))
    -- On the first page alone, so that a run names them once.
    || case when p_after is null and batches.unknown_zones() is not null
      then jsonb_build_object('unknown_zones', batches.unknown_zones()) else '{}' end;
end;
$$;
comment on function batches.next_suggestion_requests(integer, uuid, timestamptz) is
  'What the model is to be asked for the organizations that are due: {"provider": how to call it, null when none is '
    'set, "max_suggestions", "organizations": [{"id", "week", "prompts", "not_again", "answers": [{"prompt", '
    '"answer"}]}]}, and on the first page "unknown_zones": [{"id", "name", "time_zone"}] of organizations whose zone '
    'this server does not know. At most 40 prompts, 40 suggested or rejected ones and 20 answers of the last 7 days '
    'for each, cut. Raises 22023 for a wrong limit or setting.';

create function public.next_suggestion_requests(p_limit integer default 20, p_after uuid default null) returns jsonb
language sql stable security definer set search_path = '' as $$
  select batches.next_suggestion_requests(p_limit, p_after);
$$;
comment on function public.next_suggestion_requests(integer, uuid) is
  'batches.next_suggestion_requests by the clock of the database.';

revoke all on function public.next_suggestion_requests(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.next_suggestion_requests(integer, uuid) to service_role;

-- Suggestions are stored once a week, and none that is similar to a prompt the organization knows.

create function batches.plain_prompt(p_text text) returns text
language sql immutable set search_path = '' as $$
  select btrim(regexp_replace(lower(left(p_text, 2000)), '[\s[:punct:]]+', ' ', 'g'));
$$;
comment on function batches.plain_prompt(text) is
  'The beginning of a prompt in lower case, without punctuation and line breaks: the form in which prompts are '
    'compared. Where the database''s locale is C, pg_trgm sees ASCII letters alone; prompts in other scripts are then '
    'similar when this form is the same.';

create function batches.store_suggestions(
  p_organization_id uuid, p_week date, p_texts jsonb, p_suggested_by text, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_settings record;
  v_known text[];
  v_text text;
  v_plain text;
  v_stored integer := 0;
  v_alike integer := 0;
  v_unusable integer := 0;
begin
  if jsonb_typeof(p_texts) is distinct from 'array' or exists (select from jsonb_array_elements(p_texts) as text
    where jsonb_typeof(text) <> 'string')
    or coalesce(btrim(p_suggested_by), '') = '' then
    raise exception using errcode = '22023', message = 'cannot store suggestions: a JSON array of strings and who '
      'suggested must be given';
  end if;
  perform batches.assert_suggestion_week(p_week, p_now);
  select * into v_settings from batches.suggestion_settings();
  perform from public.organizations where id = p_organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'organization_gone', 'stored', 0, 'alike', 0, 'unusable', 0);
  end if;
  if not (scheduler.try_mark_daily_run(to_char(p_week, 'YYYY-MM-DD'), 'weekly-suggestions:' || p_organization_id,
    p_now) ->> 'updated')::boolean then
    return jsonb_build_object('outcome', 'had_already', 'stored', 0, 'alike', 0, 'unusable', 0);
  end if;

  v_known := array(select batches.plain_prompt(text) from public.prompts where organization_id = p_organization_id);
  for v_text in
    select btrim(regexp_replace(value, '\s+', ' ', 'g'))
      from jsonb_array_elements_text(p_texts) with ordinality as list (value, place) order by place
  loop
    exit when v_stored = v_settings.max_suggestions;
    v_plain := batches.plain_prompt(v_text);
    if length(v_text) not between 10 and 1000 or v_plain = '' then
      v_unusable := v_unusable + 1;
    elsif exists (
      select from unnest(v_known) as plain
      where plain = v_plain or extensions.similarity(plain, v_plain) * 100 >= v_settings.similarity_percent
    ) then
      v_alike := v_alike + 1;
    else
      insert into public.prompts (organization_id, text, status, suggested_by, created_at, updated_at)
        values (p_organization_id, v_text, 'suggested', btrim(p_suggested_by), p_now, p_now);
      v_known := v_known || v_plain;
      v_stored := v_stored + 1;
    end if;
  end loop;
  return jsonb_build_object('outcome', 'stored', 'stored', v_stored, 'alike', v_alike, 'unusable', v_unusable);
end;
$$;
comment on function batches.store_suggestions(uuid, date, jsonb, text, timestamptz) is
  'Marks the organization''s week, named by its Monday, and stores the suggestions that are not similar to a prompt '
    'that is known, suggested or rejected: {"outcome": stored | had_already | organization_gone, "stored", "alike": '
    'dropped as similar, "unusable": shorter than 10 or longer than 1,000 characters}. Raises 22023 for arguments it '
    'cannot read.';

-- Security definer, like the others here: service_role may not mark a week or write the activity log of another's run.
create function public.store_prompt_suggestions(
  p_organization_id uuid, p_week date, p_texts jsonb, p_suggested_by text
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '20s' as $$
  select batches.store_suggestions(p_organization_id, p_week, p_texts, p_suggested_by);
$$;
comment on function public.store_prompt_suggestions(uuid, date, jsonb, text) is
  'batches.store_suggestions by the clock of the database.';

create function batches.record_suggestion_failure(
  p_organization_id uuid, p_week date, p_reason text, p_now timestamptz default now()
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_name text;
begin
  perform batches.assert_suggestion_week(p_week, p_now);
  select name into v_name from public.organizations where id = p_organization_id;
  if not found or not (
    scheduler.try_mark_daily_run(to_char(p_week, 'YYYY-MM-DD'), 'weekly-suggestions:' || p_organization_id,
      p_now) ->> 'updated')::boolean then
    return false;
  end if;
  perform scheduler.log_activity('weekly-suggestions', format('no suggestions for %s in the week of %s: %s', v_name,
    p_week, left(p_reason, 300)),
    'warning', jsonb_build_object('organization_id', p_organization_id, 'week', p_week, 'reason', left(p_reason, 300)),
      p_now);
  return true;
end;
$$;
comment on function batches.record_suggestion_failure(uuid, date, text, timestamptz) is
  'Marks the organization''s week as had, without suggestions, and says why in scheduler_activity. False when it had '
    'the week or is gone.';

create function public.record_suggestion_failure(p_organization_id uuid, p_week date, p_reason text) returns boolean
language sql security definer set search_path = '' as $$
  select batches.record_suggestion_failure(p_organization_id, p_week, p_reason);
$$;
comment on function public.record_suggestion_failure(uuid, date, text) is
  'batches.record_suggestion_failure by the clock of the database.';

create function batches.continue_suggestions(p_now timestamptz default clock_timestamp()) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = 'weekly-suggestions' for no key update;
  if not found or exists (select from public.scheduler_runs where job_name = 'weekly-suggestions' and status = 'queued')
    then
    return false;
  end if;
  perform scheduler.enqueue_runs('weekly-suggestions', '[{}]', null, p_now);
  return true;
end;
$$;
comment on function batches.continue_suggestions(timestamptz) is
  'Enqueues the next run of weekly-suggestions, which is sent when this one is over. False when one waits already.';

create function public.continue_weekly_suggestions() returns boolean
language sql security definer set search_path = '' as $$
  select batches.continue_suggestions();
$$;
comment on function public.continue_weekly_suggestions() is
  'batches.continue_suggestions by the clock of the database.';

revoke all on function
  public.store_prompt_suggestions(uuid, date, jsonb, text)
from public, anon, authenticated, service_role;
revoke all on function
  public.record_suggestion_failure(uuid, date, text)
from public, anon, authenticated, service_role;
revoke all on function public.continue_weekly_suggestions() from public, anon, authenticated, service_role;
grant execute on function public.store_prompt_suggestions(uuid, date, jsonb, text) to service_role;
grant execute on function public.record_suggestion_failure(uuid, date, text) to service_role;
grant execute on function public.continue_weekly_suggestions() to service_role;

-- A person's yes or no to a suggested prompt.

create function batches.decide_suggestion(p_id uuid, p_status text, p_author text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_prompt public.prompts;
  v_decided boolean;
begin
  perform scheduler.assert_given('decide on a suggested prompt', 'author',
    format('select accept_prompt_suggestion(%L, ''who'')', p_id), p_author);
  select * into v_prompt from public.prompts where id = p_id for no key update;
  if not found then
    raise exception using errcode = 'SD009', message = format('there is no prompt %s', coalesce(p_id::text, 'null'));
  end if;
  v_decided := v_prompt.status = 'suggested';
  if v_decided then
    update public.prompts
      set status = p_status, decided_by = btrim(p_author), decided_at = p_now, updated_at = p_now
      where id = p_id
      returning * into v_prompt;
  end if;
  return jsonb_build_object('id', p_id, 'decided', v_decided, 'status', v_prompt.status,
    'decided_by', v_prompt.decided_by, 'decided_at', v_prompt.decided_at);
end;
$$;
comment on function batches.decide_suggestion(uuid, text, text, timestamptz) is
  'Gives a suggested prompt its status active or rejected, with author and time; the first decision stays. Raises '
    'SD009 for an unknown prompt; 22023 without an author.';

create function batches.accept_suggestion(p_id uuid, p_author text, p_now timestamptz default now()) returns jsonb
language sql set search_path = '' as $$
  select batches.decide_suggestion(p_id, 'active', p_author, p_now);
$$;
comment on function batches.accept_suggestion(uuid, text, timestamptz) is
  'A person''s yes: the suggested prompt is asked from the next daily batch on. {"id", "decided": false when somebody '
    'had decided before, "status", "decided_by", "decided_at"}. Raises SD009 for an unknown prompt; 22023 without an '
    'author.';

create function public.accept_prompt_suggestion(p_id uuid, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.accept_suggestion(p_id, p_author);
$$;
comment on function public.accept_prompt_suggestion(uuid, text) is
  'batches.accept_suggestion by the clock of the database.';

create function batches.reject_suggestion(p_id uuid, p_author text, p_now timestamptz default now()) returns jsonb
language sql set search_path = '' as $$
  select batches.decide_suggestion(p_id, 'rejected', p_author, p_now);
$$;
comment on function batches.reject_suggestion(uuid, text, timestamptz) is
  'A person''s no: the prompt and similar ones are not suggested again. Answers as accept_prompt_suggestion does.';

create function public.reject_prompt_suggestion(p_id uuid, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.reject_suggestion(p_id, p_author);
$$;
comment on function public.reject_prompt_suggestion(uuid, text) is
  'batches.reject_suggestion by the clock of the database.';

revoke all on function public.accept_prompt_suggestion(uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.reject_prompt_suggestion(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.accept_prompt_suggestion(uuid, text) to service_role;
grant execute on function public.reject_prompt_suggestion(uuid, text) to service_role;

-- Why does an organization have its answers of a day, or why not? A few sentences for a tired person.

create function batches.waiting_text(p_run public.scheduler_runs, p_time_zone text, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_processor public.scheduler_jobs;
begin
  select * into v_processor from public.scheduler_jobs where name = 'robust-batch-processor';
  return case
    when scheduler.is_paused(v_processor, p_now)
      then format('because robust-batch-processor is paused by %s: %s', v_processor.paused_by, v_processor.pause_reason)
    when p_run.run_after > p_now then format('until %s', scheduler.local_text(p_run.run_after, p_time_zone))
    else format('for one of the %s runs under way to end, or the next pulse', v_processor.parallel_limit) end;
end;
$$;
comment on function batches.waiting_text(public.scheduler_runs, text, timestamptz) is
  'What a run of the processor waits for.';

create function batches.last_run_text(p_job public.batch_jobs) returns text
language sql stable set search_path = '' as $$
  select 'Its last run ' || case when status = 'failed' then 'failed: ' || left(error_message, 300)
    else 'was ' || status end || '.'
  from (
    (select key, status, error_message, created_at from public.scheduler_runs
      where job_name = 'robust-batch-processor' order by created_at desc limit 2000)
    union all
    -- A run that failed among the first of the day may lie behind thousands that did not.
    (select key, status, error_message, created_at from public.scheduler_runs
      where status = 'failed' and completed_at >= p_job.created_at and job_name = 'robust-batch-processor'
      order by completed_at desc limit 2000)) as newest
  where key = p_job.id::text
  order by created_at desc limit 1;
$$;
comment on function batches.last_run_text(public.batch_jobs) is
  'What the newest run of the processor for a batch job came to; null when none of the last thousands was for it.';

create function batches.work_text(p_job public.batch_jobs, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_silent_seconds bigint := extract(epoch from p_now - p_job.last_heartbeat);
begin
  -- A run under way says more than one that waits.
  select * into v_run from scheduler.runs_with_key('robust-batch-processor', p_job.id::text)
    order by array_position(array['running', 'dispatched', 'queued'], status), run_after nulls first
    limit 1;
  return case
    when v_silent_seconds <= 60
      then format('A processor works on it, last heard of %s s ago.', greatest(v_silent_seconds, 0))
    when v_run.status in ('running', 'dispatched') then 'A processor has been called for it.'
    when v_run.status = 'queued'
      then format('Its processor waits %s.', batches.waiting_text(v_run, p_job.time_zone, p_now))
    else concat_ws(' ', format('No processor works on it; resume_stuck_batch_job(%L) says what can be done.', p_job.id),
      batches.last_run_text(p_job)) end;
end;
$$;
comment on function batches.work_text(public.batch_jobs, timestamptz) is
  'Which processor works on an open batch job, or what it waits for.';

create function batches.breakers_text(p_time_zone text, p_now timestamptz) returns text
language sql stable set search_path = '' as $$
  select 'Providers that are not called, because they are down or ask to wait: ' || string_agg(
    format('%s until %s (%s)', name, to_char(open_until at time zone p_time_zone, 'HH24:MI:SS'), last_error), ', '
    order by name) || '.'
  from public.batch_providers as providers where enabled and batches.breaker_state(providers, p_now) = 'open';
$$;
comment on function batches.breakers_text(text, timestamptz) is
  'Whose breakers are open, until when and why; null when none is.';

create function batches.explain_job(p_job public.batch_jobs, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_name text := concat('Batch job ', p_job.id,
    case when p_job.rerun > 0 then format(' (run again, %s)', p_job.rerun) end);
  v_ended text := scheduler.local_text(p_job.completed_at, p_job.time_zone);
  v_reasons text := (
    select string_agg(format('%s (%s)', key, value), ', ' order by length(value) desc, value desc, key)
    from (select * from jsonb_each_text(p_job.reasons) limit 20) as reasons);
begin
  return case
    when p_job.status = 'cancelled' then format('%s was cancelled at %s with %s of %s tasks answered: %s.', v_name,
      v_ended, p_job.tasks_completed, p_job.tasks_total, v_reasons)
    when p_job.tasks_total = 0
      then format('%s had nothing to ask: no prompt was active any more when it was made.', v_name)
    when p_job.completed_at is not null and p_job.tasks_completed = p_job.tasks_total
      then format('%s ended at %s: %s of %s tasks answered.', v_name, v_ended, p_job.tasks_completed,
        p_job.tasks_total)
    when p_job.completed_at is not null
      then format('%s ended at %s: %s of %s tasks answered; the others failed: %s. When that is mended: '
        'batches.rerun_daily.', v_name, v_ended, p_job.tasks_completed, p_job.tasks_total, v_reasons)
    else concat_ws(' ',
      concat(format('%s is open: %s of %s tasks answered, %s failed', v_name, p_job.tasks_completed,
        p_job.tasks_total, p_job.tasks_failed), ' (' || v_reasons || ')', '.'),
      batches.work_text(p_job, p_now), batches.breakers_text(p_job.time_zone, p_now)) end;
end;
$$;
comment on function batches.explain_job(public.batch_jobs, timestamptz) is
  'What became of a batch job: what failed and why, or which processor works on it and what it waits for.';

-- Case and blanks around a name do not count, in every alphabet and whatever the locale of the database.
create function batches.organizations_named(p_name text) returns uuid[]
language sql stable set search_path = '' as $$
  select array_agg(id order by id) from public.organizations
  where id::text = lower(btrim(p_name))
    or lower(btrim(name) collate "und-x-icu") = lower(btrim(p_name) collate "und-x-icu")
$$;
comment on function batches.organizations_named(text) is
  'The ids of the organizations with this name or id, whatever the case; null when there is none.';

create function batches.no_such_organization(p_name text) returns text
language sql stable set search_path = '' as $$
  -- The most similar names come first.
  with listed as (
    select left(name, 60) as name, row_number() over (
      order by extensions.similarity(name, coalesce(p_name, '')) desc, name, id) as place, count(*) over () as total
    from public.organizations
  )
  select format('There is no organization %s, neither by name nor by id. ', coalesce(left(p_name, 100), 'null'))
    || coalesce(
      format('There are %s: ', max(total)) || string_agg(name, ', ' order by place)
        || case when max(total) > 20 then format(', and %s more', max(total) - 20) else '' end || '.',
      'There are none at all.')
  from listed where place <= 20
$$;
comment on function batches.no_such_organization(text) is
  'What explain answers to a name that no organization has: the organizations there are, 20 at most.';

create function batches.latest_job(p_organization_id uuid, p_date date) returns public.batch_jobs
language sql stable set search_path = '' as $$
  select * from public.batch_jobs
  where organization_id = p_organization_id and batch_date <= p_date order by batch_date desc, rerun desc limit 1;
$$;
comment on function batches.latest_job(uuid, date) is
  'The organization''s batch job of that date, or of the latest one before it; of several of a date the last.';

create function batches.active_prompts_fault(p_organization_id uuid) returns text
language sql stable set search_path = '' as $$
  select case when count(*) filter (where status = 'active') = 0
    then format('it has no active prompt (%s).', coalesce(string_agg(count || ' ' || status, ', ' order by status),
      'none at all')) end
  from (
    select status, count(*) from public.prompts where organization_id = p_organization_id group by status) as prompts;
$$;
comment on function batches.active_prompts_fault(uuid) is
  'Which prompts an organization without an active one has; null when it has an active one.';

create function batches.due_text(
  p_organization public.organizations, p_trigger text, p_since timestamptz, p_time_zone text, p_now timestamptz
) returns text
language sql stable set search_path = '' as $$
  select concat_ws(' ',
    format('it is due since %s, and %s has not made it.', scheduler.local_text(p_since, p_time_zone), p_trigger),
    case when p_trigger = 'daily-batch-trigger' and not batches.in_daily_window(p_now)
      then format('The window is over: scheduler.run_now(%L, ''who'', ''{"force": true}'').', p_trigger) end,
    scheduler.explain(p_trigger, (
      select scheduler.previous_occurrence(schedule, time_zone, p_now) from public.scheduler_jobs
      where name = p_trigger and schedule is not null), p_now));
$$;
comment on function batches.due_text(public.organizations, text, timestamptz, text, timestamptz) is
  'That a date is due and not begun, and what became of the trigger that should have done it.';

create function batches.why_none(p_organization public.organizations, p_date date, p_now timestamptz) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_clock batches.clock := batches.clock_of(p_organization, batches.platform_clock());
  v_comes_at timestamptz := batches.comes_at(v_clock, p_date);
  v_today date := batches.date_at(v_clock, p_now);
  v_had date := batches.last_date(p_organization.id);
  v_owed batches.owed_dates;
  v_trigger text;
  v_prompts_fault text := batches.active_prompts_fault(p_organization.id);
begin
  select * into v_owed from batches.owed_dates where organization_id = p_organization.id and batch_date = p_date;
  -- An organization that follows the platform has a cursor after it was switched on today, or an owed date.
  v_trigger := case when batches.follows_platform(p_organization) and p_organization.next_batch_at is null
    and v_owed.state is distinct from 'owed' then 'daily-batch-trigger' else 'daily-batch-trigger-zones' end;
  return case
    when not p_organization.enabled then format('it is disabled, since %s or earlier.',
      scheduler.local_text(p_organization.updated_at, v_clock.time_zone))
    when v_had = p_date then 'it is marked as had, so its batch job was deleted. batches.rerun_daily makes another.'
    when v_owed.state = 'owed' then batches.due_text(p_organization, v_trigger, v_owed.due_at, v_clock.time_zone, p_now)
    when v_owed.state = 'dropped' then 'it was owed the date after a move, and had no active prompt at the tick that '
      'followed, or was switched off. batches.rerun_daily makes it.'
    when v_had > p_date and p_date >= v_today
      then format('it had %s already, before it was moved, and no date comes twice.', v_had)
    when v_comes_at > p_now then format('its time comes at %s.', scheduler.local_text(v_comes_at, v_clock.time_zone))
    when p_date < v_today then 'at its time no prompt was active or no provider enabled, the organization did not '
      'exist yet or was switched off, or no tick came for more than a day; or its batch job was deleted. '
      'batches.rerun_daily makes it.'
    when v_prompts_fault is not null then v_prompts_fault
    when not exists (select from public.batch_providers where enabled) then 'no provider is enabled.'
    when p_organization.next_batch_at <= p_now or v_trigger = 'daily-batch-trigger'
      and p_organization.created_at < v_comes_at and not batches.platform_has_had(p_date)
      then batches.due_text(p_organization, v_trigger, v_comes_at, v_clock.time_zone, p_now)
    else format('at its time, %s, it had no active prompt, or it was created, switched on or moved after that. At '
      'once: scheduler.run_now(%L, ''who'', %L).', scheduler.local_text(v_comes_at, v_clock.time_zone), v_trigger,
      case v_trigger when 'daily-batch-trigger' then '{"force": true}' else '{"zones": true, "force": true}' end) end;
end;
$$;
comment on function batches.why_none(public.organizations, date, timestamptz) is
  'Why an organization has no batch job of that local date.';

create function batches.explain(p_organization text, p_date date default null, p_now timestamptz default now())
returns text
language plpgsql stable set search_path = '' as $$
declare
  v_ids uuid[] := batches.organizations_named(p_organization);
  v_organization public.organizations;
  v_zone text;
  v_date date;
  v_job public.batch_jobs;
begin
  if cardinality(v_ids) > 1 then
    return format('%s organizations are named %s; ask by one''s id: %s.', cardinality(v_ids), p_organization,
      array_to_string(v_ids[:5], ', '));
  end if;
  select * into v_organization from public.organizations where id = v_ids[1];
  if not found then
    return batches.no_such_organization(p_organization);
  end if;
  v_zone := (batches.clock_of(v_organization, batches.platform_clock())).time_zone;
  if not scheduler.knows_time_zone(v_zone) then
    return format('%s has no batch: this server does not know its time zone %s. Give it another: update organizations '
      'set time_zone = …, and its next date is the first that comes after that.', v_organization.name, v_zone);
  end if;
  v_date := coalesce(p_date, (p_now at time zone v_zone)::date);
  v_job := batches.latest_job(v_organization.id, v_date);
  if v_job.batch_date = v_date then
    return format('%s, %s: %s', v_organization.name, v_date, batches.explain_job(v_job, p_now));
  end if;
  return concat_ws(' ',
    format('%s has no batch for %s: %s', v_organization.name, v_date, batches.why_none(v_organization, v_date, p_now)),
    case when v_job.id is null then 'It has had none before.'
      else format('The one before, %s: %s', v_job.batch_date, batches.explain_job(v_job, p_now)) end);
end;
$$;
comment on function batches.explain(text, date, timestamptz) is
  'Why the organization (its name or id) has, or has not, its answers of that local date (today there when none is '
    'given): what became of its batch job, or why there is none, and the batch job before.';

-- How long batch jobs that are over stay.

-- The oldest batch job first, and its tasks before itself: it may have more of them than a step may delete.
create function batches.prune_jobs(p_before timestamptz, p_limit integer) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job_id uuid;
  v_count integer;
  v_deleted integer := 0;
begin
  -- One scan of the index. A new one for each batch job would read past all that have just been deleted.
  for v_job_id in
    select id from public.batch_jobs where completed_at < p_before
      order by completed_at limit p_limit for update skip locked
  loop
    delete from public.batch_tasks where ctid = any (array(
      select ctid from public.batch_tasks where job_id = v_job_id limit p_limit - v_deleted));
    get diagnostics v_count = row_count;
    v_deleted := v_deleted + v_count;
    exit when v_deleted >= p_limit;
    delete from public.batch_jobs where id = v_job_id;
    v_deleted := v_deleted + 1;
  end loop;
  return v_deleted;
end;
$$;
comment on function batches.prune_jobs(timestamptz, integer) is
  'Deletes the oldest batch jobs that are over, with their tasks and answers; returns how many rows of jobs and tasks.';

select scheduler.add_retention_rule('batches', 'batch_jobs', 730, what => 'how long batch jobs that are over stay, '
  'with their tasks and answers',
  prune_function => 'batches.prune_jobs');

-- What system-health looks at of the daily batch. It reads a bounded number of rows: those that are open, are due or
-- ended in the last 24 hours.

-- In steps: mostly the platform's date is marked, and then its organizations need not be read, which each scrape would
-- do.
create function batches.due_since(p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_date date := batches.date_at(v_platform, p_now);
  v_came_at timestamptz;
  v_due_since timestamptz := least(
    (select min(next_batch_at) from public.organizations where enabled and next_batch_at <= p_now),
    (select min(due_at) from batches.owed_dates where state = 'owed' and due_at <= p_now));
begin
  if batches.platform_has_had(v_date) then
    return v_due_since;
  end if;
  v_came_at := batches.comes_at(v_platform, v_date);
  return least(v_due_since, (
    select v_came_at where exists (
      select from public.organizations
      where enabled and next_batch_at is null and time_zone is null and daily_run_at is null and created_at < v_came_at
        and exists (select from public.prompts where organization_id = organizations.id and status = 'active'))));
end;
$$;
comment on function batches.due_since(timestamptz) is
  'Since when a batch is due that has not begun: of an organization with its own zone or hour, or of those that '
    'follow the platform; null: none is.';

create function batches.batches_health() returns jsonb
language sql stable set search_path = '' as $$
  with open as (
    select count(*) as jobs, min(created_at) as oldest from public.batch_jobs where completed_at is null
  ), stuck as (
    -- The reconciler comes every half hour.
    select count(*) as jobs
    from batches.stuck_jobs(1000, null, now()) as id join public.batch_jobs using (id)
    where greatest(coalesce(last_heartbeat, created_at), resumed_at) < now() - interval '35 minutes'
  ), ended as (
    select count(*) as jobs, coalesce(sum(tasks_total), 0)::bigint as tasks, coalesce(sum(tasks_failed),
      0)::bigint as failed
    from public.batch_jobs where completed_at > now() - interval '24 hours' and status <> 'cancelled'
  ), reasons as (
    select reason from public.batch_jobs, jsonb_each_text(reasons) as why (reason, tasks)
    where completed_at > now() - interval '24 hours' and status <> 'cancelled' and tasks_failed > 0
    group by reason order by sum(tasks::bigint) desc, reason
    limit 1
  ), down as (
    select count(*) as providers, string_agg(name, ', ' order by name) as names from public.batch_providers
    where enabled and open_until is not null and failures_in_row >= (batches.settings() ->> 'failures_to_open')::integer
  )
  select jsonb_build_object(
    'watched', (select count(*) from public.organizations where enabled),
    'figures', jsonb_build_object(
      'not_begun_seconds', coalesce(scheduler.seconds_since(batches.due_since(now())), 0),
      'failed_percent', scheduler.percent(ended.failed, ended.tasks, 5),
      'stuck_jobs', stuck.jobs,
      'oldest_open_seconds', scheduler.seconds_since(open.oldest),
      'providers_down', down.providers
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'open', open.jobs, 'ended', ended.jobs, 'tasks', ended.tasks, 'failed', ended.failed,
      'failed_mostly', (select left(reason, 200) from reasons), 'down', left(down.names, 200))),
    'notes', '[]'::jsonb
  )
  from open, stuck, ended, down;
$$;
comment on function batches.batches_health() is
  'Figures of the daily batch: how long one is due that has not begun, failed tasks and their most frequent reason, '
    'batch jobs that are stuck or open for long, providers that are down.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('batches', 'batches', 'Daily batch', 6, 'batches.batches_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  -- Its ticks come every 15 minutes.
  ('batches', 'not_begun_seconds', 'due and not begun', 'seconds', 'higher', 1200, 3600, null),
  ('batches', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 10, 50, 'failed_mostly'),
  ('batches', 'stuck_jobs', 'stuck batch jobs', 'count', 'higher', 1, 25, null),
  -- After six hours of waiting for a provider, tasks fail.
  ('batches', 'oldest_open_seconds', 'oldest open batch job', 'seconds', 'higher', 14400, 28800, null),
  ('batches', 'providers_down', 'providers down', 'count', 'higher', 1, null, 'down');

-- What a scrape shows of the daily batch.

create function batches.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with open as (
    select count(*) as jobs, min(created_at) as oldest from public.batch_jobs where completed_at is null
  ), ended as (
    select coalesce(sum(tasks_completed), 0) as completed, coalesce(sum(tasks_failed), 0) as failed
    from public.batch_jobs where completed_at > p_now - interval '24 hours' and status <> 'cancelled'
  )
  select json_build_array(
    scheduler.metric_group('{}',
      scheduler.metric('batch_not_begun_seconds', round(coalesce(extract(epoch from p_now - batches.due_since(p_now)),
        0), 3)),
      scheduler.metric('batch_jobs_open', open.jobs),
      scheduler.metric('batch_oldest_open_seconds',
        round(extract(epoch from greatest(p_now - coalesce(open.oldest, p_now), interval '0')), 3))),
    scheduler.metric_group('{"status": ["completed", "failed"]}',
      scheduler.metric('batch_tasks_by_status', json_build_array(ended.completed, ended.failed))),
    (select scheduler.metric_group(json_build_object('provider', json_agg(name)),
        scheduler.metric('batch_provider_failures_in_row', json_agg(failures_in_row)))
      from (select name, failures_in_row from public.batch_providers where enabled
        order by name limit 100) as providers))
  from open, ended;
$$;
comment on function batches.metrics(timestamptz) is
  'What a scrape shows of the daily batch: what is due, open, and ended in 24 hours, and the first 100 enabled '
    'providers.';

insert into scheduler.metric_sources (function_name, pack) values ('batches.metrics', 'batches');
insert into scheduler.metric_families (family, pack, type, help) values
  ('batch_not_begun_seconds', 'batches', 'gauge', 'How long a daily batch has been due that has not begun; 0 when '
    'none is.'),
  ('batch_jobs_open', 'batches', 'gauge', 'Batch jobs that are not over.'),
  ('batch_oldest_open_seconds', 'batches', 'gauge', 'How long the oldest of them has been open; 0 when there is none.'),
  ('batch_tasks_by_status', 'batches', 'gauge', 'Tasks of the batch jobs that ended in the last 24 hours, by how; '
    'cancelled jobs are left out.'),
  ('batch_provider_failures_in_row', 'batches', 'gauge', 'Calls of the provider that failed, or were told to wait, '
    'since it last answered; at batch_processor.failures_to_open its breaker opens.');

-- The jobs whose times follow from the settings daily_batch.…; the others are in schedules.json.

select batches.register_daily();
select batches.register_reconciler();

-- Only the owner uses the private schema. Each function in public has its own grants.
revoke all on all functions in schema batches from public, anon, authenticated, service_role;
revoke all on all tables in schema batches from public, anon, authenticated, service_role;
revoke all on all sequences in schema batches from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'daily-batch-trigger-zones',
  schedule => '*/15 * * * *',
  description => 'Begins the daily batch of the organizations with their own zone or hour, once each local day',
  target => 'daily-batch-trigger',
  payload => '{"zones":true}',
  run_if => 'batches.zoned_is_due'
);

select scheduler.register_job(
  name => 'robust-batch-processor',
  schedule => null,
  description => 'Sends the prompts of one batch to the model providers and keeps the answers',
  timeout_seconds => 390,
  overlap_policy => 'allow',
  parallel_limit => 20
);

select scheduler.register_job(
  name => 'weekly-suggestions',
  schedule => '40 * * * *',
  description => 'Suggests new prompts to each organization, once a week of its own',
  run_if => 'batches.suggestions_are_due'
);
