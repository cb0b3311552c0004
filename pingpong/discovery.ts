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
import { request } from "node:http";
// @ts-types="./types/multicast_dns.d.ts"
import multicastDns, { type MulticastDns } from "multicast-dns";
import { isLoopback } from "../service/http_server.ts";
import { connectVerified, type Link, openLink, type Target, type Trust } from "./links.ts";
import { PingIds } from "./protocol.ts";
import type { WellKnown } from "./web.ts";

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
  data?: unknown;
}

/** Asks for the service's instances, and gathers their SRV and address records as they come. */
async function findByMulticast(options: DiscoverOptions): Promise<Found[]> {
  const { multicastWaitMs = 1_500, maxServers = 32 } = options;
  const mdns = openMulticast(options.multicastInterface);
  const instances = new Map<string, { host: string; port: number; priority: number }>();
  const addresses = new Map<string, string>();
  try {
    mdns.on("response", ({ answers, additionals }) => {
      for (const { name, type, data } of [...answers ?? [], ...additionals ?? []] as Answer[]) {
        if (type === "SRV" && name.endsWith(`.${service}.local`) && instances.size < maxServers) {
          const { target, port, priority = 0 } = data as {
            target: string;
            port: number;
            priority?: number;
          };
          instances.set(name, { host: target, port, priority });
        } else if (type === "A" && addresses.size < 4 * maxServers) {
          addresses.set(name, String(data));
        }
      }
    });
    await new Promise<void>((resolve) => mdns.once("ready", resolve));
    mdns.query(`${service}.local`, "PTR");
    await new Promise((resolve) => setTimeout(resolve, multicastWaitMs));
  } finally {
    await new Promise<void>((resolve) => mdns.destroy(resolve));
  }
  return [...instances.values()].map(({ host, port, priority }) => ({
    target: { host: addresses.get(host) ?? host, port },
    priority,
  }));
}

/** A server's announcement on the local network. */
export interface Announcement {
  /** Its name there: unique on the network. */
  instance: string;
  /** The UDP port. */
  port: number;
  /** The address it is reached at. */
  address: string;
  /** The interface to answer on, by its address. @default all */
  multicastInterface?: string;
}

/** Answers those who look for servers on the local network, until it is stopped. */
export async function announce(announcement: Announcement): Promise<() => Promise<void>> {
  const { instance, port, address, multicastInterface } = announcement;
  const mdns = openMulticast(multicastInterface);
  const name = `${instance}.${service}.local`;
  const target = `${instance}.local`;
  mdns.on("query", ({ questions }) => {
    const asked = (questions ?? []).some((question) =>
      [`${service}.local`, name].includes(question.name.toLowerCase())
    );
    if (!asked) return;
    mdns.respond({
      answers: [{ name: `${service}.local`, type: "PTR", ttl: 120, data: name }],
      additionals: [
        { name, type: "SRV", ttl: 120, data: { target, port, priority: 0, weight: 0 } },
        { name: target, type: "A", ttl: 120, data: address },
      ],
    });
  });
  await new Promise<void>((resolve, reject) => {
    mdns.once("ready", resolve);
    mdns.once("error", reject);
  });
  return () => new Promise((resolve) => mdns.destroy(resolve));
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
