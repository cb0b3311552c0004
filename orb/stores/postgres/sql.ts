/**
 * Statements to PostgreSQL as template literals whose values are parameters, never text.
 *
 * @module
 */
import type { ClientBase } from "./pg.d.ts";

/**
 * Runs a statement and gives its rows. Each is prepared once a connection.
 *
 * @example
 * ```ts
 * const [row] = await sql<{ state: string }>`SELECT state FROM orb_signups WHERE id = ${id}`;
 * ```
 */
export type Sql = <Row = Record<string, unknown>>(
  text: TemplateStringsArray,
  ...values: readonly unknown[]
) => Promise<Row[]>;

/** Names of statements by their text, which are few: they stand in the code. */
const names = new Map<string, string>();

/** Statements on this connection. */
export function sqlOn(client: Pick<ClientBase, "query">): Sql {
  return async function sql<Row>(strings: TemplateStringsArray, ...values: readonly unknown[]) {
    const text = strings.reduce((whole, part, index) => `${whole}$${index}${part}`);
    let name = names.get(text);
    if (name === undefined) names.set(text, name = `orb_${names.size + 1}`);
    const { rows } = await client.query<Row>({ name, text, values: [...values] });
    return rows;
  };
}
