-- The demo world of supabase/seed.sql goes on: run every minute while the stack runs. It touches what the seed made and
-- nothing else. What the seed shows as broken stays broken, as old as it was: the silent device 8, the agent in error.

-- Devices 1 to 7 are connected. Where their session was ended, because nothing ran for a while, they come back.
insert into public.device_connection_sessions (device_id, session_key, status, connected_at, last_heartbeat_at, app_version)
select devices.id, devices.device_fingerprint || to_char(now(), '-YYYYMMDDHH24MISS'), 'active', now(), now(), devices.app_version
from public.devices
where device_fingerprint in ('seed-1', 'seed-2', 'seed-3', 'seed-4', 'seed-5', 'seed-6', 'seed-7')
  and not exists (
    select from public.device_connection_sessions as sessions where sessions.device_id = devices.id and disconnected_at is null)
on conflict do nothing;

update public.device_connection_sessions as sessions set last_heartbeat_at = now()
from public.devices
where devices.id = sessions.device_id and disconnected_at is null
  and device_fingerprint in ('seed-1', 'seed-2', 'seed-3', 'seed-4', 'seed-5', 'seed-6', 'seed-7');

update public.devices set status = 'online', last_seen_at = now()
where device_fingerprint in ('seed-1', 'seed-2', 'seed-3', 'seed-4', 'seed-5', 'seed-6', 'seed-7');

insert into public.device_activity_log (device_id, occurred_at, activity_type)
select id, now(), case when extract(minute from now())::integer % 5 = 0 then 'telemetry' else 'heartbeat' end
from public.devices
where device_fingerprint in ('seed-1', 'seed-2', 'seed-3', 'seed-4', 'seed-5', 'seed-6', 'seed-7');

-- A command that was handed over to a connected device is done a minute later.
update public.engagement_commands as commands set status = 'completed', acknowledged_at = now(), finished_at = now()
from public.devices
where devices.id = commands.device_id and commands.status = 'sent' and sent_at < now() - interval '1 minute'
  and device_fingerprint in ('seed-1', 'seed-2', 'seed-3', 'seed-4', 'seed-5', 'seed-6', 'seed-7');

-- Device 1 charges for four hours, then the next charge begins.
update public.charging_sessions set status = 'completed', ended_at = now(), last_reading_at = now(), end_battery_percent = 96
where device_id = md5('seed device 1')::uuid and ended_at is null and started_at < now() - interval '4 hours';

insert into public.charging_sessions (device_id, status, started_at, last_reading_at, energy_wh, efficiency_percent, start_battery_percent)
select id, 'charging', now(), now(), 0, 91, 22 from public.devices
where device_fingerprint = 'seed-1'
  and not exists (select from public.charging_sessions where device_id = devices.id and ended_at is null);

update public.charging_sessions set last_reading_at = now(), energy_wh = energy_wh + 0.05
where device_id = md5('seed device 1')::uuid and ended_at is null and last_reading_at < now();

update public.pop_events_ledger set status = 'validated', validated_at = now(), validation_method = 'automatic'
where id in (select md5('seed pop ' || n || ' ' || k)::uuid from generate_series(1, 11) as n, generate_series(0, 9) as k)
  and status = 'pending' and occurred_at < now() - interval '3 hours';

update public.agents set last_heartbeat_at = now()
where id::text like 'a0000000-0000-4000-8000-%' and status in ('idle', 'busy');

-- What is open of the agents' work stays as old, and as far from due, as it was at first.
update public.tasks set
  created_at = now() - age, updated_at = now() - untouched, due_at = now() + due,
  started_at = case when status = 'in_progress' then now() - untouched end
from (values
  (101, interval '9 hours', interval '7 hours', interval '5 hours'),
  (102, interval '50 minutes', interval '8 minutes', interval '6 hours'),
  (103, interval '30 minutes', interval '12 minutes', interval '1 day'),
  (104, interval '2 hours', interval '2 hours', interval '10 hours'),
  (105, interval '1 hour', interval '1 hour', interval '20 hours'),
  (106, interval '5 hours', interval '1 hour', interval '2 days')
) as seed (number, age, untouched, due)
where tasks.id = ('b0000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid and status in ('pending', 'in_progress', 'blocked');

update public.conversations set last_user_message_at = now() - interval '40 minutes'
where id = 'c0000000-0000-4000-8000-000000000005' and status = 'open';

-- The demo's keys are made up, so no provider is asked.
update public.api_key_health set checked_at = now(), expires_at = case when expires_at is not null then now() + interval '9 days' end
where key_name = 'demo' and checked_at < now() - interval '6 hours';
