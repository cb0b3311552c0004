/**
 * Signups that wait for the server, on disk: what is in the spool is sent some time, also after the
 * client was killed, each orb's in the order they were taken.
 *
 * One SQLite file, durable at each commit (write-ahead log, `synchronous=FULL`). What arrives while
 * the event loop turns once shares a transaction. Which signups there are is known in memory too,
 * images are read when they are sent. Sent images are overwritten, not only forgotten
 * (`secure_delete`): they are irises. The file is locked while it is open: two clients would send
 * everything twice.
 *
 * @module
 */
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Meter } from "@opentelemetry/api";
import { openDataFolder } from "../../service/data_folder.ts";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** A signup in the spool. */
export interface SpooledSignup {
  /** Its place in the order. */
  readonly seq: number;
  /** Its ULID. */
  readonly id: string;
  /** Whose it is, from 1. */
  readonly orb: number;
  /** Bytes of its image. */
  readonly imageBytes: number;
  /** When it was taken, in milliseconds since the epoch. */
  readonly takenMs: number;
}

/** Options of {@linkcode openSpool}. */
export interface SpoolOptions {
  /** The spool's own folder; made if need be, for its owner only. */
  folder: string;
  /** The most bytes of all images in it. */
  maxBytes: number;
  /** The most signups in it. @default 100_000 */
  maxSignups?: number;
  /** Makes the instruments. */
  meter: Meter;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** Bounds of a spool, and what it holds. */
export interface SpoolSize {
  readonly signups: number;
  readonly bytes: number;
}

/** The disk refuses. The signup that was to be kept is not. */
export class SpoolError extends Error {
  override name = "SpoolError";
}

/** `PRAGMA user_version` of the schema below. */
const schemaVersion = 1;

const schema = `
  CREATE TABLE signups (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    orb INTEGER NOT NULL CHECK (orb > 0),
    taken_ms INTEGER NOT NULL,
    image BLOB NOT NULL
  ) STRICT;
`;

/**
 * Opens a spool, with what an earlier life left in it.
 *
 * @throws {StartError} the folder or the file cannot be used, or another client has it
 *
 * @example
 * ```ts
 * const spool = await openSpool({ folder: "./spool", maxBytes: 256 * 1024 ** 2, meter });
 * if (await spool.add({ id: ulid(), orb: 1, image })) …
 * ```
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  await openDataFolder(options.folder);
  const path = join(options.folder, "spool.sqlite");
  try {
    // SQLite's other files get the rights of this one; the folder may be somebody's own, open to others.
    (await Deno.open(path, { create: true, write: true, mode: 0o600 })).close();
    return new Spool(path, options);
  } catch (error) {
    throw new StartError(
      `Cannot open the spool in ${path}: ${
        reasonOf(error)
      }. Stop the client that uses it, mend or move that file, or give another folder with --spool-dir.`,
    );
  }
}

interface Change {
  apply(): void;
  done(): void;
  failed(error: SpoolError): void;
}

/** Signups on disk; made by {@linkcode openSpool}. */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #world: World;
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #image: StatementSync;
  /** By orb, in order. */
  readonly #queues = new Map<number, SpooledSignup[]>();
  readonly #waiting = new Map<number, () => void>();
  #changes: Change[] = [];
  #signups = 0;
  #bytes = 0;
  /** What is on its way to the disk, so that bounds hold for it, too. */
  #pendingSignups = 0;
  #pendingBytes = 0;

