/**
 * One connection of an HTTP/1.1 server: its requests are read, handled one after the other, and
 * answered; every wait has its end.
 *
 * @module
 */
import type { Socket } from "node:net";
import {
  type ConnectionOwner,
  type HttpConnection,
  type HttpExchange,
  lingerTimeoutMs,
  takesNothing,
} from "../http_exchange.ts";
import { type AnswerSink, rawAnswer, writeAnswer } from "./answer.ts";
import { RequestBody } from "./request_body.ts";
import { RequestError, type RequestHead, RequestParser } from "./request_parser.ts";

/** A request and its answer. */
export class Exchange implements HttpExchange {
  readonly connection: Connection;
  readonly head: RequestHead;
  readonly body: RequestBody | undefined;
  upgrade: { socket: Socket; head: Uint8Array } | undefined;
  /** The client waits for a word before it sends the body. */
  awaitsBody: boolean;
  isAnswered = false;
  #gone: (() => void)[] | undefined;

  constructor(connection: Connection, head: RequestHead, body: RequestBody | undefined) {
    this.connection = connection;
    this.head = head;
    this.body = body;
    this.awaitsBody = body !== undefined && head.expect === "100-continue";
  }

  get peer(): Deno.NetAddr {
    return this.connection.peer;
  }

  askForBody(): void {
    if (!this.awaitsBody) return;
    this.awaitsBody = false;
    if (!this.isAnswered) this.connection.socket.write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  onGone(callback: () => void): () => void {
    if (this.connection.isGone) callback();
    else (this.#gone ??= []).push(callback);
    return () => this.#gone = this.#gone?.filter((one) => one !== callback);
  }

  /** The client has gone. */
  leave(): void {
    for (const callback of this.#gone ?? []) callback();
  }

  /** Answers; of two answers the first is it. */
  answer(response: Response): void {
    if (!this.isAnswered) {
      this.isAnswered = true;
      this.connection.send(this, response);
    } else if (!response.bodyUsed) {
      // Nobody reads it, and whether its end fails is nobody's affair either.
      response.body?.cancel().catch(() => {});
    }
  }
}

/** Nobody reads it any more. */
async function cancelled(response: Response): Promise<false> {
  await response.body?.cancel();
  return false;
}

/** The end of a head, of a body, of one that nobody reads any more; the next request. */
type Wait = "head" | "body" | "linger" | "idle";

/** A connection. */
export class Connection implements AnswerSink, HttpConnection {
  readonly socket: Socket;
  readonly peer: Deno.NetAddr;
  readonly #owner: ConnectionOwner;
  readonly #parser: RequestParser;
  /** Requests that are not answered yet; the first is being handled. */
  #exchanges: Exchange[] = [];
  #isHandling = false;
  /** The one whose body is on its way. */
  #receiving: Exchange | undefined;
  /** Requests that have begun so far. */
  #begun = 0;
  #isPaused = false;
  #isEnding = false;
  /** What it waits for, and since when. */
  #sinceMs: number;
  #wait: Wait = "head";
  #room: PromiseWithResolvers<boolean> | undefined;
  /** Bytes that waited for the peer when it was looked at last, and since when it has taken none. */
  #waitingBytes = 0;
  #stuckSinceMs: number | undefined;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.socket = socket;
    this.#owner = owner;
    const { remoteAddress: hostname = "", remotePort: port = 0 } = socket;
    this.peer = { transport: "tcp", hostname, port };
    this.#sinceMs = owner.monotonicMs();
    this.#parser = new RequestParser({
      head: (head) => this.#begin(head),
      body: (piece) => this.#receiving?.body?.push(piece),
      end: () => this.#receiveEnd(),
    });
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    // Always followed by `close`; a client that goes away meanwhile is found by whoever writes to it.
    socket.on("error", () => {});
    socket.once("close", this.#onClose);
  }

  get isGone(): boolean {
    return this.socket.destroyed;
  }

  get isIdle(): boolean {
    return this.#exchanges.length === 0;
  }

  get idleSinceMs(): number {
    return this.#sinceMs;
  }

  end(): void {
    this.#isEnding = true;
    this.socket.destroySoon();
  }

  cut(): void {
    this.socket.destroy();
  }

  write(bytes: Uint8Array): true | Promise<boolean> {
    if (this.isGone) return Promise.resolve(false);
    if (this.socket.write(bytes)) return true;
    return (this.#room ??= Promise.withResolvers()).promise;
  }

  onGone(callback: () => void): () => void {
    return this.#exchanges[0]!.onGone(callback);
  }

  look(nowMs: number): void {
    if (this.#isStuck(nowMs)) {
      this.#owner.onCut(this, takesNothing);
      this.socket.destroy();
      return;
    }
    const { headerTimeoutMs, requestTimeoutMs, idleTimeoutMs } = this.#owner.timeouts;
    const waitedMs = nowMs - this.#sinceMs;
    switch (this.#wait) {
      case "head":
        if (waitedMs > headerTimeoutMs) this.#refuseLate();
        break;
      case "body":
        if (waitedMs > requestTimeoutMs) this.#refuseLate();
        break;
      case "linger":
        if (waitedMs > Math.min(lingerTimeoutMs, requestTimeoutMs)) this.socket.destroy();
        break;
      case "idle":
        if (this.isIdle && waitedMs > idleTimeoutMs) this.socket.destroy();
    }
  }

  /** Sends the answer of the exchange that is being handled. */
  send(exchange: Exchange, response: Response): void {
    // Once the answer has begun all that is left to say of a failure is that it is not whole.
    const cut = () => this.socket.destroy();
    try {
      this.#send(exchange, response)
        .then((keepsAlive) => this.#finish(exchange, keepsAlive), cut);
    } catch {
      cut();
    }
  }

  #send(exchange: Exchange, response: Response): Promise<boolean | undefined> {
    if (exchange.upgrade && this.#owner.isUpgraded(response)) return Promise.resolve(undefined);
    if (this.isGone) return cancelled(response);
    const { method, version, keepsAlive } = exchange.head;
    // Nobody knows whether the body that was not asked for comes or the next request does.
    const goesOn = keepsAlive && !exchange.awaitsBody && !exchange.upgrade &&
      !this.#owner.isDraining;
    const idleTimeoutS = Math.floor(this.#owner.timeouts.idleTimeoutMs / 1_000);
    return writeAnswer(response, { method, version, keepsAlive: goesOn, idleTimeoutS }, this);
  }

  /** What comes behind an answer; nothing where a WebSocket goes on. */
  #finish(exchange: Exchange, keepsAlive: boolean | undefined): void {
    this.#exchanges.shift();
    this.#isHandling = false;
    if (keepsAlive === undefined) return this.#letGo();
    if (this.isGone) return;
    const isWhole = this.#receiving !== exchange;
    if (!keepsAlive || this.#owner.isDraining) {
      if (isWhole || exchange.awaitsBody) return this.end();
      // It is told at once that no more comes; what is behind this request nobody answers.
      this.#isEnding = true;
      this.#exchanges = [];
      this.socket.end();
    }
    if (!isWhole) {
      // It may read its answer only once it has sent all (RFC 9112, section 9.6): what still comes is
      // thrown away, for a while.
      exchange.body?.discard();
      this.#waitFor("linger");
    } else if (!this.#parser.isInHead && !this.#receiving) {
      this.#waitFor("idle");
    }
    this.#handleNext();
    this.#flow();
  }

  #begin(head: RequestHead): void {
    if (this.#isEnding) return;
    this.#begun++;
    const exchange = new Exchange(
      this,
      head,
      head.hasBody ? new RequestBody(() => this.#flow()) : undefined,
    );
    this.#exchanges.push(exchange);
    this.#receiving = exchange;
  }

  #receiveEnd(): void {
    const exchange = this.#receiving;
    this.#receiving = undefined;
    exchange?.body?.end();
    // It had been answered before.
    if (exchange?.isAnswered && this.#isEnding) this.end();
  }

  readonly #onData = (bytes: Uint8Array): void => {
    const begun = this.#begun;
    try {
      const rest = this.#parser.read(bytes);
      const last = this.#exchanges.at(-1);
      if (last?.head.asksForWebSocket && !last.upgrade) this.#stopReading(last, rest);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#refuseBroken(error);
      return;
    }
    this.#waitForRest(this.#begun !== begun);
    this.#handleNext();
    this.#flow();
  };

  /** @param isNext whether another request has begun than that which was waited for */
  #waitForRest(isNext: boolean): void {
    const wait = this.#wait;
    if (this.#parser.isInHead) {
      if (isNext || wait !== "head") this.#waitFor("head");
    } else if (this.#receiving) {
      // It goes on from the head's beginning.
      if (wait === "head") this.#wait = "body";
      else if (isNext || wait === "idle") this.#waitFor("body");
    } else if (this.isIdle) this.#waitFor("idle");
    else this.#wait = "idle";
  }

  #waitFor(what: Wait): void {
    this.#wait = what;
    this.#sinceMs = this.#owner.monotonicMs();
  }

  /** What comes from now on is for the WebSocket to read. */
  #stopReading(exchange: Exchange, head: Uint8Array): void {
    const { socket } = this;
    socket.off("data", this.#onData);
    socket.pause();
    exchange.upgrade = { socket, head };
  }

  #handleNext(): void {
    const [next] = this.#exchanges;
    // The rest of an earlier one's body comes before the next request.
    if (!next || this.#isHandling || this.#isEnding) return;
    this.#isHandling = true;
    this.#owner.handle(next);
  }

  /** Reads on, or waits with it. */
  #flow(): void {
    const [first] = this.#exchanges;
    if (first?.upgrade) return;
    const isFull = this.#exchanges.length > 1 || (this.#receiving?.body?.isFull ?? false);
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.socket.pause();
    else this.socket.resume();
  }

