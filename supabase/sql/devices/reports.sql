-- Functions that the devices' backend calls as service_role, for a device that sends a heartbeat, asks for its commands
-- or reports on them.

-- One indexed HOT update, by the database's clock. A heartbeat does not open an ended session again.
create function devices.heartbeat(p_session_id uuid, p_now timestamptz default now()) returns boolean
language plpgsql volatile set search_path = '' as $$
begin
  update public.device_connection_sessions
  set last_heartbeat_at = greatest(last_heartbeat_at, p_now)
  where id = p_session_id and disconnected_at is null;
  return found;
end;
$$;
comment on function devices.heartbeat(uuid, timestamptz) is
  'A heartbeat of a session; false when the session has ended or is unknown: the device has to connect anew';

create function public.device_heartbeat(p_session_id uuid) returns boolean
language sql security definer set search_path = '' as $$
  select devices.heartbeat(p_session_id);
$$;
comment on function public.device_heartbeat(uuid) is
  'devices.heartbeat by the clock of the database.';

create function devices.open_commands(
  p_session_id uuid, p_limit integer default 50, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_device_id uuid;
begin
  if p_limit is null or p_limit not between 1 and 500 then
    raise exception using errcode = '22023',
      message = format('Cannot list commands: p_limit must be 1 to 500, got %s', coalesce(p_limit::text, 'null'));
  end if;
  select s.device_id into v_device_id
  from public.device_connection_sessions s
  join public.devices d on d.id = s.device_id
  where s.id = p_session_id and s.disconnected_at is null and d.status in ('online', 'offline');
  if v_device_id is null then
    return null;
  end if;
  return (
    select coalesce(jsonb_agg(to_jsonb(commands) order by commands.priority, commands.issued_at, commands.id),
      jsonb_build_array())
    from (
      select c.id, c.command_type, c.payload, c.priority, c.issued_at, c.expires_at, c.handed_over_count
      from public.engagement_commands c
      where c.device_id = v_device_id and c.status = 'sent' and c.handed_to_session_id = p_session_id
        and (c.expires_at is null or c.expires_at > p_now)
      order by c.priority, c.issued_at, c.id
      limit p_limit
    ) as commands
  );
end;
$$;
comment on function devices.open_commands(uuid, integer, timestamptz) is
  'The commands handed over to a session and not acknowledged yet, the first p_limit, as a JSON array; null when the '
    'session is over or its device is suspended or retired. The id is the idempotency key';

create function public.device_commands(p_session_id uuid, p_limit integer default 50) returns jsonb
language sql stable security definer set search_path = '' as $$
  select devices.open_commands(p_session_id, p_limit);
$$;
comment on function public.device_commands(uuid, integer) is
  'devices.open_commands by the clock of the database.';

create function devices.report_command(
  p_session_id uuid,
  p_command_id uuid,
  p_status text,
  p_result jsonb default null,
  p_error_message text default null,
  p_now timestamptz default now()
) returns text
language plpgsql volatile set search_path = '' as $$
declare
  v_status text;
begin
  if p_status is null or p_status not in ('acknowledged', 'completed', 'failed') then
    raise exception using errcode = '22023',
      message = format('Cannot report a command as %s: it must be acknowledged, completed or failed', coalesce(p_status,
        'null'));
  end if;
  -- The session may have ended by now, and a later session may have the command: it is the same device, so its report
  -- counts. A report may come twice, and changes nothing once the command is over.
  update public.engagement_commands c
  set status = p_status,
    acknowledged_at = coalesce(c.acknowledged_at, p_now),
    finished_at = case when p_status <> 'acknowledged' then p_now end,
    result = coalesce(p_result, c.result),
    error_message = coalesce(p_error_message, c.error_message)
  where c.id = p_command_id
    and c.device_id = (select s.device_id from public.device_connection_sessions s where s.id = p_session_id)
    and (c.status = 'sent' or c.status = 'acknowledged' and p_status <> 'acknowledged');

  select c.status into v_status
  from public.engagement_commands c
  where c.id = p_command_id
    and c.device_id = (select s.device_id from public.device_connection_sessions s where s.id = p_session_id);
  return v_status;
end;
$$;
comment on function devices.report_command(uuid, uuid, text, jsonb, text, timestamptz) is
  'A device acknowledges, completes or fails a command; may be repeated. Returns the status that stands, null when '
    'the session''s device has no such command';

create function public.device_report_command(
  p_session_id uuid, p_command_id uuid, p_status text, p_result jsonb default null, p_error_message text default null
) returns text
language sql security definer set search_path = '' as $$
  select devices.report_command(p_session_id, p_command_id, p_status, p_result, p_error_message);
$$;
comment on function public.device_report_command(uuid, uuid, text, jsonb, text) is
  'devices.report_command by the clock of the database.';

revoke all on function
  public.device_heartbeat(uuid),
  public.device_commands(uuid, integer),
  public.device_report_command(uuid, uuid, text, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function public.device_heartbeat(uuid), public.device_commands(uuid, integer),
  public.device_report_command(uuid, uuid, text, jsonb, text)
  to service_role;
