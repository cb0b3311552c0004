import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { DeviceError, type DeviceRegistryOptions, openDeviceRegistry } from "./device_registry.ts";
import { TestRecordDocuments } from "./test_record_documents.ts";

const status = { timestamp: "2026-11-29T12:00:00Z", status_interval_sec: 10 };

async function opened(options: Partial<DeviceRegistryOptions> = {}) {
  const world = new VirtualWorld({ seed: 1 });
  const documents = new TestRecordDocuments();
  const presence: string[] = [];
  const devices = await openDeviceRegistry({
    store: documents,
    world,
    onPresence: (id, present) => presence.push(`${id} ${present}`),
    ...options,
  });
  return { world, documents, presence, devices };
}

Deno.test("a device falls silent after three reports that did not come, and is back with the next", async () => {
  const { world, devices, presence } = await opened();
  await devices.report("orb-1", status);
  await world.advance(29_000);
  assert.equal(devices.summary("orb-1")?.state, "ok");
  await world.advance(2_000);
  assert.equal(devices.summary("orb-1")?.state, "silent");
  assert.match((await devices.find("orb-1"))!.reason!, /^no report for 3\d s$/);
  await devices.report("orb-1", status);
  await world.advance(1_000);
  assert.equal(devices.summary("orb-1")?.state, "ok");
  assert.deepEqual(presence, ["orb-1 true", "orb-1 false", "orb-1 true"]);
  devices.close();
});

Deno.test("a device that says nothing of its interval is silent after the limit of the server", async () => {
  const { world, devices } = await opened({ offlineAfterMs: 5_000 });
  await devices.report("orb-1", { timestamp: status.timestamp });
  await world.advance(4_000);
  assert.equal(devices.summary("orb-1")?.state, "ok");
  await world.advance(1_000);
  assert.equal(devices.summary("orb-1")?.state, "silent");
  devices.close();
});

Deno.test("a device's state follows its signups, for a minute", async () => {
  const { world, devices, documents } = await opened({ offlineAfterMs: 600_000 });
  await devices.report("orb-1", { timestamp: status.timestamp });
  const signup = (state: "queued" | "duplicate" | "rejected" | "accepted", reason?: string) => {
    const decided = state === "queued" ? {} : { decidedMs: world.nowMs() };
    documents.tell({
      ...{ orbId: "orb-1", state, updatedMs: world.nowMs(), ...decided },
      ...(reason !== undefined && { reason }),
    });
    return devices.summary("orb-1")!;
  };
  assert.equal(signup("queued").state, "signing");
  assert.equal(signup("duplicate").state, "duplicate");
  assert.equal(signup("rejected", "no iris").state, "error");
  assert.equal((await devices.find("orb-1"))!.reason, "no iris");
  assert.equal(devices.summary("orb-1")!.signupsPerMinute, 2);
  await world.advance(61_000);
  assert.deepEqual(devices.summary("orb-1"), {
    id: "orb-1",
    state: "ok",
    lastSeenAt: new Date(world.nowMs() - 61_000).toISOString(),
    signupsPerMinute: 0,
    signupsLeftToUpload: null,
    reason: null,
  });
  devices.close();
});

Deno.test("a part that has failed is an error, with its name", async () => {
  const { devices } = await opened();
  const hardware_states = { liquid_lens: { status: "failure", message: "no focus" } };
  await devices.report("orb-1", { ...status, hardware_states });
  assert.equal(devices.summary("orb-1")?.state, "error");
  assert.equal((await devices.find("orb-1"))?.reason, "liquid_lens: no focus");
  devices.close();
});

Deno.test("a command is carried by the answer to the next report, and its result is kept", async () => {
  const { devices } = await opened();
  await devices.report("orb-1", status);
  const { id } = await devices.command("orb-1", { type: "sign_up" });
  const [command] = await devices.report("orb-1", status);
  assert.deepEqual([command?.id, command?.command.type], [id, "sign_up"]);
  const command_results = [{ id, outcome: "done" as const }];
  assert.deepEqual(await devices.report("orb-1", { ...status, command_results }), []);
  const device = await devices.find("orb-1");
  assert.equal(device?.commands[0]?.state, "done");
  assert.equal(device?.status?.command_results, undefined, "results are no status");
  await assert.rejects(
    devices.command("orb-9", { type: "reset" }),
    (error) => error instanceof DeviceError && error.kind === "unknown",
  );
  devices.close();
});

Deno.test("two servers that change a device's commands at once lose none", async () => {
  const documents = new TestRecordDocuments("postgresql");
  const world = new VirtualWorld({ seed: 1 });
  const [one, other] = await Promise.all(
    [1, 2].map(() => openDeviceRegistry({ store: documents, world })),
  );
  await one!.report("orb-1", status);
  await world.advance(5_000);
  assert.equal(other!.summary("orb-1")?.state, "ok", "what the other has heard is known");
  await Promise.all([
    one!.command("orb-1", { type: "reset" }),
    other!.command("orb-1", { type: "sign_up" }),
  ]);
  const given = await one!.report("orb-1", status);
  assert.deepEqual(given.map(({ command }) => command.type).sort(), ["reset", "sign_up"]);
  one!.close();
  other!.close();
});

Deno.test("the last reports outlive the server", async () => {
  const { devices, documents, world } = await opened();
  await devices.report("orb-2", { ...status, battery: { level: 55 } });
  await devices.report("orb-10", status);
  devices.close();
  const again = await openDeviceRegistry({ store: documents, world });
  assert.deepEqual(again.list().map(({ id }) => id), ["orb-2", "orb-10"]);
  assert.equal((await again.find("orb-2"))?.status?.battery?.level, 55);
  assert.equal(await again.forget("orb-2"), true);
  assert.equal(await again.find("orb-2"), undefined);
  again.close();
});

Deno.test("devices are bounded: one that was silent for longest gives way, else the new one is refused", async () => {
  const { devices, world } = await opened({ maxDevices: 2 });
  await devices.report("orb-1", status);
  await world.advance(1_000);
  await devices.report("orb-2", status);
  await world.advance(1_000);
  await assert.rejects(
    devices.report("orb-3", status),
    (error) => error instanceof DeviceError && error.kind === "full",
  );
  await world.advance(28_500);
  await devices.report("orb-2", status);
  await world.advance(1_000);
  await devices.report("orb-3", status);
  assert.deepEqual(devices.list().map(({ id }) => id), ["orb-2", "orb-3"]);
  devices.close();
});

Deno.test("followers hear of changes once a second, together", async () => {
  const { devices, world } = await opened();
  const heard: string[][] = [];
  devices.follow((ids) => heard.push([...ids].sort()));
  await Promise.all(["b", "a", "b"].map((id) => devices.report(id, status)));
  assert.deepEqual(heard, []);
  await world.advance(1_000);
  assert.deepEqual(heard, [["a", "b"]]);
  await world.advance(2_000);
  assert.deepEqual(heard, [["a", "b"]], "nothing changed");
  devices.close();
});
