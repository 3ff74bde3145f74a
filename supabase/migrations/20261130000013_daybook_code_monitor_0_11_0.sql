-- Daybook 0.11.0, pack code-monitor. Made of supabase/sql/code-monitor: change it there.

-- The database knows which jobs schedules.json of 0.10.0 registered, and with which values.

select scheduler.note_entry('code-monitor',
  '{"name": "code-monitor-daemon", "schedule": "30 1-23/2 * * *",
    "description": "Failed Python executions by cause, a fix asked for each, the GitHub token"}');

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION code_monitor.accept_fix(p_proposal_id bigint, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function code_monitor.accept_fix(bigint,text,text,timestamp with time zone) is 'A person takes the proposal: its cause is fixed, until it fails again. Applies nothing; the diff is in the answer. Raises SD010 for an unknown proposal; SD204 unless it is pending.';
revoke all on function code_monitor.accept_fix(bigint,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION code_monitor.reject_fix(p_proposal_id bigint, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function code_monitor.reject_fix(bigint,text,text,timestamp with time zone) is 'A person does not want the proposal: its cause is open again, and may be asked for again; the model is told the reason then. Raises SD010 for an unknown proposal; SD204 unless it is pending.';
revoke all on function code_monitor.reject_fix(bigint,text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION code_monitor.set_failure_status(p_cause_id bigint, p_status text, p_reason text, p_author text, p_now timestamp with time zone DEFAULT now())
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function code_monitor.set_failure_status(bigint,text,text,text,timestamp with time zone) is 'A person sets the status of a cause: fixed (until it fails again), ignored (until it is opened), open (fixes may be asked for anew, counted from none). A proposal that waits is superseded. Raises SD011 for an unknown cause; 22023 for an unknown status, or without p_by.';
revoke all on function code_monitor.set_failure_status(bigint,text,text,text,timestamp with time zone) from public, anon, authenticated, service_role;
