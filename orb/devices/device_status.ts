/**
 * What a device reports of itself, and what it may be told to do, with the schemas that both are
 * checked by. Fields and units are those of worldcoin/orb-software's status (its "API v2"): a device
 * leaves out what it does not know. Fields that are not known here are left out of what is kept.
 *
 * @module
 */
import { z } from "../api/orb_api.ts";
import { OrbIdSchema } from "../signups/signup_resource.ts";
import { deviceStates } from "./device_state.ts";

const text = (max = 64) => z.string().max(max);
const celsius = z.number().min(-100).max(300);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const percent = z.number().min(0).max(100);

const temperatureSensors = [
  "cpu",
  "gpu",
  "front_unit",
  "front_pcb",
  "battery_pcb",
  "battery_cell",
  "backup_battery",
  "liquid_lens",
  "main_accelerometer",
  "main_mcu",
  "mainboard",
  "security_accelerometer",
  "security_mcu",
  "battery_pack",
  "ssd",
] as const;

const TemperatureSchema = z.object(
  Object.fromEntries(temperatureSensors.map((sensor) => [sensor, celsius.optional()])) as Record<
    typeof temperatureSensors[number],
    z.ZodOptional<typeof celsius>
  >,
).openapi({ description: "In degrees Celsius." });

const WifiSchema = z.object({
  ssid: text().optional(),
  bssid: text().optional(),
  frequency: z.number().int().optional().openapi({ description: "In MHz." }),
  quality: z.object({
    bit_rate: z.number().optional().openapi({ description: "In Mbit/s." }),
    link_quality: z.number().int().optional(),
    signal_level: z.number().int().optional().openapi({ description: "In dBm." }),
    noise_level: z.number().int().optional().openapi({ description: "In dBm." }),
  }).optional(),
});

const CellularSchema = z.object({
  imei: text(),
  iccid: text().optional(),
  rat: text().optional().openapi({ description: "Radio access technology, such as lte." }),
  operator: text().optional(),
  rsrp: z.number().optional(),
  rsrq: z.number().optional(),
  rssi: z.number().optional(),
  snr: z.number().optional(),
});

const NetworkInterfaceSchema = z.object({
  name: text(),
  tx_bytes: count,
  rx_bytes: count,
  tx_packets: count,
  rx_packets: count,
  tx_errors: count,
  rx_errors: count,
});

/** What became of a command, told with the next report. */
export const CommandResultSchema = z.object({
  id: z.uuid(),
  outcome: z.enum(["done", "failed"]),
  detail: text(256).optional(),
}).openapi("CommandResult");

/** A report. */
export const DeviceStatusSchema = z.object({
  orb_name: text().optional(),
  jabil_id: text().optional(),
  version: z.object({ current_release: text(128).optional() }).optional(),
  uptime_sec: z.number().min(0).optional(),
  timestamp: z.iso.datetime({ offset: true }).openapi({
    description: "When it was measured, by the device's clock.",
  }),
  battery: z.object({
    level: percent.optional().openapi({ description: "In percent." }),
    isCharging: z.boolean().optional(),
  }).optional(),
  temperature: TemperatureSchema.optional(),
  ssd: z.object({
    file_left: count.optional().openapi({ description: "Files that can still be made." }),
    space_left: count.optional().openapi({ description: "In bytes." }),
    signup_left_to_upload: count.optional(),
  }).optional(),
  wifi: WifiSchema.optional(),
  mac_address: text().optional(),
  cellular_status: CellularSchema.optional(),
  net_stats: z.object({ interfaces: z.array(NetworkInterfaceSchema).max(16) }).optional(),
  location_data: z.object({
    gps: z.object({
      latitude: z.number().min(-90).max(90).optional(),
      longitude: z.number().min(-180).max(180).optional(),
    }).optional(),
  }).optional(),
  update_progress: z.object({
    download_progress: percent,
    processed_progress: percent,
    install_progress: percent,
    total_progress: percent,
    error: text(256).optional(),
    state: text(),
  }).optional(),
  signup_state: text().optional().openapi({
    description: "What the signup part is doing, such as ready, in_progress or not_ready.",
  }),
  hardware_states: z.record(text(), z.object({ status: text(), message: text(256) })).refine(
    (states) => Object.keys(states).length <= 32,
    "at most 32 parts",
  ).optional(),
  status_interval_sec: z.number().min(.1).max(86_400).optional().openapi({
    description: "How often it reports; without it, every 30 s are expected.",
  }),
  command_results: z.array(CommandResultSchema).max(16).optional(),
}).openapi("DeviceStatus");

/** A report. */
export type DeviceStatus = z.infer<typeof DeviceStatusSchema>;

/** What a device may be told. */
export const CommandRequestSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("reset") }).openapi({ description: "Begin anew, as after a start." }),
  z.object({ type: z.literal("sign_up") }).openapi({ description: "Sign up now, once more." }),
  z.object({
    type: z.literal("set_interval"),
    signup_interval_sec: z.number().min(0).max(86_400).optional().openapi({
      description: "Between two signups; 0 for none.",
    }),
    status_interval_sec: z.number().min(1).max(3_600).optional().openapi({
      description: "Between two reports.",
    }),
  }).refine(
    (command) =>
      command.signup_interval_sec !== undefined || command.status_interval_sec !== undefined,
    "name at least one interval",
  ),
]).openapi("CommandRequest");

/** What a device may be told. */
export type CommandRequest = z.infer<typeof CommandRequestSchema>;

/** Where a command is: it waits, was given to the device, or came to an end. */
export const commandStates = ["pending", "delivered", "done", "failed", "expired"] as const;

/** A command with what became of it. */
export const CommandSchema = z.object({
  id: z.uuid(),
  command: CommandRequestSchema,
  state: z.enum(commandStates),
  detail: z.string().optional(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
}).openapi("Command");

/** A command with what became of it. */
export type Command = z.infer<typeof CommandSchema>;

/** A device in the list. */
export const DeviceSummarySchema = z.object({
  id: OrbIdSchema,
  state: z.enum(deviceStates).openapi({
    description:
      "silent: no report for thrice its interval. error: its last signup failed or a part of it did. duplicate, signing: its last signup. ok: none of these.",
  }),
  lastSeenAt: z.iso.datetime().nullable().openapi({
    description: "When it reported last; null if it never did.",
  }),
  signupsPerMinute: z.number().int().openapi({ description: "Decided in the last minute." }),
  signupsLeftToUpload: z.number().int().nullable().openapi({
    description: "What it still holds, by its last report.",
  }),
  reason: z.string().nullable().openapi({ description: "Why it is in this state." }),
}).openapi("DeviceSummary");

/** A device in the list. */
export type DeviceSummary = z.infer<typeof DeviceSummarySchema>;

/** A device with all that is known of it. */
export const DeviceSchema = DeviceSummarySchema.extend({
  // Not `nullable()`: of a named schema that says "both", which nothing is.
  status: z.union([DeviceStatusSchema, z.null()]).openapi({
    description: "Its last report; null if it never did.",
  }),
  commands: z.array(CommandSchema),
}).openapi("Device");

/** A device with all that is known of it. */
export type Device = z.infer<typeof DeviceSchema>;
