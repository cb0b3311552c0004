/**
 * Which tests are a file's.
 *
 * @module
 */
import { dirname } from "node:path";
import { sourceFiles } from "../../service/testing/source_files.ts";

/** What each file of the project imports of it. */
type Imports = ReadonlyMap<string, readonly string[]>;

/**
 * The unit tests of its folder that reach `file`, be it by way of others; where there are none, those that
 * import it themselves, wherever they are, and else those of its program's folder.
 *
 * @example
 * ```ts
 * await testsOf("signer/work/wire.ts"); // ["signer/signer_test.ts", "signer/work/wire_test.ts"]
 * ```
 */
export async function testsOf(file: string): Promise<string[]> {
  const files = await sourceFiles();
  const imports = new Map(files.map(({ path, imports }) => [path, imports]));
  const tests = [...imports.keys()]
    .filter((path) => /(?<!_program|_page|faults|_stack)_test\.tsx?$/.test(path));
  const inFolder = (folder: string) =>
    tests.filter((path) => dirname(path) === folder && reaches(path, file, imports));
  const importing = tests.filter((path) => imports.get(path)!.includes(file));
  const [found = []] = [inFolder(dirname(file)), importing, inFolder(file.split("/")[0]!)]
    .filter((some) => some.length > 0);
  return found.sort();
}

function reaches(from: string, to: string, imports: Imports): boolean {
  const seen = new Set([from]);
  for (const path of seen) {
    for (const next of imports.get(path) ?? []) seen.add(next);
  }
  return seen.has(to);
}
