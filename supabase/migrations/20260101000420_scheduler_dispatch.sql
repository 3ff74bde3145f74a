-- From the clock to the ledger: every occurrence gets its row, once, whoever looks first.

-- One occurrence that is due now.
create or replace function scheduler.start_occurrence(
  p_job public.scheduler_jobs, p_scheduled_for timestamptz, p_trigger text, p_now timestamptz
) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_run_id uuid;
  v_holder uuid;
  v_skip_reason text;
begin
  if scheduler.is_paused(p_job, p_scheduled_for) or scheduler.is_paused(p_job, p_now) then
    v_skip_reason := format('paused by %s: %s', p_job.paused_by, p_job.pause_reason);
  elsif p_job.overlap_policy <> 'allow' then
    select run_id into v_holder from public.scheduler_locks where name = p_job.name and expires_at > p_now;
    if v_holder is not null then
      if p_job.overlap_policy = 'skip' and p_job.misfire_policy = 'all' and exists (
        select from public.scheduler_runs where job_name = p_job.name and status = 'queued' and trigger = 'catch_up'
      ) then
        null;  -- it waits behind the occurrences that are being caught up
      elsif p_job.overlap_policy = 'skip' then
        v_skip_reason := format('overlap: run %s was still at work', v_holder);
      elsif exists (
        select from public.scheduler_runs
        where job_name = p_job.name and status = 'queued' and trigger in ('cron', 'catch_up')
      ) then
        v_skip_reason := format('queue full: run %s was at work and another one was waiting', v_holder);
      end if;
    end if;
  end if;

  insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload,
    completed_at, verdict, skip_reason
  ) values (
    p_job.name, p_job.function_name, case when v_skip_reason is null then 'queued' else 'skipped' end, p_trigger,
    p_scheduled_for, p_job.max_attempts, p_job.timeout_seconds, p_job.payload,
    case when v_skip_reason is not null then p_now end, case when v_skip_reason is not null then 'skipped' end,
    v_skip_reason
  )
  on conflict do nothing
  returning id into v_run_id;

  if v_run_id is not null and v_skip_reason is null and v_holder is null then
    perform scheduler.send_run(p_job, v_run_id, p_now);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.start_occurrence(public.scheduler_jobs, timestamptz, text, timestamptz) is
  'Writes the ledger row of a due occurrence and sends it, or says why not (paused, overlap, queue). Returns the run, null when the occurrence had its row already. The caller holds the job''s row lock.';

-- Which of the three witnesses is missing: did pg_cron not fire at all, or did its statement fail? Asked once for
-- many occurrences: cron.job_run_details is long and has no index for it.
create or replace function scheduler.failed_minutes(p_job_name text, p_from timestamptz, p_to timestamptz) returns timestamptz[]
language sql stable set search_path = '' as $$
  select coalesce(array_agg(distinct date_trunc('minute', details.start_time)), '{}')
  from cron.job_run_details as details
  join cron.job as jobs on jobs.jobid = details.jobid
  where jobs.jobname = p_job_name and details.status = 'failed'
    and details.start_time >= p_from and details.start_time < p_to;
$$;
comment on function scheduler.failed_minutes(text, timestamptz, timestamptz) is
  'The minutes in [p_from, p_to) in which pg_cron fired the job in vain, by its own record.';

create or replace function scheduler.settle(p_job public.scheduler_jobs, p_until timestamptz, p_now timestamptz)
returns uuid
language plpgsql set search_path = '' as $$
declare
  v_due timestamptz[];
  v_next timestamptz;
  v_on_time_from timestamptz;
  v_late timestamptz[];
  v_missed timestamptz[];
  v_failed timestamptz[] := array[]::timestamptz[];
  v_room integer := p_job.misfire_cap;
  v_later timestamptz;
  v_on_time timestamptz[];
  v_catch_up timestamptz[];
  v_occurrence timestamptz;
  v_run_id uuid;
  v_entry text;
  v_missed_count bigint;
  v_first timestamptz;
  v_last timestamptz;
