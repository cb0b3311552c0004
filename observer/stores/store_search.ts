/**
 * Which stores are observed: those that the options name, and those that a search for the known
 * runtimes finds, now and later.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import {
  criSockets,
  discover,
  type DiscoverOptions,
  type Discovery,
  type Endpoint,
  makeEndpoint,
  rktAddress,
  type RuntimeKind,
} from "../grpc/endpoint.ts";
import type { Observatory } from "./observatory.ts";

/** Options of {@linkcode StoreSearch}. */
export interface StoreSearchOptions {
  /** Stores by name. */
  endpoints: readonly Endpoint[];
  /**
   * Beside those: `rkt` or `cri` where such a runtime is by default, `auto` all that are found.
   *
   * @default "auto" if no endpoint is given, else none
   */
  runtime?: RuntimeKind | "auto" | undefined;
  /** Gets what is found. */
  observatory: Pick<Observatory, "add">;
  log: Log;
  /** Time and chance. */
  world: World;
  /** How often `auto` searches for runtimes that have come, in milliseconds. @default 10_000 */
  intervalMs?: number;
  /** Finds the runtimes. @default discover */
  discover?: (options?: DiscoverOptions) => Promise<Discovery>;
}

/** Adds stores to an observatory. */
export class StoreSearch {
  readonly #options: StoreSearchOptions;
  readonly #known = new Set<string>();
  /** What the first search has to say, once the program is ready. */
  #report = () => {};
  #timer: TimerId | undefined;

  constructor(options: StoreSearchOptions) {
    this.#options = options;
  }

  /** Adds what is named and what is found now; `auto` goes on searching until {@linkcode stop}. */
  async start(): Promise<void> {
    const { endpoints, observatory, world, intervalMs = 10_000 } = this.#options;
    for (const endpoint of endpoints) observatory.add(endpoint);
    switch (this.#options.runtime ?? (endpoints.length === 0 ? "auto" : undefined)) {
      case "rkt":
        observatory.add(makeEndpoint("rkt", rktAddress));
        break;
      case "cri":
        await this.#addCriRuntimes();
        break;
      case "auto": {
        const { missing } = await this.#search();
        this.#report = () => this.#reportSearch(missing);
        this.#timer = world.setInterval(() => this.#searchAgain(), intervalMs);
      }
    }
  }

  /** Logs what the first search found; called when the program is ready, so that its line comes first. */
  report(): void {
    this.#report();
  }

  /** Ends the search. */
  stop(): void {
    this.#options.world.clearInterval(this.#timer);
  }

  /** Every CRI socket there is; without any, containerd's, which may come. */
  async #addCriRuntimes(): Promise<void> {
    const { observatory, log, discover: find = discover } = this.#options;
    const { found } = await find({ kinds: ["cri"] });
    const endpoints = found.length > 0 ? found : [makeEndpoint("cri", `unix://${criSockets[0]}`)];
    for (const endpoint of endpoints) observatory.add(endpoint);
    this.#report = () => {
      for (const { address } of endpoints) {
        log.info("Observes an image store", { endpoint: `cri=${address}` });
      }
    };
  }

  async #search(): Promise<{ fresh: string[]; missing: Discovery["missing"] }> {
    const { observatory, discover: find = discover } = this.#options;
    const { found, missing } = await find();
    const fresh: string[] = [];
    for (const endpoint of found) {
      const place = `${endpoint.kind}=${endpoint.address}`;
      if (this.#known.has(place)) continue;
      this.#known.add(place);
      fresh.push(place);
      observatory.add(endpoint);
    }
    return { fresh, missing };
  }

  async #searchAgain(): Promise<void> {
    const { fresh } = await this.#search();
    for (const endpoint of fresh) this.#options.log.info("Found an image store", { endpoint });
  }

  #reportSearch(missing: Discovery["missing"]): void {
    const { log } = this.#options;
    for (const endpoint of this.#known) log.info("Found an image store", { endpoint });
    if (this.#known.size > 0) return;
    for (const { place, reason } of missing) {
      log.info("Found no image store", { endpoint: place, reason });
    }
    log.warn(
      "No image store is there. Start a runtime, or name one with --endpoint; a stand-in is started by: deno task observer:image-service",
    );
  }
}
