/**
 * Who may use a console that others can reach: senders and programs show a token, a person follows
 * a link with a ticket that works once and gets a cookie for it, as Jupyter does.
 *
 * The token is never written into the log; a ticket is, as it is worth nothing once it was used.
 *
 * @module
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { healthPaths } from "../service/health.ts";
import { StartError } from "../service/life_cycle.ts";
import { problemResponse } from "../service/problem.ts";
import { readText } from "../service/request_body.ts";
import { reasonOf } from "../service/resilience.ts";
import type { World } from "../service/world/world.ts";

/** Options of {@linkcode ConsoleAccess}. */
export interface ConsoleAccessOptions {
  /** The token, at least 16 characters of RFC 6750's alphabet. */
  token: string;
  /** Writes a fresh link to the page into the log, given its path. */
  sayTicket: (path: string) => void;
  /** The path under which a proxy has the page. @default "" */
  basePath?: string | undefined;
  /** Time and chance. */
  world: Pick<World, "nowMs" | "randomBytes">;
}

/** RFC 6750, section 2.1. */
const tokenForm = /^[\w.~+/-]{16,512}=*$/;
const cookieMaxAgeS = 30 * 86_400;
/** Unused tickets at once; the oldest one goes. */
const maxTickets = 8;
const ticketEveryMs = 10_000;
const loginPath = "/login";
/** A token in a form, each of its characters escaped, takes less. */
const loginBody = { limitBytes: 2_048, timeoutMs: 10_000 };

/**
 * Reads the token of a file; makes the file, for its owner only, with a random one if there is none.
 *
 * @throws {StartError} the file cannot be read or made, or what is in it is no token
 *
 * @example
 * ```ts
 * const token = await readToken("/var/lib/orrery/console.token", world);
 * ```
 */