begin
  if p_job.next_run_at is null or p_job.next_run_at > p_until then
    return null;
  end if;

  v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, p_job.next_run_at);
  if v_next is null or v_next > p_until then
    v_due := array[p_job.next_run_at];
  else
    -- After an outage: at most 1,000 occurrences of at most 31 days in one step, the next pulse goes on.
    v_due := array(
      select due from scheduler.occurrences(
        p_job.schedule, p_job.time_zone, p_job.next_run_at,
        least(p_until + interval '1 microsecond', p_job.next_run_at + interval '31 days')
      ) as due order by due limit 1000
    );
    -- Empty when the zone's rules were changed and the cursor is no occurrence any more: it goes on to the next one.
    if cardinality(v_due) > 0 then
      v_next := scheduler.next_occurrence(p_job.schedule, p_job.time_zone, v_due[cardinality(v_due)]);
    end if;
  end if;

  if p_job.run_if is not null then
    v_due := array(select due from unnest(v_due) as due where scheduler.has_work(p_job, due) order by due);
  end if;

  -- pg_cron's own minute always counts as in time.
  v_on_time_from := p_now - make_interval(secs => greatest(60, p_job.misfire_grace_seconds));
  v_on_time := array(select due from unnest(v_due) as due where due >= v_on_time_from order by due);
  v_late := array(select due from unnest(v_due) as due where due < v_on_time_from order by due);

  v_missed := array(select late from unnest(v_late) as late where not scheduler.is_paused(p_job, late) order by late);

  if p_job.misfire_policy = 'all' and v_next < v_on_time_from then
    -- The cap counts the newest missed occurrences, and the next steps have newer ones than this.
    v_later := v_on_time_from - interval '1 microsecond';
    for i in 1 .. 1000 loop
      v_later := scheduler.previous_occurrence(p_job.schedule, p_job.time_zone, v_later);
      exit when v_room = 0 or v_later is null or v_later < v_next;
      if not scheduler.is_paused(p_job, v_later) then
        v_room := v_room - 1;
      end if;
      v_later := v_later - interval '1 microsecond';
    end loop;
  end if;

  -- What is made up for: with `once` a single run for all that was missed, which is the latest occurrence there is,
  -- and needs no run of its own when a later one is due now (or still to be settled by the next step).
  v_catch_up := case p_job.misfire_policy
    when 'all' then v_missed[greatest(1, cardinality(v_missed) - v_room + 1):]
    when 'once' then case
      when cardinality(v_on_time) = 0 and (v_next is null or v_next > p_now) then v_missed[cardinality(v_missed):]
      else '{}' end
    else '{}'
  end;

  if cardinality(v_missed) > 0 then
    v_failed := scheduler.failed_minutes(p_job.name, v_missed[1], v_missed[cardinality(v_missed)] + interval '1 minute');
  end if;
  with late_runs as (insert into public.scheduler_runs (
    job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload,
    completed_at, verdict, skip_reason
  )
  select
    p_job.name, p_job.function_name, case when paused then 'skipped' else 'missed' end, 'cron', late,
    p_job.max_attempts, p_job.timeout_seconds, p_job.payload, p_now,
    case when paused then 'skipped' when late = any (v_failed) then 'dispatch_failed' else 'missed' end,
    case
      when paused then format('paused by %s: %s', p_job.paused_by, p_job.pause_reason)
      when p_job.misfire_policy = 'once' then 'misfire policy once: made up for by a later run'
      when p_job.misfire_policy = 'all' then format('misfire policy all: over its cap of %s', p_job.misfire_cap)
      else 'misfire policy skip'
    end
  from unnest(v_late) as late, lateral (select scheduler.is_paused(p_job, late) as paused) as pause
  where not late = any (v_catch_up)
  on conflict do nothing
  returning status, scheduled_for)
  select count(*), min(scheduled_for), max(scheduled_for) into v_missed_count, v_first, v_last
    from late_runs where status = 'missed';
  perform scheduler.log_missed(p_job, v_missed_count, v_first, v_last, p_now);

  if p_job.overlap_policy = 'skip' and p_job.misfire_policy <> 'all' and cardinality(v_on_time) > 1
    and not scheduler.is_paused(p_job, p_now) then
    -- Several are late and none of them too late: the newest runs, which would be skipped behind the oldest.
    insert into public.scheduler_runs (
      job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload,
      completed_at, verdict, skip_reason
    )
    select
      p_job.name, p_job.function_name, 'skipped', 'cron', late, p_job.max_attempts, p_job.timeout_seconds, p_job.payload,
      p_now, 'skipped', format('overlap: the occurrence of %s was due as well',
        scheduler.local_text(v_on_time[cardinality(v_on_time)], p_job.time_zone))
    from unnest(v_on_time[:cardinality(v_on_time) - 1]) as late
    where not scheduler.is_paused(p_job, late)
    on conflict do nothing;
    v_on_time := array(
      select due from unnest(v_on_time) as due
      where due = v_on_time[cardinality(v_on_time)] or scheduler.is_paused(p_job, due) order by due);
  end if;

  if cardinality(v_catch_up) > 1 then
    -- They run one after the other: the lock lets the first through and its end sends the next.
    insert into public.scheduler_runs (
      job_name, function_name, status, trigger, scheduled_for, max_attempts, timeout_seconds, payload
    )
    select p_job.name, p_job.function_name, 'queued', 'catch_up', late, p_job.max_attempts, p_job.timeout_seconds, p_job.payload
    from unnest(v_catch_up) as late
    on conflict do nothing;
    perform scheduler.send_queued(p_job, p_now);
  elsif cardinality(v_catch_up) = 1 then
    v_run_id := scheduler.start_occurrence(p_job, v_catch_up[1], 'catch_up', p_now);
  end if;

  foreach v_occurrence in array v_on_time loop
    v_run_id := scheduler.start_occurrence(
      p_job, v_occurrence, case when v_occurrence > p_now - interval '1 minute' then 'cron' else 'catch_up' end, p_now);
  end loop;

  -- Zones change their rules. The entry in pg_cron is checked against the next occurrence whenever there is one.
  if v_next is not null and not scheduler.entry_covers(p_job.cron_entry, v_next) then
    v_entry := scheduler.compile_schedule(p_job.schedule, p_job.time_zone);
  end if;
  update public.scheduler_jobs
    set next_run_at = v_next, cron_entry = coalesce(v_entry, cron_entry)
    where name = p_job.name;
  if v_entry is not null then
    perform scheduler.sync_cron_entry(p_job.name);
  end if;
  return v_run_id;
