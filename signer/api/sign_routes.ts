/**
 * The REST API's routes, without what serves them.
 *
 * @module
 */
import { context } from "@opentelemetry/api";
import { type Context, Hono } from "hono";
import { createHash } from "node:crypto";
import type { Caller } from "../../service/bearer_auth.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { matchesEtag } from "../../service/etag.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { readBody } from "../../service/request_body.ts";
import type { KeyDirectory, Verdict } from "../keys/key_directory.ts";
import { fromBase64, fromDer, toBase64 } from "../keys/signing.ts";
import { SignError, toSignError } from "../work/sign_error.ts";
import { parseMessage } from "./sign_message.ts";
import { signProblem } from "./sign_problem.ts";
import { type PublicAnswer, publicAnswer } from "./sign_socket.ts";
import { SignSockets, type SignSocketsOptions } from "./sign_sockets.ts";

/** Options of {@linkcode signRoutes}: those of the sockets, and these. */
export interface SignRoutesOptions extends SignSocketsOptions {
  /** The keys to verify with. */
  directory: KeyDirectory;
  /** Messages in one batch. @default 1_000 */
  maxBatchItems?: number;
  /** The largest body, in bytes. @default 8_388_608 */
  maxBodyBytes?: number;
  /** How long caches may keep the key set, in seconds. @default 60 */
  jwksMaxAgeSeconds?: number;
}

/** The routes and the sockets behind one of them. */
export interface SignRoutes {
  app: Hono;
  /** Sockets open now. */
  readonly sockets: number;
  /** Answers what is under way on the sockets, until `deadline` aborts, and closes them. */
  closeSockets(deadline: AbortSignal): Promise<void>;
}

type Variables = { Variables: { caller: Caller } };
type RouteContext = Context<Variables>;

const notStored = { "cache-control": "no-store" };

/**
 * Makes the routes.
 *
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const routes = signRoutes({ requester, directory, maxSockets: 100 }, context);
 * app.route("/", routes.app);
 * await routes.closeSockets(deadline);
 * ```
 */
export function signRoutes(
  options: SignRoutesOptions,
  context: Pick<ServiceContext, "log" | "telemetry" | "world">,
): SignRoutes {
  const { maxBatchItems, maxBodyBytes, auth } = options;
  checkPositiveIntegers("make routes", { maxBatchItems, maxBodyBytes });
  const handlers = new SignHandlers(options);
  const sockets = new SignSockets(options, context);
  const app = new Hono<Variables>();
  if (auth) app.on("POST", ["/sign", "/sign/batch", "/verify"], auth.require("signer:sign"));
  app.post("/sign", (c) => handlers.sign(c));
  app.post("/sign/batch", (c) => handlers.signBatch(c));
  app.post("/verify", (c) => handlers.verify(c));
  app.get("/sign/info", (c) => handlers.info(c));
  app.get("/.well-known/jwks.json", (c) => handlers.jwks(c));
  app.get("/sign/ws", (c) => sockets.upgrade(c));
  return {
    app: app as unknown as Hono,
    get sockets() {
      return sockets.size;
    },
    closeSockets: (deadline) => sockets.close(deadline),
  };
}

/** What the routes answer, one method each. */
class SignHandlers {
  readonly #options: SignRoutesOptions;

  constructor(options: SignRoutesOptions) {
    this.#options = options;
  }

  async sign(c: RouteContext): Promise<Response> {
    try {
      return c.json(await this.#signOne(c, await this.#readJson(c)), 200, notStored);
    } catch (error) {
      return signProblem(toKnown(error));
    }
  }

  async signBatch(c: RouteContext): Promise<Response> {
    const { maxBatchItems = 1_000 } = this.#options;
    let items: unknown;
    try {
      ({ items } = await this.#readJson(c) as { items?: unknown });
      if (!Array.isArray(items) || items.length > maxBatchItems) {
        const detail = `'items' must be a list of at most ${maxBatchItems} messages.`;
        throw new SignError("invalid", detail);
      }
    } catch (error) {
      return signProblem(toKnown(error));
    }
    const results = await Promise.all((items as unknown[]).map(async (item) => {
      try {
        return { ok: await this.#signOne(c, item) };
      } catch (error) {
        return { error: toSignError(error) };
      }
    }));
    return c.json({ results }, 200, notStored);
  }

  async verify(c: RouteContext): Promise<Response> {
    try {
      const json = await this.#readJson(c);
      const { message, format } = parseMessage(json);
      const { signature, keyId } = json as { signature?: unknown; keyId?: unknown };
      if (typeof signature !== "string") {
        throw new SignError("invalid", "'signature' must be base64.");
      }
      const given = fromBase64(signature);
      if (!given) throw new SignError("invalid", "'signature' is not strictly base64.");
      // What is no DER is no signature, whatever it would be as 64 bytes.
      const bytes = format === "der" ? fromDer(given) ?? new Uint8Array() : given;
      if (keyId !== null && typeof keyId !== "string") {
        throw new SignError("invalid", "'keyId' must be a text, or null for base64.");
      }
      const verdict = keyId === null
        ? verifyBase64(message, bytes)
        : this.#options.directory.verify(message, bytes, keyId);
      return c.json(verdict, 200, notStored);
    } catch (error) {
      return signProblem(toKnown(error));
    }
  }

  info(c: RouteContext): Response {
    const { auth, requester } = this.#options;
    const { maxMessageBytes, timeoutMs } = requester;
    return c.json({ authentication: auth !== undefined, maxMessageBytes, timeoutMs }, 200, {
      "cache-control": "no-cache",
    });
  }

  jwks(c: RouteContext): Response {
    const { directory, jwksMaxAgeSeconds = 60 } = this.#options;
    const body = JSON.stringify(directory.jwks);
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    const headers = {
      "content-type": "application/jwk-set+json",
      "cache-control": `public, max-age=${jwksMaxAgeSeconds}`,
      etag,
    };
    return matchesEtag(c.req.header("if-none-match"), etag)
      ? new Response(null, { status: 304, headers })
      : new Response(body, { headers });
  }

  async #signOne(c: RouteContext, json: unknown): Promise<PublicAnswer> {
    const { requester, auth } = this.#options;
    const actor = auth ? c.get("caller").subject : "anonymous";
    const { format, ...wanted } = parseMessage(json);
    return publicAnswer(await requester.request({ ...wanted, actor }, context.active()), format);
  }

  async #readJson(c: RouteContext): Promise<object> {
    const bytes = await readBody(c.req.raw, {
      limitBytes: this.#options.maxBodyBytes ?? 8_388_608,
    });
    try {
      const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      if (typeof json === "object" && json !== null) return json;
    } catch {
      // Refused below, with what else is not an object.
    }
    throw new SignError("invalid", "The body must be a JSON object.");
  }
}

/** The original's stand-in: anybody can make it, so it proves no more than that it fits. */
function verifyBase64(
  message: Uint8Array,
  signature: Uint8Array,
): Verdict | { valid: true; keyState: null } {
  return toBase64(message) === toBase64(signature)
    ? { valid: true, keyState: null }
    : { valid: false, reason: "bad-signature" };
}

/** Keeps what has its own status, such as a body that is too large, for the error handler. */
function toKnown(error: unknown): SignError {
  if (error instanceof Error && "getResponse" in error) throw error;
  return toSignError(error);
}
