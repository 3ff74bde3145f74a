import assert from "node:assert/strict";
import { counted, printable, wrap } from "../../../shared/text.ts";

Deno.test("printable() leaves one line of ASCII", () => {
  assert.equal(
    printable("Tabelle „Geräte“\n\tfehlt \x1b[31mrot\x07"),
    "Tabelle ?Ger?te? fehlt [31mrot",
  );
  assert.equal(printable("😀"), "?");
  assert.equal(printable("x".repeat(500)).length, 400);
});

Deno.test("wrap() breaks at blanks, indents what follows, and never exceeds the width", () => {
  assert.deepEqual(wrap("one two three four", 9, 2), ["one two", "  three", "  four"]);
  assert.deepEqual(wrap("", 9, 2), [""]);
  for (let width = 5; width < 60; width++) {
    const text = "a bb ccc dddd eeeee " + "f".repeat(200) + " g " + "h".repeat(width - 2) + " i";
    const lines = wrap(text, width, 2);
    assert.ok(lines.every((line) => line.length <= width));
    assert.equal(lines.join("").replaceAll(" ", ""), text.replaceAll(" ", ""));
  }
});

Deno.test("counted() says an amount with its noun", () => {
  assert.equal(counted(1, "device"), "1 device");
  assert.equal(counted(0, "device"), "0 devices");
  assert.equal(counted(1204, "fix", "fixes"), "1,204 fixes");
});
