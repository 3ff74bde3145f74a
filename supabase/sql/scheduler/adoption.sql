-- Jobs take the place of entries of pg_cron. The entries are kept, so that they can be put back.

-- Old commands may hold secrets. cron.job shows them to the role of the entry; only the owner may read this table.
create table scheduler.adopted_entries (
  id bigint generated always as identity primary key,
  job_name text not null,
  registered boolean not null,
  name text,
  schedule text not null,
  command text not null,
  database text not null,
  username text not null,
  active boolean not null,
  adopted_at timestamptz not null default now() check (isfinite(adopted_at))
);
create index adopted_entries_job_name_idx on scheduler.adopted_entries (job_name);

comment on table scheduler.adopted_entries is
  'Entries of pg_cron that jobs took the place of, as they were: one row an entry. Written by scheduler.adopt_entries, '
    'emptied by undo_adoption and forget_adopted_entries.';
comment on column scheduler.adopted_entries.registered is
  'Whether the job was registered for it; false: the job was there, and stays when the entry is put back.';
comment on column scheduler.adopted_entries.name is 'Its name in pg_cron; null: it had none.';

alter table scheduler.adopted_entries enable row level security;
revoke all on scheduler.adopted_entries from public, anon, authenticated, service_role;
revoke all on sequence scheduler.adopted_entries_id_seq from public, anon, authenticated, service_role;

-- pg_cron reads its entries as a minute begins. An entry and a job that change places in
-- that second could both start, or neither.
create function scheduler.seconds_to_quiet(p_now timestamptz) returns numeric
language sql immutable set search_path = '' as $$
  select case when second < 1 then 1 - second when second >= 59 then 61 - second else 0 end
  from (select mod(extract(epoch from p_now), 60) as second) as clock;
$$;
comment on function scheduler.seconds_to_quiet(timestamptz) is
  'How many seconds to wait until no minute begins within a second: 0 to 2.';

-- A migration is read by many: it must not hold a hash from which a short secret could be guessed.
create function scheduler.command_hash(p_command text, p_without jsonb) returns text
language sql immutable set search_path = '' as $$
  select encode(sha256(convert_to(coalesce(string_agg(letter, '' order by place), ''), 'UTF8')), 'hex')
  from unnest(string_to_array(p_command, null)) with ordinality as letters (letter, place)
  where not exists (
    select from jsonb_array_elements(p_without) as part
    where place >= (part ->> 0)::integer and place < (part ->> 0)::integer + (part ->> 1)::integer);
$$;
comment on function scheduler.command_hash(text, jsonb) is
  'SHA-256 of a command without those parts of it: [[place of the first character, from 1 on, number of characters]].';

create function scheduler.find_entries(p_entries jsonb) returns table (place bigint, is_kept boolean, id bigint)
language sql stable set search_path = '' as $$
  with wanted as (
    select ordinality as place, entry, entry -> 'without' as without, row_number() over (
        partition by entry - array['job', 'job_is'] order by ordinality) as copy
    from jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality)
  ), known as (
    select false as is_kept, jobid as id, jobname as name, schedule, command, username, active
    from cron.job where database = current_database()
    union all
    select true, id, name, schedule, command, username, active from scheduler.adopted_entries
  ), matches as (
    select wanted.place, known.is_kept, known.id, wanted.copy,
      row_number() over (partition by wanted.place, known.is_kept order by known.id) as number
    from wanted
    join known on known.name is not distinct from entry ->> 'name' and known.username = entry ->> 'username'
      and known.schedule = entry ->> 'schedule' and known.active = (entry ->> 'active')::boolean
      and scheduler.command_hash(known.command, without) = entry ->> 'command_sha256'
  )
  -- Entries without a name may be alike in all: each stands for one.
  select place, is_kept, id from matches where number = copy;
$$;
comment on function scheduler.find_entries(jsonb) is
  'Where the entries of a list (as adopt_entries takes it) are: its place in the list, whether it was adopted, and its '
    'id there or in cron.job. An entry that is nowhere as it was read has no row.';

