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
import { ServiceRecords } from "./service_records.ts";

/** Questions in one packet: what is heard of instances may be many. */
const maxQuestions = 32;

/** How often all that is still open is asked for, in the time that is waited (RFC 6762, section 5.2). */
const rounds = 3;

/**
 * Asks for the service's instances, gathers their records as they come, and asks for those that do
 * not come by themselves, a packet may be lost, too.
 */
export async function findByMulticast(options: DiscoverOptions): Promise<Found[]> {
  const { multicastWaitMs = 1_500, maxServers = 32, world = realWorld } = options;
  const mdns = openMulticast(options.multicastInterface, options.multicastPort);
  const records = new ServiceRecords(maxServers);
  const asked = new Set<string>();
  const askForRest = () => {
    const open = records.questions().filter(({ name, type }) => !asked.has(`${type} ${name}`))
      .slice(0, maxQuestions);
    for (const { name, type } of open) asked.add(`${type} ${name}`);
    if (open.length > 0) mdns.query(open);
  };
  try {
    mdns.on("response", ({ answers, additionals }) => {
      for (const answer of [...answers ?? [], ...additionals ?? []]) records.learn(answer);
      askForRest();
    });
    await new Promise<void>((resolve) => mdns.once("ready", resolve));
    for (let round = 0; round < rounds; round++) {
      mdns.query([{ name: `${serviceName}.local`, type: "PTR" }]);
      asked.clear();
      askForRest();
      await pause(multicastWaitMs / rounds, { world });
    }
  } finally {
    await new Promise<void>((resolve) => mdns.destroy(resolve));
  }
  return records.found();
}

/** A socket for multicast DNS, on all interfaces or on the one of this address. */
export function openMulticast(address: string | undefined, port?: number): MulticastDns {
  const mdns = multicastDns({
    // Multicast does not arrive at a socket that is bound to an interface's own address.
    bind: "0.0.0.0",
    ...(address !== undefined && { interface: address }),
    ...(port !== undefined && { port }),
  });
  // What others say that is no DNS message is none of our business.
  mdns.on("warning", () => {});
  return mdns;
}
