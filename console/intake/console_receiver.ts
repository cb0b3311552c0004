/**
 * The console's OTLP receiver: what comes in goes into its store.
 *
 * @module
 */
import { otlpReceiver, type OtlpReceiverOptions } from "../../service/otlp/otlp_receiver.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { takeRequest } from "./intake.ts";

/** Options of {@linkcode consoleReceiver}; the store's limits are the receiver's. */
export interface ConsoleReceiverOptions
  extends Omit<OtlpReceiverOptions, "name" | "take" | "maxBodyBytes" | "maxDecompressedBytes"> {
  /** Where accepted telemetry goes. */
  store: TelemetryStore;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Makes the receiver's routes. */
export function consoleReceiver(
  { store, world = realWorld, ...options }: ConsoleReceiverOptions,
): ReturnType<typeof otlpReceiver> {
  const { maxBodyBytes, maxDecompressedBytes } = store.limits;
  return otlpReceiver({
    ...options,
    world,
    name: "console",
    maxBodyBytes,
    maxDecompressedBytes,
    take: (signal, message, unreadable) =>
      takeRequest(store, signal, message, world.nowMs(), unreadable),
  });
}
