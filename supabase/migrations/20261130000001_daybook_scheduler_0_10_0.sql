-- Daybook 0.10.0, pack scheduler. Made of supabase/sql/scheduler: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'scheduler';
  v_schemas constant text[] := array['scheduler'];
  v_relations constant text[] := array[
    'scheduler_activity', 'scheduler_health_history', 'scheduler_jobs',
    'scheduler_locks', 'scheduler_runs', 'scheduler_settings', 'scheduler_state'];
  v_functions constant text[] := array[
    'prometheus_metrics', 'scheduler_begin_manual_run',
    'scheduler_begin_pruning', 'scheduler_begin_run', 'scheduler_finish_run',
    'scheduler_health_components', 'scheduler_heartbeat_run',
    'scheduler_log_activity', 'scheduler_prune_old_rows',
    'scheduler_read_health', 'scheduler_record_health', 'try_mark_daily_run'];
  v_jobs constant text[] := array['prune-old-rows', 'system-health', 'scheduler-pulse'];
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

-- The extensions that Daybook needs: pg_cron fires, pg_net sends, Vault keeps the secrets.
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;
create extension if not exists supabase_vault with schema vault;

create schema scheduler;
revoke all on schema scheduler from public, anon, authenticated, service_role;
comment on schema scheduler is
  'The machine behind scheduler_runs. Not exposed through REST; an operator calls its verbs in the SQL console.';

create function scheduler.version() returns text
language sql immutable set search_path = '' as $$ select '0.10.0' $$;
comment on function scheduler.version() is 'The version of Daybook that this database has.';

-- The registry, the ledger, the locks and the state. Words: a job is a schedule in the registry, an occurrence
-- is a moment at which it should run, a run is one attempt at an occurrence.

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
  check ((paused_at is null) = (pause_reason is null) and (paused_at is null) = (paused_by is null)),
  check (parallel_limit is null or overlap_policy = 'allow'),
  check (schedule is not null or (run_if is null and cron_entry is null and next_run_at is null)),
  check (isfinite(next_run_at) and isfinite(paused_at) and isfinite(created_at)),
  check (target not like 'https://%' or (receipt = 'response' and timeout_seconds <= 50))
);

create index scheduler_jobs_next_run_at_idx
  on public.scheduler_jobs (next_run_at) where enabled;
create index scheduler_jobs_function_name_idx on public.scheduler_jobs (function_name);

comment on table public.scheduler_jobs is
  'The registry: one row a job. Written by scheduler.register_job, never by hand: pg_cron has to follow.';
comment on column public.scheduler_jobs.target is 'An edge function''s slug, or an absolute https URL.';
comment on column public.scheduler_jobs.schedule is
  'Five fields; null: the job never runs by itself, only when it is enqueued or called.';
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
  'With overlap policy allow: how many runs may be under way at once; further ones wait. Null: any number.';
comment on column public.scheduler_jobs.run_if is
  'A function (timestamptz) returns boolean, asked for each due occurrence: when it says false there is nothing to '
    'do, and neither request nor row. Null: always.';
comment on column public.scheduler_jobs.cron_entry is
  'What pg_cron holds for this job: the smallest UTC expression that covers every occurrence; null without a schedule.';
comment on column public.scheduler_jobs.next_run_at is
  'The cursor: the first occurrence that is not in the ledger yet; null when none is to come.';

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
    check (status in ('queued', 'dispatched', 'running', 'completed', 'failed', 'skipped', 'missed', 'cancelled')),
  trigger text not null check (trigger in ('cron', 'manual', 'retry', 'catch_up', 'enqueued')),
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
    'paused', 'overlap', 'queue_full', 'superseded', 'misfire_once', 'misfire_all', 'misfire_skip')),
  skip_reason text,
  created_at timestamptz not null default now(),
  check ((status in ('queued', 'dispatched', 'running')) = (completed_at is null)),
  check ((completed_at is null) = (verdict is null)),
  check ((skip_kind is null) = (skip_reason is null)),
  check ((occurrences = 1) = (scheduled_until is null)),
  -- No clock shows infinity, and reckoning with it raises.
  check (isfinite(scheduled_for) and isfinite(scheduled_until) and isfinite(run_after) and isfinite(dispatched_at)
    and isfinite(answered_at) and isfinite(started_at) and isfinite(heartbeat_at) and isfinite(completed_at)
    and isfinite(created_at))
) with (fillfactor = 80);

-- Scheduled work has one row an attempt, whoever dispatches it and however often. A person may call any time.
create unique index scheduler_runs_occurrence_key
  on public.scheduler_runs (job_name, scheduled_for, attempt) where trigger <> 'manual';
create index scheduler_runs_job_name_created_at_idx on public.scheduler_runs (job_name, created_at);
create index scheduler_runs_status_completed_at_idx on public.scheduler_runs (status, completed_at);
-- The few rows that are alive: what pulse looks at every minute, however long the ledger.
create index scheduler_runs_active_idx
  on public.scheduler_runs (job_name, scheduled_for, attempt) where status in ('queued', 'dispatched', 'running');
-- How many are under way, where thousands wait behind a parallel limit.
create index scheduler_runs_under_way_idx
  on public.scheduler_runs (job_name) where status in ('dispatched', 'running');
-- The few rows that stand for many occurrences.
create index scheduler_runs_gap_idx
  on public.scheduler_runs (job_name, scheduled_until) where occurrences > 1;
-- What waits or is under way for one thing, where thousands wait.
create index scheduler_runs_key_idx
  on public.scheduler_runs (key, job_name) where completed_at is null and key is not null;
create index scheduler_runs_unanswered_idx
  on public.scheduler_runs (request_id) where request_id is not null and answered_at is null;

comment on table public.scheduler_runs is
  'The ledger: one row a run (an attempt at an occurrence), with what three witnesses say of it.';
comment on column public.scheduler_runs.scheduled_for is
  'The occurrence; for a manual run the moment of the call; for a gap its first occurrence.';
comment on column public.scheduler_runs.occurrences is
  'How many occurrences the row stands for: 1, or, after a long outage, all from scheduled_for to scheduled_until.';
comment on column public.scheduler_runs.scheduled_until is 'The last occurrence of a row that stands for many; else '
  'null.';
comment on column public.scheduler_runs.skip_kind is 'Why it did not run, for programs; skip_reason says it for '
  'people.';
comment on column public.scheduler_runs.key is
  'What the run is about, as the one who enqueued it named it; its retries have it too.';
comment on column public.scheduler_runs.run_after is 'While queued: not before this (retries wait here).';
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

comment on table public.scheduler_state is 'Which local day each scope last ran for, global where none is named; see '
  'try_mark_daily_run.';

create table scheduler.pulse_state (
  only_row boolean primary key default true check (only_row),
  last_pulse_at timestamptz,
  last_mended_at timestamptz,
  last_pruned_at timestamptz,
  resume_after text,
  cron_log_read_to bigint not null default 0,
  errors jsonb not null default '{}'
);

comment on table scheduler.pulse_state is
  'One row: when the pulse last beat, mended pg_cron''s entries and pruned, and what failed in it ({job or step: '
    'message}).';
comment on column scheduler.pulse_state.resume_after is
  'The job at which the last pulse ran out of time; the next goes on behind it. Null: it came through.';
comment on column scheduler.pulse_state.cron_log_read_to is
  'The run id of cron.job_run_details at which pruning goes on; 0: at the oldest row.';
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

alter table public.scheduler_jobs enable row level security;
alter table public.scheduler_runs enable row level security;
alter table public.scheduler_locks enable row level security;
alter table public.scheduler_state enable row level security;
alter table scheduler.verdicts enable row level security;
alter table scheduler.pulse_state enable row level security;
alter table scheduler.request_epoch enable row level security;

revoke all on public.scheduler_jobs, public.scheduler_runs, public.scheduler_locks, public.scheduler_state
  from public, anon, authenticated, service_role;
-- Reading is for dashboards and jobs that report; every change goes through the state machine.
grant select on public.scheduler_jobs, public.scheduler_runs, public.scheduler_locks, public.scheduler_state
  to service_role;

-- Plain settings: one row a key, defined by the pack that reads it. Secrets are not among them: they are in Vault.

create table public.scheduler_settings (
  key text primary key check (key ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$'),
  value jsonb not null,
  default_value jsonb not null,
  type text not null default 'integer'
    check (type in ('integer', 'number', 'text', 'time', 'time_zone')),
  unit text,
  least numeric not null default 1 check (least > '-Infinity' and least < 'Infinity'),
  most numeric not null default 999999 check (most > '-Infinity' and most < 'Infinity'),
  optional boolean not null default false,
  description text not null,
  pack text not null,
  on_change text check (on_change ~ '^[a-z_]+\.[a-z0-9_]+$'),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check (least <= most)
);

comment on table public.scheduler_settings is
  'Plain settings, one row a key, each defined by the pack that reads it. To change one: update its value. To '
    'have the default again: set value = default_value.';
comment on column public.scheduler_settings.value is 'What holds now; default_value when a row is inserted without it.';
comment on column public.scheduler_settings.type is
  'integer and number lie from least to most; time is a local "HH:MM".';
comment on column public.scheduler_settings.optional is
  'Whether the value may be ''null'', JSON''s null. SQL''s null is refused.';
comment on column public.scheduler_settings.pack is 'The pack that reads it, and takes the row with it when it goes.';
comment on column public.scheduler_settings.on_change is
  'A function (jsonb), called once a statement with the values that its keys had before, {"<key>": value}: it refuses '
    'what cannot work together by raising, and makes follow what depends on them.';

alter table public.scheduler_settings enable row level security;
revoke all on public.scheduler_settings from public, anon, authenticated, service_role;
grant select on public.scheduler_settings to service_role;

-- It has no side effect, so a table of cases tests it.
create function scheduler.setting_fault(p_setting public.scheduler_settings) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_value constant jsonb := p_setting.value;
  v_text constant text := v_value #>> '{}';
  v_or_null constant text := case when p_setting.optional then ', or null' else '' end;
begin
  if p_setting.optional and v_value = 'null' then
    return null;
  end if;
  if p_setting.type = 'time_zone' and jsonb_typeof(v_value) = 'string' then
    perform scheduler.assert_time_zone(v_text);
    return null;
  end if;
  return case
    when p_setting.type = 'integer' then case
      when jsonb_typeof(v_value) <> 'number' or v_text !~ '^-?[0-9]{1,15}$'
        or v_text::numeric not between p_setting.least and p_setting.most
        then format('must be a whole number from %s to %s', p_setting.least, p_setting.most) || v_or_null end
    when p_setting.type = 'number' then case
      when jsonb_typeof(v_value) <> 'number' or v_text::numeric not between p_setting.least and p_setting.most
        then format('must be a number from %s to %s', p_setting.least, p_setting.most) || v_or_null end
    when p_setting.type = 'time' then case
      when jsonb_typeof(v_value) <> 'string' or v_text !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        then 'must be a local time "HH:MM" from "00:00" to "23:59"' || v_or_null end
    when jsonb_typeof(v_value) <> 'string' or v_text !~ '\S' then 'must be a text' || v_or_null
  end;
end;
$$;
comment on function scheduler.setting_fault(public.scheduler_settings) is
  'What is wrong with a setting''s value, as the end of "the value …"; null when nothing is. Raises 22023 for a time '
    'zone that there is not.';

-- A wrong value is refused when it is written; otherwise a job would find it at night.
create function scheduler.check_setting() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_fault text;
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.key <> old.key) then
    if current_setting('daybook.removed_pack', true) = old.pack then
      return old;
    end if;
    raise exception using errcode = '22023',
      message = format('cannot remove the setting %s: the pack %s needs it', old.key, old.pack),
      hint = 'update its value instead; for the default, set value = default_value';
  end if;
  if tg_op = 'INSERT' then
    new.value := coalesce(new.value, new.default_value);
  elsif new.value is null then
    -- It could mean 'null' or the default. The wrong guess would let prune-old-rows delete what was to be kept.
    raise exception using errcode = '22023',
      message = format('cannot set %s: SQL''s null is no value', new.key),
      hint = case when new.optional then format('set value = ''null'' (%s), or ', new.description) else '' end
        || format('set value = default_value, which is %s', new.default_value);
  end if;
  v_fault := scheduler.setting_fault(new);
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot set %s: the value %s, got %s', new.key, v_fault, left(new.value::text, 100));
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function scheduler.check_setting() is
  'Trigger: refuses values that a setting''s definition does not allow, and to remove one unless its pack goes.';

create function scheduler.follow_settings() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_changed record;
begin
  for v_changed in
    select after.on_change, jsonb_object_agg(before.key, before.value) as values_before
    from settings_before as before join settings_after as after using (key)
    where after.on_change is not null and after.value <> before.value
    group by after.on_change order by after.on_change
  loop
    execute format('select %s($1)', v_changed.on_change) using v_changed.values_before;
  end loop;
  return null;
end;
$$;
comment on function scheduler.follow_settings() is 'Trigger: tells the packs which of their settings a statement has '
  'changed, see on_change.';

create function scheduler.keep_settings() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = '22023', message = 'cannot empty scheduler_settings: the scheduler needs its '
    'settings';
end;
$$;
comment on function scheduler.keep_settings() is 'Trigger: refuses to lose all settings at once.';

create trigger check_setting before insert or update or delete on public.scheduler_settings
  for each row execute function scheduler.check_setting();
create trigger follow_settings after update on public.scheduler_settings
  referencing old table as settings_before new table as settings_after
  for each statement execute function scheduler.follow_settings();
create trigger keep_settings before truncate on public.scheduler_settings
  for each statement execute function scheduler.keep_settings();

-- In plpgsql, which keeps its plan: it is asked several times for each run.
create function scheduler.setting_value(p_key text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_value jsonb;
begin
  select value into v_value from public.scheduler_settings where key = p_key;
  if not found then
    raise exception using errcode = 'SD003', message = format('there is no setting %s', coalesce(p_key, 'null')),
      hint = 'select key, description from public.scheduler_settings';
  end if;
  return v_value;
end;
$$;
comment on function scheduler.setting_value(text) is 'The value of a setting. Raises SD003 when there is no such key.';

create function scheduler.setting(p_key text) returns integer
language plpgsql stable set search_path = '' as $$
declare
  v_value integer;
begin
  select (value #>> '{}')::integer into v_value from public.scheduler_settings where key = p_key;
  if not found then
    perform scheduler.setting_value(p_key);
  end if;
  return v_value;
end;
$$;
comment on function scheduler.setting(text) is
  'The value of a setting of type integer; the unit is in the key. Null where an optional one is null. Raises SD003 '
    'when there is no such key.';

create function scheduler.check_heartbeat_settings(p_before jsonb) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_timeout constant integer := scheduler.setting('scheduler.heartbeat_timeout_seconds');
  v_heartbeat constant integer := scheduler.setting('scheduler.heartbeat_seconds');
begin
  if p_before is not null and v_timeout < 2 * v_heartbeat then
    raise exception using errcode = '22023',
      message = format('cannot set the heartbeat: heartbeat_timeout_seconds must be at least twice heartbeat_seconds, '
        'got %s and %s',
        v_timeout, v_heartbeat),
      hint = 'set both in one statement';
  end if;
end;
$$;
comment on function scheduler.check_heartbeat_settings(jsonb) is 'Refuses a heartbeat that could not arrive in its '
  'time.';

insert into public.scheduler_settings (pack, key, default_value, unit, on_change, description) values
  ('scheduler', 'scheduler.request_timeout_ms', '5000', 'ms', null, 'how long pg_net waits for the answer of an edge '
    'function'),
  ('scheduler', 'scheduler.receipt_timeout_seconds', '60', 's', null, 'a dispatched run that has not begun after this '
    'is lost'),
  ('scheduler', 'scheduler.heartbeat_seconds', '10', 's', 'scheduler.check_heartbeat_settings', 'how often a running '
    'job reports'),
  ('scheduler', 'scheduler.heartbeat_timeout_seconds', '60', 's', 'scheduler.check_heartbeat_settings', 'a running '
    'job that has not reported for this long has stalled'),
  ('scheduler', 'scheduler.deadline_grace_seconds', '15', 's', null, 'how long after its deadline a run may still '
    'deliver its receipt'),
  ('scheduler', 'scheduler.keep_successes_days', '14', 'days', null, 'how long completed and skipped runs stay in the '
    'ledger'),
  ('scheduler', 'scheduler.keep_failures_days', '90', 'days', null, 'how long failed, missed and cancelled runs stay '
    'in the ledger'),
  ('scheduler', 'scheduler.keep_cron_successes_days', '3', 'days', null, 'how long succeeded rows stay in '
    'cron.job_run_details'),
  ('scheduler', 'scheduler.keep_cron_failures_days', '7', 'days', null, 'how long failed rows stay in '
    'cron.job_run_details');

-- Reads a five-field schedule.

-- Every field's values are listed, ascending; Sunday is 0. `days_must_both_match` is cron's rule for the two day
-- fields: where one of them begins with * a date must match both, else matching either is enough.
create type scheduler.parsed_schedule as (
  minutes integer[],
  hours integer[],
  days_of_month integer[],
  months integer[],
  days_of_week integer[],
  days_must_both_match boolean,
  follows_real_clock boolean
);
comment on type scheduler.parsed_schedule is
  'A five-field schedule, each field as its ascending values (days_of_week 0 to 6, Sunday is 0). '
    'days_must_both_match: a date must match both day fields, not either. follows_real_clock: the hour field covers '
    'all 24 hours, so the clock''s changes are followed, not corrected.';

create type scheduler.schedule_field as (name text, first integer, last integer, value_names text[]);
create type scheduler.schedule_part as (values integer[], problem text, hint text);
comment on type scheduler.schedule_field is
  'A field of a schedule: its name, its range, and the names of its values from the first on (null: it has none).';
comment on type scheduler.schedule_part is
  'One element of a field''s list as it was read: its values, or the problem and a hint.';

create function scheduler.field_value(p_field scheduler.schedule_field, p_text text) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_value constant integer := case when p_text ~ '^[0-9]{1,6}$' then p_text::integer
    else array_position(p_field.value_names, p_text) - 1 + p_field.first end;
begin
  return case when v_value between p_field.first and p_field.last then v_value end;
end;
$$;
comment on function scheduler.field_value(scheduler.schedule_field, text) is
  'The value that a number or a name in lower case stands for; null where the field has none such.';

create function scheduler.parse_field_part(p_field scheduler.schedule_field, p_typed text)
returns scheduler.schedule_part
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  -- The C collation: Turkish lowers I to another letter.
  v_text constant text collate "C" := lower(p_typed collate "C");
  -- In the pieces: 1 a star, a value or a range; 2 its first value; 4 its last; 6 the step.
  v_pieces constant text[] := regexp_match(v_text, '^(\*|([a-z]+|[0-9]+)(-([a-z]+|[0-9]+))?)(/([0-9]+))?$');
  v_is_range constant boolean := v_pieces[1] = '*' or v_pieces[4] is not null;
  v_first constant integer := case when v_pieces[1] = '*' then p_field.first
    else scheduler.field_value(p_field, v_pieces[2]) end;
  -- At the end of a range, sun is the 7 after Saturday.
  v_last constant integer := case when v_pieces[1] = '*' then p_field.last
    when v_pieces[4] = 'sun' and v_first > 0 and p_field.name = 'day of week' then 7
    when v_is_range then scheduler.field_value(p_field, v_pieces[4]) else v_first end;
  v_step constant integer := case when v_pieces[6] is null then 1
    when length(v_pieces[6]) <= 6 then v_pieces[6]::integer end;
  v_part scheduler.schedule_part;
begin
  if v_text ~ '[?$#]|^(l|w|lw|l-[0-9]+|[0-9]+[lw]|(sun|mon|tue|wed|thu|fri|sat)l)$' then
    v_part.problem := format('the %s "%s" uses a sign that is not supported', p_field.name, p_typed);
    v_part.hint := 'L, W, #, ? and $ are other schedulers'' signs; cron knows numbers, names, * , - and / alone';
  elsif v_pieces is null or v_first is null or v_last is null then
    v_part.problem := format('the %s must be %s to %s, got ', p_field.name, p_field.first, p_field.last)
      || case when v_pieces is null or v_pieces[1] = v_pieces[2] and v_pieces[6] is null then format('"%s"', p_typed)
        else format('"%s" in "%s"', case when v_first is null then v_pieces[2] else v_pieces[4] end, p_typed) end;
  elsif v_pieces[6] is not null and not v_is_range then
    v_part.problem := format('the %s "%s" has a step without a range', p_field.name, p_typed);
    v_part.hint := format('write %s-%s/%s', v_pieces[2], p_field.last, v_pieces[6]);
  elsif v_step is null or v_step not between 1 and p_field.last then
    v_part.problem := format('the %s''s step must be 1 to %s, got "%s" in "%s"', p_field.name, p_field.last,
      v_pieces[6], p_typed);
    v_part.hint := format('a step counts within the field, %s to %s; it does not carry on into the next hour, day or '
      'month', p_field.first, p_field.last);
  elsif v_first > v_last then
    v_part.problem := format('the %s "%s" is a range that runs backwards', p_field.name, p_typed);
    v_part.hint := case when v_pieces[6] is null
      then format('write it as two: %s-%s,%s-%s', v_pieces[2], p_field.last - (p_field.name = 'day of week')::integer,
        case when v_pieces[4] ~ '^[a-z]' then p_field.value_names[1] else p_field.first::text end, v_pieces[4])
      else 'begin the range with its smaller end' end;
  else
    v_part.values := array(select generate_series(v_first, v_last, v_step));
  end if;
  return v_part;
end;
$$;
comment on function scheduler.parse_field_part(scheduler.schedule_field, text) is
  'One element of a field''s list, such as 5, mon-fri or */15: its values (7 for a Sunday after Saturday), or the '
    'problem and, where one is known, a hint.';

create function scheduler.parse_schedule_field(p_schedule text, p_field scheduler.schedule_field, p_text text)
returns integer[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_typed text;
  v_part scheduler.schedule_part;
  v_values integer[] := array[]::integer[];
begin
  if p_text = '*' then
    return array(select generate_series(p_field.first, p_field.last - (p_field.name = 'day of week')::integer));
  end if;
  foreach v_typed in array string_to_array(p_text, ',') loop
    v_part := scheduler.parse_field_part(p_field, v_typed);
    if v_typed = '' then
      v_part.problem := format('the %s "%s" has an empty place in its list', p_field.name, p_text);
    end if;
    if v_part.problem is not null then
      raise exception using errcode = '22023',
        message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_part.problem, 300)),
        hint = left(coalesce(v_part.hint, format(
          'the %s is %s to %s%s; lists 1,2, ranges 1-5 and steps */2 or 1-5/2 can be used',
          p_field.name, p_field.first, p_field.last, ' or ' || p_field.value_names[1] || ' to '
            || p_field.value_names[cardinality(p_field.value_names)])), 300);
    end if;
    v_values := v_values || v_part.values;
  end loop;
  return array(
    select distinct case when p_field.name = 'day of week' then value % 7 else value end as listed
    from unnest(v_values) as value order by listed);
end;
$$;
comment on function scheduler.parse_schedule_field(text, scheduler.schedule_field, text) is
  'The ascending values of one field of a schedule. Raises 22023 which quotes the bad part, names the field and gives '
    'its range.';

create function scheduler.parse_schedule(p_schedule text) returns scheduler.parsed_schedule
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_text text collate "C" := btrim(p_schedule collate "C", E' \t\r\n');
  v_fields text[] := regexp_split_to_array(v_text, '[ \t\r\n]+');
  v_parsed scheduler.parsed_schedule;
  v_problem text;
  v_hint text;
begin
  if v_text is null or v_text = '' then
    v_problem := 'it is empty';
  elsif length(v_text) > 1000 then
    v_problem := format('it must be at most 1000 characters, got %s', length(v_text));
  elsif v_text like '@%' then
    v_problem := format('"%s" is not five fields', v_fields[1]);
    v_hint := case lower(v_fields[1] collate "C")
      when '@hourly' then 'write 0 * * * *'
      when '@daily' then 'write 0 0 * * *'
      when '@midnight' then 'write 0 0 * * *'
      when '@weekly' then 'write 0 0 * * 0'
      when '@monthly' then 'write 0 0 1 * *'
      when '@yearly' then 'write 0 0 1 1 *'
      when '@annually' then 'write 0 0 1 1 *'
      when '@reboot' then 'a job runs at times, not at a start: no five fields say it'
    end;
  elsif cardinality(v_fields) = 2 and v_fields[2] ~ '^seconds?$' then
    v_problem := 'an interval of seconds is not supported';
    v_hint := 'the shortest is every minute: * * * * *';
  elsif cardinality(v_fields) = 6 then
    v_problem := 'it has six fields, seconds are not supported';
    v_hint := format('five fields, without seconds: %s', left(array_to_string(v_fields[2:6], ' '), 100));
  elsif cardinality(v_fields) <> 5 then
    v_problem := format('it must have five fields, got %s', cardinality(v_fields));
  end if;
  if v_problem is not null then
    raise exception using errcode = '22023',
      message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_problem, 300)),
      hint = coalesce(v_hint, 'five fields: minute, hour, day of month, month, day of week, as in 30 2 * * 1-5');
  end if;

  v_parsed.minutes := scheduler.parse_schedule_field(p_schedule, ('minute', 0, 59, null), v_fields[1]);
  v_parsed.hours := scheduler.parse_schedule_field(p_schedule, ('hour', 0, 23, null), v_fields[2]);
  v_parsed.days_of_month := scheduler.parse_schedule_field(p_schedule, ('day of month', 1, 31, null), v_fields[3]);
  v_parsed.months := scheduler.parse_schedule_field(p_schedule, ('month', 1, 12,
    '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'::text[]), v_fields[4]);
  v_parsed.days_of_week := scheduler.parse_schedule_field(p_schedule, ('day of week', 0, 7,
    '{sun,mon,tue,wed,thu,fri,sat}'::text[]), v_fields[5]);
  v_parsed.days_must_both_match := v_fields[3] like '*%' or v_fields[5] like '*%';
  v_parsed.follows_real_clock := cardinality(v_parsed.hours) = 24;
  return v_parsed;
end;
$$;
comment on function scheduler.parse_schedule(text) is
  'Reads a five-field schedule: minute, hour, day of month, month, day of week (7 and 0 are Sunday), with lists, '
    'ranges, steps and names. Raises 22023 which quotes the bad part, names the field and gives its range.';

create function scheduler.is_every_date(p_parsed scheduler.parsed_schedule) returns boolean
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return cardinality(p_parsed.months) = 12 and case when p_parsed.days_must_both_match
    then cardinality(p_parsed.days_of_month) = 31 and cardinality(p_parsed.days_of_week) = 7
    else cardinality(p_parsed.days_of_month) = 31 or cardinality(p_parsed.days_of_week) = 7 end;
end;
$$;
comment on function scheduler.is_every_date(scheduler.parsed_schedule) is 'Whether a schedule matches every date.';

-- Judges the names of time zones.

-- Fast enough for the path of a dispatch: pg_timezone_names, which reads every zone's file, is asked only for a
-- name that Postgres would also take as an abbreviation or as a POSIX rule (EST5EDT, Nowhere-3).
create function scheduler.require_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
begin
  if p_time_zone = 'UTC' then
    return;
  end if;
  if p_time_zone ~ '^[A-Za-z_-]+(/[A-Za-z_-]+)+$' then
    begin
      perform timestamptz 'epoch' at time zone p_time_zone;
      return;
    exception when invalid_parameter_value then
      null;  -- refused below, with the names that are near
    end;
  elsif p_time_zone in ('GMT', 'Cuba', 'Egypt', 'Eire', 'GB', 'Hongkong', 'Iran', 'Israel', 'Jamaica', 'Japan', 'NZ',
    'PRC',
      'Poland', 'Portugal', 'ROC', 'ROK', 'Singapore', 'Turkey')
    or p_time_zone ~ '^Etc/GMT([+]([0-9]|1[0-2])|-([0-9]|1[0-4]))$'
    or exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;
  perform scheduler.assert_time_zone(p_time_zone);
end;
$$;
comment on function scheduler.require_time_zone(text) is
  'Raises 22023 for a time zone that Postgres does not know by name. Cheap for the common names; registration is '
    'stricter, see assert_time_zone.';

