/** The number of the line in which that character stands. */
export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
