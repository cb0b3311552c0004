/**
 * A server's announcement on the local network, by DNS-SD over multicast (RFC 6762, RFC 6763).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
// @ts-types="../types/multicast_dns.d.ts"
import type { Packet } from "multicast-dns";
import { serviceName } from "./found.ts";
import { openMulticast } from "./multicast.ts";

/** A server's announcement on the local network. */
export interface Announcement {
  /** Its name there: unique on the network, 1 to 63 bytes without a dot. */
  instance: string;
  /** The UDP port, 1 to 65,535. */
  port: number;
  /** The address it is reached at; a wildcard stands for all of this machine's. */
  address: string;
  /** The path of a session. @default "/" */
  path?: string;
  /** The interface to answer on, by its address. @default all */
  multicastInterface?: string;
}

/** Whether a name can be announced: one label of DNS (RFC 6763, section 4.1.1). */
export function isInstanceName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length;
  return bytes >= 1 && bytes <= 63 && !name.includes(".");
}

/** The name under which all kinds of services are asked for (RFC 6763, section 9). */
const enumeration = "_services._dns-sd._udp.local";
/** How long what was heard may be believed, in seconds (RFC 6762, section 10). */
const aliveTtlS = 120;
/** The record is no more (RFC 6762, section 10.1). */
const goodbyeTtlS = 0;

/**
 * Announces a server on the local network, answers queries for it, and says goodbye when it
 * is stopped (RFC 6762, sections 8.3 and 10.1; RFC 6763, section 9).
 *
 * @returns takes the announcement back
 * @throws {RangeError} the name cannot be one
 *
 * @example
 * ```ts
 * const silence = await announce({ instance: "lab-1", port: 4433, address: "0.0.0.0" });
 * await silence();
 * ```
 */
export async function announce(announcement: Announcement): Promise<() => Promise<void>> {
  const { instance, multicastInterface } = announcement;
  if (!isInstanceName(instance)) {
    throw new RangeError(
      `Cannot announce '${instance}': a name has 1 to 63 bytes and no dot in it`,
    );
  }
  const mdns = openMulticast(multicastInterface);
  const type = `${serviceName}.local`;
  const name = `${instance}.${type}`;
  mdns.on("query", ({ questions }) => {
    const asked = (questions ?? []).map((question) => question.name.toLowerCase());
    if (asked.includes(type) || asked.includes(name.toLowerCase())) {
      mdns.respond(recordsOf(announcement, aliveTtlS));
    }
    if (asked.includes(enumeration)) {
      mdns.respond({ answers: [{ name: enumeration, type: "PTR", ttl: 4_500, data: type }] });
    }
  });
  await new Promise<void>((resolve, reject) => {
    mdns.once("ready", resolve);
    mdns.once("error", reject);
  });
  mdns.respond(recordsOf(announcement, aliveTtlS));
  return async () => {
    await new Promise<void>((resolve) =>
      mdns.respond(recordsOf(announcement, goodbyeTtlS), () => resolve())
    );
    await new Promise<void>((resolve) => mdns.destroy(resolve));
  };
}

/** What a query for the service is answered with. */
function recordsOf({ instance, port, address, path = "/" }: Announcement, ttl: number): Packet {
  const type = `${serviceName}.local`;
  const name = `${instance}.${type}`;
  const target = `${instance}.local`;
  return {
    answers: [{ name: type, type: "PTR", ttl, data: name }],
    additionals: [
      { name, type: "SRV", ttl, data: { target, port, priority: 0, weight: 0 } },
      { name, type: "TXT", ttl, data: [Buffer.from("txtvers=1"), Buffer.from(`path=${path}`)] },
      ...reachableAddresses(address).map((data) => ({
        ...{ name: target, type: isIP(data) === 6 ? "AAAA" : "A", ttl, data },
      })),
    ],
  };
}

/** The address, or for a wildcard all that others on the network may reach. */
function reachableAddresses(address: string): string[] {
  if (address !== "0.0.0.0" && address !== "::") return [address];
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ internal, family, address: own }) =>
      // A link-local address means nothing without the interface it belongs to.
      !internal && (family === "IPv4" || (address === "::" && !/^fe80/i.test(own)))
    )
    .map(({ address: own }) => own);
}
