-- Whose week it is, and what the model is told. A week is known by its Monday's date, where the organization is; it begins
-- there at that date's time, by the rules of the daily batch: after a gap in spring, at its first showing in autumn.

-- Every hour, for all organizations: each table is read once, whatever the statistics say, and prompts only for those
-- that have not had their week.
create function batches.due_for_suggestions(p_limit integer, p_after uuid, p_now timestamptz)
returns table (organization_id uuid, week date)
language plpgsql stable set search_path = '' set jit = off set enable_nestloop = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_time_zone text := (batches.platform_clock()).time_zone;
  v_run_at time := (select run_at from batches.suggestion_settings());
begin
  return query
  with named as materialized (
    select distinct coalesce(organizations.time_zone, v_time_zone) as time_zone from public.organizations where organizations.enabled
  ),
  zones as materialized (
    select named.time_zone from named where scheduler.knows_time_zone(named.time_zone)
  ),
  weeks as materialized (
    select zones.time_zone, monday.week, to_char(monday.week, 'YYYY-MM-DD') as key,
      batches.comes_at((zones.time_zone, v_run_at)::batches.clock, monday.week) as begins_at
    from zones, lateral (
      select date_trunc('week', batches.date_at((zones.time_zone, v_run_at)::batches.clock, p_now)::timestamp)::date as week
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
  where (select true from public.prompts where prompts.organization_id = without.id and prompts.status = 'active' limit 1)
  limit p_limit;
end;
$$;
comment on function batches.due_for_suggestions(integer, uuid, timestamptz) is
  'Organizations with active prompts whose local Monday, or a later day of that week, has come and that have not had it, nor were tried in the last six hours, by id, those after p_after. A new one begins with the first Monday after it was created. Not those whose time zone this server does not know.';

create function batches.suggestions_are_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select scheduler.setting_value('weekly_suggestions.provider') <> 'null'
    and exists (select from batches.due_for_suggestions(1, null, p_at));
$$;
comment on function batches.suggestions_are_due(timestamptz) is
  'Whether a provider is set and an organization is due for its weekly suggestions.';

-- Without jit, which takes longer than the call.
create function batches.next_suggestion_requests(
  p_limit integer default 20, p_after uuid default null, p_now timestamptz default now()
) returns jsonb
language plpgsql stable set search_path = '' set jit = off as $$
declare
  v_settings record;
  v_provider jsonb;
  v_left_out jsonb;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception using errcode = '22023',
      message = format('cannot prepare suggestions: limit must be from 1 to 100, got %s', coalesce(p_limit::text, 'null'));
  end if;
  select * into v_settings from batches.suggestion_settings();
  select jsonb_build_object('name', name, 'model', model, 'api_url_variable', api_url_variable, 'api_key_variable', api_key_variable,
      'concurrency', concurrency, 'max_completion_tokens', max_completion_tokens)
    into v_provider from public.batch_providers where name = v_settings.provider;
  -- When their week begins nobody knows; that is said once, on the first page.
  select jsonb_agg(jsonb_build_object('id', id, 'name', name, 'time_zone', time_zone) order by id) into v_left_out from (
    select organizations.id, organizations.name, organizations.time_zone
    from (select distinct time_zone from public.organizations where enabled and time_zone is not null and p_after is null offset 0) as named
    join public.organizations using (time_zone)
    where organizations.enabled and not scheduler.knows_time_zone(named.time_zone)
    limit 100) as unknown;
  return jsonb_build_object(
    'provider', v_provider,
    'max_suggestions', v_settings.max_suggestions,
    'organizations', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', due.organization_id,
        'week', due.week,
        'prompts', (
          select coalesce(jsonb_agg(left(newest.text, 500)), '[]') from (
            select text from public.prompts
            where organization_id = due.organization_id and status = 'active' order by created_at desc, id limit 40) as newest),
        'not_again', (
          select coalesce(jsonb_agg(left(newest.text, 200)), '[]') from (
            select text from public.prompts
            where organization_id = due.organization_id and status in ('suggested', 'rejected') order by created_at desc, id limit 40) as newest),
        -- One answer a prompt, of the newest of the week before.
        'answers', (
          select coalesce(jsonb_agg(jsonb_build_object('prompt', left(sample.prompt, 200), 'answer', left(sample.answer, 800))), '[]') from (
            select distinct on (newest.prompt_id) prompts.text as prompt, newest.answer
            from (
              select tasks.prompt_id, tasks.answer, tasks.completed_at
              from public.batch_jobs as jobs join public.batch_tasks as tasks on tasks.job_id = jobs.id
              where jobs.organization_id = due.organization_id and jobs.batch_date > (p_now - interval '10 days')::date
                and tasks.status = 'completed' and tasks.completed_at > p_now - interval '7 days' and tasks.completed_at <= p_now
              order by tasks.completed_at desc limit 100) as newest
            join public.prompts on prompts.id = newest.prompt_id
            order by newest.prompt_id, newest.completed_at desc
            limit 20) as sample)
      ) order by due.organization_id), '[]')
      from batches.due_for_suggestions(case when v_provider is null then 0 else p_limit end, p_after, p_now) as due
    )) || case when v_left_out is null then '{}' else jsonb_build_object('left_out', v_left_out) end;
end;
$$;
comment on function batches.next_suggestion_requests(integer, uuid, timestamptz) is
  'What the model is to be asked for the organizations that are due: {"provider": how to call it, null when none is set, "max_suggestions", "organizations": [{"id", "week", "prompts", "not_again", "answers": [{"prompt", "answer"}]}]}, and on the first page "left_out": [{"id", "name", "time_zone"}] where there are some whose zone this server does not know. Bounded: at most 40 prompts, 40 suggested or rejected ones, 20 answers of the last 7 days, each cut. Raises 22023 for a wrong limit or setting.';

create function public.next_suggestion_requests(p_limit integer default 20, p_after uuid default null) returns jsonb
language sql stable security definer set search_path = '' as $$
  select batches.next_suggestion_requests(p_limit, p_after);
$$;
comment on function public.next_suggestion_requests(integer, uuid) is
  'batches.next_suggestion_requests by the clock of the database.';

revoke all on function public.next_suggestion_requests(integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.next_suggestion_requests(integer, uuid) to service_role;
