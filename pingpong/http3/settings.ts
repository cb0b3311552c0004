/**
 * SETTINGS and the control stream that carries them (RFC 9114, sections 6.2.1 and 7.2.4).
 *
 * @module
 */
import { type ByteSource, concat, typeLengthValue } from "./bytes.ts";
import { h3Codes, type Violation } from "./errors.ts";
import { type ConnectProtocol, frameTypes } from "./frames.ts";
import { streamTypes } from "./stream_header.ts";
import { decodeVarint, encodeVarint } from "./varint.ts";

/** A peer's settings, by id. */
export type Settings = ReadonlyMap<bigint, bigint>;

/** ENABLE_WEBTRANSPORT (draft-ietf-webtrans-http3-02, section 7.2). */
const enableWebTransport = 0x2b603742n;
/** WEBTRANSPORT_MAX_SESSIONS (draft 07, section 8.2). */
const maxSessions = 0xc671706an;
/** WT_MAX_SESSIONS of drafts 13 and 14, which Safari asks for. */
const latestMaxSessions = 0x14e9cd29n;
/** WT_ENABLED (draft 15, section 9.2): with it `:protocol` is `webtransport-h3`. */
const enabled = 0x2c7cf000n;

/**
 * What both ends announce: no QPACK dynamic table, extended CONNECT (RFC 9220), HTTP datagrams
 * (RFC 9297, and under the id that the 2022 draft knows), WebTransport (drafts 02, 07, 13 and 15).
 * None of the settings for flow control of a session: without them there is none (draft 15, section
 * 5.1), and QUIC's bounds what is open.
 */
const ourSettings: readonly (readonly [id: bigint, value: bigint])[] = [
  [0x01n, 0n],
  [0x07n, 0n],
  [0x08n, 1n],
  [0x33n, 1n],
  [0xffd277n, 1n],
  [enableWebTransport, 1n],
  [maxSessions, 1n],
  [latestMaxSessions, 1n],
  [enabled, 1n],
];

/** The most bytes of a SETTINGS frame that are read. */
const maxSettingsBytes = 4_096;

/**
 * The beginning of our control stream: its type and SETTINGS. Nothing follows, as the 2022 draft's
 * peers refuse any other frame on it.
 */
export function controlStreamStart(): Uint8Array<ArrayBuffer> {
  const settings = ourSettings.flatMap((pair) => pair.map((number) => encodeVarint(number)));
  return concat(
    encodeVarint(streamTypes.control),
    typeLengthValue(frameTypes.settings, concat(...settings)),
  );
}

/** Whether a server with these settings takes sessions, by whichever draft. */
export function takesSessions(settings: Settings): boolean {
  return [enableWebTransport, maxSessions, latestMaxSessions, enabled]
    .some((id) => (settings.get(id) ?? 0n) > 0n);
}

/** The `:protocol` that a server with these settings knows a session by. */
export function protocolOf(settings: Settings): ConnectProtocol {
  return (settings.get(enabled) ?? 0n) > 0n ? "webtransport-h3" : "webtransport";
}

/**
 * Reads the peer's control stream, behind its type: SETTINGS first, the rest is not for us.
 *
 * @returns how it broke the protocol: it never ends in order
 * @throws when the connection ends
 */
export async function readControlStream(
  source: ByteSource,
  onSettings: (settings: Settings) => void,
): Promise<Violation> {
  const first = await source.frameHeader();
  if (first?.type !== frameTypes.settings) {
    return { code: h3Codes.missingSettings, what: "SETTINGS must come first" };
  }
  if (first.length > BigInt(maxSettingsBytes)) {
    return { code: h3Codes.settingsError, what: `SETTINGS of more than ${maxSettingsBytes} bytes` };
  }
  const settings = decodeSettings(await source.bytes(Number(first.length)));
  if (settings === undefined) return { code: h3Codes.settingsError, what: "malformed SETTINGS" };
  onSettings(settings);
  const forbidden: readonly bigint[] = Object.values(frameTypes);
  while (true) {
    const frame = await source.frameHeader();
    if (frame === undefined) {
      return { code: h3Codes.closedCriticalStream, what: "the control stream was closed" };
    }
    if (forbidden.includes(frame.type)) {
      return {
        code: h3Codes.frameUnexpected,
        what: `frame ${frame.type} on the control stream`,
      };
    }
    await source.skip(frame.length);
  }
}

function decodeSettings(bytes: Uint8Array): Settings | undefined {
  const settings = new Map<bigint, bigint>();
  for (let at = 0; at < bytes.length;) {
    const id = decodeVarint(bytes, at);
    const value = id && decodeVarint(bytes, id.end);
    // Ids 2 to 5 are HTTP/2's and forbidden (RFC 9114, section 7.2.4.1).
    if (!value || settings.has(id.value) || (id.value >= 2n && id.value <= 5n)) return undefined;
    settings.set(id.value, value.value);
    at = value.end;
  }
  return settings;
}
