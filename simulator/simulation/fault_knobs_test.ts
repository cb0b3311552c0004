import assert from "node:assert/strict";
import type { FaultPoint } from "../topology/ports.ts";
import { createRun, type EngineInput, type FaultKind } from "./engine.ts";
import { checkOptions } from "./option_bounds.ts";
import { type FaultKnobs, faultPoints, noTrouble, type RunOptions } from "./options.ts";
import type { CallFault, EndedCall } from "./run_watch.ts";
import { runSimulation } from "./run.ts";

const quiet: Partial<RunOptions> = {
  ...{ ...noTrouble, orders: 8, keys: 4, ordering: "sequence", capacity: 1_000, faults: {} },
  ...{ arrivalMs: 2_000, timeoutMs: 300, linkMs: 1, faultMaxMs: 1_000, burst: 1 },
};

/** Calls at a point where a kind of fault hits with these knobs. */
function callsWith(
  point: FaultPoint,
  kind: FaultKind,
  knobs: FaultKnobs,
  rate = 0.3,
): { hit: (EndedCall & { fault: CallFault })[]; calls: EndedCall[] } {
  const calls: EndedCall[] = [];
  runSimulation({
    seed: 5,
    given: {
      ...quiet,
      faults: { [point]: { [kind]: rate } },
      faultKnobs: { [point]: { [kind]: knobs } },
    },
    onWatched: (what) => what.type === "call" && what.point === point && calls.push(what),
  });
  const hit = calls.flatMap((call) => call.faults.map((fault) => ({ ...call, fault })));
  assert.ok(hit.length > 0, `${kind} at ${point} has hit`);
  return { hit, calls };
}

Deno.test("how late is as it is set, at each point", () => {
  for (const point of faultPoints) {
    for (const { startMs, endMs, error } of callsWith(point, "delay", { delayMs: 80 }, 0.6).hit) {
      if (error === undefined) assert.ok(endMs - startMs >= 80, `${point}: ${endMs - startMs} ms`);
    }
  }
});

Deno.test("what times out or is late on the way back has been done; on the way there it has not yet", () => {
  const given = (kind: FaultKind, knobs: FaultKnobs): EngineInput => ({
    seed: 5,
    given: {
      ...quiet,
      ...{ orders: 1, faults: { 2: { [kind]: 1 } }, faultKnobs: { 2: { [kind]: knobs } } },
    },
  });
  const publishedMs = (kind: FaultKind, knobs: FaultKnobs): number => {
    const { entries } = createRun(given(kind, knobs));
    const [fault, publish] = [`fault-2`, "publish"].map((kind) =>
      entries.find((entry) => entry.kind === kind)!.atUs / 1_000
    );
    return publish! - fault!;
  };
  assert.ok(publishedMs("time-out", { direction: "back" }) < 1);
  assert.ok(publishedMs("time-out", { direction: "there" }) > 300, "only once all is healed");
  assert.ok(publishedMs("delay", { delayMs: 200, direction: "back" }) < 1);
  assert.ok(Math.abs(publishedMs("delay", { delayMs: 200, direction: "both" }) - 100) < 1);
  assert.ok(Math.abs(publishedMs("delay", { delayMs: 200, direction: "there" }) - 200) < 1);
});

Deno.test("once it has hit, every call at the point is hit for so long", () => {
  for (const kind of ["refuse", "time-out", "lose-answer", "delay", "duplicate"] as const) {
    const { hit, calls } = callsWith(
      2,
      kind,
      { minDurationMs: 700, delayMs: 1 } as FaultKnobs,
      0.1,
    );
    const firstMs = hit[0]!.fault.atMs;
    const within = calls.filter(({ startMs }) => startMs > firstMs && startMs < firstMs + 690);
    assert.ok(within.length > 0, kind);
    assert.ok(within.every(({ faults }) => faults.length > 0), `${kind}: each of ${within.length}`);
  }
});

