-- Demo data for the start: a small fleet and two days of its life, ending now. Loading it again adds nothing: ids
-- follow from numbers, not from the time. `deno task demo-data` makes more. Its devices, agents and organizations say
-- "(demo)" in their names. While the stack runs cli/demo-life.sql lets them go on.

------------------------------------------------------------------------------------------------------------------
-- Devices: connections, charging, activity, proof of participation, commands
------------------------------------------------------------------------------------------------------------------

insert into public.devices (id, device_fingerprint, name, device_type, os, app_version, wallet_address, status, battery_percent,
  last_seen_at, registered_at)
select md5('seed device ' || n)::uuid, 'seed-' || n,
  (array['Pixel 8', 'Galaxy S23', 'Moto G', 'Fairphone 5', 'ThinkPad', 'Galaxy Tab', 'Pixel 6a', 'Xperia 10',
         'Nokia X30', 'Wall charger', 'OnePlus 11', 'Old tablet'])[n] || ' (demo)',
  (array['phone', 'phone', 'phone', 'phone', 'laptop', 'tablet', 'phone', 'phone', 'phone', 'charger', 'phone', 'tablet'])[n],
  (array['android', 'android', 'android', 'android', 'linux', 'android', 'android', 'android', 'android', 'firmware', 'android', 'android'])[n],
  '2.' || n % 4, '0x' || md5('seed wallet ' || n),
  case when n <= 8 then 'online' when n = 12 then 'retired' else 'offline' end,
  (n * 37) % 96 + 5,
  now() - case when n < 8 then interval '20 seconds' * n when n = 8 then interval '50 minutes' else interval '5 hours' * (n - 8) end,
  now() - interval '30 days'
from generate_series(1, 12) n
on conflict do nothing;

-- Sessions of two to six hours with breaks; the newest of devices 1 to 8 are open, and 8 has gone silent.
insert into public.device_connection_sessions (id, device_id, session_key, status, connected_at, last_heartbeat_at, disconnected_at,
  disconnect_reason, app_version)
select md5('seed session ' || n || ' ' || k)::uuid, md5('seed device ' || n)::uuid, 'seed-' || n || '-' || k,
  case when is_open then 'active' when (n + k) % 5 = 0 then 'timed_out' else 'ended' end,
  starts_at,
  case when not is_open then ends_at when n = 8 then now() - interval '50 minutes' else now() - interval '20 seconds' * n end,
  case when not is_open then ends_at end,
  case when is_open then null when (n + k) % 5 = 0 then 'heartbeat_timeout' else 'client_disconnect' end,
  '2.' || n % 4
from generate_series(1, 11) n
cross join generate_series(0, 5) k
cross join lateral (select n <= 8 and k = 0 as is_open, (hashint8(n * 100 + k) & 1023) / 1023.0 as roll) r
cross join lateral (
  select now() - interval '8 hours' * k - interval '1 hour' * case when n <= 8 then 1.5 + 3 * roll else 6.5 + roll end as starts_at
) s
cross join lateral (select starts_at + interval '1 hour' * (2 + 3.2 * roll) as ends_at) e
on conflict do nothing;

-- Three charges a device; that of device 1 goes on, one of device 4 was not measured.
insert into public.charging_sessions (id, device_id, status, started_at, last_reading_at, ended_at, energy_wh, efficiency_percent,
  start_battery_percent, end_battery_percent)
select md5('seed charge ' || n || ' ' || k)::uuid, md5('seed device ' || n)::uuid,
  case when is_open then 'charging' when (n + k) % 7 = 0 then 'interrupted' else 'completed' end,
  starts_at, case when is_open then now() - interval '1 minute' else ends_at end, case when not is_open then ends_at end,
  case when n = 4 and k = 1 then null else round((4 + 12 * roll)::numeric, 3) end,
  round((70 + 26 * roll)::numeric, 2), 10 + n, case when not is_open then 80 + n end
