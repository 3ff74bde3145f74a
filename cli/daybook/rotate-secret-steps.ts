/**
 * How the cron secret is rotated: functions take old and new side by side, then requests carry the new one, then the
 * old one is out. Every step may be done twice, and what decides is what is there: stopped anywhere, another call goes
 * on, and no request was refused.
 */

/** What sets variables of the deployed functions; null takes one out. */
export type SetFunctionSecrets = (values: Record<string, string | null>) => Promise<void>;

/** What a function says to a secret. */
export interface Acceptance {
  kind: "accepted" | "refused" | "absent" | "unclear";
  /** For `unclear`: what it said instead. For `refused`: whether it was not the function itself. */
  detail?: string;
  /** For `accepted`: of which version of Daybook it is, and its wall clock in seconds; older ones do not say. */
  version?: string;
  wallClockSeconds?: string;
}

/** A rotation as Vault has it. */
export interface Rotation {
  /** `prepared`: requests carry the old secret; `switched`: the new one. */
  stage: "prepared" | "switched";
  old: string;
  new: string;
  /** Functions that take two secrets side by side. */
  functions: string[];
  /** Jobs that send the secret to something else, which has to follow by itself. */
  others: string[];
}

/** The database's part. */
export interface RotationDatabase {
  /** Begins one, or finds the one that is under way. */
  begin(): Promise<Rotation>;
  /** Whether requests can carry a secret at all: a job that is enabled calls a function with it. */
  sendsRequests(): Promise<boolean>;
  /** From here on requests carry the new one. */
  switchSecret(): Promise<void>;
  /** Every transaction that may have read the old secret has begun before this mark. */
  mark(): Promise<string>;
  /** Whether a transaction from before the mark is still open. */
  isOpenBefore(mark: string): Promise<boolean>;
  /** Requests with the old secret that are not over. */
  oldRequests(): Promise<number>;
  /** Calls a function through pg_net, as a run does; what came of it. */
  callThroughDatabase(): Promise<{ state: "ok" | "failed" | "asked"; detail: string }>;
  /** Takes the old one out of Vault. */
  end(): Promise<void>;
}

export interface RotationWorld {
  database: RotationDatabase;
  setFunctionSecrets: SetFunctionSecrets;
  ask(functionName: string, secret: string): Promise<Acceptance>;
  say(line: string): void;
  now(): number;
  sleep(ms: number): Promise<void>;
}

export interface RotationOptions {
  /**
   * For how long every call must be answered as it should before that counts as proven, in milliseconds: longer than an
   * instance of a function with the old variables takes requests.
   */
  settleMs: number;
  /** How long a proof may be waited for. */
  limitMs: number;
  /** Also where the functions refuse the secret of Vault now: nothing works then that could be disturbed. */
  mend: boolean;
}

export interface RotationReport {
  functions: string[];
  not_deployed: string[];
  others: string[];
}

/** Why a rotation stops. It can be gone on with. */
export class RotationError extends Error {
  override readonly name = "RotationError";

  constructor(message: string, readonly hint: string) {
    super(message);
  }
}

/** How long pg_net's queue and a call through the database are waited for between two looks. */
const LOOK_MS = 500;
/** How often the functions are asked while a proof settles. */
const ROUNDS = 20;
const LONGEST_PAUSE_MS = 5000;
/** So many functions are asked at once. */
const AT_ONCE = 8;

/**
 * Rotates the secret, or goes on with a rotation that was stopped.
 *
 * @throws RotationError where something cannot be proven in time. Nothing is refused then either.
 */
export async function rotateSecret(
  world: RotationWorld,
  options: RotationOptions,
): Promise<RotationReport> {
  const { database, say } = world;
  const rotation = await database.begin();
  const proofs = new Proofs(world, options, rotation);
  for (const job of rotation.others) {
    say(`${job} sends the secret to a target of another kind: its own server must take both`);
  }
  if (rotation.stage === "prepared") {
    if (!options.mend) await proofs.assertNowAccepted(rotation.old);
    say("The functions get the new secret beside the old one");
    // Each call changes one thing only, so that half a change is none that refuses: the old one is kept first.
    await world.setFunctionSecrets({ CRON_SECRET_PREVIOUS: rotation.old });
    await world.setFunctionSecrets({
      CRON_SECRET_PREVIOUS: rotation.old,
      CRON_SECRET: rotation.new,
    });
    say(`Each function is asked with both, for ${seconds(options.settleMs)}`);
    await proofs.settle({ old: "accepted", new: "accepted" });
    await database.switchSecret();
    say("Vault has the new secret: requests carry it");
  }
  await drain(world, options);
  await proveRequests(world, options);
  say("The functions get the new secret alone");
  await world.setFunctionSecrets({ CRON_SECRET: rotation.new, CRON_SECRET_PREVIOUS: null });
  await proofs.settle({ old: "refused", new: "accepted" });
  await database.end();
  say("The old secret is out");
  const missing = [...proofs.absent].sort();
  return {
    functions: rotation.functions.filter((name) => !proofs.absent.has(name)),
    not_deployed: missing,
    others: rotation.others,
  };
}

