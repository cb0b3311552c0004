/**
 * For tests: what is granted, so that `deno test --allow-net` ignores, with the reason, what needs
 * more, instead of failing.
 *
 * @module
 */

/** The permissions of `wanted` that are missing. */
export function missingPermissions(wanted: Deno.PermissionDescriptor[]): string[] {
  return wanted
    .filter((descriptor) => Deno.permissions.querySync(descriptor).state !== "granted")
    .map((descriptor) => descriptor.name);
}

/**
 * `Deno.test`, ignored with the reason in its name where a permission is missing.
 *
 * @example
 * ```ts
 * testWith(["read", "write"], "store keeps a token", async () => {});
 * ```
 */
export function testWith(
  permissions: Deno.PermissionName[],
  name: string,
  run: (t: Deno.TestContext) => void | Promise<void>,
  options: Pick<Deno.TestDefinition, "sanitizeOps" | "sanitizeResources" | "timeout"> = {},
): void {
  const missing = missingPermissions(
    permissions.map((name) => ({ name } as Deno.PermissionDescriptor)),
  );
  Deno.test({
    ...options,
    name: missing.length === 0
      ? name
      : `${name} (ignored: needs ${missing.map((one) => `--allow-${one}`).join(" ")})`,
    ignore: missing.length > 0,
    fn: run,
  });
}
