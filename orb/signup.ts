/**
 * `POST /api/signup`: one image, one token, once.
 *
 * Answers: 200 with the token; 409 when the image has signed up before, or is not base64; 400, 422,
 * 413, 408 and 503 as problem details. Nothing is answered 200 that is not durable.
 *
 * @module
 */
import { hash } from "node:crypto";
import type { Counter, Histogram, Meter, Tracer } from "@opentelemetry/api";
import type { Log } from "../service/log.ts";
import { ProblemError, problemResponse } from "../service/problem.ts";
import { readPieces, releasePieces, textOf } from "../service/request_body.ts";
import { reasonOf } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
import { hashToken } from "./hash_token.ts";
import { imageMark, readLargeSignup } from "./large_signup.ts";
import { BodyBudget } from "./overload/body_budget.ts";
import type { RecordStore } from "./stores/record_store.ts";
import { StoreError } from "./stores/store_error.ts";

/** Options of {@linkcode createSignup}. */
export interface SignupOptions {
  /** Where tokens are kept. */
  store: Pick<RecordStore, "run">;
  /** Gets a line a signup. */
  log: Log;
  /** Makes the spans. */
  tracer: Tracer;
  /** Makes the instruments. */
  meter: Meter;
  /** The most bytes of one body; beyond it 413. @default 10 MiB */
  maxBodyBytes?: number;
  /** How long one body may take to arrive, in milliseconds; beyond it 408. @default 30_000 */
  bodyTimeoutMs?: number;
  /** What all bodies under way may have; a signup beyond it is answered 503. @default 256 MiB */
  budget?: BodyBudget;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** What a client sends. */
export interface SignupRequest {
  /** The client's name for this signup, a ULID as a rule. */
  id: string;
  /** The image in standard base64, padded (RFC 4648, section 4). */
  imageBase64: string;
}

/** Longer ids are refused: they end up in logs and spans. A ULID has 26 characters. */
const maxIdLength = 128;

/**
 * Makes the handler.
 *
 * @example
 * ```ts
 * const signup = createSignup({ store, log, tracer, meter });
 * app.post("/api/signup", (c) => signup(c.req.raw));
 * ```
 */
export function createSignup(options: SignupOptions): (request: Request) => Promise<Response> {
  const signup = new Signup({
    maxBodyBytes: 10 * 1024 ** 2,
    bodyTimeoutMs: 30_000,
    budget: new BodyBudget(256 * 1024 ** 2),
    world: realWorld,
    ...options,
  });
  return (request) => signup.answer(request);
}

class Signup {
  readonly #options: Required<SignupOptions>;
  readonly #signups: Counter;
  readonly #imageSize: Histogram;

