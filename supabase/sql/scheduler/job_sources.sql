-- Who registered a job: schedules.json, a pack's own SQL, or, where the job has no row here, SQL of the project.

create table scheduler.job_sources (
  job_name text primary key references public.scheduler_jobs (name) on delete cascade,
  source text not null check (source ~ '^[a-z][a-z0-9-]{0,62}$'),
  applied jsonb,
  applied_at timestamptz check (isfinite(applied_at)),
  check ((applied is null) = (applied_at is null))
);
alter table scheduler.job_sources enable row level security;
revoke all on scheduler.job_sources from public, anon, authenticated, service_role;

comment on table scheduler.job_sources is
  'Who registered a job, one row a job. A job without a row was registered by SQL of the project.';
comment on column scheduler.job_sources.source is
  'The section of schedules.json, which for a pack''s jobs has the pack''s name; or the pack whose SQL registered it.';
comment on column scheduler.job_sources.applied is
  'The values with which schedules.json registered the job last. Null: the SQL of the pack registers it.';

create function scheduler.note_source(p_source text, p_job_name text, p_applied jsonb) returns void
language sql set search_path = '' as $$
  insert into scheduler.job_sources as sources (job_name, source, applied, applied_at)
    select name, p_source, p_applied, case when p_applied is not null then clock_timestamp() end
    from public.scheduler_jobs where name = p_job_name
    on conflict (job_name) do update
      set source = excluded.source, applied = excluded.applied, applied_at = excluded.applied_at;
$$;
comment on function scheduler.note_source(text, text, jsonb) is
  'Notes that the job was registered by that section of schedules.json, with these values, or with null by the SQL of '
    'that pack. Of a name that no job has it notes nothing.';
