/**
 * Stdout of a program that prints data: nothing is dropped, however slow its reader is. Who makes
 * the data waits for room; what the reader's end means is the program's to say.
 *
 * A log's lines are another thing (`log.ts`): there the program's work must not wait.
 *
 * @module
 */
import type { LineSink } from "./log.ts";

/** Options of {@linkcode DataOutput}. */
export interface DataOutputOptions {
  /** Lines that may wait until {@linkcode DataOutput.room} asks to wait, at least 1. @default 1_000 */
  maxQueuedLines?: number;
}

/** Why nothing more can be written. */
export class DataOutputError extends Error {
  override name = "DataOutputError";
  /** The reader has closed its end, as `head` does; or the write failed, as on a full disk. */
  readonly kind: "closed" | "failed";

  constructor(kind: DataOutputError["kind"], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }

  /** What a program ends with: as if SIGPIPE had ended it, or as for what it cannot do. */
  get exitCode(): 141 | 2 {
    return this.kind === "closed" ? 141 : 2;
  }
}

/**
 * Writes lines in their order, many in one write.
 *
 * @example
 * ```ts
 * const output = new DataOutput(Deno.stdout);
 * for (const row of rows) {
 *   output.write(JSON.stringify(row));
 *   await output.room();
 * }
 * await output.flush();
 * if (output.error) Deno.exit(output.error.exitCode);
 * ```
 */
export class DataOutput {
  readonly #sink: LineSink;
  readonly #maxQueuedLines: number;
  readonly #encoder = new TextEncoder();
  readonly #ended = new AbortController();
  #queue: string[] = [];
  #writing: Promise<void> | undefined;
  #emptied = Promise.withResolvers<void>();

  constructor(sink: LineSink, { maxQueuedLines = 1_000 }: DataOutputOptions = {}) {
    if (!(maxQueuedLines >= 1)) {
      throw new RangeError(
        `Cannot write data as 'maxQueuedLines' must be at least 1: current value is ${maxQueuedLines}`,
      );
    }
    this.#sink = sink;
    this.#maxQueuedLines = maxQueuedLines;
  }

  /** Aborted, with the {@linkcode error} as its reason, when nothing more can be written. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Why nothing more can be written; `undefined` as long as it can. */
  get error(): DataOutputError | undefined {
    return this.#ended.signal.reason as DataOutputError | undefined;
  }

  /** Takes a line, without its end. After the output's end it is as good as thrown away. */
  readonly write = (line: string): void => {
    if (this.#ended.signal.aborted) return;
    this.#queue.push(line);
    this.#writing ??= this.#drain();
  };

  /** Resolves once there is room for more; `undefined` where there is. */
  readonly room = (): Promise<void> | undefined =>
    this.#queue.length < this.#maxQueuedLines ? undefined : this.#emptied.promise;

  /** Resolves when all has been written, or nothing more can be. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    // Wait for the end of this turn, so that a burst of lines becomes one write.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) {
        let bytes = this.#encoder.encode(this.#queue.join("\n") + "\n");
        this.#queue = [];
        while (bytes.length > 0) bytes = bytes.subarray(await this.#sink.write(bytes));
        this.#emptied.resolve();
        this.#emptied = Promise.withResolvers();
      }
    } catch (error) {
      this.#queue = [];
      this.#ended.abort(outputError(error));
      this.#emptied.resolve();
    }
    this.#writing = undefined;
  }
}

function outputError(error: unknown): DataOutputError {
  if (error instanceof Deno.errors.BrokenPipe) {
    return new DataOutputError("closed", "The reader of stdout has ended", error);
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new DataOutputError("failed", `Cannot write to stdout: ${reason}`, error);
}
