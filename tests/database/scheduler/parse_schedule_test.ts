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
  signs_of_month: number[] | null;
  signs_of_week: number[] | null;
  interval_seconds: null;
}

const every: Parsed = {
  minutes: all(0, 59),
  hours: all(0, 23),
  days_of_month: all(1, 31),
  months: all(1, 12),
  days_of_week: all(0, 6),
  days_must_both_match: true,
  follows_real_clock: true,
  signs_of_month: null,
  signs_of_week: null,
  interval_seconds: null,
};

const midnight = { minutes: [0], hours: [0], follows_real_clock: false };

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
  "* * L * *": { days_of_month: [], signs_of_month: [0] },
  "* * l-3 * *": { days_of_month: [], signs_of_month: [-3] },
  "* * L-30 * *": { days_of_month: [], signs_of_month: [-30] },
  "* * LW * *": { days_of_month: [], signs_of_month: [100] },
  "* * 1w * *": { days_of_month: [], signs_of_month: [101] },
  "* * 031W * *": { days_of_month: [], signs_of_month: [131] },
  "* * 15,L,1,lw,L,15W,L-1 * *": { days_of_month: [1, 15], signs_of_month: [-1, 0, 100, 115] },
  "* * *,L * *": { signs_of_month: [0] },
  "* * LW,3 * 5L": {
    days_of_month: [3],
    signs_of_month: [100],
    days_of_week: [],
    signs_of_week: [95],
    days_must_both_match: false,
  },
  "* * * * friL": { days_of_week: [], signs_of_week: [95] },
  "* * * * FRIl": { days_of_week: [], signs_of_week: [95] },
  "* * * * 7L": { days_of_week: [], signs_of_week: [90] },
  "* * * * sunL,0l": { days_of_week: [], signs_of_week: [90] },
  "* * * * fri#2": { days_of_week: [], signs_of_week: [25] },
  "* * * * 5#2": { days_of_week: [], signs_of_week: [25] },
  "* * * * 7#5,0#5": { days_of_week: [], signs_of_week: [50] },
  "* * * * mon,fri#2": { days_of_week: [1], signs_of_week: [25] },
  "* * * * 7,wed#1,satl,1-3": { days_of_week: [0, 1, 2, 3], signs_of_week: [13, 96] },
  "@hourly": { minutes: [0] },
  "@daily": midnight,
  " @Midnight\n": midnight,
  "@weekly": { ...midnight, days_of_week: [0] },
  "@monthly": { ...midnight, days_of_month: [1] },
  "@yearly": { ...midnight, days_of_month: [1], months: [1] },
  "@ANNUALLY": { ...midnight, days_of_month: [1], months: [1] },
};

Deno.test("parse_schedule() reads what cron reads", () =>
  withDatabase(async ({ sql }) => {
    for (const [schedule, parsed] of Object.entries(READ)) {
      const [row] = await sql`select (scheduler.parse_schedule(${schedule})).*`;
      assert.deepEqual({ ...row }, { ...every, ...parsed }, schedule);
    }
  }));

Deno.test("parse_schedule() reads seconds as pg_cron does, and up to a day of them", () =>
  withDatabase(async ({ sql }) => {
    const read = {
      "30 seconds": 30,
      "1 second": 1,
      "  5\tSECONDS \n": 5,
      "59seconds": 59,
      "0007 second": 7,
      "60 seconds": 60,
      "86400 seconds": 86400,
    };
    for (const [schedule, seconds] of Object.entries(read)) {
      const [row] = await sql`select (scheduler.parse_schedule(${schedule})).*`;
      assert.equal(row!.interval_seconds, seconds, schedule);
      assert.equal(row!.minutes, null);
    }
  }));

