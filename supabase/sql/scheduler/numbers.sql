-- Numbers that arrive as JSON. A cast says that "NaN" is no integer and not whose figure it was.

create function scheduler.require_whole_numbers(p_what text, p_given jsonb, p_fields text[]) returns void
language plpgsql immutable set search_path = '' as $$
declare
  v_wrong text;
begin
  select format('%s.%s must be a whole number from 0 on, or null, got %s', p_what, field, left((p_given -> field)::text,
    50)) into v_wrong
    from unnest(p_fields) with ordinality as fields (field, place)
    where p_given ->> field !~ '^[0-9]{1,18}$'
    order by place limit 1;
  if v_wrong is not null then
    raise exception using errcode = '22023', message = 'cannot record: ' || v_wrong;
  end if;
end;
$$;
comment on function scheduler.require_whole_numbers(text, jsonb, text[]) is
  'Raises 22023, naming it, for a field of p_given that is there and no whole number from 0 on.';
