/**
 * Messages that handlers fail at, until somebody mends them, and such that take them longer than their
 * lease: at processing, and at the lambdas before it. Which ones is decided before the run begins.
 *
 * @module
 */
import type { Surroundings } from "../topology/ports.ts";
import { HandlerError, type LambdaWork, type Work } from "../topology/processor.ts";
import { done, type Step } from "../topology/step.ts";
import { type Decisions, logUniform } from "./decisions.ts";
import type { RunOptions } from "./options.ts";
import type { HandlerFault } from "./run_watch.ts";

/** Options of {@linkcode HandlerFaults}. */
export interface HandlerFaultsOptions {
  readonly options: RunOptions;
  readonly decisions: Decisions;
  /** Notified of each, at its instant. */
  readonly onFault: (
    kind: HandlerFault["kind"],
    part: Surroundings,
    subject: string,
    detail: string,
  ) => void;
}

/** Made once: an error's stack would cost more than the call. */
const poisonous = new HandlerError("The message cannot be handled");

/** What handlers do beside the store, and what befalls them. */
export class HandlerFaults {
  readonly #options: HandlerFaultsOptions;
  readonly #poison = new Set<string>();
  readonly #slow = new Map<string, number>();
  readonly #lambdaPoison = new Set<string>();
  readonly #lambdaSlow = new Map<string, number>();
  #isHealed = false;
  #isMended = false;

  constructor(options: HandlerFaultsOptions) {
    this.#options = options;
  }

  /** Decides what the handlers of a message are to meet. */
  plan(id: string): void {
    const { poison, slow, lambdaPoison, lambdaSlow, leaseMs, busLeaseMs } = this.#options.options;
    if (this.#isChosen("poison", id, poison)) this.#poison.add(id);
    const slowMs = this.#slowMs("slow", id, slow, leaseMs);
    if (slowMs > 0) this.#slow.set(id, slowMs);
    if (this.#isChosen("lambda-poison", id, lambdaPoison)) this.#lambdaPoison.add(id);
    const lambdaMs = this.#slowMs("lambda-slow", id, lambdaSlow, busLeaseMs);
    if (lambdaMs > 0) this.#lambdaSlow.set(id, lambdaMs);
  }

  /** Messages that lambdas fail at. */
  get poisonedAtLambdas(): number {
    return this.#lambdaPoison.size;
  }

  /** Whether some handler fails at that message. */
  isPoison(id: string): boolean {
    return this.#poison.has(id) || this.#lambdaPoison.has(id);
  }

  /** From now on none is slow. */
  heal(): void {
    this.#isHealed = true;
  }

  /** From now on none fails. */
  mend(): void {
    this.#isMended = true;
  }

  /** What a processor does with a message. */
  readonly work: Work = (part, consumer, id) => this.#process(part, consumer, id);

  /** What a lambda does with a message: no time that matters, if nothing is wrong. */
  readonly lambdaWork: LambdaWork = (part, id) => this.#transform(part, id);

  #process(part: Surroundings, consumer: string, id: string): Step<void> {
    const { options: { workMs }, onFault } = this.#options;
    const slowMs = this.#isHealed ? undefined : this.#slow.get(id);
    if (slowMs !== undefined) onFault("slow-consumer", part, id, `${slowMs} ms`);
    const work = part.clock.sleep(slowMs ?? workMs * (0.5 + part.chance.random()));
    const isPoison = consumer !== "stock" && this.#poison.has(id);
    return isPoison ? this.#judgeAfter(work, this.#poison, part, id) : work;
  }

  #transform(part: Surroundings, id: string): Step<void> {
    const slowMs = this.#isHealed ? undefined : this.#lambdaSlow.get(id);
    if (slowMs !== undefined) {
      this.#options.onFault("slow-consumer", part, id, `${slowMs} ms`);
      return this.#judgeAfter(part.clock.sleep(slowMs), this.#lambdaPoison, part, id);
    }
    this.#judge(this.#lambdaPoison, part, id);
    return done(undefined);
  }

  *#judgeAfter(
    work: Step<void>,
    poison: ReadonlySet<string>,
    part: Surroundings,
    id: string,
  ): Step<void> {
    yield* work;
    this.#judge(poison, part, id);
  }

  #judge(poison: ReadonlySet<string>, part: Surroundings, id: string): void {
    if (this.#isMended || !poison.has(id)) return;
    this.#options.onFault("poison", part, id, "");
    throw poisonous;
  }

  #isChosen(what: string, id: string, rate: number): boolean {
    if (rate === 0) return false;
    const { decisions } = this.#options;
    return decisions.decide(what, id, (draw) => draw() < rate ? 1 : 0) > 0;
  }

  /** Longer than the lease, and at most twice as long; 0 is not slow. */
  #slowMs(what: string, id: string, rate: number, leaseMs: number): number {
    if (rate === 0) return 0;
    return this.#options.decisions.decide(
      what,
      id,
      (draw) => draw() < rate ? Math.round(logUniform(draw, leaseMs, 2 * leaseMs)) : 0,
    );
  }
}
