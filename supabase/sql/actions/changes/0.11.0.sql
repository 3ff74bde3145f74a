-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('actions',
  '{"name": "execute-scheduled-actions", "schedule": "*/5 * * * *", "timeout_seconds": 140,
    "description": "Reminders, callbacks, edge functions and commands that are due"}');
