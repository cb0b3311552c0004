/**
 * The file that says which programs run and how they are: the console reads it and shows it.
 *
 * @module
 */
import { type Place, type Program, programNamed } from "../programs.ts";
import type { ListedProgram, ProgramState } from "../service/program_list.ts";
import type { World } from "../service/world/world.ts";

/** Options of {@linkcode ProgramListFile}. */
export interface ProgramListFileOptions {
  path: string;
  place: Place;
  world: Pick<World, "nowMs">;
  /** Hears why it cannot be written; the demo goes on. */
  onError: (error: unknown) => void;
}

/**
 * See the module.
 *
 * @example
 * ```ts
 * const list = new ProgramListFile({ path, place, world, onError });
 * list.set("orb-server", "down", "by SIGKILL");
 * await list.written();
 * ```
 */
export class ProgramListFile {
  readonly #options: ProgramListFileOptions;
  readonly #programs = new Map<string, ListedProgram>();
  #writing: Promise<void> | undefined;
  #isStale = false;

  constructor(options: ProgramListFileOptions) {
    this.#options = options;
  }

  /** Says how a program is now; how it ended is remembered when it is up again. */
  set(name: string, state: ProgramState, ended = this.#programs.get(name)?.ended): void {
    const { place, world } = this.#options;
    const program = programNamed(name);
    this.#programs.set(name, {
      name,
      what: whatOf(program, place),
      ...(hasPage(program) && { page: place.url(name, program.demo?.path) }),
      state,
      sinceMs: world.nowMs(),
      ...(ended !== undefined && { ended }),
    });
    this.#isStale = true;
    this.#writing ??= this.#write();
  }

  /** Resolves once the file says what was set. */
  async written(): Promise<void> {
    await this.#writing;
  }

  /** One writing at a time; replaced as a whole, so that a reader never sees half of it. */
  async #write(): Promise<void> {
    const { path, onError } = this.#options;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        await Deno.writeTextFile(`${path}.new`, JSON.stringify([...this.#programs.values()]));
        await Deno.rename(`${path}.new`, path);
      }
    } catch (error) {
      onError(error);
    } finally {
      this.#writing = undefined;
    }
  }
}

function whatOf({ demo }: Program, place: Place): string {
  return typeof demo?.what === "function" ? demo.what(place) : demo?.what ?? "";
}

function hasPage({ page, health }: Program): boolean {
  return page !== undefined && health !== undefined;
}
