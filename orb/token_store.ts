/**
 * The tokens as the server sees them: asynchronous, durable, bounded.
 *
 * Group commit: while one transaction waits for the disk, the signups that arrive meanwhile gather
 * and become the next one. A caller hears of its image only when its transaction is durable. The
 * disk is waited for in a worker, so requests go on being read and hashed.
 *
 * @module
 */
import { setImmediate } from "node:timers";
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
import { digestBytes, type InsertResult } from "./token_database.ts";
import {
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
  /** Told when writing begins to fail (the reason) and when it works again, once each. */
  onState: (state: "ok" | StoreError) => void;
  /** Signups that may wait for their transaction; one more is refused. @default 512 */
  maxQueued?: number;
  /** The most signups in one transaction. @default 256 */
  maxBatch?: number;
  /** How long between attempts to write while the disk fails. @default 1_000 */
  probeIntervalMs?: number;
  /** Starts what waits for the disk. @default {@linkcode startTokenWorker} */
  startWorker?: () => TokenWorker;
}

/** The queue is full: the caller should try again later. */
export class StoreBusyError extends Error {
  override name = "StoreBusyError";
}

/** The disk's reason, in SQLite's words. */
export class StoreError extends Error {
  override name = "StoreError";
  /** SQLite's extended result code (https://www.sqlite.org/rescode.html), 0 if it has none. */
  readonly code: number;

  constructor({ message, code }: { message: string; code: number }) {
    super(message);
    this.code = code;
  }
}

/** The server's tokens. */
export interface TokenStore {
  /**
   * Stores an image's SHA-256 digest, given in hex, unless it is there. `new` and `duplicate` are
   * durable; `failed` means that the disk refused and nothing is stored.
   *
   * @throws {StoreBusyError} the queue is full.
   */
  add(digest: string): Promise<InsertResult>;
  /** Forgets every token. @throws {StoreError} the disk refused. */
  reset(): Promise<void>;
  /** Tokens stored. */
  readonly count: number;
  /** Rejects if the worker dies: nothing can be stored any more. */
  readonly died: Promise<never>;
  /** Waits for what is queued, then closes the file. */
  close(): Promise<void>;
}

interface Waiting {
  digest: string;
  span: Span;
  parent: Context;
  resolve: (result: InsertResult) => void;
}

const attributes = {
  "db.system.name": "sqlite",
  "db.collection.name": "tokens",
  "db.operation.name": "INSERT",
};

/**
 * Opens the store.
 *
 * @throws {StoreError} the file cannot be opened or written.
 */
