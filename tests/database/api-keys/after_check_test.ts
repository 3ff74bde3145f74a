import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const noon = Date.UTC(2026, 2, 2, 12);
/** That many hours after noon. */
const at = (hours: number) => new Date(noon + hours * 3_600_000);

type Row = Record<string, unknown>;
const known: Row = {
  provider: "github",
  key_last_four: "x7Qd",
  status: "unreachable",
  status_since: at(-5),
  checked_at: at(-1),
  consecutive_failures: 3,
  expires_at: at(50),
};
const found: Row = {
  provider: "github",
  key_last_four: "x7Qd",
  status: "unreachable",
  status_since: at(0),
  checked_at: at(0),
  consecutive_failures: 1,
  expires_at: null,
};

const cases: [name: string, known: Row, found: Row, after: Row][] = [
  ["the same status: since as before, one failure more", {}, {}, {
    status_since: at(-5),
    consecutive_failures: 4,
    checked_at: at(0),
  }],
  ["another status: since the check", {}, { status: "rate_limited" }, {
    status: "rate_limited",
    status_since: at(0),
    consecutive_failures: 4,
  }],
  ["a check without a failure", {}, { status: "valid", consecutive_failures: 0 }, {
    status_since: at(0),
    consecutive_failures: 0,
  }],
  ["the first failure", { status: "valid", consecutive_failures: 0 }, {}, {
    consecutive_failures: 1,
  }],
  ["no answer: the expiry stays", {}, {}, { expires_at: at(50) }],
  ["a limit: the expiry stays", {}, { status: "rate_limited" }, { expires_at: at(50) }],
  ["no answer to another key: no expiry", {}, { key_last_four: "9zzz" }, { expires_at: null }],
  ["no answer to a key too short to show: no expiry", {}, { key_last_four: null }, {
    expires_at: null,
  }],
  ["refused before its expiry: no expiry", {}, { status: "invalid" }, { expires_at: null }],
  ["refused at its expiry: it stays", { expires_at: at(0) }, { status: "invalid" }, {
    expires_at: at(0),
  }],
  ["valid without an expiry: none", {}, { status: "valid" }, { expires_at: null }],
  ["another expiry", {}, { expires_at: at(70) }, { expires_at: at(70) }],
];

Deno.test("api_keys.after_check() decides since when, how many failures and which expiry", (t) =>
  withDatabase(async ({ sql }) => {
    for (const [name, before, check, expected] of cases) {
      await t.step(name, async () => {
        const row = (values: Row) =>
          sql`jsonb_populate_record(null::api_key_health, ${sql.json(values as never)})`;
        const [after] = await sql`
          select * from api_keys.after_check(${row({ ...known, ...before })}, ${
          row({ ...found, ...check })
        })`;
        for (const [column, value] of Object.entries(expected)) {
          assert.deepEqual(after![column], value, column);
        }
      });
    }
  }));
