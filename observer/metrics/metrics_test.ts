import assert from "node:assert/strict";
import { metrics } from "@opentelemetry/api";
import { parseEndpoint } from "../grpc/endpoint.ts";
import { expositionText } from "./exposition.ts";
import type { Observation } from "../stores/store_watch.ts";
import { ObserverMetrics } from "./metrics.ts";

const observation: Observation = {
  ...{ trigger: "http", outcome: "success", atMs: 0, durationMs: 0, imageCount: 0 },
  ...{ changed: undefined, reason: undefined, traceId: undefined, spanId: undefined },
};

Deno.test("ObserverMetrics counts a duration that is a bound in the bucket that it is the bound of", () => {
  const endpoint = parseEndpoint("cri=unix:///run/crio.sock");
  const meter = metrics.getMeter("test");
  const counted = new ObserverMetrics({ states: () => [], version: "0", meter });
  for (const durationMs of [5, 5.001, 10_000, 10_001]) {
    counted.count(endpoint, "http", "success", { ...observation, durationMs });
  }
  const text = expositionText(counted.families(), "prometheus");
  const below = (le: string) =>
    Number(new RegExp(`duration_seconds_bucket\\{.*le="${le}"\\} (\\d+)`).exec(text)![1]);
  assert.deepEqual(["0.0025", "0.005", "0.01", "5", "10", "\\+Inf"].map(below), [0, 1, 2, 2, 3, 4]);
});
