/**
 * Opens a link over whichever transport its mode wants.
 *
 * @module
 */
import type { Link, LinkOptions } from "./link.ts";
import { openWebSocketLink } from "./websocket_link.ts";
import { openWebTransportLink } from "./webtransport_link.ts";

/**
 * Opens a link.
 *
 * @throws {WebTransportError} whatever the transport: `timeout`, `certificate`, `unsupported`,
 * `refused` (with the HTTP status), `protocol` or `closed`
 *
 * @example
 * ```ts
 * const link = await openLink({
 *   mode: "datagram",
 *   target: { host: "127.0.0.1", port: 4433 },
 *   trust: { pins: [hash] },
 * });
 * link.receive((pong) => console.log(pong.data));
 * await link.send({ kind: "ping", id: new PingIds().id(0), data: "Ping!" });
 * ```
 */
export function openLink(options: LinkOptions): Promise<Link> {
  return options.mode === "websocket" ? openWebSocketLink(options) : openWebTransportLink(options);
}