  readonly #onDrain = (): void => {
    this.#room?.resolve(true);
    this.#room = undefined;
  };

  readonly #onClose = (): void => {
    this.#room?.resolve(false);
    this.#receiving?.body?.end(new Error("The connection ended before the whole body had come"));
    this.#exchanges[0]?.leave();
    this.#owner.onEnd(this);
  };

  /** The socket goes on without HTTP. */
  #letGo(): void {
    this.socket.off("drain", this.#onDrain);
    this.socket.off("close", this.#onClose);
    this.#owner.onEnd(this);
  }

  #isStuck(nowMs: number): boolean {
    const { writableLength } = this.socket;
    if (writableLength === 0 || writableLength !== this.#waitingBytes) {
      this.#stuckSinceMs = undefined;
      this.#waitingBytes = writableLength;
      return false;
    }
    this.#stuckSinceMs ??= nowMs;
    return nowMs - this.#stuckSinceMs >= this.#owner.timeouts.writeTimeoutMs;
  }

  #refuseLate(): void {
    this.#refuse(408, "The request did not arrive in time. Send it again, whole.");
  }

  #refuseBroken({ code, message }: RequestError): void {
    if (code === "HPE_PAUSED_H2_UPGRADE") this.#owner.onHttp2();
    if (code === "HPE_HEADER_OVERFLOW") {
      this.#refuse(431, "The header is too large. Send less of it.");
    } else this.#refuse(400, `This is not HTTP/1.1: ${message}.`);
  }

  /** Answers what is not HTTP, or has not become a request in time, if nothing is being answered. */
  #refuse(status: keyof typeof refusals, detail: string): void {
    const { socket } = this;
    if (!this.isIdle || !socket.writable || this.#isEnding) {
      socket.destroy();
      return;
    }
    socket.write(rawAnswer(status, refusals[status], detail));
    this.end();
  }
}

const refusals = {
  400: "Bad request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
} as const;
