/**
 * The signer's programs as people start them, without a broker: the REST API with a service inside,
 * the load, and the commands that look after keys and audit log.
 */
import assert from "node:assert/strict";
import { statusBytes } from "../bench/process_memory.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startArguments, startProgram } from "../service/testing/program.ts";
import { withTempFolder } from "../service/testing/temp_folder.ts";

const needs: Deno.PermissionName[] = ["run", "read", "write", "net", "env"];
const entry = (name: string) => new URL(`../signer/${name}.ts`, import.meta.url);

async function startApi(folder: string, flags: string[] = []) {
  const program = await startProgram(entry("rest_api"), [
    ...["--port", "0", "--data-dir", folder, ...flags],
  ]);
  const [, url] = await program.line(/Listening url=(http:\/\/[^/]+)/);
  return { program, url: url! };
}

/** Runs a command of the service to its end. */
async function command(...args: string[]): Promise<{ code: number; output: string }> {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: await startArguments(entry("service"), args),
    stdin: "null",
    env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function signs(url: string): Promise<string> {
  const response = await fetch(`${url}/sign`, { method: "POST", body: '{"message":"hi"}' });
  assert.equal(response.status, 200);
  return (await response.json()).keyId;
}

testWith(
  needs,
  "signer-api alone says that a service runs inside it, signs, and stops in order",
  () =>
    withTempFolder(async (folder) => {
      const { program, url } = await startApi(folder);
      await using _program = program;
      await program.line(/a signing service runs inside this process/);
      await signs(url);
      program.kill("SIGTERM");
      assert.equal((await program.status).code, 0);
    }),
);

testWith(
  needs,
  "keys rotated by command sign in a program that runs, without a restart",
  () =>
    withTempFolder(async (folder) => {
      const { program, url } = await startApi(folder);
      await using _program = program;
      const before = await signs(url);
      const { code, output } = await command("keys", "rotate", "--data-dir", folder);
      assert.equal(code, 0, output);
      const { kid } = JSON.parse(output);
      await eventually("the new key", async () => await signs(url) === kid || undefined);
      const retired = await command("keys", "retire", before, "--data-dir", folder);
      assert.equal(retired.code, 0, retired.output);
      const again = await command("keys", "retire", kid, "--data-dir", folder);
      assert.equal(again.code, 1);
      assert.match(again.output, /rotate first/);
      // A key's id is base64url: one of 64 begins with "-", and is no flag for that.
      const dashed = `-${kid.slice(1)}`;
      const nobody = await command("keys", "retire", dashed, "--data-dir", folder);
      assert.match(nobody.output, new RegExp(`There is no key '${dashed}'`));
    }),
);

testWith(
  needs,
  "audit verify passes over what was signed, and fails with 1 where a byte was changed",
  () =>
    withTempFolder(async (folder) => {
      {
        const { program, url } = await startApi(folder);
        await using _program = program;
        for (let i = 0; i < 5; i++) await signs(url);
        // Killed, not stopped: what was answered is noted all the same.
        program.kill("SIGKILL");
        await program.status;
      }
      const good = await command("audit", "verify", "--data-dir", folder);
      assert.equal(good.code, 0, good.output);
      assert.equal(JSON.parse(good.output).entries, 5);
      const file = `${folder}/audit/audit-000000000001.jsonl`;
      const text = await Deno.readTextFile(file);
      await Deno.writeTextFile(file, text.replace('"seq":3,"time":"2', '"seq":3,"time":"1'));
      const bad = await command("audit", "verify", "--data-dir", folder);
      assert.equal(bad.code, 1);
      assert.deepEqual(JSON.parse(bad.output).line, 3);
    }),
);

testWith(
  needs,
  "signer-load has messages signed and checks them, over an outage too",
  () =>
    withTempFolder(async (folder) => {
      const { program, url } = await startApi(folder);
      await using load = await startProgram(entry("load"), ["--url", url, "--interval-ms", "10"]);
      await eventually("audited messages", async () => {
        const text = await Deno.readTextFile(`${folder}/audit/audit-000000000001.jsonl`).catch(() =>
          ""
        );
        return text.split("\n").length > 5 || undefined;
      });
      await program[Symbol.asyncDispose]();
      await load.line(/A message was not signed/);
      const again = await startApi(folder, ["--port", new URL(url).port]);
      await using _again = again.program;
      await load.line(/Messages are signed again/);
      load.kill("SIGTERM");
      assert.equal((await load.status).code, 0);
    }),
);

testWith(
  needs,
  "signer-api beyond loopback without authentication refuses to start",
  () =>
    withTempFolder(async (folder) => {
      await using program = await startProgram(entry("rest_api"), [
        ...["--port", "0", "--host", "0.0.0.0", "--data-dir", folder],
      ]);
      assert.equal((await program.status).code, 1);
      assert.match(program.lines.join("\n"), /--allow-remote-without-auth/);
    }),
);

testWith(
  needs,
  "1,000 idle sockets and slow readers leave the rest served, and memory bounded",
  () =>
    withTempFolder(async (folder) => {
      const { program, url } = await startApi(folder, ["--algorithm", "base64"]);
      await using _program = program;
      await using sockets = new AsyncDisposableStack();
      const idle = await Promise.all(Array.from({ length: 1_000 }, () => idleSocket(url)));
      for (const one of idle) sockets.use(one);
      const before = await rssMiB(program.pid);
      // Peers that send all the time and never read: each answer is 133 kB.
      for (let i = 0; i < 8; i++) sockets.use(await neverReads(url));
      await program.line(/A WebSocket is cut off/, 120_000);
      await signs(url);
      const grown = await rssMiB(program.pid) - before;
      // Some 250 that the collector has not come to; four times the peers leave no more.
      assert.ok(grown < 400, `grew by ${grown} MiB`);
    }),
);

/** A WebSocket that says nothing, once it is open. */
async function idleSocket(url: string): Promise<AsyncDisposable> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/sign/ws`);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("no socket"));
  });
  return {
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
}

/**
 * A WebSocket client by hand that reads nothing and writes large messages until it is cut off, as
 * on a busy machine most of them get the short answer that the server is overloaded.
 */
async function neverReads(url: string): Promise<AsyncDisposable> {
  const { hostname, port, host } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const encoder = new TextEncoder();
  await connection.write(encoder.encode([
    ...["GET /sign/ws HTTP/1.1", `Host: ${host}`, "Connection: Upgrade", "Upgrade: websocket"],
    ...["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""],
  ].join("\r\n")));
  const payload = new Uint8Array(100_000).fill(120);
  const frame = new Uint8Array(14 + payload.length);
  // RFC 6455, section 5.2: final text frame, masked with zeros, 64-bit length.
  frame.set([0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0]);
  frame.set(payload, 14);
  const cut = (async () => {
    try {
      while (true) {
        for (let at = 0; at < frame.length;) at += await connection.write(frame.subarray(at));
      }
    } catch {
      // Cut off, as it should be, or closed by the test.
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      connection.close();
      await cut;
    },
  };
}

async function rssMiB(pid: number): Promise<number> {
  return await statusBytes(pid, "VmRSS") / 1024 ** 2;
}
