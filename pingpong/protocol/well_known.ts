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
    /** SHA-256 of the certificate, in hexadecimal, as browsers and `--pin` take it. */
    certificateHashes: { algorithm: "sha-256"; value: string }[];
  };
  /** WebSocket over TCP, on the port that was asked. */
  websocket: { path: string };
}

/**
 * Reads the document.
 *
 * @param origin where it comes from, for the message
 * @throws {Error} it is none
 */
export function parseWellKnown(text: string, origin: string): WellKnown {
  try {
    const known = JSON.parse(text) as WellKnown;
    const { port, path, certificateHashes } = known.webtransport;
    const valid = Number.isInteger(port) && port > 0 && port < 65_536 && /^\//.test(path) &&
      certificateHashes.every(({ value }) => /^[0-9a-f]{64}$/i.test(value));
    if (valid) return known;
  } catch {
    // Said below, with what it is.
  }
  throw new Error(`What ${origin}${wellKnownPath} says is no description of a server`);
}
