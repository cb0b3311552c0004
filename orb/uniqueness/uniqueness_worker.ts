/**
 * The threads of the uniqueness check: one that holds the index, and some that look into images. The
 * thread that answers requests only passes messages.
 *
 * A worker loads this same file, or the one bundled file that holds it, and knows itself by its
 * name: see {@linkcode inUniquenessWorker}.
 *
 * @module
 */
import type { NearImage } from "../signups/uniqueness.ts";
import type { NearMode } from "./fingerprint.ts";
import { ImageError, type ImageErrorKind, type ImageLimits } from "./image_header.ts";

/** What a worker is asked. */
export type WorkerQuestion =
  | { type: "describe"; image: Uint8Array; mode: NearMode; limits: ImageLimits }
  /** Whether an image holds what its header calls for; nothing is decoded. */
  | { type: "examine"; image: Uint8Array; limits: ImageLimits }
  /** First, where the index is meant. */
  | { type: "open"; mode: NearMode }
  | { type: "nearest"; fingerprint: Uint8Array; threshold: number }
  | { type: "add"; images: readonly { signupId: string; bytes: Uint8Array }[] }
  | { type: "clear" };

/** What a worker answers. */
export interface WorkerAnswer {
  /** Of `describe`. */
  fingerprint?: Uint8Array;
  /** Of `nearest`. */
  nearest?: NearImage | undefined;
  /** Of `add`: those that another mode had made, and that say nothing here. */
  skipped?: number;
}

type Request = { call: number; question: WorkerQuestion };
type Reply =
  | { call: number; answer: WorkerAnswer }
  | { call: number; error: { message: string; kind?: ImageErrorKind } };

const workerName = "orb-uniqueness-worker";

/** True inside a worker. An entry file asks before it runs. */
export const inUniquenessWorker = "WorkerGlobalScope" in globalThis && self.name === workerName;

/** A thread, seen from the one that asks. */
export interface UniquenessThread {
  /** Questions that wait for their answer. */
  readonly waiting: number;
  /**
   * Asks; questions are answered one after the other, in order.
   *
   * @throws {ImageError} the image cannot be used.
   * @throws {Error} the worker has died or was ended.
   */
  ask(question: WorkerQuestion): Promise<WorkerAnswer>;
  /** Ends it at once; what waits is rejected. */
  end(): void;
}

/**
 * Starts a thread.
 *
 * @example
 * ```ts
 * const thread = startUniquenessThread();
 * const { fingerprint } = await thread.ask({ type: "describe", image, mode: "iris", limits });
 * thread.end();
 * ```
 */
export function startUniquenessThread(): UniquenessThread {
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  const waiting = new Map<number, PromiseWithResolvers<WorkerAnswer>>();
  let calls = 0;
  let died: Error | undefined;

  function die(error: Error): void {
    died ??= error;
    worker.terminate();
    for (const { reject } of waiting.values()) reject(died);
    waiting.clear();
  }

  worker.onerror = (event) => {
    event.preventDefault();
    die(new Error(`A worker of the uniqueness check died: ${event.message}`));
  };
  worker.onmessage = ({ data }: MessageEvent<Reply>) => {
    const caller = waiting.get(data.call);
    waiting.delete(data.call);
    if ("answer" in data) return caller?.resolve(data.answer);
    const { kind, message } = data.error;
    caller?.reject(kind ? new ImageError(kind, message) : new Error(message));
  };
  return {
    get waiting() {
      return waiting.size;
    },
    ask(question) {
      if (died) return Promise.reject(died);
      const caller = Promise.withResolvers<WorkerAnswer>();
      const call = ++calls;
      waiting.set(call, caller);
      worker.postMessage({ call, question } satisfies Request);
      return caller.promise;
    },
    end: () => die(new Error("The worker of the uniqueness check was ended")),
  };
}

if (inUniquenessWorker) {
  // Decoders and indexes are loaded here only: the thread that answers requests does without their memory.
  const loaded = import("./uniqueness_server.ts").then(({ UniquenessServer }) =>
    new UniquenessServer()
  );
  self.onmessage = async ({ data: { call, question } }: MessageEvent<Request>) => {
    const server = await loaded;
    let reply: Reply;
    try {
      reply = { call, answer: server.answer(question) };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reply = {
        call,
        error: error instanceof ImageError ? { message, kind: error.kind } : { message },
      };
    }
    self.postMessage(reply);
  };
}
