-- The weekly suggestions: which model is asked, when, and what counts as the same prompt.

create extension if not exists pg_trgm with schema extensions;
do $$
begin
  if to_regprocedure('extensions.similarity(text, text)') is null then
    raise exception using message = 'the extension pg_trgm is in another schema than extensions',
      hint = 'alter extension pg_trgm set schema extensions';
  end if;
end;
$$;

insert into public.app_settings (key, value, description) values
  ('weekly_suggestions.provider', 'null', 'the name of the batch provider whose model suggests prompts; null: nobody suggests'),
  ('weekly_suggestions.run_at', '"07:00"', 'the local time, HH:MM, on Mondays from which an organization gets suggestions'),
  ('weekly_suggestions.max_suggestions', '5', 'how many prompts are suggested to an organization in a week'),
  ('weekly_suggestions.similarity_percent', '60', 'how alike (pg_trgm, 1 to 100) two prompts are from which the later one is left out')
on conflict (key) do nothing;

create or replace function scheduler.weekly_suggestion_settings(
  out provider text, out run_at time, out max_suggestions integer, out similarity_percent integer
)
language plpgsql stable set search_path = '' as $$
declare
  v_values jsonb := (
    select coalesce(jsonb_object_agg(split_part(key, '.', 2), value), '{}')
    from public.app_settings where key like 'weekly\_suggestions.%');
  v_wrong text;
begin
  v_values := '{"provider": null, "run_at": "07:00", "max_suggestions": 5, "similarity_percent": 60}'::jsonb || v_values;
  v_wrong := case
    when jsonb_typeof(v_values -> 'provider') not in ('null', 'string')
      or not exists (select from public.batch_providers where name = v_values ->> 'provider' and enabled)
        and v_values -> 'provider' <> 'null'
      then 'provider, which must be null or the name of an enabled provider'
    when (v_values ->> 'run_at' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$') is not true then 'run_at, which must be a local time "HH:MM"'
    when (v_values ->> 'max_suggestions' ~ '^([1-9]|1[0-9]|20)$') is not true then 'max_suggestions, which must be a whole number from 1 to 20'
    when (v_values ->> 'similarity_percent' ~ '^([1-9][0-9]?|100)$') is not true then 'similarity_percent, which must be a whole number from 1 to 100'
  end;
  if v_wrong is not null then
    raise exception using errcode = '22023', message = format('cannot suggest prompts: wrong setting weekly_suggestions.%s, got %s',
        v_wrong, left((v_values -> split_part(v_wrong, ',', 1))::text, 100)),
      hint = 'update app_settings set value = … where key = …';
  end if;
  provider := v_values ->> 'provider';
  run_at := (v_values ->> 'run_at')::time;
  max_suggestions := (v_values ->> 'max_suggestions')::integer;
  similarity_percent := (v_values ->> 'similarity_percent')::integer;
end;
$$;
comment on function scheduler.weekly_suggestion_settings() is
  'The settings weekly_suggestions.<key>, their defaults where there are none. Raises 22023, naming it, for a wrong one.';

revoke all on function scheduler.weekly_suggestion_settings() from public, anon, authenticated, service_role;
