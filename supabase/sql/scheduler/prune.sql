-- Prunes the ledger and pg_cron's log, which grow without it.

create function scheduler.prune_runs(p_statuses text[], p_before timestamptz, p_limit integer) returns integer
language sql set search_path = '' as $$
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
$$;
comment on function scheduler.prune_runs(text[], timestamptz, integer) is
  'Deletes runs of these statuses that ended before p_before, at most p_limit, and keeps how the newest occurrence of '
    'each job ended. Returns how many.';

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
$$;
comment on function scheduler.prune(timestamptz, integer) is
  'Deletes old rows of the ledger and of Daybook''s entries in cron.job_run_details, at most p_limit of each kind; '
    'failures are kept longer than successes. {"pruned": rows, "more": whether there are further ones}.';
