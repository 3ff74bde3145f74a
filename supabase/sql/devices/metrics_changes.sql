-- The triggers that add the notes: once a statement, not once a row, so that a bulk load of a million rows costs one
-- pass over them. They are security definer, so that roles that write device data need no right on the notes.
--
-- Hours are cut with date_bin at a UTC origin: date_trunc('hour', …) cuts by the session's time zone, so in India hours
-- would begin at :30. Old and new rows are joined by full joins: for another join a session may keep the plan of a
-- single row, a nested loop, and use it for twenty thousand.

create function devices.note_activity() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', clock_timestamp(), '2000-01-01 00:00+00');
begin
  if tg_op = 'INSERT' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', n.occurred_at, '2000-01-01 00:00+00') as hour from new_rows n
      where n.occurred_at < v_open_hour) h;
  elsif tg_op = 'DELETE' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', o.occurred_at, '2000-01-01 00:00+00') as hour from old_rows o
      where o.occurred_at < v_open_hour) h;
  else
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from old_rows o
    full join new_rows n on n.id = o.id and n.occurred_at = o.occurred_at
    cross join lateral (values
      (date_bin('1 hour', o.occurred_at, '2000-01-01 00:00+00')), (date_bin('1 hour', n.occurred_at, '2000-01-01 '
        '00:00+00'))
    ) h (hour)
    where (o.device_id, o.occurred_at, o.severity) is distinct from (n.device_id, n.occurred_at, n.severity)
      and h.hour < v_open_hour;
  end if;
  return null;
end
$$;
comment on function devices.note_activity() is 'Trigger: notes the hours of activity rows that changed';

create function devices.note_pop() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', clock_timestamp(), '2000-01-01 00:00+00');
begin
  if tg_op = 'INSERT' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', n.occurred_at, '2000-01-01 00:00+00') as hour from new_rows n
      where n.occurred_at < v_open_hour) h;
  elsif tg_op = 'DELETE' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', o.occurred_at, '2000-01-01 00:00+00') as hour from old_rows o
      where o.occurred_at < v_open_hour) h;
  else
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from old_rows o
    full join new_rows n on n.id = o.id
    cross join lateral (values
      (date_bin('1 hour', o.occurred_at, '2000-01-01 00:00+00')), (date_bin('1 hour', n.occurred_at, '2000-01-01 '
        '00:00+00'))
    ) h (hour)
    where (o.device_id, o.occurred_at, o.status, o.points) is distinct from (n.device_id, n.occurred_at, n.status,
      n.points)
      and h.hour < v_open_hour;
  end if;
  return null;
end
$$;
comment on function devices.note_pop() is 'Trigger: notes the hours of PoP events that changed';

create function devices.note_commands() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', clock_timestamp(), '2000-01-01 00:00+00');
begin
  if tg_op = 'INSERT' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', n.issued_at, '2000-01-01 00:00+00') as hour from new_rows n
      where n.issued_at < v_open_hour) h;
  elsif tg_op = 'DELETE' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from (select date_bin('1 hour', o.issued_at, '2000-01-01 00:00+00') as hour from old_rows o
      where o.issued_at < v_open_hour) h;
  else
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct h.hour, h.hour
    from old_rows o
    full join new_rows n on n.id = o.id
    cross join lateral (values
      (date_bin('1 hour', o.issued_at, '2000-01-01 00:00+00')), (date_bin('1 hour', n.issued_at, '2000-01-01 00:00+00'))
    ) h (hour)
    where (o.device_id, o.issued_at, o.status) is distinct from (n.device_id, n.issued_at, n.status)
      and h.hour < v_open_hour;
  end if;
  return null;
end
$$;
comment on function devices.note_commands() is 'Trigger: notes the hours of commands that changed';

