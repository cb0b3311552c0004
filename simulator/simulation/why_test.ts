import assert from "node:assert/strict";
import { inputOf, recordOf } from "./record.ts";
import { runSimulation } from "./run.ts";
import { shrink } from "./shrink.ts";
import { explain } from "./why.ts";

Deno.test("why finds the event after which a failure is certain", () => {
  // A lease that is shorter than its handler: until the handler is slow, most futures are fine.
  const found = runSimulation({ seed: 2, plant: 22, record: true, given: { orders: 24 } });
  assert.ok(found.violations.length > 0, "Take a seed in which plant 22 is found");
  const { record } = shrink(recordOf(found, true), { invariant: "exactly-once-effect" });
  const { instants, jump: [before, after], lines, failedAtMs } = explain(record, {
    instants: 8,
    rolls: 6,
  });
  assert.equal(instants.length, 9);
  assert.equal(instants.at(-1)!.probability, 1);
  assert.ok(instants[0]!.probability < 0.5, "at first it is not yet bound to fail");
  assert.ok(before.probability < after.probability && before.atMs < failedAtMs);
  assert.ok(lines.length > 0);
});

Deno.test("what is drawn anew begins at its instant: what was before stays", () => {
  const recorded = runSimulation({ seed: 5, record: true, given: { orders: 12 } });
  const record = recordOf(recorded, true);
  const linesOf = (reroll?: { atMs: number; seed: number }) => {
    const lines: string[] = [];
    runSimulation({ ...inputOf(record), ...(reroll && { reroll }), onLine: (l) => lines.push(l) });
    return lines;
  };
  const [usual, anew] = [linesOf(), linesOf({ atMs: 300, seed: 9 })];
  const early = (lines: string[]) => lines.filter((line) => Number.parseInt(line, 10) < 300_000);
  assert.ok(early(usual).length > 0);
  assert.deepEqual(early(anew), early(usual));
  assert.notDeepEqual(anew, usual);
});

Deno.test("what does not fail has no why", () => {
  const fine = recordOf(runSimulation({ seed: 1, record: true, given: { orders: 3 } }), true);
  assert.throws(() => explain(fine), RangeError);
});
