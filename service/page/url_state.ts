/**
 * Every view is a link: path and parameters of the address are the page's state. Reading one is
 * reading a signal; a step (a trace, a filter chosen) becomes an entry of the history, typing
 * replaces the entry it is in.
 *
 * @module
 */
import { signal } from "@preact/signals";
import { withBase, withoutBase } from "./base_path.ts";
import { sharedData } from "./shared_data.ts";

/** An address of the page: path and parameters. */
export interface Address {
  /** Path, as `/traces/4bf9…`, without what a proxy puts in front of it. */
  readonly path: string;
  /** Parameters. */
  readonly params: URLSearchParams;
}

/** Where the page is. */
export const address = signal<Address>({ path: "/", params: new URLSearchParams() });

/**
 * Changes of parameters; `undefined`, `false` and an empty text take the parameter away, `true` is `1`,
 * a list gives it once for each of its texts.
 */
export type ParamChanges = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/**
 * `path` with changed parameters, sorted, so that the same state is the same address: what a link
 * has, with the prefix of a proxy.
 *
 * @example
 * ```ts
 * href("/logs", new URLSearchParams("service=orb"), { q: "lost", service: undefined }); // "/logs?q=lost"
 * ```
 */
export function href(
  path: string,
  params: URLSearchParams = new URLSearchParams(),
  changes: ParamChanges = {},
): string {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value instanceof Array) {
      next.delete(name);
      for (const one of value) next.append(name, one);
    } else if (value === undefined || value === false || value === "") next.delete(name);
    else next.set(name, value === true ? "1" : String(value));
  }
  next.sort();
  const text = next.toString();
  return withBase(text === "" ? path : `${path}?${text}`);
}

/**
 * The parts of a path that fit a pattern; `undefined` if it does not fit.
 *
 * @example
 * ```ts
 * matchPath("/traces/{traceId}", "/traces/0af7"); // { traceId: "0af7" }
 * ```
 */
export function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split("/");
  const have = path.replace(/(.)\/$/, "$1").split("/");
  if (want.length !== have.length) return undefined;
  const parts: Record<string, string> = {};
  for (const [i, segment] of want.entries()) {
    const name = /^\{(\w+)\}$/.exec(segment)?.[1];
    if (name === undefined) {
      if (segment !== have[i]) return undefined;
    } else {
      if (have[i] === "") return undefined;
      try {
        parts[name] = decodeURIComponent(have[i]!);
      } catch {
        return undefined;
      }
    }
  }
  return parts;
}

/**
 * A whole number from a parameter; the fallback when it is none or out of bounds.
 *
 * @example
 * ```ts
 * const minutes = numberParam(address.value.params, "minutes", { fallback: 15, min: 1, max: 60 });
 * ```
 */
export function numberParam(
  params: URLSearchParams,
  name: string,
  { min, max, fallback }: { min: number; max: number; fallback: number },
): number {
  const text = params.get(name) ?? "";
  const value = Number(text);
  return /^\d+$/.test(text) && value >= min && value <= max ? value : fallback;
}

/**
 * One of the given words from a parameter; the first one when it is none of them.
 *
 * @example
 * ```ts
 * const range = wordParam(address.value.params, "range", ["15m", "5m", "1h"]); // "15m" by default
 * ```
 */
export function wordParam<const Word extends string>(
  params: URLSearchParams,
  name: string,
  words: readonly [Word, ...Word[]],
): Word {
  const value = params.get(name);
  return words.find((word) => word === value) ?? words[0];
}

/** Options of {@linkcode go}. */
export interface GoOptions {
  /** Replaces the entry of the history: for typing, and for what a person did not choose. @default false */
  replace?: boolean;
}

/**
 * Goes to another address of the page, as `href()` makes it.
 *
 * @example
 * ```ts
 * go(href(`/traces/${traceId}`));
 * ```
 */
export function go(target: string, { replace = false }: GoOptions = {}): void {
  if (sharedData() !== undefined) return goInFile(target, replace);
  const url = new URL(target, location.href);
  const same = url.pathname === location.pathname && url.search === location.search;
  if (same) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  readAddress();
}

/**
 * Changes parameters of the address the page is at.
 *
 * @example
 * ```ts
 * setParams({ service: "orb-server", q: undefined }, { replace: true });
 * ```
 */
export function setParams(changes: ParamChanges, options: GoOptions = {}): void {
  go(href(address.peek().path, address.peek().params, changes), options);
}

/**
 * Follows the address, back and forward, and every link of the page that leads to one of `routes`.
 *
 * @example
 * ```ts
 * startUrlState(Object.values(pagePaths));
 * ```
 */
export function startUrlState(routes: readonly string[]): void {
  readAddress();
  addEventListener(sharedData() === undefined ? "popstate" : "hashchange", readAddress);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    // A link opened elsewhere is the browser's business.
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target !== "" || link.download !== "") return;
    if (sharedData() !== undefined) {
      const target = link.getAttribute("href")!;
      if (!target.startsWith("/")) return;
      event.preventDefault();
      return go(target);
    }
    if (link.origin !== location.origin) return;
    const path = withoutBase(link.pathname);
    if (!routes.some((route) => matchPath(route, path))) return;
    event.preventDefault();
    go(link.href);
  });
}

/** A file has one path: where the page is stands behind its `#`. */
function goInFile(target: string, replace: boolean): void {
  const hash = `#${target}`;
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  readAddress();
}

function readAddress(): void {
  const shared = sharedData();
  if (shared !== undefined) {
    const [path = "", query = ""] = (location.hash.slice(1) || shared.path).split("?");
    address.value = { path, params: new URLSearchParams(query) };
    return;
  }
  address.value = {
    path: withoutBase(location.pathname),
    params: new URLSearchParams(location.search),
  };
}
