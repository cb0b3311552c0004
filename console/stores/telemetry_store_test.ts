import assert from "node:assert/strict";
import { defaultLimits, TelemetryStore } from "./telemetry_store.ts";

Deno.test("TelemetryStore refuses limits that are out of range: with none it would hold nothing, silently", () => {
  for (const [name, value] of [["maxSpans", 0], ["maxSeries", -1], ["maxLogs", 1.5]] as const) {
    assert.throws(
      () => new TelemetryStore({ [name]: value }),
      new RangeError(
        `Cannot hold telemetry as '${name}' must be a positive integer: current value is ${value}`,
      ),
    );
  }
});

Deno.test("TelemetryStore may hold no bytes at all: a console that only passes on", () => {
  assert.deepEqual(new TelemetryStore({ maxHeldBytes: 0 }).limits, {
    ...defaultLimits,
    maxHeldBytes: 0,
  });
});
