-- The metrics of the causes of failing code. Each count reads an index that holds only the rows to count.

create function code_monitor.metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  select json_build_array(scheduler.metric_group('{}',
    scheduler.metric('code_failure_causes_open', (select count(*) from public.code_failure_causes
      where status = 'open')),
    scheduler.metric('code_fix_proposals_pending', (select count(*) from public.code_fix_proposals
      where status = 'pending'))));
$$;
comment on function code_monitor.metrics(timestamptz) is 'The metrics of the causes of failing code: '
  'open ones, and proposals that wait for a person.';

insert into scheduler.metric_sources (function_name, pack) values ('code_monitor.metrics', 'code-monitor');
insert into scheduler.metric_families (family, pack, type, help) values
  ('code_failure_causes_open', 'code-monitor', 'gauge', 'Causes of failing Python code for which there is no proposal '
    'of a fix yet.'),
  ('code_fix_proposals_pending', 'code-monitor', 'gauge', 'Proposals of a fix that wait for a person.');
