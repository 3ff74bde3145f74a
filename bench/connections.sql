-- A fleet that has been connected for an hour; the sessions are put back before each round.
insert into public.devices (id, device_fingerprint, status, last_seen_at)
select md5(n::text)::uuid, n, 'online', now() - interval '1 hour' from generate_series(1, 20000) as n;

insert into public.device_connection_sessions (device_id, connected_at, last_heartbeat_at)
select id, now() - interval '1 hour', now() - interval '10 minutes' from public.devices;
