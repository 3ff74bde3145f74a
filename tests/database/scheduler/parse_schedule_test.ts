import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";

const all = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

interface Parsed {
  minutes: number[];
  hours: number[];
  days_of_month: number[];
  months: number[];
  days_of_week: number[];
  days_must_both_match: boolean;
  follows_real_clock: boolean;
}

const every: Parsed = {
  minutes: all(0, 59),
  hours: all(0, 23),
  days_of_month: all(1, 31),
  months: all(1, 12),
  days_of_week: all(0, 6),
  days_must_both_match: true,
  follows_real_clock: true,
};

const READ: Record<string, Partial<Parsed>> = {
  "* * * * *": {},
  "  *\t* *  * * \n": {},
  "*/15 * * * *": { minutes: [0, 15, 30, 45] },
  "5-20/5 * * * *": { minutes: [5, 10, 15, 20] },
  "5-21/5 * * * *": { minutes: [5, 10, 15, 20] },
  "9,3,3,1-2 * * * *": { minutes: [1, 2, 3, 9] },
  "05 * * * *": { minutes: [5] },
  "59 * * * *": { minutes: [59] },
  "*/59 * * * *": { minutes: [0, 59] },
  "* 0-23 * * *": {},
  "* */1 * * *": {},
  "* 0-11,12-23 * * *": {},
  "* 1-23 * * *": { hours: all(1, 23), follows_real_clock: false },
  "* * 1,15 * *": { days_of_month: [1, 15] },
  "* * */31 * *": { days_of_month: [1] },
  "* * * jan,DEC *": { months: [1, 12] },
  "* * * Mar-may *": { months: [3, 4, 5] },
  "* * * jan-dec/3 *": { months: [1, 4, 7, 10] },
  "* * * * 0": { days_of_week: [0] },
  "* * * * 7": { days_of_week: [0] },
  "* * * * 0,7": { days_of_week: [0] },
  "* * * * sun": { days_of_week: [0] },
  "* * * * 5-7": { days_of_week: [0, 5, 6] },
  "* * * * fri-sun": { days_of_week: [0, 5, 6] },
  "* * * * Mon-FRI": { days_of_week: [1, 2, 3, 4, 5] },
  "* * * * sun-tue": { days_of_week: [0, 1, 2] },
  "* * * * sun-sun": { days_of_week: [0] },
  "* * * * 1-7/2": { days_of_week: [0, 1, 3, 5] },
  "* * * * */2": { days_of_week: [0, 2, 4, 6] },
  "* * * * */7": { days_of_week: [0] },
  "* * * * 0-7": {},
  "* * 1 * 1": { days_of_month: [1], days_of_week: [1], days_must_both_match: false },
  "* * */2 * 1": { days_of_month: all(1, 31).filter((day) => day % 2), days_of_week: [1] },
  "* * *,5 * 1": { days_of_week: [1] },
  "* * 5,* * 1": { days_of_week: [1], days_must_both_match: false },
  "* * 1-31 * 0-6": { days_must_both_match: false },
};

Deno.test("parse_schedule() reads what cron reads", () =>
  withDatabase(async ({ sql }) => {
    for (const [schedule, parsed] of Object.entries(READ)) {
      const [row] = await sql`select (scheduler.parse_schedule(${schedule})).*`;
      assert.deepEqual({ ...row }, { ...every, ...parsed }, schedule);
    }
  }));

