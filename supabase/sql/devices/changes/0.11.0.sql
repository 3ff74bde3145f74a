-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('devices',
  '{"name": "aggregate-device-metrics", "schedule": "5 * * * *", "payload": {"granularity": "hour"},
    "description": "Device metrics of the past hours, per device and for the fleet"}');
select scheduler.note_entry('devices',
  '{"name": "aggregate-device-metrics-daily", "schedule": "10 0 * * *",
    "target": "aggregate-device-metrics", "payload": {"granularity": "day"},
    "description": "Device metrics of the past days, from the hours"}');
select scheduler.note_entry('devices',
  '{"name": "monitor-device-connections", "schedule": "25,40,55 * * * *",
    "description": "Ends silent connections, sets devices online and offline, hands over their commands"}');
