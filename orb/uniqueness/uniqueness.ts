/**
 * Opens what decides whether an image was there before, beyond its bytes, as `--uniqueness` says:
 *
 * - `exact`: images are the same when their SHA-256 is, which the record store decides in every mode.
 *   Nothing is decoded; what a PNG holds is inflated, to see that it is one.
 * - `perceptual`: images that look alike, by a 64-bit perceptual hash; the threshold is in bits.
 * - `iris`: photographs of the same iris, by its code; the threshold is a share of the code's bits.
 *
 * It holds the fingerprints in memory, filled from the records, and works in threads of its own.
 *
 * @module
 */
import { InvalidArgumentError } from "../../service/command_line.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { hasImageData } from "../signups/image_check.ts";
import type { Fingerprint } from "../signups/signup_record.ts";
import type { CheckedImage, NearImage, Uniqueness } from "../signups/uniqueness.ts";
import { DecodingThreads } from "./decoding_threads.ts";
import { fingerprintDistance, type NearMode } from "./fingerprint.ts";
import { ImageError, type ImageLimits, imageLimits } from "./image_header.ts";
import { startUniquenessThread, type UniquenessThread } from "./uniqueness_worker.ts";

/** How images can be compared. */
export const uniquenessModes = ["exact", "perceptual", "iris"] as const;

/** How images are compared. */
export type UniquenessMode = typeof uniquenessModes[number];

/**
 * Up to which distance two images are the same, unless an option says otherwise: bits of 64, and
 * share of the iris code's bits. Chosen by the curves of `bench/orb_uniqueness.ts`.
 */
export const defaultThresholds: Readonly<Record<NearMode, number>> = { perceptual: 6, iris: .32 };

/** The greatest threshold: beyond it images that have nothing in common are the same. */
export const maxThresholds: Readonly<Record<NearMode, number>> = { perceptual: 24, iris: .45 };

/** What a distance of 1 is, in the unit of the threshold. */
const distanceUnits: Readonly<Record<NearMode, number>> = { perceptual: 64, iris: 1 };

/** Options of {@linkcode openUniqueness}. */
export interface UniquenessOptions {
  /** How images are compared. @default "exact" */
  mode?: UniquenessMode;
  /** The greatest distance at which they are the same. @default {@linkcode defaultThresholds} */
  threshold?: number;
  /** The largest image that is decoded. @default {@linkcode imageLimits} */
  limits?: ImageLimits;
  /** Threads that look into images, 1 to 64; for `exact` they start with the first that is large. @default 1 */
  threads?: number;
  /** How long one image may take, in milliseconds, at least 1; then it is refused. @default 10_000 */
  maxDecodeMs?: number;
  /** Notified when fingerprints could not be used: another mode or version had made them. */
  onSkipped?: (count: number) => void;
  /** Starts a thread. @default {@linkcode startUniquenessThread} */
  startThread?: () => UniquenessThread;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** An open check. */
export interface OpenUniqueness extends Uniqueness {
  /** How images are compared. */
  readonly mode: UniquenessMode;
  /** The greatest distance at which they are the same, from 0 to 1; none for `exact`. */
  readonly threshold: number | undefined;
  /** Rejects when the index is lost with its thread: who decides by it has to end. */
  readonly died: Promise<never>;
  /** Ends the threads. */
  close(): void;
}

/**
 * Opens the check, empty.
 *
 * @throws {RangeError} an option is out of range.
 *
 * @example
 * ```ts
 * const uniqueness = openUniqueness({ mode: "iris" });
 * const fingerprint = await uniqueness.fingerprint(checkImage(png), signal);
 * await uniqueness.nearest(fingerprint!); // undefined: it is new
 * uniqueness.add([{ seq: 1, signupId: "01M7YWWF73WJAQYR7RMSPYEYZP", bytes: fingerprint! }]);
 * uniqueness.close();
 * ```
 */
export function openUniqueness(options: UniquenessOptions = {}): OpenUniqueness {
  const { mode = "exact" } = options;
  const all = withDefaults(options);
  if (mode === "exact") return new ByteUniqueness(all);
  return new ThreadedUniqueness({ ...all, mode, threshold: thresholdOf(mode, options) });
}

type AllOptions = Required<Omit<UniquenessOptions, "mode" | "threshold">>;
type NearOptions = AllOptions & { mode: NearMode; threshold: number };

function thresholdOf(mode: NearMode, options: UniquenessOptions): number {
  const threshold = options.threshold ?? defaultThresholds[mode];
  if (threshold >= 0 && threshold <= maxThresholds[mode]) return threshold;
  throw new RangeError(
    `Cannot compare images as the threshold of '${mode}' must be from 0 to ${
      maxThresholds[mode]
    }: current value is ${threshold}`,
  );
}

function withDefaults(options: UniquenessOptions): AllOptions {
  const all = {
    limits: imageLimits,
    threads: 1,
    maxDecodeMs: 10_000,
    onSkipped: () => {},
    startThread: startUniquenessThread,
    world: realWorld,
    ...options,
  };
  for (const [name, max] of [["threads", 64], ["maxDecodeMs", 3_600_000]] as const) {
    if (!Number.isSafeInteger(all[name]) || all[name] < 1 || all[name] > max) {
      throw new RangeError(
        `Cannot compare images as '${name}' must be an integer from 1 to ${max}: current value is ${
          all[name]
        }`,
      );
    }
  }
  return all;
}

/**
 * Reads `--uniqueness-threshold`, for `argParser()`. Which range it may have depends on the mode:
 * {@linkcode openUniqueness} checks it.
 *
 * @example
 * ```ts
 * flag("--uniqueness-threshold <number>", "…").argParser(parseThreshold);
 * ```
 */
export function parseThreshold(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 64) return value;
  throw new InvalidArgumentError(
    "Give bits of 64 for 'perceptual', or a share below 1 for 'iris'.",
  );
}

