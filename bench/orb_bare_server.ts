/**
 * What the orb server is measured against: a `Deno.serve` that parses the same JSON, decodes and
 * SHA-256-hashes it, and does nothing else. Prints its port.
 *
 * @module
 */
import { createHash } from "node:crypto";

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`)),
}, async (request) => {
  const { image_base64: text } = await request.json() as { image_base64: string };
  return new Response(createHash("sha256").update(Uint8Array.fromBase64(text)).digest("hex"));
});
