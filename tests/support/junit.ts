export interface Counts {
  passed: number;
  failed: number;
}

/**
 * Counts the tests in a JUnit report of `deno test`. A test counts once, its steps do not; an ignored one
 * counts as neither. A report that is not there counts as no test at all.
 */
export async function readCounts(file: string): Promise<Counts> {
  let xml: string;
  try {
    xml = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { passed: 0, failed: 0 };
    throw error;
  }
  return countTests(xml);
}

export function countTests(xml: string): Counts {
  const counts = { passed: 0, failed: 0 };
  for (const suite of xml.matchAll(/<testsuite [^]*?<\/testsuite>/g)) {
    const cases = [...suite[0].matchAll(/<testcase name="([^"]*)"[^]*?<\/testcase>/g)]
      .map(([text, name]) => ({ name: name!, text }));
    const names = new Set(cases.map(({ name }) => name));
    for (const { name, text } of cases) {
      if (isStep(name, names) || text.includes("<skipped/>")) continue;
      if (/<(failure|error)\b/.test(text)) counts.failed++;
      else counts.passed++;
    }
  }
  return counts;
}

/** The report gives a step as a test of its own, named `<test> > <step>`. */
function isStep(name: string, names: Set<string>): boolean {
  const parts = name.split(" &gt; ");
  return parts.some((_, index) => index > 0 && names.has(parts.slice(0, index).join(" &gt; ")));
}
