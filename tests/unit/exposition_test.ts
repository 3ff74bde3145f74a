import assert from "node:assert/strict";
import { renderFamilies } from "../../supabase/functions/prometheus-metrics/exposition.ts";
import { checkMetrics, hasPromtool } from "../support/promtool.ts";

Deno.test("renderFamilies() writes name, type, help and samples", () => {
  assert.equal(
    renderFamilies([
      { name: "a_total", type: "counter", help: "All of a.", samples: [{ value: 3 }] },
      { name: "b", type: "gauge", help: "Nothing yet.", samples: [] },
      {
        name: "c",
        type: "gauge",
        help: "By colour and size.",
        samples: [
          { labels: { colour: "red", size: "1" }, value: 0.5 },
          { labels: { colour: "blue", size: "2" }, value: -1e21 },
        ],
      },
    ]),
    `# HELP a_total All of a.
# TYPE a_total counter
a_total 3
# HELP b Nothing yet.
# TYPE b gauge
# HELP c By colour and size.
# TYPE c gauge
c{colour="red",size="1"} 0.5
c{colour="blue",size="2"} -1e+21
`,
  );
});

Deno.test("renderFamilies() adds up a histogram's buckets, with +Inf, sum and count", () => {
  const name = "took_seconds";
  assert.equal(
    renderFamilies([{
      name,
      type: "histogram",
      help: "How long.",
      bounds: [0.1, 2.5],
      series: [
        { labels: { job_name: "a" }, counts: [2, 0, 3], sum: 40.25 },
        { counts: [0, 0, 0], sum: 0 },
      ],
    }]),
    `# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{job_name="a",le="0.1"} 2
took_seconds_bucket{job_name="a",le="2.5"} 2
took_seconds_bucket{job_name="a",le="+Inf"} 5
took_seconds_sum{job_name="a"} 40.25
took_seconds_count{job_name="a"} 5
took_seconds_bucket{le="0.1"} 0
took_seconds_bucket{le="2.5"} 0
took_seconds_bucket{le="+Inf"} 0
took_seconds_sum 0
took_seconds_count 0
`,
  );
});

const awkward = renderFamilies([{
  name: "awkward",
  type: "gauge",
  help: 'A "quoted" \\ backslash and\na line.',
  samples: [
    { labels: { text: 'say "no"\\\nand go' }, value: Infinity },
    { labels: { text: "-∞, {a=1}" }, value: -Infinity },
    { labels: { text: "" }, value: NaN },
  ],
}]);

Deno.test("renderFamilies() escapes help and label values, and writes what is no finite number", () => {
  assert.equal(
    awkward,
    [
      `# HELP awkward A "quoted" \\\\ backslash and\\na line.`,
      `# TYPE awkward gauge`,
      `awkward{text="say \\"no\\"\\\\\\nand go"} +Inf`,
      `awkward{text="-∞, {a=1}"} -Inf`,
      `awkward{text=""} NaN`,
      "",
    ].join("\n"),
  );
});

Deno.test({
  name: "promtool reads what renderFamilies() escapes",
  ignore: !hasPromtool,
  fn: async () => assert.equal(await checkMetrics(awkward), ""),
});
