import assert from "node:assert/strict";
import { alikeNames } from "../../../local/alike-names.ts";

const names = ["system-health", "nightly", "nightly-report", "prune-old-rows"];

Deno.test("alikeNames() finds what was mistyped, and what was shortened", () => {
  assert.deepEqual(alikeNames("sytem-helth", names), ["system-health"]);
  assert.deepEqual(alikeNames("nihgtly", names), ["nightly"]);
  assert.deepEqual(alikeNames("nightly", names), ["nightly", "nightly-report"]);
  assert.deepEqual(alikeNames("prune", names), ["prune-old-rows"]);
});

Deno.test("alikeNames() suggests nothing that has little in common", () => {
  assert.deepEqual(alikeNames("backup", names), []);
  assert.deepEqual(alikeNames("", names), []);
  assert.deepEqual(alikeNames("x", []), []);
});
