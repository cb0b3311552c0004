import assert from "node:assert/strict";
import { compareRuns } from "./comparison.ts";
import type { Decision } from "./decisions.ts";
import { faultKinds } from "./options.ts";
import { type RunInput, runSimulation } from "./run.ts";

const input: RunInput = { seed: 5, given: { orders: 12 } };

/** Makes runs of which the second is told something that does not follow from the seed. */
function withChance(
  second: Partial<RunInput>,
): (input: RunInput) => ReturnType<typeof runSimulation> {
  let runs = 0;
  return (input) => runSimulation(++runs === 2 ? { ...input, ...second } : input);
}

Deno.test("of a run that follows from its seed alone nothing differs", () => {
  const { lines, hash, difference } = compareRuns(input, runSimulation);
  assert.equal(difference, undefined);
  assert.ok(lines > 100);
  assert.equal(hash, runSimulation(input).hash);
});

Deno.test("the first event that differs is told, with what either log has there", () => {
  const quiet = { ...input, given: { orders: 12, faults: {} } };
  const changes: Decision[] = [["fault-4 o7", 1 + faultKinds.indexOf("refuse")]];
  const { difference, lines } = compareRuns(quiet, withChance({ changes }));
  const { line, event, texts } = difference!;
  assert.match(texts[1]!, / fault-4 +lambda-2\.\d +o7 +refuse$/);
  assert.notEqual(texts[0], texts[1]);
  assert.ok(line > 1 && line <= lines && event > 1);
  const log: string[] = [];
  runSimulation({ ...quiet, onLine: (one) => void log.push(one) });
  assert.equal(texts[0], log[line - 1]);
});

Deno.test("a log that goes on where the other has ended differs at its next line", () => {
  const short = compareRuns({ ...input, maxEvents: 200 }, withChance({ maxEvents: 400 }));
  const { line, event, texts } = short.difference!;
  assert.equal(texts[0], undefined);
  assert.notEqual(texts[1], undefined);
  assert.equal(line, short.lines + 1);
  assert.ok(event > 200, "it is the event of the longer log");
});
