/**
 * Finding servers without their address, and choosing among them.
 *
 * | `--discover` | looks at |
 * |---|---|
 * | `ping.example` | DNS SRV records of `_pingpong._udp.ping.example` (RFC 2782) |
 * | `mdns` | DNS-SD over multicast on the local network (RFC 6762, RFC 6763) |
 * | `headless:pingpong.default:4433` | all addresses of a name: a headless service in Kubernetes |
 * | `https://ping.example` | `/.well-known/pingpong.json` there: port, path and certificate hash |
 *
 * DNS and multicast say where a server is, not who it is: a certificate hash is only believed when
 * it comes over verified HTTPS.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { request } from "node:http";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
// @ts-types="../types/multicast_dns.d.ts"
import multicastDns, { type MulticastDns, type Packet } from "multicast-dns";
import { PingIds } from "../protocol/ping_ids.ts";
import type { WellKnown } from "../protocol/well_known.ts";
import { isLoopback } from "../../service/http_server.ts";
import { connectVerified, type Link, openLink, type Target, type Trust } from "../client/links.ts";

/** Options of {@linkcode discover}. */
export interface DiscoverOptions {
  /** Whom to believe: for the probes, and for HTTPS. */
  trust: Trust;
  /** How long a connection may take. @default 3_000 */
  connectTimeoutMs?: number;
  /** How long answers on the local network are waited for. @default 1_500 */
  multicastWaitMs?: number;
  /** The interface to ask on, by its address. @default all */
  multicastInterface?: string;
  /** The most servers that are looked at. @default 32 */
  maxServers?: number;
  /** The DNS server to ask. @default the system's */
  dnsServer?: { ipAddr: string; port: number };
  /** Opens a link for a probe. @default openLink with mode bidi */
  probe?: (target: Target) => Promise<Link>;
}

/** A server that was found. */
export interface Found {
  target: Target;
  /** The lower the better, as SRV has it; 0 where nothing says so. */
  priority: number;
}

/** A server that was found and pinged. */
export interface Ranked extends Found {
  /** The round-trip time of one ping; `undefined` when it did not answer. */
  rttMs: number | undefined;
}

const service = "_pingpong._udp";
const defaultPort = 4433;

/**
 * Finds servers and puts the best first: those that answer, by priority, then by round-trip time.
 *
 * @throws {Error} nothing was found, with what was looked for
 */
export async function discover(where: string, options: DiscoverOptions): Promise<Target[]> {
  const { maxServers = 32 } = options;
  const found = (await find(where, options)).slice(0, maxServers);
  if (found.length === 0) {
    throw new Error(
      `Found no server by ${where}. Give one with --host, or start one that can be found`,
    );
  }
  // One alone needs no comparison: connecting to it tells all.
  if (found.length === 1) return [found[0]!.target];
  const ranked = await Promise.all(found.map((one) => rank(one, options)));
  return ranked.toSorted(better).map(({ target }) => target);
}

/** Orders servers, the best first. */
export function better(a: Ranked, b: Ranked): number {
  if ((a.rttMs === undefined) !== (b.rttMs === undefined)) return a.rttMs === undefined ? 1 : -1;
  return a.priority - b.priority || (a.rttMs ?? 0) - (b.rttMs ?? 0);
}

