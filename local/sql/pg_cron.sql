-- A stand-in for pg_cron 1.6: the same names, arguments, tables and refusals. Its background worker is
-- local/cron-worker.ts. The two functions whose names begin with an underscore are its own.
create schema cron;

create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default coalesce(inet_server_port(), 5432),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- What tells the worker that there are other entries now.
create function cron.job_cache_invalidate() returns trigger
language plpgsql as $$
begin
  perform pg_catalog.pg_notify('pg_cron', '');
  return null;
end
$$;
comment on function cron.job_cache_invalidate() is 'invalidate job cache';
create trigger cron_job_cache_invalidate
after insert or update or delete or truncate on cron.job
for each statement execute function cron.job_cache_invalidate();

-- Only says yes or no to the form, as pg_cron does before it stores an entry. When an entry is due is
-- decided by a library, in the worker.
create function cron._check_schedule(p_schedule text) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_names constant text[] := array[
    '', '', '', 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec', 'sun|mon|tue|wed|thu|fri|sat'];
  v_numbers constant text[] := array[
    '[0-5]?[0-9]', '[01]?[0-9]|2[0-3]', '0?[1-9]|[12][0-9]|3[01]', '0?[1-9]|1[0-2]', '0?[0-7]'];
  v_fields text[] := regexp_split_to_array(btrim(p_schedule), '\s+');
  v_value text;
  v_item text;
begin
  if p_schedule ~* '^\s*0*([1-9]|[1-5][0-9])\s*second(s\s*)?$'
    or p_schedule ~* '^\s*@(yearly|annually|monthly|weekly|daily|midnight|hourly|reboot)\s*$' then
    return;
  end if;
  if coalesce(array_length(v_fields, 1), 0) = 5 then
    for v_field in 1..5 loop
      v_value := concat_ws('|', nullif(v_names[v_field], ''), v_numbers[v_field]);
      v_item := format('(\*|(%1$s)(-(%1$s))?)(/0*[1-9][0-9]*)?', v_value);
      if v_field = 3 then v_item := '(' || v_item || '|\$)'; end if;
      exit when v_fields[v_field] !~* format('^%s(,%s)*$', v_item, v_item);
      if v_field = 5 then return; end if;
    end loop;
  end if;
  raise exception using errcode = '22023',
    message = format('invalid schedule: %s', p_schedule),
    hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
end
$$;

-- Security definer as pg_cron's own code, which writes cron.job with the rights of the extension. The
-- caller cannot be seen from in here, so those who call it hand over their current_user.
create function cron._save(
  p_caller text, p_jobid bigint, p_jobname text, p_schedule text, p_command text, p_database text,
  p_username text, p_active boolean
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  v_job_id bigint;
  v_owner text := coalesce(p_username, p_caller);
  v_caller_is_superuser constant boolean := (select rolsuper from pg_roles where rolname = p_caller);
begin
  if v_caller_is_superuser
    and not (select rolsuper from pg_roles where rolname = session_user) then
    raise exception using errcode = '42501', message = 'permission denied for function _save';
  end if;
  if v_owner <> p_caller and not v_caller_is_superuser then
    raise exception using errcode = '42501',
      message = case when p_jobid is null then 'must be superuser to create a job for another role'
        else 'must be superuser to alter username' end;
  end if;
  if not exists (select from pg_roles where rolname = v_owner) then
    raise exception using errcode = '42704', message = format('role "%s" does not exist', v_owner);
  end if;
  if p_database is not null and not has_database_privilege(v_owner, p_database, 'connect') then
    raise exception using errcode = '42501',
      message = format('User %s does not have CONNECT privilege on %s', v_owner, p_database);
  end if;
  if p_schedule is not null then
    perform cron._check_schedule(p_schedule);
  end if;

  if p_jobid is not null then
    update cron.job set
      schedule = coalesce(p_schedule, schedule),
      command = coalesce(p_command, command),
      database = coalesce(p_database, database),
      username = coalesce(p_username, username),
      active = coalesce(p_active, active)
    where jobid = p_jobid and (username = p_caller or v_caller_is_superuser)
    returning jobid into v_job_id;
    if v_job_id is null then
      raise exception using errcode = 'XX000',
        message = format('Job %s does not exist or you don''t own it', p_jobid);
    end if;
    return v_job_id;
  end if;

  -- As in pg_cron, scheduling a name again leaves `active` and the database as they were.
  insert into cron.job (jobname, schedule, command, database, username, active)
  values (p_jobname, p_schedule, p_command, coalesce(p_database, current_database()), v_owner, p_active)
  on conflict on constraint jobname_username_uniq
    do update set schedule = excluded.schedule, command = excluded.command
  returning jobid into v_job_id;
  return v_job_id;
end
$$;

create function cron._remove(p_caller text, p_jobid bigint, p_jobname text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_caller_is_superuser constant boolean := (select rolsuper from pg_roles where rolname = p_caller);
begin
  if v_caller_is_superuser
    and not (select rolsuper from pg_roles where rolname = session_user) then
    raise exception using errcode = '42501', message = 'permission denied for function _remove';
  end if;
  delete from cron.job
  where (jobid = p_jobid or jobname = p_jobname) and (username = p_caller or v_caller_is_superuser);
  if not found then
    raise exception using errcode = 'XX000', message = case
      when p_jobid is null then format('could not find valid entry for job ''%s''', p_jobname)
      else format('could not find valid entry for job %s', p_jobid) end;
  end if;
  return true;
end
$$;

create function cron.schedule(schedule text, command text) returns bigint
language sql strict as $$
  select cron._save(current_user, null, null, $1, $2, null, null, true)
$$;
comment on function cron.schedule(text, text) is 'schedule a pg_cron job';

create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql as $$
begin
  if $1 is null then raise exception 'job_name can not be NULL'; end if;
  if $2 is null then raise exception 'schedule can not be NULL'; end if;
  if $3 is null then raise exception 'command can not be NULL'; end if;
  return cron._save(current_user, null, $1, $2, $3, null, null, true);
end
$$;
comment on function cron.schedule(text, text, text) is 'schedule a pg_cron job';

create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null,
  active boolean default true
) returns bigint
language plpgsql as $$
begin
  if $1 is null then raise exception 'job_name can not be NULL'; end if;
  if $2 is null then raise exception 'schedule can not be NULL'; end if;
  if $3 is null then raise exception 'command can not be NULL'; end if;
  if $4 is null then raise exception 'database can not be NULL'; end if;
  return cron._save(current_user, null, $1, $2, $3, $4, $5, $6);
end
$$;
comment on function cron.schedule_in_database(text, text, text, text, text, boolean) is
  'schedule a pg_cron job';

create function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void
language plpgsql as $$
begin
  if $1 is null then raise exception 'job_id can not be NULL'; end if;
  perform cron._save(current_user, $1, null, $2, $3, $4, $5, $6);
end
$$;
comment on function cron.alter_job(bigint, text, text, text, text, boolean) is
  'Alter the job identified by job_id. Any option left as NULL will not be modified.';

create function cron.unschedule(job_id bigint) returns boolean
language sql strict as $$ select cron._remove(current_user, $1, null) $$;
comment on function cron.unschedule(bigint) is 'unschedule a pg_cron job';

create function cron.unschedule(job_name text) returns boolean
language sql strict as $$ select cron._remove(current_user, null, $1) $$;
comment on function cron.unschedule(text) is 'unschedule a pg_cron job';

grant select on cron.job, cron.job_run_details to public;
grant delete on cron.job_run_details to public;
grant select on sequence cron.jobid_seq, cron.runid_seq to public;
revoke all on function
  cron.schedule_in_database, cron.alter_job(bigint, text, text, text, text, boolean) from public;

call pg_temp.register_stand_in('pg_cron', '1.6', 'pg_catalog', 'cron');
