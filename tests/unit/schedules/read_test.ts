import { Ajv2020 } from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { readJobArguments } from "../../../local/job-arguments.ts";
import { jsonSchemaOf, readSchedulesText } from "../../../local/schedules.ts";

const args = await readJobArguments();
const read = (text: string) => readSchedulesText("s.json", text, args);
const root = new URL("../../../", import.meta.url);

/** A job of the section `own`, with these fields more; its first line is line 3. */
const own = (...fields: string[]) =>
  `{\n  "own": [\n    { "name": "job", "schedule": "@daily"${
    fields.map((field) => `,\n      ${field}`).join("")
  } }\n  ]\n}\n`;

/** What is wrong with a text, and what is said of it. */
const faults: [string, string, string][] = [
  ["nothing", "", "Cannot read s.json:1: a value is expected"],
  ["no end", "{\n", "Cannot read s.json:2: } is expected"],
  ["a comma too many", '{\n"a": [1,]}', "Cannot read s.json:2: a value is expected"],
  ["a comma too few", '{"a": []\n"b": []}', "Cannot read s.json:2: a comma is expected"],
  ["a comment", "{\n// none\n}", "Cannot read s.json:2: JSON has no comments"],
  ["a list", "[]", "Cannot use s.json:1: the file must be an object, got []"],
  [
    "a section that is none",
    '{\n"own": 3}',
    "Cannot use s.json:2: own must be a list of jobs, got 3",
  ],
  [
    "a section's name",
    '{\n"My own": []}',
    'Cannot use s.json:2: "My own" must have a name of a-z, 0-9 and -, the first a letter, at most 63 of them',
  ],
  [
    "a section's name that is too long",
    `{"${"a".repeat(64)}": []}`,
    `Cannot use s.json:1: ${
      "a".repeat(64)
    } must have a name of a-z, 0-9 and -, the first a letter, at most 63 of them`,
  ],
  [
    "a section's name that steers the terminal",
    '{"a\\u001b[2J\u009b": []}',
    'Cannot use s.json:1: "a\\u001b[2J\\u009b" must have a name of a-z, 0-9 and -, the first a letter, at most 63 of them',
  ],
  [
    "a name that JavaScript would lose",
    own('"payload": {"__proto__": 1}'),
    'Cannot use s.json:4: "__proto__" may not be a name',
  ],
  [
    "a character that Postgres does not keep",
    own('"description": "a\\u0000"'),
    'Cannot use s.json:4: "a\\u0000" has a character that Postgres does not keep',
  ],
  [
    "half a character",
    own('"description": "\\ud800"'),
    'Cannot use s.json:4: "\\ud800" has a character that Postgres does not keep',
  ],
  [
    "a number that JavaScript would change",
    own('"payload": { "id": 12345678901234567890 }'),
    "Cannot use s.json:4: a number has at most 15 digits here, got 12345678901234567000: write it as a text",
  ],
  [
    "more levels than anybody needs",
    `{"own": ${"[".repeat(100_000)}`,
    "Cannot read s.json:1: it has more than 100 levels",
  ],
  ["a text", '"own"', 'Cannot use s.json:1: the file must be an object, got "own"'],
  [
    "a schema that is none",
    '{"$schema": 3}',
    'Cannot use s.json:1: "$schema" must be a text, got 3',
  ],
  [
    "a byte order mark",
    '\uFEFF{"own": []}',
    "Cannot read s.json:1: it begins with a byte order mark: save it as UTF-8 without one",
  ],
  [
    "a field twice",
    '{"own": [{"name": "a",\n"schedule": null, "name": "b"}]}',
    'Cannot use s.json:2: "name" stands there twice',
  ],
  [
    "a section twice",
    '{"own": [],\n"own": []}',
    'Cannot use s.json:2: "own" stands there twice',
  ],
  ["no name", '{"own": [{"schedule": null}]}', "Cannot use s.json:1: own[0].name is missing"],
  ["no schedule", '{"own": [{"name": "a"}]}', "Cannot use s.json:1: own[0].schedule is missing"],
  [
    "a name that another section has",
    '{"own": [{"name": "a", "schedule": null}],\n"more": [{"name": "a", "schedule": null}]}',
    "Cannot use s.json:2: more[0].name must be another name: own[0] has it",
  ],
  [
    "a field that is spelled wrong",
    own('"timezone": "UTC"'),
    "Cannot use s.json:4: own[0].timezone is no field; did you mean time_zone?",
  ],
  [
    "a field like no other",
    own('"crontab_of_x": 1'),
    "Cannot use s.json:4: own[0].crontab_of_x is no field",
  ],
  [
    "a text for a number",
    own('"timeout_seconds": "60"'),
    'Cannot use s.json:4: own[0].timeout_seconds must be a whole number, got "60"',
  ],
  [
    "half a second",
    own('"timeout_seconds": 0.5'),
    "Cannot use s.json:4: own[0].timeout_seconds must be a whole number, got 0.5",
  ],
  [
    "null where there is no null",
    own('"time_zone": null'),
    "Cannot use s.json:4: own[0].time_zone must be a text, got null",
  ],
  [
    "a text for a list",
    own('"depends_on": "a"'),
    'Cannot use s.json:4: own[0].depends_on must be a list of texts, got "a"',
  ],
  [
    "a number in a list",
    own('"calendars": ["a", 3]'),
    "Cannot use s.json:4: own[0].calendars[1] must be a text, got 3",
  ],
  [
    "a list for an object",
    own('"payload": []'),
    "Cannot use s.json:4: own[0].payload must be an object, got []",
  ],
  [
    "a text for a choice",
    own('"enabled": "yes"'),
    'Cannot use s.json:4: own[0].enabled must be true or false, got "yes"',
  ],
  [
    "a variable's name",
    own('"interval_from": { "variable": "poll interval", "unit": "seconds" }'),
    'Cannot use s.json:4: own[0].interval_from.variable must be a variable\'s name: A-Z, 0-9 and _, got "poll interval"',
  ],
  [
    "a unit",
    own('"interval_from": { "variable": "POLL", "unit": "minutes" }'),
    'Cannot use s.json:4: own[0].interval_from.unit must be "milliseconds" or "seconds", got "minutes"',
  ],
  [
    "a field of interval_from",
    own('"interval_from": { "variable": "POLL", "unit": "seconds", "units": 1 }'),
    "Cannot use s.json:4: own[0].interval_from.units is no field; did you mean unit?",
  ],
  [
    "an interval without a default",
    '{"own": [{"name": "a", "schedule": null, "interval_from": {"variable": "A", "unit": "seconds"}}]}',
    "Cannot use s.json:1: own[0].schedule must be what is taken where the variable of interval_from is not set, got null",
  ],
];

