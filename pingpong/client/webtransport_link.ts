/**
 * A link over WebTransport: a two-way stream, one-way streams or datagrams, one for all pings or a
 * stream for each.
 *
 * @module
 */
import type { TLSSocket } from "node:tls";
import { realWorld } from "../../service/world/world.ts";
import { messageOf } from "../http3/errors.ts";
import {
  ChunkReader,
  connect,
  fieldValue,
  WebTransportError,
  type WebTransportSession,
} from "../http3/mod.ts";
import { inTime } from "../http3/quic.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frames.ts";
import { decodeMessage, encodeMessage, type Ping } from "../protocol/message.ts";
import { type Link, type LinkOptions, PongInbox } from "./link.ts";
import { checkAnswer, requestFields, sessionUrl } from "./link_request.ts";
import { connectVerified, shownHash } from "./verified_tls.ts";

/**
 * Opens a link over WebTransport.
 *
 * @throws {WebTransportError} what `connect()` throws
 */
export async function openWebTransportLink(options: LinkOptions): Promise<Link> {
  const { mode, world = realWorld } = options;
  const nonce = world.randomUuid();
  const session = await openSession(options, nonce);
  try {
    const waiting = checkAnswer(
      options,
      nonce,
      (name) => fieldValue(session.responseFields, name),
    );
    const inbox = new PongInbox();
    const send = await openChannel(session, options, inbox);
    return {
      mode,
      remote: `${addressOf(session.remoteAddr)}/udp`,
      waiting,
      closed: session.closed.then(({ by, closeCode, reason }) => ({ by, code: closeCode, reason })),
      receive: (onPong) => inbox.receive(onPong),
      send,
      close: (closeCode, reason) => session.close({ closeCode, reason }),
    };
  } catch (error) {
    await session.close({ reason: "no channel" });
    throw error;
  }
}

async function openSession(options: LinkOptions, nonce: string): Promise<WebTransportSession> {
  const { target, trust } = options;
  const open = (hashes: readonly Uint8Array[] | undefined) =>
    connect(sessionUrl("https", target, target.port), {
      fields: requestFields(options, nonce),
      ...(target.addresses && { addresses: target.addresses }),
      ...(hashes && { certificateHashes: hashes }),
      ...(trust.caCerts && { caCerts: trust.caCerts }),
      ...(options.endpoint && { endpoint: options.endpoint }),
      ...(options.connectTimeoutMs && { connectTimeoutMs: options.connectTimeoutMs }),
      ...(options.handshakeTimeoutMs && { handshakeTimeoutMs: options.handshakeTimeoutMs }),
      ...(options.heartbeatMs && { keepAliveMs: options.heartbeatMs }),
      ...(options.heartbeatTimeoutMs && { idleTimeoutMs: options.heartbeatTimeoutMs }),
      ...(options.world && { world: options.world }),
    });
  try {
    return await open(trust.pins ?? target.pins);
  } catch (error) {
    const isUnknown = error instanceof WebTransportError && error.kind === "certificate";
    if (!trust.insecure || !isUnknown) throw error;
    return await open([await shownCertificateHash(options, error)]);
  }
}

function addressOf({ hostname, port }: Deno.NetAddr): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

/**
 * Whatever certificate the server shows. Deno's QUIC checks them before we see them, and believes
 * any only when the whole process does; but it takes one by its hash, which TLS on the TCP port shows.
 */
async function shownCertificateHash(
  options: LinkOptions,
  refusal: WebTransportError,
): Promise<Uint8Array> {
  let socket: TLSSocket;
  try {
    socket = await connectVerified(options, options.target.websocketPort ?? options.target.port);
  } catch (error) {
    const reason = messageOf(error);
    throw new WebTransportError(
      "certificate",
      `${refusal.message}; and what certificate it has cannot be asked over TCP: ${reason}`,
      { cause: refusal },
    );
  }
  const hash = shownHash(socket);
  socket.destroy();
  if (!hash) throw refusal;
  return hash;
}

type Send = (ping: Ping) => Promise<void>;

async function openChannel(
  session: WebTransportSession,
  options: LinkOptions,
  inbox: PongInbox,
): Promise<Send> {
  const { mode, streamPerPing = false } = options;
  if (mode === "datagram") {
    readDatagrams(session, inbox);
    return (ping) => session.sendDatagram(encodeMessage(ping));
  }
  if (mode === "bidi") {
    return streamPerPing
      ? (ping) => sendOnOwnStream(session, ping, inbox)
      : await openBidirectional(session, inbox);
  }
  return streamPerPing
    ? openUnidirectionalPerPing(session, inbox)
    : await openUnidirectional(session, options, inbox);
}

async function openBidirectional(session: WebTransportSession, inbox: PongInbox): Promise<Send> {
  const stream = await session.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  receiveFrames(session, stream.readable, inbox);
  return (ping) => writer.write(encodeFrame(ping));
}

async function sendOnOwnStream(
  session: WebTransportSession,
  ping: Ping,
  inbox: PongInbox,
): Promise<void> {
  const stream = await session.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  await writer.write(encodeFrame(ping));
  await writer.close();
  receiveFrames(session, stream.readable, inbox, { forOnePing: true });
}

async function openUnidirectional(
  session: WebTransportSession,
  { handshakeTimeoutMs = 5_000, world = realWorld }: LinkOptions,
  inbox: PongInbox,
): Promise<Send> {
  const writer = (await session.createUnidirectionalStream()).getWriter();
  const incoming = session.incomingUnidirectionalStreams.getReader();
  const late = () =>
    new WebTransportError(
      "timeout",
      `The server opened no stream within ${handshakeTimeoutMs} ms`,
    );
  try {
    const { value: stream } = await inTime(incoming.read(), handshakeTimeoutMs, late, world);
    if (!stream) throw new WebTransportError("closed", "The session ended before its first stream");
    receiveFrames(session, stream, inbox);
  } finally {
    incoming.releaseLock();
  }
  return (ping) => writer.write(encodeFrame(ping));
}

function openUnidirectionalPerPing(session: WebTransportSession, inbox: PongInbox): Send {
  (async () => {
    for await (const stream of session.incomingUnidirectionalStreams) {
      receiveFrames(session, stream, inbox);
    }
  })();
  return async (ping) => {
    const writer = (await session.createUnidirectionalStream()).getWriter();
    await writer.write(encodeFrame(ping));
    await writer.close();
  };
}

/**
 * Reads answers until the stream ends; bytes that are none end the session, and so does the end
 * of a stream that is there for all pings.
 */
async function receiveFrames(
  session: WebTransportSession,
  readable: ReadableStream<Uint8Array>,
  inbox: PongInbox,
  { forOnePing = false } = {},
): Promise<void> {
  const decoder = new FrameDecoder();
  const reader = new ChunkReader(readable);
  try {
    for (let chunk = await reader.read(); chunk; chunk = await reader.read()) {
      const { length } = chunk;
      decoder.push(chunk, (message) => inbox.put(message, length));
    }
    if (!forOnePing) await session.close({ reason: "the server has ended its stream" });
  } catch (error) {
    // If the stream broke off with its session this changes nothing; otherwise it is the end too:
    // what was to come on it never will, and a new session gets it.
    await session.close({ closeCode: 400, reason: messageOf(error) });
  }
}

async function readDatagrams(session: WebTransportSession, inbox: PongInbox): Promise<void> {
  while (true) {
    const datagram = await session.readDatagram();
    if (datagram === undefined) return;
    try {
      inbox.put(decodeMessage(datagram), datagram.length);
    } catch {
      // A datagram that is no message is as good as lost.
    }
  }
}
