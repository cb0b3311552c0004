/**
 * The records as the server sees them: durable, bounded, on whichever back-end.
 *
 * Group commit: while a transaction waits for the disk or the network, what is asked meanwhile
 * gathers and becomes the next one. Who asks hears of it only when its transaction is durable.
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
import { realWorld, type World } from "../../service/world/world.ts";
import type { SignupRecord } from "../signups/signup_record.ts";
import { DiskState } from "./disk_state.ts";
import type { RecordBackend } from "./record_backend.ts";
import {
  changedBy,
  type CommandName,
  costBytes,
  readingCommands,
  type RecordCommand,
  type ReplyOf,
} from "./record_commands.ts";
import { SignupFollowers } from "./signup_followers.ts";
import { StoreError } from "./store_error.ts";
import { StoreInstruments } from "./store_instruments.ts";

/** Notified of a signup that was queued: by this server, or dealt to it, or by another one. */
export type QueuedListener = (where: "here" | "elsewhere") => void;

/** Records, the queue and small documents, on whichever back-end. */
export interface RecordStore {
  /** `db.system.name` of the semantic conventions. */
  readonly system: "sqlite" | "postgresql";
  /**
   * Does one thing; durable when it resolves. What many ask for at the same time shares a
   * transaction.
   *
   * A store that cannot write for now still says what it knows: reads are answered, and an image
   * that `addToken` cannot store is `duplicate` or `failed`.
   *
   * @throws {StoreError} `busy`, `closing`, `disk`, `unavailable`, `worker`: nothing was done
   *
   * @example
   * ```ts
   * const record = await store.run({ type: "find", id: "01M7YWWF73WJAQYR7RMSPYEYZP" });
   * ```
   */
  run<const Command extends RecordCommand>(
    command: Command,
  ): Promise<ReplyOf<Command["type"] & CommandName>>;
  /**
   * Follows one signup, or all: called with each change, those of other servers too. A change may be
   * missed when a connection was lost, so who waits also asks now and then.
   *
   * @param id `undefined` for all signups
   * @returns ends it
   */
  follow(id: string | undefined, listener: (record: SignupRecord) => void): () => void;
  /** Calls back when a signup was queued: there may be work. It gives back what ends it. */
  onQueued(listener: QueuedListener): () => void;
  /** Rejects if nothing can be stored any more, ever. */
  readonly died: Promise<never>;
  /** Waits for what is queued, then lets go of the database. */
  close(): Promise<void>;
}

/** Options of {@linkcode createRecordStore}. */
export interface RecordStoreOptions {
  /** Makes the spans. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** Notified when writing begins to fail (the reason) and when it works again, once each. */
  onState: (state: "ok" | StoreError) => void;
  /** Commands that may wait for their transaction, at least 1; one more is refused. @default 512 */
  maxQueued?: number;
  /** The most commands in one transaction, 1 to 1,024. @default 256 */
  maxBatch?: number;
  /** How long between attempts to write while the store fails, in milliseconds, at least 1. @default 1_000 */
  probeIntervalMs?: number;
  /** Whose time it is. @default the real world */
  world?: World;
}

/**
 * Makes the store on top of a back-end, which it closes.
 *
 * @throws {RangeError} an option is out of range.
 *
 * @example
 * ```ts
 * const backend = await openSqliteBackend({ path: "orb.sqlite" });
 * const store = createRecordStore(backend, { tracer, meter, onState });
 * await store.run({ type: "addToken", sha256 }); // "new"
 * await store.run({ type: "addToken", sha256 }); // "duplicate"
 * await store.close();
 * ```
 */
export function createRecordStore(
  backend: RecordBackend,
  options: RecordStoreOptions,
): RecordStore {
  return new GroupCommitStore(backend, withDefaults(options));
}

/** The most digests of a transaction of SQLite's worker. */
const largestBatch = 1_024;
/** The most bytes of one transaction's commands and replies, as they are estimated. */
const maxBatchBytes = 4 * 1024 ** 2;