for (const [what, text, message] of faults) {
  Deno.test(`schedules.json with ${what} is refused, with the line and what would be right`, () => {
    assert.throws(() => read(text), { message });
  });
}

Deno.test("all faults are said at once", () => {
  const interval = '"interval_from": {"variable": "A", "unit": "seconds"}';
  const text = `{"Own": [], "own": 3, "own": [
    {"name": "a", "schedule": null, "timezone": "UTC", "target": 3, ${interval}},
    {"name": "a"}]}`;
  assert.throws(() => read(text), {
    message: [
      "Cannot use s.json:",
      '  s.json:1: "own" stands there twice',
      "  s.json:2: own[0].target must be a text, got 3",
      "  s.json:2: own[0].timezone is no field; did you mean time_zone?",
      "  s.json:3: own[1].schedule is missing",
      "  s.json:1: Own must have a name of a-z, 0-9 and -, the first a letter, at most 63 of them",
      "  s.json:3: own[1].name must be another name: own[0] has it",
      "  s.json:2: own[0].schedule must be what is taken where the variable of interval_from is not set, got null",
    ].join("\n"),
  });
});

Deno.test("what stands in the file comes out, with its place", () => {
  const text = own('"depends_on": ["a"]', '"why": "so"').replace(
    "{",
    '{ "$schema": "./schedules.schema.json",',
  );
  const { sections, placeOf } = read(text);
  assert.deepEqual(sections, {
    own: [{ name: "job", schedule: "@daily", depends_on: ["a"], why: "so" }],
  });
  assert.equal(placeOf(["own", 0, "depends_on"]), "s.json:4: own[0].depends_on");
});

Deno.test("the schema for editors is made of the arguments of register_job, and is current", async () => {
  const text = await Deno.readTextFile(new URL("supabase/schedules.schema.json", root));
  assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(jsonSchemaOf(args))));
});

Deno.test("the schema for editors takes Daybook's own schedules, and refuses what is refused here", async () => {
  const validate = new Ajv2020().compile(jsonSchemaOf(args));
  const text = await Deno.readTextFile(new URL("supabase/schedules.json", root));
  assert.equal(validate(JSON.parse(text)), true, JSON.stringify(validate.errors));
  for (const field of ['"timezone": "UTC"', '"timeout_seconds": "60"', '"payload": []']) {
    assert.equal(validate(JSON.parse(own(field))), false, field);
  }
});
