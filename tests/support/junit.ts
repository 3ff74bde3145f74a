export interface Counts {
  passed: number;
  failed: number;
}

/**
 * Counts the tests in a JUnit report of `deno test`. A test counts once, its steps do not; ignored ones
 * count as neither. A report that is not there counts as no test at all.
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
  for (const suite of xml.matchAll(/<testsuite ([^>]*)>/g)) {
    const number = (name: string) =>
      Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite[1]!)?.[1] ?? 0);
    const failed = number("failures") + number("errors");
    counts.failed += failed;
    counts.passed += number("tests") - failed - number("disabled");
  }
  return counts;
}
