/**
 * One transaction in PostgreSQL: the commands of a batch, those of one kind that follow each other
 * in one statement. What a signup becomes is decided by the same functions as everywhere
 * (`signup_record.ts`), on rows that are locked.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  claimed,
  decided,
  type Decision,
  isHeldBy,
  isSameSignup,
  queued,
  released,
  requeued,
  retried,
  type SignupRecord,
  type SignupState,
  signupStates,
} from "../../signups/signup_record.ts";
import {
  type ChangeReply,
  type CommandName,
  type DecideReply,
  type RecordCommand,
  type RecordCommands,
  type ReplyOf,
  type SubmitReply,
} from "../record_commands.ts";
import { PostgresDocuments } from "./postgres_documents.ts";
import { PostgresFingerprints } from "./postgres_fingerprints.ts";
import { jsonRowOf, recordOf, type SignupRow } from "./rows.ts";
import type { Sql } from "./sql.ts";

/** Statistics that are costly to count, and how long they hold. */
export interface CachedStatistics {
  settled: Partial<Record<SignupState, number>>;
  tokens: number;
}

/** What a transaction is told by its back-end. */
export interface TransactionContext {
  /** Signups under way, as they were counted not long ago. */
  depth(sql: Sql): Promise<number>;
  /** Costly figures, as they were counted not long ago. */
  statistics(sql: Sql): Promise<CachedStatistics>;
}

/** A signup that this transaction has changed, for those who wait on other servers. */
export type Change = readonly [id: string, state: SignupState];

type Runs = {
  [Name in CommandName]: (
    commands: readonly RecordCommands[Name][0][],
  ) => Promise<ReplyOf<Name>[]>;
};

/** A transaction at work. */
export class PostgresTransaction {
  /** What it has changed so far. */
  readonly changes: Change[] = [];
  readonly #sql: Sql;
  readonly #context: TransactionContext;
  readonly #nowMs: number;
  readonly #fingerprints: PostgresFingerprints;
  readonly #documents: PostgresDocuments;
  readonly #runs: Runs;

  constructor(sql: Sql, context: TransactionContext, nowMs: number) {
    this.#sql = sql;
    this.#context = context;
    this.#nowMs = nowMs;
    this.#fingerprints = new PostgresFingerprints(sql);
    this.#documents = new PostgresDocuments(sql, nowMs);
    this.#runs = this.#makeRuns();
  }

  /** Does what is asked, in order. */
  async run(commands: readonly RecordCommand[]): Promise<unknown[]> {
    const replies: unknown[] = [];
    for (let at = 0; at < commands.length;) {
      const { type } = commands[at]!;
      let end = at + 1;
      while (end < commands.length && commands[end]!.type === type) end++;
      const run = this.#runs[type] as (commands: readonly unknown[]) => Promise<unknown[]>;
      replies.push(...await run(commands.slice(at, end)));
      at = end;
    }
    return replies;
  }

