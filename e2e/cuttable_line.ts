/**
 * For tests: a network that can be cut and mended.
 *
 * @module
 */

/** A network between page and console that can be cut and mended: bytes are passed on as they are. */
export function cuttableLine(target: string) {
  const { hostname, port } = new URL(target);
  const open = new Set<Deno.TcpConn>();
  let listener = Deno.listen({ hostname, port: 0 });
  const ownPort = (listener.addr as Deno.NetAddr).port;

  async function accept(from: Deno.TcpListener) {
    for await (const near of from) {
      const far = await Deno.connect({ hostname, port: Number(port) });
      open.add(near).add(far);
      // Either side's end, also one by force, is the end of the pair.
      const over = () => [near, far].forEach(close);
      near.readable.pipeTo(far.writable).then(over, over);
      far.readable.pipeTo(near.writable).then(over, over);
    }
  }
  function close(connection: Deno.TcpConn) {
    if (!open.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // Closed by its stream already.
    }
  }
  function cut() {
    listener.close();
    for (const connection of [...open]) close(connection);
  }

  let accepting = accept(listener);
  return {
    url: `http://${hostname}:${ownPort}`,
    cut,
    mend() {
      listener = Deno.listen({ hostname, port: ownPort });
      accepting = accept(listener);
    },
    async [Symbol.asyncDispose]() {
      cut();
      await accepting;
    },
  };
}
