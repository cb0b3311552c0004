/**
 * What the stage shows: sprites, what they say, and what flies between them. It takes events and the
 * time, and knows nothing of a browser.
 *
 * @module
 */
import type { Client, StreamedEvent } from "../api.ts";

/** An event as the page uses it. */
export interface SeenEvent {
  readonly id: string;
  readonly client: number;
  readonly atMs: number;
  readonly traceId: string;
  readonly name: string;
  /** What happened, such as `processingPerformed`. */
  readonly event: string;
  /** The process, where the event says so. */
  readonly pid: number | undefined;
  /** All digits. */
  readonly timeUnixNano: string;
  /** What a person reads beside the sprite: the arguments, or else what happened. */
  readonly text: string;
  /** It says that something went wrong. */
  readonly fault: boolean;
  /** The span it is about, where it is about one, and that span's parent. */
  readonly spanId?: string | undefined;
  readonly parentSpanId?: string | undefined;
  /** How long it took until its time, where it says so, in nanoseconds: all digits. */
  readonly durationNano?: string | undefined;
}

/** A word beside a sprite. */
export interface Bubble {
  readonly text: string;
  readonly fault: boolean;
  readonly fromMs: number;
}

/** A process on the stage. */
export interface Sprite {
  readonly number: number;
  readonly name: string;
  pid: number | undefined;
  readonly traceId: string;
  state: "running" | "stopped" | "lost";
  readonly sinceMs: number;
  /** When it stopped or was lost, by the stage's clock. */
  leftMs: number | undefined;
  /** When it said something last, by the stage's clock. */
  activeMs: number;
  events: number;
  bubbles: Bubble[];
}

/** A message from one sprite to another. */
export interface Flight {
  readonly from: number;
  readonly to: number;
  readonly traceId: string;
  readonly fault: boolean;
  readonly fromMs: number;
}

/** Limits, each with a reason to be what it is. */
export const stageLimits = {
  /** How long a word stays beside its sprite, in milliseconds. */
  bubbleMs: 2_600,
  /** Words beside one sprite. */
  bubbles: 3,
  /** How long a flight takes: slow enough to be seen, in milliseconds. */
  flightMs: 900,
  /** Flights at once; more would be a cloud. */
  flights: 400,
  /** How long a sprite that has gone takes to leave, in milliseconds. */
  leavingMs: 2_000,
  /** Events that are remembered, for the list, search and detail. */
  events: 5_000,
  /** Traces that are remembered, to know who talks to whom. */
  traces: 10_000,
  /** A trace's next event within this time is an answer to the last, in milliseconds. */
  traceMs: 30_000,
} as const;

/** Lines of the timeline. */
export interface Mark {
  readonly lane: "faults" | "lost connections";
  readonly atMs: number;
  readonly label: string;
  readonly client: number;
}

const maxMarks = 1_000;
const maxTextLength = 80;

/** Gets to know who comes and who goes. */
export interface StageListener {
  added(sprite: Sprite): void;
  removed(sprite: Sprite): void;
}

/** Holds the stage. */
export class StageModel {
  readonly #listener: StageListener;
  readonly sprites = new Map<number, Sprite>();
  /** Newest last. */
  readonly events: SeenEvent[] = [];
  readonly marks: Mark[] = [];
  flights: Flight[] = [];
  /** Events taken since the page was opened. */
  taken = 0;
  /** Flights that were not drawn, as there were too many. */
  flightsLeftOut = 0;
  /** Events of each second, newest last: for the timeline. */
  readonly perSecond: { second: number; count: number }[] = [];
  readonly #traces = new Map<string, { client: number; atMs: number }>();
  /** Whose span it was, by its id; and who waits for the span of an id, as children end first. */
  readonly #spans = new Map<string, number>();
  readonly #children = new Map<string, SeenEvent[]>();

  constructor(listener: StageListener = { added() {}, removed() {} }) {
    this.#listener = listener;
  }

  /** Begins anew with the clients that run. */
  reset(clients: readonly Client[], nowMs: number): void {
    for (const sprite of this.sprites.values()) this.#remove(sprite);
    this.#traces.clear();
    this.#spans.clear();
    this.#children.clear();
    this.flights = [];
    for (const client of clients) this.#addSprite(client.number, client, nowMs);
  }

