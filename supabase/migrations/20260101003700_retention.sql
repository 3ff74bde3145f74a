-- How long rows are kept, and their pruning in small steps. The ledger and pg_cron's log are pruned by the pulse.

-- One row a rule. A condition sees the moment as $1 and reads an index that begins with the oldest rows: a step must
-- cost what it deletes, not what it keeps. `raw`: the device metrics are made of these rows, see retention_before.
create or replace function scheduler.retention_rules()
returns table (rule text, keep_days integer, raw boolean, table_name text, condition text)
language sql immutable set search_path = '' as $$
  values
    ('device_activity_log', 90, true, 'device_activity_log', 'occurred_at < $1'),
    ('device_connection_sessions', 90, true, 'device_connection_sessions',
      'disconnected_at is not null and tstzrange(connected_at, greatest(connected_at, disconnected_at), ''[]'') << tstzrange($1, null)'),
    ('charging_sessions', 365, true, 'charging_sessions',
      'ended_at is not null and tstzrange(started_at, greatest(started_at, ended_at), ''[]'') << tstzrange($1, null)'),
    ('pop_events_ledger', 730, true, 'pop_events_ledger',
      'occurred_at < $1 and (status = ''rejected'' or paid_out_at is not null)'),
    ('engagement_commands', 90, true, 'engagement_commands',
      'issued_at < $1 and status in (''completed'', ''failed'', ''expired'', ''cancelled'')'),
    ('device_metrics_hours', 90, true, null, null),
    ('device_metrics_days', 730, true, null, null),
    ('tasks', 365, false, 'tasks', 'completed_at < $1'),
    ('conversations', 365, false, 'conversations', 'closed_at < $1'),
    ('eliza_python_executions', 90, false, 'eliza_python_executions', 'finished_at < $1'),
    ('code_fix_proposals', 365, false, 'code_fix_proposals', 'created_at < $1 and status not in (''asking'', ''pending'')'),
    ('code_failure_causes', 365, false, 'code_failure_causes',
      'last_seen_at < $1 and status <> ''ignored'' and (select count(*) from public.eliza_python_executions where cause_id = code_failure_causes.id) = 0'),
    -- With their tasks and answers, see prune_batch_jobs.
    ('batch_jobs', 730, false, null, null),
    ('ecosystem_reports', 730, false, 'ecosystem_reports', 'day < ($1 at time zone ''UTC'')::date'),
    ('ecosystem_comments', 730, false, 'ecosystem_comments', 'day < ($1 at time zone ''UTC'')::date and state = ''posted'''),
    ('system_health_history', 180, false, 'system_health_history', 'checked_at < $1'),
    ('eliza_activity_log', 180, false, 'eliza_activity_log', 'occurred_at < $1'),
    ('scheduled_action_occurrences', 180, false, 'scheduled_action_occurrences', 'finished_at < $1'),
    -- After its occurrences, of which a recurring one may have many: by the cascade all of them would go in one step. (Offset
    -- 0: one look at them an action, not a join of all.)
    ('scheduled_actions', 180, false, 'scheduled_actions',
      'finished_at < $1 and not exists (select from public.scheduled_action_occurrences where action_id = scheduled_actions.id offset 0)');
$$;
comment on function scheduler.retention_rules() is
  'What is pruned: rule, default days, whether device metrics are made of the rows, the table and which of its rows are old ($1: the moment).';

-- What a person changes without a deployment: days, or null to keep the rows for ever.
insert into public.app_settings (key, value, description)
select 'retention.' || rule || '_days', to_jsonb(keep_days),
  case rule
    when 'device_metrics_hours' then 'how long the hours of single devices stay in device_metrics_summary; null: for ever'
    when 'batch_jobs' then 'how long batch jobs that are over stay, with their tasks and answers; null: for ever'
    when 'device_metrics_days' then 'how long the days of single devices stay in device_metrics_summary; null: for ever'
    else format('how long old rows stay in %s; null: for ever', rule) end
from scheduler.retention_rules()
on conflict (key) do nothing;

create or replace function scheduler.retention_days(p_rule text) returns integer
language plpgsql stable set search_path = '' as $$
declare
  v_value jsonb;
