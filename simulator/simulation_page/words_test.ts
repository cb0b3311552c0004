import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { createRun } from "../simulation/engine.ts";
import { flightsOf } from "./topology_layout.ts";
import { entryWords, messageWords, partWords } from "./words.ts";

Deno.test("whatever happens in a run is a sentence, and flies where it goes", () => {
  const kinds = new Set<string>();
  // Bugs that take rare ways: fenced, redriven, thrown away, forgotten.
  for (const plant of [0, 3, 8, 12, 15, 16]) {
    const pattern = plant % 4 === 3 ? "dual-write" : "outbox";
    const given = plant === 0 ? { orders: 6 } : { orders: 6, pattern } as const;
    const { entries } = createRun({ seed: plant + 1, plant, given });
    for (const entry of entries) {
      const words = entryWords(entry);
      assert.doesNotMatch(words, /undefined|NaN|\[object| {2}/, `${entry.kind}: ${words}`);
      // A kind that has no sentence of its own begins with its part and a colon.
      if (words.startsWith(`${partWords(entry.part)}: ${entry.kind}`)) kinds.add(entry.kind);
      for (const { way } of flightsOf(entry)) {
        assert.ok(way.length >= 2 && way.every((node) => node !== undefined), entry.kind);
      }
    }
  }
  assert.deepEqual([...kinds], [], "kinds without a sentence");
});

testWith(["read"], "whatever a part says of itself is a sentence", async () => {
  const folder = new URL("../topology/", import.meta.url);
  const noted = new Set<string>();
  for await (const { name } of Deno.readDir(folder)) {
    const source = await Deno.readTextFile(new URL(name, folder));
    for (const [, kind] of source.matchAll(/\.note\(\s*"([a-z-]+)"/g)) noted.add(kind!);
  }
  assert.ok(noted.size > 15, "they were found");
  for (const kind of noted) {
    const entry = { event: 0, atUs: 0, kind, part: "relay-1.0", subject: "o1", detail: "o2" };
    const words = entryWords({ ...entry, messages: [] });
    assert.ok(!words.startsWith(`Relay 1a: ${kind}`), `${kind}: ${words}`);
  }
});

Deno.test("messages and parts have names that people say", () => {
  assert.equal(messageWords("o17"), "order 17");
  assert.equal(messageWords("r3"), "result 3");
  assert.equal(partWords("relay-1.1"), "Relay 1b");
  assert.equal(partWords("frontend"), "Frontend");
});
