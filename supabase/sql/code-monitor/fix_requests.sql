-- Asking a model for a fix. code-monitor-daemon claims a cause and calls autonomous-code-fixer, which begins the fix
-- (and so reserves tokens and money), asks the model, and records the answer. Locks are taken in this order: the
-- budget's lock, the cause, its proposals. Only expire_fixes locks proposals first: it skips locked rows, and
-- record_fix does not wait for it.

create function code_monitor.expire_fixes(p_now timestamptz default now()) returns integer
language sql volatile set search_path = '' as $$
  with gone as (
    update public.code_fix_proposals p
      -- The model may have been asked: the reserve counts for its day.
      set status = 'failed', error_message = 'whoever asked the model did not come back', answered_at = p_now,
        usage_unknown = true
      -- Proposals that are being recorded now are locked and skipped.
      where p.id in (
        select g.id from public.code_fix_proposals g
        where g.status = 'asking' and g.asked_until <= p_now for update skip locked)
      returning p.id
  )
  select count(*)::integer from gone;
$$;
comment on function code_monitor.expire_fixes(timestamptz) is
  'Ends questions to the model whose time is up. Returns how many. Their reserves count as used.';

create function code_monitor.claim_fix(p_not_since timestamptz, p_now timestamptz default now()) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_fixes_per_cause constant numeric := scheduler.setting('code_monitor.fixes_per_cause');
  v_cause public.code_failure_causes;
begin
  perform code_monitor.expire_fixes(p_now);
  select c.* into v_cause
  from public.code_failure_causes c
  where c.status = 'open' and c.fix_requests < v_fixes_per_cause
    and (c.fix_claimed_until is null or c.fix_claimed_until <= p_now)
    and (c.last_fix_requested_at is null or c.last_fix_requested_at < p_not_since)
    and exists (select from public.eliza_python_executions e where e.cause_id = c.id)
  order by c.fix_requests, c.last_seen_at desc, c.id
  limit 1
  for no key update skip locked;
  if not found then
    return jsonb_build_object('claimed', false);
  end if;
  update public.code_failure_causes c set
    fix_requests = c.fix_requests + 1, last_fix_requested_at = p_now,
    fix_request_id = gen_random_uuid(), fix_claimed_until = p_now + interval '5 minutes'
  where c.id = v_cause.id
  returning c.* into v_cause;
  return jsonb_build_object('claimed', true, 'cause_id', v_cause.id, 'request_id', v_cause.fix_request_id,
    'error_type', v_cause.error_type, 'attempt', v_cause.fix_requests);
end;
$$;
comment on function code_monitor.claim_fix(timestamptz, timestamptz) is
  'Claims the open cause that most needs a fix and was not asked for since p_not_since, counts the request, and '
    'holds the cause for it for five minutes: {"claimed": true, "cause_id", "request_id", "error_type", "attempt"} or '
    '{"claimed": false}.';

create function public.claim_code_fix(p_not_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.claim_fix(p_not_since);
$$;
comment on function public.claim_code_fix(timestamptz) is
  'code_monitor.claim_fix by the clock of the database.';

create function public.release_code_fix(p_cause_id bigint, p_request_id uuid, p_counts boolean) returns boolean
language sql volatile set search_path = '' as $$
  with released as (
    update public.code_failure_causes c set
      fix_request_id = null, fix_claimed_until = null,
      fix_requests = case when p_counts then c.fix_requests else greatest(c.fix_requests - 1, 0) end
    where c.id = p_cause_id and c.fix_request_id = p_request_id
    returning c.id
  )
  select exists (select from released);
$$;
comment on function public.release_code_fix(bigint, uuid, boolean) is
  'Gives a claim back; p_counts false: the model was not asked, so the request is not counted. False when the claim '
    'has ended.';

create function public.read_code_failure(p_cause_id bigint) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'cause', jsonb_build_object('id', c.id, 'status', c.status, 'error_type', c.error_type,
      'normalized_traceback', c.normalized_traceback, 'occurrences', c.occurrences),
    -- The latest execution, bounded: a model does not read more.
    'execution', (
      select jsonb_build_object('id', e.id, 'purpose', left(e.purpose, 2000), 'code', left(e.code, 200000),
        'traceback', right(e.traceback, 20000), 'stderr', right(e.stderr, 20000))
      from public.eliza_python_executions e
      where e.cause_id = c.id order by e.finished_at desc, e.id limit 1),
    'earlier', coalesce((
      select jsonb_agg(jsonb_build_object('diff', left(t.diff, 8000), 'outcome', t.status, 'reason',
        left(t.decision_reason, 1000)) order by t.id)
      from (
        select p.id, p.diff, p.status, p.decision_reason from public.code_fix_proposals p
        where p.cause_id = c.id and p.status in ('accepted', 'rejected')
        order by p.id desc limit 2
      ) as t), '[]'::jsonb))
  from public.code_failure_causes c
  where c.id = p_cause_id;
