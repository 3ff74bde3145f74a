-- A free slot of a group goes by priority, and not to the job that is looked at first. Jobs of a group that has a limit
-- therefore stand in line while a transaction works on them and on others, and are sent when it is done with all.

create function scheduler.has_slots(p_job public.scheduler_jobs) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return p_job.group_name is not null and exists (
    select from public.scheduler_groups where name = p_job.group_name and parallel_limit is not null);
end;
$$;
comment on function scheduler.has_slots(public.scheduler_jobs) is
  'Whether the job shares a limit with others of its group.';

-- The line is a setting of the transaction, empty while none is open: what is undone to a savepoint leaves it, too.
create function scheduler.opens_line() returns boolean
language plpgsql set search_path = '' as $$
begin
  if coalesce(current_setting('daybook.line', true), '') <> '' then
    return false;
  end if;
  perform set_config('daybook.line', '[]', true);
  return true;
end;
$$;
comment on function scheduler.opens_line() is
  'Opens the line, unless one is open: false then. Whoever opened it sends it: see send_line.';

create function scheduler.stand_in_line(p_group_name text, p_job_name text) returns void
language plpgsql set search_path = '' as $$
begin
  perform set_config('daybook.line', (current_setting('daybook.line')::jsonb
    || jsonb_build_object('group', p_group_name, 'job', p_job_name))::text, true);
end;
$$;
comment on function scheduler.stand_in_line(text, text) is
  'Has send_line look at a job of a group; null: at those alone that a free slot of the group is for.';

create type scheduler.place_in_line as (job_name text, priority numeric, scheduled_for timestamptz, tried integer);
comment on type scheduler.place_in_line is
  'A job of which a run waits: the priority and the time of the one that goes next, and how many went before it.';

create function scheduler.line_of(p_group_name text, p_job_name text, p_tried integer, p_now timestamptz)
returns setof scheduler.place_in_line
language plpgsql stable set search_path = '' as $$
begin
  return query
  select jobs.name, scheduler.effective_priority(jobs, next, p_now), next.scheduled_for, p_tried
  from public.scheduler_jobs as jobs, lateral scheduler.next_waiting(jobs, p_now) as next
  where jobs.group_name = p_group_name and jobs.enabled and next.id is not null
    and (p_job_name is null or jobs.name = p_job_name);
end;
$$;
comment on function scheduler.line_of(text, text, integer, timestamptz) is
  'The place of each job of the group of which a run may go, or of one of them; in no order.';

create function scheduler.try_send_next(p_job_name text, p_now timestamptz, out outcome text, out fault text)
language plpgsql set search_path = '' as $$
begin
  if not scheduler.try_lock_job(p_job_name) then
    perform scheduler.wake_jobs(array[p_job_name], 'epoch');
    outcome := 'held';
    return;
  end if;
  outcome := scheduler.send_next(jobs, p_now) from public.scheduler_jobs as jobs where name = p_job_name;
exception
  when transaction_rollback or lock_not_available then
    raise;  -- trying again helps
  when others then
    fault := scheduler.hosts_only(sqlerrm);
    raise warning 'what waits of the job % cannot be sent: %', p_job_name, fault;
end;
$$;
comment on function scheduler.try_send_next(text, timestamptz) is
  'send_next of a job, which undoes itself alone when it fails: the fault then, with a warning. Held, and the next '
    'pulse looks at it, where somebody else has its row.';

create function scheduler.send_group(
  p_group_name text, p_asked text[], p_now timestamptz, p_until timestamptz
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_line scheduler.place_in_line[];
  v_first scheduler.place_in_line;
  v_told record;
  v_has_tried boolean := false;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
  v_more boolean := false;
begin
  perform scheduler.let_due_go(jobs, p_now) from public.scheduler_jobs as jobs
    where group_name = p_group_name and name = any (p_asked);
  v_line := array(select place from scheduler.line_of(p_group_name, null, 1, p_now) as place);
  loop
    -- Without a slot only those are looked at that asked: their row has to say what they wait for.
    if not scheduler.has_free_slot(p_group_name) then
      v_line := array(select place from unnest(v_line) as place where job_name = any (p_asked));
    end if;
    select * into v_first from unnest(v_line) order by priority desc, scheduled_for, job_name limit 1;
    exit when not found;
    if v_has_tried and clock_timestamp() > p_until then
      perform scheduler.wake_jobs(array(select job_name from unnest(v_line)), 'epoch');
      return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', true);
    end if;
    v_has_tried := true;
    v_told := scheduler.try_send_next(v_first.job_name, p_now);
    v_sent := v_sent + coalesce(v_told.outcome = 'sent', false)::integer;
    v_errors := v_errors || case when v_told.fault is not null
      then jsonb_build_object(v_first.job_name, v_told.fault) else jsonb_build_object() end;
    v_line := array(select place from unnest(v_line) as place where job_name <> v_first.job_name);
    if v_told.outcome in ('sent', 'over', 'waits') and v_first.tried < 100 then
      v_line := v_line || array(
        select place from scheduler.line_of(p_group_name, v_first.job_name, v_first.tried + 1, p_now) as place);
    elsif v_told.outcome in ('sent', 'over', 'waits') then
      -- More may go than one transaction sends.
      perform scheduler.wake_jobs(array[v_first.job_name], 'epoch');
      v_more := true;
    end if;
  end loop;
  return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', v_more);
end;
$$;
comment on function scheduler.send_group(text, text[], timestamptz, timestamptz) is
  'Sends what waits of the group''s jobs as far as its slots go, one run at a time, the highest priority first: the '
    'next one may be another job''s. Jobs that asked are looked at also without a slot. {"sent": runs, "errors": {job: '
    'message}, "more": whether something is left: the clock showed p_until, after one run at least, or 100 runs of a '
    'job were tried}. What is left then and jobs that somebody else holds are woken at the next pulse. The caller '
    'holds the row locks of those that asked.';

-- Runs that come to their end as they are sent, as where Vault lacks a secret, use no slot: of a group with thousands
-- of them one transaction would hold the jobs' rows for a minute.
create function scheduler.send_line(
  p_now timestamptz, p_until timestamptz default clock_timestamp() + interval '1 second'
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_line jsonb;
  v_group record;
  v_told jsonb;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
  v_more boolean := false;
begin
  -- What is sent, or skipped, can have others stand in line.
  loop
    v_line := current_setting('daybook.line')::jsonb;
    exit when v_line = '[]';
    perform set_config('daybook.line', '[]', true);
    for v_group in
      select place ->> 'group' as name, array_remove(array_agg(place ->> 'job'), null) as asked
      from jsonb_array_elements(v_line) as place group by 1 order by 1
    loop
      v_told := scheduler.send_group(v_group.name, v_group.asked, p_now, p_until);
      v_sent := v_sent + (v_told ->> 'sent')::integer;
      v_errors := v_errors || (v_told -> 'errors');
      v_more := v_more or (v_told ->> 'more')::boolean;
    end loop;
  end loop;
  perform set_config('daybook.line', '', true);
  return jsonb_build_object('sent', v_sent, 'errors', v_errors, 'more', v_more);
end;
$$;
comment on function scheduler.send_line(timestamptz, timestamptz) is
  'Sends those that stand in line, group by group, until none does or the clock shows p_until, and closes the line. '
    '{"sent", "errors", "more"} as send_group has them; what is left is woken at the next pulse.';
