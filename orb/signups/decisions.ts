/**
 * The last step of a signup: comparing with what was accepted, and writing the verdict down.
 *
 * Verdicts that come at the same time share a transaction. Two of them that look alike do not: the
 * second one is compared once the first is decided. What other servers accept in between the store
 * notices (`stale`); then what is new is read, and all is compared again.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import type { RecordStore } from "../stores/record_store.ts";
import type { DecisionReply } from "../stores/record_commands.ts";
import type { Decision, SignupRecord } from "./signup_record.ts";
import type { Uniqueness } from "./uniqueness.ts";

interface Waiting {
  readonly decision: Decision;
  readonly resolve: (reply: DecisionReply) => void;
  readonly reject: (error: unknown) => void;
}

/** The most verdicts of one transaction. */
const maxBatch = 64;
/** Other servers cannot be faster for ever; then the attempt fails, and comes again. */
const maxStale = 20;

/** Decides signups, a few at a time. */
export class Decisions {
  readonly #store: Pick<RecordStore, "run">;
  readonly #uniqueness: Uniqueness;
  readonly #waiting: Waiting[] = [];
  #running = false;
  /** What `#uniqueness` knows. */
  #epoch = 0;
  #comparedSeq = 0;

  constructor(store: Pick<RecordStore, "run">, uniqueness: Uniqueness) {
    this.#store = store;
    this.#uniqueness = uniqueness;
  }

  /** Resolves once it is durable. @throws {StoreError} nothing was decided */
  decide(decision: Decision): Promise<DecisionReply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ decision, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /** Reads what was accepted since: at the start, so that the first signup need not wait for all. */
  async catchUp(): Promise<void> {
    for (;;) {
      const { epoch, newestSeq, fingerprints } = await this.#store.run({
        type: "fingerprints",
        afterSeq: this.#comparedSeq,
      });
      if (epoch !== this.#epoch) {
        const isFirst = this.#epoch === 0;
        this.#epoch = epoch;
        if (!isFirst) {
          this.#uniqueness.clear();
          this.#comparedSeq = 0;
          continue;
        }
      }
      this.#uniqueness.add(fingerprints);
      this.#comparedSeq = fingerprints.at(-1)?.seq ?? this.#comparedSeq;
      if (this.#comparedSeq >= newestSeq) return;
    }
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      try {
        const replies = await this.#decideTogether(batch.map(({ decision }) => decision));
        batch.forEach(({ resolve }, index) => resolve(replies[index]!));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = false;
  }

  /** Those that do not look alike; the others wait for the next one. */
  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    for (const one of this.#waiting.splice(0)) {
      const isAlike = batch.length >= maxBatch || batch.some((other) => this.#areAlike(one, other));
      (isAlike ? later : batch).push(one);
    }
    this.#waiting.push(...later);
    return batch;
  }

  #areAlike(one: Waiting, other: Waiting): boolean {
    const [a, b] = [fingerprintOf(one.decision), fingerprintOf(other.decision)];
    return a !== undefined && b !== undefined && this.#uniqueness.compare(a, b) !== undefined;
  }

  async #decideTogether(decisions: readonly Decision[]): Promise<readonly DecisionReply[]> {
    const isCompared = decisions.some((one) => fingerprintOf(one) !== undefined);
    for (let attempt = 0; attempt < maxStale; attempt++) {
      if (isCompared) await this.catchUp();
      const reply = await this.#store.run({
        type: "decide",
        decisions: await Promise.all(decisions.map((one) => this.#compared(one))),
        comparedSeq: this.#comparedSeq,
        epoch: this.#epoch,
      });
      if (reply.result === "decided") return reply.decisions;
    }
    throw new Error(`Other servers accepted images ${maxStale} times in between`);
  }

  async #compared(decision: Decision): Promise<Decision> {
    const fingerprint = fingerprintOf(decision);
    if (fingerprint === undefined) return decision;
    const near = await this.#uniqueness.nearest(fingerprint);
    if (near === undefined) return decision;
    const { signupId: duplicateOf, distance } = near;
    return { ...decision, verdict: { state: "duplicate", duplicateOf, distance } };
  }
}

/** Says what became of a signup. */
export function logDecision(log: Log, { id, state, reason, duplicateOf }: SignupRecord): void {
  log.info("Signup decided", {
    ...{ id, state },
    ...(reason !== undefined && { reason }),
    ...(duplicateOf !== undefined && { duplicateOf }),
  });
}

function fingerprintOf({ verdict }: Decision): Uint8Array | undefined {
  return verdict.state === "accepted" ? verdict.fingerprint : undefined;
}
