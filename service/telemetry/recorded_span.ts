/**
 * A span that is recorded: what the OpenTelemetry API promises of spans (specification, "Trace
 * API") and the limits of the SDK, but no more work than that. The SDK's own span makes a weak set
 * of every attribute's value, twice.
 *
 * @module
 */
import {
  type Attributes,
  type AttributeValue,
  diag,
  type Exception,
  type HrTime,
  type Link,
  type Span,
  type SpanContext,
  type SpanKind,
  type SpanStatus,
  SpanStatusCode,
  type TimeInput,
} from "@opentelemetry/api";
import {
  addHrTimes,
  cleanAttributes,
  cleanSimpleAttributes,
  hrTimeDuration,
  type InstrumentationScope,
  isTimeInput,
  millisToHrTime,
  timeInputToHrTime,
} from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan, TimedEvent } from "@opentelemetry/sdk-trace";
import { AttributeBag, type AttributeLimits } from "./attribute_bag.ts";
import type { PreciseClock } from "./precise_clock.ts";
import type { World } from "../world/world.ts";

/** Limits of a span, and of the attributes of each of its events and links ("Span limits"). */
export interface SpanLimits extends AttributeLimits {
  /** Events; one more takes the place of the oldest, which is counted. */
  eventCountLimit: number;
  /** Links; one more takes the place of the oldest, which is counted. */
  linkCountLimit: number;
}

/** What all spans of a program share. */
export interface SpanHome {
  readonly resource: Resource;
  readonly limits: SpanLimits;
  readonly world: World;
  /** When spans begin. */
  readonly clock: PreciseClock;
  /** Takes a span that has ended. */
  readonly onEnd: (span: RecordedSpan) => void;
}

/** How a span begins. */
export interface SpanStart {
  name: string;
  kind: SpanKind;
  spanContext: SpanContext;
  parentSpanContext: SpanContext | undefined;
  scope: InstrumentationScope;
  attributes: Attributes | undefined;
  links: Link[] | undefined;
  startTime: TimeInput | undefined;
}

const unset: SpanStatus = Object.freeze({ code: SpanStatusCode.UNSET });
const none: never[] = [];

/** See the module. */
export class RecordedSpan implements Span, ReadableSpan {
  readonly kind: SpanKind;
  readonly parentSpanContext?: SpanContext;
  readonly startTime: HrTime;
  readonly instrumentationScope: InstrumentationScope;
  name: string;
  endTime: HrTime = [0, 0];
  status: SpanStatus = unset;
  links: Link[] = none;
  events: TimedEvent[] = none;
  droppedEventsCount = 0;
  droppedLinksCount = 0;
  ended = false;

  readonly #home: SpanHome;
  readonly #spanContext: SpanContext;
  /** When it began by the clock that never goes back; NaN if the start was given. */
  readonly #startMs: number;
  readonly #attributes: AttributeBag;

