/**
 * Takes a renewed certificate into use while the server runs. Whatever goes wrong (half a file, a
 * port that cannot be bound), the old one stays in use and it is tried again, with back-off.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import { backoffDelayMs, pause, reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { CertificatePair } from "./certificate_files.ts";

/** Options of {@linkcode CertificateRenewal}. */
export interface CertificateRenewalOptions {
  /** The pair in use at the start. */
  pair: CertificatePair;
  /** Reads the pair that is there now. */
  read: () => Promise<CertificatePair>;
  /** Takes a pair into use; when it throws, the one before must still be in use. */
  apply: (pair: CertificatePair) => void;
  /** How often the pair is read, in milliseconds, above 0. */
  pollMs: number;
  /** The longest wait added after failures in a row, in milliseconds, above 0. @default 60_000 */
  maxDelayMs?: number;
  /** Gets what happens. */
  log: Pick<Log, "info" | "warn">;
  /** Whose time it is. */
  world: World;
}

/**
 * Polls for a renewed certificate and takes it into use.
 *
 * @example
 * ```ts
 * const renewal = new CertificateRenewal({ pair, read, apply, pollMs: 1_000, log, world });
 * renewal.start();
 * await renewal.stop();
 * ```
 */
export class CertificateRenewal {
  readonly #options: Required<CertificateRenewalOptions>;
  readonly #stopped = new AbortController();
  #pair: CertificatePair;
  #failures = 0;
  /** What was warned of last: a state that stays is said once. */
  #warned: string | undefined;
  /** One after the other: two at once would bind the port twice. */
  #polling: Promise<unknown> = Promise.resolve();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: CertificateRenewalOptions) {
    this.#options = { maxDelayMs: 60_000, ...options };
    this.#pair = options.pair;
  }

  /** The pair in use. */
  get pair(): CertificatePair {
    return this.#pair;
  }

  /** Begins to poll. */
  start(): void {
    this.#loop = this.#pollForEver();
  }

  /** Polls now; true if a new pair is in use. Never rejects. */
  poll(): Promise<boolean> {
    const polled = this.#polling.then(() => this.#renew());
    this.#polling = polled;
    return polled;
  }

  /** Ends the polling and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    await this.#polling;
  }

  async #pollForEver(): Promise<void> {
    const { world } = this.#options;
    while (await pause(this.#delayMs(), { signal: this.#stopped.signal, world })) await this.poll();
  }

  #delayMs(): number {
    const { pollMs, maxDelayMs, world } = this.#options;
    if (this.#failures === 0) return pollMs;
    return pollMs + backoffDelayMs(this.#failures, { baseDelayMs: pollMs, maxDelayMs }, world);
  }

  async #renew(): Promise<boolean> {
    const { read, apply, log } = this.#options;
    try {
      const pair = await read();
      if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) {
        this.#failures = 0;
        this.#warned = undefined;
        return false;
      }
      apply(pair);
      this.#pair = pair;
    } catch (error) {
      this.#failures++;
      const reason = reasonOf(error);
      if (reason !== this.#warned) {
        log.warn("The new certificate cannot be used, the old one stays", { reason });
      }
      this.#warned = reason;
      return false;
    }
    this.#failures = 0;
    this.#warned = undefined;
    log.info("A new certificate is in use", { sha256: this.#pair.hash.toHex() });
    return true;
  }
}
