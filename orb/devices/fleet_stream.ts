/**
 * The live stream of the server's page: the whole fleet at first, then what changed, once a second.
 *
 * @module
 */
import type { Meter } from "@opentelemetry/api";
import { EventStreamHub } from "../../service/event_stream.ts";
import type { World } from "../../service/world/world.ts";
import type {
  FleetBeat,
  FleetChanges,
  FleetEvent,
  FleetQueue,
  FleetRow,
} from "../api/fleet_api.ts";
import {
  anyOf,
  createRoute,
  eventStream,
  type OrbAccess,
  type OrbApi,
  problems,
} from "../api/orb_api.ts";
import type { RecordStore } from "../stores/record_store.ts";
import type { DeviceRegistry } from "./device_registry.ts";
import type { DeviceSummary } from "./device_status.ts";

/** Options of {@linkcode addFleetStream}. */
export interface FleetStreamOptions {
  /** The fleet. */
  devices: DeviceRegistry;
  /** Knows how the queue is. */
  store: Pick<RecordStore, "run">;
  /** Who may look. */
  access: OrbAccess;
  /** Ends every stream. */
  stopping: AbortSignal;
  world: World;
  /** Makes the streams' instruments. @default none are made */
  meter?: Meter;
}

/** Where the stream is; it is not traced, as it lasts for hours. */
export const fleetStreamPath = "/v2/fleet/events";

const beatMs = 1_000;

/**
 * Adds the stream.
 *
 * @returns ends every stream, and what is done for them
 *
 * @example
 * ```ts
 * const close = addFleetStream(api, { devices, store, access, stopping, world });
 * ```
 */
export function addFleetStream(api: OrbApi, options: FleetStreamOptions): () => void {
  const { devices, access, stopping, world, meter } = options;
  const hub = new EventStreamHub<undefined>({
    // A fleet of 10,000 is one event of some 600 kB.
    maxQueuedBytes: 4 * 1024 ** 2,
    stopping,
    world,
    ...(meter && { metrics: { meter, prefix: "orb.page.streams" } }),
  });
  let queue: FleetQueue | null = null;

  devices.follow((ids) => {
    if (hub.size === 0) return;
    const summaries = [...ids].map((id) => [id, devices.summary(id)] as const);
    const data: FleetChanges = {
      nowMs: world.nowMs(),
      rows: summaries.flatMap(([, summary]) => summary ? [rowOf(summary)] : []),
      removed: summaries.flatMap(([id, summary]) => summary ? [] : [id]),
    };
    hub.broadcast({ name: "changes", data });
  });
  const beats = world.setInterval(async () => {
    if (hub.size === 0) return;
    queue = await queueOf(options);
    const data: FleetBeat = { nowMs: world.nowMs(), queue };
    hub.broadcast({ name: "queue", data }, { latest: true });
  }, beatMs);
  // Asked for here, as a middleware of the route itself would not see what the stream is opened by.
  api.use(fleetStreamPath, access.require("orb:admin"));
  api.openapi(
    createRoute({
      method: "get",
      path: fleetStreamPath,
      summary: "The fleet and the queue as server-sent events (operators)",
      tags: ["operators"],
      security: anyOf("orb:admin"),
      description:
        "An event `fleet` with all devices, then `changes` with those that changed, and `queue` each second.",
      responses: {
        200: {
          description: "The stream.",
          content: eventStream,
        },
        ...problems({
          401: "A token is missing or not good.",
          403: "The token does not allow this.",
          503: "Too many streams, or the server stops.",
        }),
      },
    }),
    async () => {
      queue = await queueOf(options);
      const data: FleetEvent = {
        nowMs: world.nowMs(),
        rows: devices.list().map(rowOf),
        queue,
      };
      return hub.open({
        state: undefined,
        greet: (client) => void client.send({ name: "fleet", data }),
      }) as never;
    },
  );
  return () => {
    world.clearInterval(beats);
    hub.stop();
  };
}

function rowOf(summary: DeviceSummary): FleetRow {
  const { id, state, lastSeenAt, signupsPerMinute, signupsLeftToUpload, reason } = summary;
  const lastSeenMs = lastSeenAt === null ? null : Date.parse(lastSeenAt);
  return [id, state, lastSeenMs, signupsPerMinute, signupsLeftToUpload, reason];
}

async function queueOf({ store }: FleetStreamOptions): Promise<FleetQueue | null> {
  try {
    const { byState, oldestWaitMs } = await store.run({ type: "statistics" });
    return { byState, oldestWaitMs };
  } catch {
    // The page says that the queue is not known; why is said by `/readyz` and the log.
    return null;
  }
}