begin
  select coalesce(settings.value, to_jsonb(rules.keep_days)) into v_value
    from scheduler.retention_rules() as rules
    left join public.app_settings as settings on settings.key = 'retention.' || rules.rule || '_days'
    where rules.rule = p_rule;
  if v_value is null then
    raise exception using errcode = '22023',
      message = format('cannot prune %s: there is no such rule', coalesce(quote_literal(p_rule), 'null')),
      hint = format('the rules are: %s', (select string_agg(rule, ', ' order by rule) from scheduler.retention_rules()));
  end if;
  if v_value = 'null' then
    return null;
  end if;
  if v_value::text !~ '^[1-9][0-9]{0,4}$' then
    raise exception using errcode = '22023',
      message = format('cannot prune by the setting retention.%s_days: it must be a whole number of days from 1 to 99999, or null for ever, got %s',
        p_rule, left(v_value::text, 50));
  end if;
  return v_value::text::integer;
end;
$$;
comment on function scheduler.retention_days(text) is
  'How many days rows of that rule are kept, null: for ever. Raises 22023 for an unknown rule and for a setting that is no number of days.';

create or replace function scheduler.retention_before(p_rule text, p_now timestamptz) returns timestamptz
language sql stable set search_path = '' as $$
  select case when rules.raw then least(kept_since, state.frozen_before) else kept_since end
  from scheduler.retention_rules() as rules, public.device_metrics_state as state,
    lateral (select p_now - make_interval(days => scheduler.retention_days(rules.rule)) as kept_since) as kept
  where rules.rule = p_rule and kept_since is not null;
$$;
comment on function scheduler.retention_before(text, timestamptz) is
  'Rows of that rule from before this moment may go; null: none. Rows that device metrics are made of stay until the figures are final.';

-- Raw rows may go when their figures are final (frozen), which they are up to the shortest of their retentions.
create or replace function scheduler.freeze_device_metrics(p_now timestamptz) returns text
language plpgsql set search_path = '' as $$
declare
  v_before timestamptz;
  v_message text;
begin
  -- Not the last three days: what devices report late still counts.
  select p_now - make_interval(days => greatest(3, days)) into v_before
    from (select min(scheduler.retention_days(rule)) as days from scheduler.retention_rules() where raw) as shortest
    where days is not null;
  -- Pruned rows leave notes of change, which the next hour's run takes; until then nothing more can be made final.
  if v_before > (select frozen_before + interval '24 hours' from public.device_metrics_state) then
    perform public.aggregate_device_metrics_freeze(v_before);
  end if;
  return null;
exception when object_not_in_prerequisite_state then
  get stacked diagnostics v_message = message_text;
  return v_message;
end;
$$;
comment on function scheduler.freeze_device_metrics(timestamptz) is
  'Makes the figures final of which raw rows are to go. Returns null, or why that cannot be done yet. Raises 22023 for a wrong setting.';

