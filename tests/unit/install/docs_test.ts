import assert from "node:assert/strict";
import { LEDGER } from "../../../install/migrations.ts";
import { readPacks, withNeeds } from "../../../local/packs.ts";

const page = await Deno.readTextFile(new URL("../../../docs/installing.md", import.meta.url));

Deno.test("docs/installing.md says of each pack what it needs", async () => {
  const packs = await readPacks();
  const rows = [...page.matchAll(/^\| `([a-z-]+)` +\|.*\| +((?:`[a-z-]+`(?:, )?)*) *\|$/gm)];
  assert.ok(rows.length >= 8, String(rows.length));
  for (const [, name, needs] of rows) {
    const said = [...needs!.matchAll(/`([a-z-]+)`/g)].map((match) => match[1]!);
    const names = (list: string[]) => withNeeds(packs, list).map((pack) => pack.name);
    assert.deepEqual(names([name!]), names([...said, name!]), name);
    assert.deepEqual(
      names(packs.find((pack) => pack.name === name)!.needs),
      names(said),
      name,
    );
  }
});

Deno.test("docs/installing.md names the tables that stay when the core goes", () => {
  const [said] = /\*\*The ledger stays\*\*[^.]+\./.exec(page) ?? [];
  const named = [...said!.matchAll(/`(scheduler_\w+)`/g)].map(([, name]) => name);
  assert.deepEqual(named.sort(), LEDGER);
});
