import { z } from "zod";
import { workOfText } from "../work.ts";
import { lineOf } from "../../../local/line-of.ts";
import { readJson, type ReadText, type TextSource } from "./text-source.ts";

const shape = z.looseObject({
  crons: z.array(z.looseObject({ path: z.string(), schedule: z.string() })),
});

/** The `crons` of a vercel.json; Vercel's clock is UTC. */
export function readVercel({ name, text }: TextSource): ReadText {
  const { crons } = readJson(name, text, shape);
  let at = 0;
  const entries = crons.map(({ path, schedule }) => {
    const found = text.indexOf(JSON.stringify(path), at);
    if (found >= 0) at = found + 1;
    return {
      name: path,
      schedule,
      zone: "UTC",
      engine: "vercel" as const,
      command: path,
      work: workOfText(path),
      where: `${name}:${lineOf(text, Math.max(found, 0))}`,
      active: true,
    };
  });
  return { entries, unknown: [] };
}
