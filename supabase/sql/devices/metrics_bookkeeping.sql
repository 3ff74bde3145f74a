-- Which hours and days have to be computed, and how that is known without missing a row.
--
-- * Writes to rows of hours that are over leave a note in device_metrics_changes, in the writer's own transaction:
--   it becomes visible with the rows and never before, however late the transaction commits. Notes are only ever
--   added by writers and taken by the job, so writers never wait for each other or for the job.
-- * Writes to the hour that is still open leave no note (that is nearly all of them): the hour is computed when it
--   is over. A transaction that wrote into it before it was over may commit after it was computed; while such
--   transactions may exist the hour is unsettled, and every run computes it again until none can. (A transaction that
--   stays open for more than 48 hours after such a write is not waited for.)

create table public.device_metrics_changes (
  id bigint generated always as identity primary key,
  from_hour timestamptz not null check (isfinite(from_hour)),
  to_hour timestamptz not null check (isfinite(to_hour))
);
comment on table public.device_metrics_changes is
  'Notes of writers: rows of these hours, from_hour to to_hour both included, changed after the hours were over';

create table public.device_metrics_periods (
  granularity text not null check (granularity in ('hour', 'day')),
  period_start timestamptz not null check (isfinite(period_start)),
  pending boolean not null default true,
  unsettled boolean not null default false,
  computed_at timestamptz check (isfinite(computed_at)),
  primary key (granularity, period_start)
);
create index device_metrics_periods_open_idx
  on public.device_metrics_periods (granularity, period_start) where pending or unsettled;
comment on table public.device_metrics_periods is
  'Hours and UTC days that the metrics know of: a row that is not pending has been computed, with rows or without';
comment on column public.device_metrics_periods.unsettled is
  'The hour was computed while transactions that began before its end were still open: it is computed again by the '
    'next run';

create table public.device_metrics_state (
  only_row boolean primary key default true check (only_row),
  next_hour timestamptz not null check (isfinite(next_hour)),
  frozen_before timestamptz not null check (isfinite(frozen_before))
);
comment on table public.device_metrics_state is 'One row: how far the metrics have come';
comment on column public.device_metrics_state.next_hour is 'The first hour that has not been put on the list of hours '
  'to compute yet';
comment on column public.device_metrics_state.frozen_before is
  'Figures before this time are final: their raw rows may be gone. Moved by aggregate_device_metrics_freeze() before '
    'old raw rows are pruned';

insert into public.device_metrics_state (next_hour, frozen_before)
values (date_bin('1 hour', now(), '2000-01-01 00:00+00'), '2020-01-01 00:00+00')
on conflict do nothing;

alter table public.device_metrics_changes enable row level security;
alter table public.device_metrics_periods enable row level security;
alter table public.device_metrics_state enable row level security;
revoke all on table public.device_metrics_changes, public.device_metrics_periods, public.device_metrics_state
  from public, anon, authenticated, service_role;
revoke all on sequence public.device_metrics_changes_id_seq from public, anon, authenticated, service_role;
grant select on table public.device_metrics_changes, public.device_metrics_periods,
  public.device_metrics_state to service_role;
