import type { Entry } from "./entry.ts";
import type { Facts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import type { Timetable } from "./timetable.ts";

/** What a rule looks at. */
export interface Audited {
  entries: readonly Entry[];
  facts: Facts;
  timetable: Timetable;
}

/** It judges entries by what is known of them, and changes neither. */
export type Rule = (audited: Audited) => Finding[];
