/**
 * Asking the orb server to do something, from a button: what came of it is said.
 *
 * @module
 */
import { announce } from "../../service/page/announce.ts";
import { authorization } from "../../service/page/bearer.ts";
import { requestError } from "../../service/page/get_json.ts";

/** How long an answer may take, in milliseconds. */
const timeoutMs = 10_000;

/**
 * Calls, and says what came of it.
 *
 * @returns whether it was done
 *
 * @example
 * ```ts
 * await callAndSay("POST", `/v2/signups/${id}/requeue`, { done: "Queued again" });
 * ```
 */
export async function callAndSay(
  method: "POST" | "DELETE",
  path: string,
  { body, done }: { body?: unknown; done: string },
): Promise<boolean> {
  try {
    const response = await fetch(path, {
      method,
      signal: AbortSignal.timeout(timeoutMs),
      headers: { "content-type": "application/json", ...authorization() },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw await requestError(response);
    announce(done);
    return true;
  } catch (error) {
    announce(`Not done: ${error instanceof Error ? error.message : String(error)}`, 8_000);
    return false;
  }
}
