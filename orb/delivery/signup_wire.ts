/**
 * One call that hands in a signup, by the first or the second version of the API. No redirect is
 * followed, and the token must have its form.
 *
 * @module
 */
import { timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { type OrbCall, type PlainAnswer, readStart } from "../api/orb_client.ts";
import {
  callFailed,
  type CallResult,
  failureOf,
  imageOf,
  type OutgoingSignup,
} from "./call_result.ts";
import { SignupWireV2 } from "./signup_wire_v2.ts";

export type { CallResult, LaterResult, OutgoingSignup } from "./call_result.ts";

/** Which version of the server's API is spoken. */
export type OrbApiVersion = "v1" | "v2";

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
  const { server, api, idOf = (orb) => `orb-${orb}`, fetch, world = realWorld } = options;
  const { cut, requestTimeoutMs } = options;
  /** One call of an orb, with its time. */
  const callOf = (orb: number): OrbCall => async (url, init) => {
    using deadline = timeoutSignal(requestTimeoutMs, { signal: cut, world });
    const { status, headers, body } = await fetch(orb, url, {
      ...init,
      // A signup that is redirected becomes a GET of something else, whose 200 says nothing.
      redirect: "manual",
      signal: deadline.signal,
    });
    // Within its time, too.
    return { status, headers, text: await readStart(body) };
  };
  return api === "v1"
    ? { send: (signup) => sendV1(signup, signupUrl(server), callOf(signup.orb), world) }
    : new SignupWireV2({ server: baseUrl(server), idOf, callOf, world });
}

async function sendV1(
  signup: OutgoingSignup,
  url: string,
  call: OrbCall,
  world: Pick<World, "nowMs">,
): Promise<CallResult> {
  let answer: PlainAnswer;
  try {
    const image = await imageOf(signup);
    answer = await call(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: signup.id, image_base64: image.toBase64() }),
    });
  } catch (error) {
    return callFailed(error);
  }
  const { status, text } = answer;
  if (status === 409) return { kind: "duplicate" };
  if (status !== 200) return failureOf(answer, world);
  return tokenForm.test(text)
    ? { kind: "accepted", token: text }
    : { kind: "unusable", status, reason: "the answer is no token" };
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
