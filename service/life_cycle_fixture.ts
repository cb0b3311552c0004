#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,FIXTURE_*
/** A program for `life_cycle_program_test.ts`: serves, and misbehaves when told to. */
import { Hono } from "hono";
import { commandLine, flag } from "./command_line.ts";
import { healthRoutes } from "./health.ts";
import { listen, portFlag } from "./http_server.ts";
import { runService, StartError } from "./life_cycle.ts";

const command = commandLine({
  name: "fixture",
  summary: "A program that is tested.",
  examples: [["fixture --port 0", "listens on a free port"]],
})
  .addOption(portFlag("--port <port>", "where to listen", 0))
  .addOption(
    flag("--misbehave <how>", "what goes wrong")
      .choices(["cannot-start", "throws-later", "hangs-on-stop", "finishes", "rejects"] as const),
  );

if (import.meta.main) {
  await runService(command, (options, context) => {
    if (options.misbehave === "cannot-start") throw new StartError("The key is unreadable.");
    const app = new Hono();
    app.route("/", healthRoutes(context.health));
    app.get("/slow", async (c) => {
      context.log.info("slow began");
      await new Promise((resolve) =>
        context.stopping.addEventListener("abort", resolve, { once: true })
      );
      return c.text("finished while draining");
    });
    app.get("/work", (c) =>
      context.telemetry.tracer.startActiveSpan("work", (span) => {
        context.telemetry.meter.createCounter("fixture.works").add(1);
        context.log.info("at work");
        span.end();
        return c.text(span.spanContext().traceId);
      }));
    app.get("/throw", (c) => {
      queueMicrotask(() => {
        throw new Error("nobody catches this");
      });
      return c.text("");
    });
    const server = listen(app.fetch, { port: options.port, portFlag: "--port" });
    context.health.set("http", "ok");
    context.log.info(`listening at ${server.url}`);
    const finished = options.misbehave === "finishes"
      ? { finished: Promise.resolve(3) }
      : options.misbehave === "rejects"
      ? { finished: Promise.reject(new Error("the task died")) }
      : {};
    return Promise.resolve({
      ...finished,
      stop: options.misbehave === "hangs-on-stop"
        ? () => new Promise<void>(() => {})
        : (deadline: AbortSignal) => server.stop(deadline),
    });
  });
}