-- For rows that are read in sets: one zone that this server no longer knows (a restored dump, another tzdata) must not
-- stop the others.
create function scheduler.knows_time_zone(p_time_zone text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  perform timestamptz 'epoch' at time zone p_time_zone;
  return true;
exception when invalid_parameter_value then
  return false;
end;
$$;
comment on function scheduler.knows_time_zone(text) is 'Whether times can be computed in the zone; null, which stands '
  'for another zone, is known.';

create function scheduler.letter_pairs(p_text text) returns text[]
language sql immutable parallel safe set search_path = '' as $$
  select array(select distinct substr(folded, at, 2) from generate_series(1, length(folded) - 1) as at)
  from (select regexp_replace(lower(p_text collate "C"), '[^a-z/]', '', 'g') as folded) as text
$$;
comment on function scheduler.letter_pairs(text) is 'The pairs of neighbouring letters of a name, to tell how near '
  'two names are.';

create function scheduler.zone_of_abbreviation(p_text text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case
    when wanted in ('ET', 'EST', 'EDT', 'EST5EDT') then 'America/New_York'
    when wanted in ('CT', 'CST', 'CDT', 'CST6CDT') then 'America/Chicago'
    when wanted in ('MT', 'MST', 'MDT', 'MST7MDT') then 'America/Denver'
    when wanted in ('PT', 'PST', 'PDT', 'PST8PDT') then 'America/Los_Angeles'
    when wanted in ('AKST', 'AKDT') then 'America/Anchorage'
    when wanted in ('HST', 'HDT') then 'Pacific/Honolulu'
    when wanted in ('CET', 'CEST', 'MET', 'MEZ', 'MESZ') then 'Europe/Berlin'
    when wanted in ('EET', 'EEST') then 'Europe/Athens'
    when wanted in ('WET', 'WEST') then 'Europe/Lisbon'
    when wanted = 'BST' then 'Europe/London'
    when wanted = 'IST' then 'Asia/Kolkata'
    when wanted = 'JST' then 'Asia/Tokyo'
    when wanted in ('AEST', 'AEDT') then 'Australia/Sydney'
    when wanted in ('Z', 'ZULU', 'UTC', 'UCT', 'UTC0', 'UTC+0', 'UTC-0', 'GMT') then 'UTC'
  end
  from (select upper(p_text) as wanted) as text;
$$;
comment on function scheduler.zone_of_abbreviation(text) is
  'The zone that people mean by an abbreviation such as EST or CET; null for one that is not known.';

create function scheduler.similar_time_zones(p_text text) returns text
language sql stable parallel safe set search_path = '' as $$
  -- The score is the share of letter pairs that two names, or their cities, have in common. Materialized:
  -- without it the pairs of the text are made again for each of some 500 zones, which takes 190 ms instead of 70.
  with wanted as materialized (
    select scheduler.letter_pairs(left(p_text, 60)) as whole,
      scheduler.letter_pairs(regexp_replace(left(p_text, 60), '^.*/', '')) as city
  ), zones as (
    select name, scheduler.letter_pairs(name) as whole, scheduler.letter_pairs(regexp_replace(name, '^.*/', '')) as city
    from pg_timezone_names where name ~ '/' and name !~ '^(posix|right|Etc)/'
  ), scored as (
    select zones.name, greatest(
        2.0 * cardinality(array(select unnest(zones.whole) intersect select unnest(wanted.whole)))
          / nullif(cardinality(zones.whole) + cardinality(wanted.whole), 0),
        1.8 * cardinality(array(select unnest(zones.city) intersect select unnest(wanted.city)))
          / nullif(cardinality(zones.city) + cardinality(wanted.city), 0)) as score
    from wanted, zones
  )
  select string_agg(best.name, ', ' order by best.score desc, best.name)
  from (select name, score from scored where score >= 0.55 order by score desc, name limit 3) as best;
$$;
comment on function scheduler.similar_time_zones(text) is
  'Up to three IANA names that are spelled nearly like the text, the nearest first; null when there is none.';

create function scheduler.suggested_time_zones(p_text text) returns text
language sql stable parallel safe set search_path = '' as $$
  select coalesce(
    scheduler.zone_of_abbreviation(p_text),
    (select name from pg_timezone_names where lower(name) = lower(p_text) and name ~ '/'),
    case when p_text ~ '/' or p_text ~ '^[A-Za-z _-]{4,60}$' then scheduler.similar_time_zones(p_text) end,
    -- Zones that keep this abbreviation today.
    (select string_agg(name, ', ' order by name) from (
      select name from pg_timezone_names
      where abbrev = upper(p_text) and name ~ '^(Africa|America|Asia|Australia|Europe|Pacific)/'
      order by name limit 4) as zones));
$$;
comment on function scheduler.suggested_time_zones(text) is
  'The IANA names that somebody who typed the text may have meant, as a list for a message; null when none is near.';

create function scheduler.assert_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_suggested text;
begin
  -- Postgres keeps these names for old systems; they look like abbreviations, which mean other zones elsewhere.
  if p_time_zone !~ '^(EST|MST|HST|CET|MET|EET|WET|[A-Z]{3}[0-9][A-Z]{3}'
      '|Factory|posixrules|localtime|(posix|right)/.*)$'
    and exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;
  v_suggested := scheduler.suggested_time_zones(p_time_zone);
  raise exception using errcode = '22023',
    message = format('cannot use the time zone "%s": it must be an IANA name such as America/New_York, or UTC',
      coalesce(left(p_time_zone, 60), 'null')),
    detail = case
      when p_time_zone ~ '[0-9]' then 'a POSIX rule or an offset does not know when the clock changes'
      when p_time_zone ~ '^[A-Za-z]{1,5}$' then 'an abbreviation does not know when the clock changes'
      else 'Postgres knows no zone of that name'
    end,
    hint = coalesce('did you mean ' || v_suggested || '?', 'select name from pg_timezone_names lists them all');
end;
$$;
comment on function scheduler.assert_time_zone(text) is
  'For registration: raises 22023, with the names that are near, unless the time zone is an IANA name exactly as '
    'Postgres lists it. Refuses abbreviations (EST) and POSIX rules (EST5EDT). Takes tens of milliseconds: it reads '
    'pg_timezone_names.';

-- When a schedule runs. Two kinds of schedule, told apart by the hour field:
--   * it covers all 24 hours: the real clock is followed. Each minute whose local time matches is an occurrence, so
--     a repeated hour counts twice and a skipped hour not at all.
--   * else each matching local time is one occurrence: skipped by the spring change, it falls on the first minute after
--     the gap (and is one with an occurrence that is there already); repeated in autumn, it is its first showing.
-- Changes of the clock lie on whole minutes, and a zone has at most one in 24 hours: so it has been since 1973.

create function scheduler.next_matching_date(p_parsed scheduler.parsed_schedule, p_from date) returns date
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_date date := p_from;
  v_month integer;
  v_day integer;
  v_last_day integer;
  v_next integer;
begin
  -- The longest wait there is: a 29 February of a given weekday across a year like 2100, 40 years.
  while v_date <= p_from + 14975 loop
    v_month := extract(month from v_date)::integer;
    v_next := (select min(month) from unnest(p_parsed.months) as month where month >= v_month);
    if v_next is distinct from v_month then
      v_date := make_date(extract(year from v_date)::integer + (v_next is null)::integer, coalesce(v_next,
        p_parsed.months[1]), 1);
    end if;

    if not p_parsed.days_must_both_match then
      if extract(day from v_date)::integer = any (p_parsed.days_of_month)
        or extract(dow from v_date)::integer = any (p_parsed.days_of_week) then
        return v_date;
      end if;
      v_date := v_date + 1;
      continue;
    end if;

    v_day := extract(day from v_date)::integer;
    v_last_day := extract(day from date_trunc('month', v_date::timestamp) + interval '1 month -1 day')::integer;
    v_next := (select min(day) from unnest(p_parsed.days_of_month) as day where day >= v_day);
    if v_next > v_last_day or v_next is null then
      v_date := v_date + (v_last_day - v_day + 1);
      -- 30 February, 31 June: no year has them.
      continue when p_parsed.days_of_month[1] <= 29;
      continue when exists (
        select from unnest(p_parsed.months) as month
        where p_parsed.days_of_month[1] <= case when month = 2 then 29 when month in (4, 6, 9, 11) then 30 else 31 end);
      return null;
    end if;
    v_date := v_date + (v_next - v_day);
    if extract(dow from v_date)::integer = any (p_parsed.days_of_week) then
      return v_date;
    end if;
    v_date := v_date + 1;
  end loop;
  return null;
end;
$$;
comment on function scheduler.next_matching_date(scheduler.parsed_schedule, date) is
  'The first date on or after p_from whose month and day fields match; null when there is none.';

-- Postgres' own `at time zone` takes the second showing of a repeated time, and moves a skipped one on by the gap.
create function scheduler.first_showing(p_local timestamp, p_time_zone text) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_shown timestamptz := p_local at time zone p_time_zone;
  v_day_before timestamptz := v_shown - interval '25 hours';
  v_earlier timestamptz :=
    (p_local - ((v_day_before at time zone p_time_zone) - (v_day_before at time zone 'UTC'))) at time zone 'UTC';
  v_offset interval;
  v_low timestamptz;
  v_middle timestamptz;
begin
  if v_shown at time zone p_time_zone = p_local then
    return case when v_earlier < v_shown and v_earlier at time zone p_time_zone = p_local then v_earlier
      else v_shown end;
  end if;

  -- In a gap: v_shown lies after its end, v_low before it.
  v_offset := (v_shown at time zone p_time_zone) - (v_shown at time zone 'UTC');
  v_low := (p_local - v_offset) at time zone 'UTC';
  while v_shown - v_low > interval '1 minute' loop
    v_middle := v_low + make_interval(mins => floor(extract(epoch from v_shown - v_low) / 120)::integer);
    if (v_middle at time zone p_time_zone) - (v_middle at time zone 'UTC') = v_offset then
      v_shown := v_middle;
    else
      v_low := v_middle;
    end if;
  end loop;
  return v_shown;
end;
$$;
comment on function scheduler.first_showing(timestamp, text) is
  'When a clock in the zone first shows a local time; for a time it skips, the first minute after the gap.';

create function scheduler.next_real_clock_occurrence(
  p_parsed scheduler.parsed_schedule,
  p_time_zone text,
  p_after timestamptz
) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_at timestamptz := date_bin('1 minute', p_after, timestamptz 'epoch') + interval '1 minute';
  v_local timestamp;
  v_date date;
  v_start timestamptz;
  v_minute integer;
  v_wait interval;
begin
  while v_at is not null loop
    v_local := v_at at time zone p_time_zone;
    v_date := scheduler.next_matching_date(p_parsed, v_local::date);
    if v_date is null then
      v_at := null;
      continue;
    elsif v_date > v_local::date then
      v_start := scheduler.first_showing(v_date, p_time_zone);
      -- A change just after midnight shows the start of the date twice; the first may be over.
      v_at := case when v_start > v_at then v_start else v_date::timestamp at time zone p_time_zone end;
      continue;
    end if;

    v_minute := extract(minute from v_local)::integer;
    if v_minute = any (p_parsed.minutes) then
      return v_at;
    end if;
    v_wait := make_interval(mins => (select min((minute - v_minute + 60) % 60)
      from unnest(p_parsed.minutes) as minute));
    if (v_at + v_wait) at time zone p_time_zone = v_local + v_wait then
      v_at := v_at + v_wait;
    else
      v_at := v_at + interval '1 minute';  -- the clock changes in between
    end if;
  end loop;
  return null;
end;
$$;
comment on function scheduler.next_real_clock_occurrence(scheduler.parsed_schedule, text, timestamptz) is
  'The first minute strictly after p_after whose local time matches, of a schedule that covers all 24 hours; null '
    'when there is none.';

create function scheduler.next_occurrence(p_schedule text, p_time_zone text, p_after timestamptz) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_local timestamp;
  v_date date;
  v_hour integer;
  v_minute integer;
  v_occurrence timestamptz;
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_after is null or not isfinite(p_after) then
    raise exception using errcode = '22023',
      message = format('cannot find the next occurrence: p_after must be a moment, got %s',
        coalesce(p_after::text, 'null'));
  end if;
  if v_parsed.follows_real_clock then
    return scheduler.next_real_clock_occurrence(v_parsed, p_time_zone, p_after);
  end if;

  v_local := p_after at time zone p_time_zone;
  v_date := scheduler.next_matching_date(v_parsed, v_local::date);
  if v_date = v_local::date then
    v_hour := extract(hour from v_local)::integer;
    v_minute := extract(minute from v_local)::integer;
  end if;
  while v_date is not null loop
    -- On to the next local time that the schedule names.
    if v_hour is not null then
      v_minute := case when v_hour = any (v_parsed.hours)
        then (select min(minute) from unnest(v_parsed.minutes) as minute where minute > v_minute) end;
      if v_minute is null then
        v_hour := (select min(hour) from unnest(v_parsed.hours) as hour where hour > v_hour);
        v_minute := v_parsed.minutes[1];
      end if;
      if v_hour is null then
        v_date := scheduler.next_matching_date(v_parsed, v_date + 1);
        continue when v_date is null;
      end if;
    end if;
    if v_hour is null then
      v_hour := v_parsed.hours[1];
      v_minute := v_parsed.minutes[1];
    end if;

    -- In the second showing of an autumn hour the times of its first are over.
    v_occurrence := scheduler.first_showing(v_date + make_time(v_hour, v_minute, 0), p_time_zone);
    if v_occurrence > p_after then
      return v_occurrence;
    end if;
  end loop;
  return null;
end;
$$;
comment on function scheduler.next_occurrence(text, text, timestamptz) is
  'The first occurrence strictly after p_after, in the IANA time zone given; null when the schedule never occurs (30 '
    'February). Raises 22023 for a schedule or a time zone that cannot be read.';

create function scheduler.offset_periods(p_time_zone text, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, utc_offset interval, offset_before interval)
language sql stable parallel safe set search_path = '' rows 50 as $$
  with days as (
    select at, (at at time zone p_time_zone) - (at at time zone 'UTC') as utc_offset
    from (
      select generate_series(date_bin('1 minute', p_from, timestamptz 'epoch'), p_to, interval '24 hours') as at
      union all select p_to
    ) as moments
  ), steps as (
    select lag(at) over in_time as from_at, at as to_at, lag(utc_offset) over in_time as offset_before, utc_offset
    from days window in_time as (order by at)
  ), hours as (
    select coalesce(hour.at, steps.to_at) as to_at, offset_before, utc_offset
    from steps left join lateral (
      select at from generate_series(steps.from_at, steps.to_at, interval '1 hour') as at
      where (at at time zone p_time_zone) - (at at time zone 'UTC') = steps.utc_offset order by at limit 1
    ) as hour on true
    where steps.offset_before <> steps.utc_offset
  ), changes as (
    select minute.at, offset_before, utc_offset
    from hours, lateral (
      select at from generate_series(date_bin('1 minute', hours.to_at, timestamptz 'epoch') - interval '1 hour',
        hours.to_at + interval '1 minute', interval '1 minute') as at
      where (at at time zone p_time_zone) - (at at time zone 'UTC') = hours.utc_offset order by at limit 1
    ) as minute
    where minute.at < p_to
    union all
    select p_from, null, (p_from at time zone p_time_zone) - (p_from at time zone 'UTC')
  )
  select at, lead(at, 1, p_to) over (order by at), utc_offset, offset_before from changes order by at
$$;
comment on function scheduler.offset_periods(text, timestamptz, timestamptz) is
  'The stretches of [p_from, p_to) in which a zone keeps one offset from UTC, with the offset before each (null for '
    'the first).';

create function scheduler.local_stretches(
  p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz, p_to timestamptz
) returns table (local_from timestamp, local_to timestamp, utc_offset interval, falls_on timestamptz)
language plpgsql stable parallel safe set search_path = '' rows 50 as $$
begin
  return query
  with periods as (
    select starts_at, kept.utc_offset, ends_at at time zone 'UTC' + kept.utc_offset as ends_local,
      starts_at at time zone 'UTC' + case when p_parsed.follows_real_clock then kept.utc_offset
        else greatest(kept.utc_offset, offset_before) end as starts_local,
      case when kept.utc_offset > offset_before and not p_parsed.follows_real_clock
        then starts_at at time zone 'UTC' + offset_before end as gap_from
    -- From a day earlier: p_from may lie in an hour that is shown for the second time.
    from scheduler.offset_periods(p_time_zone, p_from - interval '26 hours', p_to) as kept
  )
  select starts_local, ends_local, periods.utc_offset, null::timestamptz from periods
  union all
  select gap_from, starts_local, null, starts_at from periods where gap_from is not null;
end;
$$;
comment on function scheduler.local_stretches(scheduler.parsed_schedule, text, timestamptz, timestamptz) is
  'The stretches of local time in which the times of a schedule run, from 26 hours before p_from to p_to: with one '
    'offset from UTC, or, for times that a change of the clock skips, with the moment at which they run (falls_on).';

create function scheduler.occurrences(p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz)
returns setof timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to) then
    raise exception using errcode = '22023',
      message = format('cannot list occurrences: p_from and p_to must be moments, got %s and %s',
        coalesce(p_from::text, 'null'), coalesce(p_to::text, 'null'));
  end if;
  if p_from >= p_to then
    return;
  end if;

  return query
  -- Materialized: without it the times of day are made again for each date, and nine days of every minute take 48 ms
  -- instead of 38.
  with times as materialized (
    select make_interval(hours => hour, mins => minute) as of_day
    from unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute
  ), found as (
    select coalesce(falls_on, (day + of_day - utc_offset) at time zone 'UTC') as at
    from scheduler.local_stretches(v_parsed, p_time_zone, p_from, p_to),
      lateral generate_series(date_trunc('day', local_from), local_to, interval '1 day') as day, times
    where extract(month from day)::integer = any (v_parsed.months)
      and case when v_parsed.days_must_both_match
        then extract(day from day)::integer = any (v_parsed.days_of_month) and extract(dow
          from day)::integer = any (v_parsed.days_of_week)
        else extract(day from day)::integer = any (v_parsed.days_of_month) or extract(dow
          from day)::integer = any (v_parsed.days_of_week)
      end
      and day + of_day >= local_from and day + of_day < local_to
  )
  select distinct at from found where at >= p_from and at < p_to order by at;
end;
$$;
comment on function scheduler.occurrences(text, text, timestamptz, timestamptz) is
  'The occurrences of a schedule in [p_from, p_to), ascending, in the IANA time zone given. Raises 22023 for a '
    'schedule or a time zone that cannot be read.';

create function scheduler.previous_occurrence(p_schedule text, p_time_zone text,
  p_before timestamptz) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_after_end timestamptz := p_before + interval '1 microsecond';
  v_date date;
  v_span integer;
  v_occurrence timestamptz;
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_before is null or not isfinite(p_before) then
    raise exception using errcode = '22023',
      message = format('cannot find the previous occurrence: p_before must be a moment, got %s',
        coalesce(p_before::text, 'null'));
  end if;

  select max(at) into v_occurrence
    from scheduler.occurrences(p_schedule, p_time_zone, p_before - interval '2 hours', v_after_end) as at;
  if v_occurrence is not null then
    return v_occurrence;
  end if;

  -- The latest matching dates, found in ever longer spans; an occurrence falls on its own date or, after a gap, the
  -- next.
  foreach v_span in array array[3, 40, 400, 3300, 15000] loop
    for v_date in
      select day::date from generate_series((p_before at time zone p_time_zone)::date + 1 - v_span,
        (p_before at time zone p_time_zone)::date + 1, interval '1 day') as day
      where extract(month from day)::integer = any (v_parsed.months)
        and case when v_parsed.days_must_both_match
          then extract(day from day)::integer = any (v_parsed.days_of_month) and extract(dow
            from day)::integer = any (v_parsed.days_of_week)
          else extract(day from day)::integer = any (v_parsed.days_of_month) or extract(dow
            from day)::integer = any (v_parsed.days_of_week)
        end
      order by day desc limit 3
    loop
      select max(at) into v_occurrence
        from scheduler.occurrences(p_schedule, p_time_zone, v_date::timestamp at time zone 'UTC' - interval '26 hours',
          least(v_after_end, v_date::timestamp at time zone 'UTC' + interval '62 hours')) as at;
      if v_occurrence is not null then
        return v_occurrence;
      end if;
    end loop;
  end loop;
  return null;
end;
$$;
comment on function scheduler.previous_occurrence(text, text, timestamptz) is
  'The last occurrence at or before p_before, in the IANA time zone given; null when there is none in the 40 years '
    'before. Raises 22023 for a schedule or a time zone that cannot be read.';

create function scheduler.shown_time_zone(p_time_zone text) returns text
language plpgsql stable set search_path = '' as $$
begin
  perform timestamptz 'epoch' at time zone p_time_zone;
  return coalesce(p_time_zone, 'UTC');
exception when invalid_parameter_value then
  return 'UTC';
end;
$$;
comment on function scheduler.shown_time_zone(text) is
  'The time zone in which times are shown: the one given, UTC where Postgres does not know it (a restored dump, a '
    'zone that was dropped).';

create function scheduler.local_text(p_at timestamptz, p_time_zone text) returns text
language sql stable set search_path = '' as $$
  select coalesce(to_char(p_at at time zone zone, 'YYYY-MM-DD HH24:MI') || ' ' || zone, p_at::text)
  from (select scheduler.shown_time_zone(p_time_zone) as zone) as shown;
$$;
comment on function scheduler.local_text(timestamptz, text) is
  'A moment as a person of that zone reads it, in UTC where Postgres does not know the zone; infinity and -infinity '
    'as they are. Null for null.';

-- Compiles a schedule in a time zone to one pg_cron entry in UTC, the smallest that covers every occurrence.
-- pg_cron's entry is five independent sets, so the smallest is what the true occurrences need in each field. Written
-- with digits alone, for pg_cron 1.4 as well as later ones.

create function scheduler.format_ranges(p_values integer[]) returns text
language sql immutable parallel safe set search_path = '' as $$
  select string_agg(case when first = last then first::text
    else format('%s%s%s', first, case when last = first + 1 then ',' else '-' end, last) end, ',' order by first)
  from (
    select min(value) as first, max(value) as last
    from (select value, value - row_number() over (order by value) as run from unnest(p_values) as value) as numbered
    group by run
  ) as runs;
$$;
comment on function scheduler.format_ranges(integer[]) is 'Ascending values as a list of values and ranges: 1,3-7.';

create function scheduler.format_step(
  p_from integer, p_to integer, p_step integer, p_first integer, p_last integer, p_star text
) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case
    when p_from = p_to then p_from::text
    when p_from = p_first and p_to + p_step > p_last and p_star <> 'forbidden'
      and (p_to > p_from + p_step or p_first = 0 and (p_last + 1) % p_step = 0) then format('*/%s', p_step)
    when p_to = p_from + p_step then format('%s,%s', p_from, p_to)
    when p_step = 1 then format('%s-%s', p_from, p_to)
    else format('%s-%s/%s', p_from, p_to, p_step)
  end;
$$;
comment on function scheduler.format_step(integer, integer, integer, integer, integer, text) is
  'The short text of every p_step-th value from p_from to p_to in a field from p_first to p_last.';

create function scheduler.format_steps(p_values integer[], p_first integer, p_last integer, p_star text) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_rest integer[] := p_values;
  v_steps text[] := array[]::text[];
  v_start integer;
  v_best record;
begin
  while cardinality(v_rest) > 0 loop
    -- From the smallest value of the rest, the step that takes most of the rest.
    v_start := v_rest[1];
    select step, reach.last, reach.taken into v_best
      from generate_series(1, greatest(p_last - v_start, 1)) as step, lateral (
        select max(value) as last, count(*) filter (where value = any (v_rest)) as taken
        from generate_series(v_start, coalesce((
            select min(missing) - step from generate_series(v_start, p_last + step, step) as missing
            where missing <> all (p_values)), v_start), step) as value
      ) as reach
      order by reach.taken desc, step limit 1;
    if v_best.taken < 2 then
      v_best.last := v_start;
    end if;
    v_steps := v_steps || scheduler.format_step(v_start, v_best.last, v_best.step, p_first, p_last, p_star);
    v_rest := array(select value from unnest(v_rest) as value
      where value > v_best.last or (value - v_start) % v_best.step <> 0 order by value);
  end loop;
  return v_steps;
end;
$$;
comment on function scheduler.format_steps(integer[], integer, integer, text) is
  'Ascending values as steps, the elements of a list: 0-30/10, 45.';

create function scheduler.format_schedule_field(
  p_values integer[], p_first integer, p_last integer, p_star text default 'free'
) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_size constant integer := p_last - p_first + 1;
  v_ranges text;
  v_steps text[];
begin
  if cardinality(p_values) = v_size then
    return case p_star when 'forbidden' then format('%s-%s', p_first, p_last) else '*' end;
  elsif p_star = 'required' and p_values[1] = p_first then
    v_steps := array[scheduler.format_schedule_field(p_values, p_first, p_last)];
    return case
      when v_steps[1] like '*%' then v_steps[1]
      -- A step of the field's whole size names the first value alone, and begins with the star.
      else concat_ws(',', format('*/%s', v_size), nullif(scheduler.format_schedule_field(
        p_values[2:], p_first, p_last, 'forbidden'), '')) end;
  end if;
  v_ranges := scheduler.format_ranges(p_values);
  v_steps := scheduler.format_steps(p_values, p_first, p_last, p_star);
  -- Ranges read better: steps are taken where they are shorter, and each further step has to save two characters.
  return case when length(array_to_string(v_steps, ',')) + 2 * cardinality(v_steps) <= length(v_ranges) + 2
    then array_to_string(v_steps, ',') else v_ranges end;
end;
$$;
comment on function scheduler.format_schedule_field(integer[], integer, integer, text) is
  'The short text of a schedule''s field for ascending values: *, */n, a-b, a-b/n or a list of these. p_star: '
    'forbidden = must not begin with *, required = must (the first value has to be listed), free = either. pg_cron '
    'reads a day field by that sign.';

create type scheduler.utc_values as (
  minutes integer[],
  hours integer[],
  months integer[],
  all_days_of_month integer[],
  all_days_of_week integer[],
  days_of_month integer[],
  days_of_week integer[]
);
comment on type scheduler.utc_values is
  'What the occurrences of a schedule need of each field in UTC, ascending. all_days_...: those of any occurrence; '
    'days_of_month, days_of_week: those of the occurrences whose local date matches by that field.';

create function scheduler.compile_days(
  p_needed scheduler.utc_values, p_must_both_match boolean, p_from date
) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_every_day constant integer[] := array(select generate_series(1, 31));
  v_every_weekday constant integer[] := array[0, 1, 2, 3, 4, 5, 6];
  v_both_restricted constant boolean := p_must_both_match and p_needed.all_days_of_month <> v_every_day
    and p_needed.all_days_of_week <> v_every_weekday;
  v_chosen record;
begin
  with candidates (days_of_month, days_of_week, must_match, starred) as (
    values
      (case when p_needed.all_days_of_month <> v_every_day or p_needed.all_days_of_week = v_every_weekday
        then p_needed.all_days_of_month end, v_every_weekday, true, ''),
      (case when p_needed.all_days_of_week <> v_every_weekday then v_every_day end,
        p_needed.all_days_of_week, true, ''),
      -- Either may match: a field that names every day would be read as one that both must match.
      (case when not p_must_both_match and p_needed.days_of_month not in (v_every_day, '{}')
        and p_needed.days_of_week <> v_every_weekday
        then p_needed.days_of_month end, p_needed.days_of_week, false, ''),
      -- Both must match: pg_cron needs a star in front, which can stand before a field's first value alone.
      (case when v_both_restricted then array(select distinct day from unnest(p_needed.all_days_of_month || 1) as day
        order by day) end,
        p_needed.all_days_of_week, true, 'month'),
      (case when v_both_restricted then p_needed.all_days_of_month end,
        array(select distinct day from unnest(p_needed.all_days_of_week || 0) as day order by day), true, 'week')
  ), calendar as (
    select date_part('month', day)::integer as month, date_part('day', day)::integer as of_month, date_part('dow',
      day)::integer as of_week
    from generate_series(p_from::timestamp, p_from::timestamp + interval '20 years', interval '1 day') as day
    where (select count(days_of_month) > 1 from candidates) or cardinality(p_needed.months) < 12
  ), texts as (
    select dates.*,
      scheduler.format_schedule_field(days_of_month, 1, 31,
        case when not must_match then 'forbidden' when starred = 'month' then 'required' else 'free' end) as month_text,
      scheduler.format_schedule_field(days_of_week, 0, 6,
        case when not must_match then 'forbidden' when starred = 'week' then 'required' else 'free' end) as week_text
    from candidates, lateral (
      select count(*) filter (where month = any (p_needed.months)) as wanted, count(*) as in_any_month
      from calendar
      where case when must_match
        then of_month = any (days_of_month) and of_week = any (days_of_week)
        else of_month = any (days_of_month) or of_week = any (days_of_week)
      end
    ) as dates
    where days_of_month is not null
  )
  select * into v_chosen from texts order by wanted, length(month_text || week_text), month_text limit 1;
  return array[
    v_chosen.month_text,
    -- The months exclude no date (there is no 31 June), so the shorter text names the same dates.
    case when v_chosen.wanted = v_chosen.in_any_month then '*' else scheduler.format_schedule_field(p_needed.months, 1,
      12) end,
    v_chosen.week_text];
end;
$$;
comment on function scheduler.compile_days(scheduler.utc_values, boolean, date) is
  'The texts of the day-of-month, month and day-of-week fields that cover what is needed on the fewest dates of 20 '
    'years; the shortest of those.';

create function scheduler.listed_bits(p_bits bigint) returns integer[]
language sql immutable parallel safe set search_path = '' as $$
  select array(select bit from generate_series(0, 62) as bit where p_bits & (1::bigint << bit) <> 0 order by bit)
$$;
comment on function scheduler.listed_bits(bigint) is 'The positions of the bits that are set, ascending: a set of '
  'small numbers as an array. Null gives an empty one.';

create function scheduler.needed_dates(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz)
returns table (utc_offset integer, falls_on timestamp, day timestamp, by_month boolean, by_week boolean,
  is_whole boolean, minute_from float8, minute_to float8)
language sql stable parallel safe set search_path = '' as $$
  with stretches as (
    select greatest(local_from, p_from at time zone 'UTC' + utc_offset) as local_from, local_to,
      extract(epoch from utc_offset)::integer / 60 as utc_offset, falls_on at time zone 'UTC' as falls_on
    from scheduler.local_stretches(p_parsed, p_time_zone, p_from, p_from + interval '20 years')
    where falls_on is null or falls_on >= p_from
  ), calendar as (
    select stretches.*, day, date_part('month', day)::integer as month,
      date_part('day', day)::integer = any (p_parsed.days_of_month) as by_month,
      date_part('dow', day)::integer = any (p_parsed.days_of_week) as by_week
    from stretches, lateral generate_series(date_trunc('day', local_from), local_to, interval '1 day') as day
    -- Where every date is wanted, one whole date of a stretch stands for all.
    where local_from < local_to and (not (select scheduler.is_every_date(p_parsed))
      or day < local_from + interval '3 days' or day > local_to - interval '3 days')
  )
  select utc_offset, falls_on, day, by_month, by_week,
    falls_on is null and day >= local_from and day + interval '1 day' <= local_to,
    ceil(date_part('epoch', local_from - day) / 60), ceil(date_part('epoch', local_to - day) / 60)
  from calendar
  where month = any (p_parsed.months)
    and case when p_parsed.days_must_both_match then by_month and by_week else by_month or by_week end;
$$;
comment on function scheduler.needed_dates(scheduler.parsed_schedule, text, timestamptz) is
  'The local dates of the 20 years from p_from that a schedule matches, by the stretch that they lie in: its offset '
    'from UTC in minutes; for the times that a change skips, when they run (falls_on, UTC); whether the whole date '
    'lies in the stretch, else its minutes [minute_from, minute_to) do.';

-- Dates that keep one offset share their times of day, which are worked out once for each offset; the dates of a
-- change, and the first and last, are looked at one by one. Sets of numbers are kept as bits.
create function scheduler.needed_utc_values(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz)
returns scheduler.utc_values
language sql stable parallel safe set search_path = '' as $$
  with dates as (
    select * from scheduler.needed_dates(p_parsed, p_time_zone, p_from)
  ), parts as (
    select * from dates where not is_whole
  ), times as (
    select hour * 60 + minute as of_day from unnest(p_parsed.hours) as hour, unnest(p_parsed.minutes) as minute
  ), offset_times as (
    select utc_offset, has_whole, of_day, (of_day - utc_offset + 2880) / 1440 - 2 as days_on,
      (of_day - utc_offset + 2880) % 1440 as utc_time
    from times, (
      select utc_offset, bool_or(is_whole) as has_whole
      from dates where falls_on is null group by utc_offset) as offsets
  ), shifts as (
    select distinct utc_offset, days_on from offset_times
  ), gaps as (
    select falls_on, bool_or(by_month) as by_month, bool_or(by_week) as by_week from parts, times
    where falls_on is not null and of_day >= minute_from and of_day < minute_to group by falls_on
  ), utc_times as (
    select utc_time from offset_times where has_whole
    union all
    select utc_time from parts join offset_times using (utc_offset)
    where not has_whole and of_day >= minute_from and of_day < minute_to
    union all
    select (date_part('hour', falls_on) * 60 + date_part('minute', falls_on))::integer from gaps
  ), utc_days as (
    select day + make_interval(days => days_on) as day, by_month, by_week
    from dates join shifts using (utc_offset) where is_whole
    union all
    select day + make_interval(days => days_on), by_month, by_week
    from parts join shifts using (utc_offset)
    where exists (
      -- The part of the date in this stretch that lies on the UTC date meant.
      select from times where of_day >= greatest(minute_from, utc_offset + days_on * 1440)
        and of_day < least(minute_to, utc_offset + days_on * 1440 + 1440))
    union all
    select falls_on, by_month, by_week from gaps
  ), day_bits as (
    select 1::bigint << date_part('month', day)::integer as month,
      1::bigint << date_part('day', day)::integer as of_month,
      1::bigint << date_part('dow', day)::integer as of_week, by_month, by_week
    from utc_days
  )
  select (select scheduler.listed_bits(bit_or(1::bigint << (utc_time % 60))) from utc_times),
    (select scheduler.listed_bits(bit_or(1::bigint << (utc_time / 60))) from utc_times),
    scheduler.listed_bits(bit_or(month)), scheduler.listed_bits(bit_or(of_month)),
    scheduler.listed_bits(bit_or(of_week)), scheduler.listed_bits(bit_or(of_month) filter (where by_month)),
    scheduler.listed_bits(bit_or(of_week) filter (where by_week))
  from day_bits;
$$;
comment on function scheduler.needed_utc_values(scheduler.parsed_schedule, text, timestamptz) is
  'What the occurrences of the 20 years from p_from need of each field in UTC; empty arrays where there is none.';

create function scheduler.compile_every_hour(p_minutes integer[], p_time_zone text, p_from timestamptz) returns text
language sql stable parallel safe set search_path = '' as $$
  select scheduler.format_schedule_field(array(
    select distinct (minute - (extract(epoch from utc_offset)::integer / 60) % 60 + 120) % 60 as utc_minute
    from unnest(p_minutes) as minute, scheduler.offset_periods(p_time_zone, p_from, p_from + interval '20 years')
    order by utc_minute), 0, 59) || ' * * * *';
$$;
comment on function scheduler.compile_every_hour(integer[], text, timestamptz) is
  'The entry for minutes of every hour of every date: the offsets from UTC move the minutes and nothing else.';

create function scheduler.compile_schedule(p_schedule text, p_time_zone text, p_from timestamptz default now())
returns text
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed constant scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_needed scheduler.utc_values;
  v_days text[] := array['*', '*', '*'];
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_from is null or not isfinite(p_from) then
    raise exception using errcode = '22023',
      message = format('cannot compile the schedule: p_from must be a moment, got %s', coalesce(p_from::text, 'null'));
  end if;
  if scheduler.is_every_date(v_parsed) and v_parsed.follows_real_clock then
    return scheduler.compile_every_hour(v_parsed.minutes, p_time_zone, p_from);
  end if;

  v_needed := scheduler.needed_utc_values(v_parsed, p_time_zone, p_from);
  if v_needed.minutes = '{}' then
    return null;
  end if;
  if not scheduler.is_every_date(v_parsed) then
    -- Weekdays that the schedule leaves free stay free: which ones 29 February falls on in 20 years is chance.
    if v_parsed.days_must_both_match and cardinality(v_parsed.days_of_week) = 7 then
      v_needed.all_days_of_week := v_parsed.days_of_week;
    end if;
    v_days := scheduler.compile_days(v_needed, v_parsed.days_must_both_match, (p_from at time zone 'UTC')::date);
  end if;
  return concat_ws(' ', scheduler.format_schedule_field(v_needed.minutes, 0, 59),
    scheduler.format_schedule_field(v_needed.hours, 0, 23), v_days[1], v_days[2], v_days[3]);
end;
$$;
comment on function scheduler.compile_schedule(text, text, timestamptz) is
  'The smallest five-field UTC entry for pg_cron that covers every occurrence in the 20 years from p_from; null when '
    'there is none. It may name more minutes than there are occurrences: dispatch asks next_occurrence. '
    'Raises 22023 for a schedule or a time zone that cannot be read.';

-- Counts the occurrences of a long stretch of time and lists its newest. Listing half a million minutes after an outage
-- to count them would be slow.

create function scheduler.count_matching_days(p_parsed scheduler.parsed_schedule, p_from date, p_to date) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if scheduler.is_every_date(p_parsed) then
    return greatest(p_to - p_from, 0);
  end if;
  return (
    select count(*)
    from generate_series(p_from::timestamp, p_to::timestamp - interval '1 day', interval '1 day') as day
    where extract(month from day)::integer = any (p_parsed.months)
      and case when p_parsed.days_must_both_match
        then extract(day from day)::integer = any (p_parsed.days_of_month) and extract(dow
          from day)::integer = any (p_parsed.days_of_week)
        else extract(day from day)::integer = any (p_parsed.days_of_month) or extract(dow
          from day)::integer = any (p_parsed.days_of_week)
      end);
end;
$$;
comment on function scheduler.count_matching_days(scheduler.parsed_schedule, date, date) is
  'How many dates in [p_from, p_to) the month and day fields match.';

create function scheduler.count_times(p_parsed scheduler.parsed_schedule, p_from timestamp,
  p_to timestamp) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return scheduler.count_matching_days(p_parsed, p_from::date, p_from::date + 1) * (
    select count(*) from unnest(p_parsed.hours) as hour, unnest(p_parsed.minutes) as minute
    where p_from::date + make_interval(hours => hour, mins => minute) >= p_from
      and p_from::date + make_interval(hours => hour, mins => minute) < p_to);
end;
$$;
comment on function scheduler.count_times(scheduler.parsed_schedule, timestamp, timestamp) is
  'How many local times of the date of p_from the schedule names in [p_from, p_to), on a date on which the clock does '
    'not change after p_from.';

-- Between two changes of the clock every whole local day has the same times; only the hours after a change are
-- listed.
create function scheduler.count_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz
) returns bigint
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed constant scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_count bigint := 0;
  v_period record;
  v_listed_to timestamptz;
  v_from timestamp;
  v_to timestamp;
