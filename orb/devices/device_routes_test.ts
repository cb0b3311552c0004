import assert from "node:assert/strict";
import { problemOnError } from "../../service/problem.ts";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { createOrbApi, openAccess, openApiDocument, type OrbAccess } from "../api/orb_api.ts";
import { openDeviceRegistry } from "./device_registry.ts";
import { addDeviceRoutes } from "./device_routes.ts";
import { TestRecordDocuments } from "./test_record_documents.ts";

async function opened(access: OrbAccess = openAccess) {
  const world = new VirtualWorld({ seed: 1 });
  const devices = await openDeviceRegistry({ store: new TestRecordDocuments(), world });
  const api = createOrbApi();
  api.onError(problemOnError(testContext().log));
  addDeviceRoutes(api, { devices, access });
  const call = async (method: string, path: string, body?: unknown) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await api.request(path, {
      method,
      ...(body !== undefined && {
        body: text,
        headers: { "content-type": "application/json", "content-length": `${text.length}` },
      }),
    });
    const answer = await response.text();
    return { status: response.status, body: answer === "" ? undefined : JSON.parse(answer) };
  };
  return { api, devices, call };
}

const status = {
  timestamp: "2026-11-29T12:00:00Z",
  battery: { level: 81.5, isCharging: false },
  temperature: { cpu: 48.1, liquid_lens: 31 },
  ssd: { space_left: 1_000_000, signup_left_to_upload: 3 },
  version: { current_release: "6.1.0" },
  signup_state: "ready",
  something_new: 1,
};

Deno.test("a report is kept and answered with what the device is to do", async () => {
  const { call, devices } = await opened();
  const first = await call("POST", "/v2/orbs/orb-1/status", status);
  assert.deepEqual(first, { status: 200, body: { commands: [] } });
  const told = await call("POST", "/v2/orbs/orb-1/commands", {
    type: "set_interval",
    signup_interval_sec: 5,
  });
  assert.equal(told.status, 202);
  assert.equal(told.body.state, "pending");
  const { body } = await call("POST", "/v2/orbs/orb-1/status", status);
  assert.deepEqual(body.commands[0].command, { type: "set_interval", signup_interval_sec: 5 });

  const device = (await call("GET", "/v2/orbs/orb-1")).body;
  assert.equal(device.state, "ok");
  assert.equal(device.signupsLeftToUpload, 3);
  assert.deepEqual(device.status.battery, { level: 81.5, isCharging: false });
  assert.equal(device.status.something_new, undefined);
  assert.equal((await call("DELETE", "/v2/orbs/orb-1")).status, 204);
  assert.equal((await call("GET", "/v2/orbs/orb-1")).status, 404);
  devices.close();
});

Deno.test("the list goes by pages and by state, with counts of all", async () => {
  const { call, devices } = await opened();
  for (const id of ["orb-10", "orb-2", "orb-1"]) {
    await call("POST", `/v2/orbs/${id}/status`, status);
  }
  const first = (await call("GET", "/v2/orbs?limit=2")).body;
  assert.deepEqual(first.orbs.map(({ id }: { id: string }) => id), ["orb-1", "orb-2"]);
  assert.equal(first.next, "orb-2");
  assert.equal(first.counts.ok, 3);
  const second = (await call("GET", "/v2/orbs?limit=2&after=orb-2")).body;
  assert.deepEqual(second.orbs.map(({ id }: { id: string }) => id), ["orb-10"]);
  assert.equal(second.next, null);
  assert.deepEqual((await call("GET", "/v2/orbs?state=silent")).body.orbs, []);
  devices.close();
});

Deno.test("what does not fit is refused, and costs only itself", async () => {
  const { call, devices } = await opened();
  const report = "/v2/orbs/orb-1/status";
  for (
    const [body, field] of [
      [{}, "timestamp"],
      [{ ...status, battery: { level: 200 } }, "battery.level"],
      [{ ...status, orb_name: "x".repeat(65) }, "orb_name"],
      [{ ...status, command_results: [{ id: "x", outcome: "done" }] }, "command_results.0.id"],
    ] as const
  ) {
    const { status, body: problem } = await call("POST", report, body);
    assert.equal(status, 422, JSON.stringify(problem));
    assert.ok(problem.detail.includes(`'${field}'`), problem.detail);
  }
  assert.equal((await call("POST", "/v2/orbs/..%2fetc/status", status)).status, 422);
  assert.equal(
    (await call("POST", report, JSON.stringify(status) + " ".repeat(40_000))).status,
    413,
  );
  assert.equal((await call("POST", report, "{")).status, 400);
  assert.equal((await call("POST", "/v2/orbs/orb-9/commands", { type: "reset" })).status, 404);
  assert.equal((await call("POST", "/v2/orbs/orb-9/commands", { type: "explode" })).status, 422);
  assert.deepEqual(devices.list(), []);
  devices.close();
});

Deno.test("a device acts for itself only, and tells no other what to do", async () => {
  const asked: string[][] = [];
  const access: OrbAccess = {
    authenticated: true,
    require: (...scopes) => async (c, next) => {
      asked.push(scopes);
      c.set("caller", { subject: "orb-1", mayActFor: (id) => id === "orb-1" });
      await next();
    },
  };
  const { call, devices } = await opened(access);
  assert.equal((await call("POST", "/v2/orbs/orb-1/status", status)).status, 200);
  assert.equal((await call("POST", "/v2/orbs/orb-2/status", status)).status, 403);
  assert.equal((await call("GET", "/v2/orbs/orb-2")).status, 403);
  await call("POST", "/v2/orbs/orb-1/commands", { type: "reset" });
  assert.deepEqual(asked.at(-1), ["orb:admin"]);
  devices.close();
});

Deno.test("the OpenAPI document has the routes with their schemas", async () => {
  const { api, devices } = await opened();
  const { paths } = openApiDocument(api, true) as {
    paths: Record<string, Record<string, unknown>>;
  };
  assert.deepEqual(Object.keys(paths), [
    "/v2/orbs/{id}/status",
    "/v2/orbs",
    "/v2/orbs/{id}",
    "/v2/orbs/{id}/commands",
  ]);
  devices.close();
});
