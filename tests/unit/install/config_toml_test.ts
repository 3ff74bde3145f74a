import assert from "node:assert/strict";
import {
  addFunctions,
  configuredFunctions,
  removeFunctions,
} from "../../../install/config-toml.ts";

const OURS = `
[functions.system-health]
verify_jwt = false # Daybook: the handler checks who calls

[functions.prune-old-rows]
verify_jwt = false # Daybook: the handler checks who calls
`;
const NAMES = ["system-health", "prune-old-rows"];

/** As people have it: what it is, and the file. */
const FILES: [string, string][] = [
  ["an empty one", ""],
  ["no functions", 'project_id = "x" # mine\n\n\n[api]\nport   =  54321\n# the end\n'],
  [
    "a function with comments behind it",
    "[functions.hello]\nverify_jwt   =   true   # old\n# static_files = []\n",
  ],
  ["functions between other sections", "[functions.a]\nenabled = true\n[api]\nport = 1\n"],
  ["a function in one line", "[functions]\na = { verify_jwt = true }\n"],
  ["a quoted name", '[functions."a b"]\nenabled = true\n'],
];

for (const [name, file] of FILES) {
  Deno.test(`functions are added to the end of config.toml and taken out again: ${name}`, () => {
    const added = addFunctions(file, NAMES);
    assert.equal(added, file + OURS);
    assert.deepEqual(
      configuredFunctions(added),
      [...configuredFunctions(file), ...NAMES],
    );
    assert.equal(removeFunctions(added, NAMES).trimEnd(), file.trimEnd());
  });
}

Deno.test("a section behind Daybook's, and what its owner added to one, are told apart", () => {
  const file = addFunctions("[api]\nport = 1\n", NAMES)
    .replace("[functions.prune", "static_files = []\n\n[functions.prune") +
    "\n# mine\n[db]\nport = 2\n";
  assert.equal(
    removeFunctions(file, ["system-health"]),
    file.replace(/\[functions\.system-health\][^[]*static_files = \[\]\n\n/, ""),
  );
  assert.equal(removeFunctions(file, ["other"]), file);
});

Deno.test("a last line without its end gets one", () => {
  assert.equal(addFunctions("a = 1", ["b"]).slice(0, 7), "a = 1\n\n");
  assert.equal(addFunctions("a = 1", []), "a = 1");
});

Deno.test("a functions table that cannot be added to is refused, and so is text that is no TOML", () => {
  assert.throws(
    () => addFunctions("functions = { a = { verify_jwt = true } }\n", NAMES),
    /Cannot edit supabase\/config\.toml: .* write each function as a section/,
  );
  assert.throws(() => configuredFunctions("a = = 1"));
});
