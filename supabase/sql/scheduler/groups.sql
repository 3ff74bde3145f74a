-- Groups of jobs: limits that they share, and a pause for all of them.

-- A limit is a number of slots, one row each. A run takes a free one and skips those that others hold at this moment,
-- so that no transaction waits and no limit is ever passed.
create table scheduler.group_slots (
  group_name text not null references public.scheduler_groups (name) on delete cascade,
  slot integer not null,
  run_id uuid unique references public.scheduler_runs (id) on delete set null,
  primary key (group_name, slot)
);
alter table scheduler.group_slots enable row level security;
comment on table scheduler.group_slots is
  'The slots of groups that have a parallel_limit, and the runs that hold them.';

create function scheduler.refuse_unknown_group(p_group_name text) returns void
language plpgsql stable set search_path = '' as $$
begin
  raise exception using errcode = 'SD014', message = format('there is no group named %L', p_group_name),
    hint = format('the groups are: %s',
      (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_groups));
end;
$$;
comment on function scheduler.refuse_unknown_group(text) is 'Raises SD014 and names the groups there are.';

create function scheduler.assert_group(p_group_name text) returns public.scheduler_groups
language plpgsql set search_path = '' as $$
declare
  v_group public.scheduler_groups;
begin
  select * into v_group from public.scheduler_groups where name = p_group_name for no key update;
  if not found then
    perform scheduler.refuse_unknown_group(p_group_name);
  end if;
  return v_group;
end;
$$;
comment on function scheduler.assert_group(text) is 'The group''s row, locked. Raises SD014 when it is unknown.';

-- In the order of the names, and one at a time, as all that lock many jobs: two could wait for each other.
create function scheduler.lock_group(p_group_name text) returns void
language plpgsql set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  perform from public.scheduler_jobs where group_name = p_group_name order by name for no key update;
end;
$$;
comment on function scheduler.lock_group(text) is
  'Takes the lock of the registry, then the row locks of all jobs of the group.';

create function scheduler.group_fault(p_group public.scheduler_groups) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_group.name is null or p_group.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then format('name must be 1 to 63 of '
      'a-z, 0-9, - and _, the first a letter or digit, got %s', coalesce(quote_literal(p_group.name), 'null'))
    when p_group.parallel_limit not between 1 and 1000
      then format('parallel_limit must be from 1 to 1000, got %s', p_group.parallel_limit)
    when p_group.key_limit not between 1 and 1000
      then format('key_limit must be from 1 to 1000, got %s', p_group.key_limit)
    when p_group.key_limit > p_group.parallel_limit then 'key_limit and parallel_limit contradict each other: so many '
      'runs with one key can never be under way'
    when p_group.description is null then 'description must be a text, got null'
    when p_group.place is null then 'place must be a number, got null' end;
$$;
comment on function scheduler.group_fault(public.scheduler_groups) is
  'The first thing that is wrong with a group''s values; null when nothing is.';

create function scheduler.registered_values(p_group public.scheduler_groups) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('description', p_group.description, 'parallel_limit', p_group.parallel_limit,
    'key_limit', p_group.key_limit, 'place', p_group.place)
  where p_group.name is not null;
$$;
comment on function scheduler.registered_values(public.scheduler_groups) is
  'What a group was registered with; null of no group.';

create function scheduler.register_group(
  name text, description text default '', parallel_limit integer default null, key_limit integer default null,
  place integer default 0
) returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  v_group public.scheduler_groups;
  v_old public.scheduler_groups;
  v_fault text;
begin
  v_group.name := register_group.name;
  v_group.description := register_group.description;
  v_group.parallel_limit := register_group.parallel_limit;
  v_group.key_limit := register_group.key_limit;
  v_group.place := register_group.place;
  v_fault := scheduler.group_fault(v_group);
  if v_fault is not null then
    raise exception using errcode = '22023', message = format('cannot register the group%s: %s',
      coalesce(' ' || v_group.name, ''), v_fault);
  end if;
  -- No run of the group is sent and none ends while its slots are made.
  perform scheduler.lock_group(v_group.name);
  select * into v_old from public.scheduler_groups as groups where groups.name = v_group.name;
  insert into public.scheduler_groups as groups (name, description, parallel_limit, key_limit, place)
    values (v_group.name, v_group.description, v_group.parallel_limit, v_group.key_limit, v_group.place)
    on conflict (name) do update set description = excluded.description, parallel_limit = excluded.parallel_limit,
      key_limit = excluded.key_limit, place = excluded.place, updated_at = now();
  perform scheduler.make_slots(v_group.name, v_group.parallel_limit);
  perform scheduler.wake_group(v_group.name, 'epoch');
  perform scheduler.audit_registration('register_group', 'group', v_group.name, scheduler.registered_values(v_old),
    scheduler.registered_values(v_group));
end;
$$;
comment on function scheduler.register_group(text, text, integer, integer, integer) is
  'Registers a group, or changes it to exactly these values (a pause stays). Jobs join it by group_name of '
    'register_job. Raises 22023 for a wrong argument.';

