-- When a row was last changed, whoever changed it.

create function scheduler.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.updated_at is not distinct from old.updated_at then
    new.updated_at := now();
  end if;
  return new;
end;
$$;
comment on function scheduler.set_updated_at() is
  'For a trigger before update: sets updated_at to now() unless the update sets it itself.';
