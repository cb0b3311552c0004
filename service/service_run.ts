/**
 * One service from its start to the end of its drain, without the process around it: so it runs in
 * virtual time, too. `life_cycle.ts` is the process: flags, signals, telemetry, exit.
 *
 * start → ready → asked to stop → readiness off → serve on for the shutdown delay → `stopping` →
 * drain, with a deadline.
 *
 * @module
 */
import type { Service, ServiceContext } from "./life_cycle.ts";
import { aborted, reasonOf, settledWithin } from "./resilience.ts";

/** Options of {@linkcode ServiceRun}. */
export interface ServiceRunOptions {
  /** Starts the service. */
  start: (context: ServiceContext) => Promise<Service>;
  /** What the service gets, but for `stopping`, which the run makes. */
  context: Omit<ServiceContext, "stopping">;
  /**
   * How long it serves on, not ready, before it stops, in milliseconds. Until then a load balancer
   * that has not noticed yet, such as Kubernetes', still sends it requests.
   *
   * @default 0
   */
  shutdownDelayMs?: number;
  /** How long it may drain until what is still open is cut, in milliseconds. @default 10_000 */
  drainTimeoutMs?: number;
  /** How long a start that is asked to stop is waited for, in milliseconds. @default 2_000 */
  startGraceMs?: number;
  /** Called with the reason when the service's own work has failed. */
  onFailure: (error: unknown) => void;
}

/** A service that ignores its deadline is not waited for much longer. */
const ignoredDeadlineMs = 2_000;

/**
 * Runs one service, once.
 *
 * @example
 * ```ts
 * const run = new ServiceRun({ start, context, onFailure: (error) => log.error(String(error)) });
 * Deno.addSignalListener("SIGTERM", () => run.requestStop());
 * Deno.exit(await run.run());
 * ```
 */
export class ServiceRun {
  readonly #options: ServiceRunOptions;
  readonly #asked = new AbortController();
  readonly #askedAgain = new AbortController();
  readonly #stopping = new AbortController();

  constructor(options: ServiceRunOptions) {
    this.#options = options;
  }

  /** Asks it to stop; a second time, to stop without the shutdown delay. */
  requestStop(): void {
    if (this.#asked.signal.aborted) this.#askedAgain.abort();
    this.#asked.abort();
  }

  /** Whether it stops accepting, or has: what it still does is draining. */
  get stopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /**
   * Resolves with the exit code when the service has ended: its own, 0 if it was asked to stop, 1
   * if its work or its stop failed.
   *
   * @throws what its start throws, unless it was asked to stop meanwhile
   */
  async run(): Promise<number> {
    const service = await this.#start();
    if (!service) return 0;
    const ended = this.#end(service);
    // Asked to stop it has no exit code yet.
    let exitCode = await Promise.race([aborted(this.#asked.signal).then(() => undefined), ended]);
    this.#options.context.health.stop();
    if (exitCode === undefined) await this.#serveUnready(ended);
    this.#stopping.abort();
    const drained = await this.#drain(service);
    // What the stop cut short has the last word, if it has ended: it is not waited for here.
    exitCode ??= await Promise.race([ended, undefined]);
    return exitCode || (drained ? 0 : 1);
  }

  /** Nothing if it was asked to stop before the service had started. */
  async #start(): Promise<Service | undefined> {
    const { context, startGraceMs = 2_000 } = this.#options;
    const { log, world } = context;
    const starting = this.#begin();
    await Promise.race([aborted(this.#asked.signal), starting.catch(() => {})]);
    if (!this.#asked.signal.aborted) return await starting;
    this.#stopping.abort();
    if (!await settledWithin(starting, startGraceMs, { world })) {
      log.warn("The start has not ended though it was asked to stop, it is abandoned", {
        startGraceMs,
      });
      return undefined;
    }
    try {
      return await starting;
    } catch (error) {
      log.info("Stopped before it had started", { reason: reasonOf(error) });
      return undefined;
    }
  }

  /** An error that a start throws at once is a rejection like any other. */
  async #begin(): Promise<Service> {
    const { start, context } = this.#options;
    return await start({ ...context, stopping: this.#stopping.signal });
  }

  /** Resolves with the exit code of a service that ends by itself; it never rejects. */
  async #end(service: Service): Promise<number> {
    if (!service.finished) return await new Promise(() => {});
    try {
      return (await service.finished) ?? 0;
    } catch (error) {
      // Its own work has failed; what else it holds is still given back in order.
      this.#options.onFailure(error);
      return 1;
    }
  }

  async #serveUnready(ended: Promise<number>): Promise<void> {
    const { context: { log, world }, shutdownDelayMs = 0 } = this.#options;
    if (shutdownDelayMs === 0 || this.stopping) return;
    log.info("Not ready any more, serves on for the shutdown delay", { shutdownDelayMs });
    await settledWithin(ended, shutdownDelayMs, { signal: this.#askedAgain.signal, world });
  }

  /** Whether it stopped without an error; one that was cut did. */
  async #drain(service: Service): Promise<boolean> {
    const { context: { log, world }, drainTimeoutMs: timeoutMs = 10_000 } = this.#options;
    const deadline = new AbortController();
    const timer = world.setTimeout(() => {
      log.warn("The drain deadline has passed, what is still open is cut", { timeoutMs });
      deadline.abort();
    }, timeoutMs);
    try {
      const stopped = service.stop(deadline.signal);
      if (await settledWithin(stopped, timeoutMs + ignoredDeadlineMs, { world })) await stopped;
      return true;
    } catch (error) {
      log.error("The service failed while stopping", { reason: reasonOf(error) });
      return false;
    } finally {
      world.clearTimeout(timer);
    }
  }
}
