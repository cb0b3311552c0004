/**
 * What is heard of a service's instances by multicast: pieces that come in any order, from servers that
 * send all at once and from those that wait to be asked for each (RFC 6763, section 12).
 *
 * @module
 */
import { type Found, serviceName } from "./found.ts";

/** A record, as the library gives it. */
export interface HeardRecord {
  name: string;
  type: string;
  /** 0: the record is no more (RFC 6762, section 10.1). */
  ttl?: number;
  data?: unknown;
}

/** What is to be asked for. */
export interface Question {
  name: string;
  type: "SRV" | "TXT" | "A" | "AAAA";
}

interface SrvData {
  target: string;
  port: number;
  priority?: number;
}

interface Instance {
  /** `undefined` until its SRV record has come, and when it says that there is none (RFC 2782). */
  place?: { host: string; port: number; priority: number } | undefined;
  /** `undefined` until its TXT record has come. */
  path?: string | undefined;
  hasText: boolean;
}

/** Addresses of one host that are kept. */
const maxAddresses = 8;

const suffix = `.${serviceName}.local`;

/**
 * Gathers records. Names are compared without regard to case (RFC 6762, section 16).
 *
 * @example
 * ```ts
 * const records = new ServiceRecords(32);
 * records.learn({ name: "_pingpong._udp.local", type: "PTR", data: "lab._pingpong._udp.local" });
 * records.questions(); // SRV and TXT of lab
 * ```
 */
export class ServiceRecords {
  readonly #instances = new Map<string, Instance>();
  readonly #addresses = new Map<string, Set<string>>();
  readonly #max: number;

  /** @param max instances, and hosts, that are kept */
  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a record; what is not about the service is left out. */
  learn({ name, type, data, ttl }: HeardRecord): void {
    const key = name.toLowerCase();
    if (type === "A" || type === "AAAA") return this.#learnAddress(key, String(data));
    if (type === "PTR") {
      if (`.${key}` !== suffix) return;
      const instance = String(data).toLowerCase();
      if (ttl === 0) this.#instances.delete(instance);
      else this.#instance(instance);
      return;
    }
    if (!key.endsWith(suffix)) return;
    if (type === "SRV" && ttl === 0) {
      this.#instances.delete(key);
    } else if (type === "SRV") {
      this.#learnPlace(key, data as SrvData);
    } else if (type === "TXT") {
      const instance = this.#instance(key);
      if (instance) Object.assign(instance, { path: pathIn(data), hasText: true });
    }
  }

  /** What has not been heard yet of the instances that are known. */
  questions(): Question[] {
    return [...this.#instances].flatMap(([name, { place, hasText }]): Question[] => {
      const open: Question[] = hasText ? [] : [{ name, type: "TXT" }];
      if (!place) return [{ name, type: "SRV" }, ...open];
      if (place.host === "" || this.#addresses.has(place.host)) return open;
      return [...open, { name: place.host, type: "A" }, { name: place.host, type: "AAAA" }];
    });
  }

  /** A server may have addresses that we do not reach: each is a place to try. */
  found(): Found[] {
    return [...this.#instances.values()].flatMap(({ place, path }) => {
      // A target of "." says that the service is not offered there (RFC 2782).
      if (!place || place.host === "") return [];
      const { host, port, priority } = place;
      return [...this.#addresses.get(host) ?? [host]].map((address) => ({
        target: { host: address, port, ...(path && { path }) },
        priority,
      }));
    });
  }

  #instance(key: string): Instance | undefined {
    const known = this.#instances.get(key);
    if (known || this.#instances.size >= this.#max) return known;
    const fresh: Instance = { hasText: false };
    this.#instances.set(key, fresh);
    return fresh;
  }

  #learnPlace(key: string, { target, port, priority = 0 }: SrvData): void {
    const instance = this.#instance(key);
    if (!instance) return;
    instance.place = { host: target.replace(/\.$/, "").toLowerCase(), port, priority };
  }

  #learnAddress(key: string, address: string): void {
    const known = this.#addresses.get(key) ?? new Set();
    if (known.size === 0 && this.#addresses.size >= this.#max) return;
    if (known.size < maxAddresses) this.#addresses.set(key, known.add(address));
  }
}

/** `path=/…` in a TXT record (RFC 6763, section 6); its key, too, is compared without regard to case. */
function pathIn(data: unknown): string | undefined {
  const strings = (Array.isArray(data) ? data : [data]).map((one) =>
    one instanceof Uint8Array ? new TextDecoder().decode(one) : String(one)
  );
  return strings.find((one) => /^path=\//i.test(one))?.slice("path=".length);
}
