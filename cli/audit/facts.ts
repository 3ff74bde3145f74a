/** What is known besides the entries themselves. */

export interface Facts {
  now: Date;
  database?: DatabaseFacts;
  functionRuns?: FunctionRun[];
  works: Works[];
  /** What could not be read, in whole sentences. */
  unknown: string[];
}

export interface DatabaseFacts {
  database: string;
  databases: { name: string; allowsConnections: boolean }[];
  /** The roles that own entries: whether they may log in; those that are not there are missing. */
  roles: { name: string; canLogin: boolean }[];
  /** The newest runs; undefined where they cannot be read. */
  runs?: Run[];
  /** The answers that pg_net still keeps; undefined where they cannot be read. */
  answers?: Answer[];
  runDetails?: { bytes: number; rows: number; oldest: Date | null };
  /** Whether pg_cron writes its runs down. */
  logsRuns: boolean;
  /** Settings such as `app.settings.service_role_key`, of a database or a role. */
  settings?: { name: string; value: string; of: string }[];
  /** The timeout in ms of a request that does not say one. */
  defaultTimeoutMs?: number;
  /** Names that commands need and that are not there, as `schema.name`, by the entry's `where`. */
  missing: Record<string, string[]>;
}

/** A row of `cron.job_run_details`. */
export interface Run {
  jobId: string;
  status: string;
  message: string;
  startedAt: Date | null;
  endedAt: Date | null;
}

/** A row of `net._http_response`, without its content. */
export interface Answer {
  id: string;
  statusCode: number | null;
  timedOut: boolean;
  error: string | null;
  /** When the batch that it was sent with began. */
  createdAt: Date;
  /** Whom it was sent to; known only of what was watched. */
  url?: string;
  /** How long it took at least, in ms; known only of what was watched. */
  tookMs?: number;
}

/** A call of an edge function, from an exported log. */
export interface FunctionRun {
  functionName: string;
  startedAt: Date;
  durationMs?: number;
  statusCode?: number;
}

/** The hours in which there is work at all. */
export interface Works {
  /** Whose; undefined: every entry's. `*` stands for anything. */
  entries?: string;
  fromHour: number;
  /** Exclusive; less than `fromHour` where the hours go over midnight. */
  toHour: number;
  zone: string;
}
