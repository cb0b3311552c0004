import assert from "node:assert/strict";
import { OffsetTracker } from "./offset_tracker.ts";

Deno.test("OffsetTracker commits nothing before the first record is done with", () => {
  const tracker = new OffsetTracker();
  assert.equal(tracker.committable, undefined);
  tracker.begin(7);
  assert.equal(tracker.committable, undefined);
  tracker.finish(7);
  assert.equal(tracker.committable, 8);
});

Deno.test("OffsetTracker never commits past a record that is under way", () => {
  const tracker = new OffsetTracker();
  for (const offset of [3, 4, 6, 9]) tracker.begin(offset);
  tracker.finish(9);
  tracker.finish(4);
  assert.equal(tracker.committable, undefined);
  tracker.finish(3);
  assert.equal(tracker.committable, 5);
  tracker.finish(6);
  assert.equal(tracker.committable, 10);
});

Deno.test("OffsetTracker takes no record twice", () => {
  const tracker = new OffsetTracker();
  assert.equal(tracker.begin(1), true);
  assert.equal(tracker.begin(2), true);
  assert.equal(tracker.begin(1), false);
  tracker.finish(1);
  assert.equal(tracker.begin(1), false);
  assert.equal(tracker.begin(2), false);
  tracker.finish(1);
  assert.equal(tracker.committable, 2);
});