create function scheduler.entries_fault(p_entries jsonb) returns text
language sql stable set search_path = '' as $$
  select string_agg(format('%s %s', coalesce(entry ->> 'name', 'the one without a name'), case
      when exists (select from scheduler.find_entries(p_entries) as found where found.place = ordinality and is_kept)
        then 'was adopted already'
      when exists (
        select from cron.job where jobname is not distinct from entry ->> 'name' and username = entry ->> 'username')
        then 'was changed'
      else 'is gone' end), ', ' order by ordinality)
  from jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality)
  where not exists (
    select from scheduler.find_entries(p_entries) as found where found.place = ordinality and not is_kept);
$$;
comment on function scheduler.entries_fault(jsonb) is
  'Which entries of the list are not in cron.job as they were read, and what became of each; null when all are.';

create function scheduler.adopting_jobs_fault(p_entries jsonb) returns text
language sql stable set search_path = '' as $$
  select string_agg(distinct format(case when not entry ? 'job_is' then 'there is a job %s'
      when jobs.name is null then 'the job %s is gone' else 'the job %s was changed, or is off' end, job), ', ')
  from jsonb_array_elements(p_entries) as entry
  cross join lateral (select entry ->> 'job' as job, entry -> 'job_is' as job_is) as named
  left join public.scheduler_jobs as jobs on jobs.name = job
  where case when entry ? 'job_is' then jobs.enabled is not true or exists (
        select from jsonb_each_text(job_is) as was where to_jsonb(jobs) ->> was.key is distinct from was.value)
    else jobs.name is not null or exists (select from public.scheduler_jobs where alias = job) end;
$$;
comment on function scheduler.adopting_jobs_fault(jsonb) is
  'Which jobs that are to be registered are there, and which that are to stay are not as they were read; null when all '
    'is as it was.';

create function scheduler.assert_own_entries(p_usernames text[]) returns void
language plpgsql stable set search_path = '' as $$
begin
  if exists (select from unnest(p_usernames) as username where username is distinct from current_user) then
    raise exception using errcode = '42501',
      message = format('the entries of pg_cron are those of %s, and this is run by %s',
        (select string_agg(distinct username, ', ') from unnest(p_usernames) as username), current_user),
      hint = 'run it as that role: pg_cron keeps the entries of each role apart';
  end if;
end;
$$;
comment on function scheduler.assert_own_entries(text[]) is
  'Raises 42501 when one of the entries is another role''s than the current one''s.';

create function scheduler.take_entries(p_entries jsonb, p_reason text, p_author text) returns void
language plpgsql set search_path = '' as $$
declare
  v_entry record;
begin
  for v_entry in
    select job.*, entry ->> 'job' as job, not entry ? 'job_is' as registered
    from scheduler.find_entries(p_entries) as found
    join cron.job on jobid = found.id and not is_kept
    join jsonb_array_elements(p_entries) with ordinality as listed (entry, ordinality) on ordinality = found.place
    order by ordinality
  loop
    insert into scheduler.adopted_entries (job_name, registered, name, schedule, command, database, username, active)
      values (v_entry.job, v_entry.registered, v_entry.jobname, v_entry.schedule, v_entry.command, v_entry.database,
        v_entry.username, v_entry.active);
    perform cron.unschedule(v_entry.jobid);
    perform scheduler.audit('adopt_entry', 'job', v_entry.job, p_reason, coalesce(p_author, session_user::text),
      jsonb_build_object('entry', coalesce(v_entry.jobname, v_entry.jobid::text), 'schedule', v_entry.schedule), null,
      clock_timestamp());
  end loop;
end;
$$;
comment on function scheduler.take_entries(jsonb, text, text) is
  'Keeps the entries of the list and takes them out of pg_cron. The caller has seen that all are there.';

