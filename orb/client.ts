#!/usr/bin/env -S deno run --allow-net --allow-read --allow-sys=cpus,systemMemoryInfo,statfs --allow-env=OTEL_*,ORB_CLIENT_*
/**
 * The Virtual Orb, or a fleet of them: reports how its host is and signs up images, for ever.
 *
 * Exports {@linkcode startOrbClient}; can also be used as a CLI:
 *
 * ```sh
 * deno task orb:client --orb-server http://127.0.0.1:4242 --orb-signup-interval 5 \
 *   --telemetry-url http://127.0.0.1:1234 --telemetry-interval 10
 * deno task orb:client … --orbs 20 --images fresh --repeat-ratio 0.1
 * ```
 *
 * @module
 */
import {
  commandLine,
  flag,
  parseDuration,
  parseHttpUrl,
  parseInteger,
  parseNumber,
} from "../service/command_line.ts";
import { tracedFetch } from "../service/http_client.ts";
import { aborted } from "../service/resilience.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import type { LogFields } from "../service/log.ts";
import { version } from "../service/version.ts";
import { createHostMeter } from "./host_usage.ts";
import { openImages } from "./orb_images.ts";
import {
  type OrbTools,
  type Pace,
  reportTelemetry,
  signUpImages,
  signupUrl,
} from "./virtual_orb.ts";

/** Options of {@linkcode startOrbClient}. */
export interface OrbClientOptions {
  /** Where telemetry is posted, in full. */
  telemetryUrl: string;
  /** Time between reports, in milliseconds; 0 sends none. */
  telemetryInterval: number;
  /** The orb server, as `http://host:port`. */
  orbServer: string;
  /** Time between signups, in milliseconds; 0 makes none. */
  orbSignupInterval: number;
  /** `same`, `fresh` or a folder of images. @default "same" */
  images?: string;
  /** Share of signups, 0 to 1, that repeat an earlier image. @default 0 */
  repeatRatio?: number;
  /** Virtual orbs in this process, 1 to 10,000. @default 1 */
  orbs?: number;
  /** How long one call may take, in milliseconds, at least 1. @default 10_000 */
  requestTimeoutMs?: number;
}

/** Share by which a fleet's intervals vary, so that its orbs do not march in step. */
const fleetJitter = .2;

/**
 * Starts the loops of every orb.
 *
 * @throws {StartError} the folder of images cannot be used.
 *
 * @example
 * ```ts
 * const client = await startOrbClient({
 *   telemetryUrl: "http://127.0.0.1:1234",
 *   telemetryInterval: 0,
 *   orbServer: "http://127.0.0.1:4242",
 *   orbSignupInterval: 5_000,
 *   orbs: 20,
 * }, context);
 * await client.stop(deadline);
 * ```
 */
export async function startOrbClient(
  options: OrbClientOptions,
  context: ServiceContext,
): Promise<Service> {
  const { log, health } = context;
  log.info(`Virtual Orb Test Client ${version}`);
  const cut = new AbortController();
  const tools: OrbTools = {
    log,
    stopping: context.stopping,
    cut: cut.signal,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    tracer: context.telemetry.tracer,
    meter: context.telemetry.meter,
    world: context.world,
    fetch: tracedFetch("orb-client", context),
  };
  const loops = [
    ...startReports(options, tools),
    ...await startSignups(options, tools),
  ];
  health.set("loops", "ok");
  const ended = Promise.all(loops).then(() => {});
  if (loops.length === 0) log.info("Nothing to do: both intervals are 0");
  return {
    finished: ended,
    async stop(deadline) {
      aborted(deadline).then(() => cut.abort());
      await ended;
    },
  };
}

function startReports(options: OrbClientOptions, tools: OrbTools): Promise<void>[] {
  const { orbs = 1, telemetryInterval, telemetryUrl: url } = options;
  if (telemetryInterval === 0) {
    tools.log.info("📡 Telemetry disabled");
    return [];
  }
  tools.log.info("📡 Telemetry started...");
  const readHost = createHostMeter();
  return forEachOrb(
    orbs,
    telemetryInterval,
    (pace, fields) => reportTelemetry({ ...tools, url, readHost, pace, fields }),
  );
}

async function startSignups(options: OrbClientOptions, tools: OrbTools): Promise<Promise<void>[]> {
  const { orbs = 1, orbSignupInterval } = options;
  if (orbSignupInterval === 0) {
    tools.log.info("👁 Signup check disabled");
    return [];
  }
  const nextImage = await openImages({
    from: options.images ?? "same",
    repeatRatio: options.repeatRatio ?? 0,
    ...(tools.world && { world: tools.world }),
  });
  tools.log.info("👁 Signup check started...");
  const url = signupUrl(options.orbServer);
  return forEachOrb(
    orbs,
    orbSignupInterval,
    (pace, fields) => signUpImages({ ...tools, url, nextImage, pace, fields }),
  );
}

/** A single orb keeps the original's time: at once, then by the interval. A fleet spreads. */
function forEachOrb(
  orbs: number,
  intervalMs: number,
  start: (pace: Pace, fields: LogFields) => Promise<void>,
): Promise<void>[] {
  return Array.from({ length: orbs }, (_, index) => {
    const pace = {
      delayMs: intervalMs * index / orbs,
      intervalMs,
      jitter: orbs > 1 ? fleetJitter : 0,
    };
    return start(pace, orbs > 1 ? { orb: index + 1 } : {});
  });
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "orb-client",
    summary: "A Virtual Orb, or a fleet of them: reports how its host is and signs up images.",
    examples: [
      [
        "orb-client --telemetry-url http://127.0.0.1:1234 --telemetry-interval 10 --orb-server http://127.0.0.1:4242 --orb-signup-interval 5",
        "one orb, as the original",
      ],
      [
        "orb-client … --telemetry-interval 0 --orbs 20 --images fresh --repeat-ratio 0.1",
        "a fleet that signs up only; one image in ten was used before",
      ],
    ],
  })
    .addOption(
      flag("--telemetry-url <url>", "where telemetry is posted")
        .argParser(parseHttpUrl).makeOptionMandatory(),
    )
    .addOption(
      flag("--telemetry-interval <seconds>", "time between reports; 0 sends none")
        .argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-server <url>", "the orb server, such as http://127.0.0.1:4242")
        .argParser(parseHttpUrl).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-signup-interval <seconds>", "time between signups; 0 makes none")
        .argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })).makeOptionMandatory(),
    )
    .addOption(
      flag(
        "--images <same|fresh|folder>",
        "which images sign up: one for ever, a new one each time, or a folder's",
      )
        .default("same"),
    )
    .addOption(
      flag("--repeat-ratio <share>", "share of signups, 0 to 1, that repeat an earlier image")
        .argParser(parseNumber({ max: 1 })).default(0),
    )
    .addOption(
      flag("--orbs <number>", "virtual orbs in this process, with jittered intervals")
        .argParser(parseInteger({ min: 1, max: 10_000 })).default(1),
    )
    .addOption(
      flag("--request-timeout-ms <ms>", "how long one call may take")
        .argParser(parseDuration({ unit: "ms", minMs: 1 })).default(10_000),
    );
  await runService(command, startOrbClient);
}

if (import.meta.main) await main();
