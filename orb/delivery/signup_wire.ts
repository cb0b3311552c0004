/**
 * One call that hands in a signup, by the first or the second version of the API, and what exactly
 * its answer means. Only what the contract calls a success is one: no redirect is followed, and the
 * token must have its form.
 *
 * @module
 */
import { reasonOf, timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** Which version of the server's API is spoken. */
export type OrbApiVersion = "v1" | "v2";

/** A signup that is to be handed in. */
export interface OutgoingSignup {
  /** Its ULID: in v2 the idempotency key. */
  readonly id: string;
  /** The device, by the number it has in its fleet, from 1. */
  readonly orb: number;
  /** Reads the image, the same each time: it is not held while a signup waits. */
  readonly readImage: () => Promise<Uint8Array>;
}

/**
 * What became of one call.
 *
 * - `accepted`, `duplicate`, `rejected`: the server has decided.
 * - `refused`: it will never take this signup as it is.
 * - `later`: it cannot now; `afterMs` is what it asked to wait.
 * - `no_image`: the image cannot be read, so no call was made.
 * - `unusable`: the answer is not that of an orb server that lets us in (a redirect, a login page,
 *   no access). Nothing was decided.
 */
export type CallResult =
  | { readonly kind: "accepted"; readonly token?: string }
  | { readonly kind: "duplicate" }
  | { readonly kind: "rejected"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string; readonly status: number }
  | { readonly kind: "no_image"; readonly reason: string }
  | LaterResult
  | { readonly kind: "unusable"; readonly reason: string; readonly status: number };

/** The server cannot now. */
export interface LaterResult {
  readonly kind: "later";
  readonly reason: string;
  /** Absent when there was no answer. */
  readonly status?: number;
  /** What `Retry-After` asks for, in milliseconds. */
  readonly afterMs?: number;
  /** The server has the signup, durably; only its decision is missing. */
  readonly handedIn?: true;
  /** No call was made: the client held it back by itself. */
  readonly notCalled?: true;
}

/** Options of {@linkcode createSignupWire}. */
export interface SignupWireOptions {
  /** The orb server: a base, or for v1 the whole address; see {@linkcode signupUrl}. */
  server: string;
  /** Which API is spoken. */
  api: OrbApiVersion;
  /** Makes the calls; adds the token where the server wants one. */
  fetch: OrbFetch;
  /** An orb's id by its number, which v2 is told. @default `orb-1` and so on */
  idOf?: (orb: number) => string;
  /** How long one call may take, in milliseconds. */
  requestTimeoutMs: number;
  /** Cuts the calls under way. */
  cut: AbortSignal;
  /** Whose time it is. @default the real world */
  world?: World;
}

/** `fetch` on behalf of one orb. */
export type OrbFetch = (orb: number, url: string, init: RequestInit) => Promise<Response>;

/** Hands in signups, one call each. It never rejects for what a server or the network does. */
export interface SignupWire {
  /** @param handedIn the server is known to have it: v2 asks for its decision only */
  send(signup: OutgoingSignup, handedIn?: boolean): Promise<CallResult>;
}

/** The most bytes of an answer that are read: a token has 16, a status resource some hundred. */
const maxAnswerBytes = 16_384;
/** How long the server is asked to wait for a decision, in seconds; less than a call may take. */
const decisionWaitS = 5;
/** SipHash-1-3 in lower-case hex, without leading zeros. */
const tokenForm = /^(0|[1-9a-f][0-9a-f]{0,15})$/;

/**
 * Makes the calls of a version.
 *
 * @example
 * ```ts
 * const wire = createSignupWire({ server, api: "v1", fetch, requestTimeoutMs: 10_000, cut });
 * const { kind } = await wire.send({ id: ulid(), orb: 1, readImage });
 * ```
 */
export function createSignupWire(options: SignupWireOptions): SignupWire {
  const call = caller(options);
  return options.api === "v1"
    ? { send: (signup) => sendV1(signup, signupUrl(options.server), call) }
    : { send: (signup, handedIn) => sendV2(signup, options, call, handedIn) };
}

interface Answer {
  status: number;
  text: string;
  headers: Headers;
  afterMs?: number;
}

type Call = (orb: number, url: string, init: RequestInit) => Promise<Answer>;

function caller(options: SignupWireOptions): Call {
  const { world = realWorld, cut, requestTimeoutMs, fetch } = options;
  return async function callOnce(orb, url, init) {
    using deadline = timeoutSignal(requestTimeoutMs, { signal: cut, world });
    const response = await fetch(orb, url, {
      ...init,
      // A signup that is redirected becomes a GET of something else, whose 200 says nothing.
      redirect: "manual",
      signal: deadline.signal,
    });
    const text = await readStart(response);
    const afterMs = retryAfterMs(response.headers.get("retry-after"), world);
    return {
      status: response.status,
      text,
      headers: response.headers,
      ...(afterMs !== undefined && { afterMs }),
    };
  };
}

async function sendV1(signup: OutgoingSignup, url: string, call: Call): Promise<CallResult> {
  let answer: Answer;
  try {
    const image = await imageOf(signup);
    answer = await call(signup.orb, url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: signup.id, image_base64: image.toBase64() }),
    });
  } catch (error) {
    return callFailed(error);
  }
  const { status, text } = answer;
  if (status === 409) return { kind: "duplicate" };
  if (status !== 200) return failureOf(answer);
  return tokenForm.test(text)
    ? { kind: "accepted", token: text }
    : { kind: "unusable", status, reason: "the answer is no token" };
}

