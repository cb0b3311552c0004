import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { trace } from "@opentelemetry/api";
import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { eventually } from "../service/testing/eventually.ts";
import { grpcStatus } from "./grpc/failure.ts";
import { realWorld } from "../service/world/world.ts";
import { serveGrpc } from "./grpc/grpc_server.ts";
import { ImageService } from "./proto/gen/cri_images_pb.ts";
import { PublicAPI } from "./proto/gen/rkt_api_pb.ts";
import { rawServer, settingsFrame, testObservatory } from "./stores/test_observatory.ts";

const tracer = trace.getTracer("test");

/** A runtime with both APIs that always answers in one way. */
async function runtime(answer: () => { images: { id: string }[] }, port = 0) {
  const server = await serveGrpc({
    address: { host: "127.0.0.1", port },
    tracer,
    routes: (router: ConnectRouter) => {
      router.service(PublicAPI, { listImages: answer });
      router.service(ImageService, { listImages: answer, imageFsInfo: () => ({}) });
    },
  });
  return {
    address: server.address,
    port: Number(server.address.split(":")[1]),
    stop: () => server.stop(AbortSignal.abort()),
    [Symbol.asyncDispose]: () => server.stop(AbortSignal.abort()),
  };
}

for (const kind of ["rkt", "cri"]) {
  Deno.test(`observer says why and goes on when a ${kind} runtime is absent, comes, goes and comes back`, async () => {
    const reserved = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = reserved.addr;
    reserved.close();
    await using test = testObservatory([`${kind}=127.0.0.1:${port}`]);
    const observe = async () => (await test.observatory.trigger("http"))[0]!;

    const absent = await observe();
    assert.equal(absent.outcome, "unreachable");
    assert.match(absent.reason!, /nothing listens there/);
    assert.equal(test.state.inventory, undefined);

    {
      await using _first = await runtime(() => ({ images: [{ id: "a" }, { id: "b" }] }), port);
      assert.equal((await observe()).imageCount, 2);
      assert.equal(test.state.up, true);
    }
    const gone = await observe();
    assert.equal(gone.outcome, "unreachable");
    assert.equal(test.state.up, false);
    assert.equal(test.state.inventory!.images.length, 2, "what was seen last is kept, as stale");

    await using _second = await runtime(() => ({ images: [{ id: "b" }] }), port);
    const back = await observe();
    assert.equal(back.imageCount, 1);
    assert.deepEqual(back.changed, { added: 0, removed: 1 });
    assert.equal(test.state.up, true);
  });
}

Deno.test("observer marks a CRI store as stale in the moment its kept connection is lost", async () => {
  const server = await runtime(() => ({ images: [] }));
  await using test = testObservatory([`cri=${server.address}`]);
  await test.observatory.trigger("http");
  assert.equal(test.state.up, true);
  await server.stop();
  await eventually("the loss", () => test.state.up ? undefined : true);
  assert.match(test.state.reason!, /closed the connection|connection broke/);
  const { samples } = test.observatory.metrics.families().find(({ name }) =>
    name === "observer_up"
  )!;
  assert.equal((samples[0] as { value: number }).value, 0);
});

Deno.test("observer opens a kept connection again by itself, with back-off, when it was lost", async () => {
  const server = await runtime(() => ({ images: [] }));
  await using test = testObservatory([`cri=${server.address}`]);
  await test.observatory.trigger("http");
  await server.stop();
  await eventually("the loss", () => test.state.up ? undefined : true);
  const { promise, resolve } = Promise.withResolvers<void>();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: server.port });
  listener.accept().then((connection) => {
    connection.close();
    resolve();
  });
  await promise;
  listener.close();
});

Deno.test("observer gives up at its timeout when a runtime accepts and never answers", async () => {
  await using server = await rawServer((socket) => socket.resume());
  await using test = testObservatory([`rkt=${server.address}`, `cri=${server.address}`], {
    timeoutMs: 2_000,
  });
  const observations = await test.observatory.trigger("http");
  assert.deepEqual(observations.map(({ outcome }) => outcome), ["timeout", "timeout"]);
  assert.match(observations[0]!.reason!, /did not answer within 2000 ms.*TCP socket/);
});

Deno.test("observer gives up at its timeout when a runtime takes the call and never answers", async () => {
  await using server = await rawServer((socket) => {
    socket.resume();
    socket.write(settingsFrame);
  });
  await using test = testObservatory([`rkt=${server.address}`, `cri=${server.address}`], {
    // Enough to connect on a busy machine: what is tested is what it waits for then.
    timeoutMs: 2_000,
  });
  const observations = await test.observatory.trigger("http");
  assert.deepEqual(observations.map(({ outcome }) => outcome), ["timeout", "timeout"]);
  assert.match(observations[0]!.reason!, /gRPC connection/);
});

