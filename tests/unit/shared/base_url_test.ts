import assert from "node:assert/strict";
import { isWithin, readBaseUrl } from "../../../shared/base-url.ts";

Deno.test("readBaseUrl() gives an API one spelling, however its URL is written", () => {
  const cases: [string, string | undefined][] = [
    ["https://api.example.com/v1", "https://api.example.com/v1"],
    ["https://api.example.com/v1/", "https://api.example.com/v1"],
    ["https://api.example.com/v1//", "https://api.example.com/v1"],
    [" HTTPS://API.Example.COM:443/v1\n", "https://api.example.com/v1"],
    ["https://api.example.com/v2/../v1", "https://api.example.com/v1"],
    ["https://api.example.com", "https://api.example.com"],
    ["http://localhost:80/", "http://localhost"],
    ["http://localhost:8080/V1", "http://localhost:8080/V1"],
    ["", undefined],
    ["api.example.com", undefined],
    ["ftp://api.example.com", undefined],
    ["https://ann:secret@api.example.com", undefined],
    ["https://api.example.com/v1?version=2", undefined],
    ["https://api.example.com/v1?", undefined],
    ["https://api.example.com/v1#x", undefined],
  ];
  for (const [text, expected] of cases) assert.equal(readBaseUrl(text), expected, text);
});

Deno.test("isWithin() compares addresses as URLs", () => {
  const base = readBaseUrl("https://API.example.com:443/v3/")!;
  for (
    const address of [
      "https://api.example.com/v3/x",
      "https://api.EXAMPLE.com:443/v3/x?page=2",
      "https://api.example.com/v3/y/../x",
      "https://api.example.com/v2/../v3/x",
    ]
  ) assert.ok(isWithin(address, base), address);
  for (
    const address of [
      "https://api.example.com/v3",
      "https://api.example.com/v33/x",
      "https://api.example.com/v3/../v2/x",
      "https://api.example.com/v3/%2e%2e/v2/x",
      "https://api.example.com.evil.test/v3/x",
      "https://api.example.com@evil.test/v3/x",
      "https://ann@api.example.com/v3/x",
      "http://api.example.com/v3/x",
      "https://api.example.com:444/v3/x",
      "/v3/x",
      "",
    ]
  ) assert.ok(!isWithin(address, base), address);
});
