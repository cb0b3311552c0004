/**
 * For tests against real components: ignored, with the reason, where a permission that the
 * starters need is missing, such as under `deno test --allow-net`.
 *
 * @module
 */

import { missingPermissions } from "../service/testing/permissions.ts";

/** What a test needs beyond the permissions. */
export interface StackTestOptions {
  /**
   * Whether the component runs as root only.
   * @default false
   */
  root?: boolean;
}

/** `Deno.test` for a test that starts components of this folder. */
export function testWithStack(
  name: string,
  run: () => Promise<void>,
  { root = false }: StackTestOptions = {},
): void {
  const missing = missingPermissions([
    { name: "run" },
    { name: "read" },
    { name: "write" },
    { name: "env" },
    { name: "net", host: "127.0.0.1" },
    ...(root ? [{ name: "sys", kind: "uid" } as const] : []),
  ]).map((one) => `--allow-${one}`);
  if (root && missing.length === 0 && Deno.uid() !== 0) missing.push("root");
  Deno.test({
    name: missing.length === 0 ? name : `${name} (ignored: needs ${missing.join(" ")})`,
    ignore: missing.length > 0,
    fn: run,
  });
}
