/**
 * The contract's web stream: server-sent events, per event `id`, `event: status` and the JSON as it
 * came. Every client gets every event; one that does not read is dropped, and gets what it has
 * missed when it comes back with `Last-Event-ID`.
 *
 * @module
 */
import { EventStreamHub } from "../../service/event_stream.ts";
import type { World } from "../../service/world/world.ts";
import type { EventLog, LoggedEvent } from "../events/event_log.ts";
import { eventTest, filterOf } from "./event_filter.ts";

/** Options of {@linkcode EventSourceStream}. */
export interface EventSourceStreamOptions {
  log: EventLog;
  world: World;
  /** Ends every stream. */
  stopping: AbortSignal;
  /** Clients at once; one more is answered 503. @default 256 */
  maxClients?: number;
  /** Bytes that wait for a client that does not read; beyond it is dropped. @default 8_388_608 */
  maxQueuedBytes?: number;
}

/** Which events a client gets; all where there is no test. */
type Wants = ((event: LoggedEvent) => boolean) | undefined;

const encoder = new TextEncoder();

/** Serves `GET /` to who asks for no HTML. */
export class EventSourceStream {
  readonly #log: EventLog;
  readonly #hub: EventStreamHub<Wants>;
  readonly #unsubscribe: () => void;

  constructor(options: EventSourceStreamOptions) {
    const { log, maxClients = 256, maxQueuedBytes = 8_388_608, stopping, world } = options;
    this.#log = log;
    this.#hub = new EventStreamHub({ maxClients, maxQueuedBytes, stopping, world });
    this.#unsubscribe = log.subscribe((events) => this.#deliver(events));
  }

  /** Clients that are connected. */
  get clients(): number {
    return this.#hub.size;
  }

  /** Clients dropped since the start, by reason. */
  get dropped(): Record<"slow" | "stalled", number> {
    const { slow, stalled } = this.#hub.counters.closed;
    return { slow, stalled };
  }

  /**
   * Opens a stream; the events that are kept and that the client has not seen come first, where it
   * says what it has seen.
   *
   * @throws {ProblemError} 503 when there are too many
   */
  open(url: string, lastEventId: string | undefined): Response {
    const wants = eventTest(filterOf(new URL(url).searchParams));
    return this.#hub.open({
      state: wants,
      greet: (client) => {
        if (lastEventId === undefined) return;
        const position = this.#log.position(lastEventId);
        const missed = this.#log.since("after" in position ? position.after : 0);
        if (position.kind === "gap") {
          client.sendComment(
            encoder.encode(`: ${position.missing} events are not kept any more\n\n`),
          );
        }
        const wanted = wants ? missed.filter(wants) : missed;
        if (wanted.length > 0) client.replay([encoder.encode(streamText(wanted))]);
      },
    });
  }

  /** Ends every stream. */
  stop(): void {
    this.#unsubscribe();
    this.#hub.stop();
  }

  #deliver(events: readonly LoggedEvent[]): void {
    if (this.#hub.size === 0) return;
    let whole: Uint8Array | undefined;
    for (const client of this.#hub.clients) {
      const wanted = client.state ? events.filter(client.state) : events;
      if (wanted.length === 0) continue;
      const bytes = wanted === events
        ? whole ??= encoder.encode(streamText(events))
        : encoder.encode(streamText(wanted));
      // It would have a gap that nobody knows of: it comes back, and gets what it has missed.
      if (!client.sendBytes(bytes, wanted.length)) client.close("slow");
    }
  }
}

function streamText(events: readonly LoggedEvent[]): string {
  let text = "";
  for (const { id, json } of events) text += `id: ${id}\nevent: status\ndata: ${json}\n\n`;
  return text;
}
