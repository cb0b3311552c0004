/**
 * The addresses of a host, in the order in which they are tried.
 *
 * @module
 */
import { promises as dns } from "node:dns";
import { isIP } from "node:net";
import { reasonOf } from "../../service/resilience.ts";

/** A family of addresses: of IPv4 or of IPv6. */
export type Family = 4 | 6;

/**
 * All addresses of a host by the system's resolver, so that its hosts file counts too; the families
 * take turns, beginning with IPv6 (RFC 8305, section 4).
 *
 * @throws {Error} it has none, or none of the family
 *
 * @example
 * ```ts
 * await addressesOf("localhost"); // ["::1", "127.0.0.1"]
 * await addressesOf("localhost", 4); // ["127.0.0.1"]
 * ```
 */
export async function addressesOf(host: string, family?: Family): Promise<string[]> {
  const literal = isIP(host);
  if (literal !== 0) {
    if (family === undefined || literal === family) return [host];
    throw new Error(`${host} is no IPv${family} address`);
  }
  let found: { address: string; family: number }[];
  try {
    found = await dns.lookup(host, { all: true });
  } catch (error) {
    // Without its cause, whose message would be taken for the reason: it names no host that was asked for.
    throw new Error(`Cannot find the address of ${host}: ${reasonOf(error)}`);
  }
  const of = (
    wanted: Family,
  ) => [...new Set(found.filter((one) => one.family === wanted).map(({ address }) => address))];
  const [sixes, fours] = [of(6), of(4)];
  if (family !== undefined) {
    const only = family === 4 ? fours : sixes;
    if (only.length > 0) return only;
    throw new Error(`${host} has no IPv${family} address`);
  }
  const turns = Math.max(sixes.length, fours.length);
  const all = Array.from({ length: turns }, (_, turn) => [sixes[turn], fours[turn]]).flat()
    .filter((address) => address !== undefined);
  if (all.length > 0) return all;
  throw new Error(`${host} has no address`);
}
