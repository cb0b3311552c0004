/**
 * What HTTP/3 asks of QUIC, and waiting for a step of it no longer than its time-out.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import type { SessionLimits } from "./webtransport.ts";

/** The ALPN name of HTTP/3 (RFC 9114, section 3.1). */
export const alpnProtocols = ["h3"];

/**
 * A local UDP endpoint to connect from, to both families where the machine has both. Closing it ends
 * what it has begun, an attempt that nobody answers as well, which nothing else does.
 */
export function clientEndpoint(): Deno.QuicEndpoint {
  // A wildcard address to send from: nothing is accepted on it.
  return new Deno.QuicEndpoint({ hostname: hasIpv6() ? "::" : "0.0.0.0", port: 0 });
}

function hasIpv6(): boolean {
  try {
    Deno.listenDatagram({ hostname: "::", port: 0, transport: "udp" }).close();
    return true;
  } catch {
    return false;
  }
}

/** QUIC's options for a session with these limits. */
export function transportOptions(limits: SessionLimits): Deno.QuicTransportOptions {
  const { keepAliveMs, idleTimeoutMs, maxConcurrentStreams } = limits;
  return {
    keepAliveInterval: keepAliveMs,
    // The idle timer starts anew with the first probe after the last sign of life (RFC 9000, section
    // 10.1): so much earlier than the peer counts as dead.
    maxIdleTimeout: idleTimeoutMs - Math.min(keepAliveMs, idleTimeoutMs / 2),
    maxConcurrentBidirectionalStreams: maxConcurrentStreams,
    maxConcurrentUnidirectionalStreams: maxConcurrentStreams,
  };
}

/**
 * Settles like the promise, or rejects with `late()` when it takes longer. Every stream that comes
 * in passes here: with `settledWithin()`, which makes an AbortController, a ping on a stream of its
 * own cost the server a fifth more.
 */
export async function inTime<Value>(
  promise: Promise<Value>,
  timeoutMs: number,
  late: () => Error,
  world: World,
): Promise<Value> {
  const { promise: timeUp, reject } = Promise.withResolvers<never>();
  const timer = world.setTimeout(() => reject(late()), timeoutMs);
  try {
    return await Promise.race([promise, timeUp]);
  } finally {
    world.clearTimeout(timer);
  }
}
