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
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (url.protocol === "http:" && !isLoopback(host)) {
    throw new Error(`Refuses to believe ${url.origin}: without TLS only on this machine`);
  }
  const { webtransport } = parseWellKnown(await fetchText(url, host, options), url.origin);
  return [{
    target: {
      host,
      port: webtransport.port,
      path: webtransport.path,
      websocketPort: portOf(url),
      websocketTls: url.protocol === "https:",
      pins: webtransport.certificateHashes.map(({ value }) => Uint8Array.fromHex(value)),
    },
    priority: 0,
  }];
}

function portOf(url: URL): number {
  return Number(url.port || (url.protocol === "https:" ? 443 : 80));
}

/** By a connection whose certificate was checked our way: `fetch` knows no pins. */
async function fetchText(url: URL, host: string, options: DiscoverOptions): Promise<string> {
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
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asking = request({
    host,
    port,
    path: wellKnownPath,
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
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${url.origin} knows no pingpong: status ${response.statusCode}`));
    });
  });
  deadline.signal.addEventListener("abort", () => asking.destroy(deadline.signal.reason));
  asking.on("error", reject);
  asking.end();
  return await promise;
}