$$;
comment on function public.read_code_failure(bigint) is
  'The facts of a cause for the model: {"cause", "execution" (the latest that failed of it, or null), "earlier" (the '
    'last two decided proposals)}; null when there is no such cause.';

create type code_monitor.spending as (tokens numeric, cost_usd numeric);
comment on type code_monitor.spending is 'Tokens of a model and what they cost in US dollars.';

create function code_monitor.spent_on(p_day timestamptz) returns code_monitor.spending
language sql stable set search_path = '' as $$
  -- A question without an answer counts with what it may cost.
  select coalesce(sum(case when p.status = 'asking' or p.usage_unknown then p.reserved_tokens
      else coalesce(p.prompt_tokens, 0) + coalesce(p.completion_tokens, 0) end), 0),
    coalesce(sum(case when p.status = 'asking' or p.usage_unknown then coalesce(p.reserved_cost_usd, 0)
      else coalesce(p.cost_usd, 0) end), 0)
  from public.code_fix_proposals p
  where p.created_at >= p_day and p.created_at < p_day + interval '24 hours';
$$;
comment on function code_monitor.spent_on(timestamptz) is
  'What the questions of the UTC day that begins at p_day cost, or may cost.';

create function code_monitor.budget_refusal(
  p_spent code_monitor.spending, p_needed code_monitor.spending, p_cap code_monitor.spending
) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when p_spent.tokens + p_needed.tokens > p_cap.tokens then
      jsonb_build_object('begun', false, 'reason', 'daily_cap', 'setting', 'code_fixer.daily_tokens',
        'used', p_spent.tokens, 'needed', p_needed.tokens, 'cap', p_cap.tokens)
    when p_spent.cost_usd + coalesce(p_needed.cost_usd, 0) > p_cap.cost_usd then
      jsonb_build_object('begun', false, 'reason', 'daily_cap', 'setting', 'code_fixer.daily_cost_usd',
        'used', p_spent.cost_usd, 'needed', p_needed.cost_usd, 'cap', p_cap.cost_usd)
  end;
$$;
comment on function code_monitor.budget_refusal(code_monitor.spending, code_monitor.spending, code_monitor.spending) is
  'The refusal of a fix that would go beyond a cap of the day; null when there is room for it.';

