-- The ledger and pg_cron's log grow for ever unless somebody prunes them.

create or replace function scheduler.prune(p_now timestamptz, p_limit integer default 5000) returns integer
language plpgsql set search_path = '' as $$
declare
  v_pruned integer := 0;
  v_count integer;
begin
  delete from public.scheduler_runs where id in (
    select id from public.scheduler_runs
    where status in ('completed', 'skipped') and completed_at < p_now - make_interval(days => scheduler.setting('keep_successes_days'))
    limit p_limit);
  get diagnostics v_count = row_count;
  v_pruned := v_pruned + v_count;

  delete from public.scheduler_runs where id in (
    select id from public.scheduler_runs
    where status in ('failed', 'missed', 'cancelled') and completed_at < p_now - make_interval(days => scheduler.setting('keep_failures_days'))
    limit p_limit);
  get diagnostics v_count = row_count;
  v_pruned := v_pruned + v_count;

  -- pg_cron never prunes its own log, and gives it no index but the run id: the oldest ids are looked at first.
  delete from cron.job_run_details where runid in (
    select runid from (
      select runid, status, start_time, end_time from cron.job_run_details order by runid limit 4 * p_limit
    ) as oldest
    where coalesce(end_time, start_time) < p_now - make_interval(days =>
        case status when 'failed' then scheduler.setting('keep_cron_failures_days') else scheduler.setting('keep_cron_successes_days') end)
    limit p_limit);
  get diagnostics v_count = row_count;
  return v_pruned + v_count;
end;
$$;
comment on function scheduler.prune(timestamptz, integer) is
  'Deletes old rows of the ledger and of cron.job_run_details, at most p_limit of each kind; failures are kept longer than successes. Returns how many.';

revoke all on function scheduler.prune(timestamptz, integer) from public, anon, authenticated, service_role;
