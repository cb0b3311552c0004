/**
 * The way of one trace: which sprite did what, when and after whom. It is drawn, played slowly enough
 * to be seen, and listed in words, which say the same.
 *
 * @module
 */
import { formatDuration } from "../../service/page/format.ts";
import { labelOf, type SeenEvent } from "./stage_model.ts";

/** One event of a trace, where it begins. */
export interface TraceStep {
  readonly event: SeenEvent;
  /** Since the trace's first event, by the clocks of those that sent them, in milliseconds. */
  readonly atMs: number;
  /** Whom it came from: its parent's sprite, or else that of the event before; `undefined` at the beginning. */
  readonly from: number | undefined;
  readonly to: number;
}

/** A trace with its events in order. */
export interface TracePath {
  readonly traceId: string;
  readonly steps: readonly TraceStep[];
  /** From the first event to the last, in milliseconds. */
  readonly durationMs: number;
  /** What each sprite of it is called. */
  readonly names: ReadonlyMap<number, string>;
}

/** The traces that more than one sprite takes part in, oldest first. */
export function sharedTraces(events: readonly SeenEvent[]): string[] {
  const first = new Map<string, number>();
  const shared = new Set<string>();
  for (const { traceId, client } of events) {
    const before = first.get(traceId);
    if (before === undefined) first.set(traceId, client);
    else if (before !== client) shared.add(traceId);
  }
  return [...first.keys()].filter((traceId) => shared.has(traceId));
}

/** The path of a trace; `undefined` if none of its events is there. */
export function tracePath(
  events: readonly SeenEvent[],
  traceId: string,
): TracePath | undefined {
  const own = events.filter((event) => event.traceId === traceId)
    .map((event) => ({ event, nano: beginNano(event) }))
    // Equal times stay in the order in which they came.
    .sort((a, b) => a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0);
  if (own.length === 0) return undefined;
  const begin = own[0]!.nano;
  const clients = new Map(
    own.flatMap(({ event: { spanId, client } }) => spanId ? [[spanId, client] as const] : []),
  );
  const steps = own.map(({ event, nano }, index): TraceStep => {
    const parent = event.parentSpanId ? clients.get(event.parentSpanId) : undefined;
    const from = event.spanId === undefined ? own[index - 1]?.event.client : parent;
    return { event, atMs: Number(nano - begin) / 1e6, from, to: event.client };
  });
  return {
    traceId,
    steps,
    durationMs: steps.at(-1)!.atMs,
    names: new Map(steps.map(({ event }) => [event.client, nameOf(own, event)])),
  };
}

/** An event's own time is its end; who has a duration began before. */
function beginNano({ timeUnixNano, durationNano, atMs }: SeenEvent): bigint {
  const end = /^\d{1,25}$/.test(timeUnixNano)
    ? BigInt(timeUnixNano)
    : BigInt(Math.floor(atMs)) * 1_000_000n;
  return durationNano !== undefined && /^\d{1,20}$/.test(durationNano)
    ? end - BigInt(durationNano)
    : end;
}

/** Its process may be said by another of its events. */
function nameOf(own: readonly { event: SeenEvent }[], { client, name }: SeenEvent): string {
  const pid = own.find(({ event }) => event.client === client && event.pid !== undefined)?.event
    .pid;
  return labelOf({ name, pid, number: client });
}

/** How long a trace is to be seen at least, in milliseconds: three are gone before anybody looks. */
const leastShownMs = 2_000;

/** How many times slower than it was a trace is played: a power of ten. */
export function slowness(durationMs: number): number {
  if (!(durationMs > 0) || durationMs >= leastShownMs) return 1;
  return 10 ** Math.ceil(Math.log10(leastShownMs / durationMs));
}

/** Which step has begun last at a time: its index. */
export function stepAt({ steps }: TracePath, atMs: number): number {
  let at = 0;
  while (at + 1 < steps.length && steps[at + 1]!.atMs <= atMs) at++;
  return at;
}

/** A step as a sentence: "1.2 ms, orb-17 to orb-server, POST". */
export function stepWords({ names }: TracePath, { atMs, from, to, event }: TraceStep): string {
  const name = names.get(to)!;
  const who = from === undefined || from === to
    ? name
    : `${names.get(from) ?? `#${from}`} to ${name}`;
  return `${formatDuration(atMs)}, ${who}, ${event.text}`;
}
