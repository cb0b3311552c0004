/**
 * The page's side of a worker: asks, and waits for the answer for so long.
 *
 * @module
 */
import { workerUrl } from "../../service/page/worker_url.ts";
import type { AnswerMessage, RequestName, Requests } from "./protocol.ts";

/** Options of {@linkcode SimulatorClient.ask}. */
export interface AskOptions {
  /** After it the worker is stopped, and the answer is an error. @default 20_000 */
  readonly timeoutMs?: number;
}

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** One worker; a new one takes its place after it was stopped, without the runs that it held. */
export class SimulatorClient implements Disposable {
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #lastId = 0;

  /**
   * Asks for something.
   *
   * @throws {Error} what the worker has thrown, or that it was stopped
   */
  ask<Name extends RequestName>(
    name: Name,
    ask: Requests[Name]["ask"],
    { timeoutMs = 20_000 }: AskOptions = {},
  ): Promise<Requests[Name]["answer"]> {
    const worker = this.#worker ??= this.#start();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.stop(`It took longer than ${timeoutMs / 1_000} s`),
        timeoutMs,
      );
      this.#pending.set(id, { resolve: resolve as (answer: unknown) => void, reject, timer });
      worker.postMessage({ id, name, ask });
    });
  }

  /** Stops the worker, whatever it does; who waits gets an error. */
  stop(reason = "Stopped"): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new Error(reason));
    }
    this.#pending.clear();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #start(): Worker {
    const worker = new Worker(workerUrl(), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<AnswerMessage>) => this.#answered(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.stop(event.message || "The worker could not be started");
    };
    return worker;
  }

  #answered(message: AnswerMessage): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if ("error" in message) pending.reject(new Error(message.error));
    else pending.resolve(message.answer);
  }
}
