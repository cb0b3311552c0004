/**
 * From HTTP to a WebSocket (RFC 6455, section 4.2): what the client asked for, checked, and the
 * socket that goes on.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { WebSocket as WsWebSocket } from "ws";
import { sourceOf } from "./http1/incoming_request.ts";
import { hasToken } from "./http1/request_parser.ts";
import { ProblemError } from "./problem.ts";
import { realWorld } from "./world/world.ts";

/** Options of {@linkcode upgradeWebSocket}. */
export interface UpgradeOptions {
  /** The subprotocol that was chosen of those that the client offers. @default none */
  protocol?: string | undefined;
  /** A peer from which not even a pong has come for so long is dead, in seconds; 0 for never. @default 30 */
  idleTimeoutS?: number | undefined;
  /** A longer message ends the connection with 1009 (RFC 6455, section 7.4.1) before all of it has come, in bytes. @default 1_048_576 */
  maxMessageBytes?: number | undefined;
  /** A peer that has not answered our close for so long, or not even read it, is cut, in milliseconds. @default 5_000 */
  closeTimeoutMs?: number | undefined;
  /** Fields that the answer has besides those of the handshake. @default none */
  headers?: Iterable<readonly [name: string, value: string]> | undefined;
}

/** A socket that is about to open, and what the handler answers. */
export interface Upgraded {
  readonly socket: WebSocket;
  readonly response: Response;
  /** Sends a whole frame as {@linkcode textFrame} makes it, in turn with what `socket.send` sends. */
  sendFrame(frame: Uint8Array): void;
}

/**
 * Upgrades a request to a WebSocket. It takes whole frames, too, for who sends the same to many:
 * `send` encodes and copies a message anew for each socket, which at fifty of them is most of the
 * work (`bench/simulator_latency.ts`).
 *
 * It is npm `ws`: `Deno.upgradeWebSocket` (2.9.6) takes no TLS socket of node's, and keeps for ever
 * a connection, with all that waits on it, whose peer reads neither messages nor our close.
 *
 * @throws {ProblemError} 426 with `Upgrade` when it asks for none; 400 when the handshake is not
 * whole (RFC 6455, section 4.2.1); 426 with `Sec-WebSocket-Version` when it is of another version
 * (section 4.2.2)
 *
 * @example
 * ```ts
 * app.get("/ws", async (c) => {
 *   const { socket, response } = await upgradeWebSocket(c.req.raw);
 *   socket.onmessage = ({ data }) => socket.send(data);
 *   return response;
 * });
 * ```
 */
export async function upgradeWebSocket(
  request: Request,
  options: UpgradeOptions = {},
): Promise<Upgraded> {
  checkHandshake(request.headers);
  const upgrade = sourceOf(request)?.upgrade;
  if (!upgrade) throw badHandshake("Connection does not say Upgrade");
  const upgraded = await upgradeByWs(request, upgrade, options);
  answers.add(upgraded.response);
  return upgraded;
}

/** A text message as one frame of a server (RFC 6455, section 5.2): final, not masked. */
export function textFrame(text: string): Uint8Array {
  const length = Buffer.byteLength(text);
  const headLength = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headLength + length);
  frame[0] = 0x81;
  if (headLength === 2) frame[1] = length;
  else if (headLength === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, headLength);
  return frame;
}

