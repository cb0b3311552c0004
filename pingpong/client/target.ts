/**
 * Which server a client means, and which certificates it believes, by what a person gives.
 *
 * @module
 */
import { isIP } from "node:net";
import { isLoopback } from "../../service/http_server.ts";
import { reasonOf } from "../../service/resilience.ts";
import { certificateHash, parsePin } from "../certificates/certificate.ts";
import type { Family } from "./addresses.ts";
import type { Target, Trust } from "./link.ts";

/** What a person gives about the server. */
export interface TargetOptions {
  /**
   * Host name or address, with a port and a path if need be, or a URL: `ping.example`,
   * `127.0.0.1:4433`, `[::1]:4433`, `ping.example/path`, `https://ping.example/`.
   *
   * @default "127.0.0.1"
   */
  host?: string;
  /** Only addresses of this family. @default both */
  family?: Family;
  /** UDP port, 1 to 65,535, unless the URL has one. @default 4433 */
  port?: number;
  /** TCP port of WebSocket, 1 to 65,535. @default as the UDP port */
  websocketPort?: number;
}

/** What a person gives about trust; the first of these that is given counts. */
export interface TrustOptions {
  /** Believes any certificate. @default false */
  insecure?: true;
  /** SHA-256 of the server's certificate, or a file that holds it. @default cert.sha256 if it is there */
  pin?: string;
  /** A file of PEM certificates of authorities to trust. @default the system's */
  ca?: string;
  /** Where servers are looked for: but for `mdns` no file in the working folder knows their certificates. @default nowhere */
  discover?: string;
}

const defaultPinFile = "cert.sha256";

/**
 * The server that is meant.
 *
 * @throws {Error} the URL is none of a server, or would go over the network without TLS
 *
 * @example
 * ```ts
 * targetOf({ host: "https://ping.example/echo" }); // port 443, path /echo
 * ```
 */
export function targetOf(options: TargetOptions): Target {
  const { host = "127.0.0.1", websocketPort } = options;
  if (host.includes("%")) {
    throw new Error(
      `Cannot ping ${host}: an address with a zone (%…) cannot be used, as Deno's QUIC takes none. Give an address that is routed`,
    );
  }
  if (/^[a-z]+:\/\//i.test(host)) {
    const url = new URL(host);
    const plain = url.protocol === "ws:" || url.protocol === "http:";
    if (!["https:", "wss:", "ws:", "http:"].includes(url.protocol)) {
      throw new Error(`Cannot ping ${host}: give a URL that begins with https:// or wss://`);
    }
    if (plain && !isLoopback(url.hostname)) {
      throw new Error(`Refuses to ping ${host}: without TLS only on this machine`);
    }
    if (url.port !== "" && options.port !== undefined && options.port !== Number(url.port)) {
      throw new Error(`Cannot ping ${host}: --port ${options.port} is another one`);
    }
    const ownPort = options.port ?? (url.port === "" ? plain ? 80 : 443 : Number(url.port));
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: ownPort,
      path: url.pathname + url.search,
      websocketTls: !plain,
      websocketPort: websocketPort ?? ownPort,
    };
  }
  return { ...placeOf(host, options.port), ...(websocketPort !== undefined && { websocketPort }) };
}

/** `host`, `host:port`, `[address]:port`, each with a path if need be. */
function placeOf(text: string, given: number | undefined): Pick<Target, "host" | "port" | "path"> {
  const slash = text.indexOf("/");
  const [authority, path] = slash < 0
    ? [text, undefined]
    : [text.slice(0, slash), text.slice(slash)];
  const bare = isIP(authority) === 6;
  const [, host, digits] = bare
    ? [undefined, authority, undefined]
    : /^\[?([^\[\]]+?)\]?(?::(\d{1,5}))?$/.exec(authority) ?? [];
  const own = digits === undefined ? undefined : Number(digits);
  if (!host || (host.includes(":") && isIP(host) !== 6) || (own !== undefined && own > 65_535)) {
    throw new Error(
      `Cannot ping ${text}: give a host name or address, host:port, [IPv6 address]:port, or a URL`,
    );
  }
  if (own !== undefined && given !== undefined && own !== given) {
    throw new Error(`Cannot ping ${text}: --port ${given} is another one`);
  }
  return { host, port: own ?? given ?? 4433, ...(path !== undefined && { path }) };
}

/**
 * The certificates that are believed.
 *
 * @throws {Error} a file that was named cannot be read, or has no hash in it
 */
export async function trustOf(options: TrustOptions): Promise<Trust> {
  if (options.insecure) return { insecure: true };
  if (options.pin !== undefined) return { pins: [await pinOf(options.pin)] };
  if (options.ca !== undefined) return { caCerts: [await Deno.readTextFile(options.ca)] };
  // On the local network servers are found by address, and the one of this folder may be among them.
  if (options.discover !== undefined && options.discover !== "mdns") return {};
  try {
    return { pins: [parsePin(await Deno.readTextFile(defaultPinFile))] };
  } catch {
    // No server of this folder is meant: then an authority must vouch for it.
    return {};
  }
}

async function pinOf(given: string): Promise<Uint8Array> {
  try {
    return parsePin(given);
  } catch {
    // Not a hash: a file with one, or with the certificate itself.
  }
  let text: string;
  try {
    text = await Deno.readTextFile(given);
  } catch (error) {
    throw new Error(
      `Cannot take the pin ${given}: it is no SHA-256 hash, and as a file: ${reasonOf(error)}`,
    );
  }
  return text.includes("BEGIN CERTIFICATE") ? await certificateHash(text) : parsePin(text);
}
