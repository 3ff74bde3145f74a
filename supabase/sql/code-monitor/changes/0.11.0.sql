-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('code-monitor', array['code-monitor-daemon']);
