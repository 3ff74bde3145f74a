-- What two failures have in common when they have the same cause. A traceback is read line by line; what stays is the
-- chain of files and functions, the source lines, the exceptions' types and their messages; what goes is whatever the
-- next
-- execution would print differently: line numbers, values in quotes, numbers, dates, addresses, ids, paths, colours,
-- carets. People are among these values: their addresses, and their rows, which databases quote. All immutable: the
-- same
-- text always gives the same fingerprint.

create function code_monitor.mask_addresses(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  -- Most lines hold little of all this: looking for a character first is many times as fast as a pattern.
  if v like '%://%' then
    v := regexp_replace(v, '[a-z][a-z0-9+.-]*://[^\s''"<>)\]]+', '<url>', 'gi');
  end if;
  if v like '%@%' then
    v := regexp_replace(v, '[^\s@''"<>()\[\]{},;:=|/\\]+@[^\s@''"<>()\[\]{},;:=|/\\]*[^\s@''"<>()\[\]{},;:=|/\\.]',
      '<email>', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_addresses(text) is 'A text with its URLs as <url> and its e-mail addresses as '
  '<email>.';

create function code_monitor.mask_rows(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  if v like '%)=(%' then
    v := regexp_replace(v, '\)=\(.*\)(?= (already exists|is not present|is still referenced|conflicts with))', ')=(?)');
    v := regexp_replace(v, '\)=\((?!\?\)).*?\)(?=[\s.,]|$)', ')=(?)', 'g');
  end if;
  if v like '%(%' then
    v := regexp_replace(v, '(row contains|VALUES) ?\(.*\)', '\1 (?)', 'i');
  end if;
  if v like '%=%' then
    v := regexp_replace(v, '(?<![A-Za-z])(([a-z]+_)?(user|username|login|name|owner|customer|account'
      '|phone|address|city|host|ip|password|token|secret|key|id)=)[^\s,;&()\[\]}''"<>]+',
      '\1?', 'gi');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_rows(text) is
  'A message without the values of a row: Key (email)=(…), Failing row contains (…), user=….';

create function code_monitor.mask_moments(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  c_month constant text := '(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?'
    '|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)\.?';
  c_weekday constant text := '((mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?,?\s+)?';
  c_day constant text := '[0-9]{1,2}(st|nd|rd|th)?';
  c_time constant text := '[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(\s?[ap]\.?m\.?(?![a-z]))?'
    '(\s?(z|utc|gmt|[a-z]{2,3}t)(?![a-z]))?(\s?[-+][0-9]{2}:?[0-9]{2})?';
  v text := p_text;
begin
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, format('(?<![a-z0-9])%1$s(%2$s(\s+of)?[\s/-]+%3$s(,?[\s/-]+[0-9]{4})?'
      '|%3$s\s+%2$s(,?\s+%4$s)?(,?\s+[0-9]{4})?|%3$s,?\s+[0-9]{4})(?![a-z0-9])',
      c_weekday, c_day, c_month, c_time), '<date>', 'gi');
    v := regexp_replace(v, '(?<![0-9])([0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}'
      '|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2})(?![0-9])', '<date>', 'g');
    v := regexp_replace(v, format('(?<![0-9]:?)%s(?!:?[0-9])', c_time), '<date>', 'gi');
    v := regexp_replace(v, '(?<![a-z0-9])[0-9]{1,2}\s?[ap]\.?m\.?(?![a-z])', '<date>', 'gi');
    v := regexp_replace(v, '<date>((t|:|,?\s*(at\s+)?)<date>)+', '<date>', 'gi');
  end if;
  -- March and May are words too.
  return regexp_replace(v,
    '(?<![A-Za-z])((Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|April|June|July'
      '|August|September|October|November|December)(?![A-Za-z])', '<date>', 'g');
end;
$$;
comment on function code_monitor.mask_moments(text) is
  'A message with its dates and times as <date>: in figures or words, with AM or PM, a zone or a weekday.';

create function code_monitor.mask_paths(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  if v like '%\\%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9])[A-Za-z]:\\([^\s''"<>|]| [^\s''"<>|\\]+\\)*[^\s''"<>|.:]', '<path>', 'g');
  end if;
  if v like '%/%' then
    v := regexp_replace(v, '(?<=url: )/\S*', '<path>', 'i');
    v := regexp_replace(v, '(?<![A-Za-z0-9_.<>/])(~|\.{1,2})?/[^\s''"<>()\[\]{},;|]*[^\s''"<>()\[\]{},;|.:]', '<path>',
      'g');
    v := regexp_replace(v, '(?<![A-Za-z0-9_.<>/])[\w.~%@+-]+((/[\w.~%@+-]+){2,}|/[\w.~%@+-]+\.[a-z0-9]{1,5}(?![\w/]))',
      '<path>', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_paths(text) is 'A message with the paths of files and URLs as <path>.';

create function code_monitor.mask_values(p_text text, p_is_message boolean, p_keep_names boolean default false)
returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := code_monitor.mask_addresses(p_text);
begin
  if v like '%-%-%' then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
  end if;
  if p_is_message then
    v := code_monitor.mask_moments(code_monitor.mask_rows(v));
  elsif v like '%-%-%' then
    v := regexp_replace(v, '[0-9]{4}-[0-9]{2}-[0-9]{2}([T '
      '][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?', '<date>', 'g');
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
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?"([^"\\\n]|\\.)*"(?![A-Za-z0-9_])', E'\x03', 'gi');
  end if;
  if v like '%''%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])[bru]?f?r?''([^''\\\n]|\\.)*''(?![A-Za-z0-9_])', E'\x03', 'gi');
  end if;
  if p_is_message then
    -- A text whose end was cut off, and texts in the quotes of typographers.
    v := regexp_replace(v, '(?<![A-Za-z0-9_])["''][^"'']*$', E'\x03');
    v := regexp_replace(v, '“[^”]*”|„[^“”]*[“”]|‘[^’]*’|«[^»]*»', E'\x03', 'g');
    v := code_monitor.mask_paths(v);
  elsif v like '%/%/%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9_/])(/private)?/(tmp|var/tmp|var/folders|dev/shm)(/[A-Za-z0-9_.@+~-]+)+',
      '<tmp>', 'g');
  end if;
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '(?<![A-Za-z0-9_])(?=[0-9a-f]*[0-9])[0-9a-f]{16,}(?![A-Za-z0-9_])', '<hex>', 'gi');
    if p_is_message then
      -- Keys, tokens and the like.
      v := regexp_replace(v, E'(?<![A-Za-z0-9_\x01-])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}', '<id>', 'g');
      v := regexp_replace(v, '(?<![A-Za-z0-9_])[-+](?=[0-9])', '', 'g');
      v := regexp_replace(v, '[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?', 'N', 'gi');
    else
      -- In code a digit may be part of a name: step1() and step2() are two functions.
      v := regexp_replace(v, '(?<![A-Za-z0-9_.])[0-9][0-9_]*(\.[0-9]+)?(e[-+]?[0-9]+)?(?![A-Za-z0-9_])', 'N', 'gi');
    end if;
  end if;
  v := replace(translate(v, E'\x01\x02', ''''''), E'\x03', '''?''');
  -- A list is as long as its data.
  if v like '%,%' then
    v := regexp_replace(v, '(N|''\?''|<[a-z]+>)(\s*,\s*(N|''\?''|<[a-z]+>))+', '\1', 'g');
  end if;
  return btrim(regexp_replace(v, '\s+', ' ', 'g'));
