import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

type Clock = [zone: string, hour: string];
interface Move {
  from: Clock;
  to: Clock;
  /** The organization follows the platform afterwards. */
  follows?: true;
  last?: string;
  cursor?: string;
  /** The latest date of the old clock is due and not begun. */
  isDue?: true;
  at: string;
}

const berlin: Clock = ["Europe/Berlin", "03:00"];
const newYork: Clock = ["America/New_York", "03:00"];
const tokyo: Clock = ["Asia/Tokyo", "03:00"];
const pagoPago: Clock = ["Pacific/Pago_Pago", "03:00"];
const kiritimati: Clock = ["Pacific/Kiritimati", "03:00"];

const cases: [name: string, move: Move, owed: string[], cursor: string | null][] = [
  // 03:05 in Berlin is 21:05 of the day before in New York.
  [
    "to the west before the tick: the date that was due is owed",
    {
      from: berlin,
      to: newYork,
      last: "2026-03-01",
      cursor: "2026-03-02T02:00Z",
      isDue: true,
      at: "2026-03-02T02:05Z",
    },
    ["2026-03-02"],
    "2026-03-03T08:00Z",
  ],
  [
    "to the west after the tick: nothing is owed, and the date does not come again",
    {
      from: berlin,
      to: newYork,
      last: "2026-03-02",
      cursor: "2026-03-03T02:00Z",
      at: "2026-03-02T02:05Z",
    },
    [],
    "2026-03-03T08:00Z",
  ],
  [
    "to the east, where today's time has passed: today's date is owed",
    {
      from: newYork,
      to: tokyo,
      last: "2026-03-01",
      cursor: "2026-03-02T08:00Z",
      at: "2026-03-02T01:00Z",
    },
    ["2026-03-02"],
    "2026-03-02T18:00Z",
  ],
  [
    "to the east, where today's time is still to come: nothing is owed",
    {
      from: newYork,
      to: berlin,
      last: "2026-03-01",
      cursor: "2026-03-02T08:00Z",
      at: "2026-03-02T01:00Z",
    },
    [],
    "2026-03-02T02:00Z",
  ],
  // 03:05 of the 2nd in Pago Pago is 04:05 of the 3rd on Kiritimati.
  [
    "to the east while both dates are due: both are owed",
    {
      from: pagoPago,
      to: kiritimati,
      last: "2026-03-01",
      cursor: "2026-03-02T14:00Z",
      isDue: true,
      at: "2026-03-02T14:05Z",
    },
    ["2026-03-02", "2026-03-03"],
    "2026-03-03T13:00Z",
  ],
  [
    "over the date line to the west: the next date is the one after the last",
    {
      from: kiritimati,
      to: pagoPago,
      last: "2026-03-02",
      cursor: "2026-03-02T13:00Z",
      at: "2026-03-01T13:05Z",
    },
    [],
    "2026-03-03T14:00Z",
  ],
  [
    "a date that is owed already is not owed again",
    {
      from: tokyo,
      to: berlin,
      last: "2026-03-03",
      cursor: "2026-03-02T18:00Z",
      isDue: true,
      at: "2026-03-02T19:00Z",
    },
    [],
    "2026-03-04T02:00Z",
  ],
  [
    "a date that was had in vain (due again by a cursor put back) is not owed",
    {
      from: berlin,
      to: tokyo,
      last: "2026-03-02",
      cursor: "2026-03-02T02:00Z",
      isDue: true,
      at: "2026-03-02T02:05Z",
    },
    [],
    "2026-03-02T18:00Z",
  ],
  // Created at 02:00 with the hour 19:58: the 1st was over then, and no mark says so.
  [
    "the cursor says what is over where no mark does",
    {
      from: ["America/Denver", "22:10"],
      to: ["America/Fortaleza", "03:00"],
      cursor: "2026-03-03T05:10Z",
      at: "2026-03-02T03:59Z",
    },
    [],
    "2026-03-02T06:00Z",
  ],
  [
    "an organization that never had a date is owed the one that was due",
    {
      from: berlin,
      to: newYork,
      cursor: "2026-03-02T02:00Z",
      isDue: true,
      at: "2026-03-02T02:05Z",
    },
    ["2026-03-02"],
    "2026-03-03T08:00Z",
  ],
  [
    "after an outage of days the latest date alone is owed",
    {
      from: berlin,
      to: newYork,
      last: "2026-03-01",
      cursor: "2026-03-02T02:00Z",
      isDue: true,
      at: "2026-03-05T02:05Z",
    },
    ["2026-03-05"],
    "2026-03-06T08:00Z",
  ],
  [
    "to the platform after its tick: nothing is owed, and the platform's tick serves it",
    {
      from: ["America/Los_Angeles", "03:00"],
      to: newYork,
      follows: true,
      last: "2026-03-02",
      cursor: "2026-03-03T11:00Z",
      at: "2026-03-03T07:59Z",
    },
    [],
    null,
  ],
  [
    "to the platform, whose time of today has passed: today's date is owed",
    {
      from: ["America/Los_Angeles", "03:00"],
      to: newYork,
      follows: true,
      last: "2026-03-02",
      cursor: "2026-03-03T11:00Z",
      at: "2026-03-03T08:01Z",
    },
    ["2026-03-03"],
    null,
  ],
  [
    "to the platform, whose next dates were had: their marks are enough",
    {
      from: kiritimati,
      to: newYork,
      follows: true,
      last: "2026-03-03",
      cursor: "2026-03-03T13:00Z",
      at: "2026-03-02T13:05Z",
    },
    [],
    null,
  ],
  [
    "to the platform, whose next date is over without a mark: it needs a cursor past it",
    {
      from: tokyo,
      to: newYork,
      follows: true,
      cursor: "2026-03-02T18:00Z",
      at: "2026-03-01T20:00Z",
    },
    [],
    "2026-03-03T08:00Z",
  ],
  [
    "from the platform before its tick: the platform's date is owed",
    {
      from: newYork,
      to: ["America/Los_Angeles", "03:00"],
      last: "2026-03-01",
      isDue: true,
      at: "2026-03-02T08:01Z",
    },
    ["2026-03-02"],
    "2026-03-03T11:00Z",
  ],
  [
    "from the platform after its tick: nothing is owed",
    {
      from: newYork,
      to: ["America/Los_Angeles", "03:00"],
      last: "2026-03-02",
      at: "2026-03-02T08:16Z",
    },
    [],
    "2026-03-03T11:00Z",
  ],
  [
    "the platform itself moves to an earlier hour, before its tick: its followers are owed the day",
    {
      from: newYork,
      to: ["America/New_York", "01:00"],
      follows: true,
      last: "2026-03-01",
      isDue: true,
      at: "2026-03-02T08:05Z",
    },
    ["2026-03-02"],
    null,
  ],
  [
    "another hour on the same day: earlier than now is owed at once",
    {
      from: ["UTC", "12:00"],
      to: ["UTC", "08:00"],
      last: "2026-03-01",
      cursor: "2026-03-02T12:00Z",
      at: "2026-03-02T09:00Z",
    },
    ["2026-03-02"],
    "2026-03-03T08:00Z",
  ],
  [
    "another hour on the same day: later than now does not come again",
    {
      from: ["UTC", "08:00"],
      to: ["UTC", "23:30"],
      last: "2026-03-02",
      cursor: "2026-03-03T08:00Z",
      at: "2026-03-02T09:01Z",
    },
    [],
    "2026-03-03T23:30Z",
  ],
  // 02:30 is skipped in Berlin on 29 March: its time comes at 03:00, which is 01:00 UTC.
  [
    "a time in a gap of the new zone comes when the gap ends",
    {
      from: ["UTC", "00:30"],
      to: ["Europe/Berlin", "02:30"],
      last: "2026-03-28",
      cursor: "2026-03-29T00:30Z",
      at: "2026-03-29T00:10Z",
    },
    [],
    "2026-03-29T01:00Z",
  ],
];

Deno.test("decide_move(): what is owed after a move, and the cursor", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, move, owed, cursor] of cases) {
      await test.step(name, async () => {
        const [row] = await sql`
          select owed_dates::text[] as owed, next_batch_at as cursor from batches.decide_move(
            (${move.from[0]}, ${move.from[1]})::batches.clock, (${move.to[0]}, ${
          move.to[1]
        })::batches.clock,
            ${move.follows ?? false}, ${move.last ?? null}, ${move.cursor ?? null}, ${
          move.isDue ?? false
        }, ${move.at})`;
        assert.deepEqual(row!.owed, owed);
        assert.deepEqual(row!.cursor, cursor === null ? null : new Date(cursor));
      });
    }
  });
});
