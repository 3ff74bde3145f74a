-- Which hours and days have to be computed. No row is missed:
--
-- * A write to rows of hours that are over adds a note to devices.metrics_changes, in the writer's transaction: the
--   note becomes visible together with the rows, also when the transaction commits late. Writers only add notes and the
--   job only takes them, so writers never wait for each other or for the job.
-- * A write to the hour that is still open, as nearly all are, adds no note: the hour is computed when it is over. A
--   transaction that wrote into it before its end may commit after it was computed. While such a transaction may be
--   open the hour is unsettled, and each run computes it again. (A transaction that stays open for more than 48 hours
--   after such a write is not waited for.)

create table devices.metrics_changes (
  id bigint generated always as identity primary key,
  from_hour timestamptz not null check (isfinite(from_hour)),
  to_hour timestamptz not null check (isfinite(to_hour))
);
comment on table devices.metrics_changes is
  'Notes of writers: rows of the hours from from_hour to to_hour, both included, changed after their end';

create table devices.metrics_periods (
  granularity text not null check (granularity in ('hour', 'day')),
  period_start timestamptz not null check (isfinite(period_start)),
  pending boolean not null default true,
  unsettled boolean not null default false,
  computed_at timestamptz check (isfinite(computed_at)),
  primary key (granularity, period_start)
);
create index metrics_periods_open_idx
  on devices.metrics_periods (granularity, period_start) where pending or unsettled;
comment on table devices.metrics_periods is
  'The list of hours and UTC days to compute; those that are not pending have been computed';
comment on column devices.metrics_periods.unsettled is
  'The hour was computed while transactions that began before its end were open: the next run computes it again';

create table devices.metrics_state (
  only_row boolean primary key default true check (only_row),
  next_hour timestamptz not null check (isfinite(next_hour)),
  frozen_before timestamptz not null check (isfinite(frozen_before))
);
comment on table devices.metrics_state is 'One row: how far the metrics have come';
comment on column devices.metrics_state.next_hour is 'The first hour that has not been put on the list of hours '
  'to compute yet';
comment on column devices.metrics_state.frozen_before is
  'Figures before this time are final: their raw rows may be gone. devices.freeze_metrics moves it before old '
    'raw rows are pruned';

insert into devices.metrics_state (next_hour, frozen_before)
values (date_bin('1 hour', now(), '2000-01-01 00:00+00'), '2020-01-01 00:00+00');

alter table devices.metrics_changes enable row level security;
alter table devices.metrics_periods enable row level security;
alter table devices.metrics_state enable row level security;
