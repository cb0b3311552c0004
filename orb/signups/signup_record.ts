/**
 * A signup as it is kept, and what may happen to it: state as data, pure transitions. Every store
 * does what these functions say, so that a signup lives alike in all of them.
 *
 * ```
 *              claim                  decide
 *  queued ───────────────▶ processing ───────────▶ accepted | duplicate | rejected
 *    ▲ ▲                     │    │
 *    │ └── retry, lease over ┘    └── the last attempt failed ──▶ dead_letter
 *    └───────────────────── requeue (an operator) ────────────────────┘
 * ```
 *
 * Every claim raises the record's `fence`; who wants to decide names the fence that it was given.
 * So a worker that was taken for dead and comes back changes nothing any more.
 *
 * @module
 */

/** Every state, in the order of a signup's life. */
export const signupStates = [
  "queued",
  "processing",
  "accepted",
  "duplicate",
  "rejected",
  "dead_letter",
] as const;

/** Where a signup is. The first two are under way, the next three are decisions, the last waits for an operator. */
export type SignupState = typeof signupStates[number];

/** The media types of an image. `application/octet-stream` is looked into: it may be either of the others, or bytes. */
export const imageMediaTypes = ["image/png", "image/jpeg", "application/octet-stream"] as const;

/** A media type of an image. */
export type ImageMediaType = typeof imageMediaTypes[number];

/** What a device hands in. */
export interface NewSignup {
  /** The signup's ULID, chosen by the device: the idempotency key. 26 characters, upper case. */
  readonly id: string;
  /** SHA-256 of the image, in hex. */
  readonly sha256: string;
  /** Bytes of the image. */
  readonly imageBytes: number;
  /** The image's media type. */
  readonly mediaType: ImageMediaType;
  /** What v1 answers for this image: for show. */
  readonly token: string;
  /** Which device signs up, where that is known. */
  readonly orbId?: string;
  /** The upload that the image came by. */
  readonly uploadId?: string;
  /** The W3C trace context of the request, so that the decision belongs to its trace. */
  readonly traceparent?: string;
}

/** A signup as it is kept. Times are milliseconds since the epoch, by the store's clock. */
export interface SignupRecord extends NewSignup {
  readonly state: SignupState;
  /** How often it was claimed, since it was queued by a person. */
  readonly attempts: number;
  /** Raised by every claim. */
  readonly fence: number;
  /** Not to be claimed before; while `processing`, when the lease ends. */
  readonly dueMs: number;
  /** Who has it, or had it last. */
  readonly worker?: string;
  /** Why it was rejected, what the last attempt failed with, or why it is a dead letter. */
  readonly reason?: string;
  /** The signup whose image it repeats, where that is known. */
  readonly duplicateOf?: string;
  /** How near that image is, from 0 (the same) to 1; absent where the bytes are the same. */
  readonly distance?: number;
  readonly createdMs: number;
  /** When its state changed last. */
  readonly updatedMs: number;
  /** When it was decided. */
  readonly decidedMs?: number;
}

/** What a worker comes to. `accepted` holds unless the image's bytes are known already. */
export type Verdict =
  | {
    readonly state: "accepted";
    /** What later images are compared with, of a {@link Uniqueness}. @default the image is compared by its bytes only */
    readonly fingerprint?: Uint8Array;
  }
  | { readonly state: "duplicate"; readonly duplicateOf?: string; readonly distance?: number }
  | { readonly state: "rejected"; readonly reason: string };

/** A verdict of the worker that was given this fence. */
export interface Decision {
  readonly id: string;
  readonly fence: number;
  readonly verdict: Verdict;
}

/** What an accepted image is known by, besides its bytes. */
export interface Fingerprint {
  /** Ascending, without gaps that could be filled later. */
  readonly seq: number;
  readonly signupId: string;
  readonly bytes: Uint8Array;
}

/** How attempts are limited. */
export interface AttemptLimits {
  /** How long a worker may take before its signup is given to another, in milliseconds. */
  readonly leaseMs: number;
  /** Attempts until a signup becomes a dead letter. */
  readonly maxAttempts: number;
}

