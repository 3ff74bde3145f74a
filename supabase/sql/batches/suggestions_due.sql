-- Which organizations are due for suggestions, and what the model is told. A week is named by its Monday's date in the
-- organization's zone. It begins when that date's time comes there, by the rules of the daily batch.

-- Every hour, for all organizations; prompts are read only for those that have not had their week.
create function batches.due_for_suggestions(p_limit integer, p_after uuid, p_now timestamptz)
returns table (organization_id uuid, week date)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  v_time_zone text := (batches.platform_clock()).time_zone;
  v_run_at time := (select run_at from batches.suggestion_settings());
begin
  return query
  with named as materialized (
    select distinct coalesce(organizations.time_zone, v_time_zone) as time_zone from public.organizations
      where organizations.enabled
  ),
  zones as materialized (
    select named.time_zone from named where scheduler.knows_time_zone(named.time_zone)
  ),
  weeks as materialized (
    select zones.time_zone, monday.week, to_char(monday.week, 'YYYY-MM-DD') as key,
      batches.comes_at((zones.time_zone, v_run_at)::batches.clock, monday.week) as begins_at
    from zones, lateral (
      select date_trunc('week', batches.date_at((zones.time_zone, v_run_at)::batches.clock, p_now)::timestamp)::date
        as week
    ) as monday
  ),
  without as materialized (
    select organizations.id, weeks.week
    from public.organizations
    join weeks on weeks.time_zone = coalesce(organizations.time_zone, v_time_zone)
    left join public.scheduler_state as state on state.scope = 'weekly-suggestions:' || organizations.id
    left join batches.suggestion_tries as last on last.organization_id = organizations.id
    where organizations.enabled and (p_after is null or organizations.id > p_after)
      and organizations.created_at < weeks.begins_at
      and (state.scope is null or state.last_daily_run_key < weeks.key)
      and (last.week is null or last.week <> weeks.week or last.tried_at <= p_now - interval '6 hours')
    order by organizations.id
  )
  select without.id, without.week from without
  where (select true from public.prompts where prompts.organization_id = without.id
    and prompts.status = 'active' limit 1)
  limit p_limit;
end;
$$;
comment on function batches.due_for_suggestions(integer, uuid, timestamptz) is
  'Organizations with active prompts that have not had their current week, and for which the model was not asked in '
    'the last six hours: by id, those after p_after. A new one begins with the first Monday after it was created. Not '
    'those whose time zone this server does not know.';

create function batches.suggestions_are_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.setting_value('weekly_suggestions.provider') <> 'null'
    and exists (select from batches.due_for_suggestions(1, null, p_at));
$$;
comment on function batches.suggestions_are_due(timestamptz) is
  'Whether a provider is set and an organization is due for its weekly suggestions.';

create function batches.newest_prompts(p_organization_id uuid, p_statuses text[], p_characters integer) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(left(text, p_characters)), '[]')
  from (
    select text from public.prompts
    where organization_id = p_organization_id and status = any (p_statuses)
    order by created_at desc, id limit 40) as newest;
$$;
comment on function batches.newest_prompts(uuid, text[], integer) is
  'The beginnings of an organization''s 40 newest prompts of these statuses.';

create function batches.newest_answers(p_organization_id uuid, p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  with newest as (
    select tasks.prompt_id, tasks.answer, tasks.completed_at
    from public.batch_jobs as jobs join public.batch_tasks as tasks on tasks.job_id = jobs.id
    where jobs.organization_id = p_organization_id and jobs.batch_date > (p_now - interval '10 days')::date
      and tasks.status = 'completed'
      and tasks.completed_at > p_now - interval '7 days' and tasks.completed_at <= p_now
    order by tasks.completed_at desc limit 100
  ), sample as (
    -- One answer for each prompt.
    select distinct on (prompt_id) text as prompt, answer
    from newest join public.prompts on prompts.id = prompt_id
    order by prompt_id, completed_at desc
    limit 20
  )
  select coalesce(jsonb_agg(jsonb_build_object('prompt', left(prompt, 200), 'answer', left(answer, 800))), '[]')
  from sample;
$$;
comment on function batches.newest_answers(uuid, timestamptz) is
  'The beginnings of the newest answer of the last 7 days to each of an organization''s prompts, 20 at most.';

create function batches.unknown_zones() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'time_zone', time_zone) order by id)
  from (
    select organizations.id, name, time_zone
    from (
      select distinct time_zone from public.organizations where enabled and time_zone is not null offset 0
    ) as zones join public.organizations using (time_zone)
    where enabled and not scheduler.knows_time_zone(zones.time_zone)
    limit 100) as unknown;
$$;
comment on function batches.unknown_zones() is
  'Enabled organizations whose time zone this server does not know, 100 at most; null when there is none.';

create function batches.next_suggestion_requests(
  p_limit integer default 20, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_settings record;
  v_provider jsonb;
  v_requests jsonb;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception using errcode = '22023',
      message = format('cannot prepare suggestions: limit must be from 1 to 100, got %s',
        coalesce(p_limit::text, 'null'));
  end if;
  select * into v_settings from batches.suggestion_settings();
  select jsonb_build_object('name', name, 'model', model, 'api_url_variable', api_url_variable,
      'api_key_variable', api_key_variable, 'concurrency', concurrency, 'max_completion_tokens', max_completion_tokens)
    into v_provider from public.batch_providers where name = v_settings.provider;
  select jsonb_agg(jsonb_build_object(
        'id', organization_id,
        'week', week,
        'prompts', batches.newest_prompts(organization_id, array['active'], 500),
        'not_again', batches.newest_prompts(organization_id, array['suggested', 'rejected'], 200),
        'answers', batches.newest_answers(organization_id, p_now)
      ) order by organization_id) into v_requests
    from batches.due_for_suggestions(case when v_provider is null then 0 else p_limit end, p_after, p_now);
  return jsonb_build_object('provider', v_provider, 'max_suggestions', v_settings.max_suggestions,
      'organizations', coalesce(v_requests, '[]'))
    -- On the first page alone, so that a run names them once.
    || case when p_after is null and batches.unknown_zones() is not null
      then jsonb_build_object('unknown_zones', batches.unknown_zones()) else '{}' end;
end;
$$;
comment on function batches.next_suggestion_requests(integer, uuid, timestamptz) is
  'What the model is to be asked for the organizations that are due: {"provider": how to call it, null when none is '
    'set, "max_suggestions", "organizations": [{"id", "week", "prompts", "not_again", "answers": [{"prompt", '
    '"answer"}]}]}, and on the first page "unknown_zones": [{"id", "name", "time_zone"}] of organizations whose zone '
    'this server does not know. At most 40 prompts, 40 suggested or rejected ones and 20 answers of the last 7 days '
    'for each, cut. Raises 22023 for a wrong limit or setting.';

create function public.next_suggestion_requests(p_limit integer default 20, p_after uuid default null) returns jsonb
language sql stable security definer set search_path = '' as $$
  select batches.next_suggestion_requests(p_limit, p_after);
$$;
comment on function public.next_suggestion_requests(integer, uuid) is
  'batches.next_suggestion_requests by the clock of the database.';

revoke all on function public.next_suggestion_requests(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.next_suggestion_requests(integer, uuid) to service_role;
