import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/daily-batch.ts";
import { waitUntil } from "../../support/wait-until.ts";

const EVERY_DATE = (from: string, count: number) =>
  Array.from(
    { length: count },
    (_, day) => new Date(Date.parse(from) + day * 86_400_000).toISOString().slice(0, 10),
  );

/** The ticks of both jobs, every 15 minutes. */
async function ticks(
  sql: Parameters<typeof t.trigger>[0],
  from: string,
  to: string,
): Promise<void> {
  for (let at = Date.parse(from); at <= Date.parse(to); at += 15 * 60_000) {
    const moment = new Date(at).toISOString();
    await t.trigger(sql, moment);
    await t.trigger(sql, moment, { zones: true });
  }
}

t.batchTest(
  "moved to the west before its tick: the date that was due is begun once",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Europe/Berlin" });
    await ticks(sql, "2026-03-01T02:00Z", "2026-03-01T02:00Z");
    // 03:05 in Berlin on the 2nd; in New York it is still the 1st.
    await t.move(sql, acme, { time_zone: "America/New_York" }, "2026-03-02T02:05:00Z");
    await ticks(sql, "2026-03-02T02:15Z", "2026-03-03T08:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3));
  },
);

t.batchTest(
  "moved to the west after its tick: the date does not come again there",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Europe/Berlin" });
    await ticks(sql, "2026-03-02T02:00Z", "2026-03-02T02:00Z");
    await t.move(sql, acme, { time_zone: "America/New_York" }, "2026-03-02T02:05:00Z");
    assert.equal(await t.nextBatchAt(sql, acme), "2026-03-03T08:00:00.000Z");
    await ticks(sql, "2026-03-02T02:15Z", "2026-03-03T08:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-02", 2));
  },
);

t.batchTest(
  "moved to the east, where today's time has passed: today's date is begun at once, once",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "America/New_York" });
    await ticks(sql, "2026-03-01T08:00Z", "2026-03-01T08:00Z");
    await t.move(sql, acme, { time_zone: "Asia/Tokyo" }, "2026-03-02T01:00:00Z");
    assert.deepEqual(await t.owedDates(sql, acme), [
      "2026-03-02 owed since 2026-03-02T01:00:00.000Z",
    ]);
    assert.equal(await t.nextBatchAt(sql, acme), "2026-03-02T18:00:00.000Z");
    await ticks(sql, "2026-03-02T01:00Z", "2026-03-02T18:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3));
  },
);

t.batchTest(
  "moved while the dates of both zones are due: both are begun, in order",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Pacific/Pago_Pago" });
    await ticks(sql, "2026-03-01T14:00Z", "2026-03-01T14:00Z");
    // 03:05 of the 2nd in Pago Pago is 04:05 of the 3rd on Kiritimati.
    await t.move(sql, acme, { time_zone: "Pacific/Kiritimati" }, "2026-03-02T14:05:00Z");
    await ticks(sql, "2026-03-02T14:15Z", "2026-03-03T13:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 4));
  },
);

t.batchTest(
  "moved over the date line to the east: a date that never was the latest there is not begun",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Pacific/Pago_Pago" });
    await ticks(sql, "2026-03-01T14:00Z", "2026-03-01T14:00Z");
    // 23:30 of the 1st in Pago Pago is 00:30 of the 3rd on Kiritimati: its latest date there is the 2nd.
    await t.move(sql, acme, { time_zone: "Pacific/Kiritimati" }, "2026-03-02T10:30:00Z");
    await ticks(sql, "2026-03-02T10:30Z", "2026-03-02T13:15Z");
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-01", "2026-03-02", "2026-03-03"]);
    // 02:00 of the 3rd in Pago Pago is 03:00 of the 4th: nothing was due in between.
    const other = await t.organization(sql, "Other", { time_zone: "Pacific/Pago_Pago" });
    await ticks(sql, "2026-03-03T12:45Z", "2026-03-03T12:45Z");
    await t.move(sql, other, { time_zone: "Pacific/Kiritimati" }, "2026-03-03T13:00:00Z");
    await ticks(sql, "2026-03-03T13:00Z", "2026-03-03T13:15Z");
    assert.deepEqual(await t.dates(sql, other), ["2026-03-02", "2026-03-04"], "not the 3rd");
  },
);