async function sendV2(
  signup: OutgoingSignup,
  { server, idOf = (orb) => `orb-${orb}` }: SignupWireOptions,
  call: Call,
  handedIn = false,
): Promise<CallResult> {
  const url = `${baseUrl(server)}/v2/signups/${signup.id}`;
  try {
    let answer: Answer | undefined;
    if (handedIn) {
      answer = await askDecision(signup, url, call);
      // The server has lost it, or was put back to an earlier state: it is handed in again.
      if (answer.status === 404) answer = undefined;
    }
    if (answer === undefined) {
      answer = await handIn(signup, url, idOf(signup.orb), call);
      if (resourceOf(answer) !== undefined && resultOf(resourceOf(answer)!) === undefined) {
        answer = await askDecision(signup, url, call).catch(() => answer!);
        handedIn = true;
      }
    }
    return resultOfV2(answer, handedIn);
  } catch (error) {
    const failure = callFailed(error);
    return failure.kind === "later" && handedIn ? { ...failure, handedIn: true } : failure;
  }
}

class ImageError extends Error {}

async function imageOf(signup: OutgoingSignup): Promise<Uint8Array> {
  try {
    return await signup.readImage();
  } catch (error) {
    throw new ImageError(reasonOf(error));
  }
}

function callFailed(error: unknown): CallResult {
  return { kind: error instanceof ImageError ? "no_image" : "later", reason: reasonOf(error) };
}

async function handIn(
  signup: OutgoingSignup,
  url: string,
  orbId: string,
  call: Call,
): Promise<Answer> {
  const image = await imageOf(signup);
  return await call(signup.orb, url, {
    method: "PUT",
    headers: {
      "content-type": mediaTypeOf(image),
      "accept": "application/json",
      "orb-id": orbId,
      ...waitForDecision,
    },
    body: image as BodyInit,
  });
}

/** A long poll (RFC 7240, section 4.3): the server answers when it has decided, or after the wait. */
const waitForDecision = { prefer: `wait=${decisionWaitS}` };

function askDecision(signup: OutgoingSignup, url: string, call: Call): Promise<Answer> {
  return call(signup.orb, url, {
    headers: { accept: "application/json", ...waitForDecision },
  });
}

function resultOfV2(answer: Answer, handedIn: boolean): CallResult {
  const resource = resourceOf(answer);
  if (resource === undefined) {
    const { status } = answer;
    if (status === 409) {
      return { kind: "refused", status, reason: detailOf(answer) ?? "another image has this id" };
    }
    if (status >= 200 && status < 300) {
      return { kind: "unusable", status, reason: "the answer is no signup" };
    }
    const failure = failureOf(answer);
    return failure.kind === "later" && handedIn ? { ...failure, handedIn: true } : failure;
  }
  return resultOf(resource) ?? {
    kind: "later",
    status: answer.status,
    reason: `not decided yet: ${resource.state}`,
    handedIn: true,
  };
}

