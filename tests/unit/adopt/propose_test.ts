import assert from "node:assert/strict";
import { jobNameOf, takeName } from "../../../cli/adopt/names.ts";
import {
  jobsIn,
  leftIn,
  PROJECT,
  projectOf,
  proposalsFor,
  registeredJob,
} from "../../support/adopt.ts";
import { assertQuick, timed } from "../../support/assert-quick.ts";
import { callEntry, sqlEntry } from "../../support/audit.ts";

const post = (path: string, more = "") =>
  `select net.http_post('${
    path.startsWith("http") ? path : `${PROJECT}/functions/v1/${path}`
  }'${more})`;
const vault = (name: string) =>
  `(select decrypted_secret from vault.decrypted_secrets where name = '${name}')`;
const bearer = (secret: string) =>
  `, headers := jsonb_build_object('Authorization', 'Bearer ' || ${secret})`;
const entry = (name: string, command: string) => sqlEntry(name, "0 3 * * *", command);

/** The one job that a command becomes, or the reason why it does not. */
function becomes(command: string, project = projectOf()) {
  const found = proposalsFor([entry("nightly", command)], {}, { project });
  const [job] = found.jobs;
  if (job === undefined) return leftIn(found).nightly!;
  const { target, receipt, secretName, timeoutSeconds } = job.request;
  return [
    target,
    receipt,
    `secret ${secretName ?? "-"}`,
    `timeout ${timeoutSeconds ?? "-"}`,
    `attempts ${job.maxAttempts ?? "-"}`,
  ].join(", ");
}

Deno.test("a function of the project is a target by its name; its answer is the receipt, unless Daybook serves it", () => {
  assert.equal(
    becomes(post("report", ", timeout_milliseconds := 150000")),
    "report, response, secret -, timeout 150, attempts 1",
  );
  assert.equal(becomes(post("report/")), "report, response, secret -, timeout -, attempts 1");
  assert.equal(
    becomes(`select net.http_post(${vault("project_url")} || '/functions/v1/report')`),
    "report, response, secret -, timeout -, attempts 1",
  );
  const project = projectOf({ served: new Set(["report"]) });
  const headers = `, headers := '{"x-cron-secret": "plain-and-short", "apikey": "abc"}'`;
  assert.equal(
    becomes(post("report", headers), project),
    "report, function, secret -, timeout -, attempts -",
  );
  assert.equal(
    becomes(post("report", ", timeout_milliseconds := 300000"), project),
    "report, function, secret -, timeout 300, attempts -",
  );
});

Deno.test("no timeout is longer than the registry takes", () => {
  const days = ", timeout_milliseconds := 2147483647";
  assert.match(becomes(post("report", days)), /, timeout 86400,/);
  assert.match(
    becomes(post("report", days), projectOf({ served: new Set(["report"]) })),
    /, timeout 86400,/,
  );
});

Deno.test("a hundred entries of the same work at times apart are compared in a few seconds", async () => {
  const entries = Array.from(
    { length: 100 },
    (_, index) => sqlEntry(`job-${index}`, `${index % 60} ${index % 24} * * *`, post("work")),
  );
  await assertQuick("comparing them", 5_000, () => timed(() => proposalsFor(entries)));
});

Deno.test("other addresses are URLs, which wait 50 seconds at most", () => {
  assert.equal(
    becomes(post("https://api.example.com/hook", ", timeout_milliseconds := 1500")),
    "https://api.example.com/hook, response, secret -, timeout 2, attempts 1",
  );
  const long = proposalsFor([
    entry("a", post("https://api.example.com/hook", ", timeout_milliseconds := 90000")),
  ]).jobs[0]!;
  assert.equal(long.request.timeoutSeconds, 50);
  assert.match(long.reasons.join("\n"), /may take 50 s, not 90/);
  assert.match(
    becomes("select net.http_post('HTTPS://api.example.com/hook')"),
    /^https:\/\/api.example.com\/hook, response/,
  );
  assert.match(
    becomes(post("report/sub?x=1")),
    /^https:\/\/abc.supabase.co\/functions\/v1\/report\/sub\?x=1, response/,
  );
});

