/**
 * For tests: a server on a free port with a certificate of its own, clients of it, and connections
 * without any HTTP/3 on them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createCertificate } from "../certificates/certificate.ts";
import {
  connect,
  type ConnectOptions,
  serve,
  type ServeOptions,
  type WebTransportServer,
  type WebTransportSession,
} from "./mod.ts";
import { encodeFields } from "./qpack.ts";

/** The certificate of every server here. */
export const certificate = await createCertificate();
/** Encodes words. */
export const text = new TextEncoder();

/** A server on a free port for the time of a test, and clients that pin its certificate. */
export class Fixture implements AsyncDisposable {
  readonly server: WebTransportServer;
  readonly url: string;
  readonly refused: string[] = [];
  readonly #endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  readonly #sessions: WebTransportSession[] = [];
  readonly #waiting: ((session: WebTransportSession) => void)[] = [];

  constructor(options: Partial<ServeOptions> = {}) {
    this.server = serve({
      port: 0,
      ...certificate,
      onSession: (session) => {
        const waiting = this.#waiting.shift();
        if (waiting) waiting(session);
        else this.#sessions.push(session);
      },
      onRefused: (reason) => this.refused.push(reason),
      ...options,
    });
    this.url = `https://127.0.0.1:${this.server.addr.port}/`;
  }

  connect(options: ConnectOptions = {}, path = ""): Promise<WebTransportSession> {
    return connect(this.url + path, {
      endpoint: this.#endpoint,
      certificateHashes: [certificate.hash],
      ...options,
    });
  }

  /** A connection without any HTTP/3 on it. */
  raw(alpn = "h3"): Promise<Deno.QuicConn> {
    return Deno.connectQuic({
      hostname: "127.0.0.1",
      port: this.server.addr.port,
      alpnProtocols: [alpn],
      endpoint: this.#endpoint,
      serverCertificateHashes: [{ algorithm: "sha-256", value: certificate.hash }],
    } as Deno.ConnectQuicOptions<false>);
  }

  accepted(): Promise<WebTransportSession> {
    const session = this.#sessions.shift();
    return session ? Promise.resolve(session) : new Promise((take) => this.#waiting.push(take));
  }

  async both(options: ConnectOptions = {}): Promise<[WebTransportSession, WebTransportSession]> {
    return await Promise.all([this.connect(options), this.accepted()]);
  }

  async [Symbol.asyncDispose]() {
    await this.server.close();
    this.#endpoint.close();
  }
}

/** All words of a stream, to its end. */
export async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  let words = "";
  for await (const chunk of stream) words += new TextDecoder().decode(chunk);
  return words;
}

/** Writes words and ends the stream. */
export async function writeAll(stream: WritableStream<Uint8Array>, words: string): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(text.encode(words));
  await writer.close();
}

/** The next item of a stream, which must have one. */
export async function next<Item>(stream: ReadableStream<Item>): Promise<Item> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  assert.ok(value !== undefined, "the stream has ended");
  return value;
}

/** Writes bytes as they are. */
export async function rawWrite(stream: WritableStream<Uint8Array>, hex: string): Promise<void> {
  const writer = stream.getWriter();
  // The server may have ended the connection in the middle of the garbage.
  await writer.write(Uint8Array.fromHex(hex)).catch(() => {});
  writer.releaseLock();
}

/** A CONNECT request, of a draft before the 15th by itself. */
export function connectHeaders(protocol = "webtransport"): string {
  return frame(encodeFields([
    [":method", "CONNECT"],
    [":scheme", "https"],
    [":authority", "localhost"],
    [":path", "/"],
    [":protocol", protocol],
  ]));
}

/** A HEADERS frame. */
export function frame(section: Uint8Array): string {
  const length = (section.length | 0x4000).toString(16);
  return `01${length}${section.toHex()}`;
}
