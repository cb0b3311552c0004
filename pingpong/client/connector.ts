/**
 * Gets a link, after as many attempts as it takes.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import { pause, untilAborted } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { messageOf, WebTransportError } from "../http3/errors.ts";
import { closeCodes } from "../protocol/session_terms.ts";
import type { Link } from "./link.ts";
import type { PingEvent } from "./ping_events.ts";
import type { PingTelemetry } from "./ping_telemetry.ts";
import type { Reconnection } from "./reconnection.ts";

/** Options of {@linkcode Connector}. */
export interface ConnectorOptions {
  /** Opens a link; the context has the attempts' span. */
  openLink: (context: Context) => Promise<Link>;
  /** Says when to try again. */
  reconnection: Reconnection;
  /** Gets links and failed attempts. */
  onEvent: (event: PingEvent) => void;
  /** Spans and metrics. */
  telemetry: PingTelemetry;
  /** Aborted when no link is wanted any more. */
  over: AbortSignal;
  /** Whose time it is. */
  world: World;
}

/** Opens links one after the other, each when the one before has ended. */
export class Connector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /**
   * A link, after as many attempts as it takes; `undefined` when the run has ended meanwhile.
   *
   * @param firstDelayMs how long to wait before the first attempt
   * @param lostMs since when there is none, on the world's monotonic clock
   * @throws what the last attempt failed with
   */
  async connect(firstDelayMs: number, lostMs: number): Promise<Link | undefined> {
    const { over, telemetry, world } = this.#options;
    const { span, context } = telemetry.startConnecting();
    let delayMs = firstDelayMs;
    try {
      while (true) {
        if (delayMs > 0) await pause(delayMs, { signal: over, world });
        if (over.aborted) return undefined;
        try {
          const link = await this.#open(context);
          return link && await this.#begin(link, span, lostMs);
        } catch (error) {
          if (over.aborted) return undefined;
          delayMs = this.#failed(error, span);
        }
      }
    } finally {
      span.end();
    }
  }

  /** A link; `undefined` at once when none is wanted any more: what is under way then is let go. */
  async #open(context: Context): Promise<Link | undefined> {
    const opening = this.#options.openLink(context);
    const link = await untilAborted(opening, this.#options.over);
    if (link) return link;
    opening.then((late) => late.close(closeCodes.done, "done"), () => {
      // It would not have come about; nobody waits for it.
    });
    return undefined;
  }

  async #begin(
    link: Link,
    span: Parameters<PingTelemetry["connected"]>[0],
    lostMs: number,
  ): Promise<Link | undefined> {
    const { over, reconnection, telemetry, onEvent, world } = this.#options;
    if (over.aborted) {
      await link.close(closeCodes.done, "done");
      return undefined;
    }
    const isFirst = reconnection.state.kind === "connecting";
    reconnection.connected();
    const outageMs = world.monotonicMs() - lostMs;
    telemetry.connected(span, link, isFirst ? undefined : outageMs);
    const { remote, mode, waiting = 0 } = link;
    onEvent({ kind: "connected", remote, mode, outageMs, waiting });
    return link;
  }

  /** Says how long to wait before the next attempt. @throws the error when there is none */
  #failed(error: unknown, span: Parameters<PingTelemetry["attemptFailed"]>[0]): number {
    const { reconnection, telemetry, onEvent } = this.#options;
    const delayMs = isFinal(error) ? undefined : reconnection.failed();
    const reason = messageOf(error);
    telemetry.attemptFailed(span, reason, delayMs === undefined);
    onEvent({ kind: "attempt-failed", reason, delayMs });
    if (delayMs === undefined) throw error;
    return delayMs;
  }
}

/** What trying again does not change: certificate, status, and a server of another kind. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof WebTransportError)) return true;
  if (error.kind === "refused") {
    return error.status !== undefined && error.status < 500 && error.status !== 429;
  }
  return error.kind === "certificate" || error.kind === "unsupported";
}
