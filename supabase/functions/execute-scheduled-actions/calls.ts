import type { ClaimedAction } from "./actions.ts";
import type { CallOutcome } from "./outcome.ts";

/** Executes one action by a call and returns its outcome. Never throws. */
export type Call = (action: ClaimedAction, signal: AbortSignal) => Promise<CallOutcome>;

/** The most concurrent calls, all receivers together. */
const callsAtOnce = 50;
/** Concurrent calls to one receiver: two at first, one more after each answer, ten at most. */
const firstCallsAtOnce = 2;
const lastCallsAtOnce = 10;
/** After this many calls in a row without an answer, a receiver gets no further call in this run. */
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

/** Calls in order of arrival with a limit for each receiver, so that a slow receiver delays no other. */
export interface Lanes {
  add(held: Held[]): void;
  /** Starts the waiting calls that the limits allow. */
  start(): void;
  /** The calls that have ended since the last time this was called. */
  ended(): { held: Held; outcome: CallOutcome }[];
  /** Removes and returns the calls that have not started: all, or those of receivers that stopped answering. */
  withdraw(which: "all" | "silent"): Held[];
  running(): number;
  waiting(): number;
  /** Receivers for which no actions should be claimed: they stopped answering, or have enough waiting. */
  sated(): string[];
  /** Resolves when the next call ends. */
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
      // Start one call a receiver in turn, so that the first receivers do not take every place.
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
