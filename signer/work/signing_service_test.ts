import assert from "node:assert/strict";
import { join } from "node:path";
import { type Bus, BusError } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { StartError } from "../../service/life_cycle.ts";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { openAuditLog } from "./audit_log.ts";
import { startSigningService } from "./signing_service.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const needs: Deno.PermissionName[] = ["read", "write"];
const never = new Promise<never>(() => {});

const notAllowed = () => Promise.reject(new BusError("unavailable", "not authorized"));

/** What a start waits for: keys that may not be published, and readers that never get a place. */
const hangs: Record<string, (bus: Bus) => Partial<Bus>> = {
  "its keys may not be published": () => ({ send: notAllowed }),
  "the topic of requests is never read": () => ({ consume: () => never }),
  "the topic of requests is never made": (bus) => ({
    createTopic: (name, options) => name === "signer.v1" ? never : bus.createTopic(name, options),
  }),
};

for (const [why, broken] of Object.entries(hangs)) {
  testWith(
    needs,
    `startSigningService() ends when it is asked to stop while ${why}`,
    () =>
      withTempFolder(async (dataDir) => {
        const world = new VirtualWorld();
        const context = testContext({ world });
        const bus = memoryBus({ world });
        const options = {
          bus: { ...bus, ...broken(bus) },
          requestTopic: "signer.v1",
          group: "g",
          flags: { algorithm: "ed25519" as const, dataDir },
        };
        let ended = false;
        const starting = assert.rejects(
          startSigningService(options, context).finally(() => ended = true),
          (error) => error instanceof StartError && /asked to stop before/.test(error.message),
        );
        await eventually("the wait", async () => {
          await world.advance(60_000);
          return world.pendingTimers > 0 || undefined;
        });
        assert.equal(ended, false);
        context.stop();
        await starting;
        assert.equal(world.pendingTimers, 0);
        // Nothing is held any more.
        await (await openAuditLog({ folder: join(dataDir, "audit") })).close();
      }),
  );
}
