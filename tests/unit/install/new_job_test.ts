import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  type JobOptions,
  noticeHere,
  optionsFault,
  planJobHere,
  planJobInto,
} from "../../../install/new-job.ts";
import { CONFIG } from "../../../install/project.ts";
import type { Source } from "../../../install/source.ts";
import { AT, installed, madeUpSource, project } from "../../support/made-up-source.ts";

const options = { name: "send-letters", schedule: "30 2 * * *", timeZone: "America/New_York" };

/** The made-up Daybook with what every function imports. */
function source(): Source {
  const made = madeUpSource();
  made.packs[0]!.functions.push("system-health");
  made.files.set("supabase/functions/system-health/deno.json", '{ "imports": {} }\n');
  return made;
}

const HERE = {
  "deno.json": '{ "version": "1.0.0" }\n',
  "shared/version.ts": 'export const version = "1.0.0";\n',
  "supabase/sql/scheduler/version.sql": "select '1.0.0'\n",
  "CHANGELOG.md": "# Changelog\n\n## [1.0.0] - 2026-01-01\n",
  [CONFIG]: 'project_id = "daybook"\n',
  "supabase/packs.json": "{}\n",
  "supabase/schedules.json": "{}\n",
  "docs/operations.md": "| table |\n| `scheduler_runs` | a |\n| `scheduler_runs` | b |\n",
};
const here = (more: Record<string, string> = {}) => new Map(Object.entries({ ...HERE, ...more }));

Deno.test("a job here is a pack of its own, with its function, SQL, tests, section, times and retention", () => {
  const plan = planJobHere({ ...source(), isReleased: false }, here(), options);
  assert.deepEqual(plan.conflicts, []);
  assert.deepEqual([...plan.writes.keys()], [
    "supabase/functions/send-letters/job.ts",
    "supabase/functions/send-letters/index.ts",
    "supabase/functions/send-letters/deno.json",
    "supabase/sql/send-letters/schema.sql",
    "supabase/sql/send-letters/send_letters.sql",
    "supabase/sql/send-letters/privileges.sql",
    "tests/unit/send-letters/send_letters_test.ts",
    "tests/database/send-letters/send_letters_test.ts",
    CONFIG,
    "supabase/packs.json",
    "supabase/schedules.json",
    "docs/operations.md",
  ]);
  assert.deepEqual(JSON.parse(plan.writes.get("supabase/packs.json")!), {
    "send-letters": {
      description: "Does what is due in send_letters_items",
      needs: ["scheduler"],
      functions: ["send-letters"],
      sql: ["schema", "send_letters", "privileges"],
    },
  });
  assert.deepEqual(JSON.parse(plan.writes.get("supabase/schedules.json")!)["send-letters"], [{
    name: "send-letters",
    schedule: "30 2 * * *",
    time_zone: "America/New_York",
    description: "Does what is due in send_letters_items",
  }]);
  assert.match(
    plan.writes.get("docs/operations.md")!,
    /^\| table \|\n\| `send_letters_items` \| `retention\.send_letters_items_days` \|.*\n\| `scheduler_runs` \| a \|\n/,
  );
  for (const text of plan.writes.values()) assert.doesNotMatch(text, /my.job/);
});

Deno.test("a job in a checkout whose version is released belongs to the next one, and it is said", () => {
  assert.equal(
    noticeHere(source()),
    "Daybook 1.0.0 is released, so the job begins 1.0.1; for a job of your own project give --into",
  );
  assert.equal(noticeHere({ ...source(), isReleased: false }), null);
  const { writes } = planJobHere(source(), here(), options);
  assert.equal(writes.get("deno.json"), '{ "version": "1.0.1" }\n');
  assert.equal(writes.get("shared/version.ts"), 'export const version = "1.0.1";\n');
  assert.equal(writes.get("supabase/sql/scheduler/version.sql"), "select '1.0.1'\n");
  assert.equal(
    writes.get("CHANGELOG.md"),
    "# Changelog\n\n## [1.0.1] - unreleased\n\n## [1.0.0] - 2026-01-01\n",
  );
  assert.throws(
    () => planJobHere(source(), here({ "deno.json": "{}" }), options),
    /deno\.json does not say the version 1\.0\.0/,
  );
});

