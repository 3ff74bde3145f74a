-- Makes a stand-in an extension in the eyes of the catalog, so that `create extension if not exists` in a
-- migration finds it, for every role. There are no control files: Postgres keeps those in its own
-- directory, which may not be ours to write to.
create or replace procedure pg_temp.register_stand_in(
  p_name text, p_version text, p_schema text, p_members_in text
)
language plpgsql as $$
declare
  v_command text;
begin
  -- The one way to enter an extension that has no control file. For this transaction alone.
  set local allow_system_table_mods = on;
  insert into pg_catalog.pg_extension
    (oid, extname, extowner, extnamespace, extrelocatable, extversion)
  values (
    pg_nextoid('pg_catalog.pg_extension', 'oid', 'pg_catalog.pg_extension_oid_index'),
    p_name, current_user::regrole, p_schema::regnamespace, false, p_version);

  for v_command in
    select format('alter extension %I add %s', p_name, member)
    from (
      select 'schema ' || quote_ident(p_members_in) as member
      where p_members_in <> p_schema
      union all
      select format('%s %s', case relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
        oid::regclass)
      from pg_class where relnamespace = p_members_in::regnamespace and relkind in ('r', 'v', 'S')
      union all
      select format('function %s', oid::regprocedure)
      from pg_proc where pronamespace = p_members_in::regnamespace
      union all
      select format('type %s', pg_type.oid::regtype)
      from pg_type left join pg_class on pg_class.oid = typrelid
      where typnamespace = p_members_in::regnamespace
        and (typtype in ('d', 'e') or typtype = 'c' and relkind = 'c')
    ) as members
  loop
    execute v_command;
  end loop;
end
$$;
