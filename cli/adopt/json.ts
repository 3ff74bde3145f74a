/** JSON that keeps each number as it is written, and whose texts may be looked up when a command runs. */

/** A piece of a text: as it is written, or looked up when the command runs. */
export type Piece = { text: string } | { vault: string } | { setting: string };

/** A value of JSON whose texts may be looked up. Numbers, booleans and null are as they are written. */
export type Value =
  | { kind: "object"; fields: [string, Value][] }
  | { kind: "array"; items: Value[] }
  | { kind: "text"; pieces: Piece[] }
  | { kind: "literal"; json: string };

/** Characters for private use: they mark the places of looked-up values in a text of JSON. */
const begin = "\uE0D0";
const end = "\uE0D1";

/** Pieces that together are a text of JSON: what is looked up must stand within its texts. */
export function readJson(pieces: Piece[]): Value | undefined {
  const looked = pieces.filter((piece) => !("text" in piece));
  let next = 0;
  const text = pieces.map((piece) => "text" in piece ? piece.text : `${begin}${next++}${end}`)
    .join("");
  if (text.split(begin).length - 1 !== looked.length) return undefined;
  const pieceTexts = (value: string): Piece[] =>
    value.split(new RegExp(`${begin}(\\d+)${end}`)).flatMap((part, index): Piece[] =>
      index % 2 === 1 ? [looked[Number(part)]!] : part === "" ? [] : [{ text: part }]
    );
  try {
    // Whole numbers of many digits would be rounded: each is taken as it is written.
    const revive = (_: string, value: unknown, context?: { source?: string }): unknown => {
      if (typeof value === "string") {
        const pieces = pieceTexts(value);
        return { kind: "text", pieces: pieces.length === 0 ? [{ text: "" }] : pieces };
      }
      if (Array.isArray(value)) return { kind: "array", items: value };
      if (value !== null && typeof value === "object") {
        const fields = Object.entries(value);
        if (fields.some(([key]) => key.includes(begin))) throw new SyntaxError("a key is computed");
        return { kind: "object", fields };
      }
      return { kind: "literal", json: context?.source ?? JSON.stringify(value) };
    };
    return JSON.parse(text, revive as Parameters<typeof JSON.parse>[1]) as Value;
  } catch {
    return undefined;
  }
}

/** The value as JSON; undefined where a text in it is looked up. */
export function writeJson(
  value: Value,
  fieldsOf: FieldsOf = ({ fields }) => fields,
): string | undefined {
  switch (value.kind) {
    case "literal":
      return value.json;
    case "text":
      return value.pieces.every((piece) => "text" in piece)
        ? JSON.stringify(value.pieces.map((piece) => (piece as { text: string }).text).join(""))
        : undefined;
    case "array": {
      const items = value.items.map((item) => writeJson(item, fieldsOf));
      return items.includes(undefined) ? undefined : `[${items.join(", ")}]`;
    }
    case "object": {
      const fields = fieldsOf(value).map(([key, field]) => {
        const json = writeJson(field, fieldsOf);
        return json === undefined ? undefined : `${JSON.stringify(key)}: ${json}`;
      });
      return fields.includes(undefined) ? undefined : `{${fields.join(", ")}}`;
    }
  }
}

type FieldsOf = (object: { fields: [string, Value][] }) => [string, Value][];

/** The same text for the same value of JSON, whatever the order of its fields. Fields of these names are left out. */
export function canonicalJson(json: string, without?: RegExp): string {
  const value = readJson([{ text: json }]);
  if (value === undefined) throw new SyntaxError("it is no JSON");
  return writeJson(value, ({ fields }) =>
    fields.filter(([key]) => without?.test(key) !== true)
      .sort(([one], [other]) => one < other ? -1 : 1))!;
}

/** The value of a text of JSON, for `JSON.stringify`: each number is written as it was. */
export function exactJson(json: string): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const revive = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" ? rawJSON(context!.source!) : value;
  return JSON.parse(json, revive as Parameters<typeof JSON.parse>[1]);
}
