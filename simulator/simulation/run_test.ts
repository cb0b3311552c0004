import assert from "node:assert/strict";
import { plants } from "../topology/plants.ts";
import { faultKinds, faultPoints, type FaultRates } from "./options.ts";
import { type RunInput, runSimulation } from "./run.ts";

/** Every kind of fault at every point, each with the same probability. */
function allFaults(rate: number): FaultRates {
  return Object.fromEntries(
    faultPoints.map((point) => [
      point,
      Object.fromEntries(faultKinds.map((kind) => [kind, rate])),
    ]),
  );
}

function linesOf(input: RunInput): string[] {
  const lines: string[] = [];
  runSimulation({ ...input, onLine: (line) => lines.push(line) });
  return lines;
}

const few = { orders: 12 };

Deno.test("the same seed gives the same bytes, another one others", () => {
  const [first, again, other] = [5, 5, 6].map((seed) => runSimulation({ seed, given: few }));
  assert.equal(first!.hash, again!.hash);
  assert.notEqual(first!.hash, other!.hash);
  assert.deepEqual(linesOf({ seed: 5, given: few }), linesOf({ seed: 5, given: few }));
});

Deno.test("a fault at 0 leaves the log as it is without", () => {
  const without = runSimulation({ seed: 3, given: { ...few, faults: {} } });
  const atZero = runSimulation({ seed: 3, given: { ...few, faults: allFaults(0) } });
  assert.equal(atZero.hash, without.hash);
  const withFaults = runSimulation({ seed: 3, given: { ...few, faults: allFaults(0.02) } });
  assert.notEqual(withFaults.hash, without.hash);
});

Deno.test("a run can be replayed from its decisions", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const recorded = runSimulation({ seed, given: few, record: true });
    const { decisions, options } = recorded;
    const replayed = runSimulation({ seed, given: options, replay: decisions });
    assert.equal(replayed.hash, recorded.hash, `seed ${seed}`);
    assert.deepEqual(replayed.decisions, decisions, `seed ${seed}`);
  }
});

Deno.test("a run whose log nobody reads takes the same decisions, and ends alike", () => {
  for (const [seed, plant] of [[5, 0], [7, 0], [2, 14], [3, 9]] as const) {
    const endOf = (isHashed: boolean) => {
      const decisions: [string, number][] = [];
      const onDecision = (name: string, value: number) => void decisions.push([name, value]);
      const input = { seed, plant, given: few, isHashed };
      const { hash, ...end } = runSimulation({ ...input, onDecision });
      const { hash: _, ...undecided } = runSimulation(input);
      assert.deepEqual(undecided, end, "and whether anybody hears of the decisions");
      return { hash, end, decisions };
    };
    const [logged, silent] = [endOf(true), endOf(false)];
    assert.deepEqual(silent.decisions, logged.decisions);
    assert.deepEqual(silent.end, logged.end);
    assert.ok(logged.hash !== "" && silent.hash === "" && logged.decisions.length > 0);
  }
});

Deno.test("a run leaves nothing behind for the next one of the same process", () => {
  const quiet = { seed: 5, given: { ...few, faults: {} } };
  const before = runSimulation(quiet);
  for (const [index, kind] of faultKinds.entries()) {
    const changes = faultPoints.map((point) => [`fault-${point} o7`, index + 1] as const);
    assert.notEqual(runSimulation({ ...quiet, changes }).hash, before.hash, kind);
    assert.equal(runSimulation(quiet).hash, before.hash, `after ${kind}`);
  }
});

Deno.test("recording changes nothing", () => {
  const plain = runSimulation({ seed: 9, given: few });
  assert.equal(plain.decisions.length, 0);
  const recorded = runSimulation({ seed: 9, given: few, record: true });
  assert.equal(recorded.hash, plain.hash);
  assert.ok(recorded.decisions.length > 0);
});

Deno.test("each kind of fault happens at each point, and nothing is lost or done twice", () => {
  const missing = new Set(
    faultPoints.flatMap((point) => faultKinds.map((kind) => `${kind}@${point}`)),
  );
  for (let seed = 1; seed <= 60 && missing.size > 0; seed++) {
    const run = runSimulation({
      seed,
      given: { ordering: "sequence", faults: allFaults(0.01), capacity: 100_000 },
    });
    assert.deepEqual(run.violations, [], `seed ${seed}`);
    for (const event of run.reached.keys()) missing.delete(event);
  }
  assert.deepEqual([...missing], []);
});

Deno.test("a run that is stopped before it is judged is unknown, unless something is broken already", () => {
  const whole = runSimulation({ seed: 5, given: few });
  assert.equal(whole.verdict, "true");
  const cut = runSimulation({ seed: 5, given: few, maxEvents: whole.events - 1 });
  assert.deepEqual([cut.verdict, cut.events, cut.violations], ["unknown", whole.events - 1, []]);
  assert.equal(runSimulation({ seed: 5, given: few, maxEvents: whole.events }).verdict, "true");
  const planted = { seed: 2, plant: 11, given: { orders: 24 } };
  const broken = runSimulation({ ...planted, stopAt: "deleted-only-if-acknowledged" });
  assert.equal(broken.verdict, "false");
  assert.equal(runSimulation({ ...planted, maxEvents: broken.events }).verdict, "false");
});

Deno.test("plants have the numbers 1 to 24", () => {
  assert.deepEqual(plants.map(({ number }) => number), Array.from({ length: 24 }, (_, i) => i + 1));
});

Deno.test("what a simulation does by itself is checked: the platform's clock throws in it", () => {
  assert.throws(
    () => runSimulation({ seed: 1, given: few, onLine: () => void Date.now() }),
    /must not use 'Date.now'/,
  );
  assert.ok(Date.now() > 0);
});

Deno.test("no pattern loses anything without faults: a run goes on while a call carries a message", () => {
  for (const pattern of ["outbox", "dual-write", "fire-and-forget"] as const) {
    const quiet = { faults: {}, crashes: 0, pauses: 0, skewMs: 0, poison: 0, slow: 0 };
    for (const orders of [1, 5]) {
      const { violations } = runSimulation({ seed: 1, given: { ...quiet, pattern, orders } });
      assert.deepEqual(violations, [], `${pattern}, ${orders} orders`);
    }
  }
});