/** Compares by bytes only, which is the record store's: what is left is to see that a PNG is one. */
class ByteUniqueness implements OpenUniqueness {
  readonly mode = "exact";
  readonly byBytesOnly = true;
  readonly threshold = undefined;
  readonly died = new Promise<never>(() => {});
  readonly #limits: ImageLimits;
  readonly #threads: DecodingThreads;

  constructor(options: AllOptions) {
    this.#limits = options.limits;
    this.#threads = new DecodingThreads(options);
  }

  async fingerprint(image: CheckedImage, signal: AbortSignal): Promise<undefined> {
    if (!hasImageData(image)) return;
    await this.#threads.ask({ type: "examine", image: image.bytes, limits: this.#limits }, signal);
  }

  nearest(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  compare(): undefined {}

  add(): void {}

  clear(): void {}

  close(): void {
    this.#threads.close();
  }
}

class ThreadedUniqueness implements OpenUniqueness {
  readonly #options: NearOptions;
  readonly #index: UniquenessThread;
  readonly #decoders: DecodingThreads;
  readonly #died = Promise.withResolvers<never>();
  #closed = false;

  constructor(options: NearOptions) {
    this.#options = options;
    this.#index = options.startThread();
    this.#decoders = new DecodingThreads(options);
    this.#decoders.start();
    // Its owner waits for it; a test may not.
    this.#died.promise.catch(() => {});
    this.#tell({ type: "open", mode: options.mode });
  }

  get mode(): UniquenessMode {
    return this.#options.mode;
  }

  get threshold(): number {
    return this.#options.threshold / distanceUnits[this.#options.mode];
  }

  get died(): Promise<never> {
    return this.#died.promise;
  }

  async fingerprint(image: CheckedImage, signal: AbortSignal): Promise<Uint8Array> {
    if (image.mediaType === "application/octet-stream") {
      throw new ImageError(
        "format",
        `The image is neither PNG nor JPEG, which '--uniqueness ${this.#options.mode}' needs.`,
      );
    }
    const { mode, limits } = this.#options;
    const question = { type: "describe", image: image.bytes, mode, limits } as const;
    const { fingerprint } = await this.#decoders.ask(question, signal);
    return fingerprint!;
  }

  async nearest(fingerprint: Uint8Array): Promise<NearImage | undefined> {
    const { threshold, mode } = this.#options;
    const { nearest } = await this.#ask({ type: "nearest", fingerprint, threshold });
    return nearest && { ...nearest, distance: nearest.distance / distanceUnits[mode] };
  }

  compare(a: Uint8Array, b: Uint8Array): number | undefined {
    const { threshold, mode } = this.#options;
    const distance = fingerprintDistance(a, b, mode);
    return distance <= threshold ? distance / distanceUnits[mode] : undefined;
  }

  add(fingerprints: readonly Fingerprint[]): void {
    const images = fingerprints.map(({ signupId, bytes }) => ({ signupId, bytes }));
    this.#tell({ type: "add", images });
  }

  clear(): void {
    this.#tell({ type: "clear" });
  }

  close(): void {
    this.#closed = true;
    this.#index.end();
    this.#decoders.close();
  }

  /** For what needs no answer: that it failed is said by `died`. */
  #tell(question: Parameters<UniquenessThread["ask"]>[0]): void {
    this.#ask(question).catch(() => {});
  }

  async #ask(question: Parameters<UniquenessThread["ask"]>[0]) {
    try {
      const answer = await this.#index.ask(question);
      if (answer.skipped) this.#options.onSkipped(answer.skipped);
      return answer;
    } catch (error) {
      if (!this.#closed) {
        this.#died.reject(
          new Error(`The index of the uniqueness check is lost: ${reasonOf(error)}`, {
            cause: error,
          }),
        );
      }
      throw error;
    }
  }
}
