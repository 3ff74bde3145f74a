-- What is an alert: the rules, and what each decides from. A decision writes nothing.

create table public.scheduler_alert_rules (
  rule text primary key check (rule ~ '^[a-z][a-z0-9_]*$'),
  severity text not null check (severity in ('info', 'warning', 'critical')),
  threshold numeric not null check (threshold >= 0 and threshold < 'Infinity'),
  unit text not null,
  for_seconds integer not null default 0 check (for_seconds between 0 and 86400),
  enabled boolean not null default true,
  description text not null
);
alter table public.scheduler_alert_rules enable row level security;
revoke all on public.scheduler_alert_rules from public, anon, authenticated, service_role;
grant select on public.scheduler_alert_rules to service_role;

comment on table public.scheduler_alert_rules is
  'The rules by which something is an alert. Changed by scheduler.set_alert_rule.';
comment on column public.scheduler_alert_rules.for_seconds is
  'How long it must have lasted before it is said.';

insert into public.scheduler_alert_rules (rule, severity, threshold, unit, for_seconds, description) values
  ('failed', 'warning', 1, 'occurrences', 0, 'an occurrence failed for good: no attempt is left'),
  ('failing', 'critical', 3, 'occurrences', 0, 'so many occurrences in a row failed'),
  ('missed', 'warning', 1, 'occurrences', 0, 'nothing fired an occurrence at its time'),
  ('late', 'warning', 3600, 'seconds', 0, 'an occurrence has waited for so long to be sent'),
  ('overdue', 'critical', 600, 'seconds', 0, 'an occurrence that was due has had no row in the ledger for so long'),
  ('continuous_down', 'critical', 1, 'job', 300, 'a continuous job has no living run'),
  ('breaker_open', 'warning', 1, 'breaker', 60, 'a breaker is not closed'),
  ('budget_exhausted', 'warning', 5, 'percent', 3600, 'a budget holds less than so much of its tokens'),
  ('dependency_timeout', 'warning', 1, 'occurrences', 0, 'an occurrence was skipped, as its dependency was not there '
    'in time'),
  ('long_running', 'warning', 3, 'times', 0, 'a run lasts longer than so many times the p95 of the last 200 completed '
    'ones, and a minute'),
  ('outgrows', 'warning', 14, 'days', 0, 'a job is foreseen to reach its timeout, the wall clock or its interval '
    'within so many days'),
  ('pulse_errors', 'warning', 1, 'errors', 300, 'the pulse fails for a job or in a step'),
  ('queue_still', 'critical', 120, 'seconds', 0, 'pg_net''s queue has held requests for so long, and no answer came');

create type scheduler.alert_facts as (
  job_name text, continuous boolean, failed_in_row integer, is_retrying boolean, missed_in_row integer,
  waiting_seconds numeric, overdue_seconds numeric, is_down boolean, breaker_state text, dependency_timed_out boolean,
  running_seconds numeric, usual_seconds numeric, pulse_error text, outgrows_in_days integer
);
comment on type scheduler.alert_facts is
  'What the rules see of a job. usual_seconds: the p95 of its durations, null where too few runs have completed; '
    'outgrows_in_days: until it reaches a limit, null where none is foreseen.';

create function scheduler.job_rule_holds(p_rule text, p_threshold numeric, p_facts scheduler.alert_facts)
returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(case p_rule
    -- A continuous job fails for ever: it is down, or fails again and again.
    when 'failed' then not p_facts.continuous
      and p_facts.failed_in_row - p_facts.is_retrying::integer >= greatest(p_threshold, 1)
    when 'failing' then p_facts.failed_in_row >= greatest(p_threshold, 1)
    when 'missed' then p_facts.missed_in_row >= greatest(p_threshold, 1)
    when 'late' then p_facts.waiting_seconds > p_threshold
    when 'overdue' then p_facts.overdue_seconds > p_threshold
    when 'continuous_down' then p_facts.is_down
    when 'breaker_open' then p_facts.breaker_state in ('open', 'half-open')
    when 'dependency_timeout' then p_facts.dependency_timed_out
    when 'long_running' then p_facts.running_seconds > greatest(60, p_facts.usual_seconds * p_threshold)
      and p_facts.usual_seconds is not null
    when 'pulse_errors' then p_facts.pulse_error is not null
    when 'outgrows' then p_facts.outgrows_in_days <= p_threshold
  end, false);
