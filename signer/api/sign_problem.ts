/**
 * What goes wrong with a signature, as an HTTP answer.
 *
 * @module
 */
import { problemResponse } from "../../service/problem.ts";
import type { SignError } from "../work/sign_error.ts";

/**
 * A {@linkcode SignError} as problem details (RFC 9457); its type is a URI reference relative to
 * this API.
 *
 * @example
 * ```ts
 * signProblem(new SignError("overloaded")); // 503 with Retry-After
 * ```
 */
export function signProblem(error: SignError): Response {
  return problemResponse(
    error.status,
    { type: error.kind, title: error.title, detail: error.detail },
    error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) },
  );
}
