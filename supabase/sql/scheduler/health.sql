-- The health of the system: each pack registers its components, system-health reads them all and keeps a report.
--
-- A component is one function that counts and judges nothing:
--   {"watched": 12, "figures": {"<figure>": number or null, ...}, "details": {...}, "notes": ["..."]}
-- watched is the number of things that are looked at (0: the component is idle); a figure is null where it cannot be
-- told; details names the table or the job.

create table scheduler.health_components (
  component text primary key check (component ~ '^[a-z][a-z0-9_]*$'),
  pack text not null,
  label text not null,
  weight integer not null check (weight between 2 and 100 and weight % 2 = 0),
  function_name text not null check (function_name ~ '^[a-z_]+\.[a-z0-9_]+$'),
  place integer generated always as identity
);
alter table scheduler.health_components enable row level security;

comment on table scheduler.health_components is 'What system-health looks at, one row a component.';
comment on column scheduler.health_components.weight is
  'Points in the score, in relation to the other weights; even, so that half of it is whole.';
comment on column scheduler.health_components.function_name is
  'The function () returns jsonb that counts; see scheduler.read_health.';

create table scheduler.health_figures (
  component text not null references scheduler.health_components (component) on delete cascade,
  figure text not null check (figure ~ '^[a-z][a-z0-9_]*$'),
  label text not null,
  unit text not null check (unit in ('percent', 'seconds', 'count', 'bytes')),
  worse text not null check (worse in ('higher', 'lower')),
  degraded numeric check (degraded > '-Infinity' and degraded < 'Infinity'),
  critical numeric check (critical > '-Infinity' and critical < 'Infinity'),
  culprit text,
  place integer generated always as identity,
  primary key (component, figure),
  constraint health_figures_critical_is_worse check (
    case worse when 'higher' then degraded <= critical else degraded >= critical end)
);
alter table scheduler.health_figures enable row level security;

comment on table scheduler.health_figures is
  'The figures of each component and when they are trouble; degraded and critical may be updated, and hold from the '
    'next check on.';
comment on column scheduler.health_figures.worse is 'higher: trouble from the threshold on; lower: trouble below it.';
comment on column scheduler.health_figures.degraded is 'The threshold; null: never.';
comment on column scheduler.health_figures.critical is 'The threshold; null: never.';
comment on column scheduler.health_figures.culprit is
  'Which of the details names the culprit; null: there is none to name.';
comment on column scheduler.health_figures.place is
  'The most telling figures first: of a healthy component a report shows the first two.';

create table public.scheduler_health_history (
  id bigint generated always as identity primary key,
  job_name text not null,
  scheduled_for timestamptz not null check (isfinite(scheduled_for)),
  checked_at timestamptz not null check (isfinite(checked_at)),
  score smallint not null check (score between 0 and 100),
  status text not null check (status in ('healthy', 'degraded', 'critical')),
  summary text not null,
  report text not null,
  components jsonb not null check (jsonb_typeof(components) = 'object'),
  created_at timestamptz not null default now() check (isfinite(created_at)),
  unique (job_name, scheduled_for)
);

create index scheduler_health_history_checked_at_idx on public.scheduler_health_history (checked_at);

comment on table public.scheduler_health_history is
  'What every health check found: one row an occurrence; a retry writes over the row of the attempt before it.';
comment on column public.scheduler_health_history.components is
  'By component: status, points, weight, and each figure with its thresholds.';

alter table public.scheduler_health_history enable row level security;
revoke all on public.scheduler_health_history from public, anon, authenticated, service_role;
revoke all on sequence public.scheduler_health_history_id_seq from public, anon, authenticated, service_role;
-- The health check writes its history through scheduler_record_health alone.
grant select on public.scheduler_health_history to service_role;

select scheduler.add_retention_rule('scheduler', 'scheduler_health_history', 180, 'checked_at < $1');