  /** Adds clients that are not known yet, and lets those go that are not there any more. */
  reconcile(clients: readonly Client[], nowMs: number): void {
    const running = new Set(clients.map(({ number }) => number));
    for (const sprite of this.sprites.values()) {
      if (!running.has(sprite.number)) this.#leave(sprite, "lost", nowMs);
    }
    for (const client of clients) {
      if (!this.sprites.has(client.number)) this.#addSprite(client.number, client, nowMs);
    }
  }

  /** Takes an event; `nowMs` is the stage's clock. */
  take(event: SeenEvent, nowMs: number): void {
    this.taken++;
    this.events.push(event);
    // Cutting now and then costs less than cutting each time.
    if (this.events.length > stageLimits.events * 1.2) {
      this.events.splice(0, this.events.length - stageLimits.events);
    }
    this.#countSecond(event.atMs);
    if (event.client === serverNumber) return this.#takeServers(event, nowMs);
    const sprite = this.sprites.get(event.client) ??
      this.#addSprite(event.client, event, nowMs);
    sprite.events++;
    sprite.pid ??= event.pid;
    sprite.activeMs = nowMs;
    if (event.event === "processStopped") this.#leave(sprite, "stopped", nowMs);
    else if (event.event !== "processStarted") this.#say(sprite, event, nowMs);
    if (event.fault) this.#mark("faults", event, `${sprite.name}: ${event.text}`);
    if (event.spanId === undefined) this.#fly(event, nowMs);
    else this.#flySpan(event, event.spanId, nowMs);
  }

  /** Forgets what has faded, has landed or has left. */
  tidy(nowMs: number): void {
    this.flights = this.flights.filter(({ fromMs }) => nowMs - fromMs < stageLimits.flightMs);
    for (const sprite of this.sprites.values()) {
      if (sprite.leftMs !== undefined && nowMs - sprite.leftMs > stageLimits.leavingMs) {
        this.#remove(sprite);
      }
    }
  }

  /** The words of a sprite that have not faded. */
  bubblesOf(sprite: Sprite, nowMs: number): readonly Bubble[] {
    if (sprite.bubbles.length > 0 && nowMs - sprite.bubbles[0]!.fromMs > stageLimits.bubbleMs) {
      sprite.bubbles = sprite.bubbles.filter(({ fromMs }) =>
        nowMs - fromMs <= stageLimits.bubbleMs
      );
    }
    return sprite.bubbles;
  }

  #addSprite(
    number: number,
    { name, traceId, pid, sinceMs, atMs }: {
      name: string;
      traceId: string;
      pid?: number | undefined;
      sinceMs?: number;
      atMs?: number;
    },
    nowMs: number,
  ): Sprite {
    const sprite: Sprite = {
      number,
      name,
      pid,
      traceId,
      state: "running",
      sinceMs: sinceMs ?? atMs ?? 0,
      leftMs: undefined,
      activeMs: nowMs,
      events: 0,
      bubbles: [],
    };
    this.sprites.set(number, sprite);
    this.#listener.added(sprite);
    return sprite;
  }

  #remove(sprite: Sprite): void {
    this.sprites.delete(sprite.number);
    this.#listener.removed(sprite);
  }

  #takeServers(event: SeenEvent, nowMs: number): void {
    if (event.event !== "clientLost") return;
    const sprite = this.sprites.get(Number(event.text));
    if (sprite) {
      this.#leave(sprite, "lost", nowMs);
      this.#mark("lost connections", event, labelOf(sprite), sprite.number);
    }
  }

  #leave(sprite: Sprite, state: "stopped" | "lost", nowMs: number): void {
    if (sprite.leftMs !== undefined) return;
    sprite.state = state;
    sprite.leftMs = nowMs;
    sprite.bubbles = [];
  }

  #say(sprite: Sprite, { text, fault }: SeenEvent, nowMs: number): void {
    const bubbles = this.bubblesOf(sprite, nowMs);
    sprite.bubbles = [...bubbles.slice(1 - stageLimits.bubbles), { text, fault, fromMs: nowMs }];
  }

  /** Two events of one trace by different sprites are a message from the first to the second. */
  #fly({ traceId, client, fault, atMs }: SeenEvent, nowMs: number): void {
    const last = this.#traces.get(traceId);
    remember(this.#traces, traceId, { client, atMs });
    if (last === undefined || last.client === client) return;
    if (atMs - last.atMs > stageLimits.traceMs) return;
    this.#launch({ from: last.client, to: client, traceId, fault, fromMs: nowMs });
  }

  /** A span whose parent is another sprite's is a message from that one, whichever came first. */
  #flySpan(event: SeenEvent, spanId: string, nowMs: number): void {
    remember(this.#spans, spanId, event.client);
    const children = this.#children.get(spanId) ?? [];
    this.#children.delete(spanId);
    for (const { client, fault, traceId } of children) {
      this.#launch({ from: event.client, to: client, traceId, fault, fromMs: nowMs });
    }
    const { parentSpanId, client, traceId, fault } = event;
    if (!parentSpanId) return;
    const parent = this.#spans.get(parentSpanId);
    if (parent !== undefined) {
      this.#launch({ from: parent, to: client, traceId, fault, fromMs: nowMs });
    } else {
      remember(this.#children, parentSpanId, [...this.#children.get(parentSpanId) ?? [], event]);
    }
  }

  #launch(flight: Flight): void {
    if (flight.from === flight.to) return;
    if (this.flights.length >= stageLimits.flights) this.flightsLeftOut++;
    else this.flights.push(flight);
  }

  #mark(lane: Mark["lane"], { atMs, client }: SeenEvent, label: string, of = client): void {
    this.marks.push({ lane, atMs, label, client: of });
    if (this.marks.length > maxMarks * 1.2) this.marks.splice(0, this.marks.length - maxMarks);
  }

  #countSecond(atMs: number): void {
    const second = Math.floor(atMs / 1_000);
    const last = this.perSecond.at(-1);
    if (last?.second === second) last.count++;
    else {
      this.perSecond.push({ second, count: 1 });
      if (this.perSecond.length > 600) this.perSecond.splice(0, 300);
    }
  }
}

