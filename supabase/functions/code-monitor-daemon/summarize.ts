import { counted } from "../../../shared/text.ts";
import type { Asked } from "./ask-for-fixes.ts";
import type { Collected } from "./collect.ts";

/** The reasons to stop that a person can mend. */
const obstacles: Partial<Record<Asked["stopped"], string>> = {
  time: "no time for more fixes",
  not_configured: "no fixes asked, no model is configured",
  misconfigured: "no fixes asked, autonomous-code-fixer is configured wrongly",
  daily_cap: "the day's cap of fixes is reached",
  unauthorized: "the model's key was refused",
  not_deployed: "autonomous-code-fixer is not deployed",
};

/**
 * One line for lists: "12 failures, 3 causes, 1 new, 1 fix proposed".
 *
 * @param tokenStatus The GitHub token's status in `api_key_health`; null when it was never checked.
 */
export function summarize(
  collected: Collected,
  asked: Asked,
  tokenStatus: string | null,
): string {
  const { failures, causes, newCauses, reopenedCauses, more } = collected;
  const parts = failures === 0
    ? ["no new failures"]
    : [counted(failures, "failure"), counted(causes.size, "cause"), `${newCauses.size} new`];
  if (reopenedCauses.size > 0) parts.push(`${reopenedCauses.size} reopened`);
  if (more) parts.push("more to look at");
  if (asked.proposed > 0) parts.push(`${counted(asked.proposed, "fix", "fixes")} proposed`);
  if (asked.failed > 0) parts.push(`${counted(asked.failed, "fix", "fixes")} failed`);
  if (asked.underWay > 0) parts.push(`${counted(asked.underWay, "fix", "fixes")} under way`);
  const obstacle = obstacles[asked.stopped];
  if (obstacle !== undefined) parts.push(obstacle);
  if (tokenStatus === null) parts.push("GitHub token never checked");
  else if (tokenStatus !== "valid") parts.push(`GitHub token ${tokenStatus.replaceAll("_", " ")}`);
  return parts.join(", ");
}
