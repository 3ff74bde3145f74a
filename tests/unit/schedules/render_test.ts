import assert from "node:assert/strict";
import type { JobChange, SchedulesPlan } from "../../../cli/daybook/schedules-compare.ts";
import { type RenderOptions, renderPlan } from "../../../cli/daybook/schedules-render.ts";

const by = (author: string, reason: string | null = null) => ({
  verb: "register_job" as const,
  author,
  reason,
  at: "2026-03-02T12:00:00Z",
});

function change(given: Partial<JobChange> = {}): JobChange {
  return { job: "job", source: "own", becomes: "changed", fields: [], last: null, ...given };
}

const field = (field: string, now: unknown, then: unknown, byHand = false) =>
  ({ field, now, then, by_hand: byHand }) as JobChange["fields"][number];

function render(
  plan: Partial<SchedulesPlan>,
  { isDone = false, paint = (_, text) => text }: Partial<RenderOptions> = {},
): string {
  const whole = {
    fingerprint: "",
    changes: [],
    faults: [],
    unchanged: [],
    left_alone: [],
    ...plan,
  };
  return renderPlan(whole, { paint, zone: "Europe/Berlin", isDone });
}
/** The lines of one change, without its title. */
const lines = (given: Partial<JobChange>) =>
  render({ changes: [change(given)] }).split("\n").slice(1, -1).map((line) => line.trim());

const times = (zone: string, ...locals: (string | { local?: string; note?: string })[]) => ({
  time_zone: zone,
  times: locals.map((local) => typeof local === "string" ? { local } : local),
});

Deno.test("what would become of each job is its title, and the sum of all is below", () => {
  const changes = (["registered", "changed", "taken_over", "unregistered", "changed"] as const)
    .map((becomes, index) => change({ job: `job-${index}`, becomes }));
  const titles = (text: string) => text.split("\n").filter((line) => !line.startsWith(" "));
  assert.deepEqual(titles(render({ changes })), [
    "+ job-0 (own): to be registered",
    "~ job-1 (own): to be changed",
    "~ job-2 (own): to be taken over",
    "- job-3 (own): to be unregistered",
    "~ job-4 (own): to be changed",
    "1 to be registered, 2 to be changed, 1 to be taken over, 1 to be unregistered",
  ]);
  assert.deepEqual(titles(render({ changes: changes.slice(0, 1) }, { isDone: true })), [
    "+ job-0 (own): registered",
    "1 registered",
  ]);
  const paint: RenderOptions["paint"] = (colour, text) => `<${colour}>${text}`;
  assert.match(render({ changes }, { paint }), /^<green>\+ job-0/);
});

Deno.test("what stays as it is, and what is left alone, is named", () => {
  const left_alone = [{ job: "a", source: null }, { job: "b", source: "batches" }];
  assert.equal(
    render({ unchanged: ["c", "d"], left_alone }),
    "Nothing is to be changed\nUnchanged: c, d\n" +
      "Left alone: a (registered in SQL), b (the pack batches registers it itself)",
  );
});

