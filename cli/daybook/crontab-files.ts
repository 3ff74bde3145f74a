/** The files of clocks other than pg_cron. None of them holds the secret. */
import { createHash } from "node:crypto";
import { Document, Scalar, stringify, type YAMLMap } from "yaml";
import { type ClockKind, type ScheduledJob, scheduleFor } from "./crontab-schedules.ts";

export interface CallOptions {
  /** Of the project: `https://<ref>.supabase.co`. */
  projectUrl: string;
  header: "bearer" | "x-cron-secret";
  client: "curl" | "wget";
}

/** A call that a clock makes. */
export interface Call {
  /** `tick`, or the job's. */
  name: string;
  fields: string;
  timeZone: string;
  /** For `sh`, with CRON_SECRET in its environment. */
  command: string;
}

export interface Plan {
  calls: Call[];
  /** Jobs that this clock cannot call at their times, and why: `tick` does. */
  left: { name: string; reason: string }[];
}

/** How long a call may take, in seconds: a tick works for two, a job answers at once. */
const patience = 50;

/** What the clock is to call: `tick` each minute; with jobs also each of these by itself. */
export function planCalls(
  clock: ClockKind,
  jobs: readonly ScheduledJob[],
  options: CallOptions,
): Plan {
  const plan: Plan = {
    calls: [{
      name: "tick",
      fields: "* * * * *",
      timeZone: "UTC",
      command: commandOf("cron/tick", {}, options),
    }],
    left: [],
  };
  for (const job of jobs) {
    const schedule = scheduleFor(clock, job);
    if ("reason" in schedule) {
      plan.left.push({ name: job.name, reason: schedule.reason });
    } else {
      // The ledger has how the run ends; whoever waits for it would be cut off.
      const headers = { "x-job-name": job.name, prefer: "respond-async" };
      const command = commandOf(job.target, headers, options);
      plan.calls.push({ name: job.name, ...schedule, command });
    }
  }
  return plan;
}

/** curl reads the secret from a pipe: who lists the processes of the machine sees arguments. wget knows no such way. */
function commandOf(
  path: string,
  headers: Record<string, string>,
  { projectUrl, header, client }: CallOptions,
): string {
  const url = `'${projectUrl}/functions/v1/${path}'`;
  const prefix = header === "bearer" ? "authorization: Bearer " : "x-cron-secret: ";
  const more = Object.entries(headers).map(([name, value]) => `'${name}: ${value}'`);
  if (client === "wget") {
    return [
      `wget -q -O /dev/null -T ${patience} --post-data=''`,
      `--header="${prefix}$CRON_SECRET"`,
      ...more.map((text) => `--header=${text}`),
      url,
    ].join(" ");
  }
  return [
    `printf '${prefix}%s' "$CRON_SECRET" |`,
    `curl -fsS -o /dev/null --max-time ${patience} -X POST -H @-`,
    ...more.map((text) => `-H ${text}`),
    url,
  ].join(" ");
}

const common = [
  "An occurrence runs once, whoever calls first: pg_cron may fire the same jobs.",
  "tick sends all that is due, retries what failed, and judges silent runs; it is called each minute.",
];

function leftLines({ left }: Plan): string[] {
  if (left.length === 0) return [];
  return ["", "Sent by tick alone:", ...left.map(({ name, reason }) => `- ${name}: ${reason}`)];
}

const asComment = (lines: string[]) =>
  lines.map((line) => line === "" ? "#" : `# ${line}`).join("\n");

/** Calls by zone, UTC first. */
function byZone(calls: Call[]): [string, Call[]][] {
  const zones = Map.groupBy(calls, ({ timeZone }) => timeZone);
  return [...zones].sort(([a], [b]) =>
    Number(b === "UTC") - Number(a === "UTC") || (a < b ? -1 : 1)
  );
}

/** A crontab. In one, `%` is the end of a line unless it is escaped. */
export function cronFile(plan: Plan): string {
  const lines = [
    asComment([
      "Daybook: a crontab for cronie (Red Hat, Fedora, Arch; on Debian and Ubuntu the package cronie).",
      "Cron of Debian and Ubuntu itself does not know CRON_TZ.",
      ...common,
      ...leftLines(plan),
      "",
      "The file of DAYBOOK_ENV has CRON_SECRET='…', and its mode is 600.",
    ]),
    "DAYBOOK_ENV=/etc/daybook.env",
    "SHELL=/bin/sh",
  ];
  for (const [zone, calls] of byZone(plan.calls)) {
    lines.push(`CRON_TZ=${zone}`);
    for (const { fields, command } of calls) {
      lines.push(`${fields} . "$DAYBOOK_ENV" && ${command}`.replaceAll("%", "\\%"));
    }
  }
  return lines.join("\n") + "\n";
}

