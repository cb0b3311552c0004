/**
 * The simulator's own metrics, read from its statistics when they are collected.
 *
 * @module
 */
import type { Meter } from "@opentelemetry/api";
import type { Stats } from "./api.ts";

/** Makes the instruments. */
export function recordMetrics(meter: Meter, stats: () => Stats): void {
  meter.createObservableCounter("simulator.events", {
    description: "Events taken in.",
    unit: "{event}",
  }).addCallback((result) => result.observe(stats().events));
  meter.createObservableCounter("simulator.lines.refused", {
    description: "Lines that are no events, by reason.",
    unit: "{line}",
  }).addCallback((result) => {
    for (const [reason, count] of Object.entries(stats().refused)) {
      result.observe(count, { reason });
    }
  });
  meter.createObservableGauge("simulator.clients", {
    description: "Processes that run.",
    unit: "{client}",
  }).addCallback((result) => result.observe(stats().clients));
  meter.createObservableGauge("simulator.web.clients", {
    description: "Clients that listen to the streams.",
    unit: "{client}",
  }).addCallback((result) => result.observe(stats().webClients));
  meter.createObservableCounter("simulator.web.dropped", {
    description: "Clients of the streams that were dropped, by reason.",
    unit: "{client}",
  }).addCallback((result) => {
    for (const [reason, count] of Object.entries(stats().dropped)) {
      result.observe(count, { reason });
    }
  });
}
