/**
 * All WebSockets of `/sign/ws` that are open: who may have one, how many there may be, and how
 * they end.
 *
 * @module
 */
import { trace, type UpDownCounter } from "@opentelemetry/api";
import type { Context } from "hono";
import { type BearerAuth, bearerToken, type Caller } from "../../service/bearer_auth.ts";
import { upgradeWebSocket } from "../../service/http_upgrade.ts";
import type { ServiceContext } from "../../service/life_cycle.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { problemResponse } from "../../service/problem.ts";
import { aborted } from "../../service/resilience.ts";
import type { TimerId } from "../../service/world/world.ts";
import type { Requester } from "../work/requester.ts";
import { SignError } from "../work/sign_error.ts";
import { signProblem } from "./sign_problem.ts";
import {
  jsonProtocol,
  serveJsonSocket,
  serveTextSocket,
  type SignSocket,
  type WaitingTexts,
} from "./sign_socket.ts";

/** Options of {@linkcode SignSockets}. */
export interface SignSocketsOptions {
  /** Has the messages signed. */
  requester: Requester;
  /** Demands tokens with `signer:sign`. @default nobody has to authenticate */
  auth?: BearerAuth;
  /** Sockets open at once; one more is refused as overloaded. @default 2_048 */
  maxSockets?: number;
  /** Characters that wait for their turn on all text sockets together. @default 16_777_216 */
  maxWaitingLength?: number;
  /** After how many seconds without a sign of life a socket is asked whether it is still there. @default 60 */
  idleTimeoutSeconds?: number;
}

/** The longest time that a timer of the platform can wait: 24 days. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Upgrades requests and keeps the sockets.
 *
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const sockets = new SignSockets({ requester, maxSockets: 100 }, context);
 * app.get("/sign/ws", (c) => sockets.upgrade(c));
 * await sockets.close(deadline);
 * ```
 */
export class SignSockets {
  readonly #options: SignSocketsOptions;
  readonly #maxSockets: number;
  readonly #context: Pick<ServiceContext, "log" | "telemetry" | "world">;
  readonly #open = new Map<WebSocket, SignSocket>();
  readonly #waiting: WaitingTexts;
  readonly #gauge: UpDownCounter;

  constructor(
    options: SignSocketsOptions,
    context: Pick<ServiceContext, "log" | "telemetry" | "world">,
  ) {
    const { maxSockets = 2_048, maxWaitingLength = 16_777_216, idleTimeoutSeconds } = options;
    checkPositiveIntegers("serve sockets", { maxSockets, maxWaitingLength, idleTimeoutSeconds });
    this.#options = options;
    this.#maxSockets = maxSockets;
    this.#context = context;
    this.#waiting = { length: 0, maxLength: maxWaitingLength };
    this.#gauge = context.telemetry.meter.createUpDownCounter("signer.sockets", {
      description: "WebSockets open.",
      unit: "{socket}",
    });
  }

  /** Sockets open now. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Answers a request for a socket.
   *
   * @throws {ProblemError} the caller shows no token that opens one
   */
  async upgrade(c: Context): Promise<Response> {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return problemResponse(400, {
        title: "Not a WebSocket",
        detail: "This route speaks WebSocket only: ask for an upgrade.",
      });
    }
    const offered = protocolsOf(c.req.header("sec-websocket-protocol"));
    const caller = await this.#options.auth?.check(tokenOf(c, offered), "signer:sign");
    if (this.#open.size >= this.#maxSockets) {
      const detail = `${this.#maxSockets} sockets are open already. Try again soon.`;
      return signProblem(new SignError("overloaded", detail));
    }
    return await this.#serve(c.req.raw, offered.includes(jsonProtocol), caller);
  }

  /** Answers what is under way, until `deadline` aborts, and closes all. */
  async close(deadline: AbortSignal): Promise<void> {
    const cut = aborted(deadline);
    await Promise.all([...this.#open].map(async ([socket, served]) => {
      await Promise.race([served.finish(), cut]);
      // 1001: going away (RFC 6455, section 7.4.1).
      if (socket.readyState === WebSocket.OPEN) socket.close(1001, "the server stops");
    }));
  }

  async #serve(request: Request, json: boolean, caller: Caller | undefined): Promise<Response> {
    const { requester, idleTimeoutSeconds = 60 } = this.#options;
    const { log, telemetry, world } = this.#context;
    const { socket, response } = await upgradeWebSocket(request, {
      idleTimeoutS: idleTimeoutSeconds,
      // What is too large is answered so, as long as it may be read: a message's bytes as base64, its characters as JSON.
      maxMessageBytes: 4 * requester.maxMessageBytes + 65_536,
      ...(json && { protocol: jsonProtocol }),
    });
    const connection = trace.getActiveSpan()?.spanContext();
    const served = (json ? serveJsonSocket : serveTextSocket)(socket, {
      requester,
      telemetry,
      world,
      waiting: this.#waiting,
      actor: caller?.subject ?? "anonymous",
      ...(connection && { connection }),
      onCut: (why) => log.warn("A WebSocket is cut off", { why }),
    });
    this.#keep(socket, served, caller && this.#closeWithToken(socket, caller));
    return response;
  }

  #keep(socket: WebSocket, served: SignSocket, expiry: TimerId | undefined): void {
    this.#open.set(socket, served);
    this.#gauge.add(1);
    const gone = () => {
      this.#context.world.clearTimeout(expiry);
      served.end();
      if (this.#open.delete(socket)) this.#gauge.add(-1);
    };
    socket.addEventListener("close", gone);
    // Followed by `close` wherever there was an open socket; without one there is nobody to serve.
    socket.addEventListener("error", () => {
      if (socket.readyState !== WebSocket.OPEN) gone();
    });
  }

  /** What a token allows ends with it. */
  #closeWithToken(socket: WebSocket, { expiresAtMs }: Caller): TimerId {
    const { world } = this.#context;
    const leftMs = Math.max(0, expiresAtMs - world.nowMs());
    return world.setTimeout(
      () => socket.close(1008, "the token has expired"),
      Math.min(leftMs, maxTimerMs),
    );
  }
}

function protocolsOf(header: string | undefined): string[] {
  return (header ?? "").split(",").map((one) => one.trim()).filter((one) => one !== "");
}

/** Browsers cannot set headers on a WebSocket: there the token comes as a second subprotocol, `bearer.<token>`. */
function tokenOf(c: Context, protocols: readonly string[]): string | undefined {
  return bearerToken(c.req.header("authorization")) ??
    protocols.find((one) => one.startsWith("bearer."))?.slice("bearer.".length);
}
