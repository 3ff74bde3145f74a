/**
 * The names that a project's migrations give, read with the parser of Postgres itself: they cannot simply be run, because
 * they may need extensions and schemas that only the project's own database has.
 */
import { loadModule, parseSync } from "libpg-query";
import { keyOf, type Name } from "../local/names.ts";

/** A name with the file that gave it. */
export interface FoundName extends Name {
  where: string;
}

type Tree = { [key: string]: unknown };
/** A name and its schema. */
interface Place {
  schema: string;
  name: string;
}

/** What is there after these migrations, in their order. Throws where one cannot be read. */
export async function namesAfter(
  migrations: readonly { file: string; text: string }[],
): Promise<FoundName[]> {
  await loadModule();
  const found = new Map<string, FoundName>();
  for (const { file, text } of migrations) {
    for (const change of changesOf(file, text)) {
      const key = keyOf(change);
      if (change.gone) found.delete(key);
      else found.set(key, { kind: change.kind, name: change.name, where: file });
    }
  }
  return [...found.values()];
}

interface Change extends Name {
  gone: boolean;
}

function changesOf(file: string, text: string): Change[] {
  try {
    return (parseSync(text).stmts ?? []).flatMap(({ stmt }: { stmt: Tree }) =>
      statementChanges(stmt)
    );
  } catch (error) {
    throw new Error(
      `Cannot read ${file}: ${
        (error as Error).message
      }; look into the database instead, with --db-url`,
      { cause: error },
    );
  }
}

/** What one statement makes and takes away. */
function statementChanges(statement: Tree): Change[] {
  const [[type, node]] = Object.entries(statement) as [[string, Tree]];
  const made = MAKERS[type]?.(node);
  if (made) return inPublic(made, false);
  switch (type) {
    case "CreateSchemaStmt":
      return [{ kind: "schema", name: node.schemaname as string, gone: false }];
    case "DropStmt": {
      const kind = KINDS[node.removeType as string];
      if (kind === "schema") {
        return listOf(node.objects).map((item) => ({ kind, name: text(item), gone: true }));
      }
      return kind === undefined
        ? []
        : listOf(node.objects).flatMap((item) => inPublic({ kind, ...placeOf(item) }, true));
    }
    case "RenameStmt":
    case "AlterObjectSchemaStmt":
      return moved(node);
    case "SelectStmt":
    case "DoStmt":
      return [
        ...inPublic(MAKERS.CreateTableAsStmt!({ into: node.intoClause }), false),
        ...cronChanges(node),
      ];
    default:
      return [];
  }
}

function moved(node: Tree): Change[] {
  const kind = KINDS[(node.renameType ?? node.objectType) as string];
  if (kind === undefined) return [];
  if (kind === "schema") {
    return [
      { kind, name: node.subname as string, gone: true },
      { kind, name: node.newname as string, gone: false },
    ];
  }
  const before = placeOf((node.relation ?? node.object) as Tree);
  const after = {
    schema: (node.newschema as string | undefined) ?? before.schema,
    name: (node.newname as string | undefined) ?? before.name,
  };
  return [...inPublic({ kind, ...before }, true), ...inPublic({ kind, ...after }, false)];
}

/** Which statement makes what. */
const MAKERS: Record<string, (node: Tree) => (Place & { kind: string }) | undefined> = {
  CreateStmt: (node) => ({ kind: "table", ...placeOf(node.relation) }),
  CreateForeignTableStmt: (node) => ({ kind: "table", ...placeOf((node.base as Tree).relation) }),
  CreateTableAsStmt: (node) => {
    const into = node.into as Tree | undefined;
    const kind = node.objtype === "OBJECT_MATVIEW" ? "materialized view" : "table";
    return into && { kind, ...placeOf(into.rel) };
  },
  ViewStmt: (node) => ({ kind: "view", ...placeOf(node.view) }),
  CreateSeqStmt: (node) => ({ kind: "sequence", ...placeOf(node.sequence) }),
  IndexStmt: (node) =>
    node.idxname === undefined
      ? undefined
      : { kind: "index", schema: placeOf(node.relation).schema, name: node.idxname as string },
  CompositeTypeStmt: (node) => ({ kind: "type", ...placeOf(node.typevar) }),
  CreateEnumStmt: (node) => ({ kind: "type", ...placeOf(node.typeName) }),
  CreateRangeStmt: (node) => ({ kind: "type", ...placeOf(node.typeName) }),
  CreateDomainStmt: (node) => ({ kind: "type", ...placeOf(node.domainname) }),
  CreateFunctionStmt: (node) => ({ kind: "function", ...placeOf(node.funcname) }),
};

/** The kinds by which one drops and renames. */
const KINDS: Record<string, string> = {
  OBJECT_SCHEMA: "schema",
  OBJECT_TABLE: "table",
  OBJECT_FOREIGN_TABLE: "table",
  OBJECT_VIEW: "view",
  OBJECT_MATVIEW: "materialized view",
  OBJECT_SEQUENCE: "sequence",
  OBJECT_INDEX: "index",
  OBJECT_TYPE: "type",
  OBJECT_DOMAIN: "type",
  OBJECT_FUNCTION: "function",
  OBJECT_PROCEDURE: "function",
  OBJECT_ROUTINE: "function",
};

function inPublic(made: (Place & { kind: string }) | undefined, gone: boolean): Change[] {
  return made?.schema === "public" ? [{ kind: made.kind, name: made.name, gone }] : [];
}

/** However the parser writes a name with its schema. */
function placeOf(node: unknown): Place {
  if (Array.isArray(node)) {
    const parts = node.map(text);
    return { schema: parts.at(-2) ?? "public", name: parts.at(-1)! };
  }
  const tree = node as Tree;
  if ("relname" in tree) {
    return {
      schema: (tree.schemaname as string | undefined) ?? "public",
      name: tree.relname as string,
    };
  }
  return placeOf(
    (tree.List as Tree)?.items ?? (tree.ObjectWithArgs as Tree)?.objname ??
      (tree.TypeName as Tree)?.names,
  );
}

/** What is scheduled and unscheduled by name, wherever it stands in the statement. */
function cronChanges(node: unknown): Change[] {
  if (Array.isArray(node)) return node.flatMap(cronChanges);
  if (typeof node === "string") return cronCalls(node);
  if (node === null || typeof node !== "object") return [];
  const { FuncCall: call } = node as { FuncCall?: Tree };
  const inner = Object.values(node).flatMap(cronChanges);
  if (call === undefined) return inner;
  const called = (call.funcname as unknown[]).map(text).join(".");
  const [first] = listOf(call.args);
  const name = (first?.A_Const as { sval?: { sval?: string } } | undefined)?.sval?.sval;
  return name !== undefined && /^cron\.(un)?schedule$/.test(called)
    ? [{ kind: "pg_cron entry", name, gone: called === "cron.unschedule" }]
    : inner;
}

/** The same in the text of a `do` block. */
function cronCalls(body: string): Change[] {
  return [...body.matchAll(/\bcron\s*\.\s*(un)?schedule\s*\(\s*'((?:[^']|'')+)'/gi)]
    .map(([, un, name]) => ({
      kind: "pg_cron entry",
      name: name!.replaceAll("''", "'"),
      gone: un !== undefined,
    }));
}

const listOf = (node: unknown) => (node ?? []) as Tree[];
const text = (node: unknown) => (node as { String: { sval: string } }).String.sval;
