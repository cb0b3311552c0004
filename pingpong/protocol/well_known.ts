/**
 * `/.well-known/pingpong.json`: what a server says of itself over HTTP, all that a client needs to
 * connect.
 *
 * @module
 */

/** Where it is had. */
export const wellKnownPath = "/.well-known/pingpong.json";

/** The document. */
export interface WellKnown {
  /** The version of this document. */
  version: 1;
  /** WebTransport over UDP. */
  webtransport: {
    /** The UDP port, on the host that was asked. */
    port: number;
    /** The path to connect to. */
    path: string;
    /**
     * SHA-256 of the certificate, in hexadecimal, as browsers and `--pin` take it; empty where an
     * authority vouches for it.
     */
    certificateHashes: { algorithm: "sha-256"; value: string }[];
  };
  /** WebSocket over TCP, on the port that was asked. */
  websocket: { path: string };
}

/**
 * Reads the document. A byte order mark before it, and hashes of other algorithms, do not matter.
 *
 * @param origin where it comes from, for the message
 * @throws {Error} it is none
 */
export function parseWellKnown(text: string, origin: string): WellKnown {
  try {
    const known = JSON.parse(text.replace(/^\ufeff/, "")) as WellKnown;
    const { port, path, certificateHashes: all } = known.webtransport;
    const certificateHashes = all.filter(({ algorithm, value }) =>
      algorithm === "sha-256" && /^[0-9a-f]{64}$/i.test(value)
    );
    // With hashes, and none that is understood, nobody could be believed.
    const valid = Number.isInteger(port) && port > 0 && port < 65_536 && /^\//.test(path) &&
      (certificateHashes.length > 0 || all.length === 0);
    if (valid) return { ...known, webtransport: { ...known.webtransport, certificateHashes } };
  } catch {
    // Said below, with what it is.
  }
  throw new Error(`What ${origin}${wellKnownPath} says is no description of a server`);
}
