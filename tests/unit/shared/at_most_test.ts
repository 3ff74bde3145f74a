import assert from "node:assert/strict";
import { atMost } from "../../../shared/at-most.ts";

/** A timer that is over when `ring` is called. */
function handTimer() {
  const timer = { ring: () => {}, isSet: false };
  const after = (_delayMs: number, callback: () => void) => {
    timer.ring = callback;
    timer.isSet = true;
    return () => void (timer.isSet = false);
  };
  return { timer, after };
}

Deno.test("atMost() returns when the work ends, and clears its timer", async () => {
  const { timer, after } = handTimer();
  await atMost(1000, Promise.resolve(), after);
  assert.equal(timer.isSet, false);
});

Deno.test("atMost() returns when the time is over, though the work goes on, and ignores its later error", async () => {
  const { timer, after } = handTimer();
  const work = Promise.withResolvers<void>();
  const waiting = atMost(1000, work.promise, after);
  timer.ring();
  await waiting;
  assert.equal(timer.isSet, false);
  work.reject(new Error("too late"));
});

Deno.test("atMost() throws what the work throws in time, and clears its timer", async () => {
  const { timer, after } = handTimer();
  await assert.rejects(atMost(1000, Promise.reject(new Error("broken")), after), /broken/);
  assert.equal(timer.isSet, false);
});

Deno.test("atMost() has a real timer unless one is handed in", async () => {
  await atMost(1, new Promise<void>(() => {}));
});
