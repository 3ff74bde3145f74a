/** An alert on its whole way: a job fails, the pulse sees it, pg_net sends, a receiver checks the signature. */
import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import type { Sql } from "postgres";
import { beat, fire, registerJob, untilStatus } from "../support/faults.ts";
import { type HttpServer, type Reply, withHttpServer } from "../support/http-server.ts";
import { setSecret } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

interface Message {
  type: string;
  data: Record<string, unknown>;
}

/** What arrived, each with a signature that is right; throws for one that is not. */
const received = ({ requests }: HttpServer): (Message & { id: string })[] =>
  requests.map(({ body, headers }) => ({
    ...new Webhook(secret).verify(body, headers as Record<string, string>) as Message,
    id: headers["webhook-id"] as string,
  }));

/** A pulse that looks at the rules and sends what waits, as if half a minute had passed. */
async function look(sql: Sql): Promise<void> {
  await sql`update scheduler.pulse_state set last_looked_at = null`;
  await sql`update scheduler_alert_deliveries set send_after = now() where status = 'waiting'`;
  await beat(sql);
}

const untilDelivered = (sql: Sql, event: string) =>
  waitUntil(`${event} to be delivered`, async () => {
    await beat(sql);
    const [row] = await sql`select * from scheduler_alert_deliveries where event = ${event}`;
    return row?.status === "delivered" && row;
  });

async function withChannel(
  reply: () => Reply,
  fn: (sql: Sql, receiver: HttpServer) => Promise<void>,
): Promise<void> {
  await withHttpServer(reply, (receiver) =>
    withStack({ cron: false }, async ({ sql }) => {
      await sql`select scheduler.unregister_job(name) from scheduler_jobs where depends_on <> '{}'`;
      await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
      await setSecret(sql, "alert_hook_address", `${receiver.url}/hook`);
      await setSecret(sql, "alert_hook_token", secret);
      await sql`select scheduler.register_alert_channel('hook', 'webhook', 'a test', 'ann')`;
      await registerJob(sql, "fickle", { max_attempts: 1 });
      await fn(sql, receiver);
    }));
}

/** Runs the job to an end. */
async function runTo(sql: Sql, status: "completed" | "failed"): Promise<void> {
  const behaviour = status === "failed" ? "throw" : "complete";
  await sql`update scheduler_jobs set payload = jsonb_build_object('behaviour', ${behaviour}::text)`;
  await untilStatus(sql, await fire(sql, "fickle"), status);
}

Deno.test("a job that fails is told to a webhook, and so is the end, each once and signed", () =>
  withChannel(() => ({ status: 204 }), async (sql, receiver) => {
    await runTo(sql, "failed");
    await look(sql);
    await untilDelivered(sql, "opened");
    const [opened, ...others] = received(receiver);
    assert.equal(others.length, 0);
    assert.equal(opened!.type, "alert.opened");
    assert.deepEqual([opened!.data.jobs, opened!.data.title], [["fickle"], "fickle failed"]);
    assert.match(opened!.data.sentence as string, /^fickle failed at /);
    await look(sql);
    assert.equal(received(receiver).length, 1, "it is not said again");

    await runTo(sql, "completed");
    await look(sql);
    await untilDelivered(sql, "ended");
    const [, ended, ...more] = received(receiver);
    assert.equal(more.length, 0);
    assert.equal(ended!.type, "alert.ended");
    assert.equal(ended!.data.alert, opened!.data.alert);
    assert.match(ended!.data.note as string, /^It is over after /);
    assert.notEqual(ended!.id, opened!.id);
  }));

Deno.test("a receiver that is down for a while gets each message, with the key of the first try", async () => {
  let reply: Reply = "reset";
  await withChannel(() => reply, async (sql, receiver) => {
    await runTo(sql, "failed");
    await look(sql);
    const refused = (tries: number) =>
      waitUntil(`try ${tries} to fail`, async () => {
        await beat(sql);
        const [row] = await sql`select * from scheduler_alert_deliveries where event = 'opened'`;
        return row?.status === "waiting" && row.tries === tries && row;
      });
    const { error, id } = await refused(1);
    assert.ok(error.length > 0 && !error.includes(receiver.url), error);
    reply = { status: 503 };
    await look(sql);
    assert.equal((await refused(2)).response_status, 503);
    await runTo(sql, "completed");
    await look(sql);
    await refused(3);
    assert.deepEqual(
      received(receiver).map(({ type }) => type),
      Array(3).fill("alert.opened"),
      "no end before the begin",
    );

    reply = { status: 200 };
    await look(sql);
    await untilDelivered(sql, "opened");
    await look(sql);
    await untilDelivered(sql, "ended");
    const messages = received(receiver);
    assert.deepEqual(messages.map(({ type }) => type), [
      ...Array(4).fill("alert.opened"),
      "alert.ended",
    ]);
    assert.deepEqual(new Set(messages.slice(0, 4).map(({ id }) => id)), new Set([id]));
  });
});
