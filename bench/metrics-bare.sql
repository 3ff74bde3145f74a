-- What the metrics are measured against: each of the five tables grouped by device and hour, in the cheapest form
-- (date_bin, not date_trunc), the result added up so that nobody has to fetch it. No session is cut into hours.
select sum(events)::int as rows, sum(figure) as figure
from (
  select device_id, date_bin('1 hour', occurred_at, '2000-01-01 00:00+00'),
    count(*) as events, count(*) filter (where severity = 'error') as figure
  from public.device_activity_log
  where occurred_at >= '2026-03-01 00:00+00' and occurred_at < '2026-03-02 00:00+00'
  group by 1, 2
  union all
  select device_id, date_bin('1 hour', connected_at, '2000-01-01 00:00+00'),
    0, extract(epoch from sum(disconnected_at - connected_at))
  from public.device_connection_sessions
  where connected_at >= '2026-03-01 00:00+00' and connected_at < '2026-03-02 00:00+00'
  group by 1, 2
  union all
  select device_id, date_bin('1 hour', started_at, '2000-01-01 00:00+00'),
    0, extract(epoch from sum(ended_at - started_at)) + sum(energy_wh) + sum(energy_wh * efficiency_percent)
  from public.charging_sessions
  where started_at >= '2026-03-01 00:00+00' and started_at < '2026-03-02 00:00+00'
  group by 1, 2
  union all
  select device_id, date_bin('1 hour', occurred_at, '2000-01-01 00:00+00'),
    0, count(*) filter (where status = 'validated') + count(*) filter (where status = 'rejected') + sum(points)
  from public.pop_events_ledger
  where occurred_at >= '2026-03-01 00:00+00' and occurred_at < '2026-03-02 00:00+00'
  group by 1, 2
  union all
  select device_id, date_bin('1 hour', issued_at, '2000-01-01 00:00+00'),
    0, count(*) filter (where status = 'completed') + count(*) filter (where status = 'failed')
  from public.engagement_commands
  where issued_at >= '2026-03-01 00:00+00' and issued_at < '2026-03-02 00:00+00'
  group by 1, 2
) grouped
