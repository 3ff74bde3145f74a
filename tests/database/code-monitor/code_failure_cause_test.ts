import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { assertQuick, timed } from "../../support/assert-quick.ts";

interface Failure {
  traceback?: string;
  stderr?: string;
  errorType?: string;
  exitCode?: number;
}
interface Cause {
  error_type: string;
  normalized_traceback: string;
  fingerprint: string;
}

async function cause(sql: Sql, failure: Failure): Promise<Cause> {
  const { traceback = null, stderr = null, errorType = null, exitCode = null } = failure;
  const [row] = await sql`
    select * from code_monitor.failure_cause(${traceback}, ${stderr}, ${errorType}, ${exitCode})`;
  return row as Cause;
}

const trace = (text: string): Failure => ({ traceback: text });

/** A call of `points()` in a script that was written for one execution. */
const keyError = (
  { file = "/tmp/run-17/main.py", line = 4, fn = "points", code = 'row["points"]', message = "" },
) =>
  `Traceback (most recent call last):
  File "${file}", line ${line + 20}, in <module>
    print(points(rows))
          ^^^^^^^^^^^^
  File "${file}", line ${line}, in ${fn}
    return sum(${code} for row in rows)
               ~~~^^^^^^^^^^
KeyError: ${message || "'points'"}`;

const chained = (id: string, moment: string, connector: string) =>
  `Traceback (most recent call last):
  File "/tmp/${id}/a.py", line 7, in main
    return load(p)
           ^^^^^^^
  File "/tmp/${id}/a.py", line 3, in load
    with open(path) as f:
         ^^^^^^^^^^
FileNotFoundError: [Errno 2] No such file or directory: '/tmp/${id}/events.json'

${connector}

Traceback (most recent call last):
  File "/tmp/${id}/a.py", line 10, in <module>
    main("/tmp/${id}/events.json")
  File "/tmp/${id}/a.py", line 9, in main
    raise RuntimeError(text) from e
RuntimeError: device ${id} at ${moment}: 17 rows`;

const recursion = (times: number, repeats: number) =>
  `Traceback (most recent call last):
  File "/tmp/r/c.py", line 3, in <module>
    even(10**9)
${
    `  File "/tmp/r/c.py", line 1, in even
    def even(n): return odd(n-1)
                        ^^^^^^^^
  File "/tmp/r/c.py", line 2, in odd
    def odd(n): return even(n-1)
                       ^^^^^^^^^
`.repeat(times)
  }  [Previous line repeated ${repeats} more times]
RecursionError: maximum recursion depth exceeded`;

const syntaxError = (file: string, line: number) =>
  `  File "${file}", line ${line}
    print("hello
          ^
SyntaxError: unterminated string literal (detected at line ${line})`;

const raised = (message: string, file = "/tmp/r/main.py") =>
  `Traceback (most recent call last):
  File "${file}", line 3, in <module>
    check(value)
${message}`;

const direct = "The above exception was the direct cause of the following exception:";
const during = "During handling of the above exception, another exception occurred:";

/** Failures whose messages hold other values, each with the first of them. */
function values(name: string, type: string, messages: string[]): [string, Failure, Failure][] {
  const [first, ...others] = messages.map((message) => trace(raised(`${type}: ${message}`)));
  return others.map((other, index) => [`${name}, ${index + 2}`, first!, other]);
}

