/**
 * A ping-pong server as people run it, in a process of its own, for the benchmarks.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { programArguments } from "../service/program_file.ts";
import { statusBytes } from "./process_memory.ts";

/** A certificate in a folder of its own. `await using` removes the folder. */
export interface BenchCertificate extends AsyncDisposable {
  folder: string;
  certificatePath: string;
  keyPath: string;
  pinPath: string;
  /** Its SHA-256. */
  hash: Uint8Array;
}

/** Makes a certificate for servers of a benchmark. */
export async function makeCertificate(): Promise<BenchCertificate> {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-bench-" });
  const paths = {
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
    pinPath: join(folder, "cert.sha256"),
  };
  const { hash } = await generateCertificates(paths);
  return {
    folder,
    ...paths,
    hash,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** A server that runs. */
export interface PingpongProcess {
  child: Deno.ChildProcess;
  /** Its UDP port. */
  port: number;
  /** Its resident memory, in bytes. */
  rss(): Promise<number>;
}

/** Starts a server with the certificate in `folder`. */
export async function startPingpong(folder: string): Promise<PingpongProcess> {
  const entry = fileURLToPath(new URL("../pingpong/server.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: await programArguments(entry, [
      ...["--port", "0", "--page-port", "0", "--https-port", "0"],
      ...["--certificate-path", join(folder, "cert.pem"), "--key-path", join(folder, "key.pem")],
    ]),
    env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  const ready = /WebTransport at https:\/\/127\.0\.0\.1:(\d+)\//;
  while (!ready.test(said)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The server ended:\n${said}`);
    said += value;
  }
  // Read on, so that it never waits for us.
  (async () => {
    while (!(await reader.read()).done);
  })();
  return {
    child,
    port: Number(ready.exec(said)![1]),
    rss: () => statusBytes(child.pid, "VmRSS"),
  };
}

/** Starts a server of another kind, which says `listening <port>`. */
export async function startListening(command: string, args: readonly string[]) {
  const child = new Deno.Command(command, { args: [...args], stdout: "piped" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!/listening \d+\n/.test(said)) said += (await reader.read()).value ?? "";
  reader.cancel();
  return { child, port: Number(/listening (\d+)/.exec(said)![1]) };
}

/** Ends a process and waits for its end. */
export async function endProcess(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // Ended already.
  }
  await child.status;
}
