import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { type ReceivedRequest, type Reply, withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";
import {
  type Asked,
  askForFixes,
} from "../../../supabase/functions/code-monitor-daemon/ask-for-fixes.ts";

const json = (value: unknown): Reply => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});
const result = (outcome: string, more = {}) =>
  json({ status: "completed", result: { outcome, ...more } });

interface World {
  asked: Asked;
  /** `causeId` of each call of the fixer. */
  calls: number[];
  /** How each claim was given back: counted or not. */
  released: boolean[];
  keys: Set<string | undefined>;
}

/** Asks against a gateway on which `causes` causes can be claimed and the fixer answers so. */
async function world(
  causes: number,
  fixer: (causeId: number) => Reply | Promise<Reply>,
  { limit = 5, remainingMs = (): number => 100_000 } = {},
): Promise<World> {
  let next = 0;
  const calls: number[] = [];
  const released: boolean[] = [];
  const keys = new Set<string | undefined>();
  const begunAt = "2026-03-02T12:00:00+00:00";
  let asked!: Asked;
  const gateway = ({ url, body, headers }: ReceivedRequest): Reply | Promise<Reply> => {
    const args = JSON.parse(body);
    if (url === "/rest/v1/rpc/claim_code_fix") {
      assert.deepEqual(args, { p_not_since: begunAt });
      return next === causes ? json({ claimed: false }) : json({
        claimed: true,
        cause_id: ++next,
        request_id: crypto.randomUUID(),
        error_type: "KeyError",
      });
    }
    if (url === "/rest/v1/rpc/release_code_fix") {
      released.push(args.p_counts);
      return json(true);
    }
    assert.equal(url, "/functions/v1/autonomous-code-fixer");
    keys.add(headers.authorization);
    assert.match(args.requestId, /^[0-9a-f-]{36}$/);
    calls.push(args.causeId);
    return fixer(args.causeId);
  };
  await withHttpServer(gateway, async (server) => {
    const db = createClient<Database>(server.url, "the-service-key", {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    asked = await askForFixes(limit, begunAt, jobContext({ db, remainingMs }));
  });
  return { asked, calls: calls.sort(), released, keys };
}

Deno.test("askForFixes() calls the fixer once for each cause, with the service key", async () => {
  const { asked, calls, released, keys } = await world(4, () => result("proposed"));
  assert.deepEqual(calls, [1, 2, 3, 4]);
  assert.deepEqual([asked.asked, asked.proposed, asked.stopped], [4, 4, "done"]);
  assert.deepEqual(released, [], "the fixer has ended the claims");
  assert.deepEqual([...keys], ["Bearer the-service-key"]);
});

Deno.test("askForFixes() asks for no more causes than its limit; 0 asks for none", async () => {
  const { asked, calls } = await world(10, () => result("failed"), { limit: 5 });
  assert.equal(calls.length, 5);
  assert.deepEqual([asked.failed, asked.stopped], [5, "limit"]);
  assert.equal((await world(10, () => result("failed"), { limit: 0 })).calls.length, 0);
});

for (
  const [outcome, failed] of [["not_configured", 0], ["misconfigured", 0], ["daily_cap", 0], [
    "unauthorized",
    1,
  ]] as const
) {
  Deno.test(`askForFixes() stops at ${outcome}, and does not count it`, async () => {
    const { asked, calls, released } = await world(
      10,
      () => result(outcome, { notConfigured: ["CODE_FIXER_MODEL"] }),
      { limit: 10 },
    );
    assert.ok(calls.length <= 3, "those that were under way side by side");
    assert.equal(asked.stopped, outcome);
    assert.equal(asked.failed, failed * calls.length);
    assert.equal(asked.asked, asked.failed, "the model was not asked");
    assert.deepEqual(released, calls.map(() => false));
    assert.deepEqual(asked.notConfigured, ["CODE_FIXER_MODEL"]);
  });
}

Deno.test("askForFixes() goes on when a cause is refused, and does not count it", async () => {
  const { asked, released } = await world(4, (id) => result(id === 2 ? "refused" : "proposed"));
  assert.deepEqual([asked.asked, asked.proposed, released], [3, 3, [false]]);
});

const dead: [string, Reply][] = [
  ["answers 500", { status: 500, body: '{"error": {"code": "failed", "message": "broke"}}' }],
  ["answers 503", { status: 503, body: "boot error" }],
  ["breaks off", "reset"],
  ["answers garbage", { status: 200, body: "what" }],
];
for (const [name, reply] of dead) {
  Deno.test(`askForFixes() counts a fixer that ${name} as failed and asks for the others`, async () => {
    const { asked, released } = await world(3, (id) => id === 1 ? reply : result("proposed"));
    assert.deepEqual([asked.asked, asked.proposed, asked.failed], [3, 2, 1]);
    assert.deepEqual(released, [true]);
  });
}

Deno.test("askForFixes() stops when the fixer is not deployed, and does not count it", async () => {
  const { asked, released } = await world(9, () => ({ status: 404, body: "{}" }), { limit: 9 });
  assert.deepEqual([asked.stopped, asked.asked, asked.failed], ["not_deployed", 0, 0]);
  assert.ok(released.length <= 3 && released.every((counted) => !counted));
});

Deno.test("askForFixes() does not wait for a fixer that hangs; its claim stands", async () => {
  // Time enough to begin with three, and then half a second to wait for them.
  let asks = 0;
  const remainingMs = () => ++asks <= 3 ? 100_000 : 5_500;
  const fixer = (id: number) => id === 1 ? "hang" : result("proposed");
  const { asked, released } = await world(3, fixer, { remainingMs });
  assert.deepEqual([asked.asked, asked.proposed, asked.underWay], [3, 2, 1]);
  assert.deepEqual([asked.stopped, released], ["time", []]);
});

Deno.test("askForFixes() begins nothing when the run's time is nearly over", async () => {
  const { asked, calls } = await world(3, () => result("proposed"), {
    remainingMs: () => 24_000,
  });
  assert.deepEqual([calls, asked.stopped], [[], "time"]);
});
