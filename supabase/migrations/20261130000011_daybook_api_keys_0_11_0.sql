-- Daybook 0.11.0, pack api-keys. Made of supabase/sql/api-keys: change it there.

-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('api-keys', array['api-key-health-monitor']);

set local check_function_bodies = off;
