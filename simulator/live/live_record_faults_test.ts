import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { inputOf, parseRecord } from "../simulation/record.ts";
import { type RunResult, runSimulation } from "../simulation/run.ts";
import type { Pattern } from "../topology/settings.ts";
import type { Fault } from "./faults.ts";
import { liveRecord } from "./live_record.ts";
import { liveTest, type TestLive, testLive } from "./test_live.ts";

/** Runs a live topology's record in virtual time; gives its effects as `consumer message`. */
function replay({ live }: TestLive): { result: RunResult; effects: string[] } {
  const { recording, settings } = live.recording();
  assert.equal(recording.isCut, false);
  const text = JSON.stringify(liveRecord(live.state(), settings, recording));
  const effects: string[] = [];
  const result = runSimulation({
    ...inputOf(parseRecord(text)),
    onEntry: ({ kind, subject, detail }) => {
      if (kind === "effect") effects.push(`${detail} ${subject}`);
    },
  });
  return { result, effects: effects.sort() };
}

/** What the live topology has applied, under the record's names: here they are the same. */
function effectsOf({ steps }: TestLive): string[] {
  return steps.filter(({ event }) => event === "effect")
    .map(({ subject, detail }) => `${detail} ${subject}`).sort();
}

const pointsOf = (kind: string, points: readonly number[], probability: number) =>
  points.map((point): Fault => ({ kind: kind as "refuse", point, probability }));

liveTest(
  "a live run with faults and a kill ends in virtual time as it has ended live",
  async () => {
    const faults: Fault[] = [
      ...pointsOf("refuse", [1, 2, 3, 6], 0.3),
      ...pointsOf("lose-answer", [4, 7, 8], 0.3),
      { kind: "crash-after", point: 5, probability: 0.2, minDurationMs: 100 },
      { kind: "poison", probability: 0.1 },
    ];
    await using test = await testLive({ faults });
    const { live } = test;
    live.submitOrders(20, "k2");
    live.submitOrders(10);
    await eventually(
      "some faults",
      () => Object.keys(live.state().counters.faults).length >= 6 || undefined,
    );
    live.kill("relay-1.0");
    live.setFaults([]);
    live.startPart("relay-1.0");
    await eventually("all orders", async () => {
      if (live.state().counters.deadLettered > 0) {
        await live.redrive();
      }
      return live.state().counters.confirmed === 30 || undefined;
    });
    await eventually("all steps", () => effectsOf(test).length === 90 || undefined);

    const { result, effects } = replay(test);
    assert.deepEqual(result.violations, []);
    assert.deepEqual(effects, effectsOf(test));
    const hit = [...result.reached.keys()].filter((one) => one.includes("@"));
    assert.ok(hit.length >= 5, `only ${hit} happened again`);
    assert.ok(result.reached.get("crash")! > 0);
  },
);

for (const pattern of ["fire-and-forget", "dual-write"] satisfies Pattern[]) {
  liveTest(`what '${pattern}' loses live is lost in virtual time, and nothing else`, async () => {
    await using test = await testLive({
      pattern,
      faults: pointsOf("refuse", [2], 0.3),
    });
    const { live } = test;
    live.submitOrders(40);
    let last = { count: 0, sinceMs: performance.now() };
    await eventually("the end of all effects", () => {
      const { placed, applied, confirmed } = live.state().counters;
      const count = placed + applied + confirmed;
      if (count !== last.count) last = { count, sinceMs: performance.now() };
      return placed === 40 && performance.now() - last.sinceMs > 4_000 || undefined;
    });
    const { result, effects } = replay(test);
    assert.deepEqual(effects, effectsOf(test));
    assert.ok(effects.filter((one) => one.startsWith("confirmation")).length < 40);
    assert.ok(result.violations.some(({ invariant }) => invariant === "no-lost-effect"));
  });
}
