#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=OTEL_*,ORB_SERVER_*,HOME,USERPROFILE,XDG_DATA_HOME,LOCALAPPDATA --ignore-env
/**
 * The Virtual Orb's back-end: every image may sign up once and gets its token.
 *
 * Exports {@linkcode startOrbServer}; can also be used as a CLI:
 *
 * ```sh
 * deno task orb:server
 * deno task orb:server --orb-api-port 4243 --data-dir ./orb-data
 * curl -d '{"id":"1","image_base64":"AQIDBAU="}' -H 'content-type: application/json' http://127.0.0.1:4242/api/signup
 * ```
 *
 * @module
 */
import type { Hono } from "hono";
import { defaultDataFolder } from "../service/data_folder.ts";
import { serveStreamMux } from "../service/event_stream_mux.ts";
import { httpApp } from "../service/http_app.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { type HttpServer, listen } from "../service/http_server.ts";
import { runService, type ServiceContext, StartError } from "../service/life_cycle.ts";
import { problemNotFound, problemResponse } from "../service/problem.ts";
import { createOrbApi, type OrbAccess, type OrbEnv, serveOpenApi } from "./api/orb_api.ts";
import { openOrbAccess, type OrbAccessFlags } from "./auth/open_access.ts";
import { startFleet } from "./devices/fleet.ts";
import { fleetStreamPath } from "./devices/fleet_stream.ts";
import { withEvents } from "./notify/orb_events.ts";
import { startWebhook, type Webhook } from "./notify/webhook.ts";
import { BodyBudget } from "./overload/body_budget.ts";
import { orbServerCommand } from "./server_command.ts";
import { startSignups } from "./signups/signup_service.ts";
import { createSignup, storeFailed, textResponse } from "./signup.ts";
import type { QueueBusFlags } from "./stores/bus/open_queue_bus.ts";
import { openStores, type StoreOptions } from "./stores/open_stores.ts";
import type { RecordStore } from "./stores/record_store.ts";
import { inRecordWorker } from "./stores/sqlite/record_worker.ts";
import { openStoreClock } from "./stores/store_clock.ts";
import { StoreError } from "./stores/store_error.ts";
import {
  type OpenUniqueness,
  openUniqueness,
  type UniquenessMode,
} from "./uniqueness/uniqueness.ts";
import { inUniquenessWorker } from "./uniqueness/uniqueness_worker.ts";

/** Options of {@linkcode startOrbServer}. */
export interface OrbServerOptions extends StoreOptions, QueueBusFlags, OrbAccessFlags {
  /** Port to bind, 0 to 65535; 0 takes a free one. */
  orbApiPort: number;
  /** An incoming webhook, as Slack has them, that gets events of server and devices. @default none */
  slackWebhookUrl?: string;
  /** Address to bind. @default "127.0.0.1" */
  host?: string;
  /** Listen beyond loopback although nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Names the server is known by, besides localhost and `host`. @default none */
  allowedHost?: readonly string[];
  /** Origins whose pages may call. @default none */
  allowedOrigin?: readonly string[];
  /** The most bytes of one request's body; beyond it 413. @default 10 MiB */
  maxBody?: number;
  /** How long a body may take to arrive, in milliseconds, at least 1; beyond it 408. @default 30_000 */
  bodyTimeoutMs?: number;
  /** The most bytes of all bodies under way; beyond it 503. @default 256 MiB */
  maxBufferedBytes?: number;
  /** Requests under way at once, at least 1; beyond it 503. @default 1024 */
  maxRequests?: number;
  /** Signups that may wait for the disk, at least 1; beyond it 503. @default 512 */
  maxQueuedSignups?: number;
  /** Signups of v2 that may wait to be decided, at least 1; beyond it 503. @default 10_000 */
  maxPendingSignups?: number;
  /** Signups of v2 that are decided at once here; 0 leaves them to other servers. @default 8 */
  signupWorkers?: number;
  /** Signups a second that a device may make in the long run, above 0; beyond it 429. @default 10 */
  deviceRate?: number;
  /** Signups that a device may make at once, at least 1; beyond it 429. @default 50 */
  deviceBurst?: number;
  /** How images of v2 are compared: by their bytes, by how they look, or by their irises. @default "exact" */
  uniqueness?: UniquenessMode;
  /** Up to which distance images are the same: bits of 64, or a share for irises. @default 6, or 0.32 */
  uniquenessThreshold?: number;
  /** Threads that look into images, 1 to 64. @default 1 */
  uniquenessThreads?: number;
  /** An orb that says nothing of its interval is silent after so long without a report, in milliseconds. @default 90_000 */
  orbOfflineAfterMs?: number;
}

/**
 * Opens the tokens and listens.
 *
 * @throws {StartError} a store cannot be used, or the port cannot be bound.
 *
 * @example
 * ```ts
 * const server = await startOrbServer({ orbApiPort: 4242, dataDir: "./orb-data" }, context);
 * await server.stop(deadline);
 * ```
 */
