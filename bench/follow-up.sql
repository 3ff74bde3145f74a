-- As a run ends, a bare request leaves in the same transaction.
create schema bench;
create table bench.posts (run_id uuid primary key, request_id bigint not null, posted_at timestamptz not null);

create function bench.post() returns trigger language plpgsql as $$
begin
  insert into bench.posts
    select new.id, net.http_post(rtrim(decrypted_secret, '/') || '/functions/v1/bare', '{}'::jsonb), clock_timestamp()
    from vault.decrypted_secrets where name = 'project_url';
  return null;
end;
$$;

create trigger post after update on public.scheduler_runs for each row
  when (new.status = 'completed' and old.status <> 'completed') execute function bench.post();

-- From the end of a run to the first line of what follows it, and to that of the bare request, in milliseconds.
create function bench.lags(p_job text, p_after text, out followed double precision, out bare double precision)
returns setof record language sql as $$
  select (follower.result ->> 'at')::double precision - extract(epoch from posted_at) * 1000,
    (content::jsonb ->> 'at')::double precision - extract(epoch from posted_at) * 1000
  from public.scheduler_runs as ended
    join bench.posts on run_id = ended.id
    join net._http_response as answer on answer.id = posts.request_id
    join lateral (
      select result from public.scheduler_runs
      where job_name = p_job and status = 'completed' and started_at > ended.completed_at
      order by started_at limit 1) as follower on true
  where ended.job_name = p_after;
$$;