  constructor(home: SpanHome, start: SpanStart) {
    this.#home = home;
    this.#spanContext = start.spanContext;
    this.name = start.name;
    this.kind = start.kind;
    if (start.parentSpanContext) this.parentSpanContext = start.parentSpanContext;
    this.instrumentationScope = start.scope;
    if (start.startTime === undefined) {
      this.#startMs = home.world.monotonicMs();
      this.startTime = millisToHrTime(home.clock.nowMs(this.#startMs));
    } else {
      this.#startMs = NaN;
      this.startTime = timeInputToHrTime(start.startTime);
    }
    this.#attributes = new AttributeBag(home.limits);
    // The SDK counts invalid attributes of the beginning as dropped, later ones not.
    for (const key in start.attributes) this.#attributes.add(key, start.attributes[key], 1);
    if (start.links) this.addLinks(start.links);
  }

  get resource(): Resource {
    return this.#home.resource;
  }

  get attributes(): Attributes {
    return this.#attributes.values;
  }

  get droppedAttributesCount(): number {
    return this.#attributes.dropped;
  }

  get duration(): HrTime {
    return this.ended ? hrTimeDuration(this.startTime, this.endTime) : [-1, -1];
  }

  spanContext(): SpanContext {
    return this.#spanContext;
  }

  isRecording(): boolean {
    return !this.ended;
  }

  setAttribute(key: string, value: AttributeValue): this {
    if (!this.ended) this.#attributes.add(key, value, 0);
    return this;
  }

  setAttributes(attributes: Attributes): this {
    if (this.ended) return this;
    for (const key in attributes) this.#attributes.add(key, attributes[key], 0);
    return this;
  }

  addEvent(
    name: string,
    attributesOrTime?: Attributes | TimeInput,
    timeIfAttributes?: TimeInput,
  ): this {
    if (this.ended) return this;
    const { limits } = this.#home;
    if (this.events === none) this.events = [];
    if (this.events.length >= limits.eventCountLimit) {
      this.events.shift();
      this.droppedEventsCount++;
    }
    const isTime = isTimeInput(attributesOrTime);
    const time = isTimeInput(timeIfAttributes)
      ? timeIfAttributes
      : isTime
      ? attributesOrTime
      : undefined;
    this.events.push({
      name,
      time: this.#time(time),
      ...cleanSimpleAttributes(
        isTime ? undefined : attributesOrTime as Attributes,
        limits,
      ),
    });
    return this;
  }

  addLink(link: Link): this {
    if (this.ended) return this;
    const { limits } = this.#home;
    if (this.links === none) this.links = [];
    if (this.links.length >= limits.linkCountLimit) {
      this.links.shift();
      this.droppedLinksCount++;
    }
    this.links.push({
      context: link.context,
      ...(link.attributes && cleanAttributes(link.attributes, limits)),
    });
    return this;
  }

  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }

  setStatus(status: SpanStatus): this {
    // An OK is the last word, and nothing sets a status back ("Set Status").
    if (this.ended || status.code === SpanStatusCode.UNSET) return this;
    if (this.status.code === SpanStatusCode.OK) return this;
    this.status = status.code === SpanStatusCode.ERROR && typeof status.message === "string"
      ? { code: status.code, message: status.message }
      : { code: status.code };
    return this;
  }

  updateName(name: string): this {
    if (!this.ended) this.name = name;
    return this;
  }

  recordException(exception: Exception, time?: TimeInput): void {
    const attributes = exceptionAttributes(exception);
    if (attributes) this.addEvent("exception", attributes, time);
  }

  end(endTime?: TimeInput): void {
    if (this.ended) {
      diag.error(`A span has been ended twice: ${this.name} (${this.#spanContext.traceId}).`);
      return;
    }
    this.endTime = this.#time(endTime);
    // A start in the future.
    if (hrTimeDuration(this.startTime, this.endTime)[0] < 0) this.endTime = this.startTime;
    this.ended = true;
    this.#home.onEnd(this);
  }

  #time(given: TimeInput | undefined): HrTime {
    if (given !== undefined) return timeInputToHrTime(given);
    const { world } = this.#home;
    if (Number.isNaN(this.#startMs)) return millisToHrTime(world.nowMs());
    // A duration must not know of corrections of the wall clock.
    return addHrTimes(this.startTime, millisToHrTime(world.monotonicMs() - this.#startMs));
  }
}

/** An exception as attributes (semantic conventions, "Exceptions"); undefined if it says nothing. */
export function exceptionAttributes(exception: unknown): Attributes | undefined {
  if (typeof exception === "string" || typeof exception === "number") {
    return exception === "" ? undefined : { "exception.message": String(exception) };
  }
  if (typeof exception !== "object" || exception === null) return undefined;
  const { code, name, message, stack } = exception as Record<string, unknown>;
  const type = code ? String(code) : name;
  if (!type && !message) return undefined;
  return {
    ...(type ? { "exception.type": String(type) } : {}),
    ...(message ? { "exception.message": String(message) } : {}),
    ...(stack ? { "exception.stacktrace": String(stack) } : {}),
  };
}