function find(where: string, options: DiscoverOptions): Promise<Found[]> {
  if (where === "mdns") return findByMulticast(options);
  const headless = /^headless:([^:]+)(?::(\d+))?$/.exec(where);
  if (headless) return findHeadless(headless[1]!, Number(headless[2] ?? defaultPort), options);
  if (/^https?:\/\//i.test(where)) return findByHttps(new URL(where), options);
  return findBySrv(where, options);
}

async function findBySrv(domain: string, options: DiscoverOptions): Promise<Found[]> {
  const records = await lookUp(`${service}.${domain}`, "SRV", options) as Deno.SrvRecord[];
  return records
    .map(({ target, port, priority }) => ({
      target: { host: target.replace(/\.$/, ""), port },
      priority,
    }))
    .sort((a, b) => a.priority - b.priority);
}

async function findHeadless(
  name: string,
  port: number,
  options: DiscoverOptions,
): Promise<Found[]> {
  const addresses = await Promise.all([
    lookUp(name, "A", options) as Promise<string[]>,
    lookUp(name, "AAAA", options) as Promise<string[]>,
  ]);
  return addresses.flat().map((host) => ({ target: { host, port }, priority: 0 }));
}

/** Records of a name; none where there are none. */
async function lookUp(
  name: string,
  type: "SRV" | "A" | "AAAA",
  { dnsServer }: DiscoverOptions,
): Promise<unknown[]> {
  try {
    return await Deno.resolveDns(name, type as "SRV", dnsServer ? { nameServer: dnsServer } : {});
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new Error(
      `Cannot look up ${type} of ${name}: ${
        error instanceof Error ? error.message : String(error)
      }`,
      { cause: error },
    );
  }
}

async function findByHttps(url: URL, options: DiscoverOptions): Promise<Found[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (url.protocol === "http:" && !isLoopback(host)) {
    throw new Error(`Refuses to believe ${url.origin}: without TLS only on this machine`);
  }
  const text = await fetchText(url, host, options);
  const known = parseWellKnown(text, url);
  return [{
    target: {
      host,
      port: known.webtransport.port,
      path: known.webtransport.path,
      websocketPort: Number(url.port || (url.protocol === "https:" ? 443 : 80)),
      websocketTls: url.protocol === "https:",
      pins: known.webtransport.certificateHashes.map(({ value }) => Uint8Array.fromHex(value)),
    },
    priority: 0,
  }];
}

const maxDocumentBytes = 65_536;

/** By a connection whose certificate was checked our way: `fetch` knows no pins. */
async function fetchText(url: URL, host: string, options: DiscoverOptions): Promise<string> {
  const { trust, connectTimeoutMs = 3_000 } = options;
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const socket = url.protocol === "https:"
    ? await connectVerified({ target: { host, port }, trust, connectTimeoutMs }, port)
    : undefined;
  return await new Promise((resolve, reject) => {
    const asking = request({
      host,
      port,
      path: "/.well-known/pingpong.json",
      headers: { host: url.host, connection: "close" },
      ...(socket && { createConnection: () => socket }),
      timeout: connectTimeoutMs,
    }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > maxDocumentBytes) {
          asking.destroy(new Error(`The document has more than ${maxDocumentBytes} bytes`));
        }
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${url.origin} knows no pingpong: status ${response.statusCode}`));
      });
    });
    asking.on(
      "timeout",
      () =>
        asking.destroy(new Error(`No document from ${url.origin} within ${connectTimeoutMs} ms`)),
    );
    asking.on("error", reject);
    asking.end();
  });
}

function parseWellKnown(text: string, url: URL): WellKnown {
  try {
    const known = JSON.parse(text) as WellKnown;
    const { port, path, certificateHashes } = known.webtransport;
    const valid = Number.isInteger(port) && port > 0 && port < 65_536 && /^\//.test(path) &&
      certificateHashes.every(({ value }) => /^[0-9a-f]{64}$/i.test(value));
    if (valid) return known;
  } catch {
    // Told below, with what it is.
  }
  throw new Error(
    `What ${url.origin}/.well-known/pingpong.json says is no description of a server`,
  );
}

interface Answer {
  name: string;
  type: string;
  /** 0: the record is no more (RFC 6762, section 10.1). */
  ttl?: number;
  data?: unknown;
}

/** Asks for the service's instances, and gathers their SRV, TXT and address records as they come. */
async function findByMulticast(options: DiscoverOptions): Promise<Found[]> {
  const { multicastWaitMs = 1_500, maxServers = 32 } = options;
  const mdns = openMulticast(options.multicastInterface);
  const instances = new Map<string, { host: string; port: number; priority: number }>();
  const paths = new Map<string, string>();
  const addresses = new Map<string, Set<string>>();

  function learn({ name, type, data, ttl }: Answer): void {
    const isOurs = name.endsWith(`.${service}.local`);
    if (type === "SRV" && isOurs && ttl === 0) {
      instances.delete(name);
    } else if (type === "SRV" && isOurs && instances.size < maxServers) {
      const { target, port, priority = 0 } = data as {
        target: string;
        port: number;
        priority?: number;
      };
      instances.set(name, { host: target, port, priority });
    } else if (type === "TXT" && isOurs && paths.size < maxServers) {
      const path = pathIn(data);
      if (path) paths.set(name, path);
    } else if ((type === "A" || type === "AAAA") && addresses.size < maxServers) {
      const known = addresses.get(name) ?? new Set();
      if (known.size < 8) addresses.set(name, known.add(String(data)));
    }
  }
  try {
    mdns.on("response", ({ answers, additionals }) => {
      for (const answer of [...answers ?? [], ...additionals ?? []] as Answer[]) learn(answer);
    });
    await new Promise<void>((resolve) => mdns.once("ready", resolve));
    mdns.query(`${service}.local`, "PTR");
    await new Promise((resolve) => setTimeout(resolve, multicastWaitMs));
  } finally {
    await new Promise<void>((resolve) => mdns.destroy(resolve));
  }
  // A server may have addresses that we do not reach: each is a place to try.
  return [...instances].flatMap(([name, { host, port, priority }]) => {
    const path = paths.get(name);
    return [...addresses.get(host) ?? [host]].map((address) => ({
      target: { host: address, port, ...(path && { path }) },
      priority,
    }));
  });
}

/** `path=/…` in a TXT record (RFC 6763, section 6). */
function pathIn(data: unknown): string | undefined {
  const strings = (Array.isArray(data) ? data : [data]).map((one) =>
    one instanceof Uint8Array ? new TextDecoder().decode(one) : String(one)
  );
  return strings.find((one) => one.startsWith("path=/"))?.slice("path=".length);
}

/** A server's announcement on the local network. */
export interface Announcement {
  /** Its name there: unique on the network, 1 to 63 bytes without a dot. */
  instance: string;
  /** The UDP port. */
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

const enumeration = "_services._dns-sd._udp.local";

/**
 * Announces a server on the local network, answers those who look for it, and says goodbye when it
 * is stopped (RFC 6762, sections 8.3 and 10.1; RFC 6763, section 9).
 *
 * @throws {RangeError} the name cannot be one
 */
export async function announce(announcement: Announcement): Promise<() => Promise<void>> {
  const { instance, port, address, path = "/", multicastInterface } = announcement;
  if (!isInstanceName(instance)) {
    throw new RangeError(
      `Cannot announce '${instance}': a name has 1 to 63 bytes and no dot in it`,
    );
  }
  const mdns = openMulticast(multicastInterface);
  const type = `${service}.local`;
  const name = `${instance}.${type}`;
  const target = `${instance}.local`;

  function records(ttl: number): Packet {
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
  mdns.on("query", ({ questions }) => {
    const asked = (questions ?? []).map((question) => question.name.toLowerCase());
    if (asked.includes(type) || asked.includes(name.toLowerCase())) mdns.respond(records(120));
    if (asked.includes(enumeration)) {
      mdns.respond({ answers: [{ name: enumeration, type: "PTR", ttl: 4_500, data: type }] });
    }
  });
  await new Promise<void>((resolve, reject) => {
    mdns.once("ready", resolve);
    mdns.once("error", reject);
  });
  mdns.respond(records(120));
  return async () => {
    await new Promise<void>((resolve) => mdns.respond(records(0), () => resolve()));
    await new Promise<void>((resolve) => mdns.destroy(resolve));
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

function openMulticast(address: string | undefined): MulticastDns {
  const mdns = multicastDns({
    // Multicast does not arrive at a socket that is bound to an interface's own address.
    bind: "0.0.0.0",
    ...(address !== undefined && { interface: address }),
  });
  // What others say that is no DNS message is none of our business.
  mdns.on("warning", () => {});
  return mdns;
}

/** Pings a server once. */
async function rank(found: Found, options: DiscoverOptions): Promise<Ranked> {
  const { trust, connectTimeoutMs = 3_000 } = options;
  const probe = options.probe ??
    ((target: Target) => openLink({ mode: "bidi", target, trust, connectTimeoutMs }));
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const link = await probe(found.target);
    try {
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), connectTimeoutMs);
      });
      return { ...found, rttMs: await Promise.race([pingOnce(link), late]) };
    } finally {
      await link.close(0, "probe");
    }
  } catch {
    // It does not answer, or will not have us: the last to be tried.
    return { ...found, rttMs: undefined };
  } finally {
    clearTimeout(timer);
  }
}

async function pingOnce(link: Link): Promise<number> {
  const sentMs = performance.now();
  const answered = new Promise<void>((resolve) => link.receive(() => resolve()));
  await link.send({ kind: "ping", id: new PingIds().id(0), data: "Ping!" });
  await answered;
  return performance.now() - sentMs;
}
