import assert from "node:assert/strict";
import { renderReading } from "../../../supabase/functions/prometheus-metrics/exposition.ts";
import type { Group, Reading } from "../../../supabase/functions/prometheus-metrics/reading.ts";
import { checkMetrics, hasPromtool } from "../../support/promtool.ts";

type Family = Reading["families"][number];

const render = (families: Family[], ...sources: Group[][]) =>
  renderReading({ families, sources, errors: {} });

const gauge = (name: string): Family => ({ name, type: "gauge", help: "Some." });

Deno.test("renderReading() writes name, type, help and samples, in the order of the families", () => {
  assert.equal(
    render(
      [
        { name: "a_total", type: "counter", help: "All of a." },
        { name: "b", type: "gauge", help: "Nothing yet." },
        { name: "c", type: "gauge", help: "By colour and size." },
      ],
      [{
        labels: { colour: ["red", "blue"], size: ["1", "2"] },
        series: [{ family: "c", labels: {}, values: [0.5, -1e21] }],
      }],
      [{ labels: {}, series: [{ family: "a_total", labels: {}, values: [3] }] }],
    ),
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

Deno.test("renderReading() adds the labels of a series to each label set of its group", () => {
  const text = render([gauge("runs"), gauge("jobs")], [
    {
      labels: { job_name: ["a", "b"] },
      series: [
        { family: "runs", labels: { status: "ok", trigger: "cron" }, values: [1, 2] },
        { family: "runs", labels: { status: "failed" }, values: [3, 4] },
      ],
    },
    { labels: {}, series: [{ family: "jobs", labels: { state: "active" }, values: [5] }] },
  ]);
  assert.deepEqual(text.split("\n").filter((line) => !line.startsWith("#")), [
    'runs{job_name="a",status="ok",trigger="cron"} 1',
    'runs{job_name="b",status="ok",trigger="cron"} 2',
    'runs{job_name="a",status="failed"} 3',
    'runs{job_name="b",status="failed"} 4',
    'jobs{state="active"} 5',
    "",
  ]);
});

Deno.test("renderReading() keeps the samples of a family from several sources and groups together", () => {
  const one = (family: string, label: string): Group => ({
    labels: { of: [label] },
    series: [{ family, labels: {}, values: [1] }],
  });
  const text = render([gauge("b"), gauge("a")], [one("a", "1"), one("b", "2")], [one("a", "3")]);
  assert.equal(
    text,
    `# HELP b Some.
# TYPE b gauge
b{of="2"} 1
# HELP a Some.
# TYPE a gauge
a{of="1"} 1
a{of="3"} 1
`,
  );
});

Deno.test("renderReading() leaves out values of null, and groups of no rows, for which Postgres has null", () => {
  const text = render([gauge("a"), { ...gauge("b"), type: "histogram" }], [
    { labels: { of: ["1", "2"] }, series: [{ family: "a", labels: {}, values: [null, 0] }] },
    { labels: {}, series: [{ family: "a", labels: {}, values: [null] }] },
    {
      labels: { of: null, by: null },
      series: [
        { family: "a", labels: { x: "y" }, values: null },
        { family: "b", bounds: [1], counts: null, sums: null },
      ],
    },
    {
      labels: { of: [] },
      series: [
        { family: "a", labels: {}, values: null },
        { family: "b", bounds: [1], counts: null, sums: null },
      ],
    },
  ]);
  assert.deepEqual(text.split("\n").filter((line) => !line.startsWith("#")), ['a{of="2"} 0', ""]);
});

Deno.test("renderReading() adds up a histogram's buckets, with +Inf, sum and count", () => {
  const family = "took_seconds";
  const bounds = [0.1, 2.5];
  assert.equal(
    render([{ name: family, type: "histogram", help: "How long." }], [
      {
        labels: { job_name: ["a", "b"] },
        series: [{ family, bounds, counts: [[2, 0, 3], [0, 1, 0]], sums: [40.25, 1.5] }],
      },
      { labels: {}, series: [{ family, bounds, counts: [[0, 0, 0]], sums: [0] }] },
    ]),
    `# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{job_name="a",le="0.1"} 2
took_seconds_bucket{job_name="a",le="2.5"} 2
took_seconds_bucket{job_name="a",le="+Inf"} 5
took_seconds_sum{job_name="a"} 40.25
took_seconds_count{job_name="a"} 5
took_seconds_bucket{job_name="b",le="0.1"} 0
took_seconds_bucket{job_name="b",le="2.5"} 1
took_seconds_bucket{job_name="b",le="+Inf"} 1
took_seconds_sum{job_name="b"} 1.5
took_seconds_count{job_name="b"} 1
took_seconds_bucket{le="0.1"} 0
took_seconds_bucket{le="2.5"} 0
took_seconds_bucket{le="+Inf"} 0
took_seconds_sum 0
took_seconds_count 0
`,
  );
});

const awkward = render(
  [{ name: "awkward", type: "gauge", help: 'A "quoted" \\ backslash and\na line.' }],
  [{
    labels: { text: ['say "no"\\\nand go', "-∞, {a=1}", ""] },
    series: [{
      family: "awkward",
      labels: { own: '"\\\n' },
      values: [Infinity, -Infinity, NaN],
    }],
  }],
);

Deno.test("renderReading() escapes help and label values, and writes NaN and infinities", () => {
  assert.equal(
    awkward,
    [
      `# HELP awkward A "quoted" \\\\ backslash and\\na line.`,
      `# TYPE awkward gauge`,
      `awkward{text="say \\"no\\"\\\\\\nand go",own="\\"\\\\\\n"} +Inf`,
      `awkward{text="-∞, {a=1}",own="\\"\\\\\\n"} -Inf`,
      `awkward{text="",own="\\"\\\\\\n"} NaN`,
      "",
    ].join("\n"),
  );
});

Deno.test({
  name: "promtool reads what renderReading() escapes",
  ignore: !hasPromtool,
  fn: async () => assert.equal(await checkMetrics(awkward), ""),
});
