/**
 * Ports of this machine's loopback: finding free ones, and asking whether something answers there.
 *
 * @module
 */
import { StartError } from "./life_cycle.ts";
import { realWorld } from "./world/world.ts";

/** All that Orrery starts by itself listens here. */
const hostname = "127.0.0.1";

/**
 * Where any free port is looked for: below those that systems give to connections that go out (Linux
 * from 32768 on, others from 49152, RFC 6335 section 6), as one of these would take a port between its
 * choice and its use.
 */
const anyPorts = { first: 20_000, last: 32_767 };

/**
 * Finds TCP ports on 127.0.0.1 that nothing listens on.
 *
 * @param wanted a port to take as it is, or 0 or `undefined` for a free one
 * @returns as many ports, no two of the found ones the same
 *
 * @example
 * ```ts
 * const [httpPort, grpcPort] = choosePorts(4318, 0); // 4318, and any free one
 * ```
 */
export function choosePorts<Wanted extends (number | undefined)[]>(
  ...wanted: Wanted
): { [Index in keyof Wanted]: number } {
  const given = new Set(wanted.filter((port) => port !== undefined));
  return wanted.map((port) => {
    if (port) return port;
    const free = freePortFrom(0, given);
    given.add(free);
    return free;
  }) as { [Index in keyof Wanted]: number };
}

/**
 * The wanted port, or the next one above it that is free for TCP and UDP alike.
 *
 * @param wanted where to begin; 0 is any port
 * @param taken ports that are not to be given, though nothing listens there yet
 * @throws {StartError} none is free
 *
 * @example
 * ```ts
 * const port = freePortFrom(8080, new Set([8081]));
 * ```
 */
export function freePortFrom(wanted: number, taken: ReadonlySet<number> = new Set()): number {
  for (const port of candidates(wanted)) {
    if (taken.has(port)) continue;
    if (isFree(port)) return port;
  }
  throw new StartError(
    wanted === 0
      ? `Of ${anyAttempts} ports from ${anyPorts.first} to ${anyPorts.last}, none is free on ${hostname}.`
      : `No port from ${wanted} to 65535 is free on ${hostname}.`,
  );
}

const anyAttempts = 1_000;

function* candidates(wanted: number): Iterable<number> {
  // Who else looks for one at the same time begins elsewhere.
  if (wanted === 0) { for (let attempt = 0; attempt < anyAttempts; attempt++) yield anyPort(); }
  else for (let port = wanted; port <= 65_535; port++) yield port;
}

function anyPort(): number {
  const { first, last } = anyPorts;
  return first + Math.floor(realWorld.random() * (last - first + 1));
}

/** Whether it is neither in use nor reserved, for TCP and UDP alike. */
function isFree(port: number): boolean {
  try {
    using _listener = Deno.listen({ hostname, port });
    Deno.listenDatagram({ hostname, port, transport: "udp" }).close();
    return true;
  } catch (error) {
    const { AddrInUse, PermissionDenied } = Deno.errors;
    if (error instanceof AddrInUse || error instanceof PermissionDenied) return false;
    throw error;
  }
}

/** Whether a GET of the URL, or a request that was made of it, is answered with a 2xx status. */
export async function answersOk(request: string | Request, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(request, { signal });
    await response.body?.cancel();
    return response.ok;
  } catch (error) {
    // Nobody listens yet, or resets the connection while it starts: both are "not ready".
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Whether something accepts TCP connections on the port. */
export async function acceptsTcp(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname, port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

/**
 * Makes sure that nothing listens on the port yet, so that a program does not seem ready because
 * another one answers for it.
 *
 * @param name whose port it is going to be
 * @param use what for, both for the message
 * @throws {StartError} something does
 */
export function requireFreePort(name: string, use: string, port: number): void {
  try {
    Deno.listen({ hostname, port }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new StartError(
      `Cannot start ${name}: port ${port} (${use}) is in use on ${hostname}. ` +
        "Stop what listens there or choose another port",
    );
  }
}
