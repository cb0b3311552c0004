/**
 * All that the fleet needs, put together: the registry, its routes, the page's stream, metrics.
 *
 * @module
 */
import type { ServiceContext } from "../../service/life_cycle.ts";
import type { OrbAccess, OrbApi } from "../api/orb_api.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { type DeviceRegistry, openDeviceRegistry } from "./device_registry.ts";
import { addDeviceRoutes } from "./device_routes.ts";
import { deviceStates } from "./device_state.ts";
import { addFleetStream } from "./fleet_stream.ts";

/** Options of {@linkcode startFleet}. */
export interface FleetOptions {
  store: Pick<RecordStore, "run" | "follow" | "system">;
  /** Who may call. */
  access: OrbAccess;
  /** A device that says nothing of its interval is silent after so long, in milliseconds. @default 90_000 */
  offlineAfterMs?: number | undefined;
}

/** The fleet at work. */
export interface Fleet {
  /** Who there is. */
  readonly devices: DeviceRegistry;
  /** Adds the routes. */
  addRoutes(api: OrbApi): void;
  /** Ends timers and instruments. */
  close(): void;
}

/**
 * Reads what is known of the fleet and begins to watch it.
 *
 * @throws {StoreError} the store cannot be read
 *
 * @example
 * ```ts
 * const fleet = await startFleet({ store, access }, context);
 * fleet.addRoutes(api);
 * ```
 */
export async function startFleet(
  { store, access, offlineAfterMs }: FleetOptions,
  { log, world, stopping, telemetry: { meter } }: ServiceContext,
): Promise<Fleet> {
  const devices = await openDeviceRegistry({
    store,
    world,
    ...(offlineAfterMs !== undefined && { offlineAfterMs }),
    onPresence(id, present) {
      if (present) log.info("An orb reports", { orb: id });
      else log.warn("An orb is silent", { orb: id });
    },
  });
  const gauge = meter.createObservableGauge("orb.devices", {
    description: "Devices, by state.",
    unit: "{device}",
  });
  const observe: Parameters<typeof gauge.addCallback>[0] = (result) => {
    const counts = new Map(deviceStates.map((state) => [state, 0]));
    for (const { state } of devices.list()) counts.set(state, counts.get(state)! + 1);
    for (const [state, count] of counts) result.observe(count, { state });
  };
  gauge.addCallback(observe);
  let closeStream = () => {};
  return {
    devices,
    addRoutes(api) {
      closeStream = addFleetStream(api, { devices, store, access, stopping, world, meter });
      addDeviceRoutes(api, { devices, access });
    },
    close() {
      gauge.removeCallback(observe);
      closeStream();
      devices.close();
    },
  };
}
