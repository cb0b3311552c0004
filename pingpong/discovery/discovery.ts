/**
 * Finding servers without their address, and choosing among them.
 *
 * | `--discover` | asks |
 * |---|---|
 * | `ping.example` | DNS SRV records of `_pingpong._udp.ping.example` (RFC 2782) |
 * | `mdns` | DNS-SD over multicast on the local network (RFC 6762, RFC 6763) |
 * | `headless:pingpong.default:4433` | all addresses of a name: a headless service in Kubernetes |
 * | `https://ping.example` | `/.well-known/pingpong.json` there: port, path and certificate hash |
 *
 * DNS and multicast say where a server is, not whether it is the right one: a certificate hash is only believed when
 * it comes over verified HTTPS.
 *
 * @module
 */
import { settledWithin } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import type { Link, Target } from "../client/link.ts";
import { openLink } from "../client/open_link.ts";
import { clientEndpoint } from "../http3/quic.ts";
import { PingIds } from "../protocol/ping_ids.ts";
import { findBySrv, findHeadless } from "./dns.ts";
import type { DiscoverOptions, Found } from "./found.ts";
import { findByMulticast } from "./multicast.ts";
import { findByHttps } from "./well_known.ts";

/** A server that was found and pinged. */
export interface Ranked extends Found {
  /** The round-trip time of one ping; `undefined` when it did not answer. */
  rttMs: number | undefined;
}

const defaultPort = 4433;

/**
 * Finds servers and puts the best first: those that answer, by priority, then by round-trip time.
 *
 * @throws {Error} nothing was found, with what was looked for
 *
 * @example
 * ```ts
 * const [best] = await discover("mdns", { trust: { pins: [hash] } });
 * ```
 */
export async function discover(where: string, options: DiscoverOptions): Promise<Target[]> {
  const { maxServers = 32 } = options;
  const found = (await find(where, options)).slice(0, maxServers);
  if (found.length === 0) {
    throw new Error(
      `Found no server by ${where}. Give one with --host, or start one that can be found`,
    );
  }
  // One alone needs no comparison: connecting to it is the test.
  if (found.length === 1) return [found[0]!.target];
  const ranked = await rankAll(found, options);
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

async function rankAll(found: readonly Found[], options: DiscoverOptions): Promise<Ranked[]> {
  const { probe, trust, connectTimeoutMs = 3_000, world = realWorld } = options;
  if (probe) return await Promise.all(found.map((one) => rank(one, probe, options)));
  const endpoint = options.endpoint ?? clientEndpoint();
  const open = (target: Target) =>
    openLink({ mode: "bidi", target, trust, endpoint, connectTimeoutMs, world });
  try {
    return await Promise.all(found.map((one) => rank(one, open, options)));
  } finally {
    if (!options.endpoint) endpoint.close();
  }
}

/** Pings a server once. */
async function rank(
  found: Found,
  probe: (target: Target) => Promise<Link>,
  { connectTimeoutMs = 3_000, world = realWorld }: DiscoverOptions,
): Promise<Ranked> {
  try {
    const link = await probe(found.target);
    try {
      const answered = pingOnce(link, world);
      const inTime = await settledWithin(answered, connectTimeoutMs, { world });
      return { ...found, rttMs: inTime ? await answered : undefined };
    } finally {
      await link.close(0, "probe");
    }
  } catch {
    // It does not answer, or will not have us: the last to be tried.
    return { ...found, rttMs: undefined };
  }
}

async function pingOnce(link: Link, world: World): Promise<number> {
  const sentMs = world.monotonicMs();
  const answered = new Promise<void>((resolve) => link.receive(() => resolve()));
  await link.send({ kind: "ping", id: new PingIds(world).id(0), data: "Ping!" });
  await answered;
  return world.monotonicMs() - sentMs;
}
