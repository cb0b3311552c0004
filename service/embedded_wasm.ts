/**
 * The WebAssembly that the Kafka client reads from beside itself, put into a bundle of it: a bundle
 * lies elsewhere.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { StartError } from "./life_cycle.ts";

const root = new URL("..", import.meta.url);

/** As a bundle of one file holds it, with a name in quotes, and one that is split, below a comment. */
const loader =
  /(?:"|\/\/ )(node_modules\/[^"\n]+\/wasm-utils\/dist)\/index\.js(?:"\(\) \{|\n)[^]*?(readFileSync\d*\(new URL\("\.\.\/dist\/native\.wasm", import\.meta\.url\)\))/;

/**
 * Puts the WebAssembly in the place where a bundle's code, not minified, reads it. The loader is
 * found by how it is written, so another version of it may be missed.
 *
 * @throws {StartError} the loader is there, and is not known.
 *
 * @example
 * ```ts
 * const alone = await embedWasm(await Deno.readTextFile("dist/signer-api.js"));
 * ```
 */
export async function embedWasm(code: string): Promise<string> {
  const [, folder, expression] = loader.exec(code) ?? [];
  if (folder !== undefined && expression !== undefined) {
    const wasm = await Deno.readFile(new URL(`${folder}/native.wasm`, root));
    return code.replace(expression, `Uint8Array.fromBase64("${wasm.toBase64()}")`);
  }
  const [left] = /new URL\("[^"]*\.wasm", import\.meta\.url\)|"[^"]*\.wasm"/.exec(code) ?? [];
  if (left === undefined) return code;
  throw new StartError(
    `Cannot bundle: the code still reads a file from beside itself, ${left}. If a new version of ` +
      `@platformatic/wasm-utils loads otherwise, adapt ${fileURLToPath(import.meta.url)}`,
  );
}
