import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import {
  action,
  addDevice,
  history,
  later,
  NOON,
  runJob,
  schedule,
} from "../../support/scheduled-actions.ts";

const nobody = "00000000-0000-4000-8000-000000000000";

const refused: [kind: string | null, values: Record<string, unknown>, message: RegExp][] = [
  [null, {}, /p_kind must be reminder, callback, edge_function or engagement_command, got null/],
  ["email", {}, /p_kind must be .*, got 'email'/],
  ["reminder", { message: null }, /p_message must be given, a reminder needs it/],
  [
    "reminder",
    { url: "https://a.example" },
    /p_url does not belong to a reminder, which needs p_message/,
  ],
  ["reminder", { message: "" }, /p_message must have 1 to 1000 characters and not be blank, got 0/],
  ["reminder", { message: " \n" }, /not be blank/],
  ["reminder", { message: "x".repeat(1001) }, /got 1001/],
  [
    "callback",
    { url: "http://a.example/" },
    /p_url must be an https URL .*, got 'http:\/\/a.example\/'/,
  ],
  ["callback", { url: "https://ann:pw@a.example/" }, /without user and password/],
  ["callback", { url: "https://a.example/b c" }, /p_url must be/],
  ["callback", { url: "https://a.example/" + "x".repeat(2000) }, /at most 2000/],
  [
    "edge_function",
    { function_name: "../rest" },
    /p_function_name must be the slug of an edge function, got '..\/rest'/,
  ],
  ["engagement_command", {}, /p_device_id must be given/],
  ["engagement_command", { device_id: nobody }, /there is no 00000000-/],
  [
    "reminder",
    { command_expires_seconds: 5 },
    /p_command_expires_seconds does not belong to a reminder/,
  ],
  ["reminder", { payload: [1] }, /p_payload must be a JSON object, got array/],
  [
    "reminder",
    { payload: { x: "x".repeat(20_000) } },
    /p_payload must have at most 16384 bytes, got 20009/,
  ],
  ["reminder", { max_attempts: 0 }, /p_max_attempts must be 1 to 100, got 0/],
  ["reminder", { backoff_base_seconds: 0 }, /p_backoff_base_seconds must be 1 to 86400, got 0/],
  ["reminder", { backoff_cap_seconds: null }, /p_backoff_cap_seconds must be 1 to 86400, got null/],
  ["reminder", { due_at: null }, /p_due_at .* or p_schedule .*; neither was given/],
  ["reminder", { due_at: NOON, schedule: "0 9 * * *" }, /both were given/],
  ["reminder", { schedule: "61 * * * *" }, /61/],
  ["reminder", { schedule: "90 seconds" }, /p_schedule must be whole minutes, got '90 seconds'/],
  ["reminder", { schedule: "0 0 30 2 *" }, /p_schedule '0 0 30 2 \*' never occurs/],
  ["reminder", { schedule: "0 9 * * *", time_zone: "EST" }, /America\/New_York/],
  ["reminder", { name: "x".repeat(201) }, /p_name must have at most 200 characters, got 201/],
];

Deno.test("schedule_action() refuses an action with a fault, and says the remedy", () =>
  withDatabase(async ({ sql }) => {
    for (const [kind, values, message] of refused) {
      const error = await refusal(schedule(sql, kind as string, values));
      assert.equal(error.code, "22023", `${kind} ${JSON.stringify(values)}: ${error.message}`);
      assert.match(`${error.message} ${error.hint ?? ""}`, message);
    }
    const endless = await refusal(
      sql`select schedule_action('reminder', p_due_at => 'infinity', p_message => 'm')`,
    );
    assert.match(endless.message, /p_due_at must be a moment, got infinity/);
    assert.equal((await sql`select from scheduled_actions`).length, 0);
  }));

Deno.test("schedule_action() called again with its id schedules nothing twice", () =>
  withDatabase(async ({ sql }) => {
    const id = crypto.randomUUID();
    const first = await schedule(sql, "reminder", { id });
    assert.deepEqual([first.id, first.created, first.status], [id, true, "scheduled"]);
    const again = await schedule(sql, "reminder", { id, message: "another" });
    assert.deepEqual(again, { ...first, created: false });
    assert.equal((await action(sql, id)).message, "water the plants");
  }));

