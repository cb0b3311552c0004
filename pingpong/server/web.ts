/**
 * The server's TCP side: the page, what discovery asks for, health, and the same ping-pong over
 * WebSocket for networks that let no UDP through.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import { Hono } from "hono";
import { answerMessage, messageIn } from "./webtransport_channels.ts";
import type { WellKnown } from "../protocol/well_known.ts";
import { closeCodes, websocketCodeBase } from "../protocol/session_terms.ts";
import { type Health, healthRoutes } from "../../service/health.ts";
import type { Log } from "../../service/log.ts";
import { pageRoutes } from "../../service/page/assets.ts";
import { problemNotFound, problemOnError, problemResponse } from "../../service/problem.ts";
import type { Access, AccessRequest } from "./access.ts";
import { Answering, contextOf } from "./answering.ts";

/** Options of {@linkcode webRoutes}. */
export interface WebOptions {
  answering: Answering;
  decide: (request: AccessRequest) => Access;
  health: Health;
  log: Log;
  /** The document as it is now: the certificate may be renewed. */
  wellKnown: () => WellKnown;
  /** Open WebSockets, so that they can be closed when the server ends. */
  sockets: Set<WebSocket>;
  /** The most bytes of a message. @default 1_048_576 */
  maxFrameBytes?: number;
  /** WebSockets at once. @default 4_096 */
  maxSockets?: number;
  /** A peer that has sent nothing for so long, pongs to our pings included, is dead. @default 2 */
  idleTimeoutS?: number;
  /** Answers that wait for a peer that does not read, in bytes; beyond that it is cut. @default 1_048_576 */
  maxBufferedBytes?: number;
}

/** All routes of the TCP side. */
export function webRoutes(options: WebOptions): Hono {
  const { health, log, wellKnown } = options;
  const app = new Hono();
  app.onError(problemOnError(log));
  app.notFound(problemNotFound);
  app.use(async (c, next) => {
    if (c.req.header("upgrade")?.toLowerCase() === "websocket") return upgrade(c.req.raw, options);
    await next();
    return;
  });
  app.route("/", healthRoutes(health));
  app.get("/.well-known/pingpong.json", (c) => {
    // Nothing secret is in it: a page or a program of any origin may look.
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

function upgrade(request: Request, options: WebOptions): Response {
  const { decide, sockets, maxSockets = 4_096, idleTimeoutS = 2 } = options;
  const url = new URL(request.url);
  const access = decide({
    path: url.pathname + url.search,
    authority: url.host,
    origin: request.headers.get("origin") ?? undefined,
    header: (name) => request.headers.get(name) ?? undefined,
  });
  if (access.status !== 200) {
    return problemResponse(access.status, { title: "Session refused", detail: access.reason });
  }
  if (sockets.size >= maxSockets) {
    return problemResponse(503, {
      title: "Overloaded",
      detail: `${maxSockets} sessions are open already. Try again later.`,
    }, { "retry-after": "1" });
  }
  // Its headers are gone once it is upgraded.
  const traced = contextOf((name) => request.headers.get(name) ?? undefined);
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: idleTimeoutS });
  for (const [name, value] of access.fields) response.headers.set(name, value);
  answerWebSocket(socket, access, traced, options);
  return response;
}

function answerWebSocket(
  socket: WebSocket,
  access: Access & { status: 200 },
  traced: Context,
  options: WebOptions,
): void {
  const { answering, sockets, maxFrameBytes = 1_048_576, maxBufferedBytes = 1_048_576 } = options;
  const close = (code: number, reason: string) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    // A close reason has at most 123 bytes (RFC 6455, section 5.5).
    socket.close(websocketCodeBase + code, reason.slice(0, 40));
  };
  const answers = answering.begin("websocket", access.client, close, traced);
  sockets.add(socket);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    for (const frame of answers.takeWaiting()) socket.send(messageIn(frame) as BufferSource);
  };
  socket.onmessage = ({ data }) => {
    // The original knows no text messages; ours send none.
    if (!(data instanceof ArrayBuffer)) return close(closeCodes.malformed, "not a binary message");
    if (data.byteLength > maxFrameBytes) return close(closeCodes.malformed, "message too large");
    for (const pong of answerMessage(new Uint8Array(data), answers, "websocket")) {
      if (socket.readyState === WebSocket.OPEN) socket.send(pong as BufferSource);
    }
    if (socket.bufferedAmount > maxBufferedBytes) close(closeCodes.malformed, "answers not read");
  };
  socket.onclose = ({ code }) => {
    sockets.delete(socket);
    answers.end(code === websocketCodeBase + closeCodes.done);
  };
}