-- A heartbeat only moves the end of a session: the hours between the old end and the new one change. Nearly always that
-- is the open hour, which needs no note.
create function devices.note_connections() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', clock_timestamp(), '2000-01-01 00:00+00');
begin
  if tg_op = 'INSERT' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', n.connected_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(greatest(n.connected_at, coalesce(n.disconnected_at, n.last_heartbeat_at)), v_open_hour),
        '2000-01-01 00:00+00')
    from new_rows n
    where n.connected_at < v_open_hour;
  elsif tg_op = 'DELETE' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', o.connected_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(greatest(o.connected_at, coalesce(o.disconnected_at, o.last_heartbeat_at)), v_open_hour),
        '2000-01-01 00:00+00')
    from old_rows o
    where o.connected_at < v_open_hour;
  else
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', c.from_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(c.to_at, v_open_hour), '2000-01-01 00:00+00')
    from (
      select
        case
          when o.device_id = n.device_id and o.connected_at = n.connected_at then least(o.ended_at, n.ended_at)
          else least(o.connected_at, n.connected_at)
        end as from_at,
        greatest(o.ended_at, n.ended_at) as to_at
      from (
        select r.id, r.device_id, r.connected_at, greatest(r.connected_at, coalesce(r.disconnected_at,
          r.last_heartbeat_at)) as ended_at
        from old_rows r
      ) o
      full join (
        select r.id, r.device_id, r.connected_at, greatest(r.connected_at, coalesce(r.disconnected_at,
          r.last_heartbeat_at)) as ended_at
        from new_rows r
      ) n on n.id = o.id
      where (o.device_id, o.connected_at, o.ended_at) is distinct from (n.device_id, n.connected_at, n.ended_at)
    ) c
    where c.from_at < v_open_hour;
  end if;
  return null;
end
$$;
comment on function devices.note_connections() is 'Trigger: notes the hours in which connection sessions changed';

-- Energy is shared out over the whole session, so a new reading changes each of its hours.
create function devices.note_charging() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_open_hour constant timestamptz := date_bin('1 hour', clock_timestamp(), '2000-01-01 00:00+00');
begin
  if tg_op = 'INSERT' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', n.started_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(greatest(n.started_at, coalesce(n.ended_at, n.last_reading_at)),
        v_open_hour), '2000-01-01 00:00+00')
    from new_rows n
    where n.started_at < v_open_hour;
  elsif tg_op = 'DELETE' then
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', o.started_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(greatest(o.started_at, coalesce(o.ended_at, o.last_reading_at)),
        v_open_hour), '2000-01-01 00:00+00')
    from old_rows o
    where o.started_at < v_open_hour;
  else
    insert into devices.metrics_changes (from_hour, to_hour)
    select distinct
      date_bin('1 hour', c.from_at, '2000-01-01 00:00+00'),
      date_bin('1 hour', least(c.to_at, v_open_hour), '2000-01-01 00:00+00')
    from (
      select
        least(o.started_at, n.started_at) as from_at,
        greatest(
          o.started_at, n.started_at,
          coalesce(o.ended_at, o.last_reading_at), coalesce(n.ended_at, n.last_reading_at)
        ) as to_at
      from old_rows o
      full join new_rows n on n.id = o.id
      where (o.device_id, o.started_at, o.last_reading_at, o.ended_at, o.energy_wh, o.efficiency_percent)
        is distinct from (n.device_id, n.started_at, n.last_reading_at, n.ended_at, n.energy_wh, n.efficiency_percent)
    ) c
    where c.from_at < v_open_hour;
  end if;
  return null;
end
$$;
comment on function devices.note_charging() is 'Trigger: notes the hours in which charging sessions changed';

create function devices.note_truncate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into devices.metrics_changes (from_hour, to_hour)
  select min(p.period_start), max(p.period_start)
  from devices.metrics_periods p
  where p.granularity = 'hour'
  having count(*) > 0;
  return null;
end
$$;
comment on function devices.note_truncate() is 'Trigger: notes all hours of the list, after a truncate';

-- A trigger with transition tables can have one event only.
do $$
declare
  v_table record;
begin
  for v_table in
    select * from (values
      ('device_activity_log', 'note_activity'),
      ('pop_events_ledger', 'note_pop'),
      ('engagement_commands', 'note_commands'),
      ('device_connection_sessions', 'note_connections'),
      ('charging_sessions', 'note_charging')
    ) t (table_name, function_name)
  loop
    execute format(
      'create trigger device_metrics_note_insert after insert on public.%I
         referencing new table as new_rows for each statement execute function devices.%I()',
      v_table.table_name, v_table.function_name);
    execute format(
      'create trigger device_metrics_note_update after update on public.%I
         referencing old table as old_rows new table as new_rows for each statement execute function devices.%I()',
      v_table.table_name, v_table.function_name);
    execute format(
      'create trigger device_metrics_note_delete after delete on public.%I
         referencing old table as old_rows for each statement execute function devices.%I()',
      v_table.table_name, v_table.function_name);
    execute format(
      'create trigger device_metrics_note_truncate after truncate on public.%I
         for each statement execute function devices.note_truncate()',
      v_table.table_name);
  end loop;
end
$$;
