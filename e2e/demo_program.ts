/**
 * For tests: the demo as a child process.
 *
 * @module
 */
import { startProgram, type TestProgram } from "../service/testing/program.ts";

/** The demo, up. `await using` kills it, and with it its programs, at the end of the block. */
export interface DemoProgram extends AsyncDisposable {
  /** Its process. */
  readonly program: TestProgram;
  /** Where the console's page and API are. */
  readonly consoleUrl: string;
  /** Where the orb server is. */
  readonly orbUrl: string;
  /** Its temporary folder. */
  readonly folder: string;
}

/** Starts the demo on free ports, with `args` behind its other flags, and waits until it is ready. */
export async function startDemo(...args: string[]): Promise<DemoProgram> {
  await using undo = new AsyncDisposableStack();
  const program = undo.use(
    await startProgram(new URL("../demo.ts", import.meta.url), [
      "--free-ports",
      ...args,
    ]),
  );
  const [, folder] = await program.line(/^Logs of the programs: (.*)\/<program>/, 180_000);
  const [, consoleUrl] = await program.line(/console +.*(http:\/\/127\.0\.0\.1:\d+)/);
  const [, orbUrl] = await program.line(/orb-server +.*(http:\/\/127\.0\.0\.1:\d+)/);
  const resources = undo.move();
  return {
    program,
    consoleUrl: consoleUrl!,
    orbUrl: orbUrl!,
    folder: folder!,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The part of a trace in Jaeger's JSON that tests check. */
export interface JaegerTrace {
  traceID: string;
  spans: {
    spanID: string;
    operationName: string;
    processID: string;
    startTime: number;
    duration: number;
    references: { spanID: string }[];
    tags: { key: string; value: unknown }[];
  }[];
  processes: Record<string, { serviceName: string; tags: { key: string; value: unknown }[] }>;
}

/** Traces from a Jaeger query API, which is also the console's; none while it has none. */
export async function findTraces(queryUrl: string, path: string): Promise<JaegerTrace[]> {
  const response = await fetch(`${queryUrl}/api/traces${path}`);
  const { data } = await response.json() as { data: JaegerTrace[] | null };
  return data ?? [];
}

/** The names of the services that a trace crosses. */
export function servicesOf(trace: JaegerTrace): string[] {
  return Object.values(trace.processes).map(({ serviceName }) => serviceName);
}

/** Whether every span's parent is in the trace. */
export function isWhole({ spans }: JaegerTrace): boolean {
  const ids = new Set(spans.map(({ spanID }) => spanID));
  return spans.every(({ references }) => references.every(({ spanID }) => ids.has(spanID)));
}
