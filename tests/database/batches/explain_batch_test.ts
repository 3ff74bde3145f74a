import assert from "node:assert/strict";
import type { Sql, TransactionSql } from "postgres";
import { batchTest, move, organization, trigger } from "../../support/daily-batch.ts";
import { processor, result } from "../../support/batch.ts";
import { rowsRead } from "../../support/rows-read.ts";

/** Ten in the morning in New York, seven hours after the platform's time. */
const TEN = "2026-03-02T15:00:00Z";
const THREE = "2026-03-02T08:00:00Z";

async function explain(
  sql: Sql | TransactionSql,
  who: string,
  at = TEN,
  date: string | null = null,
) {
  const [row] = await sql`select batches.explain(${who}, ${date}, ${at}) as text`;
  return row!.text as string;
}

batchTest("explain() says why an organization has no batch", async ({ sql }) => {
  const acme = await organization(sql, "Acme");
  const off = await organization(sql, "Off", { enabled: false });
  const mute = await organization(sql, "Mute", {}, 0);
  const tokyo = await organization(sql, "Tokyo", { time_zone: "Asia/Tokyo" });
  const why = (who: string, at?: string, date?: string) => explain(sql, who, at, date);

  assert.equal(
    await why("Tokio"),
    "There is no organization Tokio, neither by name nor by id. There are 4: Tokyo, Acme, Mute, Off.",
  );
  assert.match(
    await why("acme", "2026-03-02T07:00:00Z"),
    /^Acme has no batch for 2026-03-02: its time comes at 2026-03-02 03:00 America\/New_York\. It has had none before\.$/,
  );
  assert.match(await why(off), /^Off has no batch for 2026-03-02: it is disabled, /);
  await sql`insert into prompts (organization_id, text, status) values (${mute}, 'Question?', 'paused')`;
  assert.match(
    await why(mute),
    /: it has no active prompt \(1 paused\)\. It has had none before\.$/,
  );
  assert.match(
    await why(acme, "2026-03-02T08:01:00Z"),
    /: it is due since 2026-03-02 03:00 America\/New_York, and daily-batch-trigger has not made it\. daily-batch-trigger /,
  );
  assert.match(
    await why(acme),
    /The window is over: scheduler\.run_now\('daily-batch-trigger', 'who', '\{"force": true\}'\)\. daily/,
  );
  await sql`update organizations set next_batch_at = '2026-03-01T18:00:00Z' where id = ${tokyo}`;
  assert.match(
    await why(tokyo, "2026-03-02T14:00:00Z"),
    /^Tokyo has no batch for 2026-03-02: it is due since 2026-03-02 03:00 Asia\/Tokyo, and daily-batch-trigger-zones /,
  );
  await sql`update batch_providers set enabled = false`;
  assert.match(await why(acme), /: no provider is enabled\. It has had none before\.$/);
  await sql`update batch_providers set enabled = true`;

  await trigger(sql, THREE);
  assert.match(await why(acme), /^Acme, 2026-03-02: Batch job .* is open: 0 of 2 tasks answered/);
  await sql`update prompts set status = 'active' where organization_id = ${mute}`;
  assert.match(
    await why(mute),
    /: at its time, 2026-03-02 03:00 America\/New_York, it had no active prompt, or .* scheduler\.run_now\('daily-batch-trigger', 'who', '\{"force": true\}'\)\. It has had none before\.$/,
  );
  assert.match(
    await why(mute, TEN, "2026-02-20"),
    /: at its time no prompt was active or no provider enabled, .* batches\.rerun_daily makes it\. It has had none before\.$/,
  );
  // An organization that follows the platform and has a cursor is served by the other trigger.
  await sql`update organizations set next_batch_at = '2026-03-02T14:01:00Z' where id = ${mute}`;
  assert.match(
    await why(mute),
    /: it is due since .*, and daily-batch-trigger-zones has not made it\. daily-batch/,
  );
  // Moved to the east before its time there: its next date comes at its time.
  await move(sql, acme, { time_zone: "Asia/Tokyo" }, TEN);
  assert.match(
    await why(acme),
    /^Acme has no batch for 2026-03-03: its time comes at .*Asia\/Tokyo\. The one before, 2026-03-02: Batch job /,
  );
  await sql`delete from batch_jobs where organization_id = ${acme}`;
  assert.match(
    await why(acme, TEN, "2026-03-02"),
    /: it is marked as had, so its batch job was deleted\./,
  );
  await sql`update scheduler_state set last_daily_run_key = '2026-03-04' where scope = ${
    "organization:" + acme
  }`;
  assert.match(
    await why(acme),
    /: it had 2026-03-04 already, before it was moved, and no date comes twice\. It has had none before\.$/,
  );
  assert.match(await why(acme, TEN, "2026-03-02"), /: it had 2026-03-04 already, /);

  // What it owes after a move, and what became of it.
  const berlin = await organization(sql, "Berlin", { time_zone: "Europe/Berlin" });
  await trigger(sql, "2026-03-01T02:00:00Z", { zones: true });
  await move(sql, berlin, { time_zone: "Asia/Tokyo" }, "2026-03-02T02:05:00Z");
  assert.match(
    await why(berlin, "2026-03-02T02:10:00Z", "2026-03-02"),
    /: it is due since 2026-03-02 11:05 Asia\/Tokyo, and daily-batch-trigger-zones has not made it\. /,
  );
  await sql`update prompts set status = 'paused' where organization_id = ${berlin}`;
  await trigger(sql, "2026-03-02T02:15:00Z", { zones: true });
  assert.match(
    await why(berlin, "2026-03-02T02:20:00Z", "2026-03-02"),
    /: it was owed the date after a move, and had no active prompt at the tick that followed, .* The one before, 2026-03-01: /,
  );

  await organization(sql, "ACME");
  assert.match(await why("Acme"), /^2 organizations are named Acme; ask by one's id: /);
});

batchTest("explain() finds an organization by its name, in any case", async ({ sql }) => {
  const empty = "There is no organization x, neither by name nor by id. There are none at all.";
  assert.equal(await explain(sql, "x"), empty);
  const id = await organization(sql, "Łódź Énergie");
  for (const name of ["Łódź Énergie", "łÓDŹ éNERGIE", "  łódź énergie ", id, id.toUpperCase()]) {
    assert.match(await explain(sql, name), /^Łódź Énergie has no batch for /, name);
  }
});

batchTest("explain() lists twenty organizations at most", async ({ sql }) => {
  await sql`insert into organizations (name)
    select 'Organization ' || lpad(n::text, 4, '0') || repeat('.', 100) from generate_series(1, 5000) as n`;
  const text = await explain(sql, "organization 42");
  assert.match(text, /There are 5000: Organization 4242\.+, .*, and 4980 more\.$/);
  assert.ok(text.length < 2000);
});

batchTest("explain() says what became of a batch, and what it waits for", async ({ sql }) => {
  const acme = await organization(sql, "Acme");
  await trigger(sql, THREE);
  const [job] = await sql`select id from batch_jobs`;
  const at = (seconds: number) => new Date(Date.parse(THREE) + seconds * 1000).toISOString();
  const why = (seconds: number) => explain(sql, acme, at(seconds), "2026-03-02");

  assert.match(
    await why(5),
    /0 of 2 tasks answered, 0 failed\. A processor has been called for it\.$/,
  );
  await sql`select scheduler.pause('robust-batch-processor', 'upgrade', 'ann', p_now => ${THREE})`;
  await sql`update scheduler_runs set status = 'queued', dispatched_at = null`;
  assert.match(
    await why(5),
    /Its processor waits because robust-batch-processor is paused by ann: upgrade\.$/,
  );
  await sql`select scheduler.resume('robust-batch-processor', 'ann')`;
  await sql`update scheduler_runs set status = 'queued', dispatched_at = null, run_after = ${
    at(90)
  }`;
  assert.match(await why(5), /Its processor waits until 2026-03-02 03:01 America\/New_York\.$/);
  await sql`update scheduler_runs set run_after = null`;
  assert.match(
    await why(5),
    /Its processor waits for one of the 20 runs under way to end, or the next pulse\.$/,
  );

  const one = processor(sql, job!.id);
  const { tasks } = await one.claim(10, new Date(at(10)));
  assert.match(await why(15), /A processor works on it, last heard of 5 s ago\.$/);
  await one.finish([result(tasks[0], "refused", { reason: "HTTP 422" })], new Date(at(20)));
  await sql`update scheduler_runs set status = 'failed', completed_at = ${
    at(20)
  }, verdict = 'job_error', error_message = 'a setting is wrong'
    where job_name = 'robust-batch-processor'`;
  assert.match(
    await why(300),
    /No processor works on it; resume_stuck_batch_job\('[^']+'\) says what can be done\. Its last run failed: a setting is wrong\.$/,
  );
  await sql`alter table scheduler_runs disable trigger user`;
  await sql`
    insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, created_at, completed_at, verdict)
    select job_name, function_name, 'completed', trigger, scheduled_for + i * interval '1 s', now() + interval '1 s', now(), 'ok'
    from scheduler_runs, generate_series(1, 2000) as i where job_name = 'robust-batch-processor'`;
  assert.match(await why(300), /Its last run failed: a setting is wrong\.$/, "behind thousands");
  await sql`delete from scheduler_runs where job_name = 'robust-batch-processor'`;
  await sql`update batch_providers set open_until = ${
    at(600)
  }, last_error = 'HTTP 503', failures_in_row = 5 where name = 'two'`;
  assert.match(
    await why(300),
    /0 of 2 tasks answered, 1 failed \(one: HTTP 422 \(1\)\)\. No processor works on it; resume_stuck_batch_job\('[^']+'\) says what can be done\. Providers that are not called, because they are down or ask to wait: two until 03:10:00 \(HTTP 503\)\.$/,
  );
  await one.finish([result(tasks[1], "answered")], new Date(at(310)));
  assert.match(
    await why(400),
    /ended at 2026-03-02 03:05 America\/New_York: 1 of 2 tasks answered; the others failed: one: HTTP 422 \(1\)\. When that is mended: batches.rerun_daily\.$/,
  );
  await sql`select batches.rerun_daily(${acme}, '2026-03-02', 'again', 'ann', ${at(500)})`;
  const [again] = await sql`select id from batch_jobs where rerun = 1`;
  await sql`select batches.cancel_job(${again!.id}, 'not needed', 'ann', ${at(510)})`;
  assert.match(
    await why(600),
    /Batch job \S+ \(run again, 1\) was cancelled at 2026-03-02 03:08 America\/New_York with 0 of 2 tasks answered: cancelled by ann: not needed \(2\)\.$/,
  );
});

batchTest(
  "explain() finds the run that waits for a batch job without reading the other waiting runs",
  async ({ sql }) => {
    const acme = await organization(sql, "Acme");
    await trigger(sql, THREE);
    await sql`select scheduler.enqueue_runs('robust-batch-processor',
    (select jsonb_agg(batches.run_request(gen_random_uuid())) from generate_series(1, 500)), null, ${THREE})`;
    await sql`update scheduler_runs set status = 'queued', dispatched_at = null where payload ? 'batchJobId'`;
    const { scheduler_runs } = await rowsRead(sql, ["scheduler_runs"], async (tx) => {
      assert.match(await explain(tx, acme, THREE), /Its processor waits for one of the 20 runs/);
    });
    assert.ok(scheduler_runs! < 50, `${scheduler_runs} of 500 runs were read`);
  },
);

batchTest(
  "the runbook's queries about organizations without answers run",
  async ({ sql }) => {
    const page = await Deno.readTextFile(new URL("../../../docs/operations.md", import.meta.url));
    const section = page.split("\n## The daily batch\n")[1]!.split("\n**Leave a prompt out**")[0]!;
    const blocks = [...section.matchAll(/^```sql\n(.*?)^```$/gms)].map(([, text]) => text!);
    assert.equal(blocks.length, 2);
    for (const text of blocks) await sql.unsafe(text);
  },
);
