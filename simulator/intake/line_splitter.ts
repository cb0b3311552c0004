/**
 * Cuts a stream of bytes into lines of UTF-8, within a limit: a line that is too long is passed
 * over without being held, and the next one is read as if nothing had been.
 *
 * @module
 */

/** What {@linkcode LineSplitter} finds. */
export interface LineHandler {
  /** A line, without its end; never empty. */
  onLine(line: string): void;
  /** A line that cannot be taken; `beginning` is what can be shown of it. */
  onRefused(kind: "too-long" | "not-utf-8", beginning: string): void;
}

const newline = 0x0a;
const shownCharacters = 80;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** Splits the bytes of one connection. */
export class LineSplitter {
  readonly #handler: LineHandler;
  readonly #maxLineBytes: number;
  /** The begun line: pieces that wait for its end. */
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  /** Inside a line that is too long. */
  #skipping = false;

  constructor(handler: LineHandler, maxLineBytes: number) {
    this.#handler = handler;
    this.#maxLineBytes = maxLineBytes;
  }

  /** Takes the next bytes; they are copied where they are kept. */
  push(chunk: Uint8Array): void {
    let from = 0;
    if (this.#bytes > 0 || this.#skipping) {
      const end = chunk.indexOf(newline);
      if (end === -1) return this.#keep(chunk);
      this.#finish(chunk.subarray(0, end));
      from = end + 1;
    }
    const last = chunk.lastIndexOf(newline);
    if (last >= from) {
      this.#whole(chunk.subarray(from, last));
      from = last + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
  }

  /** The stream has ended: a last line without its end counts. */
  end(): void {
    if (this.#bytes > 0 || this.#skipping) this.#finish(new Uint8Array(0));
  }

  /** Bytes that are held of a line that has not ended. */
  get heldBytes(): number {
    return this.#bytes;
  }

  #keep(piece: Uint8Array): void {
    if (this.#skipping) return;
    if (this.#bytes + piece.length > this.#maxLineBytes) {
      const beginning = joined([...this.#pieces, piece.subarray(0, shownCharacters)]);
      this.#forget();
      this.#skipping = true;
      return this.#handler.onRefused("too-long", shown(beginning));
    }
    this.#pieces.push(piece.slice());
    this.#bytes += piece.length;
  }

  #finish(rest: Uint8Array): void {
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    const bytes = joined([...this.#pieces, rest]);
    this.#forget();
    this.#whole(bytes);
  }

  /** Whole lines, one or many: decoded in one piece, and one by one only where that fails. */
  #whole(bytes: Uint8Array): void {
    let text: string;
    try {
      text = strict.decode(bytes);
    } catch {
      if (bytes.indexOf(newline) === -1) {
        this.#handler.onRefused("not-utf-8", shown(bytes));
        return;
      }
      for (let from = 0; from <= bytes.length;) {
        const end = bytes.indexOf(newline, from);
        const to = end === -1 ? bytes.length : end;
        this.#whole(bytes.subarray(from, to));
        from = to + 1;
      }
      return;
    }
    for (let from = 0; from < text.length;) {
      const end = text.indexOf("\n", from);
      const to = end === -1 ? text.length : end;
      this.#line(text, from, to);
      from = to + 1;
    }
  }

  #line(text: string, from: number, to: number): void {
    if (text.charCodeAt(to - 1) === 0x0d) to--;
    if (to <= from) return;
    if (to - from > this.#maxLineBytes) {
      this.#handler.onRefused("too-long", text.slice(from, from + shownCharacters));
      return;
    }
    this.#handler.onLine(text.slice(from, to));
  }

  #forget(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

function shown(bytes: Uint8Array): string {
  return lenient.decode(bytes.subarray(0, shownCharacters));
}
