/**
 * The tokens as the server sees them: asynchronous, durable, bounded.
 *
 * Group commit: while one transaction waits for the disk, the signups that arrive meanwhile gather
 * and become the next one. A caller hears of its image only when its transaction is durable. The
 * disk is waited for in a worker, so requests go on being read and hashed.
 *
 * @module
 */
import {
  type Context,
  context,
  type Meter,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { realWorld, type World } from "../service/world/world.ts";
import { DiskState } from "./disk_state.ts";
import { SerialJobs } from "./serial_jobs.ts";
import { StoreError } from "./store_error.ts";
import { StoreInstruments } from "./store_instruments.ts";
import { digestBytes, type InsertResult } from "./token_database.ts";
import {
  maxDigests,
  startTokenWorker,
  type TokenCommand,
  type TokenReply,
  type TokenWorker,
} from "./token_worker.ts";

/** Options of {@linkcode openTokenStore}. */
export interface TokenStoreOptions {
  /** The SQLite file; made if need be. */
  path: string;
  /** Makes the spans. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** Notified when writing begins to fail (the reason) and when it works again, once each. */
  onState: (state: "ok" | StoreError) => void;
  /** Signups that may wait for their transaction, at least 1; one more is refused. @default 512 */
  maxQueued?: number;
  /** The most signups in one transaction, 1 to 1,024. @default 256 */
  maxBatch?: number;
  /** How long between attempts to write while the disk fails, in milliseconds, at least 1. @default 1_000 */
  probeIntervalMs?: number;
  /** Starts what waits for the disk. @default {@linkcode startTokenWorker} */
  startWorker?: () => TokenWorker;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** The server's tokens. */
export interface TokenStore {
  /**
   * Stores an image's SHA-256 digest, given in hex, unless it is there. `new` and `duplicate` are
   * durable; `failed` means that the disk refused and nothing is stored.
   *
   * @throws {StoreError} the queue is full (`busy`) or the store is being closed (`closing`).
   */
  add(digest: string): Promise<InsertResult>;
  /** Forgets every token. @throws {StoreError} the disk refused (`disk`), or nothing can be stored any more (`worker`). */
  reset(): Promise<void>;
  /** Tokens stored. */
  readonly count: number;
  /** Rejects if the worker dies: nothing can be stored any more. */
  readonly died: Promise<never>;
  /** Waits for what is queued, then closes the file. */
  close(): Promise<void>;
}

/**
 * Opens the store.
 *
 * @throws {StoreError} the file cannot be opened or written.
 * @throws {RangeError} an option is out of range.
 *
 * @example
 * ```ts
 * const store = await openTokenStore({ path: "tokens.sqlite", tracer, meter, onState });
 * await store.add(hash("sha256", image, "hex")); // "new"
 * await store.add(hash("sha256", image, "hex")); // "duplicate"
 * await store.close();
 * ```
 */
export async function openTokenStore(options: TokenStoreOptions): Promise<TokenStore> {
  const all = withDefaults(options);
  const worker = all.startWorker();
  const opened = await worker.ask({ type: "open", path: all.path });
  if (opened.error) {
    worker.end();
    throw diskError(opened.error);
  }
  return new WorkerTokenStore(all, worker, opened.count);
}

function withDefaults(options: TokenStoreOptions): Required<TokenStoreOptions> {
  const all = {
    maxQueued: 512,
    maxBatch: 256,
    probeIntervalMs: 1_000,
    startWorker: startTokenWorker,
    world: realWorld,
    ...options,
  };
  for (const name of ["maxQueued", "maxBatch", "probeIntervalMs"] as const) {
    const max = name === "maxBatch" ? maxDigests : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(all[name]) || all[name] < 1 || all[name] > max) {
      throw new RangeError(
        `Cannot open a token store as '${name}' must be a positive integer${
          name === "maxBatch" ? ` of at most ${max}` : ""
        }: current value is ${all[name]}`,
      );
    }
  }
  return all;
}

/** A signup that waits for its transaction. */
interface Waiting {
  readonly digest: string;
  readonly span: Span;
  readonly parent: Context;
  readonly resolve: (result: InsertResult) => void;
}

const attributes = {
  "db.system.name": "sqlite",
  "db.collection.name": "tokens",
  "db.operation.name": "INSERT",
};

/** open → closing → closed; dead, from any of them, when the worker has died. */
class WorkerTokenStore implements TokenStore {
  readonly #options: Required<TokenStoreOptions>;
  readonly #worker: TokenWorker;
  readonly #jobs = new SerialJobs((error) => this.#die(error));
  readonly #disk: DiskState;
  readonly #instruments: StoreInstruments;
  readonly #died = Promise.withResolvers<never>();
  readonly #waiting: Waiting[] = [];
  #committing: readonly Waiting[] = [];
  #count: number;
  #dead = false;
  #closed: Promise<void> | undefined;

  constructor(options: Required<TokenStoreOptions>, worker: TokenWorker, count: number) {
    this.#options = options;
    this.#worker = worker;
    this.#count = count;
    const { onState, probeIntervalMs, world } = options;
    this.#disk = new DiskState({ onState, probeIntervalMs, world, probe: () => this.#probe() });
    this.#instruments = new StoreInstruments(options.meter, () => ({
      count: this.#count,
      queued: this.#waiting.length,
    }));
    // Its owner waits for it; a test may not.
    this.#died.promise.catch(() => {});
  }

  get count(): number {
    return this.#count;
  }

  get died(): Promise<never> {
    return this.#died.promise;
  }

  add(digest: string): Promise<InsertResult> {
    if (this.#closed) return Promise.reject(new StoreError("closing", "The store is being closed"));
    if (this.#waiting.length >= this.#options.maxQueued) {
      const message = `${this.#waiting.length} signups wait for the disk already`;
      return Promise.reject(new StoreError("busy", message));
    }
    if (this.#dead) return Promise.resolve("failed");
    const parent = context.active();
    const span = this.#options.tracer.startSpan("store token", { attributes }, parent);
    return new Promise((resolve) => {
      this.#waiting.push({ digest, span, parent, resolve });
      if (this.#waiting.length === 1) this.#scheduleCommit();
    });
  }

  async reset(): Promise<void> {
    const reply = await this.#jobs.add(() => this.#ask({ type: "reset" })).catch((cause) => {
      throw new StoreError("worker", "Nothing can be stored any more", { cause });
    });
    if (reply.error) throw diskError(reply.error);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#disk.close();
    // A worker that has died has nothing to close.
    await this.#jobs.add(() => this.#worker.ask({ type: "close" })).catch(() => {});
    this.#worker.end();
    this.#instruments.stop();
  }

  /** Asks the worker, and learns from its answer how the disk is. */
  async #ask(command: TokenCommand): Promise<TokenReply> {
    const reply = await this.#worker.ask(command);
    this.#count = reply.count;
    if (reply.error) this.#disk.failed(diskError(reply.error));
    // Duplicates write nothing, so they do not tell how the disk is.
    else if (command.type !== "insert" || reply.results.includes("new")) this.#disk.wrote();
    return reply;
  }

  #probe(): void {
    // A failure of the worker itself has reached #die().
    this.#jobs.add(async () => {
      if (!this.#disk.isOk) await this.#ask({ type: "probe" });
    }).catch(() => {});
  }

  #scheduleCommit(): void {
    // Those who wait are answered by #commit(), or by #die().
    this.#jobs.add(() => this.#commit()).catch(() => {});
  }

  /** One transaction of what waits. */
  async #commit(): Promise<void> {
    const members = this.#waiting.splice(0, this.#options.maxBatch);
    const [first] = members;
    if (first === undefined) return;
    this.#committing = members;
    if (this.#waiting.length > 0) this.#scheduleCommit();

    const { world } = this.#options;
    const span = this.#startCommitSpan(first, members.length);
    const startMs = world.monotonicMs();
    const { results, error } = await this.#ask({ type: "insert", digests: packed(members) });
    this.#instruments.commitDuration.record((world.monotonicMs() - startMs) / 1_000);
    this.#instruments.commitSize.record(members.length);
    endCommitSpan(span, error);
    members.forEach((member, index) => {
      const result = results[index];
      if (result === undefined) throw new Error(`The worker forgot signup ${index} of a batch`);
      if (member !== first) member.span.addLink({ context: span.spanContext() });
      answer(member, result, members.length);
    });
    this.#committing = [];
  }

  /** It belongs to the trace of the first; the others' spans link to it. */
  #startCommitSpan(first: Waiting, size: number): Span {
    return this.#options.tracer.startSpan("commit tokens", {
      kind: SpanKind.CLIENT,
      attributes: { ...attributes, "db.operation.batch.size": size },
    }, trace.setSpan(first.parent, first.span));
  }

  /** Nobody is left waiting; nothing was acknowledged. */
  #die(error: unknown): void {
    this.#dead = true;
    this.#disk.close();
    this.#died.reject(error);
    for (const { span, resolve } of [...this.#committing, ...this.#waiting.splice(0)]) {
      span.setStatus({ code: SpanStatusCode.ERROR }).end();
      resolve("failed");
    }
  }
}

/** The digests' bytes in a row. */
function packed(members: readonly Waiting[]): Uint8Array {
  const digests = new Uint8Array(members.length * digestBytes);
  members.forEach(({ digest }, index) => digests.subarray(index * digestBytes).setFromHex(digest));
  return digests;
}

function endCommitSpan(span: Span, error: TokenReply["error"]): void {
  if (error) {
    const code = error.code;
    span.setAttributes({ "error.type": String(code), "db.response.status_code": code });
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  span.end();
}

function answer({ span, resolve }: Waiting, result: InsertResult, batchSize: number): void {
  span.setAttributes({ "orb.result": result, "orb.batch.size": batchSize });
  if (result === "failed") span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
  resolve(result);
}

function diskError({ message, code }: NonNullable<TokenReply["error"]>): StoreError {
  return new StoreError("disk", message, { sqliteCode: code });
}
