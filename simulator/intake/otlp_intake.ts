/**
 * Takes in OpenTelemetry: any program that exports spans by OTLP/HTTP is a client, and each of its
 * spans an event of the contract's form. Metrics and log records only show that it lives.
 *
 * @module
 */
import type { OtlpRequests, Signal } from "../../service/otlp/otlp_message.ts";
import type { Resource } from "../../service/otlp/proto/gen/resource_pb.ts";
import type { AnyValue, KeyValue } from "../../service/otlp/proto/gen/common_pb.ts";
import type { Span } from "../../service/otlp/proto/gen/trace_pb.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import { type EventAttributes, eventJson, traceIdAsUuid } from "../client/event_json.ts";
import type { ClientSource } from "../events/clients.ts";
import type { Recorder } from "../events/recorder.ts";

/** Options of {@linkcode OtlpIntake}. */
export interface OtlpIntakeOptions {
  recorder: Recorder;
  world: World;
  /**
   * A program that has exported nothing for so long has left the stage, in milliseconds; one that
   * runs exports its metrics every few seconds.
   *
   * @default 60_000
   */
  silenceMs?: number;
  /** Programs known at once; the spans of further ones are counted and not shown. @default 10_000 */
  maxResources?: number;
}

/** A program that exports. */
interface Exporter {
  readonly name: string;
  readonly pid: number | undefined;
  readonly source: ClientSource;
  lastMs: number;
}

/** A span whose program is known. */
interface NamedSpan {
  readonly exporter: Exporter;
  readonly span: Span;
}

const sweepIntervalMs = 5_000;
/** Our own spans would be about ourselves. */
const ownName = "simulator";
const kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const;
const statusError = 2;

/** Makes events of spans. */
export class OtlpIntake {
  readonly #options: Required<OtlpIntakeOptions>;
  readonly #exporters = new Map<string, Exporter>();
  readonly #timer: TimerId;
  /** Spans of programs that were too many. */
  beyondLimit = 0;

  constructor(options: OtlpIntakeOptions) {
    this.#options = { silenceMs: 60_000, maxResources: 10_000, ...options };
    this.#timer = options.world.setInterval(() => this.#sweep(), sweepIntervalMs);
  }

  /** Takes a request. Nothing of it is refused: what cannot be shown is left out. */
  take<S extends Signal>(signal: S, message: OtlpRequests[S]): undefined {
    if (signal === "traces") {
      this.#takeSpans(message as OtlpRequests["traces"]);
    } else {
      const resources = signal === "metrics"
        ? (message as OtlpRequests["metrics"]).resourceMetrics
        : (message as OtlpRequests["logs"]).resourceLogs;
      for (const { resource } of resources) this.#exporterOf(resource);
    }
    return undefined;
  }

  /** Forgets every program. */
  stop(): void {
    this.#options.world.clearInterval(this.#timer);
    this.#exporters.clear();
  }

  #takeSpans({ resourceSpans }: OtlpRequests["traces"]): void {
    const spans: NamedSpan[] = [];
    for (const { resource, scopeSpans } of resourceSpans) {
      const exporter = this.#exporterOf(resource);
      for (const { spans: own } of scopeSpans) {
        if (exporter) spans.push(...own.map((span) => ({ exporter, span })));
        else this.beyondLimit += own.length;
      }
    }
    // A batch has them as they ended, the caller's last: on the stage the caller comes first.
    spans.sort((a, b) => a.span.startTimeUnixNano < b.span.startTimeUnixNano ? -1 : 1);
    for (const { exporter, span } of spans) {
      this.#options.recorder.take(spanJson(exporter, span), exporter.source);
    }
  }

  #exporterOf(resource: Resource | undefined): Exporter | undefined {
    const attributes = resource?.attributes ?? [];
    const name = textOf(attributes, "service.name") || "unknown_service";
    if (name === ownName) return undefined;
    const instance = textOf(attributes, "service.instance.id") ||
      `${textOf(attributes, "host.name")} ${textOf(attributes, "process.pid")}`;
    const key = `${textOf(attributes, "service.namespace")}\n${name}\n${instance}`;
    const { world, maxResources, recorder } = this.#options;
    let exporter = this.#exporters.get(key);
    if (!exporter) {
      if (this.#exporters.size >= maxResources) return undefined;
      const pid = Number(textOf(attributes, "process.pid"));
      exporter = {
        name: name.slice(0, 200),
        pid: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
        source: recorder.source(),
        lastMs: 0,
      };
      this.#exporters.set(key, exporter);
    }
    exporter.lastMs = world.monotonicMs();
    return exporter;
  }

  /** Lets those leave that have been silent: OTLP has no word for the end of a program. */
  #sweep(): void {
    const { world, silenceMs, recorder } = this.#options;
    for (const [key, exporter] of this.#exporters) {
      if (world.monotonicMs() - exporter.lastMs < silenceMs) continue;
      this.#exporters.delete(key);
      const { name, pid, source } = exporter;
      if (source.clients === 0) continue;
      recorder.take(
        eventJson({
          traceId: world.randomUuid(),
          name,
          event: "processStopped",
          timeUnixNano: BigInt(world.nowMs()) * 1_000_000n,
          attributes: {
            ...(pid !== undefined && { pid }),
            reason: `no telemetry for ${silenceMs / 1_000} s`,
          },
        }),
        source,
      );
    }
  }
}

function spanJson({ name, pid }: Exporter, span: Span): string {
  const durationNano = span.endTimeUnixNano - span.startTimeUnixNano;
  const failed = span.status?.code === statusError;
  const attributes: EventAttributes = {
    args: span.name.slice(0, 1_000) || "(no name)",
    ...(pid !== undefined && { pid }),
    spanId: span.spanId.toHex(),
    parentSpanId: span.parentSpanId.toHex(),
    kind: kinds[span.kind] ?? "unspecified",
    duration: {
      type: "number",
      unit: "nanoseconds",
      value: durationNano > 0n ? durationNano : 0n,
    },
    ...(failed && {
      "error.type": textOf(span.attributes, "error.type").slice(0, 200) || "error",
      reason: (span.status?.message || span.name).slice(0, 1_000),
    }),
  };
  return eventJson({
    traceId: traceIdAsUuid(span.traceId.toHex().padStart(32, "0")),
    name,
    event: failed ? "spanFailed" : "spanEnded",
    timeUnixNano: span.endTimeUnixNano,
    attributes,
  });
}

/** An attribute as text; empty when it is missing. */
function textOf(attributes: readonly KeyValue[], key: string): string {
  return valueText(attributes.find((one) => one.key === key)?.value);
}

function valueText(value: AnyValue | undefined): string {
  const { case: kind, value: inner } = value?.value ?? {};
  return kind === "stringValue" || kind === "intValue" ? String(inner) : "";
}
