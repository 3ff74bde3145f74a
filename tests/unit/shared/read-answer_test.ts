import assert from "node:assert/strict";
import type { PostgrestError } from "@supabase/supabase-js";
import { z } from "zod";
import { PermanentError } from "../../../shared/job/errors.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const refused = (code: string) => ({
  data: null,
  error: { code, message: "the setting must be a number" } as PostgrestError,
});

Deno.test("readAnswer() gives back what the schema knows, and throws at anything else", () => {
  const schema = z.object({ rows: z.int() });
  assert.deepEqual(readAnswer("count", schema, { data: { rows: 3 }, error: null }), { rows: 3 });
  assert.throws(() => readAnswer("count", schema, { data: { rows: "3" }, error: null }));
});

Deno.test("readAnswer() throws for good what the database refuses, and all else so that it is tried again", () => {
  const message = "Cannot count: the setting must be a number";
  const read = (code: string) => () => readAnswer("count", z.unknown(), refused(code));
  // A setting, a constraint, a right, a function that is not there, refusals of functions, a token.
  for (
    const code of [
      "22023",
      "23505",
      "42501",
      "42883",
      "P0001",
      "SD001",
      "SD201",
      "SD302",
      "PGRST202",
      "PGRST301",
    ]
  ) {
    assert.throws(
      read(code),
      (error) => error instanceof PermanentError && error.message === message,
      code,
    );
  }
  // Work under way, time, a deadlock, a restart, too many connections; PostgREST without the database; no answer at all.
  for (const code of ["SD101", "57014", "40P01", "57P01", "53300", "PGRST001", "PGRST003", ""]) {
    assert.throws(
      read(code),
      (error) =>
        error instanceof Error && !(error instanceof PermanentError) && error.message === message,
      code,
    );
  }
});
