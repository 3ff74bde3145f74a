import assert from "node:assert/strict";
import { Cron } from "croner";
import { parse, parseAllDocuments } from "yaml";
import {
  type CallOptions,
  composeFile,
  cronFile,
  kubernetesFile,
  kubernetesName,
  planCalls,
} from "../../../cli/daybook/crontab-files.ts";
import {
  type ClockKind,
  type ScheduledJob,
  scheduleFor,
} from "../../../cli/daybook/crontab-schedules.ts";
import { withHttpServer } from "../../support/http-server.ts";
import { quietRandom } from "../../support/random.ts";

const clocks: ClockKind[] = ["cron", "kubernetes", "compose"];
const secret = `a "secret" with $signs, 100% of 'them' and \\back\\slashes`;

function job(schedule: string | null, values: Partial<ScheduledJob> = {}): ScheduledJob {
  return {
    ...{
      name: "job",
      target: "work",
      time_zone: "UTC",
      continuous: false,
      state: "healthy",
      callable: true,
    },
    schedule,
    ...values,
  };
}

const options: CallOptions = {
  projectUrl: "https://abcdefghijklmnopqrst.supabase.co",
  header: "x-cron-secret",
  client: "curl",
};

const jobs: ScheduledJob[] = [
  job("0 9 * * mon-fri", { name: "letters", time_zone: "Europe/Berlin" }),
  job("*/5 * * * *", { name: "snake_case_job" }),
  job("30 2 1 * *", { name: "a-very-long-name-".repeat(3) + "one", time_zone: "Asia/Tokyo" }),
  job("30 3 1 * *", { name: "a-very-long-name-".repeat(3) + "two", time_zone: "Asia/Tokyo" }),
  job("0 0 L * *", { name: "month-end" }),
  job("45 seconds", { name: "quick" }),
  job(null, { name: "follower" }),
  job("0 0 * * *", { name: "hook", target: "https://example.test/hook" }),
];

Deno.test("what each clock makes of a schedule", () => {
  const cases: [string, string][] = [
    ["0 9 * * mon-fri", "0 9 * * 1-5"],
    ["0 9 * * Fri-Sun", "0 9 * * 5,6,0"],
    ["0 9 * * 1-7/2", "0 9 * * 1,3,5,0"],
    ["0 9 * * 7", "0 9 * * 0"],
    ["0 9 * * sun", "0 9 * * 0"],
    ["0 9 * * 0-6", "0 9 * * 0-6"],
    ["5-59/10 0 1,15 JAN,jul-sep *", "5-59/10 0 1,15 1,7-9 *"],
    ["@weekly", "0 0 * * 0"],
    ["300 seconds", "*/5 * * * *"],
    ["3600 seconds", "0 * * * *"],
    ["14400 seconds", "0 */4 * * *"],
    ["86400 seconds", "0 0 * * *"],
    ["0 0 13 * fri", "0 0 13 * 5"],
  ];
  for (const clock of clocks) {
    for (const [schedule, fields] of cases) {
      assert.deepEqual(scheduleFor(clock, job(schedule)), { fields, timeZone: "UTC" }, schedule);
    }
  }
});

Deno.test("what a clock cannot say is left to tick, with the reason", () => {
  const cases: [ScheduledJob, RegExp][] = [
    [job("0 0 L * *"), /day sign/],
    [job("0 0 15W * *"), /day sign/],
    [job("0 0 * * 5#2"), /day sign/],
    [job("0 0 * * friL"), /day sign/],
    [job("45 seconds"), /every 45 seconds/],
    [job("420 seconds"), /every 420 seconds/],
    [job("18000 seconds"), /every 18000 seconds/],
    [job(null), /no schedule/],
    [job(null, { continuous: true }), /continuous/],
    [job("* * * * *", { target: "https://example.test/x" }), /URL/],
    [job("* * * * *", { state: "disabled" }), /disabled/],
    [
      job("* * * * *", { callable: false }),
      /not served by serveJob\(\), or takes a secret of its own/,
    ],
  ];
  for (const clock of clocks) {
    for (const [left, reason] of cases) {
      const found = scheduleFor(clock, left);
      assert.match("reason" in found ? found.reason : "", reason, `${clock}: ${left.schedule}`);
    }
  }
  const both = job("0 0 */2 * mon");
  assert.deepEqual(scheduleFor("cron", both), { fields: "0 0 */2 * 1", timeZone: "UTC" });
  for (const clock of ["kubernetes", "compose"] as const) {
    assert.match((scheduleFor(clock, both) as { reason: string }).reason, /both match/);
  }
});

