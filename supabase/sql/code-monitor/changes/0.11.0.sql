-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('code-monitor',
  '{"name": "code-monitor-daemon", "schedule": "30 1-23/2 * * *",
    "description": "Failed Python executions by cause, a fix asked for each, the GitHub token"}');
