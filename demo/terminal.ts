/**
 * What the demo shows: lines, the one line that stays alive, and the browser.
 *
 * @module
 */
import type { Place } from "../programs.ts";
import { timeoutSignal } from "../service/resilience.ts";
import type { World } from "../service/world/world.ts";

/** Prints a line. */
export function say(text: string): void {
  write(`${text}\n`);
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

/** The line that stays alive: on a terminal rewritten each second, else printed now and then. */
export class StatusLine {
  readonly #programs: readonly { readonly name: string; readonly up: boolean }[];
  readonly #place: Place;
  readonly #world: World;
  readonly #terminal = Deno.stdout.isTerminal();
  readonly #stop = new AbortController();

  constructor(
    programs: readonly { readonly name: string; readonly up: boolean }[],
    place: Place,
    world: World,
  ) {
    this.#programs = programs;
    this.#place = place;
    this.#world = world;
  }

  /** Shows it from now on, until {@linkcode stop}. */
  start(): void {
    const show = () => void this.#show();
    // Not at once: the first figures come a second after the start.
    const first = this.#world.setTimeout(show, 1_500);
    const timer = this.#world.setInterval(show, this.#terminal ? 1_000 : 15_000);
    this.#stop.signal.addEventListener("abort", () => {
      this.#world.clearTimeout(first);
      this.#world.clearInterval(timer);
    });
  }

  /** Shows it no more. */
  stop(): void {
    this.#stop.abort();
    if (this.#terminal) write("\n");
  }

  async #show(): Promise<void> {
    const text = await this.#text();
    if (this.#stop.signal.aborted) return;
    if (this.#terminal) write(`\r\x1b[2K${text}`);
    else say(text);
  }

  async #text(): Promise<string> {
    const page = this.#place.url("console");
    try {
      using timeout = timeoutSignal(900, { signal: this.#stop.signal, world: this.#world });
      const response = await fetch(`${page}/api/stats`, { signal: timeout.signal });
      const stats = await response.json();
      const perSecond = (part: { perSecond: number }) => Math.round(part.perSecond);
      return `${this.#state()} · ${stats.traces.tracesHeld} traces · ` +
        `${perSecond(stats.traces)} spans/s · ${perSecond(stats.metrics)} points/s · ` +
        `${perSecond(stats.logs)} logs/s · ${page} · Ctrl-C stops`;
    } catch {
      // Why does not matter here: an end of the console's is reported, and mended.
      return `${this.#state()} · the console does not answer · ${page}`;
    }
  }

  #state(): string {
    const down = this.#programs.filter(({ up }) => !up).map(({ name }) => name);
    const all = this.#programs.length;
    if (down.length === 0) return `● ${all} programs up`;
    return `○ ${all - down.length} of ${all} programs up, down: ${down.join(", ")}`;
  }
}

/** Opens a page in the browser that the system would take, or asks the person to. */
export async function openBrowser(address: string): Promise<void> {
  const [opener, ...args] = browserCommand();
  try {
    const { success } = await new Deno.Command(opener, {
      args: [...args, address],
      stdout: "null",
      stderr: "null",
    }).output();
    if (success) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  say(`No browser could be opened (${opener} did not work). Open ${address} yourself.`);
}

function browserCommand(): [command: string, ...args: string[]] {
  if (Deno.build.os === "darwin") return ["open"];
  if (Deno.build.os === "windows") return ["cmd", "/c", "start", ""];
  return ["xdg-open"];
}
