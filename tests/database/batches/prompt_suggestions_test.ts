import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addProvider } from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { CRON_SECRET, PROJECT_URL, setSecret } from "../../support/scheduler.ts";
import { addOrganization, MONDAY, suggested, WEEK } from "../../support/suggestions.ts";

/** The week after. */
const NEXT = ["2026-03-09", new Date("2026-03-09T17:00:00Z")] as const;

const store = async (sql: Sql, id: string, texts: unknown, week = WEEK, now = MONDAY) =>
  (await sql`select batches.store_suggestions(${id}, ${week}, ${
    sql.json(texts as never)
  }, 'muse-1', ${now}) as told`)[0]!.told;

Deno.test("suggestions are stored once a week and wait for a person", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    assert.deepEqual(await store(sql, id, ["Which customers\n have  left us?"]), {
      outcome: "stored",
      stored: 1,
      alike: 0,
      unusable: 0,
    });
    assert.equal((await store(sql, id, ["What is the weather like?"])).outcome, "had_already");
    assert.deepEqual(await suggested(sql, id), ["Which customers have left us?"]);
    const [row] =
      await sql`select suggested_by, decided_by from prompts where status = 'suggested'`;
    assert.deepEqual({ ...row }, { suggested_by: "muse-1", decided_by: null });
    assert.equal((await store(sql, id, ["What is the weather like?"], ...NEXT)).stored, 1);
    assert.equal((await store(sql, crypto.randomUUID(), [])).outcome, "organization_gone");
  }));

Deno.test("near-duplicates of known, suggested or rejected prompts, and of each other, are dropped", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, [
      "What sold best yesterday, and why?",
      "Какие вопросы задают чаще всего?",
    ]);
    await sql`insert into prompts (organization_id, text, status, suggested_by) values
      (${id}, 'Which customers might leave us soon?', 'rejected', 'm'),
      (${id}, 'How do reviews compare with last month?', 'suggested', 'm'),
      (${id}, 'Where do deliveries run late?', 'paused', null)`;
    const told = await store(sql, id, [
      "What sold best yesterday and why",
      "Which customers might leave us very soon?",
      "how do the REVIEWS compare with last month",
      "Where do deliveries run late??",
      "Какие вопросы  задают чаще всего",
      "Which suppliers raised their prices?",
      "Which suppliers have raised their prices?",
      "short",
      "x".repeat(1001),
      " ?!?!?!?!?!? ",
    ]);
    assert.deepEqual(told, { outcome: "stored", stored: 1, alike: 6, unusable: 3 });
    assert.deepEqual(await suggested(sql, id), [
      "How do reviews compare with last month?",
      "Which suppliers raised their prices?",
    ]);
  }));

Deno.test("similarity and number of suggestions are settings", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday, and why?"]);
    await sql`update scheduler_settings set value = '100' where key = 'weekly_suggestions.similarity_percent'`;
    await sql`update scheduler_settings set value = '2' where key = 'weekly_suggestions.max_suggestions'`;
    const told = await store(sql, id, [
      "What sold best yesterday?",
      "What sold worst yesterday?",
      "What sold at all?",
    ]);
    assert.deepEqual([told.stored, told.alike], [2, 0]);
  }));

Deno.test("twenty at once store one week once", () =>
  withDatabase(async ({ sql, connect }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    const many = connect("postgres", { max: 20 });
    const told = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store(many, id, [`Which of our ${"abcdefghijklmnopqrst"[i]} shops is best?`])),
    );
    assert.equal(
      told.filter((one) =>
        one.outcome === "stored"
      ).length,
      1,
    );
    assert.equal((await suggested(sql, id)).length, 1);
  }));

Deno.test("suggestions that cannot be read are refused, and the week is not marked", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    for (
      const [texts, week] of [[{ prompts: [] }, WEEK], [[1], WEEK], [
        ["A good question?"],
        "2026-03-03",
      ]] as const
    ) {
      assert.equal((await refusal(store(sql, id, texts, week))).code, "22023");
    }
    assert.equal((await store(sql, id, ["A good question?"])).stored, 1);
  }));

Deno.test("a failure marks the week and leaves a line in the activity log", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    const fail = async () =>
      (await sql`select batches.record_suggestion_failure(${id}, ${WEEK}, 'no JSON', ${MONDAY}) as told`)[
        0
      ]!.told;
    assert.deepEqual([await fail(), await fail()], [true, false]);
    assert.equal((await store(sql, id, ["What is the weather like?"])).outcome, "had_already");
    const lines = await sql`select source, severity, message, details from scheduler_activity`;
    assert.deepEqual([...lines], [{
      source: "weekly-suggestions",
      severity: "warning",
      message: `no suggestions for Suggestion tests in the week of ${WEEK}: no JSON`,
      details: { organization_id: id, week: WEEK, reason: "no JSON" },
    }]);
  }));