/** Each pair fails for the same reason. */
const same: [string, Failure, Failure][] = [
  ["line numbers", trace(keyError({ line: 4 })), trace(keyError({ line: 99 }))],
  [
    "the temporary directory of the execution",
    trace(keyError({ file: "/tmp/run-17/main.py" })),
    trace(keyError({ file: "/private/tmp/tmp8x_d1kq2/main.py" })),
  ],
  [
    "temporary directories of macOS and Windows",
    trace(keyError({ file: "/var/folders/zz/zyx_1/T/tmpab12cd34/main.py" })),
    trace(keyError({ file: "C:\\Users\\ann\\AppData\\Local\\Temp\\tmpq9\\main.py" })),
  ],
  [
    "the name of a temporary file",
    trace(keyError({ file: "/tmp/tmp8x_d1kq2.py" })),
    trace(keyError({ file: "/tmp/tmpzz91aa0b.py" })),
  ],
  [
    "where packages are installed",
    trace(raised("ValueError: no", "/usr/lib/python3.11/site-packages/pandas/core/frame.py")),
    trace(
      raised("ValueError: no", "/home/u/.venv/lib/python3.12/site-packages/pandas/core/frame.py"),
    ),
  ],
  [
    "which Python runs",
    trace(raised("ValueError: no", "/usr/lib/python3.11/json/decoder.py")),
    trace(raised("ValueError: no", "/usr/local/lib/python3.13/json/decoder.py")),
  ],
  [
    "the value of a missing key",
    trace(keyError({ message: "'points'" })),
    trace(keyError({ message: "'it\\'s 42'" })),
  ],
  [
    "values in the source line",
    trace(keyError({ code: 'row["a1"][17]' })),
    trace(keyError({ code: 'row["b"][3]' })),
  ],
  [
    "memory addresses",
    trace(raised("ValueError: cannot use <__main__.Battery object at 0x7f58ea9b1cd0>")),
    trace(raised("ValueError: cannot use <__main__.Battery object at 0x7F01aa0>")),
  ],
  [
    "uuids, dates and numbers",
    trace(
      raised(
        "ValueError: device 3f0c8a52-9b1e-4c7d-8e2f-1a2b3c4d5e6f at 2026-03-02T10:11:12Z: -17.5e3 of 20",
      ),
    ),
    trace(
      raised("ValueError: device 11111111-9b1e-4c7d-8e2f-1a2b3c4d5e6f at 2025-12-31: 4 of 1,000"),
    ),
  ],
  [
    "hashes and addresses of pages",
    trace(
      raised(
        "HTTPError: 404 Client Error: Not Found for url: https://api.example.test/a?b=c of 0f343b0931126a20",
      ),
    ),
    trace(
      raised(
        "HTTPError: 404 Client Error: Not Found for url: http://other.example.test/ of aaaaaaaa931126a2ff",
      ),
    ),
  ],
  [
    "the length of a list",
    trace(raised("ValueError: cannot average [1, 2, 3]")),
    trace(raised("ValueError: cannot average [7.5]")),
  ],
  [
    "colours",
    trace(raised("ValueError: no")),
    trace(
      raised("\x1b[1;35mValueError\x1b[0m: \x1b[35mno\x1b[0m", "/tmp/r/main.py").replace(
        "  File",
        "  \x1b[32mFile",
      ),
    ),
  ],
  [
    "carriage returns",
    trace(raised("ValueError: no")),
    trace(raised("ValueError: no").replaceAll("\n", "\r\n")),
  ],
  [
    "values in a chain of exceptions",
    trace(chained("3f0c8a52-9b1e-4c7d-8e2f-1a2b3c4d5e6f", "2026-03-02T10:11:12Z", direct)),
    trace(chained("aaaaaaaa-9b1e-4c7d-8e2f-1a2b3c4d5e6f", "2026-03-09 10:00:00.123+02:00", direct)),
  ],
  ...values("the key that a database quotes", "UniqueViolation", [
    "duplicate key value violates unique constraint\nDETAIL:  Key (email)=(ann@example.com) already exists.",
    "duplicate key value violates unique constraint\nDETAIL:  Key (email)=(Bob (the) Builder) already exists.",
  ]),
  ...values("keys of several columns", "ForeignKeyViolation", [
    `Key (a, lower(b))=(1, x y) is not present in table "people".`,
    `Key (a, lower(b))=(null, Zoë) is not present in table "people".`,
  ]),
  ...values("a row that a database quotes", "NotNullViolation", [
    "no name\nDETAIL:  Failing row contains (17, null, ann@example.com, Ann Smith (jr)).",
    "no name\nDETAIL:  Failing row contains (1, Bob, null, null).",
  ]),
  ...values("e-mail addresses", "ValueError", [
    "no such user: ann.smith+x@mail.example.com",
    "no such user: bob@localhost",
    "no such user: żółć@example.pl",
  ]),
  ...values("paths of URLs", "ConnectionError", [
    "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded with url: /users/ann/orders?page=2&x=a (Caused by None)",
    "HTTPSConnectionPool(host='b.example.com', port=8443): Max retries exceeded with url: / (Caused by None)",
    "HTTPSConnectionPool(host='b.example.com', port=8443): Max retries exceeded with url: /v2 (Caused by None)",
  ]),
  ...values("addresses of other services", "OperationalError", [
    "cannot connect to postgres://ann:secret@db.example.com:5432/x",
    "cannot connect to redis://cache/0",
  ]),
  ...values(
    "paths of files",
    "OSError",
    [
      "cannot write to /home/ann/data/a.csv: full",
      "cannot write to ~/x.csv: full",
      String.raw`cannot write to C:\Users\Ann Smith\My data\a.csv: full`,
      "cannot write to data/ann.csv: full",
      "cannot write to ../out/2026/b.csv: full",
    ],
  ),
  ...values("dates and times, in figures and in words", "ValueError", [
    "no data since 2026-03-02",
    "no data since 2026-03-02T10:11:12.5+02:00",
    "no data since 2026-03-02 10:11 PM",
    "no data since 2026/03/02, 10:11:12 UTC",
    "no data since 03/02/2026 at 7 am",
    "no data since 2.3.2026",
    "no data since March 2, 2026",
    "no data since Mar 2nd",
    "no data since 2 March 2026 10:11 a.m.",
    "no data since 2nd of March",
    "no data since 02-Mar-2026 10:11:12",
    "no data since 02/Mar/2026:10:11:12 +0000",
    "no data since Mon, 02 Mar 2026 10:11:12 GMT",
    "no data since Mon Mar  2 10:11:12 2026",
    "no data since Monday, 2 March 2026",
    "no data since March 2026",
    "no data since Monday",
    "no data since February",
    "no data since 10:11",
    "no data since 10:11:12 PM CEST",
    "no data since 5 PM",
    "no data since 11am",
  ]),
  ...values("names of people in a form of its own", "LookupError", [
    "no row with user=ann, tenant_id=ab",
    "no row with user=bob, tenant_id=cd",
  ]),
  ...values("keys and tokens", "AuthError", [
    `refused sk_${"abc1".repeat(8)}`,
    `refused ghp_${"9Xyz".repeat(10)}`,
  ]),
  ...values("quotes of typographers, and one that was cut off", "ValueError", [
    "no such name: “Ann”",
    "no such name: ‘Bob Smith’",
    "no such name: 'Ann Smi",
  ]),
  ...values("log lines after the exception", "ValueError", [
    "no",
    "no\n2026-03-02 10:11:12,345 INFO shutting down",
    "no\n[2026-03-02T10:11:12Z] bye\nmore",
    "no\n10:11:12 stopped",
    "no\nINFO:root:done\nINFO:root:really",
    "no\nWARNING - retrying",
    "no\n[info] done",
    "no\nMar  2 10:11:12 host cron[17]: done",
    `no\n{"level":"info","msg":"done"}`,
    "no\nlevel=info msg=done",
    "no\nmain - ERROR - giving up",
    "no\nException ignored in: <function f at 0x7f>",
    "no\nProcess finished with exit code 1",
    "no\nDone in 3.2 s",
    "no\n/app/main.py:3: ResourceWarning: unclosed file",
    `no\nINFO again\n  File "x.py", line 3, in y`,
  ]),
  [
    "log lines after what was printed without a traceback",
    { stderr: "ValueError: no" },
    { stderr: "INFO begun\nValueError: no\n2026-03-02 10:11:12 INFO shutting down\n" },
  ],
  [
    "whose home a file is in",
    trace(keyError({ file: "/home/ann/app/main.py" })),
    trace(keyError({ file: "/Users/bob@example.com/app/main.py" })),
  ],
  ["how deep a recursion went", trace(recursion(3, 900)), trace(recursion(490, 11))],
  [
    "where a syntax error is",
    trace(syntaxError("/tmp/a/main.py", 2)),
    trace(syntaxError("/tmp/b/main.py", 17)),
  ],
  [
    "a traceback that stands in stderr, after other lines",
    trace(keyError({})),
    { stderr: `12:01 INFO reading 17 rows\n${keyError({ line: 8 })}\n` },
  ],
  [
    "a traceback that was only logged before",
    trace(keyError({})),
    {
      stderr: `ERROR cannot connect\n${raised("OSError: refused")}\nWARNING going on\n${
        keyError({})
      }`,
    },
  ],
  [
    "values in stderr without a traceback",
    { stderr: "main.py: cannot read '/data/a.csv': 17 rows\n", exitCode: 2 },
    { stderr: "main.py: cannot read '/data/b.csv': 3 rows", exitCode: 2 },
  ],
  ["the values of no output at all", { exitCode: 137 }, { exitCode: 137, stderr: " \n" }],
  [
    "the members' values of a group of exceptions",
    trace(group("bad 17", "/tmp/a/g.py")),
    trace(group("bad 99", "/tmp/b/g.py")),
  ],
];

