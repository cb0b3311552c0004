import assert from "node:assert/strict";
import { createRun, type SimulatedRun } from "../simulation/engine.ts";
import { encodeRun, maxLinkLength } from "./link.ts";
import { endOf, scenes } from "./tour.ts";

function runOf(title: string): SimulatedRun {
  return createRun(scenes.find((scene) => scene.title === title)!.input);
}

const count = ({ entries }: SimulatedRun, kind: string, subject: string, detail?: string) =>
  entries.filter((entry) =>
    entry.kind === kind && entry.subject === subject && (detail ?? entry.detail) === entry.detail
  ).length;

Deno.test("the tour has a scene at each of the eight points, and its fault happens there", () => {
  assert.deepEqual(scenes.map(({ point }) => point).toSorted(), [1, 2, 3, 4, 5, 6, 7, 8]);
  for (const { title, point, input, answers, right } of scenes) {
    const run = createRun(input);
    const faults = run.entries.filter(({ kind }) => kind.startsWith("fault-"));
    assert.deepEqual(faults.map(({ kind }) => kind), [`fault-${point}`], title);
    assert.ok(answers[right] !== undefined, title);
    assert.ok(endOf(run.entries) > faults.length, title);
    assert.ok(encodeRun(input).length < maxLinkLength / 3, title);
  }
});

Deno.test("each answer of the tour is what happens", () => {
  const lost = runOf("Lost on its way");
  assert.equal(lost.result.verdict, "true");
  assert.equal(count(lost, "publish", "o1"), 1);

  const placed = runOf("Placed, but nobody said so");
  assert.equal(placed.entries.filter(({ detail }) => /\borders\+/.test(detail)).length, 1);
  assert.equal(count(placed, "place-again", "o1"), 1);

  const again = runOf("Not acknowledged");
  assert.equal(count(again, "deliver", "o1"), 2);
  assert.equal(count(again, "duplicate", "o1"), 1);
  assert.equal(count(again, "effect", "o1", "billing"), 1);

  const before = runOf("Crash before the commit");
  assert.equal(before.entries.filter(({ kind }) => kind === "crash").length, 1);
  assert.equal(count(before, "deliver", "o1"), 2);
  assert.equal(count(before, "duplicate", "o1"), 0);

  const after = runOf("Crash after the commit");
  assert.equal(after.entries.filter(({ kind }) => kind === "crash").length, 1);
  assert.equal(count(after, "effect", "o1", "billing"), 1);
  assert.equal(after.result.verdict, "true");

  const forgotten = runOf("Nobody kept it");
  assert.ok(forgotten.result.violations.some(({ invariant }) => invariant === "no-lost-effect"));

  const outage = runOf("The bus is out");
  assert.equal(outage.result.verdict, "true");
  outage.seek(outage.eventAt(950));
  assert.deepEqual(outage.snapshot().boxes.results.map(({ message }) => message), [
    "r1",
    "r2",
    "r3",
  ]);

  const twice = runOf("It comes twice");
  assert.equal(count(twice, "effect", "r1", "confirmation"), 1);
  assert.equal(count(twice, "duplicate", "r1"), 1);
});
