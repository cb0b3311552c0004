import assert from "node:assert/strict";
import { TelemetryStore } from "../stores/telemetry_store.ts";
import { hexId, IntakeRequest, microseconds } from "./intake_request.ts";

function setUp() {
  const store = new TelemetryStore({ maxValueLength: 4 });
  const begin = () => new IntakeRequest(store, "traces", 7);
  /** Reads a value that is too long, as a request's attribute. */
  const cutOne = () => void store.reader.name("far too long");
  return { store, begin, cutOne };
}

Deno.test("an intake's answer has each reason with its count and its first item, in the order of sight", () => {
  const { store, begin } = setUp();
  const intake = begin();
  intake.from("shop");
  intake.refuse("invalid_span_id", "shop", "first");
  intake.refuse("trace_full", "shop", "full", 3);
  intake.refuse("invalid_span_id", "other", "second", 2);
  intake.refuse("invalid_trace_id", "shop", "none", 0);
  intake.refuse("invalid_trace_id", "shop", "less", -1);
  assert.deepEqual(intake.finish(), {
    count: 6,
    message:
      '3 invalid_span_id: span_id must be 8 bytes, not all zero (first: "first" of shop); 3 trace_full: its trace has reached the limit of spans or bytes (first: "full" of shop)',
  });
  assert.deepEqual([...store.counters.traces.refused], [["invalid_span_id", 3], ["trace_full", 3]]);
  assert.deepEqual(
    store.notices.rows().map(({ sender, reason, count }) => [sender, reason, count]),
    [["other", "invalid_span_id", 2], ["shop", "trace_full", 3], ["shop", "invalid_span_id", 1]],
  );
});

Deno.test("an intake counts what was cut in it, by whom, and nothing of the request before", () => {
  const { store, begin, cutOne } = setUp();
  cutOne();
  const intake = begin();
  assert.equal(intake.finish(), undefined);
  assert.equal(store.counters.traces.truncated, 0);
  assert.deepEqual(store.notices.rows(), []);

  const second = begin();
  cutOne();
  second.from("shop");
  second.cut("shop", "nothing since");
  cutOne();
  cutOne();
  second.cut("shop", "span");
  second.kept = 5;
  second.finish();
  const { received, truncated } = store.counters.traces;
  assert.deepEqual([received, truncated], [5, 3]);
  const [row] = store.notices.rows();
  assert.deepEqual([row!.reason, row!.sender, row!.count, row!.firstMs], ["cut", "shop", 3, 7]);
  assert.match(row!.detail, /values were cut or left out at the console's limits/);
});

Deno.test("what cannot be read is the first service's of the request, or nobody's", () => {
  for (
    const [services, sender] of [[[], "unknown_service"], [["one", "two"], "one"]] as const
  ) {
    const { store, begin } = setUp();
    const intake = begin();
    for (const service of services) intake.from(service);
    assert.equal(
      intake.finish({ refused: 2, leftOut: 3, example: { name: "n", reason: "why" } }),
      undefined,
    );
    assert.equal(store.counters.traces.truncated, 3);
    assert.deepEqual([...store.counters.traces.refused], [["malformed", 2]]);
    assert.deepEqual(
      store.notices.rows().map((row) => [
        ...[row.sender, row.reason, row.detail, row.count, row.example],
      ]),
      [
        [
          sender,
          "left_out",
          "attributes, events or links could not be read and were left out",
          3,
          "",
        ],
        [sender, "malformed", "why", 2, "n"],
      ],
    );
  }
  const { store, begin } = setUp();
  begin().finish({ refused: 0, leftOut: 0, example: undefined });
  assert.deepEqual(store.notices.rows(), []);
  begin().finish({ refused: 1, leftOut: 0, example: undefined });
  const [row] = store.notices.rows();
  assert.deepEqual([row!.reason, row!.detail, row!.example], ["malformed", "", ""]);
});

Deno.test("hexId() takes whole ids that are not zero, microseconds() whole ones", () => {
  const last = new Uint8Array(8).with(7, 1);
  assert.equal(hexId(last, 8), "0000000000000001");
  for (const none of [new Uint8Array(8), new Uint8Array(), last.subarray(1)]) {
    assert.equal(hexId(none, 8), undefined);
  }
  assert.equal(microseconds(1_999n), 1);
});