end;
$$;
comment on function scheduler.settle(public.scheduler_jobs, timestamptz, timestamptz) is
  'Gives every occurrence from the job''s cursor to p_until its row: started, skipped, missed or caught up by the misfire policy; then moves the cursor. Returns the last run it started. The caller holds the job''s row lock.';

create or replace function scheduler.entry_covers(p_entry text, p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.next_occurrence(p_entry, 'UTC', date_trunc('minute', p_at) - interval '1 microsecond') = date_trunc('minute', p_at);
$$;
comment on function scheduler.entry_covers(text, timestamptz) is 'Whether that UTC cron entry fires in that minute.';

create or replace function scheduler.dispatch(p_job_name text, p_now timestamptz default now()) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
begin
  select * into v_job from public.scheduler_jobs where name = p_job_name for no key update;
  if not found then
    raise exception using errcode = '22023', message = format('cannot dispatch %L: no such job', p_job_name),
      hint = format('register it, or take the entry out of pg_cron: select cron.unschedule(%L)', p_job_name);
  end if;
  if not v_job.enabled then
    return null;
  end if;
  -- The pulse leaves a job alone that is being dispatched, which a job of every minute always is.
  if v_job.next_run_at <= p_now then
    if scheduler.judge_silent_runs(p_now, p_job_name) > 0 then
      perform scheduler.send_queued(v_job, p_now);
    end if;
  end if;
  return scheduler.settle(v_job, p_now, p_now);
end;
$$;
comment on function scheduler.dispatch(text, timestamptz) is
  'What pg_cron calls. Starts the job''s occurrence that is due at p_now and returns its run; null, no row and no request when none is due or it was dispatched already. Safe to call any number of times at once. Raises 22023 for an unknown job.';

revoke all on function scheduler.start_occurrence(public.scheduler_jobs, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function scheduler.failed_minutes(text, timestamptz, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.settle(public.scheduler_jobs, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function scheduler.entry_covers(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.dispatch(text, timestamptz) from public, anon, authenticated, service_role;
