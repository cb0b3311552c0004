/**
 * How every benchmark reports: one line a figure, measured against its target.
 *
 * @module
 */

/** A figure. */
export interface Figure {
  /** What was measured, with its unit. */
  name: string;
  /** The value measured. */
  measured: number;
  /** The bound that the value is held against; without one the figure is information. */
  target?: { atMost: number } | { atLeast: number };
}

/** Prints `name: measured X / target at least Y -> met`, and returns whether the target is met. */
export function report({ name, measured, target }: Figure): boolean {
  if (target === undefined) {
    print(`${name}: measured ${rounded(measured)}`);
    return true;
  }
  const met = "atMost" in target ? measured <= target.atMost : measured >= target.atLeast;
  const bound = "atMost" in target ? `at most ${target.atMost}` : `at least ${target.atLeast}`;
  print(`${name}: measured ${rounded(measured)} / target ${bound} -> ${met ? "met" : "missed"}`);
  return met;
}

/** The middle of the values; the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function rounded(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 2 : 4;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