-- A share of few runs is null: one failure of two is not half of a system that fails.
create function scheduler.percent(p_part bigint, p_whole bigint, p_at_least bigint default 1) returns numeric
language sql immutable set search_path = '' as $$
  select case when p_whole >= greatest(p_at_least, 1) then round(100.0 * p_part / p_whole, 1) end;
$$;
comment on function scheduler.percent(bigint, bigint, bigint) is
  'The share in percent, to one place; null where the whole is less than p_at_least.';

create function scheduler.seconds_since(p_since timestamptz) returns numeric
language sql stable set search_path = '' as $$
  -- greatest alone would make 0 of null: "since now" of "never".
  select case when p_since is not null then greatest(0, round(extract(epoch from now() - p_since))) end;
$$;
comment on function scheduler.seconds_since(timestamptz) is
  'Whole seconds since that moment, 0 for one in the future (clocks differ), null for null.';

create function scheduler.read_health(p_component text) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_function constant text := (select function_name from scheduler.health_components where component = p_component);
  v_reading jsonb;
begin
  if v_function is null then
    raise exception using errcode = 'SD005', message = format('there is no component %s',
      coalesce(quote_literal(p_component), 'null')),
      hint = format('the components are: %s', (select string_agg(component, ', ' order by place)
        from scheduler.health_components));
  end if;
  execute format('select %s()', v_function) into v_reading;
  return v_reading;
end;
$$;
comment on function scheduler.read_health(text) is
  'What the function of a component counts: {"watched", "figures": {"<figure>": number or null}, "details", "notes"}. '
    'Raises SD005 for an unknown component.';

create function scheduler.record_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb, p_now timestamptz default now()
) returns bigint
language sql set search_path = '' as $$
  insert into public.scheduler_health_history as history
    (job_name, scheduled_for, checked_at, score, status, summary, report, components)
  values (p_job_name, p_scheduled_for, p_now, p_score, p_status, p_summary, p_report, p_components)
  on conflict (job_name, scheduled_for) do update set
    checked_at = excluded.checked_at, score = excluded.score, status = excluded.status,
    summary = excluded.summary, report = excluded.report, components = excluded.components
  returning history.id;
$$;
comment on function scheduler.record_health(text, timestamptz, integer, text, text, text, jsonb, timestamptz) is
  'Keeps what a health check found, once an occurrence: the attempt that ran last is the one that counts. Returns the '
    'row''s id.';

-- The doors for system-health. Security definer because service_role has no right in the private schemas.
-- PostgREST applies statement_timeout to the whole call; no component waits for a lock longer than lock_timeout.

create function public.scheduler_health_components() returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'component', component, 'label', label, 'weight', weight, 'figures', (
      select coalesce(jsonb_agg(to_jsonb(figures) - 'component' - 'place' order by place), '[]')
      from scheduler.health_figures as figures where figures.component = components.component)
  ) order by place), '[]')
  from scheduler.health_components as components;
$$;
comment on function public.scheduler_health_components() is
  'What there is to look at, in order: [{"component", "label", "weight", "figures": [{"figure", "label", "unit", '
    '"worse", "degraded", "critical", "culprit"}]}].';

create function public.scheduler_read_health(p_component text) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select scheduler.read_health(p_component);
$$;
comment on function public.scheduler_read_health(text) is 'scheduler.read_health for system-health.';

create function public.scheduler_record_health(
  p_job_name text, p_scheduled_for timestamptz, p_score integer, p_status text,
  p_summary text, p_report text, p_components jsonb
) returns bigint
language sql security definer set search_path = '' set statement_timeout = '3s' set lock_timeout = '2s' as $$
  select scheduler.record_health(p_job_name, p_scheduled_for, p_score, p_status, p_summary, p_report, p_components);
$$;
comment on function public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb) is
  'scheduler.record_health by the clock of the database.';

revoke all on function
  public.scheduler_health_components(),
  public.scheduler_read_health(text),
  public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb)
from public, anon, authenticated;
grant execute on function public.scheduler_health_components(), public.scheduler_read_health(text),
  public.scheduler_record_health(text, timestamptz, integer, text, text, text, jsonb) to service_role;