function withDefaults(options: RecordStoreOptions): Required<RecordStoreOptions> {
  const all = {
    maxQueued: 512,
    maxBatch: 256,
    probeIntervalMs: 1_000,
    world: realWorld,
    ...options,
  };
  for (const name of ["maxQueued", "maxBatch", "probeIntervalMs"] as const) {
    const max = name === "maxBatch" ? largestBatch : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(all[name]) || all[name] < 1 || all[name] > max) {
      throw new RangeError(
        `Cannot open a record store as '${name}' must be a positive integer${
          name === "maxBatch" ? ` of at most ${max}` : ""
        }: current value is ${all[name]}`,
      );
    }
  }
  return all;
}

/** A command that waits for its transaction. */
interface Waiting {
  readonly command: RecordCommand;
  readonly span: Span | undefined;
  readonly parent: Context;
  readonly resolve: (reply: ReplyOf<CommandName>) => void;
  readonly reject: (error: StoreError) => void;
}

/** What a signup's own trace shows; what is asked in the background has no trace. */
const spanNames: Partial<Record<CommandName, string>> = {
  addToken: "store token",
  submit: "store signup",
  decide: "store decision",
};

/** open → closing → closed; dead, from any of them, when the back-end will never work again. */
class GroupCommitStore implements RecordStore {
  readonly system: RecordBackend["system"];
  readonly #backend: RecordBackend;
  readonly #options: Required<RecordStoreOptions>;
  readonly #disk: DiskState<StoreError>;
  readonly #instruments: StoreInstruments;
  readonly #followers: SignupFollowers;
  readonly #onQueued = new Set<QueuedListener>();
  readonly #died = Promise.withResolvers<never>();
  readonly #waiting: Waiting[] = [];
  #underWay = 0;
  #idle: PromiseWithResolvers<void> | undefined;
  #deadBecause: StoreError | undefined;
  #closed: Promise<void> | undefined;

  constructor(backend: RecordBackend, options: Required<RecordStoreOptions>) {
    this.system = backend.system;
    this.#backend = backend;
    this.#options = options;
    const { onState, probeIntervalMs, world, meter } = options;
    this.#disk = new DiskState({ onState, probeIntervalMs, world, probe: () => this.#probe() });
    this.#instruments = new StoreInstruments(meter, () => this.#waiting.length);
    this.#followers = new SignupFollowers((id) => this.run({ type: "find", id }));
    backend.onRemoteChange(({ id, state }) => {
      this.#followers.refresh(id);
      if (state === "queued") this.#notifyQueued("elsewhere");
    });
    backend.onOffered?.(() => this.#notifyQueued("here"));
    // Its owner waits for it; a test may not.
    this.#died.promise.catch(() => {});
  }

  get died(): Promise<never> {
    return this.#died.promise;
  }

  run<const Command extends RecordCommand>(
    command: Command,
  ): Promise<ReplyOf<Command["type"] & CommandName>> {
    if (this.#closed) return Promise.reject(new StoreError("closing", "The store is being closed"));
    if (this.#waiting.length >= this.#options.maxQueued) {
      const message = `${this.#waiting.length} signups wait for the disk already`;
      return Promise.reject(new StoreError("busy", message));
    }
    if (this.#deadBecause) return this.#refuse(command, this.#deadBecause) as never;
    const parent = context.active();
    const span = this.#startSpan(command, parent);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, span, parent, resolve: resolve as never, reject });
      this.#startBatch();
    });
  }

  follow(id: string | undefined, listener: (record: SignupRecord) => void): () => void {
    return this.#followers.add(id, listener);
  }

  onQueued(listener: QueuedListener): () => void {
    this.#onQueued.add(listener);
    return () => this.#onQueued.delete(listener);
  }

  #notifyQueued(where: "here" | "elsewhere"): void {
    for (const listener of this.#onQueued) listener(where);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#disk.close();
    this.#idle = Promise.withResolvers();
    if (this.#underWay === 0 && this.#waiting.length === 0) this.#idle.resolve();
    await this.#idle.promise;
    await this.#backend.close();
    this.#instruments.stop();
  }

  #startSpan({ type }: RecordCommand, parent: Context): Span | undefined {
    const name = spanNames[type];
    if (name === undefined || trace.getSpan(parent) === undefined) return undefined;
    return this.#options.tracer.startSpan(name, { attributes: this.#attributesOf(type) }, parent);
  }

  #attributesOf(type: CommandName): Record<string, string> {
    return {
      "db.system.name": this.system,
      "db.collection.name": type === "addToken" ? "tokens" : "signups",
      "db.operation.name": type === "decide" ? "UPDATE" : "INSERT",
    };
  }

