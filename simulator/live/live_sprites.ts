/**
 * The live parts as clients of the page: each is a sprite, what it does is an event of it, and a
 * message flies from whoever had it last.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import { eventJson, traceIdAsUuid } from "../client/event_json.ts";
import type { ClientSource } from "../events/clients.ts";
import type { Recorder } from "../events/recorder.ts";
import { pointNames } from "./faults.ts";
import type { LiveEvent } from "./live_event.ts";
import { traceIdOf } from "./live_observer.ts";
import { isTraceparent } from "./service_bus.ts";

/** Messages whose last holder is known. */
const maxHops = 10_000;

interface Sprite {
  readonly source: ClientSource;
  readonly pid: number;
  /** The trace of what is about no message. */
  readonly trace: string;
}

/** Shows parts. */
export class LiveSprites {
  readonly #recorder: Recorder;
  readonly #world: World;
  readonly #sprites = new Map<string, Sprite>();
  /** The span of the last hop, by trace. */
  readonly #hops = new Map<string, string>();

  constructor(recorder: Recorder, world: World) {
    this.#recorder = recorder;
    this.#world = world;
  }

  /** A part begins a life. */
  started(part: string, pid: number): void {
    this.lost(part);
    const source = this.#recorder.source();
    this.#sprites.set(part, { source, pid, trace: this.#world.randomUuid() });
    this.#send(part, "processStarted", undefined, { pid }, this.#world.nowMs());
  }

  /** A part's life has ended without a word. */
  lost(part: string): void {
    this.#sprites.get(part)?.source.end();
    this.#sprites.delete(part);
  }

  /** Takes an event in. */
  take(event: LiveEvent): void {
    switch (event.type) {
      case "call":
        if (event.trace === undefined) return;
        return this.#hop(
          event.part,
          event.error === undefined ? "spanEnded" : "spanFailed",
          event.trace,
          {
            args: `${pointNames[event.point]} ${event.subject}`,
            ...(event.error !== undefined && { reason: event.error }),
          },
          event.endMs,
        );
      case "delivered":
        return this.#hop(event.part, "spanEnded", event.trace, {
          args: `receive ${event.messageId}`,
        }, event.atMs);
      case "effect":
        return this.#hop(event.part, "spanEnded", event.trace, {
          args: `${event.consumer} ${event.messageId}`,
        }, event.atMs);
      case "placed":
        return this.#hop(event.part, "spanEnded", event.trace, {
          args: `placed ${event.orderId}`,
        }, event.atMs);
      case "fault":
        return this.#send(event.part, "fault", event.trace, {
          args: `${event.kind} ${event.subject}`,
          reason: event.detail === "" ? event.kind : event.detail,
        }, event.atMs);
      case "note":
        return this.#send(event.part, event.event, undefined, {
          args: `${event.subject} ${event.detail}`.trim(),
        }, event.atMs);
    }
  }

  #hop(
    part: string,
    event: string,
    trace: string,
    attributes: Readonly<Record<string, string>>,
    atMs: number,
  ): void {
    const spanId = [...this.#world.randomBytes(8)]
      .map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const parentSpanId = this.#hops.get(trace);
    this.#hops.delete(trace);
    this.#hops.set(trace, spanId);
    if (this.#hops.size > maxHops) this.#hops.delete(this.#hops.keys().next().value!);
    this.#send(part, event, trace, {
      ...attributes,
      spanId,
      ...(parentSpanId !== undefined && { parentSpanId }),
    }, atMs);
  }

  #send(
    part: string,
    event: string,
    trace: string | undefined,
    attributes: Readonly<Record<string, string | number>>,
    atMs: number,
  ): void {
    const sprite = this.#sprites.get(part);
    if (sprite === undefined) return;
    const { source, pid } = sprite;
    const traceId = trace !== undefined && isTraceparent(trace)
      ? traceIdAsUuid(traceIdOf(trace))
      : sprite.trace;
    this.#recorder.take(
      eventJson({
        traceId,
        name: part,
        event,
        timeUnixNano: BigInt(Math.floor(atMs)) * 1_000_000n,
        attributes: { ...attributes, pid },
      }),
      source,
    );
  }
}
