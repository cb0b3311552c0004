import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { embedWasm } from "../service/embedded_wasm.ts";
import { programs } from "../programs.ts";
import { allBundles, removeBundlesAfterAll } from "./bundles_fixture.ts";
import { findTraces } from "./demo_program.ts";
import { sendTrace } from "./otlp_json.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { acceptsTcp, choosePorts } from "../service/ports.ts";
import { statusOf } from "../service/testing/status.ts";

const needs: Deno.PermissionName[] = ["run", "read", "write", "net", "env"];

/** What shows that a bundled program does its work, alone in an empty folder. */
const proofs: Record<string, (folder: string, file: URL) => Promise<void>> = {
  "console": async (folder, file) => {
    // Its store is a thread, which in a bundle is the bundle itself.
    await using program = await startProgram(file, [
      ...["--page-port", "0", "--otlp-port", "0", "--grpc-port", "0"],
      ...["--store", `${folder}/console.sqlite`],
    ]);
    const ready = /page=(http:\/\/127\.0\.0\.1:\d+) otlp=(http:\/\/127\.0\.0\.1:\d+)/;
    const [, url, otlp] = await program.line(ready);
    await assertServesPage(url!);
    const traceId = await sendTrace({ fields: { otlp: otlp! } }, { name: "to a bundle" });
    const [trace] = await eventually("the trace", async () => {
      const found = await findTraces(url!, `/${traceId}`);
      return found.length > 0 ? found : undefined;
    });
    assert.equal(trace!.spans.length, 2);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "observer": async (_folder, file) => {
    await using program = await startProgram(file, ["--metrics-address", "127.0.0.1:0"]);
    const [, url] = await program.line(/page=(http:\/\/127\.0\.0\.1:\d+)/);
    await assertServesPage(url!);
    assert.match(await (await fetch(`${url}/metrics`)).text(), /^rkt_images_total 0$/m);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "image-service": async (_folder, file) => {
    const [rktPort, criPort] = choosePorts(0, 0);
    await using program = await startProgram(file, [
      ...["--rkt-port", String(rktPort), "--cri-port", String(criPort)],
    ]);
    await eventually(
      "its ports",
      async () => await acceptsTcp(rktPort) && await acceptsTcp(criPort) || undefined,
    );
    const entry = new URL("../observer/observer.ts", import.meta.url);
    await using observer = await startProgram(entry, [
      ...["list", "--json", "--endpoint", `rkt=127.0.0.1:${rktPort}`],
      ...["--endpoint", `cri=127.0.0.1:${criPort}`],
    ]);
    assert.equal((await observer.status).code, 0, observer.lines.join("\n"));
    assert.match(observer.lines.join("\n"), /"images"/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "issuer": async (folder, file) => {
    await using program = await startProgram(file, ["--port", "0", "--data-dir", `${folder}/data`]);
    const [, url] = await program.line(/url=(http:\/\/127\.0\.0\.1:\d+)/);
    const secret = await Deno.readTextFile(`${folder}/data/admin.secret`);
    const response = await fetch(`${url}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`admin:${secret}`)}` },
      body: new URLSearchParams({ grant_type: "client_credentials", scope: "orb:admin" }),
    });
    assert.equal((await response.json()).scope, "orb:admin");
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "orb-server": async (folder, file) => {
    await using program = await startProgram(file, [
      ...["--orb-api-port", "0", "--data-dir", `${folder}/data`],
    ]);
    const [, url] = await program.line(/url=(http:\/\/127\.0\.0\.1:\d+)/);
    const response = await fetch(`${url}/api/signup`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"id":"1","image_base64":"AQIDBAU="}',
    });
    assert.equal(await response.text(), "371dd8e3f2423f4a");
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
    await using other = await startProgram(file, [
      ...["--orb-api-port", "0", "--data-dir", `${folder}/data`],
      ...["--kafka-brokers", "127.0.0.1:1", "--kafka-start-timeout-ms", "0"],
    ]);
    // The client of Kafka is loaded and works: it says that there is no Kafka.
    await other.line(/Cannot use Kafka at 127\.0\.0\.1:1/);
    assert.equal((await other.status).code, 1);
  },
  "orb-admin": async (folder, file) => {
    const entry = new URL("../orb/server.ts", import.meta.url);
    await using server = await startProgram(entry, [
      ...["--orb-api-port", "0", "--data-dir", `${folder}/data`],
    ]);
    await server.line(/The orb server is ready/);
    await using queue = await startProgram(file, ["queue", "--data-dir", `${folder}/data`]);
    assert.equal((await queue.status).code, 0, queue.lines.join("\n"));
    assert.equal(JSON.parse(queue.lines[0]!).byState.queued, 0);
    const backup = ["backup", `${folder}/orb.tar`, "--data-dir", `${folder}/data`];
    await using written = await startProgram(file, backup);
    assert.equal((await written.status).code, 0, written.lines.join("\n"));
  },
  "signer-api": async (folder, file) => {
    await using program = await startProgram(file, [
      ...["--port", "0", "--data-dir", `${folder}/data`],
    ]);
    const [url] = await program.line(/(?<=Listening url=)http:\/\/127\.0\.0\.1:\d+/);
    assert.equal(await statusOf(fetch(`${url}/sign`)), 200);
    const response = await fetch(`${url}/sign`, { method: "POST", body: '{"message":"hi"}' });
    assert.equal((await response.json()).algorithm, "ed25519");
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "signer-service": async (folder, file) => {
    await using program = await startProgram(file, [
      ...["--port", "0", "--data-dir", `${folder}/data`],
      ...["--kafka-brokers", "127.0.0.1:1", "--kafka-start-timeout-ms", "0"],
    ]);
    // The client of Kafka is loaded and works: it says that there is no Kafka.
    await program.line(/Cannot use Kafka at 127\.0\.0\.1:1/);
    assert.equal((await program.status).code, 1);
  },
  "signer-load": async (_folder, file) => {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => Response.json(request.url.endsWith("/verify") ? { valid: true } : {}),
    );
    await using program = await startProgram(file, [
      ...["--url", `http://127.0.0.1:${server.addr.port}`],
    ]);
    await program.line(/Sending messages to sign/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "pingpong-server": async (folder, file) => {
    await using program = await startPingpong(folder, file);
    const [url] = await program.line(/(?<=WebSocket at )http:\/\/127\.0\.0\.1:\d+/);
    await assertServesPage(url!);
    const [, port] = await program.line(/WebTransport at https:\/\/127\.0\.0\.1:(\d+)/);
    const entry = new URL("../pingpong/client.ts", import.meta.url);
    await using client = await startProgram(entry, [
      ...["--port", port!, "--pin", `${folder}/cert.sha256`],
    ]);
    assert.equal((await client.status).code, 0, client.lines.join("\n"));
    assert.match(client.lines.join("\n"), /Received response data: Pong!/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "pingpong-client": async (folder, file) => {
    const entry = new URL("../pingpong/server.ts", import.meta.url);
    await using server = await startPingpong(folder, entry);
    const [, port] = await server.line(/WebTransport at https:\/\/127\.0\.0\.1:(\d+)/);
    await using program = await startProgram(file, [
      ...["--port", port!, "--pin", `${folder}/cert.sha256`],
    ]);
    assert.equal((await program.status).code, 0, program.lines.join("\n"));
    assert.match(program.lines.join("\n"), /Received response data: Pong!/);
  },
  "orb-client": async (_folder, file) => {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("cafe"),
    );
    const url = `http://127.0.0.1:${server.addr.port}`;
    await using program = await startProgram(file, [
      ...["--telemetry-url", url, "--telemetry-interval", "0"],
      ...["--orb-server", url, "--orb-signup-interval", "600", "--images", "fresh"],
    ]);
    await program.line(/Unique Image Hash Token cafe/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "simulator": async (_folder, file) => {
    const [program, port, url] = await startSimulator(file);
    await using _ = program;
    await assertServesPage(url);
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    await connection.write(new TextEncoder().encode('{"traceId":"t","event":"bundled"}\n'));
    await program.line(/^RECEIVED: .*"event":"bundled"/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "simulator-fleet": async (_folder, file) => {
    const [server, port] = await startSimulator(new URL("../simulator/server.ts", import.meta.url));
    await using _ = server;
    await using program = await startProgram(file, ["--port", port, "--processes", "2"]);
    await server.line(/RECEIVED: .*processingPerformed/);
    program.kill("SIGTERM");
    assert.equal((await program.status).code, 0);
  },
  "simulator-example": async (_folder, file) => {
    const [server, port] = await startSimulator(new URL("../simulator/server.ts", import.meta.url));
    await using _ = server;
    await using program = await startProgram(file, ["17", "--port", port, "--interval-ms", "10"]);
    assert.equal((await program.status).code, 0, program.lines.join("\n"));
    await server.line(/RECEIVED: .*processStopped/);
  },
  "simulate": async (folder, file) => {
    await using run = await startProgram(file, ["run", "--seed", "7", "--orders", "3"]);
    assert.equal((await run.status).code, 0, run.lines.join("\n"));
    const hash = run.lines.at(-1)!;
    assert.match(hash, /^[0-9a-f]{64}$/);
    // The bundle is the same program: what it is made of runs as its sources do.
    const source = new URL("../simulator/simulate.ts", import.meta.url);
    await using other = await startProgram(source, ["run", "--seed", "7", "--orders", "3"]);
    assert.equal((await other.status).code, 0);
    assert.equal(other.lines.at(-1), hash);
    // Its workers load the bundle too.
    await using sweep = await startProgram(file, [
      ...["sweep", "--seeds", "1..50", "--orders", "3", "--workers", "2"],
    ]);
    assert.equal((await sweep.status).code, 0, sweep.lines.join("\n"));
    assert.match(sweep.lines.join("\n"), /^50 seeds, 0 failed, in /m);
    const record = `${folder}/failure.json`;
    const failing = ["--seed", "2", "--plant", "11", "--orders", "24"];
    await using failed = await startProgram(file, ["run", ...failing, "--record", record]);
    assert.equal((await failed.status).code, 1);
    await using again = await startProgram(file, ["replay", record, "--quiet"]);
    assert.equal((await again.status).code, 1);
    assert.equal(again.lines.at(-1), failed.lines.at(-1));
    // What sends telemetry is in the bundle.
    let requests = 0;
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        requests += (await request.bytes()).length > 0 ? 1 : 0;
        return new Response();
      },
    );
    const endpoint = `http://127.0.0.1:${server.addr.port}`;
    await using traced = await startProgram(file, ["replay", record, "--otlp-endpoint", endpoint]);
    assert.equal((await traced.status).code, 1);
    assert.equal(requests, 1);
  },
};

/** A simulator on free ports; gives the TCP port of its intake and where its page is. */
async function startSimulator(file: URL): Promise<[TestProgram, port: string, url: string]> {
  const program = await startProgram(file, ["--port", "0", "--web-port", "0", "--web-server"]);
  const [, port, url] = await program.line(/telemetry=tcp:\/\/[^:]+:(\d+) page=(http:\S+)/);
  return [program, port!, url!];
}

/** A ping-pong server on free ports, with a certificate of its own in the folder. */
async function startPingpong(folder: string, file: URL): Promise<TestProgram> {
  return await startProgram(file, [
    ...["--port", "0", "--https-port", "0", "--page-port", "0", "--generate-certificate"],
    ...["--certificate-path", `${folder}/cert.pem`, "--key-path", `${folder}/key.pem`],
  ]);
}

/** Its HTML, and every script that the HTML names. */
async function assertServesPage(url: string): Promise<void> {
  const page = await fetch(url, { headers: { accept: "text/html" } });
  assert.equal(page.status, 200);
  const html = await page.text();
  const scripts = [...html.matchAll(/src="([^"]+\.js)"/g)].map(([, path]) => path!);
  const sizes = await Promise.all(scripts.map(async (path) => {
    const response = await fetch(new URL(path, url));
    assert.equal(response.status, 200, path);
    return (await response.text()).length;
  }));
  assert.ok(Math.max(...sizes) > 10_000, html);
}

removeBundlesAfterAll();

for (const { name } of programs) {
  testWith(needs, `bundled ${name} works alone in an empty folder`, async () => {
    const proof = proofs[name];
    assert.ok(proof, `no proof for ${name}`);
    const bundles = await allBundles();
    const folder = await Deno.makeTempDir();
    try {
      const file = pathToFileURL(`${folder}/${name}.js`);
      await Deno.copyFile(`${bundles}/${name}.js`, file);
      await proof(folder, file);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

testWith(
  ["read"],
  "a bundle whose WebAssembly loader is not known any more is refused",
  async () => {
    // As version 0.2.1 of @platformatic/wasm-utils is bundled.
    const known = `
    "node_modules/.deno/@platformatic+wasm-utils@0.2.1/node_modules/@platformatic/wasm-utils/dist/index.js"() {
      wasm = readFileSync2(new URL("../dist/native.wasm", import.meta.url));
    }`;
    assert.match(await embedWasm(known), /wasm = Uint8Array\.fromBase64\("AGFzbQ[^"]+"\);/);
    // As it is where the code is split.
    const split = `
// node_modules/.deno/@platformatic+wasm-utils@0.2.1/node_modules/@platformatic/wasm-utils/dist/index.js
import { readFileSync } from "node:fs";
var wasm = readFileSync(new URL("../dist/native.wasm", import.meta.url));`;
    assert.match(await embedWasm(split), /wasm = Uint8Array\.fromBase64\("AGFzbQ[^"]+"\);/);
    const others = [
      known.replace("readFileSync2(", "await readFile("),
      known.replace("wasm-utils/dist/index.js", "wasm-utils/lib/index.js"),
      known.replace('new URL("../dist/native.wasm", import.meta.url)', '"native.wasm"'),
    ];
    for (const other of others) {
      await assert.rejects(embedWasm(other), /^StartError: Cannot bundle: .*native\.wasm/, other);
    }
    assert.equal(await embedWasm("no_file()"), "no_file()");
  },
);

testWith(["read", "run"], "minified, what a block takes still ends with the block", async () => {
  // Other versions of esbuild put what is used once into its place, and forget its end.
  const code = `const ended = [];
    function take() {
      using file = { name: "lock", [Symbol.dispose]: () => ended.push("unlocked") };
      return file.name.trim();
    }
    console.log([take(), ...ended].join());`;
  // In a process of its own: esbuild's ends some time after it was told to.
  const { stdout, stderr } = await new Deno.Command("deno", {
    args: [
      "eval",
      `import { minify, stopMinifying } from "${new URL("../bundle.ts", import.meta.url)}";
       const small = await minify(${JSON.stringify(code)});
       await stopMinifying();
       await import("data:text/javascript," + encodeURIComponent(small));`,
    ],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  assert.equal(text(stdout), "lock,unlocked", text(stderr));
});