  /**
   * One more batch, unless the back-end has as many as it can do at once. It begins after the
   * requests that have arrived by then were read, so that what comes together can go together.
   */
  #startBatch(): void {
    if (this.#underWay >= this.#backend.maxParallel || this.#waiting.length === 0) return;
    this.#underWay++;
    setImmediate(() => void this.#runBatch());
  }

  async #runBatch(): Promise<void> {
    const members = this.#take();
    if (members.length > 0) await this.#commit(members);
    this.#underWay--;
    this.#startBatch();
    if (this.#underWay === 0 && this.#waiting.length === 0) this.#idle?.resolve();
  }

  /** What goes together: tokens first, as SQLite's worker takes them in one piece; a reset goes alone. */
  #take(): Waiting[] {
    const tokens: Waiting[] = [];
    const others: Waiting[] = [];
    let bytes = 0;
    let count = 0;
    for (const next of this.#waiting) {
      const { type } = next.command;
      bytes += costBytes(next.command);
      const isFull = count >= this.#options.maxBatch || bytes > maxBatchBytes;
      if (count > 0 && (type === "reset" || isFull)) break;
      (type === "addToken" ? tokens : others).push(next);
      count++;
      if (type === "reset") break;
    }
    // At once: taken one by one they would be moved up as often.
    this.#waiting.splice(0, count);
    return others.length === 0 ? tokens : [...tokens, ...others];
  }

