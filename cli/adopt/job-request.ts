/** What a request becomes as a job: its target, its payload, its secret, and when a run is over. */
import { secretsIn } from "../audit/secrets.ts";
import { listed } from "../audit/words.ts";
import type { Piece } from "./json.ts";
import { type Request, Unadoptable } from "./request.ts";

/** What is known of the project and its Vault. */
export interface Project {
  /** Without a slash at its end; undefined: it is not known which project this is. */
  url?: string;
  /** The names under which Vault holds that URL. */
  urlNames: ReadonlySet<string>;
  /** The functions that Daybook serves: they take the cron secret, and report. */
  served: ReadonlySet<string>;
  /** The secrets of Vault: how many characters each has. Undefined: Vault cannot be read. */
  secrets?: ReadonlyMap<string, number>;
  /** The names under which Vault holds what commands have in plain text. */
  nameOfSecret: ReadonlyMap<string, string>;
  /** The values of settings that commands read. */
  settings: ReadonlyMap<string, string>;
}

/** A job's arguments, as far as they come from a request. What is undefined is left to its default. */
export interface JobRequest {
  target: string;
  payload: string;
  receipt: "function" | "response";
  secretName?: string;
  timeoutSeconds?: number;
  /** The edge function, or the host of another server: what a job may be named after. */
  calls: string;
  /** What changes for the request, in whole sentences without a full stop. */
  notes: string[];
}

/** How long the answer of a URL, and a run of a function may take, in seconds: `register_job` takes no more. */
const longestOfUrl = 50;
const longestOfFunction = 86_400;

const secondsOfFunction = (ms: number) => Math.min(Math.ceil(ms / 1000), longestOfFunction);

/** Stands for the project's URL where that is not known: the path below it still names the function. */
const unknownProject = "https://project.invalid";

interface Credential {
  header: "authorization" | "x-cron-secret";
  from: Piece;
}

/** @throws Unadoptable where a job could not make the same request. */
export function jobRequestOf(request: Request, project: Project): JobRequest {
  if (secretsIn(request.payload).length > 0) {
    throw new Unadoptable(
      "its body holds a secret, and each reader of the registry sees payloads",
    );
  }
  const url = readUrl(request.url, project);
  const slug = url.isOwn ? slugIn(url.path) : undefined;
  if (slug !== undefined && project.served.has(slug)) return servedRequest(request, slug);
  const { credential, others } = readHeaders(request);
  if (others.length > 0) {
    throw new Unadoptable(
      `it sends ${listed(others)}, and a job sends no header of its own`,
    );
  }
  const calls = slug ?? new URL(url.text).host;
  if (slug !== undefined && credential?.header !== "authorization") {
    return functionRequest(request, slug, credential, project);
  }
  if (url.text.startsWith(`${unknownProject}/`)) {
    throw new Unadoptable(
      "its URL begins with the project's, and Vault's project_url cannot be read",
    );
  }
  if (!/^https:\/\/[^\s/@]+(\/\S*)?$/.test(url.text)) {
    throw new Unadoptable(
      url.text.startsWith("https:")
        ? "its URL has a blank, or a user's name"
        : slug === undefined
        ? "its URL is not https"
        : "it sends Authorization, which a job sends to https alone; let the function take x-cron-secret",
    );
  }
  if (secretsIn(url.text).length > 0) {
    throw new Unadoptable(
      "its URL holds a secret, and each reader of the registry sees targets",
    );
  }
  if (credential?.header === "x-cron-secret") {
    throw new Unadoptable("it sends x-cron-secret to a URL that is no function of this project");
  }
  const secretName = credential && secretNameOf(credential, calls, project);
  return {
    target: url.text,
    payload: request.payload,
    receipt: "response",
    ...(secretName === undefined ? {} : { secretName }),
    ...timeoutOfUrl(url.text, request.timeoutMs),
    calls,
  };
}

