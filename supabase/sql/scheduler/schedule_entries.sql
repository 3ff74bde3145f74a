-- Entries of schedules.json: what an entry may say, and how its job is registered.

-- The one list of what a job is registered with: what stands in schedules.json is compared with it.
create function scheduler.job_arguments()
returns table (argument text, type text, default_value text)
language sql stable set search_path = '' as $$
  select name, format_type(type_id, null), pg_get_function_arg_default(oid, number::integer)
  from pg_catalog.pg_proc,
    unnest(proargnames, proargtypes::oid[]) with ordinality as arguments (name, type_id, number)
  where pronamespace = 'scheduler'::regnamespace and proname = 'register_job'
  order by number;
$$;
comment on function scheduler.job_arguments() is
  'The arguments of register_job in their order: names, types, defaults as SQL; one without a default must be given.';

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
  perform scheduler.note_source(p_source, name, scheduler.registered_values(jobs))
    from public.scheduler_jobs as jobs where name = p_entry ->> 'name';
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

create function scheduler.entry_values(p_entry jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
  -- Under a name of its own: people may have registered what does not go with the entry.
  v_name constant text := left('daybook-' || md5(p_entry ->> 'name'), 63);
  v_target constant jsonb := coalesce(nullif(p_entry -> 'target', 'null'), p_entry -> 'name');
  v_values jsonb;
begin
  begin
    perform scheduler.register_entry('scheduler', p_entry || jsonb_build_object('name', v_name, 'target', v_target));
    select scheduler.registered_values(jobs) into v_values from public.scheduler_jobs as jobs where name = v_name;
    raise exception using errcode = 'P0001';  -- undoes it
  exception when raise_exception then
    if v_values is null then
      raise;
    end if;
  end;
  return v_values;
end;
$$;
comment on function scheduler.entry_values(jsonb) is
  'What the job of an entry of schedules.json would be registered with. Raises what register_entry raises.';

-- For migrations from versions that did not note who registered a job.
create function scheduler.note_entry(p_source text, p_entry jsonb) returns void
language sql set search_path = '' as $$
  select scheduler.note_source(p_source, name, scheduler.entry_values(p_entry))
  from public.scheduler_jobs where name = p_entry ->> 'name';
$$;
comment on function scheduler.note_entry(text, jsonb) is
  'Notes that a version before registered the job of this entry, if it is still there: what people have changed of it '
    'since then is changed by hand. Raises what register_entry raises.';
