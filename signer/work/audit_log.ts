/**
 * The audit log while it is written: who had which digest signed with which key, and when.
 * Appended only; `audit_chain.ts` says what a line is.
 *
 * @module
 */
import { join } from "node:path";
import { lockForThisProcess } from "../../service/data_folder.ts";
import { StartError } from "../../service/life_cycle.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { reasonOf } from "../../service/resilience.ts";
import { syncFolder } from "../../service/whole_file.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import {
  type AuditEntry,
  auditFileName,
  auditFiles,
  auditGenesis,
  auditLine,
  checkAuditLine,
  type RevocationEntry,
} from "./audit_chain.ts";

/** Options of {@linkcode openAuditLog}. */
export interface AuditLogOptions {
  /** Made if it is absent; one process at a time. */
  folder: string;
  /** A new file is begun beyond this size, in bytes. @default 67_108_864 */
  maxFileBytes?: number;
  /** Waits for the disk, not only for the operating system, before an entry counts. @default false */
  sync?: boolean;
  /** Notified of what a crash has left at the end. @default nobody is */
  warn?: (message: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

/** An open log. */
export interface AuditLog {
  /** Hash of the last entry. */
  readonly head: string;
  /** Entries so far. */
  readonly count: number;
  /** Resolves once the entry is in the file; rejects when it cannot be written. */
  append(entry: AuditEntry | RevocationEntry): Promise<void>;
  /** Rejects when the log cannot be written any more: nothing may be signed then. */
  readonly failed: Promise<never>;
  /** Writes what is queued and lets the folder go. */
  close(): Promise<void>;
}

const newline = 0x0a;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Opens the log to go on after its last entry. A last line that a crash has cut is moved to a file
 * of its own, `<file>.torn-<n>`: nobody was given an answer for it, but it is evidence.
 *
 * @throws {StartError} the folder cannot be used, another process has it, or its end is damaged
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const audit = await openAuditLog({ folder: "/var/lib/signer/audit", sync: true });
 * await audit.append(entry);
 * await audit.close();
 * ```
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const { folder, maxFileBytes, warn = () => {} } = options;
  checkPositiveIntegers("open an audit log", { maxFileBytes });
  const lock = await lockFolder(folder);
  try {
    return new FolderAuditLog(options, lock, await lastEntry(folder, warn));
  } catch (error) {
    lock.close();
    throw new StartError(`Cannot go on with the audit log in ${folder}: ${reasonOf(error)}`);
  }
}

async function lockFolder(folder: string): Promise<Deno.FsFile> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new StartError(`Cannot keep the audit log in ${folder}: ${reasonOf(error)}`);
  }
  return await lockForThisProcess(join(folder, ".lock"), "--data-dir");
}

interface QueuedLine {
  text: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

class FolderAuditLog implements AuditLog {
  readonly failed: Promise<never>;
  readonly #folder: string;
  readonly #maxFileBytes: number;
  readonly #sync: boolean;
  readonly #world: World;
  readonly #lock: Deno.FsFile;
  readonly #giveUp: (error: Error) => void;
  #seq: number;
  #head: string;
  /** The file to go on with, once. */
  #lastFile: string | undefined;
  #file: Deno.FsFile | undefined;
  #fileBytes = 0;
  #queue: QueuedLine[] = [];
  #writing: Promise<void> | undefined;
  #broken: Error | undefined;
  #closed = false;

  constructor(options: AuditLogOptions, lock: Deno.FsFile, last: LastEntry) {
    this.#folder = options.folder;
    this.#maxFileBytes = options.maxFileBytes ?? 67_108_864;
    this.#sync = options.sync ?? false;
    this.#world = options.world ?? realWorld;
    this.#lock = lock;
    this.#seq = last.seq;
    this.#head = last.head;
    this.#lastFile = last.file;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#giveUp = reject;
    // Whoever does not wait for it shall not die of it.
    promise.catch(() => {});
  }

  get head(): string {
    return this.#head;
  }

  get count(): number {
    return this.#seq;
  }

  append(entry: AuditEntry | RevocationEntry): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken);
    // Its lock is gone: another process may be writing by now.
    if (this.#closed) return Promise.reject(new Error("The audit log is closed."));
    const link = { seq: ++this.#seq, prev: this.#head };
    const { text, hash } = auditLine(entry, link, this.#world.nowMs());
    this.#head = hash;
    return new Promise((resolve, reject) => {
      this.#queue.push({ text, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    this.#file?.close();
    this.#lock.close();
  }

  async #drain(): Promise<void> {
    // At the end of the turn: one write for all that came in it.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      try {
        await this.#write(batch.map(({ text }) => text).join(""));
        for (const line of batch) line.resolve();
      } catch (error) {
        this.#break(error, batch);
      }
    }
    this.#writing = undefined;
  }

  /** Half a line may be in the file: nothing may follow it, or the chain would break unseen. */
  #break(error: unknown, batch: QueuedLine[]): void {
    const broken = new Error(
      `Cannot write the audit log in ${this.#folder}: ${reasonOf(error)}`,
    );
    this.#broken = broken;
    this.#giveUp(broken);
    for (const line of [...batch, ...this.#queue]) line.reject(broken);
    this.#queue = [];
  }

  async #write(text: string): Promise<void> {
    const file = this.#file && this.#fileBytes < this.#maxFileBytes
      ? this.#file
      : await this.#openFile(Number(/"seq":(\d+)/.exec(text)![1]));
    let bytes = encoder.encode(text);
    this.#fileBytes += bytes.length;
    while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
    if (this.#sync) await file.syncData();
  }

  async #openFile(firstSeq: number): Promise<Deno.FsFile> {
    this.#file?.close();
    this.#file = undefined;
    const path = join(this.#folder, this.#lastFile ?? auditFileName(firstSeq));
    this.#lastFile = undefined;
    const file = await Deno.open(path, { create: true, append: true, mode: 0o600 });
    this.#file = file;
    this.#fileBytes = (await file.stat()).size;
    // A file whose name is not on the disk is as good as none.
    if (this.#sync && this.#fileBytes === 0) await syncFolder(this.#folder);
    return file;
  }
}

interface LastEntry {
  seq: number;
  head: string;
  /** The file to go on with. */
  file: string | undefined;
}

async function lastEntry(folder: string, warn: (message: string) => void): Promise<LastEntry> {
  while (true) {
    const file = (await auditFiles(folder)).at(-1);
    if (!file) return { seq: 0, head: auditGenesis, file: undefined };
    const bytes = await Deno.readFile(join(folder, file));
    const wholeBytes = bytes.lastIndexOf(newline) + 1;
    if (wholeBytes < bytes.length) {
      await keepTorn(folder, file, bytes.subarray(wholeBytes), warn);
      await Deno.truncate(join(folder, file), wholeBytes);
    }
    if (wholeBytes > 0) {
      const begin = bytes.lastIndexOf(newline, wholeBytes - 2) + 1;
      const line = decoder.decode(bytes.subarray(begin, wholeBytes - 1));
      const { seq, hash } = checkAuditLine(line);
      return { seq, head: hash, file };
    }
    // No whole line in it, and what there was is kept: go on after the file before it.
    await Deno.remove(join(folder, file));
  }
}

/** Keeps half a line under a name that is not the log's; never over another. */
async function keepTorn(
  folder: string,
  file: string,
  bytes: Uint8Array,
  warn: (message: string) => void,
): Promise<void> {
  for (let n = 1;; n++) {
    const name = `${file}.torn-${n}`;
    try {
      using torn = await Deno.open(join(folder, name), {
        ...{ createNew: true, write: true, mode: 0o600 },
      });
      for (let at = 0; at < bytes.length;) at += await torn.write(bytes.subarray(at));
      await torn.sync();
      return warn(
        `The audit log's ${file} ended in half a line of ${bytes.length} bytes: it is in ${
          join(folder, name)
        } now.`,
      );
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}
