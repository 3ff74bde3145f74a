/** The codes of docs/errors.md, and those that the code has. */
import { readdir } from "node:fs/promises";

const root = new URL("../../", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/errors.md", root));

/** The first two cells of each row in the tables under a heading, without backticks. */
function rowsUnder(heading: string): [string, string][] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0];
  if (section === undefined) throw new Error(`docs/errors.md has no heading "${heading}"`);
  return section.split("\n").filter((line) => /^\| *(`|\d)/.test(line)).map((line) => {
    const [first, second] = line.split("|").slice(1).map((cell) => cell.trim().replaceAll("`", ""));
    return [first!, second!];
  });
}

/** `400 invalid_input`, as the page has them. */
export const documentedAnswers = () =>
  rowsUnder("Answers of the functions").map((cells) => cells.join(" ")).sort();

/** The SQLSTATEs of the class SD, as the page has them. */
export const documentedOwnStates = () =>
  rowsUnder("SQLSTATEs of Daybook's own").map(([state]) => state).sort();

const postgresRows = () => rowsUnder("SQLSTATEs of Postgres that Daybook raises");

/** The SQLSTATEs of Postgres, as the page has them. */
export const documentedPostgresStates = () => sorted(postgresRows().map(([state]) => state));

/** How the messages begin that the page has for a SQLSTATE of Postgres. */
export const documentedMessages = (state: string) =>
  postgresRows().filter(([row]) => row === state).flatMap(([, messages]) => messages.split(", "))
    .map((message) => message.split("…")[0]!.trim());

/** The files under a folder of the repository whose names end like that. */
async function filesUnder(
  folder: string,
  ending: string,
): Promise<{ path: string; text: string }[]> {
  const names = (await readdir(new URL(folder, root), { recursive: true })).sort();
  return Promise.all(
    names.filter((name) => name.endsWith(ending)).map(async (name) => {
      const path = `${folder}/${name}`;
      return { path, text: await Deno.readTextFile(new URL(path, root)) };
    }),
  );
}

const sorted = (codes: Iterable<string>) => [...new Set(codes)].sort();

/** `400 invalid_input`, as the functions answer them. Throws where a code is not written as a literal. */
export async function answersInCode(): Promise<string[]> {
  const codes: string[] = [];
  for (const folder of ["shared", "supabase/functions"]) {
    for (const { path, text } of await filesUnder(folder, ".ts")) {
      const found = [...text.matchAll(/new HttpError\(\s*(\d{3}),\s*"(\w+)"/g)];
      if (found.length !== text.split("new HttpError(").length - 1) {
        throw new Error(`${path}: an HttpError whose status and code are not literals`);
      }
      codes.push(...found.map(([, status, code]) => `${status} ${code}`));
      // What a person who waited for a run is answered is the run's outcome.
      const outcomes = /interface Receipt \{\s+outcome: (.+);/.exec(text)?.[1]?.split(" | ") ?? [];
      for (const outcome of outcomes) {
        const status = outcome === '"deferred"' ? 503 : 500;
        if (outcome !== '"completed"') codes.push(`${status} ${outcome.replaceAll('"', "")}`);
      }
    }
  }
  return sorted(codes);
}

/** The files whose SQL reaches a database of other people. */
async function sqlFiles(): Promise<{ path: string; text: string }[]> {
  const guard = "local/guard.sql";
  return [
    ...await filesUnder("supabase/sql", ".sql"),
    ...(await filesUnder("install", ".sql")).filter(({ path }) => !path.includes("templates")),
    { path: guard, text: await Deno.readTextFile(new URL(guard, root)) },
  ];
}

/**
 * The SQLSTATEs that the SQL raises, P0001 where it says none, with the messages that are written there; and the own
 * ones that anything speaks of.
 */
export async function statesInCode(): Promise<{
  raised: string[];
  mentioned: string[];
  messages: { state: string; message: string }[];
}> {
  const raised: string[] = [];
  const mentioned: string[] = [];
  const messages: { state: string; message: string }[] = [];
  for (const { path, text } of await sqlFiles()) {
    for (const [, using] of text.matchAll(/\braise exception([^;]*);/g)) {
      const codes = /errcode =([^,]*)/.exec(using!)?.[1];
      const message = /message = (?:\w+\((?:': ', )?)?'((?:''|[^'])*)/.exec(using!)?.[1];
      if (codes?.trim() === "sqlstate") continue;
      const found = codes === undefined
        ? ["P0001"]
        : [...codes.matchAll(/'([0-9A-Z]{5})'/g)].map(([, code]) => code!);
      if (found.length === 0) throw new Error(`${path}: no SQLSTATE in errcode =${codes}`);
      raised.push(...found);
      // Without a message by name it is caught where it is raised.
      if (message !== undefined) messages.push(...found.map((state) => ({ state, message })));
    }
  }
  for (
    const [folder, ending] of [
      ["supabase/sql", ".sql"],
      ["supabase/functions", ".ts"],
      ["shared", ".ts"],
      ["docs", ".md"],
    ] as const
  ) {
    for (const { text } of await filesUnder(folder, ending)) {
      mentioned.push(...[...text.matchAll(/\bSD\d{3}\b/g)].map(([code]) => code));
    }
  }
  return { raised: sorted(raised), mentioned: sorted(mentioned), messages };
}
