/**
 * The routes that manage a service's keys, for callers with `signer:admin`.
 *
 * @module
 */
import { Hono } from "hono";
import type { BearerAuth } from "../../service/bearer_auth.ts";
import type { Log } from "../../service/log.ts";
import { problemResponse } from "../../service/problem.ts";
import { type KeyStore, KeyStoreError } from "../keys/key_store.ts";

/** Options of {@linkcode keyRoutes}. */
export interface KeyRoutesOptions {
  /** The keys that are managed. */
  store: KeyStore;
  /** Where changes are noted. */
  log: Log;
  /** Demands tokens with `signer:admin`. @default nobody has to authenticate */
  auth?: BearerAuth;
}

/**
 * `GET /keys`, `POST /keys/rotate`, `POST /keys/:kid/retire`.
 *
 * @example
 * ```ts
 * app.route("/", keyRoutes({ store, log, auth }));
 * ```
 */
export function keyRoutes({ store, log, auth }: KeyRoutesOptions): Hono {
  const app = new Hono();
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

  return app;
}

function refused(error: unknown): Response {
  if (!(error instanceof KeyStoreError)) throw error;
  return problemResponse(409, { title: "Not possible", detail: error.message });
}
