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
