/**
 * What `simulate` prints, and what it ends with.
 *
 * @module
 */
import type { Violation } from "../simulation/invariants.ts";
import type { RunResult } from "../simulation/run.ts";

/** Exit codes, by what has happened. */
export const exitCodes = { pass: 0, safety: 1, liveness: 2, usage: 3 } as const;

/** Says what the command ends with. */
export type End = (exitCode: number) => void;

/** Flags of what is printed. */
export interface OutputFlags {
  json?: true;
  quiet?: true;
}

/** A reason for which a command cannot do its work, for people. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What a run ends with: one that was stopped before it could be judged has not come to what it should. */
export function codeOfResult({ verdict, violations }: RunResult): number {
  return verdict === "unknown" ? exitCodes.liveness : codeOfViolations(violations);
}

/** Safety weighs more than liveness. */
export function codeOfViolations(violations: readonly Violation[]): number {
  if (violations.length === 0) return exitCodes.pass;
  return violations.some(({ kind }) => kind === "safety") ? exitCodes.safety : exitCodes.liveness;
}

/** Stdout in large pieces: a system call a line would cost more than the event. */
export class Output {
  readonly #encoder = new TextEncoder();
  #text = "";

  line(line: string): void {
    this.#text += line + "\n";
    if (this.#text.length > 65_536) this.flush();
  }

  /** Whole lines. */
  text(text: string): void {
    this.#text += text;
    this.flush();
  }

  flush(): void {
    let bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    try {
      while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
    } catch (error) {
      // Whoever reads has had enough, as `head` has; the exit code is still of use.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  }
}
