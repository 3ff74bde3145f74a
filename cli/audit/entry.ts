/** What an audit looks at, whatever it was read from. */

/** What fires an entry: it decides how a schedule is read, and what happens on the days of a zone change. */
export type Engine = "pg_cron" | "crontab" | "vercel" | "kubernetes" | "daybook" | "list";

export interface Entry {
  name: string;
  /** pg_cron has no name for it, and `name` is made of its id. */
  isUnnamed?: true;
  /** As it is written: five fields, `@daily`, `30 seconds`, `@continuous`. */
  schedule: string;
  /** The IANA zone in which the schedule is read. */
  zone: string;
  engine: Engine;
  /** What it does, as it is written: SQL, a command, a path, a description. */
  command: string;
  work: Work;
  /** Where it stands: `vercel.json:4`, `cron.job 7`. */
  where: string;
  /** An entry that is switched off runs never, and collides with nothing. */
  active: boolean;
  /** The comment that stands above it. */
  comment?: string;
  /** The id in `cron.job`. */
  jobId?: string;
  database?: string;
  username?: string;
  /** Lists of one file that are not in force together, before and after a change say. */
  section?: string;
  /** Why it may start in the same minutes as others. */
  shares?: string;
  budget?: Budget;
}

/** The calls that all entries with this budget may make together. */
export interface Budget {
  name: string;
  calls: number;
  seconds: number;
  callsPerRun: number;
}

/** What an entry does, so that two that do the same are known. */
export interface Work {
  /** Two entries with the same key do the same, but for labels in their payloads. */
  key: string;
  /** Two entries with the same exact key do the same to the letter. */
  exactKey: string;
  /** As people call it: `function daily-batch-trigger`, `POST https://…`, the SQL. */
  label: string;
  /** `http`: it hands requests to pg_net. `sql`: all that it does is done when the statement ends. */
  kind: "http" | "sql" | "other";
  /** The edge function that it calls. */
  functionName?: string;
  /** The timeout of its request in ms; undefined where the request has the default. */
  timeoutMs?: number;
  /** How many requests one run makes, where the command shows it. */
  requests?: number;
  /** The names that its SQL needs. */
  needs: { kind: "function" | "table"; schema?: string; name: string }[];
}
