-- A stand-in for Supabase Vault 0.3: the same names, arguments and grants. The real one encrypts with
-- libsodium; this one with pgcrypto. The key is not in the database but in a file beside it.
create schema if not exists vault;

do $$
begin
  if (pg_stat_file('vault.key', true)).size is null then
    execute format(
      'copy (select encode(extensions.gen_random_bytes(32), ''hex'')) to %L',
      current_setting('data_directory') || '/vault.key');
  end if;
end
$$;

-- Security definer because only a superuser may read the key. The message is the real one's, which has no
-- key where its library was not preloaded.
create function vault._server_key() returns text
language plpgsql security definer set search_path = '' as $$
begin
  if pg_stat_file('vault.key', true) is null then
    raise exception using errcode = 'XX000',
      message = 'pgsodium_derive_helper: pgsodium_derive: no server secret key defined.';
  end if;
  return pg_read_file('vault.key');
end
$$;

-- The message is bound to the row (`additional`) and to the nonce: one that was moved to another row does
-- not decrypt. Security definer because nobody else may have the key.
create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium',
  nonce bytea default null
) returns bytea
language sql security definer set search_path = '' as $$
  select extensions.pgp_sym_encrypt_bytea(
    message,
    vault._server_key() || encode(additional, 'hex') || coalesce(encode(nonce, 'hex'), ''),
    'cipher-algo=aes256, s2k-mode=1')
$$;

create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium',
  nonce bytea default null
) returns bytea
language sql security definer set search_path = '' as $$
  select extensions.pgp_sym_decrypt_bytea(
    message,
    vault._server_key() || encode(additional, 'hex') || coalesce(encode(nonce, 'hex'), ''))
$$;

create function vault._crypto_aead_det_noncegen() returns bytea
language sql set search_path = '' as $$ select extensions.gen_random_bytes(16) $$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
comment on table vault.secrets is
  'Table with encrypted `secret` column for storing sensitive information on disk.';
create unique index secrets_name_idx on vault.secrets (name) where name is not null;

create view vault.decrypted_secrets as
select
  id, name, description, secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      decode(secret, 'base64'), convert_to(id::text, 'utf8'), 0, 'pgsodium', nonce),
    'utf8') as decrypted_secret,
  key_id, nonce, created_at, updated_at
from vault.secrets;

create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '',
  new_key_id uuid default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
  v_nonce constant bytea := vault._crypto_aead_det_noncegen();
begin
  insert into vault.secrets (id, secret, name, description, nonce)
  values (
    v_id,
    encode(vault._crypto_aead_det_encrypt(
      convert_to(new_secret, 'utf8'), convert_to(v_id::text, 'utf8'), 0, 'pgsodium', v_nonce), 'base64'),
    new_name, new_description, v_nonce);
  return v_id;
end
$$;

create function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null,
  new_description text default null, new_key_id uuid default null
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update vault.secrets set
    secret = coalesce(
      encode(vault._crypto_aead_det_encrypt(
        convert_to(new_secret, 'utf8'), convert_to(id::text, 'utf8'), 0, 'pgsodium', nonce), 'base64'),
      secret),
    name = coalesce(new_name, name),
    description = coalesce(new_description, description),
    updated_at = now()
  where id = secret_id;
end
$$;

revoke all on function
  vault._server_key, vault._crypto_aead_det_encrypt, vault._crypto_aead_det_decrypt, vault._crypto_aead_det_noncegen,
  vault.create_secret, vault.update_secret
from public;

call pg_temp.register_stand_in('supabase_vault', '0.3.1', 'vault', 'vault');
