-- What is foreseen, in sentences.

create function scheduler.ms_text(p_ms numeric) returns text
language sql immutable set search_path = '' as $$
  -- A limit of 150 s is not one of 3 minutes.
  select case when p_ms < 1000 then round(p_ms) || ' ms'
    when p_ms < 600000 then trim_scale(round(p_ms / 1000, 1)) || ' s'
    when p_ms < 7200000 then trim_scale(round(p_ms / 60000, 1)) || ' minutes'
    else trim_scale(round(p_ms / 3600000, 1)) || ' hours' end;
$$;
comment on function scheduler.ms_text(numeric) is
  'How long so many milliseconds are, to a tenth of a second, a minute or an hour.';

create function scheduler.percent_text(p_share numeric) returns text
language sql immutable set search_path = '' as $$
  select trim_scale(round(p_share * 100, case when p_share < 0.01 then 3 else 1 end)) || ' %';
$$;
comment on function scheduler.percent_text(numeric) is 'A share as people say it.';

create function scheduler.between_text(p_earliest text, p_latest text) returns text
language sql immutable set search_path = '' as $$
  select case when p_earliest is null then '' when p_latest is null then format(' (%s or later)', p_earliest)
    else format(' (between %s and %s)', p_earliest, p_latest) end;
$$;
comment on function scheduler.between_text(text, text) is 'The interval of a day as a sentence has it; empty without '
  'one.';

create function scheduler.finding_sentence(p_job public.scheduler_jobs, p_finding jsonb, p_plan text) returns text
language sql stable set search_path = '' as $$
  select case p_finding ->> 'kind'
    when 'outgrows' then format(case when (p_finding ->> 'reached')::boolean
        then '%s is at %s%s%s: one run in twenty takes %s or longer%s'
        else '%s reaches %s on %s%s: one run in twenty takes %s or longer%s' end, p_job.name,
      format(case p_finding ->> 'limit' when 'timeout' then 'its timeout of %s' when 'interval' then 'its interval of '
        '%s'
        else 'the wall clock of %s of the plan ' || p_plan end, scheduler.ms_text((p_finding ->> 'limit_ms')::numeric)),
      case when not (p_finding ->> 'reached')::boolean then p_finding ->> 'on' end,
      scheduler.between_text(p_finding ->> 'earliest', p_finding ->> 'latest'),
      scheduler.ms_text((p_finding ->> 'p95_ms')::numeric),
      case when (p_finding ->> 'ms_a_day')::numeric > 0
        then format(', and %s more each day', scheduler.ms_text((p_finding ->> 'ms_a_day')::numeric)) else '' end)
    when 'failure_rate' then format('%s fails %s: %s of its runs since %s, %s before', p_job.name,
      case when (p_finding ->> 'rises')::boolean then 'more often' else 'less often' end,
      scheduler.percent_text((p_finding #>> '{now,rate}')::numeric), p_finding ->> 'since',
      scheduler.percent_text((p_finding #>> '{before,rate}')::numeric))
    when 'unusual_duration' then format('%s took %s on average at %s, where %s is usual, and %s to %s its range',
      p_job.name, scheduler.ms_text((p_finding ->> 'average_ms')::numeric),
      scheduler.local_text((p_finding ->> 'at')::timestamptz, p_job.time_zone),
      scheduler.ms_text((p_finding ->> 'usual_ms')::numeric), scheduler.ms_text((p_finding ->> 'least_ms')::numeric),
      scheduler.ms_text((p_finding ->> 'most_ms')::numeric)) end
    || format(' (by %s days)', p_finding ->> 'days');
$$;
comment on function scheduler.finding_sentence(public.scheduler_jobs, jsonb, text) is
  'A finding as a sentence; p_plan is the name of the plan that it was made with.';

create function scheduler.ledger_sentence(p_ledger jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('the ledger has %s rows and %s', p_ledger ->> 'rows', pg_size_pretty((p_ledger ->> 'bytes')::bigint))
    || case
      when p_ledger ->> 'rows_a_day' is null then format('; how it grows is said from 14 days on, %s are known',
        p_ledger ->> 'days')
      when p_ledger ->> 'held_on' is null then format('; %s rows come a day, and retention is too long to hold them',
        p_ledger ->> 'rows_a_day')
      else format('; %s rows come a day, and from %s on retention holds it at about %s rows and %s (by %s days)',
        p_ledger ->> 'rows_a_day', p_ledger ->> 'held_on', p_ledger ->> 'held_rows',
        coalesce(pg_size_pretty((p_ledger ->> 'held_bytes')::bigint), 'nothing'), p_ledger ->> 'days') end;
$$;
comment on function scheduler.ledger_sentence(jsonb) is 'What ledger_forecast found, as a sentence.';

create function scheduler.cost_sentence(p_cost jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('%s calls of edge functions and %s seconds of work in the last 30 days', calls ->> 'last_30_days',
      p_cost #>> '{wall_seconds,last_30_days}')
    || case when jsonb_typeof(calls -> 'ahead') = 'null' then '; what comes is said from 14 days on'
      else format(', %s calls%s in the next', calls #>> '{ahead,next_30_days}',
          scheduler.between_text(calls #>> '{ahead,least}', calls #>> '{ahead,most}'))
        || coalesce('; the plan ' || (p_cost ->> 'plan') || ' includes ' || (calls ->> 'included'), '')
        || coalesce(', fewer than the 30 days from ' || (calls ->> 'exceeds_on')
          || scheduler.between_text(calls ->> 'earliest', calls ->> 'latest') || ' on have', '')
        || case when p_cost ->> 'plan' is null then ''
          when jsonb_typeof(p_cost -> 'usd') = 'null' then ', and sells no more'
          when (p_cost ->> 'usd')::numeric = 0 then ''
          else format(': %s USD more', p_cost ->> 'usd') end
        || format(' (by %s days)', calls #>> '{ahead,days}') end
  from (select p_cost -> 'invocations' as calls) as parts;
$$;
comment on function scheduler.cost_sentence(jsonb) is 'What cost_forecast found, as a sentence.';
