-- A wrong setting of the processor, the reconciler or the weekly suggestions is refused when it is written, by the
-- function that would fail over it when it is read.

create or replace function scheduler.check_batch_setting() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.key like 'weekly\_suggestions.%' then
    perform scheduler.weekly_suggestion_settings();
  elsif new.key like 'batch\_processor.%' then
    perform scheduler.batch_settings();
  else
    perform scheduler.stuck_batch_settings();
  end if;
  return null;
end;
$$;
comment on function scheduler.check_batch_setting() is
  'Refuses settings that robust-batch-processor, batch-reconciler or weekly-suggestions could not work with.';

create or replace trigger check_batch_setting after insert or update on public.app_settings
  for each row
  when (new.key in ('daily_batch.heartbeat_timeout_seconds', 'daily_batch.progress_timeout_seconds', 'daily_batch.max_resumes')
    or new.key like 'weekly\_suggestions.%' or new.key like 'batch\_processor.%')
  execute function scheduler.check_batch_setting();

revoke all on function scheduler.check_batch_setting() from public, anon, authenticated, service_role;
