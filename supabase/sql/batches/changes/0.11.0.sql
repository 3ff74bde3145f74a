-- The trigger needs its function, whose body follows with the others.
create function batches.audit_schedule() returns trigger language plpgsql set search_path = '' as
  $$ begin return null; end; $$;
create trigger audit_schedule after update of time_zone, daily_run_at on public.organizations for each row
  when ((old.time_zone, old.daily_run_at) is distinct from (new.time_zone, new.daily_run_at))
  execute function batches.audit_schedule();

-- The database knows which jobs schedules.json registered.
select scheduler.note_source('batches',
  array['daily-batch-trigger-zones', 'robust-batch-processor', 'weekly-suggestions']);
select scheduler.note_source('batches',
  array['daily-batch-trigger', 'batch-reconciler', 'batch-reconciler-after-window'], p_is_entry => false);
