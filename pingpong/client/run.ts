/**
 * A client's run: finds the server, pings in one mode or in all, and prints what comes of it.
 *
 * @module
 */
import type { ServiceContext } from "../../service/life_cycle.ts";
import { timeoutSignal, untilAborted } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { discover } from "../discovery/discovery.ts";
import { messageOf } from "../http3/errors.ts";
import { clientEndpoint } from "../http3/quic.ts";
import type { Mode } from "../protocol/session_terms.ts";
import { readToken } from "../protocol/token.ts";
import { addressesOf } from "./addresses.ts";
import { linkOpener } from "./failover.ts";
import type { LinkOptions, Target, Trust } from "./link.ts";
import { openLink } from "./open_link.ts";
import type { PingRun } from "./ping_events.ts";
import { Pinger } from "./pinger.ts";
import { interimLine, JsonPrinter, type Output, type Printer, TextPrinter } from "./printers.ts";
import { Reconnection } from "./reconnection.ts";
import { targetOf, type TargetOptions, trustOf, type TrustOptions } from "./target.ts";

/** The modes a person may ask for. */
export const modeChoices = [
  "bidi",
  "uni",
  "datagram",
  "websocket",
  "auto",
  "all",
] as const;

/** Options of {@linkcode runPingpongClient}. */
export interface PingpongClientOptions extends TargetOptions, TrustOptions {
  /** How pings travel. @default "bidi" */
  mode?: typeof modeChoices[number];
  /** Pings to send, in each mode; 0 for no end. @default 3 */
  pingCount?: number;
  /** Milliseconds from one ping to the next at least. @default 0 */
  intervalMs?: number;
  /** Bytes of a ping's text, and with servers of ours of its pong's, from 0. @default 5, "Ping!" and "Pong!" */
  size?: number;
  /**
   * Pings unanswered at once, at least 1.
   *
   * @default 1 without an interval; 1,000 with one, so that a missing answer does not hold up the
   * next ping, and a freeze of the server shows in each of those that it delays
   */
  concurrency?: number;
  /** Milliseconds that the whole run may take, over all modes, finding a server included. @default no limit */
  deadlineMs?: number;
  /** Milliseconds after which a datagram's ping is lost, above 0. @default 1_000 */
  timeoutMs?: number;
  /** A stream for every ping. @default false */
  streamPerPing?: true;
  /** A file with the token to show. @default none */
  tokenFile?: string;
  /** The name under which the server keeps answers. @default a new one each run */
  name?: string;
  /** Prints a JSON object a line. @default false */
  json?: true;
  /** Prints no line a pong. @default false */
  quiet?: true;
  /** Prints the time in front of each line. @default false */
  timestamps?: true;
  /** Draws a histogram. @default for 20 measured pings or more */
  histogram?: boolean;
  /** Milliseconds a connection may take, above 0. @default 3_000 */
  connectTimeoutMs?: number;
  /** Attempts after the first failed one, when there never was a connection; from 0. @default 3 */
  retries?: number;
  /** Milliseconds to the first retry, above 0; it doubles from there. @default 1_000 */
  retryBaseDelayMs?: number;
  /** Milliseconds that outages may take in sum, until a stable connection. @default 120_000 */
  outageBudgetMs?: number;
  /** Milliseconds a connection must last to count as stable. @default 5_000 */
  stableAfterMs?: number;
  /** Milliseconds between probes of a silent server, above 0. @default 500 */
  heartbeatMs?: number;
  /** Milliseconds until a silent server counts as dead, above 0. @default 2_000 */
  heartbeatTimeoutMs?: number;
}

/** What came of a run. */
export interface PingpongClientResult {
  /** 0 all answered, 1 some lost or not sent before the deadline, 2 no server, or it could not go on. */
  exitCode: 0 | 1 | 2;
  /** Each mode's run. */
  runs: { mode: Mode | "auto"; run: PingRun }[];
}

const allModes: readonly Mode[] = ["bidi", "uni", "datagram", "websocket"];

/** What a run takes from its program. */
export interface PingpongClientContext extends Pick<ServiceContext, "telemetry"> {
  /** Whose time and chance it is. @default realWorld */
  world?: World;
}

/** Where a run's lines go, and what its terminal is like. */
export interface PingpongClientOutput extends Output {
  /** A promise while no more can be taken; no new ping is sent until it resolves. @default always room */
  room?: () => Promise<void> | undefined;
  /** The terminal's width, in characters. @default 80 */
  columns?: number;
  /** Whoever reads it has ASCII only. @default false */
  plain?: boolean;
  /** Called with what gives the figures so far in a line, for each mode. @default nobody asks */
  onInterim?: (line: () => string) => void;
}

/**
 * Pings, and writes about it, a line a call. Never rejects: what stops it is printed and has exit
 * code 2.
 *
 * @example
 * ```ts
 * const { exitCode, runs } = await runPingpongClient(
 *   { host: "ping.example", mode: "all", pingCount: 100 },
 *   context,
 *   { data: (line) => console.log(line), talk: (line) => console.error(line) },
 * );
 * ```
 */
