/**
 * TLS over TCP with our rule of trust: an authority, or the hash of a certificate.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { realWorld, type World } from "../../service/world/world.ts";
import { connectToFirst } from "../http3/happy_eyeballs.ts";
import { WebTransportError } from "../http3/mod.ts";
import type { LinkOptions } from "./link.ts";

/**
 * A TLS connection whose certificate was checked before anything is said on it.
 *
 * @throws {WebTransportError} `timeout`, `certificate` or `closed`
 */
export function connectVerified(options: VerifiedTlsOptions, port: number): Promise<TLSSocket> {
  const { target, world = realWorld } = options;
  return connectToFirst({
    addresses: target.addresses ?? [target.host],
    attempt: (address) => connectTo(address, options, port),
    discard: (late) => late.destroy(),
    world,
  });
}

type VerifiedTlsOptions = Pick<LinkOptions, "target" | "trust" | "connectTimeoutMs" | "world">;

function connectTo(
  address: string,
  options: VerifiedTlsOptions,
  port: number,
): Promise<TLSSocket> {
  const { target, trust, connectTimeoutMs = 3_000, world = realWorld } = options;
  const pins = trust.pins ?? target.pins;
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connectTls({
    host: address,
    port,
    ...(isIP(target.host) === 0 && { servername: target.host }),
    ALPNProtocols: ["http/1.1"],
    // With pins the hash decides, below; the chain says nothing about a self-signed certificate.
    rejectUnauthorized: !pins && !trust.insecure,
    ...(trust.caCerts && { ca: [...trust.caCerts] }),
  });
  const where = `${target.host} port ${port}/tcp`;
  function refuse(error: WebTransportError): void {
    reject(error);
    socket.destroy();
  }
  const timer = world.setTimeout(() => {
    refuse(
      new WebTransportError("timeout", `No answer from ${where} within ${connectTimeoutMs} ms`),
    );
  }, connectTimeoutMs);
  socket.once("secureConnect", () => {
    world.clearTimeout(timer);
    const hash = shownHash(socket);
    const outOfTime = pins && validityOf(socket, world);
    if (outOfTime) refuse(new WebTransportError("certificate", `${where}: ${outOfTime}`));
    else if (!pins || pins.some((pin) => hash?.equals(pin))) resolve(socket);
    else {
      const message = `${where} shows a certificate that is not pinned`;
      refuse(new WebTransportError("certificate", message));
    }
  });
  socket.on("error", (error) => {
    world.clearTimeout(timer);
    const kind = /certificate|issuer|self.signed/i.test(error.message) ? "certificate" : "closed";
    const message = `Cannot connect to ${where}: ${error.message}`;
    reject(new WebTransportError(kind, message, { cause: error }));
  });
  return promise;
}

/** Why a certificate counts no longer, or not yet, as QUIC judges a pinned one, too. */
function validityOf(socket: TLSSocket, world: Pick<World, "nowMs">): string | undefined {
  const { valid_from: from, valid_to: until } = socket.getPeerCertificate();
  const nowMs = world.nowMs();
  if (Date.parse(until) < nowMs) return `the certificate has expired on ${until}`;
  if (Date.parse(from) > nowMs) return `the certificate is not valid before ${from}`;
  return undefined;
}

/** The SHA-256 of the certificate that a peer has shown. */
export function shownHash(socket: TLSSocket): Buffer | undefined {
  const { raw } = socket.getPeerCertificate();
  return raw && createHash("sha256").update(raw).digest();
}