Deno.test("fields of numbers mean what the schedule meant", () => {
  const random = quietRandom(11);
  const part = (first: number, last: number, names?: string[]) => {
    const from = random.whole(first, last);
    const to = random.whole(from, last);
    const text = (value: number) =>
      names && random.chance(0.5) ? names[(value - first) % names.length]! : String(value);
    return random.pick([
      "*",
      text(from),
      `${text(from)}-${String(to)}`,
      `${from}-${to}/${random.whole(1, 3)}`,
    ]);
  };
  const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
  for (let turn = 0; turn < 300; turn++) {
    const dayOfMonth = random.chance(0.5) ? "*" : part(1, 28);
    const schedule = [
      part(0, 59),
      part(0, 23),
      dayOfMonth,
      part(1, 12),
      dayOfMonth === "*" ? part(0, 7, days) : "*",
    ].join(" ");
    const found = scheduleFor("kubernetes", job(schedule));
    assert.ok("fields" in found, schedule);
    assert.match(found.fields, /^[\d*,/ -]+$/);
    assert.doesNotMatch(found.fields.split(" ")[4]!, /7/);
    const next = (text: string) =>
      new Cron(text, { timezone: "UTC" }).nextRuns(20, new Date("2026-03-01T00:00:00Z"));
    assert.deepEqual(next(found.fields), next(schedule), schedule);
  }
});

/** The lines of a crontab: its fields and command, as cron reads them. */
function cronLines(text: string): { fields: string; command: string; zone: string }[] {
  let zone = "";
  return text.split("\n").flatMap((line) => {
    zone = /^CRON_TZ=(.+)$/.exec(line)?.[1] ?? zone;
    const [, fields, command] = /^([\d*](?:\S*) \S+ \S+ \S+ \S+) (.+)$/.exec(line) ?? [];
    if (fields === undefined) return [];
    assert.doesNotMatch(command!, /(?<!\\)%/, "cron ends a line at a %");
    return [{ fields, command: command!.replaceAll("\\%", "%"), zone }];
  });
}