  constructor(options: Required<SignupOptions>) {
    this.#options = options;
    this.#signups = options.meter.createCounter("orb.signups", {
      description: "Signups by outcome.",
      unit: "{signup}",
    });
    this.#imageSize = options.meter.createHistogram("orb.image.size", {
      description: "Bytes of the images that signed up or tried to.",
      unit: "By",
      advice: { explicitBucketBoundaries: [1e3, 1e4, 5e4, 1e5, 2e5, 3e5, 5e5, 1e6, 2e6, 5e6, 1e7] },
    });
  }

  async answer(request: Request): Promise<Response> {
    const { maxBodyBytes, budget } = this.#options;
    try {
      using _ = budget.reserve(request, maxBodyBytes);
      const [outcome, response] = await this.#signUp(request);
      this.#signups.add(1, { outcome });
      return response;
    } catch (error) {
      if (error instanceof StoreError && (error.kind === "busy" || error.kind === "closing")) {
        this.#signups.add(1, { outcome: "busy" });
        return busy(`${error.message}.`);
      }
      this.#signups.add(1, { outcome: outcomeOf(error) });
      throw error;
    }
  }

  async #signUp(request: Request): Promise<[outcome: string, response: Response]> {
    const { store, log, maxBodyBytes: limitBytes, bodyTimeoutMs: timeoutMs, world } = this.#options;
    const pieces = await readPieces(request, { limitBytes, timeoutMs, world });
    const large = readLargeSignup(pieces);
    if (large) releasePieces(pieces);
    const { id, imageBase64 } = parseSignup(large?.envelope ?? textOf(pieces));
    log.info(`📩 New Signup request Id: ${id}`);

    let image: Uint8Array;
    try {
      // In memory that is shared: it is hashed before anything is awaited.
      image = large && imageBase64 === imageMark ? large.image : decodeBase64(imageBase64);
    } catch (error) {
      const reason = `Failed to decode Base64 image: ${reasonOf(error)}`;
      log.warn(reason);
      return ["not_base64", textResponse(409, reason)];
    }
    if (image.length === 0) {
      throw unprocessable("'image_base64' is empty: send an image of at least one byte.");
    }
    const { digest, token } = this.#hash(image);
    switch (await store.run({ type: "addToken", sha256: digest })) {
      case "new":
        return ["accepted", textResponse(200, token)];
      case "duplicate":
        log.info("Orb Image already exist");
        return ["duplicate", textResponse(409, "Orb image already exist")];
      case "failed":
        return ["failed", storeFailed()];
    }
  }

  #hash(image: Uint8Array): { digest: string; token: string } {
    this.#imageSize.record(image.length);
    const span = this.#options.tracer.startSpan("hash image", {
      attributes: { "orb.image.size": image.length },
    });
    // In hex, as a Buffer costs thrice as much.
    const digest = hash("sha256", image, "hex");
    const token = hashToken(image);
    span.setAttribute("orb.token", token).end();
    return { digest, token };
  }
}

/**
 * Reads a signup from a body.
 *
 * @throws {ProblemError} 400 when it is not JSON in UTF-8, 422 when a field is missing or wrong.
 */
export function parseSignup(body: string): SignupRequest {
  if (body === "") throw badRequest("The body is empty: send a JSON object.");
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw badRequest(`The body is not JSON: ${reasonOf(error)}.`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unprocessable("The body must be a JSON object with 'id' and 'image_base64'.");
  }
  const { id, image_base64: imageBase64 } = value as Record<string, unknown>;
  if (typeof id !== "string" || id === "" || id.length > maxIdLength) {
    throw unprocessable(`'id' must be a string of 1 to ${maxIdLength} characters, such as a ULID.`);
  }
  // What stands for bytes that are not UTF-8; in an image it is no base64, elsewhere nobody looks.
  if (id.includes("\ufffd")) throw badRequest("The body is not UTF-8: 'id' has other bytes in it.");
  if (typeof imageBase64 !== "string") {
    throw unprocessable("'image_base64' must be a string, the image in standard base64.");
  }
  return { id, imageBase64 };
}

/**
 * Decodes standard base64 with its padding (RFC 4648, section 4): no white space, no left-over bits.
 * In one pass, and with the reason: `service/base64.ts` writes the bytes out again to compare.
 *
 * @throws {SyntaxError} it is not that.
 */
export function decodeBase64(text: string): Uint8Array {
  const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  // `fromBase64` skips white space; then the text is longer than its bytes ask for.
  if (text.length !== Math.ceil(bytes.length / 3) * 4) {
    throw new SyntaxError("white space is not allowed");
  }
  return bytes;
}

/** The answers of the original: plain text, no newline. */
export function textResponse(status: number, text: string): Response {
  return new Response(text, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

function outcomeOf(error: unknown): string {
  if (!(error instanceof ProblemError)) return "failed";
  return error.status === 503 ? "busy" : "invalid";
}

function badRequest(detail: string): ProblemError {
  return new ProblemError(400, { title: "Bad request", detail });
}

function unprocessable(detail: string): ProblemError {
  return new ProblemError(422, { title: "Unprocessable signup", detail });
}

function busy(detail: string): Response {
  return problemResponse(503, { title: "Overloaded", detail: `${detail} Try again later.` }, {
    "retry-after": "1",
  });
}

/** For a new image while the disk refuses; its reason is in the log and in `/readyz?verbose`. */
export function storeFailed(): Response {
  return problemResponse(503, {
    title: "Store unavailable",
    detail: "The tokens cannot be written to disk at present; nothing was stored. Try again later.",
  }, { "retry-after": "5" });
}
