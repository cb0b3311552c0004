/**
 * The records as the server sees them: what its rooms ask for gathers into shared transactions
 * ("group commit"), and changes are told to who follows a signup.
 *
 * @module
 */
import type { SignupRecord } from "../signups/signup_record.ts";
import type { CommandName, RecordCommand, ReplyOf } from "./record_commands.ts";

/** Records, the queue and small documents, on whichever back-end. */
export interface RecordStore {
  /** `db.system.name` of the semantic conventions. */
  readonly system: "sqlite" | "postgresql";
  /**
   * Does one thing; durable when it resolves. What many ask for at the same time shares a
   * transaction.
   *
   * @throws {StoreError} `busy`, `closing`, `disk`, `unavailable`, `worker`: nothing was done
   *
   * @example
   * ```ts
   * const record = await store.run({ type: "find", id: "01M7YWWF73WJAQYR7RMSPYEYZP" });
   * ```
   */
  run<const Command extends RecordCommand>(
    command: Command,
  ): Promise<ReplyOf<Command["type"] & CommandName>>;
  /**
   * Follows one signup, or all: called with each change, those of other servers too. A change may be
   * missed when a connection was lost, so who waits also asks now and then.
   *
   * @param id `undefined` for all signups
   * @returns ends it
   */
  follow(id: string | undefined, listener: (record: SignupRecord) => void): () => void;
  /** Rejects if nothing can be stored any more, ever. */
  readonly died: Promise<never>;
  /** Waits for what is queued, then lets go of the database. */
  close(): Promise<void>;
}
