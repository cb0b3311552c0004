/**
 * Where records and the queue are kept: what a database has to do for the orb, and no more.
 * `sqlite/` is one (the default), `postgres/` another, `bus/` lets Kafka deal what either keeps; all
 * pass `record_suite.ts`.
 *
 * Promises every back-end keeps:
 *
 * - what {@linkcode RecordBackend.apply} has resolved for is durable: it survives `kill -9`;
 * - the commands of one call are one transaction, in their order: all of them or none;
 * - a signup that is queued can be claimed, at once or a little later;
 * - a signup is given to one worker at a time, and decided once;
 * - two images of the same bytes are never both accepted, by however many servers;
 * - it has a clock of its own, by which leases end: those of its servers may be wrong.
 *
 * Above it `record_store.ts` gathers what comes at the same time into one call.
 *
 * @module
 */
import type { SignupState } from "../signups/signup_record.ts";
import type { CommandName, RecordCommand, ReplyOf } from "./record_commands.ts";

/** A signup that has changed, here or on another server. */
export interface SignupChange {
  readonly id: string;
  readonly state: SignupState;
}

/** A database that keeps records and the queue. */
export interface RecordBackend {
  /** `db.system.name` of the semantic conventions. */
  readonly system: "sqlite" | "postgresql";
  /** Calls of {@linkcode RecordBackend.apply} that it can do at once, at least 1. */
  readonly maxParallel: number;
  /**
   * Does what is asked, in one durable transaction.
   *
   * @throws {StoreError} `disk`, `unavailable`: nothing was done, it may work later; `worker`: it
   * never will again.
   */
  apply<const Commands extends readonly RecordCommand[]>(
    commands: Commands,
  ): Promise<{ [Index in keyof Commands]: ReplyOf<Commands[Index]["type"] & CommandName> }>;
  /** Proves that a transaction can be made durable. @throws {StoreError} as {@linkcode RecordBackend.apply} */
  probe(): Promise<void>;
  /** Notified of what other servers change, where there can be others. */
  onRemoteChange(listener: (change: SignupChange) => void): void;
  /** Notified when signups can be claimed, where that is later than they are queued. @default never */
  onOffered?(listener: () => void): void;
  /** Lets go of the database. */
  close(): Promise<void>;
}
