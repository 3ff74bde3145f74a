import { z } from "zod";
import { type ComponentDefinition, type ComponentName, componentNames } from "./components.ts";

const prefix = "system_health.";

/** A report that is full of them is read by nobody, and a run's result has a limit. */
const mostNotes = 50;

const override = z.strictObject({
  degraded: z.number().nullable().optional(),
  critical: z.number().nullable().optional(),
});

export interface Thresholds {
  components: Record<ComponentName, ComponentDefinition>;
  /** What is wrong with settings that were ignored, one sentence each. */
  notes: string[];
}

/**
 * The definitions with the thresholds that `settings` changes (key `system_health.<component>.<figure>`, value
 * `{"degraded": number | null, "critical": number | null}`, either may be left out). A setting that makes no sense is
 * ignored, and said to be: a typing error must neither hide trouble nor stop the check.
 */
export function applySettings(
  defaults: Readonly<Record<ComponentName, ComponentDefinition>>,
  settings: Record<string, unknown>,
): Thresholds {
  const changed = structuredClone(defaults) as Record<
    ComponentName,
    ComponentDefinition
  >;
  const notes: string[] = [];
  for (const [key, value] of Object.entries(settings)) {
    const problem = applySetting(changed, key, value);
    if (problem !== null) notes.push(`setting ${shortened(key)} is ignored: ${problem}`);
  }
  const more = notes.length - mostNotes;
  if (more > 0) notes.splice(mostNotes, more, `${more} more settings are ignored`);
  return { components: changed, notes };
}

function applySetting(
  changed: Record<ComponentName, ComponentDefinition>,
  key: string,
  value: unknown,
): string | null {
  const [componentName, figureName, ...rest] = key.slice(prefix.length).split(
    ".",
  );
  if (!isComponentName(componentName)) {
    return `no such component; there are ${componentNames.join(", ")}`;
  }
  const figures = changed[componentName].figures;
  const figure = figureName !== undefined && Object.hasOwn(figures, figureName)
    ? figures[figureName]
    : undefined;
  if (figure === undefined || rest.length > 0) {
    return `no such figure; ${componentName} has ${Object.keys(figures).join(", ")}`;
  }
  const parsed = override.safeParse(value);
  if (!parsed.success) {
    return `it must be like {"degraded": 70, "critical": 90}, got ${
      shortened(JSON.stringify(value))
    }`;
  }
  const { degraded = figure.degraded, critical = figure.critical } = parsed.data;
  if (degraded !== null && critical !== null) {
    const inOrder = figure.worse === "higher" ? degraded <= critical : degraded >= critical;
    if (!inOrder) {
      const word = figure.worse === "higher" ? "at most" : "at least";
      return `degraded (${degraded}) must be ${word} critical (${critical})`;
    }
  }
  figure.degraded = degraded;
  figure.critical = critical;
  return null;
}

function isComponentName(name: string | undefined): name is ComponentName {
  return componentNames.some((known) => known === name);
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
