-- Users of Supabase Auth who may ask the API, and what they may do.

-- No foreign key to auth.users: a project may have no Auth, and an id is never given to another user.
create table public.scheduler_operators (
  user_id uuid primary key,
  name text not null unique check (name ~ '\S' and name = btrim(name) and length(name) <= 200),
  role text not null check (role in ('viewer', 'operator')),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  created_by text not null check (created_by ~ '\S' and length(created_by) <= 200),
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);
alter table public.scheduler_operators enable row level security;
revoke all on public.scheduler_operators from public, anon, authenticated, service_role;
grant select on public.scheduler_operators to service_role;

comment on table public.scheduler_operators is
  'Users of Supabase Auth who may ask the API cron: a viewer reads, an operator also acts. Written by '
    'scheduler.add_operator and remove_operator; read for each call.';
comment on column public.scheduler_operators.user_id is 'The user''s id in Supabase Auth (auth.users.id).';
comment on column public.scheduler_operators.name is
  'The author of what the user does, in the audit log: an e-mail address, for example.';

create function scheduler.add_operator(
  p_user_id uuid, p_role text, p_name text, p_reason text, p_author text,
  p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_name constant text := btrim(p_name);
  v_before public.scheduler_operators;
  v_after public.scheduler_operators;
begin
  perform scheduler.assert_given('add the operator', 'name, reason and author',
    'select scheduler.add_operator(''<id of the user>'', ''viewer'', ''ann@example.com'', ''why'', ''who'')',
    p_name, p_reason, p_author);
  if p_user_id is null or p_role is null or p_role not in ('viewer', 'operator') or length(v_name) > 200 then
    raise exception using errcode = '22023',
      message = 'cannot add the operator: the user''s id must be given, role must be viewer or operator, and a name '
        'has at most 200 characters';
  end if;
  select * into v_before from public.scheduler_operators where user_id = p_user_id;
  if exists (select from public.scheduler_operators where name = v_name and user_id <> p_user_id) then
    raise exception using errcode = '22023',
      message = format('cannot add the operator: %s is the name of another one', v_name),
      hint = 'the audit log tells people by their names';
  end if;
  insert into public.scheduler_operators as operators (user_id, name, role, created_at, created_by, updated_at)
    values (p_user_id, v_name, p_role, p_now, left(btrim(p_author), 200), p_now)
    on conflict (user_id) do update set name = excluded.name, role = excluded.role, updated_at = excluded.updated_at
    returning * into v_after;
  perform scheduler.audit('add_operator', 'operator', v_name, p_reason, p_author,
    case when v_before.user_id is not null then to_jsonb(v_before) end, to_jsonb(v_after), p_now);
  return format('%s is %s.', v_name, case p_role when 'viewer' then 'a viewer' else 'an operator' end);
end;
$$;
comment on function scheduler.add_operator(uuid, text, text, text, text, timestamptz) is
  'Lists a user of Supabase Auth as viewer (reads) or operator (also acts), or changes the role and the name, which is '
    'the author of what the user does. Raises 22023 for another role, a name that another one has, a missing reason '
    'or author.';

create function scheduler.assert_operator(p_user_id uuid) returns public.scheduler_operators
language plpgsql stable set search_path = '' as $$
declare
  v_operator public.scheduler_operators;
begin
  select * into v_operator from public.scheduler_operators where user_id = p_user_id;
  if not found then
    raise exception using errcode = 'SD016',
      message = format('the user %s is not listed in scheduler_operators', coalesce(p_user_id::text, 'null')),
      hint = format('in SQL: select scheduler.add_operator(%L, ''viewer'', ''<e-mail>'', ''<why>'', ''<who>'')',
        p_user_id);
  end if;
  return v_operator;
end;
$$;
comment on function scheduler.assert_operator(uuid) is
  'The row of that user. Raises SD016, with the call that lists the user, when there is none.';

create function scheduler.remove_operator(
  p_user_id uuid, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_operator constant public.scheduler_operators := scheduler.assert_operator(p_user_id);
begin
  perform scheduler.assert_given('remove the operator', 'reason and author',
    format('select scheduler.remove_operator(%L, ''why'', ''who'')', p_user_id), p_reason, p_author);
  delete from public.scheduler_operators where user_id = p_user_id;
  perform scheduler.audit('remove_operator', 'operator', v_operator.name, p_reason, p_author, to_jsonb(v_operator),
    null, p_now);
  return format('%s may not ask any more.', v_operator.name);
end;
$$;
comment on function scheduler.remove_operator(uuid, text, text, timestamptz) is
  'Takes the rights of a user away, from the next call on. Raises SD016 for a user who is not listed; 22023 for a '
    'missing reason or author.';
