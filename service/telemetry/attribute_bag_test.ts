import assert from "node:assert/strict";
import { VirtualWorld } from "../world/virtual_world.ts";
import { AttributeBag } from "./attribute_bag.ts";
import { randomSpanId, randomTraceId } from "./ids.ts";

Deno.test("AttributeBag keeps so many, the last value of each, and cuts what is too long", () => {
  const bag = new AttributeBag({ attributeCountLimit: 6, attributeValueLengthLimit: 3 });
  bag.add("exact", "abc", 1);
  bag.add("long", "abcd", 1);
  bag.add("number", 1234, 1);
  bag.add("flag", true, 1);
  bag.add("list", ["abcd", "e"], 1);
  bag.add("nothing", undefined, 1);
  assert.equal(bag.dropped, 0);
  bag.add("", "no name", 1);
  bag.add("", "no name", 0);
  bag.add("bad", Symbol("none") as unknown as string, 1);
  bag.add("bad", (() => {}) as unknown as string, 0);
  assert.equal(bag.dropped, 2);
  bag.add("sixth", 6, 1);
  bag.add("seventh", 7, 0);
  bag.add("sixth", 66, 1);
  assert.equal(bag.dropped, 3);
  assert.deepEqual(bag.values, {
    ...{ exact: "abc", long: "abc", number: 1234, flag: true, list: ["abc", "e"], sixth: 66 },
  });
});

Deno.test("ids are random digits, and never all zero", () => {
  const world = new VirtualWorld({ seed: 7 });
  assert.match(randomSpanId(world), /^[0-9a-f]{16}$/);
  assert.match(randomTraceId(world), /^[0-9a-f]{32}$/);
  for (const [make, words] of [[randomSpanId, 2], [randomTraceId, 4]] as const) {
    let drawn = 0;
    // The first ones are all zero.
    const id = make({ random: () => drawn++ < words ? 0 : 0.5 });
    assert.equal(id, "80000000".repeat(words));
  }
});
