import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type FunctionsHost, functionsHost } from "../../local/functions.ts";
import { waitUntil } from "../support/wait-until.ts";

interface Parts {
  host: FunctionsHost;
  lines: string[];
  call(path: string, init?: RequestInit): Promise<Response>;
}

/** The functions of this folder in a process of their own, without database or gateway. */
async function withFunctions(
  fn: (parts: Parts) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const lines: string[] = [];
  const host = functionsHost({
    directories: [fileURLToPath(new URL("functions", import.meta.url))],
    port: 0,
    env,
    onLine: (line) => lines.push(line),
  });
  await host.start();
  try {
    await fn({ host, lines, call: (path, init) => fetch(host.url() + path, init) });
  } finally {
    await host.stop();
  }
}

const self = async (response: Response) => (await response.json()).self;

Deno.test("one worker serves request after request", () =>
  withFunctions(async ({ call }) => {
    assert.equal(await self(await call("/lifecycle")), await self(await call("/lifecycle")));
  }));

Deno.test("a function that does not boot is 503, one that is not there 404", () =>
  withFunctions(async ({ call }) => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const broken = await call("/broken");
      assert.equal(broken.status, 503);
      assert.equal((await broken.json()).code, "BOOT_ERROR");
    }
    const long = ["a".repeat(255), "a".repeat(300), "a".repeat(10_000)].map((name) => `/${name}`);
    const paths = ["/nowhere", "/", "/../../secrets", "/%2e%2e", "/lifecycle%2f..", "/%ff%00"];
    for (const path of [...paths, ...long]) {
      const missing = await call(path);
      assert.equal(missing.status, 404, path);
      assert.equal((await missing.json()).code, "NOT_FOUND");
    }
  }));

Deno.test("a function served with Deno.serve is asked as on Supabase, however it calls it", () =>
  withFunctions(async ({ call, lines }) => {
    const template = await call("/template", { method: "POST", body: '{"name": "Functions"}' });
    assert.deepEqual(await template.json(), { message: "Hello Functions!" });
    assert.ok(lines.includes("Hello from Functions!"));

    const late = await call("/serves-late");
    assert.deepEqual(await late.json(), { transport: "tcp", hostname: "0.0.0.0", port: 9999 });
    assert.ok(lines.includes("told 0.0.0.0:9999"));
    const handled = await call("/serves-late?throw");
    assert.deepEqual([handled.status, await handled.text()], [
      418,
      "onError got thrown on purpose",
    ]);
  }));

Deno.test("the answer of a function that does not boot has the reason, and no value of the environment", () => {
  const env = {
    CRON_SECRET: "the-cron-secret-0123456789",
    SUPABASE_SECRET_KEYS: '{"default": "sb_secret_0123456789"}',
    SUPABASE_DB_URL: "postgresql://postgres:pass%2Fword@127.0.0.1:1/postgres",
    MINE: "  something of mine ",
  };
  return withFunctions(async ({ call, lines }) => {
    const reason = async (path: string) => {
      const { code, message, reason } = await (await call(path)).json();
      assert.deepEqual([code, message], [
        "BOOT_ERROR",
        "Function failed to start (please check logs)",
      ]);
      return reason as string;
    };
    assert.match(
      await reason("/broken"),
      /^Error: Cannot boot: this function is broken.*\n.*index.ts:2/,
    );
    assert.match(
      await reason("/serves-nothing"),
      /^TypeError: Cannot serve: the module must call Deno.serve\(handler\) or have a default export/,
    );
    const told = await reason("/tells-secrets");
    assert.match(told, /^Error: Cannot boot: LIST_URL must be a URL, got .*\[redacted\]/);
    for (const secret of ["the-cron", "sb_secret", "pass", "something"]) {
      assert.ok(!told.includes(secret), told);
    }
    assert.ok(lines.some((line) => line.startsWith("tells-secrets did not boot: ")));
  }, env);
});

