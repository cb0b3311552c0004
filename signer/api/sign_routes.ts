/**
 * The REST API's routes, without what serves them.
 *
 * @module
 */
import { context, trace } from "@opentelemetry/api";
import { type Context, Hono } from "hono";
import { createHash } from "node:crypto";
import { type BearerAuth, bearerToken, type Caller } from "../../service/bearer_auth.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { problemResponse } from "../../service/problem.ts";
import { readBody } from "../../service/request_body.ts";
import type { KeyDirectory } from "../keys/key_directory.ts";
import { checkOrigin } from "./origin_check.ts";
import type { Requester } from "../work/requester.ts";
import { SignError, toSignError } from "../work/sign_error.ts";
import { parseMessage } from "./sign_message.ts";
import {
  jsonProtocol,
  publicAnswer,
  serveJsonSocket,
  serveTextSocket,
  type SignSocket,
} from "./sign_socket.ts";
import { fromBase64, toBase64 } from "../keys/signing.ts";

/** Options of {@linkcode signRoutes}. */
export interface SignRoutesOptions {
  requester: Requester;
  directory: KeyDirectory;
  /** Demands tokens with `signer:sign`. @default nobody has to authenticate */
  auth?: BearerAuth;
  /** Pages of other origins that may open the socket, besides our own. @default none */
  allowedOrigins?: readonly string[];
  /** Sockets open at once. @default 2_048 */
  maxSockets?: number;
  /** Messages in one batch. @default 1_000 */
  maxBatchItems?: number;
  /** The largest body, in bytes. @default 8_388_608 */
  maxBodyBytes?: number;
  /** Characters that wait for their turn on all text sockets together. @default 16_777_216 */
  maxWaitingLength?: number;
  /** When a silent socket is asked whether it is still there. @default 60 */
  idleTimeoutSeconds?: number;
  /** How long JWKS may be kept by caches. @default 60 */
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

/** Makes the routes. */
export function signRoutes(
  options: SignRoutesOptions,
  { log, telemetry }: Pick<ServiceContext, "log" | "telemetry">,
): SignRoutes {
  const { requester, directory, auth, maxSockets = 2_048 } = options;
  const { maxBatchItems = 1_000, maxBodyBytes = 8_388_608, idleTimeoutSeconds = 60 } = options;
  const { jwksMaxAgeSeconds = 60 } = options;
  const app = new Hono<Variables>();
  const open = new Map<WebSocket, SignSocket>();
  const waiting = { length: 0, maxLength: options.maxWaitingLength ?? 16_777_216 };
  const socketGauge = telemetry.meter.createUpDownCounter("signer.sockets", {
    description: "WebSockets open.",
    unit: "{socket}",
  });

  app.use(checkOrigin(options.allowedOrigins));
  if (auth) app.on("POST", ["/sign", "/sign/batch", "/verify"], auth.require("signer:sign"));
  const actorOf = (c: RouteContext) => auth ? c.get("caller").subject : "anonymous";

  app.post("/sign", async (c) => {
    try {
      const wanted = parseMessage(await readJson(c, maxBodyBytes));
      const answer = await requester.request({ ...wanted, actor: actorOf(c) }, context.active());
      return c.json(publicAnswer(answer), 200, { "cache-control": "no-store" });
    } catch (error) {
      return signProblem(toKnown(error));
    }
  });

  app.post("/sign/batch", async (c) => {
    let items: unknown;
    try {
      ({ items } = await readJson(c, maxBodyBytes) as { items?: unknown });
      if (!Array.isArray(items) || items.length > maxBatchItems) {
        const detail = `'items' must be a list of at most ${maxBatchItems} messages.`;
        throw new SignError("invalid", detail);
      }
    } catch (error) {
      return signProblem(toKnown(error));
    }
    const results = await Promise.all((items as unknown[]).map(async (item) => {
      try {
        const wanted = parseMessage(item);
        const answer = await requester.request({ ...wanted, actor: actorOf(c) }, context.active());
        return { ok: publicAnswer(answer) };
      } catch (error) {
        return { error: toSignError(error) };
      }
    }));
    return c.json({ results }, 200, { "cache-control": "no-store" });
  });

  app.post("/verify", async (c) => {
    try {
      const json = await readJson(c, maxBodyBytes) as { signature?: unknown; keyId?: unknown };
      const { message } = parseMessage(json);
      const { signature, keyId } = json;
      if (typeof signature !== "string") {
        throw new SignError("invalid", "'signature' must be base64.");
      }
      const bytes = fromBase64(signature);
      if (!bytes) throw new SignError("invalid", "'signature' is not base64.");
      if (keyId !== null && typeof keyId !== "string") {
        throw new SignError("invalid", "'keyId' must be a text, or null for base64.");
      }
      const verdict = keyId === null
        // The original's stand-in: anybody can make it, so it proves no more than that it fits.
        ? toBase64(message) === toBase64(bytes)
          ? { valid: true, keyState: null }
          : { valid: false, reason: "bad-signature" }
        : directory.verify(message, bytes, keyId);
      return c.json(verdict, 200, { "cache-control": "no-store" });
    } catch (error) {
      return signProblem(toKnown(error));
    }
  });

  app.get(
    "/sign/info",
    (c) =>
      c.json(
        { authentication: auth !== undefined, maxMessageBytes: requester.maxMessageBytes },
        200,
        { "cache-control": "no-cache" },
      ),
  );

  app.get("/.well-known/jwks.json", (c) => {
    const body = JSON.stringify(directory.jwks);
    const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
    const headers = {
      "content-type": "application/jwk-set+json",
      "cache-control": `public, max-age=${jwksMaxAgeSeconds}`,
      etag,
    };
    return c.req.header("if-none-match") === etag
      ? new Response(null, { status: 304, headers })
      : new Response(body, { headers });
  });

  app.get("/sign/ws", async (c) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return problemResponse(400, {
        title: "Not a WebSocket",
        detail: "This route speaks WebSocket only: ask for an upgrade.",
      });
    }
    const offered = protocolsOf(c.req.header("sec-websocket-protocol"));
    const caller = await auth?.check(tokenOf(c, offered), "signer:sign");
    if (open.size >= maxSockets) {
      return signProblem(
        new SignError("overloaded", `${maxSockets} sockets are open already. Try again soon.`),
      );
    }
    return upgrade(c, offered.includes(jsonProtocol), caller);
  });

  function upgrade(c: RouteContext, json: boolean, caller: Caller | undefined): Response {
    const { socket, response } = Deno.upgradeWebSocket(c.req.raw, {
      idleTimeout: idleTimeoutSeconds,
      ...(json && { protocol: jsonProtocol }),
    });
    const connection = trace.getActiveSpan()?.spanContext();
    const served = (json ? serveJsonSocket : serveTextSocket)(socket, {
      requester,
      telemetry,
      waiting,
      actor: caller?.subject ?? "anonymous",
      ...(connection && { connection }),
      onCut: (why) => log.warn("A WebSocket is cut off", { why }),
    });
    open.set(socket, served);
    socketGauge.add(1);
    // What a token allows ends with it. A timer waits for 24 days at most.
    const expiry = caller && setTimeout(
      () => socket.close(1008, "the token has expired"),
      Math.min(Math.max(0, caller.expiresAtMs - Date.now()), 2 ** 31 - 1),
    );
    const gone = () => {
      clearTimeout(expiry);
      served.end();
      if (open.delete(socket)) socketGauge.add(-1);
    };
    socket.addEventListener("close", gone);
    // Followed by `close` wherever there was an open socket; without one there is nobody to serve.
    socket.addEventListener("error", () => {
      if (socket.readyState !== WebSocket.OPEN) gone();
    });
    return response;
  }

  return {
    app: app as unknown as Hono,
    get sockets() {
      return open.size;
    },
    async closeSockets(deadline) {
      const cut = new Promise<void>((resolve) => {
        if (deadline.aborted) resolve();
        else deadline.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.all([...open].map(async ([socket, served]) => {
        await Promise.race([served.finish(), cut]);
        // 1001: going away (RFC 6455, section 7.4.1).
        if (socket.readyState === WebSocket.OPEN) socket.close(1001, "the server stops");
      }));
    },
  };
}

function protocolsOf(header: string | undefined): string[] {
  return (header ?? "").split(",").map((one) => one.trim()).filter((one) => one !== "");
}

/** Browsers cannot set headers on a WebSocket: there the token comes as a second subprotocol, `bearer.<token>`. */
function tokenOf(c: RouteContext, protocols: readonly string[]): string | undefined {
  return bearerToken(c.req.header("authorization")) ??
    protocols.find((one) => one.startsWith("bearer."))?.slice("bearer.".length);
}

async function readJson(c: RouteContext, limitBytes: number): Promise<unknown> {
  const bytes = await readBody(c.req.raw, { limitBytes });
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof json === "object" && json !== null) return json;
  } catch {
    // Told below, with what else is not an object.
  }
  throw new SignError("invalid", "The body must be a JSON object.");
}

/** Keeps what has its own status, such as a body that is too large, for the error handler. */
function toKnown(error: unknown): SignError {
  if (error instanceof Error && "getResponse" in error) throw error;
  return toSignError(error);
}

/** A {@linkcode SignError} as a problem; its type is a URI reference relative to this API. */
export function signProblem(error: SignError): Response {
  return problemResponse(
    error.status,
    { type: error.kind, title: error.title, detail: error.detail },
    error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) },
  );
}
