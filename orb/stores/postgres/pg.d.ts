/**
 * What of `pg` is used here. (`@types/pg` brings another version of Node's types along, which change
 * those of everything else.)
 *
 * @module
 */

/** Rows of a statement. */
export interface QueryResult<Row> {
  rows: Row[];
}

/** A statement that is prepared under a name. */
export interface QueryConfig {
  name: string;
  text: string;
  values: unknown[];
}

/** Makes values of what arrives as text. */
export type TypeParser = (text: string) => unknown;

/** Options of a connection. */
export interface ClientConfig {
  connectionString: string;
  application_name?: string;
  connectionTimeoutMillis?: number;
  keepAlive?: boolean;
  statement_timeout?: number;
  idle_in_transaction_session_timeout?: number;
  query_timeout?: number;
  types?: { getTypeParser(oid: number, format?: string): TypeParser };
}

/** A connection. */
export interface ClientBase {
  query<Row = Record<string, unknown>>(
    statement: string | QueryConfig,
    values?: unknown[],
  ): Promise<QueryResult<Row>>;
  on(event: "error", listener: (error: Error) => void): this;
  on(event: "end", listener: () => void): this;
  on(event: "notification", listener: (message: { payload?: string }) => void): this;
  off(event: "error", listener: (error: Error) => void): this;
}

/** A connection of its own. */
export interface Client extends ClientBase {
  connect(): Promise<void>;
  end(): Promise<void>;
}

/** A connection of a pool; released with an error it is closed. */
export interface PoolClient extends ClientBase {
  release(error?: Error): void;
}

/** Connections that are shared. */
export interface Pool {
  connect(): Promise<PoolClient>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): this;
}

/** Options of a pool. */
export interface PoolConfig extends ClientConfig {
  max?: number;
  /** What connections are made of. */
  Client?: new (config: ClientConfig) => Client;
  /** Looks at a new connection before anybody gets it. */
  verify?: (client: ClientBase, done: (error?: Error) => void) => void;
}

declare const pg: {
  Pool: new (config: PoolConfig) => Pool;
  Client: new (config: ClientConfig | string) => Client;
  types: {
    builtins: { INT8: number };
    getTypeParser(oid: number, format?: string): TypeParser;
  };
};
export default pg;
