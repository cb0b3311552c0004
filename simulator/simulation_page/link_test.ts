import assert from "node:assert/strict";
import { createRun, type EngineInput } from "../simulation/engine.ts";
import { checkedInput, decodeRun, encodeRun, inputOfFile, maxLinkLength } from "./link.ts";
import { firstRun, watchableRun } from "./scenario.ts";

const full: EngineInput = {
  seed: 4_000_000_000,
  plant: 14,
  given: { orders: 12, pattern: "dual-write", faults: { 2: { refuse: 0.25, outage: 0.01 } } },
  replay: [["fault-2 o1", 1], ["delay-ms 2/o1", 12.5]],
  changes: [["fault-6 r3 #2", 0]],
  interventions: [
    { kind: "rates", atMs: 12.345, point: 3, rates: { delay: 0.5 } },
    { kind: "crash", atMs: 100, part: "relay-1.0", durationMs: 500 },
  ],
  jitter: false,
};

Deno.test("a run comes out of a link as it went in", () => {
  assert.deepEqual(decodeRun(encodeRun(full)), full);
  const plain = decodeRun(encodeRun({ seed: 7 }));
  assert.deepEqual(plain, { seed: 7, plant: 0, given: {}, jitter: true });
  assert.match(encodeRun(full), /^[\w-]+$/);
  assert.ok(encodeRun(firstRun).length < 500, `${encodeRun(firstRun).length} characters`);
});

Deno.test("the decisions of a shrunk run fit into a link, and make the same run", () => {
  const run = createRun(watchableRun([["fault-2 o3", 3], ["fault-4 o1", 1]]));
  const input = inputOfFile(JSON.stringify(run.record()));
  const text = encodeRun(input);
  assert.ok(text.length < maxLinkLength / 2, `${text.length} characters`);
  assert.equal(createRun(decodeRun(text)).result.hash, run.result.hash);
});

Deno.test("a link that is damaged, too new, too long or a bomb is refused in words", async () => {
  const text = encodeRun(full);
  assert.throws(() => decodeRun(text.slice(0, -9)), /cut short/);
  assert.throws(() => decodeRun("%%%"), /cut short/);
  assert.throws(() => decodeRun("x".repeat(maxLinkLength + 1)), /too long/);
  // A run has one text: no other alphabet, no white space, no padding by halves.
  const other = [`${text} `, `${text.slice(0, 9)}\n${text.slice(9)}`, `${text}===`];
  if (/[-_]/.test(text)) other.push(text.replaceAll("-", "+").replaceAll("_", "/"));
  for (const one of other) assert.throws(() => decodeRun(one), /cut short/, one);
  const pack = async (text: string) => {
    const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  };
  const newer = await pack('{"v":2,"s":1}');
  assert.throws(() => decodeRun(newer), /version 2; this page knows version 1/);
  const bomb = await pack(`{"v":1,"s":1}${" ".repeat(300_000)}`);
  assert.throws(() => decodeRun(bomb), /cut short/);
});

Deno.test("a run that would keep the page busy for minutes, or means nothing, is refused", () => {
  const cases: readonly [Partial<Record<keyof EngineInput, unknown>>, RegExp][] = [
    [{ seed: 1.5 }, /seed must be a 32-bit integer/],
    [{ plant: 25 }, /no planted bug 25/],
    [{ given: { orders: 1e9 } }, /'orders' must be from 1 to 1000/],
    [{ given: { orders: "9" } }, /'orders' must be/],
    [{ given: { pattern: "hope" } }, /'pattern' must be one of outbox/],
    [{ given: { __proto__x: 1 } }, /no option '__proto__x'/],
    [{ given: { faults: { 9: {} } } }, /faults at point 9/],
    [{ given: { faults: { 1: { refuse: 2 } } } }, /faults at point 1/],
    [{ changes: [["x"]] }, /decisions are not pairs/],
    [{ changes: [["x", Infinity]] }, /decisions are not pairs/],
    [{ interventions: [{ kind: "explode" }] }, /by hand/],
  ];
  for (const [part, words] of cases) {
    assert.throws(() => checkedInput({ seed: 1, ...part } as EngineInput), words);
  }
  assert.throws(() => inputOfFile("hello"), /not JSON/);
});
