-- Daybook 0.10.0, pack code-monitor. Made of supabase/sql/code-monitor: change it there.

-- Refuses to install over objects that are not Daybook's.
do $guard$
declare
  v_pack constant text := 'code-monitor';
  v_schemas constant text[] := array['code_monitor'];
  v_relations constant text[] := array['code_failure_causes', 'code_fix_proposals'];
  v_functions constant text[] := array[
    'accept_code_fix', 'begin_code_fix', 'claim_code_fix', 'code_monitor_state',
    'collect_code_failures', 'read_code_failure', 'record_code_fix',
    'reject_code_fix', 'release_code_fix', 'set_code_failure_status'];
  v_jobs constant text[] := array['code-monitor-daemon'];
  v_there text[] := array(
    select format('schema %I', nspname) from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union
    select format('%s public.%I',
      case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
        when 'c' then 'type' else 'table' end, relname)
    from pg_catalog.pg_class where relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union
    select format('type public.%I', typname) from pg_catalog.pg_type
    where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r') and typname = any (v_relations)
    union
    select format('function public.%I', proname) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions));
begin
  if to_regclass('cron.job') is not null then
    v_there := v_there || array(select format('pg_cron entry %s', jobname) from cron.job where jobname = any (v_jobs));
  end if;
  if v_pack <> 'scheduler' then
    v_there := v_there || array(select format('job %s', name) from public.scheduler_jobs where name = any (v_jobs));
  end if;
  if v_there <> '{}' then
    -- The CLI shows no hints.
    raise exception using errcode = '42710',
      message = format(
        'cannot install the pack %1$s: the database has these already, and they are not Daybook''s: %2$s; '
        'rename or drop them, or run: deno task install <project> --pack %1$s --move-aside',
        v_pack, (select string_agg(thing, ', ' order by thing) from unnest(v_there) as thing));
  end if;
end;
$guard$;

create schema code_monitor;
revoke all on schema code_monitor from public, anon, authenticated, service_role;
comment on schema code_monitor is 'Private functions and types of the pack code-monitor. Not exposed through REST.';

-- The causes of failing Python code, and the fixes that a model proposed. Code is never run or changed here: a proposal
-- is a text that waits for a person.

-- One row a cause, however many executions failed of it.
create table public.code_failure_causes (
  id bigint generated always as identity primary key,
  fingerprint text not null unique check (fingerprint ~ '^[0-9a-f]{64}$'),
  error_type text not null check (length(error_type) between 1 and 200),
  normalized_traceback text not null,
  status text not null default 'open' check (status in ('open', 'proposed', 'fixed', 'ignored')),
  status_changed_at timestamptz not null check (isfinite(status_changed_at)),
  status_changed_by text,
  status_reason text,
  first_seen_at timestamptz not null check (isfinite(first_seen_at)),
  last_seen_at timestamptz not null check (isfinite(last_seen_at)),
  occurrences bigint not null check (occurrences > 0),
  reopened_count integer not null default 0 check (reopened_count >= 0),
  fix_requests integer not null default 0 check (fix_requests >= 0),
  last_fix_requested_at timestamptz check (isfinite(last_fix_requested_at)),
  fix_request_id uuid,
  fix_claimed_until timestamptz check (isfinite(fix_claimed_until)),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  constraint code_failure_causes_seen_in_order check (first_seen_at <= last_seen_at),
  constraint code_failure_causes_claim_has_its_end check ((fix_request_id is null) = (fix_claimed_until is null))
);

create index code_failure_causes_open_idx on public.code_failure_causes (id) where status = 'open';
-- For pruning. A run writes it once for each cause it saw, which is not often.
create index code_failure_causes_last_seen_at_idx on public.code_failure_causes (last_seen_at);

comment on table public.code_failure_causes is
  'Why Python code fails: one row a cause, with how often and since when. The failed executions point here.';
comment on column public.code_failure_causes.fingerprint is
  'SHA-256 of the exception''s type and the normalized traceback, in hex: the same for all failures of a cause.';
comment on column public.code_failure_causes.normalized_traceback is
  'The traceback without the values that differ between executions; cut at 8,000 characters (the fingerprint is of '
    'the whole).';
comment on column public.code_failure_causes.status is
  'open: nothing proposed; proposed: a proposal waits for a person; fixed: until it fails again; ignored: until a '
    'person opens it.';
comment on column public.code_failure_causes.reopened_count is 'How often it failed again after it was fixed.';
comment on column public.code_failure_causes.fix_requests is
  'Fixes asked for since the cause was opened or reopened; at most the setting code_monitor.fixes_per_cause.';
comment on column public.code_failure_causes.fix_request_id is
  'The request that may ask for a fix until fix_claimed_until, and no other; null without a claim.';

-- One row a question to the model, with its answer and its cost.
create table public.code_fix_proposals (
  id bigint generated always as identity primary key,
  cause_id bigint not null references public.code_failure_causes (id) on delete cascade,
  execution_id uuid references public.eliza_python_executions (id) on delete set null,
  request_id uuid not null unique,
  status text not null default 'asking'
    check (status in ('asking', 'pending', 'accepted', 'rejected', 'superseded', 'failed')),
  model text not null check (length(model) between 1 and 200),
  diff text,
  reasoning text,
  confidence numeric(4, 3) check (confidence between 0 and 1),
  error_message text,
  reserved_tokens integer not null check (reserved_tokens >= 0),
  reserved_cost_usd numeric(12, 6) check (reserved_cost_usd >= 0 and reserved_cost_usd < 'Infinity'),
  prompt_tokens integer check (prompt_tokens >= 0),
  completion_tokens integer check (completion_tokens >= 0),
  cost_usd numeric(12, 6) check (cost_usd >= 0 and cost_usd < 'Infinity'),
  usage_unknown boolean not null default false,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  asked_until timestamptz not null check (isfinite(asked_until)),
  answered_at timestamptz check (isfinite(answered_at)),
  decided_at timestamptz check (isfinite(decided_at)),
  decided_by text,
  decision_reason text,
  constraint code_fix_proposals_proposal_is_whole check (
    status in ('asking', 'failed') or (diff is not null and reasoning is not null and confidence is not null)),
  constraint code_fix_proposals_failed_says_why check ((status = 'failed') = (error_message is not null)),
  constraint code_fix_proposals_answered check ((status = 'asking') = (answered_at is null)),
  constraint code_fix_proposals_decided check (
    status not in ('accepted', 'rejected') or (decided_at is not null and decided_by is not null))
);

create index code_fix_proposals_cause_id_idx on public.code_fix_proposals (cause_id, id);
create index code_fix_proposals_execution_id_idx on public.code_fix_proposals (execution_id);
-- The day's tokens and cost.
create index code_fix_proposals_created_at_idx on public.code_fix_proposals (created_at);
-- Each cause has at most one proposal that is asked for or waits.
create unique index code_fix_proposals_one_at_once_key
  on public.code_fix_proposals (cause_id) where status in ('asking', 'pending');

comment on table public.code_fix_proposals is
  'Proposals of a model for causes: one row a question, for a person to accept or reject. They are not applied.';
comment on column public.code_fix_proposals.execution_id is 'The failed execution whose code was shown to the model.';
comment on column public.code_fix_proposals.status is
  'asking: the model is being asked; pending: waits for a person; superseded: the cause was closed before a person '
    'decided; failed: no valid proposal, see error_message.';
comment on column public.code_fix_proposals.diff is
  'A unified diff of main.py that applied to the execution''s code; secrets in that code are masked here, and '
    'were masked for the model.';
comment on column public.code_fix_proposals.reserved_tokens is
  'Tokens reserved before the model was asked: for the question and the longest answer.';
comment on column public.code_fix_proposals.usage_unknown is
  'The answer did not say what the question cost: the day counts the reserve.';
comment on column public.code_fix_proposals.asked_until is
  'When a question that is still asking counts as failed: its function died.';

