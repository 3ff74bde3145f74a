-- Every right in our schemas that anon or authenticated have, of their own or as part of public: on tables, views and
-- sequences, on single columns, on routines of every kind (trigger functions too), and to use the private schema; and
-- every right that service_role has on a sequence, since identity columns need none. There must be no row. Types are
-- open to public by default and give nothing away.
with objects (kind, name, acl) as (
  select case when c.relkind = 'S' then 'sequence' else 'relation' end, c.oid::regclass::text,
    coalesce(c.relacl, acldefault((case when c.relkind = 'S' then 's' else 'r' end)::"char", c.relowner))
  from pg_class c
  where c.relnamespace in ('public'::regnamespace, 'scheduler'::regnamespace)
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  union all
  select 'column', format('%s.%I', a.attrelid::regclass, a.attname), a.attacl
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  where c.relnamespace in ('public'::regnamespace, 'scheduler'::regnamespace)
    and c.relkind in ('r', 'p', 'v', 'm', 'f') and not a.attisdropped and a.attacl is not null
  union all
  select 'routine', p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
  from pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'scheduler'::regnamespace)
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  union all
  select 'schema', n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
  from pg_namespace n
  where n.nspname = 'scheduler'
)
select format('%s on %s %s to %s', g.privilege_type, o.kind, o.name, coalesce(r.rolname, 'public')) as granted
from objects o
cross join lateral aclexplode(o.acl) g
left join pg_roles r on r.oid = g.grantee
where g.grantee = 0 or r.rolname in ('anon', 'authenticated') or (o.kind = 'sequence' and r.rolname = 'service_role')
order by 1;
