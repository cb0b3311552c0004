import assert from "node:assert/strict";
import type { StoredLog } from "../stores/log_store.ts";
import type { StoredSpan, Trace } from "../stores/trace_store.ts";
import { logSearch, traceSearch } from "./search.ts";
import { condition, parseSearch, SearchError } from "./search_language.ts";

const source = {
  service: "cart",
  instance: undefined,
  attributes: ["k8s.pod.name", "cart-7"],
  key: "cart",
};
const scope = { name: "http", version: "1", attributes: ["team", "blue"] };

const span = {
  traceId: "abc0".padEnd(32, "0"),
  spanId: "1".padStart(16, "0"),
  name: "GET /cart/{id}",
  kind: 2,
  status: 2,
  statusMessage: "Disk full",
  durationNs: 150e6,
  attributes: ["http.route", "/cart/{id}", "http.response.status_code", 503, "ratio", 0.5],
  events: [{ name: "exception", timeUs: 1, attributes: ["exception.type", "IOError"] }],
  links: [{ traceId: "", spanId: "", attributes: ["link.kind", "retry"] }],
  source,
  scope,
} as unknown as StoredSpan;
const other = { ...span, name: "SELECT", status: 0, durationNs: 1e6, attributes: [], events: [] };
const trace = {
  traceId: span.traceId,
  spans: [span, other],
  startUs: 0,
  endUs: 2e6,
} as unknown as Trace;

function found(text: string): boolean {
  const { spanTests, traceTests } = traceSearch(text);
  return trace.spans.some((one) => spanTests.every((test) => test(one))) &&
    traceTests.every((test) => test(trace));
}

const searches: [text: string, found: boolean][] = [
  ["", true],
  ["service=cart status=error http.route=/cart/{id} duration>100ms", true],
  ["service=cart status=error duration<100ms", false],
  ["duration>=150ms duration<=150ms", true],
  ["trace.duration>1.5s", true],
  ["trace.duration>2s", false],
  ["name=GET*", true],
  ["name=*{id}", true],
  ["name=G*a*d}", true],
  ["name=G*x*d}", false],
  ["name=GET", false],
  ["name~cart", true],
  ["kind=server", true],
  ["http.response.status_code>=500", true],
  ["http.response.status_code>503", false],
  ["ratio<0.6", true],
  ["k8s.pod.name=cart-7", true],
  ["team=blue", true],
  ["exception.type=IOError", true],
  ["event=exception", true],
  ["link.kind=retry", true],
  ["missing=*", false],
  ["http.route=*", true],
  // One and the same span: the one without the route has another name.
  ["name=SELECT http.route!=/cart/{id}", true],
  ["name=SELECT http.route=*", false],
  ["service!=cart", false],
  ["disk full", true],
  ['"disk full"', true],
  ['"full disk"', false],
  ["-select", false],
  ["-nothing", true],
  ["-status=error name=SELECT", true],
  ["abc0", true],
  ["trace=ABC", true],
  ["trace=bc", false],
  ['name="GET /cart/{id}"', true],
];

for (const [text, expected] of searches) {
  Deno.test(`traceSearch() ${expected ? "finds" : "does not find"} it by ${text || "nothing"}`, () => {
    assert.equal(found(text), expected);
  });
}

const log = {
  body: "Payment declined",
  severityNumber: 13,
  attributes: ["order", 7],
  eventName: "payment.declined",
  traceId: "abc",
  spanId: "def",
  source,
  scope,
} as unknown as StoredLog;

const logSearches: [text: string, found: boolean][] = [
  ["declined", true],
  ["body~PAYMENT", true],
  ["level=warn", true],
  ["level>=warn", true],
  ["level>=error", false],
  ["level<error", true],
  ["event=payment.*", true],
  ["payment.declined", true],
  ["k8s.pod.name=cart-7 team=blue order=7", true],
  ["cart-7", true],
  ["trace=abc", true],
  ["service=web", false],
];

for (const [text, expected] of logSearches) {
  Deno.test(`logSearch() ${expected ? "finds" : "does not find"} it by ${text}`, () => {
    assert.equal(logSearch(text)(log), expected);
  });
}

const wrong: [text: string, says: RegExp][] = [
  ['"open', /quote is not closed/],
  ["service=", /After service= a value is missing/],
  ["duration>fast", /duration is compared with a duration/],
  ["status=broken", /status is one of error, ok, unset/],
  ["http.response.status_code>many", /a number is needed/],
  ["a ".repeat(33), /at most 32 terms/],
];

for (const [text, says] of wrong) {
  Deno.test(`traceSearch() says what is wrong with ${text.slice(0, 20)}`, () => {
    assert.throws(() => traceSearch(text), (error: Error) => {
      assert.ok(error instanceof SearchError);
      assert.match(error.message, says);
      return true;
    });
  });
}

Deno.test("condition() writes what parseSearch() reads, whatever the value", () => {
  for (const value of ["plain", "with space", 'a "quote"', "back\\slash", "", "=", "-x", "a*b"]) {
    const [term] = parseSearch(condition("key", value));
    assert.deepEqual(term, {
      kind: "condition",
      key: "key",
      operator: "=",
      value,
      negated: false,
    });
  }
});

Deno.test("a pattern of many stars takes no longer for that", () => {
  const { spanTests } = traceSearch(`name=${"a*".repeat(500)}b`);
  const long = { ...span, name: "a".repeat(16_000) };
  const startMs = performance.now();
  assert.equal(spanTests[0]!(long), false);
  assert.ok(performance.now() - startMs < 1_000);
});
