import type { Entry } from "./entry.ts";

/** `one`, `one and two`, `one, two and three`. */
export function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

export const namesOf = (entries: readonly Entry[]) => listed(entries.map(({ name }) => name));

/** A schedule with its zone. */
export const scheduleOf = ({ schedule, zone }: Entry) => `${schedule} ${zone}`;
