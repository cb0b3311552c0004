/**
 * Where image stores are: `rkt=127.0.0.1:15441`, `cri=unix:///run/containerd/containerd.sock`, and
 * the places where the known runtimes listen.
 *
 * @module
 */
import { InvalidArgumentError } from "../../service/command_line.ts";
import { timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** The APIs an image store can speak: rkt's api-service, or the Container Runtime Interface. */
export const runtimeKinds = ["rkt", "cri"] as const;
/** One of {@linkcode runtimeKinds}. */
export type RuntimeKind = typeof runtimeKinds[number];

/** An image store's address. */
export interface Endpoint {
  /** The API it speaks. */
  readonly kind: RuntimeKind;
  /** The address as people write it, `host:port` or `unix:///path`; also the label of its metrics. */
  readonly address: string;
  /** The address as the transport wants it. */
  readonly target: { readonly path: string } | { readonly host: string; readonly port: number };
}

/** Where rkt's api-service listens. */
export const rktAddress = "127.0.0.1:15441";

/** Where the runtimes of today have their sockets; crictl tries the first three too. */
export const criSockets = [
  "/run/containerd/containerd.sock",
  "/run/crio/crio.sock",
  "/run/cri-dockerd.sock",
  "/run/k3s/containerd/containerd.sock",
] as const;

/** `KIND=ADDRESS`, for a flag. */
export function parseEndpoint(text: string): Endpoint {
  const [, kind, address = ""] = /^([^=]*)=(.*)$/.exec(text) ?? [];
  if (kind !== "rkt" && kind !== "cri") {
    throw new InvalidArgumentError(
      `Give KIND=ADDRESS with KIND rkt or cri, such as rkt=${rktAddress} or cri=unix://${
        criSockets[0]
      }.`,
    );
  }
  return makeEndpoint(kind, address);
}

/**
 * Makes an endpoint.
 *
 * @throws {InvalidArgumentError} the address is neither `host:port` nor `unix:///path`.
 */
export function makeEndpoint(kind: RuntimeKind, address: string): Endpoint {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(address)?.[1];
  if (path !== undefined) return { kind, address: `unix://${path}`, target: { path } };
  const [, host, port] = /^(\[[^\]]+\]|[^:/\s]+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) {
    throw new InvalidArgumentError(
      `Give the address as host:port or unix:///path: it is '${address}'.`,
    );
  }
  return { kind, address, target: { host: host.replace(/^\[|\]$/g, ""), port: Number(port) } };
}

/** What a search for runtimes found, and what it did not. */
export interface Discovery {
  /** Where something listens, or a socket lies. */
  readonly found: Endpoint[];
  /** Where nothing was, each with the reason. */
  readonly missing: { readonly place: string; readonly reason: string }[];
}

/** Options of {@linkcode discover}. */
export interface DiscoverOptions {
  /** Search for these only. @default all of {@linkcode runtimeKinds} */
  kinds?: readonly RuntimeKind[];
  /** @default rktAddress */
  rkt?: string;
  /** @default criSockets */
  sockets?: readonly string[];
  /** How long rkt's port may take to answer, in milliseconds. @default 1_000 */
  connectTimeoutMs?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Searches for the known runtimes: whether rkt's port takes connections, which sockets there are. */
export async function discover(options: DiscoverOptions = {}): Promise<Discovery> {
  const { kinds = runtimeKinds, rkt = rktAddress, sockets = criSockets } = options;
  const discovery: Discovery = { found: [], missing: [] };
  async function probeAt(
    endpoint: Endpoint,
    probe: () => Promise<string | undefined>,
  ): Promise<void> {
    const reason = await probe();
    if (reason === undefined) discovery.found.push(endpoint);
    else discovery.missing.push({ place: `${endpoint.kind}=${endpoint.address}`, reason });
  }
  if (kinds.includes("rkt")) {
    const endpoint = makeEndpoint("rkt", rkt);
    await probeAt(endpoint, () => connectable(endpoint, options));
  }
  if (kinds.includes("cri")) {
    for (const path of sockets) {
      await probeAt(makeEndpoint("cri", `unix://${path}`), () => isSocket(path));
    }
  }
  return discovery;
}

async function connectable(
  endpoint: Endpoint,
  { connectTimeoutMs = 1_000, world = realWorld }: DiscoverOptions,
): Promise<string | undefined> {
  const { host, port } = endpoint.target as { host: string; port: number };
  using deadline = timeoutSignal(connectTimeoutMs, { world });
  try {
    const connection = await Deno.connect({ hostname: host, port, signal: deadline.signal });
    connection.close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function isSocket(path: string): Promise<string | undefined> {
  try {
    return (await Deno.stat(path)).isSocket ? undefined : "not a socket";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no such socket";
    return error instanceof Error ? error.message : String(error);
  }
}
