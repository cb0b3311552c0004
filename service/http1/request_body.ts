/**
 * The body of a request on its way from a connection to whoever reads it.
 *
 * @module
 */

/** Reads a body: `piece` as they come, `end` once, with a reason if it did not come whole. */
export interface BodyReader {
  /** Takes a piece; gives false when no more is wanted until {@linkcode RequestBody.flow}. */
  piece(piece: Uint8Array): boolean;
  end(error?: Error): void;
}

/** So much is kept for a reader that has not begun yet; then the connection is not read any further. */
const unreadBytes = 65_536;

const thrownAway: BodyReader = { piece: () => true, end() {} };

/** A body: kept up to a bound until somebody reads, or threw it away. */
export class RequestBody {
  readonly #onFlow: () => void;
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #reader: BodyReader | undefined;
  #isWanted = true;
  #isComplete = false;
  #error: Error | undefined;

  /** @param onFlow called when {@linkcode isFull} may have changed by its reader */
  constructor(onFlow: () => void) {
    this.#onFlow = onFlow;
  }

  /** Whether all of it has come. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether nothing more can be taken at present. */
  get isFull(): boolean {
    if (this.#isComplete) return false;
    return this.#reader ? !this.#isWanted : this.#heldBytes >= unreadBytes;
  }

  /** A piece has come. */
  push(piece: Uint8Array): void {
    if (this.#reader) {
      this.#isWanted = this.#reader.piece(piece);
    } else {
      this.#pieces.push(piece);
      this.#heldBytes += piece.length;
    }
  }

  /** All has come, or with a reason nothing more will. */
  end(error?: Error): void {
    if (this.#isComplete || this.#error) return;
    if (error) this.#error = error;
    else this.#isComplete = true;
    this.#reader?.end(error);
  }

  /** Gives it to its only reader, what has come already at once. */
  read(reader: BodyReader): void {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#heldBytes = 0;
    this.#reader = reader;
    for (const piece of pieces) this.#isWanted = reader.piece(piece);
    if (this.#isComplete || this.#error) reader.end(this.#error);
    else this.#onFlow();
  }

  /** All of it, when it has come already and nobody has begun to read. */
  takeWhole(): Uint8Array[] | undefined {
    if (!this.#isComplete || this.#reader) return undefined;
    this.#reader = thrownAway;
    return this.#pieces;
  }

  /** The reader wants more. */
  flow(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#onFlow();
  }

  /** Throws away what has come and what will; a reader that is not done yet is told so. */
  discard(): void {
    if (this.#reader === thrownAway) return;
    if (!this.#isComplete && !this.#error) {
      this.#reader?.end(new Error("The request was answered before its body was read"));
    }
    this.#isWanted = true;
    this.read(thrownAway);
  }
}

/** Pieces in one, in memory of its own. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (pieces.length === 1) return new Uint8Array(pieces[0]!);
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

/**
 * Gives the memory of pieces that were read back at once: they are empty from then on. Left to the
 * collector, large bodies make it go through the whole heap again and again.
 *
 * @example
 * ```ts
 * const pieces = await readPieces(c.req.raw, { limitBytes: 1024 ** 2 });
 * for (const piece of pieces) hash.update(piece);
 * releasePieces(pieces);
 * ```
 */
export function releasePieces(pieces: readonly Uint8Array[]): void {
  for (const { buffer, byteLength } of pieces) {
    // Of a smaller one the rest may be somebody else's, as the connection's next request.
    if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
  }
}
