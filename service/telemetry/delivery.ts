/**
 * Whether telemetry gets through: one state of all exporters, so that an outage is one warning and
 * not one a batch; and whether there is a collector at all, so that a shutdown does not wait for none.
 *
 * @module
 */
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { settledWithin } from "../resilience.ts";
import type { World } from "../world/world.ts";

/** What every exporter is, seen from here. */
export interface Exporter<Batch> {
  export(batch: Batch, done: (result: ExportResult) => void): void;
}

/** How long a connection to the collector may take that is only to find out whether it is there. */
const probeTimeoutMs = 200;

/** Options of {@linkcode Delivery}. */
export interface DeliveryOptions {
  /** Where telemetry goes: URLs, one a signal. */
  endpoints: readonly string[];
  /** Called once when delivery begins to fail and once when it works again. */
  warn: (message: string) => void;
  world: World;
}

/** See the module. */
export class Delivery {
  readonly #options: DeliveryOptions;
  #failing = false;
  #everDelivered = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** The same exporter, its results noted. */
  watch<Batch, Watched extends Exporter<Batch>>(exporter: Watched & Exporter<Batch>): Watched {
    const original = exporter.export.bind(exporter);
    exporter.export = (batch, done) =>
      original(batch, (result) => {
        this.#note(result);
        done(result);
      });
    return exporter;
  }

  #note(result: ExportResult): void {
    if (result.code === ExportResultCode.SUCCESS) {
      if (this.#failing) this.#options.warn("Telemetry is delivered again.");
      this.#failing = false;
      this.#everDelivered = true;
    } else this.failed(result.error?.message ?? "no reason given");
  }

  /** Takes note of a failure that no exporter reports, such as one that the SDK gave up waiting for. */
  failed(reason: string): void {
    const { warn, endpoints } = this.#options;
    if (!this.#failing) {
      this.#failing = true;
      warn(
        `Telemetry cannot be delivered to ${
          withoutCredentials(endpoints[0] ?? "")
        } (${reason}). The service goes on; queues are bounded and what overflows is counted. Start a collector there (deno task console), name another with OTEL_EXPORTER_OTLP_ENDPOINT, or turn telemetry off with OTEL_SDK_DISABLED=true.`,
      );
    }
  }

  /**
   * Resolves once it is certain that waiting for deliveries is in vain: nothing was ever delivered
   * and nobody accepts a connection. Otherwise it never resolves.
   */
  async inVain(): Promise<void> {
    const { endpoints, world } = this.#options;
    if (!this.#everDelivered && !await someoneListens(endpoints, world) && !this.#everDelivered) {
      return;
    }
    await new Promise(() => {});
  }
}

/** Whether any of these URLs' addresses takes a connection, within 200 ms. */
export async function someoneListens(
  endpoints: readonly string[],
  world: Pick<World, "setTimeout" | "clearTimeout">,
): Promise<boolean> {
  const addresses = new Set(endpoints.map(addressOf));
  const accepted = await Promise.all([...addresses].map((address) => accepts(address, world)));
  return accepted.includes(true);
}

async function accepts(
  address: string | undefined,
  world: Pick<World, "setTimeout" | "clearTimeout">,
): Promise<boolean> {
  if (address === undefined) return false;
  const { hostname, port } = new URL(`tcp://${address}`);
  let accepted = false;
  // IPv6 addresses have brackets in URLs only.
  const host = hostname.replace(/^\[|\]$/g, "");
  const connected = Deno.connect({ hostname: host, port: Number(port) }).then((connection) => {
    accepted = true;
    connection.close();
  });
  await settledWithin(connected, probeTimeoutMs, { world });
  return accepted;
}

/** `host:port`; undefined for what is no URL, which the exporter has warned of. */
function addressOf(endpoint: string): string | undefined {
  const url = URL.parse(endpoint);
  return url ? `${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}` : undefined;
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}