Deno.test("a body that a function does not read is not read for it, and one that it reads is whole", () =>
  withFunctions(async ({ call }) => {
    const size = 400 * 1024 * 1024;
    let sent = 0;
    const body = () => {
      const chunk = new Uint8Array(256 * 1024);
      sent = 0;
      return new ReadableStream({
        pull(controller) {
          if (sent >= size) return controller.close();
          sent += chunk.length;
          controller.enqueue(chunk);
        },
      });
    };
    for (const path of ["/lifecycle", "/broken", "/nowhere"]) {
      const response = await call(path, { method: "POST", body: body() });
      await response.body?.cancel();
      // More is under way on a busy machine: a sender goes on until it has heard the answer.
      assert.ok(sent < size / 2, `${path}: ${sent} bytes were taken`);
    }
    const whole = "x".repeat(3_000_000);
    const echo = await call("/echo", { method: "POST", body: whole });
    assert.equal((await echo.json()).body, whole);
  }));

Deno.test("an error of a request is 500 and the worker goes on", () =>
  withFunctions(async ({ call }) => {
    const before = await self(await call("/lifecycle"));
    const thrown = await call("/lifecycle?throw");
    assert.equal(thrown.status, 500);
    assert.equal((await thrown.json()).code, "WORKER_ERROR");
    assert.equal(await self(await call("/lifecycle")), before);
  }));

Deno.test("an uncaught error ends its worker and no other", () =>
  withFunctions(async ({ call, lines }) => {
    const before = await self(await call("/lifecycle"));
    const hanging = call("/lifecycle?hang");
    await (await call("/lifecycle?crash")).body?.cancel();
    const cutOff = await hanging;
    assert.equal(cutOff.status, 500);
    await cutOff.body?.cancel();
    await waitUntil("the log line", () => lines.some((line) => line.includes("nobody caught")));
    assert.notEqual(await self(await call("/lifecycle")), before);
    assert.equal(
      (await call("/echo", { method: "POST" }).then((echo) => echo.json())).method,
      "POST",
    );
  }));

Deno.test("an idle worker is dropped early, at half of its time", () =>
  withFunctions(async ({ call, lines }) => {
    const first = await self(await call("/lifecycle"));
    await waitUntil("the end of the worker", () => lines.includes("beforeunload early_drop"));
    assert.notEqual(await self(await call("/lifecycle")), first);
  }, { WALL_CLOCK_LIMIT_SECONDS: "1" }));

Deno.test("a worker with a promise in waitUntil lives on, hears of its end and may finish", () =>
  withFunctions(async ({ call, lines }) => {
    const first = await self(await call("/lifecycle?until-unload"));
    const second = await waitUntil("a fresh worker", async () => {
      const answer = await self(await call("/lifecycle"));
      return answer !== first && answer;
    });
    assert.ok(!lines.includes("finished"), "a worker takes no request after half of its time");
    await waitUntil("its end", () => lines.includes("finished"));
    assert.deepEqual(
      lines.filter((line) => line === "finished" || line === "beforeunload wall_clock"),
      ["beforeunload wall_clock", "finished"],
    );
    assert.ok(second);
  }, { WALL_CLOCK_LIMIT_SECONDS: "2" }));

Deno.test("a request that outlives the wall clock is 546, even one that never gives way", () =>
  withFunctions(async ({ call }) => {
    const answers = await Promise.all([call("/lifecycle?hang"), call("/lifecycle?spin")]);
    for (const answer of answers) {
      assert.equal(answer.status, 546);
      assert.equal((await answer.json()).code, "WORKER_LIMIT");
    }
    assert.equal((await call("/lifecycle")).status, 200);
  }, { WALL_CLOCK_LIMIT_SECONDS: "1" }));

Deno.test("a stop tells every worker and waits for what they promised to finish", () =>
  withFunctions(async ({ host, call, lines }) => {
    await (await call("/lifecycle?until-unload")).body?.cancel();
    await host.stop();
    assert.deepEqual(lines, ["beforeunload termination", "finished"]);
    assert.equal(host.url(), undefined);
  }));

Deno.test("a kill gives no worker notice, and the functions can be started again", () =>
  withFunctions(async ({ host, call, lines }) => {
    await (await call("/lifecycle?until-unload")).body?.cancel();
    await host.kill();
    assert.equal(host.url(), undefined);
    assert.deepEqual(lines, []);
    await host.start();
    assert.equal((await call("/lifecycle")).status, 200);
  }));

Deno.test("a wall clock that is no number is refused at the start", async () => {
  await assert.rejects(
    withFunctions(() => Promise.resolve(), { WALL_CLOCK_LIMIT_SECONDS: "soon" }),
    /WALL_CLOCK_LIMIT_SECONDS must be a positive number, got soon/,
  );
});
