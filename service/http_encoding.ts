/**
 * Answers that are made smaller for those who take them so (RFC 9110, sections 8.4 and 12.5.3).
 *
 * @module
 */
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";

const gzipAsync = promisify(gzip);

/** Below this an answer gains nothing by it, in characters. */
const worthCharacters = 1_024;

/** The encodings that a request takes; those that it excludes by `q=0` are not among them. */
export function acceptedEncodings(header = ""): Set<string> {
  return new Set(
    header.split(",").map((one) => one.trim().toLowerCase())
      .filter((one) => !/;\s*q=0(\.0*)?$/.test(one))
      .map((one) => one.replace(/\s*;.*/, "")),
  );
}

/**
 * A text as an answer, gzip'd where the request takes that and the text is long enough. What it is
 * made smaller for is metrics: much alike, and asked for every few seconds, so quickly matters.
 *
 * @param vary the other request headers that the answer depends on
 *
 * @example
 * ```ts
 * app.get("/metrics", (c) => encodedText(c.req.raw, text, { "content-type": type }, ["accept"]));
 * ```
 */
export async function encodedText(
  request: Request,
  text: string,
  headers: Record<string, string>,
  vary: readonly string[] = [],
): Promise<Response> {
  const all = { ...headers, vary: [...vary, "accept-encoding"].join(", ") };
  const accepted = acceptedEncodings(request.headers.get("accept-encoding") ?? undefined);
  if (text.length < worthCharacters || !accepted.has("gzip")) {
    return new Response(text, { headers: all });
  }
  const body = await gzipAsync(text, { level: constants.Z_BEST_SPEED });
  return new Response(new Uint8Array(body), { headers: { ...all, "content-encoding": "gzip" } });
}
