/**
 * The thread that waits for the disk: a worker that runs `sqlite_records.ts`, and the server's end
 * of it, one question at a time.
 *
 * Question and answer lie in memory that both share, and each side is woken by `Atomics.notify`.
 * Measured against `postMessage` with transferred buffers, on two shared cores (bench/README.md):
 * signups of 1 KiB over 32 connections 1.21 times as many, over one connection 1.59 times, processor
 * time a signup 64 µs against 72; no difference at 284 kB.
 *
 * The worker loads this same file, or the one bundled file that holds it; it knows itself by its
 * name. So a program that is bundled with this module must not start in the worker: see
 * {@linkcode inRecordWorker}.
 *
 * @module
 */
import { realWorld } from "../../../service/world/world.ts";
import type { RecordCommand, ReplyOf } from "../record_commands.ts";
// SQLite itself is loaded by the worker only: the thread that answers does without its memory.
import type { SqliteRecords } from "./sqlite_records.ts";
import { waitWhile, waitWhileAsync } from "./shared_words.ts";
import { digestBytes } from "./token_table.ts";

/** A question to the worker. `open` comes first, `close` last. */
export type WorkerQuestion =
  | { type: "open"; path: string }
  /** Tokens to add, their bytes in a row, and what is to be done after them, as JSON. */
  | { type: "apply"; digests: Uint8Array; commands: string }
  | { type: "probe" }
  | { type: "close" };

/** The worker's answer. */
export interface WorkerAnswer {
  /** For `apply`: of each digest whether it was new. */
  isNew: boolean[];
  /** For `apply`: the replies to the commands, as JSON. */
  replies: string;
  /** SQLite's words and extended result code; nothing was done then. */
  error?: { message: string; code: number };
}

/** The most digests of one `apply`. */
export const maxDigests = 1_024;
/** The most bytes of the commands of one `apply`, and of their replies. */
export const maxTextBytes = 8 * 1024 ** 2;

const workerName = "orb-record-worker";

/** True inside the worker. An entry file asks before it runs. */
export const inRecordWorker = "WorkerGlobalScope" in globalThis && self.name === workerName;

/** The server's end of the worker. */
export interface RecordWorker {
  /** Asks; wait for the answer before asking again. Rejects if the worker dies. */
  ask(question: WorkerQuestion): Promise<WorkerAnswer>;
  /** Ends the worker at once. */
  end(): void;
}

const types = ["open", "apply", "probe", "close"] as const;

/** The memory that both threads see. What is never touched takes none. */
class SharedMemory {
  /** Of {@linkcode Word}. */
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly digests: Uint8Array<SharedArrayBuffer>;
  /** Of each digest, 1 if it was new. */
  readonly isNew: Uint8Array<SharedArrayBuffer>;
  /** Commands, replies, a path, an error's message. */
  readonly text: Uint8Array<SharedArrayBuffer>;

  constructor(
    readonly buffer = new SharedArrayBuffer(64 + maxDigests * (digestBytes + 1) + maxTextBytes),
  ) {
    this.words = new Int32Array(buffer, 0, 16);
    this.digests = new Uint8Array(buffer, 64, maxDigests * digestBytes);
    this.isNew = new Uint8Array(buffer, 64 + maxDigests * digestBytes, maxDigests);
    this.text = new Uint8Array(buffer, 64 + maxDigests * (digestBytes + 1), maxTextBytes);
  }

  writeText(text: string): void {
    const bytes = text === "" ? noBytes : encoder.encode(text);
    if (bytes.length > maxTextBytes) {
      throw new RangeError(`${bytes.length} bytes do not fit into the worker's memory`);
    }
    this.text.set(bytes);
    this.words[Word.TextLength] = bytes.length;
  }

