/**
 * The threads that look into images: they decode them to compare them, or only inflate what they hold.
 *
 * @module
 */
import { timeoutSignal } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { ImageError } from "./image_header.ts";
import type { UniquenessThread, WorkerAnswer, WorkerQuestion } from "./uniqueness_worker.ts";

/** Options of {@linkcode DecodingThreads}. */
export interface DecodingThreadsOptions {
  /** Threads, 1 to 64. */
  threads: number;
  /** How long one image may take, in milliseconds; then it is refused. */
  maxDecodeMs: number;
  /** Starts a thread. */
  startThread: () => UniquenessThread;
  world: World;
}

/** A few threads, each with images that wait for it. They start when they are asked, or by `start()`. */
export class DecodingThreads {
  readonly #options: DecodingThreadsOptions;
  readonly #threads: UniquenessThread[] = [];
  #closed = false;

  constructor(options: DecodingThreadsOptions) {
    this.#options = options;
  }

  /** Starts all of them, so that the first image need not wait for that. */
  start(): void {
    while (this.#threads.length < this.#options.threads) this.#add();
  }

  /**
   * Asks the thread that has the least to do, within the time.
   *
   * @throws {ImageError} the image cannot be used, or takes too long.
   * @throws {Error} the reason of `signal`; or the thread has died, and another one takes its place
   */
  async ask(question: WorkerQuestion, signal: AbortSignal): Promise<WorkerAnswer> {
    const { maxDecodeMs, world } = this.#options;
    signal.throwIfAborted();
    const thread = this.#idlest();
    // Those before it in the queue may take their time, too.
    using deadline = timeoutSignal(maxDecodeMs * (thread.waiting + 1), { signal, world });
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => {});
    deadline.signal.addEventListener("abort", () => {
      if (signal.aborted) return ended.reject(signal.reason);
      ended.reject(new ImageError("time", `The image was not decoded within ${maxDecodeMs} ms.`));
      this.#replace(thread);
    }, { once: true });
    try {
      return await Promise.race([thread.ask(question), ended.promise]);
    } catch (error) {
      // A thread that has died takes no more questions.
      if (!(error instanceof ImageError) && !signal.aborted) this.#replace(thread);
      throw error;
    }
  }

  /** Ends them at once; what waits is rejected. */
  close(): void {
    this.#closed = true;
    for (const thread of this.#threads) thread.end();
  }

  /** Another one is started while all are busy. */
  #idlest(): UniquenessThread {
    const idlest = this.#threads.length === 0
      ? undefined
      : this.#threads.reduce((least, one) => one.waiting < least.waiting ? one : least);
    const isBusy = idlest === undefined || idlest.waiting > 0;
    return isBusy && this.#threads.length < this.#options.threads ? this.#add() : idlest!;
  }

  #add(): UniquenessThread {
    const thread = this.#options.startThread();
    this.#threads.push(thread);
    return thread;
  }

  #replace(thread: UniquenessThread): void {
    thread.end();
    const index = this.#threads.indexOf(thread);
    if (index >= 0 && !this.#closed) this.#threads[index] = this.#options.startThread();
  }
}