/** For a function that `serveJob` serves: it gets the cron secret, and reports how its run ended. */
function servedRequest({ payload, headers, timeoutMs = 0 }: Request, slug: string): JobRequest {
  const known = /^(content-type|authorization|x-cron-secret|apikey|x-manual-call)$/i;
  const others = headers.map(({ name }) => name).filter((name) => !known.test(name));
  if (others.length > 0) {
    throw new Unadoptable(`it sends ${listed(others)}, and a job sends no header of its own`);
  }
  const gone = headers.map(({ name }) => name).filter((name) => !/^content-type$/i.test(name));
  return {
    target: slug,
    payload,
    receipt: "function",
    // A job's timeout is a deadline for the run; the request's was only how long it waited for the answer.
    ...(timeoutMs > 120_000 ? { timeoutSeconds: secondsOfFunction(timeoutMs) } : {}),
    calls: slug,
    notes: gone.length === 0 ? [] : [
      `Its ${listed(gone)} ${
        gone.length === 1 ? "goes" : "go"
      }: Daybook sends the cron secret of Vault`,
    ],
  };
}

/** For another function of the project, with `x-cron-secret` or no secret: its answer says how the run ended. */
function functionRequest(
  { payload, timeoutMs }: Request,
  slug: string,
  credential: Credential | undefined,
  project: Project,
): JobRequest {
  const secretName = credential && secretNameOf(credential, slug, project);
  const length = secretName === undefined ? undefined : project.secrets?.get(secretName);
  if (length !== undefined && length < 32) {
    throw new Unadoptable(
      `the secret ${secretName} has ${length} characters, and Daybook sends a function none of fewer than 32`,
    );
  }
  return {
    target: slug,
    payload,
    receipt: "response",
    ...(secretName === undefined || secretName === "cron_secret" ? {} : { secretName }),
    ...(timeoutMs === undefined ? {} : { timeoutSeconds: secondsOfFunction(timeoutMs) }),
    calls: slug,
    notes: notesOnTimeout(slug, timeoutMs),
  };
}

function timeoutOfUrl(
  url: string,
  timeoutMs: number | undefined,
): Pick<JobRequest, "timeoutSeconds" | "notes"> {
  if (timeoutMs === undefined) return { notes: notesOnTimeout(url, timeoutMs) };
  const seconds = Math.ceil(timeoutMs / 1000);
  if (seconds <= longestOfUrl) {
    return { timeoutSeconds: seconds, notes: notesOnTimeout(url, timeoutMs) };
  }
  return {
    timeoutSeconds: longestOfUrl,
    notes: [
      `The answer of a URL may take ${longestOfUrl} s, not ${seconds}: a run whose answer takes longer is timed_out in the ledger`,
    ],
  };
}

/** The timeout in seconds that `register_job` gives a job without one. */
export const defaultTimeoutSeconds = (target: string) => target.includes("://") ? 30 : 120;

/** The name of the secret that `register_job` gives a job without one. */
export const defaultSecretName = (target: string) => target.includes("://") ? "" : "cron_secret";

function notesOnTimeout(target: string, timeoutMs: number | undefined): string[] {
  if (timeoutMs === undefined) {
    return [
      `It left the timeout to pg_net, whose default loses later answers; the job waits ${
        defaultTimeoutSeconds(target)
      } s`,
    ];
  }
  return timeoutMs > 5_000 ? [] : [
    `It waits ${
      timeoutMs / 1000
    } s: a run whose answer takes longer is timed_out in the ledger; raise timeout_seconds if that may be`,
  ];
}

