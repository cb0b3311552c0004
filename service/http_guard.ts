/**
 * Who may talk to a server, besides those who show a token: the one rule, for reading, writing and
 * WebSocket upgrades alike.
 *
 * A browser carries the requests of any web page to any address that it can reach, loopback and a
 * company's own network included. So a server asks two things of each request:
 *
 * - Its `Host` is a name that this server is known by. A page whose own name was made to point to
 *   our address ("DNS rebinding") is of our origin to the browser; only the name gives it away.
 * - It does not come from another site's page, by `Origin` (RFC 6454) and `Sec-Fetch-Site` (W3C
 *   Fetch Metadata). Another port of the same host is another site here. A link to our page from
 *   elsewhere, which a person follows, is fine.
 *
 * Programs such as `curl` send neither `Origin` nor `Sec-Fetch-Site` and are not affected. It is no
 * authentication: whoever can reach the port with a program of their own is let through.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { flag, InvalidArgumentError } from "./command_line.ts";
import { healthPaths } from "./health.ts";
import { isLoopback } from "./http_server.ts";
import { StartError } from "./life_cycle.ts";
import { problemResponse } from "./problem.ts";

/** Options of {@linkcode Guard}. */
export interface GuardOptions {
  /**
   * The address listened on. It is a good `Host`; beyond loopback every IP address is one, as
   * rebinding needs a name.
   *
   * @default "127.0.0.1"
   */
  host?: string | undefined;
  /** Names this server is known by, without port, besides loopback's and `host`. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may call, such as `https://shop.example` or `http://localhost:*`; `*` for all. @default none */
  allowedOrigins?: readonly string[] | undefined;
  /** Lets pages of loopback origins call, whichever their port. @default false */
  loopbackOrigins?: boolean | undefined;
  /**
   * Takes pages of the host that is asked for our own on whichever port, where page and API have
   * ports of their own. All loopback names are one host then.
   *
   * @default false
   */
  anyPort?: boolean | undefined;
  /** Paths that a page of any origin may read, and that are read under any name. @default none */
  publicPaths?: readonly string[] | undefined;
  /** Paths that are read under any name: an orchestrator asks by whatever it knows. @default {@linkcode healthPaths} */
  healthPaths?: readonly string[] | undefined;
  /**
   * Takes requests of allowed origins with credentials, as `sendBeacon` and `fetch` with
   * `credentials: "include"` make them. For servers that look at no cookie.
   *
   * @default false
   */
  corsCredentials?: boolean | undefined;
  /** Methods that pages of other origins may use. @default all */
  corsMethods?: readonly string[] | undefined;
  /** Makes the answer to a request that is refused. @default 403 as problem details */
  refuse?: ((refusal: Refusal, request: Request) => Response) | undefined;
}

/** Why a request is refused. */
export interface Refusal {
  /** Which of the two questions it failed. */
  readonly kind: "foreign-host" | "foreign-origin";
  /** The same, in words. */
  readonly title: "Foreign host name" | "Foreign origin";
  /** What was wrong this time, and what an operator can do. */
  readonly detail: string;
}

/** What of a request says where it comes from. */
export interface RequestSource {
  /** The host that is asked, with its port unless it is the default one. */
  host: string;
  /** How it is asked, as far as this server knows. @default "http:" */
  scheme?: "http:" | "https:";
  /** `Origin`; a program sends none. */
  origin: string | undefined;
  /** `Sec-Fetch-Site`. */
  site?: string | undefined;
}

/** Where a request comes from: no page of another origin, one that may call, or one that may not. */
export type SourceVerdict = "own" | "allowed" | "foreign";

/** How long a browser may keep what a preflight was answered. */
const preflightMaxAgeS = 7_200;
/** `Host` fields that were found good, so that each is taken apart once. */
const maxKnownHosts = 64;

const allMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/**
 * The rule. `httpApp()` applies it to every request; by itself it is for what is not HTTP/1 or 2,
 * such as WebTransport.
 *
 * @throws {StartError} a name or an origin in the options is none
 *
 * @example
 * ```ts
 * const guard = new Guard({ host: "127.0.0.1", allowedOrigins: ["https://shop.example"] });
 * guard.isKnownHost("localhost:8080"); // true
 * guard.source({ host: "localhost:8080", origin: "https://shop.example" }); // "allowed"
 * guard.source({ host: "localhost:8080", origin: "http://localhost:9090" }); // "foreign"
 * app.use(guard.middleware());
 * ```
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #names: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  readonly #anyAddress: boolean;
  readonly #publicPaths: ReadonlySet<string>;
  readonly #healthPaths: ReadonlySet<string>;
  readonly #knownHosts = new Set<string>();
  readonly #allowPage: MiddlewareHandler;
  readonly #allowReading: MiddlewareHandler;

  constructor(options: GuardOptions = {}) {
    const { host = "127.0.0.1", allowedHosts = [], allowedOrigins = [] } = options;
    this.#options = options;
    this.#names = new Set([
      hostNameOf(host),
      ...allowedHosts.map((name) => checked(hostName, name)),
    ]);
    this.#origins = new Set(allowedOrigins.map((one) => one === "*" ? one : checked(origin, one)));
    this.#anyAddress = !isLoopback(host);
    this.#publicPaths = new Set(options.publicPaths);
    this.#healthPaths = new Set(options.healthPaths ?? healthPaths);
    const shared = { maxAge: preflightMaxAgeS };
    this.#allowPage = cors({
      ...shared,
      // With credentials no `*` is taken: each origin is answered by its name then.
      origin: this.#origins.has("*") && !options.corsCredentials ? "*" : (origin) => origin,
      credentials: options.corsCredentials ?? false,
      allowMethods: [...options.corsMethods ?? allMethods],
    });
    this.#allowReading = cors({ ...shared, origin: "*", allowMethods: ["GET", "HEAD"] });
  }

  /** True when this server goes by the name in a `Host` field; its port does not matter. */
  isKnownHost(host: string): boolean {
    if (this.#knownHosts.has(host)) return true;
    const name = hostNameOf(host);
    const known = isLoopback(name) || this.#names.has(name) ||
      (this.#anyAddress && isAddress(name));
    if (name === "" || !known) return false;
    if (this.#knownHosts.size >= maxKnownHosts) this.#knownHosts.clear();
    this.#knownHosts.add(host);
    return true;
  }

  /** Judges where a request comes from. */
  source({ host, scheme = "http:", origin, site }: RequestSource): SourceVerdict {
    if (origin === undefined) {
      if (isSameOrigin(site)) return "own";
    } else if (isSameOrigin(site) && this.#isOwn(origin, host, scheme)) {
      return "own";
    }
    return this.#isAllowed(origin) ? "allowed" : "foreign";
  }

  /** The rule as middleware. It answers preflights, and says to browsers which origins may read. */
  middleware(): MiddlewareHandler {
    return (c, next) => {
      const { headers } = c.req.raw;
      const host = headers.get("host") ?? new URL(c.req.raw.url).host;
      const origin = headers.get("origin") ?? undefined;
      const site = headers.get("sec-fetch-site") ?? undefined;
      const known = this.isKnownHost(host);
      // The way of nearly all requests, hence first.
      if (known && origin === undefined && isSameOrigin(site)) {
        return this.#origins.size === 0 ? next() : this.#pass(c, next);
      }

      const { method, path } = c.req;
      const reads = method === "GET" || method === "HEAD";
      if (reads && this.#healthPaths.has(path)) return next();
      const readsNext = reads || (method === "OPTIONS" &&
        ["GET", "HEAD"].includes(headers.get("access-control-request-method") ?? ""));
      if (readsNext && this.#publicPaths.has(path)) return this.#allowReading(c, next);
      if (!known) return Promise.resolve(this.#refuse(foreignHost(host), c.req.raw));

      const isUpgrade = headers.has("upgrade");
      const scheme = c.req.raw.url.startsWith("https:") ? "https:" : "http:";
      // A handshake always has an `Origin`, which knows best: the `ws:` of its URL is no other site.
      const askedSite = isUpgrade && origin !== undefined ? undefined : site;
      const verdict = this.source({ host, scheme, origin, site: askedSite });
      if (verdict === "own") return this.#pass(c, next);
      // What an upgrade is answered cannot be changed, nor would a browser ask for it.
      if (verdict === "allowed") return isUpgrade ? next() : this.#allowPage(c, next);
      if (method === "GET" && !isUpgrade && isNavigation(headers)) return next();
      return Promise.resolve(this.#refuse(foreignOrigin(origin), c.req.raw));
    };
  }

  async #pass(c: Parameters<MiddlewareHandler>[0], next: () => Promise<void>): Promise<void> {
    await next();
    // What a cache keeps of our own page's request lacks what another page's is answered.
    const isKept = c.req.method === "GET" && !c.req.raw.headers.has("upgrade");
    if (isKept && this.#origins.size > 0 && !this.#origins.has("*")) {
      c.header("vary", "Origin", { append: true });
    }
  }

  #isOwn(origin: string, host: string, scheme: "http:" | "https:"): boolean {
    const page = parsedUrl(origin);
    // `null`, which sandboxed pages send, and pages that did not come by HTTP.
    if (page?.protocol !== "http:" && page?.protocol !== "https:") return false;
    const asked = parsedUrl(`${page.protocol}//${host}`);
    if (asked === undefined) return false;
    if (this.#options.anyPort) {
      return page.hostname === asked.hostname ||
        (isLoopback(page.hostname) && isLoopback(asked.hostname));
    }
    // The other way round is a proxy that has ended TLS.
    if (scheme === "https:" && page.protocol === "http:") return false;
    return page.host === asked.host;
  }

  #isAllowed(origin: string | undefined): boolean {
    if (this.#origins.has("*")) return true;
    if (origin === undefined) return false;
    if (this.#origins.has(origin)) return true;
    const page = parsedUrl(origin);
    if (page && this.#origins.has(`${page.protocol}//${page.hostname}:*`)) return true;
    return this.#options.loopbackOrigins === true &&
      isLoopback(parsedUrl(origin)?.hostname ?? "");
  }

  #refuse(refusal: Refusal, request: Request): Response {
    const { title, detail } = refusal;
    return this.#options.refuse?.(refusal, request) ?? problemResponse(403, { title, detail });
  }
}

/** `same-origin`, `none` (a person typed the address), or an old browser and a program, which do not say. */
function isSameOrigin(site: string | undefined): boolean {
  return site === undefined || site === "same-origin" || site === "none";
}

/** A link that a person follows: nothing is changed by it, and no page reads the answer. */
function isNavigation(headers: Headers): boolean {
  return headers.get("sec-fetch-mode") === "navigate" &&
    headers.get("sec-fetch-dest") === "document";
}

function foreignHost(host: string): Refusal {
  const name = shown(host);
  return {
    kind: "foreign-host",
    title: "Foreign host name",
    detail:
      `This server is not known by the name ${name}. Use 127.0.0.1 or localhost, or start it with --allowed-host and that name.`,
  };
}

function foreignOrigin(origin: string | undefined): Refusal {
  const pages = origin === undefined || origin === "null"
    ? "other sites"
    : `the origin ${shown(origin)}`;
  return {
    kind: "foreign-origin",
    title: "Foreign origin",
    detail:
      `Pages of ${pages} may not use this server, unless it is started with --allowed-origin and their origin.`,
  };
}

function shown(text: string): string {
  return text.slice(0, 200);
}

/** The name in a `Host` field or an address to listen on, as `URL` writes it; empty if there is none. */
function hostNameOf(host: string): string {
  if (/[/\\?#@\s]/.test(host)) return "";
  const isBareIpv6 = !host.startsWith("[") && host.split(":").length > 2;
  // A name may end with the root's dot.
  return parsedUrl(`http://${isBareIpv6 ? `[${host}]` : host}`)?.hostname.replace(/\.$/, "") ?? "";
}

/** True for an IP address as `URL` writes it. */
function isAddress(name: string): boolean {
  return name.startsWith("[") || /^\d+\.\d+\.\d+\.\d+$/.test(name);
}

function parsedUrl(text: string): URL | undefined {
  return URL.parse(text) ?? undefined;
}

/** A host's name without scheme, port and path. */
function hostName(text: string): string {
  const name = hostNameOf(text);
  const hasPort = /^(\[.*\]|[^:]*):\d*$/.test(text);
  if (name === "" || hasPort || text.includes("*")) {
    throw new InvalidArgumentError(
      `'${
        shown(text)
      }' is no host name. Give a name without scheme, port and path, such as orb.example.`,
    );
  }
  return name;
}

/** A port that changes with every start: pages of loopback alone, as any other host may be many people's. */
const anyPortOfLoopback = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\]):\*$/;

/** An origin as browsers write it. */
function origin(text: string): string {
  if (anyPortOfLoopback.test(text)) return text;
  if (text.includes("*")) {
    throw new InvalidArgumentError(
      `'${
        shown(text)
      }' is no origin: only a port may be *, for localhost, 127.0.0.1 and [::1] alone, as in http://localhost:*.`,
    );
  }
  const url = parsedUrl(text);
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new InvalidArgumentError(
      `'${
        shown(text)
      }' is no origin: it must begin with http:// or https://, as https://shop.example does.`,
    );
  }
  if (url.pathname !== "/" || /[?#@]/.test(text)) {
    throw new InvalidArgumentError(
      `'${
        shown(text)
      }' is no origin: leave out what is not scheme, host and port. Give ${url.origin}.`,
    );
  }
  return url.origin;
}

/** For options that did not come by a flag. */
function checked(parse: (text: string) => string, text: string): string {
  try {
    return parse(text);
  } catch (error) {
    throw new StartError((error as Error).message);
  }
}

/** Makes a parser of a flag that is given again and again, or once with commas or spaces between, as a variable is. */
function listOf(parse: (text: string) => string) {
  return (text: string, before: readonly string[] = []): string[] => [
    ...before,
    ...text.split(/[\s,]+/).filter((one) => one !== "").map(parse),
  ];
}

/** Reads one or more origins, for `argParser()`. `*` is taken where the flag means it. */
export function parseOrigins(
  { any = false }: { /** Takes `*`, too. @default false */ any?: boolean } = {},
): (text: string, before?: readonly string[]) => string[] {
  return listOf((text) => any && text === "*" ? text : origin(text));
}

/** The guard's two flags, for every server. */
export const guardFlags = {
  allowedHost: () =>
    flag(
      "--allowed-host <name...>",
      "names this server is known by, besides localhost and --host",
    ).argParser(listOf(hostName)),
  allowedOrigin: () =>
    flag(
      "--allowed-origin <origin...>",
      "pages of other origins that may call, such as https://shop.example",
    ).argParser(parseOrigins()),
};
