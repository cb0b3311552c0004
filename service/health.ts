/**
 * Health as Kubernetes asks for it: `/livez` (is the process worth keeping), `/readyz` (should it
 * get traffic), `/healthz` (an alias of `/livez`). `?verbose` names every part.
 *
 * @module
 */
import { Hono } from "hono";

/**
 * The state of a program's parts. A part is `ok` or says why it is not.
 *
 * @example
 * ```ts
 * const health = new Health();
 * health.set("store", { reason: "disk full" });
 * health.ready; // false
 * health.set("store", "ok");
 * health.ready; // true
 * ```
 */
export class Health {
  #parts = new Map<string, string>();
  #fatal: string | undefined;
  #stopping = false;

  /** Says that a part works, or (with a reason) that it cannot serve for now. */
  set(part: string, state: "ok" | { reason: string }): void {
    this.#parts.set(part, state === "ok" ? "ok" : state.reason);
  }

  /** Says that the process can only be mended by a restart: `/livez` fails from now on. */
  fail(reason: string): void {
    this.#fatal = reason;
  }

  /** Shutdown has begun: not ready any more, still alive. */
  stop(): void {
    this.#stopping = true;
  }

  /** True unless {@linkcode fail} was called. */
  get live(): boolean {
    return this.#fatal === undefined;
  }

  /** True when every part is `ok`, at least one was named, and no shutdown has begun. */
  get ready(): boolean {
    return this.live && !this.#stopping && this.#parts.size > 0 &&
      this.#parts.values().every((state) => state === "ok");
  }

  /** One line a part, as `[+]name ok` or `[-]name reason`. */
  report(): string {
    const lines = [...this.#parts].map(([part, state]) =>
      state === "ok" ? `[+]${part} ok` : `[-]${part} ${state}`
    );
    if (this.#stopping) lines.push("[-]shutdown in progress");
    if (this.#fatal !== undefined) lines.push(`[-]fatal ${this.#fatal}`);
    return lines.join("\n");
  }
}

/** Where {@linkcode healthRoutes} answers. */
export const healthPaths = ["/livez", "/readyz", "/healthz"] as const;

/**
 * The three routes. `httpApp()` has them already.
 *
 * @example
 * ```ts
 * app.route("/", healthRoutes(health));
 * ```
 */
export function healthRoutes(health: Health): Hono {
  function answer(ok: boolean, verbose: boolean): Response {
    const word = ok ? "ok" : "not ok";
    return new Response(verbose ? `${health.report()}\n${word}\n` : `${word}\n`, {
      status: ok ? 200 : 503,
      headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
    });
  }
  return new Hono()
    .on(
      "GET",
      ["/livez", "/healthz"],
      (c) => answer(health.live, c.req.query("verbose") !== undefined),
    )
    .get("/readyz", (c) => answer(health.ready, c.req.query("verbose") !== undefined));
}
