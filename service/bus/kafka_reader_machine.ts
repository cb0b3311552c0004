/**
 * The states of a Kafka reader, as data: what happens to it goes in, what is to be done comes out.
 * `kafka_reader.ts` carries it out.
 *
 * ```
 * joining ──joined──► reading ──broke──► backing-off ──waited──► joining
 *    └──────broke────────────────────────────▲  └─ start or outage over its limit ─► failed
 * any of them ──close──► closing ──finished──► closed
 * ```
 *
 * @module
 */

/** A time in which records do not flow. */
export interface Outage {
  /** When it began, by the world's monotonic clock. */
  sinceMs: number;
  /** Joins and sessions that have failed since. */
  failures: number;
}

/** What a reader is doing. */
export type ReaderPhase =
  /** Gets into the group. Until this has worked once, `first`, nothing has: its limit is another. */
  | { name: "joining"; first: boolean; outage?: Outage }
  /** Records flow, or are held back because too many are under way. */
  | { name: "reading"; sinceMs: number; stream: "flowing" | "paused"; outage?: Outage }
  /** Waits before it joins again. */
  | { name: "backing-off"; first: boolean; outage: Outage }
  /** Takes no more records and waits for those under way. */
  | { name: "closing" }
  | { name: "closed" }
  /** Has given up. */
  | { name: "failed" };

/** What happens to a reader. */
export type ReaderEvent =
  | { type: "start"; nowMs: number }
  /** `full`: as many records are under way as may be, those of the session before included. */
  | { type: "joined"; nowMs: number; full: boolean }
  /** A join has failed, or a session has broken off; `mayHeal` where the next attempt may do better. */
  | { type: "broke"; nowMs: number; error: unknown; mayHeal: boolean }
  | { type: "waited" }
  /** As many records are under way as may be. */
  | { type: "full" }
  /** There is room for records again. */
  | { type: "room" }
  | { type: "close" }
  /** What was under way at the close is done with, or its time is up. */
  | { type: "finished" };

/** What is to be done, in this order. */
export type ReaderEffect =
  | { do: "join" }
  | { do: "resume" }
  | { do: "pause" }
  /** Leaves the group and forgets the consumer. */
  | { do: "leave" }
  /** Waits, longer the more has failed, then says `waited`. */
  | { do: "back-off"; failures: number }
  | { do: "cancel-back-off" }
  /** Notifies the client that records flow, or why they do not. */
  | { do: "notify"; error: unknown }
  | { do: "notify-ok" }
  /** Waits for what is under way, then says `finished`. */
  | { do: "finish" }
  /** Gives up; `outageMs` is how long nothing has worked, absent if nothing ever did. */
  | { do: "fail"; error: unknown; outageMs?: number };

/** The limits that transitions go by. */
export interface ReaderLimits {
  /** For so long a first join is tried again. */
  startLimitMs: number;
  /** A longer outage is not waited for. */
  outageLimitMs: number;
  /** A session that lasted longer than this was a good one: it has ended the outage before it. */
  stableAfterMs: number;
}

/** The state after an event, and what is to be done because of it. */
export interface Transition {
  next: ReaderPhase;
  effects: readonly ReaderEffect[];
}

/** Where every reader begins. */
export const initialPhase: ReaderPhase = { name: "joining", first: true };

/**
 * What an event makes of a state. Pure: the time is in the event.
 *
 * @example
 * ```ts
 * const { next, effects } = transition(state, { type: "waited" }, limits);
 * ```
 */
export function transition(
  state: ReaderPhase,
  event: ReaderEvent,
  limits: ReaderLimits,
): Transition {
  switch (event.type) {
    case "start":
      return {
        next: { name: "joining", first: true, outage: { sinceMs: event.nowMs, failures: 0 } },
        effects: [{ do: "join" }],
      };
    case "joined":
      return state.name === "joining" ? joined(state, event) : unchanged(state);
    case "broke":
      return state.name === "joining" || state.name === "reading"
        ? broke(state, event, limits)
        : unchanged(state);
    case "waited":
      return state.name === "backing-off"
        ? {
          next: { name: "joining", first: state.first, outage: state.outage },
          effects: [{ do: "join" }],
        }
        : unchanged(state);
    case "full":
      return state.name === "reading" && state.stream === "flowing"
        ? { next: { ...state, stream: "paused" }, effects: [{ do: "pause" }] }
        : unchanged(state);
    case "room":
      return state.name === "reading" && state.stream === "paused"
        ? { next: { ...state, stream: "flowing" }, effects: [{ do: "resume" }] }
        : unchanged(state);
    case "close":
      return close(state);
    case "finished":
      return state.name === "closing"
        ? { next: { name: "closed" }, effects: [{ do: "leave" }] }
        : unchanged(state);
  }
}

/** A consumer begins paused: whether it may flow depends on what is under way, whoever brought it. */
function joined(
  { first, outage }: Extract<ReaderPhase, { name: "joining" }>,
  { nowMs, full }: Extract<ReaderEvent, { type: "joined" }>,
): Transition {
  return {
    next: {
      name: "reading",
      sinceMs: nowMs,
      stream: full ? "paused" : "flowing",
      // What a start has waited for is no outage.
      ...(outage && !first && { outage }),
    },
    effects: [{ do: "notify-ok" }, ...(full ? [] : [{ do: "resume" } as const])],
  };
}

function broke(
  state: Extract<ReaderPhase, { name: "joining" | "reading" }>,
  { nowMs, error, mayHeal }: Extract<ReaderEvent, { type: "broke" }>,
  { startLimitMs, outageLimitMs, stableAfterMs }: ReaderLimits,
): Transition {
  const first = state.name === "joining" && state.first;
  // A session that breaks at once does not end an outage.
  const wasStable = state.name === "reading" && nowMs - state.sinceMs > stableAfterMs;
  const before = wasStable ? undefined : state.outage;
  const outage = { sinceMs: before?.sinceMs ?? nowMs, failures: (before?.failures ?? 0) + 1 };
  const outageMs = nowMs - outage.sinceMs;
  if (first && (!mayHeal || outageMs >= startLimitMs)) {
    return { next: { name: "failed" }, effects: [{ do: "leave" }, { do: "fail", error }] };
  }
  if (!first && outageMs > outageLimitMs) {
    return {
      next: { name: "failed" },
      effects: [{ do: "leave" }, { do: "notify", error }, { do: "fail", error, outageMs }],
    };
  }
  return {
    next: { name: "backing-off", first, outage },
    effects: [
      { do: "leave" },
      { do: "notify", error },
      { do: "back-off", failures: outage.failures },
    ],
  };
}

function close(state: ReaderPhase): Transition {
  if (state.name === "closing" || state.name === "closed") return unchanged(state);
  const first: readonly ReaderEffect[] = state.name === "reading"
    ? [{ do: "pause" }]
    : state.name === "backing-off"
    ? [{ do: "cancel-back-off" }]
    : [];
  return { next: { name: "closing" }, effects: [...first, { do: "finish" }] };
}

function unchanged(state: ReaderPhase): Transition {
  return { next: state, effects: [] };
}