  constructor(path: string, options: SpoolOptions) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    // The timeout lets a predecessor finish that is just going.
    this.#database = new DatabaseSync(path, { timeout: 2_000 });
    try {
      this.#database.exec(`
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA secure_delete = ON;
      `);
      this.#migrate(path);
      this.#insert = this.#database.prepare(
        "INSERT INTO signups (id, orb, taken_ms, image) VALUES (?, ?, ?, ?)",
      );
      this.#delete = this.#database.prepare("DELETE FROM signups WHERE seq = ?");
      this.#image = this.#database.prepare("SELECT image FROM signups WHERE seq = ?");
      this.#readQueues();
    } catch (error) {
      this.#database.close();
      throw error;
    }
    this.#observe(options.meter);
  }

  /** What is in it. */
  get size(): SpoolSize {
    return { signups: this.#signups, bytes: this.#bytes };
  }

  /** Orbs with signups in it. */
  get orbs(): number[] {
    return [...this.#queues.keys()];
  }

  /** Signups of an orb that are not sent yet. */
  countOf(orb: number): number {
    return this.#queues.get(orb)?.length ?? 0;
  }

  /**
   * Keeps a signup.
   *
   * @returns true once it is durable, false when the spool is full: then it is not kept
   * @throws {SpoolError} the disk refuses
   */
  async add(
    { id, orb, image }: { id: string; orb: number; image: Uint8Array },
  ): Promise<boolean> {
    const { maxBytes, maxSignups = 100_000 } = this.#options;
    if (
      this.#signups + this.#pendingSignups >= maxSignups ||
      this.#bytes + this.#pendingBytes + image.length > maxBytes
    ) return false;
    const takenMs = this.#world.nowMs();
    let seq = 0;
    this.#pendingSignups++;
    this.#pendingBytes += image.length;
    try {
      await this.#change(() => {
        seq = Number(this.#insert.run(id, orb, takenMs, image).lastInsertRowid);
      });
    } finally {
      this.#pendingSignups--;
      this.#pendingBytes -= image.length;
    }
    this.#enqueue({ seq, id, orb, imageBytes: image.length, takenMs });
    this.#waiting.get(orb)?.();
    return true;
  }

  /** The oldest signup of an orb. */
  oldest(orb: number): SpooledSignup | undefined {
    return this.#queues.get(orb)?.[0];
  }

  /** Waits until an orb has a signup, or the signal aborts. One may wait for each orb. */
  async whenAny(orb: number, signal: AbortSignal): Promise<void> {
    if (this.countOf(orb) > 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(orb, resolve);
    const onAbort = () => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    signal.removeEventListener("abort", onAbort);
    this.#waiting.delete(orb);
  }

  /** Reads an image. @throws {SpoolError} the disk refuses, or it is not there any more */
  readImage(seq: number): Uint8Array {
    let image: unknown;
    try {
      image = this.#image.get(seq)?.image;
    } catch (error) {
      throw new SpoolError(`The spool cannot be read: ${reasonOf(error)}`);
    }
    if (!(image instanceof Uint8Array)) throw new SpoolError(`The spool has no signup ${seq}`);
    return image;
  }

  /**
   * Forgets a signup that was decided; resolves once that is durable.
   *
   * @throws {SpoolError} the disk refuses; then it is still there, and sent again
   */
  async remove(signup: SpooledSignup): Promise<void> {
    await this.#change(() => this.#delete.run(signup.seq));
    const queue = this.#queues.get(signup.orb) ?? [];
    const at = queue.findIndex(({ seq }) => seq === signup.seq);
    if (at < 0) return;
    queue.splice(at, 1);
    if (queue.length === 0) this.#queues.delete(signup.orb);
    this.#signups--;
    this.#bytes -= signup.imageBytes;
  }

  /** Closes the file; nothing may be under way. */
  close(): void {
    this.#database.close();
  }

  /** Does it with all that comes in this turn of the event loop, in one transaction. */
  #change(apply: () => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#changes.push({ apply, done: resolve, failed: reject });
    if (this.#changes.length === 1) this.#world.setTimeout(() => this.#commit(), 0);
    return promise;
  }

  #commit(): void {
    const changes = this.#changes;
    this.#changes = [];
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      for (const { apply } of changes) apply();
      this.#database.exec("COMMIT");
    } catch (error) {
      // On some errors (a full disk) SQLite rolls back by itself, on others it leaves that to us.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      const failure = new SpoolError(`The spool cannot be written: ${reasonOf(error)}`);
      for (const change of changes) change.failed(failure);
      return;
    }
    for (const { done } of changes) done();
  }

  #migrate(path: string): void {
    const version = Number(this.#database.prepare("PRAGMA user_version").get()?.user_version);
    if (version > schemaVersion) {
      throw new Error(
        `${path} has schema version ${version} and this program knows up to ${schemaVersion}; run the newer one`,
      );
    }
    if (version === schemaVersion) return;
    this.#database.exec(
      `BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT;`,
    );
  }

  #readQueues(): void {
    const rows = this.#database.prepare(
      "SELECT seq, id, orb, taken_ms, length(image) AS bytes FROM signups ORDER BY seq",
    );
    for (const row of rows.iterate()) {
      this.#enqueue({
        seq: Number(row.seq),
        id: String(row.id),
        orb: Number(row.orb),
        imageBytes: Number(row.bytes),
        takenMs: Number(row.taken_ms),
      });
    }
  }

  #enqueue(signup: SpooledSignup): void {
    const queue = this.#queues.get(signup.orb);
    if (queue) queue.push(signup);
    else this.#queues.set(signup.orb, [signup]);
    this.#signups++;
    this.#bytes += signup.imageBytes;
  }

  #observe(meter: Meter): void {
    meter.createObservableGauge("orb.client.spool.signups", {
      description: "Signups on disk that wait for the server.",
      unit: "{signup}",
    }).addCallback((result) => result.observe(this.#signups));
    meter.createObservableGauge("orb.client.spool.size", {
      description: "Bytes of their images.",
      unit: "By",
    }).addCallback((result) => result.observe(this.#bytes));
    meter.createObservableGauge("orb.client.spool.age", {
      description: "Age of the oldest of them.",
      unit: "s",
    }).addCallback((result) => {
      let oldestMs = Infinity;
      for (const [first] of this.#queues.values()) {
        oldestMs = Math.min(oldestMs, first!.takenMs);
      }
      const ageMs = oldestMs === Infinity ? 0 : this.#world.nowMs() - oldestMs;
      result.observe(Math.max(0, ageMs) / 1_000);
    });
  }
}