-- No action on delete: an execution that lost its cause would be counted again as a new failure.
alter table public.eliza_python_executions add constraint eliza_python_executions_cause_id_fkey
  foreign key (cause_id) references public.code_failure_causes (id);

alter table public.code_failure_causes enable row level security;
alter table public.code_fix_proposals enable row level security;
revoke all on public.code_failure_causes, public.code_fix_proposals from public, anon, authenticated, service_role;
revoke all on sequence public.code_failure_causes_id_seq, public.code_fix_proposals_id_seq
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.code_failure_causes, public.code_fix_proposals to service_role;

insert into public.scheduler_settings (pack, key, default_value, type, unit, least, most, description) values
  ('code-monitor', 'code_monitor.fixes_per_run', '5', 'integer', null, 0, 999999, 'fixes that a run of '
    'code-monitor-daemon asks for at most; 0 asks for none'),
  ('code-monitor', 'code_monitor.fixes_per_cause', '3', 'integer', null, 0, 999999, 'fixes asked for a cause at most, '
    'since it was opened or reopened'),
  ('code-monitor', 'code_fixer.daily_tokens', '200000', 'integer', 'tokens', 0, 1000000000, 'tokens that '
    'autonomous-code-fixer uses in a UTC day at most'),
  ('code-monitor', 'code_fixer.daily_cost_usd', '1', 'number', 'USD', 0, 1000000000, 'US dollars that '
    'autonomous-code-fixer spends in a UTC day at most, where prices are set');

select scheduler.add_retention_rule('code-monitor', 'code_fix_proposals', 365, 'created_at < $1 and status not in '
  '(''asking'', ''pending'')');
select scheduler.add_retention_rule('code-monitor', 'code_failure_causes', 365,
  'last_seen_at < $1 and status <> ''ignored'' and (select count(*) from public.eliza_python_executions where '
    'cause_id = code_failure_causes.id) = 0');

-- The fingerprint of a failure: failures with the same cause have the same. A traceback is read line by line. Kept are
-- files, functions, source lines, and the exceptions' types and messages. Removed is all that differs between
-- executions: line numbers, values in quotes, numbers, dates, addresses, ids, paths, colours and carets. These values
-- may be personal: e-mail addresses, and rows that databases quote. All functions are immutable: the same text always
-- gives the same fingerprint.

create function code_monitor.mask_addresses(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  -- Most lines have nothing to mask: a look for one character is many times as fast as a pattern.
  if v like '%://%' then
    v := regexp_replace(v, '[a-z][a-z0-9+.-]*://[^\s''"<>)\]]+', '<url>', 'gi');
  end if;
  if v like '%@%' then
    v := regexp_replace(v, '[^\s@''"<>()\[\]{},;:=|/\\]+@[^\s@''"<>()\[\]{},;:=|/\\]*[^\s@''"<>()\[\]{},;:=|/\\.]',
      '<email>', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_addresses(text) is 'A text with its URLs as <url> and its e-mail addresses as '
  '<email>.';

create function code_monitor.mask_rows(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  if v like '%)=(%' then
    v := regexp_replace(v, '\)=\(.*\)(?= (already exists|is not present|is still referenced|conflicts with))', ')=(?)');
    v := regexp_replace(v, '\)=\((?!\?\)).*?\)(?=[\s.,]|$)', ')=(?)', 'g');
  end if;
  if v like '%(%' then
    v := regexp_replace(v, '(row contains|VALUES) ?\(.*\)', '\1 (?)', 'i');
  end if;
  if v like '%=%' then
    v := regexp_replace(v, '(?<![A-Za-z])(([a-z]+_)?(user|username|login|name|owner|customer|account'
      '|phone|address|city|host|ip|password|token|secret|key|id)=)[^\s,;&()\[\]}''"<>]+',
      '\1?', 'gi');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_rows(text) is
  'A message without the values of a row: Key (email)=(…), Failing row contains (…), user=….';

create function code_monitor.mask_moments(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  c_month constant text := '(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?'
    '|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)\.?';
  c_weekday constant text := '((mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?,?\s+)?';
  c_day constant text := '[0-9]{1,2}(st|nd|rd|th)?';
  c_time constant text := '[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(\s?[ap]\.?m\.?(?![a-z]))?'
    '(\s?(z|utc|gmt|[a-z]{2,3}t)(?![a-z]))?(\s?[-+][0-9]{2}:?[0-9]{2})?';
  v text := p_text;
begin
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, format('(?<![a-z0-9])%1$s(%2$s(\s+of)?[\s/-]+%3$s(,?[\s/-]+[0-9]{4})?'
      '|%3$s\s+%2$s(,?\s+%4$s)?(,?\s+[0-9]{4})?|%3$s,?\s+[0-9]{4})(?![a-z0-9])',
      c_weekday, c_day, c_month, c_time), '<date>', 'gi');
    v := regexp_replace(v, '(?<![0-9])([0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}'
      '|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2})(?![0-9])', '<date>', 'g');
    v := regexp_replace(v, format('(?<![0-9]:?)%s(?!:?[0-9])', c_time), '<date>', 'gi');
    v := regexp_replace(v, '(?<![a-z0-9])[0-9]{1,2}\s?[ap]\.?m\.?(?![a-z])', '<date>', 'gi');
    v := regexp_replace(v, '<date>((t|:|,?\s*(at\s+)?)<date>)+', '<date>', 'gi');
  end if;
  -- March and May are words too.
  return regexp_replace(v,
    '(?<![A-Za-z])((Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|April|June|July'
      '|August|September|October|November|December)(?![A-Za-z])', '<date>', 'g');
end;
$$;
comment on function code_monitor.mask_moments(text) is
  'A message with its dates and times as <date>: in figures or words, with AM or PM, a zone or a weekday.';

create function code_monitor.mask_paths(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  if v like '%\\%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9])[A-Za-z]:\\([^\s''"<>|]| [^\s''"<>|\\]+\\)*[^\s''"<>|.:]', '<path>', 'g');
  end if;
  if v like '%/%' then
    v := regexp_replace(v, '(?<=url: )/\S*', '<path>', 'i');
    v := regexp_replace(v, '(?<![A-Za-z0-9_.<>/])(~|\.{1,2})?/[^\s''"<>()\[\]{},;|]*[^\s''"<>()\[\]{},;|.:]', '<path>',
      'g');
    v := regexp_replace(v, '(?<![A-Za-z0-9_.<>/])[\w.~%@+-]+((/[\w.~%@+-]+){2,}|/[\w.~%@+-]+\.[a-z0-9]{1,5}(?![\w/]))',
      '<path>', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_paths(text) is 'A message with the paths of files and URLs as <path>.';

create function code_monitor.mask_values(p_text text, p_is_message boolean, p_keep_names boolean default false)
returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := code_monitor.mask_addresses(p_text);
begin
  if v like '%-%-%' then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
  end if;
  if p_is_message then
    v := code_monitor.mask_moments(code_monitor.mask_rows(v));
  elsif v like '%-%-%' then
    v := regexp_replace(v, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T '
      '][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?', '<date>', 'g');
  end if;
  if lower(v) like '%0x%' then
    v := regexp_replace(v, '0x[0-9a-f]+', '<hex>', 'gi');
  end if;
  if p_keep_names then
    -- The quoted names in these exceptions are not values: they are set aside while quotes are masked.
    v := regexp_replace(v, '''([A-Za-z_][A-Za-z0-9_.]*)(\(\))?''', E'\x01\\1\\2\x02', 'g');
  end if;
  -- A quote after a letter is an apostrophe (can't), not the beginning of a text; b'', r'', f'' begin one.
  if v like '%"%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?"([^"\\\n]|\\.)*"(?![A-Za-z0-9_])', E'\x03', 'gi');
  end if;
  if v like '%''%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?''([^''\\\n]|\\.)*''(?![A-Za-z0-9_])', E'\x03', 'gi');
  end if;
  if p_is_message then
    -- A text whose end was cut off, and texts in the quotes of typographers.
    v := regexp_replace(v, '(?<![A-Za-z0-9_])["''][^"'']*$', E'\x03');
    v := regexp_replace(v, '“[^”]*”|„[^“”]*[“”]|‘[^’]*’|«[^»]*»', E'\x03', 'g');
    v := code_monitor.mask_paths(v);
  elsif v like '%/%/%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_/])(/private)?/(tmp|var/tmp|var/folders|dev/shm)(/[A-Za-z0-9_.@+~-]+)+',
      '<tmp>', 'g');
  end if;
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])(?=[0-9a-f]*[0-9])[0-9a-f]{16,}(?![A-Za-z0-9_])', '<hex>', 'gi');
    if p_is_message then
      -- Keys, tokens and the like.
      v := regexp_replace(v, E'(?<![A-Za-z0-9_\x01-])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}', '<id>', 'g');
      v := regexp_replace(v, '(?<![A-Za-z0-9_])[-+](?=[0-9])', '', 'g');
      v := regexp_replace(v, '[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?', 'N', 'gi');
    else
      -- In code a digit may be part of a name: step1() and step2() are two functions.
      v := regexp_replace(v, '(?<![A-Za-z0-9_.])[0-9][0-9_]*(\.[0-9]+)?(e[-+]?[0-9]+)?(?![A-Za-z0-9_])', 'N', 'gi');
    end if;
  end if;
  v := replace(translate(v, E'\x01\x02', ''''''), E'\x03', '''?''');
  -- A list of masked values becomes one value: its length depends on the data.
  if v like '%,%' then
    v := regexp_replace(v, '(N|''\?''|<[a-z]+>)(\s*,\s*(N|''\?''|<[a-z]+>))+', '\1', 'g');
  end if;
  return btrim(regexp_replace(v, '\s+', ' ', 'g'));
