#!/usr/bin/env -S deno run --allow-net=127.0.0.1
/**
 * Web clients that read all they get and throw it away, as cheaply as a program can: for the
 * simulator's latency, where a crowd in the measuring process would measure itself.
 *
 * `simulator_crowd.ts PORT COUNT` prints `ready` when all are connected.
 *
 * @module
 */
const [port, count] = Deno.args.map(Number) as [number, number];
const handshake = new TextEncoder().encode(
  `GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
);

async function readAll(socket: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(262_144);
  while (await socket.read(buffer) !== null);
}

const greeted: Promise<unknown>[] = [];
for (let i = 0; i < count; i++) {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  await socket.write(handshake);
  greeted.push(
    socket.read(new Uint8Array(4_096)).then((read) => {
      if (read === null) throw new Error("The server has closed a connection of the crowd");
      void readAll(socket);
    }),
  );
}
await Promise.all(greeted);
Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
