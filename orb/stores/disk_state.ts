/**
 * Whether a store takes what is written, as far as the last attempt tells. While it does not,
 * somebody has to try: readiness is off, so perhaps no signup comes that would find it mended.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";

/** Options of {@linkcode DiskState}. */
export interface DiskStateOptions<Failure extends Error> {
  /** Notified when writing begins to fail (the reason) and when it works again, once each. */
  onState: (state: "ok" | Failure) => void;
  /** Tries to write. What comes of it is to be reported like every other transaction. */
  probe: () => void;
  /** How long between attempts while the disk fails, in milliseconds. */
  probeIntervalMs: number;
  /** Whose time it is. */
  world: World;
}

/** `ok` → (a transaction failed) → failing, with probes → (one succeeded) → `ok`. */
export class DiskState<Failure extends Error> {
  readonly #options: DiskStateOptions<Failure>;
  #state: "ok" | Failure = "ok";
  #probeTimer: TimerId | undefined;
  #closed = false;

  constructor(options: DiskStateOptions<Failure>) {
    this.#options = options;
  }

  /** True unless the last transaction that wrote something failed. */
  get isOk(): boolean {
    return this.#state === "ok";
  }

  /** A transaction was written. */
  wrote(): void {
    const wasOk = this.isOk;
    this.#state = "ok";
    if (!wasOk) this.#options.onState("ok");
  }

  /** A transaction failed. */
  failed(error: Failure): void {
    const wasOk = this.isOk;
    this.#state = error;
    if (wasOk) this.#options.onState(error);
    this.#scheduleProbe();
  }

  /** Probes no more. */
  close(): void {
    this.#closed = true;
    this.#options.world.clearTimeout(this.#probeTimer);
  }

  #scheduleProbe(): void {
    if (this.#closed) return;
    const { probe, probeIntervalMs, world } = this.#options;
    this.#probeTimer ??= world.setTimeout(() => {
      this.#probeTimer = undefined;
      probe();
    }, probeIntervalMs);
  }
}
