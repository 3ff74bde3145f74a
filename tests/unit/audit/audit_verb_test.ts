import { Ajv } from "ajv";
import assert from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { fileURLToPath } from "node:url";
import { drawDay } from "../../../cli/audit/picture.ts";
import { report } from "../../../cli/audit/report.ts";
import { auditOf, listEntry } from "../../support/audit.ts";
import { daybook } from "../../support/command-line.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const list = `${root}/tests/support/schedules/daily-batch-audited.tsv`;

/** Runs `fn` with files of these texts. */
async function withFiles<Name extends string>(
  texts: Record<Name, string>,
  fn: (paths: Record<Name, string>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "daybook-audit-" });
  try {
    const paths = {} as Record<Name, string>;
    for (const [name, text] of Object.entries<string>(texts)) {
      paths[name as Name] = `${folder}/${name}`;
      await Deno.writeTextFile(paths[name as Name], text);
    }
    await fn(paths);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("audit ends with 1 where something proven is as severe as --fail-on, which is error", () =>
  withFiles({
    error: "a\t0 0 31 2 *\tUTC\tx\n",
    warning: "a\t*/4 * * * *\tUTC\tx\nb\t*/6 * * * *\tUTC\tx\n",
    note: "a\t0 1 * * *\tUTC\tx\nb\t0 1 * * *\tUTC\ty\n",
    likely: "a\t0 25 * * *\tUTC\tx\n",
    nothing: "a\t0 1 * * *\tUTC\tx\n",
  }, async (files) => {
    const codes = async (file: string) => {
      const all = [];
      for (const level of [[], ["warning"], ["note"], ["never"]]) {
        const { code, stderr } = await daybook([
          "audit",
          file,
          ...level.flatMap((one) => ["--fail-on", one]),
        ]);
        assert.equal(stderr, "");
        all.push(code);
      }
      return all;
    };
    assert.deepEqual(await codes(files.error), [1, 1, 1, 0]);
    assert.deepEqual(await codes(files.warning), [0, 1, 1, 0]);
    assert.deepEqual(await codes(files.note), [0, 0, 1, 0]);
    assert.deepEqual(await codes(files.likely), [0, 0, 0, 0]);
    assert.deepEqual(await codes(files.nothing), [0, 0, 0, 0]);
  }));

Deno.test("audit refuses what it cannot use, with 2", () =>
  withFiles({ none: "# nothing\n", log: "[]" }, async ({ none, log }) => {
    for (
      const [args, message] of [
        [[], /^Cannot audit: there is no file, no --db-url and no running stack\n/],
        [["--url", "https://abc.supabase.co", list], /^audit reads files or a database/],
        [[none], /^Cannot find an entry in .*none$/],
        [["/no/such/file"], /^Cannot read \/no\/such\/file: /],
        [[list, "--function-log", log], /^Cannot find a call of a function in /],
        [[list, "--works", "3-6"], /it must be hours and a zone, like 3-6@America\/New_York/],
        [[list, "--works", "3-6@Mars/Olympus"], /it must be hours and a zone/],
        [[list, "--watch", "0"], /it must be hours, more than 0 and at most 168/],
        [[list, "--zone", "Mars"], /it must be an IANA time zone/],
        [[list, "--fail-on", "hope"], /error, warning, note, never/],
        [["--db-url", "mysql://x"], /^Cannot use the database's URL/],
      ] as [string[], RegExp][]
    ) {
      const { code, stdout, stderr } = await daybook(["audit", ...args]);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [2, ""], stderr);
    }
  }));

Deno.test("audit reads a list on standard input", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/daybook.ts", "audit", "-", "--json"],
    cwd: root,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("CRON_TZ=UTC\n0 0 31 2 * /usr/bin/x\n"));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.deepEqual([code, text(stderr)], [1, ""]);
  const { score, entries, findings } = JSON.parse(text(stdout));
  assert.deepEqual([score, entries, findings.length], [85, 1, 1]);
  assert.deepEqual(findings[0], {
    rule: "never-occurs",
    severity: "error",
    certainty: "proven",
    title: "/usr/bin/x never runs",
    evidence: ["stdin:2: no day of 40 years is 0 0 31 2 *"],
    cost: "The work is never done, and nothing fails",
    mend: "Mend the day and the month; for the last day pg_cron has $",
    entries: [{ name: "/usr/bin/x", schedule: "0 0 31 2 *", zone: "UTC", where: "stdin:2" }],
  });
});