export async function readToken(
  path: string,
  world: Pick<World, "randomBytes">,
): Promise<string> {
  try {
    await Deno.writeTextFile(path, `${newToken(world)}\n`, { createNew: true, mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw new StartError(
        `Cannot make the token's file ${path}: ${
          reasonOf(error)
        }. Give a path that can be written with --token-file.`,
      );
    }
  }
  let token: string;
  try {
    token = (await Deno.readTextFile(path)).trim();
  } catch (error) {
    throw new StartError(
      `Cannot read the token's file ${path}: ${reasonOf(error)}. Correct --token-file.`,
    );
  }
  if (!tokenForm.test(token)) {
    throw new StartError(
      `There is no token in ${path}: at least 16 characters of A-Z a-z 0-9 - . _ ~ + / are needed. Remove the file to have one made.`,
    );
  }
  return token;
}

/** A token that nobody can guess. */
export function newToken(world: Pick<World, "randomBytes">): string {
  return world.randomBytes(32).toHex();
}

/**
 * See the module.
 *
 * @example
 * ```ts
 * const access = new ConsoleAccess({ token: newToken(world), sayTicket, world });
 * app.use(access.middleware());
 * app.route("/", access.routes());
 * const url = pages.url + access.newTicket();
 * ```
 */
export class ConsoleAccess {
  readonly #options: ConsoleAccessOptions;
  readonly #tokenHash: Uint8Array;
  /** What a cookie holds: known from the token, so that a restart with it ends no session. */
  readonly #session: string;
  readonly #tickets = new Set<string>();
  #saidMs = -Infinity;

  constructor(options: ConsoleAccessOptions) {
    this.#options = options;
    this.#tokenHash = hashOf(options.token);
    this.#session = createHmac("sha256", options.token).update("console session").digest("hex");
  }

  /** What a sender puts into `OTEL_EXPORTER_OTLP_HEADERS`. */
  get otlpHeaders(): string {
    return `authorization=Bearer%20${encodeURIComponent(this.#options.token)}`;
  }

  /** The path of a link that lets one browser in, once. */
  newTicket(): string {
    const ticket = this.#options.world.randomBytes(24).toHex();
    if (this.#tickets.size >= maxTickets) {
      this.#tickets.delete(this.#tickets.values().next().value!);
    }
    this.#tickets.add(ticket);
    return `${loginPath}/${ticket}`;
  }

  /** Whether an `Authorization` field shows the token. */
  allows(authorization: string | null | undefined): boolean {
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? "") ?? [];
    return token !== undefined && this.#isToken(token);
  }

  /** Lets through who shows the token or the cookie; assets hold nothing, and health is asked by orchestrators. */
  middleware(): MiddlewareHandler {
    return async (c, next) => {
      if (this.#isOpen(c) || this.#hasCookie(c) || this.allows(c.req.header("authorization"))) {
        return await next();
      }
      return this.#refuse(c);
    };
  }

  /** What somebody without access can do: type the token, or have a link written into the log. */
  routes(): Hono {
    const app = new Hono();
    app.get(`${loginPath}/:ticket`, (c) => this.#redeem(c, c.req.param("ticket")));
    app.post(loginPath, async (c) => {
      const form = new URLSearchParams(await readText(c.req.raw, loginBody));
      if (form.has("link")) {
        this.#sayTicket();
        return loginPage(this.#login, "A new link stands in the console's log.");
      }
      if (!this.#isToken(form.get("token")?.trim() ?? "")) {
        return loginPage(this.#login, "That is not the token.");
      }
      return this.#letIn(c);
    });
    return app;
  }

  get #login(): string {
    return `${this.#options.basePath ?? ""}${loginPath}`;
  }

  #sayTicket(): void {
    const { world, sayTicket } = this.#options;
    if (world.nowMs() - this.#saidMs < ticketEveryMs) return;
    this.#saidMs = world.nowMs();
    sayTicket(this.newTicket());
  }

  #isToken(text: string): boolean {
    return timingSafeEqual(hashOf(text), this.#tokenHash);
  }

  #isOpen({ req: { path } }: Context): boolean {
    return path === loginPath || path.startsWith(`${loginPath}/`) || path.startsWith("/assets/") ||
      (healthPaths as readonly string[]).includes(path);
  }

  #redeem(c: Context, ticket: string): Response {
    if (this.#tickets.delete(ticket)) return this.#letIn(c);
    if (this.#hasCookie(c)) return this.#redirect();
    return loginPage(this.#login, "This link was used already, or is of an earlier start.");
  }

  #letIn(c: Context): Response {
    const { basePath = "" } = this.#options;
    return this.#redirect({
      "set-cookie": `${cookieName(c)}=${this.#session}; Path=${
        basePath || "/"
      }; Max-Age=${cookieMaxAgeS}; HttpOnly; SameSite=Strict`,
    });
  }

  #redirect(headers: Record<string, string> = {}): Response {
    const location = `${this.#options.basePath ?? ""}/`;
    return new Response(null, {
      status: 303,
      headers: { ...headers, location, "cache-control": "no-store" },
    });
  }

  #hasCookie(c: Context): boolean {
    const name = cookieName(c);
    const cookie = (c.req.header("cookie") ?? "").split(";").map((one) => one.trim())
      .find((one) => one.startsWith(`${name}=`));
    return cookie !== undefined &&
      timingSafeEqual(hashOf(cookie.slice(name.length + 1)), hashOf(this.#session));
  }

  #refuse(c: Context): Response {
    if (c.req.method === "GET" && c.req.header("accept")?.includes("text/html")) {
      return loginPage(this.#login, "");
    }
    return problemResponse(401, {
      title: "Not authenticated",
      detail:
        "Open the link that the console's log shows, or send its token: Authorization: Bearer ….",
    }, { "www-authenticate": 'Bearer realm="orrery console"' });
  }
}

function hashOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** A cookie is of a host, whatever the port; two consoles must not take each other's away. */
function cookieName(c: Context): string {
  const port = new URL(c.req.url).port || "80";
  return `orrery_console_${port}`;
}

function loginPage(action: string, note: string): Response {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign in · Orrery</title>
<h1>This console asks who you are</h1>
<p role="status">${note}</p>
<p>Open the link that the console wrote into its log when it started. It works once.</p>
<form method="post" action="${action}"><button name="link" value="1">Write a new link into the log</button></form>
<form method="post" action="${action}">
<p><label>Or its token: <input type="password" name="token" autocomplete="current-password" required></label>
<button>Sign in</button></p>
</form>
`;
  return new Response(html, {
    status: 401,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "www-authenticate": 'Bearer realm="orrery console"',
      "content-security-policy":
        "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    },
  });
}
