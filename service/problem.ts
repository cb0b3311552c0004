/**
 * Problem details for HTTP APIs (RFC 9457): what went wrong, where, and what to do about it.
 *
 * @module
 */
import type { Context, ErrorHandler, NotFoundHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Log } from "./log.ts";

/** The members of a problem (RFC 9457, section 3.1), without the status. */
export interface Problem {
  /** A URI reference that names the kind of problem. @default "about:blank" */
  type?: string;
  /** The kind of problem in a few words, the same each time. */
  title: string;
  /** What happened this time and what the caller can do. */
  detail?: string;
  /** Extension members (RFC 9457, section 3.2). */
  [extension: string]: unknown;
}

/**
 * An error that knows how it looks as a problem. Throw it in any handler.
 *
 * @example
 * ```ts
 * throw new ProblemError(409, { title: "Nothing to observe", detail: "Name a store first." });
 * ```
 */
export class ProblemError extends HTTPException {
  override name = "ProblemError";
  /** The problem to send. */
  readonly problem: Problem;

  constructor(status: ContentfulStatusCode, problem: Problem, headers: HeadersInit = {}) {
    super(status, {
      message: problem.detail ?? problem.title,
      res: problemResponse(status, problem, headers),
    });
    this.problem = problem;
  }
}

/**
 * Makes an `application/problem+json` response.
 *
 * @example
 * ```ts
 * return problemResponse(503, { title: "Overloaded" }, { "retry-after": "1" });
 * ```
 */
export function problemResponse(
  status: number,
  problem: Problem,
  headers: HeadersInit = {},
): Response {
  const all = new Headers(headers);
  all.set("content-type", "application/problem+json");
  const { type = "about:blank", title, detail, ...extensions } = problem;
  const body = { type, title, status, ...(detail !== undefined && { detail }), ...extensions };
  return new Response(JSON.stringify(body), { status, headers: all });
}

/**
 * For `app.onError()`: problems as they are, what Hono itself refuses (such as a body that is not
 * JSON) as one; anything else is logged and hidden behind a 500.
 */
export function problemOnError(log: Log): ErrorHandler {
  return function onError(error: Error): Response {
    if (error instanceof HTTPException) {
      if (error.res !== undefined) return error.getResponse();
      const title = error.status === 400 ? "Bad request" : "Request refused";
      return problemResponse(error.status, { title, detail: error.message });
    }
    log.error("Unexpected error in a request handler", {
      "exception.type": error.name,
      "exception.message": error.message,
      "exception.stacktrace": error.stack,
    });
    return problemResponse(500, {
      title: "Internal error",
      detail: "The request failed on our side; the log has the cause.",
    });
  };
}

/** For `app.notFound()`: a 404 that names the path. */
export const problemNotFound: NotFoundHandler = (c: Context) =>
  problemResponse(404, {
    title: "Not found",
    detail: `There is nothing at ${c.req.method} ${c.req.path}.`,
  });
