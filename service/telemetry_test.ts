import assert from "node:assert/strict";
import { startTelemetry } from "./telemetry.ts";
import { eventually } from "./testing/eventually.ts";
import { testWith } from "./testing/permissions.ts";
import { drainMicrotasks, VirtualWorld } from "./world/virtual_world.ts";

testWith(
  ["net", "env", "sys"],
  "shutdown() waits for a collector that does not answer, and no longer than it is told to",
  async () => {
    const release = Promise.withResolvers<void>();
    const asked: string[] = [];
    const collector = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        await request.bytes();
        asked.push(new URL(request.url).pathname);
        await release.promise;
        return new Response();
      },
    );
    Deno.env.set("OTEL_EXPORTER_OTLP_ENDPOINT", `http://127.0.0.1:${collector.addr.port}`);
    const world = new VirtualWorld();
    const telemetry = startTelemetry({ serviceName: "test", warn() {}, world });
    telemetry.tracer.startSpan("work").end();
    let isOver = false;
    telemetry.shutdown(3_000).then(() => isOver = true);
    await eventually(
      "spans and metrics",
      () => asked.includes("/v1/traces") && asked.includes("/v1/metrics") || undefined,
    );
    await world.advance(2_999);
    assert.equal(isOver, false);
    await world.advance(1);
    await drainMicrotasks();
    assert.equal(isOver, true);
    release.resolve();
    await collector.shutdown();
    Deno.env.delete("OTEL_EXPORTER_OTLP_ENDPOINT");
  },
);
