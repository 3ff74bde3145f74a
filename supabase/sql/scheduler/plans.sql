-- What the platform's plans allow and cost. Prices change: these are rows for a person to correct.

create table public.scheduler_plans (
  plan text primary key check (plan ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  wall_clock_seconds integer check (wall_clock_seconds >= 1),
  invocations_included bigint check (invocations_included >= 0),
  invocations_package bigint check (invocations_package >= 1),
  usd_a_package numeric check (usd_a_package >= 0 and usd_a_package < 'Infinity'),
  wall_seconds_included bigint check (wall_seconds_included >= 0),
  usd_a_wall_second numeric check (usd_a_wall_second >= 0 and usd_a_wall_second < 'Infinity'),
  source text not null check (source ~ '\S'),
  looked_up_on date not null check (isfinite(looked_up_on)),
  updated_at timestamptz not null default now() check (isfinite(updated_at)),
  check ((invocations_package is null) = (usd_a_package is null))
);
alter table public.scheduler_plans enable row level security;
revoke all on public.scheduler_plans from public, anon, authenticated, service_role;
grant select on public.scheduler_plans to service_role;

comment on table public.scheduler_plans is
  'What plans allow and cost a month, one row a plan: what forecasts of wall clock and cost reckon with. Change a row '
    'when a price changes, or add one; the setting forecast.plan names the one that holds.';
comment on column public.scheduler_plans.wall_clock_seconds is 'How long a worker may live; null: no limit.';
comment on column public.scheduler_plans.invocations_included is
  'Calls of edge functions a month without a further price; null: any number.';
comment on column public.scheduler_plans.usd_a_package is
  'For each begun package of so many calls above what is included; null: more cannot be bought.';
comment on column public.scheduler_plans.usd_a_wall_second is
  'For each second that a function works above wall_seconds_included; null: seconds cost nothing.';
comment on column public.scheduler_plans.looked_up_on is 'When the source said so.';

create trigger set_updated_at before update on public.scheduler_plans
  for each row execute function scheduler.set_updated_at();

insert into public.scheduler_plans (plan, wall_clock_seconds, invocations_included, invocations_package, usd_a_package,
    source, looked_up_on) values
  ('free', 150, 500000, null, null, 'https://supabase.com/docs/guides/functions/limits and '
    'https://supabase.com/docs/guides/platform/manage-your-usage/edge-function-invocations', '2026-11-30'),
  ('pro', 400, 2000000, 1000000, 2, 'https://supabase.com/docs/guides/functions/limits and '
    'https://supabase.com/docs/guides/platform/manage-your-usage/edge-function-invocations', '2026-11-30');

create function scheduler.check_plan(p_before jsonb) returns void
language plpgsql stable set search_path = '' as $$
declare
  v_plan constant text := scheduler.setting_value('forecast.plan') #>> '{}';
begin
  if p_before is not null and not exists (select from public.scheduler_plans where plan = v_plan) then
    raise exception using errcode = '22023', message = format('cannot set forecast.plan: there is no plan %L', v_plan),
      hint = format('the plans are: %s; insert a row into scheduler_plans for another one', (
        select string_agg(plan, ', ' order by plan) from public.scheduler_plans));
  end if;
end;
$$;
comment on function scheduler.check_plan(jsonb) is 'Refuses a plan of which scheduler_plans has no row.';

insert into public.scheduler_settings (pack, key, default_value, type, on_change, description) values
  ('scheduler', 'forecast.plan', '"free"', 'text', 'scheduler.check_plan', 'which row of scheduler_plans forecasts '
    'reckon with');

create function scheduler.plan_in_use() returns public.scheduler_plans
language sql stable set search_path = '' as $$
  select * from public.scheduler_plans where plan = scheduler.setting_value('forecast.plan') #>> '{}';
$$;
comment on function scheduler.plan_in_use() is
  'The plan that forecasts reckon with; nulls when its row is gone.';

create function scheduler.plan_price(
  p_plan public.scheduler_plans, p_invocations numeric, p_wall_seconds numeric
) returns numeric
language sql immutable set search_path = '' as $$
  select case
    when num_nulls(p_plan.plan, p_invocations, p_wall_seconds) > 0 then null
    when p_invocations > p_plan.invocations_included and p_plan.usd_a_package is null then null
    else coalesce(ceil(greatest(0, p_invocations - p_plan.invocations_included) / p_plan.invocations_package)
      * p_plan.usd_a_package, 0)
      + coalesce(round(greatest(0, p_wall_seconds - coalesce(p_plan.wall_seconds_included, 0))
        * p_plan.usd_a_wall_second, 2), 0) end;
$$;
comment on function scheduler.plan_price(public.scheduler_plans, numeric, numeric) is
  'What so many calls and seconds in a month cost in US dollars above what the plan includes; null when the plan does '
    'not sell so many, without a plan, and of what is not known.';