end;
$$;
comment on function code_monitor.mask_values(text, boolean, boolean) is
  'A line of a traceback without its values. p_is_message: numbers go wherever they are, else only those that are no '
    'part of a name. p_keep_names: quoted names stay.';

create function code_monitor.mask_path(p_path text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := replace(p_path, '\', '/');
begin
  if v like '<ipython-input-%' then
    return '<ipython-input>';
  end if;
  if v like '%-packages/%' then
    v := regexp_replace(v, '^.*/(site|dist)-packages/', '<packages>/');
  elsif lower(v) like '%/python%/%' then
    v := regexp_replace(v, '^.*/python[0-9.]*/(lib/)?', '<python>/', 'i');
  end if;
  -- The directory of one execution, /tmp/run-81/, is masked; the path below it stays.
  if v ~ '^(/private)?/(tmp|var|dev)/' then
    v := regexp_replace(v, '^(/private)?/(tmp|var/tmp|dev/shm|var/folders/[^/]+/[^/]+/[^/]+)/([^/]+/)?', '<tmp>/');
  elsif v like '_:/%' then
    v := regexp_replace(v, '^[a-z]:/.*/te?mp/([^/]+/)?', '<tmp>/', 'i');
  end if;
  -- The home directory of any user.
  v := regexp_replace(v, '^([a-z]:)?/(home|users)/[^/]+/', '<home>/', 'i');
  if v like '%tmp%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9])tmp[a-z0-9_]{6,}', 'tmp<id>', 'g');
  end if;
  v := code_monitor.mask_addresses(v);
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
    v := regexp_replace(v, '(?<![A-Za-z0-9])(?=[a-f]*[0-9])[0-9a-f]{6,}(?![A-Za-z0-9])', '<id>', 'gi');
    v := regexp_replace(v, '[0-9]{3,}', 'N', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_path(text) is
  'A file of a traceback without the parts that depend on the execution or the machine: temporary directories, ids, '
    'the directories of Python and its packages.';

create function code_monitor.is_log_line(p_line text) returns boolean
language sql immutable set search_path = '' as $$
  select
    -- The line begins with a time, in brackets or not, or is JSON or logfmt,
    p_line ~ '^\s*[\[(]?([0-9]{4}[-/][0-9]{2}[-/][0-9]{2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}'
        '|[0-9]{1,2}:[0-9]{2}:[0-9]{2}|[A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2})'
    or p_line ~* '^\s*(\{\s*"|(time|ts|timestamp|level|lvl|msg)=)'
    -- names its level,
    or left(p_line, 60) ~ '(^|[\s\[(|<:-])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)([\s\]):|>-]|$)'
    or p_line ~* '^\s*\[?(trace|debug|info|notice|warn|warning|error|critical|fatal)(\]|:\s|:[a-z])'
    or p_line ~ '^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}'
    -- or is a message of an interpreter, shell or script at its end.
    or p_line ~* '^(Exception ignored in|sys:1:|Process finished|Command exited|make: |npm ERR|Sentry is '
      'attempting|\S+:[0-9]+: \w*Warning)'
    or p_line ~* '^(done|exiting|exited|finished|completed|shutting down|shutdown|cleaning '
      'up|cleanup|closing|closed|stopping|stopped|saving|saved|elapsed|took)\M';
$$;
comment on function code_monitor.is_log_line(text) is
  'Whether a line after an exception is a line of a log, not of the exception''s message.';

create function code_monitor.failure_output(p_text text, p_exit_code integer) returns text[]
language sql immutable set search_path = '' as $$
  with lines as (
    select line, number, code_monitor.is_log_line(line) and line ~* '\m(trace|debug|info|notice)\M' as is_chatter
    from string_to_table(p_text, E'\n') with ordinality as lines (line, number)
    where line ~ '\S'
  ), tail as (
    -- Lines that only report progress are used only when there are no others.
    select line, number from lines
    where not is_chatter or not exists (select from lines as others where not others.is_chatter)
    order by number desc
    limit 20
  )
  select coalesce(array_agg(code_monitor.mask_values(line, true) order by number),
    array[format('no output, exit code %s', coalesce(p_exit_code::text, 'unknown'))])
  from tail;
$$;
comment on function code_monitor.failure_output(text, integer) is
  'The last 20 lines that a failure without a traceback printed, without values; its exit code when it printed none.';

create function code_monitor.failure_text(p_traceback text, p_stderr text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_text text := coalesce(nullif(btrim(p_traceback, E' \t\r\n'), ''), nullif(btrim(p_stderr, E' \t\r\n'), ''), '');
begin
  -- Of a long text the beginning and the end, cut where a frame begins.
  if length(v_text) > 48000 then
    v_text := regexp_replace(left(v_text, 12000), '(.*\n)\s*File ".*$', '\1')
      || E'\n' || regexp_replace(right(v_text, 36000), '^.*?(\n\s*File ")', '\1');
  end if;
  v_text := regexp_replace(replace(v_text, E'\r', ''), E'\x1b\\[[0-9;?]*[A-Za-z]', '', 'g');
  return translate(v_text, E'\x01\x02\x03', '');
end;
$$;
comment on function code_monitor.failure_text(text, text) is
  'The traceback, or stderr where there is none, without colours; about 48,000 characters at most.';

create type code_monitor.reading as (
  state text, is_group boolean, is_chained boolean, error_type text, message_lines integer,
  frame text, seen_frames text[], lines text[]
);
comment on type code_monitor.reading is
  'A traceback that is being read. state: start, frames, message (after the exception) or over. is_group: it is that '
    'of an exception group. is_chained: the next traceback belongs to the same failure. frame: the frame being read '
    'and its source; seen_frames: those read before it in the same traceback. lines: the normalized traceback so far.';

create function code_monitor.end_frame(p_reading code_monitor.reading) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
begin
  -- A recursion shows the same frames many times: each counts once.
  if p_reading.frame is not null and p_reading.frame <> all (p_reading.seen_frames) then
    p_reading.lines := p_reading.lines || p_reading.frame;
    p_reading.seen_frames := p_reading.seen_frames || p_reading.frame;
  end if;
  p_reading.frame := null;
  return p_reading;
end;
$$;
comment on function code_monitor.end_frame(code_monitor.reading) is
  'Adds the frame that was being read to the lines, unless it is among them.';

create function code_monitor.read_exception(p_reading code_monitor.reading, p_line text)
returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  -- The messages of these exceptions quote names.
  c_name_errors constant text := '(^|\.)(NameError|UnboundLocalError|AttributeError|ImportError'
    '|ModuleNotFoundError|TypeError)$';
  v_match text[] := regexp_match(p_line, '^([A-Za-z_][A-Za-z0-9_.]*)(: ?(.*))?$');
begin
  p_reading := code_monitor.end_frame(p_reading);
  p_reading.error_type := coalesce(v_match[1], p_reading.error_type);
  p_reading.lines := p_reading.lines || coalesce(
    v_match[1] || rtrim(': ' || code_monitor.mask_values(coalesce(v_match[3], ''), true, v_match[1] ~ c_name_errors),
      ': '),
    code_monitor.mask_values(p_line, true));
  p_reading.state := 'message';
  p_reading.message_lines := 1;
  return p_reading;
end;
$$;
comment on function code_monitor.read_exception(code_monitor.reading, text) is
  'The reading after the line that names the exception.';

create function code_monitor.read_line(p_reading code_monitor.reading, p_line text) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  c_header constant text := 'Traceback (most recent call last):';
  c_chained constant text[] := array['During handling of the above exception, another exception occurred:',
    'The above exception was the direct cause of the following exception:'];
  v_match text[];
begin
  if btrim(p_line, E' \t') = '' then
    return p_reading;
  elsif p_line = any (c_chained) then
    p_reading.lines := p_reading.lines || p_line;
    p_reading.is_chained := true;
    p_reading.state := 'start';
  elsif btrim(p_line) in (c_header, 'Exception Group ' || c_header) then
    -- An earlier traceback to which this one is not chained was only logged.
    if not p_reading.is_chained and not p_reading.is_group then
      p_reading.lines := array[]::text[];
    end if;
    p_reading.is_chained := false;
    p_reading.seen_frames := array[]::text[];
    p_reading.frame := null;
    p_reading.lines := p_reading.lines || 'Traceback:'::text;
    p_reading.state := 'frames';
  elsif p_reading.state not in ('message', 'over') and p_line like '%File "%", line %'
    and p_line ~ '^\s*File ".*", line [0-9]+'
  then
    p_reading := code_monitor.end_frame(p_reading);
    v_match := regexp_match(p_line, '^\s*File "(.*)", line [0-9]+(, in (.*))?$');
    p_reading.frame := format('File "%s"%s', code_monitor.mask_path(coalesce(v_match[1], p_line)),
      coalesce(', in ' || v_match[3], ''));
    p_reading.state := 'frames';
  elsif p_reading.state = 'frames'
    and (btrim(p_line, E' \t~^') = '' or p_line like '%[Previous line repeated %')
  then
    return p_reading;
  elsif p_reading.state = 'frames' and left(p_line, 1) in (' ', E'\t') then
    p_reading.frame := concat_ws(E'\n  ', p_reading.frame, code_monitor.mask_values(p_line, false));
  elsif p_reading.state = 'frames' then
    return code_monitor.read_exception(p_reading, p_line);
  elsif p_reading.state = 'message' and code_monitor.is_log_line(p_line) then
    p_reading.state := 'over';
  elsif p_reading.state = 'message' and p_reading.message_lines < 5 then
    p_reading.lines := p_reading.lines || code_monitor.mask_values(p_line, true);
    p_reading.message_lines := p_reading.message_lines + 1;
  end if;
  return p_reading;
end;
$$;
comment on function code_monitor.read_line(code_monitor.reading, text) is
  'The reading of a traceback after one more line.';

create function code_monitor.read_traceback(p_text text) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  v_reading code_monitor.reading := jsonb_populate_record(null::code_monitor.reading, jsonb_build_object(
    'state', 'start', 'is_group', position('Exception Group Traceback (most recent call last):' in p_text) > 0,
    'is_chained', false, 'message_lines', 0, 'seen_frames', array[]::text[], 'lines', array[]::text[]));
  v_line text;
begin
  for v_line in select string_to_table(p_text || E'\n', E'\n') loop
    v_reading := code_monitor.read_line(v_reading,
      case when v_reading.is_group then regexp_replace(v_line, '^\s*[|+][-+]*\s?', '') else v_line end);
  end loop;
  if v_reading.frame is not null then
    v_reading.lines := v_reading.lines || v_reading.frame;
  end if;
  return v_reading;
end;
$$;
comment on function code_monitor.read_traceback(text) is 'The reading of a whole traceback.';

create function code_monitor.failure_cause(
  p_traceback text, p_stderr text default null, p_error_type text default null, p_exit_code integer default null
) returns table (error_type text, normalized_traceback text, fingerprint text)
language plpgsql immutable set search_path = '' as $$
declare
  v_text constant text := code_monitor.failure_text(p_traceback, p_stderr);
  v_reading code_monitor.reading;
begin
  if v_text ~ ('(^|\n)\s*([|+] ?)?(Exception Group )?Traceback \(most recent call last\):'
    '|(^|\n)\s*File ".*", line [0-9]+')
  then
    v_reading := code_monitor.read_traceback(v_text);
  else
    v_reading.lines := code_monitor.failure_output(v_text, p_exit_code);
    v_reading.error_type := (regexp_match(v_reading.lines[array_upper(v_reading.lines, 1)],
      '^([A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Warning|Interrupt|Exit|Iteration))(:|$)'))[1];
  end if;

  error_type := left(coalesce(v_reading.error_type, nullif(code_monitor.mask_values(p_error_type, true), ''),
    'unknown'), 200);
  normalized_traceback := array_to_string(v_reading.lines, E'\n');
  fingerprint := encode(sha256(convert_to(error_type || E'\n' || normalized_traceback, 'UTF8')), 'hex');
  normalized_traceback := left(normalized_traceback, 8000);
  return next;
end;
$$;
comment on function code_monitor.failure_cause(text, text, text, integer) is
  'The cause of a failed execution: the exception''s type, the normalized traceback (of stderr when there is no '
    'traceback, of the exit code when there is neither), and the SHA-256 of both.';

-- Collecting failed executions. A failed row without a cause has not been collected. It gets its cause in the
-- transaction that counts it, so a late commit is not missed, as a cursor would miss it.

create type code_monitor.failure as (
  execution_id uuid, finished_at timestamptz, fingerprint text, error_type text, normalized_traceback text
);
comment on type code_monitor.failure is 'A failed execution and its cause.';

create type code_monitor.seen_cause as (cause_id bigint, is_new boolean, is_reopened boolean);
comment on type code_monitor.seen_cause is 'A cause to which failures were added, and what that changed.';

create function code_monitor.read_failure(p_execution public.eliza_python_executions, p_now timestamptz)
returns code_monitor.failure
language plpgsql volatile set search_path = '' as $$
declare
  v_cause record;
begin
  begin
    select * into strict v_cause
    from code_monitor.failure_cause(p_execution.traceback, p_execution.stderr, p_execution.error_type,
      p_execution.exit_code);
  exception when others then
    -- Executions are read oldest first: one that cannot be read would stop all later ones for ever.
    select * into v_cause from code_monitor.failure_cause(null, null, 'unreadable', p_execution.exit_code);
    -- Only the error's code is told: its message may quote what the execution printed.
    perform scheduler.log_activity('code-monitor-daemon', format('cannot tell why execution %s failed: error %s',
      p_execution.id, sqlstate), 'warning', jsonb_build_object('execution_id', p_execution.id), p_now);
  end;
  return (p_execution.id, p_execution.finished_at, v_cause.fingerprint, v_cause.error_type,
    v_cause.normalized_traceback);
end;
$$;
comment on function code_monitor.read_failure(public.eliza_python_executions, timestamptz) is
  'The failure of an execution; unreadable, with a warning in the activity log, when its cause cannot be told.';

create function code_monitor.read_failures(p_max_rows integer, p_seconds numeric, p_now timestamptz)
returns code_monitor.failure[]
language plpgsql volatile set search_path = '' as $$
declare
  v_ends_at constant timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_execution public.eliza_python_executions;
  v_failures code_monitor.failure[] := array[]::code_monitor.failure[];
begin
  -- Rows that another collector has locked are counted by that collector.
  for v_execution in
    select e.* from public.eliza_python_executions e
    where e.status = 'failed' and e.cause_id is null
    order by e.finished_at
    limit p_max_rows
    for no key update skip locked
  loop
    v_failures := v_failures || code_monitor.read_failure(v_execution, p_now);
    exit when clock_timestamp() > v_ends_at;
  end loop;
  return v_failures;
end;
$$;
comment on function code_monitor.read_failures(integer, numeric, timestamptz) is
  'Locks the oldest failed executions without a cause, p_max_rows at most and for about p_seconds at most, and reads '
    'their causes.';

create function code_monitor.add_failures(p_failures code_monitor.failure[], p_now timestamptz)
returns code_monitor.seen_cause
language plpgsql volatile set search_path = '' as $$
declare
  v_seen code_monitor.seen_cause;
  v_known public.code_failure_causes;
  v_new record;
begin
  select fingerprint, min(error_type) as error_type, min(normalized_traceback) as normalized_traceback,
    min(finished_at) as first_seen_at, max(finished_at) as last_seen_at, count(*) as occurrences
  into strict v_new from unnest(p_failures) group by fingerprint;

  insert into public.code_failure_causes (
    fingerprint, error_type, normalized_traceback, status_changed_at, first_seen_at, last_seen_at, occurrences
  ) values (
    v_new.fingerprint, v_new.error_type, v_new.normalized_traceback, p_now, v_new.first_seen_at, v_new.last_seen_at,
    v_new.occurrences
  ) on conflict (fingerprint) do nothing
  returning id, true, false into v_seen;
  if not found then
    select c.* into strict v_known from public.code_failure_causes c
      where c.fingerprint = v_new.fingerprint for no key update;
    -- A failure from before the fix says nothing about the fix, however late it is collected.
    v_seen := (v_known.id, false, v_known.status = 'fixed' and v_new.last_seen_at > v_known.status_changed_at);
    if v_seen.is_reopened then
      update public.code_failure_causes c set
        status = 'open', status_changed_at = p_now, status_changed_by = null,
        status_reason = 'failed again after the fix', reopened_count = c.reopened_count + 1, fix_requests = 0
      where c.id = v_seen.cause_id;
    end if;
    update public.code_failure_causes c set
      first_seen_at = least(c.first_seen_at, v_new.first_seen_at),
      last_seen_at = greatest(c.last_seen_at, v_new.last_seen_at),
      occurrences = c.occurrences + v_new.occurrences
    where c.id = v_seen.cause_id;
  end if;
  update public.eliza_python_executions set cause_id = v_seen.cause_id
  where id in (select execution_id from unnest(p_failures));
  return v_seen;
end;
$$;
comment on function code_monitor.add_failures(code_monitor.failure[], timestamptz) is
  'Adds failures that have one cause to that cause, which is made when it is new and open again when they came after '
    'its fix.';

create function code_monitor.collect_failures(p_max_rows integer default 500, p_now timestamptz default now())
returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  c_enough_seconds constant numeric := 2;
  v_begun_at constant timestamptz := clock_timestamp();
  v_failures code_monitor.failure[];
  v_of_cause code_monitor.failure[];
  v_seen code_monitor.seen_cause[] := array[]::code_monitor.seen_cause[];
begin
  if p_max_rows is null or p_max_rows not between 1 and 5000 then
    raise exception using errcode = '22023',
      message = format('cannot collect failures: p_max_rows must be from 1 to 5000, got %s',
        coalesce(p_max_rows::text, 'null'));
  end if;
  v_failures := code_monitor.read_failures(p_max_rows, c_enough_seconds, p_now);

  -- In the order of the fingerprints, so that two collectors cannot deadlock.
  for v_of_cause in
    select array_agg(failure) from unnest(v_failures) as failure
    group by failure.fingerprint
    order by failure.fingerprint collate "C"
  loop
    v_seen := v_seen || code_monitor.add_failures(v_of_cause, p_now);
  end loop;

  return jsonb_build_object(
    'failures', cardinality(v_failures),
    'causes', array(select cause_id from unnest(v_seen)),
    'new_causes', array(select cause_id from unnest(v_seen) where is_new),
    'reopened_causes', array(select cause_id from unnest(v_seen) where is_reopened),
    -- There may be more after as many rows as were wanted, and when there was no time for them.
    'more', cardinality(v_failures) = p_max_rows
      or clock_timestamp() - v_begun_at > make_interval(secs => c_enough_seconds));
end;
$$;
comment on function code_monitor.collect_failures(integer, timestamptz) is
  'One step: gives each failed execution that has none its cause, oldest first, and counts it there (one that cannot '
    'be read as unreadable, which a line of scheduler_activity names); a fixed cause that failed after it was fixed '
    'is open again. Call again while "more".';

create function public.collect_code_failures(p_max_rows integer default 500) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.collect_failures(p_max_rows);
$$;
comment on function public.collect_code_failures(integer) is
  'code_monitor.collect_failures by the clock of the database.';

revoke all on function public.collect_code_failures(integer) from public, anon, authenticated, service_role;
grant execute on function public.collect_code_failures(integer) to service_role;

-- Asking a model for a fix. code-monitor-daemon claims a cause and calls autonomous-code-fixer, which begins the fix
-- (and so reserves tokens and money), asks the model, and records the answer. Locks are taken in this order: the
-- budget's lock, the cause, its proposals. Only expire_fixes locks proposals first: it skips locked rows, and
-- record_fix does not wait for it.

create function code_monitor.expire_fixes(p_now timestamptz default now()) returns integer
language sql volatile set search_path = '' as $$
  with gone as (
    update public.code_fix_proposals p
      -- The model may have been asked: the reserve counts for its day.
      set status = 'failed', error_message = 'whoever asked the model did not come back', answered_at = p_now,
        usage_unknown = true
      -- Proposals that are being recorded now are locked and skipped.
      where p.id in (
        select g.id from public.code_fix_proposals g
        where g.status = 'asking' and g.asked_until <= p_now for update skip locked)
      returning p.id
  )
  select count(*)::integer from gone;
$$;
comment on function code_monitor.expire_fixes(timestamptz) is
  'Ends questions to the model whose time is up. Returns how many. Their reserves count as used.';

create function code_monitor.claim_fix(p_not_since timestamptz, p_now timestamptz default now()) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_fixes_per_cause constant numeric := scheduler.setting('code_monitor.fixes_per_cause');
  v_cause public.code_failure_causes;
begin
  perform code_monitor.expire_fixes(p_now);
  select c.* into v_cause
  from public.code_failure_causes c
  where c.status = 'open' and c.fix_requests < v_fixes_per_cause
    and (c.fix_claimed_until is null or c.fix_claimed_until <= p_now)
    and (c.last_fix_requested_at is null or c.last_fix_requested_at < p_not_since)
    and exists (select from public.eliza_python_executions e where e.cause_id = c.id)
  order by c.fix_requests, c.last_seen_at desc, c.id
  limit 1
  for no key update skip locked;
  if not found then
    return jsonb_build_object('claimed', false);
  end if;
  update public.code_failure_causes c set
    fix_requests = c.fix_requests + 1, last_fix_requested_at = p_now,
    fix_request_id = gen_random_uuid(), fix_claimed_until = p_now + interval '5 minutes'
  where c.id = v_cause.id
  returning c.* into v_cause;
  return jsonb_build_object('claimed', true, 'cause_id', v_cause.id, 'request_id', v_cause.fix_request_id,
    'error_type', v_cause.error_type, 'attempt', v_cause.fix_requests);
end;
$$;
comment on function code_monitor.claim_fix(timestamptz, timestamptz) is
  'Claims the open cause that most needs a fix and was not asked for since p_not_since, counts the request, and '
    'holds the cause for it for five minutes: {"claimed": true, "cause_id", "request_id", "error_type", "attempt"} or '
    '{"claimed": false}.';

create function public.claim_code_fix(p_not_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.claim_fix(p_not_since);
$$;
comment on function public.claim_code_fix(timestamptz) is
  'code_monitor.claim_fix by the clock of the database.';

create function public.release_code_fix(p_cause_id bigint, p_request_id uuid, p_counts boolean) returns boolean
language sql volatile set search_path = '' as $$
  with released as (
    update public.code_failure_causes c set
      fix_request_id = null, fix_claimed_until = null,
      fix_requests = case when p_counts then c.fix_requests else greatest(c.fix_requests - 1, 0) end
    where c.id = p_cause_id and c.fix_request_id = p_request_id
    returning c.id
  )
  select exists (select from released);
$$;
comment on function public.release_code_fix(bigint, uuid, boolean) is
  'Gives a claim back; p_counts false: the model was not asked, so the request is not counted. False when the claim '
    'has ended.';

create function public.read_code_failure(p_cause_id bigint) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'cause', jsonb_build_object('id', c.id, 'status', c.status, 'error_type', c.error_type,
      'normalized_traceback', c.normalized_traceback, 'occurrences', c.occurrences),
    -- The latest execution, bounded: a model does not read more.
    'execution', (
      select jsonb_build_object('id', e.id, 'purpose', left(e.purpose, 2000), 'code', left(e.code, 200000),
        'traceback', right(e.traceback, 20000), 'stderr', right(e.stderr, 20000))
      from public.eliza_python_executions e
      where e.cause_id = c.id order by e.finished_at desc, e.id limit 1),
    'earlier', coalesce((
      select jsonb_agg(jsonb_build_object('diff', left(t.diff, 8000), 'outcome', t.status, 'reason',
        left(t.decision_reason, 1000)) order by t.id)
      from (
        select p.id, p.diff, p.status, p.decision_reason from public.code_fix_proposals p
        where p.cause_id = c.id and p.status in ('accepted', 'rejected')
        order by p.id desc limit 2
      ) as t), '[]'::jsonb))
  from public.code_failure_causes c
  where c.id = p_cause_id;
$$;
comment on function public.read_code_failure(bigint) is
  'The facts of a cause for the model: {"cause", "execution" (the latest that failed of it, or null), "earlier" (the '
    'last two decided proposals)}; null when there is no such cause.';

create type code_monitor.spending as (tokens numeric, cost_usd numeric);
comment on type code_monitor.spending is 'Tokens of a model and what they cost in US dollars.';

create function code_monitor.spent_on(p_day timestamptz) returns code_monitor.spending
language sql stable set search_path = '' as $$
  -- A question without an answer counts with what it may cost.
  select coalesce(sum(case when p.status = 'asking' or p.usage_unknown then p.reserved_tokens
      else coalesce(p.prompt_tokens, 0) + coalesce(p.completion_tokens, 0) end), 0),
    coalesce(sum(case when p.status = 'asking' or p.usage_unknown then coalesce(p.reserved_cost_usd, 0)
      else coalesce(p.cost_usd, 0) end), 0)
  from public.code_fix_proposals p
  where p.created_at >= p_day and p.created_at < p_day + interval '24 hours';
$$;
comment on function code_monitor.spent_on(timestamptz) is
  'What the questions of the UTC day that begins at p_day cost, or may cost.';

create function code_monitor.budget_refusal(
  p_spent code_monitor.spending, p_needed code_monitor.spending, p_cap code_monitor.spending
) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when p_spent.tokens + p_needed.tokens > p_cap.tokens then
      jsonb_build_object('begun', false, 'reason', 'daily_cap', 'setting', 'code_fixer.daily_tokens',
        'used', p_spent.tokens, 'needed', p_needed.tokens, 'cap', p_cap.tokens)
    when p_spent.cost_usd + coalesce(p_needed.cost_usd, 0) > p_cap.cost_usd then
      jsonb_build_object('begun', false, 'reason', 'daily_cap', 'setting', 'code_fixer.daily_cost_usd',
        'used', p_spent.cost_usd, 'needed', p_needed.cost_usd, 'cap', p_cap.cost_usd)
  end;
$$;
comment on function code_monitor.budget_refusal(code_monitor.spending, code_monitor.spending, code_monitor.spending) is
  'The refusal of a fix that would go beyond a cap of the day; null when there is room for it.';

create function code_monitor.holds_claim(p_cause public.code_failure_causes, p_request_id uuid, p_now timestamptz)
returns boolean
language sql immutable set search_path = '' as $$
  select coalesce(p_cause.fix_claimed_until > p_now and p_cause.fix_request_id = p_request_id, false);
$$;
comment on function code_monitor.holds_claim(public.code_failure_causes, uuid, timestamptz) is
  'Whether the request has the claim on the cause now.';

create function code_monitor.cause_refusal(
  p_cause public.code_failure_causes, p_request_id uuid, p_is_asked boolean, p_cap numeric, p_now timestamptz
) returns jsonb
language sql immutable set search_path = '' as $$
  select case
    when p_cause.id is null then jsonb_build_object('begun', false, 'reason', 'unknown_cause')
    when p_cause.status <> 'open' then
      jsonb_build_object('begun', false, 'reason', 'not_open', 'status', p_cause.status)
    when p_is_asked or p_cause.fix_claimed_until > p_now and not holds_claim then
      jsonb_build_object('begun', false, 'reason', 'asked_already')
    when p_cause.fix_requests >= p_cap and not holds_claim then
      jsonb_build_object('begun', false, 'reason', 'cause_cap', 'fix_requests', p_cause.fix_requests)
  end
  from code_monitor.holds_claim(p_cause, p_request_id, p_now) as holds_claim;
$$;
comment on function code_monitor.cause_refusal(public.code_failure_causes, uuid, boolean, numeric, timestamptz) is
  'The refusal of a fix because of its cause; null when the request may go on. p_is_asked: a proposal has this request '
    'already, or one of this cause is being asked for or waits. p_cap: how many requests a cause may have. A request '
    'that holds the claim was counted against it then.';

create function code_monitor.begin_fix(
  p_cause_id bigint, p_request_id uuid, p_execution_id uuid, p_model text,
  p_reserved_tokens integer, p_reserved_cost_usd numeric, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  c_time_to_answer constant interval := interval '5 minutes';
  v_cause public.code_failure_causes;
  v_request_id uuid := coalesce(p_request_id, gen_random_uuid());
  v_refusal jsonb;
  v_proposal_id bigint;
begin
  -- NaN is greater than any cap, and would stay in the sum until the end of the day.
  if p_reserved_tokens is null or p_reserved_tokens < 0 or p_reserved_cost_usd not between 0 and 1000000 then
    raise exception using errcode = '22023', message = format(
      'cannot begin a fix: p_reserved_tokens must be a number from 0 on and p_reserved_cost_usd null or from 0 to '
        '1000000, got %s and %s',
      coalesce(p_reserved_tokens::text, 'null'), coalesce(p_reserved_cost_usd::text, 'null'));
  end if;
  -- Fixes begin one at a time: two at once could both find the last tokens of the day.
  perform pg_advisory_xact_lock(-7033000001);
  perform code_monitor.expire_fixes(p_now);

  select c.* into v_cause from public.code_failure_causes c where c.id = p_cause_id for no key update;
  v_refusal := coalesce(
    code_monitor.cause_refusal(v_cause, p_request_id,
      exists (select from public.code_fix_proposals p
        where p.request_id = v_request_id or (p.cause_id = p_cause_id and p.status in ('asking', 'pending'))),
      scheduler.setting('code_monitor.fixes_per_cause'), p_now),
    code_monitor.budget_refusal(code_monitor.spent_on(date_trunc('day', p_now, 'UTC')),
      (p_reserved_tokens, p_reserved_cost_usd)::code_monitor.spending,
      (scheduler.setting('code_fixer.daily_tokens'), scheduler.setting_value('code_fixer.daily_cost_usd')::numeric)
        ::code_monitor.spending));
  if v_refusal is not null then
    return v_refusal;
  end if;

  insert into public.code_fix_proposals (
    cause_id, execution_id, request_id, model, reserved_tokens, reserved_cost_usd, created_at, asked_until
  ) values (
    p_cause_id, p_execution_id, v_request_id, p_model, p_reserved_tokens, p_reserved_cost_usd, p_now,
      p_now + c_time_to_answer
  ) returning id into v_proposal_id;
  update public.code_failure_causes c set
    fix_requests = c.fix_requests + (not code_monitor.holds_claim(v_cause, p_request_id, p_now))::integer,
    last_fix_requested_at = p_now, fix_request_id = v_request_id, fix_claimed_until = p_now + c_time_to_answer
  where c.id = p_cause_id;
  return jsonb_build_object('begun', true, 'proposal_id', v_proposal_id);
end;
$$;
comment on function code_monitor.begin_fix(bigint, uuid, uuid, text, integer, numeric, timestamptz) is
  'Before the model is asked: reserves tokens and cost within the day''s caps. {"begun": true, "proposal_id"}, or '
    '{"begun": false, "reason"}: unknown_cause, not_open, asked_already, cause_cap, daily_cap. p_request_id: the '
    'claim, null for a person''s own call, which then counts by itself.';

create function public.begin_code_fix(
  p_cause_id bigint, p_request_id uuid, p_execution_id uuid, p_model text, p_reserved_tokens integer,
  p_reserved_cost_usd numeric
) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.begin_fix(p_cause_id, p_request_id, p_execution_id, p_model, p_reserved_tokens,
    p_reserved_cost_usd);
$$;
comment on function public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric) is
  'code_monitor.begin_fix by the clock of the database.';

create function code_monitor.record_fix(
  p_proposal_id bigint,
  p_diff text, p_reasoning text, p_confidence numeric,
  p_error text,
  p_prompt_tokens integer, p_completion_tokens integer, p_cost_usd numeric, p_usage_unknown boolean,
  p_counts boolean default true, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_cause public.code_failure_causes;
  v_proposal public.code_fix_proposals;
  v_status text;
  v_wrong constant text := case
    when p_confidence not between 0 and 1 then format('p_confidence must be from 0 to 1, got %s', p_confidence)
    when p_prompt_tokens < 0 then format('p_prompt_tokens must be a number from 0 on, got %s', p_prompt_tokens)
    when p_completion_tokens < 0 then format('p_completion_tokens must be a number from 0 on, got %s',
      p_completion_tokens)
    when p_cost_usd not between 0 and 1000000 then format('p_cost_usd must be from 0 to 1000000, got %s', p_cost_usd)
  end;
begin
  if v_wrong is not null then
    raise exception using errcode = '22023', message = 'cannot record a fix: ' || v_wrong;
  end if;
  select c.* into v_cause from public.code_failure_causes c
    where c.id = (select p.cause_id from public.code_fix_proposals p where p.id = p_proposal_id) for no key update;
  -- Not waited for: expire_fixes locks proposals before causes. A proposal that it has locked is over.
  select p.* into v_proposal from public.code_fix_proposals p where p.id = p_proposal_id for update skip locked;
  if v_proposal.id is null or v_proposal.status <> 'asking' then
    return jsonb_build_object('recorded', false,
      'reason', coalesce('it is ' || v_proposal.status, 'there is no such proposal, or it is being ended'));
  end if;
  -- A person may have closed the cause meanwhile.
  v_status := case when p_error is not null then 'failed' when v_cause.status = 'open' then 'pending'
    else 'superseded' end;
  update public.code_fix_proposals p set
    status = v_status, diff = p_diff, reasoning = p_reasoning, confidence = p_confidence, error_message = p_error,
    prompt_tokens = p_prompt_tokens, completion_tokens = p_completion_tokens, cost_usd = p_cost_usd,
    usage_unknown = p_usage_unknown, answered_at = p_now
  where p.id = p_proposal_id;
  update public.code_failure_causes c set
    status = case when v_status = 'pending' then 'proposed' else c.status end,
    status_changed_at = case when v_status = 'pending' then p_now else c.status_changed_at end,
    status_changed_by = case when v_status = 'pending' then v_proposal.model else c.status_changed_by end,
    status_reason = case when v_status = 'pending' then format('proposal %s waits for a person', p_proposal_id)
      else c.status_reason end
  where c.id = v_cause.id;
  perform public.release_code_fix(v_cause.id, v_proposal.request_id, p_counts);
  return jsonb_build_object('recorded', true, 'status', v_status);
end;
$$;
comment on function code_monitor.record_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean, timestamptz) is
  'Records the model''s answer: a proposal that waits for a person (the cause is proposed then), or, with p_error, a '
    'failure; settles what was reserved. p_counts false: the request says nothing of the cause and is not counted. '
    '{"recorded": true, "status"} or {"recorded": false, "reason"}.';

create function public.record_code_fix(
  p_proposal_id bigint, p_diff text, p_reasoning text, p_confidence numeric, p_error text, p_prompt_tokens integer,
  p_completion_tokens integer, p_cost_usd numeric, p_usage_unknown boolean, p_counts boolean default true
) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.record_fix(
    p_proposal_id, p_diff, p_reasoning, p_confidence, p_error, p_prompt_tokens, p_completion_tokens, p_cost_usd,
    p_usage_unknown, p_counts);
$$;
comment on function public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean) is
  'code_monitor.record_fix by the clock of the database.';

create function code_monitor.state(p_now timestamptz default now()) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'at', p_now,
    'fixes_per_run', scheduler.setting('code_monitor.fixes_per_run'),
    'open_causes', count(*) filter (where c.status = 'open'),
    -- No request is left for these causes: a person has to decide.
    'exhausted_causes', count(*) filter (where c.status = 'open'
      and c.fix_requests >= scheduler.setting('code_monitor.fixes_per_cause')),
    'waiting_proposals', count(*) filter (where c.status = 'proposed'),
    'github_token', (
      -- The key in the worst state, if there are several.
      select jsonb_build_object('status', case when k.expires_at <= p_now then 'invalid' else k.status end,
        'since', k.status_since, 'checked_at', k.checked_at, 'expires_at', k.expires_at)
      from public.api_key_health k
      where k.provider = 'github'
      order by array_position(
        array['invalid', 'expiring', 'unreachable', 'rate_limited', 'unchecked', 'not_configured', 'valid'],
        case when k.expires_at <= p_now then 'invalid' else k.status end), k.key_name
      limit 1))
  from public.code_failure_causes c
  where c.status in ('open', 'proposed');
$$;
comment on function code_monitor.state(timestamptz) is
  'What code-monitor-daemon reports beside its own work, and "at" which moment: causes that are open, exhausted or '
    'wait for a person, and the GitHub token as api_key_health has it (null when none was checked).';

create function public.code_monitor_state() returns jsonb
language sql stable security definer set search_path = '' as $$
  select code_monitor.state();
$$;
comment on function public.code_monitor_state() is
  'code_monitor.state by the clock of the database.';

revoke all on function public.claim_code_fix(timestamptz) from public, anon, authenticated, service_role;
revoke all on function public.release_code_fix(bigint, uuid, boolean) from public, anon, authenticated, service_role;
revoke all on function public.read_code_failure(bigint) from public, anon, authenticated, service_role;
revoke all on function
  public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric)
