/**
 * Records and queue in one SQLite file.
 *
 * Every call is one transaction that is durable when the call returns: write-ahead log with
 * `synchronous=FULL` (https://www.sqlite.org/pragma.html#pragma_synchronous). It is synchronous
 * and waits for the disk, so the server runs it in a worker (`record_worker.ts`).
 *
 * One server at a time: a second one could not know what the first one adds, as the index of tokens
 * is in memory. A lock on a file beside it says whose it is; an operator's tool may read, and change
 * signups, meanwhile.
 *
 * After every transaction the file's name is looked up again. If it stands for another file now,
 * or none, what was written will not be there after a restart: that is an error, not an answer.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  claimed,
  decided,
  type Decision,
  type Fingerprint,
  isClaimable,
  isHeldBy,
  isSameSignup,
  queued,
  released,
  requeued,
  retried,
  type SignupRecord,
} from "../../signups/signup_record.ts";
import {
  type ChangeReply,
  type CommandName,
  type DecideReply,
  type DecisionReply,
  maxListedBytes,
  type RecordCommand,
  type RecordCommands,
  type ReplyOf,
  type SubmitReply,
} from "../record_commands.ts";
import type { RecordArchive } from "../record_archive.ts";
import { SqliteArchive } from "./sqlite_archive.ts";
import { DocumentTable } from "./document_table.ts";
import { FileIdentity } from "./file_identity.ts";
import { migrate, schemaVersion } from "./migrations.ts";
import { SignupTable } from "./signup_table.ts";
import { digestBytes, TokenTable } from "./token_table.ts";

/** Options of {@linkcode SqliteRecords}. */
export interface SqliteRecordsOptions {
  /** The file; made if need be. `:memory:` for one that ends with the process. */
  path: string;
  /** Milliseconds since the epoch. */
  nowMs: () => number;
  /** The server's own: nobody else may be one. Without it the file is an operator's. @default true */
  exclusive?: boolean;
}

/** No signup waits longer for its next attempt: beyond it the clock was put back. */
const longestWaitMs = 3_600_000;

type Handlers = {
  [Name in CommandName]: (command: RecordCommands[Name][0]) => ReplyOf<Name>;
};

/** The database of a file. */
export class SqliteRecords {
  readonly #database: DatabaseSync;
  readonly #nowMs: () => number;
  readonly #identity: FileIdentity | undefined;
  readonly #tokens: TokenTable;
  readonly #signups: SignupTable;
  readonly #documents: DocumentTable;
  readonly #handlers: Handlers;
  readonly #newestFingerprint: StatementSync;
  readonly #addFingerprint: StatementSync;
  readonly #fingerprintsAfter: StatementSync;
  readonly #epoch: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;