t.batchTest("moved over the date line to the west: no date is begun twice", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme", { time_zone: "Pacific/Kiritimati" });
  await ticks(sql, "2026-03-01T13:00Z", "2026-03-01T13:00Z");
  await t.move(sql, acme, { time_zone: "Pacific/Pago_Pago" }, "2026-03-01T13:05:00Z");
  // It has had the 2nd; there the 2nd comes a day later, and the 3rd two days.
  assert.equal(await t.nextBatchAt(sql, acme), "2026-03-03T14:00:00.000Z");
  await ticks(sql, "2026-03-01T13:15Z", "2026-03-04T14:15Z");
  assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-02", 3));
});

t.batchTest("moved there and back again within the window: one date is begun", async ({ sql }) => {
  for (const tickBetween of [false, true]) {
    const acme = await t.organization(sql, "Acme", { time_zone: "Europe/Berlin" });
    await ticks(sql, "2026-03-01T02:00Z", "2026-03-01T02:00Z");
    for (let minute = 1; minute < 14; minute += 2) {
      const time_zone = minute % 4 === 1 ? "Asia/Tokyo" : "America/Los_Angeles";
      await t.move(
        sql,
        acme,
        { time_zone },
        new Date(Date.parse("2026-03-02T02:00Z") + minute * 60_000).toISOString(),
      );
      if (tickBetween) await ticks(sql, "2026-03-02T02:14Z", "2026-03-02T02:14Z");
    }
    await t.move(sql, acme, { time_zone: "Europe/Berlin" }, "2026-03-02T02:14:30Z");
    const owed = (await t.owedDates(sql, acme)).filter((line) => line.includes("owed"));
    assert.deepEqual(owed, tickBetween ? [] : ["2026-03-02 owed since 2026-03-02T02:01:00.000Z"]);
    await ticks(sql, "2026-03-02T02:15Z", "2026-03-03T02:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3), `${tickBetween}`);
    await sql`delete from organizations`;
    await sql`delete from scheduler_state`;
  }
});

t.batchTest(
  "moved from the platform to its own zone and back, before and after the platform's tick: each date once",
  async ({ sql }) => {
    const early = await t.organization(sql, "Early");
    const late = await t.organization(sql, "Late");
    await ticks(sql, "2026-03-01T08:00Z", "2026-03-01T08:00Z");
    await t.move(sql, early, { time_zone: "America/Los_Angeles" }, "2026-03-02T08:01:00Z");
    await ticks(sql, "2026-03-02T08:15Z", "2026-03-02T08:15Z");
    await t.move(sql, late, { time_zone: "America/Los_Angeles" }, "2026-03-02T08:16:00Z");
    await ticks(sql, "2026-03-02T08:30Z", "2026-03-03T07:45Z");
    for (const id of [early, late]) {
      assert.deepEqual(await t.dates(sql, id), EVERY_DATE("2026-03-01", 2));
      assert.equal(await t.nextBatchAt(sql, id), "2026-03-03T11:00:00.000Z");
    }
    // Back: early before the platform's tick of the 3rd, late after it.
    await t.move(sql, early, { time_zone: null }, "2026-03-03T07:59:00Z");
    assert.equal(await t.nextBatchAt(sql, early), null);
    await ticks(sql, "2026-03-03T08:00Z", "2026-03-03T08:00Z");
    await t.move(sql, late, { time_zone: null }, "2026-03-03T08:01:00Z");
    await ticks(sql, "2026-03-03T08:15Z", "2026-03-04T08:00Z");
    for (const id of [early, late]) {
      assert.deepEqual(await t.dates(sql, id), EVERY_DATE("2026-03-01", 4));
      assert.equal(await t.nextBatchAt(sql, id), null);
    }
  },
);

t.batchTest(
  "moved to the east and on to the west before a tick: the later date is begun alone",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", {
      time_zone: "America/Puerto_Rico",
      daily_run_at: "22:00",
    });
    await ticks(sql, "2026-03-01T02:00Z", "2026-03-01T02:00Z");
    // In Puerto Rico the time of the 1st has not come, in Tokyo that of the 2nd has, in New York that of the 1st has.
    await t.move(sql, acme, { time_zone: "Asia/Tokyo" }, "2026-03-01T19:01:00Z");
    await t.move(sql, acme, { time_zone: "America/New_York" }, "2026-03-01T19:04:00Z");
    await ticks(sql, "2026-03-01T19:15Z", "2026-03-01T19:15Z");
    assert.equal(await t.nextBatchAt(sql, acme), "2026-03-03T08:00:00.000Z");
    await ticks(sql, "2026-03-01T19:30Z", "2026-03-03T08:15Z");
    assert.deepEqual(await t.dates(sql, acme), ["2026-02-28", "2026-03-02", "2026-03-03"]);
  },
);

