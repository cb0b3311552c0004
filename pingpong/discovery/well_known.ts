/**
 * A server by what it says of itself over HTTPS.
 *
 * @module
 */
import { request } from "node:http";
import { isLoopback } from "../../service/http_server.ts";
import { timeoutSignal } from "../../service/resilience.ts";
import { connectVerified } from "../client/verified_tls.ts";
import { parseWellKnown, wellKnownPath } from "../protocol/well_known.ts";
import type { DiscoverOptions, Found } from "./found.ts";

const maxDocumentBytes = 65_536;

/**
 * The server at a URL, as its well-known document says; its certificate's hash is believed, as the
 * connection is verified.
 *
 * @throws {Error} the document cannot be had or is none
 */
export async function findByHttps(url: URL, options: DiscoverOptions): Promise<Found[]> {
  const host = hostOf(url);
  if (url.protocol === "http:" && !isLoopback(host)) {
    throw new Error(`Refuses to believe ${url.origin}: without TLS only on this machine`);
  }
  const { webtransport } = parseWellKnown(await fetchText(url, options), url.origin);
  const pins = webtransport.certificateHashes.map(({ value }) => Uint8Array.fromHex(value));
  return [{
    target: {
      host,
      port: webtransport.port,
      path: webtransport.path,
      websocketPort: portOf(url),
      websocketTls: url.protocol === "https:",
      ...(pins.length > 0 && { pins }),
    },
    priority: 0,
  }];
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function portOf(url: URL): number {
  return Number(url.port || (url.protocol === "https:" ? 443 : 80));
}

/** Redirects that are followed. */
const maxRedirects = 3;

/** The document, from wherever the server says it is; never from a connection with less security. */
async function fetchText(url: URL, options: DiscoverOptions): Promise<string> {
  let at = new URL(wellKnownPath, url);
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const answer = await ask(at, options);
    if (typeof answer === "string") return answer;
    if (at.protocol === "https:" && answer.protocol !== "https:") {
      throw new Error(`Refuses to follow ${at.origin} to ${answer.origin}: it is without TLS`);
    }
    at = answer;
  }
  throw new Error(`${url.origin} redirects more than ${maxRedirects} times`);
}

/**
 * The answer's text, or where it redirects to; by a connection whose certificate was checked our
 * way, as `fetch` knows no pins.
 */
async function ask(url: URL, options: DiscoverOptions): Promise<string | URL> {
  const host = hostOf(url);
  const { trust, connectTimeoutMs = 3_000, world } = options;
  const port = portOf(url);
  const ownTime = world && { world };
  const socket = url.protocol === "https:"
    ? await connectVerified({ target: { host, port }, trust, connectTimeoutMs, ...ownTime }, port)
    : undefined;
  using deadline = timeoutSignal(
    connectTimeoutMs,
    ownTime,
    () => new Error(`No document from ${url.origin} within ${connectTimeoutMs} ms`),
  );
  const { promise, resolve, reject } = Promise.withResolvers<string | URL>();
  const asking = request({
    host,
    port,
    path: url.pathname + url.search,
    headers: { host: url.host, connection: "close" },
    ...(socket && { createConnection: () => socket }),
  }, (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > maxDocumentBytes) {
        asking.destroy(new Error(`The document has more than ${maxDocumentBytes} bytes`));
      }
    });
    response.on("error", reject);
    response.on("end", () => {
      const { location } = response.headers;
      const redirects = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
      const next = redirects && location !== undefined ? URL.parse(location, url) : null;
      if (next) resolve(next);
      else if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${url.origin} knows no pingpong: status ${response.statusCode}`));
    });
  });
  deadline.signal.addEventListener("abort", () => asking.destroy(deadline.signal.reason));
  asking.on("error", reject);
  asking.end();
  return await promise;
}
