import assert from "node:assert/strict";
import { eventually } from "../../service/testing/eventually.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { rawServer, settingsFrame } from "../stores/test_observatory.ts";
import { parseEndpoint } from "./endpoint.ts";
import { KeptConnection } from "./kept_connection.ts";

const connectTimeoutMs = 4_999;

/** Real sockets, but pauses that take no time and are written down; `elapseMs` moves its clock. */
function impatientWorld() {
  const pauses: number[] = [];
  let elapsedMs = 0;
  const world: World = {
    ...realWorld,
    monotonicMs: () => elapsedMs,
    random: () => 0,
    setTimeout(callback, delayMs) {
      if (delayMs === connectTimeoutMs) return realWorld.setTimeout(callback, delayMs);
      pauses.push(delayMs);
      return realWorld.setTimeout(callback, 0);
    },
  };
  return { world, pauses, elapse: (ms: number) => void (elapsedMs += ms) };
}

Deno.test("KeptConnection backs off from a peer that lets in and closes at once, up to its cap", async () => {
  let first: { destroy(): void } | undefined;
  await using server = await rawServer((socket) => {
    socket.write(settingsFrame);
    if (first) socket.destroy();
    first ??= socket;
  });
  const { world, pauses } = impatientWorld();
  const kept = new KeptConnection({
    endpoint: parseEndpoint(`cri=${server.address}`),
    maxMessageBytes: 1_000,
    reconnectMaxDelayMs: 1_000,
    connectTimeoutMs,
    world,
  });
  await kept.get(new AbortController().signal, () => {});
  first!.destroy();
  await eventually("six pauses", () => pauses.length >= 6 ? true : undefined, 10_000);
  kept.stop();
  assert.deepEqual(pauses.slice(0, 6), [100, 200, 400, 800, 1_000, 1_000]);
});

Deno.test("KeptConnection begins its back-off anew only after a connection that was stable", async () => {
  const sockets: { destroy(): void }[] = [];
  await using server = await rawServer((socket) => {
    socket.write(settingsFrame);
    sockets.push(socket);
  });
  const { world, pauses, elapse } = impatientWorld();
  const kept = new KeptConnection({
    endpoint: parseEndpoint(`cri=${server.address}`),
    maxMessageBytes: 1_000,
    connectTimeoutMs,
    world,
  });
  /** Breaks the connection that is open, and waits for the next one. */
  async function breakOff(connections: number): Promise<void> {
    sockets.at(-1)!.destroy();
    await eventually("the pause", () => pauses.length === connections ? true : undefined, 10_000);
    await eventually("the next", () => server.connections > connections ? true : undefined, 10_000);
    // The client has it too.
    await kept.get(new AbortController().signal, () => {});
  }
  await kept.get(new AbortController().signal, () => {});
  await breakOff(1);
  await breakOff(2);
  elapse(5_000);
  await breakOff(3);
  kept.stop();
  assert.deepEqual(pauses, [100, 200, 100]);
});
