-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('ecosystem',
  '{"name": "ecosystem-monitor", "schedule": "35 11 * * *",
    "description": "Activity of the repositories, infrastructure, scores and a report of the past day"}');
