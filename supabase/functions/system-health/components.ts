import { z } from "zod";

/** The unit of a figure and of its thresholds. */
const unit = z.enum(["percent", "seconds", "count", "bytes"]);
export type Unit = z.infer<typeof unit>;

/** A row of scheduler.health_figures. */
const figureDefinition = z.object({
  figure: z.string(),
  label: z.string(),
  unit,
  /** `higher`: a value at or above the threshold is bad. `lower`: a value below the threshold is bad. */
  worse: z.enum(["higher", "lower"]),
  /** The threshold; null switches it off. */
  degraded: z.number().nullable(),
  critical: z.number().nullable(),
  /** The key of the detail that names the culprit; null when the figure has none. */
  culprit: z.string().nullable(),
});
export type FigureDefinition = z.infer<typeof figureDefinition>;

/** A row of scheduler.health_components with its figures, the most important first. */
const componentDefinition = z.object({
  component: z.string(),
  label: z.string(),
  /** The most points that the component can add to the score. */
  weight: z.number(),
  figures: z.array(figureDefinition),
});
export type ComponentDefinition = z.infer<typeof componentDefinition>;

/** The result of `scheduler_health_components()`: the components of all packs. */
export const componentDefinitions = z.array(componentDefinition).min(1);
