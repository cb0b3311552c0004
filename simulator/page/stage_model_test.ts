import assert from "node:assert/strict";
import { CapturePlayer, readCaptureText } from "./capture_player.ts";
import { labelOf, parseDigits, seenEvent, stageLimits, StageModel } from "./stage_model.ts";

let id = 0;

function eventOf(client: number, event: string, more: {
  traceId?: string;
  atMs?: number;
  attributes?: Record<string, unknown>;
} = {}) {
  const attributes = Object.entries(more.attributes ?? {})
    .map(([key, value]) => ({ key, value: { stringValue: value } }));
  return seenEvent({
    id: `${++id}`,
    client,
    atMs: more.atMs ?? 1_000,
    data: { traceId: more.traceId ?? `of ${client}`, name: `part-${client}`, event, attributes },
  })!;
}

Deno.test("a sprite comes with its first event, says what it does, and leaves visibly", () => {
  const added: number[] = [];
  const removed: number[] = [];
  const model = new StageModel({
    added: ({ number }) => added.push(number),
    removed: ({ number }) => removed.push(number),
  });
  model.take(eventOf(1, "processStarted", { attributes: { pid: 7 } }), 0);
  model.take(eventOf(1, "processingPerformed", { attributes: { args: "hello" } }), 100);
  const sprite = model.sprites.get(1)!;
  assert.equal(labelOf(sprite), "part-1 7");
  assert.deepEqual(model.bubblesOf(sprite, 200).map(({ text }) => text), ["hello"]);
  assert.deepEqual(model.bubblesOf(sprite, 100 + stageLimits.bubbleMs + 1), []);
  model.take(eventOf(1, "processStopped"), 500);
  model.tidy(500 + stageLimits.leavingMs);
  assert.equal(model.sprites.get(1)?.state, "stopped");
  model.tidy(501 + stageLimits.leavingMs);
  assert.equal(model.sprites.size, 0);
  assert.deepEqual([added, removed], [[1], [1]]);
});

Deno.test("events of one trace by two sprites are a flight from the first to the second", () => {
  const model = new StageModel();
  model.take(eventOf(1, "processingPerformed", { traceId: "shared" }), 0);
  model.take(eventOf(2, "processingPerformed", { traceId: "shared" }), 10);
  model.take(eventOf(2, "processingPerformed", { traceId: "shared" }), 20);
  model.take(eventOf(3, "processingPerformed", { traceId: "other" }), 20);
  model.take(eventOf(1, "processingFailed", { traceId: "shared" }), 30);
  assert.deepEqual(
    model.flights.map(({ from, to, fault }) => [from, to, fault]),
    [[1, 2, false], [2, 1, true]],
  );
  const late = { traceId: "shared", atMs: 1_000 + stageLimits.traceMs + 1 };
  model.take(eventOf(2, "processingPerformed", late), 40);
  assert.equal(model.flights.length, 2, "so late it is no answer");
  model.tidy(30 + stageLimits.flightMs);
  assert.deepEqual(model.flights, []);
});

Deno.test("faults and lost connections are marked, and a lost sprite says so", () => {
  const model = new StageModel();
  model.take(eventOf(1, "processStarted"), 0);
  model.take(eventOf(1, "jobFailed", { attributes: { reason: "no stock" } }), 10);
  model.take(eventOf(0, "clientLost", { attributes: { client: 1 } }), 20);
  assert.equal(model.sprites.get(1)?.state, "lost");
  assert.deepEqual(
    model.marks.map(({ lane, label }) => `${lane}: ${label}`),
    ["faults: part-1: jobFailed no stock", "lost connections: part-1 #1"],
  );
});

Deno.test("what is remembered has limits, and what is left out is counted", () => {
  const model = new StageModel();
  for (let i = 0; i < stageLimits.events * 2; i++) {
    model.take(eventOf(1 + i % 2, "processingPerformed", { traceId: "shared" }), 0);
  }
  assert.ok(model.events.length <= stageLimits.events * 1.2);
  assert.equal(model.taken, stageLimits.events * 2);
  assert.equal(model.flights.length, stageLimits.flights);
  assert.equal(model.flightsLeftOut, stageLimits.events * 2 - 1 - stageLimits.flights);
  assert.ok(model.sprites.get(1)!.bubbles.length <= stageLimits.bubbles);
});

Deno.test("after a reconnect the sprites are those that run", () => {
  const model = new StageModel();
  const client = { name: "n", traceId: "t", pid: 1, state: "running" as const, sinceMs: 0 };
  model.reset([{ ...client, number: 1 }, { ...client, number: 2 }], 0);
  model.reconcile([{ ...client, number: 2 }, { ...client, number: 3 }], 10);
  assert.deepEqual(
    [...model.sprites.values()].map(({ number, state }) => [number, state]),
    [[1, "lost"], [2, "running"], [3, "running"]],
  );
});

Deno.test("nanoseconds keep their digits, and text that looks like them is left alone", () => {
  assert.deepEqual(parseDigits('{"timeUnixNano":1795798574686000001,"n":17}'), {
    timeUnixNano: "1795798574686000001",
    n: 17,
  });
  const text = { args: '"timeUnixNano":1795798574686000001,' };
  assert.deepEqual(parseDigits(JSON.stringify(text)), text);
});

Deno.test("what is no event is left out, whatever it is", () => {
  for (const data of [null, 1, "x", [], {}, { traceId: 1, name: "n", event: "e" }]) {
    assert.equal(seenEvent({ id: "1", client: 1, atMs: 0, data }), undefined);
  }
  const health = { traceId: "t", name: "n", event: "serverHealthcheck" };
  assert.equal(seenEvent({ id: "1", client: 0, atMs: 0, data: health }), undefined);
  assert.equal(seenEvent({ id: "1", client: 1, atMs: 0, data: health })?.text, "serverHealthcheck");
  const odd = { traceId: "t", name: "n", event: "e", attributes: [null, { key: 1 }, { key: "a" }] };
  assert.equal(seenEvent({ id: "1", client: 1, atMs: 0, data: odd })?.text, "e");
});

const heading = '{"capture":"orrery-simulator","version":1}';
const captured = (atMs: number) =>
  `{"atMs":${atMs},"client":1,"data":{"traceId":"t","name":"n","event":"e"}}`;

Deno.test("a capture is played in the page by its own clock, step by step, and again", () => {
  const player = new CapturePlayer(
    readCaptureText(
      [heading, captured(1_000), captured(1_100), captured(9_000_000), ""].join("\n"),
    ),
  );
  assert.equal(player.advance(0).length, 1);
  assert.equal(player.advance(99).length, 0);
  assert.equal(player.advance(1).length, 1);
  assert.equal(player.advance(4_000).length, 0, "a long silence is cut to five seconds");
  assert.equal(player.advance(1_001).length, 1);
  assert.ok(player.ended);
  player.rewind();
  assert.equal(player.step().length, 1);
  player.speed = 10;
  assert.equal(player.advance(10).length, 1);
});

Deno.test("a text that is no capture is refused in words", () => {
  assert.throws(() => readCaptureText("hello"), /This is no capture/);
  assert.throws(() => readCaptureText(heading), /It has no events/);
  assert.throws(() => readCaptureText(`${heading}\n{"atMs":1}`), /Line 2 of it is broken/);
});
