/**
 * Batches of spans or log records on their way to an exporter, as the SDK's batch processors
 * (OpenTelemetry specification, "Batching processor"): bounded, one export at a time, sooner when a
 * batch is full; a record beyond the bound is dropped and counted under the SDK's names.
 *
 * @module
 */
import { context, diag, type Meter, type ObservableResult, ROOT_CONTEXT } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode, suppressTracing } from "@opentelemetry/core";
import { settledWithin } from "../resilience.ts";
import type { TimerId, World } from "../world/world.ts";
import type { Batch, EncodedRequest } from "./batch.ts";

/** What sends batches. */
export interface RequestExporter {
  /** Sends one; `done` is called once, when it is delivered or given up. */
  export(request: EncodedRequest, done: (result: ExportResult) => void): void;
  /** Waits for what is under way. */
  shutdown(): Promise<void>;
}

/** Bounds of a batch processor, as `OTEL_BSP_*` and `OTEL_BLRP_*` name them. */
export interface BatchLimits {
  /** How long a record waits at most before it is sent, in milliseconds. */
  scheduledDelayMillis: number;
  /** How long one export may take before the next begins, in milliseconds. */
  exportTimeoutMillis: number;
  /** Records that may wait; one more is dropped. */
  maxQueueSize: number;
  /** Records in one export. */
  maxExportBatchSize: number;
}

/** Options of {@linkcode BatchProcessor}. */
export interface BatchProcessorOptions<Item> {
  /** Sends. */
  exporter: RequestExporter;
  /** Gathers. */
  batch: Batch<Item>;
  limits: BatchLimits;
  /** What is counted, as in `otel.sdk.processor.span.processed`. */
  signal: "span" | "log";
  /** Makes the instruments of the SDK's own metrics. */
  meter: Meter;
  world: World;
}

/** A batch that has come to this size is sent: collectors refuse bodies of more than some MiB. */
const maxBatchBytes = 1_024 ** 2;

/** Gathers, bounds, sends. */
export class BatchProcessor<Item> {
  readonly #exporter: RequestExporter;
  readonly #limits: BatchLimits;
  readonly #world: World;
  readonly #open: Batch<Item>;
  readonly #counts: ProcessorCounts;
  /** Closed batches, oldest first; they wait only while another one is being sent. */
  #closed: EncodedRequest[] = [];
  readonly #sending = new Set<Promise<void>>();
  /** Records in the open batch and in the closed ones. */
  #queued = 0;
  #exporting = false;
  #timer: TimerId | undefined;
  #shutdown: Promise<void> | undefined;

  constructor(options: BatchProcessorOptions<Item>) {
    const { limits } = options;
    this.#exporter = options.exporter;
    this.#limits = {
      ...limits,
      maxExportBatchSize: Math.min(limits.maxExportBatchSize, limits.maxQueueSize),
    };
    this.#world = options.world;
    this.#open = options.batch;
    this.#counts = new ProcessorCounts(options, () => this.#queued);
  }

  /** Takes a record in. Never throws: telemetry breaks no program. */
  add(record: Item): void {
    if (this.#shutdown) return;
    if (this.#queued >= this.#limits.maxQueueSize) return this.#counts.failed(1, "queue_full");
    try {
      this.#open.add(record);
    } catch (error) {
      // A log record's body that contains itself, for instance.
      this.#drop(1, error);
      return;
    }
    this.#queued++;
    if (
      this.#open.count >= this.#limits.maxExportBatchSize || this.#open.byteLength >= maxBatchBytes
    ) {
      this.#closeBatch();
      if (!this.#exporting) this.#exportClosed();
    } else if (!this.#exporting) {
      this.#timer ??= this.#startTimer();
    }
  }

  /** Sends what is queued; resolves when that and what was under way is delivered or has failed. */
  async forceFlush(): Promise<void> {
    this.#closeBatch();
    for (const request of this.#closed.splice(0)) this.#send(request);
    await Promise.all(this.#sending);
  }

  /** Flushes and takes nothing more. */
  shutdown(): Promise<void> {
    this.#shutdown ??= this.forceFlush().then(() => {
      this.#clearTimer();
      this.#counts.end();
      return this.#exporter.shutdown();
    });
    return this.#shutdown;
  }

  #closeBatch(): void {
    const { count } = this.#open;
    if (count === 0) return;
    try {
      this.#closed.push(this.#open.take());
    } catch (error) {
      this.#queued -= count;
      this.#drop(count, error);
    }
  }

  async #exportClosed(): Promise<void> {
    this.#clearTimer();
    this.#exporting = true;
    for (let request = this.#closed.shift(); request; request = this.#closed.shift()) {
      const { exportTimeoutMillis } = this.#limits;
      // A hanging export is waited for no longer, the next may be luckier; it is counted when it ends.
      await settledWithin(this.#send(request), exportTimeoutMillis, { world: this.#world });
    }
    this.#exporting = false;
    if (this.#open.count > 0) this.#timer ??= this.#startTimer();
  }

  #send(request: EncodedRequest): Promise<void> {
    this.#queued -= request.count;
    const { promise, resolve } = Promise.withResolvers<void>();
    // In the root context: a connection that is kept must not keep a request's context alive.
    context.with(suppressTracing(ROOT_CONTEXT), () =>
      this.#exporter.export(request, (result) => {
        if (result.code === ExportResultCode.SUCCESS) this.#counts.sent(request.count);
        else this.#counts.failed(request.count, result.error?.name ?? "export_failed");
        this.#sending.delete(promise);
        resolve();
      }));
    this.#sending.add(promise);
    promise.then(() => this.#sending.delete(promise));
    return promise;
  }

  #drop(count: number, error: unknown): void {
    const { name, message } = error as Error;
    this.#counts.failed(count, name);
    diag.error(`${count} record(s) cannot be encoded and are dropped: ${message}`);
  }

  #startTimer(): TimerId {
    return this.#world.setTimeout(() => {
      this.#timer = undefined;
      this.#closeBatch();
      this.#exportClosed();
    }, this.#limits.scheduledDelayMillis);
  }

  #clearTimer(): void {
    this.#world.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** The metrics of the SDK's processors (semantic conventions, "OpenTelemetry SDK metrics"). */
class ProcessorCounts {
  readonly #processed;
  readonly #attributes;
  readonly #end: () => void;

  constructor(
    { meter, signal, limits }: BatchProcessorOptions<never>,
    queued: () => number,
  ) {
    const type = `batching_${signal}_processor`;
    const attributes = { "otel.component.type": type, "otel.component.name": `${type}/0` };
    const unit = signal === "span" ? "{span}" : "{log_record}";
    const name = `otel.sdk.processor.${signal}`;
    this.#attributes = attributes;
    this.#processed = meter.createCounter(`${name}.processed`, {
      unit,
      description: "Records whose processing has finished, successful or not.",
    });
    meter.createUpDownCounter(`${name}.queue.capacity`, {
      unit,
      description: "The most records that may wait.",
    }).add(limits.maxQueueSize, attributes);
    const size = meter.createObservableUpDownCounter(`${name}.queue.size`, {
      unit,
      description: "Records that wait.",
    });
    const observe = (result: ObservableResult) => result.observe(queued(), attributes);
    size.addCallback(observe);
    this.#end = () => size.removeCallback(observe);
  }

  sent(count: number): void {
    this.#processed.add(count, this.#attributes);
  }

  failed(count: number, errorType: string): void {
    this.#processed.add(count, { ...this.#attributes, "error.type": errorType });
  }

  end(): void {
    this.#end();
  }
}
