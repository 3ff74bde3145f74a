-- Plain settings: one row a key, defined by the pack that reads it. Secrets are not among them: they are in Vault.

create table public.scheduler_settings (
  key text primary key check (key ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$'),
  value jsonb not null,
  default_value jsonb not null,
  type text not null default 'integer'
    check (type in ('integer', 'number', 'text', 'time', 'time_zone')),
  unit text,
  least numeric not null default 1 check (least > '-Infinity' and least < 'Infinity'),
  most numeric not null default 999999 check (most > '-Infinity' and most < 'Infinity'),
  optional boolean not null default false,
  description text not null,
  pack text not null,
  on_change text check (on_change ~ '^[a-z_]+\.[a-z0-9_]+$'),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check (least <= most)
);

comment on table public.scheduler_settings is
  'Plain settings, one row a key, each defined by the pack that reads it. To change one: update its value. To have '
    'the default again: set value = default_value.';
comment on column public.scheduler_settings.value is 'What holds now; default_value when a row is inserted without it.';
comment on column public.scheduler_settings.type is
  'integer and number lie from least to most; time is a local "HH:MM".';
comment on column public.scheduler_settings.optional is
  'Whether the value may be ''null'', JSON''s null. SQL''s null is refused.';
comment on column public.scheduler_settings.pack is 'The pack that reads it, and takes the row with it when it goes.';
comment on column public.scheduler_settings.on_change is
  'A function (jsonb), called once a statement with the values that its keys had before, {"<key>": value}: it refuses '
    'what cannot work together by raising, and makes follow what depends on them.';

alter table public.scheduler_settings enable row level security;
revoke all on public.scheduler_settings from public, anon, authenticated, service_role;
grant select on public.scheduler_settings to service_role;

-- It has no side effect, so a table of cases tests it.
create function scheduler.setting_fault(p_setting public.scheduler_settings) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_value constant jsonb := p_setting.value;
  v_text constant text := v_value #>> '{}';
  v_or_null constant text := case when p_setting.optional then ', or null' else '' end;
begin
  if p_setting.optional and v_value = 'null' then
    return null;
  end if;
  if p_setting.type = 'time_zone' and jsonb_typeof(v_value) = 'string' then
    perform scheduler.assert_time_zone(v_text);
    return null;
  end if;
  return case
    when p_setting.type = 'integer' then case
      when jsonb_typeof(v_value) <> 'number' or v_text !~ '^-?[0-9]{1,15}$'
        or v_text::numeric not between p_setting.least and p_setting.most
        then format('must be a whole number from %s to %s', p_setting.least, p_setting.most) || v_or_null end
    when p_setting.type = 'number' then case
      when jsonb_typeof(v_value) <> 'number' or v_text::numeric not between p_setting.least and p_setting.most
        then format('must be a number from %s to %s', p_setting.least, p_setting.most) || v_or_null end
    when p_setting.type = 'time' then case
      when jsonb_typeof(v_value) <> 'string' or v_text !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        then 'must be a local time "HH:MM" from "00:00" to "23:59"' || v_or_null end
    when jsonb_typeof(v_value) <> 'string' or v_text !~ '\S' then 'must be a text' || v_or_null
  end;
end;
$$;
comment on function scheduler.setting_fault(public.scheduler_settings) is
  'What is wrong with a setting''s value, as the end of "the value …"; null when nothing is. Raises 22023 for a time '
    'zone that there is not.';

-- A wrong value is refused when it is written; otherwise a job would find it at night.
create function scheduler.check_setting() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_fault text;
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.key <> old.key) then
    if current_setting('daybook.removed_pack', true) = old.pack then
      return old;
    end if;
    raise exception using errcode = '22023',
      message = format('cannot remove the setting %s: the pack %s needs it', old.key, old.pack),
      hint = 'update its value instead; for the default, set value = default_value';
  end if;
  if tg_op = 'INSERT' then
    new.value := coalesce(new.value, new.default_value);
  elsif new.value is null then
    -- It could mean 'null' or the default. The wrong guess would let prune-old-rows delete what was to be kept.
    raise exception using errcode = '22023',
      message = format('cannot set %s: SQL''s null is no value', new.key),
      hint = case when new.optional then format('set value = ''null'' (%s), or ', new.description) else '' end
        || format('set value = default_value, which is %s', new.default_value);
  end if;
  v_fault := scheduler.setting_fault(new);
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot set %s: the value %s, got %s', new.key, v_fault, left(new.value::text, 100));
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function scheduler.check_setting() is
  'Trigger: refuses values that a setting''s definition does not allow, and to remove one unless its pack goes.';

