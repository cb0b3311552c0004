#!/usr/bin/env -S deno run --allow-read --allow-write=orb/sip_hash_gen.ts
/**
 * Makes sip_hash_gen.ts of sip_hash.wat: `deno task orb:generate`. The result is committed, so
 * that nobody needs an assembler to run the server.
 *
 * @module
 */
import wabt from "wabt";

const source = new URL("./sip_hash.wat", import.meta.url);
const target = new URL("./sip_hash_gen.ts", import.meta.url);

const { parseWat } = await wabt();
const module = parseWat("sip_hash.wat", await Deno.readTextFile(source), { multi_value: true });
module.validate();
const { buffer } = module.toBinary({});
await Deno.writeTextFile(
  target,
  `// Made of sip_hash.wat by 'deno task orb:generate'; change that one.
// deno-fmt-ignore-file

/** The WebAssembly module of sip_hash.wat, ${buffer.length} bytes, in base64. */
export const sipHashModule =
  "${buffer.toBase64()}";
`,
);
