-- The engagement comment, at most one a day. A run claims the row of the day before it sends the comment, and the day
-- is unique. A request with an unknown outcome may arrive late. So another run may send a comment only 30 minutes after
-- the claim. That is longer than these together: the run that claimed (its worker's wall clock ends after 400 s at
-- most), the retransmissions of TCP (about 16 minutes), and GitHub's work on a request (it ends that after 10 s).

create function ecosystem.claim_comment(
  p_day date, p_issue text, p_run_id uuid, p_only_look boolean default false, p_now timestamptz default now()
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_comment public.ecosystem_comments;
begin
  if not p_only_look then
    perform ecosystem.assert_day(p_day, p_now);
    insert into public.ecosystem_comments (day, state, issue, run_id, claimed_at, may_arrive_until)
    values (p_day, 'posting', p_issue, p_run_id, p_now, p_now + interval '30 minutes')
    on conflict do nothing;
    if found then
      return jsonb_build_object('claimed', true);
    end if;
  end if;
  select * into v_comment from public.ecosystem_comments where day = p_day;
  return jsonb_build_object('claimed', false, 'state', v_comment.state, 'issue', v_comment.issue, 'run_id',
    v_comment.run_id,
    'claimed_at', v_comment.claimed_at, 'may_arrive_until', v_comment.may_arrive_until,
    'may_arrive', v_comment.may_arrive_until > p_now, 'comment_url', v_comment.comment_url);
end;
$$;
comment on function ecosystem.claim_comment(date, text, uuid, boolean, timestamptz) is
  'Claims the comment of a day for a run, unless p_only_look: {"claimed": true}, or {"claimed": false} with the '
    'row of the day ("state" null: there is none).';

create function public.ecosystem_claim_comment(
  p_day date, p_issue text, p_run_id uuid, p_only_look boolean default false
) returns jsonb
language sql security definer set search_path = '' as $$
  select ecosystem.claim_comment(p_day, p_issue, p_run_id, p_only_look);
$$;
comment on function public.ecosystem_claim_comment(date, text, uuid, boolean) is
  'ecosystem.claim_comment by the clock of the database.';

create function ecosystem.take_over_comment(
  p_day date, p_issue text, p_from_run_id uuid, p_run_id uuid, p_now timestamptz default now()
) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.ecosystem_comments set
    issue = p_issue, run_id = p_run_id, claimed_at = p_now, may_arrive_until = p_now + interval '30 minutes',
      problem = null
  where day = p_day and state = 'posting' and run_id = p_from_run_id and may_arrive_until <= p_now;
  return found;
end;
$$;
comment on function ecosystem.take_over_comment(date, text, uuid, uuid, timestamptz) is
  'Claims a day whose comment is not on GitHub and whose request cannot arrive any more; false when another run '
    'was faster or it still can.';

create function public.ecosystem_take_over_comment(
  p_day date, p_issue text, p_from_run_id uuid, p_run_id uuid
) returns boolean
language sql security definer set search_path = '' as $$
  select ecosystem.take_over_comment(p_day, p_issue, p_from_run_id, p_run_id);
$$;
comment on function public.ecosystem_take_over_comment(date, text, uuid, uuid) is
  'ecosystem.take_over_comment by the clock of the database.';

create function ecosystem.record_comment(
  p_day date, p_comment_id bigint, p_comment_url text, p_now timestamptz default now()
) returns void
language sql set search_path = '' as $$
  update public.ecosystem_comments set
    state = 'posted', posted_at = p_now, comment_id = p_comment_id, comment_url = p_comment_url, problem = null
  where day = p_day and state = 'posting';
$$;
comment on function ecosystem.record_comment(date, bigint, text, timestamptz) is
  'The comment of the day is on GitHub: its request was answered, or it was found there.';

create function public.ecosystem_record_comment(p_day date, p_comment_id bigint, p_comment_url text) returns void
language sql security definer set search_path = '' as $$
  select ecosystem.record_comment(p_day, p_comment_id, p_comment_url);
$$;
comment on function public.ecosystem_record_comment(date, bigint, text) is
  'ecosystem.record_comment by the clock of the database.';

create function public.ecosystem_release_comment(p_day date, p_run_id uuid) returns void
language sql set search_path = '' as $$
  delete from public.ecosystem_comments where day = p_day and state = 'posting' and run_id = p_run_id;
$$;
comment on function public.ecosystem_release_comment(date, uuid) is
  'GitHub refused the request of that run, so there is no comment: the day may be claimed again.';

create function public.ecosystem_doubt_comment(p_day date, p_run_id uuid, p_problem text) returns jsonb
language sql set search_path = '' as $$
  update public.ecosystem_comments set problem = p_problem
  where day = p_day and state = 'posting' and run_id = p_run_id
  returning to_jsonb(may_arrive_until);
$$;
comment on function public.ecosystem_doubt_comment(date, uuid, text) is
  'Notes why the outcome of a run''s request is not known; until when it may still arrive.';

revoke all on function
  public.ecosystem_claim_comment(date, text, uuid, boolean)
from public, anon, authenticated, service_role;
revoke all on function
  public.ecosystem_take_over_comment(date, text, uuid, uuid)
from public, anon, authenticated, service_role;
revoke all on function
  public.ecosystem_record_comment(date, bigint, text)
from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_release_comment(date, uuid) from public, anon, authenticated, service_role;
revoke all on function public.ecosystem_doubt_comment(date, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.ecosystem_claim_comment(date, text, uuid, boolean) to service_role;
grant execute on function public.ecosystem_take_over_comment(date, text, uuid, uuid) to service_role;
grant execute on function public.ecosystem_record_comment(date, bigint, text) to service_role;
grant execute on function public.ecosystem_release_comment(date, uuid) to service_role;
grant execute on function public.ecosystem_doubt_comment(date, uuid, text) to service_role;
