/**
 * Images in a bucket of S3, or of anything that speaks its API: `images/<sha256>`. Uploads go
 * straight to the bucket, by presigned addresses.
 *
 * The store checks what arrives: each image is sent with its SHA-256 (`x-amz-content-sha256`), and
 * refused by S3 if it has another one. Several servers may share a bucket.
 *
 * Library: `aws4fetch`, which signs and does nothing else; the calls are plain HTTP.
 *
 * @module
 */
import { hash } from "node:crypto";
import { AwsClient } from "aws4fetch";
import { backoffDelayMs, pause, reasonOf, timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import {
  type ImageStore,
  ImageStoreError,
  type StoredImage,
  type UploadTicket,
} from "./image_store.ts";

/** Options of {@linkcode openImageBucket}. */
export interface ImageBucketOptions {
  /** Where S3 is spoken, such as `https://s3.eu-central-1.amazonaws.com`; the bucket is a path below. */
  endpoint: string;
  /** The bucket; made if need be. */
  bucket: string;
  /** The region that requests are signed for. @default "us-east-1" */
  region?: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** How long one call may take, in milliseconds. @default 10_000 */
  timeoutMs?: number;
  /** Attempts of one call while the store is busy or cannot be reached, at least 1. @default 3 */
  maxAttempts?: number;
  /** How long an upload may take, from its ticket to its signup, in milliseconds. @default 900_000 */
  uploadTimeoutMs?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/**
 * Makes the bucket unless it is there, and proves that it can be written.
 *
 * @throws {ImageStoreError} `unavailable`: it cannot be reached, or refuses.
 *
 * @example
 * ```ts
 * const images = await openImageBucket({
 *   endpoint: "http://127.0.0.1:9000",
 *   bucket: "orb",
 *   accessKeyId,
 *   secretAccessKey,
 * });
 * await images.put(hash("sha256", bytes, "hex"), bytes);
 * ```
 */
export async function openImageBucket(options: ImageBucketOptions): Promise<ImageStore> {
  const bucket = new ImageBucket({
    region: "us-east-1",
    timeoutMs: 10_000,
    maxAttempts: 3,
    uploadTimeoutMs: 900_000,
    world: realWorld,
    ...options,
  });
  await bucket.open();
  return bucket;
}

/** What a call is about, and what it sends. */
interface Call {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  /** Below the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The hash that the body must have. @default the one that it has */
  readonly sha256?: string;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Answers that come of the moment. */
const busyStatuses = new Set([429, 500, 502, 503, 504]);
const emptySha256 = hash("sha256", new Uint8Array(), "hex");
/** The most keys of one list. */
const keysPerList = 1_000;

class ImageBucket implements ImageStore {
  readonly system = "s3";
  readonly #options: Required<ImageBucketOptions>;
  readonly #aws: AwsClient;
  readonly #base: string;

  constructor(options: Required<ImageBucketOptions>) {
    const { accessKeyId, secretAccessKey, region, endpoint, bucket } = options;
    this.#options = options;
    // It tries again by itself, but knows nothing of our time-outs.
    this.#aws = new AwsClient({ accessKeyId, secretAccessKey, region, service: "s3", retries: 0 });
    this.#base = `${endpoint.replace(/\/+$/, "")}/${encodeURIComponent(bucket)}`;
  }

  async open(): Promise<void> {
    const { status } = await this.#call({ method: "HEAD", key: "" });
    if (status === 404) {
      const made = await this.#call({ method: "PUT", key: "" });
      // Another server may have made it in this moment.
      if (made.status !== 200 && made.status !== 409) throw refused("make the bucket", made);
    } else if (status !== 200) {
      throw new ImageStoreError("unavailable", `The bucket cannot be reached: status ${status}`);
    }
    await this.probe();
  }

  async put(
    sha256: string,
    bytes: Uint8Array,
    signal?: AbortSignal,
  ): Promise<"new" | "present"> {
    const key = imageKey(sha256);
    const answer = await this.#call({ method: "PUT", key, body: bytes, sha256, signal });
    if (answer.status === 400) {
      throw new ImageStoreError("corrupt", `What was to be kept as ${sha256} has another hash`);
    }
    if (answer.status !== 200) throw refused("keep an image", answer);
    // It is written anew each time, which also sets its time anew.
    return "new";
  }

  async get(sha256: string, signal?: AbortSignal): Promise<Uint8Array> {
    const answer = await this.#call({ method: "GET", key: imageKey(sha256), signal });
    if (answer.status === 404) throw new ImageStoreError("missing", `There is no image ${sha256}`);
    if (answer.status !== 200) throw refused("give an image", answer);
    if (hash("sha256", answer.body, "hex") !== sha256) {
      throw new ImageStoreError("corrupt", `Image ${sha256} in the bucket has other bytes`);
    }
    return answer.body;
  }

  async has(sha256: string, signal?: AbortSignal): Promise<boolean> {
    return await this.#head(imageKey(sha256), signal) !== undefined;
  }

  async *list(signal?: AbortSignal): AsyncIterable<StoredImage> {
    for await (const object of this.#objects("images/", signal)) {
      const sha256 = object.key.slice("images/".length);
      if (/^[0-9a-f]{64}$/.test(sha256)) yield { sha256, bytes: object.bytes, putMs: object.putMs };
    }
  }

  /**
   * There is no way to set it aside here, so a moment is left between the question and the removal;
   * who removes goes by a time of an hour or more.
   */
  async remove(sha256: string, isUnused: () => Promise<boolean>): Promise<boolean> {
    const key = imageKey(sha256);
    if (await this.#head(key) === undefined || !await isUnused()) return false;
    await this.#delete(key);
    return true;
  }

  async openUpload(
    { mediaType }: { maxBytes: number; mediaType: string },
  ): Promise<UploadTicket> {
    const { world, uploadTimeoutMs } = this.#options;
    const id = world.randomBytes(16).toHex();
    const url = new URL(`${this.#base}/${uploadKey(id)}`);
    url.searchParams.set("X-Amz-Expires", String(Math.floor(uploadTimeoutMs / 1_000)));
    const headers = { "content-type": mediaType };
    const request = await this.#aws.sign(url.href, {
      method: "PUT",
      headers,
      aws: { signQuery: true, allHeaders: true },
    });
    return { id, url: request.url, headers, expiresMs: world.nowMs() + uploadTimeoutMs };
  }

  async readUpload(id: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const key = uploadKey(id);
    const object = await this.#head(key, signal);
    const isOver = object !== undefined &&
      object.putMs + this.#options.uploadTimeoutMs < this.#options.world.nowMs();
    if (object === undefined || isOver) {
      throw new ImageStoreError("missing", "There is no such upload, or its time is up");
    }
    // A presigned address says nothing of the size.
    if (object.bytes > maxBytes) {
      throw new ImageStoreError("too-large", `Upload ${id} has more than ${maxBytes} bytes`);
    }
    const answer = await this.#call({ method: "GET", key, signal });
    if (answer.status !== 200) throw refused("give an upload", answer);
    return answer.body;
  }

  async removeUpload(id: string): Promise<void> {
    await this.#delete(uploadKey(id));
  }

  async removeExpiredUploads(signal?: AbortSignal): Promise<number> {
    const { world, uploadTimeoutMs } = this.#options;
    let removed = 0;
    for await (const { key, putMs } of this.#objects("uploads/", signal)) {
      if (putMs + uploadTimeoutMs >= world.nowMs()) continue;
      await this.#delete(key);
      removed++;
    }
    return removed;
  }

  async probe(signal?: AbortSignal): Promise<void> {
    const answer = await this.#call({
      method: "PUT",
      key: "probe",
      body: new Uint8Array([1]),
      signal,
    });
    if (answer.status !== 200) throw refused("be written", answer);
  }

  async #delete(key: string): Promise<void> {
    const answer = await this.#call({ method: "DELETE", key });
    if (answer.status !== 204 && answer.status !== 200 && answer.status !== 404) {
      throw refused("remove an object", answer);
    }
  }

  async #head(
    key: string,
    signal?: AbortSignal,
  ): Promise<{ bytes: number; putMs: number } | undefined> {
    const { status, headers } = await this.#call({ method: "HEAD", key, signal });
    if (status === 404) return undefined;
    if (status !== 200) {
      throw new ImageStoreError("unavailable", `The bucket answers with status ${status}`);
    }
    return {
      bytes: Number(headers.get("content-length")),
      putMs: Date.parse(headers.get("last-modified") ?? ""),
    };
  }

  /** Page by page (ListObjectsV2). */
  async *#objects(
    prefix: string,
    signal?: AbortSignal,
  ): AsyncIterable<{ key: string; bytes: number; putMs: number }> {
    let token: string | undefined;
    do {
      const answer = await this.#call({
        method: "GET",
        key: "",
        query: {
          ...{ "list-type": "2", prefix, "max-keys": String(keysPerList) },
          ...(token !== undefined && { "continuation-token": token }),
        },
        signal,
      });
      if (answer.status !== 200) throw refused("list its objects", answer);
      const text = new TextDecoder().decode(answer.body);
      for (const [, object = ""] of text.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
        yield {
          key: elementOf(object, "Key") ?? "",
          bytes: Number(elementOf(object, "Size")),
          putMs: Date.parse(elementOf(object, "LastModified") ?? ""),
        };
      }
      token = elementOf(text, "NextContinuationToken");
    } while (token !== undefined);
  }

  /** One call, again after a while where it failed by the moment: every one of them may be repeated. */
  async #call(call: Call): Promise<Answer> {
    const { maxAttempts, world } = this.#options;
    for (let attempt = 1;; attempt++) {
      const isLast = attempt >= maxAttempts;
      try {
        const answer = await this.#callOnce(call);
        if (isLast || !busyStatuses.has(answer.status)) return answer;
      } catch (error) {
        if (call.signal?.aborted) throw call.signal.reason;
        if (isLast) {
          throw new ImageStoreError(
            "unavailable",
            `The bucket cannot be reached: ${reasonOf(error)}`,
            error,
          );
        }
      }
      const delayMs = backoffDelayMs(attempt, { baseDelayMs: 100, maxDelayMs: 2_000 }, world);
      await pause(delayMs, { signal: call.signal, world });
    }
  }

  async #callOnce({ method, key, query = {}, body, sha256, signal }: Call): Promise<Answer> {
    const { timeoutMs, world } = this.#options;
    const url = new URL(key === "" ? this.#base : `${this.#base}/${key}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    using time = timeoutSignal(timeoutMs, { signal, world });
    const signed = await this.#aws.sign(url.href, {
      method,
      headers: {
        "x-amz-content-sha256": sha256 ??
          (body === undefined ? emptySha256 : hash("sha256", body, "hex")),
      },
    });
    const response = await fetch(signed.url, {
      method,
      headers: signed.headers,
      ...(body !== undefined && { body: body as Uint8Array<ArrayBuffer> }),
      redirect: "error",
      signal: time.signal,
    });
    return {
      status: response.status,
      headers: response.headers,
      body: await response.bytes(),
    };
  }
}

function imageKey(sha256: string): string {
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new ImageStoreError("missing", "What is asked for is no SHA-256 in hex");
  }
  return `images/${sha256}`;
}

function uploadKey(id: string): string {
  if (!/^[0-9a-f]{32}$/.test(id)) {
    throw new ImageStoreError("missing", "What is asked for is no upload");
  }
  return `uploads/${id}`;
}

/** Of an answer in XML; our own keys and S3's tokens need only these few escapes undone. */
function elementOf(xml: string, name: string): string | undefined {
  const [, text] = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml) ?? [];
  return text?.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

function refused(what: string, { status, body }: Answer): ImageStoreError {
  const code = elementOf(new TextDecoder().decode(body.subarray(0, 4_096)), "Code");
  return new ImageStoreError(
    "unavailable",
    `The bucket does not ${what}: status ${status}${code === undefined ? "" : `, ${code}`}`,
  );
}
