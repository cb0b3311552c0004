import assert from "node:assert/strict";
import { join } from "node:path";
import { settledWithin } from "../../service/resilience.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { hasIpv6 } from "../../service/testing/ipv6.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { generateCertificates } from "../certificates/generate.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";
import { createCertificate } from "../certificates/certificate.ts";
import { startTestServer, type TestServer } from "../test_server.ts";

/** A new certificate with its key and pin, beside the files that are in use. */
async function renewedFiles(server: TestServer) {
  const paths = {
    certificatePath: join(server.folder, "new-cert.pem"),
    keyPath: join(server.folder, "new-key.pem"),
    pinPath: join(server.folder, "new.sha256"),
  };
  await generateCertificates(paths);
  return paths;
}

testWith(
  ["read", "write"],
  "a renewed certificate that cannot be used leaves the old one in use everywhere, and is tried again",
  async () => {
    await using server = await startTestServer({ certificatePollMs: 50 });
    const oldHash = server.server.certificateHash();
    const made = await renewedFiles(server);
    // A certificate without its key, as when only one of the two files has been copied yet.
    await Deno.copyFile(made.certificatePath, join(server.folder, "cert.pem"));
    assert.equal(await server.server.reloadCertificate(), false);
    assert.ok(server.logged.find((line) => line.includes("the old one stays")));
    assert.deepEqual(server.server.certificateHash(), oldHash);
    for (const mode of ["bidi", "websocket"] as const) {
      assert.equal((await server.ping({ mode })).exitCode, 0, `${mode} with the old pin`);
    }
    await Deno.copyFile(made.keyPath, join(server.folder, "key.pem"));
    await eventually(
      "the new certificate",
      () => server.logged.find((line) => line.includes("A new certificate is in use")),
    );
    for (const mode of ["bidi", "websocket"] as const) {
      assert.equal(
        (await server.ping({ mode, pin: made.pinPath })).exitCode,
        0,
        `${mode} with the new pin`,
      );
      assert.equal((await server.ping({ mode })).exitCode, 2, `${mode} with the old pin`);
    }
  },
);

testWith(
  ["read", "write"],
  "a certificate that browsers will refuse is said at the start, and when it is renewed",
  () =>
    withTempFolder(async (folder) => {
      const paths = {
        certificatePath: join(folder, "cert.pem"),
        keyPath: join(folder, "key.pem"),
      };
      const dayMs = 86_400_000;
      const write = async (notBeforeMs: number) => {
        const { cert, key } = await createCertificate({ notBeforeMs, days: 3 });
        await Deno.writeTextFile(paths.certificatePath, cert);
        await Deno.writeTextFile(paths.keyPath, key);
      };
      await write(Date.now() - 9 * dayMs);
      await using server = await startTestServer(paths);
      const said = () => server.logged.filter((line) => line.includes("Browsers will refuse"));
      assert.match(said().join("\n"), /^WARN .* reason="it has expired on .*gen-certs[^\n]*$/);
      await write(Date.now() - dayMs);
      assert.equal(await server.server.reloadCertificate(), true);
      assert.equal(said().length, 1);
      await write(Date.now() + 9 * dayMs);
      assert.equal(await server.server.reloadCertificate(), true);
      assert.match(said()[1]!, /reason="it is not valid before /);
    }),
);

testWith(
  ["read", "write"],
  "a server that stops says so to each session, over WebSocket as well, and waits for none",
  async () => {
    await using server = await startTestServer();
    const socket = new WebSocket(server.server.pageUrl.replace("http:", "ws:"));
    const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
    await new Promise((resolve) => socket.onopen = resolve);
    const stopped = server.server.stop(AbortSignal.timeout(60_000));
    await stopped;
    assert.ok(await settledWithin(closed, 30_000), "the socket hears nothing");
    const { code, reason, wasClean } = await closed;
    assert.deepEqual([code, reason, wasClean], [4_503, "the server ends", true]);
  },
);

testWith(["read", "write"], "on localhost it answers on both families of loopback", async () => {
  await using server = await startTestServer({ host: "localhost" });
  assert.match(server.server.url, /^https:\/\/127\.0\.0\.1:/);
  const hosts = hasIpv6() ? ["127.0.0.1", "::1", "localhost"] : ["127.0.0.1"];
  for (const host of hosts) {
    for (const mode of ["bidi", "websocket"] as const) {
      const { exitCode, lines } = await server.ping({ host, mode });
      assert.equal(exitCode, 0, `${host} ${mode}: ${lines.join("\n")}`);
    }
    const page = new URL("/.well-known/pingpong.json", server.server.pageUrl);
    page.hostname = host.includes(":") ? `[${host}]` : host;
    const response = await fetch(page);
    assert.equal(response.status, 200, page.href);
    await response.body?.cancel();
  }
});

testWith(
  ["read", "write"],
  "each refused session is in the log, whatever it was to go over",
  async () => {
    await using server = await startTestServer({ path: ["/ping"] });
    const { port, hostname } = new URL(server.server.pageUrl);
    const refused = (fields: RegExp) =>
      eventually(
        "a line of it",
        () => server.logged.find((line) => /A session was refused/.test(line) && fields.test(line)),
      );
    const upgrade = async (path: string, headers: Record<string, string> = {}) => {
      const socket = await Deno.connect({ hostname, port: Number(port) });
      const fields = {
        ...{ host: `127.0.0.1:${port}`, connection: "upgrade", upgrade: "websocket" },
        ...{ "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" },
        ...headers,
      };
      const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
      await socket.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\n${lines}\r\n`));
      return socket;
    };
    using _foreign = await upgrade("/ping", { origin: "https://evil.example" });
    await refused(/transport=websocket status=403 reason=".*evil\.example/);
    using _nowhere = await upgrade("/other");
    await refused(/transport=websocket status=404/);
    const nowhere = await server.ping({ host: "127.0.0.1/other", retries: 0 });
    assert.equal(nowhere.exitCode, 2);
    await refused(/transport=webtransport status=404/);
  },
);
