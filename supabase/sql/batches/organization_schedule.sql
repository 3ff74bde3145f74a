-- The verb by which an organization's zone and hour are changed, and the audit of each such change.

create function batches.signed_in_user() returns text
language plpgsql stable set search_path = '' as $$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  return case when v_claims ? 'sub' then coalesce(v_claims ->> 'email', v_claims ->> 'sub') end;
end;
$$;
comment on function batches.signed_in_user() is
  'The user of Supabase Auth who calls through REST: the e-mail address, else the id; null for everybody else.';

create function batches.audit_schedule() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- What set_organization_schedule was told; null for a plain update.
  v_given constant jsonb := nullif(current_setting('daybook.given', true), '')::jsonb;
  v_user constant text := batches.signed_in_user();
  v_author constant text := coalesce(v_user, v_given ->> 'author', case when v_given is null then session_user end);
begin
  if coalesce(v_author, '') !~ '\S' then
    raise exception using errcode = '22023',
      message = 'cannot change the schedule of an organization: an author must be given';
  elsif btrim(v_given ->> 'author') <> v_author then
    raise exception using errcode = '22023',
      message = format('cannot change the schedule of an organization: author must be who is signed in, %s, or null, '
        'got %s', v_author, left(v_given ->> 'author', 200));
  end if;
  perform scheduler.audit('set_organization_schedule', 'organization', new.id::text, v_given ->> 'reason', v_author,
    jsonb_build_object('time_zone', old.time_zone, 'daily_run_at', old.daily_run_at),
    jsonb_build_object('time_zone', new.time_zone, 'daily_run_at', new.daily_run_at), new.updated_at);
  return null;
end;
$$;
comment on function batches.audit_schedule() is
  'Trigger: a change of an organization''s zone or hour leaves a row in scheduler_audit, also one by a plain update: '
    'then without a reason, and by the role where nobody is signed in. Security definer: who may write an organization '
    'has no right in the private schemas.';

create trigger audit_schedule after update of time_zone, daily_run_at on public.organizations for each row
  when ((old.time_zone, old.daily_run_at) is distinct from (new.time_zone, new.daily_run_at))
  execute function batches.audit_schedule();

-- With the rights of the caller: row level security says whose organization a signed-in user may change.
create function public.set_organization_schedule(
  p_organization_id uuid, p_time_zone text, p_run_at time, p_reason text, p_author text default null
) returns text
language plpgsql set search_path = '' as $$
declare
  v_name text;
begin
  if coalesce(p_reason, '') !~ '\S' then
    raise exception using errcode = '22023',
      message = 'cannot change the schedule of an organization: a reason must be given',
      hint = 'select set_organization_schedule(''<id>'', ''Asia/Tokyo'', ''04:30'', ''why'', ''who'')';
  end if;
  perform set_config('daybook.given', jsonb_build_object('reason', p_reason, 'author', p_author)::text, true);
  update public.organizations set time_zone = p_time_zone, daily_run_at = p_run_at where id = p_organization_id
    returning name into v_name;
  perform set_config('daybook.given', '', true);
  if v_name is null then
    raise exception using errcode = 'SD008',
      message = format('cannot change the schedule of an organization: there is none with the id %s that the caller '
        'may change', coalesce(p_organization_id::text, 'null'));
  end if;
  return format('%s: the daily batch runs at %s, %s', v_name,
    coalesce(to_char(p_run_at, 'HH24:MI'), 'the platform''s hour'), coalesce(p_time_zone, 'in the platform''s zone'));
end;
$$;
comment on function public.set_organization_schedule(uuid, text, time, text, text) is
  'Changes an organization''s zone and hour (null: the platform''s), with a row in scheduler_audit, and says what they '
    'are. A signed-in user is the author. Has the rights of the caller. Raises SD008 for an organization that is '
    'unknown or not the caller''s to change; 22023 for a zone, hour, reason or author that cannot be.';
revoke all on function public.set_organization_schedule(uuid, text, time, text, text) from public, anon, authenticated;
grant execute on function public.set_organization_schedule(uuid, text, time, text, text) to service_role;
