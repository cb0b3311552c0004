/**
 * The errors that users see: six stable kinds, in the same words on every route. What went wrong
 * inside (a broker's message, a stack) is in the log and the trace, never here.
 *
 * @module
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { BusError } from "../../service/bus/bus.ts";
import type { SignErrorKind } from "./wire.ts";

interface ErrorFacts {
  status: ContentfulStatusCode;
  title: string;
  detail: string;
  retryAfterSeconds?: number;
}

/** What each kind means; `text` clients get the title in lower case. */
const kinds: Record<SignErrorKind, ErrorFacts> = {
  "invalid": { status: 400, title: "Invalid request", detail: "The request cannot be understood." },
  "timeout": {
    status: 504,
    title: "Timeout",
    detail: "The message was handed over, but no signature came in time. Send it again.",
  },
  "unavailable": {
    status: 503,
    title: "Unavailable",
    detail: "The signing service cannot be reached at the moment. Try again soon.",
    retryAfterSeconds: 2,
  },
  "too-large": {
    status: 413,
    title: "Too large",
    detail: "The message, or its answer, is larger than allowed. Send a shorter message.",
  },
  "overloaded": {
    status: 503,
    title: "Overloaded",
    detail: "Too many messages wait for their signatures already. Try again soon.",
    retryAfterSeconds: 1,
  },
  "internal": {
    status: 500,
    title: "Internal error",
    detail: "The message could not be signed because of a fault on our side.",
  },
};

/**
 * An error as users see it.
 *
 * @example
 * ```ts
 * const error = new SignError("overloaded");
 * error.status; // 503
 * JSON.stringify(error); // {"type":"overloaded","title":"Overloaded","detail":"Too many …"}
 * ```
 */
export class SignError extends Error {
  override name = "SignError";
  /** Stable; `type` on the wire. */
  readonly kind: SignErrorKind;
  readonly status: ContentfulStatusCode;
  readonly title: string;
  readonly detail: string;
  /** When it makes sense to try again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(kind: SignErrorKind, detail = kinds[kind].detail, cause?: unknown) {
    super(detail, { cause });
    this.kind = kind;
    this.status = kinds[kind].status;
    this.title = kinds[kind].title;
    this.detail = detail;
    this.retryAfterSeconds = kinds[kind].retryAfterSeconds;
  }

  /** The members that go into a JSON answer. */
  toJSON(): { type: SignErrorKind; title: string; detail: string } {
    return { type: this.kind, title: this.title, detail: this.detail };
  }
}

/** What any error looks like to users: of one that is not known to be harmless, only that it happened. */
export function toSignError(error: unknown): SignError {
  if (error instanceof SignError) return error;
  if (!(error instanceof BusError)) return new SignError("internal", undefined, error);
  const kind = error.kind === "unknown-topic" ? "unavailable" : error.kind;
  return new SignError(kind, undefined, error);
}
