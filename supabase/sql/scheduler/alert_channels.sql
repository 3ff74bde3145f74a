-- Where alerts go. Addresses and tokens are in Vault; a channel has the names of its secrets.

create table public.scheduler_alert_channels (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  kind text not null
    check (kind in ('slack', 'discord', 'teams', 'email', 'pagerduty', 'webhook', 'dead_man')),
  address_secret text,
  token_secret text,
  sender_secret text,
  least_severity text not null default 'warning' check (least_severity in ('info', 'warning', 'critical')),
  jobs text[] not null default '{}',
  groups text[] not null default '{}',
  quiet_from time,
  quiet_until time,
  time_zone text not null default 'UTC',
  enabled boolean not null default true,
  created_at timestamptz not null default now() check (isfinite(created_at)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check ((quiet_from is null) = (quiet_until is null))
);
alter table public.scheduler_alert_channels enable row level security;
revoke all on public.scheduler_alert_channels from public, anon, authenticated, service_role;
grant select on public.scheduler_alert_channels to service_role;

comment on table public.scheduler_alert_channels is
  'Where alerts go, one row a channel. Written by scheduler.register_alert_channel. While none is enabled, no rule is '
    'looked at.';
comment on column public.scheduler_alert_channels.address_secret is
  'The name in Vault of the address: a URL; of an e-mail its recipients, with commas between them.';
comment on column public.scheduler_alert_channels.token_secret is
  'The name in Vault of the token: Resend''s API key, PagerDuty''s routing key, a webhook''s signing secret.';
comment on column public.scheduler_alert_channels.sender_secret is
  'The name in Vault of the address from which an e-mail comes.';
comment on column public.scheduler_alert_channels.least_severity is
  'Alerts of a lower severity do not go there; info also takes the status line.';
comment on column public.scheduler_alert_channels.jobs is
  'Only alerts of these jobs, or of the groups. Both empty: all. An alert of no job goes everywhere.';
comment on column public.scheduler_alert_channels.quiet_from is
  'From this local time to quiet_until nothing is said there; what still lasts then is said then.';

create function scheduler.alert_parts(p_kind text) returns text[]
language sql immutable set search_path = '' as $$
  select case
    when p_kind = 'email' then array['address', 'token', 'sender']
    when p_kind = 'pagerduty' then array['token']
    when p_kind = 'webhook' then array['address', 'token']
    else array['address'] end;
$$;
comment on function scheduler.alert_parts(text) is 'Which secrets a channel of that kind needs.';

create function scheduler.alert_secret_name(p_channel public.scheduler_alert_channels, p_part text) returns text
language sql immutable set search_path = '' as $$
  select case p_part when 'address' then p_channel.address_secret when 'token' then p_channel.token_secret
    when 'sender' then p_channel.sender_secret end;
$$;
comment on function scheduler.alert_secret_name(public.scheduler_alert_channels, text) is
  'The name in Vault of that part of the channel.';

-- Plain http is for a receiver on the same machine.
create function scheduler.alert_secret_fault(p_kind text, p_part text, p_secret text) returns text
language sql immutable set search_path = '' as $$
  select case
    when p_secret is null then 'is not in Vault'
    when p_secret collate "C" ~ '[^ -~]' then 'must be of printable ASCII characters'
    when p_secret ~ '^\s|\s$' or p_secret = '' then 'must not be empty, or begin or end with a blank'
    when p_part = 'address' and p_kind <> 'email'
      and p_secret !~ '^(https://[^\s/@?#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)([/?]\S*)?$'
      then 'must be an https URL'
    when p_part = 'address' and p_kind = 'email'
      and p_secret !~ '^[^\s,@<>]+@[^\s,@<>]+(\s*,\s*[^\s,@<>]+@[^\s,@<>]+)*$'
      then 'must be e-mail addresses with commas between them'
    when p_part = 'sender' and p_secret !~ '^([^<>,]+<[^\s,@<>]+@[^\s,@<>]+>|[^\s,@<>]+@[^\s,@<>]+)$'
      then 'must be an e-mail address, with a name or without'
    when p_part = 'token' and p_kind = 'webhook' and (p_secret !~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'
      or length(p_secret) % 4 <> 2)
      then 'must be whsec_ and the base64 of 24 to 64 bytes'
    when p_part = 'token' and p_secret ~ '\s' then 'must not hold a blank' end;
$$;
comment on function scheduler.alert_secret_fault(text, text, text) is
  'What is wrong with the address, token or sender of a channel of that kind, as the end of "its address …", without '
    'showing it; null when nothing is.';

create function scheduler.alert_secrets(p_channel public.scheduler_alert_channels) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(part, decrypted_secret), '{}')
  from unnest(scheduler.alert_parts(p_channel.kind)) as part
    left join vault.decrypted_secrets on name = scheduler.alert_secret_name(p_channel, part);