create function code_monitor.holds_claim(p_cause public.code_failure_causes, p_request_id uuid, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(p_cause.fix_claimed_until > p_now and p_cause.fix_request_id = p_request_id, false);
$$;
comment on function code_monitor.holds_claim(public.code_failure_causes, uuid, timestamptz) is
  'Whether the request has the claim on the cause now.';

create function code_monitor.cause_refusal(
  p_cause public.code_failure_causes, p_request_id uuid, p_is_asked boolean, p_cap numeric, p_now timestamptz
) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when p_cause.id is null then jsonb_build_object('begun', false, 'reason', 'unknown_cause')
    when p_cause.status <> 'open' then
      jsonb_build_object('begun', false, 'reason', 'not_open', 'status', p_cause.status)
    when p_is_asked or p_cause.fix_claimed_until > p_now and not holds_claim then
      jsonb_build_object('begun', false, 'reason', 'asked_already')
    when p_cause.fix_requests >= p_cap and not holds_claim then
      jsonb_build_object('begun', false, 'reason', 'cause_cap', 'fix_requests', p_cause.fix_requests)
  end
  from code_monitor.holds_claim(p_cause, p_request_id, p_now) as holds_claim;
$$;
comment on function code_monitor.cause_refusal(public.code_failure_causes, uuid, boolean, numeric, timestamptz) is
  'The refusal of a fix because of its cause; null when the request may go on. p_is_asked: a proposal has this request '
    'already, or one of this cause is being asked for or waits. p_cap: how many requests a cause may have. A request '
    'that holds the claim was counted against it then.';

create function code_monitor.begin_fix(
  p_cause_id bigint, p_request_id uuid, p_execution_id uuid, p_model text,
  p_reserved_tokens integer, p_reserved_cost_usd numeric, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  c_time_to_answer constant interval := interval '5 minutes';
  v_cause public.code_failure_causes;
  v_request_id uuid := coalesce(p_request_id, gen_random_uuid());
  v_refusal jsonb;
  v_proposal_id bigint;
begin
  -- NaN is greater than any cap, and would stay in the sum until the end of the day.
  if p_reserved_tokens is null or p_reserved_tokens < 0 or p_reserved_cost_usd not between 0 and 1000000 then
    raise exception using errcode = '22023', message = format(
      'cannot begin a fix: p_reserved_tokens must be a number from 0 on and p_reserved_cost_usd null or from 0 to '
        '1000000, got %s and %s',
      coalesce(p_reserved_tokens::text, 'null'), coalesce(p_reserved_cost_usd::text, 'null'));
  end if;
  -- Fixes begin one at a time: two at once could both find the last tokens of the day.
  perform pg_advisory_xact_lock(-7033000001);
  perform code_monitor.expire_fixes(p_now);

  select c.* into v_cause from public.code_failure_causes c where c.id = p_cause_id for no key update;
  v_refusal := coalesce(
    code_monitor.cause_refusal(v_cause, p_request_id,
      exists (select from public.code_fix_proposals p
        where p.request_id = v_request_id or (p.cause_id = p_cause_id and p.status in ('asking', 'pending'))),
      scheduler.setting('code_monitor.fixes_per_cause'), p_now),
    code_monitor.budget_refusal(code_monitor.spent_on(date_trunc('day', p_now, 'UTC')),
      (p_reserved_tokens, p_reserved_cost_usd)::code_monitor.spending,
      (scheduler.setting('code_fixer.daily_tokens'), scheduler.setting_value('code_fixer.daily_cost_usd')::numeric)
        ::code_monitor.spending));
  if v_refusal is not null then
    return v_refusal;
  end if;

  insert into public.code_fix_proposals (
    cause_id, execution_id, request_id, model, reserved_tokens, reserved_cost_usd, created_at, asked_until
  ) values (
    p_cause_id, p_execution_id, v_request_id, p_model, p_reserved_tokens, p_reserved_cost_usd, p_now,
      p_now + c_time_to_answer
  ) returning id into v_proposal_id;
  update public.code_failure_causes c set
    fix_requests = c.fix_requests + (not code_monitor.holds_claim(v_cause, p_request_id, p_now))::integer,
    last_fix_requested_at = p_now, fix_request_id = v_request_id, fix_claimed_until = p_now + c_time_to_answer
  where c.id = p_cause_id;
  return jsonb_build_object('begun', true, 'proposal_id', v_proposal_id);
end;
$$;
comment on function code_monitor.begin_fix(bigint, uuid, uuid, text, integer, numeric, timestamptz) is
  'Before the model is asked: reserves tokens and cost within the day''s caps. {"begun": true, "proposal_id"}, or '
    '{"begun": false, "reason"}: unknown_cause, not_open, asked_already, cause_cap, daily_cap. p_request_id: the '
    'claim, null for a person''s own call, which then counts by itself.';

create function public.begin_code_fix(
  p_cause_id bigint, p_request_id uuid, p_execution_id uuid, p_model text, p_reserved_tokens integer,
  p_reserved_cost_usd numeric
) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.begin_fix(p_cause_id, p_request_id, p_execution_id, p_model, p_reserved_tokens,
    p_reserved_cost_usd);
$$;
comment on function public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric) is
  'code_monitor.begin_fix by the clock of the database.';

create function code_monitor.record_fix(
  p_proposal_id bigint,
  p_diff text, p_reasoning text, p_confidence numeric,
  p_error text,
  p_prompt_tokens integer, p_completion_tokens integer, p_cost_usd numeric, p_usage_unknown boolean,
  p_counts boolean default true, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_cause public.code_failure_causes;
  v_proposal public.code_fix_proposals;
  v_status text;
  v_wrong constant text := case
    when p_confidence not between 0 and 1 then format('p_confidence must be from 0 to 1, got %s', p_confidence)
    when p_prompt_tokens < 0 then format('p_prompt_tokens must be a number from 0 on, got %s', p_prompt_tokens)
    when p_completion_tokens < 0 then format('p_completion_tokens must be a number from 0 on, got %s',
      p_completion_tokens)
    when p_cost_usd not between 0 and 1000000 then format('p_cost_usd must be from 0 to 1000000, got %s', p_cost_usd)
  end;
begin
  if v_wrong is not null then
    raise exception using errcode = '22023', message = 'cannot record a fix: ' || v_wrong;
  end if;
  select c.* into v_cause from public.code_failure_causes c
    where c.id = (select p.cause_id from public.code_fix_proposals p where p.id = p_proposal_id) for no key update;
  -- Not waited for: expire_fixes locks proposals before causes. A proposal that it has locked is over.
  select p.* into v_proposal from public.code_fix_proposals p where p.id = p_proposal_id for update skip locked;
  if v_proposal.id is null or v_proposal.status <> 'asking' then
    return jsonb_build_object('recorded', false,
      'reason', coalesce('it is ' || v_proposal.status, 'there is no such proposal, or it is being ended'));
  end if;
  -- A person may have closed the cause meanwhile.
  v_status := case when p_error is not null then 'failed' when v_cause.status = 'open' then 'pending'
    else 'superseded' end;
  update public.code_fix_proposals p set
    status = v_status, diff = p_diff, reasoning = p_reasoning, confidence = p_confidence, error_message = p_error,
    prompt_tokens = p_prompt_tokens, completion_tokens = p_completion_tokens, cost_usd = p_cost_usd,
    usage_unknown = p_usage_unknown, answered_at = p_now
  where p.id = p_proposal_id;
  update public.code_failure_causes c set
    status = case when v_status = 'pending' then 'proposed' else c.status end,
    status_changed_at = case when v_status = 'pending' then p_now else c.status_changed_at end,
    status_changed_by = case when v_status = 'pending' then v_proposal.model else c.status_changed_by end,
    status_reason = case when v_status = 'pending' then format('proposal %s waits for a person', p_proposal_id)
      else c.status_reason end
  where c.id = v_cause.id;
  perform public.release_code_fix(v_cause.id, v_proposal.request_id, p_counts);
  return jsonb_build_object('recorded', true, 'status', v_status);
end;
$$;
comment on function code_monitor.record_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean, timestamptz) is
  'Records the model''s answer: a proposal that waits for a person (the cause is proposed then), or, with p_error, a '
    'failure; settles what was reserved. p_counts false: the request says nothing of the cause and is not counted. '
    '{"recorded": true, "status"} or {"recorded": false, "reason"}.';

create function public.record_code_fix(
  p_proposal_id bigint, p_diff text, p_reasoning text, p_confidence numeric, p_error text, p_prompt_tokens integer,
  p_completion_tokens integer, p_cost_usd numeric, p_usage_unknown boolean, p_counts boolean default true
) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.record_fix(
    p_proposal_id, p_diff, p_reasoning, p_confidence, p_error, p_prompt_tokens, p_completion_tokens, p_cost_usd,
    p_usage_unknown, p_counts);
$$;
comment on function public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean) is
  'code_monitor.record_fix by the clock of the database.';