/** The URL with looked-up values in place, and its path if it is the project's own. */
function readUrl(
  pieces: Piece[],
  { url: projectUrl, urlNames, settings }: Project,
): { text: string; isOwn: boolean; path: string } {
  const [first] = pieces;
  const isProjectUrl = first !== undefined && "vault" in first &&
    (first.vault === "project_url" || urlNames.has(first.vault));
  const texts = pieces.map((piece, index): string => {
    if ("text" in piece) return piece.text;
    if ("vault" in piece) {
      if (index === 0 && isProjectUrl) return projectUrl ?? unknownProject;
      throw new Unadoptable(
        `its URL has the secret ${piece.vault} of Vault in it, and a job's target is plain text`,
      );
    }
    const value = settings.get(piece.setting);
    if (value !== undefined && secretsIn(`${piece.setting}='${value}'`).length === 0) return value;
    throw new Unadoptable(
      `its URL has the setting ${piece.setting} in it, whose value is not known`,
    );
  });
  const text = texts.join("").replace(/^https(?=:)/i, "https");
  if (!URL.canParse(text)) throw new Unadoptable("its URL is not valid");
  const base = isProjectUrl ? texts[0]!.replace(/\/+$/, "") : projectUrl;
  const plain = text.replace(/(?<=[^:/])\/{2,}/g, "/");
  const isOwn = base !== undefined && plain.startsWith(`${base}/`);
  const path = isOwn ? plain.slice(base.length) : "";
  return { text, isOwn, path };
}

const slugIn = (path: string) => /^\/functions\/v1\/([A-Za-z0-9][\w-]{0,62})\/?$/.exec(path)?.[1];

function readHeaders({ headers }: Request): { credential?: Credential; others: string[] } {
  const credentials: Credential[] = [];
  const others: string[] = [];
  for (const { name, value } of headers) {
    const lower = name.toLowerCase();
    const [only] = value;
    const isPlain = value.length === 1 && "text" in only!;
    if (lower === "content-type") {
      const type = isPlain ? only.text : "";
      if (!/^application\/json(; *charset=utf-8)?$/i.test(type)) {
        throw new Unadoptable("its Content-Type is not JSON");
      }
    } else if (lower === "authorization") {
      credentials.push({ header: lower, from: bearerIn(value) });
    } else if (lower === "x-cron-secret") {
      if (value.length !== 1) throw new Unadoptable(`its ${name} is made of several parts`);
      credentials.push({ header: lower, from: only! });
    } else {
      others.push(name);
    }
  }
  if (credentials.length > 1) throw new Unadoptable("it sends two secrets, and a job sends one");
  const [credential] = credentials;
  return { others, ...(credential === undefined ? {} : { credential }) };
}

/** What follows `Bearer `. */
function bearerIn(value: Piece[]): Piece {
  const [first, second, ...more] = value;
  if (first !== undefined && "text" in first) {
    const plain = /^Bearer +(.+)$/i.exec(first.text)?.[1];
    if (second === undefined && plain !== undefined) return { text: plain };
    if (/^Bearer +$/i.test(first.text) && second !== undefined && more.length === 0) return second;
  }
  throw new Unadoptable(
    "its Authorization is not Bearer and one secret, which is what a job sends",
  );
}

/** The values in a request's headers that may be secret, in plain text or from a setting. */
export function plainSecretsOf({ headers }: Request): ({ text: string } | { setting: string })[] {
  return headers.filter(({ name }) => !/^(content-type|x-manual-call)$/i.test(name))
    .flatMap(({ value }) => value)
    .flatMap((piece): ({ text: string } | { setting: string })[] => {
      if ("vault" in piece) return [];
      if ("setting" in piece) return [piece];
      const text = piece.text.replace(/^(Bearer|Basic) +/i, "");
      return text === "" ? [] : [{ text }];
    });
}

function secretNameOf(
  { header, from }: Credential,
  calls: string,
  { secrets, nameOfSecret, settings }: Project,
): string {
  if ("vault" in from) {
    if (secrets?.has(from.vault) === false) {
      throw new Unadoptable(`its secret is not there: Vault has none named ${from.vault}`);
    }
    return from.vault;
  }
  const value = "text" in from ? from.text : settings.get(from.setting);
  const found = value === undefined ? undefined : nameOfSecret.get(value);
  if (found !== undefined) return found;
  const name = `${calls.toLowerCase().replace(/[^a-z0-9]+/g, "_")}_token`;
  if (secrets?.has(name)) return name;
  throw new Unadoptable(
    `its ${header} ${
      "text" in from ? "stands in plain text" : `is in the setting ${from.setting}`
    }: put it into Vault first, select vault.create_secret('<the secret>', '${name}'), and adopt it then${
      secrets === undefined ? "; Vault cannot be read" : ""
    }`,
  );
}
