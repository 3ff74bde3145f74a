-- What two failures have in common when they have the same cause. A traceback is read line by line; what stays is the
-- chain of files and functions, the source lines, the exceptions' types and their messages; what goes is whatever the next
-- execution would print differently: line numbers, values in quotes, numbers, dates, addresses, ids, temporary paths,
-- colours, carets. All immutable: the same text always gives the same fingerprint.

create or replace function public.code_failure_mask_values(p_text text, p_is_message boolean, p_keep_names boolean default false)
returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  -- Most lines hold little of all this: looking for a character first is many times as fast as a pattern.
  if v like '%://%' then
    v := regexp_replace(v, 'https?://[^\s''"<>)\]]+', '<url>', 'gi');
  end if;
  if v like '%-%-%' then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
    v := regexp_replace(v, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?', '<date>', 'g');
  end if;
  if lower(v) like '%0x%' then
    v := regexp_replace(v, '0x[0-9a-f]+', '<hex>', 'gi');
  end if;
  if p_keep_names then
    -- Quoted names are what these exceptions are about, not values: they are set aside while quotes are masked.
    v := regexp_replace(v, '''([A-Za-z_][A-Za-z0-9_.]*)(\(\))?''', E'\x01\\1\\2\x02', 'g');
  end if;
  -- A quote after a letter is an apostrophe (can't), not the beginning of a text; b'', r'', f'' begin one.
  if v like '%"%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?"([^"\\\n]|\\.)*"(?![A-Za-z0-9_])', '''?''', 'gi');
  end if;
  if v like '%''%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?''([^''\\\n]|\\.)*''(?![A-Za-z0-9_])', '''?''', 'gi');
  end if;
  v := translate(v, E'\x01\x02', '''''');
  if v like '%/%/%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_/])(/private)?/(tmp|var/tmp|var/folders|dev/shm)(/[A-Za-z0-9_.@+~-]+)+', '<tmp>', 'g');
  end if;
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])(?=[0-9a-f]*[0-9])[0-9a-f]{16,}(?![A-Za-z0-9_])', '<hex>', 'gi');
    if p_is_message then
      v := regexp_replace(v, '(?<![A-Za-z0-9_])[-+](?=[0-9])', '', 'g');
      v := regexp_replace(v, '[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?', 'N', 'gi');
    else
      -- In code a digit may be part of a name: step1() and step2() are two functions.
      v := regexp_replace(v, '(?<![A-Za-z0-9_.])[0-9][0-9_]*(\.[0-9]+)?(e[-+]?[0-9]+)?(?![A-Za-z0-9_])', 'N', 'gi');
    end if;
  end if;
  -- A list is as long as its data.
  if v like '%,%' then
    v := regexp_replace(v, '(N|''\?''|<[a-z]+>)(\s*,\s*(N|''\?''|<[a-z]+>))+', '\1', 'g');
  end if;
  return btrim(regexp_replace(v, '\s+', ' ', 'g'));
end;
$$;
comment on function public.code_failure_mask_values(text, boolean, boolean) is
  'A line of a traceback without its values. p_is_message: numbers go wherever they are, else only those that are no part of a name. p_keep_names: quoted names stay.';

