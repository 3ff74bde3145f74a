-- From 0.10.0 to 0.11.0: the database knows which jobs schedules.json registered.

select scheduler.note_source('devices',
  array['aggregate-device-metrics', 'aggregate-device-metrics-daily', 'monitor-device-connections']);
