/**
 * Binding a server to its address, and to both families of loopback where that is meant: `localhost`
 * is ::1 first for many clients, which would find nobody there, or somebody else.
 *
 * @module
 */
import type { AddressInfo, Server } from "node:net";
import { StartError } from "./life_cycle.ts";
import type { Log } from "./log.ts";
import { reasonOf } from "./resilience.ts";

/** Options of {@linkcode bindAll}. */
export interface BindOptions {
  /** Address to bind; `localhost` is 127.0.0.1 and ::1. */
  host: string;
  /** Port to bind; 0 takes one that is free. */
  port: number;
  /** The flag that sets the port, named in the message when the port is taken. */
  portFlag: string;
  /** Gets what the operator should know. @default nobody */
  log?: Pick<Log, "warn" | "info"> | undefined;
}

/** A server that listens, and where. */
export interface Bound<NodeServer extends Server> {
  server: NodeServer;
  address: AddressInfo;
}

/** Attempts to find a port that is free in both families. */
const portAttempts = 8;

/**
 * Binds a server for each address: one, or for `localhost` two with the same port. Where a machine has no
 * IPv6 the first one has to do; where another program has the port of that family that is said.
 *
 * @throws {StartError} the address cannot be had
 *
 * @example
 * ```ts
 * const bound = await bindAll(() => createServer(), { host: "localhost", port: 0, portFlag: "--port" });
 * ```
 */
export async function bindAll<NodeServer extends Server>(
  makeServer: () => NodeServer,
  options: BindOptions,
): Promise<Bound<NodeServer>[]> {
  const { host, port, portFlag, log } = options;
  if (host !== "localhost") return [await bind(makeServer(), options)];
  for (let attempt = 1;; attempt++) {
    const first = await bind(makeServer(), { ...options, host: "127.0.0.1" });
    try {
      const second = { host: "::1", port: first.address.port, portFlag };
      return [first, await bind(makeServer(), second)];
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      if (!isInUse(error.cause)) return [first];
      if (port === 0 && attempt < portAttempts) {
        await new Promise((resolve) => first.server.close(resolve));
        continue;
      }
      log?.warn("Another program has this port of IPv6's loopback: localhost may reach that one", {
        address: `[::1]:${first.address.port}`,
      });
      return [first];
    }
  }
}

async function bind<NodeServer extends Server>(
  server: NodeServer,
  { host, port, portFlag }: BindOptions,
): Promise<Bound<NodeServer>> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    throw listenError(error, host, port, portFlag);
  }
  return { server, address: server.address() as AddressInfo };
}

function isInUse(error: unknown): boolean {
  return (error as { code?: string }).code === "EADDRINUSE";
}

function listenError(cause: unknown, host: string, port: number, portFlag: string): unknown {
  const where = `Cannot listen on ${host}:${port}`;
  const { code } = cause as { code?: string };
  if (isInUse(cause)) {
    return new StartError(
      `${where}: the port is in use. Stop the program that has it, or choose another port with ${portFlag} (0 takes a free one).`,
      { cause },
    );
  }
  if (code === "EACCES" || code === "EPERM" || cause instanceof Deno.errors.NotCapable) {
    return new StartError(
      `${where}: not permitted (${
        reasonOf(cause)
      }). Choose a port above 1023 with ${portFlag}, or grant --allow-net.`,
      { cause },
    );
  }
  if (["EADDRNOTAVAIL", "ENOTFOUND", "EINVAL", "EAFNOSUPPORT"].includes(code ?? "")) {
    return new StartError(
      `${where}: ${reasonOf(cause)}. Give an address of this machine with --host.`,
      { cause },
    );
  }
  return cause;
}
