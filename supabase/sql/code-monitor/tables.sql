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
