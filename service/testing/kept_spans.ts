/**
 * For tests: spans that can be looked at once they have ended. The SDK's `InMemorySpanExporter` does the
 * same by a timer for each, which outlives the test.
 *
 * @module
 */
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";

/** Keeps what is exported. */
export class KeptSpans implements SpanExporter {
  #spans: ReadableSpan[] = [];

  /** The spans that have ended so far, in that order. */
  getFinishedSpans(): ReadableSpan[] {
    return [...this.#spans];
  }

  /** Forgets them. */
  reset(): void {
    this.#spans = [];
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter["export"]>[1]): void {
    this.#spans.push(...spans);
    // ExportResultCode.SUCCESS
    done({ code: 0 });
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
