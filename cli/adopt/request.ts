/** The one request that a command of pg_cron makes, read out of its SQL with the parser of Postgres itself. */
import { parseSync } from "libpg-query";
import { nameOf, nodes, type Tree } from "../audit/work.ts";
import { type Piece, readJson, type Value, writeJson } from "./json.ts";

export interface Request {
  url: Piece[];
  headers: { name: string; value: Piece[] }[];
  /** A JSON object, as text: numbers keep every digit. */
  payload: string;
  /** Undefined where the command leaves it to pg_net. */
  timeoutMs?: number;
}

/** Why a command is not one request that Daybook could make: the end of a sentence about the entry. */
export class Unadoptable extends Error {
  override readonly name = "Unadoptable";
}

const parameters = ["url", "body", "params", "headers", "timeout_milliseconds"];

/** @throws Unadoptable where the command does anything else. `loadSqlParser` must have run. */
export function requestOf(command: string): Request {
  const call = callOf(command);
  const given = argumentsOf(call);
  if (given.params !== undefined && payloadOf(given.params) !== "{}") {
    throw new Unadoptable("it sends parameters (params), and a job has none");
  }
  const timeout = given.timeout_milliseconds;
  return {
    url: urlOf(given.url),
    headers: given.headers === undefined ? [] : headersOf(given.headers),
    payload: given.body === undefined ? "{}" : payloadOf(given.body),
    ...(timeout === undefined ? {} : { timeoutMs: timeoutOf(timeout) }),
  };
}

function callOf(command: string): Tree {
  let statements: Tree[];
  try {
    statements = (parseSync(command).stmts ?? []).map(({ stmt }: { stmt: Tree }) => stmt);
  } catch {
    throw new Unadoptable("its SQL cannot be read");
  }
  const called = [...nodes(statements, "FuncCall")].map(({ node }) => node);
  const posts = called.filter((call) => /^http_(post|get|delete)$/.test(nameOf(call).at(-1)!));
  if (posts.length === 0) {
    throw new Unadoptable(
      [...nodes(statements, "String"), ...nodes(statements, "sval")]
          .some(({ node }) => /\bhttp_(post|get|delete)\s*\(/i.test(JSON.stringify(node)))
        ? "it makes its request within a block of code"
        : "it is SQL, and a job makes a request",
    );
  }
  if (posts.length > 1) throw new Unadoptable(`it makes ${posts.length} requests`);
  if (statements.length > 1) throw new Unadoptable("it has other statements beside its request");
  const [post] = posts as [Tree];
  const name = nameOf(post).join(".");
  if (name !== "net.http_post") {
    throw new Unadoptable(
      /^net\./.test(name)
        ? `it calls ${name}, and a job sends a POST`
        : `it calls ${name}, and only net.http_post is known`,
    );
  }
  if (!isBareSelect(statements[0]!, post)) {
    throw new Unadoptable(
      "it makes its request under conditions, or as part of a query; a job can have such a condition as its run_if",
    );
  }
  return post;
}

function isBareSelect(statement: Tree, post: Tree): boolean {
  const select = statement.SelectStmt as Tree | undefined;
  if (select === undefined) return false;
  const parts = Object.keys(select).filter((part) => !/^(targetList|limitOption|op)$/.test(part));
  const targets = (select.targetList ?? []) as { ResTarget: { val: Tree } }[];
  return parts.length === 0 && targets.length === 1 && targets[0]!.ResTarget.val.FuncCall === post;
}

function argumentsOf(call: Tree): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [index, argument] of ((call.args ?? []) as Tree[]).entries()) {
    const named = argument.NamedArgExpr as { name: string; arg: unknown } | undefined;
    const name = named?.name ?? parameters[index];
    if (name === undefined || !parameters.includes(name)) {
      throw new Unadoptable(`its request has an argument ${name ?? index + 1}, which is not known`);
    }
    given[name] = named?.arg ?? argument;
  }
  return given;
}

function urlOf(tree: unknown): Piece[] {
  const pieces = piecesOf(tree);
  if (pieces === undefined) throw new Unadoptable("its URL is computed as it runs");
  return pieces;
}

