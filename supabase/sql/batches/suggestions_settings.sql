-- The weekly suggestions: which model is asked, when, and which prompts count as similar.

create extension if not exists pg_trgm with schema extensions;
do $$
begin
  if to_regprocedure('extensions.similarity(text, text)') is null then
    raise exception using message = 'the extension pg_trgm is in another schema than extensions',
      hint = 'alter extension pg_trgm set schema extensions';
  end if;
end;
$$;

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, optional, on_change,
  description) values
  ('batches', 'weekly_suggestions.provider', 'null', 'text', null, 1, 1, true, 'batches.check_suggestion_provider',
    'the name of the batch provider whose model suggests prompts; ''null'': no suggestions'),
  ('batches', 'weekly_suggestions.run_at', '"07:00"', 'time', null, 1, 1, false, null, 'the local time, HH:MM, on '
    'Mondays from which an organization gets suggestions'),
  ('batches', 'weekly_suggestions.max_suggestions', '5', 'integer', null, 1, 20, false, null, 'how many prompts are '
    'suggested to an organization in a week'),
  ('batches', 'weekly_suggestions.similarity_percent', '60', 'integer', 'percent', 1, 100, false, null, 'how alike '
    '(pg_trgm, 1 to 100) two prompts are from which the later one is left out');

create function batches.suggestion_settings(
  out provider text, out run_at time, out max_suggestions integer, out similarity_percent integer
)
language plpgsql stable set search_path = '' as $$
begin
  provider := scheduler.setting_value('weekly_suggestions.provider') #>> '{}';
  run_at := scheduler.setting_value('weekly_suggestions.run_at') #>> '{}';
  max_suggestions := scheduler.setting('weekly_suggestions.max_suggestions');
  similarity_percent := scheduler.setting('weekly_suggestions.similarity_percent');
  if provider is not null and not exists (select from public.batch_providers where name = provider and enabled) then
    raise exception using errcode = '22023',
      message = format('cannot suggest prompts: weekly_suggestions.provider must be null or the name of an enabled '
        'provider, got %s', provider),
      hint = 'update scheduler_settings set value = … where key = ''weekly_suggestions.provider''';
  end if;
end;
$$;
comment on function batches.suggestion_settings() is
  'The settings weekly_suggestions.<key>. Raises 22023 when the provider is none that is enabled.';

create function batches.check_suggestion_provider(p_before jsonb) returns void
language plpgsql stable set search_path = '' as $$
begin
  perform batches.suggestion_settings();
end;
$$;
comment on function batches.check_suggestion_provider(jsonb) is 'Refuses a provider that is not there or not enabled.';
