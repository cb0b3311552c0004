/**
 * From decoded OTLP requests to the stores: every item is checked, the good ones are kept, the others
 * counted by reason for `partial_success`. One file for each signal lies beside.
 *
 * @module
 */
import type { Unreadable } from "../../service/otlp/lenient_decode.ts";
import type { OtlpRequests, Refusal } from "../../service/otlp/otlp_message.ts";
import type { Signal } from "../page_api/stream_events.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { IntakeRequest } from "./intake_request.ts";
import { takeLogs } from "./take_logs.ts";
import { takeMetrics } from "./take_metrics.ts";
import { takeTraces } from "./take_traces.ts";

/**
 * Keeps a request's items.
 *
 * @param unreadable what of the request could not be read, to be counted
 * @returns what was refused of what could be read, `undefined` if nothing was
 *
 * @example
 * ```ts
 * const message = decodeRequest("logs", "application/json", body);
 * const refusal = takeRequest(store, "logs", message, world.nowMs());
 * ```
 */
export function takeRequest<S extends Signal>(
  store: TelemetryStore,
  signal: S,
  request: OtlpRequests[S],
  nowMs: number,
  unreadable?: Unreadable,
): Refusal | undefined {
  const intake = new IntakeRequest(store, signal, nowMs);
  switch (signal) {
    case "traces":
      takeTraces(intake, request as OtlpRequests["traces"]);
      break;
    case "metrics":
      takeMetrics(intake, request as OtlpRequests["metrics"]);
      break;
    case "logs":
      takeLogs(intake, request as OtlpRequests["logs"]);
      break;
  }
  return intake.finish(unreadable);
}
