-- Collecting failed executions. A failed row without a cause has not been collected. It gets its cause in the
-- transaction that counts it, so a late commit is not missed, as a cursor would miss it.

create type code_monitor.failure as (
  execution_id uuid, finished_at timestamptz, fingerprint text, error_type text, normalized_traceback text
);
comment on type code_monitor.failure is 'A failed execution and its cause.';

create type code_monitor.seen_cause as (cause_id bigint, is_new boolean, is_reopened boolean);
comment on type code_monitor.seen_cause is 'A cause to which failures were added, and what that changed.';

create function code_monitor.read_failure(p_execution public.eliza_python_executions, p_now timestamptz)
returns code_monitor.failure
language plpgsql volatile set search_path = '' as $$
declare
  v_cause record;
begin
  begin
    select * into strict v_cause
    from code_monitor.failure_cause(p_execution.traceback, p_execution.stderr, p_execution.error_type,
      p_execution.exit_code);
  exception when others then
    -- Executions are read oldest first: one that cannot be read would stop all later ones for ever.
    select * into v_cause from code_monitor.failure_cause(null, null, 'unreadable', p_execution.exit_code);
    -- Only the error's code is told: its message may quote what the execution printed.
    perform scheduler.log_activity('code-monitor-daemon', format('cannot tell why execution %s failed: error %s',
      p_execution.id, sqlstate), 'warning', jsonb_build_object('execution_id', p_execution.id), p_now);
  end;
  return (p_execution.id, p_execution.finished_at, v_cause.fingerprint, v_cause.error_type,
    v_cause.normalized_traceback);
end;
$$;
comment on function code_monitor.read_failure(public.eliza_python_executions, timestamptz) is
  'The failure of an execution; unreadable, with a warning in the activity log, when its cause cannot be told.';

create function code_monitor.read_failures(p_max_rows integer, p_seconds numeric, p_now timestamptz)
returns code_monitor.failure[]
language plpgsql volatile set search_path = '' as $$
declare
  v_ends_at constant timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_execution public.eliza_python_executions;
  v_failures code_monitor.failure[] := array[]::code_monitor.failure[];
begin
  -- Rows that another collector has locked are counted by that collector.
  for v_execution in
    select e.* from public.eliza_python_executions e
    where e.status = 'failed' and e.cause_id is null
    order by e.finished_at
    limit p_max_rows
    for no key update skip locked
  loop
    v_failures := v_failures || code_monitor.read_failure(v_execution, p_now);
    exit when clock_timestamp() > v_ends_at;
  end loop;
  return v_failures;
end;
$$;
comment on function code_monitor.read_failures(integer, numeric, timestamptz) is
  'Locks the oldest failed executions without a cause, p_max_rows at most and for about p_seconds at most, and reads '
    'their causes.';

create function code_monitor.add_failures(p_failures code_monitor.failure[], p_now timestamptz)
returns code_monitor.seen_cause
language plpgsql volatile set search_path = '' as $$
declare
  v_seen code_monitor.seen_cause;
  v_known public.code_failure_causes;
  v_new record;
begin
  select fingerprint, min(error_type) as error_type, min(normalized_traceback) as normalized_traceback,
    min(finished_at) as first_seen_at, max(finished_at) as last_seen_at, count(*) as occurrences
  into strict v_new from unnest(p_failures) group by fingerprint;

  insert into public.code_failure_causes (
    fingerprint, error_type, normalized_traceback, status_changed_at, first_seen_at, last_seen_at, occurrences
  ) values (
    v_new.fingerprint, v_new.error_type, v_new.normalized_traceback, p_now, v_new.first_seen_at, v_new.last_seen_at,
    v_new.occurrences
  ) on conflict (fingerprint) do nothing
  returning id, true, false into v_seen;
  if not found then
    select c.* into strict v_known from public.code_failure_causes c
      where c.fingerprint = v_new.fingerprint for no key update;
    -- A failure from before the fix says nothing about the fix, however late it is collected.
    v_seen := (v_known.id, false, v_known.status = 'fixed' and v_new.last_seen_at > v_known.status_changed_at);
    if v_seen.is_reopened then
      update public.code_failure_causes c set
        status = 'open', status_changed_at = p_now, status_changed_by = null,
        status_reason = 'failed again after the fix', reopened_count = c.reopened_count + 1, fix_requests = 0
      where c.id = v_seen.cause_id;
    end if;
    update public.code_failure_causes c set
      first_seen_at = least(c.first_seen_at, v_new.first_seen_at),
      last_seen_at = greatest(c.last_seen_at, v_new.last_seen_at),
      occurrences = c.occurrences + v_new.occurrences
    where c.id = v_seen.cause_id;
  end if;
  update public.eliza_python_executions set cause_id = v_seen.cause_id
  where id in (select execution_id from unnest(p_failures));
  return v_seen;
end;
$$;
comment on function code_monitor.add_failures(code_monitor.failure[], timestamptz) is
  'Adds failures that have one cause to that cause, which is made when it is new and open again when they came after '
    'its fix.';

create function code_monitor.collect_failures(p_max_rows integer default 500, p_now timestamptz default now())
returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  c_enough_seconds constant numeric := 2;
  v_begun_at constant timestamptz := clock_timestamp();
  v_failures code_monitor.failure[];
  v_of_cause code_monitor.failure[];
  v_seen code_monitor.seen_cause[] := array[]::code_monitor.seen_cause[];
begin
  if p_max_rows is null or p_max_rows not between 1 and 5000 then
    raise exception using errcode = '22023',
      message = format('cannot collect failures: p_max_rows must be from 1 to 5000, got %s',
        coalesce(p_max_rows::text, 'null'));
  end if;
  v_failures := code_monitor.read_failures(p_max_rows, c_enough_seconds, p_now);

  -- In the order of the fingerprints, so that two collectors cannot deadlock.
  for v_of_cause in
    select array_agg(failure) from unnest(v_failures) as failure
    group by failure.fingerprint
    order by failure.fingerprint collate "C"
  loop
    v_seen := v_seen || code_monitor.add_failures(v_of_cause, p_now);
  end loop;

  return jsonb_build_object(
    'failures', cardinality(v_failures),
    'causes', array(select cause_id from unnest(v_seen)),
    'new_causes', array(select cause_id from unnest(v_seen) where is_new),
    'reopened_causes', array(select cause_id from unnest(v_seen) where is_reopened),
    -- There may be more after as many rows as were wanted, and when there was no time for them.
    'more', cardinality(v_failures) = p_max_rows
      or clock_timestamp() - v_begun_at > make_interval(secs => c_enough_seconds));
end;
$$;
comment on function code_monitor.collect_failures(integer, timestamptz) is
  'One step: gives each failed execution that has none its cause, oldest first, and counts it there (one that cannot '
    'be read as unreadable, which a line of scheduler_activity names); a fixed cause that failed after it was fixed '
    'is open again. Call again while "more".';

create function public.collect_code_failures(p_max_rows integer default 500) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.collect_failures(p_max_rows);
$$;
comment on function public.collect_code_failures(integer) is
  'code_monitor.collect_failures by the clock of the database.';

revoke all on function public.collect_code_failures(integer) from public, anon, authenticated, service_role;
grant execute on function public.collect_code_failures(integer) to service_role;
