import { z } from "zod";
import { lineOf } from "../../../local/line-of.ts";
import { readJson, type ReadText, type TextSource } from "./text-source.ts";

const job = z.looseObject({
  name: z.string(),
  schedule: z.string().nullable(),
  target: z.string().optional(),
  payload: z.unknown().optional(),
  time_zone: z.string().optional(),
  enabled: z.boolean().optional(),
  shares: z.string().optional(),
});
/** Besides its sections a file may name the schema that editors check it by. */
const shape = z.object({ $schema: z.string().optional() }).catchall(z.array(job));

/** Daybook's own schedules.json: a list of jobs for each pack. Its engine lets a local time come once a day. */
export function readSchedulesJson({ name, text }: TextSource): ReadText {
  const { $schema: _, ...sections } = readJson(name, text, shape);
  const entries = Object.values(sections as Record<string, z.infer<typeof job>[]>).flat().flatMap(
    (job) => {
      if (job.schedule === null) return [];
      const functionName = job.target ?? job.name;
      const key = `${functionName} ${JSON.stringify(job.payload ?? {})}`;
      const at = text.search(new RegExp(`"name":\\s*${JSON.stringify(job.name)}`));
      return [{
        name: job.name,
        schedule: job.schedule,
        zone: job.time_zone ?? "UTC",
        engine: "daybook" as const,
        command: key,
        work: {
          key,
          exactKey: key,
          label: `function ${functionName}`,
          kind: "other" as const,
          functionName,
          needs: [],
        },
        where: `${name}:${lineOf(text, Math.max(at, 0))}`,
        active: job.enabled ?? true,
        ...(job.shares === undefined ? {} : { shares: job.shares }),
      }];
    },
  );
  return { entries, unknown: [] };
}
