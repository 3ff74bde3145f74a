-- Daybook 0.11.0, pack actions. Made of supabase/sql/actions: change it there.

-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('actions',
  '{"name": "execute-scheduled-actions", "schedule": "*/5 * * * *", "timeout_seconds": 140,
    "description": "Reminders, callbacks, edge functions and commands that are due"}');

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION actions.cancel_action(p_id uuid, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_action public.scheduled_actions;
begin
  perform scheduler.assert_given('cancel the action', 'reason and author',
    format('select cancel_scheduled_action(%L, ''why'', ''who'')', p_id), p_reason, p_author);
  select * into v_action from public.scheduled_actions where id = p_id for update;
  if v_action.id is null then
    raise exception using errcode = 'SD006', message = format('cannot cancel the action: there is none with the id %s',
      coalesce(p_id::text, 'null'));
  end if;
  if v_action.status <> 'scheduled' then
    return jsonb_build_object('cancelled', false, 'reason', format('it is over: %s', v_action.status), 'status',
      v_action.status);
  end if;
  insert into public.scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts,
    http_status, error_message, finished_at)
    values (v_action.idempotency_key, v_action.id, v_action.due_at, 'cancelled', v_action.attempts,
      v_action.last_http_status,
      scheduler.one_line(format('cancelled by %s: %s', btrim(p_author), btrim(p_reason)), 200), p_now)
    on conflict (idempotency_key) do update set
      status = excluded.status, attempts = excluded.attempts, error_message = excluded.error_message,
        finished_at = excluded.finished_at;
  update public.scheduled_actions
    set status = 'cancelled', finished_at = p_now, claim_token = null, locked_until = null
    where id = p_id;
  perform scheduler.audit('cancel_scheduled_action', 'action', p_id::text, p_reason, p_author,
    jsonb_build_object('status', v_action.status, 'due_at', v_action.due_at), null, p_now);
  return jsonb_build_object('cancelled', true, 'status', 'cancelled', 'was_being_executed',
    coalesce(v_action.locked_until > p_now, false));
end;
$function$
;
comment on function actions.cancel_action(uuid,text,text,timestamp with time zone) is 'Ends an action; a recurring one does not come again. {"cancelled", "status", "was_being_executed"}: with the last true a call was under way, and its result is no longer taken. {"cancelled": false, "reason", "status"} for one that is over. Raises SD006 for an unknown id; 22023 for a missing reason or author.';
revoke all on function actions.cancel_action(uuid,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION actions.first_occurrence(p_schedule text, p_time_zone text, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_first timestamptz;
begin
  -- Both raise 22023 with the fault and its remedy.
  perform scheduler.assert_time_zone(p_time_zone);
  v_first := scheduler.next_occurrence(p_schedule, p_time_zone, p_now);
  if scheduler.entry_needs_seconds(scheduler.compile_schedule(p_schedule, p_time_zone)) then
    raise exception using errcode = '22023',
      message = format('cannot schedule the action: p_schedule must be whole minutes, got %L', p_schedule),
      hint = 'actions are looked at every few minutes: 60 or 300 seconds can be used, or five fields';
  end if;
  if v_first is null then
    raise exception using errcode = '22023',
      message = format('cannot schedule the action: p_schedule %L never occurs', p_schedule);
  end if;
  return v_first;
end;
$function$
;
comment on function actions.first_occurrence(text,text,timestamp with time zone) is 'The first occurrence of a schedule after p_now. Raises 22023 for a schedule or a zone that cannot be read, and for a schedule without an occurrence or not of whole minutes.';
revoke all on function actions.first_occurrence(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION actions.retry_action(p_id uuid, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_action public.scheduled_actions;
begin
  perform scheduler.assert_given('retry the action', 'author',
    format('select retry_scheduled_action(%L, ''who'')', p_id), p_author);
  select * into v_action from public.scheduled_actions where id = p_id for update;
  if v_action.id is null then
    raise exception using errcode = 'SD006', message = format('cannot retry the action: there is none with the id %s',
      coalesce(p_id::text, 'null'));
  end if;
  if v_action.status <> 'dead' then
    raise exception using errcode = 'SD203',
      message = format('cannot retry the action %s: it must be dead, it is %s', p_id, v_action.status),
      hint = case v_action.status
        when 'scheduled' then format('it is tried next at %s', v_action.next_attempt_at)
        else 'schedule a new one with schedule_action' end;
  end if;
  update public.scheduled_actions
    set status = 'scheduled', finished_at = null, attempts = 0, next_attempt_at = p_now
    where id = p_id;
  perform scheduler.audit('retry_scheduled_action', 'action', p_id::text, null, p_author,
    jsonb_build_object('status', v_action.status, 'attempts', v_action.attempts), null, p_now);
  perform scheduler.log_activity('execute-scheduled-actions',
    format('more tries of action %s were asked for by %s', p_id, btrim(p_author)),
    p_details => jsonb_build_object('action_id', p_id), p_now => p_now);
  return jsonb_build_object('id', p_id, 'idempotency_key', v_action.idempotency_key, 'due_at',
    v_action.due_at, 'next_attempt_at', p_now);
end;
$function$
;
comment on function actions.retry_action(uuid,text,timestamp with time zone) is 'Gives a dead action all its tries again, from now on and under the same idempotency key. {"id", "idempotency_key", "due_at", "next_attempt_at"}. Raises SD006 for an unknown id; SD203 for an action that is not dead; 22023 for a missing author.';
revoke all on function actions.retry_action(uuid,text,timestamp with time zone) from public, anon, authenticated, service_role;
