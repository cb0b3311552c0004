/**
 * Reading server-sent events with `fetch`: with a header, and several streams of one connection.
 *
 * @module
 */
import { authorizationOf } from "./bearer.ts";

/** The longest event that is put together, in characters. */
const maxEventLength = 16 * 1024 ** 2;

/** An event as it came. */
export interface StreamEvent {
  readonly name: string;
  readonly data: string;
  readonly lastEventId: string;
  /** Which of the streams of one connection it is of (`../event_stream_mux.ts`). @default none */
  readonly channel?: number;
}

/** A stream that was refused. */
export class StreamRefused extends Error {
  override name = "StreamRefused";
  constructor(readonly status: number) {
    super(`status ${status}`);
  }
}

/**
 * Reads the events of an answer (WHATWG HTML, section 9.2.6), with the token in its header: a
 * browser's own `EventSource` sends none.
 *
 * @throws always: a stream that ends is an error, one that is refused a {@linkcode StreamRefused}
 *
 * @example
 * ```ts
 * await readEvents("/v2/fleet/events", { token, signal }, ({ name, data }) => {});
 * ```
 */
export async function readEvents(
  url: string,
  { token, signal }: { token: string; signal: AbortSignal },
  emit: (event: StreamEvent) => void,
): Promise<never> {
  const headers = { accept: "text/event-stream", ...authorizationOf(token) };
  const response = await fetch(url, { signal, headers });
  if (!response.ok || response.body === null) {
    // Left unread it would keep its connection, of which a browser has six.
    await response.body?.cancel();
    throw new StreamRefused(response.status);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    // Joined only at an event's end: a long one comes in hundreds of pieces.
    let pieces: string[] = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream has ended");
      const hasEnd = `${pieces.at(-1)?.at(-1) ?? ""}${value}`.includes("\n\n");
      pieces.push(value);
      length += value.length;
      if (hasEnd) {
        const blocks = pieces.join("").split("\n\n");
        const rest = blocks.pop()!;
        pieces = rest === "" ? [] : [rest];
        length = rest.length;
        for (const block of blocks) {
          const event = parsedEvent(block);
          if (event !== undefined) emit(event);
        }
      }
      if (length > maxEventLength) throw new Error("an event is too long");
    }
  } finally {
    // Rejects where the stream has failed, which is what is thrown already.
    await reader.cancel().catch(() => {});
  }
}

/** One event, as our servers write them: a field a line. A comment is none. */
function parsedEvent(block: string): StreamEvent | undefined {
  const fields = { event: "message", data: "", id: "", channel: "" };
  let hasData = false;
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (name !== "event" && name !== "data" && name !== "id" && name !== "channel") continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    fields[name] = name === "data" && hasData ? `${fields.data}\n${value}` : value;
    hasData ||= name === "data";
  }
  if (!hasData) return undefined;
  const { event: name, data, id: lastEventId, channel } = fields;
  return { name, data, lastEventId, ...(channel !== "" && { channel: Number(channel) }) };
}
