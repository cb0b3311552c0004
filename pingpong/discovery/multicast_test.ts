/**
 * Multicast on loopback alone, at a port of each test's own, as on a network of their own.
 */
import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
// @ts-types="../types/multicast_dns.d.ts"
import type { DnsRecord, Packet } from "multicast-dns";
import type { Target } from "../client/link.ts";
import { announce, type Announcement } from "./announcement.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { discover } from "./discovery.ts";
import { openMulticast } from "./multicast.ts";

const type = "_pingpong._udp.local";

/** Where a test's own multicast is. */
function ownNetwork() {
  const socket = Deno.listenDatagram({ hostname: "0.0.0.0", port: 0, transport: "udp" });
  const { port: multicastPort } = socket.addr as Deno.NetAddr;
  socket.close();
  return { multicastInterface: "127.0.0.1", multicastPort };
}

type Network = ReturnType<typeof ownNetwork>;

function look(network: Network): Promise<Target[]> {
  return discover("mdns", { trust: {}, multicastWaitMs: 300, connectTimeoutMs: 50, ...network });
}

function server(network: Network, more: Partial<Announcement> = {}) {
  const quick = { instance: "lab", port: 4, address: "127.0.0.1", probeIntervalMs: 20 };
  return announce({ ...quick, ...network, ...more });
}

/** Somebody else on the network, who hears all and says what a test has it say. */
async function stranger({ multicastInterface, multicastPort }: Network) {
  const mdns = openMulticast(multicastInterface, multicastPort);
  const asked: string[] = [];
  const heard: DnsRecord[] = [];
  mdns.on("query", ({ questions }) => {
    for (const { name, type } of questions ?? []) asked.push(`${type} ${name}`);
  });
  mdns.on("response", ({ answers, additionals }) => {
    heard.push(...answers ?? [], ...additionals ?? []);
  });
  await new Promise<void>((resolve) => mdns.once("ready", resolve));
  return {
    ...{ mdns, asked, heard },
    say: (answers: DnsRecord[]) => new Promise<void>((sent) => mdns.respond({ answers }, sent)),
    [Symbol.asyncDispose]: () => new Promise<void>((done) => mdns.destroy(done)),
  };
}

testWith(
  ["sys", "net"],
  "discover() finds a server that announces itself, until it says goodbye",
  async () => {
    const network = ownNetwork();
    const announced = await server(network, { path: "/ping" });
    assert.equal(announced.isLocal, true);
    const [found] = await look(network);
    assert.deepEqual(found, { host: "127.0.0.1", port: 4, path: "/ping" });
    await announced.stop();
    await assert.rejects(look(network), /Found no server/);
    await assert.rejects(server(network, { instance: "a.b" }), /no dot in it/);
  },
);

testWith(
  ["sys", "net"],
  "discover() asks a server that tells one record at a time for the rest",
  async () => {
    const network = ownNetwork();
    await using other = await stranger(network);
    const name = `Attic.${type}`;
    const records: DnsRecord[] = [
      { name: type.toUpperCase(), type: "PTR", ttl: 120, data: name },
      { name: name.toUpperCase(), type: "SRV", ttl: 120, data: { target: "ATTIC.local", port: 7 } },
      { name, type: "TXT", ttl: 120, data: ["path=/attic"] },
      { name: "attic.LOCAL", type: "A", ttl: 120, data: "127.0.0.9" },
    ];
    other.mdns.on("query", ({ questions }: Packet) => {
      for (const { name, type } of questions ?? []) {
        void other.say(
          records.filter((one) =>
            one.type === type && one.name.toLowerCase() === name.toLowerCase()
          ),
        );
      }
    });
    const targets = await look(network);
    assert.deepEqual(targets, [{ host: "127.0.0.9", port: 7, path: "/attic" }]);
    assert.ok(
      other.asked.filter((question) => question === `PTR ${type}`).length >= 2,
      "asked again",
    );
  },
);

testWith(
  ["sys", "net"],
  "announce() takes another name where its own is taken, whatever its case",
  async () => {
    const network = ownNetwork();
    await using other = await stranger(network);
    const first = await server(network, { instance: "Lab" });
    /** Starts one for which no time passes until it probes for a name that is free. */
    const begin = async (port: number, name: string) => {
      const world = new VirtualWorld({ seed: port });
      const starting = server(network, { port, world });
      await eventually("a probe", () => other.asked.includes(`ANY ${name}.${type}`) || undefined);
      await world.advance(1_000);
      return await starting;
    };
    const second = await begin(5, "lab (2)");
    const third = await begin(6, "lab (3)");
    assert.deepEqual([first, second, third].map(({ instance }) => instance), [
      "Lab",
      "lab (2)",
      "lab (3)",
    ]);
    const ports = (await look(network)).map(({ port }) => port);
    assert.deepEqual(ports.toSorted(), [4, 5, 6]);
    await Promise.all([first, second, third].map((one) => one.stop()));
  },
);

testWith(
  ["sys", "net"],
  "announce() gives way to who has its name later, and says so",
  async () => {
    const network = ownNetwork();
    const renamed: string[] = [];
    const announced = await server(network, { onRenamed: (name) => renamed.push(name) });
    await using other = await stranger(network);
    const data = { target: "other.local", port: 9, priority: 0, weight: 0 };
    await other.say([{ name: `LAB.${type}`, type: "SRV", ttl: 120, data }]);
    await eventually("another name", () => renamed[0]);
    assert.deepEqual([renamed, announced.instance], [["lab (2)"], "lab (2)"]);
    await eventually(
      "its announcement",
      () =>
        other.heard.some(({ name, type }) => type === "SRV" && name.startsWith("lab (2).")) ||
        undefined,
    );
    await announced.stop();
  },
);
