/**
 * The thread that waits for the disk: a worker with the file of `--store`, and the console's end of it.
 *
 * The worker loads this same file, or the one bundled file that holds it; it knows itself by its
 * name. So an entry file that imports this must not run in it: see {@linkcode inDiskWorker}.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import { type KeptRequest, RequestFile, type RequestFileOptions } from "./request_file.ts";

/** Requests whose bodies lie in one piece of memory, which is handed over. */
export interface Batch {
  readonly requests: readonly (Omit<KeptRequest, "body"> & { readonly length: number })[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What the worker is asked. `open` comes first, `close` last; each has one answer, in order. */
export type DiskQuestion =
  | { type: "open"; options: RequestFileOptions }
  | { type: "write"; batch: Batch; nowMs: number }
  /** The next requests to be read back; from the newest `maxBytes` at first. */
  | { type: "read"; maxBytes: number }
  | { type: "clear" }
  | { type: "close"; nowMs: number };

/** What the worker answers. */
export interface DiskAnswer {
  /** Bytes of requests in the file. */
  bytes: number;
  /** Requests written so far. */
  written: number;
  /** Requests that wait to be written because the disk refused them. */
  waiting: number;
  /** Requests given up since the last answer. */
  dropped: number;
  /** Of `read`: none when all was read. */
  requests: KeptRequest[];
  /** Why it failed. */
  error?: string;
}

const workerName = "orrery-console-disk";

/** True inside the worker. An entry file asks before it runs. */
export const inDiskWorker = "WorkerGlobalScope" in globalThis && self.name === workerName;

/** What waits for a disk that refuses it, in bytes; beyond it the oldest are given up. */
const maxWaitingBytes = 32 * 1024 ** 2;
const rowsPerRead = 64;

/** The console's end of the worker. */
export interface DiskWorker {
  /** Asks. Rejects if the worker has died. */
  ask(question: DiskQuestion): Promise<DiskAnswer>;
  /** Ends the worker at once. */
  end(): void;
}

/**
 * Starts the worker.
 *
 * @example
 * ```ts
 * const worker = startDiskWorker();
 * const { error } = await worker.ask({ type: "open", options });
 * ```
 */
export function startDiskWorker(): DiskWorker {
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  const asked: PromiseWithResolvers<DiskAnswer>[] = [];
  let died: Error | undefined;
  worker.onmessage = ({ data }: MessageEvent<DiskAnswer>) => asked.shift()?.resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    died = new Error(`The store's thread died: ${event.message}`);
    for (const one of asked.splice(0)) one.reject(died);
  };
  return {
    ask(question) {
      if (died) return Promise.reject(died);
      const answer = Promise.withResolvers<DiskAnswer>();
      asked.push(answer);
      worker.postMessage(
        question,
        question.type === "write" ? [question.batch.bytes.buffer] : [],
      );
      return answer.promise;
    },
    end: () => worker.terminate(),
  };
}

/** The worker's side. An error is an answer, too. */
class DiskThread {
  #file: RequestFile | undefined;
  /** Batches that the disk has refused, the oldest first. */
  #waiting: Batch[] = [];
  #dropped = 0;
  #written = 0;
  #readSeq: number | undefined;

  answer(question: DiskQuestion): DiskAnswer {
    let requests: KeptRequest[] = [];
    let error: string | undefined;
    try {
      if (question.type === "open") this.#file = new RequestFile(question.options);
      else if (question.type === "write") this.#write(question.batch, question.nowMs);
      else if (question.type === "read") requests = this.#read(question.maxBytes);
      else if (question.type === "clear") this.#clear();
      else this.#close(question.nowMs);
    } catch (reason) {
      error = reasonOf(reason);
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    return {
      bytes: this.#file?.bytes ?? 0,
      written: this.#written,
      waiting: this.#waiting.reduce((sum, { requests }) => sum + requests.length, 0),
      dropped,
      requests,
      ...(error !== undefined && { error }),
    };
  }

  #write(batch: Batch, nowMs: number): void {
    this.#waiting.push(batch);
    let bytes = this.#waiting.reduce((sum, one) => sum + one.bytes.length, 0);
    while (bytes > maxWaitingBytes && this.#waiting.length > 1) {
      const given = this.#waiting.shift()!;
      bytes -= given.bytes.length;
      this.#dropped += given.requests.length;
    }
    this.#writeWaiting(nowMs);
  }

  #writeWaiting(nowMs: number): void {
    if (this.#waiting.length === 0) return;
    const requests = this.#waiting.flatMap(unpacked);
    this.#file!.write(requests, nowMs);
    this.#written += requests.length;
    this.#waiting = [];
  }

  #read(maxBytes: number): KeptRequest[] {
    this.#readSeq ??= this.#file!.startOfNewest(maxBytes);
    const rows = this.#file!.readAfter(this.#readSeq, rowsPerRead);
    this.#readSeq = rows.at(-1)?.seq ?? this.#readSeq;
    return rows.map(({ request }) => request);
  }

  #clear(): void {
    this.#waiting = [];
    this.#file!.clear();
  }

  #close(nowMs: number): void {
    try {
      this.#writeWaiting(nowMs);
    } finally {
      this.#file?.close();
    }
  }
}

function unpacked({ requests, bytes }: Batch): KeptRequest[] {
  let offset = 0;
  return requests.map(({ length, ...request }) => {
    const body = bytes.subarray(offset, offset + length);
    offset += length;
    return { ...request, body };
  });
}

if (inDiskWorker) {
  const thread = new DiskThread();
  self.onmessage = ({ data }: MessageEvent<DiskQuestion>) => {
    self.postMessage(thread.answer(data));
    if (data.type === "close") self.close();
  };
}
