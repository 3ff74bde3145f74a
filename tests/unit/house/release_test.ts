import assert from "node:assert/strict";
import { nextVersion, raiseVersion } from "../../../local/raise-version.ts";
import { firstStamp, type Release } from "../../../local/releases.ts";

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

Deno.test("raiseVersion() changes the version in its three places, and refuses where one says another", () => {
  assert.equal(nextVersion("0.10.9"), "0.10.10");
  const files = new Map([
    ["deno.json", '{\n  "version": "0.10.0",\n  "other": "0.10.0"\n}'],
    ["supabase/sql/scheduler/version.sql", "select '0.10.0'"],
    ["CHANGELOG.md", "# Changelog\n\n## [0.10.0] - 2026-12-01\n\n## [0.9.0] - 2026-11-01\n"],
  ]);
  assert.deepEqual([...raiseVersion(files, "0.10.0", "0.11.0").values()], [
    '{\n  "version": "0.11.0",\n  "other": "0.10.0"\n}',
    "select '0.11.0'",
    "# Changelog\n\n## [0.11.0] - unreleased\n\n## [0.10.0] - 2026-12-01\n\n## [0.9.0] - 2026-11-01\n",
  ]);
  assert.throws(
    () => raiseVersion(files, "0.10.1", "0.11.0"),
    /deno\.json does not say the version 0\.10\.1/,
  );
});
