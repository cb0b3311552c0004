/**
 * Keeps accepted requests in a file, so that a console that is started again has what it had.
 *
 * Intake never waits for the disk: requests are gathered for a sync interval and handed to a thread.
 * What the disk refuses is tried again with the next interval, up to a limit; what is given up is
 * counted and said.
 *
 * @module
 */
import type { ReceivedRequest } from "../../service/otlp/otlp_receiver.ts";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import type { StoreStats } from "../page_api/stream_events.ts";
import { type Batch, type DiskAnswer, type DiskWorker, startDiskWorker } from "./disk_worker.ts";
import type { KeptRequest } from "./request_file.ts";

/** Options of {@linkcode openDiskStore}. */
export interface DiskStoreOptions {
  /** The file; made if there is none. */
  path: string;
  /** How often what was taken in is written, in milliseconds: what a killed console may lose. @default 1_000 */
  syncIntervalMs?: number | undefined;
  /** Bytes of requests kept. @default 256 MiB */
  maxBytes?: number | undefined;
  /** How old a request may become, in milliseconds. @default 24 hours */
  maxAgeMs?: number | undefined;
  /** Hears of a disk that refuses (why) and of one that takes again (`undefined`). */
  onState: (refused: string | undefined) => void;
  /** Time. */
  world: Pick<World, "nowMs" | "setInterval" | "clearInterval">;
}

/** The defaults, in the flags' units. */
export const diskStoreDefaults = {
  syncIntervalMs: 1_000,
  maxBytes: 256 * 1024 ** 2,
  maxAgeMs: 24 * 3_600_000,
} as const;

/** Gathered beyond it, a batch is written before its time. */
const maxBatchBytes = 4 * 1024 ** 2;
/** Handed to the thread and not written yet; beyond it requests are given up. */
const maxUnderWayBytes = 64 * 1024 ** 2;

/**
 * Opens the file.
 *
 * @throws {StartError} it cannot be opened or made, is none of a console, or another one has it
 *
 * @example
 * ```ts
 * const disk = await openDiskStore({ path: "console.sqlite", onState: say, world });
 * await disk.load(96e6, (request) => take(request));
 * disk.keep(request);
 * ```
 */
export async function openDiskStore(options: DiskStoreOptions): Promise<DiskStore> {
  const worker = startDiskWorker();
  const { path, maxBytes = diskStoreDefaults.maxBytes, maxAgeMs = diskStoreDefaults.maxAgeMs } =
    options;
  const { error, bytes } = await worker.ask({
    type: "open",
    options: { path, maxBytes, maxAgeMs },
  });
  if (error === undefined) return new DiskStore(worker, bytes, options);
  worker.end();
  throw new StartError(
    `Cannot keep telemetry in ${path}: ${error}. Give another file with --store, stop the console that has it, or remove it.`,
  );
}

/** See the module. */
export class DiskStore {
  readonly #worker: DiskWorker;
  readonly #options: DiskStoreOptions;
  readonly #timer: TimerId;
  #requests: Batch["requests"][number][] = [];
  #gathered = new Uint8Array(0);
  #gatheredBytes = 0;
  #underWayBytes = 0;
  #refused: string | undefined;
  #stats: StoreStats;

  constructor(worker: DiskWorker, bytes: number, options: DiskStoreOptions) {
    this.#worker = worker;
    this.#options = options;
    const { maxBytes = diskStoreDefaults.maxBytes } = options;
    this.#stats = { bytes, maxBytes, written: 0, waiting: 0, dropped: 0, lastError: null };
    this.#timer = options.world.setInterval(
      () => this.#write(),
      options.syncIntervalMs ?? diskStoreDefaults.syncIntervalMs,
    );
  }

  /** Counters. */
  get stats(): StoreStats {
    return { ...this.#stats };
  }

  /** Keeps a request with the next sync. Its body is copied. */
  keep({ signal, contentType, contentEncoding = "", body }: ReceivedRequest): void {
    if (this.#underWayBytes + this.#gatheredBytes + body.length > maxUnderWayBytes) {
      this.#stats.dropped++;
      this.#say("the disk is slower than what comes in");
      return;
    }
    this.#makeRoom(body.length);
    this.#gathered.set(body, this.#gatheredBytes);
    this.#gatheredBytes += body.length;
    const receivedMs = this.#options.world.nowMs();
    this.#requests.push({ signal, contentType, contentEncoding, receivedMs, length: body.length });
    if (this.#gatheredBytes >= maxBatchBytes) this.#write();
  }

  /** Reads back the newest requests of so many bytes, in their order. */
  async load(
    maxBytes: number,
    take: (request: KeptRequest) => void | Promise<void>,
  ): Promise<void> {
    for (;;) {
      const { requests, error } = await this.#worker.ask({ type: "read", maxBytes });
      if (error !== undefined) {
        throw new StartError(
          `Cannot read ${this.#options.path}: ${error}. Give another file with --store, or remove it.`,
        );
      }
      if (requests.length === 0) return;
      for (const request of requests) await take(request);
    }
  }

  /** Forgets all. */
  async clear(): Promise<void> {
    this.#requests = [];
    this.#gatheredBytes = 0;
    this.#took(await this.#worker.ask({ type: "clear" }));
  }

  /** Writes what was gathered and ends; not later than the deadline. */
  async stop(deadline: AbortSignal): Promise<void> {
    const { world } = this.#options;
    world.clearInterval(this.#timer);
    this.#write();
    const closed = this.#worker.ask({ type: "close", nowMs: world.nowMs() })
      .then((answer) => this.#took(answer), (error) => this.#say(reasonOf(error)));
    const late = Promise.withResolvers<void>();
    const cut = () => late.resolve();
    deadline.addEventListener("abort", cut);
    if (deadline.aborted) cut();
    await Promise.race([closed, late.promise]);
    deadline.removeEventListener("abort", cut);
    this.#worker.end();
  }

  #makeRoom(bytes: number): void {
    const wanted = this.#gatheredBytes + bytes;
    if (wanted <= this.#gathered.length) return;
    const larger = new Uint8Array(Math.max(wanted, 2 * this.#gathered.length, 65_536));
    larger.set(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#gathered = larger;
  }

  #write(): void {
    // Also with nothing new: what the disk has refused is tried again.
    if (this.#requests.length === 0 && this.#stats.waiting === 0) return;
    const requests = this.#requests;
    const length = this.#gatheredBytes;
    const bytes = this.#gathered.slice(0, length);
    this.#requests = [];
    this.#gatheredBytes = 0;
    this.#underWayBytes += length;
    this.#worker.ask({
      type: "write",
      batch: { requests, bytes },
      nowMs: this.#options.world.nowMs(),
    }).then((answer) => this.#took(answer), (error) => this.#say(reasonOf(error))).finally(() => {
      this.#underWayBytes -= length;
    });
  }

  #took({ bytes, written, waiting, dropped, error }: DiskAnswer): void {
    Object.assign(this.#stats, { bytes, written, waiting });
    this.#stats.dropped += dropped;
    this.#say(error);
  }

  #say(refused: string | undefined): void {
    this.#stats.lastError = refused ?? null;
    if (refused === this.#refused) return;
    this.#refused = refused;
    this.#options.onState(refused);
  }
}
