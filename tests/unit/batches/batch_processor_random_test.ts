import { type Circumstances, randomBatchRun } from "../../support/random-batch-run.ts";

const ONE_SEED = Deno.env.get("DAYBOOK_PROCESSOR_SEED");
const SEEDS = ONE_SEED === undefined
  ? Array.from({ length: 2_000 }, (_, i) => 20260311 + i)
  : [Number(ONE_SEED)];
const LAST_EVENTS = 25;

const promises: Record<Circumstances, string> = {
  "alone": "each task is called once at a time and in time, and the next run comes when it is due",
  "in company":
    "others end tasks, move breakers, change providers and cancel, and it is all the same",
  "with losses": "leases and replies get lost, and no task is called twice at once",
};

for (const [circumstances, promise] of Object.entries(promises) as [Circumstances, string][]) {
  Deno.test(`${SEEDS.length} random runs of the processor ${circumstances}: ${promise}`, async () => {
    for (const seed of SEEDS) {
      const { faults, events } = await randomBatchRun(seed, circumstances);
      if (faults.length === 0) continue;
      throw new Error([
        `A run ${circumstances} with DAYBOOK_PROCESSOR_SEED=${seed} ${faults[0]}`,
        ...faults.slice(1, 5).map((fault) => `and ${fault}`),
        `Its last events, in milliseconds from its deadline:`,
        ...events.slice(-LAST_EVENTS),
      ].join("\n"));
    }
  });
}
