/**
 * Takes signups in: reads the image, keeps it, and puts the signup into the queue. What is
 * acknowledged is durable, image and record alike.
 *
 * @module
 */
import { hash } from "node:crypto";
import { context, propagation } from "@opentelemetry/api";
import { ProblemError } from "../../service/problem.ts";
import { readBody, readText, releasePieces } from "../../service/request_body.ts";
import type { World } from "../../service/world/world.ts";
import { hashToken } from "../hash_token.ts";
import type { BodyBudget } from "../overload/body_budget.ts";
import { type ImageStore, ImageStoreError } from "../stores/image_store.ts";
import type { ArrivalVerdict } from "../stores/record_commands.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { StoreError } from "../stores/store_error.ts";
import type { ImageMediaType, SignupRecord } from "./signup_record.ts";
import { imageMediaTypes, isSettled } from "./signup_record.ts";
import { UploadedSignupSchema } from "./signup_resource.ts";
import { checkImage, type ImageLimits } from "../uniqueness/image_header.ts";
import { type CheckedImage, ImageRefusedError } from "./uniqueness.ts";

/** Options of {@linkcode SignupIntake}. */
export interface SignupIntakeOptions {
  store: Pick<RecordStore, "run">;
  images: ImageStore;
  budget: BodyBudget;
  world: World;
  /** The most bytes of an image; beyond it 413. */
  maxBodyBytes: number;
  /** How long a body may take to arrive, in milliseconds; beyond it 408. */
  bodyTimeoutMs: number;
  /** Signups that may be under way; beyond it 503. */
  maxQueued: number;
  /** Limits of an image. @default those of {@linkcode checkImage} */
  imageLimits?: ImageLimits;
  /** What becomes of an image with its arrival; `undefined` for one that is left to a worker. @default every one is */
  verdictOf?: (image: CheckedImage) => ArrivalVerdict | undefined;
  /** Notified of what was decided with its arrival. */
  onDecided?: (record: SignupRecord) => void;
  /** Notified of what was queued, with its image. */
  onQueued?: (record: SignupRecord, image: Uint8Array) => void;
}

/** The most bytes of a body that names an upload. */
const maxReferenceBytes = 1_024;
/** How long a queue that was full is taken for full, in milliseconds: bodies are not read then. */
const fullForMs = 250;

/** What a device has sent. */
interface Arrived {
  bytes: Uint8Array;
  mediaType: ImageMediaType;
  uploadId?: string;
}

/** Takes signups in. */
export class SignupIntake {
  readonly #options: SignupIntakeOptions;
  #fullUntilMs = -Infinity;

  constructor(options: SignupIntakeOptions) {
    this.#options = options;
  }

  /**
   * Takes one in; the same again gives the record that there is.
   *
   * @throws {ProblemError} 400, 408, 409, 413, 415, 422, 503
   */
  async take(id: string, orbId: string | undefined, request: Request): Promise<SignupRecord> {
    this.shed();
    const mediaType = mediaTypeOf(request);
    if (mediaType === "application/json") return await this.#takeUploaded(id, orbId, request);
    const { budget, maxBodyBytes: limitBytes, bodyTimeoutMs: timeoutMs, world } = this.#options;
    using _ = budget.reserve(request, limitBytes);
    const bytes = await readBody(request, { limitBytes, timeoutMs, world });
    const record = await this.#queue(id, orbId, { bytes, mediaType });
    // Nobody keeps it then. Left to the collector, large images make it look at the heap again and again.
    if (record.attempts === 0 && isSettled(record.state)) releasePieces([bytes]);
    return record;
  }

  /** Refuses before work when the queue was full a moment ago. @throws {ProblemError} 503 */
  shed(): void {
    if (this.#options.world.monotonicMs() < this.#fullUntilMs) throw queueFull();
  }

  /** By an upload: its image may be gone once the signup is there, so the signup is looked for first. */
  async #takeUploaded(
    id: string,
    orbId: string | undefined,
    request: Request,
  ): Promise<SignupRecord> {
    const { store, images, maxBodyBytes, bodyTimeoutMs: timeoutMs, world } = this.#options;
    const text = await readText(request, { limitBytes: maxReferenceBytes, timeoutMs, world });
    const uploadId = uploadOf(text);
    const existing = await inWords(store.run({ type: "find", id }));
    if (existing !== null) {
      if (existing.uploadId === uploadId && existing.orbId === orbId) return existing;
      throw conflict(id);
    }
    const bytes = await inWords(images.readUpload(uploadId, maxBodyBytes));
    const mediaType = "application/octet-stream";
    const record = await this.#queue(id, orbId, { bytes, mediaType, uploadId });
    // Left behind it would be removed with those whose time is up.
    await images.removeUpload(uploadId).catch(() => {});
    return record;
  }

