-- Looking at failed executions. There is no cursor that a late commit could slip past: a failed row without a cause has
-- not been looked at, whenever it became visible, and it has its cause in the same transaction in which it is counted.

create function code_monitor.collect_failures(p_max_rows integer default 500, p_now timestamptz default now())
returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  c_enough constant interval := interval '2 seconds';
  v_begun_at constant timestamptz := clock_timestamp();
  v_execution record;
  v_cause record;
  v_known public.code_failure_causes;
  v_id bigint;
  v_ids uuid[] := array[]::uuid[];
  v_moments timestamptz[] := array[]::timestamptz[];
  v_fingerprints text[] := array[]::text[];
  v_types text[] := array[]::text[];
  v_tracebacks text[] := array[]::text[];
  v_causes bigint[] := array[]::bigint[];
  v_new bigint[] := array[]::bigint[];
  v_reopened bigint[] := array[]::bigint[];
begin
  if p_max_rows is null or p_max_rows not between 1 and 5000 then
    raise exception using errcode = '22023',
      message = format('cannot collect failures: p_max_rows must be from 1 to 5000, got %s',
        coalesce(p_max_rows::text, 'null'));
  end if;

  -- What another collector has in hand is its own.
  for v_execution in
    select e.id, e.finished_at, e.traceback, e.stderr, e.error_type, e.exit_code
    from public.eliza_python_executions e
    where e.status = 'failed' and e.cause_id is null
    order by e.finished_at
    limit p_max_rows
    for no key update skip locked
  loop
    begin
      select * into strict v_cause
      from code_monitor.failure_cause(v_execution.traceback, v_execution.stderr, v_execution.error_type,
        v_execution.exit_code);
    exception when others then
      -- Oldest first: one that cannot be read would otherwise be in the way of all others for ever.
      select * into v_cause from code_monitor.failure_cause(null, null, 'unreadable', v_execution.exit_code);
      -- The message of the error may quote what the execution printed.
      perform scheduler.log_activity('code-monitor-daemon', format('cannot tell why execution %s failed: error %s',
        v_execution.id, sqlstate), 'warning',
        jsonb_build_object('execution_id', v_execution.id), p_now);
    end;
    v_ids := v_ids || v_execution.id;
    v_moments := v_moments || v_execution.finished_at;
    v_fingerprints := v_fingerprints || v_cause.fingerprint;
    v_types := v_types || v_cause.error_type;
    v_tracebacks := v_tracebacks || v_cause.normalized_traceback;
    exit when clock_timestamp() - v_begun_at > c_enough;
  end loop;

  -- In the order of the fingerprints: two collectors never wait for each other in a circle.
  for v_cause in
    select f.fingerprint, min(f.error_type) as error_type, min(f.normalized_traceback) as normalized_traceback,
      min(f.moment) as first_seen_at, max(f.moment) as last_seen_at, count(*) as occurrences, array_agg(f.id) as ids
    from unnest(v_ids, v_moments, v_fingerprints, v_types, v_tracebacks)
      as f (id, moment, fingerprint, error_type, normalized_traceback)
    group by f.fingerprint
    order by f.fingerprint collate "C"
  loop
    insert into public.code_failure_causes (
      fingerprint, error_type, normalized_traceback, status_changed_at, first_seen_at, last_seen_at, occurrences
    ) values (
      v_cause.fingerprint, v_cause.error_type, v_cause.normalized_traceback, p_now,
      v_cause.first_seen_at, v_cause.last_seen_at, v_cause.occurrences
    ) on conflict (fingerprint) do nothing
    returning id into v_id;
    if found then
      v_new := v_new || v_id;
    else
      select c.* into strict v_known from public.code_failure_causes c
        where c.fingerprint = v_cause.fingerprint for no key update;
      v_id := v_known.id;
      -- What failed before the fix says nothing about it, however late it is seen.
      if v_known.status = 'fixed' and v_cause.last_seen_at > v_known.status_changed_at then
        update public.code_failure_causes c set
          status = 'open', status_changed_at = p_now, status_changed_by = null, status_reason = 'failed again after '
            'the fix',
          reopened_count = c.reopened_count + 1, fix_requests = 0
        where c.id = v_id;
        v_reopened := v_reopened || v_id;
      end if;
      update public.code_failure_causes c set
        first_seen_at = least(c.first_seen_at, v_cause.first_seen_at),
        last_seen_at = greatest(c.last_seen_at, v_cause.last_seen_at),
        occurrences = c.occurrences + v_cause.occurrences
      where c.id = v_id;
    end if;
    update public.eliza_python_executions e set cause_id = v_id where e.id = any (v_cause.ids);
    v_causes := v_causes || v_id;
  end loop;

  return jsonb_build_object(
    'failures', cardinality(v_ids),
    'causes', to_jsonb(v_causes),
    'new_causes', to_jsonb(v_new),
    'reopened_causes', to_jsonb(v_reopened),
    -- As many rows as were wanted, or no time for them: there may be more.
    'more', cardinality(v_ids) = p_max_rows or clock_timestamp() - v_begun_at > c_enough);
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
