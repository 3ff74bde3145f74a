-- What a person changes of the batch's processing without a deployment.

create or replace function scheduler.batch_setting_defaults() returns table (key text, value integer, description text)
language plpgsql immutable set search_path = '' as $$
begin
  return query values
    ('call_timeout_seconds', 120, 'how long a call of a provider may take'),
    ('lease_seconds', 60, 'how long a task stays with a processor that is not heard of any more'),
    ('heartbeat_seconds', 10, 'how often a processor says that it works on a batch job, and extends its lease; at least three times in lease_seconds'),
    ('max_attempts', 10, 'how often a task is claimed at the most, should processors die over it or the wall clock cut it'),
    ('max_failures', 3, 'how many calls of a task may fail, each with its retries, before the fall-back is asked or the task fails'),
    ('retry_seconds', 30, 'how long a task waits after a failed call; doubled each time'),
    ('failures_to_open', 5, 'how many calls in a row fail before the provider is left alone (the breaker opens)'),
    ('open_seconds', 60, 'how long a provider is left alone before one call tries whether it is back'),
    ('wait_hours', 6, 'how old a batch job may become while its tasks wait for a provider; then they fail');
end;
$$;
comment on function scheduler.batch_setting_defaults() is 'The settings batch_processor.<key>, each a whole number, with the unit in its key.';

insert into public.app_settings (key, value, description)
select 'batch_processor.' || key, to_jsonb(value), description from scheduler.batch_setting_defaults()
on conflict (key) do nothing;

create or replace function scheduler.batch_settings() returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_settings jsonb;
  v_wrong text;
begin
  select jsonb_object_agg(defaults.key, coalesce(settings.value, to_jsonb(defaults.value))),
      string_agg(format('batch_processor.%s, got %s', defaults.key, left(settings.value::text, 50)), '; ')
        filter (where settings.value::text !~ '^[1-9][0-9]{0,4}$')
    into v_settings, v_wrong
    from scheduler.batch_setting_defaults() as defaults
    left join public.app_settings as settings on settings.key = 'batch_processor.' || defaults.key;
  if v_wrong is not null then
    raise exception using errcode = '22023',
      message = format('cannot process batches: a setting must be a whole number from 1 to 99999: %s', v_wrong),
      hint = 'update app_settings set value = ''60'' where key = …';
  end if;
  -- A lease must outlast a heartbeat or two that are late.
  return v_settings || jsonb_build_object('heartbeat_seconds',
    least((v_settings ->> 'heartbeat_seconds')::integer, greatest(1, (v_settings ->> 'lease_seconds')::integer / 3)));
end;
$$;
comment on function scheduler.batch_settings() is
  'The settings batch_processor.<key> as {key: whole number}, the default where there is none; heartbeat_seconds is at most a third of lease_seconds. Raises 22023, naming it, for a wrong one.';

revoke all on function scheduler.batch_setting_defaults() from public, anon, authenticated, service_role;
revoke all on function scheduler.batch_settings() from public, anon, authenticated, service_role;
