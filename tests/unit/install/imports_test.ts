import assert from "node:assert/strict";
import { importedPaths, importsOf, rewriteImports } from "../../../install/imports.ts";

const module = `import { z } from "zod";
import type { A } from "../../../shared/a.ts";
import {
  b,
  type C,
} from "./b.ts";
import "./side-effect.ts";
export { d } from "../../../shared/deep/d.ts";
// import { no } from "./comment.ts" is text
const text = 'from "./text.ts"';
`;

Deno.test("importsOf() finds imports, exports and side effects in all their forms", () => {
  assert.deepEqual(importsOf(module), [
    "zod",
    "../../../shared/a.ts",
    "./b.ts",
    "./side-effect.ts",
    "../../../shared/deep/d.ts",
  ]);
});

Deno.test("importedPaths() gives paths from the root, without packages", () => {
  assert.deepEqual(importedPaths("supabase/functions/job/index.ts", module), [
    "shared/a.ts",
    "supabase/functions/job/b.ts",
    "supabase/functions/job/side-effect.ts",
    "shared/deep/d.ts",
  ]);
});

Deno.test("rewriteImports() changes what moved away from the module, and nothing else", () => {
  const moved = (path: string) => path.replace(/^shared\//, "supabase/functions/_shared/daybook/");
  assert.equal(
    rewriteImports("supabase/functions/job/index.ts", module, moved),
    module
      .replace("../../../shared/a.ts", "../_shared/daybook/a.ts")
      .replace("../../../shared/deep/d.ts", "../_shared/daybook/deep/d.ts"),
  );
  const shared = 'import { e } from "./errors.ts";\nimport { f } from "../f.ts";\n';
  assert.equal(rewriteImports("shared/deep/d.ts", shared, moved), shared);
});
