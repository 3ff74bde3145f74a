-- What comes of reading a schedule: 'read', or the SQLSTATE. What is read must be in its fields' ranges.
create function pg_temp.parse_outcome(p_schedule text) returns text language plpgsql as $$
declare
  v_parsed scheduler.parsed_schedule;
begin
  v_parsed := scheduler.parse_schedule(p_schedule);
  return case
    when v_parsed.interval_seconds between 1 and 86400 and v_parsed.minutes is null
      or v_parsed.minutes <@ array(select generate_series(0, 59)) and v_parsed.hours <@ array(select generate_series(0, 23))
      and v_parsed.days_of_month <@ array(select generate_series(1, 31)) and v_parsed.months <@ array(select generate_series(1, 12))
      and v_parsed.days_of_week <@ array(select generate_series(0, 6))
      and coalesce(v_parsed.signs_of_month <@ array(select generate_series(-30, 0) union all select generate_series(100, 131)), true)
      and coalesce(v_parsed.signs_of_week <@ array(
        select 10 * place + weekday from unnest(array[1, 2, 3, 4, 5, 9]) as place, generate_series(0, 6) as weekday), true)
      and '{}' not in (v_parsed.minutes, v_parsed.hours, v_parsed.days_of_month || v_parsed.signs_of_month, v_parsed.months,
        v_parsed.days_of_week || v_parsed.signs_of_week)
    then 'read' else 'read out of range: ' || p_schedule
  end;
exception when others then
  return sqlstate;
end;
$$;
