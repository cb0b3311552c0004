/**
 * Asking a program's own API from its page.
 *
 * @module
 */

/** An answer that is no 2xx, or none at all. `status` is 0 when nothing answered. */
export class RequestError extends Error {
  override name = "RequestError";
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, detail: string) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

/** Options of {@linkcode getJson}. */
export interface GetJsonOptions {
  /** Gives up when aborted: the view is gone. */
  signal?: AbortSignal;
  /** Longest wait for the answer. @default 10000 */
  timeoutMs?: number;
}

/**
 * The JSON at a path of the page's own origin.
 *
 * @throws {RequestError} with the problem's title and detail (RFC 9457), or what went wrong.
 * @throws {DOMException} `AbortError` when `signal` aborted.
 */
export async function getJson<Answer>(
  path: string,
  { signal, timeoutMs = 10_000 }: GetJsonOptions = {},
): Promise<Answer> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  try {
    response = await fetch(path, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { accept: "application/json" },
    });
    if (response.ok) return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (timeout.aborted) {
      throw new RequestError(0, "No answer in time", `Nothing came within ${timeoutMs / 1e3} s.`);
    }
    if (error instanceof SyntaxError) {
      throw new RequestError(0, "Unreadable answer", "The answer is not JSON.");
    }
    throw new RequestError(0, "No connection", "The program does not answer. Is it still running?");
  }
  throw await requestError(response);
}

async function requestError(response: Response): Promise<RequestError> {
  let title = `Status ${response.status}`;
  let detail = response.statusText || "The request failed.";
  try {
    const problem = await response.json();
    if (typeof problem?.title === "string") title = problem.title;
    if (typeof problem?.detail === "string") detail = problem.detail;
  } catch {
    // Not a problem document: the status has to do.
  }
  return new RequestError(response.status, title, detail);
}
