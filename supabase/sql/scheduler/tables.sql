-- The registry, the ledger, the locks and the state. Words: a job is a schedule in the registry, an occurrence
-- is a moment at which it should run, a run is one attempt at an occurrence.

-- What people pause, resume, limit and order together.
create table public.scheduler_groups (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  description text not null default '',
  parallel_limit integer check (parallel_limit between 1 and 1000),
  key_limit integer check (key_limit between 1 and 1000),
  place integer not null default 0,
  paused_at timestamptz check (isfinite(paused_at)),
  paused_until timestamptz check (isfinite(paused_until)),
  pause_reason text,
  paused_by text,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check ((paused_at is null) = (pause_reason is null) and (paused_at is null) = (paused_by is null))
);

comment on table public.scheduler_groups is
  'Groups of jobs: one row a group. Written by scheduler.register_group; a pause by pause_group and resume_group.';
comment on column public.scheduler_groups.parallel_limit is
  'How many runs of the group''s jobs may be under way at once; further ones wait. Null: any number.';
comment on column public.scheduler_groups.key_limit is
  'How many runs with the same key may be under way at once in the group. Null: any number.';
comment on column public.scheduler_groups.place is
  'Among jobs that do not depend on each other, those of the group with the lower place are resumed first.';

create table public.scheduler_jobs (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  description text not null default '',
  target text not null check (target ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' or target ~ '^https://[^\s/@]+(/\S*)?$'),
  function_name text generated always as (case when target like 'https://%' then null else target end) stored,
  schedule text,
  time_zone text not null default 'UTC',
  payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
  secret_name text not null default 'cron_secret',
  receipt text not null default 'function' check (receipt in ('function', 'response')),
  timeout_seconds integer not null default 120 check (timeout_seconds between 1 and 86400),
  max_attempts integer not null default 3 check (max_attempts between 1 and 20),
  backoff_base_seconds integer not null default 30 check (backoff_base_seconds between 1 and 86400),
  backoff_cap_seconds integer not null default 900 check (backoff_cap_seconds between 1 and 86400),
  overlap_policy text not null default 'skip' check (overlap_policy in ('skip', 'queue', 'allow')),
  misfire_policy text not null default 'once' check (misfire_policy in ('skip', 'once', 'all')),
  misfire_grace_seconds integer not null default 300 check (misfire_grace_seconds between 0 and 86400),
  misfire_cap integer not null default 24 check (misfire_cap between 1 and 1000),
  parallel_limit integer check (parallel_limit between 1 and 1000),
  run_if text,
  enabled boolean not null default true,
  paused_at timestamptz,
  paused_until timestamptz,
  pause_reason text,
  paused_by text,
  cron_entry text,
  next_run_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  group_name text references public.scheduler_groups (name),
  depends_on text[] not null default '{}',
  dependents text[] not null default '{}',
  dependency_timeout_seconds integer not null default 21600,
  on_dependency_timeout text not null default 'skip',
  on_dependency_failure text not null default 'skip',
  key_limit integer,
  priority integer not null default 0,
  priority_ages_after_seconds integer not null default 300,
  budgets jsonb not null default '{}',
  breaker_failures integer,
  breaker_cooldown_seconds integer not null default 300,
  continuous boolean not null default false,
  idle_seconds integer not null default 30,
  jitter_seconds integer not null default 0,
  calendars text[] not null default '{}',
  stopped_at timestamptz,
  stopped_until timestamptz,
  group_paused_at timestamptz,
  group_paused_until timestamptz,
  previous_run_at timestamptz,
  alias text,
  defer_if text,
  defer_at_most_seconds integer not null default 900,
  stretch_after integer,
  stretch_at_most_seconds integer,
  parallel_least integer,
  figures text[] not null default '{}',
  check ((paused_at is null) = (pause_reason is null) and (paused_at is null) = (paused_by is null)),
  check (parallel_limit is null or overlap_policy = 'allow'),
  check (schedule is not null or (run_if is null and cron_entry is null and next_run_at is null)),
  -- register_job looks at the values that it writes. Each check would cost each move of the cursor 15 µs.
  check (isfinite(next_run_at) and isfinite(paused_at) and isfinite(created_at) and isfinite(stopped_at)
    and isfinite(stopped_until) and isfinite(group_paused_at) and isfinite(group_paused_until)
    and isfinite(previous_run_at)),
  check (target not like 'https://%' or (receipt = 'response' and timeout_seconds <= 50))
);

create index scheduler_jobs_next_run_at_idx
  on public.scheduler_jobs (next_run_at) where enabled;
create index scheduler_jobs_function_name_idx on public.scheduler_jobs (function_name);
-- Only of jobs that have one: each move of the cursor would else write it.
create unique index scheduler_jobs_alias_key on public.scheduler_jobs (alias) where alias is not null;
create index scheduler_jobs_group_name_idx on public.scheduler_jobs (group_name) where group_name is not null;

comment on table public.scheduler_jobs is
  'The registry: one row a job. Written by scheduler.register_job, never by hand: pg_cron has to follow.';
comment on column public.scheduler_jobs.target is 'An edge function''s slug, or an absolute https URL.';
comment on column public.scheduler_jobs.schedule is
  'Five fields, a name such as @daily, or an interval such as 30 seconds; null: the job never runs by itself, only '
    'when it is enqueued or called.';
comment on column public.scheduler_jobs.receipt is
  'What proves that a run came to its end: the function''s own receipt, or (URLs) a 2xx response.';
comment on column public.scheduler_jobs.secret_name is
  'The Vault secret sent along: as x-cron-secret to a function, as a bearer token to a URL (none if Vault has no such '
    'name).';
comment on column public.scheduler_jobs.misfire_grace_seconds is
  'How late an occurrence may still start as if nothing had happened; later than this it is missed.';
comment on column public.scheduler_jobs.misfire_cap is
  'With misfire policy all: how many missed occurrences are caught up at the most, the newest ones.';
comment on column public.scheduler_jobs.parallel_limit is
  'With overlap policy allow: how many runs may be under way at once; further ones wait. Null: any number. With '
    'parallel_least the most of them.';
comment on column public.scheduler_jobs.run_if is
  'A function (timestamptz) returns boolean, asked for each due occurrence: when it says false there is nothing to '
    'do, and neither request nor row. Null: always.';
comment on column public.scheduler_jobs.cron_entry is
  'What pg_cron holds for this job: the smallest UTC expression that covers every occurrence; null without a schedule.';
comment on column public.scheduler_jobs.next_run_at is
  'The cursor: the first occurrence that is not in the ledger yet; null when none is to come.';
comment on column public.scheduler_jobs.depends_on is
  'Jobs whose newest occurrence at or before its own a run waits for. Without a schedule the job runs once for each '
    'of their occurrences; a continuous job is started and resumed after them, no more.';
comment on column public.scheduler_jobs.dependents is
  'The jobs that name this one in depends_on, kept by register_job and unregister_job.';
comment on column public.scheduler_jobs.on_dependency_failure is
  'What becomes of a run whose dependency failed for good, was skipped, missed or cancelled: skip or run.';
comment on column public.scheduler_jobs.key_limit is
  'How many runs with the same key may be under way at once; further ones wait. Null: any number.';
comment on column public.scheduler_jobs.priority is
  'Of its runs, unless they are enqueued with another one: the highest goes first.';
comment on column public.scheduler_jobs.priority_ages_after_seconds is
  'A waiting run counts a step of priority more for each such time that it has waited.';
comment on column public.scheduler_jobs.budgets is
  'Budgets and how many tokens of each must be free for a run to be sent: {budget: tokens}.';
comment on column public.scheduler_jobs.breaker_failures is
  'After so many failed runs in a row the job''s breaker opens. Null: it has none.';
comment on column public.scheduler_jobs.continuous is
  'Always exactly one run under way: as one ends, the next is sent.';
comment on column public.scheduler_jobs.idle_seconds is
  'Continuous: how long after a run with the result {"idle": true} the next one begins.';
comment on column public.scheduler_jobs.jitter_seconds is
  'Each occurrence is sent up to so much later, by a number that job and occurrence alone decide.';
comment on column public.scheduler_jobs.calendars is 'Calendars in whose spans the job does not run.';
comment on column public.scheduler_jobs.stopped_at is 'Since when an incident stops the job; null: none does.';
comment on column public.scheduler_jobs.stopped_until is
  'The incident is over: the job''s place on the ramp. Null: it lasts.';
comment on column public.scheduler_jobs.group_paused_at is 'Since when the job''s group is paused.';
comment on column public.scheduler_jobs.group_paused_until is 'Until when the job''s group is paused.';
comment on column public.scheduler_jobs.previous_run_at is
  'The occurrence before next_run_at, which is the start of its interval; null: not known yet.';
comment on column public.scheduler_jobs.alias is
  'Another name by which the API is asked for the job, and under which its health is shown.';
comment on column public.scheduler_jobs.defer_if is
  'A function (timestamptz) returns boolean, given the time at which it is asked: while it says true, what is due '
    'waits, up to defer_at_most_seconds. Null: nothing is put off.';
comment on column public.scheduler_jobs.defer_at_most_seconds is
  'How long after its own time a run is put off by defer_if at the most; then it runs whatever that says.';
comment on column public.scheduler_jobs.stretch_after is
  'After so many runs in a row with the result {"idle": true} the job is asked less often. Null: it never is.';
comment on column public.scheduler_jobs.stretch_at_most_seconds is
  'How long no occurrence of the job runs at the most because it found nothing.';
comment on column public.scheduler_jobs.parallel_least is
  'How many runs may be under way at once at the least: the number in force lies between it and parallel_limit, by '
    'what waits and how the target copes. Null: it is parallel_limit.';
comment on column public.scheduler_jobs.figures is
  'Numbers of its results that are kept by day and forecast: names of fields, as {"rows": 12} has.';

-- What a run can come to. The sentences are what explain() says and what the runbook explains.
create table scheduler.verdicts (
  verdict text primary key,
  meaning text not null,
  remedy text not null,
  url_remedy text
);

comment on table scheduler.verdicts is
  'Every verdict three witnesses (pg_cron, pg_net, the function''s receipt) can add up to, with what to do.';
comment on column scheduler.verdicts.url_remedy is
  'What to do where the target is a URL, which is somebody else''s server; null where remedy fits it too.';

insert into scheduler.verdicts (verdict, meaning, remedy, url_remedy) values
  ('ok', 'it ran to its end', 'nothing', null),
  ('ok_unanswered', 'it ran to its end, though pg_net has no answer for its request', 'nothing; many of these mean '
    'that pg_net times out or was restarted', null),
  ('ok_contradicted', 'it ran to its end, though the HTTP answer was an error', 'look at the function''s log: the '
    'platform cut the response after the work had begun', null),
  ('job_error', 'the job itself failed', 'read error_message and error_detail, and mend the job', null),
  ('bad_input', 'the target refused the payload', 'compare the payload with the job''s input; register the job again '
    'with a right one', 'compare the payload with what that server takes; register the job again with a right one'),
  ('unauthorized', 'the target refused the secret', 'make CRON_SECRET of the function and cron_secret in Vault the '
    'same', 'put the token that the server takes into Vault, under the name that secret_name of the job gives'),
  ('not_found', 'there is nothing at the target', 'deploy the function: supabase functions deploy', 'look at the path '
    'of the URL; register the job again with a right one'),
  ('boot_error', 'the target did not start or is not available', 'look at the function''s boot log: a failing import '
    'or missing variable', 'the server says that it is not available; ask those who run it'),
  ('worker_limit', 'the platform stopped the target at a resource limit', 'do less in a run, or move set-based work '
    'into SQL', 'ask those who run the server: it answered 546'),
  ('gateway_timeout', 'the gateway gave up waiting and no receipt came', 'look at the function''s log at that '
    'time', 'ask those who run the server: its gateway gave up waiting'),
  ('rate_limited', 'the target refused the request because there were too many', 'spread the schedules', 'ask the '
    'server less often'),
  ('http_error', 'the answer was an HTTP error', 'look at response_status and the function''s log', 'look at '
    'response_status, and ask those who run the server'),
  ('unreachable', 'the request could not be delivered', 'check project_url in Vault and the network; response_error '
    'has the reason', 'check the host of the URL; response_error has the reason'),
  ('misconfigured', 'the request could not be made', 'put what error_message names into Vault', null),
  ('not_sent', 'the request still waits in pg_net''s queue', 'pg_net stands still: select net.worker_restart()', null),
  ('lost', 'the request was handed to pg_net, and no answer and no receipt ever came', 'nothing if it was retried; '
    'else look for a crash of the database or the functions at that time', 'nothing if it was retried; else look for '
    'a crash of the database at that time'),
  ('no_receipt', 'somebody answered with success, but the job never reported that it began', 'is the target served by '
    'serveJob()? Register other targets with receipt => ''response''', null),
  ('stalled', 'the job began and its heartbeat stopped', 'the process died: memory, CPU or a restart; look at the '
    'function''s log', null),
  ('timed_out', 'the job was still at work at its deadline', 'raise timeout_seconds, or let the job stop in time and '
    'carry on in the next run', 'raise timeout_seconds (at most 50 for a URL), or ask for less in a run'),
  ('interrupted', 'the platform shut the function down while the job was at work', 'nothing if it was retried; the '
    'wall clock may be too short for it', null),
  ('deferred', 'it waits for tokens of a budget, and goes on in a run of its own', 'nothing; many of these mean that '
    'the budget is too small for the work', null),
  ('skipped', 'it was skipped on purpose', 'skip_reason says why', null),
  ('missed', 'nothing fired it at its time', 'was the database down, or does pg_cron stand still? See the runbook',
    null),
  ('dispatch_failed', 'pg_cron fired it, but the dispatch failed', 'read error_message, or return_message in '
    'cron.job_run_details of that minute', null),
  ('cancelled', 'an operator or a change of the registry ended it', 'error_message says who and why', null);

create table public.scheduler_runs (
  id uuid primary key default gen_random_uuid(),
  job_name text not null,
  function_name text,
  status text not null
    check (status in ('queued', 'dispatched', 'running', 'completed', 'failed', 'deferred', 'skipped', 'missed',
      'cancelled')),
  trigger text not null check (trigger in ('cron', 'manual', 'retry', 'catch_up', 'enqueued', 'dependency', 'backfill',
    'continuous', 'deferred')),
  scheduled_for timestamptz not null,
  scheduled_until timestamptz,
  occurrences integer not null default 1 check (occurrences >= 1),
  attempt integer not null default 1 check (attempt >= 1),
  max_attempts integer not null default 1,
  timeout_seconds integer not null default 120,
  payload jsonb not null default '{}',
  key text check (length(key) <= 200 and key ~ '\S'),
  receipt text not null default 'function' check (receipt in ('function', 'response')),
  run_after timestamptz,
  dispatched_at timestamptz,
  request_id bigint,
  answered_at timestamptz,
  response_status integer,
  response_error text,
  started_at timestamptz,
  heartbeat_at timestamptz,
  completed_at timestamptz,
  duration_ms integer,
  progress jsonb,
  result jsonb,
  error_message text,
  error_detail jsonb,
  verdict text references scheduler.verdicts (verdict),
  skip_kind text check (skip_kind in (
    'paused', 'overlap', 'queue_full', 'superseded', 'misfire_once', 'misfire_all', 'misfire_skip', 'incident',
    'group_paused', 'calendar', 'dependency', 'breaker')),
  skip_reason text,
  created_at timestamptz not null default now(),
  waiting jsonb,
  priority integer not null default 0,
  turn bigint not null default 0,
  failures integer not null default 0,
  interval_from timestamptz,
  stands_for uuid,
  check ((status in ('queued', 'dispatched', 'running')) = (completed_at is null)),
  check ((completed_at is null) = (verdict is null)),
  check ((skip_kind is null) = (skip_reason is null)),
  check ((occurrences = 1) = (scheduled_until is null)),
  -- No clock shows infinity, and reckoning with it raises.
  check (isfinite(scheduled_for) and isfinite(scheduled_until) and isfinite(run_after) and isfinite(dispatched_at)
    and isfinite(answered_at) and isfinite(started_at) and isfinite(heartbeat_at) and isfinite(completed_at)
    and isfinite(created_at) and isfinite(interval_from))
) with (fillfactor = 80);

-- Scheduled work has one row an attempt, whoever dispatches it and however often. A person may call any time. It holds
-- what a picture of a day counts: reading the rows for that takes five times as long.
create unique index scheduler_runs_occurrence_key
  on public.scheduler_runs (job_name, scheduled_for, attempt) include (status, occurrences) where trigger <> 'manual';
create index scheduler_runs_manual_idx on public.scheduler_runs (job_name, created_at) where trigger = 'manual';
create index scheduler_runs_job_name_created_at_idx on public.scheduler_runs (job_name, created_at);
-- The newest rows of all jobs, page by page.
create index scheduler_runs_created_at_idx on public.scheduler_runs (created_at);
create index scheduler_runs_status_completed_at_idx on public.scheduler_runs (status, completed_at);
-- The few rows that are alive: what pulse looks at every minute, however long the ledger.
create index scheduler_runs_active_idx
  on public.scheduler_runs (job_name, scheduled_for, attempt) where status in ('queued', 'dispatched', 'running');
-- How many are under way, where thousands wait behind a parallel limit.
create index scheduler_runs_under_way_idx
  on public.scheduler_runs (job_name) where status in ('dispatched', 'running');
-- What is still broken, job by job.
create index scheduler_runs_broken_idx
  on public.scheduler_runs (job_name, completed_at) where status in ('failed', 'missed');
-- The few rows that stand for many occurrences.
create index scheduler_runs_gap_idx
  on public.scheduler_runs (job_name, scheduled_until) where occurrences > 1;
-- What waits or is under way for one thing, where thousands wait.
create index scheduler_runs_key_idx
  on public.scheduler_runs (key, job_name) where completed_at is null and key is not null;
-- Where the turns of a key end.
create index scheduler_runs_turn_idx
  on public.scheduler_runs (job_name, key, turn) where completed_at is null and key is not null;
-- What goes as soon as its job may, in the order in which it goes.
create index scheduler_runs_next_idx
  on public.scheduler_runs (job_name, priority desc, turn, scheduled_for, attempt)
  where status = 'queued' and run_after is null;
-- What waits for a run with its key to end.
create index scheduler_runs_waits_for_key_idx
  on public.scheduler_runs (key, job_name, priority desc, turn, scheduled_for)
  where status = 'queued' and waiting ->> 'for' = 'key';
-- What is to be looked at at a time: of all jobs, and of one.
create index scheduler_runs_run_after_idx
  on public.scheduler_runs (run_after) where status = 'queued' and run_after is not null;
create index scheduler_runs_job_name_run_after_idx
  on public.scheduler_runs (job_name, run_after) where status = 'queued' and run_after is not null;
create index scheduler_runs_unanswered_idx
  on public.scheduler_runs (request_id) where request_id is not null and answered_at is null;

comment on table public.scheduler_runs is
  'The ledger: one row a run (an attempt at an occurrence), with what three witnesses say of it.';
comment on column public.scheduler_runs.scheduled_for is
  'The occurrence; for a manual run the moment of the call; for a gap its first occurrence.';
comment on column public.scheduler_runs.occurrences is
  'How many occurrences the row stands for: 1, or, after a long outage, all from scheduled_for to scheduled_until.';
comment on column public.scheduler_runs.scheduled_until is
  'The last occurrence of a row that stands for many; else null.';
comment on column public.scheduler_runs.skip_kind is
  'Why it did not run, for programs; skip_reason says it for people.';
comment on column public.scheduler_runs.key is
  'What the run is about, as the one who enqueued it named it; its retries have it too.';
comment on column public.scheduler_runs.run_after is
  'While queued: when it is looked at at the latest (its retry, its jitter, tokens; the end of waiting for a '
    'dependency). Null: it goes as soon as its job may.';
comment on column public.scheduler_runs.waiting is
  'While queued: what it waits for, {"for", "name", "since", "until"}: incident, paused, group_paused, calendar, '
    'dependency, breaker, defer_if, group, key, budget, parallel_limit, lock, retry, jitter, idle.';
comment on column public.scheduler_runs.priority is 'The highest goes first; waiting raises it.';
comment on column public.scheduler_runs.turn is
  'Its place among the runs of all keys that wait: the first run of each key comes before the second of any.';
comment on column public.scheduler_runs.failures is
  'Failed attempts before this one; of a continuous job, failed runs in a row.';
comment on column public.scheduler_runs.interval_from is
  'The occurrence before its own: the run stands for the time from it to scheduled_for. Null: there is none before.';
comment on column public.scheduler_runs.stands_for is 'Of a run skipped for overlap: the run that was under way.';
comment on column public.scheduler_runs.request_id is
  'pg_net''s id. Ids start at 1 again after a crash: it means nothing without dispatched_at.';
comment on column public.scheduler_runs.verdict is 'What it came to; scheduler.verdicts says it in words.';

create table public.scheduler_locks (
  name text primary key,
  run_id uuid not null unique references public.scheduler_runs (id) on delete cascade,
  holder text not null,
  acquired_at timestamptz not null,
  expires_at timestamptz not null
);

comment on table public.scheduler_locks is
  'One row a held lock. Jobs with overlap policy skip or queue hold one named like the job from dispatch to end.';

create table public.scheduler_state (
  scope text primary key,
  last_daily_run_key text not null,
  updated_at timestamptz not null default now()
) with (fillfactor = 50);

comment on table public.scheduler_state is
  'Which local day each scope last ran for, global where none is named; see try_mark_daily_run.';

create table scheduler.pulse_state (
  only_row boolean primary key default true check (only_row),
  last_pulse_at timestamptz,
  last_mended_at timestamptz,
  last_pruned_at timestamptz,
  resume_after text,
  cron_log_read_to bigint not null default 0,
  errors jsonb not null default '{}',
  last_looked_at timestamptz,
  queue_still_since timestamptz,
  last_rolled_up_at timestamptz,
  forecasts_left boolean not null default false
);

comment on table scheduler.pulse_state is
  'One row: when the pulse last beat, mended pg_cron''s entries and pruned, and what failed in it ({job or step: '
    'message}).';
comment on column scheduler.pulse_state.resume_after is
  'The job at which the last pulse ran out of time; the next goes on behind it. Null: it came through.';
comment on column scheduler.pulse_state.cron_log_read_to is
  'The run id of cron.job_run_details at which pruning goes on; 0: at the oldest row.';
comment on column scheduler.pulse_state.last_looked_at is 'When the rules of alerts were last looked at.';
comment on column scheduler.pulse_state.queue_still_since is
  'Since when pg_net''s queue has held requests without an answer to any; null: it does not stand still.';
comment on column scheduler.pulse_state.last_rolled_up_at is
  'When the counters of all jobs were last copied to rollups.';
comment on column scheduler.pulse_state.forecasts_left is
  'Whether the last pulse that made forecasts had no time for all.';
insert into scheduler.pulse_state default values;

-- Unlogged on purpose: a crash empties it together with pg_net's tables, which is how the crash is noticed.
create unlogged table scheduler.request_epoch (
  only_row boolean primary key default true check (only_row),
  queue oid not null,
  since timestamptz not null
);

comment on table scheduler.request_epoch is
  'One row: since when pg_net''s request ids count up without a break. Requests from before have no answer to come.';
comment on column scheduler.request_epoch.queue is
  'The table net.http_request_queue of that time: another one when pg_net was dropped and created, which restarts its '
    'ids.';
insert into scheduler.request_epoch (queue, since) values ('net.http_request_queue'::regclass, '-infinity');

alter table public.scheduler_groups enable row level security;
alter table public.scheduler_jobs enable row level security;
alter table public.scheduler_runs enable row level security;
alter table public.scheduler_locks enable row level security;
alter table public.scheduler_state enable row level security;
alter table scheduler.verdicts enable row level security;
alter table scheduler.pulse_state enable row level security;
alter table scheduler.request_epoch enable row level security;

revoke all on public.scheduler_groups, public.scheduler_jobs, public.scheduler_runs, public.scheduler_locks,
  public.scheduler_state from public, anon, authenticated, service_role;
-- Reading is for dashboards and jobs that report; every change goes through the state machine.
grant select on public.scheduler_groups, public.scheduler_jobs, public.scheduler_runs, public.scheduler_locks,
  public.scheduler_state to service_role;
