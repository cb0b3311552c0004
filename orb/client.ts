#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=2,--heap-growing-percent=20 --allow-net --allow-read --allow-write --allow-sys=cpus,systemMemoryInfo,statfs --allow-env=OTEL_*,ORB_CLIENT_*
/**
 * The Virtual Orb, or a fleet of them: reports how its host is and signs up images, for ever.
 *
 * Exports {@linkcode startOrbClient}; can also be used as a CLI:
 *
 * ```sh
 * deno task orb:client --orb-server http://127.0.0.1:4242 --orb-signup-interval 5 \
 *   --telemetry-url http://127.0.0.1:1234 --telemetry-interval 10
 * deno task orb:client … --orbs 20 --images fresh --repeat-ratio 0.1
 * deno task orb:client … --api v2 --spool-dir ./spool    # nothing is lost while the server is away
 * ```
 *
 * @module
 */
import { tracedFetch } from "../service/http_client.ts";
import { limitedLog } from "../service/limited_log.ts";
import { aborted } from "../service/resilience.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import type { LogFields } from "../service/log.ts";
import type { World } from "../service/world/world.ts";
import { version } from "../service/version.ts";
import { orbClientCommand } from "./client_command.ts";
import { openOrbTokens, type OrbIdentities } from "./auth/orb_tokens.ts";
import { type BreakerOptions, createCallPolicy } from "./delivery/call_policy.ts";
import { Delivery, type RetryOptions } from "./delivery/delivery.ts";
import { baseUrl, createSignupWire, type OrbApiVersion } from "./delivery/signup_wire.ts";
import type { Spool } from "./delivery/spool.ts";
import { LoopControl } from "./devices/loop_control.ts";
import { startStatusReports } from "./devices/status_reports.ts";
import { createHostMeter } from "./host_usage.ts";
import { openImages } from "./orb_images.ts";
import {
  type OrbTools,
  type Pace,
  reportTelemetry,
  sendSpooled,
  signUpImages,
  type SignupLoopOptions,
  spoolImages,
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
  /** Which of the server's APIs signups go by. @default "v1" */
  api?: OrbApiVersion;
  /**
   * A folder for signups that wait for the server: they survive the client and are sent in order.
   *
   * @default none: a signup that cannot be handed in is given up when its attempts are spent
   */
  spoolDir?: string;
  /** The most bytes of images in the spool; beyond it signups are not taken. @default 256 MiB */
  spoolMaxBytes?: number;
  /** Calls that a signup gets without a spool, at least 1. @default 5 */
  maxAttempts?: number;
  /** Signups of the whole fleet under way at once, at least 1. @default 32 */
  maxCalls?: number;
  /** The OpenID Connect issuer that the orbs get tokens of. @default none */
  oauthIssuer?: string;
  /** What the tokens are for, where the issuer has several APIs. @default the issuer's own */
  oauthAudience?: string;
  /** Who asks for one token for all orbs; goes with `oauthClientSecretFile`. @default each orb asks, by its key */
  oauthClientId?: string;
  /** The file of that client's secret. @default none */
  oauthClientSecretFile?: string;
  /**
   * Folder of the orbs' Ed25519 keys, made where they are missing; `public.jwks.json` in it is for
   * who has to know the orbs. Without an issuer the orb server gives tokens for a signed challenge.
   *
   * @default none: the orbs have no tokens
   */
  deviceKeys?: string;
  /** How signups are tried again. @default the defaults of {@linkcode RetryOptions} */
  retry?: RetryOptions;
  /**
   * Time between reports of each orb's status to a server of v2, in milliseconds; 0 sends none.
   *
   * @default 30_000 with `api` "v2", else 0
   */
  statusInterval?: number;
  /** When the server is left alone. @default the defaults of {@linkcode BreakerOptions} */
  breaker?: BreakerOptions;
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
  const requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
  const fetch = tracedFetch("orb-client", context);
  const client: Client = {
    options,
    identities: await openOrbTokens({
      ...options,
      ...{ orbs: options.orbs ?? 1, server: baseUrl(options.orbServer) },
      ...{ fetch, requestTimeoutMs, world: context.world },
    }),
    tools: {
      log,
      stopping: context.stopping,
      tracer: context.telemetry.tracer,
      meter: context.telemetry.meter,
      world: context.world,
    },
    calls: { cut: cut.signal, requestTimeoutMs, fetch },
    signupControls: signupControls(options),
  };
  const spool = await openOwnSpool(options, context);
  const loops = [
    ...startReports(client),
    ...startStatus(client, spool),
    ...await startSignups(client, spool),
  ];
  health.set("loops", "ok");
  const ended = Promise.all(loops).then(() => spool?.close());
  if (loops.length === 0) log.info("Nothing to do: both intervals are 0");
  return {
    finished: ended,
    async stop(deadline) {
      aborted(deadline).then(() => cut.abort());
      await ended;
    },
  };
}

/** What the loops are made of. */
interface Client {
  options: OrbClientOptions;
  identities: OrbIdentities;
  tools: OrbTools & { world: World };
  calls: { cut: AbortSignal; requestTimeoutMs: number; fetch: typeof fetch };
  /** When each orb signs up, where its server may say so; empty if no orb asks. */
  signupControls: readonly LoopControl[];
}

