-- Daybook 0.11.0, pack ecosystem. Made of supabase/sql/ecosystem: change it there.

-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('ecosystem', array['ecosystem-monitor']);

set local check_function_bodies = off;
