/**
 * All that v2's signups need, put together: intake, waiters, workers, and who tidies up.
 *
 * @module
 */
import type { ServiceContext } from "../../service/life_cycle.ts";
import type { OrbAccess, OrbApi } from "../api/orb_api.ts";
import type { BodyBudget } from "../overload/body_budget.ts";
import { TokenBuckets } from "../overload/token_buckets.ts";
import type { ImageStore } from "../stores/image_store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { arrivalVerdict } from "./image_check.ts";
import { logDecision } from "./decisions.ts";
import { keepSweeping } from "./image_sweeper.ts";
import { watchQueue } from "./queue_watch.ts";
import { RecentImages } from "./recent_images.ts";
import { SignupIntake } from "./signup_intake.ts";
import { SignupInstruments } from "./signup_instruments.ts";
import { addSignupRoutes } from "./signup_routes.ts";
import { SignupWaiters } from "./signup_waiters.ts";
import { SignupWorkers } from "./signup_workers.ts";
import type { Uniqueness } from "./uniqueness.ts";

/** Bytes of images that are kept in memory until they are decided. */
const recentImageBytes = 64 * 1024 ** 2;

/** Options of {@linkcode startSignups}. */
export interface SignupServiceOptions {
  store: RecordStore;
  images: ImageStore;
  uniqueness: Uniqueness;
  access: OrbAccess;
  budget: BodyBudget;
  /** True where no other server uses the stores. */
  isAlone: boolean;
  /** The most bytes of an image. */
  maxBodyBytes: number;
  /** How long a body may take to arrive, in milliseconds. */
  bodyTimeoutMs: number;
  /** Signups that may be under way; beyond it 503. */
  maxQueued: number;
  /** Signups decided at once; 0 decides none here. */
  workers: number;
  /** Signups a second that a device may make in the long run. */
  devicePerSecond: number;
  /** Signups that a device may make at once. */
  deviceBurst: number;
}

/** The signups at work. */
export interface SignupService {
  /** Adds the routes. */
  addRoutes(api: OrbApi): void;
  /** Rejects when something that must go on has ended. */
  readonly failed: Promise<never>;
  /** Stops working; what is under way is finished until `deadline` aborts, the rest given back. */
  stop(deadline: AbortSignal): Promise<void>;
}

/**
 * Starts to decide what is queued.
 *
 * @example
 * ```ts
 * const signups = startSignups({ store, images, uniqueness: openUniqueness(), … }, context);
 * signups.addRoutes(api);
 * await signups.stop(deadline);
 * ```
 */
export function startSignups(
  options: SignupServiceOptions,
  context: ServiceContext,
): SignupService {
  const { store, images, budget, maxBodyBytes, bodyTimeoutMs, maxQueued, isAlone } = options;
  const { log, world, telemetry: { tracer, meter } } = context;
  const ended = new AbortController();
  const { signal } = ended;
  const instruments = new SignupInstruments(meter);
  const recent = new RecentImages(options.workers === 0 ? 0 : recentImageBytes);
  const intake = new SignupIntake({
    ...{ store, images, budget, world, maxBodyBytes, bodyTimeoutMs, maxQueued },
    // Who decides nothing here leaves all to other servers.
    ...(options.workers > 0 && options.uniqueness.byBytesOnly && { verdictOf: arrivalVerdict }),
    onDecided(record) {
      instruments.decided(record);
      logDecision(log, record);
    },
    onQueued: ({ sha256 }, image) => recent.keep(sha256, image),
  });
  const waiters = new SignupWaiters({ store, world, stopping: context.stopping });
  const buckets = new TokenBuckets({
    name: "signups",
    perSecond: options.devicePerSecond,
    burst: options.deviceBurst,
    world,
  });
  const workers = options.workers === 0 ? undefined : new SignupWorkers({
    ...{ store, uniqueness: options.uniqueness, log, tracer, meter, instruments, world },
    images: {
      get: async (sha256, signal) => recent.take(sha256) ?? await images.get(sha256, signal),
    },
    name: `worker-${world.randomUuid().slice(0, 8)}`,
    concurrency: options.workers,
  });
  workers?.start();
  const background = Promise.all([
    keepSweeping({ store, images, isAlone, log, world, signal }),
    watchQueue({ store, meter, world, signal }),
  ]);
  const failed = background.then(() => new Promise<never>(() => {}));
  // Its owner waits for it; a test may not.
  failed.catch(() => {});
  return {
    failed,
    addRoutes(api) {
      const { access } = options;
      addSignupRoutes(api, {
        ...{ access, store, images, intake, waiters, buckets, budget },
        ...{ maxBodyBytes, bodyTimeoutMs, maxQueued },
      });
    },
    async stop(deadline) {
      ended.abort();
      await workers?.stop(deadline);
      await background;
    },
  };
}
