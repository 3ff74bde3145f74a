import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { beat, fire, registerJob, untilStatus } from "../support/faults.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const PROGRAM = fileURLToPath(new URL("../../cli/daybook.ts", import.meta.url));

/** The real command as a process, with nothing in its environment but what is given. */
function spawn(args: string[], env: Record<string, string>) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", PROGRAM, ...args],
    clearEnv: true,
    env: {
      ...Object.fromEntries(
        ["PATH", "HOME", "DENO_DIR"].flatMap((name) => {
          const value = Deno.env.get(name);
          return value === undefined ? [] : [[name, value]];
        }),
      ),
      TZ: "America/New_York",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function daybook(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await spawn(args, env).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

type Outcome = Awaited<ReturnType<typeof daybook>>;

/** How one stack is asked: over HTTP, and in its database. */
function sourcesOf({ apiUrl, databaseUrl, keys }: Stack) {
  const ask = (env: Record<string, string>, place: string[]) => (args: string[]) =>
    daybook([...args, ...place], { DAYBOOK_AUTHOR: "ann", ...env });
  return {
    http: ask({ CRON_SECRET: keys.cronSecret }, ["--url", apiUrl]),
    sql: ask({}, ["--db-url", databaseUrl]),
  };
}

/** An answer without what changes from one moment to the next. */
function still(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(still);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => !/^timestamp$|^since$|age_seconds$/.test(key))
      .map(([key, value]) => [key, still(value)]),
  );
}

