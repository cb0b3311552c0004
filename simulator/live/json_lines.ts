/**
 * JSON, a message a line, both ways between a program and one that it has started: nobody else can
 * read or write there, and it ends with either of them.
 *
 * @module
 */
import { LineSplitter } from "../intake/line_splitter.ts";

/** Options of {@linkcode JsonLines}. */
export interface JsonLinesOptions<In> {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly onMessage: (message: In) => void;
  /** Messages that may wait to be written; beyond it the connection ends. @default 10_000 */
  readonly maxQueued?: number;
}

/** The longest line, in bytes: a message of the bus, with room. */
const maxLineBytes = 4 * 1024 ** 2;

const encoder = new TextEncoder();

/** One end of a connection. */
export class JsonLines<In, Out> {
  /** Resolves when the other end is gone, or what it says is no JSON; rejects with what `onMessage` throws. */
  readonly ended: Promise<void>;
  readonly #options: JsonLinesOptions<In>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #queue: string[] = [];
  #writing: Promise<void> | undefined;
  #isOver = false;

  constructor(options: JsonLinesOptions<In>) {
    this.#options = options;
    this.#writer = options.writable.getWriter();
    this.ended = this.#read();
    // Who waits for it gets it; before that it is no error of its own.
    this.ended.catch(() => {});
  }

  /** Sends a message, if there still is somebody. */
  send(message: Out): void {
    const { maxQueued = 10_000 } = this.#options;
    if (this.#isOver) return;
    if (this.#queue.length >= maxQueued) {
      this.#isOver = true;
      // Whoever does not read for so long is no other end any more.
      void this.#writer.abort().catch(() => {});
      return;
    }
    this.#queue.push(JSON.stringify(message));
    this.#writing ??= this.#write();
  }

  /** Sends what waits, and says that nothing more comes; where nobody is there, closes this end. */
  async close(): Promise<void> {
    await this.#writing;
    this.#isOver = true;
    await this.#writer.close().catch(() => {});
  }

  async #write(): Promise<void> {
    // All of one turn is one write.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) {
        const text = this.#queue.join("\n");
        this.#queue = [];
        await this.#writer.write(encoder.encode(`${text}\n`));
      }
    } catch {
      // The other end is gone: `ended` says so.
      this.#isOver = true;
      this.#queue = [];
    }
    this.#writing = undefined;
  }

  async #read(): Promise<void> {
    const { readable, onMessage } = this.#options;
    const splitter = new LineSplitter({
      onLine: (line) => onMessage(JSON.parse(line)),
      onRefused: (kind) => {
        throw new TypeError(`A line is ${kind}`);
      },
    }, maxLineBytes);
    try {
      for await (const chunk of readable) splitter.push(chunk);
    } catch (error) {
      // A killed program's pipe breaks; what is no JSON is nobody's to understand.
      if (!(error instanceof SyntaxError || error instanceof TypeError || isBroken(error))) {
        throw error;
      }
    } finally {
      this.#isOver = true;
    }
  }
}

function isBroken(error: unknown): boolean {
  const { BrokenPipe, ConnectionReset, Interrupted, UnexpectedEof } = Deno.errors;
  return [BrokenPipe, ConnectionReset, Interrupted, UnexpectedEof]
    .some((kind) => error instanceof kind);
}
