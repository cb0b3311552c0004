/**
 * For tests against real components: ignored, with the reason, where a permission that the
 * starters need is missing, such as under `deno test --allow-net`.
 *
 * @module
 */

import { missingPermissions } from "../service/test_permissions.ts";

/** `Deno.test` for a test that starts components of this folder. */
export function testWithStack(name: string, run: () => Promise<void>): void {
  const missing = missingPermissions([
    { name: "run" },
    { name: "read" },
    { name: "write" },
    { name: "env" },
    { name: "net", host: "127.0.0.1" },
  ]);
  const reason = missing.map((one) => `--allow-${one}`).join(" ");
  Deno.test({
    name: missing.length === 0 ? name : `${name} (ignored: needs ${reason})`,
    ignore: missing.length > 0,
    fn: run,
  });
}
