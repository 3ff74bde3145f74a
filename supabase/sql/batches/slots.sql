-- Calls under way at once. A provider's concurrency holds for all runs of all batch jobs together: a task that a run
-- claims in order to call it takes one of the provider's slots until its result is written.

create table batches.calls (
  task_id bigint primary key,
  provider text not null references public.batch_providers (name) on update cascade on delete cascade,
  job_id uuid not null,
  token uuid not null,
  tries_provider boolean not null,
  foreign key (job_id, token) references batches.leases (job_id, token) on delete cascade
);
create index batch_calls_provider_idx on batches.calls (provider);
create index batch_calls_lease_idx on batches.calls (job_id, token);
alter table batches.calls enable row level security;
revoke all on batches.calls from public, anon, authenticated, service_role;
comment on table batches.calls is
  'Which task''s call takes a slot of which provider. A row goes with the lease it came with. A task that is claimed '
    'without regard to concurrency has a row only if it tries a provider.';
comment on column batches.calls.tries_provider is 'It tries whether the provider, whose breaker is half-open, is back.';

create table batches.waits (
  provider text references public.batch_providers (name) on update cascade on delete cascade,
  job_id uuid references public.batch_jobs (id) on delete cascade,
  waits_until timestamptz not null check (isfinite(waits_until)),
  primary key (provider, job_id)
);
create index batch_waits_job_id_idx on batches.waits (job_id);
alter table batches.waits enable row level security;
revoke all on batches.waits from public, anon, authenticated, service_role;
comment on table batches.waits is
  'Which batch job has tasks that wait for a slot of which provider. Its processor asks each second; one that has not '
    'asked until waits_until waits no more.';

create function batches.free_slots(p_provider text, p_concurrency integer, p_job_id uuid,
  p_now timestamptz) returns integer
language plpgsql stable set search_path = '' as $$
declare
  v_own integer;
  v_others integer;
  v_share integer;
  v_short integer;
begin
  with calls as (
    select calls.job_id, count(*)::integer as calls
    from batches.calls as calls join batches.leases as leases using (job_id, token)
    where calls.provider = p_provider and leases.leased_until > p_now
    group by 1
  ),
  jobs as (
    select job_id, coalesce(calls.calls, 0) as calls, waits.job_id is not null as waits
    from calls full join (
      select job_id from batches.waits where provider = p_provider and waits_until > p_now) as waits using (job_id)
  ),
  shares as (
    select greatest(1, p_concurrency / (1 + count(*) filter (where job_id <> p_job_id)::integer)) as share from jobs
  )
  select share, coalesce(sum(calls) filter (where job_id = p_job_id), 0),
    coalesce(sum(calls) filter (where job_id <> p_job_id), 0),
      coalesce(sum(greatest(0, share - calls)) filter (where job_id <> p_job_id and waits), 0)
    into v_share, v_own, v_others, v_short
    from shares left join jobs on true
    group by share;
  -- Its own share first. Beyond it only slots that no batch job needs which waits and has less than its share.
  return greatest(0, least(p_concurrency - v_own - v_others, v_share - v_own),
    p_concurrency - v_own - v_others - v_short);
end;
$$;
comment on function batches.free_slots(text, integer, uuid, timestamptz) is
  'How many more calls of the provider the batch job may begin now. Batch jobs that wait for one provider get equal '
    'shares of it, as calls end. The caller holds the lock of the provider''s row.';

create function batches.keep_waits(p_job_id uuid, p_providers text[], p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  delete from batches.waits where job_id = p_job_id and provider <> all (p_providers);
  insert into batches.waits (provider, job_id, waits_until)
    select each.provider, p_job_id, p_now + interval '3 seconds'
      from (select distinct unnest(p_providers) as provider) as each
    on conflict (provider, job_id) do update set waits_until = excluded.waits_until;
end;
$$;
comment on function batches.keep_waits(uuid, text[], timestamptz) is
  'Records that the batch job waits for slots of these providers and of no other. The caller holds its lock.';
