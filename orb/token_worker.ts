/**
 * The thread that waits for the disk: a worker that runs `token_database.ts`, and the few lines by
 * which the server talks to it, one question at a time.
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

/** Starts the worker. */
export function startTokenWorker(): TokenWorker {
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  let waiting = Promise.withResolvers<TokenReply>();
  worker.onmessage = (event: MessageEvent<TokenReply>) => waiting.resolve(event.data);
  worker.onerror = (event) => {
    event.preventDefault();
    waiting.reject(new Error(`The worker of the token store died: ${event.message}`));
  };
  return {
    ask(command) {
      waiting = Promise.withResolvers();
      worker.postMessage(command);
      return waiting.promise;
    },
    end: () => worker.terminate(),
  };
}

/** The worker's side: an error is an answer, too. */
function serveCommands(): void {
  let path = "";
  let count = 0;
  let database: TokenDatabase | undefined;

  function run(command: TokenCommand): InsertResult[] {
    if (command.type === "open") path = command.path;
    // It was closed after an error: a fresh one has no doubtful pages in memory.
    database ??= new TokenDatabase(path);
    switch (command.type) {
      case "insert":
        return database.insert(command.digests);
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

  function answerOf(command: TokenCommand): TokenReply {
    try {
      const results = run(command);
      count = database?.count ?? count;
      return { count, results };
    } catch (error) {
      const results = command.type === "insert" ? afterFailure(command.digests) : [];
      abandon();
      return { count, results, error: reasonOf(error) };
    }
  }

  /** What can be said of digests whose transaction failed. */
  function afterFailure(digests: Uint8Array): InsertResult[] {
    try {
      if (database) return database.find(digests);
    } catch {
      // Not readable either; the transaction's own error is the one that is told.
    }
    return Array.from({ length: digests.length / digestBytes }, () => "failed");
  }

  function abandon(): void {
    try {
      database?.close();
    } catch {
      // As above.
    }
    database = undefined;
  }

  self.onmessage = (event: MessageEvent<TokenCommand>) => {
    self.postMessage(answerOf(event.data));
  };
}

function reasonOf(error: unknown): { message: string; code: number } {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
  return { message: error instanceof Error ? error.message : String(error), code };
}

if (inTokenWorker) serveCommands();
