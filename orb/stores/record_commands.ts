/**
 * What can be asked of a record back-end: commands as data, so that many of them can share one
 * transaction, cross to a worker thread, and mean the same to every back-end.
 *
 * @module
 */
import type {
  AttemptFailure,
  AttemptLimits,
  Decision,
  Fingerprint,
  NewSignup,
  SignupRecord,
  SignupState,
  Verdict,
} from "../signups/signup_record.ts";

/** What became of an image of v1: stored now, there before, or nothing, as the store refused. */
export type TokenResult = "new" | "duplicate" | "failed";

/** What became of a signup that was handed in. */
export type SubmitReply =
  /** It is queued or decided now (`new`), or was handed in before (`same`). */
  | { readonly result: "new" | "same"; readonly record: SignupRecord }
  /** Its id stands for another image or another device. */
  | { readonly result: "conflict"; readonly record: SignupRecord }
  /** Too many wait already. */
  | { readonly result: "full"; readonly depth: number };

/** What may be said of an image with its arrival: nothing is compared with it but bytes. */
export type ArrivalVerdict =
  | { readonly state: "accepted" }
  | Extract<Verdict, { state: "rejected" }>;

/** What became of one verdict. */
export type DecisionReply =
  /** It holds. The record may say `duplicate` although `accepted` was asked for: the bytes were known. */
  | { readonly result: "decided"; readonly record: SignupRecord }
  /** Another worker has it, or it is decided: the fence is an old one. */
  | { readonly result: "lost" };

/** What became of verdicts that were given together. */
export type DecideReply =
  | { readonly result: "decided"; readonly decisions: readonly DecisionReply[] }
  /** Nothing is decided: images were accepted meanwhile. Compare with these, and ask again. */
  | { readonly result: "stale" };

/** A reason why nothing came of a change, or the changed record. */
export type ChangeReply =
  | { readonly result: "changed"; readonly record: SignupRecord }
  | { readonly result: "lost" };

/** Which signups to list, newest first. */
export interface SignupQuery {
  /** Only those in one of these states. @default all */
  readonly states?: readonly SignupState[];
  /** Only those of this device. @default all */
  readonly orbId?: string;
  /** Only those with an id below this one: the last of the page before. @default from the newest */
  readonly before?: string;
  /** The most, 1 to 1,000. */
  readonly limit: number;
}

/** How the queue is. */
export interface QueueStatistics {
  /** Signups by state. */
  readonly byState: Readonly<Record<SignupState, number>>;
  /** How long the oldest waits that could be claimed now, in milliseconds; 0 if none does. */
  readonly oldestWaitMs: number;
  /** Image tokens stored, of v1 and v2. */
  readonly tokens: number;
}

/** Small JSON that other rooms keep, such as a device's last status. */
export interface StoredDocument {
  readonly key: string;
  readonly value: unknown;
  /** Raised by every change; 0 stands for one that is not there. */
  readonly version: number;
  /** By the store's clock. */
  readonly updatedMs: number;
}

