/**
 * The bearer token of a page's person, for a server that lets nobody in without one (RFC 6750). It
 * lives as long as the tab, goes into the header of every request that the page makes, and never
 * into an address.
 *
 * @module
 */
import type { EventSourceLike } from "./live_stream.ts";

const key = "orrery-token";

/** The token; empty if there is none. */
export function bearerToken(): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    // A browser that forbids storage, or none: there is no token.
    return "";
  }
}

/** Keeps a token; an empty one is forgotten. */
export function setBearerToken(token: string): void {
  if (token === "") sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, token);
}

/**
 * The header of the token, if there is one.
 *
 * @example
 * ```ts
 * await fetch("/v2/queue", { headers: { ...authorization() } });
 * ```
 */
export function authorization(): { authorization?: string } {
  const token = bearerToken();
  return token === "" ? {} : { authorization: `Bearer ${token}` };
}

/** The longest event that is put together, in characters. */
const maxEventLength = 16 * 1024 ** 2;

/**
 * What of EventSource a `LiveStream` uses, with the token in the header: a browser's own sends none.
 * It does not connect again by itself.
 *
 * @example
 * ```ts
 * const source = openAuthorizedSource("/v2/fleet/events");
 * source.addEventListener("fleet", ({ data }) => {});
 * ```
 */
export function openAuthorizedSource(url: string): EventSourceLike {
  const ended = new AbortController();
  const listeners = new Map<string, (event: { data?: unknown; lastEventId?: string }) => void>();
  readEvents(url, ended.signal, (name, event) => listeners.get(name)?.(event)).catch(() => {
    if (!ended.signal.aborted) listeners.get("error")?.({});
  });
  return {
    addEventListener: (name, listen) => void listeners.set(name, listen),
    close: () => ended.abort(),
  };
}

/** WHATWG HTML, section 9.2.6; resolves never: a stream that ends is an error. */
async function readEvents(
  url: string,
  signal: AbortSignal,
  emit: (name: string, event: { data: string; lastEventId: string }) => void,
): Promise<never> {
  const headers = { accept: "text/event-stream", ...authorization() };
  const response = await fetch(url, { signal, headers });
  if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream has ended");
    text += value;
    if (text.length > maxEventLength) throw new Error("an event is too long");
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const event = parsedEvent(block);
      if (event !== undefined) emit(event.name, event);
    }
  }
}

/** One event, as our servers write them: a field a line. A comment is none. */
function parsedEvent(
  block: string,
): { name: string; data: string; lastEventId: string } | undefined {
  const fields = { event: "message", data: "", id: "" };
  let hasData = false;
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (name !== "event" && name !== "data" && name !== "id") continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    fields[name] = name === "data" && hasData ? `${fields.data}\n${value}` : value;
    hasData ||= name === "data";
  }
  return hasData ? { name: fields.event, data: fields.data, lastEventId: fields.id } : undefined;
}
