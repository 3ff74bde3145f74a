// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("a crash of Postgres empties pg_net, its ids begin again, and the stack goes on", () =>
  withStack({ cron: false }, async ({ sql, apiUrl, postgres, net, keys }) => {
    const post = async () =>
      (await sql`select net.http_post(${`${apiUrl}/functions/v1/echo`}) as id`)[0]!.id;
    const answered = (id: unknown) =>
      waitUntil(
        `the answer to ${id}`,
        async () => (await sql`select * from net._http_response where id = ${id as string}`)[0],
      );
    await sql`create table public.kept (id integer)`;
    await sql`insert into public.kept values (1)`;
    const first = await post();
    await answered(first);
    net.pause();
    await post();

    await postgres.kill();
    await assert.rejects(sql`select 1`);
    await postgres.start();

    assert.equal((await sql`select * from public.kept`).length, 1);
    assert.equal((await sql`select * from net._http_response`).length, 0);
    assert.equal((await sql`select * from net.http_request_queue`).length, 0);
    const again = await post();
    assert.equal(again, first);
    net.resume();
    await answered(again);
    await waitUntil("REST to come back", async () => {
      const response = await fetch(`${apiUrl}/rest/v1/scheduler_jobs?select=name`, {
        headers: { apikey: keys.secretKey },
      });
      await response.body?.cancel();
      return response.ok;
    }, 30_000);
  }));