async function upgradeByWs(
  { method, url, headers: asked }: Request,
  { socket, head }: { socket: Socket; head: Uint8Array },
  {
    protocol,
    idleTimeoutS = 30,
    maxMessageBytes = 1_048_576,
    closeTimeoutMs = 5_000,
    headers = [],
  }: UpgradeOptions,
): Promise<Upgraded> {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxMessageBytes,
    closeTimeout: closeTimeoutMs,
    handleProtocols: () => protocol ?? false,
    autoPong: false,
  });
  server.on("headers", (lines: string[]) => {
    for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  });
  // As much of a request as it looks at.
  const incoming = { method, url, headers: Object.fromEntries(asked) } as IncomingMessage;
  return await new Promise((resolve) => {
    server.handleUpgrade(incoming, socket, Buffer.from(head), (opened: WsWebSocket) => {
      // Bad frames end the connection, which is told by `close`; without a listener they end the program.
      opened.on("error", () => {});
      ignoreWhenClosing(opened);
      closeWhenSilent(opened, idleTimeoutS);
      opened.on("ping", (data: Buffer) => {
        // A pong is owed to the last ping alone (RFC 6455, section 5.5.3).
        if (opened.bufferedAmount < maxWaitingPongBytes) opened.pong(data);
      });
      const upgraded = opened as unknown as WebSocket;
      // The server has paused it until somebody reads, and a listener alone does not end that.
      socket.resume();
      // As by the platform's own: it opens once its handler has answered.
      realWorld.setTimeout(() => upgraded.onopen?.(new Event("open")), 0);
      resolve({
        socket: upgraded,
        response: new Response(),
        sendFrame: (frame) => {
          if (opened.readyState === WebSocket.OPEN) socket.write(frame);
        },
      });
    });
  });
}

/** What may wait of a peer that pings and reads no pong, in bytes. */
const maxWaitingPongBytes = 65_536;

/** A message that comes after our close goes to nobody, as the standard has it (WHATWG WebSockets, section 5); `ws` hands it on. */
function ignoreWhenClosing(socket: WsWebSocket): void {
  const emit = socket.emit;
  socket.emit = function (this: WsWebSocket, ...event: Parameters<typeof emit>) {
    if (event[0] === "message" && this.readyState !== WebSocket.OPEN) return false;
    return emit.apply(this, event);
  };
}

/** Pings a peer that has said nothing for half of the time, and cuts it after the whole. */
function closeWhenSilent(socket: WsWebSocket, idleTimeoutS: number): void {
  if (idleTimeoutS === 0) return;
  let silent = 0;
  const heard = () => void (silent = 0);
  socket.on("message", heard);
  socket.on("pong", heard);
  const timer = realWorld.setInterval(() => {
    if (++silent > 2) socket.terminate();
    else if (silent > 1) socket.ping();
  }, idleTimeoutS * 500);
  socket.once("close", () => realWorld.clearInterval(timer));
}

const answers = new WeakSet<Response>();

/** Whether the answer is the one that comes with a socket, which has its head sent already. */
export function isWebSocketAnswer(response: Response): boolean {
  return response.status === 101 || answers.has(response);
}

/** @throws {ProblemError} as {@linkcode upgradeWebSocket} */
function checkHandshake(headers: Headers): void {
  if (!hasToken(headers.get("upgrade"), "websocket")) {
    throw new ProblemError(426, {
      title: "Upgrade required",
      detail: "This is a WebSocket: connect to it with ws: or wss:.",
    }, { upgrade: "websocket", connection: "Upgrade" });
  }
  if (!hasToken(headers.get("connection"), "upgrade")) {
    throw badHandshake("Connection does not say Upgrade");
  }
  const key = headers.get("sec-websocket-key");
  if (key === null || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw badHandshake("Sec-WebSocket-Key is not 16 bytes in base64");
  }
  const version = headers.get("sec-websocket-version");
  if (version?.trim() !== "13") {
    throw new ProblemError(426, {
      title: "Upgrade required",
      detail: `This server speaks WebSocket of version 13, not ${version ?? "of none"}.`,
    }, { "sec-websocket-version": "13", upgrade: "websocket", connection: "Upgrade" });
  }
}

function badHandshake(reason: string): ProblemError {
  return new ProblemError(400, {
    title: "Bad WebSocket handshake",
    detail:
      `${reason} (RFC 6455, section 4.2.1). Connect with a WebSocket client, and let proxies in between pass Connection and Upgrade on.`,
  });
}
