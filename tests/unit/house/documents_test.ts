import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { readReleases, readVersion } from "../../../local/releases.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, root));

Deno.test("the newest heading of CHANGELOG.md is the version of deno.json, dated as in releases.json", async () => {
  const [, version, date] = /^## \[(.+)\] - (.+)$/m.exec(await read("CHANGELOG.md")) ?? [];
  assert.equal(version, await readVersion());
  assert.equal(date, (await readReleases()).at(-1)?.date ?? "unreleased");
});

Deno.test("docs/decisions/README.md lists every decision by its title, and each page has its date and its parts", async () => {
  const index = await read("docs/decisions/README.md");
  const names = (await readdir(new URL("docs/decisions/", root))).filter((name) =>
    /^\d/.test(name)
  );
  assert.ok(names.length > 30, String(names));
  const pages = await Promise.all(names.map(async (name) => ({
    name,
    page: await read(`docs/decisions/${name}`),
  })));
  for (const { name, page } of pages) {
    const [title] = /(?<=^# ).+/.exec(page) ?? [];
    assert.ok(index.includes(`- [${title}](${name})\n`), name);
    assert.equal(page.split("\n")[2]?.slice(0, 10), name.slice(0, 10), name);
    for (const heading of ["Context", "Decision"]) {
      assert.ok(page.includes(`\n## ${heading}\n`), `${name}: ${heading}`);
    }
  }
});

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) =>
    heading!.replace(/\[(.*?)\]\(.*?\)/g, "$1").toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("every link from one document to another leads to a page and a heading that are there", async () => {
  const pages = async (folder: string) =>
    (await readdir(new URL(folder, root), { recursive: true })).map((name) => folder + name);
  const documents = [...await readdir(root), ...await pages("docs/")].filter((name) =>
    name.endsWith(".md")
  );
  assert.ok(documents.length > 20, String(documents));
  const broken: string[] = [];
  for (const path of documents) {
    const text = (await read(path)).replace(/^```[^]*?^```/gm, "");
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue;
      const target = new URL(link!, new URL(path, root));
      const anchor = target.hash.slice(1);
      target.hash = "";
      const found = await stat(target).catch(() => undefined);
      const reached = found !== undefined && (anchor === "" ||
        anchorsOf(await Deno.readTextFile(target)).includes(anchor));
      if (!reached) broken.push(`${path}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

Deno.test("every field of a result that a job's page shows is in the job's code", async () => {
  const folder = new URL("docs/jobs/", root);
  const unknown: string[] = [];
  let fields = 0;
  for (const name of await readdir(folder)) {
    const page = await Deno.readTextFile(new URL(name, folder));
    const job = new URL(`supabase/functions/${name.replace(".md", "")}/`, root);
    const code = (await Promise.all(
      (await readdir(job)).filter((file) => file.endsWith(".ts"))
        .map((file) => Deno.readTextFile(new URL(file, job))),
    )).join("\n");
    for (const [, example] of page.matchAll(/^```json\n(\{\n {2}"summary"[^]*?)^```/gm)) {
      for (const field of Object.keys(JSON.parse(example!))) {
        fields++;
        if (!new RegExp(`\\b${field}\\b`).test(code)) unknown.push(`${name}: ${field}`);
      }
    }
  }
  assert.ok(fields > 40, String(fields));
  assert.deepEqual(unknown, []);
});
