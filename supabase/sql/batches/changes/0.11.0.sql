-- The trigger needs its function, whose body follows with the others.
create function batches.audit_schedule() returns trigger language plpgsql set search_path = '' as
  $$ begin return null; end; $$;
create trigger audit_schedule after update of time_zone, daily_run_at on public.organizations for each row
  when ((old.time_zone, old.daily_run_at) is distinct from (new.time_zone, new.daily_run_at))
  execute function batches.audit_schedule();

-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.
select scheduler.note_entry('batches',
  '{"name": "daily-batch-trigger-zones", "schedule": "*/15 * * * *", "target": "daily-batch-trigger",
    "payload": {"zones": true}, "run_if": "batches.zoned_is_due",
    "description": "Begins the daily batch of the organizations with their own zone or hour, once each local day"}');
select scheduler.note_entry('batches',
  '{"name": "robust-batch-processor", "schedule": null, "overlap_policy": "allow", "parallel_limit": 20,
    "timeout_seconds": 390,
    "description": "Sends the prompts of one batch to the model providers and keeps the answers"}');
select scheduler.note_entry('batches',
  '{"name": "weekly-suggestions", "schedule": "40 * * * *", "run_if": "batches.suggestions_are_due",
    "description": "Suggests new prompts to each organization, once a week of its own"}');
select scheduler.note_source('batches', job_name, null)
  from unnest(array['daily-batch-trigger', 'batch-reconciler', 'batch-reconciler-after-window']) as job_name;