create or replace function public.code_failure_mask_path(p_path text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := replace(p_path, '\', '/');
begin
  if v like '<ipython-input-%' then
    return '<ipython-input>';
  end if;
  if v like '%-packages/%' then
    v := regexp_replace(v, '^.*/(site|dist)-packages/', '<packages>/');
  elsif lower(v) like '%/python%/%' then
    v := regexp_replace(v, '^.*/python[0-9.]*/(lib/)?', '<python>/', 'i');
  end if;
  -- The directory of one execution, /tmp/run-81/, goes with it; what lies below it stays.
  if v ~ '^(/private)?/(tmp|var|dev)/' then
    v := regexp_replace(v, '^(/private)?/(tmp|var/tmp|dev/shm|var/folders/[^/]+/[^/]+/[^/]+)/([^/]+/)?', '<tmp>/');
  elsif v like '_:/%' then
    v := regexp_replace(v, '^[a-z]:/.*/te?mp/([^/]+/)?', '<tmp>/', 'i');
  end if;
  if v like '%tmp%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9])tmp[a-z0-9_]{6,}', 'tmp<id>', 'g');
  end if;
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
    v := regexp_replace(v, '(?<![A-Za-z0-9])(?=[a-f]*[0-9])[0-9a-f]{6,}(?![A-Za-z0-9])', '<id>', 'gi');
    v := regexp_replace(v, '[0-9]{3,}', 'N', 'g');
  end if;
  return v;
end;
$$;
comment on function public.code_failure_mask_path(text) is
  'A file of a traceback without what is of one execution or one machine: temporary directories, ids, where Python and its packages are.';

create or replace function public.code_failure_cause(
  p_traceback text, p_stderr text default null, p_error_type text default null, p_exit_code integer default null
) returns table (error_type text, normalized_traceback text, fingerprint text)
language plpgsql immutable set search_path = '' as $$
declare
  c_header constant text := 'Traceback (most recent call last):';
  c_chained constant text[] := array['During handling of the above exception, another exception occurred:',
    'The above exception was the direct cause of the following exception:'];
  -- Their messages quote names.
  c_name_errors constant text := '(^|\.)(NameError|UnboundLocalError|AttributeError|ImportError|ModuleNotFoundError|TypeError)$';
  v_text text;
  v_line text;
  v_match text[];
  v_is_group boolean;
  v_state text := 'start';
  v_chained boolean := false;
  v_type text;
  v_message_lines integer := 0;
  -- The frame being read: its line and its source; and those of this block that were read.
  v_frame text;
  v_seen text[] := array[]::text[];
  v_lines text[] := array[]::text[];
begin
  v_text := coalesce(nullif(btrim(p_traceback, E' \t\r\n'), ''), nullif(btrim(p_stderr, E' \t\r\n'), ''), '');
  -- However long: the beginning and the end say most, cut where a frame begins.
  if length(v_text) > 48000 then
    v_text := regexp_replace(left(v_text, 12000), '(.*\n)\s*File ".*$', '\1')
      || E'\n' || regexp_replace(right(v_text, 36000), '^.*?(\n\s*File ")', '\1');
  end if;
  v_text := regexp_replace(replace(v_text, E'\r', ''), E'\x1b\\[[0-9;?]*[A-Za-z]', '', 'g');
  v_text := translate(v_text, E'\x01\x02', '');
  v_is_group := position('Exception Group ' || c_header in v_text) > 0;

  if v_text !~ '(^|\n)\s*([|+] ?)?(Exception Group )?Traceback \(most recent call last\):|(^|\n)\s*File ".*", line [0-9]+' then
    -- No traceback: the last lines of what was printed, or how it ended.
    select array_agg(public.code_failure_mask_values(tail.line, true) order by tail.number) into v_lines
    from (
      select lines.line, lines.number from string_to_table(v_text, E'\n') with ordinality as lines (line, number)
      where lines.line ~ '\S' order by lines.number desc limit 20
    ) as tail;
    if v_lines is null then
      v_lines := array[format('no output, exit code %s', coalesce(p_exit_code::text, 'unknown'))];
    end if;
    v_type := (regexp_match(v_lines[array_upper(v_lines, 1)],
      '^([A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Warning|Interrupt|Exit|Iteration))(:|$)'))[1];
  else
    for v_line in select string_to_table(v_text || E'\n', E'\n') loop
      if v_is_group then
        v_line := regexp_replace(v_line, '^\s*[|+][-+]*\s?', '');
      end if;
      continue when btrim(v_line, E' \t') = '';
      if v_line = any (c_chained) then
        v_lines := v_lines || v_line;
        v_chained := true;
        v_state := 'start';
      elsif btrim(v_line) in (c_header, 'Exception Group ' || c_header) then
        -- An earlier traceback that this one does not follow from was only logged.
        if not v_chained and not v_is_group then
          v_lines := array[]::text[];
        end if;
        v_chained := false;
        v_seen := array[]::text[];
        v_frame := null;
        v_lines := v_lines || 'Traceback:'::text;
        v_state := 'frames';
      elsif v_state <> 'message' and v_line like '%File "%", line %' and v_line ~ '^\s*File ".*", line [0-9]+' then
        if v_frame is not null and v_frame <> all (v_seen) then
          v_lines := v_lines || v_frame;
          v_seen := v_seen || v_frame;
        end if;
        v_match := regexp_match(v_line, '^\s*File "(.*)", line [0-9]+(, in (.*))?$');
        v_frame := format('File "%s"%s', public.code_failure_mask_path(coalesce(v_match[1], v_line)), coalesce(', in ' || v_match[3], ''));
        v_state := 'frames';
      elsif v_state = 'frames' and (btrim(v_line, E' \t~^') = '' or v_line like '%[Previous line repeated %') then
        null;
      elsif v_state = 'frames' and left(v_line, 1) in (' ', E'\t') then
        v_frame := concat_ws(E'\n  ', v_frame, public.code_failure_mask_values(v_line, false));
      elsif v_state = 'frames' then
        -- The exception. A recursion shows the same frames over and over: each counts once.
        if v_frame is not null and v_frame <> all (v_seen) then
          v_lines := v_lines || v_frame;
        end if;
        v_frame := null;
        v_match := regexp_match(v_line, '^([A-Za-z_][A-Za-z0-9_.]*)(: ?(.*))?$');
        v_type := coalesce(v_match[1], v_type);
        v_lines := v_lines || coalesce(
          v_match[1] || rtrim(': ' || public.code_failure_mask_values(coalesce(v_match[3], ''), true, v_match[1] ~ c_name_errors), ': '),
          public.code_failure_mask_values(v_line, true));
        v_state := 'message';
        v_message_lines := 1;
      elsif v_state = 'message' and v_message_lines < 5 then
        v_lines := v_lines || public.code_failure_mask_values(v_line, true);
        v_message_lines := v_message_lines + 1;
      end if;
    end loop;
    if v_frame is not null then
      v_lines := v_lines || v_frame;
    end if;
  end if;

  error_type := left(coalesce(v_type, nullif(btrim(p_error_type), ''), 'unknown'), 200);
  normalized_traceback := array_to_string(v_lines, E'\n');
  fingerprint := encode(sha256(convert_to(error_type || E'\n' || normalized_traceback, 'UTF8')), 'hex');
  normalized_traceback := left(normalized_traceback, 8000);
  return next;
end;
$$;
comment on function public.code_failure_cause(text, text, text, integer) is
  'The cause of a failed execution: the exception''s type, the normalized traceback (of stderr when there is no traceback, of the exit code when there is neither), and the SHA-256 of both.';

revoke all on function public.code_failure_mask_values(text, boolean, boolean) from public, anon, authenticated, service_role;
revoke all on function public.code_failure_mask_path(text) from public, anon, authenticated, service_role;
revoke all on function public.code_failure_cause(text, text, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.code_failure_mask_values(text, boolean, boolean) to service_role;
grant execute on function public.code_failure_mask_path(text) to service_role;
grant execute on function public.code_failure_cause(text, text, text, integer) to service_role;
