/**
 * The server of OTLP/gRPC by itself. What calls are answered is in `console/intake/otlp_grpc_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { StartError } from "../life_cycle.ts";
import { hasIpv6 } from "../testing/ipv6.ts";
import { noDeadline } from "../testing/context.ts";
import { type GrpcIntake, serveOtlpGrpc } from "./otlp_grpc.ts";

const intake = {} as GrpcIntake;
const options = { intake, port: 0, portFlag: "--grpc-port" };

Deno.test("OTLP/gRPC is served beyond loopback only where senders authenticate, or it is said so", async () => {
  await assert.rejects(
    serveOtlpGrpc({ ...options, host: "0.0.0.0" }),
    new StartError(
      "Refuses to listen on 0.0.0.0: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, or say --allow-remote-without-auth.",
    ),
  );
  for (const allowed of [{ authenticated: true }, { allowRemoteWithoutAuth: true }]) {
    const server = await serveOtlpGrpc({ ...options, host: "0.0.0.0", ...allowed });
    assert.equal(server.address, `127.0.0.1:${server.port}`);
    await server.stop(noDeadline);
  }
  const byDefault = await serveOtlpGrpc(options);
  assert.equal(byDefault.address, `127.0.0.1:${byDefault.port}`);
  await assert.rejects(serveOtlpGrpc({ ...options, port: byDefault.port }), /--grpc-port/);
  await byDefault.stop(noDeadline);
});

Deno.test({
  name: "OTLP/gRPC on IPv6 has its address in brackets, and a wildcard's is loopback",
  ignore: !hasIpv6(),
  async fn() {
    for (const [host, shown] of [["::1", "[::1]"], ["::", "127.0.0.1"]] as const) {
      const server = await serveOtlpGrpc({ ...options, host, allowRemoteWithoutAuth: true });
      assert.equal(server.address, `${shown}:${server.port}`);
      await server.stop(noDeadline);
    }
  },
});

Deno.test("a stop of OTLP/gRPC waits for its connections, and cuts them at the deadline", async () => {
  const server = await serveOtlpGrpc(options);
  using peer = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await peer.write(new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  // Settings, of nothing.
  await peer.write(new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  // It has begun: its own settings have come.
  const settings = new Uint8Array(64);
  const count = await peer.read(settings) ?? 0;
  assert.ok(count > 9);
  const deadline = new AbortController();
  let hasStopped = false;
  const stopped = server.stop(deadline.signal).then(() => hasStopped = true);
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(hasStopped, false);
  deadline.abort();
  await stopped;
});