t.batchTest(
  "another hour counts like another zone: an earlier one is due at once, a later one does not repeat the date",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "UTC", daily_run_at: "12:00" });
    await ticks(sql, "2026-03-01T12:00Z", "2026-03-01T12:00Z");
    const at = (daily_run_at: string) => ({ time_zone: "UTC", daily_run_at });
    await t.move(sql, acme, at("08:00"), "2026-03-02T09:00:00Z");
    await ticks(sql, "2026-03-02T09:00Z", "2026-03-02T09:00Z");
    await t.move(sql, acme, at("23:30"), "2026-03-02T09:01:00Z");
    await ticks(sql, "2026-03-02T09:15Z", "2026-03-03T23:30Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3));
  },
);

t.batchTest("after an outage of days only the latest date is begun", async ({ sql }) => {
  const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" });
  await ticks(sql, "2026-03-01T18:00Z", "2026-03-01T18:00Z");
  await ticks(sql, "2026-03-05T19:00Z", "2026-03-05T19:15Z");
  assert.deepEqual(await t.dates(sql, acme), ["2026-03-02", "2026-03-06"]);
});

t.batchTest(
  "a disabled organization gets no batch; enabled again it begins with the next date",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme", { time_zone: "Asia/Tokyo" });
    await ticks(sql, "2026-03-01T18:00Z", "2026-03-01T18:00Z");
    const enable = (enabled: boolean, at: string) =>
      sql`update organizations set enabled = ${enabled}, updated_at = ${at} where id = ${acme}`;
    await enable(false, "2026-03-02T10:00Z");
    await ticks(sql, "2026-03-02T18:00Z", "2026-03-02T18:15Z");
    await enable(true, "2026-03-02T19:00Z");
    await ticks(sql, "2026-03-02T19:00Z", "2026-03-03T18:00Z");
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02", "2026-03-04"]);

    // What it was owed is over too.
    await t.move(sql, acme, { time_zone: "Pacific/Kiritimati" }, "2026-03-04T18:01:00Z");
    await enable(false, "2026-03-04T18:02Z");
    await enable(true, "2026-03-04T18:03Z");
    await ticks(sql, "2026-03-04T18:15Z", "2026-03-05T13:15Z");
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02", "2026-03-04", "2026-03-06"]);

    // An organization that follows the platform, switched off and on between the platform's time and its tick.
    const follower = await t.organization(sql, "Follower");
    for (const [enabled, at] of [[false, "2026-03-06T08:05Z"], [true, "2026-03-06T08:06Z"]]) {
      await sql`update organizations set enabled = ${enabled!}, updated_at = ${at!} where id = ${follower}`;
    }
    await ticks(sql, "2026-03-06T08:15Z", "2026-03-06T08:15Z");
    assert.deepEqual(await t.dates(sql, follower), []);
    await ticks(sql, "2026-03-07T08:00Z", "2026-03-08T08:00Z");
    assert.deepEqual(await t.dates(sql, follower), ["2026-03-07", "2026-03-08"]);
  },
);

