import assert from "node:assert/strict";
import { newLogHash, portableLogHash } from "./log_hash.ts";

Deno.test("a log has the same hash in a page and beside it, however it is cut", () => {
  const text = "       1234 publish        relay-1.0    o17      orders — ✓\n".repeat(3_000);
  const digests = [newLogHash, portableLogHash].flatMap((begin) =>
    [7, 65_536, text.length].map((size) => {
      const hash = begin();
      for (let at = 0; at < text.length; at += size) hash.update(text.slice(at, at + size));
      return hash.digest();
    })
  );
  assert.equal(new Set(digests).size, 1);
  assert.match(digests[0]!, /^[0-9a-f]{64}$/);
  assert.notEqual(newLogHash().digest(), digests[0]);
});