create or replace function scheduler.begin_pruning(p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_rule text;
  v_rules text[] := array[]::text[];
  v_problems jsonb := jsonb_build_object();
  v_frozen text;
begin
  for v_rule in select rule from scheduler.retention_rules() loop
    begin
      if scheduler.retention_days(v_rule) is not null then
        v_rules := v_rules || v_rule;
      end if;
    exception when invalid_parameter_value then
      v_problems := v_problems || jsonb_build_object(v_rule, sqlerrm);
    end;
  end loop;
  -- With a wrong setting among them nobody knows what may be made final.
  if not exists (select from scheduler.retention_rules() where raw and v_problems ? rule) then
    v_frozen := scheduler.freeze_device_metrics(p_now);
  end if;
  return jsonb_build_object('rules', to_jsonb(v_rules), 'problems', v_problems, 'not_frozen', v_frozen);
end;
$$;
comment on function scheduler.begin_pruning(timestamptz) is
  'Prepares pruning: {"rules": those by which rows may go, "problems": {rule: what is wrong with its setting}, "not_frozen": why raw device rows must stay for now, or null}.';

-- Both doors are security definer because service_role must not delete from the logs itself.
create or replace function public.begin_pruning() returns jsonb
language sql security definer set search_path = '' as $$
  select scheduler.begin_pruning();
$$;
comment on function public.begin_pruning() is
  'scheduler.begin_pruning by the clock of the database.';

-- A step, one transaction.
create or replace function scheduler.prune_old_rows(p_rule text, p_limit integer default 2000, p_now timestamptz default now())
returns integer
language plpgsql set search_path = '' as $$
declare
  v_rule record;
  v_before timestamptz := scheduler.retention_before(p_rule, p_now);
  v_deleted integer;
begin
  if p_limit is null or p_limit not between 1 and 100000 then
    raise exception using errcode = '22023',
      message = format('cannot prune %s: the limit must be from 1 to 100000, got %s', p_rule, coalesce(p_limit::text, 'null'));
  end if;
  if v_before is null then
    perform scheduler.retention_days(p_rule);  -- an unknown rule is an error, one that keeps all is not
    return 0;
  end if;
  if p_rule in ('device_metrics_hours', 'device_metrics_days') then
    return scheduler.prune_device_metrics(case p_rule when 'device_metrics_hours' then 'hour' else 'day' end, v_before, p_limit);
  end if;
  if p_rule = 'batch_jobs' then
    return scheduler.prune_batch_jobs(v_before, p_limit);
  end if;
  select * into strict v_rule from scheduler.retention_rules() as rules where rules.rule = p_rule;
  execute format(
    'delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where %2$s limit $2 for update skip locked))',
    v_rule.table_name, v_rule.condition)
    using v_before, p_limit;
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function scheduler.prune_old_rows(text, integer, timestamptz) is
  'Deletes at most p_limit old rows by that rule and returns how many; fewer than p_limit means that no more are left (or locked by others). Raises 22023 for an unknown rule, a wrong setting or limit.';

create or replace function public.prune_old_rows(p_rule text, p_limit integer default 2000) returns integer
language sql security definer set search_path = '' as $$
  select scheduler.prune_old_rows(p_rule, p_limit);
$$;
comment on function public.prune_old_rows(text, integer) is
  'scheduler.prune_old_rows by the clock of the database.';

-- By period, oldest first, along the list of periods: the fleet's rows and the other granularity lie between them and
-- are kept. A period leaves the list when its last device row has gone; it is frozen, so it is never computed again.
create or replace function scheduler.prune_device_metrics(p_granularity text, p_before timestamptz, p_limit integer) returns integer
language plpgsql set search_path = '' as $$
declare
  v_period timestamptz;
  v_count integer;
  v_deleted integer := 0;
begin
  while v_deleted < p_limit loop
    select period_start into v_period from public.device_metrics_periods
      where granularity = p_granularity and not pending and period_start <= p_before - case p_granularity when 'day' then interval '24 hours' else interval '1 hour' end
      order by period_start limit 1
      for update skip locked;
    exit when not found;
    delete from public.device_metrics_summary where ctid = any (array(
      select ctid from public.device_metrics_summary
      where period_start = v_period and granularity = p_granularity and device_id is not null
      limit p_limit - v_deleted));
    get diagnostics v_count = row_count;
    v_deleted := v_deleted + v_count;
    exit when v_deleted >= p_limit;
    delete from public.device_metrics_periods where granularity = p_granularity and period_start = v_period;
    v_deleted := v_deleted + 1;
  end loop;
  return v_deleted;
end;
$$;
comment on function scheduler.prune_device_metrics(text, timestamptz, integer) is
  'Deletes rows of single devices from the oldest hours or days of device_metrics_summary, and those periods from the list; the fleet''s rows stay. Returns how many rows of both.';

-- The oldest job first, its tasks, which hold the answers, before itself: a job can have more than a step may delete.
create or replace function scheduler.prune_batch_jobs(p_before timestamptz, p_limit integer) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job_id uuid;
  v_count integer;
  v_deleted integer := 0;
begin
  -- One reading of the index: looked for anew each time, the next would lie behind all that have just gone.
  for v_job_id in
    select id from public.batch_jobs where completed_at < p_before order by completed_at limit p_limit for update skip locked
  loop
    delete from public.batch_tasks where ctid = any (array(
      select ctid from public.batch_tasks where job_id = v_job_id limit p_limit - v_deleted));
    get diagnostics v_count = row_count;
    v_deleted := v_deleted + v_count;
    exit when v_deleted >= p_limit;
    delete from public.batch_jobs where id = v_job_id;
    v_deleted := v_deleted + 1;
  end loop;
  return v_deleted;
end;
$$;
comment on function scheduler.prune_batch_jobs(timestamptz, integer) is
  'Deletes the oldest batch jobs that are over, with their tasks and answers; returns how many rows of jobs and tasks.';

revoke all on function scheduler.retention_rules() from public, anon, authenticated, service_role;
revoke all on function scheduler.retention_days(text) from public, anon, authenticated, service_role;
revoke all on function scheduler.retention_before(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.freeze_device_metrics(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.prune_device_metrics(text, timestamptz, integer) from public, anon, authenticated, service_role;
revoke all on function scheduler.prune_batch_jobs(timestamptz, integer) from public, anon, authenticated, service_role;
revoke all on function scheduler.begin_pruning(timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.begin_pruning() from public, anon, authenticated, service_role;
revoke all on function scheduler.prune_old_rows(text, integer, timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.prune_old_rows(text, integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_pruning() to service_role;
grant execute on function public.prune_old_rows(text, integer) to service_role;
