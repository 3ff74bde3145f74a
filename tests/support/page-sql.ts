/** The SQL of the documents: each statement, of code blocks and of code within sentences. */
import { readdir } from "node:fs/promises";

const root = new URL("../../", import.meta.url);

/** What a reader puts in the place of `<job>`. Nothing has these ids. */
const id = "00000000-0000-4000-8000-000000000000";
const filledIn: Record<string, string> = {
  "batch job": id,
  "command id": id,
  group: "night",
  id,
  job: "system-health",
  key: id,
  new: "a new secret",
  next_cursor: "job",
  organization: "Acme",
  "organization id": id,
  prompt: id,
  provider: "openai",
  ref: "abcdefghijklmnopqrst",
  run: id,
  "session id": id,
  "the secret": "a secret",
  "the time, with zone": "2026-03-02 12:00+00",
  "what echo printed": "a secret",
  who: "ann",
  why: "a reason",
};

export interface PageSql {
  path: string;
  /** The statements that are carried out one after another: those of a block, or the one of a sentence. */
  statements: string[];
}

/** Cuts SQL at its semicolons, but not at those in texts, names, comments and bodies. */
export function splitStatements(sql: string): string[] {
  const tokens = sql.matchAll(
    /--[^\n]*|E'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"[^"]*"|\$(\w*)\$[^]*?\$\1\$|;|[^]/g,
  );
  const statements = [""];
  for (const [token] of tokens) {
    if (token === ";") statements.push("");
    else if (!token.startsWith("--")) statements[statements.length - 1] += token;
  }
  return statements.map((text) => text.trim()).filter((text) => text !== "");
}

/** Code within the sentences of a page. */
const codeOf = (text: string) =>
  [...text.replace(/^```[^]*?^```/gm, "").matchAll(/`([^`]+)`/g)].map(([, code]) => code!);

/** The SQL of a page. Throws for a placeholder that has no value here. */
export function sqlOfPage(path: string, text: string): PageSql[] {
  const blocks = [...text.matchAll(/^```sql\n([^]*?)^```/gm)].map(([, block]) => block!);
  // "update prompts set status = 'active' …": the reader knows which.
  const sentences = codeOf(text).map((code) => code.replace(/ …$/, ""))
    .filter((code) => /^(select|update|insert into|delete from|with) [^…]*$/.test(code));
  const fill = (code: string) =>
    code.replace(/'((?:https:\/\/)?)<([^<>'\n]+)>/g, (_, before, name) => {
      if (!(name in filledIn)) throw new Error(`${path}: no value for <${name}> in ${code}`);
      return `'${before}${filledIn[name]}`;
    });
  return [...blocks, ...sentences].map((code) => ({
    path,
    statements: splitStatements(fill(code)),
  }));
}

/** The functions of SQL that sentences of a page name: `scheduler.beat()`, `try_mark_daily_run(day, scope)`. */
export const functionsOfPage = (text: string) =>
  codeOf(text).map((code) => /^([a-z_]+\.)?[a-z0-9_]+(?=\()/.exec(code)?.[0] ?? "")
    .filter((name) => /[._]/.test(name) && !name.startsWith("context."));

/** All pages but the decisions, which also tell what is not so. */
export async function readPages(): Promise<{ path: string; text: string }[]> {
  const namesIn = async (folder: string) =>
    (await readdir(new URL(folder, root))).filter((name) => name.endsWith(".md")).sort()
      .map((name) => folder + name);
  const paths = (await Promise.all(["", "docs/", "docs/jobs/"].map(namesIn))).flat();
  return Promise.all(
    paths.map(async (path) => ({ path, text: await Deno.readTextFile(new URL(path, root)) })),
  );
}
