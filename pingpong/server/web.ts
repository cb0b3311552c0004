/**
 * The server's TCP side: the page, what discovery asks for, health, and the upgrade to WebSocket.
 *
 * @module
 */
import type { Hono } from "hono";
import { httpApp, type HttpAppContext } from "../../service/http_app.ts";
import type { GuardOptions } from "../../service/http_guard.ts";
import { pageRoutes } from "../../service/page/assets.ts";
import { problemResponse } from "../../service/problem.ts";
import { type WellKnown, wellKnownPath } from "../protocol/well_known.ts";
import type { RefusedSession } from "./access.ts";
import type { WebSocketSessions } from "./websocket_sessions.ts";

/** Options of {@linkcode webApp}. */
export interface WebAppOptions {
  /** Which hosts and which pages are ours. */
  guard: GuardOptions;
  /** Takes what is upgraded. */
  sessions: Pick<WebSocketSessions, "upgrade">;
  /** Hears of each request for a session that the guard refuses. */
  onRefused: (refusal: RefusedSession) => void;
  /** The document as it is now: the certificate may be renewed. */
  wellKnown: () => WellKnown;
}

/** All routes of the TCP side. */
export function webApp(
  { guard, sessions, onRefused, wellKnown }: WebAppOptions,
  context: HttpAppContext,
): Hono {
  const app = httpApp({
    ...{ name: "pingpong-server", ...guard },
    refuse({ title, detail }, request) {
      if (isForSession(request)) {
        onRefused({ transport: "websocket", status: 403, reason: detail });
      }
      return problemResponse(403, { title, detail });
    },
  }, context);
  app.use(async (c, next) => {
    // At every path: which ones there are is for the access rule to say.
    if (isForSession(c.req.raw)) return sessions.upgrade(c.req.raw);
    await next();
    return;
  });
  app.get(wellKnownPath, (c) => {
    // Nothing secret is in it: the guard lets pages and programs of any origin read it.
    return c.json(wellKnown(), 200, {
      "cache-control": "no-cache",
      "access-control-allow-origin": "*",
    });
  });
  app.use("/", async (c, next) => {
    await next();
    const policy = c.res.headers.get("content-security-policy");
    if (policy === null) return;
    // A page on its own has a clock of 5 µs; all others have one of 100 µs, as long as a round trip.
    c.res.headers.set("cross-origin-embedder-policy", "require-corp");
    const host = new URL(c.req.url).hostname;
    const { port } = wellKnown().webtransport;
    c.res.headers.set(
      "content-security-policy",
      `${policy}; connect-src 'self' https://${host}:${port}`,
    );
  });
  app.route("/", pageRoutes("pingpong", { routes: ["/"] }));
  return app;
}

function isForSession(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}