$$;
comment on function scheduler.alert_secrets(public.scheduler_alert_channels) is
  'What Vault holds for the channel: {"address", "token", "sender"}, those that its kind needs.';

-- Names are not quoted: somebody may have given the secret itself.
create function scheduler.alert_secrets_fault(p_channel public.scheduler_alert_channels, p_secrets jsonb) returns text
language sql immutable set search_path = '' as $$
  select format('its %s %s', part, fault)
  from unnest(scheduler.alert_parts(p_channel.kind)) with ordinality as parts (part, place),
    lateral scheduler.alert_secret_fault(p_channel.kind, part, p_secrets ->> part) as fault
  where fault is not null order by place limit 1;
$$;
comment on function scheduler.alert_secrets_fault(public.scheduler_alert_channels, jsonb) is
  'What is wrong with the secrets of a channel; null when nothing is.';

create function scheduler.alert_channel_fault(p_channel public.scheduler_alert_channels) returns text
language plpgsql stable set search_path = '' as $$
begin
  if p_channel.quiet_from is not null and p_channel.time_zone is not null then
    perform scheduler.assert_time_zone(p_channel.time_zone);
  end if;
  return case
    when p_channel.name is null or p_channel.name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then 'name must be 1 to 63 of a-z, '
      '0-9, - and _, the first a letter or digit'
    when p_channel.kind is null or p_channel.kind not in ('slack', 'discord', 'teams', 'email', 'pagerduty', 'webhook',
      'dead_man') then 'kind must be slack, discord, teams, email, pagerduty, webhook or dead_man'
    when p_channel.least_severity is null or p_channel.least_severity not in ('info', 'warning', 'critical')
      then 'least_severity must be info, warning or critical'
    when (p_channel.quiet_from is null) <> (p_channel.quiet_until is null)
      then 'quiet_from and quiet_until must be given together'
    when p_channel.time_zone is null or p_channel.enabled is null or array_position(p_channel.jobs, null) is not null
      or array_position(p_channel.groups, null) is not null or p_channel.jobs is null or p_channel.groups is null
      then 'time_zone, enabled, jobs and groups must be given'
    when not p_channel.jobs <@ array(select name from public.scheduler_jobs) then 'jobs must be registered jobs'
    when not p_channel.groups <@ array(select name from public.scheduler_groups)
      then 'groups must be registered groups'
    else scheduler.alert_secrets_fault(p_channel, scheduler.alert_secrets(p_channel)) end;
end;
$$;
comment on function scheduler.alert_channel_fault(public.scheduler_alert_channels) is
  'The first thing that is wrong with a channel''s values, or with what Vault holds for it; null when nothing is. '
    'Raises 22023 for an unknown time zone.';

create function scheduler.register_alert_channel(
  name text, kind text, reason text, author text, address_secret text default null, token_secret text default null,
  sender_secret text default null, least_severity text default 'warning', jobs text[] default '{}',
  groups text[] default '{}', quiet_from time default null, quiet_until time default null,
  time_zone text default 'UTC', enabled boolean default true, p_now timestamptz default clock_timestamp()
) returns void
language plpgsql set search_path = '' as $$
declare
  v_channel public.scheduler_alert_channels := row(name, kind,
    coalesce(address_secret, 'alert_' || name || '_address'), coalesce(token_secret, 'alert_' || name || '_token'),
    coalesce(sender_secret, 'alert_' || name || '_sender'),
    least_severity, jobs, groups, quiet_from, quiet_until, time_zone, enabled, p_now, p_now);
  v_before public.scheduler_alert_channels;
  v_fault text;
