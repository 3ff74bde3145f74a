-- The state of each API key. The key itself is never stored.
create table public.api_key_health (
  id uuid primary key default gen_random_uuid(),
  provider text not null check (provider ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  key_name text not null default 'default' check (length(key_name) between 1 and 100),
  key_last_four text check (length(key_last_four) <= 4),
  status text not null default 'unchecked'
    check (status in ('unchecked', 'valid', 'invalid', 'expiring', 'rate_limited', 'unreachable', 'not_configured')),
  status_since timestamptz not null default now() check (isfinite(status_since)),
  checked_at timestamptz check (isfinite(checked_at)),
  expires_at timestamptz check (expires_at > '-infinity'),
  rate_limit bigint check (rate_limit >= 0),
  rate_limit_remaining bigint check (rate_limit_remaining >= 0),
  rate_limit_resets_at timestamptz check (isfinite(rate_limit_resets_at)),
  latency_ms integer check (latency_ms >= 0),
  http_status integer check (http_status between 100 and 599),
  consecutive_failures integer not null default 0 check (consecutive_failures >= 0),
  error_message text,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  unique (provider, key_name)
);

comment on table public.api_key_health is
  'How each API key fares, one row a key. Holds the last four characters of a key at most, never the key.';
comment on column public.api_key_health.status_since is 'Since when the key has this status.';
comment on column public.api_key_health.key_name is 'The key that the functions use is default; the monitor writes no '
  'other.';
comment on column public.api_key_health.expires_at is 'When the key expires, if the provider says so (infinity: '
  'never); after a check without an answer: as it was said before of the same key.';
comment on column public.api_key_health.rate_limit is
  'The requests that the provider allows in its window, at ElevenLabs characters; null when it does not say.';
comment on column public.api_key_health.rate_limit_resets_at is 'When calls are answered again, or the window begins '
  'anew.';
comment on column public.api_key_health.latency_ms is
  'How long the provider took to answer the last check, in milliseconds; null when it gave no answer.';
comment on column public.api_key_health.consecutive_failures is
  'Checks in a row, up to the last, that found the key neither valid nor expiring; 0 for a key that is not configured.';
comment on column public.api_key_health.error_message is
  'Why the key has this status, in short; for a valid key a note, such as a permission that it lacks.';

select scheduler.bound_times('public.api_key_health', array['status_since', 'checked_at']);

alter table public.api_key_health enable row level security;
revoke all on public.api_key_health from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.api_key_health to service_role;

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('api-keys', 'api_key_health.expiring_days', '14', 'days', 0, 999, 'an API key that expires within so many days is '
    'expiring');
