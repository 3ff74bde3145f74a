import type { Unit } from "./components.ts";

/**
 * A figure for people, in ASCII. Decimals are cut and never rounded up, so that a value below a threshold is not shown
 * as if it had reached it.
 */
export function formatFigure(value: number, unit: Unit): string {
  switch (unit) {
    case "percent":
      return `${formatCount(value)} %`;
    case "seconds":
      return formatSeconds(value);
    case "bytes":
      return formatBytes(value);
    case "count":
      return formatCount(value);
  }
}

function cut(value: number, digits: number): string {
  const factor = 10 ** digits;
  return (Math.trunc(value * factor) / factor).toLocaleString("en-US", {
    maximumFractionDigits: digits,
  });
}

function formatCount(value: number): string {
  if (value < 1e9) return cut(value, 1);
  if (value < 1e12) return `${cut(value / 1e9, 2)} billion`;
  if (value < 1e15) return `${cut(value / 1e12, 2)} trillion`;
  return value.toExponential(2);
}

const spans = [["days", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const;

function formatSeconds(value: number): string {
  const seconds = Math.trunc(value);
  if (seconds >= 1e12) return `${formatCount(seconds / 86_400)} days`;
  // Durations of up to two days are shown in hours, such as "36 h".
  const first = seconds >= 2 * 86_400
    ? 0
    : spans.findIndex(([unit, size]) => unit !== "days" && seconds >= size);
  if (first === -1) return "0 s";
  const parts: string[] = [];
  let rest = seconds;
  for (const [unit, size] of spans.slice(first, first + 2)) {
    const amount = Math.trunc(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${formatCount(amount)} ${unit}`);
  }
  return parts.join(" ");
}

function formatBytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${formatCount(amount)} ${units[unit]}`;
}
