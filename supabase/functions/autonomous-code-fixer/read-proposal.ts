import { z } from "zod";
import { checkDiff } from "./check-diff.ts";

const proposalSchema = z.object({
  diff: z.string(),
  reasoning: z.string().trim().min(1).max(20_000),
  confidence: z.number().min(0).max(1),
});

export type Proposal = z.output<typeof proposalSchema>;

/**
 * Reads the model's text as a proposal, or gives the reason why it is none.
 *
 * @param code The code to which the diff must apply, with a newline at its end.
 */
export function readProposal(
  text: string,
  code: string,
): { proposal: Proposal; error?: never } | { proposal?: never; error: string } {
  let json: unknown;
  try {
    // Models without a JSON mode often put a code fence around the JSON.
    json = JSON.parse(text.trim().replace(/^```(?:json)?\n([\s\S]*)\n```$/, "$1"));
  } catch {
    return { error: "the answer is no JSON" };
  }
  const parsed = proposalSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return { error: `the answer is no proposal: ${issue?.path.join(".")}: ${issue?.message}` };
  }
  const checked = checkDiff(code, parsed.data.diff);
  if (checked.reason !== undefined) return { error: checked.reason };
  return { proposal: { ...parsed.data, diff: checked.diff } };
}
