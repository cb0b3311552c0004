import assert from "node:assert/strict";
import { acceptsTcp, answersOk, choosePorts, freePortFrom, requireFreePort } from "./ports.ts";

Deno.test({
  name: "choosePorts() keeps what is wanted and finds the rest, all different",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    const ports = choosePorts(4242, undefined, 0, undefined);
    assert.equal(ports[0], 4242);
    assert.equal(new Set(ports).size, 4);
    // None that a connection which goes out may have a moment later.
    assert.ok(ports.every((port) => port < 32_768));
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
    assert.ok(any >= 20_000 && any < 32_768);
    const others = Array.from({ length: 12_767 }, (_, index) => 20_001 + index);
    assert.throws(() => freePortFrom(0, new Set([20_000, ...others])), {
      name: "StartError",
      message: "Of 1000 ports from 20000 to 32767, none is free on 127.0.0.1.",
    });
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

Deno.test({
  name: "freePortFrom() gives the last port there is, and says where none is free",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    const none = new Set(Array.from({ length: 6 }, (_, index) => 65_530 + index));
    assert.throws(() => freePortFrom(65_530, none), {
      ...{ name: "StartError", message: "No port from 65530 to 65535 is free on 127.0.0.1." },
    });
    none.delete(65_535);
    let free: number | undefined;
    try {
      Deno.listen({ hostname: "127.0.0.1", port: 65_535 }).close();
      free = 65_535;
    } catch (error) {
      // Somebody has it.
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
    if (free !== undefined) assert.equal(freePortFrom(65_530, none), free);
    // Any port, but none that is taken: the system is asked so often and no more.
    let asked = 0;
    const all = { has: () => ++asked > 0 } as unknown as ReadonlySet<number>;
    assert.throws(() => freePortFrom(0, all), { name: "StartError" });
    assert.equal(asked, 1_000);
  },
});

Deno.test("answersOk() and acceptsTcp() say whether something is there, and throw what is another fault", async () => {
  const { signal } = new AbortController();
  let status = 200;
  let port = 0;
  {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response(status === 204 ? null : "x", { status }),
    );
    port = server.addr.port;
    const url = `http://127.0.0.1:${port}`;
    for (const [code, ok] of [[200, true], [204, true], [404, false], [503, false]] as const) {
      status = code;
      assert.equal(await answersOk(url, signal), ok);
      assert.equal(await answersOk(new Request(url), signal), ok);
    }
    assert.equal(await acceptsTcp(port), true);
    await assert.rejects(answersOk(url, AbortSignal.abort()), { name: "AbortError" });
  }
  assert.equal(await answersOk(`http://127.0.0.1:${port}`, signal), false);
  assert.equal(await acceptsTcp(port), false);
  await assert.rejects(acceptsTcp(-1));
});

Deno.test("requireFreePort() and freePortFrom() tell of another fault than a port in use as it is", () => {
  const { listen } = Deno;
  const fault = new Deno.errors.AddrNotAvailable("no such address");
  Deno.listen = () => {
    throw fault;
  };
  try {
    assert.throws(() => requireFreePort("kafka", "broker", 2), fault);
    assert.throws(() => freePortFrom(2), fault);
  } finally {
    Deno.listen = listen;
  }
});
