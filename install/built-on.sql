-- Stops, naming it, when something that is not Daybook's is built on the pack.
do $check$
declare
  v_pack constant text := :pack;
  v_schema constant text := :schema;
  v_relations constant text[] := :relations;
  v_functions constant text[] := :functions;
  v_dependents text;
begin
  with ours (catalogue, object) as materialized (
    select 'pg_class'::regclass, oid from pg_catalog.pg_class
    where relnamespace = to_regnamespace(v_schema)
      or relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union all
    select 'pg_proc'::regclass, oid from pg_catalog.pg_proc
    where pronamespace = to_regnamespace(v_schema)
      or pronamespace = 'public'::regnamespace and proname = any (v_functions)
    union all
    select 'pg_type'::regclass, oid from pg_catalog.pg_type
    where typnamespace = to_regnamespace(v_schema)
      or typnamespace = 'public'::regnamespace and typname = any (v_relations)
    union all
    select 'pg_namespace'::regclass, oid from pg_catalog.pg_namespace where nspname = v_schema
  ), dependents (catalogue, object) as (
    -- A view hangs on its tables by its rule, a table on another by a constraint, a trigger, a default or a policy.
    select case when relation is null then classid else 'pg_class'::regclass end, coalesce(relation, objid)
    from pg_catalog.pg_depend
    join ours on refclassid = catalogue and refobjid = object
    left join lateral (
      select ev_class as relation from pg_catalog.pg_rewrite where classid = 'pg_rewrite'::regclass and oid = objid
      union all
      select tgrelid from pg_catalog.pg_trigger where classid = 'pg_trigger'::regclass and oid = objid
      union all
      select conrelid from pg_catalog.pg_constraint
      where classid = 'pg_constraint'::regclass and oid = objid and conrelid <> 0
      union all
      select adrelid from pg_catalog.pg_attrdef where classid = 'pg_attrdef'::regclass and oid = objid
      union all
      select polrelid from pg_catalog.pg_policy where classid = 'pg_policy'::regclass and oid = objid
    ) as relations on true
    where deptype = 'n'
  )
  select string_agg(pg_catalog.pg_describe_object(catalogue, object, 0), ', ') into v_dependents
    from (select * from dependents except select * from ours) as foreign_dependents;
  if v_dependents is not null then
    raise exception using errcode = '2BP01',
      message = format('cannot remove the pack %s: these are built on it: %s', v_pack, v_dependents),
      hint = 'drop or change them first';
  end if;
end;
$check$;
