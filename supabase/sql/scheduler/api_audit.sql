-- The API's audit log and deployment check.

create function scheduler.api_audit_log(p_cursor text default null) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_answer jsonb;
begin
  if p_cursor !~ '^\d{1,18}$' then
    raise exception using errcode = '22023', message = format('cannot read the page: cursor must be next_cursor of the '
      'page before it, got %s', quote_literal(left(p_cursor, 100)));
  end if;
  select jsonb_build_object(
      'entries', coalesce(jsonb_agg(to_jsonb(page) - array['place', 'rows'] order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(id::text) filter (where place = 100 and rows > 100))
    into v_answer
    from (
      select *, row_number() over () as place, count(*) over () as rows
      from (
        select id, occurred_at, author, verb, subject_type, subject, reason, before, after
        from public.scheduler_audit
        where p_cursor is null or id < p_cursor::bigint order by id desc limit 101) as newest
    ) as page;
  return v_answer;
end;
$$;
comment on function scheduler.api_audit_log(text) is
  'Who did what, when, on what and why, newest first, 100 a page. Raises 22023 for a cursor that is none.';

create function scheduler.api_verify(p_now timestamptz default clock_timestamp()) returns jsonb
language sql set search_path = '' as $$
  select jsonb_build_object('timestamp', p_now, 'ok', bool_and(state <> 'failed'),
    'checks', jsonb_agg(jsonb_build_object('check', check_name, 'state', state, 'detail', detail) order by place))
  from scheduler.verify(p_now) with ordinality as checks (check_name, state, detail, place);
$$;
comment on function scheduler.api_verify(timestamptz) is
  'The deployment check, see scheduler.verify: {"ok": whether none failed, "checks": [{"check", "state": ok, failed or '
    'asked (ask again in a few seconds), "detail"}]}.';

create function public.scheduler_api_audit_log(p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_audit_log(p_cursor);
$$;
comment on function public.scheduler_api_audit_log(text) is 'scheduler.api_audit_log for the API.';

create function public.scheduler_api_verify() returns jsonb
language sql security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_verify();
$$;
comment on function public.scheduler_api_verify() is 'scheduler.api_verify by the clock of the database.';

revoke all on function public.scheduler_api_audit_log(text), public.scheduler_api_verify()
  from public, anon, authenticated;
grant execute on function public.scheduler_api_audit_log(text), public.scheduler_api_verify() to service_role;