function headersOf(tree: unknown): Request["headers"] {
  const value = valueOf(tree);
  if (value === undefined) {
    throw new Unadoptable(
      isConstant(tree) ? "its headers are no JSON" : "its headers are computed as it runs",
    );
  }
  if (value.kind !== "object") throw new Unadoptable("its headers are no JSON object");
  return value.fields.map(([name, field]) => {
    if (field.kind === "object" || field.kind === "array") {
      throw new Unadoptable(`its header ${name} is no text`);
    }
    return { name, value: field.kind === "text" ? field.pieces : [{ text: field.json }] };
  });
}

function payloadOf(tree: unknown): string {
  const value = valueOf(tree);
  const json = value === undefined ? undefined : writeJson(value);
  if (json === undefined) {
    throw new Unadoptable(
      isConstant(tree)
        ? "its body is no JSON"
        : "its body is computed as it runs, and a job's payload is fixed",
    );
  }
  if (value!.kind !== "object") throw new Unadoptable("its body is no JSON object");
  return json;
}

function timeoutOf(tree: unknown): number {
  const value = valueOf(tree);
  const ms = value?.kind === "literal" ? Number(value.json) : NaN;
  if (!Number.isInteger(ms) || ms <= 0) throw new Unadoptable("its timeout is computed as it runs");
  return ms;
}

type Constant = {
  sval?: { sval?: string };
  ival?: { ival?: number };
  fval?: { fval: string };
  boolval?: { boolval?: boolean };
  isnull?: boolean;
};

const constantIn = (tree: unknown) => (tree as { A_Const?: Constant } | undefined)?.A_Const;

function isConstant(tree: unknown): boolean {
  const cast = castIn(tree);
  return cast === undefined ? constantIn(tree) !== undefined : isConstant(cast.of);
}

/** A cast: its type (the last part of the name), and what it casts. */
function castIn(tree: unknown): { type: string; of: unknown } | undefined {
  const cast = (tree as { TypeCast?: { arg: unknown; typeName: Tree } } | undefined)?.TypeCast;
  if (cast === undefined) return undefined;
  const names = cast.typeName.names as { String: { sval: string } }[];
  return { type: names.at(-1)!.String.sval, of: cast.arg };
}

/** A text of constants, secrets of Vault and settings; undefined for anything else. */
function piecesOf(tree: unknown): Piece[] | undefined {
  const constant = constantIn(tree);
  if (constant !== undefined) {
    return constant.sval === undefined ? undefined : [{ text: constant.sval.sval ?? "" }];
  }
  const cast = castIn(tree);
  if (cast !== undefined) return /^(text|varchar)$/.test(cast.type) ? piecesOf(cast.of) : undefined;
  const { A_Expr: expression, FuncCall: call, SubLink: question } = (tree ?? {}) as {
    A_Expr?: Tree;
    FuncCall?: Tree;
    SubLink?: Tree;
  };
  if (expression !== undefined && operatorOf(expression) === "||") {
    return joined([expression.lexpr, expression.rexpr]);
  }
  if (question !== undefined) return vaultIn(question);
  if (call === undefined) return undefined;
  const name = nameOf(call).at(-1);
  const given = (call.args ?? []) as unknown[];
  if (name === "concat") return joined(given);
  const [setting] = piecesOf(given[0]) ?? [];
  return name === "current_setting" && setting !== undefined && "text" in setting
    ? [{ setting: setting.text }]
    : undefined;
}

function joined(trees: unknown[]): Piece[] | undefined {
  const all = trees.map(piecesOf);
  return all.includes(undefined) ? undefined : simplified(all.flatMap((pieces) => pieces!));
}

/** Texts beside each other are one. */
function simplified(pieces: Piece[]): Piece[] {
  return pieces.reduce((list: Piece[], piece) => {
    const last = list.at(-1);
    return "text" in piece && last !== undefined && "text" in last
      ? [...list.slice(0, -1), { text: last.text + piece.text }]
      : [...list, piece];
  }, []);
}

function operatorOf({ kind, name }: Tree): string | undefined {
  return kind === "AEXPR_OP" ? (name as { String: { sval: string } }[])[0]!.String.sval : undefined;
}

