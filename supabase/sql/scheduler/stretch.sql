-- Stretching: a job that keeps finding nothing is asked less often, and as often as before once it finds something.

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

create function scheduler.stretch_step(p_idle_in_row integer, p_after integer) returns integer
language sql immutable set search_path = '' as $$
  -- A step of 2 to the power of 17 is longer than the longest stretch of seconds.
  select case when p_idle_in_row < p_after then 1 else 2 ^ least(p_idle_in_row - p_after + 1, 17) end::integer;
$$;
comment on function scheduler.stretch_step(integer, integer) is
  'Which occurrence after the last one runs next, when so many in a row found nothing: the first, after p_after of '
    'them the second, and twice as far with each further one.';

create function scheduler.asked_again_at(p_job public.scheduler_jobs, p_asked_for timestamptz, p_step integer)
returns timestamptz
language plpgsql stable set search_path = '' as $$
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
$$;
comment on function scheduler.asked_again_at(public.scheduler_jobs, timestamptz, integer) is
  'The p_step-th occurrence after p_asked_for, or the last one within stretch_at_most_seconds if that comes first; '
    'null where no occurrence is to be left out.';

create function scheduler.stretch_sign(p_run public.scheduler_runs) returns text
language plpgsql stable set search_path = '' as $$
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
$$;
comment on function scheduler.stretch_sign(public.scheduler_runs) is
  'What a run that has ended says of the work there is: found, idle, failed (nobody knows); null: nothing.';

-- The row stays: the next run's interval begins before what was left out.
create function scheduler.end_stretch(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  update scheduler.stretches
    -- An occurrence that is due and has no row yet runs; in an outage the newest of those does.
    set idle_in_row = 0, asked_again_at = least(asked_again_at, greatest(p_job.next_run_at,
      scheduler.interval_start(p_job, p_now + interval '1 microsecond')))
    where job_name = p_job.name;
end;
$$;
comment on function scheduler.end_stretch(public.scheduler_jobs, timestamptz) is
  'The job is asked again at its next occurrence, and as often as before. The caller holds the job''s row lock.';

create function scheduler.note_idle_run(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.note_idle_run(public.scheduler_jobs, public.scheduler_runs) is
  'Keeps the job''s stretch after a run that found nothing. The caller holds the job''s row lock.';

create function scheduler.note_stretch(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns void
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.note_stretch(public.scheduler_jobs, public.scheduler_runs) is
  'Keeps the job''s stretch after a run has ended. The caller holds the job''s row lock.';

-- Between two moments: where the clock is set back by a year, the occurrences of that year are not left out.
create function scheduler.is_left_out(p_job public.scheduler_jobs, p_occurrence timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return p_job.stretch_after is not null and exists (
    select from scheduler.stretches
    where job_name = p_job.name and p_occurrence > asked_for and p_occurrence < asked_again_at);
end;
$$;
comment on function scheduler.is_left_out(public.scheduler_jobs, timestamptz) is
  'Whether the occurrence is left out, as the job had found nothing stretch_after times in a row.';

-- The run after a stretch stands for the time that was left out, also when it is not the first occurrence after it:
-- that one may have been skipped or missed.
create function scheduler.asked_from(p_job public.scheduler_jobs, p_occurrence timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
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
$$;
comment on function scheduler.asked_from(public.scheduler_jobs, timestamptz) is
  'Where the interval of an occurrence begins: with the one before it or, of the first run after a stretch, with the '
    'last one that ran.';

create function scheduler.stretch_note(p_job public.scheduler_jobs, p_occurrence timestamptz) returns text
language sql stable set search_path = '' as $$
  select format('is left out: the last %s of it found nothing; it is asked again at %s',
    case idle_in_row when 1 then 'run' else idle_in_row || ' runs' end,
    scheduler.local_text(asked_again_at, p_job.time_zone))
  from scheduler.stretches where job_name = p_job.name and scheduler.is_left_out(p_job, p_occurrence);
$$;
comment on function scheduler.stretch_note(public.scheduler_jobs, timestamptz) is
  'Of an occurrence that is left out: why, and until when; null of all others.';