end;
$$;
comment on function code_monitor.mask_values(text, boolean, boolean) is
  'A line of a traceback without its values. p_is_message: numbers go wherever they are, else only those that are no '
    'part of a name. p_keep_names: quoted names stay.';

create function code_monitor.mask_path(p_path text) returns text
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
  -- Whose home it is.
  v := regexp_replace(v, '^([a-z]:)?/(home|users)/[^/]+/', '<home>/', 'i');
  if v like '%tmp%' then
    v := regexp_replace(v, '(?<![A-Za-z0-9])tmp[a-z0-9_]{6,}', 'tmp<id>', 'g');
  end if;
  v := code_monitor.mask_addresses(v);
  if translate(v, '0123456789', '') <> v then
    v := regexp_replace(v, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<id>', 'gi');
    v := regexp_replace(v, '(?<![A-Za-z0-9])(?=[a-f]*[0-9])[0-9a-f]{6,}(?![A-Za-z0-9])', '<id>', 'gi');
    v := regexp_replace(v, '[0-9]{3,}', 'N', 'g');
  end if;
  return v;
end;
$$;
comment on function code_monitor.mask_path(text) is
  'A file of a traceback without what is of one execution or one machine: temporary directories, ids, where Python '
    'and its packages are.';

create function code_monitor.is_log_line(p_line text) returns boolean
language sql immutable set search_path = '' as $$
  select
    -- It begins with a moment, in brackets or not, or is JSON or logfmt,
    p_line ~ '^\s*[\[(]?([0-9]{4}[-/][0-9]{2}[-/][0-9]{2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}'
        '|[0-9]{1,2}:[0-9]{2}:[0-9]{2}|[A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2})'
    or p_line ~* '^\s*(\{\s*"|(time|ts|timestamp|level|lvl|msg)=)'
    -- names its level,
    or left(p_line, 60) ~ '(^|[\s\[(|<:-])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)([\s\]):|>-]|$)'
    or p_line ~* '^\s*\[?(trace|debug|info|notice|warn|warning|error|critical|fatal)(\]|:\s|:[a-z])'
    or p_line ~ '^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}'
    -- or is what interpreters, shells and scripts say at their end.
    or p_line ~* '^(Exception ignored in|sys:1:|Process finished|Command exited|make: |npm ERR|Sentry is '
      'attempting|\S+:[0-9]+: \w*Warning)'
    or p_line ~* '^(done|exiting|exited|finished|completed|shutting down|shutdown|cleaning '
      'up|cleanup|closing|closed|stopping|stopped|saving|saved|elapsed|took)\M';
$$;
comment on function code_monitor.is_log_line(text) is
  'Whether a line after an exception is a log''s, and no part of the exception''s message.';

create function code_monitor.failure_output(p_text text, p_exit_code integer) returns text[]
language sql immutable set search_path = '' as $$
  with lines as (
    select line, number, code_monitor.is_log_line(line) and line ~* '\m(trace|debug|info|notice)\M' as is_chatter
    from string_to_table(p_text, E'\n') with ordinality as lines (line, number)
    where line ~ '\S'
  ), tail as (
    -- Lines that only report progress say nothing of a cause, as long as there are others.
    select line, number from lines
    where not is_chatter or not exists (select from lines as others where not others.is_chatter)
    order by number desc
    limit 20
  )
  select coalesce(array_agg(code_monitor.mask_values(line, true) order by number),
    array[format('no output, exit code %s', coalesce(p_exit_code::text, 'unknown'))])
  from tail;
$$;
comment on function code_monitor.failure_output(text, integer) is
  'Of a failure without a traceback the last 20 lines that it printed, without values; or how it ended.';

create function code_monitor.failure_cause(
  p_traceback text, p_stderr text default null, p_error_type text default null, p_exit_code integer default null
) returns table (error_type text, normalized_traceback text, fingerprint text)
language plpgsql immutable set search_path = '' as $$
declare
  c_header constant text := 'Traceback (most recent call last):';
  c_chained constant text[] := array['During handling of the above exception, another exception occurred:',
    'The above exception was the direct cause of the following exception:'];
  -- Their messages quote names.
  c_name_errors constant text := '(^|\.)(NameError|UnboundLocalError|AttributeError|ImportError'
    '|ModuleNotFoundError|TypeError)$';
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
  v_text := translate(v_text, E'\x01\x02\x03', '');
  v_is_group := position('Exception Group ' || c_header in v_text) > 0;

  if v_text !~ '(^|\n)\s*([|+] ?)?(Exception Group )?Traceback \(most recent call last\):|(^|\n)\s*File ".*", line '
    '[0-9]+' then
    v_lines := code_monitor.failure_output(v_text, p_exit_code);
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
      elsif v_state not in ('message', 'over') and v_line like '%File "%", line %' and v_line ~ '^\s*File ".*", line '
        '[0-9]+' then
        if v_frame is not null and v_frame <> all (v_seen) then
          v_lines := v_lines || v_frame;
          v_seen := v_seen || v_frame;
        end if;
        v_match := regexp_match(v_line, '^\s*File "(.*)", line [0-9]+(, in (.*))?$');
        v_frame := format('File "%s"%s', code_monitor.mask_path(coalesce(v_match[1], v_line)), coalesce(', '
          'in ' || v_match[3], ''));
        v_state := 'frames';
      elsif v_state = 'frames' and (btrim(v_line, E' \t~^') = '' or v_line like '%[Previous line repeated %') then
        null;
      elsif v_state = 'frames' and left(v_line, 1) in (' ', E'\t') then
        v_frame := concat_ws(E'\n  ', v_frame, code_monitor.mask_values(v_line, false));
      elsif v_state = 'frames' then
        -- The exception. A recursion shows the same frames over and over: each counts once.
        if v_frame is not null and v_frame <> all (v_seen) then
          v_lines := v_lines || v_frame;
        end if;
        v_frame := null;
        v_match := regexp_match(v_line, '^([A-Za-z_][A-Za-z0-9_.]*)(: ?(.*))?$');
        v_type := coalesce(v_match[1], v_type);
        v_lines := v_lines || coalesce(
          v_match[1] || rtrim(': ' || code_monitor.mask_values(coalesce(v_match[3], ''), true,
            v_match[1] ~ c_name_errors), ': '),
          code_monitor.mask_values(v_line, true));
        v_state := 'message';
        v_message_lines := 1;
      elsif v_state = 'message' and code_monitor.is_log_line(v_line) then
        v_state := 'over';
      elsif v_state = 'message' and v_message_lines < 5 then
        v_lines := v_lines || code_monitor.mask_values(v_line, true);
        v_message_lines := v_message_lines + 1;
      end if;
    end loop;
    if v_frame is not null then
      v_lines := v_lines || v_frame;
    end if;
  end if;

  error_type := left(coalesce(v_type, nullif(code_monitor.mask_values(p_error_type, true), ''), 'unknown'), 200);
  normalized_traceback := array_to_string(v_lines, E'\n');
  fingerprint := encode(sha256(convert_to(error_type || E'\n' || normalized_traceback, 'UTF8')), 'hex');
  normalized_traceback := left(normalized_traceback, 8000);
  return next;
end;
$$;
comment on function code_monitor.failure_cause(text, text, text, integer) is
  'The cause of a failed execution: the exception''s type, the normalized traceback (of stderr when there is no '
    'traceback, of the exit code when there is neither), and the SHA-256 of both.';