begin
  for v_period in select starts_at, ends_at from scheduler.offset_periods(p_time_zone, p_from, p_to) loop
    -- No clock shows more than three hours twice.
    v_listed_to := least(v_period.ends_at, v_period.starts_at + interval '3 hours');
    v_count := v_count + (
      select count(*) from scheduler.occurrences(p_schedule, p_time_zone, v_period.starts_at, v_listed_to));
    continue when v_listed_to = v_period.ends_at;
    v_from := v_listed_to at time zone p_time_zone;
    v_to := v_from + (v_period.ends_at - v_listed_to);
    v_count := v_count + case when v_from::date = v_to::date then scheduler.count_times(v_parsed, v_from, v_to) else
      scheduler.count_times(v_parsed, v_from, v_from::date + 1)
      + scheduler.count_matching_days(v_parsed, v_from::date + 1,
        v_to::date) * cardinality(v_parsed.hours) * cardinality(v_parsed.minutes)
      + scheduler.count_times(v_parsed, v_to::date, v_to) end;
  end loop;
  return v_count;
end;
$$;
comment on function scheduler.count_occurrences(text, text, timestamptz, timestamptz) is
  'How many occurrences lie in [p_from, p_to): what occurrences() would list, without listing them. Raises 22023 for '
    'a schedule or a time zone that cannot be read.';

create function scheduler.newest_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz, p_limit integer
) returns timestamptz[]
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_span interval := interval '1 hour';
  v_from timestamptz;
  v_found timestamptz[];
begin
  -- Stretches that grow backwards: a job of every minute has enough in a day, a yearly one needs them all.
  loop
    v_from := greatest(p_from, p_to - v_span);
    v_found := array(select at from scheduler.occurrences(p_schedule, p_time_zone, v_from, p_to) as at order by at);
    exit when v_from = p_from or cardinality(v_found) >= p_limit;
    v_span := 8 * v_span;
  end loop;
  return v_found[greatest(1, cardinality(v_found) - p_limit + 1):];
end;
$$;
comment on function scheduler.newest_occurrences(text, text, timestamptz, timestamptz, integer) is
  'The newest p_limit occurrences in [p_from, p_to), ascending; all of them when there are no more. Raises 22023 for '
    'a schedule or a time zone that cannot be read.';

-- The registry: registering a job is one call, and pg_cron follows.

