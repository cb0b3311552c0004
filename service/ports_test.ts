import assert from "node:assert/strict";
import { choosePorts, freePortFrom, requireFreePort } from "./ports.ts";

Deno.test({
  name: "choosePorts() keeps what is wanted and finds the rest, all different",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    const ports = choosePorts(4242, undefined, 0, undefined);
    assert.equal(ports[0], 4242);
    assert.equal(new Set(ports).size, 4);
    assert.ok(ports.every((port) => port > 0 && port < 65_536));
  },
});

Deno.test({
  name: "freePortFrom() goes up from a port that is in use for TCP or UDP, or taken already",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    using tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = tcp.addr;
    assert.ok(freePortFrom(port) > port);
    const free = freePortFrom(port);
    assert.ok(freePortFrom(free, new Set([free])) > free);
    const udp = Deno.listenDatagram({ hostname: "127.0.0.1", port: free, transport: "udp" });
    assert.ok(freePortFrom(free) > free);
    udp.close();
    const any = freePortFrom(0);
    assert.ok(any > 0 && any < 65_536);
  },
});

Deno.test({
  name: "requireFreePort() names the program, the port and what it is for",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    assert.throws(() => requireFreePort("kafka", "broker", taken.addr.port), {
      name: "StartError",
      message: `Cannot start kafka: port ${taken.addr.port} (broker) is in use on 127.0.0.1. ` +
        "Stop what listens there or choose another port",
    });
  },
});
