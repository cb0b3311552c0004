/**
 * For tests: a bad network on loopback. A UDP relay between clients and one server that loses,
 * doubles, delays and reorders datagrams, goes dark, and changes the port it is seen from. Every
 * chance is drawn from the seed.
 *
 * @module
 */

/** How bad the network is; each field may be changed while it runs. */
export interface NetworkFaults {
  /** The part of datagrams lost, each way, 0 to 1. */
  loss: number;
  /** The part that comes twice. */
  duplication: number;
  /** The part that is held back so that later ones overtake it. */
  reordering: number;
  /** How long every datagram takes, in milliseconds. */
  delayMs: number;
  /** How much longer a held-back one takes, in milliseconds. */
  holdMs: number;
  /** Nothing comes through. */
  blackhole: boolean;
}

/** A relay that runs. */
export interface UdpRelay {
  /** Where clients send to. */
  readonly port: number;
  /** How bad it is now. */
  readonly faults: NetworkFaults;
  /** What has come, and what became of it. */
  readonly counts: { passed: number; lost: number; doubled: number; held: number };
  /** Leads to another server from now on. */
  setServerPort(port: number): void;
  /** From now on the server sees every client at a new port, as behind a NAT that has forgotten. */
  rebind(): void;
  close(): void;
}

/** A perfect network. */
const noFaults: NetworkFaults = {
  loss: 0,
  duplication: 0,
  reordering: 0,
  delayMs: 0,
  holdMs: 20,
  blackhole: false,
};

/** Starts a relay to a server on this machine. */
export function startUdpRelay(
  serverPort: number,
  options: Partial<NetworkFaults> & { seed?: number } = {},
): UdpRelay {
  const { seed = 1, ...given } = options;
  const faults = { ...noFaults, ...given };
  const counts = { passed: 0, lost: 0, doubled: 0, held: 0 };
  const chance = randomOf(seed);
  const listen = () => Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const front = listen();
  /** One socket towards the server for each client, by the client's address. */
  const backs = new Map<string, Deno.DatagramConn>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  let target = serverPort;
  let open = true;

  function pass(socket: () => Deno.DatagramConn, bytes: Uint8Array, to: () => Deno.NetAddr): void {
    // Drawn for every datagram in the same order, whatever is switched on: that is what a seed is for.
    const [lost, doubled, held] = [chance(), chance(), chance()];
    if (faults.blackhole || lost < faults.loss) {
      counts.lost++;
      return;
    }
    const isHeld = held < faults.reordering;
    if (isHeld) counts.held++;
    const copies = doubled < faults.duplication ? 2 : 1;
    if (copies === 2) counts.doubled++;
    counts.passed++;
    const delayMs = faults.delayMs + (isHeld ? faults.holdMs : 0);
    for (let copy = 0; copy < copies; copy++) {
      if (delayMs === 0) send();
      else {
        const timer = setTimeout(() => {
          timers.delete(timer);
          send();
        }, delayMs);
        timers.add(timer);
      }
    }
    function send(): void {
      // Closed meanwhile, or the server's port is: UDP does not tell, and neither do we.
      if (open) socket().send(bytes, to()).catch(() => {});
    }
  }

  async function relayFront(): Promise<void> {
    for await (const [bytes, from] of front) {
      const client = from as Deno.NetAddr;
      const back = backs.get(keyOf(client)) ?? openBack(client);
      pass(() => back, bytes.slice(), () => serverAddr());
    }
  }

  function openBack(client: Deno.NetAddr): Deno.DatagramConn {
    const back = listen();
    backs.set(keyOf(client), back);
    (async () => {
      for await (const [bytes] of back) pass(() => front, bytes.slice(), () => client);
    })().catch(() => {
      // Closed by rebind() or close().
    });
    return back;
  }

  function serverAddr(): Deno.NetAddr {
    return { transport: "udp", hostname: "127.0.0.1", port: target };
  }

  relayFront().catch(() => {
    // Closed.
  });
  return {
    port: (front.addr as Deno.NetAddr).port,
    faults,
    counts,
    setServerPort(port) {
      target = port;
    },
    rebind() {
      for (const back of backs.values()) back.close();
      backs.clear();
    },
    close() {
      open = false;
      timers.forEach(clearTimeout);
      front.close();
      for (const back of backs.values()) back.close();
    },
  };
}

function keyOf({ hostname, port }: Deno.NetAddr): string {
  return `${hostname}:${port}`;
}

/** A small generator (mulberry32): the same seed, the same numbers from 0 to 1. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return function next() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
