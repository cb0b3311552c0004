/**
 * The errors that users see: six stable types, in the same words on every route. What went wrong
 * inside (a broker's message, a stack) is in the log and the trace, never here.
 *
 * @module
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { BusError } from "../../service/bus/bus.ts";
import type { ErrorType } from "./wire.ts";

interface ErrorKind {
  status: ContentfulStatusCode;
  title: string;
  detail: string;
  retryAfterSeconds?: number;
}

/** What each type means; `text` clients get the title in lower case. */
const kinds: Record<ErrorType, ErrorKind> = {
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

/** An error as users see it. */
export class SignError extends Error {
  override name = "SignError";
  readonly type: ErrorType;
  readonly status: ContentfulStatusCode;
  readonly title: string;
  readonly detail: string;
  /** When it makes sense to try again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(type: ErrorType, detail = kinds[type].detail, cause?: unknown) {
    super(detail, { cause });
    this.type = type;
    this.status = kinds[type].status;
    this.title = kinds[type].title;
    this.detail = detail;
    this.retryAfterSeconds = kinds[type].retryAfterSeconds;
  }

  /** The members that go into a JSON answer. */
  toJSON(): { type: ErrorType; title: string; detail: string } {
    return { type: this.type, title: this.title, detail: this.detail };
  }
}

/** What any error looks like to users: of one that is not known to be harmless, only that it happened. */
export function toSignError(error: unknown): SignError {
  if (error instanceof SignError) return error;
  if (!(error instanceof BusError)) return new SignError("internal", undefined, error);
  const type = error.kind === "unknown-topic" ? "unavailable" : error.kind;
  return new SignError(type, undefined, error);
}
