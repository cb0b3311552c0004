/**
 * Reading a byte stream with a buffer as large as its traffic. A stream's default reader holds
 * 64 KiB for as long as it waits, and a server waits on some streams of every session.
 *
 * @module
 */

/** Options of {@linkcode ChunkReader}. */
export interface ChunkReaderOptions {
  /** The buffer's size at first, in bytes, at least 1. @default 2_048 */
  firstBytes?: number;
  /** The size it may grow to, in bytes, doubled whenever a read has filled it. @default 65_536 */
  maxBytes?: number;
}

/**
 * Reads a byte stream chunk by chunk.
 *
 * @example
 * ```ts
 * const reader = new ChunkReader(stream.readable);
 * for (let chunk = await reader.read(); chunk; chunk = await reader.read()) use(chunk);
 * ```
 */
export class ChunkReader {
  readonly #reader: ReadableStreamBYOBReader;
  readonly #maxBytes: number;
  #buffer: ArrayBuffer;

  /** Takes the stream over: nobody else may read it. */
  constructor(stream: ReadableStream<Uint8Array>, options: ChunkReaderOptions = {}) {
    const { firstBytes = 2_048, maxBytes = 65_536 } = options;
    this.#reader = stream.getReader({ mode: "byob" });
    this.#buffer = new ArrayBuffer(firstBytes);
    this.#maxBytes = maxBytes;
  }

  /** The next chunk, to be used before the next read: its memory is used again. `undefined` at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    // No async function: a thousand sessions wait here, and each would hold its frame.
    return this.#reader.read(new Uint8Array(this.#buffer)).then(this.#take);
  }

  readonly #take = (
    { value, done }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>,
  ): Uint8Array<ArrayBuffer> | undefined => {
    if (done || !value) return undefined;
    const { byteLength } = value.buffer;
    this.#buffer = value.length === byteLength && byteLength < this.#maxBytes
      ? new ArrayBuffer(Math.min(2 * byteLength, this.#maxBytes))
      : value.buffer;
    return value;
  };

  /** Asks the peer to stop. */
  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}

/** A stream's chunks, small ones, each in memory of its own. */
export async function* smallChunks(
  stream: ReadableStream<Uint8Array>,
  bytes = 512,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader({ mode: "byob" });
  while (true) {
    const { value, done } = await reader.read(new Uint8Array(bytes));
    if (done || !value) return;
    yield value;
  }
}