begin
  perform scheduler.assert_given('register the alert channel', 'reason and author',
    'select scheduler.register_alert_channel(''ops'', ''slack'', ''why'', ''who'')', reason, author);
  v_fault := scheduler.alert_channel_fault(v_channel);
  if v_fault is not null then
    raise exception using errcode = '22023',
      message = format('cannot register the alert channel: %s', v_fault),
      hint = 'secrets are in Vault under alert_<name>_address, alert_<name>_token and alert_<name>_sender, or the '
        'names that are given';
  end if;
  -- Only the names of secrets that its kind needs are kept.
  if not 'address' = any (scheduler.alert_parts(kind)) then v_channel.address_secret := null; end if;
  if not 'token' = any (scheduler.alert_parts(kind)) then v_channel.token_secret := null; end if;
  if not 'sender' = any (scheduler.alert_parts(kind)) then v_channel.sender_secret := null; end if;
  select channels.* into v_before from public.scheduler_alert_channels as channels where channels.name = v_channel.name;
  v_channel.created_at := coalesce(v_before.created_at, p_now);
  if v_before.name is null then
    insert into public.scheduler_alert_channels select (v_channel).*;
  else
    update public.scheduler_alert_channels as channels
      set (kind, address_secret, token_secret, sender_secret, least_severity, jobs, groups, quiet_from, quiet_until,
        time_zone, enabled, updated_at) = (v_channel.kind, v_channel.address_secret, v_channel.token_secret,
        v_channel.sender_secret, v_channel.least_severity, v_channel.jobs, v_channel.groups, v_channel.quiet_from,
        v_channel.quiet_until, v_channel.time_zone, v_channel.enabled, p_now)
      where channels.name = v_channel.name;
  end if;
  if not v_channel.enabled then
    delete from public.scheduler_alert_deliveries where channel = v_channel.name and status in ('waiting', 'sent');
  end if;
  perform scheduler.audit('register_alert_channel', 'alert_channel', v_channel.name, reason, author,
    case when v_before.name is not null then to_jsonb(v_before) end, to_jsonb(v_channel), p_now);
end;
$$;
comment on function scheduler.register_alert_channel(text, text, text, text, text, text, text, text, text[], text[],
  time, time, text, boolean, timestamptz) is
  'Registers a channel, or changes it to exactly these values; what still waits to be said there goes with enabled => '
    'false. Its secrets have to be in Vault before: without names '
    'they are alert_<name>_address, alert_<name>_token, alert_<name>_sender. Raises 22023 for a wrong argument, a '
    'missing or wrong secret, a missing reason or author.';

create function scheduler.assert_alert_channel(p_name text) returns public.scheduler_alert_channels
language plpgsql stable set search_path = '' as $$
declare
  v_channel public.scheduler_alert_channels;
begin
  select * into v_channel from public.scheduler_alert_channels where name = p_name;
  if not found then
    raise exception using errcode = 'SD015', message = format('there is no alert channel named %L', left(p_name, 63)),
      hint = format('the channels are: %s',
        (select coalesce(string_agg(name, ', ' order by name), 'none yet') from public.scheduler_alert_channels));
  end if;
  return v_channel;
end;
$$;
comment on function scheduler.assert_alert_channel(text) is
  'The channel. Raises SD015, and names the channels there are, when there is none of that name.';

create function scheduler.unregister_alert_channel(
  p_name text, p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns void
language plpgsql set search_path = '' as $$
declare
  v_channel constant public.scheduler_alert_channels := scheduler.assert_alert_channel(p_name);
begin
  perform scheduler.assert_given('take the alert channel out', 'reason and author',
    format('select scheduler.unregister_alert_channel(%L, ''why'', ''who'')', p_name), p_reason, p_author);
  delete from public.scheduler_alert_channels where name = p_name;
  perform scheduler.audit('unregister_alert_channel', 'alert_channel', p_name, p_reason, p_author, to_jsonb(v_channel),
    null, p_now);
end;
$$;
comment on function scheduler.unregister_alert_channel(text, text, text, timestamptz) is
  'Takes a channel out, with what was still to be said there; its secrets stay in Vault. Raises SD015 for an unknown '
    'channel; 22023 for a missing reason or author.';

create function scheduler.is_quiet(p_from time, p_until time, p_time_zone text, p_now timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select coalesce(case
    when p_from <= p_until then local >= p_from and local < p_until
    else local >= p_from or local < p_until end, false)
  from (select (p_now at time zone scheduler.shown_time_zone(p_time_zone))::time as local) as clock;
$$;
comment on function scheduler.is_quiet(time, time, text, timestamptz) is
  'Whether the local time lies in the quiet hours, which may pass midnight; false without any, or when both ends are '
    'the same.';

create function scheduler.severity_rank(p_severity text) returns integer
language sql immutable set search_path = '' as $$
  select array_position(array['info', 'warning', 'critical'], p_severity);
$$;
comment on function scheduler.severity_rank(text) is 'info 1, warning 2, critical 3.';

create function scheduler.channel_wants(
  p_channel public.scheduler_alert_channels, p_severity text, p_jobs text[], p_groups text[]
) returns boolean
language sql immutable set search_path = '' as $$
  select p_channel.enabled and p_channel.kind <> 'dead_man'
    and scheduler.severity_rank(p_severity) >= scheduler.severity_rank(p_channel.least_severity)
    and (p_jobs = '{}' or p_channel.jobs = '{}' and p_channel.groups = '{}'
      or p_channel.jobs && p_jobs or p_channel.groups && p_groups);
$$;
comment on function scheduler.channel_wants(public.scheduler_alert_channels, text, text[], text[]) is
  'Whether an alert of that severity, of these jobs and their groups, goes to the channel, apart from quiet hours.';
