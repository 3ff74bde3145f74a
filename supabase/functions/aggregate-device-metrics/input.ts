import { z } from "zod";

const hourMs = 3_600_000;
/** The longest range that one call recomputes. */
export const maximumRangeDays = 92;

/** No device is older. The database also writes years before 1 in another form. */
const earliest = Date.parse("1970-01-01T00:00:00Z");

/** The form that the database accepts. It refuses some offsets, years and fractions that ISO 8601 allows. */
const moment = z.iso.datetime({
  offset: true,
  error: "must be an ISO 8601 timestamp with an offset, such as 2026-03-01T00:00:00Z",
})
  .refine((text) => !/[+-](?:1[5-9]|2\d):\d\d$/.test(text), {
    error: "must have an offset of less than 15 hours",
    abort: true,
  })
  .refine((text) => !/\.\d{10}/.test(text), {
    error: "must have at most nine digits after the second",
    abort: true,
  })
  .refine((text) => Date.parse(text) >= earliest, {
    error: "must not be before 1970",
    abort: true,
  });

/**
 * The job's input. Without a range a run computes the periods that are due: the hours with `granularity` "hour",
 * the hours and then the days with "day". With `from` and `to` it recomputes the hours that the range touches, and
 * their days.
 */
export const input = z.strictObject({
  granularity: z.enum(["hour", "day"]).default("hour"),
  from: moment.optional(),
  to: moment.optional(),
  /** A run computes at most this many hours; the next run computes the rest. */
  maxHours: z.int().min(1).max(10_000).default(31 * 24),
}).check((context) => {
  const { from, to } = context.value;
  const refuse = (field: string, message: string): void => {
    context.issues.push({
      code: "custom",
      input: context.value,
      path: [field],
      message,
    });
  };
  if (from === undefined && to === undefined) return;
  if (from === undefined) {
    return refuse("from", "must be given together with to");
  }
  if (to === undefined) return refuse("to", "must be given together with from");
  const [start, end] = [Date.parse(from), Date.parse(to)];
  if (start >= end) {
    return refuse("from", `must be before to, got ${from} and ${to}`);
  }
  if (end - start > maximumRangeDays * 24 * hourMs) {
    return refuse("to", `must be at most ${maximumRangeDays} days after from`);
  }
  const currentHourEnds = (Math.floor(Date.now() / hourMs) + 1) * hourMs;
  if (end > currentHourEnds) {
    const limit = new Date(currentHourEnds).toISOString();
    return refuse(
      "to",
      `must not be after the end of the current hour, ${limit}`,
    );
  }
});

export type Input = z.output<typeof input>;