t.batchTest(
  "a new organization that moves twice before its first date gets no date that was over when it was created",
  async ({ sql }) => {
    for (const to of [{ time_zone: "America/Fortaleza" }, { time_zone: null }]) {
      // 02:00 of the 2nd there: the 1st is over.
      const acme = await t.organization(sql, "Acme", {
        time_zone: "Africa/Mbabane",
        daily_run_at: "19:58",
        created_at: new Date("2026-03-02T00:00:00Z"),
      });
      await t.move(
        sql,
        acme,
        { time_zone: "America/Denver", daily_run_at: "22:10" },
        "2026-03-02T03:42:00Z",
      );
      // It is 00:59 of the 2nd there, or 22:59 of the 1st for the platform: the 1st was over before.
      await t.move(sql, acme, to, "2026-03-02T03:59:00Z");
      await ticks(sql, "2026-03-02T04:00Z", "2026-03-03T08:15Z");
      assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-02", 2), `${to.time_zone}`);
      await sql`delete from organizations`;
      await sql`delete from scheduler_state`;
    }
    // To the platform, where the date that was over at its creation is still to come.
    const acme = await t.organization(sql, "Acme", {
      time_zone: "Asia/Tokyo",
      created_at: new Date("2026-03-01T19:00:00Z"),
    });
    await t.move(sql, acme, { time_zone: null }, "2026-03-01T20:00:00Z");
    await ticks(sql, "2026-03-02T08:00Z", "2026-03-04T08:15Z");
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-03", 2));
    assert.equal(await t.nextBatchAt(sql, acme), null);
  },
);

t.batchTest(
  "a move does not bring back a platform's date that the organization missed",
  async ({ sql }) => {
    const late = await t.organization(sql, "Late", {}, 0);
    const made = await t.organization(sql, "New", { created_at: new Date("2026-03-02T08:01:00Z") });
    await t.move(sql, made, { time_zone: "America/Los_Angeles" }, "2026-03-02T08:05:00Z");
    await ticks(sql, "2026-03-02T08:15Z", "2026-03-02T08:15Z");
    await sql`insert into prompts (organization_id, text) values (${late}, 'at last')`;
    await t.move(sql, late, { time_zone: "America/Los_Angeles" }, "2026-03-02T15:00:00Z");
    await ticks(sql, "2026-03-02T15:00Z", "2026-03-03T11:00Z");
    assert.deepEqual(await t.dates(sql, late), ["2026-03-03"]);
    // The 2nd had come in New York before the organization was created, so it is over.
    assert.deepEqual(await t.dates(sql, made), ["2026-03-03"]);
  },
);

t.batchTest(
  "an owed date that the platform's tick finds is begun with the platform's date, not lost behind it",
  async ({ sql }) => {
    const acme = await t.organization(sql, "Acme");
    await t.trigger(sql, "2026-03-01T08:00Z");
    // There and back between the platform's time and its tick; then no tick comes for a day.
    await t.move(sql, acme, { time_zone: "Asia/Tokyo" }, "2026-03-02T08:01:00Z");
    await t.move(sql, acme, { time_zone: null }, "2026-03-02T08:02:00Z");
    assert.deepEqual(await t.owedDates(sql, acme), [
      "2026-03-02 owed since 2026-03-02T08:01:00.000Z",
    ]);
    assert.equal(await t.nextBatchAt(sql, acme), null);
    assert.equal((await t.trigger(sql, "2026-03-03T08:00Z")).batches, 2);
    assert.equal((await t.trigger(sql, "2026-03-03T08:00Z", { zones: true })).batches, 0);
    assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3));
  },
);

