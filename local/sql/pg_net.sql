-- A stand-in for pg_net 0.20: the same names, arguments, tables and faults. Its background worker is
-- local/net-worker.ts. Both tables are unlogged: a crash of the server empties them and the ids begin
-- again at 1. Everything is open to every SQL role, as in the real one.
create schema net;

create domain net.http_method as text
  check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index _http_response_created_idx on net._http_response (created);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (
  status net.request_status, message text, response net.http_response
);

-- The worker connects as `pg_net`, which is how it can be seen: a client cannot set its backend type.
create function net.check_worker_is_up() returns void
language plpgsql as $$
begin
  if not exists (
    select from pg_stat_activity
    where backend_type ilike '%pg_net%' or application_name = 'pg_net' and datname = current_database()
  ) then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail =
        'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;
comment on function net.check_worker_is_up() is
  'raises an exception if the pg_net background worker is not up, otherwise it doesn''t return anything';

create function net.worker_restart() returns boolean
language sql as $$ select true from pg_notify('pg_net', 'restart') $$;

create function net.wait_until_running() returns void
language plpgsql as $$
begin
  while not exists (
    select from pg_stat_activity where application_name = 'pg_net' and datname = current_database()
  ) loop
    perform pg_sleep(0.05);
    perform pg_stat_clear_snapshot();
  end loop;
end
$$;
comment on function net.wait_until_running() is 'waits until the worker is running';

-- Delivered when the transaction commits, and not at all when it does not: as the real one.
create function net.wake() returns void
language sql as $$ select pg_notify('pg_net', '') $$;

create function net._await_response(request_id bigint) returns boolean
language plpgsql as $$
begin
  while not exists (select from net._http_response where id = request_id) loop
    perform pg_sleep(0.05);
  end loop;
  return true;
end
$$;

create function net._urlencode_string(string character varying) returns text
language sql immutable as $$
  select string_agg(
    case
      when byte between 48 and 57 or byte between 65 and 90 or byte between 97 and 122
        or byte in (45, 46, 95, 126) then chr(byte)
      else '%' || upper(lpad(to_hex(byte), 2, '0'))
    end, '' order by position)
  from (
    select position, get_byte(convert_to(string, 'UTF8'), position) as byte
    from generate_series(0, octet_length(string) - 1) as position
  ) as bytes
$$;

-- What libcurl says of a URL; null when it takes it. Whether it serves the scheme is seen when it is sent.
create function net._url_problem(url text) returns text
language plpgsql immutable as $$
declare
  v_parts text[] := regexp_match(url, '^([a-z][a-z0-9+.-]*):(/*)([^/?#]*)', 'i');
  v_host text := regexp_replace(v_parts[3], '^.*@', '');
  v_port text := (regexp_match(v_host, '^(?:[^:\[]*|\[[^\]]*\]):(.*)$'))[1];
begin
  return case
    when url = '' or url ~ '[\x01-\x20\x7f]' then 'Malformed input to a URL function'
    when v_parts is null or v_parts[2] = '' then 'Bad scheme'
    when lower(v_parts[1]) not in (
      'dict', 'file', 'ftp', 'ftps', 'gopher', 'gophers', 'http', 'https', 'imap', 'imaps', 'ldap', 'ldaps',
      'mqtt', 'pop3', 'pop3s', 'rtmp', 'rtsp', 'scp', 'sftp', 'smb', 'smbs', 'smtp', 'smtps', 'telnet', 'tftp')
      then 'Unsupported URL scheme'
    when lower(v_parts[1]) = 'file' then null
    when length(v_parts[2]) > 3 then 'Unsupported number of slashes following scheme'
    when v_port ~ '[^0-9]' or length(ltrim(v_port, '0')) > 5 or nullif(v_port, '')::bigint > 65535
      then 'Port number was not a decimal number between 0 and 65535'
    when v_host ~ '^\[' and v_host !~ '^\[[0-9a-f:.]+\](:|$)' then 'Bad IPv6 address'
    when v_host ~ '^(:|$)' then 'No host part in the URL'
    when v_host ~ '[][\\^`{}|<>"''%!$&()*;=+,]' and v_host !~ '^\[' then 'Bad hostname'
  end;