Deno.test("a secret is the one of Vault that a command reads, or that has its value; a function's Authorization needs the URL", () => {
  const project = projectOf({
    secrets: new Map([["service_key", 200], ["hook", 10]]),
    nameOfSecret: new Map([["it-is-in-vault-too", "service_key"]]),
    settings: new Map([["app.settings.key", "it-is-in-vault-too"]]),
  });
  const asUrl =
    `${PROJECT}/functions/v1/report, response, secret service_key, timeout -, attempts 1`;
  assert.equal(becomes(post("report", bearer(vault("service_key"))), project), asUrl);
  assert.equal(becomes(post("report", bearer("'it-is-in-vault-too'")), project), asUrl);
  assert.equal(
    becomes(post("report", bearer("current_setting('app.settings.key')")), project),
    asUrl,
  );
  assert.equal(
    becomes(
      post("report", `, headers := jsonb_build_object('x-cron-secret', ${vault("service_key")})`),
      project,
    ),
    "report, response, secret service_key, timeout -, attempts 1",
  );
  assert.match(
    becomes(
      post("report", `, headers := jsonb_build_object('x-cron-secret', ${vault("hook")})`),
      project,
    ),
    /has 10 characters/,
  );
});

Deno.test("a secret in plain text has to go into Vault first, under a name that is said", () => {
  const plain = post("send-report", bearer("'correct-horse-battery-staple'"));
  assert.equal(
    becomes(plain),
    "its authorization stands in plain text: put it into Vault first, select vault.create_secret('<the secret>', " +
      "'send_report_token'), and adopt it then",
  );
  const later = projectOf({ secrets: new Map([["send_report_token", 28]]) });
  assert.match(becomes(plain, later), /secret send_report_token/);
  assert.match(
    becomes(post("https://api.example.com/x", bearer("current_setting('app.key')"))),
    /^its authorization is in the setting app.key: .*'api_example_com_token'/,
  );
  const { secrets: _, ...blind } = projectOf();
  assert.match(becomes(plain, blind), /Vault cannot be read$/);
});

