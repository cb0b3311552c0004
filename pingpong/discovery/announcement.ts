/**
 * A server's announcement on the local network, by DNS-SD over multicast (RFC 6762, RFC 6763).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
// @ts-types="../types/multicast_dns.d.ts"
import type { DnsRecord, MulticastDns, Packet } from "multicast-dns";
import { isLoopback } from "../../service/http_server.ts";
import { pause } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { serviceName } from "./found.ts";
import { openMulticast } from "./multicast.ts";

/** A server's announcement on the local network. */
export interface Announcement {
  /** Its name there: 1 to 63 bytes without a dot. One that another has already gets a number behind it. */
  instance: string;
  /** The UDP port, 1 to 65,535. */
  port: number;
  /** The address it is reached at; a wildcard stands for all of this machine's. */
  address: string;
  /** The path of a session. @default "/" */
  path?: string;
  /** The interface to answer on, by its address. @default all; for a loopback address loopback's alone */
  multicastInterface?: string;
  /** The UDP port to answer at. @default 5353, as RFC 6762 has it */
  multicastPort?: number;
  /** Time between two probes for the name, in milliseconds, above 0. @default 250 (RFC 6762, section 8.1) */
  probeIntervalMs?: number;
  /** Called when another has the name later on, and it goes on by another one. @default nobody hears */
  onRenamed?: (instance: string) => void;
  /** Whose time it is. @default realWorld */
  world?: World;
}

/** A server that is announced. */
export interface Announced {
  /** The name it got. */
  readonly instance: string;
  /** Whether it is to be heard on this machine only. */
  readonly isLocal: boolean;
  /** Says goodbye. */
  stop(): Promise<void>;
}

/** Whether a name can be announced: one label of DNS (RFC 6763, section 4.1.1). */
export function isInstanceName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length;
  return bytes >= 1 && bytes <= 63 && !name.includes(".");
}

/** The name under which all kinds of services are asked for (RFC 6763, section 9). */
const enumeration = "_services._dns-sd._udp.local";
const type = `${serviceName}.local`;
/** How long what was heard may be believed, in seconds (RFC 6762, section 10). */
const aliveTtlS = 120;
/** The record is no more (RFC 6762, section 10.1). */
const goodbyeTtlS = 0;
/** Probes without an objection after which a name is ours (RFC 6762, section 8.1). */
const probes = 3;
/** Names that are tried in a row; from then on one in so many milliseconds (RFC 6762, section 8.1). */
const renamesAtOnce = 15;
const renamePauseMs = 5_000;

/**
 * Announces a server on the local network, answers queries for it, and says goodbye when it
 * is stopped (RFC 6762, sections 8, 9 and 10.1; RFC 6763, section 9). What can be reached on this
 * machine only is announced on this machine only.
 *
 * @throws {RangeError} the name cannot be one
 *
 * @example
 * ```ts
 * const announced = await announce({ instance: "lab-1", port: 4433, address: "0.0.0.0" });
 * await announced.stop();
 * ```
 */
export async function announce(announcement: Announcement): Promise<Announced> {
  const { instance, address, multicastPort } = announcement;
  if (!isInstanceName(instance)) {
    throw new RangeError(
      `Cannot announce '${instance}': a name has 1 to 63 bytes and no dot in it`,
    );
  }
  const isLocal = isLoopback(address);
  const mdns = openMulticast(
    announcement.multicastInterface ?? (isLocal ? "127.0.0.1" : undefined),
    multicastPort,
  );
  const announcer = new Announcer(announcement, mdns);
  try {
    await new Promise<void>((resolve, reject) => {
      mdns.once("ready", resolve);
      mdns.once("error", reject);
    });
    await announcer.claim();
  } catch (error) {
    await announcer.close();
    throw error;
  }
  return {
    get instance() {
      return announcer.instance;
    },
    isLocal,
    stop: () => announcer.stop(),
  };
}

/** What is known of a name that is being probed. */
interface Probing {
  /** Another has it, or claims it at the same time and comes first. */
  conflict: "taken" | "later" | undefined;
  /** Aborted when there is a conflict: no need to wait on. */
  heard: AbortController;
}

/** Keeps a name on the network, and answers for it. */
class Announcer {
  readonly #announcement: Announcement;
  readonly #mdns: MulticastDns;
  readonly #world: World;
  readonly #ended = new AbortController();
  instance: string;
  #renames = 0;
  /** What became of the name that is being probed; nothing while it is only used. */
  #probing: Probing | undefined;

