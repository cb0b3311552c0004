/**
 * Takes what the file of `--store` has kept into the stores again.
 *
 * @module
 */
import { gunzipSync, inflateSync } from "node:zlib";
import { Unreadable } from "../../service/otlp/lenient_decode.ts";
import { decodeRequest, type Encoding } from "../../service/otlp/otlp_message.ts";
import { takeRequest } from "../intake/intake.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import type { DiskStore } from "./disk_store.ts";
import type { KeptRequest } from "./request_file.ts";

/** What came of it. */
export interface Restored {
  requests: number;
  /** Requests that could not be read again, as of another version. */
  unreadable: number;
}

/**
 * Reads the newest requests back, as many bytes as the stores can hold.
 *
 * @throws {StartError} the file cannot be read
 */
export async function restore(disk: DiskStore, store: TelemetryStore): Promise<Restored> {
  const restored: Restored = { requests: 0, unreadable: 0 };
  await disk.load(store.limits.maxHeldBytes, (request) => {
    restored.requests++;
    try {
      takeAgain(request, store);
    } catch {
      // One that this version reads differently costs itself; its place in the file is left to age.
      restored.unreadable++;
    }
  });
  // Received, refused and so on are counted since the start.
  store.resetCounters();
  return restored;
}

function takeAgain(request: KeptRequest, store: TelemetryStore): void {
  const { signal, contentType, contentEncoding, receivedMs, body } = request;
  const options = { maxOutputLength: store.limits.maxDecompressedBytes };
  const plain = contentEncoding === "gzip"
    ? gunzipSync(body, options)
    : contentEncoding === "deflate"
    ? inflateSync(body, options)
    : body;
  const unreadable = new Unreadable();
  const message = decodeRequest(signal, contentType as Encoding, plain, unreadable);
  takeRequest(store, signal, message, receivedMs, unreadable);
}
