import assert from "node:assert/strict";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { settledWithin } from "../resilience.ts";
import { testWith } from "../testing/permissions.ts";
import { realWorld } from "../world/world.ts";
import { VirtualWorld } from "../world/virtual_world.ts";
import { Delivery, someoneListens } from "./delivery.ts";

const success: ExportResult = { code: ExportResultCode.SUCCESS };
const failure: ExportResult = { code: ExportResultCode.FAILED, error: new Error("no way") };

function setUp(endpoints: string[]) {
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const delivery = new Delivery({ endpoints, warn, world: realWorld });
  const results: ExportResult[] = [];
  const exporter = delivery.watch<number, { export: (one: number, done: Done) => void }>({
    export: (one, done) => done(one > 0 ? success : failure),
  });
  return {
    delivery,
    warnings,
    results,
    export: (one: number) => exporter.export(one, (result) => results.push(result)),
  };
}
type Done = (result: ExportResult) => void;

Deno.test("Delivery warns once when deliveries begin to fail and once when they work again", () => {
  const { export: send, warnings, results } = setUp(["http://me:secret@127.0.0.1:4318"]);
  for (const one of [1, 0, 0, 1, 1, 0]) send(one);
  assert.deepEqual(warnings.map((warning) => warning.split(". ")[0]), [
    "Telemetry cannot be delivered to http://127.0.0.1:4318 (no way)",
    "Telemetry is delivered again.",
    "Telemetry cannot be delivered to http://127.0.0.1:4318 (no way)",
  ]);
  assert.equal(results.length, 6);
});

Deno.test("Delivery warns once of a failure that no exporter reports", () => {
  const { delivery, export: send, warnings } = setUp(["http://127.0.0.1:4318"]);
  send(0);
  delivery.failed("it does not answer in time");
  assert.equal(warnings.length, 1);
  send(1);
  delivery.failed("it does not answer in time");
  assert.match(warnings.at(-1)!, /127\.0\.0\.1:4318 \(it does not answer in time\)/);
});

testWith(["net"], "Delivery.inVain() ends where nobody listens, and only there", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const there = `http://127.0.0.1:${listener.addr.port}`;
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const nowhere = `http://127.0.0.1:${gone.addr.port}`;
  gone.close();
  // One of them is enough to be waited for.
  assert.equal(await settledWithin(setUp([nowhere, there]).delivery.inVain(), 300), false);
  for (const endpoints of [[nowhere], ["no URL"]]) {
    assert.equal(await settledWithin(setUp(endpoints).delivery.inVain(), 5_000), true);
  }
  listener.close();
});

testWith(["net"], "Delivery.inVain() waits for a collector that was there before", async () => {
  const { delivery, export: send } = setUp(["no URL"]);
  send(1);
  assert.equal(await settledWithin(delivery.inVain(), 100), false);
});

Deno.test("Delivery says what it can of a failure without a reason, and of no endpoint", () => {
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const delivery = new Delivery({ endpoints: [], warn, world: realWorld });
  const exporter = delivery.watch({
    export: (_: number, done: Done) => done({ code: ExportResultCode.FAILED }),
  });
  exporter.export(1, () => {});
  assert.deepEqual(warnings, [
    "Telemetry cannot be delivered to  (no reason given). The service goes on; queues are bounded and what overflows is counted. Start a collector there (deno task console), name another with OTEL_EXPORTER_OTLP_ENDPOINT, or turn telemetry off with OTEL_SDK_DISABLED=true.",
  ]);
});

Deno.test("someoneListens() asks each address once, by its own port or its protocol's, for 200 ms", async () => {
  const { connect } = Deno;
  const asked: string[] = [];
  Deno.connect = (({ hostname, port }: Deno.ConnectOptions) => {
    asked.push(`${hostname} ${port}`);
    return new Promise<Deno.TcpConn>(() => {});
  }) as typeof Deno.connect;
  try {
    const world = new VirtualWorld();
    const endpoints = ["http://a/v1/traces", "http://a/v1/logs", "https://a", "https://b:4318/x"]
      .concat(["http://[::1]:4318", "no URL"]);
    assert.equal(await world.runUntil(someoneListens(endpoints, world)), false);
    assert.equal(world.monotonicMs(), 200);
    assert.deepEqual(asked, ["a 80", "a 443", "b 4318", "::1 4318"]);
  } finally {
    Deno.connect = connect;
  }
});