export async function runPingpongClient(
  options: PingpongClientOptions,
  context: PingpongClientContext,
  output: PingpongClientOutput,
  signal?: AbortSignal,
): Promise<PingpongClientResult> {
  const { world = realWorld } = context;
  const { deadlineMs } = options;
  const printer = printerOf(options, output, world);
  const endpoint = clientEndpoint();
  const runs: PingpongClientResult["runs"] = [];
  using deadline = deadlineMs === undefined ? undefined : timeoutSignal(deadlineMs, { world });
  const ends = [signal, deadline?.signal].filter((one) => one !== undefined);
  const over = AbortSignal.any(ends);
  const modes = options.mode === "all" ? allModes : [options.mode ?? "bidi"] as const;
  const whyOver = () =>
    deadline?.signal.aborted ? `none within ${deadlineMs} ms` : "stopped before there was one";
  try {
    const client = await untilAborted(prepare(options, context, printer, endpoint), over);
    if (!client) throw new Error(`No server was found: ${whyOver()}`);
    for (const mode of modes) {
      printer.begin(mode, client.targets[0]!, options.size ?? 5);
      const pinger = pingerOf(mode, client, options, output.room);
      output.onInterim?.(() => interimLine(pinger.statistics));
      const run = await pinger.start(over);
      if (run.connections === 0) run.error ??= new Error(`no connection: ${whyOver()}`);
      runs.push({ mode, run });
      printer.end(mode, run);
      if (over.aborted) break;
    }
  } catch (error) {
    printer.failed(messageOf(error));
    return { exitCode: 2, runs };
  } finally {
    endpoint.close();
  }
  const missed = deadline?.signal.aborted === true && runs.length < modes.length ? 1 : 0;
  const exitCodes = runs.map(({ run }) =>
    exitCodeOf(run, deadline?.signal, options.pingCount ?? 3)
  );
  return { exitCode: Math.max(missed, ...exitCodes) as 0 | 1 | 2, runs };
}

function printerOf(
  { json, quiet, timestamps, histogram }: PingpongClientOptions,
  output: PingpongClientOutput,
  world: World,
): Printer {
  if (json) return new JsonPrinter(output, world);
  const { columns = 80, plain = false } = output;
  return new TextPrinter(output, {
    ...{ quiet, timestamps, columns, plain, world },
    ...(histogram !== undefined && { histogram }),
  });
}

function exitCodeOf(
  { statistics, error }: PingRun,
  deadline: AbortSignal | undefined,
  count: number,
): 0 | 1 | 2 {
  const { sent, lost } = statistics.summary();
  if (error) return 2;
  const cutShort = deadline?.aborted === true && sent < count;
  return lost > 0 || cutShort ? 1 : 0;
}

/** What all runs of a client have in common. */
interface Client {
  targets: readonly Target[];
  trust: Trust;
  token: string | undefined;
  endpoint: Deno.QuicEndpoint;
  printer: Printer;
  telemetry: ServiceContext["telemetry"];
  world: World;
}

async function prepare(
  options: PingpongClientOptions,
  { telemetry, world = realWorld }: PingpongClientContext,
  printer: Printer,
  endpoint: Deno.QuicEndpoint,
): Promise<Client> {
  const trust = await trustOf(options);
  const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile);
  if (token !== undefined && trust.insecure) {
    throw new Error(
      "Refuses to show the token to a server that anyone may be: give --pin or --ca instead of --insecure",
    );
  }
  const { connectTimeoutMs, family } = options;
  const found = options.discover === undefined ? [targetOf(options)] : await discover(
    options.discover,
    { trust, world, endpoint, ...(connectTimeoutMs && { connectTimeoutMs }) },
  );
  const targets = await Promise.all(found.map(async (target) => ({
    ...target,
    addresses: await addressesOf(target.host, family),
  })));
  if (options.discover !== undefined) printer.found(targets);
  return { targets, trust, token, endpoint, printer, telemetry, world };
}

function pingerOf(
  mode: Mode | "auto",
  client: Client,
  options: PingpongClientOptions,
  room: PingpongClientOutput["room"],
): Pinger {
  const { targets, printer, telemetry, world } = client;
  const { intervalMs = 0 } = options;
  const name = options.name ?? world.randomUuid();
  const linkOptions = linkOptionsOf(client, options);
  const pinger: Pinger = new Pinger({
    openLink: linkOpener(targets, mode, (target, transport, context) => {
      const named = { name, run: pinger.run };
      return openLink({ ...linkOptions, context, mode: transport, target, client: named });
    }, (choice) => printer.chosen(choice)),
    reconnection: new Reconnection({
      world,
      ...(options.retries !== undefined && { retries: options.retries }),
      ...(options.retryBaseDelayMs && { retryBaseDelayMs: options.retryBaseDelayMs }),
      ...(options.outageBudgetMs && { outageBudgetMs: options.outageBudgetMs }),
      ...(options.stableAfterMs && { stableAfterMs: options.stableAfterMs }),
    }),
    onEvent: (event) => printer.event(event),
    count: options.pingCount ?? 3,
    intervalMs,
    concurrency: options.concurrency ?? (intervalMs > 0 ? 1_000 : 1),
    data: options.size === undefined ? "Ping!" : textOf(options.size),
    sizedPongs: options.size !== undefined,
    pingTimeoutMs: options.timeoutMs ?? 1_000,
    ...(room && { room }),
    tracer: telemetry.tracer,
    meter: telemetry.meter,
    world,
  });
  return pinger;
}

function linkOptionsOf(
  { trust, token, endpoint, world }: Client,
  options: PingpongClientOptions,
): Pick<LinkOptions, "trust"> & Partial<LinkOptions> {
  return {
    ...{ trust, endpoint, world },
    ...(token !== undefined && { token }),
    ...(options.streamPerPing && { streamPerPing: true }),
    ...(options.connectTimeoutMs && { connectTimeoutMs: options.connectTimeoutMs }),
    ...(options.heartbeatMs && { heartbeatMs: options.heartbeatMs }),
    ...(options.heartbeatTimeoutMs && { heartbeatTimeoutMs: options.heartbeatTimeoutMs }),
  };
}

function textOf(size: number): string {
  return "Ping!".repeat(Math.ceil(size / 5)).slice(0, size);
}