/** How often orbs report their status. */
function statusIntervalOf({ statusInterval, api }: OrbClientOptions): number {
  return statusInterval ?? (api === "v2" ? 30_000 : 0);
}

function signupControls(options: OrbClientOptions): LoopControl[] {
  const { orbs = 1, orbSignupInterval } = options;
  if (statusIntervalOf(options) === 0 || orbSignupInterval === 0) return [];
  return Array.from({ length: orbs }, () => new LoopControl(orbSignupInterval));
}

async function openOwnSpool(
  options: OrbClientOptions,
  context: ServiceContext,
): Promise<Spool | undefined> {
  if (options.spoolDir === undefined) return undefined;
  // Only who has one needs SQLite.
  const { openSpool } = await import("./delivery/spool.ts");
  return await openSpool({
    folder: options.spoolDir,
    maxBytes: options.spoolMaxBytes ?? 256 * 1024 ** 2,
    meter: context.telemetry.meter,
    world: context.world,
  });
}

function startReports({ options, tools, calls }: Client): Promise<void>[] {
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
    (_, pace, fields) => reportTelemetry({ ...tools, ...calls, url, readHost, pace, fields }),
  );
}

function startStatus(client: Client, spool: Spool | undefined): Promise<void>[] {
  const { options, identities, tools, calls } = client;
  const { orbs = 1 } = options;
  const intervalMs = statusIntervalOf(options);
  if (intervalMs === 0) return [];
  tools.log.info("Status reports started...");
  return startStatusReports({
    ...{ ...tools, ...calls, ...identities },
    ...{ server: baseUrl(options.orbServer), orbs, intervalMs },
    jitter: orbs > 1 ? fleetJitter : 0,
    signupsOf: (orb) => client.signupControls[orb - 1],
    leftToUpload: (orb) => spool?.countOf(orb) ?? 0,
  });
}

async function startSignups(client: Client, spool: Spool | undefined): Promise<Promise<void>[]> {
  const { options, tools } = client;
  const { orbs = 1, orbSignupInterval } = options;
  const common = { ...tools, delivery: createDelivery(client), warn: limitedLog(tools.log, tools) };
  const nextImage = orbSignupInterval > 0 && await openImages({
    from: options.images ?? "same",
    repeatRatio: options.repeatRatio ?? 0,
    signal: tools.stopping,
    world: tools.world,
  });
  const sending = spool === undefined ? [] : startSending(spool, common, orbs);
  if (!nextImage) {
    tools.log.info("👁 Signup check disabled");
    return sending;
  }
  tools.log.info("👁 Signup check started...");
  const taking = forEachOrb(orbs, orbSignupInterval, (orb, pace, fields) => {
    const control = client.signupControls[orb - 1];
    const loop = {
      ...common,
      orb,
      nextImage,
      pace: { ...pace, ...(control && { control }) },
      fields,
    };
    return spool === undefined ? signUpImages(loop) : spoolImages({ ...loop, spool });
  });
  return [...sending, ...taking];
}

/** A loop for each orb of the fleet, and for those of an earlier, larger one that left signups. */
function startSending(
  spool: Spool,
  common: Omit<SignupLoopOptions, "orb">,
  orbs: number,
): Promise<void>[] {
  const { signups, bytes } = spool.size;
  if (signups > 0) {
    common.log.info("Signups of an earlier life wait in the spool", { signups, bytes });
  }
  const numbers = new Set([
    ...Array.from({ length: orbs }, (_, index) => index + 1),
    ...spool.orbs,
  ]);
  return [...numbers].map((orb) =>
    sendSpooled({ ...common, orb, spool, ...(numbers.size > 1 && { fields: { orb } }) })
  );
}

function createDelivery({ options, identities, tools, calls }: Client): Delivery {
  const { orbs = 1, maxCalls = 32, maxAttempts = 5, spoolDir, retry, breaker } = options;
  const { cut, requestTimeoutMs } = calls;
  return new Delivery({
    ...tools,
    wire: createSignupWire({
      server: options.orbServer,
      api: options.api ?? "v1",
      ...identities,
      ...{ cut, requestTimeoutMs, world: tools.world },
    }),
    // Each orb has one call under way at most.
    policy: createCallPolicy({
      ...tools,
      maxCalls,
      maxWaiting: 2 * orbs,
      ...(breaker && { breaker }),
    }),
    maxAttempts: spoolDir === undefined ? maxAttempts : Infinity,
    ...(retry && { retry }),
  });
}

/** A single orb keeps the original's time: at once, then by the interval. A fleet spreads. */
function forEachOrb(
  orbs: number,
  intervalMs: number,
  start: (orb: number, pace: Pace, fields: LogFields) => Promise<void>,
): Promise<void>[] {
  return Array.from({ length: orbs }, (_, index) => {
    const pace = {
      delayMs: intervalMs * index / orbs,
      intervalMs,
      jitter: orbs > 1 ? fleetJitter : 0,
    };
    return start(index + 1, pace, orbs > 1 ? { orb: index + 1 } : {});
  });
}

if (import.meta.main) await runService(orbClientCommand(), startOrbClient);
