/**
 * What a search for servers takes and gives.
 *
 * @module
 */
import type { Link, Target, Trust } from "../client/link.ts";
import type { World } from "../../service/world/world.ts";

/** Options of `discover()`. */
export interface DiscoverOptions {
  /** Which certificates are believed: for the probes, and for HTTPS. */
  trust: Trust;
  /** How long a connection may take, in milliseconds, above 0. @default 3_000 */
  connectTimeoutMs?: number;
  /** How long answers on the local network are waited for, in milliseconds, above 0. @default 1_500 */
  multicastWaitMs?: number;
  /** The interface to ask on, by its address. @default all */
  multicastInterface?: string;
  /** The UDP port to ask at. @default 5353, as RFC 6762 has it */
  multicastPort?: number;
  /** The most servers that are taken into account, at least 1. @default 32 */
  maxServers?: number;
  /** The DNS server to ask. @default the system's */
  dnsServer?: { ipAddr: string; port: number };
  /** The local UDP endpoint of the probes. @default one that is closed with the search */
  endpoint?: Deno.QuicEndpoint;
  /** Opens a link for a probe. @default openLink with mode bidi */
  probe?: (target: Target) => Promise<Link>;
  /** Whose time it is. @default realWorld */
  world?: World;
}

/** A server that was found. */
export interface Found {
  /** Where it is. */
  target: Target;
  /** The lower the better, as SRV has it; 0 where nothing says so. */
  priority: number;
}

/** The service's name in DNS (RFC 6335, section 5.1; RFC 2782). */
export const serviceName = "_pingpong._udp";
