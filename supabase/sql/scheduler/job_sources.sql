-- Who registered a job: schedules.json, a pack's own SQL, or, where the job has no row here, SQL of the project.

create table scheduler.job_sources (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  source text not null check (source ~ '^[a-z][a-z0-9-]{0,62}$'),
  applied jsonb,
  applied_at timestamptz check (isfinite(applied_at)),
  check ((applied is null) = (applied_at is null))
);
alter table scheduler.job_sources enable row level security;
revoke all on scheduler.job_sources from public, anon, authenticated, service_role;

comment on table scheduler.job_sources is
  'Who registered a job, one row a job. A job without a row was registered by SQL of the project.';
comment on column scheduler.job_sources.source is
  'The section of schedules.json, which for a pack''s jobs has the pack''s name; or the pack whose SQL registered it.';
comment on column scheduler.job_sources.applied is
  'The values with which schedules.json registered the job last. Null: the SQL of the pack registers it.';

create function scheduler.note_source(p_source text, p_job_names text[], p_is_entry boolean default true) returns void
language sql set search_path = '' as $$
  insert into scheduler.job_sources as sources (job_name, source, applied, applied_at)
    select name, p_source, case when p_is_entry then scheduler.registered_values(jobs) end,
      case when p_is_entry then clock_timestamp() end
    from public.scheduler_jobs as jobs where name = any (p_job_names)
    on conflict (job_name) do update
      set source = excluded.source, applied = excluded.applied, applied_at = excluded.applied_at;
$$;
comment on function scheduler.note_source(text, text[], boolean) is
  'Notes that these jobs, as they are now, were registered by that section of schedules.json, or with p_is_entry => '
    'false by the SQL of that pack. Leaves out names of no job.';

-- The one list of what a job is registered with: what stands in schedules.json is compared with it.
create function scheduler.job_arguments()
returns table (argument text, type text, default_value text, is_required boolean)
language sql stable set search_path = '' as $$
  select name, format_type(type_id, null), pg_get_function_arg_default(oid, place::integer),
    place <= pronargs - pronargdefaults
  from pg_catalog.pg_proc,
    unnest(proargnames, proargtypes::oid[]) with ordinality as arguments (name, type_id, place)
  where pronamespace = 'scheduler'::regnamespace and proname = 'register_job'
  order by place;
$$;
comment on function scheduler.job_arguments() is
  'The arguments of register_job in their order: names, types, defaults as SQL.';

create function scheduler.argument_literal(p_value jsonb, p_type text) returns text
language sql immutable set search_path = '' as $$
  select case
    when jsonb_typeof(p_value) = 'null' then 'null'
    when p_type = 'jsonb' then format('%L::jsonb', p_value::text)
    when jsonb_typeof(p_value) = 'array' and right(p_type, 2) = '[]'
      then format('%L::%s', array(select jsonb_array_elements_text(p_value))::text, p_type)
    else format('%L::%s', p_value #>> '{}', p_type) end;
$$;
comment on function scheduler.argument_literal(jsonb, text) is
  'A JSON value as SQL that makes it a value of that type.';

create function scheduler.register_entry(p_source text, p_entry jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  v_unknown text;
begin
  select string_agg(key, ', ' order by key) into v_unknown
    from jsonb_object_keys(p_entry) as key
    where key not in (select argument from scheduler.job_arguments());
  if v_unknown is not null then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: register_job has no argument %s', p_entry ->> 'name', v_unknown);
  end if;
  execute (
    select format('select scheduler.register_job(%s)',
      string_agg(format('%I => %s', argument, scheduler.argument_literal(p_entry -> argument, type)), ', '))
    from scheduler.job_arguments() where p_entry ? argument);
  perform scheduler.note_source(p_source, array[p_entry ->> 'name']);
end;
$$;
comment on function scheduler.register_entry(text, jsonb) is
  'Registers the job of an entry of schedules.json, {argument: value}, and notes the section that it is from. Raises '
    '22023 for an unknown argument, and what register_job raises.';

-- For migrations of later versions.
create function scheduler.renew_entry(p_source text, p_entry jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  if exists (
    select from public.scheduler_jobs as jobs join scheduler.job_sources on job_name = name
    -- Value by value: a version that adds an argument adds it to the job, and not to what was applied.
    where name = p_entry ->> 'name' and applied is not null and not exists (
      select from jsonb_each(applied) as given
      where given.value is distinct from scheduler.registered_values(jobs) -> given.key)) then
    perform scheduler.register_entry(p_source, p_entry);
  else
    raise notice '% stays as it is: somebody has changed it or taken it out', p_entry ->> 'name';
  end if;
end;
$$;
comment on function scheduler.renew_entry(text, jsonb) is
  'Registers the job of an entry that a new version has changed, if the job is as schedules.json registered it last: '
    'what somebody has changed or taken out stays so. Raises what register_entry raises.';
