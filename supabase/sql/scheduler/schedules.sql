-- Schedules as code: what `plan` and `apply` of the command line do in the database. A plan is an apply that is
-- undone.

create function scheduler.next_times(p_job public.scheduler_jobs, p_count integer, p_now timestamptz) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_zone constant text := scheduler.shown_time_zone(p_job.time_zone);
  v_next record;
  v_after timestamptz := p_now;
  v_times jsonb := jsonb_build_array();
begin
  for i in 1 .. p_count loop
    v_next := scheduler.next_run(p_job, v_after);
    v_after := v_next.run_at;
    if v_next.run_at is null then
      v_times := v_times || jsonb_build_object('note', v_next.fault);
      exit;
    end if;
    v_times := v_times || jsonb_build_object('at', v_next.run_at,
      'local', to_char(v_next.run_at at time zone v_zone, case when v_next.run_at = date_trunc('minute', v_next.run_at)
        then 'YYYY-MM-DD HH24:MI' else 'YYYY-MM-DD HH24:MI:SS' end),
      'note', scheduler.next_run_note(p_job, v_next.run_at));
  end loop;
  return jsonb_build_object('time_zone', v_zone, 'times', v_times);
end;
$$;
comment on function scheduler.next_times(public.scheduler_jobs, integer, timestamptz) is
  'The next occurrences of a job with these values: {"time_zone", "times": [{"at", "local", "note"}]}; where it has no '
    'further one the last is {"note": why}.';

create function scheduler.last_registration(p_job_name text, p_since timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('verb', verb, 'author', author, 'reason', reason, 'at', occurred_at)
  from public.scheduler_audit
  where subject_type = 'job' and subject = p_job_name and verb in ('register_job', 'unregister_job')
    and (p_since is null or occurred_at > p_since)
  order by occurred_at desc, id desc limit 1;
$$;
comment on function scheduler.last_registration(text, timestamptz) is
  'Who registered the job or took it out last since then, by the audit log: {"verb", "author", "reason", "at"}; null '
    'where it has no such row.';

-- What is shown of a job that changes: its times are worked out only where they change.
create function scheduler.change_facts(p_old public.scheduler_jobs, p_new public.scheduler_jobs, p_now timestamptz)
returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'next_before', case when moves and p_old.name is not null then scheduler.next_times(p_old, 5, p_now) end,
    'next_after', case when moves and p_new.name is not null then scheduler.next_times(p_new, 5, p_now) end,
    'clock_changes', case when moves and p_new.enabled and p_new.schedule is not null then (
      select jsonb_agg(to_jsonb(changes) order by changes_at)
      from scheduler.clock_changes(p_new.schedule, p_new.time_zone, p_now, p_now + interval '1 year') as changes) end,
    'paused', case when p_old.paused_at is not null and p_now < coalesce(p_old.paused_until, 'infinity')
      then jsonb_build_object('since', p_old.paused_at, 'until', p_old.paused_until, 'by', p_old.paused_by,
        'reason', p_old.pause_reason) end))
  from (
    select (p_old.schedule, p_old.continuous, p_old.time_zone, p_old.jitter_seconds, p_old.calendars, p_old.enabled)
      is distinct from
      (p_new.schedule, p_new.continuous, p_new.time_zone, p_new.jitter_seconds, p_new.calendars, p_new.enabled)
      as moves) as compared;
$$;
comment on function scheduler.change_facts(public.scheduler_jobs, public.scheduler_jobs, timestamptz) is
  'Of a job that becomes another one: its next times before and after, and the changes of its zone''s clock within a '
    'year, where its times change; its pause.';

create function scheduler.becomes(p_before jsonb, p_after jsonb, p_was_source text) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_before is null then 'registered'
    when p_after is null then 'unregistered'
    when p_was_source is null then 'taken_over'
    when p_before <> p_after then 'changed'
    else 'unchanged' end;
$$;
comment on function scheduler.becomes(jsonb, jsonb, text) is
  'What becomes of a job that was registered with these values by that source, and is now with those. Null: no job; no '
    'source: SQL of the project registered it.';