export async function startOrbServer(
  options: OrbServerOptions,
  plainContext: ServiceContext,
): Promise<HttpServer> {
  const webhook = openWebhook(options, plainContext);
  const context = { ...plainContext, log: withEvents(plainContext.log, webhook) };
  const { log, health, world } = context;
  await using undo = new AsyncDisposableStack();
  const stores = undo.adopt(
    await openStores({ ...options, decides: options.signupWorkers !== 0 }, context),
    (one) => one.close(),
  );
  const { records: store, images, isAlone } = stores;
  const dataDir = options.dataDir ?? defaultDataFolder("orb-server");
  const clock = undo.adopt(await openStoreClock({ store, world }), (one) => one.close());
  // What several servers compare with the time goes by the store's.
  const shared = { ...context, world: clock.world };
  const auth = undo.use(
    await openOrbAccess(options, { dataDir, store, storeWorld: clock.world }, context),
  );
  const { access } = auth;
  const budget = new BodyBudget(options.maxBufferedBytes ?? 256 * 1024 ** 2);
  const uniqueness = undo.adopt(openImageComparison(options, context), (one) => one.close());
  const fleet = undo.adopt(
    await startFleet(
      { store, access, offlineAfterMs: options.orbOfflineAfterMs },
      shared,
    ),
    (one) => one.close(),
  );
  const signups = undo.adopt(
    startSignups({
      ...{ store, images, budget, uniqueness, access, isAlone },
      maxBodyBytes: options.maxBody ?? 10 * 1024 ** 2,
      bodyTimeoutMs: options.bodyTimeoutMs ?? 30_000,
      maxQueued: options.maxPendingSignups ?? 10_000,
      workers: options.signupWorkers ?? 8,
      devicePerSecond: options.deviceRate ?? 10,
      deviceBurst: options.deviceBurst ?? 50,
    }, shared),
    (one) => one.stop(AbortSignal.abort()),
  );
  const app = orbRoutes({ store, budget, access }, options, context);
  const api = createOrbApi();
  auth.addRoutes(api);
  signups.addRoutes(api);
  fleet.addRoutes(api);
  serveOpenApi(api, access);
  app.route("/", api);
  app.route("/", pageRoutes("orb", { routes: ["/", "/queue"] }));
  const server = await listen(app.fetch, {
    port: options.orbApiPort,
    portFlag: "--orb-api-port",
    log,
    ...(options.host !== undefined && { host: options.host }),
    authenticated: access.authenticated,
    ...(options.allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
    ...(options.maxRequests !== undefined && { maxRequestsInFlight: options.maxRequests }),
  });
  // The original's line, to the letter; what else there is to say has a line of its own.
  log.info(`🚀 Virtual Orb Test Server at http:/localhost:${server.port}`);
  log.info("The orb server is ready", {
    url: server.url,
    tokens: (await store.run({ type: "statistics" })).tokens,
  });
  health.set("tokens", "ok");
  undo.move();
  return {
    ...server,
    finished: Promise.race([store.died, signups.failed, uniqueness.died]),
    async stop(deadline) {
      log.info("The orb server stops");
      await server.stop(deadline);
      await signups.stop(deadline);
      fleet.close();
      clock.close();
      uniqueness.close();
      await stores.close();
      auth[Symbol.dispose]();
      await webhook?.stop(deadline);
    },
  };
}

function orbRoutes(
  { store, budget, access }: { store: RecordStore; budget: BodyBudget; access: OrbAccess },
  options: OrbServerOptions,
  context: ServiceContext,
): Hono<OrbEnv> {
  const { log, telemetry, world } = context;
  const app = httpApp<OrbEnv>({
    name: "orb-server",
    host: options.host,
    allowedHosts: options.allowedHost,
    allowedOrigins: options.allowedOrigin,
    untraced: [fleetStreamPath],
  }, context);
  serveStreamMux(app, { paths: [fleetStreamPath], stopping: context.stopping, world });
  const signup = createSignup({
    store,
    budget,
    log,
    tracer: telemetry.tracer,
    meter: telemetry.meter,
    world,
    ...(options.maxBody !== undefined && { maxBodyBytes: options.maxBody }),
    ...(options.bodyTimeoutMs !== undefined && { bodyTimeoutMs: options.bodyTimeoutMs }),
  });
  if (access.authenticated) {
    app.on("POST", "/api/signup", access.require("orb:signup"));
    app.on("POST", "/api/reset", access.require("orb:admin"));
  }
  app.post("/api/signup", (c) => {
    return isJson(c.req.header("content-type")) ? signup(c.req.raw) : notJson();
  });
  app.post("/api/reset", async () => {
    try {
      await store.run({ type: "reset" });
    } catch (error) {
      if (error instanceof StoreError) return storeFailed();
      throw error;
    }
    log.info("Every token was forgotten");
    return textResponse(200, "reset completed!");
  });
  // The original knows no route for another method: 404, not 405.
  app.all("/api/signup", problemNotFound);
  app.all("/api/reset", problemNotFound);
  return app;
}

function openImageComparison(
  { uniqueness: mode = "exact", uniquenessThreshold, uniquenessThreads }: OrbServerOptions,
  { log, world }: ServiceContext,
): OpenUniqueness {
  try {
    return openUniqueness({
      mode,
      world,
      ...(uniquenessThreshold !== undefined && { threshold: uniquenessThreshold }),
      ...(uniquenessThreads !== undefined && { threads: uniquenessThreads }),
      onSkipped: (count) =>
        log.warn(
          "Images that were accepted under another --uniqueness are compared by their bytes only",
          { count, uniqueness: mode },
        ),
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new StartError(`${error.message}. Give another one with --uniqueness-threshold.`);
  }
}

function openWebhook(
  { slackWebhookUrl: url }: OrbServerOptions,
  { log, telemetry: { meter }, world }: ServiceContext,
): Webhook | undefined {
  return url === undefined
    ? undefined
    : startWebhook({ ...{ url, sender: "orb-server" }, ...{ log, meter, world } });
}

/** `application/json`, whatever its parameters. */
function isJson(contentType: string | undefined): boolean {
  return contentType === "application/json" ||
    contentType?.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}

/** The original knows no route for another type: 404, not 415. */
function notJson(): Response {
  return problemResponse(404, {
    title: "Not found",
    detail: "POST /api/signup takes a body with 'content-type: application/json' only.",
  });
}

if (import.meta.main && !inRecordWorker && !inUniquenessWorker) {
  await runService(orbServerCommand(), startOrbServer);
}
