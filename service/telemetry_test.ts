import assert from "node:assert/strict";
import { startTelemetry, telemetryIsWanted } from "./telemetry.ts";
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

testWith(
  ["env"],
  "telemetryIsWanted() where a variable says so, else where a collector answers at once",
  async () => {
    const variables = ["", "_TRACES", "_METRICS", "_LOGS"]
      .map((signal) => `OTEL_EXPORTER_OTLP${signal}_ENDPOINT`).concat("OTEL_SDK_DISABLED");
    const before = variables.map((name) => [name, Deno.env.get(name)] as const);
    const { connect } = Deno;
    const asked: number[] = [];
    let answer: () => Promise<unknown> = () => Promise.reject(new Deno.errors.ConnectionRefused());
    Deno.connect = (({ port }: Deno.ConnectOptions) => {
      asked.push(port);
      return answer();
    }) as typeof Deno.connect;
    try {
      for (const name of variables) Deno.env.delete(name);
      assert.equal(await telemetryIsWanted(), false);
      let isClosed = false;
      answer = () => Promise.resolve({ close: () => isClosed = true });
      assert.equal(await telemetryIsWanted(), true);
      assert.deepEqual([asked, isClosed], [[4318, 4318], true]);
      // One that does not answer is waited for 200 ms, which pass in no real time here.
      answer = () => new Promise(() => {});
      const world = new VirtualWorld();
      assert.equal(await world.runUntil(telemetryIsWanted(world)), false);
      assert.equal(world.monotonicMs(), 200);
      asked.length = 0;
      for (const name of variables) {
        Deno.env.set(name, name === "OTEL_SDK_DISABLED" ? "false" : "http://127.0.0.1:9");
        assert.equal(await telemetryIsWanted(), true, name);
        Deno.env.delete(name);
      }
      assert.deepEqual(asked, [], "nobody is asked");
    } finally {
      Deno.connect = connect;
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    }
  },
);
