-- What a scrape shows of the budgets.

create function scheduler.budget_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(scheduler.metric_group(json_build_object('budget', coalesce(json_agg(budget), '[]')),
    scheduler.metric('scheduler_budget_tokens', json_agg(tokens)),
    scheduler.metric('scheduler_budget_left', json_agg(tokens_left)),
    scheduler.metric('scheduler_budget_reserved', json_agg(reserved))))
  from scheduler.budget_states(p_now);
$$;
comment on function scheduler.budget_metrics(timestamptz) is 'What a scrape shows of the budgets: a value a budget.';

insert into scheduler.metric_sources (function_name, pack) values ('scheduler.budget_metrics', 'scheduler');
insert into scheduler.metric_families (family, pack, type, help) values
  ('scheduler_budget_tokens', 'scheduler', 'gauge', 'How many tokens a budget grants in its span.'),
  ('scheduler_budget_left', 'scheduler', 'gauge', 'Tokens that a budget holds now, with those that are reserved.'),
  ('scheduler_budget_reserved', 'scheduler', 'gauge', 'Tokens that are kept for jobs until they took them or '
    'their deadline has passed.');
