import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { testWith } from "../../service/testing/permissions.ts";
import { createRun, divergence, type SimulatedRun } from "./engine.ts";
import { runSimulation } from "./run.ts";

const input = { seed: 7, given: { orders: 12 } };

Deno.test("a run in steps is the run in one go: same hash, same events", () => {
  const run = createRun(input);
  const plain = runSimulation(input);
  assert.equal(run.result.hash, plain.hash);
  assert.equal(run.length, plain.events);
  assert.equal(run.entries.length, plain.lines);
  assert.equal(run.event, 0);
});

Deno.test("wherever a run is sought from, a position looks the same", () => {
  const run = createRun(input);
  const places = [0, 100, 101, Math.floor(run.length / 2), run.length];
  const forwards = places.map((event) => (run.seek(event), run.snapshot()));
  const backwards = places.toReversed().map((event) => (run.seek(event), run.snapshot()));
  assert.deepEqual(backwards.toReversed(), forwards);
  assert.deepEqual(forwards.map(({ event }) => event), places);
  assert.deepEqual(structuredClone(forwards[3]), forwards[3]);
});

Deno.test("steps go by event, by line and by message, and back again", () => {
  const run = createRun(input);
  for (const by of ["event", "line", "message"] as const) {
    run.seek(0);
    const events: number[] = [];
    for (let i = 0; i < 5; i++) {
      assert.ok(run.step(by));
      events.push(run.event);
    }
    const back: number[] = [];
    for (let i = 0; i < 4; i++) {
      assert.ok(run.step(by, -1));
      back.push(run.event);
    }
    assert.deepEqual(back, events.slice(0, -1).toReversed(), by);
  }
  run.seek(run.length);
  assert.equal(run.step(), false);
  run.seek(0);
  assert.equal(run.step("event", -1), false);
});

Deno.test("time and events belong together", () => {
  const run = createRun(input);
  for (const event of [1, 50, run.length]) {
    const at = run.eventAt(run.timeOf(event));
    assert.ok(at >= event && run.timeOf(at) === run.timeOf(event));
  }
  assert.equal(run.eventAt(-1), 0);
  assert.equal(run.eventAt(1e9), run.length);
});

Deno.test("what is nowhere is lost, and a sentence says where it was last", () => {
  const run = failing(11);
  run.seek(run.length);
  const { counters } = run.snapshot();
  const lost = run.orders().filter(({ state }) => state === "lost");
  assert.ok(counters.lost > 0 && lost.length > 0);
  assert.match(lost[0]!.text, /^order \d+: committed at \d+\.\d s, .*; last seen in /);
  assert.equal(run.orders().length, 12);
});

Deno.test("each order is done at the end of a run that holds", () => {
  const run = createRun(input);
  run.seek(run.length);
  assert.equal(run.result.verdict, "true");
  for (const { state, text, effects } of run.orders()) {
    assert.equal(state, "done", text);
    assert.equal(effects.length, 3);
  }
  const { counters, boxes } = run.snapshot();
  assert.deepEqual([counters.placed, counters.applied], [12, 36]);
  assert.deepEqual([counters.inFlight, counters.lost], [0, 0]);
  assert.deepEqual(Object.values(boxes).flat(), []);
});

Deno.test("messages are seen in boxes and on their way", () => {
  const run = createRun(input);
  const seen = new Set<string>();
  while (run.step("event")) {
    const { boxes, flights, atMs } = run.snapshot();
    for (const [box, items] of Object.entries(boxes)) if (items.length > 0) seen.add(box);
    for (const { point, untilMs = Infinity, sinceMs } of flights) {
      assert.ok(
        sinceMs <= atMs && untilMs >= atMs - 0.001,
        `${point}: ${sinceMs}..${untilMs} at ${atMs}`,
      );
      seen.add(`point ${point}`);
    }
  }
  const boxes = ["inbox-1", "inbox-2", "orders", "outbox-1", "outbox-2", "results"];
  const points = [1, 2, 3, 4, 5, 6, 7, 8].map((point) => `point ${point}`);
  assert.deepEqual([...seen].sort(), [...boxes, ...points].sort());
});

Deno.test("a fork with a decision changed parts from its run there, and not before", () => {
  const run = createRun({ ...input, given: { orders: 12, faults: {} } });
  run.seek(50);
  const decision = run.decisions.find(({ name, event }) =>
    name.startsWith("fault-2") && event > 50
  )!;
  const fork = run.fork({ changes: [[decision.name, 1]] });
  assert.equal(divergence(run, run.fork({})), undefined, "a fork without a change is the same run");
  const { events: [mine, other] } = divergence(run, fork)!;
  assert.ok(mine! >= decision.event && mine! - decision.event < 50);
  assert.equal(fork.entries.find(({ event }) => event === other)!.detail, "refuse");
  assert.equal(fork.event, 50);
  assert.equal(fork.result.decisions.length, run.result.decisions.length + 1);
});