Deno.test("what a job could not ask in the same way is left alone, with the reason", () => {
  for (
    const [command, reason] of [
      [
        post("report", `, headers := '{"x-mode": "full"}'`),
        /it sends x-mode, and a job sends no header/,
      ],
      [post("report", `, headers := '{"apikey": "x"}'`), /it sends apikey/],
      [
        post("report", `, headers := '{"Content-Type": "text/plain"}'`),
        /its Content-Type is not JSON/,
      ],
      [
        post("report", `, headers := '{"Authorization": "Basic abc"}'`),
        /not Bearer and one secret/,
      ],
      [post("report", bearer(`${vault("a")} || ${vault("b")}`)), /not Bearer and one secret/],
      [
        post("report", `, headers := jsonb_build_object('Authorization', ${vault("a")})`),
        /not Bearer and one secret/,
      ],
      [
        post(
          "report",
          `, headers := jsonb_build_object('x-cron-secret', ${
            vault("a")
          }, 'Authorization', 'Bearer x')`,
        ),
        /it sends two secrets/,
      ],
      [post("report", bearer(vault("nowhere"))), /Vault has none named nowhere/],
      [
        post("report", `, body := '{"api_key": "sk-proj-0123456789abcdefghijklmnop"}'`),
        /its body holds a secret/,
      ],
      [post("http://api.example.com/x"), /is not https/],
      [post("https://ann:secretpassword1@api.example.com/x"), /has a blank, or a user's name/],
      [post("https://api.example.com/x\n"), /has a blank, or a user's name/],
      [post("https://api.example.com/x?key=0123456789abcdef"), /its URL holds a secret/],
      [
        post("https://api.example.com/x", `, headers := '{"x-cron-secret": "x"}'`),
        /no function of this project/,
      ],
      [`select net.http_post(${vault("hook_url")})`, /has the secret hook_url of Vault in it/],
      [
        `select net.http_post(current_setting('app.url'))`,
        /setting app.url in it, whose value is not known/,
      ],
      [`select net.http_post('nonsense')`, /its URL is not valid/],
      [post("report", `, headers := E'{"x-cron-secret": "a\\\\nb"}'`), /written with escapes/],
    ] as const
  ) assert.match(becomes(command), reason, command);
});

Deno.test("an entry whose header's secret also stands in its name, URL or body is left alone: the migration would have it", () => {
  const secret = 'correct "horse\\ battery/ü';
  const project = projectOf({
    secrets: new Map([["token", 40]]),
    nameOfSecret: new Map([[secret, "token"], ["tok", "token"]]),
    settings: new Map([["app.token", secret]]),
  });
  const reasonsOf = (...entries: ReturnType<typeof sqlEntry>[]) =>
    Object.values(leftIn(proposalsFor(entries, {}, { project })));
  const own = /^the secret of its headers also stands in its name, URL or body$/;
  const url = "https://api.example.com/x";
  const inBody = `, body := jsonb_build_object('note', 'so ${secret}!')`;
  for (
    const held of [
      entry(`nightly ${secret}`, post(url, bearer(`'${secret}'`))),
      entry("nightly", post(`${url}?a=${encodeURIComponent(secret)}`, bearer(`'${secret}'`))),
      entry("nightly", post(url, bearer(`'${secret}'`) + inBody)),
      entry("nightly", post(url, bearer("current_setting('app.token')") + inBody)),
      entry("nightly", post(url, bearer("'tok'") + `, body := '{"tok": 1}'`)),
      entry(
        "nightly",
        post("f", `, headers := '{"x-cron-secret": "tok"}', body := '{"a":["tok"]}'`),
      ),
    ]
  ) {
    const [reason, ...more] = reasonsOf(held);
    assert.match(reason ?? "it is adopted", own, held.command);
    assert.deepEqual(more, []);
  }
  // A secret of another entry, where it is long enough to be no word of anything.
  const sender = entry("sender", post(url, bearer(`'${secret}'`)));
  const holder = entry("holder", post("other", inBody));
  assert.deepEqual(reasonsOf(sender, holder), [
    "a secret of another entry's headers stands in its name, URL or body",
  ]);
  assert.deepEqual(
    reasonsOf(entry("sender", post(url, bearer("'tok'"))), entry("holder", post("token"))),
    [],
  );
});

Deno.test("entries of other databases and roles, Daybook's own and those without times are left alone", () => {
  const entries = [
    { ...callEntry("elsewhere", "0 3 * * *"), database: "other" },
    { ...callEntry("nightly", "0 3 * * *", { jobId: "1" }), username: "supabase_admin" },
    callEntry("nightly", "0 4 * * *", { jobId: "2" }),
    callEntry("reboot", "@reboot"),
    callEntry("never", "0 0 30 2 *"),
    { ...callEntry("off", "0 5 * * *"), active: false },
    callEntry("sk-proj-0123456789abcdefghijklmnop", "0 6 * * *"),
    sqlEntry("mine", "* * * * *", "select scheduler.dispatch('mine')"),
    sqlEntry(
      "scheduler-pulse",
      "10 seconds",
      "do $beat$ begin while scheduler.beat() loop commit; end loop; end $beat$",
    ),
  ];
  const found = proposalsFor(entries);
  assert.deepEqual(jobsIn(found), ["nightly: 0 4 * * * UTC < nightly"]);
  assert.equal(found.ownEntries, 2);
  assert.deepEqual(
    found.leftAlone.map(({ entry, reason }) =>
      `${entry.name}: ${reason}`.replace(/^(.{70}).*$/, "$1…")
    ),
    [
      "elsewhere: it runs in the database other, and this is postgres",
      "nightly: it is an entry of the role supabase_admin, and only that role…",
      "reboot: it runs @reboot, and a job runs by the clock",
      "never: its schedule 0 0 30 2 * never occurs",
      "off: it is switched off; name it, and it becomes a job that is switche…",
      "sk-proj-0123456789abcdefghijklmnop: its name holds a secret, and the m…",
    ],
  );
  assert.deepEqual(leftIn(proposalsFor(entries, { chosen: ["mine"] })), {
    mine: "it is Daybook's own",
  });
});

Deno.test("an entry that is switched off becomes a job that is switched off, where it is named", () => {
  const entries = [
    { ...callEntry("off", "0 3 * * *"), active: false },
    callEntry("on", "0 4 * * *"),
  ];
  const found = proposalsFor(entries, { chosen: ["off"] });
  assert.deepEqual(found.jobs.map(({ name, enabled }) => [name, enabled]), [["off", false]]);
});

Deno.test("of the same work what is not named is said to stay", () => {
  const entries = [entry("one", post("work")), entry("two", post("work"))];
  const found = proposalsFor(entries, { chosen: ["one"] });
  assert.deepEqual(jobsIn(found), ["one: 0 3 * * * UTC < one"]);
  assert.match(
    found.jobs[0]!.reasons.join("\n"),
    /two starts the same work and stays: name it as well/,
  );
});

Deno.test("schedules are said as Daybook says them", () => {
  for (
    const [schedule, said] of [
      ["0 0 $ * *", "0 0 L * *"],
      ["  5   4 * *  MON ", "5 4 * * mon"],
      ["@Daily", "@daily"],
      [" 05 Seconds", "5 seconds"],
    ] as const
  ) assert.equal(proposalsFor([callEntry("a", schedule)]).jobs[0]!.schedule, said);
});

Deno.test("names of entries become names of jobs, each once, and none that is taken", () => {
  for (
    const [text, name] of [
      ["nightly", "nightly"],
      ["Nightly Report!", "nightly-report"],
      ["__Übung 'x'\n", "ubung-x"],
      ["twitterPoller", "twitter-poller"],
      ["☃", undefined],
      ["a".repeat(80), "a".repeat(63)],
    ] as const
  ) assert.equal(jobNameOf(text), name);
  const taken = new Set(["a", "b", "c".repeat(63)]);
  assert.equal(takeName(["a", "x"], taken), "x");
  assert.equal(takeName(["a", "x"], taken), "a-2");
  assert.equal(takeName(["c".repeat(70)], taken), `${"c".repeat(61)}-2`);
  assert.equal(takeName(["☃"], taken), "job");

  const entries = [
    entry("Night ly", post("one")),
    entry("night-ly", post("two")),
    { ...entry("job 7", post("three")), isUnnamed: true as const },
    entry("taken", post("four")),
    entry("sql", "select 1"),
    entry("SQL", post("five")),
    entry("scheduler-pulse", post("six")),
  ];
  const job = registeredJob("taken", { alias: "one", target: "other", schedule: "* * * * *" });
  assert.deepEqual(proposalsFor(entries, {}, { jobs: [job] }).jobs.map(({ name }) => name), [
    "night-ly",
    "two",
    "three",
    "four",
    "five",
    "six",
  ]);
});

Deno.test("a registered job that does the work at these times stays, and takes the entries' place", () => {
  const job = registeredJob("daily-batch-trigger", {
    schedule: "*/15 3-5 * * *",
    timeZone: "America/New_York",
  });
  const entries = [sqlEntry("old-est", "*/15 * * * *", post("daily-batch-trigger"))];
  const works = [{ fromHour: 3, toHour: 6, zone: "America/New_York" }];
  assert.deepEqual(jobsIn(proposalsFor(entries, { works }, { jobs: [job] })), [
    "daily-batch-trigger: */15 3-5 * * * America/New_York (there) < old-est",
  ]);
  // Every quarter of an hour also has those of three o'clock.
  const rarer = [sqlEntry("old", "0 9 * * *", post("daily-batch-trigger"))];
  const wide = { ...job, schedule: "*/15 * * * *", timeZone: "UTC" };
  assert.deepEqual(jobsIn(proposalsFor(rarer, {}, { jobs: [wide] })), [
    "daily-batch-trigger: */15 * * * * UTC (there) < old",
  ]);
  assert.match(
    leftIn(proposalsFor(entries, {}, { jobs: [job] }))["old-est"]!,
    /the job daily-batch-trigger \(\*\/15 3-5 .*\) starts the same work, and not always when \*\/15 \* \* \* \* UTC does/,
  );
  const off = { ...job, enabled: false };
  assert.deepEqual(jobsIn(proposalsFor(entries, { works }, { jobs: [off] })), [
    "old-est: */15 3-5 * * * America/New_York < old-est",
  ]);
});

Deno.test("a registered job with another secret does other work; one with calendars or a pause covers nothing", () => {
  const job = registeredJob("work", { secretName: "other_secret" });
  const entries = [entry("old", post("work"))];
  assert.deepEqual(jobsIn(proposalsFor(entries, {}, { jobs: [job] })), [
    "old: 0 3 * * * UTC < old",
  ]);
  const same = { ...job, secretName: "cron_secret" };
  const asked = { ...same, hindrances: ["calendars", "pause"] };
  assert.match(
    leftIn(proposalsFor(entries, {}, { jobs: [asked] })).old!,
    /the job work .* starts the same work, and its calendars and pause keep it from some runs/,
  );
  const telling = { ...same, runIf: "public.is_due", stretchAfter: "3" };
  assert.deepEqual(proposalsFor(entries, {}, { jobs: [telling] }).jobs[0]!.reasons, [
    "The job work is registered, and starts the same work at these times, when its run_if public.is_due says so",
    "It runs less often after 3 runs without work (stretch_after)",
  ]);
  // Of two jobs with the same work the one counts that always starts.
  assert.deepEqual(
    jobsIn(proposalsFor(entries, {}, { jobs: [asked, { ...same, name: "too" }] })),
    ["too: 0 * * * * UTC (there) < old"],
  );
  const url = "https://api.example.com/x";
  const byUrl = { ...job, target: url, secretName: "" };
  assert.deepEqual(jobsIn(proposalsFor([entry("old", post(url))], {}, { jobs: [byUrl] })), [
    "work: 0 * * * * UTC (there) < old",
  ]);
});

Deno.test("what one registered job covers is one proposal, also where its entries start at times apart", () => {
  const job = registeredJob("work");
  const entries = [
    sqlEntry("morning", "0 6 * * *", post("work")),
    sqlEntry("evening", "0 18 * * *", post("work")),
  ];
  const found = proposalsFor(entries, {}, { jobs: [job] });
  assert.deepEqual(jobsIn(found), ["work: 0 * * * * UTC (there) < morning, evening"]);
  assert.deepEqual(found.jobs[0]!.reasons, [
    "The job work is registered, and starts the same work at these times",
  ]);
});
