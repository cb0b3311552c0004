/**
 * For tests: a connection whose socket is none, in virtual time: each wait and each refusal without
 * the time that it takes.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { TestConnectionOwner } from "../test_connection_owner.ts";
import { drainMicrotasks } from "../world/virtual_world.ts";
import { Connection } from "./connection.ts";

/** Requests, whole and up to their body of four bytes; of `postHead` the head has not ended. */
export const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
export const postHead = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n";
export const post = `${postHead}\r\n`;

const testPeer = { address: "192.0.2.7", port: 4711 };

/** What a connection does to its socket, as far as it does. */
export class TestSocket extends EventEmitter {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** All that was written, as Latin-1. */
  written = "";
  writableLength = 0;
  writable = true;
  destroyed = false;
  /** What `write()` gives: whether there is room for more. */
  hasRoom = true;
  /** What it was told, but for data. */
  readonly told: string[] = [];

  constructor(from: { address: string; port: number } | null) {
    super();
    this.remoteAddress = from?.address;
    this.remotePort = from?.port;
  }

  write(bytes: Uint8Array | string): boolean {
    this.written += typeof bytes === "string" ? bytes : String.fromCharCode(...bytes);
    return this.hasRoom;
  }

  pause(): void {
    this.told.push("pause");
  }

  resume(): void {
    this.told.push("resume");
  }

  /** No more is written than this. */
  end(last?: Uint8Array): void {
    if (last) this.write(last);
    this.told.push("end");
    this.writable = false;
  }

  destroySoon(): void {
    this.told.push("destroySoon");
    this.writable = false;
  }

  destroy(): void {
    this.told.push("destroy");
    this.destroyed = true;
    this.writable = false;
  }

  /** As its peer, or what it was told, closes it. */
  close(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

/** A connection, its socket and what it tells its server. */
export class TestConnection extends TestConnectionOwner {
  readonly socket: TestSocket;
  readonly connection: Connection;

  /** @param from whose it is; nobody's where the peer has gone already */
  constructor(from: { address: string; port: number } | null = testPeer) {
    super({ requestTimeoutMs: 8_000 });
    this.socket = new TestSocket(from);
    this.connection = new Connection(this.socket as unknown as Socket, this);
  }

  /** What its peer sends. */
  send(text: string): void {
    this.socket.emit("data", new TextEncoder().encode(text));
  }

  /** Lets time pass, and looks. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.connection.look(this.nowMs);
  }

  /** Answers the last that is to be, and gives what is written. */
  async answer(response: Response): Promise<string> {
    const from = this.socket.written.length;
    this.exchanges.at(-1)!.answer(response);
    await drainMicrotasks();
    return this.socket.written.slice(from);
  }
}