from public, anon, authenticated, service_role;
revoke all on function
  public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean, boolean)
from public, anon, authenticated, service_role;
revoke all on function public.code_monitor_state() from public, anon, authenticated, service_role;
grant execute on function public.claim_code_fix(timestamptz) to service_role;
grant execute on function public.release_code_fix(bigint, uuid, boolean) to service_role;
grant execute on function public.read_code_failure(bigint) to service_role;
grant execute on function public.begin_code_fix(bigint, uuid, uuid, text, integer, numeric) to service_role;
grant execute on function public.record_code_fix(bigint, text, text, numeric, text, integer, integer, numeric, boolean,
  boolean)
  to service_role;
grant execute on function public.code_monitor_state() to service_role;

-- Decisions of a person: accept or reject a proposal, or set the status of a cause. Accepting does not change any code:
-- it says that the person has applied the fix, so a later failure opens the cause again.

create function code_monitor.lock_pending_fix(p_proposal_id bigint, p_author text) returns public.code_fix_proposals
language plpgsql volatile set search_path = '' as $$
declare
  v_proposal public.code_fix_proposals;
begin
  if p_author is null or p_author !~ '\S' then
    raise exception using errcode = '22023', message = 'cannot decide on a proposal: p_author must say who decides';
  end if;
  perform from public.code_failure_causes c
    where c.id = (select p.cause_id from public.code_fix_proposals p where p.id = p_proposal_id) for no key update;
  select p.* into v_proposal from public.code_fix_proposals p where p.id = p_proposal_id for update;
  if v_proposal.id is null then
    raise exception using errcode = 'SD010', message = format('cannot decide on proposal %s: there is no such proposal',
      p_proposal_id);
  end if;
  if v_proposal.status <> 'pending' then
    raise exception using errcode = 'SD204', message = format('cannot decide on proposal %s: it is %s', p_proposal_id,
      v_proposal.status)
      || coalesce(format(' by %s since %s', v_proposal.decided_by, v_proposal.decided_at), '');
  end if;
  return v_proposal;
