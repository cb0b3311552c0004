/**
 * Capsules (RFC 9297, section 3.2), of which one means something here: CLOSE_WEBTRANSPORT_SESSION
 * (draft-ietf-webtrans-http3, section 6), by which a session ends with a code and a reason.
 *
 * @module
 */
import { ByteSource, typeLengthValue } from "./bytes.ts";
import { WebTransportError } from "./errors.ts";
import { frameTypes, readData } from "./frames.ts";
import type { CloseInfo } from "./webtransport.ts";

const closeSession = 0x2843n;
const maxReasonBytes = 1_024;

/** The capsule that ends a session, in its DATA frame. */
export function closeFrame(closeCode: number, reason: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(cutReason(reason));
  const payload = new Uint8Array(4 + text.length);
  new DataView(payload.buffer).setUint32(0, closeCode);
  payload.set(text, 4);
  return typeLengthValue(frameTypes.data, typeLengthValue(closeSession, payload));
}

/** Cuts to the most bytes that a reason may have, at a character's edge. */
export function cutReason(reason: string): string {
  const bytes = new Uint8Array(maxReasonBytes);
  const { written } = new TextEncoder().encodeInto(reason, bytes);
  return new TextDecoder().decode(bytes.subarray(0, written));
}

/**
 * Reads a CONNECT stream until a capsule closes the session, or the stream ends: that is an end
 * with code 0.
 *
 * @throws {WebTransportError} `protocol` for a malformed capsule
 */
export async function readUntilClose(request: ByteSource): Promise<CloseInfo> {
  const capsules = new ByteSource(readData(request));
  while (true) {
    const capsule = await capsules.frameHeader();
    if (capsule === undefined) return { closeCode: 0, reason: "", by: "peer" };
    if (capsule.type !== closeSession) {
      await capsules.skip(capsule.length);
      continue;
    }
    const length = Number(capsule.length);
    if (length < 4 || length > 4 + maxReasonBytes) {
      throw new WebTransportError("protocol", `a close capsule of ${capsule.length} bytes`);
    }
    const payload = await capsules.bytes(length);
    return {
      closeCode: new DataView(payload.buffer, payload.byteOffset).getUint32(0),
      reason: new TextDecoder().decode(payload.subarray(4)),
      by: "peer",
    };
  }
}
