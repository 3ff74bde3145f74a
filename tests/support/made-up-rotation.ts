/**
 * A project in which time is made up, for rotations of the cron secret: functions whose instances keep the variables
 * they were started with, Vault, and a database that sends requests all the time. It keeps what was refused.
 */
import type {
  Acceptance,
  RotationDatabase,
  RotationWorld,
} from "../../cli/daybook/rotate-secret-steps.ts";
import type { Random } from "./random.ts";

type Variables = Record<string, string>;

interface Instance {
  variables: Variables;
  /** Takes requests until then. */
  until: number;
}

/** A transaction that has read the secret and is still open, or its request in pg_net's queue. */
interface Request {
  functionName: string;
  secret: string;
  committedAt: number;
  sentAt: number;
}

/** The process is gone. */
export class Killed extends Error {}

export const oldSecret = "old-".repeat(10);
/** How long an instance takes requests, at most. */
export const longestLifeMs = 150_000;

export class MadeUpProject {
  now = 0;
  readonly refused: string[] = [];
  readonly said: string[] = [];
  readonly vault: Record<string, string> = { cron_secret: oldSecret };
  /** What the platform has stored; instances get it when they start. */
  stored: Variables = { CRON_SECRET: oldSecret };
  /** What a person's side did so far, and at which of these it is killed. */
  effects = 0;
  killAt: { effect: number; done: boolean } | undefined;
  /** Changes reach the platform one by one, as where a call of many is not one transaction. */
  private readonly coming: { at: number; name: string; value: string | null }[] = [];
  private readonly instances = new Map<string, Instance[]>();
  private requests: Request[] = [];
  private rotations = 0;

  constructor(private readonly random: Random, readonly functions = ["cron", "nightly", "hourly"]) {
    for (const name of functions) this.instances.set(name, [this.boot()]);
  }

  /** All that happens by itself until then. */
  advance(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + 100);
      for (const change of this.coming.filter(({ at }) => at <= this.now)) {
        const { [change.name]: _, ...rest } = this.stored;
        this.stored = change.value === null ? rest : { ...rest, [change.name]: change.value };
        this.coming.splice(this.coming.indexOf(change), 1);
      }
      for (const request of this.requests.filter(({ sentAt }) => sentAt <= this.now)) {
        this.requests.splice(this.requests.indexOf(request), 1);
        if (this.answer(request.functionName, request.secret).kind === "refused") {
          this.refused.push(`${request.functionName} at ${this.now}`);
        }
      }
      if (this.random.chance(0.1)) this.dispatch();
    }
  }

  /** Reads Vault now, commits a little later, and leaves after that. */
  private dispatch() {
    const committedAt = this.now + this.random.whole(0, 3000);
    this.requests.push({
      functionName: this.random.pick(this.functions),
      secret: this.vault.cron_secret!,
      committedAt,
      sentAt: committedAt + this.random.whole(0, 5000),
    });
  }

  private boot(): Instance {
    return {
      variables: this.stored,
      until: this.now + this.random.whole(longestLifeMs / 3, longestLifeMs),
    };
  }

  /** Any instance that still takes requests may get one, and now and then a further one starts. */
  private answer(functionName: string, secret: string): Acceptance {
    const alive = this.instances.get(functionName)!.filter(({ until }) => until > this.now);
    if (alive.length === 0 || this.random.chance(0.2)) alive.push(this.boot());
    this.instances.set(functionName, alive);
    const { CRON_SECRET, CRON_SECRET_PREVIOUS } = this.random.pick(alive).variables;
    return { kind: [CRON_SECRET, CRON_SECRET_PREVIOUS].includes(secret) ? "accepted" : "refused" };
  }

  /** Something that a person's side does to the project. Where it is killed, it was done just before or not at all. */
  private effect<Result>(act: () => Result): Result {
    const killed = this.killAt?.effect === this.effects++;
    if (killed && !this.killAt!.done) throw new Killed();
    const result = act();
    this.advance(this.random.whole(0, 2000));
    if (killed) throw new Killed();
    return result;
  }

  private readonly database: RotationDatabase = {
    begin: () =>
      Promise.resolve(this.effect(() => {
        const { vault } = this;
        if (vault.cron_secret_previous === undefined) {
          vault.cron_secret_next ??= `new-${++this.rotations}-`.repeat(8);
        }
        const users = { functions: this.functions, others: [] };
        return vault.cron_secret_previous === undefined
          ? { stage: "prepared", old: vault.cron_secret!, new: vault.cron_secret_next!, ...users }
          : {
            stage: "switched",
            old: vault.cron_secret_previous,
            new: vault.cron_secret!,
            ...users,
          };
      })),
    sendsRequests: () => Promise.resolve(true),
    switchSecret: () =>
      Promise.resolve(this.effect(() => {
        this.vault.cron_secret_previous = this.vault.cron_secret!;
        this.vault.cron_secret = this.vault.cron_secret_next!;
        delete this.vault.cron_secret_next;
      })),
    mark: () => Promise.resolve(String(this.now)),
    isOpenBefore: (mark) =>
      Promise.resolve(
        this.requests.some((request) =>
          request.committedAt > this.now && request.committedAt - 3000 <= Number(mark)
        ),
      ),
    oldRequests: () =>
      Promise.resolve(
        this.requests.filter(({ secret, committedAt }) =>
          committedAt <= this.now && secret === this.vault.cron_secret_previous
        ).length,
      ),
    callThroughDatabase: () =>
      Promise.resolve(this.effect(() => {
        const { kind } = this.answer("nightly", this.vault.cron_secret!);
        return { state: kind === "accepted" ? "ok" : "failed", detail: `nightly: ${kind}` };
      })),
    end: () => Promise.resolve(this.effect(() => void delete this.vault.cron_secret_previous)),
  };

  readonly world: RotationWorld = {
    database: this.database,
    setFunctionSecrets: (values) =>
      Promise.resolve(this.effect(() => {
        const at = this.now + this.random.whole(0, 4000);
        const entries = Object.entries(values);
        // One after the other, in the order that was asked for.
        entries.forEach(([name, value], index) =>
          this.coming.push({ at: at + index * this.random.whole(0, 2000), name, value })
        );
      })),
    ask: (name, secret) =>
      Promise.resolve().then(() => {
        this.advance(100);
        return this.answer(name, secret);
      }),
    say: (line) => void this.said.push(line),
    now: () => this.now,
    sleep: (ms) => Promise.resolve(this.advance(ms)),
  };
}
