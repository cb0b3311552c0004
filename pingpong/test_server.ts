/**
 * For tests: a ping-pong server in this process on free ports, and clients of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { testContext } from "../service/testing/context.ts";
import {
  type PingpongClientOptions,
  type PingpongClientResult,
  runPingpongClient,
} from "./client.ts";
import { generateCertificates } from "./certificates/generate.ts";
import type { PingSummary } from "./client/statistics.ts";
import { type PingpongServer, type PingpongServerOptions, startPingpongServer } from "./server.ts";

/** A server under test. `await using` ends it and removes its folder. */
export interface TestServer extends AsyncDisposable {
  readonly server: PingpongServer;
  readonly folder: string;
  /** UDP port. */
  readonly port: number;
  /** TCP port of the TLS side. */
  readonly httpsPort: number;
  /** What it has logged. */
  readonly logged: readonly string[];
  /** Runs a client against it and gives what it printed, too. */
  ping(options?: PingpongClientOptions, signal?: AbortSignal): Promise<TestPing>;
}

/** What came of a client's run. */
export interface TestPing extends PingpongClientResult {
  readonly lines: string[];
}

/** Starts a server with a certificate of its own. */
export async function startTestServer(
  options: Partial<PingpongServerOptions> = {},
): Promise<TestServer> {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-" });
  const paths = {
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
  };
  const pinPath = join(folder, "cert.sha256");
  await generateCertificates({ ...paths, pinPath });
  const logged: string[] = [];
  const server = await startPingpongServer({
    port: 0,
    pagePort: 0,
    httpsPort: 0,
    certificatePollMs: 3_600_000,
    ...paths,
    ...options,
  }, testContext({ lines: logged }));
  const port = Number(new URL(server.url).port);
  const httpsPort = Number(new URL(server.httpsUrl).port);
  return {
    server,
    folder,
    port,
    httpsPort,
    logged,
    ping: (given = {}, signal) =>
      testPing({ port, websocketPort: httpsPort, pin: pinPath, ...given }, signal),
    async [Symbol.asyncDispose]() {
      await server.stop(AbortSignal.timeout(5_000));
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Runs a client; `onLine` gets each line when it is printed. */
export async function testPing(
  options: PingpongClientOptions,
  signal?: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<TestPing> {
  const lines: string[] = [];
  const print = (line: string) => {
    lines.push(line);
    onLine(line);
  };
  const output = { data: print, talk: print };
  const result = await runPingpongClient(options, testContext(), output, signal);
  return { ...result, lines };
}

/** Waits that are as short as they may be. */
export const quick = { retryBaseDelayMs: 20, stableAfterMs: 200, quiet: true } as const;

/** What the first run of a client counted. */
export function summaryOf({ runs }: TestPing): PingSummary {
  return runs[0]!.run.statistics.summary();
}

/** Every ping answered, none lost, none counted twice. */
export function assertWhole(ping: TestPing, count: number): void {
  const { sent, received, lost } = summaryOf(ping);
  assert.deepEqual(
    { sent, received, lost },
    { sent: count, received: count, lost: 0 },
    ping.lines.join("\n"),
  );
  assert.equal(ping.exitCode, 0);
}