/** Each command with what it needs and what it gives. */
export interface RecordCommands {
  /** v1: stores an image's SHA-256 (hex) unless it is there. */
  addToken: [{ sha256: string }, TokenResult];
  /** Whether an image's SHA-256 (hex) is there. */
  hasToken: [{ sha256: string }, boolean];
  /** Forgets every token and every fingerprint: each image may sign up again. Signups stay as they are. */
  reset: [object, null];
  /**
   * Queues a signup; with a `verdict` it was examined with its arrival, and is decided at once, as by
   * `decide`: `maxQueued` does not matter then.
   */
  submit: [{ signup: NewSignup; maxQueued: number; verdict?: ArrivalVerdict }, SubmitReply];
  find: [{ id: string }, SignupRecord | null];
  list: [SignupQuery, SignupRecord[]];
  /**
   * Gives up to `max` signups to a worker, oldest first: those of `ids`, or all; those that are due
   * for `overdueMs` already, or all.
   */
  claim: [
    { worker: string; max: number; ids?: readonly string[]; overdueMs?: number } & AttemptLimits,
    SignupRecord[],
  ];
  /**
   * Decides signups together. Their fingerprints were compared with each other, and with all up to
   * `comparedSeq` of this `epoch`; verdicts without a fingerprint are never stale.
   */
  decide: [
    { decisions: readonly Decision[]; comparedSeq: number; epoch: number },
    DecideReply,
  ];
  /** After an attempt that failed. */
  retry: [{ id: string; fence: number } & AttemptFailure, ChangeReply];
  /** A worker that stops gives back what it has not begun. */
  release: [{ id: string; fence: number }, ChangeReply];
  /** A worker that needs longer. */
  extend: [{ id: string; fence: number; leaseMs: number }, ChangeReply];
  /** An operator: a dead letter gets all its attempts anew. */
  requeue: [{ id: string }, ChangeReply];
  statistics: [object, QueueStatistics];
  /** The store's clock, in milliseconds since the epoch. */
  clock: [object, number];
  /**
   * Fingerprints after this one, oldest first, as many as fit into a page: go on until `newestSeq`.
   * `epoch` differs once they were reset: then begin at 0.
   */
  fingerprints: [
    { afterSeq: number },
    {
      readonly epoch: number;
      readonly newestSeq: number;
      readonly fingerprints: Fingerprint[];
    },
  ];
  /**
   * What an accepted signup is compared by, where it was accepted without that. False where it is not
   * accepted, or the fingerprints were reset since `epoch`.
   */
  addFingerprint: [{ id: string; bytes: Uint8Array; epoch: number }, boolean];
  /** Which of these images (SHA-256, hex) have a signup. */
  referenced: [{ sha256s: readonly string[] }, string[]];
  /** With `ifVersion` only if it is (still) of that version; `null` is a conflict. */
  putDocument: [
    { collection: string; key: string; value: unknown; ifVersion?: number },
    StoredDocument | null,
  ];
  getDocument: [{ collection: string; key: string }, StoredDocument | null];
  /** By key, ascending, after `after`. */
  listDocuments: [{ collection: string; after?: string; limit: number }, StoredDocument[]];
  deleteDocument: [{ collection: string; key: string }, boolean];
}

/** The name of a command. */
export type CommandName = keyof RecordCommands;

/** A command as data. */
export type RecordCommand = {
  [Name in CommandName]: { readonly type: Name } & RecordCommands[Name][0];
}[CommandName];

/** What a command gives. */
export type ReplyOf<Name extends CommandName> = RecordCommands[Name][1];

/** Commands that change nothing. */
export const readingCommands: ReadonlySet<CommandName> = new Set<CommandName>([
  ...(["hasToken", "find", "list", "statistics", "clock", "fingerprints"] as const),
  ...(["referenced", "getDocument", "listDocuments"] as const),
]);

/** The most bytes of a fingerprint. */
export const maxFingerprintBytes = 8_192;
/** The most bytes of a document, as JSON. */
export const maxDocumentBytes = 65_536;
/** The most bytes of the documents, or fingerprints, of one list: the rest is the next page. */
export const maxListedBytes = 1024 ** 2;

const recordBytes = 2_048;

/** About the most bytes that a command and its reply take, so that a transaction has a limit. */
export function costBytes(command: RecordCommand): number {
  switch (command.type) {
    case "addToken":
    case "hasToken":
      return 64;
    case "list":
      return command.limit * recordBytes;
    case "claim":
      return command.max * recordBytes;
    case "decide":
      return command.decisions.length * (recordBytes + 2 * maxFingerprintBytes);
    case "addFingerprint":
      return recordBytes + 2 * maxFingerprintBytes;
    case "fingerprints":
      return 2 * maxListedBytes;
    case "referenced":
      return command.sha256s.length * 256;
    case "putDocument":
    case "getDocument":
      return 2 * maxDocumentBytes;
    case "listDocuments":
      return 2 * maxListedBytes;
    default:
      return recordBytes;
  }
}

/** The signups that a command has changed, as its reply says. */
export function changedBy(command: RecordCommand, reply: ReplyOf<CommandName>): SignupRecord[] {
  switch (command.type) {
    case "submit": {
      const { result, ...rest } = reply as SubmitReply;
      return result === "new" && "record" in rest ? [rest.record] : [];
    }
    case "claim":
      return reply as SignupRecord[];
    case "decide": {
      const decided = reply as DecideReply;
      return decided.result === "stale"
        ? []
        : decided.decisions.flatMap((one) => one.result === "decided" ? [one.record] : []);
    }
    case "retry":
    case "release":
    case "requeue": {
      const change = reply as ChangeReply;
      return change.result === "changed" ? [change.record] : [];
    }
    default:
      return [];
  }
}
