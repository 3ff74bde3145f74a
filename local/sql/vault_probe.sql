-- Keeps a secret, reads it and removes it, as the role that the stack's own functions have.
do $$
declare
  v_name constant text := 'probe of the local stack';
  v_read text;
begin
  set local role postgres;
  perform vault.create_secret('probe', v_name);
  select decrypted_secret into v_read from vault.decrypted_secrets where name = v_name;
  reset role;
  delete from vault.secrets where name = v_name;
  if v_read is distinct from 'probe' then
    raise exception 'a secret is not read as it was written';
  end if;
end
$$;
