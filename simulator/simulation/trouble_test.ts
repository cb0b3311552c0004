import assert from "node:assert/strict";
import { createRun } from "./engine.ts";
import type { LogEntry } from "./event_loop.ts";
import { noTrouble, type RunOptions } from "./options.ts";

/** Orders come one by one, and so late that all trouble has come by then: a run ends when nothing is left to do. */
const quiet: Partial<RunOptions> = {
  ...{ orders: 40, burst: 1, arrivalMs: 4_000, faultMaxMs: 2_000, faults: {} },
  ...noTrouble,
};

/** When something that a line tells of begins and ends, in milliseconds. */
function spanOf({ atUs, detail }: LogEntry): { from: number; to: number } {
  const from = atUs / 1_000;
  return { from, to: from + Number.parseFloat(detail) };
}

function entriesOf(given: Partial<RunOptions>, seed: number, kind: string): readonly LogEntry[] {
  const { result, entries } = createRun({ seed, given: { ...quiet, ...given } });
  assert.deepEqual(result.violations, [], `seed ${seed}`);
  return entries.filter((entry) => entry.kind === kind);
}

Deno.test("what is cut together comes back in another order, points and parts alike", () => {
  let others = 0;
  const targets = new Set<string>();
  for (let seed = 1; seed <= 20; seed++) {
    const cuts = entriesOf({ swizzles: 1 }, seed, "cut");
    for (const { subject } of cuts) targets.add(subject.startsWith("point") ? "point" : "part");
    const spans = cuts.map(spanOf);
    if (spans.some(({ to }, place) => spans.slice(place + 1).some((later) => later.to < to))) {
      others++;
    }
  }
  assert.ok(others > 5, `${others} of 20 seeds`);
  assert.deepEqual([...targets].sort(), ["part", "point"]);
});

Deno.test("a part that is starved gets a little time between long waits", () => {
  const pauses = entriesOf({ starvations: 1 }, 2, "pause");
  assert.equal(pauses.length, 10);
  assert.equal(new Set(pauses.map(({ part }) => part)).size, 1);
  const spans = pauses.map(spanOf);
  for (const [place, { from }] of spans.slice(1).entries()) {
    assert.ok(from > spans[place]!.to, "it runs before it is held again");
  }
});

Deno.test("a store that crashes is down for a while, and loses nothing that was committed", () => {
  let waits = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const { result, entries } = createRun({ seed, given: { ...quiet, storeCrashes: 2 } });
    assert.deepEqual(result.violations, [], `seed ${seed}`);
    const crashes = entries.filter(({ kind }) => kind === "store-crash");
    assert.equal(crashes.length, 2);
    for (const crash of crashes) {
      const { from, to } = spanOf(crash);
      const heal = entries.find(({ kind }) => kind === "heal")!.atUs / 1_000;
      for (const { kind, subject, atUs } of entries) {
        if (kind !== "commit" || subject !== crash.subject) continue;
        // What was committed in its last instant is told of then.
        const atMs = atUs / 1_000;
        assert.ok(atMs <= from || atMs >= Math.min(to, heal), `${subject} at ${atMs} ms`);
      }
    }
    waits += entries.filter(({ detail }) => detail === "unavailable").length;
  }
  assert.ok(waits > 0, "somebody has noticed");
});

Deno.test("between two halves of the orders nothing arrives", () => {
  const placed = (idleMs: number) => entriesOf({ idleMs, arrivalMs: 500 }, 1, "placed");
  const largestGap = (entries: readonly LogEntry[]) =>
    Math.max(...entries.slice(1).map(({ atUs }, place) => atUs - entries[place]!.atUs)) / 1_000;
  assert.ok(largestGap(placed(5_000)) > 4_900);
  assert.ok(largestGap(placed(0)) < 4_900);
});

Deno.test("a commit that stalls is passed by those of later transactions, with many writers only", () => {
  const lateIdsOf = (profile: RunOptions["profile"]) => {
    let lateIds = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const given = { ...quiet, profile, stalls: 0.3, commitMs: 1, keys: 8, burst: 4 };
      const { result, entries } = createRun({ seed, given });
      assert.deepEqual(result.violations, [], `seed ${seed}`);
      const stalls = entries.filter(({ kind }) => kind === "stall");
      assert.equal(stalls.length > 0, profile === "mvcc", `seed ${seed}`);
      for (const { detail } of stalls) {
        const stallMs = Number.parseFloat(detail);
        assert.ok(stallMs >= 5 && stallMs <= Math.ceil(result.options.timeoutMs / 2), detail);
      }
      lateIds += result.reached.get("late-id") ?? 0;
    }
    return lateIds;
  };
  assert.equal(lateIdsOf("one-writer"), 0);
  assert.ok(lateIdsOf("mvcc") > 20);
});
