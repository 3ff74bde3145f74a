import assert from "node:assert/strict";
import { wantsColours } from "../../../cli/daybook/render.ts";
import { against, CRON_SECRET as secret, daybook, json } from "../../support/command-line.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";

const error = (status: number, code: string, message: string, hint?: string) =>
  json({ error: { code, message, ...(hint === undefined ? {} : { hint }) } }, status);

const run = {
  run_id: "01234567-89ab-cdef-0123-456789abcdef",
  job: "nightly",
  status: "failed",
  trigger: "cron",
  time_zone: "America/New_York",
  scheduled_for: "2026-03-02T07:00:00+00:00",
  scheduled_until: null,
  occurrences: 1,
  attempt: 2,
  max_attempts: 3,
  key: null,
  created_at: "2026-03-02T07:00:00+00:00",
  dispatched_at: "2026-03-02T07:00:00+00:00",
  started_at: "2026-03-02T07:00:01+00:00",
  heartbeat_at: null,
  completed_at: "2026-03-02T07:00:04+00:00",
  duration_ms: 3200,
  verdict: "job_error",
  skip_kind: null,
  skip_reason: null,
  error_message: "out of paper\u001b[31m\nand ink",
  summary: null,
  waits_for: null,
};
const job = {
  job: "nightly",
  alias: null,
  description: "",
  target: "nightly",
  schedule: "0 2 * * *",
  time_zone: "America/New_York",
  continuous: false,
  state: "failing",
  stopped_by: null,
  waits_for: null,
  unsuccessful_occurrences: 1,
  last_run: run,
  next_run_at: "2026-03-03T07:00:00+00:00",
  lock: null,
  breaker: null,
  parallel: null,
  stretch: null,
  budgets: {},
  group: null,
};
const status = {
  timestamp: "2026-03-02T12:00:00+00:00",
  sentence: "Of 1 job 1 is failing. Look at nightly.",
  incident: null,
  pulse_age_seconds: 3,
  counts: { failing: 1 },
  jobs: [job],
  next_cursor: null,
};
const healthy = {
  ...status,
  sentence: "The one job is healthy.",
  counts: { healthy: 1 },
  jobs: [{ ...job, state: "healthy", unsuccessful_occurrences: 0 }],
};

Deno.test("status shows each job on the reader's clock and on its own where they differ", async () => {
  const { stdout, stderr } = await against(json(status), ["status"]);
  assert.equal(stderr, "");
  assert.equal(
    stdout,
    `Of 1 job 1 is failing. Look at nightly.

JOB      STATE    LAST RUN         NEXT RUN (Europe/Berlin)  ON THE JOB'S CLOCK                    NOTE
nightly  failing  failed, 5 h ago  2026-03-03 08:00:00       2026-03-03 02:00:00 America/New_York  1 without success`,
  );
  const utc = await against(json(status), ["status", "--utc"]);
  assert.match(
    utc.stdout,
    /NEXT RUN \(UTC\) .*\n.* 2026-03-03 07:00:00 .* 2026-03-03 02:00:00 America\/New_York/,
  );
  const same = await against(json(status), ["status"], { zone: "America/New_York" });
  assert.doesNotMatch(same.stdout, /CLOCK/);
});

Deno.test("status says how a job gives way", async () => {
  const noteOf = async (change: object) =>
    (await against(json({ ...healthy, jobs: [{ ...healthy.jobs[0], ...change }] }), ["status"]))
      .stdout.split("\n").at(-1)!.split("America/New_York").at(-1)!.trim();
  assert.equal(
    await noteOf({ parallel: { least: 2, most: 8, in_force: 4 } }),
    "4 at once, of 2 to 8",
  );
  assert.equal(await noteOf({ parallel: { least: null, most: 8, in_force: 8 } }), "");
  const again = "2026-03-03T07:00:00+00:00";
  assert.equal(
    await noteOf({ stretch: { idle_in_row: 4, asked_again_at: again } }),
    "found nothing 4 times in a row",
  );
  assert.equal(await noteOf({ stretch: { idle_in_row: 1, asked_again_at: null } }), "");
});

