/**
 * A collector that takes everything and keeps nothing. Prints its port.
 *
 * @module
 */
Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`)),
}, async (request) => {
  await request.arrayBuffer();
  return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
});
