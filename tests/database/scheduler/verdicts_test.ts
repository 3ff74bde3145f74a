import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

Deno.test("the runbook explains every verdict there is, and no other", async () => {
  const runbook = await Deno.readTextFile(new URL("../../../docs/operations.md", import.meta.url));
  const section = runbook.split("\n## Every verdict\n")[1]!.split("\n## ")[0]!;
  const explained = [...section.matchAll(/^\| `([a-z_]+)` +\|/gm)].map((match) => match[1]!);
  await withDatabase(async ({ sql }) => {
    const verdicts = await sql`select verdict from scheduler.verdicts`;
    assert.deepEqual(explained.sort(), verdicts.map(({ verdict }) => verdict as string).sort());
  });
});

Deno.test("every verdict that the state machine writes is one of the list", async () => {
  await withDatabase(async ({ sql }) => {
    const known = new Set(
      (await sql`select verdict from scheduler.verdicts`).map(({ verdict }) => verdict),
    );
    const [answers] = await sql`
      select array_agg(distinct verdict) as verdicts from (
        select scheduler.answer_verdict(receipt, status, false, null) as verdict
        from unnest(array['function', 'response']) as receipt, generate_series(100, 599) as status
        union all
        select scheduler.answer_verdict(receipt, null, timed_out, error)
        from unnest(array['function', 'response']) as receipt, unnest(array[true, false]) as timed_out,
          unnest(array['Timeout was reached', 'Couldn''t connect to server', null]) as error
        union all
        select scheduler.completed_verdict(status) from unnest(array[null, 202, 504]) as status
      ) as all_answers where verdict is not null`;
    for (const verdict of answers!.verdicts) assert.ok(known.has(verdict), verdict);
  });
});
