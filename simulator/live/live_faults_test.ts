import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import type { Fault } from "./faults.ts";
import { assertAppliedOnce, liveTest, testLive } from "./test_live.ts";

const kinds = [
  ...["refuse", "time-out", "lose-answer", "delay", "duplicate", "reorder"],
  ...["crash-before", "crash-after", "outage"],
] as const;
const points = [1, 2, 3, 4, 5, 6, 7, 8] as const;

for (const kind of kinds) {
  liveTest(`'${kind}' at every point: after healing every order is applied once`, async () => {
    const faults = points.map((point): Fault => ({
      // Who crashes is down for half a second: more often, and nobody comes far.
      ...{ kind: kind as "refuse", point, probability: kind.startsWith("crash") ? 0.1 : 0.3 },
      ...(kind === "outage" && { minDurationMs: 100 }),
      ...(kind === "delay" && { delayMs: 20 }),
    }));
    await using test = await testLive({ faults });
    const { live } = test;
    let ordered = 0;
    await eventually("faults at all points", () => {
      const { faults, inFlight, placed } = live.state().counters;
      if (inFlight + ordered - placed < 20) ordered += live.submitOrders(1).length;
      return Object.keys(faults).length === points.length || undefined;
    });
    live.setFaults([]);
    const hit = Object.keys(live.state().counters.faults).sort();
    assert.deepEqual(hit, points.map((point) => `${point}:${kind}`));
    await test.confirmed(ordered);
    await assertAppliedOnce(test, ordered);
  });
}
