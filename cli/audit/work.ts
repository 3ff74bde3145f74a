/** What a command does. SQL is read with the parser of Postgres itself. */
import { loadModule, parseSync } from "libpg-query";
import type { Work } from "./entry.ts";

export type Tree = { [key: string]: unknown };

/** Once, before `workOfSql`. */
export const loadSqlParser: () => Promise<void> = loadModule;

/** Keys of a payload that only say who asked, or when. */
export const labels =
  /^(source|trigger|triggered_?by|time|timestamp|schedule|scheduled_?at|job|job_?name)$/i;

/** Of a command of pg_cron. What the parser cannot read is compared as text. */
export function workOfSql(command: string): Work {
  let statements: Tree[];
  try {
    statements = (parseSync(command).stmts ?? []).map(({ stmt }: { stmt: Tree }) => stmt);
  } catch {
    return { ...workOfText(command), kind: mentionsPost(command) ? "http" : "sql" };
  }
  const exactKey = keyOf(statements, false);
  const posts = [...nodes(statements, "FuncCall")].map(({ node }) => node).filter(isPost);
  const hidden = [...nodes(statements, "String")].some(({ node }) =>
    mentionsPost(String(node.sval ?? ""))
  );
  const kind = posts.length > 0 || hidden ? "http" : "sql";
  const [post] = posts;
  const needs = needsOf(statements);
  if (post === undefined || posts.length > 1) {
    return { key: exactKey, exactKey, label: shorten(command), kind, needs };
  }
  const url = textsIn(argument(post, "url", 0)).join("…");
  const functionName = functionIn(url);
  const timeout = argument(post, "timeout_milliseconds", methodOf(post) === "post" ? 4 : 3);
  const timeoutMs = timeout === undefined ? undefined : numberIn(timeout);
  const only = statements.length === 1 && statements[0]!.SelectStmt !== undefined &&
    (statements[0]!.SelectStmt as Tree).fromClause === undefined;
  return {
    key: only ? targetKey(post, url, true) : keyOf(statements, true),
    exactKey: only ? targetKey(post, url, false) : exactKey,
    label: functionName === undefined
      ? `${methodOf(post).toUpperCase()} ${shorten(url || command)}`
      : `function ${functionName}`,
    kind,
    needs,
    ...(functionName === undefined ? {} : { functionName }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(only ? { requests: 1 } : {}),
  };
}

/** Of a command of a shell, a path or a description. */
export function workOfText(command: string, label?: string): Work {
  const text = command.replace(/(?<=^|\s)\d?>>?\s*(?:&\d|\S+)/g, "").replace(/\s+/g, " ").trim();
  const [url] = /https?:\/\/[^\s"']+/.exec(text) ?? [];
  const functionName = url === undefined ? undefined : functionIn(url);
  const key = text.toLowerCase();
  return {
    key,
    exactKey: text,
    label: label ?? (functionName === undefined ? shorten(text) : `function ${functionName}`),
    kind: "other",
    needs: [],
    ...(functionName === undefined ? {} : { functionName }),
  };
}

/** What is asked of whom: without headers and timeout. */
function targetKey(post: Tree, url: string, withoutLabels: boolean): string {
  const payload = methodOf(post) === "post"
    ? [argument(post, "body", 1), argument(post, "params", 2)]
    : [argument(post, "params", 1)];
  return `${methodOf(post)} ${url} ${keyOf(payload, withoutLabels)}`;
}

/** The edge function that a URL names. */
export function functionIn(url: string): string | undefined {
  return /\/functions\/v1\/([\w-]+)/.exec(url)?.[1];
}

function mentionsPost(text: string): boolean {
  return /\bnet\.http_(post|get|delete)\s*\(/i.test(text);
}

export function nameOf(call: Tree): string[] {
  return (call.funcname as { String: { sval: string } }[]).map(({ String }) => String.sval);
}

function isPost(call: Tree): boolean {
  return /^(net\.)?http_(post|get|delete)$/.test(nameOf(call).join("."));
}

function methodOf(call: Tree): string {
  return nameOf(call).at(-1)!.replace("http_", "");
}

function argument(call: Tree, name: string, position: number): unknown {
  const list = (call.args ?? []) as Tree[];
  const named = list.find(({ NamedArgExpr }) => (NamedArgExpr as Tree)?.name === name);
  if (named !== undefined) return (named.NamedArgExpr as Tree).arg;
  const at = list[position];
  return at?.NamedArgExpr === undefined ? at : undefined;
}

/** Every node of that type. */
export function* nodes(tree: unknown, type: string): Generator<{ node: Tree }> {
  if (tree === null || typeof tree !== "object") return;
  for (const [key, value] of Object.entries(tree)) {
    if (key === type) yield { node: value as Tree };
    yield* nodes(value, type);
  }
}

function textsIn(tree: unknown): string[] {
  return [...nodes({ tree }, "sval")].map(({ node }) =>
    typeof node === "string" ? node : String(node.sval ?? "")
  );
}

function numberIn(tree: unknown): number | undefined {
  const [found] = [...nodes({ tree }, "ival")].map(({ node }) => node);
  const value = typeof found === "number" ? found : found?.ival;
  return typeof value === "number" ? value : undefined;
}

/** A tree as text, without the places at which its parts stood; labels of payloads left out where told. */
function keyOf(tree: unknown, withoutLabels: boolean): string {
  return JSON.stringify(tree, (key, value) => {
    if (/^(location|rexpr_list_(start|end)|stmt_location|stmt_len)$/.test(key)) return undefined;
    if (!withoutLabels || key !== "sval" || typeof value !== "string") return value;
    try {
      const payload = JSON.parse(value);
      if (payload === null || typeof payload !== "object" || Array.isArray(payload)) return value;
      return Object.fromEntries(Object.entries(payload).filter(([name]) => !labels.test(name)));
    } catch {
      return value;
    }
  });
}

/** What a command needs to be there. What it makes itself is not known apart, so with DDL nothing is said. */
function needsOf(statements: Tree[]): Work["needs"] {
  const plain = /^(Select|Insert|Update|Delete|Merge|Call)Stmt$/;
  if (!statements.every((statement) => Object.keys(statement).every((type) => plain.test(type)))) {
    return [];
  }
  const given = new Set(
    [...nodes(statements, "CommonTableExpr")].map(({ node }) => node.ctename as string),
  );
  const tables = [...nodes(statements, "RangeVar"), ...nodes(statements, "relation")]
    .map(({ node }) => node)
    .filter(({ relname, schemaname }) =>
      typeof relname === "string" && (schemaname !== undefined || !given.has(relname))
    )
    .map(({ relname, schemaname }) => need("table", schemaname as string, relname as string));
  const functions = [...nodes(statements, "FuncCall"), ...nodes(statements, "funccall")]
    .map(({ node }) => node)
    .filter(({ funcname }) => funcname !== undefined)
    .map((call) => {
      const [name, schema] = nameOf(call).reverse();
      return need("function", schema, name!);
    });
  const all = [...tables, ...functions];
  return all.filter((one, index) =>
    all.findIndex((other) => JSON.stringify(other) === JSON.stringify(one)) === index
  );
}

function need(kind: "function" | "table", schema: string | undefined, name: string) {
  return { kind, name, ...(schema === undefined ? {} : { schema }) };
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 60 ? `${line.slice(0, 57)}…` : line;
}
