-- Daybook 0.11.0, pack scheduler. Made of supabase/sql/scheduler: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'scheduler';
  v_schemas constant text[] := array[]::text[];
  v_relations constant text[] := array[
    'scheduler_jobs_alias_key', 'scheduler_jobs_group_name_idx',
    'scheduler_runs_broken_idx', 'scheduler_runs_created_at_idx',
    'scheduler_runs_job_name_run_after_idx', 'scheduler_runs_manual_idx',
    'scheduler_runs_next_idx', 'scheduler_runs_run_after_idx',
    'scheduler_runs_turn_idx', 'scheduler_runs_waits_for_key_idx',
    'scheduler_alert_channels', 'scheduler_alert_deliveries',
    'scheduler_alert_rules', 'scheduler_alerts', 'scheduler_audit',
    'scheduler_breakers', 'scheduler_budgets', 'scheduler_calendar_spans',
    'scheduler_calendars', 'scheduler_groups', 'scheduler_incidents',
    'scheduler_operators', 'scheduler_plans'];
  v_functions constant text[] := array[
    'scheduler_api_act', 'scheduler_api_as_user', 'scheduler_api_audit_log',
    'scheduler_api_channels', 'scheduler_api_explain', 'scheduler_api_failures',
    'scheduler_api_forecast', 'scheduler_api_health', 'scheduler_api_health_of',
    'scheduler_api_history', 'scheduler_api_logs', 'scheduler_api_metrics',
    'scheduler_api_next', 'scheduler_api_operator', 'scheduler_api_run',
    'scheduler_api_status', 'scheduler_api_tick', 'scheduler_api_timeline',
    'scheduler_api_verify', 'scheduler_begin_due_run',
    'scheduler_report_budget', 'scheduler_reserve_tokens',
    'scheduler_take_tokens'];
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

-- From 0.10.0 to 0.11.0: groups, dependencies, keys, breakers, continuous jobs, calendars, incidents, an audit log.

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

alter table public.scheduler_groups enable row level security;
revoke all on public.scheduler_groups from public, anon, authenticated, service_role;
grant select on public.scheduler_groups to service_role;

-- By what they say: beside tables of an earlier install, which were moved aside, Postgres gave them other names.
do $constraints$
declare
  v_constraint record;
begin
  for v_constraint in
    select conrelid::regclass as on_table, conname from pg_catalog.pg_constraint
    where contype = 'c' and (
      conrelid = 'public.scheduler_jobs'::regclass and pg_get_constraintdef(oid) like '%isfinite(next_run_at)%'
      or conrelid = 'public.scheduler_runs'::regclass and (pg_get_constraintdef(oid) like '%isfinite(scheduled_for)%'
        or pg_get_constraintdef(oid) like '%''cancelled''%' or pg_get_constraintdef(oid) like '%''catch_up''%'
        or pg_get_constraintdef(oid) like '%''misfire_once''%'))
  loop
    execute format('alter table %s drop constraint %I', v_constraint.on_table, v_constraint.conname);
  end loop;
end;
$constraints$;

alter table public.scheduler_jobs
  add column group_name text references public.scheduler_groups (name),
  add column depends_on text[] not null default '{}',
  add column dependents text[] not null default '{}',
  add column dependency_timeout_seconds integer not null default 21600,
  add column on_dependency_timeout text not null default 'skip',
  add column on_dependency_failure text not null default 'skip',
  add column key_limit integer,
  add column priority integer not null default 0,
  add column priority_ages_after_seconds integer not null default 300,
  add column budgets jsonb not null default '{}',
  add column breaker_failures integer,
  add column breaker_cooldown_seconds integer not null default 300,
  add column continuous boolean not null default false,
  add column idle_seconds integer not null default 30,
  add column jitter_seconds integer not null default 0,
  add column calendars text[] not null default '{}',
  add column stopped_at timestamptz,
  add column stopped_until timestamptz,
  add column group_paused_at timestamptz,
  add column group_paused_until timestamptz,
  add column previous_run_at timestamptz,
  add constraint scheduler_jobs_check3 check (isfinite(next_run_at) and isfinite(paused_at)
    and isfinite(created_at) and isfinite(stopped_at)
    and isfinite(stopped_until) and isfinite(group_paused_at) and isfinite(group_paused_until)
    and isfinite(previous_run_at));

create index scheduler_jobs_group_name_idx on public.scheduler_jobs (group_name) where group_name is not null;

comment on column public.scheduler_jobs.depends_on is
  'Jobs whose newest occurrence at or before its own a run waits for. Without a schedule the job runs once for each of '
    'their occurrences; a continuous job is started and resumed after them, no more.';
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
comment on column public.scheduler_jobs.stopped_at is
  'Since when an incident stops the job; null: none does.';
comment on column public.scheduler_jobs.stopped_until is
  'The incident is over: the job''s place on the ramp. Null: it lasts.';
comment on column public.scheduler_jobs.group_paused_at is 'Since when the job''s group is paused.';
comment on column public.scheduler_jobs.group_paused_until is 'Until when the job''s group is paused.';
comment on column public.scheduler_jobs.previous_run_at is
  'The occurrence before next_run_at, which is the start of its interval; null: not known yet.';

insert into scheduler.verdicts (verdict, meaning, remedy, url_remedy) values
  ('deferred', 'it waits for tokens of a budget, and goes on in a run of its own', 'nothing; many of these mean that '
    'the budget is too small for the work', null);

alter table public.scheduler_runs
  add column waiting jsonb,
  add column priority integer not null default 0,
  add column turn bigint not null default 0,
  add column failures integer not null default 0,
  add column interval_from timestamptz,
  add column stands_for uuid,
  add constraint scheduler_runs_check4 check (isfinite(scheduled_for) and isfinite(scheduled_until)
    and isfinite(run_after) and isfinite(dispatched_at)
    and isfinite(answered_at) and isfinite(started_at) and isfinite(heartbeat_at) and isfinite(completed_at)
    and isfinite(created_at) and isfinite(interval_from)),
  add constraint scheduler_runs_status_check check (status in ('queued', 'dispatched', 'running', 'completed', 'failed',
    'deferred', 'skipped', 'missed', 'cancelled')),
  add constraint scheduler_runs_trigger_check check (trigger in ('cron', 'manual', 'retry', 'catch_up', 'enqueued',
    'dependency', 'backfill', 'continuous', 'deferred')),
  add constraint scheduler_runs_skip_kind_check check (skip_kind in (
    'paused', 'overlap', 'queue_full', 'superseded', 'misfire_once', 'misfire_all', 'misfire_skip', 'incident',
    'group_paused', 'calendar', 'dependency', 'breaker'));

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

-- What is alive goes on with the attempts that it has left.
update public.scheduler_runs set failures = attempt - 1 where completed_at is null and attempt > 1;
update public.scheduler_runs
  set waiting = jsonb_build_object('for', 'retry', 'name', null, 'since', created_at, 'until', run_after)
  where status = 'queued' and run_after is not null;

-- They answer something else, or have one argument more.
drop function scheduler.unrecorded_segments(public.scheduler_jobs, timestamptz, timestamptz);
drop function public.scheduler_finish_run(uuid, text, jsonb, text, jsonb, boolean);

create table public.scheduler_incidents (
  id bigint generated always as identity primary key,
  started_at timestamptz not null check (isfinite(started_at)),
  started_by text not null check (started_by ~ '\S' and length(started_by) <= 200),
  reason text not null check (reason ~ '\S' and length(reason) <= 1000),
  ended_at timestamptz check (isfinite(ended_at)),
  ended_by text check (ended_by ~ '\S' and length(ended_by) <= 200),
  ramp_seconds integer check (ramp_seconds between 0 and 86400),
  ends_runs boolean not null default false,
  check ((ended_at is null) = (ended_by is null) and (ended_at is null) = (ramp_seconds is null))
);
create unique index scheduler_incidents_open_key on public.scheduler_incidents ((true)) where ended_at is null;
comment on table public.scheduler_incidents is
  'Incidents: from started_at on nothing runs, until ended_at and the ramp after it. At most one lasts.';
comment on column public.scheduler_incidents.ends_runs is 'Whether what was under way was told to end.';
alter table public.scheduler_incidents enable row level security;
revoke all on public.scheduler_incidents from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_incidents_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_incidents to service_role;

create table public.scheduler_audit (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  author text not null check (author ~ '\S' and length(author) <= 200),
  verb text not null check (length(verb) between 1 and 63),
  subject_type text not null check (length(subject_type) between 1 and 63),
  subject text not null check (length(subject) between 1 and 200),
  reason text check (length(reason) <= 1000),
  before jsonb,
  after jsonb
);
create index scheduler_audit_occurred_at_idx on public.scheduler_audit (occurred_at);
create index scheduler_audit_subject_idx on public.scheduler_audit (subject_type, subject, occurred_at);

comment on table public.scheduler_audit is
  'Who did what, when, on what, why, and what it was before and after. Written by the verbs, never changed.';
comment on column public.scheduler_audit.subject_type is 'What the verb was done to: job, group, run, calendar, '
  'budget, '
  'scheduler; packs add their own.';

alter table public.scheduler_audit enable row level security;
revoke all on public.scheduler_audit from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_audit_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_audit to service_role;

create table scheduler.wakes (
  job_name text not null,
  wake_at timestamptz not null check (isfinite(wake_at)),
  scheduled_for timestamptz check (isfinite(scheduled_for))
);
-- No unique index: two transactions that wake one job must not wait for each other.
create index wakes_wake_at_idx on scheduler.wakes (wake_at);
alter table scheduler.wakes enable row level security;
revoke all on scheduler.wakes from public, anon, authenticated, service_role;
comment on table scheduler.wakes is
  'Jobs to look at from a moment on, though none of their runs says so. A row is taken out when its job is '
    'looked at.';
comment on column scheduler.wakes.scheduled_for is
  'An occurrence of a job without a schedule, by one of its dependencies, that is to be recorded then.';

create table public.scheduler_calendars (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  description text not null default '',
  created_at timestamptz not null default now() check (isfinite(created_at))
);
comment on table public.scheduler_calendars is 'Calendars that jobs are registered with, one row a calendar.';

-- Local times: a holiday begins at midnight wherever the job lives.
create table public.scheduler_calendar_spans (
  calendar text not null references public.scheduler_calendars (name) on delete cascade,
  starts_at timestamp not null check (isfinite(starts_at)),
  ends_at timestamp not null check (isfinite(ends_at)),
  label text not null check (label ~ '\S' and length(label) <= 200),
  primary key (calendar, starts_at),
  check (starts_at < ends_at)
);
comment on table public.scheduler_calendar_spans is
  'The spans of each calendar, from starts_at up to ends_at, in the local time of the job that asks.';

alter table public.scheduler_calendars enable row level security;
alter table public.scheduler_calendar_spans enable row level security;
revoke all on public.scheduler_calendars, public.scheduler_calendar_spans
  from public, anon, authenticated, service_role;
grant select on public.scheduler_calendars, public.scheduler_calendar_spans to service_role;

create table scheduler.group_slots (
  group_name text not null references public.scheduler_groups (name) on delete cascade,
  slot integer not null,
  run_id uuid unique references public.scheduler_runs (id) on delete set null,
  primary key (group_name, slot)
);
alter table scheduler.group_slots enable row level security;
comment on table scheduler.group_slots is 'The slots of groups that have a parallel_limit, and the runs that hold '
  'them.';

revoke all on scheduler.group_slots from public, anon, authenticated, service_role;

create table scheduler.kept_occurrences (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  scheduled_for timestamptz not null check (isfinite(scheduled_for)),
  state text not null check (state in ('completed', 'failed', 'skipped', 'missed', 'cancelled'))
);
alter table scheduler.kept_occurrences enable row level security;
revoke all on scheduler.kept_occurrences from public, anon, authenticated, service_role;
comment on table scheduler.kept_occurrences is
  'The newest occurrence of each job that was pruned from the ledger, and how it ended.';

create type scheduler.hold as (kind text, name text, until timestamptz, skip_reason text);
comment on type scheduler.hold is
  'What holds a run back: its kind (see scheduler_runs.waiting), the name of what it waits for, until when at the '
    'latest (null: until it happens); with a skip_reason the run is skipped instead.';

create type scheduler.place_in_line as (job_name text, priority numeric, scheduled_for timestamptz, tried integer);
comment on type scheduler.place_in_line is
  'A job of which a run waits: the priority and the time of the one that goes next, and how many went before it.';

create table public.scheduler_breakers (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  failures integer not null default 0 check (failures >= 0),
  opened_at timestamptz check (isfinite(opened_at)),
  tried_by uuid
) with (fillfactor = 50);
comment on table public.scheduler_breakers is
  'The breaker of each job that has one and has run: closed without opened_at; open for its job''s '
    'breaker_cooldown_seconds from then on; half-open after that.';
comment on column public.scheduler_breakers.failures is 'Failed runs in a row.';
comment on column public.scheduler_breakers.tried_by is 'The run that tries, once the breaker is half-open.';
alter table public.scheduler_breakers enable row level security;
revoke all on public.scheduler_breakers from public, anon, authenticated, service_role;
grant select on public.scheduler_breakers to service_role;

comment on type scheduler.planned_occurrence is
  'An occurrence that is due (or all of a gap, up to `until`) and its fate: start, catch_up, faulty (with the '
    'reason as its fault), or the skip_kind with which it is skipped (calendar: with the label as its fault).';

create type scheduler.backfill_occurrence as (scheduled_for timestamptz, state text, gap_id uuid);
comment on type scheduler.backfill_occurrence is
  'An occurrence of a range that may be run again: its state as scheduler.occurrence_state has it (null: it has no '
    'row), '
    'and the row of many occurrences that it shares, if it does.';

-- A call goes out only when its transaction is over, so verify() reads the answer to the call of the one before it.
create table scheduler.verify_calls (
  request_id bigint not null,
  asked_at timestamptz not null check (isfinite(asked_at)),
  function_name text not null
);
alter table scheduler.verify_calls enable row level security;
revoke all on scheduler.verify_calls from public, anon, authenticated, service_role;
comment on table scheduler.verify_calls is 'The last call by which verify() asked a function whether it takes the '
  'secret.';

create type scheduler.check_result as (check_name text, state text, detail text);
comment on type scheduler.check_result is
  'One check of verify(): its name, its state (ok, failed, asked: say verify() again in a few seconds), and what was '
    'found.';

select scheduler.add_retention_rule('scheduler', 'scheduler_audit', 730, 'occurred_at < $1');

alter table scheduler.run_counters
  add column deferred bigint not null default 0,
  add column durations integer[] not null default array_fill(0, array[71]),
  add column fire_lags integer[] not null default array_fill(0, array[71]);
comment on column scheduler.run_counters.durations is
  'What duration_counts has, by the finer bounds of timing_bounds_ms. Not cumulative.';
comment on column scheduler.run_counters.fire_lags is
  'What fire_lag_counts has, by the finer bounds of timing_bounds_ms. Not cumulative.';

insert into scheduler.metric_sources (function_name, pack) values
  ('scheduler.coordination_metrics', 'scheduler'), ('scheduler.load_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_breaker_state', 'scheduler', 'gauge', 'The breaker of the job: 0 closed, 1 half-open, 2 open.'),
  ('scheduler_continuous_alive', 'scheduler', 'gauge', '1 while a continuous job has a living heartbeat, is idle as '
    'planned, or hands over; else 0.'),
  ('scheduler_waiting_seconds', 'scheduler', 'gauge', 'Since the occurrence of the job''s oldest run that waits '
    'and is neither back-filled nor put off; 0 when none does.'),
  ('scheduler_group_limit', 'scheduler', 'gauge', 'How many runs of the group may be under way at once.'),
  ('scheduler_group_under_way', 'scheduler', 'gauge', 'How many runs of the group are under way.'),
  ('scheduler_incident_seconds', 'scheduler', 'gauge', 'Since an incident stops all jobs; 0 when none does.'),
  ('scheduler_parallel_limit', 'scheduler', 'gauge', 'How many runs of the job may be under way at once now.'),
  ('scheduler_idle_in_row', 'scheduler', 'gauge', 'How many runs in a row of a job with stretch_after found nothing.'),
  ('scheduler_busy', 'scheduler', 'gauge', '1 while scheduler.is_busy() puts runs off, else 0.');

alter type scheduler.parsed_schedule
  add attribute signs_of_month integer[],
  add attribute signs_of_week integer[],
  add attribute interval_seconds integer;
comment on type scheduler.parsed_schedule is
  'A five-field schedule, each field as its ascending values (days_of_week 0 to 6, Sunday is 0). '
    'days_must_both_match: a date must match both day fields, not either. follows_real_clock: the hour field covers '
    'all 24 hours, so the clock''s changes are followed, not corrected. signs_of_month: L is 0, L-3 is -3, LW is 100, '
    '15W is 115; signs_of_week: 5#2 is 25, 5L is 95; null where there are none. interval_seconds: of a schedule of so '
    'many seconds, which has nothing else.';
alter type scheduler.utc_values
  add attribute other_days_of_month integer[],
  add attribute other_days_of_week integer[];
comment on type scheduler.utc_values is
  'What the occurrences of a schedule need of each field in UTC, ascending. all_days_...: those of any occurrence; '
    'days_of_month, days_of_week: those of the occurrences whose local date matches by that field; other_days_...: the '
    'same, of the occurrences on none of the days that the other field names.';
comment on column public.scheduler_jobs.schedule is
  'Five fields, a name such as @daily, or an interval such as 30 seconds; null: the job never runs by itself, only '
    'when it is enqueued or called.';

-- Budgets of outside APIs.

-- No check constraints: an update plans each of its table's anew, and with ten of them a take cost 2.1 times a bare
-- update instead of 1.6. Functions alone write here, and register_budget checks what it is given. Half of each page
-- stays free, so that a take finds room beside the row and touches no index.
create table public.scheduler_budgets (
  name text primary key,
  description text not null,
  tokens integer not null,
  per_seconds integer not null,
  window_kind text not null,
  taken_at timestamptz[] not null default '{-infinity}',
  taken_total bigint[] not null default '{0}',
  tokens_left integer not null,
  resets_at timestamptz,
  ahead_of timestamptz,
  reserved_until timestamptz,
  created_at timestamptz not null default now()
) with (fillfactor = 50);

comment on table public.scheduler_budgets is
  'One row a budget of an outside API, with its state. Written by scheduler.register_budget and the takes, never by '
    'hand.';
comment on column public.scheduler_budgets.tokens is 'How many may be taken in a span of per_seconds.';
comment on column public.scheduler_budgets.window_kind is
  'sliding: in any span of per_seconds. fixed: from a first take until resets_at, then anew.';
comment on column public.scheduler_budgets.taken_at is
  'Sliding: when tokens were taken, ascending. The first entry counts no more. From 92 entries on, a take within the '
    'same ninetieth of the span as the one before it becomes one with it, at the later time: that counts longer than '
    'it should and never shorter.';
comment on column public.scheduler_budgets.taken_total is
  'Sliding: how many had been taken in all at each moment of taken_at. The tokens of a span are the last total less '
    'that of its beginning.';
comment on column public.scheduler_budgets.tokens_left is 'Fixed: what is left of the window that is open.';
comment on column public.scheduler_budgets.resets_at is
  'Fixed: when the window that is open ends; null: none is, and the next take opens one.';
comment on column public.scheduler_budgets.ahead_of is
  'A time that the clock showed before it was set back; null when it was not. When it is reached again, what was taken '
    'meanwhile counts as taken then.';
comment on column public.scheduler_budgets.reserved_until is
  'The last deadline for which tokens were ever reserved: later than this, a take need not look for reservations.';

alter table public.scheduler_budgets enable row level security;
revoke all on public.scheduler_budgets from public, anon, authenticated, service_role;
grant select on public.scheduler_budgets to service_role;

create table scheduler.budget_reservations (
  budget text not null references public.scheduler_budgets (name) on delete cascade,
  job_name text not null check (job_name ~ '\S'),
  tokens integer not null check (tokens >= 1),
  tokens_left integer not null check (tokens_left between 1 and tokens),
  needed_by timestamptz not null check (isfinite(needed_by)),
  created_at timestamptz not null check (isfinite(created_at)),
  primary key (budget, job_name)
) with (fillfactor = 50);
alter table scheduler.budget_reservations enable row level security;
revoke all on scheduler.budget_reservations from public, anon, authenticated, service_role;

comment on table scheduler.budget_reservations is
  'Tokens that are kept for a job until it took them or needed_by has passed: one open reservation a budget and job. '
    'Read and written under the lock of the budget''s row.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.budget_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_budget_tokens', 'scheduler', 'gauge', 'How many tokens a budget grants in its span.'),
  ('scheduler_budget_left', 'scheduler', 'gauge', 'Tokens that a budget holds now, with those that are reserved.'),
  ('scheduler_budget_reserved', 'scheduler', 'gauge', 'Tokens that are kept for jobs until they took them or '
    'their deadline has passed.');

-- The API.

alter table public.scheduler_jobs add column alias text;
create unique index scheduler_jobs_alias_key on public.scheduler_jobs (alias) where alias is not null;
comment on column public.scheduler_jobs.alias is
  'Another name by which the API is asked for the job, and under which its health is shown.';
create index scheduler_runs_created_at_idx on public.scheduler_runs (created_at);
drop index public.scheduler_runs_occurrence_key;
create unique index scheduler_runs_occurrence_key
  on public.scheduler_runs (job_name, scheduled_for, attempt) include (status, occurrences) where trigger <> 'manual';
create index scheduler_runs_manual_idx on public.scheduler_runs (job_name, created_at) where trigger = 'manual';
create index scheduler_runs_broken_idx
  on public.scheduler_runs (job_name, completed_at) where status in ('failed', 'missed');

create table scheduler.health_keys (
  key text primary key check (key ~ '^[a-z][a-z0-9_]*$'
    and key not in ('timestamp', 'services', 'stalled_services', 'budgets')),
  pack text not null,
  function_name text not null check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$')
);
alter table scheduler.health_keys enable row level security;
revoke all on scheduler.health_keys from public, anon, authenticated, service_role;
comment on table scheduler.health_keys is 'What packs add to the API''s health, one row a key.';
comment on column scheduler.health_keys.function_name is 'The function (now timestamptz) returns jsonb that has its '
  'value.';

create type scheduler.job_condition as (
  name text, state text, stalled boolean, stop text, breaker text, unsuccessful bigint, due_without_success bigint,
  waits_for text
);
comment on type scheduler.job_condition is
  'How a job is: its state (see scheduler.job_state), whether it is stalled, what stops it, its breaker, how many '
    'occurrences failed or were missed since the last completed run, how many are due without one (those, and '
    'those under way, waiting or without a row), and what its oldest waiting run waits for.';

-- Alerts.

create extension if not exists pgcrypto with schema extensions;

alter table scheduler.pulse_state
  add column last_looked_at timestamptz,
  add column queue_still_since timestamptz,
  add column last_rolled_up_at timestamptz,
  add column forecasts_left boolean not null default false;
comment on column scheduler.pulse_state.forecasts_left is
  'Whether the last pulse that made forecasts had no time for all.';
comment on column scheduler.pulse_state.last_rolled_up_at is
  'When the counters of all jobs were last copied to rollups.';
comment on column scheduler.pulse_state.last_looked_at is 'When the rules of alerts were last looked at.';
comment on column scheduler.pulse_state.queue_still_since is
  'Since when pg_net''s queue has held requests without an answer to any; null: it does not stand still.';

create table public.scheduler_alert_channels (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  kind text not null
    check (kind in ('slack', 'discord', 'teams', 'email', 'pagerduty', 'webhook', 'dead_man')),
  address_secret text,
  token_secret text,
  sender_secret text,
  least_severity text not null default 'warning' check (least_severity in ('info', 'warning', 'critical')),
  jobs text[] not null default '{}',
  groups text[] not null default '{}',
  quiet_from time,
  quiet_until time,
  time_zone text not null default 'UTC',
  enabled boolean not null default true,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check ((quiet_from is null) = (quiet_until is null))
);

alter table public.scheduler_alert_channels enable row level security;

revoke all on public.scheduler_alert_channels from public, anon, authenticated, service_role;

grant select on public.scheduler_alert_channels to service_role;

comment on table public.scheduler_alert_channels is
  'Where alerts go, one row a channel. Written by scheduler.register_alert_channel. While none is enabled, no rule is '
    'looked at.';

comment on column public.scheduler_alert_channels.address_secret is
  'The name in Vault of the address: a URL; of an e-mail its recipients, with commas between them.';

comment on column public.scheduler_alert_channels.token_secret is
  'The name in Vault of the token: Resend''s API key, PagerDuty''s routing key, a webhook''s signing secret.';

comment on column public.scheduler_alert_channels.sender_secret is
  'The name in Vault of the address from which an e-mail comes.';

comment on column public.scheduler_alert_channels.least_severity is
  'Alerts of a lower severity do not go there; info also takes the status line.';

comment on column public.scheduler_alert_channels.jobs is
  'Only alerts of these jobs, or of the groups. Both empty: all. An alert of no job goes everywhere.';

comment on column public.scheduler_alert_channels.quiet_from is
  'From this local time to quiet_until nothing is said there; what still lasts then is said then.';

create table public.scheduler_alert_rules (
  rule text primary key check (rule ~ '^[a-z][a-z0-9_]*$'),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  threshold numeric not null check (threshold >= 0 and threshold < 'Infinity'),
  unit text not null,
  for_seconds integer not null default 0 check (for_seconds between 0 and 86400),
  enabled boolean not null default true,
  description text not null
);

alter table public.scheduler_alert_rules enable row level security;

revoke all on public.scheduler_alert_rules from public, anon, authenticated, service_role;

grant select on public.scheduler_alert_rules to service_role;

comment on table public.scheduler_alert_rules is
  'The rules by which something is an alert. Changed by scheduler.set_alert_rule.';

comment on column public.scheduler_alert_rules.for_seconds is
  'How long it must have lasted before it is said.';

insert into public.scheduler_alert_rules (rule, severity, threshold, unit, for_seconds, description) values
  ('failed', 'warning', 1, 'occurrences', 0, 'an occurrence failed for good: no attempt is left'),
  ('failing', 'critical', 3, 'occurrences', 0, 'so many occurrences in a row failed'),
  ('missed', 'warning', 1, 'occurrences', 0, 'nothing fired an occurrence at its time'),
  ('late', 'warning', 3600, 'seconds', 0, 'an occurrence has waited for so long to be sent'),
  ('overdue', 'critical', 600, 'seconds', 0, 'an occurrence that was due has had no row in the ledger for so long'),
  ('continuous_down', 'critical', 1, 'job', 300, 'a continuous job has no living run'),
  ('breaker_open', 'warning', 1, 'breaker', 60, 'a breaker is not closed'),
  ('budget_exhausted', 'warning', 5, 'percent', 3600, 'a budget holds less than so much of its tokens'),
  ('dependency_timeout', 'warning', 1, 'occurrences', 0, 'an occurrence was skipped, as its dependency was not there '
    'in time'),
  ('long_running', 'warning', 3, 'times', 0, 'a run lasts longer than so many times the p95 of the last 200 completed '
    'ones, and a minute'),
  ('outgrows', 'warning', 14, 'days', 0, 'a job is foreseen to reach its timeout, the wall clock or its interval '
    'within so many days'),
  ('pulse_errors', 'warning', 1, 'errors', 300, 'the pulse fails for a job or in a step'),
  ('queue_still', 'critical', 120, 'seconds', 0, 'pg_net''s queue has held requests for so long, and no answer came');

create type scheduler.alert_facts as (
  job_name text, continuous boolean, failed_in_row integer, is_retrying boolean, missed_in_row integer,
  waiting_seconds numeric, overdue_seconds numeric, is_down boolean, breaker_state text, dependency_timed_out boolean,
  running_seconds numeric, usual_seconds numeric, pulse_error text, outgrows_in_days integer
);

comment on type scheduler.alert_facts is
  'What the rules see of a job. usual_seconds: the p95 of its durations, null where too few runs have completed; '
    'outgrows_in_days: until it reaches a limit, null where none is foreseen.';

create table public.scheduler_alerts (
  id uuid primary key default gen_random_uuid(),
  cause text not null,
  rule text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  jobs text[] not null default '{}',
  jobs_now integer not null default 0,
  seen_at timestamptz not null check (isfinite(seen_at)),
  opens_at timestamptz not null check (isfinite(opens_at)),
  opened_at timestamptz check (isfinite(opened_at)),
  ended_at timestamptz check (isfinite(ended_at)),
  end_kind text check (end_kind in ('over', 'unwatched')),
  settled boolean not null default false,
  check ((ended_at is null) = (end_kind is null) and ended_at >= opened_at)
);

create unique index scheduler_alerts_open_key on public.scheduler_alerts (cause) where ended_at is null;

create index scheduler_alerts_unsettled_idx on public.scheduler_alerts (cause) where not settled;

create index scheduler_alerts_ended_at_idx on public.scheduler_alerts (ended_at);

alter table public.scheduler_alerts enable row level security;

revoke all on public.scheduler_alerts from public, anon, authenticated, service_role;

grant select on public.scheduler_alerts to service_role;

comment on table public.scheduler_alerts is
  'One row a cause, from when it was first seen to its end. Written by the pulse while a channel is enabled.';

comment on column public.scheduler_alerts.cause is
  'What is wrong: "job <name>", "host <host>", "secret <name>", "setup <what>", "budget <name>", clock, pulse, queue.';

comment on column public.scheduler_alerts.rule is 'Of the rules that see it, the one of the highest severity.';

comment on column public.scheduler_alerts.jobs is 'All jobs that it stopped so far; empty: it is not of a job.';

comment on column public.scheduler_alerts.jobs_now is 'How many jobs it stops now.';

comment on column public.scheduler_alerts.opens_at is 'When it is an alert, if it lasts until then.';

comment on column public.scheduler_alerts.opened_at is 'Null: it has not lasted for for_seconds of its rule yet.';

comment on column public.scheduler_alerts.end_kind is
  'over, or unwatched: all its jobs are paused, disabled or gone.';

comment on column public.scheduler_alerts.settled is 'Nothing is left to be said of it.';

create table scheduler.alert_events (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  happened_at timestamptz not null check (isfinite(happened_at))
);

alter table scheduler.alert_events enable row level security;

revoke all on scheduler.alert_events from public, anon, authenticated, service_role;

comment on table scheduler.alert_events is
  'Jobs of which an occurrence was skipped, as its dependency was not there in time, and that have not completed '
    'since.';

create type scheduler.sighting as (
  rule text, severity text, for_seconds integer, job_name text, verdict text, fault text, host text, secret_name text,
  depends_on text[]
);

comment on type scheduler.sighting is
  'A rule that holds of a job, and what is known of why: its last failure''s verdict, the message, where it was sent '
    'and with which secret.';

create type scheduler.seen_cause as (cause text, rule text, severity text, for_seconds integer, jobs text[]);

comment on type scheduler.seen_cause is 'A cause as the rules see it now, with the jobs that it stops.';

select scheduler.add_retention_rule('scheduler', 'scheduler_alerts', 180, 'ended_at < $1 and settled');

insert into public.scheduler_settings (pack, key, default_value, type, unit, optional, description) values
  ('scheduler', 'alerts.console_url', 'null', 'text', null, true, 'where the console is, for the link in an alert; '
    '''null'': no link'),
  ('scheduler', 'alerts.pagerduty_url', '"https://events.pagerduty.com/v2/enqueue"', 'text', null, false, 'where '
    'PagerDuty takes events; in the EU https://events.eu.pagerduty.com/v2/enqueue'),
  ('scheduler', 'alerts.email_url', '"https://api.resend.com/emails"', 'text', null, false, 'where Resend takes '
    'e-mails');

create table public.scheduler_alert_deliveries (
  id uuid primary key default gen_random_uuid(),
  alert_id uuid references public.scheduler_alerts (id) on delete cascade,
  channel text not null references public.scheduler_alert_channels (name) on delete cascade,
  event text not null check (event in ('opened', 'worse', 'again', 'ended', 'test', 'status')),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  message jsonb not null,
  status text not null default 'waiting' check (status in ('waiting', 'sent', 'delivered', 'failed')),
  written_at timestamptz not null check (isfinite(written_at)),
  send_after timestamptz not null check (isfinite(send_after)),
  tries integer not null default 0 check (tries >= 0),
  sent_at timestamptz check (isfinite(sent_at)),
  request_id bigint,
  response_status integer,
  error text,
  finished_at timestamptz check (isfinite(finished_at)),
  check ((finished_at is null) = (status in ('waiting', 'sent')))
);

create index scheduler_alert_deliveries_alert_id_idx
  on public.scheduler_alert_deliveries (alert_id, channel, written_at);

create index scheduler_alert_deliveries_channel_idx on public.scheduler_alert_deliveries (channel, event, written_at);

create index scheduler_alert_deliveries_open_idx
  on public.scheduler_alert_deliveries (written_at) where status in ('waiting', 'sent');

create index scheduler_alert_deliveries_failed_idx
  on public.scheduler_alert_deliveries (finished_at) where status = 'failed';

create index scheduler_alert_deliveries_written_at_idx on public.scheduler_alert_deliveries (written_at);

alter table public.scheduler_alert_deliveries enable row level security;

revoke all on public.scheduler_alert_deliveries from public, anon, authenticated, service_role;

grant select on public.scheduler_alert_deliveries to service_role;

comment on table public.scheduler_alert_deliveries is
  'What is to be said and was said to which channel, one row a message. Its id is the receiver''s key against repeats.';

comment on column public.scheduler_alert_deliveries.status is
  'waiting to be sent; sent, and no answer yet; delivered; failed: nobody tries any more.';

comment on column public.scheduler_alert_deliveries.request_id is
  'pg_net''s id of the last try. It means nothing without sent_at.';

insert into public.scheduler_settings (pack, key, default_value, unit, most, optional, description) values
  ('scheduler', 'alerts.repeat_minutes', '60', 'min', 1440, false, 'after so long an alert that lasts is said again; '
    'then after twice as long each time, at most a day'),
  ('scheduler', 'alerts.status_minutes', 'null', 'min', 1440, true, 'how often the status line is said to channels '
    'that take info; ''null'': never');

select scheduler.add_retention_rule('scheduler', 'scheduler_alert_deliveries', 90,
  'written_at < $1 and status in (''delivered'', ''failed'')');

-- A dead man's switch is told from outside that nothing came: it sees what this database cannot say.
create table scheduler.alert_pings (
  channel text primary key references public.scheduler_alert_channels (name) on delete cascade,
  pinged_at timestamptz not null check (isfinite(pinged_at)),
  was_healthy boolean not null,
  request_id bigint,
  answered_at timestamptz check (isfinite(answered_at)),
  response_status integer,
  succeeded_at timestamptz check (isfinite(succeeded_at)),
  error text
) with (fillfactor = 50);

alter table scheduler.alert_pings enable row level security;

revoke all on scheduler.alert_pings from public, anon, authenticated, service_role;

comment on table scheduler.alert_pings is 'The last ping of each dead man''s switch, and what came of it.';

comment on column scheduler.alert_pings.succeeded_at is 'When the last ping was sent that was answered with success.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.alert_metrics', 'scheduler');

insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_alerts_open', 'scheduler', 'gauge', 'Alerts that last, by severity.'),
  ('scheduler_alerts_undelivered', 'scheduler', 'gauge', 'Alerts that could not be delivered for five minutes, or '
    'failed within a day with nothing delivered there since, and dead man''s switches that could not be pinged for '
    'five minutes.');

insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('scheduler', 'undelivered_alerts', 'undelivered alerts', 'count', 'higher', 1, 10, null);

-- No foreign key to auth.users: a project may have no Auth, and an id is never given to another user.
create table public.scheduler_operators (
  user_id uuid primary key,
  name text not null unique check (name ~ '\S' and name = btrim(name) and length(name) <= 200),
  role text not null check (role in ('viewer', 'operator')),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  created_by text not null check (created_by ~ '\S' and length(created_by) <= 200),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);

alter table public.scheduler_operators enable row level security;

revoke all on public.scheduler_operators from public, anon, authenticated, service_role;

grant select on public.scheduler_operators to service_role;

comment on table public.scheduler_operators is
  'Users of Supabase Auth who may ask the API cron: a viewer reads, an operator also acts. Written by '
    'scheduler.add_operator and remove_operator; read for each call.';

comment on column public.scheduler_operators.user_id is 'The user''s id in Supabase Auth (auth.users.id).';

comment on column public.scheduler_operators.name is
  'The author of what the user does, in the audit log: an e-mail address, for example.';
create table scheduler.rollups (
  job_name text not null references scheduler.run_counters (job_name) on delete cascade,
  taken_at timestamptz not null check (isfinite(taken_at)),
  step interval not null,
  completed bigint not null,
  failed bigint not null,
  deferred bigint not null,
  cancelled bigint not null,
  skipped bigint not null,
  missed bigint not null,
  lost bigint not null,
  retries bigint not null,
  durations integer[] not null,
  duration_sum_ms bigint not null,
  fire_lags integer[] not null,
  fire_lag_sum_ms bigint not null,
  primary key (job_name, taken_at)
);
create index rollups_step_idx on scheduler.rollups (step, taken_at);
alter table scheduler.rollups enable row level security;
revoke all on scheduler.rollups from public, anon, authenticated, service_role;

comment on table scheduler.rollups is
  'Copies of scheduler.run_counters, one row a job and time. They grow as the counters do: the difference of two is '
    'what happened between them.';
comment on column scheduler.rollups.step is
  'The longest of the steps for which it was made: 5 minutes, kept for over an hour; an hour, for over a day; 6 hours, '
    'for over a week; a day, until it is pruned.';

-- The triggers and the rule need their functions, whose bodies follow with the others.
create function scheduler.count_from_zero() returns trigger language plpgsql set search_path = '' as
  'begin return null; end';
create function scheduler.prune_rollups(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as 'select 0';

create trigger first_rollup after insert on scheduler.run_counters
  for each row execute function scheduler.count_from_zero();
create trigger counters_lowered after update on scheduler.run_counters
  for each row when (new.completed < old.completed or new.failed < old.failed or new.deferred < old.deferred
    or new.cancelled < old.cancelled or new.skipped < old.skipped or new.missed < old.missed or new.lost < old.lost
    or new.retries < old.retries or new.duration_sum_ms < old.duration_sum_ms
    or new.fire_lag_sum_ms < old.fire_lag_sum_ms)
  execute function scheduler.count_from_zero();

select scheduler.add_retention_rule('scheduler', 'rollups', 92, what => 'how long the daily roll-ups of jobs stay',
  prune_function => 'scheduler.prune_rollups');

-- Old commands may hold secrets. cron.job has them open to its own role; here no role but the owner has a right.
create table scheduler.adopted_entries (
  id bigint generated always as identity primary key,
  job_name text not null,
  registered boolean not null,
  name text,
  schedule text not null,
  command text not null,
  database text not null,
  username text not null,
  active boolean not null,
  adopted_at timestamptz not null default now() check (isfinite(adopted_at))
);
create index adopted_entries_job_name_idx on scheduler.adopted_entries (job_name);

comment on table scheduler.adopted_entries is
  'Entries of pg_cron that jobs took the place of, as they were: one row an entry. Written by scheduler.adopt_entries, '
    'emptied by undo_adoption and forget_adopted_entries.';
comment on column scheduler.adopted_entries.registered is
  'Whether the job was registered for it; false: the job was there, and stays when the entry is put back.';
comment on column scheduler.adopted_entries.name is 'Its name in pg_cron; null: it had none.';

alter table scheduler.adopted_entries enable row level security;
revoke all on scheduler.adopted_entries from public, anon, authenticated, service_role;
revoke all on sequence scheduler.adopted_entries_id_seq from public, anon, authenticated, service_role;

-- Schedules that give way.

alter table public.scheduler_jobs
  add column defer_if text,
  add column defer_at_most_seconds integer not null default 900,
  add column stretch_after integer,
  add column stretch_at_most_seconds integer,
  add column parallel_least integer;
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
comment on column public.scheduler_jobs.parallel_limit is
  'With overlap policy allow: how many runs may be under way at once; further ones wait. Null: any number. With '
    'parallel_least the most of them.';

create table scheduler.stretches (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  idle_in_row integer not null check (idle_in_row >= 0),
  asked_for timestamptz not null check (isfinite(asked_for)),
  asked_again_at timestamptz check (isfinite(asked_again_at))
) with (fillfactor = 50);
alter table scheduler.stretches enable row level security;
revoke all on scheduler.stretches from public, anon, authenticated, service_role;
comment on table scheduler.stretches is
  'One row a job of which a run found nothing while it had stretch_after. Written as a run ends and as the job is '
    'registered, under the job''s row lock.';
comment on column scheduler.stretches.idle_in_row is
  'How many runs in a row have found nothing. 0: the stretch has ended; the row says what it left out until an '
    'occurrence after it has run.';
comment on column scheduler.stretches.asked_for is 'The occurrence of the last run that found nothing.';
comment on column scheduler.stretches.asked_again_at is
  'The first occurrence after asked_for that is not left out. Null: none is left out.';

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, optional, description) values
  ('scheduler', 'scheduler.busy_connections_percent', '70', 'percent', 1, 100, true, 'from so many active of all '
    'connections on the database is busy; ''null'': they are not looked at'),
  ('scheduler', 'scheduler.busy_requests', '200', null, 1, 999999, true, 'from so many requests in pg_net''s queue on '
    'the database is busy; ''null'': they are not looked at'),
  ('scheduler', 'scheduler.busy_late_runs', '20', null, 1, 999999, true, 'from so many runs that are late on the '
    'database is busy; ''null'': they are not looked at');

create type scheduler.load as (active integer, connections integer, requests integer, late_runs integer);
comment on type scheduler.load is
  'How much there is to do: connections that execute a statement, of how many there can be; requests in pg_net''s '
    'queue; runs that are late.';

create table scheduler.parallel_states (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  in_force integer not null check (in_force >= 1),
  stale integer not null default 0 check (stale >= 0),
  ended integer not null default 0 check (ended >= 0),
  failed integer not null default 0 check (failed between 0 and ended),
  duration_ms bigint not null default 0 check (duration_ms >= 0),
  usual_ms numeric check (usual_ms >= 0 and usual_ms < 'Infinity')
) with (fillfactor = 50);
alter table scheduler.parallel_states enable row level security;
revoke all on scheduler.parallel_states from public, anon, authenticated, service_role;
comment on table scheduler.parallel_states is
  'One row a job with parallel_least of which a run has ended. Written as a run ends, under the job''s row lock.';
comment on column scheduler.parallel_states.in_force is 'How many runs may be under way at once.';
comment on column scheduler.parallel_states.stale is
  'How many ends say nothing yet: the runs were sent before the number in force was lowered.';
comment on column scheduler.parallel_states.ended is
  'Runs that have ended in this round. As many as are in force make a round.';
comment on column scheduler.parallel_states.failed is 'Those of them that failed.';
comment on column scheduler.parallel_states.duration_ms is 'How long they took together.';
comment on column scheduler.parallel_states.usual_ms is
  'How long a run usually takes: the average of rounds, the newest with an eighth.';

-- Forecasts.

alter table public.scheduler_jobs add column figures text[] not null default '{}';
comment on column public.scheduler_jobs.figures is
  'Numbers of its results that are kept by day and forecast: names of fields, as {"rows": 12} has.';

create table scheduler.job_days (
  job_name text not null,
  day date not null check (isfinite(day)),
  completed integer not null default 0,
  failed integer not null default 0,
  deferred integer not null default 0,
  cancelled integer not null default 0,
  skipped bigint not null default 0,
  missed bigint not null default 0,
  verdicts jsonb not null default '{}',
  sent integer not null default 0,
  wall_ms bigint not null default 0,
  success_rows integer not null default 0,
  failure_rows integer not null default 0,
  durations integer[] not null default '{}',
  shortest_ms integer,
  longest_ms integer,
  hour_runs integer[] not null default '{}',
  hour_ms bigint[] not null default '{}',
  figures jsonb not null default '{}',
  primary key (job_name, day)
  -- Room for the next versions of the rows of today: their updates touch no index.
) with (fillfactor = 80);
create index job_days_day_idx on scheduler.job_days (day);
alter table scheduler.job_days enable row level security;
revoke all on scheduler.job_days from public, anon, authenticated, service_role;

comment on table scheduler.job_days is
  'What came of each job on each UTC day, one row a job and day. A run counts on the day on which it ended. The rows '
    'of a job that was taken out stay; registered again under its name, it goes on with them.';
comment on column scheduler.job_days.verdicts is
  'Runs, and occurrences that were skipped or missed, by the verdict with which they ended: {"ok": 1438, "lost": 2}.';
comment on column scheduler.job_days.sent is 'Requests to the edge function: attempts that were dispatched.';
comment on column scheduler.job_days.wall_ms is 'How long all runs that began took, together.';
comment on column scheduler.job_days.success_rows is
  'Rows of the ledger that go after keep_successes_days; failure_rows: those that go after keep_failures_days.';
comment on column scheduler.job_days.durations is
  'How long runs took that completed, or that time stopped (timed_out, interrupted): a count at each place of '
    'duration_place, null for none. Two days together are the sums of their places.';
comment on column scheduler.job_days.hour_runs is
  'How many of these runs began in each UTC hour, counted from the beginning of the day: -1 is the last hour of the '
    'day before. hour_ms: how long they took together. Kept for 50 days.';
comment on column scheduler.job_days.figures is
  'Of each figure that the job names: {"rows": {"sum", "least", "most", "runs"}}.';

create table scheduler.ledger_days (
  day date primary key check (isfinite(day)),
  rows bigint not null,
  bytes bigint not null
);
alter table scheduler.ledger_days enable row level security;
revoke all on scheduler.ledger_days from public, anon, authenticated, service_role;

comment on table scheduler.ledger_days is
  'How large the ledger was at the beginning of each UTC day, as the first pulse of the day found it.';
comment on column scheduler.ledger_days.rows is 'Counted while the ledger is small, else reckoned from its pages.';
comment on column scheduler.ledger_days.bytes is 'Of scheduler_runs with its indexes.';

-- What the ledger still has whole: the days of which nothing was pruned. Nothing ends meanwhile: this transaction has
-- the ledger to itself, and from its commit on the trigger counts.
with since as (
  select greatest(
    (now() at time zone 'UTC')::date - scheduler.setting('scheduler.keep_successes_days') + 1,
    (min(completed_at) filter (where status in ('completed', 'skipped')) at time zone 'UTC')::date + 1) as day
  from public.scheduler_runs
), ended as (
  select runs.*, (completed_at at time zone 'UTC')::date as day, greatest(duration_ms, 0) as ms,
    duration_ms is not null and (status = 'completed' or verdict in ('timed_out', 'interrupted')) as is_timed,
    ceil(ln(greatest(duration_ms, 1)::float8) / ln(1.05::float8))::integer as place,
    floor(extract(epoch from (started_at at time zone 'UTC') - (completed_at at time zone 'UTC')::date) / 3600)::integer
      as hour
  from public.scheduler_runs as runs join public.scheduler_jobs on name = job_name, since
  where completed_at >= since.day at time zone 'UTC'
), sums as (
  select job_name, day, count(*) filter (where status = 'completed') as completed,
    count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
    coalesce(sum(occurrences) filter (where status = 'skipped'), 0) as skipped,
    coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed,
    count(*) filter (where dispatched_at is not null and function_name is not null) as sent,
    coalesce(sum(ms) filter (where duration_ms is not null), 0) as wall_ms,
    count(*) filter (where status in ('completed', 'skipped')) as success_rows,
    count(*) filter (where status not in ('completed', 'skipped')) as failure_rows,
    min(ms) filter (where is_timed) as shortest_ms, max(ms) filter (where is_timed) as longest_ms
  from ended group by job_name, day
), verdicts as (
  select job_name, day, jsonb_object_agg(verdict, amount) as verdicts
  from (select job_name, day, verdict, sum(occurrences) as amount from ended group by 1, 2, 3) as counts
  group by 1, 2
), places as (
  select job_name, day, place, count(*) as amount from ended where is_timed group by 1, 2, 3
), durations as (
  select job_name, day, format('[%s:%s]={%s}', low, high, string_agg(coalesce(amount::text, 'NULL'), ','
    order by place))::integer[] as durations
  from (select job_name, day, min(place) as low, max(place) as high from places group by 1, 2) as spans
    cross join generate_series(low, high) as place left join places using (job_name, day, place)
  group by job_name, day, low, high
), hours as (
  select job_name, day, hour, count(*) as runs, sum(ms) as ms from ended
  where is_timed and hour between -24 and 23 group by 1, 2, 3
), of_hours as (
  select job_name, day, format('[%s:%s]={%s}', low, high, string_agg(coalesce(runs::text, 'NULL'), ','
      order by hour))::integer[] as hour_runs,
    format('[%s:%s]={%s}', low, high, string_agg(coalesce(ms::text, 'NULL'), ',' order by hour))::bigint[] as hour_ms
  from (select job_name, day, min(hour) as low, max(hour) as high from hours group by 1, 2) as spans
    cross join generate_series(low, high) as hour left join hours using (job_name, day, hour)
  group by job_name, day, low, high
)
insert into scheduler.job_days (job_name, day, completed, failed, cancelled, skipped, missed, verdicts, sent, wall_ms,
    success_rows, failure_rows, durations, shortest_ms, longest_ms, hour_runs, hour_ms)
  select job_name, day, completed, failed, cancelled, skipped, missed, verdicts, sent, wall_ms, success_rows,
    failure_rows, coalesce(durations, '{}'), shortest_ms, longest_ms, coalesce(hour_runs, '{}'), coalesce(hour_ms, '{}')
  from sums join verdicts using (job_name, day) left join durations using (job_name, day)
    left join of_hours using (job_name, day);

-- Its body follows with the other functions.
create function scheduler.prune_job_days(p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as 'select 0';
select scheduler.add_retention_rule('scheduler', 'job_days', 730, what => 'how long it is known what came of each job '
  'on each day', prune_function => 'scheduler.prune_job_days');

create table public.scheduler_plans (
  plan text primary key check (plan ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  wall_clock_seconds integer check (wall_clock_seconds >= 1),
  invocations_included bigint check (invocations_included >= 0),
  invocations_package bigint check (invocations_package >= 1),
  usd_a_package numeric check (usd_a_package >= 0 and usd_a_package < 'Infinity'),
  wall_seconds_included bigint check (wall_seconds_included >= 0),
  usd_a_wall_second numeric check (usd_a_wall_second >= 0 and usd_a_wall_second < 'Infinity'),
  source text not null check (source ~ '\S'),
  looked_up_on date not null check (isfinite(looked_up_on)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check ((invocations_package is null) = (usd_a_package is null))
);
alter table public.scheduler_plans enable row level security;
revoke all on public.scheduler_plans from public, anon, authenticated, service_role;
grant select on public.scheduler_plans to service_role;

comment on table public.scheduler_plans is
  'What plans allow and cost a month, one row a plan: what forecasts of wall clock and cost reckon with. Change a row '
    'when a price changes, or add one; the setting forecast.plan names the one that holds.';
comment on column public.scheduler_plans.wall_clock_seconds is 'How long a worker may live; null: no limit.';
comment on column public.scheduler_plans.invocations_included is
  'Calls of edge functions a month without a further price; null: any number.';
comment on column public.scheduler_plans.usd_a_package is
  'For each begun package of so many calls above what is included; null: more cannot be bought.';
comment on column public.scheduler_plans.usd_a_wall_second is
  'For each second that a function works above wall_seconds_included; null: seconds cost nothing.';
comment on column public.scheduler_plans.looked_up_on is 'When the source said so.';

create trigger set_updated_at before update on public.scheduler_plans
  for each row execute function scheduler.set_updated_at();

insert into public.scheduler_plans (plan, wall_clock_seconds, invocations_included, invocations_package, usd_a_package,
    source, looked_up_on) values
  ('free', 150, 500000, null, null, 'https://supabase.com/docs/guides/functions/limits and '
    'https://supabase.com/docs/guides/platform/manage-your-usage/edge-function-invocations', '2026-11-30'),
  ('pro', 400, 2000000, 1000000, 2, 'https://supabase.com/docs/guides/functions/limits and '
    'https://supabase.com/docs/guides/platform/manage-your-usage/edge-function-invocations', '2026-11-30');

insert into public.scheduler_settings (pack, key, default_value, type, on_change, description) values
  ('scheduler', 'forecast.plan', '"free"', 'text', 'scheduler.check_plan', 'which row of scheduler_plans forecasts '
    'reckon with');

create type scheduler.trend as (
  days integer, first_day date, last_day date, level float8, slope float8, slope_least float8, slope_most float8,
  spread float8
);
comment on type scheduler.trend is
  'How a figure stands and moves. days: how many are reckoned with; level: where it stands on the day of the question; '
    'slope: by how much it moves a day, with its 95 % interval, null when no trend is proven; spread: how far a day '
    'lies from the line, as a standard deviation.';

create type scheduler.line as (z float8, slope float8, slope_least float8, slope_most float8);
comment on type scheduler.line is
  'The Theil-Sen line through days. z: how many standard deviations the count of rising less falling pairs is from 0.';

create type scheduler.arrival as (on_day date, earliest date, latest date);
comment on type scheduler.arrival is 'The day on which a line reaches a limit, and its interval; latest null: ten '
  'years or more.';

create type scheduler.share as (share float8, least float8, most float8);
comment on type scheduler.share is 'A share, with its 99 % interval.';

create type scheduler.hour_size as (
  day date, utc_hour integer, hour integer, weekday integer, is_new boolean, size float8, weight float8
);
comment on type scheduler.hour_size is
  'An hour of a job, and which hour and weekday (0 is Monday) it is on the job''s own clock. size: the logarithm of '
    'how many milliseconds its runs took on average; weight: the root of how many they were, as an average of few is '
    'more of a chance.';

-- No key to the jobs: the pulse would wait for whoever takes one out.
create table scheduler.job_forecasts (
  job_name text primary key,
  made_at timestamptz not null check (isfinite(made_at)),
  job_updated_at timestamptz not null check (isfinite(job_updated_at)),
  wall_clock_seconds integer,
  outgrows_limit text check (outgrows_limit in ('timeout', 'wall_clock', 'interval')),
  outgrows_on date check (isfinite(outgrows_on)),
  forecast jsonb not null,
  check ((outgrows_limit is null) = (outgrows_on is null))
);
create index job_forecasts_outgrows_on_idx on scheduler.job_forecasts (outgrows_on) where outgrows_on is not null;
alter table scheduler.job_forecasts enable row level security;
revoke all on scheduler.job_forecasts from public, anon, authenticated, service_role;

comment on table scheduler.job_forecasts is 'What is foreseen of each job, one row a job, made anew each UTC day.';
comment on column scheduler.job_forecasts.job_updated_at is
  'The version of the job that it was made for; wall_clock_seconds: of the plan. When either is another now it is made '
    'anew.';
comment on column scheduler.job_forecasts.outgrows_on is
  'The first day on which the job reaches a limit, and which limit; null: none is foreseen.';

create table scheduler.project_forecast (
  only_row boolean primary key default true check (only_row),
  made_at timestamptz not null check (isfinite(made_at)),
  made_with text not null,
  ledger jsonb not null,
  cost jsonb not null
);
alter table scheduler.project_forecast enable row level security;
revoke all on scheduler.project_forecast from public, anon, authenticated, service_role;
comment on table scheduler.project_forecast is
  'One row: what is foreseen of the ledger and of the cost of all jobs, made anew each UTC day.';
comment on column scheduler.project_forecast.made_with is 'The row of scheduler_plans that it was made with.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.forecast_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_forecast_limit_days', 'scheduler', 'gauge', 'In how many days the p95 of the job reaches a limit '
    '(timeout, wall_clock or interval, the first of them); 0 when it is there; absent when none is foreseen.'),
  ('scheduler_forecast_invocations', 'scheduler', 'gauge', 'Calls of edge functions by jobs that the next 30 days are '
    'expected to have; absent before 14 days are known.'),
  ('scheduler_forecast_wall_seconds', 'scheduler', 'gauge', 'Seconds of work by jobs that the next 30 days are '
    'expected to have; absent before 14 days are known.'),
  ('scheduler_ledger_rows', 'scheduler', 'gauge', 'Rows of the ledger, about; looked at once a day.'),
  ('scheduler_ledger_bytes', 'scheduler', 'gauge', 'Bytes of the ledger with its indexes; looked at once a day.');

-- Who registered a job.
create table scheduler.job_sources (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  source text not null check (source ~ '^[a-z][a-z0-9-]{0,62}$'),
  applied jsonb,
  applied_at timestamptz check (isfinite(applied_at)),
  check ((applied is null) = (applied_at is null))
);
alter table scheduler.job_sources enable row level security;
revoke all on scheduler.job_sources from public, anon, authenticated, service_role;

comment on table scheduler.job_sources is
  'Who registered a job, one row a job. A job without a row was registered by SQL of the project.';
comment on column scheduler.job_sources.source is
  'The section of schedules.json, which for a pack''s jobs has the pack''s name; or the pack whose SQL registered it.';
comment on column scheduler.job_sources.applied is
  'The values with which schedules.json registered the job last. Null: the SQL of the pack registers it.';

-- What schedules.json of 0.10.0 registered, which people may have changed since: of these jobs nothing was given but
-- this. Arguments that 0.10.0 did not have are as they are now.
insert into scheduler.job_sources (job_name, source, applied, applied_at)
  select name, 'scheduler', to_jsonb(jobs) - array['name', 'function_name', 'dependents', 'created_at', 'updated_at',
    'cron_entry', 'next_run_at', 'previous_run_at', 'paused_at', 'paused_until', 'pause_reason', 'paused_by',
    'stopped_at', 'stopped_until', 'group_paused_at', 'group_paused_until']
    || '{"time_zone": "UTC", "payload": {}, "secret_name": "cron_secret", "receipt": "function", "timeout_seconds": 120,
      "max_attempts": 3, "backoff_base_seconds": 30, "backoff_cap_seconds": 900, "overlap_policy": "skip",
      "misfire_policy": "once", "misfire_grace_seconds": 300, "misfire_cap": 24, "parallel_limit": null, "run_if": null,
      "enabled": true}'
    || jsonb_build_object('target', name, 'schedule', entry_schedule, 'description', entry_description),
    now()
  from public.scheduler_jobs as jobs join (values
    ('system-health', '20 * * * *', 'Health of every component, one score, one report'),
    ('prune-old-rows', '52 3 * * *', 'Deletes old rows of every growing table by its retention')
  ) as entries (entry_name, entry_schedule, entry_description) on name = entry_name;

drop function scheduler.compile_days(scheduler.utc_values,boolean,date);

drop function scheduler.end_run(uuid,text[],text,text,timestamp with time zone,jsonb,text,jsonb,boolean,boolean);

drop function scheduler.finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone);

drop function scheduler.move_cursor(scheduler_jobs,timestamp with time zone);

drop function scheduler.next_attempt(scheduler_runs,integer);

drop function scheduler.no_run_facts(scheduler_jobs,timestamp with time zone,timestamp with time zone);

drop function scheduler.pause_segments(scheduler_jobs,timestamp with time zone,timestamp with time zone);

drop function scheduler.register_job(text,text,text,text,text,jsonb,integer,integer,integer,integer,text,text,integer,integer,text,text,integer,text,boolean);

drop function scheduler.send_run(scheduler_jobs,scheduler_runs,timestamp with time zone);

drop function scheduler.wait_text(numeric);

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION scheduler.act_on_job(p_verb text, p_job_name text, p_reason text, p_author text, p_input jsonb, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return case p_verb
    when 'run' then jsonb_build_object('run_id',
      scheduler.run_now(p_job_name, p_author, p_input -> 'payload', p_now))
    when 'pause' then jsonb_build_object('message',
      scheduler.pause(p_job_name, p_reason, p_author, (p_input ->> 'until')::timestamptz, p_now))
    when 'resume' then jsonb_build_object('message', scheduler.resume(p_job_name, p_author, p_now))
    when 'close-breaker' then jsonb_build_object('message',
      scheduler.close_breaker(p_job_name, p_reason, p_author, p_now))
    when 'backfill' then jsonb_build_object('preview', coalesce((p_input ->> 'preview')::boolean, true),
      'occurrences', (
        select coalesce(jsonb_agg(jsonb_build_object('scheduled_for', scheduled_for, 'state', state,
          'becomes', becomes)), '[]')
        from scheduler.backfill(p_job_name, (p_input ->> 'from')::timestamptz, (p_input ->> 'to')::timestamptz,
          p_reason, p_author, coalesce(p_input ->> 'reprocess', 'missed'),
          coalesce((p_input ->> 'newest_first')::boolean, false), coalesce((p_input ->> 'at_most')::integer, 100),
          coalesce((p_input ->> 'preview')::boolean, true), p_now))) end;
end;
$function$
;
comment on function scheduler.act_on_job(text,text,text,text,jsonb,timestamp with time zone) is 'run, pause, resume, close-breaker or backfill of a job, with what further arguments the verb takes in p_input. Raises what the verb raises.';
revoke all on function scheduler.act_on_job(text,text,text,text,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.add_calendar_span(p_calendar text, p_label text, p_author text, p_from timestamp without time zone, p_to timestamp without time zone DEFAULT NULL::timestamp without time zone, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_to constant timestamp := coalesce(p_to, p_from + interval '1 day');
begin
  perform scheduler.assert_given(format('close a span of %s', p_calendar), 'label and author',
    format('select scheduler.add_calendar_span(%L, ''New Year'', ''who'', ''2027-01-01'')', p_calendar), p_label,
      p_author);
  if p_from is null or not isfinite(p_from) or not isfinite(v_to) or v_to <= p_from then
    raise exception using errcode = '22023',
      message = format('cannot close a span of %s: from must be a local time before to, got %s and %s', p_calendar,
        coalesce(p_from::text, 'null'), coalesce(v_to::text, 'null'));
  end if;
  if not exists (select from public.scheduler_calendars where name = p_calendar) then
    perform scheduler.refuse_unknown_calendar(p_calendar);
  end if;
  insert into public.scheduler_calendar_spans as spans (calendar, starts_at, ends_at, label)
    values (p_calendar, p_from, v_to, btrim(p_label))
    on conflict (calendar, starts_at) do update set ends_at = excluded.ends_at, label = excluded.label;
  perform scheduler.audit('add_calendar_span', 'calendar', p_calendar, p_label, p_author, null,
    jsonb_build_object('from', p_from, 'to', v_to), p_now);
  return format('the jobs of %s do not run from %s to %s, local time: %s', p_calendar, p_from, v_to, btrim(p_label));
end;
$function$
;
comment on function scheduler.add_calendar_span(text,text,text,timestamp without time zone,timestamp without time zone,timestamp with time zone) is 'Closes a span of a calendar, in the local time of each job, with the label that explain gives; without an end the day from p_from on. A span that begins then is changed. Raises SD013 for an unknown calendar; 22023 for a missing label or author, or an end that is not after the beginning.';
revoke all on function scheduler.add_calendar_span(text,text,text,timestamp without time zone,timestamp without time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.add_figures(p_sums jsonb, p_figures text[], p_result jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_figure text;
  v_value numeric;
  v_before jsonb;
begin
  foreach v_figure in array p_figures loop
    v_value := scheduler.figure_value(p_result -> v_figure);
    if v_value is not null then
      v_before := p_sums -> v_figure;
      p_sums := p_sums || jsonb_build_object(v_figure, jsonb_build_object(
        'sum', v_value + coalesce((v_before ->> 'sum')::numeric, 0),
        'least', least(v_value, (v_before ->> 'least')::numeric),
        'most', greatest(v_value, (v_before ->> 'most')::numeric),
        'runs', 1 + coalesce((v_before ->> 'runs')::integer, 0)));
    end if;
  end loop;
  return p_sums;
end;
$function$
;
comment on function scheduler.add_figures(jsonb,text[],jsonb) is 'The sums of a day''s figures with those of one more result. A figure that the result does not have counts nothing.';
revoke all on function scheduler.add_figures(jsonb,text[],jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.add_following(p_job scheduler_jobs, p_run scheduler_runs, p_retryable boolean, p_resume_at timestamp with time zone, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_next constant public.scheduler_runs := scheduler.following_run(p_job, p_run, p_retryable, p_resume_at, p_now);
begin
  if v_next.id is not null then
    perform scheduler.add_runs(array[v_next]);
  elsif p_job.continuous then
    -- A call by hand, or a run from before the job was continuous, was in the way of the next one.
    perform scheduler.keep_going(p_job, p_now);
  end if;
  perform scheduler.log_run(p_run, v_next.id is not null and v_next.trigger = 'retry');
  return v_next.id is not null;
end;
$function$
;
comment on function scheduler.add_following(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone,timestamp with time zone) is 'Writes the run that follows one that has ended (see following_run) and the line of that one in scheduler_activity. Returns whether a run follows. The caller holds the job''s row lock.';
revoke all on function scheduler.add_following(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.add_operator(p_user_id uuid, p_role text, p_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_name constant text := btrim(p_name);
  v_before public.scheduler_operators;
  v_after public.scheduler_operators;
begin
  perform scheduler.assert_given('add the operator', 'name, reason and author',
    'select scheduler.add_operator(''<id of the user>'', ''viewer'', ''ann@example.com'', ''why'', ''who'')',
    p_name, p_reason, p_author);
  if p_user_id is null or p_role is null or p_role not in ('viewer', 'operator') or length(v_name) > 200 then
    raise exception using errcode = '22023',
      message = 'cannot add the operator: the user''s id must be given, role must be viewer or operator, and a name '
        'has at most 200 characters';
  end if;
  select * into v_before from public.scheduler_operators where user_id = p_user_id;
  if exists (select from public.scheduler_operators where name = v_name and user_id <> p_user_id) then
    raise exception using errcode = '22023',
      message = format('cannot add the operator: %s is the name of another one', v_name),
      hint = 'the audit log tells people by their names';
  end if;
  insert into public.scheduler_operators as operators (user_id, name, role, created_at, created_by, updated_at)
    values (p_user_id, v_name, p_role, p_now, left(btrim(p_author), 200), p_now)
    on conflict (user_id) do update set name = excluded.name, role = excluded.role, updated_at = excluded.updated_at
    returning * into v_after;
  perform scheduler.audit('add_operator', 'operator', v_name, p_reason, p_author,
    case when v_before.user_id is not null then to_jsonb(v_before) end, to_jsonb(v_after), p_now);
  return format('%s is %s.', v_name, case p_role when 'viewer' then 'a viewer' else 'an operator' end);
end;
$function$
;
comment on function scheduler.add_operator(uuid,text,text,text,text,timestamp with time zone) is 'Lists a user of Supabase Auth as viewer (reads) or operator (also acts), or changes the role and the name, which is the author of what the user does. Raises 22023 for another role, a name that another one has, a missing reason or author.';
revoke all on function scheduler.add_operator(uuid,text,text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.add_runs(p_runs scheduler_runs[])
 RETURNS SETOF scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return query
    insert into public.scheduler_runs select runs.* from unnest(p_runs) as runs on conflict do nothing returning *;
end;
$function$
;
comment on function scheduler.add_runs(scheduler_runs[]) is 'Writes runs into the ledger, and returns those that it wrote: an attempt at an occurrence that has its row already is left as it is.';
revoke all on function scheduler.add_runs(scheduler_runs[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.added(p_sums bigint[], p_place integer, p_amount bigint)
 RETURNS bigint[]
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  p_sums[p_place] := coalesce(p_sums[p_place], 0) + p_amount;
  return p_sums;
end;
$function$
;
comment on function scheduler.added(bigint[],integer,bigint) is 'The sums with so much more at that place.';
revoke all on function scheduler.added(bigint[],integer,bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.adopt_entries(p_entries jsonb, p_may_be_missing boolean DEFAULT false, p_reason text DEFAULT NULL::text, p_author text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_found bigint;
  v_kept bigint;
  v_fault text;
begin
  perform scheduler.assert_own_entries(
    array(select entry ->> 'username' from jsonb_array_elements(p_entries) as entry));
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  -- This locks the entries and changes nothing. Only pg_cron's owner may lock rows of cron.job by a statement.
  perform cron.alter_job(job_id := id, database := current_database())
    from (select id from scheduler.find_entries(p_entries) where not is_kept order by id) as ours;
  -- All locks are held, so nothing else delays the end of the transaction.
  perform pg_sleep(scheduler.seconds_to_quiet(clock_timestamp()));
  select count(*) filter (where not is_kept), count(*) filter (where is_kept) into v_found, v_kept
    from scheduler.find_entries(p_entries);
  if v_found = 0 and v_kept = jsonb_array_length(p_entries) then
    raise notice 'already adopted: %', (
      select string_agg(distinct job_name, ', ') from scheduler.adopted_entries
      where id in (select id from scheduler.find_entries(p_entries) where is_kept));
    return false;
  end if;
  v_fault := scheduler.adopting_jobs_fault(p_entries);
  if p_may_be_missing and v_fault is null and v_found + v_kept = 0 and not exists (
    select from jsonb_array_elements(p_entries) as entry join cron.job on jobname = entry ->> 'name') then
    return true;
  end if;
  v_fault := concat_ws(', ', scheduler.entries_fault(p_entries), v_fault);
  if v_fault <> '' then
    raise exception using errcode = 'SD208',
      message = format('cannot adopt the entries: they are not as they were read: %s', v_fault),
      hint = 'run deno task daybook adopt again, and look at what it proposes now; in a database that never had these '
        'entries call adopt_entries with p_may_be_missing => true';
  end if;
  perform scheduler.take_entries(p_entries, p_reason, p_author);
  return true;
end;
$function$
;
comment on function scheduler.adopt_entries(jsonb,boolean,text,text) is 'Takes entries out of pg_cron and keeps what they were: [{"name", "schedule", "username", "active", "command_sha256", "without", "job", "job_is"}], as deno task daybook adopt writes them; job_is has values, as text, that a registered job must have to take their place. True: now register their jobs, then call end_adoption. False: they were adopted already. p_may_be_missing: true also where there is no entry of these names. Raises SD208 and changes nothing when one is not as it was read, 42501 for entries of another role.';
revoke all on function scheduler.adopt_entries(jsonb,boolean,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.adopting_jobs_fault(p_entries jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select string_agg(distinct format(case when not entry ? 'job_is' then 'there is a job %s'
      when jobs.name is null then 'the job %s is gone' else 'the job %s was changed, or is off' end, job), ', ')
  from jsonb_array_elements(p_entries) as entry
  cross join lateral (select entry ->> 'job' as job, entry -> 'job_is' as job_is) as named
  left join public.scheduler_jobs as jobs on jobs.name = job
  where case when entry ? 'job_is' then jobs.enabled is not true or exists (
        select from jsonb_each_text(job_is) as was where to_jsonb(jobs) ->> was.key is distinct from was.value)
    else jobs.name is not null or exists (select from public.scheduler_jobs where alias = job) end;
$function$
;
comment on function scheduler.adopting_jobs_fault(jsonb) is 'Which jobs that are to be registered are there, and which that are to stay are not as they were read; null when all is as it was.';
revoke all on function scheduler.adopting_jobs_fault(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.advance_job(p_job_name text, p_hear boolean, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
  v_told jsonb := case when p_hear then scheduler.hear_job(p_job_name, p_now) else jsonb_build_object() end;
  v_run_id uuid;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if not coalesce(v_job.enabled, false) then
    perform scheduler.cancel_orphans(p_job_name, p_now);
    delete from scheduler.wakes where job_name = p_job_name and wake_at <= p_now;
    perform scheduler.wake_if_waiting(p_job_name);
    return v_told;
  end if;
  v_job := scheduler.heed_incident(v_job, p_now);
  if exists (select from scheduler.wakes where job_name = p_job_name and wake_at <= p_now) then
    perform scheduler.take_wakes(v_job, p_now);
  end if;
  if v_job.continuous then
    perform scheduler.keep_going(v_job, p_now);
  end if;
  -- Waiting runs are older than occurrences that come due now.
  v_told := v_told || jsonb_build_object('sent', scheduler.send_queued(v_job, p_now));
  v_run_id := scheduler.record_due(v_job, p_now);
  if v_job.stopped_until <= p_now then
    -- What came due in the incident is recorded: from here on it is over for the job.
    update public.scheduler_jobs set stopped_at = null, stopped_until = null where name = p_job_name;
  end if;
  return v_told || jsonb_build_object('run', v_run_id, 'recorded', coalesce(v_job.next_run_at <= p_now,
    false)::integer);
end;
$function$
;
comment on function scheduler.advance_job(text,boolean,timestamp with time zone) is 'Hears a job''s runs, if told to, sends what waits as far as it may, and gives its due occurrences their rows. {"answers", "judged", "sent": runs that waited, "recorded": 1 when any was due, "run": the last one started}. The caller holds the job''s row lock.';
revoke all on function scheduler.advance_job(text,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_body(p_kind text, p_message jsonb, p_key uuid, p_secrets jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case p_kind
    when 'slack' then jsonb_build_object('text',
      left(replace(replace(replace(text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), 3900))
    -- Nobody is mentioned, whatever a job's name or message says.
    when 'discord' then jsonb_build_object('content', left(text, 1900), 'allowed_mentions', '{"parse": []}'::jsonb)
    when 'teams' then jsonb_build_object('type', 'message', 'attachments', jsonb_build_array(jsonb_build_object(
      'contentType', 'application/vnd.microsoft.card.adaptive', 'contentUrl', null,
      'content', jsonb_build_object('$schema', 'http://adaptivecards.io/schemas/adaptive-card.json',
        'type', 'AdaptiveCard', 'version', '1.2', 'body', jsonb_build_array(
          jsonb_build_object('type', 'TextBlock', 'text', scheduler.alert_headline(p_message), 'weight', 'Bolder',
            'wrap', true),
          jsonb_build_object('type', 'TextBlock', 'wrap', true, 'text', coalesce(
            replace(substring(text from position(e'\n' in text) + 1 for 4000), e'\n', e'\n\n'), ''))))
        || case when p_message ? 'link' then jsonb_build_object('actions', jsonb_build_array(jsonb_build_object(
          'type', 'Action.OpenUrl', 'title', 'Open', 'url', p_message ->> 'link'))) else '{}' end)))
    when 'email' then jsonb_build_object('from', p_secrets ->> 'sender',
      'to', to_jsonb(regexp_split_to_array(p_secrets ->> 'address', '\s*,\s*')),
      'subject', left(scheduler.alert_headline(p_message), 200), 'text', text)
    when 'pagerduty' then jsonb_build_object('routing_key', p_secrets ->> 'token',
      'dedup_key', 'daybook-' || coalesce(p_message ->> 'alert', p_key::text),
      'event_action', case p_message ->> 'event' when 'ended' then 'resolve' else 'trigger' end)
      || case p_message ->> 'event' when 'ended' then '{}' else jsonb_strip_nulls(jsonb_build_object(
        'client', 'Daybook', 'client_url', p_message ->> 'link',
        'payload', jsonb_build_object('summary', left(p_message ->> 'title', 1024), 'source', 'daybook',
          'severity', p_message ->> 'severity', 'timestamp', p_message ->> 'at',
          'custom_details', p_message - 'link'))) end
    else jsonb_build_object('type', 'alert.' || (p_message ->> 'event'), 'timestamp', p_message ->> 'at',
      'data', p_message) end
  from (select scheduler.alert_text(p_message) as text) as texts;
$function$
;
comment on function scheduler.alert_body(text,jsonb,uuid,jsonb) is 'The JSON that a channel of that kind takes. The same for each try: p_key is the delivery''s.';
revoke all on function scheduler.alert_body(text,jsonb,uuid,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_channel_fault(p_channel scheduler_alert_channels)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  if p_channel.quiet_from is not null and p_channel.time_zone is not null then
    perform scheduler.assert_time_zone(p_channel.time_zone);
  end if;
  return case
    when p_channel.name is null or p_channel.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then 'name must be 1 to 63 of a-z, '
      '0-9, - and _, the first a letter or digit'
    when p_channel.kind is null or p_channel.kind not in ('slack', 'discord', 'teams', 'email', 'pagerduty', 'webhook',
      'dead_man') then 'kind must be slack, discord, teams, email, pagerduty, webhook or dead_man'
    when p_channel.least_severity is null or p_channel.least_severity not in ('info', 'warning', 'critical')
      then 'least_severity must be info, warning or critical'
    when (p_channel.quiet_from is null) <> (p_channel.quiet_until is null)
      then 'quiet_from and quiet_until must be given together'
    when p_channel.time_zone is null or p_channel.enabled is null or array_position(p_channel.jobs, null) is not null
      or array_position(p_channel.groups, null) is not null or p_channel.jobs is null or p_channel.groups is null
      then 'time_zone, enabled, jobs and groups must be given'
    when not p_channel.jobs <@ array(select name from public.scheduler_jobs) then 'jobs must be registered jobs'
    when not p_channel.groups <@ array(select name from public.scheduler_groups)
      then 'groups must be registered groups'
    else scheduler.alert_secrets_fault(p_channel, scheduler.alert_secrets(p_channel)) end;
end;
$function$
;
comment on function scheduler.alert_channel_fault(scheduler_alert_channels) is 'The first thing that is wrong with a channel''s values, or with what Vault holds for it; null when nothing is. Raises 22023 for an unknown time zone.';
revoke all on function scheduler.alert_channel_fault(scheduler_alert_channels) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_headers(p_kind text, p_body jsonb, p_key uuid, p_secrets jsonb, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select '{"Content-Type": "application/json"}'::jsonb || case p_kind
    when 'email' then jsonb_build_object('Authorization', 'Bearer ' || (p_secrets ->> 'token'),
      'Idempotency-Key', p_key)
    when 'webhook' then jsonb_build_object('webhook-id', p_key, 'webhook-timestamp', seconds::text,
      'webhook-signature', scheduler.webhook_signature(p_secrets ->> 'token', p_key, seconds, p_body))
    else '{}' end
  from (select floor(extract(epoch from p_now))::bigint as seconds) as clock;
$function$
;
comment on function scheduler.alert_headers(text,jsonb,uuid,jsonb,timestamp with time zone) is 'The headers of a delivery: the receiver''s key against repeats where it has one, and what proves who sends it.';
revoke all on function scheduler.alert_headers(text,jsonb,uuid,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_headline(p_message jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case p_message ->> 'event' when 'ended' then '[over] ' when 'status' then '' when 'test' then '[test] '
    else format('[%s] ', p_message ->> 'severity') end || (p_message ->> 'title');
$function$
;
comment on function scheduler.alert_headline(jsonb) is 'The first line of a message.';
revoke all on function scheduler.alert_headline(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_message(p_alert scheduler_alerts, p_event text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_strip_nulls(jsonb_build_object(
    'event', p_event, 'alert', p_alert.id, 'severity', p_alert.severity, 'cause', left(p_alert.cause, 200),
    'rule', p_alert.rule, 'at', p_now, 'opened_at', p_alert.opened_at, 'ended_at', p_alert.ended_at,
    'lasted_seconds', floor(extract(epoch from coalesce(p_alert.ended_at, p_now) - p_alert.opened_at)),
    'jobs', p_alert.jobs[1:20], 'job_count', cardinality(p_alert.jobs),
    'title', left(scheduler.without_secrets(scheduler.alert_title(p_alert.cause, p_alert.rule, p_alert.jobs)), 200),
    'note', case p_event
      when 'ended' then case p_alert.end_kind when 'over' then 'It is over after ' || lasted || '.'
        else format('Nobody watches it any more, after %s: its jobs are paused, disabled or gone.', lasted) end
      when 'again' then format('It has lasted for %s%s.', lasted, case when p_alert.jobs <> '{}'
        then ', now of ' || scheduler.count_text(p_alert.jobs_now, 'job') else '' end)
      when 'worse' then 'It has become worse.' end,
    'sentence', case when p_event <> 'ended' then scheduler.one_line(scheduler.alert_sentence(p_alert, p_now), 700) end,
    'link', (scheduler.setting_value('alerts.console_url') #>> '{}')
      || case when split_part(p_alert.cause, ' ', 1) = 'job' then '?job=' || p_alert.jobs[1] else '' end))
  from (select scheduler.duration_text(extract(epoch from coalesce(p_alert.ended_at, p_now) - p_alert.opened_at))
    as lasted) as times;
$function$
;
comment on function scheduler.alert_message(scheduler_alerts,text,timestamp with time zone) is 'What is said of an alert, for all kinds of channels: {"event", "alert", "severity", "cause", "title", "jobs", "job_count", "note", "sentence", "link" …}.';
revoke all on function scheduler.alert_message(scheduler_alerts,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select json_build_array(
    (select scheduler.metric_group('{"severity": ["critical", "info", "warning"]}',
      scheduler.metric('scheduler_alerts_open', json_build_array(count(*) filter (where severity = 'critical'),
        count(*) filter (where severity = 'info'), count(*) filter (where severity = 'warning'))))
      from public.scheduler_alerts where not settled and opened_at is not null and ended_at is null),
    scheduler.metric_group('{}', scheduler.metric('scheduler_alerts_undelivered',
      scheduler.undelivered_alerts(p_now))));
$function$
;
comment on function scheduler.alert_metrics(timestamp with time zone) is 'What a scrape shows of alerts: a value a severity, and what could not be delivered.';
revoke all on function scheduler.alert_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_parts(p_kind text)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_kind = 'email' then array['address', 'token', 'sender']
    when p_kind = 'pagerduty' then array['token']
    when p_kind = 'webhook' then array['address', 'token']
    else array['address'] end;
$function$
;
comment on function scheduler.alert_parts(text) is 'Which secrets a channel of that kind needs.';
revoke all on function scheduler.alert_parts(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_remedy(p_cause text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case split_part(p_cause, ' ', 1)
    when 'clock' then 'Was the database down, or does pg_cron stand still?'
    when 'queue' then 'What to do: select net.worker_restart().'
    when 'pulse' then 'What failed is in scheduler.pulse_state.'
    when 'budget' then 'Jobs that take of it wait until there are tokens again.' end;
$function$
;
comment on function scheduler.alert_remedy(text) is 'What to do about a cause of no job; null for all others.';
revoke all on function scheduler.alert_remedy(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_secret_fault(p_kind text, p_part text, p_secret text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_secret is null then 'is not in Vault'
    when p_secret collate "C" ~ '[^ -~]' then 'must be of printable ASCII characters'
    when p_secret ~ '^\s|\s$' or p_secret = '' then 'must not be empty, or begin or end with a blank'
    when p_part = 'address' and p_kind <> 'email'
      and p_secret !~ '^(https://[^\s/@?#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)([/?]\S*)?$'
      then 'must be an https URL'
    when p_part = 'address' and p_kind = 'email'
      and p_secret !~ '^[^\s,@<>]+@[^\s,@<>]+(\s*,\s*[^\s,@<>]+@[^\s,@<>]+)*$'
      then 'must be e-mail addresses with commas between them'
    when p_part = 'sender' and p_secret !~ '^([^<>,]+<[^\s,@<>]+@[^\s,@<>]+>|[^\s,@<>]+@[^\s,@<>]+)$'
      then 'must be an e-mail address, with a name or without'
    when p_part = 'token' and p_kind = 'webhook' and (p_secret !~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'
      or length(p_secret) % 4 <> 2)
      then 'must be whsec_ and the base64 of 24 to 64 bytes'
    when p_part = 'token' and p_secret ~ '\s' then 'must not hold a blank' end;
$function$
;
comment on function scheduler.alert_secret_fault(text,text,text) is 'What is wrong with the address, token or sender of a channel of that kind, as the end of "its address …", without showing it; null when nothing is.';
revoke all on function scheduler.alert_secret_fault(text,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_secret_name(p_channel scheduler_alert_channels, p_part text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case p_part when 'address' then p_channel.address_secret when 'token' then p_channel.token_secret
    when 'sender' then p_channel.sender_secret end;
$function$
;
comment on function scheduler.alert_secret_name(scheduler_alert_channels,text) is 'The name in Vault of that part of the channel.';
revoke all on function scheduler.alert_secret_name(scheduler_alert_channels,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_secrets(p_channel scheduler_alert_channels)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_object_agg(part, decrypted_secret), '{}')
  from unnest(scheduler.alert_parts(p_channel.kind)) as part
    left join vault.decrypted_secrets on name = scheduler.alert_secret_name(p_channel, part);
$function$
;
comment on function scheduler.alert_secrets(scheduler_alert_channels) is 'What Vault holds for the channel: {"address", "token", "sender"}, those that its kind needs.';
revoke all on function scheduler.alert_secrets(scheduler_alert_channels) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_secrets_fault(p_channel scheduler_alert_channels, p_secrets jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select format('its %s %s', part, fault)
  from unnest(scheduler.alert_parts(p_channel.kind)) with ordinality as parts (part, place),
    lateral scheduler.alert_secret_fault(p_channel.kind, part, p_secrets ->> part) as fault
  where fault is not null order by place limit 1;
$function$
;
comment on function scheduler.alert_secrets_fault(scheduler_alert_channels,jsonb) is 'What is wrong with the secrets of a channel; null when nothing is.';
revoke all on function scheduler.alert_secrets_fault(scheduler_alert_channels,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_sentence(p_alert scheduler_alerts, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return scheduler.without_secrets(coalesce(scheduler.alert_remedy(p_alert.cause), (
    select forecasts.sentence from scheduler.forecast(p_alert.jobs[1]) as forecasts
    where p_alert.rule = 'outgrows' and forecasts.kind = 'outgrows' limit 1), scheduler.explain(
    p_alert.jobs[1], (select unsuccessful_for from scheduler.run_counters
      where job_name = p_alert.jobs[1] and p_alert.rule in ('failed', 'failing')), p_now)));
exception when others then
  -- An alert without its sentence is better than none.
  return null;
end;
$function$
;
comment on function scheduler.alert_sentence(scheduler_alerts,timestamp with time zone) is 'What explain says of the alert''s first job, the forecast of one that outgrows its time, or what to do about a cause of no job; without secrets.';
revoke all on function scheduler.alert_sentence(scheduler_alerts,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_text(p_message jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select concat_ws(e'\n', scheduler.alert_headline(p_message), p_message ->> 'note', p_message ->> 'sentence',
    case when (p_message ->> 'job_count')::integer > 1 then 'Jobs: ' || (
      select string_agg(job, ', ') from jsonb_array_elements_text(p_message -> 'jobs') as job)
      || case when (p_message ->> 'job_count')::integer > jsonb_array_length(p_message -> 'jobs')
        then format(' and %s more', (p_message ->> 'job_count')::integer - jsonb_array_length(p_message -> 'jobs'))
        else '' end end,
    p_message ->> 'link');
$function$
;
comment on function scheduler.alert_text(jsonb) is 'A message as plain text, in a few lines.';
revoke all on function scheduler.alert_text(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alert_title(p_cause text, p_rule text, p_jobs text[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case kind
    when 'job' then name || case p_rule
      when 'failed' then ' failed' when 'failing' then ' fails again and again' when 'missed' then ' was missed'
      when 'late' then ' is late' when 'overdue' then ' is overdue' when 'continuous_down' then ' is down'
      when 'breaker_open' then ' is held back by its breaker' when 'dependency_timeout' then ' waited in vain'
      when 'long_running' then ' runs for too long' when 'outgrows' then ' outgrows its time' else ' cannot be looked '
        'at by the pulse' end
    when 'host' then case name when 'functions' then 'the functions do not answer' else name || ' does not answer' end
    when 'secret' then format('the secret %s is refused', name)
    when 'setup' then name
    when 'budget' then format('the budget %s is used up', name)
    when 'clock' then 'occurrences were missed'
    when 'queue' then 'pg_net sends nothing'
    else 'the pulse fails in part' end
    || case when cardinality(p_jobs) > 1 then format(' (%s)', scheduler.count_text(cardinality(p_jobs), 'job'))
      when kind <> 'job' and cardinality(p_jobs) = 1 then format(' (%s)', p_jobs[1]) else '' end
  from (select split_part(p_cause, ' ', 1) as kind, substring(p_cause from position(' ' in p_cause) + 1) as name)
    as parts;
$function$
;
comment on function scheduler.alert_title(text,text,text[]) is 'A cause in a few words, with the jobs that it stops.';
revoke all on function scheduler.alert_title(text,text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alias_fault(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_job.alias !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then format('alias must be 1 to 63 of a-z, 0-9, - and _, the '
      'first a letter or digit, got %L', p_job.alias)
    when p_job.alias = p_job.name then 'alias must be another name than the job''s own'
    else (
      select case when name = p_job.alias then format('alias %L is the name of a job', p_job.alias)
        when alias = p_job.name then format('its name is the alias of %s', name)
        else format('alias %L is that of %s', p_job.alias, name) end
      from public.scheduler_jobs
      where name = p_job.alias or alias in (p_job.alias, p_job.name) and name <> p_job.name
      order by name limit 1) end;
end;
$function$
;
comment on function scheduler.alias_fault(scheduler_jobs) is 'What is wrong with the alias of a job, or with its name beside the aliases of others; null when nothing is.';
revoke all on function scheduler.alias_fault(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.alive_share(p_job_name text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS numeric
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
  v_healthy tstzmultirange;
  v_alive tstzmultirange;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if v_job.name is null then
    perform scheduler.refuse_unknown_job(p_job_name);
  elsif not v_job.continuous or p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to)
    or p_from >= p_to then
    raise exception using errcode = '22023', message = format('cannot tell how much %s was alive: ', p_job_name)
      || case when not v_job.continuous then 'it is not continuous' else 'from must be a moment before to' end;
  end if;
  v_healthy := tstzmultirange(tstzrange(least(greatest(p_from, v_job.created_at), p_to), p_to))
    - scheduler.stopped_spans(v_job, p_to);
  v_alive := coalesce((
    select range_agg(tstzrange(born, died)) from scheduler.lives(v_job, p_from, p_to) where born < died), '{}');
  return round(scheduler.seconds_of(v_alive * v_healthy) / nullif(scheduler.seconds_of(v_healthy), 0), 5);
end;
$function$
;
comment on function scheduler.alive_share(text,timestamp with time zone,timestamp with time zone) is 'The share of [p_from, p_to) in which a continuous job was alive, from 0 to 1, as far back as the ledger reaches, without the time before it was registered and that in which it was stopped by people; null when nothing is left. Raises SD001 for an unknown job; 22023 for one that is not continuous, or a range that is none.';
revoke all on function scheduler.alive_share(text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.all_budgets(p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_object_agg(budget, jsonb_build_object('tokens', tokens_left, 'capacity', tokens)), '{}')
  from scheduler.budget_states(p_now);
$function$
;
comment on function scheduler.all_budgets(timestamp with time zone) is 'Each budget by its name: {"tokens": what it holds now, "capacity": what it grants in its span}.';
revoke all on function scheduler.all_budgets(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.all_job_states(p_now timestamp with time zone)
 RETURNS SETOF scheduler.job_condition
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select * from scheduler.job_states(array(select name from public.scheduler_jobs), p_now);
$function$
;
comment on function scheduler.all_job_states(timestamp with time zone) is 'How every job is.';
revoke all on function scheduler.all_job_states(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.already_told(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
begin
  select * into v_run from public.scheduler_runs
    where job_name = (p_job).name and trigger in ('cron', 'catch_up') and scheduled_for <= p_now
    order by scheduled_for desc, attempt desc limit 1;
  return jsonb_build_object('begun', false, 'reason', 'already', 'run_id', v_run.id, 'status', v_run.status,
    'scheduled_for', v_run.scheduled_for,
    'message', scheduler.explain((p_job).name, coalesce(v_run.scheduled_for, p_now), p_now));
end;
$function$
;
comment on function scheduler.already_told(scheduler_jobs,timestamp with time zone) is 'What a clock is told that has nothing to begin: the run of the newest occurrence, if it has one, and the sentence of explain about it.';
revoke all on function scheduler.already_told(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.answer_of_verify(p_call scheduler.verify_calls, p_now timestamp with time zone)
 RETURNS SETOF scheduler.check_result
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_answer record;
  v_clock timestamptz;
begin
  select status_code, timed_out, error_msg, headers into v_answer from net._http_response
    where id = p_call.request_id and created >= p_call.asked_at - interval '5 seconds';
  if not found then
    -- pg_net gives up after 5 seconds.
    return next ('secret', case when p_call.asked_at < p_now - interval '10 seconds' then 'failed' else 'asked' end,
      format('%s has not answered yet, asked %s s ago', p_call.function_name,
        greatest(0, round(extract(epoch from p_now - p_call.asked_at)))))::scheduler.check_result;
    return;
  end if;
  -- A function looks at the secret first, and then refuses a GET with 405.
  return next ('secret', case when v_answer.status_code in (200, 405) then 'ok' else 'failed' end, case
    when v_answer.status_code in (200, 405) then format('%s takes it', p_call.function_name)
    when v_answer.status_code in (401, 403) then format('%s refuses it: make CRON_SECRET of the functions and '
      'cron_secret in Vault the same', p_call.function_name)
    when v_answer.status_code = 404 then format('%s is not deployed', p_call.function_name)
    else format('%s answered %s', p_call.function_name, coalesce('HTTP ' || v_answer.status_code,
      scheduler.hosts_only(v_answer.error_msg), 'nothing in time')) end)::scheduler.check_result;
  -- It is read once: the next verify() asks anew.
  delete from scheduler.verify_calls;
  v_clock := scheduler.http_date(coalesce(v_answer.headers ->> 'date', v_answer.headers ->> 'Date'));
  return next ('clock', case when abs(extract(epoch from v_clock - p_call.asked_at)) > 30 then 'failed' else 'ok' end,
    case when v_clock is null then 'the answer has no date to compare with'
      else format('that of the functions is %s s off that of the database',
        round(abs(extract(epoch from v_clock - p_call.asked_at)))) end)::scheduler.check_result;
end;
$function$
;
comment on function scheduler.answer_of_verify(scheduler.verify_calls,timestamp with time zone) is 'What a function said to the last call of verify(): whether it took the secret, and how far its clock is off.';
revoke all on function scheduler.answer_of_verify(scheduler.verify_calls,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_act(p_verb text, p_subject text, p_reason text, p_author text, p_input jsonb DEFAULT '{}'::jsonb, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_answer jsonb;
begin
  perform scheduler.assert_given(p_verb, 'reason and author', '{"reason": "why", "author": "who"}', p_reason,
    p_author);
  -- Some verbs take no reason: the audit log has that of the call.
  perform set_config('daybook.reason', p_reason, true);
  v_answer := case
    when p_verb in ('run', 'pause', 'resume', 'close-breaker', 'backfill')
      then scheduler.act_on_job(p_verb, (scheduler.job_named(p_subject)).name, p_reason, p_author, p_input, p_now)
    when p_verb = 'cancel' then jsonb_build_object('message',
      scheduler.cancel_run(p_subject::uuid, p_reason, p_author, p_now))
    when p_verb = 'retry' then jsonb_build_object('run_id', scheduler.retry_run(p_subject::uuid, p_author, p_now))
    when p_verb = 'pause-group' then jsonb_build_object('message',
      scheduler.pause_group(p_subject, p_reason, p_author, (p_input ->> 'until')::timestamptz, p_now))
    when p_verb = 'resume-group' then jsonb_build_object('message',
      scheduler.resume_group(p_subject, p_author, p_now))
    when p_verb = 'test-channel' then jsonb_build_object('message',
      scheduler.test_alert_channel(p_subject, p_reason, p_author, p_now))
    when p_verb = 'force-release-locks' then jsonb_build_object('released', scheduler.release_locks(
      case when p_input ? 'jobs' then array(select jsonb_array_elements_text(p_input -> 'jobs')) end, p_reason,
      p_author, p_now))
    when p_verb = 'stop' then jsonb_build_object('message',
      scheduler.start_incident(p_reason, p_author, coalesce((p_input ->> 'end_runs')::boolean, false), p_now))
    when p_verb = 'restart' then jsonb_build_object('message',
      scheduler.end_incident(p_author, coalesce((p_input ->> 'ramp_seconds')::integer, 60), p_now)) end;
  perform set_config('daybook.reason', '', true);
  if v_answer is null then
    raise exception using errcode = '22023', message = format('there is no verb %s', coalesce(quote_literal(p_verb),
      'null'));
  end if;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_act(text,text,text,text,jsonb,timestamp with time zone) is 'A verb of an operator over the API: on a job (run, pause, resume, close-breaker, backfill), a run (cancel, retry), a group (pause-group, resume-group), an alert channel (test-channel) or all (force-release-locks, stop, restart). What the verb says comes back as {"message"}, {"run_id"}, {"released"} or {"preview", "occurrences"}. Raises 22023 without reason or author, and what the verb raises.';
revoke all on function scheduler.api_act(text,text,text,text,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_arguments(p_door text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_object_agg(name, type) filter (where name is not null), '{}')
  from pg_catalog.pg_proc
    left join lateral unnest(proargnames, proargtypes::oid[]::regtype[]) as arguments (name, type) on true
  where pronamespace = 'public'::regnamespace and proname = p_door and proname like 'scheduler\_api\_%'
    and not coalesce(proargnames @> '{p_user_id}', false)
    -- It is called with the rights of the owner: a function of another role in public must not get them.
    and proowner = (select nspowner from pg_catalog.pg_namespace where nspname = 'scheduler')
  group by pg_proc.oid;
$function$
;
comment on function scheduler.api_arguments(text) is 'The arguments of a door of the API, {"<name>": "<type>"}; null when there is no such door, or it is one for users.';
revoke all on function scheduler.api_arguments(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_as_user(p_user_id uuid, p_acts boolean, p_door text, p_args jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_operator constant public.scheduler_operators := scheduler.assert_operator(p_user_id);
  v_arguments constant jsonb := scheduler.api_arguments(p_door);
  v_has_author constant boolean := coalesce(v_arguments ? 'p_author', false);
  v_args constant jsonb := p_args
    || case when v_has_author then jsonb_build_object('p_author', v_operator.name) else '{}' end;
  v_answer jsonb;
begin
  if v_arguments is null or not v_arguments ?& array(select jsonb_object_keys(v_args)) then
    raise exception using errcode = '22023',
      message = format('the API has no %s with these arguments', coalesce(p_door, 'null'));
  end if;
  -- What takes an author acts, whatever the caller says.
  if (p_acts is distinct from false or v_has_author) and v_operator.role <> 'operator' then
    raise exception using errcode = 'SD207',
      message = format('%s is a viewer, and may read but not act', v_operator.name),
      hint = format('in SQL: select scheduler.add_operator(%L, ''operator'', %L, ''<why>'', ''<who>'')', p_user_id,
        v_operator.name);
  end if;
  if v_has_author and p_args ->> 'p_author' <> v_operator.name then
    raise exception using errcode = '22023', hint = 'leave author out',
      message = format('author must be who is signed in, %s', v_operator.name);
  end if;
  execute scheduler.api_call(p_door, v_arguments, v_args) into v_answer using v_args;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_as_user(uuid,boolean,text,jsonb) is 'Asks a door of the API for a user, who has to be listed, and as operator where it acts. The author is the user''s name. Raises SD016 for a user who is not listed, SD207 for a viewer who would act, 22023 for another author or an unknown door, and what the door raises.';
revoke all on function scheduler.api_as_user(uuid,boolean,text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_audit_log(p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_answer jsonb;
begin
  if p_cursor !~ '^\d{1,18}$' then
    raise exception using errcode = '22023', message = format('cannot read the page: cursor must be next_cursor of the '
      'page before it, got %s', quote_literal(left(p_cursor, 100)));
  end if;
  select jsonb_build_object(
      'entries', coalesce(jsonb_agg(to_jsonb(page) - array['place', 'rows'] order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(id::text) filter (where place = 100 and rows > 100))
    into v_answer
    from (
      select *, row_number() over () as place, count(*) over () as rows
      from (
        select id, occurred_at, author, verb, subject_type, subject, reason, before, after
        from public.scheduler_audit
        where p_cursor is null or id < p_cursor::bigint order by id desc limit 101) as newest
    ) as page;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_audit_log(text) is 'Who did what, when, on what and why, newest first, 100 a page. Raises 22023 for a cursor that is none.';
revoke all on function scheduler.api_audit_log(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_call(p_door text, p_arguments jsonb, p_args jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when count(*) = 0 then format('select public.%I()', p_door)
    else format('select public.%I(%s) from jsonb_to_record($1) as given (%s)', p_door,
      string_agg(format('%1$I => given.%1$I', name), ', '), string_agg(format('%I %s', name, type), ', ')) end
  from jsonb_each_text(p_arguments) as arguments (name, type) where p_args ? name;
$function$
;
comment on function scheduler.api_call(text,jsonb,jsonb) is 'The statement that calls the door with p_args, its $1, as PostgREST would: each argument is read as its own type.';
revoke all on function scheduler.api_call(text,jsonb,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_channels(p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_names constant text[] := array(select name from public.scheduler_alert_channels
    where name > coalesce(p_cursor, '') order by name limit 101);
begin
  return jsonb_build_object('timestamp', p_now, 'channels', (
      select coalesce(jsonb_agg(jsonb_build_object('name', name, 'kind', kind, 'enabled', enabled,
        'least_severity', least_severity, 'jobs', jobs, 'groups', groups, 'quiet', case when quiet_from is not null
          then jsonb_build_object('from', to_char(quiet_from, 'HH24:MI'), 'until', to_char(quiet_until, 'HH24:MI'),
            'time_zone', time_zone, 'now', scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)) end,
        'fault', scheduler.alert_secrets_fault(channels, scheduler.alert_secrets(channels)))
        || case kind when 'dead_man' then scheduler.channel_pings(name) else scheduler.channel_deliveries(name) end
        order by name), '[]')
      from public.scheduler_alert_channels as channels where name = any (v_names[1:100])),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$function$
;
comment on function scheduler.api_channels(text,timestamp with time zone) is 'Where alerts go, 100 a page by name: what each channel takes, what is wrong with what Vault holds for it, the last message that arrived there, the last that did not, and how many wait. No address, no token.';
revoke all on function scheduler.api_channels(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_explain(p_job text, p_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('job', facts -> 'job', 'at', facts -> 'at', 'kind', facts -> 'kind',
    'sentence', facts -> 'sentence', 'facts', facts - array['job', 'at', 'kind', 'sentence', 'now'])
  from scheduler.explain_json((scheduler.job_named(p_job)).name, p_at, p_now) as facts;
$function$
;
comment on function scheduler.api_explain(text,timestamp with time zone,timestamp with time zone) is 'Why the job did, or did not, run at that minute (its latest row when none is given): the sentence of scheduler.explain, and the facts behind it. Raises SD001 for an unknown job; 22023 for a time that is none (infinity).';
revoke all on function scheduler.api_explain(text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_failures(p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with bounds as (
    select coalesce(p_since, p_now - interval '1 day') as since
  ), broken as (
    select found.*, row_number() over (order by job) as place, count(*) over () as rows
    from bounds cross join lateral scheduler.broken_jobs(since, p_cursor) as found
  )
  select jsonb_build_object('timestamp', p_now, 'since', (select since from bounds),
    'jobs', coalesce(jsonb_agg(jsonb_build_object('job', broken.job, 'failed', broken.failed,
      'missed', broken.missed, 'first_at', broken.first_at, 'last_run', scheduler.run_brief(last_run),
      'remedy', verdicts.remedy, 'retry', scheduler.run_brief(retry),
      'last_success_at', counters.last_success_at, 'next_run_at', case when jobs.enabled then jobs.next_run_at end)
      order by broken.place) filter (where broken.place <= 100), '[]'),
    'next_cursor', max(broken.job) filter (where broken.place = 100 and broken.rows > 100))
  from broken
    join public.scheduler_jobs as jobs on jobs.name = broken.job
    join scheduler.run_counters as counters on counters.job_name = broken.job
    join public.scheduler_runs as last_run on last_run.id = broken.last_run_id
    left join scheduler.verdicts on verdicts.verdict = last_run.verdict
    left join lateral scheduler.retry_of(last_run) as retry on true;
$function$
;
comment on function scheduler.api_failures(timestamp with time zone,text,timestamp with time zone) is 'The jobs that are still broken since p_since (by default for a day), 100 a page by name: how many occurrences failed and were missed since their last completed run, the last of them with what to do, the attempt to come, if any, and the next occurrence. A job that completed a run since is left out.';
revoke all on function scheduler.api_failures(timestamp with time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_forecast(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_names constant text[] := case when p_job is not null then array[(scheduler.job_named(p_job)).name] else array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101) end;
begin
  return jsonb_build_object('timestamp', p_now,
    'project', (
      select jsonb_build_object('made_at', made_at,
        'ledger', ledger || jsonb_build_object('sentence', scheduler.ledger_sentence(ledger)),
        'cost', cost || jsonb_build_object('sentence', scheduler.cost_sentence(cost)))
      from scheduler.project_forecast),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object('job', name, 'alias', alias, 'made_at', made_at, 'days', 0, 'duration', null,
        'findings', jsonb_build_array(), 'figures', jsonb_build_object(), 'cost', null, 'error', null)
        || coalesce(forecast, '{}') order by name)
      from public.scheduler_jobs left join scheduler.job_forecasts on job_name = name
      where name = any (v_names[1:100])), '[]'),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$function$
;
comment on function scheduler.api_forecast(text,text,timestamp with time zone) is 'What is foreseen of one job (by its name or alias) or of all, 100 a page by name: each with its findings, figures and cost, and made_at (null: not yet); "project": of the ledger and the cost of all. Raises SD001 for an unknown job.';
revoke all on function scheduler.api_forecast(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_health(p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.health_of_packs(p_now) || jsonb_build_object(
    'timestamp', p_now,
    'services', coalesce(jsonb_agg(service), '[]'),
    'stalled_services', coalesce(jsonb_agg(service -> 'service') filter (where service ->> 'status' = 'STALLED'), '[]'),
    'budgets', scheduler.all_budgets(p_now))
  from (
    select service
    from scheduler.health_services(array(select name from public.scheduler_jobs where enabled), p_now) as service
    order by service ->> 'service'
  ) as services;
$function$
;
comment on function scheduler.api_health(timestamp with time zone) is 'The health of every enabled job: {"timestamp", "services": [{"service": its alias or name, "job", "last_run", "age_seconds", "status": HEALTHY or STALLED, "state", "due_without_success"}], "stalled_services", "budgets": {"<name>": {"tokens", "capacity"}}}, and the keys of scheduler.health_keys. STALLED: two occurrences in a row are due without a completed run.';
revoke all on function scheduler.api_health(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_health_of(p_job text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job constant public.scheduler_jobs := scheduler.job_named(p_job);
begin
  return scheduler.health_services(array[v_job.name], p_now) || jsonb_build_object(
    'timestamp', p_now,
    'heartbeats', (
      select coalesce(jsonb_agg(jsonb_build_object('run_id', id, 'started_at', started_at, 'heartbeat_at', heartbeat_at,
        'age_seconds', greatest(0, round(extract(epoch from p_now - heartbeat_at))), 'progress', progress)
        order by started_at), '[]')
      from (
        select * from public.scheduler_runs where job_name = v_job.name and status = 'running'
        order by started_at limit 100) as at_work),
    'durations', scheduler.durations_of(v_job.name), 'errors', scheduler.errors_of(v_job.name),
    'budgets', scheduler.job_budgets(v_job, scheduler.all_budgets(p_now)));
end;
$function$
;
comment on function scheduler.api_health_of(text,timestamp with time zone) is 'The health of one job by its name or alias: what scheduler.api_health has of it, and its heartbeats, durations, errors and budgets. Raises SD001 for an unknown job.';
revoke all on function scheduler.api_health_of(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_history(p_job text DEFAULT NULL::text, p_status text DEFAULT NULL::text, p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_ended constant text[] := array['completed', 'failed', 'deferred', 'skipped', 'missed', 'cancelled'];
  v_job constant text := scheduler.history_job(p_job);
  -- The ledger has an index for each: (job, created), (status, completed), created.
  v_order constant text := case when p_job is null and p_status = any (v_ended) then 'completed_at'
    else 'created_at' end;
  v_place record;
  v_answer jsonb;
begin
  if p_status <> all (v_ended || array['queued', 'dispatched', 'running']) then
    raise exception using errcode = '22023', message = format('cannot show the history: status must be one of %s, got '
      '%L', array_to_string(v_ended || array['queued', 'dispatched', 'running'], ', '), p_status);
  end if;
  v_place := scheduler.read_cursor(p_cursor, '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}');
  select jsonb_build_object('ordered_by', v_order,
      'runs', coalesce(jsonb_agg(scheduler.run_brief(page) order by place) filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(case v_order when 'completed_at' then (page).completed_at
        else (page).created_at end, (page).id::text)) filter (where place = 100 and pages.rows > 100))
    into v_answer
    from (
      select runs as page, row_number() over () as place, count(*) over () as rows
      from scheduler.history_page(v_job, p_status, p_from, p_to, v_place.at, v_place.id::uuid, v_order) as runs
    ) as pages;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_history(text,text,timestamp with time zone,timestamp with time zone,text) is 'The ledger, newest first, 100 runs a page: of a job (by its name or alias), a status, and from p_from up to p_to. ordered_by says by which time: created_at; completed_at where a status of ended runs of all jobs is asked for. Raises SD001 for an unknown job; 22023 for an unknown status or a cursor that is none.';
revoke all on function scheduler.api_history(text,text,timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_logs(p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_place record := scheduler.read_cursor(p_cursor, '\d{19}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}');
  v_from constant timestamptz := coalesce(p_from, '-infinity');
  v_to constant timestamptz := coalesce(p_to, 'infinity');
  v_at constant timestamptz := coalesce(v_place.at, 'infinity');
  v_answer jsonb;
begin
  with both_kinds as (
    select at, key, run, null::public.scheduler_activity as activity
    from scheduler.log_runs_page(v_from, v_to, v_at, v_place.id)
    union all
    select at, key, null, activity from scheduler.log_activity_page(v_from, v_to, v_at, v_place.id)
  ), newest as (
    select * from both_kinds order by at desc, key collate "C" desc limit 101
  ), page as (
    select *, row_number() over (order by at desc, key collate "C" desc) as place, count(*) over () as rows from newest
  )
  select jsonb_build_object(
      'lines', coalesce(jsonb_agg(scheduler.log_line(at, run, activity) order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(at, key)) filter (where place = 100 and rows > 100))
    into v_answer from page;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_logs(timestamp with time zone,timestamp with time zone,text) is 'What happened from p_from up to p_to, newest first, 100 lines a page: {"lines": [{"at", "source", "severity", "message", "run", "activity_id"}], "next_cursor"}. A run has a line at its end; one of the activity has no run. Raises 22023 for a cursor that is none.';
revoke all on function scheduler.api_logs(timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_metrics(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_names constant text[] := case when p_job is not null then array[(scheduler.job_named(p_job)).name] else array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101) end;
begin
  return jsonb_build_object('timestamp', p_now, 'jobs', scheduler.metrics_of(v_names[1:100], p_now),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$function$
;
comment on function scheduler.api_metrics(text,text,timestamp with time zone) is 'Of one job (by its name or alias) or of all, 100 a page by name: what happened in the last hour, 24 hours, 7 and 30 days: {"<window>": {"from": since when it is told, null when nothing is known, "runs": completed, failed or deferred, "success_rate": of those that completed or failed, the counts, "duration" and "fire_lag": {"average_ms", "p50_ms", "p95_ms", "p99_ms"}}}. Percentiles are of buckets, off by 30 % at most. Raises SD001 for an unknown job.';
revoke all on function scheduler.api_metrics(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_next(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_place record := scheduler.read_cursor(p_cursor, '[a-z0-9][a-z0-9_-]{0,62}');
  v_answer jsonb;
begin
  with found as (
    select * from scheduler.next_of_all(v_place.at, v_place.id, p_now) where p_job is null
    union all
    select next_runs.job_name, next_runs.run_at, next_runs.time_zone, next_runs.note
    from scheduler.next_runs((scheduler.job_named(p_job)).name, 101, coalesce(v_place.at, p_now)) as next_runs
    where p_job is not null
  ), numbered as (
    select *, row_number() over (order by run_at, job) as place, count(*) over () as rows from found
  )
  select jsonb_build_object('timestamp', p_now,
      'occurrences', coalesce(jsonb_agg(jsonb_build_object('job', job, 'run_at', run_at,
        'local_time', scheduler.local_text(run_at, time_zone), 'time_zone', time_zone, 'note', note) order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(run_at, job)) filter (where place = 100 and rows > 100))
    into v_answer from numbered;
  return v_answer;
end;
$function$
;
comment on function scheduler.api_next(text,text,timestamp with time zone) is 'What comes next, 100 a page: of a job (by its name or alias) its occurrences to come, or why it has none; without one the next occurrence of each enabled job. Raises SD001 for an unknown job.';
revoke all on function scheduler.api_next(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_run(p_run_id uuid, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
  v_job public.scheduler_jobs;
  v_facts jsonb;
begin
  select * into v_run from public.scheduler_runs where id = p_run_id;
  if v_run.id is null then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null')),
      hint = 'GET history lists the runs there are';
  end if;
  select * into v_job from public.scheduler_jobs where name = v_run.job_name;
  v_facts := jsonb_build_object('job', v_run.job_name, 'at', v_run.scheduled_for, 'now', p_now,
    'when', scheduler.local_text(v_run.scheduled_for, v_job.time_zone)) || case
      when v_run.occurrences > 1 then scheduler.gap_facts(v_job, v_run)
      else scheduler.run_facts(v_job, v_run, p_now) end;
  return jsonb_build_object(
    'run', scheduler.run_brief(v_run), 'sentence', scheduler.explain_sentence(v_facts),
    'meaning', v_facts ->> 'meaning', 'remedy', v_facts ->> 'remedy',
    'payload', v_run.payload, 'progress', v_run.progress, 'result', v_run.result,
    'error_message', v_run.error_message, 'error_detail', v_run.error_detail,
    'interval', jsonb_build_object('from', v_run.interval_from, 'to', v_run.scheduled_for),
    'run_after', v_run.run_after, 'waiting', v_run.waiting, 'waits', v_facts ->> 'waits',
    'witnesses', jsonb_build_object(
      'pg_cron', scheduler.cron_witness(v_run),
      'pg_net', case when v_run.request_id is not null then jsonb_build_object('request_id', v_run.request_id,
        'dispatched_at', v_run.dispatched_at, 'answered_at', v_run.answered_at,
        'response_status', v_run.response_status, 'response_error', v_run.response_error) end,
      'receipt', case when v_run.started_at is not null then jsonb_build_object('started_at', v_run.started_at,
        'heartbeat_at', v_run.heartbeat_at, 'completed_at', v_run.completed_at) end),
    'attempts', (
      select jsonb_agg(scheduler.run_brief(attempts) order by attempt, created_at) from (
        select * from public.scheduler_runs
        where job_name = v_run.job_name and scheduled_for = v_run.scheduled_for
        order by attempt desc, created_at desc limit 100) as attempts));
end;
$function$
;
comment on function scheduler.api_run(uuid,timestamp with time zone) is 'One run: the sentence of it, its payload, result and error, what it waits for, what the three witnesses say, and the newest 100 attempts at its occurrence. Raises SD002 for an unknown run.';
revoke all on function scheduler.api_run(uuid,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_status(p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_names constant text[] := array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101);
  v_states constant scheduler.job_condition[] := array(
    select states from scheduler.all_job_states(p_now) as states);
  v_counts jsonb;
  v_trouble text[];
  v_pulse_age numeric;
  v_incident jsonb;
begin
  select coalesce(jsonb_object_agg(state, jobs), '{}') into v_counts
    from (select state, count(*) as jobs from unnest(v_states) group by state) as counted;
  select coalesce(array_agg(name order by name), '{}') into v_trouble from unnest(v_states)
    where state in ('failing', 'overdue', 'breaker_open', 'late');
  select greatest(0, round(extract(epoch from p_now - last_pulse_at), 1)) into v_pulse_age
    from scheduler.pulse_state where last_pulse_at is not null;
  select jsonb_build_object('started_at', started_at, 'started_by', started_by, 'reason', reason) into v_incident
    from public.scheduler_incidents where ended_at is null;
  return jsonb_build_object(
    'timestamp', p_now,
    'sentence', scheduler.status_sentence(v_counts, v_trouble, v_pulse_age,
      'incident called by ' || (v_incident ->> 'started_by') || ': ' || rtrim(v_incident ->> 'reason', '.')),
    'incident', v_incident, 'pulse_age_seconds', v_pulse_age, 'counts', v_counts,
    'jobs', scheduler.status_jobs(v_names[1:100], v_states, p_now),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$function$
;
comment on function scheduler.api_status(text,timestamp with time zone) is 'Every job with its state, last and next run, lock, breaker, budgets and group, 100 a page by name; over all: a sentence, how many are in each state, the incident that lasts, the age of the pulse.';
revoke all on function scheduler.api_status(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_tick(p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select jsonb_build_object('timestamp', p_now, 'beat', report -> 'beat', 'more', coalesce(report -> 'more', 'false'),
    'errors', coalesce(report -> 'errors', '{}'))
  from scheduler.pulse(p_now, 2000) as report;
$function$
;
comment on function scheduler.api_tick(timestamp with time zone) is 'A pulse, which sends all that is due, for at most about two seconds: for a clock that is not pg_cron. {"beat": false where another pulse is at work, "more": whether there is more to do at once, "errors": by job or step}.';
revoke all on function scheduler.api_tick(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_timeline(p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS json
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_from constant timestamptz := coalesce(p_from, date_trunc('day', p_now at time zone 'UTC') at time zone 'UTC');
  v_to constant timestamptz := coalesce(p_to, v_from + interval '1 day');
  v_cell interval;
  v_names text[];
begin
  if not coalesce(isfinite(v_from) and isfinite(v_to) and v_from < v_to and v_to - v_from <= interval '31 days', false)
  then
    raise exception using errcode = '22023', message = format('cannot show the timeline: from must be before to, by at '
      'most 31 days, got %s and %s', v_from, v_to);
  end if;
  v_cell := make_interval(secs => scheduler.cell_seconds(v_from, v_to));
  v_names := array(select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 26);
  -- Thousands of cells: as jsonb they take twice as long.
  return json_build_object('timestamp', p_now, 'from', v_from, 'to', v_to,
    'cell_seconds', extract(epoch from v_cell)::integer,
    'jobs', (
      select coalesce(json_agg(json_build_object('job', jobs.name, 'time_zone', jobs.time_zone,
        'cells', coalesce(cells.all, '[]')) order by jobs.name), '[]')
      from public.scheduler_jobs as jobs left join (
        select job, json_agg(cell order by at) as all
        from (
          select job, at, ('{"at":' || to_json(at) || string_agg(format(',%s:%s', to_json(state), amount), '')
            || '}')::json as cell
          from (
            select * from scheduler.timeline_runs(v_names[1:25], v_from, v_to, v_cell)
            union all
            select * from scheduler.timeline_to_come(v_names[1:25], v_from, v_to, v_cell, p_now)
          ) as found
          group by job, at) as by_cell
        group by job) as cells on cells.job = jobs.name
      where jobs.name = any (v_names[1:25])),
    'zone_changes', scheduler.zone_changes(v_names[1:25], v_from, v_to),
    'next_cursor', case when cardinality(v_names) > 25 then v_names[25] end);
end;
$function$
;
comment on function scheduler.api_timeline(timestamp with time zone,timestamp with time zone,text,timestamp with time zone) is 'What a picture of [p_from, p_to) needs, at most 31 days and by default the day that it is in UTC: of 25 jobs a page the cells that are not empty, each with how many occurrences came to what or are to come; and the changes of the clock in their zones. Raises 22023 for a range that is none.';
revoke all on function scheduler.api_timeline(timestamp with time zone,timestamp with time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.api_verify(p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select jsonb_build_object('timestamp', p_now, 'ok', bool_and(state <> 'failed'),
    'checks', jsonb_agg(jsonb_build_object('check', check_name, 'state', state, 'detail', detail) order by place))
  from scheduler.verify(p_now) with ordinality as checks (check_name, state, detail, place);
$function$
;
comment on function scheduler.api_verify(timestamp with time zone) is 'The deployment check, see scheduler.verify: {"ok": whether none failed, "checks": [{"check", "state": ok, failed or asked (ask again in a few seconds), "detail"}]}.';
revoke all on function scheduler.api_verify(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.apply_schedules(p_entries jsonb, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_facts jsonb;
  v_summary jsonb;
begin
  perform scheduler.assert_given('apply schedules.json', 'reason and author', 'deno task daybook apply --plan … '
    '--reason why --author who', p_reason, p_author);
  -- Each registration writes its own row of the audit log.
  perform set_config('daybook.reason', p_reason, true), set_config('daybook.author', btrim(p_author), true);
  v_facts := scheduler.bring_schedules(p_entries, p_now);
  perform set_config('daybook.reason', '', true), set_config('daybook.author', '', true);
  select jsonb_object_agg(becomes, jobs) into v_summary
    from (
      select job ->> 'becomes' as becomes, jsonb_agg(job -> 'job') as jobs
      from jsonb_array_elements(v_facts -> 'jobs') as job where job ->> 'becomes' <> 'unchanged' group by 1) as summed;
  if v_summary is not null then
    perform scheduler.audit('apply_schedules', 'scheduler', 'schedules.json', p_reason, p_author, null, v_summary,
      p_now);
  end if;
  return v_facts;
end;
$function$
;
comment on function scheduler.apply_schedules(jsonb,text,text,timestamp with time zone) is 'bring_schedules, with a reason and an author: each job that changes leaves a row in the audit log, and the whole another one. Raises 22023 without a reason or an author.';
revoke all on function scheduler.apply_schedules(jsonb,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.argument_literal(p_value jsonb, p_type text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when jsonb_typeof(p_value) = 'null' then 'null'
    when p_type = 'jsonb' then format('%L::jsonb', p_value::text)
    when jsonb_typeof(p_value) = 'array' and right(p_type, 2) = '[]'
      then format('%L::%s', array(select jsonb_array_elements_text(p_value))::text, p_type)
    else format('%L::%s', p_value #>> '{}', p_type) end;
$function$
;
comment on function scheduler.argument_literal(jsonb,text) is 'A JSON value as SQL that makes it a value of that type.';
revoke all on function scheduler.argument_literal(jsonb,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.arrival_of(p_trend scheduler.trend, p_limit double precision, p_today date)
 RETURNS scheduler.arrival
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_to_go constant float8 := p_limit - p_trend.level;
  -- Half of the days lie behind and half before the middle of them, on which the lines of the interval turn.
  v_middle constant float8 := (p_trend.last_day - p_today + p_trend.first_day - p_today) / 2.0;
  v_doubt constant float8 := 2.45 * p_trend.spread / sqrt(p_trend.days);
  v_pivot constant float8 := p_limit - (p_trend.level + p_trend.slope * v_middle);
  v_on float8;
  v_latest float8;
begin
  if p_trend.slope is null or p_trend.slope <= 0 or v_to_go <= 0 then
    return null;
  end if;
  v_on := v_to_go / p_trend.slope;
  -- Three times as far ahead as the days reach back, and no further.
  if v_on > least(730, 3 * (p_trend.last_day - p_trend.first_day + 1)) then
    return null;
  end if;
  v_latest := case when p_trend.slope_least > 0 then v_middle + (v_pivot + v_doubt) / p_trend.slope_least end;
  return row(p_today + ceil(v_on)::integer,
    p_today + greatest(0, floor(v_middle + (v_pivot - v_doubt) / p_trend.slope_most))::integer,
    case when v_latest < 3650 then p_today + ceil(v_latest)::integer end)::scheduler.arrival;
end;
$function$
;
comment on function scheduler.arrival_of(scheduler.trend,double precision,date) is 'When a figure that rises reaches a limit: null when it does not rise, is there already, or gets there further ahead than three times the days that the trend was found in, or two years.';
revoke all on function scheduler.arrival_of(scheduler.trend,double precision,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ask_function(p_question text, p_field text, p_function text, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_function constant regprocedure := scheduler.run_if_function(p_function);
  v_answer boolean;
begin
  if v_function is null then
    raise exception using errcode = '42883',
      message = format('cannot ask %s: its %s %s is no function (timestamptz) returns boolean any more', p_question,
        p_field, p_function),
      hint = format('create it again, or register the job with another %s', p_field);
  end if;
  begin
    execute format('select %s($1)', v_function::oid::regproc) into v_answer using p_at;
  exception when others then
    raise exception using errcode = sqlstate,
      message = format('cannot ask %s: its %s %s failed: %s', p_question, p_field, p_function, left(sqlerrm, 500));
  end;
  return coalesce(v_answer, false);
end;
$function$
;
comment on function scheduler.ask_function(text,text,text,timestamp with time zone) is 'What a job''s run_if or defer_if says of a moment; null counts as false. Raises when it cannot be asked, naming the question, the function and the reason: 42883 when it is gone, else the code that it failed with.';
revoke all on function scheduler.ask_function(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.asked_again_at(p_job scheduler_jobs, p_asked_for timestamp with time zone, p_step integer)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_latest constant timestamptz := p_asked_for + make_interval(secs => p_job.stretch_at_most_seconds);
  v_interval constant integer := scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n'));
begin
  if p_step = 1 then
    return null;
  elsif v_interval is not null then
    return least(scheduler.moment_of_grid(v_interval, p_asked_for, p_step),
      scheduler.moment_of_grid(v_interval, v_latest, 0));
  end if;
  return (
    select max(at) from (
      select at from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_asked_for + interval '1 microsecond',
        v_latest + interval '1 microsecond') as at
      order by at limit p_step) as further);
exception when invalid_parameter_value then
  return null;  -- Postgres does not know its zone any more: the receipt of the run must not fail for that
end;
$function$
;
comment on function scheduler.asked_again_at(scheduler_jobs,timestamp with time zone,integer) is 'The p_step-th occurrence after p_asked_for, or the last one within stretch_at_most_seconds if that comes first; null where no occurrence is to be left out.';
revoke all on function scheduler.asked_again_at(scheduler_jobs,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.asked_from(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_before constant timestamptz := scheduler.interval_start(p_job, p_occurrence);
  v_stretch scheduler.stretches;
  v_ran timestamptz;
begin
  -- Also of a job that has no stretch_after any more. Its row is not deleted as runs end, so it counts for a day.
  select * into v_stretch from scheduler.stretches
    where job_name = p_job.name and asked_for < v_before and asked_again_at > case
      when p_job.stretch_after is null then p_occurrence - interval '1 day' else '-infinity' end;
  if not found then
    return v_before;
  end if;
  v_ran := greatest(v_stretch.asked_for, (
    select max(scheduled_for) from public.scheduler_runs as runs
    where job_name = p_job.name and scheduled_for > v_stretch.asked_for and scheduled_for < p_occurrence
      and trigger not in ('manual', 'backfill') and status not in ('skipped', 'missed')
      and scheduler.is_of_occurrence(runs)));
  return case when v_ran < v_stretch.asked_again_at then v_ran else v_before end;
end;
$function$
;
comment on function scheduler.asked_from(scheduler_jobs,timestamp with time zone) is 'Where the interval of an occurrence begins: with the one before it or, of the first run after a stretch, with the last one that ran.';
revoke all on function scheduler.asked_from(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.asked_function_fault(p_field text, p_function text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case
    when p_function is null then null
    when scheduler.run_if_function(p_function) is null
      then format('%s must name a function (timestamptz) returns boolean, with its schema, got %L', p_field, p_function)
    when not has_function_privilege(scheduler.run_if_function(p_function), 'execute')
      then format('%s %s may not be executed by %s', p_field, p_function, current_user) end;
$function$
;
comment on function scheduler.asked_function_fault(text,text) is 'What is wrong with the function that the value of that name gives; null when nothing is, or when it gives none.';
revoke all on function scheduler.asked_function_fault(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_alert_channel(p_name text)
 RETURNS scheduler_alert_channels
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_channel public.scheduler_alert_channels;
begin
  select * into v_channel from public.scheduler_alert_channels where name = p_name;
  if not found then
    raise exception using errcode = 'SD015', message = format('there is no alert channel named %L', left(p_name, 63)),
      hint = format('the channels are: %s',
        (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_alert_channels));
  end if;
  return v_channel;
end;
$function$
;
comment on function scheduler.assert_alert_channel(text) is 'The channel. Raises SD015, and names the channels there are, when there is none of that name.';
revoke all on function scheduler.assert_alert_channel(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_backfill(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone, p_reprocess text, p_at_most integer)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_count bigint;
  v_fault text := case
    when not p_job.enabled then 'it is disabled, and what waits of a disabled job is cancelled'
    when p_job.continuous then 'it is continuous and has no occurrences'
    when p_job.schedule is null and p_job.depends_on = '{}' then 'it has no schedule, and so no occurrences'
    when p_from is null or not isfinite(p_from) or p_to is null or not isfinite(p_to) or p_from >= p_to
      then format('from must be a moment before to, and both finite, got %s and %s', coalesce(p_from::text, 'null'),
        coalesce(p_to::text, 'null'))
    when p_reprocess is null or p_reprocess not in ('missed', 'failed', 'all')
      then format('reprocess must be ''missed'', ''failed'' or ''all'', got %s', coalesce(quote_literal(p_reprocess),
        'null'))
    when p_at_most is null or p_at_most not between 1 and 1000
      then format('at_most must be from 1 to 1000, got %s', coalesce(p_at_most::text, 'null')) end;
begin
  if v_fault is null and p_job.schedule is not null then
    v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, p_from, p_to);
    v_fault := case when v_count > 10000
      then format('the range has %s occurrences, at most 10,000 can be looked at: make it shorter',
        scheduler.grouped(v_count)) end;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot back-fill %s: %s', p_job.name, v_fault);
  end if;
end;
$function$
;
comment on function scheduler.assert_backfill(scheduler_jobs,timestamp with time zone,timestamp with time zone,text,integer) is 'Raises 22023 for a job that has no occurrences or is disabled, a range that is none or too long, or another wrong argument.';
revoke all on function scheduler.assert_backfill(scheduler_jobs,timestamp with time zone,timestamp with time zone,text,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_group(p_group_name text)
 RETURNS scheduler_groups
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_group public.scheduler_groups;
begin
  select * into v_group from public.scheduler_groups where name = p_group_name for no key update;
  if not found then
    perform scheduler.refuse_unknown_group(p_group_name);
  end if;
  return v_group;
end;
$function$
;
comment on function scheduler.assert_group(text) is 'The group''s row, locked. Raises SD014 when it is unknown.';
revoke all on function scheduler.assert_group(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_operator(p_user_id uuid)
 RETURNS scheduler_operators
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_operator public.scheduler_operators;
begin
  select * into v_operator from public.scheduler_operators where user_id = p_user_id;
  if not found then
    raise exception using errcode = 'SD016',
      message = format('the user %s is not listed in scheduler_operators', coalesce(p_user_id::text, 'null')),
      hint = format('in SQL: select scheduler.add_operator(%L, ''viewer'', ''<e-mail>'', ''<why>'', ''<who>'')',
        p_user_id);
  end if;
  return v_operator;
end;
$function$
;
comment on function scheduler.assert_operator(uuid) is 'The row of that user. Raises SD016, with the call that lists the user, when there is none.';
revoke all on function scheduler.assert_operator(uuid) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_own_entries(p_usernames text[])
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  if exists (select from unnest(p_usernames) as username where username is distinct from current_user) then
    raise exception using errcode = '42501',
      message = format('the entries of pg_cron are those of %s, and this is run by %s',
        (select string_agg(distinct username, ', ') from unnest(p_usernames) as username), current_user),
      hint = 'run it as that role: pg_cron keeps the entries of each role apart';
  end if;
end;
$function$
;
comment on function scheduler.assert_own_entries(text[]) is 'Raises 42501 when one of the entries is another role''s than the current one''s.';
revoke all on function scheduler.assert_own_entries(text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_run(p_run_id uuid, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
begin
  -- The job's row comes before the run's row, as everywhere. Answers are read before the decision.
  perform from public.scheduler_jobs
    where name = (select job_name from public.scheduler_runs where id = p_run_id) for no key update;
  if found then
    perform scheduler.requests_since();
    perform scheduler.wake_jobs(array[job_name], 'epoch') from public.scheduler_runs
      where id = p_run_id and scheduler.read_answers(job_name, p_now) > 0;
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id for no key update;
  if not found then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null')),
      hint = 'select id, job_name, scheduled_for, status from public.scheduler_runs order by created_at desc limit 20';
  end if;
  return v_run;
end;
$function$
;
comment on function scheduler.assert_run(uuid,timestamp with time zone) is 'The run''s row, locked, and its job''s row before it, after what pg_net has for the job was read. Raises SD002 when there is no such run.';
revoke all on function scheduler.assert_run(uuid,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_time_zone(p_time_zone text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  -- The zone of a job was looked at when that was registered; a dump may have brought it to a server without it.
  if p_time_zone = 'UTC' or scheduler.knows_time_zone(p_time_zone)
    and exists (select from public.scheduler_jobs where time_zone = p_time_zone) then
    return;
  end if;
  -- Postgres keeps these names for old systems; they look like abbreviations, which mean other zones elsewhere.
  if p_time_zone !~ '^(EST|MST|HST|CET|MET|EET|WET|[A-Z]{3}[0-9][A-Z]{3}'
      '|Factory|posixrules|localtime|(posix|right)/.*)$'
    and exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;
  perform scheduler.refuse_time_zone(p_time_zone);
end;
$function$
;
comment on function scheduler.assert_time_zone(text) is 'For registration: refuse_time_zone unless the time zone is an IANA name exactly as Postgres lists it. Refuses abbreviations (EST) and POSIX rules (EST5EDT). Takes tens of milliseconds for a zone that no job has yet: it reads pg_timezone_names.';
revoke all on function scheduler.assert_time_zone(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.assert_tokens(p_budget scheduler_budgets, p_tokens integer, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_fault constant text := case
    when (p_tokens between 1 and p_budget.tokens) is not true
      then format('tokens must be from 1 to %s, which is all that it ever holds, got %s', p_budget.tokens,
        coalesce(p_tokens::text, 'null'))
    when isfinite(p_now) is not true then format('now must be a moment, got %s', coalesce(p_now::text, 'null')) end;
begin
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot take of the budget %s: %s', p_budget.name, v_fault);
  end if;
end;
$function$
;
comment on function scheduler.assert_tokens(scheduler_budgets,integer,timestamp with time zone) is 'Raises 22023 for a number of tokens that can never be taken at once.';
revoke all on function scheduler.assert_tokens(scheduler_budgets,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.attend_alerts(p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_looked_at timestamptz;
  v_sent integer;
begin
  if not exists (select from public.scheduler_alert_channels where enabled)
    and not exists (select from public.scheduler_alerts where not settled)
    and not exists (select from public.scheduler_alert_deliveries where status in ('waiting', 'sent')) then
    return jsonb_build_object();
  end if;
  select last_looked_at into v_looked_at from scheduler.pulse_state;
  if v_looked_at is null or p_now < v_looked_at or p_now >= v_looked_at + interval '30 seconds' then
    perform scheduler.look_for_causes(p_now);
    if exists (select from public.scheduler_alerts where not settled) then
      perform scheduler.write_deliveries(p_now);
      perform scheduler.settle_alerts();
    end if;
    perform scheduler.write_status_lines(p_now);
  end if;
  if exists (select from public.scheduler_alert_deliveries where status in ('waiting', 'sent')) then
    perform scheduler.read_delivery_answers(p_now);
    v_sent := scheduler.send_deliveries(p_now);
  end if;
  if exists (select from public.scheduler_alert_channels where kind = 'dead_man' and enabled) then
    perform scheduler.ping_watchers(p_now);
  end if;
  return jsonb_build_object('messages', coalesce(v_sent, 0));
end;
$function$
;
comment on function scheduler.attend_alerts(timestamp with time zone) is 'The pulse''s step for alerts: looks at the rules every 30 seconds, sends what is to be said, reads the answers, pings dead man''s switches. Nothing while no channel is enabled and nothing is left to be said.';
revoke all on function scheduler.attend_alerts(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.attend_forecasts(p_now timestamp with time zone, p_budget_ms integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_until constant timestamptz := clock_timestamp() + p_budget_ms * interval '1 millisecond';
  v_plan constant public.scheduler_plans := scheduler.plan_in_use();
  v_job public.scheduler_jobs;
  v_made integer := 0;
  v_is_left boolean := false;
  v_errors constant jsonb := scheduler.refresh_project_forecast(v_plan, p_now);
begin
  for v_job in select * from scheduler.stale_forecasts(v_plan, p_now) loop
    v_is_left := clock_timestamp() >= v_until;
    exit when v_is_left;
    perform scheduler.make_job_forecast(v_job, v_plan, p_now);
    v_made := v_made + 1;
  end loop;
  update scheduler.pulse_state set forecasts_left = v_is_left where forecasts_left <> v_is_left;
  return jsonb_build_object('forecasts', v_made, 'errors', v_errors);
end;
$function$
;
comment on function scheduler.attend_forecasts(timestamp with time zone,integer) is 'The pulse''s step for forecasts: makes those that are stale, for about p_budget_ms. What is left the next pulse makes.';
revoke all on function scheduler.attend_forecasts(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.attend_jobs(p_now timestamp with time zone, p_budget_ms integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_limit constant integer := 100;
  v_until constant timestamptz := clock_timestamp() + p_budget_ms * interval '1 millisecond';
  v_to_hear text[] := array(select scheduler.jobs_to_hear(p_now));
  v_names text[] := scheduler.jobs_to_attend(p_now, v_to_hear, (select resume_after from scheduler.pulse_state),
    v_limit);
  v_opens constant boolean := scheduler.opens_line();
  v_report jsonb := scheduler.advance_jobs(v_names, v_to_hear, p_now, v_until);
  v_line jsonb;
  v_stopped_at text;
begin
  if v_opens then
    v_line := scheduler.send_line(p_now, clock_timestamp() + p_budget_ms * interval '1 millisecond');
    v_report := v_report || jsonb_build_object('sent', (v_report ->> 'sent')::integer + (v_line ->> 'sent')::integer,
      'errors', v_report -> 'errors' || (v_line -> 'errors'));
  end if;
  v_stopped_at := case
    when v_report ->> 'last' <> v_names[cardinality(v_names)] or cardinality(v_names) = v_limit
      then v_report ->> 'last' end;
  update scheduler.pulse_state set resume_after = v_stopped_at;
  return v_report - 'last' || jsonb_build_object('more',
    v_stopped_at is not null or coalesce((v_line ->> 'more')::boolean, false));
end;
$function$
;
comment on function scheduler.attend_jobs(timestamp with time zone,integer) is 'advance_jobs for those that need it, by name, from where the last pulse stopped, for about p_budget_ms, and then for as long what stands in line: a receipt of these jobs waits no longer. Jobs that somebody else holds are left to the next pulse. "more" says whether it stopped early.';
revoke all on function scheduler.attend_jobs(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.audit(p_verb text, p_subject_type text, p_subject text, p_reason text, p_author text, p_before jsonb, p_after jsonb, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  insert into public.scheduler_audit (occurred_at, author, verb, subject_type, subject, reason, before, after)
    values (p_now, left(btrim(p_author), 200), p_verb, p_subject_type, left(p_subject, 200),
      left(btrim(coalesce(p_reason, nullif(current_setting('daybook.reason', true), ''))), 1000), p_before, p_after);
end;
$function$
;
comment on function scheduler.audit(text,text,text,text,text,jsonb,jsonb,timestamp with time zone) is 'Writes what a person did: the verb, the type and the name of what it was done to, why (null: the verb asks for no reason; then that of apply_schedules or of the call over the API, if it is part of one), who, what it was before and after (null: nothing).';
revoke all on function scheduler.audit(text,text,text,text,text,jsonb,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.audit_registration(p_verb text, p_subject_type text, p_subject text, p_before jsonb, p_after jsonb)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.audit(p_verb, p_subject_type, p_subject, null,
    coalesce(nullif(current_setting('daybook.author', true), ''), session_user::text),
    case when p_after is null then p_before
      else jsonb_object_agg(key, p_before -> key) filter (where p_before ? key) end,
    case when p_before is null then p_after
      else jsonb_object_agg(key, p_after -> key) filter (where p_after ? key) end,
    clock_timestamp())
  from (
    select key from jsonb_object_keys(coalesce(p_before, '{}') || coalesce(p_after, '{}')) as key
    where p_before -> key is distinct from p_after -> key) as changed
  having p_before is distinct from p_after;
$function$
;
comment on function scheduler.audit_registration(text,text,text,jsonb,jsonb) is 'Writes that something was registered (before null), registered with other values (those that changed), or taken out (after null), by the author of apply_schedules, else by the role that is connected; nothing when nothing changed.';
revoke all on function scheduler.audit_registration(text,text,text,jsonb,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.backfill(p_job_name text, p_from timestamp with time zone, p_to timestamp with time zone, p_reason text, p_author text, p_reprocess text DEFAULT 'missed'::text, p_newest_first boolean DEFAULT false, p_at_most integer DEFAULT 100, p_preview boolean DEFAULT true, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS TABLE(scheduled_for timestamp with time zone, local_time timestamp without time zone, state text, becomes text)
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_to constant timestamptz := least(p_to, p_now);
  v_chosen timestamptz[];
begin
  perform scheduler.assert_given(format('back-fill %s', p_job_name), 'reason and author',
    format('select * from scheduler.backfill(%L, now() - interval ''1 day'', now(), ''why'', ''who'')', p_job_name),
    p_reason, p_author);
  perform scheduler.assert_backfill(v_job, p_from, v_to, p_reprocess, p_at_most);
  return query
    select plan.scheduled_for, plan.scheduled_for at time zone v_job.time_zone, coalesce(plan.state, 'no row'),
      case when plan.fault is not null then 'left: ' || plan.fault when p_preview then 'would be queued'
        else 'queued' end
    from scheduler.plan_backfill(v_job, p_from, v_to, p_reprocess, p_newest_first, p_at_most) as plan;
  if p_preview then
    return;
  end if;
  select array_agg(plan.scheduled_for) into v_chosen
    from scheduler.plan_backfill(v_job, p_from, v_to, p_reprocess, p_newest_first, p_at_most) as plan
    where plan.fault is null;
  perform scheduler.open_gap(v_job, gap, min(at), max(at))
    from public.scheduler_runs as gap join unnest(v_chosen) as at on at between gap.scheduled_for
      and gap.scheduled_until
    where gap.job_name = v_job.name and gap.occurrences > 1
    group by gap;
  perform scheduler.add_runs(array(
    select scheduler.backfill_run(v_job, at, place::integer, p_now)
    from unnest(v_chosen) with ordinality as chosen (at, place) order by place));
  perform scheduler.audit('backfill', 'job', v_job.name, p_reason, p_author, null, jsonb_build_object('from', p_from,
    'to', v_to, 'reprocess', p_reprocess, 'newest_first', p_newest_first, 'queued', coalesce(cardinality(v_chosen), 0)),
    p_now);
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
end;
$function$
;
comment on function scheduler.backfill(text,timestamp with time zone,timestamp with time zone,text,text,text,boolean,integer,boolean,timestamp with time zone) is 'Runs the occurrences of a job in [p_from, p_to), as far as they lie in the past, with their own intervals: those that never ran (p_reprocess missed), that failed, or all; the oldest or the newest first, at most p_at_most. One row each says what became of it, or (p_preview, the default) what would. They go one at a time, after all that is live. Raises SD001 for an unknown job; 22023 for a missing reason or author, a job that is disabled or has no occurrences, a range of more than 10,000, or another wrong argument.';
revoke all on function scheduler.backfill(text,timestamp with time zone,timestamp with time zone,text,text,text,boolean,integer,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.backfill_fault(p_state text, p_skip_kind text, p_reprocess text, p_label text, p_work text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_state in ('open', 'deferred') then 'an attempt of it waits or is under way'
    when p_label is not null then 'calendar: ' || p_label
    when p_work is distinct from 'work' then case p_work when 'no work' then 'there was nothing to do, by its run_if'
      else p_work end
    when p_reprocess = 'all' then null
    when p_state = 'completed' then 'it has completed'
    when p_reprocess = 'failed' then case when coalesce(p_state, '') not in ('failed', 'cancelled')
      then 'it has not failed' end
    when p_state in ('failed', 'cancelled') then 'it has ' || case p_state when 'failed' then 'failed' else 'been '
      'cancelled' end
    when p_skip_kind in ('overlap', 'queue_full', 'left_out') then 'another run stands for it' end;
$function$
;
comment on function scheduler.backfill_fault(text,text,text,text,text) is 'Why an occurrence is left as it is, by its state and skip_kind (left_out: see is_stood_for), what is to be processed again (missed: what never ran; failed; all), the label of a calendar, and what its run_if says; null when it is queued.';
revoke all on function scheduler.backfill_fault(text,text,text,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.backfill_priority()
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select -100 $function$
;
comment on function scheduler.backfill_priority() is 'The priority of back-filled runs, and of no others.';
revoke all on function scheduler.backfill_priority() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.backfill_run(p_job scheduler_jobs, p_scheduled_for timestamp with time zone, p_place integer, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'backfill', p_scheduled_for);
begin
  v_run.attempt := coalesce((
    select max(attempt) from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = p_scheduled_for), 0) + 1;
  v_run.priority := scheduler.backfill_priority();
  -- Among themselves in the order that was chosen.
  v_run.turn := p_place;
  -- As it was told before: of the first run after a stretch it begins earlier.
  v_run.interval_from := coalesce((
    select interval_from from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = p_scheduled_for and trigger <> 'manual'
    order by attempt desc limit 1), scheduler.interval_start(p_job, p_scheduled_for));
  v_run.waiting := scheduler.wait_facts('parallel_limit', null, p_now, null);
  return v_run;
end;
$function$
;
comment on function scheduler.backfill_run(scheduler_jobs,timestamp with time zone,integer,timestamp with time zone) is 'The run that processes an occurrence again. Writes nothing: see add_runs.';
revoke all on function scheduler.backfill_run(scheduler_jobs,timestamp with time zone,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.becomes(p_before jsonb, p_after jsonb, p_was_source text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_before is null then 'registered'
    when p_after is null then 'unregistered'
    when p_was_source is null then 'taken_over'
    when p_before <> p_after then 'changed'
    else 'unchanged' end;
$function$
;
comment on function scheduler.becomes(jsonb,jsonb,text) is 'What becomes of a job that was registered with these values by that source, and is now with those. Null: no job; no source: SQL of the project registered it.';
revoke all on function scheduler.becomes(jsonb,jsonb,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.begin_due_run(p_function_name text, p_job_name text DEFAULT NULL::text, p_holder text DEFAULT ''::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
begin
  select * into v_job from public.scheduler_jobs
    where name = coalesce(p_job_name, p_function_name) and function_name = p_function_name;
  if v_job.schedule is null or v_job.continuous then
    return scheduler.begin_manual_run(p_function_name, p_job_name, null, p_holder, p_now);
  end if;
  perform scheduler.dispatch(v_job.name, p_now);
  select * into v_run from public.scheduler_runs
    where job_name = v_job.name and status = 'dispatched' and dispatched_at = p_now
    order by scheduled_for desc limit 1;
  if not found then
    return scheduler.already_told(v_job, p_now);
  end if;
  perform scheduler.take_request_back(v_run);
  return scheduler.begin_run(v_run.id, p_function_name, p_holder, p_now);
end;
$function$
;
comment on function scheduler.begin_due_run(text,text,text,timestamp with time zone) is 'Begins the newest occurrence of the job that is due and has not begun, for a clock that is not pg_cron: what is due is dispatched as pg_cron would, but this run''s request stays here. Answers like begin_run; with {"begun": false, "reason": "already", "run_id", "status", "scheduled_for", "message"} when there is none. A job without a schedule is begun as by hand.';
revoke all on function scheduler.begin_due_run(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.begin_manual_run(p_function_name text, p_job_name text, p_payload jsonb, p_holder text DEFAULT ''::text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
    perform scheduler.hear_and_wake(v_job.name, p_now);
  end if;
  -- A function that no job names gets the defaults of a job.
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.job_name := coalesce(v_job.name, p_function_name);
  v_run.function_name := p_function_name;
  v_run.max_attempts := 1;
  v_run.timeout_seconds := coalesce(v_job.timeout_seconds, 120);
  v_run.payload := coalesce(p_payload, v_job.payload, '{}');
  v_run.receipt := coalesce(v_job.receipt, 'function');
  v_run.interval_from := scheduler.interval_start(v_job, p_now);
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
  if v_job.group_name is not null and not scheduler.take_slot(v_job.group_name, v_run.id) then
    select id, dispatched_at into v_held from public.scheduler_runs
      where id in (select run_id from scheduler.group_slots where group_name = v_job.group_name) order by 2 limit 1;
    delete from public.scheduler_runs where id = v_run.id;
    return jsonb_build_object('begun', false, 'reason', 'busy', 'run_id', v_held.id, 'since', v_held.dispatched_at);
  end if;
  return scheduler.begun(v_run);
end;
$function$
;
comment on function scheduler.begin_manual_run(text,text,jsonb,text,timestamp with time zone) is 'Begins a run for a person who called the function itself, with the payload given, or (null) the registered one. Answers like begin_run; refused with reason "busy" (and the run that holds the lock) or "unknown job" (and the jobs there are). Such a run is not retried: the person sees the error.';
revoke all on function scheduler.begin_manual_run(text,text,jsonb,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.begin_secret_rotation(p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_fault text;
begin
  perform scheduler.assert_given('rotate the cron secret', 'reason and author',
    'select scheduler.begin_secret_rotation(''why'', ''who'')', p_reason, p_author);
  -- One at a time: who comes second sees what the first has made.
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  select scheduler.secret_fault('cron_secret', max(decrypted_secret), 32) into v_fault
    from vault.decrypted_secrets where name = 'cron_secret';
  if v_fault is not null then
    raise exception using errcode = 'SD303', message = format('cannot rotate the cron secret: %s', v_fault),
      hint = 'put the secret that the functions take into Vault, then rotate it';
  end if;
  if scheduler.rotation_stage() = 'none' then
    -- Made here: the log of the database has the text of statements that fail, and this one holds no secret.
    perform vault.create_secret(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
      'cron_secret_next', 'what cron_secret becomes: a rotation is under way');
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'none'), jsonb_build_object('stage', 'prepared'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$function$
;
comment on function scheduler.begin_secret_rotation(text,text,timestamp with time zone) is 'Makes the next cron secret and keeps it in Vault as cron_secret_next, unless a rotation is under way; returns its stage (see rotation_stage). Requests go on with the old one. Raises SD303 when Vault has no cron secret that could be sent, 22023 without reason or author.';
revoke all on function scheduler.begin_secret_rotation(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.begun(p_run scheduler_runs)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'begun', true, 'run_id', p_run.id, 'job_name', p_run.job_name, 'scheduled_for', p_run.scheduled_for,
    'attempt', p_run.attempt, 'trigger', p_run.trigger, 'timeout_seconds', p_run.timeout_seconds,
    'heartbeat_seconds', scheduler.setting('scheduler.heartbeat_seconds'),
    'interval_from', coalesce(p_run.interval_from, p_run.scheduled_for), 'interval_to', p_run.scheduled_for);
end;
$function$
;
comment on function scheduler.begun(scheduler_runs) is 'What a function is told of the run it has begun.';
revoke all on function scheduler.begun(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.between_text(p_earliest text, p_latest text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when p_earliest is null then '' when p_latest is null then format(' (%s or later)', p_earliest)
    else format(' (between %s and %s)', p_earliest, p_latest) end;
$function$
;
comment on function scheduler.between_text(text,text) is 'The interval of a day as a sentence has it; empty without one.';
revoke all on function scheduler.between_text(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.breaker_after(p_breaker scheduler_breakers, p_limit integer, p_run_id uuid, p_status text, p_now timestamp with time zone)
 RETURNS scheduler_breakers
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_breaker public.scheduler_breakers := p_breaker;
  v_tried constant boolean := coalesce(p_breaker.tried_by = p_run_id, false);
begin
  if v_tried then
    v_breaker.tried_by := null;
  end if;
  if p_status = 'completed' then
    v_breaker.failures := 0;
    v_breaker.opened_at := null;
    v_breaker.tried_by := null;
  elsif p_status = 'failed' then
    v_breaker.failures := least(v_breaker.failures + 1, 1000000);
    -- Of runs that were under way when it opened only the one that tries decides.
    if v_breaker.opened_at is null and v_breaker.failures >= p_limit or v_tried then
      v_breaker.opened_at := p_now;
    end if;
  end if;
  return v_breaker;
end;
$function$
;
comment on function scheduler.breaker_after(scheduler_breakers,integer,uuid,text,timestamp with time zone) is 'What a breaker is after a run ended: a completed one closes it; after p_limit failures in a row, and after a failed try, it is open from p_now on; a cancelled or deferred try leaves room for another.';
revoke all on function scheduler.breaker_after(scheduler_breakers,integer,uuid,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.breaker_hold(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_breaker public.scheduler_breakers;
  v_state text;
  v_until timestamptz;
begin
  select * into v_breaker from public.scheduler_breakers where job_name = p_job.name;
  v_state := scheduler.breaker_state(v_breaker.opened_at, p_job.breaker_cooldown_seconds, p_now);
  if v_state = 'closed' or v_state = 'half-open' and not exists (
    select from public.scheduler_runs where id = v_breaker.tried_by and completed_at is null) then
    return null;
  end if;
  v_until := case v_state when 'open'
    then v_breaker.opened_at + make_interval(secs => p_job.breaker_cooldown_seconds) end;
  return ('breaker', p_job.name, v_until, case when p_run.trigger in ('cron', 'catch_up', 'dependency')
      and p_run.attempt = 1
    then format('breaker: %s failures in a row, open since %s; %s', v_breaker.failures,
      scheduler.local_text(v_breaker.opened_at, p_job.time_zone),
      case when v_until is null then format('run %s tries', v_breaker.tried_by)
        else format('the next try is in %s, after %s', scheduler.duration_text(extract(epoch from v_until - p_now)),
          scheduler.local_second_text(v_until, p_job.time_zone)) end) end)::scheduler.hold;
end;
$function$
;
comment on function scheduler.breaker_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'Null when the job''s breaker lets the run go: closed, or half-open and no other run tries. Else a hold: occurrences are skipped, all other runs wait.';
revoke all on function scheduler.breaker_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.breaker_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_breaker_state', json_agg(case scheduler.breaker_state(opened_at,
      breaker_cooldown_seconds, p_now) when 'closed' then 0 when 'half-open' then 1 else 2 end order by name)))
  from public.scheduler_jobs left join public.scheduler_breakers on job_name = name
  where breaker_failures is not null;
$function$
;
comment on function scheduler.breaker_metrics(timestamp with time zone) is 'A value a job that has a breaker, by job_name.';
revoke all on function scheduler.breaker_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.breaker_state(p_opened_at timestamp with time zone, p_cooldown_seconds integer, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_opened_at is null then 'closed'
    -- A clock that went back must not keep it open for longer than the cool-down.
    when p_now < p_opened_at + make_interval(secs => p_cooldown_seconds)
      and p_now > p_opened_at - make_interval(secs => p_cooldown_seconds) then 'open'
    else 'half-open' end;
$function$
;
comment on function scheduler.breaker_state(timestamp with time zone,integer,timestamp with time zone) is 'closed, open or half-open, by when it opened (null: it is closed) and its cool-down.';
revoke all on function scheduler.breaker_state(timestamp with time zone,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.bring_entry(p_wanted jsonb, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_name constant text := p_wanted ->> 'job';
  v_old public.scheduler_jobs;
  v_new public.scheduler_jobs;
  v_was scheduler.job_sources;
  v_last jsonb;
begin
  select * into v_old from public.scheduler_jobs where name = v_name;
  select * into v_was from scheduler.job_sources where job_name = v_name;
  v_last := scheduler.last_registration(v_name, v_was.applied_at);
  if v_was.job_name is not null and v_was.applied is null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: the pack %s registers it '
      'itself', v_name, v_was.source), hint = 'take it out of schedules.json';
  elsif p_wanted -> 'entry' is null then
    perform scheduler.unregister_job(v_name);
  else
    perform scheduler.register_entry(p_wanted ->> 'source', p_wanted -> 'entry');
  end if;
  select * into v_new from public.scheduler_jobs where name = v_name;
  return jsonb_build_object('job', v_name, 'source', p_wanted -> 'source', 'was_source', v_was.source,
    'before', scheduler.registered_values(v_old), 'after', scheduler.registered_values(v_new), 'becomes',
    scheduler.becomes(scheduler.registered_values(v_old), scheduler.registered_values(v_new), v_was.source),
    'applied', v_was.applied, 'last', v_last) || scheduler.change_facts(v_old, v_new, p_now);
end;
$function$
;
comment on function scheduler.bring_entry(jsonb,timestamp with time zone) is 'Registers the job of an entry, or without "entry" takes it out: {"job", "source", "entry"}. Returns what it was before and is after, what becomes of it, with which values it was applied last, and who registered it since. Raises 22023 for a job that a pack registers itself, and what registering and taking out raise.';
revoke all on function scheduler.bring_entry(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.bring_schedules(p_entries jsonb, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_left jsonb;
  v_done jsonb := jsonb_build_array();
  v_faulty jsonb;
  v_wanted jsonb;
begin
  -- As every registration: from here on nothing else changes the registry.
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_left := scheduler.wanted_jobs(p_entries);
  -- What needs another entry (a dependency, a name that becomes free) is tried again after it.
  loop
    v_faulty := jsonb_build_array();
    for v_wanted in select scheduler.try_entry(wanted - '{fault,hint}'::text[], p_now)
      from jsonb_array_elements(v_left) as wanted loop
      if v_wanted ? 'fault' then
        v_faulty := v_faulty || v_wanted;
      else
        v_done := v_done || v_wanted;
      end if;
    end loop;
    exit when jsonb_array_length(v_faulty) in (0, jsonb_array_length(v_left));
    v_left := v_faulty;
  end loop;
  return jsonb_build_object('jobs', v_done || (
    select coalesce(jsonb_agg(faulty - 'entry'), '[]') from jsonb_array_elements(v_faulty) as faulty), 'others', (
    select coalesce(jsonb_agg(jsonb_build_object('job', name, 'source', source) order by name), '[]')
    from public.scheduler_jobs left join scheduler.job_sources on job_name = name
    where applied is null and name not in (select wanted ->> 'job' from jsonb_array_elements(p_entries) as wanted)));
end;
$function$
;
comment on function scheduler.bring_schedules(jsonb,timestamp with time zone) is 'Makes the registry what schedules.json says: p_entries is [{"job", "source", "entry": {argument: value}}]. A job that it registered earlier and that is no longer in it is taken out; jobs that it did not register stay. Returns {"jobs": what became of each, "others": those that it leaves alone}. What cannot be done has a "fault", and the caller has to undo the rest.';
revoke all on function scheduler.bring_schedules(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.broken_jobs(p_since timestamp with time zone, p_after text)
 RETURNS TABLE(job text, failed bigint, missed bigint, first_at timestamp with time zone, last_run_id uuid)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select counters.job_name, runs.failed, runs.missed, runs.first_at, runs.last_run_id
  from scheduler.run_counters as counters cross join lateral (
    select count(distinct scheduled_for) filter (where status = 'failed') as failed,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed, min(completed_at) as first_at,
      (array_agg(id order by completed_at desc, scheduled_for desc, attempt desc))[1] as last_run_id
    from public.scheduler_runs
    where job_name = counters.job_name and status in ('failed', 'missed')
      and completed_at >= p_since and completed_at > coalesce(counters.last_success_at, '-infinity')) as runs
  where counters.job_name > coalesce(p_after, '') and runs.last_run_id is not null
  order by counters.job_name limit 101;
$function$
;
comment on function scheduler.broken_jobs(timestamp with time zone,text) is 'The jobs with a run that failed, or an occurrence that was missed, since p_since and since their last completed run: the first 101 by name after p_after, each with how many, since when, and its last such run.';
revoke all on function scheduler.broken_jobs(timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_after_jump(p_budget scheduler_budgets, p_last timestamp with time zone, p_now timestamp with time zone)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_went_back constant boolean := p_last > p_now;
begin
  p_budget.ahead_of := case when v_went_back then greatest(p_budget.ahead_of, p_last) end;
  if p_budget.window_kind = 'fixed' then
    p_budget.resets_at := case when p_budget.resets_at is not null
      then p_now + make_interval(secs => p_budget.per_seconds) end;
    return p_budget;
  end if;
  select '{-infinity}' || coalesce(array_agg(at order by at), '{}'),
      p_budget.taken_total[1] || coalesce(array_agg(total order by at), '{}')
    into p_budget.taken_at, p_budget.taken_total
    from (
      select case when v_went_back then least(at, p_now) else p_now end as at, max(total) as total
      from unnest(p_budget.taken_at[2:], p_budget.taken_total[2:]) as takes (at, total) group by 1
    ) as counted;
  return p_budget;
end;
$function$
;
comment on function scheduler.budget_after_jump(scheduler_budgets,timestamp with time zone,timestamp with time zone) is 'The budget after its clock jumped from p_last back to p_now, or reached p_now, which it showed before such a jump.';
revoke all on function scheduler.budget_after_jump(scheduler_budgets,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_after_report(p_budget scheduler_budgets, p_left integer, p_resets_at timestamp with time zone, p_now timestamp with time zone)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_span constant interval := make_interval(secs => p_budget.per_seconds);
  -- Nobody waits longer than a span for what one header said.
  v_resets_at constant timestamptz := case when p_resets_at > p_now + v_span then p_now + v_span else p_resets_at end;
  v_taken_at constant timestamptz := coalesce(v_resets_at, p_now + v_span) - v_span;
  v_missing constant integer := p_budget.tokens_left - p_left;
  v_place integer;
begin
  if p_resets_at <= p_now then
    return p_budget;  -- What it says is over.
  elsif p_budget.window_kind = 'fixed' then
    -- Two windows that contain p_now are one, unless ours was to end half a span before the API's: that was another.
    p_budget.tokens_left := case
      when p_budget.resets_at is null or v_resets_at >= p_budget.resets_at + v_span / 2
        then least(p_left, p_budget.tokens)
      else least(p_left, p_budget.tokens_left) end;
    p_budget.resets_at := coalesce(v_resets_at, p_budget.resets_at, p_now + v_span);
  elsif v_missing > 0 then
    if cardinality(p_budget.taken_at) >= 104 then
      p_budget := scheduler.budget_with_merged_takes(p_budget);
    end if;
    v_place := greatest(1, width_bucket(v_taken_at, p_budget.taken_at));
    p_budget.taken_at := p_budget.taken_at[:v_place] || v_taken_at || p_budget.taken_at[v_place + 1:];
    p_budget.taken_total := p_budget.taken_total[:v_place] || array(
      select total + v_missing from unnest(p_budget.taken_total[v_place:]) with ordinality as totals (total, place)
      order by place);
    p_budget.tokens_left := p_left;
  end if;
  return p_budget;
end;
$function$
;
comment on function scheduler.budget_after_report(scheduler_budgets,integer,timestamp with time zone,timestamp with time zone) is 'The budget, which is as budget_at gives it at p_now, after its API said how many are left until it resets (null: not known). Sliding: what the API misses counts as one take that is free again at the reset. Fixed: the reset is the API''s, the tokens are the fewer of the two, or the API''s in a new window.';
revoke all on function scheduler.budget_after_report(scheduler_budgets,integer,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_after_take(p_budget scheduler_budgets, p_tokens integer, p_at timestamp with time zone)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_cell constant interval := make_interval(secs => p_budget.per_seconds / 90.0);
  v_kept integer;
  v_total bigint;
begin
  p_budget.tokens_left := p_budget.tokens_left - p_tokens;
  if p_budget.window_kind = 'fixed' then
    p_budget.resets_at := coalesce(p_budget.resets_at, p_at + make_interval(secs => p_budget.per_seconds));
    return p_budget;
  end if;
  if cardinality(p_budget.taken_at) >= 104 then
    p_budget := scheduler.budget_with_merged_takes(p_budget);
  end if;
  v_kept := cardinality(p_budget.taken_at);
  v_total := p_budget.taken_total[v_kept] + p_tokens;
  if v_kept >= 92 and date_bin(v_cell, p_at, '2000-01-01 00:00+00')
    = date_bin(v_cell, p_budget.taken_at[v_kept], '2000-01-01 00:00+00') then
    v_kept := v_kept - 1;
  end if;
  p_budget.taken_at := p_budget.taken_at[:v_kept] || p_at;
  p_budget.taken_total := p_budget.taken_total[:v_kept] || v_total;
  return p_budget;
end;
$function$
;
comment on function scheduler.budget_after_take(scheduler_budgets,integer,timestamp with time zone) is 'The budget, which is as budget_at gives it at p_at, after a take of so many tokens.';
revoke all on function scheduler.budget_after_take(scheduler_budgets,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_at(p_budget scheduler_budgets, p_now timestamp with time zone)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_span constant interval := make_interval(secs => p_budget.per_seconds);
  v_is_fixed constant boolean := p_budget.window_kind = 'fixed';
  v_last timestamptz := case when v_is_fixed then p_budget.resets_at - v_span
    else p_budget.taken_at[cardinality(p_budget.taken_at)] end;
  v_aged integer;
begin
  -- Up to a second is no jump: such a take has waited for the budget's row behind one that began later.
  if v_last > p_now + interval '1 second' or p_now >= p_budget.ahead_of then
    p_budget := scheduler.budget_after_jump(p_budget, v_last, p_now);
    v_last := least(v_last, p_now);
  end if;
  if not v_is_fixed then
    v_aged := width_bucket(greatest(p_now, v_last) - v_span, p_budget.taken_at);
    p_budget.taken_at := p_budget.taken_at[v_aged:];
    p_budget.taken_total := p_budget.taken_total[v_aged:];
    p_budget.tokens_left := greatest(0,
      p_budget.tokens - (p_budget.taken_total[cardinality(p_budget.taken_total)] - p_budget.taken_total[1]));
  elsif p_now >= p_budget.resets_at then
    p_budget.tokens_left := p_budget.tokens;
    p_budget.resets_at := null;
  end if;
  return p_budget;
end;
$function$
;
comment on function scheduler.budget_at(scheduler_budgets,timestamp with time zone) is 'The budget as it is at p_now: without takes that count no more and without a window that has ended. tokens_left is what it holds, for a sliding window too, those that are reserved among them.';
revoke all on function scheduler.budget_at(scheduler_budgets,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_capacity(p_budget scheduler_budgets, p_until timestamp with time zone, p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_is_open constant boolean := p_budget.window_kind = 'fixed' and coalesce(p_budget.resets_at > p_at, false);
  -- Spans that begin with what can be taken at p_at, or with the end of the window that is open.
  v_spans constant bigint := greatest(0, 1 + floor(
    extract(epoch from p_until - case when v_is_open then p_budget.resets_at else p_at end) / p_budget.per_seconds));
begin
  if p_budget.window_kind = 'fixed' then
    return v_spans * p_budget.tokens + case when v_is_open then p_budget.tokens_left else 0 end;
  end if;
  return v_spans * p_budget.tokens - (p_budget.taken_total[cardinality(p_budget.taken_total)] - p_budget.taken_total[
    greatest(1, width_bucket(p_until - make_interval(secs => v_spans * p_budget.per_seconds), p_budget.taken_at))]);
end;
$function$
;
comment on function scheduler.budget_capacity(scheduler_budgets,timestamp with time zone,timestamp with time zone) is 'The most that can be taken from p_at, at which the budget is as given, until p_until, both included.';
revoke all on function scheduler.budget_capacity(scheduler_budgets,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_hold(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_hold scheduler.hold;
begin
  select 'budget', name, opens_at, null into v_hold
    from jsonb_each_text(p_job.budgets) as needed (name, tokens),
      lateral scheduler.budget_open(name, tokens::integer, p_job.name, p_now) as opens_at
    where opens_at > p_now
    order by opens_at desc, name limit 1;
  return v_hold;
end;
$function$
;
comment on function scheduler.budget_hold(scheduler_jobs,timestamp with time zone) is 'A hold until all budgets that the job is registered with have their tokens free, by the one that has them last; null when all have. It takes none: a function takes what it needs.';
revoke all on function scheduler.budget_hold(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select json_build_array(scheduler.metric_group(json_build_object('budget', coalesce(json_agg(budget), '[]')),
    scheduler.metric('scheduler_budget_tokens', json_agg(tokens)),
    scheduler.metric('scheduler_budget_left', json_agg(tokens_left)),
    scheduler.metric('scheduler_budget_reserved', json_agg(reserved))))
  from scheduler.budget_states(p_now);
$function$
;
comment on function scheduler.budget_metrics(timestamp with time zone) is 'What a scrape shows of the budgets: a value a budget.';
revoke all on function scheduler.budget_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_open(p_budget text, p_tokens integer, p_job_name text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT now())
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_budget public.scheduler_budgets;
begin
  select * into v_budget from public.scheduler_budgets where name = p_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.assert_tokens(v_budget, p_tokens, p_now);
  v_budget := scheduler.budget_at(v_budget, p_now);
  return coalesce(scheduler.budget_opens_at(
    v_budget, scheduler.open_reservations(v_budget, p_now), p_tokens, p_job_name, p_now), p_now);
end;
$function$
;
comment on function scheduler.budget_open(text,integer,text,timestamp with time zone) is 'When the job (or null) could take so many tokens if nobody takes any before: p_now, or later. It writes and locks nothing. Raises SD012 for an unknown budget; 22023 for a number that can never be taken.';
revoke all on function scheduler.budget_open(text,integer,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_opens_at(p_budget scheduler_budgets, p_reservations scheduler.budget_reservations[], p_tokens integer, p_job_name text, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_count constant integer := cardinality(p_budget.taken_at);
  -- A take that waited for the row behind a later one is as late as that one.
  v_now constant timestamptz := greatest(p_now, p_budget.taken_at[v_count]);
  v_at timestamptz := v_now;
  v_deadline timestamptz;
begin
  if p_tokens > p_budget.tokens_left then
    -- The first entry after which so few tokens count that these fit in.
    v_at := case when p_budget.window_kind = 'fixed' then p_budget.resets_at
      else p_budget.taken_at[1 + width_bucket(
        p_budget.taken_total[v_count] + p_tokens - p_budget.tokens - 1, p_budget.taken_total)]
        + make_interval(secs => p_budget.per_seconds) end;
    -- Clients count in milliseconds, and must not come a little too early.
    v_at := date_trunc('milliseconds', v_at + interval '999 microseconds');
  end if;
  while p_reservations <> '{}' loop
    v_deadline := scheduler.reservation_in_the_way(p_budget, p_reservations, p_tokens, p_job_name, v_at);
    exit when v_deadline is null;
    v_at := date_trunc('milliseconds', v_deadline) + interval '1 millisecond';
  end loop;
  return nullif(v_at, v_now);
end;
$function$
;
comment on function scheduler.budget_opens_at(scheduler_budgets,scheduler.budget_reservations[],integer,text,timestamp with time zone) is 'Null when the job (or null) may take so many tokens of the budget now, which is as budget_at gives it at p_now; else the first moment at which it may if nobody takes any before. p_tokens is at most the budget''s limit.';
revoke all on function scheduler.budget_opens_at(scheduler_budgets,scheduler.budget_reservations[],integer,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_rule_holds(p_percent numeric, p_tokens integer, p_tokens_left integer)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- A budget of fewer than 20 tokens is used up when none is left.
  select p_tokens_left < p_tokens * p_percent / 100 or p_tokens_left <= 0;
$function$
;
comment on function scheduler.budget_rule_holds(numeric,integer,integer) is 'Whether a budget of so many tokens is exhausted with so many left.';
revoke all on function scheduler.budget_rule_holds(numeric,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_states(p_now timestamp with time zone DEFAULT now())
 RETURNS TABLE(budget text, tokens integer, tokens_left integer, reserved bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select budgets.name, budgets.tokens, (scheduler.budget_at(budgets, p_now)).tokens_left, (
    select coalesce(sum(reservations.tokens_left), 0)::bigint from scheduler.budget_reservations as reservations
    where reservations.budget = budgets.name and reservations.needed_by >= p_now)
  from public.scheduler_budgets as budgets order by budgets.name;
$function$
;
comment on function scheduler.budget_states(timestamp with time zone) is 'What each budget holds now: its limit, what is left of it, and how much jobs have reserved and not taken.';
revoke all on function scheduler.budget_states(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budget_with_merged_takes(p_budget scheduler_budgets)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  select p_budget.taken_at[1] || array_agg(at order by at), p_budget.taken_total[1] || array_agg(total order by at)
    into p_budget.taken_at, p_budget.taken_total
    from (
      select max(at) as at, max(total) as total
      from unnest(p_budget.taken_at[2:], p_budget.taken_total[2:]) as takes (at, total)
      group by date_bin(make_interval(secs => p_budget.per_seconds / 90.0), at, '2000-01-01 00:00+00')
    ) as merged;
  return p_budget;
end;
$function$
;
comment on function scheduler.budget_with_merged_takes(scheduler_budgets) is 'The budget with one entry for each ninetieth of its span in which tokens were taken, at the time of the last take.';
revoke all on function scheduler.budget_with_merged_takes(scheduler_budgets) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.budgets_fault(p_budgets jsonb)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_needed record;
begin
  if jsonb_typeof(p_budgets) <> 'object' then
    return format('budgets must be a JSON object {budget: tokens}, got %s', left(p_budgets::text, 100));
  end if;
  for v_needed in
    select key as name, value, tokens from jsonb_each(p_budgets) left join public.scheduler_budgets on name = key
    order by key
  loop
    if v_needed.tokens is null then
      return format('there is no budget named %L: register it with scheduler.register_budget', v_needed.name);
    elsif v_needed.value::text !~ '^[0-9]{1,9}$' or v_needed.value::text::integer not between 1 and v_needed.tokens then
      return format('budgets: the tokens of %s must be from 1 to %s, got %s', v_needed.name, v_needed.tokens,
        left(v_needed.value::text, 40));
    end if;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.budgets_fault(jsonb) is 'The first thing that is wrong with the budgets of a job; null when nothing is.';
revoke all on function scheduler.budgets_fault(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.busy_because(p_now timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return scheduler.load_reason(scheduler.load_now(p_now), scheduler.setting('scheduler.busy_connections_percent'),
    scheduler.setting('scheduler.busy_requests'), scheduler.setting('scheduler.busy_late_runs'));
end;
$function$
;
comment on function scheduler.busy_because(timestamp with time zone) is 'Why the database is busy, by the settings scheduler.busy_…; null when it is not.';
revoke all on function scheduler.busy_because(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.calendar_label(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_span public.scheduler_calendar_spans;
begin
  if p_job.calendars = '{}' then
    return null;
  end if;
  v_span := scheduler.calendar_span(p_job, p_at);
  return case when v_span.calendar is not null then format('%s (%s)', v_span.label, v_span.calendar) end;
end;
$function$
;
comment on function scheduler.calendar_label(scheduler_jobs,timestamp with time zone) is 'Why the job does not run at that moment, by its calendars: the label and the calendar; null when it does.';
revoke all on function scheduler.calendar_label(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.calendar_span(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS scheduler_calendar_spans
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select spans from public.scheduler_calendar_spans as spans
  where calendar = any (p_job.calendars) and p_at at time zone p_job.time_zone >= starts_at
    and p_at at time zone p_job.time_zone < ends_at
  order by ends_at desc, calendar limit 1;
$function$
;
comment on function scheduler.calendar_span(scheduler_jobs,timestamp with time zone) is 'The span of the job''s calendars that holds that moment, the one that ends last; null when none does.';
revoke all on function scheduler.calendar_span(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cancel_backfill(p_job_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_cancelled bigint;
begin
  perform scheduler.assert_given(format('cancel the back-fill of %s', p_job_name), 'reason and author',
    format('select scheduler.cancel_backfill(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  v_cancelled := scheduler.cancel_waiting(v_job, true, p_reason, p_author, p_now);
  if v_cancelled = 0 then
    return format('no back-filled run of %s waits', v_job.name);
  end if;
  return format('%s of %s %s cancelled; what is under way goes on',
    scheduler.count_text(v_cancelled, 'back-filled run'), v_job.name, case v_cancelled when 1 then 'is' else 'are' end);
end;
$function$
;
comment on function scheduler.cancel_backfill(text,text,text,timestamp with time zone) is 'Cancels the back-filled runs of the job that wait, and says how many. Raises SD001 for an unknown job; 22023 for a missing reason or author.';
revoke all on function scheduler.cancel_backfill(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cancel_queued(p_job_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_cancelled bigint;
begin
  perform scheduler.assert_given(format('cancel what waits of %s', p_job_name), 'reason and author',
    format('select scheduler.cancel_queued(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  v_cancelled := scheduler.cancel_waiting(v_job, false, p_reason, p_author, p_now);
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
$function$
;
comment on function scheduler.cancel_queued(text,text,text,timestamp with time zone) is 'Cancels all runs of the job that wait (for its lock, a limit, the time of a retry), with a reason and an author, and says how many. Raises SD001 for an unknown job; 22023 for a missing reason or author.';
revoke all on function scheduler.cancel_queued(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cancel_run(p_run_id uuid, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_is_withdrawn boolean;
begin
  perform scheduler.assert_given(format('cancel run %s', v_run.id), 'reason and author',
    format('select scheduler.cancel_run(%L, ''why'', ''who'')', v_run.id), p_reason, p_author);
  if v_run.completed_at is not null then
    return format('run %s of %s is over already: %s (%s)', v_run.id, v_run.job_name, v_run.status, v_run.verdict);
  end if;
  v_is_withdrawn := scheduler.withdraw_run(v_run, format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)),
    p_now);
  perform scheduler.audit('cancel_run', 'run', v_run.id::text, p_reason, p_author,
    jsonb_build_object('job', v_run.job_name, 'status', v_run.status), null, p_now);
  return format('run %s of %s is cancelled%s', v_run.id, v_run.job_name, case
    when v_run.status = 'queued' then ' before it was sent'
    when v_is_withdrawn then ' before its request was sent'
    when v_run.function_name is null then '; what was asked of its URL may still be done'
    else '; if the function is still at work, its next heartbeat tells it to stop' end);
end;
$function$
;
comment on function scheduler.cancel_run(uuid,text,text,timestamp with time zone) is 'Cancels a run that waits or is under way, with a reason and an author; its lock is free, what waited is sent, and it is not retried. A run that is over is left as it is, and the answer says so. Raises SD002 for an unknown run; 22023 for a missing reason or author.';
revoke all on function scheduler.cancel_run(uuid,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cancel_waiting(p_job scheduler_jobs, p_is_backfill boolean, p_reason text, p_author text, p_now timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_cancelled bigint;
begin
  update public.scheduler_runs as runs
    set status = 'cancelled', verdict = 'cancelled', completed_at = p_now,
      error_message = format('cancelled by %s: %s', btrim(p_author), btrim(p_reason))
    where job_name = p_job.name and status = 'queued' and (scheduler.is_backfill(runs) or not p_is_backfill);
  get diagnostics v_cancelled = row_count;
  if v_cancelled > 0 and p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
  if v_cancelled > 0 and p_job.continuous then
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  end if;
  if v_cancelled > 0 then
    perform scheduler.audit(case when p_is_backfill then 'cancel_backfill' else 'cancel_queued' end, 'job', p_job.name,
      p_reason, p_author, jsonb_build_object('waiting', v_cancelled), null, p_now);
  end if;
  return v_cancelled;
end;
$function$
;
comment on function scheduler.cancel_waiting(scheduler_jobs,boolean,text,text,timestamp with time zone) is 'Cancels all runs of the job that wait, or those that are back-filled alone; lets its dependents decide. Returns how many. The caller holds the job''s row lock.';
revoke all on function scheduler.cancel_waiting(scheduler_jobs,boolean,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.catalogue_name(p_function text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select format('%I.%I', nspname, proname) from pg_catalog.pg_proc
    join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
  where pg_proc.oid = scheduler.run_if_function(p_function);
$function$
;
comment on function scheduler.catalogue_name(text) is 'A run_if or defer_if as the catalogue names its function, so that two ways of writing it are no change.';
revoke all on function scheduler.catalogue_name(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.causes_of(p_sightings scheduler.sighting[])
 RETURNS SETOF scheduler.seen_cause
 LANGUAGE sql
 IMMUTABLE ROWS 5
 SET search_path TO ''
AS $function$
  with likened as (
    select sightings, case (sightings).rule when 'pulse_errors' then (sightings).fault
      else (sightings).verdict || ' ' || (sightings).host end as likeness
    from unnest(p_sightings) as sightings
  ), counted as (
    select likeness, count(distinct (sightings).job_name) as jobs from likened group by likeness
  ), caused as (
    select sightings, scheduler.shared_cause(sightings, coalesce(jobs, 0)) as shared
    from likened left join counted using (likeness)
  ), first_of_job as (
    select distinct on ((sightings).job_name) (sightings).job_name as job_name, shared,
      (sightings).rule in ('late', 'dependency_timeout') as waits
    from caused where (sightings).job_name is not null
    order by (sightings).job_name, (sightings).rule in ('late', 'dependency_timeout'), shared nulls last
  ), named as (
    -- A job that waits for one that has a cause itself waits for that cause.
    select sightings, coalesce(shared, (
      select coalesce(first_of_job.shared, 'job ' || first_of_job.job_name) from first_of_job
      where (sightings).rule in ('late', 'dependency_timeout') and not first_of_job.waits
        and first_of_job.job_name = any ((sightings).depends_on)
      order by first_of_job.job_name limit 1), 'job ' || (sightings).job_name) as cause
    from caused
  )
  select cause, (array_agg((sightings).rule order by scheduler.severity_rank((sightings).severity) desc,
      (sightings).rule))[1],
    (array_agg((sightings).severity order by scheduler.severity_rank((sightings).severity) desc))[1],
    min((sightings).for_seconds),
    coalesce(array_agg(distinct (sightings).job_name order by (sightings).job_name)
      filter (where (sightings).job_name is not null), '{}')
  from named group by cause;
$function$
;
comment on function scheduler.causes_of(scheduler.sighting[]) is 'The causes behind what the rules see: one row a cause, with its worst rule and its jobs.';
revoke all on function scheduler.causes_of(scheduler.sighting[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cell_seconds(p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select seconds from unnest(array[10, 60, 300, 900, 1800, 3600, 7200, 21600, 43200, 86400]) as seconds
  where seconds >= extract(epoch from p_to - p_from) / 96
  order by seconds limit 1;
$function$
;
comment on function scheduler.cell_seconds(timestamp with time zone,timestamp with time zone) is 'How long the cells of a timeline are: the first of the usual lengths by which there are at most 96 of them.';
revoke all on function scheduler.cell_seconds(timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.change_facts(p_old scheduler_jobs, p_new scheduler_jobs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_strip_nulls(jsonb_build_object(
    'next_before', case when moves and p_old.name is not null then scheduler.next_times(p_old, 5, p_now) end,
    'next_after', case when moves and p_new.name is not null then scheduler.next_times(p_new, 5, p_now) end,
    'clock_changes', case when moves and p_new.enabled and p_new.schedule is not null then (
      select jsonb_agg(to_jsonb(changes) order by changes_at)
      from scheduler.clock_changes(p_new.schedule, p_new.time_zone, p_now, p_now + interval '1 year') as changes) end,
    'paused', case when p_old.paused_at is not null and p_now < coalesce(p_old.paused_until, 'infinity')
      then jsonb_build_object('since', p_old.paused_at, 'until', p_old.paused_until, 'by', p_old.paused_by,
        'reason', p_old.pause_reason) end))
  from (
    select (p_old.schedule, p_old.continuous, p_old.time_zone, p_old.jitter_seconds, p_old.calendars, p_old.enabled)
      is distinct from
      (p_new.schedule, p_new.continuous, p_new.time_zone, p_new.jitter_seconds, p_new.calendars, p_new.enabled)
      as moves) as compared;
$function$
;
comment on function scheduler.change_facts(scheduler_jobs,scheduler_jobs,timestamp with time zone) is 'Of a job that becomes another one: its next times before and after, and the changes of its zone''s clock within a year, where its times change; its pause.';
revoke all on function scheduler.change_facts(scheduler_jobs,scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.channel_deliveries(p_channel text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object(
    'waiting', (
      select count(*) from public.scheduler_alert_deliveries
      where channel = p_channel and status in ('waiting', 'sent')),
    'last_delivery', (
      select jsonb_build_object('event', event, 'severity', severity, 'at', finished_at)
      from public.scheduler_alert_deliveries where channel = p_channel and status = 'delivered'
      order by finished_at desc limit 1),
    'last_error', (
      select jsonb_build_object('event', event, 'at', coalesce(finished_at, sent_at),
        'response_status', response_status, 'message', scheduler.channel_words(error, response_status),
        'tries', tries, 'given_up', status = 'failed')
      from public.scheduler_alert_deliveries
      where channel = p_channel and status <> 'delivered' and (error is not null or response_status is not null)
      order by written_at desc limit 1));
$function$
;
comment on function scheduler.channel_deliveries(text) is 'How many messages still wait for the channel, the last that arrived, and of those that did not the newest.';
revoke all on function scheduler.channel_deliveries(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.channel_pings(p_channel text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('waiting', count(*) filter (where answered_at is null),
    'last_delivery', (jsonb_agg(jsonb_build_object('event', 'ping', 'severity', null, 'at', succeeded_at))
      filter (where succeeded_at is not null)) -> 0,
    'last_error', (jsonb_agg(jsonb_build_object('event', 'ping', 'at', pinged_at, 'response_status', response_status,
      'message', scheduler.channel_words(error, response_status), 'tries', 1, 'given_up', true))
      filter (where answered_at is not null and succeeded_at is distinct from pinged_at)) -> 0)
  from scheduler.alert_pings where channel = p_channel;
$function$
;
comment on function scheduler.channel_pings(text) is 'What scheduler.channel_deliveries says, of a dead man''s switch: its last ping.';
revoke all on function scheduler.channel_pings(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.channel_wants(p_channel scheduler_alert_channels, p_severity text, p_jobs text[], p_groups text[])
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select p_channel.enabled and p_channel.kind <> 'dead_man'
    and scheduler.severity_rank(p_severity) >= scheduler.severity_rank(p_channel.least_severity)
    and (p_jobs = '{}' or p_channel.jobs = '{}' and p_channel.groups = '{}'
      or p_channel.jobs && p_jobs or p_channel.groups && p_groups);
$function$
;
comment on function scheduler.channel_wants(scheduler_alert_channels,text,text[],text[]) is 'Whether an alert of that severity, of these jobs and their groups, goes to the channel, apart from quiet hours.';
revoke all on function scheduler.channel_wants(scheduler_alert_channels,text,text[],text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.channel_words(p_error text, p_status integer)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- Of an address not even the host is shown.
  select coalesce(regexp_replace(p_error, '\S+://\S*', '***', 'g'), 'HTTP ' || p_status);
$function$
;
comment on function scheduler.channel_words(text,integer) is 'What went wrong with a message, without an address.';
revoke all on function scheduler.channel_words(text,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_dependencies()
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with faults as (
    select coalesce(scheduler.dependency_circle(name, depends_on), (
      select format('%s depends on %s, which is not registered', name, needed) from unnest(depends_on) as needed
      where not exists (select from public.scheduler_jobs as jobs where jobs.name = needed) limit 1)) as fault
    from public.scheduler_jobs where depends_on <> '{}'
  )
  select 'dependencies', case when count(fault) = 0 then 'ok' else 'failed' end,
    coalesce(string_agg(fault, '; ' order by fault), format('%s with dependencies, no circle', scheduler.count_text(
      count(*), 'job')))
  from faults;
$function$
;
comment on function scheduler.check_dependencies() is 'Whether all dependencies are registered and none close a circle.';
revoke all on function scheduler.check_dependencies() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_entries()
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with compared as (
    select name, case
        when jobid is null then 'missing'
        when not active then 'inactive'
        when entries.schedule <> cron_entry then 'other times'
        when command <> format('select scheduler.dispatch(%L)', name) then 'other command' end as fault
    from public.scheduler_jobs left join cron.job as entries on jobname = name and username = current_user
    where enabled and scheduler_jobs.schedule is not null
    union all
    select jobname, 'no such job' from cron.job
    where username = current_user and command ~ '^select scheduler\.dispatch\('''
      and not exists (select from public.scheduler_jobs where name = jobname and enabled)
  )
  select 'entries of pg_cron', case when count(fault) = 0 then 'ok' else 'failed' end,
    case when count(fault) = 0 then format('%s, as registered', count(*))
      else string_agg(format('%s: %s', name, fault), ', ' order by name) filter (where fault is not null)
        || '; the pulse mends them within a minute' end
  from compared;
$function$
;
comment on function scheduler.check_entries() is 'Whether pg_cron''s entries are those of the registry.';
revoke all on function scheduler.check_entries() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_entries_zone()
 RETURNS SETOF scheduler.check_result
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_zone constant text := coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT');
  v_is_utc constant boolean := scheduler.knows_time_zone(v_zone) and not exists (
    select from unnest(array['2026-01-01 12:00', '2026-07-01 12:00']::timestamp[]) as at
    where (at at time zone 'UTC') at time zone v_zone <> at);
begin
  return next ('zone of the entries', case when v_is_utc then 'ok' else 'failed' end,
    case when v_is_utc then 'pg_cron reads them in UTC'
      else format('pg_cron reads them in %s (cron.timezone), and they are written in UTC', v_zone) end
    )::scheduler.check_result;
exception when insufficient_privilege then
  return next ('zone of the entries', 'failed', format('%s may not read cron.timezone', current_user)
    )::scheduler.check_result;
end;
$function$
;
comment on function scheduler.check_entries_zone() is 'Whether pg_cron reads its entries in UTC, in which Daybook writes them: cron.timezone is GMT unless somebody has set it.';
revoke all on function scheduler.check_entries_zone() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_extensions()
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select 'extension ' || wanted, case when extversion is null then 'failed' else 'ok' end,
    coalesce('version ' || extversion, 'not installed: create extension ' || wanted)
  from unnest(array['pg_cron', 'pg_net', 'supabase_vault']) as wanted
    left join pg_catalog.pg_extension on extname = wanted
  order by wanted;
$function$
;
comment on function scheduler.check_extensions() is 'Whether pg_cron, pg_net and Vault are installed, and in which version.';
revoke all on function scheduler.check_extensions() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_function(p_now timestamp with time zone)
 RETURNS SETOF scheduler.check_result
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_call scheduler.verify_calls;
  v_function text;
  v_url text;
  v_secret text;
begin
  -- An older question may be of another secret.
  select * into v_call from scheduler.verify_calls where asked_at > p_now - interval '1 minute';
  if found then
    return query select * from scheduler.answer_of_verify(v_call, p_now);
    return;
  end if;
  select function_name into v_function from public.scheduler_jobs
    where enabled and function_name is not null and secret_name = 'cron_secret'
    order by function_name <> 'system-health', name limit 1;
  if v_function is null then
    return next ('secret', 'failed', 'no enabled job has an edge function that could be asked whether it takes it'
      )::scheduler.check_result;
    return;
  elsif exists (select from scheduler.check_vault() where state <> 'ok') then
    return;
  end if;
  select max(decrypted_secret) filter (where name = 'project_url'),
      max(decrypted_secret) filter (where name = 'cron_secret')
    into v_url, v_secret from vault.decrypted_secrets where name in ('project_url', 'cron_secret');
  delete from scheduler.verify_calls;
  insert into scheduler.verify_calls (request_id, asked_at, function_name)
    values (net.http_get(rtrim(v_url, '/') || '/functions/v1/' || v_function,
      headers => jsonb_build_object('x-cron-secret', v_secret), timeout_milliseconds => 5000), p_now, v_function);
  return next ('secret', 'asked', format('%s is asked whether it takes it: say verify() again in a few seconds',
    v_function))::scheduler.check_result;
end;
$function$
;
comment on function scheduler.check_function(timestamp with time zone) is 'Says what a function answered to the question of the verify() before, whether it takes the secret; where there was none in the last minute, or its answer was read, it asks.';
revoke all on function scheduler.check_function(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_lock(p_now timestamp with time zone)
 RETURNS SETOF scheduler.check_result
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
  v_taken boolean;
  v_freed boolean;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := 'scheduler-verify';
  v_run.status := 'running';
  v_run.trigger := 'manual';
  v_run.scheduled_for := p_now;
  begin
    insert into public.scheduler_runs (id, job_name, status, trigger, scheduled_for)
      values (v_run.id, v_run.job_name, v_run.status, v_run.trigger, v_run.scheduled_for);
    v_taken := scheduler.try_lock('scheduler-verify', v_run.id, 'verify', p_now, p_now + interval '1 minute');
    perform scheduler.end_run(v_run.id, array['running'], 'completed', 'ok', p_now);
    v_freed := not exists (select from public.scheduler_locks where name = 'scheduler-verify');
    raise exception 'this is undone';
  exception when raise_exception then
    null;
  end;
  return next ('lock', case when v_taken and v_freed then 'ok' else 'failed' end,
    case when not v_taken then 'could not be taken' when not v_freed then 'was not freed as its run ended'
      else 'taken, and freed as its run ended' end)::scheduler.check_result;
exception when others then
  return next ('lock', 'failed', sqlerrm)::scheduler.check_result;
end;
$function$
;
comment on function scheduler.check_lock(timestamp with time zone) is 'Whether a lock can be taken, and is free when its run ends.';
revoke all on function scheduler.check_lock(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_plan(p_before jsonb)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_plan constant text := scheduler.setting_value('forecast.plan') #>> '{}';
begin
  if p_before is not null and not exists (select from public.scheduler_plans where plan = v_plan) then
    raise exception using errcode = '22023', message = format('cannot set forecast.plan: there is no plan %L', v_plan),
      hint = format('the plans are: %s; insert a row into scheduler_plans for another one', (
        select string_agg(plan, ', ' order by plan) from public.scheduler_plans));
  end if;
end;
$function$
;
comment on function scheduler.check_plan(jsonb) is 'Refuses a plan of which scheduler_plans has no row.';
revoke all on function scheduler.check_plan(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_pulse(p_now timestamp with time zone)
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select 'pulse', case when age <= 90 and errors = '{}' then 'ok' else 'failed' end, case
    when age is null then 'it has not beaten yet: is pg_cron at work in this database?'
    when age > 90 then format('its last beat was %s s ago', round(age))
    when errors <> '{}' then format('its last beat failed in part: %s', left(errors::text, 300))
    else format('its last beat was %s s ago', greatest(0, round(age))) end
  from (select extract(epoch from p_now - last_pulse_at) as age, errors from scheduler.pulse_state) as state;
$function$
;
comment on function scheduler.check_pulse(timestamp with time zone) is 'Whether the pulse has beaten in the last 90 seconds, and without an error.';
revoke all on function scheduler.check_pulse(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_rights()
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with tables as (
    select c.oid, format('%I.%I', nspname, relname) as name, relrowsecurity, nspname
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = relnamespace
    where relkind = 'r' and (nspname = 'scheduler' or nspname = 'public' and relname like 'scheduler\_%')
  ), open_tables as (
    select name || ' to ' || role as fault from tables, unnest(array['anon', 'authenticated']) as role
    where has_table_privilege(role, oid, 'select,insert,update,delete')
  ), open_functions as (
    select format('%s to %s', p.oid::regprocedure, role) as fault
    from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = pronamespace,
      unnest(array['anon', 'authenticated']) as role
    where nspname = 'public' and (proname like 'scheduler\_%' or proname = 'try_mark_daily_run')
      and has_function_privilege(role, p.oid, 'execute')
  )
  select 'row level security', case when count(*) = 0 then 'ok' else 'failed' end,
    case when count(*) = 0 then 'on for every table' else 'off for ' || string_agg(name, ', ' order by name) end
  from tables where not relrowsecurity
  union all
  select 'grants', case when count(*) = 0 then 'ok' else 'failed' end,
    case when count(*) = 0 then 'nothing is open to anon and authenticated'
      else 'open: ' || string_agg(fault, ', ' order by fault) end
  from (table open_tables union all table open_functions) as found
  union all
  select 'schema scheduler', case when bool_or(has_schema_privilege(role, 'scheduler', 'usage')) then 'failed' else 'ok'
      end,
    coalesce('open to ' || string_agg(role, ', ') filter (where has_schema_privilege(role, 'scheduler', 'usage')),
      'closed to the roles of the API')
  from unnest(array['anon', 'authenticated', 'service_role']) as role;
$function$
;
comment on function scheduler.check_rights() is 'Whether row level security is on, and nothing of the scheduler is open to anon and authenticated.';
revoke all on function scheduler.check_rights() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_tables()
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select 'tables', case when count(missing) = 0 then 'ok' else 'failed' end,
    coalesce('missing: ' || string_agg(missing, ', ' order by missing), 'all there')
  from (
    select wanted as missing from unnest(array['scheduler_jobs', 'scheduler_runs', 'scheduler_locks', 'scheduler_state',
      'scheduler_settings', 'scheduler_activity', 'scheduler_audit', 'scheduler_groups', 'scheduler_incidents',
      'scheduler_breakers', 'scheduler_calendars', 'scheduler_calendar_spans', 'scheduler_budgets',
      'scheduler_alert_channels', 'scheduler_alert_rules', 'scheduler_alerts', 'scheduler_alert_deliveries',
      'scheduler_operators']) as wanted
    where to_regclass('public.' || wanted) is null) as gone;
$function$
;
comment on function scheduler.check_tables() is 'Whether the public tables of the scheduler are there.';
revoke all on function scheduler.check_tables() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.check_vault()
 RETURNS SETOF scheduler.check_result
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_fault text;
begin
  select coalesce(
      scheduler.secret_fault('project_url', max(decrypted_secret) filter (where name = 'project_url'), 1),
      scheduler.project_url_fault(max(decrypted_secret) filter (where name = 'project_url')),
      scheduler.secret_fault('cron_secret', max(decrypted_secret) filter (where name = 'cron_secret'), 32))
    into v_fault from vault.decrypted_secrets where name in ('project_url', 'cron_secret');
  return next ('Vault', case when v_fault is null then 'ok' else 'failed' end,
    coalesce(v_fault, 'project_url and cron_secret are there'))::scheduler.check_result;
exception when others then
  return next ('Vault', 'failed', scheduler.hosts_only(sqlerrm))::scheduler.check_result;
end;
$function$
;
comment on function scheduler.check_vault() is 'Whether Vault holds the project''s URL and a cron secret that can be sent.';
revoke all on function scheduler.check_vault() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.checked_job(p_job scheduler_jobs)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := p_job;
  v_fault text;
begin
  if p_job.name is null or p_job.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a job: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(p_job.name), 'null'));
  end if;
  v_fault := scheduler.job_fault(p_job);
  if v_fault is null then
    perform scheduler.assert_time_zone(v_job.time_zone);
    if v_job.schedule is not null then
      -- An entry of the same schedule is right: dispatch compiles it again before an occurrence that it does not cover.
      v_job.cron_entry := coalesce((
        select cron_entry from public.scheduler_jobs
        where name = p_job.name and schedule = p_job.schedule and time_zone = p_job.time_zone),
        scheduler.compile_schedule(p_job.schedule, p_job.time_zone));
      v_fault := case when v_job.cron_entry is null then format('the schedule %L never occurs', v_job.schedule) end;
    end if;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: %s', v_job.name, v_fault);
  end if;
  v_job.run_if := scheduler.catalogue_name(v_job.run_if);
  v_job.defer_if := scheduler.catalogue_name(v_job.defer_if);
  return v_job;
end;
$function$
;
comment on function scheduler.checked_job(scheduler_jobs) is 'The job with its pg_cron entry, its run_if and its defer_if as the catalogue names them. Raises 22023 for a value that cannot be registered.';
revoke all on function scheduler.checked_job(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.clock_changes(p_schedule text, p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(changes_at timestamp with time zone, change text, first_time timestamp without time zone, last_time timestamp without time zone, times bigint, follows_real_clock boolean)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
begin
  perform scheduler.require_time_zone(p_time_zone);
  if v_parsed.interval_seconds is not null then
    return;  -- on a grid from the epoch, whatever a clock shows
  end if;
  return query
  with moves as (
    select starts_at, case when utc_offset > offset_before then 'skipped' else 'repeated' end as becomes,
      starts_at at time zone 'UTC' + least(utc_offset, offset_before) as local_from,
      starts_at at time zone 'UTC' + greatest(utc_offset, offset_before) as local_to
    from scheduler.offset_periods(p_time_zone, p_from, p_to) where utc_offset <> offset_before
  ), met as (
    select starts_at, becomes, day + make_interval(hours => hour, mins => minute) as local_time, local_from, local_to
    from moves, lateral scheduler.matching_dates(v_parsed, local_from, local_to),
      unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute
  )
  select starts_at, becomes, min(local_time), max(local_time), count(*), v_parsed.follows_real_clock
  from met where local_time >= local_from and local_time < local_to
  group by starts_at, becomes order by starts_at;
end;
$function$
;
comment on function scheduler.clock_changes(text,text,timestamp with time zone,timestamp with time zone) is 'The changes of the zone''s clock between two moments that skip or repeat times of the schedule: when, which of the two, the first and last of those local times and how many they are. Skipped times run once, at changes_at, and repeated ones at their first showing; a schedule of every hour (follows_real_clock) runs at what the clock shows. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.clock_changes(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.close_breaker(p_job_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_breaker public.scheduler_breakers;
begin
  perform scheduler.assert_given(format('close the breaker of %s', p_job_name), 'reason and author',
    format('select scheduler.close_breaker(%L, ''why'', ''who'')', p_job_name), p_reason, p_author);
  select * into v_breaker from public.scheduler_breakers where job_name = p_job_name for update;
  if v_breaker.opened_at is null then
    return format('the breaker of %s is %s', v_job.name, case when v_job.breaker_failures is null
      then 'not there: it is registered without breaker_failures' else 'closed' end);
  end if;
  update public.scheduler_breakers set failures = 0, opened_at = null, tried_by = null where job_name = p_job_name;
  perform scheduler.forget_waiting(v_job.name, '{breaker}');
  perform scheduler.wake_jobs(array[v_job.name], 'epoch');
  perform scheduler.audit('close_breaker', 'job', v_job.name, p_reason, p_author,
    jsonb_build_object('opened_at', v_breaker.opened_at, 'failures', v_breaker.failures), null, p_now);
  return format('the breaker of %s is closed; what waits is sent with the next pulse', v_job.name);
end;
$function$
;
comment on function scheduler.close_breaker(text,text,text,timestamp with time zone) is 'Closes the job''s breaker, with a reason and an author. Raises SD001 for an unknown job; 22023 for a missing reason or author.';
revoke all on function scheduler.close_breaker(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.close_unanswered(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_count integer;
begin
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
  select count(*) into v_count from closed;
  return v_count;
end;
$function$
;
comment on function scheduler.close_unanswered(timestamp with time zone) is 'Gives up on the answers to runs that are over and were dispatched too long ago, unless one lies unread. Returns how many.';
revoke all on function scheduler.close_unanswered(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.command_hash(p_command text, p_without jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select encode(sha256(convert_to(coalesce(string_agg(letter, '' order by place), ''), 'UTF8')), 'hex')
  from unnest(string_to_array(p_command, null)) with ordinality as letters (letter, place)
  where not exists (
    select from jsonb_array_elements(p_without) as part
    where place >= (part ->> 0)::integer and place < (part ->> 0)::integer + (part ->> 1)::integer);
$function$
;
comment on function scheduler.command_hash(text,jsonb) is 'SHA-256 of a command without those parts of it: [[place of the first character, from 1 on, number of characters]].';
revoke all on function scheduler.command_hash(text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compile_days(p_needed scheduler.utc_values, p_must_both_match boolean, p_has_signs boolean, p_from date)
 RETURNS text[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_every_day constant integer[] := array(select generate_series(1, 31));
  v_every_weekday constant integer[] := array[0, 1, 2, 3, 4, 5, 6];
  -- Which dates a plain day field alone would match is chance here; what signs need is known.
  v_both_restricted constant boolean := (p_must_both_match or p_has_signs) and p_needed.all_days_of_month <> v_every_day
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
        and p_needed.days_of_week not in (v_every_weekday, '{}')
        then p_needed.days_of_month end, p_needed.days_of_week, false, ''),
      -- Dates of a sign may all be covered by the other field already.
      (case when p_has_signs and not p_must_both_match and p_needed.other_days_of_month <> '{}'
        and p_needed.days_of_week not in (v_every_weekday, '{}')
        then p_needed.other_days_of_month end, p_needed.days_of_week, false, ''),
      (case when p_has_signs and not p_must_both_match and p_needed.days_of_month <> v_every_day
        and p_needed.other_days_of_week <> '{}'
        then nullif(p_needed.days_of_month, '{}') end, p_needed.other_days_of_week, false, ''),
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
$function$
;
comment on function scheduler.compile_days(scheduler.utc_values,boolean,boolean,date) is 'The texts of the day-of-month, month and day-of-week fields that cover what is needed on the fewest dates of 20 years; the shortest of those.';
revoke all on function scheduler.compile_days(scheduler.utc_values,boolean,boolean,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compile_interval(p_seconds integer)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_step integer;
begin
  if p_seconds % 60 <> 0 then
    return format('%s seconds', greatest(1, least(p_seconds / 2, 59)));
  end if;
  v_step := (
    select max(step) from unnest(array[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440])
      as step
    where p_seconds / 60 % step = 0);
  return case
    when v_step = 1 then '* * * * *'
    when v_step < 60 then format('*/%s * * * *', v_step)
    when v_step = 60 then '0 * * * *'
    when v_step < 1440 then format('0 */%s * * *', v_step / 60)
    else '0 0 * * *' end;
end;
$function$
;
comment on function scheduler.compile_interval(integer) is 'pg_cron''s entry for a schedule of so many seconds: where it is whole minutes, the longest period of minutes that divides it; else half of it, at most 59 seconds.';
revoke all on function scheduler.compile_interval(integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compile_schedule(p_schedule text, p_time_zone text, p_from timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  if v_parsed.interval_seconds is not null then
    return scheduler.compile_interval(v_parsed.interval_seconds);
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
    if v_parsed.days_must_both_match and cardinality(v_parsed.days_of_week) = 7
      and v_parsed.signs_of_month is null then
      v_needed.all_days_of_week := v_parsed.days_of_week;
    end if;
    v_days := scheduler.compile_days(v_needed, v_parsed.days_must_both_match,
      v_parsed.signs_of_month is not null or v_parsed.signs_of_week is not null, (p_from at time zone 'UTC')::date);
  end if;
  return concat_ws(' ', scheduler.format_schedule_field(v_needed.minutes, 0, 59),
    scheduler.format_schedule_field(v_needed.hours, 0, 23), v_days[1], v_days[2], v_days[3]);
end;
$function$
;
comment on function scheduler.compile_schedule(text,text,timestamp with time zone) is 'The smallest UTC entry for pg_cron that covers every occurrence in the 20 years from p_from (41 with day signs); null when there is none. It may name more minutes than there are occurrences: dispatch asks next_occurrence. An interval has an entry of `N seconds` unless it is whole minutes. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.compile_schedule(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compiled_span(p_parsed scheduler.parsed_schedule)
 RETURNS interval
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return case when p_parsed.signs_of_month is null and p_parsed.signs_of_week is null then interval '20 years'
    else interval '41 years' end;
end;
$function$
;
comment on function scheduler.compiled_span(scheduler.parsed_schedule) is 'For how long an entry covers every occurrence.';
revoke all on function scheduler.compiled_span(scheduler.parsed_schedule) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.continuous_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_continuous_alive', json_agg(scheduler.is_alive(jobs, p_now)::integer order by name)))
  from public.scheduler_jobs as jobs
  where continuous and enabled;
$function$
;
comment on function scheduler.continuous_metrics(timestamp with time zone) is 'A value a continuous job, by job_name.';
revoke all on function scheduler.continuous_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.continuous_run(p_job scheduler_jobs, p_last scheduler_runs, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  -- Each run has a name of its own, also where two begin within a microsecond or the clock goes back.
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'continuous',
    greatest(p_now, p_last.scheduled_for + interval '1 microsecond'));
  -- Not later than now, also where the clock went back.
  v_ended_at constant timestamptz := least(p_last.completed_at, p_now);
begin
  v_run.max_attempts := 1;
  v_run.interval_from := p_last.scheduled_for;
  if p_last.status = 'failed' then
    v_run.failures := least(p_last.failures + 1, 1000000);
    v_run.run_after := v_ended_at + scheduler.failure_wait(p_job, v_run.failures, random());
  elsif p_last.result -> 'idle' = 'true' and p_last.status = 'completed' then
    v_run.run_after := v_ended_at + make_interval(secs => p_job.idle_seconds);
  end if;
  -- It has waited for long enough where the job was stopped meanwhile.
  if v_run.run_after <= p_now then
    v_run.run_after := null;
  elsif v_run.run_after is not null then
    v_run.waiting := scheduler.wait_facts(case p_last.status when 'failed' then 'retry' else 'idle' end, null, p_now,
      v_run.run_after);
  end if;
  return v_run;
end;
$function$
;
comment on function scheduler.continuous_run(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'The run that follows p_last: at once; the idle time after its end when it said it was idle; a growing wait after its end when it failed. Writes nothing: see add_runs.';
revoke all on function scheduler.continuous_run(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.contradiction(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select format('%s and %s contradict each other: %s', one, other, reason)
    from (values
      (p_job.continuous and p_job.overlap_policy <> 'skip', 'schedule => ''@continuous''', 'overlap_policy',
        'a continuous job has exactly one run under way, so it must be ''skip'''),
      (p_job.continuous and p_job.jitter_seconds > 0, 'schedule => ''@continuous''', 'jitter_seconds',
        'there is no occurrence to send later'),
      (p_job.continuous and p_job.receipt <> 'function', 'schedule => ''@continuous''', 'receipt',
        'a continuous job tells by its own receipt when it ends and whether it is idle, so it must be ''function'''),
      (p_job.schedule is null and not p_job.continuous and p_job.jitter_seconds > 0, 'schedule => null',
        'jitter_seconds', 'there is no occurrence to send later'),
      (p_job.jitter_seconds > 0 and p_job.jitter_seconds >= greatest(60, p_job.misfire_grace_seconds), 'jitter_seconds',
        'misfire_grace_seconds', 'an occurrence would be late before it is sent'),
      -- Null without an interval in seconds.
      (p_job.jitter_seconds >= scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')),
        'jitter_seconds', 'schedule', 'a run would be sent after the next occurrence'),
      (p_job.idle_seconds <> 30 and not p_job.continuous, 'idle_seconds', 'schedule',
        'only a continuous job is asked again after an idle time'),
      (p_job.defer_at_most_seconds <> 900 and p_job.defer_if is null, 'defer_at_most_seconds', 'defer_if',
        'nothing is put off'),
      (p_job.continuous and p_job.defer_if is not null, 'schedule => ''@continuous''', 'defer_if',
        'one run is always under way, so none can be put off'),
      (p_job.continuous and p_job.stretch_after is not null, 'schedule => ''@continuous''', 'stretch_after',
        'idle_seconds says when it is asked again'),
      (p_job.schedule is null and p_job.stretch_after is not null, 'schedule => null', 'stretch_after',
        'there is no occurrence to leave out'),
      (p_job.stretch_after is not null and p_job.receipt <> 'function', 'stretch_after', 'receipt',
        'only a function''s own receipt says that it found nothing, so it must be ''function'''),
      ((p_job.stretch_after is null) <> (p_job.stretch_at_most_seconds is null), 'stretch_after',
        'stretch_at_most_seconds', 'each needs the other'),
      (p_job.stretch_at_most_seconds < 2 * scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')),
        'stretch_at_most_seconds', 'schedule', 'no occurrence would ever be left out'),
      (p_job.parallel_least is not null and p_job.parallel_limit is null, 'parallel_least', 'parallel_limit',
        'without a most there is nothing to choose from'),
      (p_job.parallel_least > p_job.parallel_limit, 'parallel_least', 'parallel_limit',
        'the least is more than the most'),
      (p_job.breaker_cooldown_seconds <> 300 and p_job.breaker_failures is null, 'breaker_cooldown_seconds',
        'breaker_failures', 'without a number of failures there is no breaker'),
      (p_job.dependency_timeout_seconds <> 21600 and p_job.depends_on = '{}', 'dependency_timeout_seconds',
        'depends_on', 'nothing is waited for'),
      (p_job.on_dependency_timeout <> 'skip' and p_job.depends_on = '{}', 'on_dependency_timeout', 'depends_on',
        'nothing is waited for'),
      (p_job.on_dependency_failure <> 'skip' and p_job.depends_on = '{}', 'on_dependency_failure', 'depends_on',
        'nothing is waited for'),
      (p_job.key_limit is not null and p_job.overlap_policy <> 'allow', 'key_limit', 'overlap_policy',
        'without ''allow'' one run is under way whatever its key'),
      (p_job.key_limit > p_job.parallel_limit, 'key_limit', 'parallel_limit',
        'so many runs with one key can never be under way')
    ) as contradictions (holds, one, other, reason)
    where holds limit 1);
end;
$function$
;
comment on function scheduler.contradiction(scheduler_jobs) is 'The first two of a job''s values that contradict each other, as a sentence that names both; null when none do.';
revoke all on function scheduler.contradiction(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.coordination_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select json_build_array(
    scheduler.metric_group('{}', scheduler.metric('scheduler_incident_seconds', coalesce((
      select round(extract(epoch from greatest(interval '0', p_now - started_at)), 3) from public.scheduler_incidents
      where ended_at is null), 0))),
    scheduler.breaker_metrics(p_now), scheduler.continuous_metrics(p_now), scheduler.waiting_metrics(p_now),
    scheduler.group_metrics(), scheduler.parallel_metrics(), scheduler.stretch_metrics());
$function$
;
comment on function scheduler.coordination_metrics(timestamp with time zone) is 'What a scrape shows of breakers, continuous jobs, waiting runs, groups, limits, stretched jobs and incidents.';
revoke all on function scheduler.coordination_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cost_forecast(p_plan scheduler_plans, p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with series as (
    select array_agg(day order by day) as days, array_agg(sent order by day) as sent,
      array_agg(seconds order by day) as seconds, coalesce(sum(sent) filter (where day >= p_today - 30), 0) as calls,
      coalesce(sum(seconds) filter (where day >= p_today - 30), 0) as wall
    from scheduler.project_days(p_today - 91, p_today)
  ), months as (
    select series.*, scheduler.month_ahead(series.days, sent, p_today) as calls_ahead,
      scheduler.month_ahead(series.days, seconds, p_today) as wall_ahead,
      -- The middle of the month that begins on that day is half a month later.
      scheduler.arrival_of(trend, p_plan.invocations_included / 30.0::float8 - 15 * trend.slope, p_today) as over
    from series, scheduler.trend_of(series.days, sent, p_today) as trend
  )
  select jsonb_build_object('plan', p_plan.plan, 'source', p_plan.source, 'looked_up_on', p_plan.looked_up_on,
    'invocations', jsonb_build_object('last_30_days', calls, 'ahead', calls_ahead,
      'included', p_plan.invocations_included, 'exceeds_on', case
        when (calls_ahead ->> 'next_30_days')::numeric > p_plan.invocations_included then p_today
        else (over).on_day end, 'earliest', (over).earliest, 'latest', (over).latest),
    'wall_seconds', jsonb_build_object('last_30_days', wall, 'ahead', wall_ahead,
      'included', p_plan.wall_seconds_included),
    'usd', scheduler.plan_price(p_plan, (calls_ahead ->> 'next_30_days')::numeric,
      (wall_ahead ->> 'next_30_days')::numeric))
  from months;
$function$
;
comment on function scheduler.cost_forecast(scheduler_plans,date) is 'Calls of edge functions and seconds of work by all jobs: in the last 30 days and in the next; what the plan includes, when that is exceeded, and what the next 30 days cost above it (null: too few days, or the plan does not sell so many).';
revoke all on function scheduler.cost_forecast(scheduler_plans,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cost_sentence(p_cost jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select format('%s calls of edge functions and %s seconds of work in the last 30 days', calls ->> 'last_30_days',
      p_cost #>> '{wall_seconds,last_30_days}')
    || case when jsonb_typeof(calls -> 'ahead') = 'null' then '; what comes is said from 14 days on'
      else format(', %s calls%s in the next', calls #>> '{ahead,next_30_days}',
          scheduler.between_text(calls #>> '{ahead,least}', calls #>> '{ahead,most}'))
        || coalesce('; the plan ' || (p_cost ->> 'plan') || ' includes ' || (calls ->> 'included'), '')
        || coalesce(', fewer than the 30 days from ' || (calls ->> 'exceeds_on')
          || scheduler.between_text(calls ->> 'earliest', calls ->> 'latest') || ' on have', '')
        || case when p_cost ->> 'plan' is null then ''
          when jsonb_typeof(p_cost -> 'usd') = 'null' then ', and sells no more'
          when (p_cost ->> 'usd')::numeric = 0 then ''
          else format(': %s USD more', p_cost ->> 'usd') end
        || format(' (by %s days)', calls #>> '{ahead,days}') end
  from (select p_cost -> 'invocations' as calls) as parts;
$function$
;
comment on function scheduler.cost_sentence(jsonb) is 'What cost_forecast found, as a sentence.';
revoke all on function scheduler.cost_sentence(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_ended_run()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  v_duration_place constant integer := 1 + width_bucket(coalesce(new.duration_ms, 0) - 1,
    scheduler.timing_bounds_ms());
  v_lag_place constant integer := 1 + width_bucket(least(v_lag_ms, 1000000000)::integer - 1,
    scheduler.timing_bounds_ms());
begin
  update scheduler.run_counters as counters set
    completed = counters.completed + (new.status = 'completed')::integer,
    failed = counters.failed + (new.status = 'failed')::integer,
    cancelled = counters.cancelled + (new.status = 'cancelled')::integer,
    deferred = counters.deferred + (new.status = 'deferred')::integer,
    skipped = counters.skipped + (new.status = 'skipped')::integer,
    left_out = case when new.status = 'skipped' then counters.left_out || jsonb_build_object(new.skip_kind,
      coalesce((counters.left_out ->> new.skip_kind)::bigint, 0) + 1) else counters.left_out end,
    lost = counters.lost + (new.verdict = 'lost')::integer,
    retries = counters.retries + (new.trigger = 'retry' and new.dispatched_at is not null)::integer,
    duration_counts[v_duration_bucket] = counters.duration_counts[v_duration_bucket] + v_began,
    durations[v_duration_place] = counters.durations[v_duration_place] + v_began,
    duration_sum_ms = counters.duration_sum_ms + coalesce(new.duration_ms, 0),
    fire_lag_counts[v_lag_bucket] = counters.fire_lag_counts[v_lag_bucket] + v_fired,
    fire_lags[v_lag_place] = counters.fire_lags[v_lag_place] + v_fired,
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
  if found then
    perform scheduler.count_in_day(new);
  end if;
  return null;
end;
$function$
;
comment on function scheduler.count_ended_run() is 'Trigger: counts a run when it comes to its end, however it ended. count_left_out counts occurrences that are recorded as skipped or missed.';
revoke all on function scheduler.count_ended_run() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_from_zero()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  delete from scheduler.rollups where job_name = new.job_name;
  if tg_op = 'INSERT' then
    insert into scheduler.rollups (job_name, taken_at, step, completed, failed, deferred, cancelled, skipped, missed,
      lost, retries, durations, duration_sum_ms, fire_lags, fire_lag_sum_ms)
    values (new.job_name, now(), interval '24 hours', new.completed, new.failed, new.deferred, new.cancelled,
      new.skipped, new.missed, new.lost, new.retries, new.durations, new.duration_sum_ms, new.fire_lags,
      new.fire_lag_sum_ms);
  end if;
  return null;
end;
$function$
;
comment on function scheduler.count_from_zero() is 'Trigger: a job''s first copy is that of its registration. Counters that somebody has lowered have nothing to do with the copies from before.';
revoke all on function scheduler.count_from_zero() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_grid(p_seconds integer, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return greatest(0, ceil(extract(epoch from p_to) / p_seconds) - ceil(extract(epoch from p_from) / p_seconds));
end;
$function$
;
comment on function scheduler.count_grid(integer,timestamp with time zone,timestamp with time zone) is 'How many moments in [p_from, p_to) p_seconds since the epoch divide.';
revoke all on function scheduler.count_grid(integer,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_in_day(p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_day constant date := scheduler.utc_day(p_run.completed_at);
  -- Null is 0; negative it can be where somebody wrote so.
  v_ms constant integer := greatest(p_run.duration_ms, 0);
  v_is_timed constant boolean := scheduler.is_timed(p_run);
  v_hour constant integer := case when v_is_timed then scheduler.hour_of_day(p_run.started_at, v_day) end;
  v_goes_early constant integer := (p_run.status in ('completed', 'skipped', 'deferred'))::integer;
begin
  for try in 1 .. 2 loop
    update scheduler.job_days as days set
      completed = days.completed + (p_run.status = 'completed')::integer,
      failed = days.failed + (p_run.status = 'failed')::integer,
      deferred = days.deferred + (p_run.status = 'deferred')::integer,
      cancelled = days.cancelled + (p_run.status = 'cancelled')::integer,
      skipped = days.skipped + (p_run.status = 'skipped')::integer,
      verdicts = scheduler.counted(days.verdicts, p_run.verdict, 1),
      sent = days.sent + (p_run.dispatched_at is not null and p_run.function_name is not null)::integer,
      wall_ms = days.wall_ms + v_ms,
      success_rows = days.success_rows + v_goes_early,
      failure_rows = days.failure_rows + 1 - v_goes_early,
      durations = case when v_is_timed then scheduler.counted(days.durations, scheduler.duration_place(v_ms))
        else days.durations end,
      shortest_ms = case when v_is_timed then least(days.shortest_ms, v_ms) else days.shortest_ms end,
      longest_ms = case when v_is_timed then greatest(days.longest_ms, v_ms) else days.longest_ms end,
      hour_runs = case when v_hour is not null then scheduler.counted(days.hour_runs, v_hour)
        else days.hour_runs end,
      hour_ms = case when v_hour is not null then scheduler.added(days.hour_ms, v_hour, v_ms) else days.hour_ms end,
      figures = case when p_run.status = 'completed' and jobs.figures <> '{}'
        then scheduler.add_figures(days.figures, jobs.figures, p_run.result) else days.figures end
    from public.scheduler_jobs as jobs
    where jobs.name = p_run.job_name and days.job_name = p_run.job_name and days.day = v_day;
    exit when found;
    insert into scheduler.job_days (job_name, day) values (p_run.job_name, v_day) on conflict do nothing;
  end loop;
end;
$function$
;
comment on function scheduler.count_in_day(scheduler_runs) is 'Adds a run that ended to its job''s day. The caller holds the row of the job''s counters.';
revoke all on function scheduler.count_in_day(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_left_out()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  -- Back-fill writes occurrences anew that were counted when their gap was.
  if current_setting('daybook.opens_gap', true) = 'on'
    or not exists (select from written where status in ('skipped', 'missed')) then
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
  insert into scheduler.job_days as days (job_name, day, skipped, missed, verdicts, success_rows, failure_rows)
    select job_name, day, coalesce(sum(amount) filter (where status = 'skipped'), 0),
      coalesce(sum(amount) filter (where status = 'missed'), 0), jsonb_object_agg(verdict, amount),
      coalesce(sum(rows) filter (where status = 'skipped'), 0), coalesce(sum(rows) filter (where status = 'missed'), 0)
    from (
      select job_name, scheduler.utc_day(completed_at) as day, status, verdict, sum(occurrences) as amount,
        count(*) as rows
      from written where status in ('skipped', 'missed') group by 1, 2, 3, 4
    ) as sums
    where exists (select from scheduler.run_counters as counters where counters.job_name = sums.job_name)
    group by job_name, day order by job_name, day
    on conflict (job_name, day) do update set skipped = days.skipped + excluded.skipped,
      missed = days.missed + excluded.missed, verdicts = scheduler.merged_counts(days.verdicts, excluded.verdicts),
      success_rows = days.success_rows + excluded.success_rows,
      failure_rows = days.failure_rows + excluded.failure_rows;
  return null;
end;
$function$
;
comment on function scheduler.count_left_out() is 'Trigger: counts the occurrences that an insert records as skipped or missed, as many as each row stands for.';
revoke all on function scheduler.count_left_out() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_matching_days(p_parsed scheduler.parsed_schedule, p_from date, p_to date)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  if scheduler.is_every_date(p_parsed) then
    return greatest(p_to - p_from, 0);
  end if;
  return (
    select count(*) from scheduler.matching_dates(p_parsed, p_from, p_to::timestamp - interval '1 day'));
end;
$function$
;
comment on function scheduler.count_matching_days(scheduler.parsed_schedule,date,date) is 'How many dates in [p_from, p_to) the month and day fields match.';
revoke all on function scheduler.count_matching_days(scheduler.parsed_schedule,date,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_occurrences(p_schedule text, p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_parsed constant scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_count bigint := 0;
  v_period record;
  v_listed_to timestamptz;
  v_from timestamp;
  v_to timestamp;
begin
  if v_parsed.interval_seconds is not null then
    perform scheduler.require_time_zone(p_time_zone);
    return scheduler.count_grid(v_parsed.interval_seconds, p_from, p_to);
  end if;
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
$function$
;
comment on function scheduler.count_occurrences(text,text,timestamp with time zone,timestamp with time zone) is 'How many occurrences lie in [p_from, p_to): what occurrences() would list, without listing them. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.count_occurrences(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.counted(p_counts integer[], p_place integer)
 RETURNS integer[]
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  p_counts[p_place] := coalesce(p_counts[p_place], 0) + 1;
  return p_counts;
end;
$function$
;
comment on function scheduler.counted(integer[],integer) is 'The counts with one more at that place.';
revoke all on function scheduler.counted(integer[],integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.counted(p_counts jsonb, p_key text, p_amount bigint)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select p_counts || jsonb_build_object(p_key, coalesce((p_counts ->> p_key)::bigint, 0) + p_amount);
$function$
;
comment on function scheduler.counted(jsonb,text,bigint) is 'The counts with so many more under that key.';
revoke all on function scheduler.counted(jsonb,text,bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cron_witness(p_run scheduler_runs)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select jsonb_build_object('fired_at', details.start_time, 'status', details.status,
      'message', left(details.return_message, 500))
    from (select * from cron.job_run_details order by runid desc limit 20000) as details
      join cron.job as entries on entries.jobid = details.jobid
    where entries.jobname = p_run.job_name and p_run.trigger in ('cron', 'catch_up')
      and details.start_time >= date_trunc('minute', p_run.scheduled_for)
      and details.start_time < date_trunc('minute', p_run.scheduled_for) + interval '1 minute'
    order by details.start_time limit 1);
exception when query_canceled then
  raise;
when others then
  return jsonb_build_object('error', sqlerrm);
end;
$function$
;
comment on function scheduler.cron_witness(scheduler_runs) is 'What pg_cron''s log has of the minute of the run''s occurrence; null where its newest 20,000 rows have nothing, another job''s entry took it along, or the run is of no occurrence; {"error"} where the log cannot be read.';
revoke all on function scheduler.cron_witness(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.cursor_of(p_job scheduler_jobs, p_old scheduler_jobs)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := p_job;
  v_has_same_times constant boolean :=
    (p_old.schedule, p_old.time_zone) is not distinct from (p_job.schedule, p_job.time_zone);
begin
  -- The cursor stays where it is unless the times themselves change or the job is switched on.
  if v_job.schedule is null then
    v_job.next_run_at := null;
  elsif v_has_same_times and (p_old.enabled or not v_job.enabled) and p_old.next_run_at is not null then
    v_job.next_run_at := p_old.next_run_at;
    v_job.previous_run_at := p_old.previous_run_at;
  else
    v_job.next_run_at := scheduler.next_occurrence(v_job.schedule, v_job.time_zone, now());
  end if;
  return v_job;
end;
$function$
;
comment on function scheduler.cursor_of(scheduler_jobs,scheduler_jobs) is 'The job with its cursor: that of its old row, or the next occurrence from now on.';
revoke all on function scheduler.cursor_of(scheduler_jobs,scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.day_sign_hint(p_field_name text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
  select case p_field_name
    when 'day of month' then 'L is the last day, L-1 to L-30 count back from it, LW is the last weekday (Monday to '
      'Friday), 15W the weekday nearest to the 15th; they stand alone or in a list, without ranges and steps'
    else '5L or friL is the last Friday of the month, 5#2 or fri#2 its second, from 1 to 5; they stand alone or in a '
      'list, without ranges and steps' end;
$function$
;
comment on function scheduler.day_sign_hint(text) is 'What the signs of a day field are, for a message.';
revoke all on function scheduler.day_sign_hint(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.days_of_month(p_parsed scheduler.parsed_schedule, p_length integer, p_first_weekday integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_every_day constant bigint := (1::bigint << (p_length + 1)) - 2;
  v_by_month bigint := 0;
  v_by_week bigint := 0;
  v_value integer;
  v_first integer;
begin
  if cardinality(p_parsed.days_of_month) = 31 then
    v_by_month := v_every_day;
  else
    foreach v_value in array p_parsed.days_of_month || p_parsed.signs_of_month loop
      v_by_month := v_by_month | (1::bigint << case
        when v_value > 100 then coalesce(scheduler.nearest_weekday(v_value - 100, p_length, p_first_weekday), 0)
        when v_value = 100 then scheduler.nearest_weekday(p_length, p_length, p_first_weekday)
        when v_value > 0 then v_value
        else greatest(p_length + v_value, 0) end);
    end loop;
  end if;
  if cardinality(p_parsed.days_of_week) = 7 then
    v_by_week := v_every_day;
  else
    foreach v_value in array p_parsed.days_of_week || p_parsed.signs_of_week loop
      v_first := 1 + (v_value % 10 - p_first_weekday + 7) % 7;
      v_by_week := v_by_week | case
        -- The same weekday up to five times, seven days apart.
        when v_value < 10 then b'10000001000000100000010000001'::bigint << v_first
        when v_value < 90 then 1::bigint << (v_first + 7 * (v_value / 10 - 1))
        else 1::bigint << (v_first + (p_length - v_first) / 7 * 7) end;
    end loop;
  end if;
  return array[v_by_month & v_every_day, v_by_week & v_every_day];
end;
$function$
;
comment on function scheduler.days_of_month(scheduler.parsed_schedule,integer,integer) is 'The days that a schedule''s day of month and its day of week name, in a month of p_length days that begins on p_first_weekday (Sunday is 0): two sets, kept as bits, bit 1 for the 1st.';
revoke all on function scheduler.days_of_month(scheduler.parsed_schedule,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.defer_hold(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_at_most constant interval := make_interval(secs => p_job.defer_at_most_seconds);
  v_from constant timestamptz := scheduler.put_off_from(p_run, p_now);
  -- The one that goes next may be younger than others, and would hold them up.
  v_first_due constant timestamptz := case when scheduler.is_backfill(p_run) then v_from
    else scheduler.first_due(p_job, p_run) end;
begin
  -- Before it was due the clock was set back.
  if p_now < v_first_due or p_now >= v_first_due + v_at_most then
    return null;
  elsif scheduler.is_to_wait(p_job, p_now) then
    return ('defer_if', p_job.defer_if, v_from + v_at_most, null)::scheduler.hold;
  elsif p_run.waiting ->> 'for' = 'defer_if' then
    perform scheduler.end_putting_off(p_job, p_run, p_now);
  end if;
  return null;
end;
$function$
;
comment on function scheduler.defer_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'A hold while the job''s defer_if says true and the oldest run that waits has not been due for defer_at_most_seconds; else null. The caller holds the job''s row lock.';
revoke all on function scheduler.defer_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.delivery_outcome(p_status integer)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_status between 200 and 299 then 'delivered'
    -- 409: Resend still is at work on a request with the same key.
    when p_status in (408, 409, 425, 429) or p_status >= 500 then 'again'
    when p_status is not null then 'failed'
    else 'again' end;
$function$
;
comment on function scheduler.delivery_outcome(integer) is 'What an answer says of a message: delivered; again, where it may have got lost or was refused for now; failed, where a repeat would be refused as well.';
revoke all on function scheduler.delivery_outcome(integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.delivery_wait(p_tries integer, p_retry_after text)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select make_interval(secs => least(3600, greatest(15 * power(2, least(p_tries, 7) - 1),
    case when p_retry_after ~ '^[0-9]{1,6}(\.[0-9]+)?$' then p_retry_after::numeric else 0 end)));
$function$
;
comment on function scheduler.delivery_wait(integer,text) is 'How long to wait after so many tries: 15 s, doubled each time, or as long as the answer''s Retry-After says; an hour at most.';
revoke all on function scheduler.delivery_wait(integer,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependencies_note(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select nullif(concat_ws('; ',
    'waits for ' || string_agg(name, ', ' order by place) filter (where answer = 'wait'),
    'will be skipped unless a run completes of ' || string_agg(name, ', ' order by place)
      filter (where answer = 'skip')), '')
  from (
    select name, place, scheduler.dependency_answer(scheduler.newest_state(name, p_at),
      scheduler.is_to_come(name, p_at), not enabled or scheduler.stop_now(jobs, p_at) is not null,
      p_job.on_dependency_failure) as answer
    from unnest(p_job.depends_on) with ordinality as needed (needed_name, place)
      join public.scheduler_jobs as jobs on name = needed_name) as answers;
$function$
;
comment on function scheduler.dependencies_note(scheduler_jobs,timestamp with time zone) is 'Which of the job''s dependencies an occurrence to come waits for, and because of which it will be skipped, as things stand; null when it has to wait for none.';
revoke all on function scheduler.dependencies_note(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependency_answer(p_state text, p_to_come boolean, p_is_stopped boolean, p_policy text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_to_come or p_state in ('open', 'deferred') then 'wait'
    when p_state is null or p_state = 'completed' then 'go'
    when p_is_stopped then 'wait'
    when p_policy = 'run' then 'go'
    else 'skip' end;
$function$
;
comment on function scheduler.dependency_answer(text,boolean,boolean,text) is 'What a dependency says to a run: go, wait or skip; by the state of its newest occurrence (null: it was never due), whether one is to come, whether it is paused, stopped or disabled, and the policy for failures.';
revoke all on function scheduler.dependency_answer(text,boolean,boolean,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependency_circle(p_job_name text, p_depends_on text[])
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  -- For each job that was reached, the one that depends on it and was reached first.
  v_needed_by jsonb := (
    select coalesce(jsonb_object_agg(needed, p_job_name), '{}') from unnest(p_depends_on) as needed
    where needed is not null);
  v_further jsonb := v_needed_by;
  v_at text := p_job_name;
  v_circle text := p_job_name;
begin
  while v_further <> '{}' and not v_needed_by ? p_job_name loop
    select coalesce(jsonb_object_agg(needed, name order by name desc), '{}') into v_further
      from public.scheduler_jobs, lateral unnest(depends_on) as needed
      where v_further ? name and not v_needed_by ? needed;
    v_needed_by := v_needed_by || v_further;
  end loop;
  if (v_needed_by ? p_job_name) is not true then
    return null;
  end if;
  loop
    v_at := v_needed_by ->> v_at;
    v_circle := v_at || ' -> ' || v_circle;
    exit when v_at = p_job_name;
  end loop;
  return v_circle;
end;
$function$
;
comment on function scheduler.dependency_circle(text,text[]) is 'The shortest circle that these dependencies of the job would close, as a -> b -> a; null when they close none.';
revoke all on function scheduler.dependency_circle(text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependency_fault(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_unknown constant text := (
    select string_agg(quote_literal(needed), ', ') from unnest(p_job.depends_on) as needed
    where needed is distinct from p_job.name and not exists (select from public.scheduler_jobs where name = needed));
  v_continuous constant text := (
    select name from public.scheduler_jobs where name = any (p_job.depends_on) and continuous order by name limit 1);
  v_without constant text := (
    select name from public.scheduler_jobs
    where name = any (p_job.depends_on) and schedule is null and not continuous and depends_on = '{}'
    order by name limit 1);
  v_circle constant text := scheduler.dependency_circle(p_job.name, p_job.depends_on);
begin
  return case
    when array_position(p_job.depends_on, null) is not null then 'depends_on must hold names of jobs, got null'
    when v_unknown is not null then format('depends_on must name registered jobs, got %s; the jobs are: %s', v_unknown,
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_jobs))
    when cardinality(p_job.depends_on) > (select count(distinct needed) from unnest(p_job.depends_on) as needed)
      then format('depends_on names a job twice: %s', array_to_string(p_job.depends_on, ', '))
    when v_circle is not null then format('depends_on closes a circle: %s', v_circle)
    when v_continuous is not null then format('nobody can depend on a continuous job, and %s is one', v_continuous)
    when v_without is not null then format('nobody can depend on %s: it has neither a schedule nor dependencies, so '
      'nothing of it ever comes due', v_without)
    when p_job.schedule is null and not p_job.continuous and p_job.depends_on = '{}' and p_job.dependents <> '{}'
      then format('nothing of it would ever come due, and %s depends on it', array_to_string(p_job.dependents, ', '))
    when p_job.continuous and p_job.dependents <> '{}'
      then format('nobody can depend on a continuous job, and %s does', array_to_string(p_job.dependents, ', '))
  end;
end;
$function$
;
comment on function scheduler.dependency_fault(scheduler_jobs) is 'The first thing that is wrong with a job''s dependencies; null when nothing is.';
revoke all on function scheduler.dependency_fault(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependency_hold(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_until constant timestamptz := scheduler.waiting_since(p_run, 'dependency', p_now)
    + make_interval(secs => p_job.dependency_timeout_seconds);
  v_needed record;
  v_hold scheduler.hold;
begin
  for v_needed in
    select name, state, scheduler.dependency_answer(state, scheduler.is_to_come(name, p_run.scheduled_for),
      not enabled or scheduler.stop_now(jobs, p_now) is not null, p_job.on_dependency_failure) as answer
    from unnest(p_job.depends_on) with ordinality as needed (needed_name, place)
      join public.scheduler_jobs as jobs on name = needed_name,
      lateral scheduler.newest_state(name, p_run.scheduled_for) as state
    order by place
  loop
    if v_needed.answer = 'skip' then
      return ('dependency', v_needed.name, null, format('dependency: %s %s', v_needed.name,
        case v_needed.state when 'failed' then 'failed' else 'was ' || v_needed.state end))::scheduler.hold;
    elsif v_needed.answer = 'wait' and v_hold.kind is null then
      v_hold := ('dependency', v_needed.name, v_until, null)::scheduler.hold;
    end if;
  end loop;
  if v_hold.kind is not null and v_until <= p_now then
    if p_job.on_dependency_timeout = 'run' then
      return null;
    end if;
    v_hold.skip_reason := format('dependency: %s had not completed after %s s', v_hold.name,
      p_job.dependency_timeout_seconds);
  end if;
  return v_hold;
end;
$function$
;
comment on function scheduler.dependency_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'What the dependencies of a run say together: a hold to skip where one failed for good and the policy is skip, or where the time to wait is over; a hold to wait where one has not completed; else null.';
revoke all on function scheduler.dependency_hold(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dependent_run(p_job scheduler_jobs, p_occurrence timestamp with time zone, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'dependency', p_occurrence);
  v_label constant text := scheduler.calendar_label(p_job, p_occurrence);
begin
  v_run.interval_from := (
    select max(scheduled_for) from public.scheduler_runs
    where job_name = p_job.name and scheduled_for < p_occurrence and trigger = 'dependency');
  v_run.skip_kind := coalesce(scheduler.stop_now(p_job, p_now), case when v_label is not null then 'calendar' end);
  if v_run.skip_kind is not null then
    return scheduler.skipped_run(p_job, v_run, v_run.skip_kind, v_label, p_now);
  end if;
  -- What holds back those that wait already holds back this one.
  v_run.waiting := scheduler.own_wait(p_job, scheduler.line_waits_for(p_job, p_now), p_occurrence);
  return v_run;
end;
$function$
;
comment on function scheduler.dependent_run(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'The run of a job without a schedule for an occurrence of one of its dependencies: queued, or skipped as the job is stopped or by its calendars. Writes nothing: see add_runs.';
revoke all on function scheduler.dependent_run(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.deviation(p_values double precision[])
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select sum(abs(value - middle)) from unnest(p_values) as value, scheduler.median(p_values) as middle;
$function$
;
comment on function scheduler.deviation(double precision[]) is 'The sum of the distances from the median.';
revoke all on function scheduler.deviation(double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.dispatch(p_job_name text, p_now timestamp with time zone DEFAULT now())
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  v_leads boolean;
  v_opens boolean;
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
  v_opens := scheduler.opens_line();
  v_run_id := (scheduler.advance_job(p_job_name, true, p_now) ->> 'run')::uuid;
  if exists (select from public.scheduler_runs where status = 'missed' and completed_at = p_now) then
    perform scheduler.name_failed_dispatches(p_now);
  end if;

  -- pg_net sends what is committed when it wakes, at most 200 requests, and then sleeps a second: all due
  -- jobs leave in one batch. The entries that waited find their jobs' cursors moved. Recording a long outage takes tens
  -- of milliseconds a job: each job's own entry or the pulse does that, so that no receipt waits for all of them.
  v_others := array(
    select name from public.scheduler_jobs
    where v_leads and enabled and next_run_at <= p_now and next_run_at > p_now - interval '5 minutes'
      and name <> p_job_name
    order by next_run_at, name limit 199);
  if cardinality(v_others) > 0 then
    perform scheduler.advance_jobs(v_others, array(select scheduler.jobs_to_hear(p_now, v_others)), p_now);
  end if;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  return v_run_id;
end;
$function$
;
comment on function scheduler.dispatch(text,timestamp with time zone) is 'What pg_cron calls. Starts the job''s occurrence that is due at p_now and returns its run; null when none is due or it was dispatched already. Takes along what else is due and less than 5 minutes late, up to 200 jobs. Safe to call any number of times at once. Raises SD001 for an unknown job.';
revoke all on function scheduler.dispatch(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.duration_place(p_ms bigint)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select ceil(ln(greatest(p_ms, 1)::float8) / ln(1.05::float8))::integer;
$function$
;
comment on function scheduler.duration_place(bigint) is 'The place of a duration in job_days.durations. Place n has those above 1.05^(n - 1) ms, up to 1.05^n ms: each bound is 5 % above the one before.';
revoke all on function scheduler.duration_place(bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.duration_text(p_seconds numeric)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_seconds < 120 then scheduler.count_text(greatest(0, round(p_seconds))::bigint, 'second')
    when p_seconds < 7200 then format('%s minutes', round(p_seconds / 60))
    when p_seconds < 172800 then format('%s hours', round(p_seconds / 3600))
    else format('%s days', round(p_seconds / 86400)) end;
$function$
;
comment on function scheduler.duration_text(numeric) is 'How long so many seconds are, as people say it.';
revoke all on function scheduler.duration_text(numeric) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.duration_trend(p_job_name text, p_today date)
 RETURNS scheduler.trend
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.trend_of(array_agg(day order by day), array_agg(p95 order by day), p_today)
  from (
    select day, scheduler.percentile_ms(durations, 0.95, shortest_ms, longest_ms) as p95
    from scheduler.job_days
    where job_name = p_job_name and day >= p_today - 182 and day < p_today and durations <> '{}') as days
  having max(day) >= p_today - 14;
$function$
;
comment on function scheduler.duration_trend(text,date) is 'How the p95 of a day''s durations stands and moves, in milliseconds, by half a year.';
revoke all on function scheduler.duration_trend(text,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.durations_of(p_job_name text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select to_jsonb(sample) from scheduler.sample_durations(p_job_name, 100) as sample;
$function$
;
comment on function scheduler.durations_of(text) is 'How long those of the job''s 100 newest runs took that began.';
revoke all on function scheduler.durations_of(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.effective_priority(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS numeric
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  -- Back-filled runs go behind the live ones however long they have waited.
  return p_run.priority + case when scheduler.is_backfill(p_run) then 0
    else greatest(0, floor(extract(epoch from p_now - p_run.scheduled_for) / p_job.priority_ages_after_seconds)) end;
end;
$function$
;
comment on function scheduler.effective_priority(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'A run''s priority and a step for each priority_ages_after_seconds that it has waited.';
revoke all on function scheduler.effective_priority(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_adoption()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_missing text;
begin
  select string_agg(distinct job_name, ', ') into v_missing from scheduler.adopted_entries
    where adopted_at = now() and job_name not in (select name from public.scheduler_jobs);
  if v_missing is not null then
    raise exception using errcode = '22023',
      message = format('cannot adopt the entries: no job was registered in their place: %s', v_missing),
      hint = 'register it under the name that the list of adopt_entries has';
  end if;
  -- What came due since the transaction began was started by the old entries.
  update public.scheduler_jobs set next_run_at = scheduler.next_occurrence(schedule, time_zone, clock_timestamp())
    where name in (select job_name from scheduler.adopted_entries where adopted_at = now() and registered)
      and enabled and next_run_at <= clock_timestamp();
end;
$function$
;
comment on function scheduler.end_adoption() is 'Ends what adopt_entries began in this transaction: raises 22023 when a job that takes the place of entries is not registered, and lets the jobs begin where the entries ended.';
revoke all on function scheduler.end_adoption() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_incident(p_author text, p_ramp_seconds integer DEFAULT 60, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_incident public.scheduler_incidents;
  v_job public.scheduler_jobs;
  v_held text[];
  v_jobs bigint := 0;
begin
  perform scheduler.assert_given('end the incident', 'author', 'select scheduler.end_incident(''who'')', p_author);
  if p_ramp_seconds is null or p_ramp_seconds not between 0 and 86400 then
    raise exception using errcode = '22023', message = format('cannot end the incident: ramp_seconds must be from 0 to '
      '86400, got %s', coalesce(p_ramp_seconds::text, 'null'));
  end if;
  -- All rows are locked before any is worked on, which locks dependents out of this order.
  v_held := case when scheduler.lock_registry_soon() then scheduler.lock_for_incident() else array['the registry'] end;
  if v_held <> '{}' then
    raise exception using errcode = 'SD105',
      message = format('cannot end the incident: other transactions hold %s', array_to_string(v_held, ', ')),
      hint = 'wait for them or end them: select pid, xact_start, query from pg_stat_activity where state <> ''idle'' '
        'order by xact_start; select pg_terminate_backend(pid)';
  end if;
  update public.scheduler_incidents
    set ended_at = p_now, ended_by = left(btrim(p_author), 200), ramp_seconds = p_ramp_seconds
    where ended_at is null returning * into v_incident;
  if not found then
    return 'no incident lasts';
  end if;
  for v_job in select * from public.scheduler_jobs order by name loop
    -- Occurrences that came due while it lasted are recorded first.
    perform scheduler.try_record_due(v_job, p_now);
    v_jobs := v_jobs + 1;
  end loop;
  -- It may have been called by a clock that was ahead and went back.
  update public.scheduler_jobs as jobs set stopped_at = least(stopped_at, p_now),
    stopped_until = greatest(least(stopped_at, p_now) + interval '1 microsecond',
      p_now + make_interval(secs => coalesce(p_ramp_seconds * place::numeric / nullif(v_jobs - 1, 0), 0)))
    from (select name, coalesce(place, v_jobs - 1) as place from public.scheduler_jobs
      left join scheduler.resume_order() on job_name = name) as ordered
    where ordered.name = jobs.name;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs;
  -- What they wait for was stopped, too, and goes first.
  perform scheduler.wait_anew(jobs, stopped_until) from public.scheduler_jobs as jobs where depends_on <> '{}';
  perform scheduler.wake_jobs(array[name], stopped_until) from public.scheduler_jobs where stopped_until is not null;
  perform scheduler.audit('end_incident', 'scheduler', 'all jobs', null, p_author,
    jsonb_build_object('started_at', v_incident.started_at, 'by', v_incident.started_by, 'reason', v_incident.reason),
    jsonb_build_object('ramp_seconds', p_ramp_seconds), p_now);
  perform scheduler.log_activity('scheduler', format('the incident was ended by %s; jobs are resumed within %s s',
    btrim(p_author), p_ramp_seconds), p_now => p_now);
  return format('%s run again within %s s, each after those it depends on', scheduler.count_text(v_jobs, 'job'),
    p_ramp_seconds);
end;
$function$
;
comment on function scheduler.end_incident(text,integer,timestamp with time zone) is 'Ends the incident: the jobs are resumed in the order of their dependencies, roots first, spread over p_ramp_seconds. What came due in it stays skipped. Takes a few seconds at most: raises SD105 when other transactions hold rows of jobs for longer; 22023 for a missing author or a ramp outside 0 to 86400.';
revoke all on function scheduler.end_incident(text,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_putting_off(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_hold constant scheduler.hold := case
    when scheduler.takes_lock(p_job) then ('lock', p_job.name, null, null)::scheduler.hold
    when p_job.parallel_limit is not null then ('parallel_limit', null, null, null)::scheduler.hold end;
begin
  update public.scheduler_runs as runs
    set waiting = case when v_hold.kind is null then waiting -> 'dependency' else scheduler.wait_for(runs, v_hold,
      p_now) end
    where job_name = p_job.name and status = 'queued' and run_after is null and id <> p_run.id
      and waiting ->> 'for' = 'defer_if';
end;
$function$
;
comment on function scheduler.end_putting_off(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'As the job''s defer_if lets a run go that was put off: those behind it wait for their turn. The caller holds the job''s row lock.';
revoke all on function scheduler.end_putting_off(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_run(p_run_id uuid, p_from text[], p_status text, p_verdict text, p_now timestamp with time zone, p_result jsonb DEFAULT NULL::jsonb, p_error_message text DEFAULT NULL::text, p_error_detail jsonb DEFAULT NULL::jsonb, p_retryable boolean DEFAULT true, p_send_next boolean DEFAULT true, p_resume_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_goes_on boolean;
  v_opens boolean;
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
  v_goes_on := scheduler.add_following(v_job, v_run, p_retryable, p_resume_at, p_now);
  if v_job.stretch_after is not null or v_job.parallel_least is not null then
    perform scheduler.learn_from(v_job, v_run);
  end if;
  if not scheduler.is_plain(v_job) or v_job.dependents <> '{}' then
    v_opens := scheduler.opens_line();
    perform scheduler.let_go(v_job, v_run, v_goes_on, p_now);
  end if;
  if p_send_next and v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  return true;
end;
$function$
;
comment on function scheduler.end_run(uuid,text[],text,text,timestamp with time zone,jsonb,text,jsonb,boolean,boolean,timestamp with time zone) is 'Ends a run that is in one of the given statuses: releases its lock, plans what follows it (a retry; what a deferred run left, from p_resume_at on), writes its line into scheduler_activity if it matters, sends what waited for it. False, and nothing changed, when it is in no such status.';
revoke all on function scheduler.end_run(uuid,text[],text,text,timestamp with time zone,jsonb,text,jsonb,boolean,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_secret_rotation(p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.assert_given('end the rotation of the cron secret', 'reason and author',
    'select scheduler.end_secret_rotation(''why'', ''who'')', p_reason, p_author);
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  if scheduler.rotation_stage() = 'switched' then
    delete from vault.secrets where name = 'cron_secret_previous';
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'switched'), jsonb_build_object('stage', 'none'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$function$
;
comment on function scheduler.end_secret_rotation(text,text,timestamp with time zone) is 'Takes the old secret out of Vault. Does nothing unless the rotation is switched; returns its stage. The functions must refuse the old one before, and no request may carry it.';
revoke all on function scheduler.end_secret_rotation(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_stretch(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  update scheduler.stretches
    -- An occurrence that is due and has no row yet runs; in an outage the newest of those does.
    set idle_in_row = 0, asked_again_at = least(asked_again_at, greatest(p_job.next_run_at,
      scheduler.interval_start(p_job, p_now + interval '1 microsecond')))
    where job_name = p_job.name;
end;
$function$
;
comment on function scheduler.end_stretch(scheduler_jobs,timestamp with time zone) is 'The job is asked again at its next occurrence, and as often as before. The caller holds the job''s row lock.';
revoke all on function scheduler.end_stretch(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.end_try(p_delivery scheduler_alert_deliveries, p_outcome text, p_status integer, p_error text, p_retry_after text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_next constant timestamptz := p_now + scheduler.delivery_wait(p_delivery.tries, p_retry_after);
  v_status constant text := case
    when p_outcome <> 'again' then p_outcome
    when v_next > scheduler.give_up_at(p_delivery.event, p_delivery.written_at) then 'failed' else 'waiting' end;
begin
  update public.scheduler_alert_deliveries
    set status = v_status, response_status = p_status, error = left(p_error, 300),
      send_after = case v_status when 'waiting' then v_next else send_after end,
      finished_at = case when v_status <> 'waiting' then p_now end
    where id = p_delivery.id;
  if v_status = 'failed' then
    perform scheduler.log_activity('scheduler', format('an alert could not be delivered to the channel %s: %s',
      p_delivery.channel, coalesce(p_error, 'HTTP ' || p_status)), 'error',
      jsonb_build_object('delivery', p_delivery.id), p_now);
  end if;
end;
$function$
;
comment on function scheduler.end_try(scheduler_alert_deliveries,text,integer,text,text,timestamp with time zone) is 'Writes down how a try ended: done, failed, or to be tried again later.';
revoke all on function scheduler.end_try(scheduler_alert_deliveries,text,integer,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.enqueue_runs(p_job_name text, p_runs jsonb, p_run_after timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_fault text := scheduler.run_requests_fault(p_runs);
  v_first timestamptz;
  v_waiting jsonb;
begin
  if not isfinite(p_run_after) then
    v_fault := format('run_after must be a moment or null, got %s', p_run_after);
  elsif v_job.continuous then
    v_fault := 'it is continuous, and exactly one run of it is under way at any time';
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
  -- What holds back those that wait already holds back these.
  v_waiting := scheduler.own_wait(v_job, scheduler.line_waits_for(v_job, p_now), coalesce(v_first, p_now));
  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, receipt, payload, key,
    run_after, priority, turn, waiting
  )
  select v_job.name, v_job.function_name, 'queued', 'enqueued',
    coalesce(v_first, p_now) + (place - 1) * interval '1 microsecond', v_job.max_attempts, v_job.timeout_seconds,
    v_job.receipt, coalesce(nullif(payload, 'null'), v_job.payload), runs.key, p_run_after,
    coalesce(priority, v_job.priority),
    -- Runs without a key all come next to what is being served, so that a stream of them holds up no key.
    turns.next_turn + case when runs.key is null then 0
      else row_number() over (partition by runs.key order by place) - 1 end,
    case when p_run_after is not null then scheduler.wait_facts('retry', null, p_now, p_run_after) else v_waiting end
  from rows from (jsonb_to_recordset(p_runs) as (payload jsonb, key text, priority integer))
    with ordinality as runs (payload, key, priority, place)
    join scheduler.next_turns(v_job.name, p_runs) as turns
      on coalesce(turns.key, '') = coalesce(runs.key, '');
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
  return jsonb_array_length(p_runs);
end;
$function$
;
comment on function scheduler.enqueue_runs(text,jsonb,timestamp with time zone,timestamp with time zone) is 'Enqueues runs of the job, not before p_run_after; sends those that may go at once, the others follow as runs end. p_runs: a JSON array with an object for each run: "payload" (the job''s own when absent), "key", which names what the run is about (at most 200 characters) and is kept by its retries, and "priority", from -10 to 10 (the job''s own when absent; the highest goes first, and waiting raises it). Of one priority the keys take turns. Returns how many. Raises SD001 for an unknown job; 22023 for a continuous one, another list, or a p_run_after that is infinite.';
revoke all on function scheduler.enqueue_runs(text,jsonb,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entries_fault(p_entries jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select string_agg(format('%s %s', coalesce(entry ->> 'name', 'the one without a name'), case
      when exists (select from scheduler.find_entries(p_entries) as found where found.place = ordinality and is_kept)
        then 'was adopted already'
      when exists (
        select from cron.job where jobname is not distinct from entry ->> 'name' and username = entry ->> 'username')
        then 'was changed'
      else 'is gone' end), ', ' order by ordinality)
  from jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality)
  where not exists (
    select from scheduler.find_entries(p_entries) as found where found.place = ordinality and not is_kept);
$function$
;
comment on function scheduler.entries_fault(jsonb) is 'Which entries of the list are not in cron.job as they were read, and what became of each; null when all are.';
revoke all on function scheduler.entries_fault(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entry_covers(p_entry text, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.entry_needs_seconds(p_entry) or scheduler.next_occurrence(p_entry, 'UTC',
    date_trunc('minute', p_at) - interval '1 microsecond') = date_trunc('minute', p_at);
$function$
;
comment on function scheduler.entry_covers(text,timestamp with time zone) is 'Whether that UTC cron entry fires in that minute; one of seconds does in each.';
revoke all on function scheduler.entry_covers(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entry_needs_seconds(p_entry text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$ select p_entry like '%seconds' $function$
;
comment on function scheduler.entry_needs_seconds(text) is 'Whether an entry of compile_schedule needs a pg_cron that knows seconds, 1.5 or later.';
revoke all on function scheduler.entry_needs_seconds(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entry_values(p_entry jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  -- Under a name of its own: people may have registered what does not go with the entry.
  v_name constant text := left('daybook-' || md5(p_entry ->> 'name'), 63);
  v_target constant jsonb := coalesce(nullif(p_entry -> 'target', 'null'), p_entry -> 'name');
  v_values jsonb;
begin
  begin
    perform scheduler.register_entry('scheduler', p_entry || jsonb_build_object('name', v_name, 'target', v_target));
    select scheduler.registered_values(jobs) into v_values from public.scheduler_jobs as jobs where name = v_name;
    raise exception using errcode = 'P0001';  -- undoes it
  exception when raise_exception then
    if v_values is null then
      raise;
    end if;
  end;
  return v_values;
end;
$function$
;
comment on function scheduler.entry_values(jsonb) is 'What the job of an entry of schedules.json would be registered with. Raises what register_entry raises.';
revoke all on function scheduler.entry_values(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.errors_of(p_job_name text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('failed', coalesce(max(counters.failed), 0), 'missed', coalesce(max(counters.missed), 0),
    'lost', coalesce(max(counters.lost), 0), 'failed_in_row', coalesce(max(counters.failed_in_row), 0),
    'missed_in_row', coalesce(max(counters.missed_in_row), 0),
    'last', (
      select jsonb_build_object('run_id', id, 'at', completed_at, 'verdict', verdict,
        'message', left(error_message, 500))
      from (
        select * from public.scheduler_runs where job_name = p_job_name order by created_at desc limit 100) as newest
      where status in ('failed', 'missed') limit 1))
  from scheduler.run_counters as counters where job_name = p_job_name;
$function$
;
comment on function scheduler.errors_of(text) is 'How many runs of the job failed, were missed or lost since it was registered, how many in a row, and the last one among its 100 newest runs.';
revoke all on function scheduler.errors_of(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.explain_facts(p_job_name text, p_at timestamp with time zone, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
  v_run public.scheduler_runs;
  v_at timestamptz;
  v_exact timestamptz;
  v_until timestamptz;
begin
  -- Far enough from the ends of the calendar to look for the occurrences around it.
  if p_at <= '4000-01-01 00:00+00 BC' or p_at >= '200000-01-01 00:00+00' then
    raise exception using errcode = '22023',
      message = format('cannot explain %s: at must be a moment, got %s', p_job_name, p_at),
      hint = format('select scheduler.explain(%L, ''2026-03-01 02:30-05'')', p_job_name);
  end if;
  -- Without a time: the latest there is.
  v_at := coalesce(
    p_at,
    (select scheduled_for from public.scheduler_runs
      where job_name = p_job_name order by created_at desc, scheduled_for desc, attempt desc limit 1),
    p_now);
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  v_exact := scheduler.occurrence_near(v_job, v_at);
  v_at := coalesce(v_exact, date_trunc('minute', v_at));
  v_until := v_at + case when v_exact is null then interval '1 minute' else interval '1 microsecond' end;
  select runs.* into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for >= v_at and scheduled_for < v_until
    order by scheduler.origin(runs) = 'manual', scheduled_for desc, attempt desc
    limit 1;
  return jsonb_build_object('job', p_job_name, 'at', v_at, 'now', p_now, 'when', case when v_exact is null
      then scheduler.local_text(v_at, v_job.time_zone) else scheduler.local_second_text(v_at, v_job.time_zone) end)
    || case
      when v_run.occurrences > 1 then scheduler.gap_facts(v_job, v_run)
      when v_run.id is not null then scheduler.run_facts(v_job, v_run, p_now)
        || coalesce(case when p_at is null then scheduler.others_waiting(v_job, v_run, p_now) end, '{}')
      when v_job.name is null then jsonb_build_object('kind', 'unknown_job', 'jobs', coalesce(
        (select jsonb_agg(name order by name) from public.scheduler_jobs), '[]'))
      else scheduler.no_run_facts(v_job, v_at, v_until, p_now)
    end;
end;
$function$
;
comment on function scheduler.explain_facts(text,timestamp with time zone,timestamp with time zone) is 'What is known of a job at a minute, or at a second of an interval of seconds (its latest row when none is given): {"job", "at", "when", "kind"} and more by its kind: run, gap, not_registered_yet, no_schedule, not_due, disabled, to_come, not_recorded, left_out, no_work, no_row, unreadable, unknown_job. Raises 22023 for a time that is none (infinity).';
revoke all on function scheduler.explain_facts(text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.facts_of(p_job scheduler_jobs, p_errors jsonb, p_now timestamp with time zone)
 RETURNS scheduler.alert_facts
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_facts scheduler.alert_facts;
  v_unsuccessful_for timestamptz;
begin
  select failed_in_row, missed_in_row, unsuccessful_for
    into v_facts.failed_in_row, v_facts.missed_in_row, v_unsuccessful_for
    from scheduler.run_counters where job_name = p_job.name;
  v_facts.job_name := p_job.name;
  v_facts.continuous := p_job.continuous;
  v_facts.is_retrying := exists (
    select from public.scheduler_runs
    where job_name = p_job.name and scheduled_for = v_unsuccessful_for and status in ('queued', 'dispatched',
      'running'));
  select extract(epoch from p_now - min(scheduled_for) filter (where status = 'queued' and attempt = 1
      and trigger in ('cron', 'catch_up', 'dependency') and not scheduler.is_put_off(waiting, p_now))),
      extract(epoch from p_now - min(started_at) filter (where status = 'running'))
    into v_facts.waiting_seconds, v_facts.running_seconds
    from public.scheduler_runs
    where job_name = p_job.name and status in ('queued', 'dispatched', 'running');
  v_facts.overdue_seconds := extract(epoch from p_now - p_job.next_run_at);
  v_facts.is_down := p_job.continuous and not scheduler.is_alive(p_job, p_now);
  v_facts.breaker_state := (
    select scheduler.breaker_state(opened_at, p_job.breaker_cooldown_seconds, p_now) from public.scheduler_breakers
    where job_name = p_job.name and p_job.breaker_failures is not null);
  v_facts.dependency_timed_out := exists (select from scheduler.alert_events where job_name = p_job.name);
  if v_facts.running_seconds > 60 and not p_job.continuous then
    v_facts.usual_seconds := scheduler.usual_seconds(p_job.name);
  end if;
  v_facts.pulse_error := p_errors ->> p_job.name;
  v_facts.outgrows_in_days := (
    select outgrows_on - scheduler.utc_day(p_now) from scheduler.job_forecasts where job_name = p_job.name);
  return v_facts;
end;
$function$
;
comment on function scheduler.facts_of(scheduler_jobs,jsonb,timestamp with time zone) is 'What the rules see of a job, given what failed in the last pulse.';
revoke all on function scheduler.facts_of(scheduler_jobs,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.failure_change(p_job_name text, p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with days as (
    select day, failed::float8 as failed, (completed + failed)::float8 as judged,
      row_number() over (order by day desc) <= 7 as is_new
    from scheduler.job_days
    where job_name = p_job_name and day >= p_today - 91 and day < p_today and completed + failed > 0
  ), sides as (
    select count(*) as days, min(day) filter (where is_new) as since, max(day) as newest,
      scheduler.share_without_worst_day(array_agg(failed) filter (where is_new),
        array_agg(judged) filter (where is_new)) as now,
      scheduler.share_without_worst_day(array_agg(failed) filter (where not is_new),
        array_agg(judged) filter (where not is_new)) as before
    from days
  )
  select jsonb_build_object('kind', 'failure_rate', 'rises', (now).share > (before).share, 'since', since,
    'now', scheduler.share_facts(now), 'before', scheduler.share_facts(before), 'days', days)
  from sides
  where days >= 14 and newest >= p_today - 14
    and ((now).least > (before).most or (now).most < (before).least);
$function$
;
comment on function scheduler.failure_change(text,date) is 'Whether the last seven days on which the job ran had another failure rate than those before, by three months: their 99 % intervals do not meet, the worst day of each side left out. A finding, or null.';
revoke all on function scheduler.failure_change(text,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.failure_wait(p_job scheduler_jobs, p_failures integer, p_random double precision)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"). A job that has
  -- failed for years must not raise 2 to a power that no number holds.
  select make_interval(secs => greatest(1, p_random * least(
    p_job.backoff_cap_seconds, p_job.backoff_base_seconds * 2::numeric ^ least(p_failures - 1, 30))));
$function$
;
comment on function scheduler.failure_wait(scheduler_jobs,integer,double precision) is 'How long after that failure in a row the next attempt waits, by a random number from 0 to 1: at least a second.';
revoke all on function scheduler.failure_wait(scheduler_jobs,integer,double precision) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.failures_text(p_run scheduler_runs)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select format(', as %s: %s', case when p_run.failures = 1 then 'the run before it failed'
      else format('%s runs before it failed in a row, the last', p_run.failures) end,
    concat_ws(': ', verdict, scheduler.one_line(error_message, 200)))
  from public.scheduler_runs as runs
  where p_run.trigger = 'continuous' and p_run.failures > 0 and job_name = p_run.job_name and trigger = 'continuous'
    and scheduled_for < p_run.scheduled_for
  order by scheduled_for desc limit 1;
$function$
;
comment on function scheduler.failures_text(scheduler_runs) is 'Of a run of a continuous job that follows failures: how many, and the last, as the end of a sentence; else null.';
revoke all on function scheduler.failures_text(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.figure_trends(p_job scheduler_jobs, p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_object_agg(figure, jsonb_build_object('level', round((trend).level::numeric, 3),
    'a_day', round((trend).slope::numeric, 6), 'least_a_day', round((trend).slope_least::numeric, 6),
    'most_a_day', round((trend).slope_most::numeric, 6),
    'in_30_days', round(((trend).level + 30 * (trend).slope)::numeric, 3),
    'days', (trend).days, 'since', (trend).first_day)), '{}')
  from (
    select figure, scheduler.trend_of(array_agg(day order by day),
      array_agg((figures -> figure ->> 'sum')::float8 order by day), p_today) as trend
    from unnest(p_job.figures) as figure join scheduler.job_days
      on job_name = p_job.name and day >= p_today - 182 and day < p_today and figures ? figure
    group by figure having max(day) >= p_today - 14) as figures
  where (trend).days is not null;
$function$
;
comment on function scheduler.figure_trends(scheduler_jobs,date) is 'How the sum of a day of each figure that the job names stands and moves: {"rows": {"level", "a_day" …}}; a_day null where no trend is proven.';
revoke all on function scheduler.figure_trends(scheduler_jobs,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.figure_value(p_value jsonb)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when jsonb_typeof(p_value) = 'number' then case
    when abs((p_value #>> '{}')::numeric) <= 1000000000000000 then round((p_value #>> '{}')::numeric, 6) end end;
$function$
;
comment on function scheduler.figure_value(jsonb) is 'A figure of a result as a number with six decimals; null for what is no number, or beyond 10^15.';
revoke all on function scheduler.figure_value(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.figures_fault(p_figures text[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when cardinality(p_figures) > 5 then format('figures must be at most 5, got %s', cardinality(p_figures))
    else (
      select case when figure is null or figure !~ '^[A-Za-z_][A-Za-z0-9_-]{0,62}$' then format('figures must be names '
          'of fields of the result: 1 to 63 letters, digits, - and _, the first a letter or _, got %s',
          coalesce(quote_literal(left(figure, 100)), 'null'))
        else format('figures must be named once each, got %L twice', figure) end
      from unnest(p_figures) with ordinality as figures (figure, place)
      where figure is null or figure !~ '^[A-Za-z_][A-Za-z0-9_-]{0,62}$'
        or figure = any (p_figures[place + 1:])
      order by place limit 1) end;
$function$
;
comment on function scheduler.figures_fault(text[]) is 'What is wrong with the figures that a job names; null when nothing is.';
revoke all on function scheduler.figures_fault(text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.find_entries(p_entries jsonb)
 RETURNS TABLE(place bigint, is_kept boolean, id bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with wanted as (
    select ordinality as place, entry, entry -> 'without' as without, row_number() over (
        partition by entry - array['job', 'job_is'] order by ordinality) as copy
    from jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality)
  ), known as (
    select false as is_kept, jobid as id, jobname as name, schedule, command, username, active
    from cron.job where database = current_database()
    union all
    select true, id, name, schedule, command, username, active from scheduler.adopted_entries
  ), matches as (
    select wanted.place, known.is_kept, known.id, wanted.copy,
      row_number() over (partition by wanted.place, known.is_kept order by known.id) as number
    from wanted
    join known on known.name is not distinct from entry ->> 'name' and known.username = entry ->> 'username'
      and known.schedule = entry ->> 'schedule' and known.active = (entry ->> 'active')::boolean
      and scheduler.command_hash(known.command, without) = entry ->> 'command_sha256'
  )
  -- Entries without a name may be alike in all: each stands for one.
  select place, is_kept, id from matches where number = copy;
$function$
;
comment on function scheduler.find_entries(jsonb) is 'Where the entries of a list (as adopt_entries takes it) are: its place in the list, whether it was adopted, and its id there or in cron.job. An entry that is nowhere as it was read has no row.';
revoke all on function scheduler.find_entries(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.finding_sentence(p_job scheduler_jobs, p_finding jsonb, p_plan text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case p_finding ->> 'kind'
    when 'outgrows' then format(case when (p_finding ->> 'reached')::boolean
        then '%s is at %s%s%s: one run in twenty takes %s or longer%s'
        else '%s reaches %s on %s%s: one run in twenty takes %s or longer%s' end, p_job.name,
      format(case p_finding ->> 'limit' when 'timeout' then 'its timeout of %s' when 'interval' then 'its interval of '
        '%s'
        else 'the wall clock of %s of the plan ' || p_plan end, scheduler.ms_text((p_finding ->> 'limit_ms')::numeric)),
      case when not (p_finding ->> 'reached')::boolean then p_finding ->> 'on' end,
      scheduler.between_text(p_finding ->> 'earliest', p_finding ->> 'latest'),
      scheduler.ms_text((p_finding ->> 'p95_ms')::numeric),
      case when (p_finding ->> 'ms_a_day')::numeric > 0
        then format(', and %s more each day', scheduler.ms_text((p_finding ->> 'ms_a_day')::numeric)) else '' end)
    when 'failure_rate' then format('%s fails %s: %s of its runs since %s, %s before', p_job.name,
      case when (p_finding ->> 'rises')::boolean then 'more often' else 'less often' end,
      scheduler.percent_text((p_finding #>> '{now,rate}')::numeric), p_finding ->> 'since',
      scheduler.percent_text((p_finding #>> '{before,rate}')::numeric))
    when 'unusual_duration' then format('%s took %s on average at %s, where %s is usual, and %s to %s its range',
      p_job.name, scheduler.ms_text((p_finding ->> 'average_ms')::numeric),
      scheduler.local_text((p_finding ->> 'at')::timestamptz, p_job.time_zone),
      scheduler.ms_text((p_finding ->> 'usual_ms')::numeric), scheduler.ms_text((p_finding ->> 'least_ms')::numeric),
      scheduler.ms_text((p_finding ->> 'most_ms')::numeric)) end
    || format(' (by %s days)', p_finding ->> 'days');
$function$
;
comment on function scheduler.finding_sentence(scheduler_jobs,jsonb,text) is 'A finding as a sentence; p_plan is the name of the plan that it was made with.';
revoke all on function scheduler.finding_sentence(scheduler_jobs,jsonb,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.finish_run(p_run_id uuid, p_outcome text, p_result jsonb DEFAULT NULL::jsonb, p_error_message text DEFAULT NULL::text, p_error_detail jsonb DEFAULT NULL::jsonb, p_retryable boolean DEFAULT true, p_resume_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
begin
  if p_outcome is null or p_outcome not in ('completed', 'failed', 'deferred', 'timed_out', 'interrupted') then
    raise exception using errcode = '22023',
      message = format('cannot finish a run: outcome must be completed, failed, deferred, timed_out or interrupted, '
        'got %s', coalesce(p_outcome, 'null'));
  end if;
  if p_outcome = 'deferred' and isfinite(p_resume_at) is not true then
    raise exception using errcode = '22023',
      message = format('cannot finish a run: one that is deferred must say from when it goes on, got %s',
        coalesce(p_resume_at::text, 'null'));
  end if;
  if scheduler.end_run(
    p_run_id, array['running'],
    case when p_outcome in ('completed', 'deferred') then p_outcome else 'failed' end,
    case p_outcome when 'completed' then 'ok' when 'failed' then 'job_error' else p_outcome end,
    p_now, p_result, p_error_message, p_error_detail, p_retryable, p_resume_at => p_resume_at
  ) then
    return jsonb_build_object('finished', true);
  end if;
  select * into v_run from public.scheduler_runs where id = p_run_id;
  return jsonb_build_object('finished', false, 'reason', case
    when v_run.id is null then 'unknown run'
    when v_run.completed_at is null then 'not begun'
    else format('already over: %s (%s)', v_run.status, v_run.verdict) end);
end;
$function$
;
comment on function scheduler.finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone,timestamp with time zone) is 'The last receipt. Ends a running run as completed, failed (timed_out and interrupted are failures with that verdict) or deferred (its continuation goes on from p_resume_at) and plans its retry. {"finished": false, "reason"}, and nothing changed, when the run is not running. Raises 22023 for an unknown outcome, or a deferred run without a moment to go on at.';
revoke all on function scheduler.finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.first_asked(p_job scheduler_jobs)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce((
    select asked_again_at from scheduler.stretches
    where job_name = p_job.name and p_job.next_run_at > asked_for and p_job.next_run_at < asked_again_at),
    p_job.next_run_at);
$function$
;
comment on function scheduler.first_asked(scheduler_jobs) is 'The first occurrence from the job''s cursor on that is not left out.';
revoke all on function scheduler.first_asked(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.first_due(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET enable_sort TO 'off'
AS $function$
begin
  return least(p_run.scheduled_for, (
    select scheduled_for from public.scheduler_runs
    where job_name = p_job.name and status = 'queued' and run_after is null and trigger <> 'manual'
      and priority <> scheduler.backfill_priority()
    order by scheduled_for, attempt limit 1));
end;
$function$
;
comment on function scheduler.first_due(scheduler_jobs,scheduler_runs) is 'When the oldest of the job''s runs was due that may go, of those that are neither back-filled nor a person''s, or the run itself if it is older.';
revoke all on function scheduler.first_due(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.follow(p_job_name text, p_occurrences timestamp with time zone[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
begin
  if not scheduler.try_lock_job(p_job_name) then
    insert into scheduler.wakes (job_name, wake_at, scheduled_for)
      select p_job_name, 'epoch', at from unnest(p_occurrences || null::timestamptz) as at;
    return;
  end if;
  select * into v_job from public.scheduler_jobs where name = p_job_name;
  if v_job.name is null or v_job.continuous then
    return;
  end if;
  if not scheduler.try_record_dependent(v_job, p_occurrences, p_now) then
    return;
  end if;
  perform scheduler.look_again(p_job_name, 'dependency');
  if v_job.enabled then
    perform scheduler.try_send_queued(v_job, p_now);
  end if;
end;
$function$
;
comment on function scheduler.follow(text,timestamp with time zone[],timestamp with time zone) is 'Has a dependent look at what it waits for: without a schedule it is given these occurrences first. One that somebody else holds is woken at the next pulse.';
revoke all on function scheduler.follow(text,timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.follow_all(p_job_names text[], p_occurrences timestamp with time zone[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_list jsonb := nullif(current_setting('daybook.to_follow', true), '')::jsonb;
  v_is_nested constant boolean := v_list is not null;
  v_opens boolean;
begin
  select coalesce(v_list, '[]') || coalesce(jsonb_agg(item), '[]') into v_list
    from unnest(p_job_names) as name,
      lateral jsonb_build_object('job', name, 'occurrences', to_jsonb(p_occurrences)) as item
    where not v_is_nested or not v_list @> jsonb_build_array(item);
  perform set_config('daybook.to_follow', v_list::text, true);
  if v_is_nested then
    return;
  end if;
  v_opens := scheduler.opens_line();
  while v_list <> '[]' loop
    perform set_config('daybook.to_follow', (v_list - 0)::text, true);
    perform scheduler.follow(v_list -> 0 ->> 'job', array(
      select at::timestamptz from jsonb_array_elements_text(v_list -> 0 -> 'occurrences') as at), p_now);
    v_list := current_setting('daybook.to_follow')::jsonb;
  end loop;
  perform set_config('daybook.to_follow', '', true);
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
end;
$function$
;
comment on function scheduler.follow_all(text[],timestamp with time zone[],timestamp with time zone) is 'scheduler.follow for each of the jobs, and for all that come to follow them. Called while it is at work it adds to the list, no more.';
revoke all on function scheduler.follow_all(text[],timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.follow_beyond(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.follow_all(array(
    with recursive beyond as (
      select name from unnest(p_job.dependents) as name
      union
      select next_name from beyond join public.scheduler_jobs as jobs using (name),
        lateral unnest(jobs.dependents) as next_name
      where jobs.schedule is null and not jobs.continuous
    )
    select name from beyond where name <> all (p_job.dependents) and exists (
      select from public.scheduler_runs
      where job_name = name and status = 'queued' and waiting ->> 'for' = 'dependency')), '{}', p_now);
end;
$function$
;
comment on function scheduler.follow_beyond(scheduler_jobs,timestamp with time zone) is 'After occurrences of a job came or were turned away: has those look again that wait for a job without a schedule which has its occurrences from this one. The caller holds the job''s row lock.';
revoke all on function scheduler.follow_beyond(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.follow_up(p_job scheduler_jobs, p_occurrences timestamp with time zone[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.follow_all(p_job.dependents, p_occurrences, p_now);
$function$
;
comment on function scheduler.follow_up(scheduler_jobs,timestamp with time zone[],timestamp with time zone) is 'After these occurrences of a job were recorded, or (none) one has ended: gives dependents without a schedule their occurrences, and sends what waited for the job. The caller holds the job''s row lock.';
revoke all on function scheduler.follow_up(scheduler_jobs,timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.following_run(p_job scheduler_jobs, p_run scheduler_runs, p_retryable boolean, p_resume_at timestamp with time zone, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_next public.scheduler_runs;
begin
  if not coalesce(p_job.enabled, false) then
    return null;
  elsif p_run.status = 'deferred' then
    -- A call by hand has told its caller; nobody waits for a continuation.
    if p_run.trigger = 'manual' and p_run.request_id is null then
      return null;
    end if;
    v_next := scheduler.next_attempt(p_run, 'deferred', p_run.failures);
    v_next.run_after := greatest(p_resume_at, p_now);
    v_next.waiting := scheduler.wait_facts('budget', p_run.error_detail ->> 'budget', p_now, v_next.run_after);
  elsif p_job.continuous then
    if p_run.trigger in ('continuous', 'deferred') and scheduler.stop_now(p_job, p_now) is null then
      return scheduler.continuous_run(p_job, p_run, p_now);
    end if;
  elsif p_run.status = 'failed' and p_retryable and p_run.failures + 1 < p_run.max_attempts then
    v_next := scheduler.next_attempt(p_run, 'retry', p_run.failures + 1);
    v_next.run_after := p_now + scheduler.failure_wait(p_job, v_next.failures, random());
    v_next.waiting := scheduler.wait_facts('retry', null, p_now, v_next.run_after);
  end if;
  return v_next;
end;
$function$
;
comment on function scheduler.following_run(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone,timestamp with time zone) is 'The run that follows one that has ended: its retry after a wait that grows, its continuation from p_resume_at on, the next one of a continuous job; null when none does. Writes nothing: see add_runs.';
revoke all on function scheduler.following_run(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.forecast(p_job text DEFAULT NULL::text)
 RETURNS TABLE(job text, kind text, on_day date, earliest date, latest date, days integer, sentence text)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_name constant text := case when p_job is not null then (scheduler.job_named(p_job)).name end;
begin
  return query
    select name, finding ->> 'kind', (finding ->> 'on')::date, (finding ->> 'earliest')::date,
      (finding ->> 'latest')::date, (finding ->> 'days')::integer, finding ->> 'sentence'
    from public.scheduler_jobs join scheduler.job_forecasts on job_name = name,
      jsonb_array_elements(forecast -> 'findings') with ordinality as findings (finding, place)
    where v_name is null or name = v_name
    order by (finding ->> 'on')::date, name, place;
  if v_name is not null and not found then
    return query
      select v_name, 'nothing', null::date, null::date, null::date, known, v_name || case
        when known is null then ': the pulse has made no forecast yet'
        when made.error is not null then ': ' || made.error
        when known >= 14 then format(': nothing is foreseen (by %s days)', known)
        else format(': what comes is said from 14 days on, %s are known', known) end
      from (
        select max((forecast ->> 'days')::integer) as known, max(forecast ->> 'error') as error
        from scheduler.job_forecasts where job_name = v_name) as made;
  elsif v_name is null then
    return query
      select null, parts.kind, parts.on_day, null::date, null::date, parts.known, parts.said
      from scheduler.project_forecast, lateral (values
        (1, 'ledger', (ledger ->> 'held_on')::date, (ledger ->> 'days')::integer,
          scheduler.ledger_sentence(ledger)),
        (2, 'cost', (cost #>> '{invocations,exceeds_on}')::date, (cost #>> '{invocations,ahead,days}')::integer,
          scheduler.cost_sentence(cost))) as parts (place, kind, on_day, known, said)
      order by place;
  end if;
end;
$function$
;
comment on function scheduler.forecast(text) is 'What is foreseen of a job (by its name or alias), or of all, the nearest day first, then of the ledger and of the cost: a row each, with the day, its interval, by how many days it is told, and a sentence. Made by the pulse, once a UTC day and when a job is changed. Raises SD001 for an unknown job.';
revoke all on function scheduler.forecast(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.forecast_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select json_build_array(
    (select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]'),
        'limit', coalesce(json_agg(outgrows_limit order by name), '[]')),
      scheduler.metric('scheduler_forecast_limit_days', json_agg(
        greatest(0, outgrows_on - scheduler.utc_day(p_now)) order by name)))
      from scheduler.job_forecasts join public.scheduler_jobs on name = job_name where outgrows_on is not null),
    (select scheduler.metric_group('{}',
      scheduler.metric('scheduler_forecast_invocations', (cost #>> '{invocations,ahead,next_30_days}')::numeric),
      scheduler.metric('scheduler_forecast_wall_seconds', (cost #>> '{wall_seconds,ahead,next_30_days}')::numeric),
      scheduler.metric('scheduler_ledger_rows', (ledger ->> 'rows')::numeric),
      scheduler.metric('scheduler_ledger_bytes', (ledger ->> 'bytes')::numeric))
      from (select true) as always left join scheduler.project_forecast on true));
$function$
;
comment on function scheduler.forecast_metrics(timestamp with time zone) is 'A value a job that reaches a limit, by job_name and limit, and those of the whole.';
revoke all on function scheduler.forecast_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.forget_adopted_entries(p_jobs text[] DEFAULT NULL::text[], p_reason text DEFAULT NULL::text, p_author text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_forgotten jsonb;
begin
  with forgotten as (
    delete from scheduler.adopted_entries where p_jobs is null or job_name = any (p_jobs) returning job_name, name
  )
  select jsonb_object_agg(job_name, entries) into v_forgotten
    from (select job_name, jsonb_agg(name order by name) as entries from forgotten group by job_name) as jobs;
  perform scheduler.audit('forget_adopted_entries', 'job', job_name, p_reason, coalesce(p_author, session_user::text),
    jsonb_build_object('entries', entries), null, clock_timestamp())
    from jsonb_each(v_forgotten) as jobs (job_name, entries);
  return coalesce((
    select sum(jsonb_array_length(entries)) from jsonb_each(v_forgotten) as jobs (job_name, entries)), 0);
end;
$function$
;
comment on function scheduler.forget_adopted_entries(text[],text,text) is 'Deletes what is kept of the entries that these jobs (null: all jobs) took the place of; how many. They cannot be put back any more; the jobs stay.';
revoke all on function scheduler.forget_adopted_entries(text[],text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.forget_waiting(p_job_name text, p_kinds text[])
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  -- What waited for a dependency before is looked at again.
  update public.scheduler_runs set waiting = waiting -> 'dependency'
  where job_name = p_job_name and status = 'queued' and waiting ->> 'for' = any (p_kinds);
$function$
;
comment on function scheduler.forget_waiting(text,text[]) is 'What waits of the job for one of these kinds does not any more: it is sent, or says what else holds it back, when the job next sends. The caller holds the job''s row lock.';
revoke all on function scheduler.forget_waiting(text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.free_slot(p_run_id uuid)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_freed scheduler.group_slots;
begin
  update scheduler.group_slots set run_id = null where run_id = p_run_id returning * into v_freed;
  delete from scheduler.group_slots where group_name = v_freed.group_name and slot = v_freed.slot
    and slot > (select parallel_limit from public.scheduler_groups where name = v_freed.group_name);
  return v_freed.group_name;
end;
$function$
;
comment on function scheduler.free_slot(uuid) is 'Gives back the slot that the run holds, which is gone where it is one over the limit; the group, null when it holds none.';
revoke all on function scheduler.free_slot(uuid) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.free_slots(p_group_name text)
 RETURNS SETOF integer
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return query
  select slot
  from (
    select slot, row_number() over (order by slot desc) as place from scheduler.group_slots
    where group_name = p_group_name and run_id is null) as free
  where place > (
    select count(*)
    from scheduler.group_slots as slots join public.scheduler_groups as groups on groups.name = slots.group_name
    where group_name = p_group_name and run_id is not null and slot > parallel_limit);
end;
$function$
;
comment on function scheduler.free_slots(text) is 'The slots of a group that runs may take, as far as this transaction sees.';
revoke all on function scheduler.free_slots(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.give_up_at(p_event text, p_written_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select p_written_at + case when p_event in ('test', 'status') then interval '5 minutes' else interval '1 day' end;
$function$
;
comment on function scheduler.give_up_at(text,timestamp with time zone) is 'Until when a message is tried.';
revoke all on function scheduler.give_up_at(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.group_fault(p_group scheduler_groups)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_group.name is null or p_group.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then format('name must be 1 to 63 of '
      'a-z, 0-9, - and _, the first a letter or digit, got %s', coalesce(quote_literal(p_group.name), 'null'))
    when p_group.parallel_limit not between 1 and 1000
      then format('parallel_limit must be from 1 to 1000, got %s', p_group.parallel_limit)
    when p_group.key_limit not between 1 and 1000
      then format('key_limit must be from 1 to 1000, got %s', p_group.key_limit)
    when p_group.key_limit > p_group.parallel_limit then 'key_limit and parallel_limit contradict each other: so many '
      'runs with one key can never be under way'
    when p_group.description is null then 'description must be a text, got null'
    when p_group.place is null then 'place must be a number, got null' end;
$function$
;
comment on function scheduler.group_fault(scheduler_groups) is 'The first thing that is wrong with a group''s values; null when nothing is.';
revoke all on function scheduler.group_fault(scheduler_groups) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.group_metrics()
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('group_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_group_limit', json_agg(parallel_limit order by name)),
    scheduler.metric('scheduler_group_under_way', json_agg(held order by name)))
  from public.scheduler_groups, lateral (
    select count(*) as held from scheduler.group_slots where group_name = name and run_id is not null) as slots
  where parallel_limit is not null;
$function$
;
comment on function scheduler.group_metrics() is 'A value a group that has a limit, by group_name.';
revoke all on function scheduler.group_metrics() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hand_over(p_is_idle boolean)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- After an idle time the next pulse sends the run, ten seconds later at the most.
  select case when p_is_idle then interval '13 seconds' else interval '3 seconds' end;
$function$
;
comment on function scheduler.hand_over(boolean) is 'How long after a run of a continuous job, or after its idle time, the next one may begin as if without a gap.';
revoke all on function scheduler.hand_over(boolean) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.has_free_slot(p_group_name text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select parallel_limit is null or exists (select from scheduler.free_slots(p_group_name))
    from public.scheduler_groups where name = p_group_name);
end;
$function$
;
comment on function scheduler.has_free_slot(text) is 'Whether one more run of the group may be under way, as far as this transaction sees.';
revoke all on function scheduler.has_free_slot(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.has_reached(p_trend scheduler.trend, p_limit double precision)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_trend.level
    -- The median of a fortnight is in doubt; of a trend that is proven all days say where it is.
    - case when p_trend.slope is null then 2.45 * p_trend.spread / sqrt(14) else 0 end
    -- A run that was stopped at its limit is told at most 2.5 % below it.
    >= 0.975 * p_limit;
end;
$function$
;
comment on function scheduler.has_reached(scheduler.trend,double precision) is 'Whether a figure is at a limit already: surely so, where there is no trend. Null of no trend at all.';
revoke all on function scheduler.has_reached(scheduler.trend,double precision) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.has_slots(p_job scheduler_jobs)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return p_job.group_name is not null and exists (
    select from public.scheduler_groups where name = p_job.group_name and parallel_limit is not null);
end;
$function$
;
comment on function scheduler.has_slots(scheduler_jobs) is 'Whether the job shares a limit with others of its group.';
revoke all on function scheduler.has_slots(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.has_work(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return p_job.run_if is null
    or scheduler.ask_function(format('whether %s has anything to do', p_job.name), 'run_if', p_job.run_if,
      p_occurrence);
end;
$function$
;
comment on function scheduler.has_work(scheduler_jobs,timestamp with time zone) is 'Whether the job has anything to do for that occurrence, by its run_if; true without one. Raises when it cannot be asked, naming the job, the run_if and the reason: 42883 when the function is gone, else the code that it failed with.';
revoke all on function scheduler.has_work(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.health_of_packs(p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_key scheduler.health_keys;
  v_value jsonb;
  v_values jsonb := jsonb_build_object();
begin
  for v_key in select * from scheduler.health_keys order by key loop
    begin
      execute format('select %s($1)', v_key.function_name) into v_value using p_now;
    exception when others then
      -- A pack that fails must not hide the others.
      v_value := jsonb_build_object('error', sqlerrm);
    end;
    v_values := v_values || jsonb_build_object(v_key.key, v_value);
  end loop;
  return v_values;
end;
$function$
;
comment on function scheduler.health_of_packs(timestamp with time zone) is 'The keys that packs add to the health, each with its value; {"error": why} where the function of a key failed.';
revoke all on function scheduler.health_of_packs(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.health_services(p_names text[], p_now timestamp with time zone)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('service', coalesce(jobs.alias, jobs.name), 'job', jobs.name, 'last_run', begun.at,
    'age_seconds', case when begun.at is not null then greatest(0, round(extract(epoch from p_now - begun.at))) end,
    'status', case when states.stalled then 'STALLED' else 'HEALTHY' end, 'state', states.state,
    'due_without_success', states.due_without_success)
  from scheduler.job_states(p_names, p_now) as states
    join public.scheduler_jobs as jobs on jobs.name = states.name
    join scheduler.last_begun(p_names) as begun on begun.job_name = states.name;
$function$
;
comment on function scheduler.health_services(text[],timestamp with time zone) is 'The health of each of these jobs: when it ran last, and HEALTHY or STALLED.';
revoke all on function scheduler.health_services(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hear_and_wake(p_job_name text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_told constant jsonb := scheduler.hear_job(p_job_name, p_now);
begin
  if v_told <> jsonb_build_object('answers', 0, 'judged', 0) then
    perform scheduler.wake_jobs(array[p_job_name], 'epoch');
  end if;
end;
$function$
;
comment on function scheduler.hear_and_wake(text,timestamp with time zone) is 'hear_job for those who do not send what waits: the next pulse does, where a run may have ended. The caller holds the job''s row lock.';
revoke all on function scheduler.hear_and_wake(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.heed_incident(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_incident public.scheduler_incidents;
begin
  select * into v_incident from public.scheduler_incidents where ended_at is null;
  if v_incident.id is null or p_job.stopped_at is not null and p_job.stopped_until is null then
    return p_job;
  end if;
  return scheduler.stop_job(p_job, v_incident, p_now);
end;
$function$
;
comment on function scheduler.heed_incident(scheduler_jobs,timestamp with time zone) is 'Stops a job whose row another transaction held when the incident that lasts was started. The caller holds the job''s row lock.';
revoke all on function scheduler.heed_incident(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.held_from(p_oldest timestamp with time zone, p_keep_days integer, p_today date)
 RETURNS date
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- A day early: pruning goes hourly, and a quiet night leaves no row.
  select greatest(p_today, scheduler.utc_day(p_oldest) + p_keep_days - 1) where p_keep_days <= 3650;
$function$
;
comment on function scheduler.held_from(timestamp with time zone,integer,date) is 'From when on as many rows go as come, by the oldest row and how long rows are kept: today when that is so already; null for more than ten years.';
revoke all on function scheduler.held_from(timestamp with time zone,integer,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.history_job(p_job text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_name constant text := coalesce((select name from public.scheduler_jobs where p_job in (name, alias) limit 1), (
    -- The runs of a job that was taken out stay in the ledger.
    select job_name from public.scheduler_runs where job_name = p_job limit 1));
begin
  if p_job is not null and v_name is null then
    perform scheduler.refuse_unknown_job(p_job);
  end if;
  return v_name;
end;
$function$
;
comment on function scheduler.history_job(text) is 'The name of the job of that name or alias, or of one that only the ledger has; null for null. Raises SD001 for any other name.';
revoke all on function scheduler.history_job(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.history_page(p_job text, p_status text, p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_id uuid, p_order text)
 RETURNS SETOF scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  -- Written for what is asked, so that the index of that order is read and no more than a page of it.
  return query execute format('select * from public.scheduler_runs where true %s %s %s %s %s order by %6$I desc, id desc
      limit 101',
    case when p_job is not null then 'and job_name = $1' end,
    case when p_status is not null then 'and status = $2' end,
    case when p_from is not null then format('and %I >= $3', p_order) end,
    case when p_to is not null then format('and %I < $4', p_order) end,
    case when p_at is not null then format('and (%I, id) < ($5, $6)', p_order) end, p_order)
    using p_job, p_status, p_from, p_to, p_at, p_id;
end;
$function$
;
comment on function scheduler.history_page(text,text,timestamp with time zone,timestamp with time zone,timestamp with time zone,uuid,text) is 'The first 101 runs of that job, status and time before the place (p_at, p_id), newest first by the column p_order.';
revoke all on function scheduler.history_page(text,text,timestamp with time zone,timestamp with time zone,timestamp with time zone,uuid,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hold_back(p_run scheduler_runs, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_is_new constant boolean := scheduler.waits_for_other(p_run, p_hold);
begin
  if scheduler.waits_alone((p_hold).kind) then
    perform scheduler.mark_waiting_alone(p_run, p_hold, p_now);
    return 'waits';
  end if;
  if v_is_new then
    perform scheduler.mark_waiting(p_run, p_hold, p_now);
  end if;
  -- A run that joined others that are put off has said its own time, for which there is no wake yet.
  if (p_hold).until is not null and (v_is_new or (p_hold).kind = 'defer_if' and not exists (
    select from scheduler.wakes where job_name = p_run.job_name and wake_at = (p_hold).until)) then
    perform scheduler.wake_jobs(array[p_run.job_name], (p_hold).until);
  end if;
  return 'full';
end;
$function$
;
comment on function scheduler.hold_back(scheduler_runs,scheduler.hold,timestamp with time zone) is 'Writes down what a run waits for: waits where it waits alone, full where all of its job does. The caller holds the job''s row lock.';
revoke all on function scheduler.hold_back(scheduler_runs,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hold_of(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_stop constant text := scheduler.stop_now(p_job, p_now);
  v_span public.scheduler_calendar_spans;
  v_hold scheduler.hold;
begin
  if p_run.trigger <> 'manual' then
    if v_stop is not null then
      return (v_stop, case v_stop when 'group_paused' then p_job.group_name end,
        scheduler.stop_until(p_job, v_stop), null)::scheduler.hold;
    end if;
    -- Occurrences in a span were skipped when they were recorded; other runs wait for its end.
    if p_job.calendars <> '{}' and p_run.trigger not in ('cron', 'catch_up', 'dependency', 'backfill') then
      v_span := scheduler.calendar_span(p_job, p_now);
      if v_span.calendar is not null then
        return ('calendar', v_span.calendar, v_span.ends_at at time zone p_job.time_zone, null)::scheduler.hold;
      end if;
    end if;
    if p_job.depends_on <> '{}' and (p_run.trigger = 'backfill'
      or p_run.attempt = 1 and p_run.trigger in ('cron', 'catch_up', 'dependency')) then
      v_hold := scheduler.dependency_hold(p_job, p_run, p_now);
    end if;
    if v_hold.kind is null and p_job.breaker_failures is not null then
      v_hold := scheduler.breaker_hold(p_job, p_run, p_now);
    end if;
    if v_hold.kind is null and p_job.defer_if is not null then
      v_hold := scheduler.defer_hold(p_job, p_run, p_now);
    end if;
  end if;
  if v_hold.kind is null then
    v_hold := scheduler.limit_hold(p_job, p_run);
  end if;
  if v_hold.kind is null and p_job.budgets <> '{}' then
    v_hold := scheduler.budget_hold(p_job, p_now);
  end if;
  return v_hold;
end;
$function$
;
comment on function scheduler.hold_of(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'What holds the run back, the first of: incident, pause, calendar, dependency, breaker, defer_if, group, key, budget; null when nothing does. The caller holds the job''s row lock.';
revoke all on function scheduler.hold_of(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hour_of_day(p_at timestamp with time zone, p_day date)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select hour from floor(extract(epoch from (p_at at time zone 'UTC') - p_day) / 3600) as hour
  where hour between -24 and 23;
$function$
;
comment on function scheduler.hour_of_day(timestamp with time zone,date) is 'In which hour of a UTC day a moment lies, -1 being the last of the day before; null on no other day.';
revoke all on function scheduler.hour_of_day(timestamp with time zone,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.hour_sizes(p_job scheduler_jobs, p_today date)
 RETURNS SETOF scheduler.hour_size
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  -- Materialized: without it the offsets of a day are looked up for each of its hours, which takes many times as long.
  with days as materialized (
    select day, hour_runs, hour_ms, array_lower(hour_runs, 1) as first_hour, day - date '2001-01-01' as number, zone,
      scheduler.offset_minutes(day, array_lower(hour_runs, 1), zone) as first_offset,
      scheduler.offset_minutes(day, array_upper(hour_runs, 1), zone) as last_offset
    from scheduler.job_days, scheduler.shown_time_zone(p_job.time_zone) as zone
    where job_name = p_job.name and day >= p_today - 43 and day < p_today and hour_runs <> '{}'
  )
  select day, utc_hour, local_minute / 60 % 24, (number + local_minute / 1440 - 2) % 7, day = p_today - 1,
    ln(greatest(ms / runs::float8, 1)), sqrt(runs)
  from days, unnest(hour_runs, hour_ms) with ordinality as hours (runs, ms, place),
    lateral (select (first_hour + place - 1)::integer as utc_hour) as utc_hours,
    -- Two days on, so that it is not negative.
    lateral (select 2880 + 60 * utc_hour + case when first_offset = last_offset then first_offset
      else scheduler.offset_minutes(day, utc_hour, zone) end as local_minute) as clock
  where runs > 0;
$function$
;
comment on function scheduler.hour_sizes(scheduler_jobs,date) is 'The hours of a job in the six weeks before yesterday, and yesterday''s, which are new.';
revoke all on function scheduler.hour_sizes(scheduler_jobs,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.http_date(p_text text)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET "DateStyle" TO 'ISO, MDY'
AS $function$
begin
  return p_text::timestamptz;
exception when data_exception then
  return null;
end;
$function$
;
comment on function scheduler.http_date(text) is 'The moment of an HTTP Date header; null when it cannot be read.';
revoke all on function scheduler.http_date(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.idle_before(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select max(scheduled_for) from (
    select scheduled_for, scheduler.stretch_sign(runs) as sign from public.scheduler_runs as runs
    where job_name = p_job.name and scheduled_for < p_occurrence and scheduler.stretch_sign(runs) is not null
    order by scheduled_for desc, attempt desc limit p_job.stretch_after) as newest
  having count(*) filter (where sign = 'idle') = p_job.stretch_after;
$function$
;
comment on function scheduler.idle_before(scheduler_jobs,timestamp with time zone) is 'The last run before an occurrence, if the stretch_after newest ones that say something all found nothing; else null.';
revoke all on function scheduler.idle_before(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.incident_lasts()
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return exists (select from public.scheduler_incidents where ended_at is null);
end;
$function$
;
comment on function scheduler.incident_lasts() is 'Whether an incident lasts, as far as this transaction sees.';
revoke all on function scheduler.incident_lasts() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.interval_start(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case
    -- Nearly always known: the cursor keeps the occurrence before it.
    when p_occurrence = p_job.next_run_at and p_job.previous_run_at is not null then p_job.previous_run_at
    when p_job.schedule is not null then scheduler.previous_occurrence(p_job.schedule, p_job.time_zone,
      p_occurrence - interval '1 microsecond') end;
exception when invalid_parameter_value then
  return null;  -- Postgres does not know its zone any more; a call by hand must not fail for that
end;
$function$
;
comment on function scheduler.interval_start(scheduler_jobs,timestamp with time zone) is 'The occurrence of the job''s schedule before that moment; null when there is none.';
revoke all on function scheduler.interval_start(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_alive(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(bool_or(case status
    when 'running' then heartbeat_at + make_interval(
      secs => scheduler.setting('scheduler.heartbeat_timeout_seconds')) >= p_now
    when 'dispatched' then dispatched_at + scheduler.hand_over(false) >= p_now
    else waiting ->> 'for' = 'idle' and run_after + scheduler.hand_over(true) >= p_now end), false)
  from public.scheduler_runs
  where job_name = p_job.name and status in ('queued', 'dispatched', 'running');
$function$
;
comment on function scheduler.is_alive(scheduler_jobs,timestamp with time zone) is 'Whether a continuous job has a living heartbeat, is idle as planned, or hands over.';
revoke all on function scheduler.is_alive(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_backfill(p_run scheduler_runs)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_run.priority = scheduler.backfill_priority();
end;
$function$
;
comment on function scheduler.is_backfill(scheduler_runs) is 'Whether a run is back-filled, or a retry of one that is.';
revoke all on function scheduler.is_backfill(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_busy(p_now timestamp with time zone DEFAULT now())
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_kept constant text := current_setting('daybook.is_busy', true);
  v_moment constant text := extract(epoch from p_now)::text;
  v_is_busy boolean;
begin
  if v_kept like v_moment || ' %' then
    return split_part(v_kept, ' ', 2)::boolean;
  end if;
  v_is_busy := scheduler.busy_because(p_now) is not null;
  perform set_config('daybook.is_busy', v_moment || ' ' || v_is_busy, true);
  return v_is_busy;
end;
$function$
;
comment on function scheduler.is_busy(timestamp with time zone) is 'Whether the database is busy: see busy_because. It looks once a transaction, for defer_if => ''scheduler.is_busy''.';
revoke all on function scheduler.is_busy(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_dependency_timeout(p_skip_kind text, p_skip_reason text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select coalesce(p_skip_kind = 'dependency' and p_skip_reason like 'dependency: % had not completed after % s', false);
$function$
;
comment on function scheduler.is_dependency_timeout(text,text) is 'Whether a run was skipped because its dependency was not there in time: the reason is dependency_hold''s.';
revoke all on function scheduler.is_dependency_timeout(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_due_again(p_schedule text, p_time_zone text, p_first timestamp with time zone, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return coalesce(scheduler.next_occurrence(p_schedule, p_time_zone, p_first) <= p_now, false);
exception when invalid_parameter_value then
  -- A schedule or a zone that cannot be read must not hide the other jobs: the first occurrence is due, that is known.
  return false;
end;
$function$
;
comment on function scheduler.is_due_again(text,text,timestamp with time zone,timestamp with time zone) is 'Whether after p_first a second occurrence of the schedule is due at p_now.';
revoke all on function scheduler.is_due_again(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_left_out(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return p_job.stretch_after is not null and exists (
    select from scheduler.stretches
    where job_name = p_job.name and p_occurrence > asked_for and p_occurrence < asked_again_at);
end;
$function$
;
comment on function scheduler.is_left_out(scheduler_jobs,timestamp with time zone) is 'Whether the occurrence is left out, as the job had found nothing stretch_after times in a row.';
revoke all on function scheduler.is_left_out(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_limit(p_kind text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select p_kind in ('group', 'parallel_limit', 'lock') $function$
;
comment on function scheduler.is_limit(text) is 'Whether a hold of that kind ends when one of the runs under way does.';
revoke all on function scheduler.is_limit(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_of_occurrence(p_run scheduler_runs)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_run.trigger in ('manual', 'enqueued') then false
    when p_run.trigger in ('retry', 'deferred') then scheduler.origin(p_run) not in ('manual', 'enqueued')
    else true end;
end;
$function$
;
comment on function scheduler.is_of_occurrence(scheduler_runs) is 'Whether the run is an attempt at an occurrence of its job, and not at what a person called or somebody enqueued.';
revoke all on function scheduler.is_of_occurrence(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_paused(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_job.paused_at is not null and (p_job.paused_until is null or p_at < p_job.paused_until);
end;
$function$
;
comment on function scheduler.is_paused(scheduler_jobs,timestamp with time zone) is 'Whether the job is paused now.';
revoke all on function scheduler.is_paused(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_ping_due(p_pinged_at timestamp with time zone, p_still_queued boolean, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- While pg_net stands still its queue must not fill with pings. A mark in the future is from a clock that went back.
  select p_pinged_at is null or not p_still_queued
    and (p_now >= p_pinged_at + interval '1 minute' or p_now < p_pinged_at);
$function$
;
comment on function scheduler.is_ping_due(timestamp with time zone,boolean,timestamp with time zone) is 'Whether a dead man''s switch is pinged now: at most once a minute, and not beside a ping that has not left yet.';
revoke all on function scheduler.is_ping_due(timestamp with time zone,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_plain(p_job scheduler_jobs)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_job.stopped_at is null and p_job.paused_at is null and p_job.group_name is null and p_job.depends_on = '{}'
    and p_job.calendars = '{}' and p_job.breaker_failures is null and p_job.key_limit is null and p_job.budgets = '{}'
    and p_job.defer_if is null;
end;
$function$
;
comment on function scheduler.is_plain(scheduler_jobs) is 'Whether nothing but its own lock and parallel limit can hold the job''s runs back.';
revoke all on function scheduler.is_plain(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_put_off(p_waiting jsonb, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return coalesce(p_waiting ->> 'for' = 'defer_if' and (p_waiting ->> 'until')::timestamptz > p_now, false);
end;
$function$
;
comment on function scheduler.is_put_off(jsonb,timestamp with time zone) is 'Whether a run that waits so is put off by defer_if and its time for that is not over: it is not late.';
revoke all on function scheduler.is_put_off(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_quiet(p_from time without time zone, p_until time without time zone, p_time_zone text, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(case
    when p_from <= p_until then local >= p_from and local < p_until
    else local >= p_from or local < p_until end, false)
  from (select (p_now at time zone scheduler.shown_time_zone(p_time_zone))::time as local) as clock;
$function$
;
comment on function scheduler.is_quiet(time without time zone,time without time zone,text,timestamp with time zone) is 'Whether the local time lies in the quiet hours, which may pass midnight; false without any, or when both ends are the same.';
revoke all on function scheduler.is_quiet(time without time zone,time without time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_stalled(p_enabled boolean, p_stop text, p_due_without_success bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_enabled and p_stop is null and coalesce(p_due_without_success >= 2, false);
end;
$function$
;
comment on function scheduler.is_stalled(boolean,text,bigint) is 'Whether two occurrences in a row are due without a completed run. What is disabled or stopped has none that is due.';
revoke all on function scheduler.is_stalled(boolean,text,bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_stood_for(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.is_left_out(p_job, p_occurrence) or coalesce((
    select interval_from < p_occurrence and status not in ('skipped', 'missed') from public.scheduler_runs
    where job_name = p_job.name and scheduled_for > p_occurrence and attempt = 1 and trigger in ('cron', 'catch_up')
    order by scheduled_for limit 1), false);
$function$
;
comment on function scheduler.is_stood_for(scheduler_jobs,timestamp with time zone) is 'Whether an occurrence without a row was left out by a stretch: the interval of the run after it includes it.';
revoke all on function scheduler.is_stood_for(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_stop(p_kind text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select p_kind = any (scheduler.stop_kinds()) $function$
;
comment on function scheduler.is_stop(text) is 'Whether a hold of that kind is a person''s.';
revoke all on function scheduler.is_stop(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_timed(p_run scheduler_runs)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return p_run.duration_ms is not null
    and (p_run.status = 'completed' or p_run.verdict in ('timed_out', 'interrupted'));
end;
$function$
;
comment on function scheduler.is_timed(scheduler_runs) is 'Whether the run''s duration says how long the job takes: it completed, or its time was over. A run that failed early says nothing of that.';
revoke all on function scheduler.is_timed(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_to_come(p_job_name text, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    with recursive upstream as (
      select name, schedule, next_run_at, depends_on from public.scheduler_jobs where name = p_job_name
      union
      -- A job without a schedule has the occurrences of its dependencies.
      select jobs.name, jobs.schedule, jobs.next_run_at, jobs.depends_on
      from upstream join public.scheduler_jobs as jobs on jobs.name = any (upstream.depends_on)
      where upstream.schedule is null
    )
    select exists (select from upstream where next_run_at <= p_at)
      or exists (select from scheduler.wakes join upstream on name = job_name where scheduled_for <= p_at));
end;
$function$
;
comment on function scheduler.is_to_come(text,timestamp with time zone) is 'Whether an occurrence of the job at or before p_at is not recorded yet.';
revoke all on function scheduler.is_to_come(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_to_wait(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return scheduler.ask_function(format('whether %s is to wait', p_job.name), 'defer_if', p_job.defer_if, p_now);
exception when query_canceled or others then
  -- Work that is due is not lost because nobody can say whether it might wait.
  perform scheduler.note_defer_fault(p_job, sqlerrm, p_now);
  return false;
end;
$function$
;
comment on function scheduler.is_to_wait(scheduler_jobs,timestamp with time zone) is 'What the job''s defer_if says now; false where it cannot be asked, and that is said.';
revoke all on function scheduler.is_to_wait(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.is_watched(p_jobs text[], p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select p_jobs = '{}' or exists (
    select from public.scheduler_jobs as jobs
    where name = any (p_jobs) and enabled and scheduler.stop_now(jobs, p_now) is null);
$function$
;
comment on function scheduler.is_watched(text[],timestamp with time zone) is 'Whether any of these jobs is enabled and neither paused nor stopped; true without any job.';
revoke all on function scheduler.is_watched(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.jitter(p_job_name text, p_occurrence timestamp with time zone, p_jitter_seconds integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select make_interval(secs => p_jitter_seconds * (
    ('x' || left(md5(p_job_name || ' ' || extract(epoch from p_occurrence)::bigint), 8))::bit(32)::bigint
    / 4294967296.0));
$function$
;
comment on function scheduler.jitter(text,timestamp with time zone,integer) is 'How much later than its time an occurrence is sent: less than p_jitter_seconds, spread over occurrences and jobs.';
revoke all on function scheduler.jitter(text,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_arguments()
 RETURNS TABLE(argument text, type text, default_value text)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select name, format_type(type_id, null), pg_get_function_arg_default(oid, number::integer)
  from pg_catalog.pg_proc,
    unnest(proargnames, proargtypes::oid[]) with ordinality as arguments (name, type_id, number)
  where pronamespace = 'scheduler'::regnamespace and proname = 'register_job'
  order by number;
$function$
;
comment on function scheduler.job_arguments() is 'The arguments of register_job in their order: names, types, defaults as SQL; one without a default must be given.';
revoke all on function scheduler.job_arguments() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_budgets(p_job scheduler_jobs, p_budgets jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_job.budgets = '{}' then '{}'::jsonb else (
    select coalesce(jsonb_object_agg(name, budget), '{}')
    from jsonb_object_keys(p_job.budgets) as name, lateral (select p_budgets -> name as budget) as states
    where budget is not null) end;
end;
$function$
;
comment on function scheduler.job_budgets(scheduler_jobs,jsonb) is 'Of the states of all budgets those of the budgets that the job is registered with.';
revoke all on function scheduler.job_budgets(scheduler_jobs,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_cost(p_job_name text, p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('invocations', round(30.0 * sent / known), 'wall_seconds',
    round(30.0 * wall_ms / 1000 / known), 'days', known)
  from (
    -- Of six weeks, or since the first day that is known. A mean: odd days are paid for, too.
    select least(42, p_today - (select min(day) from scheduler.job_days where job_name = p_job_name)) as known,
      coalesce(sum(sent), 0) as sent, coalesce(sum(wall_ms), 0) as wall_ms
    from scheduler.job_days where job_name = p_job_name and day >= p_today - 42 and day < p_today) as sums
  where known >= 14;
$function$
;
comment on function scheduler.job_cost(text,date) is 'What 30 days of the job are, as the last six weeks were: calls of its edge function, and seconds that it works. Null of fewer than 14 days.';
revoke all on function scheduler.job_cost(text,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_fault(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
    scheduler.range_fault(p_job),
    (select format('%s must be %s, got %s', field, choices, coalesce(quote_literal(value), 'null'))
      from (values
        (1, 'overlap_policy', p_job.overlap_policy, '''skip'', ''queue'' or ''allow'''),
        (2, 'misfire_policy', p_job.misfire_policy, '''skip'', ''once'' or ''all'''),
        (3, 'receipt', p_job.receipt, '''function'' or ''response'''),
        (4, 'on_dependency_timeout', p_job.on_dependency_timeout, '''skip'' or ''run'''),
        (5, 'on_dependency_failure', p_job.on_dependency_failure, '''skip'' or ''run''')
      ) as listed (place, field, value, choices)
      where (position(quote_literal(value) in choices) > 0) is not true order by place limit 1),
    case
      when p_job.parallel_limit is not null and p_job.overlap_policy <> 'allow'
        then format('parallel_limit needs overlap_policy => ''allow'', got %L', p_job.overlap_policy)
    end,
    scheduler.asked_function_fault('run_if', p_job.run_if),
    case when p_job.run_if is not null and p_job.schedule is null
      then 'run_if is asked for what a schedule makes due, and schedule is null' end,
    scheduler.asked_function_fault('defer_if', p_job.defer_if),
    scheduler.contradiction(p_job),
    scheduler.unknown_name(p_job),
    scheduler.alias_fault(p_job),
    scheduler.figures_fault(p_job.figures),
    case when p_job.budgets <> '{}' then scheduler.budgets_fault(p_job.budgets) end,
    scheduler.dependency_fault(p_job));
end;
$function$
;
comment on function scheduler.job_fault(scheduler_jobs) is 'The first thing that is wrong with a job''s values (its schedule and time zone apart), as the end of the sentence "cannot register the job: …"; null when nothing is.';
revoke all on function scheduler.job_fault(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_forecast(p_job scheduler_jobs, p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_today constant date := scheduler.utc_day(p_now);
  v_trend constant scheduler.trend := scheduler.duration_trend(p_job.name, v_today);
  v_findings constant jsonb := scheduler.outgrown_limits(p_job, v_trend, p_plan, p_now)
    || coalesce(scheduler.failure_change(p_job.name, v_today), '[]') || scheduler.unusual_hours(p_job, v_today);
begin
  return jsonb_build_object(
    'days', (select count(*) from scheduler.job_days
      where job_name = p_job.name and day >= v_today - 182 and day < v_today),
    'duration', case when v_trend.days is not null and not p_job.continuous then jsonb_build_object(
      'p95_ms', round(greatest(0, v_trend.level)), 'ms_a_day', round(v_trend.slope::numeric, 3),
      'least_ms_a_day', round(v_trend.slope_least::numeric, 3),
      'most_ms_a_day', round(v_trend.slope_most::numeric, 3), 'days', v_trend.days, 'since', v_trend.first_day) end,
    'findings', coalesce((
      select jsonb_agg(finding || jsonb_build_object('sentence',
        scheduler.finding_sentence(p_job, finding, p_plan.plan)) order by place)
      from jsonb_array_elements(v_findings) with ordinality as findings (finding, place)), '[]'),
    'figures', scheduler.figure_trends(p_job, v_today),
    'cost', scheduler.job_cost(p_job.name, v_today));
end;
$function$
;
comment on function scheduler.job_forecast(scheduler_jobs,scheduler_plans,timestamp with time zone) is 'What is foreseen of a job: {"days": known in half a year, "duration": how its p95 stands and moves, "findings": […], "figures", "cost"}; nulls where fewer than 14 days are known.';
revoke all on function scheduler.job_forecast(scheduler_jobs,scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_limits(p_job scheduler_jobs, p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS TABLE(name text, ms bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select limits.name, limits.ms from (values
    ('timeout', p_job.timeout_seconds * 1000::bigint),
    ('wall_clock', case when p_job.function_name is not null then p_plan.wall_clock_seconds * 1000::bigint end),
    -- Runs that may overlap do not have to end in time for the next.
    ('interval', case when p_job.overlap_policy <> 'allow' then scheduler.shortest_interval_ms(p_job, p_now) end)
  ) as limits (name, ms)
  where limits.ms is not null and not p_job.continuous;
$function$
;
comment on function scheduler.job_limits(scheduler_jobs,scheduler_plans,timestamp with time zone) is 'How long a run of the job may take: its timeout, the wall clock of the plan, its own interval. A continuous job has none: its runs last as long as they may.';
revoke all on function scheduler.job_limits(scheduler_jobs,scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with jobs as (
    select counters.*,
      case when not jobs.enabled then 'disabled' when pause.paused then 'paused' else 'active' end as state,
      case when jobs.enabled and not pause.paused and jobs.next_run_at < p_now
        then round(extract(epoch from p_now - jobs.next_run_at), 3) else 0 end as overdue
    from public.scheduler_jobs as jobs
    join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (select jobs.enabled and scheduler.stop_now(jobs, p_now) is not null as paused) as pause
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
      scheduler.metric('scheduler_runs_total', json_agg(deferred), '{"status": "deferred"}'),
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
$function$
;
comment on function scheduler.job_metrics(timestamp with time zone) is 'What a scrape shows of the scheduler: a value a job, by job_name, and its own.';
revoke all on function scheduler.job_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_named(p_name text)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where p_name in (name, alias) limit 1;
  if v_job.name is null then
    perform scheduler.refuse_unknown_job(p_name);
  end if;
  return v_job;
end;
$function$
;
comment on function scheduler.job_named(text) is 'The job of that name or alias. Raises SD001 and names the jobs there are when there is none.';
revoke all on function scheduler.job_named(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_of(p_values jsonb)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := jsonb_populate_record(null::public.scheduler_jobs, p_values);
  v_is_url constant boolean := coalesce(v_job.target, '') like '%://%';
begin
  v_job.continuous := coalesce(btrim(lower(v_job.schedule)) = '@continuous', false);
  v_job.schedule := case when not v_job.continuous then v_job.schedule end;
  v_job.target := coalesce(v_job.target, v_job.name);
  v_job.timeout_seconds := coalesce(v_job.timeout_seconds, case when v_is_url then 30 else 120 end);
  v_job.receipt := coalesce(v_job.receipt, case when v_is_url then 'response' else 'function' end);
  v_job.secret_name := coalesce(v_job.secret_name, case when v_is_url then '' else 'cron_secret' end);
  v_job.depends_on := coalesce(v_job.depends_on, '{}');
  v_job.budgets := coalesce(v_job.budgets, '{}');
  v_job.calendars := coalesce(v_job.calendars, '{}');
  v_job.figures := coalesce(v_job.figures, '{}');
  return v_job;
end;
$function$
;
comment on function scheduler.job_of(jsonb) is 'The job that arguments of register_job describe: {argument: value}, with what stands for null.';
revoke all on function scheduler.job_of(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_of_run(p_run_id uuid)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job_name text;
begin
  select job_name into v_job_name from public.scheduler_runs where id = p_run_id;
  if not found then
    raise exception using errcode = 'SD002', message = format('there is no run %s', coalesce(p_run_id::text, 'null'));
  end if;
  return v_job_name;
end;
$function$
;
comment on function scheduler.job_of_run(uuid) is 'The name of the run''s job. Raises SD002 when there is no such run.';
revoke all on function scheduler.job_of_run(uuid) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_rule_holds(p_rule text, p_threshold numeric, p_facts scheduler.alert_facts)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return coalesce(case p_rule
    -- A continuous job fails for ever: it is down, or fails again and again.
    when 'failed' then not p_facts.continuous
      and p_facts.failed_in_row - p_facts.is_retrying::integer >= greatest(p_threshold, 1)
    when 'failing' then p_facts.failed_in_row >= greatest(p_threshold, 1)
    when 'missed' then p_facts.missed_in_row >= greatest(p_threshold, 1)
    when 'late' then p_facts.waiting_seconds > p_threshold
    when 'overdue' then p_facts.overdue_seconds > p_threshold
    when 'continuous_down' then p_facts.is_down
    when 'breaker_open' then p_facts.breaker_state in ('open', 'half-open')
    when 'dependency_timeout' then p_facts.dependency_timed_out
    when 'long_running' then p_facts.running_seconds > greatest(60, p_facts.usual_seconds * p_threshold)
      and p_facts.usual_seconds is not null
    when 'pulse_errors' then p_facts.pulse_error is not null
    when 'outgrows' then p_facts.outgrows_in_days <= p_threshold
  end, false);
end;
$function$
;
comment on function scheduler.job_rule_holds(text,numeric,scheduler.alert_facts) is 'Whether the rule, with that threshold, is an alert of a job of which these facts are known. Other rules are not of a job: false.';
revoke all on function scheduler.job_rule_holds(text,numeric,scheduler.alert_facts) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_sightings(p_errors jsonb, p_now timestamp with time zone)
 RETURNS SETOF scheduler.sighting
 LANGUAGE sql
 STABLE ROWS 20
 SET search_path TO ''
AS $function$
  select rules.rule, rules.severity, rules.for_seconds, jobs.name, failure.verdict,
    case rules.rule when 'pulse_errors' then (facts).pulse_error else failure.error_message end,
    case when jobs.function_name is not null then 'functions'
      else substring(jobs.target from '^https://([^/?#]+)') end,
    jobs.secret_name, jobs.depends_on
  from scheduler.suspects(p_errors, p_now) as suspect
    join public.scheduler_jobs as jobs on jobs.name = suspect
      and jobs.enabled and scheduler.stop_now(jobs, p_now) is null
    -- Offset 0: without it the facts are gathered again for each rule.
    cross join lateral (select scheduler.facts_of(jobs, p_errors, p_now) as facts offset 0) as gathered
    join public.scheduler_alert_rules as rules
      on rules.enabled and scheduler.job_rule_holds(rules.rule, rules.threshold, facts)
    left join lateral (
      select verdict, error_message from public.scheduler_runs
      where rules.rule in ('failed', 'failing', 'breaker_open', 'continuous_down') and job_name = jobs.name
        and scheduled_for = (select unsuccessful_for from scheduler.run_counters as counters
          where counters.job_name = jobs.name)
        and status = 'failed'
      order by attempt desc limit 1) as failure on true;
$function$
;
comment on function scheduler.job_sightings(jsonb,timestamp with time zone) is 'The rules that hold of jobs now. Jobs that are paused, stopped or disabled are not looked at.';
revoke all on function scheduler.job_sightings(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_state(p_enabled boolean, p_stop text, p_breaker text, p_unrecorded_seconds numeric, p_unsuccessful bigint, p_unbegun_seconds numeric, p_waits_for text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when not p_enabled then 'disabled'
    when p_stop is not null then 'paused'
    when p_breaker <> 'closed' then 'breaker_open'
    -- Where pg_cron has no seconds the pulse beats each minute: up to that is normal.
    when p_unrecorded_seconds > 60 then 'overdue'
    when p_unsuccessful > 0 then 'failing'
    when p_unbegun_seconds > 60 then 'late'
    -- These are no waits for something to happen: the job was registered so.
    when p_waits_for not in ('jitter', 'idle') then 'waiting'
    else 'healthy' end;
end;
$function$
;
comment on function scheduler.job_state(boolean,text,text,numeric,bigint,numeric,text) is 'The state of a job, the first that holds of: disabled, paused (something stops it), breaker_open (or half-open), overdue (an occurrence has been due for over a minute and has no row), failing (occurrences since the last completed run failed or were missed), late (a run could have begun over a minute ago), waiting, healthy.';
revoke all on function scheduler.job_state(boolean,text,text,numeric,bigint,numeric,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.job_states(p_names text[], p_now timestamp with time zone)
 RETURNS SETOF scheduler.job_condition
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select facts.name,
    scheduler.job_state(enabled, stop, breaker,
      case when enabled and next_run_at <= p_now then extract(epoch from p_now - next_run_at) end, unsuccessful,
      unbegun_seconds, waits_for),
    scheduler.is_stalled(enabled, stop, occurrences), stop, breaker, unsuccessful, occurrences, waits_for
  from (
    select jobs.name, jobs.enabled, jobs.next_run_at, scheduler.stop_now(jobs, p_now) as stop,
      case when breaker_failures is not null
        then scheduler.breaker_state(breakers.opened_at, breaker_cooldown_seconds, p_now) else 'closed' end as breaker,
      unsuccessful, unfinished_runs.unbegun_seconds, unfinished_runs.waits_for,
      unsuccessful + coalesce(unrecorded.occurrences, 0) + coalesce(unfinished_runs.open_occurrences, 0) as occurrences
    from public.scheduler_jobs as jobs
      left join public.scheduler_breakers as breakers on breakers.job_name = jobs.name
      left join scheduler.run_counters as counters on counters.job_name = jobs.name
      left join scheduler.unrecorded_occurrences(p_names, p_now) as unrecorded on unrecorded.job_name = jobs.name
      left join scheduler.unfinished_runs(p_names, p_now) on unfinished_runs.job_name = jobs.name
      cross join lateral (
        select coalesce(counters.failed_in_row + counters.missed_in_row, 0)::bigint as unsuccessful) as sums
    where jobs.name = any (p_names)
    -- Offset 0: else each of them is worked out again wherever it is used.
    offset 0
  ) as facts;
$function$
;
comment on function scheduler.job_states(text[],timestamp with time zone) is 'How each of these jobs is.';
revoke all on function scheduler.job_states(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.jobs_to_attend(p_now timestamp with time zone, p_to_hear text[], p_after text, p_limit integer)
 RETURNS text[]
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return array(
    select name from (
      select name from public.scheduler_jobs where enabled and next_run_at <= p_now
      union
      select job_name from public.scheduler_runs where status = 'queued' and run_after <= p_now
      union
      select job_name from scheduler.wakes where wake_at <= p_now
      union
      -- A run that held the lock was not heard of again.
      select name from public.scheduler_locks where expires_at <= p_now
      union
      select unnest(p_to_hear)
    ) as jobs (name)
    where name > coalesce(p_after, '')
    order by name limit p_limit);
end;
$function$
;
comment on function scheduler.jobs_to_attend(timestamp with time zone,text[],text,integer) is 'The first p_limit jobs by name, behind p_after, for which there is something to do: those to hear, those with a due occurrence, those with a waiting run whose time has come, those that were woken. Runs that wait for a lock or a limit are sent by the transaction that frees it.';
revoke all on function scheduler.jobs_to_attend(timestamp with time zone,text[],text,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.join_slots(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run_id uuid;
begin
  if (select parallel_limit is null from public.scheduler_groups where name = p_job.group_name) is not false then
    return;
  end if;
  for v_run_id in
    select id from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running')
    order by dispatched_at, id
  loop
    if not scheduler.take_slot(p_job.group_name, v_run_id) then
      insert into scheduler.group_slots (group_name, slot, run_id)
        select p_job.group_name, max(slot) + 1, v_run_id from scheduler.group_slots
        where group_name = p_job.group_name;
    end if;
  end loop;
end;
$function$
;
comment on function scheduler.join_slots(scheduler_jobs) is 'Gives slots to the runs of a job that has joined its group while they were under way: behind the limit where no other is free. The caller holds the lock of the registry and the job''s row lock.';
revoke all on function scheduler.join_slots(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.keep_going(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_last public.scheduler_runs;
begin
  if not p_job.continuous or not p_job.enabled or scheduler.stop_now(p_job, p_now) is not null
    or exists (select from public.scheduler_runs
      where job_name = p_job.name and status in ('queued', 'dispatched', 'running')) then
    return;
  end if;
  select * into v_last from public.scheduler_runs
    where job_name = p_job.name and trigger = 'continuous' order by scheduled_for desc limit 1;
  perform scheduler.add_runs(array[scheduler.continuous_run(p_job, v_last, p_now)]);
end;
$function$
;
comment on function scheduler.keep_going(scheduler_jobs,timestamp with time zone) is 'Gives a continuous job its next run when it has none that waits or is under way, unless it is stopped or disabled. The caller holds the job''s row lock, and sends what waits.';
revoke all on function scheduler.keep_going(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.key_hold(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_group_limit constant integer := (select key_limit from public.scheduler_groups where name = p_job.group_name);
begin
  -- Offset 0: of those under way, which are few, and not of all that wait with the key.
  if p_job.key_limit <= (
    select count(*) from (
      select key from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running') offset 0) as under_way
    where key = p_run.key) then
    return ('key', p_run.key, null, null)::scheduler.hold;
  end if;
  if v_group_limit is null then
    return null;
  end if;
  -- Jobs of a group are sent by transactions that do not see each other's runs yet. None of them waits for another: a
  -- job that does not get the lock is woken.
  if not pg_try_advisory_xact_lock(hashtextextended('daybook: key ' || p_job.group_name || ' ' || p_run.key, 0)) then
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
    return ('key', p_run.key, null, null)::scheduler.hold;
  end if;
  return case when v_group_limit <= (
    select count(*) from (
      select key from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = runs.job_name
      where jobs.group_name = p_job.group_name and runs.status in ('dispatched', 'running') offset 0) as under_way
    where key = p_run.key) then ('key', p_run.key, null, null)::scheduler.hold end;
end;
$function$
;
comment on function scheduler.key_hold(scheduler_jobs,scheduler_runs) is 'A hold when as many runs with the run''s key are under way as the job or its group allows; else null. The caller holds the job''s row lock.';
revoke all on function scheduler.key_hold(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.last_begun(p_names text[])
 RETURNS TABLE(job_name text, at timestamp with time zone)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select name, coalesce(begun.at, counters.last_success_at)
  from unnest(p_names) as name
    left join scheduler.run_counters as counters on counters.job_name = name
    left join lateral (
      select newest.at
      from (
        select coalesce(started_at, dispatched_at) as at from public.scheduler_runs as runs
        where runs.job_name = name order by created_at desc limit 100) as newest
      where newest.at is not null limit 1
    ) as begun on true;
$function$
;
comment on function scheduler.last_begun(text[]) is 'When the newest run of each of these jobs began, or was sent; of a job with 100 newer rows that were not sent, when its last completed run ended. Null: never.';
revoke all on function scheduler.last_begun(text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.last_registration(p_job_name text, p_since timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('verb', verb, 'author', author, 'reason', reason, 'at', occurred_at)
  from public.scheduler_audit
  where subject_type = 'job' and subject = p_job_name and verb in ('register_job', 'unregister_job')
    and (p_since is null or occurred_at > p_since)
  order by occurred_at desc, id desc limit 1;
$function$
;
comment on function scheduler.last_registration(text,timestamp with time zone) is 'Who registered the job or took it out last since then, by the audit log: {"verb", "author", "reason", "at"}; null where it has no such row.';
revoke all on function scheduler.last_registration(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.learn_from(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if p_job.stretch_after is not null then
    perform scheduler.note_stretch(p_job, p_run);
  end if;
  if p_job.parallel_least is not null then
    perform scheduler.note_parallel(p_job, p_run);
  end if;
end;
$function$
;
comment on function scheduler.learn_from(scheduler_jobs,scheduler_runs) is 'Keeps what a job that gives way knows of its work and its target, after a run has ended. The caller holds the job''s row lock.';
revoke all on function scheduler.learn_from(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ledger_forecast(p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with coming as (
    select count(*) as days, scheduler.usual_a_day(array_agg(day), array_agg(successes)) as successes,
      scheduler.usual_a_day(array_agg(day), array_agg(failures)) as failures
    from scheduler.project_days(p_today - 42, p_today)
  ), kept as (
    select scheduler.setting('scheduler.keep_successes_days') as successes,
      scheduler.setting('scheduler.keep_failures_days') as failures
  ), size as (
    select rows, bytes, bytes / nullif(rows, 0)::float8 as row_bytes from scheduler.ledger_size()
  ), held as (
    select case when coming.successes > 0 then scheduler.held_from(
        scheduler.oldest_run(array['completed', 'skipped', 'deferred']), kept.successes, p_today) else p_today end
        as successes_on,
      case when coming.failures > 0 then scheduler.held_from(
        scheduler.oldest_run(array['failed', 'missed', 'cancelled']), kept.failures, p_today) else p_today end
        as failures_on,
      coming.successes * kept.successes + coming.failures * kept.failures as rows
    from kept, coming
  ), sizes as (
    select scheduler.trend_of(array_agg(day order by day), array_agg(rows::float8 order by day), p_today) as rows,
      scheduler.trend_of(array_agg(day order by day), array_agg(bytes::float8 order by day), p_today) as bytes
    from scheduler.ledger_days where day > p_today - 91 and day <= p_today
  )
  select jsonb_build_object('rows', size.rows, 'bytes', size.bytes, 'days', coming.days)
    || case when coming.days >= 14 then jsonb_build_object('rows_a_day', round(coming.successes + coming.failures),
      'held_on', case when num_nulls(successes_on, failures_on) = 0 then greatest(successes_on, failures_on) end,
      'held_rows', round(held.rows), 'held_bytes', round(held.rows * size.row_bytes))
      else '{"rows_a_day": null, "held_on": null, "held_rows": null, "held_bytes": null}' end
    || jsonb_build_object('growth', jsonb_build_object('rows', scheduler.trend_facts(sizes.rows),
      'bytes', scheduler.trend_facts(sizes.bytes)))
  from size, coming, held, sizes;
$function$
;
comment on function scheduler.ledger_forecast(date) is 'How large the ledger is, how many rows come a day, from when on retention takes as many as come, and how large it is then; growth: the trends of its size at the beginning of each day, where they are known for 14.';
revoke all on function scheduler.ledger_forecast(date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ledger_sentence(p_ledger jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select format('the ledger has %s rows and %s', p_ledger ->> 'rows', pg_size_pretty((p_ledger ->> 'bytes')::bigint))
    || case
      when p_ledger ->> 'rows_a_day' is null then format('; how it grows is said from 14 days on, %s are known',
        p_ledger ->> 'days')
      when p_ledger ->> 'held_on' is null then format('; %s rows come a day, and retention is too long to hold them',
        p_ledger ->> 'rows_a_day')
      else format('; %s rows come a day, and from %s on retention holds it at about %s rows and %s (by %s days)',
        p_ledger ->> 'rows_a_day', p_ledger ->> 'held_on', p_ledger ->> 'held_rows',
        coalesce(pg_size_pretty((p_ledger ->> 'held_bytes')::bigint), 'nothing'), p_ledger ->> 'days') end;
$function$
;
comment on function scheduler.ledger_sentence(jsonb) is 'What ledger_forecast found, as a sentence.';
revoke all on function scheduler.ledger_sentence(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ledger_size(OUT rows bigint, OUT bytes bigint)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_ledger constant regclass := 'public.scheduler_runs';
  v_pages constant bigint := pg_relation_size(v_ledger) / current_setting('block_size')::integer;
begin
  bytes := pg_total_relation_size(v_ledger);
  if v_pages > 1000 then
    -- As the planner does: as many rows a page as the last vacuum or analyze found.
    select round(v_pages * reltuples / relpages) into rows from pg_catalog.pg_class
      where oid = v_ledger and reltuples >= 0 and relpages > 0;
  end if;
  if rows is null then
    select count(*) into rows from public.scheduler_runs;
  end if;
end;
$function$
;
comment on function scheduler.ledger_size() is 'How many rows the ledger has (counted up to 1,000 pages, else reckoned) and how many bytes, with its indexes.';
revoke all on function scheduler.ledger_size() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.left_out_facts(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('kind', 'left_out', 'runs', p_job.stretch_after, 'found_nothing_at',
    scheduler.local_text(coalesce(stretch.asked_for, idle_at), p_job.time_zone), 'asked_again_at',
    case when stretch.idle_in_row > 0 then scheduler.local_text(stretch.asked_again_at, p_job.time_zone) end)
  from (select scheduler.idle_before(p_job, p_occurrence) as idle_at) as before
    left join scheduler.stretches as stretch
      on stretch.job_name = p_job.name and scheduler.is_left_out(p_job, p_occurrence)
  where p_job.stretch_after is not null and (stretch.job_name is not null or idle_at is not null);
$function$
;
comment on function scheduler.left_out_facts(scheduler_jobs,timestamp with time zone) is 'The facts of an occurrence without a row that was left out, as the job had found nothing stretch_after times in a row; null of all others.';
revoke all on function scheduler.left_out_facts(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.let_due_go(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  -- Retries, jitter and all else that waited for a time; behind a run that waits for something they wait for it, too.
  update public.scheduler_runs as runs set run_after = null,
      waiting = case when waiting ->> 'for' = 'dependency' then waiting
        else coalesce(scheduler.own_wait(p_job, (select scheduler.line_waits_for(p_job, p_now)),
          scheduler.put_off_from(runs, p_now)), waiting) end
    where job_name = p_job.name and status = 'queued' and run_after <= p_now;
end;
$function$
;
comment on function scheduler.let_due_go(scheduler_jobs,timestamp with time zone) is 'Puts the job''s runs whose time has come among those that go as soon as the job may. The caller holds the job''s row lock.';
revoke all on function scheduler.let_due_go(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.let_go(p_job scheduler_jobs, p_run scheduler_runs, p_goes_on boolean, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_group constant text := scheduler.free_slot(p_run.id);
begin
  if p_job.breaker_failures is not null then
    perform scheduler.note_breaker(p_job, p_run, p_now);
  end if;
  if p_run.key is not null then
    perform scheduler.release_key(p_job, p_run.key, p_now);
  end if;
  if v_group is not null then
    perform scheduler.stand_in_line(v_group, null);
  end if;
  -- Dependents wait for the occurrence's last attempt.
  if p_job.dependents <> '{}' and not p_goes_on then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
end;
$function$
;
comment on function scheduler.let_go(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone) is 'Gives back what a run that has ended held: its slot, its key, its place as the one that tries; and sends what of other jobs waited for it. The caller holds the job''s row lock, and has opened the line.';
revoke all on function scheduler.let_go(scheduler_jobs,scheduler_runs,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.limit_hold(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if p_job.group_name is not null and not scheduler.has_free_slot(p_job.group_name) then
    return ('group', p_job.group_name, null, null)::scheduler.hold;
  elsif p_run.key is not null then
    return scheduler.key_hold(p_job, p_run);
  end if;
  return null;
end;
$function$
;
comment on function scheduler.limit_hold(scheduler_jobs,scheduler_runs) is 'The hold when the limit of the job''s group or of the run''s key is reached; else null. The caller holds the job''s row lock.';
revoke all on function scheduler.limit_hold(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.limit_in_force(p_job scheduler_jobs)
 RETURNS integer
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_job.parallel_least is null then p_job.parallel_limit
    else least(p_job.parallel_limit, greatest(p_job.parallel_least, (
      select in_force from scheduler.parallel_states where job_name = p_job.name))) end;
end;
$function$
;
comment on function scheduler.limit_in_force(scheduler_jobs) is 'How many runs of the job may be under way at once now; null: any number.';
revoke all on function scheduler.limit_in_force(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.limit_reason(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case under_way when 1 then 'for the run under way to end'
    else format('for %s of the %s runs under way to end', case to_end when 1 then 'one' else to_end::text end,
      under_way) end
    || case when p_job.parallel_least is not null then format(', as %s may be under way now (from %s to %s)', in_force,
      p_job.parallel_least, p_job.parallel_limit) else '' end
  from (
    -- More than may be are under way after the limit was lowered.
    select under_way, in_force, under_way - in_force + 1 as to_end
    from (select count(*) as under_way, scheduler.limit_in_force(p_job) as in_force from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running')) as counted) as facts
  where to_end >= 1;
$function$
;
comment on function scheduler.limit_reason(scheduler_jobs) is 'How many of the job''s runs have to end before the next one is sent, as the end of the sentence "it waits …"; null when none has to.';
revoke all on function scheduler.limit_reason(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.line_of(p_group_name text, p_job_name text, p_tried integer, p_now timestamp with time zone)
 RETURNS SETOF scheduler.place_in_line
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return query
  select jobs.name, scheduler.effective_priority(jobs, next, p_now), next.scheduled_for, p_tried
  from public.scheduler_jobs as jobs, lateral scheduler.next_waiting(jobs, p_now) as next
  where jobs.group_name = p_group_name and jobs.enabled and next.id is not null
    and (p_job_name is null or jobs.name = p_job_name);
end;
$function$
;
comment on function scheduler.line_of(text,text,integer,timestamp with time zone) is 'The place of each job of the group of which a run may go, or of one of them; in no order.';
revoke all on function scheduler.line_of(text,text,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.line_waits_for(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select first.waiting - 'dependency' || jsonb_build_object('since', p_now)
  from scheduler.next_waiting(p_job, p_now) as first;
$function$
;
comment on function scheduler.line_waits_for(scheduler_jobs,timestamp with time zone) is 'What a run waits for that joins those of its job that go as soon as the job may: the same as the first of them, see own_wait; null when there are none.';
revoke all on function scheduler.line_waits_for(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.link_dependents(p_job_name text, p_depends_on text[])
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update public.scheduler_jobs as jobs set dependents = array(
    select name from public.scheduler_jobs where jobs.name = any (depends_on) order by name)
  where name = any (p_depends_on) or p_job_name = any (dependents);
$function$
;
comment on function scheduler.link_dependents(text,text[]) is 'Writes down the dependents of each job that the job names now, or named before. The caller holds the lock of the registry.';
revoke all on function scheduler.link_dependents(text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.link_job(p_job scheduler_jobs, p_old scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if p_job.depends_on <> '{}' or p_old.depends_on <> '{}' then
    perform scheduler.link_dependents(p_job.name, p_job.depends_on);
  end if;
  if p_job.group_name is distinct from p_old.group_name then
    perform scheduler.free_slot(id) from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running');
    perform scheduler.wake_group(p_old.group_name, 'epoch');
    perform scheduler.join_slots(p_job);
  end if;
  if p_old.continuous and not p_job.continuous then
    perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', now(),
      p_error_message => 'the job is not continuous any more', p_send_next => false)
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and trigger = 'continuous';
  end if;
  if p_job.continuous and not p_old.continuous then
    -- What waits for a time would hold up the first run.
    perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', now(),
      p_error_message => 'the job is continuous now', p_send_next => false)
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and trigger <> 'manual';
  end if;
  if p_job.breaker_failures is null and p_old.breaker_failures is not null then
    delete from public.scheduler_breakers where job_name = p_job.name;
  end if;
  if (p_job.schedule, p_job.time_zone, p_job.stretch_after, p_job.stretch_at_most_seconds)
    is distinct from (p_old.schedule, p_old.time_zone, p_old.stretch_after, p_old.stretch_at_most_seconds) then
    perform scheduler.end_stretch(p_job, now());
  end if;
  if p_job.parallel_least is null and p_old.parallel_least is not null then
    delete from scheduler.parallel_states where job_name = p_job.name;
  end if;
  -- What waits may go now; a continuous job begins.
  if p_job.enabled and (p_job.continuous or p_old.name is not null) then
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  elsif not p_job.enabled then
    perform scheduler.wake_if_waiting(p_job.name);
  end if;
end;
$function$
;
comment on function scheduler.link_job(scheduler_jobs,scheduler_jobs) is 'After a job was written: tells its dependencies and its group, and has the next pulse look at it.';
revoke all on function scheduler.link_job(scheduler_jobs,scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lives(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(born timestamp with time zone, died timestamp with time zone)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with runs as (
    select started_at as born, greatest(started_at, least(p_to, case
        when completed_at is null
          then heartbeat_at + make_interval(secs => scheduler.setting('scheduler.heartbeat_timeout_seconds'))
        when verdict = 'stalled' then heartbeat_at
        else completed_at end)) as died,
      status = 'completed' and result -> 'idle' = 'true' as is_idle
    from public.scheduler_runs
    where job_name = p_job.name and started_at < p_to and coalesce(completed_at, p_to) >= p_from
      -- No run lasts longer than the longest timeout, so the index needs to look no further back.
      and scheduled_for >= p_from - interval '2 days' and scheduled_for < p_to
  ), planned as (
    select born, case when is_idle then least(died + make_interval(secs => p_job.idle_seconds), p_to) else died end
      as died, scheduler.hand_over(is_idle) as hand_over from runs
  )
  select born, case when lead(born) over (order by born) <= died + hand_over then lead(born) over (order by born)
    else died end
  from planned;
$function$
;
comment on function scheduler.lives(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'The spans in which a continuous job had a living heartbeat, by its runs between p_from and p_to; planned idle time and hand-overs are among them.';
revoke all on function scheduler.lives(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.load_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select json_build_array(scheduler.metric_group('{}',
    scheduler.metric('scheduler_busy', (scheduler.busy_because(p_now) is not null)::integer)));
$function$
;
comment on function scheduler.load_metrics(timestamp with time zone) is 'Whether the database is busy, as defer_if may ask.';
revoke all on function scheduler.load_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.load_now(p_now timestamp with time zone)
 RETURNS scheduler.load
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select (
      select count(*)::integer from pg_stat_activity
      where state = 'active' and backend_type = 'client backend' and pid <> pg_backend_pid()),
    current_setting('max_connections')::integer,
    -- Of a queue that has grown without bound only so much is counted as settings can ask for.
    (select count(*)::integer from (select from net.http_request_queue limit 999999) as queued),
    (select count(*)::integer from public.scheduler_runs
      where status = 'dispatched' and receipt = 'function' and dispatched_at < p_now - interval '30 seconds')
    + (select count(*)::integer from public.scheduler_jobs
      where enabled and next_run_at < p_now - interval '1 minute');
$function$
;
comment on function scheduler.load_now(timestamp with time zone) is 'The load of the database. A run is late that was sent 30 seconds ago and has not begun, and an occurrence that was due a minute ago and has no row. Runs that wait are not late.';
revoke all on function scheduler.load_now(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.load_reason(p_load scheduler.load, p_connections_percent integer, p_requests integer, p_late_runs integer)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_load.active * 100 >= p_connections_percent * p_load.connections
      then format('%s of %s connections are active', p_load.active, p_load.connections)
    when p_load.requests >= p_requests then format('%s in pg_net''s queue', case p_load.requests
      when 1 then '1 request waits' else format('%s requests wait', p_load.requests) end)
    when p_load.late_runs >= p_late_runs then case p_load.late_runs when 1 then '1 run is late'
      else format('%s runs are late', p_load.late_runs) end end;
$function$
;
comment on function scheduler.load_reason(scheduler.load,integer,integer,integer) is 'The first of connections, requests and late runs of which there are as many as that, as a sentence; null when none is. Null as a bound: it is not looked at.';
revoke all on function scheduler.load_reason(scheduler.load,integer,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.local_second_text(p_at timestamp with time zone, p_time_zone text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(to_char(p_at at time zone zone, 'YYYY-MM-DD HH24:MI:SS') || ' ' || zone, p_at::text)
  from (select scheduler.shown_time_zone(p_time_zone) as zone) as shown;
$function$
;
comment on function scheduler.local_second_text(timestamp with time zone,text) is 'local_text with the seconds.';
revoke all on function scheduler.local_second_text(timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lock_budget(p_budget text)
 RETURNS scheduler_budgets
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_budget public.scheduler_budgets;
begin
  select * into v_budget from public.scheduler_budgets where name = p_budget for no key update;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  return v_budget;
end;
$function$
;
comment on function scheduler.lock_budget(text) is 'The budget''s row, locked. Raises SD012 when it is unknown.';
revoke all on function scheduler.lock_budget(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lock_for_incident()
 RETURNS text[]
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
  v_waits constant boolean := scheduler.lock_registry_soon();
  v_name text;
  v_held text[] := array[]::text[];
begin
  for v_name in select name from public.scheduler_jobs order by name loop
    continue when scheduler.try_lock_job(v_name);
    continue when v_waits and clock_timestamp() < v_until and scheduler.lock_job_soon(v_name);
    v_held := v_held || v_name;
  end loop;
  return v_held;
end;
$function$
;
comment on function scheduler.lock_for_incident() is 'Locks the rows of all jobs, waiting a few seconds at most; returns those that others go on holding.';
revoke all on function scheduler.lock_for_incident() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lock_group(p_group_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  perform from public.scheduler_jobs where group_name = p_group_name order by name for no key update;
end;
$function$
;
comment on function scheduler.lock_group(text) is 'Takes the lock of the registry, then the row locks of all jobs of the group.';
revoke all on function scheduler.lock_group(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lock_job_soon(p_job_name text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
 SET lock_timeout TO '500ms'
AS $function$
begin
  perform from public.scheduler_jobs where name = p_job_name for no key update;
  return true;
exception when lock_not_available then
  return false;
end;
$function$
;
comment on function scheduler.lock_job_soon(text) is 'Locks the job''s row, waiting at most half a second; false when it could not. Only for those who hold the lock of the registry: two that wait for each other''s rows would deadlock.';
revoke all on function scheduler.lock_job_soon(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.lock_registry_soon()
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
 SET lock_timeout TO '2s'
AS $function$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  return true;
exception when lock_not_available then
  return false;
end;
$function$
;
comment on function scheduler.lock_registry_soon() is 'Takes the lock of the registry, waiting at most 2 s; false when it could not.';
revoke all on function scheduler.lock_registry_soon() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.log_activity_page(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_key text)
 RETURNS TABLE(at timestamp with time zone, key text, activity scheduler_activity)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select occurred_at, lpad(id::text, 19, '0'), lines
  from public.scheduler_activity as lines
  where occurred_at >= p_from and occurred_at < p_to and occurred_at <= p_at
    and (occurred_at < p_at or lpad(id::text, 19, '0') collate "C" < p_key)
    -- A run that is in the ledger has its line from there.
    and not exists (select from public.scheduler_runs as runs where runs.id = lines.run_id)
  order by occurred_at desc, id desc limit 101;
$function$
;
comment on function scheduler.log_activity_page(timestamp with time zone,timestamp with time zone,timestamp with time zone,text) is 'The newest 101 lines of the activity in [p_from, p_to) before the place (p_at, p_key), but those of runs in the ledger.';
revoke all on function scheduler.log_activity_page(timestamp with time zone,timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.log_line(p_at timestamp with time zone, p_run scheduler_runs, p_activity scheduler_activity)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  if p_run.id is not null then
    -- What the run's own line of the activity says of it.
    select * into p_activity from public.scheduler_activity where run_id = p_run.id;
  end if;
  return jsonb_build_object('at', p_at, 'source', coalesce(p_run.job_name, p_activity.source),
    'severity', coalesce(p_activity.severity, case when p_run.status in ('failed', 'missed') then 'warning'
      else 'info' end),
    'message', coalesce(p_activity.message, scheduler.run_line(p_run)), 'run', scheduler.run_brief(p_run),
    'activity_id', p_activity.id);
end;
$function$
;
comment on function scheduler.log_line(timestamp with time zone,scheduler_runs,scheduler_activity) is 'A line of the logs: of a run that ended, or of the activity.';
revoke all on function scheduler.log_line(timestamp with time zone,scheduler_runs,scheduler_activity) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.log_run(p_run scheduler_runs, p_retried boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_severity constant text := case
    when p_run.status = 'completed' and p_run.result ->> 'notable' in ('info', 'warning', 'error')
      then p_run.result ->> 'notable'
    when p_run.status = 'failed' and not p_retried then 'error'
    when p_run.status = 'cancelled' then 'warning' end;
begin
  if v_severity is null then
    return;
  end if;
  insert into public.scheduler_activity (occurred_at, source, severity, message, run_id, details)
    values (p_run.completed_at, p_run.job_name, v_severity, scheduler.run_line(p_run), p_run.id,
    jsonb_build_object('scheduled_for', p_run.scheduled_for, 'attempt', p_run.attempt, 'verdict', p_run.verdict))
    on conflict do nothing;
end;
$function$
;
comment on function scheduler.log_run(scheduler_runs,boolean) is 'Writes the line of a run that is over into scheduler_activity, if it matters: a completed one whose result says so (notable: info, warning, error), a failed one that is not tried again, a cancelled one.';
revoke all on function scheduler.log_run(scheduler_runs,boolean) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.log_runs_page(p_from timestamp with time zone, p_to timestamp with time zone, p_at timestamp with time zone, p_key text)
 RETURNS TABLE(at timestamp with time zone, key text, run scheduler_runs)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  -- By status, so that the index of (status, completed_at) is read, and of each no more than a page.
  select ended.completed_at, ended.id::text, ended.run
  from unnest(array['completed', 'failed', 'deferred', 'skipped', 'missed', 'cancelled']) as ended_as
    cross join lateral (
      select completed_at, id, runs as run from public.scheduler_runs as runs
      where status = ended_as and completed_at >= p_from and completed_at < p_to and completed_at <= p_at
        and (completed_at < p_at or id::text collate "C" < p_key)
      order by completed_at desc, id desc limit 101) as ended;
$function$
;
comment on function scheduler.log_runs_page(timestamp with time zone,timestamp with time zone,timestamp with time zone,text) is 'The runs that ended in [p_from, p_to) before the place (p_at, p_key): among them the newest 101.';
revoke all on function scheduler.log_runs_page(timestamp with time zone,timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.look_again(p_job_name text, p_waits_for text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  update public.scheduler_runs set run_after = null
  where job_name = p_job_name and status = 'queued' and run_after is not null and waiting ->> 'for' = p_waits_for;
end;
$function$
;
comment on function scheduler.look_again(text,text) is 'Has the job''s runs that wait for that looked at when it next sends. The caller holds the job''s row lock.';
revoke all on function scheduler.look_again(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.look_for_causes(p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_state scheduler.pulse_state;
begin
  select * into v_state from scheduler.pulse_state;
  v_state.queue_still_since := scheduler.still_since(v_state.queue_still_since,
    exists (select from net.http_request_queue), (select max(created) from net._http_response), p_now);
  perform scheduler.note_alert_events(v_state.last_looked_at, p_now);
  -- Most of the time all is well: then what costs the most, the planning of the other statements, is left out.
  if v_state.queue_still_since is not null or exists (select from scheduler.suspects(v_state.errors, p_now))
    or exists (select from public.scheduler_budgets) or exists (select from public.scheduler_alerts where not settled)
  then
    perform scheduler.write_causes(array(select causes from scheduler.seen_causes(v_state, p_now) as causes), p_now);
  end if;
  update scheduler.pulse_state set queue_still_since = v_state.queue_still_since, last_looked_at = p_now;
end;
$function$
;
comment on function scheduler.look_for_causes(timestamp with time zone) is 'Looks at all rules, and keeps scheduler_alerts. The caller holds the row of pulse_state.';
revoke all on function scheduler.look_for_causes(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.looks_like_day_sign(p_field scheduler.schedule_field, p_text text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return p_text ~ '[?$#]' or case p_field.name
    when 'day of month' then p_text ~ '^[lw]+([^a-z]|$)|[0-9][lw]'
    when 'day of week' then p_text ~ '^l([^a-z]|$)|[0-9][lw]|^(sun|mon|tue|wed|thu|fri|sat)[lw]$'
    else p_text ~ '^(l|w|lw|l-[0-9]+|[0-9]+[lw]|(sun|mon|tue|wed|thu|fri|sat)l)$' end;
end;
$function$
;
comment on function scheduler.looks_like_day_sign(scheduler.schedule_field,text) is 'Whether an element in lower case, which is no plain value, was meant as a sign: L, W, #, ? or $.';
revoke all on function scheduler.looks_like_day_sign(scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.make_job_forecast(p_job scheduler_jobs, p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_forecast jsonb;
  v_first jsonb;
begin
  begin
    v_forecast := scheduler.job_forecast(p_job, p_plan, p_now);
  exception when query_canceled or others then
    -- The others are made all the same; this one again tomorrow.
    v_forecast := jsonb_build_object('days', 0, 'duration', null, 'findings', jsonb_build_array(), 'figures',
      jsonb_build_object(), 'cost', null, 'error', left(sqlerrm, 500));
    raise warning 'the forecast of % failed: %', p_job.name, sqlerrm;
  end;
  v_first := jsonb_path_query_first(v_forecast, '$.findings[*] ? (@.kind == "outgrows")');
  insert into scheduler.job_forecasts (job_name, made_at, job_updated_at, wall_clock_seconds, outgrows_limit,
      outgrows_on, forecast)
    values (p_job.name, p_now, p_job.updated_at, p_plan.wall_clock_seconds, v_first ->> 'limit',
      (v_first ->> 'on')::date, v_forecast)
    on conflict (job_name) do update set made_at = excluded.made_at, job_updated_at = excluded.job_updated_at,
      wall_clock_seconds = excluded.wall_clock_seconds, outgrows_limit = excluded.outgrows_limit,
      outgrows_on = excluded.outgrows_on, forecast = excluded.forecast;
end;
$function$
;
comment on function scheduler.make_job_forecast(scheduler_jobs,scheduler_plans,timestamp with time zone) is 'Makes the forecast of a job anew. One that fails says so in its "error".';
revoke all on function scheduler.make_job_forecast(scheduler_jobs,scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.make_project_forecast(p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_today constant date := scheduler.utc_day(p_now);
begin
  insert into scheduler.ledger_days (day, rows, bytes)
    select v_today, rows, bytes from scheduler.ledger_size() on conflict do nothing;
  -- Hours are compared for six weeks; they would be more than half of two years.
  update scheduler.job_days set hour_runs = '{}', hour_ms = '{}'
    where day between v_today - 80 and v_today - 50 and hour_runs <> '{}';
  delete from scheduler.job_forecasts where not exists (select from public.scheduler_jobs where name = job_name);
  insert into scheduler.project_forecast (made_at, made_with, ledger, cost)
    values (p_now, coalesce(p_plan::text, ''), scheduler.ledger_forecast(v_today),
      scheduler.cost_forecast(p_plan, v_today))
    on conflict (only_row) do update set made_at = excluded.made_at, made_with = excluded.made_with,
      ledger = excluded.ledger, cost = excluded.cost;
end;
$function$
;
comment on function scheduler.make_project_forecast(scheduler_plans,timestamp with time zone) is 'Notes how large the ledger is today, forgets the hours of days before the last 50, and makes the forecasts of ledger and cost anew.';
revoke all on function scheduler.make_project_forecast(scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.make_slots(p_group_name text, p_limit integer)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  delete from scheduler.group_slots where group_name = p_group_name;
  -- Runs that were sent before there was a limit hold slots as well. Those over the limit have slots of their own
  -- behind it, which go as runs end, so that no further run is sent before as few are under way as may be.
  insert into scheduler.group_slots (group_name, slot, run_id)
    select p_group_name, coalesce(slot, place), under_way.id
    from (
      select runs.id, row_number() over (order by runs.dispatched_at, runs.id)::integer as place
      from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = runs.job_name
      where jobs.group_name = p_group_name and runs.status in ('dispatched', 'running')) as under_way
      full join generate_series(1, p_limit) as slot on slot = place
    where p_limit is not null;
$function$
;
comment on function scheduler.make_slots(text,integer) is 'Gives a group as many slots as it has a limit (null: none), the first to what is under way. The caller holds the row locks of the group''s jobs.';
revoke all on function scheduler.make_slots(text,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.mark_all_waiting(p_job_name text, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update public.scheduler_runs as runs
    set waiting = scheduler.wait_for(runs, p_hold, p_now)
  where job_name = p_job_name and status = 'queued' and run_after is null
    -- What stops a job does not stop a person's run of it.
    and not (trigger = 'manual' and scheduler.is_stop((p_hold).kind))
    and (waiting ->> 'for', waiting ->> 'name', (waiting ->> 'until')::timestamptz)
      is distinct from ((p_hold).kind, (p_hold).name, (p_hold).until);
$function$
;
comment on function scheduler.mark_all_waiting(text,scheduler.hold,timestamp with time zone) is 'Writes down what all that waits of a job waits for. The caller holds the job''s row lock.';
revoke all on function scheduler.mark_all_waiting(text,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.mark_waiting(p_run scheduler_runs, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  -- Thousands may wait: they are written when they come, and when the job is stopped or goes on, not each time that
  -- another of its limits is reached first or that defer_if says something else, nor when one that waited alone comes
  -- to wait with them.
  if (p_hold).kind = 'defer_if' then
    -- Each until its own time is over.
    update public.scheduler_runs as runs set waiting = scheduler.wait_for(runs, ((p_hold).kind, (p_hold).name,
        (p_hold).until + (scheduler.put_off_from(runs, p_now) - scheduler.put_off_from(p_run, p_now)),
        null)::scheduler.hold, p_now)
      where job_name = p_run.job_name and status = 'queued' and run_after is null
        and (id = p_run.id or waiting is null);
    return;
  elsif p_run.waiting ->> 'for' is null
    or not (scheduler.is_limit(p_run.waiting ->> 'for') and scheduler.is_limit((p_hold).kind)
      or scheduler.waits_alone(p_run.waiting ->> 'for')) then
    perform scheduler.mark_all_waiting(p_run.job_name, p_hold, p_now);
    return;
  end if;
  update public.scheduler_runs
    set waiting = scheduler.wait_for(p_run, p_hold, p_now)
    where id = p_run.id and status = 'queued';
end;
$function$
;
comment on function scheduler.mark_waiting(scheduler_runs,scheduler.hold,timestamp with time zone) is 'Writes down what a run waits for together with all others of its job. The caller holds the job''s row lock.';
revoke all on function scheduler.mark_waiting(scheduler_runs,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.mark_waiting_alone(p_run scheduler_runs, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update public.scheduler_runs set
    waiting = scheduler.wait_for(p_run, p_hold, p_now),
    -- What has no end is looked at from time to time all the same.
    run_after = coalesce((p_hold).until, p_now + interval '1 hour')
  where id = p_run.id and status = 'queued';
$function$
;
comment on function scheduler.mark_waiting_alone(scheduler_runs,scheduler.hold,timestamp with time zone) is 'Writes down what a run alone waits for. The caller holds the job''s row lock.';
revoke all on function scheduler.mark_waiting_alone(scheduler_runs,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.matching_dates(p_parsed scheduler.parsed_schedule, p_from timestamp without time zone, p_to timestamp without time zone)
 RETURNS TABLE(day timestamp without time zone, by_month boolean, by_week boolean)
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
#variable_conflict use_column
begin
  if p_parsed.signs_of_month is null and p_parsed.signs_of_week is null then
    return query
    select date, extract(day from date)::integer = any (p_parsed.days_of_month),
      extract(dow from date)::integer = any (p_parsed.days_of_week)
    from generate_series(date_trunc('day', p_from), p_to, interval '1 day') as date
    where extract(month from date)::integer = any (p_parsed.months)
      and case when p_parsed.days_must_both_match
        then extract(day from date)::integer = any (p_parsed.days_of_month)
          and extract(dow from date)::integer = any (p_parsed.days_of_week)
        else extract(day from date)::integer = any (p_parsed.days_of_month)
          or extract(dow from date)::integer = any (p_parsed.days_of_week) end;
    return;
  end if;

  return query
  with months as materialized (
    select month, sets[1] as by_month, sets[2] as by_week,
      case when p_parsed.days_must_both_match then sets[1] & sets[2] else sets[1] | sets[2] end as days
    from (
      select month, scheduler.days_of_month(p_parsed, extract(day from month + interval '1 month -1 day')::integer,
        extract(dow from month)::integer) as sets
      from generate_series(date_trunc('month', p_from), p_to, interval '1 month') as month
      where extract(month from month)::integer = any (p_parsed.months) offset 0
    ) as of_months
  ), bits as materialized (
    select nth, 1::bigint << nth as bit, make_interval(days => nth - 1) as further from generate_series(1, 31) as nth
  )
  select month + further, months.by_month & bit <> 0, months.by_week & bit <> 0
  from months, bits
  where days & bit <> 0 and month + further >= date_trunc('day', p_from) and month + further <= p_to;
end;
$function$
;
comment on function scheduler.matching_dates(scheduler.parsed_schedule,timestamp without time zone,timestamp without time zone) is 'The dates from that of p_from to that of p_to which the month and day fields match, as their midnights; whether the day of month and the day of week match by themselves.';
revoke all on function scheduler.matching_dates(scheduler.parsed_schedule,timestamp without time zone,timestamp without time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.median(p_values double precision[])
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select percentile_cont(0.5) within group (order by value) from unnest(p_values) as value;
$function$
;
comment on function scheduler.median(double precision[]) is 'The median; null of none.';
revoke all on function scheduler.median(double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.merged_counts(p_one jsonb, p_other jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_object_agg(key, amount), '{}') from (
    select key, sum(value::bigint) as amount
    from (select * from jsonb_each_text(p_one) union all select * from jsonb_each_text(p_other)) as counts
    group by key) as sums;
$function$
;
comment on function scheduler.merged_counts(jsonb,jsonb) is 'The counts of both, by key.';
revoke all on function scheduler.merged_counts(jsonb,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.metric_windows()
 RETURNS TABLE(name text, length interval, step interval)
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- In hours: a day of the session's time zone may have 23.
  values ('1h', interval '1 hour', interval '5 minutes'), ('24h', interval '24 hours', interval '1 hour'),
    ('7d', interval '168 hours', interval '6 hours'), ('30d', interval '720 hours', interval '24 hours');
$function$
;
comment on function scheduler.metric_windows() is 'The windows of which metrics tell, and how often a copy is made that serves for the beginning of one.';
revoke all on function scheduler.metric_windows() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.metrics_of(p_names text[], p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_agg(jsonb_build_object('job', jobs.name, 'alias', jobs.alias, 'group', jobs.group_name,
    'windows', windows.all) order by jobs.name), '[]')
  from public.scheduler_jobs as jobs join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (
      select jsonb_object_agg(windows.name, scheduler.window_metrics(counters, first.copy)) as all
      from scheduler.metric_windows() as windows left join lateral (
        -- The oldest one that is at most a step older than the window is long.
        select rollups as copy from scheduler.rollups
        where job_name = jobs.name and taken_at >= p_now - windows.length - windows.step and taken_at <= p_now
        order by taken_at limit 1) as first on true
    ) as windows
  where jobs.name = any (p_names);
$function$
;
comment on function scheduler.metrics_of(text[],timestamp with time zone) is 'The windows of each of these jobs up to p_now, each from the roll-up at its beginning, or the oldest after it.';
revoke all on function scheduler.metrics_of(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.moment_of_grid(p_seconds integer, p_at timestamp with time zone, p_further integer)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return to_timestamp((floor(extract(epoch from p_at) / p_seconds) + p_further) * p_seconds);
end;
$function$
;
comment on function scheduler.moment_of_grid(integer,timestamp with time zone,integer) is 'The last moment at or before p_at that p_seconds since the epoch divide, and p_further of these intervals on: 1 gives the first one after p_at.';
revoke all on function scheduler.moment_of_grid(integer,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.month_ahead(p_days date[], p_values double precision[], p_today date)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('next_30_days', round(greatest(0, middle)), 'least', round(greatest(0, middle - reach)),
    'most', round(greatest(0, middle + reach)), 'a_day', round((trend).slope::numeric, 3), 'days', (trend).days,
    'since', (trend).first_day)
  from scheduler.trend_of(p_days, p_values, p_today) as trend,
    -- What lies before a step is left out here, too.
    lateral (select cardinality(p_days) - (trend).days + 1 as first) as since, lateral (
    select 30 * case when (trend).slope is null then scheduler.usual_a_day(p_days[first:], p_values[first:])
        else (trend).level + 15 * (trend).slope end as middle,
      30 * (2.45 * (trend).spread / sqrt((trend).days)
        + 15 * coalesce(greatest((trend).slope - (trend).slope_least, (trend).slope_most - (trend).slope), 0))
      as reach) as month
  where (trend).days is not null;
$function$
;
comment on function scheduler.month_ahead(date[],double precision[],date) is 'What the next 30 days come to, by what each day was, ascending, and between what and what; null of fewer than 14 days.';
revoke all on function scheduler.month_ahead(date[],double precision[],date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.move_cursor(p_job scheduler_jobs, p_previous timestamp with time zone, p_next timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_entry text;
begin
  -- Zones change their rules, UTC has none. The entry in pg_cron is checked against each next occurrence.
  if p_job.time_zone <> 'UTC' and p_next is not null and not scheduler.entry_covers(p_job.cron_entry, p_next) then
    v_entry := scheduler.compile_schedule(p_job.schedule, p_job.time_zone);
  end if;
  update public.scheduler_jobs
    set next_run_at = p_next, previous_run_at = p_previous, cron_entry = coalesce(v_entry, cron_entry)
    where name = p_job.name;
  if v_entry is not null then
    perform scheduler.sync_cron_entry(p_job.name);
  end if;
end;
$function$
;
comment on function scheduler.move_cursor(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'Sets the job''s next occurrence and the one before it, and compiles pg_cron''s entry anew when it does not cover it.';
revoke all on function scheduler.move_cursor(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ms_text(p_ms numeric)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- A limit of 150 s is not one of 3 minutes.
  select case when p_ms < 1000 then round(p_ms) || ' ms'
    when p_ms < 600000 then trim_scale(round(p_ms / 1000, 1)) || ' s'
    when p_ms < 7200000 then trim_scale(round(p_ms / 60000, 1)) || ' minutes'
    else trim_scale(round(p_ms / 3600000, 1)) || ' hours' end;
$function$
;
comment on function scheduler.ms_text(numeric) is 'How long so many milliseconds are, to a tenth of a second, a minute or an hour.';
revoke all on function scheduler.ms_text(numeric) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.named_schedule(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
  select case lower(p_text collate "C")
    when '@hourly' then '0 * * * *'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *'
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
  end;
$function$
;
comment on function scheduler.named_schedule(text) is 'The five fields that a name such as @daily stands for; null for any other text.';
revoke all on function scheduler.named_schedule(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.nearest_weekday(p_day integer, p_length integer, p_first_weekday integer)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return case when p_day <= p_length then case (p_first_weekday + p_day - 1) % 7
    when 6 then case when p_day > 1 then p_day - 1 else 3 end
    when 0 then case when p_day < p_length then p_day + 1 else p_day - 2 end
    else p_day end end;
end;
$function$
;
comment on function scheduler.nearest_weekday(integer,integer,integer) is 'The weekday nearest to a day, in a month of p_length days that begins on p_first_weekday (Sunday is 0); null where the month has no such day.';
revoke all on function scheduler.nearest_weekday(integer,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.needed_dates(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamp with time zone)
 RETURNS TABLE(utc_offset integer, falls_on timestamp without time zone, day timestamp without time zone, by_month boolean, by_week boolean, is_whole boolean, minute_from double precision, minute_to double precision)
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
  with stretches as (
    select greatest(local_from, p_from at time zone 'UTC' + utc_offset) as local_from, local_to,
      extract(epoch from utc_offset)::integer / 60 as utc_offset, falls_on at time zone 'UTC' as falls_on
    from scheduler.local_stretches(p_parsed, p_time_zone, p_from, p_from + scheduler.compiled_span(p_parsed))
    where falls_on is null or falls_on >= p_from
  )
  select utc_offset, falls_on, day, by_month, by_week,
    falls_on is null and day >= local_from and day + interval '1 day' <= local_to,
    ceil(date_part('epoch', local_from - day) / 60), ceil(date_part('epoch', local_to - day) / 60)
  from stretches, lateral scheduler.matching_dates(p_parsed, local_from, local_to)
  -- Where every date is wanted, one whole date of a stretch stands for all.
  where local_from < local_to and (not (select scheduler.is_every_date(p_parsed))
    or day < local_from + interval '3 days' or day > local_to - interval '3 days');
$function$
;
comment on function scheduler.needed_dates(scheduler.parsed_schedule,text,timestamp with time zone) is 'The local dates of the years from p_from (scheduler.compiled_span) that a schedule matches, by the stretch that they lie in: its offset from UTC in minutes; for the times that a change skips, when they run (falls_on, UTC); whether the whole date lies in the stretch, else its minutes [minute_from, minute_to) do.';
revoke all on function scheduler.needed_dates(scheduler.parsed_schedule,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.needed_utc_values(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamp with time zone)
 RETURNS scheduler.utc_values
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
    scheduler.listed_bits(bit_or(of_week) filter (where by_week)),
    scheduler.listed_bits(bit_or(of_month) filter (where by_month and of_week & named.of_weeks = 0)),
    scheduler.listed_bits(bit_or(of_week) filter (where by_week and of_month & named.of_months = 0))
  from day_bits, (
    select coalesce(bit_or(of_month) filter (where by_month), 0) as of_months,
      coalesce(bit_or(of_week) filter (where by_week), 0) as of_weeks
    from day_bits) as named;
$function$
;
comment on function scheduler.needed_utc_values(scheduler.parsed_schedule,text,timestamp with time zone) is 'What the occurrences of the years from p_from (scheduler.compiled_span) need of each field in UTC; empty arrays where there is none.';
revoke all on function scheduler.needed_utc_values(scheduler.parsed_schedule,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.new_run(p_job scheduler_jobs, p_trigger text, p_scheduled_for timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  v_run.priority := coalesce(p_job.priority, 0);
  v_run.turn := 0;
  v_run.failures := 0;
  v_run.created_at := now();
  return v_run;
end;
$function$
;
comment on function scheduler.new_run(scheduler_jobs,text,timestamp with time zone) is 'A queued run of the job for that moment, first attempt, with the job''s payload. Writes nothing: see add_runs.';
revoke all on function scheduler.new_run(scheduler_jobs,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.newest_state(p_job_name text, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
  v_gap public.scheduler_runs;
  v_kept scheduler.kept_occurrences;
  v_stands_for public.scheduler_runs;
begin
  -- What a calendar turned away does not count.
  select * into v_run from public.scheduler_runs as runs
    where job_name = p_job_name and scheduled_for <= p_at and trigger <> 'manual'
      and skip_kind is distinct from 'calendar' and scheduler.is_of_occurrence(runs)
    order by scheduled_for desc, attempt desc limit 1;
  -- A gap row may have begun before it and have newer occurrences.
  select * into v_gap from public.scheduler_runs
    where job_name = p_job_name and occurrences > 1 and scheduled_until > v_run.scheduled_for
      and scheduled_for < v_run.scheduled_for and p_at > v_run.scheduled_for
    limit 1;
  if found then
    v_run := v_gap;
  end if;
  select * into v_kept from scheduler.kept_occurrences where job_name = p_job_name and scheduled_for <= p_at;
  -- Failures are kept longer than successes: what is left of an occurrence may be its first attempt alone.
  if v_kept.scheduled_for > v_run.scheduled_for or v_run.id is null
    or v_kept.scheduled_for = v_run.scheduled_for and v_kept.state = 'completed' then
    return v_kept.state;
  elsif v_run.occurrences > 1 then
    return v_run.status;
  elsif v_run.skip_kind not in ('overlap', 'queue_full') or v_run.skip_kind is null then
    return scheduler.occurrence_state(p_job_name, v_run.scheduled_for);
  end if;
  select * into v_stands_for from public.scheduler_runs where id = v_run.stands_for;
  return case
    when v_stands_for.id is null then 'skipped'
    when v_stands_for.trigger <> 'manual' then scheduler.occurrence_state(p_job_name, v_stands_for.scheduled_for)
    when v_stands_for.completed_at is null then 'open'
    else v_stands_for.status end;
end;
$function$
;
comment on function scheduler.newest_state(text,timestamp with time zone) is 'The state of the job''s newest recorded occurrence at or before p_at, as occurrence_state has it; one skipped for overlap has that of the run it overlapped. Null when none was ever recorded.';
revoke all on function scheduler.newest_state(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_attempt(p_run scheduler_runs, p_trigger text, p_failures integer)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
begin
  v_run.id := gen_random_uuid();
  v_run.job_name := p_run.job_name;
  v_run.function_name := p_run.function_name;
  v_run.status := 'queued';
  v_run.trigger := p_trigger;
  v_run.scheduled_for := p_run.scheduled_for;
  v_run.occurrences := 1;
  v_run.attempt := coalesce((
    select max(attempt) from public.scheduler_runs
    where job_name = p_run.job_name and scheduled_for = p_run.scheduled_for), p_run.attempt) + 1;
  v_run.failures := p_failures;
  v_run.max_attempts := greatest(p_run.max_attempts, p_failures + 1);
  v_run.timeout_seconds := p_run.timeout_seconds;
  v_run.payload := p_run.payload;
  v_run.key := p_run.key;
  v_run.priority := p_run.priority;
  v_run.turn := p_run.turn;
  v_run.interval_from := p_run.interval_from;
  v_run.receipt := p_run.receipt;
  v_run.created_at := now();
  return v_run;
end;
$function$
;
comment on function scheduler.next_attempt(scheduler_runs,text,integer) is 'The next attempt at what the run is an attempt at, after so many that failed; queued, with the run''s own payload, key and interval. Writes nothing: see add_runs.';
revoke all on function scheduler.next_attempt(scheduler_runs,text,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_event(p_is_open boolean, p_severity text, p_said_event text, p_said_severity text, p_said_at timestamp with time zone, p_times bigint, p_wants boolean, p_repeat interval, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when not p_is_open then case when p_said_event is not null and p_said_event <> 'ended' then 'ended' end
    when not p_wants then null
    when p_said_event is null then 'opened'
    when scheduler.severity_rank(p_severity) > scheduler.severity_rank(p_said_severity) then 'worse'
    when p_now >= p_said_at + least(p_repeat * power(2, least(p_times, 20) - 1), interval '1 day') then 'again'
  end;
$function$
;
comment on function scheduler.next_event(boolean,text,text,text,timestamp with time zone,bigint,boolean,interval,timestamp with time zone) is 'What is to be said of an alert to a channel now, by what was said last, when, and how often in all: opened, worse, again, ended, or null. The end is said to whoever was told of the beginning.';
revoke all on function scheduler.next_event(boolean,text,text,text,timestamp with time zone,bigint,boolean,interval,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_matching_date(p_parsed scheduler.parsed_schedule, p_from date)
 RETURNS date
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_date date := p_from;
  v_month integer;
  v_day integer;
  v_last_day integer;
  v_next integer;
begin
  if p_parsed.signs_of_month is not null or p_parsed.signs_of_week is not null then
    return scheduler.next_signed_date(p_parsed, p_from);
  end if;
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
$function$
;
comment on function scheduler.next_matching_date(scheduler.parsed_schedule,date) is 'The first date on or after p_from whose month and day fields match; null when there is none.';
revoke all on function scheduler.next_matching_date(scheduler.parsed_schedule,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_occurrence(p_schedule text, p_time_zone text, p_after timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  if v_parsed.interval_seconds is not null then
    return scheduler.moment_of_grid(v_parsed.interval_seconds, p_after, 1);
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
$function$
;
comment on function scheduler.next_occurrence(text,text,timestamp with time zone) is 'The first occurrence strictly after p_after, in the IANA time zone given; null when the schedule never occurs (30 February). Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.next_occurrence(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_of_all(p_at timestamp with time zone, p_name text, p_now timestamp with time zone)
 RETURNS TABLE(job text, run_at timestamp with time zone, time_zone text, note text)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select name, next_run_at, time_zone, scheduler.next_run_note(jobs, next_run_at)
  from public.scheduler_jobs as jobs
  where enabled and next_run_at is not null and (p_at is null or (next_run_at, name) > (p_at, p_name))
  order by next_run_at, name limit 101;
$function$
;
comment on function scheduler.next_of_all(timestamp with time zone,text,timestamp with time zone) is 'The next occurrence of each enabled job that has one, the first 101 after that place, in order of time.';
revoke all on function scheduler.next_of_all(timestamp with time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_run(p_job scheduler_jobs, p_after timestamp with time zone, OUT run_at timestamp with time zone, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  if not p_job.enabled then
    fault := 'is disabled: register it with enabled => true';
  elsif p_job.continuous then
    fault := 'is continuous: ' || coalesce('its next run waits ' || coalesce(
      scheduler.stopped_because(p_job, p_after), (
        select scheduler.wait_reason(p_job, runs, p_after) from public.scheduler_runs as runs
        where job_name = p_job.name and status = 'queued' and waiting ->> 'for' = 'retry' limit 1)),
      'one run follows the other');
  elsif p_job.schedule is null and p_job.depends_on <> '{}' then
    fault := format('has no schedule: it runs for each occurrence of %s', array_to_string(p_job.depends_on, ', '));
  elsif p_job.schedule is null then
    fault := 'has no schedule: it runs when it is enqueued or called';
  else
    run_at := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_after);
    fault := case when run_at is null then 'never occurs again: register it with another schedule' end;
  end if;
exception when invalid_parameter_value then
  fault := sqlerrm || '; register it again with a right one';
end;
$function$
;
comment on function scheduler.next_run(scheduler_jobs,timestamp with time zone) is 'The job''s first occurrence after a moment, or why it has none: disabled, no schedule, a schedule or a time zone that cannot be read.';
revoke all on function scheduler.next_run(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_run_note(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(scheduler.stretch_note(p_job, p_at), case
    when stop is not null then 'will be skipped: ' || scheduler.stop_note(p_job, stop)
    when label is not null then 'will be skipped: calendar: ' || label
    when breaker.opened_at is not null and scheduler.breaker_state(breaker.opened_at, p_job.breaker_cooldown_seconds,
      p_at) = 'open' then format('will be skipped: breaker: open since %s', scheduler.local_text(breaker.opened_at,
        p_job.time_zone))
    else nullif(concat_ws('; ',
      case when p_job.depends_on <> '{}' then scheduler.dependencies_note(p_job, p_at) end,
      case when p_job.jitter_seconds > 0 then format('is sent %s s later', round(extract(epoch from
        scheduler.jitter(p_job.name, p_at, p_job.jitter_seconds)), 1)) end,
      case when p_job.defer_if is not null then format('%s may put it off, until %s at the latest', p_job.defer_if,
        scheduler.local_second_text(p_at + make_interval(secs => p_job.defer_at_most_seconds), p_job.time_zone)) end),
      '') end)
  from (select scheduler.stop_kind(p_job, p_at) as stop, scheduler.calendar_label(p_job, p_at) as label) as asked
    left join public.scheduler_breakers as breaker on job_name = p_job.name;
$function$
;
comment on function scheduler.next_run_note(scheduler_jobs,timestamp with time zone) is 'What is known today of an occurrence to come: why it is left out or will be skipped, what it waits for, its jitter, what may put it off; null when nothing is.';
revoke all on function scheduler.next_run_note(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_runs(p_job_name text DEFAULT NULL::text, p_count integer DEFAULT 5, p_now timestamp with time zone DEFAULT now())
 RETURNS TABLE(job_name text, run_at timestamp with time zone, local_time timestamp without time zone, time_zone text, note text)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
    note := scheduler.next_run_note(v_job, run_at);
    return next;
    v_next[v_place] := (scheduler.next_run(v_job, run_at)).run_at;
  end loop;
  return query
    select jobs.name, null::timestamptz, null::timestamp, jobs.time_zone, faults.fault
    from unnest(v_faults) with ordinality as faults (fault, place)
    join unnest(v_jobs) with ordinality as jobs on jobs.ordinality = faults.place
    where faults.fault is not null order by faults.place;
end;
$function$
;
comment on function scheduler.next_runs(text,integer,timestamp with time zone) is 'What runs next, of one job or of all enabled ones: the next p_count occurrences in order of time, each as an instant and as local time. After them a row without a time for each job that has none, with the reason in note (no schedule, a time zone that Postgres does not know). Raises SD001 for an unknown job; 22023 for a count outside 1 to 1000.';
revoke all on function scheduler.next_runs(text,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_signed_date(p_parsed scheduler.parsed_schedule, p_from date)
 RETURNS date
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_month date := date_trunc('month', p_from::timestamp);
  v_next_month date;
  v_sets bigint[];
  v_days bigint;
begin
  while v_month <= p_from + 14975 loop
    v_next_month := v_month + interval '1 month';
    if extract(month from v_month)::integer = any (p_parsed.months) then
      v_sets := scheduler.days_of_month(p_parsed, v_next_month - v_month, extract(dow from v_month)::integer);
      v_days := case when p_parsed.days_must_both_match then v_sets[1] & v_sets[2] else v_sets[1] | v_sets[2] end;
      for v_day in greatest(p_from - v_month, 0) + 1..v_next_month - v_month loop
        if v_days & (1::bigint << v_day) <> 0 then
          return v_month + v_day - 1;
        end if;
      end loop;
    end if;
    v_month := v_next_month;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.next_signed_date(scheduler.parsed_schedule,date) is 'next_matching_date of a schedule with day signs: month by month.';
revoke all on function scheduler.next_signed_date(scheduler.parsed_schedule,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_times(p_job scheduler_jobs, p_count integer, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_zone constant text := scheduler.shown_time_zone(p_job.time_zone);
  v_next record;
  v_after timestamptz := p_now;
  v_times jsonb := jsonb_build_array();
begin
  for i in 1 .. p_count loop
    v_next := scheduler.next_run(p_job, v_after);
    v_after := v_next.run_at;
    if v_next.run_at is null then
      v_times := v_times || jsonb_build_object('note', v_next.fault);
      exit;
    end if;
    v_times := v_times || jsonb_build_object('at', v_next.run_at,
      'local', to_char(v_next.run_at at time zone v_zone, case when v_next.run_at = date_trunc('minute', v_next.run_at)
        then 'YYYY-MM-DD HH24:MI' else 'YYYY-MM-DD HH24:MI:SS' end),
      'note', scheduler.next_run_note(p_job, v_next.run_at));
  end loop;
  return jsonb_build_object('time_zone', v_zone, 'times', v_times);
end;
$function$
;
comment on function scheduler.next_times(scheduler_jobs,integer,timestamp with time zone) is 'The next occurrences of a job with these values: {"time_zone", "times": [{"at", "local", "note"}]}; where it has no further one the last is {"note": why}.';
revoke all on function scheduler.next_times(scheduler_jobs,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_turns(p_job_name text, p_runs jsonb)
 RETURNS TABLE(key text, next_turn bigint)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
#variable_conflict use_column
begin
  return query
  select wanted.key, greatest(served.turn, (
    select max(runs.turn) + 1 from public.scheduler_runs as runs
    where job_name = p_job_name and runs.key = wanted.key and completed_at is null))
  from (select distinct run ->> 'key' as key from jsonb_array_elements(p_runs) as run) as wanted,
    (select coalesce(max(turn), 0) + 1 as turn from public.scheduler_runs
      where job_name = p_job_name and status in ('dispatched', 'running')) as served;
end;
$function$
;
comment on function scheduler.next_turns(text,jsonb) is 'For each key among the runs that are asked for: the turn of its next run.';
revoke all on function scheduler.next_turns(text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_waiting(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET enable_sort TO 'off'
AS $function$
declare
  v_run public.scheduler_runs;
  v_next public.scheduler_runs;
  v_priority numeric;
  v_highest numeric;
  v_below integer := 1000;
begin
  -- The first of each priority, by the index; there are few priorities, and may be many runs.
  loop
    select * into v_run from public.scheduler_runs
      where job_name = p_job.name and status = 'queued' and run_after is null and priority < v_below
      order by priority desc, turn, scheduled_for, attempt limit 1;
    exit when not found;
    v_below := v_run.priority;
    v_priority := scheduler.effective_priority(p_job, v_run, p_now);
    if v_highest is null or v_priority > v_highest
      or v_priority = v_highest and v_run.scheduled_for < v_next.scheduled_for then
      v_next := v_run;
      v_highest := v_priority;
    end if;
  end loop;
  return v_next;
end;
$function$
;
comment on function scheduler.next_waiting(scheduler_jobs,timestamp with time zone) is 'Which of the job''s waiting runs goes next: by priority, which waiting raises; of one priority the keys take turns; then the oldest occurrence. Null when none may go but for its job.';
revoke all on function scheduler.next_waiting(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.no_run_facts(p_job scheduler_jobs, p_minute timestamp with time zone, p_until timestamp with time zone, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_gap public.scheduler_runs;
  v_last timestamptz;
begin
  if p_minute < date_trunc('minute', p_job.created_at) then
    return jsonb_build_object('kind', 'not_registered_yet',
      'registered', scheduler.local_text(p_job.created_at, p_job.time_zone));
  elsif p_job.schedule is null then
    return jsonb_build_object('kind', 'no_schedule', 'enabled', p_job.enabled, 'runs', case
      when p_job.continuous then 'without a break, one run after the other' || coalesce('; now it waits '
        || scheduler.stopped_because(p_job, p_now), '')
      when p_job.depends_on <> '{}' then 'for each occurrence of ' || array_to_string(p_job.depends_on, ', ')
      else 'only when it is enqueued or called' end);
  end if;
  -- An interval of seconds may have several occurrences in the minute: the last of them is explained.
  select max(at) into v_last
    from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_minute, p_until) as at;
  if v_last is null or v_last < p_job.created_at then
    return scheduler.not_due_facts(p_job, p_minute, p_now);
  end if;
  select * into v_gap from public.scheduler_runs
    where job_name = p_job.name and occurrences > 1 and scheduled_for <= v_last and scheduled_until >= p_minute
    limit 1;
  return case
    when found then scheduler.gap_facts(p_job, v_gap)
    when not p_job.enabled then jsonb_build_object('kind', 'disabled')
    when v_last > p_now then jsonb_build_object('kind', 'to_come', 'due_at', v_last,
      'wait_seconds', extract(epoch from v_last - p_now)::bigint,
      'note', scheduler.next_run_note(p_job, v_last))
    when p_job.next_run_at <= v_last then (
      select jsonb_build_object('kind', 'not_recorded', 'error', state.errors ->> p_job.name,
        'pulse_age_seconds', extract(epoch from p_now - state.last_pulse_at)::bigint)
      from (select) as always left join scheduler.pulse_state as state on true)
    else coalesce(scheduler.left_out_facts(p_job, v_last), case when p_job.run_if is not null
      then jsonb_build_object('kind', 'no_work', 'run_if', p_job.run_if) end, jsonb_build_object('kind', 'no_row',
      'keep_successes_days', scheduler.setting('scheduler.keep_successes_days'),
      'keep_failures_days', scheduler.setting('scheduler.keep_failures_days')))
  end;
exception when invalid_parameter_value then
  return jsonb_build_object('kind', 'unreadable', 'fault', sqlerrm);
end;
$function$
;
comment on function scheduler.no_run_facts(scheduler_jobs,timestamp with time zone,timestamp with time zone,timestamp with time zone) is 'The facts of a minute [p_minute, p_until) of which the job has no row: why not, or when it is due.';
revoke all on function scheduler.no_run_facts(scheduler_jobs,timestamp with time zone,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.no_run_sentence(p_facts jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select p_facts ->> 'job' || case p_facts ->> 'kind'
    when 'not_registered_yet'
      then format(' did not run at %s: it was registered only at %s.', at, p_facts ->> 'registered')
    when 'no_schedule' then format(' has no run at %s: it has no schedule and runs %s%s.', at,
      p_facts ->> 'runs', case when (p_facts ->> 'enabled')::boolean then ''
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
      scheduler.duration_text((p_facts ->> 'wait_seconds')::numeric),
      coalesce(', and ' || (p_facts ->> 'note'), ''))
    when 'not_recorded' then format(
      ' was due at %s and is not in the ledger yet: neither pg_cron nor the pulse has looked at it; the last pulse '
        'was %s%s.',
      at, coalesce((p_facts ->> 'pulse_age_seconds') || ' s ago', 'never'),
      coalesce(', and says: ' || (p_facts ->> 'error'), ''))
    when 'left_out' then format(' did not run at %s: it had found nothing %s at %s, and is asked less often until it '
      'finds something%s.', at, case p_facts ->> 'runs' when '1' then 'before,' else 'several times in a row, the last '
      'time' end, p_facts ->> 'found_nothing_at',
      coalesce('; it is asked again at ' || (p_facts ->> 'asked_again_at'), ''))
    when 'no_work'
      then format(' did not run at %s: there was nothing to do, by its run_if %s.', at, p_facts ->> 'run_if')
    when 'no_row' then format(' has no row for %s: it was registered with other times then, or the row was pruned '
      '(successes after %s days, failures after %s).', at, p_facts ->> 'keep_successes_days',
      p_facts ->> 'keep_failures_days')
    when 'unreadable' then format(' has no run at %s, and cannot have any: %s; register it again with a right one.', at,
      p_facts ->> 'fault')
  end
  from (select p_facts ->> 'when' as at) as moment;
$function$
;
comment on function scheduler.no_run_sentence(jsonb) is 'The sentence of a minute of which the job has no row: why not, or when it is due.';
revoke all on function scheduler.no_run_sentence(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_alert_events(p_since timestamp with time zone, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  -- A transaction can commit a little later than others that began after it.
  insert into scheduler.alert_events as events (job_name, happened_at)
    select job_name, max(completed_at) from public.scheduler_runs as runs
    where status = 'skipped' and completed_at > coalesce(p_since, p_now - interval '1 hour') - interval '1 minute'
      and scheduler.is_dependency_timeout(skip_kind, skip_reason)
      and exists (select from public.scheduler_jobs where name = runs.job_name)
    group by job_name
    on conflict (job_name) do update set happened_at = excluded.happened_at
      where events.happened_at < excluded.happened_at;
  delete from scheduler.alert_events as events using scheduler.run_counters as counters
    where counters.job_name = events.job_name and counters.last_success_at >= events.happened_at;
$function$
;
comment on function scheduler.note_alert_events(timestamp with time zone,timestamp with time zone) is 'Keeps alert_events, by what happened since the rules were last looked at (null: in the last hour).';
revoke all on function scheduler.note_alert_events(timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_answers(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_count integer;
begin
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
  select count(*) into v_count from noted;
  return v_count;
end;
$function$
;
comment on function scheduler.note_answers(timestamp with time zone) is 'Writes down the answers to runs that are at work or over. Returns how many.';
revoke all on function scheduler.note_answers(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_breaker(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_breaker public.scheduler_breakers;
  v_after public.scheduler_breakers;
begin
  insert into public.scheduler_breakers (job_name) values (p_job.name) on conflict do nothing;
  select * into v_breaker from public.scheduler_breakers where job_name = p_job.name for update;
  v_after := scheduler.breaker_after(v_breaker, p_job.breaker_failures, p_run.id, p_run.status, p_now);
  if v_after = v_breaker or v_after is not distinct from v_breaker then
    return;
  end if;
  update public.scheduler_breakers
    set failures = v_after.failures, opened_at = v_after.opened_at, tried_by = v_after.tried_by
    where job_name = p_job.name;
  if v_breaker.opened_at is null and v_after.opened_at is not null then
    perform scheduler.log_activity(p_job.name, format('its breaker opens after %s in a row: the next try is in %s',
      scheduler.count_text(v_after.failures, 'failure'), scheduler.duration_text(p_job.breaker_cooldown_seconds)),
      'error', jsonb_build_object('run_id', p_run.id), p_now);
  elsif v_breaker.opened_at is not null and v_after.opened_at is null then
    perform scheduler.log_activity(p_job.name, 'its breaker closes: a run has completed',
      p_details => jsonb_build_object('run_id', p_run.id), p_now => p_now);
  end if;
end;
$function$
;
comment on function scheduler.note_breaker(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'Tells the job''s breaker how a run ended, and scheduler_activity when it opens or closes. The caller holds the job''s row lock.';
revoke all on function scheduler.note_breaker(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_defer_fault(p_job scheduler_jobs, p_fault text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_said constant text := 'nothing of it is put off: ';
begin
  raise warning '%: %', p_job.name, v_said || p_fault;
  -- It is asked each minute.
  if not exists (
    select from public.scheduler_activity
    where occurred_at > p_now - interval '1 hour' and occurred_at <= p_now and source = p_job.name
      and starts_with(message, v_said)) then
    perform scheduler.log_activity(p_job.name, v_said || p_fault, 'warning', p_now => p_now);
  end if;
end;
$function$
;
comment on function scheduler.note_defer_fault(scheduler_jobs,text,timestamp with time zone) is 'Says that the job''s defer_if cannot be asked: in the server''s log, and in scheduler_activity once an hour.';
revoke all on function scheduler.note_defer_fault(scheduler_jobs,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_entry(p_source text, p_entry jsonb)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.note_source(p_source, name, scheduler.entry_values(p_entry))
  from public.scheduler_jobs where name = p_entry ->> 'name';
$function$
;
comment on function scheduler.note_entry(text,jsonb) is 'Notes that a version before registered the job of this entry, if it is still there: what people have changed of it since then is changed by hand. Raises what register_entry raises.';
revoke all on function scheduler.note_entry(text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_idle_run(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_before scheduler.stretches;
  v_idle integer;
  v_asked_for timestamptz;
begin
  select * into v_before from scheduler.stretches where job_name = p_job.name;
  v_idle := least(1000000, 1 + coalesce(v_before.idle_in_row, 0));
  -- Of runs beside each other an older one may end last. After the end of this one: the clock was set back.
  v_asked_for := case when v_before.asked_for between p_run.scheduled_for and p_run.completed_at
    then v_before.asked_for else p_run.scheduled_for end;
  insert into scheduler.stretches as stretches (job_name, idle_in_row, asked_for, asked_again_at)
    values (p_job.name, v_idle, v_asked_for, greatest(
      -- What was left out before this run ended stays so.
      case when v_before.asked_for <= v_asked_for and v_before.asked_again_at > v_asked_for
        then v_before.asked_again_at end,
      scheduler.asked_again_at(p_job, v_asked_for, scheduler.stretch_step(v_idle, p_job.stretch_after))))
    on conflict (job_name) do update set idle_in_row = excluded.idle_in_row, asked_for = excluded.asked_for,
      asked_again_at = excluded.asked_again_at;
end;
$function$
;
comment on function scheduler.note_idle_run(scheduler_jobs,scheduler_runs) is 'Keeps the job''s stretch after a run that found nothing. The caller holds the job''s row lock.';
revoke all on function scheduler.note_idle_run(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_parallel(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_before scheduler.parallel_states;
  v_after scheduler.parallel_states;
begin
  -- It was never under way.
  if p_run.dispatched_at is null then
    return;
  end if;
  select * into v_before from scheduler.parallel_states where job_name = p_job.name;
  if not found then
    v_before := row(p_job.name, p_job.parallel_least, 0, 0, 0, 0, null);
  end if;
  v_after := scheduler.parallel_after(v_before, p_job.parallel_least, p_job.parallel_limit,
    scheduler.parallel_sign(p_run),
    -- A URL sends no receipt of its beginning. The clock may have been set back since it was sent.
    coalesce(p_run.duration_ms, least(2147483647, greatest(0,
      extract(epoch from p_run.completed_at - p_run.dispatched_at) * 1000)))::bigint,
    scheduler.parallel_demand(scheduler.next_waiting(p_job, p_run.completed_at)),
    (select count(*)::integer from public.scheduler_runs
      where job_name = p_job.name and status in ('dispatched', 'running')));
  insert into scheduler.parallel_states as states
    select (v_after).*
    on conflict (job_name) do update set in_force = excluded.in_force, stale = excluded.stale, ended = excluded.ended,
      failed = excluded.failed, duration_ms = excluded.duration_ms, usual_ms = excluded.usual_ms;
end;
$function$
;
comment on function scheduler.note_parallel(scheduler_jobs,scheduler_runs) is 'Keeps how many of the job''s runs may be under way at once, after one has ended. The caller holds the job''s row lock.';
revoke all on function scheduler.note_parallel(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_source(p_source text, p_job_name text, p_applied jsonb)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  insert into scheduler.job_sources as sources (job_name, source, applied, applied_at)
    select name, p_source, p_applied, case when p_applied is not null then clock_timestamp() end
    from public.scheduler_jobs where name = p_job_name
    on conflict (job_name) do update
      set source = excluded.source, applied = excluded.applied, applied_at = excluded.applied_at;
$function$
;
comment on function scheduler.note_source(text,text,jsonb) is 'Notes that the job was registered by that section of schedules.json, with these values, or with null by the SQL of that pack. Of a name that no job has it notes nothing.';
revoke all on function scheduler.note_source(text,text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_stop(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_stop constant text := scheduler.stop_now(p_job, p_now);
begin
  if v_stop is null then
    perform scheduler.forget_waiting(p_job.name, scheduler.stop_kinds());
  else
    perform scheduler.mark_all_waiting(p_job.name, (v_stop, case v_stop when 'group_paused' then p_job.group_name end,
      scheduler.stop_until(p_job, v_stop), null)::scheduler.hold, p_now);
  end if;
end;
$function$
;
comment on function scheduler.note_stop(scheduler_jobs,timestamp with time zone) is 'After a person has stopped the job or let it go: writes down whether that holds back what waits of it. The caller holds the job''s row lock.';
revoke all on function scheduler.note_stop(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_stretch(p_job scheduler_jobs, p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_sign constant text := scheduler.stretch_sign(p_run);
begin
  if v_sign in ('found', 'failed') then
    -- Once an occurrence after it has run the stretch begins no interval any more.
    delete from scheduler.stretches
      where job_name = p_job.name and coalesce(asked_again_at <= p_run.scheduled_for
        and scheduler.is_of_occurrence(p_run), true);
    perform scheduler.end_stretch(p_job, p_run.completed_at);
  elsif v_sign = 'idle' then
    perform scheduler.note_idle_run(p_job, p_run);
  end if;
end;
$function$
;
comment on function scheduler.note_stretch(scheduler_jobs,scheduler_runs) is 'Keeps the job''s stretch after a run has ended. The caller holds the job''s row lock.';
revoke all on function scheduler.note_stretch(scheduler_jobs,scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.note_try(p_job scheduler_jobs, p_run_id uuid)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  -- A person's run goes beside the one that tries, and does not take its place.
  update public.scheduler_breakers set tried_by = p_run_id
  where job_name = p_job.name and opened_at is not null and not exists (
    select from public.scheduler_runs where id = tried_by and completed_at is null);
$function$
;
comment on function scheduler.note_try(scheduler_jobs,uuid) is 'The run that is sent now is the one that tries, where the job''s breaker is not closed.';
revoke all on function scheduler.note_try(scheduler_jobs,uuid) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.obstacle(p_job_name text, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_name text := p_job_name;
  v_job public.scheduler_jobs;
  v_breaker public.scheduler_breakers;
  v_stop text;
begin
  for i in 1 .. 100 loop
    select * into v_job from public.scheduler_jobs where name = v_name;
    exit when not found;
    v_stop := scheduler.stop_now(v_job, p_now);
    select * into v_breaker from public.scheduler_breakers where job_name = v_name;
    if not v_job.enabled then
      return format('%s is disabled', v_name);
    elsif v_stop is not null then
      return format(case v_stop when 'paused' then '%s is %s' else '%s is stopped, as %s' end, v_name,
        scheduler.stop_note(v_job, v_stop));
    elsif v_breaker.opened_at is not null then
      return format('the breaker of %s is %s after %s in a row', v_name, scheduler.breaker_state(v_breaker.opened_at,
        v_job.breaker_cooldown_seconds, p_now), scheduler.count_text(v_breaker.failures, 'failure'));
    end if;
    select waiting ->> 'name' into v_name from public.scheduler_runs
      where job_name = v_name and status = 'queued' and waiting ->> 'for' = 'dependency'
      order by scheduled_for limit 1;
    exit when not found;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.obstacle(text,timestamp with time zone) is 'What keeps a job from running that others wait for, or one that it waits for itself: disabled, stopped by a person, its breaker; null when nothing does.';
revoke all on function scheduler.obstacle(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.occurrence_near(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  if p_at = date_trunc('minute', p_at) then
    return null;
  elsif p_job.continuous then
    return (select max(scheduled_for) from public.scheduler_runs where job_name = p_job.name and scheduled_for <= p_at);
  elsif scheduler.read_interval(btrim(p_job.schedule, e' \t\r\n')) is not null then
    return scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_at + interval '1 microsecond');
  end if;
  return null;
end;
$function$
;
comment on function scheduler.occurrence_near(scheduler_jobs,timestamp with time zone) is 'The occurrence that a moment with seconds means: of an interval of seconds, or a continuous job, the newest one by then; null for all else, which is explained by the minute.';
revoke all on function scheduler.occurrence_near(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.occurrence_state(p_job_name text, p_scheduled_for timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case
    when bool_or(status = 'completed') then 'completed'
    when bool_or(completed_at is null) then 'open'
    -- Its job was disabled when it was deferred: nothing goes on.
    else replace((array_agg(status order by attempt desc))[1], 'deferred', 'cancelled') end
  from public.scheduler_runs
  where job_name = p_job_name and scheduled_for = p_scheduled_for and trigger <> 'manual';
$function$
;
comment on function scheduler.occurrence_state(text,timestamp with time zone) is 'What has become of an occurrence, by all its attempts: completed, open (one waits or is under way), failed, skipped, missed, cancelled; null when it has no row.';
revoke all on function scheduler.occurrence_state(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.occurrences(p_schedule text, p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  if v_parsed.interval_seconds is not null then
    return query select at from generate_series(
      scheduler.moment_of_grid(v_parsed.interval_seconds, p_from - interval '1 microsecond', 1),
      p_to - interval '1 microsecond', make_interval(secs => v_parsed.interval_seconds)) as at;
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
      lateral scheduler.matching_dates(v_parsed, local_from, local_to), times
    where day + of_day >= local_from and day + of_day < local_to
  )
  select distinct at from found where at >= p_from and at < p_to order by at;
end;
$function$
;
comment on function scheduler.occurrences(text,text,timestamp with time zone,timestamp with time zone) is 'The occurrences of a schedule in [p_from, p_to), ascending, in the IANA time zone given. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.occurrences(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.occurrences_between(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF scheduler.backfill_occurrence
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return query
    with listed as (
      select at from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_from, p_to) as at
      where p_job.schedule is not null
      union
      select scheduled_for from public.scheduler_runs
      where job_name = p_job.name and scheduled_for >= p_from and scheduled_for < p_to and occurrences = 1
        and attempt = 1 and trigger in ('cron', 'catch_up', 'dependency', 'backfill')
    )
    select at, coalesce(case when gap.id is null then scheduler.occurrence_state(p_job.name, at) end, gap.status),
      gap.id
    from listed left join public.scheduler_runs as gap
      on gap.job_name = p_job.name and gap.occurrences > 1 and at between gap.scheduled_for and gap.scheduled_until
    order by at;
end;
$function$
;
comment on function scheduler.occurrences_between(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'The job''s occurrences in [p_from, p_to), by its schedule and by the ledger, ascending. Raises 22023 for a time zone that Postgres does not know.';
revoke all on function scheduler.occurrences_between(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.offset_minutes(p_day date, p_utc_hour integer, p_time_zone text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select ((extract(epoch from to_timestamp(epoch) at time zone p_time_zone) - epoch) / 60)::integer
  from (select 86400::bigint * (p_day - date '1970-01-01') + 3600 * p_utc_hour as epoch) as moment;
$function$
;
comment on function scheduler.offset_minutes(date,integer,text) is 'By how much the clock of a zone is ahead of UTC in an hour of a UTC day.';
revoke all on function scheduler.offset_minutes(date,integer,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.offset_periods(p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(starts_at timestamp with time zone, ends_at timestamp with time zone, utc_offset interval, offset_before interval)
 LANGUAGE sql
 STABLE PARALLEL SAFE ROWS 50
 SET search_path TO ''
AS $function$
  with days as (
    select at, (at at time zone p_time_zone) - (at at time zone 'UTC') as utc_offset
    from (
      select generate_series(date_bin('1 minute', p_from, timestamptz 'epoch'), p_to,
        case p_time_zone when 'UTC' then interval '1000 years' else interval '24 hours' end) as at
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
$function$
;
comment on function scheduler.offset_periods(text,timestamp with time zone,timestamp with time zone) is 'The stretches of [p_from, p_to) in which a zone keeps one offset from UTC, with the offset before each (null for the first).';
revoke all on function scheduler.offset_periods(text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.oldest_run(p_statuses text[])
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select min(oldest) from unnest(p_statuses) as wanted, lateral (
    select min(completed_at) as oldest from public.scheduler_runs where status = wanted) as by_status;
$function$
;
comment on function scheduler.oldest_run(text[]) is 'When the oldest run of these statuses ended that the ledger has; null without one.';
revoke all on function scheduler.oldest_run(text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.open_gap(p_job scheduler_jobs, p_gap scheduler_runs, p_first timestamp with time zone, p_last timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_open constant timestamptz[] := array(
    select scheduled_for from scheduler.occurrences_between(p_job, p_first, p_last + interval '1 microsecond')
    where gap_id = p_gap.id order by 1);
  v_rests public.scheduler_runs[] := array[p_gap, p_gap];
  v_count bigint;
begin
  -- What the row stood for was counted when it was written.
  perform set_config('daybook.opens_gap', 'on', true);
  delete from public.scheduler_runs where id = p_gap.id;
  v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, p_gap.scheduled_for, p_first);
  v_rests[1].occurrences := v_count;
  v_rests[1].scheduled_until := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone,
    p_first - interval '1 microsecond');
  v_rests[2].id := gen_random_uuid();
  v_rests[2].occurrences := p_gap.occurrences - v_count - cardinality(v_open);
  v_rests[2].scheduled_for := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_last);
  perform scheduler.add_runs(array(
    select scheduler.part_of_gap(rest, (rest).scheduled_for, (rest).scheduled_until, (rest).occurrences)
    from unnest(v_rests) as rest where (rest).occurrences > 0
    union all
    select scheduler.part_of_gap(p_gap, at, at, 1) from unnest(v_open) as at));
  perform set_config('daybook.opens_gap', '', true);
end;
$function$
;
comment on function scheduler.open_gap(scheduler_jobs,scheduler_runs,timestamp with time zone,timestamp with time zone) is 'Gives the occurrences from p_first to p_last of a row that stands for many a row each; what lies before and behind them keeps one row each side. The caller holds the job''s row lock.';
revoke all on function scheduler.open_gap(scheduler_jobs,scheduler_runs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.open_reservations(p_budget scheduler_budgets, p_now timestamp with time zone)
 RETURNS scheduler.budget_reservations[]
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_budget.reserved_until >= p_now then (
    select coalesce(array_agg(reservations), '{}') from scheduler.budget_reservations as reservations
    where budget = p_budget.name and needed_by >= p_now) else '{}' end;
end;
$function$
;
comment on function scheduler.open_reservations(scheduler_budgets,timestamp with time zone) is 'The reservations of a budget that still hold tokens for their jobs.';
revoke all on function scheduler.open_reservations(scheduler_budgets,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.opens_line()
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if coalesce(current_setting('daybook.line', true), '') <> '' then
    return false;
  end if;
  perform set_config('daybook.line', '[]', true);
  return true;
end;
$function$
;
comment on function scheduler.opens_line() is 'Opens the line, unless one is open: false then. Whoever opened it sends it: see send_line.';
revoke all on function scheduler.opens_line() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.origin(p_run scheduler_runs)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(
    (select trigger from public.scheduler_runs
      where p_run.trigger in ('retry', 'deferred') and job_name = p_run.job_name and scheduled_for = p_run.scheduled_for
      order by attempt limit 1),
    p_run.trigger);
$function$
;
comment on function scheduler.origin(scheduler_runs) is 'What brought the run about: its trigger; of a retry that of the first attempt.';
revoke all on function scheduler.origin(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.others_sentence(p_others jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select format(' %s, for %s, waits %s.', case p_others ->> 'count' when '1' then 'An older run of it'
    else format('%s older runs of it wait; the first', p_others ->> 'count') end, p_others ->> 'when',
    p_others ->> 'waits')
  where p_others is not null;
$function$
;
comment on function scheduler.others_sentence(jsonb) is 'What is said of older runs that wait; null of none.';
revoke all on function scheduler.others_sentence(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.others_waiting(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('others_waiting', jsonb_build_object('count', count,
    'when', scheduler.local_text((first).scheduled_for, p_job.time_zone),
    'waits', scheduler.wait_reason(p_job, first, p_now)))
  from (
    select count(*) over () as count, runs as first from public.scheduler_runs as runs
    where job_name = p_job.name and status = 'queued' and id <> p_run.id and p_run.completed_at is not null
    order by scheduled_for, attempt limit 1) as waiting;
$function$
;
comment on function scheduler.others_waiting(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'Beside the newest run of a job, when that is over: {"others_waiting": {"count", "when", "waits"}}: how many older ones wait, and the first of them; null when none does.';
revoke all on function scheduler.others_waiting(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.outgrown_limits(p_job scheduler_jobs, p_trend scheduler.trend, p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_agg(jsonb_build_object('kind', 'outgrows', 'limit', limits.name, 'limit_ms', ms,
    'reached', is_reached, 'on', case when is_reached then today else (arrival).on_day end,
    'earliest', (arrival).earliest, 'latest', (arrival).latest, 'p95_ms', round((p_trend).level),
    'ms_a_day', round((p_trend).slope::numeric, 3), 'least_ms_a_day', round((p_trend).slope_least::numeric, 3),
    'most_ms_a_day', round((p_trend).slope_most::numeric, 3), 'days', (p_trend).days, 'since', (p_trend).first_day)
    order by is_reached desc, (arrival).on_day, limits.name), '[]')
  from scheduler.utc_day(p_now) as today, scheduler.job_limits(p_job, p_plan, p_now) as limits,
    lateral (select scheduler.has_reached(p_trend, ms) as is_reached) as there,
    lateral (select case when not is_reached then scheduler.arrival_of(p_trend, ms, today) end as arrival) as ahead
  where is_reached or (arrival).on_day is not null;
$function$
;
comment on function scheduler.outgrown_limits(scheduler_jobs,scheduler.trend,scheduler_plans,timestamp with time zone) is 'When the job''s p95 reaches each of its limits, an array of findings; those that it will not reach are left out.';
revoke all on function scheduler.outgrown_limits(scheduler_jobs,scheduler.trend,scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.own_wait(p_job scheduler_jobs, p_waiting jsonb, p_from timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_waiting ->> 'for' = 'defer_if' then p_waiting
      || jsonb_build_object('until', p_from + make_interval(secs => p_job.defer_at_most_seconds))
    else p_waiting end;
end;
$function$
;
comment on function scheduler.own_wait(scheduler_jobs,jsonb,timestamp with time zone) is 'What another run of the job waits for, as a run says it that may be put off from p_from on: until its own time for that is over.';
revoke all on function scheduler.own_wait(scheduler_jobs,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.page_cursor(p_at timestamp with time zone, p_id text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '~' || p_id;
$function$
;
comment on function scheduler.page_cursor(timestamp with time zone,text) is 'The place of an entry in a list that is ordered by a time and then by an id.';
revoke all on function scheduler.page_cursor(timestamp with time zone,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parallel_after(p_state scheduler.parallel_states, p_least integer, p_most integer, p_sign text, p_duration_ms bigint, p_demand integer, p_under_way integer)
 RETURNS scheduler.parallel_states
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_state scheduler.parallel_states := p_state;
  v_mean_ms numeric;
begin
  -- The job may have been registered with others since.
  v_state.in_force := least(p_most, greatest(p_least, v_state.in_force));
  if v_state.stale > 0 then
    v_state.stale := v_state.stale - 1;
    return v_state;
  elsif p_sign is null then
    return v_state;
  elsif p_sign = 'strained' then
    return scheduler.parallel_lowered(v_state, p_least, p_under_way);
  end if;
  v_state.ended := v_state.ended + 1;
  v_state.failed := v_state.failed + (p_sign = 'failed')::integer;
  v_state.duration_ms := v_state.duration_ms + coalesce(p_duration_ms, 0);
  if v_state.ended < v_state.in_force then
    return v_state;
  end if;
  v_mean_ms := v_state.duration_ms::numeric / v_state.ended;
  v_state.usual_ms := round(coalesce(p_state.usual_ms + (v_mean_ms - p_state.usual_ms) / 8, v_mean_ms), 3);
  -- Half of a round: one run whose payload is bad does not slow down all others. Of very short runs twice is little.
  if v_state.failed * 2 > v_state.ended or v_mean_ms > greatest(p_state.usual_ms * 2, p_state.usual_ms + 100) then
    return scheduler.parallel_lowered(v_state, p_least, p_under_way);
  end if;
  v_state.in_force := least(p_most, greatest(p_least, v_state.in_force + p_demand));
  v_state.ended := 0;
  v_state.failed := 0;
  v_state.duration_ms := 0;
  return v_state;
end;
$function$
;
comment on function scheduler.parallel_after(scheduler.parallel_states,integer,integer,text,bigint,integer,integer) is 'What is in force after a run has ended with that sign (see parallel_sign) and duration. Half as many after one that strained its target, and after a round in which more than half failed or which took twice as long as usual; else after a round p_demand more (see parallel_demand). Always from p_least to p_most. p_under_way: how many are under way still.';
revoke all on function scheduler.parallel_after(scheduler.parallel_states,integer,integer,text,bigint,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parallel_demand(p_next scheduler_runs)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_next.id is null then -1
    -- More places are of no use while a budget, say, holds back what waits; back-filled runs go one at a time.
    when p_next.waiting ->> 'for' = 'parallel_limit' and not scheduler.is_backfill(p_next) then 1
    else 0 end;
end;
$function$
;
comment on function scheduler.parallel_demand(scheduler_runs) is 'What a round that went well changes, by the run that goes next: 1 when it waits for one of those under way to end, -1 when there is none, 0 when it waits for something else.';
revoke all on function scheduler.parallel_demand(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parallel_lowered(p_state scheduler.parallel_states, p_least integer, p_under_way integer)
 RETURNS scheduler.parallel_states
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_state scheduler.parallel_states := p_state;
begin
  v_state.in_force := greatest(p_least, v_state.in_force / 2);
  v_state.stale := p_under_way;
  v_state.ended := 0;
  v_state.failed := 0;
  v_state.duration_ms := 0;
  return v_state;
end;
$function$
;
comment on function scheduler.parallel_lowered(scheduler.parallel_states,integer,integer) is 'The state with half as many in force, at least p_least. What is under way was sent before that, and says nothing.';
revoke all on function scheduler.parallel_lowered(scheduler.parallel_states,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parallel_metrics()
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_parallel_limit', json_agg(scheduler.limit_in_force(jobs) order by name)))
  from public.scheduler_jobs as jobs where parallel_limit is not null;
$function$
;
comment on function scheduler.parallel_metrics() is 'A value a job that has a parallel limit, by job_name.';
revoke all on function scheduler.parallel_metrics() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parallel_sign(p_run scheduler_runs)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_run.status = 'completed' then 'done'
    when p_run.status = 'deferred' or p_run.verdict in ('rate_limited', 'boot_error', 'worker_limit', 'gateway_timeout',
      'unreachable', 'lost', 'stalled', 'timed_out') then 'strained'
    -- These say nothing of how much the target bears.
    when p_run.verdict in ('bad_input', 'misconfigured', 'not_sent') then null
    when p_run.status = 'failed' then 'failed' end;
end;
$function$
;
comment on function scheduler.parallel_sign(scheduler_runs) is 'What a run that has ended says of its target: done, failed, strained (it was too much for the target, or for its budget); null: nothing.';
revoke all on function scheduler.parallel_sign(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_field_part(p_field scheduler.schedule_field, p_typed text)
 RETURNS scheduler.schedule_part
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  if v_pieces is null or v_first is null or v_last is null then
    if scheduler.looks_like_day_sign(p_field, v_text) then
      return scheduler.read_day_sign(p_field, v_text, p_typed);
    end if;
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
$function$
;
comment on function scheduler.parse_field_part(scheduler.schedule_field,text) is 'One element of a field''s list, such as 5, mon-fri, */15 or LW: its values (7 for a Sunday after Saturday), or the problem and, where one is known, a hint.';
revoke all on function scheduler.parse_field_part(scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_schedule(p_schedule text)
 RETURNS scheduler.parsed_schedule
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_text text collate "C" := btrim(p_schedule collate "C", E' \t\r\n');
  v_fields text[] := regexp_split_to_array(v_text, '[ \t\r\n]+');
  v_parsed scheduler.parsed_schedule;
begin
  if cardinality(v_fields) is distinct from 5 or length(v_text) > 1000 or v_text like '@%' then
    v_parsed.interval_seconds := scheduler.read_interval(v_text);
    if v_parsed.interval_seconds is not null then
      return v_parsed;
    end if;
    if scheduler.named_schedule(v_text) is null then
      perform scheduler.refuse_schedule(p_schedule, v_text, v_fields);
    end if;
    v_fields := string_to_array(scheduler.named_schedule(v_text), ' ');
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
  if v_parsed.days_of_month[1] <= 0 or v_parsed.days_of_month[cardinality(v_parsed.days_of_month)] >= 100
    or v_parsed.days_of_week[cardinality(v_parsed.days_of_week)] >= 10 then
    return scheduler.split_day_signs(v_parsed);
  end if;
  return v_parsed;
end;
$function$
;
comment on function scheduler.parse_schedule(text) is 'Reads a schedule. Five fields: minute, hour, day of month, month, day of week (7 and 0 are Sunday), with lists, ranges, steps, names and day signs (L, LW, 15W, 5L, 5#2); or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually; or 1 to 86400 seconds, as in 30 seconds. Raises 22023 which quotes the bad part, names the field and gives its range.';
revoke all on function scheduler.parse_schedule(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_schedule_field(p_schedule text, p_field scheduler.schedule_field, p_text text)
 RETURNS integer[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
    select distinct case when value = 7 and p_field.name = 'day of week' then 0 else value end as listed
    from unnest(v_values) as value order by listed);
end;
$function$
;
comment on function scheduler.parse_schedule_field(text,scheduler.schedule_field,text) is 'The ascending values of one field of a schedule. Raises 22023 which quotes the bad part, names the field and gives its range.';
revoke all on function scheduler.parse_schedule_field(text,scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.part_of_gap(p_gap scheduler_runs, p_first timestamp with time zone, p_last timestamp with time zone, p_count bigint)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := p_gap;
begin
  v_run.id := case when p_first = p_gap.scheduled_for then p_gap.id else gen_random_uuid() end;
  v_run.scheduled_for := p_first;
  v_run.scheduled_until := case when p_count > 1 then p_last end;
  v_run.occurrences := p_count;
  return v_run;
end;
$function$
;
comment on function scheduler.part_of_gap(scheduler_runs,timestamp with time zone,timestamp with time zone,bigint) is 'A row like that of a gap for some of its occurrences. Writes nothing.';
revoke all on function scheduler.part_of_gap(scheduler_runs,timestamp with time zone,timestamp with time zone,bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pause(p_job_name text, p_reason text, p_author text, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where name = v_job.name;
  perform scheduler.wake_jobs(array[v_job.name], p_until) where isfinite(p_until);
  perform scheduler.audit('pause', 'job', v_job.name, p_reason, p_author, scheduler.pause_facts(v_job, p_now),
    jsonb_build_object('until', case when isfinite(p_until) then p_until end), p_now);
  return format('%s is paused %s; %s', v_job.name,
    case when isfinite(p_until) then 'until ' || scheduler.local_text(p_until, v_job.time_zone) else 'until somebody '
      'resumes it' end,
    case when v_job.continuous then 'the run that is under way is its last until then'
      when v_job.schedule is null and v_job.depends_on = '{}' then 'what is enqueued waits' else 'its occurrences are '
        'recorded as skipped' end);
end;
$function$
;
comment on function scheduler.pause(text,text,text,timestamp with time zone,timestamp with time zone) is 'Pauses a job with a reason and an author, until a moment or (null, infinity) until resume. Its occurrences become skipped rows; what already runs goes on. Raises SD001 for an unknown job; 22023 for a missing reason or author, or an end that is past.';
revoke all on function scheduler.pause(text,text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pause_facts(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when scheduler.is_paused(p_job, p_now) then jsonb_build_object('paused_at', p_job.paused_at,
    'until', p_job.paused_until, 'by', p_job.paused_by, 'reason', p_job.pause_reason) end;
$function$
;
comment on function scheduler.pause_facts(scheduler_jobs,timestamp with time zone) is 'The job''s pause, for the audit log: {"paused_at", "until", "by", "reason"}; null when it is not paused.';
revoke all on function scheduler.pause_facts(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pause_group(p_group_name text, p_reason text, p_author text, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_group public.scheduler_groups;
  v_jobs bigint;
begin
  perform scheduler.lock_group(p_group_name);
  v_group := scheduler.assert_group(p_group_name);
  perform scheduler.assert_given(format('pause the group %s', p_group_name), 'reason and author',
    format('select scheduler.pause_group(%L, ''why'', ''who'')', p_group_name), p_reason, p_author);
  if p_until <= p_now then
    raise exception using errcode = '22023',
      message = format('cannot pause the group %s: until must be in the future, got %s', p_group_name, p_until);
  end if;
  update public.scheduler_groups set
    paused_at = case when paused_until > p_now or paused_until is null then coalesce(paused_at, p_now) else p_now end,
    paused_until = case when isfinite(p_until) then p_until end,
    pause_reason = btrim(p_reason), paused_by = btrim(p_author), updated_at = now()
    where name = p_group_name returning * into v_group;
  update public.scheduler_jobs
    set group_paused_at = v_group.paused_at, group_paused_until = v_group.paused_until, updated_at = now()
    where group_name = p_group_name;
  get diagnostics v_jobs = row_count;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where group_name = p_group_name;
  perform scheduler.wake_group(p_group_name, coalesce(v_group.paused_until, 'epoch'));
  perform scheduler.audit('pause_group', 'group', p_group_name, p_reason, p_author, null,
    jsonb_build_object('until', v_group.paused_until), p_now);
  return format('the group %s is paused %s, with %s', p_group_name,
    coalesce('until ' || scheduler.local_text(v_group.paused_until, 'UTC'), 'until somebody resumes it'),
    scheduler.count_text(v_jobs, 'job'));
end;
$function$
;
comment on function scheduler.pause_group(text,text,text,timestamp with time zone,timestamp with time zone) is 'Pauses all jobs of a group, with a reason and an author, until a moment or (null, infinity) until resume_group. A job''s own pause is another one, and stays. Raises SD014 for an unknown group; 22023 for a missing reason or author, or an end that is past.';
revoke all on function scheduler.pause_group(text,text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.percent_text(p_share numeric)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select trim_scale(round(p_share * 100, case when p_share < 0.01 then 3 else 1 end)) || ' %';
$function$
;
comment on function scheduler.percent_text(numeric) is 'A share as people say it.';
revoke all on function scheduler.percent_text(numeric) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.percentile_ms(p_counts integer[], p_share double precision, p_shortest integer, p_longest integer)
 RETURNS double precision
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_whole bigint := 0;
  v_below bigint := 0;
  v_place integer := array_lower(p_counts, 1);
  v_runs integer;
begin
  -- Loops over the array: with a row a place it takes five times as long.
  foreach v_runs in array p_counts loop
    v_whole := v_whole + coalesce(v_runs, 0);
  end loop;
  foreach v_runs in array p_counts loop
    v_below := v_below + coalesce(v_runs, 0);
    if v_below > 0 and v_below >= p_share * v_whole then
      return greatest(p_shortest, least(p_longest, scheduler.place_ms(v_place)));
    end if;
    v_place := v_place + 1;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.percentile_ms(integer[],double precision,integer,integer) is 'The duration that so large a share of the runs does not exceed, by a histogram of job_days: at most 2.5 % off. Null of none.';
revoke all on function scheduler.percentile_ms(integer[],double precision,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ping(p_channel scheduler_alert_channels, p_is_healthy boolean, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_secrets constant jsonb := scheduler.alert_secrets(p_channel);
  v_fault text := scheduler.alert_secrets_fault(p_channel, v_secrets);
  v_request_id bigint;
begin
  if v_fault is null then
    begin
      v_request_id := net.http_post(scheduler.ping_url(v_secrets ->> 'address', p_is_healthy),
        headers := '{"Content-Type": "application/json"}', timeout_milliseconds := 3000);
    exception when others then
      v_fault := format('its request could not be made (%s)', sqlstate);
    end;
  end if;
  insert into scheduler.alert_pings as pings (channel, pinged_at, was_healthy, request_id, answered_at, error)
    values (p_channel.name, p_now, p_is_healthy, v_request_id, case when v_request_id is null then p_now end, v_fault)
    on conflict (channel) do update set pinged_at = excluded.pinged_at, was_healthy = excluded.was_healthy,
      request_id = excluded.request_id, answered_at = excluded.answered_at, error = excluded.error,
      response_status = null;
end;
$function$
;
comment on function scheduler.ping(scheduler_alert_channels,boolean,timestamp with time zone) is 'Pings a dead man''s switch. Never raises for a wrong address: alert_pings says it.';
revoke all on function scheduler.ping(scheduler_alert_channels,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ping_url(p_address text, p_is_healthy boolean)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when p_is_healthy then p_address else regexp_replace(p_address, '/?(\?.*)?$', '/fail\1') end;
$function$
;
comment on function scheduler.ping_url(text,boolean) is 'Where a ping goes, as healthchecks.io has it: the address, with /fail at its end when the pulse is not healthy.';
revoke all on function scheduler.ping_url(text,boolean) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.ping_watchers(p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_is_healthy constant boolean := (
    select errors = '{}' and not scheduler.queue_rule_holds(
      (select threshold from public.scheduler_alert_rules where rule = 'queue_still'), queue_still_since, p_now)
    from scheduler.pulse_state);
begin
  perform scheduler.read_ping_answers(p_now);
  perform scheduler.ping(channels, v_is_healthy, p_now)
    from public.scheduler_alert_channels as channels left join scheduler.alert_pings as pings on channel = name
    where kind = 'dead_man' and enabled
      and scheduler.is_ping_due(pinged_at, request_id is not null and answered_at is null
        and exists (select from net.http_request_queue as waiting where waiting.id = request_id), p_now);
end;
$function$
;
comment on function scheduler.ping_watchers(timestamp with time zone) is 'Pings the dead man''s switches that are due: success while the last pulse had no error and pg_net''s queue moves, else /fail.';
revoke all on function scheduler.ping_watchers(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.place_ms(p_place integer)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select power(1.05::float8, p_place - 0.5::float8);
$function$
;
comment on function scheduler.place_ms(integer) is 'The middle of a place of job_days.durations, in milliseconds: at most 2.5 % off.';
revoke all on function scheduler.place_ms(integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_backfill(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone, p_reprocess text, p_newest_first boolean, p_at_most integer)
 RETURNS TABLE(scheduled_for timestamp with time zone, state text, gap_id uuid, fault text)
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with judged as (
    select found.*, scheduler.backfill_fault(found.state, kind.skip_kind, p_reprocess,
      scheduler.calendar_label(p_job, found.scheduled_for), scheduler.run_if_answer(p_job,
        found.scheduled_for)) as fault
    from scheduler.occurrences_between(p_job, p_from, p_to) as found, lateral (
      select coalesce(max(skip_kind), case when found.state is null
        and scheduler.is_stood_for(p_job, found.scheduled_for) then 'left_out' end) as skip_kind
      from public.scheduler_runs as runs
      where job_name = p_job.name and runs.scheduled_for = found.scheduled_for and attempt = 1) as kind
  ), placed as (
    select *, count(*) filter (where fault is null) over (order by
      case when p_newest_first then scheduled_for end desc, scheduled_for) as place
    from judged
  )
  select scheduled_for, state, gap_id,
    case when fault is null and place > p_at_most then format('beyond at_most, which is %s', p_at_most) else fault end
  from placed
  order by case when p_newest_first then scheduled_for end desc, scheduled_for;
$function$
;
comment on function scheduler.plan_backfill(scheduler_jobs,timestamp with time zone,timestamp with time zone,text,boolean,integer) is 'The occurrences of a range in the order in which they would run, with why each is left as it is (null: it is queued). Writes nothing.';
revoke all on function scheduler.plan_backfill(scheduler_jobs,timestamp with time zone,timestamp with time zone,text,boolean,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_in_use()
 RETURNS scheduler_plans
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select * from public.scheduler_plans where plan = scheduler.setting_value('forecast.plan') #>> '{}';
$function$
;
comment on function scheduler.plan_in_use() is 'The plan that forecasts reckon with; nulls when its row is gone.';
revoke all on function scheduler.plan_in_use() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_late(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone, p_room integer)
 RETURNS SETOF scheduler.planned_occurrence
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_segment record;
  v_listed timestamptz[];
  v_kept timestamptz[];
  v_rest timestamptz[];
  v_room integer := p_room;
  v_count bigint;
  v_is_gap boolean;
  v_kind text;
begin
  -- The newest first: they are the ones that are made up for.
  for v_segment in select * from scheduler.unrecorded_segments(p_job, p_from, p_to) order by starts_at desc loop
    v_kind := coalesce(v_segment.stop, 'misfire_' || p_job.misfire_policy);
    v_count := scheduler.count_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at);
    v_is_gap := v_count > scheduler.gap_rows() + v_room;
    v_listed := scheduler.newest_occurrences(p_job.schedule, p_job.time_zone, v_segment.starts_at, v_segment.ends_at,
      case when v_is_gap then v_room + 1 else v_count::integer end);
    if (p_job.run_if is not null or p_job.stretch_after is not null) and not v_is_gap then
      v_listed := array(select at from unnest(v_listed) as at where scheduler.work_answer(p_job, at) <> 'no work'
        order by at);
    end if;
    v_kept := case when v_segment.stop is not null then '{}' else array(
      select at from (
        select at from unnest(v_listed) as at where scheduler.calendar_label(p_job, at) is null
        order by at desc limit v_room) as newest
      order by at) end;
    v_room := v_room - cardinality(v_kept);
    v_rest := array(select at from unnest(v_listed) as at where at <> all (v_kept) order by at);
    return query
      select at, null::timestamptz, 1, case answer when 'work' then 'catch_up' else 'faulty' end, case
        when answer <> 'work' then answer end
      from unnest(v_kept) as at, lateral (select scheduler.work_answer(p_job, at) as answer) as asked
      where answer <> 'no work';
    if not v_is_gap then
      return query
        select at, null::timestamptz, 1, case when v_segment.stop is null and label is not null then 'calendar'
          else v_kind end, case when v_segment.stop is null then label end
        from unnest(v_rest) as at, lateral scheduler.calendar_label(p_job, at) as label;
    else
      return query select * from scheduler.plan_gap(p_job, v_segment.starts_at, v_rest[cardinality(v_rest)],
        v_count - cardinality(v_kept), v_kind);
    end if;
  end loop;
end;
$function$
;
comment on function scheduler.plan_late(scheduler_jobs,timestamp with time zone,timestamp with time zone,integer) is 'Occurrences in [p_from, p_to) that are too late to run as if nothing had happened: the newest p_room that nothing stops are caught up, the others are stopped, turned away by a calendar, or misfires: a row each or, when there are more than gap_rows(), one row for all.';
revoke all on function scheduler.plan_late(scheduler_jobs,timestamp with time zone,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_occurrences(p_job scheduler_jobs, p_next timestamp with time zone, p_now timestamp with time zone)
 RETURNS scheduler.planned_occurrence[]
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  -- pg_cron's own minute always counts as in time.
  v_on_time_from constant timestamptz := p_now - make_interval(secs => greatest(60, p_job.misfire_grace_seconds));
  v_late_from timestamptz := p_job.next_run_at;
  v_due timestamptz[];
  v_plan scheduler.planned_occurrence[];
begin
  -- Nearly always one occurrence is due, the cursor itself.
  v_due := case
    when p_next <= p_now then array(select at from scheduler.occurrences(p_job.schedule, p_job.time_zone,
      greatest(p_job.next_run_at, v_on_time_from), p_now + interval '1 microsecond') as at order by at)
    when p_job.next_run_at >= v_on_time_from then array[p_job.next_run_at]
    else '{}' end;
  if v_due = array[p_job.next_run_at] and p_job.run_if is null and p_job.stretch_after is null
    and p_job.calendars = '{}' and p_job.paused_at is null and p_job.group_paused_at is null
    and p_job.stopped_at is null then
    return array[(p_job.next_run_at, null, 1, 'start', null)::scheduler.planned_occurrence];
  end if;
  v_plan := array(select planned from scheduler.plan_on_time(p_job, v_due, p_now) as planned);
  if v_late_from < v_on_time_from then
    -- What is left out would else be missed where there is so much of it that it shares one row.
    v_late_from := scheduler.first_asked(p_job);
  end if;
  if v_late_from < v_on_time_from then
    v_plan := v_plan || array(select planned from scheduler.plan_late(
      p_job, v_late_from, v_on_time_from,
      case p_job.misfire_policy
        when 'all' then p_job.misfire_cap
        -- One run makes up for all missed ones; an occurrence that starts now is such a run.
        when 'once' then (not exists (select from unnest(v_plan) where fate = 'start'))::integer
        else 0 end) as planned);
  end if;
  return v_plan;
end;
$function$
;
comment on function scheduler.plan_occurrences(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'The fate of every occurrence from the job''s cursor to p_now; p_next is the first occurrence after the cursor. Writes nothing.';
revoke all on function scheduler.plan_occurrences(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_on_time(p_job scheduler_jobs, p_due timestamp with time zone[], p_now timestamp with time zone)
 RETURNS SETOF scheduler.planned_occurrence
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with due as (
    select at, coalesce(scheduler.stop_kind(p_job, at), scheduler.stop_now(p_job, p_now)) as stop,
      scheduler.calendar_label(p_job, at) as label, scheduler.work_answer(p_job, at) as answer
    from unnest(p_due) as at
  ), with_work as (
    select *, at = max(at) filter (where stop is null and label is null and answer = 'work') over () as newest
    from due where answer <> 'no work'
  )
  select at, null::timestamptz, 1,
    case
      when stop is not null then stop
      when label is not null then 'calendar'
      when answer <> 'work' then 'faulty'
      when newest or not scheduler.takes_lock(p_job) then 'start'
      -- The older ones were not dispatched. Only one run at a time may have the lock, and the newest counts.
      when p_job.misfire_policy = 'all' then 'catch_up'
      else 'superseded'
    end,
    case when stop is not null then null when label is not null then label when answer <> 'work' then answer end
  from with_work order by at;
$function$
;
comment on function scheduler.plan_on_time(scheduler_jobs,timestamp with time zone[],timestamp with time zone) is 'Occurrences that are due and not too late, in order. Where runs must not overlap, the newest that has work starts; older ones, which nobody fired, are caught up with misfire policy all and superseded with the others.';
revoke all on function scheduler.plan_on_time(scheduler_jobs,timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.plan_price(p_plan scheduler_plans, p_invocations numeric, p_wall_seconds numeric)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when num_nulls(p_plan.plan, p_invocations, p_wall_seconds) > 0 then null
    when p_invocations > p_plan.invocations_included and p_plan.usd_a_package is null then null
    else coalesce(ceil(greatest(0, p_invocations - p_plan.invocations_included) / p_plan.invocations_package)
      * p_plan.usd_a_package, 0)
      + coalesce(round(greatest(0, p_wall_seconds - coalesce(p_plan.wall_seconds_included, 0))
        * p_plan.usd_a_wall_second, 2), 0) end;
$function$
;
comment on function scheduler.plan_price(scheduler_plans,numeric,numeric) is 'What so many calls and seconds in a month cost in US dollars above what the plan includes; null when the plan does not sell so many, without a plan, and of what is not known.';
revoke all on function scheduler.plan_price(scheduler_plans,numeric,numeric) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.planned_run(p_job scheduler_jobs, p_planned scheduler.planned_occurrence, p_started text, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := scheduler.new_run(
    p_job, case p_planned.fate when 'catch_up' then 'catch_up' else 'cron' end, p_planned.occurrence);
begin
  v_run.occurrences := p_planned.occurrences;
  v_run.scheduled_until := case when p_planned.occurrences > 1 then p_planned.until end;
  if p_planned.fate = 'catch_up' then
    v_run.interval_from := scheduler.asked_from(p_job, p_planned.occurrence);
    return v_run;
  end if;
  v_run.completed_at := p_now;
  if p_planned.fate = 'faulty' then
    v_run.status := 'failed';
    v_run.verdict := 'dispatch_failed';
    v_run.error_message := p_planned.fault;
    return v_run;
  end if;
  v_run.status := case when p_planned.fate = 'superseded' or p_planned.fate like 'misfire%' then 'missed'
    else 'skipped' end;
  v_run.verdict := v_run.status;
  v_run.skip_kind := p_planned.fate;
  v_run.skip_reason := scheduler.skip_text(p_job, p_planned.fate, coalesce(p_planned.fault, p_started));
  return v_run;
end;
$function$
;
comment on function scheduler.planned_run(scheduler_jobs,scheduler.planned_occurrence,text,timestamp with time zone) is 'The row of a planned occurrence that does not start now: skipped, missed, failed before it could be sent, or waiting to be caught up; p_started is the occurrence that starts instead.';
revoke all on function scheduler.planned_run(scheduler_jobs,scheduler.planned_occurrence,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.post_delivery(p_delivery scheduler_alert_deliveries, p_now timestamp with time zone, OUT request_id bigint, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_channel public.scheduler_alert_channels;
  v_secrets jsonb;
  v_body jsonb;
begin
  select * into v_channel from public.scheduler_alert_channels where name = p_delivery.channel;
  v_secrets := scheduler.alert_secrets(v_channel);
  fault := scheduler.alert_secrets_fault(v_channel, v_secrets);
  if fault is null then
    v_body := scheduler.alert_body(v_channel.kind, p_delivery.message, p_delivery.id, v_secrets);
    request_id := net.http_post(
      url := case v_channel.kind when 'email' then scheduler.setting_value('alerts.email_url') #>> '{}'
        when 'pagerduty' then scheduler.setting_value('alerts.pagerduty_url') #>> '{}'
        else v_secrets ->> 'address' end,
      body := v_body,
      headers := scheduler.alert_headers(v_channel.kind, v_body, p_delivery.id, v_secrets, p_now),
      -- A slow channel must not hold back the jobs' requests for longer.
      timeout_milliseconds := 3000);
  end if;
exception when others then
  -- pg_net refuses a bad URL and quotes it, and Vault what it cannot decrypt.
  fault := format('its request could not be made (%s)', sqlstate);
end;
$function$
;
comment on function scheduler.post_delivery(scheduler_alert_deliveries,timestamp with time zone) is 'Hands a message to pg_net: its id, or why it could not be made, without a secret.';
revoke all on function scheduler.post_delivery(scheduler_alert_deliveries,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.previous_occurrence(p_schedule text, p_time_zone text, p_before timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  if v_parsed.interval_seconds is not null then
    return scheduler.moment_of_grid(v_parsed.interval_seconds, p_before, 0);
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
      select day from scheduler.matching_dates(v_parsed, (p_before at time zone p_time_zone)::date + 1 - v_span,
        (p_before at time zone p_time_zone)::date + 1)
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
$function$
;
comment on function scheduler.previous_occurrence(text,text,timestamp with time zone) is 'The last occurrence at or before p_before, in the IANA time zone given; null when there is none in the 40 years before. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.previous_occurrence(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.project_days(p_from date, p_today date)
 RETURNS TABLE(day date, sent double precision, seconds double precision, successes double precision, failures double precision)
 LANGUAGE sql
 STABLE ROWS 100
 SET search_path TO ''
AS $function$
  select calendar.day, coalesce(sum(days.sent), 0), round(coalesce(sum(wall_ms), 0) / 1000.0),
    coalesce(sum(success_rows), 0), coalesce(sum(failure_rows), 0)
  from (
    select first + nth as day
    from (select min(known.day) as first from scheduler.job_days as known where known.day >= p_from) as known,
      generate_series(0, p_today - 1 - first) as nth
  ) as calendar left join scheduler.job_days as days on days.day = calendar.day
  group by calendar.day order by calendar.day;
$function$
;
comment on function scheduler.project_days(date,date) is 'What all jobs came to on each day, from the first that is known since p_from to the one before p_today: calls, seconds of work, and rows of the ledger. A day on which nothing ended has zeros.';
revoke all on function scheduler.project_days(date,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.prune(p_now timestamp with time zone, p_limit integer DEFAULT 5000)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_successes integer := scheduler.prune_runs(
    array['completed', 'skipped', 'deferred'],
      p_now - make_interval(days => scheduler.setting('scheduler.keep_successes_days')),
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
$function$
;
comment on function scheduler.prune(timestamp with time zone,integer) is 'Deletes old rows of the ledger and of Daybook''s entries in cron.job_run_details, at most p_limit of each kind; failures are kept longer than successes. {"pruned": rows, "more": whether there are further ones}.';
revoke all on function scheduler.prune(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.prune_job_days(p_before timestamp with time zone, p_limit integer)
 RETURNS integer
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with pruned as (
    delete from scheduler.job_days where ctid = any (array(
      select ctid from scheduler.job_days where day < scheduler.utc_day(p_before) limit p_limit))
    returning 1
  ), pruned_sizes as (
    delete from scheduler.ledger_days where day < scheduler.utc_day(p_before)
  )
  select count(*)::integer from pruned;
$function$
;
comment on function scheduler.prune_job_days(timestamp with time zone,integer) is 'Deletes the days of jobs from before p_before, at most p_limit, and the sizes of the ledger on those days. Returns how many days of jobs.';
revoke all on function scheduler.prune_job_days(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.prune_rollups(p_before timestamp with time zone, p_limit integer)
 RETURNS integer
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with pruned as (
    delete from scheduler.rollups where ctid = any (array(
      select ctid from scheduler.rollups
      where step = any (array(select step from scheduler.metric_windows())) and taken_at < p_before limit p_limit))
    returning 1
  )
  select count(*)::integer from pruned;
$function$
;
comment on function scheduler.prune_rollups(timestamp with time zone,integer) is 'Deletes copies from before p_before, at most p_limit. Returns how many.';
revoke all on function scheduler.prune_rollups(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.prune_runs(p_statuses text[], p_before timestamp with time zone, p_limit integer)
 RETURNS integer
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with pruned as (
    delete from public.scheduler_runs as runs where id in (
      select id from public.scheduler_runs where status = any (p_statuses) and completed_at < p_before limit p_limit)
    returning job_name, scheduled_for, attempt, status, trigger, skip_kind,
      scheduler.is_of_occurrence(runs) as is_of_occurrence
  ), newest as (
    select distinct on (job_name) job_name, scheduled_for, status from pruned
      join public.scheduler_jobs on name = job_name
    where is_of_occurrence and trigger <> 'continuous' and status <> 'deferred'
      and coalesce(skip_kind, '') not in ('calendar', 'overlap', 'queue_full')
    order by job_name, scheduled_for desc, status = 'completed' desc, attempt desc
  ), kept as (
    insert into scheduler.kept_occurrences as kept (job_name, scheduled_for, state)
    select job_name, scheduled_for, status from newest
    on conflict (job_name) do update set scheduled_for = excluded.scheduled_for, state = excluded.state
      where excluded.scheduled_for > kept.scheduled_for
        or excluded.scheduled_for = kept.scheduled_for and kept.state <> 'completed'
  )
  select count(*)::integer from pruned;
$function$
;
comment on function scheduler.prune_runs(text[],timestamp with time zone,integer) is 'Deletes runs of these statuses that ended before p_before, at most p_limit, and keeps how the newest occurrence of each job ended. Returns how many.';
revoke all on function scheduler.prune_runs(text[],timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pulse(p_now timestamp with time zone DEFAULT now(), p_budget_ms integer DEFAULT 50)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
    last_rolled_up_at = case when 'rolled up' = any (v_succeeded) then p_now else last_rolled_up_at end,
    errors = v_errors;
  return v_report - 'failed' || jsonb_build_object('errors', v_errors);
end;
$function$
;
comment on function scheduler.pulse(timestamp with time zone,integer) is 'One pulse, one transaction: reads answers, judges silent runs, records missed occurrences, sends what waits, for about p_budget_ms; mends pg_cron''s entries every minute, rolls counters up every five, prunes hourly. Returns the counts; "more" when there is more to do at once. Safe to call twice at once: the second does nothing.';
revoke all on function scheduler.pulse(timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pulse_step(p_step text, p_now timestamp with time zone, p_budget_ms integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if p_step in ('answers', 'jobs') then
    perform scheduler.requests_since();
  end if;
  return case p_step
    when 'pruned' then scheduler.prune(p_now)
    when 'mended' then scheduler.mend_cron_entries() || jsonb_build_object('woken', scheduler.wake_waiting(p_now))
    when 'rolled up' then jsonb_build_object('rolled_up', scheduler.roll_up(p_now))
    when 'pulse entry' then jsonb_build_object('pulse_entry', scheduler.sync_pulse_entry())
    when 'answers' then jsonb_build_object(
      'answers', scheduler.note_answers(p_now), 'closed', scheduler.close_unanswered(p_now))
    when 'forecasts' then scheduler.attend_forecasts(p_now, p_budget_ms)
    when 'alerts' then scheduler.attend_alerts(p_now)
    when 'jobs' then scheduler.attend_jobs(p_now, p_budget_ms)
  end;
exception when query_canceled or others then
  raise warning 'the pulse''s step % failed: %', p_step, sqlerrm;
  return jsonb_build_object('failed', true, 'errors', jsonb_build_object('step ' || p_step, sqlerrm));
end;
$function$
;
comment on function scheduler.pulse_step(text,timestamp with time zone,integer) is 'One step of the pulse: its counts, "more" when there is more to do at once, {"errors": {job or step: message}} for what failed.';
revoke all on function scheduler.pulse_step(text,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.pulse_steps(p_state scheduler.pulse_state, p_now timestamp with time zone)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select array_remove(array[
    case when prunes then 'pruned' end,
    case when prunes then 'pulse entry' end,
    case when mends then 'mended' end,
    case when rolls_up then 'rolled up' end,
    case when rolls_up or p_state.forecasts_left then 'forecasts' end,
    -- Once a round of the jobs.
    case when p_state.resume_after is null then 'answers' end,
    'alerts',
    -- The jobs come last: their locks are held until the pulse commits.
    'jobs'], null)
  -- A mark in the future was written by a clock that was ahead and went back.
  from (select
    coalesce(p_now < p_state.last_pruned_at or p_now >= p_state.last_pruned_at + interval '1 hour', true) as prunes,
    coalesce(p_now < p_state.last_mended_at or p_now >= p_state.last_mended_at + interval '1 minute',
      true) as mends,
    scheduler.rollup_step(p_state.last_rolled_up_at, p_now) is not null as rolls_up) as due;
$function$
;
comment on function scheduler.pulse_steps(scheduler.pulse_state,timestamp with time zone) is 'What a pulse at p_now does, in order: pg_cron''s entries are mended every minute, counters rolled up and forecasts looked at every five, pruning begins every hour.';
revoke all on function scheduler.pulse_steps(scheduler.pulse_state,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.put_entry_back(p_entry scheduler.adopted_entries)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job_id bigint;
begin
  if exists (select from cron.job where jobname = p_entry.name and username = current_user) then
    raise exception using errcode = '42710',
      message = format('cannot put back the entry %s: pg_cron has one of that name', p_entry.name),
      hint = format('if it is not needed: select cron.unschedule(%L)', p_entry.name);
  end if;
  v_job_id := case when p_entry.name is null then cron.schedule(p_entry.schedule, p_entry.command)
    else cron.schedule(p_entry.name, p_entry.schedule, p_entry.command) end;
  if not p_entry.active then
    perform cron.alter_job(job_id := v_job_id, active := false);
  end if;
  if not exists (
    select from cron.job where jobid = v_job_id and (jobname, schedule, command, database, username, active)
      is not distinct from (p_entry.name, p_entry.schedule, p_entry.command, p_entry.database, p_entry.username,
        p_entry.active)) then
    raise exception using errcode = '22023',
      message = format('cannot put back the entry %s: pg_cron does not keep it as it was', p_entry.name);
  end if;
end;
$function$
;
comment on function scheduler.put_entry_back(scheduler.adopted_entries) is 'Makes the entry in pg_cron as it was. Raises 42710 when the name is taken, 22023 when pg_cron makes another of it.';
revoke all on function scheduler.put_entry_back(scheduler.adopted_entries) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.put_job(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := p_job;
  v_old public.scheduler_jobs;
  v_fault text;
begin
  -- One registration at a time: two could close a circle of dependencies that neither sees.
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  select * into v_old from public.scheduler_jobs where name = v_job.name for no key update;
  v_job.dependents := coalesce(v_old.dependents, '{}');
  v_job := scheduler.checked_job(v_job);
  perform scheduler.require_seconds(v_job);
  if v_old.enabled and v_job.enabled
    and (v_old.schedule, v_old.time_zone) is distinct from (v_job.schedule, v_job.time_zone) then
    -- Occurrences that came due under the old times are recorded before the times change.
    v_fault := scheduler.try_record_due(v_old, now());
    if v_fault is not null then
      v_fault := 'what came due under its old times is not in the ledger: ' || v_fault;
      raise warning '%: %', v_job.name, v_fault;
      perform scheduler.log_activity(v_job.name, v_fault, 'warning');
    end if;
  end if;
  v_job := scheduler.stops_of(scheduler.cursor_of(v_job, v_old), v_old);
  perform scheduler.write_job(v_job);
  perform scheduler.link_job(v_job, v_old);
  perform scheduler.sync_cron_entry(v_job.name);
  perform scheduler.audit_registration('register_job', 'job', v_job.name, scheduler.registered_values(v_old),
    scheduler.registered_values(v_job));
end;
$function$
;
comment on function scheduler.put_job(scheduler_jobs) is 'Writes a job into the registry and makes pg_cron follow, as register_job describes it: what it does once all values are there.';
revoke all on function scheduler.put_job(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.put_off_because(p_defer_if text, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_defer_if = 'scheduler.is_busy' then scheduler.busy_because(p_now) end;
exception when undefined_table or invalid_schema_name then
  return null;  -- pg_net is gone: is_busy cannot be asked either
end;
$function$
;
comment on function scheduler.put_off_because(text,timestamp with time zone) is 'Why that function puts runs off now, where it says so: scheduler.is_busy does; null of all others.';
revoke all on function scheduler.put_off_because(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.put_off_from(p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  -- A back-filled run was due long ago: its time begins when its turn has come.
  return case when scheduler.is_backfill(p_run) then scheduler.waiting_since(p_run, 'defer_if', p_now)
    else p_run.scheduled_for end;
end;
$function$
;
comment on function scheduler.put_off_from(scheduler_runs,timestamp with time zone) is 'When the time begins for which a run may be put off.';
revoke all on function scheduler.put_off_from(scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.queue_rule_holds(p_seconds numeric, p_still_since timestamp with time zone, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select coalesce(extract(epoch from p_now - p_still_since) > p_seconds, false);
$function$
;
comment on function scheduler.queue_rule_holds(numeric,timestamp with time zone,timestamp with time zone) is 'Whether pg_net''s queue has stood still for longer than that.';
revoke all on function scheduler.queue_rule_holds(numeric,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.range_fault(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select format('%s must be from %s to %s, got %s', field, least_value, most_value, coalesce(value::text, 'null'))
    from (values
      (1, 'timeout_seconds', p_job.timeout_seconds, 1, 86400),
      (2, 'max_attempts', p_job.max_attempts, 1, 20),
      (3, 'backoff_base_seconds', p_job.backoff_base_seconds, 1, 86400),
      (4, 'backoff_cap_seconds', p_job.backoff_cap_seconds, 1, 86400),
      (5, 'misfire_grace_seconds', p_job.misfire_grace_seconds, 0, 86400),
      (6, 'misfire_cap', p_job.misfire_cap, 1, 1000),
      (7, 'parallel_limit', coalesce(p_job.parallel_limit, 1), 1, 1000),
      (8, 'dependency_timeout_seconds', p_job.dependency_timeout_seconds, 1, 604800),
      (9, 'key_limit', coalesce(p_job.key_limit, 1), 1, 1000),
      (10, 'priority', p_job.priority, -10, 10),
      (11, 'priority_ages_after_seconds', p_job.priority_ages_after_seconds, 1, 86400),
      (12, 'breaker_failures', coalesce(p_job.breaker_failures, 1), 1, 1000),
      (13, 'breaker_cooldown_seconds', p_job.breaker_cooldown_seconds, 1, 86400),
      (14, 'idle_seconds', p_job.idle_seconds, 1, 86400),
      (15, 'jitter_seconds', p_job.jitter_seconds, 0, 3600),
      (16, 'defer_at_most_seconds', p_job.defer_at_most_seconds, 1, 86400),
      (17, 'stretch_after', coalesce(p_job.stretch_after, 1), 1, 1000),
      (18, 'stretch_at_most_seconds', coalesce(p_job.stretch_at_most_seconds, 1), 1, 86400),
      (19, 'parallel_least', coalesce(p_job.parallel_least, 1), 1, 1000)
    ) as ranges (place, field, value, least_value, most_value)
    where (value between least_value and most_value) is not true order by place limit 1);
end;
$function$
;
comment on function scheduler.range_fault(scheduler_jobs) is 'The first number of a job that is out of its range, as the end of a sentence; null when none is.';
revoke all on function scheduler.range_fault(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_cursor(p_cursor text, p_id_pattern text, OUT at timestamp with time zone, OUT id text)
 RETURNS record
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_parts constant text[] := regexp_match(p_cursor,
    '^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)~(' || p_id_pattern || ')$');
begin
  if p_cursor is null then
    return;
  end if;
  begin
    at := v_parts[1]::timestamptz;
  exception when datetime_field_overflow then
    at := null;
  end;
  id := v_parts[2];
  if at is null or id is null then
    raise exception using errcode = '22023',
      message = format('cannot read the page: cursor must be next_cursor of the page before it, got %s',
        quote_literal(left(p_cursor, 100)));
  end if;
end;
$function$
;
comment on function scheduler.read_cursor(text,text) is 'The time and the id of a cursor that page_cursor made, nulls for null. Raises 22023 for any other text.';
revoke all on function scheduler.read_cursor(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_day_sign(p_field scheduler.schedule_field, p_text text, p_typed text)
 RETURNS scheduler.schedule_part
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  -- Of a day of month: 1 an L, 2 the days before it, 3 what stands before a W.
  v_of_month text[];
  -- Of a day of week: 1 the weekday, 2 an L, 3 its place.
  v_of_week text[];
  v_number integer;
  v_part scheduler.schedule_part;
begin
  if p_text ~ '[?$]' or p_field.name not in ('day of month', 'day of week') then
    v_part.problem := format('the %s "%s" uses a sign that is not supported', p_field.name, p_typed);
    v_part.hint := '? and $ are other schedulers'' signs; the day of month has L, L-3, LW and 15W, the day of week 5L '
      'and 5#2';
    return v_part;
  end if;

  if p_field.name = 'day of month' then
    v_of_month := regexp_match(p_text, '^(?:(l)(?:-([0-9]{1,6}))?|(l|[0-9]{1,6})w)$');
    v_number := coalesce(v_of_month[2], nullif(v_of_month[3], 'l'))::integer;
    v_part.values := case
      when v_of_month[3] = 'l' then array[100]
      when v_of_month[3] is not null then case when v_number between 1 and 31 then array[100 + v_number] end
      when v_number is null and v_of_month[1] is not null then array[0]
      when v_number between 1 and 30 then array[-v_number]
    end;
  else
    v_of_week := regexp_match(p_text, '^([a-z]{3}|[0-9]{1,6})(?:(l)|#([0-9]{1,6}))$');
    v_number := scheduler.field_value(p_field, v_of_week[1]) % 7;
    v_part.values := case
      when v_of_week[2] is not null then array[90 + v_number]
      when v_of_week[3]::integer between 1 and 5 then array[10 * v_of_week[3]::integer + v_number]
    end;
  end if;

  if v_part.values[1] is null then
    v_part.values := null;
    v_part.problem := case
      when v_of_month[3] is not null or v_of_week[1] is not null and v_number is null then
        format('the %s must be %s to %s, got "%s" in "%s"', p_field.name, p_field.first, p_field.last,
          coalesce(v_of_month[3], v_of_week[1]), p_typed)
      else format('the %s has no sign "%s"', p_field.name, p_typed) end;
    v_part.hint := scheduler.day_sign_hint(p_field.name);
  end if;
  return v_part;
end;
$function$
;
comment on function scheduler.read_day_sign(scheduler.schedule_field,text,text) is 'A day sign as a number that no plain value has. Of a day of month: L is 0, L-3 is -3, LW is 100, 15W is 115. Of a day of week: 5#2 is 25, 5L is 95. Or the problem and a hint. p_text is p_typed in lower case.';
revoke all on function scheduler.read_day_sign(scheduler.schedule_field,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_delivery_answers(p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_since constant timestamptz := scheduler.requests_since();
  v_read record;
begin
  for v_read in
    select deliveries, responses.status_code, responses.id is not null as is_answered,
      coalesce(responses.headers ->> 'retry-after', responses.headers ->> 'Retry-After') as retry_after,
      scheduler.hosts_only(responses.error_msg) as error
    from public.scheduler_alert_deliveries as deliveries
      left join net._http_response as responses on responses.id = deliveries.request_id
        and deliveries.sent_at >= v_since
        -- pg_net stamps an answer with the begin of its own transaction, which can lie a moment before ours.
        and responses.created >= deliveries.sent_at - interval '5 seconds'
    where deliveries.status = 'sent'
      and (responses.id is not null or deliveries.sent_at < v_since
        or deliveries.sent_at < p_now - interval '1 minute' and not exists (
          select from net.http_request_queue as waiting where waiting.id = deliveries.request_id))
  loop
    perform scheduler.end_try(v_read.deliveries, scheduler.delivery_outcome(v_read.status_code),
      v_read.status_code, case
        when not v_read.is_answered then 'no answer was seen'
        when v_read.status_code is null then coalesce(v_read.error, 'no answer in time') end,
      v_read.retry_after, p_now);
  end loop;
end;
$function$
;
comment on function scheduler.read_delivery_answers(timestamp with time zone) is 'Reads pg_net''s answers to what was sent. Without one for a minute the request is taken for lost, unless it still is in the queue.';
revoke all on function scheduler.read_delivery_answers(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_interval(p_text text)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_digits constant text := (regexp_match(p_text, '^0*([0-9]{1,5})[ \t\r\n]*seconds?$', 'i'))[1];
begin
  return case when v_digits::integer between 1 and 86400 then v_digits::integer end;
end;
$function$
;
comment on function scheduler.read_interval(text) is 'The N of `N seconds`, as pg_cron reads it, 1 to 86400; null for any other text.';
revoke all on function scheduler.read_interval(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_ping_answers(p_now timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update scheduler.alert_pings as pings
    set answered_at = p_now, response_status = responses.status_code,
      error = case when responses.status_code is null then left(scheduler.hosts_only(responses.error_msg), 300) end,
      succeeded_at = case when responses.status_code between 200 and 299 then pinged_at else succeeded_at end
    from net._http_response as responses
    where pings.answered_at is null and responses.id = pings.request_id
      and pings.pinged_at >= (select since from scheduler.request_epoch)
      and responses.created >= pings.pinged_at - interval '5 seconds';
$function$
;
comment on function scheduler.read_ping_answers(timestamp with time zone) is 'Reads pg_net''s answers to pings.';
revoke all on function scheduler.read_ping_answers(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.record_dependent(p_job scheduler_jobs, p_occurrences timestamp with time zone[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_recorded timestamptz[];
begin
  if p_job.schedule is not null or p_job.continuous or not p_job.enabled
    or coalesce(p_occurrences, '{}') = '{}' then
    return;
  end if;
  v_recorded := array(
    select added.scheduled_for from scheduler.add_runs(array(
      select scheduler.dependent_run(p_job, at, p_now) from unnest(p_occurrences) as at order by at)) as added);
  if v_recorded <> '{}' and p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, v_recorded, p_now);
  end if;
end;
$function$
;
comment on function scheduler.record_dependent(scheduler_jobs,timestamp with time zone[],timestamp with time zone) is 'Gives a job without a schedule the occurrences of one of its dependencies: each its row, which waits or is skipped as the job is stopped. The caller holds the job''s row lock.';
revoke all on function scheduler.record_dependent(scheduler_jobs,timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.record_due(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_previous timestamptz := p_job.next_run_at;
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
    v_previous := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, p_now);
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
  perform scheduler.move_cursor(p_job, v_previous, v_next);
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, array(
      select scheduled_for from public.scheduler_runs
      where job_name = p_job.name and scheduled_for in (select occurrence from unnest(v_plan)) and attempt = 1
        and trigger <> 'manual' and occurrences = 1
        and coalesce(skip_kind, '') not in ('calendar', 'overlap', 'queue_full')
      order by 1), p_now);
    perform scheduler.follow_beyond(p_job, p_now);
  end if;
  return v_run_id;
end;
$function$
;
comment on function scheduler.record_due(scheduler_jobs,timestamp with time zone) is 'Gives every occurrence from the job''s cursor to p_now its row: started, skipped, missed or caught up by the policies; then moves the cursor. Returns the last run it started. The caller holds the job''s row lock.';
revoke all on function scheduler.record_due(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refill_budget(p_budget text, p_author text, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.assert_given(format('refill %s', p_budget), 'author',
    format('select scheduler.refill_budget(%L, ''who'')', p_budget), p_author);
  update public.scheduler_budgets
    set taken_at = default, taken_total = default, tokens_left = tokens, resets_at = null, ahead_of = null
    where name = p_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.wake_for_budget(p_budget);
  perform scheduler.audit('refill_budget', 'budget', p_budget, null, p_author, null, null,
    coalesce(p_now, clock_timestamp()));
  perform scheduler.log_activity(p_budget, format('the budget was refilled by %s', btrim(p_author)),
    p_now => coalesce(p_now, clock_timestamp()));
end;
$function$
;
comment on function scheduler.refill_budget(text,text,timestamp with time zone) is 'Forgets what was taken of a budget, for an operator who knows that the API counts from nothing again. Reservations stay. Raises SD012 for an unknown budget; 22023 for a missing author.';
revoke all on function scheduler.refill_budget(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refresh_project_forecast(p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if not exists (
    select from scheduler.project_forecast
    where scheduler.utc_day(made_at) = scheduler.utc_day(p_now) and made_with = coalesce(p_plan::text, '')) then
    perform scheduler.make_project_forecast(p_plan, p_now);
  end if;
  return jsonb_build_object();
exception when query_canceled or others then
  -- Jobs get theirs all the same; this one is tried again when forecasts are looked at.
  raise warning 'the forecast of ledger and cost failed: %', sqlerrm;
  return jsonb_build_object('forecast of ledger and cost', sqlerrm);
end;
$function$
;
comment on function scheduler.refresh_project_forecast(scheduler_plans,timestamp with time zone) is 'Makes the forecasts of ledger and cost anew where they are not of today or of another plan. Returns what failed, as the pulse tells it: {what: message}.';
revoke all on function scheduler.refresh_project_forecast(scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_schedule(p_schedule text, p_text text, p_fields text[])
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_problem text;
  v_hint text;
begin
  if p_text is null or p_text = '' then
    v_problem := 'it is empty';
  elsif length(p_text) > 1000 then
    v_problem := format('it must be at most 1000 characters, got %s', length(p_text));
  elsif p_text like '@%' then
    v_problem := format('"%s" is not five fields', p_fields[1]);
    v_hint := case lower(p_fields[1] collate "C")
      when '@reboot' then 'a job runs at times, not at a start: no five fields say it'
      when '@continuous' then '@continuous is no time: a job that never ends has no occurrences'
    end;
  elsif p_text ~* '^[0-9]+[ \t\r\n]*seconds?$' then
    v_problem := format('an interval must be 1 to 86400 seconds, got %s',
      left(substring(p_text from '^[0-9]+'), 20));
    v_hint := 'as in 30 seconds; 86400 seconds are a day';
  elsif cardinality(p_fields) = 6 then
    v_problem := 'it has six fields, seconds are not supported';
    v_hint := format('five fields, without seconds: %s', left(array_to_string(p_fields[2:6], ' '), 100));
  else
    v_problem := format('it must have five fields, got %s', cardinality(p_fields));
  end if;
  raise exception using errcode = '22023',
    message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_problem, 300)),
    hint = coalesce(v_hint, 'five fields: minute, hour, day of month, month, day of week, as in 30 2 * * 1-5; or '
      'seconds, as in 30 seconds; or @hourly, @daily, @weekly, @monthly, @yearly, @continuous');
end;
$function$
;
comment on function scheduler.refuse_schedule(text,text,text[]) is 'Raises 22023 with the reason why a text (p_text: without the blanks around it) is no schedule.';
revoke all on function scheduler.refuse_schedule(text,text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_time_zone(p_time_zone text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_suggested constant text := scheduler.suggested_time_zones(p_time_zone);
begin
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
$function$
;
comment on function scheduler.refuse_time_zone(text) is 'Raises 22023 for a time zone that cannot be used, with the names that are near.';
revoke all on function scheduler.refuse_time_zone(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_unknown_budget(p_budget text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  raise exception using errcode = 'SD012', message = format('there is no budget named %L', p_budget),
    hint = format('the budgets are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_budgets));
end;
$function$
;
comment on function scheduler.refuse_unknown_budget(text) is 'Raises SD012 and names the budgets there are: all that take the name of a budget say so in the same words.';
revoke all on function scheduler.refuse_unknown_budget(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_unknown_calendar(p_calendar text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  raise exception using errcode = 'SD013', message = format('there is no calendar named %L', p_calendar),
    hint = format('the calendars are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_calendars));
end;
$function$
;
comment on function scheduler.refuse_unknown_calendar(text) is 'Raises SD013 and names the calendars there are.';
revoke all on function scheduler.refuse_unknown_calendar(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_unknown_group(p_group_name text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  raise exception using errcode = 'SD014', message = format('there is no group named %L', p_group_name),
    hint = format('the groups are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_groups));
end;
$function$
;
comment on function scheduler.refuse_unknown_group(text) is 'Raises SD014 and names the groups there are.';
revoke all on function scheduler.refuse_unknown_group(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_alert_channel(name text, kind text, reason text, author text, address_secret text DEFAULT NULL::text, token_secret text DEFAULT NULL::text, sender_secret text DEFAULT NULL::text, least_severity text DEFAULT 'warning'::text, jobs text[] DEFAULT '{}'::text[], groups text[] DEFAULT '{}'::text[], quiet_from time without time zone DEFAULT NULL::time without time zone, quiet_until time without time zone DEFAULT NULL::time without time zone, time_zone text DEFAULT 'UTC'::text, enabled boolean DEFAULT true, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_channel public.scheduler_alert_channels := row(name, kind,
    coalesce(address_secret, 'alert_' || name || '_address'), coalesce(token_secret, 'alert_' || name || '_token'),
    coalesce(sender_secret, 'alert_' || name || '_sender'),
    least_severity, jobs, groups, quiet_from, quiet_until, time_zone, enabled, p_now, p_now);
  v_before public.scheduler_alert_channels;
  v_fault text;
begin
  perform scheduler.assert_given('register the alert channel', 'reason and author',
    'select scheduler.register_alert_channel(''ops'', ''slack'', ''why'', ''who'')', reason, author);
  v_fault := scheduler.alert_channel_fault(v_channel);
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot register the alert channel: %s', v_fault),
      hint = 'secrets are in Vault under alert_<name>_address, alert_<name>_token and alert_<name>_sender, or the '
        'names that are given';
  end if;
  -- Only the names of secrets that its kind needs are kept.
  if not 'address' = any (scheduler.alert_parts(kind)) then v_channel.address_secret := null; end if;
  if not 'token' = any (scheduler.alert_parts(kind)) then v_channel.token_secret := null; end if;
  if not 'sender' = any (scheduler.alert_parts(kind)) then v_channel.sender_secret := null; end if;
  select channels.* into v_before from public.scheduler_alert_channels as channels where channels.name = v_channel.name;
  v_channel.created_at := coalesce(v_before.created_at, p_now);
  if v_before.name is null then
    insert into public.scheduler_alert_channels select (v_channel).*;
  else
    update public.scheduler_alert_channels as channels
      set (kind, address_secret, token_secret, sender_secret, least_severity, jobs, groups, quiet_from, quiet_until,
        time_zone, enabled, updated_at) = (v_channel.kind, v_channel.address_secret, v_channel.token_secret,
        v_channel.sender_secret, v_channel.least_severity, v_channel.jobs, v_channel.groups, v_channel.quiet_from,
        v_channel.quiet_until, v_channel.time_zone, v_channel.enabled, p_now)
      where channels.name = v_channel.name;
  end if;
  if not v_channel.enabled then
    delete from public.scheduler_alert_deliveries where channel = v_channel.name and status in ('waiting', 'sent');
  end if;
  perform scheduler.audit('register_alert_channel', 'alert_channel', v_channel.name, reason, author,
    case when v_before.name is not null then to_jsonb(v_before) end, to_jsonb(v_channel), p_now);
end;
$function$
;
comment on function scheduler.register_alert_channel(text,text,text,text,text,text,text,text,text[],text[],time without time zone,time without time zone,text,boolean,timestamp with time zone) is 'Registers a channel, or changes it to exactly these values; what still waits to be said there goes with enabled => false. Its secrets have to be in Vault before: without names they are alert_<name>_address, alert_<name>_token, alert_<name>_sender. Raises 22023 for a wrong argument, a missing or wrong secret, a missing reason or author.';
revoke all on function scheduler.register_alert_channel(text,text,text,text,text,text,text,text,text[],text[],time without time zone,time without time zone,text,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_budget(name text, tokens integer, per interval, window_kind text DEFAULT 'sliding'::text, description text DEFAULT ''::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  v_seconds numeric := extract(epoch from register_budget.per);
  v_old public.scheduler_budgets;
  v_fault text;
begin
  v_fault := case
    when (register_budget.name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is not true
      then format('cannot register a budget: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or digit, '
        'got %s', coalesce(quote_literal(register_budget.name), 'null'))
    when (register_budget.tokens between 1 and 1000000000) is not true
      then format('tokens must be from 1 to 1000000000, got %s', coalesce(register_budget.tokens::text, 'null'))
    -- A month is no fixed time.
    when (isfinite(register_budget.per) and v_seconds between 1 and 31622400 and v_seconds = trunc(v_seconds)
        and extract(year from register_budget.per) = 0 and extract(month from register_budget.per) = 0) is not true
      then format('per must be whole seconds, minutes, hours or days, from 1 second to 366 days, got %s',
        coalesce(quote_literal(register_budget.per), 'null'))
    when (register_budget.window_kind in ('sliding', 'fixed')) is not true
      then format('window_kind must be ''sliding'' or ''fixed'', got %s',
        coalesce(quote_literal(register_budget.window_kind), 'null'))
    when register_budget.description is null then 'description must be a text, got null'
    else (
      select format('tokens must be at least %s, which the job %s needs at once, got %s', jobs.budgets
        ->> register_budget.name, jobs.name, register_budget.tokens)
      from public.scheduler_jobs as jobs
      where (jobs.budgets ->> register_budget.name)::integer > register_budget.tokens
      order by (jobs.budgets ->> register_budget.name)::integer desc limit 1)
  end;
  if v_fault is not null then
    raise exception using errcode = '22023', message = case when v_fault like 'cannot %' then v_fault
      else format('cannot register the budget %s: %s', register_budget.name, v_fault) end;
  end if;
  select * into v_old from public.scheduler_budgets where name = register_budget.name for no key update;
  insert into public.scheduler_budgets as budgets (name, tokens, per_seconds, window_kind, description, tokens_left)
    values (register_budget.name, register_budget.tokens, v_seconds::integer, register_budget.window_kind,
      register_budget.description, register_budget.tokens)
    on conflict (name) do update set
      tokens = excluded.tokens, per_seconds = excluded.per_seconds, window_kind = excluded.window_kind,
      description = excluded.description,
      -- What was taken of the open window stays taken.
      tokens_left = case when budgets.window_kind = excluded.window_kind
        then least(greatest(excluded.tokens - (budgets.tokens - budgets.tokens_left), 0), excluded.tokens)
        else excluded.tokens end,
      resets_at = case when budgets.window_kind = excluded.window_kind and budgets.resets_at is not null
        then least(budgets.resets_at, now() + register_budget.per) end
      where (budgets.tokens, budgets.per_seconds, budgets.window_kind, budgets.description)
        is distinct from (excluded.tokens, excluded.per_seconds, excluded.window_kind, excluded.description);
  if found then
    perform scheduler.wake_for_budget(register_budget.name);
    perform scheduler.audit_registration('register_budget', 'budget', register_budget.name,
      scheduler.registered_values(v_old), scheduler.registered_values(budgets))
      from public.scheduler_budgets as budgets where name = register_budget.name;
  end if;
end;
$function$
;
comment on function scheduler.register_budget(text,integer,interval,text,text) is 'Registers a budget, or changes it to exactly these values: so many tokens in any span of per (sliding), or from a first take until per later or the reset that the API reports (fixed). What was taken stays taken, unless window_kind changes. Raises 22023 for a wrong argument.';
revoke all on function scheduler.register_budget(text,integer,interval,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_calendar(name text, description text DEFAULT ''::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  v_before jsonb;
begin
  if register_calendar.name is null or register_calendar.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
    raise exception using errcode = '22023',
      message = format('cannot register a calendar: name must be 1 to 63 of a-z, 0-9, - and _, the first a letter or '
        'digit, got %s', coalesce(quote_literal(register_calendar.name), 'null'));
  end if;
  select jsonb_build_object('description', description) into v_before from public.scheduler_calendars
    where name = register_calendar.name;
  insert into public.scheduler_calendars as calendars (name, description)
    values (register_calendar.name, coalesce(register_calendar.description, ''))
    on conflict (name) do update set description = excluded.description;
  perform scheduler.audit_registration('register_calendar', 'calendar', register_calendar.name, v_before,
    jsonb_build_object('description', coalesce(register_calendar.description, '')));
end;
$function$
;
comment on function scheduler.register_calendar(text,text) is 'Registers a calendar, or changes its description. Its spans are added by add_calendar_span. Raises 22023 for a wrong name.';
revoke all on function scheduler.register_calendar(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_entry(p_source text, p_entry jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_unknown text;
begin
  select string_agg(key, ', ' order by key) into v_unknown
    from jsonb_object_keys(p_entry) as key
    where key not in (select argument from scheduler.job_arguments());
  if v_unknown is not null then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: register_job has no argument %s', p_entry ->> 'name', v_unknown);
  end if;
  execute (
    select format('select scheduler.register_job(%s)',
      string_agg(format('%I => %s', argument, scheduler.argument_literal(p_entry -> argument, type)), ', '))
    from scheduler.job_arguments() where p_entry ? argument);
  perform scheduler.note_source(p_source, name, scheduler.registered_values(jobs))
    from public.scheduler_jobs as jobs where name = p_entry ->> 'name';
end;
$function$
;
comment on function scheduler.register_entry(text,jsonb) is 'Registers the job of an entry of schedules.json, {argument: value}, and notes the section that it is from. Raises 22023 for an unknown argument, and what register_job raises.';
revoke all on function scheduler.register_entry(text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_group(name text, description text DEFAULT ''::text, parallel_limit integer DEFAULT NULL::integer, key_limit integer DEFAULT NULL::integer, place integer DEFAULT 0)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  v_group public.scheduler_groups;
  v_old public.scheduler_groups;
  v_fault text;
begin
  v_group.name := register_group.name;
  v_group.description := register_group.description;
  v_group.parallel_limit := register_group.parallel_limit;
  v_group.key_limit := register_group.key_limit;
  v_group.place := register_group.place;
  v_fault := scheduler.group_fault(v_group);
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the group%s: %s',
      coalesce(' ' || v_group.name, ''), v_fault);
  end if;
  -- No run of the group is sent and none ends while its slots are made.
  perform scheduler.lock_group(v_group.name);
  select * into v_old from public.scheduler_groups as groups where groups.name = v_group.name;
  insert into public.scheduler_groups as groups (name, description, parallel_limit, key_limit, place)
    values (v_group.name, v_group.description, v_group.parallel_limit, v_group.key_limit, v_group.place)
    on conflict (name) do update set description = excluded.description, parallel_limit = excluded.parallel_limit,
      key_limit = excluded.key_limit, place = excluded.place, updated_at = now();
  perform scheduler.make_slots(v_group.name, v_group.parallel_limit);
  perform scheduler.wake_group(v_group.name, 'epoch');
  perform scheduler.audit_registration('register_group', 'group', v_group.name, scheduler.registered_values(v_old),
    scheduler.registered_values(v_group));
end;
$function$
;
comment on function scheduler.register_group(text,text,integer,integer,integer) is 'Registers a group, or changes it to exactly these values (a pause stays). Jobs join it by group_name of register_job. Raises 22023 for a wrong argument.';
revoke all on function scheduler.register_group(text,text,integer,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.register_job(name text, schedule text, time_zone text DEFAULT 'UTC'::text, target text DEFAULT NULL::text, description text DEFAULT ''::text, payload jsonb DEFAULT '{}'::jsonb, timeout_seconds integer DEFAULT NULL::integer, max_attempts integer DEFAULT 3, backoff_base_seconds integer DEFAULT 30, backoff_cap_seconds integer DEFAULT 900, overlap_policy text DEFAULT 'skip'::text, misfire_policy text DEFAULT 'once'::text, misfire_grace_seconds integer DEFAULT 300, misfire_cap integer DEFAULT 24, receipt text DEFAULT NULL::text, secret_name text DEFAULT NULL::text, parallel_limit integer DEFAULT NULL::integer, run_if text DEFAULT NULL::text, enabled boolean DEFAULT true, group_name text DEFAULT NULL::text, depends_on text[] DEFAULT '{}'::text[], dependency_timeout_seconds integer DEFAULT 21600, on_dependency_timeout text DEFAULT 'skip'::text, on_dependency_failure text DEFAULT 'skip'::text, key_limit integer DEFAULT NULL::integer, priority integer DEFAULT 0, priority_ages_after_seconds integer DEFAULT 300, budgets jsonb DEFAULT '{}'::jsonb, breaker_failures integer DEFAULT NULL::integer, breaker_cooldown_seconds integer DEFAULT 300, idle_seconds integer DEFAULT 30, jitter_seconds integer DEFAULT 0, calendars text[] DEFAULT '{}'::text[], alias text DEFAULT NULL::text, defer_if text DEFAULT NULL::text, defer_at_most_seconds integer DEFAULT 900, stretch_after integer DEFAULT NULL::integer, stretch_at_most_seconds integer DEFAULT NULL::integer, parallel_least integer DEFAULT NULL::integer, figures text[] DEFAULT '{}'::text[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.put_job(scheduler.job_of(jsonb_build_object('name', name, 'schedule', schedule,
    'time_zone', time_zone, 'target', target, 'description', description, 'payload', payload,
    'timeout_seconds', timeout_seconds, 'max_attempts', max_attempts, 'backoff_base_seconds', backoff_base_seconds,
    'backoff_cap_seconds', backoff_cap_seconds, 'overlap_policy', overlap_policy, 'misfire_policy', misfire_policy,
    'misfire_grace_seconds', misfire_grace_seconds, 'misfire_cap', misfire_cap, 'receipt', receipt,
    'secret_name', secret_name, 'parallel_limit', parallel_limit, 'run_if', run_if, 'enabled', enabled,
    'group_name', group_name, 'depends_on', depends_on, 'dependency_timeout_seconds', dependency_timeout_seconds,
    'on_dependency_timeout', on_dependency_timeout, 'on_dependency_failure', on_dependency_failure,
    'key_limit', key_limit, 'priority', priority, 'priority_ages_after_seconds', priority_ages_after_seconds,
    'budgets', budgets, 'breaker_failures', breaker_failures, 'breaker_cooldown_seconds', breaker_cooldown_seconds,
    'idle_seconds', idle_seconds, 'jitter_seconds', jitter_seconds, 'calendars', calendars, 'alias', alias,
    'defer_if', defer_if, 'defer_at_most_seconds', defer_at_most_seconds, 'stretch_after', stretch_after,
    'stretch_at_most_seconds', stretch_at_most_seconds, 'parallel_least', parallel_least, 'figures', figures)));
end;
$function$
;
comment on function scheduler.register_job(text,text,text,text,text,jsonb,integer,integer,integer,integer,text,text,integer,integer,text,text,integer,text,boolean,text,text[],integer,text,text,integer,integer,integer,jsonb,integer,integer,integer,integer,text[],text,text,integer,integer,integer,integer,text[]) is 'Registers a job, or changes it to exactly these values (a pause stays). With schedule => null it runs only when it is enqueued or called, or after the jobs in depends_on; with ''@continuous'' one run follows the other. Durations in seconds; timeout_seconds defaults to 120, to 30 for a URL. target defaults to the edge function named like the job. Raises 22023 for a wrong argument, 42710 when pg_cron has a foreign entry of that name.';
revoke all on function scheduler.register_job(text,text,text,text,text,jsonb,integer,integer,integer,integer,text,text,integer,integer,text,text,integer,text,boolean,text,text[],integer,text,text,integer,integer,integer,jsonb,integer,integer,integer,integer,text[],text,text,integer,integer,integer,integer,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.registered_values(p_budget scheduler_budgets)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('tokens', p_budget.tokens, 'per_seconds', p_budget.per_seconds,
    'window_kind', p_budget.window_kind, 'description', p_budget.description)
  where p_budget.name is not null;
$function$
;
comment on function scheduler.registered_values(scheduler_budgets) is 'What a budget was registered with; null of no budget.';
revoke all on function scheduler.registered_values(scheduler_budgets) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.registered_values(p_group scheduler_groups)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('description', p_group.description, 'parallel_limit', p_group.parallel_limit,
    'key_limit', p_group.key_limit, 'place', p_group.place)
  where p_group.name is not null;
$function$
;
comment on function scheduler.registered_values(scheduler_groups) is 'What a group was registered with; null of no group.';
revoke all on function scheduler.registered_values(scheduler_groups) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.registered_values(p_job scheduler_jobs)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select to_jsonb(p_job) - array['name', 'function_name', 'dependents', 'created_at', 'updated_at', 'cron_entry',
    'next_run_at', 'previous_run_at', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'stopped_at',
    'stopped_until', 'group_paused_at', 'group_paused_until']
  where p_job.name is not null;
$function$
;
comment on function scheduler.registered_values(scheduler_jobs) is 'What a job was registered with, without what the scheduler itself keeps in its row; null of no job.';
revoke all on function scheduler.registered_values(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.rehearse_schedules(p_entries jsonb, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_facts jsonb;
begin
  begin
    v_facts := scheduler.bring_schedules(p_entries, p_now);
    raise exception using errcode = 'P0001';  -- undoes it
  exception when raise_exception then
    if v_facts is null then
      raise;
    end if;
  end;
  return v_facts;
end;
$function$
;
comment on function scheduler.rehearse_schedules(jsonb,timestamp with time zone) is 'What bring_schedules would return, with all of it undone.';
revoke all on function scheduler.rehearse_schedules(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.release_key(p_job scheduler_jobs, p_key text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_name text;
  v_group_limit constant integer := (select key_limit from public.scheduler_groups where name = p_job.group_name);
begin
  for v_name in
    select name from public.scheduler_jobs
    where name = p_job.name or v_group_limit is not null and group_name = p_job.group_name
    order by name <> p_job.name, name
  loop
    continue when not exists (select from public.scheduler_runs
      where key = p_key and job_name = v_name and status = 'queued' and waiting ->> 'for' = 'key');
    if not scheduler.try_lock_job(v_name) then
      perform scheduler.wake_jobs(array[v_name], 'epoch');
      continue;
    end if;
    update public.scheduler_runs set run_after = null where id = (
      select id from public.scheduler_runs
      where key = p_key and job_name = v_name and status = 'queued' and waiting ->> 'for' = 'key'
      order by priority desc, turn, scheduled_for limit 1);
    if v_name <> p_job.name then
      perform scheduler.try_send_queued((select jobs from public.scheduler_jobs as jobs where name = v_name), p_now);
    end if;
  end loop;
end;
$function$
;
comment on function scheduler.release_key(scheduler_jobs,text,timestamp with time zone) is 'After a run with that key ended: the next one with the key may go, of the job or of others of its group. The caller holds the job''s row lock, and sends what waits of the job.';
revoke all on function scheduler.release_key(scheduler_jobs,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.release_keys(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update public.scheduler_runs set run_after = null
  where id in (
    select id from (
      select id, row_number() over (partition by key order by priority desc, turn, scheduled_for) as place
      from public.scheduler_runs
      where job_name = p_job.name and status = 'queued' and run_after is not null and waiting ->> 'for' = 'key'
    ) as waiting
    -- As many as may go at once; each run that ends lets the next one go.
    where place <= coalesce(
      least(p_job.key_limit, (select key_limit from public.scheduler_groups where name = p_job.group_name)),
      place));
$function$
;
comment on function scheduler.release_keys(scheduler_jobs) is 'Has the first of each key that waits for others with its key looked at when the job next sends. The caller holds the job''s row lock.';
revoke all on function scheduler.release_keys(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.release_lock(p_job_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  perform scheduler.withdraw_run(runs, format('its lock was released by %s: %s', btrim(p_author), btrim(p_reason)),
    p_now) from public.scheduler_runs as runs where id = v_run_id;
  delete from public.scheduler_locks where run_id = v_run_id;
  perform scheduler.audit('release_lock', 'job', v_job.name, p_reason, p_author,
    jsonb_build_object('run_id', v_run_id), null, p_now);
  return format('run %s is cancelled and the lock of %s is free; if the function is still at work, its next heartbeat '
    'tells it to stop',
    v_run_id, p_job_name);
end;
$function$
;
comment on function scheduler.release_lock(text,text,text,timestamp with time zone) is 'Cancels the run that holds the job''s lock, with a reason and an author, and frees the lock; what waited is sent. Where no run holds it, it changes nothing and names a run that is under way without. Raises SD001 for an unknown job; 22023 for a missing reason or author.';
revoke all on function scheduler.release_lock(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.release_locks(p_jobs text[], p_reason text, p_author text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_name text;
  v_released jsonb := jsonb_build_array();
begin
  -- In the order in which all take the rows of several jobs.
  for v_name in
    select name from (
      select (scheduler.job_named(asked)).name from unnest(p_jobs) as asked
      union
      select name from public.scheduler_locks where p_jobs is null) as chosen
    order by name
  loop
    v_released := v_released || jsonb_build_object('job', v_name,
      'message', scheduler.release_lock(v_name, p_reason, p_author, p_now));
  end loop;
  return v_released;
end;
$function$
;
comment on function scheduler.release_locks(text[],text,text,timestamp with time zone) is 'Releases the locks of these jobs (names or aliases; null: all that are held) as scheduler.release_lock does: [{"job", "message"}]. Raises SD001 for an unknown job.';
revoke all on function scheduler.release_locks(text[],text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.release_reservation(p_budget text, p_job_name text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.lock_budget(p_budget);
  delete from scheduler.budget_reservations where budget = p_budget and job_name = p_job_name;
  if not found then
    return false;
  end if;
  perform scheduler.wake_for_budget(p_budget);
  return true;
end;
$function$
;
comment on function scheduler.release_reservation(text,text) is 'Gives back what a job has reserved of a budget and not taken. False when that was nothing. Raises SD012 for an unknown budget.';
revoke all on function scheduler.release_reservation(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.remainders(p_days integer[], p_values double precision[], p_slope double precision)
 RETURNS double precision[]
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select array_agg(value - p_slope * day order by place)
  from unnest(p_days, p_values) with ordinality as points (day, value, place);
$function$
;
comment on function scheduler.remainders(integer[],double precision[],double precision) is 'What is left of the values when the slope is taken away, as on day 0.';
revoke all on function scheduler.remainders(integer[],double precision[],double precision) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.remove_calendar_span(p_calendar text, p_from timestamp without time zone, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_span public.scheduler_calendar_spans;
begin
  perform scheduler.assert_given(format('open a span of %s', p_calendar), 'author',
    format('select scheduler.remove_calendar_span(%L, ''2027-01-01'', ''who'')', p_calendar), p_author);
  delete from public.scheduler_calendar_spans where calendar = p_calendar and starts_at = p_from returning *
    into v_span;
  if not found then
    if not exists (select from public.scheduler_calendars where name = p_calendar) then
      perform scheduler.refuse_unknown_calendar(p_calendar);
    end if;
    return false;
  end if;
  perform scheduler.wake_jobs(array[name], 'epoch') from public.scheduler_jobs where p_calendar = any (calendars);
  -- What a transaction that holds a job's row writes meanwhile, the next pulse corrects.
  perform scheduler.forget_waiting(name, '{calendar}') from public.scheduler_jobs
    where p_calendar = any (calendars) and scheduler.try_lock_job(name);
  perform scheduler.audit('remove_calendar_span', 'calendar', p_calendar, v_span.label, p_author,
    jsonb_build_object('from', v_span.starts_at, 'to', v_span.ends_at), null, p_now);
  return true;
end;
$function$
;
comment on function scheduler.remove_calendar_span(text,timestamp without time zone,text,timestamp with time zone) is 'Takes the span that begins then out of a calendar; what was skipped in it stays skipped. False when there is none. Raises SD013 for an unknown calendar; 22023 for a missing author.';
revoke all on function scheduler.remove_calendar_span(text,timestamp without time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.remove_operator(p_user_id uuid, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_operator constant public.scheduler_operators := scheduler.assert_operator(p_user_id);
begin
  perform scheduler.assert_given('remove the operator', 'reason and author',
    format('select scheduler.remove_operator(%L, ''why'', ''who'')', p_user_id), p_reason, p_author);
  delete from public.scheduler_operators where user_id = p_user_id;
  perform scheduler.audit('remove_operator', 'operator', v_operator.name, p_reason, p_author, to_jsonb(v_operator),
    null, p_now);
  return format('%s may not ask any more.', v_operator.name);
end;
$function$
;
comment on function scheduler.remove_operator(uuid,text,text,timestamp with time zone) is 'Takes the rights of a user away, from the next call on. Raises SD016 for a user who is not listed; 22023 for a missing reason or author.';
revoke all on function scheduler.remove_operator(uuid,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.renew_entry(p_source text, p_entry jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if exists (
    select from public.scheduler_jobs as jobs join scheduler.job_sources on job_name = name
    -- Value by value: a version that adds an argument adds it to the job, and not to what was applied.
    where name = p_entry ->> 'name' and applied is not null and not exists (
      select from jsonb_each(applied) as given
      where given.value is distinct from scheduler.registered_values(jobs) -> given.key)) then
    perform scheduler.register_entry(p_source, p_entry);
  else
    raise notice '% stays as it is: somebody has changed it or taken it out', p_entry ->> 'name';
  end if;
end;
$function$
;
comment on function scheduler.renew_entry(text,jsonb) is 'Registers the job of an entry that a new version has changed, if the job is as schedules.json registered it last: what somebody has changed or taken out stays so. Raises what register_entry raises.';
revoke all on function scheduler.renew_entry(text,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.report_budget(p_budget text, p_left integer, p_resets_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_budget public.scheduler_budgets := scheduler.lock_budget(p_budget);
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_fault constant text := case
    when (p_left >= 0) is not true then format('left must be from 0 on, got %s', coalesce(p_left::text, 'null'))
    when not isfinite(p_resets_at) then format('resets_at must be a moment or null, got %s', p_resets_at) end;
begin
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot report of the budget %s: %s', p_budget, v_fault);
  end if;
  v_budget := scheduler.budget_at(v_budget, v_now);
  v_budget := scheduler.budget_after_report(v_budget, p_left, p_resets_at,
    greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]));
  perform scheduler.write_budget(v_budget);
  return v_budget.tokens_left;
end;
$function$
;
comment on function scheduler.report_budget(text,integer,timestamp with time zone,timestamp with time zone) is 'Corrects a budget by what its API says: how many are left, and when it resets (null: not said). It never gives more than was thought to be left, except in a new window of a fixed budget. Returns what is left now. Raises SD012 for an unknown budget; 22023 for a wrong argument.';
revoke all on function scheduler.report_budget(text,integer,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.requests_since()
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_queue constant oid := 'net.http_request_queue'::regclass;
  v_since timestamptz;
begin
  select since into v_since from scheduler.request_epoch where queue = v_queue;
  if not found then
    -- The newest request that may be from before, not p_now: transactions that began a little earlier than this one are
    -- still sending.
    insert into scheduler.request_epoch as epoch (queue, since)
      select v_queue, coalesce(max(sent_at) + interval '1 microsecond', '-infinity')
      from (
        select dispatched_at as sent_at from public.scheduler_runs where request_id is not null and answered_at is null
        union all
        select sent_at from public.scheduler_alert_deliveries where status = 'sent'
        union all
        select pinged_at from scheduler.alert_pings where answered_at is null) as unanswered
      on conflict (only_row) do update set queue = excluded.queue, since = excluded.since
        where epoch.queue <> excluded.queue;
    select since into v_since from scheduler.request_epoch;
  end if;
  return v_since;
end;
$function$
;
comment on function scheduler.requests_since() is 'Since when pg_net''s request ids count up without a break: -infinity, or, after a crash or after pg_net was dropped and created, just after the last request that was sent before it.';
revoke all on function scheduler.requests_since() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.requests_with_old_secret()
 RETURNS bigint
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select count(*) from net.http_request_queue
  where headers ->> 'x-cron-secret' = (
    select decrypted_secret from vault.decrypted_secrets where name = 'cron_secret_previous');
$function$
;
comment on function scheduler.requests_with_old_secret() is 'How many requests with the old secret wait in pg_net''s queue or are under way: pg_net takes a request out when it is over.';
revoke all on function scheduler.requests_with_old_secret() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.require_seconds(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if scheduler.entry_needs_seconds(p_job.cron_entry)
    and scheduler.entry_needs_seconds(scheduler.sync_pulse_entry()) is not true then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: the schedule %L needs a pg_cron that has seconds, and this one has '
        'none', p_job.name, p_job.schedule),
      hint = 'pg_cron has them from 1.5 on; without them an interval must be whole minutes, such as 60 or 120 seconds';
  end if;
end;
$function$
;
comment on function scheduler.require_seconds(scheduler_jobs) is 'Raises 22023 for a job whose entry needs seconds where this pg_cron has none.';
revoke all on function scheduler.require_seconds(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.require_time_zone(p_time_zone text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
  perform scheduler.refuse_time_zone(p_time_zone);
end;
$function$
;
comment on function scheduler.require_time_zone(text) is 'Raises 22023 for a time zone that Postgres does not know by name. Cheap for the common names; registration is stricter, see assert_time_zone.';
revoke all on function scheduler.require_time_zone(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.reservable(p_budget scheduler_budgets, p_reservations scheduler.budget_reservations[], p_job_name text, p_by timestamp with time zone, p_now timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select greatest(0, min(scheduler.budget_capacity(p_budget, deadline, p_now) - (
    select coalesce(sum(tokens_left), 0) from unnest(p_reservations)
    where job_name <> p_job_name and needed_by between p_now and deadline)))
  from (
    select p_by as deadline
    union select needed_by from unnest(p_reservations) where job_name <> p_job_name and needed_by >= p_by
  ) as deadlines;
$function$
;
comment on function scheduler.reservable(scheduler_budgets,scheduler.budget_reservations[],text,timestamp with time zone,timestamp with time zone) is 'How many tokens the job can have reserved until p_by at the most, instead of what it has reserved, so that all other reservations can still be met.';
revoke all on function scheduler.reservable(scheduler_budgets,scheduler.budget_reservations[],text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.reservation_in_the_way(p_budget scheduler_budgets, p_reservations scheduler.budget_reservations[], p_tokens integer, p_job_name text, p_at timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  with reservations as (
    select job_name, needed_by, sum(tokens_left) over (order by needed_by) as wanted
    from unnest(p_reservations) where needed_by >= p_at
  ), own as (
    select needed_by, least(tokens_left, p_tokens) as tokens
    from unnest(p_reservations) where needed_by >= p_at and job_name = p_job_name
  )
  select case when bool_or(p_tokens > coalesce(own.tokens, 0) and wanted - coalesce(own.tokens, 0) >
      scheduler.budget_capacity(p_budget, reservations.needed_by, p_at) - p_tokens)
    then min(reservations.needed_by) end
  from reservations left join own on own.needed_by <= reservations.needed_by;
$function$
;
comment on function scheduler.reservation_in_the_way(scheduler_budgets,scheduler.budget_reservations[],integer,text,timestamp with time zone) is 'Null when all reservations can still be met after the job (or null) took so many tokens at p_at; else the first deadline, because until then that can only become worse.';
revoke all on function scheduler.reservation_in_the_way(scheduler_budgets,scheduler.budget_reservations[],integer,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.reserve_tokens(p_budget text, p_tokens integer, p_by timestamp with time zone, p_job_name text, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_budget public.scheduler_budgets := scheduler.lock_budget(p_budget);
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_possible bigint;
  v_fault text;
begin
  v_fault := case
    when (p_tokens between 1 and 1000000000) is not true
      then format('tokens must be from 1 to 1000000000, got %s', coalesce(p_tokens::text, 'null'))
    when (p_by > v_now and p_by <= v_now + interval '366 days') is not true
      then format('by must be a moment of the next 366 days, got %s', coalesce(p_by::text, 'null'))
    when (p_job_name ~ '\S') is not true then 'the name of the job must be given' end;
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot reserve of the budget %s: %s', p_budget, v_fault);
  end if;
  v_budget := scheduler.budget_at(v_budget, v_now);
  v_now := greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]);
  v_possible := scheduler.reservable(
    v_budget, scheduler.open_reservations(v_budget, v_now), p_job_name, greatest(p_by, v_now), v_now);
  if p_tokens > v_possible then
    raise exception using errcode = 'SD206',
      message = format('cannot reserve %s tokens of the budget %s for %s until %s: at most %s are possible', p_tokens,
        p_budget, p_job_name, p_by, v_possible),
      hint = 'ask for fewer, or for a later moment';
  end if;
  insert into scheduler.budget_reservations as reservations
      (budget, job_name, tokens, tokens_left, needed_by, created_at)
    values (p_budget, p_job_name, p_tokens, p_tokens, p_by, v_now)
    on conflict (budget, job_name) do update set tokens = excluded.tokens, tokens_left = excluded.tokens_left,
      needed_by = excluded.needed_by, created_at = excluded.created_at;
  update public.scheduler_budgets set reserved_until = greatest(reserved_until, p_by) where name = p_budget;
end;
$function$
;
comment on function scheduler.reserve_tokens(text,integer,timestamp with time zone,text,timestamp with time zone) is 'Keeps so many tokens from everybody else until the job took them or p_by has passed, instead of what the job had reserved before. Raises SD012 for an unknown budget; SD206, with the number that is possible, when that many cannot be had until then beside what others have reserved; 22023 for a wrong argument.';
revoke all on function scheduler.reserve_tokens(text,integer,timestamp with time zone,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.reserve_tokens_for_run(p_run_id uuid, p_budget text, p_tokens integer, p_by timestamp with time zone, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.reserve_tokens(p_budget, p_tokens, p_by, scheduler.job_of_run(p_run_id), p_now);
end;
$function$
;
comment on function scheduler.reserve_tokens_for_run(uuid,text,integer,timestamp with time zone,timestamp with time zone) is 'reserve_tokens for the job of a run. Raises SD002 for an unknown run, and what reserve_tokens raises.';
revoke all on function scheduler.reserve_tokens_for_run(uuid,text,integer,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.resume(p_job_name text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.assert_job(p_job_name);
  v_paused constant jsonb := scheduler.pause_facts(v_job, p_now);
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
  perform scheduler.note_stop(v_job, p_now);
  perform scheduler.wake_jobs(array[v_job.name], 'epoch');
  perform scheduler.audit('resume', 'job', v_job.name, null, p_author, v_paused, null, p_now);
  perform scheduler.log_activity(v_job.name, format('resumed by %s', btrim(p_author)), p_now => p_now);
  if scheduler.stop_now(v_job, p_now) is not null then
    return format('%s is not paused any more, but does not run: %s', v_job.name,
      scheduler.stop_text(v_job, scheduler.stop_now(v_job, p_now)));
  end if;
  if v_job.continuous then
    return format('%s runs again with the next pulse', v_job.name);
  elsif v_job.schedule is null then
    return format('%s runs again when it is enqueued or called', v_job.name);
  end if;
  v_fault := coalesce(v_fault, (scheduler.next_run(v_job, p_now)).fault);
  if v_fault is not null then
    return format('%s is not paused any more, but cannot run: %s', v_job.name, v_fault);
  end if;
  return format('%s runs again; next at %s', v_job.name, scheduler.local_text(v_job.next_run_at, v_job.time_zone));
end;
$function$
;
comment on function scheduler.resume(text,text,timestamp with time zone) is 'Ends a pause. What came due in it stays skipped. Says so when the job cannot run, for its time zone or schedule. Raises SD001 for an unknown job; 22023 for a missing author.';
revoke all on function scheduler.resume(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.resume_group(p_group_name text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_group public.scheduler_groups;
  v_job public.scheduler_jobs;
  v_jobs bigint := 0;
  v_opens constant boolean := scheduler.opens_line();
begin
  perform scheduler.lock_group(p_group_name);
  v_group := scheduler.assert_group(p_group_name);
  perform scheduler.assert_given(format('resume the group %s', p_group_name), 'author',
    format('select scheduler.resume_group(%L, ''who'')', p_group_name), p_author);
  if v_group.paused_at is null or v_group.paused_until <= p_now then
    perform scheduler.send_line(p_now) where v_opens;
    return format('the group %s was not paused', p_group_name);
  end if;
  for v_job in select * from public.scheduler_jobs where group_name = p_group_name order by name loop
    -- Occurrences that came due in the pause are recorded first.
    perform scheduler.try_record_due(v_job, p_now);
    v_jobs := v_jobs + 1;
  end loop;
  update public.scheduler_groups
    set paused_at = null, paused_until = null, pause_reason = null, paused_by = null, updated_at = now()
    where name = p_group_name;
  update public.scheduler_jobs set group_paused_at = null, group_paused_until = null, updated_at = now()
    where group_name = p_group_name;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where group_name = p_group_name;
  perform scheduler.stand_in_line(p_group_name, name) from public.scheduler_jobs where group_name = p_group_name;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  perform scheduler.wake_group(p_group_name, 'epoch');
  perform scheduler.audit('resume_group', 'group', p_group_name, null, p_author,
    jsonb_build_object('paused_at', v_group.paused_at, 'by', v_group.paused_by, 'reason', v_group.pause_reason), null,
    p_now);
  return format('the group %s runs again, with %s', p_group_name, scheduler.count_text(v_jobs, 'job'));
end;
$function$
;
comment on function scheduler.resume_group(text,text,timestamp with time zone) is 'Ends a group''s pause. What came due in it stays skipped; a job''s own pause stays. Raises SD014 for an unknown group; 22023 for a missing author.';
revoke all on function scheduler.resume_group(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.resume_order()
 RETURNS TABLE(job_name text, place bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with recursive depths as (
    select name, 0 as depth from public.scheduler_jobs
    union
    select jobs.name, depths.depth + 1 from depths join public.scheduler_jobs as jobs on depths.name = any (depends_on)
    -- A circle that somebody wrote by hand must not keep an incident from ending.
    where depths.depth < (select count(*) from public.scheduler_jobs)
  )
  select jobs.name, row_number() over (order by max(depth), coalesce(groups.place, 0), jobs.name) - 1
  from depths join public.scheduler_jobs as jobs using (name)
    left join public.scheduler_groups as groups on groups.name = jobs.group_name
  where jobs.enabled
  group by jobs.name, groups.place;
$function$
;
comment on function scheduler.resume_order() is 'The enabled jobs in the order in which they are resumed, from 0 on: each after all that it depends on; of those that do not depend on each other by the place of their group, then by name.';
revoke all on function scheduler.resume_order() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.retry_of(p_run scheduler_runs)
 RETURNS scheduler_runs
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select * from public.scheduler_runs
  where job_name = (p_run).job_name and scheduled_for = (p_run).scheduled_for and attempt > (p_run).attempt
    and status in ('queued', 'dispatched', 'running')
  order by attempt desc limit 1;
$function$
;
comment on function scheduler.retry_of(scheduler_runs) is 'The attempt at the run''s occurrence that comes after it and is not over; null: there is none.';
revoke all on function scheduler.retry_of(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.retry_run(p_run_id uuid, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := scheduler.assert_run(p_run_id, p_now);
  v_job public.scheduler_jobs;
  v_retry public.scheduler_runs;
begin
  perform scheduler.assert_given(format('retry run %s', v_run.id), 'author',
    format('select scheduler.retry_run(%L, ''who'')', v_run.id), p_author);
  v_job := scheduler.assert_job(v_run.job_name);
  perform scheduler.assert_retriable(v_run);
  v_retry := scheduler.next_attempt(v_run, 'retry', v_run.failures + (v_run.status = 'failed')::integer);
  v_retry.interval_from := coalesce(v_retry.interval_from, scheduler.interval_start(v_job, v_run.scheduled_for));
  perform scheduler.add_runs(array[v_retry]);
  if scheduler.send_run(v_job, v_retry, p_now, true) in ('waits', 'full') and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot retry run %s: other runs of %s are under way, and %s is disabled, so the retry cannot '
        'wait', v_run.id, v_job.name, v_job.name);
  end if;
  perform scheduler.audit('retry_run', 'run', v_run.id::text, null, p_author,
    jsonb_build_object('job', v_run.job_name, 'status', v_run.status, 'verdict', v_run.verdict),
    jsonb_build_object('run_id', v_retry.id, 'attempt', v_retry.attempt), p_now);
  perform scheduler.log_activity(v_job.name, format('attempt %s of the run for %s, which %s, was asked for by %s',
    v_retry.attempt,
    scheduler.local_text(v_run.scheduled_for, v_job.time_zone),
    case v_run.status when 'failed' then 'failed' else 'was ' || v_run.status end, btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_retry.id, 'retry_of', v_run.id), p_now => p_now);
  return v_retry.id;
end;
$function$
;
comment on function scheduler.retry_run(uuid,text,timestamp with time zone) is 'Makes one more attempt of a run that failed, was cancelled, missed or skipped, with that run''s payload, and sends it at once, also when the job is paused or disabled; it waits where other runs of the job are in the way. Returns the new run. Raises SD002 for an unknown run; SD001 when its job is no longer registered; SD101 while an attempt of it is alive, or when other runs of a disabled job are in the way; SD201 when an attempt has completed; SD202 for a row that stands for many occurrences; 22023 for a missing author.';
revoke all on function scheduler.retry_run(uuid,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.roll_up(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_step constant interval := coalesce(scheduler.rollup_step((select last_rolled_up_at from scheduler.pulse_state),
    p_now), interval '5 minutes');
  v_window record;
  v_copied integer;
begin
  -- Made by a clock that was ahead.
  delete from scheduler.rollups where taken_at > p_now;
  insert into scheduler.rollups (job_name, taken_at, step, completed, failed, deferred, cancelled, skipped, missed,
      lost, retries, durations, duration_sum_ms, fire_lags, fire_lag_sum_ms)
    select job_name, p_now, v_step, completed, failed, deferred, cancelled, skipped, missed, lost, retries, durations,
      duration_sum_ms, fire_lags, fire_lag_sum_ms
    from scheduler.run_counters
    -- A job that is being taken out is left out. Counting goes on meanwhile.
    for key share skip locked
    on conflict do nothing;
  get diagnostics v_copied = row_count;
  for v_window in select * from scheduler.metric_windows() where step < interval '24 hours' loop
    delete from scheduler.rollups where step = v_window.step and taken_at < p_now - v_window.length - 2 * v_window.step;
  end loop;
  return v_copied;
end;
$function$
;
comment on function scheduler.roll_up(timestamp with time zone) is 'Copies the counters of all jobs, and deletes copies that no window needs any more. Returns how many jobs. Safe to call at any time, and twice.';
revoke all on function scheduler.roll_up(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.rollup_step(p_last timestamp with time zone, p_now timestamp with time zone)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- A mark in the future was written by a clock that was ahead and went back.
  select max(step) from scheduler.metric_windows()
  where p_last is null or p_last > p_now or p_last < date_bin(step, p_now, '2000-01-01 00:00+00');
$function$
;
comment on function scheduler.rollup_step(timestamp with time zone,timestamp with time zone) is 'For which of the steps a copy is due at p_now, the last one having been made at p_last (null: never): the longest in which a new one of 5 minutes, an hour, 6 hours or a day (UTC) has begun; null when none has.';
revoke all on function scheduler.rollup_step(timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.rotation_stage()
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case when scheduler.vault_secret_id('cron_secret_previous') is not null then 'switched'
    when scheduler.vault_secret_id('cron_secret_next') is not null then 'prepared'
    else 'none' end;
$function$
;
comment on function scheduler.rotation_stage() is 'How far the rotation of the cron secret is: none, prepared (the next one waits in Vault), switched (requests carry the new one).';
revoke all on function scheduler.rotation_stage() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_brief(p_run scheduler_runs)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case when p_run.id is not null then jsonb_build_object(
    'run_id', p_run.id, 'job', p_run.job_name, 'status', p_run.status, 'trigger', p_run.trigger,
    'time_zone', (select time_zone from public.scheduler_jobs where name = p_run.job_name),
    'scheduled_for', p_run.scheduled_for, 'scheduled_until', p_run.scheduled_until, 'occurrences', p_run.occurrences,
    'attempt', p_run.attempt, 'max_attempts', p_run.max_attempts, 'key', p_run.key, 'created_at', p_run.created_at,
    'dispatched_at', p_run.dispatched_at, 'started_at', p_run.started_at, 'heartbeat_at', p_run.heartbeat_at,
    'completed_at', p_run.completed_at, 'duration_ms', p_run.duration_ms, 'verdict', p_run.verdict,
    'skip_kind', p_run.skip_kind, 'skip_reason', p_run.skip_reason, 'error_message', left(p_run.error_message, 500),
    'summary', left(p_run.result ->> 'summary', 500), 'waits_for', p_run.waiting ->> 'for') end;
end;
$function$
;
comment on function scheduler.run_brief(scheduler_runs) is 'What a list shows of a run, with the zone of its job, where that is registered; null for none.';
revoke all on function scheduler.run_brief(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_facts(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
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
    when 'queued' then jsonb_build_object('waits', scheduler.wait_reason(p_job, p_run, p_now),
      'waiting', p_run.waiting) || case when p_run.waiting ->> 'for' = 'dependency'
      then jsonb_build_object('obstacle', scheduler.obstacle(p_run.waiting ->> 'name', p_now)) else '{}' end
    when 'dispatched' then (
      select jsonb_build_object('dispatched', to_char(p_run.dispatched_at at time zone zone, 'HH24:MI:SS'),
        'judged', to_char((p_run.dispatched_at + make_interval(
          secs => scheduler.setting('scheduler.receipt_timeout_seconds')
            + case p_run.receipt when 'response' then p_run.timeout_seconds else 0 end)) at time zone zone,
          'HH24:MI:SS'))
      from (select scheduler.shown_time_zone(p_job.time_zone) as zone) as shown)
    else '{}' end;
$function$
;
comment on function scheduler.run_facts(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'The facts of an occurrence that has a row: its last attempt, what the earlier ones came to, and calls by hand in that minute.';
revoke all on function scheduler.run_facts(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_if_function(p_run_if text)
 RETURNS regprocedure
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.run_if_function(text) is 'The function (timestamptz) returns boolean that a run_if or defer_if names, with its schema; null when there is none.';
revoke all on function scheduler.run_if_function(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_line(p_run scheduler_runs)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return scheduler.one_line(case
    when p_run.status = 'completed' then coalesce(nullif(scheduler.one_line(p_run.result ->> 'summary', 1000), ''),
      'completed')
    when p_run.error_message like p_run.status || ' by %' then p_run.error_message
    else concat_ws(': ', p_run.status, nullif(p_run.verdict, p_run.status),
      case when p_run.occurrences > 1 then format('%s occurrences', p_run.occurrences) end,
      coalesce(nullif(p_run.error_message, ''), p_run.skip_reason)) end, 1000);
end;
$function$
;
comment on function scheduler.run_line(scheduler_runs) is 'What came of a run that is over, in one line: what it found, or why it did not.';
revoke all on function scheduler.run_line(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_now(p_job_name text, p_author text, p_payload jsonb DEFAULT NULL::jsonb, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  perform scheduler.hear_and_wake(p_job_name, p_now);
  select run_id, acquired_at into v_held from public.scheduler_locks where name = p_job_name and expires_at > p_now;
  if scheduler.takes_lock(v_job) and v_held.run_id is not null then
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: run %s has been under way since %s', p_job_name, v_held.run_id,
        v_held.acquired_at),
      hint = format('wait for it, or end it: select scheduler.release_lock(%L, ''why'', ''who'')', p_job_name);
  end if;
  v_run := scheduler.new_run(v_job, 'manual', p_now);
  v_run.payload := coalesce(p_payload, v_job.payload);
  v_run.interval_from := scheduler.interval_start(v_job, p_now);
  perform scheduler.add_runs(array[v_run]);
  if scheduler.send_run(v_job, v_run, p_now) in ('waits', 'full') and not v_job.enabled then
    -- The pulse cancels what waits of a disabled job.
    raise exception using errcode = 'SD101',
      message = format('cannot run %s now: as many runs as may be are under way, and it is disabled, so another one '
        'cannot wait', p_job_name);
  end if;
  perform scheduler.audit('run_now', 'job', v_job.name, null, p_author, null,
    jsonb_build_object('run_id', v_run.id, 'payload', p_payload), p_now);
  perform scheduler.log_activity(v_job.name, format('a run was asked for by %s', btrim(p_author)),
    p_details => jsonb_build_object('run_id', v_run.id), p_now => p_now);
  return v_run.id;
end;
$function$
;
comment on function scheduler.run_now(text,text,jsonb,timestamp with time zone) is 'Runs a job at once through the real dispatch path, also when it is paused or disabled, with its own payload unless another is given. Returns the run. Raises SD001 for an unknown job; SD101 when another run holds the job''s lock or, of a disabled job, its parallel_limit is reached; 22023 for a missing author or a payload that is no object.';
revoke all on function scheduler.run_now(text,text,jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_requests_fault(p_runs jsonb)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select case when jsonb_typeof(p_runs) is distinct from 'array'
      then format('runs must be a JSON array of objects, got %s', coalesce(left(p_runs::text, 100), 'null'))
      else (
        select format('runs[%s]%s, got %s', place - 1, fault, left(run::text, 100))
        from jsonb_array_elements(p_runs) with ordinality as runs (run, place), lateral (select case
            when jsonb_typeof(run) <> 'object' then ' must be an object'
            when run - array['payload', 'key', 'priority'] <> '{}'
              then ' must have no field but payload, key and priority'
            when jsonb_typeof(nullif(run -> 'payload', 'null')) <> 'object' then '.payload must be an object'
            when jsonb_typeof(nullif(run -> 'key', 'null')) <> 'string' or length(run ->> 'key') > 200
              or run ->> 'key' !~ '\S' then '.key must be a text of 1 to 200 characters that is not blank'
            when jsonb_typeof(nullif(run -> 'priority', 'null')) <> 'number' or run ->> 'priority' !~ '^-?\d{1,2}$'
              or (run ->> 'priority')::integer not between -10 and 10 then '.priority must be a whole number from -10 '
                'to 10'
          end as fault) as checked
        where fault is not null
        order by place limit 1)
    end);
end;
$function$
;
comment on function scheduler.run_requests_fault(jsonb) is 'What is wrong with the list of runs that enqueue_runs was given, by place and field; null when nothing is.';
revoke all on function scheduler.run_requests_fault(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.run_sentence(p_facts jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
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
  end || coalesce(scheduler.others_sentence(p_facts -> 'others_waiting'), '')
    || coalesce(' It was also run by hand then: ' || (
    select string_agg(outcome, ', ') from jsonb_array_elements_text(p_facts -> 'by_hand') as outcome) || '.', '')
  from said;
$function$
;
comment on function scheduler.run_sentence(jsonb) is 'The sentence of an occurrence that has a row.';
revoke all on function scheduler.run_sentence(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.sample_durations(p_job_name text, p_newest integer, p_statuses text[] DEFAULT NULL::text[], OUT runs bigint, OUT average_ms numeric, OUT p50_ms numeric, OUT p95_ms numeric, OUT p99_ms numeric, OUT longest_ms integer)
 RETURNS record
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select count(duration_ms), round(avg(duration_ms)),
    round(percentile_cont(0.5) within group (order by duration_ms)),
    round(percentile_cont(0.95) within group (order by duration_ms)),
    round(percentile_cont(0.99) within group (order by duration_ms)), max(duration_ms)
  from (
    select duration_ms from public.scheduler_runs
    where job_name = p_job_name and (p_statuses is null or status = any (p_statuses) and duration_ms is not null)
    order by created_at desc limit p_newest) as newest;
$function$
;
comment on function scheduler.sample_durations(text,integer,text[]) is 'How long those of the job''s newest runs took that began: of that many rows, or of that many that began and have one of the statuses.';
revoke all on function scheduler.sample_durations(text,integer,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.scheduler_health()
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with jobs as (
    select jobs.*, scheduler.stop_now(jobs, now()) is not null as paused
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
      'paused_jobs', registry.paused,
      'undelivered_alerts', scheduler.undelivered_alerts(now())
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
$function$
;
comment on function scheduler.scheduler_health() is 'Figures of the scheduler: its pulse, how far behind it is, and what came of the runs of the last 24 hours.';
revoke all on function scheduler.scheduler_health() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.seconds_of(p_spans tstzmultirange)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select coalesce(sum(extract(epoch from upper(span) - lower(span))), 0) from unnest(p_spans) as span;
$function$
;
comment on function scheduler.seconds_of(tstzmultirange) is 'How many seconds the spans last together.';
revoke all on function scheduler.seconds_of(tstzmultirange) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.seconds_to_quiet(p_now timestamp with time zone)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when second < 1 then 1 - second when second >= 59 then 61 - second else 0 end
  from (select mod(extract(epoch from p_now), 60) as second) as clock;
$function$
;
comment on function scheduler.seconds_to_quiet(timestamp with time zone) is 'How many seconds to wait until no minute begins within a second: 0 to 2.';
revoke all on function scheduler.seconds_to_quiet(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.secret_users()
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object(
    'functions', (
      select jsonb_agg(name order by name) from (
        select 'cron' as name
        union select 'prometheus-metrics'
        union select function_name from public.scheduler_jobs
          where function_name is not null and secret_name = 'cron_secret' and receipt = 'function') as served),
    'others', (
      select coalesce(jsonb_agg(name order by name), '[]') from public.scheduler_jobs
      where secret_name = 'cron_secret' and (function_name is null or receipt <> 'function')));
$function$
;
comment on function scheduler.secret_users() is 'Who is sent the cron secret: {"functions": those of Daybook''s own kind, which take two secrets at once, "others": jobs whose target is a URL or a function of another kind}.';
revoke all on function scheduler.secret_users() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.seen_causes(p_state scheduler.pulse_state, p_now timestamp with time zone)
 RETURNS SETOF scheduler.seen_cause
 LANGUAGE sql
 STABLE ROWS 5
 SET search_path TO ''
AS $function$
  with rules as (select * from public.scheduler_alert_rules where enabled),
  seen as (
    select * from scheduler.causes_of(array(select sightings from scheduler.job_sightings(p_state.errors, p_now)
      as sightings))
    union all
    select 'budget ' || budget, rule, severity, for_seconds, '{}'
      from rules, scheduler.budget_states(p_now)
      where rule = 'budget_exhausted' and scheduler.budget_rule_holds(threshold, tokens, tokens_left)
    union all
    select 'queue', rule, severity, for_seconds, '{}' from rules
      where rule = 'queue_still' and scheduler.queue_rule_holds(threshold, p_state.queue_still_since, p_now)
    union all
    select 'pulse', rule, severity, for_seconds, '{}' from rules
      where rule = 'pulse_errors' and exists (select from jsonb_object_keys(p_state.errors) as key
        where key like 'step %')
  )
  select cause, (array_agg(rule order by scheduler.severity_rank(severity) desc, rule))[1],
    (array_agg(severity order by scheduler.severity_rank(severity) desc))[1], min(for_seconds),
    coalesce((select array_agg(distinct job order by job) from seen as same, unnest(same.jobs) as job
      where same.cause = seen.cause), '{}')
  from seen group by cause;
$function$
;
comment on function scheduler.seen_causes(scheduler.pulse_state,timestamp with time zone) is 'All causes that the rules see now, of jobs and of what they share.';
revoke all on function scheduler.seen_causes(scheduler.pulse_state,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_deliveries(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_delivery public.scheduler_alert_deliveries;
  v_posted record;
  v_sent integer := 0;
begin
  for v_delivery in
    select * from public.scheduler_alert_deliveries as due
    where status = 'waiting' and send_after <= p_now
      -- In order: the end of an alert is not told before its beginning.
      and not exists (
        select from public.scheduler_alert_deliveries as earlier
        where earlier.alert_id = due.alert_id and earlier.channel = due.channel
          and earlier.written_at < due.written_at and earlier.status in ('waiting', 'sent'))
    order by written_at, channel limit 20
  loop
    v_delivery.tries := v_delivery.tries + 1;
    v_posted := scheduler.post_delivery(v_delivery, p_now);
    update public.scheduler_alert_deliveries
      set tries = v_delivery.tries, sent_at = p_now, request_id = v_posted.request_id, status = 'sent'
      where id = v_delivery.id;
    if v_posted.fault is not null then
      perform scheduler.end_try(v_delivery, 'again', null, v_posted.fault, null, p_now);
    else
      v_sent := v_sent + 1;
    end if;
  end loop;
  return v_sent;
end;
$function$
;
comment on function scheduler.send_deliveries(timestamp with time zone) is 'Sends what is due of the outbox, 20 messages at most. Returns how many.';
revoke all on function scheduler.send_deliveries(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_group(p_group_name text, p_asked text[], p_now timestamp with time zone, p_until timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_line scheduler.place_in_line[];
  v_first scheduler.place_in_line;
  v_told record;
  v_has_tried boolean := false;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
  v_more boolean := false;
begin
  perform scheduler.let_due_go(jobs, p_now) from public.scheduler_jobs as jobs
    where group_name = p_group_name and name = any (p_asked);
  v_line := array(select place from scheduler.line_of(p_group_name, null, 1, p_now) as place);
  loop
    -- Without a slot only those are looked at that asked: their row has to say what they wait for.
    if not scheduler.has_free_slot(p_group_name) then
      v_line := array(select place from unnest(v_line) as place where job_name = any (p_asked));
    end if;
    select * into v_first from unnest(v_line) order by priority desc, scheduled_for, job_name limit 1;
    exit when not found;
    if v_has_tried and clock_timestamp() > p_until then
      perform scheduler.wake_jobs(array(select job_name from unnest(v_line)), 'epoch');
      return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', true);
    end if;
    v_has_tried := true;
    v_told := scheduler.try_send_next(v_first.job_name, p_now);
    v_sent := v_sent + coalesce(v_told.outcome = 'sent', false)::integer;
    v_errors := v_errors || case when v_told.fault is not null
      then jsonb_build_object(v_first.job_name, v_told.fault) else jsonb_build_object() end;
    v_line := array(select place from unnest(v_line) as place where job_name <> v_first.job_name);
    if v_told.outcome in ('sent', 'over', 'waits') and v_first.tried < 100 then
      v_line := v_line || array(
        select place from scheduler.line_of(p_group_name, v_first.job_name, v_first.tried + 1, p_now) as place);
    elsif v_told.outcome in ('sent', 'over', 'waits') then
      -- More may go than one transaction sends.
      perform scheduler.wake_jobs(array[v_first.job_name], 'epoch');
      v_more := true;
    end if;
  end loop;
  return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', v_more);
end;
$function$
;
comment on function scheduler.send_group(text,text[],timestamp with time zone,timestamp with time zone) is 'Sends what waits of the group''s jobs as far as its slots go, one run at a time, the highest priority first: the next one may be another job''s. Jobs that asked are looked at also without a slot. {"sent": runs, "errors": {job: message}, "more": whether something is left: the clock showed p_until, after one run at least, or 100 runs of a job were tried}. What is left then and jobs that somebody else holds are woken at the next pulse. The caller holds the row locks of those that asked.';
revoke all on function scheduler.send_group(text,text[],timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_line(p_now timestamp with time zone, p_until timestamp with time zone DEFAULT (clock_timestamp() + '00:00:01'::interval))
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_line jsonb;
  v_group record;
  v_told jsonb;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
  v_more boolean := false;
begin
  -- What is sent, or skipped, can have others stand in line.
  loop
    v_line := current_setting('daybook.line')::jsonb;
    exit when v_line = '[]';
    perform set_config('daybook.line', '[]', true);
    for v_group in
      select place ->> 'group' as name, array_remove(array_agg(place ->> 'job'), null) as asked
      from jsonb_array_elements(v_line) as place group by 1 order by 1
    loop
      v_told := scheduler.send_group(v_group.name, v_group.asked, p_now, p_until);
      v_sent := v_sent + (v_told ->> 'sent')::integer;
      v_errors := v_errors || (v_told -> 'errors');
      v_more := v_more or (v_told ->> 'more')::boolean;
    end loop;
  end loop;
  perform set_config('daybook.line', '', true);
  return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', v_more);
end;
$function$
;
comment on function scheduler.send_line(timestamp with time zone,timestamp with time zone) is 'Sends those that stand in line, group by group, until none does or the clock shows p_until, and closes the line. {"sent", "errors", "more"} as send_group has them; what is left is woken at the next pulse.';
revoke all on function scheduler.send_line(timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_next(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run constant public.scheduler_runs := scheduler.next_waiting(p_job, p_now);
begin
  return case when v_run.id is null then 'none' else scheduler.send_run(p_job, v_run, p_now) end;
end;
$function$
;
comment on function scheduler.send_next(scheduler_jobs,timestamp with time zone) is 'send_run of the job''s run that goes next; none when none may go. The caller holds the job''s row lock.';
revoke all on function scheduler.send_next(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_queued(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_outcome text;
  v_opens boolean;
  v_sent integer := 0;
begin
  if not exists (select from public.scheduler_runs where job_name = p_job.name and status = 'queued') then
    return 0;
  end if;
  if scheduler.has_slots(p_job) then
    v_opens := scheduler.opens_line();
    perform scheduler.stand_in_line(p_job.group_name, p_job.name);
    return case when v_opens then (scheduler.send_line(p_now) ->> 'sent')::integer else 0 end;
  end if;
  perform scheduler.let_due_go(p_job, p_now);
  for i in 1 .. 100 loop
    v_outcome := scheduler.send_next(p_job, p_now);
    v_sent := v_sent + (v_outcome = 'sent')::integer;
    exit when v_outcome in ('none', 'full');
  end loop;
  if v_outcome not in ('none', 'full') then
    -- More may go than one transaction sends.
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
  end if;
  return v_sent;
end;
$function$
;
comment on function scheduler.send_queued(scheduler_jobs,timestamp with time zone) is 'Sends what of the job is due and waiting, as far as it may go, at most 100 runs (the next pulse goes on); returns how many. A job that shares a limit stands in line with the others of its group. The caller holds the job''s row lock.';
revoke all on function scheduler.send_queued(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.send_run(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone, p_is_ordered boolean DEFAULT false)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_timeout_ms constant integer := scheduler.request_timeout_ms(p_job, p_run.timeout_seconds);
  v_hold scheduler.hold;
  v_posted record;
begin
  if p_run.trigger <> 'manual' and not p_is_ordered and (p_job.stopped_at is null or p_job.stopped_until is not null)
    and scheduler.incident_lasts() then
    -- Another transaction held the job's row when it was started.
    v_hold.kind := 'incident';
  elsif not scheduler.is_plain(p_job) then
    v_hold := case when p_is_ordered then scheduler.limit_hold(p_job, p_run)
      else scheduler.hold_of(p_job, p_run, p_now) end;
  end if;
  if v_hold.skip_reason is not null then
    perform scheduler.skip_waiting(p_job, p_run, v_hold, p_now);
    return 'over';
  end if;
  if v_hold.kind is null then
    v_hold := scheduler.take_limits(p_job, p_run, v_timeout_ms, p_now);
  end if;
  if v_hold.kind is not null then
    return scheduler.hold_back(p_run, v_hold, p_now);
  end if;

  perform scheduler.requests_since();
  v_posted := scheduler.post_run(p_job, p_run, v_timeout_ms);
  if v_posted.fault is not null then
    -- Its slot is not handed on: the next run would come to the same end, and so on for all that wait.
    perform scheduler.free_slot(p_run.id);
    perform scheduler.end_run(
      p_run.id, array['queued'], 'failed', 'misconfigured', p_now, p_error_message => v_posted.fault,
        p_send_next => false
    );
    return 'over';
  end if;
  if p_job.breaker_failures is not null then
    perform scheduler.note_try(p_job, p_run.id);
  end if;

  -- An older run with this id was sent before pg_net's ids began again: the answer to come is not its own.
  update public.scheduler_runs
    set answered_at = p_now, response_error = 'the request id was used again before an answer came'
    where id in (
      select id from public.scheduler_runs
      where request_id = v_posted.request_id and answered_at is null for no key update skip locked);
  update public.scheduler_runs
    set status = 'dispatched', dispatched_at = p_now, request_id = v_posted.request_id, waiting = null,
      -- Where it really went: the job may have been changed while its retry waited.
      function_name = p_job.function_name, receipt = p_job.receipt
    where id = p_run.id;
  return 'sent';
end;
$function$
;
comment on function scheduler.send_run(scheduler_jobs,scheduler_runs,timestamp with time zone,boolean) is 'Sends a queued run: takes the job''s lock and queues the request: sent. Where it is held back it stays queued, says why, and the answer is waits (this run alone) or full (nothing of the job may go). A run that a person has ordered is asked about the lock and the limits alone. Over when the run came to its end here: a request that cannot be made is misconfigured, one whose dependency failed is skipped. The caller holds the job''s row lock.';
revoke all on function scheduler.send_run(scheduler_jobs,scheduler_runs,timestamp with time zone,boolean) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.set_alert_rule(p_rule text, p_reason text, p_author text, p_threshold numeric DEFAULT NULL::numeric, p_severity text DEFAULT NULL::text, p_for_seconds integer DEFAULT NULL::integer, p_enabled boolean DEFAULT NULL::boolean, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_before public.scheduler_alert_rules;
  v_after public.scheduler_alert_rules;
begin
  perform scheduler.assert_given('change the alert rule', 'reason and author',
    format('select scheduler.set_alert_rule(%L, ''why'', ''who'', p_threshold => 5)', p_rule), p_reason, p_author);
  select * into v_before from public.scheduler_alert_rules where rule = p_rule for update;
  if not found or p_threshold not between 0 and 1000000000 or p_severity not in ('info', 'warning', 'critical')
    or p_for_seconds not between 0 and 86400 then
    raise exception using errcode = '22023', message = format('cannot change the alert rule %s: %s', p_rule, case
        when v_before.rule is null then 'there is none of that name'
        when p_severity not in ('info', 'warning', 'critical') then 'severity must be info, warning or critical'
        else 'threshold must be from 0 to 1000000000, for_seconds from 0 to 86400' end),
      hint = 'select rule, description from public.scheduler_alert_rules';
  end if;
  update public.scheduler_alert_rules set threshold = coalesce(p_threshold, threshold),
      severity = coalesce(p_severity, severity), for_seconds = coalesce(p_for_seconds, for_seconds),
      enabled = coalesce(p_enabled, enabled)
    where rule = p_rule returning * into v_after;
  perform scheduler.audit('set_alert_rule', 'alert_rule', p_rule, p_reason, p_author, to_jsonb(v_before),
    to_jsonb(v_after), p_now);
end;
$function$
;
comment on function scheduler.set_alert_rule(text,text,text,numeric,text,integer,boolean,timestamp with time zone) is 'Changes what is given of a rule. Raises 22023 for an unknown rule, a value out of range, a missing reason or author.';
revoke all on function scheduler.set_alert_rule(text,text,text,numeric,text,integer,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.settle_alerts()
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  update public.scheduler_alerts as alerts set settled = true
  where not settled and ended_at is not null and not exists (
    select from (
      select distinct on (channel) channel, event from public.scheduler_alert_deliveries
      where alert_id = alerts.id order by channel, written_at desc) as last
      join public.scheduler_alert_channels on name = channel and enabled
    where event <> 'ended');
$function$
;
comment on function scheduler.settle_alerts() is 'Closes the alerts of which the end was told to all who knew of them, apart from disabled channels.';
revoke all on function scheduler.settle_alerts() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.severity_rank(p_severity text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select array_position(array['info', 'warning', 'critical'], p_severity);
$function$
;
comment on function scheduler.severity_rank(text) is 'info 1, warning 2, critical 3.';
revoke all on function scheduler.severity_rank(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.share_facts(p_share scheduler.share)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('rate', round((p_share).share::numeric, 6), 'least', round((p_share).least::numeric, 6),
    'most', round((p_share).most::numeric, 6));
$function$
;
comment on function scheduler.share_facts(scheduler.share) is 'A share as a finding shows it.';
revoke all on function scheduler.share_facts(scheduler.share) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.share_of(p_part double precision, p_whole double precision)
 RETURNS scheduler.share
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select row(p_part / p_whole, (middle - reach) / width, (middle + reach) / width)::scheduler.share
  from (
    select p_part / p_whole + z2 / 2 / p_whole as middle, 1 + z2 / p_whole as width,
      sqrt(z2 * (p_part / p_whole * (1 - p_part / p_whole) / p_whole + z2 / 4 / p_whole / p_whole)) as reach
    from (values (2.576::float8 * 2.576)) as normal (z2)) as wilson
  where p_whole > 0;
$function$
;
comment on function scheduler.share_of(double precision,double precision) is 'How large a share some are of all, with its 99 % interval (Wilson 1927); null of none.';
revoke all on function scheduler.share_of(double precision,double precision) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.share_without_worst_day(p_part double precision[], p_whole double precision[])
 RETURNS scheduler.share
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select scheduler.share_of(sum(part), sum(whole))
  from (
    select *, row_number() over (order by part - whole * usual desc) as place
    from (
      select *, sum(part) over () / sum(whole) over () as usual
      from unnest(p_part, p_whole) as days (part, whole) where whole > 0) as days) as ranked
  where place > 1;
$function$
;
comment on function scheduler.share_without_worst_day(double precision[],double precision[]) is 'How large a share some were of all on these days, without the day that has most above its share: an incident of one day is no change.';
revoke all on function scheduler.share_without_worst_day(double precision[],double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.shared_cause(p_sighting scheduler.sighting, p_alike bigint)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case
    when p_sighting.rule = 'missed' then 'clock'
    when p_sighting.rule = 'pulse_errors' then case when p_alike >= 3 then 'pulse' end
    when p_sighting.verdict = 'not_sent' then 'queue'
    when p_sighting.verdict in ('unreachable', 'lost') then 'host ' || p_sighting.host
    when p_sighting.verdict = 'unauthorized' then 'secret ' || p_sighting.secret_name
    when p_sighting.verdict = 'misconfigured' then 'setup ' || left(p_sighting.fault, 100)
    -- One job alone may be the fault of that job.
    when p_sighting.verdict in ('boot_error', 'gateway_timeout', 'rate_limited', 'stalled', 'interrupted')
      and p_alike >= 3 then 'host ' || p_sighting.host
  end;
$function$
;
comment on function scheduler.shared_cause(scheduler.sighting,bigint) is 'The cause that a sighting shares with others; null: it is the job''s own. p_alike: how many jobs are seen with the same verdict at the same host, or with the same message of the pulse.';
revoke all on function scheduler.shared_cause(scheduler.sighting,bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.shortest_interval_ms(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_parsed scheduler.parsed_schedule;
  v_times integer[];
  v_days integer;
begin
  if p_job.schedule is null or p_job.continuous then
    return null;
  end if;
  v_parsed := scheduler.parse_schedule(p_job.schedule);
  if v_parsed.interval_seconds is not null then
    return v_parsed.interval_seconds * 1000::bigint;
  end if;
  v_times := array(
    select hour * 60 + minute from unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute order by 1);
  v_days := (
    select min(extract(day from gap)) from (
      select day - lag(day) over (order by day) as gap
      from scheduler.matching_dates(v_parsed, scheduler.utc_day(p_now), scheduler.utc_day(p_now) + 366)) as gaps);
  return 60000::bigint * least(1440 * v_days - v_times[cardinality(v_times)] + v_times[1], (
    select min(v_times[place + 1] - v_times[place]) from generate_series(1, cardinality(v_times) - 1) as place));
end;
$function$
;
comment on function scheduler.shortest_interval_ms(scheduler_jobs,timestamp with time zone) is 'The shortest time between two occurrences of the job; null without a schedule, or with fewer than two in a year.';
revoke all on function scheduler.shortest_interval_ms(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.silence_verdict(p_run scheduler_runs, p_now timestamp with time zone, p_receipt_timeout interval, p_heartbeat_timeout interval, p_grace interval)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_deadline constant timestamptz := p_run.started_at + make_interval(secs => p_run.timeout_seconds);
begin
  return case
    when p_run.status = 'dispatched' and p_run.dispatched_at < p_now - p_receipt_timeout
        - case p_run.receipt when 'response' then make_interval(secs => p_run.timeout_seconds) else interval '0' end
      then case when p_run.response_status between 200 and 299 then 'no_receipt' else 'lost' end
    when p_run.status <> 'running' then null
    -- A heartbeat that stopped long before the deadline is the cause, whenever it is noticed.
    when p_run.heartbeat_at < least(p_now, v_deadline) - p_heartbeat_timeout then 'stalled'
    when v_deadline + p_grace < p_now then 'timed_out'
  end;
end;
$function$
;
comment on function scheduler.silence_verdict(scheduler_runs,timestamp with time zone,interval,interval,interval) is 'What a run''s silence means at p_now: lost, no_receipt, stalled, timed_out; null while it may still be heard of.';
revoke all on function scheduler.silence_verdict(scheduler_runs,timestamp with time zone,interval,interval,interval) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.silent_runs(p_now timestamp with time zone, p_job_names text[] DEFAULT NULL::text[])
 RETURNS TABLE(id uuid, job_name text, status text, request_id bigint, dispatched_at timestamp with time zone, verdict text)
 LANGUAGE plpgsql
 STABLE ROWS 100
 SET search_path TO ''
AS $function$
#variable_conflict use_column
begin
  return query
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
end;
$function$
;
comment on function scheduler.silent_runs(timestamp with time zone,text[]) is 'The runs (of these jobs, null: of all) of which nothing was heard for too long, and what that means.';
revoke all on function scheduler.silent_runs(timestamp with time zone,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.skip_text(p_job scheduler_jobs, p_kind text, p_detail text DEFAULT NULL::text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case p_kind
    when 'overlap' then format('overlap: run %s %s', p_detail, coalesce((
      select 'was waiting: ' || concat_ws(' ', waiting ->> 'for', waiting ->> 'name') from public.scheduler_runs
      where id = p_detail::uuid and status = 'queued'), 'was under way'))
    when 'calendar' then format('calendar: %s', p_detail)
    when 'dependency' then p_detail
    when 'breaker' then p_detail
    when 'queue_full' then format('queue full: run %s was at work and another one was waiting', p_detail)
    when 'superseded' then format('nobody fired it in time, and the occurrence of %s was due by then', p_detail)
    when 'misfire_once' then 'misfire policy once: made up for by a later run'
    when 'misfire_all' then format('misfire policy all: over its cap of %s', p_job.misfire_cap)
    when 'misfire_skip' then 'misfire policy skip'
    else scheduler.stop_text(p_job, p_kind)
  end;
$function$
;
comment on function scheduler.skip_text(scheduler_jobs,text,text) is 'What a skip_kind says to people; the detail is the run that was under way or waited, the occurrence that was due, the label of a calendar, or what a dependency or a breaker says.';
revoke all on function scheduler.skip_text(scheduler_jobs,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.skip_waiting(p_job scheduler_jobs, p_run scheduler_runs, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  update public.scheduler_runs
    set status = 'skipped', verdict = 'skipped', completed_at = p_now, run_after = null, waiting = null,
      skip_kind = (p_hold).kind, skip_reason = (p_hold).skip_reason
    where id = p_run.id and status = 'queued';
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
end;
$function$
;
comment on function scheduler.skip_waiting(scheduler_jobs,scheduler_runs,scheduler.hold,timestamp with time zone) is 'Skips a run that waited, and lets those who depend on it decide. The caller holds the job''s row lock.';
revoke all on function scheduler.skip_waiting(scheduler_jobs,scheduler_runs,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.skipped_run(p_job scheduler_jobs, p_run scheduler_runs, p_kind text, p_detail text, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs := p_run;
begin
  v_run.status := 'skipped';
  v_run.verdict := 'skipped';
  v_run.completed_at := p_now;
  v_run.run_after := null;
  v_run.waiting := null;
  v_run.skip_kind := p_kind;
  v_run.skip_reason := scheduler.skip_text(p_job, p_kind, p_detail);
  return v_run;
end;
$function$
;
comment on function scheduler.skipped_run(scheduler_jobs,scheduler_runs,text,text,timestamp with time zone) is 'The run, skipped for a reason. Writes nothing.';
revoke all on function scheduler.skipped_run(scheduler_jobs,scheduler_runs,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.split_day_signs(p_parsed scheduler.parsed_schedule)
 RETURNS scheduler.parsed_schedule
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_parsed scheduler.parsed_schedule := p_parsed;
begin
  v_parsed.days_of_month := array(
    select value from unnest(p_parsed.days_of_month) as value where value between 1 and 31 order by value);
  v_parsed.signs_of_month := nullif(array(
    select value from unnest(p_parsed.days_of_month) as value where value not between 1 and 31 order by value), '{}');
  v_parsed.days_of_week := array(
    select value from unnest(p_parsed.days_of_week) as value where value < 10 order by value);
  v_parsed.signs_of_week := nullif(array(
    select value from unnest(p_parsed.days_of_week) as value where value >= 10 order by value), '{}');
  return v_parsed;
end;
$function$
;
comment on function scheduler.split_day_signs(scheduler.parsed_schedule) is 'A schedule whose day fields hold plain values and signs, with the signs apart.';
revoke all on function scheduler.split_day_signs(scheduler.parsed_schedule) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.spread(p_values double precision[])
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select 1.4826 * percentile_cont(0.5) within group (order by abs(value - middle))
  from unnest(p_values) as value, scheduler.median(p_values) as middle;
$function$
;
comment on function scheduler.spread(double precision[]) is 'The median absolute deviation, as the standard deviation that it would be of a normal distribution.';
revoke all on function scheduler.spread(double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stale_forecasts(p_plan scheduler_plans, p_now timestamp with time zone)
 RETURNS SETOF scheduler_jobs
 LANGUAGE sql
 STABLE ROWS 100
 SET search_path TO ''
AS $function$
  select jobs.* from public.scheduler_jobs as jobs left join scheduler.job_forecasts as made on job_name = name
  where job_name is null or scheduler.utc_day(made_at) <> scheduler.utc_day(p_now) or job_updated_at <> updated_at
    or made.wall_clock_seconds is distinct from p_plan.wall_clock_seconds
  order by name;
$function$
;
comment on function scheduler.stale_forecasts(scheduler_plans,timestamp with time zone) is 'The jobs of which the forecast is not of today, or of another version of the job or the plan.';
revoke all on function scheduler.stale_forecasts(scheduler_plans,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stand_in_line(p_group_name text, p_job_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform set_config('daybook.line', (current_setting('daybook.line')::jsonb
    || jsonb_build_object('group', p_group_name, 'job', p_job_name))::text, true);
end;
$function$
;
comment on function scheduler.stand_in_line(text,text) is 'Has send_line look at a job of a group; null: at those alone that a free slot of the group is for.';
revoke all on function scheduler.stand_in_line(text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.start_incident(p_reason text, p_author text, p_end_runs boolean DEFAULT false, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_incident public.scheduler_incidents;
  v_held text[];
  v_jobs bigint;
  v_ended bigint;
begin
  perform scheduler.assert_given('start an incident', 'reason and author',
    'select scheduler.start_incident(''why'', ''who'')', p_reason, p_author);
  v_held := scheduler.lock_for_incident();
  insert into public.scheduler_incidents (started_at, started_by, reason, ends_runs)
    values (p_now, left(btrim(p_author), 200), left(btrim(p_reason), 1000), coalesce(p_end_runs, false))
    on conflict do nothing returning * into v_incident;
  if v_incident.id is null then
    select * into v_incident from public.scheduler_incidents where ended_at is null;
    raise exception using errcode = 'SD104',
      message = format('cannot start an incident: one has lasted since %s, called by %s: %s',
        scheduler.local_text(v_incident.started_at, 'UTC'), v_incident.started_by, v_incident.reason),
      hint = 'select scheduler.end_incident(''who'')';
  end if;
  select count(*) filter (where p_end_runs) into v_ended from public.scheduler_runs
    where status in ('dispatched', 'running') and job_name <> all (v_held);
  perform scheduler.stop_job(jobs, v_incident, p_now) from public.scheduler_jobs as jobs where name <> all (v_held);
  get diagnostics v_jobs = row_count;
  perform scheduler.withdraw_run(runs, format('incident called by %s: %s', v_incident.started_by, v_incident.reason),
      p_now)
    from public.scheduler_runs as runs
    where p_end_runs and status in ('dispatched', 'running') and not exists (
      select from public.scheduler_jobs where name = job_name);
  perform scheduler.wake_jobs(v_held, 'epoch');
  perform scheduler.audit('start_incident', 'scheduler', 'all jobs', p_reason, p_author, null,
    jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended)
      || case when v_held <> '{}' then jsonb_build_object('held', v_held) else '{}' end, p_now);
  perform scheduler.log_activity('scheduler', format('incident called by %s: %s', btrim(p_author), btrim(p_reason)),
    'warning', jsonb_build_object('jobs', v_jobs, 'ended_runs', v_ended), p_now);
  return format('%s stopped; %s', scheduler.count_text(v_jobs, 'job') || case v_jobs when 1 then ' is' else ' are' end,
    case when p_end_runs then scheduler.count_text(v_ended, 'run') || ' told to end' else 'what runs goes on' end)
    || case when v_held <> '{}' then format('; held by other transactions, nothing of them is sent, and stopped when '
      'those end: %s', array_to_string(v_held, ', ')) else '' end;
end;
$function$
;
comment on function scheduler.start_incident(text,text,boolean,timestamp with time zone) is 'Stops all jobs, with a reason and an author: no run is sent any more, occurrences become skipped rows. With p_end_runs what is under way is cancelled, else it goes on. Takes a few seconds at most: a job whose row another transaction holds for longer is named, and stopped by the pulse as soon as that ends. Raises SD104 while another incident lasts; 22023 for a missing reason or author.';
revoke all on function scheduler.start_incident(text,text,boolean,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.start_occurrence(p_job scheduler_jobs, p_scheduled_for timestamp with time zone, p_now timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
  v_holder public.scheduler_runs;
begin
  if scheduler.takes_lock(p_job) then
    v_holder := scheduler.under_way(p_job, p_now);
  end if;
  -- pg_cron's entries start within two seconds, those of seconds within their period; a later occurrence was found by
  -- the pulse, after a restart for example.
  v_run := scheduler.new_run(p_job,
    case when p_scheduled_for > p_now - case when scheduler.entry_needs_seconds(p_job.cron_entry)
      then interval '1 minute' else interval '10 seconds' end then 'cron' else 'catch_up' end, p_scheduled_for);
  v_run.interval_from := scheduler.asked_from(p_job, p_scheduled_for);
  if v_holder.id is not null then
    select scheduler.overlap_kind(p_job, case when scheduler.is_backfill(v_holder) then 'catch_up'
          else v_holder.trigger end,
        coalesce(bool_or(trigger = 'catch_up'), false), coalesce(bool_or(trigger = 'cron'), false)) into v_run.skip_kind
      from public.scheduler_runs where job_name = p_job.name and status = 'queued' and id <> v_holder.id;
    v_run.stands_for := case when v_run.skip_kind is not null then v_holder.id end;
    v_run.waiting := scheduler.wait_facts('lock', p_job.name, p_now, null);
  end if;
  if v_run.skip_kind is not null then
    v_run := scheduler.skipped_run(p_job, v_run, v_run.skip_kind, v_holder.id::text, p_now);
  elsif p_job.jitter_seconds > 0
    and p_scheduled_for + scheduler.jitter(p_job.name, p_scheduled_for, p_job.jitter_seconds) > p_now then
    v_run.run_after := p_scheduled_for + scheduler.jitter(p_job.name, p_scheduled_for, p_job.jitter_seconds);
    v_run.waiting := scheduler.wait_facts('jitter', null, p_now, v_run.run_after);
  end if;

  select * into v_run from scheduler.add_runs(array[v_run]);
  if v_run.id is not null and v_holder.id is null and v_run.run_after is null then
    if scheduler.has_slots(p_job) then
      perform scheduler.send_queued(p_job, p_now);
    else
      perform scheduler.send_run(p_job, v_run, p_now);
    end if;
  end if;
  return v_run.id;
end;
$function$
;
comment on function scheduler.start_occurrence(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'Writes the ledger row of a due occurrence and sends it, lets it wait, or says why not (overlap, queue_full). Returns the run, null when the occurrence had its row already. The caller holds the job''s row lock.';
revoke all on function scheduler.start_occurrence(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.status_jobs(p_names text[], p_states scheduler.job_condition[], p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_agg(jsonb_build_object(
    'job', jobs.name, 'alias', jobs.alias, 'description', jobs.description, 'target', jobs.target,
    'schedule', jobs.schedule, 'time_zone', jobs.time_zone, 'continuous', jobs.continuous,
    'state', states.state, 'stopped_by',
      case when states.stop is not null then scheduler.stop_text(jobs, states.stop) end,
    'waits_for', states.waits_for, 'unsuccessful_occurrences', states.unsuccessful,
    'last_run', scheduler.run_brief(last_run), 'next_run_at', case when jobs.enabled then jobs.next_run_at end,
    'lock', case when locks.name is not null then jsonb_build_object('run_id', locks.run_id, 'holder', locks.holder,
      'acquired_at', locks.acquired_at, 'expires_at', locks.expires_at) end,
    'breaker', case when jobs.breaker_failures is not null then jsonb_build_object('state', states.breaker,
      'failures', coalesce(breakers.failures, 0), 'opened_at', breakers.opened_at) end,
    'parallel', case when jobs.parallel_limit is not null then jsonb_build_object('least', jobs.parallel_least,
      'most', jobs.parallel_limit, 'in_force', scheduler.limit_in_force(jobs)) end,
    'stretch', case when jobs.stretch_after is not null then jsonb_build_object(
      'idle_in_row', coalesce(stretches.idle_in_row, 0), 'asked_again_at', stretches.asked_again_at) end,
    'budgets', scheduler.job_budgets(jobs, (select scheduler.all_budgets(p_now))), 'group', jobs.group_name,
    'callable', jobs.function_name is not null and jobs.receipt = 'function' and jobs.secret_name = 'cron_secret')
    order by jobs.name), '[]')
  from unnest(p_states) as states
    join public.scheduler_jobs as jobs on jobs.name = states.name
    left join public.scheduler_locks as locks on locks.name = jobs.name
    left join public.scheduler_breakers as breakers on breakers.job_name = jobs.name
    left join scheduler.stretches on stretches.job_name = jobs.name
    left join lateral (
      select * from public.scheduler_runs where job_name = jobs.name order by created_at desc limit 1
    ) as last_run on true
  where states.name = any (p_names);
$function$
;
comment on function scheduler.status_jobs(text[],scheduler.job_condition[],timestamp with time zone) is 'What the status shows of each of these jobs, whose states are among those given.';
revoke all on function scheduler.status_jobs(text[],scheduler.job_condition[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.status_line(p_now timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select format('%s: %s active, %s paused, %s failing; %s under way, %s waiting; %s', scheduler.count_text(count(*),
      'job'), count(*) filter (where stop is null), count(*) filter (where stop is not null),
      count(*) filter (where failed_in_row > 0 or missed_in_row > 0),
      (select count(*) from public.scheduler_runs where status in ('dispatched', 'running')),
      (select count(*) from public.scheduler_runs where status = 'queued'),
      (select scheduler.count_text(count(*), 'open alert') from public.scheduler_alerts
        where opened_at is not null and ended_at is null))
  from public.scheduler_jobs as jobs join scheduler.run_counters on job_name = name,
    lateral (select scheduler.stop_now(jobs, p_now) as stop) as stopped
  where enabled;
$function$
;
comment on function scheduler.status_line(timestamp with time zone) is 'One line over all enabled jobs.';
revoke all on function scheduler.status_line(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.status_sentence(p_counts jsonb, p_trouble text[], p_pulse_age numeric, p_incident text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select concat_ws(' ',
    case when p_incident is not null then format('All jobs are stopped: %s.', p_incident) end,
    case when total = 0 then 'No job is registered.'
      when healthy = total then format('%s healthy.', case total when 1 then 'The one job is'
        else format('All %s jobs are', total) end)
      else format('Of %s %s.', scheduler.count_text(total, 'job'), states) end,
    case when p_trouble <> '{}' then format('Look at %s.', array_to_string(p_trouble[1:5], ', ')
      || case when cardinality(p_trouble) > 5 then format(' and %s more', cardinality(p_trouble) - 5) else '' end) end,
    case when p_pulse_age is null then 'The pulse has not beaten yet.'
      when p_pulse_age > 90 then format('The pulse last beat %s s ago: is pg_cron at work?', round(p_pulse_age)) end)
  from (
    select coalesce(sum(jobs::bigint), 0)::bigint as total,
      coalesce(sum(jobs::bigint) filter (where state = 'healthy'), 0)::bigint as healthy,
      string_agg(format('%s %s %s', jobs, case jobs when '1' then 'is' else 'are' end, replace(case state
        when 'breaker_open' then 'stopped by a breaker' else state end, '_', ' ')), ', '
        order by array_position(array['failing', 'overdue', 'breaker_open', 'late', 'waiting', 'paused', 'disabled',
          'healthy'], state)) as states
    from jsonb_each_text(p_counts) as counted (state, jobs)
  ) as counts;
$function$
;
comment on function scheduler.status_sentence(jsonb,text[],numeric,text) is 'The state of all jobs in a sentence or two, of how many are in each state, the names of those in trouble, the age of the last pulse in seconds (null: never) and who called an incident (null: none lasts).';
revoke all on function scheduler.status_sentence(jsonb,text[],numeric,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.step_behind(p_values double precision[], p_line_deviation double precision)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  with ranked as (
    select place, rank() over (order by value) + (count(*) over (partition by value) - 1) / 2.0::float8 as rank
    from unnest(p_values) with ordinality as points (value, place)
  ), splits as (
    -- How far the ranks on one side are from what they would be, were their order chance (Pettitt 1979).
    select place::integer, abs(2 * sum(rank) over (order by place) - place * (days + 1))
      / sqrt(place * nullif(days - place, 0)) as unlike
    from ranked, (select cardinality(p_values) as days) as counted
  ), farthest as (
    select place from splits where place between 3 and cardinality(p_values) - 3 order by unlike desc, place limit 1
  )
  select place from farthest
  where scheduler.deviation(p_values[:place]) + scheduler.deviation(p_values[place + 1:]) < p_line_deviation;
$function$
;
comment on function scheduler.step_behind(double precision[],double precision) is 'Behind how many values a step lies, where one level before and another after it explain them better than a line whose deviation is given; null where none does.';
revoke all on function scheduler.step_behind(double precision[],double precision) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.still_since(p_still_since timestamp with time zone, p_queued boolean, p_answered_at timestamp with time zone, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case when p_queued then least(greatest(coalesce(p_still_since, p_now), p_answered_at), p_now) end;
$function$
;
comment on function scheduler.still_since(timestamp with time zone,boolean,timestamp with time zone,timestamp with time zone) is 'Since when pg_net''s queue stands still, from what was known before: null while it is empty; since the newest answer, or since requests were first seen in it.';
revoke all on function scheduler.still_since(timestamp with time zone,boolean,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_job(p_job scheduler_jobs, p_incident scheduler_incidents, p_now timestamp with time zone)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
begin
  update public.scheduler_jobs set stopped_at = p_incident.started_at, stopped_until = null
    where name = p_job.name returning * into v_job;
  perform scheduler.note_stop(v_job, p_now);
  perform scheduler.withdraw_run(runs, format('incident called by %s: %s', p_incident.started_by, p_incident.reason),
      p_now)
    from public.scheduler_runs as runs
    where p_incident.ends_runs and job_name = p_job.name and status in ('dispatched', 'running');
  return v_job;
end;
$function$
;
comment on function scheduler.stop_job(scheduler_jobs,scheduler_incidents,timestamp with time zone) is 'Stops a job for an incident, ends what of it is under way if the incident does that, and returns its row. The caller holds the job''s row lock.';
revoke all on function scheduler.stop_job(scheduler_jobs,scheduler_incidents,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_kind(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_job.stopped_at <= p_at and (p_job.stopped_until is null or p_at < p_job.stopped_until) then 'incident'
    when p_job.paused_at <= p_at and scheduler.is_paused(p_job, p_at) then 'paused'
    when p_job.group_paused_at <= p_at and (p_job.group_paused_until is null or p_at < p_job.group_paused_until)
      then 'group_paused' end;
end;
$function$
;
comment on function scheduler.stop_kind(scheduler_jobs,timestamp with time zone) is 'What stops the job''s occurrence at that moment, the first of incident, paused, group_paused; null when nothing does.';
revoke all on function scheduler.stop_kind(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_kinds()
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select '{incident,paused,group_paused}'::text[] $function$
;
comment on function scheduler.stop_kinds() is 'What stop_now says, in its order.';
revoke all on function scheduler.stop_kinds() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_note(p_job scheduler_jobs, p_kind text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.stop_text(p_job, p_kind)
    || coalesce(' (until ' || scheduler.local_second_text(scheduler.stop_until(p_job, p_kind), p_job.time_zone)
      || ')', '');
$function$
;
comment on function scheduler.stop_note(scheduler_jobs,text) is 'stop_text, and until when, where that is known.';
revoke all on function scheduler.stop_note(scheduler_jobs,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_now(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_job.stopped_at is not null and (p_job.stopped_until is null or p_now < p_job.stopped_until) then 'incident'
    when scheduler.is_paused(p_job, p_now) then 'paused'
    when p_job.group_paused_at is not null
      and (p_job.group_paused_until is null or p_now < p_job.group_paused_until) then 'group_paused' end;
end;
$function$
;
comment on function scheduler.stop_now(scheduler_jobs,timestamp with time zone) is 'What stops the job now, the first of incident, paused, group_paused; null when nothing does.';
revoke all on function scheduler.stop_now(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_segments(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(starts_at timestamp with time zone, ends_at timestamp with time zone, stop text)
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select at, ends, scheduler.stop_kind(p_job, at)
  from (
    select at, lead(at) over (order by at) as ends
    from (
      select distinct at from unnest(array[p_from, p_to, p_job.paused_at, p_job.paused_until, p_job.group_paused_at,
        p_job.group_paused_until, p_job.stopped_at, p_job.stopped_until]) as at
      where at >= p_from and at <= p_to) as cuts
  ) as pieces
  where ends is not null;
$function$
;
comment on function scheduler.stop_segments(scheduler_jobs,timestamp with time zone,timestamp with time zone) is '[p_from, p_to) cut where something begins or ceases to stop the job.';
revoke all on function scheduler.stop_segments(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_text(p_job scheduler_jobs, p_kind text)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case p_kind
    when 'paused' then format('paused by %s: %s', p_job.paused_by, p_job.pause_reason)
    when 'group_paused' then (
      select format('the group %s is paused by %s: %s', name, paused_by, pause_reason) from public.scheduler_groups
      where name = p_job.group_name)
    when 'incident' then (
      select format('an incident was called by %s: %s', started_by, reason) from public.scheduler_incidents
      order by id desc limit 1) end;
$function$
;
comment on function scheduler.stop_text(scheduler_jobs,text) is 'Who stops the job and why, as the end of a sentence.';
revoke all on function scheduler.stop_text(scheduler_jobs,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stop_until(p_job scheduler_jobs, p_kind text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select case p_kind when 'incident' then p_job.stopped_until when 'paused' then p_job.paused_until
    when 'group_paused' then p_job.group_paused_until end;
$function$
;
comment on function scheduler.stop_until(scheduler_jobs,text) is 'Until when that stops the job; null: until somebody ends it.';
revoke all on function scheduler.stop_until(scheduler_jobs,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stopped_because(p_job scheduler_jobs, p_at timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select 'because ' || case stop when 'paused' then 'the job is ' else '' end || scheduler.stop_note(p_job, stop)
  from scheduler.stop_now(p_job, p_at) as stop where stop is not null;
$function$
;
comment on function scheduler.stopped_because(scheduler_jobs,timestamp with time zone) is 'Why a person keeps the job from running at that moment, and until when, as the end of a sentence; null when nobody does.';
revoke all on function scheduler.stopped_because(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stopped_spans(p_job scheduler_jobs, p_to timestamp with time zone)
 RETURNS tstzmultirange
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with verbs as (
    select verb, occurred_at, (after ->> 'until')::timestamptz as until,
      lead(occurred_at) over (partition by subject_type order by id) as next_at
    from public.scheduler_audit
    where subject_type = 'job' and subject = p_job.name and verb in ('pause', 'resume')
      or subject_type = 'group' and subject = p_job.group_name and verb in ('pause_group', 'resume_group')
  ), spans (starts_at, ends_at) as (
    select occurred_at, least(until, next_at, p_to) from verbs where verb in ('pause', 'pause_group')
    union all
    select started_at, coalesce(ended_at + make_interval(secs => ramp_seconds), p_to) from public.scheduler_incidents
  )
  select coalesce(range_agg(tstzrange(starts_at, ends_at)), '{}') from spans where starts_at < ends_at;
$function$
;
comment on function scheduler.stopped_spans(scheduler_jobs,timestamp with time zone) is 'When people had stopped the job, up to p_to: its pauses and those of its group, by the audit log, and incidents with their ramps.';
revoke all on function scheduler.stopped_spans(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stops_of(p_job scheduler_jobs, p_old scheduler_jobs)
 RETURNS scheduler_jobs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := p_job;
  v_incident public.scheduler_incidents;
begin
  select paused_at, paused_until into v_job.group_paused_at, v_job.group_paused_until
    from public.scheduler_groups where name = v_job.group_name;
  v_job.stopped_at := p_old.stopped_at;
  v_job.stopped_until := p_old.stopped_until;
  -- A job that is registered while an incident lasts is stopped as well.
  select * into v_incident from public.scheduler_incidents where ended_at is null;
  if v_incident.id is not null then
    v_job.stopped_at := coalesce(v_job.stopped_at, v_incident.started_at);
    v_job.stopped_until := null;
  end if;
  return v_job;
end;
$function$
;
comment on function scheduler.stops_of(scheduler_jobs,scheduler_jobs) is 'The job with what stops it: the pause of its group, an incident.';
revoke all on function scheduler.stops_of(scheduler_jobs,scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stretch_metrics()
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_idle_in_row', json_agg(coalesce(idle_in_row, 0) order by name)))
  from public.scheduler_jobs left join scheduler.stretches on job_name = name
  where stretch_after is not null;
$function$
;
comment on function scheduler.stretch_metrics() is 'A value a job that is stretched, by job_name.';
revoke all on function scheduler.stretch_metrics() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stretch_note(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select format('is left out: the last %s of it found nothing; it is asked again at %s',
    case idle_in_row when 1 then 'run' else idle_in_row || ' runs' end,
    scheduler.local_text(asked_again_at, p_job.time_zone))
  from scheduler.stretches where job_name = p_job.name and scheduler.is_left_out(p_job, p_occurrence);
$function$
;
comment on function scheduler.stretch_note(scheduler_jobs,timestamp with time zone) is 'Of an occurrence that is left out: why, and until when; null of all others.';
revoke all on function scheduler.stretch_note(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stretch_sign(p_run scheduler_runs)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case
    -- What was found in the past says nothing of now.
    when scheduler.is_backfill(p_run) then null
    when p_run.status = 'completed' and p_run.result -> 'idle' is distinct from 'true' then 'found'
    -- A run that a person or other work asked for may find nothing while the schedule's own would find something.
    when not scheduler.is_of_occurrence(p_run) then null
    when p_run.status = 'completed' then 'idle'
    when p_run.status = 'failed' then 'failed' end;
end;
$function$
;
comment on function scheduler.stretch_sign(scheduler_runs) is 'What a run that has ended says of the work there is: found, idle, failed (nobody knows); null: nothing.';
revoke all on function scheduler.stretch_sign(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stretch_step(p_idle_in_row integer, p_after integer)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  -- A step of 2 to the power of 17 is longer than the longest stretch of seconds.
  select case when p_idle_in_row < p_after then 1 else 2 ^ least(p_idle_in_row - p_after + 1, 17) end::integer;
$function$
;
comment on function scheduler.stretch_step(integer,integer) is 'Which occurrence after the last one runs next, when so many in a row found nothing: the first, after p_after of them the second, and twice as far with each further one.';
revoke all on function scheduler.stretch_step(integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.stuck_runs(OUT runs bigint, OUT oldest text)
 RETURNS record
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with held as (
    select name from public.scheduler_jobs as jobs
    where scheduler.limit_in_force(jobs) <= (
      select count(*) from public.scheduler_runs where job_name = name and status in ('dispatched', 'running'))
    union
    select job_name from public.scheduler_runs
    where status = 'queued' and scheduler.is_put_off(waiting, now())
  )
  select count(*), (array_agg(job_name order by created_at))[1]
  from public.scheduler_runs
  where status in ('queued', 'dispatched', 'running')
    and case status
      when 'running' then coalesce(heartbeat_at, started_at, created_at)
      when 'dispatched' then coalesce(dispatched_at, created_at) + make_interval(secs => timeout_seconds)
      else greatest(run_after, created_at) + make_interval(secs => timeout_seconds)
    end < now() - interval '5 minutes'
    -- A run that waits for one of its job's many to end, or is put off, is not stuck.
    and not (status = 'queued' and job_name in (select name from held));
$function$
;
comment on function scheduler.stuck_runs() is 'Runs that pulse should have ended or sent five minutes ago and did not: how many, and the job of the oldest.';
revoke all on function scheduler.stuck_runs() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.suspects(p_errors jsonb, p_now timestamp with time zone)
 RETURNS SETOF text
 LANGUAGE sql
 STABLE ROWS 20
 SET search_path TO ''
AS $function$
  select job_name from scheduler.run_counters where failed_in_row > 0 or missed_in_row > 0
  union
  select name from public.scheduler_jobs where enabled and next_run_at < p_now - interval '1 minute'
  union
  select job_name from public.scheduler_runs
    where status in ('queued', 'dispatched', 'running') and scheduled_for < p_now - interval '1 minute'
      and (status = 'running' or trigger in ('cron', 'catch_up', 'dependency'))
  union
  select name from public.scheduler_jobs where continuous and enabled
  union
  select job_name from public.scheduler_breakers where opened_at is not null
  union
  select job_name from scheduler.alert_events
  union
  select job_name from scheduler.job_forecasts where outgrows_on <= scheduler.utc_day(p_now) + (
    select least(threshold, 3650)::integer from public.scheduler_alert_rules where rule = 'outgrows' and enabled)
  union
  select jsonb_object_keys(p_errors);
$function$
;
comment on function scheduler.suspects(jsonb,timestamp with time zone) is 'The jobs that a rule can see. All others are well; most of the time there are none.';
revoke all on function scheduler.suspects(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.switch_secret(p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_old text;
  v_new text;
begin
  perform scheduler.assert_given('switch the cron secret', 'reason and author',
    'select scheduler.switch_secret(''why'', ''who'')', p_reason, p_author);
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  if scheduler.rotation_stage() = 'prepared' then
    select max(decrypted_secret) filter (where name = 'cron_secret'),
        max(decrypted_secret) filter (where name = 'cron_secret_next')
      into v_old, v_new from vault.decrypted_secrets where name in ('cron_secret', 'cron_secret_next');
    perform vault.update_secret(scheduler.vault_secret_id('cron_secret'), v_new);
    perform vault.update_secret(scheduler.vault_secret_id('cron_secret_next'), v_old, 'cron_secret_previous',
      'what cron_secret was: a rotation is under way');
    -- What verify() has asked was asked with the old one.
    delete from scheduler.verify_calls;
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'prepared'), jsonb_build_object('stage', 'switched'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$function$
;
comment on function scheduler.switch_secret(text,text,timestamp with time zone) is 'From its commit on requests carry the secret that was cron_secret_next; the old one stays in Vault as cron_secret_previous. Does nothing unless the rotation is prepared; returns its stage. The functions must take both before.';
revoke all on function scheduler.switch_secret(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_entries(p_entries jsonb, p_reason text, p_author text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_entry record;
begin
  for v_entry in
    select job.*, entry ->> 'job' as job, not entry ? 'job_is' as registered
    from scheduler.find_entries(p_entries) as found
    join cron.job on jobid = found.id and not is_kept
    join jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality) on ordinality = found.place
    order by ordinality
  loop
    insert into scheduler.adopted_entries (job_name, registered, name, schedule, command, database, username, active)
      values (v_entry.job, v_entry.registered, v_entry.jobname, v_entry.schedule, v_entry.command, v_entry.database,
        v_entry.username, v_entry.active);
    perform cron.unschedule(v_entry.jobid);
    perform scheduler.audit('adopt_entry', 'job', v_entry.job, p_reason, coalesce(p_author, session_user::text),
      jsonb_build_object('entry', coalesce(v_entry.jobname, v_entry.jobid::text), 'schedule', v_entry.schedule), null,
      clock_timestamp());
  end loop;
end;
$function$
;
comment on function scheduler.take_entries(jsonb,text,text) is 'Keeps the entries of the list and takes them out of pg_cron. The caller has seen that all are there.';
revoke all on function scheduler.take_entries(jsonb,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_for_url(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_hold scheduler.hold := scheduler.budget_hold(p_job, p_now);
begin
  if v_hold.kind is not null then
    return v_hold;
  end if;
  if cardinality(array(
    select name from public.scheduler_budgets where p_job.budgets ? name for update skip locked)) < (
    select count(*) from jsonb_object_keys(p_job.budgets)) then
    return ('budget', (select min(name) from jsonb_object_keys(p_job.budgets) as name), p_now,
      null)::scheduler.hold;
  end if;
  v_hold := scheduler.budget_hold(p_job, p_now);
  if v_hold.kind is null then
    perform scheduler.take_tokens(name, tokens::integer, p_job.name, p_now)
      from jsonb_each_text(p_job.budgets) as needed (name, tokens);
  end if;
  return v_hold;
end;
$function$
;
comment on function scheduler.take_for_url(scheduler_jobs,timestamp with time zone) is 'Takes the tokens of a job whose target is a URL, which takes none itself; the hold, and nothing taken, where they are not free.';
revoke all on function scheduler.take_for_url(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_limits(p_job scheduler_jobs, p_run scheduler_runs, p_timeout_ms integer, p_now timestamp with time zone)
 RETURNS scheduler.hold
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_hold scheduler.hold;
begin
  if (case when p_job.parallel_least is null then p_job.parallel_limit else scheduler.limit_in_force(p_job) end) <= (
    select count(*) from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running'))
    or scheduler.is_backfill(p_run) and exists (
      select from public.scheduler_runs as runs
      where job_name = p_job.name and status in ('dispatched', 'running') and scheduler.is_backfill(runs)) then
    return ('parallel_limit', null, null, null)::scheduler.hold;
  end if;
  if scheduler.takes_lock(p_job) and not scheduler.try_lock(
    p_job.name, p_run.id, 'dispatch', p_now,
    p_now + make_interval(secs => p_timeout_ms / 1000.0 + 2 * scheduler.setting('scheduler.receipt_timeout_seconds'))
  ) then
    return ('lock', p_job.name, null, null)::scheduler.hold;
  end if;
  if p_job.group_name is not null and not scheduler.take_slot(p_job.group_name, p_run.id) then
    delete from public.scheduler_locks where run_id = p_run.id;
    -- A slot that somebody gives back at this moment could not be taken.
    perform scheduler.wake_jobs(array[p_job.name], 'epoch');
    return ('group', p_job.group_name, null, null)::scheduler.hold;
  end if;
  if p_job.budgets <> '{}' and p_job.function_name is null then
    v_hold := scheduler.take_for_url(p_job, p_now);
    if v_hold.kind is not null then
      perform scheduler.free_slot(p_run.id);
      delete from public.scheduler_locks where run_id = p_run.id;
    end if;
  end if;
  return v_hold;
end;
$function$
;
comment on function scheduler.take_limits(scheduler_jobs,scheduler_runs,integer,timestamp with time zone) is 'Takes the job''s lock, a slot of its group and (a URL) the tokens of its budgets for the run; the hold, and nothing taken, where one of them or the parallel limit is used up. Of back-filled runs one goes at a time. The caller holds the job''s row lock.';
revoke all on function scheduler.take_limits(scheduler_jobs,scheduler_runs,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_request_back(p_run scheduler_runs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  -- Written by this transaction: pg_net cannot have seen it, and the id is no older one's.
  delete from net.http_request_queue
    where id = (p_run).request_id and headers ->> 'x-run-id' = (p_run).id::text;
  update public.scheduler_runs set request_id = null where id = (p_run).id;
end;
$function$
;
comment on function scheduler.take_request_back(scheduler_runs) is 'Takes the request of a run that this transaction has dispatched out of pg_net''s queue: the caller does its work.';
revoke all on function scheduler.take_request_back(scheduler_runs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_slot(p_group_name text, p_run_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if (select parallel_limit from public.scheduler_groups where name = p_group_name) is null then
    return true;
  end if;
  update scheduler.group_slots set run_id = p_run_id
    where group_name = p_group_name and slot = (
      select slot from scheduler.group_slots
      where group_name = p_group_name and run_id is null and slot in (select scheduler.free_slots(p_group_name))
      order by slot limit 1 for update skip locked);
  return found;
end;
$function$
;
comment on function scheduler.take_slot(text,uuid) is 'Takes a free slot of the group for the run; true also where the group has no limit. Never waits: false where all are held, or others take them at this moment.';
revoke all on function scheduler.take_slot(text,uuid) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_tokens(p_budget text, p_tokens integer, p_job_name text DEFAULT NULL::text, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
  v_left integer;
begin
  -- The usual take is one statement, which decides as take_under_lock does: no jump of the clock, no reservation,
  -- nothing to merge, and enough left. Without it a take cost four times the bare update of a row on the server.
  update public.scheduler_budgets set
    taken_at = case window_kind when 'sliding' then taken_at[width_bucket(
        greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)
      :cardinality(taken_at) - (cardinality(taken_at) >= 92
        and date_bin(make_interval(secs => per_seconds / 90.0), taken_at[cardinality(taken_at)], '2000-01-01 00:00+00')
        = date_bin(make_interval(secs => per_seconds / 90.0), greatest(v_now, taken_at[cardinality(taken_at)]),
          '2000-01-01 00:00+00'))::integer]
      || greatest(v_now, taken_at[cardinality(taken_at)]) else taken_at end,
    taken_total = case window_kind when 'sliding' then taken_total[width_bucket(
        greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)
      :cardinality(taken_at) - (cardinality(taken_at) >= 92
        and date_bin(make_interval(secs => per_seconds / 90.0), taken_at[cardinality(taken_at)], '2000-01-01 00:00+00')
        = date_bin(make_interval(secs => per_seconds / 90.0), greatest(v_now, taken_at[cardinality(taken_at)]),
          '2000-01-01 00:00+00'))::integer]
      || taken_total[cardinality(taken_total)] + p_tokens else taken_total end,
    tokens_left = case window_kind when 'sliding' then tokens_left else tokens_left - p_tokens end
    where name = p_budget and p_tokens >= 1 and isfinite(v_now) and ahead_of is null
      and (reserved_until is null or reserved_until < v_now)
      and case window_kind
        when 'sliding' then cardinality(taken_at) < 104
          and taken_at[cardinality(taken_at)] <= v_now + interval '1 second'
          and taken_total[cardinality(taken_total)] + p_tokens - taken_total[width_bucket(
            greatest(v_now, taken_at[cardinality(taken_at)]) - make_interval(secs => per_seconds), taken_at)] <= tokens
        else v_now < resets_at and resets_at <= v_now + make_interval(secs => per_seconds + 1)
          and p_tokens <= tokens_left end
    returning case window_kind
      when 'sliding' then tokens - (taken_total[cardinality(taken_total)] - taken_total[1]) else tokens_left end
    into v_left;
  if found then
    return jsonb_build_object('granted', true, 'left', v_left);
  end if;
  return scheduler.take_under_lock(p_budget, p_tokens, p_job_name, p_now);
end;
$function$
;
comment on function scheduler.take_tokens(text,integer,text,timestamp with time zone) is 'Takes tokens of a budget for the job named, or (null) for nobody''s reservation: {"granted": true, "left"}, or {"granted": false, "from", "wait_ms"}: the moment from which it is granted if nobody takes any before, and how long that is. It never waits for tokens. Without p_now the clock is read under the lock. Raises SD012 for an unknown budget; 22023 for a number that can never be taken.';
revoke all on function scheduler.take_tokens(text,integer,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_tokens_for_run(p_run_id uuid, p_budget text, p_tokens integer, p_now timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return scheduler.take_tokens(p_budget, p_tokens, scheduler.job_of_run(p_run_id), p_now);
end;
$function$
;
comment on function scheduler.take_tokens_for_run(uuid,text,integer,timestamp with time zone) is 'take_tokens for the job of a run. Raises SD002 for an unknown run, and what take_tokens raises.';
revoke all on function scheduler.take_tokens_for_run(uuid,text,integer,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_under_lock(p_budget text, p_tokens integer, p_job_name text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_found public.scheduler_budgets := scheduler.lock_budget(p_budget);
  -- Read under the lock, so that takes are in the order of their times.
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_budget public.scheduler_budgets := scheduler.budget_at(v_found, v_now);
  v_from timestamptz;
begin
  perform scheduler.assert_tokens(v_budget, p_tokens, v_now);
  v_now := greatest(v_now, v_budget.taken_at[cardinality(v_budget.taken_at)]);
  v_from := scheduler.budget_opens_at(
    v_budget, scheduler.open_reservations(v_budget, v_now), p_tokens, p_job_name, v_now);
  if v_from is not null then
    -- What a jump of the clock has changed is kept, so that it counts from now on.
    if (v_budget.ahead_of, v_budget.taken_at[cardinality(v_budget.taken_at)], v_budget.resets_at) is distinct from
      (v_found.ahead_of, v_found.taken_at[cardinality(v_found.taken_at)], v_found.resets_at) then
      perform scheduler.write_budget(v_budget);
    end if;
    return jsonb_build_object('granted', false, 'from', v_from,
      'wait_ms', ceil(extract(epoch from v_from - v_now) * 1000));
  end if;
  v_budget := scheduler.budget_after_take(v_budget, p_tokens, v_now);
  perform scheduler.write_budget(v_budget);
  if v_budget.reserved_until >= v_now and p_job_name is not null then
    delete from scheduler.budget_reservations
      where budget = p_budget and job_name = p_job_name and tokens_left <= p_tokens;
    update scheduler.budget_reservations set tokens_left = tokens_left - p_tokens
      where budget = p_budget and job_name = p_job_name;
  end if;
  return jsonb_build_object('granted', true, 'left', v_budget.tokens_left);
end;
$function$
;
comment on function scheduler.take_under_lock(text,integer,text,timestamp with time zone) is 'What take_tokens does, in all cases. Raises SD012 for an unknown budget; 22023 for a number that it never holds.';
revoke all on function scheduler.take_under_lock(text,integer,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.take_wakes(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_woken bigint;
  v_occurrences timestamptz[];
begin
  with taken as (
    delete from scheduler.wakes where ctid in (
      select ctid from scheduler.wakes where job_name = p_job.name and wake_at <= p_now for update skip locked)
    returning scheduled_for
  )
  select count(*), array_agg(distinct scheduled_for) filter (where scheduled_for is not null)
    into v_woken, v_occurrences from taken;
  if v_woken = 0 then
    return;
  end if;
  perform scheduler.record_dependent(p_job, v_occurrences, p_now);
  perform scheduler.look_again(p_job.name, 'dependency');
  perform scheduler.release_keys(p_job);
  -- Its pause may be over, or it was enabled: then what waited for that decides.
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
    perform scheduler.follow_beyond(p_job, p_now) where v_occurrences is not null;
  end if;
end;
$function$
;
comment on function scheduler.take_wakes(scheduler_jobs,timestamp with time zone) is 'Takes out the wakes of a job that is looked at now, and records the occurrences that they name. The caller holds the job''s row lock.';
revoke all on function scheduler.take_wakes(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.takes_lock(p_job scheduler_jobs)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return coalesce(p_job.overlap_policy <> 'allow', false);
end;
$function$
;
comment on function scheduler.takes_lock(scheduler_jobs) is 'Whether a run of the job holds the lock named like the job from its dispatch to its end; false of no job.';
revoke all on function scheduler.takes_lock(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.test_alert_channel(p_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_channel constant public.scheduler_alert_channels := scheduler.assert_alert_channel(p_name);
  v_fault text;
begin
  perform scheduler.assert_given('test the alert channel', 'reason and author',
    format('select scheduler.test_alert_channel(%L, ''why'', ''who'')', p_name), p_reason, p_author);
  v_fault := scheduler.alert_secrets_fault(v_channel, scheduler.alert_secrets(v_channel));
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot test the alert channel %s: %s', p_name, v_fault);
  end if;
  if v_channel.kind = 'dead_man' then
    delete from scheduler.alert_pings where channel = p_name;
  else
    insert into public.scheduler_alert_deliveries (channel, event, severity, message, written_at, send_after)
      values (p_name, 'test', 'info', jsonb_build_object('event', 'test', 'severity', 'info', 'at', p_now,
        'title', format('the channel %s works', p_name)), p_now, p_now);
  end if;
  perform scheduler.audit('test_alert_channel', 'alert_channel', p_name, p_reason, p_author, null, null, p_now);
  return format('the next pulse sends it; what came of it: select status, error from scheduler_alert_deliveries where '
    'channel = %L order by written_at desc', p_name);
end;
$function$
;
comment on function scheduler.test_alert_channel(text,text,text,timestamp with time zone) is 'Has a message sent to the channel (a ping, to a dead man''s switch), also outside its severities and hours. Raises SD015 for an unknown channel; 22023 for a missing or wrong secret, a missing reason or author.';
revoke all on function scheduler.test_alert_channel(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.theil_sen(p_days integer[], p_values double precision[])
 RETURNS scheduler.line
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  -- From 28 days on only days a whole number of weeks apart are compared: then what a week does is no growth.
  v_season constant integer := case when cardinality(p_days) >= 28 then 7 else 1 end;
  v_slopes float8[];
  v_rising float8;
  v_variance float8;
  v_reach float8;
  v_pairs integer;
begin
  select array_agg(slope order by slope), sum(sign(slope)) into v_slopes, v_rising
  from (
    select (later.value - earlier.value) / (later.day - earlier.day) as slope
    from unnest(p_days, p_values) as earlier (day, value) join unnest(p_days, p_values) as later (day, value)
      on later.day % v_season = earlier.day % v_season and later.day > earlier.day
  ) as pairs;
  -- Of Kendall's count, were the order of the days chance (seasonal: Hirsch, Slack and Smith 1982).
  v_variance := (
    select sum(days * (days - 1) * (2 * days + 5) / 18.0)
    from (select count(*) as days from unnest(p_days) as day group by day % v_season) as seasons);
  v_pairs := coalesce(cardinality(v_slopes), 0);
  if v_pairs = 0 then
    return null;
  end if;
  v_reach := 1.96 * sqrt(v_variance);
  return row((v_rising - sign(v_rising)) / sqrt(v_variance),
    (v_slopes[(v_pairs + 1) / 2] + v_slopes[v_pairs / 2 + 1]) / 2,
    v_slopes[greatest(1, floor((v_pairs - v_reach) / 2)::integer)],
    v_slopes[least(v_pairs, ceil((v_pairs + v_reach) / 2)::integer + 1)])::scheduler.line;
end;
$function$
;
comment on function scheduler.theil_sen(integer[],double precision[]) is 'The median of the slopes between all pairs of days (from 28 days on: days a whole number of weeks apart), its 95 % interval (Sen 1968), and how certain it is that there is a slope at all (Mann-Kendall). Null without a pair.';
revoke all on function scheduler.theil_sen(integer[],double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.timeline_runs(p_names text[], p_from timestamp with time zone, p_to timestamp with time zone, p_cell interval)
 RETURNS TABLE(job text, at timestamp with time zone, state text, amount bigint)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select name, cells.at, case
      when cells.status in ('dispatched', 'running') then 'under_way'
      when cells.status = 'queued' then 'waiting' else cells.status end, sum(cells.amount)::bigint
  from unnest(p_names) as name cross join lateral (
    -- By job: sorting all of them by their names takes as long as reading them. By the status as it stands there: what
    -- it is called is worked out for each cell, and not for each of a hundred thousand runs.
    select date_bin(p_cell, scheduled_for, p_from) as at, status, sum(occurrences) as amount
    from (
      -- The last attempt at an occurrence says what became of it. In this order the index needs no sorting.
      select distinct on (scheduled_for) scheduled_for, status, occurrences
      from public.scheduler_runs
      where job_name = name and trigger <> 'manual' and scheduled_for >= p_from and scheduled_for < p_to
      order by scheduled_for desc, attempt desc
    ) as runs
    group by 1, 2
    union all
    select date_bin(p_cell, scheduled_for, p_from), status, occurrences
    from public.scheduler_runs as calls
    where job_name = name and trigger = 'manual' and created_at >= p_from and created_at < p_to
      and scheduled_for >= p_from and not exists (
        select from public.scheduler_runs as later
        where later.job_name = name and later.scheduled_for = calls.scheduled_for and later.trigger <> 'manual')
  ) as cells
  group by 1, 2, 3;
$function$
;
comment on function scheduler.timeline_runs(text[],timestamp with time zone,timestamp with time zone,interval) is 'Of the occurrences and calls of these jobs in [p_from, p_to), by cell: how many came to what. A gap counts in the cell in which it begins.';
revoke all on function scheduler.timeline_runs(text[],timestamp with time zone,timestamp with time zone,interval) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.timeline_to_come(p_names text[], p_from timestamp with time zone, p_to timestamp with time zone, p_cell interval, p_now timestamp with time zone)
 RETURNS TABLE(job text, at timestamp with time zone, state text, amount bigint)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_plan record;
begin
  -- Jobs often have their schedule in common. It is worked out once: a day of every minute takes longer than all the
  -- rest of a job.
  for v_plan in
    select schedule, time_zone, greatest(p_from, p_now, next_run_at) as starts_at, array_agg(name) as names
    from public.scheduler_jobs
    where name = any (p_names) and enabled and schedule is not null and next_run_at < p_to
    group by 1, 2, 3 order by 1, 2, 3
  loop
    begin
      return query
        select name, cells.at, 'to_come', cells.amount
        from (
          select date_bin(p_cell, occurrence, p_from) as at, count(*) as amount
          from scheduler.occurrences(v_plan.schedule, v_plan.time_zone, v_plan.starts_at, p_to) as occurrence
          group by 1
        ) as cells cross join unnest(v_plan.names) as name;
    exception when invalid_parameter_value then
      -- Jobs whose zone Postgres does not know must not hide the others; their state says what is wrong.
      null;
    end;
  end loop;
end;
$function$
;
comment on function scheduler.timeline_to_come(text[],timestamp with time zone,timestamp with time zone,interval,timestamp with time zone) is 'Of the occurrences to come of these jobs up to p_to, by cell: how many.';
revoke all on function scheduler.timeline_to_come(text[],timestamp with time zone,timestamp with time zone,interval,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.timing(p_ended integer[], p_began integer[], p_sum_ms bigint)
 RETURNS double precision[]
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_bounds constant integer[] := scheduler.timing_bounds_ms();
  v_shares constant float8[] := array[0.5, 0.95, 0.99];
  v_all bigint := 0;
  v_below bigint := 0;
  v_amount bigint;
  v_low integer := 0;
  v_next integer := 1;
  v_found float8[] := array[null::float8, null, null, null];
begin
  for place in 1 .. cardinality(p_ended) loop
    v_all := v_all + p_ended[place] - p_began[place];
  end loop;
  v_found[4] := p_sum_ms / nullif(v_all, 0)::float8;
  -- The bucket above the last bound has no end: what lies in it stays null.
  for place in 1 .. cardinality(v_bounds) loop
    v_amount := p_ended[place] - p_began[place];
    while v_amount > 0 and v_shares[v_next] * v_all <= v_below + v_amount loop
      v_found[v_next] := v_low + (v_bounds[place] - v_low) * (v_shares[v_next] * v_all - v_below) / v_amount;
      v_next := v_next + 1;
    end loop;
    exit when v_next > 3;
    v_below := v_below + v_amount;
    v_low := v_bounds[place];
  end loop;
  return v_found;
end;
$function$
;
comment on function scheduler.timing(integer[],integer[],bigint) is 'Of the timings that a histogram has in p_ended and not yet in p_began, and of their sum: p50, p95, p99 and average in milliseconds, as if those of a bucket lay evenly in it. Null without any, and for what is above the last bound.';
revoke all on function scheduler.timing(integer[],integer[],bigint) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.timing_bounds_ms()
 RETURNS integer[]
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select array_agg(step * power(10, decade)::integer order by decade, step)
  from unnest(array[10, 13, 16, 20, 25, 32, 40, 50, 63, 80]) as step, generate_series(0, 6) as decade;
$function$
;
comment on function scheduler.timing_bounds_ms() is 'Upper bounds of the buckets from which percentiles are told, in milliseconds, up to 22 hours: each at most 30 % above the one before. 70 of them, and one bucket above.';
revoke all on function scheduler.timing_bounds_ms() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.trend_facts(p_trend scheduler.trend)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('level', round((p_trend).level), 'a_day', round((p_trend).slope),
    'least_a_day', round((p_trend).slope_least), 'most_a_day', round((p_trend).slope_most),
    'days', (p_trend).days, 'since', (p_trend).first_day)
  where (p_trend).days is not null;
$function$
;
comment on function scheduler.trend_facts(scheduler.trend) is 'A trend of whole numbers as a forecast shows it.';
revoke all on function scheduler.trend_facts(scheduler.trend) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.trend_of(p_days date[], p_values double precision[], p_today date)
 RETURNS scheduler.trend
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_days integer[] := array(select day - p_today from unnest(p_days) as day);
  v_values float8[] := p_values;
  v_line scheduler.line;
  v_left float8[];
  v_step integer;
begin
  loop
    if coalesce(cardinality(v_days), 0) < 14 then
      return null;
    end if;
    v_line := scheduler.theil_sen(array(select day + 100000 from unnest(v_days) as day), v_values);
    if coalesce(abs(v_line.z), 0) < 3.5 then
      v_line := row(v_line.z, null, null, null);
    end if;
    v_left := scheduler.remainders(v_days, v_values, coalesce(v_line.slope, 0));
    v_step := case when v_line.slope is not null
      then scheduler.step_behind(v_values, scheduler.deviation(v_left)) end;
    exit when v_step is null;
    v_days := v_days[v_step + 1:];
    v_values := v_values[v_step + 1:];
  end loop;
  return row(cardinality(v_days), p_today + v_days[1], p_today + v_days[cardinality(v_days)],
    -- Without a trend what counts is the newest fortnight.
    scheduler.median(case when v_line.slope is null then v_left[cardinality(v_left) - 13:] else v_left end),
    v_line.slope, v_line.slope_least, v_line.slope_most, scheduler.spread(v_left))::scheduler.trend;
end;
$function$
;
comment on function scheduler.trend_of(date[],double precision[],date) is 'How a figure stands and moves, by its value on each day, ascending. What lies before a step is left out. A trend is proven by 3.5 standard deviations: chance makes one of 2,000. Null of fewer than 14 days.';
revoke all on function scheduler.trend_of(date[],double precision[],date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.try_entry(p_wanted jsonb, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_facts jsonb;
  v_hint text;
begin
  begin
    v_facts := scheduler.bring_entry(p_wanted, p_now);
    if v_facts ->> 'becomes' = 'unchanged' then
      -- Undone, so that a job that stays as it is is not locked until the end.
      raise exception using errcode = 'P0001';
    end if;
    return v_facts;
  exception
    when transaction_rollback or lock_not_available or insufficient_privilege or insufficient_resources
      or read_only_sql_transaction or system_error or internal_error then
      raise;  -- no fault of the entry
    when others then
      if v_facts is null then
        get stacked diagnostics v_hint = pg_exception_hint;
        return p_wanted || jsonb_build_object('fault', sqlerrm, 'hint', nullif(v_hint, ''));
      end if;
  end;
  perform scheduler.note_source(p_wanted ->> 'source', p_wanted ->> 'job', v_facts -> 'after');
  return v_facts;
end;
$function$
;
comment on function scheduler.try_entry(jsonb,timestamp with time zone) is 'bring_entry, with {"job", "source", "entry", "fault", "hint"} where that raises.';
revoke all on function scheduler.try_entry(jsonb,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.try_lock(p_name text, p_run_id uuid, p_holder text, p_now timestamp with time zone, p_expires_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
  delete from public.scheduler_locks where name = p_name and run_id = v_held.run_id;
  -- What the end of that run let go can have sent a run of this job, even this one.
  insert into public.scheduler_locks (name, run_id, holder, acquired_at, expires_at)
    values (p_name, p_run_id, p_holder, p_now, p_expires_at)
    on conflict do nothing;
  return found;
end;
$function$
;
comment on function scheduler.try_lock(text,uuid,text,timestamp with time zone,timestamp with time zone) is 'Takes the lock for the run, or says false when another run holds it. The caller holds the job''s row lock.';
revoke all on function scheduler.try_lock(text,uuid,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.try_record_dependent(p_job scheduler_jobs, p_occurrences timestamp with time zone[], p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform scheduler.record_dependent(p_job, p_occurrences, p_now);
  return true;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    raise warning 'the job % cannot be given the occurrences of what it depends on: %', p_job.name, sqlerrm;
    insert into scheduler.wakes (job_name, wake_at, scheduled_for) select p_job.name, 'epoch', unnest(p_occurrences);
    return false;
end;
$function$
;
comment on function scheduler.try_record_dependent(scheduler_jobs,timestamp with time zone[],timestamp with time zone) is 'record_dependent, which undoes itself alone when it fails: false then, with a warning, and the pulse tries again and reports the failure. The caller holds the job''s row lock.';
revoke all on function scheduler.try_record_dependent(scheduler_jobs,timestamp with time zone[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.try_send_next(p_job_name text, p_now timestamp with time zone, OUT outcome text, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if not scheduler.try_lock_job(p_job_name) then
    perform scheduler.wake_jobs(array[p_job_name], 'epoch');
    outcome := 'held';
    return;
  end if;
  outcome := scheduler.send_next(jobs, p_now) from public.scheduler_jobs as jobs where name = p_job_name;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    fault := scheduler.hosts_only(sqlerrm);
    raise warning 'what waits of the job % cannot be sent: %', p_job_name, fault;
end;
$function$
;
comment on function scheduler.try_send_next(text,timestamp with time zone) is 'send_next of a job, which undoes itself alone when it fails: the fault then, with a warning. Held, and the next pulse looks at it, where somebody else has its row.';
revoke all on function scheduler.try_send_next(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.undelivered_alerts(p_now timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select (
    select count(*) from public.scheduler_alert_deliveries
    where status in ('waiting', 'sent') and written_at < p_now - interval '5 minutes')
    + (
      select count(*) from public.scheduler_alert_deliveries as failed
      where status = 'failed' and finished_at > p_now - interval '1 day' and not exists (
        select from public.scheduler_alert_deliveries as later
        where later.channel = failed.channel and later.status = 'delivered'
          and later.finished_at > failed.finished_at))
    + (
      select count(*) from scheduler.alert_pings join public.scheduler_alert_channels on name = channel and enabled
      where coalesce(succeeded_at, created_at) < p_now - interval '5 minutes');
$function$
;
comment on function scheduler.undelivered_alerts(timestamp with time zone) is 'Messages that have waited for more than five minutes, or failed within a day and nothing arrived there since, and dead man''s switches that could not be pinged for five minutes.';
revoke all on function scheduler.undelivered_alerts(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.under_way(p_job scheduler_jobs, p_now timestamp with time zone)
 RETURNS scheduler_runs
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
begin
  select runs.* into v_run
    from public.scheduler_locks as locks join public.scheduler_runs as runs on runs.id = locks.run_id
    where locks.name = p_job.name and locks.expires_at > p_now;
  if v_run.id is null and (p_job.jitter_seconds > 0 or not scheduler.is_plain(p_job)) then
    -- An occurrence that waits for something else than a run before it holds up those after it.
    select * into v_run from public.scheduler_runs
      where job_name = p_job.name and status = 'queued' and waiting ->> 'for' is distinct from 'lock'
        and (trigger in ('cron', 'deferred')
          -- It stands in line, and takes the lock when it is sent.
          or coalesce(run_after, p_now) <= p_now and trigger <> 'backfill' and scheduler.has_slots(p_job))
      order by scheduled_for limit 1;
  end if;
  return v_run;
end;
$function$
;
comment on function scheduler.under_way(scheduler_jobs,timestamp with time zone) is 'The run that an occurrence of a job with a lock meets: the one that holds the lock, else one that waits for a dependency, tokens or a limit; null when the way is free.';
revoke all on function scheduler.under_way(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.undo_adoption(p_jobs text[] DEFAULT NULL::text[], p_reason text DEFAULT NULL::text, p_author text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_entry scheduler.adopted_entries;
  v_count integer := 0;
  v_jobs text[];
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_jobs := array(
    select distinct job_name from scheduler.adopted_entries where p_jobs is null or job_name = any (p_jobs));
  perform scheduler.assert_own_entries(
    array(select username from scheduler.adopted_entries where job_name = any (v_jobs)));
  perform scheduler.unregister_job(name) from (
    select name from public.scheduler_jobs
    where name in (select job_name from scheduler.adopted_entries where registered and job_name = any (v_jobs))
    order by name) as ours;
  -- All locks are held, so nothing else delays the end of the transaction.
  perform pg_sleep(scheduler.seconds_to_quiet(clock_timestamp()));
  for v_entry in select * from scheduler.adopted_entries where job_name = any (v_jobs) order by id loop
    perform scheduler.put_entry_back(v_entry);
    perform scheduler.audit('undo_adoption', 'job', v_entry.job_name, p_reason,
      coalesce(p_author, session_user::text), null,
      jsonb_build_object('entry', v_entry.name, 'schedule', v_entry.schedule), clock_timestamp());
    v_count := v_count + 1;
  end loop;
  delete from scheduler.adopted_entries where job_name = any (v_jobs);
  if v_count = 0 then
    raise notice 'nothing to put back: no entry is kept%', coalesce(' of ' || array_to_string(p_jobs, ', '), '');
  end if;
  return v_count;
end;
$function$
;
comment on function scheduler.undo_adoption(text[],text,text) is 'Puts back the entries that these jobs took the place of (null: of all jobs), exactly as they were, and takes out the jobs that were registered for them; how many entries. Calling it again does nothing. Raises 42710 when a name is taken, 42501 for entries of another role, SD205 while other jobs depend on one.';
revoke all on function scheduler.undo_adoption(text[],text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unfinished_runs(p_names text[], p_now timestamp with time zone)
 RETURNS TABLE(job_name text, open_occurrences bigint, unbegun_seconds numeric, waits_for text)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select runs.job_name,
    count(distinct runs.scheduled_for) filter (where not jobs.continuous
      and runs.scheduled_for > coalesce(counters.unsuccessful_for, '-infinity')
      and not scheduler.is_backfill(runs) and scheduler.is_of_occurrence(runs)),
    max(extract(epoch from p_now - case
      when runs.status = 'dispatched' then runs.dispatched_at
      when runs.status = 'queued' and runs.waiting is null and runs.run_after is null
        then greatest(runs.created_at, runs.scheduled_for) end)),
    (array_agg(runs.waiting ->> 'for' order by runs.scheduled_for) filter (where runs.status = 'queued'
      and runs.waiting is not null and not scheduler.is_backfill(runs)))[1]
  from public.scheduler_runs as runs
    join public.scheduler_jobs as jobs on jobs.name = runs.job_name
    left join scheduler.run_counters as counters on counters.job_name = runs.job_name
  where runs.job_name = any (p_names) and runs.status in ('queued', 'dispatched', 'running')
  group by runs.job_name;
$function$
;
comment on function scheduler.unfinished_runs(text[],timestamp with time zone) is 'Of each of these jobs that has runs which are not over: how many occurrences they are of that no counter has yet, for how long one of them could have begun, and what the oldest waits for.';
revoke all on function scheduler.unfinished_runs(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unknown_name(p_job scheduler_jobs)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return case
    when p_job.group_name is not null and not exists (
      select from public.scheduler_groups where name = p_job.group_name)
      then format('there is no group named %L: register it with scheduler.register_group', p_job.group_name)
    when array_position(p_job.calendars, null) is not null then 'calendars must hold names of calendars, got null'
    else (
      select format('there is no calendar named %L: register it with scheduler.register_calendar', wanted)
      from unnest(p_job.calendars) as wanted
      where not exists (select from public.scheduler_calendars where name = wanted) limit 1) end;
end;
$function$
;
comment on function scheduler.unknown_name(scheduler_jobs) is 'The first group or calendar that a job names and that is not registered; null when all are.';
revoke all on function scheduler.unknown_name(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unread_answers(p_job_names text[] DEFAULT NULL::text[])
 RETURNS TABLE(run_id uuid, job_name text, status text, status_code integer, error text, verdict text, message text)
 LANGUAGE plpgsql
 STABLE ROWS 100
 SET search_path TO ''
 SET enable_nestloop TO 'off'
AS $function$
#variable_conflict use_column
begin
  return query
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
end;
$function$
;
comment on function scheduler.unread_answers(text[]) is 'Answers that pg_net has to runs of these jobs (null: of all) and that are not in the ledger yet, with the verdict that they justify and its message. An answer is a run''s by its request id, its time and, where it has one, its x-run-id.';
revoke all on function scheduler.unread_answers(text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unrecorded_occurrences(p_names text[], p_now timestamp with time zone)
 RETURNS TABLE(job_name text, occurrences integer)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  -- Working out a second one takes longer than all the rest: only where the first has been due for a while, and once
  -- for all jobs that have it in common.
  with due as (
    select name, schedule, time_zone, next_run_at, next_run_at <= p_now - interval '1 minute' as is_overdue
    from public.scheduler_jobs where name = any (p_names) and enabled and next_run_at <= p_now
  ), again as materialized (
    select schedule, time_zone, next_run_at, scheduler.is_due_again(schedule, time_zone, next_run_at, p_now) as is_due
    from (select distinct schedule, time_zone, next_run_at from due where is_overdue) as overdue
  )
  select name, case when is_due then 2 else 1 end
  from due left join again using (schedule, time_zone, next_run_at);
$function$
;
comment on function scheduler.unrecorded_occurrences(text[],timestamp with time zone) is 'How many occurrences are due and have no row yet, of those of these jobs that have any; 2 stands for two and more.';
revoke all on function scheduler.unrecorded_occurrences(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unrecorded_segments(p_job scheduler_jobs, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS TABLE(starts_at timestamp with time zone, ends_at timestamp with time zone, stop text)
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select lower(free), upper(free), segments.stop
  from scheduler.stop_segments(p_job, p_from, p_to) as segments,
    unnest(tstzmultirange(tstzrange(segments.starts_at, segments.ends_at)) - coalesce((
      select range_agg(tstzrange(scheduled_for, scheduled_until + interval '1 microsecond')) from public.scheduler_runs
      where job_name = p_job.name and occurrences > 1 and scheduled_until >= p_from), '{}')) as free;
$function$
;
comment on function scheduler.unrecorded_segments(scheduler_jobs,timestamp with time zone,timestamp with time zone) is '[p_from, p_to) without the stretches for which there are gap rows, cut where something begins or ceases to stop the job.';
revoke all on function scheduler.unrecorded_segments(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unregister_alert_channel(p_name text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_channel constant public.scheduler_alert_channels := scheduler.assert_alert_channel(p_name);
begin
  perform scheduler.assert_given('take the alert channel out', 'reason and author',
    format('select scheduler.unregister_alert_channel(%L, ''why'', ''who'')', p_name), p_reason, p_author);
  delete from public.scheduler_alert_channels where name = p_name;
  perform scheduler.audit('unregister_alert_channel', 'alert_channel', p_name, p_reason, p_author, to_jsonb(v_channel),
    null, p_now);
end;
$function$
;
comment on function scheduler.unregister_alert_channel(text,text,text,timestamp with time zone) is 'Takes a channel out, with what was still to be said there; its secrets stay in Vault. Raises SD015 for an unknown channel; 22023 for a missing reason or author.';
revoke all on function scheduler.unregister_alert_channel(text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unregister_budget(p_budget text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_jobs constant text := (
    select string_agg(name, ', ' order by name) from public.scheduler_jobs where budgets ? p_budget);
  v_budget public.scheduler_budgets;
begin
  if v_jobs is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the budget %s out: it has jobs: %s', p_budget, v_jobs),
      hint = 'register them without it in budgets';
  end if;
  delete from public.scheduler_budgets where name = p_budget returning * into v_budget;
  if not found then
    perform scheduler.refuse_unknown_budget(p_budget);
  end if;
  perform scheduler.audit_registration('unregister_budget', 'budget', p_budget, scheduler.registered_values(v_budget),
    null);
end;
$function$
;
comment on function scheduler.unregister_budget(text) is 'Deletes a budget with its reservations; functions that take of it fail from then on. Raises SD205 while jobs are registered with it; SD012 for an unknown budget.';
revoke all on function scheduler.unregister_budget(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unregister_calendar(p_calendar text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_jobs constant text := (
    select string_agg(name, ', ' order by name) from public.scheduler_jobs where p_calendar = any (calendars));
  v_description text;
begin
  if v_jobs is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the calendar %s out: it has jobs: %s', p_calendar, v_jobs),
      hint = 'register them without it in calendars';
  end if;
  delete from public.scheduler_calendars where name = p_calendar returning description into v_description;
  if not found then
    perform scheduler.refuse_unknown_calendar(p_calendar);
  end if;
  perform scheduler.audit_registration('unregister_calendar', 'calendar', p_calendar,
    jsonb_build_object('description', v_description), null);
end;
$function$
;
comment on function scheduler.unregister_calendar(text) is 'Takes a calendar and its spans out of the registry. Raises SD205 while it has jobs; SD013 for an unknown calendar.';
revoke all on function scheduler.unregister_calendar(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unregister_group(p_group_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_members text;
  v_group public.scheduler_groups;
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  select string_agg(name, ', ' order by name) into v_members from public.scheduler_jobs where group_name = p_group_name;
  if v_members is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the group %s out: it has jobs: %s', p_group_name, v_members),
      hint = 'register them with another group_name, or none';
  end if;
  delete from public.scheduler_groups where name = p_group_name returning * into v_group;
  if not found then
    perform scheduler.refuse_unknown_group(p_group_name);
  end if;
  perform scheduler.audit_registration('unregister_group', 'group', p_group_name,
    scheduler.registered_values(v_group), null);
end;
$function$
;
comment on function scheduler.unregister_group(text) is 'Takes a group out of the registry. Raises SD205 while it has jobs; SD014 for an unknown group.';
revoke all on function scheduler.unregister_group(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unregister_job(p_job_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs;
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_job := scheduler.assert_job(p_job_name);
  if v_job.dependents <> '{}' then
    raise exception using errcode = 'SD205',
      message = format('cannot take %s out: %s on it', p_job_name, array_to_string(v_job.dependents, ', ')
        || case cardinality(v_job.dependents) when 1 then ' depends' else ' depend' end),
      hint = 'register them without it in depends_on, or take them out first';
  end if;
  perform scheduler.free_slot(id) from public.scheduler_runs
    where job_name = p_job_name and status in ('dispatched', 'running');
  perform scheduler.wake_group(v_job.group_name, 'epoch');
  perform scheduler.release_reservation(budget, job_name) from scheduler.budget_reservations
    where job_name = p_job_name order by budget;
  delete from public.scheduler_jobs where name = p_job_name;
  perform scheduler.link_dependents(p_job_name, v_job.depends_on);
  delete from scheduler.wakes where job_name = p_job_name;
  perform scheduler.wake_if_waiting(p_job_name);
  perform scheduler.sync_cron_entry(p_job_name);
  perform scheduler.audit_registration('unregister_job', 'job', p_job_name, scheduler.registered_values(v_job), null);
end;
$function$
;
comment on function scheduler.unregister_job(text) is 'Takes a job out of the registry and out of pg_cron. Its runs stay in the ledger; those that wait are cancelled by the next pulse. Raises SD001 for an unknown job; SD205 while other jobs depend on it.';
revoke all on function scheduler.unregister_job(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.unusual_hours(p_job scheduler_jobs, p_today date)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  with hours as (
    select * from scheduler.hour_sizes(p_job, p_today)
  ), usual as (
    select hour, percentile_cont(0.5) within group (order by size) as size
    from hours where not is_new group by hour having count(*) >= 7
  ), compared as (
    select hours.*, usual.size as usual, hours.size - usual.size as more from hours join usual using (hour)
  ), weekdays as (
    select weekday, percentile_cont(0.5) within group (order by more) as more, count(distinct day) as days
    from compared where not is_new group by weekday
  ), judged as (
    -- What a weekday adds is reckoned with from five of them on, and excuses from two on.
    select day, utc_hour, is_new, size, weight, days, usual + on_weekday as usual, compared.more - on_weekday as off,
      compared.more - weekdays.more as off_excused
    from compared join weekdays using (weekday),
      lateral (select case when days >= 5 then weekdays.more else 0 end as on_weekday) as effect
  ), ranges as (
    select min(off * weight) as least, max(off * weight) as most, count(distinct day) as days,
      5 * scheduler.spread(array_agg(off * weight)) as reach
    from judged where not is_new
  ), unusual as (
    select judged.*, ranges.days as known, greatest(ln(1.5), reach / weight) as reach, least / weight as least,
      most / weight as most
    from judged, ranges
    where is_new and ranges.days >= 14 and judged.days >= 2 and not p_job.continuous
  )
  select coalesce(jsonb_agg(finding), '[]') from (
    select jsonb_build_object('kind', 'unusual_duration',
      'at', (day + make_interval(hours => utc_hour)) at time zone 'UTC', 'average_ms', round(exp(size)),
      'usual_ms', round(exp(usual)), 'least_ms', round(exp(usual + least(least, -reach))),
      'most_ms', round(exp(usual + greatest(most, reach))), 'days', known) as finding
    from unusual
    where abs(off) > reach and abs(off_excused) > reach and (off > most or off < least)
    order by abs(off) desc, utc_hour limit 5) as farthest;
$function$
;
comment on function scheduler.unusual_hours(scheduler_jobs,date) is 'Yesterday''s hours in which runs took longer or shorter than ever in the six weeks before, and than five spreads of what is usual in that hour and on that weekday of the job''s own clock: an array of findings, the farthest five.';
revoke all on function scheduler.unusual_hours(scheduler_jobs,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.usual_a_day(p_days date[], p_values double precision[])
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select avg(usual) from (
    select percentile_cont(0.5) within group (order by value) as usual
    from unnest(p_days, p_values) as points (day, value) group by extract(isodow from day)) as weekdays;
$function$
;
comment on function scheduler.usual_a_day(date[],double precision[]) is 'What a day usually has: the median of each weekday, and their average.';
revoke all on function scheduler.usual_a_day(date[],double precision[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.usual_seconds(p_job_name text)
 RETURNS numeric
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case when runs >= 20 then p95_ms / 1000 end
  from scheduler.sample_durations(p_job_name, 200, array['completed']);
$function$
;
comment on function scheduler.usual_seconds(text) is 'The p95 of the durations of the job''s last 200 completed runs; null when there are fewer than 20.';
revoke all on function scheduler.usual_seconds(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.utc_day(p_at timestamp with time zone)
 RETURNS date
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select (p_at at time zone 'UTC')::date;
$function$
;
comment on function scheduler.utc_day(timestamp with time zone) is 'The UTC day of a moment.';
revoke all on function scheduler.utc_day(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.vault_secret_id(p_name text)
 RETURNS uuid
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select id from vault.decrypted_secrets where name = p_name;
$function$
;
comment on function scheduler.vault_secret_id(text) is 'The id of the secret of that name in Vault; null without one.';
revoke all on function scheduler.vault_secret_id(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.verify(p_now timestamp with time zone DEFAULT clock_timestamp())
 RETURNS SETOF scheduler.check_result
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select * from scheduler.check_extensions()
  union all select * from scheduler.check_tables()
  union all select * from scheduler.check_entries()
  union all select * from scheduler.check_entries_zone()
  union all select * from scheduler.check_pulse(p_now)
  union all select * from scheduler.check_rights()
  union all select * from scheduler.check_dependencies()
  union all select * from scheduler.check_lock(p_now)
  union all select * from scheduler.check_vault()
  union all select * from scheduler.check_function(p_now);
$function$
;
comment on function scheduler.verify(timestamp with time zone) is 'The deployment check, a row a check: extensions, tables, pg_cron''s entries against the registry and their zone, the pulse, rights, dependencies, a lock taken and freed, Vault, and a real call by which a function says whether it takes the secret, and what its clock shows. The call leaves with this transaction: its answer is read by the next verify(). Changes nothing else.';
revoke all on function scheduler.verify(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.version()
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select '0.11.0' $function$
;
comment on function scheduler.version() is 'The version of Daybook that this database has.';
revoke all on function scheduler.version() from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wait_anew(p_job scheduler_jobs, p_from timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_until constant timestamptz := p_from + make_interval(secs => p_job.dependency_timeout_seconds);
  v_times constant jsonb := jsonb_build_object('since', p_from, 'until', v_until);
begin
  update public.scheduler_runs set waiting = waiting || v_times, run_after = v_until
    where job_name = p_job.name and status = 'queued' and waiting ->> 'for' = 'dependency';
  update public.scheduler_runs set waiting = jsonb_set(waiting, '{dependency}', waiting -> 'dependency' || v_times)
    where job_name = p_job.name and status = 'queued' and waiting ? 'dependency';
end;
$function$
;
comment on function scheduler.wait_anew(scheduler_jobs,timestamp with time zone) is 'Begins the time that runs of the job wait for a dependency anew. The caller holds the job''s row lock.';
revoke all on function scheduler.wait_anew(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wait_facts(p_for text, p_name text, p_since timestamp with time zone, p_until timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$
  select jsonb_build_object('for', p_for, 'name', p_name, 'since', p_since, 'until', p_until);
$function$
;
comment on function scheduler.wait_facts(text,text,timestamp with time zone,timestamp with time zone) is 'What stands in scheduler_runs.waiting: what for, its name (null: it needs none), since when, and until when at the latest (null: until it happens).';
revoke all on function scheduler.wait_facts(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wait_for(p_run scheduler_runs, p_hold scheduler.hold, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_facts constant jsonb := scheduler.wait_facts((p_hold).kind, (p_hold).name,
    scheduler.waiting_since(p_run, (p_hold).kind, p_now), (p_hold).until);
begin
  -- The time to wait for a dependency does not begin again because the job was stopped meanwhile.
  return case
    when (p_hold).kind = 'dependency' then v_facts
    when p_run.waiting ->> 'for' = 'dependency' then v_facts || jsonb_build_object('dependency', p_run.waiting)
    when p_run.waiting ? 'dependency' then v_facts || jsonb_build_object('dependency', p_run.waiting -> 'dependency')
    else v_facts end;
end;
$function$
;
comment on function scheduler.wait_for(scheduler_runs,scheduler.hold,timestamp with time zone) is 'What stands in the run''s waiting when that hold holds it back: wait_facts and, where it waited for a dependency before, "dependency": those of that.';
revoke all on function scheduler.wait_for(scheduler_runs,scheduler.hold,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wait_reason(p_job scheduler_jobs, p_run scheduler_runs, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select case
    when stopped is not null and p_run.trigger <> 'manual' then stopped
    else coalesce(case waits_for
      when 'retry' then case when p_run.run_after > p_now then 'for the first pulse after ' || until
        || coalesce(scheduler.failures_text(p_run), '') end
      when 'jitter' then case when p_run.run_after > p_now then format('for its jitter, until %s', until) end
      when 'idle' then case when p_run.run_after > p_now then format('until %s, as the run before it found nothing to '
        'do', until) end
      when 'dependency' then format('for %s, until %s%s', name, until, coalesce('; ' || scheduler.obstacle(name, p_now),
        ''))
      when 'budget' then format('for tokens of the budget %s, from %s on', name, until)
      when 'breaker' then 'for the breaker of the job' || coalesce(', until ' || until, ': another run tries')
      when 'group' then format('for one of the runs of the group %s to end', name)
      when 'key' then format('for a run with the key %s to end', name)
      when 'calendar' then format('for the end of a span of the calendar %s, at %s', name, until)
      when 'parallel_limit' then case when scheduler.is_backfill(p_run) then 'for the back-filled run before it to end'
        else scheduler.limit_reason(p_job) end
      when 'defer_if' then case when (p_run.waiting ->> 'until')::timestamptz > p_now
        then format('until %s at the latest, put off by %s%s', until, name,
          coalesce(': ' || scheduler.put_off_because(name, p_now), '')) end
      when 'lock' then 'for the run before it to end' end,
      case when p_run.run_after > p_now then format('for the first pulse after %s', to_char(p_run.run_after
        at time zone zone, 'HH24:MI:SS')) end,
      case when exists (select from public.scheduler_locks where name = p_run.job_name) then 'for the run before it to '
        'end' end,
      'for the next pulse') end
  from (select scheduler.stopped_because(p_job, p_now) as stopped, p_run.waiting ->> 'for' as waits_for,
      p_run.waiting ->> 'name' as name, zone,
      to_char(coalesce(p_run.run_after, (p_run.waiting ->> 'until')::timestamptz) at time zone zone,
        'HH24:MI:SS') as until
    from (select scheduler.shown_time_zone(p_job.time_zone) as zone) as shown) as facts;
$function$
;
comment on function scheduler.wait_reason(scheduler_jobs,scheduler_runs,timestamp with time zone) is 'What a queued run waits for, as the end of the sentence "it waits …".';
revoke all on function scheduler.wait_reason(scheduler_jobs,scheduler_runs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.waiting_metrics(p_now timestamp with time zone)
 RETURNS json
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.metric_group(json_build_object('job_name', coalesce(json_agg(name order by name), '[]')),
    scheduler.metric('scheduler_waiting_seconds', json_agg(
      coalesce(round(extract(epoch from greatest(interval '0', p_now - since)), 3), 0) order by name)))
  from public.scheduler_jobs left join lateral (
    select scheduled_for as since from public.scheduler_runs as runs
    where job_name = name and status = 'queued' and not scheduler.is_backfill(runs)
      and not scheduler.is_put_off(waiting, p_now)
    order by scheduled_for limit 1) as oldest on true;
$function$
;
comment on function scheduler.waiting_metrics(timestamp with time zone) is 'A value a job, by job_name.';
revoke all on function scheduler.waiting_metrics(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.waiting_since(p_run scheduler_runs, p_for text, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return coalesce(case when p_run.waiting ->> 'for' = p_for then (p_run.waiting ->> 'since')::timestamptz
    when p_for = 'dependency' then (p_run.waiting -> 'dependency' ->> 'since')::timestamptz end, p_now);
end;
$function$
;
comment on function scheduler.waiting_since(scheduler_runs,text,timestamp with time zone) is 'Since when a run waits for that; p_now when it begins to.';
revoke all on function scheduler.waiting_since(scheduler_runs,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.waits_alone(p_kind text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select p_kind in ('dependency', 'key') $function$
;
comment on function scheduler.waits_alone(text) is 'Whether a hold of that kind holds back the run alone, and not all that waits of its job.';
revoke all on function scheduler.waits_alone(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.waits_for_other(p_run scheduler_runs, p_hold scheduler.hold)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return (p_run.waiting ->> 'for', p_run.waiting ->> 'name', (p_run.waiting ->> 'until')::timestamptz)
    is distinct from ((p_hold).kind, (p_hold).name, (p_hold).until);
end;
$function$
;
comment on function scheduler.waits_for_other(scheduler_runs,scheduler.hold) is 'Whether a run waits for something else than that hold, for nothing yet, or until another moment.';
revoke all on function scheduler.waits_for_other(scheduler_runs,scheduler.hold) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wake_for_budget(p_budget text)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.wake_jobs(array(
    select name from public.scheduler_jobs where budgets ? p_budget order by name), 'epoch');
$function$
;
comment on function scheduler.wake_for_budget(text) is 'Has the next pulse look at the jobs that are registered with the budget: it has more tokens than they were told.';
revoke all on function scheduler.wake_for_budget(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wake_group(p_group_name text, p_at timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.wake_jobs(array(
    select name from public.scheduler_jobs where group_name = p_group_name order by name), p_at);
$function$
;
comment on function scheduler.wake_group(text,timestamp with time zone) is 'Has the first pulse from p_at on (epoch: the next one) look at the jobs of the group.';
revoke all on function scheduler.wake_group(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wake_if_waiting(p_job_name text)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  select scheduler.wake_jobs(array[p_job_name], 'epoch')
  where exists (select from public.scheduler_runs where job_name = p_job_name and status = 'queued');
$function$
;
comment on function scheduler.wake_if_waiting(text) is 'Has the next pulse look at the job when any run of it waits, also one that waits for a time.';
revoke all on function scheduler.wake_if_waiting(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wake_jobs(p_job_names text[], p_at timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  insert into scheduler.wakes (job_name, wake_at) select name, p_at from unnest(p_job_names) as name;
$function$
;
comment on function scheduler.wake_jobs(text[],timestamp with time zone) is 'Has the first pulse from p_at on look at these jobs: send what waits, start what is continuous. Epoch is the next pulse, also where the clock is set back before it.';
revoke all on function scheduler.wake_jobs(text[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wake_waiting(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with recursive waiting as (
    (select job_name from public.scheduler_runs where status = 'queued' and run_after is null
      order by job_name limit 1)
    union all
    select (select runs.job_name from public.scheduler_runs as runs
      where status = 'queued' and run_after is null and runs.job_name > waiting.job_name
      order by runs.job_name limit 1)
    from waiting where waiting.job_name is not null
  ), woken as (
    insert into scheduler.wakes (job_name, wake_at)
    select job_name, 'epoch'::timestamptz from waiting where job_name is not null
    union
    select name, 'epoch' from public.scheduler_jobs where continuous and enabled and not exists (
      select from public.scheduler_runs
      where job_name = name and status in ('queued', 'dispatched', 'running'))
    returning 1
  )
  select count(*)::integer from woken;
$function$
;
comment on function scheduler.wake_waiting(timestamp with time zone) is 'Wakes all jobs of which a run waits for a lock or a limit, and continuous ones without a run. Returns how many.';
revoke all on function scheduler.wake_waiting(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.wanted_jobs(p_entries jsonb)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_agg(wanted order by wanted ->> 'job'), '[]')
  from (
    select wanted from jsonb_array_elements(p_entries) as wanted
    union all
    select jsonb_build_object('job', job_name, 'source', source) from scheduler.job_sources
    where applied is not null
      and job_name not in (select wanted ->> 'job' from jsonb_array_elements(p_entries) as wanted)) as all_wanted;
$function$
;
comment on function scheduler.wanted_jobs(jsonb) is 'The entries of schedules.json, and the jobs that it registered earlier and has no entry of any more, by name: the order in which all lock the rows of several jobs.';
revoke all on function scheduler.wanted_jobs(jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.webhook_signature(p_secret text, p_key uuid, p_seconds bigint, p_body jsonb)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  -- Where pgcrypto was in another schema before, only webhooks fail, and not the migration.
  return 'v1,' || encode(extensions.hmac(convert_to(format('%s.%s.%s', p_key, p_seconds, p_body), 'UTF8'),
    decode(substring(p_secret from 7), 'base64'), 'sha256'), 'base64');
end;
$function$
;
comment on function scheduler.webhook_signature(text,uuid,bigint,jsonb) is 'webhook-signature as Standard Webhooks has it, by a secret of the form whsec_<base64>.';
revoke all on function scheduler.webhook_signature(text,uuid,bigint,jsonb) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.window_metrics(p_now scheduler.run_counters, p_start scheduler.rollups)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  v_completed constant bigint := p_now.completed - p_start.completed;
  v_failed constant bigint := p_now.failed - p_start.failed;
  v_deferred constant bigint := p_now.deferred - p_start.deferred;
  v_duration constant float8[] := scheduler.timing(p_now.durations, p_start.durations,
    p_now.duration_sum_ms - p_start.duration_sum_ms);
  v_lag constant float8[] := scheduler.timing(p_now.fire_lags, p_start.fire_lags,
    p_now.fire_lag_sum_ms - p_start.fire_lag_sum_ms);
begin
  return jsonb_build_object('from', p_start.taken_at, 'runs', v_completed + v_failed + v_deferred,
    'completed', v_completed, 'failed', v_failed, 'deferred', v_deferred,
    'success_rate', round(v_completed::numeric / nullif(v_completed + v_failed, 0), 4),
    'cancelled', p_now.cancelled - p_start.cancelled, 'skipped', p_now.skipped - p_start.skipped,
    'missed', p_now.missed - p_start.missed, 'lost', p_now.lost - p_start.lost,
    'retries', p_now.retries - p_start.retries,
    'duration', jsonb_build_object('average_ms', round(v_duration[4]), 'p50_ms', round(v_duration[1]),
      'p95_ms', round(v_duration[2]), 'p99_ms', round(v_duration[3])),
    'fire_lag', jsonb_build_object('average_ms', round(v_lag[4]), 'p50_ms', round(v_lag[1]),
      'p95_ms', round(v_lag[2]), 'p99_ms', round(v_lag[3])));
end;
$function$
;
comment on function scheduler.window_metrics(scheduler.run_counters,scheduler.rollups) is 'What happened of a job since that roll-up; nulls for none.';
revoke all on function scheduler.window_metrics(scheduler.run_counters,scheduler.rollups) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.withdraw_run(p_run scheduler_runs, p_message text, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_is_withdrawn constant boolean :=
    p_run.status = 'dispatched' and scheduler.take_back_request(p_run.request_id, p_run.id);
begin
  perform scheduler.end_run(p_run.id, array['queued', 'dispatched', 'running'], 'cancelled', 'cancelled', p_now,
    p_error_message => p_message);
  return v_is_withdrawn;
end;
$function$
;
comment on function scheduler.withdraw_run(scheduler_runs,text,timestamp with time zone) is 'Cancels a run that waits or is under way. Says whether its request was still in pg_net''s queue, and taken out. The caller holds the job''s row lock.';
revoke all on function scheduler.withdraw_run(scheduler_runs,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.without_secrets(p_text text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_text text := scheduler.hosts_only(p_text);
  v_secret text;
begin
  for v_secret in
    select decrypted_secret from vault.decrypted_secrets where length(decrypted_secret) >= 8
      and name is distinct from 'project_url'
    order by length(decrypted_secret) desc
  loop
    v_text := replace(v_text, v_secret, '***');
  end loop;
  return v_text;
exception when others then
  return null;
end;
$function$
;
comment on function scheduler.without_secrets(text) is 'The text without anything that Vault holds; null when Vault cannot be read.';
revoke all on function scheduler.without_secrets(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.work_answer(p_job scheduler_jobs, p_occurrence timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  return case when scheduler.is_left_out(p_job, p_occurrence) then 'no work'
    else scheduler.run_if_answer(p_job, p_occurrence) end;
end;
$function$
;
comment on function scheduler.work_answer(scheduler_jobs,timestamp with time zone) is 'What the job''s stretch and then its run_if say of an occurrence that is due: see run_if_answer.';
revoke all on function scheduler.work_answer(scheduler_jobs,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.write_budget(p_budget scheduler_budgets)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  update public.scheduler_budgets set
    taken_at = p_budget.taken_at, taken_total = p_budget.taken_total, tokens_left = p_budget.tokens_left,
    resets_at = p_budget.resets_at, ahead_of = p_budget.ahead_of
    where name = p_budget.name;
end;
$function$
;
comment on function scheduler.write_budget(scheduler_budgets) is 'Writes a budget''s state; the caller holds its row lock.';
revoke all on function scheduler.write_budget(scheduler_budgets) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.write_causes(p_causes scheduler.seen_cause[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_seen constant text[] := array(select cause from unnest(p_causes));
begin
  delete from public.scheduler_alerts where opened_at is null and not cause = any (v_seen);
  update public.scheduler_alerts
    set ended_at = greatest(p_now, opened_at), jobs_now = 0,
      end_kind = case when scheduler.is_watched(jobs, p_now) then 'over' else 'unwatched' end
    where ended_at is null and not cause = any (v_seen);
  insert into public.scheduler_alerts as alerts (cause, rule, severity, jobs, jobs_now, seen_at, opens_at)
    select cause, rule, severity, jobs, cardinality(jobs), p_now, p_now + make_interval(secs => for_seconds)
    from unnest(p_causes)
    on conflict (cause) where ended_at is null do update set rule = excluded.rule, severity = excluded.severity,
      jobs = array(select distinct job from unnest(alerts.jobs || excluded.jobs) as job order by job),
      jobs_now = excluded.jobs_now, opens_at = least(alerts.opens_at, excluded.opens_at)
    where alerts.rule <> excluded.rule or alerts.severity <> excluded.severity or alerts.jobs_now <> excluded.jobs_now
      or not alerts.jobs @> excluded.jobs or excluded.opens_at < alerts.opens_at;
  update public.scheduler_alerts set opened_at = p_now
    where ended_at is null and opened_at is null and opens_at <= p_now;
end;
$function$
;
comment on function scheduler.write_causes(scheduler.seen_cause[],timestamp with time zone) is 'Opens, keeps and ends alerts by what is seen now. A cause that was over before its time is forgotten.';
revoke all on function scheduler.write_causes(scheduler.seen_cause[],timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.write_deliveries(p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE sql
 SET search_path TO ''
AS $function$
  with told as materialized (
    select name, channels, make_interval(mins => scheduler.setting('alerts.repeat_minutes')) as repeat
    from public.scheduler_alert_channels as channels
    where enabled and kind <> 'dead_man' and not scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)
  ), unsettled as materialized (
    select alerts, array(select distinct group_name from public.scheduler_jobs
      where alerts.jobs <> '{}' and name = any (alerts.jobs) and group_name is not null) as groups
    from public.scheduler_alerts as alerts
    where not settled and opened_at is not null
  ), due as (
    select alerts, name as channel, scheduler.next_event((alerts).ended_at is null, (alerts).severity, last.event,
      last.severity, last.written_at, (
        select count(*) from public.scheduler_alert_deliveries where alert_id = (alerts).id and channel = name),
      scheduler.channel_wants(channels, (alerts).severity, (alerts).jobs, groups), repeat, p_now) as event
    from unsettled cross join told
      left join lateral (
        select event, severity, written_at from public.scheduler_alert_deliveries
        where alert_id = (alerts).id and channel = name
        order by written_at desc limit 1) as last on true
  ), messages as (
    select alerts, event, scheduler.alert_message(alerts, event, p_now) as message
    from (select distinct alerts, event from due where event is not null) as said
  ), written as (
    insert into public.scheduler_alert_deliveries (alert_id, channel, event, severity, message, written_at, send_after)
      select (due.alerts).id, channel, event, (due.alerts).severity, message, p_now, p_now
      from due join messages using (alerts, event)
      returning 1
  )
  select count(*)::integer from written;
$function$
;
comment on function scheduler.write_deliveries(timestamp with time zone) is 'Writes what is to be said now of the alerts to the channels. Returns how many messages.';
revoke all on function scheduler.write_deliveries(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.write_job(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  -- What registering leaves as it is.
  v_kept constant text[] := array[
    'function_name', 'paused_at', 'paused_until', 'pause_reason', 'paused_by', 'created_at', 'updated_at',
      'dependents'];
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
$function$
;
comment on function scheduler.write_job(scheduler_jobs) is 'Writes a job''s row, new or over the one of its name; a pause and created_at stay. Changes nothing that is right.';
revoke all on function scheduler.write_job(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.write_status_lines(p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_every constant interval := make_interval(mins => scheduler.setting('alerts.status_minutes'));
begin
  if v_every is null then
    return;
  end if;
  insert into public.scheduler_alert_deliveries (channel, event, severity, message, written_at, send_after)
    select name, 'status', 'info', jsonb_build_object('event', 'status', 'severity', 'info', 'at', p_now,
      'title', scheduler.status_line(p_now)), p_now, p_now
    from public.scheduler_alert_channels as channels
    where enabled and least_severity = 'info' and kind not in ('dead_man', 'pagerduty')
      and not scheduler.is_quiet(quiet_from, quiet_until, time_zone, p_now)
      and not exists (
        select from public.scheduler_alert_deliveries
        where channel = channels.name and event = 'status' and written_at > p_now - v_every);
end;
$function$
;
comment on function scheduler.write_status_lines(timestamp with time zone) is 'Has the status line said to channels that take info, where it is due.';
revoke all on function scheduler.write_status_lines(timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.zone_changes(p_names text[], p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select coalesce(jsonb_agg(jsonb_build_object('time_zone', time_zone, 'at', starts_at,
    'offset_before_seconds', extract(epoch from offset_before), 'offset_seconds', extract(epoch from utc_offset))
    order by starts_at, time_zone), '[]')
  from (
    select distinct time_zone from public.scheduler_jobs
    where name = any (p_names) and scheduler.knows_time_zone(time_zone)
  ) as zones, lateral scheduler.offset_periods(time_zone, p_from, p_to) as periods
  where offset_before is not null;
$function$
;
comment on function scheduler.zone_changes(text[],timestamp with time zone,timestamp with time zone) is 'The changes of the clock in the zones of these jobs.';
revoke all on function scheduler.zone_changes(text[],timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_act(p_verb text, p_subject text, p_reason text, p_author text, p_input jsonb DEFAULT '{}'::jsonb)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '7s'
 SET lock_timeout TO '5s'
AS $function$
  select scheduler.api_act(p_verb, p_subject, p_reason, p_author, p_input);
$function$
;
comment on function scheduler_api_act(text,text,text,text,jsonb) is 'scheduler.api_act by the clock of the database.';
revoke all on function scheduler_api_act(text,text,text,text,jsonb) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_act(text,text,text,text,jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_as_user(p_user_id uuid, p_acts boolean, p_door text, p_args jsonb DEFAULT '{}'::jsonb)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '7s'
 SET lock_timeout TO '5s'
AS $function$
  select scheduler.api_as_user(p_user_id, p_acts, p_door, p_args);
$function$
;
comment on function scheduler_api_as_user(uuid,boolean,text,jsonb) is 'scheduler.api_as_user for the API.';
revoke all on function scheduler_api_as_user(uuid,boolean,text,jsonb) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_as_user(uuid,boolean,text,jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_audit_log(p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_audit_log(p_cursor);
$function$
;
comment on function scheduler_api_audit_log(text) is 'scheduler.api_audit_log for the API.';
revoke all on function scheduler_api_audit_log(text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_audit_log(text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_channels(p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_channels(p_cursor);
$function$
;
comment on function scheduler_api_channels(text) is 'scheduler.api_channels by the clock of the database.';
revoke all on function scheduler_api_channels(text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_channels(text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_explain(p_job text, p_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_explain(p_job, p_at);
$function$
;
comment on function scheduler_api_explain(text,timestamp with time zone) is 'scheduler.api_explain by the clock of the database.';
revoke all on function scheduler_api_explain(text,timestamp with time zone) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_explain(text,timestamp with time zone) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_failures(p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_failures(p_since, p_cursor);
$function$
;
comment on function scheduler_api_failures(timestamp with time zone,text) is 'scheduler.api_failures by the clock of the database.';
revoke all on function scheduler_api_failures(timestamp with time zone,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_failures(timestamp with time zone,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_forecast(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_forecast(p_job, p_cursor);
$function$
;
comment on function scheduler_api_forecast(text,text) is 'scheduler.api_forecast by the clock of the database.';
revoke all on function scheduler_api_forecast(text,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_forecast(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_health()
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_health();
$function$
;
comment on function scheduler_api_health() is 'scheduler.api_health by the clock of the database.';
revoke all on function scheduler_api_health() from public, anon, authenticated, service_role;
grant execute on function scheduler_api_health() to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_health_of(p_job text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_health_of(p_job);
$function$
;
comment on function scheduler_api_health_of(text) is 'scheduler.api_health_of by the clock of the database.';
revoke all on function scheduler_api_health_of(text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_health_of(text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_history(p_job text DEFAULT NULL::text, p_status text DEFAULT NULL::text, p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_history(p_job, p_status, p_from, p_to, p_cursor);
$function$
;
comment on function scheduler_api_history(text,text,timestamp with time zone,timestamp with time zone,text) is 'scheduler.api_history for the API.';
revoke all on function scheduler_api_history(text,text,timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_history(text,text,timestamp with time zone,timestamp with time zone,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_logs(p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_logs(p_from, p_to, p_cursor);
$function$
;
comment on function scheduler_api_logs(timestamp with time zone,timestamp with time zone,text) is 'scheduler.api_logs for the API.';
revoke all on function scheduler_api_logs(timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_logs(timestamp with time zone,timestamp with time zone,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_metrics(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_metrics(p_job, p_cursor);
$function$
;
comment on function scheduler_api_metrics(text,text) is 'scheduler.api_metrics by the clock of the database.';
revoke all on function scheduler_api_metrics(text,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_metrics(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_next(p_job text DEFAULT NULL::text, p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_next(p_job, p_cursor);
$function$
;
comment on function scheduler_api_next(text,text) is 'scheduler.api_next by the clock of the database.';
revoke all on function scheduler_api_next(text,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_next(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_operator(p_user_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select jsonb_build_object('name', name, 'role', role) from scheduler.assert_operator(p_user_id);
$function$
;
comment on function scheduler_api_operator(uuid) is 'Who that user is here, {"name", "role": viewer or operator}. Raises SD016 for a user who is not listed.';
revoke all on function scheduler_api_operator(uuid) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_operator(uuid) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_run(p_run_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_run(p_run_id);
$function$
;
comment on function scheduler_api_run(uuid) is 'scheduler.api_run by the clock of the database.';
revoke all on function scheduler_api_run(uuid) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_run(uuid) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_status(p_cursor text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_status(p_cursor);
$function$
;
comment on function scheduler_api_status(text) is 'scheduler.api_status by the clock of the database.';
revoke all on function scheduler_api_status(text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_status(text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_tick()
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '7s'
 SET lock_timeout TO '5s'
AS $function$
  select scheduler.api_tick();
$function$
;
comment on function scheduler_api_tick() is 'scheduler.api_tick by the clock of the database.';
revoke all on function scheduler_api_tick() from public, anon, authenticated, service_role;
grant execute on function scheduler_api_tick() to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_timeline(p_from timestamp with time zone DEFAULT NULL::timestamp with time zone, p_to timestamp with time zone DEFAULT NULL::timestamp with time zone, p_cursor text DEFAULT NULL::text)
 RETURNS json
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_timeline(p_from, p_to, p_cursor);
$function$
;
comment on function scheduler_api_timeline(timestamp with time zone,timestamp with time zone,text) is 'scheduler.api_timeline by the clock of the database.';
revoke all on function scheduler_api_timeline(timestamp with time zone,timestamp with time zone,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_api_timeline(timestamp with time zone,timestamp with time zone,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_api_verify()
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
 SET statement_timeout TO '5s'
 SET lock_timeout TO '2s'
AS $function$
  select scheduler.api_verify();
$function$
;
comment on function scheduler_api_verify() is 'scheduler.api_verify by the clock of the database.';
revoke all on function scheduler_api_verify() from public, anon, authenticated, service_role;
grant execute on function scheduler_api_verify() to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_begin_due_run(p_function_name text, p_job_name text DEFAULT NULL::text, p_holder text DEFAULT ''::text)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
  select scheduler.begin_due_run(p_function_name, p_job_name, p_holder);
$function$
;
comment on function scheduler_begin_due_run(text,text,text) is 'scheduler.begin_due_run for edge functions.';
revoke all on function scheduler_begin_due_run(text,text,text) from public, anon, authenticated, service_role;
grant execute on function scheduler_begin_due_run(text,text,text) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_finish_run(p_run_id uuid, p_outcome text, p_result jsonb DEFAULT NULL::jsonb, p_error_message text DEFAULT NULL::text, p_error_detail jsonb DEFAULT NULL::jsonb, p_retryable boolean DEFAULT true, p_resume_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
  select scheduler.finish_run(p_run_id, p_outcome, p_result, p_error_message, p_error_detail, p_retryable,
    p_resume_at);
$function$
;
comment on function scheduler_finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone) is 'scheduler.finish_run for edge functions.';
revoke all on function scheduler_finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone) from public, anon, authenticated, service_role;
grant execute on function scheduler_finish_run(uuid,text,jsonb,text,jsonb,boolean,timestamp with time zone) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_report_budget(p_budget text, p_left integer, p_resets_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS integer
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
  select scheduler.report_budget(p_budget, p_left, p_resets_at);
$function$
;
comment on function scheduler_report_budget(text,integer,timestamp with time zone) is 'scheduler.report_budget for edge functions.';
revoke all on function scheduler_report_budget(text,integer,timestamp with time zone) from public, anon, authenticated, service_role;
grant execute on function scheduler_report_budget(text,integer,timestamp with time zone) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_reserve_tokens(p_run_id uuid, p_budget text, p_tokens integer, p_by timestamp with time zone)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
  select scheduler.reserve_tokens_for_run(p_run_id, p_budget, p_tokens, p_by);
$function$
;
comment on function scheduler_reserve_tokens(uuid,text,integer,timestamp with time zone) is 'scheduler.reserve_tokens_for_run for edge functions.';
revoke all on function scheduler_reserve_tokens(uuid,text,integer,timestamp with time zone) from public, anon, authenticated, service_role;
grant execute on function scheduler_reserve_tokens(uuid,text,integer,timestamp with time zone) to service_role;

CREATE OR REPLACE FUNCTION public.scheduler_take_tokens(p_run_id uuid, p_budget text, p_tokens integer)
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
  select scheduler.take_tokens_for_run(p_run_id, p_budget, p_tokens);
$function$
;
comment on function scheduler_take_tokens(uuid,text,integer) is 'scheduler.take_tokens_for_run for edge functions.';
revoke all on function scheduler_take_tokens(uuid,text,integer) from public, anon, authenticated, service_role;
grant execute on function scheduler_take_tokens(uuid,text,integer) to service_role;
