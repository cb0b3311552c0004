/**
 * Answers kept until the client that named itself has said that it has them: in memory
 * (`memory_mailbox.ts`), or in a SQLite file so that they survive the server (`sqlite_mailbox.ts`).
 *
 * An answer is put here before it is sent. The client's next ping says which answers it needs no
 * more; what a broken connection swallowed stays, and is delivered when the client is back.
 * Bounded in count, bytes and age: the oldest go first, and are counted. Nothing is lost by that,
 * as a client sends an unanswered ping again; the answer is then made anew.
 *
 * @module
 */
import { realWorld, type World } from "../../service/world/world.ts";

/** An answer that waits. */
export interface KeptAnswer {
  /** The run of the client whose ping it answers. */
  run: string;
  /** The ping's number in that run. */
  seq: number;
  /** The id of that ping, from which the answer is made again. */
  requestId: Uint8Array;
}

/** What a mailbox holds. */
export interface MailboxSize {
  /** Answers. */
  answers: number;
  /** Bytes of the ids in them. */
  bytes: number;
  /** Clients that any of them are for. */
  clients: number;
}

/** Keeps answers by client. All methods are synchronous, so that an answer is kept before it is sent. */
export interface Mailbox {
  /** Keeps an answer; the oldest ones go if there is no room. */
  put(client: string, answer: KeptAnswer): void;
  /** Whether the answer to a ping is kept. */
  has(client: string, run: string, seq: number): boolean;
  /** All that is kept for a client, the oldest first. */
  waiting(client: string): KeptAnswer[];
  /** The client needs no answer of this run below this number any more. */
  ackBelow(client: string, run: string, seq: number): void;
  /** The client has all that was kept for its earlier runs. */
  ackOtherRuns(client: string, run: string): void;
  /** Drops what is too old. */
  expire(): void;
  /** Carries out several changes as one, all or none. */
  batch<Result>(work: () => Result): Result;
  /** What it holds. */
  size(): MailboxSize;
  /** Answers that were dropped for want of room or for their age. */
  readonly dropped: number;
  /** Closes the file, if any. */
  close(): void;
}

/** Bounds of a mailbox. */
export interface MailboxOptions {
  /** Answers kept for one client, at least 1. @default 1_024 */
  maxAnswersPerClient?: number;
  /** Answers kept in all, at least 1. @default 100_000 */
  maxAnswers?: number;
  /** Bytes of ids kept in all, at least 1. @default 67_108_864 */
  maxBytes?: number;
  /** How long an answer is kept, in milliseconds, above 0. @default 600_000 */
  maxAgeMs?: number;
  /** Whose time it is. @default realWorld */
  world?: Pick<World, "nowMs">;
}

/** All bounds, with what was not given as it is by default. */
export type MailboxBounds = Required<MailboxOptions>;

/**
 * Fills in what was not given.
 *
 * @throws {RangeError} a bound is out of range
 */
export function mailboxBounds(options: MailboxOptions): MailboxBounds {
  const { world = realWorld } = options;
  const bounds = {
    maxAnswersPerClient: options.maxAnswersPerClient ?? 1_024,
    maxAnswers: options.maxAnswers ?? 100_000,
    maxBytes: options.maxBytes ?? 67_108_864,
    maxAgeMs: options.maxAgeMs ?? 600_000,
  };
  for (const [name, value] of Object.entries(bounds)) {
    if (value > 0) continue;
    throw new RangeError(
      `Cannot keep answers as '${name}' must be above 0: current value is ${value}`,
    );
  }
  return { ...bounds, world };
}
