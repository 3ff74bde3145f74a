-- A person's yes or no to a suggested prompt.

create function batches.decide_suggestion(p_id uuid, p_status text, p_author text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_prompt public.prompts;
  v_decided boolean;
begin
  perform scheduler.assert_given('decide on a suggested prompt', 'author',
    format('select accept_prompt_suggestion(%L, ''who'')', p_id), p_author);
  select * into v_prompt from public.prompts where id = p_id for no key update;
  if not found then
    raise exception using errcode = 'SD009', message = format('there is no prompt %s', coalesce(p_id::text, 'null'));
  end if;
  v_decided := v_prompt.status = 'suggested';
  if v_decided then
    update public.prompts
      set status = p_status, decided_by = btrim(p_author), decided_at = p_now, updated_at = p_now
      where id = p_id
      returning * into v_prompt;
    perform scheduler.audit(case p_status when 'active' then 'accept_prompt_suggestion'
      else 'reject_prompt_suggestion' end, 'prompt', p_id::text, null, p_author, jsonb_build_object('status',
      'suggested'), jsonb_build_object('status', p_status), p_now);
  end if;
  return jsonb_build_object('id', p_id, 'decided', v_decided, 'status', v_prompt.status,
    'decided_by', v_prompt.decided_by, 'decided_at', v_prompt.decided_at);
end;
$$;
comment on function batches.decide_suggestion(uuid, text, text, timestamptz) is
  'Gives a suggested prompt its status active or rejected, with author and time; the first decision stays. Raises '
    'SD009 for an unknown prompt; 22023 without an author.';

create function batches.accept_suggestion(p_id uuid, p_author text, p_now timestamptz default now()) returns jsonb
language sql set search_path = '' as $$
  select batches.decide_suggestion(p_id, 'active', p_author, p_now);
$$;
comment on function batches.accept_suggestion(uuid, text, timestamptz) is
  'A person''s yes: the suggested prompt is asked from the next daily batch on. {"id", "decided": false when somebody '
    'had decided before, "status", "decided_by", "decided_at"}. Raises SD009 for an unknown prompt; 22023 without an '
    'author.';

create function public.accept_prompt_suggestion(p_id uuid, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.accept_suggestion(p_id, p_author);
$$;
comment on function public.accept_prompt_suggestion(uuid, text) is
  'batches.accept_suggestion by the clock of the database.';

create function batches.reject_suggestion(p_id uuid, p_author text, p_now timestamptz default now()) returns jsonb
language sql set search_path = '' as $$
  select batches.decide_suggestion(p_id, 'rejected', p_author, p_now);
$$;
comment on function batches.reject_suggestion(uuid, text, timestamptz) is
  'A person''s no: the prompt and similar ones are not suggested again. Answers as accept_prompt_suggestion does.';

create function public.reject_prompt_suggestion(p_id uuid, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select batches.reject_suggestion(p_id, p_author);
$$;
comment on function public.reject_prompt_suggestion(uuid, text) is
  'batches.reject_suggestion by the clock of the database.';

revoke all on function public.accept_prompt_suggestion(uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.reject_prompt_suggestion(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.accept_prompt_suggestion(uuid, text) to service_role;
grant execute on function public.reject_prompt_suggestion(uuid, text) to service_role;