end;
$$;
comment on function code_monitor.lock_pending_fix(bigint, text) is
  'Locks a proposal that waits, and its cause. Raises SD010 for an unknown proposal; SD204 for one that does not '
    'wait; 22023 without p_by.';

create function code_monitor.accept_fix(
  p_proposal_id bigint, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
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
  return jsonb_build_object('proposal_id', p_proposal_id, 'status', 'accepted',
    'cause_id', v_proposal.cause_id, 'cause_status', 'fixed', 'diff', v_proposal.diff);
end;
$$;
comment on function code_monitor.accept_fix(bigint, text, text, timestamptz) is
  'A person takes the proposal: its cause is fixed, until it fails again. Applies nothing; the diff is in the answer. '
    'Raises SD010 for an unknown proposal; SD204 unless it is pending.';

create function public.accept_code_fix(p_proposal_id bigint, p_reason text, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.accept_fix(p_proposal_id, p_reason, p_author);
$$;
comment on function public.accept_code_fix(bigint, text, text) is
  'code_monitor.accept_fix by the clock of the database.';

create function code_monitor.reject_fix(
  p_proposal_id bigint, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
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
  return jsonb_build_object('proposal_id', p_proposal_id, 'status', 'rejected',
    'cause_id', v_proposal.cause_id, 'cause_status', 'open');
end;
$$;
comment on function code_monitor.reject_fix(bigint, text, text, timestamptz) is
  'A person does not want the proposal: its cause is open again, and may be asked for again; the model is told the '
    'reason then. Raises SD010 for an unknown proposal; SD204 unless it is pending.';

create function public.reject_code_fix(p_proposal_id bigint, p_reason text, p_author text) returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.reject_fix(p_proposal_id, p_reason, p_author);
$$;
comment on function public.reject_code_fix(bigint, text, text) is
  'code_monitor.reject_fix by the clock of the database.';

create function code_monitor.set_failure_status(
  p_cause_id bigint, p_status text, p_reason text, p_author text, p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
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
  return jsonb_build_object('cause_id', p_cause_id, 'was', v_cause.status, 'status', p_status);
end;
$$;
comment on function code_monitor.set_failure_status(bigint, text, text, text, timestamptz) is
  'A person sets the status of a cause: fixed (until it fails again), ignored (until it is opened), open (fixes '
    'may be asked for anew, counted from none). A proposal that waits is superseded. Raises SD011 for an unknown '
    'cause; 22023 for an unknown status, or without p_by.';

create function public.set_code_failure_status(p_cause_id bigint, p_status text, p_reason text, p_author text)
returns jsonb
language sql security definer set search_path = '' as $$
  select code_monitor.set_failure_status(p_cause_id, p_status, p_reason, p_author);
$$;
comment on function public.set_code_failure_status(bigint, text, text, text) is
  'code_monitor.set_failure_status by the clock of the database.';

revoke all on function public.accept_code_fix(bigint, text, text) from public, anon, authenticated, service_role;
revoke all on function public.reject_code_fix(bigint, text, text) from public, anon, authenticated, service_role;
revoke all on function
  public.set_code_failure_status(bigint, text, text, text)
from public, anon, authenticated, service_role;
grant execute on function public.accept_code_fix(bigint, text, text) to service_role;
grant execute on function public.reject_code_fix(bigint, text, text) to service_role;
grant execute on function public.set_code_failure_status(bigint, text, text, text) to service_role;

-- The figures of the causes of failing code in the health check.

create function code_monitor.code_health() returns jsonb
language sql stable set search_path = '' as $$
  with causes as (
    select count(*) filter (where status = 'open') as open,
      count(*) filter (where status = 'proposed') as proposed,
      count(*) filter (where status = 'open' and reopened_count > 0) as came_back
    from public.code_failure_causes
    where status in ('open', 'proposed')
  ), proposals as (
    select min(answered_at) as oldest from public.code_fix_proposals where status = 'pending'
  ), unseen as (
    select min(finished_at) as oldest from public.eliza_python_executions where status = 'failed' and cause_id is null
  )
  select jsonb_build_object(
    'watched', causes.open + causes.proposed,
    'figures', jsonb_build_object(
      'open_causes', causes.open,
      'came_back', causes.came_back,
      'unseen_seconds', scheduler.seconds_since(unseen.oldest),
      'oldest_proposal_seconds', scheduler.seconds_since(proposals.oldest)
    ),
    'details', jsonb_build_object('open', causes.open, 'proposed', causes.proposed),
    'notes', '[]'::jsonb
  )
  from causes, proposals, unseen;
$$;
comment on function code_monitor.code_health() is
  'Figures of the causes of failing Python code: open ones, those that came back after a fix, failures that were '
    'not collected, and how long the oldest proposal waits for a person.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('code', 'code-monitor', 'Code failures', 2, 'code_monitor.code_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('code', 'open_causes', 'open causes', 'count', 'higher', 10, 100, null),
  ('code', 'came_back', 'came back after a fix', 'count', 'higher', 1, 10, null),
  -- The monitor runs every two hours.
  ('code', 'unseen_seconds', 'not looked at for', 'seconds', 'higher', 18000, 86400, null),
  ('code', 'oldest_proposal_seconds', 'oldest proposal waits', 'seconds', 'higher', 259200, 1209600, null);

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

-- Only the owner uses this schema. Each function in public grants its own rights.
revoke all on all functions in schema code_monitor from public, anon, authenticated, service_role;
revoke all on all tables in schema code_monitor from public, anon, authenticated, service_role;
revoke all on all sequences in schema code_monitor from public, anon, authenticated, service_role;

select scheduler.register_job(
  name => 'code-monitor-daemon',
  schedule => '30 1-23/2 * * *',
  description => 'Failed Python executions by cause, a fix asked for each, the GitHub token'
);