const OTHERS = "? and $ are other schedulers' signs";
// schedule → what the message says of it, and what the hint proposes
const REFUSED: [string, string, string?][] = [
  ["", "it is empty"],
  ["   ", "it is empty"],
  ["* * * *", "it must have five fields, got 4"],
  ["* * * * * * *", "it must have five fields, got 7"],
  ["0 */5 * * * *", "it has six fields, seconds are not supported", "*/5 * * * *"],
  ["0 seconds", "an interval must be 1 to 86400 seconds, got 0"],
  ["86401 seconds", "an interval must be 1 to 86400 seconds, got 86401", "30 seconds"],
  [
    "999999999999999999999999 second",
    "an interval must be 1 to 86400 seconds, got 99999999999999999999",
  ],
  ["-1 seconds", "it must have five fields, got 2"],
  ["1.5 seconds", "it must have five fields, got 2"],
  ["30 secondss", "it must have five fields, got 2"],
  ["10 seconds ago", "it must have five fields, got 3"],
  ["5 minutes", "it must have five fields, got 2", "30 seconds"],
  ["@daily 5", '"@daily" is not five fields', "@daily"],
  ["@a b c d e", '"@a" is not five fields'],
  ["@continuous", '"@continuous" is not five fields', "@continuous is no time: "],
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
  ["* * $ * *", 'the day of month "$" uses a sign that is not supported', OTHERS],
  ["* * ? * *", 'the day of month "?" uses a sign that is not supported', OTHERS],
  ["* * * * ?", 'the day of week "?" uses a sign that is not supported', OTHERS],
  [
    "L * * * *",
    'the minute "L" uses a sign that is not supported',
    "the day of month has L, L-3, LW",
  ],
  ["* 5#2 * * *", 'the hour "5#2" uses a sign that is not supported'],
  ["* * * 15W *", 'the month "15W" uses a sign that is not supported'],
  ["* * L-W * *", 'the day of month has no sign "L-W"', "without ranges and steps"],
  ["* * WL * *", 'the day of month has no sign "WL"', "LW is the last weekday"],
  ["* * W * *", 'the day of month has no sign "W"'],
  ["* * L-0 * *", 'the day of month has no sign "L-0"', "L-1 to L-30"],
  ["* * L-31 * *", 'the day of month has no sign "L-31"', "L-1 to L-30"],
  ["* * L/2 * *", 'the day of month has no sign "L/2"', "without ranges and steps"],
  ["* * 1-15W * *", 'the day of month has no sign "1-15W"'],
  ["* * 15W-20 * *", 'the day of month has no sign "15W-20"'],
  ["* * L-3W * *", 'the day of month has no sign "L-3W"'],
  ["* * 15W/2 * *", 'the day of month has no sign "15W/2"'],
  ["* * 0W * *", 'the day of month must be 1 to 31, got "0" in "0W"', "15W the weekday nearest"],
  ["* * 32W * *", 'the day of month must be 1 to 31, got "32" in "32W"'],
  ["* * 1,,L * *", 'the day of month "1,,L" has an empty place in its list'],
  ["* * 5L * *", 'the day of month has no sign "5L"'],
  ["* * 5#2 * *", 'the day of month has no sign "5#2"'],
  ["* * friL * *", 'the day of month must be 1 to 31, got "friL"'],
  [
    "* * * * 8L",
    'the day of week must be 0 to 7, got "8" in "8L"',
    "5L or friL is the last Friday",
  ],
  ["* * * * 8#1", 'the day of week must be 0 to 7, got "8" in "8#1"'],
  ["* * * * jan#1", 'the day of week must be 0 to 7, got "jan" in "jan#1"'],
  ["* * * * 5#6", 'the day of week has no sign "5#6"', "from 1 to 5"],
  ["* * * * 5#0", 'the day of week has no sign "5#0"', "from 1 to 5"],
  ["* * * * #2", 'the day of week has no sign "#2"'],
  ["* * * * 5#", 'the day of week has no sign "5#"'],
  ["* * * * 5#2L", 'the day of week has no sign "5#2L"'],
  ["* * * * L", 'the day of week has no sign "L"', "5L or friL"],
  ["* * * * 5W", 'the day of week has no sign "5W"'],
  ["* * * * friW", 'the day of week has no sign "friW"'],
  ["* * * * 1-5L", 'the day of week has no sign "1-5L"'],
  ["* * * * mon-fri#2", 'the day of week has no sign "mon-fri#2"', "without ranges and steps"],
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
