import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import { addressesOf } from "./addresses.ts";
import { bracketed } from "./link_request.ts";
import { targetOf, type TargetOptions, trustOf } from "./target.ts";

Deno.test("targetOf() takes what people type for a server", () => {
  const ip = { host: "127.0.0.1" };
  const secure = { websocketTls: true };
  for (
    const [options, target] of [
      [{}, { ...ip, port: 4433 }],
      [{ port: 1 }, { ...ip, port: 1 }],
      [{ host: "h", websocketPort: 7 }, { host: "h", port: 4433, websocketPort: 7 }],
      [{ host: "127.0.0.1:4434" }, { ...ip, port: 4434 }],
      [{ host: "127.0.0.1:4434", port: 4434 }, { ...ip, port: 4434 }],
      [{ host: "h:65535" }, { host: "h", port: 65_535 }],
      [{ host: "h/path" }, { host: "h", port: 4433, path: "/path" }],
      [{ host: "h:1/a?b=c", port: 1 }, { host: "h", port: 1, path: "/a?b=c" }],
      [{ host: "::1" }, { host: "::1", port: 4433 }],
      [{ host: "::1/p" }, { host: "::1", port: 4433, path: "/p" }],
      [{ host: "[::1]" }, { host: "::1", port: 4433 }],
      [{ host: "[fe80::1]:5" }, { host: "fe80::1", port: 5 }],
      [
        { host: "https://h/" },
        { host: "h", port: 443, path: "/", ...secure, websocketPort: 443 },
      ],
      [
        { host: "https://h/", port: 4433 },
        { host: "h", port: 4433, path: "/", ...secure, websocketPort: 4433 },
      ],
      [
        { host: "WSS://[::1]:8/a?b", port: 8, websocketPort: 9 },
        { host: "::1", port: 8, path: "/a?b", ...secure, websocketPort: 9 },
      ],
      [
        { host: "http://localhost/" },
        { host: "localhost", port: 80, path: "/", websocketTls: false, websocketPort: 80 },
      ],
      [
        { host: "ws://127.0.0.1:81/" },
        { ...ip, port: 81, path: "/", websocketTls: false, websocketPort: 81 },
      ],
    ] as const satisfies readonly (readonly [TargetOptions, unknown])[]
  ) assert.deepEqual(targetOf(options), target, JSON.stringify(options));
});

Deno.test("targetOf() says of what is no server what is wrong with it", () => {
  const form = /: give a host name or address, host:port, \[IPv6 address\]:port, or a URL$/;
  for (
    const [host, says] of [
      ["fe80::1%eth0", /an address with a zone .* cannot be used/],
      ["", form],
      ["h:", form],
      ["h:x", form],
      ["h:65536", form],
      ["a:b:c", form],
      ["[::1", form],
      [":1", form],
      ["h:2", /^Cannot ping h:2: --port 1 is another one$/],
      ["https://h:2/", /^Cannot ping https:\/\/h:2\/: --port 1 is another one$/],
      ["ftp://h/", /give a URL that begins with https:\/\/ or wss:\/\//],
      ["http://h/", /^Refuses to ping http:\/\/h\/: without TLS only on this machine$/],
      ["ws://10.0.0.1/", /without TLS only on this machine$/],
    ] as const
  ) {
    assert.throws(() => targetOf({ host, port: 1 }), { message: says }, host);
  }
});

Deno.test("bracketed() sets off an IPv6 address from its port, and nothing else", () => {
  assert.deepEqual(["::1", "127.0.0.1", "h"].map(bracketed), ["[::1]", "127.0.0.1", "h"]);
});

testWith(
  ["sys", "net"],
  "addressesOf() gives an address as it is, and only of its family",
  async () => {
    assert.deepEqual(await addressesOf("::1"), ["::1"]);
    assert.deepEqual(await addressesOf("127.0.0.1", 4), ["127.0.0.1"]);
    await assert.rejects(addressesOf("127.0.0.1", 6), { message: "127.0.0.1 is no IPv6 address" });
    await assert.rejects(addressesOf("::1", 4), { message: "::1 is no IPv4 address" });
    assert.deepEqual(await addressesOf("localhost", 4), ["127.0.0.1"]);
  },
);

testWith(
  ["read", "write"],
  "trustOf() takes the folder's own pin, also for servers of the local network",
  () =>
    withTempFolder(async (folder) => {
      const before = Deno.cwd();
      Deno.chdir(folder);
      try {
        assert.deepEqual(await trustOf({ discover: "mdns" }), {}, "there is none");
        await Deno.writeTextFile("cert.sha256", `${"ab".repeat(32)}\n`);
        const pins = [Uint8Array.fromHex("ab".repeat(32))];
        assert.deepEqual(await trustOf({ discover: "mdns" }), { pins });
        assert.deepEqual(await trustOf({}), { pins });
        assert.deepEqual(await trustOf({ discover: "ping.example" }), {});
      } finally {
        Deno.chdir(before);
      }
    }),
);

testWith(
  ["read", "write"],
  "trustOf() takes the first that is given, and says what is no pin",
  () =>
    withTempFolder(async (folder) => {
      const hash = "ab".repeat(32);
      const pins = [Uint8Array.fromHex(hash)];
      const [pin, ca] = [join(folder, "pin"), join(folder, "ca.pem")];
      await Deno.writeTextFile(pin, `${hash}\n`);
      await Deno.writeTextFile(ca, "authority");
      assert.deepEqual(await trustOf({ insecure: true, pin, ca }), { insecure: true });
      assert.deepEqual(await trustOf({ pin: hash, ca }), { pins });
      assert.deepEqual(await trustOf({ pin }), { pins });
      assert.deepEqual(await trustOf({ ca, discover: "mdns" }), { caCerts: ["authority"] });
      // What lies in the folder is not meant where a name is looked for.
      assert.deepEqual(await trustOf({ discover: "ping.example" }), {});
      await assert.rejects(trustOf({ pin: join(folder, "none") }), {
        message: /^Cannot take the pin .*none: it is no SHA-256 hash, and as a file: /,
      });
      await assert.rejects(trustOf({ pin: ca }));
      await assert.rejects(trustOf({ ca: join(folder, "none") }), Deno.errors.NotFound);
    }),
);