-- The registry's lock keeps registrations away; what is read after it is as it will be when this commits.
create function scheduler.adopt_entries(
  p_entries jsonb, p_may_be_missing boolean default false, p_reason text default null, p_author text default null
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_found bigint;
  v_kept bigint;
  v_fault text;
begin
  perform scheduler.assert_own_entries(
    array(select entry ->> 'username' from jsonb_array_elements(p_entries) as entry));
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  -- This locks the entries and changes nothing. Only pg_cron's owner may lock rows of cron.job by a statement.
  perform cron.alter_job(job_id := id, database := current_database())
    from (select id from scheduler.find_entries(p_entries) where not is_kept order by id) as ours;
  -- All locks are held, so nothing else delays the end of the transaction.
  perform pg_sleep(scheduler.seconds_to_quiet(clock_timestamp()));
  select count(*) filter (where not is_kept), count(*) filter (where is_kept) into v_found, v_kept
    from scheduler.find_entries(p_entries);
  if v_found = 0 and v_kept = jsonb_array_length(p_entries) then
    raise notice 'already adopted: %', (
      select string_agg(distinct job_name, ', ') from scheduler.adopted_entries
      where id in (select id from scheduler.find_entries(p_entries) where is_kept));
    return false;
  end if;
  v_fault := scheduler.adopting_jobs_fault(p_entries);
  if p_may_be_missing and v_fault is null and v_found + v_kept = 0 and not exists (
    select from jsonb_array_elements(p_entries) as entry join cron.job on jobname = entry ->> 'name') then
    return true;
  end if;
  v_fault := concat_ws(', ', scheduler.entries_fault(p_entries), v_fault);
  if v_fault <> '' then
    raise exception using errcode = 'SD208',
      message = format('cannot adopt the entries: they are not as they were read: %s', v_fault),
      hint = 'run deno task daybook adopt again, and look at what it proposes now; in a database that never had these '
        'entries call adopt_entries with p_may_be_missing => true';
  end if;
  perform scheduler.take_entries(p_entries, p_reason, p_author);
  return true;
end;
$$;
comment on function scheduler.adopt_entries(jsonb, boolean, text, text) is
  'Takes entries out of pg_cron and keeps what they were: [{"name", "schedule", "username", "active", '
    '"command_sha256", "without", "job", "job_is"}], as deno task daybook adopt writes them; job_is has values, as '
    'text, that a registered job must have to take their place. True: now register their jobs, then call '
    'end_adoption. False: they were adopted already. p_may_be_missing: true also where there is no entry of these '
    'names. Raises SD208 and changes nothing when one is not as it was read, 42501 for entries of '
    'another role.';

create function scheduler.end_adoption() returns void
language plpgsql set search_path = '' as $$
declare
  v_missing text;
begin
  select string_agg(distinct job_name, ', ') into v_missing from scheduler.adopted_entries
    where adopted_at = now() and job_name not in (select name from public.scheduler_jobs);
  if v_missing is not null then
    raise exception using errcode = '22023',
      message = format('cannot adopt the entries: no job was registered in their place: %s', v_missing),
      hint = 'register it under the name that the list of adopt_entries has';
  end if;
  -- What came due since the transaction began was started by the old entries.
  update public.scheduler_jobs set next_run_at = scheduler.next_occurrence(schedule, time_zone, clock_timestamp())
    where name in (select job_name from scheduler.adopted_entries where adopted_at = now() and registered)
      and enabled and next_run_at <= clock_timestamp();
end;
$$;
comment on function scheduler.end_adoption() is
  'Ends what adopt_entries began in this transaction: raises 22023 when a job that takes the place of entries is not '
    'registered, and lets the jobs begin where the entries ended.';

create function scheduler.put_entry_back(p_entry scheduler.adopted_entries) returns void
language plpgsql set search_path = '' as $$
declare
  v_job_id bigint;
begin
  if exists (select from cron.job where jobname = p_entry.name and username = current_user) then
    raise exception using errcode = '42710',
      message = format('cannot put back the entry %s: pg_cron has one of that name', p_entry.name),
      hint = format('if it is not needed: select cron.unschedule(%L)', p_entry.name);
  end if;
  v_job_id := case when p_entry.name is null then cron.schedule(p_entry.schedule, p_entry.command)
    else cron.schedule(p_entry.name, p_entry.schedule, p_entry.command) end;
  if not p_entry.active then
    perform cron.alter_job(job_id := v_job_id, active := false);
  end if;
  if not exists (
    select from cron.job where jobid = v_job_id and (jobname, schedule, command, database, username, active)
      is not distinct from (p_entry.name, p_entry.schedule, p_entry.command, p_entry.database, p_entry.username,
        p_entry.active)) then
    raise exception using errcode = '22023',
      message = format('cannot put back the entry %s: pg_cron does not keep it as it was', p_entry.name);
  end if;
end;
$$;
comment on function scheduler.put_entry_back(scheduler.adopted_entries) is
  'Makes the entry in pg_cron as it was. Raises 42710 when the name is taken, 22023 when pg_cron makes another of it.';

create function scheduler.undo_adoption(
  p_jobs text[] default null, p_reason text default null, p_author text default null
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_entry scheduler.adopted_entries;
  v_count integer := 0;
  v_jobs text[];
begin
  perform pg_advisory_xact_lock(hashtextextended('daybook: registry', 0));
  v_jobs := array(
    select distinct job_name from scheduler.adopted_entries where p_jobs is null or job_name = any (p_jobs));
  perform scheduler.assert_own_entries(
    array(select username from scheduler.adopted_entries where job_name = any (v_jobs)));
  perform scheduler.unregister_job(name) from (
    select name from public.scheduler_jobs
    where name in (select job_name from scheduler.adopted_entries where registered and job_name = any (v_jobs))
    order by name) as ours;
  -- All locks are held, so nothing else delays the end of the transaction.
  perform pg_sleep(scheduler.seconds_to_quiet(clock_timestamp()));
  for v_entry in select * from scheduler.adopted_entries where job_name = any (v_jobs) order by id loop
    perform scheduler.put_entry_back(v_entry);
    perform scheduler.audit('undo_adoption', 'job', v_entry.job_name, p_reason,
      coalesce(p_author, session_user::text), null,
      jsonb_build_object('entry', v_entry.name, 'schedule', v_entry.schedule), clock_timestamp());
    v_count := v_count + 1;
  end loop;
  delete from scheduler.adopted_entries where job_name = any (v_jobs);
  if v_count = 0 then
    raise notice 'nothing to put back: no entry is kept%', coalesce(' of ' || array_to_string(p_jobs, ', '), '');
  end if;
  return v_count;
end;
$$;
comment on function scheduler.undo_adoption(text[], text, text) is
  'Puts back the entries that these jobs took the place of (null: of all jobs), exactly as they were, and takes out '
    'the jobs that were registered for them; how many entries. Calling it again does nothing. Raises 42710 when a name '
    'is taken, 42501 for entries of another role, SD205 while other jobs depend on one.';

create function scheduler.forget_adopted_entries(
  p_jobs text[] default null, p_reason text default null, p_author text default null
) returns integer
language plpgsql set search_path = '' as $$
declare
  v_forgotten jsonb;
begin
  with forgotten as (
    delete from scheduler.adopted_entries where p_jobs is null or job_name = any (p_jobs) returning job_name, name
  )
  select jsonb_object_agg(job_name, entries) into v_forgotten
    from (select job_name, jsonb_agg(name order by name) as entries from forgotten group by job_name) as jobs;
  perform scheduler.audit('forget_adopted_entries', 'job', job_name, p_reason, coalesce(p_author, session_user::text),
    jsonb_build_object('entries', entries), null, clock_timestamp())
    from jsonb_each(v_forgotten) as jobs (job_name, entries);
  return coalesce((
    select sum(jsonb_array_length(entries)) from jsonb_each(v_forgotten) as jobs (job_name, entries)), 0);
end;
$$;
comment on function scheduler.forget_adopted_entries(text[], text, text) is
  'Deletes what is kept of the entries that these jobs (null: all jobs) took the place of; how many. They cannot be '
    'put back any more; the jobs stay.';
