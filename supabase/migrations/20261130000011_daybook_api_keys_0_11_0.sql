-- Daybook 0.11.0, pack api-keys. Made of supabase/sql/api-keys: change it there.

-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('api-keys',
  '{"name": "api-key-health-monitor", "schedule": "15 */6 * * *",
    "description": "Whether each API key is good, for how long, and what is left of its limit"}');

set local check_function_bodies = off;
