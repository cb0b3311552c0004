/**
 * What an answer to a signup means, whichever version of the API it came by. Only what the contract
 * calls a success is one.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";

/** A signup that is to be handed in. */
export interface OutgoingSignup {
  /** Its ULID: in v2 the idempotency key. */
  readonly id: string;
  /** The device, by the number it has in its fleet, from 1. */
  readonly orb: number;
  /** Reads the image, the same each time: it is not held while a signup waits. */
  readonly readImage: () => Promise<Uint8Array>;
}

/**
 * What became of one call.
 *
 * - `accepted`, `duplicate`, `rejected`: the server has decided.
 * - `refused`: it will never take this signup as it is.
 * - `later`: it cannot now; `afterMs` is what it asked to wait.
 * - `no_image`: the image cannot be read, so no call was made.
 * - `unusable`: the answer is not that of an orb server that lets us in (a redirect, a login page,
 *   no access). Nothing was decided.
 */
export type CallResult =
  | { readonly kind: "accepted"; readonly token?: string }
  | { readonly kind: "duplicate" }
  | { readonly kind: "rejected"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string; readonly status: number }
  | { readonly kind: "no_image"; readonly reason: string }
  | LaterResult
  | { readonly kind: "unusable"; readonly reason: string; readonly status: number };

/** The server cannot now. */
export interface LaterResult {
  readonly kind: "later";
  readonly reason: string;
  /** Absent when there was no answer. */
  readonly status?: number;
  /** What `Retry-After` asks for, in milliseconds. */
  readonly afterMs?: number;
  /** The server has the signup, durably; only its decision is missing. */
  readonly handedIn?: true;
  /** No call was made: the client held it back by itself. */
  readonly notCalled?: true;
}

/** What a call was answered that is neither a token nor a status resource. */
export interface FailedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** The image could not be read, so no call was made. */
export class ImageError extends Error {
  override name = "ImageError";
}

/**
 * Reads the image.
 *
 * @throws {ImageError}
 */
export async function imageOf(signup: Pick<OutgoingSignup, "readImage">): Promise<Uint8Array> {
  try {
    return await signup.readImage();
  } catch (error) {
    throw new ImageError(reasonOf(error));
  }
}

/** What it means that there was no answer, or no call. */
export function callFailed(error: unknown): CallResult {
  return { kind: error instanceof ImageError ? "no_image" : "later", reason: reasonOf(error) };
}

/** Statuses that say: this signup, as it is, never. */
const never = new Set([400, 413, 415, 422]);
/** Statuses that say: not now. */
const notNow = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What an answer means that is no success. */
export function failureOf(
  answer: FailedAnswer,
  world: Pick<World, "nowMs">,
): Exclude<CallResult, { kind: "accepted" | "duplicate" }> {
  const { status } = answer;
  const afterMs = retryAfterMs(answer.headers.get("retry-after"), world);
  const detail = detailOf(answer);
  if (notNow.has(status)) {
    return {
      kind: "later",
      status,
      reason: detail ?? `status ${status}`,
      ...(afterMs !== undefined && { afterMs }),
    };
  }
  if (never.has(status)) return { kind: "refused", status, reason: detail ?? `status ${status}` };
  const isRedirect = status >= 300 && status < 400;
  return {
    kind: "unusable",
    status,
    reason: isRedirect
      ? `redirected to ${answer.headers.get("location") ?? "nowhere"}, which is not followed`
      : detail ?? `status ${status}`,
  };
}

/** What a problem document (RFC 9457) says of itself. */
export function detailOf({ headers, text }: FailedAnswer): string | undefined {
  if (!headers.get("content-type")?.startsWith("application/problem+json")) return undefined;
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" ? detail.slice(0, 300) : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 9110, section 10.2.3: seconds, or a date. */
function retryAfterMs(header: string | null, world: Pick<World, "nowMs">): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - world.nowMs());
}
