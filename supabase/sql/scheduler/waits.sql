-- What a queued run waits for, and which one goes next.

create function scheduler.wait_facts(p_for text, p_name text, p_since timestamptz, p_until timestamptz) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('for', p_for, 'name', p_name, 'since', p_since, 'until', p_until);
$$;
comment on function scheduler.wait_facts(text, text, timestamptz, timestamptz) is
  'What stands in scheduler_runs.waiting: what for, its name (null: it needs none), since when, and until when at the '
    'latest (null: until it happens).';

create function scheduler.waiting_since(p_run public.scheduler_runs, p_for text, p_now timestamptz) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(case when p_run.waiting ->> 'for' = p_for then (p_run.waiting ->> 'since')::timestamptz
    when p_for = 'dependency' then (p_run.waiting -> 'dependency' ->> 'since')::timestamptz end, p_now);
end;
$$;
comment on function scheduler.waiting_since(public.scheduler_runs, text, timestamptz) is
  'Since when a run waits for that; p_now when it begins to.';

create function scheduler.wait_for(p_run public.scheduler_runs, p_hold scheduler.hold, p_now timestamptz) returns jsonb
language plpgsql immutable set search_path = '' as $$
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
$$;
comment on function scheduler.wait_for(public.scheduler_runs, scheduler.hold, timestamptz) is
  'What stands in the run''s waiting when that hold holds it back: wait_facts and, where it waited for a dependency '
    'before, "dependency": those of that.';

