import assert from "node:assert/strict";
import { runSimulation } from "../simulation/run.ts";
import {
  changeRates,
  crashPart,
  faultDecisions,
  forkRun,
  recordRun,
  withPattern,
} from "./recording.ts";

const quiet = { orders: 3, faults: {}, crashes: 0, pauses: 0, poison: 0, slow: 0, skewMs: 0 };
const definition = { seed: 7, plant: 0, given: quiet, jitter: false };

Deno.test("a recording is the run that the command line makes of the same seed", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const given = { orders: 12 };
    const recording = recordRun({ seed, plant: 0, given, jitter: true });
    const run = runSimulation({ seed, given, record: true });
    assert.equal(recording.hash, run.hash, `seed ${seed}`);
    assert.deepEqual(recording.definition.decisions, run.decisions);
    assert.deepEqual(recording.options, run.options);
    assert.equal(recordRun(recording.definition).hash, run.hash, "replayed");
    for (const [index, event] of recording.events.entries()) assert.equal(event.index, index);
  }
});

Deno.test("each call that can fail has a choice, and failing it changes that call and nothing before", () => {
  const base = recordRun(definition);
  const [call, choice] = [...base.choices].find(([, { point }]) => point === 2)!;
  const fork = forkRun(base, faultDecisions(choice, "lose-answer", 0));
  const fault = fork.events.find(({ kind }) => kind === "fault-2")!;
  assert.equal(fault.subject, choice.subject);
  assert.equal(fault.detail, "lose-answer");
  assert.deepEqual(fork.events.slice(0, choice.event), base.events.slice(0, choice.event));
  assert.equal(fork.events[choice.event]!.call, call);
  assert.deepEqual(fork.definition.decisions, [[choice.name, 3]]);
  assert.equal(recordRun(fork.definition).hash, fork.hash, "its definition is the run");
  const back = forkRun(fork, faultDecisions(choice, "none", 0));
  assert.equal(back.hash, base.hash, "undone");
});

Deno.test("a part crashes when it is told to, and the past stays as it was", () => {
  const base = recordRun(definition);
  const at = base.events.find(({ kind }) => kind === "publish")!.atUs + 10;
  const fork = crashPart(base, "lambda-2.0", at);
  const crash = fork.events.find(({ kind }) => kind === "crash")!;
  assert.equal(crash.part, "lambda-2.0");
  assert.equal(crash.atUs, at);
  assert.deepEqual(fork.events.slice(0, crash.index), base.events.slice(0, crash.index));
  assert.throws(() => crashPart(base, "frontend", at), /cannot crash/);
});

Deno.test("faults that are switched on in the middle leave the past as it was, and replay", () => {
  for (const jitter of [false, true]) {
    const base = recordRun({ ...definition, jitter, given: { ...quiet, orders: 20 } });
    const atUs = base.events.filter(({ kind }) => kind === "publish")[8]!.atUs;
    const changed = changeRates(base, atUs, { 2: { refuse: 0.9 }, 6: { refuse: 0.9 } });
    const past = base.events.filter((event) => event.atUs < atUs);
    assert.deepEqual(changed.events.slice(0, past.length), past);
    const faults = changed.events.filter(({ kind }) => kind.startsWith("fault-"));
    assert.ok(faults.length > 3, `${faults.length} faults`);
    assert.ok(faults.every((event) => event.atUs >= atUs));
    assert.equal(recordRun(changed.definition).hash, changed.hash);
  }
});

Deno.test("another pattern meets the same decisions", () => {
  const base = recordRun(definition);
  const choice = [...base.choices.values()].find(({ point }) => point === 2)!;
  const fork = forkRun(base, faultDecisions(choice, "refuse", 0));
  assert.equal(fork.verdict, "true");
  const forgets = withPattern(fork, "fire-and-forget");
  assert.equal(forgets.events.find(({ kind }) => kind === "fault-2")!.subject, choice.subject);
  assert.equal(forgets.verdict, "false");
  assert.ok(forgets.violations.some(({ invariant }) => invariant === "no-lost-effect"));
  const crashed = withPattern(crashPart(base, "relay-1.0", 1_000), "dual-write");
  assert.equal(crashed.events.find(({ kind }) => kind === "crash")!.part, "backend-1.0");
});
