/** As much of npm `ws` as websocket_link.ts uses. Its own types on npm bring types of Node that are not Deno's. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export interface ClientOptions {
  headers?: Record<string, string>;
  perMessageDeflate?: boolean;
  handshakeTimeout?: number;
  maxPayload?: number;
  createConnection?: () => Duplex;
}

interface Events {
  open: [];
  upgrade: [response: IncomingMessage];
  "unexpected-response": [request: { destroy(): void }, response: IncomingMessage];
  error: [error: Error];
  close: [code: number, reason: Uint8Array];
  pong: [];
  message: [data: Uint8Array, isBinary: boolean];
}

export default class WebSocket {
  static readonly OPEN: 1;
  constructor(url: string, options?: ClientOptions);
  readonly readyState: number;
  binaryType: "nodebuffer" | "arraybuffer";
  on<Name extends keyof Events>(name: Name, listener: (...args: Events[Name]) => void): this;
  once<Name extends keyof Events>(name: Name, listener: (...args: Events[Name]) => void): this;
  send(data: Uint8Array, callback: (error?: Error) => void): void;
  ping(): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
}
