import assert from "node:assert/strict";
import { PingIds } from "./ping_ids.ts";

Deno.test("PingIds are unique, 32 bytes, and know their own", () => {
  const [ours, others] = [new PingIds(), new PingIds()];
  assert.equal(ours.id(2 ** 40 + 1).length, 32);
  assert.equal(ours.seq(ours.id(2 ** 40 + 1)), 2 ** 40 + 1);
  assert.equal(ours.seq(others.id(1)), undefined);
  assert.equal(ours.seq(Uint8Array.of(1)), undefined);
  assert.notDeepEqual(ours.id(1), ours.id(2));
});
