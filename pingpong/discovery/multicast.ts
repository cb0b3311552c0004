/**
 * Servers on the local network, by DNS-SD over multicast (RFC 6762, RFC 6763).
 *
 * @module
 */
// @ts-types="../types/multicast_dns.d.ts"
import multicastDns, { type MulticastDns } from "multicast-dns";
import { pause } from "../../service/resilience.ts";
import { realWorld } from "../../service/world/world.ts";
import { type DiscoverOptions, type Found, serviceName } from "./found.ts";

/** Addresses of one host that are kept. */
const maxAddresses = 8;

interface Answer {
  name: string;
  type: string;
  /** 0: the record is no more (RFC 6762, section 10.1). */
  ttl?: number;
  data?: unknown;
}

/** Asks for the service's instances, and gathers their SRV, TXT and address records as they come. */
export async function findByMulticast(options: DiscoverOptions): Promise<Found[]> {
  const { multicastWaitMs = 1_500, maxServers = 32, world = realWorld } = options;
  const mdns = openMulticast(options.multicastInterface);
  const records = new ServiceRecords(maxServers);
  try {
    mdns.on("response", ({ answers, additionals }) => {
      for (const answer of [...answers ?? [], ...additionals ?? []] as Answer[]) {
        records.learn(answer);
      }
    });
    await new Promise<void>((resolve) => mdns.once("ready", resolve));
    mdns.query(`${serviceName}.local`, "PTR");
    await pause(multicastWaitMs, { world });
  } finally {
    await new Promise<void>((resolve) => mdns.destroy(resolve));
  }
  return records.found();
}

/** What was heard of the service's instances. */
class ServiceRecords {
  readonly #instances = new Map<string, { host: string; port: number; priority: number }>();
  readonly #paths = new Map<string, string>();
  readonly #addresses = new Map<string, Set<string>>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  learn({ name, type, data, ttl }: Answer): void {
    if (type === "A" || type === "AAAA") return this.#learnAddress(name, String(data));
    if (!name.endsWith(`.${serviceName}.local`)) return;
    if (type === "SRV" && ttl === 0) this.#instances.delete(name);
    else if (type === "SRV") this.#learnInstance(name, data as SrvData);
    else if (type === "TXT") this.#learnPath(name, data);
  }

  /** A server may have addresses that we do not reach: each is a place to try. */
  found(): Found[] {
    return [...this.#instances].flatMap(([name, { host, port, priority }]) => {
      const path = this.#paths.get(name);
      return [...this.#addresses.get(host) ?? [host]].map((address) => ({
        target: { host: address, port, ...(path && { path }) },
        priority,
      }));
    });
  }

  #learnInstance(name: string, { target, port, priority = 0 }: SrvData): void {
    if (this.#instances.size < this.#max) {
      this.#instances.set(name, { host: target, port, priority });
    }
  }

  #learnPath(name: string, data: unknown): void {
    const path = pathIn(data);
    if (path && this.#paths.size < this.#max) this.#paths.set(name, path);
  }

  #learnAddress(name: string, address: string): void {
    if (this.#addresses.size >= this.#max) return;
    const known = this.#addresses.get(name) ?? new Set();
    if (known.size < maxAddresses) this.#addresses.set(name, known.add(address));
  }
}

interface SrvData {
  target: string;
  port: number;
  priority?: number;
}

/** `path=/…` in a TXT record (RFC 6763, section 6). */
function pathIn(data: unknown): string | undefined {
  const strings = (Array.isArray(data) ? data : [data]).map((one) =>
    one instanceof Uint8Array ? new TextDecoder().decode(one) : String(one)
  );
  return strings.find((one) => one.startsWith("path=/"))?.slice("path=".length);
}

/** A socket for multicast DNS, on all interfaces or on the one of this address. */
export function openMulticast(address: string | undefined): MulticastDns {
  const mdns = multicastDns({
    // Multicast does not arrive at a socket that is bound to an interface's own address.
    bind: "0.0.0.0",
    ...(address !== undefined && { interface: address }),
  });
  // What others say that is no DNS message is none of our business.
  mdns.on("warning", () => {});
  return mdns;
}
