import type { ClaimedAction } from "./actions.ts";
import type { CallOutcome } from "./outcome.ts";

/** Executes one action by a call; says what came of it, never throws. */
export type Call = (action: ClaimedAction, signal: AbortSignal) => Promise<CallOutcome>;

/** Calls under way at once, all receivers together. */
const callsAtOnce = 50;
/** Calls at once to a receiver: so many at first, one more with each answer, so many at last. */
const firstCallsAtOnce = 2;
const lastCallsAtOnce = 10;
/** A receiver that leaves so many calls in a row without an answer is left alone until the next run. */
const silencesInARow = 3;

interface Receiver<T> {
  waiting: T[];
  running: number;
  answers: number;
  silences: number;
}

/** A claimed action with the token of its claim. */
export interface Held {
  action: ClaimedAction;
  token: string;
}

/** Calls in order of arrival, bounded for each receiver, so that a slow one delays no other. */
export interface Lanes {
  add(held: Held[]): void;
  /** Starts what may be started. */
  start(): void;
  /** What has ended since the last time this was asked. */
  ended(): { held: Held; outcome: CallOutcome }[];
  /** Takes out what has not been started: all of it, or that of receivers that are left alone. */
  withdraw(which: "all" | "silent"): Held[];
  running(): number;
  waiting(): number;
  /** Receivers that need no more actions for now: left alone, or with enough of them waiting. */
  sated(): string[];
  /** When the next call ends. */
  next(): Promise<void>;
}

export function createLanes(call: Call, signal: AbortSignal): Lanes {
  const receivers = new Map<string, Receiver<Held>>();
  const over: { held: Held; outcome: CallOutcome }[] = [];
  let running = 0;
  let wake = Promise.withResolvers<void>();

  const isSilent = (receiver: Receiver<Held>) => receiver.silences >= silencesInARow;
  const isSated = (receiver: Receiver<Held>) =>
    isSilent(receiver) || receiver.waiting.length >= lastCallsAtOnce;

  async function run(receiver: Receiver<Held>, held: Held): Promise<void> {
    running++;
    receiver.running++;
    const outcome = await call(held.action, signal);
    running--;
    receiver.running--;
    if (outcome.silent) receiver.silences++;
    else {
      receiver.silences = 0;
      receiver.answers++;
    }
    over.push({ held, outcome });
    wake.resolve();
  }

  return {
    add(all) {
      for (const held of all) {
        const name = held.action.receiver;
        let receiver = receivers.get(name);
        if (receiver === undefined) {
          receivers.set(name, receiver = { waiting: [], running: 0, answers: 0, silences: 0 });
        }
        receiver.waiting.push(held);
      }
    },
    start() {
      // In turns, so that those who came first do not take every place.
      for (let started = true; started && running < callsAtOnce;) {
        started = false;
        for (const receiver of receivers.values()) {
          const limit = Math.min(lastCallsAtOnce, firstCallsAtOnce + receiver.answers);
          if (running >= callsAtOnce || receiver.running >= limit || isSilent(receiver)) continue;
          const held = receiver.waiting.shift();
          if (held === undefined) continue;
          started = true;
          void run(receiver, held);
        }
      }
    },
    ended: () => over.splice(0),
    withdraw(which) {
      return [...receivers.values()]
        .filter((receiver) => which === "all" || isSilent(receiver))
        .flatMap((receiver) => receiver.waiting.splice(0));
    },
    running: () => running,
    waiting: () =>
      [...receivers.values()].reduce((sum, receiver) => sum + receiver.waiting.length, 0),
    sated: () => [...receivers].filter(([, receiver]) => isSated(receiver)).map(([name]) => name),
    async next() {
      if (over.length === 0) await wake.promise;
      wake = Promise.withResolvers();
    },
  };
}
