import { isMap, isSeq, LineCounter, parseAllDocuments, type YAMLMap } from "yaml";
import { z } from "zod";
import type { Entry } from "../entry.ts";
import { workOfText } from "../work.ts";
import type { ReadText, TextSource } from "./text-source.ts";

const shape = z.looseObject({
  kind: z.literal("CronJob"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    schedule: z.string(),
    timeZone: z.string().optional(),
    suspend: z.boolean().optional(),
    jobTemplate: z.unknown(),
  }),
});

/** The CronJobs of a manifest, of any number of documents, also in a List. */
export function readKubernetes({ name, text, zone }: TextSource): ReadText {
  const lines = new LineCounter();
  const entries: Entry[] = [];
  const unknown: string[] = [];
  const documents = parseAllDocuments(text, { lineCounter: lines });
  for (const document of Array.isArray(documents) ? documents : []) {
    const [error] = document.errors;
    // Its message shows the text, which may hold secrets.
    if (error !== undefined) {
      throw new Error(`Cannot read ${name}:${lines.linePos(error.pos[0]).line}: ${error.code}`);
    }
    for (const node of cronJobs(document.contents)) {
      const line = lines.linePos(node.range?.[0] ?? 0).line;
      const parsed = shape.safeParse(node.toJSON());
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new Error(`Cannot read ${name}:${line}: ${issue!.path.join(".")}: ${issue!.message}`);
      }
      const { metadata, spec } = parsed.data;
      const [, prefix, rest] = /^(?:CRON_TZ|TZ)=(\S+)\s+(.+)$/.exec(spec.schedule) ?? [];
      const said = spec.timeZone ?? prefix ?? zone;
      const command = commandOf(spec.jobTemplate) || metadata.name;
      entries.push({
        name: metadata.name,
        schedule: rest ?? spec.schedule,
        zone: said ?? "UTC",
        engine: "kubernetes",
        command,
        work: workOfText(command),
        where: `${name}:${line}`,
        active: spec.suspend !== true,
      });
      if (said === undefined) {
        unknown.push(
          `${name}:${line}: the zone of the cluster, as ${metadata.name} has no timeZone. Taken as UTC; --zone says another.`,
        );
      }
    }
  }
  return { entries, unknown };
}

function cronJobs(node: unknown): YAMLMap[] {
  if (!isMap(node)) return [];
  if (node.get("kind") === "CronJob") return [node];
  const items = node.get("items");
  return isSeq(items) ? items.items.flatMap(cronJobs) : [];
}

/** The images of a job's containers with what they run. */
function commandOf(template: unknown): string {
  const containers = (template as {
    spec?: { template?: { spec?: { containers?: Record<string, unknown>[] } } };
  })?.spec?.template?.spec?.containers ?? [];
  return containers.map(({ image, command, args }) =>
    [image, command, args].flat().filter((part) => part !== undefined).join(" ")
  ).join("; ");
}
