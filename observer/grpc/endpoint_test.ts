import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { discover, parseEndpoint } from "./endpoint.ts";

Deno.test("parseEndpoint() takes host:port and unix:///path", () => {
  assert.deepEqual(parseEndpoint("rkt=127.0.0.1:15441"), {
    kind: "rkt",
    address: "127.0.0.1:15441",
    target: { host: "127.0.0.1", port: 15441 },
  });
  assert.deepEqual(parseEndpoint("cri=[::1]:80").target, { host: "::1", port: 80 });
  for (const text of ["cri=unix:///run/a.sock", "cri=unix:/run/a.sock"]) {
    assert.deepEqual(parseEndpoint(text), {
      kind: "cri",
      address: "unix:///run/a.sock",
      target: { path: "/run/a.sock" },
    });
  }
});

Deno.test("parseEndpoint() refuses what is no endpoint, and says how one looks", () => {
  for (const text of ["", "docker=a:1", "rkt", "127.0.0.1:15441"]) {
    assert.throws(() => parseEndpoint(text), /KIND=ADDRESS.*rkt=127/);
  }
  for (const text of ["rkt=", "rkt=host", "rkt=host:0", "cri=unix:relative", "cri=h:99999"]) {
    assert.throws(() => parseEndpoint(text), /host:port or unix:\/\/\/path/);
  }
});

testWith(["read", "write"], "discover() tells what listens, what does not, and why", async () => {
  const folder = await Deno.makeTempDir();
  const socket = Deno.listen({ transport: "unix", path: `${folder}/a.sock` });
  await Deno.writeTextFile(`${folder}/file`, "");
  const rkt = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${rkt.addr.port}`;
  const sockets = ["a.sock", "file", "none.sock"].map((name) => `${folder}/${name}`);
  try {
    const all = await discover({ rkt: address, sockets });
    assert.deepEqual(all.found.map(({ kind, address }) => [kind, address]), [
      ["rkt", address],
      ["cri", `unix://${folder}/a.sock`],
    ]);
    assert.deepEqual(all.missing, [
      { place: `cri=unix://${folder}/file`, reason: "not a socket" },
      { place: `cri=unix://${folder}/none.sock`, reason: "no such socket" },
    ]);
    rkt.close();
    const { found, missing } = await discover({ kinds: ["rkt"], rkt: address });
    assert.deepEqual(found, []);
    assert.match(missing[0]!.reason, /refused/i);
  } finally {
    socket.close();
    await Deno.remove(folder, { recursive: true });
  }
});
