-- How long the rows of growing tables are kept: each pack has its rules here. The pulse prunes the
-- ledger and pg_cron's log, prune-old-rows everything else.

create table scheduler.retention_rules (
  rule text primary key check (rule ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  old_rows text,
  prune_function text check (prune_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  prepare_function text check (prepare_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  hold_function text check (hold_function ~ '^[a-z_]+\.[a-z0-9_]+$'),
  check (num_nonnulls(old_rows, prune_function) = 1)
);
alter table scheduler.retention_rules enable row level security;

comment on table scheduler.retention_rules is
  'What is pruned, one row a rule. How long is a setting, retention.<rule>_days; ''null'': for ever.';
comment on column scheduler.retention_rules.old_rows is
  'Which rows of the table public.<rule> are old, $1 being the moment. It should read an index that begins with the '
    'oldest rows: a step must cost what it deletes, not what it keeps.';
comment on column scheduler.retention_rules.prune_function is
  'Where a condition is not enough: a function (before timestamptz, limit integer) returns integer that deletes at '
    'most so many rows, and returns how many.';
comment on column scheduler.retention_rules.prepare_function is
  'A function (now timestamptz) returns text, called once before any row goes: why rows must stay for now, or null.';
comment on column scheduler.retention_rules.hold_function is
  'A function () returns timestamptz: rows from then on stay, though they are old.';

create function scheduler.prune_statement(p_rule scheduler.retention_rules) returns text
language sql immutable set search_path = '' as $$
  select format(
    'delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where %2$s limit $2 for update skip '
      'locked))',
    p_rule.rule, p_rule.old_rows);
$$;
comment on function scheduler.prune_statement(scheduler.retention_rules) is
  'The statement that deletes at most $2 rows that are old by that rule, $1 being the moment; null for a rule with a '
    'prune_function.';

create function scheduler.retention_rule_fault(p_rule scheduler.retention_rules) returns text
language sql stable set search_path = '' as $$
  select case
    when p_rule.pack is null or p_rule.pack !~ '\S' then 'pack must be given'
    when p_rule.rule is null or p_rule.rule !~ '^[a-z][a-z0-9_]*$' then format('rule must be a name of a-z, 0-9 and _, '
      'the first a letter, got %s', coalesce(quote_literal(left(p_rule.rule, 63)), 'null'))
    when exists (select from scheduler.retention_rules where rule = p_rule.rule) then 'there is one of that name'
    when num_nonnulls(p_rule.old_rows, p_rule.prune_function) <> 1 then 'it must have either old_rows or prune_function'
    -- A ctid is unique in one table, not in all partitions of one.
    when p_rule.old_rows is not null and not exists (select from pg_class
        where oid = to_regclass(format('public.%I', p_rule.rule)) and relkind = 'r')
      then format('public.%s must be a table, and not a partitioned one', p_rule.rule)
    else (
      select format('%s must be a function (%s) returns %s, got %s', part, arguments, result, name)
      from (values
        ('prune_function', p_rule.prune_function, 'timestamp with time zone, integer', 'integer'),
        ('prepare_function', p_rule.prepare_function, 'timestamp with time zone', 'text'),
        ('hold_function', p_rule.hold_function, '', 'timestamp with time zone')
      ) as parts (part, name, arguments, result)
      where name is not null and (name !~ '^[a-z_]+\.[a-z0-9_]+$'
        or pg_get_function_result(to_regprocedure(format('%s(%s)', name, arguments))) is distinct from result)
      limit 1)
  end;
$$;
comment on function scheduler.retention_rule_fault(scheduler.retention_rules) is
  'What is wrong with a rule that is to be added, apart from its condition; null when nothing is.';

-- A rule that cannot work is refused here; otherwise prune-old-rows would fail for it every night.
create function scheduler.add_retention_rule(
  pack text, rule text, keep_days integer, old_rows text default null, what text default null,
  prune_function text default null, prepare_function text default null, hold_function text default null
) returns void
language plpgsql set search_path = '' as $$
declare
  v_rule constant scheduler.retention_rules := row(rule, pack, old_rows, prune_function, prepare_function,
    hold_function);
  v_fault text := scheduler.retention_rule_fault(v_rule);
begin
  if v_fault is null and old_rows is not null then
    begin
      execute 'explain ' || scheduler.prune_statement(v_rule) using now(), 1;
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
      v_fault := format('old_rows must be a condition on public.%s, with $1 for the moment: %s', rule, sqlerrm);
    end;
  end if;
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot add the retention rule %s: %s', coalesce(quote_literal(left(rule, 63)), 'null'),
        v_fault);
  end if;
  insert into public.scheduler_settings (pack, key, default_value, unit, most, optional, description)
    values (pack, 'retention.' || rule || '_days', coalesce(to_jsonb(keep_days), 'null'), 'days', 99999, true,
      coalesce(what, format('how long old rows stay in %s', rule)) || '; ''null'': for ever');
  insert into scheduler.retention_rules select (v_rule).*;
end;
$$;
comment on function scheduler.add_retention_rule(text, text, integer, text, text, text, text, text) is
  'Adds a rule to what prune-old-rows does, with its setting; `what` describes the setting, and keep_days null keeps '
    'the rows for ever. Raises 22023 for days outside 1 to 99999, a table or function that is not there, or a '
    'condition that Postgres cannot read.';

create function scheduler.retention_days(p_rule text) returns integer
language plpgsql stable set search_path = '' as $$
begin
  if not exists (select from scheduler.retention_rules where rule = p_rule) then
    raise exception using errcode = 'SD004',
      message = format('cannot prune %s: there is no such rule', coalesce(quote_literal(p_rule), 'null')),
      hint = format('the rules are: %s', (select string_agg(rule, ', ' order by rule) from scheduler.retention_rules));
  end if;
  return scheduler.setting('retention.' || p_rule || '_days');
end;
$$;
comment on function scheduler.retention_days(text) is
  'How many days rows of that rule are kept, null: for ever. Raises SD004 for an unknown rule.';

create function scheduler.retention_before(p_rule scheduler.retention_rules, p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  v_before timestamptz := p_now - make_interval(days => scheduler.retention_days(p_rule.rule));
  v_held timestamptz;
begin
  if p_rule.hold_function is not null then
    execute format('select %s()', p_rule.hold_function) into v_held;
    return case when v_before is not null then least(v_before, coalesce(v_held, '-infinity')) end;
  end if;
  return v_before;
end;
$$;
comment on function scheduler.retention_before(scheduler.retention_rules, timestamptz) is
  'Rows of that rule from before this moment may go; null: none.';

create function scheduler.begin_pruning(p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_function text;
  v_reason text;
  v_held text[] := array[]::text[];
begin
  for v_function in
    select distinct prepare_function from scheduler.retention_rules where prepare_function is not null order by 1
  loop
    begin
      execute format('select %s($1)', v_function) into v_reason using p_now;
    exception when query_canceled or others then
      v_reason := format('%s failed: %s', v_function, sqlerrm);
    end;
    v_held := v_held || v_reason;
  end loop;
  return jsonb_build_object(
    'rules', coalesce((
      select jsonb_agg(rule order by rule) from scheduler.retention_rules where scheduler.retention_days(rule)
        is not null), '[]'),
    'held', to_jsonb(array_remove(v_held, null)));
end;
$$;
comment on function scheduler.begin_pruning(timestamptz) is
  'Prepares pruning: {"rules": those by which rows may go, "held": [why some rows must stay for now]}.';

-- A step, one transaction.
create function scheduler.prune_old_rows(p_rule text, p_limit integer default 2000, p_now timestamptz default now())
returns integer
language plpgsql set search_path = '' as $$
declare
  v_rule scheduler.retention_rules;
  v_before timestamptz;
  v_deleted integer;
begin
  if p_limit is null or p_limit not between 1 and 100000 then
    raise exception using errcode = '22023',
      message = format('cannot prune %s: the limit must be from 1 to 100000, got %s', p_rule,
        coalesce(p_limit::text, 'null'));
  end if;
  if scheduler.retention_days(p_rule) is null then
    return 0;
  end if;
  select * into strict v_rule from scheduler.retention_rules where rule = p_rule;
  v_before := scheduler.retention_before(v_rule, p_now);
  if v_rule.prune_function is not null then
    execute format('select %s($1, $2)', v_rule.prune_function) into v_deleted using v_before, p_limit;
    return v_deleted;
  end if;
  execute scheduler.prune_statement(v_rule) using v_before, p_limit;
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function scheduler.prune_old_rows(text, integer, timestamptz) is
  'Deletes at most p_limit old rows by that rule and returns how many; fewer than p_limit means that no more are left '
    '(or locked by others). Raises SD004 for an unknown rule; 22023 for a wrong limit.';

-- Both doors are security definer because service_role must not delete from the logs itself.
create function public.scheduler_begin_pruning() returns jsonb
language sql security definer set search_path = '' as $$
  select scheduler.begin_pruning();
$$;
comment on function public.scheduler_begin_pruning() is 'scheduler.begin_pruning by the clock of the database.';

create function public.scheduler_prune_old_rows(p_rule text, p_limit integer default 2000) returns integer
language sql security definer set search_path = '' as $$
  select scheduler.prune_old_rows(p_rule, p_limit);
$$;
comment on function public.scheduler_prune_old_rows(text, integer) is
  'scheduler.prune_old_rows by the clock of the database.';

revoke all on function public.scheduler_begin_pruning(), public.scheduler_prune_old_rows(text, integer) from public,
  anon, authenticated;
grant execute on function public.scheduler_begin_pruning(), public.scheduler_prune_old_rows(text,
  integer) to service_role;

select scheduler.add_retention_rule('scheduler', 'scheduler_activity', 180, 'occurred_at < $1');
select scheduler.add_retention_rule('scheduler', 'scheduler_audit', 730, 'occurred_at < $1');
