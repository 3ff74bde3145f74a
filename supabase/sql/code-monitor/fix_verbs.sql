-- Decisions of a person: accept or reject a proposal, or set the status of a cause. Accepting does not change any code:
-- it says that the person has applied the fix, so a later failure opens the cause again.

create function code_monitor.lock_pending_fix(p_proposal_id bigint, p_author text) returns public.code_fix_proposals
language plpgsql volatile set search_path = '' as $$
declare
  v_proposal public.code_fix_proposals;
begin
  if p_author is null or p_author !~ '\S' then
    raise exception using errcode = '22023', message = 'cannot decide on a proposal: p_author must say who decides';
  end if;
  perform from public.code_failure_causes c
    where c.id = (select p.cause_id from public.code_fix_proposals p where p.id = p_proposal_id) for no key update;
  select p.* into v_proposal from public.code_fix_proposals p where p.id = p_proposal_id for update;
  if v_proposal.id is null then
    raise exception using errcode = 'SD010', message = format('cannot decide on proposal %s: there is no such proposal',
      p_proposal_id);
  end if;
  if v_proposal.status <> 'pending' then
    raise exception using errcode = 'SD204', message = format('cannot decide on proposal %s: it is %s', p_proposal_id,
      v_proposal.status)
      || coalesce(format(' by %s since %s', v_proposal.decided_by, v_proposal.decided_at), '');
  end if;
  return v_proposal;
end;
$$;
comment on function code_monitor.lock_pending_fix(bigint, text) is
  'Locks a proposal that waits, and its cause. Raises SD010 for an unknown proposal; SD204 for one that does not '
    'wait; 22023 without p_by.';

create function code_monitor.accept_fix(
  p_proposal_id bigint, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_proposal constant public.code_fix_proposals := code_monitor.lock_pending_fix(p_proposal_id, p_author);
begin
  update public.code_fix_proposals p
    set status = 'accepted', decided_at = p_now, decided_by = p_author, decision_reason = p_reason
    where p.id = p_proposal_id;
  update public.code_failure_causes c
    set status = 'fixed', status_changed_at = p_now, status_changed_by = p_author,
      status_reason = coalesce(p_reason, format('proposal %s accepted', p_proposal_id))
    where c.id = v_proposal.cause_id;
  perform scheduler.audit('accept_code_fix', 'code fix proposal', p_proposal_id::text, p_reason, p_author,
    jsonb_build_object('status', v_proposal.status), jsonb_build_object('cause_id', v_proposal.cause_id), p_now);
  return jsonb_build_object('proposal_id', p_proposal_id, 'status', 'accepted',
    'cause_id', v_proposal.cause_id, 'cause_status', 'fixed', 'diff', v_proposal.diff);
end;
$$;
comment on function code_monitor.accept_fix(bigint, text, text, timestamptz) is
  'A person takes the proposal: its cause is fixed, until it fails again. Applies nothing; the diff is in the answer. '
    'Raises SD010 for an unknown proposal; SD204 unless it is pending.';

create function public.accept_code_fix(p_proposal_id bigint, p_reason text, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.accept_fix(p_proposal_id, p_reason, p_author);
$$;
comment on function public.accept_code_fix(bigint, text, text) is
  'code_monitor.accept_fix by the clock of the database.';

create function code_monitor.reject_fix(
  p_proposal_id bigint, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_proposal constant public.code_fix_proposals := code_monitor.lock_pending_fix(p_proposal_id, p_author);
begin
  update public.code_fix_proposals p
    set status = 'rejected', decided_at = p_now, decided_by = p_author, decision_reason = p_reason
    where p.id = p_proposal_id;
  update public.code_failure_causes c
    set status = 'open', status_changed_at = p_now, status_changed_by = p_author,
      status_reason = coalesce(p_reason, format('proposal %s rejected', p_proposal_id))
    where c.id = v_proposal.cause_id;
  perform scheduler.audit('reject_code_fix', 'code fix proposal', p_proposal_id::text, p_reason, p_author,
    jsonb_build_object('status', v_proposal.status), jsonb_build_object('cause_id', v_proposal.cause_id), p_now);
  return jsonb_build_object('proposal_id', p_proposal_id, 'status', 'rejected',
    'cause_id', v_proposal.cause_id, 'cause_status', 'open');
end;
$$;
comment on function code_monitor.reject_fix(bigint, text, text, timestamptz) is
  'A person does not want the proposal: its cause is open again, and may be asked for again; the model is told the '
    'reason then. Raises SD010 for an unknown proposal; SD204 unless it is pending.';

create function public.reject_code_fix(p_proposal_id bigint, p_reason text, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.reject_fix(p_proposal_id, p_reason, p_author);
$$;
comment on function public.reject_code_fix(bigint, text, text) is
  'code_monitor.reject_fix by the clock of the database.';

create function code_monitor.set_failure_status(
  p_cause_id bigint, p_status text, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_cause public.code_failure_causes;
begin
  if p_author is null or p_author !~ '\S' then
    raise exception using errcode = '22023', message = 'cannot change a cause: p_author must say who does it';
  end if;
  if p_status is null or p_status not in ('open', 'fixed', 'ignored') then
    raise exception using errcode = '22023',
      message = format('cannot change a cause: p_status must be open, fixed or ignored, got %s',
        coalesce(p_status, 'null'));
  end if;
  select c.* into v_cause from public.code_failure_causes c where c.id = p_cause_id for no key update;
  if not found then
    raise exception using errcode = 'SD011', message = format('cannot change cause %s: there is no such cause',
      p_cause_id);
  end if;
  update public.code_fix_proposals p
    set status = 'superseded', decided_at = p_now, decided_by = p_author, decision_reason = p_reason
    where p.cause_id = p_cause_id and p.status = 'pending';
  update public.code_failure_causes c set
    status = p_status, status_changed_at = p_now, status_changed_by = p_author, status_reason = p_reason,
    fix_requests = case when p_status = 'open' then 0 else c.fix_requests end
  where c.id = p_cause_id;
  perform scheduler.audit('set_code_failure_status', 'code failure cause', p_cause_id::text, p_reason, p_author,
    jsonb_build_object('status', v_cause.status), jsonb_build_object('status', p_status), p_now);
  return jsonb_build_object('cause_id', p_cause_id, 'was', v_cause.status, 'status', p_status);
end;
$$;
comment on function code_monitor.set_failure_status(bigint, text, text, text, timestamptz) is
  'A person sets the status of a cause: fixed (until it fails again), ignored (until it is opened), open (fixes '
    'may be asked for anew, counted from none). A proposal that waits is superseded. Raises SD011 for an unknown '
    'cause; 22023 for an unknown status, or without p_by.';

create function public.set_code_failure_status(p_cause_id bigint, p_status text, p_reason text, p_author text)
returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.set_failure_status(p_cause_id, p_status, p_reason, p_author);
$$;
comment on function public.set_code_failure_status(bigint, text, text, text) is
  'code_monitor.set_failure_status by the clock of the database.';

revoke all on function public.accept_code_fix(bigint, text, text) from public, anon, authenticated, service_role;
revoke all on function public.reject_code_fix(bigint, text, text) from public, anon, authenticated, service_role;
revoke all on function
  public.set_code_failure_status(bigint, text, text, text)
from public, anon, authenticated, service_role;
grant execute on function public.accept_code_fix(bigint, text, text) to service_role;
grant execute on function public.reject_code_fix(bigint, text, text) to service_role;
grant execute on function public.set_code_failure_status(bigint, text, text, text) to service_role;