Deno.test("a job in a project has its registration in the migration, and imports from _shared/daybook", () => {
  const there = installed(["scheduler"], { "supabase/migrations/20310101000000_mine.sql": "" });
  const plan = planJobInto(source(), there, [], { ...options, at: AT });
  assert.deepEqual(plan.conflicts, []);
  assert.deepEqual([...plan.writes.keys()], [
    "supabase/functions/send-letters/job.ts",
    "supabase/functions/send-letters/index.ts",
    "supabase/functions/send-letters/deno.json",
    "supabase/functions/tests/send-letters_test.ts",
    "supabase/functions/tests/send-letters_database_test.ts",
    "supabase/migrations/20310101000006_send_letters.sql",
    CONFIG,
  ]);
  assert.match(
    plan.writes.get("supabase/functions/send-letters/index.ts")!,
    /from "\.\.\/_shared\/daybook\/job\/serve-job\.ts"/,
  );
  const test = plan.writes.get("supabase/functions/tests/send-letters_test.ts")!;
  assert.match(test, /from "\.\.\/send-letters\/job\.ts"/);
  assert.match(test, /from "\.\.\/_shared\/daybook\/job\/define-job\.ts"/);
  assert.match(
    plan.writes.get("supabase/functions/tests/send-letters_database_test.ts")!,
    /from "npm:postgres@1\.2\.3"/,
  );
  const sql = plan.writes.get("supabase/migrations/20310101000006_send_letters.sql")!;
  assert.match(
    sql,
    /register_job\(\n {2}name => 'send-letters',\n {2}schedule => '30 2 \* \* \*',\n {2}time_zone => 'America\/New_York'/,
  );
  assert.match(
    planJobInto(source(), there, [], { ...options, schedule: null, at: AT })
      .writes.get("supabase/migrations/20310101000006_send_letters.sql")!,
    /schedule => null,/,
  );
});

Deno.test("files and objects that have the job's names are in the way, here and in a project", () => {
  const taken = planJobHere(source(), here({ "supabase/functions/parcels/index.ts": "" }), {
    ...options,
    name: "parcels",
  });
  assert.deepEqual(taken.conflicts, [
    "pack parcels",
    "file supabase/functions/parcels/index.ts",
  ]);
  const health = planJobHere(source(), here(), { ...options, name: "health" });
  assert.deepEqual(health.conflicts, ["job health (20200101000001_daybook_scheduler_1_0_0.sql)"]);
  const there = installed(["scheduler"], {
    "supabase/functions/send-letters/index.ts": "",
    "supabase/functions/tests/send-letters_test.ts": "",
    [CONFIG]: "[functions.send-letters]\n",
  });
  const names = [
    { kind: "table", name: "send_letters_items", where: "1_mine.sql" },
    { kind: "function", name: "send_letters", where: "1_mine.sql" },
  ];
  assert.deepEqual(planJobInto(source(), there, names, { ...options, at: AT }).conflicts, [
    "edge function send-letters (supabase/functions/send-letters)",
    `section [functions.send-letters] (${CONFIG})`,
    "table send_letters_items (1_mine.sql)",
    "function send_letters (1_mine.sql)",
    "file supabase/functions/tests/send-letters_test.ts",
  ]);
});

Deno.test("planJobInto() refuses a project without Daybook", () => {
  assert.throws(
    () => planJobInto(source(), project(), [], { ...options, at: AT }),
    /The project has no Daybook: run deno task install first/,
  );
});

/** Options, and what is said of them; null: they are good. */
const FAULTS: [Partial<JobOptions>, RegExp | null][] = [
  [{}, null],
  [{ name: "a" }, null],
  [{ name: "a-1-b" }, null],
  [{ schedule: null }, null],
  [{ schedule: " */5  * * * 1-5 " }, null],
  [{ schedule: "@daily" }, null],
  [{ schedule: " 30 Seconds" }, null],
  [{ timeZone: "UTC" }, null],
  [{ name: "Send" }, /^the name must be .* got Send$/],
  [{ name: "1-a" }, /^the name must be/],
  [{ name: "a_b" }, /^the name must be/],
  [{ name: "a--b" }, /^the name must be/],
  [{ name: "a-" }, /^the name must be/],
  [{ name: "a".repeat(41) }, /^the name must be at most 40/],
  [
    { name: "public" },
    /^the name must be another than public: public is a schema of the platform$/,
  ],
  [{ name: "cron" }, /cron is a schema of the platform/],
  [{ name: "supabase-migrations" }, /supabase_migrations is a schema of the platform/],
  [{ name: "pg-stats" }, /Postgres keeps names that begin with pg_ for itself/],
  [{ name: "order" }, /order is a word of SQL/],
  [{ name: "current-date" }, /current_date is a word of SQL/],
  [{ schedule: "30 2 * *" }, /^--schedule must have five fields, .* got "30 2 \* \*"$/],
  [{ schedule: "@daily 5" }, /^--schedule must have five fields/],
  [{ schedule: "30 minutes" }, /^--schedule must have five fields/],
  [{ timeZone: "New York" }, /^--time-zone must be an IANA name, .* got New York$/],
];

Deno.test("optionsFault() says what is wrong with a name, a schedule and a time zone", () => {
  for (const [changed, said] of FAULTS) {
    const fault = optionsFault({ ...options, ...changed });
    if (said === null) assert.equal(fault, null, JSON.stringify(changed));
    else assert.match(fault ?? "", said, JSON.stringify(changed));
  }
});

Deno.test("deno task new-job refuses a name that is taken, in a dry run too, and says to take another", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/new-job.ts", "system-health", "--dry-run"],
    cwd: fileURLToPath(new URL("../../..", import.meta.url)),
  }).output();
  const [said, refused] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 1);
  assert.doesNotMatch(said!, /dry run/);
  assert.match(refused!, /^Nothing was written, because these are in the way:\n/);
  assert.match(refused!, /\n {2}file supabase\/functions\/system-health\/job\.ts\n/);
  assert.match(refused!, /\nGive the job another name, or remove what was begun of it before\n$/);
});
