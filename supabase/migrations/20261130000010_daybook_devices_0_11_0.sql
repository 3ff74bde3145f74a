-- Daybook 0.11.0, pack devices. Made of supabase/sql/devices: change it there.

-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('devices',
  array['aggregate-device-metrics', 'aggregate-device-metrics-daily', 'monitor-device-connections']);

set local check_function_bodies = off;
