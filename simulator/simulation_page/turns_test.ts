import assert from "node:assert/strict";
import { turns } from "./turns.ts";

Deno.test("work is done one after the other, also after some that has failed", async () => {
  const inTurn = turns();
  const done: string[] = [];
  const first = Promise.withResolvers<void>();
  const all = [
    inTurn(async () => {
      await first.promise;
      done.push("first");
    }),
    inTurn(() => Promise.reject(new Error("second"))),
    inTurn(() => Promise.resolve(done.push("third"))),
  ];
  assert.deepEqual(done, []);
  first.resolve();
  const results = await Promise.allSettled(all);
  assert.deepEqual(done, ["first", "third"]);
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
});