Deno.test("observer fails an observation when the runtime resets in the middle of its answer", async () => {
  const server = http2.createServer();
  server.on("session", (session) => {
    session.on("error", () => {});
    session.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      // The begin of a message of 9 bytes.
      stream.write(
        new Uint8Array([0, 0, 0, 0, 9, 1]),
        () => sockets.forEach((socket) => socket.resetAndDestroy()),
      );
    });
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  {
    await using test = testObservatory([`rkt=127.0.0.1:${port}`, `cri=127.0.0.1:${port}`]);
    for (const { outcome, reason } of await test.observatory.trigger("http")) {
      assert.equal(outcome, "unreachable", reason);
      assert.match(reason!, /connection broke|closed or reset/);
    }
  }
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("observer fails an observation when the runtime closes without a word after the call", async () => {
  await using server = await rawServer((socket) => {
    socket.write(settingsFrame);
    socket.on("data", (data) => includesHeaders(data) && socket.end());
  });
  await using test = testObservatory([`rkt=${server.address}`, `cri=${server.address}`]);
  for (const { outcome, reason } of await test.observatory.trigger("http")) {
    assert.equal(outcome, "unreachable");
    assert.match(reason!, /closed or reset/);
  }
});

Deno.test("observer says that a peer does not speak HTTP/2 when it answers garbage or HTTP/1", async () => {
  const random = crypto.getRandomValues(new Uint8Array(4_096));
  await using garbage = await rawServer((socket) => socket.write(random));
  await using http1 = await rawServer((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
  );
  await using test = testObservatory([`rkt=${garbage.address}`, `cri=${http1.address}`]);
  for (const { outcome, reason } of await test.observatory.trigger("http")) {
    assert.equal(outcome, "protocol");
    assert.match(reason!, /does not speak HTTP\/2/);
  }
});

Deno.test("observer fails an observation when a gRPC message is no message", async () => {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, {
      waitForTrailers: true,
    });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(new Uint8Array([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  {
    await using test = testObservatory([`rkt=127.0.0.1:${port}`, `cri=127.0.0.1:${port}`]);
    for (const { outcome, reason } of await test.observatory.trigger("http")) {
      assert.equal(outcome, "refused");
      assert.match(reason!, /Images failed with/);
    }
  }
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("observer names the status of every gRPC error", async () => {
  let code: Code = Code.Unknown;
  await using server = await runtime(() => {
    throw new ConnectError("told so", code);
  });
  await using test = testObservatory([`rkt=${server.address}`, `cri=${server.address}`]);
  const codes = Object.values(Code).filter((value) => typeof value === "number");
  assert.equal(codes.length, 16);
  for (code of codes) {
    for (const { outcome, reason } of await test.observatory.trigger("http")) {
      assert.equal(outcome, code === Code.DeadlineExceeded ? "timeout" : "refused");
      assert.match(
        reason!,
        code === Code.DeadlineExceeded ? /in time/ : new RegExp(grpcStatus(code)),
      );
    }
  }
  assert.equal(test.state.history.length, 16, "each of them is an observation, none the end");
});

Deno.test("observer refuses an answer of 100 MiB by its length, before it has come", async () => {
  const server = http2.createServer();
  let sentBytes = 0;
  server.on("session", (session) => session.on("error", () => {}));
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write(new Uint8Array([0, 6, 64, 0, 0]));
    const chunk = new Uint8Array(64 * 1024);
    const send = () => {
      if (stream.destroyed || stream.closed) return;
      sentBytes += chunk.length;
      stream.write(chunk, send);
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  {
    await using test = testObservatory([`rkt=127.0.0.1:${port}`, `cri=127.0.0.1:${port}`]);
    for (const { outcome, reason } of await test.observatory.trigger("http")) {
      assert.equal(outcome, "too_large");
      assert.match(reason!, /67108864.*--max-message-bytes/);
    }
    assert.ok(sentBytes < 32 * 1024 * 1024, `${sentBytes} bytes were taken`);
  }
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("observer's intervals, durations and state stand when the wall clock jumps", async () => {
  let nowMs = 1_000_000_000_000;
  await using server = await runtime(() => ({ images: [{ id: "a" }] }));
  await using test = testObservatory([`rkt=${server.address}`], {
    world: { ...realWorld, nowMs: () => nowMs },
  });
  await test.observatory.trigger("http");
  for (const jumpMs of [-86_400_000, 10 * 86_400_000]) {
    nowMs += jumpMs;
    const [observation] = await test.observatory.trigger("http");
    assert.equal(observation!.outcome, "success");
    assert.ok(observation!.durationMs >= 0 && observation!.durationMs < 60_000);
    assert.equal(test.state.up, true);
    assert.equal(test.state.inventory!.atMs, nowMs);
    assert.equal(test.state.inventory!.firstSeenMs.get("a"), 1_000_000_000_000);
  }
});

/** Whether bytes of a client hold a HEADERS frame (type 1) for stream 1; the rest has been sent before. */
function includesHeaders(data: Uint8Array): boolean {
  for (let at = 0; at + 9 <= data.length; at++) {
    const ends = data[at + 3] === 1 && data[at + 5] === 0 && data[at + 6] === 0 &&
      data[at + 7] === 0 && data[at + 8] === 1;
    if (ends) return true;
  }
  return false;
}
