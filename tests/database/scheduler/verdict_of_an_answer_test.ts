import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

const url = { target: "https://example.test/hook", receipt: "response" };

const failures: [answer: t.Answer, verdict: string, ofUrl?: string][] = [
  [{ status: 400 }, "bad_input"],
  [{ status: 401 }, "unauthorized"],
  [{ status: 403 }, "unauthorized"],
  [{ status: 404 }, "not_found"],
  [{ status: 405 }, "http_error"],
  [{ status: 413 }, "bad_input"],
  [{ status: 415 }, "bad_input"],
  [{ status: 422 }, "bad_input"],
  [{ status: 429 }, "rate_limited"],
  [{ status: 301 }, "http_error"],
  [{ status: 500 }, "http_error"],
  [{ status: 502 }, "http_error"],
  [{ status: 503 }, "boot_error"],
  [{ status: 504 }, "gateway_timeout"],
  [{ status: 546 }, "worker_limit"],
  [{ error: "Couldn't connect to server" }, "unreachable"],
  [{ error: "Couldn't resolve host name" }, "unreachable"],
];

t.ledgerTest(
  "an answer without a receipt decides a run: each status, for functions and URLs",
  async ({ sql }) => {
    for (const [index, [given, verdict]] of failures.entries()) {
      for (const [kind, values] of [["f", {}], ["u", url]] as const) {
        const name = `${kind}${index}`;
        await t.register(sql, name, { schedule: "0 12 * * *", ...values });
        await t.answer(sql, (await t.dispatch(sql, name))!, given, t.after(0.1));
        await t.pulse(sql, t.after(0.5));
        const expected = [`failed cron 1 ${verdict}`];
        if (verdict !== "bad_input") expected.push("queued retry 2");
        assert.deepEqual(await t.summary(sql, name), expected, `${JSON.stringify(given)} ${kind}`);
        const [row] = await t.runs(sql, name);
        assert.equal(row!.response_status, given.status ?? null);
        assert.equal(row!.response_error, given.error ?? null);
        assert.equal(row!.error_message, given.error ?? `HTTP ${given.status}`);
      }
    }
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("a success or a timeout of pg_net decides nothing for a function", async ({ sql }) => {
  for (
    const given of [{ status: 202 }, { timedOut: true }, {
      timedOut: true,
      error: "Timeout of 5000 ms reached",
    }]
  ) {
    await sql`delete from scheduler_runs`;
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, id, given, t.after(0.1));
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
    assert.equal((await t.begin(sql, id, t.after(0.6))).begun, true);
  }
});

t.ledgerTest("a 2xx answer is the receipt of a URL, a timeout its failure", async ({ sql }) => {
  for (
    const [name, given, outcome] of [
      ["good", { status: 204 }, "completed cron 1 ok"],
      [
        "late",
        { timedOut: true, error: "Timeout of 120000 ms reached" },
        "failed cron 1 timed_out",
      ],
      ["late-too", { error: "Timeout was reached" }, "failed cron 1 timed_out"],
    ] as const
  ) {
    await t.register(sql, name, { ...url, max_attempts: 1 });
    await t.answer(sql, (await t.dispatch(sql, name))!, given, t.after(0.1));
    await t.pulse(sql, t.after(0.5));
    assert.deepEqual(await t.summary(sql, name), [outcome]);
  }
});

t.ledgerTest(
  "a URL gets its own secret and the job's timeout, never the cron secret",
  async ({ sql }) => {
    await t.setSecret(sql, "hook_token", "token-of-the-hook");
    await t.register(sql, "with", { ...url, secret_name: "hook_token", timeout_seconds: 50 });
    await t.register(sql, "without", url);
    const ids = [await t.start(sql, "with"), await t.start(sql, "without")];
    const common = { "Content-Type": "application/json", "x-attempt": "1" };
    const [first, second] = await t.requests(sql);
    assert.equal(first!.url, url.target);
    assert.equal(first!.timeout_milliseconds, 50_000);
    assert.deepEqual(first!.headers, {
      ...common,
      Authorization: "Bearer token-of-the-hook",
      "x-run-id": ids[0],
      "x-job-name": "with",
    });
    assert.deepEqual(second!.headers, { ...common, "x-run-id": ids[1], "x-job-name": "without" });
  },
);

t.ledgerTest(
  "a receipt is stronger than the answer: ok, unanswered, contradicted, whichever comes first",
  async ({ sql }) => {
    const cases: [t.Answer | null, string][] = [
      [{ status: 202 }, "ok"],
      [{ status: 504 }, "ok_contradicted"],
      [{ timedOut: true, error: "Timeout of 5000 ms reached" }, "ok_unanswered"],
      [null, "ok_unanswered"],
    ];
    for (const [index, [given, verdict]] of cases.entries()) {
      for (const first of ["answer", "receipt"]) {
        const name = `${first}-${index}`;
        await t.register(sql, name, { schedule: "0 12 * * *" });
        const id = (await t.dispatch(sql, name))!;
        await t.begin(sql, id, t.NOON, name);
        if (given) await t.answer(sql, id, given, t.after(0.1));
        if (first === "answer") await t.pulse(sql, t.after(0.2));
        await t.finish(sql, id, "completed", t.after(0.3));
        await t.pulse(sql, t.after(0.5));
        if (given === null) {
          assert.equal((await t.run(sql, id)).verdict, "ok");
          await t.pulse(sql, t.after(10));
        }
        assert.deepEqual(await t.summary(sql, name), [`completed cron 1 ${verdict}`], name);
      }
    }
  },
);

t.ledgerTest(
  "the message of a function's error answer is kept, nothing else of a body",
  async ({ sql }) => {
    const bodies: [string | undefined, string][] = [
      ['{"error": {"code": "x", "message": "the secret is wrong"}}', "the secret is wrong"],
      [`{"error": {"message": "${"x".repeat(5000)}"}}`, "x".repeat(500)],
      ['{"error": {"message": "a\\u0000b"}}', "HTTP 401"],
      ["[".repeat(200_000), "HTTP 401"],
      ['{"error": "password=123"}', "HTTP 401"],
      ["<html>password=123", "HTTP 401"],
      ["null", "HTTP 401"],
      ["", "HTTP 401"],
      [undefined, "HTTP 401"],
    ];
    for (const [index, [content, message]] of bodies.entries()) {
      const name = `job-${index}`;
      await t.register(sql, name, { max_attempts: 1, schedule: "0 12 * * *" });
      const id = (await t.dispatch(sql, name))!;
      await t.answer(
        sql,
        id,
        { status: 401, ...(content === undefined ? {} : { content }) },
        t.NOON,
      );
      await t.pulse(sql, t.after(0.5));
      const row = await t.run(sql, id);
      assert.equal(row.verdict, "unauthorized", name);
      assert.equal(row.error_message, message);
    }
  },
);
