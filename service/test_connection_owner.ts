/**
 * For tests of connections: a server that keeps what they tell it, in virtual time.
 *
 * @module
 */
import type {
  ConnectionOwner,
  ConnectionTimeouts,
  HttpConnection,
  HttpExchange,
} from "./http_exchange.ts";

/** The server of one connection; the test answers in its place. */
export class TestConnectionOwner implements ConnectionOwner {
  readonly timeouts: ConnectionTimeouts;
  /** What its server has heard. */
  readonly heard: string[] = [];
  /** What is to be answered. */
  readonly exchanges: HttpExchange[] = [];
  nowMs = 1_000;
  isDraining = false;
  /** The answer that goes on with a WebSocket. */
  upgraded: Response | undefined;

  constructor({ requestTimeoutMs }: Pick<ConnectionTimeouts, "requestTimeoutMs">) {
    this.timeouts = {
      ...{ headerTimeoutMs: 100, requestTimeoutMs },
      ...{ idleTimeoutMs: 10_000, writeTimeoutMs: 50 },
    };
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  handle(exchange: HttpExchange): void {
    this.exchanges.push(exchange);
  }

  isUpgraded(response: Response): boolean {
    return response === this.upgraded;
  }

  onHttp2(): void {
    this.heard.push("http2");
  }

  onCut(_connection: HttpConnection, reason: string): void {
    this.heard.push(reason);
  }

  onEnd(_connection: HttpConnection): void {
    this.heard.push("end");
  }
}
