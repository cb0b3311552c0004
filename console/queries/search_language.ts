/**
 * The one search language, for traces and logs, in the page's field and in the API's `q`:
 *
 * ```text
 * service=cart status=error http.route=/cart duration>100ms timeout
 * ```
 *
 * Terms are separated by spaces and must all be true. A term is a condition, `key`, an operator
 * (`=`, `!=`, `>`, `>=`, `<`, `<=`, `~` for "contains") and a value, or a word to be found anywhere.
 * A minus in front turns a term round. Quotes keep spaces and operators: `"GET /a b"`,
 * `name="GET /a b"`. `*` in a value of `=` stands for anything; `key=*` asks whether there is one.
 *
 * Types and parsing only, so that the page imports the same file as the server.
 *
 * @module
 */

/** How a value is compared. */
export type Operator = "=" | "!=" | ">" | ">=" | "<" | "<=" | "~";

/** A part of a search. */
export type Term =
  | {
    readonly kind: "condition";
    readonly key: string;
    readonly operator: Operator;
    readonly value: string;
    readonly negated: boolean;
  }
  | { readonly kind: "word"; readonly text: string; readonly negated: boolean };

/** A search that cannot be read: the message says what and where. */
export class SearchError extends Error {
  override name = "SearchError";
}

/** Keys with a meaning of their own in a search for traces, with what they are. */
export const traceKeys = {
  service: "the service of the span",
  name: "the span's name",
  status: "error, ok or unset",
  kind: "server, client, producer, consumer or internal",
  duration: "how long the span took, such as 100ms",
  "trace.duration": "how long the whole trace took",
  event: "the name of one of the span's events",
  scope: "the instrumentation scope",
  trace: "the trace's id, or how it begins",
  span: "the span's id",
  edge: "one service calls another: edge=web>cart",
} as const;

/** The same for logs. */
export const logKeys = {
  service: "the service that wrote it",
  level: "trace, debug, info, warn, error or fatal; level>=warn",
  body: "the record's text",
  event: "the record's event name",
  scope: "the instrumentation scope",
  trace: "the id of its trace",
  span: "the id of its span",
} as const;

const operators: readonly Operator[] = ["!=", ">=", "<=", "=", ">", "<", "~"];
/** What a key consists of: whatever attribute keys are made of in practice. */
const keyPattern = /^[\p{L}_@][\p{L}\p{N}_.\-/@]*/u;
/** A search of more terms than this is no search. */
const maxTerms = 32;

/**
 * Takes a search apart.
 *
 * @throws {SearchError} a quote that is not closed, a condition without a value, too many terms
 *
 * @example
 * ```ts
 * parseSearch("service=cart duration>100ms");
 * ```
 */
export function parseSearch(text: string): Term[] {
  const terms: Term[] = [];
  let at = 0;
  while (true) {
    while (/\s/.test(text[at] ?? "")) at++;
    if (at >= text.length) return terms;
    if (terms.length === maxTerms) throw new SearchError(`A search has at most ${maxTerms} terms.`);
    const negated = text[at] === "-" && /\S/.test(text[at + 1] ?? "");
    if (negated) at++;
    const [term, end] = readTerm(text, at, negated);
    terms.push(term);
    at = end;
  }
}

function readTerm(text: string, start: number, negated: boolean): [Term, number] {
  if (text[start] !== '"') {
    const key = keyPattern.exec(text.slice(start))?.[0];
    const operator = key === undefined
      ? undefined
      : operators.find((one) => text.startsWith(one, start + key.length));
    if (key !== undefined && operator !== undefined) {
      const [value, end] = readValue(text, start + key.length + operator.length);
      if (value === "" && text[end - 1] !== '"') {
        throw new SearchError(`After ${key}${operator} a value is missing.`);
      }
      return [{ kind: "condition", key, operator, value, negated }, end];
    }
  }
  const [word, end] = readValue(text, start);
  return [{ kind: "word", text: word, negated }, end];
}

function readValue(text: string, start: number): [string, number] {
  if (text[start] !== '"') {
    const end = start + /^\S*/.exec(text.slice(start))![0].length;
    return [text.slice(start, end), end];
  }
  let value = "";
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '"') return [value, at + 1];
    if (text[at] === "\\" && at + 1 < text.length) at++;
    value += text[at];
  }
  throw new SearchError("A quote is not closed.");
}

/** A value as it has to be written: in quotes where it would be read otherwise. */
export function quoted(value: string): string {
  return value === "" || /[\s"\\]/.test(value)
    ? `"${value.replace(/["\\]/g, (one) => `\\${one}`)}"`
    : value;
}

/**
 * A condition as text, for a link.
 *
 * @example
 * ```ts
 * condition("name", "GET /a b"); // name="GET /a b"
 * ```
 */
export function condition(key: string, value: string, operator: Operator = "="): string {
  return `${key}${operator}${quoted(value)}`;
}
