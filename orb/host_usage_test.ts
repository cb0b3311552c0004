import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { createHostMeter } from "./host_usage.ts";

testWith(["sys", "read"], "readHost() gives fractions of what there is", () => {
  const readHost = createHostMeter();
  // So that the processors' clocks have moved on.
  const until = performance.now() + 50;
  while (performance.now() < until);
  const usage = readHost();
  for (const [name, value] of Object.entries(usage)) {
    assert.ok(value > 0 && value <= 1, `${name} is ${value}`);
  }
});