Deno.test("the service key may schedule, cancel, retry and read actions, and change them in no other way", () =>
  withDatabase(async (db) => {
    const service = db.connect("service_role");
    const { id } = await schedule(service, "reminder");
    assert.equal((await service`select from scheduled_actions`).length, 1);
    const [row] =
      await service`select cancel_scheduled_action(${id}, 'no longer wanted', 'ann') as answer`;
    assert.equal(row!.answer.cancelled, true);
    for (
      const statement of [
        "update scheduled_actions set due_at = now()",
        "delete from scheduled_actions",
        "insert into scheduled_action_occurrences select * from scheduled_action_occurrences",
        "select actions.end_occurrences(null, null, null, null, null, now())",
        "select actions.catch_up(null, now())",
      ]
    ) assert.equal((await refusal(service.unsafe(statement))).code, "42501", statement);
  }));

Deno.test("the table refuses each row that schedule_action() refuses", () =>
  withDatabase(async ({ sql }) => {
    const insert = (columns: string, values: string) =>
      sql.unsafe(
        `insert into scheduled_actions (due_at, next_attempt_at, ${columns}) values (now(), now(), ${values})`,
      );
    for (
      const [columns, values, constraint] of [
        ["kind", "'reminder'", /reminder_has_message/],
        ["kind, message, url", "'reminder', 'm', 'https://a.example'", /callback_has_url/],
        ["kind, url", "'callback', 'https://u:p@a.example'", /url_check/],
        ["kind, device_id", "'engagement_command', gen_random_uuid()", /command_has_type/],
        ["kind, message, claim_token", "'reminder', 'm', gen_random_uuid()", /claim_is_whole/],
      ] as const
    ) assert.match((await refusal(insert(columns, values))).message, constraint);
  }));

Deno.test("a cancelled action is not executed, and a recurring one has no further occurrence", () =>
  withDatabase(async ({ sql }) => {
    const cancel = async (id: string) =>
      (await sql`select actions.cancel_action(${id}, 'changed my mind', 'ann', ${NOON}) as answer`)[
        0
      ]!
        .answer;
    const { id } = await schedule(sql, "reminder", { schedule: "0 12 * * *", now: later(-60) });
    assert.deepEqual(await cancel(id), {
      cancelled: true,
      status: "cancelled",
      was_being_executed: false,
    });
    assert.equal((await runJob(sql, { at: later(86_400) })).summary, "no action was executed");
    assert.deepEqual(await history(sql, id), [`cancelled 0 ${NOON.toISOString()}`]);
    assert.deepEqual(await cancel(id), {
      cancelled: false,
      reason: "it is over: cancelled",
      status: "cancelled",
    });
    const unknown = await refusal(cancel(nobody));
    assert.equal(unknown.code, "SD006");
    assert.match(unknown.message, /there is none with the id 0000/);
  }));

Deno.test("each occurrence has its own key, made of the action and its time alone", () =>
  withDatabase(async ({ sql }) => {
    const device = await addDevice(sql);
    const keys = new Set<string>();
    for (let n = 0; n < 3; n++) {
      keys.add((await schedule(sql, "engagement_command", { device_id: device })).idempotency_key);
    }
    const { id, idempotency_key } = await schedule(sql, "reminder");
    keys.add(idempotency_key);
    await sql`update scheduled_actions set due_at = due_at + interval '1 microsecond' where id = ${id}`;
    keys.add((await action(sql, id)).idempotency_key);
    assert.equal(keys.size, 5);
    for (const zone of ["UTC", "Asia/Kathmandu"]) {
      const rows = await sql.begin(async (transaction) => {
        await transaction`select set_config('timezone', ${zone}, true), set_config('datestyle', 'german', true)`;
        return await transaction`
          update scheduled_actions set due_at = ${NOON} where id = ${id} returning idempotency_key`;
      });
      assert.equal(rows[0]!.idempotency_key, idempotency_key);
    }
  }));
