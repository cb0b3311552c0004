/**
 * The console's own counters as metrics, put straight into its store: an exporter that sends to
 * itself would make telemetry of telemetry. They have a store of their own, so that no flood of
 * series takes their place.
 *
 * @module
 */
import { version } from "../service/version.ts";
import type { StatsEvent } from "./page_api/stream_events.ts";
import type { MetricIdentity, MetricStore } from "./stores/metric_store.ts";
import type { Source } from "./intake/source.ts";
import type { StoredAttributes } from "./intake/values.ts";

const scope = { name: "console", version };

/** Writes a point of each of the console's metrics, as of this run of it. */
export function recordOwnMetrics(metrics: MetricStore, stats: StatsEvent, instance: string): void {
  const source: Source = {
    service: "console",
    instance,
    attributes: ["service.namespace", "orrery", "service.version", version],
    key: "console",
  };
  const startMs = stats.atMs - stats.uptimeMs;

  function record(metric: MetricIdentity, value: number, attributes: StoredAttributes = []): void {
    metrics.add(
      metric,
      { source, scope, attributes, timeMs: stats.atMs, startMs, value, delta: false },
      stats.atMs,
    );
  }

  for (const signal of ["traces", "metrics", "logs"] as const) {
    const { received, evicted, refused, truncated, held } = stats[signal];
    record(counters.received, received, ["signal", signal]);
    record(counters.evicted, evicted, ["signal", signal]);
    record(counters.truncated, truncated, ["signal", signal]);
    record(gauges.held, held, ["signal", signal]);
    for (const [reason, count] of Object.entries(refused)) {
      record(counters.refused, count, ["signal", signal, "reason", reason]);
    }
  }
  record(counters.requests, stats.requests.accepted, ["http.response.status_code", "200"]);
  for (const [status, count] of Object.entries(stats.requests.refused)) {
    record(counters.requests, count, ["http.response.status_code", status]);
  }
  record(counters.requestBytes, stats.requests.bytes);
  record(gauges.heldBytes, stats.memory.heldBytes);
  record(gauges.residentBytes, stats.memory.rssBytes);
  record(gauges.streams, stats.streams);
  for (const { endpoint, delivered, dropped, retries, queuedBytes } of stats.forwards) {
    const to = ["url.full", endpoint];
    record(counters.forwarded, delivered, [...to, "outcome", "delivered"]);
    for (const [reason, count] of Object.entries(dropped)) {
      record(counters.forwarded, count, [...to, "outcome", reason]);
    }
    record(counters.forwardRetries, retries, to);
    record(gauges.forwardQueued, queuedBytes, to);
  }
}

function counter(name: string, unit: string, description: string): MetricIdentity {
  return { name: `orrery.console.${name}`, type: "sum", monotonic: true, unit, description };
}

function gauge(name: string, unit: string, description: string): MetricIdentity {
  return { name, type: "gauge", monotonic: false, unit, description };
}

const counters = {
  received: counter("items.received", "{item}", "Spans, data points and log records taken in."),
  evicted: counter("items.evicted", "{item}", "Items that made room for newer ones."),
  refused: counter("items.refused", "{item}", "Items refused and reported to their sender."),
  truncated: counter("values.truncated", "{value}", "Values cut or left out at the limits."),
  requests: counter("requests", "{request}", "Export requests by answer."),
  requestBytes: counter("requests.size", "By", "Bytes of accepted requests, as they came."),
  forwarded: counter("forward.requests", "{request}", "Requests passed on, by outcome."),
  forwardRetries: counter("forward.retries", "{attempt}", "Attempts beyond the first."),
};

const gauges = {
  held: gauge("orrery.console.items.held", "{item}", "Items in the ring buffers."),
  heldBytes: gauge("orrery.console.held", "By", "Estimated bytes in the ring buffers."),
  residentBytes: gauge("process.memory.usage", "By", "Resident memory of the console."),
  streams: gauge("orrery.console.streams", "{stream}", "Open live streams."),
  forwardQueued: gauge("orrery.console.forward.queued", "By", "Bytes waiting to be passed on."),
};
