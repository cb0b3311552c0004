/**
 * Saves everything that comes in to a file, up to a size.
 *
 * @module
 */
import { StartError } from "../../service/life_cycle.ts";
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { EventLog, LoggedEvent } from "../events/event_log.ts";
import { captureLines, captureText } from "./capture_file.ts";

/** Options of {@linkcode CaptureWriter.open}. */
export interface CaptureWriterOptions {
  /** The file; it must not be there yet, or be empty: a recording is never written over. */
  path: string;
  /** Where events come from. */
  events: EventLog;
  log: Log;
  /** The largest file, in bytes; then nothing more is saved, and the log says so. @default 1_073_741_824 */
  maxBytes?: number;
}

const encoder = new TextEncoder();
/** Text that waits for the disk; beyond it nothing more is saved, as memory must not grow. */
const maxQueuedCharacters = 33_554_432;

function cannotWrite(path: string, error: unknown): string {
  const what = `Cannot write the capture ${path}`;
  return error instanceof Deno.errors.NotCapable
    ? `${what}: the program may not write there. Start it with --allow-write=${path}.`
    : `${what}: ${reasonOf(error)}. Give a file that can be written with --capture.`;
}

/** Appends to a capture until it is closed. */
export class CaptureWriter {
  readonly #file: Deno.FsFile;
  readonly #options: Required<CaptureWriterOptions>;
  readonly #unsubscribe: () => void;
  #queue = "";
  #bytes = 0;
  #writing: Promise<void> | undefined;
  #ended = false;

  private constructor(file: Deno.FsFile, options: CaptureWriterOptions) {
    this.#file = file;
    this.#options = { maxBytes: 1_073_741_824, ...options };
    this.#queue = captureText([]);
    this.#unsubscribe = options.events.subscribe((events) => this.#take(events));
    this.#writing = this.#write();
  }

  /**
   * Makes the file.
   *
   * @throws {StartError} it cannot be written, or there is something in it
   */
  static async open(options: CaptureWriterOptions): Promise<CaptureWriter> {
    const { path } = options;
    let file: Deno.FsFile;
    let size: number;
    try {
      file = await Deno.open(path, { write: true, create: true });
      size = (await file.stat()).size;
    } catch (error) {
      throw new StartError(cannotWrite(path, error), { cause: error });
    }
    if (size === 0) return new CaptureWriter(file, options);
    file.close();
    throw new StartError(
      `Will not write the capture over ${path}, which holds ${size} bytes already. Move it away, or name another file with --capture.`,
    );
  }

  /** Writes what waits, and closes the file. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#writing;
    this.#file.close();
  }

  #take(events: readonly LoggedEvent[]): void {
    if (this.#ended) return;
    this.#queue += captureLines(events);
    if (this.#queue.length > maxQueuedCharacters) this.#end("the disk is too slow");
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    // What comes in the same turn goes into the same write.
    await Promise.resolve();
    try {
      while (this.#queue !== "") {
        const bytes = encoder.encode(this.#queue);
        this.#queue = "";
        if (this.#bytes + bytes.length > this.#options.maxBytes) {
          this.#end(`it would be larger than ${this.#options.maxBytes} bytes`);
          break;
        }
        this.#bytes += bytes.length;
        for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at));
      }
    } catch (error) {
      this.#end(reasonOf(error));
    }
    this.#writing = undefined;
  }

  #end(reason: string): void {
    this.#ended = true;
    this.#queue = "";
    this.#unsubscribe();
    this.#options.log.error("The capture ends here, what comes now is not saved", {
      file: this.#options.path,
      bytes: this.#bytes,
      reason,
    });
  }
}