Deno.test("a suggested prompt is asked from the next daily batch after a person's yes, and not before", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    await store(sql, id, ["Which customers have left us?", "Where do deliveries run late?"]);
    const [yes, no] =
      await sql`select id from prompts where status = 'suggested' order by text desc`;
    const asked = async (day: string) => {
      await sql`select batches.trigger_daily(p_now => ${day + "T08:00Z"})`;
      const rows = await sql`
        select text from batch_tasks join batch_jobs on batch_jobs.id = job_id join prompts on prompts.id = prompt_id
        where batch_date = ${day} order by text`;
      return rows.map((row) => row.text);
    };
    assert.deepEqual(await asked("2026-03-03"), ["What sold best yesterday?"]);
    await sql`select accept_prompt_suggestion(${yes!.id}, 'Ada')`;
    await sql`select reject_prompt_suggestion(${no!.id}, 'Ada')`;
    assert.deepEqual(await asked("2026-03-04"), [
      "What sold best yesterday?",
      "Which customers have left us?",
    ]);
  }));

Deno.test("a person's first decision stays", () =>
  withDatabase(async ({ sql, connect }) => {
    const rest = connect("service_role");
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    await store(sql, id, ["Which customers have left us?", "Where do deliveries run late?"]);
    const prompts = await sql`select id from prompts where status = 'suggested' order by text`;
    const [late, left] = prompts.map((row) => row.id);
    const accepted =
      (await rest`select accept_prompt_suggestion(${late}, ' Ada ') as told`)[0]!.told;
    assert.deepEqual([accepted.decided, accepted.status, accepted.decided_by], [
      true,
      "active",
      "Ada",
    ]);
    const rejected = (await rest`select reject_prompt_suggestion(${left}, 'Ada') as told`)[0]!.told;
    assert.deepEqual([rejected.decided, rejected.status], [true, "rejected"]);
    const again = (await rest`select reject_prompt_suggestion(${late}, 'Bob') as told`)[0]!.told;
    assert.deepEqual([again.decided, again.status, again.decided_by], [false, "active", "Ada"]);
    assert.match(
      (await refusal(rest`select accept_prompt_suggestion(${late}, ' ')`)).message,
      /author must be given/,
    );
    const unknown = crypto.randomUUID();
    const error = await refusal(rest`select accept_prompt_suggestion(${unknown}, 'Ada')`);
    assert.deepEqual([error.code, error.message], ["SD009", `there is no prompt ${unknown}`]);
  }));

Deno.test("a deleted organization leaves no mark", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    await store(sql, id, []);
    await sql`delete from organizations`;
    assert.deepEqual([
      ...await sql`select scope from scheduler_state where scope like '%' || ${id}`,
    ], []);
  }));

Deno.test("continue_weekly_suggestions() keeps one waiting run", () =>
  withDatabase(async ({ sql }) => {
    await setSecret(sql, "project_url", PROJECT_URL);
    await setSecret(sql, "cron_secret", CRON_SECRET);
    const goOn = async () => (await sql`select continue_weekly_suggestions() as told`)[0]!.told;
    assert.deepEqual([await goOn(), await goOn(), await goOn()], [true, true, false]);
    const runs = await sql`select status from scheduler_runs order by scheduled_for`;
    assert.deepEqual(runs.map((run) => run.status), ["dispatched", "queued"]);
  }));

Deno.test("no try begins for an organization that had its week, is deleted, or was tried less than six hours ago", () =>
  withDatabase(async ({ sql }) => {
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    const begin = async (organization: string, week = WEEK, now = MONDAY) =>
      (await sql`select batches.begin_suggestion_try(${organization}, ${week}, ${now}) as told`)[
        0
      ]!
        .told;
    assert.deepEqual([await begin(id), await begin(id)], ["go", "not_now"]);
    assert.equal(await begin(crypto.randomUUID()), "not_now");
    await sql`select batches.release_suggestion_try(${id}, ${WEEK}, ${MONDAY})`;
    assert.equal(await begin(id), "go", "it was given back");
    await store(sql, id, ["Which customers have left us?"]);
    await sql`select batches.release_suggestion_try(${id}, ${WEEK}, ${MONDAY})`;
    assert.deepEqual([await begin(id), await begin(id, ...NEXT)], ["not_now", "go"]);
  }));
