/**
 * Which server a client means, and which certificates it believes, by what a person gives.
 *
 * @module
 */
import { isLoopback } from "../../service/http_server.ts";
import { reasonOf } from "../../service/resilience.ts";
import { certificateHash, parsePin } from "../certificates/certificate.ts";
import type { Target, Trust } from "./link.ts";

/** What a person gives about the server. */
export interface TargetOptions {
  /** Host name, address or URL. @default "127.0.0.1" */
  host?: string;
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
  /** Where servers are looked for: no file in the working folder knows their certificates. @default nowhere */
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
  const { host = "127.0.0.1", port = 4433, websocketPort } = options;
  if (/^[a-z]+:\/\//i.test(host)) {
    const url = new URL(host);
    const plain = url.protocol === "ws:" || url.protocol === "http:";
    if (!["https:", "wss:", "ws:", "http:"].includes(url.protocol)) {
      throw new Error(`Cannot ping ${host}: give a URL that begins with https:// or wss://`);
    }
    if (plain && !isLoopback(url.hostname)) {
      throw new Error(`Refuses to ping ${host}: without TLS only on this machine`);
    }
    const ownPort = url.port === "" ? plain ? 80 : 443 : Number(url.port);
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: ownPort,
      path: url.pathname + url.search,
      websocketTls: !plain,
      websocketPort: websocketPort ?? ownPort,
    };
  }
  return { host, port, ...(websocketPort !== undefined && { websocketPort }) };
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
  if (options.discover !== undefined) return {};
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