Deno.test("an outage lasts as long, and cuts the way that is set", () => {
  const errors = { both: "refused", there: "timeout", back: "timeout" } as const;
  for (const direction of ["both", "there", "back"] as const) {
    const { calls } = callsWith(2, "outage", { minDurationMs: 900, direction }, 0.1);
    const first = calls.find(({ faults }) => faults.length > 0)!;
    const firstMs = first.faults[0]!.atMs;
    const within = calls.filter(({ startMs }) => startMs >= firstMs && startMs < firstMs + 890);
    assert.ok(within.every(({ faults }) => faults.length > 0));
    assert.ok([first, ...within].every(({ error }) => error === errors[direction]), direction);
  }
});

Deno.test("an outage of no time is one call", () => {
  const { hit, calls } = callsWith(2, "outage", { minDurationMs: 0, direction: "both" }, 0.3);
  assert.ok(hit.every(({ error }) => error === "refused"));
  assert.ok(calls.some(({ startMs, faults }) => startMs > hit[0]!.startMs && faults.length === 0));
});

Deno.test("who crashes is down for at least as long as is set, at its commit and elsewhere", () => {
  for (const point of [2, 4] as const) {
    const run = createRun({
      seed: 5,
      given: {
        ...quiet,
        faults: { [point]: { "crash-before": 0.4 } },
        faultKnobs: { [point]: { "crash-before": { minDurationMs: 1_500 } } },
        faultMaxMs: 100,
      },
    });
    const downMs = run.entries.filter(({ kind }) => kind === "crash").map(({ detail }) =>
      parseFloat(detail)
    );
    assert.ok(downMs.length > 0 && downMs.every((ms) => ms >= 1_500), `${point}: ${downMs}`);
  }
});

Deno.test("knobs of what never happens leave the log as it was, byte for byte", () => {
  const faultKnobs = {
    2: { delay: { minDurationMs: 900, delayMs: 9, direction: "back" } },
  } as const;
  const [without, having] = [{}, { faultKnobs }].map((more) =>
    runSimulation({ seed: 7, given: { orders: 10, faults: { 2: { delay: 0 } }, ...more } })
  );
  assert.equal(having!.hash, without!.hash);
});

Deno.test("a run with knobs is replayed from its record alone", () => {
  for (const kind of ["refuse", "time-out", "delay", "outage", "crash-after"] as const) {
    const input: EngineInput = {
      seed: 3,
      given: { ...quiet, faults: { 2: { [kind]: 0.2 }, 4: { [kind]: 0.2 } } },
      interventions: [{
        ...{ kind: "rates", atMs: 500, point: 3, rates: { [kind]: 0.4 } },
        knobs: { [kind]: { minDurationMs: 300 } },
      }],
    };
    const faultKnobs = { 2: { [kind]: { minDurationMs: 400 } } };
    const run = createRun({ ...input, given: { ...input.given, faultKnobs } });
    const again = createRun({ ...input, replay: run.record().decisions });
    assert.equal(again.result.hash, run.result.hash, kind);
  }
});

Deno.test("knobs that a kind does not have, or out of bounds, are refused", () => {
  const refused: unknown[] = [
    { 2: { refuse: { delayMs: 5 } } },
    { 2: { "lose-answer": { direction: "back" } } },
    { 2: { delay: { direction: "sideways" } } },
    { 2: { delay: { delayMs: -1 } } },
    { 2: { outage: { minDurationMs: 1e9 } } },
    { 9: { delay: {} } },
    { 2: { explode: {} } },
    "none",
  ];
  for (const faultKnobs of refused) {
    assert.throws(() => checkOptions({ faultKnobs }), /fault knobs/, JSON.stringify(faultKnobs));
  }
  checkOptions({
    faultKnobs: { 2: { delay: { minDurationMs: 0, delayMs: 5, direction: "both" } } },
  });
});
