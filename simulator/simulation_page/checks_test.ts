import assert from "node:assert/strict";
import { createRun, invariantNames, type SimulatedRun } from "../simulation/engine.ts";
import { checksAt } from "./checks.ts";
import type { RunInfo } from "./protocol.ts";
import { firstRun } from "./scenario.ts";
import { scenes } from "./tour.ts";

function checks(run: SimulatedRun, event: number) {
  run.seek(event);
  const { options, violations } = run.result;
  const info = { options, violations } as unknown as RunInfo;
  const view = { snapshot: run.snapshot(), orders: run.orders() };
  return new Map(checksAt(info, view).map((check) => [check.name, check]));
}

Deno.test("each invariant is in words at each instant", () => {
  const run = createRun(firstRun);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const all = checks(run, Math.floor(run.length * share));
    assert.deepEqual([...all.keys()], [...invariantNames]);
    for (const { text, title } of all.values()) {
      assert.ok(text.length > 10 && title.length > 5);
      assert.doesNotMatch(text, /undefined|NaN|\[object/);
    }
  }
  const middle = checks(run, Math.floor(run.length / 2)).get("no-lost-effect")!;
  assert.equal(middle.state, "open");
  assert.match(middle.text, /effects? to come; order \d: committed at \d\.\d s/);
  assert.equal(checks(run, run.length).get("no-lost-effect")!.state, "holds");
});

Deno.test("what is broken is said with the order that it is about, and not before it breaks", () => {
  const run = createRun(scenes[5]!.input);
  const violation = run.entries.find(({ kind, detail }) =>
    kind === "VIOLATION" && detail.startsWith("no-lost-effect")
  )!;
  assert.equal(checks(run, violation.event - 2).get("no-lost-effect")!.state, "open");
  const { state, text } = checks(run, violation.event).get("no-lost-effect")!;
  assert.equal(state, "broken");
  assert.match(
    text,
    /Broken at .*1 effect is lost, such as result 1 for confirmation: nowhere\. Order 1: committed at .*last seen/s,
  );
});
