import { applyPatch, createTwoFilesPatch, parsePatch, type StructuredPatch } from "diff";

/** The file name of the code in every diff. */
export const fileName = "main.py";

const maximumDiffLength = 64_000;
/** A larger change is a rewrite, not a fix. The comparison's cost is quadratic in it, and a function has 2 s of CPU. */
const maximumChangedLines = 1_000;
/** The most line comparisons for finding the places of all hunks, which take some 0.2 s. */
const maximumComparisons = 5_000_000;

/** A diff that applies, in the form of `diff -u`, or the reason why the text is no such diff. */
export type CheckedDiff = { diff: string; reason?: never } | {
  diff?: never;
  reason: string;
};

/**
 * Checks that a text is a unified diff of `main.py` alone and applies to the code without fuzz. Line numbers and
 * counts in its headers may be wrong, because models miscount; every line that it keeps or removes must be there.
 *
 * @param code The code, with a newline at its end.
 */
export function checkDiff(code: string, text: string): CheckedDiff {
  if (text.length > maximumDiffLength) {
    return {
      reason: `the diff has ${text.length} characters, at most ${maximumDiffLength} are read`,
    };
  }
  let patches: StructuredPatch[];
  try {
    patches = parsePatch(recount(text));
  } catch (error) {
    return {
      reason: `the diff is no unified diff: ${String((error as Error).message).slice(0, 200)}`,
    };
  }
  const [patch] = patches;
  if (patch === undefined || patch.hunks.length === 0) {
    return { reason: "the diff is no unified diff: it has no hunk" };
  }
  const files = patches.flatMap((
    { oldFileName, newFileName },
  ) => [oldFileName, newFileName]);
  if (files.some((name) => name?.replace(/^[ab]\//, "") !== fileName)) {
    return { reason: `the diff must change ${fileName} and nothing else` };
  }
  if (patches.length > 1) {
    return { reason: `the diff changes ${fileName} more than once` };
  }

  const { fixed, reason } = applyHunks(code, patch);
  if (reason !== undefined) return { reason };
  if (fixed === code) return { reason: "the diff changes nothing" };
  const diff = createTwoFilesPatch(
    `a/${fileName}`,
    `b/${fileName}`,
    code,
    fixed,
    undefined,
    undefined,
    { maxEditLength: maximumChangedLines },
  );
  return diff === undefined
    ? { reason: `the diff changes more than ${maximumChangedLines} lines` }
    : { diff };
}

/** The code with the hunks applied, or the reason why they do not apply. */
function applyHunks(
  code: string,
  patch: StructuredPatch,
): { fixed: string; reason?: never } | { fixed?: never; reason: string } {
  const lineCount = countLines(code);
  const hunks = patch.hunks.map((hunk) => ({
    ...hunk,
    // The library steps line by line from this number to the code, which would take long from a huge number.
    oldStart: Math.min(hunk.oldStart, lineCount + 1),
  }));
  let comparisons = 0;
  class TooManyComparisons extends Error {}
  let fixed: string | false;
  try {
    fixed = applyPatch(code, { ...patch, hunks }, {
      fuzzFactor: 0,
      compareLine(_number, line, _operation, content) {
        if (++comparisons > maximumComparisons) throw new TooManyComparisons();
        return line === content;
      },
    });
  } catch (error) {
    if (!(error instanceof TooManyComparisons)) throw error;
    return { reason: "the diff's hunks fit in too many places to be tried" };
  }
  if (fixed === false) return { reason: "the diff does not apply to the code" };
  // The library applies a hunk at its stated line even if an earlier hunk was applied behind that line. It then
  // repeats the lines between the two.
  const added = hunks.reduce(
    (sum, hunk) => sum + hunk.newLines - hunk.oldLines,
    0,
  );
  if (countLines(fixed) !== lineCount + added) {
    return { reason: "the diff's hunks are not in the order of the code" };
  }
  return { fixed };
}

function countLines(text: string): number {
  return text === "" ? 0 : text.replace(/\n$/, "").split("\n").length;
}

/** Corrects the counts in each hunk's header by counting its lines, because models miscount them. */
function recount(text: string): string {
  const lines = text.replaceAll("\r\n", "\n").replace(/\n+$/, "").split("\n");
  for (let index = 0; index < lines.length; index++) {
    const header = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(
      lines[index]!,
    );
    if (header === null) continue;
    let [removed, added] = [0, 0];
    for (
      let at = index + 1;
      at < lines.length && !beginsPart(lines, at);
      at++
    ) {
      // This is an empty context line that lost its space.
      if (lines[at] === "") lines[at] = " ";
      if (/^[ -]/.test(lines[at]!)) removed++;
      if (/^[ +]/.test(lines[at]!)) added++;
    }
    lines[index] = `@@ -${header[1]},${removed} +${header[2]},${added} @@`;
  }
  return `${lines.join("\n")}\n`;
}

/** Whether a hunk or a file begins at this line. */
function beginsPart(lines: string[], at: number): boolean {
  const [line, next] = [lines[at]!, lines[at + 1] ?? ""];
  return /^(@@ |diff --git |Index: )/.test(line) ||
    (line.startsWith("--- ") && next.startsWith("+++ "));
}
