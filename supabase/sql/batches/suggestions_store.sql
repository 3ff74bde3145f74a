-- Suggestions are stored once a week, and none that is similar to a prompt the organization knows.

create function batches.plain_prompt(p_text text) returns text
language sql immutable set search_path = '' as $$
  select btrim(regexp_replace(lower(left(p_text, 2000)), '[\s[:punct:]]+', ' ', 'g'));
$$;
comment on function batches.plain_prompt(text) is
  'The beginning of a prompt in lower case, without punctuation and line breaks: the form in which prompts are '
    'compared. Where the database''s locale is C, pg_trgm sees ASCII letters alone; prompts in other scripts are then '
    'similar when this form is the same.';

create function batches.store_suggestions(
  p_organization_id uuid, p_week date, p_texts jsonb, p_suggested_by text, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_settings record;
  v_known text[];
  v_text text;
  v_plain text;
  v_stored integer := 0;
  v_alike integer := 0;
  v_unusable integer := 0;
begin
  if jsonb_typeof(p_texts) is distinct from 'array' or exists (select from jsonb_array_elements(p_texts) as text
    where jsonb_typeof(text) <> 'string')
    or coalesce(btrim(p_suggested_by), '') = '' then
    raise exception using errcode = '22023', message = 'cannot store suggestions: a JSON array of strings and who '
      'suggested must be given';
  end if;
  perform batches.assert_suggestion_week(p_week, p_now);
  select * into v_settings from batches.suggestion_settings();
  perform from public.organizations where id = p_organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'organization_gone', 'stored', 0, 'alike', 0, 'unusable', 0);
  end if;
  if not (scheduler.try_mark_daily_run(to_char(p_week, 'YYYY-MM-DD'), 'weekly-suggestions:' || p_organization_id,
    p_now) ->> 'updated')::boolean then
    return jsonb_build_object('outcome', 'had_already', 'stored', 0, 'alike', 0, 'unusable', 0);
  end if;

  v_known := array(select batches.plain_prompt(text) from public.prompts where organization_id = p_organization_id);
  for v_text in
    select btrim(regexp_replace(value, '\s+', ' ', 'g'))
      from jsonb_array_elements_text(p_texts) with ordinality as list (value, place) order by place
  loop
    exit when v_stored = v_settings.max_suggestions;
    v_plain := batches.plain_prompt(v_text);
    if length(v_text) not between 10 and 1000 or v_plain = '' then
      v_unusable := v_unusable + 1;
    elsif exists (
      select from unnest(v_known) as plain
      where plain = v_plain or extensions.similarity(plain, v_plain) * 100 >= v_settings.similarity_percent
    ) then
      v_alike := v_alike + 1;
    else
      insert into public.prompts (organization_id, text, status, suggested_by, created_at, updated_at)
        values (p_organization_id, v_text, 'suggested', btrim(p_suggested_by), p_now, p_now);
      v_known := v_known || v_plain;
      v_stored := v_stored + 1;
    end if;
  end loop;
  return jsonb_build_object('outcome', 'stored', 'stored', v_stored, 'alike', v_alike, 'unusable', v_unusable);
end;
$$;
comment on function batches.store_suggestions(uuid, date, jsonb, text, timestamptz) is
  'Marks the organization''s week, named by its Monday, and stores the suggestions that are not similar to a prompt '
    'that is known, suggested or rejected: {"outcome": stored | had_already | organization_gone, "stored", "alike": '
    'dropped as similar, "unusable": shorter than 10 or longer than 1,000 characters}. Raises 22023 for arguments it '
    'cannot read.';

-- Security definer, like the others here: service_role may not mark a week or write the activity log of another's run.
create function public.store_prompt_suggestions(
  p_organization_id uuid, p_week date, p_texts jsonb, p_suggested_by text
) returns jsonb
language sql security definer set search_path = '' set statement_timeout = '20s' as $$
  select batches.store_suggestions(p_organization_id, p_week, p_texts, p_suggested_by);
$$;
comment on function public.store_prompt_suggestions(uuid, date, jsonb, text) is
  'batches.store_suggestions by the clock of the database.';

create function batches.record_suggestion_failure(
  p_organization_id uuid, p_week date, p_reason text, p_now timestamptz default now()
) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_name text;
begin
  perform batches.assert_suggestion_week(p_week, p_now);
  select name into v_name from public.organizations where id = p_organization_id;
  if not found or not (
    scheduler.try_mark_daily_run(to_char(p_week, 'YYYY-MM-DD'), 'weekly-suggestions:' || p_organization_id,
      p_now) ->> 'updated')::boolean then
    return false;
  end if;
  perform scheduler.log_activity('weekly-suggestions', format('no suggestions for %s in the week of %s: %s', v_name,
    p_week, left(p_reason, 300)),
    'warning', jsonb_build_object('organization_id', p_organization_id, 'week', p_week, 'reason', left(p_reason, 300)),
      p_now);
  return true;
end;
$$;
comment on function batches.record_suggestion_failure(uuid, date, text, timestamptz) is
  'Marks the organization''s week as had, without suggestions, and says why in scheduler_activity. False when it had '
    'the week or is gone.';

create function public.record_suggestion_failure(p_organization_id uuid, p_week date, p_reason text) returns boolean
language sql security definer set search_path = '' as $$
  select batches.record_suggestion_failure(p_organization_id, p_week, p_reason);
$$;
comment on function public.record_suggestion_failure(uuid, date, text) is
  'batches.record_suggestion_failure by the clock of the database.';

create function batches.continue_suggestions(p_now timestamptz default clock_timestamp()) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform from public.scheduler_jobs where name = 'weekly-suggestions' for no key update;
  if not found or exists (select from public.scheduler_runs where job_name = 'weekly-suggestions' and status = 'queued')
    then
    return false;
  end if;
  perform scheduler.enqueue_runs('weekly-suggestions', '[{}]', null, p_now);
  return true;
end;
$$;
comment on function batches.continue_suggestions(timestamptz) is
  'Enqueues the next run of weekly-suggestions, which is sent when this one is over. False when one waits already.';

create function public.continue_weekly_suggestions() returns boolean
language sql security definer set search_path = '' as $$
  select batches.continue_suggestions();
$$;
comment on function public.continue_weekly_suggestions() is
  'batches.continue_suggestions by the clock of the database.';

revoke all on function
  public.store_prompt_suggestions(uuid, date, jsonb, text)
from public, anon, authenticated, service_role;
revoke all on function
  public.record_suggestion_failure(uuid, date, text)
from public, anon, authenticated, service_role;
revoke all on function public.continue_weekly_suggestions() from public, anon, authenticated, service_role;
grant execute on function public.store_prompt_suggestions(uuid, date, jsonb, text) to service_role;
grant execute on function public.record_suggestion_failure(uuid, date, text) to service_role;
grant execute on function public.continue_weekly_suggestions() to service_role;
