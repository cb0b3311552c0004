/**
 * For tests: a folder that is gone with the test.
 *
 * @module
 */

/**
 * Gives a test a temporary folder, and removes it with what is in it.
 *
 * @example
 * ```ts
 * testWith(["read", "write"], "it is kept", () => withTempFolder(async (folder) => { … }));
 * ```
 */
export async function withTempFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