  /**
   * Opens the file, making it if need be, brings its schema up to date, and reads its index.
   *
   * @throws the reason of SQLite (not a database, corrupt, locked, disk full, not permitted), or
   * that the file was made by a later version.
   */
  constructor({ path, nowMs, exclusive = true }: SqliteRecordsOptions) {
    this.#nowMs = nowMs;
    using undo = new DisposableStack();
    const inMemory = path === ":memory:";
    const identity = inMemory
      ? undefined
      : undo.adopt(new FileIdentity(path, exclusive), (one) => one.close());
    // The timeout lets a predecessor finish that is just going.
    const database = undo.adopt(
      new DatabaseSync(path, { timeout: 2_000 }),
      (one) => one.close(),
    );
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;`);
    migrate(database, path);
    this.#database = database;
    this.#identity = identity;
    this.#tokens = new TokenTable(database);
    this.#signups = new SignupTable(database);
    this.#documents = new DocumentTable(database);
    this.#newestFingerprint = database.prepare("SELECT max(seq) AS seq FROM fingerprints");
    this.#addFingerprint = database.prepare(
      "INSERT INTO fingerprints (signup_id, bytes) VALUES (?, ?)",
    );
    this.#fingerprintsAfter = database.prepare(
      "SELECT seq, signup_id, bytes FROM fingerprints WHERE seq > ? ORDER BY seq",
    );
    this.#epoch = database.prepare("SELECT value FROM counters WHERE name = 'epoch'");
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#handlers = this.#makeHandlers();
    if (exclusive) this.#signups.recover(nowMs(), longestWaitMs);
    identity?.remember();
    undo.move();
  }

  /** Tokens stored. */
  get count(): number {
    return this.#tokens.count;
  }

  /**
   * Stores digests (their bytes in a row, 32 each), then does what else is asked, in one transaction.
   *
   * @throws the reason of SQLite, or that the file is not there any more; then nothing was done.
   */
  apply(
    digests: Uint8Array,
    commands: readonly RecordCommand[],
  ): { tokens: ("new" | "duplicate")[]; replies: unknown[] } {
    return this.#transaction(() => {
      const tokens = digests.length === 0 ? [] : this.#tokens.add(digests);
      const replies = commands.map((command) => this.#run(command));
      this.#tokens.write();
      this.#signups.writeCounts();
      return { tokens, replies };
    });
  }

  /** Proves that a transaction can be made durable, by one that changes nothing. @throws as {@linkcode SqliteRecords.apply} */
  probe(): void {
    // Writes the page that holds it, although the value stays the same.
    this.#transaction(() => this.#database.exec(`PRAGMA user_version = ${schemaVersion}`));
  }

  /** All of it, as of one moment. `close` closes the file. */
  archive(): RecordArchive {
    return new SqliteArchive(this.#database, () => this.close());
  }

  /** Closes the file; its write-ahead log is merged into it. */
  close(): void {
    this.#database.close();
    this.#identity?.close();
  }

  #transaction<Result>(work: () => Result): Result {
    this.#begin.run();
    let result: Result;
    try {
      result = work();
      this.#identity?.verify();
      this.#commit.run();
    } catch (error) {
      // On some errors (a full disk) SQLite rolls back by itself, on others it leaves that to us.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#tokens.rolledBack();
      this.#signups.rolledBack();
      throw error;
    }
    this.#tokens.committed();
    this.#signups.committed();
    // Also now: waiting for the disk takes long.
    this.#identity?.verify();
    return result;
  }

  #run(command: RecordCommand): unknown {
    const handler = this.#handlers[command.type] as (command: RecordCommand) => unknown;
    return handler(command);
  }

  #makeHandlers(): Handlers {
    return {
      addToken: ({ sha256 }) => this.#tokens.add(Uint8Array.fromHex(sha256))[0]!,
      hasToken: ({ sha256 }) => this.#tokens.has(Uint8Array.fromHex(sha256)),
      reset: () => this.#reset(),
      submit: (command) => this.#submit(command),
      find: ({ id }) => this.#signups.find(id),
      list: (query) => this.#signups.list(query),
      claim: (command) => this.#claim(command),
      decide: (command) => this.#decide(command),
      retry: (command) => this.#change(command, (record, nowMs) => retried(record, command, nowMs)),
      release: (command) => this.#change(command, released),
      extend: (command) =>
        this.#change(command, (record, nowMs) => ({ ...record, dueMs: nowMs + command.leaseMs })),
      requeue: ({ id }) => this.#requeue(id),
      statistics: () => ({
        byState: this.#signups.counts,
        oldestWaitMs: Math.max(0, this.#nowMs() - (this.#signups.oldestDueMs() ?? Infinity)),
        tokens: this.#tokens.count,
      }),
      clock: () => this.#nowMs(),
      addFingerprint: ({ id, bytes, epoch }) => {
        const isWanted = this.#signups.find(id)?.state === "accepted" &&
          epoch === this.#currentEpoch();
        if (isWanted) this.#addFingerprint.run(id, bytes);
        return isWanted;
      },
      fingerprints: ({ afterSeq }) => this.#listFingerprints(afterSeq),
      referenced: ({ sha256s }) =>
        sha256s.filter((sha256) => this.#signups.isReferenced(Uint8Array.fromHex(sha256))),
      putDocument: (command) => this.#documents.put(command, this.#nowMs()),
      getDocument: ({ collection, key }) => this.#documents.get(collection, key),
      listDocuments: (query) => this.#documents.list(query),
      deleteDocument: ({ collection, key }) => this.#documents.delete(collection, key),
    };
  }

  #reset(): null {
    this.#tokens.reset();
    this.#database.exec(
      "DELETE FROM fingerprints; UPDATE counters SET value = value + 1 WHERE name = 'epoch'",
    );
    return null;
  }

  #submit({ signup, maxQueued, verdict }: RecordCommands["submit"][0]): SubmitReply {
    const existing = this.#signups.find(signup.id);
    if (existing !== null) {
      return { result: isSameSignup(existing, signup) ? "same" : "conflict", record: existing };
    }
    const depth = this.#signups.depth;
    if (verdict === undefined && depth >= maxQueued) return { result: "full", depth };
    const nowMs = this.#nowMs();
    const arrived = queued(signup, nowMs);
    const record = verdict === undefined
      ? arrived
      : decided(arrived, this.#ofBytes(arrived, verdict), nowMs);
    this.#signups.insert(record);
    return { result: "new", record };
  }

  #claim(
    { worker, max, ids, overdueMs = 0, leaseMs, maxAttempts }: RecordCommands["claim"][0],
  ): SignupRecord[] {
    const nowMs = this.#nowMs();
    const due = ids === undefined
      ? this.#signups.due(nowMs - overdueMs, max)
      : ids.slice(0, max).flatMap((id) => this.#signups.find(id) ?? [])
        .filter((record) => isClaimable(record, nowMs - overdueMs));
    return due.map((record) => {
      const after = claimed(record, worker, { leaseMs, maxAttempts }, nowMs);
      this.#signups.update(record, after);
      return after;
    }).filter(({ state }) => state === "processing");
  }

  #decide({ decisions, comparedSeq, epoch }: RecordCommands["decide"][0]): DecideReply {
    const isCompared = decisions.some(({ verdict }) =>
      verdict.state === "accepted" && verdict.fingerprint !== undefined
    );
    if (isCompared) {
      if (this.#newestSeq() > comparedSeq || epoch !== this.#currentEpoch()) {
        return { result: "stale" };
      }
    }
    return { result: "decided", decisions: decisions.map((one) => this.#decideOne(one)) };
  }

  #decideOne({ id, fence, verdict }: Decision): DecisionReply {
    const record = this.#signups.find(id);
    if (record === null || !isHeldBy(record, fence)) return { result: "lost" };
    const after = decided(record, this.#ofBytes(record, verdict), this.#nowMs());
    this.#signups.update(record, after);
    if (after.state === "accepted" && verdict.state === "accepted" && verdict.fingerprint) {
      this.#addFingerprint.run(id, verdict.fingerprint);
    }
    return { result: "decided", record: after };
  }

  /** Bytes that are known are a duplicate, whatever the worker thinks; new ones are known from now on. */
  #ofBytes(record: SignupRecord, verdict: Decision["verdict"]): Decision["verdict"] {
    if (verdict.state !== "accepted") return verdict;
    const digest = Uint8Array.fromHex(record.sha256);
    if (this.#tokens.add(digest)[0] === "new") return verdict;
    const duplicateOf = this.#signups.acceptedOf(digest);
    return { state: "duplicate", ...(duplicateOf !== undefined && { duplicateOf }) };
  }

  #change(
    { id, fence }: { id: string; fence: number },
    change: (record: SignupRecord, nowMs: number) => SignupRecord,
  ): ChangeReply {
    const record = this.#signups.find(id);
    if (record === null || !isHeldBy(record, fence)) return { result: "lost" };
    const after = change(record, this.#nowMs());
    this.#signups.update(record, after);
    return { result: "changed", record: after };
  }

  #requeue(id: string): ChangeReply {
    const record = this.#signups.find(id);
    if (record?.state !== "dead_letter") return { result: "lost" };
    const after = requeued(record, this.#nowMs());
    this.#signups.update(record, after);
    return { result: "changed", record: after };
  }

  #listFingerprints(afterSeq: number): ReplyOf<"fingerprints"> {
    const fingerprints: Fingerprint[] = [];
    let listedBytes = 0;
    for (const row of this.#fingerprintsAfter.iterate(afterSeq)) {
      const bytes = row.bytes as Uint8Array;
      listedBytes += bytes.length;
      if (listedBytes > maxListedBytes) break;
      fingerprints.push({ seq: row.seq as number, signupId: row.signup_id as string, bytes });
    }
    return { epoch: this.#currentEpoch(), newestSeq: this.#newestSeq(), fingerprints };
  }

  #newestSeq(): number {
    return Number(this.#newestFingerprint.get()?.seq ?? 0);
  }

  #currentEpoch(): number {
    return Number(this.#epoch.get()?.value);
  }
}

export { digestBytes };