end;
$$;
comment on function scheduler.job_rule_holds(text, numeric, scheduler.alert_facts) is
  'Whether the rule, with that threshold, is an alert of a job of which these facts are known. Other rules are not '
    'of a job: false.';

create function scheduler.budget_rule_holds(p_percent numeric, p_tokens integer, p_tokens_left integer)
returns boolean
language sql immutable set search_path = '' as $$
  -- A budget of fewer than 20 tokens is used up when none is left.
  select p_tokens_left < p_tokens * p_percent / 100 or p_tokens_left <= 0;
$$;
comment on function scheduler.budget_rule_holds(numeric, integer, integer) is
  'Whether a budget of so many tokens is exhausted with so many left.';

create function scheduler.still_since(
  p_still_since timestamptz, p_queued boolean, p_answered_at timestamptz, p_now timestamptz
) returns timestamptz
language sql immutable set search_path = '' as $$
  select case when p_queued then least(greatest(coalesce(p_still_since, p_now), p_answered_at), p_now) end;
$$;
comment on function scheduler.still_since(timestamptz, boolean, timestamptz, timestamptz) is
  'Since when pg_net''s queue stands still, from what was known before: null while it is empty; since the newest '
    'answer, or since requests were first seen in it.';

create function scheduler.queue_rule_holds(p_seconds numeric, p_still_since timestamptz, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(extract(epoch from p_now - p_still_since) > p_seconds, false);
$$;
comment on function scheduler.queue_rule_holds(numeric, timestamptz, timestamptz) is
  'Whether pg_net''s queue has stood still for longer than that.';

create function scheduler.is_dependency_timeout(p_skip_kind text, p_skip_reason text) returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(p_skip_kind = 'dependency' and p_skip_reason like 'dependency: % had not completed after % s', false);
$$;
comment on function scheduler.is_dependency_timeout(text, text) is
  'Whether a run was skipped because its dependency was not there in time: the reason is dependency_hold''s.';

create function scheduler.set_alert_rule(
  p_rule text, p_reason text, p_author text, p_threshold numeric default null, p_severity text default null,
  p_for_seconds integer default null, p_enabled boolean default null, p_now timestamptz default clock_timestamp()
) returns void
language plpgsql set search_path = '' as $$
declare
  v_before public.scheduler_alert_rules;
  v_after public.scheduler_alert_rules;
begin
  perform scheduler.assert_given('change the alert rule', 'reason and author',
    format('select scheduler.set_alert_rule(%L, ''why'', ''who'', p_threshold => 5)', p_rule), p_reason, p_author);
  select * into v_before from public.scheduler_alert_rules where rule = p_rule for update;
  if not found or p_threshold not between 0 and 1000000000 or p_severity not in ('info', 'warning', 'critical')
    or p_for_seconds not between 0 and 86400 then
    raise exception using errcode = '22023', message = format('cannot change the alert rule %s: %s', p_rule, case
        when v_before.rule is null then 'there is none of that name'
        when p_severity not in ('info', 'warning', 'critical') then 'severity must be info, warning or critical'
        else 'threshold must be from 0 to 1000000000, for_seconds from 0 to 86400' end),
      hint = 'select rule, description from public.scheduler_alert_rules';
  end if;
  update public.scheduler_alert_rules set threshold = coalesce(p_threshold, threshold),
      severity = coalesce(p_severity, severity), for_seconds = coalesce(p_for_seconds, for_seconds),
      enabled = coalesce(p_enabled, enabled)
    where rule = p_rule returning * into v_after;
  perform scheduler.audit('set_alert_rule', 'alert_rule', p_rule, p_reason, p_author, to_jsonb(v_before),
    to_jsonb(v_after), p_now);
end;
$$;
comment on function scheduler.set_alert_rule(text, text, text, numeric, text, integer, boolean, timestamptz) is
  'Changes what is given of a rule. Raises 22023 for an unknown rule, a value out of range, a missing reason or '
    'author.';
