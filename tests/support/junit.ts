export interface Counts {
  passed: number;
  failed: number;
  /** A line for each test or step that failed: its file, its name, and what it said. */
  failures: string[];
  /** The names of the tests that were not run here. */
  skipped: string[];
}

/**
 * Counts the tests in a JUnit report of `deno test`. A test counts once, its steps do not. A report that is not there counts as no test at all.
 */
export async function readCounts(file: string): Promise<Counts> {
  let xml: string;
  try {
    xml = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return countTests("");
    throw error;
  }
  return countTests(xml);
}

export function countTests(xml: string): Counts {
  const counts: Counts = { passed: 0, failed: 0, failures: [], skipped: [] };
  for (const suite of xml.matchAll(/<testsuite [^]*?<\/testsuite>/g)) {
    const cases = [...suite[0].matchAll(/<testcase name="([^"]*)"[^]*?<\/testcase>/g)]
      .map(([text, name]) => ({ name: name!, text }));
    const names = new Set(cases.map(({ name }) => name));
    for (const { name, text } of cases) {
      const failure = text.match(/<(?:failure|error) message="([^"]*)"/);
      if (failure) counts.failures.push(describeFailure(text, name, failure[1]!));
      if (isStep(name, names)) continue;
      if (text.includes("<skipped/>")) counts.skipped.push(unescape(name));
      else if (failure) counts.failed++;
      else counts.passed++;
    }
  }
  return counts;
}

/** The last line of a test run. */
export function describeCounts({ passed, failed, skipped }: Counts): string {
  const more = skipped.length > 0 ? `, ${skipped.length} skipped` : "";
  return `${passed} passed, ${failed} failed${more}`;
}

function describeFailure(testCase: string, name: string, message: string): string {
  const file = testCase.match(/classname="([^"]*)"/)?.[1] ?? "";
  return unescape(`${file} => ${name}: ${message}`).replaceAll(/\s+/g, " ").slice(0, 1000);
}

function unescape(text: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replaceAll(/&(lt|gt|quot|apos|amp);/g, (_, name) => characters[name]!);
}

/** The report gives a step as a test of its own, named `<test> > <step>`. */
function isStep(name: string, names: Set<string>): boolean {
  const parts = name.split(" &gt; ");
  return parts.some((_, index) => index > 0 && names.has(parts.slice(0, index).join(" &gt; ")));
}
