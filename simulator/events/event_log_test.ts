import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { EventLog, type LoggedEvent } from "./event_log.ts";
import { readTelemetryEvent, type TelemetryEvent } from "./telemetry_event.ts";

const event: TelemetryEvent = { traceId: "t", name: "n", event: "e", pid: undefined };

function logOf(options: { maxEvents?: number; maxBytes?: number; seed?: number } = {}) {
  return new EventLog({ world: new VirtualWorld({ seed: options.seed ?? 1 }), ...options });
}

Deno.test("EventLog hands out what came in one turn as one batch, in order, to every subscriber", async () => {
  const log = logOf();
  const batches: number[][] = [];
  const others: number[] = [];
  const end = log.subscribe((events) => batches.push(events.map(({ sequence }) => sequence)));
  log.subscribe((events) => others.push(...events.map(({ sequence }) => sequence)));
  log.append(1, event, "{}");
  log.append(1, event, "{}");
  await Promise.resolve();
  log.append(1, event, "{}");
  await Promise.resolve();
  end();
  log.append(1, event, "{}");
  await Promise.resolve();
  assert.deepEqual(batches, [[1, 2], [3]]);
  assert.deepEqual(others, [1, 2, 3, 4]);
});

Deno.test("EventLog keeps the last events, and the last bytes", async () => {
  const few = logOf({ maxEvents: 3 });
  for (let i = 0; i < 5; i++) few.append(1, event, `${i}`);
  await Promise.resolve();
  assert.deepEqual(few.since(0).map(({ json }) => json), ["2", "3", "4"]);
  assert.deepEqual([few.oldest, few.newest, few.kept], [3, 5, 3]);

  const small = logOf({ maxBytes: 25 });
  for (let i = 0; i < 5; i++) small.append(1, event, "x".repeat(10));
  await Promise.resolve();
  assert.equal(small.since(0).length, 2);
  small.append(1, event, "x".repeat(100));
  await Promise.resolve();
  assert.equal(small.since(0).length, 1, "the newest stays, however large");
});

Deno.test("EventLog keeps text byte for byte: any script, any length, over many turns of its ring", async () => {
  const log = logOf({ maxEvents: 700 });
  const texts = Array.from({ length: 4_000 }, (_, i) =>
    JSON.stringify({
      traceId: `t${i}`,
      name: ["plain", "größer", "漢字", "🛰️", "\u2028"][i % 5]!.repeat(1 + i * 37 % 90),
      event: "e",
      // Now and then one that is larger than the ring's pieces.
      padding: i % 97 === 0 ? "ß".repeat(100_000) : "",
    }));
  for (const [i, text] of texts.entries()) {
    const id = log.append(i, event, text).id;
    if (i % 500 === 0) assert.equal(log.find(id)?.json, text);
  }
  await Promise.resolve();
  const kept = log.since(0);
  assert.deepEqual(kept.map(({ json }) => json), texts.slice(-kept.length));
  assert.deepEqual(kept.map(({ client }) => client), texts.map((_, i) => i).slice(-kept.length));
  assert.equal(kept.length, 700);
  assert.equal(kept.at(-1)!.event.traceId, "t3999");
});

Deno.test("EventLog does not show twice what subscribers are about to get", async () => {
  const log = logOf();
  log.append(1, event, "1");
  await Promise.resolve();
  log.append(1, event, "2");
  const seen: LoggedEvent[] = [];
  log.subscribe((events) => seen.push(...events));
  const caughtUp = log.since(0);
  await Promise.resolve();
  assert.deepEqual([...caughtUp, ...seen].map(({ json }) => json), ["1", "2"]);
});

Deno.test("EventLog knows where a reader goes on: resumed, with a gap, or anew", async () => {
  const log = logOf({ maxEvents: 3 });
  const ids = Array.from({ length: 6 }, () => log.append(1, event, "{}").id);
  await Promise.resolve();
  assert.match(ids[0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(log.position(ids[5]!), { kind: "resumed", after: 6 });
  assert.deepEqual(log.position(ids[2]!), { kind: "resumed", after: 3 });
  assert.deepEqual(log.position(ids[1]!), { kind: "gap", after: 2, missing: 1 });
  assert.deepEqual(log.position(ids[0]!), { kind: "gap", after: 1, missing: 2 });
  const other = logOf({ seed: 2 }).append(1, event, "{}").id;
  for (const id of [other, "", "nonsense", `${ids[0]!.slice(0, 24)}ffffffffffff`]) {
    assert.deepEqual(log.position(id), { kind: "reset" }, id);
  }
  assert.equal(log.find(ids[4]!)?.sequence, 5);
  assert.equal(log.find(ids[0]!), undefined);
  assert.equal(log.find(other), undefined);
});

Deno.test("EventLog refuses to keep nothing", () => {
  assert.throws(() => logOf({ maxEvents: 0 }), /'maxEvents' must be a positive integer/);
});

Deno.test("readTelemetryEvent() takes the contract's lines and says why others are none", () => {
  const line =
    '{"traceId":"t","name":"n","event":"processStarted","timeUnixNano":1795798574686000001,' +
    '"attributes":[{"key":"pid","value":{"type":"integer","value":17}}],"more":{"a":[1]}}';
  assert.deepEqual(readTelemetryEvent(line), {
    traceId: "t",
    name: "n",
    event: "processStarted",
    pid: 17,
  });
  assert.equal(readTelemetryEvent("hello"), "not-json");
  for (
    const other of [
      "17",
      "null",
      "[]",
      "{}",
      '{"traceId":"t","name":"n"}',
      '{"traceId":"","name":"n","event":"e"}',
      '{"traceId":1,"name":"n","event":"e"}',
      `{"traceId":"t","name":"${"n".repeat(1_001)}","event":"e"}`,
    ]
  ) assert.equal(readTelemetryEvent(other), "wrong-shape", other.slice(0, 80));
  const odd =
    '{"traceId":"t","name":"n","event":"e","attributes":[null,{"key":"pid","value":"x"},7]}';
  assert.deepEqual(readTelemetryEvent(odd), {
    traceId: "t",
    name: "n",
    event: "e",
    pid: undefined,
  });
});
