import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { openDeviceRegistry } from "./device_registry.ts";
import { reportStatus } from "./device_reporter.ts";
import { DeviceStatusSchema } from "./device_status.ts";
import { LoopControl } from "./loop_control.ts";
import { TestRecordDocuments } from "./test_record_documents.ts";
import { VirtualDevice } from "./virtual_device.ts";

/** An orb, its server's registry, and which answers are lost; bytes on a wire take no virtual time. */
async function opened({ lost = () => false }: { lost?: (call: number) => boolean } = {}) {
  const world = new VirtualWorld({ seed: 1 });
  const devices = await openDeviceRegistry({ store: new TestRecordDocuments(), world });
  const stopping = new AbortController();
  const reports = new LoopControl(10_000);
  const signups = new LoopControl(60_000);
  const device = new VirtualDevice({ number: 7, reports, signups, leftToUpload: () => 3, world });
  const warnings: string[] = [];
  let calls = 0;
  const ended = reportStatus({
    server: "http://orb.test/",
    id: "orb-7",
    device,
    control: reports,
    delayMs: 0,
    jitter: 0,
    async fetch(url, init) {
      const call = ++calls;
      assert.equal(url, "http://orb.test/v2/orbs/orb-7/status");
      const status = DeviceStatusSchema.parse(JSON.parse(String(init.body)));
      const commands = await devices.report("orb-7", status);
      // The server has it; only the answer is lost.
      if (lost(call)) throw new Error("connection reset");
      const body = [new TextEncoder().encode(JSON.stringify({ commands }))];
      return { status: 200, body } as unknown as Response;
    },
    requestTimeoutMs: 1_000,
    stopping: stopping.signal,
    cut: new AbortController().signal,
    meter: testContext().telemetry.meter,
    warn: (message) => warnings.push(message),
    world,
  });
  return {
    world,
    devices,
    signups,
    reports,
    warnings,
    calls: () => calls,
    async stop() {
      stopping.abort();
      await ended;
      devices.close();
    },
  };
}

Deno.test("an orb reports by its interval, in a form that the server takes", async () => {
  const { world, devices, stop, calls } = await opened();
  await world.advance(25_000);
  assert.equal(calls(), 3);
  const device = await devices.find("orb-7");
  assert.equal(device?.state, "ok");
  assert.equal(device?.signupsLeftToUpload, 3);
  assert.equal(device?.status?.signup_state, "ready");
  assert.ok(DeviceStatusSchema.safeParse(device?.status).success);
  await stop();
});

Deno.test("a command is obeyed once, however often it comes, and its result arrives", async () => {
  const { world, devices, signups, stop, warnings } = await opened({ lost: (call) => call === 3 });
  await world.advance(1_000);
  let signedUp = 0;
  const rested = signups.rest(1, { world }).then(() => signedUp++);
  const { id } = await devices.command("orb-7", { type: "sign_up" });
  await world.advance(10_000);
  await rested;
  assert.equal(signedUp, 1);
  // The report with the result was heard, though its answer was lost.
  await world.advance(20_000);
  const command = (await devices.find("orb-7"))?.commands.find((one) => one.id === id);
  assert.equal(command?.state, "done");
  assert.deepEqual(warnings, ["Unable to report the orb's status: connection reset"]);
  await stop();
});

Deno.test("another interval holds at once, and a reset brings the first one back", async () => {
  const { world, devices, calls, reports, signups, stop } = await opened();
  await world.advance(1_000);
  await devices.command("orb-7", {
    type: "set_interval",
    status_interval_sec: 2,
    signup_interval_sec: 0,
  });
  await world.advance(10_000);
  assert.equal(reports.intervalMs, 2_000);
  assert.equal(signups.intervalMs, 0);
  const before = calls();
  await world.advance(10_000);
  assert.equal(calls() - before, 5);
  assert.equal((await devices.find("orb-7"))?.status?.signup_state, "not_ready");
  await devices.command("orb-7", { type: "reset" });
  await world.advance(2_000);
  assert.equal(reports.intervalMs, 10_000);
  assert.equal(signups.intervalMs, 60_000);
  await stop();
});

Deno.test("an orb that signs nobody up says so when it is told to", () => {
  const world = new VirtualWorld({ seed: 1 });
  const device = new VirtualDevice({ number: 1, reports: new LoopControl(1_000), world });
  assert.match(device.obey({ type: "sign_up" }).detail!, /--orb-signup-interval 0/);
  assert.equal(device.obey({ type: "set_interval", signup_interval_sec: 1 }).outcome, "failed");
});

Deno.test("LoopControl waits, is woken, and waits for nobody when it is told to stop", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const control = new LoopControl(0);
  const stopping = new AbortController();
  const seen: string[] = [];
  const rest = (name: string) =>
    control.rest(1, { world, signal: stopping.signal }).then(() => seen.push(name));
  const idle = rest("idle");
  await world.advance(3_600_000);
  assert.deepEqual(seen, []);
  control.wake();
  await idle;
  const second = rest("by another interval");
  control.intervalMs = 1_000;
  await world.advance(999);
  assert.deepEqual(seen, ["idle"]);
  await world.advance(1);
  await second;
  const last = rest("stopped");
  stopping.abort();
  await last;
  await rest("stopped before");
  assert.deepEqual(seen, ["idle", "by another interval", "stopped", "stopped before"]);
});