Deno.test("what is done by hand is part of the run, and of its record", () => {
  const run = createRun({ ...input, given: { orders: 12, faults: {}, crashes: 0 } });
  const atMs = 200;
  const fork = run.fork({
    interventions: [
      { kind: "crash", atMs, part: "lambda-2.0", durationMs: 500 },
      { kind: "rates", atMs: 210, point: 2, rates: { refuse: 1 } },
      { kind: "pause", atMs: 220, part: "processor-2.0", durationMs: 300 },
    ],
  });
  assert.ok(fork.timeOf(divergence(run, fork)!.events[1]!) >= atMs);
  fork.seek(fork.eventAt(400));
  const { parts } = fork.snapshot();
  assert.equal(parts.find(({ name }) => name === "lambda-2.0")!.state, "down");
  assert.equal(parts.find(({ name }) => name === "processor-2.0")!.state, "paused");
  assert.ok(fork.marks.some(({ name }) => name === "refuse@2"));
  assert.equal(fork.result.verdict, "true");
  const { seed, plant, options, decisions, interventions } = fork.record();
  const again = createRun({
    seed,
    plant,
    given: options,
    replay: decisions,
    interventions: interventions!,
  });
  assert.equal(again.result.hash, fork.result.hash);
});

Deno.test("rates that are changed by hand draw faults in a replay too", () => {
  const quiet = { orders: 12, faults: {}, crashes: 0, pauses: 0 };
  const replay = createRun({ ...input, given: quiet, replay: [] });
  const fork = replay.fork({
    interventions: [{ kind: "rates", atMs: 100, point: 2, rates: { refuse: 0.9 } }],
  });
  const faults = fork.entries.filter(({ kind }) => kind === "fault-2");
  assert.ok(faults.length > 3 && faults.every(({ atUs }) => atUs >= 100_000));
});

Deno.test("the causal past of an effect holds its order's way there, and nothing that came after", () => {
  const run = createRun(input);
  const place = run.entries.findIndex(({ kind, detail }) =>
    kind === "effect" && detail === "confirmation"
  );
  const effect = run.entries[place]!;
  const past = run.causalPast(place);
  assert.equal(past.at(-1), place);
  const kinds = past.map((one) => run.entries[one]!)
    .filter(({ subject, messages }) =>
      [subject, ...messages].includes(effect.subject.replace("r", "o"))
    )
    .map(({ kind }) => kind);
  for (const kind of ["commit", "publish", "deliver", "effect"]) {
    assert.ok(kinds.includes(kind), kind);
  }
  assert.ok(past.length < place, "not everything before it has led to it");
});

testWith(["read"], "nothing that a page imports needs Deno or Node", async () => {
  const libraries = new Set<string>();
  const seen = new Set<string>();
  const open = [new URL("./engine.ts", import.meta.url)];
  for (let url = open.pop(); url !== undefined; url = open.pop()) {
    if (seen.has(url.href)) continue;
    seen.add(url.href);
    const text = (await readFile(url, "utf8")).replaceAll(/\/\*\*[^]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(text, /\bDeno\.|\bprocess\.env|\bBuffer\b|import\.meta/, url.pathname);
    for (const [, specifier] of text.matchAll(/from "([^"]+)"/g)) {
      if (specifier!.startsWith(".")) open.push(new URL(specifier!, url));
      else libraries.add(specifier!);
    }
  }
  assert.ok(seen.size > 20);
  assert.deepEqual([...libraries].filter((one) => one.startsWith("node:")), []);
});

function failing(plant: number): SimulatedRun {
  for (let seed = 1; seed <= 50; seed++) {
    const run = createRun({ seed, plant, given: { orders: 12 } });
    if (run.result.verdict === "false") return run;
  }
  throw new Error(`Plant ${plant} is not found`);
}

Deno.test("a commit's entry has the rows that it has changed, for a message's history", () => {
  const run = createRun(input);
  const history = run.entries.flatMap(({ rows = [] }) =>
    rows.filter(({ table, before, after }) =>
      table === "outbox" && (after ?? before)!["messageId"] === "o1"
    ).map(({ after }) => after?.["state"] ?? "removed")
  );
  assert.deepEqual(history.slice(0, 3), ["pending", "claimed", "sent"]);
  const fields = new Set(run.entries.flatMap(({ rows = [] }) => rows.flatMap(Object.keys)));
  assert.deepEqual(
    [...fields].sort(),
    ["after", "before", "id", "table"],
    "and nothing of the store",
  );
});

Deno.test("a position looks the same wherever it is reached from, also from what was parked", () => {
  const plain = createRun({ seed: 7, given: { orders: 60 } });
  const run = createRun({ seed: 7, given: { orders: 60 } });
  let calls = 1;
  while (run.park()) calls++;
  assert.ok(calls > 2, `${calls} calls`);
  for (const share of [0.9, 0.3, 0.31, 0.8, 0, 1, 0.5]) {
    const event = Math.floor(run.length * share);
    run.seek(event);
    plain.seek(event);
    assert.deepEqual(run.snapshot(), plain.snapshot(), `at ${event}`);
  }
  assert.ok(run.park(), "what was used up can be made again");
});
