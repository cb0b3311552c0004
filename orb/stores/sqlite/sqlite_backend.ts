/**
 * SQLite as a {@linkcode RecordBackend}: its file, in a worker that waits for the disk.
 *
 * @module
 */
import { StoreError } from "../store_error.ts";
import type { RecordBackend } from "../record_backend.ts";
import type { CommandName, RecordCommand, ReplyOf, TokenResult } from "../record_commands.ts";
import {
  decodeReplies,
  encodeCommands,
  type RecordWorker,
  startRecordWorker,
  type WorkerAnswer,
  type WorkerQuestion,
} from "./record_worker.ts";
import { digestBytes } from "./token_table.ts";

/** Options of {@linkcode openSqliteBackend}. */
export interface SqliteBackendOptions {
  /** The file; made if need be. */
  path: string;
  /** Starts what waits for the disk. @default {@linkcode startRecordWorker} */
  startWorker?: () => RecordWorker;
}

/**
 * Opens the file.
 *
 * @throws {StoreError} `disk`: the file cannot be opened or written; the message is SQLite's.
 *
 * @example
 * ```ts
 * const backend = await openSqliteBackend({ path: "orb.sqlite" });
 * const [result] = await backend.apply([{ type: "addToken", sha256 }]);
 * await backend.close();
 * ```
 */
export async function openSqliteBackend(
  { path, startWorker = startRecordWorker }: SqliteBackendOptions,
): Promise<RecordBackend> {
  const worker = startWorker();
  try {
    await ask(worker, { type: "open", path });
  } catch (error) {
    worker.end();
    throw error;
  }
  let closed: Promise<void> | undefined;
  return {
    system: "sqlite",
    maxParallel: 1,
    apply: (commands) => apply(worker, commands) as never,
    probe: async () => void await ask(worker, { type: "probe" }),
    // The only server: an operator's tool is noticed when the queue is looked at.
    onRemoteChange: () => {},
    close: () => closed ??= close(worker),
  };
}

async function close(worker: RecordWorker): Promise<void> {
  // A worker that has died has nothing to close.
  await ask(worker, { type: "close" }).catch(() => {});
  worker.end();
}

/** Tokens at the beginning, which are most of what v1 asks for, go as bytes. */
async function apply(
  worker: RecordWorker,
  commands: readonly RecordCommand[],
): Promise<ReplyOf<CommandName>[]> {
  const other = commands.findIndex(({ type }) => type !== "addToken");
  const tokenCount = other < 0 ? commands.length : other;
  const digests = new Uint8Array(tokenCount * digestBytes);
  for (let index = 0; index < tokenCount; index++) {
    const { sha256 } = commands[index] as { sha256: string };
    digests.subarray(index * digestBytes).setFromHex(sha256);
  }
  const others = commands.slice(tokenCount);
  const { isNew, replies } = await ask(worker, {
    type: "apply",
    digests,
    commands: others.length === 0 ? "" : encodeCommands(others),
  });
  const results: TokenResult[] = isNew.map((one) => one ? "new" : "duplicate");
  return [...results, ...decodeReplies(replies, others) as ReplyOf<CommandName>[]];
}

async function ask(worker: RecordWorker, question: WorkerQuestion): Promise<WorkerAnswer> {
  let answer: WorkerAnswer;
  try {
    answer = await worker.ask(question);
  } catch (cause) {
    throw new StoreError("worker", "Nothing can be stored any more", { cause });
  }
  if (answer.error) {
    throw new StoreError("disk", answer.error.message, { code: answer.error.code });
  }
  return answer;
}
