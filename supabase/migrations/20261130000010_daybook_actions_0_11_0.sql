-- Daybook 0.11.0, pack actions. Made of supabase/sql/actions: change it there.

set local check_function_bodies = off;

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