function group(message: string, file: string) {
  return `  + Exception Group Traceback (most recent call last):
  |   File "${file}", line 1, in <module>
  |     raise ExceptionGroup("two", errors)
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "${file}", line 9, in one
    |     check(17)
    | ValueError: ${message}
    +---------------- 2 ----------------
    | KeyError: 'x'
    +------------------------------------`;
}

/** Each pair fails for two reasons. */
const different: [string, Failure, Failure][] = [
  [
    "another exception",
    trace(keyError({})),
    trace(keyError({}).replace("KeyError", "IndexError")),
  ],
  ["another function", trace(keyError({})), trace(keyError({ fn: "energy" }))],
  ["another file", trace(keyError({})), trace(keyError({ file: "/tmp/run-17/other.py" }))],
  [
    "another file below the temporary directory",
    trace(keyError({ file: "/tmp/run-17/a/main.py" })),
    trace(keyError({ file: "/tmp/run-17/b/main.py" })),
  ],
  [
    "another source line",
    trace(keyError({})),
    trace(keyError({ code: "row.points[key]" })),
  ],
  [
    "another missing module",
    trace(raised("ModuleNotFoundError: No module named 'prophet'")),
    trace(raised("ModuleNotFoundError: No module named 'pandas'")),
  ],
  [
    "another missing attribute",
    trace(raised("AttributeError: 'NoneType' object has no attribute 'get'")),
    trace(raised("AttributeError: 'NoneType' object has no attribute 'items'")),
  ],
  [
    "other types, after an apostrophe",
    trace(raised("TypeError: can't multiply sequence by non-int of type 'str'")),
    trace(raised("TypeError: can't multiply sequence by non-int of type 'float'")),
  ],
  [
    "the words of the message",
    trace(raised("OSError: [Errno 2] No such file or directory: 'a'")),
    trace(raised("OSError: [Errno 13] Permission denied: 'a'")),
  ],
  [
    "what an exception followed from",
    trace(chained("run", "2026-03-02", direct)),
    trace(chained("run", "2026-03-02", direct).replace("FileNotFoundError", "PermissionError")),
  ],
  [
    "how an exception followed from another",
    trace(chained("run", "2026-03-02", direct)),
    trace(chained("run", "2026-03-02", during)),
  ],
  [
    "which column a key is of",
    trace(raised("UniqueViolation: Key (email)=(a) already exists.")),
    trace(raised("UniqueViolation: Key (name)=(a) already exists.")),
  ],
  [
    "a message of several lines",
    trace(raised("ValidationError: 1 error for User\nname\n  Field required")),
    trace(raised("ValidationError: 1 error for User\nemail\n  Field required")),
  ],
  [
    "words that are like dates and paths",
    trace(raised("ValueError: it may march and/or sat down am")),
    trace(raised("ValueError: it may not march and/or sat down am")),
  ],
  [
    "a ratio's unit",
    trace(raised("ValueError: 17 km/h is too fast")),
    trace(raised("ValueError: 17 mb/s is too fast")),
  ],
  [
    "a missing module with a long name",
    trace(raised("ModuleNotFoundError: No module named 'a_long_name_of_a_module_v2_x'")),
    trace(raised("ModuleNotFoundError: No module named 'a_long_name_of_a_module_v2_y'")),
  ],
  ["how it ended, when it said nothing", { exitCode: 137 }, { exitCode: 139 }],
  [
    "the type that the executor noted, when there is no traceback",
    { stderr: "failed", errorType: "MemoryError" },
    { stderr: "failed", errorType: "OSError" },
  ],
];

