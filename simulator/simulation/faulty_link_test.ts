import assert from "node:assert/strict";
import { LinkError } from "../topology/ports.ts";
import { Decisions } from "./decisions.ts";
import { EventLoop, newProcess } from "./event_loop.ts";
import { FaultyLinks } from "./faulty_link.ts";
import { outageEffects, type OutageMode } from "./outages.ts";
import { noTrouble, type RunOptions } from "./options.ts";
import { runSimulation } from "./run.ts";

function newLinks(loop: EventLoop, decisions = new Decisions({ seed: 1 })): FaultyLinks {
  return new FaultyLinks(loop, decisions, {
    ...{ rates: {}, faultMaxMs: 1_000, timeoutMs: 100, isObserved: false },
    linkMs: () => 1,
    crash: () => {},
    victimOf: (_point, caller) => caller,
    onCall: () => {},
    onOutage: () => {},
    onFault: () => {},
  });
}

/** What becomes of a call: how it fails, whether the other end did it, and when that is known. */
const outcomes: Readonly<Record<OutageMode, readonly [string, boolean, number]>> = {
  1: ["refused", false, 1],
  2: ["timeout", false, 101],
  3: ["timeout", true, 101],
};

for (const mode of [1, 2, 3] as const) {
  for (const target of ["point", "part"] as const) {
    Deno.test(`a ${target} that is out, ${outageEffects[mode]}: ${outcomes[mode].join(", ")}`, () => {
      const loop = new EventLoop();
      const links = newLinks(loop);
      const [caller, other] = [newProcess("caller"), newProcess("other")];
      links.cut(target === "point" ? 4 : caller, mode, 500);
      const ends: unknown[] = [];
      let performed = 0;
      const call = (process: typeof caller, point: 3 | 4) =>
        loop.spawn(
          process,
          // deno-lint-ignore require-yield -- it takes no time
          links.connect(process).call(point, "o1", function* () {
            performed++;
          }),
          (error) => ends.push([(error as LinkError).kind, performed > 0, loop.nowMs]),
        );
      call(caller, 4);
      loop.runUntil(400);
      assert.deepEqual(ends, [outcomes[mode]]);
      // What is not cut goes on, and so does what was, after its time.
      performed = 0;
      call(target === "point" ? caller : other, target === "point" ? 3 : 4);
      loop.runUntil(600);
      call(caller, 4);
      loop.runUntil(700);
      assert.equal(performed, 2);
      assert.equal(ends.length, 1);
    });
  }
}

Deno.test("of two crashes that are to come at a commit the first decides, and stays when the other's call has ended", () => {
  const loop = new EventLoop();
  const decided = new Decisions({ seed: 1, changes: [["fault-4 o1", 7], ["fault-4 o2", 8]] });
  const links = newLinks(loop, decided);
  const process = newProcess("lambda");
  const link = links.connect(process);
  // One works for a while before it commits, the other finds that its message is known.
  loop.spawn(process, link.call(4, "o1", () => loop.sleep(50, process)));
  loop.spawn(process, link.call(4, "o2", () => loop.sleep(1, process)));
  loop.runUntil(2);
  assert.equal(process.doom, "before-commit", "the first decides");
  loop.runUntil(40);
  assert.equal(process.doom, "before-commit", "the other has ended");
});

Deno.test("calls are counted for each second of an outage: without a back-off there are too many", () => {
  const given: Partial<RunOptions> = {
    ...{ orders: 40, keys: 8, faults: { 2: { outage: 1e-9 } }, faultMaxMs: 60_000 },
    ...{ arrivalMs: 500, timeoutMs: 100 },
    ...noTrouble,
  };
  const changes = [["fault-2 o1", 9], ["outage-ms 2/o1", 8_000]] as const;
  const run = (plant: number) => runSimulation({ seed: 1, plant, given, changes });
  assert.deepEqual(run(0).violations, []);
  const [violation] = run(20).violations;
  assert.equal(violation?.invariant, "amplification");
  assert.match(violation!.text, /calls in \d+\.\d s of an outage|calls of the bus in/);
});
