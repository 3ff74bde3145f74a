-- The API asked by a user of Supabase Auth: the right is looked up, and the answer made, in one transaction.

create function scheduler.api_arguments(p_door text) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(name, type) filter (where name is not null), '{}')
  from pg_catalog.pg_proc
    left join lateral unnest(proargnames, proargtypes::oid[]::regtype[]) as arguments (name, type) on true
  where pronamespace = 'public'::regnamespace and proname = p_door and proname like 'scheduler\_api\_%'
    and not coalesce(proargnames @> '{p_user_id}', false)
    -- It is called with the rights of the owner: a function of another role in public must not get them.
    and proowner = (select nspowner from pg_catalog.pg_namespace where nspname = 'scheduler')
  group by pg_proc.oid;
$$;
comment on function scheduler.api_arguments(text) is
  'The arguments of a door of the API, {"<name>": "<type>"}; null when there is no such door, or it is one for users.';

create function scheduler.api_call(p_door text, p_arguments jsonb, p_args jsonb) returns text
language sql immutable set search_path = '' as $$
  select case when count(*) = 0 then format('select public.%I()', p_door)
    else format('select public.%I(%s) from jsonb_to_record($1) as given (%s)', p_door,
      string_agg(format('%1$I => given.%1$I', name), ', '), string_agg(format('%I %s', name, type), ', ')) end
  from jsonb_each_text(p_arguments) as arguments (name, type) where p_args ? name;
$$;
comment on function scheduler.api_call(text, jsonb, jsonb) is
  'The statement that calls the door with p_args, its $1, as PostgREST would: each argument is read as its own type.';

create function scheduler.api_as_user(p_user_id uuid, p_acts boolean, p_door text, p_args jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_operator constant public.scheduler_operators := scheduler.assert_operator(p_user_id);
  v_arguments constant jsonb := scheduler.api_arguments(p_door);
  v_has_author constant boolean := coalesce(v_arguments ? 'p_author', false);
  v_args constant jsonb := p_args
    || case when v_has_author then jsonb_build_object('p_author', v_operator.name) else '{}' end;
  v_answer jsonb;
begin
  if v_arguments is null or not v_arguments ?& array(select jsonb_object_keys(v_args)) then
    raise exception using errcode = '22023',
      message = format('the API has no %s with these arguments', coalesce(p_door, 'null'));
  end if;
  -- What takes an author acts, whatever the caller says.
  if (p_acts is distinct from false or v_has_author) and v_operator.role <> 'operator' then
    raise exception using errcode = 'SD207',
      message = format('%s is a viewer, and may read but not act', v_operator.name),
      hint = format('in SQL: select scheduler.add_operator(%L, ''operator'', %L, ''<why>'', ''<who>'')', p_user_id,
        v_operator.name);
  end if;
  if v_has_author and p_args ->> 'p_author' <> v_operator.name then
    raise exception using errcode = '22023', hint = 'leave author out',
      message = format('author must be who is signed in, %s', v_operator.name);
  end if;
  execute scheduler.api_call(p_door, v_arguments, v_args) into v_answer using v_args;
  return v_answer;
end;
$$;
comment on function scheduler.api_as_user(uuid, boolean, text, jsonb) is
  'Asks a door of the API for a user, who has to be listed, and as operator where it acts. The author is the user''s '
    'name. Raises SD016 for a user who is not listed, SD207 for a viewer who would act, 22023 for another author or an '
    'unknown door, and what the door raises.';

create function public.scheduler_api_as_user(p_user_id uuid, p_acts boolean, p_door text, p_args jsonb default '{}')
returns jsonb
language sql security definer set search_path = '' set statement_timeout = '7s' set lock_timeout = '5s' as $$
  select scheduler.api_as_user(p_user_id, p_acts, p_door, p_args);
$$;
comment on function public.scheduler_api_as_user(uuid, boolean, text, jsonb) is 'scheduler.api_as_user for the API.';

create function public.scheduler_api_operator(p_user_id uuid) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select jsonb_build_object('name', name, 'role', role) from scheduler.assert_operator(p_user_id);
$$;
comment on function public.scheduler_api_operator(uuid) is
  'Who that user is here, {"name", "role": viewer or operator}. Raises SD016 for a user who is not listed.';

revoke all on function public.scheduler_api_as_user(uuid, boolean, text, jsonb), public.scheduler_api_operator(uuid)
  from public, anon, authenticated;
grant execute on function public.scheduler_api_as_user(uuid, boolean, text, jsonb),
  public.scheduler_api_operator(uuid) to service_role;
