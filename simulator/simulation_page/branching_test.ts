import assert from "node:assert/strict";
import { createRun, type SimulatedRun } from "../simulation/engine.ts";
import { choiceOf, decisionWords, divergenceOf, nextChoices, withChoice } from "./branching.ts";
import type { RunInfo } from "./protocol.ts";
import { watchableRun } from "./scenario.ts";

/** What of a run's description forks need. */
function infoOf(run: SimulatedRun) {
  return { input: run.input, decisions: run.decisions } as unknown as RunInfo;
}

const base = createRun(watchableRun());

Deno.test("a choice that is made otherwise is what parts the future from the past", () => {
  const choice = nextChoices(infoOf(base), 0).find(({ point }) => point === 2)!;
  assert.equal(choice.kind, "none");
  const fork = createRun(withChoice(infoOf(base), choice, "refuse", 0));
  const place = divergenceOf(base.entries, fork.entries)!;
  assert.equal(fork.entries[place]!.kind, "fault-2");
  assert.equal(fork.entries[place]!.subject, choice.subject);
  const undone = choiceOf(fork.decisions.find(({ name }) => name === choice.name)!)!;
  assert.equal(undone.kind, "refuse");
  const back = createRun(withChoice(infoOf(fork), undone, "none", 0));
  assert.equal(back.result.hash, base.result.hash);
});

Deno.test("each fault that lasts has a duration of its own, also at the same call again", () => {
  const first = nextChoices(infoOf(base), 0).find(({ point }) => point === 2)!;
  const delayed = createRun(withChoice(infoOf(base), first, "delay", 150));
  const isAgain = (name: string) => name === `${first.name} #2`;
  const refused = createRun(withChoice(infoOf(base), first, "refuse", 0));
  const again = choiceOf(refused.decisions.find(({ name }) => isAgain(name))!)!;
  const twice = withChoice(infoOf(refused), again, "delay", 90);
  assert.deepEqual(twice.changes, [
    [first.name, 1],
    [again.name, 4],
    [`delay-ms 2/${first.subject}`, 90],
  ]);
  const atMs = (run: SimulatedRun) =>
    run.entries.find(({ kind, subject }) => kind === "publish" && subject === first.subject)!.atUs /
    1_000;
  assert.equal(Math.round(atMs(delayed) - atMs(base)), 150);
});

Deno.test("two runs that are alike do not part; one that ends earlier parts there", () => {
  assert.equal(divergenceOf(base.entries, base.entries), undefined);
  assert.equal(divergenceOf(base.entries, base.entries.slice(0, 5)), 5);
});

Deno.test("a decision of a record is said in words", () => {
  assert.equal(decisionWords("fault-1 o1", 1), "Point 1, order 1: refuse");
  assert.equal(decisionWords("fault-4 o3 #2", 0), "Point 4, order 3: gets through");
  assert.equal(
    decisionWords("outage-ms 2/o7", 8_000).replaceAll("\u202f", " "),
    "Outage, point 2, order 7: 8 s",
  );
  assert.match(decisionWords("down-ms relay-1.0 #3", 50), /^Down, Relay 1a: 50\sms$/);
});
