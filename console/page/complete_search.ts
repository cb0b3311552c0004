/**
 * How a search may go on from where a person writes: a key while a word is written, a value behind
 * an operator.
 *
 * @module
 */
import { formatCount } from "../../service/page/format.ts";
import { getJson, RequestError } from "../../service/page/get_json.ts";
import type { Completion } from "../../service/page/search_field.tsx";
import { apiPaths, type SuggestionsAnswer } from "../page_api/api.ts";
import { logSearch, traceSearch } from "../queries/search.ts";
import { quoted, SearchError } from "../queries/search_language.ts";

const maxOffered = 12;

/** The part of a search that is being written. */
export interface OpenTerm {
  /** What stands before it. */
  readonly head: string;
  /** Its key with the operator, once there is one; with the minus, if any. */
  readonly key: string | undefined;
  readonly operator: string;
  /** What of key or value is there. */
  readonly typed: string;
}

/**
 * Takes off the term that is being written; undefined within quotes, where nothing can be offered.
 *
 * @example
 * ```ts
 * openTerm("status=error http.r"); // { head: "status=error ", key: undefined, operator: "", typed: "http.r" }
 * ```
 */
export function openTerm(text: string): OpenTerm | undefined {
  const quotes = text.replace(/\\./g, "").split('"').length - 1;
  if (quotes % 2 === 1) return undefined;
  const typed = /[^\s"]*$/.exec(text)![0];
  const head = text.slice(0, text.length - typed.length);
  if (head.endsWith('"')) return undefined;
  const match = /^(-?)([^=!<>~]+)(!=|>=|<=|=|>|<|~)(.*)$/.exec(typed);
  if (match === null) return { head, key: undefined, operator: "", typed };
  const [, minus, key, operator, value] = match;
  return { head: head + minus, key: key!, operator: operator!, typed: value! };
}

/** Makes the completion of a search for traces or logs. */
export function completeSearch(what: "traces" | "logs") {
  return async function complete(text: string): Promise<Completion[]> {
    const open = openTerm(text);
    if (open === undefined || open.key === "duration" || open.key === "trace.duration") return [];
    const { head, key, operator, typed } = open;
    const minus = key === undefined && typed.startsWith("-") ? "-" : "";
    const wanted = typed.slice(minus.length).toLowerCase();
    const query = new URLSearchParams({ for: what, ...(key !== undefined && { key }) });
    try {
      const { suggestions } = await getJson<SuggestionsAnswer>(`${apiPaths.suggestions}?${query}`);
      const fitting = suggestions.filter((one) => one.text.toLowerCase().includes(wanted));
      // What begins so is meant rather than what has it somewhere.
      const starts = (text: string) => text.toLowerCase().startsWith(wanted) ? 0 : 1;
      return fitting.sort((a, b) => starts(a.text) - starts(b.text)).slice(0, maxOffered).map((
        one,
      ) => ({
        label: one.text,
        detail: one.detail ?? (one.count === undefined ? undefined : formatCount(one.count)),
        text: key === undefined
          ? `${head}${minus}${one.text}${/duration$/.test(one.text) ? ">" : "="}`
          : `${head}${key}${operator}${quoted(one.text)} `,
      }));
    } catch (error) {
      // A search works without.
      if (error instanceof RequestError) return [];
      throw error;
    }
  };
}

/** What is wrong with a search, in words; undefined if nothing is. */
export function searchProblem(what: "traces" | "logs", text: string): string | undefined {
  try {
    if (what === "traces") traceSearch(text);
    else logSearch(text);
    return undefined;
  } catch (error) {
    if (error instanceof SearchError) return error.message;
    throw error;
  }
}