create function scheduler.make_slots(p_group_name text, p_limit integer) returns void
language sql set search_path = '' as $$
  delete from scheduler.group_slots where group_name = p_group_name;
  -- Runs that were sent before there was a limit hold slots as well. Those over the limit have slots of their own
  -- behind it, which go as runs end, so that no further run is sent before as few are under way as may be.
  insert into scheduler.group_slots (group_name, slot, run_id)
    select p_group_name, coalesce(slot, place), under_way.id
    from (
      select runs.id, row_number() over (order by runs.dispatched_at, runs.id)::integer as place
      from public.scheduler_runs as runs join public.scheduler_jobs as jobs on jobs.name = runs.job_name
      where jobs.group_name = p_group_name and runs.status in ('dispatched', 'running')) as under_way
      full join generate_series(1, p_limit) as slot on slot = place
    where p_limit is not null;
$$;
comment on function scheduler.make_slots(text, integer) is
  'Gives a group as many slots as it has a limit (null: none), the first to what is under way. The caller holds the '
    'row locks of the group''s jobs.';

create function scheduler.join_slots(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
declare
  v_run_id uuid;
begin
  if (select parallel_limit is null from public.scheduler_groups where name = p_job.group_name) is not false then
    return;
  end if;
  for v_run_id in
    select id from public.scheduler_runs where job_name = p_job.name and status in ('dispatched', 'running')
    order by dispatched_at, id
  loop
    if not scheduler.take_slot(p_job.group_name, v_run_id) then
      insert into scheduler.group_slots (group_name, slot, run_id)
        select p_job.group_name, max(slot) + 1, v_run_id from scheduler.group_slots
        where group_name = p_job.group_name;
    end if;
  end loop;
end;
$$;
comment on function scheduler.join_slots(public.scheduler_jobs) is
  'Gives slots to the runs of a job that has joined its group while they were under way: behind the limit where no '
    'other is free. The caller holds the lock of the registry and the job''s row lock.';

create function scheduler.unregister_group(p_group_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_members text;
  v_group public.scheduler_groups;
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  select string_agg(name, ', ' order by name) into v_members from public.scheduler_jobs where group_name = p_group_name;
  if v_members is not null then
    raise exception using errcode = 'SD205',
      message = format('cannot take the group %s out: it has jobs: %s', p_group_name, v_members),
      hint = 'register them with another group_name, or none';
  end if;
  delete from public.scheduler_groups where name = p_group_name returning * into v_group;
  if not found then
    perform scheduler.refuse_unknown_group(p_group_name);
  end if;
  perform scheduler.audit_registration('unregister_group', 'group', p_group_name,
    scheduler.registered_values(v_group), null);
end;
$$;
comment on function scheduler.unregister_group(text) is
  'Takes a group out of the registry. Raises SD205 while it has jobs; SD014 for an unknown group.';

-- While runs over the limit are under way, as many of the free slots stay free: those with the highest numbers. A run
-- over it never changes its slot, which two transactions that end runs would have to wait for each other for.
create function scheduler.free_slots(p_group_name text) returns setof integer
language plpgsql stable set search_path = '' as $$
begin
  return query
  select slot
  from (
    select slot, row_number() over (order by slot desc) as place from scheduler.group_slots
    where group_name = p_group_name and run_id is null) as free
  where place > (
    select count(*)
    from scheduler.group_slots as slots join public.scheduler_groups as groups on groups.name = slots.group_name
    where group_name = p_group_name and run_id is not null and slot > parallel_limit);
end;
$$;
comment on function scheduler.free_slots(text) is
  'The slots of a group that runs may take, as far as this transaction sees.';

create function scheduler.has_free_slot(p_group_name text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (
    select parallel_limit is null or exists (select from scheduler.free_slots(p_group_name))
    from public.scheduler_groups where name = p_group_name);
end;
$$;
comment on function scheduler.has_free_slot(text) is
  'Whether one more run of the group may be under way, as far as this transaction sees.';

create function scheduler.take_slot(p_group_name text, p_run_id uuid) returns boolean
language plpgsql set search_path = '' as $$
begin
  if (select parallel_limit from public.scheduler_groups where name = p_group_name) is null then
    return true;
  end if;
  update scheduler.group_slots set run_id = p_run_id
    where group_name = p_group_name and slot = (
      select slot from scheduler.group_slots
      where group_name = p_group_name and run_id is null and slot in (select scheduler.free_slots(p_group_name))
      order by slot limit 1 for update skip locked);
  return found;
end;
$$;
comment on function scheduler.take_slot(text, uuid) is
  'Takes a free slot of the group for the run; true also where the group has no limit. Never waits: false where all '
    'are held, or others take them at this moment.';

create function scheduler.free_slot(p_run_id uuid) returns text
language plpgsql set search_path = '' as $$
declare
  v_freed scheduler.group_slots;
begin
  update scheduler.group_slots set run_id = null where run_id = p_run_id returning * into v_freed;
  delete from scheduler.group_slots where group_name = v_freed.group_name and slot = v_freed.slot
    and slot > (select parallel_limit from public.scheduler_groups where name = v_freed.group_name);
  return v_freed.group_name;
end;
$$;
comment on function scheduler.free_slot(uuid) is
  'Gives back the slot that the run holds, which is gone where it is one over the limit; the group, null when it holds '
    'none.';

create function scheduler.wake_group(p_group_name text, p_at timestamptz) returns void
language sql set search_path = '' as $$
  select scheduler.wake_jobs(array(
    select name from public.scheduler_jobs where group_name = p_group_name order by name), p_at);
$$;
comment on function scheduler.wake_group(text, timestamptz) is
  'Has the first pulse from p_at on (epoch: the next one) look at the jobs of the group.';

create function scheduler.pause_group(
  p_group_name text, p_reason text, p_author text, p_until timestamptz default null,
    p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_group public.scheduler_groups;
  v_jobs bigint;
begin
  perform scheduler.lock_group(p_group_name);
  v_group := scheduler.assert_group(p_group_name);
  perform scheduler.assert_given(format('pause the group %s', p_group_name), 'reason and author',
    format('select scheduler.pause_group(%L, ''why'', ''who'')', p_group_name), p_reason, p_author);
  if p_until <= p_now then
    raise exception using errcode = '22023',
      message = format('cannot pause the group %s: until must be in the future, got %s', p_group_name, p_until);
  end if;
  update public.scheduler_groups set
    paused_at = case when paused_until > p_now or paused_until is null then coalesce(paused_at, p_now) else p_now end,
    paused_until = case when isfinite(p_until) then p_until end,
    pause_reason = btrim(p_reason), paused_by = btrim(p_author), updated_at = now()
    where name = p_group_name returning * into v_group;
  update public.scheduler_jobs
    set group_paused_at = v_group.paused_at, group_paused_until = v_group.paused_until, updated_at = now()
    where group_name = p_group_name;
  get diagnostics v_jobs = row_count;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where group_name = p_group_name;
  perform scheduler.wake_group(p_group_name, coalesce(v_group.paused_until, 'epoch'));
  perform scheduler.audit('pause_group', 'group', p_group_name, p_reason, p_author, null,
    jsonb_build_object('until', v_group.paused_until), p_now);
  return format('the group %s is paused %s, with %s', p_group_name,
    coalesce('until ' || scheduler.local_text(v_group.paused_until, 'UTC'), 'until somebody resumes it'),
    scheduler.count_text(v_jobs, 'job'));
end;
$$;
comment on function scheduler.pause_group(text, text, text, timestamptz, timestamptz) is
  'Pauses all jobs of a group, with a reason and an author, until a moment or (null, infinity) until resume_group. A '
    'job''s own pause is another one, and stays. Raises SD014 for an unknown group; 22023 for a missing reason or '
    'author, or an end that is past.';

create function scheduler.resume_group(
  p_group_name text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_group public.scheduler_groups;
  v_job public.scheduler_jobs;
  v_jobs bigint := 0;
  v_opens constant boolean := scheduler.opens_line();
begin
  perform scheduler.lock_group(p_group_name);
  v_group := scheduler.assert_group(p_group_name);
  perform scheduler.assert_given(format('resume the group %s', p_group_name), 'author',
    format('select scheduler.resume_group(%L, ''who'')', p_group_name), p_author);
  if v_group.paused_at is null or v_group.paused_until <= p_now then
    perform scheduler.send_line(p_now) where v_opens;
    return format('the group %s was not paused', p_group_name);
  end if;
  for v_job in select * from public.scheduler_jobs where group_name = p_group_name order by name loop
    -- Occurrences that came due in the pause are recorded first.
    perform scheduler.try_record_due(v_job, p_now);
    v_jobs := v_jobs + 1;
  end loop;
  update public.scheduler_groups
    set paused_at = null, paused_until = null, pause_reason = null, paused_by = null, updated_at = now()
    where name = p_group_name;
  update public.scheduler_jobs set group_paused_at = null, group_paused_until = null, updated_at = now()
    where group_name = p_group_name;
  perform scheduler.note_stop(jobs, p_now) from public.scheduler_jobs as jobs where group_name = p_group_name;
  perform scheduler.stand_in_line(p_group_name, name) from public.scheduler_jobs where group_name = p_group_name;
  if v_opens then
    perform scheduler.send_line(p_now);
  end if;
  perform scheduler.wake_group(p_group_name, 'epoch');
  perform scheduler.audit('resume_group', 'group', p_group_name, null, p_author,
    jsonb_build_object('paused_at', v_group.paused_at, 'by', v_group.paused_by, 'reason', v_group.pause_reason), null,
    p_now);
  return format('the group %s runs again, with %s', p_group_name, scheduler.count_text(v_jobs, 'job'));
end;
$$;
comment on function scheduler.resume_group(text, text, timestamptz) is
  'Ends a group''s pause. What came due in it stays skipped; a job''s own pause stays. Raises SD014 for an unknown '
    'group; 22023 for a missing author.';

revoke all on scheduler.group_slots from public, anon, authenticated, service_role;
