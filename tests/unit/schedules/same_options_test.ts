import assert from "node:assert/strict";
import { sameOptions } from "../../../cli/daybook/schedules.ts";

Deno.test("the command that plan prints finds the same file and database, and shows no password", () => {
  assert.equal(sameOptions({}), "");
  assert.equal(
    sameOptions({ project: "../my-project", profile: "production" }),
    " --project ../my-project --profile production",
  );
  assert.equal(
    sameOptions({ project: "it's mine", dbUrl: "postgres://a:secret@b/c" }),
    " --project 'it'\\''s mine' --db-url …",
  );
});
