/**
 * For tests: what a long-lived thing has under way after many rounds is as much as after one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";

/** Options of {@linkcode assertNothingAddsUp}. */
export interface RoundsOptions {
  /** How often. @default 50 */
  rounds?: number;
  /** What else is counted after a round, by its name, such as the timers of a world. */
  counts?: Readonly<Record<string, () => number>>;
}

/**
 * Goes through `round` again and again, and compares what is there after the first and after the last
 * time: listeners of abort signals that more than one round has listened to, and what `counts` counts.
 *
 * @throws {assert.AssertionError} it has become more
 *
 * @example
 * ```ts
 * await assertNothingAddsUp(async () => {
 *   await (await app.request("/api/live")).body!.cancel();
 * }, { counts: { timers: () => world.pendingTimers } });
 * ```
 */
export async function assertNothingAddsUp(
  round: (index: number) => Promise<void> | void,
  { rounds = 50, counts = {} }: RoundsOptions = {},
): Promise<void> {
  /** Signals, with how many listeners they had after the first round that listened to them. */
  const heard = new Map<
    AbortSignal,
    { firstRound: number; isLongLived: boolean; before: number }
  >();
  let current = 0;
  using _ = watchSignals((signal) => {
    const known = heard.get(signal);
    if (!known) heard.set(signal, { firstRound: current, isLongLived: false, before: 0 });
    else if (known.firstRound !== current) known.isLongLived = true;
  });
  const counted = () => Object.entries(counts).map(([name, count]) => [name, count()] as const);
  let before = counted();
  for (; current < rounds; current++) {
    await round(current);
    if (current === 0) before = counted();
    for (const [signal, one] of heard) {
      if (one.firstRound === current) one.before = listenersOf(signal);
    }
  }
  const more = [...heard].filter(([, { isLongLived }]) => isLongLived)
    .map(([signal, one]) => Math.max(0, listenersOf(signal) - one.before))
    .reduce((sum, one) => sum + one, 0);
  assert.deepEqual(
    { ...Object.fromEntries(counted()), "more listeners": more },
    { ...Object.fromEntries(before), "more listeners": 0 },
    `after ${rounds} rounds, against after one`,
  );
}

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

/** Tells which signals get a listener, until it is disposed of. */
function watchSignals(onListener: (signal: AbortSignal) => void): Disposable {
  const { addEventListener } = EventTarget.prototype;
  AbortSignal.prototype.addEventListener = function (
    this: AbortSignal,
    ...given: Parameters<typeof addEventListener>
  ) {
    onListener(this);
    addEventListener.apply(this, given);
  };
  return {
    [Symbol.dispose]: () => void Reflect.deleteProperty(AbortSignal.prototype, "addEventListener"),
  };
}
