-- The pulse: once a minute, in pure SQL, what nobody else is there to do. It needs no edge function to be alive.

-- A step that fails is undone alone: the others, and the pulse's own mark, stay.
create or replace function scheduler.pulse_step(p_step text, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
begin
  return case p_step
    when 'answers' then jsonb_build_object('answers', scheduler.read_answers(p_now))
    when 'judged' then jsonb_build_object('judged', scheduler.judge_silent_runs(p_now))
    when 'settled' then scheduler.settle_overdue(p_now)
    when 'sent' then scheduler.send_all_queued(p_now)
    when 'mended' then scheduler.mend_cron_entries()
    when 'pruned' then jsonb_build_object('pruned', scheduler.prune(p_now))
  end;
exception when others then
  raise warning 'the pulse''s step % failed: %', p_step, sqlerrm;
  return jsonb_build_object('errors', jsonb_build_object('step ' || p_step, sqlerrm));
end;
$$;
comment on function scheduler.pulse_step(text, timestamptz) is
  'One step of the pulse: its count, and {"errors": {job or step: message}} for what failed.';

create or replace function scheduler.pulse(p_now timestamptz default now()) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_state scheduler.pulse_state;
  v_steps text[] := array['answers', 'judged', 'settled', 'sent', 'mended'];
  v_step text;
  v_told jsonb;
  v_errors jsonb := jsonb_build_object();
  v_report jsonb := jsonb_build_object('beat', true);
begin
  select * into v_state from scheduler.pulse_state for update skip locked;
  if not found then
    if not exists (select from scheduler.pulse_state) then
      insert into scheduler.pulse_state default values on conflict do nothing;  -- somebody emptied it
    end if;
    return jsonb_build_object('beat', false, 'reason', 'another pulse is at work');
  end if;

  if v_state.last_pruned_at is null or v_state.last_pruned_at <= p_now - interval '1 hour' then
    v_steps := v_steps || 'pruned'::text;
  end if;
  foreach v_step in array v_steps loop
    v_told := scheduler.pulse_step(v_step, p_now);
    v_errors := v_errors || coalesce(v_told -> 'errors', jsonb_build_object());
    v_report := v_report || v_told;
  end loop;
  v_report := v_report || jsonb_build_object('errors', v_errors);

  -- A full batch means there is more: the next pulse goes on at once.
  update scheduler.pulse_state set
    last_pulse_at = p_now,
    errors = v_errors,
    last_pruned_at = case when (v_report ->> 'pruned')::integer < 5000 then p_now else last_pruned_at end;
  return v_report;
end;
$$;
comment on function scheduler.pulse(timestamptz) is
  'What pg_cron calls every minute: reads answers, judges silent runs, settles missed occurrences, sends retries, mends pg_cron''s entries, prunes hourly. Returns the counts. Safe to call twice at once: the second does nothing.';

revoke all on function scheduler.pulse_step(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.pulse(timestamptz) from public, anon, authenticated, service_role;
