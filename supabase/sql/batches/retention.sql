-- How long batch jobs that are over stay.

-- The oldest batch job first, and its tasks before itself: it may have more of them than a step may delete.
create function batches.prune_jobs(p_before timestamptz, p_limit integer) returns integer
language plpgsql set search_path = '' as $$
declare
  v_job_id uuid;
  v_count integer;
  v_deleted integer := 0;
begin
  -- One scan of the index. A new one for each batch job would read past all that have just been deleted.
  for v_job_id in
    select id from public.batch_jobs where completed_at < p_before
      order by completed_at limit p_limit for update skip locked
  loop
    delete from public.batch_tasks where ctid = any (array(
      select ctid from public.batch_tasks where job_id = v_job_id limit p_limit - v_deleted));
    get diagnostics v_count = row_count;
    v_deleted := v_deleted + v_count;
    exit when v_deleted >= p_limit;
    delete from public.batch_jobs where id = v_job_id;
    v_deleted := v_deleted + 1;
  end loop;
  return v_deleted;
end;
$$;
comment on function batches.prune_jobs(timestamptz, integer) is
  'Deletes the oldest batch jobs that are over, with their tasks and answers; returns how many rows of jobs and tasks.';

select scheduler.add_retention_rule('batches', 'batch_jobs', 730, what => 'how long batch jobs that are over stay, '
  'with their tasks and answers',
  prune_function => 'batches.prune_jobs');
