/**
 * `node:http2`, loaded by who speaks it and not by every program that listens: it takes 3 MB of memory.
 *
 * @module
 */
import type http2 from "node:http2";
import process from "node:process";

/** The platform's module. An `import`, a dynamic one too, would be at the top of a bundle. */
export function nodeHttp2(): typeof http2 {
  return process.getBuiltinModule("node:http2");
}
