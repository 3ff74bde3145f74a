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
