-- Plain settings. Secrets are not among them: they are in Vault.
create table if not exists public.app_settings (
  key text primary key,
  value jsonb not null,
  description text not null default '',
  updated_at timestamptz not null default now() check (isfinite(updated_at))
);

comment on table public.app_settings is 'Plain settings, one row a key. Keys that begin with scheduler. steer the machine.';

alter table public.app_settings enable row level security;
revoke all on public.app_settings from public, anon, authenticated, service_role;
grant select on public.app_settings to service_role;

insert into public.app_settings (key, value, description) values
  ('scheduler.request_timeout_ms', '5000', 'how long pg_net waits for the answer of an edge function'),
  ('scheduler.receipt_timeout_seconds', '60', 'a dispatched run that has not begun after this is lost'),
  ('scheduler.heartbeat_seconds', '10', 'how often a running job reports'),
  ('scheduler.heartbeat_timeout_seconds', '60', 'a running job that has not reported for this long has stalled'),
  ('scheduler.deadline_grace_seconds', '15', 'how long after its deadline a run may still deliver its receipt'),
  ('scheduler.keep_successes_days', '14', 'how long completed and skipped runs stay in the ledger'),
  ('scheduler.keep_failures_days', '90', 'how long failed, missed and cancelled runs stay in the ledger'),
  ('scheduler.keep_cron_successes_days', '3', 'how long succeeded rows stay in cron.job_run_details'),
  ('scheduler.keep_cron_failures_days', '7', 'how long failed rows stay in cron.job_run_details')
on conflict (key) do nothing;

-- A wrong value is refused when it is written, not found out by a pulse at night. A later migration that adds a
-- setting disables this trigger while it inserts the row.
create or replace function scheduler.check_setting() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.key <> old.key) then
    if old.key like 'scheduler.%' then
      raise exception using errcode = '22023',
        message = format('cannot remove the setting %s: the scheduler needs it', old.key),
        hint = 'update its value instead';
    end if;
    return coalesce(new, old);
  end if;
  if new.key like 'scheduler.%' and tg_op = 'INSERT'
    and not exists (select from public.app_settings where key = new.key) then
    raise exception using errcode = '22023',
      message = format('cannot add the setting %s: the scheduler knows no such key', new.key),
      hint = 'select key, description from public.app_settings where key like ''scheduler.%''';
  end if;
  if new.key like 'scheduler.%'
    and (jsonb_typeof(new.value) <> 'number' or new.value::text !~ '^[0-9]{1,6}$' or new.value::text::integer < 1) then
    raise exception using errcode = '22023',
      message = format('cannot set %s: the value must be a whole number from 1 to 999999, got %s', new.key, new.value);
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function scheduler.check_setting() is 'Refuses settings the scheduler could not work with.';
revoke all on function scheduler.check_setting() from public, anon, authenticated, service_role;

create or replace trigger check_setting before insert or update or delete on public.app_settings
  for each row execute function scheduler.check_setting();

create or replace function scheduler.check_settings_together() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception using errcode = '22023', message = 'cannot empty app_settings: the scheduler needs its settings';
  end if;
  if scheduler.setting('heartbeat_timeout_seconds') < 2 * scheduler.setting('heartbeat_seconds') then
    raise exception using errcode = '22023',
      message = format('cannot set the heartbeat: heartbeat_timeout_seconds must be at least twice heartbeat_seconds, got %s and %s',
        scheduler.setting('heartbeat_timeout_seconds'), scheduler.setting('heartbeat_seconds')),
      hint = 'set both in one statement';
  end if;
  return null;
end;
$$;
comment on function scheduler.check_settings_together() is 'Refuses settings that cannot work together, and to lose them all.';
revoke all on function scheduler.check_settings_together() from public, anon, authenticated, service_role;

-- In plpgsql, which keeps its plan: it is asked several times for each run.
create or replace function scheduler.setting(p_key text) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return (select value::text::integer from public.app_settings where key = 'scheduler.' || p_key);
end;
$$;
comment on function scheduler.setting(text) is 'The value of the setting scheduler.<key>; the unit is in the key.';
revoke all on function scheduler.setting(text) from public, anon, authenticated, service_role;

create or replace trigger check_settings_together after insert or update on public.app_settings
  for each statement execute function scheduler.check_settings_together();
create or replace trigger keep_settings before truncate on public.app_settings
  for each statement execute function scheduler.check_settings_together();
