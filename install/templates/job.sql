-- What my-job works on, one row an item, and its work, which is one statement.

create table public.my_job_items (
  id bigint generated always as identity primary key,
  due_at timestamptz not null default now() check (isfinite(due_at)),
  done_at timestamptz check (isfinite(done_at))
);
create index my_job_items_due_at_idx on public.my_job_items (due_at) where done_at is null;
create index my_job_items_done_at_idx on public.my_job_items (done_at) where done_at is not null;

comment on table public.my_job_items is 'What my-job has to do, one row an item.';
comment on column public.my_job_items.done_at is 'When it was done; null: not yet.';

-- Said in so many words: what is new in public is open to anon in an older project, closed to all in a new one.
alter table public.my_job_items enable row level security;
revoke all on public.my_job_items from public, anon, authenticated, service_role;
revoke all on sequence public.my_job_items_id_seq from public, anon, authenticated, service_role;
grant select, insert, update on public.my_job_items to service_role;

-- May be called twice, and at the same time: what another call works on is left to it.
create function public.my_job(p_limit integer default 1000) returns integer
language sql set search_path = '' as $$
  with due as (
    select id from public.my_job_items where done_at is null and due_at <= now()
    order by due_at limit p_limit for update skip locked
  ), done as (
    update public.my_job_items as items set done_at = now() from due where items.id = due.id
    returning items.id
  )
  select count(*)::integer from done;
$$;
comment on function public.my_job(integer) is
  'Does the oldest of my_job_items that are due, at most p_limit; returns how many.';
revoke all on function public.my_job(integer) from public, anon, authenticated;
grant execute on function public.my_job(integer) to service_role;

-- prune-old-rows deletes what was done; how many days it stays is the setting retention.my_job_items_days.
select scheduler.add_retention_rule(
  'my-job', 'my_job_items', 90, 'done_at < $1', 'how long items of my-job stay that are done');