  /** One transaction. */
  async #commit(members: readonly Waiting[]): Promise<void> {
    const { world } = this.#options;
    // What is asked in the background goes along, and is nobody's signup.
    const size = members.filter(({ span }) => span !== undefined).length;
    const span = this.#startCommitSpan(members, size);
    const startMs = world.monotonicMs();
    try {
      const replies = await this.#backend.apply(members.map(({ command }) => command));
      this.#instruments.commitDuration.record((world.monotonicMs() - startMs) / 1_000);
      this.#instruments.commitSize.record(members.length);
      span?.span.end();
      members.forEach((member, index) => {
        const reply = replies[index];
        if (reply === undefined) throw new Error(`The back-end forgot command ${index} of a batch`);
        if (span && member !== span.first) {
          member.span?.addLink({ context: span.span.spanContext() });
        }
        this.#answer(member, reply, size);
      });
      if (members.some(({ command }, index) => hasWritten(command, replies[index]))) {
        this.#disk.wrote();
      }
    } catch (error) {
      if (span) endFailed(span.span, error);
      await this.#fail(members, error);
    }
  }

  /** It belongs to the trace of the first that has one; the others' spans link to it. */
  #startCommitSpan(
    members: readonly Waiting[],
    size: number,
  ): { span: Span; first: Waiting } | undefined {
    const first = members.find(({ span }) => span !== undefined);
    if (first === undefined) return undefined;
    const isTokens = first.command.type === "addToken";
    const span = this.#options.tracer.startSpan(isTokens ? "commit tokens" : "commit signups", {
      kind: SpanKind.CLIENT,
      attributes: {
        ...this.#attributesOf(first.command.type),
        "db.operation.batch.size": size,
      },
    }, trace.setSpan(first.parent, first.span!));
    return { span, first };
  }

  #answer({ command, span, resolve }: Waiting, reply: ReplyOf<CommandName>, size: number): void {
    if (span) {
      span.setAttributes({ "orb.result": resultOf(reply), "orb.batch.size": size });
      if (reply === "failed") span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    }
    resolve(reply);
    for (const record of changedBy(command, reply)) {
      this.#followers.notify(record);
      if (record.state === "queued") this.#notifyQueued("here");
    }
  }

  /** The transaction was not made. What only reads may still be answered. */
  async #fail(members: readonly Waiting[], error: unknown): Promise<void> {
    const reason = error instanceof StoreError
      ? error
      : new StoreError("worker", "Nothing can be stored any more", { cause: error });
    if (reason.kind === "worker") return this.#die(members, reason);
    this.#disk.failed(reason);
    const readable = members.filter(({ command }) => readOnly(command) !== undefined);
    for (const member of members) if (!readable.includes(member)) reject(member, reason);
    if (readable.length === 0) return;
    const replies = await this.#backend.apply(readable.map(({ command }) => readOnly(command)!))
      .catch(() => undefined);
    readable.forEach((member, index) => {
      const reply = replies?.[index];
      if (member.command.type === "addToken") {
        this.#answer(member, reply === true ? "duplicate" : "failed", members.length);
      } else if (reply === undefined) reject(member, reason);
      else this.#answer(member, reply, members.length);
    });
  }

  /** Nobody is left waiting; nothing was acknowledged. */
  #die(members: readonly Waiting[], reason: StoreError): void {
    this.#deadBecause = reason;
    this.#disk.close();
    this.#died.reject(reason.cause ?? reason);
    for (const member of [...members, ...this.#waiting.splice(0)]) {
      this.#refuse(member.command, reason).then(
        (reply) => this.#answer(member, reply, members.length),
        () => reject(member, reason),
      );
    }
  }

  #refuse({ type }: RecordCommand, reason: StoreError): Promise<ReplyOf<CommandName>> {
    return type === "addToken" ? Promise.resolve("failed") : Promise.reject(reason);
  }

  #probe(): void {
    if (this.#disk.isOk || this.#closed) return;
    this.#backend.probe().then(() => this.#disk.wrote(), (error) => {
      if (error instanceof StoreError && error.kind !== "worker") this.#disk.failed(error);
      else this.#fail([], error);
    });
  }
}

/** The command that gives what can be said without writing. */
function readOnly(command: RecordCommand): RecordCommand | undefined {
  if (command.type === "addToken") return { type: "hasToken", sha256: command.sha256 };
  return readingCommands.has(command.type) ? command : undefined;
}

/** Duplicates and reads write nothing, so they do not tell how the disk is. */
function hasWritten({ type }: RecordCommand, reply: unknown): boolean {
  return type === "addToken" ? reply === "new" : !readingCommands.has(type) && !isEmpty(reply);
}

function isEmpty(reply: unknown): boolean {
  return Array.isArray(reply)
    ? reply.length === 0
    : (reply as { result?: string })?.result === "same";
}

function resultOf(reply: ReplyOf<CommandName>): string {
  return typeof reply === "string" ? reply : (reply as { result?: string })?.result ?? "done";
}

function reject({ span, reject }: Waiting, reason: StoreError): void {
  span?.setStatus({ code: SpanStatusCode.ERROR, message: reason.message }).end();
  reject(reason);
}

function endFailed(span: Span, error: unknown): void {
  if (error instanceof StoreError) {
    span.setAttributes({
      "error.type": error.code || error.kind,
      "db.response.status_code": error.code,
    });
  }
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: error instanceof Error ? error.message : String(error),
  }).end();
}