create function scheduler.follow_settings() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_changed record;
begin
  for v_changed in
    select after.on_change, jsonb_object_agg(before.key, before.value) as values_before
    from settings_before as before join settings_after as after using (key)
    where after.on_change is not null and after.value <> before.value
    group by after.on_change order by after.on_change
  loop
    execute format('select %s($1)', v_changed.on_change) using v_changed.values_before;
  end loop;
  return null;
end;
$$;
comment on function scheduler.follow_settings() is
  'Trigger: tells the packs which of their settings a statement has changed, see on_change.';

create function scheduler.keep_settings() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = '22023', message = 'cannot empty scheduler_settings: the scheduler needs its '
    'settings';
end;
$$;
comment on function scheduler.keep_settings() is 'Trigger: refuses to lose all settings at once.';

create trigger check_setting before insert or update or delete on public.scheduler_settings
  for each row execute function scheduler.check_setting();
create trigger follow_settings after update on public.scheduler_settings
  referencing old table as settings_before new table as settings_after
  for each statement execute function scheduler.follow_settings();
create trigger keep_settings before truncate on public.scheduler_settings
  for each statement execute function scheduler.keep_settings();

-- In plpgsql, which keeps its plan: it is asked several times for each run.
create function scheduler.setting_value(p_key text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_value jsonb;
begin
  select value into v_value from public.scheduler_settings where key = p_key;
  if not found then
    raise exception using errcode = 'SD003', message = format('there is no setting %s', coalesce(p_key, 'null')),
      hint = 'select key, description from public.scheduler_settings';
  end if;
  return v_value;
end;
$$;
comment on function scheduler.setting_value(text) is 'The value of a setting. Raises SD003 when there is no such key.';

create function scheduler.setting(p_key text) returns integer
language plpgsql stable set search_path = '' as $$
declare
  v_value integer;
begin
  select (value #>> '{}')::integer into v_value from public.scheduler_settings where key = p_key;
  if not found then
    perform scheduler.setting_value(p_key);
  end if;
  return v_value;
end;
$$;
comment on function scheduler.setting(text) is
  'The value of a setting of type integer; the unit is in the key. Null where an optional one is null. Raises SD003 '
    'when there is no such key.';

create function scheduler.check_heartbeat_settings(p_before jsonb) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_timeout constant integer := scheduler.setting('scheduler.heartbeat_timeout_seconds');
  v_heartbeat constant integer := scheduler.setting('scheduler.heartbeat_seconds');
begin
  if p_before is not null and v_timeout < 2 * v_heartbeat then
    raise exception using errcode = '22023',
      message = format('cannot set the heartbeat: heartbeat_timeout_seconds must be at least twice heartbeat_seconds, '
        'got %s and %s',
        v_timeout, v_heartbeat),
      hint = 'set both in one statement';
  end if;
end;
$$;
comment on function scheduler.check_heartbeat_settings(jsonb) is
  'Refuses a heartbeat that could not arrive in its time.';

insert into public.scheduler_settings (pack, key, default_value, unit, on_change, description) values
  ('scheduler', 'scheduler.request_timeout_ms', '5000', 'ms', null, 'how long pg_net waits for the answer of an edge '
    'function'),
  ('scheduler', 'scheduler.receipt_timeout_seconds', '60', 's', null, 'a dispatched run that has not begun after this '
    'is lost'),
  ('scheduler', 'scheduler.heartbeat_seconds', '10', 's', 'scheduler.check_heartbeat_settings', 'how often a running '
    'job reports'),
  ('scheduler', 'scheduler.heartbeat_timeout_seconds', '60', 's', 'scheduler.check_heartbeat_settings', 'a running '
    'job that has not reported for this long has stalled'),
  ('scheduler', 'scheduler.deadline_grace_seconds', '15', 's', null, 'how long after its deadline a run may still '
    'deliver its receipt'),
  ('scheduler', 'scheduler.keep_successes_days', '14', 'days', null, 'how long completed and skipped runs stay in the '
    'ledger'),
  ('scheduler', 'scheduler.keep_failures_days', '90', 'days', null, 'how long failed, missed and cancelled runs stay '
    'in the ledger'),
  ('scheduler', 'scheduler.keep_cron_successes_days', '3', 'days', null, 'how long succeeded rows stay in '
    'cron.job_run_details'),
  ('scheduler', 'scheduler.keep_cron_failures_days', '7', 'days', null, 'how long failed rows stay in '
    'cron.job_run_details');