create function scheduler.wait_anew(p_job public.scheduler_jobs, p_from timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_until constant timestamptz := p_from + make_interval(secs => p_job.dependency_timeout_seconds);
  v_times constant jsonb := jsonb_build_object('since', p_from, 'until', v_until);
begin
  update public.scheduler_runs set waiting = waiting || v_times, run_after = v_until
    where job_name = p_job.name and status = 'queued' and waiting ->> 'for' = 'dependency';
  update public.scheduler_runs set waiting = jsonb_set(waiting, '{dependency}', waiting -> 'dependency' || v_times)
    where job_name = p_job.name and status = 'queued' and waiting ? 'dependency';
end;
$$;
comment on function scheduler.wait_anew(public.scheduler_jobs, timestamptz) is
  'Begins the time that runs of the job wait for a dependency anew. The caller holds the job''s row lock.';

-- Waiting for a job's own turn (its lock, a limit, a pause) keeps a run among those that go as soon as the job may;
-- what only this run waits for takes it out of them until then.
create function scheduler.waits_alone(p_kind text) returns boolean
language sql immutable set search_path = '' as $$ select p_kind in ('dependency', 'key') $$;
comment on function scheduler.waits_alone(text) is
  'Whether a hold of that kind holds back the run alone, and not all that waits of its job.';

create function scheduler.is_limit(p_kind text) returns boolean
language sql immutable set search_path = '' as $$ select p_kind in ('group', 'parallel_limit', 'lock') $$;
comment on function scheduler.is_limit(text) is 'Whether a hold of that kind ends when one of the runs under way does.';

create function scheduler.waits_for_other(p_run public.scheduler_runs, p_hold scheduler.hold) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return (p_run.waiting ->> 'for', p_run.waiting ->> 'name', (p_run.waiting ->> 'until')::timestamptz)
    is distinct from ((p_hold).kind, (p_hold).name, (p_hold).until);
end;
$$;
comment on function scheduler.waits_for_other(public.scheduler_runs, scheduler.hold) is
  'Whether a run waits for something else than that hold, for nothing yet, or until another moment.';

create function scheduler.mark_waiting_alone(
  p_run public.scheduler_runs, p_hold scheduler.hold, p_now timestamptz
) returns void
language sql set search_path = '' as $$
  update public.scheduler_runs set
    waiting = scheduler.wait_for(p_run, p_hold, p_now),
    -- What has no end is looked at from time to time all the same.
    run_after = coalesce((p_hold).until, p_now + interval '1 hour')
  where id = p_run.id and status = 'queued';
$$;
comment on function scheduler.mark_waiting_alone(public.scheduler_runs, scheduler.hold, timestamptz) is
  'Writes down what a run alone waits for. The caller holds the job''s row lock.';

create function scheduler.mark_all_waiting(p_job_name text, p_hold scheduler.hold, p_now timestamptz) returns void
language sql set search_path = '' as $$
  update public.scheduler_runs as runs
    set waiting = scheduler.wait_for(runs, p_hold, p_now)
  where job_name = p_job_name and status = 'queued' and run_after is null
    -- What stops a job does not stop a person's run of it.
    and not (trigger = 'manual' and scheduler.is_stop((p_hold).kind))
    and (waiting ->> 'for', waiting ->> 'name', (waiting ->> 'until')::timestamptz)
      is distinct from ((p_hold).kind, (p_hold).name, (p_hold).until);
$$;
comment on function scheduler.mark_all_waiting(text, scheduler.hold, timestamptz) is
  'Writes down what all that waits of a job waits for. The caller holds the job''s row lock.';

create function scheduler.forget_waiting(p_job_name text, p_kinds text[]) returns void
language sql set search_path = '' as $$
  -- What waited for a dependency before is looked at again.
  update public.scheduler_runs set waiting = waiting -> 'dependency'
  where job_name = p_job_name and status = 'queued' and waiting ->> 'for' = any (p_kinds);
$$;
comment on function scheduler.forget_waiting(text, text[]) is
  'What waits of the job for one of these kinds does not any more: it is sent, or says what else holds it back, when '
    'the job next sends. The caller holds the job''s row lock.';

create function scheduler.note_stop(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.note_stop(public.scheduler_jobs, timestamptz) is
  'After a person has stopped the job or let it go: writes down whether that holds back what waits of it. The caller '
    'holds the job''s row lock.';

-- Behind all live runs, whose priorities are from -10 on.
create function scheduler.backfill_priority() returns integer
language sql immutable set search_path = '' as $$ select -100 $$;
comment on function scheduler.backfill_priority() is 'The priority of back-filled runs, and of no others.';

create function scheduler.is_backfill(p_run public.scheduler_runs) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_run.priority = scheduler.backfill_priority();
end;
$$;
comment on function scheduler.is_backfill(public.scheduler_runs) is
  'Whether a run is back-filled, or a retry of one that is.';

create function scheduler.mark_waiting(p_run public.scheduler_runs, p_hold scheduler.hold, p_now timestamptz)
returns void
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.mark_waiting(public.scheduler_runs, scheduler.hold, timestamptz) is
  'Writes down what a run waits for together with all others of its job. The caller holds the job''s row lock.';

create function scheduler.effective_priority(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz
) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
  -- Back-filled runs go behind the live ones however long they have waited.
  return p_run.priority + case when scheduler.is_backfill(p_run) then 0
    else greatest(0, floor(extract(epoch from p_now - p_run.scheduled_for) / p_job.priority_ages_after_seconds)) end;
end;
$$;
comment on function scheduler.effective_priority(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'A run''s priority and a step for each priority_ages_after_seconds that it has waited.';

-- Without sorting: while the statistics are old the planner would else read and sort all that waits, though an index
-- has the order.
create function scheduler.next_waiting(p_job public.scheduler_jobs, p_now timestamptz) returns public.scheduler_runs
language plpgsql stable set search_path = '' set enable_sort = off as $$
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
$$;
comment on function scheduler.next_waiting(public.scheduler_jobs, timestamptz) is
  'Which of the job''s waiting runs goes next: by priority, which waiting raises; of one priority the keys take '
    'turns; then the oldest occurrence. Null when none may go but for its job.';

create function scheduler.line_waits_for(p_job public.scheduler_jobs, p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select first.waiting - 'dependency' || jsonb_build_object('since', p_now)
  from scheduler.next_waiting(p_job, p_now) as first;
$$;
comment on function scheduler.line_waits_for(public.scheduler_jobs, timestamptz) is
  'What a run waits for that joins those of its job that go as soon as the job may: the same as the first of them, see '
    'own_wait; null when there are none.';

-- Keys: at most so many runs with the same key of a job, or of a group, at once.

create function scheduler.key_hold(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns scheduler.hold
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.key_hold(public.scheduler_jobs, public.scheduler_runs) is
  'A hold when as many runs with the run''s key are under way as the job or its group allows; else null. The caller '
    'holds the job''s row lock.';

create function scheduler.release_key(p_job public.scheduler_jobs, p_key text, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.release_key(public.scheduler_jobs, text, timestamptz) is
  'After a run with that key ended: the next one with the key may go, of the job or of others of its group. The '
    'caller holds the job''s row lock, and sends what waits of the job.';

create function scheduler.release_keys(p_job public.scheduler_jobs) returns void
language sql set search_path = '' as $$
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
$$;
comment on function scheduler.release_keys(public.scheduler_jobs) is
  'Has the first of each key that waits for others with its key looked at when the job next sends. The caller holds '
    'the job''s row lock.';

create function scheduler.limit_hold(p_job public.scheduler_jobs, p_run public.scheduler_runs) returns scheduler.hold
language plpgsql set search_path = '' as $$
begin
  if p_job.group_name is not null and not scheduler.has_free_slot(p_job.group_name) then
    return ('group', p_job.group_name, null, null)::scheduler.hold;
  elsif p_run.key is not null then
    return scheduler.key_hold(p_job, p_run);
  end if;
  return null;
end;
$$;
comment on function scheduler.limit_hold(public.scheduler_jobs, public.scheduler_runs) is
  'The hold when the limit of the job''s group or of the run''s key is reached; else null. The caller holds the '
    'job''s row lock.';

-- What holds a run back. A person's run is asked about limits alone.
create function scheduler.hold_of(p_job public.scheduler_jobs, p_run public.scheduler_runs, p_now timestamptz)
returns scheduler.hold
language plpgsql set search_path = '' as $$
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
$$;
comment on function scheduler.hold_of(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'What holds the run back, the first of: incident, pause, calendar, dependency, breaker, defer_if, group, key, '
    'budget; null when nothing does. The caller holds the job''s row lock.';

create function scheduler.is_plain(p_job public.scheduler_jobs) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_job.stopped_at is null and p_job.paused_at is null and p_job.group_name is null and p_job.depends_on = '{}'
    and p_job.calendars = '{}' and p_job.breaker_failures is null and p_job.key_limit is null and p_job.budgets = '{}'
    and p_job.defer_if is null;
end;
$$;
comment on function scheduler.is_plain(public.scheduler_jobs) is
  'Whether nothing but its own lock and parallel limit can hold the job''s runs back.';

create function scheduler.skipped_run(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_kind text, p_detail text, p_now timestamptz
) returns public.scheduler_runs
language plpgsql stable set search_path = '' as $$
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
$$;
comment on function scheduler.skipped_run(public.scheduler_jobs, public.scheduler_runs, text, text, timestamptz) is
  'The run, skipped for a reason. Writes nothing.';

create function scheduler.skip_waiting(
  p_job public.scheduler_jobs, p_run public.scheduler_runs, p_hold scheduler.hold, p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
begin
  update public.scheduler_runs
    set status = 'skipped', verdict = 'skipped', completed_at = p_now, run_after = null, waiting = null,
      skip_kind = (p_hold).kind, skip_reason = (p_hold).skip_reason
    where id = p_run.id and status = 'queued';
  if p_job.dependents <> '{}' then
    perform scheduler.follow_up(p_job, '{}', p_now);
  end if;
end;
$$;
comment on function scheduler.skip_waiting(public.scheduler_jobs, public.scheduler_runs, scheduler.hold, timestamptz) is
  'Skips a run that waited, and lets those who depend on it decide. The caller holds the job''s row lock.';
