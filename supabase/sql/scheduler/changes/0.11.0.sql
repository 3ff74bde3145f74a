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