create function scheduler.bring_entry(p_wanted jsonb, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name constant text := p_wanted ->> 'job';
  v_old public.scheduler_jobs;
  v_new public.scheduler_jobs;
  v_was scheduler.job_sources;
  v_last jsonb;
begin
  select * into v_old from public.scheduler_jobs where name = v_name;
  select * into v_was from scheduler.job_sources where job_name = v_name;
  v_last := scheduler.last_registration(v_name, v_was.applied_at);
  if v_was.job_name is not null and v_was.applied is null then
    raise exception using errcode = '22023', message = format('cannot register the job %s: the pack %s registers it '
      'itself', v_name, v_was.source), hint = 'take it out of schedules.json';
  elsif p_wanted -> 'entry' is null then
    perform scheduler.unregister_job(v_name);
  else
    perform scheduler.register_entry(p_wanted ->> 'source', p_wanted -> 'entry');
  end if;
  select * into v_new from public.scheduler_jobs where name = v_name;
  return jsonb_build_object('job', v_name, 'source', p_wanted -> 'source', 'was_source', v_was.source,
    'before', scheduler.registered_values(v_old), 'after', scheduler.registered_values(v_new), 'becomes',
    scheduler.becomes(scheduler.registered_values(v_old), scheduler.registered_values(v_new), v_was.source),
    'applied', v_was.applied, 'last', v_last) || scheduler.change_facts(v_old, v_new, p_now);
end;
$$;
comment on function scheduler.bring_entry(jsonb, timestamptz) is
  'Registers the job of an entry, or without "entry" takes it out: {"job", "source", "entry"}. Returns what it was '
    'before and is after, what becomes of it, with which values it was applied last, and who registered it since. '
    'Raises 22023 for a job that a pack registers itself, and what registering and taking out raise.';

create function scheduler.try_entry(p_wanted jsonb, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_facts jsonb;
  v_hint text;
begin
  begin
    v_facts := scheduler.bring_entry(p_wanted, p_now);
    if v_facts ->> 'becomes' = 'unchanged' then
      -- Undone, so that a job that stays as it is is not locked until the end.
      raise exception using errcode = 'P0001';
    end if;
    return v_facts;
  exception
    when transaction_rollback or lock_not_available or insufficient_privilege or insufficient_resources
      or read_only_sql_transaction or system_error or internal_error then
      raise;  -- no fault of the entry
    when others then
      if v_facts is null then
        get stacked diagnostics v_hint = pg_exception_hint;
        return p_wanted || jsonb_build_object('fault', sqlerrm, 'hint', nullif(v_hint, ''));
      end if;
  end;
  perform scheduler.note_source(p_wanted ->> 'source', p_wanted ->> 'job', v_facts -> 'after');
  return v_facts;
end;
$$;
comment on function scheduler.try_entry(jsonb, timestamptz) is
  'bring_entry, with {"job", "source", "entry", "fault", "hint"} where that raises.';

create function scheduler.wanted_jobs(p_entries jsonb) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(wanted order by wanted ->> 'job'), '[]')
  from (
    select wanted from jsonb_array_elements(p_entries) as wanted
    union all
    select jsonb_build_object('job', job_name, 'source', source) from scheduler.job_sources
    where applied is not null
      and job_name not in (select wanted ->> 'job' from jsonb_array_elements(p_entries) as wanted)) as all_wanted;
$$;
comment on function scheduler.wanted_jobs(jsonb) is
  'The entries of schedules.json, and the jobs that it registered earlier and has no entry of any more, by name: the '
    'order in which all lock the rows of several jobs.';

create function scheduler.bring_schedules(p_entries jsonb, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_left jsonb;
  v_done jsonb := jsonb_build_array();
  v_faulty jsonb;
  v_wanted jsonb;
begin
  -- As every registration: from here on nothing else changes the registry.
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_left := scheduler.wanted_jobs(p_entries);
  -- What needs another entry (a dependency, a name that becomes free) is tried again after it.
  loop
    v_faulty := jsonb_build_array();
    for v_wanted in select scheduler.try_entry(wanted - '{fault,hint}'::text[], p_now)
      from jsonb_array_elements(v_left) as wanted loop
      if v_wanted ? 'fault' then
        v_faulty := v_faulty || v_wanted;
      else
        v_done := v_done || v_wanted;
      end if;
    end loop;
    exit when jsonb_array_length(v_faulty) in (0, jsonb_array_length(v_left));
    v_left := v_faulty;
  end loop;
  return jsonb_build_object('jobs', v_done || (
    select coalesce(jsonb_agg(faulty - 'entry'), '[]') from jsonb_array_elements(v_faulty) as faulty), 'others', (
    select coalesce(jsonb_agg(jsonb_build_object('job', name, 'source', source) order by name), '[]')
    from public.scheduler_jobs left join scheduler.job_sources on job_name = name
    where applied is null and name not in (select wanted ->> 'job' from jsonb_array_elements(p_entries) as wanted)));
end;
$$;
comment on function scheduler.bring_schedules(jsonb, timestamptz) is
  'Makes the registry what schedules.json says: p_entries is [{"job", "source", "entry": {argument: value}}]. A job '
    'that it registered earlier and that is no longer in it is taken out; jobs that it did not register stay. Returns '
    '{"jobs": what became of each, "others": those that it leaves alone}. What cannot be done has a "fault", and the '
    'caller has to undo the rest.';

create function scheduler.rehearse_schedules(p_entries jsonb, p_now timestamptz default clock_timestamp())
returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_facts jsonb;
begin
  begin
    v_facts := scheduler.bring_schedules(p_entries, p_now);
    raise exception using errcode = 'P0001';  -- undoes it
  exception when raise_exception then
    if v_facts is null then
      raise;
    end if;
  end;
  return v_facts;
end;
$$;
comment on function scheduler.rehearse_schedules(jsonb, timestamptz) is
  'What bring_schedules would return, with all of it undone.';

create function scheduler.apply_schedules(
  p_entries jsonb, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_facts jsonb;
  v_summary jsonb;
begin
  perform scheduler.assert_given('apply schedules.json', 'reason and author', 'deno task daybook apply --plan … '
    '--reason why --author who', p_reason, p_author);
  -- Each registration writes its own row of the audit log.
  perform set_config('daybook.reason', p_reason, true), set_config('daybook.author', btrim(p_author), true);
  v_facts := scheduler.bring_schedules(p_entries, p_now);
  perform set_config('daybook.reason', '', true), set_config('daybook.author', '', true);
  select jsonb_object_agg(becomes, jobs) into v_summary
    from (
      select job ->> 'becomes' as becomes, jsonb_agg(job -> 'job') as jobs
      from jsonb_array_elements(v_facts -> 'jobs') as job where job ->> 'becomes' <> 'unchanged' group by 1) as summed;
  if v_summary is not null then
    perform scheduler.audit('apply_schedules', 'scheduler', 'schedules.json', p_reason, p_author, null, v_summary,
      p_now);
  end if;
  return v_facts;
end;
$$;
comment on function scheduler.apply_schedules(jsonb, text, text, timestamptz) is
  'bring_schedules, with a reason and an author: each job that changes leaves a row in the audit log, and the whole '
    'another one. Raises 22023 without a reason or an author.';
