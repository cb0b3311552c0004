import assert from "node:assert/strict";
import { connect } from "./mod.ts";
import { certificate, Fixture } from "./test_fixture.ts";

Deno.test("connect() refuses a certificate that is neither pinned nor trusted", async () => {
  await using fixture = new Fixture();
  await assert.rejects(
    fixture.connect({ certificateHashes: [new Uint8Array(32)] }),
    {
      kind: "certificate",
      message: /^127\.0\.0\.1 port \d+\/udp shows a certificate that is not pinned$/,
    },
  );
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  await assert.rejects(connect(fixture.url, { endpoint }), { kind: "certificate" });
  const trusting = await connect(fixture.url, { endpoint, caCerts: [certificate.cert] });
  await trusting.close();
  endpoint.close();
});

Deno.test("connect() says in time that nobody answers", async () => {
  // A UDP socket that reads nothing: a port that is certainly taken and certainly silent.
  const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  await assert.rejects(
    connect(`https://127.0.0.1:${port}/`, { endpoint, connectTimeoutMs: 200 }),
    { kind: "timeout", message: `No answer from 127.0.0.1 port ${port}/udp within 200 ms` },
  );
  endpoint.close();
  silent.close();
});
