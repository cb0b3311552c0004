/**
 * The programs that run beside each other, as the demo writes them into a file, the console reads
 * them (`--programs`) and tells them, and every page shows them.
 *
 * @module
 */
import { timeoutSignal } from "./resilience.ts";
import { realWorld } from "./world/world.ts";

/** How a program is: on its way up, up, or ended unasked and to be started again. */
export type ProgramState = "starting" | "up" | "down";

/** A program that runs beside others. */
export interface ListedProgram {
  /** Its `service.name`. */
  readonly name: string;
  /** What it is there for. */
  readonly what: string;
  /** Where its page is. @default it has none */
  readonly page?: string;
  readonly state: ProgramState;
  /** Since when it is so, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** How it ended last, as `by SIGKILL`; it may be up again. @default it has not */
  readonly ended?: string;
}

/** Answer of `/api/programs` of every page. */
export interface ProgramsAnswer {
  /** Where the console's page is. @default none is known */
  readonly console?: string;
  /** In the order in which they start; none where nothing is known of any. */
  readonly programs: readonly ListedProgram[];
}

/** Where every page's server answers with them. */
export const programsPath = "/api/programs";

/** The variable that says to a program where the console's page is. */
export const consoleUrlVariable = "OTEL_ORRERY_CONSOLE_URL";

/**
 * The list of a file, such as the demo writes; nothing where it cannot be read yet.
 *
 * @example
 * ```ts
 * const programs = await readProgramList("/tmp/orrery-demo/programs.json");
 * ```
 */
export async function readProgramList(path: string): Promise<readonly ListedProgram[]> {
  try {
    const list = JSON.parse(await Deno.readTextFile(path));
    return Array.isArray(list) ? list : [];
  } catch (error) {
    // It is written when there is something to say, and replaced as a whole.
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return [];
    throw error;
  }
}

/**
 * What a program's own page shows: asked of the console that its environment names. A console that
 * does not answer is down, and nothing is known of the others.
 */
export async function askConsole(url: string | undefined): Promise<ProgramsAnswer> {
  if (url === undefined) return { programs: [] };
  try {
    using timeout = timeoutSignal(1_000, { world: realWorld });
    const response = await fetch(url + programsPath, { signal: timeout.signal });
    const { programs } = await response.json() as ProgramsAnswer;
    return { console: url, programs };
  } catch {
    const sinceMs = 0;
    return {
      console: url,
      programs: [{ name: "console", what: "does not answer", page: url, state: "down", sinceMs }],
    };
  }
}

/** The console's page, as the environment says; nothing where it may not be asked. */
export function consoleUrl(): string | undefined {
  try {
    return Deno.env.get(consoleUrlVariable)?.replace(/\/+$/, "") || undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}
