import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { testWith } from "../../service/testing/permissions.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { decodeRequest } from "../../service/otlp/otlp_message.ts";
import { EventLog, type LoggedEvent } from "../events/event_log.ts";
import { Recorder } from "../events/recorder.ts";
import { kinds, readSocket, testSimulator } from "../test_simulator.ts";
import { OtlpIntake } from "./otlp_intake.ts";

interface SpanOf {
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  name?: string;
  start?: bigint;
  failed?: boolean;
}

const beginNs = 1_795_798_574_686_000_001n;

/** A request of one program in OTLP's JSON. */
function request(service: string, instance: string, spans: SpanOf[]) {
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  return {
    resource: {
      attributes: [
        attribute("service.name", service),
        attribute("service.instance.id", instance),
        { key: "process.pid", value: { intValue: "17" } },
      ],
    },
    scopeSpans: [{
      spans: spans.map(({ traceId, spanId, parentSpanId, name, start = beginNs, failed }) => ({
        traceId: traceId ?? "0af7651916cd43dd8448eb211c80319c",
        spanId: spanId ?? "b7ad6b7169203331",
        ...(parentSpanId && { parentSpanId }),
        name: name ?? "GET /",
        kind: 2,
        startTimeUnixNano: String(start),
        endTimeUnixNano: String(start + 1_500_000n),
        ...(failed && { status: { code: 2, message: "no stock" } }),
      })),
    }],
  };
}

function inside(options: { silenceMs?: number; maxResources?: number } = {}) {
  const world = new VirtualWorld();
  const log = new EventLog({ world });
  const recorder = new Recorder({ log, world });
  const intake = new OtlpIntake({ recorder, world, ...options });
  const events: LoggedEvent[] = [];
  log.subscribe((batch) => events.push(...batch));
  const take = async (...resourceSpans: unknown[]) => {
    const body = new TextEncoder().encode(JSON.stringify({ resourceSpans }));
    intake.take("traces", decodeRequest("traces", "application/json", body));
    await drainMicrotasks();
  };
  return { world, recorder, intake, events, take };
}

Deno.test("each program that exports is a client, and each of its spans an event, digit for digit", async () => {
  const { events, take, recorder } = inside();
  await take(
    request("checkout", "a", [{ parentSpanId: "00f067aa0ba902b7", failed: true }]),
    request("checkout", "b", [{}]),
  );
  assert.deepEqual(events.map(({ client }) => client), [1, 2]);
  assert.deepEqual([...recorder.clients.running].map(({ name, pid }) => [name, pid]), [
    ["checkout", 17],
    ["checkout", 17],
  ]);
  const json = events[0]!.json;
  assert.match(json, /"traceId":"0af76519-16cd-43dd-8448-eb211c80319c"/);
  assert.match(json, /"event":"spanFailed","timeUnixNano":1795798574687500001/);
  assert.match(json, /"args","value":\{"stringValue":"GET \/"\}/);
  assert.match(json, /"duration","value":\{"type":"number","unit":"nanoseconds","value":1500000\}/);
  assert.match(json, /"reason","value":\{"stringValue":"no stock"\}/);
  assert.match(json, /"parentSpanId","value":\{"stringValue":"00f067aa0ba902b7"\}/);
});

Deno.test("spans come in the order in which they began, and the simulator's own do not come", async () => {
  const { events, take } = inside();
  await take(
    request("orders", "a", [{ name: "inner", start: beginNs + 5n }, { name: "outer" }]),
    request("simulator", "me", [{}]),
  );
  assert.deepEqual(
    events.map(({ json }) => /"args","value":\{"stringValue":"(\w+)"/.exec(json)?.[1]),
    ["outer", "inner"],
  );
});

Deno.test("a program that has been silent leaves the stage; metrics and logs are signs of life", async () => {
  const { world, recorder, intake, events, take } = inside({ silenceMs: 30_000 });
  await take(request("quiet", "a", [{}]), request("lively", "b", [{}]));
  const alive = () => {
    const { resource } = request("lively", "b", []);
    const body = new TextEncoder().encode(JSON.stringify({ resourceMetrics: [{ resource }] }));
    intake.take("metrics", decodeRequest("metrics", "application/json", body));
  };
  for (let i = 0; i < 4; i++) {
    await world.advance(10_000);
    alive();
  }
  await drainMicrotasks();
  assert.deepEqual([...recorder.clients.running].map(({ name }) => name), ["lively"]);
  assert.match(events.at(-1)!.json, /processStopped.*no telemetry for 30 s/);
  intake.stop();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("programs beyond the limit are counted", async () => {
  const { events, take, intake } = inside({ maxResources: 1 });
  await take(request("one", "a", [{}]), request("two", "b", [{}, {}]));
  assert.equal(events.length, 1);
  assert.equal(intake.beyondLimit, 2);
});

testWith(
  ["net", "env"],
  "OTLP/HTTP is taken in JSON and packed, refused with a status, and not from other sites' pages",
  async () => {
    await using test = await testSimulator();
    await using socket = await readSocket(test.url);
    const body = JSON.stringify({ resourceSpans: [request("shop", "a", [{}])] });
    const send = async (headers: Record<string, string>, sent: BodyInit = body) => {
      const response = await fetch(`${test.url}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: sent,
      });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await send({}), 200);
    assert.equal(await send({ "content-encoding": "gzip" }, new Uint8Array(gzipSync(body))), 200);
    assert.deepEqual(kinds(await socket.reach(2)), ["spanEnded", "spanEnded"]);
    assert.equal(await send({}, "{"), 400);
    assert.equal(await send({ "content-type": "text/plain" }), 415);
    assert.equal(await send({ origin: "https://evil.example" }), 403);
    const unknown = await fetch(`${test.url}/v1/nothing`);
    assert.equal(unknown.status, 404);
    await unknown.body?.cancel();
    assert.ok(!test.printed.some((line) => line.startsWith("RECEIVED")), "it did not come by TCP");
  },
);