/** Why an attempt came to nothing. */
export interface AttemptFailure {
  readonly reason: string;
  /** How long the next one waits, in milliseconds. */
  readonly delayMs: number;
  /** Attempts until a signup becomes a dead letter. */
  readonly maxAttempts: number;
  /** False where the signup had no part in it, as when the images cannot be reached. @default true */
  readonly counts?: boolean;
}

/** True once a signup will not change any more by itself. */
export function isSettled(state: SignupState): boolean {
  return state !== "queued" && state !== "processing";
}

/** A signup that was just handed in. */
export function queued(signup: NewSignup, nowMs: number): SignupRecord {
  return {
    ...signup,
    state: "queued",
    attempts: 0,
    fence: 0,
    dueMs: nowMs,
    createdMs: nowMs,
    updatedMs: nowMs,
  };
}

/** Whether the same request came again: same image. The device and the way it came are not compared. */
export function isSameSignup(record: SignupRecord, signup: NewSignup): boolean {
  return record.sha256 === signup.sha256 && record.orbId === signup.orbId;
}

/** True when a worker may have it: it waits and its time has come, or the lease of another is over. */
export function isClaimable(record: SignupRecord, nowMs: number): boolean {
  return !isSettled(record.state) && record.dueMs <= nowMs;
}

/**
 * Gives it to a worker; a signup whose last attempt ended without a word becomes a dead letter
 * instead.
 */
export function claimed(
  record: SignupRecord,
  worker: string,
  { leaseMs, maxAttempts }: AttemptLimits,
  nowMs: number,
): SignupRecord {
  if (record.attempts >= maxAttempts) {
    return deadLetter(
      record,
      `no answer from ${record.worker ?? "a worker"} within its lease, ${maxAttempts} attempts`,
      nowMs,
    );
  }
  return {
    ...record,
    state: "processing",
    attempts: record.attempts + 1,
    fence: record.fence + 1,
    dueMs: nowMs + leaseMs,
    worker,
    updatedMs: nowMs,
  };
}

/** Whether somebody who was given this fence still has it. */
export function isHeldBy(record: SignupRecord, fence: number): boolean {
  return record.state === "processing" && record.fence === fence;
}

/** Decides it. */
export function decided(record: SignupRecord, verdict: Verdict, nowMs: number): SignupRecord {
  const { reason: _, ...rest } = record;
  const settled = { ...rest, state: verdict.state, updatedMs: nowMs, decidedMs: nowMs };
  switch (verdict.state) {
    case "accepted":
      return settled;
    case "duplicate":
      return {
        ...settled,
        ...(verdict.duplicateOf !== undefined && { duplicateOf: verdict.duplicateOf }),
        ...(verdict.distance !== undefined && { distance: verdict.distance }),
      };
    case "rejected":
      return { ...settled, reason: verdict.reason };
  }
}

/** Puts it back after an attempt that failed, for later; the last one that counts makes it a dead letter. */
export function retried(
  record: SignupRecord,
  { reason, delayMs, maxAttempts, counts = true }: AttemptFailure,
  nowMs: number,
): SignupRecord {
  if (counts && record.attempts >= maxAttempts) return deadLetter(record, reason, nowMs);
  return {
    ...record,
    state: "queued",
    attempts: counts ? record.attempts : record.attempts - 1,
    reason,
    dueMs: nowMs + delayMs,
    updatedMs: nowMs,
  };
}

/** Puts it back as if it had never been claimed: its worker stops in order. */
export function released(record: SignupRecord, nowMs: number): SignupRecord {
  return {
    ...record,
    state: "queued",
    attempts: record.attempts - 1,
    dueMs: nowMs,
    updatedMs: nowMs,
  };
}

/** An operator's second chance for a dead letter: all attempts anew. */
export function requeued(record: SignupRecord, nowMs: number): SignupRecord {
  return { ...record, state: "queued", attempts: 0, dueMs: nowMs, updatedMs: nowMs };
}

function deadLetter(record: SignupRecord, reason: string, nowMs: number): SignupRecord {
  return { ...record, state: "dead_letter", reason, dueMs: nowMs, updatedMs: nowMs };
}
