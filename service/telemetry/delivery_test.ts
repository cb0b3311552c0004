import assert from "node:assert/strict";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { settledWithin } from "../resilience.ts";
import { testWith } from "../testing/permissions.ts";
import { realWorld } from "../world/world.ts";
import { Delivery } from "./delivery.ts";

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