Deno.test("code_failure_cause()", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, one, other] of same) {
      await test.step(`groups whatever the difference is: ${name}`, async () => {
        const [a, b] = [await cause(sql, one), await cause(sql, other)];
        assert.equal(a.normalized_traceback, b.normalized_traceback);
        assert.equal(a.fingerprint, b.fingerprint);
        assert.match(a.fingerprint, /^[0-9a-f]{64}$/);
      });
    }
    for (const [name, one, other] of different) {
      await test.step(`tells apart: ${name}`, async () => {
        const [a, b] = [await cause(sql, one), await cause(sql, other)];
        assert.notEqual(a.fingerprint, b.fingerprint, a.normalized_traceback);
      });
    }
    await test.step("keeps what a person reads: the chain, the source, the exception", async () => {
      assert.deepEqual(await cause(sql, trace(keyError({}))), {
        error_type: "KeyError",
        normalized_traceback: `Traceback:
File "<tmp>/main.py", in <module>
  print(points(rows))
File "<tmp>/main.py", in points
  return sum(row['?'] for row in rows)
KeyError: '?'`,
        fingerprint: (await cause(sql, trace(keyError({ line: 1 })))).fingerprint,
      });
      const syntax = await cause(sql, trace(syntaxError("/tmp/a/main.py", 2)));
      assert.equal(syntax.error_type, "SyntaxError");
      assert.equal(
        (await cause(sql, { exitCode: 137 })).normalized_traceback,
        "no output, exit code 137",
      );
      assert.equal((await cause(sql, {})).error_type, "unknown");
    });
    await test.step("keeps nothing personal, in the message, the source or the type", async () => {
      const personal = /ann|smith|example\.com|secret|hunter|\d/i;
      const failures: Failure[] = [
        trace(
          raised("UniqueViolation: no\nDETAIL:  Key (email)=(ann@example.com) already exists."),
        ),
        trace(
          raised(
            "IntegrityError: no\n[SQL: INSERT INTO t VALUES (1, ann)]\n[parameters: ('ann', 1)]",
          ),
        ),
        trace(raised("ValueError: mail <ann@example.com>, (ann@example.com); ann@example.com.")),
        trace(
          raised("ValueError: mailto:ann@example.com https://ann:hunter@example.com/ann?x=ann"),
        ),
        trace(
          raised("ValueError: no", "/home/ann/main.py").replace(
            "check(value)",
            "f(x)  # ann@example.com",
          ),
        ),
        trace(raised("PermissionError: [Errno 13] denied: /home/ann/.ssh/id")),
        {
          stderr: "not sent to ann@example.com on Monday",
          errorType: "Refused ann@example.com",
        },
      ];
      for (const failure of failures) {
        const { normalized_traceback, error_type } = await cause(sql, failure);
        assert.doesNotMatch(`${normalized_traceback} ${error_type}`, personal);
      }
    });
    await test.step("is quick with the longest traceback, and its text is bounded", async () => {
      for (
        const part of [
          `${"x".repeat(900)} 'a' 17 `,
          "a@",
          "a/",
          "Key (a)=(",
          "2026-",
          "10:11 ",
          "May ",
          "C:\\a ",
          "1a-",
          "'",
        ]
      ) {
        const traceback = raised(`ValueError: ${part.repeat(3_000_000 / part.length)}`);
        await assertQuick(part, 2_000, () =>
          timed(async () => {
            const { normalized_traceback } = await cause(sql, { traceback });
            assert.ok(normalized_traceback.length <= 8000);
          }));
      }
    });
  });
});
