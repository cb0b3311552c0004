/**
 * Sends lines over TCP in the background of a program that is not ours: it throws nothing, keeps no
 * process alive, buffers within a limit while the server is away, and connects again with back-off.
 *
 * When the server stops in order it ends its side; what has not been sent by then stays in the
 * buffer for the next one, so that nothing is lost and nothing comes twice. What lay in the system's
 * buffers when a server was killed is lost: the wire has no acknowledgement.
 *
 * @module
 */
import { backoffDelayMs, pause, settledWithin } from "../../service/resilience.ts";
import { unrefTimer, type World } from "../../service/world/world.ts";

/** Options of {@linkcode LineConnection}. */
export interface LineConnectionOptions {
  host: string;
  port: number;
  /** Lines that wait while the server is away; beyond it the oldest are dropped and counted. @default 10_000 */
  maxBufferedLines?: number;
  /** The longest pause before the first attempt to connect again, in milliseconds; it doubles. @default 50 */
  reconnectBaseDelayMs?: number;
  /** The longest pause at all, in milliseconds. @default 5_000 */
  reconnectMaxDelayMs?: number;
  world: World;
}

/** Lines that go into one write. */
const linesPerWrite = 1_000;
const encoder = new TextEncoder();

/** A connection that comes and goes. */
export class LineConnection {
  readonly #options: Required<LineConnectionOptions>;
  readonly #closing = new AbortController();
  #lines: string[] = [];
  #dropped = 0;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #ending = false;
  #connected = false;

  constructor(options: LineConnectionOptions) {
    this.#options = {
      maxBufferedLines: 10_000,
      reconnectBaseDelayMs: 50,
      reconnectMaxDelayMs: 5_000,
      ...options,
    };
  }

  /** Lines that were dropped, as the server was away for too long. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Lines that wait. */
  get buffered(): number {
    return this.#lines.length;
  }

  /** Whether the server is there, as far as is known. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Sends a line, now or when the server is there. */
  send(line: string): void {
    if (this.#ending) return;
    if (this.#lines.push(line) > this.#options.maxBufferedLines) {
      this.#lines.shift();
      this.#dropped++;
    }
    this.#running ??= this.#run();
    this.#wake?.();
  }

  /** Waits until all lines have been sent, but no longer than `timeoutMs`, and closes. */
  async close(timeoutMs: number): Promise<void> {
    this.#ending = true;
    this.#wake?.();
    const { world } = this.#options;
    if (this.#running) await settledWithin(this.#running, timeoutMs, { world });
    this.#dropped += this.#lines.length;
    this.#lines = [];
    this.#closing.abort();
    this.#wake?.();
    await this.#running;
  }

  get #done(): boolean {
    return this.#closing.signal.aborted || (this.#ending && this.#lines.length === 0);
  }

  async #run(): Promise<void> {
    const { host, port, world, reconnectBaseDelayMs, reconnectMaxDelayMs } = this.#options;
    for (let failures = 0; !this.#done;) {
      try {
        const socket = await connectUntil(this.#closing.signal, { hostname: host, port });
        if (socket === undefined) return;
        failures = 0;
        await this.#use(socket);
      } catch {
        // The server is away: what waits is sent when it is back, as far as the buffer goes.
        failures++;
      }
      if (this.#done) return;
      const backoff = { baseDelayMs: reconnectBaseDelayMs, maxDelayMs: reconnectMaxDelayMs };
      const delayMs = backoffDelayMs(Math.max(1, failures), backoff, world);
      await pause(delayMs, { signal: this.#closing.signal, world: inBackground(world) });
    }
  }

  /** Sends over one connection until it ends; rejects when it broke. */
  async #use(socket: Deno.TcpConn): Promise<void> {
    socket.setNoDelay(true);
    // The program that we are in may end at any time.
    socket.unref();
    let serverEnded = false;
    const reading = endOf(socket).then(() => {
      serverEnded = true;
      this.#wake?.();
    });
    this.#connected = true;
    // A write to a server that reads no more, or has gone without a word, hangs for minutes.
    let isCut = false;
    const cut = () => {
      isCut = true;
      socket.close();
    };
    this.#closing.signal.addEventListener("abort", cut, { once: true });
    try {
      while (!serverEnded && !this.#done) {
        if (this.#lines.length > 0) await this.#write(socket);
        else await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      this.#connected = false;
      this.#closing.signal.removeEventListener("abort", cut);
      if (!isCut) socket.close();
      await reading;
    }
  }

  async #write(socket: Deno.TcpConn): Promise<void> {
    const lines = this.#lines.splice(0, linesPerWrite);
    const bytes = encoder.encode(`${lines.join("\n")}\n`);
    let written = 0;
    try {
      while (written < bytes.length) written += await socket.write(bytes.subarray(written));
    } catch (error) {
      // The line in which it broke is sent again as a whole: the server drops its half.
      let sent = 0;
      for (let i = 0; i < written; i++) if (bytes[i] === 0x0a) sent++;
      this.#lines = [...lines.slice(sent), ...this.#lines];
      throw error;
    }
  }
}

/**
 * Connects, or gives nothing once the signal aborts: an address that does not answer lets a
 * connection hang for minutes, and looking up a name heeds no signal.
 */
async function connectUntil(
  signal: AbortSignal,
  address: { hostname: string; port: number },
): Promise<Deno.TcpConn | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Deno.TcpConn | undefined>();
  const giveUp = () => resolve(undefined);
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  Deno.connect({ ...address, signal }).then((socket) => {
    if (signal.aborted) socket.close();
    resolve(signal.aborted ? undefined : socket);
  }, reject);
  return await promise.finally(() => signal.removeEventListener("abort", giveUp));
}

/** Resolves when the other side has ended; it sends nothing else. */
async function endOf(socket: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    while (await socket.read(buffer) !== null);
  } catch {
    // Reset, or closed by us: an end as well.
  }
}

/** Timers that keep no process alive. */
function inBackground(world: World): Pick<World, "setTimeout" | "clearTimeout"> {
  return {
    setTimeout(callback, delayMs) {
      const timer = world.setTimeout(callback, delayMs);
      unrefTimer(timer);
      return timer;
    },
    clearTimeout: (timer) => world.clearTimeout(timer),
  };
}
