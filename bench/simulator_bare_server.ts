#!/usr/bin/env -S deno run --allow-net
/**
 * The reference for the simulator's intake: lines in, `JSON.parse`, a count, and nothing else.
 *
 * @module
 */
let count = 0;

async function serve(socket: Deno.TcpConn): Promise<void> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65_536);
  let rest = "";
  for (let read; (read = await socket.read(buffer)) !== null;) {
    const lines = (rest + decoder.decode(buffer.subarray(0, read), { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (typeof JSON.parse(line).event === "string") count++;
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const counter = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  () => new Response(`${count}`),
);
Deno.stdout.writeSync(
  new TextEncoder().encode(`port=${listener.addr.port} count=${counter.addr.port}\n`),
);
Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
for await (const socket of listener) serve(socket);