  #makeRuns(): Runs {
    return {
      addToken: (commands) => this.#addTokens(commands.map(({ sha256 }) => sha256)),
      hasToken: (commands) => this.#haveTokens(commands.map(({ sha256 }) => sha256)),
      reset: each(() => this.#reset()),
      submit: (commands) => this.#submit(commands),
      find: (commands) => this.#find(commands.map(({ id }) => id)),
      list: each((query) => this.#list(query)),
      claim: each((command) => this.#claim(command)),
      decide: each((command) => this.#decide(command)),
      retry: each((command) =>
        this.#change(command, (record) => retried(record, command, this.#nowMs))
      ),
      release: each((command) => this.#change(command, (record) => released(record, this.#nowMs))),
      extend: each((command) =>
        this.#change(command, (record) => ({
          ...record,
          dueMs: this.#nowMs + command.leaseMs,
        }))
      ),
      requeue: each(({ id }) => this.#requeue(id)),
      statistics: each(() => this.#statistics()),
      clock: each(() => Promise.resolve(this.#nowMs)),
      addFingerprint: each((command) => this.#addFingerprint(command)),
      fingerprints: each(({ afterSeq }) => this.#fingerprints.list(afterSeq)),
      referenced: each(({ sha256s }) => this.#referenced(sha256s)),
      putDocument: each((command) => this.#documents.put(command)),
      getDocument: each(({ collection, key }) => this.#documents.get(collection, key)),
      listDocuments: each((query) => this.#documents.list(query)),
      deleteDocument: each(({ collection, key }) => this.#documents.delete(collection, key)),
    };
  }

  /** Of each, whether it was new. In one order everywhere: two transactions do not wait for each other. */
  async #addTokens(sha256s: readonly string[]): Promise<("new" | "duplicate")[]> {
    const digests = [...new Set(sha256s)].sort().map((hex) => bytesOf(hex));
    const rows = await this.#sql<{ sha256: Uint8Array }>`
      INSERT INTO orb_tokens (sha256) SELECT unnest(${digests}::bytea[])
      ON CONFLICT DO NOTHING RETURNING sha256`;
    const fresh = new Set(rows.map(({ sha256 }) => sha256.toHex()));
    // Of two alike the first is the new one.
    return sha256s.map((sha256) => fresh.delete(sha256) ? "new" : "duplicate");
  }

  async #haveTokens(sha256s: readonly string[]): Promise<boolean[]> {
    const digests = sha256s.map(bytesOf);
    const rows = await this.#sql<{ sha256: Uint8Array }>`
      SELECT sha256 FROM orb_tokens WHERE sha256 = ANY(${digests}::bytea[])`;
    const known = new Set(rows.map(({ sha256 }) => sha256.toHex()));
    return sha256s.map((sha256) => known.has(sha256));
  }

  async #reset(): Promise<null> {
    // The counters first, as who decides does.
    await this.#sql`UPDATE orb_counters SET value = value + 1 WHERE name = 'epoch'`;
    await this.#sql`DELETE FROM orb_fingerprints`;
    await this.#sql`DELETE FROM orb_tokens`;
    return null;
  }

  async #submit(commands: readonly RecordCommands["submit"][0][]): Promise<SubmitReply[]> {
    const depth = await this.#context.depth(this.#sql);
    const known = new Map((await this.#lockless(commands.map(({ signup }) => signup.id)))
      .map((record) => [record.id, record]));
    const fresh = new Map<string, SignupRecord>();
    let waiting = depth;
    for (const { signup, maxQueued, verdict } of commands) {
      if (known.has(signup.id) || fresh.has(signup.id)) continue;
      if (verdict === undefined) {
        if (waiting >= maxQueued) continue;
        waiting++;
      }
      const arrived = queued(signup, this.#nowMs);
      fresh.set(signup.id, verdict ? decided(arrived, verdict, this.#nowMs) : arrived);
    }
    const isMine = new Set(await this.#insert([...fresh.values()]));
    const repeated = await this.#repeated([...fresh.values()].filter(({ id }) => isMine.has(id)));
    for (const record of repeated) fresh.set(record.id, record);
    // Another server may have been faster by a moment.
    const others = [...fresh.keys()].filter((id) => !isMine.has(id));
    for (const record of await this.#lockless(others)) known.set(record.id, record);
    return commands.map(({ signup }): SubmitReply => {
      const mine = fresh.get(signup.id);
      if (mine !== undefined && isMine.delete(signup.id)) return { result: "new", record: mine };
      const record = known.get(signup.id) ?? mine;
      if (record === undefined) return { result: "full", depth: waiting };
      return { result: isSameSignup(record, signup) ? "same" : "conflict", record };
    });
  }

  /** Of signups that were written as accepted, those whose bytes are known: they are duplicates. */
  async #repeated(records: readonly SignupRecord[]): Promise<SignupRecord[]> {
    const accepted = records.filter(({ state }) => state === "accepted");
    if (accepted.length === 0) return [];
    const results = await this.#addTokens(accepted.map(({ sha256 }) => sha256));
    const known = accepted.filter((_, index) => results[index] === "duplicate");
    const acceptedOf = await this.#acceptedOf(
      known.map(({ sha256 }) => sha256),
      known.map(({ id }) => id),
    );
    const repeated = known.map((record) => {
      const duplicateOf = acceptedOf.get(record.sha256);
      const verdict = { state: "duplicate" as const, ...(duplicateOf && { duplicateOf }) };
      return decided(record, verdict, this.#nowMs);
    });
    await this.#update(repeated);
    return repeated;
  }

  /** The ids that were not there before. */
  async #insert(records: readonly SignupRecord[]): Promise<string[]> {
    if (records.length === 0) return [];
    const sorted = records.toSorted((a, b) => a.id < b.id ? -1 : 1);
    const rows = await this.#sql<{ id: string }>`
      INSERT INTO orb_signups (id, sha256, image_bytes, media_type, token, orb_id, upload_id,
        traceparent, state, attempts, fence, due_ms, reason, created_ms, updated_ms, decided_ms)
      SELECT id, decode(sha256, 'hex'), image_bytes, media_type, token, orb_id, upload_id,
        traceparent, state, attempts, fence, due_ms, reason, created_ms, updated_ms, decided_ms
      FROM jsonb_to_recordset(${this.#json(sorted)}::text::jsonb) AS row (
        id text, sha256 text, image_bytes bigint, media_type text, token text, orb_id text,
        upload_id text, traceparent text, state text, attempts integer, fence bigint,
        due_ms bigint, reason text, created_ms bigint, updated_ms bigint, decided_ms bigint
      )
      ON CONFLICT (id) DO NOTHING RETURNING id`;
    const stateOf = new Map(records.map(({ id, state }) => [id, state]));
    for (const { id } of rows) this.changes.push([id, stateOf.get(id)!]);
    return rows.map(({ id }) => id);
  }

  async #update(records: readonly SignupRecord[]): Promise<void> {
    if (records.length === 0) return;
    await this.#sql`
      UPDATE orb_signups AS signup SET
        state = row.state, attempts = row.attempts, fence = row.fence, due_ms = row.due_ms,
        worker = row.worker, reason = row.reason, duplicate_of = row.duplicate_of,
        distance = row.distance, updated_ms = row.updated_ms, decided_ms = row.decided_ms
      FROM jsonb_to_recordset(${this.#json(records)}::text::jsonb) AS row (
        id text, state text, attempts integer, fence bigint, due_ms bigint, worker text,
        reason text, duplicate_of text, distance double precision, updated_ms bigint,
        decided_ms bigint
      )
      WHERE signup.id = row.id`;
    for (const { id, state } of records) this.changes.push([id, state]);
  }

  #json(records: readonly SignupRecord[]): string {
    return JSON.stringify(records.map(jsonRowOf));
  }

  async #find(ids: readonly string[]): Promise<(SignupRecord | null)[]> {
    const byId = new Map((await this.#lockless(ids)).map((record) => [record.id, record]));
    return ids.map((id) => byId.get(id) ?? null);
  }

  async #lockless(ids: readonly string[]): Promise<SignupRecord[]> {
    if (ids.length === 0) return [];
    const rows = await this.#sql<SignupRow>`
      SELECT * FROM orb_signups WHERE id = ANY(${[...ids]}::text[])`;
    return rows.map(recordOf);
  }

  async #locked(ids: readonly string[]): Promise<Map<string, SignupRecord>> {
    const rows = await this.#sql<SignupRow>`
      SELECT * FROM orb_signups WHERE id = ANY(${[...ids]}::text[])
      ORDER BY id FOR UPDATE`;
    return new Map(rows.map((row) => [row.id, recordOf(row)]));
  }

  async #list(query: RecordCommands["list"][0]): Promise<SignupRecord[]> {
    const { states = signupStates, orbId = null, before = null, limit } = query;
    const rows = await this.#sql<SignupRow>`
      SELECT * FROM orb_signups
      WHERE state = ANY(${[...states]}::text[])
        AND (${orbId}::text IS NULL OR orb_id = ${orbId})
        AND (${before}::text IS NULL OR id < ${before}::text COLLATE "C")
      ORDER BY id DESC LIMIT ${limit}`;
    return rows.map(recordOf);
  }

  /** Those that another transaction has in its hands are passed over. */
  async #claim(
    { worker, max, ids, overdueMs = 0, leaseMs, maxAttempts }: RecordCommands["claim"][0],
  ): Promise<SignupRecord[]> {
    const dueMs = this.#nowMs - overdueMs;
    const rows = ids === undefined
      ? await this.#sql<SignupRow>`
      SELECT * FROM orb_signups
      WHERE state IN ('queued', 'processing') AND due_ms <= ${dueMs}
      ORDER BY due_ms, id LIMIT ${max} FOR UPDATE SKIP LOCKED`
      : await this.#sql<SignupRow>`
      SELECT * FROM orb_signups
      WHERE id = ANY(${[...ids]}) AND state IN ('queued', 'processing') AND due_ms <= ${dueMs}
      ORDER BY due_ms, id LIMIT ${max} FOR UPDATE SKIP LOCKED`;
    const after = rows.map((row) =>
      claimed(recordOf(row), worker, { leaseMs, maxAttempts }, this.#nowMs)
    );
    await this.#update(after);
    return after.filter(({ state }) => state === "processing");
  }

  async #decide(
    { decisions, comparedSeq, epoch }: RecordCommands["decide"][0],
  ): Promise<DecideReply> {
    const isCompared = decisions.some(({ verdict }) =>
      verdict.state === "accepted" && verdict.fingerprint !== undefined
    );
    let newestSeq = 0;
    if (isCompared) {
      // Whoever accepts something waits here for whoever does at the moment.
      const counters = await this.#fingerprints.counters(true);
      if (counters.fingerprints > comparedSeq || counters.epoch !== epoch) {
        return { result: "stale" };
      }
      newestSeq = counters.fingerprints;
    }
    const records = await this.#locked(decisions.map(({ id }) => id));
    const held = decisions.filter(({ id, fence }) => {
      const record = records.get(id);
      return record !== undefined && isHeldBy(record, fence);
    });
    const after = await this.#settle(held, records);
    await this.#update([...after.values()]);
    await this.#fingerprints.addAccepted(held, after, newestSeq);
    return {
      result: "decided",
      decisions: decisions.map(({ id }) => {
        const record = after.get(id);
        return record === undefined ? { result: "lost" } : { result: "decided", record };
      }),
    };
  }

  /** Bytes that are known are a duplicate, whatever the worker thinks; new ones are known from now on. */
  async #settle(
    held: readonly Decision[],
    records: ReadonlyMap<string, SignupRecord>,
  ): Promise<Map<string, SignupRecord>> {
    const accepted = held.filter(({ verdict }) => verdict.state === "accepted")
      .map(({ id }) => records.get(id)!);
    const sha256s = accepted.map(({ sha256 }) => sha256);
    const results = accepted.length === 0 ? [] : await this.#addTokens(sha256s);
    const known = new Map<string, string | undefined>();
    const firstOf = new Map<string, string>();
    accepted.forEach(({ id, sha256 }, index) => {
      if (results[index] === "new") firstOf.set(sha256, id);
      else known.set(id, sha256);
    });
    const acceptedOf = await this.#acceptedOf([...known.values()] as string[]);
    return new Map(held.map(({ id, verdict }) => {
      const record = records.get(id)!;
      if (!known.has(id)) return [id, decided(record, verdict, this.#nowMs)];
      const duplicateOf = acceptedOf.get(record.sha256) ?? firstOf.get(record.sha256);
      return [
        id,
        decided(record, {
          state: "duplicate",
          ...(duplicateOf !== undefined && { duplicateOf }),
        }, this.#nowMs),
      ];
    }));
  }

  /** The accepted signups of images, but not `besides`. */
  async #acceptedOf(
    sha256s: readonly string[],
    besides: readonly string[] = [],
  ): Promise<Map<string, string>> {
    if (sha256s.length === 0) return new Map();
    const digests = sha256s.map(bytesOf);
    const rows = await this.#sql<{ id: string; sha256: Uint8Array }>`
      SELECT id, sha256 FROM orb_signups
      WHERE sha256 = ANY(${digests}::bytea[]) AND state = 'accepted'
        AND id <> ALL(${[...besides]}::text[])`;
    return new Map(rows.map(({ id, sha256 }) => [sha256.toHex(), id]));
  }

  async #addFingerprint(
    { id, bytes, epoch }: RecordCommands["addFingerprint"][0],
  ): Promise<boolean> {
    const counters = await this.#fingerprints.counters(true);
    const [record] = await this.#find([id]);
    if (record?.state !== "accepted" || counters.epoch !== epoch) return false;
    await this.#fingerprints.add([{ id, bytes }], counters.fingerprints);
    return true;
  }

  async #change(
    { id, fence }: { id: string; fence: number },
    change: (record: SignupRecord) => SignupRecord,
  ): Promise<ChangeReply> {
    const record = (await this.#locked([id])).get(id);
    if (record === undefined || !isHeldBy(record, fence)) return { result: "lost" };
    const after = change(record);
    await this.#update([after]);
    return { result: "changed", record: after };
  }

  async #requeue(id: string): Promise<ChangeReply> {
    const record = (await this.#locked([id])).get(id);
    if (record?.state !== "dead_letter") return { result: "lost" };
    const after = requeued(record, this.#nowMs);
    await this.#update([after]);
    return { result: "changed", record: after };
  }

  async #statistics(): Promise<ReplyOf<"statistics">> {
    const { settled, tokens } = await this.#context.statistics(this.#sql);
    const rows = await this.#sql<{ state: SignupState; count: number; due_ms: number }>`
      SELECT state, count(*)::bigint AS count, min(due_ms) AS due_ms FROM orb_signups
      WHERE state IN ('queued', 'processing') GROUP BY state`;
    const underWay = Object.fromEntries(rows.map(({ state, count }) => [state, count]));
    const oldestDueMs = Math.min(Infinity, ...rows.map(({ due_ms }) => due_ms));
    const byState = Object.fromEntries(
      signupStates.map((state) => [state, underWay[state] ?? settled[state] ?? 0]),
    ) as Record<SignupState, number>;
    return { byState, oldestWaitMs: Math.max(0, this.#nowMs - oldestDueMs), tokens };
  }

  async #referenced(sha256s: readonly string[]): Promise<string[]> {
    const digests = sha256s.map(bytesOf);
    const rows = await this.#sql<{ sha256: Uint8Array }>`
      SELECT DISTINCT sha256 FROM orb_signups WHERE sha256 = ANY(${digests}::bytea[])`;
    return rows.map(({ sha256 }) => sha256.toHex());
  }
}

/** One after the other. */
function each<Command, Reply>(
  run: (command: Command) => Promise<Reply>,
): (commands: readonly Command[]) => Promise<Reply[]> {
  return async function runEach(commands) {
    const replies: Reply[] = [];
    for (const command of commands) replies.push(await run(command));
    return replies;
  };
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}
