import assert from "node:assert/strict";
import postgres from "postgres";
import { asCommandError } from "../../../cli/daybook/schedules-database.ts";

const URL = "postgres://postgres:secret@db.test:5432/postgres";

function postgresError(code: string, hint?: string): Error {
  const error = Object.assign(Object.create(postgres.PostgresError.prototype), { code, hint });
  Object.defineProperty(error, "message", { value: "it said so" });
  return error;
}
const clientError = (code?: string) => Object.assign(new Error("it said so"), { code });

/** What went wrong, how the command ends, and what is said. */
const cases: [string, Error, number, RegExp, RegExp | undefined][] = [
  [
    "no function",
    postgresError("42883"),
    4,
    /^The database has no Daybook, or an older/,
    /db push/,
  ],
  ["no schema", postgresError("3F000"), 4, /^The database has no Daybook, or an older/, /db push/],
  ["no right", postgresError("42501"), 4, /^The registry is its owner's: it said so$/, /the role/],
  ["a lock", postgresError("55P03"), 4, /^Another transaction holds the registry: /, /try again/],
  ["a deadlock", postgresError("40P01"), 4, /^Another transaction holds the registry/, /try again/],
  [
    "too long",
    postgresError("57014"),
    4,
    /^The database stopped it, .* after 10 minutes: /,
    /nothing was/,
  ],
  ["bad input", postgresError("22023", "do it"), 4, /^The database says: it said so$/, /^do it$/],
  ["a replica", postgresError("25006"), 4, /^The database says: it said so$/, undefined],
  [
    "a bad password",
    postgresError("28P01"),
    3,
    /^Cannot reach postgres:\/\/db\.test:5432\/post/,
    /URL/,
  ],
  ["a shutdown", postgresError("57P01"), 3, /^Cannot reach /, /^all or nothing$/],
  ["nobody listens", clientError("ECONNREFUSED"), 3, /^Cannot reach /, /is the URL right/],
  ["another protocol", clientError(), 3, /^Cannot reach /, /is the URL right/],
  [
    "a connection that broke",
    clientError("CONNECTION_CLOSED"),
    3,
    /^Cannot reach /,
    /^all or nothing$/,
  ],
];

for (const [what, error, exitCode, message, hint] of cases) {
  Deno.test(`an error of the database is said for people: ${what}`, () => {
    const said = asCommandError(URL, error, "all or nothing");
    assert.equal(said.exitCode, exitCode);
    assert.match(said.message, message);
    assert.ok(!said.message.includes("secret"));
    if (hint === undefined) assert.equal(said.hint, undefined);
    else assert.match(said.hint!, hint);
  });
}
