import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { parseJson } from "../../../local/parse-json.ts";
import { nextVersion, raiseVersion } from "../../../local/raise-version.ts";
import { firstStamp, isDay, readVersion, type Release } from "../../../local/releases.ts";
import { version } from "../../../shared/version.ts";

const release = (...stamps: string[]): Release => ({
  version: "1.0.0",
  date: "2026-12-01",
  migrations: Object.fromEntries(
    stamps.map((stamp) => [`${stamp}_daybook.sql`, { pack: "scheduler", hash: "", makes: {} }]),
  ),
});

Deno.test("a release's migrations are of today, and later than those of the releases before it", () => {
  const today = new Date("2026-12-01T10:00:00Z");
  assert.equal(firstStamp([], today), "20261201000001");
  assert.equal(firstStamp([release("20261130000001", "20261130000008")], today), "20261201000001");
  assert.equal(firstStamp([release("20261201000001", "20261201000008")], today), "20261201000009");
  assert.equal(firstStamp([release("20270101000001")], today), "20270101000002");
});

Deno.test("raiseVersion() changes the version in its four places, and refuses where one says another", () => {
  assert.equal(nextVersion("0.10.9"), "0.10.10");
  const files = new Map([
    ["deno.json", '{\n  "version": "0.10.0",\n  "other": "0.10.0"\n}'],
    ["shared/version.ts", 'export const version = "0.10.0";'],
    ["supabase/sql/scheduler/version.sql", "select '0.10.0'"],
    ["CHANGELOG.md", "# Changelog\n\n## [0.10.0] - 2026-12-01\n\n## [0.9.0] - 2026-11-01\n"],
  ]);
  assert.deepEqual([...raiseVersion(files, "0.10.0", "0.11.0").values()], [
    '{\n  "version": "0.11.0",\n  "other": "0.10.0"\n}',
    'export const version = "0.11.0";',
    "select '0.11.0'",
    "# Changelog\n\n## [0.11.0] - unreleased\n\n## [0.10.0] - 2026-12-01\n\n## [0.9.0] - 2026-11-01\n",
  ]);
  assert.throws(
    () => raiseVersion(files, "0.10.1", "0.11.0"),
    /deno\.json does not say the version 0\.10\.1/,
  );
});

Deno.test("raiseVersion() refuses a version that is not later", () => {
  const files = new Map([
    ["deno.json", '"version": "0.10.0"'],
    ["shared/version.ts", '"0.10.0"'],
    ["supabase/sql/scheduler/version.sql", "'0.10.0'"],
    ["CHANGELOG.md", "## [0.10.0]"],
  ]);
  for (const later of ["0.10.1", "0.11.0", "1.0.0", "0.100.0"]) {
    raiseVersion(files, "0.10.0", later);
  }
  for (const not of ["0.10.0", "0.9.0", "0.9.11", "0.2.0"]) {
    assert.throws(
      () => raiseVersion(files, "0.10.0", not),
      new RegExp(`The version after 0.10.0 must be a later one, got ${not}`),
    );
  }
});

Deno.test("a release has a day of the calendar", () => {
  for (const day of ["2026-12-01", "2028-02-29"]) assert.ok(isDay(day), day);
  for (const none of ["2026-13-45", "2026-02-29", "2026-1-1", "tomorrow", ""]) {
    assert.ok(!isDay(none), none);
  }
});

Deno.test("deno task release refuses a day and a version that are none, and writes nothing", async () => {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const release = async (...args: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli/release.ts", ...args],
      cwd: root,
    }).output();
    return `${code} ${new TextDecoder().decode(stderr).trim()}`;
  };
  const before = await Deno.readTextFile(`${root}/supabase/releases.json`);
  assert.equal(
    await release("--date", "2026-13-45", "--next", "0.9.0"),
    "2 --date must be a day of the calendar like 2026-12-01, got 2026-13-45",
  );
  assert.equal(
    await release("--next", "0.010.1"),
    "2 --next must be a version like 0.10.1, got 0.010.1",
  );
  assert.match(
    await release("--date", "2026-12-01", "--next", "9.0.0"),
    /^2 Give --date or --next/,
  );
  assert.equal(await Deno.readTextFile(`${root}/supabase/releases.json`), before);
});

Deno.test("a file of JSON that cannot be read is named, with the field that is wrong", () => {
  const schema = z.array(z.object({ date: z.iso.date().nullable() }));
  assert.deepEqual(parseJson("a.json", '[{"date": null}]', schema), [{ date: null }]);
  assert.throws(
    () => parseJson("a.json", '[{"date": "2026-13-45"}]', schema),
    (error: Error) =>
      /^Cannot read a\.json: .*date/s.test(error.message) && /\[0\]\.date/.test(error.message) &&
      !error.message.includes('"code"'),
  );
  assert.throws(() => parseJson("a.json", "[", schema), /^Error: Cannot read a\.json: .*JSON/);
});

Deno.test("shared/version.ts says the version of deno.json", async () => {
  assert.equal(version, await readVersion());
});
