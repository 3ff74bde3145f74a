-- All lock in one order: organization, batch job, leases, tasks, providers. Otherwise processors and the deletion of an
-- organization would deadlock.

create function batches.lock_job(p_job_id uuid) returns public.batch_jobs
language plpgsql set search_path = '' as $$
declare
  v_job public.batch_jobs;
begin
  -- Postgres checks the foreign key of a row that is updated twice in a transaction, which locks the organization.
  perform from public.organizations
    where id = (select organization_id from public.batch_jobs where id = p_job_id) for key share;
  select * into v_job from public.batch_jobs where id = p_job_id for no key update;
  return v_job;
end;
$$;
comment on function batches.lock_job(uuid) is
  'Locks the batch job, and its organization against deletion. All null when there is no such batch job.';

-- The cascade of the delete alone would lock tasks before their batch job.
create function batches.lock_jobs_of_organization() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.batch_jobs where organization_id = old.id and completed_at is null order by id for no key update;
  return old;
end;
$$;
comment on function batches.lock_jobs_of_organization() is
  'Locks the open batch jobs of an organization before it is deleted with its tasks. Security definer: who may delete '
    'an organization may only read its batch jobs.';

create trigger lock_jobs_of_organization before delete on public.organizations
  for each row execute function batches.lock_jobs_of_organization();
