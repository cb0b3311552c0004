/**
 * Every server's HTTP, put together in one order: guard, telemetry, health, the caller's routes,
 * and problem details for what goes wrong, 404 and 405 among it.
 *
 * @module
 */
import { type Context, type Env, Hono, type MiddlewareHandler, type NotFoundHandler } from "hono";
import type { BlankEnv } from "hono/types";
import { streamMuxPath } from "./event_stream_mux.ts";
import { healthPaths, healthRoutes } from "./health.ts";
import { Guard, type GuardOptions } from "./http_guard.ts";
import { httpTelemetry } from "./http_telemetry.ts";
import type { ServiceContext } from "./life_cycle.ts";
import { programsPath } from "./program_list.ts";
import { problemNotFound, problemOnError, problemResponse } from "./problem.ts";

/** Options of {@linkcode httpApp}: those of the guard, and these. */
export interface HttpAppOptions extends GuardOptions {
  /** The program's `service.name`, such as `orb-server`. */
  name: string;
  /** Serves `/livez`, `/readyz` and `/healthz`. @default true */
  health?: boolean | undefined;
  /**
   * Paths without spans and HTTP metrics, besides health and the assets of pages: streams, which
   * last for hours. A `*` at the end stands for whatever follows.
   *
   * @default none
   */
  untraced?: readonly string[] | undefined;
}

/** What the assembly takes from a program's context; without telemetry there are no spans. */
export type HttpAppContext =
  & Pick<ServiceContext, "health" | "log">
  & Partial<Pick<ServiceContext, "telemetry">>;

/**
 * Makes an app; add routes to it and hand its `fetch` to `listen()`.
 *
 * Spans and metrics are made when `telemetry.enabled`. A path that exists under other methods is
 * answered 405 with `Allow`, and `OPTIONS` on it 204.
 *
 * @throws {StartError} a name or an origin for the guard is none
 *
 * @example
 * ```ts
 * const app = httpApp({ name: "orb-server", host, allowedHosts, allowedOrigins }, context);
 * app.post("/api/reset", reset);
 * const server = await listen(app.fetch, { host, port, portFlag: "--port" });
 * ```
 */
export function httpApp<AppEnv extends Env = BlankEnv>(
  options: HttpAppOptions,
  context: HttpAppContext,
): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.onError(problemOnError(context.log));
  app.notFound(notFoundOrNotAllowed(app));
  app.use(new Guard(options).middleware());
  if (context.telemetry?.enabled) {
    const untraced = [`${streamMuxPath}*`, programsPath, ...options.untraced ?? []];
    app.use(exceptFor(untraced, httpTelemetry(options.name)));
  }
  if (options.health !== false) app.route("/", healthRoutes(context.health));
  return app;
}

/** Leaves out what would only be noise, or would last for hours. */
function exceptFor(paths: readonly string[], telemetry: MiddlewareHandler): MiddlewareHandler {
  const exact = new Set<string>([...healthPaths, ...paths.filter((path) => !path.endsWith("*"))]);
  const prefixes = paths.filter((path) => path.endsWith("*")).map((path) => path.slice(0, -1));
  return function traceRequest(c, next) {
    const { path } = c.req;
    const left = exact.has(path) || path.includes("/assets/") ||
      prefixes.some((prefix) => path.startsWith(prefix));
    return left ? next() : telemetry(c, next);
  };
}

/** RFC 9110, section 15.5.6. The routes are asked only when none was found, so it costs nothing else. */
function notFoundOrNotAllowed<AppEnv extends Env>(app: Hono<AppEnv>): NotFoundHandler {
  return function answerNotFound(c: Context) {
    const { method, path } = c.req;
    const methods = methodsOf(app, path);
    // A route that is there and says that its thing is not.
    if (methods.length === 0 || methods.includes(method)) return problemNotFound(c);
    const allow = methods.join(", ");
    if (method === "OPTIONS") return new Response(null, { status: 204, headers: { allow } });
    return problemResponse(405, {
      title: "Method not allowed",
      detail: `${path} takes ${allow}, not ${method}.`,
    }, { allow });
  };
}

/** The methods that a path has routes for; of middleware, which is for all methods, nothing is known. */
function methodsOf<AppEnv extends Env>(app: Hono<AppEnv>, path: string): string[] {
  const asked = new Set(app.routes.map(({ method }) => method).filter((one) => one !== "ALL"));
  const methods = [...asked].filter((method) =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
  );
  if (methods.includes("GET")) methods.push("HEAD");
  return methods;
}
