/**
 * Telemetry that is off: without the SDK, tracer and meter do nothing.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import type { Telemetry } from "../telemetry.ts";
import { version } from "../version.ts";

/** What a program gets whose telemetry is off. */
export function noTelemetry(serviceName: string): Telemetry {
  return {
    enabled: false,
    tracer: trace.getTracer(serviceName, version),
    meter: metrics.getMeter(serviceName, version),
    shutdown: async () => {},
  };
}
