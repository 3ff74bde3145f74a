-- The list of results that a processor sends.

create type batches.result as (
  place bigint, id bigint, outcome text, answerer text, reason text, wait_seconds integer, provider_is_down boolean,
  provider_answered boolean
);
comment on type batches.result is
  'What came of a task, by its place in the list that a processor sends; see finish_tasks.';

create function batches.read_results(p_results jsonb) returns setof batches.result
language plpgsql immutable set search_path = '' as $$
begin
  if exists (
    select from jsonb_to_recordset(p_results) as results (
      id bigint, outcome text, answerer text, answer text, model text)
    where id is null or coalesce(outcome, '') not in ('answered', 'refused', 'unusable', 'failed', 'waiting', 'cut')
      or outcome = 'answered' and (answer is null or model is null or answerer is null)
  ) then
    raise data_exception;
  end if;
  return query
  select place, id, outcome, answerer, reason, wait_seconds, provider_is_down, provider_answered
  from rows from (jsonb_to_recordset(p_results) as (
    id bigint, outcome text, answerer text, reason text, wait_seconds integer, provider_is_down boolean,
    provider_answered boolean)
  ) with ordinality as results (
    id, outcome, answerer, reason, wait_seconds, provider_is_down, provider_answered, place);
end;
$$;
comment on function batches.read_results(jsonb) is
  'The results in a processor''s list. Raises data_exception for one that cannot be read.';

-- Asked only when results could not be taken: to look at each of thousands would cost more than to take them.
create function batches.wrong_result(p_results jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('results[%s].%s must be %s, got %s', place - 1, field, wanted,
    left(coalesce((result -> field)::text, 'nothing'), 50))
  from jsonb_array_elements(case jsonb_typeof(p_results) when 'array' then p_results else '[]' end)
      with ordinality as results (result, place),
    lateral (values
      (1, 'id', 'a whole number', '^[0-9]{1,18}$', true),
      (2, 'outcome', 'answered, refused, unusable, failed, waiting or cut',
        '^(answered|refused|unusable|failed|waiting|cut)$', true),
      (3, 'answer', 'the answer', '', result ->> 'outcome' = 'answered'),
      (4, 'model', 'the model that answered', '', result ->> 'outcome' = 'answered'),
      (5, 'answerer', 'the provider that answered', '', result ->> 'outcome' = 'answered'),
      (6, 'latency_ms', 'a whole number from 0 on', '^-?[0-9]{1,9}$', false),
      (7, 'prompt_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (8, 'completion_tokens', 'a whole number from 0 on', '^[0-9]{1,9}$', false),
      (9, 'wait_seconds', 'a whole number', '^-?[0-9]{1,9}$', false),
      (10, 'provider_is_down', 'true or false', '^(true|false)$', false),
      (11, 'provider_answered', 'true or false', '^(true|false)$', false)
    ) as fields (field_place, field, wanted, pattern, needed)
  where case when result ->> field is null then needed else result ->> field !~ pattern end
  order by place, field_place
  limit 1;
$$;
comment on function batches.wrong_result(jsonb) is
  'What is wrong with results that could not be taken, by the field''s name. Null: they are no array, or it is '
    'something else.';
