/**
 * The thread that waits for the disk: a worker that runs `token_database.ts`, and the server's end
 * of it, one question at a time.
 *
 * Question and answer lie in memory that both share, and each side is woken by `Atomics.notify`.
 * Measured against `postMessage` with transferred buffers, on two shared cores (bench/README.md):
 * signups of 1 KiB over 32 connections 1.21 times as many, over one connection 1.59 times, processor
 * time a signup 64 µs against 72; no difference at 284 kB.
 *
 * The worker loads this same file, or the one bundled file that holds it; it knows itself by its
 * name. So a program that is bundled with this module must not start in the worker: see
 * {@linkcode inTokenWorker}.
 *
 * @module
 */
import { digestBytes, type InsertResult, TokenDatabase } from "./token_database.ts";

/** A question to the worker. `open` comes first, `close` last. */
export type TokenCommand =
  | { type: "open"; path: string }
  | { type: "insert"; digests: Uint8Array }
  | { type: "reset" }
  | { type: "probe" }
  | { type: "close" };

/** The worker's answer. */
export interface TokenReply {
  /** Tokens stored. */
  count: number;
  /** For `insert`: what became of each digest. */
  results: InsertResult[];
  /** SQLite's words and extended result code; nothing new is stored then. */
  error?: { message: string; code: number };
}

/** The most digests of one `insert`. */
export const maxDigests = 1_024;

const workerName = "orb-token-worker";

/** True inside the worker. An entry file asks before it runs. */
export const inTokenWorker = "WorkerGlobalScope" in globalThis && self.name === workerName;

/** The server's end of the worker. */
export interface TokenWorker {
  /** Asks; wait for the answer before asking again. Rejects if the worker dies. */
  ask(command: TokenCommand): Promise<TokenReply>;
  /** Ends the worker at once. */
  end(): void;
}

const types = ["open", "insert", "reset", "probe", "close"] as const;
const insertResults = ["new", "duplicate", "failed"] as const;
const maxTextBytes = 8_192;

/** The memory that both threads see. */
class SharedMemory {
  /** Of {@linkcode Word}. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The digests of an `insert`, or the path of an `open`; in the answer the error's message. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** The results of an `insert`, as positions in `insertResults`. */
  readonly results: Uint8Array<SharedArrayBuffer>;

  constructor(
    readonly buffer = new SharedArrayBuffer(64 + maxTextBytes + maxDigests * (digestBytes + 1)),
  ) {
    const bodyBytes = maxTextBytes + maxDigests * digestBytes;
    this.words = new Int32Array(buffer, 0, 16);
    this.bytes = new Uint8Array(buffer, 64, bodyBytes);
    this.results = new Uint8Array(buffer, 64 + bodyBytes, maxDigests);
  }

  writeText(text: string): void {
    const bytes = new TextEncoder().encode(text).subarray(0, maxTextBytes);
    this.bytes.set(bytes);
    this.words[Word.Length] = bytes.length;
  }

  readText(): string {
    return new TextDecoder().decode(this.bytes.slice(0, this.words[Word.Length]));
  }
}

/** Places in the shared words. */
const Word = { Question: 0, Answer: 1, Type: 2, Length: 3, Count: 4, Failed: 5, Code: 6 } as const;

/**
 * Starts the worker.
 *
 * @example
 * ```ts
 * const worker = startTokenWorker();
 * const { count, error } = await worker.ask({ type: "open", path: "tokens.sqlite" });
 * await worker.ask({ type: "close" });
 * worker.end();
 * ```
 */
export function startTokenWorker(): TokenWorker {
  const memory = new SharedMemory();
  const { words } = memory;
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  worker.postMessage(memory.buffer);
  let died: Error | undefined;
  let fail = (_: Error) => {};
  worker.onerror = (event) => {
    event.preventDefault();
    died = new Error(`The worker of the token store died: ${event.message}`);
    fail(died);
  };

  return {
    ask(command) {
      if (died) return Promise.reject(died);
      words[Word.Type] = types.indexOf(command.type);
      if (command.type === "open") memory.writeText(command.path);
      if (command.type === "insert") {
        memory.bytes.set(command.digests);
        words[Word.Length] = command.digests.length;
      }
      const answered = Atomics.load(words, Word.Answer);
      Atomics.add(words, Word.Question, 1);
      Atomics.notify(words, Word.Question);
      const { promise, resolve, reject } = Promise.withResolvers<TokenReply>();
      fail = reject;
      const waiting = Atomics.waitAsync(words, Word.Answer, answered);
      Promise.resolve(waiting.value).then(() => resolve(readReply(memory, command)));
      return promise;
    },
    end: () => worker.terminate(),
  };
}

function readReply(memory: SharedMemory, command: TokenCommand): TokenReply {
  const { words } = memory;
  const asked = command.type === "insert" ? command.digests.length / digestBytes : 0;
  const results = Array.from(
    { length: asked },
    (_, index) => insertResults[memory.results[index]!]!,
  );
  const reply = { count: words[Word.Count]! >>> 0, results };
  return words[Word.Failed] === 0
    ? reply
    : { ...reply, error: { message: memory.readText(), code: words[Word.Code]! } };
}

/** The worker's side: answers until it is closed; an error is an answer, too. */
function serveCommands(memory: SharedMemory): void {
  const { words } = memory;
  let database: TokenDatabase | undefined;

  function run(): InsertResult[] {
    const type = types[words[Word.Type]!]!;
    if (type === "open") database = new TokenDatabase(memory.readText());
    if (database === undefined) throw new Error(`'${type}' came before 'open'`);
    switch (type) {
      case "insert":
        return database.insert(digests());
      case "reset":
        database.reset();
        break;
      case "probe":
        database.probe();
        break;
      case "close":
        database.close();
        break;
    }
    return [];
  }

  /** A copy: SQLite takes no shared memory. */
  function digests(): Uint8Array {
    return memory.bytes.slice(0, words[Word.Length]);
  }

  /** Digests that cannot be stored: the ones that were there before are still duplicates. */
  function afterFailure(): InsertResult[] {
    try {
      if (database) return database.find(digests());
    } catch {
      // Not even readable; the transaction's own error is the answer.
    }
    return Array.from({ length: words[Word.Length]! / digestBytes }, () => "failed");
  }

  for (let question = 0;; question++) {
    Atomics.wait(words, Word.Question, question);
    const type = types[words[Word.Type]!];
    let results: InsertResult[] = [];
    words[Word.Failed] = 0;
    try {
      results = run();
    } catch (error) {
      if (type === "insert") results = afterFailure();
      words[Word.Failed] = 1;
      words[Word.Code] = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
      memory.writeText(error instanceof Error ? error.message : String(error));
    }
    results.forEach((result, index) => memory.results[index] = insertResults.indexOf(result));
    words[Word.Count] = database?.count ?? 0;
    Atomics.add(words, Word.Answer, 1);
    Atomics.notify(words, Word.Answer);
    if (type === "close") return;
  }
}

if (inTokenWorker) {
  self.onmessage = (event: MessageEvent<SharedArrayBuffer>) => {
    serveCommands(new SharedMemory(event.data));
    self.close();
  };
}
