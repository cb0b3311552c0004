#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,FIXTURE_*
/** A program for `life_cycle_program_test.ts`: serves, and misbehaves when asked to. */
import { Hono } from "hono";
import { commandLine, flag } from "./command_line.ts";
import { healthRoutes } from "./health.ts";
import { listen, portFlag } from "./http_server.ts";
import { runService, type Service, type ServiceContext, StartError } from "./life_cycle.ts";
import { stdoutLines } from "./log.ts";
import { aborted } from "./resilience.ts";

const misdeeds = [
  "cannot-start",
  "hangs-on-start",
  "gives-up-start",
  "throws-later",
  "hangs-on-stop",
  "fails-on-stop",
  "finishes",
  "rejects",
] as const;
type Misdeed = typeof misdeeds[number];

async function startFixture(
  { port, misbehave, data }: {
    port: number;
    misbehave?: Misdeed | undefined;
    data?: true | undefined;
  },
  context: ServiceContext,
): Promise<Service> {
  if (misbehave === "cannot-start") throw new StartError("The key is unreadable.");
  if (misbehave === "hangs-on-start" || misbehave === "gives-up-start") {
    context.log.info("waiting for what never comes");
    // The timer keeps the process alive, as a connection that is tried again and again would.
    const timer = setInterval(() => {}, 1_000);
    context.telemetry.tracer.startSpan("begin").end();
    if (misbehave === "hangs-on-start") await new Promise(() => {});
    await aborted(context.stopping);
    clearInterval(timer);
    throw new StartError("The wait was cut short.");
  }
  if (data) stdoutLines.write("a,b,c");
  const server = await listen(routes(context).fetch, {
    port,
    portFlag: "--port",
    log: context.log,
  });
  context.health.set("http", "ok");
  context.log.info(`listening at ${server.url}`);
  const stop = stopOf(misbehave, (deadline) => server.stop(deadline));
  return {
    ...finish(misbehave),
    stop: (deadline) => {
      context.log.info("asked to stop");
      return stop(deadline);
    },
  };
}

function routes({ health, log, stopping, telemetry }: ServiceContext): Hono {
  const app = new Hono();
  app.route("/", healthRoutes(health));
  app.get("/slow", async (c) => {
    log.info("slow began");
    await aborted(stopping);
    return c.text("finished while draining");
  });
  app.get("/work", (c) =>
    telemetry.tracer.startActiveSpan("work", (span) => {
      telemetry.meter.createCounter("fixture.works").add(1);
      log.info("at work");
      span.end();
      return c.text(span.spanContext().traceId);
    }));
  app.get("/throw", (c) => {
    queueMicrotask(() => {
      throw new Error("nobody catches this");
    });
    return c.text("");
  });
  return app;
}

function finish(misbehave: Misdeed | undefined): Pick<Service, "finished"> {
  if (misbehave === "finishes") return { finished: Promise.resolve(3) };
  if (misbehave === "rejects") return { finished: Promise.reject(new Error("the task died")) };
  return {};
}

function stopOf(misbehave: Misdeed | undefined, stop: Service["stop"]): Service["stop"] {
  if (misbehave === "hangs-on-stop") return () => new Promise<void>(() => {});
  if (misbehave !== "fails-on-stop") return stop;
  return async (deadline) => {
    await stop(deadline);
    throw new Error("the disk is full");
  };
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "fixture",
    summary: "A program that is tested.",
    examples: [["fixture --port 0", "listens on a free port"]],
  })
    .addOption(portFlag("--port <port>", "where to listen", 0))
    .addOption(flag("--data", "print data"))
    .addOption(flag("--misbehave <how>", "what goes wrong").choices(misdeeds));
  await runService(command, startFixture, {
    stdout: Deno.args.includes("--data") ? "data" : "log",
  });
}

if (import.meta.main) await main();