Deno.test("the crontab: tick and each job in its zone; the rest is named", () => {
  const text = cronFile(planCalls("cron", jobs, options));
  const lines = cronLines(text);
  assert.deepEqual(lines.map(({ fields, zone }) => `${zone} ${fields}`), [
    "UTC * * * * *",
    "UTC */5 * * * *",
    "Asia/Tokyo 30 2 1 * *",
    "Asia/Tokyo 30 3 1 * *",
    "Europe/Berlin 0 9 * * 1-5",
  ]);
  for (const { fields, zone } of lines) assert.ok(new Cron(fields, { timezone: zone }).nextRun());
  assert.deepEqual([...text.matchAll(/^# - ([\w-]+): /gm)].map(([, name]) => name), [
    "month-end",
    "quick",
    "follower",
    "hook",
  ]);
  assert.deepEqual(cronLines(cronFile(planCalls("cron", [], options))).length, 1);
});

Deno.test("Kubernetes: a CronJob a call, with names that it takes", () => {
  const text = kubernetesFile(planCalls("kubernetes", jobs, options), "curl");
  const documents = parseAllDocuments(text);
  for (const document of documents) {
    if ("errors" in document) assert.deepEqual(document.errors, []);
  }
  // deno-lint-ignore no-explicit-any
  const cronJobs = documents.map((document) => (document as any).toJS());
  assert.equal(cronJobs.length, 5);
  const names = cronJobs.map(({ metadata }) => metadata.name);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^(?=.{1,52}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
  assert.deepEqual(names.slice(0, 2), ["daybook-tick", "daybook-letters"]);
  for (const { apiVersion, kind, spec } of cronJobs) {
    assert.deepEqual([apiVersion, kind, spec.concurrencyPolicy], ["batch/v1", "CronJob", "Forbid"]);
    assert.ok(new Cron(spec.schedule, { timezone: spec.timeZone }).nextRun());
    assert.ok(
      spec.startingDeadlineSeconds >= 10,
      "below ten seconds Kubernetes may never start it",
    );
    const [container] = spec.jobTemplate.spec.template.spec.containers;
    assert.deepEqual(container.env[0].valueFrom.secretKeyRef, {
      name: "daybook",
      key: "CRON_SECRET",
    });
  }
  assert.equal(cronJobs[1].spec.timeZone, "Europe/Berlin");
});

Deno.test("names for Kubernetes are unique, whatever the jobs are called", () => {
  const names = ["a_b", "a-b", "a--b", "a_", "a", "x".repeat(63), `${"x".repeat(62)}y`, "tick"];
  const taken = new Set<string>(["daybook-tick"]);
  const found = names.map((name) => kubernetesName(name, taken));
  assert.equal(new Set(["daybook-tick", ...found]).size, names.length + 1);
  for (const name of found) assert.match(name, /^(?=.{1,52}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
  assert.equal(kubernetesName("a_b", new Set()), found[0], "the same every time");
});

Deno.test("Compose: a service a zone, each with its crontab", () => {
  const file = parse(composeFile(planCalls("compose", jobs, options), "curl"));
  assert.deepEqual(Object.keys(file.services), [
    "daybook-utc",
    "daybook-asia-tokyo",
    "daybook-europe-berlin",
  ]);
  for (const [name, service] of Object.entries<Record<string, unknown>>(file.services)) {
    assert.deepEqual(service.env_file, ["daybook.env"]);
    const { content } = file.configs[name];
    assert.match(content, /^CRON_TZ=\S+\n/);
    assert.doesNotMatch(content.replaceAll("$$", ""), /\$/, "Compose would put a variable there");
    for (const line of content.trim().split("\n").slice(1)) {
      assert.ok(new Cron(line.split(" ").slice(0, 5).join(" ")).nextRun());
    }
  }
});

/** The commands of the file of a clock, as that clock gives them to sh. */
function commandsOf(clock: ClockKind, given: CallOptions): string[] {
  const plan = planCalls(clock, [job("0 9 * * *", { name: "letters" })], given);
  if (clock === "cron") return cronLines(cronFile(plan)).map(({ command }) => command);
  if (clock === "kubernetes") {
    return parseAllDocuments(kubernetesFile(plan, given.client)).map((document) =>
      // deno-lint-ignore no-explicit-any
      (document as any).toJS().spec.jobTemplate.spec.template.spec.containers[0].command[2]
    );
  }
  const file = parse(composeFile(plan, given.client));
  return Object.values<{ content: string }>(file.configs).flatMap(({ content }) =>
    content.replaceAll("$$", "$").trim().split("\n").slice(1).map((line) =>
      line.split(" ").slice(5).join(" ")
    )
  );
}

Deno.test("the commands, run by sh: the right calls with the secret, which stands in no file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "daybook-clock-" });
  try {
    const envFile = `${folder}/daybook.env`;
    await Deno.writeTextFile(envFile, `CRON_SECRET='${secret.replaceAll("'", `'\\''`)}'\n`);
    await withHttpServer(() => ({ status: 200, body: "{}" }), async ({ url, requests }) => {
      for (const clock of clocks) {
        for (const client of ["curl", "wget"] as const) {
          for (const header of ["bearer", "x-cron-secret"] as const) {
            const what = `${clock} ${client} ${header}`;
            requests.length = 0;
            for (const command of commandsOf(clock, { projectUrl: url, header, client })) {
              const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
                args: ["-c", command],
                clearEnv: true,
                env: {
                  PATH: Deno.env.get("PATH")!,
                  ...(clock === "cron" ? { DAYBOOK_ENV: envFile } : { CRON_SECRET: secret }),
                },
              }).output();
              const said = new TextDecoder().decode(new Uint8Array([...stdout, ...stderr]));
              assert.deepEqual([code, said], [0, ""], what);
            }
            assert.deepEqual(
              requests.map(({ method, url, body }) => `${method} ${url} ${body}`),
              ["POST /functions/v1/cron/tick ", "POST /functions/v1/work "],
              what,
            );
            for (const { headers } of requests) {
              const sent = header === "bearer" ? headers.authorization : headers["x-cron-secret"];
              assert.equal(sent, header === "bearer" ? `Bearer ${secret}` : secret, what);
            }
            assert.equal(requests[1]!.headers["x-job-name"], "letters");
            assert.equal(requests[1]!.headers.prefer, "respond-async");
          }
        }
      }
    });
    await withHttpServer(() => ({ status: 401 }), async ({ url }) => {
      for (const client of ["curl", "wget"] as const) {
        for (const command of commandsOf("kubernetes", { ...options, projectUrl: url, client })) {
          const { success } = await new Deno.Command("/bin/sh", {
            args: ["-c", command],
            env: { CRON_SECRET: secret },
            stderr: "null",
          }).output();
          assert.equal(success, false, "a refused call fails, so that the clock says so");
        }
      }
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