Deno.test("several files are one audit: what two of them do at once is found", () =>
  withFiles(
    { one: "a\t0 1 * * *\tUTC\tx\n", two: "b\t0 1 * * *\tUTC\tx\n" },
    async ({ one, two }) => {
      const { code, stdout } = await daybook(["audit", one, two, "--json"]);
      assert.deepEqual([code, JSON.parse(stdout).findings[0].rule], [1, "same-work-same-times"]);
    },
  ));

/** The parts of SARIF 2.1.0 that its schema requires, and the values that it lists, for what an audit has. */
const text = {
  type: "object",
  required: ["text"],
  properties: { text: { type: "string", minLength: 1 } },
};
const sarifSchema = {
  type: "object",
  required: ["version", "runs"],
  properties: {
    $schema: { type: "string", pattern: "^https://" },
    version: { enum: ["2.1.0"] },
    runs: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: ["tool", "results"],
        additionalProperties: false,
        properties: {
          properties: { type: "object" },
          tool: {
            type: "object",
            required: ["driver"],
            properties: {
              driver: {
                type: "object",
                required: ["name", "rules"],
                properties: {
                  name: { type: "string", minLength: 1 },
                  semanticVersion: { type: "string", pattern: "^\\d+\\.\\d+\\.\\d+" },
                  rules: {
                    type: "array",
                    uniqueItems: true,
                    items: {
                      type: "object",
                      required: ["id"],
                      additionalProperties: false,
                      properties: { id: { type: "string" }, shortDescription: text, help: text },
                    },
                  },
                },
              },
            },
          },
          invocations: {
            type: "array",
            items: {
              type: "object",
              required: ["executionSuccessful"],
              additionalProperties: false,
              properties: {
                executionSuccessful: { type: "boolean" },
                toolExecutionNotifications: {
                  type: "array",
                  items: {
                    type: "object",
                    required: ["message"],
                    properties: {
                      level: { enum: ["none", "note", "warning", "error"] },
                      message: text,
                    },
                  },
                },
              },
            },
          },
          results: {
            type: "array",
            items: {
              type: "object",
              required: ["message", "ruleId", "level", "kind"],
              additionalProperties: false,
              properties: {
                ruleId: { type: "string" },
                ruleIndex: { type: "integer", minimum: 0 },
                kind: {
                  enum: ["notApplicable", "pass", "fail", "review", "open", "informational"],
                },
                level: { enum: ["none", "note", "warning", "error"] },
                message: text,
                partialFingerprints: { type: "object", additionalProperties: { type: "string" } },
                properties: { type: "object" },
                locations: {
                  type: "array",
                  items: {
                    type: "object",
                    additionalProperties: false,
                    properties: {
                      physicalLocation: {
                        type: "object",
                        required: ["artifactLocation"],
                        properties: {
                          artifactLocation: {
                            type: "object",
                            required: ["uri"],
                            properties: { uri: { type: "string", pattern: "^\\S+$" } },
                          },
                          region: {
                            type: "object",
                            required: ["startLine"],
                            properties: { startLine: { type: "integer", minimum: 1 } },
                          },
                        },
                      },
                      logicalLocations: { type: "array", items: { type: "object" } },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

Deno.test("--sarif prints SARIF 2.1.0: each result with its rule, level and place", () =>
  withFiles({
    "my cron.tsv": "a\t0 0 31 2 *\tUTC\tx\nb\t30 2 * * *\tAmerica/New_York\ty\n",
  }, async (files) => {
    const path = files["my cron.tsv"];
    const { code, stdout } = await daybook(["audit", path, "--sarif"]);
    assert.equal(code, 1);
    const sarif = JSON.parse(stdout);
    const validate = new Ajv({ allErrors: true }).compile(sarifSchema);
    const isValid: boolean = validate(sarif);
    assert.ok(isValid, JSON.stringify(validate.errors));
    const [run] = sarif.runs;
    assert.deepEqual(
      run.results.map((
        result: Record<string, unknown>,
      ) => [result.ruleId, result.kind, result.level]),
      [["never-occurs", "fail", "error"], ["change-days", "open", "none"]],
    );
    for (const { ruleId, ruleIndex } of run.results) {
      assert.equal(run.tool.driver.rules[ruleIndex].id, ruleId);
    }
    assert.deepEqual(run.results[0].locations[0].physicalLocation, {
      artifactLocation: { uri: path.replace(" ", "%20") },
      region: { startLine: 1 },
    });
  }));

Deno.test("the day's picture fits 80 columns, counts what starts together, and joins hours that look the same", () => {
  const entries = [
    listEntry("a", "0 * * * *"),
    listEntry("b", "0 3 * * *"),
    listEntry("c", "59 4,5 * * *"),
    ...Array.from({ length: 12 }, (_, index) => listEntry(`d${index}`, "17 23 * * *")),
  ];
  const { timetable } = auditOf(entries);
  const picture = drawDay(entries, timetable, (_, text) => text)!.split("\n");
  for (const line of picture) assert.ok(line.length <= 80, line);
  const row = (label: string, signs: Record<number, string>) =>
    `${label.padEnd(6)} ${
      Array.from({ length: 12 }, (_, group) =>
        Array.from({ length: 5 }, (_, at) =>
          signs[group * 5 + at] ?? ".").join("")).join(" ")
    }`;
  assert.deepEqual(picture.slice(2), [
    row("00-02", { 0: "1" }),
    row("03", { 0: "2" }),
    row("04-05", { 0: "1", 59: "1" }),
    row("06-22", { 0: "1" }),
    row("23", { 0: "1", 17: "#" }),
  ]);
  const continuous = [listEntry("a", "@continuous")];
  assert.equal(drawDay(continuous, auditOf(continuous).timetable, (_, text) => text), undefined);
});

Deno.test("the report fits 80 columns, has colours for a terminal alone, and no control characters of others", () => {
  const entries = [
    listEntry("a\u001b[31m\nb", "0 0 31 2 *", "x"),
    listEntry(`${"long-name-".repeat(4)}`, "0 3 * * *", "y"),
    listEntry("c", "0 3 * * *", "y"),
  ];
  const result = auditOf(entries, { unknown: ["the zone of the machine"] });
  const plain = report(result, "x", false);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(plain, /[\x00-\x09\x0b-\x1f]/);
  for (const line of plain.split("\n")) assert.ok(line.length <= 80, line);
  const coloured = report(result, "x", true);
  assert.notEqual(coloured, plain);
  assert.equal(stripVTControlCharacters(coloured), plain);
  assert.match(plain, /^Audit of x: 3 entries\nScore 70 of 100: 2 errors\n/);
  assert.match(plain, /\nNot knowable here\n- the zone of the machine$/);
});

Deno.test("the report shows at most eight lines of evidence, and says how many there are", () => {
  const never = (count: number) =>
    report(
      auditOf(Array.from({ length: count }, (_, index) => listEntry(`x${index}`, "0 0 31 2 *"))),
      "x",
      false,
    ).split("\n").filter((line) => /no day of|lines more/.test(line)).map((line) => line.trim());
  assert.equal(never(8).length, 8);
  assert.deepEqual([never(9).length, never(9).at(-1)], [8, "and 2 lines more, which --json has"]);
});

Deno.test("the score takes 15 for an error, 5 for a warning, 1 for a note, half of it for what is likely", () => {
  const never = listEntry("never", "0 0 31 2 *");
  const unreadable = listEntry("odd", "0 25 * * *");
  assert.equal(auditOf([listEntry("a", "0 1 * * *")]).score, 100);
  assert.equal(auditOf([never]).score, 85);
  assert.equal(auditOf([unreadable]).score, 92);
  assert.equal(auditOf([listEntry("a", "0 1 * * *"), listEntry("b", "0 1 * * *")]).score, 99);
  assert.equal(
    auditOf([{ ...never, engine: "crontab", zone: "America/New_York", schedule: "30 2 * * *" }])
      .score,
    100,
  );
  const many = Array.from({ length: 10 }, (_, index) => [`x${index}`, `y${index}`])
    .flatMap(([what]) => [1, 2].map((n) => listEntry(`${what}${n}`, "@yearly", what)));
  assert.equal(auditOf(many).score, 0);
});
