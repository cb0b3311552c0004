/**
 * The bytes of all bodies that are being read, as far as they are declared.
 *
 * @module
 */
import { ProblemError } from "../../service/problem.ts";

/**
 * A budget of bytes: who wants to read a body reserves them first, and is refused before a byte is
 * read.
 *
 * @example
 * ```ts
 * using _ = budget.reserve(request, 10 * 1024 ** 2);
 * const bytes = await readBody(request, { limitBytes: 10 * 1024 ** 2 });
 * ```
 */
export class BodyBudget {
  readonly #maxBytes: number;
  #reservedBytes = 0;

  /** @param maxBytes of all bodies together */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes reserved at the moment. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /**
   * Reserves what the request declares, or the most that it may have.
   *
   * @throws {ProblemError} 503 with `Retry-After`: too much is being read already
   */
  reserve(request: Request, limitBytes: number): Disposable {
    const declared = request.headers.get("content-length");
    const bytes = Math.min(declared === null ? limitBytes : Number(declared), limitBytes);
    if (this.#reservedBytes + bytes > this.#maxBytes) {
      throw new ProblemError(503, {
        title: "Overloaded",
        detail: `Bodies of ${this.#reservedBytes} bytes are under way already. Try again later.`,
      }, { "retry-after": "1" });
    }
    this.#reservedBytes += bytes;
    return { [Symbol.dispose]: () => void (this.#reservedBytes -= bytes) };
  }
}
