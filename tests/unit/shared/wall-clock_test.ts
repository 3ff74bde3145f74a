import assert from "node:assert/strict";
import { HttpError } from "../../../shared/job/errors.ts";
import { endOfWallClock, endOfWork } from "../../../shared/job/wall-clock.ts";
import { FakePlatform } from "../../support/fake-platform.ts";

function workMs(limit?: string): number {
  const platform = new FakePlatform(limit === undefined ? {} : { WALL_CLOCK_LIMIT_SECONDS: limit });
  return endOfWork(platform) - platform.bootedAt;
}

Deno.test("endOfWork() leaves the receipt a tenth of the wall clock, at most 10 s", () => {
  assert.equal(workMs(), 140_000);
  assert.equal(workMs("400"), 390_000);
  assert.equal(workMs("100"), 90_000);
  assert.equal(workMs("20"), 18_000);
  assert.equal(workMs("0.5"), 450);
});

Deno.test("endOfWallClock() is the limit after the worker's boot", () => {
  const after = (variables: Record<string, string>) => {
    const platform = new FakePlatform(variables);
    return endOfWallClock(platform) - platform.bootedAt;
  };
  assert.equal(after({}), 150_000);
  assert.equal(after({ WALL_CLOCK_LIMIT_SECONDS: "400" }), 400_000);
  assert.throws(() => after({ WALL_CLOCK_LIMIT_SECONDS: "0" }), HttpError);
});

Deno.test("endOfWork() refuses a wall clock that is not a positive number", () => {
  for (const limit of ["soon", "150s", "0", "-1", "NaN", " "]) {
    assert.throws(
      () => workMs(limit),
      (error: unknown) =>
        error instanceof HttpError && error.code === "misconfigured" &&
        error.message ===
          `Cannot serve: WALL_CLOCK_LIMIT_SECONDS must be a positive number, got ${limit}`,
    );
  }
});
