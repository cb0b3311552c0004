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
  parseHttpUrl,
  parseInteger,
  parseNumber,
} from "../service/command_line.ts";
import { tracedFetch } from "../service/http_client.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import type { LogFields } from "../service/log.ts";
import { version } from "../service/version.ts";
import { createHostMeter } from "./host_usage.ts";
import { openImages } from "./orb_images.ts";
import { type Pace, reportTelemetry, signUpImages, signupUrl } from "./virtual_orb.ts";

/** Options of {@linkcode startOrbClient}. */
export interface OrbClientOptions {
  /** Where telemetry is posted, in full. */
  telemetryUrl: string;
  /** Seconds between reports; 0 sends none. */
  telemetryInterval: number;
  /** The orb server, as `http://host:port`. */
  orbServer: string;
  /** Seconds between signups; 0 makes none. */
  orbSignupInterval: number;
  /** `same`, `fresh` or a folder of images. @default "same" */
  images?: string;
  /** Share of signups, 0 to 1, that repeat an earlier image. @default 0 */
  repeatRatio?: number;
  /** Virtual orbs in this process. @default 1 */
  orbs?: number;
  /** How long one call may take. @default 10_000 */
  requestTimeoutMs?: number;
}

/** Share by which a fleet's intervals vary, so that its orbs do not march in step. */
const fleetJitter = .2;

/**
 * Starts the loops of every orb.
 *
 * @throws {StartError} the folder of images cannot be used.
 */
export async function startOrbClient(
  options: OrbClientOptions,
  { log, telemetry, stopping, health }: ServiceContext,
): Promise<Service> {
  const { orbs = 1, telemetryInterval, orbSignupInterval, requestTimeoutMs = 10_000 } = options;
  log.info(`Virtual Orb Test Client ${version}`);
  const cut = new AbortController();
  const tools = {
    log,
    stopping,
    cut: cut.signal,
    requestTimeoutMs,
    tracer: telemetry.tracer,
    meter: telemetry.meter,
    fetch: tracedFetch("orb-client"),
  };
  const loops: Promise<void>[] = [];

  if (telemetryInterval > 0) {
    log.info("📡 Telemetry started...");
    const readHost = createHostMeter();
    const url = options.telemetryUrl;
    forEachOrb(
      telemetryInterval,
      (pace, fields) => reportTelemetry({ ...tools, url, readHost, pace, fields }),
    );
  } else {
    log.info("📡 Telemetry disabled");
  }

  if (orbSignupInterval > 0) {
    const nextImage = await openImages({
      from: options.images ?? "same",
      repeatRatio: options.repeatRatio ?? 0,
    });
    log.info("👁 Signup check started...");
    const url = signupUrl(options.orbServer);
    forEachOrb(
      orbSignupInterval,
      (pace, fields) => signUpImages({ ...tools, url, nextImage, pace, fields }),
    );
  } else {
    log.info("👁 Signup check disabled");
  }

  /** A single orb keeps the original's time: at once, then by the interval. A fleet spreads. */
  function forEachOrb(
    intervalS: number,
    start: (pace: Pace, fields: LogFields) => Promise<void>,
  ): void {
    const intervalMs = intervalS * 1_000;
    for (let orb = 1; orb <= orbs; orb++) {
      const delayMs = intervalMs * (orb - 1) / orbs;
      loops.push(
        start(
          { delayMs, intervalMs, jitter: orbs > 1 ? fleetJitter : 0 },
          orbs > 1 ? { orb } : {},
        ),
      );
    }
  }

  health.set("loops", "ok");
  const ended = Promise.all(loops).then(() => {});
  if (loops.length === 0) log.info("Nothing to do: both intervals are 0");
  return {
    finished: ended,
    async stop(deadline) {
      deadline.addEventListener("abort", () => cut.abort(), { once: true });
      await ended;
    },
  };
}

if (import.meta.main) {
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
        .argParser(parseNumber({ max: 86_400 })).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-server <url>", "the orb server, such as http://127.0.0.1:4242")
        .argParser(parseHttpUrl).makeOptionMandatory(),
    )
    .addOption(
      flag("--orb-signup-interval <seconds>", "time between signups; 0 makes none")
        .argParser(parseNumber({ max: 86_400 })).makeOptionMandatory(),
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
        .argParser(parseInteger({ min: 1 })).default(10_000),
    );
  await runService(command, startOrbClient);
}