  readText(): string {
    const length = this.words[Word.TextLength]!;
    return length === 0 ? "" : decoder.decode(this.text.slice(0, length));
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const noBytes = new Uint8Array();

/** Places in the shared words. */
const Word = {
  Question: 0,
  Answer: 1,
  Type: 2,
  Digests: 3,
  TextLength: 4,
  Failed: 5,
  Code: 6,
} as const;

/**
 * Starts the worker.
 *
 * @example
 * ```ts
 * const worker = startRecordWorker();
 * const { error } = await worker.ask({ type: "open", path: "orb.sqlite" });
 * await worker.ask({ type: "close" });
 * worker.end();
 * ```
 */
export function startRecordWorker(): RecordWorker {
  const memory = new SharedMemory();
  const { words } = memory;
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  worker.postMessage(memory.buffer);
  let died: Error | undefined;
  let fail = (_: Error) => {};
  worker.onerror = (event) => {
    event.preventDefault();
    died = new Error(`The worker of the records died: ${event.message}`);
    fail(died);
  };

  return {
    ask(question) {
      if (died) return Promise.reject(died);
      writeQuestion(memory, question);
      const answered = Atomics.load(words, Word.Answer);
      Atomics.add(words, Word.Question, 1);
      Atomics.notify(words, Word.Question);
      const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer>();
      fail = reject;
      waitWhileAsync(words, Word.Answer, answered).then(() => resolve(readAnswer(memory)));
      return promise;
    },
    end: () => worker.terminate(),
  };
}

function writeQuestion(memory: SharedMemory, question: WorkerQuestion): void {
  const { words } = memory;
  words[Word.Type] = types.indexOf(question.type);
  words[Word.Digests] = 0;
  if (question.type === "open") memory.writeText(question.path);
  if (question.type === "apply") {
    memory.digests.set(question.digests);
    words[Word.Digests] = question.digests.length / digestBytes;
    memory.writeText(question.commands);
  }
}

function readAnswer(memory: SharedMemory): WorkerAnswer {
  const { words, isNew } = memory;
  const text = memory.readText();
  if (words[Word.Failed] !== 0) {
    return { isNew: [], replies: "", error: { message: text, code: words[Word.Code]! } };
  }
  const flags = Array.from({ length: words[Word.Digests]! }, (_, index) => isNew[index] === 1);
  return { isNew: flags, replies: text };
}

/** The worker's side: answers until it is closed; an error is an answer, too. */
function serveQuestions(
  memory: SharedMemory,
  { SqliteRecords: Records }: typeof import("./sqlite_records.ts"),
): void {
  const { words } = memory;
  // Never goes back and knows of no jump of the wall clock: leases last as long as they say.
  const offsetMs = realWorld.nowMs() - realWorld.monotonicMs();
  const nowMs = () => Math.floor(offsetMs + realWorld.monotonicMs());
  let records: SqliteRecords | undefined;

  function answer(type: typeof types[number]): void {
    if (type === "open") records = new Records({ path: memory.readText(), nowMs });
    if (records === undefined) throw new Error(`'${type}' came before 'open'`);
    if (type === "apply") apply(records);
    else memory.writeText("");
    if (type === "probe") records.probe();
    if (type === "close") records.close();
  }

  function apply(records: SqliteRecords): void {
    // A copy: SQLite takes no shared memory.
    const digests = memory.digests.slice(0, words[Word.Digests]! * digestBytes);
    const text = memory.readText();
    const commands = text === "" ? [] : decodeCommands(text);
    const { tokens, replies } = records.apply(digests, commands);
    tokens.forEach((result, index) => memory.isNew[index] = result === "new" ? 1 : 0);
    memory.writeText(replies.length === 0 ? "" : encodeReplies(replies, commands));
  }

  for (let question = 0;; question++) {
    waitWhile(words, Word.Question, question);
    const type = types[words[Word.Type]!]!;
    words[Word.Failed] = 0;
    try {
      answer(type);
    } catch (error) {
      words[Word.Failed] = 1;
      words[Word.Code] = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
      memory.writeText(error instanceof Error ? error.message : String(error));
    }
    Atomics.add(words, Word.Answer, 1);
    Atomics.notify(words, Word.Answer);
    if (type === "close") return;
  }
}

/** Bytes in JSON. */
interface Base64 {
  base64: string;
}

/**
 * Commands as JSON; bytes, which only fingerprints are, in base64.
 *
 * @example
 * ```ts
 * encodeCommands([{ type: "find", id: "01M7YWWF73WJAQYR7RMSPYEYZP" }]);
 * ```
 */
export function encodeCommands(commands: readonly RecordCommand[]): string {
  return JSON.stringify(commands.map((command) => {
    switch (command.type) {
      case "addFingerprint":
        return { ...command, bytes: toBase64(command.bytes) };
      case "decide":
        return {
          ...command,
          decisions: command.decisions.map((decision) => ({
            ...decision,
            verdict: "fingerprint" in decision.verdict && decision.verdict.fingerprint !== undefined
              ? { ...decision.verdict, fingerprint: toBase64(decision.verdict.fingerprint) }
              : decision.verdict,
          })),
        };
      default:
        return command;
    }
  }));
}

/** Commands of JSON, as {@linkcode encodeCommands} gave them. */
export function decodeCommands(text: string): RecordCommand[] {
  const commands = JSON.parse(text) as RecordCommand[];
  for (const command of commands) {
    if (command.type === "addFingerprint") {
      const { base64 } = command.bytes as unknown as Base64;
      (command as { bytes: Uint8Array }).bytes = Uint8Array.fromBase64(base64);
    }
    if (command.type !== "decide") continue;
    for (const { verdict } of command.decisions) {
      if (verdict.state !== "accepted" || verdict.fingerprint === undefined) continue;
      const { base64 } = verdict.fingerprint as unknown as Base64;
      (verdict as { fingerprint: Uint8Array }).fingerprint = Uint8Array.fromBase64(base64);
    }
  }
  return commands;
}

/** Replies as JSON; bytes, which only fingerprints have, in base64. */
export /** Only fingerprints have bytes: to ask each value of each reply would take thrice as long. */
function encodeReplies(replies: readonly unknown[], commands: readonly RecordCommand[]): string {
  return JSON.stringify(replies.map((reply, index) => {
    if (commands[index]!.type !== "fingerprints") return reply;
    const { fingerprints, ...rest } = reply as ReplyOf<"fingerprints">;
    return {
      ...rest,
      fingerprints: fingerprints.map((one) => ({ ...one, bytes: toBase64(one.bytes) })),
    };
  }));
}

/**
 * Replies of JSON, as {@linkcode SqliteRecords.apply} gave them.
 *
 * @example
 * ```ts
 * const [record] = decodeReplies(answer.replies, commands);
 * ```
 */
export function decodeReplies(text: string, commands: readonly RecordCommand[]): unknown[] {
  if (text === "") return [];
  const replies = JSON.parse(text) as unknown[];
  commands.forEach(({ type }, index) => {
    if (type !== "fingerprints") return;
    const { fingerprints } = replies[index] as { fingerprints: { bytes: unknown }[] };
    for (const one of fingerprints) {
      one.bytes = Uint8Array.fromBase64((one.bytes as Base64).base64);
    }
  });
  return replies;
}

function toBase64(bytes: Uint8Array): Base64 {
  return { base64: bytes.toBase64() };
}

if (inRecordWorker) {
  self.onmessage = async (event: MessageEvent<SharedArrayBuffer>) => {
    serveQuestions(new SharedMemory(event.data), await import("./sqlite_records.ts"));
    self.close();
  };
}
