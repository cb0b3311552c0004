/**
 * A server that is there before its program is: `/livez` at once, `/readyz` with the reason why not
 * yet, and 503 for all else until there is something to serve.
 *
 * @module
 */
import { httpApp, type HttpAppContext, type HttpAppOptions } from "./http_app.ts";
import { type HttpServer, listen, type ListenOptions, type RequestHandler } from "./http_server.ts";
import { problemResponse } from "./problem.ts";

/** A server that can be given its real handler. */
export interface StartingServer extends HttpServer {
  /** From now on this answers. */
  serve(handler: RequestHandler): void;
}

/**
 * Listens for a program whose start may take long, as where it waits for a broker.
 *
 * @throws {StartError} as `listen()`
 *
 * @example
 * ```ts
 * const server = await listenStarting({ name: "signer-api", host }, { port, portFlag: "--port" }, context);
 * const bus = await openBus(options, { clientId: "signer-api" }, context); // may take a minute
 * server.serve(routes(bus).fetch);
 * ```
 */
export async function listenStarting(
  app: HttpAppOptions,
  options: ListenOptions,
  context: HttpAppContext,
): Promise<StartingServer> {
  const starting = httpApp(app, context);
  starting.all("*", () =>
    problemResponse(503, {
      title: "Starting",
      detail: "The program has not started yet; /readyz?verbose says what it waits for.",
    }, { "retry-after": "1" }));
  let handler: RequestHandler = starting.fetch;
  const server = await listen((request, info) => handler(request, info), options);
  return { ...server, serve: (real) => void (handler = real) };
}
