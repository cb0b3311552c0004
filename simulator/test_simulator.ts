/**
 * For tests: a server in this process, what it prints and streams, and clients of all kinds.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { type TestContext, testContext } from "../service/testing/context.ts";
import type { ServerMessage, StreamedEvent } from "./api.ts";
import {
  type SimulatorOptions,
  type SimulatorService,
  startSimulator,
} from "./simulator_server.ts";

/** A server under test. `await using` stops it. */
export interface TestSimulator extends AsyncDisposable {
  readonly server: SimulatorService;
  readonly context: TestContext;
  /** What the contract prints. */
  readonly printed: string[];
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts one on free ports. */
export async function testSimulator(options: SimulatorOptions = {}): Promise<TestSimulator> {
  const printed: string[] = [];
  const context = testContext();
  const server = await startSimulator(
    { port: 0, webPort: 0, lines: { write: (line) => printed.push(line) }, ...options },
    context,
  );
  let stopped: Promise<void> | undefined;
  async function stop() {
    context.stop();
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), 5_000);
    await server.stop(deadline.signal);
    clearTimeout(timer);
  }
  return {
    server,
    context,
    printed,
    port: server.port ?? 0,
    url: server.webUrl ?? "",
    stop: () => stopped ??= stop(),
    [Symbol.asyncDispose]: () => stopped ??= stop(),
  };
}

/** A process that speaks the wire by hand. */
export interface RawClient extends AsyncDisposable {
  send(text: string | Uint8Array): Promise<void>;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  close(): void;
}

const encoder = new TextEncoder();

/** Connects one. */
export async function rawClient(port: number): Promise<RawClient> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  let open = true;
  const close = () => {
    if (open) socket.close();
    open = false;
  };
  const closed = (async () => {
    const buffer = new Uint8Array(1_024);
    try {
      while (await socket.read(buffer) !== null);
    } catch {
      // Closed by the test.
    }
  })();
  return {
    async send(text) {
      let bytes = typeof text === "string" ? encoder.encode(text) : text;
      while (bytes.length > 0) bytes = bytes.subarray(await socket.write(bytes));
    },
    closed,
    close,
    async [Symbol.asyncDispose]() {
      close();
      await closed;
    },
  };
}

/** A line of the contract. */
export function eventLine(event: string, more: Record<string, unknown> = {}): string {
  return `${
    JSON.stringify({ traceId: "t", name: "Test", event, timeUnixNano: 1, attributes: [], ...more })
  }\n`;
}

/** A reader of one of the streams. */
export interface EventReader extends AsyncDisposable {
  /** What has come; the server's health is left out. */
  readonly events: StreamedEvent[];
  readonly messages: ServerMessage[];
  /** Resolves with the close event's code and reason. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Waits for so many. */
  reach(count: number): Promise<StreamedEvent[]>;
  send(message: unknown): void;
}

/** Reads the WebSocket. */
export async function readSocket(url: string, query = ""): Promise<EventReader> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws${query}`);
  const events: StreamedEvent[] = [];
  const messages: ServerMessage[] = [];
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.onclose = ({ code, reason }) => resolve({ code, reason })
  );
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data) as ServerMessage;
    messages.push(message);
    if (message.type === "events") events.push(...message.events.filter(isNoHealthcheck));
  };
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
  });
  await eventually("hello", () => messages.length > 0 ? true : undefined, 10_000);
  return {
    events,
    messages,
    closed,
    async reach(count) {
      await eventually(
        `${count} events`,
        () => events.length >= count ? true : undefined,
        20_000,
      );
      assert.equal(events.length, count);
      return events;
    },
    send: (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message)),
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
}

/** Reads the contract's stream; `events[i].data` is the text of the `data` line. */
export async function readEventSource(url: string, lastEventId?: string): Promise<EventReader> {
  const abort = new AbortController();
  const response = await fetch(url, {
    signal: abort.signal,
    ...(lastEventId && { headers: { "last-event-id": lastEventId } }),
  });
  assert.equal(response.status, 200);
  const events: StreamedEvent[] = [];
  const done = (async () => {
    let rest = "";
    try {
      for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop()!;
        for (const block of blocks) {
          const [, id, data] = /^id: (\S+)\nevent: status\ndata: (.*)$/.exec(block) ?? [];
          if (id === undefined || data!.includes('"serverHealthcheck"')) continue;
          events.push({ id, client: -1, atMs: 0, data });
        }
      }
    } catch {
      // Ended by the test.
    }
    return { code: 0, reason: "" };
  })();
  return {
    events,
    messages: [],
    closed: done,
    async reach(count) {
      await eventually(`${count} events`, () => events.length >= count ? true : undefined, 20_000);
      assert.equal(events.length, count);
      return events;
    },
    send() {},
    async [Symbol.asyncDispose]() {
      abort.abort();
      await done;
    },
  };
}

function isNoHealthcheck({ data }: StreamedEvent): boolean {
  return (data as { event?: string }).event !== "serverHealthcheck";
}

/** The kinds of the events, in their order. */
export function kinds(events: readonly StreamedEvent[]): string[] {
  return events.map(({ data }) =>
    (typeof data === "string" ? JSON.parse(data) : data as { event: string }).event
  );
}
