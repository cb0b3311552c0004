/**
 * The web side's routes: the contract's stream and the page at `/`, the WebSocket, what the page
 * asks for, and an OTLP endpoint.
 *
 * @module
 */
import type { Hono } from "hono";
import { lastEventIdOf } from "../../service/event_stream.ts";
import { httpApp } from "../../service/http_app.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { pageRoutes } from "../../service/page/assets.ts";
import { ProblemError } from "../../service/problem.ts";
import { captureText } from "../capture/capture_file.ts";
import type { Stats } from "../api.ts";
import type { EventLog } from "../events/event_log.ts";
import type { EventSourceStream } from "./event_source_stream.ts";
import type { WebSocketStream } from "./web_socket_stream.ts";

/** Options of {@linkcode webApp}. */
export interface WebAppOptions {
  /** The address listened on. */
  host: string;
  /** Names this server is known by, beside loopback's. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Origins, beside those of loopback, whose pages may read the streams. @default none */
  allowedOrigins?: readonly string[] | undefined;
  log: EventLog;
  eventSource: EventSourceStream;
  webSocket: WebSocketStream;
  /** OTLP's routes, below `/v1/`; none where a capture is played. */
  otlp: Hono | undefined;
  stats: () => Stats;
  /** Adds the routes of the live topology. @default there is none */
  live?: { addTo(app: Hono): void } | undefined;
}

/** Makes the app. */
export function webApp(options: WebAppOptions, context: ServiceContext): Hono {
  const { host, allowedHosts, allowedOrigins, log, eventSource, webSocket, otlp, stats } = options;
  const app = httpApp({
    name: "simulator",
    host,
    allowedHosts,
    allowedOrigins,
    // The original's page came from another port.
    loopbackOrigins: true,
    // Spans about spans that came in would never come to an end; streams last for hours.
    untraced: ["/", "/ws", "/v1/*", "/api/live/stream"],
  }, context);

  app.get("/", async (c, next) => {
    if (asksForHtml(c.req.header("accept"))) return await next();
    return eventSource.open(c.req.url, lastEventIdOf(c));
  });
  app.get("/ws", (c) => webSocket.open(c.req.raw));
  app.all("/v1/*", (c) => {
    if (otlp) return otlp.fetch(c.req.raw);
    throw new ProblemError(404, {
      title: "Plays a capture",
      detail: "This simulator plays a capture and takes no telemetry in. Start one without replay.",
    });
  });
  app.get("/api/stats", (c) => c.json(stats()));
  app.get("/api/events/:id", (c) => {
    const event = log.find(c.req.param("id"));
    if (!event) {
      throw new ProblemError(404, {
        title: "No such event",
        detail: "This server has no such event, or does not keep it any more.",
      });
    }
    return c.body(event.json, 200, { "content-type": "application/json; charset=utf-8" });
  });
  app.get("/api/capture", (c) =>
    c.body(captureText(log.since(0)), 200, {
      "content-type": "application/x-ndjson; charset=utf-8",
      "content-disposition": 'attachment; filename="capture.ndjson"',
      "cache-control": "no-store",
    }));
  options.live?.addTo(app);
  app.route("/", pageRoutes("simulator", { routes: ["/"] }));
  // Runs in the page by itself: the server only hands it out.
  app.route(
    "/",
    pageRoutes("simulator-simulation", { routes: ["/simulation"], base: "/simulation" }),
  );
  return app;
}

/** A browser that shows a page; `curl` and an `EventSource` ask for anything, or for the stream. */
function asksForHtml(accept = ""): boolean {
  return /\btext\/html\b/i.test(accept);
}