end
$$;

-- The message holds the whole URL, and with it whatever secret is in it: the real one is the same.
create function net._encode_url_with_params_array(url text, params_array text[]) returns text
language plpgsql immutable as $$
declare
  v_parts text[] := regexp_match(url, '^([^:]+):/*([^/?#]+)(/[^?#]*)?(\?[^#]*)?(#.*)?$');
  v_problem text := net._url_problem(url);
  v_query text;
begin
  if url is null then return null; end if;
  if v_problem is not null then
    raise exception using errcode = 'XX000', message = format('invalid URL "%s": %s', url, v_problem);
  end if;
  if url ~* '^file:' then return url; end if;
  v_query := concat_ws('&',
    nullif(ltrim(v_parts[4], '?'), ''), nullif(array_to_string(params_array, '&'), ''));
  return lower(v_parts[1]) || '://' || v_parts[2] || coalesce(v_parts[3], '/')
    || case when v_query <> '' then '?' || v_query else '' end || coalesce(v_parts[5], '');
end
$$;

-- Bytes as text, whether they are text or not: pg_net checks no encoding. It is the server's own function
-- for joining bytea, of which only the name of what comes out is changed.
create function net._joined_unchecked(bytea, bytea) returns text
language internal immutable strict as 'byteacat';
create function net._unchecked_text(bytea) returns text
language sql immutable strict as $$ select net._joined_unchecked($1, '') $$;
revoke all on function net._joined_unchecked, net._unchecked_text from public;

-- The query's text holds the request's headers, and with them its secrets: the real one is the same.
create function net._enqueue(
  p_method text, p_url text, p_params jsonb, p_headers jsonb, p_body bytea, p_timeout integer
) returns bigint
language plpgsql as $$
declare
  v_id bigint;
  v_params text[];
begin
  select coalesce(
    array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
  into v_params from jsonb_each_text(p_params);
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    p_method, net._encode_url_with_params_array(p_url, v_params), p_headers, p_body, p_timeout)
  returning id into v_id;
  perform net.wake();
  return v_id;
end
$$;

create function net.http_get(
  url text, params jsonb default '{}'::jsonb, headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language sql as $$ select net._enqueue('GET', $1, $2, $3, null, $4) $$;

create function net.http_post(
  url text, body jsonb default '{}'::jsonb, params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql as $$
declare
  v_content_type text := (
    select value from jsonb_each_text(coalesce(headers, '{}'::jsonb))
    where lower(key) = 'content-type' limit 1);
begin
  if v_content_type is null then
    headers := headers || '{"Content-Type": "application/json"}'::jsonb;
  end if;
  if v_content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  return net._enqueue(
    'POST', url, params, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds);
end
$$;

create function net.http_delete(
  url text, params jsonb default '{}'::jsonb, headers jsonb default '{}'::jsonb,
  timeout_milliseconds integer default 5000, body jsonb default null
) returns bigint
language sql as $$
  select net._enqueue('DELETE', $1, $2, $3, convert_to($5::text, 'UTF8'), $4)
$$;

create function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql as $$
declare
  v_response net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select * into v_response from net._http_response where id = request_id;
  if v_response is null or v_response.error_msg is not null then
    return row(
      'ERROR', coalesce(v_response.error_msg, 'request matching request_id not found'), null
    )::net.http_response_result;
  end if;
  return row(
    'SUCCESS', 'ok',
    row(v_response.status_code, v_response.headers, v_response.content)::net.http_response
  )::net.http_response_result;
end
$$;

create function net.http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  return net._http_collect_response(request_id, async);
end
$$;

grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;

call pg_temp.register_stand_in('pg_net', '0.20.0', 'extensions', 'net');
