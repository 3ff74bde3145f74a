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
