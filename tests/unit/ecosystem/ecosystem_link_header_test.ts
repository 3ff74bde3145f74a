import assert from "node:assert/strict";
import { nextPage } from "../../../supabase/functions/ecosystem-monitor/link-header.ts";

const page = (number: number) =>
  `https://api.github.com/repositories/1300192/issues?page=${number}`;

for (
  const [what, header, expected] of [
    ["no header", null, null],
    ["an empty one", "", null],
    [
      "GitHub's own example",
      `<${page(2)}>; rel="prev", <${page(4)}>; rel="next", <${page(515)}>; rel="last", <${
        page(1)
      }>; rel="first"`,
      page(4),
    ],
    ["the last page", `<${page(514)}>; rel="prev", <${page(1)}>; rel="first"`, null],
    ["no quotes, other parameters, other case", `<${page(2)}>; title="x"; REL=Next`, page(2)],
    ["several relations in one", `<${page(2)}>; rel="next last"`, page(2)],
    [
      "commas in the address",
      '<https://api.github.com/x?labels=a,b>; rel="next"',
      "https://api.github.com/x?labels=a,b",
    ],
    ["another relation that begins alike", `<${page(2)}>; rel="nextish"`, null],
    ["garbage", "rel=next; <", null],
  ] as const
) {
  Deno.test(`the next page of a Link header: ${what}`, () =>
    assert.equal(nextPage(header), expected));
}
