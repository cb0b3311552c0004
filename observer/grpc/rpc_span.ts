/**
 * A client span and `rpc.client.call.duration` for each gRPC call, by the RPC conventions (stable
 * since v1.44), with W3C trace context in the request's metadata.
 *
 * @module
 */
import {
  type Attributes,
  context,
  type Histogram,
  type Meter,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { realWorld, type World } from "../../service/world/world.ts";
import type { Endpoint } from "./endpoint.ts";
import { callFailure } from "./failure.ts";

/** What traced calls need. */
export interface RpcTracing {
  readonly tracer: Tracer;
  /** `rpc.client.call.duration`, in seconds. */
  readonly duration: Histogram;
  /** Whose clock measures it. */
  readonly world: Pick<World, "monotonicMs">;
}

/** The bucket boundaries that the RPC conventions ask for, in seconds. */
const durationBuckets = [
  ...[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
];

/** Makes the instruments of {@linkcode RpcTracing}. */
export function rpcTracing(
  tracer: Tracer,
  meter: Meter,
  world: Pick<World, "monotonicMs"> = realWorld,
): RpcTracing {
  return {
    tracer,
    world,
    duration: meter.createHistogram("rpc.client.call.duration", {
      description: "Measures the duration of an outgoing Remote Procedure Call (RPC).",
      unit: "s",
      advice: { explicitBucketBoundaries: durationBuckets },
    }),
  };
}

/**
 * Carries out a call inside a client span.
 *
 * @param method fully qualified, `runtime.v1.ImageService/ListImages`
 * @param call gets the metadata to send
 * @throws {ObservationError} the call failed
 */
export async function tracedCall<T>(
  { tracer, duration, world }: RpcTracing,
  endpoint: Endpoint,
  method: string,
  call: (metadata: Headers) => Promise<T>,
): Promise<T> {
  const attributes: Attributes = {
    "rpc.system.name": "grpc",
    "rpc.method": method,
    ...("path" in endpoint.target
      ? { "server.address": endpoint.target.path, "network.transport": "unix" }
      : {
        "server.address": endpoint.target.host,
        "server.port": endpoint.target.port,
        "network.transport": "tcp",
      }),
  };
  const span = tracer.startSpan(method, { kind: SpanKind.CLIENT, attributes });
  const active = trace.setSpan(context.active(), span);
  const metadata = new Headers();
  propagation.inject(active, metadata, { set: (headers, name, value) => headers.set(name, value) });
  const startMs = world.monotonicMs();
  attributes["rpc.status_code"] = "OK";
  try {
    return await context.with(active, () => call(metadata));
  } catch (error) {
    const failure = callFailure(endpoint, method, error);
    attributes["rpc.status_code"] = failure.status;
    attributes["error.type"] = failure.status;
    span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
    throw failure;
  } finally {
    span.setAttributes(attributes);
    span.end();
    duration.record((world.monotonicMs() - startMs) / 1_000, attributes, active);
  }
}
