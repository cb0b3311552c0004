/**
 * Tells when this folder can shrink to Deno's own classes, and when it can reset a stream: fails
 * on that day.
 */
import assert from "node:assert/strict";
import { createCertificate } from "../certificates/certificate.ts";
import { connect, serve, type WebTransportSession } from "./mod.ts";

Deno.test("Deno's own WebTransport still ends no stream; when this fails, use it", async () => {
  const { cert, key, hash } = await createCertificate();
  const accepted = Promise.withResolvers<WebTransportSession>();
  const server = serve({ port: 0, cert, key, onSession: accepted.resolve });
  const native = new WebTransport(`https://127.0.0.1:${server.addr.port}/`, {
    serverCertificateHashes: [{ algorithm: "sha-256", value: hash }],
  });
  await native.ready;
  native.closed.catch(() => {});
  const session = await accepted.promise;
  const incoming = session.incomingBidirectionalStreams.getReader();

  const closing = await native.createBidirectionalStream();
  const writer = closing.writable.getWriter();
  await writer.write(Uint8Array.of(1));
  await writer.close();
  const { value: closed } = await incoming.read();
  const reader = closed!.readable.getReader();
  assert.deepEqual((await reader.read()).value, Uint8Array.of(1));
  let ended = false;
  const end = reader.read().then(({ done }) => ended = done, () => {});

  // Round trips behind it: an end that had been sent would have come before them.
  const echo = await native.createBidirectionalStream();
  const echoWriter = echo.writable.getWriter();
  const echoReader = echo.readable.getReader();
  await echoWriter.write(Uint8Array.of(2));
  const { value: there } = await incoming.read();
  const [thereReader, thereWriter] = [there!.readable.getReader(), there!.writable.getWriter()];
  for (let count = 0; count < 20; count++) {
    const { value } = await thereReader.read();
    await thereWriter.write(value!);
    await echoReader.read();
    await echoWriter.write(Uint8Array.of(2));
  }
  assert.equal(
    ended,
    false,
    "Deno's WebTransport ends its streams now: this folder can shrink",
  );

  native.close();
  await session.closed;
  await end;
  await server.close();
});

Deno.test("Deno's QUIC still resets no stream: abort() ends it with FIN; when this fails, say so", async () => {
  const { cert, key, hash } = await createCertificate();
  const accepted = Promise.withResolvers<WebTransportSession>();
  const server = serve({ port: 0, cert, key, onSession: accepted.resolve });
  const session = await connect(`https://127.0.0.1:${server.addr.port}/`, {
    certificateHashes: [hash],
  });
  const { writable } = await session.createBidirectionalStream();
  const writer = writable.getWriter();
  await writer.write(Uint8Array.of(1));
  await writer.abort("given up");
  const theirs = await accepted.promise;
  const { value: stream } = await theirs.incomingBidirectionalStreams.getReader().read();
  const reader = stream!.readable.getReader();
  assert.deepEqual((await reader.read()).value, Uint8Array.of(1));
  // A RESET_STREAM frame would reject this.
  assert.equal((await reader.read()).done, true);
  await session.close();
  await server.close();
});