Deno.test("colours mark states on a terminal alone, and move no column", async () => {
  const plain = await against(json(status), ["status"]);
  // deno-lint-ignore no-control-regex
  const codes = /\x1b\[\d+m/g;
  assert.doesNotMatch(plain.stdout, codes);
  const coloured = await against(json(status), ["status"], { colours: true });
  assert.ok(coloured.stdout.includes("\x1b[31mfailing\x1b[39m"));
  assert.equal(coloured.stdout.replace(codes, ""), plain.stdout);
});

Deno.test("what a job wrote cannot steer the terminal", async () => {
  const { stdout } = await against(
    json({ ordered_by: "created_at", runs: [run], next_cursor: null }),
    [
      "runs",
    ],
  );
  assert.ok(stdout.endsWith("  job_error: out of paper [31m and ink"), JSON.stringify(stdout));
});

Deno.test("--json prints the API's answer as it is", async () => {
  const { stdout, code } = await against(json(status), ["status", "--json"]);
  assert.deepEqual(JSON.parse(stdout), status);
  assert.equal(code, 1);
});

Deno.test("status ends with 1 for each state that somebody should look at, and for a pulse that is dead", async () => {
  const codeOf = async (change: object) =>
    (await against(json({ ...healthy, ...change }), ["status"])).code;
  assert.equal(await codeOf({}), 0);
  for (const state of ["failing", "overdue", "late", "breaker_open"]) {
    assert.equal(await codeOf({ counts: { healthy: 3, [state]: 1 } }), 1, state);
  }
  for (const state of ["paused", "waiting", "disabled"]) {
    assert.equal(await codeOf({ counts: { healthy: 3, [state]: 1 } }), 0, state);
  }
  assert.equal(await codeOf({ pulse_age_seconds: 90 }), 0);
  assert.equal(await codeOf({ pulse_age_seconds: 91 }), 1);
  assert.equal(await codeOf({ pulse_age_seconds: null }), 1);
});

Deno.test("health ends with 1 when a service is stalled, whose answer is a 503 with its usual body", async () => {
  const service = {
    service: "backup",
    job: "nightly",
    last_run: null,
    age_seconds: null,
    status: "STALLED",
    state: "failing",
    due_without_success: 2,
  };
  const health = {
    timestamp: status.timestamp,
    services: [service],
    stalled_services: ["backup"],
    budgets: {},
  };
  const stalled = await against(json(health, 503), ["health"]);
  assert.deepEqual([stalled.code, stalled.stderr], [1, ""]);
  assert.match(stalled.stdout, /^backup +STALLED +failing/m);
  const fine = await against(json({ ...health, stalled_services: [] }), ["health"]);
  assert.equal(fine.code, 0);
});

Deno.test("an error of the API comes in its own words, with the exit code of its kind", async () => {
  const cases: [Reply, number, RegExp][] = [
    [error(404, "unknown_run", "Cannot answer: there is no run 1"), 2, /^There is no run 1$/],
    [
      error(400, "invalid_input", "Cannot answer: query: job: too long"),
      2,
      /^Query: job: too long$/,
    ],
    [
      error(409, "refused", "Cannot answer: it is under way", "wait"),
      4,
      /^It is under way\nhint: wait$/,
    ],
    [error(403, "forbidden", "Cannot answer: a viewer only reads"), 4, /^A viewer only reads$/],
    [
      error(401, "unauthorized", "no"),
      3,
      /^<url>\/functions\/v1\/cron refuses the cron secret\nhint: it was that of CRON_SECRET/,
    ],
    [error(503, "database_unavailable", "Cannot answer: down"), 3, /^Down$/],
    [
      error(500, "misconfigured", "Cannot serve: CRON_SECRET is not set"),
      3,
      /CRON_SECRET is not set/,
    ],
    [
      json({ message: "no such function" }, 404),
      3,
      /answers 404, and not as the function cron does\nhint: .*deployed/,
    ],
    [{ status: 200, body: "<html>" }, 3, /does not answer as the function cron does/],
    [{ status: 302, headers: { location: "https://elsewhere.example" } }, 3, /answers 302/],
    ["reset", 3, /^Cannot reach <url>/],
  ];
  for (const [reply, code, message] of cases) {
    const found = await against(reply, ["status"]);
    assert.match(found.stderr, message);
    assert.deepEqual([found.code, found.stdout], [code, ""], found.stderr);
    assert.ok(!found.stderr.includes(secret), found.stderr);
  }
});

Deno.test("a job that there is not: those are named that were meant, and no list of a thousand", async () => {
  const hint = `the jobs are: ${
    Array.from({ length: 1000 }, (_, i) => `job-of-${i}`).join(", ")
  }, nightly`;
  const unknown = (name: string) =>
    against(error(404, "unknown_job", `Cannot answer: there is no job named '${name}'`, hint), [
      "explain",
      name,
    ]);
  assert.equal(
    (await unknown("nigthly")).stderr,
    "There is no job named 'nigthly'\nhint: did you mean nightly?",
  );
  assert.equal(
    (await unknown("backup")).stderr,
    "There is no job named 'backup'\nhint: deno task daybook status lists the jobs",
  );
});

Deno.test("the credential of the environment goes where it belongs, the most personal first", async () => {
  const headers = async (env: Record<string, string>) => {
    const { asked } = await against(json(healthy), ["status"], { env });
    const { authorization, apikey, "x-cron-secret": cron } = asked[0]!.headers;
    return { authorization, apikey, cron };
  };
  const none = { authorization: undefined, apikey: undefined, cron: undefined };
  assert.deepEqual(await headers({}), { ...none, cron: secret });
  assert.deepEqual(await headers({ DAYBOOK_TOKEN: "t" }), { ...none, authorization: "Bearer t" });
  assert.deepEqual(await headers({ CRON_SECRET: "", SUPABASE_SECRET_KEY: "k" }), {
    ...none,
    apikey: "k",
  });
  assert.deepEqual(await headers({ CRON_SECRET: "", SUPABASE_SERVICE_ROLE_KEY: "r" }), {
    ...none,
    apikey: "r",
  });
  const unset = await daybook(["status", "--url", "https://abc.supabase.co"]);
  assert.equal(unset.code, 2);
  assert.match(unset.stderr, /^--url needs one of DAYBOOK_TOKEN, CRON_SECRET, .* none is set$/);
  const broken = await daybook(["status", "--url", "https://abc.supabase.co"], {
    env: { CRON_SECRET: "a\nb" },
  });
  assert.match(broken.stderr, /^Cannot use CRON_SECRET: /);
});

Deno.test("a secret goes over https, or to this machine", async () => {
  const given = { env: { CRON_SECRET: secret } };
  const plain = await daybook(["status", "--url", "http://daybook.example"], given);
  assert.deepEqual([plain.code, plain.stderr], [
    2,
    "Cannot use --url: a secret goes to daybook.example over https only\nhint: https://daybook.example",
  ]);
  for (const url of ["daybook", "https://a:b@c.example", "postgres://c.example"]) {
    assert.match(
      (await daybook(["status", "--url", url], given)).stderr,
      /^Cannot use --url: it must be an http/,
      url,
    );
  }
});

Deno.test("nothing to ask, or two places, is said", async () => {
  const none = await daybook(["status"]);
  assert.deepEqual([none.code, none.stderr], [
    3,
    "Cannot find a running stack\nhint: start one with deno task start, or give --url, --db-url or --profile",
  ]);
  const two = await daybook(["status", "--url", "https://a.example", "--profile", "prod"]);
  assert.deepEqual([two.code, two.stderr], [
    2,
    "Cannot ask two places: --url and --profile are given",
  ]);
  const gone = await daybook(["status", "--db-url", "postgres://ann:hush@127.0.0.1:9/postgres"]);
  assert.equal(gone.code, 3);
  assert.match(gone.stderr, /^Cannot reach postgres:\/\/127\.0\.0\.1:9\/postgres: .*\nhint: /);
  const noUrl = await daybook(["status", "--db-url", "https://hush.example"]);
  assert.match(noUrl.stderr, /^Cannot use the database's URL: /);
});

Deno.test("verbs that need the database refuse two places, and what is no URL of one, without its password", async () => {
  const verbs = [
    ["status"],
    ["doctor"],
    ["crontab", "--format", "cron"],
    ["rotate-secret", "--reason", "why", "--author", "ann"],
  ];
  const odd = ["", "https://hush.example", "postgres://ann:hu#sh@db.example/postgres"];
  for (const verb of verbs) {
    for (const url of odd) {
      const { code, stdout, stderr } = await daybook([...verb, "--db-url", url]);
      assert.equal(code, 2, `${verb[0]} ${url}`);
      assert.match(stderr, /^Cannot use the database's URL: it must be postgres:/);
      assert.doesNotMatch(stdout + stderr, /hu.?sh/);
    }
    const two = await daybook([
      ...verb,
      "--db-url",
      "postgres://127.0.0.1:9/postgres",
      "--profile",
      "production",
    ]);
    assert.deepEqual([two.code, two.stderr], [
      2,
      "Cannot ask two places: --db-url and --profile are given",
    ], verb[0]);
  }
});

Deno.test("a database that does not answer ends each verb that asks it with 3, and doctor with 1", async () => {
  const gone = ["--db-url", "postgres://ann:hush@127.0.0.1:9/postgres"];
  const crontab = await daybook(["crontab", "--format", "cron", ...gone]);
  assert.equal(crontab.code, 3);
  assert.match(crontab.stderr, /^Cannot reach postgres:\/\/127\.0\.0\.1:9\/postgres: /);
  const because = ["--reason", "why", "--author", "ann"];
  const rotation = await daybook(["rotate-secret", ...because, ...gone]);
  assert.equal(rotation.code, 3);
  const doctor = await daybook(["doctor", ...gone]);
  assert.equal(doctor.code, 1);
  assert.match(doctor.stdout, /^failed +database +it does not answer: /);
});

Deno.test("a command that breaks ends with 70, and shows no password", async () => {
  const { code, stdout, stderr } = await against(json(status), ["status"], {
    print: () => {
      throw new TypeError("no postgres://ann:hush@db.example");
    },
  });
  assert.deepEqual([code, stdout], [70, ""]);
  assert.match(stderr, /^The command broke: TypeError: no postgres:\/\/…@db\.example\n +at /);
});

Deno.test("who acts is said, by option, environment or profile, and never guessed", async () => {
  const pause = ["pause", "nightly", "--reason", "a release"];
  const reply = json({ message: "nightly is paused" });
  const author = async (args: string[], env: Record<string, string> = {}) => {
    const { asked, stderr, code } = await against(reply, [...pause, ...args], {
      env: { USER: "root", ...env },
    });
    return asked[0] === undefined
      ? `${code} ${stderr.split("\n")[0]}`
      : JSON.parse(asked[0].body).author;
  };
  assert.equal(await author([]), "2 --author must say who acts, for the audit log");
  assert.equal(await author([], { DAYBOOK_AUTHOR: "ann" }), "ann");
  assert.equal(await author(["--author", "bob"], { DAYBOOK_AUTHOR: "ann" }), "bob");
  assert.equal(await author(["--author", " "]), "2 --author must say who acts, for the audit log");
  assert.equal(
    await author([], { DAYBOOK_TOKEN: "t" }),
    undefined,
    "a signed-in user is known by itself",
  );
});

Deno.test("every verb that acts needs a reason, and does nothing without", async () => {
  const id = run.run_id;
  for (
    const args of [
      ["run", "x"],
      ["retry", id],
      ["cancel", id],
      ["pause", "x"],
      ["resume", "x"],
      ["close-breaker", "x"],
      ["backfill", "x", "--from", "2d", "--to", "now"],
      ["release-locks", "x"],
      ["stop"],
      ["restart"],
      ["smoke", "x"],
      ["rotate-secret"],
    ]
  ) {
    const missing = await against(json({}), [...args, "--author", "ann"]);
    assert.equal(missing.code, 2, args[0]);
    assert.match(missing.stderr, /^Required option '--reason <WHY>' not specified\n\n/, args[0]);
    const blank = await against(json({}), [...args, "--author", "ann", "--reason", " "]);
    assert.deepEqual(
      [blank.code, blank.stderr],
      [2, "--reason must say why, for the audit log"],
      args[0],
    );
    assert.deepEqual([...missing.asked, ...blank.asked], [], args[0]);
  }
});

Deno.test("an acting verb sends what it was given to its route", async () => {
  const id = run.run_id;
  const cases: [string[], string, object][] = [
    [["run", "a b", "--payload", '{"x": 1}'], "jobs/a%20b/run", { payload: { x: 1 } }],
    [["retry", id], `runs/${id}/retry`, {}],
    [["cancel", id], `runs/${id}/cancel`, {}],
    [["pause", "x"], "jobs/x/pause", {}],
    [["pause", "--group", "g", "--until", "2h"], "groups/g/pause", {
      until: "2026-03-02T14:00:00.000Z",
    }],
    [["resume", "x"], "jobs/x/resume", {}],
    [["resume", "--group", "g"], "groups/g/resume", {}],
    [["close-breaker", "x"], "jobs/x/close-breaker", {}],
    [["release-locks", "x", "y"], "emergency/force-release-locks", { jobs: ["x", "y"] }],
    [["release-locks", "--all"], "emergency/force-release-locks", {}],
    [["stop"], "emergency/stop", {}],
    [["stop", "--end-runs"], "emergency/stop", { end_runs: true }],
    [["restart", "--ramp", "0"], "emergency/restart", { ramp_seconds: 0 }],
    [["channels", "--test", "ops"], "channels/ops/test", {}],
    [["backfill", "x", "--from", "2d", "--to", "now"], "jobs/x/backfill", {
      from: "2026-02-28T12:00:00.000Z",
      to: "2026-03-02T12:00:00.000Z",
      preview: true,
    }],
    [
      [
        "backfill",
        "x",
        "--from",
        "2d",
        "--to",
        "now",
        "--yes",
        "--reprocess",
        "all",
        "--newest-first",
        "--at-most",
        "5",
      ],
      "jobs/x/backfill",
      {
        from: "2026-02-28T12:00:00.000Z",
        to: "2026-03-02T12:00:00.000Z",
        preview: false,
        reprocess: "all",
        newest_first: true,
        at_most: 5,
      },
    ],
  ];
  const answer = { message: "done", run_id: id, released: [], preview: false, occurrences: [] };
  for (const [args, route, input] of cases) {
    const found = await against(json(answer), [...args, "--reason", "why", "--author", "ann"]);
    assert.deepEqual([found.code, found.stderr], [0, ""], args.join(" "));
    const [{ method, url, body } = { method: "", url: "", body: "" }] = found.asked;
    assert.deepEqual([method, url], ["POST", `/functions/v1/cron/${route}`], args.join(" "));
    assert.deepEqual(JSON.parse(body), { reason: "why", author: "ann", ...input }, args.join(" "));
  }
});

Deno.test("what names nothing, or two things, is refused before anything is sent", async () => {
  const because = ["--reason", "why", "--author", "ann"];
  const cases: [string[], RegExp][] = [
    [["pause", ...because], /name a job or give --group, one of them/],
    [["resume", "x", "--group", "g", ...because], /name a job or give --group, one of them/],
    [["release-locks", ...because], /name jobs or give --all, one of them/],
    [["release-locks", "x", "--all", ...because], /name jobs or give --all, one of them/],
    [["cancel", "x", ...because], /^x is no id of a run\n/],
    [["run", "x", "--payload", "[]", ...because], /it must be a JSON object/],
    [["run", "x", "--payload", "{", ...because], /it is no JSON/],
    [["run", "x", "--payload", "@/nowhere/x.json", ...because], /cannot read the file/],
    [
      ["runs", "--limit", "0"],
      /^Option '--limit <N>' argument '0' is invalid: it must be a whole number/,
    ],
    [["failures", "--since", "soon"], /^--since is no time: soon/],
    [["stauts"], /^Unknown verb 'stauts'; did you mean status\?\n\n/],
    [["explain"], /^Missing required argument 'job'\n\n/],
    [["next", "a", "b"], /^Too many arguments/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr, asked } = await against(json({}), args);
    assert.match(stderr, message, args.join(" "));
    assert.deepEqual([code, asked.length], [2, 0], args.join(" "));
  }
});

Deno.test("a name that is blank or a step between folders is refused, and asks no other route", async () => {
  const because = ["--reason", "why", "--author", "ann"];
  const verbs: ((name: string) => string[])[] = [
    (name) => ["health", name],
    (name) => ["metrics", name],
    (name) => ["forecast", name],
    (name) => ["explain", name],
    (name) => ["next", name],
    (name) => ["runs", "--job", name],
    (name) => ["run", name, ...because],
    (name) => ["smoke", name, ...because],
    (name) => ["pause", name, ...because],
    (name) => ["resume", name, ...because],
    (name) => ["backfill", name, "--from", "2d", "--to", "now", ...because],
    (name) => ["close-breaker", name, ...because],
    (name) => ["release-locks", name, ...because],
  ];
  for (const name of ["", " ", ".", ".."]) {
    for (const verb of verbs) {
      const { code, stderr, asked } = await against(json({}), verb(name));
      assert.deepEqual([code, stderr, asked.length], [2, `There is no job named '${name}'`, 0]);
    }
    const group = await against(json({}), ["pause", "--group", name, ...because]);
    assert.equal(group.stderr, `There is no group named '${name}'`);
    const channel = await against(json({}), ["channels", "--test", name, ...because]);
    assert.equal(channel.stderr, `There is no channel named '${name}'`);
    assert.deepEqual([...group.asked, ...channel.asked], []);
  }
});

Deno.test("a list is read page after page, and no further than it is asked for", async () => {
  const page = (n: number) =>
    json({
      ordered_by: "created_at",
      runs: Array.from({ length: 100 }, () => run),
      next_cursor: n < 5 ? `p${n}` : null,
    });
  const pages = async (limit: string) => {
    let asked: string[] = [];
    let read = 0;
    await withHttpServer(() => page(++read), async ({ url, requests }) => {
      const { stdout } = await daybook(["runs", "--json", "--limit", limit, "--url", url], {
        env: { CRON_SECRET: secret },
      });
      assert.equal(JSON.parse(stdout).runs.length, Number(limit));
      asked = requests.map(({ url }) => url.replace(/.*history\??/, ""));
    });
    return asked;
  };
  assert.equal((await pages("100")).length, 1);
  const [first, second, third] = await pages("250");
  assert.equal(first, "");
  assert.match(second!, /^cursor=p/);
  assert.ok(third);
});

Deno.test("each verb's help says in a sentence what it does, and what it is for in the list of all", async () => {
  const all = await daybook(["--help"]);
  const verbs = [...all.stdout.matchAll(/^ {2}([a-z][a-z-]+)(?: [[<]\S+)? {2,}(\S.*)$/gm)].map((
    [, verb, summary],
  ) => ({
    verb: verb!,
    summary: summary!,
  }));
  assert.ok(verbs.length >= 20, String(verbs.map(({ verb }) => verb)));
  for (const { verb, summary } of verbs) {
    assert.match(summary, /^[a-z].*[^.]$/, `${verb}: ${summary}`);
    const { stdout, code } = await daybook([verb, "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^[A-Z].*\\.\n\ndeno task daybook ${verb}\\b`), verb);
    assert.match(stdout, /^ {2}--help +this text$/m, verb);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 120, `${verb}: ${line}`);
  }
});

Deno.test("every verb that a document names is there", async () => {
  const { stdout } = await daybook(["--help"]);
  const root = new URL("../../../", import.meta.url);
  const documents = [
    "README.md",
    ...[...Deno.readDirSync(new URL("docs/", root))]
      .filter(({ name }) => name.endsWith(".md")).map(({ name }) => `docs/${name}`),
  ];
  let named = 0;
  for (const document of documents) {
    const text = await Deno.readTextFile(new URL(document, root));
    for (const [, verb] of text.matchAll(/deno task daybook ([a-z][a-z-]*)/g)) {
      named++;
      assert.match(stdout, new RegExp(`^ {2}${verb}\\b`, "m"), `${document}: ${verb}`);
    }
  }
  assert.ok(named >= 8, String(named));
});

Deno.test("wantsColours() is for terminals, and not for people who say NO_COLOR", () => {
  assert.equal(wantsColours(true, undefined), true);
  assert.equal(wantsColours(true, ""), true);
  assert.equal(wantsColours(true, "1"), false);
  assert.equal(wantsColours(false, undefined), false);
});