from generate_series(1, 11) n
cross join generate_series(0, 2) k
cross join lateral (select n = 1 and k = 0 as is_open, (hashint8(n * 1000 + k) & 1023) / 1023.0 as roll) r
cross join lateral (
  select now() - interval '16 hours' * k - interval '1 hour' * case when n = 1 and k = 0 then 1.6 else 5 + 3 * roll end as starts_at
) s
cross join lateral (select starts_at + interval '1 hour' * (1.5 + 3 * roll) as ends_at) e
on conflict do nothing;

-- A report every four minutes of connection. Numbers below zero never meet those of the sequence.
insert into public.device_activity_log (id, device_id, occurred_at, activity_type, severity, details)
select -(n * 1000000 + k * 10000 + i), md5('seed device ' || n)::uuid, c.connected_at + interval '4 minutes' * i,
  (array['heartbeat', 'telemetry', 'heartbeat', 'sync', 'app_foreground'])[1 + (hashint8(i) & 1023) % 5],
  case when (n * 31 + i * 7) % 89 = 0 then 'error' when (n * 31 + i * 7) % 23 = 0 then 'warning' else 'info' end,
  case when (n * 31 + i * 7) % 89 = 0 then '{"code": "upload_failed"}'::jsonb end
from generate_series(1, 11) n
cross join generate_series(0, 5) k
join public.device_connection_sessions c on c.id = md5('seed session ' || n || ' ' || k)::uuid
cross join lateral generate_series(0, floor(extract(epoch from coalesce(c.disconnected_at, c.last_heartbeat_at) - c.connected_at) / 240)::integer) i
-- The key begins with the time, which moves with now(): a second loading is told by the devices' first rows.
where not exists (select from public.device_activity_log a where a.device_id = md5('seed device 1')::uuid and a.id < 0)
on conflict do nothing;

insert into public.pop_events_ledger (id, device_id, event_type, points, status, occurred_at, validated_at, validation_method, wallet_address)
select md5('seed pop ' || n || ' ' || k)::uuid, md5('seed device ' || n)::uuid,
  (array['sustained_connection', 'charging_session_completed', 'thermal_data_collection', 'diagnostic_report_submitted'])[1 + (n + k) % 4],
  2 + (n * k) % 9, s.status, t.at, case when s.status <> 'pending' then t.at + interval '5 minutes' end,
  case when s.status <> 'pending' then 'automatic' end, '0x' || md5('seed wallet ' || n)
from generate_series(1, 11) n
cross join generate_series(0, 9) k
cross join lateral (select now() - interval '287 minutes' * k - interval '11 minutes' * n as at) t
cross join lateral (select case when k = 0 and n % 2 = 0 then 'pending' when (n + k) % 11 = 0 then 'rejected' else 'validated' end as status) s
on conflict do nothing;

-- A few wait for their device, and one of these has waited too long.
insert into public.engagement_commands (id, device_id, command_type, status, issued_at, issued_by, sent_at, acknowledged_at, finished_at,
  expires_at, error_message)
select md5('seed command ' || n || ' ' || k)::uuid, md5('seed device ' || n)::uuid,
  (array['notify', 'sync_now', 'calibrate_battery', 'run_diagnostics'])[1 + (n + k) % 4], s.status, t.at, 'demo',
  case when s.status in ('completed', 'failed') then t.at + interval '20 seconds' end,
  case when s.status in ('completed', 'failed') then t.at + interval '25 seconds' end,
  case when s.status in ('completed', 'failed') then t.at + interval '90 seconds' end,
  t.at + interval '6 hours', case when s.status = 'failed' then 'device refused the command' end
from generate_series(1, 11) n
cross join generate_series(0, 3) k
cross join lateral (select now() - interval '10 hours' * k - interval '9 minutes' * n as at) t
cross join lateral (
  select case
    when k = 0 and n in (2, 5, 9) or k = 1 and n = 11 then 'pending'
    when (n + k) % 9 = 0 then 'failed' when (n + k) % 13 = 0 then 'expired' else 'completed'
  end as status
) s
on conflict do nothing;

-- Handed over to a session that ended before the device acknowledged: device 3 gets the first again now that it is
-- connected, device 10 when it comes back; device 4 has one for its present session.
insert into public.engagement_commands (id, device_id, command_type, priority, status, issued_at, issued_by, sent_at,
  handed_over_count, handed_to_session_id, expires_at)
