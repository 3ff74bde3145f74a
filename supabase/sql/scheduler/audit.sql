-- The audit log: every verb of an operator leaves a row.

create table public.scheduler_audit (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now() check (isfinite(occurred_at)),
  author text not null check (author ~ '\S' and length(author) <= 200),
  verb text not null check (length(verb) between 1 and 63),
  subject_type text not null check (length(subject_type) between 1 and 63),
  subject text not null check (length(subject) between 1 and 200),
  reason text check (length(reason) <= 1000),
  before jsonb,
  after jsonb
);
create index scheduler_audit_occurred_at_idx on public.scheduler_audit (occurred_at);
create index scheduler_audit_subject_idx on public.scheduler_audit (subject_type, subject, occurred_at);

comment on table public.scheduler_audit is
  'Who did what, when, on what, why, and what it was before and after. Written by the verbs, never changed.';
comment on column public.scheduler_audit.subject_type is
  'What the verb was done to: job, group, run, calendar, budget, scheduler; packs add their own.';

alter table public.scheduler_audit enable row level security;
revoke all on public.scheduler_audit from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_audit_id_seq from public, anon, authenticated, service_role;
grant select on public.scheduler_audit to service_role;

create function scheduler.audit(
  p_verb text, p_subject_type text, p_subject text, p_reason text, p_author text, p_before jsonb, p_after jsonb,
  p_now timestamptz
) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.scheduler_audit (occurred_at, author, verb, subject_type, subject, reason, before, after)
    values (p_now, left(btrim(p_author), 200), p_verb, p_subject_type, left(p_subject, 200),
      left(btrim(coalesce(p_reason, nullif(current_setting('daybook.reason', true), ''))), 1000), p_before, p_after);
end;
$$;
comment on function scheduler.audit(text, text, text, text, text, jsonb, jsonb, timestamptz) is
  'Writes what a person did: the verb, the type and the name of what it was done to, why (null: the verb asks for no '
    'reason; then that of apply_schedules or of the call over the API, if it is part of one), who, what it was before '
    'and after (null: nothing).';

-- A migration registers what is there again and again, and cannot say who wrote it.
create function scheduler.audit_registration(
  p_verb text, p_subject_type text, p_subject text, p_before jsonb, p_after jsonb
) returns void
language sql set search_path = '' as $$
  select scheduler.audit(p_verb, p_subject_type, p_subject, null,
    coalesce(nullif(current_setting('daybook.author', true), ''), session_user::text),
    case when p_after is null then p_before
      else jsonb_object_agg(key, p_before -> key) filter (where p_before ? key) end,
    case when p_before is null then p_after
      else jsonb_object_agg(key, p_after -> key) filter (where p_after ? key) end,
    clock_timestamp())
  from (
    select key from jsonb_object_keys(coalesce(p_before, '{}') || coalesce(p_after, '{}')) as key
    where p_before -> key is distinct from p_after -> key) as changed
  having p_before is distinct from p_after;
$$;
comment on function scheduler.audit_registration(text, text, text, jsonb, jsonb) is
  'Writes that something was registered (before null), registered with other values (those that changed), or taken out '
    '(after null), by the author of apply_schedules, else by the role that is connected; nothing when nothing changed.';
