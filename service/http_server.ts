/**
 * Listening for HTTP with the house rules: loopback unless authentication is on, a taken port
 * is a reason in words, requests under way are bounded, and a stop drains with a deadline.
 *
 * @module
 */
import { flag, parsePort } from "./command_line.ts";
import { type Service, StartError } from "./life_cycle.ts";
import { problemResponse } from "./problem.ts";
import { aborted, settledWithin } from "./resilience.ts";

/** Answers a request; `fetch` of a Hono app is one. */
export type RequestHandler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

/** Options of {@linkcode listen}. */
export interface ListenOptions {
  /** Address to bind. @default "127.0.0.1" */
  host?: string;
  /** Port to bind; 0 takes a free one. */
  port: number;
  /** The flag that sets the port, named in the message when the port is taken. */
  portFlag: string;
  /** Whether every request is authenticated: only then may the address be other than loopback. @default false */
  authenticated?: boolean;
  /** Lets an unauthenticated server listen beyond loopback: the operator's explicit word. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Serves HTTPS with this chain and key, both PEM. @default plain HTTP */
  tls?: { cert: string; key: string };
  /** Lets a second server take the port while the first still drains, as when a certificate is renewed. @default false */
  reusePort?: boolean;
  /** Requests under way at once; one more is answered 503 with `Retry-After`. @default 1024 */
  maxRequestsInFlight?: number;
}

/** A listening server. */
export interface HttpServer extends Service {
  /** The host it is bound to. */
  readonly host: string;
  /** The port it is bound to, the real one if 0 was asked for. */
  readonly port: number;
  /** `http://host:port` (or `https:`), with loopback for a wildcard address. */
  readonly url: string;
}

/** The two flags of every server, besides its port. */
export const hostFlags = {
  host: () =>
    flag("--host <address>", "address to listen on; beyond loopback only with authentication")
      .default("127.0.0.1"),
  allowRemoteWithoutAuth: () =>
    flag(
      "--allow-remote-without-auth",
      "listen beyond loopback although nobody has to authenticate (a container's own network)",
    ),
};

/** A port flag such as `--page-port <port>`. */
export function portFlag<Usage extends `--${string} <port>`>(
  usage: Usage,
  description: string,
  port: number,
) {
  return flag(usage, description).argParser(parsePort).default(port);
}

/**
 * Binds and serves.
 *
 * @throws {StartError} the port is taken or may not be bound, or the address is not loopback
 * while nobody has to authenticate.
 *
 * @example
 * ```ts
 * const server = listen(app.fetch, { host, port: 4242, portFlag: "--orb-api-port" });
 * log.info("Ready", { url: server.url });
 * await server.stop(deadline);
 * ```
 */
export function listen(handler: RequestHandler, options: ListenOptions): HttpServer {
  const { host = "127.0.0.1", port, maxRequestsInFlight = 1024 } = options;
  if (!options.authenticated && !options.allowRemoteWithoutAuth && !isLoopback(host)) {
    throw new StartError(
      `Refuses to listen on ${host}: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, turn authentication on, or say --allow-remote-without-auth.`,
    );
  }
  const underWay = new RequestsUnderWay(handler, maxRequestsInFlight);
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      {
        hostname: host,
        port,
        onListen: () => {},
        reusePort: options.reusePort ?? false,
        ...options.tls,
      },
      (request, info) => underWay.answer(request, info),
    );
  } catch (error) {
    throw listenError(error, host, port, options.portFlag);
  }
  const address = server.addr;
  const wildcard = address.hostname === "0.0.0.0" || address.hostname === "::";
  const urlHost = wildcard ? "127.0.0.1" : address.hostname;
  return {
    host: address.hostname,
    port: address.port,
    url: `${options.tls ? "https" : "http"}://${
      urlHost.includes(":") ? `[${urlHost}]` : urlHost
    }:${address.port}`,
    stop: (deadline) => drain(server, underWay, deadline),
  };
}

/** What is being answered: not more than so many requests, each of which can be cut short. */
class RequestsUnderWay {
  readonly #handler: RequestHandler;
  readonly #max: number;
  /** One entry a request: what answers it early when the drain deadline has passed. */
  readonly #answers = new Set<(response: Response) => void>();
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(handler: RequestHandler, max: number) {
    this.#handler = handler;
    this.#max = max;
  }

  answer(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response> {
    if (this.#idle) return Promise.resolve(stopping());
    if (this.#answers.size >= this.#max) return Promise.resolve(overloaded(this.#max));
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#answers.add(resolve);
    const done = () => {
      this.#answers.delete(resolve);
      if (this.#answers.size === 0) this.#idle?.resolve();
    };
    promise.then(done, done);
    try {
      Promise.resolve(this.#handler(request, info)).then(resolve, reject);
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /** Takes nothing new, and resolves when all is answered. */
  drain(): Promise<void> {
    this.#idle ??= Promise.withResolvers<void>();
    if (this.#answers.size === 0) this.#idle.resolve();
    return this.#idle.promise;
  }

  cut(): void {
    for (const answer of this.#answers) answer(cutShort());
  }
}

/**
 * Waits for what is under way until `deadline` aborts; then it is cut.
 *
 * What is under way comes before the listener: after `shutdown()` a body that has not arrived whole
 * cannot be read any more (Deno 2.9.6: "Cannot read body as underlying resource unavailable").
 * Aborting Deno.serve's own signal after shutdown() throws BadResource out of its listener, so
 * requests are cut by answering them. An answer that streams on for ever is not waited for: it ends
 * with the process.
 */
async function drain(
  server: Deno.HttpServer<Deno.NetAddr>,
  underWay: RequestsUnderWay,
  deadline: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const cut = aborted(AbortSignal.any([deadline, ended.signal])).then(() => {
    if (!ended.signal.aborted) underWay.cut();
  });
  await Promise.race([underWay.drain(), cut]);
  const drained = server.shutdown();
  await Promise.race([drained, cut.then(() => settledWithin(drained, cutGraceMs))]);
  // Takes the listener back.
  ended.abort();
}

function overloaded(maxRequests: number): Response {
  return problemResponse(503, {
    title: "Overloaded",
    detail: `${maxRequests} requests are under way already. Try again later.`,
  }, { "retry-after": "1" });
}

/** How long requests that were cut have to get their last bytes out. */
const cutGraceMs = 500;

function stopping(): Response {
  return problemResponse(503, {
    title: "Shutting down",
    detail: "The server ends and takes no new requests. Send it again to another one.",
  }, { connection: "close", "retry-after": "1" });
}

function cutShort(): Response {
  return problemResponse(503, {
    title: "Shutting down",
    detail: "The server ends before the request was finished. Send it again to another one.",
  }, { connection: "close" });
}

/** True for 127.0.0.0/8, ::1 and `localhost`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function listenError(error: unknown, host: string, port: number, portFlag: string): unknown {
  if (error instanceof Deno.errors.AddrInUse) {
    return new StartError(
      `Cannot listen on ${host}:${port}: the port is in use. Stop the program that has it, or choose another port with ${portFlag} (0 takes a free one).`,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return new StartError(
      `Cannot listen on ${host}:${port}: not permitted (${error.message}). Choose a port above 1023 with ${portFlag}, or grant --allow-net.`,
    );
  }
  if (error instanceof Deno.errors.AddrNotAvailable || error instanceof TypeError) {
    return new StartError(
      `Cannot listen on ${host}:${port}: ${error.message}. Give an address of this machine with --host.`,
    );
  }
  return error;
}
