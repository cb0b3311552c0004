/**
 * Which document the generated client was made of.
 *
 * @module
 */
import { hash } from "node:crypto";

/** The generated file. */
export const generatedClient = new URL("./gen/openapi.ts", import.meta.url);

/**
 * The generated file's first line, by which it is known what it was made of and that nobody has
 * changed it since.
 */
export function generatedHeader(document: object, types: string): string {
  const made = `Made by deno task orb:generate-client of ${openApiHash(document)}`;
  return `// ${made}, the types are ${hash("sha256", types, "hex")}\n`;
}

/** The SHA-256 of what the client is made of: not of the version and the texts for people above it. */
function openApiHash(document: object): string {
  const { info: _, ...rest } = document as { info?: unknown };
  return hash("sha256", JSON.stringify(rest), "hex");
}
