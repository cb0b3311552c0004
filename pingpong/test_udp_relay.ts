/**
 * For tests: a bad network on loopback. A UDP relay between clients and one server that loses,
 * doubles, delays and reorders datagrams, goes dark, and changes the port it is seen from. Every
 * chance is drawn from the seed.
 *
 * @module
 */
import { VirtualWorld } from "../service/world/virtual_world.ts";

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

/** A perfect network. */
const noFaults: NetworkFaults = {
  loss: 0,
  duplication: 0,
  reordering: 0,
  delayMs: 0,
  holdMs: 20,
  blackhole: false,
};

/** Options of {@linkcode UdpRelay}: how bad the network is at the start, and these. */
export interface UdpRelayOptions extends Partial<NetworkFaults> {
  /** What all chance follows from. @default 1 */
  seed?: number;
}

/** A relay between clients and a server on this machine. */
export class UdpRelay {
  /** How bad the network is now. */
  readonly faults: NetworkFaults;
  /** What has come, and what became of it. */
  readonly counts = { passed: 0, lost: 0, doubled: 0, held: 0 };
  readonly #front = listen();
  /** One socket towards the server for each client, by the client's address. */
  readonly #backs = new Map<string, Deno.DatagramConn>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #chance: VirtualWorld;
  #serverPort: number;
  #open = true;

  constructor(serverPort: number, { seed = 1, ...faults }: UdpRelayOptions = {}) {
    this.#serverPort = serverPort;
    this.#chance = new VirtualWorld({ seed });
    this.faults = { ...noFaults, ...faults };
    this.#relayClients().catch(() => {
      // Closed.
    });
  }

  /** Where clients send to. */
  get port(): number {
    return (this.#front.addr as Deno.NetAddr).port;
  }

  /** Leads to another server from now on. */
  setServerPort(port: number): void {
    this.#serverPort = port;
  }

  /** From now on the server sees every client at a new port, as behind a NAT that has forgotten. */
  rebind(): void {
    for (const back of this.#backs.values()) back.close();
    this.#backs.clear();
  }

  /** Ends it; what is under way is lost. */
  close(): void {
    this.#open = false;
    this.#timers.forEach(clearTimeout);
    this.#front.close();
    for (const back of this.#backs.values()) back.close();
  }

  async #relayClients(): Promise<void> {
    for await (const [bytes, from] of this.#front) {
      const client = from as Deno.NetAddr;
      const back = this.#backs.get(keyOf(client)) ?? this.#openBack(client);
      this.#pass(bytes.slice(), back, () => ({
        ...{ transport: "udp", hostname: "127.0.0.1", port: this.#serverPort },
      }));
    }
  }

  #openBack(client: Deno.NetAddr): Deno.DatagramConn {
    const back = listen();
    this.#backs.set(keyOf(client), back);
    (async () => {
      for await (const [bytes] of back) this.#pass(bytes.slice(), this.#front, () => client);
    })().catch(() => {
      // Closed by rebind() or close().
    });
    return back;
  }

  #pass(bytes: Uint8Array, socket: Deno.DatagramConn, to: () => Deno.NetAddr): void {
    const { faults, counts } = this;
    // Drawn for every datagram in the same order, whatever is switched on: that is what a seed is for.
    const [lost, doubled, held] = Array.from({ length: 3 }, () => this.#chance.random());
    if (faults.blackhole || lost! < faults.loss) {
      counts.lost++;
      return;
    }
    const isHeld = held! < faults.reordering;
    if (isHeld) counts.held++;
    const copies = doubled! < faults.duplication ? 2 : 1;
    if (copies === 2) counts.doubled++;
    counts.passed++;
    const delayMs = faults.delayMs + (isHeld ? faults.holdMs : 0);
    for (let copy = 0; copy < copies; copy++) {
      this.#after(delayMs, () => {
        // Closed meanwhile, or the server's port is: UDP does not tell, and neither do we.
        if (this.#open) socket.send(bytes, to()).catch(() => {});
      });
    }
  }

  #after(delayMs: number, send: () => void): void {
    if (delayMs === 0) return send();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, delayMs);
    this.#timers.add(timer);
  }
}

/** Starts a relay to a server on this machine. */
export function startUdpRelay(serverPort: number, options: UdpRelayOptions = {}): UdpRelay {
  return new UdpRelay(serverPort, options);
}

function listen(): Deno.DatagramConn {
  return Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
}

function keyOf({ hostname, port }: Deno.NetAddr): string {
  return `${hostname}:${port}`;
}