/** `(select decrypted_secret from vault.decrypted_secrets where name = '…')`, with or without a limit. */
function vaultIn({ subLinkType, subselect }: Tree): Piece[] | undefined {
  const select = (subselect as Tree | undefined)?.SelectStmt as Tree | undefined;
  if (subLinkType !== "EXPR_SUBLINK" || select === undefined) return undefined;
  const known = /^(targetList|fromClause|whereClause|limitCount|limitOption|op)$/;
  const [table, ...tables] = (select.fromClause ?? []) as Tree[];
  const { schemaname, relname } = (table?.RangeVar ?? {}) as Record<string, unknown>;
  const { A_Expr: where } = (select.whereClause ?? {}) as { A_Expr?: Tree };
  const columns = (select.targetList as { ResTarget: { val: unknown } }[]).map(({ ResTarget }) =>
    columnOf(castIn(ResTarget.val)?.of ?? ResTarget.val)
  );
  if (
    Object.keys(select).some((part) => !known.test(part)) || tables.length > 0 ||
    schemaname !== "vault" || relname !== "decrypted_secrets" ||
    columns.join() !== "decrypted_secret" || where === undefined || operatorOf(where) !== "="
  ) return undefined;
  const sides = [where.lexpr, where.rexpr];
  const [name] = sides.flatMap((side) => piecesOf(side) ?? []);
  return sides.some((side) => columnOf(side) === "name") && name !== undefined && "text" in name
    ? [{ vault: name.text }]
    : undefined;
}

/** The name of a column, without its table's; undefined for what is none. */
function columnOf(tree: unknown): string | undefined {
  const { ColumnRef: column } = tree as { ColumnRef?: Tree };
  return (column?.fields as { String?: { sval: string } }[] | undefined)?.at(-1)?.String?.sval;
}

/** A value of JSON; undefined where it is computed in another way. */
function valueOf(tree: unknown): Value | undefined {
  const cast = castIn(tree);
  if (cast !== undefined && /^jsonb?$/.test(cast.type)) return valueOf(cast.of);
  const { FuncCall: call } = (tree ?? {}) as { FuncCall?: Tree };
  const name = call === undefined ? "" : nameOf(call).at(-1)!;
  const given = (call?.args ?? []) as unknown[];
  if (/^jsonb?_build_object$/.test(name)) return objectOf(given);
  if (/^jsonb?_build_array$/.test(name)) {
    const items = given.map(memberOf);
    return items.includes(undefined) ? undefined : { kind: "array", items: items as Value[] };
  }
  const number = literalOf(constantIn(tree));
  if (number !== undefined) return number;
  const pieces = piecesOf(tree);
  return pieces === undefined ? undefined : readJson(pieces);
}

function objectOf(given: unknown[]): Value | undefined {
  const fields: [string, Value][] = [];
  for (let index = 0; index < given.length; index += 2) {
    const [key, ...more] = piecesOf(given[index]) ?? [];
    const value = memberOf(given[index + 1]);
    if (key === undefined || more.length > 0 || !("text" in key) || value === undefined) {
      return undefined;
    }
    fields.push([key.text, value]);
  }
  return { kind: "object", fields };
}

/** An argument of `jsonb_build_object`: a text is a text, and no JSON. */
function memberOf(tree: unknown): Value | undefined {
  const literal = literalOf(constantIn(tree));
  if (literal !== undefined) return literal;
  const pieces = piecesOf(tree);
  return pieces === undefined ? valueOf(tree) : { kind: "text", pieces };
}

function literalOf(constant: Constant | undefined): Value | undefined {
  if (constant === undefined || constant.sval !== undefined) return undefined;
  const { ival, fval, boolval, isnull } = constant;
  const json = isnull
    ? "null"
    : boolval !== undefined
    ? String(boolval.boolval ?? false)
    : fval?.fval ?? String(ival?.ival ?? 0);
  // Postgres reads `1.` as a number, and JSON does not.
  return /^(null|true|false|-?\d+(\.\d+)?(e[+-]?\d+)?)$/i.test(json)
    ? { kind: "literal", json }
    : undefined;
}
