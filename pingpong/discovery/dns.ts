/**
 * Servers by DNS: SRV records (RFC 2782), or all addresses of a name.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import { type DiscoverOptions, type Found, serviceName } from "./found.ts";

/** The servers that a domain's SRV records name. @throws {Error} DNS does not answer */
export async function findBySrv(domain: string, options: DiscoverOptions): Promise<Found[]> {
  const records = await lookUp(`${serviceName}.${domain}`, "SRV", options) as Deno.SrvRecord[];
  return records
    .map(({ target, port, priority }) => ({
      target: { host: target.replace(/\.$/, ""), port },
      priority,
    }))
    .sort((a, b) => a.priority - b.priority);
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
