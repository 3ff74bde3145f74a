-- The API's forecasts, as the pulse made them.

create function scheduler.api_forecast(
  p_job text default null, p_cursor text default null, p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_names constant text[] := case when p_job is not null then array[(scheduler.job_named(p_job)).name] else array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101) end;
begin
  return jsonb_build_object('timestamp', p_now,
    'project', (
      select jsonb_build_object('made_at', made_at,
        'ledger', ledger || jsonb_build_object('sentence', scheduler.ledger_sentence(ledger)),
        'cost', cost || jsonb_build_object('sentence', scheduler.cost_sentence(cost)))
      from scheduler.project_forecast),
    'jobs', coalesce((
      select jsonb_agg(jsonb_build_object('job', name, 'alias', alias, 'made_at', made_at, 'days', 0, 'duration', null,
        'findings', jsonb_build_array(), 'figures', jsonb_build_object(), 'cost', null, 'error', null)
        || coalesce(forecast, '{}') order by name)
      from public.scheduler_jobs left join scheduler.job_forecasts on job_name = name
      where name = any (v_names[1:100])), '[]'),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$$;
comment on function scheduler.api_forecast(text, text, timestamptz) is
  'What is foreseen of one job (by its name or alias) or of all, 100 a page by name: each with its findings, figures '
    'and cost, and made_at (null: not yet); "project": of the ledger and the cost of all. Raises SD001 for an unknown '
    'job.';

create function public.scheduler_api_forecast(p_job text default null, p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_forecast(p_job, p_cursor);
$$;
comment on function public.scheduler_api_forecast(text, text) is 'scheduler.api_forecast by the clock of the database.';
revoke all on function public.scheduler_api_forecast(text, text) from public, anon, authenticated;
grant execute on function public.scheduler_api_forecast(text, text) to service_role;
