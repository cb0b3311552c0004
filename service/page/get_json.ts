/**
 * Asking a program's own API from its page.
 *
 * @module
 */
import { withBase } from "./base_path.ts";
import { authorization } from "./bearer.ts";
import { sharedData } from "./shared_data.ts";

/**
 * What went wrong: an answer that is no 2xx (`status`), none in time (`timeout`), one that is not
 * JSON (`unreadable`), or no connection (`unreachable`).
 */
export type RequestErrorKind = "status" | "timeout" | "unreadable" | "unreachable";

/** A request without a usable answer. `title` and `message` are for a person. */
export class RequestError extends Error {
  override name = "RequestError";
  readonly kind: RequestErrorKind;
  readonly title: string;
  /** The answer's HTTP status; 0 for every other kind. */
  readonly status: number;

  constructor(kind: RequestErrorKind, title: string, detail: string, status = 0) {
    super(detail);
    this.kind = kind;
    this.title = title;
    this.status = status;
  }
}

/** Options of {@linkcode getJson}. */
export interface GetJsonOptions {
  /** Gives up when aborted: the view is gone. @default nothing ends it */
  signal?: AbortSignal;
  /** The longest wait for the answer, in milliseconds, above 0. @default 10_000 */
  timeoutMs?: number;
}

/**
 * The JSON at a path of the page's own origin.
 *
 * @throws {RequestError} with the problem's title and detail (RFC 9457), or what went wrong.
 * @throws {DOMException} `AbortError` when `signal` aborted.
 *
 * @example
 * ```ts
 * const { traces } = await getJson<SummariesAnswer>("/api/summaries?limit=20");
 * ```
 */
export function getJson<Answer>(path: string, options: GetJsonOptions = {}): Promise<Answer> {
  return askJson(path, {}, options);
}

/**
 * The JSON that a path answers to a body.
 *
 * @throws as {@linkcode getJson}.
 *
 * @example
 * ```ts
 * const { requests } = await postJson<ImportAnswer>("/api/import", file, { timeoutMs: 60_000 });
 * ```
 */
export function postJson<Answer>(
  path: string,
  body: BodyInit | undefined,
  options: GetJsonOptions = {},
): Promise<Answer> {
  return askJson(path, { method: "POST", ...(body !== undefined && { body }) }, options);
}

async function askJson<Answer>(
  path: string,
  init: RequestInit,
  { signal, timeoutMs = 10_000 }: GetJsonOptions,
): Promise<Answer> {
  const shared = sharedData();
  if (shared !== undefined) {
    const answer = shared.answers[path];
    if (answer !== undefined) return answer as Answer;
    throw new RequestError("unreachable", "Not in this file", "The file holds one trace alone.");
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  try {
    response = await fetch(withBase(path), {
      ...init,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { accept: "application/json", ...authorization() },
    });
    if (response.ok) return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (timeout.aborted) {
      throw new RequestError(
        "timeout",
        "No answer in time",
        `Nothing came in ${timeoutMs / 1e3} s.`,
      );
    }
    if (error instanceof SyntaxError) {
      throw new RequestError("unreadable", "Unreadable answer", "The answer is not JSON.");
    }
    throw new RequestError(
      "unreachable",
      "No connection",
      "The program does not answer. Is it still running?",
    );
  }
  throw await requestError(response);
}

/** What an answer that is no 2xx says, as an error for a person. */
export async function requestError(response: Response): Promise<RequestError> {
  let title = `Status ${response.status}`;
  let detail = response.statusText || "The request failed.";
  try {
    const problem = await response.json();
    if (typeof problem?.title === "string") title = problem.title;
    if (typeof problem?.detail === "string") detail = problem.detail;
  } catch {
    // Not a problem document: the status has to do.
  }
  return new RequestError("status", title, detail, response.status);
}