t.batchTest(
  "an owed date is kept with its state, begun or dropped, until the next one is taken",
  async ({ sql }) => {
    const away = { time_zone: "America/New_York" };
    const make = async (name: string, prompts = 1) => {
      const id = await t.organization(sql, name, { time_zone: "Europe/Berlin" }, prompts);
      await t.trigger(sql, "2026-03-01T02:00Z", { zones: true });
      await t.move(sql, id, away, "2026-03-02T02:05:00Z");
      return id;
    };
    const state = async (id: string) =>
      (await t.owedDates(sql, id)).map((line) => line.split(" ").slice(0, 2).join(" "));
    const [begun, had, empty, off] = [
      await make("Begun"),
      await make("Had"),
      await make("Empty", 0),
      await make("Off"),
    ];
    await sql`select scheduler.mark_daily_runs(${
      sql.json({ [`organization:${had}`]: "2026-03-02" })
    }, '2026-03-02')`;
    await sql`update organizations set enabled = false, updated_at = '2026-03-02 02:06Z' where id = ${off}`;
    await t.trigger(sql, "2026-03-02T02:15Z", { zones: true });
    assert.deepEqual(await state(begun), ["2026-03-02 begun"]);
    assert.deepEqual(await state(had), ["2026-03-02 begun"]);
    assert.deepEqual(await state(empty), ["2026-03-02 dropped"]);
    assert.deepEqual(await state(off), ["2026-03-02 dropped"]);
    assert.deepEqual([await t.dates(sql, empty), await t.dates(sql, off)], [[], ["2026-03-01"]]);

    // Owed again by another move, the next one takes its place.
    await t.trigger(sql, "2026-03-03T08:00Z", { zones: true });
    await t.move(sql, begun, { time_zone: "Asia/Tokyo" }, "2026-03-03T19:00:00Z");
    assert.deepEqual(await state(begun), ["2026-03-02 begun", "2026-03-04 owed"]);
    await t.trigger(sql, "2026-03-03T19:15Z", { zones: true });
    assert.deepEqual(await state(begun), ["2026-03-04 begun"]);
  },
);

t.batchTest(
  "moved while a trigger is at work, whichever commits first: the date is begun once, the next at its new time",
  async (db) => {
    const { sql } = db;
    for (const first of ["move", "trigger"]) {
      const acme = await t.organization(sql, "Acme", { time_zone: "Europe/Berlin" });
      await ticks(sql, "2026-03-01T02:00Z", "2026-03-01T02:00Z");
      const move = (query: Parameters<typeof t.move>[0]) =>
        t.move(query, acme, { time_zone: "Asia/Tokyo" }, "2026-03-02T02:05:00Z");
      const trigger = (query: Parameters<typeof t.trigger>[0]) =>
        t.trigger(query, "2026-03-02T02:05:00Z", { zones: true });
      const [other] = await db.connect().begin(async (holder) => {
        await (first === "move" ? move(holder) : trigger(holder));
        const other = first === "move" ? trigger(sql) : move(sql);
        await waitUntil("the one waiting for the other", async () => {
          const rows = await db.admin`
            select from pg_stat_activity where datname = ${db.name} and wait_event_type = 'Lock'`;
          return rows.length > 0;
        });
        // An array, so that the transaction does not wait for what waits for it.
        return [other] as const;
      });
      await other;
      await ticks(sql, "2026-03-02T02:15Z", "2026-03-02T18:00Z");
      assert.deepEqual(await t.dates(sql, acme), EVERY_DATE("2026-03-01", 3), `${first} first`);
      assert.equal(await t.nextBatchAt(sql, acme), "2026-03-03T18:00:00.000Z");
      await sql`delete from organizations`;
      await sql`delete from scheduler_state`;
    }
  },
);

t.batchTest(
  "a change of the platform moves its job, and organizations that take zone or hour from it",
  async ({ sql }) => {
    const follower = await t.organization(sql, "Follower");
    const hour = await t.organization(sql, "Hour", { daily_run_at: "05:00" });
    const zone = await t.organization(sql, "Zone", { time_zone: "Asia/Tokyo" });
    const entry = async () => {
      const [row] = await sql`
      select schedule, time_zone from scheduler_jobs where name = 'daily-batch-trigger'`;
      return [row!.schedule, row!.time_zone];
    };
    assert.deepEqual(await entry(), ["*/15 3-5 * * *", "America/New_York"]);
    await sql`update scheduler_settings set value = '"Europe/Berlin"' where key = 'daily_batch.time_zone'`;
    await sql`update scheduler_settings set value = '"22:30"' where key = 'daily_batch.run_at'`;
    assert.deepEqual(await entry(), ["*/15 22-23,0-1 * * *", "Europe/Berlin"]);
    await sql`update scheduler_settings set value = '1' where key = 'daily_batch.window_hours'`;
    assert.deepEqual(await entry(), ["*/15 22-23 * * *", "Europe/Berlin"]);
    const local = async (id: string, at: string) => {
      const [row] = await sql`
      select to_char(next_batch_at at time zone ${at}, 'HH24:MI') as local from organizations
      where id = ${id} and not exists (select from batches.owed_dates where organization_id = id and state = 'owed')`;
      return row?.local;
    };
    // The change made its latest date due.
    await sql`select trigger_daily_batch(p_zones => true)`;
    assert.equal(await local(hour, "Europe/Berlin"), "05:00");
    assert.equal(await local(zone, "Asia/Tokyo"), "22:30");
    assert.equal(await local(follower, "UTC"), null);
  },
);

