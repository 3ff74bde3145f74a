/**
 * Jobs on a real Postgres in simulated time: functions, pg_cron and pg_net are made up, and time goes from one moment at
 * which something can happen to the next. A seed repeats it.
 */
import type { Sql } from "postgres";
import type { Random } from "./random.ts";

const STEPS = new URL("simulation.sql", import.meta.url);

/** What a function does with a run, `after` seconds from when it was sent. */
export interface Act {
  after: number;
  kind: "begin" | "refuse" | "die" | "take" | "finish";
  outcome?: "completed" | "failed" | "timed_out";
  isIdle?: boolean;
  budget?: string;
}

/** A run as pg_net sends it. */
export interface Sent {
  id: string;
  job: string;
  /** In seconds. */
  timeout: number;
}

/** What a person does, or what befalls the whole machine. */
export type Happening = (sql: Sql, now: Date) => Promise<unknown>;

/** Decides what the function of a run does with it. */
export type Behaviour = (sent: Sent, now: Date) => Act[];

interface Step {
  sent: Sent[];
  /** In ms since the epoch, as is `pulse`. */
  due: number | null;
  pulse: number | null;
}

interface DueAct {
  at: number;
  run_id: string;
  kind: string;
  outcome: string | undefined;
  is_idle: boolean | undefined;
  budget: string | undefined;
}

const VACUUM =
  `vacuum (analyze) scheduler_runs, scheduler_jobs, scheduler_locks, scheduler_activity, scheduler.wakes,
  scheduler.pulse_state, scheduler.group_slots, scheduler_breakers, scheduler_budgets, simulation.stubs,
  net._http_response, net.http_request_queue`;

/** Pulses beat on this grid. */
const PULSE_MS = 10_000;

export class Simulation {
  steps = 0;
  readonly #sql: Sql;
  readonly #random: Random;
  readonly #behaviour: Behaviour;
  readonly #happenings: { at: number; happen: Happening }[] = [];
  #acts: DueAct[] = [];
  #isDown = false;
  #pulsedAt = 0;

  private constructor(sql: Sql, random: Random, behaviour: Behaviour) {
    this.#sql = sql;
    this.#random = random;
    this.#behaviour = behaviour;
  }

  /** Installs what the steps need into the database. */
  static async over(sql: Sql, random: Random, behaviour: Behaviour): Promise<Simulation> {
    await sql.unsafe(await Deno.readTextFile(STEPS));
    return new Simulation(sql, random, behaviour);
  }

  happens(at: Date, happen: Happening): void {
    this.#happenings.push({ at: at.getTime(), happen });
    this.#happenings.sort((a, b) => a.at - b.at);
  }

  /** From `from` to `to` nothing fires, no pulse beats, and every function dies. */
  isDown(from: Date, to: Date): void {
    this.happens(from, async (sql) => {
      this.#isDown = true;
      this.#acts = [];
      await sql`select simulation.stop_functions()`;
    });
    this.happens(to, () => Promise.resolve(this.#isDown = false));
  }

  /** Lets time go from `from` to `to`. */
  async run(from: Date, to: Date): Promise<void> {
    let told = await this.#step(from.getTime(), false, true);
    for (let now = from.getTime();;) {
      now = Math.max(now, this.#nextMoment(now, told));
      if (now >= to.getTime()) return;
      while ((this.#happenings[0]?.at ?? Infinity) <= now) {
        await this.#happenings.shift()!.happen(this.#sql, new Date(now));
      }
      // pg_cron sometimes misses a minute; the pulse finds what came due.
      const fires = !this.#isDown && told.due === now && !this.#random.chance(0.005);
      told = await this.#step(now, fires, this.#pulses(now, told));
    }
  }

  /** A pulse that has nothing to do is left out, but for one in five minutes. */
  #pulses(now: number, told: Step): boolean {
    if (this.#isDown || now % PULSE_MS !== 0) return false;
    const hasWork = Math.min(told.pulse ?? Infinity, told.due ?? Infinity) <= now;
    if (!hasWork && now < this.#pulsedAt + 300_000) return false;
    this.#pulsedAt = now;
    return true;
  }

  #nextMoment(now: number, told: Step): number {
    const happening = this.#happenings[0]?.at ?? Infinity;
    if (this.#isDown) return happening;
    const due = told.due ?? Infinity;
    const pulse = Math.min(told.pulse ?? Infinity, due <= now ? now : Infinity);
    return Math.min(
      happening,
      due > now ? due : Infinity,
      ...this.#acts.map((act) => act.at),
      pulse === Infinity ? pulse : Math.max(
        Math.ceil(pulse / PULSE_MS) * PULSE_MS,
        (Math.floor(now / PULSE_MS) + 1) * PULSE_MS,
      ),
    );
  }

  async #step(now: number, fires: boolean, pulses: boolean): Promise<Step> {
    // As autovacuum does on a server, whose hours are seconds here.
    if (this.steps++ % 250 === 0) await this.#sql.unsafe(VACUUM);
    const acts = this.#acts.filter((act) => act.at <= now).sort((a, b) => a.at - b.at);
    this.#acts = this.#acts.filter((act) => act.at > now);
    const [row] = await this.#sql<{ told: Step }[]>`
      select simulation.step(${new Date(now)}, ${
      this.#sql.json(acts as never)
    }, ${fires}, ${pulses}) as told`;
    const { told } = row!;
    if (!this.#isDown) {
      for (const sent of told.sent) this.#begin(sent, now);
    }
    return told;
  }

  #begin(sent: Sent, now: number): void {
    for (const act of this.#behaviour(sent, new Date(now))) {
      this.#acts.push({
        at: act.kind === "finish" ? onGrid(now + act.after * 1000) : now + act.after * 1000,
        run_id: sent.id,
        kind: act.kind,
        outcome: act.outcome,
        is_idle: act.isIdle,
        budget: act.budget,
      });
    }
  }
}

/** Ends of runs meet each other, so that there are fewer moments to look at. */
function onGrid(at: number): number {
  return Math.ceil(at / 30_000) * 30_000;
}
