/**
 * The client's end of WebTransport over HTTP/3: {@linkcode connect}.
 *
 * @module
 */
import { isIP } from "node:net";
import { messageOf, quicError, WebTransportError } from "./errors.ts";
import { connectToFirst } from "./happy_eyeballs.ts";
import type { Field } from "./qpack.ts";
import { alpnProtocols, clientEndpoint, inTime, transportOptions } from "./quic.ts";
import { Http3Session } from "./session.ts";
import {
  requirePositive,
  type SessionLimits,
  sessionLimits,
  type SessionOptions,
  type WebTransportSession,
} from "./webtransport.ts";

/** Options of {@linkcode connect}. */
export interface ConnectOptions extends SessionOptions {
  /**
   * SHA-256 hashes of certificates, 32 bytes each; the server must have one of these.
   *
   * @default none: an authority must vouch for it
   */
  certificateHashes?: readonly Uint8Array[];
  /**
   * Addresses of the URL's host, at least one, in the order in which they are tried: the next one
   * 250 ms after the one before, and the first that answers is taken (RFC 8305).
   *
   * @default the one that the system finds first
   */
  addresses?: readonly string[];
  /** PEM certificates of authorities to trust besides the system's. @default none */
  caCerts?: readonly string[];
  /** Header fields to send. @default none */
  fields?: readonly Field[];
  /** How long the QUIC handshake may take, in milliseconds, above 0. @default 3_000 */
  connectTimeoutMs?: number;
  /**
   * The local UDP endpoint; share one between connections, as Deno frees a port only with its
   * process.
   *
   * @default a new one
   */
  endpoint?: Deno.QuicEndpoint;
}

/**
 * Opens a session at an `https:` URL: QUIC handshake, SETTINGS, extended CONNECT (RFC 9220;
 * draft-ietf-webtrans-http3, section 3).
 *
 * @throws {WebTransportError} `timeout`, `certificate`, `unsupported`, `refused` (with the status),
 * `protocol` or `closed`
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const session = await connect("https://127.0.0.1:4433/echo", { certificateHashes: [hash] });
 * const { readable, writable } = await session.createBidirectionalStream();
 * const writer = writable.getWriter();
 * await writer.write(new TextEncoder().encode("hello"));
 * await writer.close();
 * console.log(await new Response(readable).text());
 * await session.close({ closeCode: 0, reason: "done" });
 * ```
 */
export async function connect(
  url: string | URL,
  options: ConnectOptions = {},
): Promise<WebTransportSession> {
  const target = new URL(url);
  const limits = sessionLimits(options);
  const conn = await connectQuic(target, options, limits);
  const session = new Http3Session(conn, "client", limits);
  try {
    await session.open(target, options.fields ?? []);
    return session;
  } catch (error) {
    session.abandon("handshake failed");
    throw error;
  }
}

async function connectQuic(
  target: URL,
  options: ConnectOptions,
  limits: SessionLimits,
): Promise<Deno.QuicConn> {
  const { connectTimeoutMs = 3_000, certificateHashes } = options;
  requirePositive("connect", "connectTimeoutMs", connectTimeoutMs);
  const hostname = target.hostname.replace(/^\[|\]$/g, "");
  const port = Number(target.port || 443);
  const where = `${hostname} port ${port}/udp`;
  const endpoint = options.endpoint ?? clientEndpoint();
  const open = (address: string) =>
    Deno.connectQuic({
      hostname: address,
      port,
      // A certificate is for the name, whichever address it was found at.
      ...(isIP(hostname) === 0 && { serverName: hostname }),
      alpnProtocols,
      ...transportOptions(limits),
      ...(options.caCerts && { caCerts: [...options.caCerts] }),
      endpoint,
      // Known to Deno's WebTransport class, which hands it on; not in the types of connectQuic().
      ...(certificateHashes && {
        serverCertificateHashes: certificateHashes.map((value) => ({
          algorithm: "sha-256",
          value,
        })),
      }),
    }) as Promise<Deno.QuicConn>;
  const connecting = connectToFirst({
    addresses: options.addresses ?? [hostname],
    attempt: open,
    discard: (late) => late.close(),
    world: limits.world,
  });
  try {
    return await inTime(connecting, connectTimeoutMs, () => {
      // What comes too late is closed, and its failure is of no interest any more.
      connecting.then((late) => late.close(), () => {});
      const message = `No answer from ${where} within ${connectTimeoutMs} ms`;
      return new WebTransportError("timeout", message);
    }, limits.world);
  } catch (error) {
    if (!options.endpoint) endpoint.close();
    if (error instanceof WebTransportError) throw error;
    // What the TLS library says of a certificate that has none of the hashes: it asks for an authority then.
    if (certificateHashes && /UnknownIssuer/.test(messageOf(error))) {
      const message = `${where} shows a certificate that is not pinned`;
      throw new WebTransportError("certificate", message, { cause: error });
    }
    throw quicError(error, `Cannot connect to ${where}`);
  }
}
