/**
 * For tests and benchmarks: a stranger who means ill, on loopback.
 *
 * @module
 */

/** Does all that a stranger can do to a server's UDP port, again and again, until `signal` aborts. */
export async function vandalize(
  port: number,
  certificateHash: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const socket = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const to = { transport: "udp", hostname: "127.0.0.1", port } as const;
  const raw = (alpn: string) =>
    Deno.connectQuic({
      hostname: "127.0.0.1",
      port,
      alpnProtocols: [alpn],
      endpoint,
      serverCertificateHashes: [{ algorithm: "sha-256", value: certificateHash }],
    } as Deno.ConnectQuicOptions<false>);
  while (!signal.aborted) {
    await socket.send(crypto.getRandomValues(new Uint8Array(1_200)), to);
    await raw("smtp").catch(() => {});
    const conn = await raw("h3");
    conn.closed.catch(() => {});
    for (let count = 0; count < 5; count++) {
      const writer = (await conn.createBidirectionalStream()).writable.getWriter();
      await writer.write(crypto.getRandomValues(new Uint8Array(50))).catch(() => {});
      writer.releaseLock();
    }
    conn.close();
  }
  socket.close();
  endpoint.close();
}
