-- Settings of the processing of batches, which a person changes without a deployment.

insert into public.scheduler_settings (pack, key, default_value, unit, most, description) values
  ('batches', 'batch_processor.call_timeout_seconds', '120', 's', 99999, 'how long a call of a provider may take'),
  ('batches', 'batch_processor.lease_seconds', '60', 's', 99999,
    'how long a processor keeps its tasks after it was last heard of'),
  ('batches', 'batch_processor.heartbeat_seconds', '10', 's', 99999,
    'how often a processor says that it works on a batch job, which extends its lease; at least three times in '
    'lease_seconds'),
  ('batches', 'batch_processor.max_attempts', '10', null, 99999,
    'how many attempts a task has at most, should processors die over it or runs end during its calls'),
  ('batches', 'batch_processor.max_failures', '3', null, 99999,
    'how many calls of a task may fail, each with its retries, before the fall-back is asked or the task fails'),
  ('batches', 'batch_processor.retry_seconds', '30', 's', 99999,
    'how long a task waits after a failed call; doubled each time'),
  ('batches', 'batch_processor.failures_to_open', '5', null, 99999,
    'how many calls in a row fail before a provider''s breaker opens'),
  ('batches', 'batch_processor.open_seconds', '60', 's', 99999,
    'how long a breaker stays open, unless the provider says how long; then it is half-open, and one call tries'),
  ('batches', 'batch_processor.wait_hours', '6', 'hours', 99999,
    'how old a batch job may become while its tasks wait for a provider; then they fail');

create function batches.settings() returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_settings constant jsonb := (
    select jsonb_object_agg(split_part(key, '.', 2), value) from public.scheduler_settings
      where key like 'batch\_processor.%');
begin
  -- A lease must last longer than a heartbeat or two that are late.
  return v_settings || jsonb_build_object('heartbeat_seconds',
    least((v_settings ->> 'heartbeat_seconds')::integer, greatest(1, (v_settings ->> 'lease_seconds')::integer / 3)));
end;
$$;
comment on function batches.settings() is
  'The settings batch_processor.<key> as {key: whole number}; heartbeat_seconds is at most a third of lease_seconds.';