/** Waits until no request with the old secret can leave or arrive any more. */
async function drain({ database, say, now, sleep }: RotationWorld, { limitMs }: RotationOptions) {
  const end = now() + limitMs;
  const mark = await database.mark();
  let told = false;
  while (true) {
    // In this order: who is open may still put a request into the queue.
    const open = await database.isOpenBefore(mark);
    const requests = await database.oldRequests();
    if (!open && requests === 0) return;
    if (!told) say("Requests with the old secret are waited for");
    told = true;
    if (now() > end) {
      throw new RotationError(
        open
          ? "A transaction from before the change is still open, and may send the old secret"
          : `${requests} requests with the old secret still wait in pg_net's queue`,
        open
          ? "select pid, xact_start, state from pg_stat_activity order by xact_start nulls last"
          : "select net.worker_restart(), then call this again",
      );
    }
    await sleep(LOOK_MS);
  }
}

/** Proves that what the database sends is accepted. */
async function proveRequests(
  { database, say, now, sleep }: RotationWorld,
  { limitMs }: RotationOptions,
) {
  if (!await database.sendsRequests()) {
    return say("No enabled job calls a function with the secret: there is no request to prove");
  }
  const end = now() + limitMs;
  while (true) {
    const { state, detail } = await database.callThroughDatabase();
    if (state === "ok") return say(`A request of the database is accepted: ${detail}`);
    if (now() > end) {
      throw new RotationError(
        `A request of the database is not accepted: ${detail}`,
        "the functions take both secrets still; mend it, then call this again",
      );
    }
    await sleep(LOOK_MS);
  }
}

/** What of the answers is not as wanted. */
interface Fault {
  text: string;
  /** Whether a function refuses a secret that it should take: what `mend` is for. */
  isRefusal: boolean;
}

type Wanted = Record<"old" | "new", "accepted" | "refused">;

class Proofs {
  /** Functions that are not deployed: they refuse nobody. */
  readonly absent = new Set<string>();

  constructor(
    private readonly world: RotationWorld,
    private readonly options: RotationOptions,
    private readonly rotation: Rotation,
  ) {}

  /** One look, before anything is changed. */
  async assertNowAccepted(secret: string) {
    const { now, sleep } = this.world;
    const end = now() + this.options.limitMs;
    for (let look = 1;; look++) {
      const fault = await this.fault([[secret, "accepted", "secret of Vault"]]);
      if (fault === undefined) return;
      if (look === 3 || now() > end) {
        throw new RotationError(
          `Cannot rotate what does not work: ${fault.text}`,
          fault.isRefusal
            ? "--mend rotates all the same, and makes both places the same"
            : "deno task daybook doctor says what the functions lack; then call this again",
        );
      }
      await sleep(LOOK_MS);
    }
  }

  /** Waits until every call of every function has been answered as wanted for the whole time of settling. */
  async settle(wanted: Wanted) {
    const { now, sleep } = this.world;
    const { settleMs, limitMs } = this.options;
    const { old, new: next } = this.rotation;
    const pause = Math.min(settleMs / ROUNDS, LONGEST_PAUSE_MS);
    const end = now() + limitMs;
    for (let since = now(), rounds = 0;;) {
      const asked = now();
      const fault = await this.fault([
        [old, wanted.old, "old secret"],
        [next, wanted.new, "new secret"],
      ]);
      if (fault !== undefined) {
        if (now() > end) {
          throw new RotationError(
            `Not in ${seconds(limitMs)}: ${fault.text}`,
            "supabase functions deploy starts the functions anew; then call this again",
          );
        }
        rounds = 0;
      } else {
        if (rounds === 0) since = asked;
        rounds++;
        if (rounds >= 3 && now() - since >= settleMs) return;
      }
      await sleep(pause);
    }
  }

  /** What of the answers is not as wanted; undefined when all are. */
  private async fault(
    calls: [secret: string, wanted: "accepted" | "refused", what: string][],
  ): Promise<Fault | undefined> {
    const queue = this.rotation.functions.filter((name) => !this.absent.has(name));
    let fault: Fault | undefined;
    const worker = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        for (const [secret, wanted, what] of calls) {
          const { kind, detail } = await this.world.ask(name, secret);
          if (kind === "absent") {
            this.absent.add(name);
            this.world.say(`${name} is not deployed`);
            break;
          }
          if (kind !== wanted) {
            const text = kind === "unclear"
              ? `${name} says ${detail} to the ${what}`
              : `${name} ${kind === "refused" ? "refuses" : "still accepts"} the ${what}`;
            fault ??= { text, isRefusal: kind === "refused" };
          }
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (this.absent.size === this.rotation.functions.length) {
      fault ??= { text: "no function is deployed", isRefusal: false };
    }
    return fault;
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