select md5('seed command handed over ' || n)::uuid, c.device_id, 'update_settings', 3, 'sent',
  c.connected_at + interval '5 minutes', 'demo', c.connected_at + interval '6 minutes', 1, c.id, now() + interval '2 days'
from (values (3, 1), (4, 0), (10, 0)) as given (n, k)
join public.device_connection_sessions c on c.id = md5('seed session ' || n || ' ' || k)::uuid
on conflict do nothing;


-- ====================================================================================================================
-- The platform: agents, their tasks and conversations, API keys, Python executions.
-- Times are relative to now(), so that system-health finds: a key that cannot be reached and one about to expire, an
-- agent in error, a task that got stuck, and Python that fails for the same few reasons. None of it is critical: what
-- is made up must alarm nobody. Loading this again changes nothing.
-- ====================================================================================================================

insert into public.agents (id, name, role, model, skills, status, status_changed_at, last_heartbeat_at, last_error)
select ('a0000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid, name || ' (demo)', role, model, skills, status,
  now() - changed, now() - beat, last_error
from (values
  (1, 'eliza', 'orchestrator', 'gpt-4o', array['planning', 'delegation', 'conversation'], 'busy', interval '12 minutes', interval '20 seconds', null),
  (2, 'code-surgeon', 'developer', 'deepseek-coder', array['python', 'typescript', 'debugging'], 'busy', interval '40 minutes', interval '35 seconds', null),
  (3, 'device-whisperer', 'device operations', 'gpt-4o-mini', array['telemetry', 'commands'], 'idle', interval '2 hours', interval '15 seconds', null),
  (4, 'charge-planner', 'analyst', 'gpt-4o-mini', array['forecasting', 'charging'], 'idle', interval '5 hours', interval '50 seconds', null),
  (5, 'repository-scout', 'analyst', 'gpt-4o-mini', array['github', 'reporting'], 'idle', interval '1 day', interval '25 seconds', null),
  (6, 'community-host', 'support', 'gpt-4o-mini', array['conversation', 'translation'], 'busy', interval '3 minutes', interval '5 seconds', null),
  (7, 'voice-of-eliza', 'speech', 'eleven-multilingual', array['speech'], 'error', interval '55 minutes', interval '57 minutes', 'speech quota of this month is used up'),
  (8, 'miner-liaison', 'support', 'gpt-4o-mini', array['conversation'], 'offline', interval '6 days', interval '6 days', null)
) as seed (number, name, role, model, skills, status, changed, beat, last_error)
on conflict do nothing;

-- 30 tasks of the last day, three of them failed; and what is open now.
insert into public.tasks (id, agent_id, title, category, priority, status, attempts, created_at, updated_at, started_at, completed_at, error_message)
select ('b0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
  ('a0000000-0000-4000-8000-' || lpad((1 + n % 6)::text, 12, '0'))::uuid,
  (array['Summarize the charging sessions of the morning', 'Answer the open issues of the week', 'Explain the drop in validated PoP events',
    'Draft the release notes', 'Check the firmware of silent devices'])[1 + n % 5],
  (array['analysis', 'community', 'analysis', 'development', 'devices'])[1 + n % 5],
  1 + n % 9, case when n % 9 = 4 then 'failed' else 'completed' end, 1 + (n % 9 = 4)::integer * 2,
  ended - interval '50 minutes', ended, ended - interval '20 minutes', ended,
  case when n % 9 = 4 then 'the model answered with an empty completion three times' end
from (select n, now() - n * interval '45 minutes' as ended from generate_series(1, 30) as n) as done
on conflict do nothing;

insert into public.tasks (id, agent_id, title, category, priority, status, attempts, created_at, updated_at, started_at, due_at)
select ('b0000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid,
  ('a0000000-0000-4000-8000-' || lpad(agent::text, 12, '0'))::uuid,
  title, category, priority, status, attempts, now() - created, now() - updated,
  case when status = 'in_progress' then now() - updated end, now() + due
from (values
  (101, 2, 'Find out why the calibration script runs out of memory', 'development', 2, 'in_progress', 1, interval '9 hours', interval '7 hours', interval '5 hours'),
  (102, 2, 'Fix the import error of the forecast', 'development', 3, 'in_progress', 1, interval '50 minutes', interval '8 minutes', interval '6 hours'),
  (103, 1, 'Plan the work of the week', 'planning', 4, 'in_progress', 1, interval '30 minutes', interval '12 minutes', interval '1 day'),
  (104, 4, 'Forecast the charging load of tomorrow', 'analysis', 5, 'pending', 0, interval '2 hours', interval '2 hours', interval '10 hours'),
  (105, 5, 'Report on the repositories', 'analysis', 6, 'pending', 0, interval '1 hour', interval '1 hour', interval '20 hours'),
  (106, 3, 'Send the new thresholds to the devices', 'devices', 2, 'blocked', 1, interval '5 hours', interval '1 hour', interval '2 days')
) as seed (number, agent, title, category, priority, status, attempts, created, updated, due)
on conflict do nothing;

-- Twelve people wrote today; one of them has waited for 40 minutes.
insert into public.conversations (id, agent_id, channel, external_id, title, status, message_count, created_at, last_user_message_at, last_agent_message_at, closed_at)
select ('c0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
  ('a0000000-0000-4000-8000-' || lpad((array[1, 6])[1 + n % 2]::text, 12, '0'))::uuid,
  (array['web', 'telegram', 'mobile', 'discord'])[1 + n % 4], 'demo-' || n,
  (array['My charger stays offline', 'How do points become tokens?', 'Battery reads 0 %', 'I would like to contribute'])[1 + n % 4],
  case when n > 12 then 'closed' else 'open' end, 4 + n % 7,
  asked - interval '10 minutes', asked, case when n <> 5 then asked + interval '30 seconds' end,
  case when n > 12 then asked + interval '5 minutes' end
from (select n, now() - case when n = 5 then interval '40 minutes' else n * interval '55 minutes' end as asked
  from generate_series(1, 20) as n) as talks
on conflict do nothing;

-- Keys of nobody, named demo: what the monitor finds of the real ones stands beside them.
insert into public.api_key_health (provider, key_name, key_last_four, status, status_since, checked_at, expires_at, rate_limit,
  rate_limit_remaining, rate_limit_resets_at, latency_ms, http_status, consecutive_failures, error_message)
select provider, 'demo', last_four, status, now() - since, now() - interval '65 minutes', now() + expires, rate_limit, remaining,
  now() + resets, latency, http_status, failures, error_message
from (values
  ('github', 'x7Qd', 'expiring', interval '3 days', interval '9 days', 5000, 4212, interval '38 minutes', 184, 200, 0, null),
  ('openai', 'T3bk', 'valid', interval '41 days', null, null, null, null, 412, 200, 0, null),
  ('deepseek', '91fa', 'unreachable', interval '19 hours', null, null, null, null, 233, 503, 4, 'HTTP 503'),
  ('elevenlabs', 'c0De', 'rate_limited', interval '65 minutes', null, null, null, interval '-64 minutes', 158, 429, 1,
    'rate_limit_exceeded: Too many requests'),
  ('lovable', null, 'not_configured', interval '41 days', null, null, null, null, null, null, 0, null)
) as seed (provider, last_four, status, since, expires, rate_limit, remaining, resets, latency, http_status, failures, error_message)
on conflict do nothing;

-- 36 executions of the last day: nine failed for three reasons, one timed out.
insert into public.eliza_python_executions (id, agent_id, purpose, code, status, exit_code, stdout, stderr, traceback, error_type,
  started_at, finished_at, duration_ms, created_at)
select ('d0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
  ('a0000000-0000-4000-8000-' || lpad((array[2, 4])[1 + n % 2]::text, 12, '0'))::uuid,
  case when failure.error_type is null then 'hourly charging figures' else failure.purpose end,
  coalesce(failure.code, E'import statistics\nprint(statistics.mean(efficiencies))'),
  case when n = 20 then 'timed_out' when failure.error_type is null then 'completed' else 'failed' end,
  case when n = 20 then null when failure.error_type is null then 0 else 1 end,
  case when failure.error_type is null and n <> 20 then (80 + n % 9)::text || '.4' end,
  failure.traceback, failure.traceback, failure.error_type,
  ended - interval '3 seconds', ended, case when n = 20 then 60000 else 900 + 61 * n end, ended - interval '5 seconds'
from (select n, now() - n * interval '38 minutes' as ended from generate_series(1, 36) as n) as executions
left join (values
  (0, 'forecast of the charging load', 'ModuleNotFoundError', E'import prophet\nforecast = prophet.Prophet().fit(history)',
    E'Traceback (most recent call last):\n  File "/tmp/run/main.py", line 1, in <module>\n    import prophet\nModuleNotFoundError: No module named ''prophet'''),
  (5, 'points of a wallet', 'KeyError', E'rows = json.load(open("events.json"))\nprint(sum(row["points"] for row in rows))',
    E'Traceback (most recent call last):\n  File "/tmp/run/main.py", line 4, in <module>\n    print(sum(row["points"] for row in rows))\n  File "/tmp/run/main.py", line 4, in <genexpr>\n    print(sum(row["points"] for row in rows))\nKeyError: ''points'''),
  (8, 'calibration of a battery', 'ZeroDivisionError', E'drift = (full - empty) / cycles\nprint(round(drift, 4))',
    E'Traceback (most recent call last):\n  File "/tmp/run/main.py", line 2, in <module>\n    drift = (full - empty) / cycles\nZeroDivisionError: division by zero')
) as failure (remainder, purpose, error_type, code, traceback) on n % 11 = failure.remainder and n <> 20
on conflict do nothing;


-- ====================================================================================================================
-- Scheduled actions: some due at once, some in the days to come, one that died. Loading this again changes nothing.
-- ====================================================================================================================

select public.schedule_action('reminder', p_id => md5('seed action 1')::uuid, p_name => 'plants', p_due_at => now(),
  p_message => 'Water the plants beside the charger', p_created_by => 'demo');
select public.schedule_action('reminder', p_id => md5('seed action 2')::uuid, p_name => 'stand-up', p_schedule => '30 9 * * mon-fri',
  p_time_zone => 'America/New_York', p_message => 'Stand-up in half an hour', p_created_by => 'demo');
select public.schedule_action('engagement_command', p_id => md5('seed action 3')::uuid, p_name => 'greet', p_due_at => now(),
  p_device_id => md5('seed device 1')::uuid, p_command_type => 'notify', p_payload => '{"text": "Thank you for taking part"}',
  p_command_expires_seconds => 21600, p_created_by => 'demo');
select public.schedule_action('engagement_command', p_id => md5('seed action 4')::uuid, p_name => 'nightly calibration',
  p_schedule => '30 2 * * *', p_time_zone => 'Europe/Berlin', p_device_id => md5('seed device 2')::uuid,
  p_command_type => 'calibrate_battery', p_command_expires_seconds => 86400, p_created_by => 'demo');
select public.schedule_action('edge_function', p_id => md5('seed action 5')::uuid, p_name => 'health before the meeting',
  p_schedule => '45 8 * * mon', p_time_zone => 'Europe/Berlin', p_function_name => 'system-health', p_created_by => 'demo');
-- Waits for a signing secret.
select public.schedule_action('callback', p_id => md5('seed action 6')::uuid, p_name => 'monthly statement', p_due_at => now(),
  p_url => 'https://hooks.example.com/daybook', p_payload => '{"statement": "last month"}', p_created_by => 'demo');

insert into public.scheduled_actions (id, name, kind, url, due_at, next_attempt_at, status, attempts, max_attempts, last_error,
  last_http_status, created_by, created_at, finished_at)
values (md5('seed action 7')::uuid, 'partner report', 'callback', 'https://partner.example.com/report', now() - interval '9 hours',
  now() - interval '7 hours', 'dead', 8, 8, 'HTTP 503', 503, 'demo', now() - interval '2 days', now() - interval '7 hours')
on conflict do nothing;
insert into public.scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts, http_status,
  error_message, finished_at)
select idempotency_key, id, due_at, 'dead', 8, 503, 'HTTP 503', finished_at
from public.scheduled_actions where id = md5('seed action 7')::uuid and status = 'dead'
on conflict do nothing;


-- ====================================================================================================================
-- The ecosystem: two repositories and a fortnight of their days, so that a report has something to say without a token.
-- ====================================================================================================================

insert into public.ecosystem_repositories (full_name, added_at)
values ('octocat/Hello-World', now() - interval '30 days'), ('octocat/Spoon-Knife', now() - interval '30 days')
on conflict do nothing;

insert into public.repository_activity (repository_id, day, commits, issues_opened, issues_closed, pull_requests_opened,
  pull_requests_merged, releases, stars_total, stars_gained, stars_since)
select repository.id, today.day - n, (n * 7 + k) % 9, (n + k) % 3, (n * 2 + k) % 4, (n + k) % 3, (n + 2 * k) % 3, (n % 7 = 3)::integer,
  1000 * k - 3 * n, 3, today.day - n - 1
from (values (1, 'octocat/Hello-World'), (2, 'octocat/Spoon-Knife')) as seed (k, full_name)
join public.ecosystem_repositories as repository on repository.full_name = seed.full_name
cross join generate_series(1, 14) as n
cross join (select (now() at time zone 'UTC')::date as day) as today
-- Days move with now(): a second loading is told by the rows of the first.
where not exists (select from public.repository_activity as earlier where earlier.repository_id = repository.id)
on conflict do nothing;


-- ====================================================================================================================
-- Causes of failed Python: one of three days ago, whose first proposal was rejected and whose second one waits for a
-- person. The failures of the last day are left to code-monitor-daemon. Numbers below zero never meet the sequence's.
-- ====================================================================================================================

insert into public.eliza_python_executions (id, agent_id, purpose, code, status, exit_code, stderr, traceback, error_type,
  started_at, finished_at, duration_ms, created_at)
select ('d0000000-0000-4000-8000-' || lpad((100 + n)::text, 12, '0'))::uuid, 'a0000000-0000-4000-8000-000000000004',
  'energy per wallet', code, 'failed', 1, traceback, traceback, 'TypeError',
  ended - interval '2 seconds', ended, 2000, ended - interval '3 seconds'
from (
  select n, now() - interval '3 days' - n * interval '4 hours' as ended,
    E'totals = {}\nfor row in rows:\n    totals[row["wallet"]] = totals.get(row["wallet"]) + row["energy_wh"]\nprint(totals)\n' as code,
    format(E'Traceback (most recent call last):\n  File "/tmp/run-%s/main.py", line 3, in <module>\n    totals[row["wallet"]] = totals.get(row["wallet"]) + row["energy_wh"]\nTypeError: unsupported operand type(s) for +: ''NoneType'' and ''float''', n) as traceback
  from generate_series(1, 3) as n
) as failed
on conflict do nothing;

insert into public.code_failure_causes (id, fingerprint, error_type, normalized_traceback, status, status_changed_at, status_changed_by,
  status_reason, first_seen_at, last_seen_at, occurrences, fix_requests, last_fix_requested_at)
overriding system value
select -1, cause.fingerprint, cause.error_type, cause.normalized_traceback, 'proposed', now() - interval '2 days', 'demo-model',
  'proposal -1 waits for a person', now() - interval '84 hours', now() - interval '76 hours', 3, 2, now() - interval '2 days'
from public.eliza_python_executions as executions
cross join lateral code_monitor.failure_cause(executions.traceback, executions.stderr, executions.error_type, executions.exit_code) as cause
where executions.id = 'd0000000-0000-4000-8000-000000000101'
on conflict do nothing;

update public.eliza_python_executions set cause_id = -1
where id in ('d0000000-0000-4000-8000-000000000101', 'd0000000-0000-4000-8000-000000000102', 'd0000000-0000-4000-8000-000000000103')
  and cause_id is null;

insert into public.code_fix_proposals (id, cause_id, execution_id, request_id, status, model, diff, reasoning, confidence, reserved_tokens,
  prompt_tokens, completion_tokens, created_at, asked_until, answered_at, decided_at, decided_by, decision_reason)
overriding system value
select number, -1, 'd0000000-0000-4000-8000-000000000101', md5('seed fix ' || number)::uuid, status, 'demo-model', diff, reasoning, confidence, 11000,
  1180, 240, asked, asked + interval '5 minutes', asked + interval '6 seconds', asked + decided, by, reason
from (values
  (-2, 'rejected', now() - interval '3 days', 0.4, interval '1 hour', 'ann', 'a wallet without energy must count as 0, not be left out',
    E'--- a/main.py\n+++ b/main.py\n@@ -1,4 +1,5 @@\n totals = {}\n for row in rows:\n-    totals[row["wallet"]] = totals.get(row["wallet"]) + row["energy_wh"]\n+    if row["wallet"] in totals:\n+        totals[row["wallet"]] += row["energy_wh"]\n print(totals)\n',
    'get() gives None for a wallet that is seen for the first time; such rows are skipped.'),
  (-1, 'pending', now() - interval '2 days', 0.92, null, null, null,
    E'--- a/main.py\n+++ b/main.py\n@@ -1,4 +1,4 @@\n totals = {}\n for row in rows:\n-    totals[row["wallet"]] = totals.get(row["wallet"]) + row["energy_wh"]\n+    totals[row["wallet"]] = totals.get(row["wallet"], 0) + row["energy_wh"]\n print(totals)\n',
    'get() gives None for a wallet that is seen for the first time, and None cannot be added to; with a default of 0 the sum begins there.')
) as seed (number, status, asked, confidence, decided, by, reason, diff, reasoning)
on conflict do nothing;


-- ====================================================================================================================
-- The daily batch: four organizations, what they ask, and two providers that are one model server of the local stack
-- (LOCAL_MODEL_API_URL and LOCAL_MODEL_API_KEY of the functions; without them both providers are "not configured").
-- ====================================================================================================================

insert into public.batch_providers (name, model, api_url_variable, api_key_variable, concurrency,
  prompt_usd_per_million, completion_usd_per_million)
values ('demo-swift', 'swift-1', 'LOCAL_MODEL_API_URL', 'LOCAL_MODEL_API_KEY', 8, 0.15, 0.60)
on conflict do nothing;
insert into public.batch_providers (name, model, api_url_variable, api_key_variable, concurrency, fallback_provider,
  prompt_usd_per_million, completion_usd_per_million)
values ('demo-sage', 'sage-1', 'LOCAL_MODEL_API_URL', 'LOCAL_MODEL_API_KEY', 4, 'demo-swift', 2.50, 10)
on conflict do nothing;

-- The first follows the platform and is new, so that none of its days was missed. The others are due now.
insert into public.organizations (id, name, time_zone, daily_run_at, created_at)
select md5('seed organization ' || n)::uuid, name || ' (demo)', time_zone, daily_run_at,
  case when n = 1 then now() else now() - interval '30 days' end
from (values
  (1, 'Hudson Mobility', null, null),
  (2, 'Sakura Charging', 'Asia/Tokyo', null),
  (3, 'Nordlicht Flotten', 'Europe/Berlin', time '06:30'),
  (4, 'Aloha Solar', 'Pacific/Honolulu', time '00:00')
) as seed (n, name, time_zone, daily_run_at)
on conflict do nothing;

update public.organizations set next_batch_at = now()
where id in (select md5('seed organization ' || n)::uuid from generate_series(2, 4) as n)
  and next_batch_at < now() and not exists (select from public.batch_jobs where organization_id = organizations.id);

insert into public.prompts (id, organization_id, text, created_at)
select md5('seed prompt ' || n || ' ' || k)::uuid, md5('seed organization ' || n)::uuid,
  (array[
    'Which of our chargers were idle for more than two days this week, and why might that be?',
    'Summarize in three sentences what our users complained about.',
    'What should we look at first to lower the share of interrupted charging sessions?',
    'Which of our devices should get the next firmware, and in what order?',
    'How did battery health develop, and what follows from it?',
    'What do comparable fleets do differently at night?'
  ])[1 + (n + 2 * k) % 6],
  now() - interval '29 days'
from generate_series(1, 4) as n
cross join generate_series(1, 3) as k
on conflict do nothing;

-- The weekly suggestions, by the same model server.
update public.scheduler_settings set value = '"demo-sage"' where key = 'weekly_suggestions.provider' and value = 'null';
