import assert from "node:assert/strict";
import { against, json } from "../../support/command-line.ts";

const ops = {
  name: "ops",
  kind: "slack",
  enabled: true,
  least_severity: "warning",
  jobs: [] as string[],
  groups: [] as string[],
  quiet: null as object | null,
  fault: null as string | null,
  waiting: 0,
  last_delivery: null as object | null,
  last_error: null as object | null,
};
const arrived = { event: "raised", severity: "warning", at: "2026-03-02T10:00:00+00:00" };
const refused = {
  event: "test",
  at: "2026-03-02T11:00:00+00:00",
  response_status: 404,
  message: "HTTP 404",
  tries: 3,
  given_up: true,
};
const show = (...channels: object[]) =>
  against(json({ timestamp: "2026-03-02T12:00:00+00:00", channels, next_cursor: null }), [
    "channels",
  ]);

Deno.test("channels shows what each takes, and what arrived there", async () => {
  const night = { from: "22:00", until: "06:00", time_zone: "Europe/Berlin", now: true };
  const { stdout, code } = await show(
    { ...ops, last_delivery: arrived, jobs: ["nightly"], groups: ["batches"] },
    { ...ops, name: "pager", quiet: night, waiting: 2 },
    { ...ops, name: "watcher", kind: "dead_man", enabled: false },
  );
  assert.equal(
    stdout,
    `CHANNEL  KIND      STATE     TAKES                              WAITING  ARRIVED (Europe/Berlin)  NOTE
ops      slack     ok        warning of nightly, group batches           2026-03-02 11:00:00
pager    slack     quiet     warning                            2        -                        quiet from 22:00 until 06:00 Europe/Berlin
watcher  dead_man  disabled  pings                                       -`,
  );
  assert.equal(code, 0);
});

Deno.test("channels ends with 1 when an enabled channel cannot send, or its newest message did not arrive", async () => {
  const cases: [object, number, RegExp][] = [
    [
      { fault: "Vault has no secret named ops_url" },
      1,
      / failing .*Vault has no secret named ops_url/,
    ],
    [{ last_error: refused }, 1, / failing .*test did not arrive at 2026-03-02 12:00:00: HTTP 404/],
    [{ last_error: refused, last_delivery: arrived }, 1, / failing /],
    [
      { last_error: { ...refused, given_up: false } },
      1,
      / failing .*test is tried again at 2026-03-02 12:00:00: HTTP 404/,
    ],
    [{ last_error: refused, last_delivery: { ...arrived, at: refused.at } }, 0, / ok /],
    [{ fault: "Vault has no secret named ops_url", enabled: false }, 0, / disabled /],
  ];
  for (const [change, code, line] of cases) {
    const shown = await show({ ...ops, ...change });
    assert.match(shown.stdout, line);
    assert.equal(shown.code, code, shown.stdout);
  }
});

Deno.test("channels says when there is none", async () => {
  const { stdout, code } = await show();
  assert.deepEqual([stdout, code], ["There is no channel: alerts go nowhere", 0]);
});

Deno.test("channels --test needs a reason and an author; a look needs neither", async () => {
  const test = (...args: string[]) =>
    against(json({ message: "sent" }), ["channels", "--test", "ops", ...args]);
  const refusals = await Promise.all([
    test("--author", "ann"),
    test("--author", "ann", "--reason", " "),
    test("--reason", "a new address"),
  ]);
  assert.deepEqual(
    refusals.map(({ code, stderr, asked }) => [code, stderr.split("\n")[0], asked.length]),
    [
      [2, "--reason must say why, for the audit log", 0],
      [2, "--reason must say why, for the audit log", 0],
      [2, "--author must say who acts, for the audit log", 0],
    ],
  );
  const { stdout, code } = await test("--author", "ann", "--reason", "a new address");
  assert.deepEqual([stdout, code], ["sent", 0]);
});
