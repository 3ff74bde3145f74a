-- The fingerprint of a failure: failures with the same cause have the same. A traceback is read line by line. Kept are
-- files, functions, source lines, and the exceptions' types and messages. Removed is all that differs between
-- executions: line numbers, values in quotes, numbers, dates, addresses, ids, paths, colours and carets. These values
-- may be personal: e-mail addresses, and rows that databases quote. All functions are immutable: the same text always
-- gives the same fingerprint.

create function code_monitor.mask_addresses(p_text text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v text := p_text;
begin
  -- Most lines have nothing to mask: a look for one character is many times as fast as a pattern.
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
    -- The quoted names in these exceptions are not values: they are set aside while quotes are masked.
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
  -- A list of masked values becomes one value: its length depends on the data.
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
  -- The directory of one execution, /tmp/run-81/, is masked; the path below it stays.
  if v ~ '^(/private)?/(tmp|var|dev)/' then
    v := regexp_replace(v, '^(/private)?/(tmp|var/tmp|dev/shm|var/folders/[^/]+/[^/]+/[^/]+)/([^/]+/)?', '<tmp>/');
  elsif v like '_:/%' then
    v := regexp_replace(v, '^[a-z]:/.*/te?mp/([^/]+/)?', '<tmp>/', 'i');
  end if;
  -- The home directory of any user.
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
  'A file of a traceback without the parts that depend on the execution or the machine: temporary directories, ids, '
    'the directories of Python and its packages.';

create function code_monitor.is_log_line(p_line text) returns boolean
language sql immutable set search_path = '' as $$
  select
    -- The line begins with a time, in brackets or not, or is JSON or logfmt,
    p_line ~ '^\s*[\[(]?([0-9]{4}[-/][0-9]{2}[-/][0-9]{2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}'
        '|[0-9]{1,2}:[0-9]{2}:[0-9]{2}|[A-Z][a-z]{2} +[0-9]{1,2} [0-9]{2}:[0-9]{2})'
    or p_line ~* '^\s*(\{\s*"|(time|ts|timestamp|level|lvl|msg)=)'
    -- names its level,
    or left(p_line, 60) ~ '(^|[\s\[(|<:-])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)([\s\]):|>-]|$)'
    or p_line ~* '^\s*\[?(trace|debug|info|notice|warn|warning|error|critical|fatal)(\]|:\s|:[a-z])'
    or p_line ~ '^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}'
    -- or is a message of an interpreter, shell or script at its end.
    or p_line ~* '^(Exception ignored in|sys:1:|Process finished|Command exited|make: |npm ERR|Sentry is '
      'attempting|\S+:[0-9]+: \w*Warning)'
    or p_line ~* '^(done|exiting|exited|finished|completed|shutting down|shutdown|cleaning '
      'up|cleanup|closing|closed|stopping|stopped|saving|saved|elapsed|took)\M';
$$;
comment on function code_monitor.is_log_line(text) is
  'Whether a line after an exception is a line of a log, not of the exception''s message.';

create function code_monitor.failure_output(p_text text, p_exit_code integer) returns text[]
language sql immutable set search_path = '' as $$
  with lines as (
    select line, number, code_monitor.is_log_line(line) and line ~* '\m(trace|debug|info|notice)\M' as is_chatter
    from string_to_table(p_text, E'\n') with ordinality as lines (line, number)
    where line ~ '\S'
  ), tail as (
    -- Lines that only report progress are used only when there are no others.
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
  'The last 20 lines that a failure without a traceback printed, without values; its exit code when it printed none.';

create function code_monitor.failure_text(p_traceback text, p_stderr text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  v_text text := coalesce(nullif(btrim(p_traceback, E' \t\r\n'), ''), nullif(btrim(p_stderr, E' \t\r\n'), ''), '');
begin
  -- Of a long text the beginning and the end, cut where a frame begins.
  if length(v_text) > 48000 then
    v_text := regexp_replace(left(v_text, 12000), '(.*\n)\s*File ".*$', '\1')
      || E'\n' || regexp_replace(right(v_text, 36000), '^.*?(\n\s*File ")', '\1');
  end if;
  v_text := regexp_replace(replace(v_text, E'\r', ''), E'\x1b\\[[0-9;?]*[A-Za-z]', '', 'g');
  return translate(v_text, E'\x01\x02\x03', '');
end;
$$;
comment on function code_monitor.failure_text(text, text) is
  'The traceback, or stderr where there is none, without colours; about 48,000 characters at most.';

create type code_monitor.reading as (
  state text, is_group boolean, is_chained boolean, error_type text, message_lines integer,
  frame text, seen_frames text[], lines text[]
);
comment on type code_monitor.reading is
  'A traceback that is being read. state: start, frames, message (after the exception) or over. is_group: it is that '
    'of an exception group. is_chained: the next traceback belongs to the same failure. frame: the frame being read '
    'and its source; seen_frames: those read before it in the same traceback. lines: the normalized traceback so far.';

create function code_monitor.end_frame(p_reading code_monitor.reading) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
begin
  -- A recursion shows the same frames many times: each counts once.
  if p_reading.frame is not null and p_reading.frame <> all (p_reading.seen_frames) then
    p_reading.lines := p_reading.lines || p_reading.frame;
    p_reading.seen_frames := p_reading.seen_frames || p_reading.frame;
  end if;
  p_reading.frame := null;
  return p_reading;
end;
$$;
comment on function code_monitor.end_frame(code_monitor.reading) is
  'Adds the frame that was being read to the lines, unless it is among them.';

create function code_monitor.read_exception(p_reading code_monitor.reading, p_line text)
returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  -- The messages of these exceptions quote names.
  c_name_errors constant text := '(^|\.)(NameError|UnboundLocalError|AttributeError|ImportError'
    '|ModuleNotFoundError|TypeError)$';
  v_match text[] := regexp_match(p_line, '^([A-Za-z_][A-Za-z0-9_.]*)(: ?(.*))?$');
begin
  p_reading := code_monitor.end_frame(p_reading);
  p_reading.error_type := coalesce(v_match[1], p_reading.error_type);
  p_reading.lines := p_reading.lines || coalesce(
    v_match[1] || rtrim(': ' || code_monitor.mask_values(coalesce(v_match[3], ''), true, v_match[1] ~ c_name_errors),
      ': '),
    code_monitor.mask_values(p_line, true));
  p_reading.state := 'message';
  p_reading.message_lines := 1;
  return p_reading;
end;
$$;
comment on function code_monitor.read_exception(code_monitor.reading, text) is
  'The reading after the line that names the exception.';

create function code_monitor.read_line(p_reading code_monitor.reading, p_line text) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  c_header constant text := 'Traceback (most recent call last):';
  c_chained constant text[] := array['During handling of the above exception, another exception occurred:',
    'The above exception was the direct cause of the following exception:'];
  v_match text[];
begin
  if btrim(p_line, E' \t') = '' then
    return p_reading;
  elsif p_line = any (c_chained) then
    p_reading.lines := p_reading.lines || p_line;
    p_reading.is_chained := true;
    p_reading.state := 'start';
  elsif btrim(p_line) in (c_header, 'Exception Group ' || c_header) then
    -- An earlier traceback to which this one is not chained was only logged.
    if not p_reading.is_chained and not p_reading.is_group then
      p_reading.lines := array[]::text[];
    end if;
    p_reading.is_chained := false;
    p_reading.seen_frames := array[]::text[];
    p_reading.frame := null;
    p_reading.lines := p_reading.lines || 'Traceback:'::text;
    p_reading.state := 'frames';
  elsif p_reading.state not in ('message', 'over') and p_line like '%File "%", line %'
    and p_line ~ '^\s*File ".*", line [0-9]+'
  then
    p_reading := code_monitor.end_frame(p_reading);
    v_match := regexp_match(p_line, '^\s*File "(.*)", line [0-9]+(, in (.*))?$');
    p_reading.frame := format('File "%s"%s', code_monitor.mask_path(coalesce(v_match[1], p_line)),
      coalesce(', in ' || v_match[3], ''));
    p_reading.state := 'frames';
  elsif p_reading.state = 'frames'
    and (btrim(p_line, E' \t~^') = '' or p_line like '%[Previous line repeated %')
  then
    return p_reading;
  elsif p_reading.state = 'frames' and left(p_line, 1) in (' ', E'\t') then
    p_reading.frame := concat_ws(E'\n  ', p_reading.frame, code_monitor.mask_values(p_line, false));
  elsif p_reading.state = 'frames' then
    return code_monitor.read_exception(p_reading, p_line);
  elsif p_reading.state = 'message' and code_monitor.is_log_line(p_line) then
    p_reading.state := 'over';
  elsif p_reading.state = 'message' and p_reading.message_lines < 5 then
    p_reading.lines := p_reading.lines || code_monitor.mask_values(p_line, true);
    p_reading.message_lines := p_reading.message_lines + 1;
  end if;
  return p_reading;
end;
$$;
comment on function code_monitor.read_line(code_monitor.reading, text) is
  'The reading of a traceback after one more line.';

create function code_monitor.read_traceback(p_text text) returns code_monitor.reading
language plpgsql immutable set search_path = '' as $$
declare
  v_reading code_monitor.reading := jsonb_populate_record(null::code_monitor.reading, jsonb_build_object(
    'state', 'start', 'is_group', position('Exception Group Traceback (most recent call last):' in p_text) > 0,
    'is_chained', false, 'message_lines', 0, 'seen_frames', array[]::text[], 'lines', array[]::text[]));
  v_line text;
begin
  for v_line in select string_to_table(p_text || E'\n', E'\n') loop
    v_reading := code_monitor.read_line(v_reading,
      case when v_reading.is_group then regexp_replace(v_line, '^\s*[|+][-+]*\s?', '') else v_line end);
  end loop;
  if v_reading.frame is not null then
    v_reading.lines := v_reading.lines || v_reading.frame;
  end if;
  return v_reading;
end;
$$;
comment on function code_monitor.read_traceback(text) is 'The reading of a whole traceback.';

create function code_monitor.failure_cause(
  p_traceback text, p_stderr text default null, p_error_type text default null, p_exit_code integer default null
) returns table (error_type text, normalized_traceback text, fingerprint text)
language plpgsql immutable set search_path = '' as $$
declare
  v_text constant text := code_monitor.failure_text(p_traceback, p_stderr);
  v_reading code_monitor.reading;
begin
  if v_text ~ ('(^|\n)\s*([|+] ?)?(Exception Group )?Traceback \(most recent call last\):'
    '|(^|\n)\s*File ".*", line [0-9]+')
  then
    v_reading := code_monitor.read_traceback(v_text);
  else
    v_reading.lines := code_monitor.failure_output(v_text, p_exit_code);
    v_reading.error_type := (regexp_match(v_reading.lines[array_upper(v_reading.lines, 1)],
      '^([A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Warning|Interrupt|Exit|Iteration))(:|$)'))[1];
  end if;

  error_type := left(coalesce(v_reading.error_type, nullif(code_monitor.mask_values(p_error_type, true), ''),
    'unknown'), 200);
  normalized_traceback := array_to_string(v_reading.lines, E'\n');
  fingerprint := encode(sha256(convert_to(error_type || E'\n' || normalized_traceback, 'UTF8')), 'hex');
  normalized_traceback := left(normalized_traceback, 8000);
  return next;
end;
$$;
comment on function code_monitor.failure_cause(text, text, text, integer) is
  'The cause of a failed execution: the exception''s type, the normalized traceback (of stderr when there is no '
    'traceback, of the exit code when there is neither), and the SHA-256 of both.';