  async #queue(id: string, orbId: string | undefined, arrived: Arrived): Promise<SignupRecord> {
    const { store, images, maxQueued, imageLimits } = this.#options;
    const { bytes, uploadId } = arrived;
    const image = checked(arrived, imageLimits);
    const { mediaType } = image;
    const verdict = this.#options.verdictOf?.(image);
    const sha256 = hash("sha256", bytes, "hex");
    const traceparent = activeTraceparent();
    const put = await inWords(images.put(sha256, bytes));
    const reply = await inWords(store.run({
      type: "submit",
      maxQueued,
      ...(verdict && { verdict }),
      signup: {
        ...{ id, sha256, imageBytes: bytes.length, mediaType, token: hashToken(bytes) },
        ...(orbId !== undefined && { orbId }),
        ...(uploadId !== undefined && { uploadId }),
        ...(traceparent !== undefined && { traceparent }),
      },
    }));
    switch (reply.result) {
      case "full":
        this.#fullUntilMs = this.#options.world.monotonicMs() + fullForMs;
        throw queueFull();
      case "conflict":
        throw conflict(id);
      default:
        // Its image was there, and may have been removed as unused before there was a record.
        if (put === "present" && !await inWords(images.has(sha256))) {
          await inWords(images.put(sha256, bytes));
        }
        if (reply.result === "new") this.#notify(reply.record, bytes);
        return reply.record;
    }
  }

  #notify(record: SignupRecord, image: Uint8Array): void {
    const { onDecided, onQueued } = this.#options;
    if (isSettled(record.state)) onDecided?.(record);
    else onQueued?.(record, image);
  }
}

/** What was sent, by its first bytes and its header. @throws {ProblemError} 422 */
function checked({ bytes, mediaType }: Arrived, limits: ImageLimits | undefined): CheckedImage {
  if (bytes.length === 0) throw unprocessable("The image is empty: send at least one byte.");
  let image: CheckedImage;
  try {
    image = checkImage(bytes, limits);
  } catch (error) {
    if (!(error instanceof ImageRefusedError)) throw error;
    throw unprocessable(error.message);
  }
  if (mediaType !== "application/octet-stream" && mediaType !== image.mediaType) {
    throw unprocessable(
      `The image says that it is ${mediaType}, and by its first bytes it is not.`,
    );
  }
  return image;
}

function mediaTypeOf(request: Request): ImageMediaType | "application/json" {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type === "application/json") return type;
  const known = imageMediaTypes.find((one) => one === type);
  if (known !== undefined) return known;
  throw new ProblemError(415, {
    title: "Unsupported media type",
    detail: `A signup's body is ${
      imageMediaTypes.join(", ")
    }, or application/json that names an upload.`,
  }, { "accept-put": [...imageMediaTypes, "application/json"].join(", ") });
}

function uploadOf(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProblemError(400, { title: "Bad request", detail: "The body is not JSON." });
  }
  const parsed = UploadedSignupSchema.safeParse(value);
  if (parsed.success) return parsed.data.upload;
  throw unprocessable(`The body must be {"upload": "<id>"}, as POST /v2/uploads gave it.`);
}

/**
 * Waits for a store; its error becomes the problem that it stands for.
 *
 * @example
 * ```ts
 * const record = await inWords(store.run({ type: "find", id }));
 * ```
 */
export async function inWords<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    throw storeProblem(error);
  }
}

function storeProblem(error: unknown): unknown {
  if (error instanceof StoreError) {
    const isBusy = error.kind === "busy" || error.kind === "closing";
    return new ProblemError(503, {
      title: isBusy ? "Overloaded" : "Store unavailable",
      detail: isBusy
        ? `${error.message}. Try again later.`
        : "The records cannot be read or written at present; nothing was stored. Try again later.",
    }, { "retry-after": isBusy ? "1" : "5" });
  }
  if (!(error instanceof ImageStoreError)) return error;
  switch (error.kind) {
    case "missing":
      return new ProblemError(422, {
        title: "No such upload",
        detail:
          "There is no such upload, it has not arrived, or its time is up. Ask for another one.",
      });
    case "too-large":
      return new ProblemError(413, { title: "Image too large", detail: `${error.message}.` });
    case "full":
      return new ProblemError(503, {
        title: "Overloaded",
        detail: `${error.message}. Try again later.`,
      }, { "retry-after": "5" });
    default:
      return new ProblemError(503, {
        title: "Store unavailable",
        detail: "Images cannot be read or written at present; nothing was stored. Try again later.",
      }, { "retry-after": "5" });
  }
}

function activeTraceparent(): string | undefined {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}

function queueFull(): ProblemError {
  return new ProblemError(503, {
    title: "Queue full",
    detail: "Too many signups wait to be decided. Try again later, with the same id.",
  }, { "retry-after": "2" });
}

function conflict(id: string): ProblemError {
  return new ProblemError(409, {
    title: "Id in use",
    detail:
      `Signup ${id} stands for another image or another device. Take a new id for a new image.`,
  });
}

function unprocessable(detail: string): ProblemError {
  return new ProblemError(422, { title: "Unprocessable signup", detail });
}