interface StatusResource {
  state: string;
  token?: unknown;
  reason?: unknown;
}

const states = ["queued", "processing", "accepted", "duplicate", "rejected", "dead_letter"];

/** The status resource of a 2xx answer, if it is one. */
function resourceOf({ status, text }: Answer): StatusResource | undefined {
  if (status < 200 || status > 299) return undefined;
  try {
    const value = JSON.parse(text) as Partial<StatusResource> | null;
    return typeof value?.state === "string" && states.includes(value.state)
      ? value as StatusResource
      : undefined;
  } catch {
    return undefined;
  }
}

/** What is decided, or `undefined` while it is not. */
function resultOf({ state, token, reason }: StatusResource): CallResult | undefined {
  switch (state) {
    case "accepted":
      return { kind: "accepted", ...(typeof token === "string" && { token }) };
    case "duplicate":
      return { kind: "duplicate" };
    case "rejected":
      return { kind: "rejected", reason: String(reason ?? "no reason given") };
    case "dead_letter":
      return { kind: "rejected", reason: `put aside for an operator: ${reason ?? "no reason"}` };
    default:
      return undefined;
  }
}

/** Statuses that say: this signup, as it is, never. */
const never = new Set([400, 413, 415, 422]);
/** Statuses that say: not now. */
const notNow = new Set([408, 425, 429, 500, 502, 503, 504]);

function failureOf(answer: Answer): Exclude<CallResult, { kind: "accepted" | "duplicate" }> {
  const { status, afterMs } = answer;
  const detail = detailOf(answer);
  if (notNow.has(status)) {
    return {
      kind: "later",
      status,
      reason: detail ?? `status ${status}`,
      ...(afterMs !== undefined && { afterMs }),
    };
  }
  if (never.has(status)) return { kind: "refused", status, reason: detail ?? `status ${status}` };
  const isRedirect = status >= 300 && status < 400;
  return {
    kind: "unusable",
    status,
    reason: isRedirect
      ? `redirected to ${answer.headers.get("location") ?? "nowhere"}, which is not followed`
      : detail ?? `status ${status}`,
  };
}

/** What a problem document (RFC 9457) says of itself. */
function detailOf({ headers, text }: Answer): string | undefined {
  if (!headers.get("content-type")?.startsWith("application/problem+json")) return undefined;
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === "string" ? detail.slice(0, 300) : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 9110, section 10.2.3: seconds, or a date. */
function retryAfterMs(header: string | null, world: Pick<World, "nowMs">): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - world.nowMs());
}

async function readStart(response: Response): Promise<string> {
  let text = "";
  let length = 0;
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    length += chunk.length;
    // Leaving the loop drops the rest, and the connection with it.
    if (length > maxAnswerBytes) break;
  }
  return text.slice(0, maxAnswerBytes);
}

/** By the first bytes, as a folder may hold anything. */
function mediaTypeOf(image: Uint8Array): string {
  const [first, second, third, fourth] = image;
  if (first === 0x89 && second === 0x50 && third === 0x4e && fourth === 0x47) return "image/png";
  if (first === 0xff && second === 0xd8 && third === 0xff) return "image/jpeg";
  return "application/octet-stream";
}

/**
 * The first version's address on a server. `http://host:4242` and `http://host:4242/orb` are bases;
 * an address that ends with `/api/signup` is taken as it is.
 *
 * @example
 * ```ts
 * signupUrl("http://127.0.0.1:4242"); // "http://127.0.0.1:4242/api/signup"
 * ```
 */
export function signupUrl(server: string): string {
  return `${baseUrl(server)}/api/signup`;
}

/**
 * A server's base, without a slash at its end, whichever of its addresses is given.
 *
 * @example
 * ```ts
 * baseUrl("http://127.0.0.1:4242/orb/api/signup"); // "http://127.0.0.1:4242/orb"
 * ```
 */
export function baseUrl(server: string): string {
  const url = new URL(server);
  return `${url.origin}${url.pathname.replace(/\/+$/, "").replace(/\/api\/signup$/, "")}`;
}
