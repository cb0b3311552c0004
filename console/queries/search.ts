/**
 * A search, made into a test of traces or log records: what is compared is settled once, so that a
 * hundred thousand spans are looked through within a blink.
 *
 * @module
 */
import { type StoredAttributes, valueText } from "../intake/values.ts";
import type { StoredLog } from "../stores/log_store.ts";
import type { StoredSpan, Trace } from "../stores/trace_store.ts";
import { spanKinds } from "./jaeger.ts";
import { topicOf } from "./messaging_topic.ts";
import { parseSearch, SearchError, type Term } from "./search_language.ts";

type Condition = Extract<Term, { kind: "condition" }>;
type Test<Item> = (item: Item) => boolean;

/** A search for traces: what one span must be, and what the trace must be. */
export interface TraceSearch {
  /** All of these hold for one and the same span. */
  readonly spanTests: readonly Test<StoredSpan>[];
  readonly traceTests: readonly Test<Trace>[];
}

/**
 * Reads a search for traces.
 *
 * @throws {SearchError}
 *
 * @example
 * ```ts
 * const { spanTests } = traceSearch("service=cart duration>100ms");
 * trace.spans.some((span) => spanTests.every((test) => test(span)));
 * ```
 */
export function traceSearch(text: string): TraceSearch {
  const spanTests: Test<StoredSpan>[] = [];
  const traceTests: Test<Trace>[] = [];
  for (const term of parseSearch(text)) {
    if (term.kind === "word") {
      const found = wordInTrace(term.text.toLowerCase());
      traceTests.push(negatedIf(term.negated, found));
    } else if (term.key === "trace" || term.key === "trace.duration" || term.key === "edge") {
      traceTests.push(negatedIf(term.negated, traceTest(term)));
    } else {
      spanTests.push(negatedIf(term.negated, spanTest(term)));
    }
  }
  return { spanTests, traceTests };
}

/**
 * Reads a search for log records.
 *
 * @throws {SearchError}
 */
export function logSearch(text: string): Test<StoredLog> {
  const tests = parseSearch(text).map((term) =>
    negatedIf(
      term.negated,
      term.kind === "word" ? wordInLog(term.text.toLowerCase()) : logTest(term),
    )
  );
  return (log) => tests.every((test) => test(log));
}

function negatedIf<Item>(negated: boolean, test: Test<Item>): Test<Item> {
  return negated ? (item) => !test(item) : test;
}

// Traces

function traceTest(term: Condition): Test<Trace> {
  if (term.key === "edge") return edgeTest(term);
  if (term.key === "trace") {
    const id = term.value.toLowerCase();
    return negatedIf(term.operator === "!=", (trace) => trace.traceId.startsWith(id));
  }
  const compare = durationTest(term);
  return (trace) => compare((trace.endUs - trace.startUs) * 1000);
}

/** As the map has its edges: a call, or a message by a topic. */
function edgeTest({ value, operator }: Condition): Test<Trace> {
  const at = value.indexOf(">");
  if (at < 1 || at === value.length - 1 || (operator !== "=" && operator !== "!=")) {
    throw new SearchError("edge is a caller and a callee, as in edge=web>cart.");
  }
  const [from, to] = [value.slice(0, at), value.slice(at + 1)];
  const topic = [from, to].find((one) => one.startsWith("topic "))?.slice("topic ".length);
  const isEdge = (trace: Trace) => {
    if (topic !== undefined) {
      const kind = to.startsWith("topic ") ? "producer" : "consumer";
      const service = to.startsWith("topic ") ? from : to;
      return trace.spans.some((span) =>
        spanKinds[span.kind] === kind && span.source.service === service &&
        topicOf(span.attributes) === topic
      );
    }
    const callers = new Set(
      trace.spans.filter((span) => span.source.service === from).map(({ spanId }) => spanId),
    );
    return trace.spans.some((span) => span.source.service === to && callers.has(span.parentSpanId));
  };
  return negatedIf(operator === "!=", isEdge);
}

function spanTest(term: Condition): Test<StoredSpan> {
  const { key } = term;
  if (key === "duration") {
    const compare = durationTest(term);
    return (span) => compare(span.durationNs);
  }
  const text = textTest(term);
  switch (key) {
    case "service":
      return (span) => text(span.source.service);
    case "name":
    case "operation":
      return (span) => text(span.name);
    case "status":
      oneOf(term, ["error", "ok", "unset"]);
      return (span) => text(["unset", "ok", "error"][span.status] ?? "unset");
    case "kind":
      oneOf(term, spanKinds);
      return (span) => text(spanKinds[span.kind] ?? "");
    case "span":
      return (span) => text(span.spanId);
    case "scope":
      return (span) => text(span.scope.name);
    case "event":
      return negatedAny(
        term,
        (span: StoredSpan, test) => span.events.some((event) => test(event.name)),
      );
    default:
      return attributeTest(
        term,
        (span: StoredSpan, test) =>
          test(span.attributes) || test(span.source.attributes) ||
          (span.scope.attributes !== undefined && test(span.scope.attributes)) ||
          span.events.some((event) => test(event.attributes)) ||
          span.links.some((link) => link.attributes !== undefined && test(link.attributes)),
      );
  }
}

/** A word is found in names, services, events, values of attributes, and at the begin of the id. */
function wordInTrace(word: string): Test<Trace> {
  return (trace) =>
    trace.traceId.startsWith(word) || trace.spans.some((span) => hasWord(span, word));
}

function hasWord(span: StoredSpan, word: string): boolean {
  return includes(span.name, word) || includes(span.source.service, word) ||
    includes(span.statusMessage, word) || valuesInclude(span.attributes, word) ||
    span.events.some((event) =>
      includes(event.name, word) || valuesInclude(event.attributes, word)
    );
}