/** What a change is, and the lines that it is shown as. */
const cases: [string, Partial<JobChange>, string[]][] = [
  [
    "values stand below each other, an empty text as one",
    { fields: [field("time_zone", "UTC", "Asia/Tokyo"), field("target", "", ["a"])] },
    ["time_zone  UTC → Asia/Tokyo", 'target     "" → ["a"]'],
  ],
  [
    "a new job has its values alone",
    { becomes: "registered", fields: [field("schedule", null, "@daily")] },
    ["schedule  @daily"],
  ],
  [
    "control characters do not reach the terminal",
    { fields: [field("description", "\u001b[2J", "a\nb")] },
    ["description  [2J → a b"],
  ],
  [
    "what was changed by hand, and by whom",
    { fields: [field("priority", 1, 0, true)], last: by("bob", "a\nhurry") },
    [
      "priority  1 → 0",
      "changed by hand since it was applied: priority; by bob at 2026-03-02 13:00:00 (a hurry)",
    ],
  ],
  [
    "what was changed by hand, where the audit log has no row",
    { fields: [field("priority", 1, 0, true)] },
    [
      "priority  1 → 0",
      "changed by hand since it was applied: priority; the audit log does not say by whom",
    ],
  ],
  [
    "a job that was taken out by hand",
    { becomes: "registered", last: by("bob") },
    ["it was taken out of the registry, by bob at 2026-03-02 13:00:00"],
  ],
  [
    "a job that is taken over",
    { becomes: "taken_over", last: by("bob") },
    ["it was registered in SQL, by bob at 2026-03-02 13:00:00; from now on it is the file's"],
  ],
  [
    "a job that is taken over from somebody unknown",
    { becomes: "taken_over" },
    ["it was registered in SQL; from now on it is the file's"],
  ],
  [
    "a job that goes",
    { becomes: "unregistered", paused: { since: "", by: "bob", reason: "a leak" } },
    [
      "it is no longer in the file; its runs stay in the ledger, and those that wait are cancelled",
      "paused by bob: a leak",
    ],
  ],
  [
    "a pause that stays",
    { paused: { since: "", by: "bob", reason: "a leak" } },
    ["paused by bob: a leak; stays paused"],
  ],
  [
    "times of two zones",
    {
      next_before: times("UTC", "2026-03-02 12:00", "2026-03-02 13:00"),
      next_after: times("Asia/Tokyo", "2026-03-03 09:00"),
    },
    [
      "next now   2026-03-02 12:00, 2026-03-02 13:00  UTC",
      "next then  2026-03-03 09:00  Asia/Tokyo",
    ],
  ],
  [
    "times of one side",
    { next_after: times("UTC", "2026-03-02 12:00:30") },
    ["next  2026-03-02 12:00:30  UTC"],
  ],
  [
    "no time, and why",
    { next_after: times("UTC", { note: "has no schedule" }) },
    ["next  has no schedule"],
  ],
  [
    "a note of one time",
    {
      next_after: times(
        "UTC",
        { local: "2026-03-02 12:00", note: "is skipped" },
        "2026-03-03 12:00",
        {
          note: "never occurs again",
        },
      ),
    },
    ["next  2026-03-02 12:00 (is skipped), 2026-03-03 12:00, never occurs again  UTC"],
  ],
  [
    "a note of all times is said once",
    {
      next_after: times(
        "UTC",
        { local: "2026-03-02 12:00", note: "is skipped" },
        { local: "2026-03-03 12:00", note: "is skipped" },
      ),
    },
    ["next  2026-03-02 12:00, 2026-03-03 12:00  UTC  each is skipped"],
  ],
];

for (const [what, given, shown] of cases) {
  Deno.test(`a plan shows ${what}`, () => assert.deepEqual(lines(given), shown));
}

/** A change of New York's clock, and what is said of it. */
const clocks: [Partial<NonNullable<JobChange["clock_changes"]>[number]>, string][] = [
  [{}, "on 2026-03-08 the clock skips 02:30: it runs once, at 03:00"],
  [
    { follows_real_clock: true },
    "on 2026-03-08 the clock skips 02:30: it does not run then, and goes on by what the clock shows",
  ],
  [
    { last_time: "2026-03-08T02:45:00", times: 2 },
    "on 2026-03-08 the clock skips 02:30 to 02:45 (2 times): it runs once, at 03:00",
  ],
  [{ change: "repeated" }, "on 2026-03-08 the clock shows 02:30 twice: it runs the first time"],
  [
    { change: "repeated", follows_real_clock: true },
    "on 2026-03-08 the clock shows 02:30 twice: it runs each time",
  ],
];

for (const [given, shown] of clocks) {
  Deno.test(`a plan says: ${shown}`, () => {
    const clock = {
      changes_at: "2026-03-08T07:00:00Z",
      change: "skipped" as const,
      first_time: "2026-03-08T02:30:00",
      last_time: "2026-03-08T02:30:00",
      times: 1,
      follows_real_clock: false,
      ...given,
    };
    const next_after = times("America/New_York", "2026-03-03 02:30");
    assert.equal(lines({ next_after, clock_changes: [clock] }).at(-1), shown);
  });
}