/** Sets a value; beyond the limit the one that was quiet for longest goes. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  // A map keeps the order in which keys were set.
  map.delete(key);
  map.set(key, value);
  if (map.size > stageLimits.traces) map.delete(map.keys().next().value!);
}

/** A sprite's name and process, as it stands beside it. */
export function labelOf({ name, pid, number }: Pick<Sprite, "name" | "pid" | "number">): string {
  // The contract's clients all have one name; what tells them apart comes last.
  const short = name.split("::").at(-1)!;
  return `${short} ${pid === undefined ? `#${number}` : pid}`;
}

/** Times in nanoseconds are beyond what a number holds: their digits become a text before parsing. */
export function parseDigits(json: string): unknown {
  return JSON.parse(json.replaceAll(/("\w+":\s?)(\d{16,})(?=[,}\]\s])/g, '$1"$2"'));
}

interface Attribute {
  key?: unknown;
  value?: Record<string, unknown>;
}

/** The number that the server's own events have in place of a client's. */
const serverNumber = 0;

/**
 * An event of the wire as the page uses it; `undefined` for what is none, and for the server's health:
 * it comes each second and is nothing that a person sees, waits for or steps over.
 */
export function seenEvent({ id, client, atMs, data }: StreamedEvent): SeenEvent | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { traceId, name, event, timeUnixNano, attributes } = data as Record<string, unknown>;
  if (typeof traceId !== "string" || typeof name !== "string" || typeof event !== "string") {
    return undefined;
  }
  if (client === serverNumber && event === "serverHealthcheck") return undefined;
  const values = new Map<string, string>();
  for (const attribute of Array.isArray(attributes) ? attributes as (Attribute | null)[] : []) {
    const { key, value } = attribute ?? {};
    if (typeof key === "string" && typeof value === "object" && value !== null) {
      values.set(
        key,
        String(value.stringValue ?? value.value ?? value.intValue ?? value.boolValue ?? ""),
      );
    }
  }
  const status = Number(values.get("http.response.status_code") ?? 0);
  const fault = /(failed|error|fault)/i.test(event) || values.has("error.type") ||
    values.has("fault") || status >= 500;
  return {
    id,
    client,
    atMs,
    traceId,
    name,
    event,
    pid: values.has("pid") ? Number(values.get("pid")) : undefined,
    timeUnixNano: String(timeUnixNano ?? ""),
    text: textOf(event, values),
    fault,
    spanId: values.get("spanId"),
    parentSpanId: values.get("parentSpanId"),
    durationNano: values.get("duration"),
  };
}

function textOf(event: string, values: ReadonlyMap<string, string>): string {
  if (event === "clientLost") return values.get("client") ?? "";
  const said = values.get("args") ?? values.get("reason") ?? values.get("url.full");
  const text = (event === "processingPerformed" || event === "spanEnded") && said !== undefined
    ? said
    : said === undefined
    ? event
    : `${event} ${said}`;
  return text.length > maxTextLength ? `${text.slice(0, maxTextLength - 1)}…` : text;
}
