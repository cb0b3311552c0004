/**
 * Signups by the second version of the API: the image under the signup's id, which is the
 * idempotency key, then the decision by long polls. By the generated client.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import {
  asBytes,
  createOrbClient,
  fetchedBy,
  type OrbCall,
  type OrbClient,
  type OrbSchemas,
  UnusableAnswerError,
} from "../api/orb_client.ts";
import {
  callFailed,
  type CallResult,
  detailOf,
  failureOf,
  imageOf,
  type OutgoingSignup,
} from "./call_result.ts";

/** Options of {@linkcode SignupWireV2}. */
export interface SignupWireV2Options {
  /** The server's base. */
  server: string;
  /** An orb's id by its number. */
  idOf: (orb: number) => string;
  /** Makes the calls of an orb. */
  callOf: (orb: number) => OrbCall;
  /** Whose time it is. */
  world: Pick<World, "nowMs">;
}

/** How long the server is asked to wait for a decision, in seconds; less than a call may take. */
const decisionWaitS = 5;
/** A long poll (RFC 7240, section 4.3): the server answers when it has decided, or after the wait. */
const prefer = `wait=${decisionWaitS}`;

type StatusResource = OrbSchemas["Signup"];

/** What was answered: the status resource, or why there is none. */
interface Answer {
  readonly resource?: StatusResource;
  readonly response: Response;
  readonly text: string;
}

/** Hands in signups. */
export class SignupWireV2 {
  readonly #options: SignupWireV2Options;
  readonly #client: OrbClient;

  constructor(options: SignupWireV2Options) {
    this.#options = options;
    this.#client = createOrbClient({ server: options.server });
  }

  /** One call, and perhaps another for the decision. */
  async send(signup: OutgoingSignup, handedIn = false): Promise<CallResult> {
    try {
      let answer = handedIn ? await this.#askDecision(signup) : undefined;
      // The server has lost it, or was put back to an earlier state: it is handed in again.
      if (answer?.response.status === 404) answer = undefined;
      if (answer === undefined) {
        answer = await this.#handIn(signup);
        if (answer.resource !== undefined && resultOf(answer.resource) === undefined) {
          answer = await this.#askDecision(signup).catch(() => answer!);
          handedIn = true;
        }
      }
      return this.#resultOf(answer, handedIn);
    } catch (error) {
      if (error instanceof UnusableAnswerError) return noSignup(error.status);
      const failure = callFailed(error);
      return failure.kind === "later" && handedIn ? { ...failure, handedIn: true } : failure;
    }
  }

  async #handIn({ id, orb, readImage }: OutgoingSignup): Promise<Answer> {
    const { idOf, callOf } = this.#options;
    const image = await imageOf({ readImage });
    return answerOf(
      await this.#client.PUT("/v2/signups/{id}", {
        params: { path: { id }, header: { "orb-id": idOf(orb), prefer } },
        headers: { "content-type": mediaTypeOf(image), accept: "application/json" },
        body: image,
        bodySerializer: asBytes,
        fetch: fetchedBy(callOf(orb)),
      }),
    );
  }

  async #askDecision({ id, orb }: OutgoingSignup): Promise<Answer> {
    return answerOf(
      await this.#client.GET("/v2/signups/{id}", {
        params: { path: { id }, header: { prefer } },
        headers: { accept: "application/json" },
        fetch: fetchedBy(this.#options.callOf(orb)),
      }),
    );
  }

  #resultOf({ resource, response, text }: Answer, handedIn: boolean): CallResult {
    const { status, headers } = response;
    if (resource !== undefined) {
      return resultOf(resource) ?? {
        kind: "later",
        status,
        reason: `not decided yet: ${resource.state}`,
        handedIn: true,
      };
    }
    if (response.ok) return noSignup(status);
    const failed = { status, headers, text };
    if (status === 409) {
      return { kind: "refused", status, reason: detailOf(failed) ?? "another image has this id" };
    }
    const failure = failureOf(failed, this.#options.world);
    return failure.kind === "later" && handedIn ? { ...failure, handedIn: true } : failure;
  }
}

function noSignup(status: number): CallResult {
  return { kind: "unusable", status, reason: "the answer is no signup" };
}

function answerOf(
  { data, error, response }: { data?: unknown; error?: unknown; response: Response },
): Answer {
  const text = typeof error === "string" ? error : JSON.stringify(error ?? null);
  return { response, text, ...(isStatusResource(data) && { resource: data }) };
}

/** The server may be another version than the client was generated for, or none at all. */
function isStatusResource(value: unknown): value is StatusResource {
  const { state } = (value ?? {}) as Partial<StatusResource>;
  return typeof state === "string" && state in states;
}

const states: Readonly<Record<StatusResource["state"], true>> = {
  queued: true,
  processing: true,
  accepted: true,
  duplicate: true,
  rejected: true,
  dead_letter: true,
};

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

/** By the first bytes, as a folder may hold anything. */
function mediaTypeOf(image: Uint8Array): string {
  const [first, second, third, fourth] = image;
  if (first === 0x89 && second === 0x50 && third === 0x4e && fourth === 0x47) return "image/png";
  if (first === 0xff && second === 0xd8 && third === 0xff) return "image/jpeg";
  return "application/octet-stream";
}