  constructor(announcement: Announcement, mdns: MulticastDns) {
    this.#announcement = announcement;
    this.#mdns = mdns;
    this.#world = announcement.world ?? realWorld;
    this.instance = announcement.instance;
    mdns.on("response", (packet) => this.#heardResponse(packet));
    mdns.on("query", (packet) => this.#heardQuery(packet));
  }

  /** Probes until a name is free, and announces it. */
  async claim(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const conflict = await this.#probe();
      if (conflict === undefined) break;
      if (conflict === "taken") this.#rename();
      if (this.#renames > renamesAtOnce) await this.#pause(renamePauseMs);
      // Two that begin at once: who has lost waits until the other has the name (RFC 6762, section 8.2).
      if (conflict === "later") await this.#pause(1_000);
    }
    if (this.#ended.signal.aborted) return;
    // Not a moment before: who answers for a name has it.
    this.#probing = undefined;
    this.#mdns.respond(this.#records(aliveTtlS));
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    if (!this.#probing) {
      await new Promise<void>((resolve) =>
        this.#mdns.respond(this.#records(goodbyeTtlS), () => resolve())
      );
    }
    await this.close();
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await new Promise<void>((resolve) => this.#mdns.destroy(resolve));
  }

  get #name(): string {
    return `${this.instance}.${type}`;
  }

  /** A name of letters, digits and hyphens, as hosts have (RFC 952). */
  get #host(): string {
    return `${this.instance.replace(/[^a-z0-9-]+/gi, "-")}.local`;
  }

  async #probe(): Promise<"taken" | "later" | undefined> {
    const { probeIntervalMs = 250 } = this.#announcement;
    const probing: Probing = {
      conflict: undefined,
      heard: new AbortController(),
    };
    this.#probing = probing;
    for (let sent = 0; sent < probes && !probing.conflict; sent++) {
      this.#mdns.query({
        questions: [{ name: this.#name, type: "ANY" }],
        authorities: [this.#place(aliveTtlS)],
      });
      await this.#pause(probeIntervalMs, probing.heard.signal);
      if (this.#ended.signal.aborted) return undefined;
    }
    return probing.conflict;
  }

  #pause(ms: number, earlier?: AbortSignal): Promise<boolean> {
    const signal = earlier ? AbortSignal.any([this.#ended.signal, earlier]) : this.#ended.signal;
    return pause(ms, { signal, world: this.#world });
  }

  #rename(): void {
    const number = ` (${++this.#renames + 1})`;
    let base = this.#announcement.instance;
    while (!isInstanceName(base + number)) base = [...base].slice(0, -1).join("");
    this.instance = base + number;
  }

  /** Another's record of our name: it is theirs (RFC 6762, section 9). */
  #heardResponse({ answers, additionals }: Packet): void {
    const records = [...answers ?? [], ...additionals ?? []];
    const theirs = records.some((record) => record.ttl !== 0 && this.#contradicts(record));
    if (!theirs) return;
    if (this.#probing) {
      this.#probing.conflict = "taken";
      this.#probing.heard.abort();
      return;
    }
    this.#rename();
    void this.claim().then(() => this.#announcement.onRenamed?.(this.instance));
  }

  #heardQuery({ questions, authorities }: Packet): void {
    const rival = (authorities ?? []).find((record) => this.#contradicts(record));
    if (this.#probing) {
      if (rival && placeOrder(rival, this.#place(aliveTtlS)) > 0) {
        this.#probing.conflict ??= "later";
        this.#probing.heard.abort();
      }
      return;
    }
    const packet = this.#answers(questions ?? []);
    if (packet) this.#mdns.respond(packet);
  }

  #contradicts(record: DnsRecord): boolean {
    return record.type === "SRV" && record.name.toLowerCase() === this.#name.toLowerCase() &&
      placeOrder(record, this.#place(aliveTtlS)) !== 0;
  }

  /** What these questions are answered with; names are compared without regard to case. */
  #answers(questions: NonNullable<Packet["questions"]>): Packet | undefined {
    const { answers: pointer = [], additionals: rest = [] } = this.#records(aliveTtlS);
    const all = [...pointer, ...rest, {
      ...{ name: enumeration, type: "PTR", ttl: 4_500, data: type },
    }];
    const answers = all.filter((record) =>
      questions.some((asked) =>
        asked.name.toLowerCase() === record.name.toLowerCase() &&
        (asked.type === "ANY" || asked.type === record.type)
      )
    );
    if (answers.length === 0) return undefined;
    const isOfUs = answers.some(({ name }) => name !== enumeration);
    const additionals = isOfUs ? rest.filter((record) => !answers.includes(record)) : [];
    return { answers, additionals };
  }

  #records(ttl: number): Packet {
    const { address, path = "/" } = this.#announcement;
    const name = this.#name;
    return {
      answers: [{ name: type, type: "PTR", ttl, data: name }],
      additionals: [
        this.#place(ttl),
        { name, type: "TXT", ttl, data: [Buffer.from("txtvers=1"), Buffer.from(`path=${path}`)] },
        ...reachableAddresses(address).map((data) => ({
          ...{ name: this.#host, type: isIP(data) === 6 ? "AAAA" : "A", ttl, data },
        })),
      ],
    };
  }

  #place(ttl: number): DnsRecord {
    const { port } = this.#announcement;
    const data = { target: this.#host, port, priority: 0, weight: 0 };
    return { name: this.#name, type: "SRV", ttl, data };
  }
}

/** Orders two SRV records of one name, which decides who yields (RFC 6762, section 8.2). */
function placeOrder(one: DnsRecord, other: DnsRecord): number {
  const key = ({ data }: DnsRecord) => {
    const { target, port, priority = 0, weight = 0 } = data as {
      target: string;
      port: number;
      priority?: number;
      weight?: number;
    };
    const digits = [priority, weight, port].map((number) => String(number).padStart(5, "0"));
    return `${digits.join()},${target.toLowerCase()}`;
  };
  const [a, b] = [key(one), key(other)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The address, or for a wildcard all that others on the network may reach. */
function reachableAddresses(address: string): string[] {
  if (address === "localhost") return ["127.0.0.1", "::1"];
  if (address !== "0.0.0.0" && address !== "::") return [address];
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    .filter(({ internal, family, address: own }) =>
      // A link-local address means nothing without the interface it belongs to.
      !internal && (family === "IPv4" || (address === "::" && !/^fe80/i.test(own)))
    )
    .map(({ address: own }) => own);
}
