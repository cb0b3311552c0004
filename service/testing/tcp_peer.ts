/**
 * A client below HTTP: for what no well-behaved one sends.
 *
 * @module
 */

import { settledWithin } from "../resilience.ts";
import { eventually } from "./eventually.ts";

/** A connection of which all that comes is kept. */
export class Peer {
  /** All that has come, as UTF-8. */
  received = "";
  /** Resolves when the other side has ended it, or it broke. */
  readonly ended: Promise<void>;
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.ended = this.#read();
  }

  static async connect(port: number): Promise<Peer> {
    return new Peer(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  async send(text: string): Promise<void> {
    await this.#write(new TextEncoder().encode(text));
  }

  /** Sends a character of up to U+00FF as a byte. */
  async sendLatin1(text: string): Promise<void> {
    await this.#write(Uint8Array.from(text, (one) => one.charCodeAt(0)));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#connection.write(bytes.subarray(sent));
    }
  }

  /**
   * Waits until the other side has ended it.
   *
   * @throws {Error} it has not for `limitMs`, far longer than it takes
   */
  async end(limitMs = 20_000): Promise<void> {
    if (await settledWithin(this.ended, limitMs)) return;
    throw new Error(`The other side does not end the connection; it has sent ${this.received}`);
  }

  /** Waits until what has come has this in it. */
  async has(pattern: RegExp): Promise<void> {
    await eventually(String(pattern), () => pattern.test(this.received) || undefined);
  }

  close(): void {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      const buffer = new Uint8Array(4_096);
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) return;
        this.received += decoder.decode(buffer.subarray(0, count), { stream: true });
      }
    } catch {
      // Reset, or closed by the test.
    }
  }
}
