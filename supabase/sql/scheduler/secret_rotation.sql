-- The cron secret is rotated without a refused request: Vault keeps the secret to come beside the old one, so that
-- whoever goes on after a break finds both here, and nowhere else.
--
-- prepared: cron_secret is the old one, cron_secret_next the new one. switched: cron_secret is the new one,
-- cron_secret_previous the old one. Neither of the two: no rotation is under way.

create function scheduler.vault_secret_id(p_name text) returns uuid
language sql stable set search_path = '' as $$
  select id from vault.decrypted_secrets where name = p_name;
$$;
comment on function scheduler.vault_secret_id(text) is 'The id of the secret of that name in Vault; null without one.';

create function scheduler.rotation_stage() returns text
language sql stable set search_path = '' as $$
  select case when scheduler.vault_secret_id('cron_secret_previous') is not null then 'switched'
    when scheduler.vault_secret_id('cron_secret_next') is not null then 'prepared'
    else 'none' end;
$$;
comment on function scheduler.rotation_stage() is
  'How far the rotation of the cron secret is: none, prepared (the next one waits in Vault), switched (requests carry '
    'the new one).';

create function scheduler.secret_users() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'functions', (
      select jsonb_agg(name order by name) from (
        select 'cron' as name
        union select 'prometheus-metrics'
        union select function_name from public.scheduler_jobs
          where function_name is not null and secret_name = 'cron_secret' and receipt = 'function') as served),
    'others', (
      select coalesce(jsonb_agg(name order by name), '[]') from public.scheduler_jobs
      where secret_name = 'cron_secret' and (function_name is null or receipt <> 'function')));
$$;
comment on function scheduler.secret_users() is
  'Who is sent the cron secret: {"functions": those of Daybook''s own kind, which take two secrets at once, "others": '
    'jobs whose target is a URL or a function of another kind}.';

create function scheduler.begin_secret_rotation(
  p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_fault text;
begin
  perform scheduler.assert_given('rotate the cron secret', 'reason and author',
    'select scheduler.begin_secret_rotation(''why'', ''who'')', p_reason, p_author);
  -- One at a time: who comes second sees what the first has made.
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  select scheduler.secret_fault('cron_secret', max(decrypted_secret), 32) into v_fault
    from vault.decrypted_secrets where name = 'cron_secret';
  if v_fault is not null then
    raise exception using errcode = 'SD303', message = format('cannot rotate the cron secret: %s', v_fault),
      hint = 'put the secret that the functions take into Vault, then rotate it';
  end if;
  if scheduler.rotation_stage() = 'none' then
    -- Made here: the log of the database has the text of statements that fail, and this one holds no secret.
    perform vault.create_secret(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
      'cron_secret_next', 'what cron_secret becomes: a rotation is under way');
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'none'), jsonb_build_object('stage', 'prepared'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$$;
comment on function scheduler.begin_secret_rotation(text, text, timestamptz) is
  'Makes the next cron secret and keeps it in Vault as cron_secret_next, unless a rotation is under way; returns its '
    'stage (see rotation_stage). Requests go on with the old one. Raises SD303 when Vault has no cron secret that '
    'could be sent, 22023 without reason or author.';

create function scheduler.switch_secret(
  p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
declare
  v_old text;
  v_new text;
begin
  perform scheduler.assert_given('switch the cron secret', 'reason and author',
    'select scheduler.switch_secret(''why'', ''who'')', p_reason, p_author);
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  if scheduler.rotation_stage() = 'prepared' then
    select max(decrypted_secret) filter (where name = 'cron_secret'),
        max(decrypted_secret) filter (where name = 'cron_secret_next')
      into v_old, v_new from vault.decrypted_secrets where name in ('cron_secret', 'cron_secret_next');
    perform vault.update_secret(scheduler.vault_secret_id('cron_secret'), v_new);
    perform vault.update_secret(scheduler.vault_secret_id('cron_secret_next'), v_old, 'cron_secret_previous',
      'what cron_secret was: a rotation is under way');
    -- What verify() has asked was asked with the old one.
    delete from scheduler.verify_calls;
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'prepared'), jsonb_build_object('stage', 'switched'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$$;
comment on function scheduler.switch_secret(text, text, timestamptz) is
  'From its commit on requests carry the secret that was cron_secret_next; the old one stays in Vault as '
    'cron_secret_previous. Does nothing unless the rotation is prepared; returns its stage. The functions must take '
    'both before.';

create function scheduler.end_secret_rotation(
  p_reason text, p_author text, p_now timestamptz default clock_timestamp()
) returns text
language plpgsql set search_path = '' as $$
begin
  perform scheduler.assert_given('end the rotation of the cron secret', 'reason and author',
    'select scheduler.end_secret_rotation(''why'', ''who'')', p_reason, p_author);
  perform pg_advisory_xact_lock(hashtextextended('scheduler.rotation', 0));
  if scheduler.rotation_stage() = 'switched' then
    delete from vault.secrets where name = 'cron_secret_previous';
    perform scheduler.audit('rotate_secret', 'scheduler', 'cron_secret', p_reason, p_author,
      jsonb_build_object('stage', 'switched'), jsonb_build_object('stage', 'none'), p_now);
  end if;
  return scheduler.rotation_stage();
end;
$$;
comment on function scheduler.end_secret_rotation(text, text, timestamptz) is
  'Takes the old secret out of Vault. Does nothing unless the rotation is switched; returns its stage. The functions '
    'must refuse the old one before, and no request may carry it.';

create function scheduler.requests_with_old_secret() returns bigint
language sql stable set search_path = '' as $$
  select count(*) from net.http_request_queue
  where headers ->> 'x-cron-secret' = (
    select decrypted_secret from vault.decrypted_secrets where name = 'cron_secret_previous');
$$;
comment on function scheduler.requests_with_old_secret() is
  'How many requests with the old secret wait in pg_net''s queue or are under way: pg_net takes a request out when it '
    'is over.';
