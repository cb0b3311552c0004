/**
 * The channels of a WebTransport session, each read and answered: two-way streams, one-way streams,
 * datagrams.
 *
 * @module
 */
import { ChunkReader, type WebTransportSession } from "../http3/mod.ts";
import { FrameDecoder, frameHeadBytes } from "../protocol/frames.ts";
import { decodeMessage, type Message } from "../protocol/message.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import type { Mode } from "../protocol/session_terms.ts";
import type { AnswerSession } from "./answer_session.ts";

/** Limits of reading streams. */
export interface ChannelLimits {
  /** The most bytes a frame may have, at least 1. @default 1_048_576 */
  maxFrameBytes?: number;
  /** The most pings answered in one go before other sessions have their turn, at least 1. @default 256 */
  maxBurst?: number;
}

/** Reads and answers all channels of a session until it ends. */
export function answerChannels(
  session: WebTransportSession,
  answers: AnswerSession,
  limits: ChannelLimits,
): void {
  answerBidirectional(session, answers, limits);
  answerUnidirectional(session, answers, limits);
  answerDatagrams(session, answers);
}

async function answerBidirectional(
  session: WebTransportSession,
  answers: AnswerSession,
  limits: ChannelLimits,
): Promise<void> {
  for await (const { readable, writable } of session.incomingBidirectionalStreams) {
    const writer = writable.getWriter();
    answerStream(readable, writer, answers, "bidi", limits)
      // The peer's end is answered with ours, behind the last pong; a reset at once.
      .then(() => writer.close(), () => writer.abort())
      .catch(() => {
        // The session broke off: what could not be sent is kept.
      });
  }
}

/** All one-way streams of a client are answered on one of ours, which is there before any ping is read. */
async function answerUnidirectional(
  session: WebTransportSession,
  answers: AnswerSession,
  limits: ChannelLimits,
): Promise<void> {
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  try {
    for await (const stream of session.incomingUnidirectionalStreams) {
      writer ??= (await session.createUnidirectionalStream()).getWriter();
      answerStream(stream, writer, answers, "uni", limits).catch(() => {
        // As above.
      });
    }
  } catch {
    // The session ended before our stream could be opened.
  }
}

async function answerStream(
  readable: ReadableStream<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  answers: AnswerSession,
  mode: Mode,
  { maxFrameBytes, maxBurst = 256 }: ChannelLimits,
): Promise<void> {
  const waiting = answers.takeWaiting();
  if (waiting.length > 0) await writer.write(joined(waiting));
  const decoder = new FrameDecoder(maxFrameBytes === undefined ? {} : { maxFrameBytes });
  const reader = new ChunkReader(readable);
  const messages: Message[] = [];
  const take = (message: Message) => void messages.push(message);
  try {
    for (let chunk = await reader.read(); chunk; chunk = await reader.read()) {
      try {
        decoder.push(chunk, take);
      } finally {
        // The pings before a bad frame deserve their answers, too.
        while (messages.length > 0) {
          const pongs = answers.answer(messages.splice(0, maxBurst), mode);
          // Waiting here is the limit on memory: a peer that does not read is not read from.
          if (pongs.length > 0) await writer.write(joined(pongs));
        }
      }
    }
    decoder.end();
  } catch (error) {
    if (error instanceof ProtocolError) answers.malformed(mode, error);
    // A stream that broke off takes the peer's credit until both its halves have ended.
    reader.cancel().catch(() => {});
    throw error;
  }
}

function joined(frames: readonly Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0]!;
  const whole = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    whole.set(frame, at);
    at += frame.length;
  }
  return whole;
}

async function answerDatagrams(
  session: WebTransportSession,
  answers: AnswerSession,
): Promise<void> {
  while (true) {
    const datagram = await session.readDatagram();
    if (datagram === undefined) return;
    const pongs = answerMessage(datagram, answers, "datagram", session.maxDatagramSize);
    for (const pong of pongs) {
      // Too large for the path, or the session has ended: a datagram may be lost.
      await session.sendDatagram(pong).catch(() => {});
    }
  }
}

/** The answers to a message that stands alone, and those that an earlier session swallowed: messages, too. */
export function answerMessage(
  bytes: Uint8Array,
  answers: AnswerSession,
  mode: "datagram" | "websocket",
  maxBytes?: number,
): Uint8Array[] {
  let message: Message;
  try {
    message = decodeMessage(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    answers.malformed(mode, error);
    return [];
  }
  return [...answers.takeWaiting(), ...answers.answer([message], mode, maxBytes)].map(messageIn);
}

/** The message of a frame. */
export function messageIn(frame: Uint8Array): Uint8Array {
  return frame.subarray(frameHeadBytes);
}
