/**
 * For what stands in the place of `Deno.test`: what it is called with, in each of its forms.
 *
 * @module
 */

/**
 * The definition that arguments of `Deno.test` make.
 *
 * @throws {TypeError} they have no function
 *
 * @example
 * ```ts
 * definitionOf("adds", () => {}).name; // "adds"
 * ```
 */
export function definitionOf(...args: readonly unknown[]): Deno.TestDefinition {
  const fn = args.find((one) => typeof one === "function") as
    | Deno.TestDefinition["fn"]
    | undefined;
  const given = args.find((one) => typeof one === "object") as Deno.TestDefinition | undefined;
  const named = args.find((one) => typeof one === "string") as string | undefined;
  const run = fn ?? given?.fn;
  if (!run) throw new TypeError("A test has no function");
  return { ...given, name: named ?? given?.name ?? run.name, fn: run };
}
