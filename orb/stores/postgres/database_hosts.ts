/**
 * A database that may be at one of several hosts, as libpq's `target_session_attrs=read-write`: the
 * one that takes writes. So a server finds the standby that was promoted when its primary is gone.
 *
 * @module
 */
// @ts-types="./pg.d.ts"
import pg from "pg";
import { hostUrls } from "./host_urls.ts";
import type { Client, ClientBase, ClientConfig, Pool, PoolClient } from "./pg.d.ts";

/** It can be read there, but not written: a standby. */
export class ReadOnlyHostError extends Error {
  override name = "ReadOnlyHostError";
  readonly code = "25006";
}

/** Connects to whichever host takes writes. */
export class DatabaseHosts {
  readonly #urls: readonly string[];
  #current = 0;

  constructor(databaseUrl: string) {
    this.#urls = hostUrls(databaseUrl);
    if (this.#urls.length === 0) throw new RangeError("Cannot connect: no URL of PostgreSQL");
  }

  /** The host that connections go to at present. */
  get url(): string {
    return this.#urls[this.#current]!;
  }

  /** A pool of connections; get them by {@linkcode connect}. */
  openPool(config: Omit<ClientConfig, "connectionString"> & { max: number }): Pool {
    // deno-lint-ignore no-this-alias -- each connection asks again where to go
    const hosts = this;
    const HostClient = class extends pg.Client {
      constructor(config: ClientConfig) {
        super({ ...config, connectionString: hosts.url });
      }
    };
    return new pg.Pool({
      ...config,
      connectionString: this.url,
      Client: HostClient,
      verify: (client, done) => requireWritable(client).then(() => done(), done),
    });
  }

  /** A connection of a pool to a host that takes writes; each host is tried once. */
  connect(pool: Pool): Promise<PoolClient> {
    return this.#atSomeHost(() => pool.connect());
  }

  /** A connection of its own; `prepare` may listen for its events before it connects. */
  openClient(
    config: Omit<ClientConfig, "connectionString">,
    prepare: (client: Client) => void,
  ): Promise<Client> {
    return this.#atSomeHost(async (connectionString) => {
      const client = new pg.Client({ ...config, connectionString });
      prepare(client);
      try {
        await client.connect();
        await requireWritable(client);
        return client;
      } catch (error) {
        await client.end().catch(() => {});
        throw error;
      }
    });
  }

  async #atSomeHost<Connection>(open: (url: string) => Promise<Connection>): Promise<Connection> {
    for (let left = this.#urls.length;; left--) {
      const { url } = this;
      try {
        return await open(url);
      } catch (error) {
        // Unless somebody else has moved on meanwhile.
        if (this.url === url) this.#current = (this.#current + 1) % this.#urls.length;
        if (left <= 1) throw error;
      }
    }
  }
}

async function requireWritable(client: ClientBase): Promise<void> {
  const { rows: [row] } = await client.query<{ transaction_read_only: string }>(
    "SHOW transaction_read_only",
  );
  if (row?.transaction_read_only === "on") {
    throw new ReadOnlyHostError("the database is a standby there, which takes no writes");
  }
}