// Logs

const levelFloors: Readonly<Record<string, number>> = {
  trace: 1,
  debug: 5,
  info: 9,
  warn: 13,
  error: 17,
  fatal: 21,
};

function logTest(term: Condition): Test<StoredLog> {
  const { key } = term;
  if (key === "level" || key === "severity") return levelTest(term);
  const text = textTest(term);
  switch (key) {
    case "service":
      return (log) => text(log.source.service);
    case "body":
      return (log) => text(log.body === null ? "" : valueText(log.body));
    case "event":
      return (log) => text(log.eventName);
    case "scope":
      return (log) => text(log.scope.name);
    case "trace":
      return (log) => text(log.traceId);
    case "span":
      return (log) => text(log.spanId);
    default:
      return attributeTest(
        term,
        (log: StoredLog, test) =>
          test(log.attributes) || test(log.source.attributes) ||
          (log.scope.attributes !== undefined && test(log.scope.attributes)),
      );
  }
}

function levelTest(term: Condition): Test<StoredLog> {
  const floor = levelFloors[term.value.toLowerCase()];
  if (floor === undefined) {
    throw new SearchError(`${term.key} is one of ${Object.keys(levelFloors).join(", ")}.`);
  }
  const step = (log: StoredLog) => Math.ceil(log.severityNumber / 4);
  const wanted = Math.ceil(floor / 4);
  switch (term.operator) {
    case ">":
      return (log) => step(log) > wanted;
    case ">=":
      return (log) => step(log) >= wanted;
    case "<":
      return (log) => step(log) < wanted && log.severityNumber > 0;
    case "<=":
      return (log) => step(log) <= wanted && log.severityNumber > 0;
    case "!=":
      return (log) => step(log) !== wanted;
    default:
      return (log) => step(log) === wanted;
  }
}

function wordInLog(word: string): Test<StoredLog> {
  return (log) =>
    (log.body !== null && includes(valueText(log.body), word)) || includes(log.eventName, word) ||
    log.traceId.startsWith(word) || valuesInclude(log.attributes, word) ||
    includes(log.source.service, word) || valuesInclude(log.source.attributes, word) ||
    includes(log.scope.name, word) ||
    (log.scope.attributes !== undefined && valuesInclude(log.scope.attributes, word));
}

// What is compared

function includes(text: string, word: string): boolean {
  return text.toLowerCase().includes(word);
}

function valuesInclude(attributes: StoredAttributes, word: string): boolean {
  for (let i = 1; i < attributes.length; i += 2) {
    if (includes(valueText(attributes[i]!), word)) return true;
  }
  return false;
}

function oneOf(term: Condition, words: readonly string[]): void {
  if (term.operator !== "=" && term.operator !== "!=") {
    throw new SearchError(`${term.key} takes = and !=, not ${term.operator}.`);
  }
  if (term.value !== "*" && !words.includes(term.value)) {
    throw new SearchError(`${term.key} is one of ${words.filter((one) => one !== "").join(", ")}.`);
  }
}

/** `!=` of something that may be there several times: none of them is it. */
function negatedAny<Item>(
  term: Condition,
  any: (item: Item, test: Test<string>) => boolean,
): Test<Item> {
  const test = textTest(term.operator === "!=" ? { ...term, operator: "=" } : term);
  return negatedIf(term.operator === "!=", (item) => any(item, test));
}

/** An attribute wherever it is: of the item, its resource, its scope. `!=` is also true where there is none. */
function attributeTest<Item>(
  term: Condition,
  any: (item: Item, test: Test<StoredAttributes>) => boolean,
): Test<Item> {
  const { key } = term;
  const text = textTest(term.operator === "!=" ? { ...term, operator: "=" } : term);
  const test = (attributes: StoredAttributes) => {
    for (let i = 0; i < attributes.length; i += 2) {
      if (attributes[i] === key && text(valueText(attributes[i + 1]!))) return true;
    }
    return false;
  };
  return negatedIf(term.operator === "!=", (item) => any(item, test));
}

function textTest({ key, operator, value }: Condition): Test<string> {
  switch (operator) {
    case "=":
    case "!=": {
      const is = value === "*"
        ? (text: string) => text !== ""
        : value.includes("*")
        ? wildcard(value)
        : (text: string) => text === value;
      return negatedIf(operator === "!=", is);
    }
    case "~": {
      const word = value.toLowerCase();
      return (text) => includes(text, word);
    }
    default: {
      const number = Number(value);
      if (value.trim() === "" || Number.isNaN(number)) {
        throw new SearchError(`After ${key}${operator} a number is needed.`);
      }
      return (text) => text !== "" && ordered(Number(text), operator, number);
    }
  }
}

/** `*` stands for anything: by parts in their order, as a pattern of many stars would take for ever. */
function wildcard(pattern: string): Test<string> {
  const parts = pattern.split("*");
  const first = parts[0]!;
  const last = parts.at(-1)!;
  const middle = parts.slice(1, -1).filter((one) => one !== "");
  return (text) => {
    if (text.length < first.length + last.length) return false;
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - last.length;
  };
}

function ordered(a: number, operator: Condition["operator"], b: number): boolean {
  switch (operator) {
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    default:
      return a === b;
  }
}

const durationUnitsNs: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "µs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
};

function durationTest({ key, operator, value }: Condition): Test<number> {
  const match = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|min|h)$/.exec(value);
  if (match === null || operator === "~") {
    throw new SearchError(
      `${key} is compared with a duration, such as ${key}>100ms or ${key}<=1.5s.`,
    );
  }
  const wanted = Number(match[1]) * durationUnitsNs[match[2]!]!;
  if (operator === "!=") return (ns) => ns !== wanted;
  return (ns) => ordered(ns, operator, wanted);
}
