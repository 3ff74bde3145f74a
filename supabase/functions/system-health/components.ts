import { z } from "zod";

/** A figure's unit, in which its thresholds are, too. */
const unit = z.enum(["percent", "seconds", "count", "bytes"]);
export type Unit = z.infer<typeof unit>;

/** A row of scheduler.health_figures. */
const figureDefinition = z.object({
  figure: z.string(),
  label: z.string(),
  unit,
  /** `higher`: trouble from the threshold on. `lower`: trouble below the threshold. */
  worse: z.enum(["higher", "lower"]),
  /** null: never. */
  degraded: z.number().nullable(),
  critical: z.number().nullable(),
  /** Which of the details names the culprit; null: there is none to name. */
  culprit: z.string().nullable(),
});
export type FigureDefinition = z.infer<typeof figureDefinition>;

/** A row of scheduler.health_components with its figures, the most telling ones first. */
const componentDefinition = z.object({
  component: z.string(),
  label: z.string(),
  /** Points in the score. */
  weight: z.number(),
  figures: z.array(figureDefinition),
});
export type ComponentDefinition = z.infer<typeof componentDefinition>;

/** What `scheduler_health_components()` returns: what each pack says there is to look at. */
export const componentDefinitions = z.array(componentDefinition).min(1);