t.batchTest(
  "a wrong setting of the daily batch is refused when it is written",
  async ({ sql }) => {
    for (
      const [key, wrong, message] of [
        ["time_zone", '"Europe/Atlantis"', /Europe\/Atlantis/],
        ["time_zone", "5", /must be a text/],
        ["time_zone", "null", /must be a text/],
        ["run_at", '"3:00"', /must be a local time "HH:MM"/],
        ["run_at", '"24:00"', /must be a local time "HH:MM"/],
        ["run_at", "null", /must be a local time/],
        ["window_hours", "0", /whole number from 1 to 12/],
        ["window_hours", "13", /whole number from 1 to 12/],
        ["window_hours", '"3"', /whole number from 1 to 12/],
      ] as const
    ) {
      const error = await refusal(
        sql.unsafe(
          `update scheduler_settings set value = '${wrong}' where key = 'daily_batch.${key}'`,
        ),
      );
      assert.match(error.message, message, wrong);
      assert.equal(error.code, "22023");
    }
    for (
      const statement of [
        "delete from scheduler_settings where key = 'daily_batch.run_at'",
        "update scheduler_settings set key = 'x.y' where key = 'daily_batch.run_at'",
      ]
    ) {
      assert.match(
        (await refusal(sql.unsafe(statement))).message,
        /cannot remove the setting daily_batch.run_at/,
      );
    }
  },
);

t.batchTest(
  "an unknown zone or an impossible hour of an organization is refused when it is written",
  async ({ sql }) => {
    const good = await t.organization(sql, "Good", { time_zone: "UTC" });
    const service = sql;
    for (
      const [values, message] of [
        [
          { time_zone: "Europe/Atlantis" },
          /cannot write the organization Bad: cannot use the time zone "Europe\/Atlantis"/,
        ],
        [{ time_zone: "EST" }, /cannot use the time zone "EST": it must be an IANA name/],
        [{ time_zone: "EST5EDT" }, /cannot use the time zone "EST5EDT"/],
        [{ time_zone: "Nowhere-3" }, /Nowhere-3/],
        [{ time_zone: "posix/Europe/Berlin" }, /posix\/Europe\/Berlin/],
        [{ time_zone: "europe/berlin" }, /europe\/berlin/],
        [{ time_zone: "" }, /time zone ""/],
        [
          { daily_run_at: "24:00" },
          /daily_run_at must be a whole minute from 00:00 to 23:59, got 24:00/,
        ],
        [{ daily_run_at: "03:00:30" }, /daily_run_at must be a whole minute/],
      ] as const
    ) {
      const error = await refusal(t.organization(service, "Bad", values));
      assert.match(error.message, message);
      assert.equal(error.code, "22023");
      const changed = await refusal(
        "time_zone" in values
          ? sql`update organizations set name = 'Bad', time_zone = ${values.time_zone} where id = ${good}`
          : sql`update organizations set name = 'Bad', daily_run_at = ${values.daily_run_at} where id = ${good}`,
      );
      assert.match(changed.message, message);
    }
    assert.equal((await sql`select from organizations`).length, 1);
  },
);

t.batchTest(
  "service_role writes organizations, and the cursor follows; a deleted one leaves no mark",
  async (db) => {
    const service = db.connect("service_role");
    const acme = await t.organization(service, "Acme", { time_zone: "Asia/Tokyo" });
    assert.equal(await t.nextBatchAt(service, acme), "2026-01-01T18:00:00.000Z");
    await t.trigger(db.sql, "2026-03-02T18:00Z", { zones: true });
    await service`update organizations set time_zone = 'Europe/Berlin' where id = ${acme}`;
    await service`delete from organizations where id = ${acme}`;
    assert.deepEqual([...await db.sql`select from scheduler_state`], []);
  },
);
