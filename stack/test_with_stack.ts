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
  Deno.test({ ...namedFor(missingFor(root), name), fn: run });
}

/** A component that the tests of a file share. */
export interface SharedComponent<Component> {
  /** The component, as it runs. @throws why it does not */
  get(): Promise<Component>;
  /** Declares a test that uses it, as {@linkcode testWithStack} does. */
  test(name: string, run: () => Promise<void>): void;
}

/**
 * Starts a component before a file's first test, and stops it after the last.
 *
 * @example
 * ```ts
 * const kafka = sharedComponent(startKafka);
 * kafka.test("it is there", async () => assert.ok((await kafka.get()).bootstrapServer));
 * ```
 */
export function sharedComponent<Component extends { stop(): Promise<unknown> }>(
  start: () => Promise<Component>,
): SharedComponent<Component> {
  const missing = missingFor(false);
  let component: Promise<Component> | undefined;
  Deno.test.beforeAll(async () => {
    if (missing.length > 0) return;
    // A busy machine may need a second attempt: a test that fails is tried again, this is not.
    component = start().catch(start);
    // Why it does not start is for the tests to say.
    await component.catch(() => {});
  });
  Deno.test.afterAll(async () => {
    await (await component?.catch(() => undefined))?.stop();
  });
  return {
    get: () => component ?? Promise.reject(new Error("Nothing has been started")),
    test: (name, run) =>
      Deno.test({
        ...namedFor(missing, name),
        fn: run,
        // What the component logs meanwhile ends a read that was begun before the test.
        sanitizeOps: false,
      }),
  };
}

/** What is missing for a test that starts components. */
function missingFor(root: boolean): string[] {
  const missing = missingPermissions([
    { name: "run" },
    { name: "read" },
    { name: "write" },
    { name: "env" },
    { name: "net", host: "127.0.0.1" },
    ...(root ? [{ name: "sys", kind: "uid" } as const] : []),
  ]).map((one) => `--allow-${one}`);
  if (root && missing.length === 0 && Deno.uid() !== 0) missing.push("root");
  return missing;
}

function namedFor(missing: readonly string[], name: string) {
  return {
    name: missing.length === 0 ? name : `${name} (ignored: needs ${missing.join(" ")})`,
    ignore: missing.length > 0,
  };
}