/** How late a job's call may still be made, in seconds: the usual grace of an occurrence. */
const lateness = { tick: 30, job: 300 };
const images = { curl: "docker.io/curlimages/curl:8.17.0", wget: "docker.io/library/alpine:3.23" };

/** A CronJob a call. The secret is a Secret of the cluster. */
export function kubernetesFile(plan: Plan, client: CallOptions["client"]): string {
  const taken = new Set<string>();
  const documents = plan.calls.map((call) => {
    const name = kubernetesName(call.name, taken);
    return stringify({
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name, labels: { "app.kubernetes.io/name": "daybook" } },
      spec: {
        schedule: call.fields,
        timeZone: call.timeZone === "UTC" ? "Etc/UTC" : call.timeZone,
        concurrencyPolicy: "Forbid",
        startingDeadlineSeconds: call.name === "tick" ? lateness.tick : lateness.job,
        successfulJobsHistoryLimit: 1,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          spec: {
            // Daybook retries by itself.
            backoffLimit: 0,
            activeDeadlineSeconds: 2 * patience,
            template: { spec: podOf(call.command, client) },
          },
        },
      },
    }, { lineWidth: 0 });
  });
  const head = asComment([
    "Daybook: CronJobs of Kubernetes 1.27 or later. The secret first, from a file with CRON_SECRET=…:",
    "  kubectl create secret generic daybook --from-env-file=daybook.env",
    ...common,
    ...leftLines(plan),
  ]);
  return `${head}\n${documents.map((text) => `---\n${text}`).join("")}`;
}

function podOf(command: string, client: CallOptions["client"]) {
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65534,
      seccompProfile: { type: "RuntimeDefault" },
    },
    containers: [{
      name: "call",
      image: images[client],
      command: ["/bin/sh", "-c", command],
      env: [{
        name: "CRON_SECRET",
        valueFrom: { secretKeyRef: { name: "daybook", key: "CRON_SECRET" } },
      }],
      resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      },
    }],
  };
}

/** The controller appends 11 characters to a name, and 63 is the most. */
const longestName = 52;

/** A name for Kubernetes: what a job's name has that one may not, or is too long, is told apart by a hash. */
export function kubernetesName(name: string, taken: Set<string>): string {
  const plain = `daybook-${name}`;
  let found = plain.replaceAll("_", "-").replace(/-+$/, "");
  for (let turn = 0; found !== plain || found.length > longestName || taken.has(found); turn++) {
    const hash = createHash("sha256").update(`${turn}:${name}`).digest("hex").slice(0, 8);
    found = `${found.slice(0, longestName - 9).replace(/-+$/, "")}-${hash}`;
    if (!taken.has(found)) break;
  }
  taken.add(found);
  return found;
}

/** A service a zone, since supercronic reads one CRON_TZ for a whole crontab. `$` is Compose's own, `$$` is a dollar. */
export function composeFile(plan: Plan, client: CallOptions["client"]): string {
  const zones = byZone(plan.calls);
  const nameOf = (zone: string) => `daybook-${zone.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`;
  const image = [
    `FROM ${images.wget}`,
    `RUN apk add --no-cache supercronic${client === "curl" ? " curl" : ""}`,
    "USER nobody",
  ].join("\n");
  const document = new Document({
    services: Object.fromEntries(zones.map(([zone]) => [nameOf(zone), {
      build: { dockerfile_inline: `${image}\n` },
      command: ["supercronic", "/etc/daybook.crontab"],
      env_file: ["daybook.env"],
      configs: [{ source: nameOf(zone), target: "/etc/daybook.crontab" }],
      restart: "unless-stopped",
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
    }])),
    configs: Object.fromEntries(zones.map(([zone, calls]) => [nameOf(zone), {
      content: `CRON_TZ=${zone}\n${
        calls.map(({ fields, command }) => `${fields} ${command}`).join("\n")
      }\n`.replaceAll("$", "$$$$"),
    }])),
  });
  for (const { value } of (document.get("configs") as YAMLMap).items) {
    ((value as YAMLMap).get("content", true) as Scalar).type = Scalar.BLOCK_LITERAL;
  }
  document.commentBefore = [
    "Daybook: docker compose 2.23.1 or later, with supercronic as its clock. It reads a plain crontab and a zone, keeps the",
    "environment, logs to stdout, and needs no access to Docker. daybook.env has CRON_SECRET=…, and its mode is 600.",
    ...common,
    ...leftLines(plan),
  ].map((line) => line === "" ? "" : ` ${line}`).join("\n");
  return document.toString({ lineWidth: 0 });
}