Deno.test("the command line", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql, keys, apiUrl, databaseUrl } = stack;
    await sql`select scheduler.unregister_job(name) from scheduler_jobs where depends_on <> '{}'`;
    await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
    for (const name of ["by-http", "by-sql"]) {
      await sql`select scheduler.register_group(${name})`;
      await registerJob(sql, name, { max_attempts: 1, time_zone: "Asia/Tokyo", group_name: name });
    }
    await registerJob(sql, "broken", { max_attempts: 1, payload: { behaviour: "throw" } });
    await untilStatus(sql, await fire(sql, "by-http"), "completed");
    const bad = await fire(sql, "broken");
    await untilStatus(sql, bad, "failed");
    await beat(sql);
    const { http, sql: database } = sourcesOf(stack);

    /** Both sources with the same arguments. */
    const both = (...args: string[]): Promise<[Outcome, Outcome]> =>
      Promise.all([http(args), database(args)]);
    /** The verb on a job of its own for each source. */
    const each = (...args: string[]): Promise<[Outcome, Outcome]> => {
      const on = (name: string) => args.map((arg) => arg.replace("JOB", name));
      return Promise.all([
        http([...on("by-http"), "--reason", "a test"]),
        database([...on("by-sql"), "--reason", "a test"]),
      ]);
    };
    const alike = ([one, other]: [Outcome, Outcome], what: string) => {
      // Their next occurrences are at odd minutes far away.
      const text = (printed: string) =>
        printed.replaceAll(/by-(http|sql)/g, "JOB").replace(/next at .*/, "");
      const plain = ({ code, stdout, stderr }: Outcome) => ({
        code,
        stdout: text(stdout),
        stderr: text(stderr),
      });
      assert.deepEqual(plain(one), plain(other), what);
      return one;
    };

    await test.step("reads the same from the API and from the database", async () => {
      const cases: [string[], number][] = [
        [["status"], 1],
        [["health"], 0],
        [["health", "broken"], 0],
        [["failures"], 1],
        [["failures", "--since", "2026-01-01"], 1],
        [["explain", "broken"], 0],
        [["explain", "by-http", "--at", "2026-03-08 02:20-05"], 0],
        [["next"], 0],
        [["next", "broken", "--limit", "150"], 0],
        [["runs"], 0],
        [[
          "runs",
          "--job",
          "broken",
          "--status",
          "failed",
          "--from",
          "1d",
          "--to",
          "now",
          "--limit",
          "1",
        ], 0],
        [["runs", bad], 0],
        [["logs"], 0],
        [["audit-log"], 0],
        [["metrics"], 0],
        [["metrics", "broken"], 0],
        [["forecast"], 0],
        [["forecast", "broken"], 0],
        [["channels"], 0],
      ];
      for (const [args, code] of cases) {
        const what = args.join(" ");
        const [one, other] = await both(...args, "--json");
        assert.deepEqual([one.stderr, other.stderr], ["", ""], what);
        assert.deepEqual([one.code, other.code], [code, code], what);
        assert.deepEqual(still(JSON.parse(one.stdout)), still(JSON.parse(other.stdout)), what);
      }
    });

    await test.step("shows it to a person: the zone of the reader and of the job", async () => {
      const status = await http(["status"]);
      assert.match(status.stdout, /^Of 3 jobs 1 is failing, 2 are healthy\. Look at broken\./);
      assert.match(
        status.stdout,
        /^by-http +healthy +completed, \d+ s ago +\S+ \S+ +\S+ \S+ Asia\/Tokyo$/m,
      );
      const failures = await database(["failures"]);
      assert.match(
        failures.stdout,
        /^broken +1 +\S+ \S+ .* failed +job_error: the job failed on purpose$/m,
      );
      assert.match(failures.stdout, new RegExp(`What to do\n {2}broken: .*\\(run ${bad}\\)`));
      assert.match((await http(["explain", "broken"])).stdout, /^broken failed at .*\n$/);
      assert.match((await database(["runs", bad])).stdout, /"behaviour":"throw"/);
      assert.match((await http(["logs"])).stdout, / {2}failed +broken {2}failed: job_error: /);
    });

    await test.step("verifies, and ends with 1 when a check does not hold", async () => {
      const ok = alikeChecks(await both("verify", "--json"));
      assert.equal(ok.code, 0, ok.stdout);
      await sql`select cron.unschedule('broken')`;
      const failed = alikeChecks(await both("verify", "--json"));
      assert.equal(failed.code, 1, failed.stdout);
      assert.match((await http(["verify"])).stdout, /^failed +entries of pg_cron/m);
    });

    await test.step("runs a job; with --wait the exit code says how it ended", async () => {
      const [sent] = await each("run", "JOB", "--json");
      await untilStatus(sql, JSON.parse(sent.stdout).run_id, "completed");
      await waitUntil("the other run to end", async () => {
        const [row] =
          await sql`select count(*)::int as open from scheduler_runs where completed_at is null`;
        return row!.open === 0;
      });
      for (const outcome of await each("run", "JOB", "--wait")) {
        assert.deepEqual([outcome.code, outcome.stderr], [0, ""]);
        assert.match(outcome.stdout, /^run (\S+) is under way\nrun \1 completed in .*: done\n$/);
      }
      for (
        const outcome of await each("run", "JOB", "--wait", "--payload", '{"behaviour": "throw"}')
      ) {
        assert.equal(outcome.code, 1);
        assert.match(outcome.stdout, / failed in .*: job_error: the job failed on purpose\n$/);
      }
      const failed = await sql`
        select id from scheduler_runs where status = 'failed' and job_name like 'by-%' order by job_name`;
      const [one, other] = await Promise.all([
        http(["retry", failed[0]!.id, "--wait", "--reason", "again"]),
        database(["retry", failed[1]!.id, "--wait", "--reason", "again"]),
      ]);
      // The second attempt is one too many for this job to misbehave.
      assert.deepEqual([one.code, other.code], [0, 0], one.stdout + one.stderr + other.stdout);
    });

    await test.step("acts the same over the API and in the database, and the audit log has it", async () => {
      const said = async (pattern: RegExp, ...args: string[]) => {
        const { code, stdout, stderr } = alike(await each(...args), args.join(" "));
        assert.match(stdout + stderr, pattern, args.join(" "));
        return code;
      };
      assert.equal(await said(/^by-http is paused /, "pause", "JOB"), 0);
      assert.equal(await said(/^by-http runs again; /, "resume", "JOB"), 0);
      assert.equal(await said(/by-http/, "pause", "--group", "JOB"), 0);
      assert.equal(await said(/by-http/, "resume", "--group", "JOB"), 0);
      assert.equal(await said(/^the breaker of by-http is not there/, "close-breaker", "JOB"), 0);
      const range = ["--from", "300d", "--to", "1d"];
      assert.equal(
        await said(
          / would be queued\nNothing was done: --yes does it\n$/,
          "backfill",
          "JOB",
          ...range,
        ),
        0,
      );
      assert.equal(await said(/^There is no job named 'by-https'\n/, "pause", "JOBs"), 2);
      const waiting = ["run", "JOB", "--json", "--payload", '{"behaviour": "wait"}'];
      const [one, other] = await each(...waiting);
      const idOf = ({ stdout }: Outcome): string => JSON.parse(stdout).run_id;
      const cancelled = await Promise.all([
        http(["cancel", idOf(one), "--reason", "a test"]),
        database(["cancel", idOf(other), "--reason", "a test"]),
      ]);
      for (const { code, stdout } of cancelled) {
        assert.equal(code, 0);
        assert.match(stdout, /cancelled/);
      }
      await each(...waiting);
      for (const { code, stdout } of await each("release-locks", "JOB")) {
        assert.equal(code, 0);
        assert.match(stdout, /^by-(http|sql): .*cancelled/);
      }
      const { stdout } = await http(["audit-log", "--json"]);
      const { entries }: { entries: Record<string, string>[] } = JSON.parse(stdout);
      for (const name of ["by-http", "by-sql"]) {
        const verbs = entries.filter(({ subject }) => subject === name).map(({ verb }) => verb);
        for (const verb of ["pause", "resume", "run_now", "release_lock"]) {
          assert.ok(verbs.includes(verb), `${name} ${verb}`);
        }
      }
      for (const id of [idOf(one), idOf(other)]) {
        assert.ok(
          entries.some(({ verb, subject }) => verb === "cancel_run" && subject === id),
          stdout,
        );
      }
      assert.ok(
        entries.every(({ author }) => author === "ann"),
        stdout,
      );
      assert.ok(entries.some(({ reason }) => reason === "a test"), stdout);
    });

    await test.step("stops all, and resumes all", async () => {
      const because = ["--reason", "a leak"];
      const stopped = await http(["stop", ...because]);
      assert.match(stopped.stdout, /^3 jobs are stopped/);
      assert.match(
        (await database(["status"])).stdout,
        /^All jobs are stopped: incident called by ann: a leak\./,
      );
      const resumed = await database(["restart", "--ramp", "0", ...because]);
      assert.match(resumed.stdout, /^3 jobs run again/);
      const released = await http(["release-locks", "--all", ...because]);
      assert.deepEqual([released.code, released.stdout], [0, "No lock is held\n"]);
    });

    await test.step("refuses what the state does not allow, with a code of its own", async () => {
      const [done] = await sql`select id from scheduler_runs where status = 'completed' limit 1`;
      const refused = alike(await both("retry", done!.id, "--reason", "a test"), "retry");
      assert.deepEqual([refused.code, refused.stdout], [4, ""]);
      assert.match(refused.stderr, /^Cannot retry run .*: it has completed\n/);
    });

    await test.step("smoke runs a job twice, and tries the mark of its occurrence", async () => {
      for (const outcome of await each("smoke", "JOB")) {
        assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
        assert.match(
          outcome.stdout,
          /^run (\S+) completed .*\nrun (?!\1)\S+ completed .*\nthe job has no mark of its own; its occurrence is not run again: /,
        );
      }
      const broken = await http(["smoke", "broken", "--reason", "a test"]);
      assert.equal(broken.code, 1);
      assert.match(broken.stdout, / failed .*\nthe first run did not complete\n$/);
    });

    await test.step("logs -f goes on with what happens until Ctrl-C", async () => {
      for (
        const [place, env] of [
          [["--url", apiUrl], { CRON_SECRET: keys.cronSecret }],
          [["--db-url", databaseUrl], {}],
        ] as [string[], Record<string, string>][]
      ) {
        const child = spawn(["logs", "-f", "-n", "0", "--json", ...place], env).spawn();
        const lines: { run: { run_id: string } | null; message: string }[] = [];
        const reading = (async () => {
          let rest = "";
          for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
            const parts = (rest + text).split("\n");
            rest = parts.pop()!;
            lines.push(...parts.map((part) => JSON.parse(part)));
          }
        })();
        const errors = new Response(child.stderr).text();
        // It prints what happens after it began: lines are written until the first one arrives.
        let written = 0;
        await waitUntil("the first line", async () => {
          await sql`select scheduler_log_activity('tester', ${`line ${++written}`})`;
          return lines.length > 0;
        }, 30_000);
        const run = await fire(sql, "by-http");
        await untilStatus(sql, run, "completed");
        await waitUntil(
          "the run's line",
          () => lines.some((line) => line.run?.run_id === run),
          20_000,
        );
        child.kill("SIGINT");
        assert.equal((await child.status).code, 130);
        await reading;
        assert.equal(await errors, "");
        const seen = lines.map(({ message, run }) => run?.run_id ?? message);
        assert.equal(new Set(seen).size, seen.length, "a line came twice");
        assert.equal(seen.filter((line) => line === run).length, 1);
      }
    });

    await test.step("a reader that goes away ends it without a word", async () => {
      const child = spawn(["logs", "-f", "-n", "100", "--db-url", databaseUrl], {}).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      await reader.cancel();
      const errors = new Response(child.stderr).text();
      let isOver = false;
      const ended = child.status.finally(() => isOver = true);
      await waitUntil("the command to see it", async () => {
        await sql`select scheduler_log_activity('tester', 'one more')`;
        return isOver;
      }, 20_000);
      assert.deepEqual([(await ended).code, await errors], [0, ""]);
    });

    await test.step("says what is wrong with a secret or a place", async () => {
      const wrong = await daybook(["status", "--url", apiUrl], { CRON_SECRET: "x".repeat(40) });
      assert.equal(wrong.code, 3);
      assert.match(wrong.stderr, /refuses the cron secret\nhint: it was that of CRON_SECRET/);
      const elsewhere = await daybook(["status", "--url", `${apiUrl}/nowhere`], {
        CRON_SECRET: keys.cronSecret,
      });
      assert.equal(elsewhere.code, 3);
      assert.match(elsewhere.stderr, /not as the function cron does/);
      const none = await daybook(["status", "--db-url", databaseUrl.replace(/\/[^/]*$/, "/none")]);
      assert.equal(none.code, 3);
      assert.match(none.stderr, /^Cannot reach postgres:.*database "none" does not exist\n/);
      const service = await daybook(["next", "--url", apiUrl], {
        SUPABASE_SECRET_KEY: keys.secretKey,
      });
      assert.deepEqual([service.code, service.stderr], [0, ""]);
    });
  }));

/** The same checks with the same states; their details have ages. */
function alikeChecks([one, other]: [Outcome, Outcome]): Outcome {
  const states = ({ stdout }: Outcome) =>
    JSON.parse(stdout).checks.map((
      { check, state }: { check: string; state: string },
    ) => [check, state]);
  assert.deepEqual(states(one), states(other));
  assert.equal(one.code, other.code);
  return one;
}
