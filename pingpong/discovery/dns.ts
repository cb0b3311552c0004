/**
 * Servers by DNS: SRV records (RFC 2782), or all addresses of a name.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { type DiscoverOptions, type Found, serviceName } from "./found.ts";

/**
 * The servers that a domain's SRV records name, in the order in which they are to be tried.
 *
 * @throws {Error} DNS does not answer, or the domain says that it has no such service
 */
export async function findBySrv(domain: string, options: DiscoverOptions): Promise<Found[]> {
  const records = await lookUp(`${serviceName}.${domain}`, "SRV", options) as Deno.SrvRecord[];
  const offered = records.filter(({ target }) => target !== "." && target !== "");
  if (records.length > 0 && offered.length === 0) {
    throw new Error(
      `${domain} says that it does not offer ping-pong (the SRV record's target is .)`,
    );
  }
  return inOrder(offered, options.world ?? realWorld).map(({ target, port, priority }) => ({
    target: { host: target.replace(/\.$/, ""), port },
    priority,
  }));
}

/**
 * Records by priority, and among those of one priority by chance, in proportion to their weights
 * (RFC 2782, "Usage rules").
 *
 * @example
 * ```ts
 * inOrder([{ target: "a", port: 1, priority: 0, weight: 3 }, { target: "b", port: 1, priority: 0, weight: 1 }], world);
 * // a is the first in three of four calls
 * ```
 */
export function inOrder(
  records: readonly Deno.SrvRecord[],
  world: Pick<World, "random">,
): Deno.SrvRecord[] {
  const left = records.toSorted((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: Deno.SrvRecord[] = [];
  while (left.length > 0) {
    const same = left.filter(({ priority }) => priority === left[0]!.priority);
    const drawn = Math.floor(world.random() * (same.reduce((sum, one) => sum + one.weight, 0) + 1));
    let sum = 0;
    const index = same.findIndex(({ weight }) => (sum += weight) >= drawn);
    ordered.push(...left.splice(index, 1));
  }
  return ordered;
}

/** All addresses of a name, each a server. @throws {Error} DNS does not answer */
export async function findHeadless(
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
    throw new Error(`Cannot look up ${type} of ${name}: ${reasonOf(error)}`, { cause: error });
  }
}
