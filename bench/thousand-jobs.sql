-- How long each transaction of the pulse lasts, noted as it commits: a receipt may have to wait so long.
create table public.bench_pulses (transaction text primary key, ms double precision not null);

create function public.bench_note_pulse() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.bench_pulses
    values (pg_current_xact_id()::text, extract(epoch from clock_timestamp() - transaction_timestamp()) * 1000)
    on conflict (transaction) do update set ms = excluded.ms;
  return null;
end;
$$;

create constraint trigger note_pulse after update on scheduler.pulse_state
  deferrable initially deferred for each row execute function public.bench_note_pulse();
