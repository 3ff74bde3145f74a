-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('api-keys', array['api-key-health-monitor']);
