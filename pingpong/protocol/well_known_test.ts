import assert from "node:assert/strict";
import { parseWellKnown } from "./well_known.ts";

const hash = { algorithm: "sha-256", value: "ab".repeat(32) };
const text = (certificateHashes: unknown) =>
  JSON.stringify({
    version: 1,
    webtransport: { port: 4433, path: "/", certificateHashes },
    websocket: { path: "/" },
  });
const hashesOf = (document: string) =>
  parseWellKnown(document, "https://ping.example").webtransport.certificateHashes;

Deno.test("parseWellKnown() reads what it understands, and leaves the rest", () => {
  assert.deepEqual(hashesOf(`\ufeff${text([hash])}`), [hash], "a byte order mark");
  const unknown = { algorithm: "sha3-512", value: "cd".repeat(64) };
  assert.deepEqual(hashesOf(text([unknown, hash])), [hash]);
  assert.deepEqual(hashesOf(text([])), [], "an authority vouches for it");
});

Deno.test("parseWellKnown() refuses what nobody could believe", () => {
  for (
    const document of [text([{ algorithm: "sha3-512", value: "cd".repeat(64) }]), "{}", "<html>"]
  ) {
    assert.throws(() => hashesOf(document), /is no description of a server/, document);
  }
});
