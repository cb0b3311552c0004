import assert from "node:assert/strict";
import { type PendingRequest, PendingRequests } from "./pending_requests.ts";
import { SignError } from "./sign_error.ts";
import type { SignAnswer } from "./wire.ts";

const answer: SignAnswer = { msgId: "a", respId: "r", payload: "p" };

function request(given: Partial<PendingRequest> = {}): PendingRequest {
  return { deadlineMs: 100, bytes: 1, sent: false, settle: () => {}, ...given };
}

Deno.test("PendingRequests holds so many requests and bytes, and what ends makes room", () => {
  const byCount = new PendingRequests({ maxRequests: 2, maxBytes: 1_000 });
  byCount.add("a", request());
  assert.ok(byCount.hasRoomFor(1));
  byCount.add("b", request());
  assert.ok(!byCount.hasRoomFor(0));
  byCount.end("a", "answered", answer);
  assert.ok(byCount.hasRoomFor(1));
  assert.equal(byCount.size, 1);

  const byBytes = new PendingRequests({ maxRequests: 1_000, maxBytes: 10 });
  byBytes.add("a", request({ bytes: 6 }));
  assert.ok(byBytes.hasRoomFor(4));
  assert.ok(!byBytes.hasRoomFor(5));
  byBytes.end("a", "timed-out", new SignError("timeout"));
  assert.ok(byBytes.hasRoomFor(10));
  assert.ok(!byBytes.hasRoomFor(11));
});

Deno.test("PendingRequests ends a request once, with what it ends in, and leaves others alone", () => {
  const pending = new PendingRequests({ maxRequests: 9, maxBytes: 9 });
  const results: unknown[] = [];
  pending.add("a", request({ settle: (result) => results.push(result) }));
  pending.add("b", request({ settle: () => results.push("b") }));
  assert.ok(pending.has("a"));
  assert.deepEqual(pending.ids(), ["a", "b"]);
  pending.end("stranger", "answered", answer);
  assert.equal(pending.endingOf("stranger"), undefined);
  pending.end("a", "answered", answer);
  pending.end("a", "timed-out", new SignError("timeout"));
  assert.deepEqual(results, [answer]);
  assert.ok(!pending.has("a"));
  assert.equal(pending.endingOf("a"), "answered");
  assert.deepEqual(pending.ids(), ["b"]);
});

Deno.test("PendingRequests knows the first whose time is up, to the millisecond", () => {
  const pending = new PendingRequests({ maxRequests: 9, maxBytes: 9 });
  assert.equal(pending.overdue(1_000), undefined);
  pending.add("a", request({ deadlineMs: 100 }));
  pending.add("b", request({ deadlineMs: 200 }));
  assert.equal(pending.overdue(99), undefined);
  assert.equal(pending.overdue(100)?.[0], "a");
  pending.end("a", "timed-out", new SignError("timeout"));
  assert.equal(pending.overdue(199), undefined);
  assert.equal(pending.overdue(500)?.[0], "b");
});

Deno.test("PendingRequests.none() resolves when the last has ended", async () => {
  const pending = new PendingRequests({ maxRequests: 9, maxBytes: 9 });
  await pending.none();
  pending.add("a", request());
  pending.add("b", request());
  let isNone = false;
  const none = pending.none().then(() => isNone = true);
  pending.end("a", "answered", answer);
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(isNone, false);
  pending.end("b", "answered", answer);
  await none;
});

Deno.test("PendingRequests remembers how the last 16,384 ended, and forgets those of long ago", () => {
  const pending = new PendingRequests({ maxRequests: 9, maxBytes: 9 });
  const end = (from: number, to: number) => {
    for (let id = from; id < to; id++) {
      pending.add(String(id), request());
      pending.end(String(id), "answered", answer);
    }
  };
  end(0, 16_384);
  assert.equal(pending.endingOf("0"), "answered");
  end(16_384, 32_768);
  assert.equal(pending.endingOf("0"), "answered", "one generation is kept beside the one at work");
  end(32_768, 32_769);
  assert.equal(pending.endingOf("0"), undefined);
  assert.equal(pending.endingOf("16384"), "answered");
});
