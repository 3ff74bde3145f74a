import type { Claimed, Provider, Task } from "./steps.ts";

interface Slot {
  provider: Provider;
  waiting: Task[];
  calling: number;
}

/** The tasks that a run holds: for each answerer those that wait, and how many calls are under way. */
export interface Slots {
  add(claimed: Pick<Claimed, "providers">, tasks: readonly Task[]): void;
  /** The next tasks of these answerers that have a free slot; they count as under way until `done`. */
  start(
    may: (answerer: string) => boolean,
  ): { task: Task; provider: Provider }[];
  done(answerer: string): void;
  /** Takes back what is not under way of these answerers. */
  takeBack(of: (answerer: string) => boolean): Task[];
  /** How many each answerer has; for one that may get none more, more than it can have. */
  busy(may: (answerer: string) => boolean): Record<string, number>;
  /** Calls under way. */
  calling(): number;
}

export function createSlots(): Slots {
  const slots = new Map<string, Slot>();
  return {
    add({ providers }, tasks) {
      for (const [name, provider] of Object.entries(providers)) {
        const slot = slots.get(name) ?? { provider, waiting: [], calling: 0 };
        slots.set(name, { ...slot, provider });
      }
      for (const task of tasks) slots.get(task.answerer)!.waiting.push(task);
    },
    start(may) {
      return [...slots].flatMap(([name, slot]) => {
        const free = may(name) ? Math.max(0, slot.provider.concurrency - slot.calling) : 0;
        const started = slot.waiting.splice(0, free);
        slot.calling += started.length;
        return started.map((task) => ({ task, provider: slot.provider }));
      });
    },
    done: (answerer) => void slots.get(answerer)!.calling--,
    takeBack: (of) => [...slots].flatMap(([name, slot]) => of(name) ? slot.waiting.splice(0) : []),
    busy: (may) =>
      Object.fromEntries([...slots].map(([name, slot]) => [
        name,
        may(name) ? slot.waiting.length + slot.calling : 1_000_000,
      ])),
    calling: () => [...slots.values()].reduce((sum, slot) => sum + slot.calling, 0),
  };
}