export async function openTokenStore(options: TokenStoreOptions): Promise<TokenStore> {
  const { path, tracer, maxQueued = 512, maxBatch = 256, probeIntervalMs = 1_000 } = options;
  const worker = (options.startWorker ?? startTokenWorker)();
  const opened = await worker.ask({ type: "open", path });
  if (opened.error) {
    worker.end();
    throw new StoreError(opened.error);
  }

  const waiting: Waiting[] = [];
  let committing: Waiting[] = [];
  /** What runs one after the other; a commit takes what waits when its turn has come. */
  const jobs: (() => Promise<void>)[] = [];
  const died = Promise.withResolvers<never>();
  died.promise.catch(() => {}); // Its owner looks at it; a test may not.
  let count = opened.count;
  let state: "ok" | StoreError = "ok";
  let probeTimer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let dead = false;
  let closing: Promise<void> | undefined;
  const instruments = createInstruments(options.meter, () => ({ count, queued: waiting.length }));

  /** Asks the worker, and learns from its answer how the disk is. */
  async function ask(command: TokenCommand): Promise<TokenReply> {
    const reply = await worker.ask(command);
    count = reply.count;
    // Duplicates write nothing, so they do not tell how the disk is.
    const wrote = command.type !== "insert" || reply.results.includes("new");
    const next = reply.error ? new StoreError(reply.error) : wrote ? "ok" : state;
    const changed = (next === "ok") !== (state === "ok");
    state = next;
    if (changed) options.onState(next);
    // Readiness is off by now, so perhaps no signup comes that would find the disk mended.
    if (next !== "ok" && !closing) probeTimer ??= setTimeout(() => enqueue(probe), probeIntervalMs);
    return reply;
  }

  function enqueue(job: () => Promise<void>): void {
    jobs.push(job);
    if (!running) {
      running = true;
      runJobs().catch(die);
    }
  }

  async function runJobs(): Promise<void> {
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      // After the requests that are there already: what arrives together goes together.
      await new Promise((resolve) => setImmediate(resolve));
      await job();
    }
    running = false;
  }

  /** Nobody is left waiting; nothing was acknowledged. */
  function die(error: unknown): void {
    dead = true;
    died.reject(error);
    for (const { span, resolve } of [...committing, ...waiting.splice(0)]) {
      span.setStatus({ code: SpanStatusCode.ERROR }).end();
      resolve("failed");
    }
  }

  async function probe(): Promise<void> {
    probeTimer = undefined;
    if (state === "ok") return;
    await ask({ type: "probe" });
  }

  /** One transaction of what waits. */
  async function commit(): Promise<void> {
    const members = waiting.splice(0, maxBatch);
    const [first] = members;
    if (first === undefined) return;
    committing = members;
    if (waiting.length > 0) jobs.push(commit);
    const digests = new Uint8Array(members.length * digestBytes);
    members.forEach((member, index) =>
      digests.subarray(index * digestBytes).setFromHex(member.digest)
    );

    // It belongs to the trace of the first; the others' spans link to it.
    const span = tracer.startSpan("commit tokens", {
      kind: SpanKind.CLIENT,
      attributes: { ...attributes, "db.operation.batch.size": members.length },
    }, trace.setSpan(first.parent, first.span));
    const startMs = performance.now();
    const { results, error } = await ask({ type: "insert", digests });
    instruments.duration.record((performance.now() - startMs) / 1_000);
    instruments.size.record(members.length);
    if (error) {
      span.setAttributes({
        "error.type": String(error.code),
        "db.response.status_code": error.code,
      });
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    }
    span.end();

    members.forEach((member, index) => {
      const result = results[index];
      if (result === undefined) throw new Error(`The worker forgot signup ${index} of a batch`);
      if (member !== first) member.span.addLink({ context: span.spanContext() });
      member.span.setAttributes({ "orb.result": result, "orb.batch.size": members.length });
      if (result === "failed") member.span.setStatus({ code: SpanStatusCode.ERROR });
      member.span.end();
      member.resolve(result);
    });
    committing = [];
  }

  async function close(): Promise<void> {
    clearTimeout(probeTimer);
    if (!dead) {
      const { promise, resolve, reject } = Promise.withResolvers<TokenReply>();
      enqueue(() => worker.ask({ type: "close" }).then(resolve, reject));
      await promise;
    }
    worker.end();
    instruments.stop();
  }

  return {
    add(digest) {
      if (closing || waiting.length >= maxQueued) {
        return Promise.reject(
          new StoreBusyError(`${waiting.length} signups wait for the disk already`),
        );
      }
      if (dead) return Promise.resolve("failed");
      const parent = context.active();
      const span = tracer.startSpan("store token", { attributes }, parent);
      return new Promise((resolve) => {
        waiting.push({ digest, span, parent, resolve });
        if (waiting.length === 1) enqueue(commit);
      });
    },
    reset() {
      if (dead) return Promise.reject(new StoreError({ message: "its worker died", code: 0 }));
      return new Promise((resolve, reject) =>
        enqueue(async () => {
          const { error } = await ask({ type: "reset" });
          if (error) reject(new StoreError(error));
          else resolve();
        })
      );
    },
    get count() {
      return count;
    },
    died: died.promise,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

function createInstruments(meter: Meter, now: () => { count: number; queued: number }) {
  const stored = meter.createObservableGauge("orb.tokens", {
    description: "Image tokens stored.",
    unit: "{token}",
  });
  const queued = meter.createObservableGauge("orb.store.queue", {
    description: "Signups that wait for their transaction.",
    unit: "{signup}",
  });
  const observeStored = (result: { observe(value: number): void }) => result.observe(now().count);
  const observeQueued = (result: { observe(value: number): void }) => result.observe(now().queued);
  stored.addCallback(observeStored);
  queued.addCallback(observeQueued);
  return {
    size: meter.createHistogram("orb.store.commit.size", {
      description: "Signups made durable by one transaction.",
      unit: "{signup}",
      advice: { explicitBucketBoundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256] },
    }),
    duration: meter.createHistogram("orb.store.commit.duration", {
      description: "How long a transaction takes to be durable.",
      unit: "s",
      advice: {
        explicitBucketBoundaries: [
          .0001,
          .00025,
          .0005,
          .001,
          .0025,
          .005,
          .01,
          .025,
          .05,
          .1,
          .5,
          1,
        ],
      },
    }),
    stop() {
      stored.removeCallback(observeStored);
      queued.removeCallback(observeQueued);
    },
  };
}
