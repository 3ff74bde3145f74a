-- Times that others report: clients, people, workers. Their clocks run fast, or were never set and say 1970. Whatever
-- is written has happened by then, so no reported time is later than the moment at which it is written, nothing ends
-- before it starts, and what has just begun did not begin before there was such a clock. A trigger keeps that: a row
-- is never refused for a bad clock, it is set right as it is written, and all that read it need not look again.

create table scheduler.odd_times (
  id bigint generated always as identity primary key,
  table_name text not null,
  row_id text not null,
  column_name text not null,
  reported timestamptz not null check (isfinite(reported)),
  written_at timestamptz not null default clock_timestamp() check (isfinite(written_at))
);
alter table scheduler.odd_times enable row level security;
revoke all on scheduler.odd_times from public, anon, authenticated, service_role;
revoke all on sequence scheduler.odd_times_id_seq from public, anon, authenticated, service_role;
comment on table scheduler.odd_times is
  'Reported times that were impossible by more than an hour and were corrected as they were written. Only added by '
    'writers, so that writers never wait for each other, and taken by take_odd_times, which names them.';

-- Called only for a row with such a time, see bound_times. Security definer: who may write the row has no right here.
create function scheduler.set_times_right() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_row constant jsonb := to_jsonb(new);
  v_start_column constant text := tg_argv[0];
  v_longest constant interval := nullif(tg_argv[1], '')::interval;
  v_now constant timestamptz := clock_timestamp();
  v_right jsonb;
  v_start timestamptz;
begin
  -- The column's own check refuses an infinity by name.
  if exists (select from unnest(tg_argv[2:]) as name where not isfinite((v_row ->> name)::timestamptz)) then
    return new;
  end if;
  if v_start_column <> '' then
    v_start := (v_row ->> v_start_column)::timestamptz;
    -- A session that began with a clock that was not set began when it is first heard of.
    if v_longest is not null and v_start < timestamptz '2020-01-01 00:00+00' then
      select min(least(at, v_now)) into v_start
        from unnest(tg_argv[2:]) as name, lateral (select (v_row ->> name)::timestamptz as at) as reported
        where at >= timestamptz '2020-01-01 00:00+00';
    end if;
    v_start := least(coalesce(v_start, v_now), v_now);
  end if;
  select jsonb_object_agg(name, case when name = v_start_column then v_start
      else greatest(v_start, least((v_row ->> name)::timestamptz, v_start + v_longest, v_now)) end)
    into v_right
    from unnest(tg_argv[2:]) as name where v_row ->> name is not null;
  insert into scheduler.odd_times (table_name, row_id, column_name, reported)
    select tg_table_name, v_row ->> 'id', name, reported
    from (select name, (v_row ->> name)::timestamptz as reported, value::timestamptz as kept
      from jsonb_each_text(v_right) as times (name, value)) as times
    where reported not between kept - interval '1 hour' and kept + interval '1 hour';
  return jsonb_populate_record(new, v_right);
end;
$$;
comment on function scheduler.set_times_right() is
  'Trigger: brings a row''s times back to the moment at which it is written and not before its start; see bound_times.';

create function scheduler.bound_times(p_table regclass, p_columns text[], p_start text default '',
  p_longest interval default null)
returns void
language plpgsql set search_path = '' as $$
declare
  v_new constant text[] := array(select format('new.%I', name) from unnest(p_columns) as name);
  v_others constant text := (select string_agg(format('new.%I', name), ', ') from unnest(p_columns) as name
    where name <> p_start);
  v_odd text := format('greatest(%s) > clock_timestamp()', array_to_string(v_new, ', '));
begin
  if p_start <> '' and v_others is not null then
    v_odd := v_odd || format(' or least(%s) < new.%I', v_others, p_start);
  end if;
  if p_longest is not null then
    -- In hours, which are added without a look at a time zone; not to a start that is so late that there is no sum.
    v_odd := format('case when %1$s or new.%2$I < timestamptz ''2020-01-01 00:00+00'' then true
      else greatest(%3$s) > new.%2$I + interval ''%4$s hours'' end',
      v_odd, p_start, v_others, extract(epoch from p_longest)::integer / 3600);
  end if;
  execute format('create trigger set_times_right before insert or update on %s for each row when (%s) execute '
    'function scheduler.set_times_right(%s)',
    p_table, v_odd,
    (select string_agg(quote_literal(argument), ', ') from unnest(array[p_start,
      coalesce(p_longest::text, '')] || p_columns) as argument));
end;
$$;
comment on function scheduler.bound_times(regclass, text[], text, interval) is
  'Has reported times of a table set right as rows are written: none later than now, none before the column p_start, '
    'none later than p_longest after it; a p_start of before 2020, with p_longest, counts from when the row is first '
    'heard of. A row whose times can be costs three comparisons.';

create function scheduler.take_odd_times(p_limit integer default 100000) returns integer
language plpgsql set search_path = '' as $$
declare
  v_taken integer;
  v_where text;
  v_rows jsonb;
begin
  with taken as (
    delete from scheduler.odd_times
    where id in (select id from scheduler.odd_times order by id limit p_limit)
    returning *
  ), counted as (
    select table_name || '.' || column_name as name, count(*) as number from taken group by 1
  )
  select (select count(*) from taken), (select string_agg(format('%s %s', number, name), ', ' order by number desc,
    name) from counted),
    (select jsonb_agg(jsonb_build_object('table', table_name, 'id', row_id, 'column', column_name, 'reported', reported)
      order by id)
      from (select * from taken order by id limit 20) as first)
    into v_taken, v_where, v_rows;
  if v_taken > 0 then
    perform scheduler.log_activity('reported-times', format('impossible times were corrected as they were '
      'written: %s', v_where),
      'warning', jsonb_build_object('rows', v_rows));
  end if;
  return v_taken;
end;
$$;
comment on function scheduler.take_odd_times(integer) is
  'Names in one line of scheduler_activity what was set right since the last call, the first 20 rows in its details; '
    'returns how many times that were.';
