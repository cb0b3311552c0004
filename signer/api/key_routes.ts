/**
 * The routes that manage a service's keys, for callers with `signer:admin`.
 *
 * @module
 */
import { Hono } from "hono";
import type { BearerAuth, Caller } from "../../service/bearer_auth.ts";
import type { Log } from "../../service/log.ts";
import { problemResponse } from "../../service/problem.ts";
import { BusError } from "../../service/bus/bus.ts";
import { readBody } from "../../service/request_body.ts";
import { type KeyStore, KeyStoreError } from "../keys/key_store.ts";
import { RevocationError } from "../keys/revocation.ts";
import type { Revocations } from "../work/revocations.ts";

/** Options of {@linkcode keyRoutes}. */
export interface KeyRoutesOptions {
  /** The keys that are managed. */
  store: KeyStore;
  /** Revokes keys, others' as well. */
  revocations: Revocations;
  /** Where changes are noted. */
  log: Log;
  /** Demands tokens with `signer:admin`. @default nobody has to authenticate */
  auth?: BearerAuth;
}

/**
 * `GET /keys`, `POST /keys/rotate`, `POST /keys/:kid/retire`, `POST /keys/:kid/revoke`.
 *
 * @example
 * ```ts
 * app.route("/", keyRoutes({ store, revocations, log, auth }));
 * ```
 */
export function keyRoutes({ store, revocations, log, auth }: KeyRoutesOptions): Hono {
  const app = new Hono<{ Variables: { caller: Caller } }>();
  if (auth) {
    app.use("/keys", auth.require("signer:admin"));
    app.use("/keys/*", auth.require("signer:admin"));
  }

  app.get("/keys", (c) => c.json({ keys: store.keys }, 200, { "cache-control": "no-store" }));

  app.post("/keys/rotate", async (c) => {
    try {
      const key = await store.rotate();
      log.info("Rotated the key", { keyId: key.kid, version: key.version });
      return c.json({ key }, 201);
    } catch (error) {
      return refused(error);
    }
  });

  app.post("/keys/:kid/retire", async (c) => {
    try {
      const key = await store.retire(c.req.param("kid"));
      log.info("Retired a key", { keyId: key.kid, version: key.version });
      return c.json({ key });
    } catch (error) {
      return refused(error);
    }
  });

  app.post("/keys/:kid/revoke", async (c) => {
    try {
      const reason = await reasonFrom(c.req.raw);
      const actor = auth ? c.get("caller").subject : "anonymous";
      const revocation = await revocations.revoke({ kid: c.req.param("kid"), reason, actor });
      return c.json({ revocation });
    } catch (error) {
      return refused(error);
    }
  });

  return app as unknown as Hono;
}

/** `{"reason": "…"}`; what is not that is no reason. */
async function reasonFrom(request: Request): Promise<string> {
  const bytes = await readBody(request, { limitBytes: 16_384 });
  try {
    const { reason } = JSON.parse(new TextDecoder().decode(bytes)) as { reason?: unknown };
    if (typeof reason === "string") return reason;
  } catch {
    // Refused below, with what else has no reason.
  }
  throw new RevocationError("invalid-reason", 'The body must be JSON: {"reason": "why"}.');
}

function refused(error: unknown): Response {
  if (error instanceof RevocationError) {
    const detail = error.message;
    return error.kind === "unknown-key"
      ? problemResponse(404, { title: "No such key", detail })
      : problemResponse(400, { title: "No reason", detail });
  }
  if (error instanceof BusError) {
    const detail = "The bus did not take the revocation: try again.";
    return problemResponse(503, { title: "Not published", detail });
  }
  if (!(error instanceof KeyStoreError)) throw error;
  return problemResponse(409, { title: "Not possible", detail: error.message });
}
