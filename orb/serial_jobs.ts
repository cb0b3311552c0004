/**
 * Work that is done one piece after the other.
 *
 * @module
 */
import { setImmediate } from "node:timers";

interface Job {
  run: () => Promise<void>;
  abandon: (error: unknown) => void;
}

/**
 * Runs jobs one after the other, in the order in which they came. Each begins after the requests
 * that have arrived by then were read, so that what comes together can go together.
 *
 * A job that fails is the end: it and all that wait behind it reject with its error, and nothing
 * runs any more.
 */
export class SerialJobs {
  readonly #waiting: Job[] = [];
  readonly #onFailure: (error: unknown) => void;
  #running = false;
  #failure: { error: unknown } | undefined;

  /** @param onFailure called once, with the error of the job that failed */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Runs a job when its turn has come, and resolves with what it gives. */
  add<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#failure) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ run: () => work().then(resolve), abandon: reject });
      if (!this.#running) this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let job = this.#waiting.shift(); job; job = this.#waiting.shift()) {
      await new Promise((resolve) => setImmediate(resolve));
      try {
        await job.run();
      } catch (error) {
        this.#fail(job, error);
      }
    }
    this.#running = false;
  }

  #fail(failed: Job, error: unknown): void {
    this.#failure = { error };
    this.#onFailure(error);
    for (const job of [failed, ...this.#waiting.splice(0)]) job.abandon(error);
  }
}