// schedule → what the message says of it, and what the hint proposes
const REFUSED: [string, string, string?][] = [
  ["", "it is empty"],
  ["   ", "it is empty"],
  ["* * * *", "it must have five fields, got 4"],
  ["* * * * * * *", "it must have five fields, got 7"],
  ["0 */5 * * * *", "it has six fields, seconds are not supported", "*/5 * * * *"],
  ["30 seconds", "an interval of seconds is not supported", "* * * * *"],
  ["@hourly", '"@hourly" is not five fields', "write 0 * * * *"],
  ["@daily", '"@daily" is not five fields', "write 0 0 * * *"],
  ["@midnight", '"@midnight" is not five fields', "write 0 0 * * *"],
  ["@weekly", '"@weekly" is not five fields', "write 0 0 * * 0"],
  ["@Monthly", '"@Monthly" is not five fields', "write 0 0 1 * *"],
  ["@yearly", '"@yearly" is not five fields', "write 0 0 1 1 *"],
  ["@annually", '"@annually" is not five fields', "write 0 0 1 1 *"],
  ["@reboot", '"@reboot" is not five fields', "not at a start"],
  ["@every 5m", '"@every" is not five fields', "minute, hour, day of month, month, day of week"],
  ["60 * * * *", 'the minute must be 0 to 59, got "60"'],
  ["1,60 * * * *", 'the minute must be 0 to 59, got "60"'],
  ["50-70 * * * *", 'the minute must be 0 to 59, got "70" in "50-70"'],
  ["* 24 * * *", 'the hour must be 0 to 23, got "24"'],
  ["* * 0 * *", 'the day of month must be 1 to 31, got "0"'],
  ["* * 32 * *", 'the day of month must be 1 to 31, got "32"'],
  ["* * * 0 *", 'the month must be 1 to 12, got "0"'],
  ["* * * 13 *", 'the month must be 1 to 12, got "13"', "jan to dec"],
  ["* * * january *", 'the month must be 1 to 12, got "january"', "jan to dec"],
  ["* * * mon *", 'the month must be 1 to 12, got "mon"'],
  ["* * * * 8", 'the day of week must be 0 to 7, got "8"', "sun to sat"],
  ["* * * * jan", 'the day of week must be 0 to 7, got "jan"'],
  ["mon * * * *", 'the minute must be 0 to 59, got "mon"'],
  ["99999999999999999999 * * * *", 'the minute must be 0 to 59, got "99999999999999999999"'],
  ["-1 * * * *", 'the minute must be 0 to 59, got "-1"'],
  ["1.5 * * * *", 'the minute must be 0 to 59, got "1.5"'],
  ["1- * * * *", 'the minute must be 0 to 59, got "1-"'],
  ["1-2-3 * * * *", 'the minute must be 0 to 59, got "1-2-3"'],
  ["** * * * *", 'the minute must be 0 to 59, got "**"'],
  ["*-5 * * * *", 'the minute must be 0 to 59, got "*-5"'],
  ["5/15 * * * *", 'the minute "5/15" has a step without a range', "write 5-59/15"],
  ["* 3/2 * * *", 'the hour "3/2" has a step without a range', "write 3-23/2"],
  ["* * * * mon/2", 'the day of week "mon/2" has a step without a range', "write mon-7/2"],
  ["*/0 * * * *", `the minute's step must be 1 to 59, got "0" in "*/0"`],
  ["*/90 * * * *", `the minute's step must be 1 to 59, got "90" in "*/90"`, "does not carry on"],
  ["* 1-5/0 * * *", `the hour's step must be 1 to 23, got "0" in "1-5/0"`],
  ["*/99999999999 * * * *", `the minute's step must be 1 to 59, got "99999999999"`],
  ["*/ * * * *", 'the minute must be 0 to 59, got "*/"'],
  ["*/-5 * * * *", 'the minute must be 0 to 59, got "*/-5"'],
  ["* 22-2 * * *", 'the hour "22-2" is a range that runs backwards', "22-23,0-2"],
  ["* * * nov-feb *", 'the month "nov-feb" is a range that runs backwards', "nov-12,jan-feb"],
  ["* * * * fri-mon", 'the day of week "fri-mon" is a range that runs backwards', "fri-6,sun-mon"],
  ["* * * * 7-1", 'the day of week "7-1" is a range that runs backwards'],
  ["1,,2 * * * *", 'the minute "1,,2" has an empty place in its list'],
  ["1, * * * *", 'the minute "1," has an empty place in its list'],
  ["* * L * *", 'the day of month "L" uses a sign that is not supported', "other schedulers"],
  ["* * LW * *", 'the day of month "LW" uses a sign that is not supported'],
  ["* * L-3 * *", 'the day of month "L-3" uses a sign that is not supported'],
  ["* * 15W * *", 'the day of month "15W" uses a sign that is not supported'],
  ["* * $ * *", 'the day of month "$" uses a sign that is not supported'],
  ["* * ? * *", 'the day of month "?" uses a sign that is not supported'],
  ["* * * * 5#3", 'the day of week "5#3" uses a sign that is not supported'],
  ["* * * * 5L", 'the day of week "5L" uses a sign that is not supported'],
  ["* * * * friL", 'the day of week "friL" uses a sign that is not supported'],
  ["０ * * * *", 'the minute must be 0 to 59, got "０"'],
];

Deno.test("parse_schedule() quotes the bad part, names the field and proposes what to write", () =>
  withDatabase(async ({ sql }) => {
    for (const [schedule, says, proposes] of REFUSED) {
      const error = await refusal(sql`select scheduler.parse_schedule(${schedule})`);
      assert.equal(error.code, "22023", schedule);
      assert.ok(
        error.message.startsWith(`cannot read the schedule "${schedule}": ${says}`),
        `${schedule}: ${error.message}`,
      );
      assert.ok(error.hint?.includes(proposes ?? ""), `${schedule}: ${error.hint}`);
    }
    assert.equal((await refusal(sql`select scheduler.parse_schedule(null)`)).code, "22023");
  }));

Deno.test("parse_schedule() refuses a text of over 1,000 characters", () =>
  withDatabase(async ({ sql }) => {
    const long = `${Array(600).fill("1").join(",")} * * * *`;
    const error = await refusal(sql`select scheduler.parse_schedule(${long})`);
    assert.match(error.message, /it must be at most 1000 characters, got 1207$/);
    assert.ok(error.message.length < 400);
  }));

Deno.test("parse_schedule() answers garbage with 22023 and nothing else", () =>
  withDatabase(async ({ connect }) => {
    const sql = connect();
    const random = seededRandom(20260301);
    const pieces = [
      ..."0123456789*/-,  @#?$LW.+()[]{}%&'\"\\é０ß😀\t\n\r",
      ..."mon sun jan fri-sun 1-5 */15 60 -1 99999999999 5/15 **  * * *  *".split(" "),
      " ",
      " * ",
    ];
    const garbage = Array.from(
      { length: 3000 },
      () => Array.from({ length: random.whole(0, 14) }, () => random.pick(pieces)).join(""),
    );
    // Five fields, of which the parser must look at each.
    for (let i = 0; i < 3000; i++) {
      garbage.push(
        Array.from(
          { length: 5 },
          () =>
            random.chance(0.7)
              ? random.pick(["*", "1-5", "*/2", "3"])
              : Array.from({ length: random.whole(1, 4) }, () => random.pick(pieces)).join("")
                .replace(
                  /\s/g,
                  "",
                ) || "*",
        ).join(" "),
      );
    }
    await sql.unsafe(await Deno.readTextFile(new URL("parse_schedule.sql", import.meta.url)));
    const rows = await sql<{ code: string; count: number }[]>`
      select code, count(*)::integer as count
      from unnest(${garbage}::text[]) as text, pg_temp.parse_outcome(text) as code
      group by code order by code`;
    const codes = Object.fromEntries(rows.map(({ code, count }) => [code, count]));
    assert.deepEqual(Object.keys(codes), ["22023", "read"]);
    assert.ok(codes["22023"]! > 4000 && codes["read"]! > 100, JSON.stringify(codes));
  }));