create function code_monitor.state(p_now timestamptz default now()) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'at', p_now,
    'fixes_per_run', scheduler.setting('code_monitor.fixes_per_run'),
    'open_causes', count(*) filter (where c.status = 'open'),
    -- No request is left for these causes: a person has to decide.
    'exhausted_causes', count(*) filter (where c.status = 'open'
      and c.fix_requests >= scheduler.setting('code_monitor.fixes_per_cause')),
    'waiting_proposals', count(*) filter (where c.status = 'proposed'),
    'github_token', (
      -- The key in the worst state, if there are several.
      select jsonb_build_object('status', case when k.expires_at <= p_now then 'invalid' else k.status end,
        'since', k.status_since, 'checked_at', k.checked_at, 'expires_at', k.expires_at)
      from public.api_key_health k
      where k.provider = 'github'
      order by array_position(
        array['invalid', 'expiring', 'unreachable', 'rate_limited', 'unchecked', 'not_configured', 'valid'],
        case when k.expires_at <= p_now then 'invalid' else k.status end), k.key_name
      limit 1))
  from public.code_failure_causes c
  where c.status in ('open', 'proposed');
$$;
comment on function code_monitor.state(timestamptz) is
  'What code-monitor-daemon reports beside its own work, and "at" which moment: causes that are open, exhausted or '
    'wait for a person, and the GitHub token as api_key_health has it (null when none was checked).';

create function public.code_monitor_state() returns jsonb
language sql stable security definer set search_path = '' as $$
  select code_monitor.state();
$$;
comment on function public.code_monitor_state() is
  'code_monitor.state by the clock of the database.';

revoke all on function public.claim_code_fix(timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.release_code_fix(bigint, uuid, boolean) from public, anon, authenticated, service_role;
revoke all on function public.read_code_failure(bigint) from public, anon, authenticated, service_role;
revoke all on function
  public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric)
from public, anon, authenticated, service_role;
revoke all on function
  public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean, boolean)
from public, anon, authenticated, service_role;
revoke all on function public.code_monitor_state() from public, anon, authenticated, service_role;
grant execute on function public.claim_code_fix(timestamptz) to service_role;
grant execute on function public.release_code_fix(bigint, uuid, boolean) to service_role;
grant execute on function public.read_code_failure(bigint) to service_role;
grant execute on function public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric) to service_role;
grant execute on function public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean)
  to service_role;
grant execute on function public.code_monitor_state() to service_role;