-- Postgres keeps cron entries per user; the scheduler's are those of the role that owns it.
create function scheduler.sync_cron_entry(p_job_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_actual record;
  v_command text := format('select scheduler.dispatch(%L)', p_job_name);
  v_job_id bigint;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  select jobid, schedule, command, active, database into v_actual
    from cron.job where jobname = p_job_name and username = current_user;

  if v_job.name is null or not v_job.enabled or v_job.schedule is null then
    if v_actual.command = v_command then
      perform cron.unschedule(v_actual.jobid);
    end if;
    return;
  end if;

  if v_actual.command is not null and v_actual.command <> v_command then
    raise exception using errcode = '42710',
      message = format('cannot register the job %s: pg_cron has an entry of that name which is not Daybook''s',
        p_job_name),
      detail = format('its command is: %s', left(v_actual.command, 60)),
      hint = format('take it out first: select cron.unschedule(%L)', p_job_name);
  end if;

  if v_actual.schedule is distinct from v_job.cron_entry then
    v_job_id := cron.schedule(p_job_name, v_job.cron_entry, v_command);
    v_actual.active := (select active from cron.job where jobid = v_job_id);
    v_actual.jobid := v_job_id;
  end if;
  -- cron.schedule leaves an entry inactive that was inactive before.
  if not v_actual.active then
    perform cron.alter_job(job_id := v_actual.jobid, active := true);
  end if;
end;
$$;
comment on function scheduler.sync_cron_entry(text) is
  'Makes pg_cron''s entry of a job what the registry says: there and active, or gone. Changes nothing that is right. '
    'Raises 42710 when the name belongs to somebody else''s entry.';

-- A run_if may be written as people write functions: quoted or not, with its arguments or without.
create function scheduler.run_if_function(p_run_if text) returns regprocedure
language plpgsql stable set search_path = '' as $$
begin
  return (
    select oid from pg_catalog.pg_proc
    where oid = to_regprocedure(case when right(btrim(p_run_if), 1) = ')' then p_run_if
      else p_run_if || '(timestamptz)' end)
      and prokind = 'f' and prorettype = 'boolean'::regtype and not proretset
      and pronargs = 1 and proargtypes[0] = 'timestamptz'::regtype);
exception when syntax_error_or_access_rule_violation or invalid_text_representation or feature_not_supported then
  return null;  -- no name of a function at all
end;
$$;
comment on function scheduler.run_if_function(text) is
  'The function (timestamptz) returns boolean that a run_if names, with its schema; null when there is none.';

-- Finds the fault in a job's values and names the value. It has no side effect, so a table of cases tests it.
create function scheduler.job_fault(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_is_url constant boolean := p_job.target like '%://%';
begin
  return coalesce(
    case
      when p_job.name = 'scheduler-pulse' then 'that name is the scheduler''s own pulse'
      when p_job.target !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' and p_job.target !~ '^https://[^\s/@]+(/\S*)?$'
        then format('target must be an edge function''s slug (letters, digits, - and _) or an https URL without user '
          'and password, got %L', p_job.target)
      when v_is_url and p_job.receipt = 'function' then 'a URL has no receipt of its own, receipt must be ''response'''
      when v_is_url and p_job.timeout_seconds > 50 then format(
        'timeout_seconds of a URL must be at most 50, got %s: pg_net holds back the answers to all other requests of '
          'its batch until the slowest has ended',
        p_job.timeout_seconds)
      when not v_is_url and p_job.secret_name !~ '\S' then 'secret_name must name a secret in Vault, got a blank one'
      when p_job.description is null then 'description must be a text, got null'
      when p_job.enabled is null then 'enabled must be true or false, got null'
      when jsonb_typeof(p_job.payload) is distinct from 'object'
        then format('payload must be a JSON object, got %s', coalesce(left(p_job.payload::text, 100), 'null'))
    end,
    (select format('%s must be from %s to %s, got %s', field, least_value, most_value, coalesce(value::text, 'null'))
      from (values
        (1, 'timeout_seconds', p_job.timeout_seconds, 1, 86400),
        (2, 'max_attempts', p_job.max_attempts, 1, 20),
        (3, 'backoff_base_seconds', p_job.backoff_base_seconds, 1, 86400),
        (4, 'backoff_cap_seconds', p_job.backoff_cap_seconds, 1, 86400),
        (5, 'misfire_grace_seconds', p_job.misfire_grace_seconds, 0, 86400),
        (6, 'misfire_cap', p_job.misfire_cap, 1, 1000),
        (7, 'parallel_limit', coalesce(p_job.parallel_limit, 1), 1, 1000)
      ) as ranges (place, field, value, least_value, most_value)
      where (value between least_value and most_value) is not true order by place limit 1),
    (select format('%s must be %s, got %s', field, choices, coalesce(quote_literal(value), 'null'))
      from (values
        (1, 'overlap_policy', p_job.overlap_policy, '''skip'', ''queue'' or ''allow'''),
        (2, 'misfire_policy', p_job.misfire_policy, '''skip'', ''once'' or ''all'''),
        (3, 'receipt', p_job.receipt, '''function'' or ''response''')
      ) as listed (place, field, value, choices)
      where (position(quote_literal(value) in choices) > 0) is not true order by place limit 1),
    case
      when p_job.parallel_limit is not null and p_job.overlap_policy <> 'allow'
        then format('parallel_limit needs overlap_policy => ''allow'', got %L', p_job.overlap_policy)
      when p_job.run_if is null then null
      when scheduler.run_if_function(p_job.run_if) is null
        then format('run_if must name a function (timestamptz) returns boolean, with its schema, got %L', p_job.run_if)
      when not has_function_privilege(scheduler.run_if_function(p_job.run_if), 'execute')
        then format('run_if %s may not be executed by %s', p_job.run_if, current_user)
      when p_job.schedule is null then 'run_if is asked for what a schedule makes due, and schedule is null'
    end);
end;
$$;
comment on function scheduler.job_fault(public.scheduler_jobs) is
  'The first thing that is wrong with a job''s values (its schedule and time zone apart), as the end of the sentence '
    '"cannot register the job: …"; null when nothing is.';

-- One job whose times cannot be read must not stop the verbs that change it.
create function scheduler.try_record_due(p_job public.scheduler_jobs, p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
begin
  if p_job.enabled then
    perform scheduler.hear_job(p_job.name, p_now);
    perform scheduler.record_due(p_job, p_now);
  end if;
  return null;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    return sqlerrm;
end;
$$;
comment on function scheduler.try_record_due(public.scheduler_jobs, timestamptz) is
  'Hears the job''s runs and gives every occurrence of it up to p_now its row, unless it is disabled. Returns why '
    'that cannot be done (its time zone is unknown, say), null when it was. The caller holds the job''s row lock.';

create function scheduler.register_job(
  name text,
  schedule text,
  time_zone text default 'UTC',
  target text default null,
  description text default '',
  payload jsonb default '{}',
  timeout_seconds integer default null,
  max_attempts integer default 3,
  backoff_base_seconds integer default 30,
  backoff_cap_seconds integer default 900,
  overlap_policy text default 'skip',
  misfire_policy text default 'once',
  misfire_grace_seconds integer default 300,
  misfire_cap integer default 24,
  receipt text default null,
  secret_name text default null,
  parallel_limit integer default null,
  run_if text default null,
  enabled boolean default true
) returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  v_job public.scheduler_jobs;
  v_is_url constant boolean := coalesce(register_job.target, '') like '%://%';
begin
  if register_job.name is null or register_job.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a job: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(register_job.name), 'null'));
  end if;
  v_job.name := register_job.name;
  v_job.schedule := register_job.schedule;
  v_job.time_zone := register_job.time_zone;
  v_job.target := coalesce(register_job.target, register_job.name);
  v_job.description := register_job.description;
  v_job.payload := register_job.payload;
  v_job.timeout_seconds := coalesce(register_job.timeout_seconds, case when v_is_url then 30 else 120 end);
  v_job.max_attempts := register_job.max_attempts;
  v_job.backoff_base_seconds := register_job.backoff_base_seconds;
  v_job.backoff_cap_seconds := register_job.backoff_cap_seconds;
  v_job.overlap_policy := register_job.overlap_policy;
  v_job.misfire_policy := register_job.misfire_policy;
  v_job.misfire_grace_seconds := register_job.misfire_grace_seconds;
  v_job.misfire_cap := register_job.misfire_cap;
  v_job.receipt := coalesce(register_job.receipt, case when v_is_url then 'response' else 'function' end);
  v_job.secret_name := coalesce(register_job.secret_name, case when v_is_url then '' else 'cron_secret' end);
  v_job.parallel_limit := register_job.parallel_limit;
  v_job.run_if := register_job.run_if;
  v_job.enabled := register_job.enabled;
  perform scheduler.put_job(v_job);
end;
$$;
comment on function scheduler.register_job is
  'Registers a job, or changes it to exactly these values (a pause stays). With schedule => null it runs only when it '
    'is enqueued or called. Durations in seconds; timeout_seconds defaults to 120, to 30 for a URL. target defaults '
    'to the edge function named like the job. Raises 22023 for a wrong argument, 42710 when pg_cron has a foreign '
    'entry of that name.';

create function scheduler.checked_job(p_job public.scheduler_jobs) returns public.scheduler_jobs
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs := p_job;
  v_fault text := scheduler.job_fault(p_job);
begin
  if v_fault is null then
    perform scheduler.assert_time_zone(v_job.time_zone);
    if v_job.schedule is not null then
      v_job.cron_entry := scheduler.compile_schedule(v_job.schedule, v_job.time_zone);
      v_fault := case when v_job.cron_entry is null then format('the schedule %L never occurs', v_job.schedule) end;
    end if;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: %s', v_job.name, v_fault);
  end if;
  -- As the catalogue names it, so that two ways of writing it are no change.
  v_job.run_if := (
    select format('%I.%I', nspname, proname) from pg_catalog.pg_proc
      join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
    where pg_proc.oid = scheduler.run_if_function(v_job.run_if));
  return v_job;
end;
$$;
comment on function scheduler.checked_job(public.scheduler_jobs) is
  'The job with its pg_cron entry and its run_if as the catalogue names it. Raises 22023 for a value that cannot be '
    'registered.';

-- The catalogue lists the columns: a second list here would have to agree with it.
create function scheduler.write_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  -- What registering leaves as it is.
  v_kept constant text[] := array[
    'function_name', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'created_at', 'updated_at'];
  v_columns constant text[] := array(
    select quote_ident(attname) from pg_catalog.pg_attribute
    where attrelid = 'public.scheduler_jobs'::regclass and attnum > 0 and not attisdropped and attname <> all (v_kept)
    order by attnum);
begin
  -- A row that has these values already is not written.
  if exists (
    select from public.scheduler_jobs as jobs
    where name = p_job.name and to_jsonb(jobs) - v_kept = to_jsonb(p_job) - v_kept) then
    return;
  end if;
  execute format('insert into public.scheduler_jobs (%1$s) select %2$s
      on conflict (name) do update set (%1$s, updated_at) = row(%3$s, now())',
    array_to_string(v_columns, ', '),
    (select string_agg('($1).' || name, ', ' order by place) from unnest(v_columns) with ordinality as c (name, place)),
    (select string_agg('excluded.' || name, ', ' order by place)
      from unnest(v_columns) with ordinality as c (name, place)))
    using p_job;
end;
$$;
comment on function scheduler.write_job(public.scheduler_jobs) is
  'Writes a job''s row, new or over the one of its name; a pause and created_at stay. Changes nothing that is right.';

create function scheduler.put_job(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.checked_job(p_job);
  v_old public.scheduler_jobs;
  v_has_same_times boolean;
  v_fault text;
begin
  select * into v_old from public.scheduler_jobs where name = v_job.name for no key update;
  v_has_same_times := (v_old.schedule, v_old.time_zone) is not distinct from (v_job.schedule, v_job.time_zone);
  if v_old.enabled and v_job.enabled and not v_has_same_times then
    -- Occurrences that came due under the old times are recorded before the times change.
    v_fault := scheduler.try_record_due(v_old, now());
    if v_fault is not null then
      v_fault := 'what came due under its old times is not in the ledger: ' || v_fault;
      raise warning '%: %', v_job.name, v_fault;
      perform scheduler.log_activity(v_job.name, v_fault, 'warning');
    end if;
  end if;
  -- The cursor stays where it is unless the times themselves change or the job is switched on.
  v_job.next_run_at := case
    when v_job.schedule is null then null
    when v_has_same_times and (v_old.enabled or not v_job.enabled) and v_old.next_run_at is not null
      then v_old.next_run_at
    else scheduler.next_occurrence(v_job.schedule, v_job.time_zone, now())
  end;
  perform scheduler.write_job(v_job);
  perform scheduler.sync_cron_entry(v_job.name);
end;
$$;
comment on function scheduler.put_job(public.scheduler_jobs) is
  'Writes a job into the registry and makes pg_cron follow, as register_job describes it: what it does once all '
    'values are there.';

create function scheduler.unregister_job(p_job_name text) returns void
language plpgsql set search_path = '' as $$
begin
  delete from public.scheduler_jobs where name = p_job_name;
  if not found then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  perform scheduler.sync_cron_entry(p_job_name);
end;
$$;
comment on function scheduler.unregister_job(text) is
  'Takes a job out of the registry and out of pg_cron. Its runs stay in the ledger; those that wait are cancelled by '
    'the next pulse. Raises SD001 for an unknown job.';

-- One place says what being paused means: an occurrence in the pause, or a pause that holds now.
create function scheduler.is_paused(p_job public.scheduler_jobs, p_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
  select p_job.paused_at is not null and p_job.paused_at <= p_at
    and (p_job.paused_until is null or p_at < p_job.paused_until);
$$;
comment on function scheduler.is_paused(public.scheduler_jobs, timestamptz) is 'Whether the job''s pause covers that '
  'moment.';

-- Asked before a row is written: an occurrence without work leaves no row.
create function scheduler.has_work(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_function regprocedure;
  v_answer boolean;
begin
  if p_job.run_if is null then
    return true;
  end if;
  v_function := scheduler.run_if_function(p_job.run_if);
  if v_function is null then
    raise exception using errcode = '42883',
      message = format('cannot ask whether %s has anything to do: its run_if %s is no function (timestamptz) returns '
        'boolean any more', p_job.name, p_job.run_if),
      hint = 'create it again, or register the job with another run_if';
  end if;
  begin
    execute format('select %s($1)', v_function::oid::regproc) into v_answer using p_occurrence;
  exception when others then
    raise exception using errcode = sqlstate,
      message = format('cannot ask whether %s has anything to do: its run_if %s failed: %s', p_job.name, p_job.run_if,
        left(sqlerrm, 500));
  end;
  return coalesce(v_answer, false);
end;
$$;
comment on function scheduler.has_work(public.scheduler_jobs, timestamptz) is
  'Whether the job has anything to do for that occurrence, by its run_if; true without one. Raises when it cannot be '
    'asked, naming the job, the run_if and the reason: 42883 when the function is gone, else the code that it failed '
    'with.';

-- The activity log, for people: one line for each run that matters, and lines that jobs and people add.

create table public.scheduler_activity (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  source text not null check (length(source) between 1 and 100),
  severity text not null default 'info' check (severity in ('info', 'warning', 'error')),
  message text not null check (length(message) between 1 and 1000),
  -- No foreign key: the line outlives its run.
  run_id uuid,
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object')
);

create index scheduler_activity_occurred_at_idx on public.scheduler_activity (occurred_at);
create unique index scheduler_activity_run_id_key
  on public.scheduler_activity (run_id) where run_id is not null;

comment on table public.scheduler_activity is
  'What happened, for people: one readable line for each run that mattered, and for what jobs and people add.';
comment on column public.scheduler_activity.source is 'Who says it: a job''s name, or what else log_activity was '
  'given.';
comment on column public.scheduler_activity.run_id is 'The run whose line this is, at most one each; null for all '
  'other lines.';

alter table public.scheduler_activity enable row level security;
revoke all on public.scheduler_activity from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_activity_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_activity to service_role;

create function scheduler.one_line(p_text text, p_length integer) returns text
language sql immutable set search_path = '' as $$
  select case when length(line) > p_length then left(line, p_length - 3) || '...' else line end
  from (select btrim(regexp_replace(p_text, '\s+', ' ', 'g')) as line) as lines;
$$;
comment on function scheduler.one_line(text, integer) is 'A text in one line of at most that many characters.';

create function scheduler.log_activity(
  p_source text, p_message text, p_severity text default 'info', p_details jsonb default '{}',
    p_now timestamptz default now()
) returns bigint
language plpgsql set search_path = '' as $$
declare
  v_source text := scheduler.one_line(p_source, 100);
  v_message text := scheduler.one_line(p_message, 1000);
  v_id bigint;
begin
  if coalesce(v_source, '') = '' or coalesce(v_message, '') = '' then
    raise exception using errcode = '22023', message = 'cannot log an activity: source and message must be given';
  end if;
  if p_severity is null or p_severity not in ('info', 'warning', 'error') then
    raise exception using errcode = '22023',
      message = format('cannot log an activity: severity must be info, warning or error, got %s',
        coalesce(quote_literal(p_severity), 'null'));
  end if;
  insert into public.scheduler_activity (occurred_at, source, severity, message, details)
    values (p_now, v_source, p_severity, v_message, coalesce(p_details, '{}'))
    returning id into v_id;
  return v_id;
end;
$$;
comment on function scheduler.log_activity(text, text, text, jsonb, timestamptz) is
  'Adds a line to scheduler_activity that is no run''s own, cut at 1,000 characters; returns its id. Raises 22023 for '
    'a missing source or message or an unknown severity.';

-- Security definer because service_role may add lines, but may not change or forge those of runs.
create function public.scheduler_log_activity(
  p_source text, p_message text, p_severity text default 'info', p_details jsonb default '{}'
) returns bigint
language sql security definer set search_path = '' as $$
  select scheduler.log_activity(p_source, p_message, p_severity, p_details);
$$;
comment on function public.scheduler_log_activity(text, text, text, jsonb) is
  'scheduler.log_activity by the clock of the database.';

-- The line of a run that is over, if it matters to a person.
create function scheduler.log_run(p_run public.scheduler_runs, p_retried boolean) returns void
language sql set search_path = '' as $$
  insert into public.scheduler_activity (occurred_at, source, severity, message, run_id, details)
  select p_run.completed_at, p_run.job_name, severity, scheduler.one_line(message, 1000), p_run.id,
    jsonb_build_object('scheduled_for', p_run.scheduled_for, 'attempt', p_run.attempt, 'verdict', p_run.verdict)
  from (select
    case
      when p_run.status = 'completed' and p_run.result ->> 'notable' in ('info', 'warning', 'error')
        then p_run.result ->> 'notable'
      when p_run.status = 'failed' and not p_retried then 'error'
      when p_run.status = 'cancelled' then 'warning'
    end as severity,
    case
      when p_run.status = 'completed' then coalesce(nullif(scheduler.one_line(p_run.result ->> 'summary', 1000),
        ''), 'completed')
      when p_run.error_message like p_run.status || ' by %' then p_run.error_message
      else concat_ws(': ', p_run.status, nullif(p_run.verdict, p_run.status), nullif(p_run.error_message, ''))
    end as message) as line
  where severity is not null
  on conflict do nothing;
$$;
comment on function scheduler.log_run(public.scheduler_runs, boolean) is
  'Writes the line of a run that is over into scheduler_activity, if it matters: a completed one whose result says so '
    '(notable: info, warning, error), a failed one that is not tried again, a cancelled one.';

-- An outage can leave hundreds of missed occurrences: one line tells of all.
create function scheduler.log_missed(
  p_job public.scheduler_jobs, p_count bigint, p_first timestamptz, p_last timestamptz, p_now timestamptz
) returns void
language sql set search_path = '' as $$
  insert into public.scheduler_activity (occurred_at, source, severity, message, details)
  select p_now, p_job.name, 'warning',
    case p_count when 1 then format('missed its occurrence of %s', scheduler.local_text(p_first, p_job.time_zone))
      else format('missed %s occurrences from %s to %s', p_count, scheduler.local_text(p_first, p_job.time_zone),
        scheduler.local_text(p_last, p_job.time_zone)) end
    || case p_job.misfire_policy when 'skip' then '' else '; made up for by misfire '
      'policy ' || p_job.misfire_policy end,
    jsonb_build_object('missed', p_count, 'first', p_first, 'last', p_last, 'misfire_policy', p_job.misfire_policy)
  where p_count > 0;
$$;
comment on function scheduler.log_missed(public.scheduler_jobs, bigint, timestamptz, timestamptz, timestamptz) is
  'One line in scheduler_activity for the occurrences of a job that were missed.';

revoke all on function public.scheduler_log_activity(text, text, text, jsonb) from public, anon, authenticated,
  service_role;
grant execute on function public.scheduler_log_activity(text, text, text, jsonb) to service_role;

-- Times that others report: clients, people, workers. Their clocks run fast, or were never set and say 1970. Whatever
-- is written has happened by then, so no reported time is later than the moment at which it is written, nothing ends
-- before it starts, and what has just begun did not begin before there was such a clock. A trigger keeps that: a row
-- is never refused for a bad clock, it is set right as it is written, and all that read it need not look again.

create table scheduler.odd_times (
  id bigint generated always as identity primary key,
  table_name text not null,
  row_id text not null,
  column_name text not null,
  reported timestamptz not null check (isfinite(reported)),
  written_at timestamptz not null default clock_timestamp() check (isfinite(written_at))
);
alter table scheduler.odd_times enable row level security;
revoke all on scheduler.odd_times from public, anon, authenticated, service_role;
revoke all on sequence scheduler.odd_times_id_seq from public, anon, authenticated, service_role;
comment on table scheduler.odd_times is
  'Reported times that were impossible by more than an hour and were corrected as they were written. Only added by '
    'writers, so that writers never wait for each other, and taken by take_odd_times, which names them.';

-- Called only for a row with such a time, see bound_times. Security definer: who may write the row has no right here.
create function scheduler.set_times_right() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_row constant jsonb := to_jsonb(new);
  v_start_column constant text := tg_argv[0];
  v_longest constant interval := nullif(tg_argv[1], '')::interval;
  v_now constant timestamptz := clock_timestamp();
  v_right jsonb;
  v_start timestamptz;
begin
  -- The column's own check refuses an infinity by name.
  if exists (select from unnest(tg_argv[2:]) as name where not isfinite((v_row ->> name)::timestamptz)) then
    return new;
  end if;
  if v_start_column <> '' then
    v_start := (v_row ->> v_start_column)::timestamptz;
    -- A session that began with a clock that was not set began when it is first heard of.
    if v_longest is not null and v_start < timestamptz '2020-01-01 00:00+00' then
      select min(least(at, v_now)) into v_start
        from unnest(tg_argv[2:]) as name, lateral (select (v_row ->> name)::timestamptz as at) as reported
        where at >= timestamptz '2020-01-01 00:00+00';
    end if;
    v_start := least(coalesce(v_start, v_now), v_now);
  end if;
  select jsonb_object_agg(name, case when name = v_start_column then v_start
      else greatest(v_start, least((v_row ->> name)::timestamptz, v_start + v_longest, v_now)) end)
    into v_right
    from unnest(tg_argv[2:]) as name where v_row ->> name is not null;
  insert into scheduler.odd_times (table_name, row_id, column_name, reported)
    select tg_table_name, v_row ->> 'id', name, reported
    from (select name, (v_row ->> name)::timestamptz as reported, value::timestamptz as kept
      from jsonb_each_text(v_right) as times (name, value)) as times
    where reported not between kept - interval '1 hour' and kept + interval '1 hour';
  return jsonb_populate_record(new, v_right);
end;
$$;
comment on function scheduler.set_times_right() is
  'Trigger: brings a row''s times back to the moment at which it is written and not before its start; see bound_times.';

create function scheduler.bound_times(p_table regclass, p_columns text[], p_start text default '',
  p_longest interval default null)
returns void
language plpgsql set search_path = '' as $$
declare
  v_new constant text[] := array(select format('new.%I', name) from unnest(p_columns) as name);
  v_others constant text := (select string_agg(format('new.%I', name), ', ') from unnest(p_columns) as name
    where name <> p_start);
  v_odd text := format('greatest(%s) > clock_timestamp()', array_to_string(v_new, ', '));
begin
  if p_start <> '' and v_others is not null then
    v_odd := v_odd || format(' or least(%s) < new.%I', v_others, p_start);
  end if;
  if p_longest is not null then
    -- In hours, which are added without a look at a time zone; not to a start that is so late that there is no sum.
    v_odd := format('case when %1$s or new.%2$I < timestamptz ''2020-01-01 00:00+00'' then true
      else greatest(%3$s) > new.%2$I + interval ''%4$s hours'' end',
      v_odd, p_start, v_others, extract(epoch from p_longest)::integer / 3600);
  end if;
  execute format('create trigger set_times_right before insert or update on %s for each row when (%s) execute '
    'function scheduler.set_times_right(%s)',
    p_table, v_odd,
    (select string_agg(quote_literal(argument), ', ') from unnest(array[p_start,
      coalesce(p_longest::text, '')] || p_columns) as argument));
end;
$$;
comment on function scheduler.bound_times(regclass, text[], text, interval) is
  'Has reported times of a table set right as rows are written: none later than now, none before the column p_start, '
    'none later than p_longest after it; a p_start of before 2020, with p_longest, counts from when the row is first '
    'heard of. A row whose times can be costs three comparisons.';

create function scheduler.take_odd_times(p_limit integer default 100000) returns integer
language plpgsql set search_path = '' as $$
declare
  v_taken integer;
  v_where text;
  v_rows jsonb;
begin
  with taken as (
    delete from scheduler.odd_times
    where id in (select id from scheduler.odd_times order by id limit p_limit)
    returning *
  ), counted as (
    select table_name || '.' || column_name as name, count(*) as number from taken group by 1
  )
  select (select count(*) from taken), (select string_agg(format('%s %s', number, name), ', ' order by number desc,
    name) from counted),
    (select jsonb_agg(jsonb_build_object('table', table_name, 'id', row_id, 'column', column_name, 'reported', reported)
      order by id)
      from (select * from taken order by id limit 20) as first)
    into v_taken, v_where, v_rows;
  if v_taken > 0 then
    perform scheduler.log_activity('reported-times', format('impossible times were corrected as they were '
      'written: %s', v_where),
      'warning', jsonb_build_object('rows', v_rows));
  end if;
  return v_taken;
end;
$$;
comment on function scheduler.take_odd_times(integer) is
  'Names in one line of scheduler_activity what was set right since the last call, the first 20 rows in its details; '
    'returns how many times that were.';

-- Numbers that arrive as JSON. A cast says that "NaN" is no integer and not whose figure it was.

create function scheduler.require_whole_numbers(p_what text, p_given jsonb, p_fields text[]) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_wrong text;
begin
  select format('%s.%s must be a whole number from 0 on, or null, got %s', p_what, field, left((p_given -> field)::text,
    50)) into v_wrong
    from unnest(p_fields) with ordinality as fields (field, place)
    where p_given ->> field !~ '^[0-9]{1,18}$'
    order by place limit 1;
  if v_wrong is not null then
    raise exception using errcode = '22023', message = 'cannot record: ' || v_wrong;
  end if;
end;
$$;
comment on function scheduler.require_whole_numbers(text, jsonb, text[]) is
  'Raises 22023, naming it, for a field of p_given that is there and no whole number from 0 on.';

-- When a row was last changed, whoever changed it.

create function scheduler.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.updated_at is not distinct from old.updated_at then
    new.updated_at := now();
  end if;
  return new;
end;
$$;
comment on function scheduler.set_updated_at() is
  'For a trigger before update: sets updated_at to now() unless the update sets it itself.';

-- The way of a row into the ledger. Only enqueue_runs, which may write thousands, has an insert of its own.

-- What each overlap policy does: allow takes no lock; skip and queue take one, and differ in overlap_kind.
create function scheduler.takes_lock(p_job public.scheduler_jobs) returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(p_job.overlap_policy <> 'allow', false);
$$;
comment on function scheduler.takes_lock(public.scheduler_jobs) is
  'Whether a run of the job holds the lock named like the job from its dispatch to its end; false of no job.';

create function scheduler.new_run(p_job public.scheduler_jobs, p_trigger text, p_scheduled_for timestamptz)
returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := p_job.name;
  v_run.function_name := p_job.function_name;
  v_run.status := 'queued';
  v_run.trigger := p_trigger;
  v_run.scheduled_for := p_scheduled_for;
  v_run.occurrences := 1;
  v_run.attempt := 1;
  v_run.max_attempts := p_job.max_attempts;
  v_run.timeout_seconds := p_job.timeout_seconds;
  v_run.payload := p_job.payload;
  v_run.receipt := p_job.receipt;
  v_run.created_at := now();
  return v_run;
end;
$$;
comment on function scheduler.new_run(public.scheduler_jobs, text, timestamptz) is
  'A queued run of the job for that moment, first attempt, with the job''s payload. Writes nothing: see add_runs.';

create function scheduler.next_attempt(p_run public.scheduler_runs, p_attempt integer) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := p_run.job_name;
  v_run.function_name := p_run.function_name;
  v_run.status := 'queued';
  v_run.trigger := 'retry';
  v_run.scheduled_for := p_run.scheduled_for;
  v_run.occurrences := 1;
  v_run.attempt := p_attempt;
  v_run.max_attempts := greatest(p_run.max_attempts, p_attempt);
  v_run.timeout_seconds := p_run.timeout_seconds;
  v_run.payload := p_run.payload;
  v_run.key := p_run.key;
  v_run.receipt := p_run.receipt;
  v_run.created_at := now();
  return v_run;
end;
$$;
comment on function scheduler.next_attempt(public.scheduler_runs, integer) is
  'That attempt of what the run is an attempt of, queued, with the run''s own payload and key. Writes nothing: see '
  'add_runs.';

create function scheduler.add_runs(p_runs public.scheduler_runs[]) returns setof public.scheduler_runs
language sql set search_path = '' as $$
  insert into public.scheduler_runs select runs.* from unnest(p_runs) as runs on conflict do nothing returning *;
$$;
comment on function scheduler.add_runs(public.scheduler_runs[]) is
  'Writes runs into the ledger, and returns those that it wrote: an attempt at an occurrence that has its row already '
  'is left as it is.';

-- Hands runs to pg_net.

-- Why a run's request cannot be made from what Vault holds; null when it can.
create function scheduler.secret_fault(p_name text, p_secret text, p_min_length integer) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_secret is null then
      format('Vault has no secret named %s: select vault.create_secret(''…'', %L)', p_name, p_name)
    when p_secret ~ '[\r\n]' then format('the secret %s in Vault contains a line break', p_name)
    when p_secret ~ '^\s|\s$' then format('the secret %s in Vault begins or ends with a blank', p_name)
    when p_secret collate "C" ~ '[^ -~]' then
      format('the secret %s in Vault contains a character outside printable ASCII', p_name)
    when length(p_secret) < p_min_length then
      format('the secret %s in Vault must have at least %s characters', p_name, p_min_length)
  end;
$$;
comment on function scheduler.secret_fault(text, text, integer) is
  'What is wrong with a secret, without showing it: missing, a line break (which would inject a header), blanks '
    'around it or a character outside printable ASCII (neither arrives in a header as it was sent), too short. Null '
    'when nothing is.';

create function scheduler.requests_since() returns timestamptz
language plpgsql set search_path = '' as $$
declare
  v_queue constant oid := 'net.http_request_queue'::regclass;
  v_since timestamptz;
begin
  select since into v_since from scheduler.request_epoch where queue = v_queue;
  if not found then
    -- The newest request that may be from before, not p_now: transactions that began a little earlier than this one are
    -- still sending.
    insert into scheduler.request_epoch as epoch (queue, since)
      select v_queue, coalesce(max(dispatched_at) + interval '1 microsecond', '-infinity')
      from public.scheduler_runs where request_id is not null and answered_at is null
      on conflict (only_row) do update set queue = excluded.queue, since = excluded.since
        where epoch.queue <> excluded.queue;
    select since into v_since from scheduler.request_epoch;
  end if;
  return v_since;
end;
$$;
comment on function scheduler.requests_since() is
  'Since when pg_net''s request ids count up without a break: -infinity, or, after a crash or after pg_net was '
    'dropped and created, just after the last request that was sent before it.';

-- A secret may have been put into Vault under the wrong name, and a URL may hold one: of a URL only the host is kept.
create function scheduler.hosts_only(p_text text) returns text
language sql immutable set search_path = '' as $$
  select regexp_replace(p_text, '[a-z][a-z0-9+.-]*://(?:[^\s/?#"''<>]*@)?([^\s/?#"''<>@]*)[^\s"''<>]*', '\1', 'gi');
$$;
comment on function scheduler.hosts_only(text) is 'The text with each URL in it cut down to its host (and port).';

create function scheduler.project_url_fault(p_url text) returns text
language sql immutable set search_path = '' as $$
  select case when p_url !~ '^https?://([a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/*$'
    then 'project_url in Vault must be the project''s URL and nothing more, such as https://<ref>.supabase.co' end;
$$;
comment on function scheduler.project_url_fault(text) is
  'What is wrong with the project''s URL, without showing it (it may be a secret put under the wrong name); null when '
    'nothing is.';

create function scheduler.try_lock(
  p_name text, p_run_id uuid, p_holder text, p_now timestamptz, p_expires_at timestamptz
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_held record;
  v_verdict text;
begin
  insert into public.scheduler_locks (name, run_id, holder, acquired_at, expires_at)
    values (p_name, p_run_id, p_holder, p_now, p_expires_at)
    on conflict (name) do nothing;
  if found then
    return true;
  end if;
  select run_id, expires_at into v_held from public.scheduler_locks where name = p_name;
  if v_held.run_id is null or v_held.expires_at > p_now then
    return false;
  end if;
  -- The run's row comes before the lock's row: a receipt on its way may be about to make the lock last longer.
  select case status when 'running' then 'timed_out' else 'lost' end into v_verdict
    from public.scheduler_runs where id = v_held.run_id for no key update;
  select run_id, expires_at into v_held from public.scheduler_locks where name = p_name;
  if v_held.expires_at > p_now then
    return false;
  end if;
  -- Pulse judges a silent run long before its lock expires; this is for the day on which pulse stood still.
  perform scheduler.take_back_request(request_id, id) from public.scheduler_runs where id = v_held.run_id
    and status = 'dispatched';
  perform scheduler.end_run(
    v_held.run_id, array['dispatched', 'running'], 'failed', v_verdict, p_now,
    p_error_message => 'its lock expired before a receipt came', p_send_next => false
  );
  delete from public.scheduler_locks where name = p_name;
  insert into public.scheduler_locks (name, run_id, holder, acquired_at, expires_at)
    values (p_name, p_run_id, p_holder, p_now, p_expires_at);
  return true;
end;
$$;
comment on function scheduler.try_lock(text, uuid, text, timestamptz, timestamptz) is
  'Takes the lock for the run, or says false when another run holds it. The caller holds the job''s row lock.';

create function scheduler.request_timeout_ms(p_job public.scheduler_jobs, p_timeout_seconds integer) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return case p_job.receipt when 'response' then p_timeout_seconds * 1000
    else scheduler.setting('scheduler.request_timeout_ms') end;
end;
$$;
comment on function scheduler.request_timeout_ms(public.scheduler_jobs, integer) is
  'How long pg_net waits for the answer: as long as a run may take where the answer is its receipt.';

create function scheduler.post_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_timeout_ms integer, out request_id bigint, out fault text
)
language plpgsql set search_path = '' as $$
declare
  v_is_url constant boolean := p_job.function_name is null;
  v_base_url text;
  v_secret text;
begin
  select max(decrypted_secret) filter (where name = p_job.secret_name),
      max(decrypted_secret) filter (where name = 'project_url')
    into v_secret, v_base_url
    from vault.decrypted_secrets where name in (p_job.secret_name, case when not v_is_url then 'project_url' end);
  if not v_is_url then
    fault := coalesce(
      scheduler.secret_fault('project_url', v_base_url, 1),
      scheduler.project_url_fault(v_base_url),
      scheduler.secret_fault(p_job.secret_name, v_secret, 32)
    );
  elsif p_job.secret_name <> '' then
    fault := scheduler.secret_fault(p_job.secret_name, v_secret, 1);
  end if;
  if fault is null then
    request_id := net.http_post(
      url := case when v_is_url then p_job.target else rtrim(v_base_url, '/') || '/functions/v1/' || p_job.target end,
      body := p_run.payload,
      headers := jsonb_strip_nulls(jsonb_build_object(
        'Content-Type', 'application/json',
        'x-cron-secret', case when not v_is_url then v_secret end,
        'Authorization', case when v_is_url and p_job.secret_name <> '' then 'Bearer ' || v_secret end,
        'x-run-id', p_run.id,
        'x-job-name', p_run.job_name,
        'x-attempt', p_run.attempt::text
      )),
      timeout_milliseconds := p_timeout_ms
    );
  end if;
exception when others then
  -- pg_net refuses a bad URL by raising, and quotes it; Vault refuses a secret that it cannot decrypt.
  -- Raising here would take the receipt of the run before this one with it.
  fault := scheduler.hosts_only(sqlerrm);
end;
$$;
comment on function scheduler.post_run(public.scheduler_jobs, public.scheduler_runs, integer) is
  'Hands a run''s request to pg_net: its id, or why it could not be made, without a secret and of a URL only the host.';

create function scheduler.send_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_timeout_ms constant integer := scheduler.request_timeout_ms(p_job, p_run.timeout_seconds);
  v_posted record;
begin
  if scheduler.takes_lock(p_job) and not scheduler.try_lock(
    p_job.name, p_run.id, 'dispatch', p_now,
    p_now + make_interval(secs => v_timeout_ms / 1000.0 + 2 * scheduler.setting('scheduler.receipt_timeout_seconds'))
  ) then
    return false;
  end if;
  if p_job.parallel_limit is not null then
    if p_job.parallel_limit <= (
      select count(*) from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running')
    ) then
      return false;
    end if;
  end if;

  perform scheduler.requests_since();
  v_posted := scheduler.post_run(p_job, p_run, v_timeout_ms);
  if v_posted.fault is not null then
    perform scheduler.end_run(
      p_run.id, array['queued'], 'failed', 'misconfigured', p_now, p_error_message => v_posted.fault,
        p_send_next => false
    );
    return true;
  end if;

  -- An older run with this id was sent before pg_net's ids began again: the answer to come is not its own.
  update public.scheduler_runs
    set answered_at = p_now, response_error = 'the request id was used again before an answer came'
    where id in (
      select id from public.scheduler_runs
      where request_id = v_posted.request_id and answered_at is null for no key update skip locked);
  update public.scheduler_runs
    set status = 'dispatched', dispatched_at = p_now, request_id = v_posted.request_id,
      -- Where it really went: the job may have been changed while its retry waited.
      function_name = p_job.function_name, receipt = p_job.receipt
    where id = p_run.id;
  return true;
end;
$$;
comment on function scheduler.send_run(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'Sends a queued run: takes the job''s lock and queues the request. False when another run holds the lock or as many '
    'runs are under way as may be; the run stays queued. A request that cannot be made ends the run as misconfigured. '
    'The caller holds the job''s row lock.';

-- Runs that wait for the lock or for their retry time, oldest first.
create function scheduler.send_queued(p_job public.scheduler_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_sent integer := 0;
begin
  if p_job.paused_at is not null and scheduler.is_paused(p_job, p_now) then
    return 0;
  end if;
  for v_run in
    select * from public.scheduler_runs
    where job_name = p_job.name and status = 'queued' and (run_after is null or run_after <= p_now)
    order by scheduled_for, attempt
    limit 100
  loop
    exit when not scheduler.send_run(p_job, v_run, p_now);
    v_sent := v_sent + 1;
  end loop;
  return v_sent;
end;
$$;
comment on function scheduler.send_queued(public.scheduler_jobs, timestamptz) is
  'Sends what of the job is due and waiting, as far as its lock allows; returns how many. The caller holds the job''s '
    'row lock.';

-- A receipt or a request for a run does not fail because pg_net is gone: the run goes on waiting, and the pulse tries
-- again and reports the failure.
create function scheduler.try_send_queued(p_job public.scheduler_jobs, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
begin
  return scheduler.send_queued(p_job, p_now);
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    raise warning 'what waits of the job % cannot be sent: %', p_job.name, scheduler.hosts_only(sqlerrm);
    return 0;
end;
$$;
comment on function scheduler.try_send_queued(public.scheduler_jobs, timestamptz) is
  'send_queued, which undoes itself alone when it fails: 0 then, with a warning. The caller holds the job''s row lock.';

-- Ends a run, for receipts, answers, verdicts of silence and operators alike.
-- Lock order everywhere: the job's row, the run's row, the lock's row.
create function scheduler.end_run(
  p_run_id uuid,
  p_from text[],
  p_status text,
  p_verdict text,
  p_now timestamptz,
  p_result jsonb default null,
  p_error_message text default null,
  p_error_detail jsonb default null,
  p_retryable boolean default true,
  p_send_next boolean default true
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_retry public.scheduler_runs;
  v_retried boolean := false;
begin
  select jobs.* into v_job from public.scheduler_jobs as jobs
    where jobs.name = (select job_name from public.scheduler_runs where id = p_run_id)
    for no key update;
  update public.scheduler_runs set
    status = p_status,
    -- The answer may have been read before the receipt came.
    verdict = case when p_verdict = 'ok' and answered_at is not null
      then scheduler.completed_verdict(response_status) else p_verdict end,
    completed_at = greatest(p_now, started_at),
    duration_ms = case when started_at is not null
      then least(extract(epoch from greatest(p_now, started_at) - started_at) * 1000, 2147483647)::integer end,
    result = coalesce(p_result, result),
    error_message = p_error_message,
    error_detail = p_error_detail
  where id = p_run_id and status = any (p_from)
  returning * into v_run;
  if not found then
    return false;
  end if;

  delete from public.scheduler_locks where run_id = p_run_id;

  if p_status = 'failed' and p_retryable and v_run.attempt < v_run.max_attempts and v_job.enabled then
    v_retry := scheduler.next_attempt(v_run, v_run.attempt + 1);
    -- Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter").
    v_retry.run_after := p_now + make_interval(secs => greatest(1, random() * least(
      v_job.backoff_cap_seconds, v_job.backoff_base_seconds * 2::numeric ^ (v_run.attempt - 1))));
    perform scheduler.add_runs(array[v_retry]);
    v_retried := found;
  end if;
  perform scheduler.log_run(v_run, v_retried);

  if p_send_next and v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  return true;
end;
$$;
comment on function scheduler.end_run(uuid, text[], text, text, timestamptz, jsonb, text, jsonb, boolean, boolean) is
  'Ends a run that is in one of the given statuses: releases its lock, plans its retry (exponential backoff, full '
    'jitter), writes its line into scheduler_activity if it matters, sends what waited for it. False, and nothing '
    'changed, when it is in no such status.';

-- Decides the fate of the occurrences that are due. Writes nothing.

create type scheduler.planned_occurrence as (
  occurrence timestamptz, until timestamptz, occurrences integer, fate text, fault text
);
comment on type scheduler.planned_occurrence is
  'An occurrence that is due (or all of a gap, up to `until`) and its fate: start, catch_up, faulty (with the '
    'reason), or the skip_kind with which it is skipped.';

create function scheduler.run_if_answer(p_job public.scheduler_jobs, p_occurrence timestamptz) returns text
language plpgsql set search_path = '' as $$
begin
  return case when scheduler.has_work(p_job, p_occurrence) then 'work' else 'no work' end;
exception when query_canceled or others then
  return sqlerrm;
end;
$$;
comment on function scheduler.run_if_answer(public.scheduler_jobs, timestamptz) is
  'What the job''s run_if says of an occurrence: work, no work, or the reason why it could not be asked.';

create function scheduler.pause_segments(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, paused boolean)
language sql immutable set search_path = '' as $$
  select greatest(p_from, begins), least(p_to, ends), during
  from (values
    ('-infinity'::timestamptz, coalesce(p_job.paused_at, 'infinity'), false),
    (p_job.paused_at, coalesce(p_job.paused_until, 'infinity'), true),
    (case when p_job.paused_at is not null then p_job.paused_until end, 'infinity', false)
  ) as segments (begins, ends, during)
  where begins is not null and greatest(p_from, begins) < least(p_to, ends);
$$;
comment on function scheduler.pause_segments(public.scheduler_jobs, timestamptz, timestamptz) is
  '[p_from, p_to) cut where the job''s pause begins and ends.';

-- A gap of more occurrences than this is one row of the ledger.
create function scheduler.gap_rows() returns integer
language sql immutable set search_path = '' as $$ select 1000 $$;
comment on function scheduler.gap_rows() is 'Up to so many missed occurrences each get a row of their own; more get '
  'one row that counts them.';

-- After somebody moved the cursor back, gap rows lie ahead of it; their occurrences are not counted again.
create function scheduler.unrecorded_segments(p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, paused boolean)
language sql stable set search_path = '' as $$
  select lower(free), upper(free), segments.paused
  from scheduler.pause_segments(p_job, p_from, p_to) as segments,
    unnest(tstzmultirange(tstzrange(segments.starts_at, segments.ends_at)) - coalesce((
      select range_agg(tstzrange(scheduled_for, scheduled_until + interval '1 microsecond')) from public.scheduler_runs
      where job_name = p_job.name and occurrences > 1 and scheduled_until >= p_from), '{}')) as free;
$$;
comment on function scheduler.unrecorded_segments(public.scheduler_jobs, timestamptz, timestamptz) is
  '[p_from, p_to) without the stretches for which there are gap rows, cut where the job''s pause begins and ends.';

create function scheduler.plan_gap(
  p_job public.scheduler_jobs, p_from timestamptz, p_last timestamptz, p_count bigint, p_kind text
) returns scheduler.planned_occurrence
language plpgsql stable set search_path = '' as $$
declare
  v_first timestamptz := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_from - interval '1 microsecond');
  v_recorded constant timestamptz[] := array(
    select scheduled_for from public.scheduler_runs
    where job_name = p_job.name and scheduled_for between p_from and p_last and attempt = 1 and trigger <> 'manual');
begin
  -- The same for rows of single occurrences; and the row of the first one would be in the way of the gap's own.
  if v_first = any (v_recorded) then
    v_first := (
      select min(at) from (
        select at from scheduler.occurrences(p_job.schedule, p_job.time_zone, v_first, p_last + interval '1 '
          'microsecond') as at
        except select unnest(v_recorded)) as unrecorded);
  end if;
  return (v_first, p_last, p_count - cardinality(v_recorded), p_kind, null)::scheduler.planned_occurrence;
end;
$$;
comment on function scheduler.plan_gap(public.scheduler_jobs, timestamptz, timestamptz, bigint, text) is
  'The one row for those of p_count occurrences from p_from to p_last, the last of them, that have no row yet.';

create function scheduler.plan_late(
  p_job public.scheduler_jobs, p_from timestamptz, p_to timestamptz, p_room integer
) returns setof scheduler.planned_occurrence
language plpgsql set search_path = '' as $$
declare
  v_segment record;
  v_listed timestamptz[];
  v_rest timestamptz[];
  v_room integer := p_room;
  v_kept integer;
  v_count bigint;
  v_is_gap boolean;
  v_kind text;
begin
  -- The newest first: they are the ones that are made up for.
  for v_segment in select * from scheduler.unrecorded_segments(p_job, p_from, p_to) order by starts_at desc loop
    v_kind := case when v_segment.paused then 'paused' else 'misfire_' || p_job.misfire_policy end;
    v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at);
    v_is_gap := v_count > scheduler.gap_rows() + v_room;
    v_listed := scheduler.newest_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at,
      case when v_is_gap then v_room + 1 else v_count::integer end);
    if p_job.run_if is not null and not v_is_gap then
      v_listed := array(select at from unnest(v_listed) as at where scheduler.run_if_answer(p_job, at) <> 'no work'
        order by at);
    end if;
    v_kept := case when v_segment.paused then 0 else least(v_room, cardinality(v_listed)) end;
    v_room := v_room - v_kept;
    v_rest := v_listed[:cardinality(v_listed) - v_kept];
    return query
      select at, null::timestamptz, 1, case answer when 'work' then 'catch_up' else 'faulty' end, case
        when answer <> 'work' then answer end
      from unnest(v_listed[cardinality(v_rest) + 1:]) as at, lateral (select scheduler.run_if_answer(p_job,
        at) as answer) as asked
      where answer <> 'no work';
    if not v_is_gap then
      return query select at, null::timestamptz, 1, v_kind, null::text from unnest(v_rest) as at;
    else
      return query select * from scheduler.plan_gap(p_job, v_segment.starts_at, v_rest[cardinality(v_rest)],
        v_count - v_kept, v_kind);
    end if;
  end loop;
end;
$$;
comment on function scheduler.plan_late(public.scheduler_jobs, timestamptz, timestamptz, integer) is
  'Occurrences in [p_from, p_to) that are too late to run as if nothing had happened: the newest p_room outside of a '
    'pause are caught up, the others are paused or misfires, a row each or, when there are more than gap_rows(), one '
    'row for all.';

create function scheduler.plan_on_time(p_job public.scheduler_jobs, p_due timestamptz[], p_now timestamptz)
returns setof scheduler.planned_occurrence
language sql set search_path = '' as $$
  with due as (
    select at, scheduler.is_paused(p_job, at) or scheduler.is_paused(p_job, p_now) as paused,
      scheduler.run_if_answer(p_job, at) as answer
    from unnest(p_due) as at
  ), with_work as (
    select *, at = max(at) filter (where not paused and answer = 'work') over () as newest
    from due where answer <> 'no work'
  )
  select at, null::timestamptz, 1,
    case
      when paused then 'paused'
      when answer <> 'work' then 'faulty'
      when newest or not scheduler.takes_lock(p_job) then 'start'
      -- The older ones were not dispatched. Only one run at a time may have the lock, and the newest counts.
      when p_job.misfire_policy = 'all' then 'catch_up'
      else 'superseded'
    end,
    case when answer <> 'work' and not paused then answer end
  from with_work order by at;
$$;
comment on function scheduler.plan_on_time(public.scheduler_jobs, timestamptz[], timestamptz) is
  'Occurrences that are due and not too late, in order. Where runs must not overlap, the newest that has work starts; '
    'older ones, which nobody fired, are caught up with misfire policy all and superseded with the others.';

create function scheduler.plan_occurrences(p_job public.scheduler_jobs, p_next timestamptz, p_now timestamptz)
returns scheduler.planned_occurrence[]
language plpgsql set search_path = '' as $$
declare
  -- pg_cron's own minute always counts as in time.
  v_on_time_from constant timestamptz := p_now - make_interval(secs => greatest(60, p_job.misfire_grace_seconds));
  v_due timestamptz[];
  v_plan scheduler.planned_occurrence[];
begin
  -- Nearly always one occurrence is due, the cursor itself.
  v_due := case
    when p_next <= p_now then array(select at from scheduler.occurrences(p_job.schedule, p_job.time_zone,
      greatest(p_job.next_run_at, v_on_time_from), p_now + interval '1 microsecond') as at order by at)
    when p_job.next_run_at >= v_on_time_from then array[p_job.next_run_at]
    else '{}' end;
  if v_due = array[p_job.next_run_at] and p_job.run_if is null and p_job.paused_at is null then
    return array[(p_job.next_run_at, null, 1, 'start', null)::scheduler.planned_occurrence];
  end if;
  v_plan := array(select planned from scheduler.plan_on_time(p_job, v_due, p_now) as planned);
  if p_job.next_run_at < v_on_time_from then
    v_plan := v_plan || array(select planned from scheduler.plan_late(
      p_job, p_job.next_run_at, v_on_time_from,
      case p_job.misfire_policy
        when 'all' then p_job.misfire_cap
        -- One run makes up for all missed ones; an occurrence that starts now is such a run.
        when 'once' then (not exists (select from unnest(v_plan) where fate = 'start'))::integer
        else 0 end) as planned);
  end if;
  return v_plan;
end;
$$;
comment on function scheduler.plan_occurrences(public.scheduler_jobs, timestamptz, timestamptz) is
  'The fate of every occurrence from the job''s cursor to p_now; p_next is the first occurrence after the cursor. '
    'Writes nothing.';

-- Records due occurrences: each gets its row in the ledger exactly once.

create function scheduler.grouped(p_number bigint) returns text
language sql immutable set search_path = '' as $$ select ltrim(to_char(p_number, 'FM999,999,999,999')) $$;
comment on function scheduler.grouped(bigint) is 'A number with its thousands apart: 40,320.';

-- The one place where a skip_kind becomes a sentence.
create function scheduler.skip_text(p_job public.scheduler_jobs, p_kind text, p_detail text default null) returns text
language sql stable set search_path = '' as $$
  select case p_kind
    when 'paused' then format('paused by %s: %s', p_job.paused_by, p_job.pause_reason)
    when 'overlap' then format('overlap: run %s was under way', p_detail)
    when 'queue_full' then format('queue full: run %s was at work and another one was waiting', p_detail)
    when 'superseded' then format('nobody fired it in time, and the occurrence of %s was due by then', p_detail)
    when 'misfire_once' then 'misfire policy once: made up for by a later run'
    when 'misfire_all' then format('misfire policy all: over its cap of %s', p_job.misfire_cap)
    when 'misfire_skip' then 'misfire policy skip'
  end;
$$;
comment on function scheduler.skip_text(public.scheduler_jobs, text, text) is
  'What a skip_kind says to people; the detail is the run that was under way, or the occurrence that was due.';

-- Why an occurrence does not run beside what is under way: null when it is sent or may wait.
create function scheduler.overlap_kind(
  p_job public.scheduler_jobs, p_holder_trigger text, p_catch_up_waits boolean, p_other_waits boolean
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_holder_trigger is null then null
    -- An occurrence waits for a run that was caught up: catching up must not cost the next occurrence its run.
    when (p_holder_trigger = 'catch_up' or p_catch_up_waits) and (p_job.misfire_policy = 'all' or not p_other_waits)
      then null
    when p_job.overlap_policy = 'skip' then 'overlap'
    when p_catch_up_waits or p_other_waits then 'queue_full'
  end;
$$;
comment on function scheduler.overlap_kind(public.scheduler_jobs, text, boolean, boolean) is
  'Whether an occurrence is skipped (overlap, queue_full) because of the run that holds the job''s lock, by that '
    'run''s trigger and by what waits already; null when it is not.';

create function scheduler.start_occurrence(p_job public.scheduler_jobs, p_scheduled_for timestamptz, p_now timestamptz)
returns uuid
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
  v_holder uuid;
  v_holder_trigger text;
begin
  if scheduler.takes_lock(p_job) then
    select runs.id, runs.trigger into v_holder, v_holder_trigger
      from public.scheduler_locks as locks join public.scheduler_runs as runs on runs.id = locks.run_id
      where locks.name = p_job.name and locks.expires_at > p_now;
  end if;
  -- pg_cron's entries start within two seconds; a later occurrence was found by the pulse, after a restart for example.
  v_run := scheduler.new_run(p_job,
    case when p_scheduled_for > p_now - interval '10 seconds' then 'cron' else 'catch_up' end, p_scheduled_for);
  if v_holder is not null then
    select scheduler.overlap_kind(p_job, v_holder_trigger,
        coalesce(bool_or(trigger = 'catch_up'), false), coalesce(bool_or(trigger = 'cron'), false)) into v_run.skip_kind
      from public.scheduler_runs where job_name = p_job.name and status = 'queued';
  end if;
  if v_run.skip_kind is not null then
    v_run.status := 'skipped';
    v_run.verdict := 'skipped';
    v_run.completed_at := p_now;
    v_run.skip_reason := scheduler.skip_text(p_job, v_run.skip_kind, v_holder::text);
  end if;

  select * into v_run from scheduler.add_runs(array[v_run]);
  if v_run.id is not null and v_holder is null then
    perform scheduler.send_run(p_job, v_run, p_now);
  end if;
  return v_run.id;
end;
$$;
comment on function scheduler.start_occurrence(public.scheduler_jobs, timestamptz, timestamptz) is
  'Writes the ledger row of a due occurrence and sends it, lets it wait, or says why not (overlap, queue_full). '
    'Returns the run, null when the occurrence had its row already. The caller holds the job''s row lock.';

create function scheduler.planned_run(
  p_job public.scheduler_jobs, p_planned scheduler.planned_occurrence, p_started text, p_now timestamptz
) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.new_run(
    p_job, case p_planned.fate when 'catch_up' then 'catch_up' else 'cron' end, p_planned.occurrence);
begin
  v_run.occurrences := p_planned.occurrences;
  v_run.scheduled_until := case when p_planned.occurrences > 1 then p_planned.until end;
  if p_planned.fate = 'catch_up' then
    return v_run;
  end if;
  v_run.completed_at := p_now;
  if p_planned.fate = 'faulty' then
    v_run.status := 'failed';
    v_run.verdict := 'dispatch_failed';
    v_run.error_message := p_planned.fault;
    return v_run;
  end if;
  v_run.status := case p_planned.fate when 'paused' then 'skipped' else 'missed' end;
  v_run.verdict := v_run.status;
  v_run.skip_kind := p_planned.fate;
  v_run.skip_reason := scheduler.skip_text(p_job, p_planned.fate, p_started);
  return v_run;
end;
$$;
comment on function scheduler.planned_run(public.scheduler_jobs, scheduler.planned_occurrence, text, timestamptz) is
  'The row of a planned occurrence that does not start now: skipped, missed, failed before it could be sent, or '
  'waiting to be caught up; p_started is the occurrence that starts instead.';

create function scheduler.record_planned(
  p_job public.scheduler_jobs, p_plan scheduler.planned_occurrence[], p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
declare
  v_started text := (
    select scheduler.local_text(max(occurrence), p_job.time_zone) from unnest(p_plan) where fate = 'start');
  v_missed bigint;
  v_first timestamptz;
  v_last timestamptz;
begin
  with recorded as (
    select * from scheduler.add_runs(array(
      select scheduler.planned_run(p_job, planned, v_started, p_now) from unnest(p_plan) as planned
      where fate <> 'start' and occurrences > 0
      order by occurrence)))
  select sum(occurrences), min(scheduled_for), max(coalesce(scheduled_until, scheduled_for)) into v_missed, v_first,
    v_last
    from recorded where status = 'missed';
  perform scheduler.log_missed(p_job, v_missed, v_first, v_last, p_now);
end;
$$;
comment on function scheduler.record_planned(public.scheduler_jobs, scheduler.planned_occurrence[], timestamptz) is
  'Writes the rows of planned occurrences that do not start now. The caller holds the job''s row lock.';

create function scheduler.entry_covers(p_entry text, p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.next_occurrence(p_entry, 'UTC', date_trunc('minute', p_at) - interval '1 '
    'microsecond') = date_trunc('minute', p_at);
$$;
comment on function scheduler.entry_covers(text, timestamptz) is 'Whether that UTC cron entry fires in that minute.';

create function scheduler.move_cursor(p_job public.scheduler_jobs, p_next timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_entry text;
begin
  -- Zones change their rules, UTC has none. The entry in pg_cron is checked against each next occurrence.
  if p_job.time_zone <> 'UTC' and p_next is not null and not scheduler.entry_covers(p_job.cron_entry, p_next) then
    v_entry := scheduler.compile_schedule(p_job.schedule, p_job.time_zone);
  end if;
  update public.scheduler_jobs
    set next_run_at = p_next, cron_entry = coalesce(v_entry, cron_entry)
    where name = p_job.name;
  if v_entry is not null then
    perform scheduler.sync_cron_entry(p_job.name);
  end if;
end;
$$;
comment on function scheduler.move_cursor(public.scheduler_jobs, timestamptz) is
  'Sets the job''s next occurrence, and compiles pg_cron''s entry anew when it does not cover it.';

create function scheduler.record_due(p_job public.scheduler_jobs, p_now timestamptz) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_next timestamptz;
  v_plan scheduler.planned_occurrence[];
  v_planned scheduler.planned_occurrence;
  v_others boolean := false;
  v_run_id uuid;
begin
  if p_job.next_run_at is null or p_job.next_run_at > p_now then
    return null;
  end if;
  v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_job.next_run_at);
  v_plan := scheduler.plan_occurrences(p_job, v_next, p_now);
  if v_next <= p_now then
    v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_now);
  end if;

  foreach v_planned in array v_plan loop
    v_others := v_others or v_planned.fate <> 'start';
  end loop;
  if v_others then
    perform scheduler.record_planned(p_job, v_plan, p_now);
    perform scheduler.send_queued(p_job, p_now);
  end if;
  foreach v_planned in array v_plan loop
    if v_planned.fate = 'start' then
      v_run_id := scheduler.start_occurrence(p_job, v_planned.occurrence, p_now);
    end if;
  end loop;
  perform scheduler.move_cursor(p_job, v_next);
  return v_run_id;
end;
$$;
comment on function scheduler.record_due(public.scheduler_jobs, timestamptz) is
  'Gives every occurrence from the job''s cursor to p_now its row: started, skipped, missed or caught up by the '
    'policies; then moves the cursor. Returns the last run it started. The caller holds the job''s row lock.';

-- Which of the three witnesses is missing: did pg_cron not fire at all, or did its statement fail? Asked once for all
-- occurrences that a transaction found missed, and only of the newest rows: cron.job_run_details is long and has no
-- index but its run id.
create function scheduler.name_failed_dispatches(p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  update public.scheduler_runs as runs set verdict = 'dispatch_failed'
  from (
    select distinct entries.jobname, date_trunc('minute', details.start_time) as minute
    from (select * from cron.job_run_details order by runid desc limit 20000) as details
    join cron.job as entries on entries.jobid = details.jobid
    where details.status = 'failed'
  ) as failed
  where runs.status = 'missed' and runs.completed_at = p_now and runs.occurrences = 1
    and runs.job_name = failed.jobname and date_trunc('minute', runs.scheduled_for) = failed.minute;
exception when query_canceled or others then
  -- Naming the cause is a help alone: its failure must not undo what was recorded and sent.
  raise warning 'cannot tell which dispatches failed: %', sqlerrm;
end;
$$;
comment on function scheduler.name_failed_dispatches(timestamptz) is
  'Of the occurrences that were found missed at p_now: those whose minute pg_cron fired in vain, by its own record, '
    'are dispatch_failed.';

-- Reads pg_net's answers and decides which of them end a run.

-- The meaning of an answer without a receipt. Null: it decides nothing yet, as the receipt may still come.
create function scheduler.answer_verdict(p_receipt text, p_status integer, p_timed_out boolean, p_error text)
returns text
language sql immutable set search_path = '' as $$
  select case
    when p_status between 200 and 299 then case p_receipt when 'response' then 'ok' end
    when p_status in (401, 403) then 'unauthorized'
    when p_status = 404 then 'not_found'
    when p_status in (400, 413, 415, 422) then 'bad_input'
    when p_status = 429 then 'rate_limited'
    when p_status = 503 then 'boot_error'
    when p_status = 504 then 'gateway_timeout'
    when p_status = 546 then 'worker_limit'
    when p_status is not null then 'http_error'
    when p_timed_out then case p_receipt when 'response' then 'timed_out' end
    when p_error is not null then case when p_error ilike 'timeout%' then case p_receipt when 'response'
      then 'timed_out' end
      else 'unreachable' end
  end;
$$;
comment on function scheduler.answer_verdict(text, integer, boolean, text) is
  'The verdict that pg_net''s answer alone justifies; null when it proves nothing (a function still at work).';

create function scheduler.completed_verdict(p_status integer) returns text
language sql immutable set search_path = '' as $$
  select case when p_status is null then 'ok_unanswered' when p_status < 300 then 'ok' else 'ok_contradicted' end;
$$;
comment on function scheduler.completed_verdict(integer) is
  'The verdict of a run that delivered its receipt, given the HTTP status pg_net saw (null: none).';

-- Daybook's functions answer {"error": {"code", "message"}}. The rest of a body may hold secrets and is not kept.
create function scheduler.answer_message(p_content text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return left(p_content::jsonb -> 'error' ->> 'message', 500);
exception when data_exception or program_limit_exceeded then
  -- No JSON, JSON that jsonb cannot hold (\u0000), or nested too deep.
  return null;
end;
$$;
comment on function scheduler.answer_message(text) is 'The message in a function''s error answer, null when it holds '
  'none.';

-- pg_net sends a batch a second time when its worker was stopped in the first. The answer to the first request is lost,
-- and the function refuses the second with {"error": {"code": "run_refused"}}. Such an answer contradicts no receipt.
create function scheduler.is_second_refused(p_status integer, p_content text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_status = 409 and p_content::jsonb -> 'error' ->> 'code' = 'run_refused';
exception when data_exception or program_limit_exceeded then
  return false;
end;
$$;
comment on function scheduler.is_second_refused(integer, text) is
  'Whether an answer is our own function''s refusal of a run that it was asked for already.';

-- Without nested loops: while the statistics of pg_net's answers are old, 5,000 runs and as many answers took 6.4 s
-- instead of 0.16 s.
create function scheduler.unread_answers(p_job_names text[] default null)
returns table (run_id uuid, job_name text, status text, status_code integer, error text, verdict text, message text)
language sql stable set search_path = '' set enable_nestloop = off rows 100 as $$
  with asking as (
    select * from public.scheduler_runs as runs
    where runs.request_id is not null and runs.answered_at is null
      and runs.dispatched_at >= (select since from scheduler.request_epoch)
      -- Several runs can have one id; the join below finds the run that an answer belongs to.
      and (p_job_names is null or runs.request_id in (
        select request_id from public.scheduler_runs
        where job_name = any (p_job_names) and request_id is not null and answered_at is null))
  ), answers as (
    -- Ids start again after a crash: an answer belongs to the newest run of that id that was sent before it.
    select distinct on (responses.id)
      asking.id, asking.job_name, asking.status, asking.receipt, asking.function_name is not null as is_function,
      responses.status_code, responses.timed_out, scheduler.hosts_only(responses.error_msg) as error, responses.content,
      asking.status <> 'dispatched' and scheduler.is_second_refused(responses.status_code,
        responses.content) as second_refused
    from asking
    join net._http_response as responses on responses.id = asking.request_id
      -- pg_net stamps an answer with the begin of its own transaction, which can lie a moment before ours.
      and responses.created >= asking.dispatched_at - interval '5 seconds'
    -- pg_net has an index of its answers by time only.
    where responses.created >= (select min(dispatched_at) - interval '5 seconds' from asking)
      and coalesce(responses.headers ->> 'x-run-id', asking.id::text) = asking.id::text
    order by responses.id, asking.dispatched_at desc
  )
  select id, job_name, status,
    case when not second_refused then status_code end,
    case when second_refused then 'the answer is lost; a second request for the run was refused' else left(error,
      500) end,
    scheduler.answer_verdict(receipt, status_code, timed_out, error),
    coalesce(case when is_function then scheduler.answer_message(content) end, left(error, 500), format('HTTP %s',
      status_code))
  from answers
  where p_job_names is null or job_name = any (p_job_names);
$$;
comment on function scheduler.unread_answers(text[]) is
  'Answers that pg_net has to runs of these jobs (null: of all) and that are not in the ledger yet, with the verdict '
    'that they justify and its message. An answer is a run''s by its request id, its time and, where it has one, its '
    'x-run-id.';

create function scheduler.read_answers(p_job_name text, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_answer record;
  v_read integer := 0;
begin
  for v_answer in select * from scheduler.unread_answers(array[p_job_name]) loop
    update public.scheduler_runs
      set answered_at = p_now, response_status = v_answer.status_code, response_error = v_answer.error,
        verdict = case when verdict = 'ok' then scheduler.completed_verdict(v_answer.status_code) else verdict end
      where id = v_answer.run_id;
    v_read := v_read + 1;
    if v_answer.verdict is not null then
      perform scheduler.end_run(
        v_answer.run_id, array['dispatched'], case v_answer.verdict when 'ok' then 'completed' else 'failed' end,
        v_answer.verdict, p_now, p_error_message => case when v_answer.verdict <> 'ok' then v_answer.message end,
        p_retryable => v_answer.verdict <> 'bad_input', p_send_next => false);
    end if;
  end loop;
  return v_read;
end;
$$;
comment on function scheduler.read_answers(text, timestamptz) is
  'Ties pg_net''s answers to the runs of a job and ends those that an answer alone decides. Returns how many it read. '
    'The caller holds the job''s row lock.';

-- An answer does not end a run that is at work or over, so this takes no lock of a job and skips rows that are locked.
create function scheduler.note_answers(p_now timestamptz) returns integer
language sql set search_path = '' as $$
  with free as (
    select id from public.scheduler_runs
    where request_id is not null and answered_at is null and status <> 'dispatched'
    for no key update skip locked
  ), noted as (
    update public.scheduler_runs as runs
      set answered_at = p_now, response_status = answers.status_code, response_error = answers.error,
        verdict = case when runs.verdict = 'ok' then scheduler.completed_verdict(answers.status_code)
          else runs.verdict end
      from scheduler.unread_answers() as answers
      where runs.id = answers.run_id and runs.id in (select id from free)
      returning 1
  )
  select count(*)::integer from noted;
$$;
comment on function scheduler.note_answers(timestamptz) is
  'Writes down the answers to runs that are at work or over. Returns how many.';

create function scheduler.close_unanswered(p_now timestamptz) returns integer
language sql set search_path = '' as $$
  with closed as (
    update public.scheduler_runs as runs
      set answered_at = p_now, response_error = 'no answer was seen',
        verdict = case when verdict = 'ok' then 'ok_unanswered' else verdict end
      where id in (
        select id from public.scheduler_runs
        where request_id is not null and answered_at is null and completed_at is not null
          and dispatched_at < p_now - make_interval(
            secs => timeout_seconds + scheduler.setting('scheduler.receipt_timeout_seconds'))
        for no key update skip locked)
        and id not in (select run_id from scheduler.unread_answers())
      returning 1
  )
  select count(*)::integer from closed;
$$;
comment on function scheduler.close_unanswered(timestamptz) is
  'Gives up on the answers to runs that are over and were dispatched too long ago, unless one lies unread. Returns '
    'how many.';

-- Judges runs of which no receipt, heartbeat or answer came for too long.

create function scheduler.silence_verdict(
  p_run public.scheduler_runs, p_now timestamptz, p_receipt_timeout interval, p_heartbeat_timeout interval,
    p_grace interval
) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_run.status = 'dispatched' and p_run.dispatched_at < p_now - p_receipt_timeout
        - case p_run.receipt when 'response' then make_interval(secs => p_run.timeout_seconds) else interval '0' end
      then case when p_run.response_status between 200 and 299 then 'no_receipt' else 'lost' end
    when p_run.status <> 'running' then null
    -- A heartbeat that stopped long before the deadline is the cause, whenever it is noticed.
    when p_run.heartbeat_at < least(p_now, deadline) - p_heartbeat_timeout then 'stalled'
    when deadline + p_grace < p_now then 'timed_out'
  end
  from (select p_run.started_at + make_interval(secs => p_run.timeout_seconds) as deadline) as at;
$$;
comment on function scheduler.silence_verdict(public.scheduler_runs, timestamptz, interval, interval, interval) is
  'What a run''s silence means at p_now: lost, no_receipt, stalled, timed_out; null while it may still be heard of.';

create function scheduler.silent_runs(p_now timestamptz, p_job_names text[] default null)
returns table (id uuid, job_name text, status text, request_id bigint, dispatched_at timestamptz, verdict text)
language sql stable set search_path = '' rows 100 as $$
  -- Offset 0: without it the settings are read again for each run, and 5,000 runs take 280 ms instead of 90.
  select runs.id, runs.job_name, runs.status, runs.request_id, runs.dispatched_at, judged.verdict
  from (select
    make_interval(secs => scheduler.setting('scheduler.receipt_timeout_seconds')) as receipt_timeout,
    make_interval(secs => scheduler.setting('scheduler.heartbeat_timeout_seconds')) as heartbeat_timeout,
    make_interval(secs => scheduler.setting('scheduler.deadline_grace_seconds')) as grace offset 0) as settings,
  public.scheduler_runs as runs,
  lateral (select scheduler.silence_verdict(runs, p_now, receipt_timeout, heartbeat_timeout,
    grace) as verdict) as judged
  where runs.status in ('dispatched', 'running') and (p_job_names is null or runs.job_name = any (p_job_names))
    and judged.verdict is not null;
$$;
comment on function scheduler.silent_runs(timestamptz, text[]) is
  'The runs (of these jobs, null: of all) of which nothing was heard for too long, and what that means.';

-- By its id and its header: ids start again, and a stranger's request must not be taken out of the queue.
create function scheduler.take_back_request(p_request_id bigint, p_run_id uuid) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from net.http_request_queue as waiting using (
    select ctid from net.http_request_queue
    where id = p_request_id and headers ->> 'x-run-id' = p_run_id::text
    for update skip locked) as free
  where waiting.ctid = free.ctid;
  return found;
end;
$$;
comment on function scheduler.take_back_request(bigint, uuid) is
  'Takes a run''s request out of pg_net''s queue, so that it cannot go out beside a retry. False when it is not '
    'there, or is being sent at this moment.';

create function scheduler.request_waits(p_request_id bigint, p_run_id uuid) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from net.http_request_queue
    where id = p_request_id and headers ->> 'x-run-id' = p_run_id::text);
$$;
comment on function scheduler.request_waits(bigint, uuid) is 'Whether a run''s request still is in pg_net''s queue.';

create function scheduler.judge_silent_runs(p_job_name text, p_now timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
  v_run record;
  v_verdict text;
  v_judged integer := 0;
begin
  for v_run in select * from scheduler.silent_runs(p_now, array[p_job_name]) limit 1000 loop
    -- A receipt may have come since, or be on its way. It wins.
    perform from public.scheduler_runs where id = v_run.id for no key update;
    continue when not exists (select from scheduler.silent_runs(p_now, array[p_job_name]) as still
      where still.id = v_run.id);
    v_verdict := v_run.verdict;
    if v_verdict = 'lost' and scheduler.request_waits(v_run.request_id, v_run.id) then
      v_verdict := 'not_sent';
      -- If pg_net holds the row it is being sent at this moment.
      continue when not scheduler.take_back_request(v_run.request_id, v_run.id)
        and v_run.dispatched_at > p_now - interval '1 hour';
    end if;
    if scheduler.end_run(v_run.id, array[v_run.status], 'failed', v_verdict, p_now,
      p_error_message => (select meaning from scheduler.verdicts where verdict = v_verdict), p_send_next => false) then
      v_judged := v_judged + 1;
    end if;
  end loop;
  return v_judged;
end;
$$;
comment on function scheduler.judge_silent_runs(text, timestamptz) is
  'Ends runs of a job of which nothing was heard for too long: lost, not_sent, no_receipt, stalled, timed_out. '
    'Returns how many. The caller holds the job''s row lock and has read the answers.';

-- pg_cron calls dispatch for a job. Dispatch and pulse lock jobs, read their answers, judge their runs and send.

-- The order of locks is the job's row, then the run's row. A transaction that holds the rows of several jobs never
-- waits for another job: two that wait for each other would deadlock.
create function scheduler.try_lock_job(p_job_name text) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update skip locked;
  return found or not exists (select from public.scheduler_jobs where name = p_job_name);
end;
$$;
comment on function scheduler.try_lock_job(text) is
  'Locks the job''s row unless somebody else has it: false then. True also for a job that is not registered any more.';

-- Answers come first: an unread answer could end a run that is judged silent, or because of which another is skipped.
create function scheduler.hear_job(p_job_name text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_answers integer;
begin
  if not exists (select from public.scheduler_runs where job_name = p_job_name and status in ('dispatched', 'running'))
    then
    return jsonb_build_object('answers', 0, 'judged', 0);
  end if;
  perform scheduler.requests_since();
  v_answers := scheduler.read_answers(p_job_name, p_now);
  return jsonb_build_object('answers', v_answers, 'judged', scheduler.judge_silent_runs(p_job_name, p_now));
end;
$$;
comment on function scheduler.hear_job(text, timestamptz) is
  'Reads the answers to the job''s runs, then judges those of which nothing was heard, where any run is under way. '
    '{"answers": runs, "judged": runs}. The caller holds the job''s row lock.';

create function scheduler.jobs_to_hear(p_now timestamptz, p_job_names text[] default null) returns setof text
language sql stable set search_path = '' as $$
  select job_name from scheduler.unread_answers(p_job_names) where status = 'dispatched'
  union
  select job_name from scheduler.silent_runs(p_now, p_job_names);
$$;
comment on function scheduler.jobs_to_hear(timestamptz, text[]) is
  'Which of these jobs (null: of all) have a run that an answer may end, or of which nothing was heard for too long.';

create function scheduler.cancel_orphans(p_job_name text, p_now timestamptz) returns void
language sql set search_path = '' as $$
  select scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', p_now,
    p_error_message => 'the job was disabled or taken out of the registry while this run waited', p_send_next => false)
  from public.scheduler_runs where job_name = p_job_name and status = 'queued' limit 1000;
$$;
comment on function scheduler.cancel_orphans(text, timestamptz) is
  'Cancels what waits of a job that is disabled or gone. The caller holds the job''s row lock, if it has a row.';

create function scheduler.advance_job(p_job_name text, p_hear boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_told jsonb := case when p_hear then scheduler.hear_job(p_job_name, p_now) else jsonb_build_object() end;
  v_run_id uuid;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if not coalesce(v_job.enabled, false) then
    perform scheduler.cancel_orphans(p_job_name, p_now);
    return v_told;
  end if;
  -- Waiting runs are older than occurrences that come due now.
  v_told := v_told || jsonb_build_object('sent', scheduler.send_queued(v_job, p_now));
  v_run_id := scheduler.record_due(v_job, p_now);
  return v_told || jsonb_build_object('run', v_run_id, 'recorded', coalesce(v_job.next_run_at <= p_now,
    false)::integer);
end;
$$;
comment on function scheduler.advance_job(text, boolean, timestamptz) is
  'Hears a job''s runs, if told to, sends what waits as far as it may, and gives its due occurrences their rows. '
    '{"answers", "judged", "sent": runs that waited, "recorded": 1 when any was due, "run": the last one started}. '
    'The caller holds the job''s row lock.';

create function scheduler.advance_jobs(
  p_job_names text[], p_to_hear text[], p_now timestamptz, p_until timestamptz default 'infinity'
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_told jsonb;
  v_answers integer := 0;
  v_judged integer := 0;
  v_sent integer := 0;
  v_recorded integer := 0;
  v_last text;
  v_errors jsonb := jsonb_build_object();
begin
  foreach v_name in array p_job_names loop
    exit when v_last is not null and clock_timestamp() > p_until;
    v_last := v_name;
    continue when not scheduler.try_lock_job(v_name);
    begin
      v_told := scheduler.advance_job(v_name, v_name = any (p_to_hear), p_now);
      v_answers := v_answers + coalesce((v_told ->> 'answers')::integer, 0);
      v_judged := v_judged + coalesce((v_told ->> 'judged')::integer, 0);
      v_sent := v_sent + coalesce((v_told ->> 'sent')::integer, 0);
      v_recorded := v_recorded + coalesce((v_told ->> 'recorded')::integer, 0);
    exception when query_canceled or others then
      -- One job whose zone was dropped, or whose step takes too long, must not stop all others.
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
      raise warning 'cannot dispatch the job %: %', v_name, sqlerrm;
    end;
  end loop;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;
  return jsonb_build_object('answers', v_answers, 'judged', v_judged, 'sent', v_sent, 'recorded', v_recorded,
    'last', v_last, 'errors', v_errors);
end;
$$;
comment on function scheduler.advance_jobs(text[], text[], timestamptz, timestamptz) is
  'advance_job for each of the jobs, each in a subtransaction of its own, until the clock shows p_until (at least '
    'one); p_to_hear are those to hear first. Locks each as it comes to it and leaves those alone that somebody else '
    'holds. The sums of what each tells, {"last": the job it came to, "errors": {job: message}}.';

create function scheduler.lead_dispatch(p_job_name text, p_now timestamptz) returns boolean
language plpgsql set search_path = '' set lock_timeout = '5s' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: dispatch', 0));
  if exists (select from public.scheduler_jobs where name = p_job_name and enabled and next_run_at <= p_now)
    and scheduler.try_lock_job(p_job_name) then
    return true;
  end if;
  -- Only a rollback releases the advisory lock. Waiting for a job's row while holding it would make all others wait.
  raise exception 'this is not the one that leads';
exception when raise_exception or lock_not_available then
  return false;
end;
$$;
comment on function scheduler.lead_dispatch(text, timestamptz) is
  'Makes this transaction the one that dispatches for all others, and locks the job''s row. While another one leads '
    'it waits, up to 5 s: a transaction left open must not hold up every entry. False then, when the job is '
    'not due any more, and when another transaction holds its row: without the lead an entry dispatches only its own '
    'job.';

-- pg_cron gives each call a session of its own. There Postgres would plan each statement anew for the first five jobs:
-- with 190 jobs due that costs the session 350 ms of processor time instead of 305, with one job nothing.
create function scheduler.dispatch(p_job_name text, p_now timestamptz default now()) returns uuid
language plpgsql set search_path = '' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_leads boolean;
  v_run_id uuid;
  v_others text[];
begin
  if not exists (select from public.scheduler_jobs where name = p_job_name) then
    perform scheduler.refuse_unknown_job(p_job_name,
      format('register it, or take the entry out of pg_cron: select cron.unschedule(%L)', p_job_name));
  end if;
  v_leads := scheduler.lead_dispatch(p_job_name, p_now);
  perform from public.scheduler_jobs where name = p_job_name and enabled and next_run_at <= p_now for no key update;
  if not found then
    return null;
  end if;
  v_run_id := (scheduler.advance_job(p_job_name, true, p_now) ->> 'run')::uuid;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;
  if not v_leads then
    return v_run_id;
  end if;

  -- pg_net sends what is committed when it wakes, at most 200 requests, and then sleeps a second: all due
  -- jobs leave in one batch. The entries that waited find their jobs' cursors moved. Recording a long outage takes tens
  -- of milliseconds a job: each job's own entry or the pulse does that, so that no receipt waits for all of them.
  v_others := array(
    select name from public.scheduler_jobs
    where enabled and next_run_at <= p_now and next_run_at > p_now - interval '5 minutes' and name <> p_job_name
    order by next_run_at, name limit 199);
  if cardinality(v_others) > 0 then
    perform scheduler.advance_jobs(v_others, array(select scheduler.jobs_to_hear(p_now, v_others)), p_now);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.dispatch(text, timestamptz) is
  'What pg_cron calls. Starts the job''s occurrence that is due at p_now and returns its run; null when none is due '
    'or it was dispatched already. Takes along what else is due and less than 5 minutes late, up to 200 jobs. Safe to '
    'call any number of times at once. Raises SD001 for an unknown job.';

-- Receipts: an edge function says that its run has begun, is alive, or has ended.

create function scheduler.begin_run(
  p_run_id uuid, p_function_name text, p_holder text default '', p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  update public.scheduler_runs
    set status = 'running', started_at = greatest(p_now, dispatched_at), heartbeat_at = p_now
    where id = p_run_id and status = 'dispatched' and function_name = p_function_name
    returning * into v_run;
  if found then
    update public.scheduler_locks set
      holder = p_holder,
      expires_at = p_now + make_interval(
        secs => v_run.timeout_seconds + 2 * scheduler.setting('scheduler.heartbeat_timeout_seconds'))
      where run_id = p_run_id;
    return scheduler.begun(v_run);
  end if;

  select * into v_run from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('begun', false, 'reason', case
    when v_run.id is null then 'unknown run'
    when v_run.function_name is distinct from p_function_name then format('the run is for %s',
      coalesce(v_run.function_name, 'a URL'))
    when v_run.status = 'running' then 'already begun'
    when v_run.status = 'queued' then 'not dispatched yet'
    else format('already over: %s (%s)', v_run.status, v_run.verdict) end);
end;
$$;
comment on function scheduler.begin_run(uuid, text, text, timestamptz) is
  'The first receipt. {"begun": true, "run_id", "job_name", "scheduled_for", "attempt", "timeout_seconds", '
    '"heartbeat_seconds"} for exactly one caller, {"begun": false, "reason"} for every other.';

create function scheduler.begun(p_run public.scheduler_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'begun', true, 'run_id', p_run.id, 'job_name', p_run.job_name, 'scheduled_for', p_run.scheduled_for,
    'attempt', p_run.attempt, 'timeout_seconds', p_run.timeout_seconds,
    'heartbeat_seconds', scheduler.setting('scheduler.heartbeat_seconds'));
$$;
comment on function scheduler.begun(public.scheduler_runs) is 'What a function is told of the run it has begun.';

create function scheduler.begin_manual_run(
  p_function_name text, p_job_name text, p_payload jsonb, p_holder text default '',
    p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_held record;
begin
  select * into v_job from public.scheduler_jobs
    where name = coalesce(p_job_name, p_function_name) and function_name = p_function_name for no key update;
  if v_job.name is null and p_job_name is not null then
    return jsonb_build_object('begun', false, 'reason', 'unknown job', 'jobs', coalesce(
      (select jsonb_agg(name order by name) from public.scheduler_jobs where function_name = p_function_name), '[]'));
  end if;

  if v_job.name is not null then
    perform scheduler.hear_job(v_job.name, p_now);
  end if;
  -- A function that no job names gets the defaults of a job.
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.job_name := coalesce(v_job.name, p_function_name);
  v_run.function_name := p_function_name;
  v_run.max_attempts := 1;
  v_run.timeout_seconds := coalesce(v_job.timeout_seconds, 120);
  v_run.payload := coalesce(p_payload, v_job.payload, '{}');
  v_run.receipt := coalesce(v_job.receipt, 'function');
  v_run.status := 'running';
  v_run.dispatched_at := p_now;
  v_run.started_at := p_now;
  v_run.heartbeat_at := p_now;
  perform scheduler.add_runs(array[v_run]);

  -- A function without a job has no lock.
  if scheduler.takes_lock(v_job) and not scheduler.try_lock(
    v_job.name, v_run.id, p_holder, p_now,
    p_now + make_interval(secs => v_run.timeout_seconds + 2 * scheduler.setting('scheduler.heartbeat_timeout_seconds'))
  ) then
    select run_id, acquired_at into v_held from public.scheduler_locks where name = v_job.name;
    delete from public.scheduler_runs where id = v_run.id;
    return jsonb_build_object('begun', false, 'reason', 'busy', 'run_id', v_held.run_id, 'since', v_held.acquired_at);
  end if;
  return scheduler.begun(v_run);
end;
$$;
comment on function scheduler.begin_manual_run(text, text, jsonb, text, timestamptz) is
  'Begins a run for a person who called the function itself, with the payload given, or (null) the registered one. '
    'Answers like begin_run; refused with reason "busy" (and the run that holds the lock) or "unknown job" (and the '
    'jobs there are). Such a run is not retried: the person sees the error.';

create function scheduler.heartbeat_run(p_run_id uuid, p_progress jsonb default null, p_now timestamptz default now())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_status text;
begin
  update public.scheduler_runs
    set heartbeat_at = greatest(p_now, heartbeat_at), progress = coalesce(p_progress, progress)
    where id = p_run_id and status = 'running';
  if found then
    return jsonb_build_object('running', true);
  end if;
  select status into v_status from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('running', false, 'status', coalesce(v_status, 'unknown run'));
end;
$$;
comment on function scheduler.heartbeat_run(uuid, jsonb, timestamptz) is
  '{"running": true}, or {"running": false, "status"} when the run is over and its work should stop.';

create function scheduler.finish_run(
  p_run_id uuid,
  p_outcome text,
  p_result jsonb default null,
  p_error_message text default null,
  p_error_detail jsonb default null,
  p_retryable boolean default true,
  p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  if p_outcome is null or p_outcome not in ('completed', 'failed', 'timed_out', 'interrupted') then
    raise exception using errcode = '22023',
      message = format('cannot finish a run: outcome must be completed, failed, timed_out or interrupted, got %s',
        coalesce(p_outcome, 'null'));
  end if;
  if scheduler.end_run(
    p_run_id, array['running'],
    case p_outcome when 'completed' then 'completed' else 'failed' end,
    case p_outcome when 'completed' then 'ok' when 'failed' then 'job_error' else p_outcome end,
    p_now, p_result, p_error_message, p_error_detail, p_retryable
  ) then
    return jsonb_build_object('finished', true);
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('finished', false, 'reason', case
    when v_run.id is null then 'unknown run'
    when v_run.completed_at is null then 'not begun'
    else format('already over: %s (%s)', v_run.status, v_run.verdict) end);
end;
$$;
comment on function scheduler.finish_run(uuid, text, jsonb, text, jsonb, boolean, timestamptz) is
  'The last receipt. Ends a running run as completed or failed (timed_out and interrupted are failures with that '
    'verdict) and plans its retry. {"finished": false, "reason"}, and nothing changed, when the run is not running. '
    'Raises 22023 for an unknown outcome.';

-- The doors for edge functions. Security definer because service_role, which calls them through REST, has no
-- right in the private schema, and ending a run may send the next one, which reads Vault.

create function public.scheduler_begin_run(p_run_id uuid, p_function_name text, p_holder text default '')
returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.begin_run(p_run_id, p_function_name, p_holder);
$$;
comment on function public.scheduler_begin_run(uuid, text, text) is 'scheduler.begin_run for edge functions.';

create function public.scheduler_begin_manual_run(
  p_function_name text, p_job_name text default null, p_payload jsonb default null, p_holder text default ''
) returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.begin_manual_run(p_function_name, p_job_name, p_payload, p_holder);
$$;
comment on function public.scheduler_begin_manual_run(text, text, jsonb, text) is 'scheduler.begin_manual_run for '
  'edge functions.';

create function public.scheduler_heartbeat_run(p_run_id uuid, p_progress jsonb default null)
returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.heartbeat_run(p_run_id, p_progress);
$$;
comment on function public.scheduler_heartbeat_run(uuid, jsonb) is 'scheduler.heartbeat_run for edge functions.';

create function public.scheduler_finish_run(
  p_run_id uuid, p_outcome text, p_result jsonb default null, p_error_message text default null,
  p_error_detail jsonb default null, p_retryable boolean default true
) returns jsonb language sql security definer set search_path = '' as $$
  select scheduler.finish_run(p_run_id, p_outcome, p_result, p_error_message, p_error_detail, p_retryable);
$$;
comment on function public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean) is 'scheduler.finish_run for '
  'edge functions.';

revoke all on function public.scheduler_begin_run(uuid, text, text) from public, anon, authenticated;
revoke all on function public.scheduler_begin_manual_run(text, text, jsonb, text) from public, anon, authenticated;
revoke all on function public.scheduler_heartbeat_run(uuid, jsonb) from public, anon, authenticated;
revoke all on function
  public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean)
from public, anon, authenticated;
grant execute on function public.scheduler_begin_run(uuid, text, text) to service_role;
grant execute on function public.scheduler_begin_manual_run(text, text, jsonb, text) to service_role;
grant execute on function public.scheduler_heartbeat_run(uuid, jsonb) to service_role;
grant execute on function public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean) to service_role;

-- Keeps pg_cron's entries as the registry says, when they were removed, switched off or changed.

create function scheduler.mend_cron_entries() returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_mended integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  for v_name in
    select jobs.name
    from public.scheduler_jobs as jobs
    left join cron.job as entries on entries.jobname = jobs.name and entries.username = current_user
    where jobs.enabled and jobs.schedule is not null
      and (entries.jobid is null or not entries.active or entries.schedule <> jobs.cron_entry)
      and coalesce(entries.command = format('select scheduler.dispatch(%L)', jobs.name), true)
  loop
    begin
      perform scheduler.sync_cron_entry(v_name);
      v_mended := v_mended + 1;
    exception when query_canceled or others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
    end;
  end loop;
  return jsonb_build_object('mended', v_mended, 'errors', v_errors);
end;
$$;
comment on function scheduler.mend_cron_entries() is
  'Puts back pg_cron entries that were removed, switched off or changed; the registry is the truth. {"mended": '
    'entries, "errors": {job: message}}.';

-- Each beat is a transaction of its own, so that no job is held longer than its own step needs. A procedure could
-- commit as well, but not one with a search_path of its own.
create function scheduler.pulse_command() returns text
language sql immutable set search_path = '' as $$
  select 'do $beat$ begin while scheduler.beat() loop commit; end loop; end $beat$';
$$;
comment on function scheduler.pulse_command() is 'What pg_cron executes for the pulse.';

-- pg_cron has seconds from version 1.5 on. It is asked, because a version says little about a build.
create function scheduler.sync_pulse_entry() returns text
language plpgsql set search_path = '' as $$
declare
  v_name constant text := 'scheduler-pulse';
  v_command constant text := scheduler.pulse_command();
  v_entry record;
begin
  select jobid, schedule, command, active into v_entry from cron.job where jobname = v_name and username = current_user;
  if v_entry.command not in (v_command, 'select scheduler.pulse()') then
    raise exception using errcode = '42710',
      message = format('cannot schedule the pulse: pg_cron has an entry named %s which is not Daybook''s', v_name),
      detail = format('its command is: %s', left(v_entry.command, 60)),
      hint = format('take it out first: select cron.unschedule(%L)', v_name);
  end if;
  if v_entry.command is distinct from v_command or v_entry.schedule is distinct from '10 seconds' then
    begin
      v_entry.jobid := cron.schedule(v_name, '10 seconds', v_command);
    exception when others then
      if v_entry.command is distinct from v_command or v_entry.schedule <> '* * * * *' then
        v_entry.jobid := cron.schedule(v_name, '* * * * *', v_command);
      end if;
    end;
  end if;
  -- cron.schedule leaves an entry inactive that was inactive before.
  if not (select active from cron.job where jobid = v_entry.jobid) then
    perform cron.alter_job(job_id := v_entry.jobid, active := true);
  end if;
  return (select schedule from cron.job where jobid = v_entry.jobid);
end;
$$;
comment on function scheduler.sync_pulse_entry() is
  'Puts the pulse into pg_cron: every 10 seconds where it has seconds, else every minute. Changes nothing that is '
    'right; returns the schedule. Raises 42710 when the name belongs to somebody else''s entry.';

-- Prunes the ledger and pg_cron's log, which grow without it.

create function scheduler.prune_runs(p_statuses text[], p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$
  with pruned as (
    delete from public.scheduler_runs where id in (
      select id from public.scheduler_runs where status = any (p_statuses) and completed_at < p_before limit p_limit)
    returning 1
  )
  select count(*)::integer from pruned;
$$;
comment on function scheduler.prune_runs(text[], timestamptz, integer) is
  'Deletes runs of these statuses that ended before p_before, at most p_limit. Returns how many.';

-- pg_cron never prunes its own log, which holds the rows of all applications of the database, and gives it no index but
-- the run id. Each call reads on where the last one ended: rows that must stay do not stop it. After a crash rows can
-- be without any time; those are older than the next row that has one.
create function scheduler.prune_cron_log(p_now timestamptz, p_limit integer) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_keep_successes constant timestamptz :=
    p_now - make_interval(days => scheduler.setting('scheduler.keep_cron_successes_days'));
  v_keep_failures constant timestamptz :=
    p_now - make_interval(days => scheduler.setting('scheduler.keep_cron_failures_days'));
  v_from bigint := coalesce((select cron_log_read_to from scheduler.pulse_state), 0);
  v_read_to bigint;
  v_pruned integer;
begin
  with looked_at as (
    select runid, status, username, database, command, coalesce(end_time, start_time) as at
    from cron.job_run_details where runid > v_from order by runid limit p_limit
  ), dated as (
    select *, coalesce(at, min(at) over (order by runid rows between current row and unbounded following)) as known_at
    from looked_at
  ), pruned as (
    delete from cron.job_run_details where runid in (
      select runid from dated
      where username = current_user and database = current_database()
        and (command ~ '^select scheduler\.(dispatch\(''[a-z0-9_-]+''\)|pulse\(\))$'
          or command = scheduler.pulse_command())
        and known_at < case status when 'failed' then v_keep_failures else v_keep_successes end)
    returning 1
  )
  select (select count(*) from pruned), (select max(runid) from dated having count(*) = p_limit
    and coalesce(min(known_at), '-infinity') < v_keep_successes)
    into v_pruned, v_read_to;
  update scheduler.pulse_state set cron_log_read_to = coalesce(v_read_to, 0);
  return jsonb_build_object('pruned', v_pruned, 'more', v_read_to is not null);
end;
$$;
comment on function scheduler.prune_cron_log(timestamptz, integer) is
  'Deletes old rows of Daybook''s own entries from cron.job_run_details, among the next p_limit rows. {"pruned": '
    'rows, "more": whether there are further ones to look at}.';

create function scheduler.prune(p_now timestamptz, p_limit integer default 5000) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_successes integer := scheduler.prune_runs(
    array['completed', 'skipped'], p_now - make_interval(days => scheduler.setting('scheduler.keep_successes_days')),
      p_limit);
  v_failures integer := scheduler.prune_runs(
    array['failed', 'missed', 'cancelled'],
      p_now - make_interval(days => scheduler.setting('scheduler.keep_failures_days')),
      p_limit);
  v_log jsonb := scheduler.prune_cron_log(p_now, p_limit);
begin
  return jsonb_build_object(
    'pruned', v_successes + v_failures + (v_log ->> 'pruned')::integer,
    'more', (v_log ->> 'more')::boolean or v_successes = p_limit or v_failures = p_limit);
end;
$$;
comment on function scheduler.prune(timestamptz, integer) is
  'Deletes old rows of the ledger and of Daybook''s entries in cron.job_run_details, at most p_limit of each kind; '
    'failures are kept longer than successes. {"pruned": rows, "more": whether there are further ones}.';

-- The pulse does in SQL the work that no dispatch or receipt does. It works while every edge function is down.

create function scheduler.jobs_to_attend(p_now timestamptz, p_to_hear text[], p_after text,
  p_limit integer) returns text[]
language sql stable set search_path = '' as $$
  select array(
    select name from (
      select name from public.scheduler_jobs where enabled and next_run_at <= p_now
      union
      select job_name from public.scheduler_runs where status = 'queued' and (run_after is null or run_after <= p_now)
      union
      select unnest(p_to_hear)
    ) as jobs (name)
    where name > coalesce(p_after, '')
    order by name limit p_limit);
$$;
comment on function scheduler.jobs_to_attend(timestamptz, text[], text, integer) is
  'The first p_limit jobs by name, behind p_after, for which there is something to do: those to hear, those with a '
    'due occurrence, those with a waiting run whose time has come.';

create function scheduler.attend_jobs(p_now timestamptz, p_budget_ms integer) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_limit constant integer := 100;
  v_until constant timestamptz := clock_timestamp() + p_budget_ms * interval '1 millisecond';
  v_to_hear text[] := array(select scheduler.jobs_to_hear(p_now));
  v_names text[] := scheduler.jobs_to_attend(p_now, v_to_hear, (select resume_after from scheduler.pulse_state),
    v_limit);
  v_report jsonb := scheduler.advance_jobs(v_names, v_to_hear, p_now, v_until);
  v_stopped_at text;
begin
  v_stopped_at := case
    when v_report ->> 'last' <> v_names[cardinality(v_names)] or cardinality(v_names) = v_limit
      then v_report ->> 'last' end;
  update scheduler.pulse_state set resume_after = v_stopped_at;
  return v_report - 'last' || jsonb_build_object('more', v_stopped_at is not null);
end;
$$;
comment on function scheduler.attend_jobs(timestamptz, integer) is
  'advance_jobs for those that need it, by name, from where the last pulse stopped, for about p_budget_ms: a receipt '
    'of these jobs waits no longer. Jobs that somebody else holds are left to the next pulse. "more" says whether it '
    'stopped early.';

-- A step that fails, by a statement timeout too, is undone alone: the other steps and the pulse's own mark stay.
create function scheduler.pulse_step(p_step text, p_now timestamptz, p_budget_ms integer) returns jsonb
language plpgsql set search_path = '' as $$
begin
  if p_step in ('answers', 'jobs') then
    perform scheduler.requests_since();
  end if;
  return case p_step
    when 'pruned' then scheduler.prune(p_now)
    when 'mended' then scheduler.mend_cron_entries()
    when 'pulse entry' then jsonb_build_object('pulse_entry', scheduler.sync_pulse_entry())
    when 'answers' then jsonb_build_object(
      'answers', scheduler.note_answers(p_now), 'closed', scheduler.close_unanswered(p_now))
    when 'jobs' then scheduler.attend_jobs(p_now, p_budget_ms)
  end;
exception when query_canceled or others then
  raise warning 'the pulse''s step % failed: %', p_step, sqlerrm;
  return jsonb_build_object('failed', true, 'errors', jsonb_build_object('step ' || p_step, sqlerrm));
end;
$$;
comment on function scheduler.pulse_step(text, timestamptz, integer) is
  'One step of the pulse: its counts, "more" when there is more to do at once, {"errors": {job or step: message}} for '
    'what failed.';

create function scheduler.pulse_steps(p_state scheduler.pulse_state, p_now timestamptz) returns text[]
language sql immutable set search_path = '' as $$
  select array_remove(array[
    case when prunes then 'pruned' end,
    case when prunes then 'pulse entry' end,
    case when mends then 'mended' end,
    -- Once a round of the jobs.
    case when p_state.resume_after is null then 'answers' end,
    -- The jobs come last: their locks are held until the pulse commits.
    'jobs'], null)
  -- A mark in the future was written by a clock that was ahead and went back.
  from (select
    coalesce(p_now < p_state.last_pruned_at or p_now >= p_state.last_pruned_at + interval '1 hour', true) as prunes,
    coalesce(p_now < p_state.last_mended_at or p_now >= p_state.last_mended_at + interval '1 minute',
      true) as mends) as due;
$$;
comment on function scheduler.pulse_steps(scheduler.pulse_state, timestamptz) is
  'What a pulse at p_now does, in order: pg_cron''s entries are mended every minute, pruning begins every hour.';

create function scheduler.pulse(p_now timestamptz default now(), p_budget_ms integer default 50) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_state scheduler.pulse_state;
  v_step text;
  v_told jsonb;
  v_succeeded text[] := array[]::text[];
  v_errors jsonb;
  v_report jsonb := jsonb_build_object('beat', true, 'answers', 0, 'more', false);
begin
  select * into v_state from scheduler.pulse_state for update skip locked;
  if not found then
    if not exists (select from scheduler.pulse_state) then
      insert into scheduler.pulse_state default values on conflict do nothing;  -- somebody emptied it
    end if;
    return jsonb_build_object('beat', false, 'reason', 'another pulse is at work');
  end if;
  -- A round that goes on where the last pulse stopped keeps what failed so far.
  v_errors := case when v_state.resume_after is null then jsonb_build_object() else v_state.errors end;

  foreach v_step in array scheduler.pulse_steps(v_state, p_now) loop
    v_told := scheduler.pulse_step(v_step, p_now, p_budget_ms);
    v_errors := v_errors || coalesce(v_told -> 'errors', jsonb_build_object());
    if not v_told ? 'failed' then
      v_succeeded := v_succeeded || v_step;
    end if;
    v_report := v_report || v_told || jsonb_build_object(
      'answers', (v_report ->> 'answers')::integer + coalesce((v_told ->> 'answers')::integer, 0),
      'more', (v_report ->> 'more')::boolean or coalesce((v_told ->> 'more')::boolean, false));
    if v_step = 'pruned' and coalesce((v_told ->> 'more')::boolean, false) then
      v_succeeded := array_remove(v_succeeded, v_step);  -- there are more old rows: the next pulse goes on at once
    end if;
  end loop;

  update scheduler.pulse_state set
    -- A pulse in which every step failed leaves no mark.
    last_pulse_at = case when v_succeeded <> '{}' then p_now else last_pulse_at end,
    last_mended_at = case when 'mended' = any (v_succeeded) then p_now else last_mended_at end,
    last_pruned_at = case when 'pruned' = any (v_succeeded) then p_now else last_pruned_at end,
    errors = v_errors;
  return v_report - 'failed' || jsonb_build_object('errors', v_errors);
end;
$$;
comment on function scheduler.pulse(timestamptz, integer) is
  'One pulse, one transaction: reads answers, judges silent runs, records missed occurrences, sends what waits, for '
    'about p_budget_ms; mends pg_cron''s entries every minute, prunes hourly. Returns the counts; "more" when there '
    'is more to do at once. Safe to call twice at once: the second does nothing.';

-- pg_cron's statement commits after each beat: see scheduler.pulse_command().
create function scheduler.beat() returns boolean
language plpgsql set search_path = '' as $$
begin
  return (scheduler.pulse() ->> 'more')::boolean and clock_timestamp() < statement_timestamp() + interval '8 seconds';
end;
$$;
comment on function scheduler.beat() is
  'A pulse; true when there is more to do at once and the statement that calls it has lasted less than 8 seconds.';

-- The pulse is the only entry in pg_cron that is no job.
select scheduler.sync_pulse_entry();

-- The verbs an operator calls in the SQL console.

create function scheduler.refuse_unknown_job(p_job_name text, p_hint text default null) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'SD001', message = format('there is no job named %L', p_job_name),
    hint = concat_ws('; ', p_hint, format('the jobs are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs)));
end;
$$;
comment on function scheduler.refuse_unknown_job(text, text) is
  'Raises SD001 and names the jobs there are: all that take the name of a job say so in the same words.';

create function scheduler.assert_job(p_job_name text) returns public.scheduler_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name for no key update;
  if not found then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  return v_job;
end;
$$;
comment on function scheduler.assert_job(text) is 'The job''s row, locked. Raises SD001 and names the jobs there are '
  'when it is unknown.';

create function scheduler.assert_run(p_run_id uuid, p_now timestamptz) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs;
begin
  -- The job's row comes before the run's row, as everywhere. Answers are read before the decision.
  perform from public.scheduler_jobs
    where name = (select job_name from public.scheduler_runs where id = p_run_id) for no key update;
  if found then
    perform scheduler.requests_since();
    perform scheduler.read_answers((select job_name from public.scheduler_runs where id = p_run_id), p_now);
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id for no key update;
  if not found then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null')),
      hint = 'select id, job_name, scheduled_for, status from public.scheduler_runs order by created_at desc limit 20';
  end if;
  return v_run;
end;
$$;
comment on function scheduler.assert_run(uuid, timestamptz) is
  'The run''s row, locked, and its job''s row before it, after what pg_net has for the job was read. Raises SD002 '
    'when there is no such run.';

create function scheduler.assert_given(p_action text, p_what text, p_example text, variadic p_texts text[]) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if exists (select from unnest(p_texts) as given where coalesce(given, '') !~ '\S') then
    raise exception using errcode = '22023', message = format('cannot %s: %s must be given', p_action, p_what),
      hint = p_example;
  end if;
end;
$$;
comment on function scheduler.assert_given(text, text, text, text[]) is
  'Raises 22023, with an example of the call, when one of the texts that an action asks for (reason, author) is null '
    'or blank.';

create function scheduler.run_now(
  p_job_name text, p_author text, p_payload jsonb default null, p_now timestamptz default clock_timestamp()
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_run public.scheduler_runs;
  v_held record;
begin
  perform scheduler.assert_given(format('run %s', p_job_name), 'author',
    format('select scheduler.run_now(%L, ''who'')', p_job_name), p_author);
  if p_payload is not null and jsonb_typeof(p_payload) <> 'object' then
    raise exception using errcode = '22023',
      message = format('cannot run %s: payload must be a JSON object, got %s', p_job_name, left(p_payload::text, 100));
  end if;
  -- A request that was refused holds the lock until its answer is read.
  perform scheduler.hear_job(p_job_name, p_now);
  select run_id, acquired_at into v_held from public.scheduler_locks where name = p_job_name and expires_at > p_now;
  if scheduler.takes_lock(v_job) and v_held.run_id is not null then
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: run %s has been under way since %s', p_job_name, v_held.run_id,
        v_held.acquired_at),
      hint = format('wait for it, or end it: select scheduler.release_lock(%L, ''why'', ''who'')', p_job_name);
  end if;
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.payload := coalesce(p_payload, v_job.payload);
  perform scheduler.add_runs(array[v_run]);
  if not scheduler.send_run(v_job, v_run, p_now) and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: as many runs as may be are under way, and it is disabled, so another one '
        'cannot wait', p_job_name);
  end if;
  perform scheduler.log_activity(v_job.name, format('a run was asked for by %s', btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_run.id), p_now => p_now);
  return v_run.id;
end;
$$;
comment on function scheduler.run_now(text, text, jsonb, timestamptz) is
  'Runs a job at once through the real dispatch path, also when it is paused or disabled, with its own payload unless '
    'another is given. Returns the run. Raises SD001 for an unknown job; SD101 when another run holds the job''s lock '
    'or, of a disabled job, its parallel_limit is reached; 22023 for a missing author or a payload that is no object.';

create function scheduler.pause(
  p_job_name text, p_reason text, p_author text, p_until timestamptz default null, p_now timestamptz default now()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
begin
  perform scheduler.assert_given(format('pause %s', p_job_name), 'reason and author',
    format('select scheduler.pause(%L, ''why'', ''who'', now() + interval ''2 hours'')', p_job_name), p_reason,
      p_author);
  if p_until <= p_now then
    raise exception using errcode = '22023',
      message = format('cannot pause %s: until must be in the future, got %s', p_job_name, p_until);
  end if;
  update public.scheduler_jobs set
    paused_at = case when scheduler.is_paused(v_job, p_now) then paused_at else p_now end,
    -- Until infinity is until somebody resumes it.
    paused_until = case when isfinite(p_until) then p_until end,
    pause_reason = btrim(p_reason), paused_by = btrim(p_author), updated_at = now()
    where name = v_job.name;
  return format('%s is paused %s; %s', v_job.name,
    case when isfinite(p_until) then 'until ' || scheduler.local_text(p_until, v_job.time_zone) else 'until somebody '
      'resumes it' end,
    case when v_job.schedule is null then 'what is enqueued waits' else 'its occurrences are recorded as skipped' end);
end;
$$;
comment on function scheduler.pause(text, text, text, timestamptz, timestamptz) is
  'Pauses a job with a reason and an author, until a moment or (null, infinity) until resume. Its occurrences become '
    'skipped rows; what already runs goes on. Raises SD001 for an unknown job; 22023 for a missing reason or author, '
    'or an end that is past.';

create function scheduler.resume(p_job_name text, p_author text, p_now timestamptz default now()) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_fault text;
begin
  perform scheduler.assert_given(format('resume %s', p_job_name), 'author',
    format('select scheduler.resume(%L, ''who'')', p_job_name), p_author);
  if not scheduler.is_paused(v_job, p_now) then
    return format('%s was not paused', v_job.name);
  end if;
  -- Occurrences that came due in the pause are recorded as paused first.
  v_fault := scheduler.try_record_due(v_job, p_now);
  update public.scheduler_jobs
    set paused_at = null, paused_until = null, pause_reason = null, paused_by = null, updated_at = now()
    where name = v_job.name
    returning * into v_job;
  perform scheduler.log_activity(v_job.name, format('resumed by %s', btrim(p_author)), p_now => p_now);
  if v_job.schedule is null then
    return format('%s runs again when it is enqueued or called', v_job.name);
  end if;
  v_fault := coalesce(v_fault, (scheduler.next_run(v_job, p_now)).fault);
  if v_fault is not null then
    return format('%s is not paused any more, but cannot run: %s', v_job.name, v_fault);
  end if;
  return format('%s runs again; next at %s', v_job.name, scheduler.local_text(v_job.next_run_at, v_job.time_zone));
end;
$$;
comment on function scheduler.resume(text, text, timestamptz) is
  'Ends a pause. What came due in it stays skipped. Says so when the job cannot run, for its time zone or schedule. '
    'Raises SD001 for an unknown job; 22023 for a missing author.';

create function scheduler.count_text(p_count bigint, p_noun text) returns text
language sql immutable set search_path = '' as $$
  select format('%s %s%s', p_count, p_noun, case when p_count = 1 then '' else 's' end);
$$;
comment on function scheduler.count_text(bigint, text) is 'So many things, as people say it: 1 run, 2 runs.';

create function scheduler.lock_free_text(p_job public.scheduler_jobs) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_takes_none constant boolean := not scheduler.takes_lock(p_job);
  v_count bigint;
  v_first uuid;
begin
  select count(*), (array_agg(id order by scheduled_for, attempt))[1] into v_count, v_first
    from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running');
  return case when v_takes_none then format('%s takes no lock, as its overlap_policy is ''allow''', p_job.name)
      else format('nobody holds the lock of %s', p_job.name) end
    || case
      when v_count > 0 then format('; %s of it %s under way. To end one: select scheduler.cancel_run(%L, ''why'', '
        '''who'')',
        scheduler.count_text(v_count, 'run'), case v_count when 1 then 'is' else 'are' end, v_first)
      when v_takes_none then '; no run of it is under way'
      else '' end;
end;
$$;
comment on function scheduler.lock_free_text(public.scheduler_jobs) is
  'What release_lock says of a job of which no run holds the lock: whether it takes one at all, what is under way, '
    'and how to end that.';

create function scheduler.release_lock(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default now()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_run_id uuid;
begin
  perform scheduler.assert_given(format('release the lock of %s', p_job_name), 'reason and author',
    format('select scheduler.release_lock(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  select run_id into v_run_id from public.scheduler_locks where name = p_job_name;
  if v_run_id is null then
    return scheduler.lock_free_text(v_job);
  end if;
  perform scheduler.take_back_request(request_id, id) from public.scheduler_runs where id = v_run_id
    and status = 'dispatched';
  perform scheduler.end_run(v_run_id, array['queued', 'dispatched', 'running'], 'cancelled', 'cancelled', p_now,
    p_error_message => format('its lock was released by %s: %s', btrim(p_author), btrim(p_reason)));
  delete from public.scheduler_locks where run_id = v_run_id;
  return format('run %s is cancelled and the lock of %s is free; if the function is still at work, its next heartbeat '
    'tells it to stop',
    v_run_id, p_job_name);
end;
$$;
comment on function scheduler.release_lock(text, text, text, timestamptz) is
  'Cancels the run that holds the job''s lock, with a reason and an author, and frees the lock; what waited is sent. '
    'Where no run holds it, it changes nothing and names a run that is under way without. Raises SD001 for an unknown '
    'job; 22023 for a missing reason or author.';

create function scheduler.cancel_run(
  p_run_id uuid, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_is_withdrawn boolean;
begin
  perform scheduler.assert_given(format('cancel run %s', v_run.id), 'reason and author',
    format('select scheduler.cancel_run(%L, ''why'', ''who'')', v_run.id), p_reason, p_author);
  if v_run.completed_at is not null then
    return format('run %s of %s is over already: %s (%s)', v_run.id, v_run.job_name, v_run.status, v_run.verdict);
  end if;
  v_is_withdrawn := v_run.status = 'dispatched' and scheduler.take_back_request(v_run.request_id, v_run.id);
  perform scheduler.end_run(v_run.id, array[v_run.status], 'cancelled', 'cancelled', p_now,
    p_error_message => format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)));
  return format('run %s of %s is cancelled%s', v_run.id, v_run.job_name, case
    when v_run.status = 'queued' then ' before it was sent'
    when v_is_withdrawn then ' before its request was sent'
    when v_run.function_name is null then '; what was asked of its URL may still be done'
    else '; if the function is still at work, its next heartbeat tells it to stop' end);
end;
$$;
comment on function scheduler.cancel_run(uuid, text, text, timestamptz) is
  'Cancels a run that waits or is under way, with a reason and an author; its lock is free, what waited is sent, and '
    'it is not retried. A run that is over is left as it is, and the answer says so. Raises SD002 for an unknown run; '
    '22023 for a missing reason or author.';

-- All attempts of an occurrence have its time.
create function scheduler.assert_retriable(p_run public.scheduler_runs) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_other public.scheduler_runs;
begin
  if p_run.occurrences > 1 then
    raise exception using errcode = 'SD202',
      message = format('cannot retry run %s: its row stands for %s occurrences', p_run.id,
        scheduler.grouped(p_run.occurrences)),
      hint = format('to run the job once now: select scheduler.run_now(%L, ''who'')', p_run.job_name);
  end if;
  select * into v_other from public.scheduler_runs
    where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for and (completed_at is null
      or status = 'completed')
    order by id = p_run.id desc, attempt desc limit 1;
  if found then
    raise exception using
      errcode = case v_other.status when 'completed' then 'SD201' else 'SD101' end,
      message = format('cannot retry run %s: ', p_run.id) || case
        when v_other.id <> p_run.id then format('attempt %s of it %s, run %s', v_other.attempt,
          case v_other.status when 'completed' then 'has completed' else 'is ' || v_other.status end, v_other.id)
        when v_other.status = 'completed' then 'it has completed'
        else format('it is not over, it is %s', v_other.status) end,
      hint = case v_other.status
        when 'completed' then format('to run the job once more: select scheduler.run_now(%L, ''who'')', p_run.job_name)
        else format('wait for it, or end it: select scheduler.cancel_run(%L, ''why'', ''who'')', v_other.id) end;
  end if;
end;
$$;
comment on function scheduler.assert_retriable(public.scheduler_runs) is
  'Raises unless the row is of one occurrence (SD202), and every attempt of that is over and none has completed: '
    'SD101 for one that is alive, SD201 for one that completed; it names that one.';

create function scheduler.retry_run(p_run_id uuid, p_author text,
  p_now timestamptz default clock_timestamp()) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_job public.scheduler_jobs;
  v_attempt integer;
  v_retry public.scheduler_runs;
begin
  perform scheduler.assert_given(format('retry run %s', v_run.id), 'author',
    format('select scheduler.retry_run(%L, ''who'')', v_run.id), p_author);
  v_job := scheduler.assert_job(v_run.job_name);
  perform scheduler.assert_retriable(v_run);
  select max(attempt) + 1 into v_attempt from public.scheduler_runs
    where job_name = v_run.job_name and scheduled_for = v_run.scheduled_for;
  v_retry := scheduler.next_attempt(v_run, v_attempt);
  perform scheduler.add_runs(array[v_retry]);
  if not scheduler.send_run(v_job, v_retry, p_now) and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot retry run %s: other runs of %s are under way, and %s is disabled, so the retry cannot '
        'wait', v_run.id, v_job.name, v_job.name);
  end if;
  perform scheduler.log_activity(v_job.name, format('attempt %s of the run for %s, which %s, was asked for by %s',
    v_attempt,
    scheduler.local_text(v_run.scheduled_for, v_job.time_zone),
    case v_run.status when 'failed' then 'failed' else 'was ' || v_run.status end, btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_retry.id, 'retry_of', v_run.id), p_now => p_now);
  return v_retry.id;
end;
$$;
comment on function scheduler.retry_run(uuid, text, timestamptz) is
  'Makes one more attempt of a run that failed, was cancelled, missed or skipped, with that run''s payload, and sends '
    'it at once, also when the job is paused or disabled; it waits where other runs of the job are in the way. '
    'Returns the new run. Raises SD002 for an unknown run; SD001 when its job is no longer registered; SD101 while an '
    'attempt of it is alive, or when other runs of a disabled job are in the way; SD201 when an attempt has '
    'completed; SD202 for a row that stands for many occurrences; 22023 for a missing author.';

create function scheduler.cancel_queued(
  p_job_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_cancelled bigint;
begin
  perform scheduler.assert_given(format('cancel what waits of %s', p_job_name), 'reason and author',
    format('select scheduler.cancel_queued(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  -- In one statement, as thousands may wait: end_run would write a line of scheduler_activity for each. Waiting
  -- runs hold no lock.
  update public.scheduler_runs
    set status = 'cancelled', verdict = 'cancelled', completed_at = p_now,
      error_message = format('cancelled by %s: %s', btrim(p_author), btrim(p_reason))
    where job_name = v_job.name and status = 'queued';
  get diagnostics v_cancelled = row_count;
  if v_cancelled = 0 then
    return format('no run of %s waits', v_job.name);
  end if;
  perform scheduler.log_activity(v_job.name,
    format('%s cancelled by %s: %s', scheduler.count_text(v_cancelled, 'waiting run'), btrim(p_author),
      btrim(p_reason)),
    'warning', jsonb_build_object('cancelled', v_cancelled), p_now);
  return format('%s of %s %s cancelled; what is under way goes on', scheduler.count_text(v_cancelled, 'waiting run'),
    v_job.name,
    case v_cancelled when 1 then 'is' else 'are' end);
end;
$$;
comment on function scheduler.cancel_queued(text, text, text, timestamptz) is
  'Cancels all runs of the job that wait (for its lock, a limit, the time of a retry), with a reason and an author, '
    'and says how many. Raises SD001 for an unknown job; 22023 for a missing reason or author.';

-- A job whose times cannot be worked out (Postgres does not know its zone) must not fail a question about all jobs.
create function scheduler.next_run(p_job public.scheduler_jobs, p_after timestamptz, out run_at timestamptz,
  out fault text)
language plpgsql stable set search_path = '' as $$
begin
  if not p_job.enabled then
    fault := 'is disabled: register it with enabled => true';
  elsif p_job.schedule is null then
    fault := 'has no schedule: it runs when it is enqueued or called';
  else
    run_at := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_after);
    fault := case when run_at is null then 'never occurs again: register it with another schedule' end;
  end if;
exception when invalid_parameter_value then
  fault := sqlerrm || '; register it again with a right one';
end;
$$;
comment on function scheduler.next_run(public.scheduler_jobs, timestamptz) is
  'The job''s first occurrence after a moment, or why it has none: disabled, no schedule, a schedule or a time zone '
    'that cannot be read.';

create function scheduler.next_runs(p_job_name text default null, p_count integer default 5,
  p_now timestamptz default now())
returns table (job_name text, run_at timestamptz, local_time timestamp, time_zone text, note text)
language plpgsql stable set search_path = '' as $$
declare
  v_jobs public.scheduler_jobs[];
  v_next timestamptz[] := array[]::timestamptz[];
  v_faults text[] := array[]::text[];
  v_job public.scheduler_jobs;
  v_place integer;
  v_found record;
begin
  if p_count is null or p_count not between 1 and 1000 then
    raise exception using errcode = '22023', message = format('count must be from 1 to 1000, got %s',
      coalesce(p_count::text, 'null'));
  end if;
  v_jobs := array(
    select jobs from public.scheduler_jobs as jobs
    where case when p_job_name is null then enabled else name = p_job_name end order by name);
  if p_job_name is not null and cardinality(v_jobs) = 0 then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
  foreach v_job in array v_jobs loop
    v_found := scheduler.next_run(v_job, p_now);
    v_next := v_next || v_found.run_at;
    v_faults := v_faults || v_found.fault;
  end loop;

  -- The soonest of all jobs; after it that job's own next one competes.
  for i in 1 .. p_count loop
    select place into v_place from unnest(v_next) with ordinality as soonest (at, place)
      where at is not null order by at, place limit 1;
    exit when v_place is null;
    v_job := v_jobs[v_place];
    job_name := v_job.name;
    run_at := v_next[v_place];
    local_time := run_at at time zone v_job.time_zone;
    time_zone := v_job.time_zone;
    note := case when scheduler.is_paused(v_job, run_at)
      then format('will be skipped: paused by %s: %s', v_job.paused_by, v_job.pause_reason) end;
    return next;
    v_next[v_place] := (scheduler.next_run(v_job, run_at)).run_at;
  end loop;
  return query
    select jobs.name, null::timestamptz, null::timestamp, jobs.time_zone, faults.fault
    from unnest(v_faults) with ordinality as faults (fault, place)
    join unnest(v_jobs) with ordinality as jobs on jobs.ordinality = faults.place
    where faults.fault is not null order by faults.place;
end;
$$;
comment on function scheduler.next_runs(text, integer, timestamptz) is
  'What runs next, of one job or of all enabled ones: the next p_count occurrences in order of time, each as an '
    'instant and as local time. After them a row without a time for each job that has none, with the reason in note '
    '(no schedule, a time zone that Postgres does not know). Raises SD001 for an unknown job; 22023 for a count '
    'outside 1 to 1000.';

create function scheduler.assert_today_key(p_today_key text, p_now timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_is_date boolean := p_today_key ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$';
begin
  if v_is_date then
    begin
      perform p_today_key::date;
    exception when datetime_field_overflow then
      v_is_date := false;
    end;
  end if;
  if v_is_date is not true then
    raise exception using errcode = '22023',
      message = format('cannot mark a daily run: today_key must be a local date as YYYY-MM-DD, got %s',
        coalesce(quote_literal(left(p_today_key, 40)), 'null'));
  end if;
  -- A mark only goes forward: one of a far day would end the scope's days.
  if p_today_key::date > (p_now at time zone 'UTC' + interval '14 hours')::date then
    raise exception using errcode = '22023',
      message = format('cannot mark a daily run: today_key must be a date that has begun somewhere on earth, got %s',
        quote_literal(p_today_key));
  end if;
end;
$$;
comment on function scheduler.assert_today_key(text, timestamptz) is
  'Raises 22023 for a key that is no date as YYYY-MM-DD, or a date that has not begun anywhere.';

create function scheduler.try_mark_daily_run(
  p_today_key text, p_scope text default 'global', p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_previous text;
  v_updated boolean;
begin
  perform scheduler.assert_today_key(p_today_key, p_now);
  if coalesce(p_scope, '') = '' then
    raise exception using errcode = '22023', message = 'cannot mark a daily run: scope must not be empty';
  end if;
  -- The row's lock makes the callers of one scope take turns, so that each sees what the one before it left.
  insert into public.scheduler_state (scope, last_daily_run_key) values (p_scope, '') on conflict do nothing;
  select nullif(last_daily_run_key, '') into v_previous from public.scheduler_state where scope = p_scope for update;
  -- Only a later day counts: a scope moved west or over the date line does not get a day twice.
  v_updated := v_previous is null or p_today_key > v_previous;
  if v_updated then
    update public.scheduler_state set last_daily_run_key = p_today_key, updated_at = now() where scope = p_scope;
  end if;
  return jsonb_build_object(
    'updated', v_updated, 'previous_key', v_previous, 'new_key', case when v_updated then p_today_key
      else v_previous end);
end;
$$;
comment on function scheduler.try_mark_daily_run(text, text, timestamptz) is
  'Marks the local day YYYY-MM-DD as run for a scope, once: {"updated": true} for exactly one caller a day and scope, '
    '{"updated": false} for every other and for an earlier day, with "previous_key" and "new_key". The scope is '
    'global where none is named. Raises 22023 for a key that is no date, or one that has not begun anywhere.';

-- In one statement, for a pack that has thousands of scopes.
create function scheduler.mark_daily_runs(p_marks jsonb, p_now timestamptz default now()) returns integer
language plpgsql set search_path = '' as $$
declare
  v_marked integer;
begin
  if jsonb_typeof(p_marks) <> 'object' or p_marks ? '' then
    raise exception using errcode = '22023',
      message = format('cannot mark daily runs: marks must be {scope: YYYY-MM-DD} with no empty scope, got %s',
        left(p_marks::text, 100));
  end if;
  perform scheduler.assert_today_key(key, p_now)
    from (select distinct value as key from jsonb_each_text(p_marks)) as keys;
  insert into public.scheduler_state as state (scope, last_daily_run_key, updated_at)
    select key, value, p_now from jsonb_each_text(p_marks) order by key
    on conflict (scope) do update set last_daily_run_key = excluded.last_daily_run_key, updated_at = excluded.updated_at
      where excluded.last_daily_run_key > state.last_daily_run_key;
  get diagnostics v_marked = row_count;
  return v_marked;
end;
$$;
comment on function scheduler.mark_daily_runs(jsonb, timestamptz) is
  'Marks days of many scopes as try_mark_daily_run does: p_marks is {scope: YYYY-MM-DD}. Returns how many were marked; '
    'a scope with a mark of that day or a later one keeps it. Raises 22023 for another list or a wrong key.';

create function scheduler.forget_scope(p_scope text) returns boolean
language plpgsql set search_path = '' as $$
begin
  delete from public.scheduler_state where scope = p_scope;
  return found;
end;
$$;
comment on function scheduler.forget_scope(text) is
  'Deletes the mark of a scope that is no more, such as a customer that was deleted. False when it had none.';

-- Security definer because service_role, which calls it through REST, may only read scheduler_state.
create function public.try_mark_daily_run(p_today_key text, p_scope text default 'global') returns jsonb
language sql security definer set search_path = '' as $$
  select scheduler.try_mark_daily_run(p_today_key, p_scope);
$$;
comment on function public.try_mark_daily_run(text, text) is 'scheduler.try_mark_daily_run by the clock of the '
  'database.';

revoke all on function public.try_mark_daily_run(text, text) from public, anon, authenticated;
grant execute on function public.try_mark_daily_run(text, text) to service_role;

-- Runs that other work asks for. They have no schedule, but the same ledger, retries and limits.

create function scheduler.run_requests_fault(p_runs jsonb) returns text
language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(p_runs) is distinct from 'array'
    then format('runs must be a JSON array of objects, got %s', coalesce(left(p_runs::text, 100), 'null'))
    else (
      select format('runs[%s]%s, got %s', place - 1, fault, left(run::text, 100))
      from jsonb_array_elements(p_runs) with ordinality as runs (run, place), lateral (select case
          when jsonb_typeof(run) <> 'object' then ' must be an object'
          when run - array['payload', 'key'] <> '{}' then ' must have no field but payload and key'
          when jsonb_typeof(nullif(run -> 'payload', 'null')) <> 'object' then '.payload must be an object'
          when jsonb_typeof(nullif(run -> 'key', 'null')) <> 'string' or length(run ->> 'key') > 200
            or run ->> 'key' !~ '\S' then '.key must be a text of 1 to 200 characters that is not blank'
        end as fault) as checked
      where fault is not null
      order by place limit 1)
  end;
$$;
comment on function scheduler.run_requests_fault(jsonb) is
  'What is wrong with the list of runs that enqueue_runs was given, by place and field; null when nothing is.';

create function scheduler.enqueue_runs(
  p_job_name text, p_runs jsonb, p_run_after timestamptz default null, p_now timestamptz default clock_timestamp()
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_fault text := scheduler.run_requests_fault(p_runs);
  v_first timestamptz;
begin
  if not isfinite(p_run_after) then
    v_fault := format('run_after must be a moment or null, got %s', p_run_after);
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot enqueue runs of %s: %s', p_job_name, v_fault);
  end if;
  -- The time of an occurrence is unique in a job, so runs enqueued at one moment differ by microseconds. The unique
  -- index leaves calls by hand out, and so does this query.
  select greatest(p_now, max(scheduled_for) + interval '1 microsecond') into v_first
    from public.scheduler_runs
    where job_name = p_job_name and scheduled_for >= p_now and scheduled_for < p_now + interval '1 minute'
      and trigger <> 'manual';
  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, receipt, payload, key,
    run_after
  )
  select v_job.name, v_job.function_name, 'queued', 'enqueued',
    coalesce(v_first, p_now) + (place - 1) * interval '1 microsecond', v_job.max_attempts, v_job.timeout_seconds,
    v_job.receipt, coalesce(nullif(payload, 'null'), v_job.payload), key, p_run_after
  from rows from (jsonb_to_recordset(p_runs) as (payload jsonb, key text))
    with ordinality as runs (payload, key, place);
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  return jsonb_array_length(p_runs);
end;
$$;
comment on function scheduler.enqueue_runs(text, jsonb, timestamptz, timestamptz) is
  'Enqueues runs of the job, not before p_run_after; sends those that may go at once, the others follow as runs end. '
    'p_runs: a JSON array with an object for each run: "payload" (the job''s own when absent) and "key", which names '
    'what the run is about (at most 200 characters) and is kept by its retries. Returns how many. Raises SD001 for an '
    'unknown job; 22023 for another list, or a p_run_after that is infinite.';

create function scheduler.runs_with_key(p_job_name text, p_key text) returns setof public.scheduler_runs
language sql stable set search_path = '' as $$
  -- Offset 0: while the table has no statistics yet, the planner would else read all runs of the job that wait, by an
  -- index that begins with the name.
  select * from (select * from public.scheduler_runs where key = p_key and completed_at is null offset 0) as runs
  where job_name = p_job_name;
$$;
comment on function scheduler.runs_with_key(text, text) is
  'What open_runs returns, for packs: of a job that is not registered the runs that are left.';

create function scheduler.open_runs(p_job_name text, p_key text) returns setof public.scheduler_runs
language plpgsql stable set search_path = '' as $$
begin
  return query select * from scheduler.runs_with_key(p_job_name, p_key);
  if not found and not exists (select from public.scheduler_jobs where name = p_job_name) then
    perform scheduler.refuse_unknown_job(p_job_name);
  end if;
end;
$$;
comment on function scheduler.open_runs(text, text) is
  'The runs of the job with that key that wait or are under way, in no order. Raises SD001 for an unknown job of which '
    'no such run is left.';

-- The facts behind scheduler.explain: everything known of a job at a minute, as JSON for user interfaces.

-- A retry has the origin of its first attempt.
create function scheduler.origin(p_run public.scheduler_runs) returns text
language sql stable set search_path = '' as $$
  select coalesce(
    (select trigger from public.scheduler_runs
      where p_run.trigger = 'retry' and job_name = p_run.job_name and scheduled_for = p_run.scheduled_for
      order by attempt limit 1),
    p_run.trigger);
$$;
comment on function scheduler.origin(public.scheduler_runs) is
  'What brought the run about: its trigger; of a retry that of the first attempt.';

create function scheduler.remedy_facts(p_run public.scheduler_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'meaning', meaning,
    'remedy', coalesce(case when p_run.function_name is null then url_remedy end, remedy),
    'again', case
      when p_run.status <> 'failed' then null
      -- One more attempt would have the same payload.
      when p_run.verdict = 'bad_input' then case when scheduler.origin(p_run) in ('cron', 'catch_up')
        then format('select scheduler.run_now(%L, ''who'')', p_run.job_name) end
      -- A call by hand is repeated by hand.
      when p_run.trigger = 'manual' and p_run.request_id is null and p_run.started_at is not null then 'call it again'
      when exists (select from public.scheduler_jobs where name = p_run.job_name)
        then format('select scheduler.retry_run(%L, ''<your name>'')', p_run.id)
    end)
  from scheduler.verdicts where verdicts.verdict = p_run.verdict;
$$;
comment on function scheduler.remedy_facts(public.scheduler_runs) is
  'What a run''s verdict means and what to do: {"meaning", "remedy", "again": how to run it again, that very run and '
  'not the job with its registered payload, or null}; null without a verdict.';

create function scheduler.wait_reason(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns text
language sql stable set search_path = '' as $$
  select case
    when scheduler.is_paused(p_job, p_now)
      then format('because the job is paused by %s: %s', p_job.paused_by, p_job.pause_reason)
    when p_run.run_after > p_now then format('for the first pulse after %s',
      to_char(p_run.run_after at time zone scheduler.shown_time_zone(p_job.time_zone), 'HH24:MI:SS'))
    when exists (select from public.scheduler_locks where name = p_run.job_name) then 'for the run before it to end'
    when p_job.parallel_limit <= (select count(*) from public.scheduler_runs
      where job_name = p_run.job_name and status in ('dispatched', 'running'))
      then format('for one of the %s runs under way to end', p_job.parallel_limit)
    else 'for the next pulse' end;
$$;
comment on function scheduler.wait_reason(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'What a queued run waits for, as the end of the sentence "it waits …".';

create function scheduler.run_facts(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'run', 'run_id', p_run.id, 'status', p_run.status, 'trigger', p_run.trigger,
    'origin', scheduler.origin(p_run), 'attempt', p_run.attempt, 'max_attempts', p_run.max_attempts,
    'verdict', p_run.verdict, 'duration_ms', p_run.duration_ms, 'error_message', p_run.error_message,
    'skip_kind', p_run.skip_kind, 'skip_reason', p_run.skip_reason, 'dispatched_at', p_run.dispatched_at,
    'started_at', p_run.started_at, 'heartbeat_at', p_run.heartbeat_at, 'completed_at', p_run.completed_at,
    'earlier', coalesce((
      select jsonb_agg(jsonb_build_object('attempt', attempt, 'verdict', verdict, 'error_message', error_message)
        order by attempt)
      from public.scheduler_runs
      where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for and attempt < p_run.attempt), '[]'),
    'by_hand', coalesce((
      select jsonb_agg(coalesce(verdict, status) order by created_at) from public.scheduler_runs
      where job_name = p_run.job_name and trigger = 'manual' and scheduled_for <> p_run.scheduled_for
        and scheduled_for >= date_trunc('minute', p_run.scheduled_for)
        and scheduled_for < date_trunc('minute', p_run.scheduled_for) + interval '1 minute'), '[]')
  ) || coalesce(scheduler.remedy_facts(p_run), '{}') || case p_run.status
    when 'queued' then jsonb_build_object('waits', scheduler.wait_reason(p_job, p_run, p_now))
    when 'dispatched' then (
      select jsonb_build_object('dispatched', to_char(p_run.dispatched_at at time zone zone, 'HH24:MI:SS'),
        'judged', to_char((p_run.dispatched_at + make_interval(
          secs => scheduler.setting('scheduler.receipt_timeout_seconds')
            + case p_run.receipt when 'response' then p_run.timeout_seconds else 0 end)) at time zone zone,
          'HH24:MI:SS'))
      from (select scheduler.shown_time_zone(p_job.time_zone) as zone) as shown)
    else '{}' end;
$$;
comment on function scheduler.run_facts(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'The facts of an occurrence that has a row: its last attempt, what the earlier ones came to, and calls by hand in '
  'that minute.';

-- After a long outage one row stands for many occurrences; each of them is explained by it.
create function scheduler.gap_facts(p_job public.scheduler_jobs, p_gap public.scheduler_runs) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'gap', 'run_id', p_gap.id, 'status', p_gap.status, 'occurrences', p_gap.occurrences,
    'first', scheduler.local_text(p_gap.scheduled_for, p_job.time_zone),
    'last', scheduler.local_text(p_gap.scheduled_until, p_job.time_zone),
    'verdict', p_gap.verdict, 'skip_kind', p_gap.skip_kind, 'skip_reason', p_gap.skip_reason)
    || coalesce(scheduler.remedy_facts(p_gap), '{}');
$$;
comment on function scheduler.gap_facts(public.scheduler_jobs, public.scheduler_runs) is
  'The facts of an occurrence that was missed or skipped together with many others, which have one row.';

create function scheduler.not_due_facts(p_job public.scheduler_jobs, p_minute timestamptz, p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'kind', 'not_due', 'to_come', p_minute > p_now, 'schedule', p_job.schedule, 'time_zone', p_job.time_zone,
    'due_before', case when before >= p_job.created_at then scheduler.local_text(before, p_job.time_zone) end,
    'due_after', coalesce(scheduler.local_text(
      scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_minute), p_job.time_zone), 'no time'),
    'registered', scheduler.local_text(p_job.created_at, p_job.time_zone))
  from (select scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_minute) as before) as occurrence;
$$;
comment on function scheduler.not_due_facts(public.scheduler_jobs, timestamptz, timestamptz) is
  'The facts of a minute at which the job''s schedule has no occurrence: those around it since it was registered.';

create function scheduler.no_run_facts(p_job public.scheduler_jobs, p_minute timestamptz, p_now timestamptz)
returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_gap public.scheduler_runs;
begin
  if p_minute < date_trunc('minute', p_job.created_at) then
    return jsonb_build_object('kind', 'not_registered_yet',
      'registered', scheduler.local_text(p_job.created_at, p_job.time_zone));
  elsif p_job.schedule is null then
    return jsonb_build_object('kind', 'no_schedule', 'enabled', p_job.enabled);
  elsif not exists (
    select from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_minute, p_minute + interval '1 minute')) then
    return scheduler.not_due_facts(p_job, p_minute, p_now);
  end if;
  select * into v_gap from public.scheduler_runs
    where job_name = p_job.name and occurrences > 1 and scheduled_for <= p_minute and scheduled_until >= p_minute
    limit 1;
  return case
    when found then scheduler.gap_facts(p_job, v_gap)
    when not p_job.enabled then jsonb_build_object('kind', 'disabled')
    when p_minute > p_now then jsonb_build_object('kind', 'to_come', 'due_at', p_minute,
      'wait_seconds', extract(epoch from p_minute - p_now)::bigint,
      'paused', case when scheduler.is_paused(p_job, p_minute)
        then jsonb_build_object('by', p_job.paused_by, 'reason', p_job.pause_reason) end)
    when p_job.next_run_at <= p_minute then (
      select jsonb_build_object('kind', 'not_recorded', 'error', state.errors ->> p_job.name,
        'pulse_age_seconds', extract(epoch from p_now - state.last_pulse_at)::bigint)
      from (select) as always left join scheduler.pulse_state as state on true)
    when p_job.run_if is not null then jsonb_build_object('kind', 'no_work', 'run_if', p_job.run_if)
    else jsonb_build_object('kind', 'no_row',
      'keep_successes_days', scheduler.setting('scheduler.keep_successes_days'),
      'keep_failures_days', scheduler.setting('scheduler.keep_failures_days'))
  end;
exception when invalid_parameter_value then
  return jsonb_build_object('kind', 'unreadable', 'fault', sqlerrm);
end;
$$;
comment on function scheduler.no_run_facts(public.scheduler_jobs, timestamptz, timestamptz) is
  'The facts of a minute of which the job has no row: why not, or when it is due.';

create function scheduler.explain_facts(p_job_name text, p_at timestamptz, p_now timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_minute timestamptz;
begin
  -- Far enough from the ends of the calendar to look for the occurrences around it.
  if p_at <= '4000-01-01 00:00+00 BC' or p_at >= '200000-01-01 00:00+00' then
    raise exception using errcode = '22023',
      message = format('cannot explain %s: at must be a moment, got %s', p_job_name, p_at),
      hint = format('select scheduler.explain(%L, ''2026-03-01 02:30-05'')', p_job_name);
  end if;
  -- Without a time: the latest there is.
  v_minute := date_trunc('minute', coalesce(
    p_at,
    (select scheduled_for from public.scheduler_runs
      where job_name = p_job_name order by created_at desc, scheduled_for desc, attempt desc limit 1),
    p_now));
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  select runs.* into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for >= v_minute and scheduled_for < v_minute + interval '1 minute'
    order by scheduler.origin(runs) = 'manual', scheduled_for desc, attempt desc
    limit 1;
  return jsonb_build_object('job', p_job_name, 'at', v_minute, 'now', p_now,
      'when', scheduler.local_text(v_minute, v_job.time_zone))
    || case
      when v_run.occurrences > 1 then scheduler.gap_facts(v_job, v_run)
      when v_run.id is not null then scheduler.run_facts(v_job, v_run, p_now)
      when v_job.name is null then jsonb_build_object('kind', 'unknown_job', 'jobs', coalesce(
        (select jsonb_agg(name order by name) from public.scheduler_jobs), '[]'))
      else scheduler.no_run_facts(v_job, v_minute, p_now)
    end;
end;
$$;
comment on function scheduler.explain_facts(text, timestamptz, timestamptz) is
  'What is known of a job at a minute (its latest row when none is given): {"job", "at", "when", "kind"} and more by '
  'its kind: run, gap, not_registered_yet, no_schedule, not_due, disabled, to_come, not_recorded, no_work, no_row, '
  'unreadable, unknown_job. Raises 22023 for a time that is none (infinity).';

-- Says in one sentence why a job did, or did not, run at a time. The sentence is made of the facts alone.

create function scheduler.wait_text(p_seconds numeric) returns text
language sql immutable set search_path = '' as $$
  select case
    when minutes < 120 then format('%s minutes', minutes)
    when minutes < 2880 then format('%s hours', round(minutes / 60.0))
    else format('%s days', round(minutes / 1440.0)) end
  from (select ceil(p_seconds / 60)::bigint as minutes) as wait;
$$;
comment on function scheduler.wait_text(numeric) is 'How long so many seconds are, as people say it.';

create function scheduler.run_sentence(p_facts jsonb) returns text
language sql stable set search_path = '' as $$
  with said as (
    select p_facts ->> 'job' as job, p_facts ->> 'when' as at, p_facts ->> 'meaning' as meaning,
      case when (p_facts ->> 'max_attempts')::integer > 1
        then format('attempt %s of %s', p_facts ->> 'attempt', p_facts ->> 'max_attempts') else 'its only attempt' end
      as attempt,
      coalesce(' (' || (
        select string_agg(concat_ws(': ', 'attempt ' || (earlier ->> 'attempt'), earlier ->> 'verdict',
          -- Attempts that failed alike have one reason, beside the last of them.
          case when error is distinct from next_error then scheduler.one_line(error, 200) end), ', ' order by place)
        from (
          select earlier, place, earlier ->> 'error_message' as error,
            lead(earlier ->> 'error_message') over (order by place) as next_error
          from jsonb_array_elements(p_facts -> 'earlier') with ordinality as attempts (earlier, place)
        ) as attempts) || ')', '') as earlier,
      case p_facts ->> 'origin' when 'manual' then 'was run by hand' when 'catch_up' then 'was caught up'
        when 'enqueued' then 'was enqueued' end as origin,
      (p_facts ->> 'now')::timestamptz as now
  )
  select case p_facts ->> 'status'
    when 'completed' then format('%s %s at %s: %s%s on %s%s.', job,
      case p_facts ->> 'origin' when 'enqueued' then 'was enqueued and ran' else coalesce(origin, 'ran') end, at,
        meaning,
      -- A URL target sends no receipt of its beginning.
      coalesce(', in ' || round((p_facts ->> 'duration_ms')::numeric / 1000, 1) || ' s', ''), attempt, earlier)
    when 'running' then format('%s is running for %s since %s s on %s%s; its last heartbeat was %s s ago.', job, at,
      extract(epoch from now - (p_facts ->> 'started_at')::timestamptz)::bigint, attempt, earlier,
      extract(epoch from now - (p_facts ->> 'heartbeat_at')::timestamptz)::bigint)
    when 'dispatched' then format(
      '%s was sent for %s at %s on %s%s and has not begun yet; without a receipt it is judged at %s.',
      job, at, p_facts ->> 'dispatched', attempt, earlier, p_facts ->> 'judged')
    when 'queued' then format('%s has not run for %s yet: %s waits %s%s.', job, at, attempt, p_facts ->> 'waits',
      earlier)
    when 'failed' then format('%s %s at %s on %s%s: %s%s. What to do: %s.%s', job, concat_ws(' and ', origin, 'failed'),
      at, attempt, earlier, meaning,
      coalesce(' (' || nullif(left(p_facts ->> 'error_message', 200), meaning) || ')', ''), p_facts ->> 'remedy',
      case
        when p_facts ->> 'again' is null then ''
        when p_facts ->> 'again' = 'call it again' then ' Then call it again.'
        when p_facts ->> 'verdict' = 'bad_input' then format(' Then: %s.', p_facts ->> 'again')
        else format(' To run it again: %s.', p_facts ->> 'again') end)
    when 'skipped' then format('%s was skipped at %s: %s.', job, at, p_facts ->> 'skip_reason')
    when 'missed' then format('%s was missed at %s: %s (%s). What to do: %s.', job, at, meaning,
      p_facts ->> 'skip_reason', p_facts ->> 'remedy')
    else format('%s was cancelled at %s%s.', job, at,
      regexp_replace(': ' || (p_facts ->> 'error_message'), '^: cancelled by ', ' by '))
  end || coalesce(' It was also run by hand then: ' || (
    select string_agg(outcome, ', ') from jsonb_array_elements_text(p_facts -> 'by_hand') as outcome) || '.', '')
  from said;
$$;
comment on function scheduler.run_sentence(jsonb) is 'The sentence of an occurrence that has a row.';

create function scheduler.gap_sentence(p_facts jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('%s %s %s occurrences from %s to %s: %s. They have one row, %s.', p_facts ->> 'job',
    p_facts ->> 'status', scheduler.grouped((p_facts ->> 'occurrences')::bigint), p_facts ->> 'first',
      p_facts ->> 'last',
    concat_ws(', ', case p_facts ->> 'status' when 'missed' then p_facts ->> 'meaning' end, p_facts ->> 'skip_reason'),
    p_facts ->> 'run_id')
    || case p_facts ->> 'status' when 'missed' then format(' What to do: %s.', p_facts ->> 'remedy') else '' end;
$$;
comment on function scheduler.gap_sentence(jsonb) is 'The sentence of an occurrence that shares its row with others.';

create function scheduler.no_run_sentence(p_facts jsonb) returns text
language sql immutable set search_path = '' as $$
  select p_facts ->> 'job' || case p_facts ->> 'kind'
    when 'not_registered_yet'
      then format(' did not run at %s: it was registered only at %s.', at, p_facts ->> 'registered')
    when 'no_schedule' then format(' has no run at %s: it has no schedule and runs only when it is enqueued or '
      'called%s.',
      at, case when (p_facts ->> 'enabled')::boolean then ''
        else '; it is disabled besides: register it with enabled => true' end)
    when 'not_due' then format(' %s not due at %s: its schedule is %L in %s; %s.',
      case when (p_facts ->> 'to_come')::boolean then 'is' else 'was' end, at, p_facts ->> 'schedule',
      p_facts ->> 'time_zone',
      case when p_facts ->> 'due_before' is not null
        then format('before that it is due at %s, after that at %s', p_facts ->> 'due_before', p_facts ->> 'due_after')
        else format('it was registered at %s and is due first at %s', p_facts ->> 'registered', p_facts ->> 'due_after')
      end)
    when 'disabled' then format(' does not run at %s: it is disabled; register it with enabled => true.', at)
    when 'to_come' then format(' is due at %s, in %s%s.', at,
      scheduler.wait_text((p_facts ->> 'wait_seconds')::numeric),
      case when p_facts #>> '{paused,by}' is null then '' else
        format(', and will be skipped: paused by %s: %s', p_facts #>> '{paused,by}', p_facts #>> '{paused,reason}') end)
    when 'not_recorded' then format(
      ' was due at %s and is not in the ledger yet: neither pg_cron nor the pulse has looked at it; the last pulse '
        'was %s%s.',
      at, coalesce((p_facts ->> 'pulse_age_seconds') || ' s ago', 'never'),
      coalesce(', and says: ' || (p_facts ->> 'error'), ''))
    when 'no_work'
      then format(' did not run at %s: there was nothing to do, by its run_if %s.', at, p_facts ->> 'run_if')
    when 'no_row' then format(' has no row for %s: it was registered with other times then, or the row was pruned '
      '(successes after %s days, failures after %s).', at, p_facts ->> 'keep_successes_days',
      p_facts ->> 'keep_failures_days')
    when 'unreadable' then format(' has no run at %s, and cannot have any: %s; register it again with a right one.', at,
      p_facts ->> 'fault')
  end
  from (select p_facts ->> 'when' as at) as moment;
$$;
comment on function scheduler.no_run_sentence(jsonb) is
  'The sentence of a minute of which the job has no row: why not, or when it is due.';

create function scheduler.explain_sentence(p_facts jsonb) returns text
language sql stable set search_path = '' as $$
  select case p_facts ->> 'kind'
    when 'run' then scheduler.run_sentence(p_facts)
    when 'gap' then scheduler.gap_sentence(p_facts)
    when 'unknown_job' then format('There is no job named %L; the jobs are: %s.', p_facts ->> 'job',
      coalesce((select string_agg(name, ', ') from jsonb_array_elements_text(p_facts -> 'jobs') as name), 'none yet'))
    else scheduler.no_run_sentence(p_facts)
  end;
$$;
comment on function scheduler.explain_sentence(jsonb) is 'The facts of scheduler.explain_facts as one sentence.';

create function scheduler.explain_json(p_job_name text, p_at timestamptz default null, p_now timestamptz default now())
returns jsonb
language sql stable set search_path = '' as $$
  -- Offset 0: without it the facts are gathered twice, and a call takes 9 ms instead of 6.
  select facts || jsonb_build_object('sentence', scheduler.explain_sentence(facts))
  from (select scheduler.explain_facts(p_job_name, p_at, p_now) as facts offset 0) as explained;
$$;
comment on function scheduler.explain_json(text, timestamptz, timestamptz) is
  'scheduler.explain_facts, and "sentence". Raises 22023 for a time that is none (infinity).';

create function scheduler.explain(p_job_name text, p_at timestamptz default null, p_now timestamptz default now())
returns text
language sql stable set search_path = '' as $$
  select scheduler.explain_json(p_job_name, p_at, p_now) ->> 'sentence';
$$;
comment on function scheduler.explain(text, timestamptz, timestamptz) is
  'Why the job did, or did not, run at that minute (its latest row when none is given): one sentence, times in the '
  'job''s own zone, in UTC where Postgres does not know it. Raises 22023 for a time that is none (infinity).';

-- Counters of each job's runs, raised as runs end. A scrape reads one small row a job instead of the ledger, and
-- pruning the ledger lowers no counter.

-- Upper bounds of the histograms' buckets, in milliseconds; above the last one there is one bucket more. The counts are
-- arrays of that length: a migration that changes bounds has to set the counts to zero.
create function scheduler.duration_bounds_ms() returns bigint[]
language sql immutable set search_path = '' as $$
  select array[100, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000]::bigint[];
$$;
comment on function scheduler.duration_bounds_ms() is 'Upper bounds of the buckets in which durations of runs are '
  'counted, in milliseconds.';

create function scheduler.fire_lag_bounds_ms() returns bigint[]
language sql immutable set search_path = '' as $$
  select array[100, 500, 1000, 5000, 30000, 60000, 300000, 3600000]::bigint[];
$$;
comment on function scheduler.fire_lag_bounds_ms() is 'Upper bounds of the buckets in which fire lags are counted, in '
  'milliseconds.';

-- One row a job. A transaction locks it only while it holds the row of the job (the order is: job, run, lock,
-- counters), so none waits here. The row is deleted with its job; a job that is registered again begins at zero, which
-- Prometheus takes for a reset.
-- No index but the key, and half of each page free: every update is a HOT update.
create table scheduler.run_counters (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  completed bigint not null default 0,
  failed bigint not null default 0,
  skipped bigint not null default 0,
  missed bigint not null default 0,
  cancelled bigint not null default 0,
  lost bigint not null default 0,
  retries bigint not null default 0,
  left_out jsonb not null default '{}',
  duration_counts bigint[] not null default array_fill(0::bigint,
    array[cardinality(scheduler.duration_bounds_ms()) + 1]),
  duration_sum_ms bigint not null default 0,
  fire_lag_counts bigint[] not null default array_fill(0::bigint,
    array[cardinality(scheduler.fire_lag_bounds_ms()) + 1]),
  fire_lag_sum_ms bigint not null default 0,
  last_success_at timestamptz,
  failed_in_row integer not null default 0,
  missed_in_row integer not null default 0,
  unsuccessful_for timestamptz
) with (fillfactor = 50);

comment on table scheduler.run_counters is
  'How the runs of each registered job ended, counted since it was registered: one row a job.';
comment on column scheduler.run_counters.lost is 'Failed runs with the verdict lost; they are among the failed ones.';
comment on column scheduler.run_counters.retries is 'Retries that were sent and have ended.';
comment on column scheduler.run_counters.left_out is 'Occurrences skipped on purpose, by their skip_kind.';
comment on column scheduler.run_counters.duration_counts is
  'Runs that began and ended, by duration: a count for each bound of duration_bounds_ms and one above. Not cumulative.';
comment on column scheduler.run_counters.fire_lag_counts is
  'First attempts of occurrences, by the time from the occurrence to its dispatch: a count for each bound of '
    'fire_lag_bounds_ms and one above. Not cumulative.';
comment on column scheduler.run_counters.failed_in_row is
  'Occurrences since the last completed run whose attempts have failed so far; an occurrence counts once.';
comment on column scheduler.run_counters.missed_in_row is 'Occurrences missed since the last completed run.';
comment on column scheduler.run_counters.unsuccessful_for is 'The latest occurrence that failed_in_row or '
  'missed_in_row counts.';

alter table scheduler.run_counters enable row level security;

create function scheduler.count_registered_job() returns trigger
language plpgsql set search_path = '' as $$
begin
  insert into scheduler.run_counters (job_name) values (new.name) on conflict do nothing;
  return null;
end;
$$;
comment on function scheduler.count_registered_job() is 'Trigger: a new job has counters from the start, all at zero.';

-- Runs of functions that no job names have no counters: the update finds no row.
create function scheduler.count_ended_run() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_began constant integer := (new.duration_ms is not null)::integer;
  v_fired constant integer :=
    (new.dispatched_at is not null and new.attempt = 1 and new.trigger in ('cron', 'catch_up'))::integer;
  v_lag_ms constant bigint := case when v_fired = 1
    then ceil(extract(epoch from greatest(new.dispatched_at, new.scheduled_for) - new.scheduled_for) * 1000) else 0 end;
  -- A bound belongs to the bucket below it (Prometheus: le), hence the whole millisecond less.
  v_duration_bucket constant integer := 1 + width_bucket(coalesce(new.duration_ms, 0) - 1::bigint,
    scheduler.duration_bounds_ms());
  v_lag_bucket constant integer := 1 + width_bucket(v_lag_ms - 1, scheduler.fire_lag_bounds_ms());
begin
  update scheduler.run_counters as counters set
    completed = counters.completed + (new.status = 'completed')::integer,
    failed = counters.failed + (new.status = 'failed')::integer,
    cancelled = counters.cancelled + (new.status = 'cancelled')::integer,
    lost = counters.lost + (new.verdict = 'lost')::integer,
    retries = counters.retries + (new.trigger = 'retry' and new.dispatched_at is not null)::integer,
    duration_counts[v_duration_bucket] = counters.duration_counts[v_duration_bucket] + v_began,
    duration_sum_ms = counters.duration_sum_ms + coalesce(new.duration_ms, 0),
    fire_lag_counts[v_lag_bucket] = counters.fire_lag_counts[v_lag_bucket] + v_fired,
    fire_lag_sum_ms = counters.fire_lag_sum_ms + v_lag_ms,
    last_success_at = case when new.status = 'completed'
      then greatest(counters.last_success_at, new.completed_at) else counters.last_success_at end,
    failed_in_row = case
      when new.status = 'completed' then 0
      when new.status = 'failed' and new.trigger <> 'manual'
        and new.scheduled_for > coalesce(counters.unsuccessful_for, '-infinity') then counters.failed_in_row + 1
      else counters.failed_in_row end,
    missed_in_row = case when new.status = 'completed' then 0 else counters.missed_in_row end,
    unsuccessful_for = case when new.status = 'failed' and new.trigger <> 'manual'
      then greatest(counters.unsuccessful_for, new.scheduled_for) else counters.unsuccessful_for end
    where counters.job_name = new.job_name;
  return null;
end;
$$;
comment on function scheduler.count_ended_run() is
  'Trigger: counts a run when it comes to its end, however it ended. count_left_out counts occurrences that never ran.';

-- A statement at a time: an outage leaves a thousand such rows in one statement, and each update of the one row of
-- counters would walk over all versions before it.
create function scheduler.count_left_out() returns trigger
language plpgsql set search_path = '' as $$
begin
  if not exists (select from written where status in ('skipped', 'missed')) then
    return null;
  end if;
  update scheduler.run_counters as counters set
    skipped = counters.skipped + sums.skipped,
    missed = counters.missed + sums.missed,
    left_out = counters.left_out || coalesce((
      select jsonb_object_agg(skip_kind, coalesce((counters.left_out ->> skip_kind)::bigint, 0) + occurrences)
      from (
        select skip_kind, sum(occurrences) as occurrences from written
        where job_name = counters.job_name and status in ('skipped', 'missed') and skip_kind
          is not null group by skip_kind
      ) as kinds), '{}'),
    missed_in_row = counters.missed_in_row + (
      select coalesce(sum(occurrences), 0) from written
      where job_name = counters.job_name and status = 'missed'
        and scheduled_for > coalesce(counters.unsuccessful_for, '-infinity')),
    unsuccessful_for = greatest(counters.unsuccessful_for, sums.last_missed)
  from (
    select job_name, coalesce(sum(occurrences) filter (where status = 'skipped'), 0) as skipped,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed,
      max(coalesce(scheduled_until, scheduled_for)) filter (where status = 'missed') as last_missed
    from written where status in ('skipped', 'missed') group by job_name
  ) as sums
  where counters.job_name = sums.job_name;
  return null;
end;
$$;
comment on function scheduler.count_left_out() is
  'Trigger: counts the occurrences that an insert records as skipped or missed, as many as each row stands for.';

create trigger count_registered_job after insert on public.scheduler_jobs
  for each row execute function scheduler.count_registered_job();
-- Heartbeats, progress, receipts of a begin and answers never call it.
create trigger count_ended_run after update of status on public.scheduler_runs
  for each row when (old.completed_at is null and new.completed_at is not null)
  execute function scheduler.count_ended_run();
create trigger count_run_born_ended after insert on public.scheduler_runs
  for each row when (new.completed_at is not null and new.status not in ('skipped', 'missed'))
  execute function scheduler.count_ended_run();
create trigger count_left_out after insert on public.scheduler_runs
  referencing new table as written for each statement execute function scheduler.count_left_out();


revoke all on scheduler.run_counters from public, anon, authenticated, service_role;

-- How long the rows of growing tables are kept: each pack has its rules here. The pulse prunes the
-- ledger and pg_cron's log, prune-old-rows everything else.

create table scheduler.retention_rules (
  rule text primary key check (rule ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  old_rows text,
  prune_function text check (prune_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  prepare_function text check (prepare_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  hold_function text check (hold_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  check (num_nonnulls(old_rows, prune_function) = 1)
);
alter table scheduler.retention_rules enable row level security;

comment on table scheduler.retention_rules is
  'What is pruned, one row a rule. How long is a setting, retention.<rule>_days; ''null'': for ever.';
comment on column scheduler.retention_rules.old_rows is
  'Which rows of the table public.<rule> are old, $1 being the moment. It should read an index that begins with the '
    'oldest rows: a step must cost what it deletes, not what it keeps.';
comment on column scheduler.retention_rules.prune_function is
  'Where a condition is not enough: a function (before timestamptz, limit integer) returns integer that deletes at '
    'most so many rows, and returns how many.';
comment on column scheduler.retention_rules.prepare_function is
  'A function (now timestamptz) returns text, called once before any row goes: why rows must stay for now, or null.';
comment on column scheduler.retention_rules.hold_function is
  'A function () returns timestamptz: rows from then on stay, though they are old.';

create function scheduler.prune_statement(p_rule scheduler.retention_rules) returns text
language sql immutable set search_path = '' as $$
  select format(
    'delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where %2$s limit $2 for update skip '
      'locked))',
    p_rule.rule, p_rule.old_rows);
$$;
comment on function scheduler.prune_statement(scheduler.retention_rules) is
  'The statement that deletes at most $2 rows that are old by that rule, $1 being the moment; null for a rule with a '
    'prune_function.';

create function scheduler.retention_rule_fault(p_rule scheduler.retention_rules) returns text
language sql stable set search_path = '' as $$
  select case
    when p_rule.pack is null or p_rule.pack !~ '\S' then 'pack must be given'
    when p_rule.rule is null or p_rule.rule !~ '^[a-z][a-z0-9_]*$' then format('rule must be a name of a-z, 0-9 and _, '
      'the first a letter, got %s', coalesce(quote_literal(left(p_rule.rule, 63)), 'null'))
    when exists (select from scheduler.retention_rules where rule = p_rule.rule) then 'there is one of that name'
    when num_nonnulls(p_rule.old_rows, p_rule.prune_function) <> 1 then 'it must have either old_rows or prune_function'
    -- A ctid is unique in one table, not in all partitions of one.
    when p_rule.old_rows is not null and not exists (select from pg_class
        where oid = to_regclass(format('public.%I', p_rule.rule)) and relkind = 'r')
      then format('public.%s must be a table, and not a partitioned one', p_rule.rule)
    else (
      select format('%s must be a function (%s) returns %s, got %s', part, arguments, result, name)
      from (values
        ('prune_function', p_rule.prune_function, 'timestamp with time zone, integer', 'integer'),
        ('prepare_function', p_rule.prepare_function, 'timestamp with time zone', 'text'),
        ('hold_function', p_rule.hold_function, '', 'timestamp with time zone')
      ) as parts (part, name, arguments, result)
      where name is not null and (name !~ '^[a-z_]+\.[a-z0-9_]+$'
        or pg_get_function_result(to_regprocedure(format('%s(%s)', name, arguments))) is distinct from result)
      limit 1)
  end;
$$;
comment on function scheduler.retention_rule_fault(scheduler.retention_rules) is
  'What is wrong with a rule that is to be added, apart from its condition; null when nothing is.';

-- A rule that cannot work is refused here; otherwise prune-old-rows would fail for it every night.
create function scheduler.add_retention_rule(
  pack text, rule text, keep_days integer, old_rows text default null, what text default null,
  prune_function text default null, prepare_function text default null, hold_function text default null
) returns void
language plpgsql set search_path = '' as $$
declare
  v_rule constant scheduler.retention_rules := row(rule, pack, old_rows, prune_function, prepare_function,
    hold_function);
  v_fault text := scheduler.retention_rule_fault(v_rule);
begin
  if v_fault is null and old_rows is not null then
    begin
      execute 'explain ' || scheduler.prune_statement(v_rule) using now(), 1;
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
      v_fault := format('old_rows must be a condition on public.%s, with $1 for the moment: %s', rule, sqlerrm);
    end;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot add the retention rule %s: %s', coalesce(quote_literal(left(rule, 63)), 'null'),
        v_fault);
  end if;
  insert into public.scheduler_settings (pack, key, default_value, unit, most, optional, description)
    values (pack, 'retention.' || rule || '_days', coalesce(to_jsonb(keep_days), 'null'), 'days', 99999, true,
      coalesce(what, format('how long old rows stay in %s', rule)) || '; ''null'': for ever');
  insert into scheduler.retention_rules select (v_rule).*;
end;
$$;
comment on function scheduler.add_retention_rule(text, text, integer, text, text, text, text, text) is
  'Adds a rule to what prune-old-rows does, with its setting; `what` describes the setting, and keep_days null keeps '
    'the rows for ever. Raises 22023 for days outside 1 to 99999, a table or function that is not there, or a '
    'condition that Postgres cannot read.';

create function scheduler.retention_days(p_rule text) returns integer
language plpgsql stable set search_path = '' as $$
begin
  if not exists (select from scheduler.retention_rules where rule = p_rule) then
    raise exception using errcode = 'SD004',
      message = format('cannot prune %s: there is no such rule', coalesce(quote_literal(p_rule), 'null')),
      hint = format('the rules are: %s', (select string_agg(rule, ', ' order by rule) from scheduler.retention_rules));
  end if;
  return scheduler.setting('retention.' || p_rule || '_days');
end;
$$;
comment on function scheduler.retention_days(text) is
  'How many days rows of that rule are kept, null: for ever. Raises SD004 for an unknown rule.';

create function scheduler.retention_before(p_rule scheduler.retention_rules, p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_before timestamptz := p_now - make_interval(days => scheduler.retention_days(p_rule.rule));
  v_held timestamptz;
begin
  if p_rule.hold_function is not null then
    execute format('select %s()', p_rule.hold_function) into v_held;
    return case when v_before is not null then least(v_before, coalesce(v_held, '-infinity')) end;
  end if;
  return v_before;
end;
$$;
comment on function scheduler.retention_before(scheduler.retention_rules, timestamptz) is
  'Rows of that rule from before this moment may go; null: none.';

create function scheduler.begin_pruning(p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_function text;
  v_reason text;
  v_held text[] := array[]::text[];
begin
  for v_function in
    select distinct prepare_function from scheduler.retention_rules where prepare_function is not null order by 1
  loop
    begin
      execute format('select %s($1)', v_function) into v_reason using p_now;
    exception when query_canceled or others then
      v_reason := format('%s failed: %s', v_function, sqlerrm);
    end;
    v_held := v_held || v_reason;
  end loop;
  return jsonb_build_object(
    'rules', coalesce((
      select jsonb_agg(rule order by rule) from scheduler.retention_rules where scheduler.retention_days(rule)
        is not null), '[]'),
    'held', to_jsonb(array_remove(v_held, null)));
end;
$$;
comment on function scheduler.begin_pruning(timestamptz) is
  'Prepares pruning: {"rules": those by which rows may go, "held": [why some rows must stay for now]}.';

-- A step, one transaction.
create function scheduler.prune_old_rows(p_rule text, p_limit integer default 2000, p_now timestamptz default now())
returns integer
language plpgsql set search_path = '' as $$
declare
  v_rule scheduler.retention_rules;
  v_before timestamptz;
  v_deleted integer;
begin
  if p_limit is null or p_limit not between 1 and 100000 then
    raise exception using errcode = '22023',
      message = format('cannot prune %s: the limit must be from 1 to 100000, got %s', p_rule,
        coalesce(p_limit::text, 'null'));
  end if;
  if scheduler.retention_days(p_rule) is null then
    return 0;
  end if;
  select * into strict v_rule from scheduler.retention_rules where rule = p_rule;
  v_before := scheduler.retention_before(v_rule, p_now);
  if v_rule.prune_function is not null then
    execute format('select %s($1, $2)', v_rule.prune_function) into v_deleted using v_before, p_limit;
    return v_deleted;
  end if;
  execute scheduler.prune_statement(v_rule) using v_before, p_limit;
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function scheduler.prune_old_rows(text, integer, timestamptz) is
  'Deletes at most p_limit old rows by that rule and returns how many; fewer than p_limit means that no more are left '
    '(or locked by others). Raises SD004 for an unknown rule; 22023 for a wrong limit.';

-- Both doors are security definer because service_role must not delete from the logs itself.
create function public.scheduler_begin_pruning() returns jsonb
language sql security definer set search_path = '' as $$
  select scheduler.begin_pruning();
$$;
comment on function public.scheduler_begin_pruning() is 'scheduler.begin_pruning by the clock of the database.';

create function public.scheduler_prune_old_rows(p_rule text, p_limit integer default 2000) returns integer
language sql security definer set search_path = '' as $$
  select scheduler.prune_old_rows(p_rule, p_limit);
$$;
comment on function public.scheduler_prune_old_rows(text, integer) is 'scheduler.prune_old_rows by the clock of the '
  'database.';

revoke all on function public.scheduler_begin_pruning(), public.scheduler_prune_old_rows(text, integer) from public,
  anon, authenticated;
grant execute on function public.scheduler_begin_pruning(), public.scheduler_prune_old_rows(text,
  integer) to service_role;

select scheduler.add_retention_rule('scheduler', 'scheduler_activity', 180, 'occurred_at < $1');

-- The health of the system: each pack registers its components, system-health reads them all and keeps a report.
--
-- A component is one function that counts and judges nothing:
--   {"watched": 12, "figures": {"<figure>": number or null, ...}, "details": {...}, "notes": ["..."]}
-- watched is the number of things that are looked at (0: the component is idle); a figure is null where it cannot be
-- told; details names the table or the job.

create table scheduler.health_components (
  component text primary key check (component ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  label text not null,
  weight integer not null check (weight between 2 and 100 and weight % 2 = 0),
  function_name text not null check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$'),
  place integer generated always as identity
);
alter table scheduler.health_components enable row level security;

comment on table scheduler.health_components is 'What system-health looks at, one row a component.';
comment on column scheduler.health_components.weight is
  'Points in the score, in relation to the other weights; even, so that half of it is whole.';
comment on column scheduler.health_components.function_name is 'The function () returns jsonb that counts; see '
  'scheduler.read_health.';

create table scheduler.health_figures (
  component text not null references scheduler.health_components (component) on delete cascade,
  figure text not null check (figure ~ '^[a-z][a-z0-9_]*$'),
  label text not null,
  unit text not null check (unit in ('percent', 'seconds', 'count', 'bytes')),
  worse text not null check (worse in ('higher', 'lower')),
  degraded numeric check (degraded > '-Infinity' and degraded < 'Infinity'),
  critical numeric check (critical > '-Infinity' and critical < 'Infinity'),
  culprit text,
  place integer generated always as identity,
  primary key (component, figure),
  constraint health_figures_critical_is_worse check (
    case worse when 'higher' then degraded <= critical else degraded >= critical end)
);
alter table scheduler.health_figures enable row level security;

comment on table scheduler.health_figures is
  'The figures of each component and when they are trouble; degraded and critical may be updated, and hold from the '
    'next check on.';
comment on column scheduler.health_figures.worse is 'higher: trouble from the threshold on; lower: trouble below it.';
comment on column scheduler.health_figures.degraded is 'The threshold; null: never.';
comment on column scheduler.health_figures.critical is 'The threshold; null: never.';
comment on column scheduler.health_figures.culprit is 'Which of the details names the culprit; null: there is none to '
  'name.';
comment on column scheduler.health_figures.place is
  'The most telling figures first: of a healthy component a report shows the first two.';

create table public.scheduler_health_history (
  id bigint generated always as identity primary key,
  job_name text not null,
  scheduled_for timestamptz not null check (isfinite(scheduled_for)),
  checked_at timestamptz not null check (isfinite(checked_at)),
  score smallint not null check (score between 0 and 100),
  status text not null check (status in ('healthy', 'degraded', 'critical')),
  summary text not null,
  report text not null,
  components jsonb not null check (jsonb_typeof(components) = 'object'),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  unique (job_name, scheduled_for)
);

create index scheduler_health_history_checked_at_idx on public.scheduler_health_history (checked_at);

comment on table public.scheduler_health_history is
  'What every health check found: one row an occurrence; a retry writes over the row of the attempt before it.';
comment on column public.scheduler_health_history.components is
  'By component: status, points, weight, and each figure with its thresholds.';

alter table public.scheduler_health_history enable row level security;
revoke all on public.scheduler_health_history from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_health_history_id_seq from public, anon, authenticated, service_role;
-- The health check writes its history through scheduler_record_health alone.
grant select on public.scheduler_health_history to service_role;

select scheduler.add_retention_rule('scheduler', 'scheduler_health_history', 180, 'checked_at < $1');

-- A share of few runs is null: one failure of two is not half of a system that fails.
create function scheduler.percent(p_part bigint, p_whole bigint, p_at_least bigint default 1) returns numeric
language sql immutable set search_path = '' as $$
  select case when p_whole >= greatest(p_at_least, 1) then round(100.0 * p_part / p_whole, 1) end;
$$;
comment on function scheduler.percent(bigint, bigint, bigint) is
  'The share in percent, to one place; null where the whole is less than p_at_least.';

create function scheduler.seconds_since(p_since timestamptz) returns numeric
language sql stable set search_path = '' as $$
  -- greatest alone would make 0 of null: "since now" of "never".
  select case when p_since is not null then greatest(0, round(extract(epoch from now() - p_since))) end;
$$;
comment on function scheduler.seconds_since(timestamptz) is
  'Whole seconds since that moment, 0 for one in the future (clocks differ), null for null.';

create function scheduler.read_health(p_component text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_function constant text := (select function_name from scheduler.health_components where component = p_component);
  v_reading jsonb;
begin
  if v_function is null then
    raise exception using errcode = 'SD005', message = format('there is no component %s',
      coalesce(quote_literal(p_component), 'null')),
      hint = format('the components are: %s', (select string_agg(component, ', ' order by place)
        from scheduler.health_components));
  end if;
  execute format('select %s()', v_function) into v_reading;
  return v_reading;
end;
$$;
comment on function scheduler.read_health(text) is
  'What the function of a component counts: {"watched", "figures": {"<figure>": number or null}, "details", "notes"}. '
    'Raises SD005 for an unknown component.';

create function scheduler.record_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb, p_now timestamptz default now()
) returns bigint
language sql set search_path = '' as $$
  insert into public.scheduler_health_history as history
    (job_name, scheduled_for, checked_at, score, status, summary, report, components)
  values (p_job_name, p_scheduled_for, p_now, p_score, p_status, p_summary, p_report, p_components)
  on conflict (job_name, scheduled_for) do update set
    checked_at = excluded.checked_at, score = excluded.score, status = excluded.status,
    summary = excluded.summary, report = excluded.report, components = excluded.components
  returning history.id;
$$;
comment on function scheduler.record_health(text, timestamptz, integer, text, text, text, jsonb, timestamptz) is
  'Keeps what a health check found, once an occurrence: the attempt that ran last is the one that counts. Returns the '
    'row''s id.';

-- The doors for system-health. Security definer because service_role has no right in the private schemas.
-- PostgREST applies statement_timeout to the whole call; no component waits for a lock longer than lock_timeout.

create function public.scheduler_health_components() returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'component', component, 'label', label, 'weight', weight, 'figures', (
      select coalesce(jsonb_agg(to_jsonb(figures) - 'component' - 'place' order by place), '[]')
      from scheduler.health_figures as figures where figures.component = components.component)
  ) order by place), '[]')
  from scheduler.health_components as components;
$$;
comment on function public.scheduler_health_components() is
  'What there is to look at, in order: [{"component", "label", "weight", "figures": [{"figure", "label", "unit", '
    '"worse", "degraded", "critical", "culprit"}]}].';

create function public.scheduler_read_health(p_component text) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select scheduler.read_health(p_component);
$$;
comment on function public.scheduler_read_health(text) is 'scheduler.read_health for system-health.';

create function public.scheduler_record_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb
) returns bigint
language sql security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select scheduler.record_health(p_job_name, p_scheduled_for, p_score, p_status, p_summary, p_report, p_components);
$$;
comment on function public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb) is
  'scheduler.record_health by the clock of the database.';

revoke all on function
  public.scheduler_health_components(),
  public.scheduler_read_health(text),
  public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb)
from public, anon, authenticated;
grant execute on function public.scheduler_health_components(), public.scheduler_read_health(text),
  public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb) to service_role;

-- What the health check sees of Postgres itself. service_role sees only its own sessions in pg_stat_activity; this runs
-- as postgres, a member of pg_monitor on Supabase. Without that role the age of the oldest transaction is null and a
-- note says why; 0 would be a lie.

create function scheduler.reads_since_check(out hit bigint, out read bigint, out counters jsonb)
language sql stable set search_path = '' as $$
  with reads as (
    select blks_hit, blks_read, stats_reset from pg_stat_database where datname = current_database()
  ), before as (
    -- The counters grow from the last reset of the statistics on, perhaps for months. The newest check that is 30
    -- minutes old is what they are compared with: a check by hand may have run a minute ago.
    select components #> '{database,details,counters}' as counters
    from public.scheduler_health_history
    where checked_at < now() - interval '30 minutes'
    order by checked_at desc
    limit 1
  ), usable as (
    select (before.counters ->> 'blks_hit')::bigint as hit, (before.counters ->> 'blks_read')::bigint as read
    from before, reads
    where before.counters ->> 'stats_reset' is not distinct from to_jsonb(reads.stats_reset) #>> '{}'
      and jsonb_typeof(before.counters -> 'blks_hit') = 'number'
      and jsonb_typeof(before.counters -> 'blks_read') = 'number'
  )
  select blks_hit - coalesce(usable.hit, 0), blks_read - coalesce(usable.read, 0), to_jsonb(reads)
  from reads left join usable on usable.hit <= blks_hit and usable.read <= blks_read;
$$;
comment on function scheduler.reads_since_check() is
  'Blocks of this database that were found in the cache, and that were not, since the newest check that is 30 minutes '
    'old (without one since the statistics were reset); and the counters for the next check.';

create function scheduler.database_health() returns jsonb
language sql stable set search_path = '' as $$
  with limits as (
    select current_setting('max_connections')::bigint
      - current_setting('superuser_reserved_connections')::bigint
      -- From Postgres 16 on.
      - coalesce(current_setting('reserved_connections', true)::bigint, 0) as connections,
      pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all_sessions
  ), sessions as (
    select sum(numbackends)::bigint as open from pg_stat_database
  ), transactions as (
    select min(began) as oldest
    from (
      select xact_start as began from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
      union all
      select prepared from pg_prepared_xacts where database = current_database()
    ) as open_transactions
  ), dead_rows as (
    -- Autovacuum may let a fifth of a table die before it comes; small tables do no harm.
    select format('%I.%I', schemaname, relname) as table_name,
      scheduler.percent(n_dead_tup, n_live_tup + n_dead_tup) as percent
    from pg_stat_user_tables
    where n_dead_tup >= 10000
    order by percent desc, table_name
    limit 1
  ), transaction_ids as (
    select greatest(max(age(datfrozenxid)), max(mxid_age(datminmxid)))::bigint as oldest
    from pg_database where datallowconn
  )
  select jsonb_build_object(
    'watched', 1,
    'figures', jsonb_build_object(
      'connections_percent', scheduler.percent(sessions.open, limits.connections),
      'oldest_transaction_seconds', case when limits.sees_all_sessions
        then coalesce(scheduler.seconds_since(transactions.oldest), 0) end,
      'cache_hit_percent', scheduler.percent(reads.hit, reads.hit + reads.read, 10000),
      'dead_rows_percent', coalesce((select percent from dead_rows), 0),
      'transaction_id_age', transaction_ids.oldest,
      'size_bytes', pg_database_size(current_database())
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'connections', sessions.open,
      'connections_possible', limits.connections,
      'most_dead_rows_in', (select table_name from dead_rows),
      'counters', reads.counters
    )),
    'notes', case when limits.sees_all_sessions then '[]'::jsonb else jsonb_build_array(
      format('sessions of others are hidden from %s; as a superuser: grant pg_monitor to %s', current_user,
        current_user)) end
  )
  from limits, sessions, scheduler.reads_since_check() as reads, transactions, transaction_ids;
$$;
comment on function scheduler.database_health() is
  'Figures of the database itself, from Postgres''s own statistics: reads no table of the application but the history.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('database', 'scheduler', 'Database', 18, 'scheduler.database_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('database', 'connections_percent', 'connections in use', 'percent', 'higher', 70, 90, null),
  ('database', 'cache_hit_percent', 'cache hit', 'percent', 'lower', 95, 80, null),
  ('database', 'oldest_transaction_seconds', 'oldest transaction', 'seconds', 'higher', 300, 3600, null),
  ('database', 'dead_rows_percent', 'dead rows in a table', 'percent', 'higher', 40, 75, 'most_dead_rows_in'),
  -- Postgres stops writing at about 2.1 billion; autovacuum acts at 0.2 billion.
  ('database', 'transaction_id_age', 'transaction id age', 'count', 'higher', 500000000, 1200000000, null),
  -- The threshold depends on the size of the disk: set one in health_figures.
  ('database', 'size_bytes', 'size', 'bytes', 'higher', null, null, null);

-- What the health check sees of the scheduler.

create function scheduler.stuck_runs(out runs bigint, out oldest text)
language sql stable set search_path = '' as $$
  with at_limit as (
    select name from public.scheduler_jobs
    where parallel_limit <= (
      select count(*) from public.scheduler_runs where job_name = name and status in ('dispatched', 'running'))
  )
  select count(*), (array_agg(job_name order by created_at))[1]
  from public.scheduler_runs
  where status in ('queued', 'dispatched', 'running')
    and case status
      when 'running' then coalesce(heartbeat_at, started_at, created_at)
      when 'dispatched' then coalesce(dispatched_at, created_at) + make_interval(secs => timeout_seconds)
      else greatest(run_after, created_at) + make_interval(secs => timeout_seconds)
    end < now() - interval '5 minutes'
    -- A run that waits for one of its job's many to end is not stuck.
    and not (status = 'queued' and job_name in (select name from at_limit));
$$;
comment on function scheduler.stuck_runs() is
  'Runs that pulse should have ended or sent five minutes ago and did not: how many, and the job of the oldest.';

create function scheduler.scheduler_health() returns jsonb
language sql stable set search_path = '' as $$
  with jobs as (
    select jobs.*, scheduler.is_paused(jobs, now()) as paused
    from public.scheduler_jobs as jobs
    where jobs.enabled
  ), registry as (
    select count(*) as jobs, min(created_at) as first_registered,
      count(*) filter (where paused) as paused,
      min(next_run_at) filter (where not paused and next_run_at <= now()) as overdue_since,
      (array_agg(name order by next_run_at, name) filter (where not paused and next_run_at <= now()))[1] as most_behind
    from jobs
  ), ended as (
    select count(*) filter (where status = 'completed') as completed,
      count(*) filter (where verdict = 'lost') as lost,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed,
      -- An attempt that failed and was tried again is not a failure yet, or was none.
      count(*) filter (where status = 'failed' and not exists (
        select from public.scheduler_runs as later
        where later.job_name = runs.job_name and later.scheduled_for = runs.scheduled_for
          and later.attempt > runs.attempt and later.trigger <> 'manual'
      )) as failed
    from public.scheduler_runs as runs
    where status in ('completed', 'failed', 'missed') and completed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', registry.jobs,
    'figures', jsonb_build_object(
      -- A scheduler that was installed a moment ago has not beaten yet.
      'pulse_age_seconds', case when registry.jobs > 0 then scheduler.seconds_since(
        greatest(pulse_state.last_pulse_at, registry.first_registered)) end,
      'seconds_behind', coalesce(scheduler.seconds_since(registry.overdue_since), 0),
      'failed_percent', scheduler.percent(ended.failed, ended.completed + ended.failed, 5),
      'lost_runs', ended.lost,
      'missed_runs', ended.missed,
      'stuck_runs', stuck.runs,
      'paused_jobs', registry.paused
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'completed_runs', ended.completed,
      'failed_runs', ended.failed,
      'most_behind', registry.most_behind,
      'oldest_stuck', stuck.oldest
    )),
    'notes', '[]'::jsonb
  )
  from registry cross join ended cross join scheduler.stuck_runs() as stuck left join scheduler.pulse_state on true;
$$;
comment on function scheduler.scheduler_health() is
  'Figures of the scheduler: its pulse, how far behind it is, and what came of the runs of the last 24 hours.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('scheduler', 'scheduler', 'Scheduler', 18, 'scheduler.scheduler_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('scheduler', 'pulse_age_seconds', 'last pulse', 'seconds', 'higher', 180, 600, null),
  ('scheduler', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 1, 20, null),
  ('scheduler', 'seconds_behind', 'behind schedule', 'seconds', 'higher', 180, 900, 'most_behind'),
  ('scheduler', 'lost_runs', 'lost in 24 h', 'count', 'higher', 1, 10, null),
  ('scheduler', 'missed_runs', 'missed in 24 h', 'count', 'higher', 1, 25, null),
  ('scheduler', 'stuck_runs', 'stuck runs', 'count', 'higher', 1, 5, 'oldest_stuck'),
  ('scheduler', 'paused_jobs', 'paused jobs', 'count', 'higher', 1, null, null);

-- The metrics that Prometheus scrapes: each pack has its families and a function that reads them. A function reads
-- counters and sums that triggers keep. It never counts a growing table, and reads no setting that can be wrong.

create table scheduler.metric_families (
  family text primary key check (family ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  type text not null check (type in ('counter', 'gauge', 'histogram')),
  help text not null,
  place integer generated always as identity
);
alter table scheduler.metric_families enable row level security;
comment on table scheduler.metric_families is 'The metrics that a scrape shows, one row a name, in the order of place.';

create table scheduler.metric_sources (
  function_name text primary key check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$'),
  pack text not null,
  place integer generated always as identity
);
alter table scheduler.metric_sources enable row level security;
comment on table scheduler.metric_sources is
  'Who is asked in a scrape: functions (now timestamptz) returns json, each an array of groups, see '
    'scheduler.metric_group.';

-- json, not jsonb: it is only ever sent, and text is put together in a third of the time.
create function scheduler.metric(p_family text, p_values json, p_labels json default '{}') returns json
language sql immutable set search_path = '' as $$
  select json_build_object('family', p_family, 'labels', p_labels, 'values', p_values);
$$;
comment on function scheduler.metric(text, json, json) is
  'A series of a group: a value for each of the group''s label sets, in their order, null where there is none; '
    'p_labels are added to each set.';

create function scheduler.metric(p_family text, p_value numeric) returns json
language sql immutable set search_path = '' as $$
  select scheduler.metric(p_family, json_build_array(p_value));
$$;
comment on function scheduler.metric(text, numeric) is 'A series of a group without labels: one value.';

create function scheduler.histogram(p_family text, p_bounds_ms bigint[], p_counts json, p_sums json) returns json
language sql immutable set search_path = '' as $$
  select json_build_object('family', p_family, 'bounds', array(select ms / 1000.0 from unnest(p_bounds_ms) as ms),
    'counts', p_counts, 'sums', p_sums);
$$;
comment on function scheduler.histogram(text, bigint[], json, json) is
  'A histogram of a group, in seconds: for each label set its counts (by bucket, not cumulative, one more than there '
    'are bounds) and its sum.';

create function scheduler.metric_group(p_labels json, variadic p_series json[]) returns json
language sql immutable set search_path = '' as $$
  select json_build_object('labels', p_labels, 'series', array_to_json(p_series));
$$;
comment on function scheduler.metric_group(json, json[]) is
  'Series that have their label sets in common: {"labels": {"<label>": [value of each set]}, "series": [see '
    'scheduler.metric and scheduler.histogram]}; without labels there is one set.';

create function scheduler.prometheus_metrics(p_now timestamptz default now()) returns json
language plpgsql stable set search_path = '' as $$
declare
  v_function text;
  v_read json;
  v_groups json[] := array[]::json[];
  v_errors jsonb := jsonb_build_object();
begin
  for v_function in select function_name from scheduler.metric_sources order by place loop
    begin
      execute format('select %s($1)', v_function) into v_read using p_now;
      if json_typeof(v_read) is distinct from 'array' then
        raise exception 'gave no array of groups but %', coalesce(json_typeof(v_read), 'null');
      end if;
      v_groups := v_groups || v_read;
    exception when others then
      -- A source that fails must not hide the others.
      v_errors := v_errors || jsonb_build_object(v_function, sqlerrm);
    end;
  end loop;
  return json_build_object(
    'families', (
      select json_agg(json_build_object('name', family, 'type', type, 'help', help) order by place)
        from scheduler.metric_families),
    'sources', array_to_json(v_groups || json_build_array(
      scheduler.metric_group('{}', scheduler.metric('scheduler_metric_sources_failed', (select count(*)
        from jsonb_object_keys(v_errors)))))),
    'errors', v_errors);
end;
$$;
comment on function scheduler.prometheus_metrics(timestamptz) is
  'Everything that a scrape shows: {"families": [{"name", "type", "help"}], "sources": [what each source gives, an '
    'array of groups], "errors": {"<function>": why it failed}}.';

-- Security definer: the counters and the pulse's mark are in the private schema, closed to service_role.
create function public.prometheus_metrics() returns json
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.prometheus_metrics();
$$;
comment on function public.prometheus_metrics() is 'scheduler.prometheus_metrics by the clock of the database.';

revoke all on function public.prometheus_metrics() from public, anon, authenticated;
grant execute on function public.prometheus_metrics() to service_role;

create function scheduler.scheduler_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select scheduler.metric_group('{}',
    scheduler.metric('scheduler_locks_open', (select count(*) from public.scheduler_locks)),
    -- A scheduler that was installed a moment ago has not beaten yet.
    scheduler.metric('scheduler_pulse_age_seconds', round(extract(epoch from greatest(p_now - coalesce(greatest(
      (select last_pulse_at from scheduler.pulse_state), (select min(created_at) from public.scheduler_jobs)), p_now),
        interval '0')), 3)),
    scheduler.metric('scheduler_pulse_errors', coalesce((
      select count(*) from scheduler.pulse_state, lateral jsonb_object_keys(errors)), 0)));
$$;
comment on function scheduler.scheduler_metrics(timestamptz) is 'The group of metrics without labels: locks and pulse.';

-- The label is job_name, as the ledger's column: Prometheus puts the name of the scrape job into the label job and
-- would rename ours.
create function scheduler.job_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with jobs as (
    select counters.*,
      case when not jobs.enabled then 'disabled' when pause.paused then 'paused' else 'active' end as state,
      case when jobs.enabled and not pause.paused and jobs.next_run_at < p_now
        then round(extract(epoch from p_now - jobs.next_run_at), 3) else 0 end as overdue
    from public.scheduler_jobs as jobs
    join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (select jobs.enabled and scheduler.is_paused(jobs, p_now) as paused) as pause
    order by job_name
  ), reasons as (
    -- Reasons that a dashboard can count on; the others are there once they have occurred.
    select reason, true as is_usual from unnest(array['paused', 'overlap', 'queue_full']) as reason
    union all
    select distinct reason, false from jobs, jsonb_object_keys(left_out) as reason
    where reason not in ('paused', 'overlap', 'queue_full')
  ), skipped as (
    select coalesce(json_agg(scheduler.metric('scheduler_skipped_total', counts, json_build_object('reason',
      reason))), '[]') as series
    from (
      select reason, json_agg(coalesce((left_out ->> reason)::bigint, case when is_usual then 0 end)) as counts
      from reasons, jobs group by reason, is_usual
    ) as by_reason
  )
  select json_build_array(
    scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(job_name), '[]')),
      scheduler.metric('scheduler_runs_total', json_agg(completed), '{"status": "completed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(failed), '{"status": "failed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(skipped), '{"status": "skipped"}'),
      scheduler.metric('scheduler_runs_total', json_agg(missed), '{"status": "missed"}'),
      scheduler.metric('scheduler_runs_total', json_agg(cancelled), '{"status": "cancelled"}'),
      scheduler.histogram('scheduler_run_duration_seconds', scheduler.duration_bounds_ms(),
        json_agg(duration_counts), json_agg(duration_sum_ms / 1000.0)),
      scheduler.histogram('scheduler_fire_lag_seconds', scheduler.fire_lag_bounds_ms(),
        json_agg(fire_lag_counts), json_agg(fire_lag_sum_ms / 1000.0)),
      scheduler.metric('scheduler_last_success_age_seconds',
        -- greatest alone would make 0 of null: "this moment" of "never".
        json_agg(case when last_success_at is not null
          then round(extract(epoch from greatest(p_now - last_success_at, interval '0')), 3) end)),
      scheduler.metric('scheduler_occurrences_since_success', json_agg(failed_in_row), '{"status": "failed"}'),
      scheduler.metric('scheduler_occurrences_since_success', json_agg(missed_in_row), '{"status": "missed"}'),
      scheduler.metric('scheduler_missed_total', json_agg(missed)),
      scheduler.metric('scheduler_lost_total', json_agg(lost)),
      scheduler.metric('scheduler_retries_total', json_agg(retries)),
      scheduler.metric('scheduler_overdue_seconds', json_agg(overdue)),
      scheduler.metric('scheduler_job_active', json_agg((state = 'active')::integer))),
    json_build_object('labels', json_build_object('job_name', coalesce(json_agg(job_name), '[]')), 'series',
      (select series from skipped)),
    scheduler.metric_group('{"state": ["active", "paused", "disabled"]}',
      scheduler.metric('scheduler_jobs', json_build_array(count(*) filter (where state = 'active'),
        count(*) filter (where state = 'paused'), count(*) filter (where state = 'disabled')))),
    scheduler.scheduler_metrics(p_now))
  from jobs;
$$;
comment on function scheduler.job_metrics(timestamptz) is 'What a scrape shows of the scheduler: a value a job, by '
  'job_name, and its own.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.job_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_runs_total', 'scheduler', 'counter', 'Runs that ended, by status; every attempt is a run, and a skipped '
    'or missed occurrence has one too.'),
  ('scheduler_run_duration_seconds', 'scheduler', 'histogram', 'How long runs took from their beginning to their end, '
    'however they ended.'),
  ('scheduler_fire_lag_seconds', 'scheduler', 'histogram', 'From an occurrence to the dispatch of its first attempt, '
    'counted when that ends.'),
  ('scheduler_last_success_age_seconds', 'scheduler', 'gauge', 'Since the job''s last completed run ended; absent '
    'before the first.'),
  ('scheduler_occurrences_since_success', 'scheduler', 'gauge', 'Occurrences since the last completed run that failed '
    '(with all attempts so far) or were missed, by status.'),
  ('scheduler_skipped_total', 'scheduler', 'counter', 'Occurrences skipped on purpose, by reason; misfire reasons '
    'are missed ones that the misfire policy did not run.'),
  ('scheduler_missed_total', 'scheduler', 'counter', 'Occurrences that were not dispatched in time.'),
  ('scheduler_lost_total', 'scheduler', 'counter', 'Runs that were dispatched and of which nothing was heard; they '
    'are among the failed.'),
  ('scheduler_retries_total', 'scheduler', 'counter', 'Retries that were dispatched, counted when they end.'),
  ('scheduler_overdue_seconds', 'scheduler', 'gauge', 'Since the job''s oldest occurrence that has no run yet; 0 when '
    'none is due, and while the job is paused or disabled.'),
  ('scheduler_job_active', 'scheduler', 'gauge', '1 when the job is enabled and not paused, else 0.'),
  ('scheduler_jobs', 'scheduler', 'gauge', 'Registered jobs by state.'),
  ('scheduler_locks_open', 'scheduler', 'gauge', 'Locks that are held: jobs with a run from dispatch to end.'),
  ('scheduler_pulse_age_seconds', 'scheduler', 'gauge', 'Since the last pulse; before the first one since the first '
    'job was registered.'),
  ('scheduler_pulse_errors', 'scheduler', 'gauge', 'Jobs and steps that failed in the last pulse.'),
  ('scheduler_metric_sources_failed', 'scheduler', 'gauge', 'Functions that could not give their metrics in this '
    'scrape; the function''s log says why.');

-- Only the owner may use the private schema. Each function in public grants its own callers.
revoke all on all functions in schema scheduler from public, anon, authenticated, service_role;
revoke all on all tables in schema scheduler from public, anon, authenticated, service_role;
revoke all on all sequences in schema scheduler from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'system-health',
  schedule => '20 * * * *',
  description => 'Health of every component, one score, one report'
);

select scheduler.register_job(
  name => 'prune-old-rows',
  schedule => '52 3 * * *',
  description => 'Deletes old rows of every growing table by its retention'
);
