import assert from "node:assert/strict";
import { packSql, readPacks, readSchedules, withNeeds } from "../../../local/packs.ts";

const root = new URL("../../../", import.meta.url);
const packs = await readPacks();

/** The names in a folder, sorted. */
const namesIn = (path: string) =>
  [...Deno.readDirSync(new URL(path, root))].map(({ name }) => name).sort();

Deno.test("packs.json has every folder and file of supabase/sql, once", () => {
  assert.deepEqual(namesIn("supabase/sql/"), packs.map(({ name }) => name).sort());
  for (const { name, sql } of packs) {
    const files = namesIn(`supabase/sql/${name}/`).filter((file) => file !== "changes");
    assert.deepEqual(files, sql.map((subject) => `${subject}.sql`).sort(), name);
    assert.equal(sql.at(-1), "privileges", `${name}: nothing is made after the rights are taken`);
  }
});

Deno.test("each edge function belongs to one pack", () => {
  assert.deepEqual(
    packs.flatMap(({ functions }) => functions).sort(),
    namesIn("supabase/functions/"),
  );
});

Deno.test("schedules.json has jobs of packs, each of a function of its own pack", async () => {
  for (const [name, jobs] of Object.entries(await readSchedules())) {
    const pack = packs.find((pack) => pack.name === name);
    assert.ok(pack, name);
    for (const { name: job, target, description } of jobs) {
      assert.ok(description, `${name}: ${job} has no description`);
      assert.ok(pack.functions.includes(target ?? job), `${name}: ${job}`);
    }
  }
});

/** What a pack makes: its schema, and what it creates in public. */
async function ownNames(pack: typeof packs[number]): Promise<string[]> {
  const text = (await packSql(pack)).replaceAll(/--.*$/gm, "");
  const created = text.matchAll(
    /\bcreate (?:unlogged )?(?:table|view|function) public\.([a-z_0-9]+)/g,
  );
  return [...new Set([...created].map(([, name]) => name!))];
}

Deno.test("the SQL of a pack names nothing of a pack that it does not need", async () => {
  const owners = new Map<string, string>();
  for (const pack of packs) {
    for (const name of await ownNames(pack)) owners.set(name, pack.name);
  }
  assert.ok(owners.size > 80, String(owners.size));
  for (const pack of packs) {
    const needed = withNeeds(packs, [pack.name]).map(({ name }) => name);
    const text = await packSql(pack);
    for (const [, name] of text.matchAll(/\bpublic\.([a-z_0-9]+)/g)) {
      const owner = owners.get(name!);
      assert.ok(
        owner === undefined || needed.includes(owner),
        `${pack.name} names ${name} of ${owner}`,
      );
    }
    for (const other of packs.filter(({ name }) => !needed.includes(name))) {
      const found = new RegExp(`\\b${other.schema}\\.[a-z_]+`).exec(text);
      assert.equal(found, null, `${pack.name} names ${found?.[0]}`);
    }
  }
});

Deno.test("the core has no word of another pack, not even in a comment", async () => {
  const [core, ...others] = packs;
  assert.equal(core!.name, "scheduler");
  const text = (await packSql(core!)).toLowerCase();
  const words = [
    ...others.map(({ schema }) => schema),
    ...["eliza", "xmrt", "charging", "organization", "prompt", "suggestion", "conversation"],
    ...["repositor", "batch_", "api_key", "device", "agent"],
  ];
  for (const word of words.filter((word) => word !== "actions" && word !== "agents")) {
    assert.ok(
      !text.includes(word),
      `${word}: ${text.slice(text.indexOf(word) - 60).slice(0, 120)}`,
    );
  }
  for (const name of core!.functions) {
    for (const file of namesIn(`supabase/functions/${name}/`)) {
      const source = Deno.readTextFileSync(new URL(`supabase/functions/${name}/${file}`, root));
      for (const { schema, functions } of others) {
        for (const word of [`${schema}.`, ...functions]) {
          assert.ok(!source.includes(word), `${name}/${file}: ${word}`);
        }
      }
    }
  }
});

Deno.test("withNeeds() takes what a pack needs along, in order, and knows no other names", () => {
  const names = (wanted: string[]) => withNeeds(packs, wanted).map(({ name }) => name);
  assert.deepEqual(names(["scheduler"]), ["scheduler"]);
  assert.deepEqual(names(["code-monitor"]), ["scheduler", "agents", "api-keys", "code-monitor"]);
  assert.deepEqual(names(["actions", "devices"]), ["scheduler", "devices", "actions"]);
  assert.throws(
    () => names(["nonsense"]),
    /no pack named nonsense; the packs are: scheduler, devices/,
  );
});

Deno.test("a line of supabase/sql has at most 120 characters", () => {
  const long: string[] = [];
  for (const { name, sql } of packs) {
    for (const subject of sql) {
      const file = `supabase/sql/${name}/${subject}.sql`;
      Deno.readTextFileSync(new URL(file, root)).split("\n").forEach((line, index) => {
        if (line.length > 120) long.push(`${file}:${index + 1}`);
      });
    }
  }
  assert.deepEqual(long.length, 0, `${long.length}: ${long.slice(0, 20).join(" ")}`);
});
